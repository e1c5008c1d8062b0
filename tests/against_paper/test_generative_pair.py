"""Classic generative replay: a classifier and, beside it, a stand-alone hippocampus (file 03); they share nothing."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from oracle import ANIMALS, ARRAYS, both, closest, protocol, read

import replaysim as rs
from replaysim import objectives
from replaysim.brain import Brain, BrainPlan
from replaysim.cohort import Cohort
from replaysim.cortex import DensePlan
from replaysim.events import Events, ReplayRound, plan_round
from replaysim.hippocampus import StandAlonePlan
from replaysim.learning import COMPONENTS, Trials
from replaysim.objectives import one_hot
from replaysim.replay import GenerativeReplay

DOUBLE = {"forward": 1e-10, "loss": 1e-10, "gradient": 1e-10, "after": 1e-10}
SINGLE = {"forward": 5e-6, "loss": 5e-6, "gradient": 1e-6, "after": 1e-5}
PRECISIONS = [(torch.float64, DOUBLE), (torch.float32, SINGLE)]
PARTS = {
    "cls": {"enc1": "cortex.association_1", "enc2": "cortex.association_2", "out": "readout"},
    "gen": {
        "enc1": "hippocampus.areas.association_1",
        "enc2": "hippocampus.areas.association_2",
        "mu": "hippocampus.code_mean",
        "logvar": "hippocampus.code_log_variance",
        "dec1": "feedback.layer_1",
        "dec2": "feedback.layer_2",
        "dec3": "feedback.layer_3",
    },
}
"""Layers of the two networks of the file under the names of one brain's parts."""
LOSSES = {
    "cls": {
        "cur_class": "current_classification",
        "cur_total": "current_classification",
        "rep_class": "replayed_classification",
        "rep_total": "replayed_classification",
        "rep_distill": "replayed_distillation",
    },
    "gen": {
        "cur_recon": "current_reconstruction",
        "cur_variat": "current_code_divergence",
        "rep_recon": "replayed_reconstruction",
        "rep_variat": "replayed_code_divergence",
    },
}
"""Losses of the two networks under the names of the log."""
UNUSED = ("cur_class", "rep_class", "rep_distill")
"""Losses of the file that a generator does not have."""


def synapses(arrays: dict[str, np.ndarray], kind: str) -> dict[str, torch.Tensor]:
    """Arrays ``{cls,gen}.<kind>.<layer>.<array>`` under the names of a brain's parameters."""
    found = {}
    for network, layers in PARTS.items():
        for key in arrays:
            if key.startswith(f"{network}.{kind}."):
                layer, array = key.removeprefix(f"{network}.{kind}.").split(".")
                found[f"{layers[layer]}.{ARRAYS[array]}"] = torch.from_numpy(np.array(arrays[key])).double()
    return found


def pair(arrays: dict[str, np.ndarray]) -> Brain:
    """A float64 brain with the synapses of the file."""
    plan = BrainPlan(
        cortex=DensePlan(64, (20, 20)),
        stimulus_size=64,
        answers=10,
        classes=10,
        contexts=5,
        hippocampus=StandAlonePlan(DensePlan(64, (20, 20)), 5),
        divergence_divisor=64,
    )
    grown = plan.grow(0).double()
    grown.load_state_dict(synapses(arrays, "param"))
    return grown


