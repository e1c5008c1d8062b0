"""Summaries: one row about every animal's life in a CSV file that is small enough to keep.

Logs are large and stay where they were made; a summary says what came out, from which code, on which machine, and with
which command, so that tables of results can be made from it and never typed.
"""

from __future__ import annotations

import csv
import json
import math
import os
import shlex
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import xarray as xr
from filelock import SoftFileLock, Timeout

from replaysim.errors import DataError, LogError
from replaysim.log import settings_of

from .csv_tables import ALL_CONTEXTS, PRECISIONS, THREADS, UNKNOWN, kind_of, read_cells
from .forgetting import average_accuracy, final_accuracy, forgetting

COLUMNS = (
    "preset",
    "animal",
    "chance",
    "early",
    "contexts",
    "steps",
    "precision",
    "accuracy",
    "forgetting",
    "curve",
    "date",
    "commit",
    "device",
    "machine",
    "torch",
    "command",
)
BEFORE = {
    "chance": "0",
    "early": "none",
    "contexts": ALL_CONTEXTS,
    "precision": "float32",
    "curve": UNKNOWN,
    "machine": UNKNOWN,
}
"""What the summary of an earlier version did not say."""
_PLACES, _FILES = ("--out", "--summary"), ("--early", "--evaluate")
_PATIENCE = 60  # seconds; a summary is written in a few hundredths of one
_WHOLE, _REAL = ("animal", "chance", "steps"), ("accuracy", "forgetting")


def rows_of(log: xr.DataTree, preset: str, *, early: str = "none", contexts: int | None = None) -> list[dict[str, Any]]:
    """One row per animal of a finished simulation.

    Parameters
    ----------
    log
        What :func:`replaysim.simulate` left.
    preset
        Name of the arm.
    early
        Which early areas, as :func:`replaysim.early_areas.which_areas` says it, or ``"none"``.
    contexts
        How many contexts there were, where there were fewer than the protocol has.

    Returns
    -------
    list of dict
        With the keys :data:`COLUMNS`. ``curve`` is the accuracy over the contexts met so far, after every context,
        with blanks between; ``commit`` ends in ``+`` where the code differed from it; an animal whose losses became
        infinite has the accuracy ``nan``.

    Raises
    ------
    LogError
        If the log does not say how it was made.
    """
    config = settings_of(log.attrs, f"log of {preset}")
    computation = config.get("computation", {})
    accuracy, forgotten = final_accuracy(log), forgetting(log)
    curves = average_accuracy(log)
    versions, hardware = json.loads(log.attrs["software_versions"]), json.loads(log.attrs["hardware"])
    changed = "+" if int(log.attrs["software_git_dirty"]) == 1 else ""
    return [
        {
            "preset": preset,
            "animal": int(animal),
            "chance": int(config.get("chance", 0)),
            "early": early,
            "contexts": ALL_CONTEXTS if contexts is None else str(contexts),
            "steps": config["learning"]["steps"],
            "precision": computation.get("precision", BEFORE["precision"]),
            "accuracy": f"{float(accuracy.sel(animal=animal)):.6f}",
            "forgetting": f"{float(forgotten.sel(animal=animal)):.6f}",
            "curve": " ".join(f"{float(one):.4f}" for one in curves.sel(animal=animal)),
            "date": log.attrs["date_created"][:10],
            "commit": log.attrs["software_git_commit"][:12] + changed,
            **machine_of(hardware, threads=int(computation.get("threads", 1))),
            "torch": versions["torch"],
            "command": plain(log.attrs["command"]),
        }
        for animal in accuracy["animal"].values
    ]


def machine_of(hardware: Mapping[str, Any], threads: int = 1) -> dict[str, str]:
    """``device`` and ``machine`` in words, from what a log says of its hardware and of the threads of a worker."""
    cores = int(hardware.get("cores", 0))
    words = [str(hardware.get("processor") or hardware.get("machine") or UNKNOWN)]
    words += [f"{cores} core{'s' * (cores > 1)}"] if cores else []
    vectors = str(hardware.get("vectors", "unknown"))
    words += [] if vectors in ("unknown", "DEFAULT") else [vectors]
    words += [f"{threads} {THREADS}"] if threads > 1 else []
    return {"device": str(hardware.get("device_name", hardware["device"])), "machine": ", ".join(words)}


