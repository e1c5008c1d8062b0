"""CKA and Procrustes against their definitions in numpy, rsatoolbox and scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import linalg, spatial

from analysis import alignment
from analysis import rdm_comparison as rc
from analysis.rsa import rdm

SHAPES = [(6, 40, 30), (40, 7, 9), (300, 20, 30), (300, 400, 350), (4, 5, 5)]  # stimuli, units, other units
Pair = tuple[np.ndarray, np.ndarray]


def populations(stimuli: int, units: int, other: int, offset: float = 0.0) -> Pair:
    """Two populations after a rectifier that share some of what they encode."""
    chance = np.random.default_rng(stimuli)
    common = chance.normal(size=(stimuli, 5))
    one, two = (
        np.maximum(common @ chance.normal(size=(5, n)) + chance.normal(size=(stimuli, n)), 0) + offset
        for n in (units, other)
    )
    return one, two


def tensors(pair: Pair, dtype: torch.dtype) -> list[torch.Tensor]:
    return [torch.from_numpy(a).to(dtype) for a in pair]


def biased(x: np.ndarray, y: np.ndarray) -> float:
    """HKH, as Brain-Score writes it."""
    h = np.eye(len(x)) - 1 / len(x)
    k, m = h @ x @ x.T @ h, h @ y @ y.T @ h
    return (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum())


def u_centred(x: np.ndarray) -> np.ndarray:
    """The form of Székely & Rizzo, which Brain-Score and thingsvision use."""
    gram, n = x @ x.T, len(x)
    np.fill_diagonal(gram, 0)
    mean = gram.sum(0) / (n - 2)
    gram = gram - mean - mean[:, None] + mean.sum() / (n - 1)
    np.fill_diagonal(gram, 0)
    return gram


def debiased(x: np.ndarray, y: np.ndarray) -> float:
    k, m = u_centred(x), u_centred(y)
    return (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum())


@pytest.mark.parametrize("offset", [0.0, 10.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_cka(shape: tuple[int, int, int], offset: float) -> None:
    pair = populations(*shape, offset)
    for dtype, within in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        given = tensors(pair, dtype)
        assert float(alignment.cka_matrix(given, "biased")[0, 1]) == pytest.approx(biased(*pair), rel=within)
        found = float(alignment.cka_matrix(given)[0, 1])
        assert found == pytest.approx(debiased(*pair), rel=within, abs=within / 10)


@pytest.mark.filterwarnings("ignore")
def test_biased_cka_is_rsatoolbox_cosine_cov() -> None:
    rsatoolbox = pytest.importorskip("rsatoolbox.rdm")
    one, other = populations(25, 40, 30)
    rdms = [rsatoolbox.RDMs(spatial.distance.pdist(a, "sqeuclidean")[None]) for a in (one, other)]
    expected = rsatoolbox.compare(*rdms, "cosine_cov")[0, 0]
    assert float(alignment.cka_matrix(tensors((one, other), torch.float64), "biased")[0, 1]) == pytest.approx(expected)


def test_whitened_cosine_is_biased_cka() -> None:
    arrays = [
        xr.DataArray(a, {"stimulus": np.arange(20)}, ("stimulus", "unit")) for a in populations(20, 15, 30, offset=3.0)
    ]
    rdms = [rdm(a, "sqeuclidean_mean", device="cpu") for a in arrays]
    found = rc.compare_rdms(*rdms, "cosine_whitened", device="cpu")
    assert float(found) == pytest.approx(float(alignment.cka(*arrays, estimator="biased", device="cpu")), rel=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_procrustes_overlap(shape: tuple[int, int, int]) -> None:
    one, other = (a - a.mean(0) for a in populations(*shape))
    one, other = one / np.linalg.norm(one), other / np.linalg.norm(other)
    _, expected = linalg.orthogonal_procrustes(_padded(one, other), _padded(other, one))
    found = alignment.procrustes_overlap(*tensors((one, other), torch.float64))
    assert float(found) == pytest.approx(expected, rel=1e-10)


def _padded(x: np.ndarray, like: np.ndarray) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, max(0, like.shape[1] - x.shape[1]))))


def test_procrustes_disparity() -> None:
    """Scipy scales, too; what is then left is 1 - c^2."""
    one, other = populations(12, 3, 3)
    overlap = float(alignment.procrustes_overlap(*tensors((one, other), torch.float64)))
    assert spatial.procrustes(one, other)[2] == pytest.approx(1 - overlap**2)


@pytest.mark.parametrize("shape", [(10, 4, 4), (6, 30, 30), (9, 3, 20)])
@pytest.mark.parametrize("scale", [False, True])
def test_align(shape: tuple[int, int, int], scale: bool) -> None:
    moving, target = populations(*shape)
    x, y = moving - moving.mean(0), target - target.mean(0)
    rotation, overlap = linalg.orthogonal_procrustes(_padded(x, y), y)
    expected = _padded(x, y) @ rotation * (overlap / (x**2).sum() if scale else 1) + target.mean(0)
    found = alignment.align(*tensors((moving, target), torch.float64), scale).numpy()
    # with more units than items the rotation is not unique; what is left is
    assert np.linalg.norm(found - target) == pytest.approx(np.linalg.norm(expected - target), rel=1e-9)
    if shape[1] < shape[0] and shape[1] == shape[2]:
        np.testing.assert_allclose(found, expected, atol=1e-12)
    expected = spatial.distance.pdist(moving) * (overlap / (x**2).sum() if scale else 1)
    np.testing.assert_allclose(spatial.distance.pdist(found), expected, rtol=1e-9, atol=1e-9)