class Steps:
    """Weight updates of two identical animals from the batches, noise and decisions of the file."""

    def __init__(self, scenario: str, dtype: torch.dtype = torch.float64) -> None:
        self.arrays, self.scenario, self.dtype = read("03_gr_standard"), scenario, dtype
        self.protocol = protocol(scenario, classes=10, contexts=5, size=64)
        self.brain = pair(self.arrays)
        brains = [copy.deepcopy(self.brain) for _ in range(ANIMALS)]
        self.cohort = Cohort(brains, rate=1e-3, replay=GenerativeReplay("hard"), dtype=dtype)
        self.plan: ReplayRound = plan_round(self.protocol, 2, 8, cued=False)

    def trials(self, step: int) -> Trials:
        label = self.arrays["y_cur"][step]
        nothing = both(np.zeros_like(label))
        return Trials(both(self.arrays["x_cur"][step] / 255, self.dtype), both(label), nothing, nothing + 2)

    def events(self, step: int) -> Events:
        within = self.arrays[f"y_rep_{self.scenario}"][step]
        # in the task scenario every image is judged on both earlier heads, in the order of the plan's rows
        decision = np.concatenate((within[0], within[1] + 2)) if self.scenario == "task" else within
        certain = one_hot(torch.from_numpy(decision), 10, torch.float64)
        return Events(
            both(np.zeros((8, 5)), self.dtype),
            both(self.arrays["x_rep"][step] / 255, self.dtype),
            both(np.full(8, -1)),
            both(certain, self.dtype),
            both(certain, self.dtype),
            both(decision),
            both(self.plan.row_context),
        )

    def learn(self, step: int) -> torch.Tensor:
        noise = np.concatenate((self.arrays["eps_cur"][step], self.arrays["eps_rep"][step]))
        answers = torch.from_numpy(self.protocol.answers(self.protocol.rule, 2, 3))[None]
        given = (self.trials(step), answers, both(noise, self.dtype), self.events(step), self.plan, 1 / 3)
        return self.cohort.learn(*given)

    def compare_losses(self, losses: torch.Tensor, step: int, tolerance: float) -> None:
        """Every term, and the total of each network: what its own terms add up to."""
        named = dict(zip(COMPONENTS, losses.T, strict=True))
        totals = torch.zeros(2, ANIMALS, dtype=losses.dtype)
        for total, (network, terms) in zip(totals, LOSSES.items(), strict=True):
            prefix = f"{network}.{self.scenario}.loss"
            for term, component in terms.items():
                for found in named[component]:
                    closest(
                        found, self.arrays[f"{prefix}.{term}"][step, ...], f"step {step} {prefix} {term}", tolerance
                    )
            for component in set(terms.values()):
                total += named[component] * (1 / 3 if component.startswith("current") else 2 / 3)
            for found in total:
                closest(found, self.arrays[f"{prefix}.total"][step, ...], f"step {step} {prefix}", tolerance)
        assert not any(self.arrays[f"gen.{self.scenario}.loss.{term}"].any() for term in UNUSED)
        assert not named["consolidation"].any()
        closest(named["total"], totals.sum(0).numpy(), f"step {step} total", tolerance)

    def compare(self, kind: str, tolerance: float) -> None:
        wanted = synapses(self.arrays, f"{self.scenario}.{kind}")
        assert wanted.keys() == self.cohort.synapses.keys()
        for name, value in wanted.items():
            tensor = self.cohort.synapses[name]
            found = tensor.grad if kind == "grad" else tensor
            assert found is not None
            for animal in range(ANIMALS):
                closest(found[animal], value.numpy(), f"{kind} {name}", tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS, ids=["float64", "float32"])
@pytest.mark.parametrize("scenario", ["class", "task"])
def test_three_steps(scenario: str, dtype: torch.dtype, tolerance: dict[str, float]) -> None:
    steps = Steps(scenario, dtype)
    for step in range(3):
        steps.compare_losses(steps.learn(step), step, tolerance["loss"])
        if step == 0:
            steps.compare("grad", tolerance["gradient"])
            steps.compare("after1", tolerance["after"])
    steps.compare("after3", tolerance["after"])


def test_rows_of_the_task_scenario() -> None:
    """A context cannot be asked for: every event is judged within each earlier context."""
    plan = Steps("task").plan
    assert plan.repeated and plan.events == 8 and plan.groups == (8,)
    assert plan.row_event.tolist() == [*range(8), *range(8)]
    assert plan.row_context.tolist() == [0] * 8 + [1] * 8
    for row, answers in enumerate(plan.teacher_answers.tolist()):
        assert [i for i, competes in enumerate(answers) if competes] == ([0, 1] if row < 8 else [2, 3])


def test_labels_of_replay_are_decisions_within_the_answers_that_compete() -> None:
    """The file gives the earlier self's logits; its decisions follow from them."""
    arrays = read("03_gr_standard")
    logits = torch.full((3, 8, 10), -7.0, dtype=torch.float64)
    logits[..., :4] = torch.from_numpy(arrays["teacher_logits"])
    plans = {scenario: plan_round(protocol(scenario, 10, 5, 64), 2, 8, cued=False) for scenario in ("class", "task")}
    for step in range(3):
        decided = {
            s: objectives.competing(logits[step][p.row_event], p.teacher_answers).argmax(-1) for s, p in plans.items()
        }
        assert decided["class"].tolist() == arrays["y_rep_class"][step].tolist()
        within = (decided["task"] - 2 * plans["task"].row_context).reshape(2, 8)
        assert within.tolist() == arrays["y_rep_task"][step].tolist()


@torch.no_grad()
@pytest.mark.parametrize("scenario", ["class", "task"])
@pytest.mark.parametrize("batch", ["cur", "rep"])
def test_activity(scenario: str, batch: str) -> None:
    arrays = read("03_gr_standard")
    own = pair(arrays)
    stimulus = torch.from_numpy(arrays[f"x_{batch}"][0] / 255)
    code = own.encode(stimulus)
    z = code.sample(torch.from_numpy(arrays[f"eps_{batch}"][0]))
    assert own.feedback is not None
    found = {
        "mu": code.mean,
        "logvar": code.log_variance,
        "z": z,
        "recon": own.recreate(z),
        "recon_per_sample": objectives.reconstruction_bernoulli(own.feedback(z), stimulus),
        "kl_per_sample": objectives.code_divergence(code.mean, code.log_variance),
    }
    for name, value in found.items():
        closest(value, arrays[f"gen.{scenario}.fwd.{batch}.{name}"], name)


