"""The log: what goes in comes out bitwise, whatever happens in between; what does not belong in it is refused."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from small import protocol, simulate

from replaysim import log, netcdf, provenance, schema
from replaysim.describe import describe
from replaysim.errors import LogError, SettingError
from replaysim.log import RunFolder, assemble, check_attributes, encode_attributes, open_log, validate, write_atomically
from replaysim.pieces import Piece, join

ROOT = Path(__file__).resolve().parents[2]
STIMULI, UNITS, CODES, CONTEXTS = 500, 400, 20, 3
CONFIG = {"label": "toy", "scenario": "class", "protocol": {"name": "Toy"}, "animals": [12, 13]}
ATTRS = {"title": "toy", "status": "complete", "seeds": [12, 13], "share": 0.25, "software_git_dirty": 0}


# --- a small simulation without a simulator


def variable(dims: str, data: Any, units: str = "1", **attrs: Any) -> xr.Variable:
    return xr.Variable(dims.split(), data, {"long_name": f"a quantity over {dims}", "units": units, **attrs})


def count(dim: str, n: int, first: int = 0) -> dict[str, xr.Variable]:
    return {dim: variable(dim, np.arange(first, first + n, dtype=np.int32))}


def values(*shape: int, seed: int) -> np.ndarray:
    """Rectified noise, like activity; different for every seed."""
    return np.maximum(np.random.default_rng(seed).standard_normal(shape), 0).astype(np.float32)


def animal(seeds: Sequence[int]) -> dict[str, xr.Variable]:
    return {"animal": variable("animal", np.asarray(seeds, np.int32))}


def behaviour(seeds: Sequence[int], learned: int) -> xr.Dataset:
    n, rows = len(seeds), learned + 1
    dims = "animal answers contexts_learned context"
    accuracy = np.stack([values(2, rows, CONTEXTS, seed=s) for s in seeds]) % 1
    return xr.Dataset(
        {
            "accuracy": variable(dims, accuracy),
            "chance": variable("answers contexts_learned context", np.full((2, rows, CONTEXTS), 0.5, np.float32)),
            "n_train": variable("animal context", np.full((n, CONTEXTS), 60)),
            "n_test": variable("animal context", np.full((n, CONTEXTS), 10)),
            "class_identity": variable("animal class", np.stack([np.roll(np.arange(6), s) for s in seeds])),
        },
        {
            **animal(seeds),
            "answers": variable("answers", ["within_context", "all"]),
            **count("contexts_learned", rows),
            **count("context", CONTEXTS, 1),
            **count("class", 6),
        },
        {"scenario": "class"},
    )


def learning(seeds: Sequence[int], learned: int, steps: int = 30) -> xr.Dataset:
    n = steps * learned
    return xr.Dataset(
        {"loss": variable("animal step component", np.stack([values(n, 2, seed=s) for s in seeds]), "nat")},
        {
            **animal(seeds),
            **count("step", n, 1),
            "component": variable("component", ["classification", "distillation"]),
            "context": variable("step", np.arange(n) // steps + 1),
        },
    )


def snapshot(seeds: Sequence[int], learned: int, areas: Sequence[str] = ("association_1",)) -> dict[str, xr.Dataset]:
    n = len(seeds)
    where = {
        **animal(seeds),
        **count("snapshot", 1, learned),
        **count("stimulus", STIMULI),
        "contexts_learned": variable("snapshot", np.array([learned])),
        "step": variable("snapshot", np.array([learned * 30])),
        "original_class": variable("stimulus", np.arange(STIMULI) % 6),
        "context": variable("animal stimulus", np.stack([np.arange(STIMULI) % 6 // 2 + 1] * n)),
    }
    index = {d: where[d] for d in ("animal", "snapshot", "stimulus")}
    found: dict[str, xr.Dataset] = {"/cortex": xr.Dataset(coords=where)}
    for area in areas:
        activity = np.stack([values(1, STIMULI, UNITS, seed=s + 100 * learned) for s in seeds])
        found[f"/cortex/{area}"] = xr.Dataset(
            {"activity": variable("animal snapshot stimulus unit", activity)},
            {**index, **count("unit", UNITS)},
            {"area": area, "plastic": 1},
        )
    code = np.stack([values(1, STIMULI, CODES, seed=s + learned) for s in seeds])
    dims = "animal snapshot stimulus code_unit"
    codes = {"code_mean": variable(dims, code), "code_log_variance": variable(dims, -code)}
    found["/hippocampus"] = xr.Dataset(codes, {**where, **count("code_unit", CODES)})
    return found


def replay(seeds: Sequence[int], learned: int) -> xr.Dataset:
    event = "animal contexts_learned event"
    whole = {
        name: variable(event, np.full((len(seeds), 1, 4), learned)) for name in ("cued_context", "decision", "step")
    }
    activity = np.stack([values(1, 4, UNITS, seed=s + learned) for s in seeds])
    return xr.Dataset(
        {
            "activity": variable(f"{event} unit", activity),
            "cued_class": variable(event, np.full((len(seeds), 1, 4), -1)),
            **whole,
        },
        {**animal(seeds), **count("contexts_learned", 1, learned)},
    )


def synapses(seeds: Sequence[int], learned: int) -> dict[str, xr.Dataset]:
    change = np.stack([values(1, 3, seed=s + learned) for s in seeds])
    coordinates = {
        **animal(seeds),
        **count("contexts_learned", 1, learned),
        "quantile": variable("quantile", np.array([0.05, 0.5, 0.95])),
    }
    dims = "animal contexts_learned"
    quantities = {"change": variable(f"{dims} quantile", change), "change_sum": variable(dims, change.sum(-1))}
    return {f"/synapses/{pathway}": xr.Dataset(quantities, coordinates) for pathway in ("readout", "feedback")}


def gates(seeds: Sequence[int]) -> dict[str, xr.Dataset]:
    is_open = np.stack([values(6, UNITS, seed=s) > 0 for s in seeds])
    dataset = xr.Dataset({"open": variable("animal gate unit", is_open)}, animal(seeds))
    return {"/gates/feedback_1": dataset}


def life(seeds: Sequence[int], contexts: int = CONTEXTS) -> dict[str, Piece]:
    """All pieces of one chunk of animals after some contexts."""
    pieces: dict[str, Piece] = {"gates": gates(seeds)}
    for learned in range(contexts + 1):
        pieces[f"cortex/{learned:04d}"] = snapshot(seeds, learned)
        pieces["behaviour"] = behaviour(seeds, learned)
        if learned:
            pieces["learning"] = learning(seeds, learned)
            pieces[f"synapses/{learned:04d}"] = synapses(seeds, learned)
        if learned > 1:
            pieces[f"replay/{learned:04d}"] = replay(seeds, learned)
    return pieces


def write_life(folder: RunFolder, seeds: Sequence[int], contexts: int = CONTEXTS) -> dict[str, Piece]:
    pieces = life(seeds, contexts)
    part = folder.part(min(seeds), max(seeds))
    for name, piece in pieces.items():
        part.write(name, piece)
    return pieces


def plain(value: Any) -> tuple[str, str, Any]:
    """An attribute with its type."""
    return type(value).__name__, str(getattr(value, "dtype", "")), np.asarray(value).tolist()


def assert_same(one: xr.DataTree, other: xr.DataTree, *, root: bool = True) -> None:
    """Bitwise: groups, coordinates, dims, types, bytes, attributes."""
    assert set(one.groups) == set(other.groups)
    for path in one.groups:
        a, b = one[path].to_dataset(), other[path].to_dataset()
        assert set(a.coords) == set(b.coords), path
        assert set(a.data_vars) == set(b.data_vars), path
        if root or path != "/":
            assert {k: plain(v) for k, v in a.attrs.items()} == {k: plain(v) for k, v in b.attrs.items()}, path
        for name in a.variables:
            x, y = a.variables[name], b.variables[name]
            assert (x.dims, x.dtype, x.shape) == (y.dims, y.dtype, y.shape), f"{path}/{name}"
            assert x.values.tobytes() == y.values.tobytes(), f"{path}/{name}"
            assert {k: plain(v) for k, v in x.attrs.items()} == {k: plain(v) for k, v in y.attrs.items()}


def drafts(folder: Path) -> list[Path]:
    return list(folder.rglob("*.tmp"))


# --- attributes


@pytest.mark.parametrize(
    "value",
    [None, {}, {"a": 1}, True, np.bool_(False), [], [None], [True], ["a", 1], [[1], [2]], b"x", 1j, 2**70, object()],
)
def test_attributes_that_netcdf_cannot_hold_are_refused(value: object) -> None:
    with pytest.raises(SettingError, match=r"attributes\.rate: got .*, must be"):
        check_attributes({"title": "fine", "rate": value})


@pytest.mark.parametrize("name", ["_FillValue", "coordinates", "2nd", "a b", "", "a/b", 3])
def test_names_of_attributes(name: Any) -> None:
    with pytest.raises(SettingError, match="letters, digits and _"):
        check_attributes({name: 1})


GOOD = {
    "text": "a",
    "empty": "",
    "unicode": "Zürich µ",
    "lines": "a\nb",
    "long": "x" * 200_000,
    "whole": 3,
    "large": 2**40,
    "seed": 2**32 - 1,
    "real": 0.1,
    "nan": float("nan"),
    "single": np.float32(0.1),
    "flags": np.array([0, 1], np.int8),
    "words": ["a", "bc"],
    "one_word": ["a"],
    "numbers": [1, 2],
    "one_number": [12],
    "mixed": (1, 2.5),
    "array": np.array([1.5, 2.5]),
    "zero_d": np.array(4),
    "numpy": np.int64(5),
}


def test_attributes_come_back_as_they_are_in_memory(tmp_path: Path) -> None:
    in_memory = assemble([], GOOD)
    write_atomically(in_memory, tmp_path / "a.nc")
    read = open_log(tmp_path / "a.nc")
    assert set(read.attrs) == {*GOOD, "replaysim_schema"}
    for name, value in read.attrs.items():
        ours = in_memory.attrs[str(name)]
        assert type(ours) is type(value), name
        np.testing.assert_array_equal(ours, value, err_msg=str(name))
    assert isinstance(read.attrs["whole"], np.int32), "whole numbers are small where they fit: R has no 64-bit ones"
    assert read.attrs["seed"] == 2**32 - 1


def test_encode_attributes_makes_json_of_structures(tmp_path: Path) -> None:
    given = {"a": {"b": [1, None]}, "none": None, "flag": True, "nested": [[1], [2]], "fine": [1, 2], "text": "t"}
    encoded = encode_attributes(given)
    check_attributes(encoded)
    assert (encoded["fine"], encoded["text"]) == ([1, 2], "t")
    for name in ("a", "none", "flag", "nested"):
        assert json.loads(encoded[name]) == given[name]
    with pytest.raises(SettingError, match=r"attributes\.it: got .*JSON"):
        encode_attributes({"it": object()})


# --- encoding


def test_encoding_on_disk(tmp_path: Path) -> None:
    write_atomically(assemble([life([12, 13])], ATTRS), tmp_path / "run.nc")
    with netCDF4.Dataset(tmp_path / "run.nc") as file:
        assert file.data_model == "NETCDF4"
        activity, code = file["cortex/association_1/activity"], file["hippocampus/code_mean"]
        for stored, shuffled in ((activity, False), (code, True)):
            filters = stored.filters()
            assert (filters["zlib"], filters["complevel"], filters["shuffle"]) == (True, 1, shuffled), stored.name
            assert not (filters["zstd"] or filters["blosc"] or filters["szip"])
            assert stored.dtype == np.float32
        assert activity.chunking() == [1, 1, STIMULI, UNITS], "800 kB: one chunk a snapshot of an animal"
        assert file["behaviour/accuracy"].chunking() == "contiguous", "small things are not cut up"
        groups = [file, *(group for level in walk(file) for group in level)]
        for group in groups:
            for stored in group.variables.values():
                if stored.dtype is not str and np.dtype(stored.dtype).kind == "i":
                    assert "_FillValue" not in stored.ncattrs(), stored
                    assert stored.dtype in (np.int8, np.int32), stored
                assert stored.units == ("nat" if stored.name == "loss" else "1")
                assert stored.long_name
                if "animal" in stored.dimensions:
                    np.testing.assert_array_equal(group["animal"][:], [12, 13], "repeated: groups can be read alone")
        assert file["gates/feedback_1/open"].flag_values.dtype == np.int8
    alone = xr.open_dataset(tmp_path / "run.nc", group="cortex/association_1", engine="netcdf4")
    assert {"animal", "snapshot", "stimulus", "unit"} <= set(alone.coords)
    alone.close()


def walk(group: Any) -> Any:
    yield group.groups.values()
    for child in group.groups.values():
        yield from walk(child)


@pytest.mark.parametrize(
    ("sizes", "chunks"),
    [
        ({"animal": 10, "snapshot": 11, "stimulus": 1000, "unit": 2000}, (1, 1, 250, 2000)),
        ({"animal": 10, "snapshot": 6, "stimulus": 100, "unit": 40}, (1, 1, 100, 40)),
        ({"animal": 2, "contexts_learned": 100, "event": 50, "unit": 2000}, (1, 5, 50, 2000)),
        ({"animal": 1, "step": 3_000_000, "component": 9}, (1, 57693, 9)),
        ({"animal": 2, "gate": 3, "unit": 2_000_000}, (1, 1, 500_000)),
        ({"animal": 2, "gate": 0, "unit": 4}, (1, 1, 4)),
        ({}, ()),
    ],
)
def test_chunks(sizes: Mapping[str, int], chunks: tuple[int, ...]) -> None:
    assert netcdf.chunk_sizes(sizes, 4) == chunks
    assert np.prod(chunks) * 4 <= 2 * 2**20


def test_types(tmp_path: Path) -> None:
    dataset = xr.Dataset(
        {
            "double": ("x", np.array([1e300, 0.1, np.nan])),
            "half": ("x", np.array([1, 2, 3], np.float16)),
            "long": ("x", np.array([1, -1, 2**31 - 1])),
            "longer": ("x", np.array([1, -1, 2**31])),
            "byte": ("x", np.array([1, 2, 255], np.uint8)),
            "short": ("x", np.array([1, 2, 3], np.int16)),
            "flag": ("x", np.array([True, False, True])),
            "text": ("x", np.array(["a", "", "ü"], dtype="U9")),
        }
    )
    stored = netcdf.stored(dataset)
    kinds = {str(n): str(v.dtype) for n, v in stored.to_dataset().variables.items()}
    assert kinds == {
        "double": "float32",
        "half": "float32",
        "long": "int32",
        "longer": "int64",
        "byte": "int32",
        "short": "int16",
        "flag": "int8",
        "text": "<U1",
    }
    np.testing.assert_array_equal(stored["double"], np.array([np.inf, 0.1, np.nan], np.float32))
    write_atomically(dataset.assign_attrs(replaysim_schema=schema.VERSION), tmp_path / "types.nc")
    assert_same(stored, open_log(tmp_path / "types.nc"), root=False)
    for bad in (np.array([1j]), np.array([object()]), np.array(["2026-01-01"], "M8[ns]"), np.array([2**63], np.uint64)):
        with pytest.raises(LogError, match=r"/bad: "):
            write_atomically(xr.Dataset({"bad": ("x", bad)}), tmp_path / "bad.nc")


# --- in memory, on disk, in pieces: always the same


def test_memory_and_disk_give_the_same_tree_bitwise(tmp_path: Path) -> None:
    chunks = ([12, 15], [13], [14, 11])
    folder = RunFolder.create(tmp_path / "run", attrs={"title": "toy"})
    folder.write_config(CONFIG)
    in_memory = [write_life(folder, seeds) for seeds in chunks]
    expected = assemble(in_memory, ATTRS)
    unfinished = open_log(folder.path)
    consolidated = folder.consolidate(ATTRS)
    assert_same(expected, consolidated)
    assert_same(expected, open_log(folder.path))
    assert_same(expected, open_log(folder.path / "run.nc"))
    assert_same(expected, unfinished, root=False)
    assert_same(expected, assemble([life([11, 12, 13, 14, 15])], ATTRS)), "however the animals are divided"
    lazy = open_log(folder.path, load=False)
    assert_same(expected, lazy)
    lazy.close()
    again = xr.open_datatree(folder.path / "run.nc")
    assert_same(expected, again)
    again.close()


def test_values_stand_where_they_belong() -> None:
    tree = assemble([life([15, 12]), life([13])], ATTRS)
    for path in tree.groups[1:]:
        dataset = tree[path].to_dataset()
        if "animal" in dataset.coords:
            assert dataset["animal"].values.tolist() == [12, 13, 15], path
    for seed in (12, 13, 15):
        for learned in range(CONTEXTS + 1):
            found = tree["cortex/association_1/activity"].sel(animal=seed, snapshot=learned).values
            np.testing.assert_array_equal(found, values(1, STIMULI, UNITS, seed=seed + 100 * learned)[0])
        assert tree["behaviour/class_identity"].sel(animal=seed).values.tolist() == np.roll(np.arange(6), seed).tolist()
    assert tree["replay"]["contexts_learned"].values.tolist() == [2, 3]
    assert tree["cortex"].coords["step"].values.tolist() == [0, 30, 60, 90]
    whole = tree["cortex/association_1"].to_dataset(inherit="all_coords")
    assert {"contexts_learned", "original_class", "context"} <= set(whole.coords)
    assert set(tree.groups) == {
        *("/", "/behaviour", "/learning", "/cortex", "/cortex/association_1", "/hippocampus", "/replay"),
        *("/synapses", "/synapses/readout", "/synapses/feedback", "/gates", "/gates/feedback_1"),
    }
    assert tree["cortex/association_1"].attrs == {"area": "association_1", "plastic": 1}


def test_joining_agrees_with_xarray() -> None:
    animals, learned = ([12, 15], [13]), range(3)
    pieces = [[snapshot(seeds, n)["/hippocampus"] for n in learned] for seeds in animals]
    options: dict[str, Any] = {"data_vars": "minimal", "coords": "minimal", "compat": "override", "join": "exact"}
    rows = [xr.concat(row, "snapshot", **options) for row in pieces]
    oracle = netcdf.stored(xr.concat(rows, "animal", **options).sortby("animal"))
    ours = join("/hippocampus", [piece for row in pieces for piece in row])
    assert_same(oracle, xr.DataTree(ours))


def test_slower_chunks_are_filled_with_missing_values(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    folder.write_config(CONFIG)
    fast, slow = write_life(folder, [12], 3), write_life(folder, [20], 2)
    del slow["gates"]
    (folder.path / "animals/20-20/gates.nc").unlink()
    tree = open_log(folder.path)
    assert tree.attrs["status"] == "running"
    assert tree.attrs["config_sha256"] == provenance.config_attributes(CONFIG)["config_sha256"]
    assert "date_modified" in tree.attrs
    assert_same(tree, assemble([slow, fast], ATTRS), root=False)
    activity = tree["cortex/association_1/activity"]
    assert activity.dtype == np.float32
    assert activity.sel(snapshot=3, animal=20).isnull().all()
    assert activity.sel(snapshot=[0, 1, 2], animal=20).notnull().all()
    assert activity.sel(animal=12).notnull().all()
    decision = tree["replay/decision"]
    assert decision.dtype == np.int32
    assert (decision.sel(animal=20, contexts_learned=3) == -1).all()
    assert (decision.sel(animal=20, contexts_learned=2) >= 0).all()
    assert tree["behaviour/n_test"].sel(animal=20).values.tolist() == [10] * CONTEXTS
    assert tree["behaviour/accuracy"].sel(animal=20, contexts_learned=3).isnull().all()
    assert tree["behaviour/chance"].notnull().all(), "what all animals share is known from the fastest"
    assert tree["cortex"].coords["step"].values.tolist() == [0, 30, 60, 90]
    assert tree["learning"].coords["context"].values.tolist() == [1] * 30 + [2] * 30 + [3] * 30
    assert tree["gates/feedback_1"]["animal"].values.tolist() == [12]


def test_labels_that_are_no_range_and_dims_without_labels() -> None:
    def part(seed: int, stimuli: Sequence[int]) -> xr.Dataset:
        data = np.full((1, len(stimuli), 2), seed, np.float32)
        return xr.Dataset(
            {"x": variable("animal stimulus unit", data)},
            {**animal([seed]), "stimulus": variable("stimulus", np.array(stimuli))},
        )

    joined = join("/g", [part(5, [7, 2, 9]), part(3, [9, 4])])
    assert joined["stimulus"].values.tolist() == [2, 4, 7, 9]
    np.testing.assert_array_equal(joined["x"].sel(animal=5).isel(unit=0), np.array([5, np.nan, 5, 5], np.float32))
    np.testing.assert_array_equal(joined["x"].sel(animal=3).isel(unit=1), np.array([np.nan, 3, np.nan, 3], np.float32))
    same = join("/g", [part(5, [7, 2]), part(3, [7, 2])])
    assert same["stimulus"].values.tolist() == [7, 2], "an order that all share is kept"
    with pytest.raises(LogError, match="a label stands twice"):
        join("/g", [part(5, [7, 7]), part(3, [7, 2])])


def test_contradictions_are_named() -> None:
    with pytest.raises(LogError, match="animal 12 is in two parts"):
        assemble([{"behaviour": behaviour([12], 1)}, {"behaviour": behaviour([12], 2)}], ATTRS)
    other = behaviour([13], 1)
    other["chance"][0, 0, 0] = 0.25
    with pytest.raises(LogError, match=r"/behaviour/chance: differs between parts"):
        assemble([{"behaviour": behaviour([12], 1)}, {"behaviour": other}], ATTRS)
    with pytest.raises(LogError, match=r"/behaviour/accuracy: dims differ"):
        flat = behaviour([13], 1).isel(answers=0, drop=True)
        assemble([{"behaviour": behaviour([12], 1)}, {"behaviour": flat}], ATTRS)
    crooked = snapshot([12], 0)
    crooked["/cortex/association_1"] = crooked["/cortex/association_1"].isel(stimulus=slice(3))
    with pytest.raises(LogError, match="do not fit together"):
        assemble([{"cortex/0000": crooked}], ATTRS)


@pytest.mark.parametrize("form", [dict, xr.DataTree.from_dict])
def test_pieces_are_trees_or_mappings(form: Callable[[dict[str, xr.Dataset]], Piece], tmp_path: Path) -> None:
    expected = assemble([{"cortex/0001": snapshot([12], 1)}], ATTRS)
    assert_same(expected, assemble([{"cortex/0001": form(snapshot([12], 1))}], ATTRS))
    given = form(snapshot([12], 1))
    part = RunFolder.create(tmp_path / "run").part(12, 12)
    part.write("cortex/0001", given)
    if isinstance(given, xr.DataTree):
        assert given.attrs == {}, "what was handed over is not changed"
    assert_same(expected, assemble([part.pieces()], ATTRS))


@pytest.mark.parametrize("name", ["behavior", "cortex", "cortex/12", "../x", "cortex/0001/x", "", "animals/0001"])
def test_names_of_pieces(name: str, tmp_path: Path) -> None:
    with pytest.raises(LogError, match="its name must be 'behaviour'"):
        RunFolder.create(tmp_path).part(1, 2).write(name, behaviour([12], 0))
    with pytest.raises(LogError, match="its name must be 'behaviour'"):
        assemble([{name: behaviour([12], 0)}], ATTRS)


def test_a_lone_dataset_needs_a_name_that_tells_its_group(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="give a mapping of groups"):
        RunFolder.create(tmp_path).part(1, 2).write("synapses/0001", synapses([12], 1)["/synapses/readout"])


# --- schema


def test_validate_accepts_a_log_and_every_piece_of_it() -> None:
    validate(assemble([life([12, 13])], ATTRS))
    for name, piece in life([12]).items():
        validate(assemble([{name: piece}], ATTRS))
    static = snapshot([12], 0)
    area = static["/cortex/association_1"].isel(snapshot=0, drop=True)
    tree = assemble([{"cortex/0000": {**static, "/cortex/early": area}, "cortex/0001": snapshot([12], 1)}], ATTRS)
    validate(tree)
    assert tree["cortex/early/activity"].dims == ("animal", "stimulus", "unit"), "what does not change is stored once"


def bare(name: str) -> Callable[[xr.Dataset], xr.Dataset]:
    def change(d: xr.Dataset) -> xr.Dataset:
        del d["accuracy"].attrs[name]
        return d

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.drop_vars("accuracy"), "/behaviour/accuracy: missing"),
        (lambda d: d.drop_vars("animal"), "its dimension 'animal' has no coordinate"),
        (
            lambda d: d.transpose(),
            r"/behaviour/accuracy: dims are .*must be \(animal, answers, contexts_learned, context\)",
        ),
        (lambda d: d.rename(answers="answer"), "dimension 'answer' is not of the schema"),
        (bare("long_name"), "/behaviour/accuracy: has no long_name"),
        (bare("units"), "/behaviour/accuracy: has no units"),
        (
            lambda d: d.assign(accuracy=d.accuracy.assign_attrs(units="%")),
            "/behaviour/accuracy: units are '%', must be '1'",
        ),
        (
            lambda d: d.assign(accuracy=d.accuracy.astype(int).assign_attrs(d.accuracy.attrs)),
            "accuracy: is integer, must be",
        ),
        (
            lambda d: d.assign_coords(answers=d.answers.copy(data=[0, 1])),
            "/behaviour/answers: is integer, must be text",
        ),
    ],
)
def test_validate_names_what_is_wrong(change: Callable[[xr.Dataset], xr.Dataset], message: str, tmp_path: Path) -> None:
    wrong = change(behaviour([12], 1))
    with pytest.raises(LogError, match=message):
        validate(xr.DataTree.from_dict({"/behaviour": wrong}))
    part = RunFolder.create(tmp_path).part(12, 12)
    with pytest.raises(LogError, match=message):
        part.write("behaviour", wrong)
    assert not part.path.exists(), "checked before it is written"


def test_validate_knows_the_groups() -> None:
    with pytest.raises(LogError, match="/behavior: not a group of a replaysim log, must be one of /behaviour, "):
        validate(xr.DataTree.from_dict({"/behavior": behaviour([12], 1)}))
    with pytest.raises(LogError, match="/cortex/a/b: not a group"):
        validate(xr.DataTree.from_dict({"/cortex/a/b": behaviour([12], 1)}))
    with pytest.raises(LogError, match="/animal: / holds no variables"):
        validate(xr.DataTree(xr.Dataset(coords=animal([12]))))


def test_further_variables_are_welcome_if_described() -> None:
    own = behaviour([12], 1).assign(reaction_time=variable("animal context", np.ones((1, CONTEXTS)), "s"))
    validate(xr.DataTree.from_dict({"/behaviour": own}))
    own["reaction_time"].attrs = {}
    with pytest.raises(LogError, match="/behaviour/reaction_time: has no long_name"):
        validate(xr.DataTree.from_dict({"/behaviour": own}))


def test_documentation_shows_the_table() -> None:
    text = (ROOT / "docs" / "log.md").read_text(encoding="utf-8")
    assert schema.as_markdown() in text, "docs/log.md: paste the output of replaysim.schema.as_markdown()"
    for dim in {d for q in schema.SCHEMA for d in q.dims}:
        assert dim in schema.DIMENSIONS


# --- folders


def test_a_part_carries_the_provenance(tmp_path: Path) -> None:
    attrs = provenance.provenance(CONFIG, [12], "cpu", "study.py")
    folder = RunFolder.create(tmp_path / "new" / "run", attrs=attrs)
    folder.write_config(CONFIG)
    folder.part(12, 12).write("behaviour", behaviour([12], 0))
    alone = open_log(folder.path / "animals/12-12/behaviour.nc")
    assert set(schema.ROOT_ATTRIBUTES) <= set(alone.attrs)
    assert alone.attrs["status"] == "running"
    bare = RunFolder(folder.path).part(13, 13)
    bare.write("behaviour", behaviour([13], 0))
    fallback = open_log(bare.path / "behaviour.nc").attrs
    assert fallback["config_sha256"] == attrs["config_sha256"]
    assert fallback["Conventions"] == attrs["Conventions"]
    with pytest.raises(SettingError, match=r"attributes\.rate: got None"):
        RunFolder.create(tmp_path / "other", attrs={"rate": None})
    assert not (tmp_path / "other").exists()


def test_config_has_the_checksum_that_is_in_every_file(tmp_path: Path) -> None:
    import hashlib

    folder = RunFolder.create(tmp_path)
    folder.write_config(CONFIG)
    content = (tmp_path / "config.json").read_bytes()
    attributes = provenance.config_attributes(dict(reversed(CONFIG.items())))
    assert hashlib.sha256(content).hexdigest() == attributes["config_sha256"], "whatever the order of the settings"
    assert content.decode() == attributes["config_json"]
    assert json.loads(content) == {**CONFIG, "replaysim_schema": schema.VERSION}


def test_an_existing_log_is_refused(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    RunFolder.create(tmp_path / "run")  # nothing there yet
    folder.write_config(CONFIG)
    write_life(folder, [12], 1)
    with pytest.raises(
        LogError, match=r"there is a log already \(config\.json and 6 more\); .*overwrite=True .*--overwrite"
    ):
        RunFolder.create(tmp_path / "run")
    folder.consolidate(ATTRS)
    before = {p: p.read_bytes() for p in folder.path.rglob("*") if p.is_file()}
    with pytest.raises(LogError, match="there is a log already"):
        RunFolder.create(tmp_path / "run")
    assert before == {p: p.read_bytes() for p in folder.path.rglob("*") if p.is_file()}


def test_overwriting_removes_only_what_a_simulation_writes(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    folder.write_config(CONFIG)
    write_life(folder, [12], 2)
    folder.consolidate(ATTRS, keep_pieces=True)
    folder.fail("no reason")
    mine = [
        "notes.txt",
        "figure.nc",
        "my.tmp",
        "run.nc.mine.tmp",
        "animals/notes.txt",
        "animals/12-12/analysis.nc",
        "animals/12-12/cortex/extra.nc",
    ]
    for name in mine:
        (tmp_path / name).write_text("mine")
    for name in ("run.nc.tmp", "animals/12-12/behaviour.nc.tmp", "animals/12-12/cortex/0001.nc.0123abcd.tmp"):
        (tmp_path / name).write_text("half")
    RunFolder.create(tmp_path, overwrite=True)
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()) == sorted(mine)
    assert not (tmp_path / "animals/12-12/replay").exists(), "empty folders go, too"


def test_stale_drafts_are_removed(tmp_path: Path) -> None:
    part = tmp_path / "animals" / "12-12" / "cortex"
    part.mkdir(parents=True)
    left = ("config.json.tmp", "config.json.0123abcd.tmp", "animals/12-12/cortex/0001.nc.tmp")
    checkpoint = tmp_path / "animals" / "12-12" / ".checkpoint.safetensors-x1"
    for take in (RunFolder.create, RunFolder.reopen):
        part.mkdir(parents=True, exist_ok=True)
        for draft in (*(tmp_path / name for name in left), checkpoint):
            draft.write_text("half")
        (tmp_path / "mine.tmp").write_text("mine")
        assert RunFolder(tmp_path).settings() is None, "it was killed before it said anything"
        take(tmp_path)
        assert [p.name for p in tmp_path.iterdir()] == ["mine.tmp"]


def test_whoever_is_killed_while_removing_leaves_a_log_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never pieces without settings, nor a checkpoint that lacks some of its pieces."""
    unlink, most = Path.unlink, [10**6]

    def removed(path: Path, *given: Any, **settings: Any) -> None:
        if not most[0]:
            raise KeyboardInterrupt
        most[0] -= 1
        unlink(path, *given, **settings)

    for number, whole in itertools.product(range(0, 14, 2), (True, False)):
        folder = RunFolder.create(tmp_path / f"{number}{whole}")
        folder.write_config(CONFIG)
        write_life(folder, [12], 1)
        checkpoint = folder.path / "animals" / "12-12" / "checkpoint.safetensors"
        checkpoint.write_text("where it is")
        if whole:
            folder.consolidate(ATTRS | provenance.config_attributes(CONFIG), keep_pieces=True)
        pieces = sorted(folder.path.glob("animals/**/*.nc"))
        most[0] = number
        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            patch.setattr(Path, "unlink", removed)
            RunFolder.create(folder.path, overwrite=True)
        left = [path for path in folder.path.rglob("*") if path.is_file()]
        assert bool(left) == (number < 8 + whole), "what there was: settings, six pieces, checkpoint, log"
        assert (RunFolder(folder.path).settings() is not None) == bool(left)
        assert not checkpoint.exists() or sorted(folder.path.glob("animals/**/*.nc")) == pieces


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_somebody_else_are_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    for name, content in (("config.json", '{"their": 1}'), ("config.json", "no json"), ("run.nc", "no netCDF")):
        (tmp_path / name).write_text(content)
        with pytest.raises(LogError, match=f"{name}: was not written by replaysim"):
            RunFolder.create(tmp_path, overwrite=overwrite)
        assert (tmp_path / name).read_text() == content
        (tmp_path / name).unlink()


