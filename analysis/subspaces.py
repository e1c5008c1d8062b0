"""Whether activity of two times occupies the same subspace."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from replaysim.errors import DataError, check_number

from .covariance import group_means
from .devices import exact_products
from .snapshots import PATTERNS, ROUNDING, checked, class_labels, over_snapshots


def principal_axes(patterns: Tensor, dimensions: int | float) -> tuple[Tensor, Tensor]:
    """Leading principal axes, as many or of that share of variance, (axis, unit), and the variances of all, summed."""
    with exact_products():
        x = patterns.double() - patterns.double().mean(0)
        wide = len(x) <= x.shape[1]
        weight, vectors = torch.linalg.eigh(x @ x.T if wide else x.T @ x)
        weight, vectors = weight.flip(0).clamp(min=0), vectors.flip(1)
        rank = int((weight > ROUNDING**2 * patterns.double().square().sum()).sum())
        if dimensions < 1:
            reached = weight.cumsum(0) >= dimensions * weight.sum() * (1 - 1e-12)
            dimensions = int((~reached).sum()) + 1
        kept = vectors[:, : min(int(dimensions), rank)]
        return torch.linalg.qr(x.T @ kept if wide else kept).Q.T, weight


def subspace_matrices(patterns: Sequence[Tensor] | Tensor, dimensions: int | float) -> dict[str, Tensor]:
    """What :func:`subspace_overlap` says of S snapshots, each (item, unit): matrices (S, S) and ``dimensions`` (S,)."""
    with exact_products():
        axes, variances = zip(*(principal_axes(x, dimensions) for x in patterns), strict=True)
        found = {n: variances[0].new_full((len(axes), len(axes)), torch.nan) for n in ("overlap", "alignment")}
        for j, other in enumerate(axes):
            x = patterns[j].double() - patterns[j].double().mean(0)
            for i, own in enumerate(axes):
                if len(own) and len(other):
                    found["overlap"][i, j] = (own @ other.T).square().sum() / min(len(own), len(other))
                    held = (x @ own.T).square().sum()
                    found["alignment"][i, j] = (held / variances[j][: len(own)].sum()).clamp(max=1)
        return {**found, "dimensions": torch.tensor([len(own) for own in axes])}


def subspace_overlap(
    activity: xr.DataArray,
    dimensions: int | float = 10,
    *,
    by: str | None = None,
    device: str | torch.device = "auto",
) -> xr.Dataset:
    r"""Whether activity of two times occupies the same subspace.

    With the leading :math:`d_i` principal axes :math:`U_i` (unit, axis) of snapshot *i*, the covariance
    :math:`\Sigma_j` over stimuli and its eigenvalues :math:`\lambda_{j1} \ge \lambda_{j2} \ge \dots`:

    .. math:: \text{overlap}_{ij} = \frac{\|U_i^\top U_j\|_F^2}{\min(d_i, d_j)}, \qquad
              \text{alignment}_{ij} = \frac{\operatorname{tr} U_i^\top \Sigma_j U_i}{\sum_{m \le d_i} \lambda_{jm}}

    The first counts all axes alike (mean squared cosine of the principal angles); the second is the variance of
    snapshot *j* that the axes of *i* hold, over the most that so many axes could hold.

    Parameters
    ----------
    activity
        (..., snapshot, stimulus, unit).
    dimensions
        Number of axes, or, below 1, the share of variance that they hold at least.
    by
        Take the mean patterns of these classes instead of all stimuli: the subspace that tells classes apart.

    Returns
    -------
    xarray.Dataset
        ``overlap`` and ``alignment`` (..., snapshot, other_snapshot), from 0 to 1 (the axes are those of ``snapshot``);
        ``dimensions`` (..., snapshot), the axes used, fewer where activity has no more; NaN where it has none. Two
        random subspaces have an overlap of d / units in the mean (attribute ``chance``, for a number of axes).

    Raises
    ------
    DataError, SettingError
        For missing dimensions, or more axes than stimuli (classes) or units allow.

    Notes
    -----
    Source of the alignment index: Elsayed et al. (2016), Nature Communications 7:13239.
    """
    owner = "subspace_overlap"
    values = checked(activity, owner)
    label, classes = (None, np.empty(0)) if by is None else class_labels(values, by, owner)
    items, units = values.sizes["stimulus"] if by is None else len(classes), values.sizes["unit"]
    if isinstance(dimensions, int | np.integer):
        check_number(owner, "dimensions", dimensions, least=1, whole=True)
    else:
        check_number(owner, "dimensions", dimensions, above=0, below=1)
    if dimensions > min(items - 1, units):
        what = "stimuli" if by is None else "classes"
        raise DataError(
            f"{owner}: {items} {what} of {units} units have at most {min(items - 1, units)} axes; got {dimensions}"
        )

    def kernel(patterns: Tensor, code: Tensor | None = None) -> dict[str, Tensor]:
        items = patterns if code is None else [group_means(p, code, len(classes)) for p in patterns]
        return subspace_matrices(items, dimensions)

    core = [PATTERNS, ("stimulus",)][: 1 if label is None else 2]
    out = {
        "overlap": ["snapshot", "other_snapshot"],
        "alignment": ["snapshot", "other_snapshot"],
        "dimensions": ["snapshot"],
    }
    about = {"dimensions": dimensions, "by": by or "stimulus"}
    found = over_snapshots(kernel, [values] if label is None else [values, label], core, out, owner, device, about)
    found["overlap"].attrs |= {"long_name": "overlap of the subspaces of activity"}
    if dimensions >= 1:
        found["overlap"].attrs["chance"] = dimensions / units
    found["alignment"].attrs["long_name"] = "variance held by the axes of the other time, over the most possible"
    found["dimensions"].attrs = {"long_name": "principal axes used", "units": "1"}
    return found
