"""RDMs: closed forms, invariances, bad input, labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from small import simulate

import replaysim as rs
from analysis import readings, rsa
from analysis.covariance import group_means, precision_matrix, shrunk_covariance, whiten, within_class_covariance
from analysis.dissimilarity import METRICS, crossnobis, n_items, pair_labels, pairwise, square_form
from replaysim.errors import DataError, SettingError

SINGLE = METRICS[:-1]
SMALL = torch.tensor([[1.0, 2, 4, 8], [3, 1, 0, 2], [5, 5, 1, 7]], dtype=torch.float64)
NOISE = torch.tensor([[1.0, 0, 2, 1], [0, 1, 1, 3], [2, 2, 0, 0], [1, 4, 1, 2], [0, 3, 5, 1]], dtype=torch.float64)
TRIALS = torch.tensor(
    [[1.2, 0.3, -0.5], [0.1, -1.1, 0.4], [-0.7, 0.9, 0.2], [0.4, 0.8, -1.3], [-1.5, -0.2, 0.6]], dtype=torch.float64
)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(seed).normal(size=shape), dtype=dtype)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [  # worked out with numpy from the definitions
        ("correlation", [1.12510864843, 0.67910308762, 0.28181515354]),
        ("cosine", [0.391240412565, 0.18651078318, 0.0913117774978]),
        ("euclidean", [57**0.5, 35**0.5, 46**0.5]),
        ("sqeuclidean_mean", [57 / 4, 35 / 4, 46 / 4]),
    ],
)
def test_known_dissimilarities(metric: str, expected: list[float]) -> None:
    np.testing.assert_allclose(pairwise(SMALL, metric), expected, rtol=1e-10)
    np.testing.assert_allclose(pairwise(SMALL.to(torch.int64), metric), expected, rtol=1e-10)
    np.testing.assert_allclose(pairwise(SMALL.half(), metric), expected, rtol=1e-6)


def test_known_mahalanobis() -> None:
    precision = torch.diag(torch.tensor([1.0, 4, 9, 16]))
    precision[0, 1] = precision[1, 0] = 0.5
    difference = SMALL[[0, 0, 1]] - SMALL[[1, 2, 2]]
    expected = torch.einsum("ki,ij,kj->k", difference, precision.double(), difference) / 4
    np.testing.assert_allclose(pairwise(SMALL, "mahalanobis", precision=precision), expected, rtol=1e-12)
    np.testing.assert_allclose(pairwise(SMALL, "mahalanobis"), pairwise(SMALL, "sqeuclidean_mean"))


def test_known_crossnobis() -> None:
    """Pairs of folds multiplied one by one, as the definition says."""
    folds = normal(4, 5, 6) + 3
    expected = []
    for i, j in zip(*np.triu_indices(5, 1), strict=True):
        delta = folds[:, i] - folds[:, j]
        products = [delta[m] @ delta[k] for m in range(4) for k in range(4) if m != k]
        expected.append(float(sum(products)) / (4 * 3 * 6))
    np.testing.assert_allclose(crossnobis(folds), expected, rtol=1e-10)
    np.testing.assert_allclose(crossnobis(folds.float()), expected, rtol=1e-5)
    same = crossnobis(normal(2, 60, 30))
    assert abs(float(same.mean())) < 5 * float(same.std()) / 60**0.5 and float(same.min()) < 0


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("shrinkage_diag", [1.075, 0.0545966940102, -0.383938041749, 0.673, -0.261711894514, 0.607]),
        (
            "shrinkage_eye",
            [0.898234794614, 0.0302610226986, -0.212803320913, 0.74126794139, -0.145057676549, 0.715497263995],
        ),
        ("diagonal", [1.075, 0, 0, 0.673, 0, 0.607]),
        ("full", [1.075, 0.0775, -0.545, 0.673, -0.3715, 0.607]),
    ],
)
def test_known_covariance(method: str, expected: list[float]) -> None:
    """Frozen from rsatoolbox 0.3.2."""
    covariance = shrunk_covariance(TRIALS, method)
    np.testing.assert_allclose(covariance[np.triu_indices(3)], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(precision_matrix(TRIALS, method) @ covariance, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(shrunk_covariance(TRIALS.float(), method), covariance, rtol=1e-5, atol=1e-6)


def test_many_trials_need_no_shrinkage() -> None:
    trials = normal(20_000, 4) @ normal(4, 4, seed=1)
    for method in ("shrinkage_diag", "shrinkage_eye"):
        np.testing.assert_allclose(shrunk_covariance(trials, method), np.cov(trials.T), rtol=0.01, atol=0.01)


def test_units_that_never_vary() -> None:
    trials = normal(30, 6)
    trials[:, 2] = 0.1
    covariance = shrunk_covariance(trials)
    active = [0, 1, 3, 4, 5]
    np.testing.assert_allclose(covariance[active][:, active], shrunk_covariance(trials[:, active]), rtol=1e-12)
    precision = precision_matrix(trials)
    assert not precision[2].any() and not precision[:, 2].any()
    x = normal(7, 6, seed=1)
    expected = pairwise(x[:, active], "mahalanobis", precision=precision_matrix(trials[:, active])) * 5 / 6
    np.testing.assert_allclose(pairwise(x, "mahalanobis", precision=precision), expected, rtol=1e-9)
    np.testing.assert_allclose(pairwise(whiten(x, covariance), "sqeuclidean_mean"), expected, rtol=1e-9)
    np.testing.assert_allclose(shrunk_covariance(trials[:, :1]), trials[:, :1].var(0)[None], rtol=1e-12)
    assert not shrunk_covariance(torch.full((30, 3), 0.1)).any()


@pytest.mark.parametrize("metric", SINGLE)
@pytest.mark.parametrize("n", [2, 3, 97, 1000])
def test_blocks_do_not_matter(metric: str, n: int) -> None:
    x = normal(n, 23, dtype=torch.float32).relu() + 1
    precision = torch.eye(23) + 0.1 if metric == "mahalanobis" else None
    whole = pairwise(x, metric, precision=precision)
    assert whole.shape == (n * (n - 1) // 2,) and whole.dtype == torch.float32
    for memory in (1, 12 * n * 7, 12 * n * 100):
        blocks = pairwise(x, metric, precision=precision, memory=memory)
        np.testing.assert_allclose(blocks, whole, rtol=0, atol=1e-6 * max(1.0, float(whole.max())))


def test_blocks_of_folds_do_not_matter() -> None:
    folds = normal(3, 50, 8)
    for memory in (1, 24 * 50 * 7):
        np.testing.assert_allclose(crossnobis(folds, memory=memory), crossnobis(folds), rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("metric", SINGLE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_patterns_do_not_differ(metric: str, dtype: torch.dtype) -> None:
    x = normal(300, 50, dtype=dtype) * 3 + 10
    x[200:] = x[:100]
    matrix = square_form(pairwise(x, metric).numpy())
    twins = matrix[np.arange(200, 300), np.arange(100)]
    assert (matrix >= 0).all() and (np.delete(matrix[0], [0, 200]) > 1e-4).all()
    if metric in ("correlation", "cosine"):
        assert twins.max() < 1e-6
    else:
        assert not twins.any()
    same = pairwise(torch.full((40, 5), 0.1, dtype=dtype).cumsum(1).repeat(1, 3), metric)
    np.testing.assert_allclose(same, 0, atol=1e-6 if metric in ("correlation", "cosine") else 0)


def test_close_patterns_far_from_the_mean_keep_their_digits() -> None:
    """Two tight groups: within a group, float32 Gram matrices have no digits left."""
    x = normal(40, 60) * 1e-4
    x[20:] += 1
    found = pairwise(x.float(), "euclidean")
    expected = torch.pdist(x.float().double())
    np.testing.assert_allclose(found, expected, rtol=2e-3)
    np.testing.assert_allclose(pairwise(x.float() + 64, "euclidean"), torch.pdist((x.float() + 64).double()), rtol=2e-3)


@pytest.mark.parametrize("metric", ["correlation", "cosine"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_patterns_without_direction(metric: str, dtype: torch.dtype) -> None:
    x = normal(5, 2001, dtype=dtype)
    x[1] = 0
    x[3] = 0.1
    matrix = square_form(pairwise(x, metric).numpy())
    undefined = [1, 3] if metric == "correlation" else [1]
    missing = np.isnan(matrix)
    expected = np.zeros((5, 5), bool)
    expected[undefined] = expected[:, undefined] = True
    np.fill_diagonal(expected, False)
    np.testing.assert_array_equal(missing, expected)
    assert pairwise(torch.full((3, 4), 1e30), metric).isnan().all()


def test_what_dissimilarities_ignore() -> None:
    x = normal(12, 30)
    turn = torch.linalg.qr(normal(30, 30, seed=1))[0]
    shift = normal(30, seed=2)
    np.testing.assert_allclose(pairwise(x @ turn + shift, "euclidean"), pairwise(x, "euclidean"), rtol=1e-10)
    np.testing.assert_allclose(pairwise(x @ turn * 3, "cosine"), pairwise(x, "cosine"), rtol=1e-10)
    gain = normal(12, 1, seed=3).exp()
    np.testing.assert_allclose(pairwise(x * gain + 5 * gain, "correlation"), pairwise(x, "correlation"), rtol=1e-10)
    mix = normal(30, 30, seed=4)
    moved = pairwise(x @ mix, "mahalanobis", precision=torch.linalg.inv(mix) @ torch.linalg.inv(mix).T)
    np.testing.assert_allclose(moved, pairwise(x, "sqeuclidean_mean"), rtol=1e-6)


def test_inputs_stay_as_they_are() -> None:
    x = normal(30, 8, dtype=torch.float32).requires_grad_()
    before = x.detach().clone()
    for metric in SINGLE:
        assert not pairwise(x, metric).requires_grad
    crossnobis(x.view(2, 15, 8))
    shrunk_covariance(x, "shrinkage_eye")
    assert torch.equal(x, before)
    np.testing.assert_allclose(pairwise(before.T.contiguous().T), pairwise(before), atol=1e-6)


def test_order_of_pairs() -> None:
    a, b = pair_labels(np.array([7, 2, 5, 9]))
    assert a.tolist() == [7, 7, 7, 2, 2, 5] and b.tolist() == [2, 5, 9, 5, 9, 9]
    i, j = np.triu_indices(6, 1)
    np.testing.assert_array_equal(pair_labels(np.arange(6)), (i, j))
    assert [n_items(k) for k in (0, 1, 3, 6, 12_497_500)] == [1, 2, 3, 4, 5000]
    square = square_form(np.arange(12.0).reshape(2, 6))
    np.testing.assert_array_equal(square, square.swapaxes(1, 2))
    np.testing.assert_array_equal(square[:, *np.triu_indices(4, 1)], np.arange(12.0).reshape(2, 6))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: pairwise(SMALL, "manhattan"), SettingError, r"pairwise\.metric: got 'manhattan', must be one of"),
        (lambda: pairwise(SMALL, "crossnobis"), SettingError, "pairwise.metric"),
        (lambda: pairwise(SMALL[:1]), DataError, "at least 2 items; got shape"),
        (lambda: pairwise(SMALL[0]), DataError, r"must be \(item, unit\)"),
        (lambda: pairwise(SMALL, memory=0), SettingError, "memory"),
        (lambda: pairwise(SMALL, "cosine", precision=torch.eye(4)), SettingError, "'mahalanobis' where a precision"),
        (lambda: pairwise(SMALL, "mahalanobis", precision=torch.eye(3)), DataError, r"must be \(4, 4\), .*\(3, 3\)"),
        (lambda: pairwise(SMALL, "mahalanobis", precision=-torch.eye(4)), DataError, "not a positive definite"),
        (lambda: crossnobis(SMALL), DataError, r"must be \(fold, item, unit\)"),
        (lambda: crossnobis(SMALL[None]), DataError, "at least 2 folds; got 1"),
        (lambda: shrunk_covariance(TRIALS, "oas"), SettingError, "shrunk_covariance.method"),
        (lambda: shrunk_covariance(TRIALS[:1]), DataError, "at least 2 trials"),
        (lambda: shrunk_covariance(TRIALS, dof=0), SettingError, "shrunk_covariance.dof"),
        (lambda: shrunk_covariance(TRIALS[:3], "full"), DataError, "3 trials cannot give a full covariance of 3 units"),
        (lambda: precision_matrix(TRIALS[:2]), DataError, "no inverse: some units are sums of others"),
        (lambda: precision_matrix(torch.ones(5, 3)), DataError, "no unit varies"),
        (lambda: group_means(SMALL, torch.tensor([0, 2, 2]), 3), DataError, "each of 3 groups needs rows"),
    ],
)
def test_bad_tensors_are_named(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_class_that_is_told_with_certainty() -> None:
    x = normal(6, 3)
    code = torch.tensor([0, 0, 0, 1, 1, 1])
    x[:, 1] = code
    means = group_means(x, code, 2)
    with pytest.raises(DataError, match="1 units differ between classes and never within"):
        within_class_covariance(x, means, code)
    assert bool(torch.isfinite(within_class_covariance(x, means, code, "shrinkage_eye")).all())


def activity(seed: int = 0, stimuli: int = 24) -> xr.DataArray:
    """Two animals, three snapshots; classes 11, 2 and 7, in a mixed order."""
    chance = np.random.default_rng(seed)
    label = np.resize([11, 2, 7, 2, 11, 7], stimuli)
    x = chance.normal(size=(2, 3, stimuli, 9)).astype(np.float32) + label[:, None] / 5 * np.linspace(0, 1, 9)
    coords = {
        "animal": [12, 13],
        "contexts_learned": ("snapshot", [0, 1, 2]),
        "stimulus": np.arange(stimuli) + 100,
        "original_class": ("stimulus", label),
        "context": (("animal", "stimulus"), np.tile(label % 2, (2, 1))),
    }
    dims = ("animal", "snapshot", "stimulus", "unit")
    return xr.DataArray(x.astype(np.float32), dims=dims, coords=coords, name="association_1")


def test_between_stimuli() -> None:
    x = activity()
    found = rsa.rdm(x)
    assert found.name == "rdm" and found.dims == ("animal", "snapshot", "pair") and found.dtype == np.float32
    assert found.attrs["metric"] == "correlation" and found.attrs["items"] == "stimulus" and found.attrs["units"] == "1"
    assert found.attrs["n_items"] == 24 and found.attrs["compute_dtype"] == "float32"
    assert found["contexts_learned"].dims == ("snapshot",) and found["item_b"].values[:2].tolist() == [101, 102]
    expected = 1 - np.corrcoef(x.values[1, 2])
    matrix = rsa.as_matrix(found)
    assert matrix.dims == ("animal", "snapshot", "item", "other_item")
    np.testing.assert_allclose(matrix.sel(animal=13).isel(snapshot=2), expected, atol=1e-6)
    assert float(matrix.sel(item=103, other_item=110).isel(animal=1, snapshot=2)) == pytest.approx(
        expected[3, 10], 1e-4
    )
    double = rsa.rdm(x.astype(np.float64), memory=2000)
    assert double.dtype == np.float64
    np.testing.assert_allclose(double, found, atol=1e-6)
    assert rsa.rdm(x.isel(animal=0, snapshot=0)).dims == ("pair",)
    turned = rsa.rdm(x.transpose("unit", "stimulus", "snapshot", "animal"))
    np.testing.assert_array_equal(turned.transpose(*found.dims), found)


def test_between_classes() -> None:
    x = activity()
    means = x.astype(np.float64).groupby("original_class").mean("stimulus")
    found = rsa.rdm(x, "euclidean", by="original_class")
    assert found.dtype == np.float64 and found.attrs["items"] == "original_class" and found.attrs["n_items"] == 3
    assert list(zip(found["item_a"].values, found["item_b"].values, strict=True)) == [(2, 7), (2, 11), (7, 11)]
    one, other = (means.sel(original_class=list(found[k].values)).values for k in ("item_a", "item_b"))
    axis = means.get_axis_num("original_class")
    expected = np.linalg.norm(np.moveaxis(one - other, axis, 0), axis=-1)
    np.testing.assert_allclose(found.transpose("pair", ...), expected, rtol=1e-10)
    own = rsa.class_means(x)
    assert own.dims == ("animal", "snapshot", "item", "unit") and own["item"].values.tolist() == [2, 7, 11]
    assert own["n_stimuli"].values.tolist() == [8, 8, 8] and own.attrs["items"] == "original_class"
    np.testing.assert_allclose(own, means.rename(original_class="item").transpose(*own.dims), rtol=1e-12)
    two = rsa.rdm(x, "euclidean", by="original_class", classes=[11, 2])
    np.testing.assert_allclose(two, found.isel(pair=[1]))
    named = x.assign_coords(kind=("stimulus", np.array(["cat", "dog"])[np.arange(24) % 2]))
    assert rsa.rdm(named, by="kind")["item_b"].values.tolist() == ["dog"]


def test_folds_are_the_stimuli_of_a_class_in_turn() -> None:
    x = activity(stimuli=22).isel(animal=0, snapshot=0, drop=True)  # 8, 7 and 7 stimuli
    label = x["original_class"].values
    turn = np.array([(label[:i] == c).sum() for i, c in enumerate(label)]) % 3
    folds = np.array([[x.values[(label == c) & (turn == m)].mean(0) for c in (2, 7, 11)] for m in range(3)])
    found = rsa.rdm(x, "crossnobis", by="original_class", folds=3, noise="identity")
    np.testing.assert_allclose(found, crossnobis(torch.tensor(folds)), rtol=1e-6)
    assert found.attrs["folds"] == 3 and "original_class, dealt in turn into 3 folds" in found.attrs["repetition"]
    assert found.attrs["noise"] == "identity"
    assert rsa.rdm(x, "crossnobis", by="original_class").attrs["folds"] == 7
    given = rsa.rdm(x, "crossnobis", by="original_class", folds=3, precision=np.eye(9))
    np.testing.assert_allclose(given, found, rtol=1e-9)
    plain = rsa.rdm(x, "mahalanobis", noise="identity")
    np.testing.assert_allclose(plain, rsa.rdm(x, "sqeuclidean_mean"), rtol=1e-6)


def test_noise_is_that_within_classes() -> None:
    x = activity().isel(animal=0, snapshot=0, drop=True)
    values = x.values.astype(np.float64)
    label = x["original_class"].values
    residuals = values - np.array([values[label == c].mean(0) for c in label])
    full = np.linalg.inv(residuals.T @ residuals / (24 - 3))
    expected = rsa.rdm(x, "mahalanobis", by="original_class", precision=full)
    np.testing.assert_allclose(rsa.rdm(x, "mahalanobis", by="original_class", noise="full"), expected, rtol=1e-6)
    dead = x.copy(data=np.where(np.arange(9) == 4, np.float32(0.3), x.values))
    lively = dead.isel(unit=[0, 1, 2, 3, 5, 6, 7, 8])
    for metric in ("mahalanobis", "crossnobis"):
        one, other = (rsa.rdm(a, metric, by="original_class") for a in (dead, lively))
        np.testing.assert_allclose(one, other * 8 / 9, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"metric": "manhattan"}, SettingError, r"rdm\.metric: got 'manhattan'"),
        ({"metric": "crossnobis"}, DataError, "crossnobis takes the stimuli of a class as repetitions; name"),
        ({"classes": [2, 7]}, DataError, "classes were given; name the coordinate"),
        ({"metric": "mahalanobis"}, DataError, "no noise to estimate; pass by='original_class'"),
        ({"folds": 3}, SettingError, "must be one of 'crossnobis' where folds is given"),
        ({"noise": "identity"}, SettingError, "'mahalanobis', 'crossnobis' where noise is given"),
        ({"precision": np.eye(9)}, SettingError, "where precision is given"),
        ({"metric": "mahalanobis", "noise": "white"}, SettingError, r"rdm\.noise: got 'white'"),
        ({"metric": "mahalanobis", "noise": "full", "precision": np.eye(9)}, SettingError, "left out where precision"),
        ({"metric": "mahalanobis", "precision": np.eye(8)}, DataError, r"must be \(9, 9\)"),
        ({"metric": "crossnobis", "by": "original_class", "folds": 1}, SettingError, r"rdm\.folds: got 1"),
        (
            {"metric": "crossnobis", "by": "original_class", "folds": 9},
            DataError,
            "with 9 folds needs at least 9 stimuli of every original_class; 2 has 8",
        ),
        ({"metric": "crossnobis", "by": "stimulus"}, DataError, "with 2 folds needs at least 2 .*; 100 has 1"),
        ({"metric": "mahalanobis", "by": "stimulus"}, DataError, "each has a single stimulus; pass noise='identity'"),
        ({"by": "category"}, DataError, r"no coordinate 'category'; they have \['stimulus', 'original_class'\]"),
        ({"by": "context"}, DataError, r"'context' has dimensions \['animal', 'stimulus'\]: select one animal"),
        ({"by": "original_class", "classes": [2, 3]}, DataError, "no stimulus of original_class 3; there are 2, 7, 11"),
        ({"by": "original_class", "classes": []}, DataError, "none given"),
        ({"by": "original_class", "classes": [2]}, DataError, "at least two items; there is one original_class"),
    ],
)
def test_bad_requests_are_named(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        rsa.rdm(activity(), **options)


def test_bad_arrays_are_named() -> None:
    x = activity()
    with pytest.raises(DataError, match="rdm: activity has no dimension 'unit'"):
        rsa.rdm(x.rename(unit="neuron"))
    with pytest.raises(DataError, match=r"holds NaN .* at animal 12, snapshot 2"):
        rsa.rdm(x.where(x["contexts_learned"] < 2))
    with pytest.raises(DataError, match="at least two items; there is one stimulus"):
        rsa.rdm(x.isel(stimulus=[0]))
    with pytest.raises(DataError, match="8 stimuli have no kind"):
        rsa.class_means(x.assign_coords(kind=x["original_class"].where(x["original_class"] != 2)), by="kind")
    with pytest.raises(DataError, match=r"full' needs as many .* \(stimuli minus classes: 3\) as units \(9\)"):
        rsa.rdm(x.isel(stimulus=slice(6)), "mahalanobis", by="original_class", noise="full")
    found = rsa.rdm(x, by="original_class")
    with pytest.raises(DataError, match=r"not all pairs of (any number of|some) items"):
        rsa.as_matrix(found.isel(pair=[0, 2]))
    with pytest.raises(DataError, match=r"not all pairs of (any number of|some) items"):
        rsa.as_matrix(found.isel(pair=[1, 0, 2]))
    with pytest.raises(DataError, match="no coordinates item_a and item_b"):
        rsa.as_matrix(found.drop_vars("item_a"))


def test_recorded_activity_read_as_it_is_needed(tmp_path: Any) -> None:
    out = tmp_path / "log"
    simulate(record=[rs.CorticalActivity("association_1", stimuli=30)], animals=(12, 13), out=out)
    loaded, lazy = (
        readings.activity(rs.open_log(out, **options), "association_1") for options in ({}, {"load": False})
    )
    for options in ({"by": "original_class"}, {"metric": "crossnobis", "by": "original_class"}, {}):
        found = rsa.rdm(lazy, **options)
        xr.testing.assert_identical(found, rsa.rdm(loaded, **options))
        assert found.dims == ("animal", "snapshot", "pair") and {"contexts_learned", "step"} <= set(found.coords)
        found.to_netcdf(tmp_path / "rdm.nc")
    side_by_side = readings.over_areas(rs.open_log(out), lambda a: rsa.rdm(a, by="original_class"))
    assert side_by_side.dims == ("area", "animal", "snapshot", "pair") and side_by_side.attrs["metric"] == "correlation"


@pytest.mark.gpu
@pytest.mark.parametrize("metric", METRICS)
def test_gpu(metric: str) -> None:
    x = activity(stimuli=900)
    options = {} if metric != "crossnobis" else {"by": "original_class"}
    options |= {"noise": "identity"} if metric == "mahalanobis" else {}
    one, other = (rsa.rdm(x, metric, device=device, **options) for device in ("cpu", "cuda"))
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
