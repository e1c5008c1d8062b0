"""Products of layers in half the bits: what learning costs is nearly all in them.

With ``simulate(precision="bfloat16")`` the drive of every layer, and the gradients that go back through it, are
computed from synapses and activity rounded to bfloat16 (8 significant bits), with sums in float32. Everything else
stays in float32: synapses and their optimiser, biases, non-linearities, normalisation, the code and its memory modes,
losses, consolidation. Evaluation, recording and the Fisher information are as precise as ever.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

FLOATS = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}
"""Precision to the type of synapses and activity."""
INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
"""Capabilities of a CPU that multiplies in bfloat16, as torch names them."""


class Bfloat16Layers(TorchFunctionMode):
    r"""Dense and convolutional layers multiply in bfloat16 as long as this context manager is open.

    .. math:: y = \mathrm{float32}\big(\mathrm{bf}(x)\,\mathrm{bf}(W)^\top\big) + b,

    and so do the two products that go back through the layer. Products of anything but activity and synapses (the
    densities of memory modes, penalties) are no layers and are left alone.

    Raises
    ------
    RuntimeError
        From torch, where the device knows no such product.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Called by torch instead of each of its functions."""
        given = kwargs or {}
        if func is functional.linear:
            return _linear(*args, **given)
        if func in (functional.conv2d, functional.conv_transpose2d):
            return _convolved(func, *args, **given)
        return func(*args, **given)


def _low(values: Tensor) -> Tensor:
    return values.to(torch.bfloat16)


def _linear(activity: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if activity.dtype != torch.float32:
        return functional.linear(activity, weight, bias)
    drive = functional.linear(_low(activity), _low(weight)).float()
    return drive if bias is None else drive + bias


def _convolved(
    func: Callable[..., Tensor], activity: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **given: Any
) -> Tensor:
    if activity.dtype != torch.float32:
        return func(activity, weight, bias, *args, **given)
    drive = func(_low(activity), _low(weight), None, *args, **given).float()
    return drive if bias is None else drive + bias[:, None, None]


def layers_in(precision: str) -> AbstractContextManager[Any]:
    """Within which layers multiply in this precision."""
    return Bfloat16Layers() if precision == "bfloat16" else nullcontext()


def warn_where_slow(precision: str, device: str, here: Mapping[str, bool] | None = None) -> None:
    """Warn where a CPU would have to imitate products in bfloat16, one by one.

    Parameters
    ----------
    precision, device
        As :func:`~replaysim.simulation.simulate` takes them.
    here
        Capabilities of the CPU; default: as torch reports them.
    """
    if precision != "bfloat16" or torch.device(device).type != "cpu":
        return
    if here is None:
        here = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch do not tell
    if here and not any(here.get(name) for name in INSTRUCTIONS):
        warnings.warn(
            "precision 'bfloat16': this CPU does not report instructions for it and may be slower than with 'float32'; "
            "the results are the same",
            stacklevel=4,
        )
