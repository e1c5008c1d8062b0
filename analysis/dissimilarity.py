"""Dissimilarity of activity patterns: packed representational dissimilarity matrices (RDMs) from tensors.

An RDM of N patterns is a vector of N (N - 1) / 2 numbers, the strict upper triangle row by row: pairs (0, 1), (0, 2),
..., (1, 2), ... Only that triangle is computed, block by block, so that no N x N matrix is ever held.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from replaysim.errors import DataError, SettingError, check_choice

from .devices import exact_products, rows_at_once

METRICS = ("correlation", "cosine", "euclidean", "sqeuclidean_mean", "mahalanobis", "crossnobis")
"""Names of dissimilarities; all but ``crossnobis`` take one pattern for each item."""

_CLOSE = 2**13  # times eps, relative to the squared lengths: below, a Gram matrix has lost too many digits
_Terms = Sequence[tuple[torch.Tensor, float]]  # patterns A and weight w: the products w A A^T are summed


def pairwise(
    patterns: torch.Tensor,
    metric: str = "correlation",
    *,
    precision: torch.Tensor | None = None,
    memory: int | None = None,
) -> torch.Tensor:
    r"""Dissimilarity of every pair of patterns.

    ==================== =======================================================================
    ``correlation``      :math:`1 - r(x_i, x_j)`, Pearson over units
    ``cosine``           :math:`1 - x_i \cdot x_j / (\|x_i\| \|x_j\|)`
    ``euclidean``        :math:`\|x_i - x_j\|`
    ``sqeuclidean_mean`` :math:`\|x_i - x_j\|^2 / P` for P units
    ``mahalanobis``      :math:`(x_i - x_j)^\top \Sigma^{-1} (x_i - x_j) / P`
    ==================== =======================================================================

    Parameters
    ----------
    patterns
        (item, unit), finite. Computed in their own precision, whole numbers in float64.
    metric
        One of the above; for ``crossnobis`` see :func:`crossnobis`.
    precision
        Inverse noise covariance (unit, unit), for ``mahalanobis``; default: the identity.
    memory
        Bytes beyond input, its working copies and result; default 256 MiB. The result does not depend on it.

    Returns
    -------
    torch.Tensor
        (pair). Correlation and cosine with a pattern that has no variance, or no length, are NaN.

    Raises
    ------
    DataError, SettingError
        For wrong shapes, an unknown metric, or a precision that is not positive definite.

    Notes
    -----
    Squared distances come from a Gram matrix of patterns with the mean pattern removed; in float32 they err by about
    1e-7 of the squared lengths. Where that would be more than about 1e-4 of the distance, patterns are subtracted
    instead, so that equal ones have distance 0.
    """
    check_choice("pairwise", "metric", metric, METRICS[:-1])
    _check_patterns(patterns, 2, "(item, unit)", "pairwise")
    if precision is not None and metric != "mahalanobis":
        raise SettingError("pairwise", "metric", metric, "'mahalanobis' where a precision is given")
    x = patterns.to(_dtype(patterns))
    with exact_products():
        if metric in ("correlation", "cosine"):
            unit = _directions(x, centre=metric == "correlation")
            return _triangle([(unit, -1.0)], None, memory).add_(1).clamp_(min=0)
        if precision is not None:
            x = _whiten(x, precision)
        if metric == "euclidean":
            return _distances(x, 1.0, memory).sqrt_()
        return _distances(x, 1 / x.shape[1], memory)


def crossnobis(
    folds: torch.Tensor, *, precision: torch.Tensor | None = None, memory: int | None = None
) -> torch.Tensor:
    r"""Cross-validated squared Mahalanobis distance of every pair of items, unbiased by noise.

    With :math:`\delta_m` the whitened difference of two items in fold *m* of *M*,

    .. math:: d = \frac{1}{P\, M (M - 1)} \sum_{m \ne l} \delta_m \cdot \delta_l
              = \frac{\| \sum_m \delta_m \|^2 - \sum_m \| \delta_m \|^2}{P\, M (M - 1)}.

    Parameters
    ----------
    folds
        (fold, item, unit): independent measurements of the same items, each counted alike; at least two.
    precision
        Inverse noise covariance (unit, unit); default: the identity.
    memory
        Bytes beyond input, its working copies and result; default 256 MiB. The result does not depend on it.

    Returns
    -------
    torch.Tensor
        (pair), in the precision of the folds. Zero in the mean where two items are the same, hence sometimes negative.

    Raises
    ------
    DataError
        For wrong shapes, a single fold, or a precision that is not positive definite.

    Notes
    -----
    Source: Walther et al. (2016), NeuroImage 137:188.
    """
    _check_patterns(folds, 3, "(fold, item, unit)", "crossnobis")
    m, _, units = folds.shape
    if m < 2:
        raise DataError(f"crossnobis: cross-validation needs at least 2 folds; got {m}")
    with exact_products():
        x = folds.to(_dtype(folds))
        if precision is not None:
            x = _whiten(x, precision)
        white = torch.sub(x, x.mean(1, keepdim=True), out=_empty(x, *x.shape))
        scale = 1 / (m * (m - 1) * units)
        terms = [(white.sum(0), scale), *((fold, -scale) for fold in white)]
        own = torch.stack([w * _lengths(a) for a, w in terms]).sum(0)
        return _triangle([(a, -2 * w) for a, w in terms], own, memory)


def pair_labels(items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels of the first and of the second item of all pairs, in the order of a packed RDM."""
    labels = np.asarray(items)
    later = np.concatenate([labels[:0], *(labels[i + 1 :] for i in range(len(labels)))])
    return np.repeat(labels, np.arange(len(labels))[::-1]), later


