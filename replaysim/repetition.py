"""Repetition: steps of learning that a GPU repeats by itself.

A step is some hundred small operations. Told one by one, through :func:`torch.func.vmap` and autograd, they take a CPU
longer to name than a GPU to do. As every step of a context is the same operations on the same memory, they are
recorded once, as a CUDA graph, and from then on the GPU is told one word a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor

from .errors import SettingError

PLAIN = 3  # steps that are carried out before one is recorded: libraries make their work space at the first

Step = Callable[[Any], Any]
"""A function of tensors in named tuples, of which some may be None, that gives back the same."""
Record = Callable[[Step, Any], Callable[[], Any]]
"""Takes a step and the tensors that it is to read every time; gives what repeats it and returns what it wrote."""


def tensors_in(tree: Any) -> Iterator[Tensor]:
    """All tensors in named tuples of named tuples, in order."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, tuple):
        for part in tree:
            yield from tensors_in(part)


def changed(tree: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same named tuples of named tuples with every tensor changed."""
    if isinstance(tree, Tensor):
        return change(tree)
    return None if tree is None else tree._make(changed(part, change) for part in tree)


class Repeated:
    """A step that is carried out a few times, then recorded, and repeated from then on.

    What it computes is what the step computes, to the last bit. The step must do the same operations on the same
    memory every time, whatever the values; what it changes, it must change in place. Nothing that it does outside of
    tensors is repeated.

    Parameters
    ----------
    step
        What is to be done at every call.
    record
        Records it.
    plainly
        Carries it out as long as it is not recorded.

    Notes
    -----
    What a call gives back is overwritten by the next one: whoever keeps it copies it.
    """

    def __init__(self, step: Step, record: Record, plainly: Callable[[Step, Any], Any]) -> None:
        self._step, self._record, self._plainly = step, record, plainly
        self._calls = 0
        self._read: Any = None
        self._repeat: Callable[[], Any] | None = None

    def __call__(self, given: Any) -> Any:
        """One step."""
        self._calls += 1
        if self._calls <= PLAIN:
            return self._plainly(self._step, given)
        if self._repeat is None:
            self._read = changed(given, lambda tensor: tensor.clone(memory_format=torch.contiguous_format))
            self._repeat = self._record(self._step, self._read)
        else:
            torch._foreach_copy_(list(tensors_in(self._read)), list(tensors_in(given)))
        return self._repeat()


@contextmanager
def broken_promises() -> Iterator[None]:
    """Say of which setting it comes if a step cannot be recorded: parts of replaysim and torch have been tried."""
    try:
        yield
    except RuntimeError as error:
        full = isinstance(error.__context__, torch.OutOfMemoryError)  # which ends a recording, too
        if full or "captur" not in str(error):  # capture, capturing: what torch says of any failed recording
            raise
        said = str(error).splitlines()[0]
        must = (
            "left out of the class of your own rule or cortex that sets it: what it does at a step cannot be repeated "
            f"by the device, e.g. .item(), a branch on values or tensors made from numbers ({said})"
        )
        raise SettingError("simulate", "repeatable", True, must) from error


@cache
def _beside(index: int) -> torch.cuda.Stream:
    """Stream of a device on which steps are carried out and recorded: the default one cannot be recorded."""
    return torch.cuda.Stream(index)


def on_gpu(step: Step, device: torch.device) -> Repeated:
    """The same step, repeated by a CUDA device."""
    index = torch.cuda.current_device() if device.index is None else device.index
    stream = _beside(index)

    def record(step: Step, read: Any) -> Callable[[], Any]:
        graph = torch.cuda.CUDAGraph()
        with (
            broken_promises(),
            torch.cuda.device(index),
            torch.cuda.stream(torch.cuda.current_stream()),  # comes back even where recording fails
            torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"),  # not what other threads do
        ):
            written = step(read)  # noted, and not carried out

        def repeat() -> Any:
            graph.replay()
            return written

        return repeat

    def plainly(step: Step, given: Any) -> Any:
        """Carry it out where it will be recorded, and have what comes before and after wait."""
        with torch.cuda.device(index):
            here = torch.cuda.current_stream()
            stream.wait_stream(here)
            with torch.cuda.stream(stream):
                result = step(given)
            here.wait_stream(stream)
        return result

    return Repeated(step, record, plainly)
