"""Labelled arrays in, labelled arrays out: checks, and one kernel over all animals, snapshots or whatever else.

Slices are read one at a time, so that a log may be larger than memory (``open_log(..., load=False)`` or dask chunks).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr

from replaysim.errors import DataError

from .devices import choose_device, exact_products

Kernel = Callable[..., Mapping[str, torch.Tensor]]


def require(values: object, dims: Sequence[str], owner: str, argument: str = "values") -> xr.DataArray:
    """The array, if it has all these dimensions, each with at least one element.

    Parameters
    ----------
    values
        What the user gave.
    dims
        Dimensions it must have; it may have more.
    owner, argument
        Function and argument, for the error.
    """
    if not isinstance(values, xr.DataArray):
        raise DataError(
            f"{owner}: {argument} must be a labelled array (xarray.DataArray) with dimensions "
            f"({', '.join(dims)}); got {type(values).__name__}"
        )
    missing = [dim for dim in dims if dim not in values.dims]
    if missing:
        raise DataError(
            f"{owner}: {argument} has no dimension {', '.join(map(repr, missing))}; it has {list(values.dims)}"
        )
    empty = [dim for dim in values.dims if values.sizes[dim] == 0]
    if empty:
        raise DataError(f"{owner}: {argument} has no elements along {empty[0]!r}")
    return values


def require_same(one: xr.DataArray, other: xr.DataArray, dims: Sequence[Hashable], owner: str) -> None:
    """Raise :class:`DataError` unless both arrays have the same coordinates along the shared ``dims``."""
    for dim in dims:
        if dim not in one.dims or dim not in other.dims:
            continue
        if one.sizes[dim] != other.sizes[dim]:
            raise DataError(
                f"{owner}: the arrays differ along {dim!r}: {one.sizes[dim]} and {other.sizes[dim]} elements"
            )
        if dim in one.indexes and dim in other.indexes and not one.indexes[dim].equals(other.indexes[dim]):
            raise DataError(
                f"{owner}: the arrays have different coordinates along {dim!r}; select the common ones first, "
                f"e.g. with xarray.align(a, b, join='inner')"
            )


def per_slice(
    kernel: Kernel,
    arrays: Sequence[xr.DataArray],
    core: Sequence[Sequence[str]],
    out: Mapping[str, Sequence[str]],
    *,
    owner: str,
    device: str | torch.device = "auto",
    dtype: torch.dtype = torch.float32,
    coords: Mapping[str, Any] | None = None,
    allow_nan: bool = False,
) -> xr.Dataset:
    """Apply a torch kernel to every slice along the dimensions that it does not take in.

    Parameters
    ----------
    kernel
        Takes one tensor for each array, with the dimensions of ``core`` in that order, and returns named tensors.
    arrays
        Inputs. Dimensions beside ``core`` are looped over together; an array that lacks one is used for all.
    core
        For each array, the dimensions that the kernel takes.
    out
        Names of results and the dimensions that the kernel gives them.
    owner
        Function that the user called, for errors.
    device, dtype
        Where, and at what precision floating numbers arrive (whole numbers arrive as int64).
    coords
        Coordinates of the new dimensions.
    allow_nan
        Whether slices may hold NaN.

    Returns
    -------
    xarray.Dataset
        Every result with the looped dimensions first; coordinates of looped dimensions are kept.

    Raises
    ------
    DataError
        For missing dimensions, different coordinates, or numbers that are not finite.
    """
    where = choose_device(device)
    given = [require(a, dims, owner) for a, dims in zip(arrays, core, strict=True)]
    loop = tuple(dict.fromkeys(d for a, dims in zip(given, core, strict=True) for d in a.dims if d not in dims))
    for one, other in itertools.combinations(given, 2):
        require_same(
            one, other, [*loop, *(d for dims in core for d in dims if d in one.dims and d in other.dims)], owner
        )
    sizes = {d: next(a.sizes[d] for a in given if d in a.dims) for d in loop}
    fetch = _Fetch(given, core, where, dtype, owner, allow_nan)
    found: dict[str, np.ndarray] = {}
    with exact_products():
        for index in np.ndindex(*sizes.values()):
            results = kernel(*fetch(dict(zip(loop, index, strict=True))))
            for name, value in results.items():
                array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
                if name not in found:
                    found[name] = np.empty((*sizes.values(), *array.shape), array.dtype)
                found[name][index] = array
    kept = _kept(given, loop)
    shapes = {name: (*loop, *out[name]) for name in found}
    return xr.Dataset({n: (shapes[n], found[n]) for n in found}, {**kept, **(coords or {})})


def both_ways(values: xr.DataArray, over: str, other: xr.DataArray | None = None) -> dict[str, xr.Variable]:
    """Coordinates along ``over``, and those of ``other`` (default: the same) along ``other_<over>``."""
    own, second = (
        {str(name): c.variable.compute() for name, c in a.coords.items() if c.dims == (over,)}
        for a in (values, values if other is None else other)
    )
    return own | {f"other_{name}": xr.Variable(f"other_{over}", c.values, c.attrs) for name, c in second.items()}


def _kept(arrays: Sequence[xr.DataArray], loop: tuple[Hashable, ...]) -> dict[Hashable, xr.Variable]:
    """Coordinates of looped dimensions; the label of one array's slice does not stand for another's whole dimension."""
    found: dict[Hashable, xr.Variable] = {}
    for array in arrays:
        for name, c in array.coords.items():
            usable = set(c.dims) <= set(loop) and (name not in loop or c.dims == (name,))
            if usable and (name not in found or len(c.dims) > found[name].ndim):
                found[name] = c.variable.compute()
    return found


class _Fetch:
    """Slices as tensors; a slice that does not change from one call to the next is read once."""

    def __init__(
        self,
        arrays: Sequence[xr.DataArray],
        core: Sequence[Sequence[str]],
        device: torch.device,
        dtype: torch.dtype,
        owner: str,
        allow_nan: bool,
    ) -> None:
        self.arrays, self.core, self.device, self.dtype = arrays, core, device, dtype
        self.owner, self.allow_nan = owner, allow_nan
        self._last: list[tuple[dict[Hashable, int], torch.Tensor] | None] = [None] * len(arrays)

    def __call__(self, index: Mapping[Hashable, int]) -> list[torch.Tensor]:
        return [self._one(i, {d: k for d, k in index.items() if d in a.dims}) for i, a in enumerate(self.arrays)]

    def _one(self, i: int, index: dict[Hashable, int]) -> torch.Tensor:
        last = self._last[i]
        if last is not None and last[0] == index:
            return last[1]
        values = np.ascontiguousarray(self.arrays[i].isel(index).transpose(*self.core[i]).values)
        tensor = as_tensor(values, self.dtype, self.device)
        if tensor.is_floating_point() and not self.allow_nan and not _finite(tensor):
            raise DataError(
                f"{self.owner}: {_name(self.arrays[i])} holds NaN or infinite numbers{self._label(i, index)}; leave "
                "such animals or snapshots out: .dropna('animal') of an array, readings.without_faults(log) of a log"
            )
        self._last[i] = (index, tensor)
        return tensor

    def _label(self, i: int, index: Mapping[Hashable, int]) -> str:
        array = self.arrays[i]
        shown = [f"{d} {array[d].values[k] if d in array.coords else k}" for d, k in index.items()]
        return f" at {', '.join(shown)}" if shown else ""


def _finite(tensor: torch.Tensor) -> bool:
    # the sum is 25 times as fast; it may overflow, then every number is looked at
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())


def _name(array: xr.DataArray) -> str:
    return str(array.name) if array.name is not None else "an array"


def as_tensor(values: np.ndarray, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Tensor on a device: floating numbers as ``dtype``, whole numbers as int64."""
    if values.dtype.kind not in "fiub":
        raise DataError(f"numbers are needed; got values of type {values.dtype}")
    if not values.flags.writeable:
        values = values.copy()
    return torch.from_numpy(values).to(device, dtype if values.dtype.kind == "f" else torch.int64)
