"""Why synapses become ever stiffer: synaptic intelligence counts the work of its own penalty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest
from torch import Tensor

import replaysim as rs
from replaysim.consolidation import ConsolidationState

STEPS = 400


@dataclass(frozen=True)
class WithoutItsPenalty(rs.SynapticIntelligence):
    """The path integral of all losses but the penalty."""

    def observe(
        self,
        state: ConsolidationState,
        before: Mapping[str, Tensor],
        gradient: Mapping[str, Tensor],
        after: Mapping[str, Tensor],
    ) -> None:
        if state.consolidated:
            gradient = {
                name: slope - 2 * self.c * state.importance[name] * (before[name] - state.anchor[name])
                for name, slope in gradient.items()
            }
        super().observe(state, before, gradient, after)


def highest_losses(rule: rs.SynapticIntelligence) -> np.ndarray:
    """Highest loss of each context, with the strength of the paper's Split CIFAR-100, on the digits."""
    own = rs.SplitDigits(scenario="class")
    result = rs.simulate(
        rs.brain_inspired(own, closed=0.6),
        own,
        animals=[12],
        learning=rs.Learning(steps=STEPS, batch=64, rate=1e-4),
        replay=rs.GenerativeReplay(),
        consolidation=rule,
        workers=1,
        progress=False,
    )
    return result.log["learning/loss"].sel(animal=12, component="total").values.reshape(-1, STEPS).max(1)


@pytest.mark.slow
def test_stiffness_feeds_on_itself() -> None:
    published, without = highest_losses(rs.SynapticIntelligence(1e8)), highest_losses(WithoutItsPenalty(1e8))
    np.testing.assert_allclose(published[:2], without[:2], rtol=1e-6, err_msg="there is no penalty before the third")
    growth = published[2:] / published[1:-1]
    assert (growth > 50).all(), growth
    assert without[2:].max() / without[1] < 3, without
