"""Preparation: settings are checked against each other, and what all animals share is computed, before any lives."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from . import rng
from .abstract_protocol import check_curriculum, check_protocol
from .brain import Brain, BrainPlan, gateable
from .consolidation import ConsolidationRule, check_rule
from .cortex import RETINA
from .early_activity import keep
from .errors import DataError, SettingError, check_choice, check_number
from .experience import EXPERIENCES, check_experience
from .learning import Learning
from .life import Condition, KeptActivity
from .pathways import feedback_units
from .products import FLOATS, warn_where_slow
from .protocol import AbstractProtocol, check_bernoulli
from .recorder import Electrode, Preparation, check_electrodes
from .rehearsal import rehearse
from .replay import ReplayMechanism, check_priority, check_replay
from .standing import plastic_reentry
from .visual_cortex import VisualCortex, standing_area


def check_animals(animals: Iterable[int]) -> tuple[int, ...]:
    """Seeds of the animals, checked: whole numbers, none twice."""
    if not isinstance(animals, Iterable):
        raise SettingError("simulate", "animals", animals, "a list of seeds, e.g. range(12, 22)")
    seeds = tuple(animals)
    if not seeds:
        raise SettingError("simulate", "animals", seeds, "at least one seed")
    for seed in seeds:
        check_number("simulate", "animals", seed, least=0, below=2**31, whole=True)
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice:
        raise SettingError("simulate", "animals", list(seeds), f"different seeds: given twice: {twice}")
    return tuple(int(seed) for seed in seeds)


def check_device(device: str) -> str:
    """Name of a device that is there; ``"auto"`` takes a CUDA device where there is one, else the CPU."""
    device = str(device) if isinstance(device, torch.device) else device
    if not isinstance(device, str):
        raise SettingError("simulate", "device", device, "'cpu', 'cuda', 'cuda:1', 'mps' or 'auto'")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind, index = torch.device(device).type, torch.device(device).index or 0
    except (RuntimeError, TypeError):
        kind, index = "", 0
    check_choice("simulate", "device", kind or device, ("cpu", "cuda", "mps", "auto"))
    if kind != "cuda" and index > 0:
        raise SettingError("simulate", "device", device, f"{kind!r}: only CUDA devices are counted")
    if kind == "cuda" and not torch.cuda.is_available():
        raise SettingError("simulate", "device", device, "'cpu' on this machine: torch finds no CUDA device")
    if kind == "cuda" and index >= torch.cuda.device_count():
        raise SettingError(
            "simulate", "device", device, f"one of the {torch.cuda.device_count()} CUDA devices of this machine"
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise SettingError("simulate", "device", device, "'cpu' on this machine: torch finds no MPS device")
    return device


def prepare(
    brain: BrainPlan,
    protocol: AbstractProtocol,
    learning: Learning | None,
    replay: ReplayMechanism | None,
    consolidation: ConsolidationRule | None,
    experience: str,
    record: Iterable[Electrode],
    device: str,
    precision: str,
    chance: int = 0,
) -> Condition:
    """Check that all settings fit together, and put them together."""
    learning = Learning() if learning is None else learning
    for name, value, kind in (
        ("brain", brain, BrainPlan),
        ("protocol", protocol, AbstractProtocol),
        ("learning", learning, Learning),
    ):
        if not isinstance(value, kind):
            raise SettingError("simulate", name, value, f"a {kind.__name__}")
    check_protocol(protocol)
    if consolidation is not None:
        check_rule(consolidation)
    for name, word, known in (("precision", precision, tuple(FLOATS)), ("experience", experience, EXPERIENCES)):
        check_choice("simulate", name, word if isinstance(word, str) else repr(word), known)
    check_number("simulate", "chance", chance, least=0, whole=True)
    device = check_device(device)
    if precision == "float64" and device.startswith("mps"):
        raise SettingError("simulate", "precision", precision, "'float32' or 'bfloat16' on an MPS device")
    warn_where_slow(precision, device, level=3)
    check_experience(experience, replay)
    if (brain.answers, brain.contexts, brain.stimulus_size) != (
        protocol.n_answers,
        protocol.n_contexts,
        protocol.stimuli.size,
    ):
        raise DataError(
            f"this brain was planned for stimuli of {brain.stimulus_size} elements, {brain.answers} answers and "
            f"{brain.contexts} contexts; the protocol has {protocol.stimuli.size}, {protocol.n_answers} and "
            f"{protocol.n_contexts}: plan it with the same protocol"
        )
    naive = replace(brain, gating=None, context_gating=None).grow(0)  # gates: see check_gates
    if naive.hippocampus is not None and brain.reconstruction == "bernoulli" and naive.cortex.reentry == RETINA:
        check_bernoulli(protocol)  # not only of the protocol that the brain was planned for
    check_mechanisms(brain, naive, protocol, learning, replay, consolidation)
    electrodes = check_electrodes(record, Preparation(naive, protocol, learning, replay, consolidation))
    condition = Condition(
        brain, protocol, learning, replay, consolidation, experience, electrodes, device, precision, chance
    )
    rehearse(condition, naive)
    return condition


def check_mechanisms(
    plan: BrainPlan,
    naive: Brain,
    protocol: AbstractProtocol,
    learning: Learning,
    replay: ReplayMechanism | None,
    consolidation: ConsolidationRule | None,
) -> None:
    """Raise :class:`SettingError` where a mechanism cannot work in this brain and scenario; warn where it may fail."""
    if plan.context_gating is not None:
        gateable(naive.cortex)
        if protocol.scenario != "task":
            raise SettingError(
                "simulate",
                "brain",
                f"a cortex gated by context in the {protocol.scenario} scenario",
                "one without context_gating: only the task scenario makes the context known at recall",
            )
        if replay is not None:
            raise SettingError(
                "simulate", "replay", type(replay).__name__, "left out: a replayed event has no context to gate it by"
            )
    if consolidation is not None and not any(
        p.requires_grad for p in (*naive.cortex.parameters(), *naive.readout.parameters())
    ):
        raise SettingError(
            "simulate",
            "consolidation",
            type(consolidation).__name__,
            "left out: no synapse of cortex and readout is plastic, so that there is nothing to protect",
        )
    if replay is None:
        return
    check_replay(replay, naive, learning.batch)
    check_priority(replay, plan, protocol.scenario, protocol.n_contexts)
    if replay.source == "current" and naive.hippocampus is not None and protocol.scenario == "task":
        raise SettingError(
            "simulate",
            "replay",
            type(replay).__name__,
            "used with a plain classifier() in the task scenario: a hippocampus cannot re-create one activity through "
            "the gates of every context at once",
        )
    if replay.source == "recall" and plastic_reentry(naive):
        warnings.warn(
            f"replay enters at {naive.cortex.reentry}, onto which synapses go on learning: areas below get no gradient "
            "from replay, and memories are of an area that has changed since (see /reentry in the log)",
            stacklevel=4,
        )


def check_gates(brain: BrainPlan, protocol: AbstractProtocol, seeds: Sequence[int]) -> None:
    """Raise :class:`SettingError` if a gate of any animal would close all units of a layer.

    Or if what the first one meets, by which gates are drawn, is nothing that an animal can live through.
    """
    check_curriculum(protocol, protocol.curriculum(seeds[0], rng.published(seeds[0])))
    if brain.gating is None and brain.context_gating is None:
        return
    naive = replace(brain, gating=None, context_gating=None).grow(0)
    for seed in seeds:
        stream = rng.published(seed)
        protocol.curriculum(seed, stream)  # its draw comes first
        if brain.context_gating is not None:
            brain.context_gating.draw(brain.contexts, gateable(naive.cortex), stream)
        if brain.gating is not None and naive.hippocampus is not None:
            brain.gating.draw(brain.n_gates, feedback_units(naive.cortex, naive.hippocampus), stream)


def kept_activity(condition: Condition, progress: bool) -> KeptActivity | None:
    """Activity that all stimuli evoke in an area that stands still, or None where there is none to learn from."""
    with torch.random.fork_rng(devices=[]):
        cortex = condition.brain.cortex.build()
    area = standing_area(cortex)
    if not isinstance(cortex, VisualCortex) or area == RETINA:
        return None
    if condition.brain.hippocampus is not None and cortex.areas.index(cortex.reentry) < cortex.areas.index(area):
        return None  # what is re-created lies below
    stimuli = condition.protocol.stimuli
    train, test = (
        keep(part, cortex, stimuli.light, stimuli.scale, area, condition.device, condition.dtype, progress)
        for part in (stimuli.train, stimuli.test)
    )
    return KeptActivity(train, test, area)


def parameters(brain: BrainPlan) -> int:
    """Plastic values of one brain."""
    naive = replace(brain, gating=None, context_gating=None).grow(0)
    return sum(p.numel() for p in naive.parameters() if p.requires_grad)
