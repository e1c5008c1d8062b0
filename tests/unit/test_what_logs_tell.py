"""What logs tell of lives that were interrupted, of stimuli met again, and of parts with names of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import seeing
import torch
from small import brain, protocol, simulate
from torch import Tensor, nn

import replaysim as rs
from analysis import readings, replay_statistics, replayed_geometry, report, report_replay, survival
from analysis.replay_fidelity import replay_fidelity
from replaysim import crew, provenance, recording
from replaysim.consolidation import ConsolidationState
from replaysim.describe import describe
from replaysim.errors import DataError, SettingError

RECORD = [rs.CorticalActivity("retina", "association_2", stimuli=60), rs.ReplayActivity(events=40)]


class Stopped(Exception):
    """Somebody pulls the plug."""


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[int, int]]:
    """First animal of a chunk to the context at whose end it is stopped."""
    stop: dict[int, int] = {}
    end = recording.Recording.end_context

    def end_context(self: recording.Recording, learned: int) -> None:
        if stop.get(self.seeds[0]) == learned:
            raise Stopped
        end(self, learned)

    monkeypatch.setattr(recording.Recording, "end_context", end_context)
    yield stop


def test_all_logs_of_a_study_are_told(tmp_path: Path) -> None:
    for name in ("one", "other"):
        simulate(out=tmp_path / name, label=name)
    told = describe(tmp_path)
    assert [line for line in told.splitlines() if line.startswith(str(tmp_path))] == [
        str(tmp_path / "one"),
        str(tmp_path / "other"),
    ]
    assert told == f"{describe(tmp_path / 'one')}\n\n\n{describe(tmp_path / 'other')}"


def test_current_stimuli_are_no_memories() -> None:
    """They are judged within earlier contexts, but are of none; what an earlier version wrote is told by its kind."""
    own = protocol("task", each=60)
    plan = rs.classifier(own, units=(20, 20))
    log = simulate(protocol=own, brain=plan, replay=rs.CurrentInputReplay(), record=RECORD, animals=(12, 13)).log
    assert log["replay"].attrs["source"] == "current"
    older = log.copy()
    del older["replay"].attrs["source"]
    for one in (log, older):
        events = readings.replayed(one)
        assert readings.are_current(one) and (events["memory_age"] == -1).all()
        identity = one["behaviour/class_identity"].sel(animal=12).values
        for learned in (2, 3):
            met = events["original_class"].sel(animal=12, contexts_learned=learned).values
            assert set(met) <= set(identity[2 * learned - 2 : 2 * learned]), "classes that are being learned"
        with pytest.raises(DataError, match="cue_agreement: nothing was asked for in this log: current stimuli"):
            replay_statistics.cue_agreement(one)
        with pytest.raises(DataError, match="replay_against_waking: current stimuli were met again"):
            replayed_geometry.replay_against_waking(one)
        with pytest.raises(DataError, match="current stimuli were met again"):
            replay_fidelity(one, by="memory_age")
    recalled = simulate(replay=rs.GenerativeReplay(), record=RECORD[1:]).log
    assert recalled["replay"].attrs["source"] == "recall" and not readings.are_current(recalled)


def test_a_log_that_was_gone_on_with_says_so(
    plug: dict[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {"out": tmp_path / "run", "checkpoints": True}
    for stop, commit in ((2, "a" * 40), (3, "b" * 40)):
        plug[12] = stop
        monkeypatch.setattr(provenance, "loaded_code", lambda commit=commit: (commit, 0))
        if stop == 2:
            with pytest.raises(Stopped):
                simulate(**given)
        else:
            with (
                pytest.raises(Stopped),
                pytest.warns(UserWarning, match=f"a log of commit {'a' * 12} goes on with {'b' * 12}"),
            ):
                simulate(**given)
    begun = rs.open_log(tmp_path / "run").attrs
    plug.clear()
    log = simulate(**given).log
    lines = log.attrs["history"].splitlines()
    assert [line.rpartition("(commit ")[2].partition(",")[0] for line in lines] == ["a" * 12, "b" * 12, "b" * 12]
    assert log.attrs["date_created"] == begun["date_created"] == lines[0].partition(": ")[0]
    assert log.attrs["id"] == begun["id"] and log.attrs["software_git_commit"] == "b" * 40
    told = describe(tmp_path / "run")
    assert told.count("gone on") == 2 and re.search(rf"begun +{begun['date_created']}", told)


def test_animals_that_have_not_come_as_far(
    plug: dict[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are left out of the page, and nobody says that their losses became infinite."""
    monkeypatch.setattr(crew, "ANIMALS_AT_ONCE", 2)
    plug[14] = 3
    own = protocol(each=60)
    settings: dict[str, Any] = {"replay": rs.GenerativeReplay(), "record": RECORD, "out": tmp_path / "run"}
    with pytest.raises(Stopped):
        simulate(protocol=own, brain=brain(own), animals=(12, 13, 14), **settings)
    log = rs.open_log(tmp_path / "run")
    assert readings.lagging(log) == [14] and readings.faulty(log) == []
    assert survival.alive("arm", log, (12, 13, 14)) == (12, 13)
    assert capsys.readouterr().out == "arm: left out, not finished: animals 14\n"
    told = describe(log)
    assert "accuracy after 3 of 3 contexts" in told and "animal 14: 2 of 3 contexts so far" in told
    page = report.report({"one": log})
    assert "one: animals 14 have not come as far as others; they are left out below." in page
    assert "holds NaN" not in page


