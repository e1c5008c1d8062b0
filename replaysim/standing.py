"""Standing areas: those in which a stimulus evokes the same for life, as nothing at them or below them can change."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch.nn.modules.batchnorm import _NormBase

from .brain import Brain
from .cortex import AbstractCortex


def about_area(cortex: AbstractCortex, area: str) -> dict[str, Any]:
    """Attributes of an area in the log: its height, whether anything at it or below can change, its non-linearity.

    An area is found as the part of the cortex with its name, or with its name in a part of that part; see
    :func:`stands`.
    """
    height = cortex.areas.index(area)
    if height == 0:
        return {"area": area, "height": 0, "plastic": 0, "nonlinearity": "none"}
    nonlinearity = cortex.nonlinearities.get(area, "unknown")
    return {"area": area, "height": height, "plastic": int(not stands(cortex, area)), "nonlinearity": nonlinearity}


def _part(cortex: AbstractCortex, area: str) -> torch.nn.Module | None:
    """The part of the cortex that bears the name of an area, if there is one."""
    return next((part for name, part in cortex.named_modules() if name.rsplit(".", 1)[-1] == area), None)


def _learning(cortex: AbstractCortex) -> AbstractCortex:
    """The cortex in the mode in which it learns, but parts that refuse (frozen early areas); values are not copied.

    Whoever looks has it in the other mode, in which no statistics are gathered.
    """
    own = {id(value): value for value in (*cortex.parameters(), *cortex.buffers())}
    return copy.deepcopy(cortex, own).train()


def _changing(part: torch.nn.Module) -> set[int]:
    """Plastic synapses of a part, and what in it gathers statistics of its batches, by identity."""
    gathers = {id(m) for m in part.modules() if isinstance(m, _NormBase) and m.training and m.track_running_stats}
    return gathers | {id(value) for value in part.parameters() if value.requires_grad}


def plastic_reentry(brain: Brain) -> bool:
    """Whether synapses onto the re-entry area or below it, or statistics there, can change."""
    return not stands(brain.cortex, brain.cortex.reentry)


def stands(cortex: AbstractCortex, area: str) -> bool:
    """Whether what a stimulus evokes in an area is the same for life: nothing at it or below it can change.

    Neither synapses nor the statistics that normalisation gathers while animals learn. Whatever bears the name of no
    area may act on any.
    """
    if area == cortex.areas[0]:
        return True
    learner = _learning(cortex)
    parts = {name: part for name in cortex.areas[1:] if (part := _part(learner, name)) is not None}
    below = set(cortex.areas[1 : cortex.areas.index(area) + 1])
    if below - parts.keys():
        return not _changing(learner)
    at_areas = {name: _changing(part) for name, part in parts.items()}
    above = {one for name, some in at_areas.items() if name not in below for one in some}
    at_or_below = {one for name, some in at_areas.items() if name in below for one in some}
    return not (at_or_below | (_changing(learner) - above))
