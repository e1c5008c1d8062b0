"""A life that was interrupted is taken up where a context ended, and nobody can tell."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import tqdm
import xarray as xr
from lives import LEARNING, LIVES, electrodes, same

import replaysim as rs
from analysis.origins import origin_lines
from replaysim import crew, tensor_files
from replaysim import life as life_module
from replaysim.checkpoints import KIND, Checkpoint
from replaysim.errors import DataError, LogError
from replaysim.life import Condition, Outcome, live
from replaysim.log import settings_of
from replaysim.recording import Piece, Recording
from replaysim.repetition import PLAIN
from replaysim.resumption import simulate_once

ALL = {
    **LIVES,
    "brain-inspired, drift": lambda: _internal(),
    "online EWC": lambda: {**LIVES["joint"](), "experience": "sequential", "consolidation": _online()},
    "anew": lambda: {**LIVES["pair"](), "learning": rs.Learning(3, 6, 1e-3, reinitialise=True)},
    "bfloat16": lambda: {**LIVES["brain-inspired, SI, class"](), "precision": "bfloat16"},
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

    def progress(steps: int, /, *, skipped: bool = False) -> None:
        over[0] += steps
        if stop is not None and over[0] >= stop:
            raise Stopped

    return live(own, (12, 13), pieces.__setitem__, progress, checkpoint), pieces


@pytest.mark.filterwarnings("ignore:replay enters at")
@pytest.mark.parametrize("name", ALL)
def test_nobody_can_tell(name: str, tmp_path: Path) -> None:
    interrupted(condition(name), tmp_path)


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:replay enters at")
@pytest.mark.parametrize("name", LIVES)
def test_nobody_can_tell_on_a_gpu(name: str, tmp_path: Path) -> None:
    """It repeats some of the steps by itself."""
    interrupted(condition(name, device="cuda", learning=rs.Learning(PLAIN + 3, 6, 1e-3)), tmp_path)


def interrupted(own: Condition, tmp_path: Path) -> None:
    """A life that was stopped twice is the same as one that was not."""
    checkpoint, each = Checkpoint(tmp_path / "animals" / "checkpoint.safetensors"), own.learning.steps
    whole, log = life(own, None)
    written: dict[str, Piece] = {}
    for steps in (each + 2, 2 * each + 1):  # in the second context, then in the third
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
    checkpoint.path.unlink()
    life(own, checkpoint)


# --- as users meet it


def whole_brain() -> dict[str, Any]:
    record = (rs.CorticalActivity(stimuli=6),)
    return {**LIVES["brain-inspired, SI, class"](), "learning": LEARNING, "record": record}


def simulate(out: Path | None, **changes: Any) -> rs.SimulationResult:
    settings = {
        **LIVES["brain-inspired, SI, class"](),
        "learning": LEARNING,
        "record": (rs.CorticalActivity(stimuli=6),),
    }
    given = {"animals": (12, 13, 14), "out": out, "checkpoints": out is not None, "workers": 1, "progress": False}
    own, plan = settings.pop("protocol"), settings.pop("brain")
    return rs.simulate(plan, own, **{**settings, **given, **changes})


def interrupt(out: Path, monkeypatch: pytest.MonkeyPatch, after: int, **changes: Any) -> None:
    """Stop a simulation when so many contexts of a cohort were kept."""
    kept, save = [0], Checkpoint.save

    def saved(self: Checkpoint, *args: Any) -> None:
        save(self, *args)
        kept[0] += 1
        if kept[0] == after:
            raise Stopped

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Checkpoint, "save", saved)
        simulate(out, **changes)


@pytest.mark.parametrize("after", [1, 2])
def test_the_same_call_goes_on(after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, whole = tmp_path / "run", simulate(None)
    interrupt(out, monkeypatch, after)
    there = rs.open_log(out)
    assert there.attrs["status"] == "failed" and there["behaviour"].sizes["contexts_learned"] == after + 1
    same(simulate(out), whole)
    assert sorted(p.name for p in out.iterdir()) == ["config.json", "run.nc"], "nothing is left behind"
    assert rs.open_log(out).attrs["status"] == "complete"


@pytest.mark.parametrize("consolidation", [None, rs.SynapticIntelligence(1.0)])
def test_the_others_go_on_where_one_has_diverged(
    consolidation: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Infinite losses of one animal are no damage of the file in which they are kept."""
    learn = life_module.learn_context

    def diverge(rounds: Any, context: int, *given: Any) -> None:
        if context == 1:
            with torch.no_grad():
                for value in rounds.cohort.synapses.values():
                    value[0] *= 1e25
        learn(rounds, context, *given)

    monkeypatch.setattr(life_module, "learn_context", diverge)
    out, settings = tmp_path / "run", {"animals": (12, 13), "consolidation": consolidation}
    whole = simulate(None, **settings)
    assert whole.log.attrs["animals_with_faults"] == [12] and whole.log.attrs["status"] == "complete"
    interrupt(out, monkeypatch, 2, **settings)
    kept = tensor_files.read(out / "animals" / "12-13" / "checkpoint.safetensors", KIND)[0]
    assert not all(bool(value.isfinite().all()) for name, value in kept.items() if name.startswith("adam."))
    there = simulate(out, **settings)
    for node in whole.log.subtree:
        if node.path != "/":
            xr.testing.assert_identical(node.to_dataset(), there.log[node.path].to_dataset())
    for animal in (12, 13):
        for key, value in whole.brains[animal].state_dict().items():
            assert np.array_equal(value, there.brains[animal].state_dict()[key], equal_nan=True), key