def plain(command: str) -> str:
    """A command without what only one machine has: where logs go, and where a file with early areas lies."""
    kept: list[str] = []
    before = ""
    for word in shlex.split(command):
        option = word.partition("=")[0]
        if before in _FILES:
            word = "FILE"
        elif option in _FILES and "=" in word:
            word = f"{option}=FILE"
        if option not in _PLACES and before not in _PLACES:
            kept.append(word)
        before = word
    return shlex.join(kept)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a summary; none where there is no file, or an empty one.

    Raises
    ------
    DataError
        If it is not a summary, or a row is damaged; the row is named.
    LogError
        If it cannot be read.
    """
    if not path.exists():
        return []
    header, lines = read_cells(path, "a summary")
    if not header and not lines:
        return []
    lacking = sorted(set(COLUMNS) - set(header) - BEFORE.keys())
    if lacking:
        where = "there are rows" if lines else "it has a first line"
        raise DataError(f"{path} is not a summary: {where} without {', '.join(lacking)}")
    strange = sorted(set(header) - set(COLUMNS)) or sorted({name for name in header if header.count(name) > 1})
    if strange:
        raise DataError(f"{path} is not a summary: it has columns {strange}, must be {','.join(COLUMNS)}")
    return [_row(f"{path}, line {number}", header, cells) for number, cells in enumerate(lines, 2) if cells]


def _row(where: str, header: list[str], cells: list[str]) -> dict[str, str]:
    """A row, checked."""
    if len(cells) != len(header):
        raise DataError(f"{where}: has {len(cells)} cells, must have {len(header)}; was the file cut off?")
    row = {**BEFORE, **dict(zip(header, cells, strict=True))}
    for column in COLUMNS:
        value = row[column]
        if not value:
            raise DataError(f"{where}: is without {column}; was the file cut off?")
        if column in _WHOLE and not (value.isascii() and value.isdigit()):
            raise DataError(f"{where}: {column} is {value!r}, must be a whole number")
        if column == "contexts" and value != ALL_CONTEXTS and not (value.isascii() and value.isdigit()):
            raise DataError(f"{where}: {column} is {value!r}, must be {ALL_CONTEXTS!r} or a whole number")
        if column == "precision" and value not in PRECISIONS:
            raise DataError(f"{where}: precision is {value!r}, must be one of {', '.join(PRECISIONS)}")
        if column in _REAL and not _is_number(value):
            raise DataError(f"{where}: {column} is {value!r}, must be a number, or nan")
        if column == "curve" and value != UNKNOWN and not all(map(_is_number, value.split(" "))):
            raise DataError(f"{where}: curve is {value!r}, must be numbers with blanks between, or {UNKNOWN!r}")
    return row


def _is_number(text: str) -> bool:
    try:
        return not math.isinf(float(text))
    except ValueError:
        return False


def check(path: Path) -> None:
    """See that rows can be added to a summary, before anything is simulated for them.

    Raises
    ------
    DataError
        If there is something else.
    LogError
        If it cannot be read, or nothing can be written there.
    """
    try:
        if path.is_dir():
            raise LogError(f"{path} is a folder; a summary is a CSV file: give another name")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent, prefix=".replaysim-"):
            pass
    except LogError:
        raise
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LogError(f"{path}: no summary can be written there ({reason}); give another place") from error
    read_rows(path)


def add_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows to a summary, in place of those about the same life.

    The same are preset, early areas, contexts, steps, precision, animal, chance, and kind of device.
    """

    def key(row: Mapping[str, Any]) -> tuple[str | int, ...]:
        words = [str(row[name]) for name in ("preset", "early", "contexts", "precision")]
        return *words, *(int(row[name]) for name in ("steps", "animal", "chance")), kind_of(str(row["device"]))

    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        table = {key(row): row for row in (*read_rows(path), *rows)}
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows({**BEFORE, **table[k]} for k in sorted(table))
        temporary.replace(path)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody else writes this file meanwhile, also from another machine; who was stopped while writing left a lock."""
    lock = path.with_name(f".{path.name}.lock")
    try:
        with SoftFileLock(lock, timeout=_PATIENCE):
            yield
    except Timeout as error:
        raise LogError(f"{path}: another process writes there; if there is none, remove {lock}") from error
