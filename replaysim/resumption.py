"""Resumption: what was simulated before, with the same settings, is not simulated again.

Studies simulate many conditions, each in a folder of its own. Stopped and started again, a study goes on with the first
condition that is not complete; a log of other settings is never taken for its own.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from . import tensor_files
from .brain import Brain, BrainPlan
from .brain_files import KIND, load_brain, save_brain
from .cortex import AbstractCortex, OwnCortex
from .errors import LogError
from .learning import Learning
from .life import Condition
from .locks import held
from .log import BRAINS, RunFolder, folder_named, open_log
from .preparation import check_animals, prepare
from .protocol import AbstractProtocol
from .sameness import refuse_other
from .simulation import Brains, describe, simulate


class KeptBrains(Mapping[int, Brain]):
    """Brains on disk by animal, read when asked for.

    Parameters
    ----------
    folder
        Where they lie.
    animals
        Whose they are.
    cortex
        What makes their cortex, where it is the user's own; see :func:`~replaysim.load_brain`.
    """

    def __init__(
        self, folder: Path, animals: Iterable[int], cortex: Callable[[], AbstractCortex] | None = None
    ) -> None:
        self.folder, self.animals, self.cortex = folder, tuple(animals), cortex

    def path(self, animal: int) -> Path:
        """File of an animal's brain."""
        return self.folder / f"{animal}.safetensors"

    @property
    def complete(self) -> bool:
        """Whether all are there."""
        return all(self.path(animal).is_file() for animal in self.animals)

    def keep(self, brains: Mapping[int, Brain]) -> None:
        """Write them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for animal in self.animals:
            save_brain(brains[animal], self.path(animal))

    def check(self) -> None:
        """Raise :class:`LogError` where something that is not an animal's brain has its name."""
        if self.folder.exists() and not self.folder.is_dir():
            raise LogError(f"{self.folder}: is a file, trained brains need a folder; choose another folder for the log")
        for animal, path in ((animal, self.path(animal)) for animal in self.animals):
            if not path.exists():
                continue
            try:
                whose = f"the brain of animal {tensor_files.read_note(path, KIND).get('animal')}"
            except LogError as error:
                whose = str(error)
            if whose != f"the brain of animal {animal}":
                raise LogError(
                    f"{path}: is not the brain of animal {animal} ({whose}) and would be replaced; move it, choose "
                    "another folder, or replace it with overwrite=True (on a command line: --overwrite)"
                )

    def __getitem__(self, animal: int) -> Brain:
        if animal not in self.animals:
            raise KeyError(f"animal {animal} was not simulated; there are {sorted(self.animals)}")
        return load_brain(self.path(animal), cortex=self.cortex)

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self.animals))

    def __len__(self) -> int:
        return len(self.animals)


class Resumed(NamedTuple):
    """What a simulation left behind, now or earlier."""

    log: xr.DataTree
    brains: KeptBrains
    """Trained brains; only where they were to be kept."""
    simulated: bool
    """Whether it was simulated now."""


