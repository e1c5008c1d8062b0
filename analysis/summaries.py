"""Summaries: one row about every animal's life in a CSV file that is small enough to keep.

Logs are large and stay where they were made; a summary says what came out, from which code, on which machine, and with
which command, so that tables of results can be made from it and never typed.
"""

from __future__ import annotations

import csv
import json
import os
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from replaysim.errors import DataError

from .forgetting import final_accuracy, forgetting

COLUMNS = (
    "preset",
    "animal",
    "chance",
    "early",
    "steps",
    "accuracy",
    "forgetting",
    "date",
    "commit",
    "device",
    "torch",
    "command",
)
BEFORE = {"chance": "0", "early": "none"}
"""What the summary of an earlier version did not say."""
_PLACES = ("--out", "--summary")


def rows_of(log: xr.DataTree, preset: str, *, early: str = "none") -> list[dict[str, Any]]:
    """One row per animal of a finished simulation.

    Parameters
    ----------
    log
        What :func:`replaysim.simulate` left.
    preset
        Name of the arm.
    early
        Which early areas: ``"shipped"``, the beginning of a file's SHA-256, or ``"none"``.

    Returns
    -------
    list of dict
        With the keys :data:`COLUMNS`. ``commit`` ends in ``+`` where the code differed from it; an animal whose losses
        became infinite has the accuracy ``nan``.
    """
    accuracy, forgotten = final_accuracy(log), forgetting(log)
    versions, hardware = json.loads(log.attrs["software_versions"]), json.loads(log.attrs["hardware"])
    config = json.loads(log.attrs["config_json"])
    changed = "+" if int(log.attrs["software_git_dirty"]) == 1 else ""
    return [
        {
            "preset": preset,
            "animal": int(animal),
            "chance": int(config.get("chance", 0)),
            "early": early,
            "steps": config["learning"]["steps"],
            "accuracy": f"{float(accuracy.sel(animal=animal)):.6f}",
            "forgetting": f"{float(forgotten.sel(animal=animal)):.6f}",
            "date": log.attrs["date_created"][:10],
            "commit": log.attrs["software_git_commit"][:12] + changed,
            "device": hardware.get("device_name", hardware["device"]),
            "torch": versions["torch"],
            "command": plain(log.attrs["command"]),
        }
        for animal in accuracy["animal"].values
    ]


def plain(command: str) -> str:
    """A command without what only one machine has: where logs go, and where a file with early areas lies."""
    kept: list[str] = []
    before = ""
    for word in shlex.split(command):
        option = word.partition("=")[0]
        if before == "--early" or word.startswith("--early="):
            word = word.replace(word if before == "--early" else word.removeprefix("--early="), "FILE")
        if option not in _PLACES and before not in _PLACES:
            kept.append(word)
        before = word
    return shlex.join(kept)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a summary; none where there is no file.

    Raises
    ------
    DataError
        If it is not a summary.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [{**BEFORE, **row} for row in csv.DictReader(file)]
    lacking = sorted({column for row in rows for column in COLUMNS if row.get(column) in (None, "")})
    if lacking:
        raise DataError(f"{path} is not a summary: there are rows without {', '.join(lacking)}")
    return rows


def add_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows to a summary; a row of the same preset, early areas, steps, animal and chance is replaced."""

    def key(row: Mapping[str, Any]) -> tuple[str, str, int, int, int]:
        return str(row["preset"]), str(row["early"]), int(row["steps"]), int(row["animal"]), int(row["chance"])

    table = {key(row): row for row in (*read_rows(path), *rows)}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(table[k] for k in sorted(table))
    temporary.replace(path)
