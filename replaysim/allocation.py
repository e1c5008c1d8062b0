"""Memory of a process: what tensors give back is kept for the next ones, not returned to the system at once.

A step makes and drops tensors of many megabytes. The C library of Linux asks the system for such blocks one by one and
returns them when they are dropped, so that at every step each page is fetched, and cleared, again: a fifth of the time
of a step whose early areas learn (docs/decisions.md). Kept memory is reused instead; what is computed does not change.
"""

from __future__ import annotations

import ctypes
import os
import platform

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD of malloc.h
_BLOCKS, _KEPT = (2**30, 2**25), 2**31 - 1  # bytes: blocks below are kept, so much at the end of the heap
_OF_THE_USER = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def keep_memory() -> bool:
    """Keep what tensors give back, in this process from now on; whether it was done.

    For processes of our own: workers, studies, the console. It does nothing where the user has told the C library
    otherwise (``MALLOC_MMAP_THRESHOLD_``, ``MALLOC_TRIM_THRESHOLD_``, ``GLIBC_TUNABLES``), or where there is another
    one than that of GNU/Linux. Older ones refuse to keep blocks above 32 MiB, and keep smaller ones.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc" or any(n in os.environ for n in _OF_THE_USER):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    some = any(mallopt(_MMAP_THRESHOLD, block) for block in _BLOCKS)
    return bool(mallopt(_TRIM_THRESHOLD, _KEPT)) and some
