"""Where analyses compute: the device, exact float32 products of matrices, and how many rows go through at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import torch

from replaysim.arithmetic import exact_arithmetic
from replaysim.errors import SettingError, check_number

DEFAULT_MEMORY = 256 * 2**20
"""Bytes beyond inputs and results that a pairwise measure may use, unless told otherwise."""


_AUTOMATIC: ContextVar[str] = ContextVar("automatic", default="auto")


@contextlib.contextmanager
def automatic(device: str) -> Iterator[None]:
    """Meanwhile ``"auto"`` means this device, on which a study simulates; for ``mps``, which lacks float64, the CPU."""
    token = _AUTOMATIC.set("cpu" if device == "mps" else device)
    try:
        yield
    finally:
        _AUTOMATIC.reset(token)


def choose_device(device: str | torch.device = "auto") -> torch.device:
    """The device to compute on.

    Parameters
    ----------
    device
        ``"cpu"``, ``"cuda"`` (or ``"cuda:1"``), or ``"auto"``: the first GPU if there is one, or see :func:`automatic`.

    Raises
    ------
    SettingError
        For a device that does not exist here.
    """
    device = _AUTOMATIC.get() if device == "auto" else device
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise SettingError("analysis", "device", device, "'cpu', 'cuda' or 'auto'") from error
    if chosen.type == "cpu":
        return chosen
    if chosen.type == "mps":
        raise SettingError("analysis", "device", str(device), "'cpu' or 'cuda': analyses need float64, which mps lacks")
    if chosen.type == "cuda" and (chosen.index or 0) < torch.cuda.device_count():
        return chosen
    raise SettingError("analysis", "device", str(device), "'cpu' or 'auto': there is no such GPU on this machine")


@contextlib.contextmanager
def exact_products() -> Iterator[None]:
    """Multiply float32 matrices in full precision and track no gradients; afterwards all is as before."""
    with exact_arithmetic(), torch.no_grad():
        yield


def rows_at_once(columns: int, memory: int | None, *, copies: int, itemsize: int = 4, most: int = 1024) -> int:
    """Rows of a block of a large matrix, so that ``copies`` of the block fit into ``memory``.

    Parameters
    ----------
    columns
        Width of the matrix.
    memory
        Bytes beyond inputs and results; default :data:`DEFAULT_MEMORY`.
    copies
        Blocks that are alive at the same time.
    itemsize
        Bytes of a number.
    most
        More rows than this make nothing faster.
    """
    if memory is not None:
        check_number("analysis", "memory", memory, least=1)
    room = (DEFAULT_MEMORY if memory is None else int(memory)) // (copies * itemsize * max(1, columns))
    return int(min(max(1, room), most))
