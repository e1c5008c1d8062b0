r"""Intransigence: what protects old memories may hinder new ones; told by comparison with the same animals' joint life.

An animal whose losses became infinite in one of both has no value.
"""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from replaysim.errors import DataError

from .forgetting import behaviour_of, just_learned, named, whole


def intransigence(log: xr.DataTree, joint: xr.DataTree, answers: str | None = None) -> xr.DataArray:
    r"""Accuracy that the same animals reach on new contexts when they meet all trials, over that in the log; (animal).

    .. math:: I = \tfrac{1}{T-1} \sum_{k=2}^{T} \bigl( a^*_k - a_{k,k} \bigr)

    where :math:`a^*_k` is the accuracy on context *k* after joint experience of the contexts 1 to *k*. Positive where
    what protects old memories hinders new ones; from -1 to 1.

    Parameters
    ----------
    log, joint
        Logs of the same animals and the same protocol; ``joint`` from ``simulate(..., experience="joint")``.
    answers
        Which readout units competed; default: see the module.

    Raises
    ------
    DataError
        For other animals, another protocol, or fewer than two contexts.

    Notes
    -----
    Source: Chaudhry et al. (2018), ECCV. The mean leaves out the first context, where both are alike, as the public
    continual-learning code of van de Ven does.
    """
    by_context = intransigence_by_context(log, joint, answers)
    if by_context.sizes["context"] < 2:
        raise DataError("intransigence needs at least two learned contexts; the log has 1")
    mean = by_context.isel(context=slice(1, None)).mean("context", skipna=False, keep_attrs=True)
    return mean.rename("intransigence").assign_attrs(long_name=f"{by_context.attrs['long_name']}, mean over contexts")


def intransigence_by_context(log: xr.DataTree, joint: xr.DataTree, answers: str | None = None) -> xr.DataArray:
    """:func:`intransigence` of every context, the first included; (animal, context)."""
    require_same_life(log, joint)
    own, best = (just_learned(whole(one, answers)) for one in (log, joint))
    gap = (best.sel(animal=own["animal"]) - own).assign_attrs(own.attrs)
    return named(gap, "intransigence", "joint accuracy minus accuracy when just learned")


def require_same_life(log: xr.DataTree, joint: xr.DataTree) -> None:
    """Raise :class:`DataError` unless these animals met these contexts in both logs, in ``joint`` jointly."""
    owner = "intransigence"
    one, other = (behaviour_of(each).sortby("animal") for each in (log, joint))
    if one["animal"].values.tolist() != other["animal"].values.tolist():
        raise DataError(
            f"{owner}: log and joint have different animals, {one['animal'].values.tolist()} and "
            f"{other['animal'].values.tolist()}; select the common ones first"
        )
    settings = [json.loads(each.attrs.get("config_json", "{}")) for each in (log, joint)]
    plans = [each.get("protocol") or {} for each in settings]
    for name in sorted(plans[0].keys() & plans[1].keys()):
        if plans[0][name] != plans[1][name]:
            raise DataError(
                f"{owner}: log and joint have different protocols: {name} {plans[0][name]!r} and {plans[1][name]!r}"
            )
    scenarios = [
        each.attrs.get("scenario", found.attrs.get("scenario")) for each, found in ((log, one), (joint, other))
    ]
    if scenarios[0] != scenarios[1]:
        raise DataError(f"{owner}: log and joint have different scenarios: {scenarios[0]!r} and {scenarios[1]!r}")
    for name in ("context", "class_identity", "n_test"):
        if name in one and name in other and not np.array_equal(one[name].values, other[name].values):
            raise DataError(f"{owner}: log and joint have different protocols: /behaviour/{name} differs")
    if settings[1].get("experience", "joint") != "joint":
        found = settings[1]["experience"]
        raise DataError(f"{owner}: joint has experience={found!r}; take a log of simulate(..., experience='joint')")
