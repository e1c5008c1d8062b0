"""The log: what a simulation leaves behind, as one labelled tree that xarray reads alone.

While a simulation runs, each chunk of animals writes finished pieces into a folder of its own; in the end they become
``run.nc``. See ``docs/log.md`` for the schema and for reading a log with other software.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from .attributes import check_attributes, encode_attributes
from .folders import RUN, folder_named, holds_log, logs_below
from .joining import conditions_among, join_logs
from .netcdf import Chunks, read, write_atomically
from .pieces import Piece, assemble
from .provenance import settings_of
from .run_folder import BRAINS, CHECKPOINT, PartFolder, RunFolder
from .schema import validate

__all__ = [
    "BRAINS",
    "CHECKPOINT",
    "PartFolder",
    "Piece",
    "RunFolder",
    "assemble",
    "check_attributes",
    "conditions_among",
    "encode_attributes",
    "fate",
    "folder_named",
    "join_logs",
    "logs_in",
    "open_log",
    "parsed",
    "settings_of",
    "validate",
    "write_atomically",
]


def logs_in(path: str | os.PathLike[str]) -> list[Path]:
    """All logs of a folder of a study, those that were begun first before others; or the one that a path names.

    Parameters
    ----------
    path
        What :func:`open_log` takes, or a folder with such folders within it, at whatever depth.

    Returns
    -------
    list of pathlib.Path
        What :func:`open_log` takes. Where there is no log, the path itself, so that opening it says what is wrong.
    """
    own = Path(path)
    if not own.is_dir() or holds_log(own) or not (below := logs_below(own)):
        return [own]
    return sorted(below, key=lambda folder: (_begun(folder), folder))


def _begun(folder: Path) -> str:
    tree = open_log(folder, load=False)
    tree.close()
    return str(tree.attrs.get("date_created"))


def open_log(path: str | os.PathLike[str], *, load: bool = True, chunks: Chunks = None) -> xr.DataTree:
    """Open a log.

    Parameters
    ----------
    path
        A ``run.nc`` or another file of a log, or the folder of a simulation, finished or not.
    load
        Whether to read all values and close the file. With False, values are read whenever they are used, for logs that
        are larger than memory; close the tree yourself. An unfinished log is always loaded.
    chunks
        Dask chunks, which implies ``load=False``: ``"auto"``, ``{}`` (as they lie on disk) or for example ``{"animal":
        1}``; xarray's own operations then also work piece by piece. Needs dask.

    Returns
    -------
    xarray.DataTree
        See ``docs/log.md``. Of an unfinished simulation: all finished pieces; where a chunk of animals has not come as
        far as others, floating numbers are NaN and whole numbers -1. Its attribute ``status`` is ``"running"`` or
        ``"failed"``; a simulation that was killed also says ``"running"``, ``date_modified`` tells when it last wrote.

    Raises
    ------
    LogError
        If there is no log, the file is truncated or something else, or it follows another version of the schema.
    """
    path = Path(path)
    if not path.is_dir():
        return read(path, load=load, chunks=chunks)
    if (path / RUN).is_file():
        return read(path / RUN, load=load, chunks=chunks)
    return RunFolder(path).unfinished()


def fate(attrs: Mapping[str, Any]) -> str:
    """How a simulation ended, in words; a stop on purpose is no failure."""
    status, reason = str(attrs.get("status", "unknown")), str(attrs.get("status_reason", ""))
    return reason if reason.startswith("stopped") else f"{status}{reason and f': {reason}'}"


def parsed(text: object) -> dict[str, Any]:
    """What an attribute holds as JSON; nothing where it does not."""
    try:
        found = json.loads(str(text))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
