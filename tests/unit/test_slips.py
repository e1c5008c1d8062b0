"""Easy slips, each caught by a test of its own name; and each of these tests is shown to catch its slip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from small import LEARNING, brain, protocol, simulate

import replaysim as rs
from replaysim import objectives, rng
from replaysim.brain import Brain, BrainPlan
from replaysim.cohort import Cohort
from replaysim.consolidation import SynapticIntelligence
from replaysim.events import Events, Reactivation, plan_round
from replaysim.experience import Chance
from replaysim.gating import Gates
from replaysim.learning import Trials
from replaysim.objectives import one_hot
from replaysim.replay import GenerativeReplay

# --- the tests


def test_gates_are_not_ignored() -> None:
    """A closed unit of the feedback pathway is silent, and takes no part in what is re-created."""
    grown = brain(protocol()).grow(12)
    assert grown.feedback is not None and grown.gates is not None
    seen: list[torch.Tensor] = []
    hook = grown.feedback.layer_2.register_forward_pre_hook(lambda _m, given: seen.append(given[0]))
    code = torch.ones(6, 5)
    grown.recreate(code, torch.eye(6))
    hook.remove()
    closed = grown.gates.get_buffer("layer_1") == 0
    assert closed.any() and (seen[0][closed] == 0).all(), "units that are closed fire"
    with torch.no_grad():
        before = grown.recreate(code, torch.eye(6))
        grown.feedback.layer_1.weight[closed[0]] += 1
        after = grown.recreate(code, torch.eye(6))
    assert torch.equal(before[0], after[0]), "input to a closed unit matters"


def test_label_of_replay_is_the_decision_not_the_request() -> None:
    """Targets are what the earlier self makes of the replayed activity, whatever class was asked for."""
    own = protocol()
    cohort = Cohort([brain(own).grow(12)], rate=1e-3, replay=GenerativeReplay())
    cohort.remember_self()
    plan = plan_round(own, 2, 40, cued=True)
    chance = Chance((12,), 2, own, brain(own), 8, plan)
    chance.noise(0, cohort.device, cohort.dtype)
    cues = chance.cues(0)
    events = cohort.reactivate(cues, plan)
    (evoked,) = cohort_logits(cohort, events)
    answers = torch.arange(6) < 4
    decision = torch.where(answers, evoked, -torch.inf).argmax(-1)
    assert (decision != cues.cued_class[0]).any(), "a naive animal confuses classes, or this test tells nothing"
    assert torch.equal(events.decision[0], decision)
    torch.testing.assert_close(events.soft_target[0, :, :4], torch.softmax(evoked[:, :4] / 2, -1))


def cohort_logits(cohort: Cohort, events: Events) -> torch.Tensor:
    (evoked,) = list(cohort.perceive(events.activity[0], ("logits",)))
    return evoked["logits"]


def test_current_and_replayed_losses_weigh_1_over_t() -> None:
    """In the T-th context current experience has the weight 1 / T, replay the rest."""
    loss = simulate(replay=GenerativeReplay()).log["learning/loss"].sel(animal=12).astype(float)
    context = loss["context"].values
    parts = {
        kind: sum(loss.sel(component=c).values for c in loss["component"].values if c.startswith(kind))
        for kind in ("current", "replayed")
    }
    weighted = parts["current"] / context + parts["replayed"] * (1 - 1 / context)
    assert (parts["replayed"][context > 1] > 0).all()
    np.testing.assert_allclose(loss.sel(component="total").values, weighted, rtol=1e-5)


def test_distillation_has_the_squared_temperature() -> None:
    """For high temperatures the gradient tends to (logits - teacher's logits) / answers, whatever the temperature."""
    chance = torch.Generator().manual_seed(0)
    student = torch.randn(5, 4, dtype=torch.float64, generator=chance).requires_grad_()
    teacher = torch.randn(5, 4, dtype=torch.float64, generator=chance)
    answers = torch.ones(4, dtype=torch.bool)
    temperature = 1e4
    target = objectives.belief(teacher, answers, temperature)
    loss = objectives.distillation(student, target, answers, temperature).sum()
    (slope,) = torch.autograd.grad(loss, student)
    centred = (student - teacher) - (student - teacher).mean(-1, keepdim=True)
    torch.testing.assert_close(slope, (centred / 4).detach(), rtol=1e-3, atol=1e-6)


def test_code_divergence_is_divided_by_the_elements_of_a_stimulus() -> None:
    """By the elements of a stimulus (16), also where activity of a higher area (20 units) is re-created."""
    own = protocol()
    plan = brain(own, reentry="association_1", units=(20, 30), without=("modes", "gating"))
    grown = plan.grow(12)
    cohort = Cohort([grown], rate=1e-3)
    stimulus, target = torch.rand(1, 8, 16, generator=torch.Generator().manual_seed(0)), torch.arange(8)[None] % 2
    trials = Trials(stimulus, target, target, 0 * target)
    losses = cohort.learn(trials, torch.ones(1, 6, dtype=torch.bool), torch.zeros(1, 8, 5))
    code = grown.encode(grown.perceive(stimulus[0])[grown.top])
    divergence = 0.5 * (code.log_variance.exp() + code.mean.square() - 1 - code.log_variance).sum(-1).mean()
    assert float(losses[0, 3]) == pytest.approx(float(divergence.detach()) / 16, rel=1e-5)


def test_only_covered_synapses_have_importance() -> None:
    """Cortex and readout are consolidated; hippocampus, modes and feedback stay free."""
    own = protocol()
    cohort = Cohort([brain(own).grow(12)], rate=1e-2, consolidation=SynapticIntelligence())
    chance = torch.Generator().manual_seed(0)
    for _ in range(5):
        target = torch.randint(6, (1, 8), generator=chance)
        trials = Trials(torch.rand(1, 8, 16, generator=chance), target, target, 0 * target)
        cohort.learn(trials, torch.ones(1, 6, dtype=torch.bool), torch.randn(1, 8, 5, generator=chance))
    cohort.consolidate(lambda _n: [], torch.ones(6, dtype=torch.bool))
    assert cohort.state is not None
    important = {name.split(".")[0] for name, value in cohort.state.importance.items() if value.any()}
    assert important == {"cortex", "readout"}


# --- the tests of the tests


def ignore_gates(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = Gates.forward
    monkeypatch.setattr(Gates, "forward", lambda self, weight: tuple(torch.ones_like(g) for g in forward(self, weight)))


def label_with_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = Reactivation.forward

    def slip(self: Reactivation, cues: Any, *given: Any, **settings: Any) -> Events:
        events = forward(self, cues, *given, **settings)
        asked = one_hot(cues.cued_class, 6, events.soft_target.dtype)
        return events._replace(decision=cues.cued_class, soft_target=asked)

    monkeypatch.setattr(Reactivation, "forward", slip)


def drop_1_over_t(monkeypatch: pytest.MonkeyPatch) -> None:
    learn = Cohort.learn
    monkeypatch.setattr(Cohort, "learn", lambda self, *given: learn(self, *given[:5], 0.5 if given[3] else 1.0))


def drop_squared_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    right = objectives.distillation

    def slip(logits: Any, target: Any, answers: Any, temperature: float, weight: float | None = None) -> torch.Tensor:
        return right(logits, target, answers, temperature, weight) / temperature**2

    monkeypatch.setattr(objectives, "distillation", slip)


def divide_by_units(monkeypatch: pytest.MonkeyPatch) -> None:
    grow = BrainPlan.grow

    def slip(self: BrainPlan, *given: Any) -> Brain:
        grown = grow(self, *given)
        object.__setattr__(grown.plan, "divergence_divisor", 20.0)
        return grown

    monkeypatch.setattr(BrainPlan, "grow", slip)


def cover_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cohort, "_covered", lambda self: {n: v for n, v in self.synapses.items() if v.requires_grad})


@pytest.mark.parametrize(
    ("plant", "caught_by"),
    [
        (ignore_gates, test_gates_are_not_ignored),
        (label_with_the_request, test_label_of_replay_is_the_decision_not_the_request),
        (drop_1_over_t, test_current_and_replayed_losses_weigh_1_over_t),
        (drop_squared_temperature, test_distillation_has_the_squared_temperature),
        (divide_by_units, test_code_divergence_is_divided_by_the_elements_of_a_stimulus),
        (cover_everything, test_only_covered_synapses_have_importance),
    ],
)
def test_planted_slips_are_caught(
    plant: Callable[[pytest.MonkeyPatch], None], caught_by: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        caught_by()


def test_the_quirk_of_the_published_gates_is_an_option() -> None:
    """With ``faithful=True`` current trials of every context pass the gates of the first context's classes."""
    from replaysim.experience import plan_context

    own = protocol("task")
    curricula = [own.curriculum(12, rng.published(12))]
    found = {
        faithful: plan_context(own, brain(own, faithful=faithful), curricula, (12,), LEARNING, 2, "sequential").gate
        for faithful in (False, True)
    }
    assert set(found[False].unique().tolist()) == {4, 5}
    assert torch.equal(found[True], found[False] - 4)
    assert rs.Gating().faithful is False