def test_accuracy_so_far_is_that_of_contexts_met_so_far(plug: dict[int, int], tmp_path: Path) -> None:
    plug[12] = 3
    with pytest.raises(Stopped):
        simulate(out=tmp_path / "run")
    log = rs.open_log(tmp_path / "run")
    told = {line.split()[0]: line.split()[1:] for line in describe(log).splitlines() if "guessing" in line}
    wanted = log["behaviour/accuracy"].sel(contexts_learned=2, context=[1, 2], animal=12).mean("context")
    for answers in ("all", "up_to_learned", "within_context"):
        assert float(told[answers][0]) == pytest.approx(float(wanted.sel(answers=answers)), abs=1e-4)
    assert told["up_to_learned"][-1] == "0.2500)" and told["within_context"][-1] == "0.5000)"
    assert "mean over the contexts met so far" in describe(log)


def named(*areas: str) -> type[rs.AbstractCortex]:
    """A cortex with such areas."""

    class Named(rs.AbstractCortex):
        def __init__(self) -> None:
            super().__init__()
            self.areas, self.sizes, self.reentry = ("retina", *areas), {"retina": 16}, "retina"
            self.sizes |= dict.fromkeys(areas, 16)
            self.synapses = nn.ModuleList(nn.Linear(16, 16) for _ in areas)

        def forward(self, activity: Tensor, start: str = "retina", stop: str | None = None) -> dict[str, Tensor]:
            evoked = {start: activity.flatten(1)}
            for below, area, synapses in zip(self.areas, self.areas[1:], self.synapses, strict=False):
                if below in evoked and stop not in evoked:
                    evoked[area] = torch.tanh(synapses(evoked[below]))
            return evoked

    return Named


@pytest.mark.parametrize("name", ["code_mean", "logits", "context", "step", "V1/simple", "", "unit"])
def test_areas_are_not_called_what_a_log_calls_others(name: str) -> None:
    with pytest.raises(SettingError, match=r"Named.areas: got .*, must be names without /, none of logits"):
        rs.classifier(protocol(), cortex=named("v1", name))
    with pytest.raises(SettingError, match=r"Named.areas: got .*, must be different names"):
        rs.classifier(protocol(), cortex=named("v1", "v1"))
    assert rs.classifier(protocol(), cortex=named("v1", "V4-IT")).grow(1).top == "V4-IT"


@pytest.mark.parametrize(("reentry", "above"), [("early_5", (12, 10)), ("association_1", (10,))])
def test_a_hippocampus_beside_a_visual_cortex_has_the_areas_above_its_memories(
    reentry: str, above: tuple[int, ...]
) -> None:
    """As beside a dense one; above the highest area there is none."""
    own = seeing.protocol()
    plan = rs.brain_inspired(own, units=(12, 10), code_units=4, without="feedback", reentry=reentry, developed="naive")
    assert plan.hippocampus.areas.units == above  # type: ignore[union-attr]
    with pytest.raises(SettingError, match="hippocampal_units: got None, must be given: above association_2"):
        rs.brain_inspired(own, units=(12, 10), code_units=4, without="feedback", reentry="association_2")


