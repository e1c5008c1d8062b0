"""Geometry of old memories: what is kept, what is not, and what cannot be asked."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from scipy.spatial.distance import pdist
from small import brain, protocol, simulate

import replaysim as rs
from analysis import readings
from analysis.retained_geometry import retained_geometry
from replaysim.errors import DataError, SettingError


def made_up(values: np.ndarray) -> xr.DataArray:
    snapshots, stimuli = values.shape[1:3]
    return xr.DataArray(
        values.astype(np.float32),
        dims=("animal", "snapshot", "stimulus", "unit"),
        coords={
            "animal": [12, 13],
            "snapshot": range(snapshots),
            "contexts_learned": ("snapshot", np.arange(snapshots)),
            "context": (("animal", "stimulus"), np.stack([np.arange(stimuli) // 4 + 1] * 2)),
        },
    )


def test_against_scipy() -> None:
    values = np.random.default_rng(0).normal(size=(2, 4, 12, 30))
    found = retained_geometry(made_up(values), device="cpu")
    assert found.dims == ("animal", "snapshot", "other_snapshot")
    for k, later in ((1, 2), (2, 3), (1, 3)):
        met = slice(0, 4 * k)
        then, now = (pdist(values[0, s, met], "correlation") for s in (k, later))
        assert float(found[0, k, later]) == pytest.approx(stats.spearmanr(then, now).statistic, abs=1e-6)
    unknown = found.isnull().values[0]
    np.testing.assert_array_equal(unknown, np.tri(4, 4, -1, dtype=bool))
    naive, now = (pdist(values[0, s, :4], "correlation") for s in (0, 3))  # stimuli of the first context
    assert float(found[0, 0, 3]) == pytest.approx(stats.spearmanr(naive, now).statistic, abs=1e-6)


def test_what_turns_and_grows_keeps_its_geometry() -> None:
    chance = np.random.default_rng(1)
    first = chance.normal(size=(12, 8))
    turn = np.linalg.qr(chance.normal(size=(8, 8)))[0]
    values = np.stack([[first, first, 3 * first @ turn + 1]] * 2)
    found = retained_geometry(made_up(values), "euclidean", "pearson", device="cpu")
    assert float(found[0, 1, 2]) == pytest.approx(1, abs=1e-5)


def test_a_log() -> None:
    own = protocol()
    log = simulate(protocol=own, brain=brain(own), record=[rs.CorticalActivity("association_2", stimuli=30)]).log
    found = retained_geometry(readings.activity(log, "association_2"), device="cpu")
    assert found.sizes == {"animal": 1, "snapshot": 4, "other_snapshot": 4}
    assert found["contexts_learned"].values.tolist() == [0, 1, 2, 3]
    assert np.isfinite(found.sel(snapshot=1, other_snapshot=3)).all()


def test_bad_input() -> None:
    values = made_up(np.random.default_rng(0).normal(size=(2, 4, 12, 30)))
    with pytest.raises(DataError, match=r"no coordinate 'context'; take it from readings\.activity"):
        retained_geometry(values.drop_vars("context"))
    with pytest.raises(DataError, match="no dimension 'snapshot'"):
        retained_geometry(values.isel(snapshot=0))
    with pytest.raises(SettingError, match=r"retained_geometry\.metric: got 'manhattan'"):
        retained_geometry(values, "manhattan")
    with pytest.raises(SettingError, match=r"retained_geometry\.method"):
        retained_geometry(values, method="kendall")
