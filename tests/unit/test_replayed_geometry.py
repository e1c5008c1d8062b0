"""Does replay preserve waking geometry? Made-up replay whose answer is known, and a log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import stats
from scipy.spatial.distance import pdist
from small import at_every_snapshot, brain, protocol, simulate

import replaysim as rs
from analysis import readings
from analysis.replayed_geometry import class_means, geometry_match, halves, replay_against_waking
from replaysim.errors import DataError, SettingError

CLASSES, UNITS = 6, 40


def waking(noise: float = 0.1, each: int = 5) -> xr.DataArray:
    """Prototypes of six classes with noise, (animal, stimulus, unit)."""
    label = np.tile(np.arange(CLASSES), each)
    return evoked(label, noise, "stimulus", seed=1)


def dreams(noise: float = 0.1, classes: int = CLASSES, each: int = 4) -> xr.DataArray:
    return evoked(np.repeat(np.arange(classes), each), noise, "event", seed=2)


def evoked(label: np.ndarray, noise: float, trial: str, seed: int) -> xr.DataArray:
    prototype = np.random.default_rng(0).normal(size=(2, CLASSES, UNITS))
    values = prototype[:, label] + noise * np.random.default_rng(seed).normal(size=(2, len(label), UNITS))
    coords = {"animal": [12, 13], "original_class": (trial, 10 * label)}
    return xr.DataArray(values.astype(np.float32), coords, ("animal", trial, "unit"), "retina")


def test_against_scipy() -> None:
    replayed, seen = dreams(1.5), waking()
    found = geometry_match(replayed, seen, metric="correlation", method="spearman", device="cpu")
    one = replayed.astype(float).groupby("original_class").mean().sel(animal=13).transpose("original_class", "unit")
    two = seen.astype(float).groupby("original_class").mean().sel(animal=13).transpose("original_class", "unit")
    expected = stats.spearmanr(pdist(one, "correlation"), pdist(two, "correlation")).statistic
    assert float(found["rdm_similarity"][1]) == pytest.approx(expected)
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(one.values, two.values, strict=True)]
    np.testing.assert_allclose(found["prototype_correlation"][1], expected, rtol=1e-6)
    assert found["original_class"].values.tolist() == [0, 10, 20, 30, 40, 50]
    assert (found["n_pairs_used"] == 15).all() and (found["n_events"] == 4).all() and (found["n_classes"] == 6).all()
    assert found["rdm_similarity"].attrs["metric"] == "correlation"


def test_reference_is_one_half_of_the_stimuli_against_the_other() -> None:
    seen = waking(1.0, each=4)
    found = geometry_match(dreams(), seen, device="cpu")
    first, second = seen.isel(stimulus=range(6)), seen.isel(stimulus=range(6, 12))
    third, fourth = seen.isel(stimulus=range(12, 18)), seen.isel(stimulus=range(18, 24))
    halves_of = [(a.values + b.values)[0] / 2 for a, b in ((first, third), (second, fourth))]
    expected = stats.spearmanr(*[pdist(h, "correlation") for h in halves_of]).statistic
    assert float(found["reference_rdm_similarity"][0]) == pytest.approx(expected, rel=1e-6)
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(*halves_of, strict=True)]
    np.testing.assert_allclose(found["reference_prototype_correlation"][0], expected, rtol=1e-5)


def test_quality_of_replay_orders_the_measures() -> None:
    """Faithful replay reaches the reference; noisy replay does not; shuffled classes have the wrong geometry."""
    seen = waking(0.3)
    shuffled = dreams().assign_coords(original_class=("event", 10 * np.roll(np.repeat(np.arange(6), 4), 8)))
    good, noisy, wrong = (geometry_match(d, seen, device="cpu") for d in (dreams(), dreams(4), shuffled))
    for name in ("rdm_similarity", "prototype_correlation"):
        means = [float(f[name].mean()) for f in (good, noisy, wrong)]
        assert means[0] > 0.95 and means[0] > means[1] > means[2], name
        assert means[0] >= float(good[f"reference_{name}"].mean()) - 0.02
    assert abs(float(wrong["prototype_correlation"].mean())) < 0.2


def test_gain_and_baseline_do_not_matter_to_correlations() -> None:
    found = geometry_match(3 * dreams(0) + 1, waking(0), device="cpu")
    np.testing.assert_allclose(found["rdm_similarity"], 1)
    np.testing.assert_allclose(found["prototype_correlation"], 1)


def test_rare_and_unknown_classes_are_left_out() -> None:
    replayed = dreams(each=4).isel(event=[*range(12), 12, *range(16, 18)])  # one event of class 30, two of 40
    replayed["original_class"][:2] = [-1, 999]
    found = geometry_match(replayed, waking(), device="cpu")
    assert found["n_events"][0].values.tolist() == [2, 4, 4, 1, 2, 0]
    np.testing.assert_array_equal(found["prototype_correlation"].isnull()[0], [False, False, False, True, False, True])
    assert found["n_classes"].values.tolist() == [4, 4] and found["n_pairs_used"].values.tolist() == [6, 6]
    all_of = geometry_match(replayed, waking(), min_events=1, device="cpu")
    assert all_of["n_classes"].values.tolist() == [5, 5]
    two = geometry_match(replayed, waking(), min_events=4, device="cpu")  # classes 10 and 20
    assert two["rdm_similarity"].isnull().all() and two["n_pairs_used"].values.tolist() == [0, 0]
    assert two["prototype_correlation"].notnull().sum() == 4
    once = geometry_match(replayed, waking(each=1), device="cpu")
    assert once["reference_prototype_correlation"].isnull().all() and once["rdm_similarity"].notnull().all()


def test_classes_without_variance_are_nan() -> None:
    replayed = dreams()
    replayed[:, :4] = 0.1
    found = geometry_match(replayed, waking(), device="cpu")
    assert found["prototype_correlation"].isnull().sum("original_class").values.tolist() == [1, 1]
    assert found["n_pairs_used"].values.tolist() == [10, 10] and found["rdm_similarity"].notnull().all()


def test_kernels() -> None:
    label = torch.tensor([2, 0, 2, -1, 2, 0])
    assert halves(label).tolist() == [0, 0, 1, 0, 0, 1]
    means, count = class_means(torch.arange(6.0).unsqueeze(1), label, 4)
    assert means[:, 0].tolist() == [3, 0, 2, 0] and count.tolist() == [2, 0, 3, 0]


@pytest.fixture(scope="module")
def log() -> xr.DataTree:
    own = protocol()
    record = [rs.CorticalActivity("retina", "association_1", stimuli=60), rs.ReplayActivity(events=60)]
    return simulate(protocol=own, brain=brain(own), record=record, replay=rs.GenerativeReplay(), animals=(12, 13)).log


def test_a_log(log: xr.DataTree) -> None:
    found = replay_against_waking(log, device="cpu")
    assert found["rdm_similarity"].sizes == {"animal": 2, "contexts_learned": 2} and found.attrs["area"] == "retina"
    assert found["contexts_learned"].values.tolist() == [2, 3] and found["memory_age"].values.tolist() == [1, 2]
    events = readings.replayed(log)
    order = log["behaviour/class_identity"].sel(animal=13).values
    # while context 2 was learned, only the two classes of context 1 can be replayed: one dissimilarity
    assert (found["n_events"].sel(animal=13, contexts_learned=2).sel(original_class=order[2:]) == 0).all()
    assert found["rdm_similarity"].sel(contexts_learned=2).isnull().all()
    # classes of context 1 are of age 2 while context 3 is learned
    last = found.sel(animal=13, contexts_learned=3)
    for age, classes in ((2, order[:2]), (1, order[2:4])):
        expected = last["prototype_correlation"].sel(original_class=classes).mean()
        np.testing.assert_allclose(last["prototype_correlation_by_age"].sel(memory_age=age), expected)
    assert found["prototype_correlation_by_age"].sel(contexts_learned=2, memory_age=2).isnull().all()
    # by hand, for one class
    one = events.sel(animal=13, contexts_learned=3)
    dream = one["activity"].values[one["original_class"].values == order[0]].mean(0)
    seen = readings.activity(log, "retina").sel(animal=13)
    seen = seen.sel(stimulus=seen["original_class"] == order[0]).mean("stimulus")
    expected = np.corrcoef(dream, seen)[0, 1]
    assert float(last["prototype_correlation"].sel(original_class=order[0])) == pytest.approx(expected, rel=1e-5)


def test_snapshot_when_the_context_began(log: xr.DataTree) -> None:
    """Replay as it was while context k was learned is compared with snapshot k - 1, where waking activity changes."""
    tree = at_every_snapshot(log)
    area = tree["cortex/retina"].to_dataset()
    steps = np.random.default_rng(0).normal(size=area["activity"].shape).astype(np.float32)
    tree["cortex/retina"] = xr.DataTree(area.assign(activity=area["activity"] + steps))
    found = replay_against_waking(tree, device="cpu")
    seen = readings.activity(tree, "retina").isel(snapshot=[1, 2], drop=True)
    seen = seen.drop_vars([n for n, c in seen.coords.items() if "snapshot" in c.dims]).rename(
        snapshot="contexts_learned"
    )
    events = readings.replayed(tree)
    replayed = events["activity"].assign_coords(original_class=events["original_class"])
    expected = geometry_match(replayed, seen.assign_coords(contexts_learned=[2, 3]), device="cpu")
    np.testing.assert_allclose(found["prototype_correlation"], expected["prototype_correlation"])


def test_an_area_that_does_not_change_and_a_lazy_log(log: xr.DataTree, tmp_path: Path) -> None:
    expected = replay_against_waking(log, device="cpu")
    assert "snapshot" not in log["cortex/retina/activity"].dims
    often = replay_against_waking(at_every_snapshot(log), device="cpu")
    np.testing.assert_allclose(often["rdm_similarity"], expected["rdm_similarity"])
    log.to_netcdf(tmp_path / "run.nc")
    with rs.open_log(tmp_path / "run.nc", load=False) as lazy:
        xr.testing.assert_equal(replay_against_waking(lazy, device="cpu"), expected)


def test_what_a_log_lacks(log: xr.DataTree) -> None:
    with pytest.raises(DataError, match="re-entered at 'retina', not at 'association_1', which has other units"):
        replay_against_waking(log, "association_1")
    tree = log.copy()
    del tree["cortex"]["retina"]
    with pytest.raises(DataError, match=r'was not recorded; pass record=\[CorticalActivity\("retina", \.\.\.\)'):
        replay_against_waking(tree)
    del tree["cortex"]
    with pytest.raises(DataError, match="was not recorded"):
        replay_against_waking(tree)
    del tree["replay"]
    with pytest.raises(DataError, match="no group /replay"):
        replay_against_waking(tree)
    tree = log.copy()
    tree["replay"].attrs["area"] = "association_1"
    with pytest.raises(DataError, match=r"16 and 20 units; take that of the re-entry area"):
        replay_against_waking(tree)


def test_domain_scenario_names_no_class() -> None:
    own = protocol("domain")
    record = [rs.CorticalActivity("retina", stimuli=30), rs.ReplayActivity(events=10)]
    log = simulate("domain", protocol=own, brain=brain(own), record=record, replay=rs.GenerativeReplay()).log
    with pytest.raises(DataError, match="no replay event names a class"):
        replay_against_waking(log)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda d, w: (d.values, w), DataError, "replayed must be a labelled array"),
        (lambda d, w: (d, w.rename(stimulus="image")), DataError, "waking has no dimension 'stimulus'"),
        (lambda d, w: (d, w.isel(unit=slice(9))), DataError, "40 and 9 units"),
        (
            lambda d, w: (d.drop_vars("original_class"), w),
            DataError,
            "'original_class' must be a coordinate along 'event'",
        ),
        (lambda d, w: (d, w.drop_vars("original_class")), DataError, "must be a coordinate along 'stimulus'"),
        (lambda d, w: (d, w.assign_coords(original_class=w["original_class"] + 1)), DataError, "no class was both"),
        (lambda d, w: (d, w.assign_coords(original_class=w["original_class"] * 0 - 1)), DataError, "no class was both"),
        (lambda d, w: (d.where(d["animal"] == 12), w), DataError, "retina holds NaN .* at animal 13"),
    ],
)
def test_bad_arrays(change: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"geometry_match: .*{words}"):
        geometry_match(*change(dreams(), waking()), device="cpu")


@pytest.mark.parametrize(("name", "value"), [("metric", "crossnobis"), ("method", "tau_b"), ("min_events", 0)])
def test_bad_settings(name: str, value: object) -> None:
    with pytest.raises(SettingError, match=rf"geometry_match\.{name}"):
        geometry_match(dreams(), waking(), **{name: value})


@pytest.mark.gpu
def test_gpu() -> None:
    found = [geometry_match(dreams(1.0), waking(), device=device) for device in ("cpu", "cuda")]
    xr.testing.assert_allclose(*found)


def test_what_all_classes_share_is_the_floor() -> None:
    chance = np.random.default_rng(3)
    means = chance.normal(size=(4, 30)) + 3 * chance.normal(size=30)
    label = np.repeat(np.arange(4), 6)
    noise = chance.normal(size=(2, 24, 30)) * 0.1
    arrays = [
        xr.DataArray(means[label] + noise[i], {"original_class": (dim, label)}, (dim, "unit"))
        for i, dim in enumerate(("event", "stimulus"))
    ]
    found = geometry_match(*arrays, device="cpu")
    dreamt, seen = (a.values.reshape(4, 6, 30).mean(1) for a in arrays)
    table = np.corrcoef(dreamt, seen)[:4, 4:]
    np.testing.assert_allclose(found["prototype_correlation"], np.diag(table), atol=1e-10)
    others = (table.sum(1) - np.diag(table)) / 3
    np.testing.assert_allclose(found["mismatched_prototype_correlation"], others, atol=1e-10)
    assert (found["prototype_correlation"] > found["mismatched_prototype_correlation"] + 0.05).all()
