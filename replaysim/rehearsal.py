"""Rehearsal: parts that are a user's own are tried out once, as a cohort will run them, before any animal lives.

A cortex climbs a few trials of some animals at once, a rule sees their synapses through two short contexts. What goes
wrong is said in a sentence, and before a folder is made; nothing of it is left, and no random number is drawn.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from .arithmetic import undisturbed
from .brain import Brain, gateable
from .consolidation import (
    ConsolidationRule,
    ConsolidationState,
    Synapses,
    SynapticIntelligence,
    in_memory_of_its_own,
)
from .context_gating import ContextGates
from .cortex import RETINA, AbstractCortex, DensePlan
from .elastic import ElasticWeightConsolidation, OnlineElasticWeightConsolidation
from .errors import ReplaysimError, SettingError, check_choice, check_number
from .fisher import information_of
from .layout import by_input
from .life import Condition
from .own_cortex import check_whole, same, unsaved
from .products import layers_in
from .sensitivity import JUDGEMENTS
from .shells import without_values
from .visual_cortex import VisualPlan

INFORMED = (ElasticWeightConsolidation, OnlineElasticWeightConsolidation)
READY_MADE = (SynapticIntelligence, *INFORMED)
ANIMALS, TRIALS = 3, 2
_LONG = 200  # characters of somebody else's error


def rehearse(condition: Condition, naive: Brain) -> None:
    """Try out a cortex or a rule that is a user's own; ready-made ones need no rehearsal.

    Parameters
    ----------
    condition
        How the animals will live.
    naive
        One brain, without gates.

    Raises
    ------
    SettingError
        Names the class, and what to do.
    """
    with _nothing_left():
        rule = condition.consolidation
        if _own(condition):
            _climb(condition, naive)
            check_whole(naive)
            if type(rule) in INFORMED:
                _judge(condition, naive)
        if rule is not None and type(rule) not in READY_MADE:
            _consolidate(condition, naive, rule)


def _own(condition: Condition) -> bool:
    """Whether the cortex is a user's own."""
    return type(condition.brain.cortex) not in (DensePlan, VisualPlan)


