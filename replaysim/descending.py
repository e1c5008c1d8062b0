r"""Descending areas: feedback that unfolds again into ever finer images, down to the retina.

What the early areas gather from ever larger patches, these areas spread out again. They belong to the feedback of an
animal whose replay starts at, or near, the retina, and mirror its early areas from the highest one down.

Source: van de Ven, Siegelmann & Tolias (2020), Nature Communications 11:4069: the transposed convolutions of the
generator of classic generative replay on Split CIFAR-100.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from . import retinotopy
from .errors import DataError, SettingError, check_choice, check_number

GAINS = ("ones", "uniform")

Shape = tuple[int, int, int]
"""(channel, row, column) of an area."""


class DescendingArea(nn.Module):
    r"""One step down: every unit sends the same pattern to its patch of the area below.

    :math:`h = \max(0, \gamma\,(W \circledast a + b - m)/\sqrt{v + \epsilon} + \beta)`, where :math:`\circledast` is the
    transposed correlation, with kernels of 4 x 4 where the resolution doubles and of 3 x 3 where it stays, and
    :math:`m, v` are mean and variance of each channel's drive over the trials and places of the batch in training
    mode, and their running estimates otherwise. The lowest area is linear: :math:`h = W \circledast a + b`.

    Parameters
    ----------
    inputs, channels
        Channels of the area above and of this one.
    finer
        Whether there are twice as many rows and columns as in the area above.
    linear
        Whether there is neither normalisation nor rectification.
    """

    def __init__(self, inputs: int, channels: int, finer: bool, linear: bool) -> None:
        super().__init__()
        kernel, stride = (4, 2) if finer else (3, 1)
        self.synapses = nn.ConvTranspose2d(inputs, channels, kernel, stride, padding=1)
        self.normalisation = None if linear else nn.BatchNorm2d(channels)

    def forward(self, activity: Tensor) -> Tensor:
        """Activity (trial, channel, row, column), evoked by that of the area above, (trial, channel, row, column)."""
        return retinotopy.step(activity, self.synapses, self.normalisation)


class DescendingAreas(nn.Module):
    r"""The early areas mirrored, from the highest down to the re-entry area.

    The lowest area is linear: what comes out is the *drive* of the re-entry area, before that area's own
    non-linearity. In training mode every pass normalises by the batch that it is given, and moves the running
    estimates by a tenth; in evaluation mode it uses those.

    Initial synapses and biases are uniform within :math:`\pm 1/\sqrt{n}`, where *n* is the size of a kernel times the
    channels of the area below, from torch's current random state.

    Parameters
    ----------
    shapes
        (channel, row, column) of the highest area, of every area below it, and of the re-entry area last. From one
        area to the next the resolution stays or doubles.
    gain
        Initial gains of the normalisation: ``"ones"``, or ``"uniform"`` in [0, 1], as the libraries of the paper's
        time drew them.

    Attributes
    ----------
    shapes
        As given.
    inputs, outputs
        Units of the highest area and of the re-entry area.
    area_1, area_2, ...
        The steps down, each a :class:`DescendingArea`.

    Raises
    ------
    SettingError
        If there are fewer than two areas, the gain is unknown, or an area has a shape that the one above it cannot
        unfold into.
    """

    def __init__(self, shapes: Sequence[Sequence[int]], *, gain: str = "ones") -> None:
        super().__init__()
        check_choice("DescendingAreas", "gain", gain, GAINS)
        self.shapes = checked(shapes)
        self.inputs, self.outputs = prod(self.shapes[0]), prod(self.shapes[-1])
        for i, (above, below) in enumerate(pairwise(self.shapes), 1):
            linear = i == len(self.shapes) - 1
            self.add_module(f"area_{i}", DescendingArea(above[0], below[0], below[1] != above[1], linear))
        if gain == "uniform":
            for part in self.modules():
                if isinstance(part, nn.BatchNorm2d):
                    nn.init.uniform_(part.weight)

    def forward(self, activity: Tensor) -> Tensor:
        """Drive of the re-entry area, (trial, unit) in the order channel, row, column.

        Parameters
        ----------
        activity
            Of the highest area, (trial, unit) or (trial, channel, row, column).

        Raises
        ------
        DataError
            If the activity does not fit the highest area.
        """
        shape = self.shapes[0]
        if activity.shape[1:] not in (shape, (self.inputs,)):
            raise DataError(
                f"DescendingAreas: activity of the highest area has shape {tuple(activity.shape)}, must be "
                f"(trial, {', '.join(map(str, shape))}) or (trial, {self.inputs})"
            )
        activity = activity if activity.ndim == 4 else activity.unflatten(1, shape)
        for i in range(1, len(self.shapes)):
            activity = self.get_submodule(f"area_{i}")(activity)
        return activity.flatten(1)


def checked(shapes: Sequence[Sequence[int]]) -> tuple[Shape, ...]:
    """Shapes of descending areas, or :class:`SettingError` where they cannot follow each other."""
    given = tuple(tuple(shape) for shape in shapes)
    if len(given) < 2:
        raise SettingError("DescendingAreas", "shapes", given, "the shapes of at least two areas, the highest first")
    found: list[Shape] = []
    for shape in given:
        if len(shape) != 3:
            raise SettingError("DescendingAreas", "shapes", shape, "(channel, row, column) of every area")
        for size in shape:
            check_number("DescendingAreas", "shapes", size, least=1, whole=True)
        found.append((shape[0], shape[1], shape[2]))
    for above, below in pairwise(found):
        if below[1:] not in (above[1:], (2 * above[1], 2 * above[2])):
            raise SettingError(
                "DescendingAreas",
                "shapes",
                below,
                f"{above[1]} x {above[2]} or {2 * above[1]} x {2 * above[2]} places below an area of {above[1]} x "
                f"{above[2]}: sizes of images must be divisible by 2 as often as the early areas halve them",
            )
    return tuple(found)
