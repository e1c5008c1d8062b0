"""Distances between many points, compared as exactly as float64 allows at the price of float32 matrix products.

A product of matrices bounds all squared distances (:func:`lower_bounds`). Pairs that rounding could put on either side
of a threshold are few; :func:`squared_distances` decides them. Copies count as one point (:class:`Distinct`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from replaysim.errors import check_number

from .devices import DEFAULT_MEMORY

_SIDE = 1024
_ELEMENT = 64  # bytes at work for an element of a block
_LISTED = 2**18


def side_of_blocks(memory: int | None, least: int) -> int:
    """Rows and columns of a block of a distance matrix."""
    if memory is not None:
        check_number("analysis", "memory", memory, least=1)
    return max(64, least, min(_SIDE, math.isqrt(int(memory or DEFAULT_MEMORY) // _ELEMENT)))


def slices(n: int, size: int, start: int = 0) -> Iterator[slice]:
    """Consecutive parts of ``range(start, n)``."""
    return (slice(s, min(s + size, n)) for s in range(start, n, size))


def _fold(x: Tensor) -> Tensor:
    """Row sums, overwriting ``x``: the order of additions depends on the width alone, so no batch changes a sum."""
    n = x.shape[1]
    while n > 1:
        half = (n + 1) // 2
        x[:, : n // 2] += x[:, half:n]
        n = half
    return x[:, 0]


class Distinct:
    """The distinct rows of a set, in random order: ``x[rows]``, each there ``weight`` times; ``x = x[rows][inverse]``.

    Many copies would be many ties; random order makes every block a fair sample.
    """

    def __init__(self, x: Tensor) -> None:
        self.x = x = x if x.dtype == torch.float64 else x.float()
        self.largest = max(float(end.abs()) for end in torch.aminmax(x))
        chance = torch.Generator().manual_seed(0)
        n, group = torch.arange(len(x), device=x.device), self._groups(chance)
        first = torch.full_like(n, len(x)).scatter_reduce(0, group, n, "amin")[group]
        for some in (first != n).nonzero()[:, 0].split(_SIDE):
            other = some[(x[some] != x[first[some]]).any(1)]
            first[other] = other
        rows, inverse, weight = first.unique(return_inverse=True, return_counts=True)
        order = torch.randperm(len(rows), generator=chance).to(x.device)
        self.rows, self.weight, self.inverse = rows[order], weight[order], order.argsort()[inverse]

    def _groups(self, chance: torch.Generator) -> Tensor:
        """Number of a group for each row; copies are in the same one, and hardly anything else."""
        directions = torch.rand(2, self.x.shape[1], generator=chance).to(self.x.device)
        keys = []
        for s in slices(len(self.x), 128):
            one, other = ((_fold(self.x[s].float() * d) + 0.0).view(torch.int32).long() for d in directions)
            keys.append((one << 32) ^ other)
        return torch.cat(keys).unique(return_inverse=True)[1]

    def __len__(self) -> int:
        return len(self.rows)


def squared_distances(a: Distinct, i: Tensor, b: Distinct, j: Tensor) -> Tensor:
    """Squared distances of pairs by float64 differences, the same for a pair in any company."""
    found = torch.empty(len(i), dtype=torch.float64, device=i.device)
    width = a.x.shape[1]
    size = max(1, 2 ** (16 if i.device.type == "cpu" else 24) // width)  # what a cache holds
    gap, other = (torch.empty(min(size, len(i)), width, dtype=torch.float64, device=i.device) for _ in range(2))
    for s in slices(len(i), size):
        d, e = gap[: s.stop - s.start], other[: s.stop - s.start]
        d.copy_(a.x.index_select(0, a.rows[i[s]]))
        e.copy_(b.x.index_select(0, b.rows[j[s]]))
        found[s] = _fold(d.sub_(e).square_())
    return found


class Frame:
    """Common centre and scale of sets: Gram matrices need the one, squares without overflow the other.

    On a coarse grid, such as spike counts, where ties abound, float32 makes no error if nothing is subtracted.
    """

    def __init__(self, *sets: Distinct) -> None:
        self.scale = 2.0 ** -min(126, max(-126, math.frexp(max(s.largest for s in sets))[1]))
        levels = 2.0 ** math.floor(11 - math.log2(sets[0].x.shape[1]) / 2)  # 4 width levels^2 <= 2^24
        self.exact = all(_on_grid(s.x[part], self.scale, levels) for part in (slice(1), slice(None)) for s in sets)
        centre = torch.cat([s.x[s.rows[:256]] * self.scale for s in sets]).mean(0)  # a rough one will do
        self.centre = torch.zeros_like(centre, dtype=torch.float32) if self.exact else centre.float()


def _on_grid(x: Tensor, scale: float, levels: float) -> bool:
    def fits(some: Tensor) -> bool:
        some = some * scale * levels
        return bool((some == some.round().clamp(-levels, levels)).all())

    return all(fits(x[s]) for s in slices(len(x), _SIDE))


class Centred:
    """Points centred and scaled, with squared norms and the rounding errors that they bring into squared distances."""

    def __init__(self, points: Distinct, frame: Frame) -> None:
        self.points, self.frame = points, frame
        self._values = torch.empty(len(points), points.x.shape[1], device=points.x.device)
        self._norm = torch.empty(len(points), device=points.x.device)
        for s in slices(len(points), 128):
            self._values[s] = points.x[points.rows[s]] * frame.scale - frame.centre
            self._norm[s] = _fold(self._values[s].square())

    def block(self, s: slice, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """Values, squared norms less error, and error."""
        if dtype == torch.float32:
            values, norm = self._values[s], self._norm[s]
        else:
            values = self.points.x[self.points.rows[s]].double() * self.frame.scale - self.frame.centre.double()
            norm = values.square().sum(1)
        # A sum of P products, in any order, errs by P eps / 2; centring, norms and the rest by less than 32 eps.
        error = (values.shape[1] + 64) * torch.finfo(dtype).eps / 2
        slack = torch.zeros_like(norm) if self.frame.exact else norm * (error / (1 - error)) + 1e-30
        return values, norm - slack, slack


def lower_bounds(a: Centred, i: slice, b: Centred, j: slice, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Lower bounds of squared distances, and slack of rows and of columns.

    A squared distance exceeds its bound by at most twice the slack of its row and its column together.
    """
    left, low_i, slack_i = a.block(i, dtype)
    right, low_j, slack_j = b.block(j, dtype)
    low = torch.addmm(low_j, left, right.T, beta=0, alpha=-2).add_(low_j).add_(low_i[:, None])
    return low, slack_i, slack_j


