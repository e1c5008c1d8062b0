"""Precisions, and kinds of device: lives that were computed in several ways are not averaged, and compared within one.

On another kind of device the same life rounds otherwise, so that it becomes another one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import product
from typing import NamedTuple

from .csv_tables import BFLOAT16, KINDS, PRECISIONS, kind_of
from .origins import Row

MARK = "‡"
"""Marks numbers of lives in which layers multiplied in bfloat16."""
NOTE = f"{MARK} Mixed precision: layers multiplied in bfloat16 while animals learned (`--precision bfloat16`)."


class Way(NamedTuple):
    """How lives were computed."""

    precision: str
    kind: str
    """Of device: one of :data:`analysis.csv_tables.KINDS`."""

    def words(self, others: Collection[Way]) -> str:
        """The precision; and the kind of device, where others have another one."""
        differ = any(one.kind != self.kind for one in others)
        return f"{self.precision} on a {self.kind}" if differ else self.precision


def way_of(row: Row) -> Way:
    """How the life of a row was computed."""
    return Way(row["precision"], kind_of(row["device"]))


def by_way(rows: Sequence[Row]) -> dict[Way, list[Row]]:
    """Rows of every way that occurs: that of most living animals first, float32 and a CPU where there are as many."""
    found = {way: [row for row in rows if way_of(row) == way] for way in map(Way._make, product(PRECISIONS, KINDS))}
    animals = {way: len({row["animal"] for row in some if row["accuracy"] != "nan"}) for way, some in found.items()}
    return {way: found[way] for way in sorted(found, key=lambda way: -animals[way]) if found[way]}


def first(rows: Sequence[Row]) -> list[Row]:
    """Rows that a cell shows: with the same early areas, those of the first way that there is."""
    kept = []
    for early in dict.fromkeys(row["early"] for row in rows):
        kept += next(iter(by_way([row for row in rows if row["early"] == early]).values()))
    return kept


def mark(rows: Sequence[Row]) -> str:
    """:data:`MARK` for rows of lives in bfloat16, else nothing."""
    return MARK if any(row["precision"] == BFLOAT16 for row in rows) else ""
