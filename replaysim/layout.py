"""Layout: the order in which synapses lie in memory. It decides how fast they are learned, and no value."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .optimiser_state import moments

_LARGEST = 1.8e19  # gradient whose square float32 can still hold
_MOMENTS = ("exp_avg", "exp_avg_sq")
_WIDE = 32  # units and inputs from which on a layer's gradient is worth not to copy


def by_input(synapses: Tensor) -> Tensor:
    """The same values, where those of a layer, (animal, unit, input), lie input after input.

    That is how the gradient of a batched product comes out; it would be copied once more where synapses lie unit after
    unit. A narrow layer, such as a readout, stays as it is, as it is multiplied faster so.
    """
    wide = synapses.dim() == 3 and min(synapses.shape[1:]) >= _WIDE
    return synapses.mT.contiguous().mT if wide else synapses


class Adam(torch.optim.Adam):
    r"""Adam (decay rates 0.9 and 0.999, offset 1e-8 outside the root) for synapses in either order.

    The fused optimiser walks through memory, so that it is shown the same memory as contiguous tensors. What is
    ``capturable`` counts its steps on the device, so that they can be repeated there.

    Very stiff synapses (synaptic intelligence over many contexts, whose penalty enters its own importance) can have
    gradients of which float32 cannot hold the square. By the formula, as a CPU and the published simulations follow it,
    the second moment is infinite from :math:`|g| \approx 5.8 \cdot 10^{20}` on, and the synapse stands still for good.
    The fused optimiser of CUDA takes the difference of two squares, which are infinite from :math:`1.8 \cdot 10^{19}`
    on, so that of ``bounded`` synapses it gets no more than it can square; the rest of the moments is added beside it.

    What torch wraps around two of its methods, for its compiler alone, is left out: it would load the compiler. Hooks
    of steps are run as ever.
    """

    def __init__(
        self,
        synapses: Sequence[Tensor],
        rate: float,
        *,
        fused: bool,
        capturable: bool = False,
        bounded: Sequence[Tensor] = (),
    ) -> None:
        self._synapses = tuple(synapses)
        shown = [_as_stored(value.detach()) for value in self._synapses]
        stiff = {id(value) for value in bounded}
        self._bounded = [s for value, s in zip(self._synapses, shown, strict=True) if id(value) in stiff]
        super().__init__(shown, lr=rate, betas=(0.9, 0.999), eps=1e-8, fused=fused, capturable=capturable)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """As torch does, but without loading its compiler, which takes seconds and is not used."""
        inspect.unwrap(torch.optim.Optimizer.add_param_group)(self, param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the last gradients."""
        for value in self._synapses:
            value.grad = None

    def step(self, closure: Any = None) -> Any:
        """One update from the gradients of the synapses."""
        for value, shown in zip(self._synapses, self.param_groups[0]["params"], strict=True):
            shown.grad = None if value.grad is None else _as_stored(value.grad)
        self._bound()
        with torch.no_grad():
            return inspect.unwrap(torch.optim.Adam.step)(self, closure)  # likewise

    @torch.no_grad()
    def _bound(self) -> None:
        """Show no gradient whose square overflows; its own is left as it is, for whoever observes the step."""
        if self._bounded:
            moments(self)  # are there before the first step
        (first, second), (near, far) = _MOMENTS, self.param_groups[0]["betas"]
        given = [(s, s.grad) for s in self._bounded if s.grad is not None and s.dtype == torch.float32]
        if not given:
            return
        stiff, whole = (list(part) for part in zip(*given, strict=True))
        held = torch._foreach_clamp_min(whole, -_LARGEST)
        torch._foreach_clamp_max_(held, _LARGEST)
        rest = torch._foreach_sub(whole, held)  # nothing, but of steep ones; all layers at once, in few passes
        torch._foreach_add_([self.state[shown][first] for shown in stiff], rest, alpha=(1 - near) / near)
        torch._foreach_mul_(rest, (1 - far) / far)  # before it meets what would make its square overflow
        squares = [self.state[shown][second] for shown in stiff]
        for part in (whole, held):  # the difference of two squares
            torch._foreach_addcmul_(squares, rest, part)
        for shown, bounded in zip(stiff, held, strict=True):
            shown.grad = bounded


def _as_stored(values: Tensor) -> Tensor:
    return values if values.is_contiguous() else values.mT
