"""The weighted distance of synapses from their anchors, layer by layer or with small layers as one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from replaysim import consolidation
from replaysim.consolidation import ConsolidationState, nothing_yet, stretch, together
from replaysim.layout import by_input

SHAPES = {"wide": (3, 40, 50), "kernels": (3, 4, 2, 3, 3), "biases": (3, 7), "one": (3,), "narrow": (3, 5, 40)}


def some() -> tuple[ConsolidationState, dict[str, Tensor]]:
    """Synapses away from their anchors, in either order of memory."""
    chance = torch.Generator().manual_seed(0)
    values = {name: by_input(torch.randn(shape, generator=chance).double()) for name, shape in SHAPES.items()}
    importance = {name: torch.randn(value.shape, generator=chance).double() for name, value in values.items()}
    state = nothing_yet(values)._replace(importance=importance)
    synapses = {name: (value + 0.1 * (i + 1)).requires_grad_() for i, (name, value) in enumerate(values.items())}
    return state, synapses


@pytest.mark.parametrize("small", [0, 50, 1000, 10**6])
def test_small_layers_as_one(small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the sum written out; gradients of every layer, of which a GPU has the small ones as one."""
    state, synapses = some()
    wanted = torch.stack(
        [(state.importance[n] * (v - state.anchor[n]) ** 2).reshape(3, -1).sum(1) for n, v in synapses.items()]
    ).sum(0)
    slopes = torch.autograd.grad((wanted * torch.tensor([1.0, 2.0, 3.0])).sum(), list(synapses.values()))
    layers = [(value, state.importance[name], state.anchor[name]) for name, value in synapses.items()]
    groups = together(layers, small)
    few = sum(value[0].numel() < small for value in synapses.values())
    assert len(groups) == len(synapses) - few + bool(few)
    found = torch.stack([consolidation._Parabola.apply(*each) for each in groups]).sum(0)
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(stretch(state, synapses), wanted)
    found_slopes = torch.autograd.grad((found * torch.tensor([1.0, 2.0, 3.0])).sum(), list(synapses.values()))
    for one, other in zip(found_slopes, slopes, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.gpu
def test_a_gpu_adds_up_the_same() -> None:
    state, synapses = some()
    there = {name: value.detach().cuda().requires_grad_() for name, value in synapses.items()}
    parts = [{name: value.cuda() for name, value in part.items()} for part in state[:2]]
    found, wanted = stretch(ConsolidationState(parts[0], parts[1], {}, {}, 1), there), stretch(state, synapses)
    torch.testing.assert_close(found.cpu(), wanted)
    for one, other in zip(
        torch.autograd.grad(found.sum(), list(there.values())),
        torch.autograd.grad(wanted.sum(), list(synapses.values())),
        strict=True,
    ):
        torch.testing.assert_close(one.cpu(), other)
