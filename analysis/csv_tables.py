"""Tables in CSV files, checked when they are read: what was cut off, or is something else, is no shorter table."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from replaysim.errors import DataError, LogError

ALL_CONTEXTS = "all"
"""A cell: all contexts of a protocol, instead of the number of the first ones."""
BFLOAT16 = "bfloat16"
"""A cell: layers multiplied in this precision while they learned (:mod:`replaysim.products`)."""
PRECISIONS = ("float32", "float64", BFLOAT16)
"""Cells: in what was computed."""
KINDS = ("CPU", "GPU")
"""Kinds of device."""
THREADS = "threads a worker"
"""End of a cell about a machine, where a worker had more than one."""
UNKNOWN = "unknown"
"""A cell: what earlier versions did not note."""


def kind_of(device: str) -> str:
    """Kind of the device that a cell names: ``cpu``, or the name of a GPU."""
    return KINDS[device != "cpu"]


def read_cells(path: Path, what: str) -> tuple[list[str], list[list[str]]]:
    """Header and further lines of a CSV file, whatever they say; an empty file has neither.

    Raises
    ------
    LogError
        If it cannot be read.
    DataError
        If it is no text with commas.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *lines = list(csv.reader(file)) or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not {what}: no text with commas ({error})") from error
    except OSError as error:
        raise LogError(f"{path} cannot be read ({error.strerror}); {what} is a CSV file") from error
    return header, lines


def read_table(path: Path, columns: Sequence[str], what: str) -> list[dict[str, str]]:
    """Rows of a CSV file with exactly these columns.

    Parameters
    ----------
    path
        The file.
    columns
        Its header.
    what
        What it holds, for errors: ``"published numbers"``.

    Raises
    ------
    LogError
        If there is no such file, or it cannot be read.
    DataError
        If it is something else, has no row, or was cut off; the line is named.
    """
    if not path.is_file():
        raise LogError(f"no {what} at {path}")
    header, lines = read_cells(path, f"a table of {what}")
    if header != list(columns):
        shown = ",".join(header)
        shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
        raise DataError(f"{path}: is no table of {what}: its first line is {shown!r}, must be {','.join(columns)!r}")
    for number, cells in enumerate(lines, 2):
        if len(cells) != len(columns):
            raise DataError(
                f"{path}, line {number}: has {len(cells)} cells, must have {len(columns)}; was the file cut off?"
            )
    if not lines:
        raise DataError(f"{path}: holds no {what}, only their header; was the file cut off?")
    return [dict(zip(columns, cells, strict=True)) for cells in lines]


def number(path: Path, row: dict[str, str], column: str, *, least: float = -math.inf) -> float:
    """A cell as a finite number.

    Raises
    ------
    DataError
        If it is none, or below ``least``; file, row and column are named.
    """
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < least:
        bound = "" if least == -math.inf else f" >= {least:g}"
        about = ", ".join(list(row.values())[:3])
        raise DataError(f"{path}, row {about}: {column} is {row[column]!r}, must be a number{bound}")
    return value
