"""Steps that a device repeats by itself: the same steps, whoever repeats them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import pytest
import small
import torch
from lives import LIVES, electrodes, same

import replaysim as rs
from replaysim import steps
from replaysim.cohort import Cohort
from replaysim.cortex import DenseCortex
from replaysim.errors import SettingError
from replaysim.repetition import PLAIN, Repeated, Step, broken_promises, changed, tensors_in

STEPS = PLAIN + 4


class Pair(NamedTuple):
    one: torch.Tensor
    other: Pair | None


def recorded(step: Step, read: Any) -> Callable[[], Any]:
    """Stands for a GPU: the step reads from the same memory every time, and what it gives lies in the same memory."""
    written: list[Any] = []

    def repeat() -> Any:
        result = step(read)
        if not written:
            written.append(changed(result, torch.clone))
        for place, value in zip(tensors_in(written[0]), tensors_in(result), strict=True):
            place.copy_(value)
        return written[0]

    return repeat


def plainly(step: Step, given: Any) -> Any:
    return step(given)


def test_trees() -> None:
    tree = Pair(torch.ones(1), Pair(torch.zeros(2), None))
    assert [tensor.numel() for tensor in tensors_in(tree)] == [1, 2]
    more = changed(tree, lambda tensor: tensor + 1)
    assert isinstance(more, Pair) and more.one.item() == 2 and more.other is not None
    assert more.other.one.tolist() == [1, 1] and more.other.other is None
    assert list(tensors_in(None)) == [] and changed(None, torch.clone) is None


def test_a_step_is_recorded_once_and_repeated() -> None:
    total, seen = torch.zeros(3), []

    def step(given: Pair) -> Pair:
        seen.append(given.one.data_ptr())
        total.add_(given.one)
        return Pair(total * 2, None)

    recordings: list[Any] = []
    repeated = Repeated(step, lambda step, read: recordings.append(read) or recorded(step, read), plainly)
    for n in range(1, STEPS + 1):
        # a part of a larger tensor, not contiguous, as the noise of a step is
        given = Pair(torch.full((3, 2), float(n))[:, 0], None)
        assert repeated(given).one.tolist() == [n * (n + 1)] * 3
        assert total.tolist() == [n * (n + 1) / 2] * 3
    assert len(recordings) == 1 and len(set(seen[PLAIN:])) == 1, "always from the same memory"


@pytest.mark.parametrize(
    "name",
    [
        "brain-inspired, SI, class",
        "brain-inspired, task",
        pytest.param("pair", marks=pytest.mark.slow),
        "current input",
        "episodes",
        pytest.param("joint", marks=pytest.mark.slow),
        pytest.param("permuted", marks=pytest.mark.slow),
        pytest.param("photographs, frozen, task", marks=pytest.mark.slow),
        "photographs, plastic, EWC",
    ],
)
@pytest.mark.filterwarnings("ignore:replay enters at")
def test_repeated_lives_are_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that a step reads is left behind, and nothing that it gives is kept without a copy."""
    many = []

    def life() -> rs.SimulationResult:
        settings = LIVES[name]()
        return small.simulate(
            animals=(12, 13), learning=rs.Learning(STEPS, 6, 1e-3), record=electrodes(settings), workers=1, **settings
        )

    def on_gpu(step: Step, device: torch.device) -> Repeated:
        many.append(device)
        return Repeated(step, recorded, plainly)

    plain = life()
    monkeypatch.setattr(steps, "repeatable", lambda _cohort: True)
    monkeypatch.setattr(steps.repetition, "on_gpu", on_gpu)
    repeated = life()
    assert len(many) == len(plain.log["behaviour/context"]), "once a context"
    same(plain, repeated)


@dataclass(frozen=True)
class Own(rs.SynapticIntelligence):
    """Somebody's rule, of which nothing is known."""


@dataclass(frozen=True)
class Promised(rs.SynapticIntelligence):
    repeatable: ClassVar[bool] = True


@dataclass(frozen=True)
class Heir(Promised):
    """Inherits no promise."""


class Cortex(DenseCortex):
    """Somebody's cortex, of which nothing is known."""


class PromisedCortex(DenseCortex):
    repeatable: ClassVar[bool] = True


class Part(torch.nn.ReLU):
    """Somebody's module."""


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        (None, True),
        (rs.SynapticIntelligence(), True),
        (rs.ElasticWeightConsolidation(), True),
        (rs.OnlineElasticWeightConsolidation(), True),
        (Own(), False),
        (Promised(), True),
        (Heir(), False),
    ],
)
def test_only_rules_that_are_known_are_repeated(rule: Any, wanted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = small_cohort(rule)
    assert not steps.repeatable(cohort), "a CPU repeats nothing"
    pretend_cuda(cohort, monkeypatch)
    assert steps.repeatable(cohort) == wanted


@pytest.mark.parametrize(("kind", "wanted"), [(DenseCortex, True), (Cortex, False), (PromisedCortex, True)])
def test_only_cortices_that_are_known_are_repeated(
    kind: type[DenseCortex], wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = small_cohort(None)
    pretend_cuda(cohort, monkeypatch)
    cohort.template.cortex.__class__ = kind
    assert steps.repeatable(cohort) == wanted
    cohort.template.cortex.add_module("own", Part())
    assert not steps.repeatable(cohort)


def test_a_promise_that_is_broken_is_named() -> None:
    """What torch says while a step is recorded comes of a part that must not say that it is repeatable."""
    said = "CUDA error: operation not permitted when stream is capturing\nCUDA kernel errors might be ..."
    message = r"repeatable: got True, must be left out of the class .*is capturing\)"
    with pytest.raises(SettingError, match=message), broken_promises():
        raise RuntimeError(said)
    with pytest.raises(RuntimeError, match="out of memory"), broken_promises():
        raise RuntimeError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="during capture"), broken_promises():
        try:
            raise torch.OutOfMemoryError("CUDA out of memory")
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")


def small_cohort(rule: Any) -> Cohort:
    return Cohort([small.brain(small.protocol("class")).grow(12)], rate=1e-3, consolidation=rule)


def pretend_cuda(cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    cohort.device = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