def test_a_file_that_was_read_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was heard is not kept as a window into a file that is replaced after every context."""
    own, checkpoint = condition("probed"), Checkpoint(tmp_path / "checkpoint.safetensors")
    recollect, seen = Recording.recollect, []

    def watched(self: Recording, memory: Any) -> None:
        recollect(self, memory)
        held = [*self._accuracies, *(found for _step, found in self._probes)]
        seen.extend(np.shares_memory(one, other) for one in held for other in memory.values())

    monkeypatch.setattr(Recording, "recollect", watched)
    with pytest.raises(Stopped):
        life(own, checkpoint, stop=5)
    life(own, checkpoint)
    assert seen and not any(seen)


def test_a_life_goes_on_with_as_many_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of matrices depend on them in the last digits; outside the life nothing is changed."""
    before, seen = torch.get_num_threads(), []
    lived = life_module.learn_context
    monkeypatch.setattr(
        life_module, "learn_context", lambda *given: seen.append(torch.get_num_threads()) or lived(*given)
    )
    whole = simulate(None, threads=2)
    interrupt(tmp_path / "run", monkeypatch, 1, threads=2)
    monkeypatch.setattr(crew, "cores", lambda: 4)
    there = simulate(tmp_path / "run", workers=None)
    same(there, whole)
    assert seen == [2] * 6 and torch.get_num_threads() == before
    assert settings_of(there.log.attrs, "log")["computation"]["workers"] == 2, "of two threads each"
    assert settings_of(there.log.attrs, "log")["computation"]["threads"] == 2
    assert re.search(r", 2 threads a worker\); torch", origin_lines([there.log])[0])
    simulate(None)
    assert seen[6:] == [1, 1, 1], "who says nothing has one"


def test_a_life_that_goes_on_elsewhere_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was begun on a GPU, and there is none any more: nothing is lost, and nothing is hidden."""
    interrupt(tmp_path / "run", monkeypatch, 1)
    settings = tmp_path / "run" / "config.json"
    settings.write_text(settings.read_text(encoding="utf-8").replace('"device": "cpu"', '"device": "cuda"'), "utf-8")
    with pytest.warns(UserWarning, match="begun on cuda goes on on cpu: numbers are not those of a life on one"):
        there = simulate(tmp_path / "run")
    computation = settings_of(there.log.attrs, "log")["computation"]
    assert (computation["begun_on"], computation["device"]) == ("cuda", "cpu")
    interrupt(tmp_path / "back", monkeypatch, 1)  # it has been elsewhere, and goes on where it was last
    settings = tmp_path / "back" / "config.json"
    before = settings.read_text(encoding="utf-8")
    settings.write_text(before.replace('"device": "cpu"', '"begun_on": "cuda", "device": "cpu"'), "utf-8")
    assert settings_of(simulate(tmp_path / "back").log.attrs, "log")["computation"]["begun_on"] == "cuda"
    interrupt(tmp_path / "other", monkeypatch, 1)
    assert "begun_on" not in settings_of(simulate(tmp_path / "other").log.attrs, "log")["computation"]


def test_a_worker_has_its_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counters, before, me = tmp_path / "steps.npy", torch.get_num_threads(), os.getpid()
    np.save(counters, np.zeros((2, 1), dtype=np.int64))
    monkeypatch.setattr(crew, "live_chunk", lambda *given: torch.get_num_threads())
    try:
        assert [crew._in_worker(condition("joint"), (12,), None, counters, 0, False, n, me) for n in (2, 1)] == [2, 1]
    finally:
        torch.set_num_threads(before)


def test_animals_that_lived_together_go_on_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many processes there are now; cohorts of other animals are other products of matrices."""
    # in this process, so that it can be interrupted
    monkeypatch.setattr("replaysim.crew.Crew._spread", lambda crew, step: [crew._chunk(c, step) for c in crew.chunks])
    out, whole = tmp_path / "run", simulate(None, workers=3)
    interrupt(out, monkeypatch, 4, workers=3)  # the first animal has lived, the second has learned one context
    (out / "animals" / "12-12" / ".checkpoint.safetensors-abc").write_bytes(b"draft of a process that was killed")
    learned = []
    learn = life_module.learn_context
    monkeypatch.setattr(
        life_module, "learn_context", lambda rounds, *given: learned.append(rounds.seeds) or learn(rounds, *given)
    )
    same(simulate(out, workers=1), whole)
    assert learned == [(13,)] * 2 + [(14,)] * 3, "who has lived does not live again"
    assert sorted(p.name for p in out.iterdir()) == ["config.json", "run.nc"]


