"""Feedback: the top-down pathway from a code to activity at the re-entry area."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from .descending import DescendingAreas
from .errors import SettingError, check_choice

RECONSTRUCTIONS = ("bernoulli", "gaussian")
NONLINEARITIES = ("none", "relu")


class Feedback(nn.Module):
    r"""Code, gated layers, re-entry area.

    .. math::
        a_1 = \max(0, g_1 (W_1 z + b_1)), \quad a_2 = \max(0, g_2 (W_2 a_1 + b_2)), \dots \quad d = W_n a_{n-1} + b_n

    with gates :math:`g` in [0, 1] that multiply the drive including its bias; the last layer is never gated. The
    re-created activity is :math:`f(d)`, with :math:`f` the sigmoid for stimuli in [0, 1] and the non-linearity of the
    re-entry area otherwise. Where descending areas :math:`D` lead further down, they start from the rectified last
    layer, and nothing in them is gated either: :math:`d = D(\max(0, W_n a_{n-1} + b_n))`.

    Parameters
    ----------
    code_units
        Dimensions of the code.
    units
        Units of the gated layers from top to bottom.
    outputs
        Units of the last layer: those of the re-entry area or, with ``descending``, of the area that it starts from.
    reconstruction
        ``"bernoulli"`` (sigmoid) or ``"gaussian"``.
    nonlinearity
        Of the re-entry area, ``"none"`` or ``"relu"``: re-created activity should be of the kind that the area has
        when it is evoked from below. Stimuli in [0, 1] (``"bernoulli"``) are not affected.
    descending
        From activity (trial, unit) to the drive of the re-entry area (trial, unit), usually
        :class:`~replaysim.descending.DescendingAreas`, or None where the last layer reaches the re-entry area itself.

    Raises
    ------
    SettingError
        If a setting is none of those above, or the descending areas start from another number of units.
    """

    def __init__(
        self,
        code_units: int,
        units: Sequence[int],
        outputs: int,
        reconstruction: str,
        nonlinearity: str = "none",
        descending: nn.Module | None = None,
    ) -> None:
        super().__init__()
        check_choice("Feedback", "reconstruction", reconstruction, RECONSTRUCTIONS)
        check_choice("Feedback", "nonlinearity", nonlinearity, NONLINEARITIES)
        if isinstance(descending, DescendingAreas) and descending.inputs != outputs:
            raise SettingError("Feedback", "outputs", outputs, f"{descending.inputs}, where the descending areas start")
        self.reconstruction = reconstruction
        self.nonlinearity = nonlinearity
        self.units = tuple(units)
        widths = (code_units, *units, outputs)
        for layer, (n_in, n_out) in enumerate(pairwise(widths), 1):
            self.add_module(f"layer_{layer}", nn.Linear(n_in, n_out))
        self.descending = descending

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
        drive = self.get_submodule(f"layer_{len(self.units) + 1}")(activity)
        return drive if self.descending is None else self.descending(torch.relu(drive))

    def activity(self, drive: Tensor) -> Tensor:
        """Activity of the re-entry area from its drive."""
        if self.reconstruction == "bernoulli":
            return torch.sigmoid(drive)
        return torch.relu(drive) if self.nonlinearity == "relu" else drive