def test_folders_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(LogError, match="is a file, a log needs a folder"):
        RunFolder.create(file, overwrite=True)
    with pytest.raises(LogError, match="the folder cannot be made"):
        RunFolder.create(file / "below" / "it")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(netcdf.tempfile, "TemporaryFile", refuse)
    with pytest.raises(LogError, match=r"the folder cannot be written \(Permission denied\)"):
        RunFolder.create(tmp_path / "other")
    assert file.read_text() == "mine"


# --- writing


def fail_at(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if where == "to_netcdf":
        monkeypatch.setattr(xr.DataTree, "to_netcdf", full)
    else:
        monkeypatch.setattr(netcdf.os, where, full)


@pytest.mark.parametrize("where", ["to_netcdf", "fsync", "replace"])
def test_a_full_disk_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    path = tmp_path / "behaviour.nc"
    first = assemble([{"behaviour": behaviour([12], 1)}], ATTRS)
    write_atomically(first, path)
    with monkeypatch.context() as patch:
        if where == "fsync":
            calls: list[int] = []

            def fsync(handle: int) -> None:
                calls.append(handle)
                raise OSError(errno.ENOSPC, "No space left on device")

            patch.setattr(netcdf.os, "fsync", fsync)
        else:
            fail_at(patch, where)
        with pytest.raises(
            LogError, match=r"behaviour\.nc: cannot be written \(OSError.*No space left.*space on the disk"
        ):
            write_atomically(assemble([{"behaviour": behaviour([12], 2)}], ATTRS), path)
    assert_same(first, open_log(path))
    assert not drafts(tmp_path)


def test_a_disk_that_fills_up_while_writing(tmp_path: Path) -> None:
    """A real limit of the system: files may not grow beyond 64 KiB."""
    pytest.importorskip("resource")
    code = """
        import resource, signal, sys
        import numpy as np, xarray as xr
        from replaysim.errors import LogError
        from replaysim.log import write_atomically
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
        big = xr.Dataset({"x": ("a", np.random.default_rng(0).standard_normal(200_000).astype("f4"))})
        try:
            write_atomically(big, sys.argv[1])
        except LogError as error:
            print(error)
    """
    path = tmp_path / "big.nc"
    path.write_text("earlier")
    done = run(code, str(path))
    assert "cannot be written" in done.stdout, done
    assert path.read_text() == "earlier"


def test_order_of_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The draft is in the same folder, and on the disk before it gets its name; then the folder is flushed."""
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watched_fsync(handle: int) -> None:
        events.append("fsync folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "fsync")
        fsync(handle)

    def watched_replace(source: Path, target: Path) -> None:
        events.append("replace")
        assert Path(source).parent == Path(target).parent
        assert netcdf.DRAFT.sub("", Path(source).name) == "a.nc" and Path(source).suffix == ".tmp"
        xr.open_datatree(source, engine="netcdf4").close()  # closed and whole
        replace(source, target)

    monkeypatch.setattr(netcdf.os, "fsync", watched_fsync)
    monkeypatch.setattr(netcdf.os, "replace", watched_replace)
    write_atomically(behaviour([12], 1), tmp_path / "a.nc")
    assert events[:2] == ["fsync", "replace"]
    if Path("/proc/self/fd").exists():
        assert events == ["fsync", "replace", "fsync folder"]


def test_a_file_in_use_is_replaced_a_little_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, where a file that somebody reads cannot be replaced."""
    monkeypatch.setattr(netcdf, "_WINDOWS", True)
    monkeypatch.setattr(netcdf, "_PATIENCE", 0.3)
    replace, failures = os.replace, [2]

    def busy(source: Path, target: Path) -> None:
        if failures[0]:
            failures[0] -= 1
            raise PermissionError(errno.EACCES, "in use")
        replace(source, target)

    monkeypatch.setattr(netcdf.os, "replace", busy)
    write_atomically(behaviour([12], 1), tmp_path / "a.nc")
    assert (tmp_path / "a.nc").is_file()
    failures[0] = 10**6
    with pytest.raises(LogError, match="in use"):
        write_atomically(behaviour([12], 1), tmp_path / "a.nc")


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)


