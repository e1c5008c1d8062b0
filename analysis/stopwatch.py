"""Stopwatch: how long calls take, and how fast the same thread, or GPU, multiplies matrices meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

SQUARES, LARGE_SQUARES = (768, 1024, 1536), (4096, 8192)
"""Sides of the matrices that are multiplied on a CPU, and on a GPU, which smaller ones do not fill."""


def timed(what: Callable[[], object], device: str = "cpu") -> float:
    """Seconds that a call takes, until the device has done what it was asked for."""
    wait = _waiting(device)
    wait()
    start = time.perf_counter()
    what()
    wait()
    return time.perf_counter() - start


def _waiting(device: str) -> Callable[[], object]:
    """What returns when nothing is left to do on a device."""
    import torch

    kind = torch.device(device).type
    if kind == "cpu":
        return lambda: None
    return partial(torch.cuda.synchronize, device) if kind == "cuda" else torch.mps.synchronize


def matrix_rate(device: str = "cpu", precision: str = "float32") -> float:
    """Rate of products of matrices in this precision, operations per second: the best of several squares."""
    import torch

    rates, chance = [], torch.Generator(device).manual_seed(0)  # products of equal numbers take less current, and time
    like = {"device": device, "dtype": getattr(torch, precision), "generator": chance}
    for n in SQUARES if torch.device(device).type == "cpu" else LARGE_SQUARES:
        a, b = (torch.randn(n, n, **like) for _ in "ab")
        rates.append(2 * n**3 / timed(partial(torch.matmul, a, b), device))
    return max(rates)


def memory_rate(device: str, size: int = 2**30) -> float:
    """Rate at which a device copies within its memory, bytes read and written per second: the best of three copies."""
    import torch

    source = torch.zeros(size // 4, device=device)
    place = torch.empty_like(source)
    return max(2 * size / timed(partial(place.copy_, source), device) for _ in range(3))


def busy(what: Callable[[], object], calls: int = 1) -> float:
    """Processor seconds that a call takes, mean of several."""
    start = time.process_time()
    for _ in range(calls):
        what()
    return (time.process_time() - start) / calls
