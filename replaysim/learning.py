"""Learning: how long, how much at a time, how fast; and what one batch of experience costs one animal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from . import objectives
from .brain import Brain
from .cortex import RETINA
from .errors import check_choice, check_number
from .events import Events
from .objectives import one_hot
from .passes import in_passes, looks_at_its_batch

COMPONENTS = (
    "total",
    "current_classification",
    "current_reconstruction",
    "current_code_divergence",
    "replayed_classification",
    "replayed_distillation",
    "replayed_reconstruction",
    "replayed_code_divergence",
    "consolidation",
)
"""Losses in the log, in nats. ``total`` is what is minimised; all others are as they are before weighting."""


@dataclass(frozen=True)
class Learning:
    """Settings of learning.

    Parameters
    ----------
    steps
        Weight updates per context.
    batch
        Current trials per step.
    rate
        Learning rate of Adam (decay rates 0.9 and 0.999, offset 1e-8 outside the root), which is never reset.
    reinitialise
        Whether every context but the first begins in a brain whose synapses are drawn anew, so that nothing but what
        the earlier self replays carries over; see :mod:`replaysim.reinitialisation`.
    """

    steps: int = 2000
    batch: int = 128
    rate: float = 1e-3
    reinitialise: bool = False

    def __post_init__(self) -> None:
        check_number("Learning", "steps", self.steps, least=1, whole=True)
        check_number("Learning", "batch", self.batch, least=1, whole=True)
        check_number("Learning", "rate", self.rate, above=0)
        check_choice("Learning", "reinitialise", self.reinitialise, (True, False))


class Trials(NamedTuple):
    """A batch of current experience; one animal."""

    stimulus: Tensor
    """(trial, ...)"""
    target: Tensor
    """Right readout unit and memory mode, (trial,)."""
    gate: Tensor
    """Gate of the feedback pathway, (trial,)."""
    context: Tensor
    """Context from 0, (trial,)."""


class Entrances(NamedTuple):
    """Where experience enters the cortex."""

    current: str = RETINA
    """Area at which stimuli are presented: the retina, or a standing area whose activity is kept."""
    replayed: str = RETINA
    """Area at which replayed activity enters."""
    shared: bool = False
    """Whether the replayed activity is that of the current trials, so that it need not climb twice."""


class Experience(nn.Module):
    r"""What one batch of current and replayed experience costs one animal.

    .. math:: L = \tfrac1T L_\text{current} + (1 - \tfrac1T) L_\text{replayed}, \qquad L_\cdot = L^C + L^R + L^V

    in the T-th context; without replay, the current loss alone. :math:`L^C` is the cross-entropy of the decision or,
    on replayed activity with soft targets, the distillation loss; :math:`L^R` the reconstruction of the activity at
    the re-entry area, which is detached, as the cortex would otherwise shrink its activity to please it; :math:`L^V`
    the divergence of the code over ``divergence_divisor``. A plain classifier has :math:`L^C` only. A stand-alone
    hippocampus learns by :math:`L^R + L^V`, the cortex beside it by :math:`L^C`; they share no synapse, so that their
    sum has the gradient of each.

    Parameters
    ----------
    brain
        The learner.
    soft, temperature, distillation_weight
        Kind of targets of replay, and factor of the loss with soft ones; None: the squared temperature.
    entrances
        Where experience enters the cortex.
    """

    def __init__(
        self,
        brain: Brain,
        *,
        soft: bool = True,
        temperature: float = 2.0,
        distillation_weight: float | None = None,
        entrances: Entrances | None = None,
    ) -> None:
        super().__init__()
        self.brain = brain
        self.soft = soft
        self.temperature, self.distillation_weight = temperature, distillation_weight
        at = brain.cortex.reentry if brain.hippocampus is not None else RETINA
        self.entrances = Entrances(RETINA, at) if entrances is None else entrances
        self.apart = looks_at_its_batch(brain.cortex)

    def forward(
        self,
        trials: Trials,
        answers: Tensor,
        noise: Tensor,
        events: Events | None = None,
        replay_answers: Tensor | None = None,
        share: Tensor | float = 1.0,
        *,
        row_event: Tensor | None = None,
        groups: tuple[tuple[int, ...], tuple[int, ...]] = ((), ()),
    ) -> tuple[Tensor, Tensor]:
        """Total loss, and its components in the order of :data:`COMPONENTS` without the first and the last.

        Parameters
        ----------
        trials
            Current experience.
        answers, replay_answers
            Readout units that compete, boolean, (row or 1, answer).
        noise
            Standard normal noise of the codes, current trials first, then replayed ones; (row, code_unit).
        events
            Replayed experience; current trials and events climb the cortex in one pass where nothing in it looks at
            the whole batch.
        share
            Weight of current experience, 1/T.
        row_event
            Event that is judged in each row, where that is not the row itself, (row,).
        groups
            Numbers of successive trials, and of events, that parts whose normalisation looks at its batch meet
            separately; empty: all together.
        """
        brain, n = self.brain, trials.target.shape[0]
        met = None if events is None or self.entrances.shared else events.activity
        sizes = (*(groups[0] or (n,)), *((groups[1] or (met.shape[0],)) if met is not None else ()))
        activity, top = self._climb(trials, met, groups)
        logits = brain.readout(top)
        recreated, diverged = self._generate(top, activity.detach(), trials, noise, events, sizes)
        current = (objectives.classification(logits[:n], trials.target, answers).mean(), recreated[0], diverged[0])
        total = current[0] + current[1] + current[2]
        zero = total.new_zeros(())
        replayed = (zero, zero, zero, zero)
        if events is not None and replay_answers is not None:
            again = logits[:n] if self.entrances.shared else logits[n:]
            again = again if row_event is None else again[row_event]
            judged = self._judge(again, events, replay_answers).mean()
            hard, soft = (zero, judged) if self.soft else (judged, zero)
            replayed = (hard, soft, recreated[1], diverged[1])
            total = share * total + (1 - share) * torch.stack(replayed).sum()
        return total, torch.stack((*current, *replayed)).detach()

    def _climb(
        self, trials: Trials, met: Tensor | None, groups: tuple[tuple[int, ...], tuple[int, ...]]
    ) -> tuple[Tensor, Tensor]:
        """Activity at the re-entry area and at the top, current trials first, then events; (row, unit)."""
        brain = self.brain
        at = brain.top if brain.hippocampus is None else brain.cortex.reentry  # a classifier re-creates nothing
        entrance, replayed, _shared = self.entrances
        if self.apart:  # each group has statistics of its own, and every pass moves the running ones
            sizes = groups[0] or len(trials.target)
            contexts = trials.context.split(sizes)
            batches = [(part, entrance, c) for part, c in zip(trials.stimulus.split(sizes), contexts, strict=True)]
            if met is not None:  # no replayed event where the cortex is gated by context
                batches += [(part, replayed, None) for part in met.split(groups[1] or len(met))]
            climbed = [brain.climb(part, start, context=c) for part, start, c in batches]
            return torch.cat([c[at] for c in climbed]), torch.cat([c[brain.top] for c in climbed])
        activity = trials.stimulus
        if met is not None:
            activity = torch.cat((brain.cortex(activity, start=entrance, stop=replayed)[replayed], met.flatten(1)))
            entrance = replayed
        context = None if brain.context_gates is None else trials.context
        evoked = brain.climb(activity, entrance, context=context)
        return evoked[at], evoked[brain.top]

    def _judge(self, logits: Tensor, events: Events, answers: Tensor) -> Tensor:
        if self.soft:
            how = (self.temperature, self.distillation_weight)
            return objectives.distillation(logits, events.soft_target, answers, *how)
        return objectives.classification(logits, events.decision, answers)

    def _generate(
        self,
        top: Tensor,
        original: Tensor,
        trials: Trials,
        noise: Tensor,
        events: Events | None,
        sizes: tuple[int, ...],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Reconstruction and divergence, mean over current trials and, with events, over replayed rows."""
        brain = self.brain
        if brain.hippocampus is None or brain.feedback is None:
            zero = top.new_zeros(())
            return [zero, zero], [zero, zero]
        code = in_passes(brain.hippocampus, sizes, top if brain.hippocampus.reads_top else original)
        sample = code.sample(noise)
        gates = None if brain.gates is None else brain.gates(self._gate_weight(trials, events, top.dtype))
        drive = in_passes(brain.feedback, sizes, sample, gates)
        bernoulli = brain.feedback.reconstruction == "bernoulli"
        if bernoulli:
            recreated = objectives.reconstruction_bernoulli(drive, original)
        else:
            recreated = objectives.reconstruction_gaussian(brain.feedback.activity(drive), original)
        n = trials.target.shape[0]
        if brain.modes is None:
            divergence = objectives.code_divergence(code.mean, code.log_variance)
        else:
            log_prior = brain.modes.log_density_of_class(
                sample[:n], one_hot(trials.target, brain.modes.n_classes, top.dtype)
            )
            if events is not None:
                log_prior = torch.cat((log_prior, self._log_prior_of_replay(sample[n:], events)))
            divergence = objectives.sampled_code_divergence(sample, code.mean, code.log_variance, log_prior)
        divergence = divergence / brain.plan.divergence_divisor
        parts = (slice(0, n),) if events is None else (slice(0, n), slice(n, None))
        return [recreated[p].mean() for p in parts], [divergence[p].mean() for p in parts]

    def _log_prior_of_replay(self, sample: Tensor, events: Events) -> Tensor:
        modes = self.brain.modes
        assert modes is not None
        if self.soft:
            return modes.log_density(sample, events.soft_target)
        return modes.log_density_of_class(sample, one_hot(events.decision, modes.n_classes, sample.dtype))

    def _gate_weight(self, trials: Trials, events: Events | None, dtype: torch.dtype) -> Tensor:
        """Gates of current trials are known; those of replay follow belief, decision, or the cued context."""
        gating, n_gates = self.brain.plan.gating, self.brain.plan.n_gates
        weight = one_hot(trials.gate, n_gates, dtype)
        if events is None:
            return weight
        if gating is not None and gating.by == "context":
            replayed = one_hot(events.gate, n_gates, dtype)
        else:
            replayed = events.soft_target if self.soft else one_hot(events.decision, n_gates, dtype)
        return torch.cat((weight, replayed))
