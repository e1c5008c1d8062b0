"""Groups and variables of a log, or an error that says what is missing."""

from __future__ import annotations

import xarray as xr

from replaysim.errors import DataError


def group_of(log: xr.DataTree, name: str, way_out: str) -> xr.DataTree:
    """A group of a log; ``way_out`` says how to have it."""
    if not isinstance(log, xr.DataTree):
        raise DataError(f"a log is an xarray.DataTree, see replaysim.open_log(); got {type(log).__name__}")
    if name not in log.children:
        raise DataError(f"this log has no group /{name}: {way_out or 'is it a log of replaysim?'}")
    return log.children[name]


def variable(group: xr.Dataset, name: str, path: str) -> xr.DataArray:
    """A variable of a group of a log, or an error that names it."""
    if name not in group.variables:
        raise DataError(f"this log has no variable {path}/{name}: is it a log of replaysim?")
    return group[name]
