"""The log: labelled arrays on disk, readable with xarray alone and never half written.

A run folder holds ``config.json``, one folder of pieces for every group of animals that lives together, and at the end
``run.nc`` with everything. A piece is a netCDF file that is written under another name, flushed, and renamed: whoever
looks sees all of it or nothing of it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .errors import LogError, SettingError

SCHEMA = "1"
RUN = "run.nc"
CONFIG = "config.json"
PIECES = "animals"
Piece = Mapping[str, xr.Dataset]

JOIN = {"/cortex": "snapshot", "/hippocampus": "snapshot", "/replay": "contexts_learned", "/synapses": "contexts_learned"}
"""Dimension along which the pieces of a group follow one another; other groups are whole in every piece."""
REQUIRED: dict[str, dict[str, tuple[str, ...]]] = {
    "/behaviour": {
        "accuracy": ("animal", "answers", "contexts_learned", "context"),
        "chance": ("answers", "contexts_learned", "context"),
        "class_identity": ("animal", "class"),
    },
    "/learning": {"loss": ("animal", "step", "component")},
}
"""Variables that every complete log has, with their dimensions."""


def write_atomically(data: xr.Dataset | xr.DataTree, path: Path) -> None:
    """Write a netCDF file so that it is there as a whole or not at all.

    Raises
    ------
    LogError
        Where it cannot be written.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, xr.DataTree):
            encoding = {node.path: _encoding(node.to_dataset(inherit=False)) for node in data.subtree}
            data.to_netcdf(temporary, encoding={k: v for k, v in encoding.items() if v}, engine="netcdf4")
        else:
            data.to_netcdf(temporary, encoding=_encoding(data), engine="netcdf4")
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except OSError as error:
        raise LogError(f"cannot write {path}: {error}; what was finished before stays readable") from error


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # folders cannot be flushed there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _encoding(data: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Level 1 compression; no shuffling for activity (measured smaller without), no fill values on whole numbers."""
    chosen: dict[str, dict[str, Any]] = {}
    for name, variable in data.variables.items():
        kind = variable.dtype.kind
        if kind in "iu":
            chosen[str(name)] = {"_FillValue": None}
        if kind in "iuf" and variable.ndim and variable.size:
            chosen.setdefault(str(name), {}).update(
                zlib=True, complevel=1, shuffle=name != "activity", chunksizes=_chunks(variable)
            )
    return chosen


