"""Expectation: how well trained animals expect real stimuli, labelled arrays of their likelihood.

Source: van de Ven, Siegelmann & Tolias (2020), Methods: the log-likelihood of test stimuli by importance sampling, and
the error of their reconstruction, for every generator of the class scenario; see :mod:`replaysim.likelihood`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from . import rng
from .brain import Brain
from .cortex import RETINA
from .errors import DataError, SettingError, check_number
from .likelihood import log_likelihood, reconstruction_error

_VALUES_AT_ONCE = 20_000_000


def expectation(
    brains: Mapping[int, Brain], real: xr.DataArray, *, stimuli: int = 200, samples: int = 100
) -> xr.Dataset:
    """Log-likelihood of real stimuli at the re-entry area, and error of their reconstruction, mean over stimuli.

    Parameters
    ----------
    brains
        Animal to its trained brain, which has a hippocampus, and modes and gates for each single class, if any.
    real
        See :func:`~replaysim.embedding.real_stimuli`.
    stimuli
        How many of them are asked about, spread evenly over all; the same for every animal.
    samples
        Codes drawn for each (the paper: 100).

    Returns
    -------
    xarray.Dataset
        ``log_likelihood`` (animal), in nats, a sum over units, and ``reconstruction_error`` (animal), half the squared
        difference, mean over units. Both are about the activity of the re-entry area: only brains whose memories
        re-enter at the same area can be compared.

    Raises
    ------
    SettingError
        If a brain has modes or gates that stand for several classes (domain scenario of a split protocol).
    DataError
        If stimuli are of classes that a brain does not know.
    """
    check_number("expectation", "stimuli", stimuli, least=1, whole=True)
    check_number("expectation", "samples", samples, least=1, whole=True)
    chosen = np.unique(np.linspace(0, real.sizes["stimulus"] - 1, stimuli).round().astype(int))
    some = real[chosen]
    found = [_of_one(brain, some, animal, samples) for animal, brain in brains.items()]
    together = xr.Dataset(
        {
            "log_likelihood": ("animal", [one[0] for one in found], {"units": "nat"}),
            "reconstruction_error": ("animal", [one[1] for one in found], {"units": "1"}),
        },
        {"animal": list(brains)},
    )
    return together.assign_attrs(stimuli_asked=len(chosen), samples=samples)


def _of_one(brain: Brain, real: xr.DataArray, animal: int, samples: int) -> tuple[float, float]:
    """Both measures of one animal, mean over stimuli."""
    like = brain.readout.weight
    seen = torch.from_numpy(real.values).to(like)
    classes = _positions(brain, animal, real["original_class"].values).to(like.device)
    codes = brain.hippocampus.code_units if brain.hippocampus is not None else 0  # log_likelihood tells
    chance = rng.stream(animal, "expectation")
    widest = max(brain.cortex.sizes.values())
    at_once = max(1, _VALUES_AT_ONCE // (samples * widest))
    likelihoods, errors = [], []
    for part, known in zip(seen.split(at_once), classes.split(at_once), strict=True):
        noise = torch.from_numpy(chance.standard_normal((len(part), samples, codes), dtype=np.float32)).to(like)
        with torch.no_grad():
            activity = part if brain.cortex.reentry == RETINA else brain.climb(part, RETINA)[brain.cortex.reentry]
        likelihoods.append(log_likelihood(brain, activity, known, noise))
        errors.append(reconstruction_error(brain, activity, known))
    return float(torch.cat(likelihoods).double().mean()), float(torch.cat(errors).double().mean())


def _positions(brain: Brain, animal: int, original: np.ndarray) -> Tensor:
    """Original classes as positions in the animal's order; any where neither modes nor gates ask for them."""
    if brain.modes is None and brain.gates is None:
        return torch.zeros(len(original), dtype=torch.int64)
    if len(brain.class_identity) != brain.plan.classes:
        got = f"animal {animal}: modes or gates for {brain.plan.classes} classes, an order of {brain.class_identity}"
        must = (
            "brains that tell every class from every other, and know their order: in the domain scenario of a split "
            "protocol one mode stands for a class of every context, so that no stimulus has a mode of its own"
        )
        raise SettingError("expectation", "brains", got, must)
    order = {int(c): position for position, c in enumerate(brain.class_identity)}
    foreign = sorted({int(c) for c in original} - order.keys())
    if foreign:
        raise DataError(f"expectation: stimuli of the classes {foreign}, which animal {animal} does not know: {order}")
    return torch.tensor([order[int(c)] for c in original])
