"""State of an optimiser, as a checkpoint keeps it."""

from __future__ import annotations

import torch
from torch import Tensor

_MOMENTS = ("exp_avg", "exp_avg_sq")


def moments(adam: torch.optim.Adam) -> dict[str, Tensor]:
    """Steps and moments of Adam, ``adam.<number>.<name>``; the very tensors, zeros before its first step."""
    found: dict[str, Tensor] = {}
    fused = adam.defaults["fused"]
    for number, synapses in enumerate(adam.param_groups[0]["params"]):
        state = adam.state[synapses]
        if not state:  # as the optimiser makes it at its first step
            state["step"] = torch.zeros((), dtype=torch.float32, device=synapses.device if fused else "cpu")
            state.update({moment: torch.zeros_like(synapses) for moment in _MOMENTS})
        found |= {f"adam.{number}.{name}": state[name] for name in ("step", *_MOMENTS)}
    return found
