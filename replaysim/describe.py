"""A log in a few lines of text, for the terminal."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .log import fate, logs_in, open_log, parsed

_MOST = 8  # values of a list that are still shown one by one
_NAME, _LINE = 18, 110  # columns


def describe(log: xr.DataTree | str | os.PathLike[str]) -> str:
    """Summarise a log: settings, sizes and final accuracy.

    Parameters
    ----------
    log
        A tree, or what :func:`~replaysim.open_log` takes; or the folder of a study, of which all logs are summarised.

    Returns
    -------
    str
        Several lines. Accuracy is the mean over contexts, then mean and standard error over animals.
    """
    if isinstance(log, xr.DataTree):
        return "\n".join(_lines(log))
    return "\n\n\n".join(_told(path) for path in logs_in(log))


def _told(path: Path) -> str:
    tree = open_log(path, load=False)
    try:
        return "\n".join([str(path), *_lines(tree)])
    finally:
        tree.close()


def _lines(tree: xr.DataTree) -> Iterator[str]:
    attrs = {str(name): value for name, value in tree.attrs.items()}
    config = parsed(attrs.get("config_json"))
    yield str(attrs.get("title", "a log without a title"))
    yield ""
    yield from _status(attrs)
    yield from _settings(config)
    yield ""
    yield from _sizes(tree)
    if "behaviour" in tree.children:
        yield ""
        faults = np.atleast_1d(attrs.get("animals_with_faults", -1)).astype(int).tolist()
        yield from _accuracy(tree["behaviour"].to_dataset(), faults, domain=attrs.get("scenario") == "domain")


def _row(name: str, value: object) -> str:
    indent = " " * _NAME
    return textwrap.fill(str(value), _LINE, initial_indent=f"  {name} ".ljust(_NAME), subsequent_indent=indent)


def _status(attrs: Mapping[str, Any]) -> Iterator[str]:
    written = f", last written {attrs['date_modified']}" if "date_modified" in attrs else ""
    yield _row("status", f"{fate(attrs)}{written}")
    if "seeds" in attrs:
        yield _row("animals", _shown(np.atleast_1d(attrs["seeds"]).tolist()))
    faults = [a for a in np.atleast_1d(attrs.get("animals_with_faults", -1)).tolist() if a != -1]
    if faults:
        yield _row("with faults", f"{_shown(faults)} (losses that were not finite)")
    if "date_created" in attrs:
        yield _row("begun", attrs["date_created"])
    for line in str(attrs.get("history", "")).splitlines()[1:]:
        yield _row("gone on", line)
    if "command" in attrs:
        yield _row("command", attrs["command"])
    versions, hardware = parsed(attrs.get("software_versions")), parsed(attrs.get("hardware"))
    if versions:
        commit = str(attrs.get("software_git_commit", "unknown"))
        changed = " with changes" if attrs.get("software_git_dirty") == 1 else ""
        git = "" if commit == "unknown" else f" (commit {commit[:10]}{changed})"
        torch = f", torch {versions['torch']}" if "torch" in versions else ""
        yield _row("software", f"replaysim {versions.get('replaysim', 'unknown')}{git}{torch}")
    if hardware:
        yield _row("device", " ".join(str(hardware[k]) for k in ("device", "device_name") if k in hardware))
    if "config_sha256" in attrs:
        yield _row("settings", f"SHA-256 {attrs['config_sha256'][:16]}")


def _settings(config: Mapping[str, Any]) -> Iterator[str]:
    for name, value in config.items():
        if name in ("animals", "label", "replaysim_schema") or value in (None, "", [], {}):
            continue
        yield _row("life (chance)" if name == "chance" else name, _flat(value))


def _flat(value: Any) -> str:
    """Settings of one thing on one line."""
    if isinstance(value, Mapping):
        named = {k: v for k, v in value.items() if k not in ("kind", "name") and v not in (None, "", [], {})}
        inner = ", ".join(f"{k} {f'[{_flat(v)}]' if isinstance(v, list) else _flat(v)}" for k, v in named.items())
        title = value.get("kind") or value.get("name")
        if title:
            return f"{title}({inner})" if inner else str(title)
        return f"{{{inner}}}"
    if isinstance(value, list):
        return _shown(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shown(values: list[Any]) -> str:
    """A list, shortened where it is long: ``12, 13, ... 21 (10)``."""
    texts = [f"[{_flat(v)}]" if isinstance(v, list) else _flat(v) for v in values]
    if len(texts) > _MOST:
        return f"{texts[0]}, {texts[1]}, ... {texts[-1]} ({len(texts)})"
    return ", ".join(texts)


def _sizes(tree: xr.DataTree) -> Iterator[str]:
    total = 0
    for node in (node for group in tree.children.values() for node in group.subtree):
        total += sum(v.nbytes for v in node.to_dataset(inherit=False).variables.values())
        if node.data_vars:
            yield f"  {node.path}"
        for name, variable in node.data_vars.items():
            dims = ", ".join(f"{dim} {size}" for dim, size in variable.sizes.items())
            yield f"    {name}({dims})"
    yield _row("in memory", f"{total / 1e6:.1f} MB")


def _accuracy(behaviour: xr.Dataset, faults: Collection[int], *, domain: bool) -> Iterator[str]:
    """Final accuracy, one line for each set of competing answers; ``faults``: animals whose losses became infinite."""
    accuracy = behaviour["accuracy"].load().astype(np.float64)
    reached = accuracy.notnull().any(["animal", "answers", "context"]).values
    if not reached.any():
        yield "  no accuracy yet"
        return
    last = int(np.flatnonzero(reached)[-1])
    learned, contexts = int(behaviour["contexts_learned"][last]), behaviour.sizes["context"]
    words = "mean over contexts" if learned in (0, contexts) else "mean over the contexts met so far"
    yield f"  accuracy after {learned} of {contexts} contexts, {words}; mean over animals ± standard error"
    counts = accuracy.notnull().any(["answers", "context"]).sum("contexts_learned")
    for animal in counts["animal"].values[(counts < counts.max()).values]:
        passed = int(counts.sel(animal=animal))
        if passed and int(animal) not in faults:
            so_far = accuracy["contexts_learned"].values[passed - 1]
            yield _row("", f"animal {animal}: {so_far} of {contexts} contexts so far")
    met = accuracy["context"] <= (learned or contexts)
    told: dict[str, str] = {}
    for answers in accuracy["answers"].values:
        table = accuracy.isel(contexts_learned=last).sel(answers=answers).where(met, drop=True)
        per_animal = table.dropna("animal", how="all").mean("context").values
        if per_animal.size == 0:
            continue
        chance = float(behaviour["chance"].isel(contexts_learned=last).sel(answers=answers).where(met).mean())
        error = f" ± {per_animal.std(ddof=1) / np.sqrt(per_animal.size):.4f}" if per_animal.size > 1 else ""
        count = f"{per_animal.size} animal" + "s" * (per_animal.size > 1)
        told[str(answers)] = f"{per_animal.mean():.4f}{error}   ({count}; guessing {chance:.4f})"
    if domain and len(set(told.values())) == 1:  # all compete, whatever was learned
        told = {"all answers": next(iter(told.values()))}
    for answers, words in told.items():
        yield _row(answers, words)