def _chunks(variable: xr.Variable) -> tuple[int, ...]:
    """One animal and one snapshot a chunk, at most about 2 MB."""
    single = {"animal", "snapshot", "contexts_learned"} if variable.size > 2**16 else set()
    shape = [1 if dim in single else n for dim, n in zip(variable.dims, variable.shape, strict=True)]
    for axis, dim in enumerate(variable.dims):
        while dim not in single and np.prod(shape) * variable.dtype.itemsize > 2**21 and shape[axis] > 1:
            shape[axis] = -(-shape[axis] // 2)
    return tuple(shape)


def encode_attributes(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as netCDF can hold them: text, numbers and lists of them stay, structures become JSON text."""
    return {name: _attribute(value) for name, value in attrs.items()}


def _attribute(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if value is None:
        return ""
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    return value


class PartFolder:
    """Where the pieces of the animals go that live together.

    Parameters
    ----------
    path
        The folder.
    attrs
        Provenance that every file carries, as files get separated.
    """

    def __init__(self, path: Path, attrs: Mapping[str, Any]) -> None:
        self.path, self.attrs = path, dict(attrs)

    def write(self, name: str, piece: Piece) -> None:
        """Write one piece, e.g. ``"cortex/0003"``: a mapping of group to dataset; an earlier one of that name is replaced."""
        tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs=self.attrs), **piece})
        write_atomically(tree, self.path / f"{name}.nc")


class RunFolder:
    """The folder of one simulation."""

    def __init__(self, path: Path, attrs: Mapping[str, Any] | None = None) -> None:
        self.path, self.attrs = path, dict(attrs or {})

    @classmethod
    def create(cls, path: Path, *, overwrite: bool = False, attrs: Mapping[str, Any] | None = None) -> RunFolder:
        """Make the folder, or take over the one of an earlier run.

        Raises
        ------
        LogError
            Where a log is there already and ``overwrite`` is not set, or the folder cannot be made or written.
        """
        if path.is_file():
            raise LogError(f"{path} is a file: choose a folder for the log")
        if path.is_dir() and any((path / name).exists() for name in (RUN, CONFIG, PIECES)):
            if not overwrite:
                raise LogError(f"{path} holds the log of an earlier run: choose another folder, or pass overwrite=True "
                               "(--overwrite on a command line) to replace it")
            for name in (RUN, CONFIG):
                (path / name).unlink(missing_ok=True)
            shutil.rmtree(path / PIECES, ignore_errors=True)
        try:
            path.mkdir(parents=True, exist_ok=True)
            for left in path.glob("*.tmp"):
                left.unlink()
            probe = path / ".writable"
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            raise LogError(f"cannot write to the folder {path}: {error}") from error
        return cls(path, attrs)

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the settings, before anything else."""
        temporary = self.path / (CONFIG + ".tmp")
        temporary.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        os.replace(temporary, self.path / CONFIG)

    def part(self, first: int, last: int) -> PartFolder:
        """Where the pieces of the animals from ``first`` to ``last`` go."""
        return PartFolder(self.path / PIECES / f"{first}-{last}", self.attrs)

    def read_parts(self) -> list[dict[str, dict[str, xr.Dataset]]]:
        """All finished pieces, by name, of every group of animals."""
        parts = []
        for folder in sorted(p for p in (self.path / PIECES).glob("*") if p.is_dir()):
            pieces = {}
            for file in sorted(folder.rglob("*.nc")):
                with xr.open_datatree(file, engine="netcdf4") as tree:
                    groups = {node.path: node.to_dataset(inherit=False).load() for node in tree.subtree}
                    self.attrs = self.attrs or dict(tree.attrs)
                name = file.relative_to(folder).with_suffix("").as_posix()
                pieces[name] = {k: _plain(v) for k, v in groups.items() if k != "/" and v.variables}
            parts.append(pieces)
        return parts

    def consolidate(self, attrs: Mapping[str, Any]) -> xr.DataTree:
        """Put all pieces together into ``run.nc`` and return the tree."""
        tree = assemble(self.read_parts(), attrs)
        write_atomically(tree, self.path / RUN)
        shutil.rmtree(self.path / PIECES, ignore_errors=True)
        return tree


def _plain(data: xr.Dataset) -> xr.Dataset:
    """Without the traces of the file it came from."""
    for variable in data.variables.values():
        variable.encoding = {}
    data.encoding = {}
    return data


def assemble(parts: Sequence[Mapping[str, Piece]], attrs: Mapping[str, Any]) -> xr.DataTree:
    """One tree from the pieces of all animals; the same whether they come from memory or from disk.

    Parameters
    ----------
    parts
        For every group of animals, name of a piece to the piece.
    attrs
        Attributes of the root.
    """
    whole: dict[str, list[xr.Dataset]] = {}
    for pieces in parts:
        groups: dict[str, list[xr.Dataset]] = {}
        for name in sorted(pieces):
            for group, data in pieces[name].items():
                groups.setdefault(group, []).append(data)
        for group, rows in groups.items():
            whole.setdefault(group, []).append(_follow(group, rows))
    merged = {group: _side_by_side(rows) for group, rows in sorted(whole.items())}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=encode_attributes(attrs)), **merged})


def _follow(group: str, rows: list[xr.Dataset]) -> xr.Dataset:
    dim = next((d for prefix, d in JOIN.items() if group == prefix or group.startswith(prefix + "/")), None)
    if dim is None or len(rows) == 1:
        return rows[-1]
    return xr.concat(rows, dim, data_vars="minimal", coords="minimal", compat="override", join="exact", combine_attrs="override")


def _side_by_side(rows: list[xr.Dataset]) -> xr.Dataset:
    """Animals one after the other; where some have got further, the others are filled with NaN or -1."""
    if len(rows) == 1:
        return rows[0]
    joined = xr.concat(
        rows,
        "animal",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="outer",
        combine_attrs="override",
        fill_value={name: -1 for name, v in rows[0].variables.items() if v.dtype.kind in "iu"},
    )
    return joined.sortby("animal")


