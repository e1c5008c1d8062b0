"""Small animals that see: photographs of few pixels, early areas with few channels, and the brains that fit them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import replaysim as rs
from replaysim.brains import _stand_alone
from replaysim.early_areas import EarlyAreas, save_early_areas
from replaysim.retina import LIGHT
from replaysim.stimuli import StimulusSet
from replaysim.visual_cortex import VisualPlan

CHANNELS = (2, 3, 4, 5, 6)
IMAGE = (3, 16, 16)
UNITS = (12, 10)
LEARNING = rs.Learning(steps=4, batch=6, rate=3e-3)


def photographs(classes: int = 6, each: int = 8, seed: int = 0) -> StimulusSet:
    """Images of whole numbers, each class bright in places of its own; the same to learn from and to test with."""
    chance = np.random.default_rng(seed)
    label = np.repeat(np.arange(classes), each)
    shown = chance.integers(0, 200, (classes, *IMAGE))[label] + chance.integers(0, 56, (len(label), *IMAGE))
    names = tuple("abcdefghij"[:classes])
    images = shown.astype(np.uint8)
    return StimulusSet("photographs", images, label, images, label, names, 255.0, LIGHT["cifar100"])


def protocol(scenario: str = "class", contexts: Any = 3) -> rs.SplitProtocol:
    """Six classes of photographs in three contexts."""
    return rs.SplitProtocol(photographs(), contexts=contexts, scenario=scenario)


def developed(folder: Path) -> str:
    """A file of early areas that have seen something: gains, shifts and statistics are their own."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        areas = EarlyAreas(CHANNELS, IMAGE, gain="uniform").train()
        for _ in range(20):
            areas(torch.randn(8, *IMAGE) + 0.3)
        for name, value in areas.named_parameters():
            if "normalisation" in name:
                value.data += 0.1 * torch.randn(value.shape)
    return str(save_early_areas(areas, folder / "areas.safetensors"))


def cortex(early: str = "frozen", reentry: str = "early_5", **settings: Any) -> VisualPlan:
    """A visual cortex of few units."""
    given: dict[str, Any] = {"units": UNITS, "developed": "naive", "channels": CHANNELS, "image": IMAGE}
    return VisualPlan(early=early, reentry=reentry, **{**given, **settings})


def classifier(own: rs.SplitProtocol, early: str = "frozen", *, gating: Any = None, **settings: Any) -> rs.BrainPlan:
    """A cortex and a readout."""
    plan = rs.classifier(own, units=UNITS, context_gating=gating)
    return dataclasses.replace(plan, cortex=cortex(early, **settings))


def brain(
    own: rs.SplitProtocol,
    early: str = "frozen",
    reentry: str = "early_5",
    *,
    stand_alone: bool = False,
    without: Sequence[str] = (),
    **settings: Any,
) -> rs.BrainPlan:
    """A cortex with a hippocampus, integrated or beside it."""
    plan = rs.brain_inspired(own, units=UNITS, code_units=4, closed=0.5, reentry=reentry, without=without)
    plan = dataclasses.replace(plan, cortex=cortex(early, reentry, **settings))
    if not stand_alone:
        return plan
    assert isinstance(plan.cortex, VisualPlan)
    units = UNITS if reentry == f"association_{len(UNITS)}" else None  # nothing is above: its areas are its own
    return dataclasses.replace(plan, hippocampus=_stand_alone(plan.cortex, 4, units))


def pair(own: rs.SplitProtocol, early: str = "plastic", reentry: str = "retina", **settings: Any) -> rs.BrainPlan:
    """Classic generative replay: a hippocampus beside the cortex, without class modes and gates."""
    return brain(own, early, reentry, stand_alone=True, without=("modes", "gating"), **settings)
