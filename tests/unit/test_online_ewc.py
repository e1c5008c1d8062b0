"""Online elastic weight consolidation: settings, strength 0, and its kinship with the rule that keeps every context."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import xarray as xr
from small import assert_bitwise, simulate, state

from replaysim.consolidation import ConsolidationRule, Synapses
from replaysim.elastic import ElasticWeightConsolidation, OnlineElasticWeightConsolidation
from replaysim.errors import SettingError


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"strength": -0.1}, "OnlineElasticWeightConsolidation.strength: got -0.1, must be a number >= 0"),
        ({"strength": float("nan")}, "strength: got nan, must be a number >= 0"),
        ({"gamma": 0}, "OnlineElasticWeightConsolidation.gamma: got 0, must be a number > 0"),
        ({"gamma": -0.5}, "gamma: got -0.5, must be a number > 0"),
        ({"gamma": 1.01}, "gamma: got 1.01, must be a number > 0 and <= 1"),
        ({"gamma": float("inf")}, "gamma: got inf, must be a number > 0"),
        ({"gamma": "1"}, "gamma: got '1', must be a number > 0"),
        ({"trials": 0}, "trials: got 0, must be a whole number >= 1"),
    ],
)
def test_impossible_settings(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence):
        OnlineElasticWeightConsolidation(**{"strength": 1.0, **settings})


def test_it_is_a_rule() -> None:
    rule = OnlineElasticWeightConsolidation(2.0)
    assert isinstance(rule, ConsolidationRule)
    assert (rule.strength, rule.gamma, rule.trials, rule.watches_steps) == (2.0, 1.0, 1000, False)


def test_strength_zero_is_the_control() -> None:
    control, idle = simulate(), simulate(consolidation=OnlineElasticWeightConsolidation(strength=0))
    assert_bitwise(state(control, 12), state(idle, 12))
    components = [c for c in control.log["learning"]["component"].values if c != "consolidation"]
    losses = [result.log["learning/loss"].sel(component=components) for result in (control, idle)]
    xr.testing.assert_identical(*losses)


def lived(rule: Any, contexts: int, given: list[Synapses]) -> Any:
    """State after contexts that end at other synapses, each with the same information of 1."""
    found = rule.begin(given[0])
    for here in given[:contexts]:
        ones = {name: torch.ones_like(value) for name, value in here.items()}
        found = rule.consolidate(found, here, lambda _n, ones=ones: ones)
    return found


def test_one_context_is_ordinary_elastic_weight_consolidation() -> None:
    chance = torch.Generator().manual_seed(0)
    ends: list[Synapses] = [{"a": torch.randn(3, 4, 2, generator=chance), "b": torch.randn(3, 4, generator=chance)}] * 2
    ends[1] = {name: value + 1 for name, value in ends[0].items()}
    there = {name: value + 2 for name, value in ends[0].items()}
    one, every = OnlineElasticWeightConsolidation(1.0), ElasticWeightConsolidation(1.0)
    torch.testing.assert_close(
        one.penalty(lived(one, 1, ends), there), every.penalty(lived(every, 1, ends), there), rtol=1e-6, atol=0
    )
    # 12 synapses an animal, 2 from the first end and 1 from the second
    torch.testing.assert_close(one.penalty(lived(one, 2, ends), there), torch.full((3,), 0.5 * 12 * 2 * 1.0))
    torch.testing.assert_close(every.penalty(lived(every, 2, ends), there), torch.full((3,), 0.5 * 12 * (4.0 + 1.0)))


def test_earlier_information_fades() -> None:
    here: Synapses = {"a": torch.zeros(1, 2)}
    rule = OnlineElasticWeightConsolidation(1.0, gamma=0.5)
    assert lived(rule, 3, [here] * 3).importance["a"].tolist() == [[1.75, 1.75]]
