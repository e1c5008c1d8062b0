"""Which of several precisions and kinds of device a cell shows."""

from __future__ import annotations

import pytest

from analysis.precisions import MARK, Way, by_way, first, mark


def row(precision: str, animal: int, chance: int = 0, **others: str) -> dict[str, str]:
    life = {"animal": str(animal), "chance": str(chance), "early": "none", "device": "cpu"}
    return {"precision": precision, "accuracy": "0.5", **life, **others}


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
    assert [way.precision for way in by_way(rows)] == wanted
    shown = first(rows)
    assert {one["precision"] for one in shown} == {wanted[0]} and mark(shown) == MARK * (wanted[0] == "bfloat16")


def test_who_did_not_live_to_the_end_does_not_count() -> None:
    rows = [row("bfloat16", a, accuracy="nan") for a in (12, 13)] + [row("float32", 12)]
    assert [way.precision for way in by_way(rows)] == ["float32", "bfloat16"]


def test_early_areas_are_asked_one_by_one() -> None:
    rows = [row("float32", 12, early="a"), row("bfloat16", 12, early="b"), row("bfloat16", 13, early="b")]
    assert first(rows) == rows


def test_a_life_on_another_kind_of_device_is_another_one() -> None:
    """Rounding makes it so; the name of the GPU does not matter."""
    rows = [row("float32", 12), row("float32", 12, device="NVIDIA H100"), row("float32", 13, device="NVIDIA H200")]
    on_gpu, on_cpu = by_way(rows)
    assert (on_gpu, on_cpu) == (Way("float32", "GPU"), Way("float32", "CPU"))
    assert first(rows) == rows[1:]
    assert on_cpu.words([on_gpu]) == "float32 on a CPU" and on_cpu.words([on_cpu]) == "float32"
