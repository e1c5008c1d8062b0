"""Brains by name: plans of the paper's brains, whole or without some of their ingredients."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from .brain import BrainPlan
from .context_gating import ContextGating
from .cortex import RETINA, AbstractCortex, CortexPlan, DensePlan, OwnCortex, check_cortex
from .errors import SettingError, one_of
from .gating import Gating
from .hippocampus import HippocampusPlan, StandAlonePlan
from .memory_modes import Modes
from .protocol import AbstractProtocol, check_bernoulli
from .visual_cortex import VisualPlan

INGREDIENTS = ("feedback", "modes", "gating", "internal")
"""What a brain can be without; the fifth ingredient, distillation, is a setting of the replay."""
Cortex = Callable[[], AbstractCortex]


def brain_inspired(
    protocol: AbstractProtocol,
    *,
    units: Sequence[int] | None = None,
    code_units: int = 100,
    hippocampal_units: Sequence[int] | None = None,
    closed: float = 0.8,
    gates_by: str = "class",
    without: Iterable[str] = (),
    reconstruction: str | None = None,
    reentry: str | None = None,
    divergence_divisor: float | None = None,
    descending_gain: str = "ones",
    faithful: bool = False,
    early: str | None = None,
    developed: str | None = None,
    cortex: Cortex | None = None,
) -> BrainPlan:
    """Plan of the paper's brain: an integrated hippocampus with class modes, and a gated feedback pathway.

    Photographs (stimuli with a ``light``) are seen by a visual cortex, other stimuli by a dense one.

    Parameters
    ----------
    protocol
        Gives the size of stimuli and the number of classes, contexts and answers.
    units
        Units of the association areas; default: two of 400 units, in a visual cortex two of 2000.
    code_units
        Dimensions of the code.
    hippocampal_units
        Units of the own areas of a stand-alone hippocampus, which its feedback mirrors; default: those of the cortex
        above the re-entry area. An integrated hippocampus has no areas of its own.
    closed, gates_by, faithful
        See :class:`~replaysim.gating.Gating`; ``closed=0`` leaves the gates out.
    without
        Ingredients left out during the whole life, any of ``"feedback"`` (the hippocampus stands alone beside the
        cortex instead of being integrated), ``"modes"`` (one standard Gaussian instead of class modes), ``"gating"``,
        and ``"internal"`` (memories re-created at the retina). Hard instead of soft targets are a setting of the
        replay.
    reconstruction
        ``"bernoulli"`` (re-entry activity in [0, 1]) or ``"gaussian"``; default: the first for images stored as whole
        numbers that are re-created at the retina, but not for photographs; else the second.
    reentry
        Area at which feedback re-creates activity; default: the highest early area of a visual cortex, else the
        retina.
    divergence_divisor
        Divides the code divergence; default: the elements of a stimulus.
    descending_gain
        Initial gains of the normalisation where feedback descends through the early areas of a visual cortex:
        ``"ones"``, or ``"uniform"`` in [0, 1], as the library of the paper's time drew them.
    early, developed
        Whether the early areas of a visual cortex stand still (``"frozen"``, the default) or go on learning
        (``"plastic"``), and the file they come from; see :class:`~replaysim.visual_cortex.VisualPlan`.
    cortex
        A class or function without arguments that returns your own cortex, instead of ``units``, ``reentry``, ``early``
        and ``developed``.
    """
    _check_protocol("brain_inspired", protocol)
    left_out, gating = _left_out(without), Gating(closed, gates_by, faithful)
    if "internal" in left_out:
        if cortex is not None:
            must = "left out with a cortex of your own: its `reentry` says where memories are re-created"
            raise SettingError("brain_inspired", "without", "internal", must)
        if reentry not in (None, RETINA):
            raise SettingError("brain_inspired", "reentry", reentry, "left out where 'internal' is left out")
        reentry = RETINA
    plan = _cortex_plan("brain_inspired", protocol, units, reentry, early, developed, cortex, usual="frozen")
    area = plan.reentry if isinstance(plan, DensePlan | VisualPlan) else _built(plan).reentry
    if "internal" in left_out and isinstance(plan, DensePlan):
        raise SettingError(
            "brain_inspired", "without", "internal", "left out: these stimuli are re-created at the retina anyway"
        )
    stand_alone = "feedback" in left_out
    if stand_alone and isinstance(plan, OwnCortex):
        raise SettingError("brain_inspired", "without", "feedback", "left out with a cortex of your own")
    normalised = plan.areas[: len(plan.channels) - 1] if isinstance(plan, VisualPlan) else ()
    if descending_gain != "ones" and area not in normalised:  # to the next area down leads one linear step
        must = f"'ones': on the way down to {area} there are no early areas that normalise"
        raise SettingError("brain_inspired", "descending_gain", descending_gain, must)
    own_units = _sizes("brain_inspired", "hippocampal_units", hippocampal_units)
    if own_units is not None and not stand_alone:
        raise SettingError(
            "brain_inspired",
            "hippocampal_units",
            own_units,
            "left out: only without=('feedback',) or in generative_pair() does the hippocampus have areas of its own",
        )
    size = protocol.stimuli.size
    return BrainPlan(
        cortex=plan,
        stimulus_size=size,
        answers=protocol.n_answers,
        classes=protocol.n_answers,
        contexts=protocol.n_contexts,
        hippocampus=_stand_alone(plan, code_units, own_units) if stand_alone else HippocampusPlan(code_units),
        modes=None if "modes" in left_out else Modes(),
        gating=None if "gating" in left_out or closed == 0 else gating,
        reconstruction=_reconstruction(protocol, plan, area, reconstruction),
        divergence_divisor=size if divergence_divisor is None else divergence_divisor,
        descending_gain=descending_gain,
    )


def generative_pair(protocol: AbstractProtocol, **settings: Any) -> BrainPlan:
    """Plan of classic generative replay: a cortex and, beside it, a stand-alone hippocampus without modes and gates.

    Parameters
    ----------
    protocol, **settings
        As for :func:`brain_inspired`; the early areas of a visual cortex are plastic and memories re-created at the
        retina unless said otherwise.
    """
    _check_protocol("generative_pair", protocol)
    visual = settings.get("cortex") is None and _visual(protocol)
    given: dict[str, Any] = {"early": "plastic", "reentry": RETINA} if visual else {}
    given |= {"without": ("feedback", "modes", "gating")}
    return brain_inspired(protocol, **(given | settings))


def classifier(
    protocol: AbstractProtocol,
    *,
    units: Sequence[int] | None = None,
    context_gating: ContextGating | None = None,
    early: str | None = None,
    developed: str | None = None,
    cortex: Cortex | None = None,
) -> BrainPlan:
    """Plan of the paper's baseline: a cortex and a readout, without hippocampus and feedback.

    Parameters
    ----------
    protocol, units, developed, cortex
        As for :func:`brain_inspired`.
    context_gating
        Gates of the cortex by context (XdG); in the task scenario only, where the context is known at recall.
    early
        Early areas of a visual cortex: ``"plastic"`` (the default) as in the paper of 2020, or ``"frozen"`` as in that
        of 2022 (van de Ven, Tuytelaars & Tolias).
    """
    _check_protocol("classifier", protocol)
    if not isinstance(context_gating, ContextGating | None):
        must = "ContextGating(closed=...), or left out" + (
            ": a classifier has no feedback to gate" if isinstance(context_gating, Gating) else ""
        )
        raise SettingError("classifier", "context_gating", context_gating, must)
    if context_gating is not None and protocol.scenario != "task":
        raise SettingError(
            "classifier",
            "context_gating",
            f"{context_gating} in the {protocol.scenario} scenario",
            "left out: it gates the cortex by the context, which only the task scenario makes known at recall",
        )
    return BrainPlan(
        cortex=_cortex_plan("classifier", protocol, units, None, early, developed, cortex, usual="plastic"),
        stimulus_size=protocol.stimuli.size,
        answers=protocol.n_answers,
        classes=protocol.n_answers,
        contexts=protocol.n_contexts,
        context_gating=context_gating,
    )


def _check_protocol(owner: str, protocol: object) -> None:
    """Raise :class:`SettingError` unless this is a protocol."""
    if isinstance(protocol, AbstractProtocol):
        return
    got = protocol if protocol is None or isinstance(protocol, str | type) else type(protocol).__name__
    raise SettingError(owner, "protocol", got, "a protocol, e.g. SplitDigits() or SplitProtocol(stimuli, contexts=5)")


def _left_out(without: Iterable[str]) -> set[str]:
    if not isinstance(without, Iterable):
        raise SettingError("brain_inspired", "without", without, f"a list of ingredients, each {one_of(INGREDIENTS)}")
    left_out = (without,) if isinstance(without, str) else tuple(without)
    for name in left_out:
        if name == "distillation":
            raise SettingError(
                "brain_inspired", "without", name, "GenerativeReplay(targets='hard'): it is no part of a brain"
            )
        if name not in INGREDIENTS:
            raise SettingError("brain_inspired", "without", name, one_of(INGREDIENTS))
    return set(left_out)


def _visual(protocol: AbstractProtocol) -> bool:
    return protocol.stimuli.light is not None


def _sizes(owner: str, name: str, units: Sequence[int] | None) -> tuple[int, ...] | None:
    """Numbers of units of several areas."""
    if units is None:
        return None
    if isinstance(units, str) or not isinstance(units, Iterable):
        raise SettingError(owner, name, units, "a list, one number for each area from bottom to top, e.g. (400, 400)")
    return tuple(units)


def _cortex_plan(
    owner: str,
    protocol: AbstractProtocol,
    units: Sequence[int] | None,
    reentry: str | None,
    early: str | None,
    developed: str | None,
    cortex: Cortex | None,
    *,
    usual: str,
) -> CortexPlan:
    """Plan of the cortex; ``usual`` is what becomes of early areas where nobody says so."""
    visual, sizes = _visual(protocol), _sizes(owner, "units", units)
    needless: dict[str, Any] = {"early": early, "developed": developed}
    why = "left out: a dense cortex, which sees stimuli without `light`, has no early areas"
    if cortex is not None:
        needless = {"units": sizes, "reentry": reentry, **needless}
        why = "left out with a cortex of your own, which has areas, sizes and a re-entry area of its own"
    for name, value in needless.items():
        if value is not None and (cortex is not None or not visual):
            raise SettingError(owner, name, value, why)
    if cortex is not None:
        return _own(owner, cortex, protocol.stimuli.size)
    if not visual:
        return DensePlan(
            protocol.stimuli.size, (400, 400) if sizes is None else sizes, RETINA if reentry is None else reentry
        )
    chosen = VisualPlan(
        (2000, 2000) if sizes is None else sizes,
        early=usual if early is None else early,
        developed=developed,
        image=protocol.stimuli.shape,
    )
    return chosen if reentry is None else dataclasses.replace(chosen, reentry=reentry)


def _own(owner: str, cortex: Cortex, stimulus_size: int) -> OwnCortex:
    """Plan of a user's own cortex, of which one is made to see whether it is one."""
    must = "a class or function without arguments that returns your cortex: every animal gets one of its own"
    if isinstance(cortex, nn.Module) or not callable(cortex):
        got = f"an instance of {type(cortex).__name__}" if isinstance(cortex, nn.Module) else cortex
        raise SettingError(owner, "cortex", got, must)
    plan = OwnCortex(cortex)
    try:
        made = _built(plan)
    except TypeError as error:
        raise SettingError(owner, "cortex", cortex, f"{must} ({error})") from error
    if not isinstance(made, AbstractCortex):
        must = "a class that inherits from AbstractCortex, or a function that returns one of such a class"
        raise SettingError(owner, "cortex", f"something that returns {type(made).__name__}", must)
    check_cortex(made, stimulus_size)
    return plan


