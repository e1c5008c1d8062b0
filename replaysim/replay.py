"""Systems consolidation: what is re-experienced while something new is learned.

A replay mechanism says where re-experienced activity comes from (memories re-created by the hippocampus, stored
episodes, or the current input itself) and what its targets are. It knows neither losses nor synaptic consolidation; how
events come about is the business of :mod:`replaysim.events`. Without a mechanism, nothing is replayed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from .brain import Brain, BrainPlan
from .errors import SettingError, check_choice, check_number

TARGETS = ("soft", "hard")
SOURCES = ("recall", "episodes", "current")


@runtime_checkable
class ReplayMechanism(Protocol):
    """What a mechanism offers.

    ``source`` is one of ``"recall"`` (the hippocampus of the earlier self), ``"episodes"`` (stored stimuli; only in
    :class:`ExactReplay` and what inherits from it, whose ``budget`` says how many are stored) and ``"current"`` (the
    stimuli that are being learned, as many as there are). Optional: ``distillation_weight``, and a method ``priority``
    that says how often memories, or stored episodes, of each context come back (:func:`priorities`).
    """

    source: ClassVar[str]

    @property
    def targets(self) -> str:
        """``"soft"`` or ``"hard"``."""
        ...

    @property
    def temperature(self) -> float:
        """Temperature of soft targets."""
        ...

    @property
    def batch(self) -> int | None:
        """Events per step; None: as many as current trials."""
        ...

    def check(self, brain: Brain) -> None:
        """Raise :class:`SettingError` where the brain cannot replay."""
        ...


def distillation_weight(replay: ReplayMechanism | None) -> float | None:
    """Factor of the loss with soft targets, None for the squared temperature; kinds of one's own need not have it."""
    return getattr(replay, "distillation_weight", None)


def priorities(replay: ReplayMechanism | None, learned: int) -> np.ndarray | None:
    """How often each class, or stored episode, of the contexts met so far comes back, (context,); None: all alike.

    Parameters
    ----------
    replay
        A kind that may have a method ``priority``: it is given how many contexts ago each was learned, (context,) from
        ``learned`` down to 1, and returns as many numbers from 0.
    learned
        Contexts learned so far.

    Raises
    ------
    SettingError
        If it returns something else.
    """
    policy = getattr(replay, "priority", None)
    if policy is None:
        return None
    owner, where = type(replay).__name__, f"priority (contexts learned: {learned})"
    try:
        found = np.asarray(policy(np.arange(learned, 0, -1, dtype=np.float64)), dtype=np.float64)
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise SettingError(owner, where, said, "numbers: a policy is given an array of ages, (context,)") from error
    if found.shape != (learned,) or not np.isfinite(found).all() or found.min() < 0 or not found.any():
        must = f"finite numbers from 0, not all 0: {learned}, one for each context, the oldest first"
        raise SettingError(owner, where, found.tolist(), must)
    return found / found.max()


def check_priority(replay: ReplayMechanism, plan: BrainPlan, scenario: str, contexts: int) -> None:
    """Raise :class:`SettingError` where memories cannot be asked for by the context in which they were learned."""
    policy = getattr(replay, "priority", None)
    if policy is None:
        return
    owner = type(replay).__name__
    if not callable(policy):
        raise SettingError(owner, "priority", policy, "a method that is given ages of contexts, (context,)")
    if replay.source == "current":
        must = "left out: what is replayed are the stimuli that are being learned"
        raise SettingError(owner, "priority", "a policy for source 'current'", must)
    if scenario == "task":
        must = "left out: as many events of every earlier context are replayed, each judged within it"
        raise SettingError(owner, "priority", "a policy in the task scenario", must)
    recalled = replay.source == "recall"  # a stored episode is known by the context in which it was met
    if recalled and scenario == "domain" and (plan.gating is None or plan.gating.by != "context"):
        must = "used with gates_by='context': in the domain scenario a class is the same in all contexts"
        raise SettingError(owner, "priority", "a policy in the domain scenario", must)
    if recalled and plan.modes is None and plan.gating is None:
        must = "left out in a brain with neither memory modes nor gates: it cannot be asked for anything"
        raise SettingError(owner, "priority", "a policy", must)
    for learned in range(1, contexts):
        priorities(replay, learned)


def _check(owner: str, targets: str, temperature: float, batch: int | None, weight: float | None) -> None:
    check_choice(owner, "targets", targets, TARGETS)
    check_number(owner, "temperature", temperature, above=0)
    if batch is not None:
        check_number(owner, "batch", batch, least=1, whole=True)
    if weight is not None:
        check_number(owner, "distillation_weight", weight, above=0)
        if targets == "hard":
            raise SettingError(owner, "distillation_weight", weight, "left out: hard targets are not distilled")


