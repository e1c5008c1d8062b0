"""Whether a linear readout of what one time's activity says still reads that of another time."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from replaysim.errors import SettingError, check_number

from .covariance import group_means
from .devices import exact_products
from .snapshots import PATTERNS, checked, class_context, class_labels, learned_at, over_snapshots


def lda_readout(patterns: Tensor, label: Tensor, classes: int, shrinkage: float) -> tuple[Tensor, Tensor]:
    """Weights (class, unit) and offsets (class,) of the linear readout of :func:`cross_context_decoding`."""
    with exact_products():
        x, means = patterns.double(), group_means(patterns, label, classes)
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
    values = checked(activity, owner)
    check_number(owner, "folds", folds, least=2, whole=True)
    check_number(owner, "seed", seed, least=0, whole=True)
    if shrinkage is not None:
        check_number(owner, "shrinkage", shrinkage, above=0)
        if shrinkage > 1:
            raise SettingError(owner, "shrinkage", shrinkage, "a number above 0 and up to 1")
    label, classes = class_labels(values, by, owner, folds)
    n = len(classes)
    met = xr.DataArray(np.ones((values.sizes["snapshot"], n), int), dims=("snapshot", by))
    if only_met:
        learned = learned_at(values, owner)
        met = (class_context(values, label, by, n, owner) <= learned).astype(int)

    def kernel(patterns: Tensor, code: Tensor, known: Tensor) -> dict[str, Tensor]:
        counts = (known > 0).sum(1).double()
        accuracy = decoding_matrix(patterns, code, known > 0, stratified_folds(code, folds, seed), shrinkage)
        return {"accuracy": accuracy, "chance": torch.where(counts < 2, torch.nan, 1 / counts)}

    out = {"accuracy": ["snapshot", "other_snapshot"], "chance": ["snapshot"]}
    rule = "units / (units + trials - classes)" if shrinkage is None else shrinkage
    about = {"by": by, "readout": "linear discriminant", "folds": folds, "shrinkage": rule, "seed": seed}
    core = [PATTERNS, ("stimulus",), ("snapshot", by)]
    found = over_snapshots(kernel, [values, label, met], core, out, owner, device, about | {"only_met": int(only_met)})
    accuracy = found["accuracy"].rename("decoding").assign_attrs(long_name="accuracy of the readout, mean over classes")
    return accuracy.assign_coords(chance=found["chance"]) if only_met else accuracy.assign_attrs(chance=1 / n)
