"""Every array of the oracle is asked for by a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from oracle import FOLDER

ROOT = Path(__file__).resolve().parents[2]
NOT_ASKED: dict[tuple[str, str], str] = {}
"""File and array that no test asks for, and why; single elements that deviate on purpose stand in the tests."""
RUN = """
import json, sys, pytest
code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", "-k", "not float32", sys.argv[1]])
from oracle import ASKED  # imported only now, by the name under which the tests have it
print("\\n" + json.dumps(sorted(ASKED)))
sys.exit(code)
"""


@pytest.mark.slow
def test_every_array_is_asked_for() -> None:
    """In a process of its own, in which all tests of this folder run: others may be spread over many."""
    here = str(Path(__file__).parent.relative_to(ROOT))
    done = subprocess.run([sys.executable, "-c", RUN, here], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    asked = {(file, array) for file, array in json.loads(done.stdout.splitlines()[-1])}
    there = set()
    for path in FOLDER.glob("*.npz"):
        with np.load(path) as file:
            there |= {(path.stem, array) for array in file.files}
    assert sorted(there - asked) == sorted(NOT_ASKED)
