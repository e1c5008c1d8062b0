"""The optimiser of a cohort where gradients are larger than their squares can be told."""

from __future__ import annotations

import pytest
import torch

from replaysim.layout import Adam, by_input

SLOPES = (0.1, -1e18, 3e21, -1e10, 0.2, float("nan"))


def steps(device: str, *, bounded: bool, many: int = len(SLOPES) - 1) -> tuple[torch.Tensor, ...]:
    """Two layers, in either order of memory; one synapse of each has all the slopes, the others moderate ones."""
    found = []
    for shape in ((2, 40, 50), (2, 3, 5)):
        chance = torch.Generator().manual_seed(0)
        synapses = by_input(torch.randn(shape, generator=chance)).to(device).requires_grad_()
        adam = Adam([synapses], 1e-2, fused=True, capturable=device == "cuda", bounded=bounded)
        for slope in SLOPES[:many]:
            gradient = torch.randn(shape, generator=chance)
            gradient[1, 2, 3] = slope
            synapses.grad = by_input(gradient).to(device)
            adam.step()
        second = adam.state[adam.param_groups[0]["params"][0]]["exp_avg_sq"]
        found += [synapses.detach().cpu(), second.cpu()]
    return tuple(found)


def test_a_synapse_whose_slope_is_too_steep_stands_still() -> None:
    """The outcome that a GPU is given is what a CPU computes by itself."""
    before, after = steps("cpu", bounded=True, many=2), steps("cpu", bounded=True)
    for layer in (0, 2):
        assert after[layer].isfinite().all()
        assert before[layer][1, 2, 3] == after[layer][1, 2, 3] and (before[layer] != after[layer]).sum() > 10
    assert sum(int(second.isinf().sum()) for second in after) == 2
    for own, plain in zip(after, steps("cpu", bounded=False), strict=True):
        assert torch.equal(own, plain)


def test_what_is_no_number_is_not_hidden() -> None:
    assert steps("cpu", bounded=True, many=len(SLOPES))[0].isnan().sum() == 1


@pytest.mark.gpu
def test_a_gpu_computes_the_same() -> None:
    for own, plain in zip(steps("cuda", bounded=True), steps("cpu", bounded=False), strict=True):
        torch.testing.assert_close(own, plain, rtol=1e-5, atol=1e-6)
