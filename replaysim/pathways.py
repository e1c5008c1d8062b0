"""Pathways: which layers lead from a code down to the re-entry area of a given cortex."""

from __future__ import annotations

from .cortex import RETINA, AbstractCortex
from .descending import DescendingAreas
from .feedback import Feedback
from .hippocampus import AbstractHippocampus, StandAloneHippocampus
from .visual_cortex import VisualCortex


def feedback_units(cortex: AbstractCortex, hippocampus: AbstractHippocampus) -> tuple[int, ...]:
    """Units of the gated feedback layers, from the top down.

    They mirror the association areas that lie between the hippocampus and the re-entry area: those of the cortex, or
    those that a stand-alone hippocampus has for itself. Retinotopic areas have ungated counterparts, see
    :func:`grow_feedback`.
    """
    climbed, start = cortex, cortex.reentry
    if isinstance(hippocampus, StandAloneHippocampus):
        climbed, start = hippocampus.areas, RETINA
    above = climbed.areas[climbed.areas.index(start) + 1 :]
    retinotopic = climbed.early.areas if isinstance(climbed, VisualCortex) else ()
    return tuple(climbed.sizes[area] for area in reversed(above) if area not in retinotopic)


def grow_feedback(
    cortex: AbstractCortex, hippocampus: AbstractHippocampus, reconstruction: str, gain: str = "ones"
) -> Feedback:
    """The feedback pathway of a cortex; initial synapses come from torch's current random state.

    Fully connected layers lead down to the re-entry area or, where that is a retinotopic area below the highest one,
    to the highest, from which transposed convolutions lead further down; ``gain`` says how the gains of their
    normalisation begin.
    """
    units, target = feedback_units(cortex, hippocampus), cortex.reentry
    outputs, nonlinearity = cortex.sizes[target], cortex.nonlinearities.get(target, "none")
    if isinstance(cortex, VisualCortex) and target in cortex.early.areas[:-1]:
        early = cortex.early
        passed = early.areas[early.areas.index(target) :]
        descending = DescendingAreas([early.shapes[area] for area in reversed(passed)], gain=gain)
        code_units, outputs = hippocampus.code_units, early.sizes[early.top]
        return Feedback(code_units, units, outputs, reconstruction, nonlinearity, descending)
    return Feedback(hippocampus.code_units, units, outputs, reconstruction, nonlinearity)
