"""Options that studies share: what makes lives others is in the folder's name and the title; the dead are left out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from loading import load

from analysis import survival
from replaysim.early_areas import EarlyAreas, save_early_areas, shipped, shipped_areas
from replaysim.errors import DataError, LogError, SettingError

PHOTOGRAPHS = {"protocol": "split-cifar100"}


@pytest.mark.parametrize(
    ("name", "first"), [("lesions", "split-cifar100_class"), ("quality_of_replay", "split-cifar100")]
)
def test_lives_that_cannot_be_compared_lie_apart(name: str, first: str, tmp_path: Path) -> None:
    settings = load(name).Settings
    with torch.random.fork_rng(devices=[]):
        other = save_early_areas(EarlyAreas(), tmp_path / "areas.safetensors")
    own = settings(**PHOTOGRAPHS, early=other)
    assert own.areas != shipped_areas() and re.fullmatch("[0-9a-f]{12}", own.areas)
    assert settings(**PHOTOGRAPHS).folder == Path("runs") / name / first
    assert own.folder.name == f"{first}_early_{own.areas}"
    assert settings(**PHOTOGRAPHS, early=Path(shipped())).folder.name == first, "the same areas by another name"
    every: dict[str, Any] = {"steps": 3, "early": other, "precision": "bfloat16", "quick": True}
    assert settings(**PHOTOGRAPHS, **every).folder.name == f"{first}_3_steps_early_{own.areas}_bfloat16_quick"
    assert settings(**PHOTOGRAPHS, **every).remarks == [
        f"early areas of a file ({own.areas}...)",
        "mixed precision (bfloat16)",
    ]
    assert settings(**PHOTOGRAPHS, **every).rhythm == ["QUICK: says nothing about the arms"]
    assert settings(steps=400).rhythm == ["400 steps per context"] and settings().rhythm == []
    assert settings(**PHOTOGRAPHS, out=tmp_path, **every).folder == tmp_path
    assert settings().areas == "none" and settings().remarks == []


@pytest.mark.parametrize("name", ["compare_methods", "lesions", "quality_of_replay"])
@pytest.mark.parametrize("count", ["workers", "threads", "at_once", "steps"])
def test_counts_begin_at_one(name: str, count: str) -> None:
    with pytest.raises(SettingError, match=rf"{name}\.{count}: got 0, must be a whole number >= 1"):
        load(name).Settings(**{count: 0})


def test_early_areas_that_are_not_there(tmp_path: Path) -> None:
    for name in ("compare_methods", "lesions", "quality_of_replay"):
        with pytest.raises(SettingError, match=rf"{name}\.early: got .*nowhere', must be a file that is there"):
            load(name).Settings(**PHOTOGRAPHS, early=tmp_path / "nowhere")


@pytest.mark.parametrize("at_once", [None, 1])
def test_memories_of_the_dead_are_not_judged(
    at_once: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether they lived beside the others or alone."""
    study = load("quality_of_replay")
    from analysis import forgetting

    real = forgetting.survivors
    for module in (survival, forgetting):
        monkeypatch.setattr(module, "survivors", lambda log: [a for a in real(log) if a != 12])
    settings = study.Settings(quick=True, animals=(12, 13), workers=1, at_once=at_once, arms="whole", out=tmp_path)
    study.main(settings)
    printed = capsys.readouterr().out
    assert "whole: left out, losses became infinite: animals 12\n" in printed
    assert "standard error over 1 animals" in printed
    kept = xr.open_datatree(tmp_path / "quality.nc")["whole"].to_dataset()
    assert kept["animal"].values.tolist() == [13] and np.isfinite(kept["f8"]).all()
    monkeypatch.setattr(survival, "survivors", lambda log: [])
    with pytest.raises(LogError, match="losses became infinite in all animals of all arms"):
        study.main(settings)


def test_an_arm_in_which_all_died_has_a_row() -> None:
    """And nothing is compared with it; one common animal is no comparison either."""
    study, nan = load("lesions"), float("nan")
    numbers = {"intact": [0.9, 0.8], "− modes": [nan, nan], "− gating": [0.7, nan], "− distillation": [0.7, 0.7]}
    arms = {name: xr.DataArray(some, {"animal": [12, 13]}, "animal") for name, some in numbers.items()}
    rows = {line[:16].strip(): line for line in study.table(arms, 0.1).splitlines()}
    assert rows["− modes"].split()[-2:] == ["–", "0"] and "nan" not in study.table(arms, 0.1)
    assert rows["− gating"].endswith("70.0 ±    –" + " " * 36 + "    1")
    assert "-15.0 [" in rows["− distillation"] and rows["intact"].endswith("    2")
    gone = {name: one for name, one in arms.items() if name != "intact"} | {"intact": arms["− modes"]}
    assert study.differences(gone, "intact") == {}


def test_geometry_is_compared_among_who_lived_in_every_condition(capsys: pytest.CaptureFixture[str]) -> None:
    def log(*faults: int) -> xr.DataTree:
        behaviour = xr.Dataset({"accuracy": ("animal", [0.5, 0.6])}, {"animal": [12, 13]})
        attrs = {"animals_with_faults": np.array(faults or [-1]), "scenario": "class"}
        return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), "/behaviour": behaviour})

    study = load("geometry_of_replay")
    whole = {"nothing": log(), "systems": log()}
    assert study.survivors(whole) is whole and not capsys.readouterr().out
    found = study.survivors({"nothing": log(), "systems": log(13)})
    assert [one["behaviour"]["animal"].values.tolist() for one in found.values()] == [[12], [12]]
    assert found["systems"].attrs["scenario"] == "class"
    assert capsys.readouterr().out == "left out, losses became infinite: animals 13\n"
    with pytest.raises(LogError, match="no animal lived to the end in every condition"):
        study.survivors({"nothing": log(12), "systems": log(13)})


def test_a_summary_that_cannot_be_written_stops_lesions_at_once(tmp_path: Path) -> None:
    """Not after the first life."""
    (tmp_path / "mine.csv").write_text("my notes\n", encoding="utf-8")
    study = load("lesions")
    with pytest.raises(DataError, match=r"mine\.csv is not a summary"):
        study.main(study.Settings(summary=tmp_path / "mine.csv", out=tmp_path / "logs"))
    assert not (tmp_path / "logs").exists()
