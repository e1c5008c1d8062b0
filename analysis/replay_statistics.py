r"""Statistics of replay: which memories come, whether they are those asked for, and what is left of the experience.

All from replay events in the log (:func:`analysis.readings.replayed`). ``contexts_learned`` is the number *k* of the
context during which an event was replayed, by the earlier self that had learned *k* - 1; ``memory_age`` is *k* minus
the context of the memory. The earlier self knows its older memories from replay, not from experience: a memory of age
*m* is being re-created for the *m*-th time, so that age counts generations of replay.

In the domain scenario a decision does not name a class of the data set, and a cue does where its context is known
(stored episodes, gates by context); what needs other classes is an error. Where an
animal has no such event, or what came is not a number, values are NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from replaysim.errors import DataError, check_choice

from .class_order import context_of_position, context_of_unit, share_classes
from .labelled import per_slice
from .readings import are_current, replayed, waking_before, when_context_began

BY = {"decision": "decided_class", "cue": "original_class"}
"""What says the class of an event: the earlier self's decision on what came, or what was asked for."""
_NOT_ASKED = "no class was asked for in this log: its brain has neither class modes nor gates"
_SHARED = "contexts share their classes in this log, and look another way in each, so that a class is no memory"
_NO_CONTEXT = (
    "memories were asked for whatever their context in this log; in the domain scenario it is known of stored "
    "episodes, and with gates by context (gates_by='context')"
)
_MEANING = {
    "proportion": ("share of replay events", "1"),
    "mean_age": ("contexts since the memory was learned, 1 = the one before, mean over events", "1"),
    "entropy": ("entropy of the replayed classes", "bit"),
    "relative_entropy": ("entropy of the replayed classes over that of all met in equal parts", "1"),
    "n_events": ("replay events that count", "1"),
    "occupancy": ("share of the replayed codes that are most probable under the mode", "1"),
    "effective_modes": ("2 to the entropy of the occupancy", "1"),
    "agreement": ("share of events that the earlier self takes for what was asked for", "1"),
    "confidence": ("largest probability that the earlier self gives an answer", "1"),
    "target_entropy": ("entropy of the earlier self's probabilities", "bit"),
    "distance": ("distance of replayed from waking class mean, over the spread between classes", "1"),
    "reference_distance": ("the same for as many waking patterns, root mean square", "1"),
    "variance_ratio": ("variance within a class of replayed over waking activity", "1"),
}


def class_proportions(log: xr.DataTree, by: str = "decision") -> xr.Dataset:
    r"""How often every class is replayed, and how evenly.

    Parameters
    ----------
    by
        ``"decision"``: the class that the earlier self takes an event for (not in the domain scenario, where answers do
        not name one); ``"cue"``: the class that was asked for, or of which a stored episode is.

    Returns
    -------
    xarray.Dataset
        ``proportion`` (animal, contexts_learned, original_class); ``entropy`` (animal, contexts_learned), in bit;
        ``relative_entropy``, the entropy over that of all classes met so far in equal parts (1 = even, 0 = always the
        same; NaN where one class was met); ``n_events`` that count. By cue, :class:`DataError` without cues.
    """
    owner = "class_proportions"
    events, classes = _events(log), _classes(log)
    counts = (_class_of(log, events, by, owner) == classes).sum("event").transpose(..., "original_class")
    n, met = counts.sum("original_class"), (_age(log, events) >= 1).sum("original_class")
    found = xr.Dataset({"proportion": counts / n.where(n > 0), "n_events": n})
    found["entropy"] = _entropy(found["proportion"], "original_class")
    found["relative_entropy"] = found["entropy"] / np.log2(met.where(met > 1))
    return _described(found, by=by)


def age_proportions(log: xr.DataTree) -> xr.Dataset:
    """How often memories of every age come: what a policy of replay, and chance, make of it.

    Returns
    -------
    xarray.Dataset
        ``proportion`` (animal, contexts_learned, memory_age) of the events of a known context (asked for, or stored),
        NaN for ages that there are not yet; ``mean_age`` (animal, contexts_learned); ``n_events`` that count.

    Raises
    ------
    DataError
        Where no event is of a known earlier context.
    """
    events = _events(log)
    asked = events["memory_age"]
    if are_current(log):
        raise DataError("age_proportions: current stimuli were met again in this log, no memories")
    if not (asked > 0).any():
        raise DataError(f"age_proportions: {_NO_CONTEXT if (events['cued_class'] >= 0).any() else _NOT_ASKED}")
    ages = xr.DataArray(_ages(events), coords={"memory_age": _ages(events)})
    counts = (asked == ages).sum("event").transpose(..., "memory_age")
    n = (asked > 0).sum("event")
    there = ages < events["contexts_learned"]
    found = xr.Dataset({"proportion": (counts / n.where(n > 0)).where(there), "n_events": n})
    found["mean_age"] = asked.where(asked > 0).mean("event")
    return _described(found)


