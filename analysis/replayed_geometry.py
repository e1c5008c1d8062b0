r"""Does replay preserve the geometry of waking activity?

While context *k* is learned, the animal re-creates activity of earlier contexts at its re-entry area. Class means of
that activity are compared with class means of what stimuli evoked in the same units when the context began (snapshot
*k* - 1): by the similarity of the two RDMs between classes, and class by class by the correlation of the two patterns.
Two halves of the waking stimuli, compared in the same way, say what is best to be expected (prefix ``reference_``);
halves are noisier than the whole, so replay can do slightly better.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
import xarray as xr

from replaysim.arithmetic import sums_by_group
from replaysim.errors import DataError, check_choice, check_number

from . import ranks, readings
from .dissimilarity import pairwise
from .labelled import per_slice, require
from .rdm_comparison import METHODS, similarity

METRICS = ("correlation", "cosine", "euclidean", "sqeuclidean_mean")
_OF_CLASS = ("prototype_correlation", "reference_prototype_correlation", "mismatched_prototype_correlation")
_LEAST = 3  # classes: two have a single dissimilarity, which correlates with nothing


def class_means(activity: torch.Tensor, label: torch.Tensor, n_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean pattern of every class, (class, unit) in float64, and trials behind it, (class).

    Parameters
    ----------
    activity
        (trial, unit).
    label
        (trial,): number of the class; trials with -1 belong to none.
    n_classes
        Classes; the mean of one without trials is 0.
    """
    known = label >= 0
    count = torch.bincount(label[known], minlength=n_classes)
    return sums_by_group(activity[known], label[known], n_classes) / count.clamp(min=1).unsqueeze(1), count


def halves(label: torch.Tensor) -> torch.Tensor:
    """0 or 1 for every trial, alternating within each class in the order of trials."""
    order = label.argsort(stable=True)
    ordered = label[order]
    place = torch.arange(len(label), device=label.device) - torch.searchsorted(ordered, ordered)
    return torch.empty_like(label).scatter_(0, order, place % 2)


def match(
    replayed: torch.Tensor,
    event_class: torch.Tensor,
    waking: torch.Tensor,
    stimulus_class: torch.Tensor,
    *,
    n_classes: int,
    metric: str,
    method: str,
    min_events: int,
) -> dict[str, torch.Tensor]:
    """Replayed against waking geometry of one animal at one time; see :func:`geometry_match`.

    Parameters
    ----------
    replayed, waking
        (event, unit) and (stimulus, unit).
    event_class, stimulus_class
        (event,) and (stimulus,): numbers of classes, -1 = none.
    """
    dreamt, n_events = class_means(replayed, event_class, n_classes)
    seen, n_stimuli = class_means(waking, stimulus_class, n_classes)
    half = halves(stimulus_class)
    first, second = (class_means(waking[half == h], stimulus_class[half == h], n_classes)[0] for h in (0, 1))
    known = (n_events >= min_events) & (n_stimuli > 0)
    found = _compare(dreamt, seen, known, metric, method)
    reference = _compare(first, second, known & (n_stimuli > 1), metric, method)
    found |= {f"reference_{name}": reference[name] for name in ("rdm_similarity", "prototype_correlation")}
    return found | {"n_events": n_events, "n_classes": known.sum()}


def _compare(
    one: torch.Tensor, other: torch.Tensor, known: torch.Tensor, metric: str, method: str
) -> dict[str, torch.Tensor]:
    table = (ranks.direction(one) @ ranks.direction(other).T).clamp(-1, 1)
    alike, others = table.diagonal(), table[:, known].nansum(1) - torch.where(known, table.diagonal(), 0).nan_to_num()
    geometry = {"similarity": alike.new_full((), torch.nan), "n_pairs_used": known.new_zeros((), dtype=torch.int64)}
    if int(known.sum()) >= _LEAST:
        geometry = similarity(pairwise(one[known], metric), pairwise(other[known], metric), method)
    return {
        "rdm_similarity": geometry["similarity"],
        "n_pairs_used": geometry["n_pairs_used"],
        "prototype_correlation": torch.where(known, alike, torch.nan),
        "mismatched_prototype_correlation": torch.where(known, others / (known.sum() - 1), torch.nan),
    }


