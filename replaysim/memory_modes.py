"""Memory modes: what the hippocampus expects of a code before it has seen anything.

Each class owns one mode (or a few): a diagonal Gaussian in the space of codes, learned with everything else. Drawing
a code from the mode of a class is how that class is remembered on purpose; the divergence of a code from its mode is
how experience shapes the mode. Without class modes there is one standard Gaussian that never changes, and memories
come unasked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .errors import check_number
from .objectives import gaussian_log_densities, gaussian_log_density, log_mixture


@dataclass(frozen=True)
class Modes:
    """Settings of class modes.

    Parameters
    ----------
    per_class
        Number of modes that a class owns (the paper: 1).
    """

    per_class: int = 1

    def __post_init__(self) -> None:
        check_number("Modes", "per_class", self.per_class, least=1, whole=True)


class MemoryModes(nn.Module):
    """A mixture of diagonal Gaussians over codes, ``per_class`` modes for each class.

    Attributes
    ----------
    mean, log_variance
        (mode, code_unit); class ``c`` owns modes ``c * per_class`` up to ``(c + 1) * per_class - 1``. Both start as
        standard normal draws and learn at the rate of everything else.
    """

    def __init__(self, n_classes: int, code_units: int, per_class: int = 1) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.per_class = per_class
        self.mean = nn.Parameter(torch.randn(n_classes * per_class, code_units))
        self.log_variance = nn.Parameter(torch.randn(n_classes * per_class, code_units))

    def draw(self, mode_weight: Tensor, noise: Tensor) -> Tensor:
        """Codes from chosen modes.

        Parameters
        ----------
        mode_weight
            One-hot choice of a mode, (event, mode). A product with it is exact and has a deterministic gradient
            everywhere.
        noise
            Standard normal, (event, code_unit).

        Returns
        -------
        Tensor
            Codes, (event, code_unit).
        """
        return mode_weight @ self.mean + torch.exp(0.5 * (mode_weight @ self.log_variance)) * noise

    def log_density(self, code: Tensor, class_weight: Tensor) -> Tensor:
        r"""Log-density of codes where the class is a belief.

        .. math:: \log \sum_c p_c \tfrac1K \sum_r e^{G(z; m_{cr}, v_{cr})}

        Parameters
        ----------
        code
            (trial, code_unit).
        class_weight
            Belief in each class, (trial, class), rows sum to 1.

        Returns
        -------
        Tensor
            (trial,), in nats, without the constants of 2 pi.
        """
        density = gaussian_log_densities(code, self.mean, self.log_variance)
        weight = class_weight.repeat_interleave(self.per_class, dim=-1) if self.per_class > 1 else class_weight
        return log_mixture(density, weight) - math.log(self.per_class)

    def log_density_of_class(self, code: Tensor, class_choice: Tensor) -> Tensor:
        """Log-density where the class is known: ``class_choice`` is one-hot, (trial, class)."""
        if self.per_class > 1:
            return self.log_density(code, class_choice)
        return gaussian_log_density(code, class_choice @ self.mean, class_choice @ self.log_variance)
