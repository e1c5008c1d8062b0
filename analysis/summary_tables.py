"""Tables of published numbers and ours, as text, made from summaries (:mod:`analysis.summaries`)."""

from __future__ import annotations

import csv
import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from replaysim.errors import LogError

Row = Mapping[str, str]
FROM_MEMORY = "memory"
"""Source of numbers that were not looked up: marked wherever they are shown."""
NOT_YET = "not run yet"


@dataclass(frozen=True)
class Cohort:
    """Animals that share their early areas: a column of ours."""

    early: str
    title: str
    short: str


@dataclass(frozen=True)
class Published:
    """A published number, in per cent."""

    value: str
    error: str
    source: str

    def __str__(self) -> str:
        spread = f" ± {self.error.lstrip('0')}" if self.error else ""
        return f"{self.value}{spread}" + (" (from memory)" if self.source == FROM_MEMORY else "")


Known = Mapping[tuple[str, int, str], Published]


def published(path: Path) -> dict[tuple[str, int, str], Published]:
    """Published numbers by preset, steps and what they are: ``mean`` or ``animal 12``."""
    if not path.exists():
        raise LogError(f"no published numbers at {path}")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {
        (row["preset"], int(row["steps"]), row["what"]): Published(row["value"], row["error"], row["source"])
        for row in rows
    }


class Runs:
    """Numbers of the footnotes that say how rows came about."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, str], list[Row]] = {}

    def number(self, rows: Iterable[Row]) -> str:
        """Numbers of all that made these rows."""
        found = set()
        for row in rows:
            made = (row["command"], row["device"], row["torch"])
            self._rows.setdefault(made, []).append(row)
            found.add(list(self._rows).index(made) + 1)
        return ", ".join(map(str, sorted(found)))

    def lines(self) -> list[str]:
        """One line a command, machine and version of torch."""
        lines = []
        for number, ((command, device, torch), rows) in enumerate(self._rows.items(), 1):
            dates = sorted({row["date"] for row in rows})
            days = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
            commits = ", ".join(sorted({row["commit"] for row in rows}))
            where = "CPU, one thread a worker" if device == "cpu" else device
            lines.append(f"- run {number}: `{command}`; {where}; torch {torch}; {days}; commit {commits}")
        return lines


def animals(rows: Sequence[Row]) -> dict[int, list[float]]:
    """Animal to the accuracies of its lives, per cent; without those whose losses became infinite."""
    lives: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        value = 100 * float(row["accuracy"])
        if not math.isnan(value):
            lives[int(row["animal"])].append(value)
    return dict(sorted(lives.items()))


def ours(rows: Sequence[Row], mean: Published | None) -> list[str]:
    """Cells: mean and standard error, difference from the published mean, animals.

    The standard error is over animals, or over the lives of a single animal.
    """
    lives = animals(rows)
    lost = len({row["animal"] for row in rows}) - len(lives)
    if not lives:
        return [f"losses became infinite in all {lost} animals" if lost else NOT_YET, "", "0"]
    single = len(lives) == 1
    values = next(iter(lives.values())) if single else [statistics.fmean(v) for v in lives.values()]
    found = statistics.fmean(values)
    error = f" ± {statistics.stdev(values) / len(values) ** 0.5:.2f}" if len(values) > 1 else ""
    gap = f"{found - float(mean.value):+.1f}".replace("-0.0", "0.0").replace("+0.0", "0.0") if mean else ""
    which = [_seeds(list(lives))]
    most = max(len(v) for v in lives.values())
    which += [f"{most} lives"] if most > 1 else []
    which += [f"losses of {lost} more became infinite"] if lost else []
    return [f"{found:.2f}{error}", gap, f"{len(lives)} ({', '.join(which)})"]


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return str(seeds[0])
    whole = list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"{seeds[0]}–{seeds[-1]}" if whole else ", ".join(map(str, seeds))


@dataclass(frozen=True)
class Tables:
    """Makes tables of one protocol.

    Attributes
    ----------
    cohorts
        Columns of ours.
    known
        Published numbers, see :func:`published`.
    sources
        Name of a source to its words.
    """

    cohorts: Sequence[Cohort]
    known: Known
    sources: Mapping[str, str]

    def table(self, names: Sequence[str], steps: int, rows: Mapping[str, Sequence[Row]]) -> list[str]:
        """Lines of a table, its sources, and how its rows came about.

        Parameters
        ----------
        names
            Presets: rows of the table.
        steps
            Steps per context; rows of other lengths are left out.
        rows
            Preset to the rows of its summary.
        """
        head = ["arm", "published, %"]
        for cohort in self.cohorts:
            head += [f"{cohort.title}, % (mean ± s.e.)", "difference", "n (animals)"]
        head += [" / ".join(["animal 12: published code", *(cohort.short for cohort in self.cohorts)]), "run"]
        lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
        runs, shown = Runs(), {cohort.early for cohort in self.cohorts}
        for name in names:
            own = [row for row in rows.get(name, ()) if int(row["steps"]) == steps and row["early"] in shown]
            lines.append(f"{self._line(name, steps, own)} {runs.number(own)} |")
        quoted = {value.source for (name, many, _), value in self.known.items() if name in names and many == steps}
        if quoted:
            words = "; ".join(words for source, words in self.sources.items() if source in quoted)
            lines += ["", f"Published numbers: {words}."]
        return [*lines, "", *([*runs.lines(), ""] if runs.lines() else [])]

    def _line(self, name: str, steps: int, rows: Sequence[Row]) -> str:
        mean, code = (self.known.get((name, steps, what)) for what in ("mean", "animal 12"))
        cells = [name.rsplit("/", 1)[1], str(mean) if mean else "–"]
        twelve = [code.value if code else "–"]
        for cohort in self.cohorts:
            own = [row for row in rows if row["early"] == cohort.early]
            cells += ours(own, mean)
            lives = animals(own).get(12)
            twelve.append(f"{statistics.fmean(lives):.1f}" if lives else "–")
        return f"| {' | '.join(cells)} | {' / '.join(twelve)} |"
