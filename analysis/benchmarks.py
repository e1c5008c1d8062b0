"""Benchmarks: analyses timed against the least operations that they need, and against libraries that compute the same.

In processor time of one thread, in turn: dissimilarities (rsatoolbox), nearest-neighbour fidelity (prdc) and the
Frechet distance (torchmetrics), where these are installed.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import statistics
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
import xarray as xr

from . import alignment, dissimilarity, frechet, neighbours, rsa
from .stopwatch import busy, matrix_rate, timed


def in_turn(own: Callable[[], object], other: Callable[[], object] | None, repeats: int) -> tuple[float, float, float]:
    """Processor seconds of our own, rate of matrix products, and times as long as the other takes; medians."""
    calls = max(1, round(0.1 / max(1e-4, busy(own))))  # a millisecond alone cannot be timed
    seconds, rates, ratios = [], [], []
    for k in range(repeats):
        seconds.append(busy(own, calls))
        rates.append(matrix_rate())
        if other is not None and k < 3:  # the others are slow
            ratios.append(busy(other) / seconds[-1])
    return statistics.median(seconds), statistics.median(rates), statistics.median(ratios) if ratios else float("nan")


def importable(module: str) -> Any:
    """A library to compare with, or None."""
    try:
        return importlib.import_module(module)
    except ImportError:
        return None


def tasks(quick: bool) -> Iterator[tuple[str, float, Callable[[], object], Callable[[], object] | None]]:
    """Name, least operations, our own and the library's computation of the same."""
    n, units, folds, classes = (200, 50, 4, 20) if quick else (5000, 2000, 10, 100)
    activity = np.maximum(np.random.default_rng(0).standard_normal((2 * n, units), dtype=np.float32), 0)
    first = torch.from_numpy(activity[:n])
    rsa = importable("rsatoolbox")
    data = rsa.data.Dataset(activity[:n]) if rsa else None
    own: Callable[[], object]
    for metric, name in (("correlation", "correlation"), ("sqeuclidean_mean", "euclidean")):
        other = None if rsa is None else partial(_quiet, rsa.rdm.calc_rdm, data, method=name)
        own = partial(dissimilarity.pairwise, first, metric)
        yield f"RDM, {metric}, {n:,} stimuli x {units:,} units", float(n) ** 2 * units, own, other
    exemplars = activity[: folds * classes].reshape(folds, classes, units)
    other = None
    if rsa is not None:
        about = {"class": np.tile(np.arange(classes), folds), "fold": np.arange(folds).repeat(classes)}
        repeated = rsa.data.Dataset(exemplars.reshape(-1, units), obs_descriptors=about)
        other = partial(
            _quiet, rsa.rdm.calc_rdm, repeated, method="crossnobis", descriptor="class", cv_descriptor="fold"
        )
    own = partial(dissimilarity.crossnobis, torch.from_numpy(exemplars))
    name = f"RDM, crossnobis, {classes} classes x {folds} folds x {units:,} units"
    yield name, float(classes) ** 2 * units * (folds + 1), own, other
    snapshots = torch.from_numpy(activity).reshape(10, -1, units)
    stimuli = snapshots.shape[1]
    own = partial(alignment.cka_matrix, list(snapshots))
    yield f"CKA, 10 snapshots x {stimuli:,} stimuli x {units:,} units", 10.0 * stimuli**2 * units, own, None
    real, made = torch.from_numpy(activity), torch.from_numpy(activity[::-1] * np.float32(0.95) + np.float32(0.05))
    prdc = importable("prdc")
    other = None if prdc is None else partial(_quiet, prdc.compute_prdc, real.numpy(), made.numpy(), nearest_k=3)
    own = partial(neighbours.neighbour_measures, real, made, 3, 3)
    pairs = 4.0 * (2 * n) ** 2  # half a square within each, which is symmetric, and a whole one between, times two
    yield f"precision, recall, density, coverage, 2 x {2 * n:,}", pairs * units, own, other
    fid = importable("torchmetrics.image.fid")
    other = None if fid is None else partial(_torchmetrics, fid, real[:n].double(), made[:n].double())
    own = partial(frechet.frechet_distance, real[:n], made[:n])
    yield f"Frechet distance, 2 x {n:,} samples x {units:,} units (float64)", 2.0 * n * units**2, own, other


def whole_study(quick: bool) -> float:
    """Seconds for class RDMs and CKA over contexts: 10 animals, 10 contexts, 4 areas of 2,000 units, 1,000 stimuli."""
    animals, stimuli, units = (2, 100, 20) if quick else (10, 1000, 2000)
    values = np.random.default_rng(0).standard_normal((animals, 10, stimuli, units), dtype=np.float32)
    activity = xr.DataArray(
        np.maximum(values, 0, out=values),
        {"original_class": ("stimulus", np.arange(stimuli) % 10)},
        ("animal", "snapshot", "stimulus", "unit"),
    )

    def measure() -> None:
        for _area in range(4):
            rsa.rdm(activity, by="original_class", device="cpu"), alignment.cka_over(activity, device="cpu")

    return timed(measure)


def _quiet(what: Callable[..., object], *args: Any, **kwargs: Any) -> object:
    """Call a library without what it prints and warns of."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return what(*args, **kwargs)


def _torchmetrics(fid: Any, *samples: Any) -> object:
    moments = [part for x in samples for part in (x.mean(0), x.T.cov())]
    return fid._compute_fid(*moments)


def benchmarks(*, quick: bool = False) -> list[tuple[str, str]]:
    """Measure the analyses; lines of a table: what, and how long it takes.

    Parameters
    ----------
    quick
        Small sizes, once: to see that everything works.
    """
    repeats, rows = (1 if quick else 5), []
    for name, work, own, other in tasks(quick):
        seconds, rate, ratio = in_turn(own, other, repeats)
        times = f"   {ratio:5.1f} times as fast as the library" if ratio == ratio else ""
        rows.append((name, f"{seconds:7.3f} s   {100 * work / rate / seconds:4.0f} % of the rate{times}"))
    name = "class RDMs and CKA, 10 animals x 10 contexts x 4 areas x 1,000 stimuli"
    rows.append((name, f"{whole_study(quick):7.1f} s"))
    return rows
