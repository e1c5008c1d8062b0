"""Descending areas: forward passes, statistics, gradients and a weight update (files 11, 11b and 11c).

The arrays of the descending areas lie in files of their own, beside those of the early areas; in the folder that
``REPLAYSIM_ORACLE`` names, they may also lie together.
"""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from oracle import ARRAYS, FOLDER, closest, read
from test_early_areas import PARTS, PRECISIONS, TOLERANCE, early, image, u
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from replaysim.descending import DescendingAreas
from replaysim.early_areas import EarlyAreas
from replaysim.errors import DataError, SettingError
from replaysim.feedback import Feedback

SMALL = ((32, 2, 2), (16, 4, 4), (8, 8, 8), (4, 16, 16), (2, 32, 32), (3, 32, 32))
SMALLER = ((16, 2, 2), (8, 4, 4), (4, 8, 8), (2, 16, 16), (1, 32, 32), (3, 32, 32))
FULL = ((256, 2, 2), (128, 4, 4), (64, 8, 8), (32, 16, 16), (16, 32, 32), (3, 32, 32))
DENSE = {"enc1": "0", "enc2": "2", "mu": "mean", "logvar": "log_variance"}
State = dict[str, torch.Tensor]


def both_files(name: str) -> dict[str, np.ndarray]:
    """Arrays of early and of descending areas."""
    other = name.replace("conv", "deconv")
    return read(name, *([other] if (FOLDER / f"{other}.npz").exists() else []))


def descending(arrays: dict[str, np.ndarray], prefix: str) -> State:
    """Arrays ``<prefix>.deconv<i>.<array>`` under the names of the descending areas."""
    found = {}
    for key in arrays:
        if key.startswith(f"{prefix}.deconv"):
            layer, array = key.removeprefix(f"{prefix}.deconv").split(".")
            found[f"area_{layer}.{PARTS[array]}"] = torch.from_numpy(np.array(arrays[key]))
    return found


def grown(arrays: dict[str, np.ndarray], dtype: torch.dtype = torch.float64) -> DescendingAreas:
    areas = DescendingAreas(SMALL).double()
    areas.load_state_dict(descending(arrays, "deconv.param"))
    return areas.to(dtype)


# --- the areas alone


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_activity_and_statistics(mode: str, dtype: torch.dtype) -> None:
    arrays, tolerance = both_files("11_conv"), TOLERANCE[dtype]["forward"]
    before = descending(arrays, "deconv.param")
    areas = grown(arrays, dtype).train(mode == "train")
    evoked: State = {}
    for name, area in areas.named_children():
        area.register_forward_hook(lambda _area, _given, out, name=name: evoked.update({name: out}))
    out = areas(image(arrays["deconv.x"], dtype))
    assert out.shape == (2, 3 * 32 * 32)
    closest(out.view(2, 3, 32, 32), arrays[f"deconv.{mode}.out"], "images", tolerance)
    for i in (1, 2, 3):
        if mode == "eval":
            closest(evoked[f"area_{i}"], arrays[f"deconv.eval.act{i}"], f"area {i}", tolerance)
    after, statistics = areas.state_dict(), descending(arrays, "deconv.train.bn_after")
    assert len(statistics) == 12
    for name, value in statistics.items():
        closest(after[name], (value if mode == "train" else before[name]).double().numpy(), name, tolerance)


