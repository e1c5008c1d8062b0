"""Chance: what is drawn has the distribution that it should have, and streams know nothing of each other.

Oracle files feed their own noise, so that they cannot see any of this. Seeds are fixed: a test passes or fails for
good. Bounds are five standard errors of what independent draws scatter.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import small
import torch
from torch import nn

import replaysim as rs
from replaysim import rng
from replaysim.descending import DescendingAreas
from replaysim.events import CueDraws, draw_cues, plan_round
from replaysim.experience import BLOCK, Chance, shuffled_epochs
from replaysim.protocol import AbstractProtocol

CPU = torch.device("cpu")
EVENTS, STEPS = 60, 512


def streams(seed: int = 12, context: int = 2) -> dict[str, np.random.Generator]:
    return {name: rng.stream(seed, f"context {context}/{name}") for name in ("class", "mode", "context")}


def cues(own: AbstractProtocol, learned: int, per_class: int = 1, **kwargs: Any) -> CueDraws:
    plan = plan_round(own, learned, EVENTS, cued=True)
    return draw_cues(own, plan, learned, STEPS, per_class, streams(), **kwargs)


def assert_uniform(drawn: np.ndarray, values: range) -> None:
    """As often as each other, within five standard errors; nothing else."""
    found, counts = np.unique(drawn, return_counts=True)
    assert found.tolist() == list(values)
    p = 1 / len(values)
    assert np.abs(counts / drawn.size - p).max() < 5 * np.sqrt(p * (1 - p) / drawn.size)


def assert_independent(one: np.ndarray, other: np.ndarray) -> None:
    """No correlation beyond five standard errors."""
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 5 / np.sqrt(one.size)


# --- what replay asks for


def test_class_scenario_asks_for_all_old_classes_alike() -> None:
    drawn = cues(small.protocol("class"), 2, per_class=3)  # three contexts of two classes, two are learned
    assert drawn.cued_class.shape == (STEPS, EVENTS)
    assert_uniform(drawn.cued_class, range(4))
    assert_uniform(drawn.cued_mode, range(12))
    assert (drawn.cued_mode // 3 == drawn.cued_class).all()
    assert (drawn.cued_context == drawn.cued_class // 2).all()
    assert_independent(drawn.cued_class[:-1], drawn.cued_class[1:])
    assert_independent(drawn.cued_class[:, :-1], drawn.cued_class[:, 1:])


def test_task_scenario_asks_every_old_context_equally_often() -> None:
    drawn = cues(small.protocol("task"), 2)
    assert (np.bincount(drawn.cued_context[0]) == EVENTS // 2).all()
    assert (drawn.cued_context == drawn.cued_context[0]).all()
    assert (drawn.cued_class // 2 == drawn.cued_context).all()
    assert_uniform(drawn.cued_class, range(4))


def test_a_policy_asks_for_some_contexts_more_often() -> None:
    """In proportion, classes of a context alike; a policy that treats all alike asks for all alike."""
    uneven = small.protocol("class", contexts=[[0], [1, 2], [3, 4, 5]])
    drawn = cues(uneven, 2, priority=np.array([3.0, 1.0]))
    share = np.bincount(drawn.cued_class.ravel()) / drawn.cued_class.size
    assert np.abs(share - [0.6, 0.2, 0.2]).max() < 5 * np.sqrt(0.25 / drawn.cued_class.size)
    assert (drawn.cued_context == (drawn.cued_class > 0)).all()
    assert_uniform(cues(uneven, 2, priority=np.ones(2)).cued_class, range(3))
    assert (cues(uneven, 2, priority=np.array([0.0, 1.0])).cued_class > 0).all()
    domain = cues(small.protocol("domain"), 2, priority=np.array([1.0, 4.0]))
    assert abs(domain.cued_context.mean() - 0.8) < 5 * np.sqrt(0.16 / domain.cued_context.size)
    assert_uniform(domain.cued_class, range(2))


@pytest.mark.parametrize(("faithful", "contexts"), [(False, 2), (True, 3)])
def test_domain_scenario_asks_for_class_and_context_independently(faithful: bool, contexts: int) -> None:
    """The slip of the published code (Q2) draws the context that is just being learned as well."""
    drawn = cues(small.protocol("domain"), 2, faithful=faithful)
    assert_uniform(drawn.cued_context, range(contexts))
    assert_uniform(drawn.cued_class, range(2))
    assert_independent(drawn.cued_class, drawn.cued_context)


def test_a_faithful_brain_draws_the_context_that_is_being_learned() -> None:
    """The setting reaches the draw."""
    own = small.protocol("domain")
    for faithful in (False, True):
        plan = rs.brain_inspired(own, units=(12, 10), code_units=4, closed=0.5, gates_by="context", faithful=faithful)
        chance = Chance((12,), 2, own, plan, 6, plan_round(own, 2, 200, cued=True))
        chance.noise(0, CPU, torch.float32)
        assert int(chance.cues(0).cued_context.max()) == 1 + faithful


# --- which stimuli are met


@pytest.mark.parametrize(("n", "batch", "steps"), [(50, 12, 17), (50, 25, 9), (7, 7, 3)])
def test_epochs_are_without_replacement(n: int, batch: int, steps: int) -> None:
    """The last incomplete batch of an epoch is dropped, the last epoch is cut, and every epoch has its own order."""
    stimuli = np.arange(100, 100 + n)
    table = shuffled_epochs(stimuli, steps, batch, np.random.default_rng(0))
    assert table.shape == (steps, batch) and np.isin(table, stimuli).all()
    per_epoch = n // batch
    epochs = [table[i : i + per_epoch].ravel() for i in range(0, steps, per_epoch)]
    for epoch in epochs:
        assert len(set(epoch.tolist())) == len(epoch)
    assert len(epochs) > 1
    for one, other in itertools.pairwise(epochs):
        assert not np.array_equal(one[: len(other)], other)


def test_every_stimulus_is_met_equally_often() -> None:
    table = shuffled_epochs(np.arange(40), 4000, 8, np.random.default_rng(1))
    assert (np.bincount(table.ravel()) == 800).all()
    table = shuffled_epochs(np.arange(40), 4000, 9, np.random.default_rng(1))  # 36 of 40 in an epoch
    assert_uniform(table, range(40))


def test_few_stimuli_are_met_again_only_after_all_others() -> None:
    table = shuffled_epochs(np.arange(5), 6, 10, np.random.default_rng(0))
    for epoch in table.reshape(-1, 5):
        assert sorted(epoch.tolist()) == list(range(5))


# --- noise


def noise_of(context: int, seeds: tuple[int, ...] = (12, 13)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise of current codes, of replayed codes and of cues: (step, animal, row, code unit)."""
    own = small.protocol("class")
    chance = Chance(seeds, context, own, small.brain(own), 40, plan_round(own, context, 40, cued=True))
    kinds: list[list[np.ndarray]] = [[], [], []]
    for step in range(2 * BLOCK):
        both = chance.noise(step, CPU, torch.float64).numpy()
        for kind, part in zip(kinds, (both[:, :40], both[:, 40:], chance.cues(step).noise.numpy()), strict=True):
            kind.append(part)
    current, replayed, cue = (np.stack(kind) for kind in kinds)
    return current, replayed, cue


