"""The same life on another device."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pretended
import pytest
import small
import torch
from lives import LEARNING, LIVES, electrodes, same

import replaysim as rs
from replaysim import steps
from replaysim.life import Condition, live
from replaysim.repetition import PLAIN


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of a part of torch that is not public
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", LIVES)
def test_nothing_is_left_on_another_device(name: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device is pretended, so that machines without one see what would fail on one. Numbers are not looked at."""
    settings = LIVES[name]()
    how: dict[str, Any] = {"learning": LEARNING, "device": "cuda", "precision": precision}
    condition = Condition(**how, electrodes=tuple(electrodes(settings)), **settings)
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
    """So many steps that a GPU repeats some of them by itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="replay enters at")
        return small.simulate(
            animals=(12, 13),
            learning=rs.Learning(PLAIN + 3, 6, 1e-3),
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
            # a bias in front of a normalisation has no gradient but rounding errors, of which Adam makes small steps;
            # the running mean follows it
            free = ".early." in key and key.endswith(("synapses.bias", "running_mean"))
            within = 1e-3 if free else 1e-6
            np.testing.assert_allclose(other, value, rtol=0, atol=within, err_msg=key)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", LIVES)
def test_same_seed_same_log_on_a_gpu(name: str, precision: str) -> None:
    same(*(simulate(LIVES[name](), "cuda", precision) for _ in range(2)))


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float64"])
@pytest.mark.parametrize("name", LIVES)
def test_what_a_gpu_repeats_is_what_it_is_told(name: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    replays, replay = [], torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda graph: replays.append(graph) or replay(graph))
    repeated = simulate(LIVES[name](), "cuda", precision)
    assert len(replays) == 3 * len(repeated.log["behaviour/context"]), "all steps but the first ones of every context"
    monkeypatch.setattr(steps, "repeatable", lambda _cohort: False)
    same(repeated, simulate(LIVES[name](), "cuda", precision))
    assert len(replays) == 3 * len(repeated.log["behaviour/context"])
