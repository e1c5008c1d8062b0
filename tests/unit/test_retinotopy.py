"""Retinotopic steps of many animals at once: what the same layers do one by one."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest
import small
import torch
from lives import LEARNING, LIVES
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

import replaysim as rs
from replaysim import places, retinotopy, steps
from replaysim.descending import DescendingArea
from replaysim.early_areas import EarlyArea
from replaysim.products import Bfloat16Layers, halved_on_gpu

ANIMALS = 3


class Case(NamedTuple):
    """An area, and what it sees."""

    way: str
    linear: bool
    plastic: bool
    inputs: int = 3
    channels: int = 5
    coarse: bool = True
    """Whether resolution changes."""
    places: tuple[int, int] = (8, 8)
    momentum: float = 0.1
    epsilon: float = 1e-5


KINDS = [
    *(Case(*kind) for kind in product(("up", "down"), (False, True), (True, False))),
    Case("up", False, True, 9, 16, places=(7, 5)),
    Case("up", False, False, 8, 9, coarse=False, momentum=0.3, epsilon=1e-2),
    Case("up", True, True, 16, 9, coarse=False),
    Case("up", False, True, 9, 7, momentum=0.3, epsilon=1e-2),
    Case("down", False, True, 9, 3, coarse=False, places=(7, 5)),
    Case("down", False, True, 16, 8, momentum=0.3, epsilon=1e-2),
    Case("down", True, True, 8, 3),
]
CASES = pytest.mark.parametrize("case", KINDS, ids=lambda case: " ".join(map(str, case)))


class AtOnce(nn.Module):
    """An area whose layers are one step, whatever the device."""

    def __init__(self, area: EarlyArea | DescendingArea, factors: torch.dtype) -> None:
        super().__init__()
        self.area, self.factors = area, factors

    def forward(self, activity: Tensor) -> Tensor:
        return places.at_once(activity, self.area.synapses, self.area.normalisation, factors=self.factors)


class OneByOne(nn.Module):
    """The area as it is."""

    def __init__(self, area: EarlyArea | DescendingArea) -> None:
        super().__init__()
        self.area = area

    def forward(self, activity: Tensor) -> Tensor:
        return self.area(activity)


def area(case: Case, seed: int) -> EarlyArea | DescendingArea:
    """One that has seen something."""
    made: EarlyArea | DescendingArea
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if case.way == "up":
            made = EarlyArea(case.inputs, case.channels, 2 if case.coarse else 1, case.linear)
        else:
            made = DescendingArea(case.inputs, case.channels, case.coarse, case.linear)
        if made.normalisation is not None:
            made.normalisation.momentum, made.normalisation.eps = case.momentum, case.epsilon
            nn.init.uniform_(made.normalisation.weight, 0.5, 1.5)
            nn.init.normal_(made.normalisation.bias)
            made.normalisation.running_mean.normal_()  # type: ignore[union-attr]
            made.normalisation.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return made.train(case.plastic)


def seen(case: Case) -> tuple[Tensor, torch.Generator]:
    chance = torch.Generator().manual_seed(7)
    return torch.randn(ANIMALS, 7, case.inputs, *case.places, dtype=torch.float64, generator=chance), chance


def lived(case: Case, factors: torch.dtype | None, device: str = "cpu") -> dict[str, Tensor]:
    """Activity, gradients and running estimates of animals that climb together; without ``factors``, area by area."""
    dtype = torch.float64 if factors == torch.float64 else torch.float32
    animals = [area(case, seed) for seed in range(ANIMALS)]
    brains = [OneByOne(own) if factors is None else AtOnce(own, factors) for own in animals]
    brains = [brain.to(device, dtype).train(case.plastic) for brain in brains]
    synapses, running = stack_module_state(brains)  # type: ignore[arg-type]
    given, chance = seen(case)
    below = given.to(device, dtype).requires_grad_()
    shell = copy.deepcopy(brains[0]).to("meta")
    above = vmap(lambda values, activity: functional_call(shell, values, (activity,)))({**synapses, **running}, below)
    assert above.dtype == dtype
    (above * torch.randn(above.shape, dtype=torch.float64, generator=chance).to(device, dtype)).sum().backward()
    gradients = {f"slope of {name}": value.grad for name, value in {**synapses, "below": below}.items()}
    assert all(found.is_contiguous() for name, found in gradients.items() if "synapses" in name), "as the synapses lie"
    return {"above": above.detach(), **gradients, **running}


def reference(case: Case) -> dict[str, Tensor]:
    """The same in float64, each animal by itself, by the layers of torch."""
    found: list[dict[str, Tensor]] = []
    below, chance = seen(case)
    slopes = None
    for seed in range(ANIMALS):
        own = area(case, seed).double()
        given = below[seed].clone().requires_grad_()
        above = own(given)
        if slopes is None:
            slopes = torch.randn((ANIMALS, *above.shape), dtype=torch.float64, generator=chance)
        (above * slopes[seed]).sum().backward()
        learned = {f"slope of area.{name}": value.grad for name, value in own.named_parameters()}
        state = {f"area.{name}": value for name, value in own.named_buffers()}
        found.append({"above": above.detach(), **learned, "slope of below": given.grad, **state})  # type: ignore[dict-item]
    return {name: torch.stack([each[name] for each in found]) for name in found[0]}


def gaps(case: Case, found: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, float]:
    """Relative, but of what has no value but rounding errors."""
    taken_away = case.plastic and not case.linear
    names = [n for n, v in wanted.items() if v.is_floating_point() and not (n.endswith("synapses.bias") and taken_away)]
    return {n: float((found[n].double().cpu() - wanted[n].double()).norm() / wanted[n].double().norm()) for n in names}


@CASES
def test_a_step_is_its_layers(case: Case) -> None:
    """Oracle: torch's own layers, each animal by itself, in float64."""
    found, wanted = lived(case, torch.float64), reference(case)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-10, msg=name)


