"""Locks: one simulation at a time writes into a folder.

Two would each take the other's pieces for stale ones, and the one that ends last would replace a whole log by its own
half. The system frees the lock of a process that was killed. Where a file system knows no locks, nobody is refused.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from .errors import LogError

LOCK = ".simulating.lock"
"""In the folder while something is simulated there; what a killed process leaves of it hinders nobody."""
_OURS: ContextVar[frozenset[Path]] = ContextVar("_OURS", default=frozenset())


@contextlib.contextmanager
def held(folder: Path | None) -> Iterator[None]:
    """Keep a folder, which is made where it is missing, for the simulation of this block; None: nothing is kept.

    Blocks within one another may keep the same folder; other threads, and other processes, are refused. A folder in
    which nothing was left goes again.

    Raises
    ------
    LogError
        If another simulation keeps it; nothing in it is touched.
    """
    place = None if folder is None else folder.resolve()
    if place is None or place in _OURS.get():
        yield
        return
    made = [path for path in (place, *place.parents) if not path.exists()]
    with contextlib.suppress(OSError):  # whoever makes room for a log says what is in the way
        place.mkdir(parents=True, exist_ok=True)
    try:
        with _locked(place):
            before = _OURS.set(_OURS.get() | {place})
            try:
                yield
            finally:
                _OURS.reset(before)
    finally:
        for path in made:
            with contextlib.suppress(OSError):  # something lies there, as it should
                path.rmdir()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    file = folder / LOCK
    there, ours = file.exists(), True
    # others who may write there must see that it is kept; no marker in its place, which a killed process would leave
    lock = FileLock(str(file), timeout=0, mode=0o666, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise LogError(
            f"{folder}: another simulation is writing there; wait until it has ended, or choose another folder "
            f"(if none is running anywhere, remove {file})"
        ) from None
    except (OSError, NotImplementedError):  # no locks on this file system, or no file can be made
        ours = False
    try:
        yield
    finally:
        if ours:
            with contextlib.suppress(OSError):  # Windows removes no open file
                file.unlink()  # while it is ours: afterwards it may be somebody else's
            lock.release()
        elif not there:
            with contextlib.suppress(OSError):
                file.unlink()  # made before it turned out that it cannot be locked
