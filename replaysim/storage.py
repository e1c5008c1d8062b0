"""Storage: episodes that an animal keeps for good, and which of them it meets again.

What is stored is which stimulus, and in which context: no copy of the stimulus itself.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import rng
from .brain import BrainPlan
from .events import ReplayRound
from .experience import ContextPlan, describe_trials
from .protocol import AbstractProtocol, Curriculum


class Storage:
    """Stored episodes of the animals of one cohort.

    Parameters
    ----------
    protocol, brain, curricula
        What the animals are and meet.
    seeds
        Seeds of their chance.
    budget
        Stimuli kept of every class of a context.
    """

    def __init__(
        self,
        protocol: AbstractProtocol,
        brain: BrainPlan,
        curricula: Sequence[Curriculum],
        seeds: Sequence[int],
        budget: int,
    ) -> None:
        self.protocol, self.brain, self.curricula = protocol, brain, tuple(curricula)
        self.seeds, self.budget = tuple(seeds), budget
        self._kept: list[list[np.ndarray]] = [[] for _ in seeds]

    def store(self, context: int) -> None:
        """Keep a random choice of a context's training stimuli (context counted from 0)."""
        for kept, curriculum, seed in zip(self._kept, self.curricula, self.seeds, strict=True):
            chance = rng.stream(seed, f"context {context}/episodes")
            order = chance.permutation(curriculum.train[context])
            position = curriculum.train_position[order]
            chosen = [order[position == c][: self.budget] for c in np.unique(position)]
            kept.append(np.concatenate(chosen))

    def plan(self, context: int, steps: int, plan: ReplayRound, priority: np.ndarray | None = None) -> ContextPlan:
        """Draw what is met again while a context (counted from 0) is learned; with replacement, (animal, step, event).

        Uniformly from everything stored, or each episode in proportion to the ``priority`` of its context, (context,);
        where events of every earlier context are judged apart, as many from each.
        """
        stimuli, contexts = [], []
        for kept, seed in zip(self._kept, self.seeds, strict=True):
            chance = rng.stream(seed, f"context {context}/met again")
            if self.protocol.scenario == "task":
                each = plan.events // context
                drawn = [(k[chance.integers(len(k), size=(steps, each))], c) for c, k in enumerate(kept)]
                stimuli.append(np.concatenate([s for s, _ in drawn], axis=1))
                contexts.append(np.concatenate([np.full_like(s, c) for s, c in drawn], axis=1))
                continue
            pool, where = np.concatenate(kept), np.repeat(np.arange(len(kept)), [len(k) for k in kept])
            if priority is None:
                pick = chance.integers(len(pool), size=(steps, plan.events))
            else:
                pick = chance.choice(len(pool), size=(steps, plan.events), p=priority[where] / priority[where].sum())
            stimuli.append(pool[pick])
            contexts.append(where[pick])
        learner = plan.learner_answers.cpu().numpy()
        return describe_trials(
            self.protocol, self.brain, self.curricula, np.stack(stimuli), np.stack(contexts), learner, plan.groups
        )
