"""Survival: who lived to the end. An animal whose losses became infinite has nothing that could be averaged."""

from __future__ import annotations

from collections.abc import Iterable

import xarray as xr

from .forgetting import survivors
from .readings import faulty


def alive(name: str, log: xr.DataTree, animals: Iterable[int]) -> tuple[int, ...]:
    """Those of some animals of a log who lived to the end; a line on the screen names the others, and says why.

    Parameters
    ----------
    name
        What they lived in, for that line.
    log
        See :func:`replaysim.open_log`.
    animals
        Who is asked about.
    """
    asked, left = list(animals), set(survivors(log))
    going_on = log.attrs.get("status") == "running" or "status_reason" in log.attrs
    out, dead = [animal for animal in asked if animal not in left], set(faulty(log))
    late = [animal for animal in out if animal not in dead] if going_on else []
    for words, some in (("losses became infinite", [a for a in out if a not in late]), ("not finished", late)):
        if some:
            print(f"{name}: left out, {words}: animals {', '.join(map(str, some))}", flush=True)
    return tuple(animal for animal in asked if animal in left)
