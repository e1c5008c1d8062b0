"""Vanished numbers: those that a page of tables shows today and would show no longer."""

from __future__ import annotations

import re
from collections.abc import Iterator

_NUMBER = re.compile(r"\d+\.?\d*")


def vanished(before: str, after: str) -> list[str]:
    """Sections that a newer text lacks, and rows of tables of which it shows fewer numbers, as words.

    Parameters
    ----------
    before, after
        Two versions of a page in Markdown. A row is the same where its headings, the bold line above the table, and its
        first cell are; a table above all sections only counts what is in them.

    Returns
    -------
    list of str
        ``"Split MNIST, Class scenario: gr"`` and so on, in the order of the page.
    """
    now, there = dict(_rows(after)), {line for line in after.splitlines() if line.startswith("## ")}
    sections = [line for line in before.splitlines() if line.startswith("## ") and line not in there]
    rows = [name for name, cells in _rows(before) if _numbers(cells) > _numbers(now.get(name, []))]
    return [*(line.removeprefix("## ") for line in sections), *rows]


def _rows(text: str) -> Iterator[tuple[str, list[str]]]:
    place = ["", "", ""]
    for line in text.splitlines():
        for level, mark in enumerate(("## ", "### ", "**")):
            if line.startswith(mark):
                place[level:] = [line.removeprefix(mark).partition("**")[0], *[""] * (2 - level)]
        if line.startswith("| ") and place[0]:
            first, *cells = (cell.strip() for cell in line.strip("| ").split("|"))
            yield f"{', '.join(filter(None, place))}: {first}", cells


def _numbers(cells: list[str]) -> int:
    """How many cells, or parts of them between slashes, begin with a number other than a count of no animals."""
    parts = (part.strip() for cell in cells[:-1] for part in cell.split("/"))  # the last one tells the run
    return sum(bool(_NUMBER.match(part)) and part != "0" for part in parts)
