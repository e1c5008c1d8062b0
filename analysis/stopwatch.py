"""Stopwatch: how long calls take, and how fast the same thread multiplies matrices meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

SQUARES = (768, 1024, 1536)


def timed(what: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


def matrix_rate() -> float:
    """Rate of float32 products of matrices, operations per second: the best of several squares."""
    import torch

    rates = []
    for n in SQUARES:
        a, b = torch.ones(n, n), torch.ones(n, n)
        rates.append(2 * n**3 / timed(partial(torch.matmul, a, b)))
    return max(rates)


def busy(what: Callable[[], object], calls: int = 1) -> float:
    """Processor seconds that a call takes, mean of several."""
    start = time.process_time()
    for _ in range(calls):
        what()
    return (time.process_time() - start) / calls