def mode_occupancy(log: xr.DataTree, *, device: str | torch.device = "auto") -> xr.Dataset:
    r"""Which memory modes the replayed codes lie in.

    A code belongs to the mode under which it is most probable, of those of the classes that the earlier self had met.
    ``occupancy`` (animal, contexts_learned, mode) is the share of codes, ``effective_modes`` (animal, contexts_learned)
    is 2 to its entropy: 1 = all in one mode. :class:`DataError` where modes or codes were not recorded.
    """
    owner = "mode_occupancy"
    events = _events(log)
    if "hippocampus" not in log.children:
        raise DataError(f"{owner}: the modes were not recorded; pass record=[HippocampalCodes(), ReplayActivity()]")
    group = log.children["hippocampus"].to_dataset()
    if "mode_mean" not in group or "code" not in events:
        raise DataError(f"{owner}: this log has no modes: the brain has none, or its codes were not recorded")
    mode = when_context_began(group[["mode_mean", "mode_log_variance"]], events, owner)
    n = mode.sizes["mode"]
    context = context_of_unit(log) if log.attrs.get("scenario") == "domain" else context_of_position(log)
    met = events["contexts_learned"] > xr.DataArray(np.repeat(context, n // len(context)), dims="mode")

    def kernel(code: Tensor, mean: Tensor, log_variance: Tensor, known: Tensor) -> dict[str, Tensor]:
        precision = torch.exp(-log_variance)
        square = code.square() @ precision.T - 2 * code @ (mean * precision).T + (mean.square() * precision).sum(1)
        nearest = torch.where(known > 0, square + log_variance.sum(1), torch.inf).argmin(1)
        return {"occupancy": torch.bincount(nearest, minlength=n).double() / len(code)}

    core = [("event", "code_unit"), ("mode", "code_unit"), ("mode", "code_unit"), ("mode",)]
    arrays = [events["code"], mode["mode_mean"], mode["mode_log_variance"], met.astype(int)]
    where: dict[str, Any] = {"device": device, "dtype": torch.float64, "coords": {"mode": mode["mode"].variable}}
    found = per_slice(kernel, arrays, core, {"occupancy": ["mode"]}, owner=owner, **where)
    found["effective_modes"] = 2 ** _entropy(found["occupancy"], "mode")
    return _described(found)


def cue_agreement(log: xr.DataTree) -> xr.Dataset:
    """Whether what came is what was asked for: the earlier self decides for the class of the cue.

    ``agreement`` (animal, contexts_learned) is the fraction of events; ``agreement_by_age`` (..., memory_age), where
    contexts were asked for, and ``agreement_by_class`` (..., original_class), of the class asked for (in the domain
    scenario where its context is known). :class:`DataError` where no class was asked for.
    """
    events = _events(log)
    asked = events["cued_class"]
    if are_current(log):
        raise DataError("cue_agreement: nothing was asked for in this log: current stimuli were met again")
    if not (asked >= 0).any():
        raise DataError(f"cue_agreement: {_NOT_ASKED}")
    same = (asked == events["decision"]).where((asked >= 0) & (events["decision"] >= 0))
    return _described(_by_groups({"agreement": same}, log, events, "original_class"))


def replay_confidence(log: xr.DataTree) -> xr.Dataset:
    r"""How sure the earlier self is of what came, from its target :math:`p` (tempered probabilities of the answers).

    ``confidence`` :math:`\max_c p_c` and ``target_entropy`` :math:`-\sum_c p_c \log_2 p_c` in bit, (animal,
    contexts_learned), means over events; both with ``_by_age`` (..., memory_age), where contexts were asked for, and
    ``_by_class`` (..., original_class), of the class decided for, except in the domain scenario. :class:`DataError`
    without targets.
    """
    events = _events(log)
    if "target" not in events:
        raise DataError("replay_confidence: this log has no variable /replay/target")
    target = events["target"].astype(np.float64)
    sure = {"confidence": target.max("class", skipna=False), "target_entropy": _entropy(target, "class")}
    return _described(_by_groups(sure, log, events, "decided_class"))


def replayed_prototypes(log: xr.DataTree, by: str = "decision", *, device: str | torch.device = "auto") -> xr.Dataset:
    r"""How far replayed memories are from the experience that they stand for, in the area where replay re-enters.

    With the means and total variances (summed over units) of replayed, :math:`r_c, v_c`, and waking activity,
    :math:`w_c, u_c`, of class *c*, and the *n* classes met so far with mean :math:`\bar w`:

    .. math:: \text{distance}_c = \frac{\|r_c - w_c\|}{\sqrt{\tfrac1n \sum_{c'} \|w_{c'} - \bar w\|^2}}, \qquad
              \text{variance\_ratio}_c = \frac{v_c}{u_c}

    A distance of 1 is as far as classes are from their mean; a ratio below 1: memories of a class became alike. Means
    of few events are off by chance: ``reference_distance`` is the root mean square distance of as many waking patterns.

    Parameters
    ----------
    log
        With waking activity of the re-entry area, ``record=[CorticalActivity("retina"), ReplayActivity()]``, of which
        that of the earlier self counts.
    by
        What says the class of an event; see :func:`class_proportions`.

    Returns
    -------
    xarray.Dataset
        ``distance``, ``reference_distance``, ``variance_ratio`` and ``n_events`` (animal, contexts_learned,
        original_class); the first three with ``_by_age`` (animal, contexts_learned, memory_age), mean over the classes
        of one context: drift over generations of replay. A class not met is NaN, and the variance of a single event.

    Raises
    ------
    DataError
        Where that activity was not recorded, by decision in the domain scenario, and by cue where no class is known.
    """
    owner = "replayed_prototypes"
    events, classes = _events(log), _classes(log)
    own = _class_of(log, events, by, owner)
    own = own.copy(data=np.where(own.values < 0, -1, np.searchsorted(classes.values, own.values)))
    waking = waking_before(log, events, owner)
    label, age = waking["original_class"].reset_coords(drop=True), _age(log, events)
    if absent := sorted(set(classes.values.tolist()) - set(label.values.tolist())):
        raise DataError(f"{owner}: no waking stimuli of classes {absent}")
    label = label.copy(data=np.searchsorted(classes.values, label.values))

    def kernel(memory: Tensor, decided: Tensor, awake: Tensor, code: Tensor, known: Tensor) -> dict[str, Tensor]:
        one, other = (_moments(x, y, len(classes)) for x, y in ((memory, decided), (awake, code)))
        centre = other["mean"][known >= 1]
        spread = (centre - centre.mean(0)).square().sum(1).mean().sqrt()
        spread = torch.where((spread > 0) & (known >= 1), spread, torch.nan)
        expected = (other["variance"] * (1 / one["n"] + 1 / other["n"])).sqrt()
        return {
            "distance": torch.linalg.vector_norm(one["mean"] - other["mean"], dim=1) / spread,
            "reference_distance": torch.where(one["n"] > 0, expected, torch.nan) / spread,
            "variance_ratio": torch.where(known >= 1, one["variance"] / other["variance"], torch.nan),
            "n_events": one["n"],
        }

    core = [("event", "unit"), ("event",), ("stimulus", "unit"), ("stimulus",), ("original_class",)]
    arrays = [events["activity"], own, waking.reset_coords(drop=True), label, age]
    names = ("distance", "reference_distance", "variance_ratio")
    out = {name: ["original_class"] for name in (*names, "n_events")}
    where: dict[str, Any] = {"device": device, "dtype": torch.float64, "coords": classes.coords}
    found = per_slice(kernel, arrays, core, out, owner=owner, **where)
    for name in names:
        found[f"{name}_by_age"] = _by_label(found[name], age, _ages(events), "original_class")
    return _described(found.assign(n_events=found["n_events"].astype(int)), by=by)


def _events(log: xr.DataTree) -> xr.Dataset:
    """Replay events; what is not a number is of no class, no age, and no decision on it counts."""
    events = replayed(log)
    if "target" in events:
        sound = events["target"].notnull().all("class")
        named = ("decision", "decided_class", "original_class", "memory_age")
        events = events.assign({name: events[name].where(sound, -1) for name in named})
    return events


def _classes(log: xr.DataTree) -> xr.DataArray:
    classes = np.unique(log["behaviour"].to_dataset()["class_identity"].values)
    return xr.DataArray(classes, dims="original_class", coords={"original_class": classes})


def _class_of(log: xr.DataTree, events: xr.Dataset, by: str, owner: str) -> xr.DataArray:
    """Class of every event, -1 = missing."""
    check_choice(owner, "by", by, BY)
    domain = log.attrs.get("scenario") == "domain"
    known = (events["original_class"] >= 0).any()
    if domain and by == "decision":
        must = "; take by='cue'" if known else ""
        raise DataError(f"{owner}: in the domain scenario answers do not name the classes decided for{must}")
    if by == "cue" and not known:
        reason = _NOT_ASKED
        if (events["cued_class"] >= 0).any():
            reason = _SHARED if share_classes(log) else _NO_CONTEXT
        raise DataError(f"{owner}: {reason}{'' if domain else '; take by=' + repr('decision')}")
    return events[BY[by]]


def _age(log: xr.DataTree, events: xr.Dataset) -> xr.DataArray:
    """Age of the memory of every class, (animal, contexts_learned, original_class); below 1 = not met before."""
    identity = log["behaviour"].to_dataset()["class_identity"].sel(animal=events["animal"])
    classes = np.unique(identity.values)
    context = context_of_position(log)[np.argsort(identity.values, axis=1)]
    coords = {"animal": events["animal"].variable, "original_class": classes}
    age = events["contexts_learned"] - xr.DataArray(context, coords, ("animal", "original_class"))
    return age.transpose("animal", "contexts_learned", "original_class")


def _ages(events: xr.Dataset) -> xr.Variable:
    about = {"long_name": "contexts learned since the memory's, 1 = the one before", "units": "1"}
    return xr.Variable("memory_age", np.arange(1, int(events["contexts_learned"].max())), about)


def _moments(patterns: Tensor, label: Tensor, classes: int) -> dict[str, Tensor]:
    """Number, mean pattern and total variance of every class; -1 counts nowhere."""
    known = label >= 0
    x, member = patterns[known].double(), torch.nn.functional.one_hot(label[known], classes).double()
    n = member.sum(0)
    mean = (member.T @ x) / n[:, None]
    variance = member.T @ (x - mean[label[known]]).square().sum(1) / torch.where(n > 1, n - 1, torch.nan)
    return {"n": n, "mean": mean, "variance": variance}


def _entropy(share: xr.DataArray, dim: str) -> xr.DataArray:
    """Entropy in bit; 0 log 0 = 0."""
    return -(share * np.log2(share.where(share != 0, 1))).sum(dim, skipna=False)


def _by_label(values: xr.DataArray, label: xr.DataArray, wanted: xr.Variable, over: str) -> xr.DataArray:
    """Means over the elements with each label, the labels as the last dimension."""
    rows = [values.where(label == k).mean(over) for k in wanted.values]
    return xr.concat(rows, wanted, coords="minimal", compat="override").transpose(..., wanted.dims[0])


def _by_groups(values: dict[str, xr.DataArray], log: xr.DataTree, events: xr.Dataset, label: str) -> xr.Dataset:
    """Means over events, by memory age where contexts were asked for, and by the class ``label`` where it is known."""
    found: dict[str, xr.DataArray] = {name: value.mean("event") for name, value in values.items()}
    if (events["memory_age"] > 0).any():
        found |= {f"{n}_by_age": _by_label(v, events["memory_age"], _ages(events), "event") for n, v in values.items()}
    if (events[label] >= 0).any():
        classes = _classes(log).variable
        found |= {f"{n}_by_class": _by_label(v, events[label], classes, "event") for n, v in values.items()}
    return xr.Dataset(found)


def _described(found: xr.Dataset, **settings: Any) -> xr.Dataset:
    for name in map(str, found):
        own, _, group = name.partition("_by_")
        long_name, units = _MEANING[own]
        found[name].attrs = {"long_name": long_name + (f", by {group}" if group else ""), "units": units} | settings
    return found
