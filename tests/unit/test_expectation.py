"""How well trained animals expect real stimuli: the same as one by one, each with the gates of its own class."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import xarray as xr
from small import brain, protocol, simulate

import replaysim as rs
from replaysim import expectation as module
from replaysim import rng
from replaysim.embedding import real_stimuli
from replaysim.errors import DataError, SettingError
from replaysim.expectation import expectation
from replaysim.likelihood import log_likelihood, reconstruction_error


@pytest.fixture(scope="module")
def lived() -> tuple[rs.SimulationResult, xr.DataArray]:
    own = protocol()
    return simulate(protocol=own, brain=brain(own), animals=(12, 13), replay=rs.GenerativeReplay()), real_stimuli(own)


def test_it_is_the_likelihood_of_every_stimulus(
    lived: tuple[rs.SimulationResult, xr.DataArray], monkeypatch: pytest.MonkeyPatch
) -> None:
    result, real = lived
    found = expectation(result.brains, real, stimuli=9, samples=7)
    assert found.sizes == {"animal": 2} and found.attrs == {"stimuli_asked": 9, "samples": 7}
    some = real[np.unique(np.linspace(0, real.sizes["stimulus"] - 1, 9).round().astype(int))]
    assert len(np.unique(some["original_class"])) > 3
    for animal, one in result.brains.items():
        noise = torch.from_numpy(rng.stream(animal, "expectation").standard_normal((9, 7, 5), dtype=np.float32))
        where = torch.tensor([list(one.class_identity).index(c) for c in some["original_class"].values])
        activity = torch.from_numpy(some.values)
        assert float(found["log_likelihood"].sel(animal=animal)) == pytest.approx(
            float(log_likelihood(one, activity, where, noise).mean()), rel=1e-5
        )
        assert float(found["reconstruction_error"].sel(animal=animal)) == pytest.approx(
            float(reconstruction_error(one, activity, where).mean()), rel=1e-5
        )
    monkeypatch.setattr(module, "_VALUES_AT_ONCE", 300)
    xr.testing.assert_allclose(expectation(result.brains, real, stimuli=9, samples=7), found)


def test_learning_raises_it(lived: tuple[rs.SimulationResult, xr.DataArray]) -> None:
    result, real = lived
    trained = result.brains[12]
    naive = brain(protocol()).grow(12)
    naive.class_identity = trained.class_identity
    before, after = (expectation({12: one}, real) for one in (naive, trained))
    assert float(after["log_likelihood"][0]) > float(before["log_likelihood"][0])
    assert float(after["reconstruction_error"][0]) < float(before["reconstruction_error"][0])
    assert after.attrs["stimuli_asked"] == real.sizes["stimulus"] < 200


def test_memories_of_an_area_within_the_cortex() -> None:
    own = protocol()
    inner = brain(own, reentry="association_1").grow(12)
    inner.class_identity = tuple(range(6))
    found = expectation({12: inner}, real_stimuli(own), stimuli=5, samples=3)
    assert np.isfinite(found["log_likelihood"]).all() and np.isfinite(found["reconstruction_error"]).all()


def test_brains_of_double_precision(lived: tuple[rs.SimulationResult, xr.DataArray]) -> None:
    result, real = lived
    double = copy.deepcopy(result.brains[12]).double()
    double.class_identity = result.brains[12].class_identity
    found, wanted = (expectation({12: one}, real, stimuli=5, samples=3) for one in (double, result.brains[12]))
    xr.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_modes_that_stand_for_several_classes() -> None:
    """In the domain scenario no stimulus has a mode, or gates, of its own."""
    own = protocol("domain")
    one = brain(own).grow(12)
    one.class_identity = tuple(range(6))
    for given in (one, brain(own, without=("gating",)).grow(12), brain(protocol()).grow(12)):
        given.class_identity = one.class_identity if given.plan.classes == 2 else ()
        with pytest.raises(SettingError, match=r"brains: got 'animal 12: modes or gates for . classes.*tell every"):
            expectation({12: given}, real_stimuli(own))
    plain = rs.generative_pair(own, units=(20, 20), code_units=5).grow(12)
    assert np.isfinite(expectation({12: plain}, real_stimuli(own))["log_likelihood"]).all(), "nothing is asked for"


def test_classes_that_a_brain_does_not_know(lived: tuple[rs.SimulationResult, xr.DataArray]) -> None:
    result, real = lived
    foreign = real.assign_coords(original_class=real["original_class"] + 3)
    with pytest.raises(DataError, match=r"stimuli of the classes \[6, 7, 8\], which animal 12 does not know"):
        expectation(result.brains, foreign)
    one, activity, noise = result.brains[12], torch.rand(2, 16), torch.zeros(2, 3, 5)
    for classes, message in (
        ([0, 6], "classes reach from 0 to 6, must be positions from 0 to 5"),
        ([-1, 0], "classes reach from -1 to 0"),
        ([0.0, 1.0], "classes are torch.float32"),
        ([0], r"classes are torch.int64 of shape \(1,\), must be whole numbers, one for each of 2 trials"),
    ):
        with pytest.raises(DataError, match="log_likelihood: " + message):
            log_likelihood(one, activity, torch.tensor(classes), noise)
        with pytest.raises(DataError, match="reconstruction_error: " + message):
            reconstruction_error(one, activity, torch.tensor(classes))
    by_context = brain(protocol("task"), gates_by="context", without=("modes",)).grow(12)
    with pytest.raises(DataError, match="contexts reach from 0 to 3, must be positions from 0 to 2"):
        reconstruction_error(by_context, activity, torch.tensor([0, 9]), contexts=torch.tensor([0, 3]))


def test_slips(lived: tuple[rs.SimulationResult, xr.DataArray]) -> None:
    own = protocol()
    plain = rs.classifier(own, units=(8, 8)).grow(0)
    plain.class_identity = tuple(range(6))
    with pytest.raises(SettingError, match="a brain with a hippocampus"):
        expectation({0: plain}, real_stimuli(own))
    with pytest.raises(SettingError, match=r"expectation\.samples: got 0"):
        expectation(lived[0].brains, lived[1], samples=0)
