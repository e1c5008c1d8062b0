"""The optimiser of a cohort where gradients are larger than their squares can be told."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from replaysim.layout import Adam, by_input

CASES = {
    "moderate": (0.1, -3.0, 1e15, 1.7e19, 0.2),
    "its square overflows": (0.1, 2e19, -1e20, 5e20, -1e10, 0.2),
    "its moment overflows": (0.1, -1e18, 7e20, 3e21, -1e10, 0.2),
    "infinite": (0.1, float("inf"), 0.2),
    "no number": (0.1, float("nan"), 0.2),
}


def steps(slopes: Sequence[float], device: str = "cpu", *, bounded: bool) -> list[torch.Tensor]:
    """Synapses and both moments of two layers, in either order of memory; one synapse of each has these slopes."""
    found = []
    for shape in ((2, 40, 50), (2, 3, 5)):
        chance = torch.Generator().manual_seed(0)
        synapses = by_input(torch.randn(shape, generator=chance)).to(device).requires_grad_()
        stiff = [synapses] if bounded else []
        adam = Adam([synapses], 1e-2, fused=True, capturable=device == "cuda", bounded=stiff)
        for slope in slopes:
            gradient = torch.randn(shape, generator=chance)
            gradient[1, 2, 3] = slope
            synapses.grad = by_input(gradient).to(device)
            adam.step()
            assert torch.equal(synapses.grad.cpu().nan_to_num(), gradient.nan_to_num()), (
                "whoever observes sees it whole"
            )
        state = adam.state[adam.param_groups[0]["params"][0]]
        found += [value.detach().cpu() for value in (synapses, state["exp_avg"], state["exp_avg_sq"])]
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_bound_gradient_makes_the_same_steps(name: str) -> None:
    """What a GPU is given leads to what a CPU computes by itself."""
    for bounded, plain in zip(steps(CASES[name], bounded=True), steps(CASES[name], bounded=False), strict=True):
        torch.testing.assert_close(bounded, plain, rtol=1e-5, atol=0, equal_nan=True)
        assert (bounded != plain).sum() <= 2, "all others are the same to the last bit"


def test_a_synapse_whose_moment_overflows_stands_still() -> None:
    slopes = CASES["its moment overflows"]
    before, after = steps(slopes[:2], bounded=True), steps(slopes, bounded=True)
    for layer in (0, 3):
        assert before[layer][1, 2, 3] == after[layer][1, 2, 3] and (before[layer] != after[layer]).sum() > 10
        assert after[layer].isfinite().all() and int(after[layer + 2].isinf().sum()) == 1


@pytest.mark.gpu
@pytest.mark.parametrize("name", CASES)
def test_a_gpu_makes_the_same_steps(name: str) -> None:
    there, here = steps(CASES[name], "cuda", bounded=True), steps(CASES[name], bounded=False)
    for own, plain in zip(there, here, strict=True):  # inf on one device can be NaN on another, by the order of a sum
        assert torch.equal(own.isfinite(), plain.isfinite())
        finite = (one.nan_to_num(0.0, 0.0, 0.0) for one in (own, plain))
        torch.testing.assert_close(*finite, rtol=2e-5, atol=1e-6)  # there, 1 - 0.999 is that of float32: off by 1.3e-5
