"""One command a figure of the paper: it asks the studies for what the paper shows, and says slips before it begins."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from loading import load

from replaysim.commandline import arguments, parse_settings
from replaysim.early_areas import EarlyAreas, save_early_areas
from replaysim.errors import MissingDataError, ReplaysimError, SettingError
from replaysim.study_folder import keep_table

study = load("paper_figures")
FIGURES = tuple(study.PANELS)
CIFAR = "split_cifar100"


def panels(figure: str, **given: Any) -> list[Any]:
    return list(study.panels(study.Settings(figure=figure, **given)))


@pytest.mark.parametrize("figure", FIGURES)
def test_the_command_that_is_printed_makes_the_panel(figure: str) -> None:
    for given in ({}, {"animals": (12, 15), "steps": 7, "quick": True, "out": Path("else where")}):
        for panel in panels(figure, **given):
            typed = arguments(panel.settings)
            assert parse_settings(panel.study.Settings, shlex.split(typed)) == panel.settings
            assert panel.settings.folder.parts[0] == ("else where" if given else "runs")


@pytest.mark.parametrize(("figure", "number"), [("3", 20), ("4", 20), ("5", 5), ("6", 10), ("9", 10)])
def test_as_many_animals_as_in_the_paper(figure: str, number: int) -> None:
    assert {len(panel.settings.animals) for panel in panels(figure)} == {number}
    assert all(panel.settings.animals[0] == 12 for panel in panels(figure))
    assert all(panel.settings.animals == (3, 4) for panel in panels(figure, animals=(3, 4)))


def test_methods_are_those_of_the_paper_of_2020() -> None:
    found = {}
    for figure in "356":
        for panel in panels(figure):
            names = [name.rsplit("/", 1) for name in panel.study.chosen(panel.settings)]
            found[names[0][0]] = [arm for _, arm in names]
    both = ["nothing", "joint", "ewc", "si", "lwf", "gr", "brain_inspired"]
    assert found["split_mnist/class"] == both
    assert found[f"{CIFAR}/class"] == [*both, "brain_inspired_si"]
    assert set(found[f"{CIFAR}/task"]) == {*both, "xdg"}, "without gates there is no slip"
    assert set(found["split_mnist/task"]) == {*both, "xdg", "brain_inspired_faithful"}
    stiff = {"online_ewc", "si", "brain_inspired_si", "brain_inspired_si_faithful"}
    assert {*both, *stiff, "brain_inspired_faithful"} == set(found["permuted_mnist/domain"])


def test_lesions_are_shown_where_the_paper_has_them() -> None:
    shown = {panel.settings.folder.name: len(panel.settings.animals) for panel in panels("8")}
    assert shown == {
        "permuted-mnist_domain_faithful": 5,
        "split-cifar100_task_faithful": 10,
        "split-cifar100_class": 10,
    }


def fitting(folder: Path) -> Path:
    """A file of early areas for photographs of CIFAR-100; they have seen nothing."""
    with torch.random.fork_rng(devices=[]):
        return save_early_areas(EarlyAreas(), folder / "fitting.safetensors")


def test_early_areas_are_for_photographs_only(tmp_path: Path) -> None:
    file = fitting(tmp_path)
    given = {panel.settings.protocol: panel.settings.early for panel in panels("8", early=file)}
    assert given == {"permuted-mnist": None, "split-cifar100": file}


@pytest.mark.parametrize("wrong", [{"channels": (16, 32, 64, 128, 250)}, {"image": (1, 28, 28)}])
def test_early_areas_of_other_shapes_are_refused_before_anything_begins(wrong: dict[str, Any], tmp_path: Path) -> None:
    file = save_early_areas(EarlyAreas(**wrong), tmp_path / "areas.safetensors")
    state = torch.get_rng_state()
    for figure in ("6", "8", "9"):
        with pytest.raises(SettingError, match=r"developed: got .*areas\.safetensors', must be a file of early areas"):
            study.Settings(figure=figure, early=file)
    panels("8", early=fitting(tmp_path))
    assert torch.equal(state, torch.get_rng_state()), "to look at a file draws nothing"


@pytest.mark.parametrize(
    ("figure", "given", "words"),
    [
        (None, {}, r"figure: got None, must be one of 3, 4, 5, 6, 8, 9"),
        ("5", {"early": Path("none")}, r"early: got 'none', must be left out"),
        ("8", {"early": Path("none")}, r"early: got 'none', must be a file that is there"),
        ("6", {"early": Path(__file__)}, r"cannot be read as a safetensors file"),
        ("4", {"precision": "bfloat16"}, r"precision: got 'bfloat16', must be left out: studies/amount_of_replay.py"),
        ("6", {"steps": 0}, r"steps: got 0"),
        ("9", {"workers": 0}, r"workers: got 0"),
    ],
)
def test_slips_are_said_before_anything_begins(figure: str | None, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ReplaysimError, match=words):
        study.Settings(figure=figure, **given)


@pytest.fixture
def few_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images that pass for those of MNIST, eight of a class to learn from and two to test with."""
    chance = np.random.default_rng(0)
    arrays: dict[str, Any] = {"classes": np.array([str(c) for c in range(10)])}
    for part, each in (("train", 8), ("test", 2)):
        arrays[f"y_{part}"] = np.arange(10).repeat(each)
        arrays[f"x_{part}"] = chance.integers(0, 256, (each * 10, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "mnist.npz", **arrays)
    monkeypatch.setenv("REPLAYSIM_DATA", str(tmp_path))


@pytest.mark.parametrize("wrong", ["stimuli", "summary", "owner"])
def test_the_last_panel_is_prepared_before_the_first_is_made(
    wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> None:
        if wrong == "stimuli" and name == "cifar100":
            raise MissingDataError("no cifar100")

    monkeypatch.setattr("replaysim.stimuli.load", load)
    settings = study.Settings(figure="8", out=tmp_path / "runs")
    for panel in (made := study.panels(settings)):
        monkeypatch.setattr(panel.study, "main", lambda _settings: pytest.fail("a panel was made"))
    if wrong == "summary":
        made[-1].settings.kept.mkdir(parents=True)
    elif wrong == "owner":
        keep_table(made[-1].settings.folder, "gallery", "a table")
    words = {"stimuli": "no cifar100", "summary": "is a folder", "owner": "of the study gallery"}
    with pytest.raises(ReplaysimError, match=words[wrong]):
        study.main(settings)


@pytest.mark.usefixtures("few_digits")
def test_all_panels_are_made_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [(name, {**asked, "arms": "nothing"}) for name, asked in study.PANELS["3"]]
    monkeypatch.setitem(study.PANELS, "3", few)
    settings = study.Settings(figure="3", animals=(12,), steps=2, quick=True, out=tmp_path / "runs", workers=1)
    study.main(settings)
    said = capsys.readouterr().out.splitlines()
    commands = [line for line in said if line.startswith("python studies/")]
    assert ["--scenario task" in line for line in commands] == [True, False]
    assert all("--animals 12:13" in line and "--quick" in line for line in commands)
    made = [Path(line.strip()) for line in said[said.index("Figure 3:") + 1 :]]
    assert [path.relative_to(tmp_path / "runs/compare_methods/split_mnist").parts[0] for path in made] == [
        "task",
        "class",
    ]
    assert all(path.stat().st_size > 10_000 for path in made)
    before = [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("runs/**/run.nc"))]
    study.main(replace(settings))
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("runs/**/run.nc"))] == before, "lived once"
