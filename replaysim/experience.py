"""Experience: which trials an animal meets at every step, and the chance that goes with them.

Everything is drawn before it is needed and per animal, from streams that begin anew in every context: an index table
for the trials of a context, and noise in blocks of steps. All draws are made on the CPU, whatever the device.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from . import rng
from .brain import BrainPlan
from .errors import SettingError, one_of
from .events import CueDraws, Cues, Episodes, ReplayRound, draw_cues
from .learning import Learning, Trials
from .presentation import Presentation
from .protocol import AbstractProtocol, Curriculum

EXPERIENCES = ("sequential", "joint", "last")
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


class ContextPlan(NamedTuple):
    """Everything drawn before a context begins."""

    stimulus: Tensor
    """Index of the training stimulus, (animal, step, trial)."""
    target: Tensor
    """Right readout unit, (animal, step, trial)."""
    gate: Tensor
    """Gate of the feedback pathway, (animal, step, trial)."""
    context: Tensor
    """Context from 0, (animal, step, trial)."""
    answers: Tensor
    """Readout units that compete, (trial or 1, answer)."""
    groups: tuple[int, ...]
    """Numbers of successive trials that a part whose normalisation looks at its batch meets separately."""

    def trials(self, step: int, presentation: Presentation) -> Trials:
        """The batch of one step, with a leading animal axis."""
        index, target, gate, context = (part[:, step] for part in self[:4])
        return Trials(presentation.show_each(index, context), target, gate, context)

    def episodes(self, step: int, presentation: Presentation) -> Episodes:
        """The same as stimuli that are met again."""
        index, target, _gate, context = (part[:, step] for part in self[:4])
        return Episodes(presentation.show_each(index, context), target, context)

    def to(self, device: torch.device) -> ContextPlan:
        """The same on another device."""
        stimulus, target, gate, context, answers = (part.to(device) for part in self[:5])
        return ContextPlan(stimulus, target, gate, context, answers, self.groups)


def plan_context(
    protocol: AbstractProtocol,
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
    count = len(protocol.stimuli.train)
    apart = experience == "joint" and protocol.scenario == "task"
    each = -(-learning.batch // (context + 1)) if apart else learning.batch
    tables = []
    for curriculum, seed in zip(curricula, seeds, strict=True):
        # a trial is a stimulus in a context: one number for both, so that contexts can share their stimuli
        pools = [curriculum.train[c] + c * count for c in range(context + 1)]
        if experience != "joint":
            chance = rng.stream(seed, f"context {context}/trials")
            tables.append(shuffled_epochs(pools[context], learning.steps, learning.batch, chance))
            continue
        parts = pools if apart else [np.concatenate(pools)]
        chances = [rng.stream(seed, f"context {context}/trials of {i}") for i in range(len(parts))]
        drawn = [shuffled_epochs(p, learning.steps, each, c) for p, c in zip(parts, chances, strict=True)]
        tables.append(np.concatenate(drawn, axis=1))
    of_context, stimulus = np.divmod(np.stack(tables), count)
    row_context = np.arange(context + 1).repeat(each) if apart else None
    groups = (each,) * (context + 1) if apart else (learning.batch,)
    return describe_trials(
        protocol, brain, curricula, stimulus, of_context, _answers(protocol, context, row_context), groups
    )


def describe_trials(
    protocol: AbstractProtocol,
    brain: BrainPlan,
    curricula: Sequence[Curriculum],
    stimulus: np.ndarray,
    context: np.ndarray,
    answers: np.ndarray,
    groups: tuple[int, ...],
) -> ContextPlan:
    """What is right, and through which gates, for stimuli in contexts; arrays (animal, step, trial)."""
    position = np.stack([c.train_position[t] for c, t in zip(curricula, stimulus, strict=True)])
    target = protocol.target(position, context)
    arrays = (stimulus, target, gates_of(protocol, brain, target, context), context, answers)
    tensors = [torch.from_numpy(np.ascontiguousarray(a)) for a in arrays]
    return ContextPlan(tensors[0], tensors[1], tensors[2], tensors[3], tensors[4], groups)


def _answers(protocol: AbstractProtocol, context: int, row_context: np.ndarray | None) -> np.ndarray:
    contexts = [context] if row_context is None else row_context.tolist()
    return np.stack([protocol.answers(protocol.rule, c, context + 1) for c in contexts])


def gates_of(protocol: AbstractProtocol, brain: BrainPlan, target: np.ndarray, context: np.ndarray) -> np.ndarray:
    """Gates that trials of these answers and contexts pass on their way down; all 0 where there are none."""
    if brain.gating is None:
        return np.zeros_like(target)
    if brain.gating.by == "context":
        return context
    if brain.gating.faithful and protocol.scenario == "task":
        return target - np.asarray(protocol.first_classes)[context]
    return target


class Block(NamedTuple):
    """What all animals' streams give for a block of steps."""

    normal: dict[str, Tensor]
    """Stream to standard normal noise, (animal, step, row, code_unit), on the CPU."""
    asked: list[Future[CueDraws | None]]
    """What each animal asks for, where replay is recalled upon cues; the noise is there when this is."""


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
    recalled
        Whether what is replayed is recalled upon cues.
    ahead
        Whether other threads draw the next block while this one is used: for a device that leaves the CPU idle. Every
        stream belongs to one animal, so that the draws are the same.
    priority
        How often classes of each context are recalled, relative to others (:func:`replaysim.events.draw_cues`).
    """

    def __init__(
        self,
        seeds: Sequence[int],
        context: int,
        protocol: AbstractProtocol,
        brain: BrainPlan,
        trials: int,
        plan: ReplayRound | None,
        *,
        recalled: bool = True,
        ahead: bool = False,
        priority: np.ndarray | None = None,
    ) -> None:
        self.recalled, self.priority = recalled, priority
        self.context, self.protocol, self.brain, self.plan, self.trials = context, protocol, brain, plan, trials
        names = ("current", "replayed", "cue", "class", "mode", "context")
        self.streams = [{name: rng.stream(s, f"context {context}/{name}") for name in names} for s in seeds]
        self._noise = torch.empty(0)
        self._cues = Cues(*[torch.empty(0)] * 4)
        events = 0 if plan is None else plan.events
        rows = {"current": trials, "replayed": events, "cue": events if recalled else 0}
        self._rows = {name: many for name, many in rows.items() if many and brain.hippocampus is not None}
        several = min(len(self.streams), os.cpu_count() or 1)
        self._others = ThreadPoolExecutor(several) if ahead and self._rows else None
        self._coming: Block | None = None

    def __enter__(self) -> Chance:
        return self

    def __exit__(self, *_: object) -> None:
        if self._others is not None:
            self._others.shutdown(cancel_futures=True)  # nobody writes to what is given back

    def noise(self, step: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Noise of the codes at a step (steps must be asked for in order), (animal, row, code_unit)."""
        if step % BLOCK == 0:
            self._take(device, dtype)
        return self._noise[:, step % BLOCK]

    def cues(self, step: int) -> Cues:
        """Cues of a step; after :meth:`noise` of the same step."""
        return Cues(*(part[:, step % BLOCK] for part in self._cues))

    def _take(self, device: torch.device, dtype: torch.dtype) -> None:
        """Put the next block where the animals are."""
        if not self._rows:
            self._noise = torch.zeros(len(self.streams), BLOCK, 0, device=device, dtype=dtype)
            return
        block = self._coming or self._begin(device)
        asked = [each for each in (draws.result() for draws in block.asked) if each is not None]
        self._coming = None if self._others is None else self._begin(device)
        there = {name: own.to(device, dtype, non_blocking=device.type == "cuda") for name, own in block.normal.items()}
        codes = [there[name] for name in ("current", "replayed") if name in there]
        self._noise = torch.cat(codes, dim=2) if len(codes) > 1 else codes[0]
        if asked:
            cls, mode, where = (torch.from_numpy(np.stack(part)).to(device) for part in zip(*asked, strict=True))
            self._cues = Cues(cls, mode, where, there["cue"])

    def _begin(self, device: torch.device) -> Block:
        """Have the next block drawn, by other threads if there are any."""
        locked = device.type == "cuda" and torch.cuda.is_available()  # a GPU fetches from it while it computes
        like: dict[str, Any] = {"dtype": torch.float32, "pin_memory": locked}
        shape, units = (len(self.streams), BLOCK), self.brain.hippocampus.code_units  # type: ignore[union-attr]
        normal = {name: torch.empty(*shape, many, units, **like) for name, many in self._rows.items()}
        arrays = {name: own.numpy() for name, own in normal.items()}
        asked: list[Future[CueDraws | None]] = []
        for a in range(len(self.streams)):
            own = {name: array[a] for name, array in arrays.items()}
            if self._others is not None:
                asked.append(self._others.submit(self._draw, self.streams[a], own))
                continue
            asked.append(Future())
            asked[-1].set_result(self._draw(self.streams[a], own))
        return Block(normal, asked)

    def _draw(self, streams: dict[str, np.random.Generator], normal: dict[str, np.ndarray]) -> CueDraws | None:
        """Fill in the next block of one animal, and say what it asks for."""
        for name, array in normal.items():
            streams[name].standard_normal(dtype=np.float32, out=array)
        if "cue" not in normal or self.plan is None:
            return None
        per_class = 1 if self.brain.modes is None else self.brain.modes.per_class
        how: dict[str, Any] = {"faithful": self.brain.gating is not None and self.brain.gating.faithful}
        how["priority"] = self.priority
        return draw_cues(self.protocol, self.plan, self.context, BLOCK, per_class, streams, **how)


def check_experience(experience: str, replay: object) -> None:
    """Raise :class:`SettingError` for an unknown kind of experience, or replay where nothing can be forgotten."""
    if experience not in EXPERIENCES:
        raise SettingError("simulate", "experience", experience, one_of(EXPERIENCES))
    if experience == "joint" and replay is not None:
        raise SettingError(
            "simulate", "replay", replay, "left out with joint experience: all contexts so far are met again anyway"
        )
    if experience == "last" and replay is not None:
        raise SettingError(
            "simulate", "replay", replay, "left out with experience of the last context only: nothing was met before"
        )
