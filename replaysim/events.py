"""Replay events: what is asked of the earlier self, what comes back, and what it makes of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .brain import Brain
from .objectives import belief, competing, one_hot
from .protocol import AbstractProtocol


class Cues(NamedTuple):
    """What is asked of the earlier self; one animal."""

    cued_class: Tensor
    """Index of the class's memory mode(s), (event,)."""
    cued_mode: Tensor
    """Index of the mode, (event,)."""
    cued_context: Tensor
    """Context from 0, (event,)."""
    noise: Tensor
    """Standard normal, (event, code_unit)."""


class Episodes(NamedTuple):
    """Stimuli that are met again; one animal."""

    activity: Tensor
    """At the area where stimuli are presented, (event, ...)."""
    target: Tensor
    """Readout unit that is right, (event,)."""
    context: Tensor
    """Context from 0, (event,)."""


class Events(NamedTuple):
    """What came back; one animal. An event may be judged in several rows, each within another context."""

    code: Tensor
    """(event, code_unit); no units where nothing was recalled."""
    activity: Tensor
    """At the area where it enters the cortex, (event, unit)."""
    cued_class: Tensor
    """Class that was asked for, or that the stored stimulus has, (event,)."""
    logits: Tensor
    """Readout of the earlier self, (row, answer)."""
    soft_target: Tensor
    """Its tempered probabilities, (row, answer)."""
    decision: Tensor
    """Its decision or, of a stored stimulus with hard targets, what the stimulus was, (row,)."""
    gate: Tensor
    """Context of each row, (row,)."""


class ReplayRound(NamedTuple):
    """What may be replayed while one context is learned; the same for all animals of a cohort."""

    events: int
    """Events per step."""
    row_event: Tensor
    """Event that stands in each row, (row,)."""
    row_context: Tensor
    """Context within which a row is judged, -1 where that is not fixed, (row,)."""
    teacher_answers: Tensor
    """Readout units that compete in the earlier self, (row or 1, answer)."""
    learner_answers: Tensor
    """The same for the learner, (row or 1, answer)."""
    groups: tuple[int, ...]
    """Numbers of successive events that a part whose normalisation looks at its batch meets separately."""

    @property
    def repeated(self) -> bool:
        """Whether an event is judged in several rows."""
        return len(self.row_event) != self.events

    def to(self, device: torch.device) -> ReplayRound:
        """The same on another device."""
        row_event, row_context, teacher, learner = (part.to(device) for part in self[1:5])
        return ReplayRound(self.events, row_event, row_context, teacher, learner, self.groups)


