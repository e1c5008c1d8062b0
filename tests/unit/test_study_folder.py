"""A folder belongs to the study that wrote into it."""

from __future__ import annotations

from pathlib import Path

import pytest
from loading import run
from small import simulate

from analysis.origins import heading, listed
from replaysim.errors import LogError
from replaysim.study_folder import check_owner, keep_table


def test_another_study_is_refused_before_it_computes(tmp_path: Path) -> None:
    keep_table(tmp_path, "lesions", "a table")
    done = run("synaptic_vs_systems", "--quick", "--animals", "12", "--out", str(tmp_path))
    assert done.returncode == 2
    assert "study lesions" in done.stderr and "--out" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["study.txt", "table.txt"]
    assert (tmp_path / "table.txt").read_text(encoding="utf-8") == "a table\n"


def test_the_same_study_and_new_folders_are_welcome(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check_owner(tmp_path / "new", "lesions")
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "table.txt").write_text("of a time when folders did not say whose they are", encoding="utf-8")
    check_owner(tmp_path / "old", "lesions")
    keep_table(tmp_path / "new", "lesions", "a table")
    check_owner(tmp_path / "new", "lesions")
    assert capsys.readouterr().out == "\na table\n"
    with pytest.raises(LogError, match="study lesions, which gallery would replace"):
        check_owner(tmp_path / "new", "gallery")


def test_the_log_of_a_simulation_is_no_place_for_a_study(tmp_path: Path) -> None:
    simulate(out=tmp_path / "log")
    with pytest.raises(LogError, match="log: holds the log of a simulation; a study has a folder for each"):
        check_owner(tmp_path / "log", "lesions")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(LogError, match="is a file"):
        check_owner(tmp_path / "file", "lesions")


@pytest.mark.parametrize(
    ("seeds", "words"), [((12,), "12"), ((12, 13, 14), "12–14"), ((12, 14, 15), "12, 14, 15"), ((14, 12), "14, 12")]
)
def test_seeds_are_listed_as_one_reads_them(seeds: tuple[int, ...], words: str) -> None:
    assert listed(seeds) == words
    assert heading("digits", seeds) == f"digits, animal{'s' if len(seeds) > 1 else ''} {words}"
