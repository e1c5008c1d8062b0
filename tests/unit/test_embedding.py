"""Embedding: stimuli and memories enter an independent brain at the area whose activity they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small import brain, protocol, simulate

import replaysim as rs
from replaysim.embedding import Embedding, memories, real_stimuli
from replaysim.errors import DataError, SettingError
from replaysim.retina import LIGHT
from replaysim.stimuli import StimulusSet


def test_stimuli_are_seen_as_they_are_presented() -> None:
    own = protocol()
    grown = rs.classifier(own, units=(20, 20)).grow(12)
    real = real_stimuli(own)
    assert real.dims == ("stimulus", "unit") and real.attrs["area"] == "retina"
    assert np.array_equal(real["original_class"], own.stimuli.test_label)
    seen = grown.perceive(torch.from_numpy(own.stimuli.test.astype(np.float32) / 255))["association_2"]
    there = Embedding(grown).activity(real)
    assert there.name == "association_2" and np.array_equal(there.values, seen.detach().numpy())
    decided = Embedding(grown).decisions(real)
    assert decided.dims == ("stimulus", "class") and np.allclose(decided.sum("class"), 1)


def test_a_brain_of_double_precision() -> None:
    own = protocol()
    grown = rs.classifier(own, units=(20, 20)).grow(12)
    single = Embedding(grown).activity(real_stimuli(own))
    double = Embedding(grown.double()).activity(real_stimuli(own))
    assert double.dtype == np.float64 and np.allclose(single, double, atol=1e-5)


def test_memories_of_every_class() -> None:
    result = simulate(animals=(12, 13), replay=rs.GenerativeReplay())
    found = list(memories(result.brains, 13))
    assert [int(one["animal"]) for one in found] == [12, 13]
    for one in found:
        assert one.dims == ("event", "unit") and one.attrs["area"] == "retina"
        counts = np.bincount(one["original_class"].values, minlength=6)
        assert counts.min() == 2 and counts.max() == 3
        first = result.brains[int(one["animal"])].class_identity[0]
        assert one["original_class"].values[0] == first
    there = Embedding(result.brains[12]).activity(found[1])
    assert there.dims == ("event", "unit") and int(there["animal"]) == 13


@pytest.mark.parametrize("scenario", ["class", "domain"])
def test_memories_pass_the_gates_of_a_context_that_has_their_class(scenario: str) -> None:
    own = protocol(contexts=[[0], [1, 2], [3, 4, 5]], scenario=scenario)
    plan = rs.brain_inspired(own, units=(20, 20), code_units=5, gates_by="context", closed=0.5)
    grown = plan.grow(12)
    classes = [0, 1, 2, 3, 4, 5, 0] if scenario == "class" else [0, 1, 2, 0, 1, 2, 0]
    contexts = [0, 1, 1, 2, 2, 2, 0] if scenario == "class" else [0, 1, 2, 1, 2, 2, 2]
    (found,) = memories({12: grown}, 7, own)
    assert np.array_equal(found.values, grown.recall(classes, contexts=contexts, seed=12).numpy())
    with pytest.raises(SettingError, match=r"memories\.protocol: got None, must be given: gates are by context"):
        next(memories({12: grown}, 7))
    for asked, words in (({"classes": [0, 1]}, "contexts: got None"), ({"contexts": [0, 1]}, "classes: got None")):
        with pytest.raises(SettingError, match=rf"Brain.recall.{words}, must be given, too: gates are by context"):
            grown.recall(**asked)
    with pytest.raises(SettingError, match=r"contexts: got None"):
        grown.recall(events=2)
    free = rs.brain_inspired(own, units=(20, 20), code_units=5, gates_by="context", closed=0.5, without={"modes"})
    assert free.grow(12).recall(events=2).shape == (2, 16), "of no class"


def test_memories_of_early_areas_enter_above_them() -> None:
    chance, label = np.random.default_rng(0), np.arange(6).repeat(4)
    images = chance.integers(0, 256, (24, 3, 32, 32), dtype=np.uint8)
    own = rs.SplitProtocol(
        StimulusSet("photographs", images, label, images, label, tuple("abcdef"), 255.0, LIGHT["cifar100"]), contexts=3
    )
    embedding = Embedding(rs.classifier(own, units=(20, 20), early="frozen").grow(1))
    real = real_stimuli(own)
    with torch.no_grad():
        early = embedding.brain.perceive(torch.from_numpy(real.values))["early_5"].numpy()
    higher = real.copy(data=np.zeros_like(real.values)).isel(unit=slice(1024)).copy(data=early)
    higher.attrs["area"] = "early_5"
    np.testing.assert_allclose(embedding.activity(higher).values, embedding.activity(real).values, atol=1e-6)
    replaying = rs.brain_inspired(own, units=(20, 20), code_units=5, closed=0.3).grow(12)
    replaying.class_identity = tuple(range(6))
    recalled = next(memories({12: replaying}, 6))
    assert recalled.attrs["area"] == "early_5" and embedding.activity(recalled).shape == (6, 20)
    with pytest.raises(DataError, match="1024 units at the area 'retina'"):
        embedding.activity(recalled.assign_attrs(area="retina"))


def test_a_brain_of_another_world() -> None:
    with pytest.raises(DataError, match="16 units at the area 'v4'"):
        Embedding(brain(protocol()).grow(1)).activity(real_stimuli(protocol()).assign_attrs(area="v4"))
