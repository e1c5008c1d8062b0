"""What torch may round or leave to chance: set while animals live, and put back, however the user has set it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import small
import torch

import replaysim as rs
from replaysim.arithmetic import seeded, sums_by_group
from replaysim.visual_cortex import VisualPlan

ROOT = Path(__file__).resolve().parents[2]
# each in a process of its own, as torch does not let its two ways of setting these be mixed: one imports, others fork
LIVES = """
import json, os, sys, traceback
from dataclasses import dataclass
sys.path[:0] = ["tests", "."]
import torch, xarray, netCDF4
import replaysim as rs
import replaysim.simulation
import small
from replaysim.arithmetic import exact_arithmetic
for name, code in json.loads(sys.argv[1]).items():
    if not os.fork():
        failed = 1
        try:
            exec(code, {"torch": torch, "rs": rs, "small": small, "exact_arithmetic": exact_arithmetic})
            failed = 0
        except BaseException:
            print(name, traceback.format_exc(), sep=": ", file=sys.stderr, flush=True)
        os._exit(failed)
    print(name, os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""
LIFE = """
from dataclasses import dataclass
own = torch.backends
OPERATIONS = {"matmul": own.cuda.matmul, "conv": own.cudnn.conv, "rnn": own.cudnn.rnn, "on a CPU": own.mkldnn.matmul}
SWITCHES = ("enabled", "benchmark", "deterministic")

def now():
    found = {name: one.fp32_precision for name, one in OPERATIONS.items()}
    found |= {name: getattr(own.cudnn, name) for name in SWITCHES}
    found["split"] = own.cuda.matmul.allow_bf16_reduced_precision_reduction_split_k
    return found | {"reduced": own.cuda.matmul.allow_bf16_reduced_precision_reduction}

seen = []

@dataclass(frozen=True)
class Watching(rs.SynapticIntelligence):
    def observe(self, *given):
        seen.append(now())
        return super().observe(*given)

{SET}
before = now()
log = small.simulate(consolidation=Watching(), animals=(12,)).log
exact = dict.fromkeys(OPERATIONS, "ieee")
exact |= {"enabled": True, "benchmark": False, "deterministic": True, "reduced": False}
exact["split"] = now()["split"]
assert len(seen) > 9 and all(one == exact for one in seen[-9:]), seen[-1]  # it was tried out before
assert now() == before, (now(), before)
try:
    with exact_arithmetic():
        raise KeyError
except KeyError:
    assert now() == before
{AFTER}
"""
CASES = {
    "nothing": ("", "assert torch.get_float32_matmul_precision() == 'highest'"),
    "old": (
        "torch.set_float32_matmul_precision('high'); own.cudnn.benchmark = True; "
        "own.cuda.matmul.allow_bf16_reduced_precision_reduction = (False, False)",
        "assert torch.get_float32_matmul_precision() == 'high'",
    ),
    "new, products": ("own.cuda.matmul.fp32_precision = 'tf32'", ""),
    "new, convolutions": ("own.cudnn.conv.fp32_precision = 'ieee'", ""),
    "new, all": (
        "own.fp32_precision = 'tf32'",
        "own.fp32_precision = 'ieee'; assert own.cuda.matmul.fp32_precision == 'ieee', 'still taken from above'",
    ),
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
def test_lives_round_nothing_and_leave_settings_as_they_were() -> None:
    lives = {name: LIFE.replace("{SET}", chosen).replace("{AFTER}", after) for name, (chosen, after) in CASES.items()}
    command = [sys.executable, "-c", LIVES, json.dumps(lives)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [f"{name} 0" for name in CASES], done.stderr[-4000:]


def test_the_random_states_of_gpus_are_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sets the seed of all devices; and the state of the CPU is put back."""

    def refuse(*_given: Any) -> None:
        raise AssertionError("all devices are seeded")

    monkeypatch.setattr(torch, "manual_seed", refuse)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", refuse)
    before = torch.random.get_rng_state()
    small.simulate(animals=(12,), learning=rs.Learning(steps=1, batch=4, rate=1e-3, reinitialise=True))
    with seeded(1):
        VisualPlan(units=(4,), developed="naive").build()
    assert torch.equal(torch.random.get_rng_state(), before)
    with seeded(7):
        drawn = torch.rand(3)
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(7)))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_sums_by_group(device: str) -> None:
    chance = torch.Generator().manual_seed(0)
    values = torch.randn(1000, 7, generator=chance)
    group = torch.randint(5, (1000,), generator=chance)
    wanted = torch.stack([values[group == g].double().sum(0) for g in range(6)])
    found = [sums_by_group(values.to(device), group.to(device), 6) for _ in range(3)]
    torch.testing.assert_close(found[0].cpu(), wanted, rtol=1e-12, atol=1e-12)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2]) and not found[0][5].any()
