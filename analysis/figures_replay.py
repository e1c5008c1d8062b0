"""Figures of what makes replay work: its ingredients one by one, and how much and how good it must be.

Every function takes labelled arrays; nothing is shown and no global state is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from replaysim.errors import DataError

from .comparison import summarise
from .style import MM, STYLE, colour, wrapped

GOES_ON, ANEW = "goes on", "drawn anew"
"""What becomes of synapses before a context; the words of the table of ``studies/amount_of_replay.py``."""


def lesion_effects(
    values: Mapping[str, xr.DataArray],
    groups: Mapping[str, Sequence[str]],
    *,
    chance: float,
    floor: xr.DataArray | None = None,
    title: str = "",
) -> Figure:
    """What single ingredients do when they are added and when they are left out, as in Figure 8 of the paper.

    Parameters
    ----------
    values
        Accuracy (animal) of every arm: dots are animals, thin lines join the same animal, bars are mean and s.e.
    groups
        Title of a panel to the arms in it; the first is the one to which the others are compared (a line at its mean).
    chance
        Accuracy of guessing: a dotted line.
    floor
        Accuracy (animal) of animals that learned the last context only: a dashed line at its mean.
    title
        Above the figure.
    """
    groups = {name: [arm for arm in arms if arm in values] for name, arms in groups.items()}
    groups = {name: arms for name, arms in groups.items() if arms}
    if not groups:
        raise DataError(f"lesion_effects: none of the arms is in the values; there are {list(values)}")
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(180 * MM, 78 * MM), layout="constrained")
        widths = [len(arms) + 0.5 for arms in groups.values()]
        axes = figure.subplots(1, len(groups), sharey=True, squeeze=False, width_ratios=widths)[0]
        for ax, (name, arms), letter in zip(axes, groups.items(), "abcdef", strict=False):
            _arms(ax, {arm: values[arm] for arm in arms})
            ax.axhline(100 * chance, color="0.3", ls=":", lw=0.8, zorder=0, label="chance")
            if floor is not None:
                ax.axhline(100 * float(floor.mean()), color="0.5", ls=(0, (5, 2)), lw=0.8, label="last context only")
            ax.set_title(letter, loc="left", fontweight="bold")
            ax.set_title(name)
        highest = 100 * max(float(values[arm].max()) for arms in groups.values() for arm in arms)
        axes[0].set(ylim=(0, min(102, 1.12 * highest)), ylabel="final accuracy (%)")
        handles = _handles(axes)
        figure.legend(
            handles.values(), handles, ncols=len(handles), frameon=False, loc="outside lower center", handlelength=2.6
        )
        n = max(one.sizes["animal"] for one in values.values())
        words = f"dots: {n} animals, grey lines join the same one; bars: mean ± s.e." if n > 1 else "one animal"
        figure.suptitle(wrapped(f"{title}; {words}" if title else words, figure), fontsize=8)
        return figure


def _handles(axes: Iterable[Axes]) -> dict[str, Artist]:
    """What the legend of several panels shows: every label once; those of a single panel first."""
    found = [dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True)) for ax in axes]
    every = {label: handle for one in found for label, handle in one.items()}
    return dict(sorted(every.items(), key=lambda item: sum(item[0] in one for one in found)))


def _arms(ax: Axes, values: Mapping[str, xr.DataArray]) -> None:
    """Dots, mean and standard error of arms side by side; a line at the mean of the first."""
    shared = sorted(set.intersection(*(set(one["animal"].values.tolist()) for one in values.values())))
    for animal in shared:
        row = [100 * float(one.sel(animal=animal)) for one in values.values()]
        ax.plot(range(len(row)), row, color="0.8", lw=0.4, zorder=0)
    first, compared = next(iter(values.items()))
    level = 100 * float(compared.mean())
    ax.axhline(level, color=colour(first), lw=0.8, alpha=0.7, zorder=1, label=f"mean of {first}")
    for i, (name, one) in enumerate(values.items()):
        ink, found = colour(name, i), summarise(one)
        spread = (np.arange(one.size) - (one.size - 1) / 2) * 0.02
        ax.scatter(i + spread, 100 * one.values, s=6, color=ink, alpha=0.6, lw=0, zorder=2)
        error = 100 * float(found["standard_error"]) if one.size > 1 else None
        ax.errorbar(i + 0.28, 100 * float(found["mean"]), error, fmt="_", ms=8, mew=1.6, color=ink, capsize=2, zorder=3)
    ax.set_xticks(range(len(values)), list(values), rotation=35, ha="right", rotation_mode="anchor")
    ax.set_xlim(-0.5, len(values) - 0.2)


def amount_of_replay(
    panels: Mapping[str, Mapping[str, xr.DataArray]],
    *,
    chance: float,
    references: Mapping[str, xr.DataArray] | None = None,
    usual: Mapping[str, float] | None = None,
    title: str = "",
) -> Figure:
    """Accuracy against how much is replayed and how good it can be, as in Figure 4 of the paper.

    Parameters
    ----------
    panels
        Label of the horizontal axis to curves: name of a brain to accuracies (animal, reinitialised, amount), where the
        last dimension may have any name and its coordinate is shown on a logarithmic axis. Solid, full symbols: the
        brain goes on from where it was; dashed, hollow: its synapses are drawn anew before every context.
    chance
        Accuracy of guessing: a dotted line.
    references
        Further accuracies (animal), shown as horizontal lines with their names.
    usual
        Label of an axis to its usual value, marked below the axis.
    title
        Above the figure.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(180 * MM, 82 * MM), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        n = 0
        for ax, (label, curves), letter in zip(axes, panels.items(), "abcdef", strict=False):
            for name, one in curves.items():
                _amounts(ax, name, one)
                n = max(n, one.sizes["animal"])
            for name, one in (references or {}).items():
                look = {"nothing": (0, (2, 1.5)), "joint": (0, (5, 2))}.get(name, "-.")
                ax.axhline(100 * float(one.mean()), color=colour(name), ls=look, lw=0.9, zorder=0, label=name)
            ax.axhline(100 * chance, color="0.3", ls=":", lw=0.8, zorder=0, label="chance")
            if usual and label in usual:
                ax.plot(
                    usual[label], 0, marker="^", ms=5, color="0.3", clip_on=False, transform=ax.get_xaxis_transform()
                )
            ax.set_xscale("log", base=2)
            ax.minorticks_off()
            shown = sorted({x for one in curves.values() for x in one[_amount(one)].values.tolist()})
            ax.set_xticks(shown, [f"{x:g}" for x in shown])
            ax.set(xlabel=label)
            ax.set_title(letter, loc="left", fontweight="bold")
        axes[0].set(ylim=(0, 102), ylabel="final accuracy (%)")
        handles = dict(zip(*reversed(axes[0].get_legend_handles_labels()), strict=True))
        for ax in axes[1:]:
            handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True)) | handles
        columns = min(4, len(handles))
        figure.legend(
            handles.values(),
            handles,
            ncols=columns,
            frameon=False,
            loc="outside lower center",
            title=f"{GOES_ON}: the brain learns on from where it was; {ANEW}: all its synapses, before every context",
            title_fontsize=7,
        )
        words = f"mean ± s.e., thin lines: {n} animals" if n > 1 else "one animal"
        words += "; triangle: the usual value" if usual else ""
        figure.suptitle(wrapped(f"{title}; {words}" if title else words, figure), fontsize=8)
        return figure


