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
    wide = max(12, *(len(str(name)) for name in table["condition"].values))
    head = f"{'condition':{wide}s} {'final accuracy, %':>20s} {'forgetting, points':>20s} {'n':>4s}"
    lines = [head, "-" * len(head)]
    for name in table["condition"].values:
        row = table.sel(condition=name)
        cells = [
            plus_minus(100 * float(row[m]), 100 * float(row[f"{m}_standard_error"])) for m in ("accuracy", "forgetting")
        ]
        lines.append(f"{name!s:{wide}s} {cells[0]:>20s} {cells[1]:>20s} {int(row['n']):4d}")
    lines += ["-" * len(head), f"{'chance':{wide}s} {100 * float(table['chance'][0]):>13.1f}"]
    answers = {name: table[name].attrs["answers"].replace("_", " ") for name in ("accuracy", "forgetting")}
    rules = ", ".join(
        f"{name}: {rule}" for name, rule in answers.items() if rule
    )  # none where nobody has lived so long
    lines.append("mean ± standard error over n animals")
    return "\n".join([*lines, f"answers that compete: {rules}"] if rules else lines)


def format_comparison(found: xr.Dataset, *, percent: bool = True) -> str:
    """Differences of :func:`analysis.comparison.compare_conditions`, a line each, and what their p values can tell.

    Parameters
    ----------
    found
        (pair).
    percent
        Whether they are fractions, to be shown in points.
    """
    wide = max((len(str(pair)) for pair in found["pair"].values), default=0)
    lines = []
    for pair in found["pair"].values:
        one = found.sel(pair=pair)
        corrected = f", corrected {float(one['p_holm']):.3f}" if int(one["n"]) > 1 else ""
        lines.append(format_difference(str(pair), one, percent=percent, wide=wide) + corrected)
    if lines and (n := int(found["n"].max())) > 1:
        least, judged = 0.5 ** (n - 1), int(found["p"].notnull().sum())
        lines.append(
            f"mean difference within animals; with {n} animals no p can be below {least:.3f}, and corrected (Holm, of "
            f"{judged}) none below {min(1.0, least * judged):.3f}"
        )
    return "\n".join(lines)


def format_difference(name: str, found: xr.Dataset | None, *, percent: bool = True, wide: int = 22) -> str:
    """One line about a paired difference; None: no animal has a value in both conditions. ``wide``: of the name."""
    name = f"{name:{max(wide, 22)}s}"
    if found is None:
        return f"  {name} no animal lived to the end in both"
    scale, digits = (100, 1) if percent else (1, 2)
    mean, low, high, n = (float(found[k]) for k in ("mean", "low", "high", "n"))
    if n < 2:
        return f"  {name} {scale * mean:+7.{digits}f}   (one animal)"
    return (
        f"  {name} {scale * mean:+7.{digits}f}   95 % CI [{scale * low:+.{digits}f}, {scale * high:+.{digits}f}]   "
        f"p = {float(found['p']):.3f} (sign flips, n = {int(n)})"
    )
