"""Figures of behaviour: retention over contexts, the first memory, the accuracy matrix, conditions side by side.

Every function takes logs and, where it draws one panel, an ``ax``; nothing is shown and no global state is changed.
Colours are the colour-blind safe set of Okabe & Ito, one fixed colour a condition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from replaysim.errors import DataError

from .comparison import summarise
from .forgetting import (
    average_accuracy,
    chance_level,
    final_accuracy,
    forgetting_curve,
    is_finished,
    retention,
    retention_matrix,
)
from .style import DASHED, DODGE, FEW, MARKERS, MM, STYLE, colour, panel, save, with_legend

__all__ = [
    "accuracy_matrix",
    "colour",
    "conditions",
    "curves",
    "first_context_retention",
    "forgetting_over_contexts",
    "retention_by_age",
    "retention_over_contexts",
    "save",
    "synaptic_vs_systems",
]


def curves(ax: Axes, values: Mapping[str, xr.DataArray], dim: str = "contexts_learned", *, scale: float = 100) -> None:
    """One line a condition with its standard error over animals, and a thin line for every animal."""
    for i, (name, one) in enumerate(values.items()):
        x = one[dim].values + DODGE * (i - (len(values) - 1) / 2)
        found = summarise(one)
        mean, error = scale * found["mean"].values, scale * found["standard_error"].values
        look: dict[str, Any] = {"color": colour(name, i), "dashes": DASHED.get(name, (None, None))}
        for animal in one.transpose("animal", dim).values:
            ax.plot(x, scale * animal, color=colour(name, i), lw=0.4, alpha=0.35, zorder=1)
        ax.fill_between(x, mean - error, mean + error, color=colour(name, i), alpha=0.25, lw=0, zorder=2)
        look |= {"marker": MARKERS.get(name, "o"), "ms": 3.5} if len(x) <= FEW else {}
        ax.plot(x, mean, label=name, zorder=3, **look)
    ax.set(xlabel=dim.replace("_", " "))
    _whole_ticks(ax.xaxis, np.unique(np.concatenate([one[dim].values for one in values.values()])))


def _whole_ticks(axis: Axis, places: ArrayLike) -> None:
    """A tick at every place, or at some whole numbers where there are many."""
    if np.size(places) <= FEW:
        axis.set_ticks(np.asarray(places))
    else:
        axis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=2))


def _accuracies(ax: Axes, values: Mapping[str, xr.DataArray], chance: Sequence[tuple[float, float]]) -> None:
    """Curves in per cent over contexts learned, with the chance level as a dotted line."""
    curves(ax, values)
    ax.plot(*zip(*chance, strict=True), color="0.3", ls=":", lw=0.8, zorder=0, label="chance")
    ax.set(ylim=(-2, 102))
    _whole_ticks(ax.xaxis, [x for x, _ in chance])


def _chance(log: xr.DataTree, *, first_only: bool) -> list[tuple[float, float]]:
    """Contexts learned and accuracy of guessing (%), on the first context or on all met so far."""
    answers = retention_matrix(log, use="curve")["answers"]
    level = log["behaviour"].to_dataset()["chance"].sel(answers=answers).isel(contexts_learned=slice(1, None))
    asked = level["context"] == 1 if first_only else level["context"] <= level["contexts_learned"]
    mean = level.where(asked).mean("context")
    return [(float(k), 100 * float(v)) for k, v in zip(mean["contexts_learned"].values, mean.values, strict=True)]


def _n(matrix: xr.DataArray) -> int:
    """Animals that have any value."""
    return int(matrix.notnull().any([d for d in matrix.dims if d != "animal"]).sum())


def forgetting_over_contexts(logs: Mapping[str, xr.DataTree], ax: Axes | None = None) -> Axes:
    """Forgetting of earlier contexts against contexts learned; mean, standard error, and every animal."""
    with mpl.rc_context(STYLE):
        given, ax = ax, panel(ax)
        curves(ax, {name: forgetting_curve(log) for name, log in logs.items()})
        ax.axhline(0, color="0.3", ls=":", lw=0.8, zorder=0)
        ax.set(ylabel="forgetting (points)", xlabel="contexts learned")
        return with_legend(ax, given)


def retention_over_contexts(logs: Mapping[str, xr.DataTree], ax: Axes | None = None) -> Axes:
    """Accuracy on the contexts met so far against their number; mean, standard error, and every animal."""
    with mpl.rc_context(STYLE):
        given, ax = ax, panel(ax)
        chance = _chance(next(iter(logs.values())), first_only=False)
        _accuracies(ax, {name: average_accuracy(log) for name, log in logs.items()}, chance)
        ax.set(ylabel="accuracy on contexts met so far (%)")
        return with_legend(ax, given)


def retention_by_age(logs: Mapping[str, xr.DataTree], ax: Axes | None = None, *, answers: str | None = None) -> Axes:
    """Accuracy by how many contexts were learned since; mean, standard error, and every animal; dotted: guessing.

    The oldest memories are those of the first contexts. In the class scenario a context competes with its own and
    earlier classes only, unless ``answers="all"``: guessing is then better at some ages than at others.

    Raises
    ------
    DataError
        Without a log, or where one is not finished.
    """
    if not logs:
        raise DataError("retention_by_age: give at least one log")
    found = {name: retention(log, answers) for name, log in logs.items()}
    levels = [one["chance"] for one in found.values() if "chance" in one.coords]
    with mpl.rc_context(STYLE):
        given, ax = ax, panel(ax)
        curves(ax, found, "age")
        for i, level in enumerate(levels):
            if not any(level.equals(other) for other in levels[:i]):
                look: dict[str, Any] = {"color": "0.3", "ls": ":", "lw": 0.8, "zorder": 0}
                ax.plot(level["age"].values, 100 * level.values, label="" if i else "chance", **look)
        ax.set(ylabel="accuracy (%)", xlabel="contexts learned since", ylim=(-2, 102))
        return with_legend(ax, given)


def first_context_retention(logs: Mapping[str, xr.DataTree], ax: Axes | None = None) -> Axes:
    """Accuracy on the first context while later ones are learned; mean, standard error, and every animal."""
    with mpl.rc_context(STYLE):
        given, ax = ax, panel(ax)
        found = {}
        for name, log in logs.items():
            matrix = retention_matrix(log, use="curve")
            found[name] = matrix.isel(context=0, contexts_learned=slice(1, None))
        _accuracies(ax, found, _chance(next(iter(logs.values())), first_only=True))
        ax.set(ylabel="accuracy on context 1 (%)")
        return with_legend(ax, given)


def conditions(logs: Mapping[str, xr.DataTree], ax: Axes | None = None) -> Axes:
    """Final accuracy of every condition: dots are animals, thin lines join the same animal, bars are mean and s.e."""
    with mpl.rc_context(STYLE):
        ax = panel(ax)
        finals = {name: final_accuracy(log) for name, log in logs.items() if is_finished(log)}
        if not finals:
            ax.text(0.5, 0.5, "no simulation is finished", ha="center", va="center", transform=ax.transAxes)
            return ax
        table = xr.concat(
            list(finals.values()),
            xr.Variable("condition", list(finals)),
            join="outer",
            coords="minimal",
            compat="override",
        )
        for animal in table["animal"].values:
            ax.plot(np.arange(len(finals)), 100 * table.sel(animal=animal).values, color="0.8", lw=0.4, zorder=0)
        for i, (name, values) in enumerate(finals.items()):
            found = summarise(values)
            spread = (np.arange(values.size) - (values.size - 1) / 2) * 0.02
            ax.scatter(i + spread, 100 * values.values, s=6, color=colour(name, i), alpha=0.6, lw=0, zorder=1)
            mean, error = 100 * float(found["mean"]), 100 * float(found["standard_error"])
            ax.errorbar(
                i + 0.28,
                mean,
                error if values.size > 1 else None,
                fmt="_",
                ms=7,
                mew=1.6,
                color=colour(name, i),
                capsize=2,
            )
        level = 100 * chance_level(next(iter(logs.values())))
        ax.axhline(level, color="0.3", ls=":", lw=0.8, zorder=0)
        ax.set(ylim=(-2, 102), ylabel="final accuracy (%)", xlim=(-0.5, len(finals) - 0.2))
        ax.set_xticks(range(len(finals)), list(finals), rotation=35, ha="right", rotation_mode="anchor")
        return ax


def accuracy_matrix(log: xr.DataTree, ax: Axes | None = None, *, answers: str | None = None) -> Axes:
    """Mean accuracy on every context (columns) after every number of contexts (rows, the naive animal on top)."""
    with mpl.rc_context(STYLE):
        ax = panel(ax)
        matrix = retention_matrix(log, answers)
        mean = matrix.mean("animal")
        image = ax.imshow(100 * mean.values, cmap="cividis", vmin=0, vmax=100, aspect="equal", interpolation="none")
        rows, columns = mean.shape
        if columns <= 10:
            for r in range(rows):
                for c in range(columns):
                    value = 100 * float(mean[r, c])
                    if np.isfinite(value):
                        ax.text(
                            c, r, f"{value:.0f}", ha="center", va="center", fontsize=6, color="w" if value < 55 else "k"
                        )
        ax.plot(np.arange(columns + 1) - 0.5, np.arange(columns + 1) + 0.5, color="w", lw=1, drawstyle="steps-post")
        for axis, labels in ((ax.xaxis, mean["context"].values), (ax.yaxis, mean["contexts_learned"].values)):
            step = 1 if len(labels) <= FEW else next(n for n in (2, 5, 10, 20, 50, 10**9) if len(labels) <= 7 * n)
            shown = np.flatnonzero(labels % step == 0)
            axis.set_ticks(shown, labels[shown])
        n, rule = _n(matrix), str(matrix["answers"].values).replace("_", " ")
        ax.set(xlabel="context tested", ylabel="contexts learned", title=f"answers: {rule}; mean of n = {n}")
        ax.figure.colorbar(image, ax=ax, label="accuracy (%)", shrink=0.8)
        return ax


def synaptic_vs_systems(logs: Mapping[str, xr.DataTree], *, title: str = "") -> Figure:
    """Retention over contexts, the first memory, and final accuracy of every condition in one figure."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(180 * MM, 74 * MM), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(1.15, 1.15, 1))
        retention_over_contexts(logs, left)
        first_context_retention(logs, middle)
        conditions(logs, right)
        for ax, letter in zip((left, middle, right), "abc", strict=True):
            ax.set_title(letter, loc="left", fontweight="bold")
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, ncols=len(labels), frameon=False, loc="outside lower center", handlelength=2.6)
        counts = sorted({_n(retention_matrix(log)) for log in logs.values()})
        n = "–".join(map(str, counts))
        figure.suptitle(
            f"{title}{'; ' if title else ''}mean ± s.e., thin lines and dots: {n} animals; dotted: chance", fontsize=8
        )
        return figure