def _amount(values: xr.DataArray) -> str:
    """Name of the dimension that says how much, or how many."""
    extra = [str(d) for d in values.dims if d not in ("animal", "reinitialised")]
    if len(extra) != 1 or set(values.dims) != {"animal", "reinitialised", *extra}:
        raise DataError(f"amount_of_replay: needs (animal, reinitialised, amount); got {list(values.dims)}")
    return extra[0]


def _amounts(ax: Axes, name: str, values: xr.DataArray) -> None:
    """One solid and one dashed curve with standard errors over a logarithmic axis."""
    dim = _amount(values)
    x, ink = values[dim].values, colour(name)
    for anew in values["reinitialised"].values.tolist():
        one = 100 * values.sel(reinitialised=anew).transpose("animal", dim)
        found = summarise(one)
        mean, error = found["mean"].values, found["standard_error"].values
        for animal in one.values:
            ax.plot(x, animal, color=ink, lw=0.4, alpha=0.3, ls="--" if anew else "-", zorder=1)
        ax.fill_between(x, mean - error, mean + error, color=ink, alpha=0.2, lw=0, zorder=2)
        ax.plot(
            x,
            mean,
            color=ink,
            marker="o",
            ms=4,
            mfc="white" if anew else ink,
            ls=(0, (4, 1.5)) if anew else "-",
            label=f"{name}, {ANEW if anew else GOES_ON}",
            zorder=3,
        )
