"""Labelled arrays in, labelled arrays out; what a log holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from small import at_every_snapshot, brain, protocol, simulate

import replaysim as rs
from analysis import devices, labelled, readings
from analysis.decoding import cross_context_decoding
from analysis.forgetting import chance_level
from replaysim.errors import DataError, SettingError


def made_up(**coords: list[int]) -> xr.DataArray:
    values = np.random.default_rng(0).normal(size=(2, 3, 5, 4)).astype(np.float32)
    named = {"animal": [12, 13], "contexts_learned": ("snapshot", [0, 1, 2]), **coords}
    return xr.DataArray(values, dims=("animal", "snapshot", "stimulus", "unit"), coords=named, name="activity")


def mean(x: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"mean": x.mean(0)}


def test_every_slice_is_what_the_kernel_says() -> None:
    values = made_up()
    found = labelled.per_slice(mean, [values], [("stimulus", "unit")], {"mean": ("unit",)}, owner="test", device="cpu")
    xr.testing.assert_allclose(found["mean"].drop_attrs(), values.mean("stimulus").drop_attrs())
    assert found["contexts_learned"].dims == ("snapshot",)


def test_an_array_without_a_looped_dimension_serves_all() -> None:
    values = made_up()
    label = xr.DataArray([[0, 1, 0, 1, 1], [1, 1, 0, 0, 0]], dims=("animal", "stimulus"), coords={"animal": [12, 13]})

    def first(x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
        assert y.dtype == torch.int64
        return {"first": x[y == 1].mean(0)}

    core = [("stimulus", "unit"), ("stimulus",)]
    found = labelled.per_slice(first, [values, label], core, {"first": ("unit",)}, owner="test", device="cpu")
    xr.testing.assert_allclose(found["first"].drop_attrs(), values.where(label == 1).mean("stimulus").drop_attrs())


def test_the_label_of_one_slice_does_not_stand_for_all() -> None:
    values = made_up(snapshot=[0, 1, 2])
    first = values.isel(snapshot=0)  # keeps snapshot as a label
    core = [("stimulus", "unit"), ("stimulus", "unit")]
    found = labelled.per_slice(
        lambda a, b: {"gap": (a - b).abs().sum()}, [first, values], core, {"gap": ()}, owner="test", device="cpu"
    )
    assert found["snapshot"].values.tolist() == [0, 1, 2]
    assert found["contexts_learned"].dims == ("snapshot",)
    assert (found["gap"].sel(snapshot=0) == 0).all() and (found["gap"].sel(snapshot=1) > 0).all()


def test_dask_chunks_give_the_same() -> None:
    pytest.importorskip("dask")
    values = made_up()
    args = ([("stimulus", "unit")], {"mean": ("unit",)})
    whole = labelled.per_slice(mean, [values], *args, owner="test", device="cpu")
    chunked = labelled.per_slice(mean, [values.chunk(animal=1, snapshot=2)], *args, owner="test", device="cpu")
    xr.testing.assert_identical(whole, chunked)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda a: a.values, "labelled array"),
        (lambda a: a.rename(unit="neuron"), "no dimension 'unit'"),
        (lambda a: a.isel(stimulus=slice(0)), "no elements along 'stimulus'"),
        (lambda a: a.where(a["contexts_learned"] < 2), "activity holds NaN .* at animal 12, snapshot 2"),
        (lambda a: a.astype(str), "numbers are needed"),
    ],
)
def test_bad_arrays_are_named(spoil: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        labelled.per_slice(mean, [spoil(made_up())], [("stimulus", "unit")], {"mean": ("unit",)}, owner="measure")


def test_different_coordinates_are_refused() -> None:
    one, other = made_up(), made_up().assign_coords(animal=[12, 14])
    with pytest.raises(DataError, match="different coordinates along 'animal'"):
        labelled.require_same(one, other, one.dims, "measure")
    with pytest.raises(DataError, match="differ along 'unit': 4 and 3"):
        labelled.require_same(one, one.isel(unit=slice(3)), one.dims, "measure")


def test_devices() -> None:
    assert devices.choose_device("cpu").type == "cpu"
    for wrong in ("gpu", "cuda:99", "mps"):
        with pytest.raises(SettingError, match=r"analysis\.device"):
            devices.choose_device(wrong)
    with devices.automatic("cuda:99"), pytest.raises(SettingError, match=r"analysis\.device: got 'cuda:99'"):
        devices.choose_device()
    for wanted in ("cpu", "mps"):
        with devices.automatic(wanted):
            assert devices.choose_device().type == "cpu", "mps lacks float64"
    with devices.exact_products():
        assert torch.backends.cuda.matmul.fp32_precision == "ieee" and not torch.is_grad_enabled()
    assert torch.is_grad_enabled()
    assert devices.rows_at_once(1000, 8000, copies=2) == 1
    assert devices.rows_at_once(1000, None, copies=2) == 1024


@pytest.mark.parametrize("scenario", ["class", "task", "domain"])
def test_readings(scenario: str) -> None:
    own = protocol(scenario)
    record = [rs.CorticalActivity("retina", "association_1", stimuli=30), rs.HippocampalCodes(stimuli=30)]
    record.append(rs.ReplayActivity(events=20))
    result = simulate(
        scenario, protocol=own, brain=brain(own), record=record, replay=rs.GenerativeReplay(), animals=(12, 13)
    )
    log = result.log
    assert set(readings.areas(log)) == {"retina", "association_1"}
    seen = readings.activity(log, "association_1")
    assert seen.dims == ("animal", "snapshot", "stimulus", "unit")
    assert {"contexts_learned", "original_class", "context"} <= set(seen.coords)
    assert readings.codes(log).sizes["unit"] == 5
    events = readings.replayed(log)
    for animal in (12, 13):
        one = events.sel(animal=animal)
        for learned in (2, 3):
            now = one.sel(contexts_learned=learned)
            if scenario == "domain":
                assert (now["original_class"] == -1).all()
                continue
            order = own.curriculum(animal).class_identity
            np.testing.assert_array_equal(now["original_class"], order[now["cued_class"]])
            np.testing.assert_array_equal(now["memory_age"], learned - (now["cued_class"] // 2 + 1))
    both = readings.over_areas(log, lambda a: a.mean(("stimulus", "unit")))
    assert both.sizes["area"] == 2


def test_what_was_not_recorded_is_named() -> None:
    log = simulate(record=[rs.CorticalActivity("association_1", stimuli=30)]).log
    with pytest.raises(SettingError, match="'association_2', must be one of 'association_1'"):
        readings.activity(log, "association_2")
    with pytest.raises(DataError, match="no group /replay: pass record="):
        readings.replayed(log)
    with pytest.raises(DataError, match="no group /hippocampus"):
        readings.codes(log)
    with pytest.raises(DataError, match=r"DataTree, see replaysim\.open_log"):
        readings.areas("run.nc")


def order_of(log: xr.DataTree, animal: int) -> list[int]:
    return log["behaviour/class_identity"].sel(animal=animal).values.tolist()


def test_classes_in_the_order_of_each_animal() -> None:
    log = simulate(animals=(12, 13)).log
    assert order_of(log, 12) != order_of(log, 13)
    one = np.random.default_rng(0).random((2, 6, 6))
    labels = {"animal": [13, 12], "item": range(6), "other_item": range(6)}
    matrix = xr.DataArray(one, labels, ("animal", "item", "other_item"), attrs={"items": "original_class"})
    found = readings.in_learning_order(matrix, log)
    assert found["item"].values.tolist() == list(range(6))
    for row, animal in enumerate((13, 12)):
        order = order_of(log, animal)
        np.testing.assert_array_equal(found.sel(animal=animal), one[row][np.ix_(order, order)])
    for spoil, words in (
        (lambda m: m.isel(animal=0), r"needs a matrix \(animal, \.\.\., item, other_item\)"),
        (lambda m: m.assign_attrs(items="stimulus"), "items are 'stimulus'; take an RDM of classes"),
        (lambda m: m.assign_coords(animal=[13, 99]), r"no animals \[99\]"),
    ):
        with pytest.raises(DataError, match=words):
            readings.in_learning_order(spoil(matrix), log)


def test_areas_from_the_retina_upwards() -> None:
    names = ["association_10", "association_2", "early_1", "retina"]
    cortex = {f"/cortex/{n}": xr.Dataset(attrs={"plastic": int(n[0] == "a")}) for n in names}
    assert readings.areas(xr.DataTree.from_dict(cortex)) == ["retina", "early_1", "association_2", "association_10"]


def test_missing_variables_are_named() -> None:
    record = [rs.CorticalActivity("retina", "association_1", stimuli=30), rs.ReplayActivity(events=20)]
    log = simulate(record=record, replay=rs.GenerativeReplay()).log
    reads = {
        "behaviour/class_identity": readings.replayed,
        "replay/cued_context": readings.replayed,
        "replay/decision": readings.replayed,
        "cortex/association_1/activity": lambda tree: readings.activity(tree, "association_1"),
        "behaviour/chance": chance_level,
    }
    for path, read in reads.items():
        group, _, name = path.rpartition("/")
        poor = log.copy()
        poor[group] = xr.DataTree(log[group].to_dataset(inherit=False).drop_vars(name), children=log[group].children)
        with pytest.raises(DataError, match=f"no variable /{path}"):
            read(poor)
    with pytest.raises(DataError, match="no area was named"):
        readings.over_areas(log, lambda a: a, [])
    assert readings.changes(log, "association_1") and not readings.changes(log, "retina")
    with pytest.raises(DataError, match="an area that does not change cannot drift"):
        cross_context_decoding(readings.activity(log, "retina"))
    with pytest.raises(DataError, match="cannot change: no synapses below it are plastic"):
        cross_context_decoding(readings.activity(at_every_snapshot(log), "retina"))
