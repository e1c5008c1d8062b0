"""simulate(): animals learn one context after the other, and leave a log and their brains."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from . import log as logs
from . import rng
from .brain import Brain, BrainPlan, gateable
from .brains import describe_plan, fresh_copy
from .consolidation import ConsolidationRule
from .cortex import RETINA
from .crew import Crew, divide
from .early_activity import keep
from .errors import DataError, LogError, SettingError, check_choice, check_number
from .experience import check_experience
from .learning import Learning
from .life import Condition, KeptActivity, Outcome
from .observation import plastic_reentry
from .pathways import feedback_units
from .protocol import AbstractProtocol
from .provenance import provenance
from .recorder import Electrode, Preparation, check_electrodes
from .replay import ReplayMechanism
from .visual_cortex import VisualCortex, standing_area

PRECISIONS = ("float32", "float64")


class Brains(Mapping[int, Brain]):
    """The trained brains of a simulation by animal: ordinary modules for one animal, put together when asked for."""

    def __init__(self, plan: BrainPlan, outcomes: Sequence[Outcome]) -> None:
        self._plan = plan
        self._states = {seed: state for outcome in outcomes for seed, state in outcome.states.items()}
        self._identities = {seed: order for outcome in outcomes for seed, order in outcome.identities.items()}

    def __getitem__(self, animal: int) -> Brain:
        if animal not in self._states:
            raise KeyError(f"animal {animal} was not simulated; there are {sorted(self._states)}")
        state = {name: torch.from_numpy(value.copy()) for name, value in self._states[animal].items()}
        return fresh_copy(self._plan, state, animal, self._identities[animal])

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._states))

    def __len__(self) -> int:
        return len(self._states)


class SimulationResult:
    """What a simulation leaves behind.

    Attributes
    ----------
    log
        Everything that was recorded, an :class:`xarray.DataTree`; see ``docs/log.md``.
    brains
        Animal to trained brain.
    folder
        Where the log was written, or None.
    """

    def __init__(self, log: xr.DataTree, brains: Brains, folder: Path | None) -> None:
        self.log, self.brains, self.folder = log, brains, folder

    def __repr__(self) -> str:
        return f"SimulationResult(animals={list(self.brains)}, folder={str(self.folder) if self.folder else None!r})"


def simulate(
    brain: BrainPlan,
    protocol: AbstractProtocol,
    *,
    animals: Iterable[int],
    learning: Learning | None = None,
    replay: ReplayMechanism | None = None,
    consolidation: ConsolidationRule | None = None,
    experience: str = "sequential",
    record: Iterable[Electrode] = (),
    out: str | Path | None = None,
    overwrite: bool = False,
    device: str = "cpu",
    precision: str = "float32",
    workers: int | None = None,
    chance: int = 0,
    progress: bool = True,
    label: str = "",
) -> SimulationResult:
    """Let a cohort of animals learn the contexts of a protocol one after the other.

    A mechanism that is not passed is the control condition. Nothing is computed before all settings have been checked.

    Parameters
    ----------
    brain
        Plan of every animal's brain, see :func:`~replaysim.brain_inspired` and :func:`~replaysim.classifier`.
    protocol
        What the animals meet.
    animals
        Their seeds, whole numbers from 0 up to 2**31 - 1.
    learning
        Steps, batch size and learning rate; default: the paper's for Split MNIST.
    replay, consolidation
        Systems and synaptic consolidation.
    experience
        ``"sequential"``; ``"joint"``: trials of all contexts so far, the ceiling; or ``"last"``: the last context only,
        tested on all, the floor.
    record
        Electrodes, see :mod:`replaysim.recorder`. Accuracy after every context and all losses are always recorded.
    out
        Folder for the log; it grows while the simulation runs, and finished contexts stay readable whatever happens.
        Without it the log is kept in memory.
    overwrite
        Whether an earlier log in that folder may be replaced.
    device
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"`` or ``"auto"`` (a CUDA device where there is one, else the CPU).
    precision
        ``"float32"`` or ``"float64"``.
    workers
        Processes on a CPU, one thread each; default: one a core. Animals are spread over them by a fixed rule.
    chance
        Another number than 0 gives the animals another life: the same class orders and gates, other initial synapses,
        trials and noise.
    progress
        Whether to show a progress bar.
    label
        Name of the condition for the bar and the log.

    Returns
    -------
    SimulationResult

    Raises
    ------
    SettingError, DataError
        For impossible settings, before anything is computed.
    LogError
        Where the log cannot be written.
    """
    seeds = check_animals(animals)
    condition = prepare(
        brain, protocol, learning or Learning(), replay, consolidation, experience, record, device, precision, chance
    )
    check_gates(brain, protocol, seeds)
    chunks, processes = divide(seeds, torch.device(condition.device).type, workers, parameters(brain))
    config = describe(condition, seeds, label)
    config["computation"] = {
        "chunks": [list(chunk) for chunk in chunks],
        "workers": processes,
        "threads": 1,
        "device": condition.device,
        "precision": precision,
    }
    attrs = provenance(config, seeds, condition.device)
    folder = None if out is None else logs.RunFolder.create(Path(out), overwrite=overwrite, attrs=attrs)
    if folder is not None:
        folder.write_config(config)
    try:
        condition = replace(condition, kept=kept_activity(condition, progress))
        crew = Crew(condition, chunks, processes, folder)
        outcomes, pieces = crew.run(progress=progress, label=label or "simulate")
    except BaseException as error:
        if folder is not None:
            folder.fail(repr(error))  # what was finished stays readable, and says what happened
        raise
    brains = Brains(brain, outcomes)
    dead = [seed for outcome in outcomes for seed, alive in outcome.alive.items() if not alive]
    attrs = attrs | {"status": "complete" if len(dead) < len(seeds) else "failed", "animals_with_faults": dead or [-1]}
    if folder is None:
        return SimulationResult(logs.assemble(pieces, attrs), brains, None)
    return SimulationResult(folder.consolidate(attrs), brains, folder.path)


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
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except (RuntimeError, TypeError):
        kind = ""
    check_choice("simulate", "device", kind or device, ("cpu", "cuda", "mps", "auto"))
    if kind == "cuda" and not torch.cuda.is_available():
        raise SettingError("simulate", "device", device, "'cpu' on this machine: torch finds no CUDA device")
    if kind == "cuda" and (torch.device(device).index or 0) >= torch.cuda.device_count():
        raise SettingError(
            "simulate", "device", device, f"one of the {torch.cuda.device_count()} CUDA devices of this machine"
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise SettingError("simulate", "device", device, "'cpu' on this machine: torch finds no MPS device")
    return device


def prepare(
    brain: BrainPlan,
    protocol: AbstractProtocol,
    learning: Learning,
    replay: ReplayMechanism | None,
    consolidation: ConsolidationRule | None,
    experience: str,
    record: Iterable[Electrode],
    device: str,
    precision: str,
    chance: int = 0,
) -> Condition:
    """Check that all settings fit together, and put them together."""
    for name, value, kind in (
        ("brain", brain, BrainPlan),
        ("protocol", protocol, AbstractProtocol),
        ("learning", learning, Learning),
    ):
        if not isinstance(value, kind):
            raise SettingError("simulate", name, value, f"a {kind.__name__}")
    if replay is not None and not isinstance(replay, ReplayMechanism):
        raise SettingError(
            "simulate", "replay", replay, "GenerativeReplay, ExactReplay or CurrentInputReplay(), or left out"
        )
    if consolidation is not None and not isinstance(consolidation, ConsolidationRule):
        raise SettingError(
            "simulate", "consolidation", consolidation, "a rule, e.g. SynapticIntelligence(c=0.1), or left out"
        )
    check_choice("simulate", "precision", precision, PRECISIONS)
    check_number("simulate", "chance", chance, least=0, whole=True)
    if precision == "float64" and device.startswith("mps"):
        raise SettingError("simulate", "precision", precision, "'float32' on an MPS device")
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
    check_mechanisms(brain, naive, protocol, replay, consolidation)
    electrodes = check_electrodes(record, Preparation(naive, protocol, learning, replay, consolidation))
    return Condition(
        brain,
        protocol,
        learning,
        replay,
        consolidation,
        experience,
        electrodes,
        check_device(device),
        precision,
        chance,
    )


def check_mechanisms(
    plan: BrainPlan,
    naive: Brain,
    protocol: AbstractProtocol,
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
    replay.check(naive)
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
    """Raise :class:`SettingError` if a gate of any animal would close all units of a layer."""
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


def describe(condition: Condition, seeds: Sequence[int], label: str) -> dict[str, Any]:
    """All settings as plain values."""

    def named(thing: object) -> Any:
        if thing is None:
            return None
        return {"kind": type(thing).__name__, **vars(thing)}

    config = {
        "label": label,
        "animals": list(seeds),
        "scenario": condition.protocol.scenario,
        "protocol": condition.protocol.describe(),
        "brain": describe_plan(condition.brain),
        "learning": named(condition.learning),
        "replay": named(condition.replay),
        "consolidation": named(condition.consolidation),
        "experience": condition.experience,
        "chance": condition.chance,
        "record": [named(electrode) for electrode in condition.electrodes],
    }
    try:
        return json.loads(json.dumps(config, default=lambda number: number.item()))  # numbers of numpy
    except (TypeError, AttributeError) as error:
        raise LogError(
            f"the settings cannot be written to a log: {error}; give rules plain numbers and words as fields"
        ) from error
