"""Noise covariance: how units vary together around the mean response, estimated from few trials for many units.

All in float64 and by products of matrices.
"""

from __future__ import annotations

import torch

from replaysim.arithmetic import sums_by_group
from replaysim.errors import DataError, check_choice, check_number

from .devices import exact_products

METHODS = ("shrinkage_diag", "shrinkage_eye", "diagonal", "full")


def shrunk_covariance(
    residuals: torch.Tensor, method: str = "shrinkage_diag", dof: float | None = None
) -> torch.Tensor:
    r"""Covariance of units, shrunk towards a simpler one where trials are too few to tell.

    With centred residuals :math:`x_t`, :math:`S = \tfrac1\nu \sum_t x_t x_t^\top` and :math:`\nu` degrees of freedom,

    .. math:: \hat\Sigma = (1 - \lambda)\, S + \lambda\, T.

    Parameters
    ----------
    residuals
        (trial, unit), e.g. responses minus the mean of their class.
    method
        ``"shrinkage_diag"``: T = diag(S), and :math:`\lambda = \sum_{i \ne j} \widehat{\mathrm{var}}(r_{ij}) /
        \sum_{i \ne j} r_{ij}^2` for the correlations *r*; ``"shrinkage_eye"``: T = mean variance times the identity,
        and :math:`\lambda = b^2 / d^2`, the expected squared error of S over its squared distance from T;
        ``"diagonal"``: :math:`\lambda = 1`, T = diag(S), variances only; ``"full"``: :math:`\lambda = 0`.
    dof
        Degrees of freedom; default: trials - 1. For residuals from the means of C classes: trials - C.

    Returns
    -------
    torch.Tensor
        (unit, unit), float64, on the device of the residuals. A unit that never varies has a row and column of
        zeros, except with ``"shrinkage_eye"``.

    Raises
    ------
    DataError
        For fewer than two trials; with ``"full"``, unless there are more trials than units.

    Notes
    -----
    Sources: Schäfer & Strimmer (2005), Stat. Appl. Genet. Mol. Biol. 4:32 (``shrinkage_diag``); Ledoit & Wolf (2004),
    J. Multivar. Anal. 88:365 (``shrinkage_eye``).
    """
    check_choice("shrunk_covariance", "method", method, METHODS)
    if residuals.ndim != 2 or residuals.shape[0] < 2 or residuals.shape[1] < 1:
        raise DataError(
            f"shrunk_covariance: residuals must be (trial, unit) with at least 2 trials; got {tuple(residuals.shape)}"
        )
    n, units = residuals.shape
    if method == "full" and n <= units:
        raise DataError(
            f"shrunk_covariance: {n} trials cannot give a full covariance of {units} units that has an inverse; take "
            "method='shrinkage_diag' or 'diagonal', or fewer units"
        )
    if dof is None:
        dof = n - 1
    check_number("shrunk_covariance", "dof", dof, above=0)
    with exact_products():
        x = _centred(residuals)
        if method == "diagonal":
            return torch.diag(x.square().sum(0) / dof)
        if method == "full":
            return (x.T @ x) / dof
        return _towards_diagonal(x, dof) if method == "shrinkage_diag" else _towards_identity(x, dof)


def _centred(residuals: torch.Tensor) -> torch.Tensor:
    constant = residuals.amax(0) == residuals.amin(0)
    x = residuals.to(torch.float64)
    x = x - x.mean(0)
    x[:, constant] = 0  # the mean of equal numbers is not always that number
    return x


def _towards_diagonal(x: torch.Tensor, dof: float) -> torch.Tensor:
    n = x.shape[0]
    covariance = (x.T @ x) / dof
    variance = covariance.diagonal().clone()
    scale = torch.where(variance > 0, variance, torch.ones_like(variance)).rsqrt()
    squares = (x * scale).square_()
    # sums over pairs of different units, of the squared correlations and of the mean squared products behind them
    correlation = (covariance * scale).mul_(scale[:, None]).fill_diagonal_(0).mul_(dof / (n - 1))
    correlations = correlation.square_().sum()
    products = (squares.sum(1).square().sum() - squares.square_().sum()) / (n - 1)
    weight = n / dof**2 * (products - correlations) / correlations
    weight = torch.nan_to_num(weight, nan=1.0, posinf=1.0).clamp(0, 1)  # no correlation at all: nothing to keep
    covariance.mul_(1 - weight)
    covariance.diagonal().copy_(variance)
    return covariance


