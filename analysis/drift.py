r"""Representational drift: what activity evoked by the same stimuli becomes while other things are learned.

A population may drift and still tell stimuli apart. So drift is measured as movement of class centroids (shift, growth
and turn, which a readout could follow, and what remains) and of single patterns. See :mod:`analysis.subspaces` and,
for what counts downstream, :mod:`analysis.decoding`. A pattern *when learned* is that of the snapshot at the end of its
context.

One slice with all its snapshots (one animal's) is in memory at a time, and of it some parts once more in float64, in
which all is computed; of a still larger log select stimuli or snapshots first.
"""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from replaysim.errors import DataError, SettingError, one_of

from .covariance import group_means
from .devices import exact_products
from .snapshots import (
    PATTERNS,
    ROUNDING,
    bare,
    checked,
    class_context,
    class_labels,
    coordinate,
    learned_at,
    over_snapshots,
)

CHANGES = {
    "translation": ("distance that the mean of the centroids moved, over the spread at the reference", "1"),
    "scaling": ("spread of the centroids over that at the reference", "1"),
    "norm_scaling": ("mean length of the centroids over that at the reference", "1"),
    "rotation": ("angle by which the differences between centroids turned", "degree"),
    "principal_angle": ("mean principal angle between the subspaces of the centroids", "degree"),
    "residual": ("share of the arrangement of centroids that shift, growth and turn do not explain", "1"),
}
"""Meaning and unit of what :func:`centroid_drift` says of an arrangement of classes."""


def principal_angles(one: Tensor, other: Tensor) -> Tensor:
    """Principal angles (radian, ascending) between the subspaces spanned by the rows of matrices (vector, unit)."""
    with exact_products():
        few, many = sorted((_row_space(x.double()) for x in (one, other)), key=len)
        overlap = few @ many.T
        cosine, sine = torch.linalg.svdvals(overlap), torch.linalg.svdvals(few - overlap @ many)
        return torch.atan2(sine.flip(0), cosine)  # the sine is exact near 0, the cosine near 90 degrees


def _row_space(rows: Tensor) -> Tensor:
    _, weight, axes = torch.linalg.svd(rows, full_matrices=False)
    return axes[weight > ROUNDING * weight.amax()]


def configuration_change(now: Tensor, then: Tensor) -> dict[str, Tensor]:
    """:data:`CHANGES` between two arrangements of the same classes, (class, unit); see :func:`centroid_drift`."""
    with exact_products():
        now, then = now.double(), then.double()
        lengths = [torch.linalg.vector_norm(each, dim=1) for each in (then, now)]
        both = torch.cat([each - each.mean(0) for each in (then, now)])
        x, y = torch.linalg.qr(both.T, mode="r").R.T.split(len(then))  # the same arrangements in few coordinates
        sizes = [torch.linalg.matrix_norm(each) for each in (x, y)]
        alike = [
            size <= ROUNDING * torch.linalg.vector_norm(length) for size, length in zip(sizes, lengths, strict=True)
        ]
        before = torch.where(alike[0], torch.nan, sizes[0])
        shift = torch.linalg.vector_norm(now.mean(0) - then.mean(0))
        found = dict.fromkeys(CHANGES, torch.full_like(shift, torch.nan)) | {
            "translation": shift / (before / len(then) ** 0.5),
            "scaling": sizes[1] / before,
            "norm_scaling": lengths[1].mean() / lengths[0].mean(),
        }
        if bool(alike[0] | alike[1]):
            return found
        left, weight, right = torch.linalg.svd(x.T @ y)
        sure = weight > ROUNDING**2 * weight.amax()
        still, turned = x @ left[:, sure], x @ right[sure].T  # coordinates of x, unturned and turned onto y
        cosine = (still * turned).sum() / still.square().sum()
        return found | {
            "rotation": torch.rad2deg(torch.arccos(cosine.clamp(-1, 1))),
            "principal_angle": torch.rad2deg(principal_angles(x, y).mean()),
            "residual": (1 - (weight.sum() / (sizes[0] * sizes[1])).square()).clamp(min=0),
        }


def pattern_correlation(one: Tensor, other: Tensor) -> Tensor:
    """Pearson correlation over units of every row of (pattern, unit) with that of the other; NaN where constant."""
    rows = [x.double() - x.double().mean(1, keepdim=True) for x in (one, other)]
    norms = [torch.linalg.vector_norm(x, dim=1) for x in rows]
    constant = (one.amax(1) == one.amin(1)) | (other.amax(1) == other.amin(1))
    found = (rows[0] * rows[1]).sum(1) / (norms[0] * norms[1])
    return torch.where(constant, torch.nan, found.clamp(-1, 1))


