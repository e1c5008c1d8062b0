"""Numbers as text for a terminal."""

from __future__ import annotations

import math

import pytest
import xarray as xr

from analysis import comparison, terminal

UNKNOWN = math.nan


@pytest.mark.parametrize(
    ("mean", "error", "settings", "wanted"),
    [
        (93.61, 0.512, {}, "  93.6 ±  0.5"),
        (93.61, UNKNOWN, {}, "  93.6 ±    –"),
        (UNKNOWN, UNKNOWN, {}, "     –       "),
        (0.5, 0.0123, {"digits": 3, "width": 9}, "    0.500 ± 0.012"),
        (7.94, 0.1, {"digits": 2}, "  7.94 ± 0.10"),
    ],
)
def test_what_is_not_known_is_a_dash(mean: float, error: float, settings: dict[str, int], wanted: str) -> None:
    assert terminal.plus_minus(mean, error, **settings) == wanted
    assert len(wanted) == settings.get("width", 6) + 3 + max(4, settings.get("digits", 1) + 2), "columns stay in line"


def test_differences_of_few_animals() -> None:
    """One has no interval, none has nothing."""
    values = xr.DataArray([0.5, 0.7], {"animal": [12, 13]}, "animal")
    two = comparison.paired_difference(values, values - [0.1, 0.2])
    assert "+15.0   95 % CI [" in terminal.format_difference("a - b", two) and "n = 2)" in terminal.format_difference(
        "a - b", two
    )
    one = comparison.paired_difference(values[:1], values[:1] - 0.1)
    line = terminal.format_difference("a - b", one)
    assert line.endswith("+10.0   (one animal)") and "nan" not in line
    assert terminal.format_difference("a - b", None).endswith("no animal lived to the end in both")


def test_comparisons_stay_in_line_and_say_what_they_can_tell() -> None:
    values = xr.DataArray([0.5, 0.7, 0.6, 0.9], {"animal": [12, 13, 14, 15]}, "animal")
    names = {
        "nothing": values - [0.4, 0.3, 0.4, 0.3],
        "replay of recent memories": values,
        "replay of old memories": values - 0.1,
    }
    *lines, last = terminal.format_comparison(comparison.compare_conditions(names)).splitlines()
    assert len(lines) == 3 and len({line.index("95 % CI") for line in lines}) == 1
    assert lines[0].startswith("  replay of recent memories - nothing ") and "+35.0" in lines[0]
    assert lines[0].endswith("p = 0.125 (sign flips, n = 4), corrected 0.375")
    assert last.endswith("with 4 animals no p can be below 0.125, and corrected (Holm, of 3) none below 0.375")
    one = terminal.format_comparison(comparison.compare_conditions({n: v[:1] for n, v in names.items()}, "nothing"))
    assert one.count("(one animal)") == 2 and "nan" not in one and "no p can" not in one