@dataclass(frozen=True)
class Coarse:
    """A rule that knows one importance for every layer, or, wrongly, for all animals."""

    of_animals: bool = True
    strength: float = 1.0
    watches_steps: bool = False

    def begin(self, synapses: Any) -> ConsolidationState:
        here = {name: value.detach().clone() for name, value in synapses.items()}
        return ConsolidationState(self._importance(here), here, {}, {}, 0)

    def _importance(self, synapses: Any) -> dict[str, Tensor]:
        return {name: value.new_ones(len(value) if self.of_animals else 7) for name, value in synapses.items()}

    def observe(self, state: ConsolidationState, before: Any, gradient: Any, after: Any) -> None:
        """Nothing is learned from single updates."""

    def consolidate(self, state: ConsolidationState, synapses: Any, information: Any) -> ConsolidationState:
        here = {name: value.detach().clone() for name, value in synapses.items()}
        return ConsolidationState(self._importance(here), here, {}, {}, state.consolidated + 1)

    def penalty(self, state: ConsolidationState, synapses: Any) -> Tensor:
        return sum((value - state.anchor[name]).square().flatten(1).sum(1) for name, value in synapses.items())


def test_importance_of_whole_layers() -> None:
    given: dict[str, Any] = {"record": [rs.SynapticImportance()], "animals": (12, 13)}
    log = simulate(consolidation=Coarse(), **given).log
    assert (log["synapses/feedforward/importance"] == 1).all()
    assert (log["synapses/feedforward/importance_sum"] == 4).all(), "weights and biases of two areas"
    with pytest.raises(SettingError, match=r"Coarse.begin\(\).importance\[.*must be a tensor \(animal, ...\)"):
        simulate(consolidation=Coarse(of_animals=False), **given)


def test_modes_that_were_met_where_contexts_are_uneven() -> None:
    """Domain scenario: readout units are shared, and later contexts may have more of them."""
    own = protocol("domain", contexts=[[0], [1, 2], [3, 4, 5]], each=60)
    record = [rs.HippocampalCodes(stimuli=12), rs.ReplayActivity(events=40)]
    log = simulate("domain", protocol=own, brain=brain(own), replay=rs.GenerativeReplay(), record=record).log
    found = replay_statistics.mode_occupancy(log)["occupancy"].sel(animal=12)
    assert found.sel(contexts_learned=2).values.tolist() == [1, 0, 0]
    assert found.sel(contexts_learned=3).values[2] == 0 and found.sel(contexts_learned=3).sum() == pytest.approx(1)
    even = simulate("domain", replay=rs.GenerativeReplay(), record=record).log
    assert (replay_statistics.mode_occupancy(even)["occupancy"].sum("mode").round(6) == 1).all()


def test_photographs_are_no_probabilities_for_any_cortex() -> None:
    own = seeing.protocol()
    size = own.stimuli.size

    class Flat(named("v1")):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.sizes["retina"] = size
            self.synapses[0] = nn.Linear(size, 16)

    assert rs.brain_inspired(own, cortex=Flat, code_units=4).reconstruction == "gaussian"


def test_every_condition_has_a_ceiling_and_a_floor_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    own = protocol(each=60)
    shared: dict[str, Any] = {"protocol": own, "brain": brain(own), "record": RECORD, "animals": (12, 13)}
    logs = {
        "systems": simulate(replay=rs.GenerativeReplay(), **shared).log,
        "hard": simulate(replay=rs.GenerativeReplay(targets="hard"), **shared).log,
    }
    drawn: list[dict[str, Any]] = []
    over = report_replay.figures_geometry.measure_over

    def measure_over(values: Any, dim: str, ax: Any, **more: Any) -> Any:
        if more["label"].startswith("replayed"):
            drawn.append({"values": values, **more})
        return over(values, dim, ax, **more)

    monkeypatch.setattr(report_replay.figures_geometry, "measure_over", measure_over)
    assert "Correlation of replayed with waking class means" in report.report(logs)
    assert [list(one["values"]) for one in drawn] == [["systems"], ["hard"]]
    for one, log in zip(drawn, logs.values(), strict=True):
        found = replayed_geometry.replay_against_waking(log).mean("contexts_learned")
        for name, kind in (("floor", "mismatched"), ("reference", "reference")):
            np.testing.assert_array_equal(one[name], found[f"{kind}_prototype_correlation_by_age"])
