"""Many animals as one computation.

Synapses, gates, memory modes, optimiser state and noise carry a leading ``animal`` axis. A brain is written for *one*
animal; :func:`torch.func.vmap` runs it for all. Animals never touch each other: a row of a batched product does not
see its neighbours.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from .brain import Brain
from .consolidation import ConsolidationRule, ConsolidationState
from .fisher import Judgement, fisher_information
from .learning import Experience, Trials
from .replay import Cues, Events, GenerativeReplay, Reactivation, ReplayRound

_TRIALS_AT_ONCE = 2048  # stimuli that an evaluation holds at a time, per animal


class Perception(nn.Module):
    """Everything that one stimulus evokes in one brain: areas, logits and, with a hippocampus, the code."""

    def __init__(self, brain: Brain) -> None:
        super().__init__()
        self.brain = brain

    def forward(self, stimulus: Tensor) -> dict[str, Tensor]:
        """Area name to activity, and ``logits``, ``code_mean``, ``code_log_variance``."""
        evoked = dict(self.brain.perceive(stimulus))
        top = evoked[self.brain.top]
        evoked["logits"] = self.brain.readout(top)
        if self.brain.hippocampus is not None:
            evoked["code_mean"], evoked["code_log_variance"] = self.brain.hippocampus(top)
        return evoked


class Cohort:
    """Animals that learn at the same time.

    Parameters
    ----------
    brains
        One naive brain per animal, all grown from one plan.
    rate
        Learning rate of Adam.
    replay, consolidation
        Mechanisms, or None.
    device, dtype
        Where and how precisely to compute.

    Attributes
    ----------
    synapses
        All plastic values by name, (animal, ...), trained in place.
    fixed
        All other state by name (gates, running statistics), (animal, ...).
    """

    def __init__(
        self,
        brains: Sequence[Brain],
        *,
        rate: float,
        replay: GenerativeReplay | None = None,
        consolidation: ConsolidationRule | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.animals = tuple(brain.animal for brain in brains)
        self.device, self.dtype = torch.device(device), dtype
        self.replay, self.consolidation = replay, consolidation
        placed = [copy.deepcopy(brain).to(self.device, dtype) for brain in brains]
        plastic, fixed = stack_module_state(placed)
        self.synapses = {name: value.detach().requires_grad_(value.requires_grad) for name, value in plastic.items()}
        self.fixed = {name: value.detach() for name, value in fixed.items()}
        template = placed[0]
        soft = replay is None or replay.targets == "soft"
        temperature = 2.0 if replay is None else replay.temperature
        self.template = template
        self._experience = Experience(template, soft=soft, temperature=temperature)
        self._perception = Perception(template)
        self._judgement = Judgement(template)
        self._reactivation = Reactivation(template, temperature)
        leaves = [value for value in self.synapses.values() if value.requires_grad]
        fused = self.device.type in ("cpu", "cuda")
        self.adam = torch.optim.Adam(leaves, lr=rate, betas=(0.9, 0.999), eps=1e-8, fused=fused)
        self.covered = [
            name
            for name, value in self.synapses.items()
            if value.requires_grad and name.split(".")[0] in ("cortex", "readout")
        ]
        self.state: ConsolidationState | None = None
        if consolidation is not None:
            self.state = consolidation.begin(self._covered())
        self._values = _nested({**self.synapses, **self.fixed})
        self._earlier: dict[str, Tensor] | None = None

    @property
    def size(self) -> int:
        """Number of animals."""
        return len(self.animals)

    def _covered(self) -> dict[str, Tensor]:
        return {name: self.synapses[name] for name in self.covered}

    def remember_self(self) -> None:
        """Keep a frozen copy as the earlier self that supplies replay and its targets."""
        if self._earlier is None:
            self._earlier = {name: value.detach().clone() for name, value in self._values.items()}
        for name, value in self._values.items():
            self._earlier[name].copy_(value.detach())

    @torch.no_grad()
    def reactivate(self, cues: Cues, plan: ReplayRound) -> Events:
        """Events that the earlier selves make of the cues; every tensor has a leading animal axis."""
        if self._earlier is None:
            raise RuntimeError("there is no earlier self before remember_self() was called")
        repeated = len(plan.row_event) != plan.events

        def one(values: dict[str, Tensor], cue: Cues) -> Events:
            given = (cue, plan.row_event, plan.row_context, plan.teacher_answers)
            return functional_call(self._reactivation, values, given, {"repeated": repeated})

        return vmap(one)(self._earlier, cues)

    def learn(
        self,
        trials: Trials,
        answers: Tensor,
        noise: Tensor,
        events: Events | None = None,
        plan: ReplayRound | None = None,
        share: float = 1.0,
    ) -> Tensor:
        """One weight update of every animal.

        Parameters
        ----------
        trials, noise, events
            Tensors with a leading animal axis; see :class:`~replaysim.learning.Experience`.
        answers
            Readout units that compete on current trials, shared by all animals.
        plan
            What the events may be; given with them.
        share
            Weight of current experience, 1/T.

        Returns
        -------
        Tensor
            Losses before the update, (animal, component) in the order of :data:`~replaysim.learning.COMPONENTS`.
        """
        total, parts = self._costs(trials, answers, noise, events, plan, share)
        rule, state = self.consolidation, self.state
        penalty = torch.zeros_like(total)
        if rule is not None and state is not None and state.consolidated:
            penalty = rule.penalty(state, self._covered())
            total = total + rule.strength * penalty
        self.adam.zero_grad(set_to_none=True)
        total.sum().backward()
        if rule is not None and state is not None and rule.watches_steps:
            before = {name: value.detach().clone() for name, value in self._covered().items()}
            self.adam.step()
            gradient = {name: _gradient(value) for name, value in self._covered().items()}
            rule.observe(state, before, gradient, self._covered())
        else:
            self.adam.step()
        return torch.cat((total.detach()[:, None], parts, penalty.detach()[:, None]), dim=1)

    def _costs(
        self,
        trials: Trials,
        answers: Tensor,
        noise: Tensor,
        events: Events | None,
        plan: ReplayRound | None,
        share: float,
    ) -> tuple[Tensor, Tensor]:
        module = self._experience
        if events is None or plan is None:

            def alone(values: dict[str, Tensor], batch: Trials, eps: Tensor) -> tuple[Tensor, Tensor]:
                return functional_call(module, values, (batch, answers, eps))

            return vmap(alone)(self._values, trials, noise)

        def accompanied(
            values: dict[str, Tensor], batch: Trials, eps: Tensor, replayed: Events
        ) -> tuple[Tensor, Tensor]:
            return functional_call(module, values, (batch, answers, eps, replayed, plan.learner_answers, share))

        return vmap(accompanied)(self._values, trials, noise, events)

    def consolidate(self, stimuli: Callable[[int], Sequence[Tensor]], answers: Tensor) -> None:
        """End of a context: update the state of synaptic consolidation.

        Parameters
        ----------
        stimuli
            Gives at most so many training stimuli of the context just learned in random order, (trial, ...), one
            tensor per animal; called only by a rule that asks for information.
        answers
            Readout units that compete, boolean, (answer,).
        """
        if self.consolidation is None or self.state is None:
            return

        def information(trials: int) -> dict[str, Tensor]:
            wanted = [f"brain.{name}" for name in self.covered]
            found = [
                fisher_information(
                    self._judgement,
                    {name: value[a].detach() for name, value in self._values.items()},
                    wanted,
                    own,
                    answers,
                )
                for a, own in enumerate(stimuli(trials))
            ]
            return {name: torch.stack([f[f"brain.{name}"] for f in found]) for name in self.covered}

        self.state = self.consolidation.consolidate(self.state, self._covered(), information)

    @torch.no_grad()
    def perceive(self, stimuli: Tensor, wanted: Sequence[str]) -> Iterator[dict[str, Tensor]]:
        """What stimuli, the same for all animals, evoke: name to (animal, trial, ...), a block of trials at a time."""

        def one(values: dict[str, Tensor], block: Tensor) -> dict[str, Tensor]:
            evoked = functional_call(self._perception, values, (block,))
            return {name: evoked[name] for name in wanted}

        for block in stimuli.split(_TRIALS_AT_ONCE):
            yield vmap(one, in_dims=(0, None))(self._values, block)

    def brain_state(self, index: int) -> dict[str, Tensor]:
        """State of one animal's brain, on the CPU; loads into an ordinary brain."""
        return {name: value[index].detach().cpu().clone() for name, value in {**self.synapses, **self.fixed}.items()}


def _nested(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names as the modules see them that hold a brain as their part."""
    return {f"brain.{name}": value for name, value in values.items()}


def _gradient(value: Tensor) -> Tensor:
    return torch.zeros_like(value) if value.grad is None else value.grad
