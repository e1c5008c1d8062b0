"""Synaptic consolidation: synapses that mattered become stiff.

A rule is a frozen dataclass of settings with four methods (``begin``, ``observe``, ``consolidate``, ``penalty``);
what it remembers is an explicit state, handed in and out. It sees named synapses with a leading ``animal`` axis and
nothing else: no areas, no contexts, no replay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from .errors import SettingError, check_number

Synapses = Mapping[str, Tensor]
"""Name to value, (animal, ...)."""
Information = Callable[[int], Synapses]
"""At most how many trials, to the Fisher information of every covered synapse in the context just learned."""


@runtime_checkable
class ConsolidationRule(Protocol):
    """What a rule offers. ``strength`` multiplies the penalty; ``watches_steps`` says whether ``observe`` is called.

    With a class attribute ``repeatable = True``, ``observe`` and ``penalty`` promise to do the same operations in the
    same memory at every step of a context, and nothing outside of tensors, so that a GPU may repeat them by itself;
    see :func:`replaysim.steps.repeatable`.
    """

    @property
    def strength(self) -> float:
        """Weight of the penalty in the loss."""
        ...

    @property
    def watches_steps(self) -> bool:
        """Whether every weight update is to be observed."""
        ...

    def begin(self, synapses: Synapses) -> ConsolidationState:
        """State of a naive animal."""
        ...

    def observe(self, state: ConsolidationState, before: Synapses, gradient: Synapses, after: Synapses) -> None:
        """Take in one weight update."""
        ...

    def consolidate(
        self, state: ConsolidationState, synapses: Synapses, information: Information
    ) -> ConsolidationState:
        """State after a context has ended."""
        ...

    def penalty(self, state: ConsolidationState, synapses: Synapses) -> Tensor:
        """What moving away costs each animal, before it is multiplied by ``strength``; (animal,)."""
        ...


def check_rule(rule: object) -> None:
    """Raise :class:`SettingError` unless this is a rule, ready-made or a user's own."""
    if isinstance(rule, type):
        must = f"an instance: add (), as in {rule.__name__}()"
        raise SettingError("simulate", "consolidation", rule, must)
    if not isinstance(rule, ConsolidationRule):
        must = "a rule, e.g. SynapticIntelligence(c=0.1), or left out"
        raise SettingError("simulate", "consolidation", rule, must)
    owner = type(rule).__name__
    check_number(owner, "strength", rule.strength, least=0)
    if not isinstance(rule.watches_steps, bool):
        raise SettingError(owner, "watches_steps", rule.watches_steps, "True or False")
    for name in ("begin", "observe", "consolidate", "penalty"):
        if not callable(getattr(rule, name)):
            raise SettingError(owner, name, getattr(rule, name), "a method, see `ConsolidationRule`")


class ConsolidationState(NamedTuple):
    """What a rule remembers; every mapping is name to (animal, ...)."""

    importance: dict[str, Tensor]
    """How much a synapse mattered (Omega in Zenke et al., F in Kirkpatrick et al. and Schwarz et al.); 0 before
    anything is consolidated.
    """
    anchor: dict[str, Tensor]
    """Value from which moving away is punished."""
    path: dict[str, Tensor]
    """Synaptic intelligence: contribution to the loss drop since the last context ended; else empty."""
    offset: dict[str, Tensor]
    """EWC: what cannot be avoided because earlier anchors differ, (animal,) per synapse group; else empty."""
    consolidated: int
    """Contexts consolidated so far."""


def in_memory_of_its_own(state: ConsolidationState, synapses: Synapses) -> ConsolidationState:
    """The same state, in which every value that lies in memory once for many (``expand``) has a place of its own.

    It lies as its synapses lie, so that sums run in the same order; what lies so could not be read from a checkpoint.
    """

    def own(name: str, value: Tensor) -> Tensor:
        if all(step or n == 1 for step, n in zip(value.stride(), value.shape, strict=True)):
            return value  # the very tensor
        like = synapses.get(name)
        if like is None or like.shape != value.shape:
            return value.contiguous()
        return torch.empty_like(like, dtype=value.dtype, device=value.device).copy_(value)

    parts = [{name: own(name, value) for name, value in part.items()} for part in state[:-1]]
    return ConsolidationState(parts[0], parts[1], parts[2], parts[3], state.consolidated)


