"""A log that is larger than the memory one may use is analysed slice by slice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import replaysim as rs
from analysis import readings

ROOT = Path(__file__).resolve().parents[2]
ANIMALS, SNAPSHOTS, STIMULI, UNITS = 100, 2, 500, 1250
SIZE = ANIMALS * SNAPSHOTS * STIMULI * UNITS * 4  # half a gigabyte
LIMIT = SIZE // 5  # most of it is the cache that netCDF keeps for a variable


def described(dims: tuple[str, ...], values: np.ndarray) -> xr.Variable:
    return xr.Variable(dims, values, {"long_name": "made up", "units": "1"})


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with one area, few of whose units are active, written as a simulation would."""
    from replaysim.log import write_atomically

    chance = np.random.default_rng(0)
    index = {
        "animal": described(("animal",), np.arange(12, 12 + ANIMALS, dtype=np.int32)),
        "snapshot": described(("snapshot",), np.arange(SNAPSHOTS, dtype=np.int32)),
        "stimulus": described(("stimulus",), np.arange(STIMULI, dtype=np.int32)),
    }
    cortex = index | {
        "contexts_learned": described(("snapshot",), np.arange(SNAPSHOTS, dtype=np.int32)),
        "step": described(("snapshot",), np.arange(SNAPSHOTS, dtype=np.int32)),
        "original_class": described(("stimulus",), np.arange(STIMULI, dtype=np.int32) % 10),
        "context": described(("animal", "stimulus"), np.ones((ANIMALS, STIMULI), np.int32)),
    }
    groups: dict[str, xr.Dataset] = {"/": xr.Dataset(attrs={"replaysim_schema": "1.0", "scenario": "class"})}
    groups["/cortex"] = xr.Dataset(coords=cortex)
    values = np.zeros((ANIMALS, SNAPSHOTS, STIMULI, UNITS), np.float32)
    active = chance.integers(UNITS, size=UNITS // 20)
    values[..., active] = chance.random((ANIMALS, SNAPSHOTS, STIMULI, len(active)), dtype=np.float32)
    activity = described(("animal", "snapshot", "stimulus", "unit"), values)
    groups["/cortex/association_2"] = xr.Dataset({"activity": activity}, coords=index)
    path = tmp_path_factory.mktemp("large") / "run.nc"
    write_atomically(xr.DataTree.from_dict(groups), path)
    return path


READ = """
import resource, sys
import torch, xarray as xr
torch.ones(64, 64) @ torch.ones(64, 64)
import replaysim as rs
from analysis import readings, rsa, alignment
log = rs.open_log({path!r}, load=False, chunks={chunks!r})
tiny = readings.activity(log, "association_2").isel(animal=[0], snapshot=[0, 1], stimulus=slice(0, 40))
rsa.rdm(tiny, by="original_class", device="cpu"), alignment.cka_over(tiny, device="cpu")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = readings.over_areas(log, lambda a: rsa.rdm(a, by="original_class", device="cpu"))
near = readings.over_areas(log, lambda a: alignment.cka_over(a, device="cpu"))
assert found.sizes == {{"area": 1, "animal": 100, "snapshot": 2, "pair": 45}}, found.sizes
assert near.sizes["other_snapshot"] == 2
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory as Linux counts it")
@pytest.mark.parametrize("chunks", [None, {"animal": 1, "snapshot": 1}], ids=["netcdf", "dask"])
def test_analyses_need_less_memory_than_the_log(large: Path, chunks: object) -> None:
    if chunks:
        pytest.importorskip("dask")
    code = READ.format(path=str(large), chunks=chunks)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    used = int(done.stdout.split()[-1])
    assert used < LIMIT, f"{used / 2**20:.0f} MiB for a log of {SIZE / 2**20:.0f} MiB"


def test_chunks_are_those_asked_for(large: Path) -> None:
    pytest.importorskip("dask")
    log = rs.open_log(large, chunks={"animal": 1, "snapshot": 2})
    try:
        values = readings.activity(log, "association_2")
        assert values.chunks is not None and values.chunks[:2] == ((1,) * ANIMALS, (2,))
    finally:
        log.close()


def test_chunks_without_dask_say_what_to_install(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replaysim.netcdf.find_spec", lambda name: None)
    with pytest.raises(rs.SettingError, match=r"open_log\.chunks: .*pip install dask"):
        rs.open_log(large, chunks={})


@pytest.mark.parametrize("chunks", ["bogus", [1], {"animal": -5}, {"neuron": 1}])
def test_impossible_chunks(large: Path, chunks: object) -> None:
    with pytest.raises(rs.SettingError, match=r"open_log\.chunks: got"):
        rs.open_log(large, chunks=chunks)