def _built(plan: CortexPlan) -> AbstractCortex:
    """A cortex to look at; torch's random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        return plan.build()


def _stand_alone(plan: CortexPlan, code_units: int, units: Sequence[int] | None) -> StandAlonePlan:
    """A hippocampus with the areas that the cortex has above its re-entry area, or so many units, for itself."""
    assert isinstance(plan, DensePlan | VisualPlan)
    associations = plan.areas[len(plan.areas) - len(plan.units) :]
    above = 1 + associations.index(plan.reentry) if plan.reentry in associations else 0
    if units is None and above == len(plan.units):
        raise SettingError(
            "brain_inspired",
            "hippocampal_units",
            units,
            f"given: above {plan.reentry} there are no areas of which a stand-alone hippocampus could have its own",
        )
    own = plan.units[above:] if units is None else tuple(units)
    if isinstance(plan, VisualPlan) and plan.reentry == RETINA:
        return StandAlonePlan(dataclasses.replace(plan, units=own), code_units)
    return StandAlonePlan(DensePlan(_built(plan).sizes[plan.reentry], own), code_units)


def _reconstruction(protocol: AbstractProtocol, plan: CortexPlan, area: str, wanted: str | None) -> str:
    """What is re-created: intensities in [0, 1], or anything."""
    at_retina = area == RETINA
    if wanted is None:
        plain = at_retina and protocol.stimuli.light is None and protocol.stimuli.train.dtype == np.uint8
        wanted = "bernoulli" if plain else "gaussian"
    if wanted == "bernoulli" and at_retina:
        check_bernoulli(protocol)
    elif wanted == "bernoulli" and not isinstance(plan, OwnCortex):
        raise SettingError("brain_inspired", "reconstruction", wanted, f"'gaussian' at {area}: its activity exceeds 1")
    return wanted
