"""Figures of the fidelity of replay: precision against diversity, measures beside the best possible, replayed images.

Every function takes labelled arrays and, where it draws one panel, an ``ax``; nothing is shown and no global state is
changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from replaysim.errors import DataError

from .comparison import summarise
from .style import MM, STYLE, colour, panel, wrapped
from .terminal import reach

GREY = "0.55"
ARMS = {"one ingredient added": ("classic", "+"), "one ingredient left out": ("intact", "−")}
"""Panels of a study of lesions: the arm that the others are compared with, and how their names begin."""
MEASURES = {"frechet": "Frechet distance (lower is better)", "inception": "inception score (grey is best)"}


def precision_recall_curves(
    curves: Mapping[str, xr.Dataset], ax: Axes | None = None, *, reference: xr.Dataset | None = None
) -> Axes:
    """Precision (quality) against recall (diversity) of replayed activity, as in Figure 9 of the paper.

    Parameters
    ----------
    curves
        For every condition ``precision`` and ``recall`` (animal, angle): thin lines are animals, the thick line is the
        mean of both at equal angle.
    reference
        The same of real against real, in grey: the best that can be reached with so many samples.
    """
    with mpl.rc_context(STYLE):
        ax = panel(ax, 80, 76)
        if reference is not None:
            at = reference.mean("animal")
            ax.plot(at["recall"], at["precision"], color=GREY, lw=1.4, label="real against real", zorder=1)
        for i, (name, one) in enumerate(curves.items()):
            for animal in one["animal"].values:
                thin = one.sel(animal=animal)
                ax.plot(thin["recall"], thin["precision"], color=colour(name, i), lw=0.4, alpha=0.4, zorder=2)
            mean = one.mean("animal")
            ax.plot(mean["recall"], mean["precision"], color=colour(name, i), label=name, zorder=3)
        ax.set(xlim=(0, 1.02), ylim=(0, 1.02))
        ax.set(xlabel="recall (diversity)", ylabel="precision (quality)")
        ax.set_aspect("equal")
        ax.legend(frameon=False, loc="lower left")
        return ax


def measure_of_conditions(
    values: Mapping[str, xr.DataArray],
    ax: Axes | None = None,
    *,
    label: str,
    reference: xr.DataArray | None = None,
    log: bool = False,
) -> Axes:
    """One measure of every condition: dots are animals, the bar is their mean with standard error.

    A linear axis begins at 0, or below.

    Parameters
    ----------
    values
        (animal,) of every condition.
    reference
        (animal,), real against real: a grey line at its mean, a band over its range.
    log
        Whether the axis is logarithmic.
    """
    with mpl.rc_context(STYLE):
        ax = panel(ax, 70, 62)
        if reference is not None:
            low, high = float(reference.min()), float(reference.max())
            if high > low:
                ax.axhspan(low, high, color="0.88", lw=0, zorder=0, label="range of real against real")
            ax.axhline(float(reference.mean()), color=GREY, lw=1, zorder=0, label="real against real")
        for i, (name, one) in enumerate(values.items()):
            spread = (np.arange(one.size) - (one.size - 1) / 2) * 0.03
            ax.scatter(i + spread, one.values, s=8, color=colour(name, i), alpha=0.6, lw=0, zorder=2)
            found = summarise(one)
            error = float(found["standard_error"]) if one.size > 1 else None
            ax.errorbar(
                i + 0.3, float(found["mean"]), error, fmt="_", ms=8, mew=1.6, color=colour(name, i), capsize=2, zorder=3
            )
        ax.set_xticks(range(len(values)), list(values), rotation=30, ha="right", rotation_mode="anchor")
        ax.set(xlim=(-0.5, len(values) - 0.3), ylabel=label)
        if log:
            ax.set_yscale("log")
        elif ax.get_ylim()[0] > 0:
            ax.set_ylim(bottom=0)
        return ax


def quality_of_arms(found: Mapping[str, xr.Dataset], *, title: str = "") -> Figure:
    """:func:`quality_of_conditions` of the arms of a study of replay, see :func:`analysis.quality.judge`.

    Where the paper's measures of all stimuli are there, they are shown: one panel of curves for the arms to which an
    ingredient was added (``+``), one for those that lack one (``−``). ``title`` names protocol and scenario.
    """
    if "paper_frechet" not in next(iter(found.values())):
        return quality_of_conditions({"": found}, title=title)
    shown = {
        name: one.drop_vars(["precision", "recall", "frechet"]).rename(
            paper_precision="precision", paper_recall="recall", paper_frechet="frechet"
        )
        for name, one in found.items()
    }
    groups = {
        words: {name: one for name, one in shown.items() if name == first_of or name.startswith(sign)}
        for words, (first_of, sign) in ARMS.items()
    }
    return quality_of_conditions(
        {name: group for name, group in groups.items() if group},
        real="real stimuli, half of them against the others",
        title=title,
    )


def quality_of_conditions(
    groups: Mapping[str, Mapping[str, xr.Dataset]], *, real: str = "real stimuli", title: str = ""
) -> Figure:
    """Curves of precision against recall, Frechet distance and inception score, as in Figure 9 of the paper.

    Parameters
    ----------
    groups
        Title of a panel of curves to its conditions. Of every condition ``precision``, ``recall`` (animal, angle),
        ``frechet``, ``inception`` (animal), and the same with the prefix ``reference_`` for real against real.
    real
        What the reference is.
    title
        Above the figure.
    """
    if bare := [title for title, group in groups.items() if isinstance(group, xr.Dataset)]:
        raise DataError(
            f"quality_of_conditions: groups[{bare[0]!r}] is a Dataset, must be the conditions of a panel, "
            "{title: {condition: Dataset}}"
        )
    every = {name: one for group in groups.values() for name, one in group.items()}
    if not every:
        raise DataError("quality_of_conditions: no condition was given")
    first = next(iter(every.values()))
    names = {"reference_precision": "precision", "reference_recall": "recall"}
    reference = first[list(names)].rename(names)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(180 * MM, (78 if len(groups) == 1 else 152) * MM), layout="constrained")
        if len(groups) == 1:
            axes = list(figure.subplots(1, 3, width_ratios=(1.3, 1, 1)))
        else:
            rows: Any = figure.subfigures(2, 1)
            axes = [*rows[0].subplots(1, len(groups)), *rows[1].subplots(1, 2)]
        for ax, (name, group) in zip(axes, groups.items(), strict=False):
            precision_recall_curves(group, ax, reference=reference)
            ax.set_title(name)
            if len(groups) > 1:  # there is room beside square panels
                ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
            else:
                ax.get_legend().remove()
                handles, labels = ax.get_legend_handles_labels()
                figure.legend(handles, labels, ncols=len(labels), frameon=False, loc="outside lower center")
        for ax, (measure, label) in zip(axes[len(groups) :], MEASURES.items(), strict=True):
            values = {name: one[measure] for name, one in every.items()}
            measure_of_conditions(
                values, ax, label=label, reference=first[f"reference_{measure}"], log=measure == "frechet"
            )
        for ax, letter in zip(axes, "abcdef", strict=False):
            ax.set_title(letter, loc="left", fontweight="bold")
        n = reach((one.sizes["animal"] for one in every.values()), "–")
        words = f"thick: mean, thin lines and dots: {n} animal{'s' * (n != '1')}; bars: ± s.e.; grey: {real}"
        figure.suptitle(wrapped(f"{title}; {words}" if title else words, figure), fontsize=8)
        return figure


def image_grid(
    images: Mapping[str, xr.DataArray], shape: tuple[int, int], *, columns: int = 10, title: str = ""
) -> Figure:
    """Images of every condition in a row of their own: what was replayed beside what was seen.

    Parameters
    ----------
    images
        (event or stimulus, unit), grey values from 0 to 1, at least ``columns`` each; the first ones are shown.
    shape
        Height and width of an image.
    columns
        Images in a row.
    title
        Above the figure.
    """
    for name, one in images.items():
        if one.ndim != 2 or one.shape[1] != shape[0] * shape[1]:
            raise DataError(f"image_grid: {name!r} has shape {one.shape}, not (images, {shape[0]} x {shape[1]} pixels)")
    with mpl.rc_context(STYLE):
        height = 4 + 9.5 * len(images) + (6 if title else 0)
        figure = Figure(figsize=((26 + 9 * columns) * MM, height * MM), layout="constrained")
        grid = figure.subplots(len(images), columns, squeeze=False)
        for row, (name, one) in zip(grid, images.items(), strict=True):
            for ax, image in zip(row, one.values[:columns], strict=False):
                ax.imshow(image.reshape(shape), cmap="gray_r", vmin=0, vmax=1, interpolation="none")
            for ax in row:
                ax.set_xticks([])
                ax.set_yticks([])
                ax.spines[:].set_visible(False)
            row[0].set_ylabel(name, rotation=0, ha="right", va="center")
        if title:
            figure.suptitle(wrapped(title, figure), fontsize=8)
        return figure
