"""netCDF files that are whole or not there: attributes, encoding, atomic writing, and reading with errors that help.

A file is written under another name, closed, flushed to the disk and then renamed, so that a simulation that is killed at any
moment leaves only whole files (and at most one ``*.tmp``, which nobody reads).
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from . import schema
from .errors import LogError, SettingError

CHUNK_BYTES = 2 * 1024**2
_SMALL = 16 * 1024  # bytes; below, chunks and compression cost more than they save
_APART = ("animal", "snapshot")  # a chunk never spans two of these
_PATIENCE = 10.0  # seconds; on Windows a file that is being read cannot be replaced
_ATTRIBUTE = "text, a number, or a list of one of these; encode_attributes() makes JSON text of anything else"
_RESERVED = {
    "_FillValue",
    "missing_value",
    "scale_factor",
    "add_offset",
    "coordinates",
    "dtype",
    "_Unsigned",
    "_Encoding",
}

# --- attributes


def check_attributes(attrs: Mapping[str, object]) -> None:
    """Refuse attributes that no netCDF file can hold, before anything is computed.

    Parameters
    ----------
    attrs
        Names to values: text, numbers, or lists of one of these. Not None, bool, dict, nor lists that are empty or mixed.

    Raises
    ------
    SettingError
        Names the attribute.
    """
    stored_attributes(attrs)


def encode_attributes(attrs: Mapping[str, object]) -> dict[str, Any]:
    """Attributes in which everything that netCDF cannot hold has become JSON text."""
    encoded = {}
    for name, value in attrs.items():
        try:
            _stored(name, value)
            encoded[name] = value
        except SettingError:
            try:
                encoded[name] = json.dumps(value, sort_keys=True, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise SettingError("attributes", name, value, f"something that JSON can say ({error})") from None
    check_attributes(encoded)
    return encoded


def stored_attributes(attrs: Mapping[str, object]) -> dict[str, Any]:
    """Attributes as they come back from a file: numbers as numpy scalars and arrays, a list of one value as that value."""
    for name in attrs:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) or name in _RESERVED:
            raise SettingError("attributes", "name", name, "letters, digits and _, and no name that netCDF reserves")
    return {name: _stored(name, value) for name, value in attrs.items()}


def _stored(name: str, value: object) -> Any:
    if isinstance(value, str):
        return str(value)
    values = np.atleast_1d(value).tolist() if isinstance(value, np.ndarray) else value
    if isinstance(values, list | tuple):
        if len(values) == 1:
            return _stored(name, value[0] if isinstance(value, list | tuple) else np.atleast_1d(value)[0])
        if values and all(isinstance(v, str) for v in values):
            return [str(v) for v in values]
    else:
        values = [values]
    plain = [v.item() if isinstance(v, np.generic) else v for v in values]
    if not plain or any(isinstance(v, bool) or not isinstance(v, int | float) for v in plain):
        raise SettingError("attributes", name, value, _ATTRIBUTE)
    try:
        return _number(np.asarray(value))
    except (OverflowError, ValueError):
        raise SettingError("attributes", name, value, "a number that fits into 64 bits") from None


def _number(array: np.ndarray) -> Any:
    if array.dtype.kind == "O":
        raise ValueError
    if array.dtype.kind == "u" or array.dtype == np.int64:
        array = _whole(array)
    elif array.dtype.kind == "f" and array.dtype.itemsize not in (4, 8):
        array = array.astype(np.float64)
    return array[()] if array.ndim == 0 else array


def _whole(array: np.ndarray) -> np.ndarray:
    """Whole numbers as int32, or as int64 where they do not fit."""
    if array.size and (int(array.max()) > np.iinfo(np.int64).max):
        raise OverflowError("a whole number needs more than 64 bits")
    fits = not array.size or (int(array.min()) >= np.iinfo(np.int32).min and int(array.max()) <= np.iinfo(np.int32).max)
    return array.astype(np.int32 if fits else np.int64)


# --- variables


def stored_variable(name: str, variable: xr.Variable) -> xr.Variable:
    """A variable as it comes back from a file: float32, int8 to int32, or text; attributes alike, no encoding."""
    values, attrs = np.asarray(variable.values), dict(variable.attrs)
    kind = values.dtype.kind
    if kind == "f":
        values = values.astype(np.float32, copy=False)
    elif kind == "b":
        values = values.astype(np.int8)
        attrs = {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "no yes", **attrs}
    elif kind == "u" or values.dtype == np.int64:
        values = _whole(values)
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
        dataset = node.to_dataset(inherit=False)
        path = _relative(node.path, tree.path)
        variables = {str(n): stored_variable(f"{path}/{n}", v) for n, v in dataset.variables.items()}
        coordinates = {n: variables.pop(n) for n in map(str, dataset.coords)}
        groups[path] = xr.Dataset(variables, coordinates, stored_attributes(dataset.attrs))
    return xr.DataTree.from_dict(groups)


def _relative(path: str, root: str) -> str:
    return path if root == "/" else path.removeprefix(root) or "/"


def encoding(name: str, variable: xr.Variable, *, coordinate: bool = False) -> dict[str, Any]:
    """How a variable is laid out in a file.

    Level 1 of zlib: level 9 takes fifty times as long for a few per cent. Shuffling the bytes helps codes and logits, but makes
    rectified activity, of which half is zero, larger.
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
    chunks = {dim: 1 if dim in _APART else size for dim, size in sizes.items()}
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
    """The same for a small text file; line ends are kept as they are, so that its checksum is that of ``text``."""
    draft = _draft(path)
    try:
        draft.write_bytes(text.encode())
        _publish(draft, path)
    except OSError as error:
        _give_up(draft, path, error)


def _draft(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")


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
            if os.name != "nt" or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    with contextlib.suppress(OSError):  # Windows does not open folders, and some network disks do not flush them
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read(path: Path, *, load: bool = True) -> xr.DataTree:
    """Read one file of a log.

    Parameters
    ----------
    path
        The consolidated log, or any piece of one.
    load
        Whether to read all values and close the file. Otherwise values are read when they are used, and nothing is cached.

    Raises
    ------
    LogError
        If the file does not exist, is truncated, is something else, or follows another version of the schema.
    """
    try:
        tree = xr.open_datatree(path, engine="netcdf4", cache=False)
    except FileNotFoundError as error:
        raise LogError(f"{path}: there is no such file or folder") from error
    except (OSError, RuntimeError, ValueError) as error:
        raise _unreadable(path, error) from error
    found = tree.attrs.get("replaysim_schema")
    if str(found).partition(".")[0] != schema.VERSION.partition(".")[0]:
        tree.close()
        raise _foreign(path, found)
    if not load:
        return tree
    try:
        return tree.load()
    except (OSError, RuntimeError) as error:
        raise _unreadable(path, error) from error
    finally:
        tree.close()


def _unreadable(path: Path, error: Exception) -> LogError:
    reason = " ".join(str(error).split())
    return LogError(
        f"{path}: cannot be read as netCDF, it is truncated or something else ({reason}); take another copy of it. A run.nc can "
        "be had again from the pieces in animals/ beside it: rename it and open the folder"
    )


def _foreign(path: Path, found: object) -> LogError:
    if found is None:
        return LogError(
            f"{path}: is netCDF, but not a log of replaysim (it has no attribute replaysim_schema); give a run folder or a run.nc"
        )
    return LogError(
        f"{path}: follows version {found} of the log's schema, this replaysim reads version {schema.VERSION}; open it with the "
        "replaysim named in its attribute software_versions, or with xarray.open_datatree"
    )
