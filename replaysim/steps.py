"""A step: what a cohort meets between two weight updates, and what it makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from . import repetition
from .cohort import Cohort
from .events import Cues, Episodes, Events, ReplayRound
from .learning import Trials
from .products import layers_in


class Encounter(NamedTuple):
    """What all animals meet at one step; every tensor has a leading animal axis."""

    trials: Trials
    noise: Tensor
    """Of the codes, (animal, row, code_unit)."""
    again: Cues | Episodes | None = None
    """Cues of recall, or stored episodes; None where nothing or the current trials are replayed."""


class Learned(NamedTuple):
    """What a step leaves besides changed synapses. The next one may overwrite it: whoever keeps it copies it."""

    losses: Tensor
    """Before the update, (animal, component)."""
    events: Events | None
    """What was replayed."""


Update = Callable[[Encounter], Learned]
"""One weight update."""


def update(
    cohort: Cohort,
    answers: Tensor,
    groups: tuple[int, ...],
    plan: ReplayRound | None,
    share: float,
    precision: str = "float32",
    *,
    repeat: bool = True,
) -> Update:
    """How the animals learn from what they meet in one context.

    Parameters
    ----------
    cohort
        The animals.
    answers, groups
        See :meth:`~replaysim.cohort.Cohort.learn`.
    plan
        What is replayed, or None.
    share
        Weight of current experience.
    precision
        In which layers multiply.
    repeat
        Whether a CUDA device may repeat it by itself (:mod:`replaysim.repetition`), which changes nothing but the time.
    """

    def once(met: Encounter) -> Learned:
        trials, events = met.trials, None
        with layers_in(precision):  # and not around what is recorded
            if plan is not None and isinstance(met.again, Cues):
                events = cohort.reactivate(met.again, plan)
            elif plan is not None:
                current = Episodes(trials.stimulus, trials.target, trials.context)
                events = cohort.appraise(met.again if isinstance(met.again, Episodes) else current, plan)
            return Learned(cohort.learn(trials, answers, met.noise, events, plan, share, groups), events)

    return repetition.on_gpu(once, cohort.device) if repeat and repeatable(cohort) else once


def repeatable(cohort: Cohort) -> bool:
    """Whether the device can repeat steps, and all that is done at a step is the same every time.

    Parts of a user's own (a rule, a cortex or what it is made of) have to say so by a class attribute
    ``repeatable = True`` in the very class, not in one above it: whoever inherits may do something else.
    """
    if cohort.device.type != "cuda" or not torch.cuda.is_available():
        return False
    rule = () if cohort.consolidation is None else (cohort.consolidation,)
    return all(_is_known(type(part)) for part in (*rule, *cohort.template.modules()))


def _is_known(part: type) -> bool:
    return part.__module__.partition(".")[0] in ("replaysim", "torch") or bool(vars(part).get("repeatable", False))
