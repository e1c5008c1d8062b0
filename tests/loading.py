"""Studies are scripts, not a package: here they are modules."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from replaysim.commandline import load_script

STUDIES = Path(__file__).resolve().parents[1] / "studies"


def load(name: str) -> ModuleType:
    """A study as a module, always the same one."""
    return load_script(STUDIES / f"{name}.py")
