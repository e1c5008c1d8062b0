"""Reinitialisation: what is drawn anew, what stays, and whose chance it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small import LEARNING, brain, protocol, simulate, state

import replaysim as rs
from replaysim.brains import generative_pair
from replaysim.cohort import Cohort
from replaysim.errors import SettingError
from replaysim.reinitialisation import reinitialise
from replaysim.retina import LIGHT
from replaysim.stimuli import StimulusSet

ANEW = replace(LEARNING, reinitialise=True)


def cohort(plan: rs.BrainPlan, animals: tuple[int, ...] = (12, 13)) -> Cohort:
    return Cohort([plan.grow(animal) for animal in animals], rate=1e-3, replay=rs.GenerativeReplay())


def values(of: Cohort) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in {**of.synapses, **of.fixed}.items()}


@pytest.fixture
def photographs() -> rs.SplitProtocol:
    chance, label = np.random.default_rng(0), np.arange(6).repeat(4)
    images = chance.integers(0, 256, (24, 3, 32, 32), dtype=np.uint8)
    own = StimulusSet("photographs", images, label, images, label, tuple("abcdef"), 255.0, LIGHT["cifar100"])
    return rs.SplitProtocol(own, contexts=3)


def test_the_earlier_self_is_untouched() -> None:
    animals = cohort(brain(protocol()))
    animals.remember_self()
    assert animals._earlier is not None
    before, naive = {name: v.clone() for name, v in animals._earlier.items()}, values(animals)
    reinitialise(animals, (12, 13), 1)
    for name, value in animals._earlier.items():
        assert torch.equal(value, before[name]), name
    after = values(animals)
    drawn = {name for name in naive if not torch.equal(naive[name], after[name])}
    assert drawn == {name for name in naive if name.split(".")[0] not in ("modes", "gates")}, "modes and gates stay"


def test_draws_are_those_of_naive_synapses() -> None:
    """Uniform within one over the root of the inputs; other values than those that the animal was born with."""
    animals = cohort(brain(protocol(), units=(300, 300)))
    naive = values(animals)
    reinitialise(animals, (12, 13), 1)
    for name in ("cortex.association_2", "feedback.layer_2"):
        for part in ("weight", "bias"):
            drawn, bound = animals.synapses[f"{name}.{part}"].detach(), 300**-0.5
            assert drawn.abs().max() <= bound and drawn.abs().max() > 0.95 * bound
            assert abs(float(drawn.std()) / (bound / 3**0.5) - 1) < 0.1
            assert not torch.isclose(drawn, naive[f"{name}.{part}"], atol=1e-7).any(dim=-1).all()
    weight = animals.synapses["cortex.association_2.weight"]
    assert not torch.equal(weight[0], weight[1]), "every animal has its own"


def test_chance_is_that_of_animal_context_and_part() -> None:
    own = protocol()
    together, alone = cohort(brain(own)), cohort(brain(own), (13,))
    classifier = cohort(rs.classifier(own, units=(20, 20)))
    for animals, seeds in ((together, (12, 13)), (alone, (13,)), (classifier, (12, 13))):
        reinitialise(animals, seeds, 1)
    for name, value in alone.synapses.items():
        assert torch.equal(value[0], together.synapses[name][1]), f"{name} depends on company"
    for name, value in classifier.synapses.items():
        assert torch.equal(value, together.synapses[name]), f"{name} depends on what else the brain has"
    one = values(together)
    torch.manual_seed(0)
    state_before = torch.random.get_rng_state()
    reinitialise(together, (12, 13), 2)
    assert torch.equal(torch.random.get_rng_state(), state_before)
    assert not torch.equal(one["readout.weight"], together.synapses["readout.weight"]), "every context has its own"
    reinitialise(together, (12, 13), 1)
    for name, value in values(together).items():
        assert torch.equal(value, one[name])


@pytest.mark.parametrize(
    ("make", "kept", "changed"),
    [
        (rs.brain_inspired, ("cortex.early",), ("cortex.association_1.weight", "feedback.layer_1.weight")),
        (
            generative_pair,
            ("normalisation", "feedback.descending"),
            ("cortex.early.early_2.synapses.weight", "hippocampus.areas.early.early_2.synapses.weight"),
        ),
    ],
)
def test_of_a_visual_cortex(
    photographs: rs.SplitProtocol,
    make: Callable[..., rs.BrainPlan],
    kept: tuple[str, ...],
    changed: tuple[str, ...],
) -> None:
    """Frozen areas, normalisation and transposed convolutions stay; plastic convolutions are drawn anew."""
    animals = cohort(make(photographs, units=(20, 20), code_units=5, closed=0.3))
    before = values(animals)
    reinitialise(animals, (12, 13), 1)
    after = values(animals)
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if any(part in name for part in kept)} <= same
    assert not same & set(changed)
    assert set(changed) <= set(before)


def test_a_life_with_reinitialisation() -> None:
    """The first context is the usual one; later ones begin as if nothing had been learned."""
    usual, anew = simulate(), simulate(learning=ANEW)
    loss = [result.log["learning/loss"].sel(component="total").values[0] for result in (usual, anew)]
    assert np.array_equal(loss[0][:12], loss[1][:12]) and not np.array_equal(loss[0][12:], loss[1][12:])
    assert loss[1][12] > loss[1][11], "a naive brain errs as in the beginning"


def test_an_animal_lives_alone_as_in_company() -> None:
    settings: dict[str, Any] = {"learning": ANEW, "replay": rs.GenerativeReplay(), "precision": "float64"}
    alone, accompanied = (state(simulate(animals=a, **settings), 13) for a in ((13,), (40, 12, 13)))
    for name, value in alone.items():
        np.testing.assert_allclose(accompanied[name], value, rtol=0, atol=1e-9, err_msg=name)


def test_settings_are_logged_and_checked() -> None:
    anew = simulate(learning=ANEW)
    assert '"reinitialise": true' in anew.log.attrs["config_json"]
    with pytest.raises(SettingError, match=r"reinitialise: got 'yes', must be one of True, False"):
        rs.Learning(reinitialise="yes")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="synapses that are drawn anew have nothing to protect"):
        simulate(learning=ANEW, consolidation=rs.SynapticIntelligence(1.0))


def test_the_hippocampus_has_units_of_its_own() -> None:
    own = protocol()
    plan = generative_pair(own, units=(20, 20), code_units=5, hippocampal_units=(7, 9))
    grown: Any = plan.grow(12)
    assert grown.hippocampus.areas.sizes["association_2"] == 9 and grown.feedback.units == (9, 7)
    assert grown.cortex.sizes["association_2"] == 20
    gated: Any = rs.brain_inspired(own, without="feedback", units=(20, 20), hippocampal_units=(7, 9), closed=0.3).grow(
        12
    )
    assert [gate.shape[1] for gate in gated.gates.buffers()] == [9, 7]
    result = simulate(protocol=own, brain=plan, replay=rs.GenerativeReplay(targets="hard"))
    assert result.brains[12].recall(events=3).shape == (3, 16)
    with pytest.raises(SettingError, match=r"hippocampal_units: got \(7, 9\), must be left out"):
        rs.brain_inspired(own, hippocampal_units=(7, 9))
    with pytest.raises(SettingError, match="units: got 0"):
        generative_pair(own, hippocampal_units=(0, 9))


def test_the_hippocampus_of_a_visual_cortex_has_units_of_its_own(photographs: rs.SplitProtocol) -> None:
    for plan in (
        generative_pair(photographs, units=(20, 20), hippocampal_units=(7, 9)),
        rs.brain_inspired(photographs, without="feedback", units=(20, 20), hippocampal_units=(7, 9), closed=0.3),
    ):
        grown: Any = plan.grow(12)
        assert grown.feedback.units == (9, 7) and grown.cortex.sizes["association_2"] == 20
