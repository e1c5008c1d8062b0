"""Feedback: the top-down pathway from a code to activity at the re-entry area."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from .errors import check_choice

RECONSTRUCTIONS = ("bernoulli", "gaussian")


class Feedback(nn.Module):
    r"""Code, gated layers, re-entry area.

    .. math::
        a_1 = \max(0, g_1 (W_1 z + b_1)), \quad a_2 = \max(0, g_2 (W_2 a_1 + b_2)), \dots \quad d = W_n a_{n-1} + b_n

    with gates :math:`g` in [0, 1] that multiply the drive including its bias; the last layer is never gated. The
    re-created activity is :math:`f(d)`, with :math:`f` the sigmoid for stimuli in [0, 1] and the identity otherwise.

    Parameters
    ----------
    code_units
        Dimensions of the code.
    units
        Units of the gated layers from top to bottom.
    outputs
        Units of the re-entry area.
    reconstruction
        ``"bernoulli"`` (sigmoid) or ``"gaussian"`` (linear).
    """

    def __init__(self, code_units: int, units: Sequence[int], outputs: int, reconstruction: str) -> None:
        super().__init__()
        check_choice("Feedback", "reconstruction", reconstruction, RECONSTRUCTIONS)
        self.reconstruction = reconstruction
        self.units = tuple(units)
        widths = (code_units, *units, outputs)
        for layer, (n_in, n_out) in enumerate(pairwise(widths), 1):
            self.add_module(f"layer_{layer}", nn.Linear(n_in, n_out))

    def forward(self, code: Tensor, gates: Sequence[Tensor] | None = None) -> Tensor:
        """Drive of the re-entry area before its non-linearity, (trial, unit).

        Parameters
        ----------
        code
            (trial, code_unit).
        gates
            Openness of the gated layers, each (trial, unit), or None where nothing is gated.
        """
        activity = code
        for layer in range(1, len(self.units) + 1):
            drive = self.get_submodule(f"layer_{layer}")(activity)
            activity = torch.relu(drive if gates is None else gates[layer - 1] * drive)
        return self.get_submodule(f"layer_{len(self.units) + 1}")(activity)

    def activity(self, drive: Tensor) -> Tensor:
        """Activity of the re-entry area from its drive."""
        return torch.sigmoid(drive) if self.reconstruction == "bernoulli" else drive