KILLED = """
    import sys
    import numpy as np, xarray as xr
    from replaysim.log import RunFolder

    def v(dims, data):
        return xr.Variable(dims.split(), data, {"long_name": "x", "units": "1"})

    seed, folder = int(sys.argv[2]), RunFolder.create(sys.argv[1])
    folder.write_config({"label": "killed"})
    part = folder.part(seed, seed)
    own = {"animal": v("animal", [seed]), "stimulus": v("stimulus", np.arange(500))}
    for n in range(10_000):
        rows = np.full((1, n + 1, 1, 1), n, np.float32)
        part.write("behaviour", xr.Dataset(
            {"accuracy": v("animal contexts_learned answers context", rows).transpose(
                "animal", "answers", "contexts_learned", "context"),
             "chance": v("answers contexts_learned context", rows[0].transpose(1, 0, 2) * 0),
             "n_train": v("animal context", [[1]]), "n_test": v("animal context", [[1]]),
             "class_identity": v("animal class", [[0]])},
            {"animal": own["animal"], "answers": v("answers", ["all"]), "context": v("context", [1]),
             "contexts_learned": v("contexts_learned", np.arange(n + 1))}))
        at = {**own, "snapshot": v("snapshot", [n])}
        noise = np.random.default_rng(n).standard_normal((1, 1, 500, 400)).astype("f4")
        part.write(f"cortex/{n:04d}", {
            "/cortex": xr.Dataset(coords={**at, "step": v("snapshot", [n]), "contexts_learned": v("snapshot", [n]),
                "original_class": v("stimulus", np.zeros(500, int)),
                "context": v("animal stimulus", np.ones((1, 500), int))}),
            "/cortex/area": xr.Dataset({"activity": v("animal snapshot stimulus unit", noise)}, at)})
        print(n, flush=True)
"""