def test_noise_is_standard_normal_and_every_stream_is_its_own() -> None:
    kinds = {(name, c): noise for c in (1, 2) for name, noise in zip("crq", noise_of(c), strict=True)}
    for noise in kinds.values():
        assert noise.shape == (2 * BLOCK, 2, 40, 5)
        n = noise.size
        assert abs(noise.mean()) < 5 / np.sqrt(n)
        assert abs(noise.var() - 1) < 5 * np.sqrt(2 / n)
        assert abs((noise**4).mean() - 3) < 5 * np.sqrt(96 / n)
        assert_independent(noise[:, 0], noise[:, 1])  # animals
        assert_independent(noise[:-1], noise[1:])  # steps
        assert_independent(noise[:BLOCK], noise[BLOCK:])  # blocks
        assert_independent(noise[:, :, :-1], noise[:, :, 1:])  # trials
    for one, other in itertools.combinations(kinds.values(), 2):  # purposes and contexts
        assert_independent(one, other)


# --- initial synapses


def test_initial_synapses_are_uniform_within_the_published_bounds() -> None:
    """Weights and biases within 1 / sqrt(inputs), modes standard normal."""
    own = small.protocol()
    grown = rs.brain_inspired(own, units=(300, 200), code_units=60, closed=0.5).grow(12)
    layers = {name: layer for name, layer in grown.named_modules() if isinstance(layer, nn.Linear)}
    assert len(layers) == 2 + 1 + 2 + 3  # cortex, readout, code, feedback
    for name, layer in layers.items():
        bound = layer.in_features**-0.5
        for values in (layer.weight, layer.bias):
            if values is None:
                assert name.endswith("log_variance")
                continue
            assert float(values.detach().abs().max()) <= bound
            scatter = float(values.detach().std()) / (bound / np.sqrt(3))
            assert abs(scatter - 1) < 5 * np.sqrt(0.2 / values.numel()), name  # a uniform draw has kurtosis 1.8
    assert grown.modes is not None
    for name, mode in grown.modes.named_parameters():
        assert abs(float(mode.detach().mean())) < 5 / np.sqrt(mode.numel()), name
        assert abs(float(mode.detach().var()) - 1) < 5 * np.sqrt(2 / mode.numel()), name


def test_initial_synapses_of_descending_areas() -> None:
    """Transposed convolutions, as the library of the published simulations drew them: by the units that they reach."""
    torch.manual_seed(0)
    parts = DescendingAreas([(32, 2, 2), (16, 4, 4), (3, 4, 4)]).modules()
    layers = [part for part in parts if isinstance(part, nn.ConvTranspose2d)]
    assert len(layers) == 2
    for layer in layers:
        bound = (layer.out_channels * layer.kernel_size[0] * layer.kernel_size[1]) ** -0.5
        assert 0.9 * bound < float(layer.weight.detach().abs().max()) <= bound
