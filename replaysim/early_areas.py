r"""Early visual areas: the part of the visual cortex that experience shapes early in life, and then no more.

Five retinotopic areas see ever larger patches of the image with ever more kinds of feature detectors. While their
*critical period* is open, their synapses learn and they adapt to the statistics of what they see; when it is closed,
as in an adult animal, both stand still, whatever else of the brain goes on learning.

Source: van de Ven, Siegelmann & Tolias (2020), Nature Communications 11:4069: the convolutional layers, trained on
CIFAR-10 and fixed where brain-inspired replay learns CIFAR-100.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import retinotopy, tensor_files
from .cortex import RETINA
from .errors import DataError, LogError, MissingDataError, SettingError, check_choice, check_number

CHANNELS = (16, 32, 64, 128, 256)
IMAGE = (3, 32, 32)
CRITICAL_PERIODS = ("open", "closed")
GAINS = ("ones", "uniform")
SHIPPED = "early_areas.safetensors"
KIND, FORMAT = "early_areas", 1


class EarlyArea(nn.Module):
    r"""One retinotopic area: the same feature detectors everywhere, then normalisation and rectification.

    :math:`h = \max(0, \gamma\,(W * x + b - m)/\sqrt{v + \epsilon} + \beta)`, where :math:`*` is the correlation with
    kernels of 3 x 3 (border padded with zeros), and :math:`m, v` are mean and variance of each detector's drive over
    the trials and places of the batch while the area develops, and their running estimates otherwise. The highest
    early area is linear: :math:`h = W * x + b`.

    Parameters
    ----------
    inputs, channels
        Kinds of detectors in the area below and in this one.
    stride
        Distance between neighbouring detectors, in places of the area below.
    linear
        Whether there is neither normalisation nor rectification.
    """

    def __init__(self, inputs: int, channels: int, stride: int, linear: bool) -> None:
        super().__init__()
        self.synapses = nn.Conv2d(inputs, channels, 3, stride, padding=1)
        self.normalisation = None if linear else nn.BatchNorm2d(channels)

    def forward(self, activity: Tensor, plastic: bool = True) -> Tensor:
        """Activity (trial, channel, row, column), evoked by that of the area below.

        Parameters
        ----------
        activity
            Of the area below, (trial, channel, row, column).
        plastic
            Whether gradients reach the synapses, and in training mode running statistics are updated and those of the
            batch used; otherwise neither, in whatever mode the module is.
        """
        synapses, normalisation = self.synapses, self.normalisation
        if plastic:
            return retinotopy.step(activity, synapses, normalisation)
        bias = None if synapses.bias is None else synapses.bias.detach()
        drive = functional.conv2d(activity, synapses.weight.detach(), bias, synapses.stride, synapses.padding)
        if normalisation is None:
            return drive
        gain, shift = normalisation.weight.detach(), normalisation.bias.detach()
        mean, variance = normalisation.running_mean, normalisation.running_var
        return torch.relu(functional.batch_norm(drive, mean, variance, gain, shift, False, 0.0, normalisation.eps))


class EarlyAreas(nn.Module):
    r"""The early areas ``early_1`` ... ``early_5``, from the retina up.

    Initial synapses and biases are uniform within :math:`\pm 1/\sqrt{\text{inputs of the unit}}`, from torch's current
    random state.

    Parameters
    ----------
    channels
        Kinds of feature detectors of each area. The first area keeps the resolution of the retina, each further one
        halves it.
    image
        (channel, row, column) of a stimulus.
    gain
        Initial gains of the normalisation: ``"ones"``, or ``"uniform"`` in [0, 1], as the libraries of the paper's
        time drew them.
    critical_period
        ``"open"`` or ``"closed"``, see the attribute.

    Attributes
    ----------
    areas
        ``"retina"``, then the names of the early areas.
    shapes
        (channel, row, column) of every area.
    sizes
        Units of every area.
    """

    def __init__(
        self,
        channels: Sequence[int] = CHANNELS,
        image: Sequence[int] = IMAGE,
        *,
        gain: str = "ones",
        critical_period: str = "open",
    ) -> None:
        super().__init__()
        if len(image) != 3:
            raise SettingError("EarlyAreas", "image", tuple(image), "(channel, row, column)")
        if not channels:
            raise SettingError("EarlyAreas", "channels", tuple(channels), "the channels of at least one area")
        for name, counts in (("channels", channels), ("image", image)):
            for count in counts:
                check_number("EarlyAreas", name, count, least=1, whole=True)
        check_choice("EarlyAreas", "gain", gain, GAINS)
        self.areas = (RETINA, *(f"early_{i}" for i in range(1, len(channels) + 1)))
        below, rows, columns = image
        self.shapes: dict[str, tuple[int, int, int]] = {RETINA: (below, rows, columns)}
        for i, (area, n) in enumerate(zip(self.areas[1:], channels, strict=True)):
            stride = 1 if i == 0 else 2
            rows, columns = (rows - 1) // stride + 1, (columns - 1) // stride + 1
            self.add_module(area, EarlyArea(below, n, stride, linear=i == len(channels) - 1))
            self.shapes[area] = (n, rows, columns)
            below = n
        self.sizes = {area: n * r * c for area, (n, r, c) in self.shapes.items()}
        if gain == "uniform":
            for part in self.modules():
                if isinstance(part, nn.BatchNorm2d):
                    nn.init.uniform_(part.weight)
        self.critical_period = critical_period

    @property
    def critical_period(self) -> str:
        """``"open"``: synapses learn and normalisation adapts; ``"closed"``: neither, whatever ``train()`` says."""
        return self._critical_period

    @critical_period.setter
    def critical_period(self, state: str) -> None:
        check_choice("EarlyAreas", "critical_period", state, CRITICAL_PERIODS)
        self._critical_period = state
        self.requires_grad_(state == "open")
        self.train(self.training)

    def train(self, mode: bool = True) -> EarlyAreas:
        """Training mode, which areas with a closed critical period do not enter."""
        super().train(mode and self._critical_period == "open")
        return self

    @property
    def top(self) -> str:
        """Name of the highest early area."""
        return self.areas[-1]

    def forward(self, activity: Tensor, start: str = RETINA, stop: str | None = None) -> dict[str, Tensor]:
        """Activity of every area from ``start`` (given) up to ``stop`` (default: the highest).

        Parameters
        ----------
        activity
            Activity of the area ``start``: (trial, channel, row, column) or (trial, unit); at the retina, images after
            :func:`replaysim.retina.adapt`.

        Returns
        -------
        dict
            Area name to activity (trial, channel, row, column), arbitrary units. ``flatten(1)`` gives the units in the
            order channel, row, column.

        Raises
        ------
        SettingError
            If ``start`` or ``stop`` is no area, or ``stop`` lies below ``start``.
        DataError
            If the activity does not fit the area ``start``.
        """
        check_choice("EarlyAreas", "start", start, self.areas)
        climbed = self.areas[self.areas.index(start) :]
        if stop is not None:
            check_choice("EarlyAreas", "stop", stop, climbed)
            climbed = climbed[: climbed.index(stop) + 1]
        shape = self.shapes[start]
        if activity.shape[1:] not in (shape, (self.sizes[start],)):
            raise DataError(
                f"EarlyAreas: activity of {start} has shape {tuple(activity.shape)}, must be "
                f"(trial, {', '.join(map(str, shape))}) or (trial, {self.sizes[start]})"
            )
        activity = activity if activity.ndim == 4 else activity.unflatten(1, shape)
        evoked = {start: activity}
        for area in climbed[1:]:
            activity = self.get_submodule(area)(activity, self._critical_period == "open")
            evoked[area] = activity
        return evoked


def save_early_areas(areas: EarlyAreas, path: str | os.PathLike[str], about: Mapping[str, Any] | None = None) -> Path:
    """Write early areas as a safetensors file.

    Parameters
    ----------
    areas
        The areas.
    path
        File to write; it appears whole or not at all.
    about
        How they developed, plain values.
    """
    channels = [areas.shapes[area][0] for area in areas.areas[1:]]
    note = {
        "format": FORMAT,
        "channels": channels,
        "image": list(areas.shapes[RETINA]),
        "development": dict(about or {}),
    }
    return tensor_files.write(path, KIND, areas.state_dict(), note)


def load_early_areas(
    path: str | os.PathLike[str] | None = None, *, critical_period: str = "closed"
) -> tuple[EarlyAreas, dict[str, Any]]:
    """Read early areas back.

    Parameters
    ----------
    path
        File written by :func:`save_early_areas`; default: the areas that come with replaysim.
    critical_period
        ``"closed"`` or ``"open"``: the paper's baselines go on training these areas, brain-inspired replay does not.

    Returns
    -------
    EarlyAreas
        In ``float32`` on the CPU.
    dict
        How they developed.

    Raises
    ------
    MissingDataError
        If replaysim came without trained areas.
    LogError
        If the file is missing, truncated, or something else.
    DataError
        If a tensor is missing, is one too many, has another shape or type, or holds NaN.
    """
    where = shipped() if path is None else Path(path)
    state, about = tensor_files.read(where, KIND)
    if about.get("format") != FORMAT:
        raise LogError(
            f"{where}: format {about.get('format')} of early areas, but this replaysim reads format {FORMAT}"
        )
    try:
        areas = EarlyAreas(about["channels"], about["image"])
    except (KeyError, TypeError, SettingError) as error:
        raise DataError(f"{where}: its note about channels and image is damaged ({error})") from error
    tensor_files.check_fit(where, state, areas.state_dict())
    areas.load_state_dict(state)
    areas.critical_period = critical_period
    development = about.get("development", {})
    if not isinstance(development, dict):
        raise LogError(f"{where}: its note about development is damaged: {development!r:.60}; fetch or make it again")
    return areas.eval(), development


def shipped() -> Path:
    """File of the trained early areas that come with replaysim, in an installed package or in a checkout.

    Raises
    ------
    MissingDataError
        If there is none.
    """
    package = Path(str(resources.files(__package__)))
    looked = [package / "data" / SHIPPED, package.parent / "data" / SHIPPED]
    for path in looked:
        if path.is_file():
            return path
    raise MissingDataError(
        f"no trained early areas here; looked for {' and '.join(str(path) for path in looked)}. Let some develop with "
        "studies/develop_visual_cortex.py, and give the file it leaves to load_early_areas(path)"
    )


def shipped_areas() -> str:
    """Which early areas come with replaysim, as :func:`which_areas` says it."""
    return which_areas(None)


def which_areas(file: str | Path | None) -> str:
    """Which early areas a file holds: the first twelve hexadecimal digits of their :func:`checksum`."""
    return checksum(file)[:12]


def checksum(file: str | Path | None) -> str:
    """SHA-256 of the synapses and the normalisation in a file; None: of those that come with replaysim.

    The same areas have the same one wherever they lie, and whatever was noted about them.

    Raises
    ------
    MissingDataError, LogError
        If there is no such file, or it cannot be read.
    """
    return tensor_files.fingerprint(tensor_files.read(shipped() if file is None else file, KIND)[0])
