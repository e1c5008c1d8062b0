"""Conditions of a study: all their folders are asked before the first is simulated, and what is complete is kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from .errors import LogError
from .resumption import is_complete, settled, simulate_once


def simulate_each(
    conditions: Mapping[str, Mapping[str, Any]], *, out: Path, overwrite: bool = False, **common: Any
) -> dict[str, xr.DataTree]:
    """Logs of all conditions; those that are not complete are simulated, in this order.

    Parameters
    ----------
    conditions
        Name to what :func:`~replaysim.resumption.simulate_once` gets in this condition only.
    out
        Folder of the study; every condition has a folder of its own in it, of its name.
    overwrite
        Simulate also what is complete, and replace logs of other settings.
    **common
        What it gets in all conditions.

    Raises
    ------
    LogError
        If a folder holds a log of other settings, or is a file; nothing has been simulated then.
    """
    common = settled(common)  # of all conditions
    wanted = {
        name: settled({**common, "label": name, "out": out / name, **settings}) for name, settings in conditions.items()
    }
    for settings in wanted.values():
        folder = Path(settings["out"])
        if folder.exists() and not folder.is_dir():
            raise LogError(f"{folder}: is a file, a log needs a folder; choose another name")
        if not overwrite:
            is_complete(**settings)
    return {name: simulate_once(**settings, overwrite=overwrite).log for name, settings in wanted.items()}
