"""Retinotopic steps on a GPU: convolution, normalisation and rectification of many animals as few passes over memory.

Areas of many places and few kinds of detectors hold much activity, of which little is computed; what they cost is to
move it. Where layers multiply in bfloat16 on a GPU, activity stays so between the product and the rectification, with
all detectors of a place side by side, as the device's convolutions want it. Values are those of the same step carried
out part by part in mixed precision (:mod:`replaysim.products`), up to the order of sums, except that what leaves a
normalised area is rounded when it leaves, not when the next layer multiplies it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

_aten = torch.ops.aten


class Geometry(NamedTuple):
    """How a step maps places to places."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    transposed: bool
    """Whether every unit sends to a patch of places instead of receiving from one."""


class Normalised(NamedTuple):
    """How a step normalises."""

    trains: bool
    """Whether by the batch, which moves the running estimates, or by those."""
    momentum: float
    epsilon: float


def step(
    activity: Tensor,
    synapses: nn.Conv2d | nn.ConvTranspose2d,
    normalisation: nn.BatchNorm2d | None,
    *,
    factors: torch.dtype = torch.bfloat16,
) -> Tensor:
    """Activity of the next area, rectified where it is normalised.

    Parameters
    ----------
    activity
        (trial, channel, row, column); in :func:`torch.func.vmap` of one animal.
    synapses, normalisation
        Layers of the area, with kernels that are neither dilated nor grouped.
    factors
        Type in which the convolution multiplies, and in which activity lies until it is rectified.

    Returns
    -------
    Tensor
        (trial, channel, row, column), in the type of ``activity``.
    """
    transposed = isinstance(synapses, nn.ConvTranspose2d)
    padding = tuple(int(side) for side in synapses.padding)
    geometry = Geometry(synapses.stride, padding, transposed)
    if normalisation is None:
        return _Step.apply(activity, synapses.weight, synapses.bias, None, None, None, None, geometry, None, factors)[0]
    n = normalisation
    momentum = 0.1 if n.momentum is None else n.momentum
    how = Normalised(n.training, momentum, n.eps)
    if how.trains and n.num_batches_tracked is not None:
        n.num_batches_tracked.add_(1)
    running = (n.running_mean, n.running_var)
    return _Step.apply(activity, synapses.weight, synapses.bias, n.weight, n.bias, *running, geometry, how, factors)[0]


