"""Sections of the report on behaviour: accuracy, forgetting, and conditions compared within animals."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from replaysim.errors import DataError

from . import figures, forgetting
from .comparison import paired_difference, summarise
from .page import Page
from .style import STYLE, panels

MEASURES = (
    ("final accuracy, %", forgetting.final_accuracy),
    ("accuracy when just learned, %", forgetting.learning_accuracy),
    ("forgetting, points", forgetting.forgetting),
    ("backward transfer, points", forgetting.backward_transfer),
    ("forward transfer, points", forgetting.forward_transfer),
)


def _cell(values: xr.DataArray) -> str:
    found = summarise(values)
    error = float(found["standard_error"])
    mean = f"{100 * float(found['mean']):.1f}"
    return f"{mean} ± {100 * error:.1f}" if np.isfinite(error) else mean


def behaviour(page: Page, logs: Mapping[str, xr.DataTree]) -> None:
    """Table of measures, curves, and the accuracy matrix of every condition."""
    rows = []
    for name, log in logs.items():
        cells = []
        for _label, measure in MEASURES:
            try:
                cells.append(_cell(measure(log)))
            except DataError:
                cells.append("–")
        rows.append([name, *cells, str(log["behaviour"].sizes["animal"])])
    first = next(iter(logs.values()))
    scenario = str(first.attrs.get("scenario", ""))
    rule = forgetting.RULES.get(scenario, {"final": "all", "change": "all"})
    page.table(
        ["condition", *(label for label, _ in MEASURES), "n"],
        rows,
        caption=f"Mean ± standard error over n animals. Chance: {100 * forgetting.chance_level(first):.0f} % (final "
        f"accuracy). Answers that compete: {rule['final'].replace('_', ' ')} (final accuracy), "
        f"{rule['change'].replace('_', ' ')} (all others).",
    )
    page.figure(
        figures.synaptic_vs_systems(logs),
        "(a) Accuracy on the contexts met so far, (b) on the first context, against contexts learned; (c) final "
        "accuracy. Mean ± standard error; thin lines and dots are animals; dotted: chance.",
    )
    page.figure(_matrices(logs), "Mean accuracy (%) on every context after every number of contexts; row 0 is naive.")


def _matrices(logs: Mapping[str, xr.DataTree]) -> Figure:
    with mpl.rc_context(STYLE):
        figure, axes = panels(len(logs))
        for ax, (name, log) in zip(axes, logs.items(), strict=True):
            figures.accuracy_matrix(log, ax)
            ax.set_title(name)
        return figure


def comparison(page: Page, logs: Mapping[str, xr.DataTree]) -> None:
    """Differences in final accuracy between conditions, within the same animals."""
    if len(logs) < 2:
        page.say("Give several logs to compare their conditions within animals.", note=True)
        return
    finals = {name: forgetting.final_accuracy(log) for name, log in logs.items()}
    rows = []
    names = list(finals)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            rows.append([f"{other} - {one}", *_difference(finals[other], finals[one])])
    page.table(
        ["difference", "points", "95 % interval (t)", "95 % interval (bootstrap)", "effect size", "p", "n"],
        rows,
        caption="Differences in final accuracy within animals: mean, 95 % interval by Student's t and by bootstrap "
        "over animals, mean / standard deviation, two-sided sign-flip permutation test (not corrected for the number "
        "of pairs).",
    )


def _difference(one: xr.DataArray, other: xr.DataArray) -> list[str]:
    try:
        found = paired_difference(one, other)
    except DataError as error:
        return [str(error), "", "", "", "", ""]
    low, high, below, above = (100 * float(found[k]) for k in ("low", "high", "bootstrap_low", "bootstrap_high"))
    return [
        f"{100 * float(found['mean']):+.1f}",
        f"[{low:+.1f}, {high:+.1f}]",
        f"[{below:+.1f}, {above:+.1f}]",
        f"{float(found['effect_size']):.1f}",
        f"{float(found['p']):.3f}",
        f"{int(found['n'])}",
    ]
