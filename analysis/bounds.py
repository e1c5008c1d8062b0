"""Bounds on the difference between our numbers and published ones: met, or missed, by how much, by what chance."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from .csv_tables import number, read_table

COLUMNS = ("preset", "steps", "what", "within")
ANY = "*"


@dataclass(frozen=True)
class Bound:
    """How far our numbers may lie from published ones.

    Attributes
    ----------
    preset, steps
        Which arms and steps per context; ``*`` stands for any, also within a name: ``split_cifar100/*``.
    what
        What the published number is: ``"mean"`` or ``"animal 12"``.
    within
        Largest difference, in points.
    """

    preset: str
    steps: str
    what: str
    within: float

    def covers(self, preset: str, steps: int, what: str) -> bool:
        """Whether it is about this number."""
        return fnmatchcase(preset, self.preset) and self.steps in (ANY, str(steps)) and what == self.what


def read_bounds(path: Path) -> tuple[Bound, ...]:
    """Bounds of a CSV file, one a row; the first that covers a number counts."""
    rows = read_table(path, COLUMNS, "bounds")
    for row in rows:
        number(path, row, "within", least=0)
        if row["steps"] != ANY:
            number(path, row, "steps", least=1)
    return tuple(Bound(row["preset"], row["steps"], row["what"], float(row["within"])) for row in rows)


def bound_on(bounds: Iterable[Bound], preset: str, steps: int, what: str) -> float | None:
    """Largest difference, in points, or None where none is demanded."""
    return next((bound.within for bound in bounds if bound.covers(preset, steps, what)), None)


def verdict(difference: float, within: float) -> str:
    """``"met"``, or by how many points it is missed."""
    over = abs(difference) - within
    return "met" if over <= 1e-9 else f"missed by {over:.2f}"


def scatter(published: float, lives: Sequence[float]) -> str:
    r"""How a single published run lies within the scatter of our lives.

    .. math::
        t = (x - \bar y) / (s \sqrt{1 + 1/n})

    with n - 1 degrees of freedom: the t test of one run against n lives of the same animal, two-sided.
    """
    from scipy import special

    n = len(lives)
    if n < 2:
        return "One life of ours has no scatter to compare this with."
    spread = statistics.stdev(lives)
    if spread == 0:
        return f"Our {n} lives do not differ."
    t = (published - statistics.fmean(lives)) / (spread * (1 + 1 / n) ** 0.5)
    p = 2 * float(special.stdtr(n - 1, -abs(t)))
    return (
        f"The published number is of one run. Our {n} lives have a standard deviation of {spread:.2f} points; one run "
        f"against them: t({n - 1}) = {t:.2f}, p = {p:.2g} (two-sided)."
    )
