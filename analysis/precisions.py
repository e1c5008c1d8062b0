"""Precisions: lives that were computed in several of them are not averaged, and are compared within one."""

from __future__ import annotations

from collections.abc import Sequence

from .csv_tables import BFLOAT16, PRECISIONS
from .origins import Row

MARK = "‡"
"""Marks numbers of lives in which layers multiplied in bfloat16."""
NOTE = f"{MARK} Mixed precision: layers multiplied in bfloat16 while animals learned (`--precision bfloat16`)."


def by_precision(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows of every precision that occurs: that of most living animals first, float32 where there are as many."""
    found = {name: [row for row in rows if row["precision"] == name] for name in PRECISIONS}
    animals = {name: len({row["animal"] for row in some if row["accuracy"] != "nan"}) for name, some in found.items()}
    return {name: found[name] for name in sorted(found, key=lambda name: -animals[name]) if found[name]}


def first(rows: Sequence[Row]) -> list[Row]:
    """Rows that a cell shows: with the same early areas, those of the first precision that there is."""
    kept = []
    for early in dict.fromkeys(row["early"] for row in rows):
        kept += next(iter(by_precision([row for row in rows if row["early"] == early]).values()))
    return kept


def mark(rows: Sequence[Row]) -> str:
    """:data:`MARK` for rows of lives in bfloat16, else nothing."""
    return MARK if any(row["precision"] == BFLOAT16 for row in rows) else ""
