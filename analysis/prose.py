"""Numbers within sentences, filled in from summaries, so that no sentence says what no row does.

``{class/lwf}`` becomes the mean ± standard error of an arm in a scenario; ``{class/lwf@12}`` that of one animal's
lives; ``{class/gr - class/lwf}`` the difference within the same lives; ``{class/lwf, 100 steps}`` shorter lives, and
with ``, 5 lives`` the first five; ``{published class/lwf}`` and ``{code class/lwf}`` what is published, as a mean or as
one run with the seed 12.
"""

from __future__ import annotations

import re
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from replaysim.errors import DataError

from . import precisions
from .csv_tables import ALL_CONTEXTS
from .orders import fair_gap
from .origins import Row
from .published import MEAN, Known
from .summary_tables import YARDSTICK, animals

_FIELD = re.compile(
    r"\{(?:(?P<known>published|code)\s)?(?P<arm>\w+/\w+)(?:@(?P<animal>\d+))?(?:\s-\s(?P<less>\w+/\w+))?"
    r"(?:,\s(?P<steps>\d+)\ssteps)?(?:,\s(?P<first>\d+)\slives)?\}"  # a line may end at any blank
)
_MEND = ": bring the rows back, or change the sentence in analysis.results_page"


@dataclass(frozen=True)
class Numbers:
    """What can be said of one protocol.

    Attributes
    ----------
    world
        Its name in the names of presets.
    early
        Early areas of the animals that sentences are about.
    steps
        Steps per context where a sentence gives none.
    rows
        Preset to rows of a summary.
    known
        Published numbers.
    """

    world: str
    early: str
    steps: int
    rows: Mapping[str, Sequence[Row]]
    known: Known

    def fill(self, text: str) -> str:
        """The text with its numbers, its paragraphs filled anew; lists keep their lines.

        Raises
        ------
        DataError
            Where there is no such number, or braces hold something else.
        """
        filled = _FIELD.sub(self._number, text)
        if stray := re.search(r"\{.*?\}", filled, re.DOTALL):
            raise DataError(f"text about {self.world}: {stray.group()!r} is no number, see analysis.prose")
        return "\n\n".join(map(_wrapped, filled.strip("\n").split("\n\n"))) + "\n"

    def _number(self, match: re.Match[str]) -> str:
        steps = int(match["steps"] or self.steps)
        if match["known"]:
            what = MEAN if match["known"] == "published" else f"animal {YARDSTICK}"
            found = self.known.get((f"{self.world}/{match['arm']}", steps, what))
            if found is None:
                raise DataError(f"text about {self.world}: nothing is published of {match.group()}{_MEND}")
            return str(found)
        if match["less"]:
            gap, _ = fair_gap(self._lives(match["less"], steps), self._lives(match["arm"], steps))
            if gap is None:
                raise DataError(f"text about {self.world}: no life of both in {match.group()}{_MEND}")
            return _with_error(gap.mean, gap.error)
        rows = precisions.first(self._lives(match["arm"], steps))
        rows = [row for row in rows if match["first"] is None or int(row["chance"]) < int(match["first"])]
        lives = animals(rows)
        if match["animal"]:
            lives = {one: some for one, some in lives.items() if one == int(match["animal"])}
        if not lives:
            raise DataError(f"text about {self.world}: no row for {match.group()}{_MEND}")
        only = next(iter(lives.values()))
        values = only if len(lives) == 1 else [statistics.fmean(some) for some in lives.values()]
        error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None
        return _with_error(statistics.fmean(values), error)

    def _lives(self, arm: str, steps: int) -> list[Row]:
        usual = (self.early, ALL_CONTEXTS, str(steps))
        own = self.rows.get(f"{self.world}/{arm}", ())
        return [row for row in own if (row["early"], row["contexts"], row["steps"]) == usual]


def _wrapped(paragraph: str) -> str:
    if re.search(r"^(\s|\d+\. )", paragraph, re.MULTILINE):
        return paragraph
    return textwrap.fill(paragraph, 120, break_on_hyphens=False, break_long_words=False)


def _with_error(mean: float, error: float | None) -> str:
    return f"{mean:.1f}" if error is None else f"{mean:.1f} ± {error:.1f}"
