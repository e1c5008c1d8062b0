"""Gating: each context or class silences its own fixed, random part of the feedback pathway.

In the brain, what is recalled may be separated by inhibition that depends on the context. In the model a gate pattern
is a fixed 0/1 vector over the units of a feedback layer, drawn once in an animal's life and kept with its brain.
Where the class is only a belief, the patterns are mixed by that belief, so that a unit is partly open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .errors import SettingError, check_choice, check_number


@dataclass(frozen=True)
class Gating:
    """Settings of the gates of the feedback pathway.

    Parameters
    ----------
    closed
        Probability that a unit is silenced by a gate (the paper: 0.8 on the MNIST protocols, 0.7 on Split CIFAR-100).
    by
        What decides which gate is used: ``"class"`` or ``"context"``.
    faithful
        Repeat two slips of the published code. In the task scenario (gates by class), current stimuli of *every*
        context are learned through the gates of the first context's classes, while replay uses those of the right
        classes. In the domain scenario, the context that is only being learned is recalled like the earlier ones, so
        that in the T-th context 1/T of the replay comes through gates through which nothing was learned yet (code
        before 2021-01-12, with which the results of 2020 were probably made). Nothing in the class scenario. Off by
        default.
    """

    closed: float = 0.8
    by: str = "class"
    faithful: bool = False

    def __post_init__(self) -> None:
        check_number("Gating", "closed", self.closed, least=0.0, below=1.0)
        check_choice("Gating", "by", self.by, ("class", "context"))
        check_choice("Gating", "faithful", self.faithful, (True, False))

    def draw(self, n_gates: int, layer_units: Sequence[int], stream: np.random.RandomState) -> list[np.ndarray]:
        """Gate patterns, one array (gate, unit) of 0 and 1 per layer, drawn from the animal's published stream.

        A uniform number below ``closed`` shuts the unit, layer after layer, as in the published simulations.
        """
        if not layer_units:
            raise SettingError(
                "Gating",
                "closed",
                self.closed,
                "0 (or 'gating' left out) where memories are re-created at the highest area: no layer of feedback "
                "lies between, and the last is never gated",
            )
        patterns = [(stream.uniform(size=(n_gates, units)) >= self.closed).astype(np.uint8) for units in layer_units]
        for layer, pattern in enumerate(patterns, 1):
            check_open(pattern, f"feedback layer {layer} (closed={self.closed:g})")
        return patterns


def check_open(pattern: np.ndarray, where: str) -> None:
    """Raise :class:`SettingError` when a gate leaves no unit of its layer open."""
    shut = np.flatnonzero(pattern.sum(axis=1) == 0)
    if shut.size:
        raise SettingError(
            "Gating",
            "closed",
            f"a pattern that closes every unit of {where} for gate {int(shut[0])}",
            "small enough to leave at least one unit open in every gate: lower `closed` or take more units",
        )


class Gates(nn.Module):
    """The gate patterns of one animal; part of its saved state.

    Attributes
    ----------
    layer_1, layer_2, ...
        Buffers (gate, unit), 1 = open, 0 = closed; ``uint8``.
    """

    def __init__(self, patterns: Sequence[np.ndarray]) -> None:
        super().__init__()
        self.n_layers = len(patterns)
        self.n_gates = int(patterns[0].shape[0])
        for layer, pattern in enumerate(patterns, 1):
            self.register_buffer(f"layer_{layer}", torch.from_numpy(np.ascontiguousarray(pattern, dtype=np.uint8)))

    def forward(self, weight: Tensor) -> tuple[Tensor, ...]:
        """Openness of every unit of every gated layer.

        Parameters
        ----------
        weight
            One-hot choice of a gate, or a belief over gates, (trial, gate).

        Returns
        -------
        tuple of Tensor
            One (trial, unit) a layer, values in [0, 1].
        """
        return tuple(weight @ self.get_buffer(f"layer_{i}").to(weight.dtype) for i in range(1, self.n_layers + 1))
