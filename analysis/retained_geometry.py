r"""Is the geometry of what was once learned still there? Representations of old stimuli while new contexts are learned.

A class cannot be compared before it was learned; so the geometry among the stimuli of the contexts met by a snapshot is
compared with the geometry of the *same* stimuli at later snapshots.
"""

from __future__ import annotations

import torch
import xarray as xr

from replaysim.errors import DataError, check_choice

from .dissimilarity import pairwise
from .labelled import both_ways, per_slice, require
from .rdm_comparison import METHODS, similarity

METRICS = ("correlation", "cosine", "euclidean", "sqeuclidean_mean")


def retained_geometry(
    activity: xr.DataArray,
    metric: str = "correlation",
    method: str = "spearman",
    *,
    device: str | torch.device = "auto",
) -> xr.DataArray:
    r"""Similarity of the RDM among the stimuli met by a snapshot with that of the same stimuli at later ones.

    .. math:: g_{k,l} = \mathrm{sim}\bigl(\mathrm{RDM}_k[S_k], \mathrm{RDM}_l[S_k]\bigr), \qquad l \ge k

    where :math:`S_k` are the stimuli of the first *k* contexts. The naive animal's row takes the stimuli of the first
    context: the similarity that is there without learning, the floor for the first row.

    Parameters
    ----------
    activity
        (..., snapshot, stimulus, unit) with the coordinates ``contexts_learned`` (snapshot) and ``context`` (...,
        stimulus), as :func:`~analysis.readings.activity` gives it.
    metric
        Dissimilarity of two stimuli: one of :data:`METRICS`.
    method
        Similarity of RDMs; see :func:`~analysis.rdm_comparison.compare_rdms`.

    Returns
    -------
    xarray.DataArray
        (..., snapshot, other_snapshot), from -1 to 1, 1 on the diagonal; NaN where the other snapshot is earlier and
        where fewer than three stimuli were met. A slice with all snapshots is in memory at a time.

    Raises
    ------
    DataError, SettingError
        For missing coordinates, an unknown metric or method.
    """
    owner = "retained_geometry"
    check_choice(owner, "metric", metric, METRICS)
    check_choice(owner, "method", method, METHODS)
    values = require(activity, ("snapshot", "stimulus", "unit"), owner, "activity")
    for name in ("contexts_learned", "context"):
        if name not in values.coords:
            raise DataError(f"{owner}: activity has no coordinate {name!r}; take it from readings.activity(log, area)")
    learned = values["contexts_learned"].values

    def kernel(patterns: torch.Tensor, context: torch.Tensor) -> dict[str, torch.Tensor]:
        n = len(patterns)
        found = torch.full((n, n), torch.nan, dtype=torch.float64)
        for k in range(n):
            met = (context <= max(1, int(learned[k]))) & (context > 0)
            if int(met.sum()) < 3:
                continue
            known = [pairwise(p[met], metric) for p in patterns[k:]]
            for step, later in enumerate(known):
                found[k, k + step] = similarity(known[0], later, method)["similarity"]
        return {"similarity": found}

    found = per_slice(
        kernel,
        [values.drop_vars("context"), values["context"].astype("int64")],
        [("snapshot", "stimulus", "unit"), ("stimulus",)],
        {"similarity": ("snapshot", "other_snapshot")},
        owner=owner,
        device=device,
        coords=both_ways(values, "snapshot"),
    )["similarity"]
    about = {"metric": metric, "method": method, "compute_dtype": "float64", "units": "1"}
    return found.rename("retained_geometry").assign_attrs(about, long_name="similarity of RDMs of the stimuli then met")
