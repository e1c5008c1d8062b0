"""Published orders of arms, which a figure or two papers show: kept by ours, or not."""

from __future__ import annotations

import math
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import NamedTuple

from replaysim.errors import DataError

from . import precisions
from .csv_tables import read_table
from .origins import Row

COLUMNS = ("group", "order", "source")

APART = "same lives, told apart at 95 % (Student's t, not corrected for the number of pairs)"
"""How arms are compared, as it stands above every list."""


@dataclass(frozen=True)
class Step:
    """One arm does better than another; where it is not ``strict``, or as well."""

    worse: str
    better: str
    strict: bool


@dataclass(frozen=True)
class Order:
    """A published order of the arms of one protocol and scenario.

    Attributes
    ----------
    group
        ``protocol/scenario``.
    words
        Arms from worst to best, between them ``<``, or ``<=`` where the next one is at least as good; arms that are not
        told apart with a comma between them: ``nothing < si, ewc <= lwf``.
    source
        Where it was published.
    """

    group: str
    words: str
    source: str

    @property
    def levels(self) -> list[list[str]]:
        """Arms that are not told apart, from worst to best."""
        return [[arm.strip() for arm in level.split(",")] for level in re.split("<=|<", self.words)]

    @property
    def arms(self) -> list[str]:
        """All of them, from worst to best."""
        return [arm for level in self.levels for arm in level]

    def steps(self, there: Collection[str]) -> list[Step]:
        """Every arm of a level with every one of the next, of the arms that are there.

        Where a level is left out, its neighbours are compared; strictly, if one of the signs between them is strict.
        """
        signs = ["<", *re.findall("<=|<", self.words)]  # below each level
        found: list[Step] = []
        low: list[str] = []
        strict = False
        for level, sign in zip(self.levels, signs, strict=True):
            strict |= sign == "<"
            high = [arm for arm in level if arm in there]
            if high:
                found += [Step(a, b, strict) for a, b in product(low, high)]
                low, strict = high, False
        return found


def read_orders(path: Path) -> tuple[Order, ...]:
    """Orders of a CSV file, one a row.

    Raises
    ------
    LogError, DataError
        If there is no such file, it holds something else, or an order is no order.
    """
    found = tuple(Order(row["group"], row["order"], row["source"]) for row in read_table(path, COLUMNS, "orders"))
    for order in found:
        arms = order.arms
        if len(order.levels) < 2 or not all(arms) or len(set(arms)) < len(arms):
            raise DataError(
                f"{path}, row of {order.group}: {order.words!r} is no order, must be different arms, the worst first, "
                "e.g. 'nothing < si, ewc <= lwf'"
            )
    return found


def verdicts(
    orders: Iterable[Order], group: str, rows: Mapping[str, Sequence[Row]], ours: str = "", whole: bool = True
) -> list[str]:
    """Lines that say, for every published order of a group, which steps of it ours keep.

    Two arms are compared within the lives that both have lived: the same animal, the same chance. They are told apart
    where the 95 % confidence interval of the mean difference, by Student's t, leaves out 0; one life has none, and its
    sign is all that is said.

    Parameters
    ----------
    orders, group
        Orders, and the group of arms that they may be about.
    rows
        Preset to rows of a summary, all of one cohort, number of steps and of contexts.
    ours
        Name of the cohort, where there are several.
    whole
        Whether these are lives of the published length: orders of which fewer than two arms have lived are named, too.
    """
    lines: list[str] = []
    for order in (order for order in orders if order.group == group):
        lived = {arm: rows.get(f"{group}/{arm}", ()) for arm in order.arms}
        of = f", {ours}" if ours else ""
        there = [arm for arm, some in lived.items() if lives_of(some)]
        heading = f"Published order{of}: {order.words} ({order.source})."
        if len(there) < 2:
            lines += ["", f"{heading} Not run yet: {', '.join(arm for arm in order.arms if arm not in there)}."] * whole
            continue
        lines += ["", f"{heading} Points between arms, {APART}:", ""]
        lines += [f"- {_verdict(step, lived[step.worse], lived[step.better])}" for step in order.steps(there)]
        lacking = [arm for arm in order.arms if arm not in there]
        lines += [f"- not run yet: {', '.join(lacking)}"] if lacking else []
    return lines


