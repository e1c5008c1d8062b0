"""Precision and recall of distributions: how much of one cloud of patterns lies where the other does, by histogram.

Both sets of patterns are pooled and cut into clusters; what is compared are the two histograms over clusters. Precision
is high where what is generated is real (quality), recall where everything real is generated (diversity); a curve shows
what one costs in terms of the other. This is what the 2020 paper calls precision and recall; the per-sample measures of
the same name are in :mod:`analysis.neighbours`.

Source: Sajjadi et al. (2018), NeurIPS, "Assessing generative models via precision and recall".
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from replaysim.errors import DataError, SettingError, check_number

from .devices import exact_products

CLUSTERS, CLUSTERINGS, ANGLES = 20, 10, 1001
VARIABLES = {
    "precision": "precision (quality), by histogram over clusters",
    "recall": "recall (diversity), by histogram over clusters",
    "f8": "largest F score of the curve that weighs recall 8 times, by histogram",
    "f_eighth": "largest F score of the curve that weighs precision 8 times, by histogram",
    "f8_sd": "standard deviation over clusterings of f8, by histogram",
    "f_eighth_sd": "standard deviation over clusterings of f_eighth, by histogram",
}
"""What :func:`prd_curves` gives."""
_EDGE = 1e-10  # the first angle; the last is a right angle minus this
_ROWS = 4096  # fixed, so that rounding, and with it the clustering, does not depend on the memory at hand
_TRIALS = 4  # candidates for every first centre
_STEPS = 100
_SETTLED = 1e-4  # share of samples that may still change their cluster


class Clustering(NamedTuple):
    """Restarts of one clustering side by side: labels (restart, sample), inertia (restart), centres (…, unit)."""

    labels: Tensor
    inertia: Tensor
    centres: Tensor


def angles(n: int = ANGLES) -> Tensor:
    r"""Equally spaced angles :math:`\theta` of a curve, in rad; :math:`\lambda = \tan\theta` weighs recall."""
    check_number("prd", "n_angles", n, least=2, whole=True)
    return torch.linspace(_EDGE, math.pi / 2 - _EDGE, n, dtype=torch.float64)


def prd_from_histograms(real: Tensor, generated: Tensor, *, n_angles: int = ANGLES) -> tuple[Tensor, Tensor]:
    r"""Precision and recall at every angle, (..., angle).

    .. math:: p(\theta) = \sum_b \min(\lambda R_b, G_b), \quad r(\theta) = p(\theta) / \lambda, \quad
        \lambda = \tan\theta

    Parameters
    ----------
    real, generated
        Histograms (..., cluster), each with sum 1.

    Raises
    ------
    DataError
        Where precision or recall would exceed 1.001: these are no histograms.
    """
    slope = angles(n_angles).tan().to(real.device)
    r, g = real.double(), generated.double()
    if r.shape != g.shape or not bool((r >= 0).all() and (g >= 0).all()):
        raise DataError("prd_from_histograms: two histograms over the same clusters are needed, none below 0")
    precision = torch.minimum(slope[:, None] * r[..., None, :], g[..., None, :]).sum(-1)
    recall = precision / slope
    if float(precision.max()) > 1.001 or float(recall.max()) > 1.001:
        raise DataError("prd_from_histograms: a precision or recall above 1; divide each histogram by its sum first")
    return precision.clamp(0, 1), recall.clamp(0, 1)


def f_scores(precision: Tensor, recall: Tensor, *, beta: float = 8) -> tuple[Tensor, Tensor]:
    r"""Largest :math:`F_\beta` (weighs recall) and :math:`F_{1/\beta}` (weighs precision) on every curve (..., angle).

    .. math:: F_\beta = (1 + \beta^2) \frac{p r}{\beta^2 p + r}
    """
    check_number("f_scores", "beta", beta, above=1)

    def best(b: float) -> Tensor:
        below = b**2 * precision + recall
        score = (1 + b**2) * precision * recall / torch.where(below > 0, below, 1)
        return score.amax(-1)

    return best(beta), best(1 / beta)


@exact_products()
def pooled_histograms(
    real: Tensor, generated: Tensor, *, clusters: int = CLUSTERS, clusterings: int = CLUSTERINGS, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Histograms of both sets over clusters of the pooled samples, (clustering, cluster) each.

    Parameters
    ----------
    real, generated
        (N, P) and (M, P).
    clusters, clusterings
        Bins of a histogram; independent clusterings, which differ in where they start.
    seed
        Of the starts: the same seed, the same histograms.
    """
    if real.ndim != 2 or generated.ndim != 2 or real.shape[1] != generated.shape[1]:
        raise DataError(
            "prd: real and generated samples, (sample, unit) of the same units, are needed; got shapes "
            f"{tuple(real.shape)} and {tuple(generated.shape)}"
        )
    labels = kmeans(torch.cat((real, generated)), clusters, restarts=clusterings, seed=seed).labels

    def histogram(part: Tensor) -> Tensor:
        counts = torch.zeros(len(part), clusters, dtype=torch.float64, device=part.device)
        for cluster in range(clusters):
            counts[:, cluster] = (part == cluster).sum(1)
        return counts / part.shape[1]

    return histogram(labels[:, : len(real)]), histogram(labels[:, len(real) :])


