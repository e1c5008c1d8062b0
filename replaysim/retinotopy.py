"""Retinotopic steps: from one area of places to the next, by its layers or, on a GPU, by all of them at once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import places
from .products import halved_on_gpu

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def step(activity: Tensor, synapses: nn.Module, normalisation: nn.Module | None) -> Tensor:
    """Activity of the next area: convolved and, where it is normalised, rectified.

    Where layers multiply in bfloat16 on a GPU, layers that it knows are one operation of all animals
    (:mod:`replaysim.places`).

    Parameters
    ----------
    activity
        (trial, channel, row, column); in :func:`torch.func.vmap` of one animal.
    synapses, normalisation
        Layers of the area.
    """
    if halved_on_gpu(activity) and takes(activity, synapses, normalisation):
        return places.at_once(activity, synapses, normalisation)
    drive = synapses(activity)
    return drive if normalisation is None else torch.relu(normalisation(drive))


def takes(activity: Tensor, synapses: nn.Module, normalisation: nn.Module | None) -> bool:
    """Whether :func:`replaysim.places.at_once` does what these layers do: what it does not know is left to them."""
    if not (type(synapses) is nn.Conv2d or type(synapses) is nn.ConvTranspose2d):
        return False
    whole = synapses.groups == 1 and set(synapses.dilation) == {1} and set(synapses.output_padding) == {0}
    padded = synapses.padding_mode == "zeros" and not isinstance(synapses.padding, str)
    fits = activity.dim() == 4 and synapses.in_channels == activity.shape[1]
    if not (whole and padded and fits and synapses.bias is not None) or _watched(synapses):
        return False
    if normalisation is None:
        return True
    if type(normalisation) is not nn.BatchNorm2d:
        return False
    usual = normalisation.affine and normalisation.track_running_stats and normalisation.momentum is not None
    several = len(activity) > 1 or not normalisation.training  # values of a channel, of which a mean can be taken
    return usual and several and normalisation.num_features == synapses.out_channels and not _watched(normalisation)


def _watched(layer: nn.Module) -> bool:
    return any(getattr(layer, name) for name in _HOOKS)
