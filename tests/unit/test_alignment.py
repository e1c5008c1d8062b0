"""CKA and Procrustes: closed forms, what they ignore, labels and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from analysis import alignment
from analysis.alignment import align, cka, cka_matrix, cka_over, procrustes_align, procrustes_distance
from replaysim.errors import DataError, SettingError

X = [[1.0, 2, 0], [3, 4, 1], [5, 7, 1], [2, 1, 0], [0, 3, 5], [4, 4, 2]]
Y = [[2.0, 0], [1, 1], [4, 3], [0, 1], [3, 3], [2, 5]]
# HKH and the U-centred form in numpy, the overlap from scipy.linalg.orthogonal_procrustes of padded arrays
FROZEN = {"biased": 0.4729899916322932, "debiased": 0.39244527526370776, "overlap": 0.6024868544285951}


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def rotation(n: int) -> torch.Tensor:
    return torch.linalg.qr(random(n, n, seed=99)).Q


def labelled(units: int = 6, seed: int = 0) -> xr.DataArray:
    coords = {
        "animal": [12, 13],
        "snapshot": [0, 1, 2],
        "contexts_learned": ("snapshot", [0, 2, 4]),
        "stimulus": np.arange(9) * 3,
        "original_class": ("stimulus", np.arange(9) % 3),
        "unit": np.arange(units),
    }
    dims = ("animal", "snapshot", "stimulus", "unit")
    return xr.DataArray(random(2, 3, 9, units, seed=seed).numpy(), coords, dims, "V4", {"area": "V4"})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_frozen_numbers(dtype: torch.dtype) -> None:
    one, other = torch.tensor(X, dtype=dtype), torch.tensor(Y, dtype=dtype)
    for estimator in alignment.ESTIMATORS:
        assert float(cka_matrix((one, other), estimator)[0, 1]) == pytest.approx(FROZEN[estimator], rel=1e-12)
    assert float(alignment.procrustes_overlap(one, other)) == pytest.approx(FROZEN["overlap"], rel=1e-12)


@pytest.mark.parametrize("estimator", alignment.ESTIMATORS)
@pytest.mark.parametrize("stimuli", [30, 300])
def test_rotation_scale_and_shift_do_not_matter(estimator: str, stimuli: int) -> None:
    values = random(stimuli, 40)
    other = random(stimuli, 20, seed=1) + values[:, :20]
    found = cka_matrix((values, 3 * values @ rotation(40) + 100, other), estimator)
    np.testing.assert_allclose(found[0, 1], 1, rtol=1e-12)
    np.testing.assert_allclose(found[0, 2], found[1, 2], rtol=1e-10)
    single = cka_matrix([v.float() for v in (values, values + 1000, other)], estimator)
    np.testing.assert_allclose(single[0, 2], found[0, 2], rtol=1e-5)
    np.testing.assert_allclose(single[1, 2], found[0, 2], rtol=1e-3)  # float32 keeps 1000.0001


def test_independent_populations() -> None:
    """Debiased CKA is 0 in the mean; the biased one D / (N + D)."""
    found = {e: [] for e in alignment.ESTIMATORS}
    for seed in range(20):
        pair = random(60, 80, seed=seed), random(60, 80, seed=seed + 1000)
        for estimator, values in found.items():
            values.append(float(cka_matrix(pair, estimator)[0, 1]))
    assert np.mean(found["debiased"]) == pytest.approx(0, abs=0.01)
    assert np.mean(found["biased"]) == pytest.approx(80 / 140, abs=0.01)


def test_crossed_features_are_not_aligned() -> None:
    one = torch.tensor([[0.0], [0], [1], [1]])
    other = torch.tensor([[0.0], [1], [0], [1]])
    assert float(cka_matrix((one, other), "biased")[0, 1]) == 0
    assert float(alignment.procrustes_overlap(one[:, [0, 0]], other)) == 0


@pytest.mark.parametrize("estimator", alignment.ESTIMATORS)
def test_blocks_and_form_do_not_matter(estimator: str) -> None:
    for dtype, within in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        narrow = [random(400, 5, seed=s).relu().to(dtype) for s in (0, 1)]
        narrow[1][:, 0] += narrow[0][:, 0]
        wide = [torch.cat((a, torch.zeros(400, 800, dtype=dtype)), 1) for a in narrow]  # silent units
        whole = cka_matrix(narrow, estimator)  # by features
        for memory in (None, 100_000, 1):
            found = cka_matrix(wide, estimator, memory)  # by stimuli
            np.testing.assert_allclose(found, whole, rtol=within)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_areas_that_tell_nothing_apart(dtype: torch.dtype) -> None:
    for n in (20, 300):
        good = random(n, 30).to(dtype)
        dead = torch.full((n, 30), 0.1, dtype=dtype)
        outlier = dead.clone()
        outlier[3] = good[0]  # zero but for rounding when debiased
        for estimator in alignment.ESTIMATORS:
            found = cka_matrix((good, dead, outlier), estimator)
            assert found[1].isnan().all() and float(found[0, 0]) == pytest.approx(1)
            assert bool(found[2, 2].isnan()) == (estimator == "debiased")
        assert alignment.procrustes_overlap(good, dead).isnan()


def test_duplicates_and_whole_numbers() -> None:
    values = torch.randint(0, 256, (8, 5), generator=torch.Generator().manual_seed(0))
    twice = torch.cat((values, values))
    found = cka_matrix((twice, twice.double()))
    np.testing.assert_allclose(found, 1)


@pytest.mark.parametrize("estimator", alignment.ESTIMATORS)
def test_labels_of_cka(estimator: str) -> None:
    area, other = labelled(), labelled(4, seed=1)
    found = cka(area, other, estimator=estimator, device="cpu")
    assert found.dims == ("animal", "snapshot") and found["contexts_learned"].values.tolist() == [0, 2, 4]
    assert found.attrs["estimator"] == estimator and found.attrs["n_stimulus"] == 9
    over = cka_over(area, estimator=estimator, device="cpu")
    assert over.dims == ("animal", "snapshot", "other_snapshot")
    assert over["other_contexts_learned"].values.tolist() == [0, 2, 4]
    np.testing.assert_allclose(over, over.transpose("animal", "other_snapshot", "snapshot"))
    final = cka(area.isel(snapshot=2), area, estimator=estimator, device="cpu")
    np.testing.assert_allclose(final, over[:, 2], rtol=1e-12)
    assert final["contexts_learned"].dims == ("snapshot",)
    between = cka_over(area, other=other.isel(snapshot=[2, 0]), estimator=estimator, device="cpu")
    assert between.sizes == {"animal": 2, "snapshot": 3, "other_snapshot": 2}
    assert between["other_snapshot"].values.tolist() == [2, 0]
    np.testing.assert_allclose([between[0, 2, 0], between[0, 0, 1]], [found[0, 2], found[0, 0]], rtol=1e-12)
    animals = cka_over(area, "animal", estimator=estimator, device="cpu")
    assert animals.dims == ("snapshot", "animal", "other_animal")
    single = cka_matrix([torch.from_numpy(area.values[a, 1]) for a in (0, 1)], estimator)
    np.testing.assert_allclose(animals[1], single, rtol=1e-12)


def test_chunks_give_the_same() -> None:
    pytest.importorskip("dask")
    area = labelled()
    xr.testing.assert_identical(cka_over(area.chunk(snapshot=1), device="cpu"), cka_over(area, device="cpu"))


def test_procrustes_distance() -> None:
    area, other = labelled(), labelled(4, seed=1)
    turned = area.copy(data=2 * area.values @ rotation(6).numpy() - 1)
    np.testing.assert_allclose(procrustes_distance(area, turned, device="cpu"), 0, atol=1e-7)
    found = {m: procrustes_distance(area, other, measure=m, device="cpu") for m in ("chord", "angle")}
    np.testing.assert_allclose(found["chord"], 2 * np.sin(found["angle"] / 2), rtol=1e-9)
    assert found["angle"].attrs["units"] == "rad" and found["chord"].dims == ("animal", "snapshot")
    silent = xr.concat([other, 0 * other], "unit").assign_coords(unit=np.arange(8))
    np.testing.assert_allclose(procrustes_distance(area, silent, device="cpu"), found["chord"], rtol=1e-12)
    a, b, c = area[0, 0], area[0, 1], other[0, 0]
    for measure in ("chord", "angle"):
        ab, bc, ac = (
            float(procrustes_distance(p, q, measure=measure, device="cpu")) for p, q in ((a, b), (b, c), (a, c))
        )
        assert 0 < ac < ab + bc < 2 * np.sqrt(2)


def test_procrustes_align() -> None:
    centroids = labelled().isel(stimulus=slice(5)).rename(stimulus="item").drop_vars("original_class")
    last = centroids.isel(snapshot=2)
    moved = last.copy(data=0.5 * last.values @ rotation(6).numpy() + 3)
    rigid = procrustes_align(moved, last, items="item", device="cpu")
    np.testing.assert_allclose(rigid.mean("item"), last.mean("item"))
    np.testing.assert_allclose(rigid - rigid.mean("item"), 0.5 * (last - last.mean("item")), atol=1e-12)
    scaled = procrustes_align(moved, last, items="item", scale=True, device="cpu")
    np.testing.assert_allclose(scaled, last, atol=1e-12)
    whole = procrustes_align(centroids, last, items="item", device="cpu")
    assert whole.dims == ("animal", "snapshot", "item", "unit") and whole.name == "V4"
    assert whole["contexts_learned"].values.tolist() == [0, 2, 4] and whole["item"].values.tolist() == [0, 3, 6, 9, 12]
    np.testing.assert_allclose(whole.isel(snapshot=2), last, atol=1e-12)
    plane = procrustes_align(centroids, last.isel(unit=[0, 1]), items="item", device="cpu")
    assert plane.sizes["unit"] == 2
    np.testing.assert_allclose(align(torch.ones(3, 2), torch.eye(3), scale=True), torch.full((3, 3), 1 / 3), atol=1e-7)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda a: a.values, "labelled array"),
        (lambda a: a.rename(unit="neuron"), "no dimension 'unit'"),
        (lambda a: a.isel(stimulus=slice(8)), "differ along 'stimulus': 9 and 8"),
        (lambda a: a.assign_coords(stimulus=range(9)), "different coordinates along 'stimulus'"),
        (lambda a: a.where(a["snapshot"] < 2), "V4 holds NaN or infinite numbers at animal 12, snapshot 2"),
    ],
)
@pytest.mark.parametrize("measure", [cka, procrustes_distance])
def test_bad_arrays(measure: object, spoil: object, words: str) -> None:
    with pytest.raises(DataError, match=f"{measure.__name__}: .*{words}"):
        measure(labelled(), spoil(labelled()), device="cpu")


def test_bad_settings() -> None:
    area = labelled()
    few = area.isel(stimulus=slice(3))
    for measure in (lambda: cka(few, few), lambda: cka_over(few)):
        with pytest.raises(DataError, match=r"cka: needs at least 4 stimuli \(items\); got 3"):
            measure()
    two = area.isel(stimulus=slice(2))
    with pytest.raises(DataError, match="procrustes_distance: needs at least 3 stimuli"):
        procrustes_distance(two, two)
    with pytest.raises(DataError, match="procrustes_align: needs at least 3 stimuli"):
        procrustes_align(two, two, items="stimulus")
    with pytest.raises(DataError, match="cka_over: activity has no dimension 'snapshot'"):
        cka_over(area, other=area.isel(snapshot=0))
    with pytest.raises(DataError, match="no dimension 'original_class'"):
        procrustes_align(area, area)
    for measure in (lambda: cka(area, area, estimator="minibatch"), lambda: cka_over(area, estimator="minibatch")):
        with pytest.raises(SettingError, match=r"estimator: got 'minibatch', must be one of 'debiased', 'biased'"):
            measure()
    with pytest.raises(SettingError, match=r"procrustes_distance\.measure"):
        procrustes_distance(area, area, measure="cosine")
    with pytest.raises(DataError, match=r"of the same stimuli; got \[\(5, 2\), \(4, 2\)\]"):
        cka_matrix((random(5, 2), random(4, 2)))


@pytest.mark.gpu
def test_gpu() -> None:
    area, other = labelled(), labelled(4, seed=1)
    big = xr.DataArray(random(2, 500, 600).float().numpy(), dims=("snapshot", "stimulus", "unit"))
    for measure in (
        lambda d: cka(area, other, device=d),
        lambda d: cka_over(big, device=d),
        lambda d: procrustes_distance(area, other, device=d),
        lambda d: procrustes_align(area, area.isel(snapshot=0), items="stimulus", device=d),
    ):
        xr.testing.assert_allclose(measure("cpu"), measure("cuda"), rtol=1e-5)
