r"""Reinitialisation: a brain whose synapses are drawn anew, while the earlier self remembers.

In the brain nothing of the kind happens. In the model it separates two ways in which a new context can profit from the
old ones: through synapses that were already shaped by them, and through what the earlier self replays. With
:class:`Learning(reinitialise=True) <replaysim.learning.Learning>` only the second is left.

Source: van de Ven, Siegelmann & Tolias (2020), Nature Communications 11:4069, Figure 4 (networks re-initialised before
each task).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn

from . import rng
from .arithmetic import seeded
from .cohort import Cohort

_DRAWN = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@torch.no_grad()
def reinitialise(cohort: Cohort, seeds: Sequence[int], context: int) -> None:
    r"""Draw the plastic synapses of dense and convolutional layers anew, in place.

    Synapses and biases become uniform within :math:`\pm 1/\sqrt{\text{inputs of the unit}}`, also where a cortex of
    your own began otherwise. Normalisation, transposed convolutions, memory modes, gates and frozen areas stay as they
    are, and so do the earlier self and the state of the optimiser, as in the published code.

    Parameters
    ----------
    cohort
        The animals.
    seeds
        Seeds of their own chance, (animal,). Every part of a brain has a stream of its own, so that leaving out one
        does not change what another becomes; nor do other animals.
    context
        The context that is about to begin, from 0.
    """
    layers: dict[str, list[str]] = {}
    for name, part in cohort.template.named_modules():
        weight = cohort.synapses.get(f"{name}.weight")
        if isinstance(part, _DRAWN) and weight is not None and weight.requires_grad:
            layers.setdefault(name.split(".")[0], []).append(name)
    for animal, seed in enumerate(seeds):
        for part_name, names in layers.items():
            with seeded(rng.stream_seed(seed, f"context {context}/synapses/{part_name}")):
                for name in names:
                    _draw(cohort, name, animal)


def _draw(cohort: Cohort, name: str, animal: int) -> None:
    """Draw one layer of one animal, on the CPU and in single precision as when a brain grows."""
    layer = copy.deepcopy(cohort.template.get_submodule(name)).to(torch.float32).to_empty(device="cpu")
    assert isinstance(layer, _DRAWN)
    layer.reset_parameters()
    for value, drawn in layer.named_parameters():
        cohort.synapses[f"{name}.{value}"][animal].copy_(drawn)
