"""Stored episodes and current stimuli as replay: what is kept, what is met again, what is right, and who judges it."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pytest
import small
import torch
from torch import Tensor

import replaysim as rs
from replaysim import rng
from replaysim.cohort import Cohort
from replaysim.events import Episodes, Events, plan_round
from replaysim.learning import Entrances, Learning, Trials
from replaysim.log import settings_of
from replaysim.protocol import AbstractProtocol
from replaysim.replay import CurrentInputReplay, ExactReplay, GenerativeReplay
from replaysim.sameness import differences
from replaysim.storage import Storage

SEEDS = (12, 13)
KINDS = ("class", "task", "domain", "uneven", "permuted")


def protocol(kind: str) -> AbstractProtocol:
    """Six classes of distinguishable stimuli."""
    if kind == "permuted":
        images, label = small.stimuli(classes=4, each=15)
        return rs.PermutedProtocol(images.reshape(-1, 4, 4), label, contexts=3, pad=1)
    if kind == "uneven":
        return small.protocol("domain", contexts=[[4], [0, 5], [1, 2, 3]])
    return small.protocol(kind)


def plan_of(own: AbstractProtocol, **kwargs: Any) -> rs.BrainPlan:
    return rs.brain_inspired(own, **{"units": (12, 10), "code_units": 4, "closed": 0.5, **kwargs})


def storage(own: AbstractProtocol, budget: int, seeds: tuple[int, ...] = SEEDS, learned: int = 2) -> Storage:
    curricula = [own.curriculum(seed) for seed in seeds]
    found = Storage(own, plan_of(own), curricula, seeds, budget)
    for context in range(learned):
        found.store(context)
    return found


# --- what is kept


@pytest.mark.parametrize("budget", [1, 4, 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_a_budget_of_every_class_is_kept(kind: str, budget: int) -> None:
    """Exactly the budget, or all there are; different stimuli, of the context that has ended."""
    own = protocol(kind)
    kept = storage(own, budget)
    label = own.stimuli.train_label
    for a, seed in enumerate(SEEDS):
        curriculum = own.curriculum(seed)
        assert len(kept._kept[a]) == 2
        for context, stimuli in enumerate(kept._kept[a]):
            assert len(set(stimuli.tolist())) == len(stimuli)
            assert set(stimuli) <= set(curriculum.train[context])
            found, there = Counter(label[stimuli]), Counter(label[curriculum.train[context]])
            assert found == {c: min(budget, n) for c, n in there.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_the_choice_is_a_matter_of_the_animal_s_own_chance(kind: str) -> None:
    own = protocol(kind)
    together, alone, again = storage(own, 4), storage(own, 4, (13,)), storage(own, 4)
    for context in range(2):
        assert np.array_equal(together._kept[1][context], alone._kept[0][context])
        assert np.array_equal(together._kept[0][context], again._kept[0][context])
        assert not np.array_equal(together._kept[0][context], together._kept[1][context])
    first, second = together._kept[0]
    if kind == "permuted":
        assert set(first) != set(second), "the same stimuli are there in every context, others are kept"


# --- what is met again, and what is right


def right(own: AbstractProtocol, seed: int, stimulus: int, context: int) -> int:
    """The readout unit that is right, from the label and the animal's class order."""
    identity = own.curriculum(seed).class_identity.tolist()
    position = identity.index(own.stimuli.train_label[stimulus])
    if isinstance(own, rs.PermutedProtocol):
        return position
    assert own.first_classes[context] <= position < own.first_classes[context + 1], "not of this context"
    return position - own.first_classes[context] if own.scenario == "domain" else position


