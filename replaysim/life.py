"""One cohort's life: contexts follow one another, each is learned, consolidated and tested."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from . import rng
from .arithmetic import exact_arithmetic
from .brain import BrainPlan
from .checkpoints import Checkpoint
from .cohort import Cohort
from .consolidation import ConsolidationRule
from .cortex import RETINA
from .errors import SettingError
from .events import Cues, Episodes, ReplayRound, plan_round
from .experience import Chance, ContextPlan, plan_context
from .learning import Learning
from .presentation import Presentation, adaptation_to
from .products import FLOATS
from .protocol import AbstractProtocol, Curriculum
from .recorder import Electrode
from .recording import Recording, Write
from .reinitialisation import reinitialise
from .replay import ExactReplay, ReplayMechanism, priorities
from .steps import Encounter, update
from .storage import Storage


class Progress(Protocol):
    """Hears of finished steps now and then; of those that are not lived now, as ``skipped``."""

    def __call__(self, steps: int, /, *, skipped: bool = False) -> None:
        """So many steps more are over."""


_REPORT_EVERY = 10  # steps between two words on the progress


class KeptActivity(NamedTuple):
    """Activity that all stimuli evoke in a standing area, computed once for all animals."""

    train: np.ndarray
    """(stimulus, unit)"""
    test: np.ndarray
    """(stimulus, unit)"""
    area: str


@dataclass(frozen=True)
class Condition:
    """Everything that decides how an animal lives, except which animal it is."""

    brain: BrainPlan
    protocol: AbstractProtocol
    learning: Learning
    replay: ReplayMechanism | None = None
    consolidation: ConsolidationRule | None = None
    experience: str = "sequential"
    electrodes: tuple[Electrode, ...] = ()
    device: str = "cpu"
    precision: str = "float32"
    chance: int = 0
    kept: KeptActivity | None = None

    def __post_init__(self) -> None:
        if self.learning.reinitialise and self.consolidation is not None:
            raise SettingError(
                "simulate",
                "consolidation",
                type(self.consolidation).__name__,
                "left out with Learning(reinitialise=True): synapses that are drawn anew have nothing to protect",
            )

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of synapses and activity."""
        return FLOATS[self.precision]


class Outcome(NamedTuple):
    """What is left of a cohort's life besides the log."""

    states: dict[int, dict[str, np.ndarray]]
    """State of the trained brain of each animal."""
    identities: dict[int, tuple[int, ...]]
    """Original class at each position of each animal's order."""
    alive: dict[int, bool]
    """Whether all losses of the animal were finite."""


