"""Provenance: what a log says about where it comes from."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .log import SCHEMA

PACKAGES = ("replaysim", "torch", "numpy", "xarray", "netCDF4", "joblib")
PAPER = "van de Ven, Siegelmann & Tolias (2020), Nature Communications 11:4069, doi:10.1038/s41467-020-17866-2"


def provenance(config: Mapping[str, Any], animals: Sequence[int], device: str) -> dict[str, Any]:
    """Attributes of the root of a log; values are text, numbers or lists of numbers.

    Parameters
    ----------
    config
        All settings as plain values.
    animals
        Seeds.
    device
        Where it was computed.
    """
    settings = json.dumps(config, sort_keys=True)
    commit, dirty = _git()
    now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    label = config.get("label") or "simulation"
    return {
        "Conventions": "CF-1.8 ACDD-1.3",
        "title": f"{config['protocol']['name']}, {config['scenario']} scenario: {label}",
        "summary": "Behaviour, losses and activity of simulated animals that learn contexts one after the other.",
        "id": f"{hashlib.sha256(settings.encode()).hexdigest()[:12]}-{now}",
        "source": f"replaysim {_version('replaysim')}",
        "history": f"{now} simulated",
        "date_created": now,
        "license": "CC-BY-4.0 unless stated otherwise",
        "references": PAPER,
        "replaysim_schema": SCHEMA,
        "software_versions": json.dumps({"python": platform.python_version(), **{p: _version(p) for p in PACKAGES}}),
        "software_git_commit": commit,
        "software_git_dirty": dirty,
        "hardware": json.dumps({"device": device, "machine": platform.machine(), "processor": _processor(device)}),
        "config_json": settings,
        "config_sha256": hashlib.sha256(settings.encode()).hexdigest(),
        "command": _command(),
        "seed": list(animals),
        "scenario": config["scenario"],
        "status": "running",
    }


def _command() -> str:
    """The command line, with the program as one would type it."""
    program = Path(sys.argv[0])
    try:
        program = program.resolve().relative_to(Path.cwd())
    except ValueError:
        program = Path(program.name)
    python = "python " if program.suffix == ".py" else ""
    return " ".join([python + program.as_posix(), *sys.argv[1:]])


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _processor(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


def _git() -> tuple[str, int]:
    """Commit of the checkout that the package runs from and whether it was changed (1, 0, -1 = unknown)."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return "unknown", -1
    try:
        ask = ["git", "-C", str(root)]
        commit = subprocess.run([*ask, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10)
        changed = subprocess.run([*ask, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return "unknown", -1
    return commit.stdout.strip(), int(bool(changed.stdout.strip()))
