"""Figures of representational geometry: dissimilarity matrices, similarity over contexts, paths of class centroids.

Every function takes labelled arrays and, where it draws one panel, an ``ax``; nothing is shown and no global state is
changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from replaysim.errors import DataError

from .figures import curves
from .rsa import as_matrix
from .style import MM, STYLE, panel, sequence, with_legend


def _mean(values: xr.DataArray) -> xr.DataArray:
    return values.mean("animal") if "animal" in values.dims else values


def _only(values: xr.DataArray, dims: tuple[str, ...], owner: str) -> xr.DataArray:
    extra = [d for d in values.dims if d not in dims]
    missing = [d for d in dims if d not in values.dims]
    if extra or missing:
        raise DataError(f"{owner}: needs dimensions {list(dims)} and 'animal' at most; got {list(values.dims)}")
    return values.transpose(*dims)


def rdm_grid(
    rdms: Mapping[str, xr.DataArray], *, borders: int | None = None, own_scale: bool = False, title: str = ""
) -> Figure:
    """Dissimilarity matrices: a row for each entry (areas or conditions), a column for each snapshot.

    Parameters
    ----------
    rdms
        RDMs (snapshot, pair), or matrices (snapshot, item, other_item), or also with ``animal`` (then their mean).
    borders
        Thin lines after every so many items, e.g. the classes of a context.
    own_scale
        Whether every row has its own scale of colours; otherwise rows of the same metric have one, so that equal
        colours are equal dissimilarities (unless a row does not say its metric).
    title
        Above the figure.
    """
    if not rdms:
        raise DataError("rdm_grid: needs at least one RDM")
    matrices = {name: _matrices(_mean(rdm)) for name, rdm in rdms.items()}
    longest = max(matrices.values(), key=lambda m: m.sizes["snapshot"])
    columns = longest.sizes["snapshot"]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=((24 + 25 * columns) * MM, (14 + 27 * len(rdms)) * MM), layout="constrained")
        grid = np.atleast_2d(figure.subplots(len(rdms), columns, squeeze=False))
        metrics = {name: str(rdm.attrs.get("metric", "")) for name, rdm in rdms.items()}
        own_scale |= not all(metrics.values())
        for row, (name, matrix) in zip(grid, matrices.items(), strict=True):
            alike = [
                m for other, m in matrices.items() if (other == name if own_scale else metrics[other] == metrics[name])
            ]
            image = _row(row, matrix, borders, _limits(alike))
            row[0].set_ylabel(name)
            if len(alike) < len(matrices):
                figure.colorbar(image, ax=list(row), label=_scale_label(metrics[name]))
        if len(alike) == len(matrices):
            figure.colorbar(
                image,
                ax=list(grid.ravel()),
                label=_scale_label(metrics[name]),
                aspect=20 * len(rdms),
                fraction=0.15 / columns,
            )
        learned = longest["contexts_learned"].values if "contexts_learned" in longest.coords else np.arange(columns)
        for ax, k in zip(grid[0], learned, strict=True):
            ax.set_title("naive" if k == 0 else f"after {k}")
        if title:
            figure.suptitle(title, fontsize=8)
        return figure


def _matrices(rdm: xr.DataArray) -> xr.DataArray:
    if "pair" in rdm.dims:
        rdm = as_matrix(rdm)
    return _only(rdm, ("snapshot", "item", "other_item"), "rdm_grid")


def _scale_label(metric: str) -> str:
    words = {"correlation": "1 − correlation", "cosine": "1 − cosine"}.get(metric, metric)
    return f"dissimilarity\n({words})" if words else "dissimilarity"


def _limits(matrices: Sequence[xr.DataArray]) -> tuple[float, float]:
    """Lowest (0, or below) and highest value of all of them."""
    values = np.concatenate([m.values.ravel() for m in matrices])
    values = values[np.isfinite(values)]
    return (min(0.0, float(values.min())), float(values.max())) if len(values) else (0.0, 1.0)


def _row(axes: np.ndarray, matrices: xr.DataArray, borders: int | None, limits: tuple[float, float]) -> Any:
    values, image = matrices.values, None
    for ax in axes[len(values) :]:
        ax.set_axis_off()
    for ax, matrix in zip(axes, values, strict=False):
        image = ax.imshow(matrix, cmap="cividis", vmin=limits[0], vmax=limits[1], aspect="equal")
        if borders:
            for at in range(borders, matrix.shape[0], borders):
                ax.axhline(at - 0.5, color="w", lw=0.4)
                ax.axvline(at - 0.5, color="w", lw=0.4)
        ax.set_xticks([])
        ax.set_yticks([])
    return image


def similarity_matrix(
    values: xr.DataArray,
    ax: Axes | None = None,
    *,
    dim: str = "snapshot",
    label: str = "similarity",
    limits: tuple[float, float] = (0.0, 1.0),
    title: str = "",
) -> Axes:
    """Similarity of every snapshot (or area) with every other, or accuracy of a readout of one tested on another.

    Parameters
    ----------
    values
        (dim, other_dim), or also with ``animal`` (then their mean). An attribute ``chance``, as
        :func:`analysis.decoding.cross_context_decoding` gives it, is added to the label; rows are then times of
        training, columns times of testing.
    limits
        Of the colours; the numbers are printed as they are.
    """
    matrix = _only(_mean(values), (dim, f"other_{dim}"), "similarity_matrix")
    with mpl.rc_context(STYLE):
        ax = panel(ax, 80, 62)
        image = ax.imshow(matrix.values, cmap="cividis", vmin=limits[0], vmax=limits[1], aspect="equal")
        middle = sum(limits) / 2
        if matrix.shape[0] <= 10:
            for (r, c), value in np.ndenumerate(matrix.values):
                if np.isfinite(value):
                    ink = "w" if value < middle else "k"
                    ax.text(c, r, f"{value:.2f}".replace("0.", "."), ha="center", va="center", fontsize=5.5, color=ink)
        names = matrix["contexts_learned"].values if "contexts_learned" in matrix.coords else matrix[dim].values
        ax.set_xticks(range(len(names)), names)
        ax.set_yticks(range(len(names)), names)
        chance = values.attrs.get("chance")
        what = ("snapshot", "snapshot") if chance is None else ("trained", "tested")
        row, column = (f"{one} after … contexts" for one in what) if "contexts_learned" in matrix.coords else (dim, dim)
        ax.set(xlabel=column, ylabel=row, title=title)
        guessing = "" if chance is None else f"\n(chance {chance:.2f})".replace("0.", ".")
        ax.figure.colorbar(image, ax=ax, label=label + guessing, shrink=0.8)
        return ax


def centroid_paths(
    centroids: xr.DataArray,
    ax: Axes | None = None,
    *,
    replayed: xr.DataArray | None = None,
    groups: xr.DataArray | None = None,
    group: str = "context",
    title: str = "",
) -> Axes:
    """Paths of class centroids through learning, in the two dimensions in which they differ most.

    One principal component analysis of all snapshots pooled, so that every point lies in the same plane.

    Parameters
    ----------
    centroids
        (snapshot, item, unit), of one animal.
    replayed
        (item, unit): centroids of replayed activity, drawn as crosses in the same plane.
    groups
        (item,): number, from 1, that gives an item its colour, e.g. the context of a class; default: one each.
    group
        What the groups are, for the legend.
    """
    points = _only(centroids, ("snapshot", "item", "unit"), "centroid_paths")
    flat = points.values.reshape(-1, points.sizes["unit"]).astype(np.float64)
    centre = flat.mean(0)
    _, spread, axes = np.linalg.svd(flat - centre, full_matrices=False)
    share = 100 * spread[:2] ** 2 / max(float((spread**2).sum()), 1e-300)
    plane = axes[:2].T
    paths = (points.values.astype(np.float64) - centre) @ plane
    number = np.arange(points.sizes["item"]) if groups is None else groups.sel(item=points["item"]).values - 1
    colours = sequence(int(number.max()) + 1)
    with mpl.rc_context(STYLE):
        ax = panel(ax, 108, 70)
        for i, item in enumerate(points["item"].values):
            look: dict[str, Any] = {"color": colours[int(number[i])]}
            ax.plot(*paths[:, i].T, lw=0.8, alpha=0.7, **look)
            ax.plot(*paths[-1, i], marker="o", ms=5, **look)
            ax.annotate(str(item), paths[-1, i], xytext=(3, 3), textcoords="offset points", fontsize=6.5)
        if replayed is not None:
            seen = _only(replayed, ("item", "unit"), "centroid_paths")
            where = (seen.values.astype(np.float64) - centre) @ plane
            for place, item in zip(where, seen["item"].values, strict=True):
                at = int(np.flatnonzero(points["item"].values == item)[0])
                ax.plot(*place, marker="x", ms=5, mew=1.2, color=colours[int(number[at])], ls="none")
        moves = points.sizes["snapshot"] > 1
        words = "waking: path, dot at its end" if moves else "waking"
        handles = [Line2D([], [], marker="o", ms=5, color="0.3", ls="-" if moves else "none", lw=0.8, label=words)]
        if replayed is not None:
            handles.append(Line2D([], [], marker="x", ms=5, mew=1.2, color="0.3", ls="none", label="replayed"))
        if groups is not None:
            handles += [
                Line2D([], [], marker="s", ms=5, color=colours[i], ls="none", label=f"{group} {i + 1}")
                for i in np.unique(number)
            ]
        ax.legend(handles=handles, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        ax.set_aspect("equal", adjustable="datalim")
        ax.set(xlabel=f"PC 1 ({share[0]:.0f} % of variance)", ylabel=f"PC 2 ({share[1]:.0f} %)", title=title)
        return ax


def measure_over(
    values: Mapping[str, xr.DataArray],
    dim: str,
    ax: Axes | None = None,
    *,
    label: str,
    reference: xr.DataArray | None = None,
    floor: xr.DataArray | None = None,
    limits: tuple[float | None, float | None] | None = None,
) -> Axes:
    """A measure of every condition against contexts learned, memory age or another dimension.

    Where the axis of the measure begins above 0, its label says so. On axes that are
    given, ``ax.legend(frameon=False)`` names the conditions.

    Parameters
    ----------
    values
        (animal, dim): mean with standard error, thin lines for animals.
    reference
        (animal, dim): what is best possible, e.g. waking against waking; a grey band from the least to the greatest.
    floor
        (animal, dim): what means nothing, e.g. against other classes; a dotted line at its mean.
    """
    with mpl.rc_context(STYLE):
        given, ax = ax, panel(ax)
        curves(ax, values, dim, scale=1)
        if reference is not None:
            mean = reference.mean("animal")
            ax.fill_between(
                mean[dim].values,
                reference.min("animal").values,
                reference.max("animal").values,
                color="0.85",
                lw=0,
                zorder=-1,
                label="range of waking against waking",
            )
            ax.plot(mean[dim].values, mean.values, color="0.55", lw=1, zorder=0, label="waking against waking")
        if floor is not None:
            ax.plot(floor[dim].values, floor.mean("animal").values, color="0.3", lw=0.8, ls=":", label="other classes")
        if limits:
            ax.set_ylim(*limits)
        cut = ax.get_ylim()[0] > 0
        if cut:
            slashes: Any = {"marker": [(-1, -0.6), (1, 0.6)], "ms": 6, "color": "k", "ls": "none", "clip_on": False}
            ax.plot([0, 0], [0.03, 0.06], transform=ax.transAxes, **slashes)
        ax.set(xlabel=dim.replace("_", " "), ylabel=f"{label}\n(axis cut above 0)" if cut else label)
        return with_legend(ax, given)
