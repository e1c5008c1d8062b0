"""simulate(): animals learn one context after the other, and leave a log and their brains."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from . import log as logs
from .brain import Brain, BrainPlan
from .brain_files import describe_plan, fresh_copy
from .consolidation import ConsolidationRule
from .crew import Crew, divide
from .errors import LogError, SettingError, check_choice, check_number
from .fingerprints import fingerprints
from .history import gone_on
from .learning import Learning
from .life import Condition, Outcome
from .locks import held
from .preparation import check_animals, check_gates, kept_activity, parameters, prepare
from .protocol import AbstractProtocol
from .provenance import provenance
from .recorder import Electrode
from .replay import ReplayMechanism, priorities
from .sameness import refuse_other


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
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    device: str = "cpu",
    precision: str = "float32",
    workers: int | None = None,
    threads: int = 1,
    chance: int = 0,
    progress: bool = True,
    label: str = "",
    checkpoints: bool = False,
    keep: Callable[[Brains], None] | None = None,
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
        ``"float32"``, ``"float64"``, or ``"bfloat16"``, mixed precision: float32, but dense and convolutional layers
        multiply in bfloat16 while animals learn and replay, which is faster where the processor has instructions for
        it (elsewhere rounded factors are multiplied in float32, at its speed); see :mod:`replaysim.products`.
    workers
        Processes on a CPU; default: as many as have a core for each of their threads. Animals are spread over them by a
        fixed rule.
    threads
        CPU threads of each worker; more than one are for a single animal with large areas. Last digits depend on this
        number. An unfinished log is gone on with as many as it was begun with, whatever is given here.
    chance
        Another number than 0 gives the animals another life: the same class orders and gates, other initial synapses,
        trials and noise.
    progress
        Whether to show a progress bar.
    label
        Name of the condition for the bar and the log.
    checkpoints
        Whether the animals are kept in ``out`` after every context, see :mod:`replaysim.checkpoints`. The same call
        then goes on with an unfinished log of the same simulation, and ends with the same numbers to the last bit as if
        it had never been interrupted, on the same machine; on another kind of device it goes on with a warning.
        With ``overwrite`` it begins anew.
    keep
        Gets the trained brains. With ``checkpoints`` before the log is whole: where it fails, the same call goes on
        from there.

    Returns
    -------
    SimulationResult

    Raises
    ------
    SettingError, DataError
        For impossible settings, before anything is computed.
    LogError
        Where the log cannot be written, an unfinished one is of other settings, or another simulation is writing it.
    """
    for name, flag in (("overwrite", overwrite), ("checkpoints", checkpoints)):
        check_choice("simulate", name, flag, (True, False))
    if keep is not None and not callable(keep):
        raise SettingError("simulate", "keep", keep, "None or a function that gets the trained brains")
    seeds = check_animals(animals)
    place = None if out is None else logs.folder_named("simulate", out)
    condition = prepare(brain, protocol, learning, replay, consolidation, experience, record, device, precision, chance)
    check_gates(brain, protocol, seeds)
    config = describe(condition, seeds, label)
    check_number("simulate", "threads", threads, least=1, whole=True)
    with held(place):  # from the first look at what is there until the log is whole
        unfinished = _unfinished(place, config) if checkpoints and not overwrite else None
        begun = None if unfinished is None else unfinished["computation"]  # the same to the last bit, from here on
        threads = threads if begun is None else begun["threads"]
        chunks, processes = divide(seeds, torch.device(condition.device).type, workers, parameters(brain), threads)
        chunks = chunks if begun is None else [tuple(chunk) for chunk in begun["chunks"]]
        config["computation"] |= {
            "chunks": [list(chunk) for chunk in chunks],
            "workers": processes,
            "threads": threads,
            "device": condition.device,
            **_elsewhere(begun, condition.device),
        }
        attrs = provenance(config, seeds, condition.device)
        if unfinished is not None and place is not None:
            attrs = gone_on(attrs, logs.RunFolder(place).last_written())
        folder = None
        if unfinished is not None and place is not None:
            folder = logs.RunFolder.reopen(place, attrs=attrs)
        elif place is not None:
            folder = logs.RunFolder.create(place, overwrite=overwrite, attrs=attrs)
        if folder is not None:
            folder.write_config(config)
        with _failures_told(folder, _way_on(checkpoints, overwrite)):
            condition = replace(condition, kept=kept_activity(condition, progress))
            crew = Crew(condition, chunks, processes, folder, checkpoints, threads)
            outcomes, pieces = crew.run(progress=progress, label=label or "simulate")
            brains = Brains(brain, outcomes)
            if keep is not None and checkpoints:
                keep(brains)
        dead = [seed for outcome in outcomes for seed, alive in outcome.alive.items() if not alive]
        status = "complete" if len(dead) < len(seeds) else "failed"
        attrs = attrs | {"status": status, "animals_with_faults": dead or [-1]}
        log = logs.assemble(pieces, attrs) if folder is None else folder.consolidate(attrs)
        if keep is not None and not checkpoints:  # nothing to go on from: the log at least is whole
            keep(brains)
    return SimulationResult(log, brains, place)


