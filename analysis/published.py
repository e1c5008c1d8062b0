"""What is published of each arm: numbers that stand beside ours, in tables and figures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from replaysim.errors import DataError

from .csv_tables import number, read_table

COLUMNS = ("preset", "steps", "what", "value", "error", "source")
MEAN = "mean"
"""What a published number is: a mean over seeds; or that of ``animal 12``, a single run with that seed."""
FROM_MEMORY = "memory"
"""Source of numbers that were not looked up: marked wherever they are shown."""


@dataclass(frozen=True)
class Published:
    """A published number, in per cent."""

    value: str
    error: str
    source: str

    def __str__(self) -> str:
        spread = f" ± {self.error.lstrip('0')}" if self.error else ""
        return f"{self.value}{spread}" + (" (from memory)" if self.source == FROM_MEMORY else "")

    @property
    def looked_up(self) -> bool:
        """Whether it was read where it is published, not quoted from memory."""
        return self.source != FROM_MEMORY


Known = Mapping[tuple[str, int, str], Published]


def published(path: Path) -> dict[tuple[str, int, str], Published]:
    """Published numbers by preset, steps and what they are: ``mean`` or, of one run, ``animal 12``.

    Raises
    ------
    LogError, DataError
        If there is no such file, or it holds something else, or less than it should.
    """
    found: dict[tuple[str, int, str], Published] = {}
    for row in read_table(path, COLUMNS, "published numbers"):
        number(path, row, "value")
        if row["error"]:
            number(path, row, "error", least=0)
        steps = number(path, row, "steps", least=1)
        if not re.fullmatch(rf"{MEAN}|animal \d+", row["what"]):
            raise DataError(f"{path}, row of {row['preset']}: what is {row['what']!r}, must be 'mean' or 'animal 12'")
        key = row["preset"], int(steps), row["what"]
        if key in found:
            raise DataError(f"{path}: {row['preset']}, {int(steps)} steps, {row['what']}, is given twice")
        found[key] = Published(row["value"], row["error"], row["source"])
    return found


def means(path: Path, prefix: str, steps: int) -> dict[str, Published]:
    """Published means of the arms of one protocol and scenario, e.g. ``"split_mnist/class/"``, at a number of steps."""
    return {
        preset.removeprefix(prefix): one
        for (preset, own, what), one in published(path).items()
        if preset.startswith(prefix) and own == steps and what == MEAN
    }