def test_what_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    with pytest.raises(rs.SettingError, match=r"checkpoints: got True, must be False where there is no `out`"):
        simulate(None, checkpoints=True)
    interrupt(out, monkeypatch, 1)
    kept = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for other in (
        {"learning": rs.Learning(4, 6, 1e-3)},
        {"animals": (12, 13)},
        {"chance": 1},
        {"precision": "float64"},
    ):
        with pytest.raises(LogError, match="holds a log of other settings"):
            simulate(out, **other)
    with pytest.raises(LogError, match="there is a log already"):
        simulate(out, checkpoints=False)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == kept
    begun = []
    naive = Recording.naive
    monkeypatch.setattr(Recording, "naive", lambda self: begun.append(1) or naive(self))
    same(simulate(out, overwrite=True), simulate(None))
    assert len(begun) == 2, "it began anew"
    with pytest.raises(
        LogError, match=r"there is a log already .* complete: read it with open_log\(\), or let simulate_once"
    ):
        simulate(out)


def test_a_stop_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Stopped) as stopped, monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", lambda *_given: _stop())
        simulate(tmp_path / "a")
    (note,) = stopped.value.__notes__
    on = "goes on from the last context that was over"
    assert note == f"what was finished, if anything, is in {tmp_path / 'a'}; the same call {on}"
    with pytest.raises(Stopped) as stopped, monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "save", lambda *_given: _stop())
        simulate(tmp_path / "a", overwrite=True)
    assert stopped.value.__notes__[0].endswith(f"; the same call without overwrite=True (--overwrite) {on}")
    interrupt(tmp_path / "b", monkeypatch, 1)
    with pytest.raises(LogError, match="it is not complete: go on with it with checkpoints=True; or choose another"):
        simulate(tmp_path / "b", checkpoints=False)


def _stop() -> None:
    raise Stopped


def test_simulate_once_goes_on_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    interrupt(out, monkeypatch, 2)
    begun = []
    monkeypatch.setattr(Recording, "naive", lambda self: begun.append(1))
    settings = {
        **LIVES["brain-inspired, SI, class"](),
        "learning": LEARNING,
        "record": (rs.CorticalActivity(stimuli=6),),
    }
    own, plan = settings.pop("protocol"), settings.pop("brain")
    once = simulate_once(
        plan, own, animals=(12, 13, 14), out=out, checkpoints=True, workers=1, progress=False, **settings
    )
    assert once.simulated and not begun
    xr.testing.assert_identical(once.log["learning"].to_dataset(), simulate(None).log["learning"].to_dataset())


class Bar(tqdm.tqdm):
    """A progress bar that stays."""

    made: ClassVar[list[Bar]] = []

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{**settings, "file": io.StringIO(), "mininterval": 0})
        self.made.append(self)


def test_the_bar_knows_what_was_lived_earlier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three animals, one context of three is over: else the time that is left would seem short."""
    out = tmp_path / "run"
    interrupt(out, monkeypatch, 1)
    monkeypatch.setattr(tqdm, "tqdm", Bar)
    monkeypatch.setattr(Bar, "made", [])
    simulate(out, progress=True)
    (bar,) = Bar.made
    assert (bar.initial, bar.n) == (LEARNING.steps * 3, LEARNING.steps * 9) and bar.total == bar.n


def test_workers_count_what_was_lived_earlier(tmp_path: Path) -> None:
    counters, heard = tmp_path / "steps.npy", []
    np.save(counters, np.array([[5, 0], [100, 30]]))
    with crew._watch(counters, lambda n, /, *, skipped=False: heard.append((n, skipped))):
        pass
    assert heard == [(5, False), (130, True)]
