"""Comparison of conditions: means, paired differences and the interaction of two mechanisms, with their uncertainty."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from scipy import special

from replaysim.errors import DataError, check_choice

from . import forgetting as measures
from .intransigence import intransigence, require_same_life

LEVEL = 0.95
_ALL_FLIPS_UP_TO = 14
_DRAWS = 10_000
_AT_ONCE = 256  # elements that are resampled together


def summarise(values: xr.DataArray, *, bootstrap: bool = False, seed: int = 0) -> xr.Dataset:
    r"""Mean over animals with its uncertainty.

    Parameters
    ----------
    values
        With dimension ``animal``; other dimensions are kept.
    bootstrap
        Add ``bootstrap_low`` and ``bootstrap_high``, the 95 % percentiles of the mean over 10,000 draws of animals with
        replacement; off by default, since it takes two to ten times as long as all the rest.
    seed
        Of the draws, the same for all elements.

    Returns
    -------
    xarray.Dataset
        ``mean``, ``standard_error`` (sample standard deviation / :math:`\sqrt n`), ``low`` and ``high`` (95 %
        interval by Student's t) and ``n``, the animals that count: an animal without a value (NaN, because its losses
        became infinite) is left out. From a single animal all but ``mean`` and ``n`` are NaN.
    """
    if not isinstance(values, xr.DataArray):
        raise DataError(
            f"values must be a labelled array (xarray.DataArray) with 'animal'; got {type(values).__name__}"
        )
    if "animal" not in values.dims:
        raise DataError(f"values have no dimension 'animal'; they have {list(values.dims)}")
    n = values.notnull().sum("animal")
    mean = values.mean("animal")
    freedom = (n - 1).where(n > 1)
    error = np.sqrt(((values - mean) ** 2).sum("animal") / freedom / n)
    reach = error * special.stdtrit(freedom, 0.5 + LEVEL / 2)
    found = xr.Dataset({"mean": mean, "standard_error": error, "low": mean - reach, "high": mean + reach, "n": n})
    return found.assign(_resampled(values, seed, ("bootstrap_low", "bootstrap_high"))) if bootstrap else found


def _resampled(values: xr.DataArray, seed: int, names: Sequence[str]) -> dict[str, xr.DataArray]:
    """The named results of :func:`_resample` for every element."""
    rows = values.transpose("animal", ...)
    flat = rows.values.astype(np.float64).reshape(rows.sizes["animal"], -1)
    found = np.full((len(names), flat.shape[1]), np.nan)
    kinds, kind = np.unique(~np.isnan(flat), axis=1, return_inverse=True)
    for i, known in enumerate(kinds.T):  # elements that lack the same animals go together
        columns = np.flatnonzero(kind == i)
        for part in np.array_split(columns, -(-len(columns) // _AT_ONCE)) if known.any() else []:
            results = _resample(flat[np.ix_(known, part)], np.random.default_rng(seed), flips="p" in names)
            found[:, part] = np.stack([results[name] for name in names])
    like = rows.isel(animal=0, drop=True)
    return {name: like.copy(data=f.reshape(like.shape)).drop_attrs() for name, f in zip(names, found, strict=True)}


def _resample(values: np.ndarray, chance: np.random.Generator, *, flips: bool) -> dict[str, np.ndarray]:
    """Bootstrap percentiles of the mean, and p by sign flips, of values (animal, element)."""
    n = len(values)
    drawn = chance.integers(n, size=(_DRAWS, n)) + n * np.arange(_DRAWS)[:, None]
    times = np.bincount(drawn.ravel(), minlength=n * _DRAWS).reshape(_DRAWS, n)
    limits = np.quantile(times @ values / n, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=0)
    low, high = limits if n > 1 else np.full_like(limits, np.nan)
    found = {"bootstrap_low": low, "bootstrap_high": high}
    if flips:
        if n <= _ALL_FLIPS_UP_TO:  # of two opposite flips, one will do
            signs = np.array(list(itertools.product((1.0,), *[(1.0, -1.0)] * (n - 1))))
        else:
            signs = np.concatenate((np.ones((1, n)), chance.choice((1.0, -1.0), size=(_DRAWS - 1, n))))
        rounding = 1e-12 * np.abs(values).sum(0)
        found["p"] = (np.abs(signs @ values) >= np.abs(values.sum(0)) - rounding).mean(0)
    return found


def paired_difference(a: xr.DataArray, b: xr.DataArray, *, seed: int = 0) -> xr.Dataset:
    r"""Difference ``a - b`` within the same animals.

    Parameters
    ----------
    a, b
        With the same dimensions, ``animal`` among them; the others are kept.
    seed
        Of everything drawn.

    Returns
    -------
    xarray.Dataset
        What :func:`summarise` gives for the differences, and ``bootstrap_low``, ``bootstrap_high`` (95 % percentiles
        over resampled animals), ``effect_size`` (mean / standard deviation of the differences) and ``p`` (two-sided
        sign-flip permutation: exact up to 14 animals, else sampled). Elements that no animal has are NaN.

    Raises
    ------
    DataError
        Unless both have the same animals and the same coordinates.
    """
    if "animal" not in a.dims or set(a.dims) != set(b.dims):
        raise DataError(
            "a paired difference needs two arrays with dimension 'animal' and the same other dimensions; got dims "
            f"{list(a.dims)} and {list(b.dims)}"
        )
    animals = [sorted(each["animal"].values.tolist()) for each in (a, b)]
    if animals[0] != animals[1]:
        raise DataError(f"the conditions have different animals: {animals[0]} and {animals[1]}")
    if len(set(animals[0])) < len(animals[0]):
        raise DataError(f"an animal is there several times: {animals[0]}")
    for dim in set(a.dims) - {"animal"}:
        if not np.array_equal(a[dim].values, b[dim].values):
            raise DataError(f"the conditions have different coordinates along {dim!r}; select the common ones first")
    gap = (a - b.sel(animal=a["animal"])).astype(np.float64).drop_attrs()
    if not gap.notnull().any():
        raise DataError("no animal has a value in both conditions")
    found = summarise(gap).assign(_resampled(gap, seed, ("bootstrap_low", "bootstrap_high", "p")))
    spread = found["standard_error"] * np.sqrt(found["n"])
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = found["mean"] / spread
    return found.assign(effect_size=effect)


def compare_conditions(values: Mapping[str, xr.DataArray], baseline: str | None = None, *, seed: int = 0) -> xr.Dataset:
    r"""Paired differences between conditions, with p values corrected for their number.

    Parameters
    ----------
    values
        A measure of the same animals in every condition, e.g. ``{name: final_accuracy(log)}``.
    baseline
        Condition that is subtracted from all others; default: all pairs, the later condition minus the earlier one.

    Returns
    -------
    xarray.Dataset
        (pair, ...), what :func:`paired_difference` gives, and ``p_holm``: p after Holm's step-down correction for all
        pairs, which bounds the probability of any false difference. With other dimensions, the pairs of one element
        are a family. Coordinates: ``pair``, and ``condition`` and ``reference``, of which it is the difference.

    Raises
    ------
    DataError, SettingError
        For fewer than two conditions, different animals, or an unknown baseline.

    Notes
    -----
    Source: Holm (1979), Scand. J. Statist. 6:65.
    """
    names = list(values)
    if len(names) < 2:
        raise DataError(f"compare_conditions needs at least two conditions; got {names}")
    if baseline is not None:
        check_choice("compare_conditions", "baseline", baseline, names)
    chosen = (
        [(other, one) for one, other in itertools.combinations(names, 2)]
        if baseline is None
        else [(name, baseline) for name in names if name != baseline]
    )
    rows = []
    for condition, reference in chosen:
        try:
            rows.append(paired_difference(values[condition], values[reference], seed=seed))
        except DataError as error:
            raise DataError(f"compare_conditions, {condition!r} and {reference!r}: {error}") from error
    pair = xr.Variable("pair", [f"{condition} - {reference}" for condition, reference in chosen])
    found = xr.concat(rows, pair, coords="minimal", compat="override", join="exact")
    found = found.assign_coords(
        condition=("pair", [c for c, _ in chosen]), reference=("pair", [reference for _, reference in chosen])
    )
    return found.assign(p_holm=found["p"].copy(data=_holm(found["p"].values)))


def _holm(p: np.ndarray) -> np.ndarray:
    """Holm's correction along the first axis; NaN do not count."""
    order = np.argsort(p, axis=0)  # NaN last
    tests = np.isfinite(p).sum(0) - np.arange(len(p)).reshape(-1, *[1] * (p.ndim - 1))
    adjusted = np.maximum.accumulate(np.take_along_axis(p, order, 0) * tests, axis=0).clip(max=1)
    found = np.empty_like(p)
    np.put_along_axis(found, order, adjusted, 0)
    return found