@contextmanager
def _nothing_left() -> Iterator[None]:
    """Put all random states back, and keep warnings for the simulation itself."""
    with undisturbed(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _answers_for(owner: str, method: str, must: Callable[[str], str]) -> Iterator[None]:
    """Turn what goes wrong in somebody else's method into a sentence; ``must`` says the way out."""
    try:
        yield
    except ReplaysimError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        line = said.splitlines()[0]
        raise SettingError(owner, method, line[:_LONG], must(said)) from error


# --- cortex


def _climb(condition: Condition, naive: Brain) -> None:
    """Let activity climb from wherever the cohort will let it enter, while learning and while tested."""
    owner, plan = type(naive.cortex).__name__, condition.brain
    shape, reentry = condition.protocol.stimuli.shape, naive.cortex.reentry
    passes: list[tuple[str, str | None, tuple[int, ...]]] = [(RETINA, None, shape)]
    if naive.hippocampus is not None:
        passes += [(RETINA, reentry, shape), (reentry, None, (naive.cortex.sizes[reentry],))]
    if condition.replay is not None and condition.replay.source != "recall":
        passes += [(RETINA, RETINA, shape), (RETINA, None, (naive.cortex.sizes[RETINA],))]
    gated = naive.cortex.gateable if plan.context_gating is not None else ()
    for training in (True, False):
        for start, stop, shown in dict.fromkeys(passes):
            with _answers_for(owner, "forward", partial(_way_out, start=start, stop=stop, gated=bool(gated))):
                _one_pass(condition, naive.cortex, training, start, stop, shown, gated)


def _one_pass(
    condition: Condition,
    cortex: AbstractCortex,
    training: bool,
    start: str,
    stop: str | None,
    shown: tuple[int, ...],
    gated: tuple[str, ...],
) -> None:
    own = copy.deepcopy(cortex).to(condition.device, condition.dtype)
    plastic, fixed = stack_module_state([own] * ANIMALS)
    shell = without_values(own).train(training)
    like: dict[str, Any] = {"device": condition.device, "dtype": condition.dtype}
    stimulus = torch.full((ANIMALS, TRIALS, *shown), 0.5, **like)
    units = {area: torch.ones(ANIMALS, TRIALS, cortex.sizes[area], **like).to(torch.uint8) for area in gated}

    def one(each: dict[str, Tensor], activity: Tensor, openness: dict[str, Tensor]) -> Tensor:
        given = {"start": start, "stop": stop, **({"openness": openness} if openness else {})}
        evoked = functional_call(shell, each, (activity,), given)
        _check_evoked(cortex, evoked, start, stop)
        return torch.stack([evoked[area].sum() for area in _areas(cortex, start, stop)]).sum()

    with layers_in(condition.precision if training else "float32"):
        total = vmap(one)({**plastic, **fixed}, stimulus, units).sum()
        if training and total.requires_grad:
            total.backward()
    for name in unsaved(own):
        if name in fixed and not same(fixed[name], torch.stack([own.get_buffer(name)] * ANIMALS)):
            must = "saved with the brain, without persistent=False: the activity of the cortex changes it"
            raise SettingError(type(cortex).__name__, name, "another value after a pass", must)


def _judge(condition: Condition, naive: Brain, of: str = "decision") -> None:
    """Ask what the decisions, or output, on a few trials say of every synapse, as a rule when a context has ended."""
    brain = copy.deepcopy(naive).to(condition.device, condition.dtype).eval()
    gated = condition.brain.context_gating is not None
    if gated:
        brain.context_gates = ContextGates({area: np.ones((1, n)) for area, n in gateable(naive.cortex).items()})
        brain.context_gates.to(condition.device)
    judgement = JUDGEMENTS[of](brain)
    values = dict((*judgement.named_parameters(), *judgement.named_buffers()))
    plastic = [name for name, value in values.items() if value.requires_grad]
    covered = [name for name in plastic if name.split(".")[1] in ("cortex", "readout")]
    shape, like = (TRIALS, *condition.protocol.stimuli.shape), brain.readout.weight
    stimuli = torch.full(shape, 0.5, device=like.device, dtype=like.dtype)
    answers = torch.arange(condition.brain.answers, device=like.device) < 2  # each costs a pass backward
    with _answers_for(type(naive.cortex).__name__, "forward", partial(_way_out, start=RETINA, stop=None, gated=gated)):
        information_of(judgement, values, covered, stimuli, answers, 0 if gated else None)


def _areas(cortex: AbstractCortex, start: str, stop: str | None) -> tuple[str, ...]:
    areas = tuple(cortex.areas)
    return areas[areas.index(start) : None if stop is None else areas.index(stop) + 1]


def _check_evoked(cortex: AbstractCortex, evoked: object, start: str, stop: str | None) -> None:
    """Raise :class:`SettingError` unless every area has activity of its size."""
    owner, wanted = type(cortex).__name__, _areas(cortex, start, stop)
    if not isinstance(evoked, Mapping):
        must = f"a mapping of areas to their activity, {{area: (trial, unit)}}, of {', '.join(map(repr, wanted))}"
        raise SettingError(owner, "forward", type(evoked).__name__, must)
    for area in wanted:
        activity = evoked.get(area)
        if not isinstance(activity, Tensor):
            must = f"activity of {area!r}, too, (trial, unit): it climbs from {start!r} to {stop or wanted[-1]!r}"
            raise SettingError(owner, "forward", sorted(map(str, evoked)), must)
        if activity.shape == (TRIALS, cortex.sizes[area]):
            continue
        if activity.ndim == 2 and len(activity) == TRIALS:
            must = f"{activity.shape[1]}, the units that `forward` gives this area; or mend `forward`"
            raise SettingError(owner, f"sizes[{area!r}]", cortex.sizes[area], must)
        must = f"(trial, unit), here {(TRIALS, cortex.sizes[area])}: flatten it, one row a trial"
        raise SettingError(owner, f"forward()[{area!r}]", f"shape {tuple(activity.shape)}", must)


def _way_out(said: str, start: str, stop: str | None, gated: bool) -> str:
    """What a cortex must do instead, told from what torch says."""
    if "data-dependent" in said or ".item()" in said:
        return (
            "free of branches on values (if, while, .item()): torch.func.vmap runs it for all animals at once; "
            "torch.where chooses without branching"
        )
    if "random" in said:
        return "free of random numbers (dropout, torch.rand): an animal's chance comes from streams of its own"
    if "same device" in said:
        return "free of tensors in plain attributes: self.register_buffer takes them to where animals live"
    arguments = "activity, start='retina', stop=None" + (", openness=None" if gated else "")
    if "argument" in said:
        return f"forward(self, {arguments})" + (": `gateable` names areas that a context can silence" if gated else "")
    where = f"from {start!r} up to {stop!r}" if stop else f"from {start!r} to the top"
    return f"a forward({arguments}) that climbs {where} for one animal in torch.func.vmap, see docs/extending.md"


# --- rule


def _consolidate(condition: Condition, naive: Brain, rule: ConsolidationRule) -> None:
    """Let a rule see two contexts of one step each."""
    owner, own = type(rule).__name__, copy.deepcopy(rule)
    synapses = {
        name: by_input(torch.stack([value.detach().to(condition.device, condition.dtype)] * ANIMALS)).requires_grad_()
        for name, value in naive.named_parameters()
        if value.requires_grad and name.split(".")[0] in ("cortex", "readout")
    }

    def information(trials: int, of: str = "decision") -> Synapses:
        check_number(owner, "information(trials)", trials, least=1, whole=True)
        check_choice(owner, "information(of)", of, JUDGEMENTS)
        if _own(condition):
            _judge(condition, naive, of)
        return {name: torch.ones_like(value.detach()) for name, value in synapses.items()}

    def hint(method: str) -> Callable[[str], str]:
        must = f"a method that works on a mapping of synapses, name to (animal, ...); see {method}() of the rules in "
        return lambda _said: f"{must}replaysim/consolidation.py"

    with _answers_for(owner, "begin", hint("begin")):
        state = own.begin(synapses)
    _check_state(owner, "begin", state, least=0)
    _check_detached(owner, "begin", state)
    state = in_memory_of_its_own(state, synapses)
    for learned in (1, 2):
        if rule.watches_steps:
            before = {name: value.detach() - 0.01 for name, value in synapses.items()}
            slope = {name: torch.ones_like(value) for name, value in before.items()}
            with _answers_for(owner, "observe", hint("observe")):
                own.observe(state, before, slope, synapses)
            _check_detached(owner, "observe", state)
        with _answers_for(owner, "consolidate", hint("consolidate")):
            state = own.consolidate(state, synapses, information)
        _check_state(owner, "consolidate", state, least=learned)
        _check_detached(owner, "consolidate", state)
        state = in_memory_of_its_own(state, synapses)
        with _answers_for(owner, "penalty", hint("penalty")):
            penalty = own.penalty(state, synapses)
        shape = tuple(penalty.shape) if isinstance(penalty, Tensor) else None
        if shape != (ANIMALS,):
            got = type(penalty).__name__ if shape is None else f"a tensor of shape {shape}"
            must = (
                f"a tensor (animal,), one number for each animal, here of shape {(ANIMALS,)}: sum over all but axis 0"
            )
            raise SettingError(owner, "penalty", got, must)
        if penalty.requires_grad:
            with _answers_for(owner, "penalty", hint("penalty")):
                penalty.sum().backward()


def _check_detached(owner: str, method: str, state: ConsolidationState) -> None:
    """Raise :class:`SettingError` where a rule remembers how a step came about, and with it all steps before."""
    for part, values in zip(state._fields[:-1], state[:-1], strict=True):
        for name, value in values.items():
            if isinstance(value, Tensor) and value.requires_grad:
                must = "detached values, e.g. synapses[name].detach().clone(): synapses carry gradients"
                raise SettingError(owner, f"{method}: state.{part}[{name!r}]", "a tensor with gradients", must)


def _check_state(owner: str, method: str, state: Any, least: int) -> None:
    """Raise :class:`SettingError` unless a rule gives back a state of tensors that counts the contexts."""
    if not isinstance(state, ConsolidationState) or not all(isinstance(part, Mapping) for part in state[:-1]):
        must = "a ConsolidationState: what the rule remembers is handed in and out"
        raise SettingError(owner, method, state if state is None else type(state).__name__, must)
    for part, values in zip(state._fields[:-1], state[:-1], strict=True):
        for name, value in values.items():
            if not isinstance(name, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
                must = "a dense tensor (animal, ...) with a word as its name: checkpoints keep nothing else"
                raise SettingError(owner, f"{method}().{part}[{name!r}]", type(value).__name__, must)
            if part in ("importance", "anchor") and value.shape[:1] != (ANIMALS,):
                must = f"a tensor (animal, ...), here of {ANIMALS} animals: what one animal remembers is no other's"
                raise SettingError(owner, f"{method}().{part}[{name!r}]", f"a tensor {tuple(value.shape)}", must)
    if isinstance(state.consolidated, bool) or not isinstance(state.consolidated, int) or state.consolidated < least:
        must = f"a state whose `consolidated` counts the contexts, here {least}: without it there is no penalty"
        raise SettingError(owner, method, f"consolidated={state.consolidated!r}", must)
