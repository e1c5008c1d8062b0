"""Bridges to other people's tools: rsatoolbox (RSA inference) and the layout of Brain-Score (neuroids)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from replaysim.errors import DataError

from .dissimilarity import n_items
from .labelled import require

if TYPE_CHECKING:
    from rsatoolbox.data import Dataset
    from rsatoolbox.rdm import RDMs


def to_rsatoolbox(rdm: xr.DataArray) -> RDMs:
    """RDMs of all animals, snapshots or whatever else for rsatoolbox, e.g. for its inference over animals and stimuli.

    Parameters
    ----------
    rdm
        (..., pair), all pairs of the items, row by row.

    Returns
    -------
    rsatoolbox.rdm.RDMs
        One RDM for each combination of the other dimensions, the last changing fastest; their coordinates become RDM
        descriptors, the items a pattern descriptor (by their name and as ``item``), the metric the name of the
        dissimilarity. Beware that rsatoolbox calls ``sqeuclidean_mean`` "euclidean".

    Raises
    ------
    DataError
        Without rsatoolbox, or where pairs are missing or in another order.
    """
    values = require(rdm, ("pair",), "to_rsatoolbox", "rdm")
    items = _items(values)
    dims = [d for d in values.dims if d != "pair"]
    grid = values.transpose(*dims, "pair")
    shape = tuple(grid.sizes[d] for d in dims)
    descriptors: dict[str, Any] = {}
    for name, c in grid.coords.items():
        if "pair" not in c.dims:
            wide = c.broadcast_like(grid.isel(pair=0, drop=True)).transpose(*dims) if dims else c
            descriptors[str(name)] = np.broadcast_to(wide.values, shape).reshape(-1).tolist()
    toolbox = _rsatoolbox()
    return toolbox.rdm.RDMs(
        grid.values.reshape(-1, grid.sizes["pair"]).astype(np.float64),
        dissimilarity_measure=values.attrs.get("metric"),
        descriptors={str(k): v for k, v in values.attrs.items()},
        rdm_descriptors=descriptors,
        pattern_descriptors={"item": items.tolist(), str(values.attrs.get("items", "item")): items.tolist()},
    )


def _items(rdm: xr.DataArray) -> np.ndarray:
    """Items in the order of rows; refuses anything but all pairs of the upper triangle, row by row."""
    k = rdm.sizes["pair"]
    n = n_items(k)
    one, other = np.triu_indices(n, 1)
    if "item_a" not in rdm.coords or "item_b" not in rdm.coords:
        return np.arange(n)
    items = np.append(rdm["item_a"].values[:1], rdm["item_b"].values[: n - 1])
    if not (np.array_equal(items[one], rdm["item_a"].values) and np.array_equal(items[other], rdm["item_b"].values)):
        raise DataError("to_rsatoolbox: the pairs are not the upper triangle row by row; keep the order of rsa.rdm()")
    return items


def to_rsatoolbox_dataset(activity: xr.DataArray) -> Dataset:
    """Activity of one animal at one time for rsatoolbox.

    Parameters
    ----------
    activity
        (stimulus, unit).

    Returns
    -------
    rsatoolbox.data.Dataset
        Coordinates of stimuli become descriptors of observations, those of units of channels; single ones (animal,
        snapshot, contexts_learned) and attributes describe the whole.

    Raises
    ------
    DataError
        Without rsatoolbox, or for more than one animal or snapshot.
    """
    values = _one_slice(activity, "to_rsatoolbox_dataset")
    along = {dim: _along(values, dim) or {dim: np.arange(values.sizes[dim])} for dim in ("stimulus", "unit")}
    single = {str(name): c.values.item() for name, c in values.coords.items() if not c.dims}
    toolbox = _rsatoolbox()
    return toolbox.data.Dataset(
        values.values,
        descriptors={str(k): v for k, v in values.attrs.items()} | single,
        obs_descriptors=along["stimulus"],
        channel_descriptors=along["unit"],
    )


def to_neuroid(activity: xr.DataArray) -> xr.DataArray:
    """Activity of one animal at one time in the layout of Brain-Score's assemblies, with plain coordinates.

    Parameters
    ----------
    activity
        (stimulus, unit).

    Returns
    -------
    xarray.DataArray
        (presentation, neuroid). Presentations have ``stimulus_id`` and the other coordinates of stimuli; neuroids have
        ``neuroid_id`` (area and number), ``neuroid_num``, ``region`` and ``layer`` (the area), and other coordinates
        of units. Indexes are left to the reader: Brain-Score makes a MultiIndex of all of them.

    Raises
    ------
    DataError
        For more than one animal or snapshot.
    """
    values = _one_slice(activity, "to_neuroid")
    stimuli, units = _along(values, "stimulus"), _along(values, "unit")
    number = np.asarray(units.pop("unit", np.arange(values.sizes["unit"])))
    area = str(values.attrs.get("area", values.name or "unknown"))
    presentation = {"stimulus_id": stimuli.pop("stimulus", np.arange(values.sizes["stimulus"]))} | stimuli
    neuroid = {
        "neuroid_id": np.array([f"{area}.{k}" for k in number]),
        "neuroid_num": number,
        "region": np.full(len(number), area),
        "layer": np.full(len(number), area),
    } | units
    coords: dict[str, Any] = {name: ("presentation", v) for name, v in presentation.items()}
    coords |= {name: ("neuroid", v) for name, v in neuroid.items()}
    coords |= {str(name): c.variable for name, c in values.coords.items() if not c.dims}
    return xr.DataArray(values.values, coords, ("presentation", "neuroid"), name=values.name, attrs=values.attrs)


def _one_slice(activity: xr.DataArray, owner: str) -> xr.DataArray:
    values = require(activity, ("stimulus", "unit"), owner, "activity")
    extra = [d for d in values.dims if d not in ("stimulus", "unit") and values.sizes[d] > 1]
    if extra:
        chosen = ", ".join(f"{d}={values[d].values[0].item()!r}" for d in extra)
        raise DataError(f"{owner}: takes one animal at one time; select along {extra}, e.g. with .sel({chosen})")
    return values.squeeze([d for d in values.dims if d not in ("stimulus", "unit")]).transpose("stimulus", "unit")


def _along(values: xr.DataArray, dim: str) -> dict[str, np.ndarray]:
    return {str(name): c.values for name, c in values.coords.items() if c.dims == (dim,)}


def _rsatoolbox() -> Any:
    try:
        import rsatoolbox
        import rsatoolbox.data
        import rsatoolbox.rdm
    except ImportError as error:
        raise DataError("rsatoolbox is not installed: pip install rsatoolbox") from error
    return rsatoolbox
