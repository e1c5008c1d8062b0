"""Passes: parts whose normalisation looks at its whole batch must not see two batches as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

T = TypeVar("T", bound=Any)


def looks_at_its_batch(part: nn.Module) -> bool:
    """Whether a trial's activity depends on the other trials of its batch: batch-norm in training mode."""
    return any(isinstance(module, _BatchNorm) and module.training for module in part.modules())


def in_passes(part: nn.Module, sizes: Sequence[int], activity: Tensor, gates: Sequence[Tensor] | None = None) -> Any:
    """What a part makes of activity, all rows at once or, where it looks at its batch, batch after batch.

    Parameters
    ----------
    part
        Takes activity (row, unit) and, where they are given, gates (row, unit) of its layers.
    sizes
        Rows of the successive batches.
    activity, gates
        Its input.

    Returns
    -------
    Tensor or tuple of Tensor
        As the part gives it; rows in their order.
    """
    if not looks_at_its_batch(part):
        return part(activity) if gates is None else part(activity, gates)
    batches = activity.split(tuple(sizes))
    if gates is None:
        found = [part(rows) for rows in batches]
    else:
        split = [gate.split(tuple(sizes)) for gate in gates]
        found = [part(rows, own) for rows, *own in zip(batches, *split, strict=True)]
    if isinstance(found[0], tuple):
        return type(found[0])(*(torch.cat(parts) for parts in zip(*found, strict=True)))
    return torch.cat(found)
