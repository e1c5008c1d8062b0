"""Summaries and the tables made from them."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from small import simulate

from analysis import summaries
from analysis.forgetting import average_accuracy, final_accuracy
from analysis.published import Published, published
from analysis.summaries import COLUMNS, add_rows, check, plain, read_rows, rows_of
from analysis.summary_tables import Cohort, Runs, Tables, ours
from replaysim.errors import DataError, LogError

ROW = {
    "preset": "w/class/arm",
    "chance": "0",
    "early": "none",
    "contexts": "all",
    "steps": "10",
    "precision": "float32",
    "forgetting": "0.1",
    "curve": "0.9 0.5",
    "date": "2026-01-02",
    "commit": "abc",
    "device": "cpu",
    "machine": "unknown",
    "torch": "2",
    "command": "python x.py",
}


def row(animal: int, accuracy: float | str, **others: str) -> dict[str, str]:
    return {**ROW, "animal": str(animal), "accuracy": str(accuracy), **others}


def test_rows_say_what_came_out() -> None:
    log = simulate(animals=(12, 13), chance=3).log
    found = rows_of(log, "w/class/arm", early="dcf335eac78b")
    assert [one["animal"] for one in found] == [12, 13] and set(found[0]) == set(COLUMNS)
    assert found[0]["accuracy"] == f"{float(final_accuracy(log).sel(animal=12)):.6f}"
    assert (found[0]["chance"], found[0]["early"], found[0]["steps"]) == (3, "dcf335eac78b", 12)
    assert found[0]["device"] == "cpu" and found[0]["commit"]
    assert re.fullmatch(r".+, \d+ cores?(, [\w+]+)?", found[0]["machine"])
    curve = [float(one) for one in found[1]["curve"].split(" ")]
    np.testing.assert_allclose(curve, average_accuracy(log).sel(animal=13), atol=5e-5)


def test_fewer_contexts_are_a_table_of_their_own(tmp_path: Path) -> None:
    log = simulate(animals=(12,)).log
    assert rows_of(log, "w/class/arm")[0]["contexts"] == "all"
    assert rows_of(log, "w/class/arm", contexts=3)[0]["contexts"] == "3"
    path = tmp_path / "x.csv"
    add_rows(path, [row(12, 0.5), row(12, 0.25, contexts="3"), row(13, 0.35, contexts="3"), row(12, 0.1, contexts="4")])
    add_rows(path, [row(12, 0.45, contexts="3")])
    rows = read_rows(path)
    assert [(one["contexts"], one["accuracy"]) for one in rows] == [
        ("3", "0.45"),
        ("3", "0.35"),
        ("4", "0.1"),
        ("all", "0.5"),
    ]
    tables = Tables(
        (Cohort("none", "ours", "ours"),), {("w/class/arm", 10, "mean"): Published("60", "", "s")}, {"s": "a paper"}
    )
    whole, fewer = (" ".join(tables.table(["w/class/arm"], 10, {"w/class/arm": rows}, n)) for n in ("all", "3"))
    assert "| arm | 60 | 50.00 | -10.0 | 1 (12) |" in whole and "a paper" in whole
    assert "| arm | – | 40.00 ± 5.00 |  | 2 (12–13) |" in fewer and "a paper" not in fewer
    path.write_text(path.read_text().replace(",all,", ",some,"))
    with pytest.raises(DataError, match=r"line 5: contexts is 'some', must be 'all' or a whole number"):
        read_rows(path)


def test_rows_are_replaced_and_kept_in_order(tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.csv"
    assert read_rows(path) == []
    add_rows(path, [row(13, 0.5), row(12, 0.4), row(12, 0.3, chance="1"), row(12, 0.2, early="f00")])
    add_rows(path, [row(12, 0.9)])
    found = read_rows(path)
    assert [(one["animal"], one["chance"], one["early"], one["accuracy"]) for one in found] == [
        ("12", "0", "f00", "0.2"),
        ("12", "0", "none", "0.9"),
        ("12", "1", "none", "0.3"),
        ("13", "0", "none", "0.5"),
    ]
    assert [p.name for p in path.parent.iterdir()] == ["x.csv"]


def test_a_life_on_another_kind_of_device_is_another_row(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    add_rows(path, [row(12, 0.5), row(12, 0.4, device="NVIDIA H100"), row(12, 0.3, device="NVIDIA H200")])
    assert [(one["device"], one["accuracy"]) for one in read_rows(path)] == [("cpu", "0.5"), ("NVIDIA H200", "0.3")]


def test_processes_that_write_at_the_same_time_lose_no_row(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda animal: add_rows(path, [row(animal, 0.5)]), range(24)))
    assert [int(one["animal"]) for one in read_rows(path)] == list(range(24))
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_that_was_left_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summaries, "_PATIENCE", 0)
    (tmp_path / ".x.csv.lock").touch()
    with pytest.raises(LogError, match=r"x\.csv: another process writes there; if there is none, remove .*\.lock"):
        add_rows(tmp_path / "x.csv", [row(12, 0.5)])


def test_old_summaries_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(
        "preset,animal,accuracy,forgetting,steps,date,commit,device,torch,command\na,12,.5,.1,9,d,c,cpu,2,x\n"
    )
    (one,) = read_rows(path)
    assert (one["chance"], one["early"], one["machine"]) == ("0", "none", "unknown")
    assert one["precision"] == "float32" and one["curve"] == "unknown"
    path.write_text("preset,animal\na,12\n")
    with pytest.raises(DataError, match="is not a summary: there are rows without accuracy"):
        read_rows(path)


HEAD = ",".join(COLUMNS)
GOOD = "w/class/arm,12,0,none,all,10,float32,0.5,0.1,0.9 0.5,2026-01-02,abc,cpu,unknown,2,python x.py"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"my notes\n", "is not a summary: it has a first line without accuracy, animal, command"),
        (b"my notes", "is not a summary: it has a first line without"),
        (b"\x89PNG\xff\x00\n\x00", "is not a summary: no text with commas"),
        (f"{HEAD},mine\n{GOOD},1\n".encode(), r"is not a summary: it has columns \['mine'\]"),
        (f"{HEAD}\n{GOOD.replace(',10,', ',ten,')}\n".encode(), "line 2: steps is 'ten', must be a whole number"),
        (f"{HEAD}\n{GOOD}\n{GOOD.replace(',12,', ',12.5,')}\n".encode(), "line 3: animal is '12.5', must be a whole"),
        (
            f"{HEAD}\n{GOOD.replace('0.9 0.5', '0.9;0.5')}\n".encode(),
            "line 2: curve is '0.9;0.5', must be numbers with",
        ),
        (f"{HEAD}\n{GOOD.replace(',0.5,', ',good,')}\n".encode(), "line 2: accuracy is 'good', must be a number"),
        (
            f"{HEAD}\n{GOOD.replace('float32', 'half')}\n".encode(),
            "line 2: precision is 'half', must be one of float32",
        ),
        (f"{HEAD}\n{GOOD.replace(',abc,', ',,')}\n".encode(), "line 2: is without commit; was the file cut off"),
        (f"{HEAD}\n{GOOD[:48]}".encode(), "line 2: has 10 cells, must have 16; was the file cut off"),
        (f"{HEAD}\n{GOOD},more\n".encode(), "line 2: has 17 cells, must have 16"),
    ],
)
def test_what_is_no_summary_stays_as_it_is(text: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(text)
    for use in (read_rows, check, lambda where: add_rows(where, [row(12, 0.5)])):
        with pytest.raises(DataError, match=words):
            use(path)  # type: ignore[operator]
    assert path.read_bytes() == text and list(tmp_path.iterdir()) == [path]


def test_places_for_a_summary(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="is a folder; a summary is a CSV file"):
        check(tmp_path)
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "x.csv", tmp_path / ("x" * 300) / "x.csv", Path("/proc/nowhere/x.csv")):
        with pytest.raises(LogError, match="no summary can be written there"):
            check(place)
    check(tmp_path / "new" / "x.csv")
    assert not list((tmp_path / "new").iterdir())
    check(tmp_path / "file")
    assert read_rows(tmp_path / "file") == []
    (tmp_path / "x.csv").write_text(f"{HEAD}\n{GOOD}\n{GOOD.replace(',0.5,', ',nan,')}\n\n", encoding="utf-8")
    assert [one["accuracy"] for one in read_rows(tmp_path / "x.csv")] == ["0.5", "nan"]


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ("python s.py --early /home/x/a.st --steps 5", "python s.py --early FILE --steps 5"),
        ("python s.py --early=/home/x/a.st", "python s.py --early=FILE"),
        ("python s.py --out /tmp/a --summary /tmp/b.csv --quick", "python s.py --quick"),
        ("python s.py --out=/tmp/a --arms a,b", "python s.py --arms a,b"),
        ("python s.py --draw", "python s.py --draw"),
    ],
)
def test_commands_are_those_of_any_machine(command: str, kept: str) -> None:
    assert plain(command) == kept


def test_cells() -> None:
    mean = Published("50.0", "0.25", "paper")
    assert ours([], mean) == ["not run yet", "", "0"]
    assert ours([row(12, 0.4), row(13, 0.6), row(14, 0.5)], mean) == ["50.00 ± 5.77", "0.0", "3 (12–14)"]
    assert ours([row(12, 0.4), row(14, 0.6)], None) == ["50.00 ± 10.00", "", "2 (12, 14)"]
    lives = [row(12, 0.4, chance="0"), row(12, 0.6, chance="1")]
    assert ours(lives, mean) == ["50.00 ± 10.00", "0.0", "1 (12, 2 lives)"], "over the lives of a single animal"
    assert ours([*lives, row(13, 0.7)], mean)[0] == "60.00 ± 10.00", "over animals, each the mean of its lives"
    assert ours([row(12, 0.4)], mean) == ["40.00", "-10.0", "1 (12)"]
    assert ours([row(12, 0.4), row(13, "nan")], None)[2] == "1 (12, losses of 1 more became infinite)"
    assert ours([row(12, "nan")], None)[0] == "losses became infinite in all 1 animals"
    assert str(mean) == "50.0 ± .25" and str(Published("9", "", "memory")) == "9 (from memory)"


def test_tables_keep_apart_what_is_not_alike(tmp_path: Path) -> None:
    path = tmp_path / "published.csv"
    path.write_text(
        "preset,steps,what,value,error,source\nw/class/arm,10,mean,45,0.5,paper\nw/class/arm,10,animal 12,44,,code\n"
    )
    known = published(path)
    cohorts = (Cohort("f00", "theirs", "theirs"), Cohort("shipped", "ours", "ours"))
    rows = {
        "w/class/arm": [
            row(12, 0.4, early="f00"),
            row(12, 0.5, early="shipped", command="python y.py", device="Large GPU"),
            row(12, 0.9, early="f00", steps="5"),
            row(12, 0.9, early="other"),
        ]
    }
    sources = {"paper": "a paper", "code": "the code", "memory": "unused"}
    lines = Tables(cohorts, known, sources).table(["w/class/arm", "w/class/more"], 10, rows)
    assert lines[0].startswith("| arm | published, % | theirs, % (mean ± s.e.) | difference | n (animals) | ours")
    assert lines[2] == "| arm | 45 ± .5 | 40.00 | -5.0 | 1 (12) | 50.00 | +5.0 | 1 (12) | 44 / 40.0 / 50.0 | 1, 2 |"
    assert lines[3:5] == ["", "Not run yet: more."]
    text = "\n".join(lines)
    assert "Published numbers: a paper; the code." in text and "0.9" not in text and "90" not in text
    made = "`python x.py`; CPU (processor not recorded), one thread a worker; torch 2; 2026-01-02; commit abc"
    assert f"- run 1: {made}" in text
    assert "- run 2: `python y.py`; Large GPU" in text
    beside = Tables(cohorts, known, sources, others={"other": "of another kind", "none": "of none"})
    lines = beside.table(["w/class/arm", "w/class/more"], 10, rows)
    (line,) = (line for line in lines if line.startswith("- arm"))
    assert line == "- arm, of another kind: 90.00 %, 1 (12), run 1" and "With other early areas:" in lines
    with pytest.raises(LogError, match="no published numbers"):
        published(tmp_path / "none.csv")


def test_footnotes_join_dates_and_commits() -> None:
    runs = Runs()
    assert runs.number([row(12, 0.1), row(13, 0.1, date="2026-01-05", commit="def")]) == "1"
    assert runs.number([row(14, 0.1, torch="3")]) == "2"
    assert runs.number([]) == ""
    first, second = runs.lines()
    assert "2026-01-02 to 2026-01-05; commit abc, def" in first and "torch 3" in second
