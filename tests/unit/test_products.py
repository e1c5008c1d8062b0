"""Layers that multiply in bfloat16: what is rounded, what is not, and what a life in it is."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import small
import torch
from lives import EVERYTHING, LEARNING, LIVES, electrodes
from torch import Tensor
from torch.func import vmap
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

import replaysim as rs
from replaysim.cohort import Cohort
from replaysim.errors import LogError, SettingError
from replaysim.products import Bfloat16Layers, lacks_instructions, multiplied_in, warn_where_slow
from replaysim.resumption import simulate_once

IMITATED = pytest.mark.filterwarnings("ignore:precision 'bfloat16'")
U = 2.0**-8  # unit roundoff of bfloat16


WITHOUT = {"avx2": True, "avx512_bf16": False}


@pytest.fixture(params=["this CPU", "no instructions"])
def cpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products as they are here, and as they are on a CPU that cannot multiply in bfloat16."""
    if request.param == "no instructions":
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: WITHOUT, raising=False)


def rounded(values: Tensor) -> Tensor:
    """Oracle: values of 8 significant bits, in float64."""
    return values.bfloat16().double()


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.usefixtures("cpu")
def test_a_dense_layer_is_the_product_of_rounded_factors() -> None:
    """Oracle: the same in float64, of which torch keeps 8 bits; the bias is added as it is."""
    activity, weight = drawn(7, 300).requires_grad_(), drawn(5, 300).requires_grad_()
    bias, back = (1e-4 * drawn(5)).requires_grad_(), drawn(7, 5)
    with Bfloat16Layers():
        drive = functional.linear(activity, weight, bias)
        drive.backward(back)
        bare = functional.linear(activity, weight)
    assert drive.dtype == activity.grad.dtype == weight.grad.dtype == torch.float32  # type: ignore[union-attr]
    product = rounded(activity.detach()) @ rounded(weight.detach()).T
    torch.testing.assert_close(bare.detach().double(), product, rtol=U, atol=1e-4)
    assert torch.equal(drive.detach(), bare.detach() + bias.detach()), "the bias is not rounded"
    torch.testing.assert_close(bias.grad, back.sum(0))
    for leaf, oracle in (
        (activity, rounded(back) @ rounded(weight.detach())),
        (weight, rounded(back).T @ rounded(activity.detach())),
    ):
        assert leaf.grad is not None
        torch.testing.assert_close(leaf.grad.double(), oracle, rtol=U, atol=1e-4)
    exact = functional.linear(activity.detach().double(), weight.detach().double())
    assert float((bare.detach().double() - exact).abs().max()) > 1e-3, "this is another product"


@pytest.mark.usefixtures("cpu")
@pytest.mark.parametrize("transposed", [False, True])
def test_a_convolution_is_rounded_likewise(transposed: bool) -> None:
    activity, weight, bias = drawn(2, 3, 8, 8), drawn(*((3, 4) if transposed else (4, 3)), 3, 3), 1e-4 * drawn(4)
    layer = functional.conv_transpose2d if transposed else functional.conv2d
    with Bfloat16Layers():
        drive, bare = (layer(activity, weight, b, stride=2, padding=1) for b in (bias, None))
    oracle = layer(rounded(activity), rounded(weight), stride=2, padding=1)
    torch.testing.assert_close(bare.double(), oracle, rtol=U, atol=1e-4)
    assert torch.equal(drive, bare + bias[:, None, None])


def test_what_is_no_layer_or_no_float32_is_left_alone() -> None:
    one, other = drawn(6, 50), drawn(50, 6)
    with Bfloat16Layers():
        assert torch.equal(one @ other, one.mm(other))
        found = functional.linear(one.double(), one.double()), one @ other
    assert torch.equal(found[0], one.double() @ one.double().T) and torch.equal(found[1], one @ other)


@pytest.mark.usefixtures("cpu")
def test_animals_are_batched() -> None:
    activity, weight, bias = drawn(3, 7, 300), drawn(3, 5, 300), drawn(3, 5)
    with Bfloat16Layers():
        together = vmap(functional.linear)(activity, weight, bias)
        alone = torch.stack([functional.linear(*own) for own in zip(activity, weight, bias, strict=True)])
    torch.testing.assert_close(together, alone, rtol=U, atol=1e-4)


@pytest.mark.usefixtures("cpu")
def test_layers_are_called_by_keyword_too() -> None:
    activity, weight = drawn(7, 300), drawn(5, 300)
    image, kernel = drawn(2, 3, 8, 8), drawn(4, 3, 3, 3)
    with Bfloat16Layers():
        assert torch.equal(functional.linear(input=activity, weight=weight), functional.linear(activity, weight))
        found = functional.conv2d(input=image, weight=kernel, padding=1)
        assert torch.equal(found, functional.conv2d(image, kernel, None, 1, 1))
        with pytest.raises(RuntimeError):  # as without
            functional.linear(activity, weight.double())


