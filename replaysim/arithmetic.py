"""Arithmetic: what torch may round or leave to chance on a device, and what is not left to it here.

These settings belong to the whole process. They are set while animals live or are analysed, and put back after it,
whichever of torch's two ways of setting them (old switches, ``fp32_precision``) the user has taken.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROWS = 256
"""Rows that are widened to float64 at a time."""


def _operations() -> tuple[tuple[Any, Any], ...]:
    """What may round float32 before it multiplies, each below what it takes its setting from."""
    gpu: Any = torch.backends.cudnn
    cpu: Any = torch.backends.mkldnn
    return (
        (torch.backends.cuda.matmul, gpu),
        (gpu.conv, gpu),
        (gpu.rnn, gpu),
        (cpu.matmul, cpu),
        (cpu.conv, cpu),
        (cpu.rnn, cpu),
    )


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Multiply float32 in float32, by algorithms that repeat, and add up products of bfloat16 in float32.

    A GPU otherwise rounds factors to TF32 in convolutions, and in products of matrices where the user allows it: the
    distance of a point to itself can then become 0.3.
    """
    cudnn: Any = torch.backends.cudnn
    products: Any = torch.backends.cuda.matmul
    # what is taken from above is written as such, or a later setting above would have no effect
    before = [
        (one, "none" if one.fp32_precision == above.fp32_precision else one.fp32_precision)
        for one, above in _operations()
    ]
    switches = {name: getattr(cudnn, name) for name in ("enabled", "benchmark", "deterministic")}
    reduced = products.allow_bf16_reduced_precision_reduction, products.allow_bf16_reduced_precision_reduction_split_k
    try:
        for one, _ in before:
            one.fp32_precision = "ieee"
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic = True, False, True
        products.allow_bf16_reduced_precision_reduction = False, reduced[1]
        yield
    finally:
        for one, precision in before:
            one.fp32_precision = precision
        for name, value in switches.items():
            setattr(cudnn, name, value)
        products.allow_bf16_reduced_precision_reduction = reduced


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run with torch's random state of the CPU set to a seed, and put the old state back.

    ``torch.manual_seed`` would set the random states of all GPUs as well, which are the user's.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """Whatever is drawn within it, random states of torch (on the CPU), numpy and Python are afterwards as before."""
    legacy, plain = np.random.get_state(), random.getstate()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        np.random.set_state(legacy)
        random.setstate(plain)


def sums_by_group(values: Tensor, group: Tensor, n: int) -> Tensor:
    """Sum of the rows of every group, (group, unit) in float64; the same to the last bit every time.

    Parameters
    ----------
    values
        (row, unit).
    group
        Group of every row, from 0 to ``n`` - 1, (row,).
    n
        Groups.
    """
    total = torch.zeros(n, values.shape[1], dtype=torch.float64, device=values.device)
    number = torch.arange(n, device=values.device)[:, None]
    for own, rows in zip(group.split(ROWS), values.split(ROWS), strict=True):  # no wide copy of all rows
        if values.device.type == "cpu":
            total.index_add_(0, own, rows.to(torch.float64))
        else:  # a GPU adds scattered rows in any order
            total.addmm_((own == number).to(torch.float64), rows.to(torch.float64))
    return total
