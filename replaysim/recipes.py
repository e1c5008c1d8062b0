"""Recipes: the settings with which early areas develop."""

from __future__ import annotations

import math
from collections.abc import Iterable
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
        Learning rate of Adam (0.9, 0.999, 1e-8, no decay), constant until plasticity begins to fade.
    closing
        Share of the critical period, at its end, over which plasticity fades: the rate falls to nothing along half a
        cosine. With 0 it is constant and the period closes at once, as the published script does it.
    renewed
        Epochs after which the temporary readout is forgotten: another one is drawn, all moments of the optimiser begin
        anew, and the early areas have to be of use to a stranger.
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
    closing: float = 0.0
    renewed: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.units, str) or not isinstance(self.units, Iterable) or len(tuple(self.units)) != 2:
            raise SettingError("Recipe", "units", self.units, "two numbers, one for each association area")
        object.__setattr__(self, "units", tuple(self.units))
        check_number("Recipe", "epochs", self.epochs, least=1, whole=True)
        check_number("Recipe", "batch", self.batch, least=2, whole=True)
        check_number("Recipe", "rate", self.rate, above=0)
        check_choice("Recipe", "gain", self.gain, GAINS)
        check_number("Recipe", "jitter", self.jitter, least=0, whole=True)
        for name in ("mirrored", "closing"):
            check_number("Recipe", name, getattr(self, name), least=0)
            if getattr(self, name) > 1:
                raise SettingError("Recipe", name, getattr(self, name), "a share from 0 to 1")
        for units in self.units:
            check_number("Recipe", "units", units, least=1, whole=True)
        if isinstance(self.renewed, str) or not isinstance(self.renewed, Iterable):
            raise SettingError("Recipe", "renewed", self.renewed, "numbers of epochs in brackets")
        object.__setattr__(self, "renewed", tuple(self.renewed))
        for epoch in self.renewed:
            check_number("Recipe", "renewed", epoch, least=1, below=self.epochs, whole=True)

    def rate_after(self, updates: int, of: int) -> float:
        r"""Learning rate once ``updates`` of ``of`` weight updates are over.

        :math:`\tfrac{\eta}{2} (1 + \cos \pi f)`, where :math:`f` is how much of the fading is over, 0 before it.
        """
        fading = self.closing * of
        over = (updates - (of - fading)) / fading if fading > 0 else 0.0
        return self.rate * (1 + math.cos(math.pi * over)) / 2 if over > 0 else self.rate


RECIPES = {
    "weights": Recipe(),
    "script": Recipe(batch=256, rate=1e-4, gain="ones"),
    "closing": Recipe(epochs=60, closing=1.0),
    "restless": Recipe(epochs=60, rate=2e-3),
    "renewed": Recipe(epochs=120, renewed=(100,)),
}
"""Two answers to how the paper's early areas developed, and three recipes of our own.

``"script"`` is the published script of pre-training. The published weights were not made by it: ``"weights"`` is what
they betray, 39,000 updates (100 epochs in batches of 128), synapses as large as a tenfold rate makes them, and gains
that began uniform in [0, 1]. ``"closing"`` is ``"weights"`` with plasticity that fades over the critical period, as it
does in animals, and ``"restless"`` the opposite: synapses that move twice as fast until the end. Both take 60 epochs.
``"renewed"`` goes on where ``"weights"`` ends, for 20 epochs, with a readout that knows nothing yet.
"""
