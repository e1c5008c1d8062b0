"""Similarity of RDMs by its definitions; gaps, labels and bad input; Brain-Score's layout."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest
import torch
import xarray as xr

from analysis import ranks
from analysis import rdm_comparison as rc
from analysis.bridges import to_neuroid, to_rsatoolbox
from replaysim.errors import DataError, SettingError

ONE, OTHER = [1.0, 4.0, 2.0, -1.0, 7.0, 5.0], [2.0, 2.0, 3.0, 0.0, 9.0, 1.0]
# computed by rsatoolbox 0.3.2 (its names: corr, spearman, rho-a, tau-a, cosine, cosine_cov, corr_cov)
FROZEN = {
    "pearson": 0.7141920313271783,
    "spearman": 0.550782483869826,
    "rho_a": 0.5428571428571428,
    "tau_a": 0.4,
    "cosine": 0.8616404368553292,
    "cosine_whitened": 0.8252876779114764,
    "corr_whitened": 0.7622021074949065,
}


def labelled(n_items: int = 6, gap: bool = False) -> xr.DataArray:
    one, other = np.triu_indices(n_items, 1)
    values = np.random.default_rng(0).normal(1, 0.3, (2, 3, len(one)))
    values += np.random.default_rng(1).normal(1, 0.3, len(one))
    if gap:
        values[0, 1, 4] = np.nan
    coords = {
        "animal": [12, 13],
        "snapshot": [0, 1, 2],
        "contexts_learned": ("snapshot", [0, 2, 4]),
        "item_a": ("pair", one * 10),
        "item_b": ("pair", other * 10),
    }
    about = {"items": "original_class", "n_items": n_items, "metric": "correlation"}
    return xr.DataArray(values, coords, ("animal", "snapshot", "pair"), "rdm", about)


@pytest.mark.parametrize("method", rc.METHODS)
def test_frozen_numbers(method: str) -> None:
    found = rc.similarity(torch.tensor(ONE), torch.tensor(OTHER), method)
    assert float(found["similarity"]) == pytest.approx(FROZEN[method], abs=1e-7)
    assert int(found["n_pairs_used"]) == 6


def test_tau_counts_pairs() -> None:
    chance = np.random.default_rng(0)
    for k, levels in itertools.product((2, 3, 16, 17, 130), (2, 5, 1000)):
        x, y = chance.integers(0, levels, (2, k)).astype(float)
        if len(set(x)) == 1 or len(set(y)) == 1:
            continue
        order = np.sign(x[:, None] - x) * np.sign(y[:, None] - y)
        found = ranks.tau_a(torch.from_numpy(x), torch.from_numpy(y))
        assert float(found) == pytest.approx(order.sum() / (k * (k - 1)), abs=1e-15)


def test_falling_pairs() -> None:
    chance = np.random.default_rng(0)
    assert ranks.falling_pairs(np.arange(5)) == 0
    assert ranks.falling_pairs(np.arange(100_000)[::-1]) == 100_000 * 99_999 // 2  # more than int32 holds
    for k in (1, 2, 7, 8, 9, 100):
        order = chance.permutation(k)
        assert ranks.falling_pairs(order) == sum(a > b for a, b in itertools.combinations(order, 2))


def test_ranks_beyond_float32() -> None:
    """The mean of the last ranks of 2^24 + 4 values is no float32."""
    values = torch.arange(2**24 + 4, dtype=torch.int32)
    values[-2:] = 2**24 + 2
    assert ranks.average_ranks(values)[-1] == 2**24 + 3.5


def test_a_model_with_ties_is_not_rewarded() -> None:
    """A model that predicts ties has a rho_a and tau_a of less than 1 even with itself, a Spearman of 1."""
    model = torch.tensor([0.0, 0, 0, 1, 1, 1])
    found = {m: float(rc.similarity(model, model, m)["similarity"]) for m in ("spearman", "rho_a", "tau_a")}
    assert found["spearman"] == pytest.approx(1)
    assert found["rho_a"] == pytest.approx(12 * 6 * 1.5**2 / (6**3 - 6))
    assert found["tau_a"] == pytest.approx(9 / 15)


@pytest.mark.parametrize("gaps", [0, 7])
def test_whitening_by_the_covariance_itself(gaps: int) -> None:
    chance = np.random.default_rng(3)
    n = 9
    pairs = np.triu_indices(n, 1)
    contrast = np.eye(n)[pairs[0]] - np.eye(n)[pairs[1]]
    x, y = chance.normal(size=(2, len(contrast)))  # as negative as crossnobis distances may be
    x[chance.choice(len(x), gaps, replace=False)] = np.nan
    used = np.isfinite(x)
    inverse = np.linalg.inv(((contrast @ contrast.T) ** 2)[used][:, used])

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return a @ inverse @ b / np.sqrt((a @ inverse @ a) * (b @ inverse @ b))

    a, b = x[used], y[used]
    for method, expected in (
        ("cosine_whitened", cosine(a, b)),
        ("corr_whitened", cosine(a - a.mean(), b - b.mean())),
    ):
        found = rc.similarity(torch.from_numpy(x), torch.from_numpy(y), method)
        assert float(found["similarity"]) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("method", rc.METHODS)
def test_what_does_not_matter(method: str) -> None:
    """Scale never, an added constant only for ratio scales, the order of items never."""
    values = torch.from_numpy(labelled().values[0])
    found = rc.similarity_matrix(values, method)["similarity"]
    torch.testing.assert_close(rc.similarity_matrix(values * 3, method)["similarity"], found)
    shifted = rc.similarity_matrix(values + 2, method)["similarity"]
    assert torch.allclose(shifted, found) == (not method.startswith("cosine"))
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    square = torch.zeros(3, 6, 6, dtype=torch.float64)
    one, other = torch.triu_indices(6, 6, 1)
    square[:, one, other] = square[:, other, one] = values
    moved = square[:, order][:, :, order][:, one, other]
    torch.testing.assert_close(rc.similarity_matrix(moved, method)["similarity"], found)


@pytest.mark.parametrize("method", rc.METHODS)
def test_nothing_to_compare(method: str) -> None:
    good = torch.from_numpy(labelled().values[0, 0])
    for poor in (torch.full_like(good, torch.nan), torch.zeros_like(good)):
        assert rc.similarity(good, poor, method)["similarity"].isnan()
        table = rc.similarity_matrix(torch.stack((good, poor)), method)
        assert table["similarity"][1].isnan().all() and not table["similarity"][0, 0].isnan()
        assert rc.similarity_matrix(torch.stack((poor, poor)), method)["similarity"].isnan().all()
        found = rc.ceiling(torch.stack((good, good, poor)), method)
        assert found["lower"].isnan() and found["upper"].isnan()
    assert int(rc.similarity(good, torch.full_like(good, torch.nan), method)["n_pairs_used"]) == 0


@pytest.mark.parametrize("method", rc.METHODS)
def test_gaps_are_left_out_pair_by_pair(method: str) -> None:
    values = labelled(gap=True)
    table = rc.second_order(values, method, device="cpu")
    assert table["n_pairs_used"].sel(animal=12).values.tolist() == [[15, 14, 15], [14, 14, 14], [15, 14, 15]]
    for a, b in ((0, 2), (0, 1)):
        single = rc.compare_rdms(values.isel(snapshot=a), values.isel(snapshot=b, drop=True), method, device="cpu")
        np.testing.assert_allclose(table[:, a, b], single, rtol=1e-12)
        assert single["n_pairs_used"].values.tolist() == [14 if b == 1 else 15, 15]
    if method not in rc.WHITENED:  # whitening looks at which items the pairs share
        kept = values.dropna("pair")
        np.testing.assert_allclose(rc.second_order(kept, method, device="cpu")[0, 0, 1], table[0, 0, 1], rtol=1e-12)


def test_dims_and_coordinates_are_kept() -> None:
    values = labelled()
    found = rc.compare_rdms(values.isel(snapshot=-1), values, device="cpu")
    assert found.dims == ("animal", "snapshot") and found.name == "rdm_similarity"
    assert found["contexts_learned"].values.tolist() == [0, 2, 4]
    np.testing.assert_allclose(found.isel(snapshot=-1), 1)
    assert found.attrs["method"] == "spearman" and found.attrs["units"] == "1"
    second = rc.second_order(values, "pearson", device="cpu")
    assert second.dims == ("animal", "snapshot", "other_snapshot")
    assert second["other_contexts_learned"].values.tolist() == [0, 2, 4]
    np.testing.assert_allclose(second[1], np.corrcoef(values[1]), rtol=1e-12)
    between = rc.second_order(values, "pearson", "animal", device="cpu")
    assert between.dims == ("snapshot", "animal", "other_animal")
    assert between["other_animal"].values.tolist() == [12, 13]


def test_noise_ceiling() -> None:
    values = labelled()
    found = rc.noise_ceiling(values, device="cpu")
    assert found["lower"].dims == ("snapshot",) and (found["lower"] < found["upper"]).all()
    assert found["upper"].attrs["n_animal"] == 2 and found["n_pairs_used"].values.tolist() == [15] * 3
    # of two animals, the pool without one is the other
    alone = rc.compare_rdms(values.sel(animal=12), values.sel(animal=13), device="cpu")
    np.testing.assert_allclose(found["lower"], alone, rtol=1e-12)
    same = xr.concat([values[:1]] * 3, xr.Variable("animal", [1, 2, 3]))
    for bound in rc.noise_ceiling(same, "cosine_whitened", device="cpu").values():
        np.testing.assert_allclose(bound, 1)
    gap = rc.noise_ceiling(labelled(gap=True), device="cpu")
    assert gap["n_pairs_used"].values.tolist() == [15, 14, 15] and np.isfinite(gap["upper"]).all()


def test_whitening_knows_items_by_name() -> None:
    """RDMs without the pairs of one item, in any order, are whitened as those of the other items."""
    values = labelled(6)
    without = (values["item_a"] != 20) & (values["item_b"] != 20)
    some = values.isel(pair=np.flatnonzero(without.values)[::-1])
    five = rdm_of(values.values[..., without.values], 5)
    for method in rc.WHITENED:
        found = rc.second_order(some, method, device="cpu")
        np.testing.assert_allclose(found, rc.second_order(five, method, device="cpu"), rtol=1e-10)
    with pytest.raises(DataError, match="7 pairs are not all pairs of any number of items; name them"):
        rc.second_order(values.drop_vars(["item_a", "item_b"]).isel(pair=slice(7)), "cosine_whitened", device="cpu")


def rdm_of(values: np.ndarray, n_items: int) -> xr.DataArray:
    return labelled(n_items).copy(data=values)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda r: r.values, "RDM two must be a labelled array"),
        (lambda r: r.rename(pair="items"), "RDM two has no dimension 'pair'"),
        (lambda r: r.isel(pair=slice(10)), "15 and 10 pairs"),
        (
            lambda r: r.assign_coords(item_b=r["item_b"] + 1),
            r"different items, or the same in another order \(item_b\)",
        ),
        (lambda r: r.isel(pair=slice(None, None, -1)), "different items, or the same in another order"),
        (lambda r: r.assign_attrs(items="stimulus"), "one RDM is of 'original_class', the other of 'stimulus'"),
        (lambda r: r.assign_coords(animal=[12, 14]), "different coordinates along 'animal'"),
    ],
)
def test_rdms_that_do_not_belong_together(spoil: object, words: str) -> None:
    with pytest.raises(DataError, match=f"compare_rdms: .*{words}"):
        rc.compare_rdms(labelled(), spoil(labelled()), device="cpu")


def test_bad_settings() -> None:
    values = labelled()
    for function in (lambda m: rc.compare_rdms(values, values, m), lambda m: rc.second_order(values, m)):
        with pytest.raises(SettingError, match=r"method: got 'kendall', must be one of 'spearman'"):
            function("kendall")
    with pytest.raises(SettingError, match=r"noise_ceiling\.method"):
        rc.noise_ceiling(values, "tau_b")
    with pytest.raises(DataError, match="at least two elements along 'animal'; got 1"):
        rc.noise_ceiling(values[:1])
    with pytest.raises(DataError, match="at least two RDMs to compare; got 1"):
        rc.ceiling(torch.zeros(1, 3))
    with pytest.raises(DataError, match="no dimension 'area'"):
        rc.second_order(values, over="area")
    with pytest.raises(DataError, match="3 and 4 elements"):
        ranks.correlation(torch.zeros(3), torch.zeros(4))
    with pytest.raises(DataError, match="tau_a compares two vectors"):
        ranks.tau_a(torch.zeros(3, 2), torch.zeros(3, 2))


def test_neuroid() -> None:
    values = activity().isel(animal=1)
    found = to_neuroid(values)
    assert found.dims == ("presentation", "neuroid") and not found.indexes
    np.testing.assert_array_equal(found, values)
    assert found["stimulus_id"].values.tolist() == [5, 6, 8] and found["original_class"].values.tolist() == [1, 0, 1]
    assert found["neuroid_id"].values.tolist() == ["V4.0", "V4.1"] and set(found["region"].values) == {"V4"}
    assert found["context"].dims == ("presentation",) and int(found["animal"]) == 13
    with pytest.raises(DataError, match=r"to_neuroid: takes one animal at one time; .* \.sel\(animal=12\)"):
        to_neuroid(activity())


def activity() -> xr.DataArray:
    coords = {
        "animal": [12, 13],
        "stimulus": [5, 6, 8],
        "original_class": ("stimulus", [1, 0, 1]),
        "context": (("animal", "stimulus"), [[1, 1, 1], [2, 1, 2]]),
    }
    return xr.DataArray(np.arange(12.0).reshape(2, 3, 2), coords, ("animal", "stimulus", "unit"), "V4", {"area": "V4"})


def test_without_rsatoolbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rsatoolbox", None)
    with pytest.raises(DataError, match="rsatoolbox is not installed: pip install rsatoolbox"):
        to_rsatoolbox(labelled())


@pytest.mark.gpu
@pytest.mark.parametrize("method", rc.METHODS)
def test_gpu(method: str) -> None:
    for gap in (False, True):
        values = labelled(gap=gap)
        for measure in (rc.second_order, rc.noise_ceiling):
            xr.testing.assert_allclose(measure(values, method, device="cpu"), measure(values, method, device="cuda"))
