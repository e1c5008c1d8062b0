"""The same life on another device."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pretended
import pytest
import seeing
import small
import torch
import xarray as xr

import replaysim as rs
from replaysim.life import Condition, live

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


def electrodes(settings: dict[str, Any]) -> list[Any]:
    """All electrodes that this life allows."""
    missing = {
        rs.HippocampalCodes: settings["brain"].hippocampus is None,
        rs.ReplayActivity: "replay" not in settings,
        rs.SynapticImportance: "consolidation" not in settings,
    }
    return [e for e in EVERYTHING if not missing.get(type(e), False)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of a part of torch that is not public
@pytest.mark.parametrize("name", LIVES)
def test_nothing_is_left_on_another_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device is pretended, so that machines without one see what would fail on one. Numbers are not looked at."""
    settings = LIVES[name]()
    condition = Condition(learning=LEARNING, device="cuda", electrodes=tuple(electrodes(settings)), **settings)
    pieces: list[str] = []
    with pretended.cuda(monkeypatch):
        live(condition, (12, 13), lambda piece, _data: pieces.append(piece), lambda _steps: None)
    assert pieces.count("learning") == 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_is_left_on_another_device_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretended.cuda(monkeypatch):
        there = torch.zeros(3, device="cuda")
        with pytest.raises(Exception, match="two devices"):
            there + torch.zeros(3)
        with pytest.raises(TypeError, match="convert cuda"):
            there.numpy()
        assert there.cpu().numpy().shape == (3,)


def simulate(settings: dict[str, Any], device: str, precision: str) -> rs.SimulationResult:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="replay enters at")
        return small.simulate(
            animals=(12, 13),
            learning=LEARNING,
            device=device,
            precision=precision,
            record=electrodes(settings),
            **settings,
        )


@pytest.mark.gpu
@pytest.mark.parametrize("name", LIVES)
def test_a_gpu_computes_what_a_cpu_computes(name: str) -> None:
    on_cpu, on_gpu = (simulate(LIVES[name](), device, "float64") for device in ("cpu", "cuda"))
    wanted, found = on_cpu.log["learning/loss"], on_gpu.log["learning/loss"]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-7)  # logs are kept in float32
    for animal, own in on_cpu.brains.items():
        for key, value in own.state_dict().items():
            other = on_gpu.brains[animal].state_dict()[key]
            np.testing.assert_allclose(other, value, rtol=0, atol=1e-6, err_msg=key)


@pytest.mark.gpu
@pytest.mark.parametrize("name", LIVES)
def test_same_seed_same_log_on_a_gpu(name: str) -> None:
    one, other = (simulate(LIVES[name](), "cuda", "float32") for _ in range(2))
    for node in one.log.subtree:
        if node.path != "/":
            xr.testing.assert_identical(node.to_dataset(), other.log[node.path].to_dataset())