@pytest.mark.parametrize("learned", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_only_what_is_stored_is_met_again_with_its_own_label(kind: str, learned: int) -> None:
    own = protocol(kind)
    kept = storage(own, 3, learned=learned)
    rounds = plan_round(own, learned, 7, cued=True)
    met = kept.plan(learned, 60, rounds)
    assert met.stimulus.shape == (2, 60, rounds.events)
    for a, seed in enumerate(SEEDS):
        seen: set[tuple[int, int]] = set()
        for stimulus, context, target, gate in zip(
            *(part[a].flatten().tolist() for part in (met.stimulus, met.context, met.target, met.gate)), strict=True
        ):
            assert context < learned and stimulus in kept._kept[a][context]
            assert target == gate == right(own, seed, stimulus, context)
            seen.add((stimulus, context))
        assert seen == {(s, c) for c, stimuli in enumerate(kept._kept[a]) for s in stimuli}, "nothing is left out"


def test_contexts_of_any_size_have_the_same_chance_per_episode() -> None:
    """Uniform over what is stored; in the task scenario as many events of every context."""
    groups = [[0], [1, 2, 3], [4, 5]]
    pooled = storage(small.protocol("class", contexts=groups), 5)
    count = np.bincount(
        pooled.plan(2, 400, plan_round(small.protocol("class"), 2, 10, cued=True)).context.flatten().numpy()
    )
    assert count[1] / count[0] == pytest.approx(3, rel=0.1), "15 against 5 episodes"
    task = small.protocol("task", contexts=groups)
    rounds = plan_round(task, 2, 10, cued=True)
    met = storage(task, 5).plan(2, 20, rounds)
    assert rounds.events == 10 and (met.context == torch.tensor([0] * 5 + [1] * 5)).all()
    assert torch.equal(met.context[0, 0], rounds.row_context), "every event is judged within its own context"


@pytest.mark.parametrize("scenario", ["class", "domain"])
def test_a_policy_weighs_every_stored_episode_of_a_context(scenario: str) -> None:
    """Five against fifteen episodes, the first three times as often each: both contexts alike; never: not at all."""
    own = small.protocol(scenario, contexts=[[0], [1, 2, 3], [4, 5]])
    kept, rounds = storage(own, 5), plan_round(own, 2, 10, cued=True)
    context = kept.plan(2, 400, rounds, np.array([3.0, 1.0])).context.flatten().numpy()
    assert context.mean() == pytest.approx(0.5, abs=0.03), "8000 draws, six standard errors"
    assert (kept.plan(2, 400, rounds, np.array([0.0, 1.0])).context == 1).all()
    met = kept.plan(2, 400, rounds, np.array([1.0, 0.0]))
    assert set(met.stimulus[0].flatten().tolist()) == set(kept._kept[0][0].tolist())


def test_gates_of_stored_episodes() -> None:
    own = small.protocol("domain")
    kept = Storage(own, plan_of(own, gates_by="context"), [own.curriculum(12)], (12,), 3)
    for context in range(2):
        kept.store(context)
    met = kept.plan(2, 10, plan_round(own, 2, 6, cued=True))
    assert torch.equal(met.gate, met.context)


# --- in a life


def watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Trials, Events | None]]:
    """Everything that cohorts learn from."""
    seen: list[tuple[Trials, Events | None]] = []
    learn = Cohort.learn

    def spy(self: Cohort, trials: Trials, answers: Tensor, noise: Tensor, *given: Any) -> Tensor:
        seen.append((trials, given[0] if given else None))
        return learn(self, trials, answers, noise, *given)

    monkeypatch.setattr(Cohort, "learn", spy)
    return seen