def rounded_up(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Thresholds, none below zero, at another precision and no lower."""
    return x.to(dtype) * (1 + 4 * torch.finfo(dtype).eps)


Pairs = tuple[Tensor, Tensor, Tensor, Tensor]
"""Rows, columns, and the lowest and highest squared distance that each pair can have (float64)."""


def listed(chosen: Tensor, low: Tensor, slack_i: Tensor, slack_j: Tensor, i: slice, j: slice) -> Iterator[Pairs]:
    """Chosen pairs of a block, some at a time."""
    flat = chosen.view(-1)
    whole = len(flat) // 8 * 8
    words = flat[:whole].view(torch.int64).nonzero()  # mostly nothing is chosen: eight at a time
    at = (words * 8 + torch.arange(8, device=flat.device)).view(-1)
    at = torch.cat((at, torch.arange(whole, len(flat), device=flat.device)))
    for some in at[flat[at]].split(_LISTED):
        row, column = some // low.shape[1], some % low.shape[1]
        lowest = low.view(-1)[some].double()
        yield row + i.start, column + j.start, lowest, lowest + 2 * (slack_i[row].double() + slack_j[column].double())


def _take(keep: Tensor, pairs: Sequence[Tensor]) -> Pairs:
    index = keep.nonzero()[:, 0] if keep.dtype == torch.bool else keep
    row, column, lowest, highest = (t[index] for t in pairs)
    return row, column, lowest, highest


class Shortlist:
    """For every row the columns that may be its k-th nearest, until it is known how far that one is.

    Parameters
    ----------
    own
        Neighbours of each row at distance 0 that are not listed: its copies.
    weight
        Neighbours that each column stands for.
    ks
        Which neighbours are sought.
    exact
        Squared distances of rows and columns.
    memory
        Bytes for the list.
    """

    def __init__(
        self,
        own: Tensor,
        weight: Tensor,
        ks: Sequence[int],
        exact: Callable[[Tensor, Tensor], Tensor],
        memory: int | None,
    ) -> None:
        self._own, self._weight, self._ks, self._exact = own, weight, ks, exact
        self.bound = torch.full(own.shape, torch.inf, dtype=torch.float64, device=own.device)
        self._parts: list[Pairs] = []
        self._size = 0
        self._limit = max(int(memory or DEFAULT_MEMORY) // 512, 4 * len(own) * (max(ks) + 4))

    def add(self, row: Tensor, column: Tensor, lowest: Tensor, highest: Tensor) -> None:
        """Take up pairs, none of them twice."""
        self._parts.append(_take(lowest <= self.bound[row], (row, column, lowest, highest)))
        self._size += len(self._parts[-1][0])
        if self._size > self._limit:
            self._settle()

    def _ranked(self, row: Tensor, column: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Order by row and value, and how many neighbours come before and up to each pair."""
        order = value.argsort()
        order = order[row[order].argsort(stable=True)]
        row, weight = row[order], self._weight[column[order]]
        upto = weight.cumsum(0)
        start = torch.searchsorted(row, torch.arange(len(self._own), device=row.device))
        upto = upto - (torch.cat((upto.new_zeros(1), upto))[start] - self._own)[row]
        return order, upto - weight, upto

    def _kth(self, row: Tensor, column: Tensor, value: Tensor) -> Tensor:
        """The k-th smallest value of every row, (len(ks), rows)."""
        order, before, upto = self._ranked(row, column, value)
        found = torch.full((len(self._ks), len(self._own)), torch.inf, dtype=torch.float64, device=row.device)
        for result, k in zip(found, self._ks, strict=True):
            chosen = order[(before < k) & (k <= upto)]
            result[row[chosen]] = value[chosen]
            result[self._own >= k] = 0.0
        return found

    def _settle(self) -> Pairs:
        """Forget pairs that are too far apart."""
        pairs = row, column, lowest, highest = tuple(torch.cat(p) for p in zip(*self._parts, strict=True))
        self.bound = torch.minimum(self.bound, self._kth(row, column, highest).amax(0))
        pairs = row, column, lowest, highest = _take(lowest <= self.bound[row], pairs)
        if len(row) > self._limit // 2:  # more are alike than rounding tells apart
            self._resolve(pairs, highest > lowest)
            order, before, _ = self._ranked(row, column, lowest)
            pairs = _take(order[before < max(self._ks)], pairs)
        self._parts, self._size = [pairs], len(pairs[0])
        return pairs

    def _resolve(self, pairs: Pairs, unclear: Tensor) -> None:
        row, column, lowest, highest = pairs
        some = unclear.nonzero()[:, 0]
        lowest[some] = highest[some] = self._exact(row[some], column[some])

    def finish(self) -> Tensor:
        """The k-th smallest squared distance of every row, (len(ks), rows); infinite where fewer were added."""
        pairs = row, column, lowest, highest = self._settle()
        least, most = self._kth(row, column, lowest), self._kth(row, column, highest)
        self._resolve(pairs, ((lowest <= most[:, row]) & (highest >= least[:, row])).any(0) & (highest > lowest))
        return self._kth(row, column, lowest)
