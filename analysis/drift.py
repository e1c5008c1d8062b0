r"""Representational drift: what activity evoked by the same stimuli becomes while other things are learned.

A population may drift and still tell stimuli apart. So drift is measured as movement of class centroids (shift, growth
and turn, which a readout could follow, and what remains), of single patterns, of the subspace that activity occupies,
and by what counts downstream: whether a readout of one time still reads the activity of another. A pattern *when
learned* is that of the snapshot at the end of its context.

One slice with all its snapshots (one animal's) is in memory at a time, and of it some parts once more in float64, in
which all is computed; of a still larger log select stimuli or snapshots first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from replaysim.errors import DataError, SettingError, check_number, one_of

from .devices import exact_products
from .labelled import Kernel, per_slice, require

PATTERNS = ("snapshot", "stimulus", "unit")
CHANGES = {
    "translation": ("distance that the mean of the centroids moved, over the spread at the reference", "1"),
    "scaling": ("spread of the centroids over that at the reference", "1"),
    "norm_scaling": ("mean length of the centroids over that at the reference", "1"),
    "rotation": ("angle by which the differences between centroids turned", "degree"),
    "principal_angle": ("mean principal angle between the subspaces of the centroids", "degree"),
    "residual": ("share of the arrangement of centroids that shift, growth and turn do not explain", "1"),
}
"""Meaning and unit of what :func:`centroid_drift` says of an arrangement of classes."""
_ROUNDING = 1e-6  # relative size below which a direction is rounding of float32


def class_means(patterns: Tensor, label: Tensor, classes: int) -> Tensor:
    """Mean pattern of every class, (class, unit) float64, of patterns (stimulus, unit) labelled 0, 1, ..."""
    with exact_products():
        member = torch.nn.functional.one_hot(label, classes).double()
        return (member.T @ patterns.double()) / member.sum(0)[:, None]


def principal_angles(one: Tensor, other: Tensor) -> Tensor:
    """Principal angles (radian, ascending) between the subspaces spanned by the rows of matrices (vector, unit)."""
    with exact_products():
        few, many = sorted((_row_space(x.double()) for x in (one, other)), key=len)
        overlap = few @ many.T
        cosine, sine = torch.linalg.svdvals(overlap), torch.linalg.svdvals(few - overlap @ many)
        return torch.atan2(sine.flip(0), cosine)  # the sine is exact near 0, the cosine near 90 degrees


def _row_space(rows: Tensor) -> Tensor:
    _, weight, axes = torch.linalg.svd(rows, full_matrices=False)
    return axes[weight > _ROUNDING * weight.amax()]


def configuration_change(now: Tensor, then: Tensor) -> dict[str, Tensor]:
    """:data:`CHANGES` between two arrangements of the same classes, (class, unit); see :func:`centroid_drift`."""
    with exact_products():
        now, then = now.double(), then.double()
        lengths = [torch.linalg.vector_norm(each, dim=1) for each in (then, now)]
        both = torch.cat([each - each.mean(0) for each in (then, now)])
        x, y = torch.linalg.qr(both.T, mode="r").R.T.split(len(then))  # the same arrangements in few coordinates
        sizes = [torch.linalg.matrix_norm(each) for each in (x, y)]
        alike = [
            size <= _ROUNDING * torch.linalg.vector_norm(length) for size, length in zip(sizes, lengths, strict=True)
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
        sure = weight > _ROUNDING**2 * weight.amax()
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


def principal_axes(patterns: Tensor, dimensions: int | float) -> tuple[Tensor, Tensor]:
    """Leading principal axes, as many or of that share of variance, (axis, unit), and the variances of all, summed."""
    with exact_products():
        x = patterns.double() - patterns.double().mean(0)
        wide = len(x) <= x.shape[1]
        weight, vectors = torch.linalg.eigh(x @ x.T if wide else x.T @ x)
        weight, vectors = weight.flip(0).clamp(min=0), vectors.flip(1)
        rank = int((weight > _ROUNDING**2 * patterns.double().square().sum()).sum())
        if dimensions < 1:
            reached = weight.cumsum(0) >= dimensions * weight.sum() * (1 - 1e-12)
            dimensions = int((~reached).sum()) + 1
        kept = vectors[:, : min(int(dimensions), rank)]
        return torch.linalg.qr(x.T @ kept if wide else kept).Q.T, weight


def subspace_matrices(patterns: Sequence[Tensor] | Tensor, dimensions: int | float) -> dict[str, Tensor]:
    """What :func:`subspace_overlap` says of S snapshots, each (item, unit): matrices (S, S) and ``dimensions`` (S,)."""
    with exact_products():
        axes, variances = zip(*(principal_axes(x, dimensions) for x in patterns), strict=True)
        found = {n: variances[0].new_full((len(axes), len(axes)), torch.nan) for n in ("overlap", "alignment")}
        for j, other in enumerate(axes):
            x = patterns[j].double() - patterns[j].double().mean(0)
            for i, own in enumerate(axes):
                if len(own) and len(other):
                    found["overlap"][i, j] = (own @ other.T).square().sum() / min(len(own), len(other))
                    held = (x @ own.T).square().sum()
                    found["alignment"][i, j] = (held / variances[j][: len(own)].sum()).clamp(max=1)
        return {**found, "dimensions": torch.tensor([len(own) for own in axes])}


def lda_readout(patterns: Tensor, label: Tensor, classes: int, shrinkage: float) -> tuple[Tensor, Tensor]:
    """Weights (class, unit) and offsets (class,) of the linear readout of :func:`cross_context_decoding`."""
    with exact_products():
        x, means = patterns.double(), class_means(patterns, label, classes)
        each = torch.bincount(label, minlength=classes).double()
        noise = (x - means[label]) / (classes * each[label]).sqrt()[:, None]  # every class counts the same
        n, units = noise.shape
        own, equal = 1 - shrinkage, shrinkage * noise.square().sum() / units
        equal = torch.where(equal > 0, equal, 1.0)  # no noise at all: the nearest mean
        if n <= units:  # the inverse of a (unit, unit) matrix by way of (trial, trial)
            inner = own * (noise @ noise.T)
            inner.diagonal().add_(equal)
            weights = (means - own * torch.linalg.solve(inner, noise @ means.T).T @ noise) / equal
        else:
            covariance = own * (noise.T @ noise)
            covariance.diagonal().add_(equal)
            weights = torch.linalg.solve(covariance, means.T).T
        return weights, -0.5 * (weights * means).sum(1)


def stratified_folds(label: Tensor, folds: int, seed: int) -> Tensor:
    """Fold of every stimulus, (stimulus,): classes are spread evenly over folds, in random order."""
    chance = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(label), generator=chance)
    order = order[torch.argsort(label.cpu()[order], stable=True)]
    found = torch.empty_like(order)
    found[order] = torch.arange(len(order)) % folds
    return found.to(label.device)


def decoding_matrix(
    patterns: Tensor, label: Tensor, met: Tensor, fold: Tensor, shrinkage: float | None = None
) -> Tensor:
    """Accuracy of :func:`cross_context_decoding`, (S, S), of patterns (S, stimulus, unit) in these folds.

    ``met`` (S, class) are the classes among which the readout of a snapshot decides; NaN where there are not two.
    """
    with exact_products():
        right = torch.zeros(len(met), *met.shape, dtype=torch.float64, device=label.device)
        for f in range(int(fold.max()) + 1):
            test = fold == f
            held = patterns[:, test].double()
            for s, known in enumerate(met):
                which, train = torch.nonzero(known)[:, 0], ~test & known[label]
                if len(which) < 2:
                    continue
                units, trials = patterns.shape[2], int(train.sum())
                amount = units / (units + trials - len(which)) if shrinkage is None else shrinkage
                own = torch.cumsum(known, 0)[label[train]] - 1
                weights, offset = lda_readout(patterns[s, train], own, len(which), amount)
                decided = which[(held @ weights.T + offset).argmax(-1)]
                right[s].index_add_(1, label[test], (decided == label[test]).double())
        share = right / torch.bincount(label, minlength=met.shape[1])
        counts = met.sum(1)
        accuracy = torch.where(met[:, None], share, 0).sum(-1) / counts[:, None]
        return torch.where(counts[:, None] < 2, torch.nan, accuracy)


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
    values = _checked(activity, owner)
    label, classes = _labels(values, by, owner)
    context = _class_context(values, label, by, len(classes), owner) if only_met or reference == "learned" else None
    rows = _reference_rows(values, context, reference, only_met, by, len(classes), owner)

    def kernel(patterns: Tensor, code: Tensor, row: Tensor) -> dict[str, Tensor]:
        centroids = torch.stack([class_means(p, code, len(classes)) for p in patterns])
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
    found = _apply(kernel, [values, label, rows], core, out, owner, device, about, {by: classes})
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
    values = _checked(activity, owner)
    context = _bare(_coordinate(values, "context", owner))
    rows = _reference_rows(values, context, "learned", False, "stimulus", values.sizes["stimulus"], owner)

    def kernel(patterns: Tensor, row: Tensor) -> dict[str, Tensor]:
        drift = torch.full(row.shape, torch.nan, dtype=torch.float64, device=row.device)
        for s, of in enumerate(row):
            known = torch.nonzero(of >= 0)[:, 0]
            if len(known):
                drift[s, known] = 1 - pattern_correlation(patterns[s, known], patterns[of[known], known])
        return {"drift": drift}

    out = {"drift": ["snapshot", "stimulus"]}
    found = _apply(
        kernel, [values, rows], [PATTERNS, ("snapshot", "stimulus")], out, owner, device, {"metric": "correlation"}
    )
    kept = {n: c.variable for n, c in values.coords.items() if "stimulus" in c.dims and "unit" not in c.dims}
    long_name = "1 - correlation of a stimulus' pattern with that when its context was learned"
    return found["drift"].assign_coords(kept).rename("stimulus_drift").assign_attrs(long_name=long_name)


def subspace_overlap(
    activity: xr.DataArray,
    dimensions: int | float = 10,
    *,
    by: str | None = None,
    device: str | torch.device = "auto",
) -> xr.Dataset:
    r"""Whether activity of two times occupies the same subspace.

    With the leading :math:`d_i` principal axes :math:`U_i` (unit, axis) of snapshot *i*, the covariance
    :math:`\Sigma_j` over stimuli and its eigenvalues :math:`\lambda_{j1} \ge \lambda_{j2} \ge \dots`:

    .. math:: \text{overlap}_{ij} = \frac{\|U_i^\top U_j\|_F^2}{\min(d_i, d_j)}, \qquad
              \text{alignment}_{ij} = \frac{\operatorname{tr} U_i^\top \Sigma_j U_i}{\sum_{m \le d_i} \lambda_{jm}}

    The first counts all axes alike (mean squared cosine of the principal angles); the second is the variance of
    snapshot *j* that the axes of *i* hold, over the most that so many axes could hold.

    Parameters
    ----------
    activity
        (..., snapshot, stimulus, unit).
    dimensions
        Number of axes, or, below 1, the share of variance that they hold at least.
    by
        Take the mean patterns of these classes instead of all stimuli: the subspace that tells classes apart.

    Returns
    -------
    xarray.Dataset
        ``overlap`` and ``alignment`` (..., snapshot, other_snapshot), from 0 to 1 (the axes are those of ``snapshot``);
        ``dimensions`` (..., snapshot), the axes used, fewer where activity has no more; NaN where it has none. Two
        random subspaces have an overlap of d / units in the mean (attribute ``chance``, for a number of axes).

    Raises
    ------
    DataError, SettingError
        For missing dimensions, or more axes than stimuli (classes) or units allow.

    Notes
    -----
    Source of the alignment index: Elsayed et al. (2016), Nature Communications 7:13239.
    """
    owner = "subspace_overlap"
    values = _checked(activity, owner)
    label, classes = (None, np.empty(0)) if by is None else _labels(values, by, owner)
    items, units = values.sizes["stimulus"] if by is None else len(classes), values.sizes["unit"]
    if isinstance(dimensions, int | np.integer):
        check_number(owner, "dimensions", dimensions, least=1, whole=True)
    else:
        check_number(owner, "dimensions", dimensions, above=0, below=1)
    if dimensions > min(items - 1, units):
        what = "stimuli" if by is None else "classes"
        raise DataError(
            f"{owner}: {items} {what} of {units} units have at most {min(items - 1, units)} axes; got {dimensions}"
        )

    def kernel(patterns: Tensor, code: Tensor | None = None) -> dict[str, Tensor]:
        items = patterns if code is None else [class_means(p, code, len(classes)) for p in patterns]
        return subspace_matrices(items, dimensions)

    core = [PATTERNS, ("stimulus",)][: 1 if label is None else 2]
    out = {
        "overlap": ["snapshot", "other_snapshot"],
        "alignment": ["snapshot", "other_snapshot"],
        "dimensions": ["snapshot"],
    }
    about = {"dimensions": dimensions, "by": by or "stimulus"}
    found = _apply(kernel, [values] if label is None else [values, label], core, out, owner, device, about)
    found["overlap"].attrs |= {"long_name": "overlap of the subspaces of activity"}
    if dimensions >= 1:
        found["overlap"].attrs["chance"] = dimensions / units
    found["alignment"].attrs["long_name"] = "variance held by the axes of the other time, over the most possible"
    found["dimensions"].attrs = {"long_name": "principal axes used", "units": "1"}
    return found


def cross_context_decoding(
    activity: xr.DataArray,
    by: str = "original_class",
    *,
    folds: int = 5,
    shrinkage: float | None = None,
    only_met: bool = False,
    seed: int = 0,
    device: str | torch.device = "auto",
) -> xr.DataArray:
    r"""Whether a linear readout trained on activity of one time reads that of another.

    Linear discriminant analysis with the covariance S of patterns around the means :math:`\mu_c` of their classes, in
    which all classes count the same, shrunk towards equal variances of P units:

    .. math:: \hat c(x) = \arg\max_c\; w_c^\top x - \tfrac12 w_c^\top \mu_c, \qquad
              w_c = \bigl[(1 - \lambda) S + \lambda\, \tfrac{\operatorname{tr} S}{P} I\bigr]^{-1} \mu_c

    Stimuli are split into folds, balanced by class; readouts are tested on activity of the stimuli that they were not
    trained with, of all snapshots.

    Parameters
    ----------
    activity
        (..., snapshot, stimulus, unit).
    by
        Coordinate of stimuli that says what is decoded.
    folds
        Every class needs at least so many stimuli.
    shrinkage
        :math:`\lambda`, above 0 and up to 1; default: P / (P + N - C) for N training stimuli of C classes, which
        depends on nothing but these numbers and so is the same for all snapshots.
    only_met
        Only classes that were learned when the readout was trained; the naive animal then has none.
    seed
        Of the folds, the same in all slices.

    Returns
    -------
    xarray.DataArray
        (..., snapshot, other_snapshot), mean over classes of the fraction of right decisions, of readouts trained at
        ``snapshot`` on activity of ``other_snapshot``. Attribute ``chance`` (or, with ``only_met``, coordinate
        ``chance``, (..., snapshot)) is the level of guessing.

    Raises
    ------
    DataError, SettingError
        For missing dimensions or coordinates, too few stimuli of a class, or an impossible setting.
    """
    owner = "cross_context_decoding"
    values = _checked(activity, owner)
    check_number(owner, "folds", folds, least=2, whole=True)
    check_number(owner, "seed", seed, least=0, whole=True)
    if shrinkage is not None:
        check_number(owner, "shrinkage", shrinkage, above=0)
        if shrinkage > 1:
            raise SettingError(owner, "shrinkage", shrinkage, "a number above 0 and up to 1")
    label, classes = _labels(values, by, owner, folds)
    n = len(classes)
    met = xr.DataArray(np.ones((values.sizes["snapshot"], n), int), dims=("snapshot", by))
    if only_met:
        learned = _learned(values, owner)
        met = (_class_context(values, label, by, n, owner) <= learned).astype(int)

    def kernel(patterns: Tensor, code: Tensor, known: Tensor) -> dict[str, Tensor]:
        counts = (known > 0).sum(1).double()
        accuracy = decoding_matrix(patterns, code, known > 0, stratified_folds(code, folds, seed), shrinkage)
        return {"accuracy": accuracy, "chance": torch.where(counts < 2, torch.nan, 1 / counts)}

    out = {"accuracy": ["snapshot", "other_snapshot"], "chance": ["snapshot"]}
    rule = "units / (units + trials - classes)" if shrinkage is None else shrinkage
    about = {"by": by, "readout": "linear discriminant", "folds": folds, "shrinkage": rule, "seed": seed}
    core = [PATTERNS, ("stimulus",), ("snapshot", by)]
    found = _apply(kernel, [values, label, met], core, out, owner, device, about | {"only_met": int(only_met)})
    accuracy = found["accuracy"].rename("decoding").assign_attrs(long_name="accuracy of the readout, mean over classes")
    return accuracy.assign_coords(chance=found["chance"]) if only_met else accuracy.assign_attrs(chance=1 / n)


def _checked(activity: xr.DataArray, owner: str) -> xr.DataArray:
    if isinstance(activity, xr.DataArray) and "snapshot" not in activity.dims:
        raise DataError(f"{owner}: activity has no dimension 'snapshot': an area that does not change cannot drift")
    return require(activity, PATTERNS, owner, "activity")


def _coordinate(values: xr.DataArray, name: str, owner: str, dim: str = "stimulus") -> xr.DataArray:
    if name not in values.coords or dim not in values[name].dims:
        raise DataError(
            f"{owner}: activity has no coordinate {name!r} ({dim}); take it from readings.activity(log, area)"
        )
    return values[name]


def _bare(label: xr.DataArray) -> xr.DataArray:
    return label.reset_coords(drop=True).rename(None).compute()


def _labels(values: xr.DataArray, by: str, owner: str, least: int = 1) -> tuple[xr.DataArray, np.ndarray]:
    """Class of every stimulus as 0, 1, ..., and what these stand for."""
    given = _bare(_coordinate(values, by, owner))
    classes, code = np.unique(given.values, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"{owner}: all stimuli have the same {by}, {classes[0]}; at least two are needed")
    label = given.copy(data=code.reshape(given.shape).astype(np.int64))
    for k, name in enumerate(classes):
        fewest = int((label == k).sum("stimulus").min())
        if fewest < least:
            raise DataError(f"{owner}: {by} {name} has {fewest} stimuli; at least {least} are needed")
    return label, classes


def _learned(values: xr.DataArray, owner: str) -> xr.DataArray:
    return _bare(_coordinate(values, "contexts_learned", owner, "snapshot"))


def _class_context(values: xr.DataArray, label: xr.DataArray, by: str, n: int, owner: str) -> xr.DataArray:
    """Context of every class, (..., class)."""
    context = _bare(_coordinate(values, "context", owner))
    found = []
    for k in range(n):
        own = context.where(label == k)
        found.append(own.min("stimulus"))
        if bool((found[-1] != own.max("stimulus")).any()):
            raise DataError(
                f"{owner}: stimuli of one {by} belong to several contexts, so that it has no time of learning"
            )
    return xr.concat(found, by).astype(np.int64)


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
        learned = _learned(values, owner)
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
        row.where(context <= _learned(values, owner)[row.clip(min=0)], -1) if only_met and context is not None else row
    )


def _apply(
    kernel: Kernel,
    arrays: Sequence[xr.DataArray],
    core: Sequence[Sequence[str]],
    out: Mapping[str, Sequence[str]],
    owner: str,
    device: str | torch.device,
    about: Mapping[str, Any],
    coords: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    values = arrays[0]
    dtype = torch.float64 if values.dtype == np.float64 else torch.float32
    own = {str(name): c.variable.compute() for name, c in values.coords.items() if c.dims == ("snapshot",)}
    if any("other_snapshot" in dims for dims in out.values()):
        own |= {f"other_{name}": xr.Variable("other_snapshot", c.values, c.attrs) for name, c in own.items()}
    found = per_slice(
        kernel, arrays, core, out, owner=owner, device=device, dtype=dtype, coords={**own, **(coords or {})}
    )
    for name in found:
        found[name].attrs = {"units": "1", "compute_dtype": "float64", **about}
    return found