@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
def test_full_size(dtype: torch.dtype) -> None:
    arrays = both_files("11c_conv_fullsize")
    areas = DescendingAreas(FULL).double()
    state = areas.state_dict()
    for layer, (above, _below) in enumerate(pairwise(FULL), 1):
        size = math.sqrt(6 / ((9 if layer == 5 else 4) * above[0]))
        for part, value in (
            ("W", lambda n, s, size=size: size * (2 * u(n, s) - 1)),
            ("b", lambda n, s: 0.1 * (2 * u(n, s + 10) - 1)),
            ("gamma", lambda n, s: 0.8 + 0.4 * u(n, s + 20)),
            ("beta", lambda n, s: 0.1 * (2 * u(n, s + 30) - 1)),
            ("running_mean", lambda n, s: 0.1 * (2 * u(n, s + 40) - 1)),
            ("running_var", lambda n, s: 0.5 + u(n, s + 50)),
        ):
            name = f"area_{layer}.{PARTS[part]}"
            if name in state:
                state[name].copy_(value(state[name].numel(), layer).view(state[name].shape))
    tolerance = TOLERANCE[dtype]["forward"]
    evoked = torch.relu(2 * u(2048, 70) - 1).view(2, 1024).to(dtype)
    areas.to(dtype).eval()
    closest(areas(evoked).view(2, 3, 32, 32), arrays["deconv.out"], "images", tolerance)
    evoked = evoked.view(2, *FULL[0])
    for layer in range(1, 5):
        evoked = areas.get_submodule(f"area_{layer}")(evoked)
        closest(evoked.mean((0, 2, 3)), arrays[f"deconv.act{layer}_mean"], f"area {layer}", tolerance)
    assert sum(p.numel() for p in areas.parameters()) == arrays["deconv.n_params"]


# --- in a generator of images that learns


