"""What a log holds, as labelled arrays ready for analysis; nothing is loaded before it is used."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

import numpy as np
import xarray as xr

from replaysim.errors import DataError, check_choice
from replaysim.log import settings_of

from .class_order import original_of, position_of
from .groups import group_of, variable

Labelled = TypeVar("Labelled", xr.Dataset, xr.DataArray)
Recorded = TypeVar("Recorded", xr.Dataset, xr.DataArray)


def areas(log: xr.DataTree) -> list[str]:
    """Names of the recorded cortical areas, from the retina up.

    In a log of an earlier version, which does not say their heights: the retina, then those that cannot change, then by
    name and number.
    """
    cortex = group_of(log, "cortex", "pass record=[CorticalActivity()] to simulate()")
    if all("height" in area.attrs for area in cortex.children.values()):
        return sorted(cortex.children, key=lambda area: int(cortex.children[area].attrs["height"]))

    def height(area: str) -> tuple[bool, int, list[str | int]]:
        parts = [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", area)]
        return area != "retina", int(cortex.children[area].attrs.get("plastic", 1)), parts

    return sorted(cortex.children, key=height)


def changes(log: xr.DataTree, area: str) -> bool:
    """Whether the activity of an area can change in this log: it has snapshots, and plastic synapses at or below it."""
    values = activity(log, area)
    return "snapshot" in values.dims and int(values.attrs.get("plastic", 1)) == 1


def without_faults(log: xr.DataTree) -> xr.DataTree:
    """The log without animals whose losses became infinite, and of which everything after that is NaN."""
    faults = faulty(log)
    return without(log, faults) if faults else log


def faulty(log: xr.DataTree) -> list[int]:
    """Animals whose losses became infinite."""
    return [int(one) for one in np.atleast_1d(log.attrs.get("animals_with_faults", -1)) if one >= 0]


def lagging(log: xr.DataTree) -> list[int]:
    """Animals of an unfinished log that have not come as far as others.

    Such a log does not say yet whose losses became infinite; these are among them.
    """
    if "behaviour" not in log.children:
        return []
    accuracy = log["behaviour"].to_dataset()["accuracy"]
    there = accuracy.notnull().any([dim for dim in accuracy.dims if dim not in ("animal", "contexts_learned")])
    reached = there.sum("contexts_learned")
    behind = reached["animal"].values[(reached < reached.max()).values].tolist()
    return [int(one) for one in behind if one not in faulty(log)]


def without(log: xr.DataTree, animals: Iterable[int]) -> xr.DataTree:
    """The log without these animals."""
    left_out, groups = list(animals), {}
    for node in log.subtree:
        part = node.to_dataset(inherit=False)
        if "animal" in part.dims:  # its labels may be those of the group above
            part = part.isel(animal=~np.isin(node.to_dataset()["animal"].values, left_out))
        groups[node.path] = part
    return xr.DataTree.from_dict(groups)


def activity(log: xr.DataTree, area: str) -> xr.DataArray:
    """Activity of an area evoked by the probe stimuli.

    Returns
    -------
    xarray.DataArray
        (animal, snapshot, stimulus, unit), or without ``snapshot`` where the area does not change; with the coordinates
        ``contexts_learned`` and ``step`` of snapshots, ``original_class`` of stimuli and ``context`` of (animal,
        stimulus).

    Raises
    ------
    SettingError, DataError
        If this area, or no area, was recorded.
    """
    check_choice("activity", "area", area, areas(log))
    node = log.children["cortex"].children[area]
    values = variable(node.to_dataset(inherit="all_coords"), "activity", f"/cortex/{area}")
    return values.rename(area).assign_attrs(values.attrs, area=area, plastic=int(node.attrs.get("plastic", 1)))


def codes(log: xr.DataTree) -> xr.DataArray:
    """Means of the hippocampal codes of the probe stimuli, (animal, snapshot, stimulus, unit)."""
    group = group_of(log, "hippocampus", "pass record=[HippocampalCodes()] to simulate()").to_dataset()
    return variable(group, "code_mean", "/hippocampus").rename({"code_unit": "unit"}).rename("hippocampus")


def replayed(log: xr.DataTree) -> xr.Dataset:
    """Replay events with what their labels mean in the data set.

    Returns
    -------
    xarray.Dataset
        The group ``/replay`` and, with dimensions (animal, contexts_learned, event): ``original_class``, the class of
        the data set that was asked for, or of which a stored episode is, -1 where none (in the domain scenario also
        where its context is not known, or contexts share their classes); ``decided_class``, the one that the earlier
        self decided for, -1 in the domain scenario; and ``memory_age``, contexts learned since the asked one, 1 = the
        one just before, -1 where none. Of current stimuli (:func:`are_current`) ``original_class`` is the stimulus's
        own, and none is of an earlier context.
    """
    group = group_of(log, "replay", "pass record=[ReplayActivity()] to simulate() with a replay mechanism").to_dataset()
    for name in ("activity", "cued_class", "cued_context", "decision"):
        variable(group, name, "/replay")
    behaviour = group_of(log, "behaviour", "").to_dataset()
    identity = variable(behaviour, "class_identity", "/behaviour").sel(animal=group["animal"])
    context = of = group["cued_context"]
    if are_current(log):  # it is then the context within which the earlier self judged a stimulus of this one
        context, of = xr.full_like(context, -1), (xr.zeros_like(context) + group["contexts_learned"])
    asked, decided = group["cued_class"], group["decision"]
    if log.attrs.get("scenario") == "domain":  # units are classes of every context, and a decision names no context
        asked, decided = position_of(log, asked, of.transpose(*asked.dims)), xr.full_like(decided, -1)
    found = {
        "original_class": original_of(asked, identity),
        "decided_class": original_of(decided, identity),
        "memory_age": (group["contexts_learned"] - context).where(context > 0, -1).transpose(*context.dims),
    }
    meaning = {
        "original_class": "class of the data set that was asked for, -1 = none",
        "decided_class": "class of the data set that the earlier self decided for, -1 = missing",
        "memory_age": "contexts learned since the asked one, 1 = the one before, -1 = none",
    }
    return group.assign({n: v.astype(np.int32).assign_attrs(long_name=meaning[n], units="1") for n, v in found.items()})


def are_current(log: xr.DataTree) -> bool:
    """Whether what was met again are stimuli of the context that was being learned, not memories (LwF)."""
    group = log.children.get("replay")
    if group is not None and "source" in group.attrs:
        return bool(group.attrs["source"] == "current")
    kind = settings_of(log.attrs, "log").get("replay") if "config_json" in log.attrs else None  # an earlier version's
    return isinstance(kind, dict) and kind.get("kind") == "CurrentInputReplay"


def when_context_began(values: Recorded, events: xr.Dataset, owner: str) -> Recorded:
    """What was recorded of the earlier self that replayed, when each context began.

    Parameters
    ----------
    values
        (..., snapshot, ...) with the coordinate ``contexts_learned``; what has no snapshots comes back as it is.
    events
        Replay, as :func:`replayed` gives it.
    owner
        Function that the user called, for errors.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        (..., contexts_learned, ...): during the learning of context *k*, what was recorded after *k* - 1 contexts.

    Raises
    ------
    DataError
        Where such a snapshot is missing.
    """
    if "animal" in values.dims:
        values = values.sel(animal=events["animal"])
    if "snapshot" not in values.dims:
        return values
    recorded = values["contexts_learned"].values.tolist()
    wanted = [k - 1 for k in events["contexts_learned"].values.tolist()]
    if missing := [k for k in wanted if k not in recorded]:
        raise DataError(
            f"{owner}: there is no snapshot from when context {missing[0] + 1} began, after {missing[0]} contexts "
            f"(there are {recorded}); leave that context out, or record all"
        )
    own = values.isel(snapshot=[recorded.index(k) for k in wanted])
    own = own.drop_vars([name for name, c in own.coords.items() if "snapshot" in c.dims])
    return own.rename(snapshot="contexts_learned").assign_coords(contexts_learned=events["contexts_learned"])


def waking_before(log: xr.DataTree, events: xr.Dataset, owner: str, area: str | None = None) -> xr.DataArray:
    """Waking activity of the area where replay re-entered, when each context began; see :func:`when_context_began`.

    Raises
    ------
    DataError
        If another ``area`` is asked for, or its waking activity was not recorded.
    """
    own = str(events.attrs.get("area", area))
    if area not in (None, own):
        raise DataError(
            f"{owner}: replay re-entered at {own!r}, not at {area!r}, which has other units. To compare in another "
            "space, show replayed activity to a network and compare what it evokes there"
        )
    if "cortex" not in log.children or own not in areas(log):
        raise DataError(
            f"{owner}: replay re-entered at {own!r}, whose waking activity was not recorded; pass "
            f'record=[CorticalActivity("{own}", ...), ReplayActivity()] to simulate()'
        )
    return when_context_began(activity(log, own), events, owner)


def in_learning_order(matrix: xr.DataArray, log: xr.DataTree) -> xr.DataArray:
    """A matrix between classes with each animal's classes in the order in which that animal learned them.

    Parameters
    ----------
    matrix
        (animal, ..., item, other_item) with classes of the data set as coordinate ``item``, as
        :func:`~analysis.rsa.as_matrix` gives it.
    log
        Whose ``class_identity`` says the order.

    Returns
    -------
    xarray.DataArray
        The same with positions, from 0, instead of classes: now animals can be averaged.
    """
    owner = "in_learning_order"
    if not isinstance(matrix, xr.DataArray) or not {"animal", "item", "other_item"} <= set(matrix.dims):
        raise DataError(f"{owner}: needs a matrix (animal, ..., item, other_item), as rsa.as_matrix() gives it")
    if matrix.attrs.get("items", "original_class") != "original_class":
        raise DataError(
            f"{owner}: the items are {matrix.attrs['items']!r}; take an RDM of classes, by='original_class'"
        )
    identity = variable(group_of(log, "behaviour", "").to_dataset(), "class_identity", "/behaviour")
    if missing := sorted(set(matrix["animal"].values.tolist()) - set(identity["animal"].values.tolist())):
        raise DataError(f"{owner}: the log has no animals {missing}")
    rows = []
    for animal in matrix["animal"].values:
        order = identity.sel(animal=animal).values
        order = order[np.isin(order, matrix["item"].values)]
        rows.append(matrix.sel(animal=animal, item=order, other_item=order).assign_coords(item=range(len(order))))
        rows[-1] = rows[-1].assign_coords(other_item=range(len(order)))
    return xr.concat(rows, matrix["animal"].variable.to_index_variable()).transpose(*matrix.dims)


def over_areas(
    log: xr.DataTree, measure: Callable[[xr.DataArray], Labelled], names: Iterable[str] | None = None
) -> Labelled:
    """A measure of every area's activity, side by side along the dimension ``area``.

    Parameters
    ----------
    measure
        Takes what :func:`activity` gives; its result must not keep the units.
    names
        Areas; default: all recorded ones.
    """
    chosen = list(areas(log) if names is None else names)
    if not chosen:
        raise DataError("over_areas: no area was named")
    found = [measure(activity(log, area)) for area in chosen]
    label = xr.Variable("area", chosen, {"long_name": "cortical area"})
    return xr.concat(found, label, coords="minimal", compat="override", join="outer", combine_attrs="drop_conflicts")