def life(name: str, precision: str, **others: Any) -> rs.SimulationResult:
    settings = LIVES[name]()
    record = [*electrodes(settings, EVERYTHING[1:]), rs.Behaviour(steps=(2,))]
    given = {"animals": (12, 13), "learning": LEARNING, "precision": precision, **settings, **others}
    return rs.simulate(workers=1, progress=False, record=record, **given)


@IMITATED
@pytest.mark.parametrize("name", LIVES)
def test_every_kind_of_life_can_be_lived(name: str) -> None:
    """Its losses are within rounding of those in float32, and are others; it is the same every time."""
    low, high, again = (life(name, precision) for precision in ("bfloat16", "float32", "bfloat16"))
    own, other = (result.log["learning"]["loss"].values for result in (low, high))
    np.testing.assert_allclose(own, other, rtol=0.05, atol=5e-3)
    assert not np.array_equal(own, other, equal_nan=True)
    for animal in (12, 13):
        small.assert_bitwise(small.state(low, animal), small.state(again, animal))


@IMITATED
def test_the_first_step_goes_where_that_in_float32_goes() -> None:
    """Cosine of what one step changes, by layer: a wrong gradient would turn it."""
    settings = LIVES["brain-inspired, task"]()
    given = {"animals": (12,), "learning": rs.Learning(1, 6, 1e-5), "workers": 1, "progress": False, **settings}
    states = [rs.simulate(precision=p, **given).brains[12].state_dict() for p in ("bfloat16", "float32")]
    naive = settings["brain"].grow(12).state_dict()
    layers = [name for name in naive if name.endswith("weight")]
    assert len(layers) > 5
    for name in layers:
        one, other = ((state[name] - naive[name]).double().flatten() for state in states)
        assert float(functional.cosine_similarity(one, other, dim=0)) > 0.9, name


@IMITATED
def test_whoever_looks_looks_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """At every look at the cohort, probes between two steps included, layers multiply as ever."""
    seen: list[bool] = []
    look = Cohort.perceive

    def watched(self: Cohort, *given: Any, **settings: Any) -> Any:
        one = drawn(1, 300)
        seen.append(torch.equal(functional.linear(one, one), one @ one.T))
        return look(self, *given, **settings)

    monkeypatch.setattr(Cohort, "perceive", watched)
    life("brain-inspired, task", "bfloat16")
    assert len(seen) > 10 and all(seen)


@IMITATED
def test_a_log_of_another_precision_is_not_gone_on_with(tmp_path: Any) -> None:
    settings = LIVES["brain-inspired, task"]()
    given = {"animals": (12,), "learning": LEARNING, "out": tmp_path, "workers": 1, "progress": False, **settings}
    simulate_once(precision="bfloat16", **given)
    with pytest.raises(LogError, match="precision"):
        simulate_once(precision="float32", **given)


def test_a_cpu_without_instructions_for_it_is_warned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: WITHOUT, raising=False)
    with pytest.warns(UserWarning, match="this CPU reports no instructions for it") as caught:
        small.simulate(precision="bfloat16", learning=rs.Learning(1, 6))
    assert caught[0].filename.endswith("small.py"), "it is about the call of simulate"
    assert [multiplied_in(p, d) for p in ("bfloat16", "float64") for d in ("cpu", "meta")] == [
        *("float32", "bfloat16"),
        *("float64", "float64"),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_where_slow("float32", "cpu")
        warn_where_slow("bfloat16", "meta")
        for here in ({**WITHOUT, "avx512_bf16": True}, {}):  # older versions of torch say nothing
            monkeypatch.setattr(torch.cpu, "get_capabilities", lambda here=here: here)
            assert not lacks_instructions() and multiplied_in("bfloat16", "cpu") == "bfloat16"
            warn_where_slow("bfloat16", "cpu")


def test_a_cpu_without_instructions_multiplies_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would multiply many times slower, and in transposed convolutions add up in bfloat16."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: WITHOUT, raising=False)
    seen: list[torch.dtype] = []

    class Watched(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func._schema.name in ("aten::mm", "aten::addmm", "aten::convolution", "aten::convolution_backward"):
                seen.extend(a.dtype for a in args if isinstance(a, Tensor))
            return func(*args, **(kwargs or {}))

    leaves = drawn(7, 30).requires_grad_(), drawn(5, 30).requires_grad_(), drawn(2, 3, 8, 8), drawn(4, 3, 3, 3)
    leaves[3].requires_grad_()
    with Watched():
        with Bfloat16Layers():
            total = functional.linear(*leaves[:2]).sum() + functional.conv2d(*leaves[2:]).sum()
        total.backward()
    assert len(seen) >= 9 and set(seen) == {torch.float32}


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(SettingError, match=r"precision: got 'half', must be one of .*bfloat16"):
        small.simulate(precision="half")
