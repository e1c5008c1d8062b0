"""What must hold of gates by context, rearranged worlds and another chance; seeds and recording of every mechanism."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import lives
import numpy as np
import pytest
import small
import torch
import xarray as xr
from small import LEARNING, assert_bitwise, simulate, state
from torch import Tensor

import replaysim as rs
from replaysim import rng
from replaysim.brain import Brain
from replaysim.cohort import Cohort
from replaysim.consolidation import SynapticIntelligence
from replaysim.context_gating import ContextGating
from replaysim.elastic import ElasticWeightConsolidation, OnlineElasticWeightConsolidation
from replaysim.experience import plan_context
from replaysim.learning import Learning, Trials
from replaysim.life import Condition, Rounds, present
from replaysim.protocol import AbstractProtocol
from replaysim.replay import CurrentInputReplay, ExactReplay, GenerativeReplay

U: dict[str, Any] = {"units": (12, 10)}
EVERYTHING: tuple[Any, ...] = (
    rs.Behaviour(steps=(1, 5), stimuli=12),
    rs.CorticalActivity(stimuli=24),
    rs.HippocampalCodes(stimuli=24),
    rs.ReplayActivity(events=8),
    rs.SynapticImportance(),
)


def permuted(contexts: int = 3) -> rs.PermutedProtocol:
    images, label = small.stimuli(classes=4, each=20)
    return rs.PermutedProtocol(images.reshape(-1, 4, 4), label, contexts=contexts, pad=1)


def xdg(closed: float = 0.5) -> dict[str, Any]:
    own = small.protocol("task")
    return {"protocol": own, "brain": rs.classifier(own, context_gating=ContextGating(closed), **U)}


def generative(own: AbstractProtocol, **kwargs: Any) -> dict[str, Any]:
    return {"protocol": own, "brain": rs.brain_inspired(own, **U, **{"code_units": 4, "closed": 0.5, **kwargs})}


def pair(scenario: str) -> dict[str, Any]:
    own = small.protocol(scenario)
    return {"protocol": own, "brain": rs.generative_pair(own, code_units=4, **U)}


def plain(own: AbstractProtocol) -> dict[str, Any]:
    return {"protocol": own, "brain": rs.classifier(own, **U)}


LIVES: dict[str, Callable[[], dict[str, Any]]] = {
    "XdG": xdg,
    "XdG and EWC": lambda: {**xdg(), "consolidation": ElasticWeightConsolidation(1.0, 10)},
    "XdG and SI": lambda: {**xdg(), "consolidation": SynapticIntelligence(1.0)},
    "permuted, nothing": lambda: plain(permuted()),
    "permuted, joint": lambda: {**plain(permuted()), "experience": "joint"},
    "permuted, brain-inspired": lambda: {
        **generative(permuted(), gates_by="context"),
        "replay": GenerativeReplay(),
        "consolidation": SynapticIntelligence(1.0),
    },
    "permuted, exact": lambda: {**plain(permuted()), "replay": ExactReplay(2)},
    "permuted, current": lambda: {**plain(permuted()), "replay": CurrentInputReplay()},
    "permuted, online EWC": lambda: {
        **plain(permuted()),
        "consolidation": OnlineElasticWeightConsolidation(1.0, 0.8, 10),
    },
    "pair, class": lambda: {**pair("class"), "replay": GenerativeReplay("hard")},
    "pair, task": lambda: {**pair("task"), "replay": GenerativeReplay("hard")},
    "exact, task": lambda: {**plain(small.protocol("task")), "replay": ExactReplay(2)},
    "exact, hippocampus": lambda: {**generative(small.protocol("domain")), "replay": ExactReplay(2, "soft")},
    "current, task": lambda: {**plain(small.protocol("task")), "replay": CurrentInputReplay()},
    "current, hippocampus": lambda: {**generative(small.protocol("class")), "replay": CurrentInputReplay()},
}


def groups(log: xr.DataTree) -> dict[str, xr.Dataset]:
    return {node.path: node.to_dataset() for node in log.subtree if node.path != "/"}


@pytest.mark.parametrize("name", LIVES)
def test_same_seed_same_log_and_recording_changes_nothing(name: str) -> None:
    settings = {**LIVES[name](), "learning": Learning(5, 8, 3e-3)}
    silent = simulate(**settings)
    one, other = (simulate(record=lives.electrodes(settings, EVERYTHING), **settings) for _ in range(2))
    assert_bitwise(state(one, 12), state(other, 12))
    assert_bitwise(state(one, 12), state(silent, 12))
    for path, dataset in groups(one.log).items():
        xr.testing.assert_identical(dataset, groups(other.log)[path])
    xr.testing.assert_identical(silent.log["learning/loss"], one.log["learning/loss"])
    xr.testing.assert_identical(silent.log["behaviour"].to_dataset(), one.log["behaviour"].to_dataset())


@pytest.mark.parametrize("name", LIVES)
def test_an_animal_lives_alone_as_in_company(name: str) -> None:
    settings = {**LIVES[name](), "learning": Learning(7, 8, 1e-3), "precision": "float64"}
    alone, accompanied = (state(simulate(animals=animals, **settings), 13) for animals in ((13,), (40, 12, 13)))
    for key, value in alone.items():
        np.testing.assert_allclose(accompanied[key], value, rtol=0, atol=1e-9, err_msg=key)


def spy(monkeypatch: pytest.MonkeyPatch) -> list[Trials]:
    """Trials that cohorts learn from, step by step."""
    seen: list[Trials] = []
    learn = Cohort.learn

    def watched(self: Cohort, trials: Trials, *given: Any, **kwargs: Any) -> Tensor:
        seen.append(trials)
        return learn(self, trials, *given, **kwargs)

    monkeypatch.setattr(Cohort, "learn", watched)
    return seen


# --- gates by context


def gates_of(own: Brain) -> dict[str, Tensor]:
    assert own.context_gates is not None
    return {area: own.context_gates.get_buffer(area) for area in own.context_gates.areas}


def test_gates_are_drawn_after_the_class_order_and_stay() -> None:
    settings = xdg()
    result = simulate(animals=(12, 13), **settings)
    for seed in (12, 13):
        stream = rng.published(seed)
        settings["protocol"].curriculum(seed, stream)
        wanted = ContextGating(0.5).draw(3, {"association_1": 12, "association_2": 10}, stream)
        for area, pattern in gates_of(result.brains[seed]).items():
            assert np.array_equal(pattern.numpy(), wanted[area])
            assert (pattern == 0).sum(1).tolist() == [pattern.shape[1] // 2] * 3
            logged = result.log[f"/gates/{area}/open"].sel(animal=seed)
            assert logged.dims == ("gate", "unit") and np.array_equal(logged.values, pattern.numpy())
    one, other = (gates_of(result.brains[seed])["association_1"] for seed in (12, 13))
    assert not torch.equal(one, other)


@torch.no_grad()
def test_silenced_units_do_not_hear_the_stimulus() -> None:
    own = xdg()["brain"].grow(12)
    stimulus = torch.rand(5, 16, generator=torch.Generator().manual_seed(0))
    for context in range(3):
        evoked = own.perceive(stimulus, context=context)
        for area, pattern in gates_of(own).items():
            closed = pattern[context] == 0
            bias = own.cortex.get_submodule(area).bias.relu()
            assert torch.equal(evoked[area][:, closed], bias[closed].expand(5, -1))
            heard = evoked[area][:, ~closed].std(0) > 0
            assert heard.any()
    mixed = own.perceive(stimulus, context=torch.tensor([2, 0, 1, 1, 2]))
    for trial, context in enumerate((2, 0, 1, 1, 2)):
        single = own.perceive(stimulus[trial : trial + 1], context=context)
        torch.testing.assert_close(mixed["association_2"][trial], single["association_2"][0])


def test_accuracy_is_measured_in_the_right_context() -> None:
    """The log's accuracy and activity are those of the trained brain that is told the context."""
    settings = xdg()
    own = settings["protocol"]
    record = [rs.CorticalActivity(stimuli=24)]
    result = simulate(animals=(12, 13), learning=Learning(30, 8, 1e-2), record=record, **settings)
    test = torch.from_numpy(own.stimuli.test.copy()).float() / own.stimuli.scale
    wrong = 0
    for seed in (12, 13):
        trained, curriculum = result.brains[seed], own.curriculum(seed)
        for context, stimuli in enumerate(curriculum.test):
            target = torch.from_numpy(curriculum.test_position[stimuli])
            found = []
            for told in (context, (context + 1) % 3):
                top = trained.perceive(test[stimuli], context=told)[trained.top]
                answers = torch.from_numpy(own.answers("within_context", context, 3))
                found.append(float((trained.decide(top, answers) == target).float().mean()))
            logged = result.log["behaviour/accuracy"].sel(animal=seed, contexts_learned=3, context=context + 1)
            assert float(logged.sel(answers="within_context")) == pytest.approx(found[0], abs=1e-6)
            wrong += found[0] != found[1]
        for area in ("association_1", "association_2"):
            kept = result.log[f"cortex/{area}/activity"].sel(animal=seed).isel(snapshot=-1)
            chosen = kept["stimulus"].values.copy()
            where = torch.from_numpy(own.probe_context(curriculum, chosen))
            seen = trained.perceive(test[chosen], context=where)[area]
            np.testing.assert_allclose(seen.detach().numpy(), kept.values, atol=1e-5)
    assert wrong, "another context gives another accuracy, or this test tells nothing"


