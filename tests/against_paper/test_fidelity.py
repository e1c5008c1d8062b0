"""Measures of replay quality against the arrays of the research code (file 12)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from oracle import closest, read
from torch import Tensor

from analysis.frechet import frechet_distance, frechet_from_moments, inception_score, moments
from analysis.histograms import kmeans, pooled_histograms, prd_curves, prd_from_histograms

FILE = read("12_metrics")


def given(name: str) -> Tensor:
    return torch.from_numpy(np.array(FILE[name]))


def test_curves_of_given_histograms() -> None:
    precision, recall = prd_from_histograms(given("prd.hist_ref"), given("prd.hist_gen"))
    closest(precision.mean(0), FILE["prd.precision"], "precision")
    closest(recall.mean(0), FILE["prd.recall"], "recall")
    closest(precision[0], FILE["prd.first.precision"], "first precision")
    closest(recall[0], FILE["prd.first.recall"], "first recall")


def test_curves_by_hand() -> None:
    precision, recall = prd_from_histograms(given("hand.hist_ref"), given("hand.hist_gen"), n_angles=11)
    closest(precision, FILE["hand.precision"], "precision")
    closest(recall, FILE["hand.recall"], "recall")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_clear_clusters_from_samples_to_curves(seed: int, dtype: torch.dtype) -> None:
    real, generated = given("clear.ref").to(dtype), given("clear.gen").to(dtype)
    curves = prd_curves(real, generated, seed=seed)
    closest(curves["precision"], FILE["clear.precision"], "precision")
    closest(curves["recall"], FILE["clear.recall"], "recall")
    assert float(curves["f8_sd"]) < 1e-12, "all clusterings find the same clusters"
    histograms = torch.stack(pooled_histograms(real, generated, seed=seed))  # (set, clustering, cluster)
    wanted = np.stack((FILE["clear.hist_ref"], FILE["clear.hist_gen"]))
    order = np.lexsort(wanted)
    for c in range(histograms.shape[1]):
        found = histograms[:, c].numpy()
        np.testing.assert_allclose(found[:, np.lexsort(found)], wanted[:, order], atol=1e-12)


def test_other_clusterings_stay_within_their_noise() -> None:
    """The curve itself is a mean over ten random clusterings: it moves by some hundredths with their seed."""
    real, generated = given("prd.ref"), given("prd.gen")
    found = [prd_curves(real, generated, seed=seed) for seed in range(6)]
    for name in ("precision", "recall"):
        one = np.stack([f[name].numpy() for f in found])
        wanted = FILE[f"prd.{name}"]
        assert np.abs(one - wanted).max() < 0.07
        assert np.abs(one.mean(0) - wanted).max() < 0.035
    assert len({float(f["f8"]) for f in found}) > 1


def test_the_clusterings_are_as_tight_as_those_of_the_file() -> None:
    pooled = torch.cat((given("prd.gen"), given("prd.ref")))
    inertia = kmeans(pooled).inertia
    assert float(inertia.max() / inertia.min()) < 1.1


@pytest.mark.parametrize("route", ["samples", "moments"])
def test_frechet(route: str) -> None:
    def distance(real: Tensor, generated: Tensor) -> Tensor:
        if route == "samples":
            return frechet_distance(real, generated)
        return frechet_from_moments(*moments(real), *moments(generated))

    real, generated = given("fid.ref"), given("fid.gen")
    closest(distance(real, generated), FILE["fid.value"], "all units")
    dead_real, dead_generated = real.clone(), generated.clone()
    dead_real[:, [2, 4]] = 0
    dead_generated[:, 2] = 0
    closest(distance(dead_real, dead_generated), FILE["fid.dead_value"], "silent units", 1e-6)
    few_real, few_generated = real[: int(FILE["fid.singular_n_ref"])], generated[: int(FILE["fid.singular_n_gen"])]
    closest(distance(few_real.abs(), few_generated.abs()), FILE["fid.singular_value"], "few samples", 1e-6)


def test_inception() -> None:
    closest(inception_score(given("is.probs")), FILE["is.value"], "score")
