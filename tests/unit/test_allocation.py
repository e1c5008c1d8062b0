"""Memory that tensors give back is kept by processes of our own, and left to the user otherwise."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from replaysim import allocation

BLOCKS = """
import resource, torch
from replaysim.allocation import keep_memory
kept = {keep} and keep_memory()
torch.ones(2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(2**24)  # 64 MiB, more than the C library would ever keep by itself
print(int(kept), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: bool, **settings: str) -> tuple[bool, int]:
    """Whether memory was kept, and how many pages the system had to give."""
    code = BLOCKS.format(keep=keep)
    own = {name: value for name, value in os.environ.items() if name not in allocation._OF_THE_USER}
    done = subprocess.run([sys.executable, "-c", code], env={**own, **settings}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kept, pages = done.stdout.split()
    return kept == "1", int(pages)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_pages_are_fetched_once() -> None:
    (kept, few), (_, many) = faults(keep=True), faults(keep=False)
    assert kept and few < many / 2, (few, many)


@pytest.mark.parametrize("setting", allocation._OF_THE_USER)
def test_what_the_user_says_stays(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(setting, "65536")
    monkeypatch.setattr(allocation.ctypes, "CDLL", lambda _name: pytest.fail("asked"))
    assert not allocation.keep_memory()


@pytest.mark.parametrize(("system", "library"), [("Windows", ""), ("Darwin", ""), ("Linux", "musl")])
def test_other_systems_are_left_alone(system: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation.platform, "system", lambda: system)
    monkeypatch.setattr(allocation.platform, "libc_ver", lambda: (library, ""))
    monkeypatch.setattr(allocation.ctypes, "CDLL", lambda _name: pytest.fail("asked"))
    assert not allocation.keep_memory()
