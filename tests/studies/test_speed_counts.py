"""What a step costs at least is counted as torch counts it."""

from __future__ import annotations

import importlib
import re
from dataclasses import replace
from pathlib import Path

import pytest
from torch.utils.flop_counter import FlopCounterMode

from analysis.operations import SPLIT_CIFAR100, SPLIT_MNIST, synapses
from analysis.stopwatch import memory_rate

ROOT = Path(__file__).resolve().parents[2]


def test_operations_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the products of codes with memory modes, which are few."""
    monkeypatch.syspath_prepend(ROOT / "studies")
    speed = importlib.import_module("speed")
    task = replace(SPLIT_MNIST, inputs=700, units=(300, 200), batch=16, stored=200)
    cohort, step = speed.make_step((12, 13), task)
    with FlopCounterMode(display=False) as counted:
        step()
    assert 1 <= counted.get_total_flops() / (2 * task.work) < 1.02
    layers = [n for n in cohort.synapses if n.endswith("weight") and cohort.synapses[n].requires_grad]
    own = sum(cohort.synapses[n][0].numel() for n in layers)
    up, learned, recalled = synapses(task.inputs, task.units, 100, task.classes)
    assert own == learned, layers
    decided = sum(cohort.synapses[n][0].numel() for n in layers if n.split(".")[0] in ("cortex", "readout"))
    assert decided == up and recalled == up + learned - up - 2 * task.units[1] * 100
    # forward, backward and gradient; Adam reads value, gradient and moments, and writes value and moments
    assert task.traffic == 4 * (3 * learned + 7 * learned + recalled)


def test_photographs_from_the_command_to_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Small brains."""
    monkeypatch.syspath_prepend(ROOT / "studies")
    speed = importlib.import_module("speed")
    monkeypatch.setattr(speed, "matrix_rate", lambda *_given: 1e9)
    monkeypatch.setattr(
        speed, "SPLIT_CIFAR100", replace(SPLIT_CIFAR100, inputs=12, units=(60, 60), batch=4, stored=600)
    )
    speed.main(speed.Settings(photographs=True, repeats=2, animals=(12, 13)))
    rows = [re.split("  +", line, maxsplit=1) for line in capsys.readouterr().out.splitlines()[:-2]]
    assert [re.sub(r"[\d.]+", "N", value) for _name, value in rows[:8]] == [
        *("N GFLOP", "N ms", "N GFLOP/s", "N GFLOP/s", "N %"),
        *("N ms", "N %", "N times as fast"),
    ]
    assert rows[1][0] == "time of a step, one thread (median of 2)", "of one animal on a CPU"
    assert rows[8][0] == "machine" and len(rows) == 9


def test_memory_is_copied_at_some_rate() -> None:
    assert 1e7 < memory_rate("cpu", 2**20) < 1e13