def test_a_killed_simulation_leaves_what_was_finished(tmp_path: Path) -> None:
    """Killed at random moments while it writes: all that it called finished is there and right, and all files open."""
    chance = random.Random(0)
    code = textwrap.dedent(KILLED)
    killed_while_writing = 0
    for pair in range(3):
        folders = [tmp_path / f"{pair}-{i}" for i in range(2)]
        lives = [
            subprocess.Popen([sys.executable, "-c", code, str(f), "12"], stdout=subprocess.PIPE, text=True, cwd=ROOT)
            for f in folders
        ]
        for life_, folder in zip(lives, folders, strict=True):
            assert life_.stdout is not None
            assert life_.stdout.readline() == "0\n"
            time.sleep(chance.uniform(0.0, 0.25))
            life_.kill()
            finished = [0, *(int(line) for line in life_.stdout.read().split())]
            life_.wait()
            life_.stdout.close()
            killed_while_writing += bool(drafts(folder))
            tree = open_log(folder)
            assert tree.attrs["status"] == "running"
            activity = tree["cortex/area/activity"]
            snapshots = activity["snapshot"].values.tolist()
            assert snapshots == list(range(len(snapshots)))
            assert len(snapshots) >= len(finished)
            for n in snapshots:
                noise = np.random.default_rng(n).standard_normal((1, 1, 500, 400)).astype("f4")
                np.testing.assert_array_equal(activity.sel(snapshot=n), noise[:, 0])
            assert tree["behaviour/accuracy"].sizes["contexts_learned"] >= len(finished)
            RunFolder.create(folder, overwrite=True)
            assert not list(folder.iterdir())