def plan_round(protocol: AbstractProtocol, learned: int, batch: int, *, cued: bool) -> ReplayRound:
    """What is replayed in a context after ``learned`` earlier ones.

    In the task scenario ``ceil(batch / learned)`` events of every earlier context are replayed, each judged within it,
    if the animal can ask for a class or a context; if it cannot, ``batch`` events, each judged within every earlier
    context.

    Parameters
    ----------
    cued
        Whether the context of an event is known: class modes or gates let the animal ask for something, or the event
        is a stored one.
    """
    if protocol.scenario == "task":
        each = -(-batch // learned) if cued else batch
        events = each * learned if cued else batch
        row_context = torch.arange(learned).repeat_interleave(each)
        row_event = torch.arange(each * learned) % events
        within = np.stack([protocol.answers("within_context", c, learned) for c in row_context.tolist()])
        answers = torch.from_numpy(within)
        groups = (each,) * learned if cued else (events,)
        return ReplayRound(events, row_event, row_context, answers, answers, groups)
    row = torch.arange(batch)
    teacher = torch.from_numpy(protocol.answers(protocol.rule, 0, learned))[None]
    learner = torch.from_numpy(protocol.answers(protocol.rule, 0, learned + 1))[None]
    return ReplayRound(batch, row, torch.full_like(row, -1), teacher, learner, (batch,))


class CueDraws(NamedTuple):
    """Cues of many steps, as drawn; arrays (step, event)."""

    cued_class: np.ndarray
    cued_mode: np.ndarray
    cued_context: np.ndarray


def draw_cues(
    protocol: AbstractProtocol,
    plan: ReplayRound,
    learned: int,
    steps: int,
    per_class: int,
    chance: dict[str, np.random.Generator],
    *,
    faithful: bool = False,
    priority: np.ndarray | None = None,
) -> CueDraws:
    """Draw what is asked for: classes uniformly from those met before, contexts uniformly from the earlier ones.

    Parameters
    ----------
    per_class
        Modes of a class.
    chance
        Streams ``"class"``, ``"mode"`` and ``"context"`` of the animal.
    faithful
        Repeat a slip that the published code had until 2021: in the domain scenario the context that is just being
        learned, through whose gates nothing has been learned yet, is drawn like the earlier ones.
    priority
        How often each class of a context is drawn, relative to those of others, (context,); in the domain scenario,
        where classes of all contexts share their units, each context. None: all alike. Not in the task scenario.
    """
    first = np.asarray(protocol.first_classes)
    shape = (steps, plan.events)
    if protocol.scenario == "domain":
        if priority is None:
            contexts = chance["context"].integers(learned + faithful, size=shape)
        else:
            contexts = chance["context"].choice(learned, size=shape, p=priority / priority.sum())
        classes = np.floor(chance["class"].random(shape) * np.asarray(protocol.class_counts)[contexts]).astype(np.int64)
    elif protocol.scenario == "task" and not plan.repeated:
        contexts = np.broadcast_to(np.arange(learned).repeat(plan.events // learned), shape)
        counts = np.asarray(protocol.class_counts)[contexts]
        classes = first[contexts] + np.floor(chance["class"].random(shape) * counts).astype(np.int64)
    else:
        if priority is None:
            classes = chance["class"].integers(first[learned], size=shape)
        else:
            each = priority.repeat(np.diff(first[: learned + 1]))
            classes = chance["class"].choice(len(each), size=shape, p=each / each.sum())
        contexts = np.searchsorted(first, classes, side="right") - 1
    modes = classes * per_class + (chance["mode"].integers(per_class, size=shape) if per_class > 1 else 0)
    return CueDraws(classes, modes, contexts)


class Reactivation(nn.Module):
    """Recall and judgement of one animal's earlier self, as one forward pass.

    Parameters
    ----------
    brain
        The brain whose parts are used.
    temperature
        Of the soft targets.
    """

    def __init__(self, brain: Brain, temperature: float) -> None:
        super().__init__()
        self.brain = brain
        self.temperature = temperature

    def forward(
        self, cues: Cues, row_event: Tensor, row_context: Tensor, teacher_answers: Tensor, *, repeated: bool
    ) -> Events:
        """Events that answer the cues; the other arguments are those of :class:`ReplayRound`.

        The output of the feedback pathway is the replayed activity itself: no observation noise is added.
        """
        brain = self.brain
        code = cues.noise
        if brain.modes is not None:
            code = brain.modes.draw(one_hot(cues.cued_mode, brain.modes.mean.shape[0], cues.noise.dtype), cues.noise)
        weight = None
        if brain.gates is not None and brain.plan.gating is not None:
            gate = cues.cued_class if brain.plan.gating.by == "class" else cues.cued_context
            weight = one_hot(gate, brain.plan.n_gates, cues.noise.dtype)
        activity = brain.recreate(code, weight)
        logits = brain.readout(brain.re_experience(activity)[brain.top])
        context = torch.where(row_context < 0, cues.cued_context[row_event], row_context)
        judged = _judge(logits, row_event if repeated else None, teacher_answers, self.temperature)
        return Events(code, activity, cues.cued_class, *judged, context)


class Appraisal(nn.Module):
    """What one animal's earlier self makes of stimuli that are met again.

    Parameters
    ----------
    brain
        The brain whose parts are used.
    temperature
        Of the soft targets.
    area
        Where stimuli are presented.
    known
        Whether what a stimulus was is known, and is the target.
    """

    def __init__(self, brain: Brain, temperature: float, area: str, *, known: bool) -> None:
        super().__init__()
        self.brain = brain
        self.temperature, self.area, self.known = temperature, area, known

    def forward(
        self, met: Episodes, row_event: Tensor, row_context: Tensor, teacher_answers: Tensor, *, repeated: bool
    ) -> Events:
        """Events made of the episodes; the other arguments are those of :class:`ReplayRound`."""
        brain = self.brain
        nothing = brain.readout.weight.new_zeros(met.target.shape[0], 0)
        context = torch.where(row_context < 0, met.context[row_event], row_context)
        target = met.target[row_event] if repeated else met.target
        if self.known:
            certain = one_hot(target, brain.plan.answers, nothing.dtype)
            return Events(nothing, met.activity, met.target, certain, certain, target, context)
        logits = brain.readout(brain.climb(met.activity, self.area)[brain.top])
        judged = _judge(logits, row_event if repeated else None, teacher_answers, self.temperature)
        return Events(nothing, met.activity, met.target, *judged, context)


def _judge(
    logits: Tensor, row_event: Tensor | None, answers: Tensor, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, tempered probabilities and decision of every row; rows are the events unless ``row_event`` says which."""
    rows = logits if row_event is None else logits[row_event]
    return rows, belief(rows, answers, temperature), competing(rows, answers).argmax(-1)
