"""Brains on disk: state and plan in one file in which nothing can be executed, and a brain from both."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

import torch

from . import tensor_files
from .brain import Brain, BrainPlan, gateable
from .context_gating import ContextGates, ContextGating
from .cortex import AbstractCortex, CortexPlan, DensePlan, OwnCortex
from .errors import DataError, LogError, SettingError
from .gating import Gates, Gating
from .hippocampus import HippocampusPlan, StandAlonePlan
from .memory_modes import Modes
from .pathways import feedback_units
from .visual_cortex import NAIVE, VisualCortex, VisualPlan

KIND, FORMAT = "brain", 2
READABLE = (1, FORMAT)
"""Formats of saved brains that are understood; in the first there were dense cortices only."""
ADDED = {"descending_gain": "ones"}
"""Settings that earlier versions did not have, and what was the case then."""
Cortex = Callable[[], AbstractCortex]


def describe_plan(plan: BrainPlan) -> dict[str, Any]:
    """Settings of a brain as plain values, for a log's configuration or a saved brain.

    What earlier versions could not set is only said where it is not as it was then: their logs can be gone on with.
    """
    values = {f.name: getattr(plan, f.name) for f in dataclasses.fields(plan)}
    values = {name: value for name, value in values.items() if name not in ADDED or value != ADDED[name]}
    for name, value in values.items():
        if isinstance(value, OwnCortex | DensePlan | VisualPlan):
            values[name] = _describe_cortex(value)
        elif isinstance(value, StandAlonePlan):
            values[name] = {"areas": _describe_cortex(value.areas), "code_units": value.code_units}
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            values[name] = dataclasses.asdict(value)
    return values


def _describe_cortex(plan: CortexPlan) -> dict[str, Any]:
    if isinstance(plan, OwnCortex):
        return {"own": _name_of(plan.make)}
    assert isinstance(plan, DensePlan | VisualPlan)
    return {"kind": "visual" if isinstance(plan, VisualPlan) else "dense", **dataclasses.asdict(plan)}


def _name_of(make: Cortex) -> str:
    """Where a class or function can be imported from; other callables (a ``partial``) as they show themselves."""
    if isinstance(make, type | FunctionType | MethodType):
        return f"{make.__module__}.{make.__qualname__}"
    return repr(make)


def save_brain(brain: Brain, path: str | Path) -> Path:
    """Write a brain (synapses, modes, gates, settings) as a safetensors file: nothing in it can be executed.

    See :func:`replaysim.tensor_files.write`: a missing folder is made, and an interruption leaves no half of a file.
    """
    about = {
        "format": FORMAT,
        "plan": describe_plan(brain.plan),
        "animal": brain.animal,
        "class_identity": list(brain.class_identity),
    }
    # copies: the file format wants no two names for one piece of memory, as tied synapses have
    state = {name: value.detach().clone() for name, value in brain.state_dict().items()}
    return tensor_files.write(path, KIND, state, about)


def load_brain(path: str | Path, *, cortex: Callable[[], AbstractCortex] | None = None) -> Brain:
    """Read a brain back; it answers as it did when it was saved.

    Parameters
    ----------
    path
        File written by :func:`save_brain`.
    cortex
        The class or function that made the cortex, where it was your own.

    Raises
    ------
    LogError
        If there is no such file, if it is truncated or foreign, or of a format that is not understood; or if what it
        says about the brain is damaged.
    DataError
        If a tensor is missing, is one too many, has another shape or type, or holds NaN.
    SettingError
        If the brain has a cortex of its own and ``cortex`` is not given.
    """
    state, about = tensor_files.read(path, KIND)
    if about.get("format") not in READABLE:
        raise LogError(f"{path}: brain format {about.get('format')}, but this replaysim reads formats {READABLE}")
    plan, naive = _planned(path, about, cortex)
    animal, identity = _whose(path, about, plan)
    _check_state(path, state, naive)
    return fresh_copy(plan, state, animal, identity)


def _planned(path: str | Path, about: Mapping[str, Any], cortex: Cortex | None) -> tuple[BrainPlan, Brain]:
    """The plan of a saved brain, and a naive brain of this plan without gates."""
    values = about.get("plan")
    if not isinstance(values, dict) or not isinstance(values.get("cortex"), dict):
        raise LogError(f"{path}: its note about the plan of the brain is missing or damaged; save the brain again")
    own = values["cortex"].get("own")
    if own is not None and cortex is None:
        raise SettingError("load_brain", "cortex", None, f"given: this brain has a cortex of its own, made by {own}")
    try:
        plan = _plan_from(values, cortex)
        naive = _without_files(plan).grow(0)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise LogError(f"{path}: no brain grows from its note about the plan ({reason}); is it damaged?") from error
    naive.plan = plan
    return plan, naive


def _whose(path: str | Path, about: Mapping[str, Any], plan: BrainPlan) -> tuple[int | None, list[int]]:
    """Animal and class order of a saved brain."""
    for name in ("animal", "class_identity"):
        if name not in about:
            raise LogError(f"{path}: its note does not say {name}; save the brain again")
    animal, identity = about["animal"], about["class_identity"]
    if animal is not None and (not _whole(animal) or animal < 0):
        raise LogError(f"{path}: its note is damaged: animal is {animal!r}, must be a seed")
    if not isinstance(identity, list) or not all(_whole(c) for c in identity):
        raise LogError(f"{path}: its note is damaged: class_identity is {identity!r:.60}, must be whole numbers")
    n = len(identity)
    if n and (sorted(identity) != list(range(n)) or not plan.answers <= n <= plan.answers * plan.contexts):
        raise LogError(f"{path}: its note is damaged: class_identity is {identity!r:.60}, must hold every class once")
    return animal, identity


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_state(path: str | Path, state: Mapping[str, torch.Tensor], naive: Brain) -> None:
    """Raise :class:`DataError` unless tensors are those of a brain like this one, gates included."""
    plan, kind = naive.plan, getattr(state.get("readout.weight"), "dtype", None)
    wanted = dict(naive.to(kind if kind in (torch.float32, torch.float64) else torch.float32).state_dict())
    gates = {}
    if plan.gating is not None and naive.hippocampus is not None:
        for layer, units in enumerate(feedback_units(naive.cortex, naive.hippocampus), 1):
            gates[f"gates.layer_{layer}"] = (plan.n_gates, units)
    if plan.context_gating is not None:
        gates |= {f"context_gates.{area}": (plan.contexts, n) for area, n in gateable(naive.cortex).items()}
    wanted |= {name: torch.zeros(shape, dtype=torch.uint8) for name, shape in gates.items()}
    tensor_files.check_fit(path, state, wanted)
    for name in gates:
        if bool((state[name] > 1).any()):
            raise DataError(f"{path}: {name} holds {int(state[name].max())}, must be 0 (closed) or 1 (open)")


def _plan_from(values: dict[str, Any], cortex: Cortex | None) -> BrainPlan:
    hippocampus: Any = values["hippocampus"]
    if hippocampus is not None and "areas" in hippocampus:
        hippocampus = StandAlonePlan(_cortex_from(hippocampus["areas"]), hippocampus["code_units"])
    elif hippocampus is not None:
        hippocampus = HippocampusPlan(**hippocampus)
    parts: dict[str, Any] = {
        "cortex": OwnCortex(cortex) if cortex is not None else _cortex_from(values["cortex"]),
        "hippocampus": hippocampus,
        "modes": Modes(**values["modes"]) if values["modes"] else None,
        "gating": Gating(**values["gating"]) if values["gating"] else None,
        "context_gating": ContextGating(**values["context_gating"]) if values.get("context_gating") else None,
    }
    return BrainPlan(**{**values, **parts})


def _cortex_from(values: dict[str, Any]) -> CortexPlan:
    given = {name: value for name, value in values.items() if name != "kind"}
    return VisualPlan(**given) if values.get("kind") == "visual" else DensePlan(**given)


def _without_files(plan: BrainPlan) -> BrainPlan:
    """A plan of the same parts whose early areas come from no file, and which draws no gates: the state is at hand."""

    def naive(cortex: CortexPlan) -> CortexPlan:
        return dataclasses.replace(cortex, developed=NAIVE) if isinstance(cortex, VisualPlan) else cortex

    hippocampus = plan.hippocampus
    if isinstance(hippocampus, StandAlonePlan):
        hippocampus = dataclasses.replace(hippocampus, areas=naive(hippocampus.areas))
    return dataclasses.replace(
        plan, cortex=naive(plan.cortex), hippocampus=hippocampus, gating=None, context_gating=None
    )


def fresh_copy(
    plan: BrainPlan, state: dict[str, torch.Tensor], animal: int | None, class_identity: Sequence[int]
) -> Brain:
    """One animal's brain from its state, gates included: none are drawn."""
    brain = _without_files(plan).grow(0)
    brain.plan = plan
    if isinstance(brain.cortex, VisualCortex) and isinstance(plan.cortex, VisualPlan):
        brain.cortex.alike = plan.cortex.developed != NAIVE
    layers = sum(name.startswith("gates.") for name in state)
    patterns = [state[f"gates.layer_{layer}"].numpy() for layer in range(1, layers + 1)]
    if patterns:
        brain.gates = Gates(patterns)
    silenced = {n.removeprefix("context_gates."): v.numpy() for n, v in state.items() if n.startswith("context_gates.")}
    if silenced:
        brain.context_gates = ContextGates({area: silenced[area] for area in brain.cortex.gateable})
    brain.to(state["readout.weight"].dtype)
    brain.load_state_dict(state)
    brain.animal = animal
    brain.class_identity = tuple(int(c) for c in class_identity)
    return brain.eval()
