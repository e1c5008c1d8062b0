"""Shells: brains without values of their own, run for many animals with values from stacks."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

from torch import Tensor, nn

from .brain import Brain
from .cortex import RETINA

Module = TypeVar("Module", bound=nn.Module)


class Perception(nn.Module):
    """Everything that one stimulus evokes in one brain: areas, logits and, with a hippocampus, the code."""

    def __init__(self, brain: Brain) -> None:
        super().__init__()
        self.brain = brain

    def forward(self, stimulus: Tensor, context: Tensor | None = None, *, start: str = RETINA) -> dict[str, Tensor]:
        """Area name to activity, and ``logits``, ``code_mean``, ``code_log_variance``.

        ``start`` is the area at which the stimulus is presented, ``context`` that of each trial where the cortex is
        gated by it.
        """
        brain = self.brain
        evoked = dict(brain.climb(stimulus, start, context=context))
        top = evoked[brain.top]
        evoked["logits"] = brain.readout(top)
        if brain.hippocampus is not None:
            read = brain.top if brain.hippocampus.reads_top else brain.cortex.reentry
            evoked["code_mean"], evoked["code_log_variance"] = brain.hippocampus(evoked[read])
        return evoked


def without_values(brain: Module) -> Module:
    """The same modules without values, on the device ``meta``; what is one synapse under two names stays one."""
    shells: dict[int, Any] = {id(value): value.detach().to("meta") for value in brain.buffers()}
    for value in brain.parameters():
        shells[id(value)] = nn.Parameter(value.detach().to("meta"), requires_grad=value.requires_grad)
    return copy.deepcopy(brain, shells)


def nested(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names as the modules see them that hold a brain as their part."""
    return {f"brain.{name}": value for name, value in values.items()}
