"""Portions: the animals of one condition, simulated a few at a time, each portion a log of its own.

A stop costs the context that was under way and nothing else, and animals that are asked for later are added to those
that are there. An animal's life does not depend on who lives beside it, so that portions may be of any size.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import xarray as xr

from .brain import BrainPlan
from .crew import workers_for
from .errors import LogError, ReplaysimError, check_number
from .log import CHECKPOINT, RunFolder, open_log
from .preparation import check_animals
from .protocol import AbstractProtocol
from .resumption import KeptBrains, is_complete, settled, simulate_once

_RUN, _PORTION = "run.nc", "animals_"
_Plan: TypeAlias = tuple[Path, tuple[int, ...]]
"""Where animals lived or are to live."""


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
    """Portions in which these animals lived: first those that are complete, then those that were begun, then others.

    Parameters
    ----------
    brain, protocol, animals, overwrite, keep_brains, checkpoints, **settings
        See :func:`~replaysim.resumption.simulate_once`. With ``overwrite``, portions that are there are
        simulated again.
    out
        Folder of all portions; a log in the folder itself, from before there were any, counts as one of them.
    at_once
        How many animals are simulated together; default: all that are missing. A portion that was begun is gone on
        with as it is.
    only_finished
        Simulate nothing; a portion without the brains that are to be kept is not finished.

    Yields
    ------
    Portion
        Complete on disk when it comes.

    Raises
    ------
    LogError
        If a log of other settings holds one of the animals; if animals that were not asked for would be overwritten; or
        if another simulation is writing one of the portions.
    """
    seeds = tuple(sorted(check_animals(animals)))  # the same portions in whatever order they are asked for
    how = settled({"keep_brains": keep_brains, "checkpoints": checkpoints, **settings})

    def whole(plan: _Plan) -> bool:
        return is_complete(brain, protocol, animals=plan[1], out=plan[0], **how)

    plans: list[_Plan] = []
    for folder, those in _finished(out):
        if set(those) & set(seeds) - _held(plans):
            plans.append((folder, those))
    if overwrite:
        _check_nobody_is_lost(plans, seeds)
    if not only_finished:
        if checkpoints and not overwrite:
            plans += _begun(out, set(seeds) - _held(plans), whole)
        plans += [(out / label(some), some) for some in portions(sorted(set(seeds) - _held(plans)), at_once)]
    if only_finished or not overwrite:  # all are asked before the first is simulated
        asked = [whole(plan) for plan in plans]
        plans = [plan for plan, there in zip(plans, asked, strict=True) if there or not only_finished]
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


def _begun(out: Path, wanted: set[int], whole: Callable[[_Plan], bool]) -> list[_Plan]:
    """Folders in which only wanted animals live, and can go on, however portions are cut now."""
    found: list[_Plan] = []
    for path in sorted(path for path in out.glob(f"{_PORTION}*") if any(path.glob(f"*/*/{CHECKPOINT}"))):
        with contextlib.suppress(ReplaysimError):  # other settings, or damage: in the way only where its name is wanted
            those = check_animals((RunFolder(path).unfinished_settings or {}).get("animals", ()))
            if set(those) <= wanted - _held(found) and not whole((path, those)):
                found.append((path, those))
    return found


def _held(plans: Iterable[_Plan]) -> set[int]:
    return {animal for _, those in plans for animal in those}


def _check_nobody_is_lost(plans: Iterable[_Plan], seeds: Collection[int]) -> None:
    for folder, those in plans:
        others = sorted(set(those) - set(seeds))
        if others:
            raise LogError(
                f"{folder}: would be overwritten, but also holds animals that were not asked for: {others}; ask for "
                "them, too, or choose another folder"
            )