def lives_of(rows: Iterable[Row]) -> dict[tuple[str, str], float]:
    """Accuracy, per cent, by animal and chance; without lives whose losses became infinite."""
    found = {(row["animal"], row["chance"]): 100 * float(row["accuracy"]) for row in rows}
    return {life: value for life, value in found.items() if not math.isnan(value)}


class Gap(NamedTuple):
    """How much better, in points, the same lives are in one condition than in another."""

    mean: float
    error: float | None
    """Standard error: over animals, or over the lives of a single one; None of a single life."""
    counted: int
    """How many that error is over."""
    n: str
    """Animals, and lives where they are more."""

    @property
    def is_told_apart(self) -> bool:
        """Whether the 95 % confidence interval leaves out 0; of a single life it is not known."""
        from scipy import special

        return self.error is None or abs(self.mean) > float(special.stdtrit(self.counted - 1, 0.975)) * self.error

    def __str__(self) -> str:
        return f"{self.mean:+.2f}{'' if self.error is None else f' ± {self.error:.2f}'} ({self.n})"


def gap_between(worse: Mapping[tuple[str, str], float], better: Mapping[tuple[str, str], float]) -> Gap | None:
    """Difference within the lives of both, by animal and chance; None where there is no such life.

    Lives of an animal are not independent of each other beside those of others: every animal counts with their mean.
    """
    both = sorted(worse.keys() & better.keys())
    if not both:
        return None
    of_animals: dict[str, list[float]] = defaultdict(list)
    for life in both:
        of_animals[life[0]].append(better[life] - worse[life])
    animals = len(of_animals)
    gaps = [statistics.fmean(some) for some in of_animals.values()] if animals > 1 else next(iter(of_animals.values()))
    error = statistics.stdev(gaps) / len(gaps) ** 0.5 if len(gaps) > 1 else None
    n = f"{animals} animal{'s' * (animals > 1)}" + (f", {len(both)} lives" if len(both) > animals else "")
    return Gap(statistics.fmean(gaps), error, len(gaps), n)


def fair_gap(worse: Sequence[Row], better: Sequence[Row]) -> tuple[Gap | None, str]:
    """Difference within the first way of computing in which both have lived the same life, else across; its mark.

    A precision in which both have, on whatever device, goes before ways that differ in it.
    """
    low, high = precisions.by_way(worse), precisions.by_way(better)
    pairs = [(low[way], high[way]) for way in low if way in high]
    pairs += [(low[a], high[b]) for a, b in product(low, high) if a.precision == b.precision]
    for one, other in (*pairs, (precisions.first(worse), precisions.first(better))):
        found = gap_between(lives_of(one), lives_of(other))
        if found is not None:
            return found, precisions.mark([*one, *other])
    return None, ""


def counted(orders: Iterable[Order], group: str, rows: Mapping[str, Sequence[Row]]) -> Counter[str]:
    """How many pairs of neighbours in the published orders of a group are in ours ``"as published"``, and so on.

    Parameters are those of :func:`verdicts`. Pairs of which a single life is known count by its sign.
    """
    found: Counter[str] = Counter()
    for order in (order for order in orders if order.group == group):
        lived = {arm: rows.get(f"{group}/{arm}", ()) for arm in order.arms}
        for step in order.steps([arm for arm, some in lived.items() if lives_of(some)]):
            gap, _ = fair_gap(lived[step.worse], lived[step.better])
            if gap is not None:
                words = _kept(step, gap).removesuffix(", in one life")
                found["as published" if words.endswith(", as published") else words] += 1
    return found


def _kept(step: Step, gap: Gap) -> str:
    if not gap.is_told_apart:
        return "not told apart" if step.strict else "not told apart, as published"
    words = "as published" if gap.mean > 0 or (gap.mean == 0 and not step.strict) else "the other way round"
    return words + (", in one life" if gap.error is None else "")


def _verdict(step: Step, worse: Sequence[Row], better: Sequence[Row]) -> str:
    pair, (found, mark) = f"{step.better} − {step.worse}", fair_gap(worse, better)
    return f"{pair}: no life of both" if found is None else f"{pair}: {found}{mark}: {_kept(step, found)}"
