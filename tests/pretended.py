"""A CUDA device that is not there: tensors that know their device, type and shape, but hold no numbers.

Operations between tensors of two devices fail as they would fail on a GPU, and so does the conversion of a tensor of
the device to numpy. What has no answer without numbers gets one: values are ones, gradients are zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily

from replaysim.brain import Brain, BrainPlan


def _ones(tensor: Tensor) -> np.ndarray:
    kind = torch.zeros((), dtype=tensor.dtype, device="meta").dtype
    return np.ones(tuple(tensor.shape), str(kind).removeprefix("torch."))


def _numpy(tensor: Tensor) -> np.ndarray:
    if tensor.device.type != "cpu":
        raise TypeError(f"can't convert {tensor.device} device type tensor to numpy")
    return _ones(tensor)


def _on_cpu(tensor: Tensor) -> Tensor:
    with unset_fake_temporarily():
        return torch.zeros(tuple(tensor.shape), dtype=tensor.dtype)


def _backward(loss: Tensor) -> None:
    todo, seen = [loss.grad_fn], set()
    while todo:
        node: Any = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            node.variable.grad = torch.zeros_like(node.variable)
        todo += [below for below, _ in node.next_functions]


def _gradients(_outputs: Any, inputs: Any, *_args: Any, **_kwargs: Any) -> tuple[Tensor, ...]:
    return tuple(torch.zeros_like(value) for value in inputs)


def _moved(module: nn.Module, change: Callable[[Tensor], Tensor], _recurse: bool = True) -> nn.Module:
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                with torch.no_grad():
                    part._parameters[name] = nn.Parameter(change(value), value.requires_grad)
        for name, statistic in part._buffers.items():
            if statistic is not None:
                part._buffers[name] = change(statistic)
    return module


@contextmanager
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Within, ``device="cuda"`` is pretended."""
    import torch._dynamo.config as compiler

    mode, grow = FakeTensorMode(allow_non_fake_inputs=True), BrainPlan.grow

    def replaced(name: str, of: Callable[..., Any]) -> None:
        real = getattr(Tensor, name)
        monkeypatch.setattr(
            Tensor, name, lambda self, *a, **k: of(self) if isinstance(self, FakeTensor) else real(self, *a, **k)
        )

    def pretended(plan: BrainPlan, *args: Any) -> Brain:
        with unset_fake_temporarily():
            return _moved(grow(plan, *args), lambda value: mode.from_tensor(value.detach().clone()))  # type: ignore[return-value]

    for name, answer in (("numpy", _numpy), ("__array__", _numpy), ("cpu", _on_cpu), ("backward", _backward)):
        replaced(name, answer)
    for name, read in (
        ("tolist", "tolist"),
        ("item", "item"),
        ("__bool__", "all"),
        ("__int__", "item"),
        ("__float__", "item"),
    ):
        replaced(name, lambda value, read=read: getattr(_ones(value), read)())
    monkeypatch.setattr(
        torch, "nonzero", lambda value: torch.ones(len(value), value.dim(), dtype=torch.int64, device=value.device)
    )
    monkeypatch.setattr(torch.autograd, "grad", _gradients)
    monkeypatch.setattr(nn.Module, "_apply", _moved)
    monkeypatch.setattr(BrainPlan, "grow", pretended)
    with compiler.patch(fake_tensor_cache_enabled=False), mode:
        yield