def centroid_drift(
    activity: xr.DataArray,
    by: str = "original_class",
    reference: str | int = "previous",
    *,
    only_met: bool = False,
    device: str | torch.device = "auto",
) -> xr.Dataset:
    r"""How the mean patterns of classes moved since a reference snapshot.

    With the means :math:`\bar c, \bar r` of the K centroids now and at the reference, and the centred centroids *C* and
    *R* (class, unit):

    .. math:: \text{translation} = \frac{\|\bar c - \bar r\|}{\|R\|_F / \sqrt K}, \quad
              \text{scaling} = \frac{\|C\|_F}{\|R\|_F}, \quad
              \text{residual} = 1 - \frac{\|R^\top C\|_*^2}{\|R\|_F^2 \|C\|_F^2}, \quad
              \cos(\text{rotation}) = \frac{\langle R Q, R \rangle}{\|R\|_F^2}.

    *Q* is the orthogonal Procrustes solution, which turns *R* as closely as possible onto *C* (directions that only one
    of them has do not say how to turn, and do not count): the rotation is the angle by which the differences between
    classes turned, over all their variance. The principal angle is that between the subspaces: 0 for a turn within one.

    Parameters
    ----------
    activity
        (..., snapshot, stimulus, unit), as :func:`~analysis.readings.activity` gives it.
    by
        Coordinate of stimuli that says their class.
    reference
        ``"previous"``: the snapshot before; a number: the snapshot with this label; ``"learned"``: of every class the
        snapshot when it was learned, for classes learned by now.
    only_met
        Leave out classes that were not yet learned at the reference.

    Returns
    -------
    xarray.Dataset
        (..., snapshot) :data:`CHANGES`, and ``pattern_correlation`` (..., snapshot, class), over units, of every
        centroid with that at the reference. NaN where there is no reference, no class, or no two different ones.

    Raises
    ------
    DataError, SettingError
        For missing dimensions or coordinates, a class without stimuli or in several contexts, or an unknown reference.
    """
    owner = "centroid_drift"
    values = checked(activity, owner)
    label, classes = class_labels(values, by, owner)
    context = class_context(values, label, by, len(classes), owner) if only_met or reference == "learned" else None
    rows = _reference_rows(values, context, reference, only_met, by, len(classes), owner)

    def kernel(patterns: Tensor, code: Tensor, row: Tensor) -> dict[str, Tensor]:
        centroids = torch.stack([group_means(p, code, len(classes)) for p in patterns])
        found = {name: centroids.new_full((len(row),), torch.nan) for name in CHANGES}
        same = centroids.new_full(row.shape, torch.nan)
        for s, of in enumerate(row):
            known = torch.nonzero(of >= 0)[:, 0]
            if len(known):
                now, then = centroids[s, known], centroids[of[known], known]
                same[s, known] = pattern_correlation(now, then)
                for name, value in configuration_change(now, then).items():
                    found[name][s] = value
        return {**found, "pattern_correlation": same}

    out = {name: ["snapshot"] for name in CHANGES} | {"pattern_correlation": ["snapshot", by]}
    about = {"reference": reference, "by": by, "only_met": int(only_met)}
    core = [PATTERNS, ("stimulus",), ("snapshot", by)]
    found = over_snapshots(kernel, [values, label, rows], core, out, owner, device, about, {by: classes})
    for name, (long_name, units) in CHANGES.items():
        found[name].attrs |= {"long_name": long_name, "units": units}
    found["pattern_correlation"].attrs["long_name"] = (
        "correlation of every class' mean pattern with that at the reference"
    )
    return found