def n_items(pairs: int) -> int:
    """Number of items that have so many pairs; :class:`DataError` where there is none."""
    n = (1 + round((1 + 8 * pairs) ** 0.5)) // 2
    if n * (n - 1) // 2 != pairs:
        raise DataError(
            f"{pairs} pairs are not all pairs of any number of items; name them by coordinates item_a, item_b"
        )
    return n


def square_form(packed: np.ndarray) -> np.ndarray:
    """Symmetric matrices (..., item, item) with zero diagonal from packed RDMs (..., pair)."""
    n = n_items(packed.shape[-1])
    square = np.zeros((*packed.shape[:-1], n, n), packed.dtype)
    done = 0
    for i in range(n - 1):
        row = packed[..., done : done + n - i - 1]
        square[..., i, i + 1 :] = square[..., i + 1 :, i] = row
        done += n - i - 1
    return square


def _check_patterns(values: torch.Tensor, ndim: int, dims: str, owner: str) -> None:
    if values.ndim != ndim or values.shape[-2] < 2 or values.shape[-1] < 1:
        raise DataError(f"{owner}: patterns must be {dims} with at least 2 items; got shape {tuple(values.shape)}")


def _dtype(values: torch.Tensor) -> torch.dtype:
    if not values.is_floating_point():
        return torch.float64
    return torch.promote_types(values.dtype, torch.float32)  # half precision is too coarse for differences


def _whiten(x: torch.Tensor, precision: torch.Tensor) -> torch.Tensor:
    """Patterns (..., item, unit), centred, times a lower factor of the precision; zero for units that it leaves out."""
    units = x.shape[-1]
    if precision.shape != (units, units):
        raise DataError(f"the precision must be ({units}, {units}), as there are units; got {tuple(precision.shape)}")
    full = precision.to(x.device, torch.float64)
    active = full.diagonal() != 0
    whole = bool(active.all())
    part = full if whole else full[active][:, active]
    factor, failed = torch.linalg.cholesky_ex((part + part.T) / 2)
    if bool(failed) or (not whole and bool(full[~active].any())):
        raise DataError("the precision is not a positive definite matrix; see precision_matrix()")
    wide = x.to(torch.float64)
    wide = wide - wide.mean(-2, keepdim=True)
    if whole:
        return (wide @ factor).to(x.dtype)
    white = torch.zeros_like(x)
    white[..., active] = (wide[..., active] @ factor).to(x.dtype)
    return white


def _directions(x: torch.Tensor, *, centre: bool) -> torch.Tensor:
    """Patterns of length one; NaN where there is no direction."""
    mean = x.mean(1, keepdim=True) if centre else torch.zeros_like(x[:, :1])
    unit = torch.sub(x, mean, out=_empty(x, *x.shape))
    length = torch.linalg.vector_norm(unit, dim=1, keepdim=True)
    # what is left of equal numbers after their rounded mean is removed is no variance
    rounding = 8 * torch.finfo(x.dtype).eps * x.shape[1] ** 0.5 * mean.abs()
    flat = (length <= rounding).squeeze(1).nonzero().squeeze(1)
    flat = flat[x[flat].amax(1) == x[flat].amin(1)] if centre else flat
    length[flat] = 0
    return unit.div_(torch.where((length > 0) & torch.isfinite(length), length, torch.nan))


def _empty(like: torch.Tensor, *shape: int) -> torch.Tensor:
    if like.device.type != "cpu":
        return like.new_empty(shape)
    return torch.from_numpy(np.empty(shape, like[:0].numpy().dtype))  # in huge pages: three times as fast to fill


