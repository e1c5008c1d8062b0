"""Whole lives with chance of their own come to the mean of an implementation that shares nothing with ours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from plain_replay import Settings, World, life

import replaysim as rs
from analysis.forgetting import final_accuracy

ANIMALS = range(12, 20)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["brain-inspired replay", "LwF"])
def test_lives_have_the_same_mean(kind: str) -> None:
    """On the digits: the same mean accuracy within three standard errors of the difference."""
    own, current = rs.SplitDigits(scenario="class"), kind == "LwF"
    settings = Settings(units=100, code=30, closed=0.5, divisor=64.0, steps=100, batch=64, rate=3e-3)
    brain = rs.brain_inspired(
        own, units=(100, 100), code_units=30, closed=0.5, reconstruction="gaussian", divergence_divisor=64
    )
    brain = rs.classifier(own, units=(100, 100)) if current else brain
    learning = rs.Learning(settings.steps, settings.batch, settings.rate)
    replay = rs.CurrentInputReplay() if current else rs.GenerativeReplay()
    log = rs.simulate(brain, own, animals=ANIMALS, learning=learning, replay=replay, workers=1, progress=False).log
    ours = final_accuracy(log).values
    shown = [
        torch.from_numpy(part).flatten(1).float() / own.stimuli.scale for part in (own.stimuli.train, own.stimuli.test)
    ]
    plain = []
    for animal in ANIMALS:
        position = np.argsort(own.curriculum(animal).class_identity)
        labels = [torch.from_numpy(position[label]) for label in (own.stimuli.train_label, own.stimuli.test_label)]
        plain.append(life(World(shown[0], labels[0], shown[1], labels[1], 5), settings, animal, current=current))
    error = np.sqrt((np.var(ours, ddof=1) + np.var(plain, ddof=1)) / len(plain))
    assert abs(np.mean(ours) - np.mean(plain)) < 3 * error, (ours, plain)
    assert error < (0.03 if current else 0.02), "the comparison is sharp"
    assert np.mean(ours) > (0.25 if current else 0.8), "replay works"
