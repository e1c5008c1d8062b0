"""Precisions: lives that were computed in several of them are not averaged, and are compared within one."""

from __future__ import annotations

from collections.abc import Sequence

from .csv_tables import BFLOAT16, PRECISIONS
from .origins import Row

MARK = "‡"
"""Marks numbers of lives in which layers multiplied in bfloat16."""
NOTE = f"{MARK} Mixed precision: layers multiplied in bfloat16 while animals learned (`--precision bfloat16`)."


def by_precision(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows of every precision that occurs, float32 first."""
    found = {name: [row for row in rows if row["precision"] == name] for name in PRECISIONS}
    return {name: some for name, some in found.items() if some}


def first(rows: Sequence[Row]) -> list[Row]:
    """Rows of the first precision that every group with the same early areas has: what a cell shows."""
    kept = []
    for early in dict.fromkeys(row["early"] for row in rows):
        kept += next(iter(by_precision([row for row in rows if row["early"] == early]).values()))
    return kept


def mark(rows: Sequence[Row]) -> str:
    """:data:`MARK` for rows of lives in bfloat16, else nothing."""
    return MARK if any(row["precision"] == BFLOAT16 for row in rows) else ""


def alike(one: Sequence[Row], other: Sequence[Row]) -> tuple[Sequence[Row], Sequence[Row], str]:
    """Rows of two arms in the first precision in which both have lived the same life; else the first of each.

    Returns
    -------
    one, other
        Those rows.
    str
        The mark, where any of them is to be marked.
    """
    ours, theirs = by_precision(one), by_precision(other)
    for name in (name for name in ours if name in theirs):
        if _lives(ours[name]) & _lives(theirs[name]):
            return ours[name], theirs[name], mark(ours[name])
    return first(one), first(other), mark([*one, *other])


def _lives(rows: Sequence[Row]) -> set[tuple[str, str]]:
    return {(row["animal"], row["chance"]) for row in rows}