def check_rounded(found: dict[str, float]) -> None:
    """Within the rounding of 8 significant bits, and not nearer; slopes cancel, and some units are silent instead."""
    for name, gap in found.items():
        assert gap < (0.1 if name.startswith("slope") else 0.01), found
    assert found["above"] > 5e-4


@CASES
def test_factors_are_rounded(case: Case) -> None:
    check_rounded(gaps(case, lived(case, torch.bfloat16), reference(case)))


def test_a_bias_that_normalisation_takes_away_has_no_gradient() -> None:
    assert not lived(Case("up", False, True), torch.float32)["slope of area.synapses.bias"].any()


def test_one_animal_by_itself() -> None:
    """Without vmap, as a brain taken out of a simulation is used."""
    own, given = area(Case("up", False, True), 0), torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    slopes = []
    for step in (own, AtOnce(copy.deepcopy(own), torch.float32)):
        below = given.clone().requires_grad_()
        step(below).square().sum().backward()
        slopes.append(below.grad)
    torch.testing.assert_close(slopes[1], slopes[0])


def test_what_all_animals_share_and_where_their_axis_lies() -> None:
    """The same stimuli for all, and animals on another axis."""
    own = AtOnce(area(Case("up", False, False), 0), torch.float64).double()
    given = torch.randn(2, 4, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    values = {name: torch.stack([value, value + 0.1]) for name, value in own.state_dict().items()}

    def climb(state: dict[str, Tensor], below: Tensor) -> Tensor:
        return functional_call(own, state, (below,))

    each = [climb({name: value[a] for name, value in values.items()}, given[0]) for a in (0, 1)]
    torch.testing.assert_close(vmap(climb, (0, None))(values, given[0]), torch.stack(each))
    both = vmap(climb, (0, 1))(values, given.transpose(0, 1))
    torch.testing.assert_close(both[0], each[0])
    with pytest.raises(RuntimeError, match="one axis of animals"):
        vmap(vmap(own))(given[None])


def test_activity_that_nobody_learns_from() -> None:
    own = AtOnce(area(Case("up", False, True), 0), torch.float32)
    below = torch.randn(4, 3, 8, 8, requires_grad=True)
    kept = own(below)
    (slope,) = torch.autograd.grad(below.sum() + 0 * kept.detach().sum(), below)
    assert torch.equal(slope, torch.ones_like(below))
    (first,) = torch.autograd.grad(own(below).square().sum(), below, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


class Louder(nn.Conv2d):
    """A kind of one's own."""


def watched() -> nn.Conv2d:
    made = nn.Conv2d(3, 5, 3)
    made.register_forward_hook(lambda *_: None)
    return made


@pytest.mark.parametrize(
    ("synapses", "normalisation", "trials"),
    [
        (nn.Conv2d(3, 6, 3, groups=3), None, 4),
        (nn.Conv2d(3, 5, 3, padding=1, padding_mode="reflect"), None, 4),
        (nn.Conv2d(3, 5, 3, padding="same"), None, 4),
        (nn.Conv2d(3, 5, 3, dilation=2), None, 4),
        (nn.Conv2d(3, 5, 3, bias=False), None, 4),
        (nn.Conv2d(4, 5, 3), None, 4),
        (nn.ConvTranspose2d(3, 5, 3, 2, output_padding=1), None, 4),
        (Louder(3, 5, 3), None, 4),
        (nn.Linear(3, 5), None, 4),
        (watched(), None, 4),
        (nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5, momentum=None), 4),  # type: ignore[arg-type]
        (nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5, affine=False), 4),
        (nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5, track_running_stats=False), 4),
        (nn.Conv2d(3, 5, 3), nn.BatchNorm2d(6), 4),
        (nn.Conv2d(3, 5, 3), nn.GroupNorm(5, 5), 4),
        (nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), 1),
    ],
    ids=str,
)
def test_what_it_does_not_know_is_left_to_the_layers(
    synapses: nn.Module, normalisation: nn.Module | None, trials: int
) -> None:
    assert not retinotopy.takes(torch.zeros(trials, 3, 8, 8), synapses, normalisation)


