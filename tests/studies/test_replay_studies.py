"""Studies of the amount and of the quality of replay: which amounts, and lives that go on with what they lost."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from loading import load

from analysis import style
from replaysim import presets
from replaysim.checkpoints import Checkpoint
from replaysim.cohort import Cohort
from replaysim.hippocampus import StandAlonePlan

EVENTS, UNITS = (1, 2, 4, 8, 16, 32, 64, 128, 256), (10, 20, 40, 100, 200, 400, 1000)


# --- amounts


@pytest.fixture
def mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> presets.Matched:
    """The paper's settings of Split MNIST, with black images."""
    arrays = {"classes": np.array([str(c) for c in range(10)])}
    for part in ("train", "test"):
        arrays |= {f"x_{part}": np.zeros((10, 28, 28), np.uint8), f"y_{part}": np.arange(10)}
    np.savez(tmp_path / "mnist.npz", **arrays)
    monkeypatch.setenv("REPLAYSIM_DATA", str(tmp_path))
    return presets.matched("split-mnist")


@pytest.mark.parametrize("brain", ["classic", "brain-inspired"])
def test_amounts_of_the_paper(brain: str, mnist: presets.Matched) -> None:
    study, own = load("amount_of_replay"), brain == "classic"
    found = study.conditions(brain, mnist, study.Settings(protocol="split-mnist"))
    assert found == {
        "events": [(brain, events, 400, own, anew) for events in EVENTS for anew in (False, True)],
        "units": [(brain, 128, units, True, anew) for units in UNITS for anew in (False, True)],
    }
    every = {one for along in found.values() for one in along}
    assert len({one.folder for one in every}) == len(every) == 2 * (len(EVENTS) + len(UNITS)) - 2 * own
    for one in every:
        plan = study.grown(one, mnist)
        assert isinstance(plan.hippocampus, StandAlonePlan) == one.own_units
        if one.own_units:
            assert plan.hippocampus.areas.units == (one.units, one.units)
        assert plan.cortex.units == (400, 400) and (plan.gating is None) == own


@pytest.mark.parametrize(
    ("brain", "targets", "units"), [("classic", "hard", UNITS), ("brain-inspired", "soft", UNITS[1:])]
)
def test_every_amount_is_simulated_once(
    brain: str, targets: str, units: tuple[int, ...], mnist: presets.Matched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With as many events, and drawn anew or not, as the figure says; gates would close all of 10 units."""
    study = load("amount_of_replay")
    lived: dict[str, tuple[int, bool, str]] = {}

    def simulate(name: str, _plan: Any, _setup: Any, settings: Any, *, learning: Any, replay: Any) -> Any:
        assert name not in lived and learning == replace(mnist.learning, reinitialise=learning.reinitialise)
        lived[name] = (replay.batch, learning.reinitialise, replay.targets)
        return study.Lived(xr.DataArray([len(lived)] * 2, {"animal": list(settings.animals)}), [])

    monkeypatch.setattr(study, "simulate", simulate)
    settings = study.Settings(protocol="split-mnist", brain=brain, animals=(12, 13))
    found, wanted = study.measure(brain, mnist, settings, []), study.conditions(brain, mnist, settings)
    for axis, amounts in (("events", EVENTS), ("units", units)):
        assert found[axis].sizes == {"reinitialised": 2, axis: len(amounts), "animal": 2}
        for one in (one for one in wanted[axis] if getattr(one, axis) in amounts):
            assert lived[one.folder] == (one.events, one.anew, targets)
            values = found[axis].sel({"reinitialised": one.anew, axis: getattr(one, axis)})
            assert (values == list(lived).index(one.folder) + 1).all(), "where it belongs"


# --- stopped and started again


class Watch:
    """Counts weight updates and kept contexts, and stops after so many of one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.updates = self.kept = 0
        self.stop_at: dict[str, int] = {}
        for owner, method, name in ((Cohort, "learn", "updates"), (Checkpoint, "save", "kept")):
            monkeypatch.setattr(owner, method, self.counted(getattr(owner, method), name))

    def counted(self, real: Callable[..., Any], name: str) -> Callable[..., Any]:
        @functools.wraps(real)
        def run(*given: Any, **settings: Any) -> Any:
            found = real(*given, **settings)
            setattr(self, name, getattr(self, name) + 1)
            if self.stop_at.get(name) == getattr(self, name):
                raise KeyboardInterrupt
            return found

        return run

    def updates_of(self, run: Callable[[], Any], **stop_at: int) -> int:
        """Weight updates of a study, stopped or not."""
        self.updates, self.kept, self.stop_at = 0, 0, stop_at
        if not stop_at:
            run()
            return self.updates
        with pytest.raises(KeyboardInterrupt):
            run()
        return self.updates


@pytest.mark.parametrize(
    ("name", "arm", "amounts", "last"),
    [
        (
            "amount_of_replay",
            {"brain": "classic"},
            {"BATCHES": (16,), "UNITS": (200,)},
            "classic_16_events_200_units_anew",
        ),
        ("quality_of_replay", {"arms": "plain"}, {}, "plain"),
    ],
)
def test_a_stopped_study_goes_on_with_the_context_it_lost(
    name: str,
    arm: dict[str, str],
    amounts: dict[str, Any],
    last: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stopped inside a context of its last life, and again between two contexts: the same as if it never was."""
    study, watch = load(name), Watch(monkeypatch)
    monkeypatch.setattr(style, "save", lambda *_given: [])  # figures take longer than these lives
    for axis, few in amounts.items():
        monkeypatch.setitem(getattr(study, axis), "quick", few)
    settings = study.Settings(quick=True, animals=(12,), workers=1, out=tmp_path / "out", **arm)
    run, table = functools.partial(study.main, settings), settings.out / "table.txt"
    run()
    whole = table.read_text(encoding="utf-8")
    shutil.rmtree(settings.out / last), table.unlink()
    assert watch.updates_of(run, updates=25) == 25, "five contexts of ten: inside the third"
    (kept,) = settings.out.glob(f"{last}/animals_12/**/checkpoint*")
    assert watch.updates_of(run, kept=1) == 10, "the third, from its beginning"
    assert kept.exists() and not table.exists()
    assert watch.updates_of(run) == 20 and not kept.exists()
    assert table.read_text(encoding="utf-8") == whole
