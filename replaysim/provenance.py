"""Provenance: what made a log, from which code and on which machine, as attributes of its root.

Follows the conventions CF and ACDD, so that archives and viewers understand it. Nothing here imports torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from . import __version__, schema
from .errors import LogError, SettingError

CONVENTIONS = "CF-1.8 ACDD-1.3"
PACKAGES = (
    "replaysim",
    "torch",
    "numpy",
    "xarray",
    "netCDF4",
    "scipy",
    "scikit-learn",
    "torchvision",
    "joblib",
    "safetensors",
)
"""Distributions whose versions are recorded where they are installed."""

_REFERENCE = (
    "van de Ven, G. M., Siegelmann, H. T. & Tolias, A. S. (2020). Brain-inspired replay for continual learning with "
    "artificial neural networks. Nature Communications 11, 4069. https://doi.org/10.1038/s41467-020-17866-2"
)
_SUMMARY = (
    "Animals (seeds) learned the contexts of {protocol} one after the other in the {scenario} scenario; their "
    "behaviour, and what electrodes recorded of their activity, replay and synapses. Settings are in config_json."
)
_GIT_PATIENCE = 10.0  # seconds


def config_text(config: Mapping[str, Any]) -> str:
    """Settings as the text that is written to ``config.json`` and whose SHA-256 goes into every file.

    Raises
    ------
    SettingError
        For anything that JSON cannot say, NaN and infinity included.
    """
    try:
        named = {"replaysim_schema": schema.VERSION, **config}
        return json.dumps(named, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SettingError("provenance", "config", config, f"what JSON can say ({error})") from None


def config_attributes(config: Mapping[str, Any]) -> dict[str, str]:
    """``config_json`` and ``config_sha256``."""
    text = config_text(config)
    return {"config_json": text, "config_sha256": hashlib.sha256(text.encode()).hexdigest()}


def settings_of(attributes: Mapping[Any, Any], where: object) -> dict[str, Any]:
    """The settings that the attributes of a log hold.

    Parameters
    ----------
    attributes
        Of the root.
    where
        File or folder of the log, for the error.

    Raises
    ------
    LogError
        If they are missing or damaged.
    """
    text = attributes.get("config_json")
    try:
        found = json.loads(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        found = None
    if not isinstance(found, dict):
        state = "is missing" if text is None else "is damaged"
        raise LogError(
            f"{where}: its attribute config_json {state}, so that nobody knows with which settings it was made; "
            "choose another folder, or replace it with overwrite=True (on a command line: --overwrite)"
        )
    return found


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in the ``config.json`` of a log that is not complete.

    Raises
    ------
    LogError
        If the file is missing or damaged.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise LogError(
            f"{path}: is missing, damaged or not of replaysim, so that nobody knows what an unfinished simulation in "
            "this folder was; choose another folder"
        )
    return found


def here_and_now(device: str) -> dict[str, Any]:
    """What makes numbers without a log: hardware, command, torch, date and commit of this process."""
    commit, dirty = loaded_code()
    return {
        "command": command_line(),
        "hardware": hardware(device),
        "torch": versions()["torch"],
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit[:12] + ("+" if dirty == 1 else ""),
    }


def provenance(
    config: Mapping[str, Any], animals: Sequence[int], device: str, command: str | Sequence[str] | None = None
) -> dict[str, Any]:
    """Attributes for the root of a log.

    Parameters
    ----------
    config
        All settings, as plain values; ``label``, ``scenario`` and ``protocol`` (with ``name``) also make title and
        summary, and ``license`` is passed on.
    animals
        Seeds.
    device
        On which the simulation runs, e.g. ``"cuda:0"``.
    command
        What was typed; default: the command line of this process.

    Returns
    -------
    dict
        Text, numbers and lists of numbers, ready for netCDF; ``status`` is ``"running"``. The same settings give the
        same ``config_json``, ``config_sha256``, ``seeds`` and ``scenario``; dates, commit and hardware tell runs apart.
    """
    settings = config_attributes(config)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    name, scenario = _world(config)
    line = command_line(command)
    commit, dirty = loaded_code()
    known = versions()
    return {
        "Conventions": CONVENTIONS,
        "title": title_of(config, len(animals)),
        "summary": _SUMMARY.format(protocol=name, scenario=scenario),
        "id": f"replaysim-{settings['config_sha256'][:12]}-{now}",
        "source": f"replaysim {__version__}: simulation of brain-inspired replay",
        "history": f"{now}: {line} (commit {commit[:12]}{'+' if dirty == 1 else ''}, torch {known.get('torch', '?')})",
        "date_created": now,
        "license": str(config.get("license", "not stated; these data belong to whoever ran the simulation")),
        "references": _REFERENCE,
        "replaysim_schema": schema.VERSION,
        "software_versions": json.dumps(known, sort_keys=True),
        "software_git_commit": commit,
        "software_git_dirty": dirty,
        "hardware": json.dumps(hardware(device), sort_keys=True),
        **settings,
        "command": line,
        "seeds": [int(seed) for seed in animals],
        "scenario": scenario,
        "status": "running",
    }


def title_of(config: Mapping[str, Any], animals: int) -> str:
    """Title of a log of so many animals."""
    name, scenario = _world(config)
    return f"{config.get('label') or 'simulation'}: {name}, {scenario} scenario, {animals} animals"


def _world(config: Mapping[str, Any]) -> tuple[str, str]:
    """Names of protocol and scenario."""
    protocol = config.get("protocol")
    name = str(protocol.get("name", "a protocol")) if isinstance(protocol, Mapping) else "a protocol"
    return name, str(config.get("scenario", "unknown"))


def command_line(command: str | Sequence[str] | None = None) -> str:
    """What was typed, as a shell would read it; default: the command line of this process."""
    if isinstance(command, str):
        return command
    return shlex.join([*_program(sys.argv[0]), *sys.argv[1:]] if command is None else command)


def _program(script: str) -> list[str]:
    """How one would type it: relative to the working folder, or by name where it lies elsewhere."""
    path = Path(script)
    if path.name == "__main__.py":
        return ["python", "-m", path.resolve().parent.name]
    try:
        name = path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        name = path.name
    return ["python", name] if path.suffix == ".py" else [path.name]


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that matter, without importing them."""
    found = {"python": platform.python_version(), "replaysim": __version__}
    for name in PACKAGES[1:]:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_state(folder: Path | None = None) -> tuple[str, int]:
    """Commit of the checkout that the package is in, and whether its files differ from it: 1, 0, or -1 = unknown.

    An installed package is in no checkout, even where it is installed inside somebody's repository.
    """
    folder = folder or Path(__file__).resolve().parent
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return "unknown", -1
    commit, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain", "--", ".")
    return commit or "unknown", -1 if changes is None else int(bool(changes))


