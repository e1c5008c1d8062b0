"""Sameness: whether two configurations are of the same simulation, wherever and whenever it was computed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import LogError

EARLY = {"early_synapses": ("cortex",), "hippocampal_early_synapses": ("hippocampus", "areas")}
"""Entries for early areas, and where in the description of a brain their file is named (``developed``)."""
FILES = {"early_synapses": "early_areas", "hippocampal_early_synapses": "hippocampal_early_areas"}
"""Entries for the files themselves, all that logs of earlier versions have."""
_MAY_LACK = ("computation", "sha256")  # of a configuration: compared where both say something


def refuse_other(folder: Path, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise :class:`LogError` unless the settings of a log are those that are wanted."""
    other = differences(there, wanted)
    if other:
        raise LogError(
            f"{folder}: holds a log of other settings ({'; '.join(other[:3])}); choose another folder, or replace it "
            "with overwrite=True (on a command line: --overwrite)"
        )


def differences(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Where two configurations differ, as words.

    Where and how something was computed does not count, but its precision does. Checksums count where both have them,
    which logs of earlier versions do not; the same early areas may then lie in another place, and their file may be
    another one where both logs know what it holds.
    """
    one, other = _what(there), _what(wanted)
    for part in _MAY_LACK:
        known = {n: (one[part][n], other[part][n]) for n in one[part].keys() & other[part].keys()}
        one[part], other[part] = ({n: pair[i] for n, pair in sorted(known.items())} for i in (0, 1))
    for name, file in FILES.items():
        if {name, file} & one["sha256"].keys():
            one, other = (_without(config, "brain", *EARLY[name], "developed") for config in (one, other))
        if name in one["sha256"]:
            one, other = (_without(config, "sha256", file) for config in (one, other))
    return _differences(one, other, "")


def _what(config: Mapping[str, Any]) -> dict[str, Any]:
    """What was simulated, and of how it was computed only the precision."""
    parts = {name: config.get(name) for name in _MAY_LACK}
    tables: dict[str, Any] = {n: dict(part) if isinstance(part, Mapping) else {} for n, part in parts.items()}
    animals = config.get("animals")
    if isinstance(animals, list) and all(isinstance(animal, int) for animal in animals):
        tables["animals"] = sorted(animals)  # a life does not depend on who is named first
    tables["computation"] = {n: v for n, v in tables["computation"].items() if n == "precision"}
    return {n: v for n, v in config.items() if n != "replaysim_schema"} | tables


def _without(config: Any, name: str, *below: str) -> Any:
    """A configuration without one entry."""
    if not isinstance(config, Mapping) or name not in config:
        return config
    rest = {n: v for n, v in config.items() if n != name}
    return rest | {name: _without(config[name], *below)} if below else rest


def _differences(there: Any, wanted: Any, name: str) -> list[str]:
    if isinstance(there, Mapping) and isinstance(wanted, Mapping):
        found = (_differences(there.get(n), wanted.get(n), f"{name}.{n}" if name else n) for n in {**there, **wanted})
        return [words for some in found for words in some]
    if there == wanted:
        return []
    pair = (there, wanted)
    if all(isinstance(one, list) and any(isinstance(item, Mapping) for item in one) for one in pair):
        if len(there) == len(wanted):
            found = (_differences(a, b, f"{name}[{i}]") for i, (a, b) in enumerate(zip(there, wanted, strict=True)))
            return [words for some in found for words in some]
        kinds = (
            ", ".join(str(item.get("kind", item)) if isinstance(item, Mapping) else str(item) for item in one)
            for one in pair
        )
        return ["{} is [{}], not [{}]".format(name, *kinds)]
    return [f"{name} is {_short(there)}, not {_short(wanted)}"]


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
