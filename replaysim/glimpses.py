"""Glimpses: photographs as a wandering gaze meets them, drawn and looked up for whole batches at once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from . import rng


class Glimpses(NamedTuple):
    """What is seen in one epoch, in order: which photograph, where gaze falls (row, column), and whether mirrored."""

    photograph: Tensor
    gaze: Tensor
    mirrored: Tensor


def draw_glimpses(seed: int, epoch: int, photographs: int, jitter: int, mirrored: float) -> Glimpses:
    """Glimpses of one epoch, from a stream of the animal's own for that epoch; drawn and kept on the CPU.

    Parameters
    ----------
    seed, epoch
        The animal, and which epoch, from 0.
    photographs
        How many there are; each is seen once.
    jitter
        Gaze falls up to so many pixels away from the centre, uniformly in both directions.
    mirrored
        Probability that a glimpse is mirrored.
    """
    chance = rng.stream(seed, f"development/epoch/{epoch}")
    order = chance.permutation(photographs)
    gaze = chance.integers(0, 2 * jitter + 1, size=(photographs, 2)) - jitter
    flipped = chance.random(photographs) < mirrored
    return Glimpses(*(torch.from_numpy(part) for part in (order, gaze, flipped)))


def glimpse(photographs: Tensor, seen: Glimpses) -> Tensor:
    """Photographs as gaze meets them.

    Parameters
    ----------
    photographs
        (photograph, row, column, channel).
    seen
        Index of the photograph, displacement of gaze in pixels and mirroring of every glimpse.

    Returns
    -------
    Tensor
        (glimpse, channel, row, column) with the channel last in memory. A glimpse displaced by (r, c) begins at row r
        and column c of the photograph; places beyond its border repeat it mirrored at the border.
    """
    n, rows, columns, channels = photographs.shape
    row = _reflected(seen.gaze[:, :1] + torch.arange(rows, device=seen.gaze.device), rows)
    column = torch.arange(columns, device=seen.gaze.device).expand(len(seen.gaze), -1)
    column = _reflected(seen.gaze[:, 1:] + torch.where(seen.mirrored[:, None], columns - 1 - column, column), columns)
    place = (seen.photograph[:, None, None] * rows + row[:, :, None]) * columns + column[:, None, :]
    pixels = photographs.reshape(n * rows * columns, channels).index_select(0, place.flatten())
    return pixels.view(*place.shape, channels).permute(0, 3, 1, 2)


def _reflected(place: Tensor, size: int) -> Tensor:
    place = torch.where(place < 0, -1 - place, place)
    return torch.where(place >= size, 2 * size - 1 - place, place)
