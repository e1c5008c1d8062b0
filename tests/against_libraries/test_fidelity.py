"""Measures of fidelity against SciPy, torchmetrics and scikit-learn, on ordinary and degenerate samples."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import linalg, stats
from torch import Tensor

from analysis import histograms
from analysis.frechet import frechet_distance, frechet_from_moments, inception_score, kernel_distance, moments

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    fid = pytest.importorskip("torchmetrics.image.fid")
    kid = pytest.importorskip("torchmetrics.image.kid")
    cluster = pytest.importorskip("sklearn.cluster")


def relu(seed: int, n: int, units: int, *, latent: int = 6, scale: float = 1.0, shift: float = 0.0) -> Tensor:
    """Activity of rectified units that a few latent variables drive; the same units for every seed."""
    weight = np.random.default_rng(99).normal(size=(latent, units))
    chance = np.random.default_rng(seed)
    drive = scale * chance.normal(size=(n, latent)) @ weight + 0.3 * chance.normal(size=(n, units)) + shift
    return torch.from_numpy(np.maximum(drive, 0).astype(np.float32))


def ordinary() -> tuple[Tensor, Tensor]:
    return relu(0, 300, 40), relu(1, 250, 40, scale=1.2, shift=0.2)


def few_samples() -> tuple[Tensor, Tensor]:
    return relu(0, 30, 50), relu(1, 20, 50, scale=0.7)


def few_of_one() -> tuple[Tensor, Tensor]:
    return relu(0, 30, 50), relu(1, 400, 50, scale=0.7)


def silent_units() -> tuple[Tensor, Tensor]:
    real, generated = ordinary()
    real[:, :5], generated[:, 3:9] = 0, 2.5
    return real, generated


def duplicates() -> tuple[Tensor, Tensor]:
    real, generated = few_samples()
    return real.repeat(4, 1), generated.repeat(5, 1)


def duplicates_of_one() -> tuple[Tensor, Tensor]:
    real, generated = few_of_one()
    return real.repeat(4, 1), generated


def identical() -> tuple[Tensor, Tensor]:
    return relu(0, 200, 30), relu(0, 200, 30)


def collapsed() -> tuple[Tensor, Tensor]:
    return relu(0, 200, 30), relu(1, 1, 30).repeat(90, 1)


FULL = [ordinary, silent_units, identical]
SINGULAR = [few_samples, few_of_one, duplicates, duplicates_of_one, collapsed]
Samples = Callable[[], tuple[Tensor, Tensor]]


@pytest.mark.parametrize("samples", [*FULL, *SINGULAR])
def test_moments_are_those_of_numpy(samples: Samples) -> None:
    for x in samples():
        mean, covariance = moments(x)
        np.testing.assert_allclose(mean, x.double().numpy().mean(0), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(covariance, np.cov(x.double().numpy(), rowvar=False), rtol=1e-11, atol=1e-13)


@pytest.mark.filterwarnings("ignore::scipy.linalg.LinAlgWarning")
@pytest.mark.parametrize("samples", [*FULL, *SINGULAR])
def test_frechet_distance(samples: Samples) -> None:
    real, generated = samples()
    found = float(frechet_distance(real, generated))
    mean1, cov1, mean2, cov2 = (m.numpy() for x in (real, generated) for m in moments(x))
    own = float(frechet_from_moments(*(torch.from_numpy(m) for m in (mean1, cov1, mean2, cov2))))
    assert found == pytest.approx(own, rel=1e-9, abs=1e-6), "both routes"
    # both oracles take roots of eigenvalues that are rounding only: 1e-8 a unit of rank that is missing
    slack = 1e-6 if samples in FULL else 1e-4
    # the root of a silent unit is none to SciPy from 1.18 on; it adds nothing to the trace
    vary = np.flatnonzero((np.diag(cov1) > 0) & (np.diag(cov2) > 0))
    root = linalg.sqrtm(cov1[np.ix_(vary, vary)] @ cov2[np.ix_(vary, vary)]).real
    wanted = ((mean1 - mean2) ** 2).sum() + np.trace(cov1) + np.trace(cov2) - 2 * np.trace(root)
    assert found == pytest.approx(wanted, rel=1e-5, abs=slack)
    of_torchmetrics = fid._compute_fid(*(torch.from_numpy(m) for m in (mean1, cov1, mean2, cov2)))
    assert found == pytest.approx(float(of_torchmetrics), rel=1e-5, abs=slack)


@pytest.mark.parametrize("samples", [few_samples, few_of_one, duplicates, duplicates_of_one])
def test_frechet_distance_of_singular_covariances_is_exact(samples: Samples) -> None:
    """Through the principal roots of both covariances, with what is rounding removed by the known rank."""
    real, generated = (x.double().numpy() for x in samples())
    roots = []
    for x in (real, generated):
        rank = min(len(np.unique(x, axis=0)) - 1, x.shape[1])
        values, vectors = np.linalg.eigh(np.cov(x, rowvar=False))
        roots.append(vectors[:, -rank:] * np.sqrt(values[-rank:]))
    cross = np.linalg.svd(roots[0].T @ roots[1], compute_uv=False).sum()
    total = ((real.mean(0) - generated.mean(0)) ** 2).sum() + real.var(0, ddof=1).sum() + generated.var(0, ddof=1).sum()
    assert float(frechet_distance(*samples())) == pytest.approx(total - 2 * cross, abs=1e-6)


@pytest.mark.parametrize("samples", [identical, few_samples])
def test_kernel_distance(samples: Samples) -> None:
    real, generated = samples()
    n = min(len(real), len(generated))  # torchmetrics takes equal numbers only
    real, generated = real[:n], generated[:n]
    wanted = float(kid.poly_mmd(real.double(), generated.double()))
    assert float(kernel_distance(real, generated)) == pytest.approx(wanted, rel=1e-5, abs=1e-12)
    assert float(kernel_distance(real, generated, memory=20_000)) == pytest.approx(wanted, rel=1e-5, abs=1e-12)


def test_inception_score() -> None:
    p = np.random.default_rng(0).dirichlet(np.full(10, 0.3), size=200)
    p[:50] = np.eye(10)[np.arange(50) % 10]  # certain of it
    wanted = np.exp(np.mean([stats.entropy(row, p.mean(0)) for row in p]))
    assert float(inception_score(torch.from_numpy(p))) == pytest.approx(wanted, rel=1e-12)


def blobs(n: int, clusters: int, units: int, seed: int) -> Tensor:
    centre = 40 * np.random.default_rng(5).normal(size=(clusters, units))
    chance = np.random.default_rng(seed)
    return torch.from_numpy((centre[np.arange(n) % clusters] + chance.normal(size=(n, units))).astype(np.float32))


def test_clusters_that_are_clear_are_those_of_scikit_learn() -> None:
    points = blobs(400, 8, 10, 0) + 100
    found = histograms.kmeans(points, 8, restarts=3)
    wanted = cluster.KMeans(8, n_init=5, random_state=0).fit(points.double().numpy())
    for restart in range(3):
        assert float(found.inertia[restart]) == pytest.approx(wanted.inertia_, rel=1e-5)
        pairs = set(zip(found.labels[restart].tolist(), wanted.labels_.tolist(), strict=True))
        assert len(pairs) == 8, "the same partition under other names"
        own = found.centres[restart][torch.tensor([a for a, _ in sorted(pairs)])]
        np.testing.assert_allclose(own, wanted.cluster_centers_[[b for _, b in sorted(pairs)]], rtol=1e-4)


def test_clusters_of_overlapping_samples_are_as_tight_as_those_of_scikit_learn() -> None:
    points = relu(3, 1000, 30)
    found = histograms.kmeans(points, restarts=10).inertia
    wanted = [cluster.KMeans(20, n_init=1, random_state=s).fit(points.numpy()).inertia_ for s in range(10)]
    assert float(found.min()) < 1.01 * min(wanted)
    assert float(found.mean()) < 1.01 * np.mean(wanted)


def test_curves_are_those_of_mini_batch_clusters_up_to_their_noise() -> None:
    """The research code clusters by mini-batches; single clusterings differ by 0.06 in F8, 0.09 in F1/8."""
    real, generated = relu(0, 400, 30), relu(1, 400, 30, scale=0.6)
    pooled = np.concatenate((real.numpy(), generated.numpy()))
    curves = []
    for seed in range(10):
        labels = cluster.MiniBatchKMeans(20, n_init=3, random_state=seed).fit(pooled).labels_
        counts = [torch.from_numpy(np.bincount(part, minlength=20) / 400) for part in (labels[:400], labels[400:])]
        curves.append(torch.stack(histograms.prd_from_histograms(*counts)))
    wanted = torch.stack(curves).mean(0)
    found = histograms.prd_curves(real, generated)
    assert float((found["precision"] - wanted[0]).abs().max()) < 0.06
    assert float((found["recall"] - wanted[1]).abs().max()) < 0.06
    f8, f_eighth = histograms.f_scores(*wanted)
    assert float(found["f8"]) == pytest.approx(float(f8), abs=0.05)
    assert float(found["f_eighth"]) == pytest.approx(float(f_eighth), abs=0.05)
    assert float(f8) < 0.95, "the sets differ, so that there is something to get wrong"
