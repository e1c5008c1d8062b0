"""Products of layers in mixed precision: what learning costs is nearly all in them.

With ``simulate(precision="bfloat16")`` dense and convolutional layers multiply in bfloat16 (8 significant bits) while
animals learn and replay: drives, and the gradients that go back through a layer, are products of rounded factors, added
up in float32 and rounded themselves. A CPU without instructions for bfloat16 multiplies the rounded factors in float32,
in which products of 8 significant bits are exact: the same rounding, at the speed of float32.

Everything else is computed in float32: biases, non-linearities, normalisation, draws of codes, densities of memory
modes, losses, consolidation, the optimiser and the synapses that it moves. So is all looking: tests, electrodes, the
Fisher information, and the activity of frozen early areas that is computed once and kept. Replayed memories are
recorded as the animal learned from them. On a GPU, retinotopic areas that learn round what they pass on, too
(:mod:`replaysim.places`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

FLOATS = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}
"""Precision to the type of synapses and activity."""
_OPEN: ContextVar[int] = ContextVar("layers that multiply in bfloat16", default=0)
INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")
"""Capabilities of a CPU that multiplies in bfloat16, as torch names them."""


class Bfloat16Layers(TorchFunctionMode):
    r"""Layers multiply in bfloat16 as long as this context manager is open.

    .. math:: y = \mathrm{bf}\big(\mathrm{bf}(x)\,\mathrm{bf}(W)^\top\big) + b,

    where bf rounds to 8 significant bits; likewise both products that go back through the layer. A layer is what calls
    :func:`torch.nn.functional.linear`, ``conv2d`` or ``conv_transpose2d`` with float32 values, as ``nn.Linear``,
    ``nn.Conv2d`` and ``nn.ConvTranspose2d`` do. All other products (``@``, ``einsum``, one-dimensional convolutions,
    attention) are left alone, so that the densities of memory modes and penalties lose nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lacking = lacks_instructions()

    def __enter__(self) -> Bfloat16Layers:
        """From here on."""
        super().__enter__()
        _OPEN.set(_OPEN.get() + 1)
        return self

    def __exit__(self, *raised: Any) -> None:
        """Until here."""
        _OPEN.set(_OPEN.get() - 1)
        super().__exit__(*raised)

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Called by torch instead of each of its functions."""
        given = kwargs or {}
        if func is functional.linear:
            return self._linear(*args, **given)
        if func in (functional.conv2d, functional.conv_transpose2d):
            return self._convolved(func, *args, **given)
        return func(*args, **given)

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        if not _single(input, weight):
            return functional.linear(input, weight, bias)
        drive = _rounded(functional.linear(*self._factors(input, weight)))
        return drive if bias is None else drive + bias

    def _convolved(
        self,
        func: Callable[..., Tensor],
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        *args: Any,
        **given: Any,
    ) -> Tensor:
        if not _single(input, weight):
            return func(input, weight, bias, *args, **given)
        drive = _rounded(func(*self._factors(input, weight), None, *args, **given))
        return drive if bias is None else drive + bias[:, None, None]

    def _factors(self, *factors: Tensor) -> tuple[Tensor, ...]:
        """Rounded; in float32 again where they would be multiplied bit by bit."""
        if self.lacking and factors[0].device.type == "cpu":
            return tuple(_rounded(factor) for factor in factors)
        return tuple(factor.bfloat16() for factor in factors)


def _rounded(values: Tensor) -> Tensor:
    """Float32 of 8 significant bits; what goes back through it is rounded, too."""
    return values.bfloat16().float()


def _single(*factors: Tensor) -> bool:
    return all(factor.dtype == torch.float32 for factor in factors)


def layers_in(precision: str) -> AbstractContextManager[Any]:
    """Within which layers multiply in this precision."""
    return Bfloat16Layers() if precision == "bfloat16" else nullcontext()


def halved_on_gpu(activity: Tensor) -> bool:
    """Whether layers that this activity climbs multiply in bfloat16 on a GPU, as things are."""
    return bool(_OPEN.get()) and activity.device.type == "cuda" and activity.dtype == torch.float32


def lacks_instructions() -> bool:
    """Whether the CPU says that it cannot multiply in bfloat16."""
    tell = getattr(torch.cpu, "get_capabilities", None)  # older versions of torch have none
    here: dict[str, bool] = {} if tell is None else tell()
    return bool(here) and not any(here.get(name) for name in INSTRUCTIONS)


def multiplied_in(precision: str, device: str) -> str:
    """In what the rounded factors of layers are multiplied on a device: ``"float32"`` or ``"bfloat16"``."""
    lacking = torch.device(device).type == "cpu" and lacks_instructions()
    return "float32" if lacking and precision == "bfloat16" else precision


def warn_where_slow(precision: str, device: str, level: int = 2) -> None:
    """Warn where mixed precision rounds and gains no time.

    Parameters
    ----------
    precision, device
        As :func:`~replaysim.simulation.simulate` takes them.
    level
        Whose call the warning is about: 1 is this function, 2 its caller.
    """
    if multiplied_in(precision, device) != precision:
        warnings.warn(
            "precision 'bfloat16': this CPU reports no instructions for it and multiplies rounded factors in float32, "
            "which is no faster than 'float32'",
            stacklevel=level + 1,
        )
