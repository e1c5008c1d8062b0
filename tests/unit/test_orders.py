"""Published orders of arms: read, and held against lives of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.csv_tables import ALL_CONTEXTS
from analysis.orders import APART, Order, Step, counted, gap_between, read_orders, verdicts
from analysis.summary_tables import Cohort, Tables
from replaysim.errors import DataError

WORDS = "gr < nothing, si <= lwf"
ORDER = Order("w/task", WORDS, "Figure 1")


def rows(arm: str, *accuracies: float, first: int = 12, chance: int = 0, **more: Any) -> list[dict[str, str]]:
    """A life each of animals 12, 13, ..."""
    made = []
    for animal, accuracy in enumerate(accuracies, first):
        own = {
            "animal": animal,
            "chance": chance,
            "accuracy": accuracy,
            "steps": 10,
            "contexts": ALL_CONTEXTS,
            "precision": "float32",
        }
        origin = dict.fromkeys(("command", "device", "machine", "torch", "date", "commit"), "x")
        made.append({"preset": f"w/task/{arm}", "early": "none", **own, **origin, **more})
    return [{name: str(value) for name, value in row.items()} for row in made]


def test_an_order_is_read_step_by_step(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(f'group,order,source\nw/task,"{WORDS}",Figure 1\n', encoding="utf-8")
    assert read_orders(path) == (ORDER,) and ORDER.arms == ["gr", "nothing", "si", "lwf"]
    assert ORDER.steps(ORDER.arms) == [
        Step("gr", "nothing", True),
        Step("gr", "si", True),
        Step("nothing", "lwf", False),
        Step("si", "lwf", False),
    ]
    for words in ("gr", "gr < ", "gr < nothing < gr", "gr < , si"):
        path.write_text(f'group,order,source\nw/task,"{words}",Figure 1\n', encoding="utf-8")
        with pytest.raises(DataError, match=r"row of w/task: .* is no order"):
            read_orders(path)


def test_arms_are_compared_within_the_same_lives() -> None:
    lived = {
        "w/task/gr": rows("gr", 0.5, 0.6),
        "w/task/nothing": rows("nothing", 0.7, 0.7, 0.1, first=13),  # animal 13 is the only one of both
        "w/task/si": rows("si", 0.4, 0.8) + rows("si", float("nan"), chance=1),
        "w/task/lwf": rows("lwf", 0.4, 0.8),
    }
    lines = verdicts([ORDER], "w/task", lived, "ours")
    assert lines[1] == f"Published order, ours: {WORDS} (Figure 1). Points between arms, {APART}:"
    assert lines[3:] == [
        "- nothing − gr: +10.00 (1 animal): as published, in one life",
        "- si − gr: +5.00 ± 15.00 (2 animals): not told apart",
        "- lwf − nothing: +10.00 (1 animal): as published, in one life",
        "- lwf − si: +0.00 ± 0.00 (2 animals): not told apart, as published",
    ]
    assert verdicts([Order("w/task", "lwf < si", "x")], "w/task", lived)[-1].endswith("): not told apart")
    three = {"w/task/a": rows("a", 0.5, 0.5, 0.5), "w/task/b": rows("b", 0.51, 0.52, 0.53)}  # t(2) = 3.46, p = 0.07
    assert verdicts([Order("w/task", "a < b", "x")], "w/task", three)[-1].endswith("± 0.58 (3 animals): not told apart")
    three["w/task/b"] = rows("b", 0.515, 0.52, 0.525)  # t(2) = 6.9, p = 0.02
    assert verdicts([Order("w/task", "a < b", "x")], "w/task", three)[-1].endswith("± 0.29 (3 animals): as published")
    clear = {"w/task/a": rows("a", 0.5, 0.6), "w/task/b": rows("b", 0.7, 0.81)}
    for words, wanted in (("a < b", "+20.50 ± 0.50 (2 animals): as published"),
                          ("b <= a", "-20.50 ± 0.50 (2 animals): the other way round")):  # fmt: skip
        assert verdicts([Order("w/task", words, "x")], "w/task", clear)[-1].endswith(wanted)
    alone = {"w/task/a": rows("a", 0.5), "w/task/b": rows("b", 0.4)}
    assert verdicts([Order("w/task", "a < b", "x")], "w/task", alone)[-1].endswith("the other way round, in one life")


def test_what_is_missing() -> None:
    assert verdicts([ORDER], "w/class", {}) == [] and verdicts([ORDER], "w/task", {}, whole=False) == []
    assert verdicts([ORDER], "w/task", {})[1:] == [
        f"Published order: {WORDS} (Figure 1). Not run yet: gr, nothing, si, lwf."
    ]
    one = {"w/task/gr": rows("gr", 0.5)}
    assert verdicts([ORDER], "w/task", one)[-1].endswith("Not run yet: nothing, si, lwf."), "one arm has no order"
    assert verdicts([ORDER], "w/task", one, whole=False) == []
    several = {"w/task/gr": rows("gr", 0.5) + rows("gr", 0.5, chance=1), "w/task/si": rows("si", 0.6, 0.7)}
    several["w/task/si"] += rows("si", 0.8, chance=1)
    lines = verdicts([ORDER], "w/task", several)
    assert lines[3:] == [
        "- si − gr: +20.00 ± 10.00 (1 animal, 2 lives): not told apart",
        "- not run yet: nothing, lwf",
    ]
    others = {"w/task/gr": rows("gr", 0.5), "w/task/lwf": rows("lwf", 0.6, first=13)}
    assert verdicts([ORDER], "w/task", others)[3:] == ["- lwf − gr: no life of both", "- not run yet: nothing, si"]


def test_pairs_are_counted() -> None:
    lived = {"w/task/gr": rows("gr", 0.5, 0.6), "w/task/nothing": rows("nothing", 0.6, 0.7)}
    lived |= {"w/task/si": rows("si", 0.4), "w/task/lwf": rows("lwf", 0.6, 0.7)}
    assert counted([ORDER], "w/task", lived) == {"as published": 3, "the other way round": 1}
    lived["w/task/si"] = rows("si", 0.5, 0.7)
    assert counted([ORDER], "w/task", lived) == {"as published": 3, "not told apart": 1}
    assert counted([ORDER], "w/class", lived) == {} == counted([ORDER], "w/task", {})


def test_lives_of_an_animal_are_no_animals() -> None:
    """Many lives of two animals that differ are two animals."""
    gaps = {("12", "0"): 0.9, ("12", "1"): 1.1, ("13", "0"): 3.9, ("13", "1"): 4.1}
    found = gap_between(dict.fromkeys(gaps, 0.0), gaps)
    assert found is not None and found.counted == 2 and not found.is_told_apart
    assert str(found) == "+2.50 ± 1.50 (2 animals, 4 lives)"
    uneven = {**gaps, ("12", "2"): 1.0, ("12", "3"): 1.0}
    assert str(gap_between(dict.fromkeys(uneven, 0.0), uneven)) == "+2.50 ± 1.50 (2 animals, 6 lives)"


def test_neighbours_of_an_arm_that_was_not_run_are_compared() -> None:
    """Strictly, if one of the signs between them is strict."""
    assert ORDER.steps({"gr", "lwf"}) == [Step("gr", "lwf", True)]
    assert ORDER.steps({"si", "lwf"}) == [Step("si", "lwf", False)]
    assert Order("w", "a <= b < c <= d", "x").steps("ad") == [Step("a", "d", True)]
    assert Order("w", "a <= b <= c", "x").steps("ac") == [Step("a", "c", False)]
    assert Order("w", "a < b", "x").steps("b") == []


def test_orders_stand_below_tables_of_any_length() -> None:
    lived = {"w/task/gr": rows("gr", 0.5) + rows("gr", 0.9, steps=20), "w/task/si": rows("si", 0.6)}
    tables = Tables((Cohort("none", "ours", "ours"),), {}, {}, (), (ORDER,))
    text = "\n".join(tables.table(["w/task/gr", "w/task/si"], 10, lived))
    assert "- si − gr: +10.00 (1 animal): as published, in one life" in text
    assert "Published order" not in "\n".join(tables.table(["w/task/gr", "w/task/si"], 20, lived, whole=False))
