"""One cohort's life: contexts follow one another, each is learned, consolidated and tested."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from . import rng
from .brain import BrainPlan
from .cohort import Cohort
from .consolidation import ConsolidationRule
from .experience import Chance, ContextPlan, Presentation, plan_context
from .learning import Learning
from .protocol import Curriculum, SplitProtocol
from .recorder import Electrode
from .recording import Recording, Write
from .replay import GenerativeReplay, ReplayRound, plan_round

Progress = Callable[[int], None]
_REPORT_EVERY = 10  # steps between two words on the progress


@dataclass(frozen=True)
class Condition:
    """Everything that decides how an animal lives, except which animal it is."""

    brain: BrainPlan
    protocol: SplitProtocol
    learning: Learning
    replay: GenerativeReplay | None = None
    consolidation: ConsolidationRule | None = None
    experience: str = "sequential"
    electrodes: tuple[Electrode, ...] = ()
    device: str = "cpu"
    precision: str = "float32"

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the computation."""
        return {"float32": torch.float32, "float64": torch.float64}[self.precision]


class Outcome(NamedTuple):
    """What is left of a cohort's life besides the log."""

    states: dict[int, dict[str, np.ndarray]]
    """State of the trained brain of each animal."""
    identities: dict[int, tuple[int, ...]]
    """Original class at each position of each animal's order."""
    alive: dict[int, bool]
    """Whether all losses of the animal were finite."""


def live(condition: Condition, seeds: tuple[int, ...], write: Write, progress: Progress) -> Outcome:
    """Let a cohort live through the protocol.

    Parameters
    ----------
    condition
        How the animals live.
    seeds
        The animals.
    write
        Takes finished pieces of the log.
    progress
        Called with a number of finished steps now and then.
    """
    protocol, learning = condition.protocol, condition.learning
    curricula, brains = [], []
    for seed in seeds:
        stream = rng.published(seed)
        curricula.append(protocol.curriculum(seed, stream))
        brains.append(condition.brain.grow(seed, stream))
        brains[-1].animal = seed
    cohort = Cohort(
        brains,
        rate=learning.rate,
        replay=condition.replay,
        consolidation=condition.consolidation,
        device=condition.device,
        dtype=condition.dtype,
    )
    train, test = (_present(condition, part) for part in ("train", "test"))
    recording = Recording(condition.electrodes, cohort, protocol, curricula, seeds, learning, test, write)
    recording.naive()
    for context in range(protocol.n_contexts):
        learn_context(condition, cohort, curricula, seeds, context, train, recording, progress)
        competing = torch.from_numpy(protocol.answers(protocol.rule, context, context + 1)).to(cohort.device)
        cohort.consolidate(partial(_fresh_trials, curricula, seeds, context, train), competing)
        if condition.replay is not None:
            cohort.remember_self()
        recording.end_context(context + 1)
        if not recording.alive().any():
            warnings.warn(
                f"no animal of {seeds} has finite losses any more: stopped after context {context + 1}", stacklevel=2
            )
            break
    return _outcome(cohort, curricula, seeds, recording)


def learn_context(
    condition: Condition,
    cohort: Cohort,
    curricula: list[Curriculum],
    seeds: tuple[int, ...],
    context: int,
    stimuli: Presentation,
    recording: Recording,
    progress: Progress,
) -> None:
    """Learn one context (counted from 0), with replay of the earlier ones where there is any."""
    protocol, learning, device = condition.protocol, condition.learning, cohort.device
    given = plan_context(protocol, condition.brain, curricula, seeds, learning, context, condition.experience)
    given = ContextPlan(*(part.to(device) for part in given))
    plan = None
    if condition.replay is not None and context:
        cued = condition.brain.modes is not None or condition.brain.gating is not None
        plan = plan_round(protocol, context, condition.replay.batch or learning.batch, cued=cued)
        plan = ReplayRound(plan.events, *(part.to(device) for part in plan[1:]))
    chance = Chance(seeds, context, protocol, condition.brain, given.target.shape[2], plan)
    recording.begin_context(plan)
    for step in range(learning.steps):
        noise = chance.noise(step, device, cohort.dtype)
        trials = given.trials(step, stimuli)
        cues = events = None
        if plan is not None:
            cues = chance.cues(step)
            events = cohort.reactivate(cues, plan)
        losses = cohort.learn(trials, given.answers, noise, events, plan, 1 / (context + 1))
        recording.step(step, losses, cues, events)
        if (step + 1) % _REPORT_EVERY == 0 or step + 1 == learning.steps:
            progress(step % _REPORT_EVERY + 1)


def _present(condition: Condition, part: str) -> Presentation:
    array = getattr(condition.protocol.stimuli, part)
    with warnings.catch_warnings():  # arrays shared between workers are read-only, and are only read
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        stored = torch.from_numpy(array)
    return Presentation(stored.to(condition.device), condition.protocol.stimuli.scale, condition.dtype)


def _fresh_trials(
    curricula: list[Curriculum], seeds: tuple[int, ...], context: int, stimuli: Presentation, trials: int
) -> list[torch.Tensor]:
    """At most so many training stimuli of the context in an order of their own, for every animal."""
    chosen = []
    for curriculum, seed in zip(curricula, seeds, strict=True):
        order = rng.stream(seed, f"context {context}/consolidation").permutation(curriculum.train[context])[:trials]
        chosen.append(stimuli.show(torch.from_numpy(order).to(stimuli.stimuli.device)))
    return chosen


def _outcome(cohort: Cohort, curricula: list[Curriculum], seeds: tuple[int, ...], recording: Recording) -> Outcome:
    states = {s: {n: v.numpy() for n, v in cohort.brain_state(i).items()} for i, s in enumerate(seeds)}
    identities = {s: tuple(int(i) for i in c.class_identity) for s, c in zip(seeds, curricula, strict=True)}
    return Outcome(states, identities, dict(zip(seeds, (bool(a) for a in recording.alive()), strict=True)))
