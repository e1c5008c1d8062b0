"""Tables of published numbers and ours, as text, made from summaries (:mod:`analysis.summaries`)."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from . import precisions
from .bounds import Bound, bound_on, scatter, verdict
from .csv_tables import ALL_CONTEXTS
from .orders import Order, gap_between, lives_of, verdicts
from .origins import Row, Runs, listed
from .published import MEAN, Known, Published

YARDSTICK = 12
"""Animal whose published number is that of a single run."""
SINGLE_RUN = f"animal {YARDSTICK}"
"""What such a number is of, see :class:`analysis.published.Published`."""
SINGLE = "†"
"""Marks a difference from a single published run."""
NOT_YET = "not run yet"


@dataclass(frozen=True)
class Cohort:
    """Animals that share their early areas: a column of ours."""

    early: str
    title: str
    short: str


def animals(rows: Sequence[Row]) -> dict[int, list[float]]:
    """Animal to the accuracies of its lives, per cent; without those whose losses became infinite."""
    lives: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        value = 100 * float(row["accuracy"])
        if not math.isnan(value):
            lives[int(row["animal"])].append(value)
    return dict(sorted(lives.items()))


def ours(
    rows: Sequence[Row],
    mean: Published | None,
    *,
    run: Published | None = None,
    within: float | None = None,
) -> list[str]:
    """Cells: mean and standard error, difference from what is published, animals.

    The standard error is over animals, or over the lives of a single animal.

    Parameters
    ----------
    rows
        Of a summary.
    mean
        Published mean, from which ours differs.
    run
        A single published run of animal 12; where no mean is published, the lives of our animal 12 differ from it, and
        the difference is marked.
    within
        Largest difference that is demanded, in points.
    """
    lives = animals(rows)
    lost = len({row["animal"] for row in rows}) - len(lives)
    if not lives:
        return [f"losses became infinite in all {lost} animals" if lost else NOT_YET, "", "0"]
    single = len(lives) == 1
    values = next(iter(lives.values())) if single else [statistics.fmean(v) for v in lives.values()]
    found = statistics.fmean(values)
    error = f" ± {statistics.stdev(values) / len(values) ** 0.5:.2f}" if len(values) > 1 else ""
    which = [listed(lives)]
    most = max(len(v) for v in lives.values())
    which += [f"{most} lives"] if most > 1 else []
    which += [f"losses of {lost} more became infinite"] if lost else []
    gap = ""
    if mean:
        gap = _gap(found - float(mean.value), within)
    elif run and YARDSTICK in lives:
        gap = _gap(statistics.fmean(lives[YARDSTICK]) - float(run.value), within, SINGLE)
    return [f"{found:.2f}{error}", gap, f"{len(lives)} ({', '.join(which)})"]


def _gap(difference: float, within: float | None, mark: str = "") -> str:
    judged = f" ({verdict(difference, within)})" if within is not None else ""
    return f"{signed(difference)}{mark}{judged}"


def signed(difference: float) -> str:
    """Points with their sign; none where they are 0.0."""
    text = f"{difference:+.1f}"
    return "0.0" if float(text) == 0 else text


@dataclass(frozen=True)
class Tables:
    """Makes tables of one protocol.

    Attributes
    ----------
    cohorts
        Columns of ours.
    known
        Published numbers, see :func:`analysis.published.published`.
    sources
        Name of a source to its words.
    bounds
        On the difference of ours from published numbers.
    orders
        Published orders of arms; also beside shorter lives, which may keep another one.
    others
        Early areas of no column to what they are: below the table.
    """

    cohorts: Sequence[Cohort]
    known: Known
    sources: Mapping[str, str]
    bounds: Sequence[Bound] = ()
    orders: Sequence[Order] = ()
    others: Mapping[str, str] = field(default_factory=dict)

    def table(
        self,
        names: Sequence[str],
        steps: int,
        rows: Mapping[str, Sequence[Row]],
        contexts: str = ALL_CONTEXTS,
        *,
        whole: bool = True,
    ) -> list[str]:
        """Lines of a table, its sources, and how its rows came about.

        Parameters
        ----------
        names
            Presets: rows of the table.
        steps
            Steps per context; rows of other lengths are left out.
        rows
            Preset to the rows of its summary.
        contexts
            Number of contexts; rows of other numbers are left out. What is published is of all contexts, and is not
            shown beside fewer.
        whole
            Whether these are lives of the published length: published orders that nobody has lived yet are named, too.
        """
        own = {name: [row for row in some if row["contexts"] == contexts] for name, some in rows.items()}
        tables = self if contexts == ALL_CONTEXTS else replace(self, known={})
        return tables._table(names, steps, own, whole)

    def _table(self, names: Sequence[str], steps: int, rows: Mapping[str, Sequence[Row]], whole: bool) -> list[str]:
        runs, shown = Runs(), {cohort.early for cohort in self.cohorts}
        every = {n: [row for row in some if int(row["steps"]) == steps] for n, some in rows.items()}
        cells = {name: precisions.first(every.get(name, ())) for name in names}
        own = {name: [row for row in some if row["early"] in shown] for name, some in cells.items()}
        lived = {name: some for name, some in own.items() if some}
        lines = self._grid(lived, steps, runs)
        lines += self._lacking(names, steps, lived) if whole else []
        beside = [line for name in names for line in self._beside(name, cells[name], runs)]
        lines += ["", "With other early areas:", "", *beside] if beside else []
        again = [line for name in names for line in self._in_others(name, every.get(name, ()), runs)]
        lines += ["", "In another precision, or on another kind of device:", "", *again] if again else []
        quoted = {value.source for (name, many, _), value in self.known.items() if name in names and many == steps}
        if quoted:
            words = "; ".join(words for source, words in self.sources.items() if source in quoted)
            lines += ["", f"Published numbers: {words}."]
        if any(SINGLE in line for line in lines):
            lines += ["", f"{SINGLE} No mean is published: our animal {YARDSTICK} minus one run of the published code."]
        lines += self._judged(lived, steps)
        lines += self._ordered(names[0].rpartition("/")[0] if names else "", every, whole)
        lines += ["", precisions.NOTE] if any(precisions.MARK in line for line in lines) else []
        return [*(lines if lines[:1] != [""] else lines[1:]), "", *runs.folded()]

    def _grid(self, lived: Mapping[str, Sequence[Row]], steps: int, runs: Runs) -> list[str]:
        """The table: a row for every arm that was lived, columns for early areas with which any was."""
        there = {row["early"] for some in lived.values() for row in some}
        cohorts = [cohort for cohort in self.cohorts if cohort.early in there]
        coded = any((name, steps, SINGLE_RUN) in self.known for name in lived)
        head = ["arm", "published, %"]
        for cohort in cohorts:
            head += [f"{cohort.title}, % (mean ± s.e.)", "difference", "n (animals)"]
        if coded:
            head.append(" / ".join([f"{SINGLE_RUN}: published code", *(cohort.short for cohort in cohorts)]))
        head.append("run")
        lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
        for name, some in lived.items():
            cells = self._cells(name, steps, some, cohorts)
            lines.append(f"| {' | '.join([*(cells if coded else cells[:-1]), runs.number(some)])} |")
        return lines if lived else []

    def _cells(self, name: str, steps: int, rows: Sequence[Row], cohorts: Sequence[Cohort]) -> list[str]:
        """Cells of an arm; the last one is about the animal of which there is a published run."""
        mean, code = (self.known.get((name, steps, what)) for what in (MEAN, SINGLE_RUN))
        within = bound_on(self.bounds, name, steps, MEAN if mean else SINGLE_RUN)
        cells = [_arm(name), str(mean) if mean else "–"]
        twelve = [code.value if code else "–"]
        for cohort in cohorts:
            own = [row for row in rows if row["early"] == cohort.early]
            found, *others = ours(own, mean, run=code, within=within)
            cells += [found + precisions.mark(own), *others]
            lives = animals(own).get(YARDSTICK)
            twelve.append(f"{statistics.fmean(lives):.1f}" if lives else "–")
        return [*cells, " / ".join(twelve)]

    def _lacking(self, names: Sequence[str], steps: int, lived: Mapping[str, Sequence[Row]]) -> list[str]:
        """What has not been lived, with what is published of it."""
        published = {name: self.known.get((name, steps, MEAN)) for name in names}
        words = [
            f"{_arm(name)}{f' (published {published[name]})' if published[name] else ''}"
            for name in names
            if name not in lived
        ]
        lines = ["", f"{NOT_YET.capitalize()}: {', '.join(words)}."] if words else []
        there = {row["early"] for some in lived.values() for row in some}
        empty = [cohort.short for cohort in self.cohorts if lived and cohort.early not in there]
        return [*lines, *(line for one in empty for line in ("", f"{NOT_YET.capitalize()} with {one}: any arm."))]

    def _ordered(self, group: str, rows: Mapping[str, Sequence[Row]], whole: bool) -> list[str]:
        lines: list[str] = []
        for i, cohort in enumerate(self.cohorts):
            own = {name: [row for row in some if row["early"] == cohort.early] for name, some in rows.items()}
            title = cohort.title if len(self.cohorts) > 1 else ""
            lines += verdicts(self.orders, group, own, title, whole=whole and i == 0)
        return lines

    def _beside(self, name: str, rows: Sequence[Row], runs: Runs) -> list[str]:
        """A line for everything that an arm reached with early areas of no column."""
        lines = []
        for early, words in self.others.items():
            own = [row for row in rows if row["early"] == early]
            if own:
                found, _, who = ours(own, None)
                found += precisions.mark(own)
                lines.append(f"- {name.rsplit('/', 1)[1]}, {words}: {found} %, {who}, run {runs.number(own)}")
        return lines

    def _in_others(self, name: str, rows: Sequence[Row], runs: Runs) -> list[str]:
        """A line for every way of computing of which the cell shows nothing: what it gave, and how that differs."""
        areas = {cohort.early: cohort.title for cohort in self.cohorts} | dict(self.others)
        lines = []
        for early, words in areas.items():
            of = "" if len(areas) == 1 else f", {words}"
            own = precisions.by_way([row for row in rows if row["early"] == early])
            for way in list(own)[1:]:
                cell, some = next(iter(own)), own[way]
                found, _, who = ours(some, None)
                gap = gap_between(lives_of(own[cell]), lives_of(some))
                less = "" if gap is None else f"; minus {cell.words([way])}, same lives: {gap}"
                what = f"{name.rsplit('/', 1)[1]}{of}, {way.words([cell])}"
                lines.append(f"- {what}: {found} %, {who}, run {runs.number(some)}{less}")
        return lines

    def _judged(self, lived: Mapping[str, Sequence[Row]], steps: int) -> list[str]:
        """Which arms keep the bounds on their difference from what is published; a line for every single run."""
        means: list[str] = []
        single: list[str] = []
        for cohort in self.cohorts:
            of = f", {cohort.title}" if len(self.cohorts) > 1 else ""
            judged: dict[float, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
            for name, some in lived.items():
                lives = animals([row for row in some if row["early"] == cohort.early])
                found = statistics.fmean(map(statistics.fmean, lives.values())) if lives else math.nan
                mean, run = (self.known.get((name, steps, what)) for what in (MEAN, SINGLE_RUN))
                within = bound_on(self.bounds, name, steps, MEAN)
                if mean and lives and within is not None:
                    met, _, over = verdict(found - float(mean.value), within).partition(" ")
                    judged[within][met].append(f"{_arm(name)} ({over})" if over else _arm(name))
                within = bound_on(self.bounds, name, steps, SINGLE_RUN)
                if run and YARDSTICK in lives and within is not None:
                    single.append(f"- {_arm(name)}{of}, {SINGLE_RUN}: {_sentence(lives[YARDSTICK], run, within)}")
            for within, arms in judged.items():
                words = "; ".join(f"{met}: {', '.join(some)}" for met, some in sorted(arms.items()))
                means.append(f"- mean{of}, within {within:g} points: {words}.")
        lines = [*means, *single]
        return ["", "Tolerated difference from published numbers:", "", *lines] if lines else []


def _arm(name: str) -> str:
    return name.rpartition("/")[2]


def _sentence(own: Sequence[float], value: Published, within: float) -> str:
    """What was found in these lives, what one run is published to have, and whether that is near enough."""
    found, there = statistics.fmean(own), float(value.value)
    judged = verdict(found - there, within)
    text = f"{found:.2f} is {signed(found - there)} from {value}, within {within:g} points: {judged}."
    return text if judged == "met" else f"{text} {scatter(there, own)}"