@exact_arithmetic()
def live(
    condition: Condition,
    seeds: tuple[int, ...],
    write: Write,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
) -> Outcome:
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
        Called with a number of finished steps now and then; ``skipped=True`` says that nobody lived them now.
    checkpoint
        Where the animals are kept after every context, and taken from if they have lived before.
    """
    protocol, learning = condition.protocol, condition.learning
    own = tuple(rng.own(seed, condition.chance) for seed in seeds)
    curricula, brains = [], []
    for seed, chance in zip(seeds, own, strict=True):
        stream = rng.published(seed)
        curricula.append(protocol.curriculum(seed, stream))
        brains.append(condition.brain.grow(chance, stream))
        brains[-1].animal = seed
    kept = condition.kept
    cohort = Cohort(
        brains,
        rate=learning.rate,
        replay=condition.replay,
        consolidation=condition.consolidation,
        device=condition.device,
        dtype=condition.dtype,
        presented=RETINA if kept is None else kept.area,
    )
    rounds = Rounds(condition, cohort, curricula, own)
    test = present(condition, curricula, "test")
    seen = present(condition, curricula, "test", kept=False) if kept is not None else test
    recording = Recording(condition.electrodes, cohort, protocol, curricula, seeds, learning, test, seen, write)
    over = 0 if checkpoint is None else checkpoint.resume(cohort, recording)
    if over:
        rounds.resume(over)
        progress(learning.steps * over, skipped=True)
    else:
        recording.naive()
    for context in range(over, protocol.n_contexts):
        if condition.experience == "last" and context + 1 < protocol.n_contexts:
            recording.pass_over(context + 1)
            progress(learning.steps, skipped=True)
            continue
        if learning.reinitialise and context:
            reinitialise(cohort, own, context)
        learn_context(rounds, context, recording, progress)
        competing = torch.from_numpy(protocol.answers(protocol.rule, context, context + 1)).to(cohort.device)
        if context + 1 < protocol.n_contexts or recording.listens_to_synapses:  # else nobody asks any more
            cohort.consolidate(partial(rounds.fresh_trials, context), competing, context)
        rounds.end_context(context)
        recording.end_context(context + 1)
        if not recording.alive().any():
            warnings.warn(
                f"no animal of {seeds} has finite losses any more: stopped after context {context + 1}", stacklevel=2
            )
            break
        if checkpoint is not None:  # after the last context, too: other animals may have to go on
            checkpoint.save(cohort, recording, context + 1)
    return _outcome(cohort, curricula, seeds, recording)


class Rounds:
    """What a cohort meets at every step: current trials, and what is replayed beside them.

    Parameters
    ----------
    condition
        How the animals live.
    cohort, curricula
        The animals and what they meet.
    seeds
        Seeds of their own chance.
    """

    def __init__(
        self, condition: Condition, cohort: Cohort, curricula: list[Curriculum], seeds: tuple[int, ...]
    ) -> None:
        self.condition, self.cohort, self.curricula, self.seeds = condition, cohort, curricula, seeds
        self.stimuli = present(condition, curricula, "train")
        self.storage: Storage | None = None
        if isinstance(condition.replay, ExactReplay):
            budget = condition.replay.budget
            self.storage = Storage(condition.protocol, condition.brain, curricula, seeds, budget)

    def plan(self, context: int) -> tuple[ContextPlan, ReplayRound | None]:
        """Draw the trials of a context (counted from 0), and say what may be replayed."""
        condition, device = self.condition, self.cohort.device
        protocol, learning, replay = condition.protocol, condition.learning, condition.replay
        given = plan_context(
            protocol, condition.brain, self.curricula, self.seeds, learning, context, condition.experience
        ).to(device)
        if replay is None or not context:
            return given, None
        asked = condition.brain.modes is not None or condition.brain.gating is not None
        cued = replay.source == "episodes" or (replay.source == "recall" and asked)
        return given, plan_round(protocol, context, replay.batch or learning.batch, cued=cued).to(device)

    def fresh_trials(self, context: int, trials: int) -> list[torch.Tensor]:
        """At most so many training stimuli of the context in an order of their own, for every animal."""
        chosen = []
        for a, (curriculum, seed) in enumerate(zip(self.curricula, self.seeds, strict=True)):
            order = rng.stream(seed, f"context {context}/consolidation").permutation(curriculum.train[context])[:trials]
            index = torch.from_numpy(order).to(self.cohort.device)[None]
            own = self.stimuli.permutation
            stimuli = self.stimuli if own is None else self.stimuli._replace(permutation=own[a : a + 1])
            chosen.append(stimuli.show_each(index, torch.full_like(index, context))[0])
        return chosen

    def resume(self, contexts: int) -> None:
        """Store what was stored in the contexts that are over."""
        for context in range(contexts if self.storage is not None else 0):
            self.storage.store(context)  # type: ignore[union-attr]

    def end_context(self, context: int) -> None:
        """Remember what later contexts may replay."""
        if self.condition.replay is not None:
            self.cohort.remember_self()
        if self.storage is not None:
            self.storage.store(context)


def learn_context(rounds: Rounds, context: int, recording: Recording, progress: Progress) -> None:
    """Learn one context (counted from 0), with replay of the earlier ones where there is any."""
    condition, cohort, stimuli = rounds.condition, rounds.cohort, rounds.stimuli
    learning, device, replay = condition.learning, cohort.device, condition.replay
    given, plan = rounds.plan(context)
    recalled = replay is None or replay.source == "recall"
    priority = None if plan is None else priorities(replay, context)
    stored = None
    if rounds.storage is not None and plan is not None:
        stored = rounds.storage.plan(context, learning.steps, plan, priority).to(device)
    trials_per_step = given.target.shape[2]
    settings: dict[str, Any] = {"recalled": recalled, "ahead": device.type != "cpu", "priority": priority}
    recording.begin_context(plan)
    learn = update(cohort, given.answers, given.groups, plan, 1 / (context + 1), condition.precision)
    chance = Chance(rounds.seeds, context, condition.protocol, condition.brain, trials_per_step, plan, **settings)
    with chance:
        for step in range(learning.steps):
            noise = chance.noise(step, device, cohort.dtype)
            again: Cues | Episodes | None = None
            if plan is not None and recalled:
                again = chance.cues(step)
            elif stored is not None:
                again = stored.episodes(step, stimuli)
            losses, events = learn(Encounter(given.trials(step, stimuli), noise, again))
            recording.step(step, losses, events)
            if (step + 1) % _REPORT_EVERY == 0 or step + 1 == learning.steps:
                progress(step % _REPORT_EVERY + 1)


def present(condition: Condition, curricula: list[Curriculum], part: str, *, kept: bool = True) -> Presentation:
    """Training or test stimuli as the animals get them; with ``kept``, as activity of a standing area if there is one.

    ``part`` is ``"train"`` or ``"test"``.
    """
    stimuli, activity = condition.protocol.stimuli, condition.kept if kept else None
    with warnings.catch_warnings():  # arrays shared between workers are read-only, and are only read
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        stored = torch.from_numpy(getattr(stimuli if activity is None else activity, part)).to(condition.device)
    if activity is not None:
        return Presentation(stored, 1.0, condition.dtype, area=activity.area)
    orders = [c.permutation for c in curricula if c.permutation is not None]
    permutation = torch.from_numpy(np.stack(orders)).to(condition.device) if orders else None
    adaptation = None if stimuli.light is None else adaptation_to(stimuli.light, condition.dtype, condition.device)
    return Presentation(stored, stimuli.scale, condition.dtype, adaptation, permutation)


def _outcome(cohort: Cohort, curricula: list[Curriculum], seeds: tuple[int, ...], recording: Recording) -> Outcome:
    states = {s: {n: v.numpy() for n, v in cohort.brain_state(i).items()} for i, s in enumerate(seeds)}
    identities = {s: tuple(int(i) for i in c.class_identity) for s, c in zip(seeds, curricula, strict=True)}
    return Outcome(states, identities, dict(zip(seeds, (bool(a) for a in recording.alive()), strict=True)))
