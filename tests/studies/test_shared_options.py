"""Options that studies share: what makes lives others is in the folder's name and the title; the dead are left out."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import xarray as xr

from analysis import survival
from replaysim.early_areas import shipped, shipped_areas
from replaysim.errors import LogError, SettingError

ROOT = Path(__file__).resolve().parents[2]
PHOTOGRAPHS = {"protocol": "split-cifar100"}


def load(name: str) -> ModuleType:
    """A study as a module."""
    spec = importlib.util.spec_from_file_location(f"options_{name}", ROOT / "studies" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "first"), [("lesions", "split-cifar100_class"), ("quality_of_replay", "split-cifar100")]
)
def test_lives_that_cannot_be_compared_lie_apart(name: str, first: str, tmp_path: Path) -> None:
    settings = load(name).Settings
    other = tmp_path / "areas.safetensors"
    other.write_bytes(b"none that could be read")
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
