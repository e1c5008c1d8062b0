"""A brain: cortex, readout, hippocampus, memory modes, gates and feedback put together, for one animal.

A :class:`BrainPlan` says what grows (settings); :meth:`BrainPlan.grow` makes one animal's :class:`Brain`, an ordinary
:class:`torch.nn.Module`. Its verbs: ``perceive`` (stimulus to activity of every area), ``encode`` (to a code),
``recall`` (a memory back to activity at the re-entry area), ``re_experience`` (that activity up again), ``decide``
(to a choice).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from . import rng
from .arithmetic import seeded
from .context_gating import ContextGates, ContextGating
from .cortex import RETINA, AbstractCortex, CortexPlan, check_cortex
from .descending import GAINS
from .errors import SettingError, check_choice, check_number
from .feedback import RECONSTRUCTIONS, Feedback
from .gating import Gates, Gating, check_open
from .hippocampus import AbstractHippocampus, Code, HippocampusPlan, StandAlonePlan
from .memory_modes import MemoryModes, Modes
from .objectives import one_hot
from .pathways import feedback_units, grow_feedback


@dataclass(frozen=True)
class BrainPlan:
    """What an animal's brain consists of.

    Parameters
    ----------
    cortex
        Plan with a ``build()`` that grows a cortex.
    stimulus_size
        Elements of one stimulus.
    answers
        Units of the readout.
    classes
        Classes that memory modes distinguish.
    contexts
        Contexts that gates may distinguish.
    hippocampus, modes, gating
        Plans of the parts; None leaves the part out. Without a hippocampus there is no feedback either: a plain
        classifier. A :class:`~replaysim.hippocampus.StandAlonePlan` makes the hippocampus and its feedback a network
        of their own beside the cortex.
    context_gating
        Gates of the *cortex* by context (XdG), for animals that know the context at recall; None leaves them out.
    reconstruction
        ``"bernoulli"`` for re-entry activity in [0, 1], else ``"gaussian"``.
    divergence_divisor
        The code divergence is divided by this number; the paper takes the elements of a *stimulus*, also where
        activity of a higher area is re-created.
    descending_gain
        Initial gains of the normalisation where feedback descends through early areas, see
        :class:`~replaysim.descending.DescendingAreas`.
    """

    cortex: CortexPlan
    stimulus_size: int
    answers: int
    classes: int
    contexts: int
    hippocampus: HippocampusPlan | StandAlonePlan | None = None
    modes: Modes | None = None
    gating: Gating | None = None
    context_gating: ContextGating | None = None
    reconstruction: str = "bernoulli"
    divergence_divisor: float = 1.0
    descending_gain: str = "ones"

    def __post_init__(self) -> None:
        check_choice("BrainPlan", "reconstruction", self.reconstruction, RECONSTRUCTIONS)
        check_number("BrainPlan", "divergence_divisor", self.divergence_divisor, above=0)
        check_choice("BrainPlan", "descending_gain", self.descending_gain, GAINS)
        if self.hippocampus is None and (self.modes is not None or self.gating is not None):
            part = "modes" if self.modes is not None else "gating"
            raise SettingError("BrainPlan", part, getattr(self, part), "None where there is no hippocampus")

    @property
    def n_gates(self) -> int:
        """Gate patterns of the feedback pathway."""
        if self.gating is None:
            return 0
        return self.classes if self.gating.by == "class" else self.contexts

    def grow(self, seed: int, published: np.random.RandomState | None = None) -> Brain:
        """One animal's naive brain.

        Parameters
        ----------
        seed
            The animal; initial synapses come from its own named streams, a stream a part.
        published
            The animal's published stream, positioned after its class order; gate patterns are drawn from it.
        """
        with _chance(seed, "synapses/cortex"):
            cortex = self.cortex.build()
        check_cortex(cortex, self.stimulus_size)
        top = cortex.sizes[cortex.areas[-1]]
        with _chance(seed, "synapses/readout"):
            readout = nn.Linear(top, self.answers)
        stream = published or rng.published(seed)
        context_gates = None
        if self.context_gating is not None:
            context_gates = ContextGates(self.context_gating.draw(self.contexts, gateable(cortex), stream))
        if self.hippocampus is None:
            return Brain(self, cortex, readout, context_gates=context_gates)
        with _chance(seed, "synapses/hippocampus"):
            hippocampus = self.hippocampus.build(cortex)
        with _chance(seed, "synapses/feedback"):
            feedback = grow_feedback(cortex, hippocampus, self.reconstruction, self.descending_gain)
        modes = gates = None
        if self.modes is not None:
            with _chance(seed, "synapses/modes"):
                modes = MemoryModes(self.classes, self.hippocampus.code_units, self.modes.per_class)
        if self.gating is not None:
            gates = Gates(self.gating.draw(self.n_gates, feedback_units(cortex, hippocampus), stream))
        return Brain(self, cortex, readout, hippocampus, feedback, modes, gates, context_gates)


def gateable(cortex: AbstractCortex) -> dict[str, int]:
    """Units of the areas that gates by context can silence; raises :class:`SettingError` where there are none."""
    if not cortex.gateable:
        raise SettingError(
            "BrainPlan", "context_gating", type(cortex).__name__, "left out: this cortex has no area that can be gated"
        )
    return {area: cortex.sizes[area] for area in cortex.gateable}


def _chance(seed: int, name: str) -> AbstractContextManager[None]:
    """Run with torch's random state set to an animal's named stream, and put the old state back."""
    return seeded(rng.stream_seed(seed, name))


class Brain(nn.Module):
    """One animal's brain.

    Attributes
    ----------
    plan
        The settings it grew from.
    cortex, readout, hippocampus, feedback, modes, gates, context_gates
        Its parts; all but the first two are None where the plan leaves them out.
    animal
        The animal's seed, or None.
    class_identity
        Original class at each position of this animal's class order; empty where unknown. Everything else speaks of
        positions.
    """

    def __init__(
        self,
        plan: BrainPlan,
        cortex: AbstractCortex,
        readout: nn.Linear,
        hippocampus: AbstractHippocampus | None = None,
        feedback: Feedback | None = None,
        modes: MemoryModes | None = None,
        gates: Gates | None = None,
        context_gates: ContextGates | None = None,
    ) -> None:
        super().__init__()
        self.plan = plan
        self.cortex = cortex
        self.readout = readout
        self.hippocampus = hippocampus
        self.feedback = feedback
        self.modes = modes
        self.gates = gates
        self.context_gates = context_gates
        self.animal: int | None = None
        self.class_identity: tuple[int, ...] = ()

    @property
    def top(self) -> str:
        """Name of the highest cortical area."""
        return self.cortex.areas[-1]

    def perceive(self, stimulus: Tensor, context: Tensor | int | None = None) -> dict[str, Tensor]:
        """Activity of every area evoked by stimuli (trial, ...) with values as the protocol presents them.

        ``context`` (from 0, one for all or (trial,)) must be given where the cortex is gated by context.
        """
        return self.climb(stimulus, RETINA, context=context)

    def re_experience(self, activity: Tensor) -> dict[str, Tensor]:
        """Activity of all areas from the re-entry area up, evoked by activity there (trial, unit)."""
        return self.climb(activity, self.cortex.reentry)

    def climb(
        self, activity: Tensor, start: str, stop: str | None = None, context: Tensor | int | None = None
    ) -> dict[str, Tensor]:
        """Activity of every area from ``start`` up to ``stop`` (default: the top)."""
        if self.context_gates is None:
            return self.cortex(activity, start=start, stop=stop)
        if context is None:
            raise SettingError("Brain", "context", None, "given: this cortex is gated by context (from 0)")
        where = torch.as_tensor(context, device=activity.device).expand(activity.shape[0])
        return self.cortex(activity, start=start, stop=stop, openness=self.context_gates(where))

    def encode(self, activity: Tensor) -> Code:
        """Code of the activity (trial, unit) of the highest area; a stand-alone hippocampus reads the re-entry area."""
        return self._with_hippocampus("encode")[0](activity)

    def decide(self, activity: Tensor, answers: Tensor | None = None) -> Tensor:
        """Choice of a readout unit from the highest area's activity.

        Parameters
        ----------
        activity
            (trial, unit).
        answers
            Which units compete, boolean, (answer,) or (trial, answer); default all.

        Returns
        -------
        Tensor
            Index of the winning unit, (trial,).
        """
        logits = self.readout(activity)
        return (logits if answers is None else torch.where(answers, logits, -torch.inf)).argmax(-1)

    def recreate(self, code: Tensor, gate_weight: Tensor | None = None) -> Tensor:
        """Activity at the re-entry area from codes (event, code_unit), gates weighted by (event, gate)."""
        feedback = self._with_hippocampus("recall")[1]
        gates = None if self.gates is None or gate_weight is None else self.gates(gate_weight)
        return feedback.activity(feedback(code, gates))

    @torch.no_grad()
    def recall(
        self,
        classes: Sequence[int] | None = None,
        *,
        contexts: Sequence[int] | None = None,
        events: int | None = None,
        seed: int = 0,
    ) -> Tensor:
        """Bring memories back, as activity at the re-entry area.

        Parameters
        ----------
        classes
            Which classes (positions in the animal's order), one per event. Default: drawn uniformly.
        contexts
            For gates by context: which context, counted from 0, one per event. Default: drawn uniformly. A brain with
            memory modes and gates by context is asked for both: it does not know which class it met in which context.
        events
            How many, where neither classes nor contexts are given.
        seed
            Seed of the noise of the codes and of what is drawn.

        Returns
        -------
        Tensor
            (event, unit)
        """
        hippocampus, _feedback = self._with_hippocampus("recall")
        chance = rng.stream(seed, "recall")
        for name, asked in (("classes", classes), ("contexts", contexts)):
            if asked is not None and not _is_list(asked):
                must = "a list of whole numbers, one per event, e.g. [3, 3, 8]"
                raise SettingError("Brain.recall", name, asked, must)
        if events is not None:
            check_number("Brain.recall", "events", events, least=0, whole=True)
        given = [g for g in (classes, contexts) if g is not None]
        n = len(given[0]) if given else (1 if events is None else events)
        if any(len(g) != n for g in given) or (events is not None and events != n):
            raise SettingError(
                "Brain.recall", "events", events, "the number of classes and of contexts, where those are given"
            )
        if self.modes is not None and self._gated_by_context and (classes is None or contexts is None) and n:
            name, must = ("contexts", "the context of each class") if contexts is None else ("classes", "its classes")
            raise SettingError(
                "Brain.recall", name, None, f"given, too: gates are by context, so that each event needs {must}"
            )
        chosen = self._choose("classes", classes, self.plan.classes, n, chance)
        where = self._choose("contexts", contexts, self.plan.contexts, n, chance)
        like = self.readout.weight
        noise = torch.from_numpy(chance.standard_normal((n, hippocampus.code_units))).to(like)
        code = noise
        if self.modes is not None:
            mode = chosen * self.modes.per_class + torch.from_numpy(chance.integers(self.modes.per_class, size=n)).to(
                chosen
            )
            code = self.modes.draw(one_hot(mode, self.modes.mean.shape[0], like.dtype), noise)
        gate_weight = None
        if self.gates is not None and self.plan.gating is not None:
            gate = chosen if self.plan.gating.by == "class" else where
            gate_weight = one_hot(gate, self.plan.n_gates, like.dtype)
        return self.recreate(code, gate_weight)

    @property
    def _gated_by_context(self) -> bool:
        return self.plan.gating is not None and self.plan.gating.by == "context"

    def _choose(
        self, name: str, given: Sequence[int] | None, n: int, events: int, chance: np.random.Generator
    ) -> Tensor:
        drawn = chance.integers(n, size=events)
        chosen = drawn if given is None else np.asarray(given)
        if not np.issubdtype(chosen.dtype, np.integer) or chosen.min(initial=0) < 0 or chosen.max(initial=0) >= n:
            raise SettingError("Brain.recall", name, given, f"whole numbers from 0 to {n - 1}")
        return torch.from_numpy(chosen.astype(np.int64)).to(self.readout.weight.device)

    def _with_hippocampus(self, verb: str) -> tuple[AbstractHippocampus, Feedback]:
        if self.hippocampus is None or self.feedback is None:
            raise SettingError(
                "Brain", verb, "a plain classifier", "a brain with a hippocampus: grow one with brain_inspired()"
            )
        return self.hippocampus, self.feedback


def _is_list(given: object) -> bool:
    """Whether numpy makes a vector of it."""
    try:
        return np.ndim(given) == 1  # type: ignore[arg-type]
    except ValueError:  # lists of different lengths in a list
        return False


def set_gates(brain: Brain, patterns: Sequence[np.ndarray]) -> None:
    """Give a brain other gate patterns, one array (gate, unit) of 0 and 1 per gated layer."""
    for layer, pattern in enumerate(patterns, 1):
        check_open(np.asarray(pattern), f"feedback layer {layer}")
    brain.gates = Gates(patterns)
