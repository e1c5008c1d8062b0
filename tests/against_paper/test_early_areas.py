"""Early areas: forward passes, statistics, gradients and a weight update (files 10b, 11, 11b and 11c)."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from oracle import closest, read

from replaysim.development import learn
from replaysim.development_state import TemporaryReadout, adam
from replaysim.early_areas import EarlyAreas
from replaysim.retina import LIGHT, adapt
from replaysim.visual_cortex import VisualCortex

PARTS = {
    "W": "synapses.weight",
    "b": "synapses.bias",
    "gamma": "normalisation.weight",
    "beta": "normalisation.bias",
    "running_mean": "normalisation.running_mean",
    "running_var": "normalisation.running_var",
    "n_updates": "normalisation.num_batches_tracked",
}
NAMES = ("weight", "bias")
READOUT = {"enc1": "1", "enc2": "3", "out": "5"}
TOLERANCE = {
    torch.float64: {"forward": 1e-10, "loss": 1e-10, "gradient": 1e-10, "after": 1e-10},
    torch.float32: {"forward": 5e-6, "loss": 5e-6, "gradient": 1e-6, "after": 1e-5},
}
PRECISIONS = [torch.float64, torch.float32]
State = dict[str, torch.Tensor]


def early(arrays: dict[str, np.ndarray], prefix: str) -> State:
    """Arrays ``<prefix>.conv<i>.<array>`` under the names of the early areas."""
    found = {}
    for key in arrays:
        *before, layer, array = ("", *key.split("."))
        if ".".join(before[1:]) == prefix and layer.startswith("conv"):
            found[f"early_{layer[4:]}.{PARTS[array]}"] = torch.from_numpy(np.array(arrays[key]))
    return found


def dense(arrays: dict[str, np.ndarray], prefix: str) -> State:
    """Arrays of the dense layers under the names of the temporary readout."""
    pairs = [
        (f"{prefix}.{old}.{short}", f"{new}.{long}")
        for old, new in READOUT.items()
        for short, long in (("W", "weight"), ("b", "bias"))
    ]
    return {new: torch.from_numpy(arrays[old]) for old, new in pairs if old in arrays}


def grown(state: State, dtype: torch.dtype, critical_period: str = "open") -> EarlyAreas:
    areas = EarlyAreas([state[f"early_{i}.synapses.weight"].shape[0] for i in range(1, 6)]).double()
    areas.load_state_dict(state)
    areas.critical_period = critical_period
    return areas.to(dtype)


def image(array: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    return torch.from_numpy(array).to(dtype)


def test_light_is_that_of_the_paper() -> None:
    arrays = read("10b_preprocessing")
    raw = torch.from_numpy(np.array(arrays["cifar.raw"])).permute(2, 0, 1)
    for name in ("cifar10", "cifar100"):
        closest(adapt(raw.double() / 255, LIGHT[name]), arrays[f"{name}.input"], name, 1e-14)
        seen = adapt(raw.to(torch.uint8), LIGHT[name])
        assert seen.dtype == torch.float32
        closest(seen, arrays[f"{name}.input"], name, 5e-7)


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize("mode", ["eval", "train", "closed"])
def test_activity_and_statistics(mode: str, dtype: torch.dtype) -> None:
    arrays, tolerance = read("11_conv"), TOLERANCE[dtype]["forward"]
    before = early(arrays, "conv.param")
    areas = grown(before, dtype, "closed" if mode == "closed" else "open").train(mode != "eval")
    evoked = areas(image(arrays["conv.x"], dtype))
    kind = "train" if mode == "train" else "eval"
    for i in range(1, 5):
        closest(evoked[f"early_{i}"], arrays[f"conv.{kind}.act{i}"], f"area {i}", tolerance)
    closest(evoked["early_5"], arrays[f"conv.{kind}.out"], "features", tolerance)
    after = areas.state_dict()
    statistics = early(arrays, "conv.train.bn_after")
    assert len(statistics) == 12
    for name, value in statistics.items():
        closest(after[name], (value if mode == "train" else before[name]).double().numpy(), name, tolerance)
    higher = areas(evoked["early_2"], start="early_2", stop="early_4")
    assert tuple(higher) == ("early_2", "early_3", "early_4")
    if mode != "train":
        assert torch.equal(higher["early_4"], evoked["early_4"])


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
def test_weight_update_of_open_areas(dtype: torch.dtype) -> None:
    arrays, tolerance = read("11b_conv_training"), TOLERANCE[dtype]
    areas = grown(early(arrays, "cls.param"), dtype).train()
    readout = TemporaryReadout(64, (6, 6), 6).double()
    readout.load_state_dict(dense(arrays, "cls.param"))
    readout.to(dtype)
    loss = {}
    for name in ("cur", "rep"):  # one pass each: the batch is what normalisation sees
        logits = readout(areas(image(arrays[f"x_{name}"], dtype))["early_5"])
        loss[name] = torch.nn.functional.cross_entropy(logits, torch.from_numpy(arrays[f"y_{name}"]))
        closest(loss[name], arrays[f"cls.loss.{name}_class"], name, tolerance["loss"])
    optimiser = adam(areas, readout, 0.01)
    (loss["cur"] / 3 + loss["rep"] * 2 / 3).backward()
    gradients = {**early(arrays, "cls.grad"), **dense(arrays, "cls.grad")}
    named = dict([*areas.named_parameters(), *readout.named_parameters()])
    assert gradients.keys() == named.keys()
    for name, value in gradients.items():
        gradient = named[name].grad
        assert gradient is not None
        closest(gradient, value.numpy(), name, tolerance["gradient"])
    optimiser.step()
    after = {**areas.state_dict(), **readout.state_dict()}
    for name, value in {**early(arrays, "cls.after"), **dense(arrays, "cls.after")}.items():
        undefined = name.endswith("synapses.bias") and "early_5" not in name  # no gradient but rounding
        if not undefined or dtype == torch.float64:
            closest(after[name], value.double().numpy(), name, 1e-8 if undefined else tolerance["after"])
    if dtype == torch.float64:
        areas.eval()
        logits = readout(areas(image(arrays["x_cur"], dtype))["early_5"])
        closest(logits, arrays["cls.eval_logits_after"], "decisions after", 1e-8)


def test_a_step_of_development_is_a_step_of_the_paper() -> None:
    """``learn`` does what the file's step does where there is no replay: Adam on the mean cross-entropy."""
    arrays = read("11b_conv_training")
    areas = grown(early(arrays, "cls.param"), torch.float64).train()
    readout = TemporaryReadout(64, (6, 6), 6).double()
    readout.load_state_dict(dense(arrays, "cls.param"))
    other_areas, other_readout = copy.deepcopy(areas), copy.deepcopy(readout)
    x, y = image(arrays["x_cur"], torch.float64), torch.from_numpy(arrays["y_cur"])
    loss, _right = learn(areas, readout, adam(areas, readout, 0.01), x, y)
    closest(loss, arrays["cls.loss.cur_class"], "loss", 1e-10)
    logits = other_readout(other_areas(x)["early_5"])
    synapses = [*other_areas.parameters(), *other_readout.parameters()]
    gradients = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, y), synapses)
    for p, q, gradient in zip([*areas.parameters(), *readout.parameters()], synapses, gradients, strict=True):
        if gradient.abs().max() > 1e-12:  # the first step of Adam: 0.01 g / (|g| + 1e-8)
            closest(p, (q - 0.01 * gradient / (gradient.abs() + 1e-8)).detach().numpy(), "step", 1e-10)


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize("mode", ["eval", "train", "closed"])
def test_a_visual_cortex_shows_the_same_activity(mode: str, dtype: torch.dtype) -> None:
    """As one of two animals that are computed together."""
    arrays, tolerance = read("11_conv"), TOLERANCE[dtype]["forward"]
    before = early(arrays, "conv.param")
    areas = grown(before, dtype, "closed" if mode == "closed" else "open")
    cortex = VisualCortex(areas, (6, 6), "early_5").to(dtype).train(mode != "eval")
    plastic, fixed = torch.func.stack_module_state([cortex, copy.deepcopy(cortex)])
    values = {name: value.detach() for name, value in {**plastic, **fixed}.items()}
    seen = image(arrays["conv.x"], dtype).expand(2, -1, -1, -1, -1)
    evoked = torch.func.vmap(lambda own, x: torch.func.functional_call(cortex, own, (x,)))(values, seen)
    kind = "train" if mode == "train" else "eval"
    for area, name in {**{f"early_{i}": f"act{i}" for i in range(1, 5)}, "early_5": "out"}.items():
        for activity in evoked[area]:
            closest(activity, arrays[f"conv.{kind}.{name}"].reshape(2, -1), area, tolerance)
    for name, value in early(arrays, "conv.train.bn_after").items():
        for after in values[f"early.{name}"]:
            closest(after, (value if mode == "train" else before[name]).double().numpy(), name, tolerance)


