"""Where early areas develop: nothing of another development is replaced, and what is damaged is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from replaysim import development_state
from replaysim.development import Development, develop
from replaysim.development_state import CHECKPOINT, GROWN
from replaysim.early_areas import load_early_areas
from replaysim.errors import LogError
from replaysim.recipes import Recipe
from replaysim.stimuli import StimulusSet

TINY = Recipe(epochs=1, batch=4, rate=1e-3, units=(6, 5))


@pytest.fixture
def photographs() -> StimulusSet:
    images = np.random.default_rng(0).integers(0, 256, (10, 3, 32, 32), dtype=np.uint8)
    label = np.arange(10) % 2
    return StimulusSet("made_up", images, label, images[:4], label[:4], ("a", "b"), 255.0)


@pytest.fixture
def nothing_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    def epoch(*_given: Any) -> None:
        raise AssertionError("an epoch began")

    monkeypatch.setattr(Development, "epoch", epoch)


def reworded(path: Path, kind: str, change: Callable[[Any], Any]) -> None:
    """Another note in a file of tensors."""
    with safe_open(str(path), framework="pt") as file:
        note = json.loads(file.metadata()[f"replaysim_{kind}"])
    save_file(load_file(str(path)), str(path), metadata={f"replaysim_{kind}": json.dumps(change(note))})


def test_early_areas_without_their_checkpoint_are_kept(photographs: StimulusSet, tmp_path: Path) -> None:
    develop(photographs, TINY, 5, out=tmp_path, progress=False)
    checkpoint = (tmp_path / CHECKPOINT).read_bytes()
    grown = (tmp_path / GROWN).read_bytes()
    (tmp_path / CHECKPOINT).unlink()
    for seed in (5, 6):
        with pytest.raises(LogError, match=rf"{GROWN} is there without its {CHECKPOINT}"):
            develop(photographs, TINY, seed, out=tmp_path, progress=False)
    assert (tmp_path / GROWN).read_bytes() == grown and not (tmp_path / CHECKPOINT).exists()
    (tmp_path / CHECKPOINT).write_bytes(checkpoint)
    assert len(develop(photographs, TINY, 5, out=tmp_path, progress=False).history) == 1
    (tmp_path / "other").mkdir()
    develop(photographs, TINY, 6, out=tmp_path / "other", progress=False)
    other = (tmp_path / "other" / GROWN).read_bytes()
    (tmp_path / GROWN).write_bytes(other)
    with pytest.raises(LogError, match=rf"{GROWN} was made with seed 6, not 5"):
        develop(photographs, TINY, 5, out=tmp_path, progress=False)
    assert (tmp_path / GROWN).read_bytes() == other


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda note: {n: v for n, v in note.items() if n != "history"}, "history of this development is damaged"),
        (lambda note: note | {"history": 3}, r"history of this development is damaged \(3\)"),
        (lambda note: note | {"history": [{"epoch": 1}]}, "history of this development is damaged"),
        (lambda note: note | {"history": [note["history"][0] | {"epoch": 2}]}, "history of this development is damag"),
        (lambda note: note | {"history": [note["history"][0] | {"loss": "low"}]}, "history of this development is d"),
        (lambda note: {n: v for n, v in note.items() if n != "seed"}, "made with seed None, not 5"),
        (lambda note: [1], "holds no development of replaysim"),
    ],
)
def test_checkpoints_with_damaged_notes(
    change: Callable[[Any], Any], words: str, photographs: StimulusSet, tmp_path: Path
) -> None:
    develop(photographs, TINY, 5, out=tmp_path, progress=False)
    reworded(tmp_path / CHECKPOINT, development_state.KIND, change)
    with pytest.raises(LogError, match=words):
        develop(photographs, TINY, 5, out=tmp_path, progress=False)


def test_early_areas_with_damaged_notes(photographs: StimulusSet, tmp_path: Path) -> None:
    develop(photographs, TINY, 5, out=tmp_path, progress=False)
    reworded(tmp_path / GROWN, "early_areas", lambda note: note | {"development": 3})
    with pytest.raises(LogError, match=r"its note about development is damaged: 3"):
        load_early_areas(tmp_path / GROWN)
    reworded(tmp_path / GROWN, "early_areas", lambda note: [note])
    with pytest.raises(LogError, match=r"holds no early areas of replaysim"):
        load_early_areas(tmp_path / GROWN)


@pytest.mark.usefixtures("nothing_lives")
def test_folders_that_cannot_be_written_are_found_first(photographs: StimulusSet, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300), f"{tmp_path}/a\0b", 3):
        with pytest.raises(LogError, match=r"no folder that can be written"):
            develop(photographs, TINY, 5, out=out, progress=False)  # type: ignore[arg-type]
    (tmp_path / "folder" / GROWN).mkdir(parents=True)
    with pytest.raises(LogError, match=f"{GROWN} is there without"):
        develop(photographs, TINY, 5, out=tmp_path / "folder", progress=False)
    assert (tmp_path / "file").read_bytes() == b""