# --- reading


def test_files_that_are_no_logs(tmp_path: Path) -> None:
    path = tmp_path / "run.nc"
    with pytest.raises(LogError, match=r"run\.nc: there is no such file or folder"):
        open_log(path)
    with pytest.raises(LogError, match=r"holds no log of replaysim \(no run\.nc, no config\.json"):
        open_log(tmp_path)
    good = assemble([life([12], 1)], ATTRS)
    write_atomically(good, path)
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], content[:-100], b"", b"a diary"):
        path.write_bytes(damaged)
        for place in (path, tmp_path):
            with pytest.raises(LogError, match=r"run\.nc: cannot be read as netCDF, it is truncated or something else"):
                open_log(place)
    path.unlink()
    xr.Dataset({"x": 1}).to_netcdf(path)
    with pytest.raises(LogError, match=r"is netCDF, but not a log of replaysim .*replaysim_schema"):
        open_log(path)
    path.unlink()
    good.attrs["replaysim_schema"] = "7.2"
    write_atomically(good, path)
    with pytest.raises(LogError, match=rf"follows version 7\.2 .* reads version {schema.VERSION}; open it with"):
        open_log(path)
    good.attrs["replaysim_schema"] = schema.VERSION.partition(".")[0] + ".99"
    write_atomically(good, path)
    open_log(path)