@exact_products()
def prd_curves(
    real: Tensor,
    generated: Tensor,
    *,
    clusters: int = CLUSTERS,
    clusterings: int = CLUSTERINGS,
    n_angles: int = ANGLES,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Precision and recall (angle), averaged over clusterings at equal angle, and what single clusterings give.

    Parameters
    ----------
    real, generated
        Equally many samples, (N, P) each.
    clusters, clusterings, seed
        See :func:`pooled_histograms`.
    n_angles
        Points of a curve.

    Returns
    -------
    dict
        ``precision``, ``recall`` (angle); ``f8``, ``f_eighth``, the largest F scores on this mean curve; ``f8_sd`` and
        ``f_eighth_sd``, standard deviation of the scores of single clusterings (NaN for one clustering).

    Raises
    ------
    DataError
        For different numbers of samples: the larger set fills more clusters by chance alone. Draw equally many first.
    """
    if len(real) != len(generated):
        raise DataError(
            f"prd: equally many real and generated samples are needed, got {len(real)} and {len(generated)}: leave "
            "some out first, e.g. with .isel(event=slice(n)), or take fidelity(), which draws equally many"
        )
    histograms = pooled_histograms(real, generated, clusters=clusters, clusterings=clusterings, seed=seed)
    precision, recall = prd_from_histograms(*histograms, n_angles=n_angles)
    single = f_scores(precision, recall)
    precision, recall = precision.mean(0), recall.mean(0)
    f8, f_eighth = f_scores(precision, recall)
    nan = torch.full((), float("nan"), dtype=torch.float64)
    spread = [s.std() if clusterings > 1 else nan for s in single]
    found = {"precision": precision, "recall": recall, "f8": f8, "f_eighth": f_eighth}
    return {**found, "f8_sd": spread[0], "f_eighth_sd": spread[1]}


@exact_products()
def kmeans(points: Tensor, clusters: int = CLUSTERS, *, restarts: int = 10, seed: int = 0) -> Clustering:
    """Lloyd's k-means from greedy k-means++ starts, all restarts in one batch.

    A restart ends when fewer than one in 10,000 samples changes its cluster, at the latest after 100 steps. A cluster
    that loses all samples starts again at the sample that is farthest from its centre.

    Parameters
    ----------
    points
        (sample, unit); float64 stays, all else is float32.
    seed
        Chance comes from a generator on the CPU, so that it is the same on every device.
    """
    check_number("kmeans", "clusters", clusters, least=1, whole=True)
    check_number("kmeans", "restarts", restarts, least=1, whole=True)
    check_number("kmeans", "seed", seed, least=0, whole=True)
    if clusters > len(points):
        raise SettingError("kmeans", "clusters", clusters, f"at most the number of samples, {len(points)}")
    offset = points.mean(0, dtype=torch.float64)
    x = points.to(points.dtype if points.dtype == torch.float64 else torch.float32)
    x = x - offset.to(x.dtype)  # float32 distances are exact only near the origin
    norms = x.square().sum(1)
    centres = x[_starts(x, norms, clusters, restarts, seed)]
    labels = _assign(x, norms, centres)
    active = torch.arange(restarts, device=x.device)
    for _ in range(_STEPS):
        centres[active] = _means(x, norms, labels[active], centres[active])
        new = _assign(x, norms, centres[active])
        changed = (new != labels[active]).sum(1)
        labels[active] = new
        active = active[changed > _SETTLED * len(x)]
        if not len(active):
            break
    return Clustering(labels, _inertia(x, centres, labels), centres.double() + offset)


def _starts(x: Tensor, norms: Tensor, clusters: int, restarts: int, seed: int) -> Tensor:
    """Greedy k-means++: of a few samples drawn by squared distance, the one that helps most; (restart, cluster)."""
    chance = torch.Generator().manual_seed(seed)
    draws = torch.rand(clusters, restarts, _TRIALS, generator=chance, dtype=torch.float64).to(x.device)
    each = torch.arange(restarts, device=x.device)
    chosen = torch.empty(restarts, clusters, dtype=torch.int64, device=x.device)
    chosen[:, 0] = (draws[0, :, 0] * len(x)).long()
    nearest = _squared(x, norms, x[chosen[:, 0]])
    for c in range(1, clusters):
        mass = nearest.double().cumsum(1)
        drawn = torch.searchsorted(mass, draws[c] * mass[:, -1:], right=True).clamp_(max=len(x) - 1)
        trial = _squared(x, norms, x[drawn.flatten()]).view(restarts, _TRIALS, -1)
        trial = torch.minimum(trial, nearest[:, None])
        best = trial.sum(2, dtype=torch.float64).argmin(1)
        chosen[:, c], nearest = drawn[each, best], trial[each, best]
    return chosen


def _squared(x: Tensor, norms: Tensor, centres: Tensor) -> Tensor:
    """Squared distances, (centre, sample)."""
    return (centres.square().sum(1)[:, None] + norms - 2 * centres @ x.T).clamp_(min=0)


def _assign(x: Tensor, norms: Tensor, centres: Tensor) -> Tensor:
    """Nearest centre of every sample, (restart, sample)."""
    restarts, clusters, _ = centres.shape
    labels = []
    for rows, lengths in zip(x.split(_ROWS), norms.split(_ROWS), strict=True):
        labels.append(_squared(rows, lengths, centres.flatten(0, 1)).view(restarts, clusters, -1).argmin(1))
    return torch.cat(labels, 1)


def _inertia(x: Tensor, centres: Tensor, labels: Tensor) -> Tensor:
    """Summed squared distances of all samples to their centres, (restart), from differences: exact."""
    found = torch.zeros(len(centres), dtype=torch.float64, device=x.device)
    for r in range(len(centres)):
        for rows, own in zip(x.split(_ROWS), labels[r].split(_ROWS), strict=True):
            found[r] += (rows - centres[r][own]).square_().sum(dtype=torch.float64)
    return found


def _means(x: Tensor, norms: Tensor, labels: Tensor, centres: Tensor) -> Tensor:
    """Mean of the samples of every cluster; products with 0 and 1, which unlike scattered sums repeat exactly."""
    restarts, clusters, units = centres.shape
    number = torch.arange(clusters, device=x.device)[:, None]
    sums = torch.zeros(restarts * clusters, units, dtype=torch.float64, device=x.device)
    counts = torch.zeros(restarts * clusters, dtype=torch.float64, device=x.device)
    for rows, own in zip(x.split(_ROWS), labels.split(_ROWS, 1), strict=True):
        member = (own[:, None] == number).to(x.dtype).flatten(0, 1)
        sums += member @ rows
        counts += member.sum(1)
    found = (sums / counts.clamp(min=1)[:, None]).to(x.dtype).view_as(centres)
    empty = (counts == 0).view(restarts, clusters)
    for r in empty.any(1).nonzero().flatten().tolist():
        own = centres[r][labels[r]]
        far = norms + own.square().sum(1) - 2 * (x * own).sum(1)
        found[r, empty[r]] = x[far.topk(int(empty[r].sum())).indices]
    return found
