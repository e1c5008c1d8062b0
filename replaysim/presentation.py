"""Presentation: stimuli as an animal gets them, from how they are stored.

Stored stimuli are shared by all animals. What differs between animals (a rearrangement of the image in each context) is
applied when a stimulus is shown, on the device.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .cortex import RETINA
from .retina import Light


class Presentation(NamedTuple):
    """Stimuli as they are presented, shared by all animals of a cohort."""

    stimuli: Tensor
    """As stored, ``uint8`` or ``float32``, (stimulus, ...)."""
    scale: float
    """Stored value that stands for intensity 1."""
    dtype: torch.dtype
    adaptation: tuple[Tensor, Tensor] | None = None
    """For photographs: mean and deviation of the light to which the retina is adapted, (channel, 1, 1)."""
    permutation: Tensor | None = None
    """Which stored element each element shows, (animal, context, element)."""
    area: str = RETINA
    """Area at which they are presented; above the retina, what is stored is activity of that area."""

    def show(self, index: Tensor) -> Tensor:
        """Stimuli with these indices, the same for all animals, (trial, ...); refused where contexts rearrange them."""
        if self.permutation is not None:
            raise RuntimeError("these stimuli look different to every animal: show_each() them")
        return self._scaled(self.stimuli[index])

    def show_each(self, index: Tensor, context: Tensor) -> Tensor:
        """Stimuli as each animal gets them in these contexts; both (animal, trial), result (animal, trial, ...)."""
        shown = self.stimuli[index]
        if self.permutation is not None:
            animal = torch.arange(len(self.permutation), device=index.device)[:, None]
            shown = torch.gather(shown, -1, self.permutation[animal, context])
        return self._scaled(shown)

    def _scaled(self, shown: Tensor) -> Tensor:
        intensity = shown.to(self.dtype) / self.scale
        if self.adaptation is None:
            return intensity
        mean, deviation = self.adaptation
        return (intensity - mean) / deviation


def adaptation_to(light: Light, dtype: torch.dtype, device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Mean and deviation of a world's light where animals are, so that nothing has to be sent at every step."""
    mean, deviation = (
        torch.tensor(values, dtype=dtype, device=device)[:, None, None] for values in (light.mean, light.deviation)
    )
    return mean, deviation