def behaviour_table(log: xr.DataTree, joint: xr.DataTree | None = None) -> xr.Dataset:
    """All measures of behaviour that are one number an animal; (animal).

    ``average_accuracy`` (at the end, over contexts met), ``final_accuracy``, ``learning_accuracy``, ``forgetting``,
    ``backward_transfer``, ``forward_transfer`` and, with a log of the same animals' joint experience,
    ``intransigence``. A measure that an unfinished log, or a single context, does not allow is NaN. The attributes of a
    measure say which answers competed.
    """
    so_far = measures.average_accuracy(log)
    if not so_far.sizes["contexts_learned"]:
        raise DataError("behaviour_table: no context was learned in this log")
    found = {"average_accuracy": so_far.isel(contexts_learned=-1, drop=True)}
    for name in ("final_accuracy", "learning_accuracy", "forgetting", "backward_transfer", "forward_transfer"):
        try:
            found[name] = getattr(measures, name)(log)
        except DataError:
            found[name] = xr.full_like(found["average_accuracy"], np.nan).assign_attrs(long_name=name, answers="")
    if joint is not None:
        require_same_life(log, joint)
        try:
            found["intransigence"] = intransigence(log, joint)
        except DataError:
            found["intransigence"] = xr.full_like(found["average_accuracy"], np.nan)
            found["intransigence"].attrs |= {"long_name": "intransigence", "answers": ""}
    return xr.Dataset(found)