class _Step(torch.autograd.Function):
    """One step of one animal, or, with one more leading axis of all tensors, of many; differentiable once.

    Moves running estimates in place. Gives the activity, then what its gradient needs.
    """

    @staticmethod
    def forward(
        activity: Tensor,
        weight: Tensor,
        bias: Tensor,
        gain: Tensor | None,
        shift: Tensor | None,
        mean: Tensor | None,
        variance: Tensor | None,
        geometry: Geometry,
        how: Normalised | None,
        factors: torch.dtype,
    ) -> tuple[Tensor, ...]:
        """Activity and what is kept."""
        ahead: Callable[..., tuple[Tensor, ...]] = partial(_forward, geometry=geometry, how=how, factors=factors)
        given = (activity, weight, bias, gain, shift, mean, variance)
        if activity.dim() == 5:
            return ahead(*given)
        return tuple(value[0] for value in ahead(*(value if value is None else value[None] for value in given)))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Keep what the gradient needs."""
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        bias, gain, mean, variance = inputs[2], inputs[3], inputs[5], inputs[6]
        ctx.geometry, ctx.how, ctx.factors = inputs[7:]
        still = (mean, variance) if ctx.how is not None and not ctx.how.trains else (None, None)
        ctx.save_for_backward(bias, gain, *still, *output[1:])

    @staticmethod
    def backward(ctx: Any, slope: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
        """Gradients of activity, synapses and normalisation."""
        nothing = (None,) * 10
        if slope is None:
            return nothing
        saved = ctx.saved_tensors
        if slope.dim() == 4:
            saved = tuple(v if v is None else v[None] for v in saved)
            found = _backward(ctx, slope[None], *saved)
            return (*(v if v is None else v[0] for v in found), *nothing[5:])
        return (*_backward(ctx, slope, *saved), *nothing[5:])

    @staticmethod
    def vmap(_info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, tuple[int, ...]]:
        """Animals are one more leading axis."""
        size = _info.batch_size

        def leading(value: Any, axis: int | None) -> Any:
            if not isinstance(value, Tensor):
                return value
            return value.expand(size, *value.shape) if axis is None else value.movedim(axis, 0)

        return _Step.apply(*(leading(*each) for each in zip(inputs, in_dims, strict=True))), (0,) * 7


def _forward(
    activity: Tensor,
    weight: Tensor,
    bias: Tensor,
    gain: Tensor | None,
    shift: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    geometry: Geometry,
    how: Normalised | None,
    factors: torch.dtype,
) -> tuple[Tensor, ...]:
    """Activity (animal, trial, channel, row, column); for its gradient, factors, drive, normalised, statistics."""
    below, kernels = _by_place(activity, factors), _by_place(weight, factors)
    drives = [_convolved(x, w, geometry) for x, w in zip(below, kernels, strict=True)]
    drive = torch.stack([each.permute(0, 2, 3, 1) for each in drives]).permute(0, 1, 4, 2, 3)
    above = _like(drive, activity.dtype)
    if how is None:
        torch.add(drive, bias[:, None, :, None, None], out=above)
        nothing = drive.new_empty(len(drive), 0)
        return above, below, kernels, drive, nothing, nothing, nothing
    assert gain is not None and shift is not None and mean is not None and variance is not None
    centre = mean if how.trains else mean - bias  # of a drive without its bias, which a batch's own mean takes away
    normal = torch.empty_like(drive)
    kept = gain.new_empty(2, *gain.shape) if how.trains else gain.new_empty(2, len(gain), 0)
    for a in range(len(drive)):
        _aten.native_batch_norm.out(
            drive[a], gain[a], shift[a], centre[a], variance[a], how.trains, how.momentum, how.epsilon,
            out=normal[a], save_mean=kept[0, a], save_invstd=kept[1, a],
        )  # fmt: skip
    if how.trains:
        mean.add_(bias, alpha=how.momentum)
    above.copy_(normal.relu_())
    return above, below, kernels, drive, normal, kept[0], kept[1]


def _backward(
    ctx: Any,
    slope: Tensor,
    bias: Tensor,
    gain: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    below: Tensor,
    kernels: Tensor,
    drive: Tensor,
    normal: Tensor,
    centre: Tensor,
    scale: Tensor,
) -> tuple[Tensor | None, ...]:
    """Gradients of activity, synapses, biases, gains and shifts of all animals."""
    how, animals = ctx.how, range(len(drive))
    steep = _by_place(slope, ctx.factors)
    if how is None:
        slopes, biased, gained, shifted = list(steep), slope.sum((1, 3, 4)), None, None
    else:
        assert gain is not None
        steep = _aten.threshold_backward(steep, normal, 0)
        still = None if mean is None else mean - bias
        found = [
            _aten.native_batch_norm_backward(
                steep[a], drive[a], gain[a], None if still is None else still[a], None if variance is None else
                variance[a], centre[a], scale[a], how.trains, how.epsilon, [True, True, True],
            )
            for a in animals
        ]  # fmt: skip
        slopes = [each[0] for each in found]
        gained, shifted = (torch.stack([each[i] for each in found]) for i in (1, 2))
        biased = torch.zeros_like(bias)  # a batch's own mean takes it away
        if not how.trains:
            biased = torch.stack([each.sum((0, 2, 3), dtype=bias.dtype) for each in slopes])
    wanted = [bool(ctx.needs_input_grad[0]), True, False]
    stride, padding, transposed = ctx.geometry
    pairs = [
        _aten.convolution_backward(
            slopes[a], below[a], kernels[a], None, stride, padding, (1, 1), transposed, (0, 0), 1, wanted
        )
        for a in animals
    ]
    down = None
    if wanted[0]:
        down = _like(below, slope.dtype)
        for a in animals:
            down[a].copy_(pairs[a][0])
    learned = torch.empty(kernels.shape, dtype=bias.dtype, device=bias.device)
    for a in animals:
        learned[a].copy_(pairs[a][1])
    return down, learned, biased, gained, shifted


def _convolved(activity: Tensor, kernels: Tensor, geometry: Geometry) -> Tensor:
    stride, padding, transposed = geometry
    return _aten.convolution(activity, kernels, None, stride, padding, (1, 1), transposed, (0, 0), 1)


def _by_place(values: Tensor, dtype: torch.dtype) -> Tensor:
    """The same values (animal, trial, channel, row, column), those of a place side by side in memory."""
    return _like(values, dtype).copy_(values)


def _like(values: Tensor, dtype: torch.dtype) -> Tensor:
    """An empty tensor of this shape, in which the channels of a place lie side by side."""
    animal, trial, channel, row, column = values.shape
    return values.new_empty((animal, trial, row, column, channel), dtype=dtype).permute(0, 1, 4, 2, 3)
