"""Faithfulness of generated activity by nearest neighbours: precision, recall, density, coverage, realism.

Ties are ties, copies are at distance 0, and block sizes leave no trace in results: see :mod:`analysis.distances`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from replaysim.errors import DataError, SettingError, check_number

from .devices import exact_products
from .distances import (
    Centred,
    Distinct,
    Frame,
    Shortlist,
    listed,
    lower_bounds,
    rounded_up,
    side_of_blocks,
    slices,
    squared_distances,
)


def neighbour_measures(
    real: Tensor,
    generated: Tensor,
    k: int = 3,
    k_density: int | None = 5,
    *,
    strict: bool = False,
    memory: int | None = None,
) -> dict[str, Tensor]:
    r"""How faithful (precise, dense) and how diverse (recalled, covered) generated patterns of activity are.

    With :math:`r_k(a)` the distance from *a* to its *k*-th nearest neighbour within its own set (:func:`radii`),

    .. math::

        \text{precision} &= \tfrac1M \sum_g 1[\exists r: d(g, r) \le r_k(r)] \\
        \text{recall} &= \tfrac1N \sum_r 1[\exists g: d(r, g) \le r_k(g)] \\
        \text{density} &= \tfrac1{k_d M} \sum_g \sum_r 1[d(g, r) < r_{k_d}(r)] \\
        \text{coverage} &= \tfrac1N \sum_r 1[\exists g: d(r, g) < r_{k_d}(r)] \\
        \text{realism}(g) &= \max_r r_k(r) / d(g, r) \quad \text{over reals with } r_k(r) \le \text{median}

    In hundreds of dimensions all of these mostly tell how far out patterns lie: a generator shrunk towards the mean has
    precision 1, coverage 1 and a huge density, one that is spread out a little too far has recall 1 and the others
    near 0, and a perfect one has precision and recall well below 1. Always give real against real beside them.

    Parameters
    ----------
    real, generated
        Patterns, (N, P) and (M, P), on one device.
    k
        Neighbour that sets the radius for precision, recall and realism.
    k_density
        The same for density and coverage; None: as ``k``.
    strict
        Use ``<`` for precision and recall too, as the package prdc does: differs on ties only, such as copies.
    memory
        Bytes for blocks and lists, beside centred float32 copies of both sets.

    Returns
    -------
    dict
        ``precision``, ``recall``, ``density``, ``coverage`` (scalars, float64), ``precise`` (M,) and ``recalled`` (N,)
        (bool), ``realism`` (M,) (float64; >= 1 inside the manifold of typical reals, infinite for a copy of one).

    Raises
    ------
    DataError
        For sets of different width, numbers that are not finite, or k or fewer samples.
    SettingError
        For ``k``, ``k_density`` or ``memory`` below 1.

    Notes
    -----
    Sources: Kynkäänniemi et al. (2019), NeurIPS; Naeem et al. (2020), ICML.
    """
    k_density = k if k_density is None else k_density
    owner = "neighbour_measures"
    for name, value in (("k", k), ("k_density", k_density)):
        check_number(owner, name, value, least=1, whole=True)
    side_of_blocks(memory, 1)  # refuses nonsense before anything is computed
    _check(real, max(k, k_density), owner, "real")
    _check(generated, k, owner, "generated")
    if real.shape[1] != generated.shape[1]:
        raise DataError(
            f"{owner}: real has {real.shape[1]} units and generated {generated.shape[1]}; compare them in one area"
        )
    with exact_products():
        ours, theirs = Distinct(real), Distinct(generated)
        ball, wide = _radii(ours, (k, k_density), memory)
        (reach,) = _radii(theirs, (k,), memory)
        found = _Comparison(ours, theirs, ball, wide, reach, strict)
        realism = found.run(memory)
    flags = {
        "precise": found.precise[theirs.inverse],
        "recalled": found.recalled[ours.inverse],
        "realism": realism[theirs.inverse],
    }
    return {
        "precision": _fraction(flags["precise"]),
        "recall": _fraction(flags["recalled"]),
        "density": _share((found.inside * theirs.weight).sum(), k_density * len(generated)),
        "coverage": _fraction(found.covered[ours.inverse]),
        **flags,
    }


def _fraction(flags: Tensor) -> Tensor:
    """How many are true; not their mean, which a GPU rounds otherwise than a CPU."""
    return _share(flags.count_nonzero(), len(flags))


def _share(count: Tensor, of: int) -> Tensor:
    """A count as a fraction, the same to the last bit everywhere: a GPU would multiply by the inverse of a number."""
    return count.double() / torch.full_like(count, of, dtype=torch.float64)


def radii(x: Tensor, ks: Sequence[int], memory: int | None = None) -> Tensor:
    """Distance from every pattern to its k-th nearest other one, itself left out by index.

    Parameters
    ----------
    x
        Patterns, (N, P).
    ks
        Which neighbours, from 1 to N - 1.
    memory
        Bytes for blocks and lists, beside a centred float32 copy of ``x``.

    Returns
    -------
    torch.Tensor
        (len(ks), N), float64, in units of ``x``.

    Raises
    ------
    DataError, SettingError
        As :func:`neighbour_measures`.
    """
    if not ks:
        raise SettingError("radii", "ks", ks, "at least one neighbour")
    for k in ks:
        check_number("radii", "k", k, least=1, whole=True)
    side_of_blocks(memory, 1)
    _check(x, max(ks), "radii", "x")
    with exact_products():
        points = Distinct(x)
        return _radii(points, ks, memory).sqrt()[:, points.inverse]


def expected_coverage(n_real: int, n_generated: int, k: int = 5) -> float:
    r"""Coverage expected of a perfect generator, :math:`1 - \prod_{i=1}^k \frac{N - i}{N + M - i}`.

    Parameters
    ----------
    n_real, n_generated
        Samples N and M.
    k
        Neighbour that sets the radius, below N.
    """
    for name, value in (("n_real", n_real), ("n_generated", n_generated), ("k", k)):
        check_number("expected_coverage", name, value, least=1, whole=True)
    if k >= n_real:
        raise DataError(f"expected_coverage: k={k} needs at least {k + 1} real samples; got {n_real}")
    return 1 - math.prod((n_real - i) / (n_real + n_generated - i) for i in range(1, k + 1))


def _check(x: Tensor, k: int, owner: str, name: str) -> None:
    if x.ndim != 2 or not x.is_floating_point():
        raise DataError(
            f"{owner}: {name} must be floating numbers (samples, units); got {x.dtype} of shape {tuple(x.shape)}"
        )
    if len(x) <= k:
        raise DataError(f"{owner}: k={k} needs at least {k + 1} {name} samples; got {len(x)}. Lower k")
    if not x.shape[1]:
        raise DataError(f"{owner}: {name} has no units")
    if not bool(torch.isfinite(torch.stack(torch.aminmax(x))).all()):
        raise DataError(f"{owner}: {name} holds NaN or infinite numbers; leave such samples out")


def _kth_bound(low: Tensor, slack_i: Tensor, slack_j: Tensor, k: int) -> Tensor:
    """For every column, a bound on its k-th smallest squared distance from these rows: in k groups, one is as near."""
    size = max(1, len(low) // max(64, 8 * k))
    groups = len(low) // size
    if groups < k:
        return torch.full_like(slack_j, torch.inf)
    least = low[: groups * size].view(groups, size, -1).amin(1)
    slack = slack_i[: groups * size].view(groups, size).amax(1)
    return (least + 2 * slack[:, None]).topk(k, dim=0, largest=False).values[-1] + 2 * slack_j


def _radii(points: Distinct, ks: Sequence[int], memory: int | None) -> Tensor:
    """Squared distance from every distinct point to its k-th nearest other sample, (len(ks), points)."""
    frame = Frame(points)
    cloud = Centred(points, frame)
    n, k, dtype = len(points), max(ks), torch.float32
    side = side_of_blocks(memory, 4 * k)

    def exact(i: Tensor, j: Tensor) -> Tensor:
        return squared_distances(points, i, points, j) * frame.scale**2

    found = Shortlist(points.weight - 1, points.weight, ks, exact, memory)
    for i in slices(n, side):
        for j in slices(n, side, i.start):  # the other triangle is the same
            low, slack_i, slack_j = lower_bounds(cloud, i, cloud, j, dtype)
            if i == j:
                low.fill_diagonal_(torch.inf)
            if i.start == 0:
                bound = _kth_bound(low, slack_i, slack_j, k)
                if j.start == 0 and not frame.exact and int((low <= bound).count_nonzero()) > len(low) * (64 + 8 * k):
                    dtype = torch.float64  # far more candidates than neighbours: small clusters, far apart
                    low, slack_i, slack_j = lower_bounds(cloud, i, cloud, j, dtype)
                    bound = _kth_bound(low.fill_diagonal_(torch.inf), slack_i, slack_j, k)
                found.bound[j] = bound.double()
            near = low <= rounded_up(found.bound[j], dtype)
            near |= low <= rounded_up(found.bound[i], dtype)[:, None]
            for row, column, lowest, highest in listed(near, low, slack_i, slack_j, i, j):
                found.add(row, column, lowest, highest)
                if i != j:
                    found.add(column, row, lowest, highest)
    return found.finish() / frame.scale**2


class _Comparison:
    """Which generated points are within reach of which real ones, from squared radii of both."""

    def __init__(
        self, real: Distinct, generated: Distinct, ball: Tensor, wide: Tensor, reach: Tensor, strict: bool
    ) -> None:
        self.real, self.generated, self.strict = real, generated, strict
        self.frame = Frame(real, generated)
        self.ball, self.wide, self.reach = (r * self.frame.scale**2 for r in (ball, wide, reach))
        self.eligible = ball <= ball[real.inverse].median()
        self.typical = torch.where(self.eligible, self.ball, 0.0)
        self.inside = torch.zeros(len(generated), dtype=torch.int64, device=ball.device)
        self.precise, self.copied = (torch.zeros_like(self.inside, dtype=torch.bool) for _ in range(2))
        self.recalled, self.covered = (torch.zeros_like(real.weight, dtype=torch.bool) for _ in range(2))

    def run(self, memory: int | None) -> Tensor:
        """Fill in what holds for each point; realism of the generated ones."""
        a, b, dtype = Centred(self.generated, self.frame), Centred(self.real, self.frame), torch.float32
        own, weight = torch.zeros_like(self.inside), torch.ones_like(self.real.weight)
        best = Shortlist(own, weight, (1,), lambda i, j: self._exact(i, j) / self.typical[j], memory)
        side = side_of_blocks(memory, 1)
        for i in slices(len(a.points), side):
            for j in slices(len(b.points), side):
                low, slack_i, slack_j = lower_bounds(a, i, b, j, dtype)
                if i.start == j.start == 0 and self._blurred(low[:128], slack_i[:128], slack_j, j):
                    dtype = torch.float64
                    low, slack_i, slack_j = lower_bounds(a, i, b, j, dtype)
                if j.start == 0:
                    ratio = (low + 2 * slack_j + 2 * slack_i[:, None]) / self.typical[j].to(dtype)
                    best.bound[i] = ratio.nan_to_num_(nan=torch.inf, posinf=torch.inf).amin(1).double()
                near = low <= rounded_up(torch.maximum(self.ball, self.wide)[j], dtype)
                near |= low <= rounded_up(self.reach[i], dtype)[:, None]
                near |= low <= rounded_up(best.bound[i], dtype)[:, None] * self.typical[j].to(dtype)
                for row, column, lowest, highest in listed(near, low, slack_i, slack_j, i, j):
                    self._note(row, column, lowest, highest)
                    size = self.typical[column]
                    some = (size > 0).nonzero()[:, 0]
                    best.add(row[some], column[some], (lowest / size)[some], (highest / size)[some])
        realism = best.finish()[0].rsqrt()
        realism[self.copied] = torch.inf
        return realism

    def _exact(self, i: Tensor, j: Tensor) -> Tensor:
        return squared_distances(self.generated, i, self.real, j) * self.frame.scale**2

    def _blurred(self, low: Tensor, slack_i: Tensor, slack_j: Tensor, j: slice) -> bool:
        """Whether float32 leaves too much open in some rows: clusters that are small beside the gaps between them."""
        high = low + 2 * slack_j + 2 * slack_i[:, None]
        limits = (t.to(low.dtype) for t in (self.ball[j], self.wide[j], self.reach[: len(low), None]))
        return any(int(((low <= t) & (t < high)).count_nonzero()) > low.numel() // 64 for t in limits)

    def _note(self, row: Tensor, column: Tensor, lowest: Tensor, highest: Tensor) -> None:
        """Compare distances with radii; those that rounding left open become exact."""
        ball, wide, reach = self.ball[column], self.wide[column], self.reach[row]
        unclear = torch.stack([(lowest <= t) & (t <= highest) for t in (ball, wide, reach)]).any(0)
        some = (unclear & (lowest < highest)).nonzero()[:, 0]
        lowest[some] = highest[some] = self._exact(row[some], column[some])
        compare = torch.lt if self.strict else torch.le
        self.precise[row[compare(lowest, ball)]] = True
        self.recalled[column[compare(lowest, reach)]] = True
        dense = (lowest < wide).nonzero()[:, 0]
        self.covered[column[dense]] = True
        self.inside.index_add_(0, row[dense], self.real.weight[column[dense]])
        self.copied[row[(highest == 0) & (ball == 0) & self.eligible[column]]] = True
