"""Joining: one log of all animals of a condition that were simulated a few at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from .errors import LogError
from .pieces import assemble_trees
from .provenance import config_attributes, settings_of, title_of
from .sameness import differences


def join_logs(logs: Iterable[xr.DataTree]) -> xr.DataTree:
    """One log of all animals of one condition, from logs of some animals each.

    An animal has its own synapses, trials and noise whoever lives beside it, so that cohorts of one condition may be
    simulated one after the other, or on several machines, and analysed as one. They round differently, though, where
    more or fewer animals are computed at once: a life on its own is one of the same animal, not the same to the last
    digit.

    Parameters
    ----------
    logs
        As :func:`~replaysim.open_log` gives them, of the same settings but for the animals; finished or not.

    Returns
    -------
    xarray.DataTree
        Loaded, animals sorted; where one log has not come as far as others, floating numbers are NaN and whole numbers
        -1. At its root, ``seeds`` and ``config_json`` name all animals and ``history`` has the lines of all logs; what
        else says how it was made (commit, hardware, command) is that of the log that was begun first. ``status`` is
        that of a log that is not finished, if there is one; else ``"complete"`` where an animal lived to the end.

    Raises
    ------
    LogError
        If there is none, settings differ, or an animal is in two of them.

    Examples
    --------
    >>> from replaysim.log import logs_in
    >>> log = rs.join_logs(rs.open_log(one) for one in logs_in("runs/my_arm"))  # doctest: +SKIP
    """
    found = list(logs)
    if not found:
        raise LogError("join_logs: give at least one log")
    for log in found:
        if not isinstance(log, xr.DataTree):
            raise LogError(f"join_logs: give a list of logs as open_log() gives them; one is of {type(log).__name__}")
    found.sort(key=lambda log: str(log.attrs.get("date_created", "later")))
    for number, log in enumerate(found[1:], 2):
        seen = (words for one in found[: number - 1] for words in _differences(one, log))  # a log may not know all
        if other := list(dict.fromkeys(seen)):
            more = f"; and {len(other) - 3} more" if len(other) > 3 else ""
            raise LogError(
                f"join_logs: log {number} of {len(found)} (animals {', '.join(map(str, _animals(log)))}) has other "
                f"settings than an earlier one ({'; '.join(other[:3])}{more}); only animals of one condition make one "
                "log"
            )
        if twice := sorted({animal for one in found[: number - 1] for animal in _animals(one)} & set(_animals(log))):
            raise LogError(
                f"join_logs: log {number} of {len(found)} (animals {', '.join(map(str, _animals(log)))}) has animals "
                f"that an earlier one has: {', '.join(map(str, twice))}"
            )
    return assemble_trees(([log] for log in found), _attributes(found))


def conditions_among(logs: Sequence[xr.DataTree]) -> list[list[int]]:
    """Which logs can be joined, as lists of their numbers from 0: same settings, other animals.

    A log that does not know its own settings, or holds no animal yet, stands alone.
    """
    found: list[list[int]] = []
    for number, log in enumerate(logs):
        group = next((group for group in found if all(_alike(logs[i], log) for i in group)), None)
        if group is None:
            found.append([number])
        else:
            group.append(number)
    return found


def _alike(one: xr.DataTree, other: xr.DataTree) -> bool:
    """Whether two logs hold other animals of one condition."""
    animals = [_animals(log) for log in (one, other)]
    if not all(animals) or set(animals[0]) & set(animals[1]):
        return False
    try:
        return not _differences(one, other)
    except LogError:  # no settings
        return False


def _settings(log: xr.DataTree) -> dict[str, Any]:
    return settings_of(log.attrs, f"the log of animals {_animals(log)}")


def _animals(log: xr.DataTree) -> list[int]:
    """Who is in a log; not whoever was to be."""
    if "behaviour" not in log.children or "animal" not in log["behaviour"].coords:
        return []
    return [int(animal) for animal in np.atleast_1d(log["behaviour"].coords["animal"].values)]


def _differences(one: xr.DataTree, other: xr.DataTree) -> list[str]:
    first, second = ({n: v for n, v in _settings(log).items() if n != "animals"} for log in (one, other))
    return differences(second, first)


def _attributes(logs: Sequence[xr.DataTree]) -> dict[str, Any]:
    """Attributes of the root of logs that are one; the first was begun first."""
    animals = sorted(animal for log in logs for animal in _animals(log))
    configs = [_settings(log) for log in logs]
    config = configs[0] | {"animals": animals}
    computed = [c["computation"] if isinstance(c.get("computation"), Mapping) else {} for c in configs]
    shared = {n: v for n, v in computed[0].items() if all(one.get(n) == v for one in computed)}
    if all("chunks" in one for one in computed):
        shared["chunks"] = [chunk for one in computed for chunk in one["chunks"]]
    if shared:
        config["computation"] = shared
    attrs = {str(name): value for name, value in logs[0].attrs.items()} | config_attributes(config)
    lines = [line for log in logs for line in str(log.attrs.get("history", "")).splitlines()]
    attrs |= {
        "title": title_of(config, len(animals)),
        "id": f"replaysim-{attrs['config_sha256'][:12]}-{attrs.get('date_created', '')}",
        "history": "\n".join(sorted(lines)),  # a line begins with its date
        "seeds": animals,
    }
    if changed := [str(log.attrs["date_modified"]) for log in logs if "date_modified" in log.attrs]:
        attrs["date_modified"] = max(changed)
    return attrs | _fate(logs, animals)


def _fate(logs: Sequence[xr.DataTree], animals: Sequence[int]) -> dict[str, Any]:
    """How far they came, and whose losses became infinite, as far as finished logs say it."""
    dead = [int(one) for log in logs for one in np.atleast_1d(log.attrs.get("animals_with_faults", -1)) if one >= 0]
    fate: dict[str, Any] = {"animals_with_faults": sorted(dead) or [-1]}
    for log in logs:
        ended = "animals_with_faults" in log.attrs and "status_reason" not in log.attrs
        if log.attrs.get("status") == "running" or (log.attrs.get("status") != "complete" and not ended):
            return fate | {n: log.attrs[n] for n in ("status", "status_reason") if n in log.attrs}
    return fate | {"status": "complete" if len(dead) < len(animals) else "failed"}
