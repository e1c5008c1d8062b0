"""Nearest-neighbour measures against prdc and scikit-learn."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch

from analysis.neighbours import neighbour_measures, radii

sklearn_metrics = pytest.importorskip("sklearn.metrics")


def normal(seed: int, n: int, units: int, scale: float = 1.0) -> np.ndarray:
    return (scale * np.random.default_rng(seed).normal(size=(n, units))).astype(np.float32)


def counts(seed: int, n: int, units: int) -> np.ndarray:
    """Spike counts: copies and ties abound, and the library makes no rounding errors."""
    return np.random.default_rng(seed).poisson(0.7, size=(n, units)).astype(np.float32)


PAIRS = {
    "random": (normal(0, 300, 20), normal(1, 200, 20)),
    "more dims than samples": (normal(2, 40, 700).clip(0), normal(3, 50, 700).clip(0)),
    "more generated than real": (normal(4, 60, 8), normal(5, 400, 8, 1.2)),
    "far from the origin": (normal(6, 150, 10) + 100, normal(7, 150, 10) + 100),
    "constant units": (np.pad(normal(8, 80, 5), ((0, 0), (0, 3))), np.pad(normal(9, 70, 5), ((0, 0), (0, 3)))),
    "ties": (counts(10, 200, 8), counts(11, 150, 8)),
    "copies": (counts(12, 40, 30).repeat(4, 0), counts(13, 30, 30).repeat(5, 0)),
    "identical": (counts(14, 120, 6), counts(14, 120, 6)),
    "collapsed": (counts(15, 100, 6), counts(15, 1, 6).repeat(50, 0)),
    "all at one point": (np.ones((20, 4), np.float32), np.ones((30, 4), np.float32)),
}


@pytest.mark.parametrize("k", [1, 3, 5, 18])
@pytest.mark.parametrize("name", list(PAIRS))
def test_prdc(name: str, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    prdc = pytest.importorskip("prdc")
    wanted = sklearn_metrics.pairwise_distances
    monkeypatch.setattr(sklearn_metrics, "pairwise_distances", lambda a, b, metric, n_jobs: wanted(a, b, metric=metric))
    real, generated = PAIRS[name]
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = prdc.compute_prdc(real, generated, k)
    ours = neighbour_measures(torch.from_numpy(real), torch.from_numpy(generated), k, None, strict=True)
    assert {name: float(ours[name]) for name in theirs} == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("name", list(PAIRS))
def test_radii_of_scikit_learn(name: str) -> None:
    neighbours = pytest.importorskip("sklearn.neighbors")
    for x in PAIRS[name]:
        found = neighbours.NearestNeighbors(n_neighbors=19, algorithm="brute").fit(x.astype(np.float64)).kneighbors()[0]
        ours = radii(torch.from_numpy(x), (1, 4, 19)).numpy()
        np.testing.assert_allclose(ours, found[:, [0, 3, 18]].T, rtol=1e-6, atol=1e-6)
