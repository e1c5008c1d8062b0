"""Many animals as one computation.

Synapses, gates, memory modes, optimiser state and noise carry a leading ``animal`` axis. A brain is written for *one*
animal; :func:`torch.func.vmap` runs it for all. Animals never touch each other: a row of a batched product does not
see its neighbours.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from .brain import Brain
from .consolidation import ConsolidationRule, ConsolidationState, in_memory_of_its_own
from .cortex import RETINA
from .errors import check_choice
from .events import Appraisal, Cues, Episodes, Events, Reactivation, ReplayRound
from .fisher import Judgement, information_of
from .layout import Adam, by_input
from .learning import Entrances, Experience, Trials
from .replay import ReplayMechanism, distillation_weight
from .sensitivity import JUDGEMENTS
from .shells import Perception, nested, without_values

_TRIALS_AT_ONCE = 2048  # stimuli that an evaluation holds at a time, per animal


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
    presented
        Area at which stimuli are presented: the retina, or a standing area whose activity is kept.

    Attributes
    ----------
    synapses
        All plastic values by name, (animal, ...), trained in place.
    fixed
        All other state by name (gates, running statistics), (animal, ...).
    template
        One brain's modules without values, as it is while nothing is learned.
    """

    def __init__(
        self,
        brains: Sequence[Brain],
        *,
        rate: float,
        replay: ReplayMechanism | None = None,
        consolidation: ConsolidationRule | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        presented: str = RETINA,
    ) -> None:
        self.animals = tuple(brain.animal for brain in brains)
        self.device, self.dtype = torch.device(device), dtype
        self.replay, self.consolidation, self.presented = replay, consolidation, presented
        placed = [copy.deepcopy(brain).to(self.device, dtype) for brain in brains]
        plastic, fixed = stack_module_state(placed)
        self.synapses = {
            name: by_input(value.detach()).requires_grad_(value.requires_grad) for name, value in plastic.items()
        }
        self.fixed = {name: value.detach() for name, value in fixed.items()}
        learner = without_values(placed[0]).train()  # values come from the stacks
        self.template = copy.deepcopy(learner).eval()
        soft = replay is None or replay.targets == "soft"
        temperature = 2.0 if replay is None else replay.temperature
        source = "recall" if replay is None else replay.source
        at = self.template.cortex.reentry if source == "recall" and learner.hippocampus is not None else presented
        weight = distillation_weight(replay)
        self._experience = Experience(learner, soft=soft, temperature=temperature, distillation_weight=weight)
        shared = source == "current" and learner.hippocampus is None and not self._experience.apart
        self._experience.entrances = Entrances(presented, at, shared)
        looks = copy.deepcopy(self.template)  # functional_call may not put back what has two names
        self._perception = Perception(looks)
        self._judgement = Judgement(looks, presented)
        self._reactivation = Reactivation(looks, temperature)
        self._appraisal = Appraisal(looks, temperature, presented, known=source == "episodes" and not soft)
        leaves = [value for value in self.synapses.values() if value.requires_grad]
        self.covered = [
            name
            for name, value in self.synapses.items()
            if value.requires_grad and name.split(".")[0] in ("cortex", "readout")
        ]
        cuda = self.device.type == "cuda"
        stiff = list(self._covered().values()) if cuda and consolidation is not None else []
        self.adam = Adam(leaves, rate, fused=self.device.type in ("cpu", "cuda"), capturable=cuda, bounded=stiff)
        self.state: ConsolidationState | None = None
        if consolidation is not None:
            self.state = in_memory_of_its_own(consolidation.begin(self._covered()), self._covered())
        self._values = nested({**self.synapses, **self.fixed})
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
        return self._ask(self._reactivation, cues, plan)

    @torch.no_grad()
    def appraise(self, met: Episodes, plan: ReplayRound) -> Events:
        """Events that the earlier selves make of stimuli; every tensor has a leading animal axis."""
        return self._ask(self._appraisal, met, plan)

    def _ask(self, module: nn.Module, asked: Cues | Episodes, plan: ReplayRound) -> Events:
        if self._earlier is None:
            raise RuntimeError("there is no earlier self before remember_self() was called")

        def one(values: dict[str, Tensor], each: Cues | Episodes) -> Events:
            given = (each, plan.row_event, plan.row_context, plan.teacher_answers)
            return functional_call(module, values, given, {"repeated": plan.repeated})

        return vmap(one)(self._earlier, asked)

    def learn(
        self,
        trials: Trials,
        answers: Tensor,
        noise: Tensor,
        events: Events | None = None,
        plan: ReplayRound | None = None,
        share: float = 1.0,
        groups: tuple[int, ...] = (),
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
        groups
            Numbers of successive current trials that a part whose normalisation looks at its batch meets separately;
            empty: all together.

        Returns
        -------
        Tensor
            Losses before the update, (animal, component) in the order of :data:`~replaysim.learning.COMPONENTS`.
        """
        total, parts = self._costs(trials, answers, noise, events, plan, share, groups)
        rule, state = self.consolidation, self.state
        penalty = torch.zeros_like(total)
        if rule is not None and state is not None and state.consolidated:
            penalty = rule.penalty(state, self._covered())
            total = total + rule.strength * penalty
        self.adam.zero_grad()
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
        groups: tuple[int, ...],
    ) -> tuple[Tensor, Tensor]:
        module = self._experience
        if events is None or plan is None:

            def alone(values: dict[str, Tensor], batch: Trials, eps: Tensor) -> tuple[Tensor, Tensor]:
                return functional_call(module, values, (batch, answers, eps), {"groups": (groups, ())})

            return vmap(alone)(self._values, trials, noise)
        settings = {"row_event": plan.row_event if plan.repeated else None, "groups": (groups, plan.groups)}

        def accompanied(
            values: dict[str, Tensor], batch: Trials, eps: Tensor, replayed: Events
        ) -> tuple[Tensor, Tensor]:
            given = (batch, answers, eps, replayed, plan.learner_answers, share)
            return functional_call(module, values, given, settings)

        return vmap(accompanied)(self._values, trials, noise, events)

    def consolidate(
        self, stimuli: Callable[[int], Sequence[Tensor]], answers: Tensor, context: int | None = None
    ) -> None:
        """End of a context: update the state of synaptic consolidation.

        Parameters
        ----------
        stimuli
            Gives at most so many training stimuli of the context just learned in random order, (trial, ...), one
            tensor per animal; called only by a rule that asks for information.
        answers
            Readout units that compete, boolean, (answer,).
        context
            The context just learned, from 0; needed where the cortex is gated by it.
        """
        if self.consolidation is None or self.state is None:
            return

        def information(trials: int, of: str = "decision") -> dict[str, Tensor]:
            check_choice(type(self.consolidation).__name__, "information(of)", of, JUDGEMENTS)
            judgement = JUDGEMENTS[of](self._judgement.brain, self._judgement.area)
            wanted = [f"brain.{name}" for name in self.covered]
            found = [
                information_of(
                    judgement,
                    {name: value[a].detach() for name, value in self._values.items()},
                    wanted,
                    own,
                    answers,
                    context,
                )
                for a, own in enumerate(stimuli(trials))
            ]
            return {name: by_input(torch.stack([f[f"brain.{name}"] for f in found])) for name in self.covered}

        state = self.consolidation.consolidate(self.state, self._covered(), information)
        self.state = in_memory_of_its_own(state, self._covered())

    @torch.no_grad()
    def perceive(
        self,
        stimuli: Tensor,
        wanted: Sequence[str],
        *,
        context: Tensor | None = None,
        own: bool = False,
        start: str | None = None,
    ) -> Iterator[dict[str, Tensor]]:
        """What stimuli evoke: name to (animal, trial, ...), a block of trials at a time.

        Parameters
        ----------
        stimuli
            (trial, ...), the same for all animals, or with ``own`` (animal, trial, ...).
        wanted
            Names of areas, or ``logits``, ``code_mean``, ``code_log_variance``.
        context
            Context of each trial, (animal, trial); needed where the cortex is gated by it.
        start
            Area at which they are presented; default: that of learning.
        """
        settings = {"start": self.presented if start is None else start}
        if context is None:
            context = torch.zeros(self.size, stimuli.shape[int(own)], dtype=torch.int64, device=self.device)

        def one(values: dict[str, Tensor], block: Tensor, where: Tensor) -> dict[str, Tensor]:
            evoked = functional_call(self._perception, values, (block, where), settings)
            return {name: evoked[name] for name in wanted}

        blocks = stimuli.split(_TRIALS_AT_ONCE, dim=int(own))
        for block, where in zip(blocks, context.split(_TRIALS_AT_ONCE, dim=1), strict=True):
            yield vmap(one, in_dims=(0, 0 if own else None, 0))(self._values, block, where)

    def brain_state(self, index: int) -> dict[str, Tensor]:
        """State of one animal's brain, on the CPU; loads into an ordinary brain.

        It has the names that a brain saves: both of what has two, and none of a buffer that is not saved.
        """
        values, template = {**self.synapses, **self.fixed}, self.template
        names = {id(value): name for name, value in (*template.named_parameters(), *template.named_buffers())}
        saved = {name: names.get(id(value)) for name, value in template.state_dict(keep_vars=True).items()}
        plain = torch.contiguous_format
        return {
            name: values[own][index].detach().cpu().clone(memory_format=plain)
            for name, own in saved.items()
            if own is not None
        }


def _gradient(value: Tensor) -> Tensor:
    return torch.zeros_like(value) if value.grad is None else value.grad
