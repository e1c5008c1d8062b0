"""Visual cortex: frozen or plastic early areas, alone and as many animals at once; and activity that is kept."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.func import functional_call, stack_module_state, vmap

from replaysim import early_activity, visual_cortex
from replaysim.cortex import RETINA, DenseCortex, check_cortex
from replaysim.early_activity import forget, keep
from replaysim.early_areas import EarlyAreas, load_early_areas, save_early_areas
from replaysim.errors import DataError, LogError, SettingError
from replaysim.maturity import evoked
from replaysim.retina import LIGHT, adapt
from replaysim.visual_cortex import VisualCortex, VisualPlan, standing_area

SMALL: dict[str, Any] = {"units": (7, 6), "reentry": "early_3", "channels": (2, 3, 4), "image": (3, 8, 8)}
EARLY = ["frozen", "plastic"]


def small(**kwargs: Any) -> VisualPlan:
    return VisualPlan(**{**SMALL, "developed": "naive", **kwargs})


def grown(seed: int = 0, **kwargs: Any) -> VisualCortex:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return small(**kwargs).build().double()


def images(*shape: int, seed: int = 0, image: tuple[int, int, int] = (3, 8, 8)) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(*shape, *image)))


def state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return copy.deepcopy(module.state_dict())


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return save_early_areas(EarlyAreas((2, 3, 4), (3, 8, 8), gain="uniform"), tmp_path / "areas.safetensors")


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    forget()
    yield
    forget()


def test_the_paper_s_areas() -> None:
    plan = VisualPlan()
    cortex = plan.build()
    assert (
        cortex.areas == plan.areas == (RETINA, *(f"early_{i}" for i in range(1, 6)), "association_1", "association_2")
    )
    assert list(cortex.sizes.values()) == [3072, 16384, 8192, 4096, 2048, 1024, 2000, 2000]
    assert cortex.reentry == "early_5" and cortex.gateable == ("association_1", "association_2")
    linear = [area for area, kind in cortex.nonlinearities.items() if kind == "none"]
    assert linear == [RETINA, "early_5"] and set(cortex.nonlinearities.values()) == {"relu", "none"}
    check_cortex(cortex, 3072)
    early, _about = load_early_areas()
    assert_same(state(cortex.early), state(early))
    association = sum(p.numel() for name, p in cortex.named_parameters() if p.requires_grad)
    assert association == 6_052_000  # and 393 088 more where the early areas are plastic
    plastic = VisualPlan(early="plastic").build()
    assert sum(p.numel() for p in plastic.parameters() if p.requires_grad) == 6_052_000 + 393_088


@pytest.mark.parametrize("early", EARLY)
def test_association_synapses_are_those_of_a_dense_cortex(early: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        dense = DenseCortex(1024, (20, 10))
        after = torch.rand(3)
        for developed in (None, "naive"):
            visual_cortex._read.cache_clear()
            torch.manual_seed(3)
            cortex = VisualPlan((20, 10), early=early, developed=developed).build()
            assert torch.equal(torch.rand(3), after)
            held = cortex.state_dict()
            for name, value in dense.state_dict().items():
                assert torch.equal(value, held[name]), name
        seen = torch.randn(5, 1024)
        for area, activity in dense(seen).items():
            assert torch.equal(activity, cortex(seen, start="early_5")[area if area != RETINA else "early_5"])


def test_naive_early_areas_differ_between_animals_and_from_what_follows() -> None:
    one, again, other = grown(0), grown(0), grown(1)
    assert_same(state(one), state(again))
    first, second = "early.early_1.synapses.weight", "association_1.weight"
    assert not torch.equal(one.state_dict()[first], other.state_dict()[first])
    drawn, followed = (one.state_dict()[name].flatten()[:7] for name in (first, second))
    assert not torch.allclose(drawn / drawn.norm(), followed / followed.norm())  # not the same chance twice


def test_activity_starts_and_stops_anywhere() -> None:
    cortex = grown().eval()
    seen = images(4)
    whole = cortex(seen)
    assert tuple(whole) == cortex.areas
    assert {area: tuple(value.shape) for area, value in whole.items()} == {a: (4, n) for a, n in cortex.sizes.items()}
    assert torch.equal(whole[RETINA], seen.flatten(1))
    assert torch.equal(whole["early_2"], cortex.early(seen)["early_2"].flatten(1))
    for i, start in enumerate(cortex.areas):
        for j in range(i, len(cortex.areas)):
            part = cortex(whole[start], start=start, stop=cortex.areas[j])
            assert tuple(part) == cortex.areas[i : j + 1]
            assert all(torch.equal(value, whole[area]) for area, value in part.items())
    retinotopic = whole["early_2"].unflatten(1, cortex.early.shapes["early_2"])
    assert torch.equal(cortex(retinotopic, start="early_2")["association_2"], whole["association_2"])
    assert whole["early_2"].min() == 0 and whole["early_3"].min() < 0 and whole["association_1"].min() == 0


def test_openness_scales_the_drive_before_the_bias() -> None:
    cortex = grown()
    below = torch.rand(5, cortex.sizes["early_3"], dtype=torch.float64)
    gate = torch.rand(5, 7, dtype=torch.float64).round()
    found = cortex(below, start="early_3", openness={"association_1": gate})
    weight, bias = cortex.association_1.weight, cortex.association_1.bias
    assert torch.allclose(found["association_1"], torch.relu(gate * (below @ weight.T) + bias), atol=1e-12)
    assert torch.equal(found["association_2"], cortex(found["association_1"], start="association_1")["association_2"])
    everything_open = {area: torch.ones(5, cortex.sizes[area], dtype=torch.float64) for area in cortex.gateable}
    for area, activity in cortex(below, start="early_3", openness=everything_open).items():
        assert torch.allclose(activity, cortex(below, start="early_3")[area], atol=1e-12)
    with pytest.raises(SettingError, match=r"openness: got 'early_2', must be one of 'association_1'"):
        cortex(below, start="early_3", openness={"early_2": gate})


def test_frozen_areas_withstand_everything_and_plastic_ones_adapt() -> None:
    for early in EARLY:
        cortex = grown(early=early)
        before, still = state(cortex), cortex.eval()(images(6))["early_3"]
        cortex.train()
        activity = cortex(images(6))
        activity["association_2"].sum().backward()
        untouched = [name for name, p in cortex.named_parameters() if p.grad is None]
        statistics = {name for name, value in cortex.state_dict().items() if not torch.equal(value, before[name])}
        if early == "frozen":
            assert torch.equal(activity["early_3"], still) and not statistics and not cortex.early.training
            assert untouched == [name for name, _ in cortex.named_parameters() if name.startswith("early.")]
        else:
            assert not torch.allclose(activity["early_3"], still) and not untouched
            assert len(statistics) == 6 and all("normalisation" in name for name in statistics)
            once = state(cortex)
            cortex.eval()(images(6))
            assert_same(state(cortex), once)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("early", EARLY)
def test_many_animals_are_like_one_after_the_other(early: str, training: bool) -> None:
    """Activity, gradients and running statistics, with two passes before the weights change, as replay has them."""
    cortices = [grown(seed, early=early).train(training) for seed in range(3)]
    for n, cortex in enumerate(cortices):  # statistics that tell animals apart
        for name, value in cortex.named_buffers():
            if value.is_floating_point():
                value.add_(0.1 * (n + 1) + 0.01 * len(name))
    template = copy.deepcopy(cortices[0]).to("meta")
    plastic, fixed = stack_module_state(cortices)
    values = {name: value.detach().requires_grad_(value.requires_grad) for name, value in plastic.items()}
    values |= {name: value.detach().clone() for name, value in fixed.items()}
    before = {name: value.detach().clone() for name, value in values.items()}

    def one(own: dict[str, torch.Tensor], trials: torch.Tensor) -> dict[str, torch.Tensor]:
        return functional_call(template, own, (trials,))

    passes = [images(3, 5, seed=seed) for seed in (0, 1)]
    found = [vmap(one)(values, seen) for seen in passes]
    torch.stack([part["association_2"].square().sum() for part in found]).sum().backward()
    for n, cortex in enumerate(cortices):
        alone = [cortex(seen[n]) for seen in passes]
        torch.stack([part["association_2"].square().sum() for part in alone]).sum().backward()
        for part, expected in zip(found, alone, strict=True):
            for area, activity in expected.items():
                assert torch.allclose(part[area][n], activity, atol=1e-12), area
        for name, value in cortex.state_dict().items():
            assert torch.allclose(values[name][n], value, atol=1e-14), name
        for name, parameter in cortex.named_parameters():
            gradient = values[name].grad
            assert (gradient is None) == (parameter.grad is None) == (early == "frozen" and "early" in name)
            if gradient is not None and parameter.grad is not None:
                assert torch.allclose(gradient[n], parameter.grad, atol=1e-11), name
    changed = [name for name, value in values.items() if not torch.equal(value, before[name])]
    assert len(changed) == (6 if early == "plastic" and training else 0)


def test_the_same_stimuli_for_all_animals() -> None:
    cortices = [grown(seed).eval() for seed in range(2)]
    plastic, fixed = stack_module_state(cortices)
    template = copy.deepcopy(cortices[0]).to("meta")
    seen = images(5)
    gate = torch.rand(5, 7, dtype=torch.float64)
    found = vmap(lambda own, x: functional_call(template, own, (x,), {"openness": {"association_1": gate}}), (0, None))(
        {**plastic, **fixed}, seen
    )
    for n, cortex in enumerate(cortices):
        for area, activity in cortex(seen, openness={"association_1": gate}).items():
            assert torch.allclose(found[area][n], activity, atol=1e-12)


def test_a_file_is_read_once_and_again_when_it_has_changed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(path: Path) -> Any:
        calls.append(path)
        return load_early_areas(path)

    monkeypatch.setattr(visual_cortex, "load_early_areas", counted)
    plan = small(developed=file, early="plastic")
    assert plan.developed == str(file)
    first = plan.build().train()
    held = state(first.early)
    first(images(4).float())
    torch.nn.init.zeros_(first.early.early_1.synapses.weight)  # a learner keeps what it learns to itself
    second, adult = plan.build(), small(developed=str(file)).build()
    assert_same(state(second.early), held)
    assert_same(state(adult.early), held)
    assert second.early.critical_period == "open" and adult.early.critical_period == "closed" and len(calls) == 1
    save_early_areas(EarlyAreas((2, 3, 4, 5), (3, 8, 8)), file)
    assert small(developed=file, channels=(2, 3, 4, 5)).build().sizes["early_4"] == 5 and len(calls) == 2


def test_a_plan_is_plain_values(file: Path) -> None:
    plan = small(developed=file, units=[9], reentry="early_1", early="plastic")
    assert pickle.loads(pickle.dumps(plan)) == plan and hash(plan) == hash(copy.copy(plan))
    cortex = plan.build()
    values = json.loads(json.dumps(dataclasses.asdict(plan)))
    back = VisualPlan(**{**values, "developed": "naive"}).build()
    back.load_state_dict(cortex.state_dict())
    seen = images(3).float()
    for area, activity in cortex.eval()(seen).items():
        assert torch.equal(back.eval()(seen)[area], activity)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"reentry": "early_6"}, "reentry: got 'early_6', must be one of 'retina', 'early_1', .* 'association_2'$"),
        ({"reentry": "association_3"}, "reentry: got 'association_3', must be one of 'retina'"),
        ({"reentry": "hippocampus"}, "reentry: got 'hippocampus'"),
        ({"early": "thawed"}, "early: got 'thawed', must be one of 'frozen', 'plastic'"),
        ({"units": ()}, r"units: got \(\), must be at least one number"),
        ({"units": (20, 0)}, "units: got 0"),
        ({"units": (20, 2.5)}, "units: got 2.5"),
        ({"channels": (16, -1)}, "channels: got -1"),
        ({"channels": ()}, "channels"),
        ({"image": (32, 32)}, r"image: got \(32, 32\), must be \(channel, row, column\)"),
        ({"developed": 3}, "developed: got 3, must be None, 'naive' or the path of a file"),
    ],
)
def test_impossible_plans(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=f"VisualPlan.{words}"):
        VisualPlan(**wrong)


def test_areas_that_do_not_fit_the_plan(file: Path) -> None:
    with pytest.raises(SettingError, match=r"VisualPlan.developed: got .* channels \(16, .* these have \(2, 3, 4\)"):
        VisualPlan(developed=str(file)).build()
    with pytest.raises(SettingError, match=r"image \(3, 28, 28\), .* these have \(3, 8, 8\)"):
        small(developed=file, image=(3, 28, 28)).build()
    with pytest.raises(SettingError, match=r"image \(1, 28, 28\), .* these have \(3, 32, 32\)"):
        VisualPlan(image=(1, 28, 28)).build()
    with pytest.raises(SettingError, match=r"VisualCortex.reentry: got 'early_9', must be one of 'retina', 'early_1'"):
        VisualCortex(EarlyAreas((2, 3), (3, 8, 8)), (5,), "early_9")


def test_damaged_files(file: Path, tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"no early areas at .*nowhere"):
        small(developed=tmp_path / "nowhere").build()
    with pytest.raises(LogError, match="no early areas at"):
        small(developed=tmp_path).build()
    whole = file.read_bytes()
    for bad in (whole[:-7], whole[:20], b""):
        file.write_bytes(bad)
        with pytest.raises(LogError, match="truncated"):
            small(developed=file).build()
    file.write_bytes(whole)
    small(developed=file).build()
    from safetensors import safe_open

    with safe_open(str(file), framework="pt") as held:
        about = held.metadata()
    tensors = load_file(str(file))
    for change, words in (
        ({"early_2.synapses.weight": torch.zeros(3, 2, 5, 5)}, "early_2.synapses.weight is .* of shape"),
        ({"early_2.synapses.weight": torch.full((3, 2, 3, 3), torch.nan)}, "holds NaN"),
        ({"early_7.synapses.bias": torch.zeros(3)}, "no place"),
    ):
        save_file({**tensors, **change}, str(file), metadata=about)
        with pytest.raises(DataError, match=words):
            small(developed=file).build()


def test_activity_that_does_not_fit() -> None:
    cortex = grown()
    with pytest.raises(DataError, match=r"retina has shape \(2, 3, 28, 28\), must be \(trial, 3, 8, 8\)"):
        cortex(images(2, image=(3, 28, 28)))
    with pytest.raises(DataError, match=r"early_3 has shape \(2, 7\), must be \(trial, 4, 2, 2\) or \(trial, 16\)"):
        cortex(torch.zeros(2, 7), start="early_3")
    with pytest.raises(SettingError, match="start: got 'early_6'"):
        cortex(images(2), start="early_6")
    with pytest.raises(SettingError, match="stop: got 'early_1', must be one of 'early_3', 'association_1'"):
        cortex(torch.zeros(2, 16), start="early_3", stop="early_1")


def test_standing_area(file: Path) -> None:
    assert standing_area(small(developed=file).build()) == "early_3"
    assert standing_area(small(developed=file, early="plastic").build()) == RETINA
    assert standing_area(grown()) == RETINA  # early areas of one's own
    assert standing_area(DenseCortex(16, (4, 3))) == RETINA


@pytest.fixture
def photographs() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1203, 8, 8, 3), dtype=np.uint8).transpose(0, 3, 1, 2)


def test_kept_activity_is_that_of_the_cortex(photographs: np.ndarray) -> None:
    cortex, light = grown().float().train(), LIGHT["cifar100"]
    before = state(cortex)
    kept = keep(photographs, cortex, light, 255.0)
    assert kept.shape == (1203, 16) and kept.dtype == np.float32 and not kept.flags.writeable
    assert np.array_equal(kept, evoked(cortex.early, photographs, light).numpy())
    seen = adapt(torch.from_numpy(photographs[700:705].copy()), light)
    assert np.allclose(kept[700:705], cortex(seen)["early_3"].detach().numpy(), atol=1e-6)
    assert cortex.training and len(list(cortex.parameters())) and cortex.early.early_1.synapses.weight.is_cpu
    assert_same(state(cortex), before)
    flat = keep(photographs.reshape(1203, -1), cortex, light, 255.0)
    assert np.array_equal(flat, kept)
    plain = keep(photographs, cortex.early, scale=255.0, area="early_1", dtype=torch.float64)
    expected = cortex.double()(torch.from_numpy(photographs[:9].copy()).double() / 255)["early_1"]
    assert plain.dtype == np.float64 and np.allclose(plain[:9], expected.detach().numpy(), atol=1e-12)
    assert keep(photographs[:0], cortex).shape == (0, 16)


def test_plastic_areas_are_measured_with_standing_statistics(photographs: np.ndarray) -> None:
    cortex = grown(early="plastic").float().train()
    before = state(cortex)
    kept = keep(photographs[:9], cortex, scale=255.0)
    assert cortex.early.critical_period == "open" and cortex.early.training
    assert_same(state(cortex), before)
    expected = cortex.eval()(torch.from_numpy(photographs[:9].copy()) / 255)["early_3"]
    assert np.allclose(kept, expected.detach().numpy(), atol=1e-6)


def test_activity_is_computed_once(photographs: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    cortex, light = grown(), LIGHT["cifar100"]
    first = keep(photographs, cortex, light, 255.0)
    assert keep(photographs.copy(), grown(), light, 255) is first  # the same, wherever it lies
    kinds = [{"area": "early_2"}, {"dtype": torch.float64}, {"scale": 254.0}, {"light": None}]
    given: dict[str, Any] = {"light": light, "scale": 255.0}
    assert all(keep(photographs, cortex, **{**given, **kind}) is not first for kind in kinds)
    assert keep(photographs, grown(1), light, 255.0) is not first
    changed = photographs.copy()
    changed[1202, 2, 7, 7] ^= 1
    assert not np.array_equal(keep(changed, cortex, light, 255.0)[1202], first[1202])
    assert keep(photographs, cortex, light, 255.0) is first
    monkeypatch.setattr(early_activity, "BYTES_KEPT", 2 * first.nbytes)
    second, third = (keep(photographs, grown(seed), light, 255.0) for seed in (2, 3))
    assert keep(photographs, grown(2), light, 255.0) is second and keep(photographs, grown(3), light, 255.0) is third
    assert keep(photographs, cortex, light, 255.0) is not first
    monkeypatch.setattr(early_activity, "BYTES_KEPT", 1)
    assert keep(photographs, cortex, light, 255.0).shape == first.shape and not early_activity._kept


def test_stimuli_that_cannot_be_kept(photographs: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    cortex = grown()
    with pytest.raises(DataError, match=r"shape \(2, 28, 28\), must be \(stimulus, 3, 8, 8\) or \(stimulus, 192\)"):
        keep(np.zeros((2, 28, 28), np.uint8), cortex)
    with pytest.raises(SettingError, match="area: got 'association_1', must be one of 'retina', 'early_1'"):
        keep(photographs, cortex, area="association_1")
    with pytest.raises(SettingError, match="scale: got 0"):
        keep(photographs, cortex, scale=0)
    with pytest.raises(DataError, match="not finite"):
        keep(np.full((2, 3, 8, 8), np.nan, np.float32), cortex)
    with pytest.raises(DataError, match="one mean per channel"):
        keep(np.zeros((2, 1, 8, 8), np.uint8), grown(image=(1, 8, 8)), LIGHT["cifar10"])
    assert not early_activity._kept
    keep(photographs, cortex, progress=True)
    assert "activity of early_3" in capsys.readouterr().err
