"""Fidelity of replay: closed forms, frozen numbers, labelled behaviour, replay in a log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from small import at_every_snapshot, brain, protocol, simulate
from torch import Tensor

import replaysim as rs
from analysis import fidelity as fi
from analysis import frechet, histograms
from analysis.readings import activity, replayed
from analysis.replay_fidelity import fidelity_by_class, replay_fidelity
from replaysim.errors import DataError, SettingError

FROZEN = {"frechet": 3.337176653055817, "kernel": 1.5401186837915564, "frechet_of_few": 7.816091098671153}
"""By SciPy's sqrtm, by the sums over all pairs of a kernel matrix, and by NumPy's singular values."""
QUICK: dict[str, Any] = {"clusters": 6, "clusterings": 3, "n_angles": 11, "device": "cpu"}


def cloud(n: int, units: int = 12, *, seed: int = 0, scale: float = 1.0) -> Tensor:
    values = np.random.default_rng(seed).normal(size=(n, units)) * scale
    return torch.from_numpy(values.astype(np.float32))


def two(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# Curves from histograms


def test_equal_histograms_have_full_precision_or_full_recall() -> None:
    same = two(0.2, 0.5, 0.3)
    precision, recall = histograms.prd_from_histograms(same, same)
    torch.testing.assert_close(torch.maximum(precision, recall), torch.ones(1001, dtype=torch.float64))
    assert [float(f) for f in histograms.f_scores(precision, recall)] == pytest.approx([1, 1], abs=1e-2)


def test_curves_in_closed_form() -> None:
    real, generated = two(0, 0.5, 0.25, 0.25), two(0.5, 0.5, 0, 0)
    precision, recall = histograms.prd_from_histograms(real, generated)
    assert float(precision.max()) == pytest.approx(0.5) and float(recall.max()) == pytest.approx(0.5)
    slope = histograms.angles().tan()
    torch.testing.assert_close(precision, torch.minimum(slope / 2, torch.full_like(slope, 0.5)))
    swapped = histograms.prd_from_histograms(generated, real)  # precision and recall change places
    torch.testing.assert_close(swapped[0].flip(0), recall, rtol=1e-5, atol=1e-9)
    apart = histograms.prd_from_histograms(two(1, 0), two(0, 1))
    assert not apart[0].any() and not apart[1].any()
    assert [float(f) for f in histograms.f_scores(*apart)] == [0, 0]


def test_f_scores_weigh_recall_and_precision() -> None:
    f8, f_eighth = histograms.f_scores(two(1, 0.1), two(0.5, 0.1))
    assert float(f8) == pytest.approx(65 * 0.5 / 64.5) and float(f_eighth) == pytest.approx(
        65 / 64 * 0.5 / (1 / 64 + 0.5)
    )
    assert f8 < f_eighth


def test_what_are_no_histograms() -> None:
    with pytest.raises(DataError, match="divide each histogram by its sum"):
        histograms.prd_from_histograms(two(3, 5), two(2, 6))
    with pytest.raises(DataError, match="none below 0"):
        histograms.prd_from_histograms(two(0.5, 0.5), two(1, 0, 0))
    with pytest.raises(SettingError, match="n_angles"):
        histograms.prd_from_histograms(two(1), two(1), n_angles=1)


# Clusters


def test_the_same_seed_gives_the_same_clusters() -> None:
    points = cloud(200)
    one, again, other = (histograms.kmeans(points, 5, restarts=2, seed=s) for s in (3, 3, 4))
    assert torch.equal(one.labels, again.labels) and torch.equal(one.inertia, again.inertia)
    assert not torch.equal(one.labels, other.labels)
    assert not torch.equal(one.labels[0], one.labels[1]), "restarts are independent"


def test_clusters_do_not_depend_on_where_the_origin_is() -> None:
    points = cloud(100).double().round(decimals=2).float()
    near, far = histograms.kmeans(points, 4, restarts=2), histograms.kmeans(points + 4096, 4, restarts=2)
    assert float(far.inertia.min()) == pytest.approx(float(near.inertia.min()), rel=1e-3)


def test_fewer_different_patterns_than_clusters() -> None:
    points = cloud(3).repeat(7, 1)
    found = histograms.kmeans(points, 5, restarts=4)
    torch.testing.assert_close(found.inertia, torch.zeros(4, dtype=torch.float64), atol=1e-9, rtol=0)
    for labels in found.labels:
        assert len({tuple(labels[i::3].tolist()) for i in range(3)}) == 3


def test_a_cluster_without_samples_starts_again_far_away() -> None:
    points = torch.tensor([[0.0], [1.0], [9.0]])
    labels = torch.tensor([[0, 0, 0]])
    found = histograms._means(points, points.square().sum(1), labels, torch.tensor([[[0.5], [77.0]]]))
    np.testing.assert_allclose(found.flatten(), [10 / 3, 9])


def test_more_clusters_than_samples_are_refused() -> None:
    with pytest.raises(SettingError, match=r"kmeans\.clusters: got 20, must be at most the number of samples, 10"):
        histograms.pooled_histograms(cloud(5), cloud(5))
    with pytest.raises(DataError, match="of the same units"):
        histograms.pooled_histograms(cloud(5), cloud(5, 3), clusters=2)


def test_different_numbers_of_samples_have_no_comparable_histograms() -> None:
    with pytest.raises(DataError, match=r"equally many .* got 30 and 40: leave some out first, e\.g\. with \.isel"):
        histograms.prd_curves(cloud(30), cloud(40))


def test_curves_average_clusterings_at_equal_angle() -> None:
    real, generated = cloud(60), cloud(60, seed=1, scale=0.5)
    found = histograms.prd_curves(real, generated, clusters=6, clusterings=3, n_angles=21)
    single = histograms.prd_from_histograms(
        *histograms.pooled_histograms(real, generated, clusters=6, clusterings=3), n_angles=21
    )
    torch.testing.assert_close(found["recall"], single[1].mean(0))
    scores = histograms.f_scores(*single)
    torch.testing.assert_close(found["f8_sd"], scores[0].std())
    assert torch.isnan(histograms.prd_curves(real, generated, clusters=6, clusterings=1)["f8_sd"])
    assert float(found["f8"]) < 0.95


# Frechet and kernel distance, inception score


def test_frechet_in_closed_form() -> None:
    found = frechet.frechet_from_moments(two(0, 0, 0), two(1, 4, 9).diag(), two(1, 2, 0), two(4, 1, 9).diag())
    assert float(found) == pytest.approx(7)


@pytest.mark.parametrize(("n", "m"), [(40, 60), (6, 8), (6, 60), (60, 6)])
def test_frechet_has_one_value_however_it_is_computed(n: int, m: int) -> None:
    real, generated = cloud(n), cloud(m, seed=1, scale=1.5) + 0.3
    found = float(frechet.frechet_distance(real, generated))
    through = frechet.frechet_from_moments(*frechet.moments(real), *frechet.moments(generated))
    assert found == pytest.approx(float(through), rel=1e-7)
    assert found == pytest.approx(float(frechet.frechet_distance(generated, real)), rel=1e-9)
    assert found == pytest.approx(float(frechet.frechet_distance(real, generated, memory=1)), rel=1e-10)
    turn = torch.linalg.qr(cloud(12).double())[0]
    turned = frechet.frechet_distance(real.double() @ turn + 5, generated.double() @ turn + 5)
    assert found == pytest.approx(float(turned), rel=1e-7)
    assert float(frechet.frechet_distance(real, real)) == pytest.approx(0, abs=1e-6)


def test_frozen_distances() -> None:
    real, generated = cloud(40).abs(), cloud(30, seed=1, scale=1.5).abs()
    found = frechet.frechet_distance(real, generated), frechet.kernel_distance(real, generated)
    assert [float(f) for f in found] == pytest.approx([FROZEN["frechet"], FROZEN["kernel"]], rel=1e-6)
    few = frechet.frechet_distance(real[:8], generated[:7])
    assert float(few) == pytest.approx(FROZEN["frechet_of_few"], rel=1e-9)


def test_constant_units_count_by_their_means() -> None:
    real, generated = cloud(50), cloud(50, seed=1)
    without = float(frechet.frechet_distance(real, generated))
    real, generated = (torch.cat((x, torch.full((50, 1), v)), 1) for x, v in ((real, 0.1), (generated, 2.1)))
    assert float(frechet.frechet_distance(real, generated)) == pytest.approx(without + 4, rel=1e-6)
    still = torch.ones(50, 13)
    total = real.double().var(0).sum() + (real.double().mean(0) - 1).square().sum()
    assert float(frechet.frechet_distance(real, still)) == pytest.approx(float(total), rel=1e-9)
    assert float(frechet.frechet_distance(still, still + 1)) == pytest.approx(13)


def test_moments_far_from_the_origin_and_of_many_units() -> None:
    x = torch.randn(600, 530, generator=torch.Generator().manual_seed(0)) + 1e4
    mean, covariance = frechet.moments(x, memory=1_000_000)
    np.testing.assert_allclose(covariance, np.cov(x.double().numpy(), rowvar=False), atol=1e-10)
    np.testing.assert_allclose(mean, x.double().mean(0))
    wanted = frechet._sandwich(torch.linalg.cholesky(covariance), covariance)  # more than one block of units
    lower = torch.linalg.cholesky(covariance)
    np.testing.assert_allclose(wanted.tril(), (lower.T @ covariance @ lower).tril(), atol=1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: frechet.frechet_distance(cloud(1), cloud(5)), r"real: at least two samples .* \(1, 12\)"),
        (lambda: frechet.kernel_distance(cloud(5), cloud(5)[0]), "generated: at least two samples"),
        (lambda: frechet.frechet_distance(cloud(5), cloud(5, 3)), "different units: 12 and 3"),
        (lambda: frechet.frechet_from_moments(two(0), two(1, 1), two(0), two(1, 1)), "means .* covariances"),
        (
            lambda: frechet.frechet_from_moments(two(0), two(1).diag(), two(0), two(float("nan")).diag()),
            "NaN or infinite",
        ),
        (
            lambda: frechet.frechet_from_moments(
                two(0, 0), two(1, 1).diag(), two(0, 0), torch.tensor([[1, 0.5], [0, 1]])
            ),
            "not symmetric",
        ),
        (lambda: frechet.inception_score(two(0.5, 0.5)), "sample, class"),
        (lambda: frechet.inception_score(cloud(3)), "take the softmax"),
    ],
)
def test_bad_samples_are_named(call: Callable[[], Tensor], words: str) -> None:
    with pytest.raises(DataError, match=words):
        call()


def test_kernel_distance_in_closed_form() -> None:
    real, generated = two(0, 1, 3)[:, None], two(2, -1)[:, None]
    k = lambda x, y: (x * y + 1) ** 3  # noqa: E731
    within = (2 * k(0, 1) + 2 * k(0, 3) + 2 * k(1, 3)) / 6 + k(2, -1)
    between = sum(k(x, y) for x in (0, 1, 3) for y in (2, -1)) / 6
    for memory in (None, 1, 100):
        assert float(frechet.kernel_distance(real, generated, memory=memory)) == pytest.approx(within - 2 * between)


def test_kernel_distance_is_unbiased() -> None:
    found = [float(frechet.kernel_distance(cloud(8, seed=2 * s), cloud(9, seed=2 * s + 1))) for s in range(200)]
    assert abs(np.mean(found)) < 3 * np.std(found) / 200**0.5
    assert min(found) < 0


def test_inception_in_closed_form() -> None:
    assert float(frechet.inception_score(torch.full((7, 4), 0.25))) == pytest.approx(1)
    assert float(frechet.inception_score(torch.eye(4).repeat(3, 1))) == pytest.approx(4)
    assert float(frechet.inception_score(torch.eye(4)[:1].repeat(3, 1))) == pytest.approx(1)


# Labelled


def real_samples(n: int = 40) -> xr.DataArray:
    values = np.stack([cloud(n, seed=s).numpy() for s in (1, 2)])
    coords = {"animal": [12, 13], "stimulus": np.arange(n) * 3, "original_class": ("stimulus", np.arange(n) % 4)}
    return xr.DataArray(values, coords, ("animal", "stimulus", "unit"), name="real")


def generated_samples(n: int = 30) -> xr.DataArray:
    values = np.stack([[cloud(n, seed=10 * s + k, scale=0.8).numpy() for k in (1, 2, 3)] for s in (1, 2)])
    dims = ("animal", "contexts_learned", "event", "unit")
    return xr.DataArray(values, {"animal": [12, 13], "contexts_learned": [2, 3, 4]}, dims, name="generated")


def test_every_measure_has_its_reference_at_equal_numbers() -> None:
    real, generated = real_samples(), generated_samples()
    found = fi.fidelity(real, generated, **QUICK)
    names = {name for names in fi.MEASURES.values() for name in names}
    assert set(found.data_vars) == names | {f"reference_{name}" for name in names}
    for name in found.data_vars:
        curve = str(name).removeprefix("reference_") in ("precision", "recall")
        assert found[name].dims == ("animal", "contexts_learned", *(["angle"] if curve else []))
        assert found[name].notnull().all()
        assert found[name].attrs["units"] == "1" and found[name].attrs["long_name"]
    assert {n: found.attrs[n] for n in ("n_real", "n_generated", "n_reference")} == dict.fromkeys(
        ("n_real", "n_generated", "n_reference"), 20
    )
    assert found.attrs["real_available"] == 40 and found.attrs["generated_available"] == 30
    every = [found.attrs, found["angle"].attrs, *(found[name].attrs for name in found.data_vars)]
    assert all(isinstance(v, (str, int, float)) and not isinstance(v, bool) for a in every for v in a.values())
    xr.testing.assert_identical(found["animal"].drop_attrs(), generated["animal"])
    assert found["improved_precision"].attrs["sense"] != found["precision"].attrs["sense"]
    assert found["density"].attrs["k"] == 5 and found["improved_recall"].attrs["k"] == 3


def test_values_are_those_of_the_kernels_on_disjoint_halves() -> None:
    """A marker unit tells which samples were compared."""
    s = fi.Settings(measures=["scale"])
    real, generated = torch.arange(1, 41.0)[:, None], torch.arange(101, 131.0)[:, None]
    seen: list[tuple[set[float], set[float]]] = []

    def compare(r: Tensor, g: Tensor, settings: fi.Settings) -> dict[str, Tensor]:
        seen.append((set(r.flatten().tolist()), set(g.flatten().tolist())))
        return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fi, "compare", compare)
        fi.compare_drawn(real, generated, 20, s)
        fi.reference(real, 20, s)
    (one, other), (again, rest) = seen
    assert one == again and not one & rest and one | rest == set(real.flatten().tolist())
    assert len(other) == 20 and min(other) > 100


def test_a_slice_is_what_the_kernels_give() -> None:
    real, generated = real_samples(), generated_samples()
    s = fi.Settings(**QUICK)
    one = torch.from_numpy(real.values[1]), torch.from_numpy(generated.values[1, 2])
    wanted = fi.compare_drawn(*one, 20, s) | fi.reference(one[0], 20, s)
    found = fi.fidelity(real, generated, **QUICK).isel(animal=1, contexts_learned=2)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, err_msg=name)
    changed = fi.fidelity(real, generated, seed=1, **QUICK).isel(animal=1, contexts_learned=2)
    assert float(changed["reference_frechet"]) != float(found["reference_frechet"])
    fewer = fi.fidelity(real, generated, samples=15, **QUICK)
    assert fewer.attrs["n_real"] == 15 and float(fewer["frechet"].mean()) > float(found["frechet"])


def test_one_set_of_real_samples_serves_all_animals() -> None:
    real, generated = real_samples().isel(animal=0, drop=True), generated_samples()
    found = fi.fidelity(real, generated, measures="kernel", device="cpu")
    assert found["reference_kernel"].dims == ("animal", "contexts_learned")
    assert np.unique(found["reference_kernel"]).size == 1 and np.unique(found["kernel"]).size == 6


def test_shrunk_activity_shows_in_the_ratios() -> None:
    real = real_samples()
    half = (real / 2).rename(stimulus="event").isel(event=slice(20))
    found = fi.fidelity(real, half, measures=["scale"], device="cpu")
    np.testing.assert_allclose(found["norm_ratio"], 0.5, atol=0.05)
    np.testing.assert_allclose(found["trace_ratio"], 0.25, atol=0.05)
    np.testing.assert_allclose(found["reference_norm_ratio"], 1, atol=0.15)


def test_single_measures_take_all_samples() -> None:
    real, generated = real_samples(), generated_samples().isel(contexts_learned=0)
    r, g = (torch.from_numpy(x.values[0]) for x in (real, generated))
    assert float(fi.frechet(real, generated)[0]) == pytest.approx(float(frechet.frechet_distance(r, g)), rel=1e-9)
    assert float(fi.kernel(real, generated)[0]) == pytest.approx(float(frechet.kernel_distance(r, g)), rel=1e-9)
    near = fi.precision_recall(real, generated, 2, 4, strict=True)
    assert near["density"].attrs["k"] == 4 and near["density"].attrs["strict"] == 1
    assert near["improved_precision"].attrs["n_real"] == 40 and near["coverage"].attrs["n_generated"] == 30
    assert near["improved_recall"].dims == ("animal",)
    curves = fi.prd(real.isel(stimulus=slice(30)), generated, clusters=6)
    assert curves["precision"].dims == ("animal", "angle") and curves["f8"].attrs["kmeans_seed"] == 0
    exact = fi.frechet(real.astype(np.float64), generated)
    assert exact.attrs["compute_dtype"] == "float64"


def test_perfect_and_hopeless_generators() -> None:
    real = real_samples(20)
    found = fi.precision_recall(real, real.rename(stimulus="event"))
    for name in ("improved_precision", "improved_recall", "coverage"):
        np.testing.assert_array_equal(found[name], 1)
    found = fi.precision_recall(real, (real + 100).rename(stimulus="event"))
    for name in found.data_vars:
        np.testing.assert_array_equal(found[name], 0)


def test_whole_numbers_and_other_names_of_dimensions() -> None:
    counts = (real_samples() * 10).round()
    args = {"real_dim": "trial", "generated_dim": "draw", "device": "cpu", "measures": ["precision_recall", "frechet"]}
    real, generated = counts.rename(stimulus="trial"), counts.rename(stimulus="draw")
    whole = fi.fidelity(real.astype(int), generated.astype(np.int16), **args)
    xr.testing.assert_allclose(whole, fi.fidelity(real, generated, **args))


def test_inception_of_labelled_probabilities() -> None:
    p = xr.DataArray(np.eye(3)[None].repeat(2, 0), {"animal": [1, 2]}, ("animal", "event", "class"))
    found = fi.inception(p)
    np.testing.assert_allclose(found, 3)
    assert found.dims == ("animal",) and found.attrs["n_generated"] == 3
    with pytest.raises(DataError, match="inception: probabilities has no dimension 'class'"):
        fi.inception(p.rename({"class": "answer"}))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda r, g: fi.fidelity(r.values, g), "real must be a labelled array"),
        (lambda r, g: fi.fidelity(r, g.rename(event="trial")), r"generated has no dimension 'event'"),
        (lambda r, g: fi.fidelity(r, g.isel(unit=slice(5))), "fidelity: the arrays differ along 'unit': 12 and 5"),
        (lambda r, g: fi.fidelity(r, g.assign_coords(animal=[12, 14])), "different coordinates along 'animal'"),
        (lambda r, g: fi.fidelity(r.where(r["animal"] < 13), g, **QUICK), "real holds NaN .* at animal 13"),
        (lambda r, g: fi.fidelity(r, g.where(g["event"] > 1), **QUICK), "generated holds NaN"),
        (lambda r, g: fi.fidelity(r, g, k_density=20), "fidelity: 42 real and 21 generated .* k_density = 20"),
        (
            lambda r, g: fi.fidelity(r, g, samples=21),
            "fidelity: 42 real and 21 generated .* got 40 and 30. Record more",
        ),
        (lambda r, g: fi.fidelity(r, g, clusters=50), "50 real and 25 generated .* clusters = 50"),
        (lambda r, g: fi.precision_recall(r, g, k=30), "precision_recall: 31 real and 31 generated"),
        (lambda r, g: fi.prd(r, g), "got 40 and 30: leave some out"),
        (lambda r, g: fi.frechet(r, g.isel(event=[0])), "frechet: 2 real and 2 generated"),
    ],
)
def test_bad_arrays_are_named(call: Callable[[xr.DataArray, xr.DataArray], Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        call(real_samples(), generated_samples().assign_coords(event=np.arange(30)))


def test_bad_settings_are_named() -> None:
    real, generated = real_samples(), generated_samples()
    with pytest.raises(SettingError, match=r"fidelity\.measures: got 'fid', must be one of 'precision_recall'"):
        fi.fidelity(real, generated, measures=["fid"])
    with pytest.raises(SettingError, match=r"fidelity\.k: got 0"):
        fi.precision_recall(real, generated, 0)
    with pytest.raises(SettingError, match=r"fidelity\.samples: got 3, must be a whole number >= 10"):
        fi.fidelity(real, generated, samples=3)
    with pytest.raises(SettingError, match=r"fidelity\.measures: got ''"):
        fi.fidelity(real, generated, measures=[])


# By class


def classes_of_events() -> xr.DataArray:
    """Three classes for one animal, two for the other; the last six events are of no class."""
    values = np.stack([np.arange(30) % 3, np.arange(30) % 2])
    values[:, -6:] = -1
    return xr.DataArray(values, {"animal": [12, 13]}, ("animal", "event"))


def test_a_class_is_measured_by_itself() -> None:
    real, generated = real_samples(48), generated_samples()
    labels = classes_of_events()
    found = fidelity_by_class(real, generated, real["original_class"], labels)
    assert found["original_class"].values.tolist() == [0, 1, 2, 3]
    assert found["kernel"].dims == ("animal", "contexts_learned", "original_class")
    assert "f8" not in found, "not by class unless asked for"
    np.testing.assert_array_equal(found["generated_available"].isel(contexts_learned=0), [[8, 8, 8, 0], [12, 12, 0, 0]])
    assert (found["real_available"] == 12).all()
    np.testing.assert_array_equal(found["n"].isel(contexts_learned=1), [[6, 6, 6, 0], [6, 6, 0, 0]])
    for name in ("frechet", "reference_density", "coverage", "norm_ratio"):
        np.testing.assert_array_equal(found[name].isnull(), found["n"] == 0)
    one = labels.sel(animal=13) == 1
    alone = fi.fidelity(
        real.sel(animal=[13]).isel(stimulus=real["original_class"].values == 1),
        generated.sel(animal=[13]).isel(event=one.values),
        measures=["precision_recall", "frechet", "kernel", "scale"],
    )
    chosen = found.sel(animal=[13], original_class=1)
    for name in alone.data_vars:
        np.testing.assert_allclose(chosen[name], alone[name], rtol=1e-5, atol=1e-9, err_msg=str(name))


def test_chosen_classes_with_curves_and_equal_numbers() -> None:
    real, generated = real_samples(48), generated_samples()
    args = (real, generated, real["original_class"], classes_of_events())
    found = fidelity_by_class(*args, [1, 0], measures=["prd"], dim="kind", samples=4, **QUICK)
    assert found["precision"].dims == ("animal", "contexts_learned", "kind", "angle")
    assert found["kind"].values.tolist() == [1, 0] and (found["n"] == 4).all()


def test_empty_classes_are_named() -> None:
    real, generated = real_samples(48), generated_samples()
    label, events = real["original_class"], classes_of_events()
    with pytest.raises(DataError, match=r"no real sample is of class 9; there are \[0, 1, 2, 3\]"):
        fidelity_by_class(real, generated, label, events, [0, 9])
    with pytest.raises(DataError, match=r"no generated sample is of class 3; there are \[0, 1, 2\]"):
        fidelity_by_class(real, generated, label, events, [3])
    with pytest.raises(DataError, match="no generated sample has a class"):
        fidelity_by_class(real, generated, label, events * 0 - 1)
    with pytest.raises(DataError, match="real_class must hold whole numbers"):
        fidelity_by_class(real, generated, label * 1.0, events)
    with pytest.raises(DataError, match="real_class has no dimension 'stimulus'"):
        fidelity_by_class(real, generated, events, events)
    with pytest.raises(DataError, match=r"fidelity_by_class: 18 real and 9 generated .* got 12 and 12"):
        fidelity_by_class(real, generated, label, events, k_density=8)


# Replay in a log


@pytest.fixture(scope="module")
def log() -> xr.DataTree:
    return lived()


def lived(scenario: str = "class", **kwargs: Any) -> xr.DataTree:
    own = protocol(scenario, each=60)
    record = [rs.CorticalActivity("retina", stimuli=200), rs.ReplayActivity(events=60)]
    more = {"protocol": own, "brain": brain(own), "record": record, "replay": rs.GenerativeReplay(), **kwargs}
    return simulate(scenario, animals=(12, 13), **more).log


def test_replay_against_the_contexts_met_before(log: xr.DataTree) -> None:
    found = replay_fidelity(log, **QUICK)
    assert found["frechet"].dims == ("animal", "contexts_learned") and found["contexts_learned"].values.tolist() == [
        2,
        3,
    ]
    assert found.attrs["area"] == "retina" and found["frechet"].notnull().all()
    events, seen = replayed(log), activity(log, "retina")
    met = seen["context"].sel(animal=13).values <= 2
    at = {"snapshot": int(np.flatnonzero(seen["contexts_learned"] == 2)[0])} if "snapshot" in seen.dims else {}
    real = seen.sel(animal=13).isel(stimulus=met, **at)
    wanted = fi.fidelity(real, events["activity"].sel(animal=13, contexts_learned=3), **QUICK)
    one = found.sel(animal=13, contexts_learned=3)
    assert int(one["n"]) == wanted.attrs["n_real"] and int(one["real_available"]) == met.sum()
    for name in wanted.data_vars:
        np.testing.assert_allclose(one[name], wanted[name], rtol=1e-5, atol=1e-9, err_msg=str(name))


def test_the_snapshot_is_the_one_when_the_context_began(log: xr.DataTree) -> None:
    """Waking activity is made to tell its snapshot: only norms of that one may come out."""
    changed = at_every_snapshot(log)
    group = changed["cortex/retina"]
    steps = xr.DataArray([1.0, 10.0, 100.0, 1000.0], dims="snapshot")
    noise = 1 + 0.01 * np.random.default_rng(0).normal(size=group["activity"].shape)
    group["activity"] = (group["activity"] * 0 + steps) * noise.astype(np.float32)
    found = replay_fidelity(changed, measures=["scale"])
    mean = np.sqrt((replayed(log)["activity"] ** 2).sum("unit")).mean("event")
    length = found["norm_ratio"] * 16**0.5 * xr.DataArray([10.0, 100.0], dims="contexts_learned")
    np.testing.assert_allclose(length, mean, rtol=0.2)


def test_replay_by_age_and_by_class(log: xr.DataTree) -> None:
    by_age = replay_fidelity(log, by="memory_age", measures=["kernel"])
    assert by_age["kernel"].dims == ("animal", "contexts_learned", "memory_age")
    assert by_age["memory_age"].values.tolist() == [1, 2]
    assert (by_age["n"].sel(contexts_learned=2, memory_age=2) == 0).all()
    assert (by_age["n"].sel(contexts_learned=3) > 5).all()
    found = replay_fidelity(log, by="original_class")
    assert found["coverage"].dims == ("animal", "contexts_learned", "original_class")
    seen = activity(log, "retina")
    for animal in (12, 13):
        label, context = seen["original_class"].values, seen["context"].sel(animal=animal).values
        first, second = ({int(c) for c in label[context == k]} for k in (1, 2))
        measured = found["n"].sel(animal=animal) > 0
        for learning, met in ((2, first), (3, first | second)):
            one = measured.sel(contexts_learned=learning)
            assert set(one["original_class"].values[one.values].tolist()) == met


def test_a_log_on_disk_is_read_slice_by_slice(log: xr.DataTree, tmp_path: Path) -> None:
    log.to_netcdf(tmp_path / "run.nc")
    with xr.open_datatree(tmp_path / "run.nc") as lazy:
        found = replay_fidelity(lazy, **QUICK)
        assert not lazy["cortex/retina"]["activity"].variable._in_memory
    xr.testing.assert_allclose(found, replay_fidelity(log, **QUICK))
    pytest.importorskip("dask")
    chunked = log["replay"]["activity"].chunk(animal=1)
    real = activity(log, "retina").chunk(animal=1)
    quick = {**QUICK, "measures": ["frechet"]}
    xr.testing.assert_allclose(fi.fidelity(real, chunked, **quick), fi.fidelity(real.load(), chunked.load(), **quick))


def test_activity_that_never_changes_is_stored_once(log: xr.DataTree) -> None:
    assert "snapshot" not in activity(log, "retina").dims
    often = at_every_snapshot(log)
    assert activity(often, "retina").sizes["snapshot"] == 4
    xr.testing.assert_allclose(
        replay_fidelity(often, measures="frechet"), replay_fidelity(log, measures="frechet"), rtol=1e-4
    )


def test_what_a_log_does_not_hold_is_named(log: xr.DataTree) -> None:
    with pytest.raises(
        DataError, match=r"re-entered at 'retina', not at 'association_1', which has other units\. To compare"
    ):
        replay_fidelity(log, "association_1")
    with pytest.raises(SettingError, match=r"replay_fidelity\.by: got 'class'"):
        replay_fidelity(log, by="class")
    bare = log.copy()
    bare["cortex"] = xr.DataTree(children={"association_1": log["cortex/retina"].copy()})
    with pytest.raises(DataError, match=r"'retina', whose waking activity was not recorded; .*CorticalActivity\(\"ret"):
        replay_fidelity(bare)
    often = at_every_snapshot(log)
    late = log.copy()
    late["cortex"] = xr.DataTree(
        often["cortex"].to_dataset().isel(snapshot=[0, 2, 3]),
        children={"retina": xr.DataTree(often["cortex/retina"].to_dataset(inherit=False).isel(snapshot=[0, 2, 3]))},
    )
    with pytest.raises(DataError, match="no snapshot from when context 2 began, after 1 contexts"):
        replay_fidelity(late)
    with pytest.raises(DataError, match="replay_fidelity: 160 real and 80 generated"):
        replay_fidelity(log, samples=80)


def test_in_the_domain_scenario_classes_have_no_name() -> None:
    log = lived("domain")
    with pytest.raises(
        DataError, match=r"no replay event says its original_class .* gates_by='context', .*\); take by=None"
    ):
        replay_fidelity(log, by="original_class")
    assert replay_fidelity(log, measures="kernel")["kernel"].notnull().all()


@pytest.mark.gpu
def test_the_same_on_a_gpu() -> None:
    real, generated = real_samples(), generated_samples()
    near = fi.fidelity(real, generated, **QUICK)
    far = fi.fidelity(real, generated, **{**QUICK, "device": "cuda"})
    xr.testing.assert_allclose(near, far, rtol=1e-4, atol=1e-5)


def test_settings_that_do_not_exist_are_named() -> None:
    values = xr.DataArray(np.zeros((30, 4)), dims=("stimulus", "unit"))
    with pytest.raises(SettingError, match=r"fidelity\.settings: got 'measure', must be one of 'measures', 'k'"):
        fi.fidelity(values, values.rename(stimulus="event"), measure="prd")
