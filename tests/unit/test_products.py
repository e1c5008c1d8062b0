"""Layers that multiply in bfloat16: what is rounded, what is not, and what a life in it is."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import small
import torch
from lives import LEARNING, LIVES, electrodes
from torch import Tensor
from torch.func import vmap
from torch.nn import functional

import replaysim as rs
from replaysim.errors import LogError, SettingError
from replaysim.products import Bfloat16Layers, warn_where_slow

U = 2.0**-8  # unit roundoff of bfloat16


def rounded(values: Tensor) -> Tensor:
    """Oracle: values of 8 significant bits, in float64."""
    return values.bfloat16().double()


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


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


def test_animals_are_batched() -> None:
    activity, weight, bias = drawn(3, 7, 300), drawn(3, 5, 300), drawn(3, 5)
    with Bfloat16Layers():
        together = vmap(functional.linear)(activity, weight, bias)
        alone = torch.stack([functional.linear(*own) for own in zip(activity, weight, bias, strict=True)])
    torch.testing.assert_close(together, alone, rtol=U, atol=1e-4)


def life(name: str, precision: str, **others: Any) -> rs.SimulationResult:
    settings = LIVES[name]()
    given = {"animals": (12, 13), "learning": LEARNING, "precision": precision, **settings, **others}
    return rs.simulate(workers=1, progress=False, record=electrodes(settings), **given)


@pytest.mark.parametrize("name", LIVES)
def test_every_kind_of_life_can_be_lived(name: str) -> None:
    """Near that in float32 and not equal to it; what was evaluated and recorded before learning is equal bit by bit."""
    low, high, again = (life(name, precision) for precision in ("bfloat16", "float32", "bfloat16"))
    for animal in (12, 13):
        one, other = small.state(low, animal), small.state(high, animal)
        small.assert_bitwise(one, small.state(again, animal))
        assert {value.dtype for value in one.values()} == {value.dtype for value in other.values()}
        moved = [n for n in one if one[n].dtype == np.float32 and not np.array_equal(one[n], other[n])]
        assert moved, "float32 was not left"
        for n in moved:  # Adam moves a synapse by about the rate at every step, whatever the gradient
            steps = LEARNING.steps * low.log["behaviour"].sizes["context"]
            assert np.abs(one[n] - other[n]).max() <= 2.1 * steps * LEARNING.rate or "running" in n, n
    for area, group in low.log["cortex"].children.items():
        naive = [log["cortex"][area]["activity"].isel(snapshot=0, missing_dims="ignore") for log in (low.log, high.log)]
        assert naive[0].equals(naive[1]), f"{group.path} is recorded in float32"


def test_a_log_of_another_precision_is_not_gone_on_with(tmp_path: Any) -> None:
    from replaysim.resumption import simulate_once

    settings = LIVES["brain-inspired, task"]()
    given = {"animals": (12,), "learning": LEARNING, "out": tmp_path, "workers": 1, "progress": False, **settings}
    simulate_once(precision="bfloat16", **given)
    with pytest.raises(LogError, match="precision"):
        simulate_once(precision="float32", **given)


def test_a_cpu_without_instructions_for_it_is_warned() -> None:
    with pytest.warns(UserWarning, match="this CPU does not report instructions"):
        warn_where_slow("bfloat16", "cpu", {"avx2": True, "avx512_bf16": False})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_where_slow("float32", "cpu", {"avx2": True})
        warn_where_slow("bfloat16", "cpu", {"avx512_bf16": True})
        warn_where_slow("bfloat16", "cpu", {})
        warn_where_slow("bfloat16", "meta", {"avx2": True})


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(SettingError, match=r"precision: got 'half', must be one of .*bfloat16"):
        small.simulate(precision="half")
