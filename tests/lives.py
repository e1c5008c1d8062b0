"""Small lives of every kind: brains, protocols, replay and consolidation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import seeing
import small
import torch
import xarray as xr

import replaysim as rs

LEARNING = rs.Learning(steps=3, batch=6, rate=1e-3)
U: dict[str, Any] = {"units": (12, 10)}
EVERYTHING = (
    rs.Behaviour(),
    rs.CorticalActivity("retina", "association_2", stimuli=8),
    rs.HippocampalCodes(),
    rs.ReplayActivity(events=5),
    rs.SynapticImportance(),
)


def recall(scenario: str, **mechanisms: Any) -> dict[str, Any]:
    own = small.protocol(scenario)
    plan = rs.brain_inspired(own, code_units=4, closed=0.5, **U)
    return {"protocol": own, "brain": plan, "replay": rs.GenerativeReplay(), **mechanisms}


def plain(scenario: str, **mechanisms: Any) -> dict[str, Any]:
    own = small.protocol(scenario)
    gating = mechanisms.pop("gating", None)
    return {"protocol": own, "brain": rs.classifier(own, context_gating=gating, **U), **mechanisms}


def pair() -> dict[str, Any]:
    own = small.protocol("class")
    plan = rs.generative_pair(own, code_units=4, **U)
    return {"protocol": own, "brain": plan, "replay": rs.GenerativeReplay("hard")}


def permuted() -> dict[str, Any]:
    images, label = small.stimuli(classes=4, each=20)
    own = rs.PermutedProtocol(images.reshape(-1, 4, 4), label, contexts=3, pad=1)
    plan = rs.brain_inspired(own, code_units=4, closed=0.5, gates_by="context", **U)
    return {"protocol": own, "brain": plan, "replay": rs.GenerativeReplay()}


def visual(kind: Callable[..., rs.BrainPlan], scenario: str, *args: Any, **mechanisms: Any) -> dict[str, Any]:
    own = seeing.protocol(scenario)
    return {"protocol": own, "brain": kind(own, *args), **mechanisms}


LIVES: dict[str, Callable[[], dict[str, Any]]] = {
    "brain-inspired, SI, class": lambda: recall("class", consolidation=rs.SynapticIntelligence(1.0)),
    "brain-inspired, EWC, class": lambda: recall("class", consolidation=rs.ElasticWeightConsolidation(1.0, 5)),
    "brain-inspired, task": lambda: recall("task"),
    "brain-inspired, domain": lambda: recall("domain"),
    "pair": pair,
    "current input": lambda: plain("task", replay=rs.CurrentInputReplay()),
    "episodes": lambda: plain("class", replay=rs.ExactReplay(2)),
    "XdG": lambda: plain("task", gating=rs.ContextGating(0.5)),
    "joint": lambda: plain("task", experience="joint"),
    "permuted": permuted,
    "photographs, frozen, task": lambda: visual(seeing.brain, "task", replay=rs.GenerativeReplay()),
    "photographs, plastic, EWC": lambda: visual(
        seeing.classifier, "class", "plastic", consolidation=rs.ElasticWeightConsolidation(1.0, 5)
    ),
    "photographs, pair, task": lambda: visual(seeing.pair, "task", replay=rs.GenerativeReplay("hard")),
}


def same(one: rs.SimulationResult, other: rs.SimulationResult) -> None:
    """Nobody can tell them apart, by their logs or by their brains."""
    for node in one.log.subtree:
        if node.path != "/":
            xr.testing.assert_identical(node.to_dataset(), other.log[node.path].to_dataset())
    for animal, brain in one.brains.items():
        for key, value in brain.state_dict().items():
            assert torch.equal(value, other.brains[animal].state_dict()[key]), key


def electrodes(settings: dict[str, Any], every: Sequence[Any] = EVERYTHING) -> list[Any]:
    """All electrodes that this life allows."""
    missing = {
        rs.HippocampalCodes: settings["brain"].hippocampus is None,
        rs.ReplayActivity: "replay" not in settings,
        rs.SynapticImportance: "consolidation" not in settings,
    }
    return [e for e in every if not missing.get(type(e), False)]
