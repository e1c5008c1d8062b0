"""A user's own cortex as a cohort and a file can hold it: all that one animal has and another has not is registered.

Animals that live together are parameters and buffers, stacked, of one module; a trained brain is what its module saves,
put into another one that is made anew. Whatever else a module holds comes from the first animal, or from nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Number
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .brain import Brain
from .brain_files import fresh_copy
from .cohort import Cohort
from .cortex import AbstractCortex
from .errors import SettingError

_OF_TORCH = frozenset(vars(nn.Module()))  # where modules keep parameters, buffers, parts and hooks


def check_whole(naive: Brain) -> None:
    """Raise :class:`SettingError` unless the cortex of an animal is its parameters and buffers, and is saved whole.

    Parameters
    ----------
    naive
        A brain without gates, grown from the seed 0; another animal's is grown beside it.
    """
    other = naive.plan.grow(1)
    owner, mine, its = type(naive.cortex).__name__, unregistered(naive.cortex), unregistered(other.cortex)
    for name in [*mine, *(name for name in its if name not in mine)]:
        if not _alike(mine.get(name, []), its.get(name, [])):
            must = (
                "the same whenever the cortex is made, left out, or registered (register_buffer, nn.ModuleList): "
                "animals that live together have all of it from the first one"
            )
            raise SettingError(owner, name, "another value in another animal", must)
    _check_read_back(owner, naive, other.to(torch.float32))


def unsaved(cortex: nn.Module) -> set[str]:
    """Names of buffers that are not part of the state of the cortex."""
    return {name for name, _ in cortex.named_buffers(remove_duplicate=False)} - cortex.state_dict().keys()


def _check_read_back(owner: str, naive: Brain, other: Brain) -> None:
    """Raise unless one animal's state, put into a brain that grows as another's, gives the first animal's brain."""
    state = Cohort([other], rate=1.0).brain_state(0)
    try:
        again = fresh_copy(naive.plan, state, None, ())
        more = sorted(again.state_dict().keys() - state.keys())
        if more:
            raise TypeError(f"{more} are no tensors")
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        must = (
            "parameters and buffers under their names, and nothing else: with what an animal has learned, a cortex is "
            "made anew and loads them"
        )
        raise SettingError(owner, "state_dict", said[:200], must) from error
    found = dict(_registered(again.cortex))
    for name, value in _registered(other.cortex):
        if not _alike([value], [found[name]]):
            must = "saved with the brain, without persistent=False: it is not the same whenever the cortex is made"
            raise SettingError(owner, name, "another value in a trained brain", must)


def _registered(cortex: AbstractCortex) -> Iterator[tuple[str, Tensor]]:
    yield from cortex.named_parameters(remove_duplicate=False)
    yield from cortex.named_buffers(remove_duplicate=False)


def unregistered(cortex: AbstractCortex) -> dict[str, list[Any]]:
    """Numbers and arrays in all attributes that torch knows nothing of, by name."""
    seen = {id(value) for value in (*cortex.modules(), *cortex.parameters(), *cortex.buffers())}
    return {
        f"{part}.{name}" if part else name: list(_numbers(value, seen))
        for part, module in cortex.named_modules()
        for name, value in vars(module).items()
        if name not in _OF_TORCH
    }


def _numbers(value: Any, seen: set[int]) -> Iterator[Any]:
    """Numbers and arrays in a value, in order; ``seen`` holds what is registered or was here before."""
    if isinstance(value, Number):
        yield value
        return
    if id(value) in seen:
        return
    if isinstance(value, Tensor | np.ndarray):
        yield value
        return
    parts: Any = ()
    if isinstance(value, nn.Module):
        parts = (*value.parameters(), *value.buffers())
    elif isinstance(value, Mapping):
        parts = value.values()
    elif isinstance(value, list | tuple):
        parts = value
    if parts:
        seen.add(id(value))
    for part in parts:
        yield from _numbers(part, seen)


def _alike(some: list[Any], others: list[Any]) -> bool:
    return len(some) == len(others) and all(map(same, some, others))


def same(one: Any, other: Any) -> bool:
    """Whether two numbers or arrays have the same values; NaN is like NaN, and what cannot be compared is alike."""
    if np.shape(one) != np.shape(other) or isinstance(one, Tensor) != isinstance(other, Tensor):
        return False
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        one, other = (value.detach().cpu().to_dense() for value in (one, other))
    try:
        alike = (one == other) | ((one != one) & (other != other))
        return bool(alike.all()) if isinstance(alike, Tensor | np.ndarray) else bool(alike)
    except (RuntimeError, TypeError, ValueError):
        return True
