"""Standing areas: those in which a stimulus evokes the same for life, as nothing at them or below them can change."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch.nn.modules.batchnorm import _NormBase

from .brain import Brain
from .cortex import AbstractCortex


def about_area(cortex: AbstractCortex, area: str) -> dict[str, Any]:
    """Attributes of an area in the log: whether anything at it or below can change, and its non-linearity if known.

    An area is found as the part of the cortex with its name, or with its name in a part of that part.
    """
    if area == cortex.areas[0]:
        return {"area": area, "plastic": 0, "nonlinearity": "none"}
    plastic = int(not stands(cortex, area))
    return {"area": area, "plastic": plastic, "nonlinearity": cortex.nonlinearities.get(area, "unknown")}


def _part(cortex: AbstractCortex, area: str) -> torch.nn.Module:
    """The part of the cortex that makes an area; all of it where no part bears the area's name."""
    return next((part for name, part in cortex.named_modules() if name.rsplit(".", 1)[-1] == area), cortex)


def _learning(cortex: AbstractCortex) -> AbstractCortex:
    """The cortex in the mode in which it learns, but parts that refuse (frozen early areas); values are not copied.

    Whoever looks has it in the other mode, in which no statistics are gathered.
    """
    own = {id(value): value for value in (*cortex.parameters(), *cortex.buffers())}
    return copy.deepcopy(cortex, own).train()


def _changes(part: torch.nn.Module) -> bool:
    """Whether a part has synapses that are plastic, or gathers statistics of its batches."""
    gathers = any(isinstance(m, _NormBase) and m.training and m.track_running_stats for m in part.modules())
    return gathers or any(value.requires_grad for value in part.parameters())


def plastic_reentry(brain: Brain) -> bool:
    """Whether synapses onto the re-entry area or below it, or statistics there, can change."""
    return not stands(brain.cortex, brain.cortex.reentry)


def stands(cortex: AbstractCortex, area: str) -> bool:
    """Whether what a stimulus evokes in an area is the same for life: nothing at it or below it can change.

    Neither synapses nor the statistics that normalisation gathers while animals learn.
    """
    learner = _learning(cortex)
    return not any(_changes(_part(learner, below)) for below in _up_to(cortex, area))


def _up_to(cortex: AbstractCortex, area: str) -> tuple[str, ...]:
    """Areas above the retina up to this one."""
    return tuple(cortex.areas[1 : cortex.areas.index(area) + 1])
