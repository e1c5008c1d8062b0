"""Brains by name, and brains on disk."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .brain import Brain, BrainPlan
from .cortex import RETINA, AbstractCortex, CortexPlan, DensePlan, OwnCortex
from .errors import LogError, SettingError, one_of
from .gating import Gates, Gating
from .hippocampus import HippocampusPlan
from .memory_modes import Modes
from .protocol import SplitProtocol, check_bernoulli

INGREDIENTS = ("modes", "gating")
FORMAT = 1


def brain_inspired(
    protocol: SplitProtocol,
    *,
    units: Sequence[int] = (400, 400),
    code_units: int = 100,
    closed: float = 0.8,
    gates_by: str = "class",
    without: Iterable[str] = (),
    reconstruction: str | None = None,
    reentry: str = RETINA,
    divergence_divisor: float | None = None,
    faithful: bool = False,
    cortex: Callable[[], AbstractCortex] | None = None,
) -> BrainPlan:
    """Plan of the paper's brain: an integrated hippocampus with class modes, and a gated feedback pathway.

    Parameters
    ----------
    protocol
        Gives the size of stimuli and the number of classes, contexts and answers.
    units
        Units of the association areas.
    code_units
        Dimensions of the code.
    closed, gates_by, faithful
        See :class:`~replaysim.gating.Gating`.
    without
        Ingredients left out during the whole life: any of ``"modes"`` (one standard Gaussian instead of class modes)
        and ``"gating"``. Hard instead of soft targets are a setting of the replay, the re-entry area one of the
        cortex.
    reconstruction
        ``"bernoulli"`` (re-entry activity in [0, 1]) or ``"gaussian"``; default: the first for images stored as whole
        numbers re-created at the retina, else the second.
    reentry
        Area at which feedback re-creates activity.
    divergence_divisor
        Divides the code divergence; default: the elements of a stimulus.
    cortex
        A class or function without arguments that returns your own cortex, instead of ``units`` and ``reentry``.
    """
    left_out = {without} if isinstance(without, str) else set(without)
    for name in left_out:
        if name not in INGREDIENTS:
            raise SettingError("brain_inspired", "without", name, one_of(INGREDIENTS))
    plan = _cortex_plan(protocol, units, reentry, cortex)
    at_retina = plan.build().reentry == RETINA if cortex is not None else reentry == RETINA
    if reconstruction is None:
        reconstruction = "bernoulli" if at_retina and protocol.stimuli.train.dtype == np.uint8 else "gaussian"
    if reconstruction == "bernoulli" and at_retina:
        check_bernoulli(protocol)
    elif reconstruction == "bernoulli" and cortex is None:
        raise SettingError(
            "brain_inspired", "reconstruction", reconstruction, f"'gaussian' at {reentry}: its activity exceeds 1"
        )
    size = protocol.stimuli.size
    return BrainPlan(
        cortex=plan,
        stimulus_size=size,
        answers=protocol.n_answers,
        classes=protocol.n_answers,
        contexts=protocol.n_contexts,
        hippocampus=HippocampusPlan(code_units),
        modes=None if "modes" in left_out else Modes(),
        gating=None if "gating" in left_out or closed == 0 else Gating(closed, gates_by, faithful),
        reconstruction=reconstruction,
        divergence_divisor=size if divergence_divisor is None else divergence_divisor,
    )


def classifier(
    protocol: SplitProtocol, *, units: Sequence[int] = (400, 400), cortex: Callable[[], AbstractCortex] | None = None
) -> BrainPlan:
    """Plan of the paper's baseline: a cortex and a readout, without hippocampus and feedback."""
    return BrainPlan(
        cortex=_cortex_plan(protocol, units, RETINA, cortex),
        stimulus_size=protocol.stimuli.size,
        answers=protocol.n_answers,
        classes=protocol.n_answers,
        contexts=protocol.n_contexts,
    )