def test_a_context_teaches_its_own_units_only() -> None:
    """Synapses onto units that the context silences get no gradient, and carry no information."""
    settings = xdg()
    own = settings["protocol"]
    cohort = Cohort(
        [settings["brain"].grow(seed) for seed in (12, 13)],
        rate=1e-2,
        consolidation=ElasticWeightConsolidation(0.0),  # information is gathered, and does not pull
        dtype=torch.float64,
    )
    chance = torch.Generator().manual_seed(0)
    for context in range(3):
        stimulus = torch.rand(2, 8, 16, dtype=torch.float64, generator=chance)
        target = torch.randint(2 * context, 2 * context + 2, (2, 8), generator=chance)
        trials = Trials(stimulus, target, target, torch.full_like(target, context))
        answers = torch.from_numpy(own.answers("within_context", context, context + 1))
        cohort.learn(trials, answers[None], torch.zeros(2, 8, 0, dtype=torch.float64))
        before = {n: v.clone() for n, v in cohort.state.importance.items()}  # type: ignore[union-attr]
        cohort.consolidate(lambda _n, shown=stimulus: list(shown), answers, context)
        for area in ("association_1", "association_2"):
            name = f"cortex.{area}.weight"
            open_ = cohort.fixed[f"context_gates.{area}"][:, context].bool()
            gradient = cohort.synapses[name].grad
            gained = cohort.state.importance[name] - before[name]  # type: ignore[union-attr]
            assert gradient is not None
            for value in (gradient, gained):
                assert not value[~open_].any() and value[open_].any(), area


