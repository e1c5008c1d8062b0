"""Hippocampus: turns the activity of the highest cortical area into a code.

*Integrated*: it sits on top of the cortex and shares all areas below, so that replay runs through the cortex's own
feedback (the paper's "replay through feedback"). A code is not a point but a Gaussian: its mean and the logarithm of
its variance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .errors import check_number


@dataclass(frozen=True)
class HippocampusPlan:
    """Settings of an integrated hippocampus.

    Parameters
    ----------
    code_units
        Dimensions of the code (the paper: 100).
    """

    code_units: int = 100

    def __post_init__(self) -> None:
        check_number("HippocampusPlan", "code_units", self.code_units, least=1, whole=True)

    def build(self, inputs: int) -> IntegratedHippocampus:
        """Grow the hippocampus on a highest area of ``inputs`` units."""
        return IntegratedHippocampus(inputs, self.code_units)


class Code(NamedTuple):
    """Distribution of the code of each trial."""

    mean: Tensor
    """(trial, code_unit)"""
    log_variance: Tensor
    """(trial, code_unit)"""

    def sample(self, noise: Tensor) -> Tensor:
        """One code per trial, ``mean + exp(log_variance / 2) * noise``; noise standard normal, (trial, code_unit)."""
        return self.mean + torch.exp(0.5 * self.log_variance) * noise


class IntegratedHippocampus(nn.Module):
    """Two linear read-outs of the highest area: the code's mean (with bias) and its log-variance (without)."""

    def __init__(self, inputs: int, code_units: int) -> None:
        super().__init__()
        self.code_units = code_units
        self.code_mean = nn.Linear(inputs, code_units)
        self.code_log_variance = nn.Linear(inputs, code_units, bias=False)

    def forward(self, activity: Tensor) -> Code:
        """Code of the highest area's activity (trial, unit)."""
        return Code(self.code_mean(activity), self.code_log_variance(activity))