def simulate_once(
    brain: BrainPlan,
    protocol: AbstractProtocol,
    *,
    animals: Iterable[int],
    out: str | os.PathLike[str],
    overwrite: bool = False,
    keep_brains: bool = False,
    **settings: Any,
) -> Resumed:
    """:func:`~replaysim.simulate`, unless the folder holds the complete log of the same simulation.

    A log of it that is not complete is replaced by a new one or, with ``checkpoints=True``, gone on with.

    Parameters
    ----------
    brain, protocol, animals, overwrite
        See :func:`~replaysim.simulate`.
    out
        Folder of the log.
    keep_brains
        Whether the trained brains are kept beside it, too: 4 bytes a synapse, 5 MB a brain of Split MNIST, 50 MB of
        Split CIFAR-100.
    **settings
        All others of :func:`~replaysim.simulate`. Device, workers and threads may differ from those of the
        earlier simulation. ``keep`` is called where something is simulated, and not for a log that is complete.

    Raises
    ------
    SettingError
        If ``out`` is no name of a folder, and all others of :func:`~replaysim.simulate`; what is there is untouched.
    LogError
        If the folder holds a log of other settings, complete or not, see :func:`is_complete`; or if another simulation
        is writing there.
    """
    seeds, folder = check_animals(animals), folder_named("simulate_once", out)
    settings, keeping = settled(settings), {"keep_brains": keep_brains}
    own = getattr(brain, "cortex", None)  # what is no plan is refused where all settings are checked
    kept = KeptBrains(folder / BRAINS, seeds, own.make if isinstance(own, OwnCortex) else None)
    if not overwrite and is_complete(brain, protocol, animals=seeds, out=folder, **keeping, **settings):
        return Resumed(open_log(folder), kept, False)
    with held(folder):
        there = (folder / "run.nc").is_file() and (kept.complete or not keep_brains)  # perhaps since a moment ago
        if not overwrite and there and is_complete(brain, protocol, animals=seeds, out=folder, **keeping, **settings):
            return Resumed(open_log(folder), kept, False)
        if keep_brains and kept.folder.exists():
            tensor_files.check_folder(kept.folder)
        going_on = not overwrite and bool(settings.get("checkpoints")) and not (folder / "run.nc").is_file()
        theirs = settings.pop("keep", None)

        def keep(brains: Brains) -> None:
            if keep_brains:
                kept.keep(brains)
            if theirs is not None:
                theirs(brains)

        wanted = keep if theirs is None or callable(theirs) else theirs  # which is refused
        result = simulate(brain, protocol, animals=seeds, out=folder, overwrite=not going_on, keep=wanted, **settings)
        return Resumed(result.log, kept, True)


def is_complete(
    brain: BrainPlan,
    protocol: AbstractProtocol,
    *,
    animals: Iterable[int],
    out: str | os.PathLike[str],
    keep_brains: bool = False,
    **settings: Any,
) -> bool:
    """Whether a folder holds the complete log of this simulation, and its brains where they are to be kept.

    Studies ask this of all their folders before they simulate anything. See :func:`simulate_once`.

    Raises
    ------
    LogError
        If the folder holds a log of other settings, complete or not, one whose settings are not known, or, where brains
        are to be kept, something else under the name of one.
    """
    seeds, settings = check_animals(animals), settled(settings)
    folder = folder_named("simulate_once", out)
    kept = KeptBrains(folder / BRAINS, seeds)
    there = RunFolder(folder).settings() if folder.is_dir() else None
    if there is not None:
        refuse_other(folder, there, _described(brain, protocol, seeds, settings))
    if keep_brains:
        kept.check()
    return (folder / "run.nc").is_file() and (kept.complete or not keep_brains)


def settled(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that can be asked for more than once: what comes one by one is a tuple, and so is a lone electrode.

    A generator would be used up by whoever looks whether there is a log already.
    """
    many = {name: settings[name] for name in ("animals", "record") if name in settings}
    found = {name: tuple(value) if isinstance(value, Iterable) else value for name, value in many.items()}
    lone = {"record": (found["record"],)} if not isinstance(found.get("record", ()), tuple) else {}
    return {**settings, **found, **lone}


def _described(
    brain: BrainPlan, protocol: AbstractProtocol, seeds: tuple[int, ...], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What the configuration of this simulation will say."""
    call = inspect.signature(simulate).bind(brain, protocol, animals=seeds, **settings)
    call.apply_defaults()
    given = call.arguments
    how = {name: given[name] for name in ("replay", "consolidation", "experience")}
    how |= {name: given[name] for name in ("precision", "chance")}
    learning = given["learning"] or Learning()
    try:
        condition = Condition(brain, protocol, learning, **how, electrodes=tuple(given["record"]))
        return describe(condition, seeds, given["label"])
    except (TypeError, AttributeError):
        prepare(brain, protocol, learning, **how, record=given["record"], device="cpu")  # says what is wrong
        raise
