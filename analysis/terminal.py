"""Numbers as text for a terminal: mean ± standard error, tables of conditions, differences with their interval."""

from __future__ import annotations

import math
from collections.abc import Iterable

import xarray as xr

from .comparison import summarise


def plus_minus(mean: float, error: float, *, digits: int = 1, width: int = 6) -> str:
    """``mean ± error``, or – for what is not known: the error of one animal, everything where none has a value.

    Parameters
    ----------
    mean, error
        As they are shown.
    digits, width
        Decimals, and characters of the mean; the error takes four, or so many that one is left before the point.
    """
    wide = max(4, digits + 2)
    if math.isnan(mean):
        return f"{'–':>{width}s}{'':{wide + 3}s}"
    spread = f"{'–':>{wide}s}" if math.isnan(error) else f"{error:{wide}.{digits}f}"
    return f"{mean:{width}.{digits}f} ± {spread}"


def mean_and_error(values: xr.DataArray, *, scale: float = 100, digits: int = 1, width: int = 6) -> str:
    """Mean and standard error over animals, times ``scale`` (100: per cent); see :func:`plus_minus`."""
    found = summarise(values)
    return plus_minus(scale * float(found["mean"]), scale * float(found["standard_error"]), digits=digits, width=width)


def reach(counts: Iterable[int], between: str = " to ") -> str:
    """Least and largest of some numbers, ``5 to 6``; a single one where all are the same."""
    some = list(counts)
    return between.join(str(n) for n in sorted({min(some), max(some)}))


def format_table(table: xr.Dataset) -> str:
    """The table of :func:`analysis.comparison.factorial_table` in per cent."""
    head = f"{'condition':12s} {'final accuracy, %':>20s} {'forgetting, points':>20s} {'n':>4s}"
    lines = [head, "-" * len(head)]
    for name in table["condition"].values:
        row = table.sel(condition=name)
        cells = [
            plus_minus(100 * float(row[m]), 100 * float(row[f"{m}_standard_error"])) for m in ("accuracy", "forgetting")
        ]
        lines.append(f"{name!s:12s} {cells[0]:>20s} {cells[1]:>20s} {int(row['n']):4d}")
    lines += ["-" * len(head), f"{'chance':12s} {100 * float(table['chance'][0]):>13.1f}"]
    rules = ", ".join(
        f"{m}: {table[m].attrs[a].replace('_', ' ')}" for m in ("accuracy", "forgetting") for a in ["answers"]
    )
    return "\n".join([*lines, "mean ± standard error over n animals", f"answers that compete: {rules}"])


def format_difference(name: str, found: xr.Dataset | None, *, percent: bool = True) -> str:
    """One line about a paired difference; None: no animal has a value in both conditions."""
    if found is None:
        return f"  {name:22s} no animal lived to the end in both"
    scale, digits = (100, 1) if percent else (1, 2)
    mean, low, high, n = (float(found[k]) for k in ("mean", "low", "high", "n"))
    if n < 2:
        return f"  {name:22s} {scale * mean:+7.{digits}f}   (one animal)"
    return (
        f"  {name:22s} {scale * mean:+7.{digits}f}   95 % CI [{scale * low:+.{digits}f}, {scale * high:+.{digits}f}]   "
        f"p = {float(found['p']):.3f} (sign flips, n = {int(n)})"
    )
