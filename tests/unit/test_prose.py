"""Numbers within sentences are those of the rows."""

from __future__ import annotations

import pytest

from analysis.prose import Numbers
from analysis.published import Published
from replaysim.errors import DataError


def row(arm: str, animal: int, accuracy: float, **others: str) -> dict[str, str]:
    life = {"animal": str(animal), "accuracy": str(accuracy), "chance": "0", "early": "none", "contexts": "all"}
    return {"preset": f"w/{arm}", "steps": "10", "precision": "float32", "device": "cpu", **life, **others}


LWF = [row("class/lwf", 12, 0.2), row("class/lwf", 13, 0.3), row("class/lwf", 12, 0.9, early="other")]
SHORT = [row("class/lwf", 12, 0.1 * (1 + life), steps="5", chance=str(life)) for life in range(3)]
GR = [row("class/gr", 12, 0.5), row("class/gr", 13, 0.8), row("class/gr", 14, 0.9)]
KNOWN = {("w/class/lwf", 10, "mean"): Published("25.57", "0.27", "paper"),
         ("w/class/lwf", 5, "animal 12"): Published("19.1", "", "code")}  # fmt: skip
NUMBERS = Numbers("w", "none", 10, {"w/class/lwf": [*LWF, *SHORT], "w/class/gr": GR}, KNOWN)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{class/lwf}", "25.0 ± 5.0"),
        ("{class/lwf@12}", "20.0"),
        ("{class/gr - class/lwf}", "40.0 ± 10.0"),
        ("{class/lwf, 5 steps}", "20.0 ± 5.8"),
        ("{class/lwf@12, 5\nsteps, 2 lives}", "15.0 ± 5.0"),
        ("{published class/lwf}", "25.57 ± .27"),
        ("{code class/lwf, 5 steps}", "19.1"),
    ],
)
def test_a_field_becomes_a_number(text: str, wanted: str) -> None:
    assert NUMBERS.fill(f"LwF: {text} %.") == f"LwF: {wanted} %.\n"


def test_arms_are_compared_within_one_way_of_computing() -> None:
    """As in the lists of orders, though cells show another one."""
    low = [row("class/lwf", animal, 0.1, precision="bfloat16", device="H200") for animal in (12, 13, 14)]
    rows = {"w/class/lwf": [*LWF, *low], "w/class/gr": GR}
    assert (
        Numbers("w", "none", 10, rows, KNOWN).fill("{class/lwf}, {class/gr - class/lwf}") == "10.0 ± 0.0, 40.0 ± 10.0\n"
    )


def test_paragraphs_are_filled_anew_and_lists_are_not() -> None:
    text = "one\ntwo-three {class/lwf@12}\n\n1. first\n   line\n2. second\n"
    assert NUMBERS.fill(text) == "one two-three 20.0\n\n1. first\n   line\n2. second\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{class/ewc}", r"no row for \{class/ewc\}"),
        ("{class/lwf@14}", "no row for"),
        ("{published class/gr}", "nothing is published of"),
        ("{class/gr - class/ewc}", "no life of both in"),
        ("{so\nmuch}", "is no number, see analysis.prose"),
    ],
)
def test_what_no_row_says_is_not_said(text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        NUMBERS.fill(text)
