"""What measures across snapshots share: activity with snapshots, classes, and the contexts of their learning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr

from replaysim.errors import DataError

from .labelled import Kernel, both_ways, per_slice, require

PATTERNS = ("snapshot", "stimulus", "unit")
ROUNDING = 1e-6  # relative size below which a direction is rounding of float32


def checked(activity: xr.DataArray, owner: str) -> xr.DataArray:
    """Activity with snapshots, stimuli and units, or an error that says what is missing."""
    if isinstance(activity, xr.DataArray) and "snapshot" not in activity.dims:
        raise DataError(f"{owner}: activity has no dimension 'snapshot': an area that does not change cannot drift")
    if isinstance(activity, xr.DataArray) and int(activity.attrs.get("plastic", 1)) == 0:
        raise DataError(f"{owner}: the activity of {activity.name} cannot change: no synapses below it are plastic")
    return require(activity, PATTERNS, owner, "activity")


def coordinate(values: xr.DataArray, name: str, owner: str, dim: str = "stimulus") -> xr.DataArray:
    """A coordinate along ``dim``, or an error that says where it comes from."""
    if name not in values.coords or dim not in values[name].dims:
        raise DataError(
            f"{owner}: activity has no coordinate {name!r} ({dim}); take it from readings.activity(log, area)"
        )
    return values[name]


def bare(label: xr.DataArray) -> xr.DataArray:
    """A label without coordinates of its own, loaded."""
    return label.reset_coords(drop=True).rename(None).compute()


def class_labels(values: xr.DataArray, by: str, owner: str, least: int = 1) -> tuple[xr.DataArray, np.ndarray]:
    """Class of every stimulus as 0, 1, ..., and what these stand for."""
    given = bare(coordinate(values, by, owner))
    classes, code = np.unique(given.values, return_inverse=True)
    if len(classes) < 2:
        raise DataError(f"{owner}: all stimuli have the same {by}, {classes[0]}; at least two are needed")
    label = given.copy(data=code.reshape(given.shape).astype(np.int64))
    for k, name in enumerate(classes):
        fewest = int((label == k).sum("stimulus").min())
        if fewest < least:
            raise DataError(f"{owner}: {by} {name} has {fewest} stimuli; at least {least} are needed")
    return label, classes


def learned_at(values: xr.DataArray, owner: str) -> xr.DataArray:
    """Contexts learned at every snapshot, (snapshot)."""
    return bare(coordinate(values, "contexts_learned", owner, "snapshot"))


def class_context(values: xr.DataArray, label: xr.DataArray, by: str, n: int, owner: str) -> xr.DataArray:
    """Context of every class, (..., class)."""
    context = bare(coordinate(values, "context", owner))
    found = []
    for k in range(n):
        own = context.where(label == k)
        found.append(own.min("stimulus"))
        if bool((found[-1] != own.max("stimulus")).any()):
            raise DataError(
                f"{owner}: stimuli of one {by} belong to several contexts, so that it has no time of learning"
            )
    return xr.concat(found, by).astype(np.int64)


def over_snapshots(
    kernel: Kernel,
    arrays: Sequence[xr.DataArray],
    core: Sequence[Sequence[str]],
    out: Mapping[str, Sequence[str]],
    owner: str,
    device: str | torch.device,
    about: Mapping[str, Any],
    coords: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """A kernel over all slices with their snapshots; the coordinates of snapshots come back for both."""
    values = arrays[0]
    dtype = torch.float64 if values.dtype == np.float64 else torch.float32
    both = any("other_snapshot" in dims for dims in out.values())
    own = both_ways(values, "snapshot")
    own = {name: c for name, c in own.items() if both or c.dims == ("snapshot",)}
    found = per_slice(
        kernel, arrays, core, out, owner=owner, device=device, dtype=dtype, coords={**own, **(coords or {})}
    )
    for name in found:
        found[name].attrs = {"units": "1", "compute_dtype": "float64", **about}
    return found