def test_damage_inside_a_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "run.nc"
    write_atomically(assemble([life([12], 1)], ATTRS), path)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    path.write_bytes(content)
    with pytest.raises(LogError, match="cannot be read"):
        open_log(path)


def test_a_damaged_piece_is_named(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path)
    write_life(folder, [12], 1)
    piece = tmp_path / "animals/12-12/cortex/0001.nc"
    content = piece.read_bytes()
    piece.write_bytes(content[:-1000])
    with pytest.raises(LogError, match=r"0001\.nc: cannot be read"):
        open_log(tmp_path)
    with pytest.raises(LogError, match=r"0001\.nc: cannot be read"):
        folder.consolidate(ATTRS)
    changed = bytearray(content)
    changed[len(changed) // 2 : len(changed) // 2 + 2000] = bytes(2000)
    piece.write_bytes(changed)
    with pytest.raises(LogError, match=r"0001\.nc: .*cannot be read"):
        folder.consolidate(ATTRS)
    assert not (tmp_path / "run.nc").exists()


def test_status_of_an_unfinished_log(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, attrs={"title": "mine"})
    folder.write_config(CONFIG)
    nothing = open_log(tmp_path)
    assert nothing.attrs["status"] == "running"
    assert nothing.groups == ("/",)
    write_life(folder, [12], 1)
    assert open_log(tmp_path).attrs["title"] == "mine"
    folder.fail("ValueError: no")
    failed = open_log(tmp_path)
    assert (failed.attrs["status"], failed.attrs["status_reason"]) == ("failed", "ValueError: no")
    assert "failed: ValueError: no, last written" in describe(tmp_path)
    (tmp_path / "status.json").write_text("broken")
    assert open_log(tmp_path).attrs["status"] == "failed"
    folder.consolidate(ATTRS)
    assert open_log(tmp_path).attrs["status"] == "complete"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.json", "run.nc"], "pieces are removed in the end"


def test_folders_travel_between_processes(tmp_path: Path) -> None:
    import pickle

    folder = RunFolder.create(tmp_path, attrs={"title": "t"})
    there = pickle.loads(pickle.dumps(folder))
    assert there == folder
    there.part(3, 4).write("behaviour", behaviour([3, 4], 0))
    assert open_log(folder.path)["behaviour"]["animal"].values.tolist() == [3, 4]


# --- provenance


def test_provenance_is_complete_and_can_be_written(tmp_path: Path) -> None:
    attrs = provenance.provenance(CONFIG, (12, 13), "cpu", ["study.py", "--out", "my runs"])
    check_attributes(attrs)
    assert set(schema.ROOT_ATTRIBUTES) == set(attrs)
    assert attrs["Conventions"] == "CF-1.8 ACDD-1.3"
    assert attrs["seeds"] == [12, 13]
    assert attrs["command"] == "study.py --out 'my runs'"
    assert f": {attrs['command']} (commit " in attrs["history"] and "\n" not in attrs["history"]
    assert attrs["title"] == "toy: Toy, class scenario, 2 animals"
    assert json.loads(attrs["software_versions"])["xarray"] == xr.__version__
    assert json.loads(attrs["hardware"])["device"] == "cpu"
    assert json.loads(attrs["config_json"])["label"] == "toy"
    again = provenance.provenance(CONFIG, (12, 13), "cpu")
    for name in ("config_json", "config_sha256", "seeds", "scenario", "title"):
        assert again[name] == attrs[name], name
    other = provenance.provenance({**CONFIG, "label": "other"}, (12, 13), "cpu")
    assert other["config_sha256"] != attrs["config_sha256"]
    for bad in (float("nan"), {1, 2}, object()):
        with pytest.raises(SettingError, match=r"provenance\.config: got .*JSON"):
            provenance.provenance({**CONFIG, "bad": bad}, (12,), "cpu")


def test_commands_say_no_more_of_the_machine_than_was_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for typed, shown in (
        (str(tmp_path / "studies" / "a.py"), "python studies/a.py --quick"),
        (str(tmp_path.parent / "a.py"), "python a.py --quick"),
        ("/opt/bin/replaysim", "replaysim --quick"),
        ("/opt/lib/replaysim/__main__.py", "python -m replaysim --quick"),
    ):
        monkeypatch.setattr(sys, "argv", [typed, "--quick"])
        assert provenance.provenance(CONFIG, (12,), "cpu")["command"] == shown


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_state_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *who, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    for name in [n for n in os.environ if n.startswith("GIT_")]:
        monkeypatch.delenv(name)
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("a = 1\n")
    assert provenance.git_state(package) == ("unknown", -1), "no repository"
    git("init", "-q")
    assert provenance.git_state(package) == ("unknown", -1), "installed inside the repository of somebody else"
    git("add", "pkg")
    git("commit", "-q", "-m", "first")
    commit = git("rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))  # as inside a hook
    assert provenance.git_state(package) == (commit, 0)
    (tmp_path / "result.txt").write_text("not code")
    assert provenance.git_state(package) == (commit, 0)
    (package / "__init__.py").write_text("a = 2\n")
    assert provenance.git_state(package) == (commit, 1)
    monkeypatch.setenv("PATH", "")
    assert provenance.git_state(package) == ("unknown", -1), "no git"


def test_a_commit_made_meanwhile_is_not_the_code_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    commits = iter(("a" * 40, "b" * 40))
    monkeypatch.setattr(provenance, "git_state", lambda: (next(commits), 0))
    provenance.loaded_code.cache_clear()
    try:
        found = [provenance.provenance({}, (12,), "cpu")["software_git_commit"] for _ in range(2)]
        assert found == ["a" * 40] * 2 and provenance.here_and_now("cpu")["commit"] == "a" * 12
    finally:
        provenance.loaded_code.cache_clear()


def test_nothing_heavy_is_imported() -> None:
    done = run("""
        import sys
        from replaysim import provenance
        provenance.provenance({"label": "x"}, (1,), "cuda:0")
        assert "xarray" not in sys.modules
        from replaysim import log, describe
        print(sorted({"torch", "sklearn", "matplotlib", "torchvision", "scipy"} & set(sys.modules)))
    """)
    assert done.stdout == "[]\n", done.stderr


# --- describe


def test_describe(tmp_path: Path) -> None:
    config = {
        **CONFIG,
        "replay": {"kind": "GenerativeReplay", "targets": "soft", "batch": None},
        "learning": {"kind": "Learning", "rate": 1e-4, "steps": 2000},
        "chunks": [[12], [13]],
    }
    attrs = provenance.provenance(config, range(30), "cpu") | {"status": "complete", "animals_with_faults": [13]}
    tree = assemble([life([12]), life([13])], attrs)
    text = describe(tree)
    assert "toy: Toy, class scenario, 30 animals" in text
    assert "0, 1, ... 29 (30)" in text
    assert "GenerativeReplay(targets soft)" in text
    assert "Learning(rate 0.0001, steps 2000)" in text
    assert "[12], [13]" in text
    assert "activity(animal 2, snapshot 4, stimulus 500, unit 400)" in text
    assert "13 (losses that were not finite)" in text
    assert max(len(line) for line in text.splitlines()) <= 110
    final = tree["behaviour/accuracy"].sel(answers="all").isel(contexts_learned=-1).mean("context").values.astype(float)
    error = np.std(final, ddof=1) / 2**0.5
    assert f"{final.mean():.4f} ± {error:.4f}   (2 animals; guessing 0.5000)" in text
    assert "accuracy after 3 of 3 contexts" in text
    write_atomically(tree, tmp_path / "run.nc")
    assert describe(tmp_path / "run.nc") == f"{tmp_path / 'run.nc'}\n{text}"


def test_what_is_the_same_is_said_once() -> None:
    own = protocol("domain")
    lived = simulate("domain", protocol=own, animals=(12, 13)).log
    said = [line for line in describe(lived).splitlines() if "guessing" in line]
    assert len(said) == 1 and said[0].startswith("  all answers ")
    said = [line.split()[0] for line in describe(simulate(animals=(12,)).log).splitlines() if "guessing" in line]
    assert said == ["within_context", "up_to_learned", "up_to_tested", "all"]


def test_a_stop_is_no_failure() -> None:
    tree = assemble([life([12])], {"status": "failed", "status_reason": "stopped by the user"})
    assert "  status          stopped by the user" in describe(tree) and "failed" not in describe(tree)


def test_describe_what_is_there() -> None:
    one = assemble([life([12], 2), {"behaviour": behaviour([13], 1)}], {"status": "running"})
    text = describe(one)
    assert "a log without a title" in text
    assert "accuracy after 2 of 3 contexts" in text
    assert "(1 animal; guessing" in text, "the slower animal has not come that far"
    empty = describe(assemble([], {}))
    assert "accuracy" not in empty
    unknown = behaviour([12], 1)
    unknown["accuracy"] *= np.nan
    assert "no accuracy yet" in describe(assemble([{"behaviour": unknown}], {}))


def test_public_names() -> None:
    import replaysim

    assert replaysim.open_log is log.open_log
    assert set(log.__all__) <= set(vars(log))
