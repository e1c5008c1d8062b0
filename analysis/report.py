"""One look at one or several logs: a self-contained HTML page with settings, behaviour, geometry and replay.

What a log does not hold is left out, and the page says what to record for it. Logs are compared as conditions
(:mod:`analysis.report_conditions`).
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from replaysim.errors import LogError, check_choice
from replaysim.log import fate, join_logs, logs_in, open_log, parsed

from . import readings
from .devices import automatic, choose_device
from .page import Page
from .report_behaviour import behaviour, comparison
from .report_conditions import called, conditions
from .report_geometry import geometry
from .report_replay import replay
from .terminal import reach

_CHECKSUM = re.compile(r"\b[0-9a-f]{64}\b")
_ELSEWHERE = {"hippocampus": "codes", "synapses": "synapses", "reentry": "drift of the re-entry area"}
Section = Callable[[Page, Mapping[str, xr.DataTree]], None]
SECTIONS: tuple[tuple[str, Section], ...] = (
    ("Behaviour", behaviour),
    ("Conditions compared", comparison),
    ("Representational geometry", geometry),
    ("Replay", replay),
)


def write_report(
    paths: Sequence[str | os.PathLike[str]],
    out: Path,
    *,
    overwrite: bool = False,
    device: str = "auto",
    baseline: str | None = None,
) -> Path:
    """Read logs and write the page.

    Parameters
    ----------
    paths
        ``run.nc`` files, folders of simulations, or folders of studies, of which all logs are taken, the one that was
        begun first before others.
    out
        HTML file to write.
    overwrite
        Replace an earlier file.
    device
        Where to compute, see :func:`analysis.devices.choose_device`.
    baseline
        Condition that others are compared with, by its name on the page or the folder of one of its logs (default: all
        pairs).

    Raises
    ------
    SettingError
        For a device that does not exist here, or a baseline that is none of the conditions.
    LogError
        If a log cannot be read, or the file is there already, is one of the logs, is no ``.html`` or cannot be written;
        checked before anything is computed.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise LogError(f"{out}: a report is a page; choose a name that ends in .html")
    for path in paths:
        if not Path(path).exists():
            raise LogError(f"{path}: no such file or folder")
    inside = [path for path in paths if out.resolve() in _files(Path(path))]
    if inside:
        raise LogError(f"{out}: is a file of the log {inside[0]}; choose another name with --out")
    if out.is_dir():
        raise LogError(f"{out}: is a folder; choose another name with --out")
    if out.exists() and not overwrite:
        raise LogError(f"{out}: is there already; choose another name with --out, or replace it with --overwrite")
    if not out.parent.is_dir():
        raise LogError(f"{out}: there is no folder {out.parent}")
    paths = [log for path in paths for log in logs_in(path)]
    same = [path for i, path in enumerate(paths) if Path(path).resolve() in {Path(p).resolve() for p in paths[:i]}]
    if same:
        raise LogError(f"{same[0]}: is given twice")
    choose_device(device)
    logs = [open_log(path, load=False) for path in paths]
    try:
        with automatic(device):
            found = conditions(logs, paths)
            text = report(found, baseline=called(baseline, found, logs, paths))
    finally:
        for log in logs:
            log.close()
    temporary = out.with_name(out.name + ".tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, out)
    except OSError as error:
        raise LogError(f"{out}: cannot be written ({error.strerror})") from error
    return out


def _files(log: Path) -> set[Path]:
    """Files that a log consists of."""
    return {path.resolve() for path in (log.rglob("*.nc") if log.is_dir() else [log])}


def report(logs: Mapping[str, xr.DataTree | Sequence[xr.DataTree]], *, baseline: str | None = None) -> str:
    """The page as text.

    Parameters
    ----------
    logs
        Condition to log, as :func:`~replaysim.open_log` gives it, or to several that hold some of its animals each,
        which are read into memory together.
    baseline
        Condition that others are compared with (default: all pairs).
    """
    if not logs:
        raise LogError("report: give at least one log")
    if baseline is not None:
        check_choice("report", "baseline", baseline, list(logs))
    parts = {name: [given] if isinstance(given, xr.DataTree) else list(given) for name, given in logs.items()}
    joined = {name: some[0] if len(some) == 1 else join_logs(some) for name, some in parts.items()}
    first = next(iter(joined.values()))
    title = str(first.attrs.get("title", "log")) if len(joined) == 1 else f"{len(logs)} conditions: {', '.join(logs)}"
    behind = {name: readings.lagging(log) for name, log in joined.items()}
    whole = {name: readings.without(log, [*readings.faulty(log), *behind[name]]) for name, log in joined.items()}
    left = {
        name: log for name, log in whole.items() if any(node.sizes.get("animal") for node in log.subtree)
    }  # of the others there is nothing to look at
    many = sum(map(len, parts.values()))
    page = Page(f"replaysim report – {title}", f"Made by replaysim from {many} log{'s' * (many > 1)}.")
    _introduction(page, joined)
    _overview(page, parts)
    _settings(page, joined)
    for name, log in joined.items():
        if faults := readings.faulty(log):
            animals = ", ".join(map(str, faults))
            page.say(f"{name}: losses of animals {animals} became infinite; they are left out below.", note=True)
        if late := behind[name]:
            animals = ", ".join(map(str, late))
            page.say(f"{name}: animals {animals} have not come as far as others; they are left out below.", note=True)
    for words, section in SECTIONS:
        page.section(words)
        made = functools.partial(section, page, whole if section is behaviour else left)
        if section is comparison:  # within animals, whoever else was lost
            made = functools.partial(comparison, page, joined, baseline)
        page.attempt(words, made)  # the rest of the page is worth having
    if others := [
        words for group, words in _ELSEWHERE.items() if any(group in log.children for log in joined.values())
    ]:
        page.say(f"Also in these logs, but no part of this page: {', '.join(others)}; see docs/analysis.md.", note=True)
    return page.html()


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Settings as one level of names with dots."""
    if isinstance(value, dict):
        rows: dict[str, str] = {}
        for name, inner in value.items():
            rows |= _flat(inner, f"{prefix}.{name}" if prefix else str(name))
        return rows
    text = ", ".join(map(_named, value)) if isinstance(value, list) else _named(value)
    text = _CHECKSUM.sub(lambda found: f"{found[0][:12]}...", text)
    return {prefix: text if len(text) < 160 else text[:157] + "..."}


def _named(value: Any) -> str:
    """A setting in words: ``CorticalActivity(areas=retina, stimuli=200)`` for an object with a kind."""
    if isinstance(value, dict):
        rest = {k: v for k, v in value.items() if k != "kind"}
        inner = ", ".join(f"{k}={_named(v)}" for k, v in rest.items())
        return f"{value['kind']}({inner})" if "kind" in value else inner
    if isinstance(value, list):
        return f"[{', '.join(map(_named, value))}]"
    return "none" if value is None else str(value)


_SCENARIOS = {
    "task": "are told which context it is (task scenario)",
    "domain": "are not told which context it is, and need not know it (domain scenario)",
    "class": "choose among the classes of all contexts (class scenario)",
}


_EXPERIENCES = {
    "sequential": "one after the other",
    "joint": "each together with all earlier ones",
    "last": "of which only the last is learned",
}


def _introduction(page: Page, logs: Mapping[str, xr.DataTree]) -> None:
    """What a stranger has to know."""
    differ = "Conditions differ in the settings listed below as such. " if len(logs) > 1 else ""
    page.say(f"Animals are networks with a seed each that learned contexts; n counts them. {differ}")
    for words in dict.fromkeys(filter(None, (_met(log) for log in logs.values()))):
        page.say(words)


def _met(log: xr.DataTree) -> str:
    """Protocol, contexts and scenario of a log in a sentence; nothing where it does not say."""
    config = parsed(log.attrs.get("config_json"))
    parts = [config.get(part) for part in ("protocol", "learning", "brain")]
    protocol, learning, brain = (part if isinstance(part, dict) else {} for part in parts)
    if not protocol:
        return ""
    known, how = _SCENARIOS.get(str(log.attrs.get("scenario"))), _EXPERIENCES.get(str(config.get("experience")))
    name, contexts = protocol.get("name", "The protocol"), brain.get("contexts", "?")
    steps, batch = learning.get("steps", "?"), learning.get("batch", "?")
    words = f"{name}: {contexts} contexts of {steps} steps with {batch} stimuli each{f', {how}' if how else ''}"
    return f"{words}; when tested, animals {known}." if known else f"{words}."


def _progress(log: xr.DataTree) -> str:
    """Contexts learned so far, of all."""
    if "behaviour" not in log.children:
        return "–"
    accuracy = log["behaviour"].to_dataset()["accuracy"]
    there = accuracy.notnull().any([dim for dim in accuracy.dims if dim not in ("animal", "contexts_learned")])
    learned = there["contexts_learned"].where(there, 0).max("contexts_learned")
    return f"{reach(learned.values.astype(int).tolist(), '–')} of {accuracy.sizes['context']}"


def _overview(page: Page, parts: Mapping[str, Sequence[xr.DataTree]]) -> None:
    """Provenance of every log."""
    page.section("Simulations")
    rows = []
    every = [(name, log) for name, some in parts.items() for log in some]
    for name, log in every:
        versions, hardware = parsed(log.attrs.get("software_versions")), parsed(log.attrs.get("hardware"))
        seeds = np.atleast_1d(log.attrs.get("seeds", [])).astype(int).tolist()
        animals = f"{len(seeds)} ({reach(seeds, '–')})" if seeds else ""
        commit = str(log.attrs.get("software_git_commit", ""))[:10]
        dirty = " with changes" if log.attrs.get("software_git_dirty") == 1 else ""
        software = f"replaysim {versions.get('replaysim', '?')}, torch {versions.get('torch', '?')}"
        where = " ".join(str(hardware[k]) for k in ("device", "device_name") if k in hardware)
        status = fate({str(key): value for key, value in log.attrs.items()})
        created = str(log.attrs.get("date_created", ""))
        rows.append([name, status, _progress(log), animals, created, software, f"{commit}{dirty}", where])
    page.table(["condition", "status", "contexts", "animals (seeds)", "begun", "software", "commit", "device"], rows)
    if several := [name for name, some in parts.items() if len(some) > 1]:
        page.say(f"Logs of the same settings and other animals are one condition: {', '.join(several)}.", note=True)
    commands = list(dict.fromkeys((name, str(log.attrs["command"])) for name, log in every if log.attrs.get("command")))
    if commands:
        page.heading("Commands")
        page.table(["condition", "command"], [list(one) for one in commands])


def _settings(page: Page, logs: Mapping[str, xr.DataTree]) -> None:
    """Settings side by side: those that differ first."""
    flat = {name: _flat(parsed(log.attrs.get("config_json"))) for name, log in logs.items()}
    keys = list(dict.fromkeys(key for rows in flat.values() for key in rows if key not in ("label",)))
    table = {key: [rows.get(key, "–") for rows in flat.values()] for key in keys}
    differ = [key for key in keys if len(set(table[key])) > 1]
    if differ:
        page.heading("Settings that differ")
        caption = "none: left out; –: not a setting of that condition"
        page.table(["setting", *logs], [[key, *table[key]] for key in differ], caption=caption)
    same = [key for key in keys if key not in differ]
    if same:
        folded = f"Settings of all ({len(same)})" if len(logs) > 1 else f"Settings ({len(same)})"
        page.table(["setting", "value"], [[key, table[key][0]] for key in same], folded=folded)