def _nothing_yet(synapses: Synapses) -> ConsolidationState:
    """No importance, and the anchor here."""
    zeros = {name: torch.zeros_like(value) for name, value in synapses.items()}
    return ConsolidationState(zeros, {name: value.detach().clone() for name, value in synapses.items()}, {}, {}, 0)


class _Parabola(torch.autograd.Function):
    """Importance-weighted squared distance with its gradient written out: half the memory traffic of composing it."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, importance: Tensor, anchor: Tensor) -> Tensor:
        gap = value - anchor
        weighed = importance * gap
        ctx.save_for_backward(weighed)
        if not weighed.is_contiguous():  # synapses that lie input after input: flattened as they lie, without a copy
            weighed, gap = weighed.mT, gap.mT
        return torch.bmm(weighed.flatten(1)[:, None], gap.flatten(1)[..., None])[:, 0, 0]

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        (weighed,) = ctx.saved_tensors
        return weighed * (2 * slopes[0]).view(-1, *(1,) * (weighed.dim() - 1)), None, None


def stretch(state: ConsolidationState, synapses: Synapses) -> Tensor:
    r"""Weighted squared distance from the anchors, :math:`\sum_i \Omega_i (\theta_i - \bar\theta_i)^2`; (animal,)."""
    terms = [_Parabola.apply(value, state.importance[name], state.anchor[name]) for name, value in synapses.items()]
    return torch.stack(terms).sum(0)


@dataclass(frozen=True)
class SynapticIntelligence:
    r"""Synapses keep account, while learning, of how much they contribute to the drop of the loss.

    .. math::
        W_i \mathrel{+}= -g_i (\theta_i^\text{new} - \theta_i^\text{old}), \qquad
        \Omega_i \mathrel{+}= \frac{W_i}{(\theta_i^\text{end} - \theta_i^\text{start})^2 + \epsilon}, \qquad
        \text{penalty} = \sum_i \Omega_i (\theta_i - \theta_i^\text{end})^2

    with :math:`g` the gradient of the whole loss. Importance is not clipped: it may be negative.

    Parameters
    ----------
    c
        Strength (Split MNIST: 0.1 in the class, 10 in the task scenario).
    epsilon
        Damping :math:`\epsilon` (the paper: 0.1).

    References
    ----------
    Zenke, Poole & Ganguli (2017), ICML.
    """

    c: float = 0.1
    epsilon: float = 0.1

    def __post_init__(self) -> None:
        check_number("SynapticIntelligence", "c", self.c, least=0)
        check_number("SynapticIntelligence", "epsilon", self.epsilon, above=0)

    @property
    def strength(self) -> float:
        """Weight of the penalty in the loss."""
        return self.c

    @property
    def watches_steps(self) -> bool:
        """The path integral needs every step."""
        return True

    def begin(self, synapses: Synapses) -> ConsolidationState:
        """No importance yet; the start of the path is here."""
        return _nothing_yet(synapses)._replace(path={name: torch.zeros_like(value) for name, value in synapses.items()})

    def observe(self, state: ConsolidationState, before: Synapses, gradient: Synapses, after: Synapses) -> None:
        """Add one step to the path integral, in place."""
        moved = torch._foreach_sub([before[n] for n in state.path], [after[n].detach() for n in state.path])
        torch._foreach_addcmul_(list(state.path.values()), [gradient[n] for n in state.path], moved)

    def consolidate(
        self, state: ConsolidationState, synapses: Synapses, information: Information
    ) -> ConsolidationState:
        """Turn the path integral into importance, and start a new one from here."""
        importance, anchor, path = {}, {}, {}
        for name, value in synapses.items():
            end = value.detach()
            importance[name] = state.importance[name] + state.path[name] / (
                (end - state.anchor[name]).square() + self.epsilon
            )
            anchor[name] = end.clone()
            path[name] = torch.zeros_like(end)
        return ConsolidationState(importance, anchor, path, {}, state.consolidated + 1)

    def penalty(self, state: ConsolidationState, synapses: Synapses) -> Tensor:
        """See the class."""
        return stretch(state, synapses)


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
        return _nothing_yet(synapses)._replace(offset=offset)

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
        return _nothing_yet(synapses)

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
