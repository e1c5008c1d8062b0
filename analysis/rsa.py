"""Representational geometry: which stimuli, or classes of stimuli, evoke similar activity.

A representational dissimilarity matrix (RDM) is kept packed, dims (..., pair): the strict upper triangle row by row,
with the labels of the two items as coordinates ``item_a`` and ``item_b``. Source: Kriegeskorte et al. (2008), Front.
Syst. Neurosci. 2:4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import xarray as xr

from replaysim.errors import DataError, SettingError, check_choice, check_number, one_of

from .covariance import METHODS, group_means, whiten, within_class_covariance
from .dissimilarity import METRICS, crossnobis, n_items, pair_labels, pairwise, square_form
from .labelled import per_slice, require

NOISE = (*METHODS, "identity")
MOST_FOLDS = 10  # of crossnobis, unless told otherwise

_Kernel = Callable[[torch.Tensor], torch.Tensor]
_CORE = ("stimulus", "unit")
_WHITENED = ("mahalanobis", "crossnobis")


@dataclass(frozen=True)
class _Classes:
    """Stimuli in classes."""

    by: str
    items: np.ndarray
    code: np.ndarray  # place in items of every stimulus

    @property
    def counts(self) -> np.ndarray:
        return np.bincount(self.code, minlength=len(self.items))

    def folds(self, n: int) -> np.ndarray:
        """Fold of every stimulus: those of a class are dealt in turn."""
        order = np.argsort(self.code, kind="stable")
        turn = np.empty_like(order)
        turn[order] = np.arange(len(order)) - (np.cumsum(self.counts) - self.counts)[self.code[order]]
        return turn % n


def rdm(
    activity: xr.DataArray,
    metric: str = "correlation",
    *,
    by: str | None = None,
    classes: Iterable[object] | None = None,
    folds: int | None = None,
    noise: str | None = None,
    precision: np.ndarray | None = None,
    memory: int | None = None,
    device: str | torch.device = "auto",
) -> xr.DataArray:
    r"""Dissimilarity of the activity that every two stimuli, or classes of stimuli, evoke.

    Parameters
    ----------
    activity
        (..., stimulus, unit), see :func:`~analysis.readings.activity`; one RDM for each animal, snapshot, ...
    metric
        ``"correlation"``, ``"cosine"``, ``"euclidean"``, ``"sqeuclidean_mean"`` (squared, divided by units),
        ``"mahalanobis"`` (the same in units of the noise), or ``"crossnobis"`` (cross-validated: zero in the mean
        where two classes do not differ, hence sometimes negative). Equations:
        :func:`~analysis.dissimilarity.pairwise`, :func:`~analysis.dissimilarity.crossnobis`.
    by
        Coordinate of ``stimulus``, e.g. ``"original_class"``: the RDM is between the mean responses of these classes,
        in the order of their labels. Default: between stimuli.
    classes
        Labels of the classes to take; default: all.
    folds
        For crossnobis. The network has no measurement noise, so stimuli of a class are the repetitions: in their order
        they are dealt in turn into so many folds, whose mean responses count alike. All are used; where their number
        is no multiple, the first folds hold one more. Default: stimuli of the smallest class, at most 10.
    noise
        For mahalanobis and crossnobis: covariance of responses around the mean of their class, with as many degrees of
        freedom as stimuli minus classes, by a method of :func:`~analysis.covariance.shrunk_covariance` (default
        ``"shrinkage_diag"``), or ``"identity"``. Units that respond alike to all stimuli count as zero.
    precision
        Inverse noise covariance (unit, unit) for all animals and snapshots, instead of ``noise``.
    memory
        Bytes beyond input, working copies of one slice, and results; default 256 MiB. Does not change the result.
    device
        ``"auto"``, ``"cpu"``, ``"cuda"``.

    Returns
    -------
    xarray.DataArray
        ``rdm`` (..., pair), coordinates ``item_a``, ``item_b``; between stimuli in the precision of the activity,
        between classes in float64. Correlation and cosine with a response without variance, or length, are NaN.

    Raises
    ------
    DataError
        For missing dimensions or coordinates, NaN, fewer than two items, an empty class, too few stimuli to fold.
    SettingError
        For an unknown metric, or options that do not go with it.
    """
    _check_options(metric, by, classes is not None, folds=folds, noise=noise, precision=precision)
    values = require(activity, _CORE, "rdm", "activity")
    about: dict[str, str | int] = {"metric": metric, "items": by or "stimulus", "units": "1"}
    given = None if precision is None else torch.as_tensor(np.asarray(precision, dtype=np.float64))
    if metric in _WHITENED:
        about["noise"] = "given" if given is not None else noise or "shrinkage_diag"
    kernel: _Kernel = partial(pairwise, metric=metric, precision=given, memory=memory)
    items = values["stimulus"].values
    if by is not None:
        values, groups = _grouped(values, by, classes, "rdm")
        items, whitening, n_folds = groups.items, str(about.get("noise", "")), 0
        if metric == "crossnobis":
            n_folds = about["folds"] = _n_folds(groups, folds)
            about["repetition"] = f"stimuli of the same {by}, dealt in turn into {n_folds} folds"
        if whitening in METHODS:
            _check_noise(groups, whitening, values.sizes["unit"])
        kernel = _between_classes(groups, metric, n_folds, whitening, given, memory)
    if len(items) < 2:
        raise DataError(f"rdm: a dissimilarity needs at least two items; there is one {about['items']}")
    found = _apply(kernel, values, "rdm", ("pair",), device)
    a, b = (
        xr.Variable("pair", labels, {"long_name": f"{about['items']}, {which} of the pair"})
        for labels, which in zip(pair_labels(items), ("first", "second"), strict=True)
    )
    about |= {"long_name": f"dissimilarity of responses ({metric.replace('_', ' ')})", "n_items": len(items)}
    return found.assign_coords(item_a=a, item_b=b).assign_attrs(about, compute_dtype=str(found.dtype))


def _apply(
    kernel: _Kernel, values: xr.DataArray, name: str, dims: tuple[str, ...], device: str | torch.device
) -> xr.DataArray:
    dtype = torch.float64 if values.dtype == np.float64 else torch.float32
    found = per_slice(
        lambda x: {name: kernel(x)}, [values], [_CORE], {name: dims}, owner=name, device=device, dtype=dtype
    )
    return found[name]


def _check_options(metric: str, by: str | None, grouped: bool, **options: object) -> None:
    check_choice("rdm", "metric", metric, METRICS)
    for name, value in options.items():
        fitting = ("crossnobis",) if name == "folds" else _WHITENED
        if value is not None and metric not in fitting:
            raise SettingError("rdm", "metric", metric, f"{one_of(fitting)} where {name} is given")
    noise, precision, folds = options["noise"], options["precision"], options["folds"]
    if noise is not None:
        check_choice("rdm", "noise", noise, NOISE)
        if precision is not None:
            raise SettingError("rdm", "noise", noise, "left out where precision is given")
    if folds is not None:
        check_number("rdm", "folds", folds, least=2, whole=True)
    if by is None and (grouped or metric == "crossnobis"):
        why = "classes were given" if grouped else "crossnobis takes the stimuli of a class as repetitions"
        raise DataError(f"rdm: {why}; name the coordinate that holds the classes, e.g. by='original_class'")
    if by is None and metric == "mahalanobis" and precision is None and noise != "identity":
        way_out = "pass by='original_class', precision=... or noise='identity'"
        raise DataError(f"rdm: between single stimuli there is no noise to estimate; {way_out}")


def _grouped(
    values: xr.DataArray, by: str, classes: Iterable[object] | None, owner: str
) -> tuple[xr.DataArray, _Classes]:
    """Stimuli that belong to the wanted classes, and where they belong."""
    if by not in values.coords:
        known = [str(name) for name, c in values.coords.items() if c.dims == ("stimulus",)]
        raise DataError(f"{owner}: stimuli have no coordinate {by!r}; they have {known}")
    label = values.coords[by]
    if label.dims != ("stimulus",):
        where = f"{by!r} has dimensions {list(label.dims)}: select one animal first, e.g. with .sel(animal=...)"
        raise DataError(f"{owner}: classes must be the same for all, a coordinate of 'stimulus' alone; {where}")
    if bool(label.isnull().any()):
        raise DataError(f"{owner}: {int(label.isnull().sum())} stimuli have no {by}; leave them out")
    items, code = np.unique(label.values, return_inverse=True)
    if classes is None:
        return values, _Classes(by, items, code)
    wanted = np.unique(np.asarray(list(classes)))
    empty = [str(c) for c in wanted.tolist() if c not in items.tolist()]
    if empty or not len(wanted):
        there = ", ".join(map(str, items[:20])) + (", ..." if len(items) > 20 else "")
        raise DataError(f"{owner}: no stimulus of {by} {', '.join(empty) or '(none given)'}; there are {there}")
    keep = np.isin(label.values, wanted).nonzero()[0]
    kept = values if len(keep) == len(code) else values.isel(stimulus=keep)
    return kept, _Classes(by, wanted, np.searchsorted(wanted, label.values[keep]))


def _n_folds(groups: _Classes, folds: int | None) -> int:
    least = int(groups.counts.min())
    n = max(2, min(least, MOST_FOLDS)) if folds is None else int(folds)
    if least < n:
        few = f"{groups.items[groups.counts.argmin()]} has {least}"
        raise DataError(f"rdm: crossnobis with {n} folds needs at least {n} stimuli of every {groups.by}; {few}")
    return n


def _check_noise(groups: _Classes, noise: str, units: int) -> None:
    dof = len(groups.code) - len(groups.items)
    if dof < 1:
        alone = f"noise is how responses vary within a {groups.by}, and each has a single stimulus"
        raise DataError(f"rdm: {alone}; pass noise='identity', or record more stimuli")
    if noise == "full" and dof < units:
        needed = f"as many degrees of freedom (stimuli minus classes: {dof}) as units ({units})"
        raise DataError(f"rdm: noise='full' needs {needed}; take 'shrinkage_diag'")


def _between_classes(
    groups: _Classes, metric: str, folds: int, noise: str, precision: torch.Tensor | None, memory: int | None
) -> _Kernel:
    n = len(groups.items)
    code = torch.as_tensor(groups.code)
    part = torch.as_tensor(groups.folds(folds)) * n + code if folds else code

    def kernel(x: torch.Tensor) -> torch.Tensor:
        means = group_means(x, part, n * max(1, folds))
        if noise in METHODS:
            own = group_means(x, code, n) if folds else means
            means = whiten(means, within_class_covariance(x, own, code, noise))
        if folds:
            return crossnobis(means.view(folds, n, -1), precision=precision, memory=memory)
        return pairwise(means, "sqeuclidean_mean" if noise in METHODS else metric, precision=precision, memory=memory)

    return kernel


def class_means(
    activity: xr.DataArray,
    by: str = "original_class",
    *,
    classes: Iterable[object] | None = None,
    device: str | torch.device = "auto",
) -> xr.DataArray:
    """Mean response to the stimuli of each class.

    Parameters
    ----------
    activity
        (..., stimulus, unit).
    by
        Coordinate of ``stimulus`` that holds the classes.
    classes, device
        See :func:`rdm`.

    Returns
    -------
    xarray.DataArray
        (..., item, unit), float64; coordinates ``item``, the label of the class, and ``n_stimuli``.

    Raises
    ------
    DataError
        As :func:`rdm`.
    """
    values, groups = _grouped(require(activity, _CORE, "class_means", "activity"), by, classes, "class_means")
    kernel = partial(group_means, code=torch.as_tensor(groups.code), n=len(groups.items))
    found = _apply(kernel, values, "class_means", ("item", "unit"), device)
    units = {name: c.variable for name, c in values.coords.items() if c.dims == ("unit",)}
    count = xr.Variable("item", groups.counts, {"long_name": "stimuli of the class", "units": "1"})
    item = xr.Variable("item", groups.items, {"long_name": by})
    about = {"long_name": f"mean response to stimuli of the same {by}", "units": "1", "items": by}
    found = found.assign_coords({**units, "item": item, "n_stimuli": count})
    return found.assign_attrs(about, n_items=len(groups.items), compute_dtype="float64")


def as_matrix(rdm: xr.DataArray) -> xr.DataArray:
    """The square form of packed RDMs.

    Parameters
    ----------
    rdm
        (..., pair) with coordinates ``item_a`` and ``item_b``: all pairs, in order.

    Returns
    -------
    xarray.DataArray
        (..., item, other_item), symmetric, diagonal zero.

    Raises
    ------
    DataError
        Unless these are all pairs of some items, in the order of :func:`pair_labels`.
    """
    packed = require(rdm, ("pair",), "as_matrix", "rdm").transpose(..., "pair")
    if not {"item_a", "item_b"} <= set(packed.coords):
        raise DataError("as_matrix: the RDM has no coordinates item_a and item_b that name its pairs; see rdm()")
    a, b = packed["item_a"].values, packed["item_b"].values
    items = np.concatenate((a[:1], b[: n_items(len(a)) - 1]))
    if not all(map(np.array_equal, pair_labels(items), (a, b))):
        raise DataError("as_matrix: these are not all pairs of some items, in order; keep pairs, set to NaN if need be")
    kept = {name: c for name, c in packed.coords.items() if "pair" not in c.dims}
    labels = {dim: xr.Variable(dim, items) for dim in ("item", "other_item")}
    dims = (*packed.dims[:-1], *labels)
    return xr.DataArray(square_form(packed.values), {**kept, **labels}, dims, rdm.name, rdm.attrs)
