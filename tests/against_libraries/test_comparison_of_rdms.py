"""Ranks, similarity of RDMs, noise ceilings and bridges against scipy and rsatoolbox."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats

from analysis import ranks
from analysis import rdm_comparison as rc
from analysis.bridges import to_rsatoolbox, to_rsatoolbox_dataset
from analysis.rsa import rdm
from replaysim.errors import DataError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    toolbox = pytest.importorskip("rsatoolbox.rdm")
    inference = pytest.importorskip("rsatoolbox.inference")

THEIRS = {
    "pearson": "corr",
    "spearman": "spearman",
    "rho_a": "rho-a",
    "tau_a": "tau-a",
    "cosine": "cosine",
    "cosine_whitened": "cosine_cov",
    "corr_whitened": "corr_cov",
}


def vectors(kind: str, n_items: int = 14, n: int = 4) -> np.ndarray:
    """RDMs as crossnobis would give them: some negative; many equal; or with pairs, and all of one item, missing."""
    chance = np.random.default_rng(n_items)
    one, other = np.triu_indices(n_items, 1)
    values = chance.normal(0.5, 1, (n, len(one))) + chance.normal(size=len(one))
    if kind == "tied":
        values = np.round(values)
    if kind == "gaps":
        values[:, chance.choice(len(one), len(one) // 4, replace=False)] = np.nan
        values[:, (one == 3) | (other == 3)] = np.nan
    return values


def theirs(function: Any, *args: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "ceiling for tau based on averaged ranks"
        return function(*args)


def test_methods_are_all_tested() -> None:
    assert set(THEIRS) == set(rc.METHODS)


@pytest.mark.parametrize("kind", ["plain", "tied", "gaps"])
@pytest.mark.parametrize("method", THEIRS)
def test_similarity(method: str, kind: str) -> None:
    for n_items in (3, 14) if kind == "plain" else (14,):
        values = vectors(kind, n_items)
        expected = theirs(toolbox.compare, *[toolbox.RDMs(values)] * 2, THEIRS[method])
        rdms = torch.from_numpy(values)
        found = rc.similarity_matrix(rdms, method)
        np.testing.assert_allclose(found["similarity"], expected, rtol=1e-12, atol=1e-14)
        single = rc.similarity(rdms[0], rdms[1], method)
        assert float(single["similarity"]) == pytest.approx(expected[0, 1], abs=1e-14)
        used = np.isfinite(values[0]).sum()
        assert int(single["n_pairs_used"]) == used and (found["n_pairs_used"] == used).all()


@pytest.mark.parametrize("kind", ["plain", "tied", "gaps"])
@pytest.mark.parametrize("method", THEIRS)
def test_noise_ceiling(method: str, kind: str) -> None:
    for n in (2, 5):
        values = vectors(kind, n=n)
        expected = theirs(inference.boot_noise_ceiling, toolbox.RDMs(values), THEIRS[method])
        found = rc.ceiling(torch.from_numpy(values), method)
        np.testing.assert_allclose([found["lower"], found["upper"]], expected, rtol=1e-12, atol=1e-14)


def test_whitening_of_many_items() -> None:
    """Above 100 items rsatoolbox computes otherwise; we do not."""
    values = vectors("plain", 130, 2)
    expected = theirs(toolbox.compare, *[toolbox.RDMs(values)] * 2, "cosine_cov")
    found = rc.similarity_matrix(torch.from_numpy(values), "cosine_whitened")["similarity"]
    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_without_variance_we_say_nan_and_they_say_zero() -> None:
    values = np.stack([np.full(91, 0.1), vectors("plain")[0]])
    for method in ("pearson", "spearman", "rho_a", "tau_a", "corr_whitened"):
        found = rc.similarity_matrix(torch.from_numpy(values), method)["similarity"]
        assert found[0].isnan().all() and float(found[1, 1]) > 0.9, method
    table = theirs(toolbox.compare, *[toolbox.RDMs(values)] * 2, "rho-a")
    assert table[0, 1] == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_ranks(dtype: type) -> None:
    chance = np.random.default_rng(0)
    for values in (chance.normal(size=(3, 501)), chance.integers(0, 9, (2, 100)), np.zeros((1, 7)), np.ones((4, 1))):
        found = ranks.average_ranks(torch.from_numpy(values.astype(dtype)))
        assert found.dtype == torch.float64
        np.testing.assert_array_equal(found, stats.rankdata(values.astype(dtype), axis=-1))


def test_correlations_against_scipy() -> None:
    chance = np.random.default_rng(1)
    for levels in (3, 40, 10**6):
        one, other = chance.integers(0, levels, (2, 700)).astype(float)
        pair = torch.from_numpy(one), torch.from_numpy(other + one // 2)
        arrays = [p.numpy() for p in pair]
        expected = {"pearson": stats.pearsonr(*arrays).statistic, "spearman": stats.spearmanr(*arrays).statistic}
        # scipy divides by the pairs that are tied in neither; tau_a by all pairs
        untied = [1 - (np.unique(a, return_counts=True)[1] ** 2 - 0.0).sum() / 700**2 for a in arrays]
        share = np.sqrt(untied[0] * untied[1]) * 700 / 699
        expected["tau_a"] = stats.kendalltau(*arrays, variant="b").statistic * share
        for method, value in expected.items():
            assert float(ranks.correlation(*pair, method)) == pytest.approx(value, rel=1e-10), (method, levels)


def labelled() -> xr.DataArray:
    chance = np.random.default_rng(2)
    dims = ("animal", "snapshot", "stimulus", "unit")
    coords = {
        "animal": [12, 13],
        "contexts_learned": ("snapshot", [0, 1, 2]),
        "stimulus": np.arange(12) + 100,
        "original_class": ("stimulus", np.arange(12) % 4),
    }
    return xr.DataArray(chance.normal(size=(2, 3, 12, 9)), coords, dims, "area_1", {"area": "area_1"})


@pytest.mark.parametrize("by", [None, "original_class"])
def test_bridge_of_rdms(by: str | None) -> None:
    values = rdm(labelled(), "correlation", by=by, device="cpu")
    bridge = to_rsatoolbox(values)
    assert bridge.n_rdm == 6 and bridge.dissimilarity_measure == "correlation"
    items = bridge.pattern_descriptors[by or "stimulus"]
    assert items == (list(range(100, 112)) if by is None else [0, 1, 2, 3])
    where = np.flatnonzero(np.array(bridge.rdm_descriptors["animal"]) == 13)
    assert np.array(bridge.rdm_descriptors["contexts_learned"])[where].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(bridge.get_vectors()[where[2]], values.sel(animal=13).isel(snapshot=2))
    expected = theirs(toolbox.compare, bridge.subset("animal", 12), bridge.subset("animal", 13), "spearman")
    found = rc.compare_rdms(values.sel(animal=12), values.sel(animal=13), device="cpu")
    np.testing.assert_allclose(found, np.diag(expected), rtol=1e-12)
    single = to_rsatoolbox(values.isel(animal=0, snapshot=0))
    assert single.n_rdm == 1 and single.rdm_descriptors["animal"] == [12]


def test_bridge_of_activity() -> None:
    values = labelled().isel(animal=0, snapshot=2)
    bridge = to_rsatoolbox_dataset(values)
    expected = theirs(toolbox.calc_rdm, bridge, "euclidean", "original_class")
    found = rdm(values, "sqeuclidean_mean", by="original_class", device="cpu")
    np.testing.assert_allclose(found, expected.get_vectors()[0], rtol=1e-9)
    assert bridge.descriptors["animal"] == 12 and bridge.descriptors["area"] == "area_1"
    assert list(bridge.obs_descriptors["stimulus"]) == list(range(100, 112))
    assert list(bridge.channel_descriptors["unit"]) == list(range(9))


def test_bridges_refuse() -> None:
    values = rdm(labelled(), device="cpu")
    with pytest.raises(DataError, match="not the upper triangle row by row"):
        to_rsatoolbox(values.isel(pair=slice(None, None, -1)))
    with pytest.raises(DataError, match="65 pairs are not all pairs"):
        to_rsatoolbox(values.isel(pair=slice(65)))
    with pytest.raises(DataError, match=r"select along \['snapshot'\], e\.g\. with \.sel\(snapshot=0\)"):
        to_rsatoolbox_dataset(labelled().isel(animal=0))
