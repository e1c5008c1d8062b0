r"""Context-dependent gating of the cortex: each context silences its own fixed, random part of every area.

In the brain, a context may inhibit most of the neurons of an area, so that what is learned in one context hardly
touches the synapses that another one uses. In the model each context has, in every area that it can gate, a set of
units that no longer hear the area below (XdG). The animal must know the context that it is in, also when it is tested.

Source: Masse, Grant & Freedman (2018), PNAS 115:E10467; compared with replay by van de Ven, Siegelmann & Tolias (2020),
Nature Communications 11:4069.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .errors import SettingError, check_number


@dataclass(frozen=True)
class ContextGating:
    r"""Settings of the gates of the cortex.

    .. math:: h = \max(0, o\,(W a) + b)

    with the openness *o* of a unit 0 where the context silences it, and 1 otherwise. The bias is not gated: a silenced
    unit is active at :math:`\max(0, b)`, whatever the stimulus, as in the published simulations.

    Parameters
    ----------
    closed
        Share of the units of each area that a context silences, in (0, 1); exactly that many, rounded down (the paper:
        0.9 on Split MNIST).
    """

    closed: float = 0.9

    def __post_init__(self) -> None:
        check_number("ContextGating", "closed", self.closed, above=0, below=1)

    def draw(self, n_contexts: int, units: Mapping[str, int], stream: np.random.RandomState) -> dict[str, np.ndarray]:
        """Gate patterns from the animal's published stream, after its class order, as the published simulations drew.

        Context after context, and within a context area after area, the units to silence are drawn without replacement.

        Parameters
        ----------
        n_contexts
            Contexts of the protocol.
        units
            Area name to its units, from bottom to top.
        stream
            Advances.

        Returns
        -------
        dict
            Area name to (context, unit), 1 = open, 0 = closed; ``uint8``.

        Raises
        ------
        SettingError
            If an area has so few units that none would be silenced.
        """
        check_number("ContextGating.draw", "n_contexts", n_contexts, least=1, whole=True)
        if not units:
            raise SettingError("ContextGating.draw", "units", dict(units), "the units of at least one area")
        closed = {area: int(self.closed * n) for area, n in units.items()}  # rounds down: some units are always open
        for area, n in closed.items():
            if n == 0:
                raise SettingError(
                    "ContextGating",
                    "closed",
                    self.closed,
                    f"at least 1/{units[area]} to silence any of the {units[area]} units of {area}: raise `closed` or "
                    "take more units",
                )
        patterns = {area: np.ones((n_contexts, n), dtype=np.uint8) for area, n in units.items()}
        for context in range(n_contexts):
            for area, n in units.items():
                patterns[area][context, stream.choice(n, closed[area], replace=False)] = 0
        return patterns


class ContextGates(nn.Module):
    """The gate patterns of one animal's cortex; part of its saved state.

    Parameters
    ----------
    patterns
        Area name to (context, unit), 1 = open, 0 = closed.

    Attributes
    ----------
    areas
        Names of the gated areas.
    n_contexts
        Contexts that have a pattern.
    <area>
        Buffers (context, unit), 1 = open, 0 = closed; ``uint8``.

    Raises
    ------
    SettingError
        If the areas differ in the number of contexts, or a pattern holds something else than 0 and 1.
    """

    def __init__(self, patterns: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self.areas = tuple(patterns)
        arrays = {area: np.asarray(pattern) for area, pattern in patterns.items()}
        sizes = {area: pattern.shape for area, pattern in arrays.items()}
        if len({shape[:1] for shape in sizes.values()}) != 1 or any(len(shape) != 2 for shape in sizes.values()):
            raise SettingError(
                "ContextGates", "patterns", sizes, "(context, unit), equally many contexts in every area"
            )
        self.n_contexts = sizes[self.areas[0]][0]
        for area, pattern in arrays.items():
            if not np.isin(pattern, (0, 1)).all():
                raise SettingError("ContextGates", "patterns", np.unique(pattern).tolist(), f"0 or 1 throughout {area}")
            self.register_buffer(area, torch.from_numpy(np.array(pattern, dtype=np.uint8)))

    def forward(self, context: Tensor) -> dict[str, Tensor]:
        """Openness of every unit of every gated area.

        Parameters
        ----------
        context
            Context of each trial, counted from 0; whole numbers, (trial,).

        Returns
        -------
        dict
            Area name to (trial, unit), 1 = open, 0 = closed; ``uint8``: a product with activity keeps its precision.
        """
        return {area: self.get_buffer(area)[context] for area in self.areas}
