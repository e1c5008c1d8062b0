"""The retina: images as the visual cortex gets them, after adaptation to the light of the world they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import DataError, SettingError, check_number

if TYPE_CHECKING:  # the light belongs to stimuli, which are to be described without waiting for torch
    from torch import Tensor


@dataclass(frozen=True)
class Light:
    """Mean and standard deviation of the light of a world, per colour channel, in units of full intensity.

    Parameters
    ----------
    mean, deviation
        One value per channel.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("mean", "deviation"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            for value in getattr(self, name):
                check_number("Light", name, value, above=0.0 if name == "deviation" else None)
        if not self.mean or len(self.mean) != len(self.deviation):
            raise SettingError("Light", "deviation", self.deviation, f"one value for each of the means {self.mean}")


LIGHT = {
    "cifar10": Light((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": Light((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2761)),
}
"""Light of the photographs as the paper's simulations give it."""


def check_light(what: str, light: Light, shape: Sequence[int]) -> None:
    """Raise an error unless ``light`` can be that of images of this shape, (..., channel, row, column)."""
    if not isinstance(light, Light):
        raise SettingError(what, "light", light, "a replaysim.Light, or None")
    if len(shape) < 3 or shape[-3] != len(light.mean):
        raise DataError(
            f"{what}: images have shape {tuple(shape)}, must be (..., {len(light.mean)}, row, column): "
            "the light has one mean per channel"
        )


def adapt(image: Tensor, light: Light) -> Tensor:
    r"""What the retina sends on: contrasts, after adaptation to the mean and the spread of the light.

    :math:`(x - \mu_c) / \sigma_c` for each colour channel :math:`c`.

    Parameters
    ----------
    image
        (..., channel, row, column), ``uint8`` of 0..255, or floating with 1 as full intensity.
    light
        Statistics of the world that the images come from.

    Returns
    -------
    Tensor
        Same shape and memory layout; ``float32`` for ``uint8`` images, else as given.

    Raises
    ------
    DataError
        If the images have another number of channels.
    """
    check_light("adapt", light, image.shape)
    seen = image if image.is_floating_point() else image.float() / 255
    mean, deviation = (seen.new_tensor(values)[:, None, None] for values in (light.mean, light.deviation))
    return (seen - mean) / deviation
