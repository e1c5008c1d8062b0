"""netCDF files that are whole or not there: attributes, encoding, atomic writing, and reading with errors that help.

A file is written under another name, closed, flushed to the disk and then renamed, so that a simulation that is
killed at any moment leaves only whole files (and drafts, ``*.tmp``, which nobody reads).
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import secrets
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from . import schema
from .attributes import stored_attributes, whole
from .errors import LogError, SettingError

Chunks = Mapping[str, int] | str | None

CHUNK_BYTES = 2 * 1024**2
DRAFT = re.compile(r"(\.[0-9a-f]{8})?\.tmp\Z")
"""End of the name of a file that is being written; earlier versions had only ``.tmp``."""
_SMALL = 16 * 1024  # bytes; below, chunks and compression cost more than they save
_APART = ("animal", "snapshot")  # a chunk never spans two of these
_WINDOWS = os.name == "nt"
_PATIENCE = 10.0  # seconds; on Windows a file that is being read cannot be replaced


def stored_variable(name: str, variable: xr.Variable) -> xr.Variable:
    """A variable as it comes back from a file: float32, int8 to int32, or text.

    Whole numbers that need it stay int64. Values that need no change are not copied.
    """
    values, attrs = np.asarray(variable.values), dict(variable.attrs)
    kind = values.dtype.kind
    if kind == "f":
        with np.errstate(over="ignore"):  # a loss may have run away
            values = values.astype(np.float32, copy=False)
    elif kind == "b":
        values = values.astype(np.int8)
        attrs = {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "no yes", **attrs}
    elif kind == "u" or values.dtype == np.int64:
        try:
            values = whole(values)
        except OverflowError as error:
            raise LogError(f"{name}: {error}") from error
    elif kind in "UOT" and all(isinstance(v, str) for v in values.ravel().tolist()):
        values = np.array(values.tolist(), dtype=str)
    elif kind != "i":
        raise LogError(f"{name}: a log holds numbers and text, not {values.dtype}")
    return xr.Variable(variable.dims, values, stored_attributes(attrs))


def stored(data: xr.Dataset | xr.DataTree) -> xr.DataTree:
    """A log, a piece of one or a dataset as it comes back from a file."""
    tree = data if isinstance(data, xr.DataTree) else xr.DataTree(data)
    groups = {}
    for node in tree.subtree:
        dataset = node.to_dataset(inherit=node is tree)
        path = f"/{node.relative_to(tree)}".removesuffix(".")
        variables = {str(n): stored_variable(f"{path}/{n}", v) for n, v in dataset.variables.items()}
        coordinates = {n: variables.pop(n) for n in map(str, dataset.coords)}
        groups[path] = xr.Dataset(variables, coordinates, stored_attributes(dataset.attrs))
    return xr.DataTree.from_dict(groups)


def encoding(name: str, variable: xr.Variable, *, coordinate: bool = False) -> dict[str, Any]:
    """How a variable is laid out in a file.

    Level 1 of zlib: level 9 takes fifty times as long for a few per cent. Shuffling the bytes helps codes and logits,
    but makes rectified activity, of which half is zero, larger.
    """
    if variable.dtype.kind not in "fi":
        return {}
    missing = np.float32(np.nan) if variable.dtype.kind == "f" and not coordinate else None
    layout: dict[str, Any] = {"_FillValue": missing}
    if variable.nbytes >= _SMALL:
        chunks = chunk_sizes({str(d): n for d, n in variable.sizes.items()}, variable.dtype.itemsize)
        layout |= {"zlib": True, "complevel": 1, "shuffle": name != "activity", "chunksizes": chunks}
    return layout


def chunk_sizes(sizes: Mapping[str, int], itemsize: int) -> tuple[int, ...]:
    """Chunks of at most about 2 MB, equal as far as possible, that never span two animals or two snapshots."""
    chunks = {dim: 1 if dim in _APART else max(1, size) for dim, size in sizes.items()}
    for dim in sizes:  # the outer dimensions are cut first, so that what is read together lies together
        rest = math.prod(n for other, n in chunks.items() if other != dim) * itemsize
        pieces = math.ceil(chunks[dim] / max(1, CHUNK_BYTES // rest))
        chunks[dim] = math.ceil(chunks[dim] / pieces)
    return tuple(chunks.values())


# --- files


def write_atomically(data: xr.Dataset | xr.DataTree, path: str | os.PathLike[str]) -> None:
    """Write a dataset or a tree to a netCDF file that is whole, or not there.

    Parameters
    ----------
    data
        Written in the types of :func:`stored_variable`; floating numbers become float32.
    path
        An earlier file of that name is replaced in one instant.

    Raises
    ------
    SettingError
        For an attribute that netCDF cannot hold.
    LogError
        Where the file cannot be written; the earlier file is untouched.
    """
    path = Path(path)
    tree = stored(data)
    layout = {
        node.path: {
            str(name): encoding(str(name), variable, coordinate=name in node.coords)
            for name, variable in node.to_dataset().variables.items()
        }
        for node in tree.subtree
    }
    draft = _draft(path)
    try:
        # Coordinates are repeated in every group, so that each group can be read alone.
        tree.to_netcdf(draft, engine="netcdf4", format="NETCDF4", encoding=layout, write_inherited_coords=True)
        _publish(draft, path)
    except (OSError, RuntimeError) as error:  # HDF5 raises RuntimeError for a full disk
        _give_up(draft, path, error)


def write_text_atomically(text: str, path: Path) -> None:
    """The same for a small text file; line ends stay as they are, so that its checksum is that of ``text``."""
    draft = _draft(path)
    try:
        draft.write_bytes(text.encode())
        _publish(draft, path)
    except OSError as error:
        _give_up(draft, path, error)


def _draft(path: Path) -> Path:
    """A name of its own: whoever writes the same file at the same time has another."""
    return path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")


def _give_up(draft: Path, path: Path, error: Exception) -> None:
    with contextlib.suppress(OSError):
        draft.unlink()
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    raise LogError(
        f"{path}: cannot be written ({reason}); is the folder writable, and is there space on the disk?"
    ) from error


def _publish(draft: Path, path: Path) -> None:
    with open(draft, "rb+") as file:
        os.fsync(file.fileno())
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            os.replace(draft, path)
            break
        except PermissionError:  # Windows, while somebody reads the earlier file
            if not _WINDOWS or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    with contextlib.suppress(OSError):  # Windows does not open folders, and some network disks do not flush them
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read(path: Path, *, load: bool = True, chunks: Chunks = None) -> xr.DataTree:
    """Read one file of a log.

    Parameters
    ----------
    path
        The consolidated log, or any piece of one.
    load
        Whether to read all values and close the file. Otherwise values are read whenever they are used.
    chunks
        Dask chunks; see :func:`~replaysim.open_log`. Nothing is loaded then.

    Raises
    ------
    LogError
        If the file does not exist, is truncated, is something else, or follows another version of the schema.
    """
    _check_chunks(chunks)
    try:
        tree = xr.open_datatree(path, engine="netcdf4", cache=False, chunks=chunks)
    except FileNotFoundError as error:
        raise LogError(f"{path}: there is no such file or folder") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise _unreadable(path, error) from error
    found = tree.attrs.get("replaysim_schema")
    if str(found).partition(".")[0] != schema.VERSION.partition(".")[0]:
        tree.close()
        raise _foreign(path, found)
    if not load or chunks is not None:
        return tree
    try:
        return tree.load()
    except (OSError, RuntimeError) as error:
        raise _unreadable(path, error) from error
    finally:
        tree.close()


def _check_chunks(chunks: Chunks) -> None:
    if chunks is None:
        return
    if find_spec("dask") is None:
        raise SettingError("open_log", "chunks", chunks, "None unless dask is installed: pip install dask")
    sizes = chunks.values() if isinstance(chunks, Mapping) else ()
    unknown = [d for d in chunks if d not in schema.DIMENSIONS] if isinstance(chunks, Mapping) else []
    if chunks != "auto" and not isinstance(chunks, Mapping):
        raise SettingError("open_log", "chunks", chunks, "'auto' or sizes by dimension, such as {'animal': 1}")
    if unknown or not all(isinstance(n, int) and (n > 0 or n == -1) for n in sizes):
        must = f"sizes from 1 on (-1 = all) of dimensions among {', '.join(schema.DIMENSIONS)}"
        raise SettingError("open_log", "chunks", chunks, must)


def _unreadable(path: Path, error: Exception) -> LogError:
    reason = " ".join(str(error).split())
    return LogError(
        f"{path}: cannot be read as netCDF, it is truncated or something else ({reason}); take another copy of it"
    )


def _foreign(path: Path, found: object) -> LogError:
    if found is None:
        return LogError(
            f"{path}: is netCDF, but not a log of replaysim (it has no attribute replaysim_schema); give a run.nc or "
            "the folder of a simulation"
        )
    return LogError(
        f"{path}: follows version {found} of the log's schema, this replaysim reads version {schema.VERSION}; open it "
        "with the replaysim named in its attribute software_versions, or with xarray.open_datatree"
    )


def make_folder(path: Path) -> None:
    """Make a folder and its parents, where they are not there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise LogError(f"{path}: the folder cannot be made ({reason}); choose another place for the log") from error


def check_writable(folder: Path) -> None:
    """Raise :class:`LogError` unless a file can be made in the folder."""
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".replaysim-"):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise LogError(
            f"{folder}: the folder cannot be written ({reason}); choose another place for the log"
        ) from error
