"""Which of several precisions a cell shows."""

from __future__ import annotations

import pytest

from analysis.precisions import MARK, by_precision, first, mark


def row(precision: str, animal: int, chance: int = 0, early: str = "none", accuracy: str = "0.5") -> dict[str, str]:
    life = {"animal": str(animal), "chance": str(chance), "early": early}
    return {"precision": precision, "accuracy": accuracy, **life}


@pytest.mark.parametrize(
    ("rounded", "wanted"),
    [
        ([12], ["float32", "bfloat16"]),  # as many animals
        ([12, 13], ["bfloat16", "float32"]),
        ([], ["float32"]),
    ],
)
def test_most_animals_first(rounded: list[int], wanted: list[str]) -> None:
    """Further lives of the same animal do not count."""
    rows = [row("bfloat16", a) for a in rounded] + [row("float32", 12, c) for c in range(3)]
    assert list(by_precision(rows)) == wanted
    shown = first(rows)
    assert {one["precision"] for one in shown} == {wanted[0]} and mark(shown) == MARK * (wanted[0] == "bfloat16")


def test_who_did_not_live_to_the_end_does_not_count() -> None:
    rows = [row("bfloat16", a, accuracy="nan") for a in (12, 13)] + [row("float32", 12)]
    assert list(by_precision(rows)) == ["float32", "bfloat16"]


def test_early_areas_are_asked_one_by_one() -> None:
    rows = [row("float32", 12, early="a"), row("bfloat16", 12, early="b"), row("bfloat16", 13, early="b")]
    assert first(rows) == rows
