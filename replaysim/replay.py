"""Systems consolidation: what is re-experienced while something new is learned.

A replay mechanism makes *events*: activity at the re-entry area together with what the earlier self thinks of it. It
knows neither losses nor synaptic consolidation. Without one, nothing is replayed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from .brain import Brain
from .errors import SettingError, check_choice, check_number
from .objectives import belief, competing, one_hot
from .protocol import SplitProtocol

TARGETS = ("soft", "hard")


@dataclass(frozen=True)
class GenerativeReplay:
    r"""Memories re-created through the feedback pathway of the earlier self, and judged by it.

    In the brain, hippocampal activity during rest re-evokes cortical patterns of past experience. In the model, every
    step of learning is accompanied by a batch of events: a class is drawn uniformly from those met before, a code
    from its memory mode, and the frozen copy made at the end of the last context sends it down to the re-entry area;
    the copy's decision on what came out, not the class that was asked for, becomes the target.

    Parameters
    ----------
    targets
        ``"soft"``: the earlier self's tempered probabilities (distillation); ``"hard"``: its decision.
    temperature
        :math:`\tau` of the soft targets (the paper: 2).
    batch
        Events per step; default: as many as current trials.
    """

    targets: str = "soft"
    temperature: float = 2.0
    batch: int | None = None

    def __post_init__(self) -> None:
        check_choice("GenerativeReplay", "targets", self.targets, TARGETS)
        check_number("GenerativeReplay", "temperature", self.temperature, above=0)
        if self.batch is not None:
            check_number("GenerativeReplay", "batch", self.batch, least=1, whole=True)

    def check(self, brain: Brain) -> None:
        """Raise :class:`SettingError` where the brain cannot replay."""
        if brain.hippocampus is None:
            raise SettingError(
                "simulate",
                "replay",
                "GenerativeReplay",
                "left out: a plain classifier has no feedback to replay through",
            )


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


class Events(NamedTuple):
    """What came back; one animal. Rows may repeat an event that is judged within several contexts."""

    code: Tensor
    """(event, code_unit)"""
    activity: Tensor
    """At the re-entry area, (row, unit)."""
    logits: Tensor
    """Readout of the earlier self, (row, answer)."""
    soft_target: Tensor
    """Its tempered probabilities, (row, answer)."""
    decision: Tensor
    """Its decision, (row,)."""
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


def plan_round(protocol: SplitProtocol, learned: int, batch: int, *, cued: bool) -> ReplayRound:
    """What is replayed in a context after ``learned`` earlier ones.

    In the task scenario a brain that can ask for a class or context replays ``ceil(batch / learned)`` events of every
    earlier context, each judged within it; a brain that cannot replays ``batch`` events, each judged within every
    earlier context.

    Parameters
    ----------
    cued
        Whether class modes or gates let the animal ask for something.
    """
    if protocol.scenario == "task":
        each = -(-batch // learned) if cued else batch
        events = each * learned if cued else batch
        row_context = torch.arange(learned).repeat_interleave(each)
        row_event = torch.arange(each * learned) % events
        within = np.stack([protocol.answers("within_context", c, learned) for c in row_context.tolist()])
        answers = torch.from_numpy(within)
        return ReplayRound(events, row_event, row_context, answers, answers)
    row = torch.arange(batch)
    teacher = torch.from_numpy(protocol.answers(protocol.rule, 0, learned))[None]
    learner = torch.from_numpy(protocol.answers(protocol.rule, 0, learned + 1))[None]
    return ReplayRound(batch, row, torch.full_like(row, -1), teacher, learner)


class CueDraws(NamedTuple):
    """Cues of many steps, as drawn; arrays (step, event)."""

    cued_class: np.ndarray
    cued_mode: np.ndarray
    cued_context: np.ndarray


def draw_cues(
    protocol: SplitProtocol,
    plan: ReplayRound,
    learned: int,
    steps: int,
    per_class: int,
    chance: dict[str, np.random.Generator],
) -> CueDraws:
    """Draw what is asked for: classes uniformly from those met before, contexts uniformly from the earlier ones.

    Parameters
    ----------
    per_class
        Modes of a class.
    chance
        Streams ``"class"``, ``"mode"`` and ``"context"`` of the animal.
    """
    first = np.asarray(protocol.first_classes)
    shape = (steps, plan.events)
    if protocol.scenario == "domain":
        contexts = chance["context"].integers(learned, size=shape)
        classes = np.floor(chance["class"].random(shape) * np.asarray(protocol.class_counts)[contexts]).astype(np.int64)
    elif protocol.scenario == "task" and plan.events == len(plan.row_event):
        contexts = np.broadcast_to(plan.row_context.numpy(), shape)
        counts = np.asarray(protocol.class_counts)[contexts]
        classes = first[contexts] + np.floor(chance["class"].random(shape) * counts).astype(np.int64)
    else:
        classes = chance["class"].integers(first[learned], size=shape)
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
        if repeated:
            activity, logits = activity[row_event], logits[row_event]
        return Events(
            code,
            activity,
            logits,
            belief(logits, teacher_answers, self.temperature),
            competing(logits, teacher_answers).argmax(-1),
            context,
        )
