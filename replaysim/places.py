"""Places: retinotopic steps of many animals on a GPU, in few passes over memory.

Areas of many places and few kinds of detectors hold much activity, of which little is computed; what they cost is to
move it. Where layers multiply in bfloat16 on a GPU, activity that is learned from stays so between the product and the
rectification, with all detectors of a place side by side, as the device's convolutions want it. Compared with the same
step carried out layer by layer in mixed precision (:mod:`replaysim.products`), sums run in another order; what leaves a
normalised area that learns is rounded when it leaves, not when the next layer multiplies it, and so is the slope that
comes back to it; and a bias that the mean of a batch takes away has the gradient 0, not rounding errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_aten = torch.ops.aten
_LANES = 8  # channels below that a GPU's matrix units take at once


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


class Given(NamedTuple):
    """What a step starts from; of many animals with one more leading axis."""

    activity: Tensor
    """(trial, channel, row, column)"""
    weight: Tensor
    bias: Tensor
    gain: Any = None
    """Of the normalisation, with"""
    shift: Any = None
    """this, the running"""
    mean: Any = None
    """and"""
    variance: Any = None
    """None where there is none."""


def at_once(activity: Tensor, synapses: Any, normalisation: Any, *, factors: torch.dtype = torch.bfloat16) -> Tensor:
    """Activity of the next area, rectified where it is normalised; differentiable once.

    Parameters
    ----------
    activity
        (trial, channel, row, column); in :func:`torch.func.vmap` of one animal.
    synapses, normalisation
        Layers of the area, such as :func:`replaysim.retinotopy.takes` accepts.
    factors
        Type in which the convolution multiplies, and in which activity lies until it is rectified.

    Returns
    -------
    Tensor
        (trial, channel, row, column), in the type of ``activity``.
    """
    geometry = Geometry(synapses.stride, synapses.padding, isinstance(synapses, nn.ConvTranspose2d))
    given, how = Given(activity, synapses.weight, synapses.bias), None
    if normalisation is not None:
        n = normalisation
        given, how = given._replace(gain=n.weight, shift=n.bias), Normalised(n.training, n.momentum, n.eps)
        given = given._replace(mean=n.running_mean, variance=n.running_var)
        if how.trains:
            n.num_batches_tracked.add_(1)
    return _Step.apply(*given, geometry, how, factors)[0]


class _Step(torch.autograd.Function):
    """One step of one animal, or, with one more leading axis of all tensors, of many.

    Takes what is :class:`Given`, a :class:`Geometry`, how it is :class:`Normalised` or None, and the type of factors.
    Moves running estimates in place. Gives the activity, then what its gradient needs.
    """

    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, ...]:
        """Activity and what is kept."""
        given, settings = Given(*inputs[:-3]), inputs[-3:]
        if given.activity.dim() == 5:
            return _forward(given, *settings)
        return tuple(value[0] for value in _forward(Given._make(map(_alone, given)), *settings))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Keep what the gradient needs: of a linear area no more than what it multiplied."""
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        activity, weight, bias, gain, _shift, mean, variance, ctx.geometry, ctx.how, ctx.factors = inputs
        ctx.channels = activity.shape[-3]
        ctx.kernels = (*(1,) * (5 - weight.dim()), *weight.shape)
        above, below, kernels, drive, normal, centre, inverse = output
        if ctx.how is None:
            ctx.save_for_backward(bias, below, kernels, *(None,) * 8)
        elif ctx.how.trains:
            ctx.save_for_backward(bias, below, kernels, gain, drive, normal, centre, inverse, None, None, None)
        else:
            ctx.save_for_backward(bias, below, kernels, gain, drive, None, None, None, above, mean, variance)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator,unused-ignore]
    def backward(ctx: Any, slope: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
        """Gradients of activity, synapses and normalisation."""
        nothing = (None,) * 10
        if slope is None:
            return nothing
        kept = _Kept(*ctx.saved_tensors)
        if slope.dim() == 5:
            return (*_backward(ctx, slope, kept), *nothing[5:])
        found = _backward(ctx, slope[None], _Kept._make(map(_alone, kept)))
        return (*(value if value is None else value[0] for value in found), *nothing[5:])

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, tuple[int, ...]]:
        """Animals are one more leading axis."""
        if inputs[0].dim() + (in_dims[0] is None) != 5:
            raise RuntimeError("a retinotopic step knows one axis of animals: one torch.func.vmap, not one in another")

        def leading(value: Any, axis: int | None) -> Any:
            if not isinstance(value, Tensor):
                return value
            return value.expand(info.batch_size, *value.shape) if axis is None else value.movedim(axis, 0)

        return _Step.apply(*(leading(*each) for each in zip(inputs, in_dims, strict=True))), (0,) * 7


def _alone(value: Tensor | None) -> Any:
    """Of one animal as of many."""
    return value if value is None else value[None]


