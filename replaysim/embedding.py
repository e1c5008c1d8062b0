"""Embedding: stimuli and memories as an independent brain sees them, labelled arrays for the analyses.

Whether a replayed memory is a good one can be judged in the activity of a brain that took no part in replaying it: an
animal of its own that has learned all classes at once. Real stimuli are presented to it, memories enter at the area
whose activity they are; what both evoke in its highest area is compared by :mod:`analysis.fidelity`, and its decisions
are scored.

Source: van de Ven, Siegelmann & Tolias (2020), Nature Communications 11:4069, Figure 9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from .brain import Brain
from .cortex import RETINA
from .errors import DataError, SettingError
from .protocol import AbstractProtocol
from .retina import adapt

_AT_ONCE = 1024  # stimuli


@dataclass(frozen=True)
class Embedding:
    """An independent brain in whose activity real and replayed stimuli are compared.

    Parameters
    ----------
    brain
        One that takes no part in the simulation.
    id
        Of the log of its own life, for whatever is measured with it.
    """

    brain: Brain
    id: str = ""

    def activity(self, stimuli: xr.DataArray) -> xr.DataArray:
        """Activity of its highest area.

        Parameters
        ----------
        stimuli
            (..., unit), with the area at which they enter as attribute ``area``, see :func:`real_stimuli` and
            :func:`memories`.

        Returns
        -------
        xarray.DataArray
            (..., unit)

        Raises
        ------
        DataError
            Where the attribute is missing, or that area has another number of units.
        """
        return self._evoked(stimuli, lambda top: top, self.brain.top, "unit")

    def decisions(self, stimuli: xr.DataArray) -> xr.DataArray:
        """Probability that it gives every class, (..., class); see :meth:`activity`."""
        return self._evoked(stimuli, lambda top: self.brain.readout(top).softmax(-1), "probability", "class")

    def _evoked(self, stimuli: xr.DataArray, take: Callable[[Tensor], Tensor], name: str, dim: str) -> xr.DataArray:
        sizes, area = self.brain.cortex.sizes, str(stimuli.attrs.get("area"))
        if area not in sizes or stimuli.sizes["unit"] != sizes[area]:
            raise DataError(
                f"Embedding: stimuli of {stimuli.sizes['unit']} units at the area {area!r}; it has {dict(sizes)}"
            )
        with torch.no_grad():
            flat = torch.from_numpy(stimuli.values.reshape(-1, sizes[area])).to(self.brain.readout.weight)
            found = torch.cat([take(self.brain.climb(part, area)[self.brain.top]) for part in flat.split(_AT_ONCE)])
        shape = (*stimuli.shape[:-1], found.shape[-1])
        coords = {n: c for n, c in stimuli.coords.items() if "unit" not in c.dims}
        return xr.DataArray(found.cpu().numpy().reshape(shape), coords, (*stimuli.dims[:-1], dim), name=name)


def real_stimuli(protocol: AbstractProtocol) -> xr.DataArray:
    """Test stimuli as the retina sends them on, (stimulus, unit), with their ``original_class``."""
    own = protocol.stimuli
    values = (own.test / own.scale).astype(np.float32)
    if own.light is not None:
        values = adapt(torch.from_numpy(values), own.light).numpy()
    return xr.DataArray(
        values.reshape(len(values), -1),
        {"original_class": ("stimulus", own.test_label)},
        ("stimulus", "unit"),
        name="stimuli",
        attrs={"long_name": "activity evoked by stimuli", "units": "1", "area": RETINA},
    )


def memories(
    brains: Mapping[int, Brain], events: int, protocol: AbstractProtocol | None = None
) -> Iterator[xr.DataArray]:
    """Memories that trained animals bring back, equally many of every class.

    Parameters
    ----------
    brains
        Animal to its brain.
    events
        How many each.
    protocol
        What the animals learned: for brains whose gates are by context, as it says which class was met in which.

    Yields
    ------
    xarray.DataArray
        (event, unit) of every animal in turn, as there may not be room for all: activity at the re-entry area, named by
        the attribute ``area``, with the ``original_class`` that was asked for. A brain with neither memory modes nor
        gates cannot be asked: there this class means nothing. It is -1 where what was asked for is no single class: in
        the domain scenario of a split protocol, in which one answer stands for a class of every context, and where the
        brain does not know its class order.

    Raises
    ------
    SettingError
        If gates are by context and the protocol is not given.
    """
    for animal, brain in brains.items():
        position, context = _asked_for(brain, events, protocol)
        known = len(brain.class_identity) == brain.plan.classes
        original = np.asarray(brain.class_identity)[position] if known else np.full(events, -1)
        yield xr.DataArray(
            brain.recall(classes=position.tolist(), contexts=context, seed=animal).numpy(),
            {"animal": animal, "original_class": ("event", original)},
            ("event", "unit"),
            name="memories",
            attrs={"long_name": "recalled activity", "units": "1", "area": brain.cortex.reentry},
        )


def _asked_for(brain: Brain, events: int, protocol: AbstractProtocol | None) -> tuple[np.ndarray, list[int] | None]:
    """Classes, as many of each as of others, and, for gates by context, a context in which each was met."""
    position = np.arange(events) % brain.plan.classes
    if brain.plan.gating is None or brain.plan.gating.by != "context":
        return position, None
    if protocol is None:
        raise SettingError("memories", "protocol", None, "given: gates are by context, and only it knows their classes")
    if protocol.scenario != "domain":
        return position, (np.searchsorted(protocol.first_classes, position, side="right") - 1).tolist()
    counts = np.asarray(protocol.class_counts)
    where = [np.flatnonzero(counts > unit) for unit in range(brain.plan.classes)]  # contexts that have such a class
    turn = np.arange(events) // brain.plan.classes
    return position, [int(where[unit][n % len(where[unit])]) for unit, n in zip(position, turn, strict=True)]
