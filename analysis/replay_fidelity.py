"""Fidelity of replay by what is replayed: class by class, memory age by memory age, and straight from a log.

All the caution of :mod:`analysis.fidelity` holds. Classes differ in how many samples they have, and with that in bias:
every result says how many were compared (``n``) and has its own reference; give ``samples`` to compare classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from replaysim.errors import DataError, check_choice

from .fidelity import Settings, compare_drawn, reference, run, samples_of, settings_of
from .labelled import require
from .readings import replayed, waking_before

BY_CLASS = ("precision_recall", "frechet", "kernel", "scale")
"""Measures by class unless told otherwise: histograms over 20 clusters say little about a single class."""
COUNTS = {
    "n": "samples compared with as many, 0 = too few",
    "real_available": "real samples of this kind",
    "generated_available": "generated samples of this kind",
}


def fidelity_by_class(
    real: xr.DataArray,
    generated: xr.DataArray,
    real_class: xr.DataArray,
    generated_class: xr.DataArray,
    classes: Sequence[int] | None = None,
    *,
    dim: str = "original_class",
    **settings: Any,
) -> xr.Dataset:
    """Fidelity of every class by itself: generated samples of a class against real samples of this class.

    Parameters
    ----------
    real, generated
        (..., stimulus, unit) and (..., event, unit).
    real_class, generated_class
        Classes, whole numbers, (..., stimulus) and (..., event); below 0: of no class. They may differ between animals.
    classes, dim
        Default: all classes of either; name of the new dimension.
    **settings
        See :class:`analysis.fidelity.Settings`; default measures :data:`BY_CLASS`.

    Returns
    -------
    xarray.Dataset
        As :func:`analysis.fidelity.fidelity` gives it, over the dimensions kept and ``dim``; NaN where a class has too
        few samples. ``n``: samples a side that were compared (0 = too few), min(real // 2, generated);
        ``real_available``, ``generated_available``: samples of the class.

    Raises
    ------
    DataError
        Where a class that was asked for is empty, or no class has enough samples.
    """
    owner = "fidelity_by_class"
    s = settings_of(owner, {"measures": BY_CLASS, **settings})
    arrays = samples_of(owner, real, generated, s)
    given = (real_class, s.real_dim, "real"), (generated_class, s.generated_dim, "generated")
    labels = [_labels(owner, *one) for one in given]
    there = [np.unique(label.values[label.values >= 0]) for label in labels]
    chosen = np.union1d(*there) if classes is None else np.asarray(list(classes))
    for name, present in zip(("real", "generated"), there, strict=True):
        if not len(present):
            raise DataError(f"{owner}: no {name} sample has a class")
        if classes is not None and (empty := sorted(set(chosen.tolist()) - set(present.tolist()))):
            raise DataError(f"{owner}: no {name} sample is of class {empty[0]}; there are {present.tolist()}")
    return _by_label(owner, arrays, labels, {dim: chosen.astype(np.int64)}, s)


def _labels(owner: str, labels: xr.DataArray, dim: str, name: str) -> xr.DataArray:
    found = require(labels, (dim,), owner, f"{name}_class").rename({dim: name})
    if found.dtype.kind not in "iu":
        raise DataError(f"{owner}: {name}_class must hold whole numbers; got {found.dtype}")
    return found


def _by_label(
    owner: str,
    arrays: Sequence[xr.DataArray],
    labels: Sequence[xr.DataArray],
    groups: Mapping[str, np.ndarray],
    s: Settings,
) -> xr.Dataset:
    ((dim, values),) = groups.items()
    shapes = {v: (s.n_angles,) if v in ("precision", "recall") else () for v in s.variables}

    def kernel(r: Tensor, g: Tensor, of_r: Tensor, of_g: Tensor) -> dict[str, Tensor]:
        nan = [{p + v: torch.full(shape, torch.nan) for p in ("", "reference_") for v, shape in shapes.items()}]
        rows = nan * len(values)
        sizes = [(int((of_r == v).sum()), int((of_g == v).sum())) for v in values.tolist()]
        counts = torch.tensor([(s.number(*size), *size) for size in sizes])
        for i, (value, n) in enumerate(zip(values.tolist(), counts[:, 0].tolist(), strict=True)):
            if n:
                own = r[of_r == value]
                rows[i] = compare_drawn(own, g[of_g == value], n, s) | reference(own, n, s)
        found = {name: torch.stack([row[name].double().cpu() for row in rows]) for name in rows[0]}
        return found | dict(zip(COUNTS, counts.T, strict=True))

    found = run(owner, kernel, [*arrays, *labels], s, ("", "reference_"), {dim: values})
    if not bool((found["n"] > 0).any()):
        most = int(found["real_available"].max()), int(found["generated_available"].max())
        raise s.too_few(owner, *most, 2)
    for name, meaning in COUNTS.items():
        found[name].attrs = {"long_name": meaning, "units": "1"}
    return found.assign_attrs(seed=s.seed)


def replay_fidelity(log: xr.DataTree, area: str | None = None, by: str | None = None, **settings: Any) -> xr.Dataset:
    """Fidelity of replayed activity, against waking activity of the area where replay re-enters the cortex.

    What is replayed while context *k* is learned is compared with what the test stimuli of the contexts met before
    (1 ... *k* - 1) evoke in the same area when context *k* begins.

    Parameters
    ----------
    log
        With ``ReplayActivity()`` and ``CorticalActivity()`` of that area.
    area
        Default and only choice: the area where replay re-enters.
    by
        ``None``: all at once; ``"memory_age"``: replay of a context against stimuli of that context, by how long ago it
        was learned (1 = the context before); ``"original_class"``: replay of a class against stimuli of that class.
    **settings
        See :class:`analysis.fidelity.Settings`; default measures: all, or :data:`BY_CLASS` with ``by``.

    Returns
    -------
    xarray.Dataset
        As :func:`fidelity_by_class`, (animal, contexts_learned = context being learned[, memory_age | original_class]).

    Raises
    ------
    DataError
        Where the area, its activity when a context began or what was asked for is not in the log, or samples are few.
    """
    owner = "replay_fidelity"
    check_choice(owner, "by", by, (None, "memory_age", "original_class"))
    s = settings_of(owner, ({"measures": BY_CLASS} if by else {}) | settings)
    events = replayed(log)
    generated = events["activity"]
    real = waking_before(log, events, owner, area)
    of_real, of_generated = _kinds(real, events, by)
    values = np.unique(of_generated.values[of_generated.values >= 0])
    if not len(values):
        raise DataError(
            f"replay_fidelity: no replay event says its {by} (nothing was asked for, current stimuli were met "
            "again, or in the domain scenario memories were asked for without gates_by='context', or contexts share "
            "their classes); take by=None"
        )
    arrays = samples_of(owner, real, generated, s)
    labels = [_labels(owner, of_real, s.real_dim, "real"), _labels(owner, of_generated, s.generated_dim, "generated")]
    found = _by_label(owner, arrays, labels, {by or "all": values}, s)
    found = found if by else found.isel(all=0, drop=True)
    return found.assign_attrs(area=str(real.attrs["area"]))


def _kinds(real: xr.DataArray, events: xr.Dataset, by: str | None) -> tuple[xr.DataArray, xr.DataArray]:
    """Which stimuli are to be compared with which replay events: those of equal kind, none below 0."""
    age = events["contexts_learned"] - real["context"]  # contexts since the one that a stimulus belongs to
    if by is None:
        return xr.where(age > 0, 0, -1), xr.zeros_like(events["memory_age"])
    kind = age if by == "memory_age" else real["original_class"]
    return kind.where(age > 0, -1), events[by]
