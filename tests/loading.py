"""Studies are scripts, not a package: here they are modules, and run in this process as from a command line."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from unittest import mock

from replaysim.commandline import load_script, run_study

ROOT = Path(__file__).resolve().parents[1]
STUDIES = ROOT / "studies"


def load(name: str) -> ModuleType:
    """A study as a module, always the same one."""
    return load_script(STUDIES / f"{name}.py")


def run(name: str, *arguments: str, data: Path | None = None) -> subprocess.CompletedProcess[str]:
    """What a study says and how it leaves, without the seconds that another process takes to import everything.

    Parameters
    ----------
    data
        Folder with data sets, instead of the usual one.
    """
    study, out, err, code = load(name), io.StringIO(), io.StringIO(), 0
    places = {} if data is None else {"REPLAYSIM_DATA": str(data)}
    with (
        mock.patch.object(sys, "argv", [str(STUDIES / f"{name}.py"), *arguments]),
        mock.patch.dict(os.environ, places),
        chdir(ROOT),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            run_study(study.main, study.Settings)
        except SystemExit as left:
            code = int(left.code or 0)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
