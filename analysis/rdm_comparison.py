r"""Comparison of RDMs: do two areas, two times in life, or two animals tell the same stimuli apart?

Similarities run from -1 to 1 (1 = same geometry up to what the method ignores):

- ``"spearman"`` (default), ``"pearson"``: correlation of ranks or of dissimilarities.
- ``"rho_a"``, ``"tau_a"``: rank correlations that do not reward a model RDM for predicting ties.
- ``"cosine"``: for dissimilarities with a meaningful zero (crossnobis, squared Euclidean).
- ``"cosine_whitened"``, ``"corr_whitened"``: the same after whitening, because dissimilarities that share an item err
  together. On squared Euclidean RDMs the whitened cosine *is* biased linear CKA, on crossnobis RDMs its unbiased form.

Whitening takes the covariance :math:`V = (C C^\top) \circ (C C^\top)` of dissimilarities under independent noise
(*C*: one row for each pair, 1 and -1 at its items). *V* is never built:
:math:`r^\top V^{-1} s = \langle G_r, G_s \rangle_F`, where :math:`G_r` is the symmetric matrix of least norm with
:math:`g_{ii} + g_{jj} - 2 g_{ij} = r_{ij}`, for a complete RDM :math:`-\tfrac12 H R H` with
:math:`H = I - \tfrac1N 11^\top`.

Sources: Nili et al. (2014), PLoS Comput. Biol.; Diedrichsen et al. (2021), Neurons Behav. Data Anal. Theory.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import xarray as xr

from replaysim.errors import DataError, check_choice

from . import ranks
from .devices import exact_products
from .dissimilarity import n_items
from .labelled import both_ways, per_slice, require

WHITENED = ("cosine_whitened", "corr_whitened")
METHODS = (*ranks.METHODS, *WHITENED)


def _directions(rdms: torch.Tensor, used: torch.Tensor, method: str, pairs: torch.Tensor | None) -> torch.Tensor:
    """Vectors (n, ...) whose inner products are the similarities over the ``used`` pairs."""
    values = rdms[:, used]
    if method not in WHITENED or not values.shape[1]:
        return ranks.direction(values, "cosine" if method in WHITENED else method)
    if pairs is None:
        n = n_items(rdms.shape[1])
        pairs = torch.triu_indices(n, n, 1, device=rdms.device)
    values = values.double()
    if method == "corr_whitened":
        nothing = ranks.constant(values).unsqueeze(1)
        values = (values - values.mean(1, keepdim=True)).masked_fill(nothing, 0.0)
    return ranks.direction(ranks.second_moments(values, pairs[:, used]), "cosine")


def similarity(
    one: torch.Tensor, other: torch.Tensor, method: str = "spearman", pairs: torch.Tensor | None = None
) -> dict[str, torch.Tensor]:
    """Similarity of two RDMs over the pairs that both have.

    Parameters
    ----------
    one, other
        (K,); NaN where there is no dissimilarity.
    method
        One of :data:`METHODS`.
    pairs
        (2, K), numbers of the items, for whitening; default: upper triangle, row by row.

    Returns
    -------
    dict
        ``similarity``, one float64, NaN where either has no variance (cosine: is zero), and ``n_pairs_used``.
    """
    check_choice("similarity", "method", method, METHODS)
    with exact_products():
        used = ~(one.isnan() | other.isnan())
        if method == "tau_a" or not bool(used.any()):
            found = ranks.correlation(one[used], other[used], "tau_a")
        else:
            first, second = (_directions(r[None], used, method, pairs)[0] for r in (one, other))
            found = (first * second).sum().clamp(-1, 1)
        return {"similarity": found, "n_pairs_used": used.sum()}


def similarity_matrix(
    rdms: torch.Tensor, method: str = "spearman", pairs: torch.Tensor | None = None
) -> dict[str, torch.Tensor]:
    """Similarity of all RDMs with all: each is ranked once, then one product of matrices.

    Where RDMs lack different pairs, every comparison is made over its own common pairs, as by :func:`similarity`.

    Parameters
    ----------
    rdms
        (n, K); the results are (n, n).
    method, pairs
        As there.

    """
    check_choice("similarity_matrix", "method", method, METHODS)
    with exact_products():
        used = ~rdms[0].isnan()
        if method != "tau_a" and bool(used.any()) and bool((rdms.isnan() == ~used).all()):
            vectors = _directions(rdms, used, method, pairs)
            found = (vectors @ vectors.T).clamp(-1, 1)
            return {"similarity": found, "n_pairs_used": used.sum().expand(found.shape)}
        n = len(rdms)
        table = torch.empty(n, n, dtype=torch.float64, device=rdms.device)
        count = torch.empty(n, n, dtype=torch.int64, device=rdms.device)
        for i, j in itertools.combinations_with_replacement(range(n), 2):
            both = similarity(rdms[i], rdms[j], method, pairs)
            table[i, j] = table[j, i] = both["similarity"]
            count[i, j] = count[j, i] = both["n_pairs_used"]
        return {"similarity": table, "n_pairs_used": count}


def ceiling(rdms: torch.Tensor, method: str = "spearman", pairs: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """Noise ceiling of RDMs (n, K), over the pairs that all have; see :func:`noise_ceiling`."""
    if len(rdms) < 2:
        raise DataError(f"noise_ceiling: needs at least two RDMs to compare; got {len(rdms)}")
    with exact_products():
        used = ~rdms.isnan().any(0)
        pools = torch.full(rdms.shape, torch.nan, dtype=torch.float64, device=rdms.device)
        # on these scales the mean is most similar to all; for tau_a, mean ranks are an approximation
        if method in ("spearman", "rho_a", "tau_a"):
            pools[:, used] = ranks.average_ranks(rdms[:, used])
        else:
            pools[:, used] = ranks.direction(rdms[:, used], "cosine" if method.startswith("cosine") else "pearson")
        total = pools.sum(0)
        lower = [similarity(r, total - own, method, pairs)["similarity"] for r, own in zip(rdms, pools, strict=True)]
        upper = [similarity(r, total, method, pairs)["similarity"] for r in rdms]
        return {"lower": torch.stack(lower).mean(), "upper": torch.stack(upper).mean(), "n_pairs_used": used.sum()}


def compare_rdms(
    one: xr.DataArray, other: xr.DataArray, method: str = "spearman", *, device: str | torch.device = "auto"
) -> xr.DataArray:
    """Similarity of RDMs.

    Parameters
    ----------
    one, other
        (..., pair) of the same items. Shared dimensions are compared one by one; an RDM without ``animal``, say, is
        compared with every animal's. Dissimilarities that either lacks (NaN) are left out.
    method
        See the module.

    Returns
    -------
    xarray.DataArray
        (...), from -1 to 1; NaN where either RDM has no variance. Coordinate ``n_pairs_used``.

    Raises
    ------
    DataError, SettingError
        For RDMs of different items, or an unknown method.
    """
    check_choice("compare_rdms", "method", method, METHODS)
    first, second = (require(r, ("pair",), "compare_rdms", f"RDM {k}") for k, r in (("one", one), ("two", other)))
    _same_items(first, second, "compare_rdms")
    out: dict[str, Sequence[str]] = {"similarity": ()}
    found = _apply(similarity, [first, second], ("pair",), out, method, "compare_rdms", device)
    return _described(found["similarity"], first, method)


def second_order(
    rdms: xr.DataArray, method: str = "spearman", over: str = "snapshot", *, device: str | torch.device = "auto"
) -> xr.DataArray:
    """Similarity of the RDMs of all snapshots (areas, animals): when, or where, does the geometry change?

    Parameters
    ----------
    rdms
        (..., ``over``, pair).
    method, over
        See the module; dimension along which all are compared with all.

    Returns
    -------
    xarray.DataArray
        (..., ``over``, other_``over``), symmetric, with coordinate ``n_pairs_used``.
    """
    check_choice("second_order", "method", method, METHODS)
    values = require(rdms, (over, "pair"), "second_order", "rdms")
    out = {"similarity": (over, f"other_{over}")}
    found = _apply(similarity_matrix, [values], (over, "pair"), out, method, "second_order", device)
    return _described(found["similarity"].assign_coords(both_ways(values, over)), values, method)


def noise_ceiling(
    rdms: xr.DataArray, method: str = "spearman", over: str = "animal", *, device: str | torch.device = "auto"
) -> xr.Dataset:
    r"""How similar any model RDM can be to those of the animals, given how much the animals differ.

    .. math:: \text{upper} = \tfrac1n \sum_s \text{sim}(r_s, \text{pool}(r_1 \dots r_n)), \quad
              \text{lower} = \tfrac1n \sum_s \text{sim}(r_s, \text{pool}(r_{t \ne s}))

    The pool is the mean of RDMs divided by their root mean square (cosines), z-scored (``"pearson"``,
    ``"corr_whitened"``) or ranked. Only pairs that all have are used: an animal without any gives NaN.

    Parameters
    ----------
    rdms
        (..., ``over``, pair).
    method, over
        See the module; what plays the part of subjects.

    Returns
    -------
    xarray.Dataset
        ``lower`` and ``upper`` (...), coordinate ``n_pairs_used``. Source: Nili et al. (2014).

    Raises
    ------
    DataError
        For fewer than two animals.
    """
    check_choice("noise_ceiling", "method", method, METHODS)
    values = require(rdms, (over, "pair"), "noise_ceiling", "rdms")
    if values.sizes[over] < 2:
        raise DataError(f"noise_ceiling: needs at least two elements along {over!r}; got {values.sizes[over]}")
    out: dict[str, Sequence[str]] = {"lower": (), "upper": ()}
    found = _apply(ceiling, [values], (over, "pair"), out, method, "noise_ceiling", device)
    for name, pool in (("lower", f"pool without the {over}"), ("upper", f"pool of every {over}")):
        found[name] = _described(found[name], values, method, name, f"noise ceiling, {name} bound, {pool}")
        found[name].attrs.update({"over": over, f"n_{over}": values.sizes[over]})
    return found


def _apply(
    measure: Callable[..., Mapping[str, torch.Tensor]],
    arrays: Sequence[xr.DataArray],
    core: Sequence[str],
    out: Mapping[str, Sequence[str]],
    method: str,
    owner: str,
    device: str | torch.device,
) -> xr.Dataset:
    pairs = _pairs(arrays[0]) if method in WHITENED else None

    def kernel(*rdms: torch.Tensor) -> Mapping[str, torch.Tensor]:
        return measure(*rdms, method, None if pairs is None else pairs.to(rdms[0].device))

    shapes = {**out, "n_pairs_used": out.get("similarity", ())}
    found = per_slice(
        kernel, arrays, [core] * len(arrays), shapes, owner=owner, device=device, dtype=torch.float64, allow_nan=True
    ).set_coords("n_pairs_used")
    found["n_pairs_used"].attrs.update(long_name="pairs of items that count", units="1")
    return found


def _pairs(rdm: xr.DataArray) -> torch.Tensor | None:
    """Numbers of the items of each pair, (2, K)."""
    if "item_a" not in rdm.coords or "item_b" not in rdm.coords:
        return None
    items = np.concatenate((rdm["item_a"].values, rdm["item_b"].values))
    return torch.from_numpy(np.unique(items, return_inverse=True)[1].reshape(2, -1))


def _same_items(one: xr.DataArray, other: xr.DataArray, owner: str) -> None:
    kinds = [r.attrs["items"] for r in (one, other) if "items" in r.attrs]
    if len(set(kinds)) > 1:
        raise DataError(f"{owner}: one RDM is of {kinds[0]!r}, the other of {kinds[1]!r}")
    if one.sizes["pair"] != other.sizes["pair"]:
        sizes = f"{one.sizes['pair']} and {other.sizes['pair']}"
        raise DataError(f"{owner}: the RDMs have {sizes} pairs; compute both from the same items")
    for name in ("item_a", "item_b"):
        if name in one.coords and name in other.coords and not np.array_equal(one[name].values, other[name].values):
            raise DataError(f"{owner}: the RDMs have different items, or the same in another order ({name})")


def _described(
    found: xr.DataArray, rdm: xr.DataArray, method: str, name: str = "rdm_similarity", what: str = "similarity of RDMs"
) -> xr.DataArray:
    about = {k: rdm.attrs[k] for k in ("items", "n_items") if k in rdm.attrs}
    about |= {"long_name": f"{what} ({method})", "units": "1", "method": method, "compute_dtype": "float64"}
    return found.rename(name).assign_attrs(about)
