"""Which class stands where: class of the data set, position in an animal's order, readout unit, context.

In the domain scenario a readout unit stands for the place of a class within its context, in the others for a position.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from replaysim.errors import DataError
from replaysim.log import settings_of

from .groups import group_of


def class_counts(log: xr.DataTree) -> np.ndarray | None:
    """Number of classes of each context, (context,); None where the log does not say."""
    behaviour = group_of(log, "behaviour", "").to_dataset()
    classes, contexts = behaviour["class_identity"].sizes["class"], behaviour.sizes["context"]
    level = behaviour["chance"].sel(answers="within_context").max("contexts_learned").values
    counts = np.rint(1 / level).astype(np.int64)
    if counts.sum() == classes or (counts == classes).all():
        return counts
    # in the domain scenario as many units compete as the context with most classes has
    protocol = settings_of(log.attrs, "log").get("protocol", {}) if "config_json" in log.attrs else {}
    groups = protocol.get("contexts")
    sizes = [len(one) for one in groups] if isinstance(groups, list) else []
    known = len(sizes) == contexts and sum(sizes) == classes and max(sizes) == counts.max()
    return np.array(sizes) if known else None


def share_classes(log: xr.DataTree) -> bool:
    """Whether all contexts, of several, have the same classes (permuted protocols)."""
    counts, classes = class_counts(log), group_of(log, "behaviour", "").to_dataset().sizes["class"]
    return counts is not None and len(counts) > 1 and bool((counts == classes).all())


def first_classes(log: xr.DataTree) -> np.ndarray | None:
    """Position of the first class of every context, (context,), 0 where contexts share theirs; None if not known."""
    counts = class_counts(log)
    if counts is None or share_classes(log):
        return None if counts is None else np.zeros_like(counts)
    return np.cumsum([0, *counts])[:-1]


def context_of_position(log: xr.DataTree) -> np.ndarray:
    """Context of every position of the class order, where contexts have classes of their own."""
    counts = class_counts(log)
    if counts is None or share_classes(log):
        raise DataError("context_of_position: this log does not say which classes each context has")
    return np.arange(1, len(counts) + 1).repeat(counts)


def context_of_unit(log: xr.DataTree) -> np.ndarray:
    """First context with a class for every readout unit that contexts share (domain scenario); 1 where not known."""
    counts = class_counts(log)
    if counts is None:
        return np.ones(1, np.int64)
    return (counts[:, None] > np.arange(counts.max())).argmax(0) + 1


def answers_of(log: xr.DataTree, stimuli: xr.DataArray) -> xr.DataArray:
    """The readout unit that is right for each stimulus, (animal, stimulus).

    In the domain scenario, units stand for the place of a class within its context; in the others, for a class.

    Parameters
    ----------
    stimuli
        With the coordinates ``animal``, ``original_class`` and ``context``, as :func:`activity` gives them.

    Raises
    ------
    DataError
        Where these are missing, a stimulus is of no class of the log, or the log does not say which classes contexts
        have.
    """
    if lacking := [name for name in ("animal", "original_class", "context") if name not in stimuli.coords]:
        raise DataError(f"answers_of: stimuli have no coordinate {', '.join(map(repr, lacking))}")
    if "animal" not in stimuli.dims:
        return answers_of(log, stimuli.expand_dims("animal")).isel(animal=0)
    identity = group_of(log, "behaviour", "").to_dataset()["class_identity"].sel(animal=stimuli["animal"])
    same = identity == stimuli["original_class"]
    if not bool(same.any("class").all()):
        raise DataError("answers_of: stimuli are of classes that this log does not have")
    position = same.argmax("class").reset_coords(drop=True)
    if log.attrs.get("scenario") == "domain":
        first = first_classes(log)
        if first is None:
            raise DataError("answers_of: this log does not say which classes each context has")
        begins = xr.DataArray(first[stimuli["context"].values - 1], dims=stimuli["context"].dims)
        position = position - begins
    return position.transpose("animal", "stimulus").rename("answer")


def position_of(log: xr.DataTree, unit: xr.DataArray, context: xr.DataArray) -> xr.DataArray:
    """Position of the class that a readout unit stands for in a context (domain scenario); -1 where one is unknown."""
    first = first_classes(log)
    if first is None or share_classes(log):  # a class that contexts share looks another way in each
        return xr.full_like(unit, -1)
    begins = xr.DataArray(first[context.clip(min=1).values - 1], dims=context.dims)
    return (unit + begins).where((unit >= 0) & (context > 0), -1).astype(unit.dtype).transpose(*unit.dims)


def original_of(position: xr.DataArray, identity: xr.DataArray) -> xr.DataArray:
    """Class of the data set at each position of the animal's order; -1 stays -1."""
    position = position.compute()  # an index must be loaded
    known = identity.isel({"class": position.clip(min=0)}).drop_vars("class", errors="ignore")
    return known.where(position >= 0, -1).transpose(*position.dims)