def _forward(given: Given, geometry: Geometry, how: Normalised | None, factors: torch.dtype) -> tuple[Tensor, ...]:
    """Activity (animal, trial, channel, row, column); for its gradient, factors, drive, normalised, statistics."""
    activity, weight, bias, gain, shift, mean, variance = given
    axis = 1 if geometry.transposed else 2  # of kernels, along which the channels below lie
    below, kernels = _by_place(activity, factors, 2), _by_place(weight, factors, axis)
    drives = [_convolved(x, w, geometry) for x, w in zip(below, kernels, strict=True)]
    drive = torch.stack([each.permute(0, 2, 3, 1) for each in drives]).permute(0, 1, 4, 2, 3)
    above, nothing = _like(drive, activity.dtype), drive.new_empty(len(drive), 0)
    if how is None:
        torch.add(drive, _everywhere(bias), out=above)
        return above, below, kernels, drive, nothing, nothing, nothing
    if not how.trains:  # written out: the device's own, told where to write, was wrong here, and why was not found
        scale = gain * torch.rsqrt(variance + how.epsilon)
        torch.mul(drive, _everywhere(scale), out=above).add_(_everywhere(shift + (bias - mean) * scale)).relu_()
        return above, below, kernels, drive, nothing, nothing, nothing
    normal, kept = torch.empty_like(drive), gain.new_empty(2, *gain.shape)
    for a in range(len(drive)):
        _aten.native_batch_norm.out(
            drive[a], gain[a], shift[a], mean[a], variance[a], True, how.momentum, how.epsilon,
            out=normal[a], save_mean=kept[0, a], save_invstd=kept[1, a],
        )  # fmt: skip
    mean.add_(bias, alpha=how.momentum)  # of the drive without its bias, which a batch's own mean takes away
    above.copy_(normal.relu_())
    return above, below, kernels, drive, normal, kept[0], kept[1]


class _Kept(NamedTuple):
    """What a gradient needs."""

    bias: Tensor
    below: Tensor
    kernels: Tensor
    gain: Tensor
    drive: Tensor
    normal: Tensor
    """Where a batch normalises: rectified, with"""
    centre: Tensor
    """its mean and"""
    inverse: Tensor
    """one over its deviation."""
    above: Tensor
    """Where running estimates normalise: the activity, with"""
    mean: Tensor
    """these and"""
    variance: Tensor


class _Slopes(NamedTuple):
    """Gradients of"""

    drive: Sequence[Tensor]
    """the drive of each animal without its bias,"""
    bias: Tensor
    gain: Tensor | None
    shift: Tensor | None


def _backward(ctx: Any, slope: Tensor, kept: _Kept) -> tuple[Tensor | None, ...]:
    """Gradients of activity, synapses, biases, gains and shifts of all animals."""
    slopes = _through_normalisation(ctx, slope, kept)
    wanted = [bool(ctx.needs_input_grad[0]), True, False]
    stride, padding, transposed = ctx.geometry
    down = _like(kept.below[:, :, : ctx.channels], slope.dtype) if wanted[0] else None
    learned = torch.empty(ctx.kernels, dtype=kept.bias.dtype, device=slope.device)
    for a in range(len(learned)):
        activity, kernels, _ = _aten.convolution_backward(
            slopes.drive[a],
            kept.below[a],
            kept.kernels[a],
            None,
            stride,
            padding,
            (1, 1),
            transposed,
            (0, 0),
            1,
            wanted,
        )
        if down is not None:
            down[a].copy_(activity[:, : ctx.channels])
        learned[a].copy_(kernels[: learned.shape[1], : learned.shape[2]])
    return down, learned, *slopes[1:]


def _through_normalisation(ctx: Any, slope: Tensor, kept: _Kept) -> _Slopes:
    """Gradients of what comes before the activity."""
    how, places = ctx.how, (1, 3, 4)
    if how is None:
        return _Slopes(_by_place(slope, ctx.factors).unbind(), slope.sum(places), None, None)
    if not how.trains:
        slope, inverse = _aten.threshold_backward(slope, kept.above, 0), torch.rsqrt(kept.variance + how.epsilon)
        shifted = slope.sum(places)
        gained = (slope * (kept.drive - _everywhere(kept.mean - kept.bias))).sum(places) * inverse
        scale = kept.gain * inverse
        drive = _by_place(slope * _everywhere(scale), ctx.factors)
        return _Slopes(drive.unbind(), shifted * scale, gained, shifted)
    steep = _aten.threshold_backward(_by_place(slope, ctx.factors), kept.normal, 0)
    found = [
        _aten.native_batch_norm_backward(
            steep[a], kept.drive[a], kept.gain[a], None, None, kept.centre[a], kept.inverse[a], True, how.epsilon,
            [True, True, True],
        )
        for a in range(len(steep))
    ]  # fmt: skip
    drives, gains, shifts = zip(*found, strict=True)
    return _Slopes(drives, torch.zeros_like(kept.bias), torch.stack(gains), torch.stack(shifts))


def _convolved(activity: Tensor, kernels: Tensor, geometry: Geometry) -> Tensor:
    stride, padding, transposed = geometry
    return _aten.convolution(activity, kernels, None, stride, padding, (1, 1), transposed, (0, 0), 1)


def _everywhere(values: Tensor) -> Tensor:
    """Of every channel (animal, channel), at all places of all trials."""
    return values[:, None, :, None, None]


def _by_place(values: Tensor, dtype: torch.dtype, axis: int | None = None) -> Tensor:
    """The same values (animal, trial, channel, row, column), those of a place side by side in memory.

    Along an axis, there are at least so many as a GPU's matrix units take at once, the others being zero.
    """
    if axis is None or values.shape[axis] >= _LANES:
        return _like(values, dtype).copy_(values)
    n, shape = values.shape[axis], list(values.shape)
    shape[axis] = _LANES
    wider = _empty(shape, values, dtype).zero_()
    wider.narrow(axis, 0, n).copy_(values)
    return wider


def _like(values: Tensor, dtype: torch.dtype) -> Tensor:
    return _empty(values.shape, values, dtype)


def _empty(shape: Sequence[int], beside: Tensor, dtype: torch.dtype) -> Tensor:
    """An empty tensor of this shape, in which the channels of a place lie side by side."""
    animal, trial, channel, row, column = shape
    return beside.new_empty((animal, trial, row, column, channel), dtype=dtype).permute(0, 1, 4, 2, 3)
