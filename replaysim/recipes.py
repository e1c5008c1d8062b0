"""Recipes: the settings with which early areas develop."""

from __future__ import annotations

from dataclasses import dataclass

from .early_areas import GAINS
from .errors import SettingError, check_choice, check_number


@dataclass(frozen=True)
class Recipe:
    """How early areas develop.

    Parameters
    ----------
    epochs
        How often every photograph is seen.
    batch
        Glimpses per weight update; what is left of an epoch is dropped.
    rate
        Learning rate of Adam (0.9, 0.999, 1e-8, no decay), constant.
    gain
        Initial gains of the normalisation, see :class:`~replaysim.early_areas.EarlyAreas`.
    jitter
        Gaze wanders up to so many pixels in each direction; what lies beyond the border mirrors the photograph.
    mirrored
        Share of the glimpses that are seen mirrored, left to right.
    units
        Units of the two association areas of the temporary readout.
    """

    epochs: int = 100
    batch: int = 128
    rate: float = 1e-3
    gain: str = "uniform"
    jitter: int = 4
    mirrored: float = 0.5
    units: tuple[int, int] = (2000, 2000)

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", tuple(self.units))
        check_number("Recipe", "epochs", self.epochs, least=1, whole=True)
        check_number("Recipe", "batch", self.batch, least=2, whole=True)
        check_number("Recipe", "rate", self.rate, above=0)
        check_choice("Recipe", "gain", self.gain, GAINS)
        check_number("Recipe", "jitter", self.jitter, least=0, whole=True)
        check_number("Recipe", "mirrored", self.mirrored, least=0)
        if self.mirrored > 1:
            raise SettingError("Recipe", "mirrored", self.mirrored, "a share from 0 to 1")
        for units in self.units:
            check_number("Recipe", "units", units, least=1, whole=True)


RECIPES = {"weights": Recipe(), "script": Recipe(batch=256, rate=1e-4, gain="ones")}
"""Two answers to how the paper's early areas developed.

``"script"`` is the published script of pre-training. The published weights were not made by it: ``"weights"`` is what
they betray, 39,000 updates (100 epochs in batches of 128), synapses as large as a tenfold rate makes them, and gains
that began uniform in [0, 1].
"""
