"""Sections of the report on behaviour: accuracy, forgetting, and conditions compared within animals."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import matplotlib as mpl
import xarray as xr
from matplotlib.figure import Figure

from . import figures, forgetting
from .comparison import behaviour_table, compare_conditions
from .page import Page, cell
from .style import STYLE, panels

MEASURES = {
    "final_accuracy": "final accuracy, %",
    "learning_accuracy": "accuracy when just learned, %",
    "forgetting": "forgetting, points",
    "backward_transfer": "backward transfer, points",
    "forward_transfer": "forward transfer, points",
}


_SO_FAR = {"average_accuracy": "accuracy on contexts met so far, %"}
_COMPETE = {"up_to_tested": ": the classes of the tested context and of earlier ones"}
_FORWARD = {
    "class": " (in this scenario about minus the naive accuracy whatever the condition, as classes that were never met "
    "are not chosen)"
}


def by_scenario(logs: Mapping[str, xr.DataTree]) -> dict[str, dict[str, xr.DataTree]]:
    """Logs of the same scenario: only these can be compared."""
    found: dict[str, dict[str, xr.DataTree]] = {}
    for name, log in logs.items():
        found.setdefault(str(log.attrs.get("scenario", "unknown")), {})[name] = log
    return found


def behaviour(page: Page, logs: Mapping[str, xr.DataTree]) -> None:
    """Table of measures, curves, and the accuracy matrix of every condition, for each scenario."""
    groups = by_scenario(logs)
    for scenario, group in groups.items():
        if len(groups) > 1:
            page.heading(f"{scenario.capitalize()} scenario")
        _behaviour(page, scenario, group)


def _behaviour(page: Page, scenario: str, logs: Mapping[str, xr.DataTree]) -> None:
    rows = []
    shown = MEASURES | ({} if all(map(forgetting.is_finished, logs.values())) else _SO_FAR)
    for name, log in logs.items():
        found = behaviour_table(log)
        n = int(found["average_accuracy"].notnull().sum())
        rows.append([name, *(cell(found[measure], 1, 100) for measure in shown), str(n)])
    rule = forgetting.RULES[scenario]
    levels = [f"{100 * level:.3g}" for level in dict.fromkeys(map(forgetting.chance_level, logs.values()))]
    chance = f"{levels[0]} %" if len(levels) == 1 else f"{' or '.join(levels)} %, as conditions have other classes"
    page.table(
        ["condition", *shown.values(), "n"],
        rows,
        caption=f"Mean ± standard error over n animals. Chance: {chance} (final "
        f"accuracy). Answers that compete: {rule['final'].replace('_', ' ')} (final accuracy), "
        f"{rule['change'].replace('_', ' ')} (all others{_COMPETE.get(rule['change'], '')}). Forgetting: best earlier "
        "accuracy minus the final one, backward transfer: the final one minus that when just learned, forward "
        f"transfer: that before a context is learned minus the naive one{_FORWARD.get(scenario, '')}. –: not before "
        "the last context was learned; forward transfer also where contexts rearrange the stimuli, as naive animals "
        "are tested on the first one only.",
    )
    page.figure(
        figures.synaptic_vs_systems(logs),
        "(a) Accuracy on the contexts met so far, (b) on the first context, against contexts learned; (c) final "
        "accuracy. Mean ± standard error; thin lines and dots are animals; dotted: chance.",
    )
    if all(log["behaviour"].sizes["contexts_learned"] > 2 for log in logs.values()):
        with mpl.rc_context(STYLE):
            ax = figures.forgetting_over_contexts(logs)
        page.figure(
            ax.figure,  # type: ignore[arg-type]
            "Forgetting (best earlier accuracy minus accuracy now, mean over earlier contexts), animals as thin lines.",
        )
    page.figure(_matrices(logs), "Mean accuracy (%) on every context after every number of contexts; row 0 is naive.")


def _matrices(logs: Mapping[str, xr.DataTree]) -> Figure:
    with mpl.rc_context(STYLE):
        figure, axes = panels(len(logs))
        for ax, (name, log) in zip(axes, logs.items(), strict=True):
            figures.accuracy_matrix(log, ax)
            ax.set_title(name)
        return figure


def comparison(page: Page, logs: Mapping[str, xr.DataTree], baseline: str | None = None) -> None:
    """Differences in final accuracy and forgetting between conditions, or to a baseline, within the same animals."""
    shown = False
    for scenario, group in by_scenario(logs).items():
        ended = {name: log for name, log in group.items() if forgetting.survivors(log)}
        if len(ended) > 1:
            shown = True
            if baseline is not None and baseline not in ended:
                page.say(
                    f"{scenario.capitalize()} scenario: {baseline} is of another scenario, or none of its animals has "
                    "come to the end; all pairs are compared.",
                    note=True,
                )
            for words, measure in _COMPARED.items():
                title = f"{scenario.capitalize()} scenario, {words}"
                reference = baseline if baseline in ended else None
                page.attempt(title, functools.partial(_measured, page, ended, words, measure, reference))
    if not shown:
        page.say("Give several finished logs of one scenario to compare their conditions within animals.", note=True)


_COMPARED = {"final accuracy": forgetting.final_accuracy, "forgetting": forgetting.forgetting}


def _measured(
    page: Page,
    logs: Mapping[str, xr.DataTree],
    words: str,
    measure: Callable[[xr.DataTree], xr.DataArray],
    baseline: str | None,
) -> None:
    _compared(page, {name: measure(log) for name, log in logs.items()}, words, baseline)


def _compared(
    page: Page, values: Mapping[str, xr.DataArray], words: str = "final accuracy", baseline: str | None = None
) -> None:
    found = compare_conditions(values, baseline)
    n, judged = int(found["n"].max()), int(found["p"].notnull().sum())
    least, many = 0.5 ** (n - 1), "one animal" if n == 1 else f"{n} animals"
    page.table(
        [
            f"difference in {words}",
            "points",
            "95 % interval (t)",
            "95 % interval (bootstrap)",
            "effect size",
            "p",
            "p (Holm)",
            "n",
        ],
        [_difference(found.sel(pair=pair)) for pair in found["pair"].values],
        caption=f"Differences in {words} within animals: mean, 95 % interval by Student's t and by bootstrap "
        "over animals, mean / standard deviation, two-sided sign-flip permutation test, alone and corrected for the "
        f"number of pairs. With {many} no p can be below {least:.3f}, and corrected none "
        f"below {min(1.0, least * judged):.3f}.",
    )


def _difference(found: xr.Dataset) -> list[str]:
    low, high, below, above = (100 * float(found[k]) for k in ("low", "high", "bootstrap_low", "bootstrap_high"))
    return [
        str(found["pair"].values),
        f"{100 * float(found['mean']):+.1f}",
        f"[{low:+.1f}, {high:+.1f}]",
        f"[{below:+.1f}, {above:+.1f}]",
        f"{float(found['effect_size']):.1f}",
        f"{float(found['p']):.3f}",
        f"{float(found['p_holm']):.3f}",
        f"{int(found['n'])}",
    ]