def geometry_match(
    replayed: xr.DataArray,
    waking: xr.DataArray,
    *,
    labels: str = "original_class",
    metric: str = "correlation",
    method: str = "spearman",
    min_events: int = 2,
    device: str | torch.device = "auto",
) -> xr.Dataset:
    r"""Class means of replayed activity against class means of waking activity of the same units.

    Parameters
    ----------
    replayed
        (..., event, unit) with the coordinate ``labels`` (..., event).
    waking
        (..., stimulus, unit) with the coordinate ``labels`` (..., stimulus). Other dimensions are looped over
        together; an array without one is used for all.
    labels
        Coordinate with the class of an event or stimulus; negative numbers are no class.
    metric
        Dissimilarity of two classes: one of :data:`METRICS`.
    method
        Similarity of RDMs; see :mod:`analysis.rdm_comparison`.
    min_events
        Classes replayed less often are left out.
    device
        Where to compute, in float64.

    Returns
    -------
    xarray.Dataset
        ``rdm_similarity`` (...), NaN for fewer than 3 classes; ``prototype_correlation`` (..., ``labels``), Pearson
        correlation over units of the replayed and the waking mean, NaN for classes left out; both again as
        ``reference_...``, one half of the stimuli against the other, over the same classes: about the best that can be
        reached; ``mismatched_prototype_correlation`` (..., ``labels``), with the waking means of the *other* classes,
        mean: what every class has in common, the level of no specific memory; ``n_events`` (..., ``labels``) and
        ``n_classes`` (...), those that count. Coordinate ``n_pairs_used``.

    Raises
    ------
    DataError
        For missing labels, different units, no class in common, or NaN.
    SettingError
        For an unknown metric or method.
    """
    owner = "geometry_match"
    check_choice(owner, "metric", metric, METRICS)
    check_choice(owner, "method", method, METHODS)
    check_number(owner, "min_events", min_events, least=1, whole=True)
    dreamt = require(replayed, ("event", "unit"), owner, "replayed")
    seen = require(waking, ("stimulus", "unit"), owner, "waking")
    if dreamt.sizes["unit"] != seen.sizes["unit"]:
        units = f"{dreamt.sizes['unit']} and {seen.sizes['unit']}"
        raise DataError(f"{owner}: replayed and waking activity have {units} units; take that of the re-entry area")
    asked, shown = _labels(dreamt, labels, "event", owner), _labels(seen, labels, "stimulus", owner)
    classes = np.unique(shown.values)
    classes = classes[classes >= 0] if classes.dtype.kind in "fiu" else classes
    if not np.isin(asked.values, classes).any():
        raise DataError(f"{owner}: no class was both replayed and seen; compare the coordinates {labels!r}")
    event_class, stimulus_class = _numbered(asked, classes), _numbered(shown, classes)
    kernel = functools.partial(match, n_classes=len(classes), metric=metric, method=method, min_events=min_events)
    arrays = [dreamt.drop_vars(labels), event_class, seen.drop_vars(labels), stimulus_class]
    core = [("event", "unit"), ("event",), ("stimulus", "unit"), ("stimulus",)]
    of_class = (*_OF_CLASS, "n_events")
    single = ("rdm_similarity", "reference_rdm_similarity", "n_classes", "n_pairs_used")
    out: dict[str, tuple[str, ...]] = {**dict.fromkeys(of_class, (labels,)), **dict.fromkeys(single, ())}
    coords = {labels: (labels, classes, seen[labels].attrs)}
    found = per_slice(kernel, arrays, core, out, owner=owner, device=device, coords=coords)
    settings = {"metric": metric, "method": method, "min_events": min_events, "compute_dtype": "float64"}
    for name, value in found.items():
        value.attrs.update(_about(str(name)), **({} if str(name).startswith("n_") else settings))
    return found.set_coords("n_pairs_used")


