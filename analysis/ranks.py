r"""Kernels that compare packed RDMs, or other long vectors: ranks, correlations, second moments.

Plain tensors in, float64 out. Ranks are float64 because those of more than :math:`2^{24}` pairs (5,794 stimuli) are
not exact in float32.
"""

from __future__ import annotations

import numpy as np
import torch

from replaysim.errors import DataError, check_choice

from .devices import exact_products

METHODS = ("spearman", "pearson", "rho_a", "tau_a", "cosine")


def average_ranks(values: torch.Tensor) -> torch.Tensor:
    """Ranks from 1 along the last dimension; equal values share their mean rank.

    Parameters
    ----------
    values
        (..., K), without NaN. On a GPU nothing waits for the host.

    Returns
    -------
    torch.Tensor
        (..., K), float64.
    """
    order = _order(values)
    ordered = values.gather(-1, order)
    group = torch.zeros(values.shape, dtype=torch.int64, device=values.device)
    group[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    group.cumsum_(-1)
    count = torch.zeros_like(group).scatter_add_(-1, group, torch.ones_like(group))
    mean = count.cumsum(-1).double() - (count - 1).double() / 2
    return torch.empty(values.shape, dtype=torch.float64, device=values.device).scatter_(
        -1, order, mean.gather(-1, group)
    )


def _order(values: torch.Tensor) -> torch.Tensor:
    if values.device.type == "cpu":  # numpy's sort is three times as fast as torch's
        return torch.from_numpy(np.argsort(values.detach().numpy(), axis=-1))
    return values.argsort(dim=-1)


def direction(values: torch.Tensor, method: str = "pearson") -> torch.Tensor:
    r"""Vectors whose inner products are the correlations, so that one product of matrices compares all with all.

    Parameters
    ----------
    values
        (..., K), without NaN.
    method
        ``"pearson"``: centred, of length 1. ``"spearman"``: the same of average ranks. ``"cosine"``: of length 1.
        ``"rho_a"``: centred average ranks times :math:`\sqrt{12 / (K^3 - K)}`, as long as if nothing were tied.

    Returns
    -------
    torch.Tensor
        (..., K), float64; NaN where there is no direction: all values equal, or all zero for the cosine.

    Notes
    -----
    With these vectors :math:`\rho_a` is Spearman's correlation expected when ties are broken at random. Source: Schütt
    et al. (2023), eLife.
    """
    check_choice("direction", "method", method, [m for m in METHODS if m != "tau_a"])
    k = values.shape[-1]
    if not k:
        return values.double()
    if method == "cosine":
        found = values.double()
    elif method == "pearson":
        found = values.double()
        found = found - found.mean(-1, keepdim=True)
    else:
        found = average_ranks(values) - (k + 1) / 2
    if method == "rho_a":
        length = torch.as_tensor(((k**3 - k) / 12) ** 0.5, dtype=torch.float64, device=values.device)
    else:
        length = torch.linalg.vector_norm(found, dim=-1, keepdim=True)
    if method != "cosine":  # the mean is rounded: equal values need not leave exact zeros
        length = torch.where(constant(values).unsqueeze(-1), torch.nan, length)
    return found / torch.where(length > 0, length, torch.nan)


def constant(values: torch.Tensor) -> torch.Tensor:
    """Whether all values along the last dimension are equal."""
    return (values == values[..., :1]).all(-1)


def correlation(one: torch.Tensor, other: torch.Tensor, method: str = "spearman") -> torch.Tensor:
    """Correlation along the last dimension.

    Parameters
    ----------
    one, other
        (..., K), without NaN; for ``"tau_a"`` (K,).
    method
        One of :data:`METHODS`, see :func:`direction` and :func:`tau_a`.

    Returns
    -------
    torch.Tensor
        (...), float64, from -1 to 1; NaN where either has no variance (cosine: is zero).
    """
    check_choice("correlation", "method", method, METHODS)
    if one.shape[-1] != other.shape[-1]:
        raise DataError(f"correlation: the vectors have {one.shape[-1]} and {other.shape[-1]} elements")
    with exact_products():
        if one.shape[-1] == 0:
            return torch.full(one.shape[:-1], torch.nan, dtype=torch.float64, device=one.device)
        if method == "tau_a":
            return tau_a(one, other)
        return (direction(one, method) * direction(other, method)).sum(-1).clamp(-1, 1)


def tau_a(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    r"""Kendall's :math:`\tau_a`: pairs in the same order minus pairs in the opposite order, of all pairs.

    .. math:: \tau_a = \frac{C - D}{K (K - 1) / 2}

    Tied pairs count as neither, so that a comparison with a tied vector stays below 1.

    Parameters
    ----------
    one, other
        (K,), without NaN. The pairs are counted on the CPU, exactly, in :math:`O(K \log K)`.

    Returns
    -------
    torch.Tensor
        One float64; NaN where all values of one are equal, or for fewer than two.
    """
    if one.dim() != 1 or one.shape != other.shape:
        raise DataError(f"tau_a compares two vectors; got shapes {tuple(one.shape)} and {tuple(other.shape)}")
    k = len(one)
    x, y = _dense(one.detach().cpu().numpy()), _dense(other.detach().cpu().numpy())
    if k < 2 or not x.any() or not y.any():
        return torch.full((), torch.nan, dtype=torch.float64, device=one.device)
    joint = x * (int(y.max()) + 1) + y
    order = np.argsort(joint)
    discordant = falling_pairs(np.argsort(y[order] * k + np.arange(k)))
    pairs = k * (k - 1) // 2
    runs = np.diff(np.flatnonzero(np.diff(joint[order], prepend=-1, append=-1)))
    untied = pairs - _tied(np.bincount(x)) - _tied(np.bincount(y)) + _tied(runs)
    return torch.tensor((untied - 2 * discordant) / pairs, dtype=torch.float64, device=one.device)


def _dense(values: np.ndarray) -> np.ndarray:
    """Whole numbers from 0 without gaps, in the order of the values; equal values, equal numbers."""
    order = np.argsort(values)
    ordered = values[order]
    group = np.zeros(len(values), dtype=np.int64)
    group[order[1:]] = np.cumsum(ordered[1:] != ordered[:-1])
    return group


def _tied(count: np.ndarray) -> int:
    return int((count * (count - 1) // 2).sum())


def falling_pairs(order: np.ndarray) -> int:
    """Pairs of a permutation of 0 ... K-1 of which the larger number comes first.

    Numbers are sorted bit by bit from the highest, keeping their order otherwise; where two part, the one with the bit
    must not have come first. Padded to a power of two, groups that share the higher bits are all of one size.
    """
    bits = max(1, (len(order) - 1).bit_length())
    size, half_of_all = 1 << bits, 1 << (bits - 1)
    order = np.concatenate((order.astype(np.int32), np.arange(len(order), size, dtype=np.int32)))
    found = 0
    for bit in reversed(range(bits)):
        half, groups = 1 << bit, half_of_all >> bit
        high = (order & half) != 0
        low = np.flatnonzero(~high)
        # numbers with the bit before each number without it: its place, less the places of those without it before
        # it, less the halves of earlier groups
        earlier_groups = half * half * (groups * (groups - 1) // 2)
        found += int(low.sum()) - half_of_all * (half_of_all - 1) // 2 - earlier_groups
        order = np.stack((order[low].reshape(groups, half), order[high].reshape(groups, half)), axis=1).reshape(-1)
    return found


def second_moments(rdms: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    r"""Second-moment matrices :math:`G` of patterns with these squared distances (see :mod:`analysis.rdm_comparison`).

    Parameters
    ----------
    rdms
        (n, K), without NaN; may be negative, as crossnobis distances are.
    pairs
        (2, K), numbers of the items of each pair. Not all pairs need be there.

    Returns
    -------
    torch.Tensor
        (n, K + N), float64: :math:`\sqrt2 g_{ij}` of the pairs, then :math:`g_{ii}`, so that inner products are those
        of the matrices.
    """
    one, other = pairs
    n = int(pairs.max()) + 1
    values = rdms.double()
    rows = values.new_zeros(len(values), n).index_add_(1, one, values).index_add_(1, other, values)
    if len(one) == n * (n - 1) // 2:
        diagonal = rows / n - rows.sum(1, keepdim=True) / (2 * n * n)
    else:  # least squares over the pairs that are there: (2 I + degrees + adjacency) g = row sums
        system = values.new_zeros(n, n)
        system[one, other] = system[other, one] = 1.0
        system.diagonal().copy_(system.sum(1) + 2)
        diagonal = torch.cholesky_solve(rows.T, torch.linalg.cholesky(system)).T
    pairwise = (diagonal[:, one] + diagonal[:, other] - values) * 0.5**0.5
    return torch.cat((pairwise, diagonal), 1)
