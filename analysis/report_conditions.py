"""Logs as conditions: which belong together, and what each is called.

Logs of the same settings and other animals are one condition. Its name is the label of its simulation, or its folder.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import xarray as xr

from replaysim.log import conditions_among, parsed


def conditions(logs: Sequence[xr.DataTree], paths: Sequence[str | os.PathLike[str]]) -> dict[str, list[xr.DataTree]]:
    """The logs of every condition by its name; several where some animals lived after others, or elsewhere."""
    groups = conditions_among(logs)
    folders = [_folder([paths[i] for i in group]) for group in groups]
    named = names([logs[group[0]] for group in groups], folders)
    return {name: [logs[i] for i in group] for name, group in zip(named, groups, strict=True)}


def called(
    baseline: str | None,
    found: Mapping[str, Sequence[xr.DataTree]],
    logs: Sequence[xr.DataTree],
    paths: Sequence[str | os.PathLike[str]],
) -> str | None:
    """The name on the page of a condition that is named, or given by the folder of a log."""
    if baseline is None or baseline in found:
        return baseline
    places = {id(log): _folder([path]) for log, path in zip(logs, paths, strict=True)}
    meant = Path(baseline)
    meant = (meant.parent if meant.suffix == ".nc" else meant).resolve()
    of = [
        name for name, some in found.items() if any(meant in (places[id(one)], places[id(one)].parent) for one in some)
    ]
    return of[0] if len(of) == 1 else baseline


def _folder(paths: Sequence[str | os.PathLike[str]]) -> Path:
    """The folder of a log, or the one in which all folders of a condition are."""
    places = [Path(path).resolve() for path in paths]
    folders = [place.parent if place.suffix == ".nc" else place for place in places]
    together = len(folders) > 1 and len({folder.parent for folder in folders}) == 1
    return folders[0].parent if together else folders[0]


def names(logs: Sequence[xr.DataTree], paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    """A name for every log: the label of its simulation, else its folder; both where labels repeat."""
    found: list[str] = []
    labels = [str(parsed(log.attrs.get("config_json")).get("label") or "") for log in logs]
    for label, path in zip(labels, paths, strict=True):
        folder = _folder([path])
        name = label or folder.name
        if labels.count(label) > 1:
            name = ", ".join(filter(None, [label, f"{folder.parent.name}/{folder.name}"]))
        again = sum(other.rpartition(" #")[0] == name or other == name for other in found)
        found.append(f"{name} #{again + 1}" if again else name)
    return found
