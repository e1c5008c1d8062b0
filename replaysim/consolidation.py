"""Synaptic consolidation: synapses that mattered become stiff.

A rule is a frozen dataclass of settings with four methods (``begin``, ``observe``, ``consolidate``, ``penalty``);
what it remembers is an explicit state, handed in and out. It sees named synapses with a leading ``animal`` axis and
nothing else: no areas, no contexts, no replay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from .errors import SettingError, check_number

Synapses = Mapping[str, Tensor]
"""Name to value, (animal, ...)."""


class Information(Protocol):
    """What a rule can ask for when a context has ended.

    Of at most so many trials of the context just learned, for every covered synapse: ``of="decision"``, the Fisher
    information of the decision (:mod:`replaysim.fisher`), or ``of="output"``, the sensitivity of the readout's activity
    (:mod:`replaysim.sensitivity`).
    """

    def __call__(self, trials: int, of: str = "decision") -> Synapses:
        """Name to information, (animal, ...); nonnegative."""
        ...


_SMALL = 2**16  # synapses of an animal; biases and kernels of early areas have fewer, dense layers more


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


def nothing_yet(synapses: Synapses) -> ConsolidationState:
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
        weighed, gap = (part.reshape(len(part), -1) for part in (weighed, gap))
        if weighed.is_cuda:  # a sum is spread over the device, a product of two very long vectors need not be
            return (weighed * gap).sum(1)
        return torch.bmm(weighed[:, None], gap[..., None])[:, 0, 0]

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        (weighed,) = ctx.saved_tensors
        return weighed * (2 * slopes[0]).view(-1, *(1,) * (weighed.dim() - 1)), None, None


def stretch(state: ConsolidationState, synapses: Synapses) -> Tensor:
    r"""Weighted squared distance from the anchors, :math:`\sum_i \Omega_i (\theta_i - \bar\theta_i)^2`; (animal,)."""
    groups: list[tuple[Tensor, ...]]
    groups = [(value, state.importance[name], state.anchor[name]) for name, value in synapses.items()]
    if groups and groups[0][0].is_cuda:
        groups = together(groups)
    return torch.stack([_Parabola.apply(*each) for each in groups]).sum(0)


def together(groups: Sequence[tuple[Tensor, ...]], small: int = _SMALL) -> list[tuple[Tensor, ...]]:
    """Tensors (animal, ...) of layers, those of all small layers as one (animal, synapse): fewer operations.

    Parameters
    ----------
    groups
        Of each layer some tensors of the same shape.
    small
        Synapses of an animal below which a layer is small.
    """
    large = [each for each in groups if each[0][0].numel() >= small]
    few = [each for each in groups if each[0][0].numel() < small]
    if few:
        parts = zip(*few, strict=True)
        large.append(tuple(torch.cat([value.reshape(len(value), -1) for value in part], 1) for part in parts))
    return large


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
        return nothing_yet(synapses)._replace(path={name: torch.zeros_like(value) for name, value in synapses.items()})

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
