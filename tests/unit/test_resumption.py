"""Resumption: the same simulation is not repeated, another one is not taken for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import LEARNING, brain, protocol

import replaysim as rs
from replaysim.cohort import Cohort
from replaysim.errors import LogError
from replaysim.resumption import Resumed, differences, simulate_once


def once(out: Path, **changed: Any) -> Resumed:
    own = protocol()
    settings: dict[str, Any] = {"learning": LEARNING, "replay": rs.GenerativeReplay(), "workers": 1, "progress": False}
    return simulate_once(brain(own), own, **{"animals": (12, 13), "out": out, **settings, **changed})


def test_a_complete_log_is_taken_as_it_is(tmp_path: Path) -> None:
    first, again = once(tmp_path), once(tmp_path, workers=2)
    assert first.simulated and not again.simulated
    assert first.log.attrs["id"] == again.log.attrs["id"]
    assert not (tmp_path / "brains").exists()


def test_brains_are_kept_where_they_are_wanted(tmp_path: Path) -> None:
    once(tmp_path)
    kept = once(tmp_path, keep_brains=True)
    assert kept.simulated, "there were none"
    again = once(tmp_path, keep_brains=True)
    assert not again.simulated and list(again.brains) == [12, 13] and len(again.brains) == 2
    one, other = (lived.brains[13].recall([0, 3]).numpy() for lived in (kept, again))
    assert np.array_equal(one, other)
    with pytest.raises(KeyError, match="animal 14 was not simulated"):
        again.brains[14]
    kept.brains.path(12).unlink()
    assert once(tmp_path, keep_brains=True).simulated, "one was missing"


def test_what_was_stopped_is_simulated_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Cohort, "consolidate", stop)
        with pytest.raises(KeyboardInterrupt):
            once(tmp_path)
    assert (tmp_path / "config.json").is_file() and not (tmp_path / "run.nc").exists()
    with pytest.raises(LogError, match="learning"):
        once(tmp_path, learning=replace(LEARNING, steps=13))
    assert once(tmp_path).simulated
    assert rs.open_log(tmp_path).attrs["status"] == "complete"


def test_other_settings_are_another_simulation(tmp_path: Path) -> None:
    once(tmp_path)
    longer = replace(LEARNING, steps=13)
    with pytest.raises(LogError, match=r"learning\.steps is 12, not 13.*--overwrite"):
        once(tmp_path, learning=longer)
    with pytest.raises(LogError, match=r"animals is \[12, 13\], not \[12, 13, 14\]"):
        once(tmp_path, animals=range(12, 15))
    with pytest.raises(LogError, match=r"replay is .*, not None"):
        once(tmp_path, replay=None)
    replaced = once(tmp_path, learning=longer, overwrite=True)
    assert replaced.simulated and replaced.log["learning"].sizes["step"] == 39
    assert not once(tmp_path, learning=longer).simulated


def test_differences_are_words() -> None:
    one = {"brain": {"closed": 0.5, "units": [1, 2]}, "computation": {"workers": 1}}
    other = {"brain": {"closed": 0.7, "units": [1, 2]}, "computation": {"workers": 2}, "label": "x" * 100}
    assert differences(one, one) == []
    assert differences(one, other) == ["brain.closed is 0.5, not 0.7", f"label is None, not {'x' * 57}..."]
