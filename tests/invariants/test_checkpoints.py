"""A life that was interrupted is taken up where a context ended, and nobody can tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from lives import LEARNING, LIVES, electrodes

import replaysim as rs
from replaysim import tensor_files
from replaysim.checkpoints import KIND, Checkpoint
from replaysim.errors import DataError, LogError
from replaysim.life import Condition, Outcome, live
from replaysim.recording import Piece

ALL = {
    **LIVES,
    "brain-inspired, drift": lambda: _internal(),
    "online EWC": lambda: {**LIVES["joint"](), "experience": "sequential", "consolidation": _online()},
    "anew": lambda: {**LIVES["pair"](), "learning": rs.Learning(3, 6, 1e-3, reinitialise=True)},
    "probed": lambda: {**LIVES["joint"](), "electrodes": (rs.Behaviour(steps=(1, 4, 5, 8)),)},
}


def _internal() -> dict[str, Any]:
    settings = LIVES["brain-inspired, domain"]()
    plan = rs.brain_inspired(settings["protocol"], units=(12, 10), code_units=4, closed=0.5, reentry="association_1")
    return {**settings, "brain": plan}


def _online() -> rs.OnlineElasticWeightConsolidation:
    return rs.OnlineElasticWeightConsolidation(1.0, 0.8, 5)


def condition(name: str, **changes: Any) -> Condition:
    settings = {"learning": LEARNING, **ALL[name](), **changes}
    settings.setdefault("electrodes", tuple(electrodes(settings)))
    return Condition(**settings)


class Stopped(Exception):
    pass


def life(own: Condition, checkpoint: Checkpoint | None, *, stop: int | None = None) -> tuple[Outcome, dict[str, Piece]]:
    """A whole life, or until so many steps are over."""
    pieces: dict[str, Piece] = {}
    over = [0]

    def progress(steps: int) -> None:
        over[0] += steps
        if stop is not None and over[0] >= stop:
            raise Stopped

    return live(own, (12, 13), pieces.__setitem__, progress, checkpoint), pieces


@pytest.mark.filterwarnings("ignore:replay enters at")
@pytest.mark.parametrize("name", ALL)
def test_nobody_can_tell(name: str, tmp_path: Path) -> None:
    own, checkpoint = condition(name), Checkpoint(tmp_path / "animals" / "checkpoint.safetensors")
    whole, log = life(own, None)
    written: dict[str, Piece] = {}
    for steps in (5, 7):  # in the second context, then in the third
        with pytest.raises(Stopped):
            life(own, checkpoint, stop=steps)
    note = tensor_files.read(checkpoint.path, KIND)[1]
    assert note["contexts"] == 2 and note["animals"] == [12, 13]
    rest, later = life(own, checkpoint)
    written |= later
    for seed in (12, 13):
        for key, value in whole.states[seed].items():
            assert np.array_equal(rest.states[seed][key], value, equal_nan=True), key
    assert rest.identities == whole.identities and rest.alive == whole.alive
    assert {"behaviour", "learning"} <= later.keys() and "gates" not in later, "what is on disk already stays"
    for piece, groups in later.items():
        for group, dataset in groups.items():
            xr.testing.assert_identical(dataset, log[piece][group])


def test_a_checkpoint_of_others_is_not_gone_on_with(tmp_path: Path) -> None:
    own, checkpoint = condition("joint", experience="sequential"), Checkpoint(tmp_path / "checkpoint.safetensors")
    with pytest.raises(Stopped):
        life(own, checkpoint, stop=5)
    with pytest.raises(LogError, match=r"is a checkpoint of animals \[12, 13\]"):
        live(own, (12, 14), lambda *_: None, lambda _n: None, checkpoint)
    with pytest.raises(DataError, match=r"no place|is missing"):
        life(condition("pair"), checkpoint)
    checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:-9])
    with pytest.raises(LogError, match="truncated"):
        life(own, checkpoint)
    checkpoint.remove()
    life(own, checkpoint)