def _towards_identity(x: torch.Tensor, dof: float) -> torch.Tensor:
    n = x.shape[0]
    covariance = (x.T @ x) / n
    mean_variance = covariance.diagonal().mean()
    error = (x.square().sum(1).square().sum() / n - covariance.square().sum()) / n
    covariance.diagonal().sub_(mean_variance)
    distance = covariance.square().sum()
    weight = torch.nan_to_num(torch.minimum(error, distance) / distance, nan=1.0)  # 0 / 0: already there
    covariance.mul_(1 - weight).diagonal().add_(mean_variance)
    return covariance.mul_(n / dof)


def precision_matrix(residuals: torch.Tensor, method: str = "shrinkage_diag", dof: float | None = None) -> torch.Tensor:
    r"""Inverse :math:`\hat\Sigma^{-1}` of :func:`shrunk_covariance`, which takes the same arguments; (unit, unit).

    A unit that never varies tells nothing and gets a row and column of zeros.

    Raises
    ------
    DataError
        Where the covariance has no inverse.
    """
    covariance = shrunk_covariance(residuals, method, dof)
    active, factor = _factor(covariance)
    precision = torch.zeros_like(covariance)
    precision[active[:, None] & active] = torch.cholesky_inverse(factor).reshape(-1)
    return precision


def whiten(patterns: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    r"""Patterns in units of the noise: :math:`z = L^{-1} x` with :math:`\hat\Sigma = L L^\top`.

    Parameters
    ----------
    patterns
        (..., unit).
    covariance
        (unit, unit); see :func:`shrunk_covariance`. Units without variance come out as 0.

    Returns
    -------
    torch.Tensor
        (..., unit), float64; squared distances between them are Mahalanobis distances.
    """
    active, factor = _factor(covariance)
    flat = patterns.reshape(-1, patterns.shape[-1]).to(factor)
    whole = bool(active.all())
    solved = torch.linalg.solve_triangular(factor, (flat if whole else flat[:, active]).T, upper=False).T
    if whole:
        return solved.reshape(patterns.shape)
    white = torch.zeros_like(flat)
    white[:, active] = solved
    return white.reshape(patterns.shape)


def _factor(covariance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which units vary, and the Cholesky factor of their covariance."""
    active = covariance.diagonal() > 0
    if not bool(active.any()):
        raise DataError("the noise covariance is zero: no unit varies between trials of the same class")
    part = covariance if bool(active.all()) else covariance[active][:, active]
    factor, failed = torch.linalg.cholesky_ex(part.to(torch.float64))
    # what is left of a unit's variance, given the units before it, must be more than rounding
    rest = factor.diagonal().square() / part.diagonal()
    if bool(failed) or bool((rest <= len(part) * torch.finfo(torch.float64).eps).any()):
        raise DataError(
            "the noise covariance has no inverse: some units are sums of others; take more trials, fewer units, or "
            "the method 'diagonal'"
        )
    return active, factor


def group_means(values: torch.Tensor, code: torch.Tensor, n: int) -> torch.Tensor:
    """Mean of the rows of each of ``n`` groups.

    Parameters
    ----------
    values
        (trial, unit).
    code
        (trial), the group of every row, from 0 to n - 1.
    n
        Number of groups.

    Returns
    -------
    torch.Tensor
        (group, unit), float64.

    Raises
    ------
    DataError
        For a group without rows, or a row without group.
    """
    where = code.to(values.device)
    count = torch.bincount(where, minlength=n)
    if len(count) != n or len(where) != len(values) or not bool(count.all()):
        raise DataError(f"group_means: each of {n} groups needs rows, and every row a group from 0 to {n - 1}")
    return sums_by_group(values, where, n).div_(count[:, None])


def within_class_covariance(
    values: torch.Tensor, means: torch.Tensor, code: torch.Tensor, method: str = "shrinkage_diag"
) -> torch.Tensor:
    """Covariance of responses around the mean of their class, with trials - classes degrees of freedom; (unit, unit).

    Parameters
    ----------
    values
        (trial, unit).
    means, code
        (class, unit) and (trial): see :func:`group_means`.
    method
        See :func:`shrunk_covariance`.

    Raises
    ------
    DataError
        Where units tell classes apart with certainty, so that no finite distance in units of the noise exists.
    """
    constant = values.amax(0) == values.amin(0)
    residuals = values.to(torch.float64) - means[code.to(values.device)]
    residuals[:, constant] = 0
    certain = (residuals == 0).all(0) & ~constant
    if method != "shrinkage_eye" and bool(certain.any()):
        raise DataError(
            f"{int(certain.sum())} units differ between classes and never within: in units of the noise, distances are "
            "infinite; take noise='shrinkage_eye' or 'identity', or leave these units out"
        )
    return shrunk_covariance(residuals, method, len(values) - len(means))