@cache
def loaded_code() -> tuple[str, int]:
    """:func:`git_state` of the package when it was first asked for: what is committed later does not run here."""
    return git_state()


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says, or None; without locks, and without the variables that hooks set for other repositories."""
    surroundings = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_GIT_PATIENCE,
            env=surroundings,
            stdin=subprocess.DEVNULL,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@cache
def processor() -> str:
    """Name of the processor as its maker gives it, where the system tells; else its kind."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()


def hardware(device: str) -> dict[str, Any]:
    """Where the simulation runs; what torch does on it is read only if torch is already loaded."""
    found: dict[str, Any] = {
        "device": str(device),
        "machine": platform.machine(),
        "processor": processor(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": os.cpu_count() or 0,
        "tf32": False,  # whatever the user's settings are, see `arithmetic.exact_arithmetic`
    }
    torch = sys.modules.get("torch")
    if torch is None:
        return found | {"deterministic_algorithms": "unknown", "vectors": "unknown"}
    found["deterministic_algorithms"] = torch.are_deterministic_algorithms_enabled()
    found["vectors"] = torch.backends.cpu.get_cpu_capability()  # in which order sums run depends on it
    if str(device).startswith("cuda") and torch.cuda.is_available():
        found["device_name"] = torch.cuda.get_device_name(device)
        found["cuda"] = torch.version.cuda
    return found
