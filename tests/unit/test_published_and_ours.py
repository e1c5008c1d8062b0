"""Published numbers beside ours: what is demanded of the difference, damaged files, and numbers that vanish."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from small import simulate

from analysis.bounds import Bound, bound_on, read_bounds, scatter, verdict
from analysis.orders import Order
from analysis.origins import origin_lines
from analysis.published import Published, means, published
from analysis.summary_tables import Cohort, Tables, ours
from analysis.vanished import vanished
from replaysim.errors import DataError, LogError

COMMON = {"preset": "w/class/arm", "steps": "10", "date": "2026-01-02", "commit": "abc", "device": "cpu", "torch": "2"}
COMMON["machine"] = "abacus, 2 cores"


def row(
    animal: int, accuracy: float, chance: int = 0, early: str = "none", precision: str = "float32"
) -> dict[str, str]:
    about = {"animal": str(animal), "chance": str(chance), "early": early, "contexts": "all", "accuracy": str(accuracy)}
    about["precision"] = precision
    return {**COMMON, **about, "command": "python x.py"}


LIVES = [row(12, accuracy, chance) for chance, accuracy in enumerate((0.16, 0.17, 0.18))]
RUN = Published("19.1", "", "code")


def test_a_single_published_run_is_compared_with_the_lives_of_the_same_animal() -> None:
    assert ours(LIVES, None, run=RUN)[1] == "-2.1†"
    assert ours(LIVES, None, run=RUN, within=1.5)[1] == "-2.1† (missed by 0.60)"
    assert ours([*LIVES, row(13, 0.9)], None, run=RUN, within=2.1)[1] == "-2.1† (met)", "other animals do not count"
    assert ours([row(13, 0.9)], None, run=RUN)[1] == "", "animal 12 was not simulated"
    mean = Published("17.5", "0.1", "paper")
    assert ours(LIVES, mean, run=RUN, within=0.4)[1] == "-0.5 (missed by 0.10)", "a published mean comes first"


def test_bounds(tmp_path: Path) -> None:
    path = tmp_path / "bounds.csv"
    path.write_text("preset,steps,what,within\nw/class/arm,10,mean,2\nw/*,*,mean,1.5\n")
    bounds = read_bounds(path)
    assert bounds[0] == Bound("w/class/arm", "10", "mean", 2.0)
    found = [bound_on(bounds, *key) for key in (("w/class/arm", 10, "mean"), ("w/class/arm", 5, "mean"))]
    assert found == [2.0, 1.5] and bound_on(bounds, "v/class/arm", 10, "mean") is None
    assert bound_on(bounds, "w/class/arm", 10, "animal 12") is None
    assert [verdict(x, 1.5) for x in (1.5, -1.5, -1.71)] == ["met", "met", "missed by 0.21"]
    path.write_text("preset,steps,what,within\nw/*,*,mean,much\n")
    with pytest.raises(DataError, match=r"within is 'much', must be a number >= 0"):
        read_bounds(path)


def test_one_run_against_the_scatter_of_lives() -> None:
    """Oracle: the two-sample t test of SciPy with one sample of a single value."""
    lives = [16.0, 17.0, 18.5, 17.2]
    with np.errstate(all="ignore"):
        oracle = stats.ttest_ind([19.1], lives)
    text = scatter(19.1, lives)
    assert f"t(3) = {oracle.statistic:.2f}, p = {oracle.pvalue:.2g} (two-sided)" in text
    assert f"standard deviation of {np.std(lives, ddof=1):.2f}" in text
    assert "no scatter" in scatter(19.1, [17.0]) and "do not differ" in scatter(19.1, [17.0, 17.0])


def test_tables_say_what_is_demanded_and_whether_it_is_met() -> None:
    known = {("w/class/arm", 10, "animal 12"): RUN, ("w/class/other", 10, "mean"): Published("50", "", "paper")}
    bounds = (Bound("w/*", "*", "animal 12", 1.5), Bound("w/*", "*", "mean", 1.5))
    rows = {"w/class/arm": LIVES, "w/class/other": [{**row(12, 0.49), "preset": "w/class/other"}]}
    tables = Tables((Cohort("none", "ours", "ours"),), known, {"paper": "a paper", "code": "the code"}, bounds)
    lines = tables.table(["w/class/arm", "w/class/other", "w/class/more"], 10, rows)
    assert lines[2].startswith("| arm | – | 17.00 ± 0.58 | -2.1† (missed by 0.60) | 1 (12, 3 lives) | 19.1 / 17.0 |")
    assert "| -1.0 (met) |" in lines[3]
    assert any(line.startswith("† No mean is published") for line in lines)
    met, missed = (line for line in lines if line.startswith("- ") and "points" in line)
    assert missed.startswith("- arm, animal 12: 17.00 is -2.1 from 19.1, within 1.5 points: missed by 0.60.")
    assert "t(2) = 1.82, p = 0.21 (two-sided)" in missed
    assert met == "- mean, within 1.5 points: met: other."
    text = "\n".join(Tables(tables.cohorts, known, tables.sources).table(["w/class/more"], 10, rows))
    assert "Tolerated" not in text and "†" not in text


def test_what_was_not_lived_is_named_below_the_table() -> None:
    """With what is published of it; early areas with which nothing was lived have no column."""
    known = {("w/class/other", 10, "mean"): Published("50", "0.5", "paper")}
    cohorts = (Cohort("a", "ours, theirs", "their areas"), Cohort("b", "ours, ours", "our areas"))
    names = ["w/class/arm", "w/class/other", "w/class/more"]
    rows = {"w/class/arm": [row(12, 0.4, early="a"), row(13, 0.6, early="a")]}
    lines = Tables(cohorts, known, {"paper": "a paper"}).table(names, 10, rows)
    assert lines[:3] == [
        "| arm | published, % | ours, theirs, % (mean ± s.e.) | difference | n (animals) | run |",
        "|---|---|---|---|---|---|",
        "| arm | – | 50.00 ± 10.00 |  | 2 (12–13) | 1 |",
    ]
    assert lines[3:7] == [
        "",
        "Not run yet: other (published 50 ± .5), more.",
        "",
        "Not run yet with our areas: any arm.",
    ]
    short = "\n".join(Tables(cohorts, known, {}).table(names, 5, {}, whole=False))
    assert "Not run yet" not in short
    nothing = Tables(cohorts, known, {}).table(names, 10, {})
    assert nothing[0] == "Not run yet: arm, other (published 50 ± .5), more." and not any("|" in one for one in nothing)


LOW = [row(12, 0.19, precision="bfloat16"), row(12, 0.17, 1, precision="bfloat16")]
NOTE = "‡ Mixed precision: layers multiplied in bfloat16"


def test_lives_in_bfloat16_fill_a_cell_only_where_there_are_no_others() -> None:
    """Marked there; beside others they are compared with the same lives of those."""
    known = {("w/class/arm", 10, "mean"): Published("20", "", "paper")}
    tables = Tables((Cohort("none", "ours", "ours"),), known, {"paper": "a paper"}, (Bound("w/*", "*", "mean", 1.5),))
    alone = "\n".join(tables.table(["w/class/arm"], 10, {"w/class/arm": LOW}))
    assert "| arm | 20 | 18.00 ± 1.00‡ | -2.0 (missed by 0.50) | 1 (12, 2 lives) |" in alone
    assert "- mean, within 1.5 points: missed: arm (by 0.50)." in alone
    assert NOTE in alone and "minus float32" not in alone
    both = "\n".join(tables.table(["w/class/arm"], 10, {"w/class/arm": [*LOW, *LIVES]}))
    assert "| arm | 20 | 17.00 ± 0.58 | -3.0 (missed by 1.50) | 1 (12, 3 lives) |" in both and NOTE not in both
    line = "- arm, bfloat16: 18.00 ± 1.00 %, 1 (12, 2 lives), run 1; minus float32, same lives: +1.50 ± 1.50"
    assert f"In another precision, or on another kind of device:\n\n{line} (1 animal, 2 lives)" in both
    double = [*LIVES, row(12, 0.16, precision="float64")]
    text = "\n".join(tables.table(["w/class/arm"], 10, {"w/class/arm": double}))
    assert (
        "| 17.00 ± 0.58 |" in text
        and "- arm, float64: 16.00 %, 1 (12), run 1; minus float32, same lives: +0.00" in text
    )


def test_lives_of_other_early_areas_are_marked_and_never_vanish() -> None:
    tables = Tables((Cohort("none", "ours", "ours"),), {}, {}, others={"abc": "recipe x"})
    low, high = row(12, 0.19, early="abc", precision="bfloat16"), row(12, 0.18, early="abc")
    assert "- arm, recipe x: 19.00‡ %, 1 (12), run 1" in "\n".join(
        tables.table(["w/class/arm"], 10, {"w/class/arm": [low]})
    )
    text = "\n".join(tables.table(["w/class/arm"], 10, {"w/class/arm": [low, high]}))
    assert "- arm, recipe x: 18.00 %, 1 (12), run 1" in text
    assert "- arm, recipe x, bfloat16: 19.00 %, 1 (12), run 1; minus float32, same lives: +1.00 (1 animal)" in text


def test_orders_are_judged_within_one_precision() -> None:
    order = (Order("w/class", "arm < other", "a figure"),)
    tables = Tables((Cohort("none", "ours", "ours"),), {}, {}, orders=order)

    def judged(*others: dict[str, str]) -> str:
        rows = {"w/class/arm": [*LOW, *LIVES], "w/class/other": list(others)}
        return next(line for line in tables.table(list(rows), 10, rows) if line.startswith("- other − arm"))

    assert (
        judged(row(12, 0.18, precision="bfloat16"))
        == "- other − arm: -1.00 (1 animal)‡: the other way round, in one life"
    )
    assert judged(row(12, 0.18)) == "- other − arm: +2.00 (1 animal): as published, in one life"
    fair = [row(12, 0.18, precision="bfloat16"), row(13, 0.9)]
    assert judged(*fair) == judged(fair[0]), "there is a common life in bfloat16 only"
    mixed = judged(row(12, 0.18, chance=2, precision="bfloat16"))
    assert mixed == "- other − arm: +0.00 (1 animal)‡: the other way round, in one life"


HEAD = "preset,steps,what,value,error,source\n"
GOOD = "a/b/c,10,mean,45,0.5,paper\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "its first line is '', must be"),
        (HEAD, "only their header"),
        ("x,y\n1,2\n", "its first line is 'x,y'"),
        ((HEAD + GOOD).replace(",", ";"), "its first line is 'preset;steps"),
        (HEAD + GOOD + "a/b/d,10,mean,4", "line 3: has 4 cells, must have 6; was the file cut off"),
        (HEAD + GOOD.replace("45", "many"), "value is 'many', must be a number"),
        (HEAD + GOOD.replace("45", "nan"), "value is 'nan'"),
        (HEAD + GOOD.replace(",10,", ",ten,"), "steps is 'ten'"),
        (HEAD + GOOD.replace("0.5", "-1"), "error is '-1', must be a number >= 0"),
        (HEAD + GOOD.replace("mean", "meen"), "what is 'meen', must be 'mean' or 'animal 12'"),
        (HEAD + GOOD + GOOD, "is given twice"),
        (b"\x89HDF\r\n\x1a\n\x00\xff", "no text with commas"),
    ],
)
def test_damaged_published_numbers(tmp_path: Path, content: str | bytes, words: str) -> None:
    path = tmp_path / "published.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=words.replace("|", r"\|")):
        published(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(LogError, match="no published numbers at"):
        published(path)


def test_means_of_one_scenario_at_one_length(tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    path.write_text(
        HEAD + GOOD + "a/b/d,20,mean,4,,memory\na/e/c,10,mean,5,,x\na/b/f,10,animal 12,6,,x\n", encoding="utf-8"
    )
    assert means(path, "a/b/", 10) == {"c": Published("45", "0.5", "paper")}
    assert means(path, "a/b/", 20) == {"d": Published("4", "", "memory")} and not means(path, "a/b/", 20)["d"].looked_up
    assert means(path, "a/b/", 30) == {}


PAGE = """## Digits
### Class scenario
| arm | published, % | ours | difference | n (animals) | animal 12 | run |
|---|---|---|---|---|---|---|
| gr | 91.30 ± .60 | 92.20 ± 0.51 | +0.9 | 5 (12) | 92.3 / 92.5 | 2 |
**5 steps per context** (the paper: 10)
| gr | – | 17.39 |  | 1 (12) | – / 17.4 | 1 |
"""


def test_numbers_that_vanish_are_named() -> None:
    assert vanished(PAGE, PAGE) == [] == vanished("", PAGE) == vanished(PAGE, PAGE.replace("92.20", "12.34"))
    more = PAGE.replace("| – / 17.4 |", "| 19 / 17.4 |")
    assert vanished(PAGE, more) == [] and vanished(more, PAGE) == ["Digits, Class scenario, 5 steps per context: gr"]
    empty = PAGE.replace("92.20 ± 0.51 | +0.9 | 5 (12) | 92.3 / 92.5 | 2", "not run yet |  | 0 | 92.3 / – | ")
    assert vanished(PAGE, empty) == ["Digits, Class scenario: gr"]
    assert vanished(PAGE, PAGE.replace("91.30 ± .60", "–")) == ["Digits, Class scenario: gr"]
    assert len(vanished(PAGE, "")) == 3, "the head, too"
    assert vanished(f"| arms | 3 |\n{PAGE}", PAGE) == [], "a summary above the sections only counts what is in them"


def test_origins_of_logs_are_lines() -> None:
    logs = [simulate(animals=(animal,)).log for animal in (12, 13)]
    (line,) = origin_lines(logs)
    commit = logs[0].attrs["software_git_commit"][:12]
    machine = r"; CPU \(.*, \d+ cores?(, [\w+]+)?\), one thread a worker; torch 2"
    assert line.startswith("- run 1: `") and re.search(machine, line)
    assert logs[0].attrs["date_created"][:10] in line and line.removesuffix("+").endswith(f"; commit {commit}")
