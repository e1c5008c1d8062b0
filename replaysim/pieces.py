"""Pieces of a log, and how they become one tree.

A simulation hands over pieces: groups of one chunk of animals, up to one finished context. Chunks run at different
paces, so pieces are put together by the labels of their coordinates, never by their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import xarray as xr

from . import schema
from .attributes import stored_attributes
from .errors import LogError
from .netcdf import stored_variable

Piece: TypeAlias = "xr.Dataset | xr.DataTree | Mapping[str, xr.Dataset]"
"""A dataset, or several by group, e.g. ``{"/cortex": ..., "/cortex/association_1": ..., "/hippocampus": ...}``."""

_GROUP_OF = {"behaviour": "/behaviour", "learning": "/learning", "replay": "/replay"}


def check_name(name: str) -> None:
    """Raise :class:`LogError` unless a piece may have this name."""
    if not schema.PIECES.fullmatch(name):
        raise LogError(
            f"piece {name!r}: its name must be 'behaviour', 'learning', 'gates', or 'cortex/0003', 'replay/0003', "
            "'synapses/0003' with the number of finished contexts"
        )


def as_tree(name: str, piece: Piece) -> xr.DataTree:
    """A piece as a tree whose groups have their place in the log.

    Raises
    ------
    LogError
        If ``piece`` is one dataset and its name does not say where it belongs, or its groups do not fit together.
    """
    check_name(name)
    if isinstance(piece, xr.DataTree):
        return piece
    if isinstance(piece, xr.Dataset):
        group = _GROUP_OF.get(name.partition("/")[0])
        if group is None:
            raise LogError(
                f"piece {name!r}: give a mapping of groups to datasets, e.g. {{'/cortex/association_1': dataset}}"
            )
        piece = {group: piece}
    return _tree(piece)


def _tree(groups: Mapping[str, xr.Dataset]) -> xr.DataTree:
    try:
        return xr.DataTree.from_dict(dict(groups))
    except ValueError as error:  # coordinates of /cortex and of an area differ
        raise LogError(f"groups {', '.join(groups)} do not fit together: {error}") from error


def assemble(parts: Iterable[Mapping[str, Piece]], attrs: Mapping[str, object]) -> xr.DataTree:
    """Put the pieces of all chunks of animals together.

    Parameters
    ----------
    parts
        One mapping per chunk, from the name of a piece to the piece.
    attrs
        Attributes of the root, see :func:`~replaysim.provenance.provenance`.

    Returns
    -------
    xarray.DataTree
        In the types of a file, animals sorted. Where a piece is missing, because a chunk has not come that far,
        floating numbers are NaN and whole numbers -1.

    Raises
    ------
    LogError
        If two chunks hold the same animal, or differ in something that all animals share.
    """
    return assemble_trees(([as_tree(name, part[name]) for name in sorted(part)] for part in parts), attrs)


def assemble_trees(parts: Iterable[Iterable[xr.DataTree]], attrs: Mapping[str, object]) -> xr.DataTree:
    """The same from trees whose groups have their place in the log, some of every chunk of animals."""
    found: dict[str, list[xr.Dataset]] = {}
    owner: dict[int, int] = {}
    for number, part in enumerate(parts):
        for tree in part:
            for node in tree.subtree:
                dataset = _read_alone(node)
                if node.path != "/" and dataset.variables:
                    found.setdefault(node.path, []).append(dataset)
                    _claim(dataset, number, owner)
    order = list(dict.fromkeys(q.group for q in schema.SCHEMA))
    paths = sorted(found, key=lambda p: (order.index(g) if (g := schema.pattern_of(p)) in order else len(order), p))
    root = stored_attributes({"replaysim_schema": schema.VERSION, **attrs})
    return _tree({"/": xr.Dataset(attrs=root), **{path: join(path, found[path]) for path in paths}})


def _read_alone(node: xr.DataTree) -> xr.Dataset:
    """A group with the coordinates that it needs to be read alone, and none that it only inherits."""
    needed = {dim for variable in node.to_dataset(inherit=False).variables.values() for dim in variable.dims}
    dataset = node.to_dataset()
    return dataset.drop_vars([dim for dim in dataset.dims if dim not in needed])


def _claim(dataset: xr.Dataset, number: int, owner: dict[int, int]) -> None:
    if "animal" in dataset.coords:
        for animal in np.atleast_1d(dataset["animal"].values).tolist():
            if owner.setdefault(animal, number) != number:
                raise LogError(f"animal {animal} is in two parts of the log")


def join(group: str, datasets: Sequence[xr.Dataset]) -> xr.Dataset:
    """One dataset from several that differ in their animals, their snapshots or their contexts.

    Memory holds the result and one variable of one dataset.
    """
    dims = dict.fromkeys(str(d) for dataset in datasets for d in dataset.dims)
    labels = {dim: _union(f"{group}/{dim}", dim, datasets) for dim in dims}
    places = [{dim: _place(f"{group}/{dim}", d[dim].values, labels[dim]) for dim in map(str, d.dims)} for d in datasets]
    variables: dict[str, xr.Variable] = {}
    for name in dict.fromkeys(str(n) for dataset in datasets for n in dataset.variables):
        if name in dims:
            first = next(d for d in datasets if name in d.coords)
            variables[name] = stored_variable(name, xr.Variable((name,), labels[name], first[name].attrs))
        else:
            variables[name] = _join_variable(f"{group}/{name}", name, datasets, places, labels)
    coordinates = {n: variables.pop(n) for n in dict.fromkeys(str(n) for d in datasets for n in d.coords)}
    return xr.Dataset(variables, coordinates, stored_attributes(datasets[0].attrs))


def _union(where: str, dim: str, datasets: Sequence[xr.Dataset]) -> np.ndarray:
    """All labels along a dimension: as they are where all datasets agree, else sorted; text by first appearance."""
    given = [d[dim].values for d in datasets if dim in d.dims]  # without a coordinate: 0, 1, 2, ...
    kinds = {array.dtype.kind in "if" for array in given}
    if len(kinds) > 1:
        raise LogError(f"{where}: labels are numbers in one part of the log and text in another")
    if dim != "animal" and all(np.array_equal(array, given[0]) for array in given):
        return given[0]
    joined = np.concatenate(given)
    if kinds == {True}:
        return np.unique(joined)
    return np.array(list(dict.fromkeys(joined.tolist())), dtype=str)


def _place(where: str, labels: np.ndarray, union: np.ndarray) -> slice | np.ndarray:
    """Where the labels of one dataset stand among all labels."""
    if np.array_equal(labels, union):
        return slice(0, len(union))
    index = {label: i for i, label in enumerate(union.tolist())}
    place = np.array([index[label] for label in labels.tolist()], dtype=np.intp)
    if len(set(place.tolist())) < len(place):
        raise LogError(f"{where}: a label stands twice in one part of the log: {labels.tolist()}")
    if len(place) and np.array_equal(place, np.arange(place[0], place[0] + len(place))):
        return slice(int(place[0]), int(place[0]) + len(place))
    return place


def _join_variable(
    where: str,
    name: str,
    datasets: Sequence[xr.Dataset],
    places: Sequence[Mapping[str, slice | np.ndarray]],
    labels: Mapping[str, np.ndarray],
) -> xr.Variable:
    holders = [(d.variables[name], p) for d, p in zip(datasets, places, strict=True) if name in d.variables]
    dims = holders[0][0].dims
    if any(variable.dims != dims for variable, _ in holders):
        raise LogError(f"{where}: dims differ between parts of the log: {sorted({v.dims for v, _ in holders})}")
    shape = tuple(len(labels[str(d)]) for d in dims)
    unique = "animal" in dims and ("snapshot" in dims or "contexts_learned" in dims)  # no two datasets share a value
    known = None if unique or len(holders) == 1 else np.zeros(shape, dtype=bool)
    values: np.ndarray | None = None
    attrs: dict[str, object] = {}
    for variable, place in holders:
        loaded = _loaded(where, name, variable)
        piece: np.ndarray = loaded.values
        at = _positions([place[str(d)] for d in dims], shape)
        if values is None:
            values = np.full(shape, _missing(piece.dtype), dtype=piece.dtype)
            attrs = {str(k): v for k, v in loaded.attrs.items()}
        elif values.dtype != piece.dtype:
            values = values.astype(np.result_type(values, piece))
        if known is not None:
            _check_agreement(where, values[at][known[at]], piece[known[at]])
            known[at] = True
        values[at] = piece
    assert values is not None
    return stored_variable(where, xr.Variable(dims, values, attrs))


def _loaded(where: str, name: str, variable: xr.Variable) -> xr.Variable:
    try:
        return stored_variable(name, variable)
    except (OSError, RuntimeError) as error:
        source = variable.encoding.get("source", "a piece of the log")
        raise LogError(
            f"{source}: {where} cannot be read ({error}); the file is damaged, take another copy of it"
        ) from error


def _positions(place: Sequence[slice | np.ndarray], shape: Sequence[int]) -> tuple[slice | np.ndarray, ...]:
    """An index of numpy; slices, which copy in one go, where possible."""
    if all(isinstance(p, slice) for p in place):
        return tuple(place)
    return np.ix_(*(np.arange(n)[p] for p, n in zip(place, shape, strict=True)))


def _missing(dtype: np.dtype) -> object:
    return {"f": np.nan, "i": -1}.get(dtype.kind, "")


def _check_agreement(where: str, before: np.ndarray, now: np.ndarray) -> None:
    if not np.array_equal(before, now, equal_nan=before.dtype.kind == "f"):
        raise LogError(f"{where}: differs between parts of the log, though all animals share it")
