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
        head = ["arm", "published, %"]
        for cohort in self.cohorts:
            head += [f"{cohort.title}, % (mean ± s.e.)", "difference", "n (animals)"]
        head += [" / ".join(["animal 12: published code", *(cohort.short for cohort in self.cohorts)]), "run"]
        lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
        runs, shown = Runs(), {cohort.early for cohort in self.cohorts}
        judged: list[str] = []
        every = {n: [row for row in some if int(row["steps"]) == steps] for n, some in rows.items()}
        cells = {name: precisions.first(some) for name, some in every.items()}
        for name in names:
            own = [row for row in cells.get(name, ()) if row["early"] in shown]
            lines.append(f"{self._line(name, steps, own)} {runs.number(own)} |")
            judged += self._judged(name, steps, own)
        beside = [line for name in names for line in self._beside(name, cells.get(name, ()), runs)]
        lines += ["", "With other early areas:", "", *beside] if beside else []
        again = [line for name in names for line in self._in_others(name, every.get(name, ()), runs)]
        lines += ["", "In another precision, or on another kind of device:", "", *again] if again else []
        quoted = {value.source for (name, many, _), value in self.known.items() if name in names and many == steps}
        if quoted:
            words = "; ".join(words for source, words in self.sources.items() if source in quoted)
            lines += ["", f"Published numbers: {words}."]
        if any(SINGLE in line for line in lines):
            lines += ["", f"{SINGLE} No mean is published: our animal {YARDSTICK} minus one run of the published code."]
        if judged:
            lines += ["", "Tolerated difference from published numbers:", "", *judged]
        lines += self._ordered(names[0].rpartition("/")[0] if names else "", every, whole)
        lines += ["", precisions.NOTE] if any(precisions.MARK in line for line in lines) else []
        return [*lines, "", *([*runs.lines(), ""] if runs.lines() else [])]

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

    def _line(self, name: str, steps: int, rows: Sequence[Row]) -> str:
        mean, code = (self.known.get((name, steps, what)) for what in (MEAN, f"animal {YARDSTICK}"))
        within = bound_on(self.bounds, name, steps, MEAN if mean else f"animal {YARDSTICK}")
        cells = [name.rsplit("/", 1)[1], str(mean) if mean else "–"]
        twelve = [code.value if code else "–"]
        for cohort in self.cohorts:
            own = [row for row in rows if row["early"] == cohort.early]
            found, *others = ours(own, mean, run=code, within=within)
            cells += [found + precisions.mark(own), *others]
            lives = animals(own).get(YARDSTICK)
            twelve.append(f"{statistics.fmean(lives):.1f}" if lives else "–")
        return f"| {' | '.join(cells)} | {' / '.join(twelve)} |"

    def _judged(self, name: str, steps: int, rows: Sequence[Row]) -> list[str]:
        """A line for every published number of an arm on whose difference from ours there is a bound."""
        lines = []
        known = {what: value for (arm, many, what), value in self.known.items() if (arm, many) == (name, steps)}
        for what, value in known.items():
            within = bound_on(self.bounds, name, steps, what)
            for cohort in self.cohorts if within is not None else ():
                theirs = [row for row in rows if row["early"] == cohort.early]
                lives = animals(theirs)
                own = [statistics.fmean(v) for v in lives.values()]
                if what != MEAN:
                    own = lives.get(int(what.removeprefix("animal ")), [])
                if own:
                    words = [name.rsplit("/", 1)[1], *([cohort.title] if len(self.cohorts) > 1 else []), what]
                    words[-1] += precisions.mark(theirs)
                    lines.append(f"- {', '.join(words)}: {_sentence(own, value, within or 0.0, what)}")
        return lines


def _sentence(own: Sequence[float], value: Published, within: float, what: str) -> str:
    """What was found, what is published, and whether that is near enough."""
    found, there = statistics.fmean(own), float(value.value)
    judged = verdict(found - there, within)
    text = f"{found:.2f} is {signed(found - there)} from {value}, within {within:g} points: {judged}."
    if judged == "met" or what == MEAN:
        return text
    return f"{text} {scatter(there, own)}"