def test_joint_trials_are_each_gated_by_their_own_context(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = spy(monkeypatch)
    settings = xdg()
    simulate(animals=(12, 13), experience="joint", **settings)
    for trials in seen[-1:]:
        assert set(trials.context[0].tolist()) == {0, 1, 2}
        assert torch.equal(trials.target // 2, trials.context)
    trials = seen[-1]
    brains = [settings["brain"].grow(seed) for seed in (12, 13)]
    cohort = Cohort(brains, rate=1e-2)
    answers = torch.stack([torch.arange(6) // 2 == c for c in trials.context[0].tolist()])
    losses = cohort.learn(trials, answers, torch.zeros(2, 9, 0))
    for a, own in enumerate(brains):
        single = [
            torch.nn.functional.cross_entropy(
                own.readout(own.perceive(x[None], context=int(c))[own.top])[:, 2 * c : 2 * c + 2], y[None] - 2 * c
            )
            for x, y, c in zip(trials.stimulus[a], trials.target[a], trials.context[a], strict=True)
        ]
        assert float(losses[a, 0]) == pytest.approx(torch.stack(single).mean().item(), rel=1e-5)


# --- rearranged worlds


def shown(
    own: rs.PermutedProtocol, seed: int, images: np.ndarray, index: np.ndarray, context: np.ndarray
) -> np.ndarray:
    """Stimuli as an animal gets them, by hand: element i shows element permutation[i] of the padded image."""
    stream = np.random.RandomState(seed)
    order = [stream.permutation(own.stimuli.size) for _ in range(own.n_contexts)]
    rows = [images[i].reshape(-1)[order[c]] for i, c in zip(index.ravel(), context.ravel(), strict=True)]
    return np.stack(rows).reshape(*index.shape, -1).astype(np.float32) / np.float32(255)


@pytest.mark.parametrize("experience", ["sequential", "joint"])
def test_every_animal_meets_its_own_arrangements(experience: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = permuted()
    seen = spy(monkeypatch)
    simulate(animals=(12, 13), experience=experience, **plain(own))
    curricula = [own.curriculum(seed) for seed in (12, 13)]
    assert len(seen) == 3 * LEARNING.steps
    for context in range(3):
        plan = plan_context(own, plain(own)["brain"], curricula, (12, 13), LEARNING, context, experience)
        for step in range(LEARNING.steps):
            trials = seen[context * LEARNING.steps + step]
            for a, seed in enumerate((12, 13)):
                index, where = plan.stimulus[a, step].numpy(), plan.context[a, step].numpy()
                wanted = shown(own, seed, own.stimuli.train, index, where)
                assert np.array_equal(trials.stimulus[a].numpy(), wanted)
                assert np.array_equal(trials.target[a].numpy(), own.stimuli.train_label[index])
        assert set(plan.context.flatten().tolist()) == (
            {context} if experience == "sequential" else {*range(context + 1)}
        )
    assert not np.array_equal(seen[0].stimulus[0].numpy(), seen[0].stimulus[1].numpy())


def test_every_animal_is_tested_in_its_own_arrangements() -> None:
    own = permuted()
    record = [rs.CorticalActivity(stimuli=24)]
    result = simulate(animals=(12, 13), learning=Learning(30, 8, 1e-2), record=record, **plain(own))
    accuracy = result.log["behaviour/accuracy"]
    everything = np.arange(len(own.stimuli.test))
    for seed in (12, 13):
        trained = result.brains[seed]
        for context in range(3):
            stimulus = shown(own, seed, own.stimuli.test, everything, np.full_like(everything, context))
            decided = trained.decide(trained.perceive(torch.from_numpy(stimulus))[trained.top]).numpy()
            wanted = (decided == own.stimuli.test_label).mean()
            logged = accuracy.sel(animal=seed, contexts_learned=3, context=context + 1, answers="all")
            assert float(logged) == pytest.approx(wanted, abs=1e-6)
        kept = result.log["cortex/association_2/activity"].sel(animal=seed).isel(snapshot=-1)
        chosen = kept["stimulus"].values
        where = own.probe_context(own.curriculum(seed), chosen)
        assert set(where) == {0, 1, 2}
        stimulus = shown(own, seed, own.stimuli.test, chosen, where)
        found = trained.perceive(torch.from_numpy(stimulus))["association_2"]
        np.testing.assert_allclose(found.detach().numpy(), kept.values, atol=1e-5)
    table = accuracy.sel(answers="all", animal=12).values
    assert np.isnan(table[0, 1:]).all() and np.isnan(table[1, 2:]).all() and np.isfinite(np.tril(table[1:])).all()


def test_information_is_asked_in_the_arrangement_of_the_context() -> None:
    own = permuted()
    condition = Condition(plain(own)["brain"], own, LEARNING)
    curricula = [own.curriculum(seed) for seed in (12, 13)]
    cohort = Cohort([condition.brain.grow(seed) for seed in (12, 13)], rate=1e-3)
    rounds = Rounds(condition, cohort, curricula, (12, 13))
    for context in range(3):
        found = rounds.fresh_trials(context, 7)
        for a, seed in enumerate((12, 13)):
            order = rng.stream(seed, f"context {context}/consolidation").permutation(len(own.stimuli.train))[:7]
            wanted = shown(own, seed, own.stimuli.train, order, np.full(7, context))
            assert np.array_equal(found[a].numpy(), wanted)


def test_stimuli_are_not_copied_for_contexts_or_animals() -> None:
    own = permuted(contexts=50)
    condition = Condition(plain(own)["brain"], own, LEARNING)
    curricula = [own.curriculum(seed) for seed in range(5)]
    for part in ("train", "test"):
        presented = present(condition, curricula, part)
        stored = getattr(own.stimuli, part)
        assert presented.stimuli.data_ptr() == stored.__array_interface__["data"][0]
        assert presented.stimuli.dtype == torch.uint8 and presented.stimuli.shape == stored.shape
        assert presented.permutation is not None and presented.permutation.shape == (5, 50, own.stimuli.size)
    with pytest.raises(RuntimeError, match="these stimuli look different to every animal"):
        presented.show(torch.arange(3))


# --- another chance


def born(monkeypatch: pytest.MonkeyPatch) -> list[list[Brain]]:
    """Naive brains of every cohort."""
    found: list[list[Brain]] = []
    start = Cohort.__init__

    def watched(self: Cohort, brains: list[Brain], **kwargs: Any) -> None:
        found.append(list(brains))
        start(self, brains, **kwargs)

    monkeypatch.setattr(Cohort, "__init__", watched)
    return found


@pytest.mark.parametrize("name", ["brain-inspired", "XdG", "permuted"])
def test_another_chance_is_another_life_in_the_same_world(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "brain-inspired": lambda: {**generative(small.protocol()), "replay": GenerativeReplay()},
        "XdG": xdg,
        "permuted": lambda: {**generative(permuted(), gates_by="context"), "replay": GenerativeReplay()},
    }[name]()
    brains, seen = born(monkeypatch), spy(monkeypatch)
    runs = [simulate(chance=chance, learning=Learning(4, 8, 3e-3), **settings) for chance in (0, 1, 2, 1)]
    naive = [{n: v.clone() for n, v in cohort[0].state_dict().items()} for cohort in brains]
    gates = [n for n in naive[0] if n.startswith(("gates.", "context_gates."))]
    assert (name == "permuted" or gates) and all(torch.equal(naive[0][n], naive[1][n]) for n in gates)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        for key, value in naive[one].items():
            assert key in gates or key.startswith("modes") or not torch.equal(value, naive[other][key]), key
        first = seen[one * 12].stimulus, seen[other * 12].stimulus
        assert not torch.equal(*first), "other trials"
        assert not np.array_equal(runs[one].log["learning/loss"].values, runs[other].log["learning/loss"].values)
    assert_bitwise(state(runs[1], 12), state(runs[3], 12))
    for run, chance in zip(runs, (0, 1, 2, 1), strict=True):
        assert run.brains[12].class_identity == runs[0].brains[12].class_identity
        assert json.loads(run.log.attrs["config_json"])["chance"] == chance
        assert run.log["behaviour"]["animal"].values.tolist() == [12]
        xr.testing.assert_equal(run.log["behaviour/class_identity"], runs[0].log["behaviour/class_identity"])


def test_noise_and_stored_episodes_follow_the_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    noise: list[Tensor] = []
    learn = Cohort.learn

    def watched(self: Cohort, trials: Trials, answers: Tensor, eps: Tensor, *given: Any) -> Tensor:
        noise.append(eps.clone())
        return learn(self, trials, answers, eps, *given)

    monkeypatch.setattr(Cohort, "learn", watched)
    kept = []
    for chance in (0, 1):
        settings = {**generative(small.protocol()), "replay": ExactReplay(2)}
        result = simulate(chance=chance, record=[rs.ReplayActivity(8)], learning=Learning(4, 8, 3e-3), **settings)
        kept.append(result.log["replay/activity"].values)
    assert not torch.equal(noise[0], noise[12]) and not torch.equal(noise[11], noise[23])
    assert not np.array_equal(*kept)


def test_chance_0_is_the_animal_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Synapses and trials come from the streams that bear the animal's own number, as they always did."""
    settings = {**generative(small.protocol()), "replay": GenerativeReplay()}
    brains, seen = born(monkeypatch), spy(monkeypatch)
    assert rng.own(12, 0) == 12 and rng.own(12, 1) not in (12, 13, rng.own(13, 1), rng.own(12, 2))
    default, zero = simulate(**settings), simulate(chance=0, **settings)
    assert_bitwise(state(default, 12), state(zero, 12))
    stream = rng.published(12)
    curriculum = settings["protocol"].curriculum(12, stream)
    grown = settings["brain"].grow(12, stream)
    for key, value in grown.state_dict().items():
        assert torch.equal(value, brains[0][0].state_dict()[key]), key
    order = rng.stream(12, "context 0/trials").permutation(curriculum.train[0])[:8]
    wanted = settings["protocol"].stimuli.train[order].astype(np.float32) / np.float32(255)
    assert np.array_equal(seen[0].stimulus[0].numpy(), wanted)


def test_chance_must_be_a_whole_number() -> None:
    for chance in (-1, 0.5, "1"):
        with pytest.raises(rs.SettingError, match=f"simulate.chance: got {chance!r}, must be a whole number >= 0"):
            simulate(chance=chance)
