"""Small animals for tests: a few seconds of life in a protocol with few stimuli."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

import replaysim as rs

LEARNING = rs.Learning(steps=12, batch=8, rate=3e-3)


def stimuli(classes: int = 6, each: int = 20, size: int = 16, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images of whole numbers, each class bright in places of its own."""
    chance = np.random.default_rng(seed)
    label = np.repeat(np.arange(classes), each)
    prototype = chance.integers(0, 200, (classes, size))
    return (prototype[label] + chance.integers(0, 56, (len(label), size))).astype(np.uint8), label


def protocol(scenario: str = "class", contexts: Any = 3, **kwargs: Any) -> rs.SplitProtocol:
    """Six classes in three contexts."""
    return rs.SplitProtocol(*stimuli(**kwargs), contexts=contexts, scenario=scenario)


def brain(own: rs.SplitProtocol, **kwargs: Any) -> rs.BrainPlan:
    """Twenty units an area."""
    return rs.brain_inspired(own, **{"units": (20, 20), "code_units": 5, "closed": 0.5, **kwargs})


def simulate(scenario: str = "class", animals: Any = (12,), **kwargs: Any) -> rs.SimulationResult:
    """A life of seconds, in this process, without a bar."""
    own = kwargs.pop("protocol", None) or protocol(scenario)
    plan = kwargs.pop("brain", None) or brain(own)
    return rs.simulate(plan, own, animals=animals, **{"learning": LEARNING, "workers": 1, "progress": False, **kwargs})


def state(result: rs.SimulationResult, animal: int) -> dict[str, np.ndarray]:
    """All values of a trained brain."""
    return {name: value.numpy() for name, value in result.brains[animal].state_dict().items()}


def at_every_snapshot(log: xr.DataTree) -> xr.DataTree:
    """A copy in which activity of the retina, which never changes, stands at every snapshot all the same."""
    copy = log.copy()
    group = log["cortex/retina"].to_dataset(inherit=False)
    often = group["activity"].expand_dims(snapshot=log["cortex"]["snapshot"], axis=1)
    copy["cortex/retina"] = xr.DataTree(group.assign(activity=often.copy()))
    return copy


def assert_bitwise(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    """The same names and the same bytes."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert value.dtype == other[name].dtype and value.tobytes() == other[name].tobytes(), name


class Own(rs.AbstractCortex):
    """A colleague's cortex, which is right."""

    def __init__(self) -> None:
        super().__init__()
        self.areas, self.sizes, self.reentry = ("retina", "v1", "it"), {"retina": 16, "v1": 12, "it": 9}, "v1"
        self.v1: Any = nn.Linear(16, 12)
        self.it = nn.Linear(12, 9)

    def forward(self, activity: Tensor, start: str = "retina", stop: str | None = None) -> dict[str, Tensor]:
        evoked = {start: activity.flatten(1)}
        for area, below in (("v1", "retina"), ("it", "v1")):
            if below in evoked and stop not in evoked:
                evoked[area] = self.climbed(area, evoked[below])
        return evoked

    def climbed(self, area: str, below: Tensor) -> Tensor:
        return torch.tanh(self.get_submodule(area)(below))
