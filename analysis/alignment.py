r"""Alignment of representations: CKA and Procrustes, for areas of any width.

Both ask whether two populations hold the same arrangement of stimuli, whatever unit carries what: they do not change
when activity is rotated, scaled or shifted. With columns centred, :math:`K = X X^\top`, :math:`L = Y Y^\top` over N
stimuli, :math:`\text{CKA} = \text{HSIC}(K, L) / \sqrt{\text{HSIC}(K, K)\, \text{HSIC}(L, L)}` with

- ``"biased"``: :math:`\text{HSIC} = \langle K, L \rangle_F`. Independent populations have a CKA of about D / (N + D),
  where D is their effective dimension: 0.09 for D = 100 and 1,000 stimuli.
- ``"debiased"`` (default), zero in the mean for independent populations; with the diagonals set to zero,

  .. math:: \text{HSIC}_1 = \frac{1}{N (N-3)} \Bigl[ \operatorname{tr} \tilde K \tilde L
            + \frac{1^\top \tilde K 1 \; 1^\top \tilde L 1}{(N-1)(N-2)}
            - \frac{2}{N-2} 1^\top \tilde K \tilde L 1 \Bigr].

  This corrects for few stimuli, not for few units.

Sources: Kornblith et al. (2019), ICML; Song et al. (2012), JMLR; Williams et al. (2021), NeurIPS (Procrustes).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
import xarray as xr

from replaysim.errors import DataError, check_choice

from .devices import exact_products, rows_at_once
from .labelled import both_ways, per_slice, require

ESTIMATORS = ("debiased", "biased")
_WIDE = 256  # up to so many stimuli, Gram matrices are float64: cheap, and the corrections are as large as the sums


def centred(activity: torch.Tensor) -> torch.Tensor:
    """Activity (stimulus, unit) without its mean over stimuli; a unit that never changes is exactly 0."""
    moved = activity - activity[:1]
    return moved.sub_(moved.mean(0, dtype=torch.float64).to(moved.dtype))


def gram_products(
    activities: Sequence[torch.Tensor], memory: int | None = None
) -> tuple[torch.Tensor, torch.Tensor, float]:
    r"""Inner products of the Gram matrices of S populations (stimulus, unit), each computed once and never held whole.

    Gives :math:`\sum_{i \ne j} K_{ij} L_{ij}` (S, S) and the diagonals (S, stimulus), both summed in float64, and the
    relative spacing of the numbers in which the matrices were computed. For ``memory`` see :func:`cka_matrix`.
    """
    n = len(activities[0])
    double = n <= _WIDE or any(a.dtype == torch.float64 for a in activities)
    dtype = torch.float64 if double else torch.float32
    populations = [centred(a.to(dtype)) for a in activities]
    diagonals = torch.stack([torch.linalg.vector_norm(x, dim=1, dtype=torch.float64) for x in populations]).square()
    widths = [x.shape[1] for x in populations]
    by_features = 2 * sum(widths[i] * widths[j] for i in range(len(widths)) for j in range(i + 1)) < n * sum(widths)
    products = _by_features(populations) - diagonals @ diagonals.T if by_features else _by_stimuli(populations, memory)
    return products, diagonals, torch.finfo(torch.float64 if by_features else dtype).eps


def _by_stimuli(populations: Sequence[torch.Tensor], memory: int | None) -> torch.Tensor:
    """Row blocks of all Gram matrices side by side, from the diagonal on; what is off it counts twice."""
    s, (n, _), like = len(populations), populations[0].shape, populations[0]
    rows = rows_at_once(n, memory, copies=s, itemsize=20, most=_WIDE)
    products = torch.zeros(s, s, dtype=torch.float64, device=like.device)
    for start in range(0, n, rows):
        stop = min(start + rows, n)
        block = torch.stack([x[start:stop] @ x[start:].T for x in populations])
        own, rest = block[:, :, : stop - start], block[:, :, stop - start :]
        own.diagonal(dim1=1, dim2=2).zero_()
        for part, times in ((own, 1.0), (rest, 2.0)):
            flat = part.reshape(s, -1).double()
            products.addmm_(flat, flat.T, alpha=times)
    return products


def _by_features(populations: Sequence[torch.Tensor]) -> torch.Tensor:
    r""":math:`\|X^\top Y\|_F^2 = \langle K, L \rangle_F`, for many stimuli and few units."""
    wide = [x.double() for x in populations]
    products = torch.zeros(len(wide), len(wide), dtype=torch.float64, device=wide[0].device)
    for i, x in enumerate(wide):
        for j, y in enumerate(wide[: i + 1]):
            products[i, j] = products[j, i] = (x.T @ y).square().sum()
    return products


def cka_matrix(
    activities: Sequence[torch.Tensor], estimator: str = "debiased", memory: int | None = None
) -> torch.Tensor:
    """CKA of S populations (stimulus, unit), of any number of units, with each other; (S, S), float64.

    NaN for a population that is the same for all stimuli, or too nearly so to be debiased. ``memory``: bytes beyond
    activity, a centred copy of it, and results; default 256 MiB; the result does not depend on it.
    """
    check_choice("cka", "estimator", estimator, ESTIMATORS)
    n = _number(activities, 4, "cka")
    with exact_products():
        products, diagonals, precision = gram_products(activities, memory)
        total, squares = diagonals.sum(1), diagonals @ diagonals.T
        mean = torch.outer(total, total) / ((n - 1) * (n - 2))
        hsic = products + (squares if estimator == "biased" else mean - squares * (2 / (n - 2)))
        rounding = 32 * precision * (products + squares + mean).diagonal()
        own = hsic.diagonal()
        length = torch.where(own > rounding, own, torch.nan).sqrt()
        return (hsic / torch.outer(length, length)).clamp(-1, 1)


def _number(points: Sequence[torch.Tensor], least: int, owner: str) -> int:
    n = len(points[0])
    if any(a.dim() != 2 or len(a) != n for a in points):
        raise DataError(f"{owner}: needs (stimulus, unit) of the same stimuli; got {[tuple(a.shape) for a in points]}")
    if n < least:
        raise DataError(f"{owner}: needs at least {least} stimuli (items); got {n}")
    return n


def procrustes_overlap(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    r"""Overlap :math:`\|X^\top Y\|_*` of two populations (stimulus, unit), see :func:`procrustes_distance`; float64."""
    _number((one, other), 3, "procrustes_distance")
    with exact_products():
        x, y = (centred(a.double()).T for a in (one, other))
        # of many units, as many rotated ones as there are stimuli hold everything
        x, y = (torch.linalg.qr(f, mode="r").R if len(f) > f.shape[1] else f for f in (x, y))
        product = x @ y.T
        length = torch.linalg.matrix_norm(x) * torch.linalg.matrix_norm(y)
        return (torch.linalg.svdvals(product).sum() / torch.where(length > 0, length, torch.nan)).clamp(max=1)


def align(moving: torch.Tensor, target: torch.Tensor, scale: bool = False) -> torch.Tensor:
    """Points (item, unit) shifted, rotated and reflected (and scaled) onto target points (item, other unit)."""
    _number((moving, target), 3, "procrustes_align")
    with exact_products():
        goal, place = target.double(), moving.double()
        x, y = centred(place), centred(goal)
        (_, rx), (qy, ry) = torch.linalg.qr(x.T), torch.linalg.qr(y.T)
        u, weights, v = torch.linalg.svd(rx @ ry.T, full_matrices=False)
        turned = rx.T @ u @ v @ qy.T
        size = x.square().sum()
        return goal.mean(0) + turned * (torch.where(size > 0, weights.sum() / size, 1.0) if scale else 1.0)


def cka(
    one: xr.DataArray, other: xr.DataArray, *, estimator: str = "debiased", device: str | torch.device = "auto"
) -> xr.DataArray:
    """Linear CKA of two populations: how alike they arrange the stimuli.

    Parameters
    ----------
    one, other
        Activity (..., stimulus, unit), of any two areas. Shared dimensions are compared one by one; an array without
        one (an area that does not change) is compared with every element.
    estimator
        ``"debiased"`` or ``"biased"``, see the module.

    Returns
    -------
    xarray.DataArray
        (...), 1 = the same; NaN where a population does not tell stimuli apart.

    Raises
    ------
    DataError
        For fewer than 4 stimuli, different stimuli, or NaN.
    """
    check_choice("cka", "estimator", estimator, ESTIMATORS)
    core = ("stimulus", "unit")
    found = _apply(lambda x, y: cka_matrix((x, y), estimator)[0, 1], [one, other], core, (), "cka", device)
    return _named(found, "cka", f"linear CKA ({estimator})", estimator=estimator)


def cka_over(
    activity: xr.DataArray,
    over: str = "snapshot",
    *,
    other: xr.DataArray | None = None,
    estimator: str = "debiased",
    device: str | torch.device = "auto",
) -> xr.DataArray:
    """Linear CKA of an area at every snapshot with itself, or another area, at every snapshot.

    Parameters
    ----------
    activity
        (..., ``over``, stimulus, unit).
    over
        Dimension along which all are compared with all; every Gram matrix is computed once.
    other
        Activity of another area; default: the same.
    estimator
        See the module.

    Returns
    -------
    xarray.DataArray
        (..., ``over``, other_``over``): rows belong to ``activity``, columns to ``other``.
    """
    check_choice("cka_over", "estimator", estimator, ESTIMATORS)

    def kernel(x: torch.Tensor, *y: torch.Tensor) -> torch.Tensor:
        table = cka_matrix([one for area in (x, *y) for one in area], estimator)
        return table[: len(x), len(x) :] if y else table

    given = [activity] if other is None else [activity, other]
    found = _apply(kernel, given, (over, "stimulus", "unit"), (over, f"other_{over}"), "cka_over", device)
    found = found.assign_coords(both_ways(activity, over, other))
    return _named(found, "cka", f"linear CKA ({estimator})", estimator=estimator)


def procrustes_distance(
    one: xr.DataArray, other: xr.DataArray, *, measure: str = "chord", device: str | torch.device = "auto"
) -> xr.DataArray:
    r"""What is left between two populations, each centred and of norm 1, after the best rotation; a metric.

    .. math:: c = \|X^\top Y\|_*, \qquad d_\text{chord} = \sqrt{2 - 2 c} \in [0, \sqrt 2], \qquad
              d_\text{angle} = \arccos c \in [0, \pi / 2]

    The narrower population counts as having silent units.

    Parameters
    ----------
    one, other
        Activity, or class centroids, (..., stimulus, unit); looped over as by :func:`cka`. Computed in float64.
    measure
        ``"chord"`` or ``"angle"``, in radians.

    Returns
    -------
    xarray.DataArray
        (...), 0 = the same up to rotation, reflection, scale and shift. Needs 3 stimuli: two always fit.
    """
    check_choice("procrustes_distance", "measure", measure, ("chord", "angle"))

    def kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        overlap = procrustes_overlap(x, y)
        return overlap.acos() if measure == "angle" else (2 - 2 * overlap).sqrt()

    found = _apply(kernel, [one, other], ("stimulus", "unit"), (), "procrustes_distance", device)
    about = {"measure": measure, "units": "rad" if measure == "angle" else "1"}
    return _named(found, "procrustes_distance", f"Procrustes distance ({measure})", **about)


def procrustes_align(
    moving: xr.DataArray,
    target: xr.DataArray,
    *,
    items: str = "original_class",
    unit: str = "unit",
    scale: bool = False,
    device: str | torch.device = "auto",
) -> xr.DataArray:
    """Points, e.g. class centroids, moved rigidly onto target points, so that snapshots or animals share their axes.

    Parameters
    ----------
    moving, target
        (..., ``items``, ``unit``), at least 3 items; a target without ``animal``, say, serves all. Onto a target of
        fewer units, points are projected.
    items, unit
        Names of the dimensions.
    scale
        Whether sizes may change, too.

    Returns
    -------
    xarray.DataArray
        As ``moving``, with the units of the target, float64.
    """
    kernel, out = functools.partial(align, scale=scale), (items, f"other_{unit}")
    found = _apply(kernel, [moving, target], (items, unit), out, "procrustes_align", device)
    kept = {n: c.variable for a, d in ((moving, items), (target, unit)) for n, c in a.coords.items() if c.dims == (d,)}
    return found.rename({f"other_{unit}": unit}).assign_coords(kept).rename(moving.name).assign_attrs(moving.attrs)


def _apply(
    kernel: Callable[..., torch.Tensor],
    arrays: Sequence[xr.DataArray],
    core: Sequence[str],
    out: Sequence[str],
    owner: str,
    device: str | torch.device,
) -> xr.DataArray:
    """The one result of a kernel; of the dimensions it takes in, two arrays share the last but one only."""
    names = {d: f"other_{d}" for d in core if d != core[-2]}
    checked = [require(a, core, owner, "activity") for a in arrays]
    given = [a.rename(names if k else {}) for k, a in enumerate(checked)]
    cores = [core, [names.get(d, d) for d in core]][: len(given)]
    dtype = torch.float64 if any(a.dtype == "float64" for a in arrays) else torch.float32
    one = {"found": out}
    found = per_slice(lambda *x: {"found": kernel(*x)}, given, cores, one, owner=owner, device=device, dtype=dtype)
    return found["found"].assign_attrs({f"n_{core[-2]}": given[0].sizes[core[-2]]})


def _named(found: xr.DataArray, name: str, long_name: str, units: str = "1", **settings: str) -> xr.DataArray:
    return found.rename(name).assign_attrs(long_name=long_name, units=units, sums="float64", **settings)
