"""Portions: the animals of one condition, simulated a few at a time, each portion a log of its own.

A stop costs the context that was under way and nothing else, and animals that are asked for later are added to those
that are there. An animal's life does not depend on who lives beside it, so that portions may be of any size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from .brain import BrainPlan
from .crew import workers_for
from .errors import LogError, check_number
from .log import open_log
from .preparation import check_animals
from .protocol import AbstractProtocol
from .resumption import KeptBrains, is_complete, simulate_once

_RUN, _PORTION = "run.nc", "animals_"


class Portion(NamedTuple):
    """Animals that lived together, now or earlier."""

    animals: tuple[int, ...]
    """Those of them that were asked for, and are in no other portion."""
    log: xr.DataTree
    brains: KeptBrains
    """Trained brains of all its animals; only where they were to be kept."""
    folder: Path


def label(animals: Sequence[int]) -> str:
    """Name of a portion's folder: ``animals_12``, ``animals_12-15`` or ``animals_12_14``."""
    if len(animals) == 1:
        return f"{_PORTION}{animals[0]}"
    whole = tuple(animals) == tuple(range(animals[0], animals[-1] + 1))
    return _PORTION + (f"{animals[0]}-{animals[-1]}" if whole else "_".join(map(str, animals)))


def portions(animals: Sequence[int], many: int | None) -> list[tuple[int, ...]]:
    """Animals in portions of so many; None: all together."""
    size = max(1, len(animals) if many is None else many)
    return [tuple(animals[i : i + size]) for i in range(0, len(animals), size)]


def together(at_once: int | None, *, wide: bool, device: str, workers: int | None, threads: int = 1) -> int | None:
    """How many animals make a portion where nobody says: wide brains on a CPU one a worker, else all (None)."""
    if at_once is not None:
        check_number("portions", "at_once", at_once, least=1, whole=True)
        return at_once
    return (workers or workers_for(threads)) if wide and device == "cpu" else None


def live(
    brain: BrainPlan,
    protocol: AbstractProtocol,
    *,
    animals: Iterable[int],
    out: Path,
    at_once: int | None = None,
    overwrite: bool = False,
    keep_brains: bool = False,
    checkpoints: bool = True,
    only_finished: bool = False,
    **settings: Any,
) -> Iterator[Portion]:
    """Portions in which these animals lived: those that are complete first, then the others, simulated one by one.

    Parameters
    ----------
    brain, protocol, animals, overwrite, keep_brains, checkpoints, **settings
        See :func:`~replaysim.resumption.simulate_once`. With ``overwrite``, portions that are there are
        simulated again.
    out
        Folder of all portions; a log in the folder itself, from before there were any, counts as one of them.
    at_once
        How many animals are simulated together; default: all that are missing.
    only_finished
        Simulate nothing.

    Yields
    ------
    Portion
        Complete on disk when it comes.

    Raises
    ------
    LogError
        If a log of other settings holds one of the animals; or if animals that were not asked for would be overwritten.
    """
    seeds = check_animals(animals)
    held: set[int] = set()
    plans: list[tuple[Path, tuple[int, ...]]] = []
    for folder, those in _finished(out):
        if set(those) & set(seeds) - held:
            plans.append((folder, those))
            held |= set(those)
    if overwrite:
        _check_nobody_is_lost(plans, seeds)
    if not only_finished:
        plans += [(out / label(some), some) for some in portions([a for a in seeds if a not in held], at_once)]
    how = {"keep_brains": keep_brains, "checkpoints": checkpoints, **settings}
    for folder, those in plans if not overwrite else ():  # all are asked before the first is simulated
        is_complete(brain, protocol, animals=those, out=folder, **how)
    given: set[int] = set()
    for folder, those in plans:
        lived = simulate_once(
            brain, protocol, animals=those, out=folder, overwrite=overwrite and not only_finished, **how
        )
        own = tuple(a for a in those if a in seeds and a not in given)
        given |= set(own)
        yield Portion(own, lived.log, lived.brains, folder)


def gather(
    found: Iterable[Portion], animals: Sequence[int], measure: Callable[[xr.DataTree], xr.DataArray]
) -> xr.DataArray:
    """A measure with a dim ``animal``, of all portions, in the order of the animals."""
    parts = [measure(portion.log).sel(animal=list(portion.animals)) for portion in found]
    if len(parts) == 1:
        return parts[0].sel(animal=list(animals))
    joined = xr.concat(parts, "animal", coords="minimal", compat="override", join="exact", combine_attrs="override")
    return joined.sel(animal=list(animals))


def _finished(out: Path) -> list[tuple[Path, tuple[int, ...]]]:
    """Folders with a finished log, and its animals."""
    found = []
    for path in [out / _RUN, *sorted(out.glob(f"{_PORTION}*/{_RUN}"))]:
        if path.is_file():
            log = open_log(path, load=False)
            if "behaviour" not in log.children:
                raise LogError(f"{path}: is no complete log, it lacks the behaviour of animals; move it elsewhere")
            found.append((path.parent, tuple(log["behaviour"].to_dataset()["animal"].values.tolist())))
            log.close()
    return found


def _check_nobody_is_lost(plans: Iterable[tuple[Path, Sequence[int]]], seeds: Sequence[int]) -> None:
    for folder, those in plans:
        others = sorted(set(those) - set(seeds))
        if others:
            raise LogError(
                f"{folder}: would be overwritten, but also holds animals that were not asked for: {others}; ask for "
                "them, too, or choose another folder"
            )