def _way_on(checkpoints: bool, overwrite: bool) -> str:
    if not checkpoints:
        return ""
    call = "the same call without overwrite=True (--overwrite)" if overwrite else "the same call"
    return f"; {call} goes on from the last context that was over"


@contextlib.contextmanager
def _failures_told(folder: logs.RunFolder | None, way_on: str) -> Iterator[None]:
    """What was finished stays readable, and says what happened; the error itself counts more than this."""
    try:
        yield
    except BaseException as error:
        if folder is not None:
            with contextlib.suppress(LogError):
                folder.fail("stopped by the user" if isinstance(error, KeyboardInterrupt) else repr(error))
            error.add_note(f"what was finished, if anything, is in {folder.path}{way_on}")
        raise


def _elsewhere(begun: Mapping[str, Any] | None, device: str) -> dict[str, str]:
    """Where a life was begun that has ever gone on on another kind of device; when it does, this is said."""
    if begun is None:
        return {}
    last = begun["device"]
    if torch.device(last).type != torch.device(device).type:
        warnings.warn(
            f"simulate: what was begun on {last} goes on on {device}: numbers are not those of a life on one device, "
            "to the last digit; the log says so (begun_on)",
            stacklevel=3,
        )
        return {"begun_on": begun.get("begun_on", last)}
    return {"begun_on": begun["begun_on"]} if "begun_on" in begun else {}


def _unfinished(place: Path | None, config: Mapping[str, Any]) -> dict[str, Any] | None:
    """Settings of the unfinished log with which to go on, or None; refuses one of other settings."""
    if place is None:
        raise SettingError("simulate", "checkpoints", True, "False where there is no `out` to keep them in")
    there = logs.RunFolder(place).unfinished_settings
    if there is not None:
        refuse_other(place, there, config)
    return there


def _policy(condition: Condition) -> list[list[float]]:
    """What a policy of replay says after every number of contexts; nothing where there is none."""
    found = [priorities(condition.replay, learned) for learned in range(1, condition.protocol.n_contexts)]
    return [one.tolist() for one in found if one is not None]


def describe(condition: Condition, seeds: Sequence[int], label: str) -> dict[str, Any]:
    """All settings as plain values, and checksums of what they only name (:mod:`replaysim.fingerprints`)."""

    def named(thing: object) -> Any:
        if thing is None:
            return None
        own = [field.name for field in fields(thing)] if is_dataclass(thing) else []  # with slots there are no vars()
        values = {name: getattr(thing, name) for name in own if hasattr(thing, name)}
        return {"kind": type(thing).__name__, **values, **getattr(thing, "__dict__", {})}

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
        "sha256": fingerprints(condition.brain, condition.protocol.stimuli, _policy(condition)),
        "computation": {"precision": condition.precision},
    }
    try:
        return json.loads(json.dumps(config, default=lambda number: number.item()))  # numbers of numpy
    except (TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise LogError(
            f"the settings cannot be written to a log: {error}; give rules plain numbers and words as fields"
        ) from error
