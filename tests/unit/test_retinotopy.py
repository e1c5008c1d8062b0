"""Retinotopic steps of many animals at once: what the same layers do one by one."""

from __future__ import annotations

import copy
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from replaysim import retinotopy
from replaysim.descending import DescendingArea
from replaysim.early_areas import EarlyArea
from replaysim.products import Bfloat16Layers, halved_on_gpu

ANIMALS = 3
KINDS = list(product(("up", "down"), (False, True), (True, False)))


class AtOnce(nn.Module):
    """An area whose layers are one step, whatever the device."""

    def __init__(self, area: EarlyArea | DescendingArea, factors: torch.dtype) -> None:
        super().__init__()
        self.area, self.factors = area, factors

    def forward(self, activity: Tensor) -> Tensor:
        return retinotopy.step(activity, self.area.synapses, self.area.normalisation, factors=self.factors)


class OneByOne(nn.Module):
    """The area as it is."""

    def __init__(self, area: EarlyArea | DescendingArea) -> None:
        super().__init__()
        self.area = area

    def forward(self, activity: Tensor) -> Tensor:
        return self.area(activity)


def area(way: str, linear: bool, seed: int) -> EarlyArea | DescendingArea:
    """One that has seen something."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = EarlyArea(3, 5, 2, linear) if way == "up" else DescendingArea(3, 5, True, linear)
        if made.normalisation is not None:
            nn.init.uniform_(made.normalisation.weight, 0.5, 1.5)
            nn.init.normal_(made.normalisation.bias)
            made.normalisation.running_mean.normal_()  # type: ignore[union-attr]
            made.normalisation.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return made


def lived(way: str, linear: bool, plastic: bool, factors: torch.dtype | None, device: str = "cpu") -> dict[str, Tensor]:
    """Activity, gradients and running estimates of animals that climb together."""
    dtype = torch.float64 if factors == torch.float64 else torch.float32
    animals = [area(way, linear, seed) for seed in range(ANIMALS)]
    brains = [OneByOne(own) if factors is None else AtOnce(own, factors) for own in animals]
    brains = [brain.to(device, dtype).train(plastic) for brain in brains]
    synapses, running = stack_module_state(brains)  # type: ignore[arg-type]
    chance = torch.Generator().manual_seed(7)
    below = torch.randn(ANIMALS, 7, 3, 8, 8, dtype=torch.float64, generator=chance).to(device, dtype).requires_grad_()
    shell = copy.deepcopy(brains[0]).to("meta")
    above = vmap(lambda values, activity: functional_call(shell, values, (activity,)))({**synapses, **running}, below)
    assert above.dtype == dtype
    (above * torch.randn(above.shape, dtype=torch.float64, generator=chance).to(device, dtype)).sum().backward()
    gradients = {f"slope of {name}": value.grad for name, value in {**synapses, "below": below}.items()}
    assert all(found.is_contiguous() for name, found in gradients.items() if "synapses" in name), "as the synapses lie"
    return {"above": above.detach(), **gradients, **running}


def reference(way: str, linear: bool, plastic: bool) -> dict[str, Tensor]:
    """The same in float64, each animal by itself, by the layers of torch."""
    found: list[dict[str, Tensor]] = []
    chance = torch.Generator().manual_seed(7)
    below = torch.randn(ANIMALS, 7, 3, 8, 8, dtype=torch.float64, generator=chance)
    given = None
    for seed in range(ANIMALS):
        own = area(way, linear, seed).double().train(plastic)
        seen = below[seed].clone().requires_grad_()
        above = own(seen)
        if given is None:
            given = torch.randn((ANIMALS, *above.shape), dtype=torch.float64, generator=chance)
        (above * given[seed]).sum().backward()
        slopes = {f"slope of area.{name}": value.grad for name, value in own.named_parameters()}
        state = {f"area.{name}": value for name, value in own.named_buffers()}
        found.append({"above": above.detach(), **slopes, "slope of below": seen.grad, **state})  # type: ignore[dict-item]
    return {name: torch.stack([each[name] for each in found]) for name in found[0]}


@pytest.mark.parametrize(("way", "linear", "plastic"), KINDS)
def test_a_step_is_its_layers(way: str, linear: bool, plastic: bool) -> None:
    """Oracle: torch's own layers, each animal by itself, in float64."""
    found, wanted = lived(way, linear, plastic, torch.float64), reference(way, linear, plastic)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-10, msg=name)


@pytest.mark.parametrize(("way", "linear", "plastic"), KINDS)
def test_factors_are_rounded(way: str, linear: bool, plastic: bool) -> None:
    """Within the rounding of 8 significant bits of the exact step, and not nearer."""
    found, wanted = lived(way, linear, plastic, torch.bfloat16), reference(way, linear, plastic)
    for name, value in wanted.items():
        if not value.is_floating_point() or (name.endswith("synapses.bias") and plastic and not linear):
            continue
        gap = float((found[name].double() - value).norm() / value.norm())
        assert gap < 0.05, f"{name}: {gap}"
    assert float((found["above"].double() - wanted["above"]).abs().max()) > 1e-4


def test_a_bias_that_normalisation_takes_away_has_no_gradient() -> None:
    assert not lived("up", False, True, torch.float32)["slope of area.synapses.bias"].any()


def test_one_animal_by_itself() -> None:
    """Without vmap, as a brain taken out of a simulation is used."""
    own, seen = area("up", False, 0), torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    slopes = []
    for step in (own, AtOnce(copy.deepcopy(own), torch.float32)):
        given = seen.clone().requires_grad_()
        step(given).square().sum().backward()
        slopes.append(given.grad)
    torch.testing.assert_close(slopes[1], slopes[0])


def test_only_a_gpu_that_multiplies_in_bfloat16_takes_it() -> None:
    here = torch.zeros(2)
    with Bfloat16Layers():
        assert not halved_on_gpu(here)
        with Bfloat16Layers():
            assert not halved_on_gpu(here)
    assert not halved_on_gpu(here)


@pytest.mark.gpu
@pytest.mark.parametrize(("way", "linear", "plastic"), KINDS)
def test_a_gpu_takes_the_same_step(way: str, linear: bool, plastic: bool) -> None:
    """The area itself, within layers in bfloat16, and one step of that kind in float64, are the layers on a CPU."""
    wanted = reference(way, linear, plastic)
    for name, value in lived(way, linear, plastic, torch.float64, "cuda").items():
        torch.testing.assert_close(value.cpu(), wanted[name], rtol=1e-9, atol=1e-9, msg=name)
    with Bfloat16Layers():
        assert halved_on_gpu(torch.zeros(2, device="cuda"))
        found = lived(way, linear, plastic, None, "cuda")
    once = lived(way, linear, plastic, torch.bfloat16, "cuda")
    for name, value in found.items():
        assert torch.equal(value, once[name]), f"{name}: the area takes the step"
        if value.is_floating_point() and not (name.endswith("synapses.bias") and plastic and not linear):
            gap = float((value.cpu().double() - wanted[name]).norm() / wanted[name].norm())
            assert gap < 0.05, f"{name}: {gap}"