def test_decisions_from_a_visual_cortex() -> None:
    arrays = read("11b_conv_training")
    cortex = VisualCortex(grown(early(arrays, "cls.after"), torch.float64), (6, 6), "early_5").double().eval()
    for area, layer in (("association_1", "enc1"), ("association_2", "enc2")):
        values = {long: torch.from_numpy(arrays[f"cls.after.{layer}.{p}"]) for p, long in zip("Wb", NAMES, strict=True)}
        cortex.get_submodule(area).load_state_dict(values)
    top = cortex(image(arrays["x_cur"], torch.float64))["association_2"]
    weight, bias = (torch.from_numpy(arrays[f"cls.after.out.{part}"]) for part in "Wb")
    closest(top @ weight.T + bias, arrays["cls.eval_logits_after"], "decisions", 1e-10)


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
def test_closed_areas_give_the_same_activity_and_never_learn(dtype: torch.dtype) -> None:
    arrays, tolerance = read("11b_conv_training"), TOLERANCE[dtype]["forward"]
    areas = grown(early(arrays, "int.param"), dtype, "closed")
    whole = torch.nn.ModuleDict({"early": areas, "higher": torch.nn.Linear(64, 6, dtype=dtype)}).train()
    activity = areas(image(arrays["x_cur"], dtype))["early_5"].flatten(1)
    closest(activity, arrays["int.features_cur"], "features", tolerance)
    whole["higher"](activity).sum().backward()
    assert all(p.grad is None for p in areas.parameters())
    assert not [key for key in arrays if key.startswith("int.grad.conv")]
    for name, value in early(arrays, "int.after").items():
        closest(areas.state_dict()[name], value.double().numpy(), name, 1e-7 if dtype == torch.float32 else 0.0)


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
def test_codes_of_a_standalone_hippocampus_on_top(dtype: torch.dtype) -> None:
    arrays, tolerance = read("11b_conv_training"), TOLERANCE[dtype]["forward"]
    areas = grown(early(arrays, "vae.param"), dtype).train()
    activity = areas(image(arrays["x_cur"], dtype))["early_5"].flatten(1).double()
    for layer in ("enc1", "enc2"):
        weight, bias = (torch.from_numpy(arrays[f"vae.param.{layer}.{part}"]) for part in "Wb")
        activity = torch.relu(activity @ weight.T + bias)
    mean = activity @ torch.from_numpy(arrays["vae.param.mu.W"]).T + torch.from_numpy(arrays["vae.param.mu.b"])
    closest(mean, arrays["vae.fwd.cur.mu"], "mean", tolerance)
    closest(activity @ torch.from_numpy(arrays["vae.param.logvar.W"]).T, arrays["vae.fwd.cur.logvar"], "v", tolerance)


