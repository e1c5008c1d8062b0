"""Comparison of conditions: means, paired differences and the interaction of two mechanisms, with their uncertainty."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import xarray as xr
from scipy import stats

from replaysim.errors import DataError

from .forgetting import chance_level, final_accuracy, forgetting

LEVEL = 0.95
_ALL_FLIPS_UP_TO = 14
_DRAWS = 10_000


def summarise(values: xr.DataArray) -> xr.Dataset:
    r"""Mean over animals with its uncertainty.

    Parameters
    ----------
    values
        With dimension ``animal``; other dimensions are kept.

    Returns
    -------
    xarray.Dataset
        ``mean``, ``standard_error`` (sample standard deviation / :math:`\sqrt n`), ``low`` and ``high`` (95 %
        interval by Student's t) and ``n``, the animals that count: an animal without a value (NaN, because its losses
        became infinite) is left out. From a single animal all but ``mean`` and ``n`` are NaN.
    """
    if "animal" not in values.dims:
        raise DataError(f"values have no dimension 'animal'; they have {list(values.dims)}")
    n = values.notnull().sum("animal")
    mean = values.mean("animal")
    freedom = (n - 1).where(n > 1)
    error = np.sqrt(((values - mean) ** 2).sum("animal") / freedom / n)
    reach = error * stats.t.ppf(0.5 + LEVEL / 2, freedom)
    return xr.Dataset({"mean": mean, "standard_error": error, "low": mean - reach, "high": mean + reach, "n": n})


def paired_difference(a: xr.DataArray, b: xr.DataArray, *, seed: int = 0) -> xr.Dataset:
    r"""Difference ``a - b`` within the same animals.

    Returns
    -------
    xarray.Dataset
        What :func:`summarise` gives for the differences, and ``bootstrap_low``, ``bootstrap_high`` (95 % percentiles
        over resampled animals), ``effect_size`` (mean / standard deviation of the differences) and ``p`` (two-sided
        sign-flip permutation: exact up to 14 animals, else sampled).

    Raises
    ------
    DataError
        Unless both have the same animals.
    """
    if "animal" not in a.dims or "animal" not in b.dims or a.dims != ("animal",) or b.dims != ("animal",):
        raise DataError(f"a paired difference needs one value an animal; got dims {list(a.dims)} and {list(b.dims)}")
    if set(a["animal"].values.tolist()) != set(b["animal"].values.tolist()):
        raise DataError(
            f"the conditions have different animals: {a['animal'].values.tolist()} and {b['animal'].values.tolist()}"
        )
    gap = (a - b.sel(animal=a["animal"])).astype(np.float64).dropna("animal")
    if not gap.size:
        raise DataError("no animal has a value in both conditions")
    found = summarise(gap)
    values = gap.values
    n = len(values)
    chance = np.random.default_rng(seed)
    drawn = values[chance.integers(n, size=(_DRAWS, n))].mean(axis=1)
    low, high = np.quantile(drawn, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2]) if n > 1 else (np.nan, np.nan)
    spread = values.std(ddof=1) if n > 1 else np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = np.float64(values.mean()) / spread
    return found.assign(bootstrap_low=low, bootstrap_high=high, effect_size=effect, p=_sign_flip(values, chance))


def _sign_flip(values: np.ndarray, chance: np.random.Generator) -> float:
    n = len(values)
    if n <= _ALL_FLIPS_UP_TO:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=n)))
    else:
        signs = np.concatenate((np.ones((1, n)), chance.choice((1.0, -1.0), size=(_DRAWS - 1, n))))
    flipped = np.abs(signs @ values)
    return float((flipped >= np.abs(values.sum()) - 1e-12).mean())


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
        for name, measure in (("forgetting", forgetting), ("accuracy", final_accuracy)):
            try:
                values = measure(log)
            except DataError:
                values = xr.full_like(log["behaviour"].to_dataset()["animal"], np.nan, dtype=float)
            found = summarise(values)
            row |= {name: found["mean"], f"{name}_standard_error": found["standard_error"], "n": found["n"]}
            row[name].attrs["answers"] = values.attrs.get("answers", "")
        rows.append(xr.Dataset(row).assign(chance=chance_level(log)))
    return xr.concat(rows, xr.Variable("condition", list(logs)), combine_attrs="drop_conflicts")


def format_table(table: xr.Dataset) -> str:
    """The table of :func:`factorial_table` for a terminal, in per cent."""
    head = f"{'condition':12s} {'final accuracy, %':>20s} {'forgetting, points':>20s} {'n':>4s}"
    lines = [head, "-" * len(head)]
    for name in table["condition"].values:
        row = table.sel(condition=name)
        cells = [
            f"{100 * float(row[m]):6.1f} ± {100 * float(row[f'{m}_standard_error']):4.1f}"
            for m in ("accuracy", "forgetting")
        ]
        lines.append(f"{name!s:12s} {cells[0]:>20s} {cells[1]:>20s} {int(row['n']):4d}")
    lines += ["-" * len(head), f"{'chance':12s} {100 * float(table['chance'][0]):>13.1f}"]
    rules = ", ".join(
        f"{m}: {table[m].attrs[a].replace('_', ' ')}" for m in ("accuracy", "forgetting") for a in ["answers"]
    )
    return "\n".join([*lines, "mean ± standard error over n animals", f"answers that compete: {rules}"])


def format_difference(name: str, found: xr.Dataset, *, percent: bool = True) -> str:
    """One line about a paired difference."""
    scale, digits = (100, 1) if percent else (1, 2)
    mean, low, high = (scale * float(found[k]) for k in ("mean", "low", "high"))
    p = float(found["p"])
    return (
        f"  {name:22s} {mean:+7.{digits}f}   95 % CI [{low:+.{digits}f}, {high:+.{digits}f}]   "
        f"p = {p:.3f} (sign flips, n = {int(found['n'])})"
    )