def check_replay(replay: object, brain: Brain, batch: int) -> None:
    """Raise :class:`SettingError` unless a mechanism, ready-made or a user's own, can work in this brain.

    Parameters
    ----------
    batch
        Current trials per step.
    """
    if isinstance(replay, type):
        raise SettingError("simulate", "replay", replay, f"an instance: add (), as in {replay.__name__}()")
    if not isinstance(replay, ReplayMechanism) or not callable(replay.check):
        must = (
            "GenerativeReplay, ExactReplay or CurrentInputReplay(), left out, or a kind of your own, with `source`, "
            "`targets`, `temperature`, `batch` and `check`"
        )
        raise SettingError("simulate", "replay", replay, must)
    owner = type(replay).__name__
    check_choice(owner, "source", replay.source, SOURCES)
    _check(owner, replay.targets, replay.temperature, replay.batch, distillation_weight(replay))
    if replay.source == "episodes" and not isinstance(replay, ExactReplay):
        must = "'recall' or 'current', or a class that inherits from ExactReplay: its `budget` says what is stored"
        raise SettingError(owner, "source", replay.source, must)
    if replay.source == "current" and replay.batch not in (None, batch):
        must = f"None or {batch}, the trials that are being learned: none but these are seen again"
        raise SettingError(owner, "batch", replay.batch, must)
    replay.check(brain)
    if replay.source == "recall" and brain.hippocampus is None:
        must = "'episodes' or 'current' in a plain classifier, which has no feedback to recall through"
        raise SettingError(owner, "source", replay.source, must)


def _check_ungated(owner: str, brain: Brain) -> None:
    if brain.context_gates is not None:
        raise SettingError(
            "simulate",
            "replay",
            owner,
            "left out where the cortex is gated by context: a replayed event has no context",
        )


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
    distillation_weight
        Factor of the loss with soft targets; default: :math:`\tau^2`, with which the size of its gradient does not
        depend on the temperature (the paper).
    """

    targets: str = "soft"
    temperature: float = 2.0
    batch: int | None = None
    distillation_weight: float | None = None
    source: ClassVar[str] = "recall"

    def __post_init__(self) -> None:
        _check("GenerativeReplay", self.targets, self.temperature, self.batch, self.distillation_weight)

    def check(self, brain: Brain) -> None:
        """Raise :class:`SettingError` where the brain cannot replay."""
        if brain.hippocampus is None:
            raise SettingError(
                "simulate",
                "replay",
                "GenerativeReplay",
                "left out: a plain classifier has no feedback to replay through",
            )
        _check_ungated("GenerativeReplay", brain)


@dataclass(frozen=True)
class CurrentInputReplay:
    r"""The stimuli that are being learned, seen with the eyes of the earlier self.

    Nothing is remembered but the earlier self: it judges the current stimuli as if they were old ones, and the learner
    must go on judging them so (learning without forgetting).

    Parameters
    ----------
    temperature
        :math:`\tau` of the soft targets (the paper: 2).
    distillation_weight
        Factor of the loss with soft targets; default: :math:`\tau^2` (Hinton et al.; the paper). Li & Hoiem have no
        such factor: 1.

    References
    ----------
    Li & Hoiem (2017), IEEE TPAMI 40:2935. Hinton, Vinyals & Dean (2015), arXiv:1503.02531.
    """

    temperature: float = 2.0
    distillation_weight: float | None = None
    targets: ClassVar[str] = "soft"
    batch: ClassVar[int | None] = None
    source: ClassVar[str] = "current"

    def __post_init__(self) -> None:
        _check("CurrentInputReplay", self.targets, self.temperature, self.batch, self.distillation_weight)

    def check(self, brain: Brain) -> None:
        """Raise :class:`SettingError` where the brain cannot replay."""
        _check_ungated("CurrentInputReplay", brain)


@dataclass(frozen=True)
class ExactReplay:
    r"""Stored episodes, experienced again as they were.

    When a context ends, some of its stimuli are kept for good, a fixed number of every class, chosen at random; later
    contexts are learned together with a batch drawn uniformly from all that is stored.

    Parameters
    ----------
    budget
        Stimuli stored of every class (in the domain scenario: of every class of every context).
    targets
        ``"hard"``: what the stimulus was; ``"soft"``: the earlier self's tempered probabilities.
    temperature
        :math:`\tau` of soft targets.
    batch
        Events per step; default: as many as current trials.
    distillation_weight
        Factor of the loss with soft targets; default: :math:`\tau^2`.

    References
    ----------
    Experience replay: Rolnick et al. (2019), NeurIPS.
    """

    budget: int = 100
    targets: str = "hard"
    temperature: float = 2.0
    batch: int | None = None
    distillation_weight: float | None = None
    source: ClassVar[str] = "episodes"

    def __post_init__(self) -> None:
        _check("ExactReplay", self.targets, self.temperature, self.batch, self.distillation_weight)
        check_number("ExactReplay", "budget", self.budget, least=1, whole=True)

    def check(self, brain: Brain) -> None:
        """Raise :class:`SettingError` where the brain cannot replay."""
        _check_ungated("ExactReplay", brain)
