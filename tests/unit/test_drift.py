"""Drift that was made by hand: turns of known angles, growth, shifts, subspaces, readouts that must fail."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from small import protocol, simulate

import replaysim as rs
from analysis import decoding, drift, readings, subspaces
from replaysim.errors import DataError, SettingError

SQUARE = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0], [-1.0, 1.0]])  # four classes around 0, a spread of sqrt(2)
ANGLES = ("rotation", "principal_angle")

MEASURES = {
    "centroid_drift": drift.centroid_drift,
    "stimulus_drift": drift.stimulus_drift,
    "drift_by_age": drift.drift_by_age,
    "subspace_overlap": subspaces.subspace_overlap,
    "cross_context_decoding": decoding.cross_context_decoding,
}


def turn(degrees: float, units: int = 6, plane: tuple[int, int] = (0, 1)) -> np.ndarray:
    found, angle = np.eye(units), np.deg2rad(degrees)
    found[np.ix_(plane, plane)] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    return found


def flat(units: int = 6) -> np.ndarray:
    """The square in the first two of some units."""
    return np.pad(SQUARE, ((0, 0), (0, units - 2)))


def activity(*centroids: np.ndarray, each: int = 2, noise: float = 0.5, animals: int = 1) -> xr.DataArray:
    """Snapshots with these class centroids (class, unit); stimuli lie around them, a context of two classes each."""
    classes, units = centroids[0].shape
    around = np.random.default_rng(0).normal(0, noise, (classes, each, units))
    around -= around.mean(1, keepdims=True)
    patterns = np.stack([(c[:, None] + around).reshape(-1, units) for c in centroids])
    label = np.repeat(np.arange(classes), each)
    return xr.DataArray(
        np.stack([patterns] * animals),
        dims=("animal", "snapshot", "stimulus", "unit"),
        coords={
            "animal": range(12, 12 + animals),
            "snapshot": range(len(centroids)),
            "contexts_learned": ("snapshot", range(len(centroids))),
            "original_class": ("stimulus", 10 * label),
            "context": (("animal", "stimulus"), np.stack([label // 2 + 1] * animals)),
        },
        name="made_up",
    )


def changes(*centroids: np.ndarray, **kwargs: object) -> dict[str, float]:
    found = drift.centroid_drift(activity(*centroids), device="cpu", **kwargs).isel(animal=0, snapshot=-1)
    return {name: float(found[name]) for name in drift.CHANGES}


def assert_changes(found: dict[str, float], **wanted: float) -> None:
    nothing = {"translation": 0, "scaling": 1, "norm_scaling": 1, "rotation": 0, "principal_angle": 0, "residual": 0}
    for name, value in {**nothing, **wanted}.items():
        assert found[name] == pytest.approx(value, abs=2e-6), name


@pytest.mark.parametrize("degrees", [0, 30, 90, 150])
def test_a_turn_within_the_plane_of_the_classes(degrees: float) -> None:
    assert_changes(changes(flat(), flat() @ turn(degrees)), rotation=degrees)


def test_a_turn_out_of_the_plane() -> None:
    found = changes(flat(), flat() @ turn(40, plane=(1, 2)))
    half = np.rad2deg(np.arccos((1 + np.cos(np.deg2rad(40))) / 2))  # half of the variance turned, half did not
    assert_changes(found, rotation=half, principal_angle=20)
    assert_changes(
        changes(flat(), flat() @ turn(90, plane=(0, 2)) @ turn(90, plane=(1, 3))), rotation=90, principal_angle=90
    )


def test_growth_and_shift() -> None:
    assert_changes(changes(flat(), 2 * flat()), scaling=2, norm_scaling=2)
    away = np.array([0, 0, 3, 0, 0, 4.0])
    assert_changes(changes(flat(), flat() + away), translation=5 / 2**0.5, norm_scaling=27**0.5 / 2**0.5)
    assert_changes(changes(flat() + away, 3 * flat() + away), scaling=3, norm_scaling=43**0.5 / 27**0.5)
    everything = changes(flat() + away, 2 * flat() @ turn(30) + away)
    assert_changes(everything, scaling=2, rotation=30, norm_scaling=33**0.5 / 27**0.5)


def test_what_is_left_after_procrustes() -> None:
    rectangle = flat() * np.array([2, 1, 1, 1, 1, 1])
    found = changes(flat(), rectangle)
    assert found["residual"] == pytest.approx(1 - (2 + 1) ** 2 / (2 * 5))  # sum of stretches, squared, over both sizes
    assert found["rotation"] == pytest.approx(0, abs=1e-5) and found["principal_angle"] == pytest.approx(0, abs=1e-5)


def test_it_does_not_matter_which_units_carry_it() -> None:
    chance = np.random.default_rng(2)
    one, other = chance.normal(size=(2, 7, 5))
    other = one + 0.3 * other
    embedding = np.linalg.qr(chance.normal(size=(300, 5)))[0].T
    few, many = changes(one, other), changes(one @ embedding, other @ embedding)
    assert few == pytest.approx(many, abs=1e-6)
    assert 0 < few["rotation"] < 90 and 0 < few["residual"] < 1


def test_references() -> None:
    steps = [flat() * (1 + s) for s in range(4)]
    values = activity(*steps)
    previous, first = (drift.centroid_drift(values, reference=r, device="cpu")["scaling"][0] for r in ("previous", 0))
    np.testing.assert_allclose(previous, [np.nan, 2, 3 / 2, 4 / 3])
    np.testing.assert_allclose(first, [1, 2, 3, 4])
    met = drift.centroid_drift(values, only_met=True, device="cpu")
    np.testing.assert_array_equal(np.isnan(met["scaling"][0]), [True, True, False, False])
    np.testing.assert_array_equal(np.isnan(met["pattern_correlation"][0, 2]), [False, False, True, True])
    assert first.attrs["reference"] == 0 and previous.attrs["reference"] == "previous"


def test_every_class_since_it_was_learned() -> None:
    chance = np.random.default_rng(1)
    steps = [chance.normal(size=(4, 6)) for _ in range(4)]
    found = drift.centroid_drift(activity(*steps), reference="learned", device="cpu").isel(animal=0)
    assert np.isnan(found["translation"][0])
    assert_changes({n: float(found[n][1]) for n in drift.CHANGES})  # only the first two classes, just learned
    then = np.concatenate([steps[1][:2], steps[2][2:]])
    by_hand = drift.configuration_change(torch.tensor(steps[3]), torch.tensor(then))
    for name, value in by_hand.items():
        assert float(found[name][3]) == pytest.approx(float(value), rel=1e-9)
    wanted = [np.corrcoef(steps[3][c], then[c])[0, 1] for c in range(4)]
    np.testing.assert_allclose(found["pattern_correlation"][3], wanted, rtol=1e-9)
    assert found["original_class"].values.tolist() == [0, 10, 20, 30]


def test_classes_of_each_animal() -> None:
    values = activity(*(np.random.default_rng(s).normal(size=(4, 6)) for s in range(3)), animals=2)
    values["context"][1] = values["context"][1, ::-1].values
    by_context = drift.centroid_drift(values, by="context", device="cpu")
    assert by_context["pattern_correlation"].dims == ("animal", "snapshot", "context")
    same = by_context["pattern_correlation"].isel(context=[1, 0])
    np.testing.assert_allclose(by_context["pattern_correlation"][0], same[1])
    learned = drift.centroid_drift(values, reference="learned", device="cpu")["pattern_correlation"]
    np.testing.assert_array_equal(np.isnan(learned[:, 1]), [[False, False, True, True], [True, True, False, False]])


def test_classes_that_are_all_alike() -> None:
    alike = np.ones((4, 6), np.float32) * 0.1
    found = drift.centroid_drift(activity(alike, flat(), alike, noise=0), device="cpu").isel(animal=0)
    assert np.isnan(found["translation"][1]) and np.isnan(found["scaling"][1]) and np.isnan(found["rotation"]).all()
    assert float(found["norm_scaling"][1]) == pytest.approx(2**0.5 / (0.1 * 6**0.5))
    assert float(found["scaling"][2]) == pytest.approx(0, abs=1e-12)
    assert np.isnan(found["pattern_correlation"][1:]).all()


def test_drift_of_stimuli() -> None:
    values = activity(*(np.random.default_rng(s).normal(size=(6, 9)) for s in range(4)), animals=2)
    values["context"][1] = values["context"][1, ::-1].values
    found = drift.stimulus_drift(values, device="cpu")
    assert found.dims == ("animal", "snapshot", "stimulus") and found["context"].dims == ("animal", "stimulus")
    for a in range(2):
        for i, k in enumerate(values["context"].values[a]):
            for s in range(4):
                wanted = 1 - np.corrcoef(values[a, s, i], values[a, k, i])[0, 1] if s >= k else np.nan
                np.testing.assert_allclose(found[a, s, i], wanted, atol=1e-12)
    turned = -values.isel(snapshot=[3])
    opposite = xr.concat([values, turned.assign_coords(snapshot=[4], contexts_learned=("snapshot", [4]))], "snapshot")
    now = drift.stimulus_drift(opposite, device="cpu")
    np.testing.assert_allclose(now.sel(snapshot=4).where(opposite["context"] == 3).max(), 2)

    aged = drift.drift_by_age(values, device="cpu")
    assert aged.dims == ("animal", "age") and aged["age"].values.tolist() == [1, 2]
    where = values["context"].values
    for a, m in itertools.product(range(2), (1, 2)):
        pairs = [(s, i) for s, i in itertools.product(range(4), range(where.shape[1])) if s - where[a, i] == m]
        np.testing.assert_allclose(aged[a, m - 1], np.mean([found[a, s, i] for s, i in pairs]), atol=1e-12)


def waves(*axes: list[int], sizes: tuple[float, ...] = (3.0, 2.0), units: int = 8) -> xr.DataArray:
    """Snapshots whose stimuli vary along some units, by so much, independently."""
    time = np.arange(40) / 40 * 2 * np.pi
    courses = np.stack([np.sin(time), np.cos(2 * time), np.sin(3 * time)])[: len(sizes)] * np.array(sizes)[:, None]
    patterns = np.zeros((len(axes), 40, units))
    for s, chosen in enumerate(axes):
        patterns[s][:, chosen] = courses.T
    coords = {"snapshot": range(len(axes)), "contexts_learned": ("snapshot", range(len(axes)))}
    return xr.DataArray(patterns + 5, dims=("snapshot", "stimulus", "unit"), coords=coords)


def test_subspaces() -> None:
    found = subspaces.subspace_overlap(waves([0, 1], [2, 3], [0, 2]), 2, device="cpu")
    assert found["overlap"].dims == ("snapshot", "other_snapshot")
    np.testing.assert_allclose(found["overlap"], [[1, 0, 0.5], [0, 1, 0.5], [0.5, 0.5, 1]], atol=1e-12)
    alignment = [[1, 0, 9 / 13], [0, 1, 4 / 13], [9 / 13, 9 / 13, 1]]
    np.testing.assert_allclose(found["alignment"], alignment, atol=1e-12)
    assert found["overlap"].attrs["chance"] == 0.25 and "chance" not in found["alignment"].attrs
    assert found["other_contexts_learned"].values.tolist() == [0, 1, 2]


def test_subspaces_at_an_angle() -> None:
    values = waves([0], [0], sizes=(3.0,))
    values[1] = values[1].values @ turn(60, 8)
    found = subspaces.subspace_overlap(values, 1, device="cpu")
    np.testing.assert_allclose(found["overlap"], [[1, 0.25], [0.25, 1]], atol=1e-12)
    np.testing.assert_allclose(found["alignment"], [[1, 0.25], [0.25, 1]], atol=1e-12)


def test_axes_by_their_share_of_variance() -> None:
    values = waves([0, 1, 2], [0, 1, 2], sizes=(3.0, 2.0, 1.0))  # variances 9 : 4 : 1
    for share, axes in ((0.5, 1), (9 / 14, 1), (0.9, 2), (0.95, 3)):
        found = subspaces.subspace_overlap(values, share, device="cpu")
        assert found["dimensions"].values.tolist() == [axes, axes]
    one_of_two = subspaces.subspace_overlap(waves([0, 1], [0, 1], sizes=(3.0, 1.0)), 0.5, device="cpu")
    assert "chance" not in one_of_two["overlap"].attrs


def test_activity_with_few_or_no_dimensions() -> None:
    values = waves([0, 1], [0, 1], [0, 1], [0, 1])
    values[2:] *= 0
    found = subspaces.subspace_overlap(values, 5, device="cpu")
    assert found["dimensions"].values.tolist() == [2, 2, 0, 0]
    np.testing.assert_allclose(found["overlap"][:2, :2], 1)
    assert found["overlap"][2:].isnull().all() and found["alignment"][:, 2:].isnull().all()


def test_subspace_of_class_means() -> None:
    values = activity(flat(), flat() @ turn(90, plane=(0, 2)), each=4, noise=3)
    found = subspaces.subspace_overlap(values, 2, by="original_class", device="cpu")["overlap"][0]
    np.testing.assert_allclose(found, [[1, 0.5], [0.5, 1]], atol=1e-12)


def test_a_readout_that_still_reads() -> None:
    values = activity(3 * flat(), 3 * flat(), 6 * flat(), each=10)
    found = decoding.cross_context_decoding(values, device="cpu")
    assert found.dims == ("animal", "snapshot", "other_snapshot")
    np.testing.assert_array_equal(found, 1)
    assert found.attrs["chance"] == 0.25 and found.attrs["folds"] == 5


def test_a_readout_that_the_classes_left() -> None:
    found = decoding.cross_context_decoding(activity(3 * flat(), 3 * flat() @ turn(90), each=10), device="cpu")[0]
    np.testing.assert_array_equal(found, [[1, 0], [0, 1]])  # every class is where another was


@pytest.mark.parametrize("units", [10, 200])
def test_nothing_to_read(units: int) -> None:
    chance = np.random.default_rng(3)
    values = activity(*np.zeros((2, 4, units)), each=50)
    values[:] = chance.normal(size=values.shape)
    found = decoding.cross_context_decoding(values, device="cpu")
    assert (np.abs(found - 0.25) < 0.12).all()  # sd 0.03; more units than stimuli would fit any training set


def test_classes_count_the_same() -> None:
    values = activity(3 * flat(), 3 * flat(), each=30).isel(stimulus=[*range(30), *range(30, 36), *range(60, 120)])
    swapped = values.copy()
    swapped[0, 1, 30:36] = values[0, 0, :6].values  # the rare class now looks like the first
    found = decoding.cross_context_decoding(swapped, device="cpu")[0]
    np.testing.assert_allclose(found[0], [1, 0.75])


def test_only_classes_met() -> None:
    found = decoding.cross_context_decoding(activity(*[3 * flat()] * 3, each=10), only_met=True, device="cpu")
    np.testing.assert_array_equal(found[0], [[np.nan] * 3, [1] * 3, [1] * 3])
    np.testing.assert_allclose(found["chance"][0], [np.nan, 0.5, 0.25])
    assert "chance" not in found.attrs


@pytest.mark.parametrize(("trials", "units"), [(24, 5), (12, 40)])
def test_the_readout_by_its_formula(trials: int, units: int) -> None:
    chance = np.random.default_rng(4)
    label = np.arange(trials) % 3
    x = chance.normal(size=(trials, units)) + 3
    means = np.stack([x[label == c].mean(0) for c in range(3)])
    noise = x - means[label]
    covariance = noise.T @ noise / trials
    shrunk = 0.7 * covariance + 0.3 * np.trace(covariance) / units * np.eye(units)
    wanted = np.linalg.solve(shrunk, means.T).T
    weights, offset = decoding.lda_readout(torch.tensor(x), torch.tensor(label), 3, 0.3)
    np.testing.assert_allclose(weights, wanted, rtol=1e-9)
    np.testing.assert_allclose(offset, -0.5 * (wanted * means).sum(1), rtol=1e-9)
    nearest, _ = decoding.lda_readout(torch.tensor(means), torch.arange(3), 3, 0.3)
    np.testing.assert_allclose(nearest, means)  # without noise: the nearest mean


def test_folds_are_balanced() -> None:
    label = torch.tensor([0] * 11 + [1] * 7 + [2] * 5)
    fold = decoding.stratified_folds(label, 5, 0)
    counts = np.array([[int(((label == c) & (fold == f)).sum()) for f in range(5)] for c in range(3)])
    assert (np.ptp(counts, axis=1) <= 1).all() and np.ptp(counts.sum(0)) <= 1 and counts.sum() == 23
    assert torch.equal(fold, decoding.stratified_folds(label, 5, 0))
    assert not torch.equal(fold, decoding.stratified_folds(label, 5, 1))


GIVEN = activity(*[flat()] * 4, each=3)


@pytest.mark.parametrize(
    ("measure", "values", "settings", "words"),
    [
        ("centroid_drift", GIVEN.isel(snapshot=0), {}, "area that does not change cannot drift"),
        ("centroid_drift", GIVEN.values, {}, "labelled array"),
        ("centroid_drift", GIVEN.drop_vars("original_class"), {}, r"no coordinate 'original_class' \(stimulus\)"),
        ("centroid_drift", GIVEN.isel(stimulus=range(3)), {}, "all stimuli have the same original_class, 0"),
        ("centroid_drift", GIVEN, {"reference": "first"}, "must be one of 'previous', 'learned', 0, 1, 2, 3"),
        ("centroid_drift", GIVEN, {"reference": 7}, r"centroid_drift\.reference: got 7"),
        ("centroid_drift", GIVEN.drop_vars("context"), {"reference": "learned"}, "no coordinate 'context'"),
        ("centroid_drift", GIVEN.where(GIVEN["snapshot"] < 3), {}, "made_up holds NaN"),
        (
            "centroid_drift",
            GIVEN.assign_coords(original_class=("stimulus", np.arange(12) % 2)),
            {"reference": "learned"},
            "stimuli of one original_class belong to several contexts",
        ),
        ("stimulus_drift", GIVEN.drop_vars("contexts_learned"), {}, r"no coordinate 'contexts_learned' \(snapshot\)"),
        ("stimulus_drift", GIVEN.isel(snapshot=[0, 2, 3]), {}, "snapshot after context 1 is missing"),
        ("drift_by_age", GIVEN.isel(snapshot=[0, 1]), {}, "no snapshot was taken after a context that followed"),
        ("subspace_overlap", GIVEN, {"dimensions": 7}, "12 stimuli of 6 units have at most 6 axes; got 7"),
        (
            "subspace_overlap",
            GIVEN,
            {"dimensions": 4, "by": "original_class"},
            "4 classes of 6 units have at most 3 axes",
        ),
        ("subspace_overlap", GIVEN, {"dimensions": 1.5}, r"subspace_overlap\.dimensions: got 1\.5"),
        ("subspace_overlap", GIVEN, {"dimensions": 0}, r"subspace_overlap\.dimensions: got 0"),
        ("cross_context_decoding", GIVEN, {}, "original_class 0 has 3 stimuli; at least 5 are needed"),
        ("cross_context_decoding", GIVEN, {"folds": 1}, r"folds: got 1"),
        ("cross_context_decoding", GIVEN, {"folds": 3, "shrinkage": 1.1}, r"shrinkage: got 1\.1"),
        ("cross_context_decoding", GIVEN, {"folds": 3, "shrinkage": 0}, r"shrinkage: got 0"),
    ],
)
def test_bad_input(measure: str, values: xr.DataArray, settings: dict[str, object], words: str) -> None:
    with pytest.raises((DataError, SettingError), match=words):
        MEASURES[measure](values, **settings)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("drift") / "log"
    record = [rs.CorticalActivity("association_1", "association_2", stimuli=60)]
    simulate(protocol=protocol(each=40), record=record, animals=(12, 13), out=out)
    return out


def test_a_log_on_disk_and_in_chunks(path: Path) -> None:
    pytest.importorskip("dask")
    for name, settings in (("centroid_drift", {}), ("stimulus_drift", {}), ("subspace_overlap", {"dimensions": 3})):
        measure = MEASURES[name]
        here = readings.over_areas(rs.open_log(path), lambda a: measure(a, **settings))  # noqa: B023
        lazy = rs.open_log(path, load=False, chunks={"snapshot": 1})
        xr.testing.assert_identical(here, readings.over_areas(lazy, lambda a: measure(a, **settings)))  # noqa: B023
        first = next(iter(here.values())) if isinstance(here, xr.Dataset) else here
        assert first.dims[:3] == ("area", "animal", "snapshot") and here["contexts_learned"].values.tolist() == [
            0,
            1,
            2,
            3,
        ]


def test_decoding_of_a_log(path: Path) -> None:
    values = readings.activity(rs.open_log(path), "association_1")
    found = decoding.cross_context_decoding(values, folds=3, device="cpu")
    assert (found.isel(snapshot=3, other_snapshot=3) > 0.5).all()  # chance is 1 / 6
    alone = decoding.cross_context_decoding(values.sel(animal=13), folds=3, device="cpu")
    xr.testing.assert_allclose(found.sel(animal=13), alone)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu() -> None:
    values = activity(*(np.random.default_rng(s).normal(size=(4, 30)) for s in range(3)), each=10)
    for name in ("centroid_drift", "stimulus_drift", "subspace_overlap", "cross_context_decoding"):
        measure = MEASURES[name]
        xr.testing.assert_allclose(measure(values, device="cuda"), measure(values, device="cpu"), rtol=1e-6)
