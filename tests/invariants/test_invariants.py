"""What must not change anything, changes nothing: to the last bit where the order of operations is the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from small import LEARNING, assert_bitwise, brain, protocol, simulate, state

import replaysim as rs
from analysis.comparison import factorial_table
from analysis.forgetting import average_accuracy, final_accuracy, retention
from replaysim import rng
from replaysim.brain_files import load_brain, save_brain
from replaysim.cohort import Cohort
from replaysim.consolidation import SynapticIntelligence
from replaysim.crew import Crew
from replaysim.elastic import ElasticWeightConsolidation
from replaysim.errors import DataError
from replaysim.events import plan_round
from replaysim.experience import BLOCK, Chance, plan_context
from replaysim.learning import Trials
from replaysim.preparation import prepare
from replaysim.replay import GenerativeReplay

SCENARIOS = ("task", "domain", "class")
EVERYTHING: tuple[Any, ...] = (
    rs.Behaviour(steps=(1, 5, 12), stimuli=30),
    rs.CorticalActivity(stimuli=30),
    rs.HippocampalCodes(stimuli=30),
    rs.ReplayActivity(events=20),
    rs.SynapticImportance(),
)
BOTH: dict[str, Any] = {"replay": GenerativeReplay(), "consolidation": SynapticIntelligence(c=0.1)}


def data(log: xr.DataTree) -> dict[str, xr.Dataset]:
    return {node.path: node.to_dataset() for node in log.subtree if node.path != "/"}


def assert_same_log(one: xr.DataTree, other: xr.DataTree) -> None:
    first, second = data(one), data(other)
    assert first.keys() == second.keys()
    for path, dataset in first.items():
        xr.testing.assert_identical(dataset, second[path])


# --- the same again


def test_same_seed_same_log() -> None:
    one, other = (simulate(animals=(12, 15), record=EVERYTHING, **BOTH) for _ in range(2))
    assert_same_log(one.log, other.log)
    for animal in (12, 15):
        assert_bitwise(state(one, animal), state(other, animal))


def test_other_seed_other_life() -> None:
    result = simulate(animals=(12, 13), **BOTH)
    one, other = (state(result, animal)["readout.weight"] for animal in (12, 13))
    assert not np.array_equal(one, other)


def test_memory_and_disk_hold_the_same(tmp_path: Path) -> None:
    kept = simulate(record=EVERYTHING, **BOTH)
    written = simulate(record=EVERYTHING, out=tmp_path / "run", **BOTH)
    assert_same_log(kept.log, written.log)
    assert_same_log(kept.log, rs.open_log(tmp_path / "run" / "run.nc"))


def test_spawned_workers_compute_the_same() -> None:
    own = protocol()
    condition = prepare(
        brain(own), own, LEARNING, BOTH["replay"], BOTH["consolidation"], "sequential", (), "cpu", "float32"
    )
    chunks = [(12, 13), (14,)]
    lives = [Crew(condition, chunks, processes, None).run(progress=False, label="") for processes in (1, 2)]
    for here, there in zip(lives[0][0], lives[1][0], strict=True):
        for seed, values in here.states.items():
            assert_bitwise(values, there.states[seed])


# --- the experimenter only watches


def test_recording_changes_nothing() -> None:
    silent = simulate(animals=(12, 13), **BOTH)
    watched = simulate(animals=(12, 13), record=EVERYTHING, **BOTH)
    for animal in (12, 13):
        assert_bitwise(state(silent, animal), state(watched, animal))
    xr.testing.assert_identical(silent.log["learning/loss"], watched.log["learning/loss"])
    xr.testing.assert_identical(silent.log["behaviour"].to_dataset(), watched.log["behaviour"].to_dataset())


@pytest.mark.parametrize("rule", [SynapticIntelligence(c=0), ElasticWeightConsolidation(strength=0)])
def test_a_mechanism_of_strength_zero_is_the_control(rule: Any) -> None:
    control, idle = simulate(), simulate(consolidation=rule)
    assert_bitwise(state(control, 12), state(idle, 12))
    components = [c for c in control.log["learning"]["component"].values if c != "consolidation"]
    losses = [result.log["learning/loss"].sel(component=components) for result in (control, idle)]
    xr.testing.assert_identical(*losses)


# --- animals do not touch each other


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_chance_does_not_depend_on_the_company(scenario: str) -> None:
    own = protocol(scenario)
    plan = brain(own)
    replayed = plan_round(own, 2, 8, cued=True)

    def drawn(seeds: tuple[int, ...]) -> list[torch.Tensor]:
        curricula = [own.curriculum(seed) for seed in seeds]
        at = seeds.index(13)
        trials = plan_context(own, plan, curricula, seeds, LEARNING, 2, "sequential")
        chance = Chance(seeds, 2, own, plan, 8, replayed)
        noise = [chance.noise(step, torch.device("cpu"), torch.float32)[at] for step in range(12)]
        return [trials.stimulus[at], trials.target[at], trials.gate[at], *noise, *(p[at] for p in chance.cues(11))]

    for alone, accompanied in zip(drawn((13,)), drawn((40, 12, 13)), strict=True):
        assert torch.equal(alone, accompanied)


@pytest.mark.parametrize(("precision", "steps", "tolerance"), [("float64", 20, 1e-9), ("float32", 50, 1e-4)])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_animal_lives_alone_as_in_company(scenario: str, precision: str, steps: int, tolerance: float) -> None:
    settings = {"learning": rs.Learning(steps, 8, 1e-3), "precision": precision, **BOTH}
    alone = state(simulate(scenario, (13,), **settings), 13)
    accompanied = state(simulate(scenario, (40, 12, 13), **settings), 13)
    for name, value in alone.items():
        np.testing.assert_allclose(accompanied[name], value, rtol=0, atol=tolerance, err_msg=name)


def test_a_sick_animal_leaves_the_others_alone() -> None:
    own = protocol()
    plan = brain(own)

    def after(sick: bool) -> dict[str, torch.Tensor]:
        brains = [plan.grow(seed) for seed in (12, 13, 14)]
        cohort = Cohort(brains, rate=1e-2, replay=GenerativeReplay(), consolidation=SynapticIntelligence())
        if sick:
            with torch.no_grad():
                cohort.synapses["readout.weight"][1, 0, 0] = torch.nan
        chance = torch.Generator().manual_seed(0)
        replayed = plan_round(own, 1, 8, cued=True)
        for step in range(10):
            stimulus, target = torch.rand(3, 8, 16, generator=chance), torch.randint(2, (3, 8), generator=chance)
            trials, answers = Trials(stimulus, target, target, 0 * target), torch.arange(6)[None] < 4
            if step < 5:
                cohort.learn(trials, answers, torch.randn(3, 8, 5, generator=chance))
                continue
            if step == 5:
                cohort.consolidate(lambda _n: [], answers[0])
                cohort.remember_self()
            draws = Chance((12, 13, 14), 1, own, plan, 8, replayed)
            draws.noise(0, torch.device("cpu"), torch.float32)
            events = cohort.reactivate(draws.cues(0), replayed)
            cohort.learn(trials, answers, torch.randn(3, 16, 5, generator=chance), events, replayed, 1 / 2)
        return {name: value.detach() for name, value in cohort.synapses.items()}

    healthy, infected = after(False), after(True)
    assert infected["readout.weight"][1].isnan().any()
    for name, value in healthy.items():
        assert torch.equal(value[[0, 2]], infected[name][[0, 2]]), name


def test_an_animal_whose_losses_explode_is_reported() -> None:
    """The last animal of an exploding simulation ends it; what was finished is there, and says so."""
    with pytest.warns(UserWarning, match="no animal of .* has finite losses any more"):
        result = simulate(learning=rs.Learning(12, 8, 1e30))
    assert result.log.attrs["status"] == "failed"
    assert np.atleast_1d(result.log.attrs["animals_with_faults"]).tolist() == [12]
    assert result.log["behaviour/accuracy"].sel(contexts_learned=0, answers="all").notnull().all()


# --- leaving an ingredient out shifts the chance of nothing else


def test_ingredients_do_not_shift_initial_synapses() -> None:
    own = protocol()
    whole = brain(own).grow(12).state_dict()
    for plan in (
        brain(own, without="gating"),
        brain(own, without=("modes", "gating")),
        brain(own, gates_by="context"),
        rs.classifier(own, units=(20, 20)),
    ):
        for name, value in plan.grow(12).state_dict().items():
            if not name.startswith("gates."):
                assert torch.equal(value, whole[name]), name


def test_replay_does_not_shift_trials_and_noise() -> None:
    own = protocol()
    plan = brain(own)
    with_replay = Chance((12,), 1, own, plan, 8, plan_round(own, 1, 8, cued=True))
    without = Chance((12,), 1, own, plan, 8, None)
    ungated = Chance((12,), 1, own, brain(own, without="gating"), 8, plan_round(own, 1, 8, cued=True))
    for step in range(40):
        noises = [c.noise(step, torch.device("cpu"), torch.float32) for c in (with_replay, without, ungated)]
        assert torch.equal(noises[0][:, :8], noises[1])
        assert torch.equal(noises[0], noises[2])


@pytest.mark.parametrize("kind", ["alone", "recalled", "met again"])
def test_draws_are_the_same_ahead_of_time(kind: str) -> None:
    """Other threads draw for a GPU what this one draws for a CPU."""
    own = protocol()
    seeds, cpu = (12, 13, 14), torch.device("cpu")
    replayed = None if kind == "alone" else plan_round(own, 1, 8, cued=True)
    settings = {"recalled": kind == "recalled"}
    plain = Chance(seeds, 1, own, brain(own), 8, replayed, **settings)
    with Chance(seeds, 1, own, brain(own), 8, replayed, ahead=True, **settings) as ahead:
        for step in range(3 * BLOCK):
            assert torch.equal(plain.noise(step, cpu, torch.float32), ahead.noise(step, cpu, torch.float32))
            if kind == "recalled":
                for here, there in zip(plain.cues(step), ahead.cues(step), strict=True):
                    assert torch.equal(here, there) and here.dtype == there.dtype


def test_streams_are_independent() -> None:
    drawn = {rng.stream(seed, name).standard_normal() for seed in (12, 13) for name in ("a", "b")}
    assert len(drawn) == 4


# --- brains after the simulation


def test_brains_answer_as_in_the_cohort() -> None:
    own = protocol()
    result = simulate(
        animals=(12, 13), protocol=own, record=[rs.CorticalActivity(stimuli=30), rs.HippocampalCodes(30)], **BOTH
    )
    test = torch.from_numpy(own.stimuli.test.copy()).float() / own.stimuli.scale
    for animal in (12, 13):
        trained = result.brains[animal]
        curriculum = own.curriculum(animal)
        assert trained.class_identity == tuple(curriculum.class_identity)
        with torch.no_grad():
            areas = trained.perceive(test)
            right = trained.decide(areas[trained.top]).numpy() == curriculum.test_position
            for context, stimuli in enumerate(curriculum.test):
                logged = result.log["behaviour/accuracy"].sel(
                    animal=animal, answers="all", contexts_learned=3, context=context + 1
                )
                assert right[stimuli].mean() == pytest.approx(float(logged), abs=1e-6)
            for area in ("association_1", "association_2"):
                kept = result.log[f"cortex/{area}/activity"].sel(animal=animal).isel(snapshot=-1)
                np.testing.assert_allclose(
                    areas[area][kept["stimulus"].values.tolist()].numpy(), kept.values, atol=1e-5
                )
            codes = result.log["hippocampus/code_mean"].sel(animal=animal).isel(snapshot=-1)
            own_codes = trained.encode(areas[trained.top]).mean[codes["stimulus"].values.tolist()]
            np.testing.assert_allclose(own_codes.numpy(), codes.values, atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_brains_survive_the_disk(tmp_path: Path, precision: str) -> None:
    trained = simulate(precision=precision, **BOTH).brains[12]
    loaded = load_brain(save_brain(trained, tmp_path / "brain.safetensors"))
    assert (loaded.animal, loaded.class_identity, loaded.plan) == (12, trained.class_identity, trained.plan)
    for name, value in trained.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name
    assert torch.equal(trained.recall([0, 3, 5], seed=1), loaded.recall([0, 3, 5], seed=1))
    activity = trained.recall(events=4, seed=2)
    assert torch.equal(
        trained.decide(trained.re_experience(activity)[trained.top]),
        loaded.decide(loaded.re_experience(activity)[loaded.top]),
    )


def test_gates_close_units_in_recall() -> None:
    """Gates are part of the brain: opening all of them changes what is recalled."""
    trained = simulate(**BOTH).brains[12]
    before = trained.recall([0, 1, 2])
    assert trained.gates is not None
    with torch.no_grad():
        for gate in trained.gates.buffers():
            gate.fill_(1)
    assert not torch.equal(before, trained.recall([0, 1, 2]))


# --- folders


def test_files_of_the_user_stay(tmp_path: Path) -> None:
    (tmp_path / "animals").mkdir()
    (tmp_path / "animals" / "mine.txt").write_text("mine", encoding="utf-8")
    simulate(out=tmp_path)
    assert (tmp_path / "animals" / "mine.txt").read_text(encoding="utf-8") == "mine"
    assert [p.name for p in (tmp_path / "animals").iterdir()] == ["mine.txt"]
    assert (tmp_path / "run.nc").exists()


def test_a_simulation_that_fails_leaves_what_was_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finished contexts are readable, with their whole provenance, and the log says what happened."""
    learn, steps = Cohort.learn, iter(range(10**6))

    def breaks(self: Cohort, *given: Any) -> torch.Tensor:
        if next(steps) == 30:
            raise MemoryError("no room left")
        return learn(self, *given)

    monkeypatch.setattr(Cohort, "learn", breaks)
    with pytest.raises(MemoryError):
        simulate(out=tmp_path, label="unlucky")
    left = rs.open_log(tmp_path)
    assert left["behaviour/accuracy"]["contexts_learned"].values.tolist() == [0, 1, 2]
    assert left.attrs["status"] == "failed" and "no room left" in left.attrs["status_reason"]
    for name in ("seeds", "command", "hardware", "software_versions", "config_json", "scenario", "title"):
        assert name in left.attrs, name
    with pytest.raises(DataError, match="not finished: 2 of 3 contexts"):
        final_accuracy(left)
    with pytest.raises(DataError, match="not finished"):
        retention(left)
    assert average_accuracy(left)["contexts_learned"].values.tolist() == [1, 2]
    table = factorial_table({"unlucky": left})
    assert np.isnan(table["accuracy"].values).all() and table["n"].values.tolist() == [0]
    simulate(out=tmp_path, overwrite=True)
    assert rs.open_log(tmp_path).attrs["status"] == "complete"


# --- labels


def test_domain_scenario_speaks_of_readout_units() -> None:
    own = protocol("domain", contexts=[[0, 1, 2], [3, 4], [5]])
    replay = simulate(protocol=own, record=[rs.ReplayActivity(20)], **{"replay": GenerativeReplay()}).log["replay"]
    assert (replay["cued_context"] == -1).all(), "gates by class ask for no context"
    assert replay["cued_class"].max() <= 2
    assert "within its context" in replay["cued_class"].attrs["long_name"]


@dataclasses.dataclass(frozen=True)
class OwnRule(ElasticWeightConsolidation):
    """A colleague's rule that asks for ten trials and calls that something else."""

    trials: Any = dataclasses.field(default=None, init=False)
    some: int = 10

    def __post_init__(self) -> None:
        pass

    def consolidate(self, state: Any, synapses: Any, information: Any) -> Any:
        return super().consolidate(state, synapses, lambda _n: information(self.some))


def test_an_own_rule_gets_the_trials_it_asks_for() -> None:
    result = simulate(consolidation=OwnRule(strength=1.0), record=[rs.SynapticImportance()])
    assert result.log.attrs["status"] == "complete"
    assert (result.log["synapses/readout/importance_sum"] > 0).all()
