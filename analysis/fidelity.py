"""Fidelity: how much replayed activity resembles waking activity, each number beside the best that could be reached.

Real and generated patterns are compared in the same space of units: the area where replay re-enters the cortex (see
:mod:`analysis.replay_fidelity`), or an *independent embedding network*, as in the 2020 paper: show real and replayed
stimuli to a network that took no part in the simulation and pass its activity as ``real`` and ``generated``, its class
probabilities to :func:`inception`. That network itself is not needed here.

*No value means anything alone.* In high dimension, between two draws from one distribution improved precision is about
0.45, not 1, and the Frechet distance about 1 / samples, not 0. So :func:`fidelity` compares *n* generated with *n* real
samples and, beside it (``reference_...``), *n* other real samples with the same *n* real ones. Do not compare
values at different *n*. *Nearest neighbours read norms*: a generator shrunk to half scale has precision and coverage 1,
a density in the hundreds and recall 0; one 1.3 times too large precision 0, recall 1. Look at ``norm_ratio`` first.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from replaysim.errors import DataError, check_choice, check_number

from . import histograms
from .frechet import frechet_distance, inception_score, kernel_distance
from .labelled import Kernel, per_slice, require, require_same
from .neighbours import neighbour_measures

MEASURES = {
    "precision_recall": {
        "improved_precision": "share of generated samples within reach of a real one, by nearest neighbours",
        "improved_recall": "share of real samples within reach of a generated one, by nearest neighbours",
        "density": "real samples within whose reach a generated one lies, over those expected",
        "coverage": "share of real samples that have a generated one within reach",
    },
    "prd": histograms.VARIABLES,
    "frechet": {"frechet": "Frechet distance"},
    "kernel": {"kernel": "kernel distance: squared maximum mean discrepancy, cubic kernel, unbiased"},
    "scale": {
        "norm_ratio": "mean length of generated patterns over that of real ones",
        "trace_ratio": "total variance of generated patterns over that of real ones",
    },
}
"""Measures, and the variables that each of them gives with their meaning."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured and how: the keywords of every function here and in :mod:`analysis.replay_fidelity`.

    Parameters
    ----------
    measures
        Names of :data:`MEASURES`; default: all.
    k, k_density, strict
        Neighbours of improved precision and recall, those of density and coverage; see :mod:`analysis.neighbours`.
    clusters, clusterings, n_angles
        See :mod:`analysis.histograms`.
    samples
        Samples *n* a side where a reference is drawn; default: as many as possible. Give it to compare values.
    seed
        Of the samples drawn, the same in every slice, and of the clusterings.
    real_dim, generated_dim
        Dimensions along which the samples lie.
    device, memory
        Where to compute; bytes beyond inputs and results.
    """

    measures: Sequence[str] = tuple(MEASURES)
    k: int = 3
    k_density: int = 5
    strict: bool = False
    clusters: int = histograms.CLUSTERS
    clusterings: int = histograms.CLUSTERINGS
    n_angles: int = histograms.ANGLES
    samples: int | None = None
    seed: int = 0
    real_dim: str = "stimulus"
    generated_dim: str = "event"
    device: str = "auto"
    memory: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.measures, str):
            object.__setattr__(self, "measures", (self.measures,))
        for name in self.measures or [""]:
            check_choice("fidelity", "measures", name, MEASURES)
        for name, least in {"k": 1, "k_density": 1, "clusters": 1, "clusterings": 1, "n_angles": 2, "seed": 0}.items():
            check_number("fidelity", name, getattr(self, name), least=least, whole=True)
        if self.samples is not None:
            check_number("fidelity", "samples", self.samples, least=self.least, whole=True)

    @property
    def least(self) -> int:
        """Samples a side that these measures need."""
        needs = {"precision_recall": max(self.k, self.k_density) + 1, "prd": -(-self.clusters // 2)}
        return max(2, *(needs.get(measure, 2) for measure in self.measures))

    def too_few(self, owner: str, real: int, generated: int, parts: int) -> DataError:
        """What to raise where the real samples do not suffice for so many parts, or the generated ones for one."""
        n = self.samples or self.least
        return DataError(
            f"{owner}: {parts * n} real and {n} generated samples are needed with k = {self.k}, k_density = "
            f"{self.k_density}, clusters = {self.clusters}, samples = {self.samples}; got {real} and {generated}. "
            "Record more, or take fewer measures, neighbours or clusters"
        )

    def number(self, real: int, generated: int) -> int:
        """Samples a side that can be compared where so many are there; 0 where these are too few."""
        most = min(real // 2, generated)
        return 0 if most < (self.samples or self.least) else self.samples or most

    @property
    def variables(self) -> dict[str, str]:
        """Variables that come out, and their measure."""
        return {name: measure for measure, names in MEASURES.items() if measure in self.measures for name in names}

    def attributes(self, name: str, dtype: str) -> dict[str, Any]:
        """Meaning of a variable and the settings behind it."""
        own = name.removeprefix("reference_")
        if own not in self.variables:
            return {}
        measure = self.variables[own]
        meaning = MEASURES[measure][own]
        found = {"long_name": meaning if own == name else f"real against real: {meaning}", "units": "1"}
        k = self.k if own.startswith("improved") else self.k_density
        near = {"sense": "nearest neighbours", "k": k, "strict": int(self.strict)}
        bins = {"clusters": self.clusters, "clusterings": self.clusterings, "kmeans_seed": self.seed}
        settings = {"precision_recall": near, "prd": {"sense": "histograms over clusters", **bins}}.get(measure, {})
        return found | settings | {"compute_dtype": dtype if settings else "float64"}


def settings_of(owner: str, given: Mapping[str, Any]) -> Settings:
    """Settings from keywords; :class:`SettingError` for one that does not exist."""
    for name in given:
        check_choice(owner, "settings", name, [f.name for f in fields(Settings)])
    return Settings(**given)


def compare(real: Tensor, generated: Tensor, s: Settings) -> dict[str, Tensor]:
    """The chosen measures of two sets of samples, tensors (N, P) and (M, P)."""
    found: dict[str, Tensor] = {}
    if "precision_recall" in s.measures:
        near = neighbour_measures(real, generated, s.k, s.k_density, strict=s.strict, memory=s.memory)
        found |= {name: near[name.removeprefix("improved_")] for name in MEASURES["precision_recall"]}
    if "prd" in s.measures:
        bins = {"clusters": s.clusters, "clusterings": s.clusterings, "n_angles": s.n_angles}
        found |= histograms.prd_curves(real, generated, seed=s.seed, **bins)
    if "frechet" in s.measures:
        found["frechet"] = frechet_distance(real, generated, memory=s.memory)
    if "kernel" in s.measures:
        found["kernel"] = kernel_distance(real, generated, memory=s.memory)
    if "scale" in s.measures:
        r, g = real.double(), generated.double()
        found["norm_ratio"] = g.norm(dim=1).mean() / r.norm(dim=1).mean()
        found["trace_ratio"] = g.var(0).sum() / r.var(0).sum()
    return found


def compare_drawn(real: Tensor, generated: Tensor, n: int, settings: Settings) -> dict[str, Tensor]:
    """:func:`compare` *n* real samples with *n* generated ones, drawn by seed."""
    return compare(_draw(real, 0, n, settings.seed), _draw(generated, 0, n, settings.seed + 1), settings)


def reference(real: Tensor, n: int, settings: Settings) -> dict[str, Tensor]:
    """The same real samples against *n* other real ones, as ``reference_...``."""
    found = compare(_draw(real, 0, n, settings.seed), _draw(real, n, n, settings.seed), settings)
    return {f"reference_{name}": value for name, value in found.items()}


def _draw(samples: Tensor, start: int, n: int, seed: int) -> Tensor:
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(int(seed)))
    return samples[order[start : start + n].to(samples.device)]


def samples_of(owner: str, real: xr.DataArray, generated: xr.DataArray, s: Settings) -> list[xr.DataArray]:
    """Both arrays with their samples along ``real`` and ``generated``, if they have the same units."""
    given = (real, s.real_dim, "real"), (generated, s.generated_dim, "generated")
    found = [require(array, (dim, "unit"), owner, name).rename({dim: name}) for array, dim, name in given]
    require_same(found[0], found[1], ("unit",), owner)
    return found


def run(
    owner: str, kernel: Kernel, arrays: Sequence[xr.DataArray], s: Settings, prefixes: Sequence[str],
    labels: Mapping[str, Any] | None = None,
) -> xr.Dataset:  # fmt: skip
    """A kernel over all slices of samples; variables, under each prefix, over ``labels`` and with their meaning."""
    dtype = torch.float64 if np.dtype(np.float64) in (arrays[0].dtype, arrays[1].dtype) else torch.float32

    def floating(real: Tensor, generated: Tensor, *classes: Tensor) -> Mapping[str, Tensor]:
        return kernel(real.to(dtype), generated.to(dtype), *classes)

    coords, new = dict(labels or {}), tuple(labels or {})
    if "prd" in s.measures:
        meaning = {"long_name": "angle of the curve; its tangent weighs recall", "units": "rad"}
        coords["angle"] = ("angle", histograms.angles(s.n_angles).numpy(), meaning)
    core = [("real", "unit"), ("generated", "unit"), ("real",), ("generated",)][: len(arrays)]
    out: dict[str, Sequence[str]] = dict.fromkeys(("n", "real_available", "generated_available"), new)
    for prefix in prefixes:
        out |= {prefix + v: (*new, "angle") if v in ("precision", "recall") else new for v in s.variables}
    found = per_slice(floating, arrays, core, out, owner=owner, device=s.device, dtype=dtype, coords=coords)
    for name in found.data_vars:
        found[name].attrs = s.attributes(str(name), str(dtype).removeprefix("torch."))
    return found


def fidelity(real: xr.DataArray, generated: xr.DataArray, **settings: Any) -> xr.Dataset:
    """Every measure of fidelity, beside the same of real against real at equal numbers of samples.

    Parameters
    ----------
    real, generated
        (..., stimulus, unit) and (..., event, unit), the same units; other dimensions are kept.
    **settings
        ``measures``, ``k``, ``samples``, ``seed``, ``device`` and all others of :class:`Settings`.

    Returns
    -------
    xarray.Dataset
        The variables of :data:`MEASURES` over the dimensions kept (curves also over ``angle``), and the same with the
        prefix ``reference_``. Attributes ``n_real``, ``n_generated``, ``n_reference``: samples compared, all the same,
        min(real // 2, generated); ``real_available``, ``generated_available``: samples there were.

    Raises
    ------
    DataError
        For other units, missing dimensions, numbers that are not finite, or too few samples for these settings.
    """
    s = settings_of("fidelity", settings)
    arrays = samples_of("fidelity", real, generated, s)
    sizes = arrays[0].sizes["real"], arrays[1].sizes["generated"]
    n = s.number(*sizes)
    if not n:
        raise s.too_few("fidelity", *sizes, 2)  # one half is the reference
    known = functools.lru_cache(maxsize=1)(lambda r: reference(r, n, s))  # all animals may share the real samples
    found = run("fidelity", lambda r, g: compare_drawn(r, g, n, s) | known(r), arrays, s, ("", "reference_"))
    available = {"real_available": sizes[0], "generated_available": sizes[1]}
    return found.assign_attrs(available, n_real=n, n_generated=n, n_reference=n, seed=s.seed)


def precision_recall(
    real: xr.DataArray, generated: xr.DataArray, k: int = 3, k_density: int = 5, **settings: Any
) -> xr.Dataset:
    """Precision and recall of single samples, by nearest neighbours, with density and coverage; of all samples.

    A generated pattern is precise if it lies within reach of a real one: no farther than the *k*-th neighbour of that
    one among the real ones. Recall is the same the other way round. For all settings see :class:`Settings`.

    Source: Kynkäänniemi et al. (2019), NeurIPS; Naeem et al. (2020), ICML.
    """
    return _one("precision_recall", real, generated, k=k, k_density=k_density, **settings)


def prd(real: xr.DataArray, generated: xr.DataArray, **settings: Any) -> xr.Dataset:
    """Precision and recall of distributions (..., angle), by histograms over clusters: the measure of the 2020 paper.

    Equally many real and generated samples are needed. What comes out: :func:`analysis.histograms.prd_curves`.
    """
    return _one("prd", real, generated, **settings)


def frechet(real: xr.DataArray, generated: xr.DataArray, **settings: Any) -> xr.DataArray:
    """Frechet distance, in squared units of activity; see :func:`analysis.frechet.frechet_distance`."""
    return _one("frechet", real, generated, **settings)["frechet"]


def kernel(real: xr.DataArray, generated: xr.DataArray, **settings: Any) -> xr.DataArray:
    """Kernel distance, for few samples; see :func:`analysis.frechet.kernel_distance`."""
    return _one("kernel", real, generated, **settings)["kernel"]


def _one(measure: str, real: xr.DataArray, generated: xr.DataArray, **settings: Any) -> xr.Dataset:
    s = settings_of(measure, {"measures": [measure], **settings})
    arrays = samples_of(measure, real, generated, s)
    sizes = {"n_real": arrays[0].sizes["real"], "n_generated": arrays[1].sizes["generated"]}
    if min(sizes.values()) < s.least:
        raise s.too_few(measure, sizes["n_real"], sizes["n_generated"], 1)
    found = run(measure, lambda r, g: compare(r, g, s), arrays, s, ("",))
    for name in found.data_vars:
        found[name].attrs |= sizes
    return found


def inception(
    probabilities: xr.DataArray, *, sample_dim: str = "event", class_dim: str = "class", device: str = "auto"
) -> xr.DataArray:
    """How sure and how varied decisions are, (..., event, class); see :func:`analysis.frechet.inception_score`.

    Give it beside the score of as many real stimuli, from the same classifier.
    """
    require(probabilities, (sample_dim, class_dim), "inception", "probabilities")
    found = per_slice(
        lambda p: {"inception": inception_score(p)}, [probabilities], [(sample_dim, class_dim)], {"inception": ()},
        owner="inception", device=device, dtype=torch.float64,
    )["inception"]  # fmt: skip
    n = {"n_generated": probabilities.sizes[sample_dim], "n_classes": probabilities.sizes[class_dim]}
    return found.assign_attrs(n, long_name="modified inception score", units="1", compute_dtype="float64")