def stimulus_drift(activity: xr.DataArray, *, device: str | torch.device = "auto") -> xr.DataArray:
    r"""How far the pattern of every stimulus went from what it was when its context was learned.

    .. math:: 1 - \operatorname{corr}(x_{s,i}, x_{k(i),i}), \qquad k(i) \text{ the context of stimulus } i

    Parameters
    ----------
    activity
        (..., snapshot, stimulus, unit) with the coordinates ``contexts_learned`` and ``context``.

    Returns
    -------
    xarray.DataArray
        (..., snapshot, stimulus), from 0 to 2; NaN before its context was learned, and for a pattern that is the same
        in all units. Coordinate ``context`` is kept.

    Raises
    ------
    DataError
        For missing dimensions or coordinates, or where the snapshot after a context is missing.
    """
    owner = "stimulus_drift"
    values = checked(activity, owner)
    context = bare(coordinate(values, "context", owner))
    rows = _reference_rows(values, context, "learned", False, "stimulus", values.sizes["stimulus"], owner)

    def kernel(patterns: Tensor, row: Tensor) -> dict[str, Tensor]:
        drift = torch.full(row.shape, torch.nan, dtype=torch.float64, device=row.device)
        for s, of in enumerate(row):
            known = torch.nonzero(of >= 0)[:, 0]
            if len(known):
                drift[s, known] = 1 - pattern_correlation(patterns[s, known], patterns[of[known], known])
        return {"drift": drift}

    out = {"drift": ["snapshot", "stimulus"]}
    found = over_snapshots(
        kernel, [values, rows], [PATTERNS, ("snapshot", "stimulus")], out, owner, device, {"metric": "correlation"}
    )
    kept = {n: c.variable.compute() for n, c in values.coords.items() if "stimulus" in c.dims and "unit" not in c.dims}
    long_name = "1 - correlation of a stimulus' pattern with that when its context was learned"
    return found["drift"].assign_coords(kept).rename("stimulus_drift").assign_attrs(long_name=long_name)


def drift_by_age(activity: xr.DataArray, *, device: str | torch.device = "auto") -> xr.DataArray:
    r"""Drift of the patterns of stimuli, :func:`stimulus_drift`, by the number of contexts learned since their own.

    .. math:: d(m) = \operatorname{mean}_{i,\, s = k(i) + m} \bigl( 1 - \operatorname{corr}(x_{s,i}, x_{k(i),i}) \bigr)

    Old memories are of the first contexts only, as in :func:`analysis.forgetting.retention`, whose ``age`` this is.

    Parameters
    ----------
    activity
        As :func:`stimulus_drift` takes it.

    Returns
    -------
    xarray.DataArray
        (..., age), contexts learned since, from 1 on. All pairs of a stimulus and a snapshot count the same, so that a
        context with more stimuli counts more. Patterns that are the same in all units, such as those of an area that
        is silent, have no drift and are left out; NaN where there are no others.

    Raises
    ------
    DataError
        As :func:`stimulus_drift`, and where nothing was learned after the context of any stimulus.
    """
    drift = stimulus_drift(activity, device=device)
    age = drift["contexts_learned"] - drift["context"]
    oldest = int(age.max())
    if oldest < 1:
        raise DataError("drift_by_age: no snapshot was taken after a context that followed that of a stimulus")
    ages = xr.Variable("age", np.arange(1, oldest + 1), {"long_name": "contexts learned since", "units": "1"})
    means = [drift.where(age == m).mean(["snapshot", "stimulus"]) for m in ages.values]
    found = xr.concat(means, ages, coords="minimal", compat="override").transpose(..., "age")
    long_name = f"{drift.attrs['long_name']}, mean over stimuli and snapshots"
    return found.rename("drift_by_age").assign_attrs(drift.attrs, long_name=long_name)


def _reference_rows(
    values: xr.DataArray,
    context: xr.DataArray | None,
    reference: str | int,
    only_met: bool,
    item: str,
    n: int,
    owner: str,
) -> xr.DataArray:
    """Snapshot with which every item is compared at every snapshot, as an index, -1 = none; (..., snapshot, item)."""
    number = np.arange(values.sizes["snapshot"])
    names = values["snapshot"].values.tolist()
    if reference == "learned":
        assert context is not None
        learned = learned_at(values, owner)
        done = {int(k): i for i, k in reversed(list(enumerate(learned.values)))}
        for k in np.unique(context.values):
            if k <= learned.max() and int(k) not in done:
                raise DataError(f"{owner}: the snapshot after context {k} is missing, when its stimuli were learned")
        row = xr.apply_ufunc(np.vectorize(lambda k: done.get(int(k), -1), otypes=[int]), context)
        return row.where(context <= learned, -1)
    if reference == "previous":
        row = xr.DataArray(number - 1, dims="snapshot")
    elif reference in names and not isinstance(reference, bool | str):
        row = xr.DataArray(np.full_like(number, names.index(reference)), dims="snapshot")
    else:
        raise SettingError(owner, "reference", reference, one_of(["previous", "learned", *names]))
    row = row.expand_dims({item: n})
    return (
        row.where(context <= learned_at(values, owner)[row.clip(min=0)], -1)
        if only_met and context is not None
        else row
    )
