"""Experience: which trials an animal meets at every step, and the chance that goes with them.

Everything is drawn before it is needed and per animal, from streams that begin anew in every context: an index table
for the trials of a context, and noise in blocks of steps. All draws are made on the CPU, whatever the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import rng
from .brain import BrainPlan
from .errors import SettingError
from .learning import Learning, Trials
from .protocol import Curriculum, SplitProtocol
from .replay import Cues, ReplayRound, draw_cues

EXPERIENCES = ("sequential", "joint")
BLOCK = 32  # steps whose noise is drawn at a time


def shuffled_epochs(stimuli: np.ndarray, steps: int, batch: int, chance: np.random.Generator) -> np.ndarray:
    """Stimuli of every step, (step, trial).

    Shuffled epochs without replacement; the last incomplete batch of an epoch is dropped and the last epoch is cut.
    Where a context has fewer stimuli than a batch, shuffled epochs follow one another without a break.
    """
    n = len(stimuli)
    per_epoch = n // batch
    if per_epoch == 0:
        epochs = -(-steps * batch // n)
        return np.concatenate([chance.permutation(stimuli) for _ in range(epochs)])[: steps * batch].reshape(
            steps, batch
        )
    table = np.empty((steps, batch), dtype=np.int64)
    for start in range(0, steps, per_epoch):
        rows = min(per_epoch, steps - start)
        table[start : start + rows] = chance.permutation(stimuli)[: rows * batch].reshape(rows, batch)
    return table


class Presentation(NamedTuple):
    """Stimuli as they are presented, shared by all animals of a cohort."""

    stimuli: Tensor
    """As stored, ``uint8`` or ``float32``, (stimulus, ...)."""
    scale: float
    """Stored value that stands for intensity 1."""
    dtype: torch.dtype

    def show(self, index: Tensor) -> Tensor:
        """Stimuli with these indices, scaled, (..., stimulus shape)."""
        return self.stimuli[index].to(self.dtype) / self.scale


class ContextPlan(NamedTuple):
    """Everything drawn before a context begins."""

    stimulus: Tensor
    """Index of the training stimulus, (animal, step, trial)."""
    target: Tensor
    """Right readout unit, (animal, step, trial)."""
    gate: Tensor
    """Gate of the feedback pathway, (animal, step, trial)."""
    answers: Tensor
    """Readout units that compete, (trial or 1, answer)."""

    def trials(self, step: int, presentation: Presentation) -> Trials:
        """The batch of one step, with a leading animal axis."""
        return Trials(presentation.show(self.stimulus[:, step]), self.target[:, step], self.gate[:, step])


def plan_context(
    protocol: SplitProtocol,
    brain: BrainPlan,
    curricula: Sequence[Curriculum],
    seeds: Sequence[int],
    learning: Learning,
    context: int,
    experience: str,
) -> ContextPlan:
    """Draw the trials of a context (counted from 0) for every animal of a cohort.

    With ``experience="joint"`` trials come from all contexts so far: pooled, or in the task scenario
    ``ceil(batch / contexts)`` from each, judged within it.
    """
    tables, row_context = [], None
    for curriculum, seed in zip(curricula, seeds, strict=True):
        if experience == "sequential":
            chance = rng.stream(seed, f"context {context}/trials")
            tables.append(shuffled_epochs(curriculum.train[context], learning.steps, learning.batch, chance))
            continue
        parts, each = list(curriculum.train[: context + 1]), -(-learning.batch // (context + 1))
        if protocol.scenario == "task":
            row_context = np.arange(context + 1).repeat(each)
        else:
            parts, each = [np.concatenate(parts)], learning.batch
        chances = [rng.stream(seed, f"context {context}/trials of {i}") for i in range(len(parts))]
        drawn = [shuffled_epochs(p, learning.steps, each, c) for p, c in zip(parts, chances, strict=True)]
        tables.append(np.concatenate(drawn, axis=1))
    stimulus = np.stack(tables)
    position = np.stack([c.train_position[t] for c, t in zip(curricula, stimulus, strict=True)])
    of_context = np.searchsorted(np.asarray(protocol.first_classes), position, side="right") - 1
    target = protocol.target(position, of_context)
    return ContextPlan(
        torch.from_numpy(stimulus),
        torch.from_numpy(target),
        torch.from_numpy(_gate(protocol, brain, target, of_context)),
        torch.from_numpy(_answers(protocol, context, row_context)),
    )


def _answers(protocol: SplitProtocol, context: int, row_context: np.ndarray | None) -> np.ndarray:
    contexts = [context] if row_context is None else row_context.tolist()
    return np.stack([protocol.answers(protocol.rule, c, context + 1) for c in contexts])


def _gate(protocol: SplitProtocol, brain: BrainPlan, target: np.ndarray, context: np.ndarray) -> np.ndarray:
    if brain.gating is None:
        return np.zeros_like(target)
    if brain.gating.by == "context":
        return context
    if brain.gating.faithful and protocol.scenario == "task":
        return target - np.asarray(protocol.first_classes)[context]
    return target


class Chance:
    """Noise of the codes and cues of replay, for one context and all animals, in blocks of steps.

    Parameters
    ----------
    seeds
        The animals.
    context
        Counted from 0.
    trials
        Current trials per step.
    plan
        What is replayed, or None.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        context: int,
        protocol: SplitProtocol,
        brain: BrainPlan,
        trials: int,
        plan: ReplayRound | None,
    ) -> None:
        self.context, self.protocol, self.brain, self.plan, self.trials = context, protocol, brain, plan, trials
        names = ("current", "replayed", "cue", "class", "mode", "context")
        self.streams = [{name: rng.stream(s, f"context {context}/{name}") for name in names} for s in seeds]
        self._noise = torch.empty(0)
        self._cues = Cues(*[torch.empty(0)] * 4)

    def noise(self, step: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Noise of the codes at a step (steps must be asked for in order), (animal, row, code_unit)."""
        if step % BLOCK == 0:
            self._draw(device, dtype)
        return self._noise[:, step % BLOCK]

    def cues(self, step: int) -> Cues:
        """Cues of a step; after :meth:`noise` of the same step."""
        return Cues(*(part[:, step % BLOCK] for part in self._cues))

    def _draw(self, device: torch.device, dtype: torch.dtype) -> None:
        if self.brain.hippocampus is None:
            self._noise = torch.zeros(len(self.streams), BLOCK, 0, device=device, dtype=dtype)
            return
        units = self.brain.hippocampus.code_units
        noise = [self._normal(s["current"], self.trials, units) for s in self.streams]
        if self.plan is not None:
            rows = len(self.plan.row_event)
            replayed = [self._normal(s["replayed"], rows, units) for s in self.streams]
            noise = [np.concatenate(pair, axis=1) for pair in zip(noise, replayed, strict=True)]
            self._draw_cues(units, device, dtype)
        self._noise = torch.from_numpy(np.stack(noise)).to(device, dtype)

    def _draw_cues(self, units: int, device: torch.device, dtype: torch.dtype) -> None:
        assert self.plan is not None
        per_class = 1 if self.brain.modes is None else self.brain.modes.per_class
        drawn = [draw_cues(self.protocol, self.plan, self.context, BLOCK, per_class, s) for s in self.streams]
        codes = np.stack([self._normal(s["cue"], self.plan.events, units) for s in self.streams])
        cls, mode, where = (torch.from_numpy(np.stack(part)).to(device) for part in zip(*drawn, strict=True))
        self._cues = Cues(cls, mode, where, torch.from_numpy(codes).to(device, dtype))

    @staticmethod
    def _normal(chance: np.random.Generator, rows: int, units: int) -> np.ndarray:
        return chance.standard_normal((BLOCK, rows, units), dtype=np.float32)


def check_experience(experience: str, replay: object) -> None:
    """Raise :class:`SettingError` for an unknown kind of experience, or replay where nothing can be forgotten."""
    if experience not in EXPERIENCES:
        raise SettingError("simulate", "experience", experience, "one of 'sequential', 'joint'")
    if experience == "joint" and replay is not None:
        raise SettingError(
            "simulate", "replay", replay, "left out with joint experience: all contexts so far are met again anyway"
        )