def u(n: int, s: int) -> torch.Tensor:
    """The file's exact pseudo-random numbers in [0, 1]."""
    q = torch.arange(n, dtype=torch.int64)
    return ((13 * q**2 + 7919 * q + 131 * s) % 1009).double() / 1008


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
def test_full_size(dtype: torch.dtype) -> None:
    arrays = read("11c_conv_fullsize")
    areas = EarlyAreas().double()
    state = areas.state_dict()
    for layer in range(1, 6):
        for part, make in (
            ("W", lambda n, s, f: math.sqrt(6 / f) * (2 * u(n, s) - 1)),
            ("b", lambda n, s, f: 0.1 * (2 * u(n, s + 10) - 1)),
            ("gamma", lambda n, s, f: 0.8 + 0.4 * u(n, s + 20)),
            ("beta", lambda n, s, f: 0.1 * (2 * u(n, s + 30) - 1)),
            ("running_mean", lambda n, s, f: 0.1 * (2 * u(n, s + 40) - 1)),
            ("running_var", lambda n, s, f: 0.5 + u(n, s + 50)),
        ):
            name = f"early_{layer}.{PARTS[part]}"
            if name in state:
                fan_in = 9 * areas.shapes[areas.areas[layer - 1]][0]
                state[name].copy_(make(state[name].numel(), layer, fan_in).view(state[name].shape))
    evoked = areas.to(dtype).eval()((4 * u(6144, 60) - 2).view(2, 3, 32, 32).to(dtype))
    tolerance = TOLERANCE[dtype]["forward"]
    closest(evoked["early_5"], arrays["conv.out"], "features", tolerance)
    for layer in range(1, 5):
        closest(evoked[f"early_{layer}"].mean((0, 2, 3)), arrays[f"conv.act{layer}_mean"], f"area {layer}", tolerance)
    parameters = sum(p.numel() for p in areas.parameters())
    assert parameters == arrays["conv.n_params"]
    assert sum(value.numel() for value in state.values()) == arrays["conv.n_state_numbers"]
    assert len(state) == arrays["conv.n_state_arrays"]
    readout = TemporaryReadout(areas.sizes["early_5"], (2000, 2000), 100)
    assert parameters + sum(p.numel() for p in readout.parameters()) == arrays["count.cifar_classifier"]