@CASES
def test_it_takes_the_areas_there_are(case: Case) -> None:
    own = area(case, 0)
    below = torch.zeros(4, case.inputs, *case.places)
    assert retinotopy.takes(below, own.synapses, own.normalisation)
    assert not retinotopy.takes(below[:, :-1], own.synapses, own.normalisation)


def test_only_a_gpu_that_multiplies_in_bfloat16_takes_it() -> None:
    here = torch.zeros(2)
    with Bfloat16Layers():
        assert not halved_on_gpu(here)
        with Bfloat16Layers():
            assert not halved_on_gpu(here)
    assert not halved_on_gpu(here)


@pytest.mark.parametrize("name", ["photographs, plastic, EWC", "photographs, pair, task"])
def test_a_life_whose_areas_take_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Animals that learn and replay through the step, on a CPU in float64, live as they do through its layers."""

    def life() -> rs.SimulationResult:
        settings = LIVES[name]()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="replay enters at")
            return small.simulate(animals=(12, 13), learning=LEARNING, precision="float64", **settings)

    wanted = life()
    here, taken = [False], []

    @contextmanager
    def layers_in(_precision: str) -> Iterator[None]:
        here[0] = True
        yield
        here[0] = False

    def at_once(*given: Any) -> Tensor:
        taken.append(given[1])
        return itself(*given, factors=torch.float64)

    itself = places.at_once
    monkeypatch.setattr(steps, "layers_in", layers_in)
    monkeypatch.setattr(retinotopy, "halved_on_gpu", lambda _activity: here[0])
    monkeypatch.setattr(places, "at_once", at_once)
    found = life()
    assert {type(layer) for layer in taken} == ({nn.Conv2d, nn.ConvTranspose2d} if "pair" in name else {nn.Conv2d})
    np.testing.assert_allclose(found.log["learning/loss"], wanted.log["learning/loss"], rtol=1e-5, atol=1e-7)
    for animal, own in wanted.brains.items():
        for key, value in own.state_dict().items():
            # biases in front of a normalisation, which have no gradient here, and the means that follow them
            free = ("early." in key or "descending." in key) and key.endswith(("synapses.bias", "running_mean"))
            other = found.brains[animal].state_dict()[key]
            np.testing.assert_allclose(other, value, rtol=0, atol=2e-2 if free else 1e-6, err_msg=key)


@pytest.mark.gpu
@CASES
def test_a_gpu_takes_the_same_step(case: Case) -> None:
    """The area itself, within layers in bfloat16, and one step of that kind in float64, are the layers on a CPU."""
    wanted = reference(case)
    for name, value in lived(case, torch.float64, "cuda").items():
        torch.testing.assert_close(value.cpu(), wanted[name], rtol=1e-9, atol=1e-9, msg=name)
    with Bfloat16Layers():
        assert halved_on_gpu(torch.zeros(2, device="cuda"))
        check_rounded(gaps(case, lived(case, None, "cuda"), wanted))


@pytest.mark.gpu
def test_a_gpu_takes_it_at_the_size_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    """256 photographs on their way from the first early area to the second, by parts and at once."""
    case = Case("up", False, True, 16, 32, places=(32, 32))
    given = torch.randn(ANIMALS, 256, 16, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    monkeypatch.setitem(globals(), "seen", lambda _case: (given, torch.Generator().manual_seed(8)))
    wanted = lived(case, torch.float64, "cuda")
    with Bfloat16Layers():
        check_rounded(gaps(case, lived(case, None, "cuda"), {name: value.cpu() for name, value in wanted.items()}))
