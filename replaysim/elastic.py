"""Elastic weight consolidation: synapses that decisions depend on become stiff when a context has ended."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .consolidation import ConsolidationState, Information, Synapses, nothing_yet, stretch
from .errors import SettingError, check_number


class _BetweenContexts:
    """Part of rules that look at synapses when a context has ended, and not before."""

    @property
    def watches_steps(self) -> bool:
        """Nothing is watched while learning."""
        return False

    def observe(self, state: ConsolidationState, before: Synapses, gradient: Synapses, after: Synapses) -> None:
        """Nothing to take in."""


@dataclass(frozen=True)
class ElasticWeightConsolidation(_BetweenContexts):
    r"""After a context, synapses are stiff in proportion to the information that the decision carries about them.

    .. math:: \text{penalty} = \tfrac12 \sum_k \sum_i F_{ki} (\theta_i - \theta_{ki})^2

    over all contexts *k* learned so far. A sum of parabolas is a parabola, so only the summed information, its
    weighted mean anchor and a constant are kept, however many contexts there are.

    Parameters
    ----------
    strength
        :math:`\lambda` (Split MNIST: 1e5 in the class, 1e9 in the task scenario).
    trials
        Training stimuli of a context from which the information is computed, or all if it has fewer (the paper: 1000).

    References
    ----------
    Kirkpatrick et al. (2017), PNAS 114:3521.
    """

    strength: float = 1e5
    trials: int = 1000

    def __post_init__(self) -> None:
        check_number("ElasticWeightConsolidation", "strength", self.strength, least=0)
        check_number("ElasticWeightConsolidation", "trials", self.trials, least=1, whole=True)

    def begin(self, synapses: Synapses) -> ConsolidationState:
        """No information yet."""
        offset = {name: value.detach().new_zeros(value.shape[0]) for name, value in synapses.items()}
        return nothing_yet(synapses)._replace(offset=offset)

    def consolidate(
        self, state: ConsolidationState, synapses: Synapses, information: Information
    ) -> ConsolidationState:
        """Add the parabola of the context just learned."""
        importance, anchor, offset = {}, {}, {}
        for name, new in information(self.trials).items():
            here = synapses[name].detach()
            total = state.importance[name] + new
            share = torch.where(total > 0, new / total, 0.0)
            gap = here - state.anchor[name]
            importance[name] = total
            anchor[name] = torch.where(total > 0, state.anchor[name] + share * gap, here)
            offset[name] = state.offset[name] + (state.importance[name] * share * gap.square()).flatten(1).sum(1)
        return ConsolidationState(importance, anchor, {}, offset, state.consolidated + 1)

    def penalty(self, state: ConsolidationState, synapses: Synapses) -> Tensor:
        """See the class."""
        return 0.5 * (stretch(state, synapses) + torch.stack(list(state.offset.values())).sum(0))


@dataclass(frozen=True)
class OnlineElasticWeightConsolidation(_BetweenContexts):
    r"""Elastic weight consolidation in which earlier contexts fade, and only the latest synapses are an anchor.

    .. math::
        F_i \leftarrow F_i^\text{new} + \gamma F_i, \qquad
        \text{penalty} = \tfrac12 \sum_i \gamma F_i (\theta_i - \theta_i^\text{latest})^2

    with :math:`F^\text{new}` the information about each synapse in the context that has just ended. What is kept does
    not grow with the number of contexts, and even at :math:`\gamma = 1` it differs from
    :class:`ElasticWeightConsolidation`: there, earlier contexts go on pulling towards where *they* left the synapses.

    Parameters
    ----------
    strength
        :math:`\lambda` (permuted MNIST: 1).
    gamma
        Share :math:`\gamma` of the information that a further context leaves, in (0, 1] (the paper: 1).
    trials
        Training stimuli of a context from which the information is computed, or all if it has fewer (the paper: 1000).

    References
    ----------
    Schwarz et al. (2018), ICML; Huszár (2018), PNAS 115:E2496.
    """

    strength: float = 1.0
    gamma: float = 1.0
    trials: int = 1000

    def __post_init__(self) -> None:
        owner = "OnlineElasticWeightConsolidation"
        check_number(owner, "strength", self.strength, least=0)
        check_number(owner, "gamma", self.gamma, above=0)
        if self.gamma > 1:
            raise SettingError(owner, "gamma", self.gamma, "a number > 0 and <= 1: information only fades")
        check_number(owner, "trials", self.trials, least=1, whole=True)

    def begin(self, synapses: Synapses) -> ConsolidationState:
        """No information yet."""
        return nothing_yet(synapses)

    def consolidate(
        self, state: ConsolidationState, synapses: Synapses, information: Information
    ) -> ConsolidationState:
        """Let earlier information fade, add that of the context just learned, and drop the anchor here."""
        importance = {name: new + self.gamma * state.importance[name] for name, new in information(self.trials).items()}
        anchor = {name: synapses[name].detach().clone() for name in importance}
        return ConsolidationState(importance, anchor, {}, {}, state.consolidated + 1)

    def penalty(self, state: ConsolidationState, synapses: Synapses) -> Tensor:
        """See the class."""
        return 0.5 * self.gamma * stretch(state, synapses)
