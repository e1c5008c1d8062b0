"""Folders: where logs are, and whether one can be written in a place, which is known before anything is computed."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from .errors import LogError, SettingError
from .netcdf import check_writable, make_folder

RUN, CONFIG, ANIMALS = "run.nc", "config.json", "animals"
"""In the folder of a log: the whole, its settings, and the pieces of what is not whole yet."""
_LONGEST = "animals/2147483647-2147483647/synapses/0000.nc.00000000.tmp"  # the longest name in the folder of a log


def folder_named(owner: str, out: object) -> Path:
    """A folder as a user gives it.

    Raises
    ------
    SettingError
        If it is no name of a folder.
    LogError
        If no folder of this name can be.
    """
    try:
        name = os.fspath(out)  # type: ignore[call-overload]
    except TypeError:
        name = None
    if not isinstance(name, str) or "\0" in name:
        raise SettingError(owner, "out", out, "the name of a folder for the log")
    folder = Path(name)
    try:
        os.lstat(folder / _LONGEST)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise LogError(f"{folder}: cannot be used ({error.strerror}); choose another place for the log") from error
    return folder


def make_room(folder: Path, files: Sequence[str], pieces: str, part: re.Pattern[str]) -> None:
    """Make the folder of a log, and see that its files and pieces can be written into it.

    Parameters
    ----------
    folder
        The folder; its parents are made, too.
    files
        Names of the files of a log.
    pieces
        Name of the folder for the pieces.
    part
        Names of the folders in that one.

    Raises
    ------
    LogError
        If not; names what is in the way. Nothing is removed.
    """
    if folder.exists() and not folder.is_dir():
        raise LogError(f"{folder}: is a file, a log needs a folder; choose another name")
    make_folder(folder)
    check_writable(folder)
    for path in [folder / name for name in files]:
        if path.is_dir():
            raise LogError(f"{path}: is a folder, where a log has a file; move it, or choose another folder")
    below = folder / pieces
    if not below.exists():
        return
    for path in [below, *(p for p in below.glob("*") if part.fullmatch(p.name))]:
        if not path.is_dir():
            raise LogError(f"{path}: is a file, where a log has a folder; move it, or choose another folder")
        check_writable(path)


def logs_below(folder: Path, levels: int = 6) -> list[Path]:
    """All folders of logs within a folder, so many levels below it; none where there is none."""
    found: list[Path] = []
    for below in sorted(folder.glob("*/")) if levels else ():
        found += [below] if holds_log(below) else logs_below(below, levels - 1)
    return found


def holds_log(folder: Path) -> bool:
    """Whether a folder looks like one of a log; others, too, have files named config.json."""
    return (folder / CONFIG).is_file() and ((folder / RUN).is_file() or (folder / ANIMALS).is_dir())