def _cortex_plan(
    protocol: SplitProtocol, units: Sequence[int], reentry: str, cortex: Callable[[], AbstractCortex] | None
) -> CortexPlan:
    if cortex is not None:
        return OwnCortex(cortex)
    return DensePlan(protocol.stimuli.size, tuple(units), reentry)


def describe_plan(plan: BrainPlan) -> dict[str, Any]:
    """Settings of a brain as plain values, for a log's configuration or a saved brain."""
    values = {f.name: getattr(plan, f.name) for f in dataclasses.fields(plan)}
    for name, value in values.items():
        if dataclasses.is_dataclass(value) and not isinstance(value, type) and not isinstance(value, OwnCortex):
            values[name] = dataclasses.asdict(value)
    if isinstance(plan.cortex, OwnCortex):
        make = plan.cortex.make
        values["cortex"] = {
            "own": f"{make.__module__}.{make.__qualname__}" if hasattr(make, "__qualname__") else repr(make)
        }
    return values


def save_brain(brain: Brain, path: str | Path) -> Path:
    """Write a brain (synapses, modes, gates, settings) as a safetensors file: nothing in it can be executed."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path = Path(path)
    about = {
        "format": FORMAT,
        "plan": describe_plan(brain.plan),
        "animal": brain.animal,
        "class_identity": list(brain.class_identity),
    }
    state = {name: value.detach().cpu().contiguous() for name, value in brain.state_dict().items()}
    try:
        save_file(state, str(path), metadata={"replaysim_brain": json.dumps(about)})
    except (OSError, SafetensorError) as error:
        raise LogError(f"cannot write the brain to {path}: {error}") from error
    return path


def load_brain(path: str | Path, *, cortex: Callable[[], AbstractCortex] | None = None) -> Brain:
    """Read a brain back; it answers as it did when it was saved.

    Parameters
    ----------
    path
        File written by :func:`save_brain`.
    cortex
        The class or function that made the cortex, where it was your own.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.exists():
        raise LogError(f"no brain at {path}")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except (SafetensorError, OSError) as error:
        raise LogError(f"{path} is not a readable brain ({error}): truncated, or not written by save_brain?") from error
    if "replaysim_brain" not in metadata:
        raise LogError(f"{path} is a safetensors file, but not one written by save_brain")
    about = json.loads(metadata["replaysim_brain"])
    if about["format"] != FORMAT:
        raise LogError(f"{path}: brain format {about['format']}, but this replaysim reads format {FORMAT}")
    return fresh_copy(_plan_from(about["plan"], cortex), state, about["animal"], about["class_identity"])


def _plan_from(values: dict[str, Any], cortex: Callable[[], AbstractCortex] | None) -> BrainPlan:
    own = values["cortex"].get("own")
    if own is not None and cortex is None:
        raise SettingError("load_brain", "cortex", None, f"given: this brain has a cortex of its own, made by {own}")
    parts: dict[str, Any] = {
        "cortex": OwnCortex(cortex) if cortex is not None else DensePlan(**values["cortex"]),
        "hippocampus": HippocampusPlan(**values["hippocampus"]) if values["hippocampus"] else None,
        "modes": Modes(**values["modes"]) if values["modes"] else None,
        "gating": Gating(**values["gating"]) if values["gating"] else None,
    }
    return BrainPlan(**{**values, **parts})


def fresh_copy(
    plan: BrainPlan, state: dict[str, torch.Tensor], animal: int | None, class_identity: Sequence[int]
) -> Brain:
    """One animal's brain from its state, gates included: none are drawn."""
    brain = dataclasses.replace(plan, gating=None).grow(0)
    brain.plan = plan
    layers = sum(name.startswith("gates.") for name in state)
    patterns = [state[f"gates.layer_{layer}"].numpy() for layer in range(1, layers + 1)]
    if patterns:
        brain.gates = Gates(patterns)
    brain.to(state["readout.weight"].dtype)
    brain.load_state_dict(state)
    brain.animal = animal
    brain.class_identity = tuple(int(c) for c in class_identity)
    return brain.eval()
