"""Distances between clouds of activity patterns: Frechet distance, kernel distance, and the modified inception score.

Kernels on plain tensors, in float64 whatever comes in; the labelled functions are in :mod:`analysis.fidelity`. All of
them depend on the number of samples: compare values at equal numbers, and with real activity against real activity.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from replaysim.errors import DataError

from .devices import exact_products, rows_at_once

EPS = torch.finfo(torch.float64).eps
_COLUMNS = 250  # width of the blocks of a triangle of a symmetric matrix


class _Cloud(NamedTuple):
    """Mean (P,), and a matrix whose rows, or a covariance whose entries, say how the samples scatter about it."""

    mean: Tensor
    trace: Tensor
    covariance: Tensor | None = None
    rows: Tensor | None = None  # of the samples as they came


@exact_products()
def moments(samples: Tensor, *, memory: int | None = None) -> tuple[Tensor, Tensor]:
    """Mean (P,) and covariance (P, P), over *n* - 1, of samples (n, P); accumulated in float64 block by block.

    Parameters
    ----------
    memory
        Bytes beyond samples and results.
    """
    _check_samples(samples, "samples")
    mean = _mean(samples, memory)
    units = samples.shape[1]
    covariance = samples.new_zeros((units, units), dtype=torch.float64)
    for block in samples.split(rows_at_once(units, memory, copies=2, itemsize=8)):
        centred = block.double() - mean
        for start in range(0, units, _COLUMNS):  # the lower triangle only
            stop = min(start + _COLUMNS, units)
            covariance[start:, start:stop].addmm_(centred[:, start:].T, centred[:, start:stop])
    covariance /= len(samples) - 1
    return mean, _mirrored(covariance)


@exact_products()
def frechet_distance(real: Tensor, generated: Tensor, *, memory: int | None = None) -> Tensor:
    r"""Frechet distance between the Gaussians that have the moments of two sets of samples.

    .. math:: d = |\mu_R - \mu_G|^2
        + \mathrm{tr}\bigl(\Sigma_R + \Sigma_G - 2 (\Sigma_R \Sigma_G)^{1/2}\bigr)

    It is biased upwards by about 1 / samples. With fewer samples than units no matrix of units x units is formed:
    :math:`\mathrm{tr}(\Sigma_R\Sigma_G)^{1/2}` is the nuclear norm of the product of the centred samples.

    Parameters
    ----------
    real, generated
        (N, P) and (M, P); on a GPU if they are there.
    memory
        Bytes beyond the samples and their moments.

    Source: Dowson & Landau (1982); as a score of generated images Heusel et al. (2017), NeurIPS.
    """
    _check_samples(real, "real")
    _check_samples(generated, "generated")
    _same_units(real, generated)
    return _distance(_cloud(real, memory), _cloud(generated, memory), memory)


@exact_products()
def frechet_from_moments(mean1: Tensor, cov1: Tensor, mean2: Tensor, cov2: Tensor) -> Tensor:
    """Frechet distance of two Gaussians, from means (P,) and covariances (P, P); see :func:`frechet_distance`."""
    clouds = []
    for mean, cov in ((mean1, cov1), (mean2, cov2)):
        mean, cov = mean.double(), cov.double()
        if mean.ndim != 1 or cov.shape != (len(mean), len(mean)) or len(mean) != len(mean1):
            raise DataError(
                f"frechet_from_moments: means (units,) and covariances (units, units) of the same units are needed; "
                f"got {tuple(mean.shape)} and {tuple(cov.shape)}"
            )
        if not bool(torch.isfinite(mean).all() and torch.isfinite(cov).all()):
            raise DataError("frechet_from_moments: a mean or covariance holds NaN or infinite numbers")
        if not torch.allclose(cov, cov.T, rtol=1e-6, atol=1e-9 * float(cov.abs().max())):
            raise DataError("frechet_from_moments: a covariance is not symmetric")
        clouds.append(_Cloud(mean, cov.trace(), cov))
    return _distance(clouds[0], clouds[1], None)


@exact_products()
def kernel_distance(real: Tensor, generated: Tensor, *, memory: int | None = None) -> Tensor:
    r"""Squared maximum mean discrepancy under a cubic kernel, unbiased at every number of samples (may be negative).

    .. math:: \frac{\sum_{i \ne j} k(r_i, r_j)}{N(N-1)} + \frac{\sum_{i \ne j} k(g_i, g_j)}{M(M-1)}
        - \frac{2 \sum_{i,j} k(r_i, g_j)}{NM}, \qquad k(x, y) = (x \cdot y / P + 1)^3

    Parameters
    ----------
    real, generated
        (N, P) and (M, P).
    memory
        Bytes beyond the samples.

    Source: Binkowski et al. (2018), ICLR ("KID", here without subsets).
    """
    _check_samples(real, "real")
    _check_samples(generated, "generated")
    _same_units(real, generated)
    n, m = len(real), len(generated)
    within = _kernel_sum(real, None, memory) / (n * (n - 1)) + _kernel_sum(generated, None, memory) / (m * (m - 1))
    return within - 2 * _kernel_sum(real, generated, memory) / (n * m)


@exact_products()
def inception_score(probabilities: Tensor) -> Tensor:
    r"""How sure a classifier is of each sample, and how varied its decisions are over samples.

    .. math:: \exp\Bigl(\frac1n \sum_s \mathrm{KL}\bigl(p(y|x_s) \,\|\, \bar p(y)\bigr)\Bigr)

    From 1 to the number of classes; over all samples at once (no splits).

    Parameters
    ----------
    probabilities
        (sample, class), rows sum to 1.

    Source: Salimans et al. (2016), NeurIPS; with a classifier of the task in place of the Inception network, van de
    Ven et al. (2020).
    """
    if probabilities.ndim != 2 or not probabilities.numel():
        raise DataError(f"inception_score: (sample, class) are needed; got shape {tuple(probabilities.shape)}")
    p = probabilities.double()
    total = p.sum(1)
    if not bool((p >= 0).all()) or not torch.allclose(total, torch.ones_like(total), atol=1e-3):
        raise DataError(
            "inception_score: probabilities of the classes are needed, each >= 0 and 1 together; take the softmax of "
            "logits first"
        )
    mean = p.mean(0)
    return (torch.xlogy(p, p) - torch.xlogy(p, mean)).sum(1).mean().exp()


def _check_samples(samples: Tensor, name: str) -> None:
    if samples.ndim != 2 or len(samples) < 2 or not samples.shape[1]:
        raise DataError(f"{name}: at least two samples are needed, (sample, unit); got shape {tuple(samples.shape)}")


def _same_units(real: Tensor, generated: Tensor) -> None:
    if real.shape[1] != generated.shape[1]:
        raise DataError(
            f"real and generated samples have different units: {real.shape[1]} and {generated.shape[1]}; compare them "
            "in the same area or embedding"
        )


def _mean(samples: Tensor, memory: int | None) -> Tensor:
    total = samples.new_zeros(samples.shape[1], dtype=torch.float64)
    for block in samples.split(rows_at_once(samples.shape[1], memory, copies=2, itemsize=8)):
        total += block.sum(0, dtype=torch.float64)
    return total / len(samples)


def _mirrored(lower: Tensor) -> Tensor:
    return torch.tril(lower).add_(torch.tril(lower, -1).T)


def _cloud(samples: Tensor, memory: int | None) -> _Cloud:
    if len(samples) >= samples.shape[1]:
        mean, covariance = moments(samples, memory=memory)
        return _Cloud(mean, covariance.trace(), covariance)
    mean = _mean(samples, memory)
    squares = mean.new_zeros(())
    for block in samples.split(rows_at_once(samples.shape[1], memory, copies=2, itemsize=8)):
        squares += (block.double() - mean).square_().sum()
    return _Cloud(mean, squares / (len(samples) - 1), rows=samples)


def _distance(one: _Cloud, other: _Cloud, memory: int | None) -> Tensor:
    gap = (one.mean - other.mean).square().sum()
    return (gap + one.trace + other.trace - 2 * _root_trace(one, other, memory)).clamp(min=0)


def _root_trace(one: _Cloud, other: _Cloud, memory: int | None) -> Tensor:
    """Trace of the root of the product of two covariances, by the cheapest way that is exact."""
    if one.rows is not None and other.rows is not None:
        return torch.linalg.svdvals(_product(one, other, memory)).sum()
    if one.covariance is not None and other.covariance is not None:  # units that never vary add nothing
        varies = _varies(one.mean, one.covariance) & _varies(other.mean, other.covariance)
        if not bool(varies.any()):
            return one.trace.new_zeros(())
        if not bool(varies.all()):
            one = one._replace(covariance=one.covariance[varies][:, varies])
            other = other._replace(covariance=other.covariance[varies][:, varies])
    lower = [_cholesky(c.covariance) for c in (one, other)]
    if lower[0] is not None and lower[1] is not None and other.covariance is not None:
        return torch.linalg.eigvalsh(_sandwich(lower[0], other.covariance)).clamp(min=0).sqrt().sum()
    roots = [_root(c) if low is None else low for c, low in zip((one, other), lower, strict=True)]
    return torch.linalg.svdvals(roots[0].T @ roots[1]).sum()


def _varies(mean: Tensor, covariance: Tensor) -> Tensor:
    return covariance.diagonal() > (8 * EPS * mean).square()  # rounding of the mean of a constant


def _cholesky(covariance: Tensor | None) -> Tensor | None:
    """Lower factor, or None where the covariance is singular up to rounding."""
    if covariance is None:
        return None
    lower, failed = torch.linalg.cholesky_ex(covariance)
    least = len(covariance) * EPS * covariance.diagonal().max()
    return lower if int(failed) == 0 and bool(lower.diagonal().square().min() > least) else None


def _root(cloud: _Cloud) -> Tensor:
    """A matrix R, (units, rank), with R R^T = covariance: eigenvectors, or centred samples where these are fewer."""
    if cloud.rows is not None:
        return (cloud.rows.double() - cloud.mean).T / (len(cloud.rows) - 1) ** 0.5
    values, vectors = torch.linalg.eigh(cloud.covariance)
    real = values > len(values) * EPS * values[-1].clamp(min=0)
    return vectors[:, real] * values[real].sqrt()


def _sandwich(lower: Tensor, covariance: Tensor) -> Tensor:
    """Lower triangle of L^T S L, for a lower triangular L and a symmetric S, without products of zeros."""
    units = len(lower)
    out = torch.zeros_like(lower)
    for start in range(0, units, _COLUMNS):
        stop = min(start + _COLUMNS, units)
        right = covariance[start:, start:] @ lower[start:, start:stop]
        out[start:, start:stop] = lower[start:, start:].T @ right
    return out


def _product(one: _Cloud, other: _Cloud, memory: int | None) -> Tensor:
    """Products of the centred samples of both sets, over the root of their degrees of freedom, (n, m)."""
    assert one.rows is not None and other.rows is not None
    n, m = len(one.rows), len(other.rows)
    total = one.mean.new_zeros((n, m))
    width = rows_at_once(n + m, memory, copies=2, itemsize=8)
    for start in range(0, len(one.mean), width):
        units = slice(start, start + width)
        left = one.rows[:, units].double() - one.mean[units]
        total.addmm_(left, (other.rows[:, units].double() - other.mean[units]).T)
    return total / ((n - 1) * (m - 1)) ** 0.5


def _kernel_sum(one: Tensor, other: Tensor | None, memory: int | None) -> Tensor:
    """Sum of the cubic kernel over all pairs of samples; of one set with itself, over all pairs of different ones."""
    units = one.shape[1]
    total = torch.zeros((), dtype=torch.float64, device=one.device)
    against = one if other is None else other
    rows = rows_at_once(2 * units, memory, copies=2, itemsize=8)
    for i in range(0, len(one), rows):
        left = one[i : i + rows].double()
        for j in range(i if other is None else 0, len(against), rows):
            kernel = left @ against[j : j + rows].double().T
            kernel.div_(units).add_(1).pow_(3)
            if other is not None:
                total += kernel.sum()
            elif i == j:
                total += kernel.fill_diagonal_(0).sum()
            else:
                total += 2 * kernel.sum()
    return total