def open_log(path: str | Path) -> xr.DataTree:
    """Open a log: a ``run.nc``, or the folder of a run, also of one that is still going on or was killed.

    Raises
    ------
    LogError
        Where nothing is there, or what is there is broken, foreign, or of another version.
    """
    path = Path(path)
    if not path.exists():
        raise LogError(f"no log at {path}")
    if path.is_dir():
        if (path / RUN).exists():
            return open_log(path / RUN)
        if not (path / PIECES).is_dir():
            raise LogError(f"{path} is not the folder of a run: it holds neither {RUN} nor {PIECES}/")
        folder = RunFolder(path)
        try:
            parts = folder.read_parts()
        except OSError as error:
            raise LogError(f"a piece of the log in {path} cannot be read: {error}") from error
        if not parts:
            raise LogError(f"{path}: nothing was finished yet")
        return check_schema(assemble(parts, folder.attrs | {"status": "running"}), path)
    try:
        with xr.open_datatree(path, engine="netcdf4") as tree:
            loaded = tree.load()
    except (OSError, ValueError, KeyError) as error:
        raise LogError(f"{path} is not a readable netCDF file ({error}): truncated, or something else?") from error
    return check_schema(loaded, path)


def check_schema(tree: xr.DataTree, path: str | Path = "the log") -> xr.DataTree:
    """Raise :class:`LogError` unless the tree is a log of this version; return it."""
    found = tree.attrs.get("replaysim_schema")
    if found is None:
        raise LogError(f"{path} is a netCDF file, but not a log of replaysim: it has no attribute replaysim_schema")
    if str(found) != SCHEMA:
        raise LogError(f"{path} follows version {found} of the schema; this replaysim reads version {SCHEMA}: use one that fits")
    for group, variables in REQUIRED.items():
        if group.strip("/") not in tree.children:
            if tree.attrs.get("status") == "running":
                continue
            raise LogError(f"{path} has no group {group}")
        for name, dims in variables.items():
            data = tree[group].to_dataset(inherit=False)
            if name not in data.variables:
                raise LogError(f"{path}: {group} has no variable {name}")
            if data[name].dims != dims:
                raise LogError(f"{path}: {group}/{name} has dims {data[name].dims}, not {dims}")
    for node in tree.subtree:
        for name, variable in node.to_dataset(inherit=False).variables.items():
            for needed in ("long_name", "units"):
                if needed not in variable.attrs:
                    raise LogError(f"{path}: {node.path}/{name} has no {needed}")
    return tree


def check_attributes(attrs: Mapping[str, Any]) -> None:
    """Raise :class:`SettingError` for values that a netCDF attribute cannot hold."""
    for name, value in attrs.items():
        items: Iterable[Any] = value if isinstance(value, list | tuple) else (value,)
        for item in items:
            if isinstance(item, bool) or not isinstance(item, str | int | float | np.number | np.ndarray):
                raise SettingError("log", f"attribute {name}", value, "text, a number, or a list of them")


def describe(source: str | Path | xr.DataTree) -> str:
    """Summary of a log for the terminal: settings, sizes, accuracy."""
    tree = source if isinstance(source, xr.DataTree) else open_log(source)
    config = json.loads(tree.attrs["config_json"])
    lines = [f"{tree.attrs['title']}   [{tree.attrs['status']}]", ""]
    for name in ("label", "scenario", "experience", "learning", "replay", "consolidation"):
        lines.append(f"  {name:14s} {_words(config.get(name))}")
    lines += [f"  {'protocol':14s} {config['protocol']['name']}, contexts: {config['protocol']['contexts']}"]
    lines += [f"  {'animals':14s} {' '.join(map(str, config['animals']))}", ""]
    for node in tree.subtree:
        data = node.to_dataset(inherit=False)
        for name, variable in data.data_vars.items():
            sizes = ", ".join(f"{dim} {n}" for dim, n in variable.sizes.items())
            lines.append(f"  {node.path + '/' + str(name):44s} ({sizes})")
    if "behaviour" in tree.children:
        accuracy = tree["behaviour"]["accuracy"]
        rule = {"task": "within_context", "class": "all"}.get(tree.attrs["scenario"], "all")
        final = accuracy.sel(answers=rule).isel(contexts_learned=-1).mean("context").values
        error = final.std(ddof=1) / len(final) ** 0.5 if len(final) > 1 else float("nan")
        learned = int(accuracy["contexts_learned"][-1])
        lines += ["", f"  accuracy after {learned} contexts: {100 * final.mean():.1f} +- {100 * error:.1f} % (s.e., n = {len(final)})"]
    return "\n".join(lines)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value.get('kind', '')} " + ", ".join(f"{k}={v}" for k, v in value.items() if k != "kind")
    return "none" if value is None else str(value)
