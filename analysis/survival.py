"""Survival: who lived to the end. An animal whose losses became infinite has nothing that could be averaged."""

from __future__ import annotations

from collections.abc import Iterable

import xarray as xr

from .forgetting import survivors


def alive(name: str, log: xr.DataTree, animals: Iterable[int]) -> tuple[int, ...]:
    """Those of some animals of a log whose losses stayed finite; a line on the screen names the others.

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
    if dead := [str(animal) for animal in asked if animal not in left]:
        print(f"{name}: left out, losses became infinite: animals {', '.join(dead)}", flush=True)
    return tuple(animal for animal in asked if animal in left)
