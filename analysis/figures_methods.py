"""Figures that compare many methods: final accuracy of each, and accuracy over contexts learned.

Like Figures 3, 5 and 6 of van de Ven, Siegelmann & Tolias (2020). Every function takes labelled arrays and, where it
draws one panel, an ``ax``; nothing is shown and no global state is changed. A method has one colour everywhere; what
varies it (frozen early areas, a slip of the published code) changes the line, not the colour.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from replaysim.errors import DataError

from .comparison import summarise
from .published import Published
from .style import FEW, MM, SPARE, STYLE, panel, wrapped

METHODS = {
    "exact_replay": "#332288",
    "brain_inspired_si": "#009E73",
    "brain_inspired": "#0072B2",
    "online_ewc": "#882255",
    "nothing": "#666666",
    "joint": "#000000",
    "ewc": "#D55E00",
    "xdg": "#CC79A7",
    "lwf": "#56B4E9",
    "si": "#E69F00",
    "gr": "#999933",
}


class Variant(NamedTuple):
    """How a variant of a method is drawn, and what it differs in."""

    dashes: tuple[float, ...]
    meant: str


VARIANTS = {
    "_frozen": Variant((4, 1.5), "early areas frozen as in 2022, not plastic as in 2020"),
    "_faithful": Variant((1.5, 1.5), "slips of the published code repeated"),
    "_1024": Variant((4, 1.5, 1, 1.5), "code divergence over 1024"),
    "_retina": Variant((1, 1, 1, 3), "memories of photographs, not of early_5"),
    "_unscaled": Variant((4, 1.5, 1, 1.5, 1, 1.5), "distillation without the squared temperature"),
}
"""Ends of names of methods."""
COVERING: dict[str, tuple[float, ...]] = {"brain_inspired_si": (5, 2)}
"""Lines with gaps, as they often lie on another one, which is seen through them."""
MANY = 6
"""Methods, above which lines lie on each other, and differ in width."""
_SMALL = 6.5  # points of what explains a figure
_PER_ROW = 7  # entries of a legend beside each other


def look(method: str, position: int = 0) -> dict[str, Any]:
    """Colour and dashes of a method; unknown ones take spare colours by position."""
    base, dashes = method, COVERING.get(method, (None, None))
    for suffix, variant in VARIANTS.items():
        if base.endswith(suffix):
            base, dashes = base.removesuffix(suffix), variant.dashes
    return {"color": METHODS.get(base, SPARE[position % len(SPARE)]), "dashes": dashes}


def _limits(values: Mapping[str, xr.DataArray]) -> tuple[float, float]:
    """Of an axis in per cent: all of it, or half where nothing rises higher."""
    highest = max(100 * float(one.max()) for one in values.values())
    return (-2, 102) if not highest < 48 else (-1, 51)


def final_accuracies(
    values: Mapping[str, xr.DataArray],
    ax: Axes | None = None,
    *,
    chance: float,
    published: Mapping[str, Published] | None = None,
) -> Axes:
    """Final accuracy of every method: dots are animals, bars mean and standard error; how many animals in brackets.

    Parameters
    ----------
    values
        Method to (animal), fraction of right decisions.
    chance
        Fraction of right guesses: a dotted line.
    published
        Method to what is published of it: diamonds; not drawn where it is quoted from memory.

    Raises
    ------
    DataError
        Where there is no method.
    """
    if not values:
        raise DataError("final_accuracies: there is no method to draw")
    names = []
    with mpl.rc_context(STYLE):
        ax = panel(ax)
        for i, (name, one) in enumerate(values.items()):
            found, colour = summarise(one), look(name, i)["color"]
            mean, error, n = (float(found[k]) for k in ("mean", "standard_error", "n"))
            spread = (np.arange(one.size) - (one.size - 1) / 2) * min(0.04, 0.3 / one.size)
            hollow: dict[str, Any] = {"facecolors": "none", "lw": 0.6} if name.endswith(tuple(VARIANTS)) else {"lw": 0}
            size: dict[str, Any] = {"s": 6, "alpha": 0.6} if n > 1 else {"s": 14}
            ax.scatter(i - 0.12 * (n > 1) + spread, 100 * one.values, color=colour, zorder=1, **size, **hollow)
            if n > 1:
                ax.errorbar(i + 0.22, 100 * mean, 100 * error, fmt="_", ms=7, mew=1.6, color=colour, capsize=2)
            if published and name in published and published[name].looked_up:
                place: dict[str, Any] = {
                    "s": 26,
                    "marker": "D",
                    "facecolors": "none",
                    "edgecolors": "0.15",
                    "lw": 0.7,
                    "zorder": 0,
                }
                ax.scatter(i + 0.22 * (n > 1), float(published[name].value), **place)
            names.append(f"{name} ({n:.0f})")
        ax.axhline(100 * chance, color="0.3", ls=":", lw=0.8, zorder=0)
        ax.set(ylim=_limits(values), ylabel="final accuracy (%)", xlim=(-0.5, len(values) - 0.3))
        small: dict[str, Any] = {"fontsize": 6} if len(values) > FEW else {}
        ax.set_xticks(range(len(values)), names, rotation=40, ha="right", rotation_mode="anchor", **small)
        return ax


def accuracy_over_contexts(
    values: Mapping[str, xr.DataArray], ax: Axes | None = None, *, chance: xr.DataArray | None = None
) -> Axes:
    """Accuracy on the contexts met so far against their number: mean, and standard error over animals as a band.

    Parameters
    ----------
    values
        Method to (animal, contexts_learned), fraction of right decisions.
    chance
        What :func:`analysis.methods_table.guessing` gives: a dotted line.
    """
    with mpl.rc_context(STYLE):
        ax = panel(ax)
        for i, (name, one) in enumerate(values.items()):
            x, found, style = one["contexts_learned"].values, summarise(one), look(name, i)
            mean, error = 100 * found["mean"].values, 100 * found["standard_error"].fillna(0).values
            ax.fill_between(x, mean - error, mean + error, color=style["color"], alpha=0.2, lw=0, zorder=2)
            below = 1 - i / max(1, len(values) - 1) if len(values) > MANY else 0.5  # wider: seen under those above
            marker: dict[str, Any] = {"marker": "o", "ms": 2.2 + 1.6 * below} if len(x) <= FEW else {}
            ax.plot(x, mean, label=name, zorder=3, lw=0.9 + 1.2 * below, **style, **marker)
        if chance is not None:
            ax.plot(chance["contexts_learned"], 100 * chance, color="0.3", ls=":", lw=0.8, zorder=0, label="chance")
        ax.set(ylim=_limits(values), xlabel="contexts learned", ylabel="accuracy, contexts so far (%)")
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=2, steps=[1, 2, 5, 10]))
        return ax


def compare_methods(
    finals: Mapping[str, xr.DataArray],
    over_contexts: Mapping[str, xr.DataArray],
    *,
    level: float,
    chance: xr.DataArray | None = None,
    title: str = "",
    counted: str = "animals",
    published: Mapping[str, Published] | None = None,
    remarks: Sequence[str] = (),
) -> Figure:
    """Final accuracy of every method, and accuracy over contexts learned, in one figure.

    Parameters
    ----------
    finals, level, published
        As for :func:`final_accuracies`.
    over_contexts, chance
        As for :func:`accuracy_over_contexts`; without it there is only the first panel.
    title
        What the animals met.
    counted
        What the dots are.
    remarks
        What else has to be said, in small.
    """
    rows = -(-(len(finals) + 1) // _PER_ROW)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(180 * MM, (79 + 5 * rows) * MM), layout="constrained")
        marks = _note(finals, counted, published or {}, curves=len(over_contexts))
        note = wrapped("; ".join((marks, *remarks)), figure, _SMALL)
        tall, low = figure.get_figheight() * 72, 1.4 * _SMALL * (1 + note.count("\n"))  # points
        figure.set_figheight((tall + low) / 72)
        (above,), (below,) = figure.subfigures(2, 1, squeeze=False, height_ratios=(tall, low))
        below.text(0.02, 0.5, note, va="center", fontsize=_SMALL, color="0.3")
        axes = above.subplots(1, 2, width_ratios=(1.2, 1)) if over_contexts else [above.subplots()]
        final_accuracies(finals, axes[0], chance=level, published=published)
        if over_contexts:
            accuracy_over_contexts(over_contexts, axes[1], chance=chance)
            for ax, letter in zip(axes, "ab", strict=True):
                ax.set_title(letter, loc="left", fontweight="bold")
            handles, labels = axes[1].get_legend_handles_labels()
            columns = -(-len(labels) // rows)
            above.legend(handles, labels, ncols=columns, frameon=False, loc="outside lower center", handlelength=4)
        figure.suptitle(wrapped(title, figure), fontsize=8)
        return figure


def _note(finals: Mapping[str, xr.DataArray], counted: str, published: Mapping[str, Published], curves: int) -> str:
    """What the marks of a figure are."""
    alone = all(one.size == 1 for one in finals.values())
    words = ["one animal, which has no s.e." if alone else f"mean ± s.e.; dots, and numbers in brackets: {counted}"]
    there = [variant.meant for end, variant in VARIANTS.items() if any(end in name for name in finals)]
    words += [f"hollow: variants of the paper's arms ({'; '.join(there)})"] if there else []
    known = [published[name].looked_up for name in finals if name in published]
    memory = "" if all(known) else " (without those quoted from memory)"
    words += [f"diamonds: published{memory}"] if any(known) else []
    words += ["published numbers, quoted from memory, are not drawn"] if known and not any(known) else []
    words += ["dotted: chance"]
    return "; ".join(words + (["wide lines: so as to be seen under others"] if curves > MANY else []))
