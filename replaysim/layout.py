"""Layout: the order in which synapses lie in memory. It decides how fast they are learned, and no value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .optimiser_state import moments

_LARGEST = 1.8e19  # gradient whose square float32 can still hold
_WIDE = 32  # units and inputs from which on a layer's gradient is worth not to copy


def by_input(synapses: Tensor) -> Tensor:
    """The same values, where those of a layer, (animal, unit, input), lie input after input.

    That is how the gradient of a batched product comes out; it would be copied once more where synapses lie unit after
    unit. A narrow layer, such as a readout, stays as it is, as it is multiplied faster so.
    """
    wide = synapses.dim() == 3 and min(synapses.shape[1:]) >= _WIDE
    return synapses.mT.contiguous().mT if wide else synapses


class Adam(torch.optim.Adam):
    """Adam (decay rates 0.9 and 0.999, offset 1e-8 outside the root) for synapses in either order.

    The fused optimiser walks through memory, so that it is shown the same memory as contiguous tensors. What is
    ``capturable`` counts its steps on the device, so that they can be repeated there.

    Very stiff synapses (synaptic intelligence over many contexts, whose penalty enters its own importance) can have
    gradients whose square overflows. By the formula the second moment is infinite from then on, and the synapse stands
    still; so it does on a CPU and in the published simulations. The fused optimiser of CUDA would compute the
    difference of two infinities, so that with ``bounded`` it is given the outcome instead.
    """

    def __init__(
        self,
        synapses: Sequence[Tensor],
        rate: float,
        *,
        fused: bool,
        capturable: bool = False,
        bounded: bool = False,
    ) -> None:
        self._synapses = tuple(synapses)
        self._bounded = bounded
        shown = [_as_stored(value.detach()) for value in self._synapses]
        super().__init__(shown, lr=rate, betas=(0.9, 0.999), eps=1e-8, fused=fused, capturable=capturable)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the last gradients."""
        for value in self._synapses:
            value.grad = None

    def step(self, closure: Any = None) -> Any:
        """One update from the gradients of the synapses."""
        for value, shown in zip(self._synapses, self.param_groups[0]["params"], strict=True):
            shown.grad = None if value.grad is None else _as_stored(value.grad)
        if self._bounded:
            self._bound()
        return super().step(closure)

    @torch.no_grad()
    def _bound(self) -> None:
        moments(self)  # are there before the first step
        for shown in self.param_groups[0]["params"]:
            if shown.grad is not None and shown.dtype == torch.float32:
                self.state[shown]["exp_avg_sq"].masked_fill_(shown.grad.abs() > _LARGEST, torch.inf)
                shown.grad.clamp_(-_LARGEST, _LARGEST)


def _as_stored(values: Tensor) -> Tensor:
    return values if values.is_contiguous() else values.mT
