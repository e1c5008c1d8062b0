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
    assert kept, "smaller blocks are kept by every version"
    if tuple(map(int, platform.libc_ver()[1].split("."))) >= (2, 35):  # older ones keep no blocks of this size
        assert few < many / 2, (few, many)


def test_a_library_that_refuses_large_blocks_keeps_smaller_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Library:
        @staticmethod
        def mallopt(what: int, size: int) -> int:
            asked.append((what, size))
            return int(what != -3 or size <= 2**25)

    monkeypatch.setattr(allocation.platform, "system", lambda: "Linux")
    monkeypatch.setattr(allocation.platform, "libc_ver", lambda: ("glibc", "2.31"))
    for setting in allocation._OF_THE_USER:
        monkeypatch.delenv(setting, raising=False)
    monkeypatch.setattr(allocation.ctypes, "CDLL", lambda _name: Library)
    assert allocation.keep_memory()
    assert asked == [(-3, 2**30), (-3, 2**25), (-1, 2**31 - 1)]


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
