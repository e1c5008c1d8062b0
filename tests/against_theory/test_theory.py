"""What can be known without any other program: information, path integrals, parabolas."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from small import brain, protocol

import replaysim as rs
from analysis.forgetting import final_accuracy
from replaysim import fisher, presets
from replaysim.brain import Brain
from replaysim.cohort import Cohort
from replaysim.consolidation import SynapticIntelligence
from replaysim.elastic import ElasticWeightConsolidation
from replaysim.fisher import Judgement, _of_any, information_of
from replaysim.learning import Trials
from replaysim.sensitivity import Output

# --- Fisher information


def classifier_of(answers: int) -> Brain:
    own = protocol("class", contexts=1, classes=answers)
    return rs.classifier(own, units=(9, 7)).grow(3).double()


def values_of(judgement: Judgement) -> dict[str, torch.Tensor]:
    return {name: value.detach() for name, value in judgement.state_dict().items()}


def test_information_of_a_logistic_unit() -> None:
    """Two competing answers are one logistic unit: the information about w_i is the mean of p (1 - p) a_i^2."""
    own = classifier_of(2)
    stimuli = torch.rand(50, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    judgement = Judgement(own).eval()
    names = ["brain.readout.weight", "brain.readout.bias"]
    found = information_of(judgement, values_of(judgement), names, stimuli, torch.ones(2, dtype=torch.bool))
    with torch.no_grad():
        top = own.perceive(stimuli)[own.top]
        difference = (own.readout.weight[1] - own.readout.weight[0]) @ top.T + own.readout.bias.diff()
        p = torch.sigmoid(difference)
        wanted = ((p * (1 - p))[:, None] * top.square()).mean(0)
    for answer in (0, 1):
        torch.testing.assert_close(found[names[0]][answer], wanted, rtol=0, atol=1e-14)
        torch.testing.assert_close(found[names[1]][answer], (p * (1 - p)).mean(), rtol=0, atol=1e-14)


def test_information_of_answers_that_do_not_compete_is_zero() -> None:
    own = classifier_of(6)
    judgement = Judgement(own).eval()
    stimuli = torch.rand(20, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    answers = torch.tensor([True, True, False, False, True, False])
    found = information_of(judgement, values_of(judgement), ["brain.readout.weight"], stimuli, answers)
    assert not found["brain.readout.weight"][~answers].any()
    assert (found["brain.readout.weight"][answers].sum(1) > 0).all()


def test_product_of_matrices_equals_single_trials() -> None:
    own = classifier_of(6)
    judgement = Judgement(own).eval()
    values = values_of(judgement)
    stimuli = torch.rand(30, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    answers = torch.tensor([True, True, True, True, False, False])
    dense = information_of(judgement, values, list(values), stimuli, answers)
    single = _of_any(judgement, values, list(values), stimuli, answers)
    for name in values:
        torch.testing.assert_close(dense[name], single[name] / 30, rtol=0, atol=1e-14)


# --- sensitivity of the output


def test_sensitivity_of_the_readout() -> None:
    """Of the squared length of y = W a + b: |2 y_k a_i|, mean over trials; none where answers do not compete."""
    own = classifier_of(6)
    stimuli = torch.rand(30, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) - 0.5
    answers = torch.tensor([True, True, False, True, False, False])
    output = Output(own).eval()
    names = ["brain.readout.weight", "brain.readout.bias"]
    found = information_of(output, values_of(output), names, stimuli, answers)
    with torch.no_grad():
        top = own.perceive(stimuli)[own.top]
        said = torch.where(answers, own.readout(top), 0.0)
        assert (said < 0).any() and (said > 0).any()
        wanted = (2 * said[:, :, None] * top[:, None]).abs().mean(0)
    torch.testing.assert_close(found[names[0]], wanted, rtol=0, atol=1e-14)
    torch.testing.assert_close(found[names[1]], (2 * said).abs().mean(0), rtol=0, atol=1e-14)


def test_sensitivity_trial_after_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient of one trial at a time, by autograd; how many are held at once changes nothing."""
    own = classifier_of(4)
    output = Output(own).eval()
    values, answers = values_of(output), torch.ones(4, dtype=torch.bool)
    stimuli = torch.rand(9, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    found = information_of(output, values, list(values), stimuli, answers)
    wanted = {name: torch.zeros_like(value) for name, value in values.items()}
    for trial in stimuli:
        own.zero_grad()
        output(trial[None], answers).square().sum().backward()
        for name, parameter in output.named_parameters():
            assert parameter.grad is not None
            wanted[name] += parameter.grad.abs() / 9
    for name in values:
        torch.testing.assert_close(found[name], wanted[name], rtol=0, atol=1e-13)
    monkeypatch.setattr(fisher, "FLOATS_AT_ONCE", 1)
    torch.testing.assert_close(information_of(output, values, list(values), stimuli, answers), found)


# --- synaptic intelligence: where full coverage makes the path integral the drop of the loss


def path_over_drop(coverage: str) -> float:
    """Sum of the path integral over all covered synapses, as a fraction of the drop of the loss."""
    own = protocol("class", contexts=1)
    grown = brain(own).grow(12).double()
    rule = SynapticIntelligence(c=1.0)
    cohort = Cohort([grown], rate=1e-5, consolidation=rule, dtype=torch.float64)
    if coverage == "full":
        cohort.covered = list(cohort.synapses)
        cohort.state = rule.begin(cohort.synapses)
    chosen = np.arange(0, 96, 3)
    stimulus = torch.from_numpy(own.stimuli.train[chosen]).double()[None] / 255
    target = torch.from_numpy(own.stimuli.train_label[chosen])[None].long()
    noise = torch.randn(1, len(chosen), 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    answers = torch.ones(1, 6, dtype=torch.bool)
    trials = Trials(stimulus, target, target, 0 * target)  # the same at every step
    total = [float(cohort.learn(trials, answers, noise)[0, 0].detach()) for _ in range(201)]
    assert cohort.state is not None
    path = sum(float(value.sum()) for value in cohort.state.path.values())
    end = float(cohort._costs(trials, answers, noise, None, None, 1.0, ())[0].detach())
    assert total[0] > end, "learning lowers the loss"
    return path / (total[0] - end)


def test_path_integral_is_the_drop_of_the_loss() -> None:
    assert path_over_drop("full") == pytest.approx(1, abs=0.01)


def test_path_integral_of_some_synapses_is_not() -> None:
    assert abs(path_over_drop("partial") - 1) > 0.1


# --- elastic weight consolidation


def test_a_sum_of_parabolas_is_a_parabola() -> None:
    chance = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=chance)

    rule = ElasticWeightConsolidation(strength=1.0)
    shapes = {"cortex.a.weight": (2, 5, 4), "readout.bias": (2, 3)}
    contexts = [
        (
            {n: drawn(*s).square() * (drawn(*s) > 0) for n, s in shapes.items()},
            {n: drawn(*s) for n, s in shapes.items()},
        )
        for _ in range(4)
    ]
    state = rule.begin(contexts[0][1])
    for information, anchor in contexts:
        state = rule.consolidate(state, anchor, lambda _n, information=information: information)
    point = {n: drawn(*s).requires_grad_() for n, s in shapes.items()}
    kept = rule.penalty(state, point)
    summed = torch.zeros(2, dtype=torch.float64)
    for information, anchor in contexts:
        for name, value in point.items():
            summed = summed + 0.5 * (information[name] * (value - anchor[name]).square()).flatten(1).sum(1)
    torch.testing.assert_close(kept, summed, rtol=0, atol=1e-12)
    slopes = (torch.autograd.grad(total.sum(), list(point.values())) for total in (kept, summed))
    for ours, explicit in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, explicit, rtol=0, atol=1e-12)


# --- behaviour


def test_stiff_synapses_beat_none_in_every_animal() -> None:
    """Task scenario, digits, matched animals; strengths were chosen on held-out training stimuli of animals 0-4."""
    own = rs.SplitDigits(scenario="task")
    plan = rs.classifier(own, units=presets.DIGITS.units)
    rules = {
        "nothing": None,
        "SI": SynapticIntelligence(c=presets.DIGITS.c["task"]),
        "EWC": ElasticWeightConsolidation(strength=1e5),
    }
    accuracy = {
        name: final_accuracy(
            rs.simulate(
                plan,
                own,
                animals=range(12, 17),
                learning=presets.DIGITS.learning,
                consolidation=rule,
                workers=1,
                progress=False,
            ).log
        )
        for name, rule in rules.items()
    }
    for name, animal in itertools.product(("SI", "EWC"), range(12, 17)):
        gain = float(accuracy[name].sel(animal=animal) - accuracy["nothing"].sel(animal=animal))
        assert gain > 0, f"{name}, animal {animal}: {gain}"
