"""Hippocampus: turns the activity of the highest cortical area into a code.

*Integrated*: it sits on top of the cortex and shares all areas below, so that replay runs through the cortex's own
feedback (the paper's "replay through feedback"). *Stand-alone*: a network of its own beside the cortex, which reads
the re-entry area through areas of its own (classic generative replay). A code is not a point but a Gaussian: its mean
and the logarithm of its variance.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .cortex import RETINA, AbstractCortex, CortexPlan
from .errors import SettingError, check_number


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

    def build(self, cortex: AbstractCortex) -> IntegratedHippocampus:
        """Grow the hippocampus on the highest area of a cortex."""
        return IntegratedHippocampus(cortex.sizes[cortex.areas[-1]], self.code_units)


@dataclass(frozen=True)
class StandAlonePlan:
    """Settings of a stand-alone hippocampus.

    Parameters
    ----------
    areas
        Plan of its own areas; their retina is the re-entry area of the cortex.
    code_units
        Dimensions of the code (the paper: 100).
    """

    areas: CortexPlan
    code_units: int = 100

    def __post_init__(self) -> None:
        check_number("StandAlonePlan", "code_units", self.code_units, least=1, whole=True)

    def build(self, cortex: AbstractCortex) -> StandAloneHippocampus:
        """Grow the hippocampus beside a cortex; it shares nothing with it.

        Raises
        ------
        SettingError
            Where its retina has not the size of the cortex' re-entry area.
        """
        areas = self.areas.build()
        seen, read = areas.sizes[RETINA], cortex.sizes[cortex.reentry]
        if seen != read:
            must = f"with a retina of {read} units: it reads {cortex.reentry} of the cortex, whose plan says otherwise"
            raise SettingError("StandAlonePlan", "areas", f"areas with a retina of {seen} units", must)
        return StandAloneHippocampus(areas, self.code_units)


class Code(NamedTuple):
    """Distribution of the code of each trial."""

    mean: Tensor
    """(trial, code_unit)"""
    log_variance: Tensor
    """(trial, code_unit)"""

    def sample(self, noise: Tensor) -> Tensor:
        """One code per trial, ``mean + exp(log_variance / 2) * noise``; noise standard normal, (trial, code_unit)."""
        return self.mean + torch.exp(0.5 * self.log_variance) * noise


class AbstractHippocampus(nn.Module, ABC):
    """What the rest of the toolkit asks of a hippocampus.

    Attributes
    ----------
    code_units
        Dimensions of the code.
    reads_top
        Whether it reads the highest area of the cortex; otherwise the re-entry area.
    """

    code_units: int
    reads_top: bool

    @abstractmethod
    def forward(self, activity: Tensor) -> Code:
        """Code of the activity that it reads, (trial, unit)."""


class IntegratedHippocampus(AbstractHippocampus):
    """Two linear read-outs of the highest area: the code's mean (with bias) and its log-variance (without)."""

    reads_top = True

    def __init__(self, inputs: int, code_units: int) -> None:
        super().__init__()
        self.code_units = code_units
        self.code_mean = nn.Linear(inputs, code_units)
        self.code_log_variance = nn.Linear(inputs, code_units, bias=False)

    def forward(self, activity: Tensor) -> Code:
        """Code of the highest area's activity (trial, unit)."""
        return Code(self.code_mean(activity), self.code_log_variance(activity))


class StandAloneHippocampus(AbstractHippocampus):
    """Areas of its own from the re-entry area up, and on top of them the same two linear read-outs.

    Source: the separate variational auto-encoder of Shin et al. (2017), NeurIPS, as standard generative replay has it.
    """

    reads_top = False

    def __init__(self, areas: AbstractCortex, code_units: int) -> None:
        super().__init__()
        self.code_units = code_units
        self.areas = areas
        top = areas.sizes[areas.areas[-1]]
        self.code_mean = nn.Linear(top, code_units)
        self.code_log_variance = nn.Linear(top, code_units, bias=False)

    def forward(self, activity: Tensor) -> Code:
        """Code of the re-entry area's activity (trial, unit)."""
        top = self.areas(activity)[self.areas.areas[-1]]
        return Code(self.code_mean(top), self.code_log_variance(top))