def logit(accuracy: xr.DataArray, n_trials: int) -> xr.DataArray:
    r"""Log-odds of being right, :math:`\log\frac{p}{1-p}`; :math:`p = (k + \tfrac12)/(n + 1)` for *k* of *n* trials."""
    p = (accuracy * n_trials + 0.5) / (n_trials + 1)
    return xr.apply_ufunc(np.log, p / (1 - p))


def interaction(
    nothing: xr.DataArray, synaptic: xr.DataArray, systems: xr.DataArray, both: xr.DataArray, *, n_trials: int
) -> dict[str, xr.Dataset]:
    """Whether two mechanisms add up: ``(both - synaptic) - (systems - nothing)`` within animals.

    Parameters
    ----------
    nothing, synaptic, systems, both
        Accuracy of every animal.
    n_trials
        Test trials behind an accuracy.

    Returns
    -------
    dict
        ``"accuracy"`` and ``"logit"``: near floor and ceiling points are worth different amounts, so the interaction
        may hold on one scale only. Each as :func:`paired_difference` gives it.
    """
    found = {}
    for name, scale in (("accuracy", lambda x: x), ("logit", lambda x: logit(x, n_trials))):
        cells = [scale(values) for values in (nothing, synaptic, systems, both)]
        for cell in cells[1:]:
            paired_difference(cells[0], cell)  # the same animals everywhere
        n, sy, re, bo = (cell.sel(animal=cells[0]["animal"]) for cell in cells)
        found[name] = paired_difference(bo - sy, re - n)
    return found


def factorial_table(logs: Mapping[str, xr.DataTree]) -> xr.Dataset:
    """Final accuracy and forgetting of every condition, with standard errors, ``n`` and ``chance``; (condition).

    A measure that an unfinished log does not allow is NaN. The attributes of a measure say which answers competed.
    """
    rows = []
    for log in logs.values():
        row: dict[str, xr.DataArray] = {}
        for name, measure in (("forgetting", measures.forgetting), ("accuracy", measures.final_accuracy)):
            try:
                values = measure(log)
            except DataError:
                values = xr.full_like(log["behaviour"].to_dataset()["animal"], np.nan, dtype=float)
            found = summarise(values)
            row |= {name: found["mean"], f"{name}_standard_error": found["standard_error"], "n": found["n"]}
            row[name].attrs["answers"] = values.attrs.get("answers", "")
        rows.append(xr.Dataset(row).assign(chance=measures.chance_level(log)))
    return xr.concat(rows, xr.Variable("condition", list(logs)), combine_attrs="drop_conflicts")
