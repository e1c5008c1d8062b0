"""Principal angles, Procrustes, principal axes and linear readouts against scipy and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import linalg, spatial

from analysis import decoding, drift, subspaces

SHAPES = [(6, 40), (12, 5), (2, 9), (30, 30)]  # vectors or classes, units


def pair(vectors: int, units: int, mix: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(vectors * units)
    one, other = chance.normal(size=(2, vectors, units))
    return one, one + mix * other


def tensors(*arrays: np.ndarray, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    return [torch.from_numpy(np.asarray(a)).to(dtype) for a in arrays]


@pytest.mark.parametrize(("vectors", "units"), [(1, 8), (3, 40), (5, 7), (6, 6)])
@pytest.mark.parametrize("mix", [1e-7, 0.3, 100.0])
def test_principal_angles(vectors: int, units: int, mix: float) -> None:
    one, other = pair(vectors, units, mix)
    wanted = linalg.subspace_angles(one.T, other.T)[::-1]
    np.testing.assert_allclose(drift.principal_angles(*tensors(one, other)), wanted, rtol=1e-5, atol=1e-13)


def test_principal_angles_of_subspaces_of_different_size() -> None:
    one, other = pair(5, 30)
    for few, many in ((one[:2], other), (one, other[:3])):
        wanted = linalg.subspace_angles(few.T, many.T)[::-1]
        np.testing.assert_allclose(drift.principal_angles(*tensors(few, many)), wanted, rtol=1e-9)
    repeated = np.concatenate([one, one[:2] + one[1:3]])  # spans no more
    wanted = linalg.subspace_angles(one.T, other.T)[::-1]
    np.testing.assert_allclose(drift.principal_angles(*tensors(repeated, other)), wanted, rtol=1e-9)


@pytest.mark.parametrize(("classes", "units"), SHAPES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_procrustes(classes: int, units: int, dtype: torch.dtype) -> None:
    then, now = (a + 3 for a in pair(classes, units))
    found = drift.configuration_change(*tensors(now, then, dtype=dtype))
    x, y = (a - a.mean(0) for a in (then, now))
    turn, _ = linalg.orthogonal_procrustes(x, y)
    size = {torch.float64: 1e-9, torch.float32: 1e-5}[dtype]
    assert float(found["residual"]) == pytest.approx(spatial.procrustes(then, now)[2], rel=size, abs=1e-12)
    assert float(found["scaling"]) == pytest.approx(linalg.norm(y) / linalg.norm(x), rel=size)
    cosine = (x @ turn * x).sum() / (x * x).sum()  # the turn is defined where x is: in all of the space that it spans
    assert float(torch.cos(torch.deg2rad(found["rotation"]))) == pytest.approx(cosine, rel=size, abs=1e-6)
    rank = min(classes - 1, units)
    angles = linalg.subspace_angles(linalg.orth(x.T)[:, :rank], linalg.orth(y.T)[:, :rank])
    tolerance = 1e-6 if dtype == torch.float64 else 1e-3
    assert float(found["principal_angle"]) == pytest.approx(np.rad2deg(angles.mean()), rel=size, abs=tolerance)


def test_procrustes_of_degenerate_configurations() -> None:
    then, now = pair(6, 10)
    for spoil in (
        lambda a: np.concatenate([a, a]),
        lambda a: np.pad(a, ((0, 0), (0, 4))),
    ):  # duplicates, constant units
        found = drift.configuration_change(*tensors(spoil(now), spoil(then)))
        plain = drift.configuration_change(*tensors(now, then))
        for name in ("scaling", "residual", "rotation", "principal_angle", "norm_scaling", "translation"):
            assert float(found[name]) == pytest.approx(float(plain[name]), rel=1e-9)
    same = drift.configuration_change(*tensors(then, then))
    assert float(same["residual"]) == pytest.approx(spatial.procrustes(then, then)[2], abs=1e-12)


@pytest.mark.parametrize(("stimuli", "units"), [(50, 12), (12, 50)])
def test_principal_axes(stimuli: int, units: int) -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    x = np.random.default_rng(0).normal(size=(stimuli, units)) @ np.diag(np.linspace(1, 4, units)) + 5
    oracle = decomposition.PCA(svd_solver="full").fit(x)
    axes, variances = subspaces.principal_axes(*tensors(x), 4)
    np.testing.assert_allclose(np.abs(axes.numpy() @ oracle.components_[:4].T), np.eye(4), atol=1e-9)
    n = min(stimuli - 1, units)
    np.testing.assert_allclose(variances[:n], oracle.explained_variance_[:n] * (stimuli - 1), rtol=1e-9)
    for share in (0.3, 0.8, 0.99):
        wanted = decomposition.PCA(share, svd_solver="full").fit(x).n_components_
        assert len(subspaces.principal_axes(*tensors(x), share)[0]) == wanted


def test_overlap_is_the_mean_squared_cosine() -> None:
    values = np.random.default_rng(1).normal(size=(2, 30, 12))
    array = xr.DataArray(values, dims=("snapshot", "stimulus", "unit"))
    array = array.assign_coords(snapshot=[0, 1], contexts_learned=("snapshot", [0, 1]))
    found = subspaces.subspace_overlap(array, 3, device="cpu")
    bases = [np.linalg.svd(x - x.mean(0))[2][:3].T for x in values]
    wanted = (np.cos(linalg.subspace_angles(*bases)) ** 2).mean()
    assert float(found["overlap"][0, 1]) == pytest.approx(wanted, rel=1e-9)
    covariance = np.cov(values[1].T)
    captured = np.trace(bases[0].T @ covariance @ bases[0]) / np.sort(np.linalg.eigvalsh(covariance))[-3:].sum()
    assert float(found["alignment"][0, 1]) == pytest.approx(captured, rel=1e-9)


@pytest.mark.parametrize(("trials", "units"), [(60, 8), (30, 80)])
@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("shrinkage", [0.02, 0.3, 1.0])
def test_linear_discriminant(trials: int, units: int, balanced: bool, shrinkage: float) -> None:
    analysis = pytest.importorskip("sklearn.discriminant_analysis")
    chance = np.random.default_rng(trials)
    label = np.arange(trials) % 3 if balanced else chance.choice(3, trials, p=[0.6, 0.3, 0.1])
    x = chance.normal(size=(trials, units)) + chance.normal(size=(3, units))[label] + 2
    x[:, 1] = 0.7  # a constant unit
    x[:5] = x[5:10]  # duplicates
    label[:5] = label[5:10]
    oracle = analysis.LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage, priors=[1 / 3] * 3).fit(x, label)
    weights, offset = decoding.lda_readout(*tensors(x), torch.from_numpy(label), 3, shrinkage)
    np.testing.assert_allclose(weights, oracle.coef_, rtol=1e-5, atol=1e-7 * np.abs(oracle.coef_).max())
    np.testing.assert_allclose(offset, oracle.intercept_ + np.log(3), rtol=1e-5)
    new = chance.normal(size=(40, units)) + 2
    decided = (torch.from_numpy(new) @ weights.T + offset).argmax(1)
    np.testing.assert_array_equal(decided, oracle.predict(new))


def test_decoding_against_a_loop_over_folds() -> None:
    analysis = pytest.importorskip("sklearn.discriminant_analysis")
    chance = np.random.default_rng(7)
    label = np.repeat(np.arange(4), 15)
    values = chance.normal(size=(2, 60, 20)) + 0.8 * chance.normal(size=(2, 4, 20))[:, label]
    array = xr.DataArray(values, dims=("snapshot", "stimulus", "unit"))
    array = array.assign_coords(snapshot=[0, 1], original_class=("stimulus", label))
    found = decoding.cross_context_decoding(array, shrinkage=0.2, seed=3, device="cpu")
    fold = decoding.stratified_folds(torch.from_numpy(label), 5, 3).numpy()
    wanted = np.zeros((2, 2))
    for i in range(2):
        for f in range(5):
            readout = analysis.LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.2)
            readout.fit(values[i, fold != f], label[fold != f])
            for j in range(2):
                wanted[i, j] += (readout.predict(values[j, fold == f]) == label[fold == f]).sum() / 60
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert 0.5 < wanted[0, 0] < 1 and wanted[0, 1] < 0.6


@pytest.mark.filterwarnings("ignore:Only one sample available")  # of the library
def test_readout_of_single_trials() -> None:
    analysis = pytest.importorskip("sklearn.discriminant_analysis")
    x, label = np.random.default_rng(0).normal(size=(7, 12)), np.array([0, 0, 0, 1, 1, 1, 2])  # class 2 was seen once
    oracle = analysis.LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.5, priors=[1 / 3] * 3).fit(x, label)
    weights, _ = decoding.lda_readout(*tensors(x), torch.from_numpy(label), 3, 0.5)
    np.testing.assert_allclose(weights, oracle.coef_, rtol=1e-8)
