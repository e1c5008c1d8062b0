"""Learning: how long, how much at a time, how fast; and what one batch of experience costs one animal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from . import objectives
from .brain import Brain
from .errors import check_number
from .objectives import one_hot
from .replay import Events

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
    """

    steps: int = 2000
    batch: int = 128
    rate: float = 1e-3

    def __post_init__(self) -> None:
        check_number("Learning", "steps", self.steps, least=1, whole=True)
        check_number("Learning", "batch", self.batch, least=1, whole=True)
        check_number("Learning", "rate", self.rate, above=0)


class Trials(NamedTuple):
    """A batch of current experience; one animal."""

    stimulus: Tensor
    """(trial, ...)"""
    target: Tensor
    """Right readout unit and memory mode, (trial,)."""
    gate: Tensor
    """Gate of the feedback pathway, (trial,)."""


class Experience(nn.Module):
    r"""What one batch of current and replayed experience costs one animal.

    .. math:: L = \tfrac1T L_\text{current} + (1 - \tfrac1T) L_\text{replayed}, \qquad L_\cdot = L^C + L^R + L^V

    in the T-th context; without replay, the current loss alone. :math:`L^C` is the cross-entropy of the decision or,
    on replayed activity with soft targets, the distillation loss; :math:`L^R` the reconstruction of the activity at
    the re-entry area, which is detached, as the cortex would otherwise shrink its activity to please it; :math:`L^V`
    the divergence of the code over ``divergence_divisor``. A plain classifier has :math:`L^C` only.

    Parameters
    ----------
    brain
        The learner.
    soft, temperature
        Kind of targets of replay.
    """

    def __init__(self, brain: Brain, *, soft: bool = True, temperature: float = 2.0) -> None:
        super().__init__()
        self.brain = brain
        self.soft = soft
        self.temperature = temperature

    def forward(
        self,
        trials: Trials,
        answers: Tensor,
        noise: Tensor,
        events: Events | None = None,
        replay_answers: Tensor | None = None,
        share: Tensor | float = 1.0,
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
            Replayed experience; current trials and events climb the cortex in one pass.
        share
            Weight of current experience, 1/T.
        """
        brain = self.brain
        reentry = brain.cortex.reentry
        current = brain.cortex(trials.stimulus, stop=reentry)[reentry]
        activity = current if events is None else torch.cat((current, events.activity))
        top = brain.cortex(activity, start=reentry)[brain.top]
        logits = brain.readout(top)
        n = trials.target.shape[0]
        recreated, diverged = self._generate(top, activity.detach(), trials, noise, events)
        current = (objectives.classification(logits[:n], trials.target, answers).mean(), recreated[0], diverged[0])
        total = current[0] + current[1] + current[2]
        zero = total.new_zeros(())
        replayed = (zero, zero, zero, zero)
        if events is not None and replay_answers is not None:
            judged = self._judge(logits[n:], events, replay_answers).mean()
            hard, soft = (zero, judged) if self.soft else (judged, zero)
            replayed = (hard, soft, recreated[1], diverged[1])
            total = share * total + (1 - share) * torch.stack(replayed).sum()
        return total, torch.stack((*current, *replayed)).detach()

    def _judge(self, logits: Tensor, events: Events, answers: Tensor) -> Tensor:
        if self.soft:
            return objectives.distillation(logits, events.soft_target, answers, self.temperature)
        return objectives.classification(logits, events.decision, answers)

    def _generate(
        self, top: Tensor, original: Tensor, trials: Trials, noise: Tensor, events: Events | None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Reconstruction and divergence, mean over current trials and, with events, over replayed rows."""
        brain = self.brain
        if brain.hippocampus is None or brain.feedback is None:
            zero = top.new_zeros(())
            return [zero, zero], [zero, zero]
        code = brain.hippocampus(top)
        sample = code.sample(noise)
        gates = None if brain.gates is None else brain.gates(self._gate_weight(trials, events, top.dtype))
        drive = brain.feedback(sample, gates)
        bernoulli = brain.feedback.reconstruction == "bernoulli"
        loss = objectives.reconstruction_bernoulli if bernoulli else objectives.reconstruction_gaussian
        recreated = loss(drive, original)
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
