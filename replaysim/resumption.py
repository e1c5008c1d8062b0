"""Resumption: what was simulated before, with the same settings, is not simulated again.

Studies simulate many conditions, each in a folder of its own. Stopped and started again, a study goes on with the first
condition that is not complete; a log of other settings is never taken for its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from .brain import Brain, BrainPlan
from .brain_files import load_brain, save_brain
from .errors import LogError
from .learning import Learning
from .life import Condition
from .log import open_log
from .preparation import check_animals
from .protocol import AbstractProtocol
from .simulation import describe, simulate

_BRAINS = "brains"
_COMPUTATION = ("computation", "replaysim_schema")  # says where and how it was computed, not what


class KeptBrains(Mapping[int, Brain]):
    """Brains on disk by animal, read when asked for."""

    def __init__(self, folder: Path, animals: Iterable[int]) -> None:
        self.folder, self.animals = folder, tuple(animals)

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

    def forget(self) -> None:
        """Remove those of an earlier simulation."""
        for path in self.folder.glob("*.safetensors"):
            path.unlink()

    def __getitem__(self, animal: int) -> Brain:
        if animal not in self.animals:
            raise KeyError(f"animal {animal} was not simulated; there are {sorted(self.animals)}")
        return load_brain(self.path(animal))

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
    out: Path,
    overwrite: bool = False,
    keep_brains: bool = False,
    **settings: Any,
) -> Resumed:
    """:func:`~replaysim.simulate`, unless the folder holds the complete log of the same simulation.

    A log that is not complete is replaced by a new one, as an animal's life cannot be taken up in its middle.

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
        All others of :func:`~replaysim.simulate`. Device and workers may differ from those of the earlier simulation.

    Raises
    ------
    LogError
        If the folder holds a log of other settings, complete or not.
    """
    seeds = check_animals(animals)
    kept = KeptBrains(out / _BRAINS, seeds)
    if not overwrite:
        _check_same(out, _described(brain, protocol, seeds, settings))
        if (out / "run.nc").is_file() and (kept.complete or not keep_brains):
            return Resumed(open_log(out), kept, False)
    kept.forget()  # first, so that they never lie beside the log of others
    result = simulate(brain, protocol, animals=seeds, out=out, overwrite=True, **settings)
    if keep_brains:
        kept.keep(result.brains)
    return Resumed(result.log, kept, True)


def _described(
    brain: BrainPlan, protocol: AbstractProtocol, seeds: tuple[int, ...], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """What the configuration of this simulation will say."""
    condition = Condition(
        brain,
        protocol,
        settings.get("learning") or Learning(),
        settings.get("replay"),
        settings.get("consolidation"),
        settings.get("experience", "sequential"),
        tuple(settings.get("record", ())),
        chance=settings.get("chance", 0),
    )
    return describe(condition, seeds, settings.get("label", ""))


def _check_same(out: Path, wanted: Mapping[str, Any]) -> None:
    path = out / "config.json"
    if not path.is_file():
        return
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return  # cut off while it was written, or not ours: simulate() tells
    if not isinstance(there, dict):
        return
    other = differences(there, wanted)
    if other:
        raise LogError(
            f"{out}: holds a log of other settings ({'; '.join(other[:3])}); choose another folder, or replace it with "
            "overwrite=True (in a script: --overwrite)"
        )


def differences(there: Any, wanted: Any, name: str = "") -> list[str]:
    """Where two configurations differ, as words."""
    if isinstance(there, Mapping) and isinstance(wanted, Mapping):
        names = [n for n in {**there, **wanted} if name or n not in _COMPUTATION]
        found = (differences(there.get(n), wanted.get(n), f"{name}.{n}" if name else n) for n in names)
        return [words for some in found for words in some]
    if there == wanted:
        return []
    return [f"{name} is {_short(there)}, not {_short(wanted)}"]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