# --- the hippocampus stands alone


def test_the_plan_by_name_is_that_of_the_file() -> None:
    own = protocol("class", classes=10, contexts=5, size=64)
    plan = rs.generative_pair(own, units=(20, 20), code_units=5)
    shapes = {name: value.shape for name, value in plan.grow(3).named_parameters()}
    assert shapes == {name: value.shape for name, value in pair(read("03_gr_standard")).named_parameters()}
    assert (plan.modes, plan.gating, plan.reconstruction, plan.divergence_divisor) == (None, None, "bernoulli", 64)


@pytest.mark.parametrize("reentry", ["retina", "association_1"])
@pytest.mark.parametrize("targets", ["hard", "soft"])
def test_the_cortex_learns_as_a_plain_classifier_would(targets: str, reentry: str) -> None:
    """Fed with the same events, every parameter of cortex and readout gets exactly the same updates."""
    own = protocol("class", classes=6, contexts=3, size=16)
    paired = rs.generative_pair(own, units=(9, 8, 7), code_units=4, reentry=reentry)
    plain = rs.classifier(own, units=(9, 8, 7))
    replay = GenerativeReplay(targets)
    with_hippocampus = Cohort([paired.grow(s) for s in (12, 13)], rate=1e-2, replay=replay, dtype=torch.float64)
    alone = Cohort([plain.grow(s) for s in (12, 13)], rate=1e-2, replay=replay, dtype=torch.float64)
    alone._experience.entrances = alone._experience.entrances._replace(replayed=reentry)
    plan, answers = plan_round(own, 1, 5, cued=False), torch.arange(6)[None] < 4
    shared = [name for name in with_hippocampus.synapses if name.split(".")[0] in ("cortex", "readout")]
    assert shared == list(alone.synapses) and len(shared) == 8
    before = {name: value.detach().clone() for name, value in alone.synapses.items()}
    for step in range(4):
        given = batch(with_hippocampus, own, plan, seed=step)
        noise = torch.randn(2, 11, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(step))
        events: Any = (given[1], plan, 0.5) if step else ()
        with_hippocampus.learn(given[0], answers, noise[:, : 11 if step else 6], *events)
        alone.learn(given[0], answers, noise[:, :, :0], *events)
        for name in shared:
            one, other = with_hippocampus.synapses[name], alone.synapses[name]
            assert one.grad is not None and other.grad is not None and one.grad.any(), name
            assert torch.equal(one.grad, other.grad) and torch.equal(one, other), (step, name)
    assert all(not torch.equal(before[name], alone.synapses[name]) for name in shared)


def batch(cohort: Cohort, own: rs.SplitProtocol, plan: ReplayRound, seed: int) -> tuple[Trials, Events]:
    """Six current trials and five events for two animals."""
    chance = torch.Generator().manual_seed(100 + seed)
    units = cohort.template.cortex.sizes[cohort.template.cortex.reentry]
    target, logits = torch.randint(2, 4, (2, 6), generator=chance), torch.randn(2, 5, 6, generator=chance).double()
    trials = Trials(torch.rand(2, 6, 16, generator=chance).double(), target, 0 * target, 0 * target + 1)
    soft = objectives.belief(logits, plan.teacher_answers, 2.0)
    nothing = torch.zeros(2, 5, dtype=torch.int64)
    met = torch.rand(2, 5, units, generator=chance).double()
    return trials, Events(torch.zeros(2, 5, 0).double(), met, nothing, logits, soft, soft.argmax(-1), nothing - 1)


def test_the_hippocampus_learns_from_what_the_re_entry_area_says_only() -> None:
    """Its own updates do not depend on labels, and nothing flows from it into the cortex or from there into it."""
    own = protocol("class", classes=6, contexts=3, size=16)
    plan = plan_round(own, 1, 5, cued=False)
    lives = []
    for other_labels in (False, True):
        grown = rs.generative_pair(own, units=(9, 8), code_units=4).grow(12)
        cohort = Cohort([grown, grown], rate=1e-2, replay=GenerativeReplay("hard"), dtype=torch.float64)
        trials, events = batch(cohort, own, plan, seed=0)
        if other_labels:
            trials, events = trials._replace(target=5 - trials.target), events._replace(decision=1 - events.decision)
        noise = torch.ones(2, 11, 4, dtype=torch.float64)
        cohort.learn(trials, torch.ones(1, 6, dtype=torch.bool), noise, events, plan, 0.5)
        lives.append({name: value.detach().clone() for name, value in cohort.synapses.items()})
    for name, value in lives[0].items():
        alike = torch.equal(value, lives[1][name])
        assert alike == name.startswith(("hippocampus", "feedback")), name