def _lengths(x: torch.Tensor) -> torch.Tensor:
    """Squared length of every row."""
    return torch.linalg.vector_norm(x, dim=1).square()


def _distances(x: torch.Tensor, scale: float, memory: int | None) -> torch.Tensor:
    """Squared distances of patterns, times ``scale``."""
    mean = x.mean(0)
    x = torch.sub(x, mean, out=_empty(x, *x.shape))
    own = _lengths(x)
    if float(own.amax()) <= (64 * torch.finfo(x.dtype).eps) ** 2 * float(mean.square().sum()):
        x -= x[0].clone()  # only rounding of the mean is left of equal patterns
        own = _lengths(x)
    packed = _triangle([(x, -2 * scale)], own * scale, memory)
    _subtract_close(packed, x, own * scale, scale, memory)
    return packed


def _subtract_close(packed: torch.Tensor, x: torch.Tensor, own: torch.Tensor, scale: float, memory: int | None) -> None:
    """Squared distances of close pairs by subtraction, in place."""
    near = _CLOSE * torch.finfo(x.dtype).eps
    bound = near * 2 * float(own.amax())
    row = torch.arange(len(x), device=x.device)
    first = row * (2 * len(x) - row - 1) // 2  # where a row of the triangle begins
    most = 128 if x.device.type == "cpu" else 2**16  # on a CPU, pairs that stay in its cache
    pairs = rows_at_once(x.shape[1], memory, copies=3, itemsize=x.element_size(), most=most)
    length = max(2**12, rows_at_once(1, memory, copies=8, itemsize=8, most=2**20))
    for start in range(0, len(packed), length):
        part = packed[start : start + length]
        if not float(part.min()) < bound:
            continue
        k = (part < bound).nonzero().squeeze(1)
        i = torch.searchsorted(first, k + start, right=True) - 1
        j = k + start - first[i] + i + 1
        for some in (part[k] < near * (own[i] + own[j])).nonzero().squeeze(1).split(pairs):
            part[k[some]] = _lengths(x[i[some]].sub_(x[j[some]])).mul_(scale)


def _triangle(terms: _Terms, own: torch.Tensor | None, memory: int | None) -> torch.Tensor:
    """Packed sum of the products, plus ``own`` of the row and of the column."""
    n = len(terms[0][0])
    packed = _empty(terms[0][0], n * (n - 1) // 2)
    most, leaf = (1152, 72) if packed.device.type == "cpu" else (4096, 1024)
    rows = min(n, rows_at_once(n, memory, copies=3, itemsize=packed.element_size(), most=most))
    room = _empty(packed, rows * n)
    done = 0
    for start in range(0, n - 1, rows):
        stop = min(start + rows, n)
        block = room[: (stop - start) * (n - start)].view(stop - start, n - start)
        if own is not None:
            torch.add(own[start:stop, None], own[start:], out=block)
        _fill(terms, start, stop, block, start, leaf, own is not None)
        if stop < n:
            _multiply(terms, slice(start, stop), slice(stop, n), block[:, stop - start :], own is not None)
        done += _pack(block, packed[done:])
    return packed


def _fill(terms: _Terms, first: int, last: int, block: torch.Tensor, start: int, leaf: int, add: bool) -> None:
    """Products of rows first...last with one another, above the diagonal: halves, as small squares waste little."""
    if last - first <= leaf:
        rows = slice(first, last)
        _multiply(terms, rows, rows, block[first - start : last - start, first - start : last - start], add)
        return
    middle = (first + last) // 2
    _fill(terms, first, middle, block, start, leaf, add)
    _fill(terms, middle, last, block, start, leaf, add)
    corner = block[first - start : middle - start, middle - start : last - start]
    _multiply(terms, slice(first, middle), slice(middle, last), corner, add)


def _multiply(terms: _Terms, rows: slice, columns: slice, out: torch.Tensor, add: bool) -> None:
    for k, (a, weight) in enumerate(terms):
        out.addmm_(a[rows], a[columns].T, beta=1 if k or add else 0, alpha=weight)


def _pack(block: torch.Tensor, packed: torch.Tensor) -> int:
    """Write what lies right of the diagonal one row after the other; how many numbers these are."""
    height, width = block.shape
    size = height * width - height * (height + 1) // 2
    if block.device.type != "cpu":
        column, row = (torch.arange(k, device=block.device) for k in (width, height))
        packed[:size] = block[column > row[:, None]]  # one kernel, not one a row
        return size
    source, target, done = block.numpy(), packed.numpy(), 0  # numpy: rows are short, and its calls cheap
    for i in range(height):
        target[done : done + width - i - 1] = source[i, i + 1 :]
        done += width - i - 1
    return size