class Generator(nn.Module):
    """Early areas, two dense layers, a code with standard prior, feedback down to the image."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.early = EarlyAreas([16 // 2**i for i in range(4, -1, -1)])
        self.dense = nn.ModuleDict(
            {
                "0": nn.Linear(64, 6),
                "2": nn.Linear(6, 6),
                "mean": nn.Linear(6, 3),
                "log_variance": nn.Linear(6, 3, bias=False),
            }
        )
        self.feedback = Feedback(3, (6, 6), 64, "gaussian", descending=DescendingAreas(SMALLER))
        self.double().load_state_dict(self.named(arrays, "vae.param"))

    def named(self, arrays: dict[str, np.ndarray], prefix: str) -> State:
        """Arrays of the file under the names of the parts."""
        found = {f"early.{name}": value for name, value in early(arrays, prefix).items()}
        found |= {f"feedback.descending.{name}": value for name, value in descending(arrays, prefix).items()}
        layers = {old: f"dense.{new}" for old, new in DENSE.items()}
        layers |= {f"dec{i}": f"feedback.layer_{i}" for i in (1, 2, 3)}
        for old, new in layers.items():
            for part in "Wb":
                if f"{prefix}.{old}.{part}" in arrays:
                    found[f"{new}.{ARRAYS[part]}"] = torch.from_numpy(arrays[f"{prefix}.{old}.{part}"])
        return found

    def forward(self, images: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Drive of the retina, mean and log-variance of the code."""
        activity = self.early(images)["early_5"].flatten(1)
        for layer in ("0", "2"):
            activity = torch.relu(self.dense[layer](activity))
        mean, log_variance = self.dense["mean"](activity), self.dense["log_variance"](activity)
        return self.feedback(mean + (log_variance / 2).exp() * noise), mean, log_variance

    def cost(self, images: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Reconstruction error and code divergence, means over trials."""
        drive, mean, log_variance = self(images, noise)
        gap = images.flatten(1) - self.feedback.activity(drive)
        divergence = -(1 + log_variance - mean.square() - log_variance.exp()).sum(1) / 2 / 3072
        return gap.square().mean(1).mean() / 2, divergence.mean()


def undefined(name: str, last: tuple[str, ...]) -> bool:
    """Biases before a normalisation have no gradient but rounding, which Adam blows up."""
    return name.endswith("synapses.bias") and not any(part in name for part in last)


def test_weight_update_of_a_generator() -> None:
    arrays = both_files("11b_conv_training")
    brain = Generator(arrays).train()
    drive, mean, log_variance = copy.deepcopy(brain)(
        torch.from_numpy(arrays["x_cur"]), torch.from_numpy(arrays["eps_cur"])
    )
    closest(drive.view(4, 3, 32, 32), arrays["vae.fwd.cur.recon"], "images")
    closest(mean, arrays["vae.fwd.cur.mu"], "mean")
    closest(log_variance, arrays["vae.fwd.cur.logvar"], "log-variance")

    adam = torch.optim.Adam(brain.parameters(), lr=0.01)
    total = torch.zeros((), dtype=torch.float64)
    for name, share in (("cur", 1 / 3), ("rep", 2 / 3)):  # one pass each: the batch is what normalisation sees
        error, divergence = brain.cost(*(torch.from_numpy(arrays[f"{given}_{name}"]) for given in ("x", "eps")))
        closest(error, arrays[f"vae.loss.{name}_recon"], f"{name} reconstruction")
        closest(divergence, arrays[f"vae.loss.{name}_variat"], f"{name} divergence")
        total = total + share * (error + divergence)
    closest(total, arrays["vae.loss.total"], "total")
    total.backward()
    gradients, named = brain.named(arrays, "vae.grad"), dict(brain.named_parameters())
    assert gradients.keys() == named.keys()
    for name, value in gradients.items():
        gradient = named[name].grad
        assert gradient is not None
        closest(gradient, value.numpy(), name)

    adam.step()
    state, after = brain.state_dict(), brain.named(arrays, "vae.after")
    assert sum("descending" in name for name in after) == 4 * 7 + 2
    for name, value in after.items():
        tolerance = 1e-8 if undefined(name, ("early_5", "area_5")) else 1e-10
        closest(state[name], value.double().numpy(), name, tolerance)


def test_images_recalled_after_learning() -> None:
    """What the earlier self dreams: a frozen copy in evaluation mode."""
    arrays = both_files("11b_conv_training")
    brain = Generator(arrays).train()
    brain.load_state_dict(brain.named(arrays, "vae.after"), strict=False)
    earlier = copy.deepcopy(brain).eval()
    code = torch.from_numpy(arrays["eps_cur"])
    statistics = {name: value.clone() for name, value in earlier.named_buffers()}
    closest(earlier.feedback(code).view(4, 3, 32, 32), arrays["vae.sample"], "images", 1e-8)
    closest(earlier.feedback(code[:1]), earlier.feedback(code)[:1].detach().numpy(), "whatever else is recalled", 1e-13)
    for name, value in earlier.named_buffers():
        assert torch.equal(value, statistics[name]), name
    brain.feedback(code)
    assert not torch.equal(
        brain.state_dict()["feedback.descending.area_1.normalisation.running_mean"],
        statistics["feedback.descending.area_1.normalisation.running_mean"],
    )


# --- many animals as one computation


@pytest.mark.parametrize("training", [True, False])
def test_animals_keep_their_own_statistics(training: bool) -> None:
    """Stacked feedback under vmap computes, learns and adapts as a loop over single animals."""
    chance = torch.Generator().manual_seed(0)
    shapes = ((8, 2, 2), (4, 4, 4), (3, 8, 8), (3, 8, 8))
    animals = [Feedback(5, (7, 6), 32, "gaussian", descending=DescendingAreas(shapes)).double() for _ in range(2)]
    codes = torch.randn(2, 3, 4, 5, generator=chance, dtype=torch.float64)  # (animal, pass, trial, code_unit)
    gates = [torch.rand(2, 4, n, generator=chance, dtype=torch.float64).round() for n in (7, 6)]
    for animal in animals:
        animal.train(training)
    template = copy.deepcopy(animals[0])
    plastic, fixed = stack_module_state(animals)
    plastic = {name: value.detach().clone().requires_grad_() for name, value in plastic.items()}
    fixed = {name: value.clone() for name, value in fixed.items()}

    def one(values: State, code: torch.Tensor, gate: list[torch.Tensor]) -> torch.Tensor:
        return functional_call(template, values, (code, gate))

    for step in range(3):  # several passes before one update, as for current and replayed trials
        together = vmap(one)({**plastic, **fixed}, codes[:, step], gates)
        alone = [animal(codes[a, step], [gate[a] for gate in gates]) for a, animal in enumerate(animals)]
        closest(together, torch.stack(alone).detach().numpy(), f"drive of pass {step}")
    together.square().sum().backward()
    torch.stack(alone).square().sum().backward()
    for a, animal in enumerate(animals):
        for name, value in animal.named_parameters():
            slope, wanted = plastic[name].grad, value.grad
            assert slope is not None and wanted is not None
            closest(slope[a], wanted.numpy(), f"gradient of {name}", 1e-9)
        for name, buffer in animal.named_buffers():
            closest(fixed[name][a], buffer.double().numpy(), name, 1e-14)
            if name.endswith("num_batches_tracked"):
                assert buffer == (3 if training else 0)
    mean = fixed["descending.area_1.normalisation.running_mean"]
    assert torch.equal(mean[0], mean[1]) != training


# --- settings


def test_dense_feedback_is_as_it_was() -> None:
    torch.manual_seed(0)
    dense = Feedback(5, (7, 6), 9, "gaussian")
    code, gates = torch.randn(4, 5), [torch.rand(4, 7), torch.rand(4, 6)]
    a = torch.relu(gates[0] * dense.get_submodule("layer_1")(code))
    a = torch.relu(gates[1] * dense.get_submodule("layer_2")(a))
    drive = dense.get_submodule("layer_3")(a)
    assert torch.equal(dense(code, gates), drive) and torch.equal(dense.activity(drive), drive)
    assert [name for name, _ in dense.named_parameters()] == [
        f"layer_{i}.{part}" for i in (1, 2, 3) for part in ("weight", "bias")
    ]
    rectified = Feedback(5, (7, 6), 9, "gaussian", nonlinearity="relu")
    assert torch.equal(rectified.activity(drive), torch.relu(drive))
    for nonlinearity in ("none", "relu"):
        assert torch.equal(Feedback(5, (), 9, "bernoulli", nonlinearity).activity(drive), torch.sigmoid(drive))


def test_gains_of_the_time_of_the_paper() -> None:
    gains = [
        p for name, p in DescendingAreas(SMALL, gain="uniform").named_parameters() if "normalisation.weight" in name
    ]
    assert len(gains) == 4 and all(p.min() >= 0 and p.max() < 1 for p in gains)
    assert all((p == 1).all() for name, p in DescendingAreas(SMALL).named_parameters() if "normalisation.w" in name)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: DescendingAreas([(8, 2, 2)]), "shapes: .* must be the shapes of at least two areas"),
        (lambda: DescendingAreas([(8, 2, 2), (4, 4)]), r"shapes: got \(4, 4\), must be \(channel, row, column\)"),
        (lambda: DescendingAreas([(8, 2, 2), (0, 4, 4)]), "shapes: got 0, must be a whole number >= 1"),
        (
            lambda: DescendingAreas([(8, 2, 2), (4, 3, 3)]),
            r"got \(4, 3, 3\), must be 2 x 2 or 4 x 4 places .*divisible",
        ),
        (lambda: DescendingAreas([(8, 2, 2), (4, 2, 4)]), r"got \(4, 2, 4\), must be 2 x 2 or 4 x 4 places"),
        (lambda: DescendingAreas(SMALL, gain="loud"), "gain: got 'loud', must be one of 'ones', 'uniform'"),
        (lambda: Feedback(5, (7,), 9, "gaussian", "tanh"), "nonlinearity: got 'tanh', must be one of 'none', 'relu'"),
        (
            lambda: Feedback(5, (7,), 9, "gaussian", descending=DescendingAreas(SMALL)),
            "outputs: got 9, must be 128, where the descending areas start",
        ),
    ],
)
def test_impossible_settings(make: object, sentence: str) -> None:
    assert callable(make)
    with pytest.raises(SettingError, match=sentence):
        make()


def test_activity_that_does_not_fit() -> None:
    with pytest.raises(DataError, match=r"has shape \(2, 127\), must be \(trial, 32, 2, 2\) or \(trial, 128\)"):
        DescendingAreas(SMALL)(torch.zeros(2, 127))