@pytest.mark.parametrize("targets", ["hard", "soft"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_life_with_stored_episodes(kind: str, targets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stimulus that is met again is one of at most ``budget`` of its class and context, as it was shown then."""
    own, budget = protocol(kind), 2
    seen = watched(monkeypatch)
    learning = Learning(steps=6, batch=8, rate=1e-3)
    replay = ExactReplay(budget, targets)
    small.simulate(
        animals=SEEDS, protocol=own, brain=rs.classifier(own, units=(12, 10)), replay=replay, learning=learning
    )
    assert len(seen) == 18
    for a, seed in enumerate(SEEDS):
        curriculum = own.curriculum(seed)
        images = own.stimuli.train.reshape(len(own.stimuli.train), -1)
        arrangements = (
            curriculum.permutation if curriculum.permutation is not None else [np.arange(images.shape[1])] * 3
        )
        book = {
            (images[s][arrangements[c]].astype(np.float32) / np.float32(255)).tobytes(): (s, c)
            for c in range(3)
            for s in curriculum.train[c]
        }
        assert len(book) == sum(len(c) for c in curriculum.train), "stimuli can be told apart"
        met: dict[tuple[int, int], set[int]] = {}
        for step, (trials, events) in enumerate(seen):
            now = step // 6
            for stimulus in trials.stimulus[a].numpy():
                assert book[stimulus.tobytes()][1] == now
            assert (events is None) == (now == 0)
            if events is None:
                continue
            for row in range(len(events.activity[a])):
                stimulus, context = book[events.activity[a, row].numpy().tobytes()]
                assert context < now
                target = right(own, seed, stimulus, context)
                met.setdefault((context, int(own.stimuli.train_label[stimulus])), set()).add(stimulus)
                assert int(events.cued_class[a, row]) == target and int(events.gate[a, row]) == context
                if targets == "hard":
                    assert int(events.decision[a, row]) == target, "whatever the earlier self makes of it"
                    assert events.soft_target[a, row].argmax() == target
                    assert events.soft_target[a, row].max() == 1
        assert {context for context, _label in met} == {0, 1}
        assert max(len(stimuli) for stimuli in met.values()) == budget


@torch.no_grad()
@pytest.mark.parametrize("kind", ["class", "task", "domain"])
def test_soft_targets_are_what_the_earlier_self_believes(kind: str) -> None:
    own = protocol(kind)
    replay = ExactReplay(3, "soft", temperature=3.0)
    grown = [rs.classifier(own, units=(12, 10)).grow(seed) for seed in SEEDS]
    cohort = Cohort(grown, rate=1e-3, replay=replay, dtype=torch.float64)
    cohort.remember_self()
    rounds = plan_round(own, 2, 6, cued=True)
    chance = torch.Generator().manual_seed(0)
    activity = torch.rand(2, 6, 16, dtype=torch.float64, generator=chance)
    context = rounds.row_context.clamp(min=0).expand(2, -1)
    met = Episodes(activity, torch.zeros(2, 6, dtype=torch.int64), context)
    events = cohort.appraise(met, rounds)
    for a, single in enumerate(grown):
        logits = single.double().readout(single.perceive(activity[a])[single.top])
        for row in range(6):
            units = {"class": range(4), "task": range(2 * context[a, row], 2 * context[a, row] + 2), "domain": range(2)}
            competing = list(units[kind])
            wanted = torch.zeros(len(logits[row]), dtype=torch.float64)
            wanted[competing] = torch.softmax(logits[row, competing] / 3, 0)
            torch.testing.assert_close(events.soft_target[a, row], wanted, rtol=0, atol=1e-12)
            assert int(events.decision[a, row]) == competing[int(logits[row, competing].argmax())]
    assert events.code.shape == (2, 6, 0), "nothing was recalled"


def test_hard_targets_guide_the_hippocampus() -> None:
    """In a brain with class modes and gates a stored stimulus belongs to the mode and the gates of its class."""
    own = protocol("class")
    grown = plan_of(own).grow(12)
    cohort = Cohort([grown], rate=1e-3, replay=ExactReplay(3), dtype=torch.float64)
    assert cohort._experience.entrances == Entrances("retina", "retina", False)
    cohort.remember_self()
    rounds = plan_round(own, 2, 6, cued=True)
    activity, target = torch.rand(1, 6, 16, dtype=torch.float64), torch.tensor([[0, 1, 2, 3, 0, 1]])
    events = cohort.appraise(Episodes(activity, target, target // 2), rounds)
    weight = cohort._experience._gate_weight(
        Trials(activity[0], target[0], target[0], target[0]), Events(*(part[0] for part in events)), torch.float64
    )
    assert torch.equal(weight[6:], torch.eye(6, dtype=torch.float64)[target[0]])


def test_the_log_of_stored_episodes() -> None:
    own = protocol("task")
    record = [rs.ReplayActivity(events=12)]
    plan = rs.classifier(own, units=(12, 10))
    log = small.simulate(protocol=own, brain=plan, replay=ExactReplay(2), record=record).log["replay"]
    assert "code" not in log and log.attrs["area"] == "retina"
    assert log["activity"].attrs["long_name"] == "activity evoked by the stimulus at retina"
    assert log["cued_class"].attrs["long_name"].startswith("class of the stimulus")
    cls, context, decision = (log[name].values[0] for name in ("cued_class", "cued_context", "decision"))
    assert np.array_equal(cls // 2 + 1, context) and np.array_equal(cls, decision)
    assert set(context[0]) == {1} and set(context[1]) == {1, 2}, "contexts are counted from 1 in the log"


# --- learning without forgetting


CURRENT = [
    ("class", "classifier"),
    ("task", "classifier"),
    ("domain", "classifier"),
    ("permuted", "classifier"),
    ("class", "hippocampus"),
    ("domain", "hippocampus"),
]


@pytest.mark.parametrize(("kind", "brain"), CURRENT)
def test_current_stimuli_are_what_is_replayed(kind: str, brain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own = protocol(kind)
    seen = watched(monkeypatch)
    plan = rs.classifier(own, units=(12, 10)) if brain == "classifier" else plan_of(own)
    small.simulate(animals=SEEDS, protocol=own, brain=plan, replay=CurrentInputReplay(), learning=Learning(4, 6, 1e-3))
    for step, (trials, events) in enumerate(seen):
        assert (events is None) == (step < 4)
        if events is not None:
            assert torch.equal(events.activity, trials.stimulus) and torch.equal(events.cued_class, trials.target)
            heads = step // 4 if kind == "task" else 1
            assert events.logits.shape[1] == 6 * heads
            if kind == "task":
                assert events.gate[0].tolist() == [h for h in range(heads) for _ in range(6)]


@pytest.mark.parametrize("kind", ["class", "task", "domain", "permuted"])
def test_climbing_once_is_climbing_twice(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As current and replayed stimuli are the same, the cortex need not see them twice."""
    own = protocol(kind)
    settings: dict[str, Any] = {
        "replay": CurrentInputReplay(),
        "precision": "float64",
        "learning": Learning(7, 6, 1e-2),
    }
    plan = rs.classifier(own, units=(12, 10))
    once = small.simulate(protocol=own, brain=plan, **settings)
    start, climbs = Cohort.__init__, []

    def long_way(self: Cohort, *given: Any, **kwargs: Any) -> None:
        start(self, *given, **kwargs)
        climbs.append(self._experience.entrances.shared)
        self._experience.entrances = self._experience.entrances._replace(shared=False)

    monkeypatch.setattr(Cohort, "__init__", long_way)
    twice = small.simulate(protocol=own, brain=plan, **settings)
    assert climbs == [True]
    one, other = small.state(once, 12), small.state(twice, 12)
    for name, value in one.items():
        np.testing.assert_allclose(value, other[name], rtol=0, atol=1e-11, err_msg=name)
    np.testing.assert_allclose(once.log["learning/loss"], twice.log["learning/loss"], atol=1e-6)
    assert float(once.log["learning/loss"].sel(component="replayed_distillation")[:, -1].min()) > 0


def test_a_hippocampus_takes_the_current_stimuli_as_replayed_ones() -> None:
    """With a hippocampus the replayed batch has its own codes, so that it must be seen again."""
    own = protocol("class")
    cohort = Cohort([plan_of(own).grow(12)], rate=1e-3, replay=CurrentInputReplay())
    assert not cohort._experience.entrances.shared
    loss = small.simulate(protocol=own, brain=plan_of(own), replay=CurrentInputReplay()).log["learning/loss"]
    later = loss.sel(animal=12).isel(step=slice(12, None))
    current = later.sel(component="current_reconstruction").values
    replayed = later.sel(component="replayed_reconstruction").values
    assert (replayed > 0).all() and not np.allclose(current, replayed), "other noise and other gates"


@pytest.mark.parametrize("replay", [CurrentInputReplay(), ExactReplay(3), GenerativeReplay()])
def test_in_the_first_context_there_is_nothing_to_replay(replay: Any) -> None:
    own = protocol("class")
    plan = plan_of(own)
    with_replay, without = (
        small.simulate(protocol=own, brain=plan, replay=mechanism).log["learning/loss"].isel(step=slice(12))
        for mechanism in (replay, None)
    )
    assert np.array_equal(with_replay.values, without.values)


# --- memories that nobody can ask for


def test_memories_without_modes_and_gates_are_judged_within_every_earlier_context() -> None:
    own = protocol("task")
    plan = plan_of(own, without=("modes", "gating"))
    record = [rs.ReplayActivity(events=24)]
    log = small.simulate(protocol=own, brain=plan, replay=GenerativeReplay(), record=record).log["replay"]
    assert (log["cued_class"] == -1).all() and (log["cued_context"] == -1).all()
    decision = log["decision"].values[0]
    assert set(decision[0]) <= {0, 1} and set(decision[1]) <= {0, 1, 2, 3} and max(decision[1]) > 1


@pytest.mark.parametrize("kind", [GenerativeReplay, CurrentInputReplay, partial(ExactReplay, 3, "soft")])
def test_the_loss_with_soft_targets_has_a_weight(kind: Any) -> None:
    """Until anything is replayed, lives are the same; at the first step with replay, only the weight differs."""
    plan = (
        rs.classifier(protocol("class"), units=(12, 10)) if kind is not GenerativeReplay else plan_of(protocol("class"))
    )
    losses = {}
    for weight in (None, 4.0, 1.0):
        replay = kind(temperature=2.0, distillation_weight=weight)
        log = small.simulate(protocol=protocol("class"), brain=plan, replay=replay).log
        losses[weight] = log["learning/loss"].sel(component="replayed_distillation").values.astype(float)
        assert settings_of(log.attrs, "log")["replay"]["distillation_weight"] == weight
    np.testing.assert_array_equal(losses[None], losses[4.0])
    first = np.argmax(losses[None][0] > 0)
    assert first > 0 and losses[1.0][0, first] == pytest.approx(losses[None][0, first] / 4, rel=1e-5)
    assert losses[1.0][0, first + 1] != pytest.approx(losses[None][0, first + 1] / 4, rel=1e-5), "synapses moved alike"


def test_a_log_from_before_the_weight_is_of_the_same_simulation() -> None:
    one, other = (
        settings_of(small.simulate(replay=GenerativeReplay(distillation_weight=w)).log.attrs, "log")
        for w in (None, 1.0)
    )
    old = {**one, "replay": {name: value for name, value in one["replay"].items() if name != "distillation_weight"}}
    assert differences(old, one) == []
    assert differences(old, other) == ["replay.distillation_weight is None, not 1.0"]


def test_settings_of_replay() -> None:
    for make, sentence in (
        (lambda: ExactReplay(0), r"ExactReplay.budget: got 0, must be a whole number >= 1"),
        (lambda: ExactReplay(2.5), r"ExactReplay.budget: got 2.5, must be a whole number >= 1"),  # type: ignore[arg-type]
        (lambda: ExactReplay(targets="fuzzy"), r"ExactReplay.targets: got 'fuzzy', must be one of 'soft', 'hard'"),
        (lambda: ExactReplay(batch=0), r"ExactReplay.batch: got 0, must be a whole number >= 1"),
        (lambda: CurrentInputReplay(temperature=0), r"CurrentInputReplay.temperature: got 0, must be a number > 0"),
        (
            lambda: CurrentInputReplay(distillation_weight=0),
            r"CurrentInputReplay.distillation_weight: got 0, must be a number > 0",
        ),
        (
            lambda: GenerativeReplay(targets="hard", distillation_weight=1.0),
            r"GenerativeReplay.distillation_weight: got 1.0, must be left out: hard targets are not distilled",
        ),
        (
            lambda: ExactReplay(distillation_weight=1.0),
            r"ExactReplay.distillation_weight: got 1.0, must be left out: hard targets",
        ),
    ):
        with pytest.raises(rs.SettingError, match=sentence):
            make()
    assert (ExactReplay.source, CurrentInputReplay.source, GenerativeReplay.source) == ("episodes", "current", "recall")


def test_what_is_met_again_does_not_shift_other_chance() -> None:
    """Trials are the same with and without stored episodes; and these begin anew in every context."""
    own = protocol("class")
    kept, rounds = storage(own, 3), plan_round(own, 2, 6, cued=True)
    assert torch.equal(kept.plan(2, 9, rounds).stimulus, kept.plan(2, 9, rounds).stimulus)
    drawn = rng.stream(12, "context 2/met again").integers(len(np.concatenate(kept._kept[0])), size=(9, 6))
    wanted = np.concatenate(kept._kept[0])[drawn]
    assert np.array_equal(kept.plan(2, 9, rounds).stimulus[0].numpy(), wanted)
