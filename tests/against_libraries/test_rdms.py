"""RDMs and noise covariances are those of rsatoolbox, SciPy and scikit-learn."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from analysis import rsa
from analysis.covariance import precision_matrix, shrunk_covariance
from analysis.dissimilarity import crossnobis, pairwise
from replaysim.errors import DataError

distance = pytest.importorskip("scipy.spatial.distance")

N, P = 40, 17


def patterns(kind: str) -> np.ndarray:
    """Responses of N stimuli, with what real ones can be like."""
    x = np.random.default_rng(1).normal(size=(N, P))
    if kind == "rectified":
        x = np.maximum(x, 0)
        x[:, :3] = 0
    elif kind == "offset":
        x += 100
    elif kind == "duplicates":
        x[20:] = x[:20]
    elif kind == "wide":
        x = np.random.default_rng(1).normal(size=(5, 300))
    elif kind == "uneven":
        x *= np.logspace(-3, 3, N)[:, None]
    return x


KINDS = ("random", "rectified", "offset", "duplicates", "wide", "uneven")


@pytest.fixture(scope="module")
def toolbox() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("rsatoolbox")


def oracle(
    toolbox: Any, x: np.ndarray, method: str, labels: dict[str, Any] | None = None, **options: Any
) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = toolbox.data.Dataset(x.copy(), obs_descriptors=labels or {"item": np.arange(len(x))})
        found = toolbox.rdm.calc_rdm(data, method=method, **options)
    return np.asarray(found.dissimilarities[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "correlation"])
def test_scipy(metric: str, kind: str) -> None:
    own = "sqeuclidean_mean" if metric == "sqeuclidean" else metric
    for dtype, rtol, eps in ((torch.float64, 1e-6, 1e-15), (torch.float32, 1e-5, 5e-7)):
        x = torch.tensor(patterns(kind), dtype=dtype)
        expected = distance.pdist(x.double().numpy(), metric) / (x.shape[1] if metric == "sqeuclidean" else 1)
        scale = 1 if metric in ("cosine", "correlation") else max(1.0, expected.max())
        np.testing.assert_allclose(pairwise(x, own), expected, rtol=rtol, atol=eps * scale)


@pytest.mark.parametrize("kind", KINDS)
def test_rsatoolbox(toolbox: Any, kind: str) -> None:
    x = patterns(kind)
    noise = np.random.default_rng(2).normal(size=(x.shape[1] * 2, x.shape[1]))
    precision = np.linalg.inv(np.cov(noise.T))
    for metric, method, options in (
        ("sqeuclidean_mean", "euclidean", {}),
        ("correlation", "correlation", {}),
        ("mahalanobis", "mahalanobis", {"noise": precision}),
    ):
        given = torch.tensor(precision) if options else None
        expected = oracle(toolbox, x, method, **options)
        size = (x**2).sum(1).max() / x.shape[1] if metric == "sqeuclidean_mean" else expected.max()  # theirs cancels
        if metric == "mahalanobis":
            size = np.einsum("ij,jk,ik->i", x, precision, x).max() / x.shape[1]
        found = pairwise(torch.tensor(x), metric, precision=given)
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-14 * size, err_msg=metric)
        if metric == "mahalanobis" and kind in ("random", "rectified", "wide"):
            single = pairwise(torch.tensor(x, dtype=torch.float32), metric, precision=given)
            np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-7 * size)


@pytest.mark.parametrize("metric", ["correlation", "cosine"])
def test_patterns_without_direction_are_undefined(toolbox: Any, metric: str) -> None:
    x = patterns("random")
    x[3] = 0
    found = pairwise(torch.tensor(x), metric)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = oracle(toolbox, x, "correlation") if metric == "correlation" else distance.pdist(x, metric)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert int(found.isnan().sum()) == N - 1


@pytest.mark.parametrize("whitened", [True, False])
@pytest.mark.parametrize("folds", [2, 5])
def test_crossnobis(toolbox: Any, folds: int, whitened: bool) -> None:
    chance = np.random.default_rng(3)
    x = chance.normal(size=(folds, 12, P)) + chance.normal(size=(12, P)) + 10
    root = chance.normal(size=(P, P))
    precision = root @ root.T + np.eye(P) if whitened else None
    labels = {"item": np.tile(np.arange(12), folds), "fold": np.repeat(np.arange(folds), 12)}
    expected = oracle(
        toolbox, x.reshape(-1, P), "crossnobis", labels, descriptor="item", cv_descriptor="fold", noise=precision
    )
    given = None if precision is None else torch.tensor(precision)
    found = crossnobis(torch.tensor(x), precision=given)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("dof", [None, 7, 60])
@pytest.mark.parametrize("shape", [(30, 8), (8, 30), (2, 5)])
@pytest.mark.parametrize("method", ["shrinkage_diag", "shrinkage_eye", "diagonal", "full"])
def test_covariance(toolbox: Any, method: str, shape: tuple[int, int], dof: int | None) -> None:
    if method == "full" and shape[0] <= shape[1]:
        return
    chance = np.random.default_rng(4)
    x = chance.normal(size=shape) @ chance.normal(size=(shape[1], shape[1])) + 5
    theirs = "diag" if method == "diagonal" else method
    expected = toolbox.data.noise.cov_from_residuals(x.copy(), dof=dof, method=theirs)
    found = shrunk_covariance(torch.tensor(x), method, dof)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11 * np.abs(expected).max())
    if shape[0] == 2 and method != "diagonal":  # nothing to tell from two trials how sure one is: no shrinkage
        with pytest.raises(DataError, match="no inverse"):
            precision_matrix(torch.tensor(x), method, dof)
        return
    inverse = toolbox.data.noise.prec_from_residuals(x.copy(), dof=dof, method=theirs)
    np.testing.assert_allclose(
        precision_matrix(torch.tensor(x), method, dof), inverse, rtol=1e-6, atol=1e-8 * np.abs(inverse).max()
    )


@pytest.mark.parametrize("shape", [(200, 10), (10, 40), (50, 50), (10, 1)])
def test_ledoit_wolf(shape: tuple[int, int]) -> None:
    covariance = pytest.importorskip("sklearn.covariance")
    x = np.random.default_rng(5).normal(size=shape) * np.linspace(1, 3, shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = covariance.ledoit_wolf(x)[0]
    np.testing.assert_allclose(
        shrunk_covariance(torch.tensor(x), "shrinkage_eye", len(x)), expected, rtol=1e-10, atol=0
    )


def responses(per_class: int = 6) -> xr.DataArray:
    """Classes 2, 10 and 7, all mixed up."""
    chance = np.random.default_rng(6)
    label = chance.permutation(np.repeat([2, 10, 7], per_class))
    x = chance.normal(size=(len(label), 25)) + label[:, None] * np.linspace(0, 1, 25)
    return xr.DataArray(x, dims=("stimulus", "unit"), coords={"original_class": ("stimulus", label)})


@pytest.mark.parametrize("method", ["shrinkage_diag", "shrinkage_eye", "diagonal"])
def test_between_classes(toolbox: Any, method: str) -> None:
    x = responses()
    label = x["original_class"].values
    turn = np.array([(label[:i] == c).sum() for i, c in enumerate(label)])
    labels = {"class": label, "fold": turn % 3}
    data = toolbox.data.Dataset(x.values.copy(), obs_descriptors=labels)
    precision = toolbox.data.noise.prec_from_unbalanced(
        data, "class", method="diag" if method == "diagonal" else method
    )
    pairs = {"descriptor": "class", "noise": precision}
    expected = oracle(toolbox, x.values, "mahalanobis", labels, **pairs)
    found = rsa.rdm(x, "mahalanobis", by="original_class", noise=method)
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    assert found["item_a"].values.tolist() == [2, 2, 7] and found["item_b"].values.tolist() == [7, 10, 10]
    expected = oracle(toolbox, x.values, "crossnobis", labels, cv_descriptor="fold", **pairs)
    found = rsa.rdm(x, "crossnobis", by="original_class", noise=method, folds=3)
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    given = rsa.rdm(x, "crossnobis", by="original_class", precision=precision, folds=3)
    np.testing.assert_allclose(given, expected, rtol=1e-8)


@pytest.mark.parametrize(("metric", "method"), [("correlation", "correlation"), ("sqeuclidean_mean", "euclidean")])
def test_class_means_are_compared(toolbox: Any, metric: str, method: str) -> None:
    x = responses()
    labels = {"class": x["original_class"].values}
    expected = oracle(toolbox, x.values, method, labels, descriptor="class")
    np.testing.assert_allclose(rsa.rdm(x, metric, by="original_class"), expected, rtol=1e-9)
    single = rsa.rdm(x.astype(np.float32), metric, by="original_class")
    np.testing.assert_allclose(single, expected, rtol=1e-5)