def _labels(values: xr.DataArray, labels: str, trial: str, owner: str) -> xr.DataArray:
    if labels not in values.coords or trial not in values[labels].dims:
        raise DataError(f"{owner}: {labels!r} must be a coordinate along {trial!r}; got {list(values.coords)}")
    return values[labels]


def _numbered(label: xr.DataArray, classes: np.ndarray) -> xr.DataArray:
    """Places in ``classes`` instead of labels, -1 where it is not there."""
    place = np.searchsorted(classes, label.values).clip(max=len(classes) - 1)
    return label.copy(data=np.where(classes[place] == label.values, place, -1)).drop_vars(str(label.name))


def replay_against_waking(
    log: xr.DataTree,
    area: str | None = None,
    metric: str = "correlation",
    method: str = "spearman",
    min_events: int = 2,
    *,
    device: str | torch.device = "auto",
) -> xr.Dataset:
    """Geometry of what was replayed while a context was learned against that of waking activity when it began.

    Parameters
    ----------
    log
        With replay events and the activity of the area where they re-entered.
    area
        That area; default: as the log says.
    metric, method, min_events
        See :func:`geometry_match`.

    Returns
    -------
    xarray.Dataset
        What :func:`geometry_match` gives, (animal, contexts_learned[, original_class]), and its three correlations of
        class means as ``..._by_age`` (animal, contexts_learned, memory_age): mean over the classes learned so many
        contexts ago.

    Raises
    ------
    DataError
        Where no replay, or no waking activity of the re-entry area, was recorded, or events do not say what class was
        asked for (without cues; in the domain scenario, where the context was not asked for).
    """
    owner = "replay_against_waking"
    events = readings.replayed(log)
    if readings.are_current(log):
        raise DataError(f"{owner}: current stimuli were met again in this log, no memories of earlier ones")
    asked, age = events["original_class"], events["memory_age"]
    if not bool((asked >= 0).any()):
        raise DataError(
            f"{owner}: no replay event names a class (replay without cues; in the domain scenario, without "
            "gates_by='context', or of contexts that share their classes)"
        )
    replayed = events["activity"].assign_coords(original_class=asked)
    waking = readings.waking_before(log, events, owner, area)
    found = geometry_match(replayed, waking, metric=metric, method=method, min_events=min_events, device=device)
    classes = found["original_class"]
    ages = np.arange(1, max(1, int(age.max())) + 1)
    of_age = xr.concat([((asked == classes) & (age == m)).any("event") for m in ages], xr.Variable("memory_age", ages))
    for name in _OF_CLASS:
        mean = found[name].where(of_age).mean("original_class").transpose(..., "memory_age")
        found[f"{name}_by_age"] = mean.assign_attrs(found[name].attrs | _about(f"{name}_by_age"))
    found["memory_age"].attrs.update(long_name="contexts learned since, 1 = the one before", units="1")
    return found.assign_attrs(area=str(events.attrs.get("area", area)))


def _about(name: str) -> dict[str, str]:
    pair = "two halves of the stimuli" if name.startswith("reference_") else "replayed and waking activity"
    core = name.removeprefix("reference_").removesuffix("_by_age")
    meaning = {
        "rdm_similarity": f"similarity of RDMs of class means, {pair}",
        "prototype_correlation": f"correlation of class means, {pair}",
        "mismatched_prototype_correlation": "correlation of a replayed class mean with waking ones of other classes",
        "n_events": "replay events of the class",
        "n_classes": "classes that count",
        "n_pairs_used": "pairs of classes that count",
    }[core]
    return {"long_name": meaning + (", mean over classes" if name.endswith("_by_age") else ""), "units": "1"}
