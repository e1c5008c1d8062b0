"""Context-dependent gating of the cortex: patterns, activity, gradients and learning (files 09 and 10)."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from oracle import ANIMALS, TERMS, both, closest, protocol, read, synapses
from torch import nn
from torch.func import functional_call, stack_module_state, vmap

from replaysim.brain import BrainPlan
from replaysim.cohort import Cohort
from replaysim.context_gating import ContextGates, ContextGating
from replaysim.cortex import AbstractCortex, DenseCortex, DensePlan, check_cortex, gated
from replaysim.errors import SettingError
from replaysim.learning import COMPONENTS, Trials
from replaysim.rng import published

AREAS = {"enc1": "association_1", "enc2": "association_2"}
SLOPES = {0: "s1.grad", 2: "grad_last"}
"""Steps whose gradients the file has."""


class Animal(nn.Module):
    """Cortex, readout and the gates of the file."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.cortex = DenseCortex(16, (8, 8))
        self.readout = nn.Linear(8, 6)
        self.double().load_state_dict(synapses(arrays, "param"))
        self.gates = ContextGates({area: arrays["mask"][:, layer] for layer, area in enumerate(AREAS.values())})

    def forward(self, stimulus: torch.Tensor, context: torch.Tensor) -> dict[str, torch.Tensor]:
        evoked = self.cortex(stimulus, openness=self.gates(context))
        return {**evoked, "logits": self.readout(evoked["association_2"])}


# --- patterns


def test_patterns_of_the_published_simulations() -> None:
    arrays = read("10_seeds")
    stream = published(12)
    assert np.array_equal(stream.permutation(10), arrays["mnist.perm"][list(arrays["seeds"]).index(12)])
    areas = dict.fromkeys(AREAS.values(), 400)
    patterns = ContextGating(closed=0.9).draw(5, areas, stream)
    assert list(patterns) == list(areas)
    for layer, area in enumerate(areas):
        assert patterns[area].dtype == np.uint8 and (patterns[area].sum(1) == 40).all()
        wanted = np.unpackbits(arrays["mnist.xdg_X90.seed12_packed"][:, layer], axis=1)
        assert np.array_equal(patterns[area], wanted)
        for context, first in enumerate(arrays["mnist.xdg_X90.seed12_first10_gated"][:, layer]):
            assert not patterns[area][context, first].any()


def test_exactly_the_share_of_units_is_closed() -> None:
    arrays = read("09_xdg")
    patterns = ContextGating(closed=0.6).draw(3, {"a": 8, "b": 13}, published(0))
    assert ((patterns["a"] == 0).sum(1) == (arrays["mask"] == 0).sum(2).T).all()  # 4 of 8
    assert ((patterns["b"] == 0).sum(1) == 7).all()
    assert len({bytes(row) for row in patterns["b"]}) == 3


# --- activity


@pytest.mark.parametrize("context", [0, 1, 2])
def test_activity_in_every_context(context: int) -> None:
    arrays = read("09_xdg")
    animal, stimulus = Animal(arrays), torch.from_numpy(arrays["x"] / 255)
    evoked = animal(stimulus, torch.full((6,), context))
    for layer, (old, area) in enumerate(AREAS.items()):
        name = f"task{context + 1}.{old}"
        closest(evoked[area], arrays[name], name)
        below = evoked[animal.cortex.areas[layer]]
        drive = gated(animal.cortex.get_submodule(area), below, animal.gates(torch.full((6,), context))[area])
        closest(drive, arrays[f"{name}.pre"], f"{name}, before it is rectified")
        silenced = arrays["mask"][context, layer] == 0
        bias = torch.relu(animal.cortex.get_submodule(area).get_parameter("bias"))
        assert torch.equal(evoked[area][:, silenced], bias[silenced].expand(6, -1))
    closest(evoked["logits"], arrays[f"task{context + 1}.logits"], "logits")


def test_activity_without_gates() -> None:
    arrays = read("09_xdg")
    animal, stimulus = Animal(arrays), torch.from_numpy(arrays["x"] / 255)
    evoked = animal.cortex(stimulus)
    for old, area in AREAS.items():
        closest(evoked[area], arrays[f"nomask.{old}"], old)
    closest(animal.readout(evoked["association_2"]), arrays["nomask.logits"], "logits")
    opened = animal.cortex(stimulus, openness={area: torch.ones(6, 8) for area in AREAS.values()})
    for area in AREAS.values():
        assert torch.equal(animal.cortex(stimulus, openness={})[area], evoked[area])
        closest(opened[area], evoked[area].detach().numpy(), area, 1e-14)


def test_gates_apply_wherever_activity_starts() -> None:
    arrays = read("09_xdg")
    animal, stimulus = Animal(arrays), torch.from_numpy(arrays["x"] / 255)
    openness = animal.gates(torch.full((6,), 1))
    whole = animal.cortex(stimulus, openness=openness)
    higher = animal.cortex(whole["association_1"], start="association_1", openness=openness)
    assert torch.equal(higher["association_2"], whole["association_2"])
    assert torch.equal(higher["association_1"], whole["association_1"])
    assert tuple(animal.cortex(stimulus, stop="association_1", openness=openness)) == ("retina", "association_1")


def test_trials_of_different_contexts() -> None:
    arrays = read("09_xdg")
    animal, stimulus = Animal(arrays), torch.from_numpy(arrays["x"] / 255)
    context = torch.tensor([0, 2, 1, 1, 0, 2])
    mixed = animal(stimulus, context)["logits"]
    for trial, own in enumerate(context):
        closest(mixed[trial], arrays[f"task{own + 1}.logits"][trial], f"trial {trial}")


# --- learning


def test_learning_in_three_contexts() -> None:
    arrays = read("09_xdg")
    animal = Animal(arrays)
    adam = torch.optim.Adam(animal.parameters(), lr=0.02)
    for context in range(3):
        key = f"run.t{context + 1}"
        for step in range(3):
            stimulus, target = (torch.from_numpy(arrays[f"{key}.{name}"][step]) for name in ("x_cur", "y_cur"))
            logits = animal(stimulus, torch.full_like(target, context))["logits"]
            loss = nn.functional.cross_entropy(logits[:, 2 * context : 2 * context + 2], target)
            for name in ("total", "cur_class"):
                closest(loss, np.asarray(arrays[f"{key}.loss.{name}"][step]), f"{key} step {step} {name}")
            adam.zero_grad()
            loss.backward()
            if step in SLOPES:
                compare({name: p.grad for name, p in animal.named_parameters()}, arrays, f"{key}.{SLOPES[step]}")
            adam.step()
        compare(dict(animal.named_parameters()), arrays, f"{key}.end")


def test_a_cohort_learns_in_three_contexts() -> None:
    """The same through the engine, with the gates of the file in the place of those that an animal draws."""
    arrays, own = read("09_xdg"), protocol("task")
    plan = BrainPlan(DensePlan(16, (8, 8)), 16, answers=6, classes=6, contexts=3, context_gating=ContextGating(0.6))
    grown = plan.grow(12).double()
    masks = {f"context_gates.{area}": torch.from_numpy(arrays["mask"][:, i]) for i, area in enumerate(AREAS.values())}
    grown.load_state_dict(synapses(arrays, "param") | masks)
    cohort = Cohort([copy.deepcopy(grown) for _ in range(ANIMALS)], rate=0.02, dtype=torch.float64)
    for context in range(3):
        key = f"run.t{context + 1}"
        answers = torch.from_numpy(own.answers(own.rule, context, context + 1))[None]
        for step in range(3):
            label = both(arrays[f"{key}.y_cur"][step])
            nothing = torch.zeros_like(label)
            trials = Trials(both(arrays[f"{key}.x_cur"][step]), label + 2 * context, nothing, nothing + context)
            losses = cohort.learn(trials, answers, torch.zeros(ANIMALS, 0, 0, dtype=torch.float64))
            for a, loss in enumerate(losses):
                for name in ("total", "cur_class"):
                    wanted = np.asarray(arrays[f"{key}.loss.{name}"][step])
                    closest(loss[COMPONENTS.index(TERMS[name])], wanted, f"{key} step {step} {name}")
                if step in SLOPES:
                    slopes = {name: None if p.grad is None else p.grad[a] for name, p in cohort.synapses.items()}
                    compare(slopes, arrays, f"{key}.{SLOPES[step]}")
        for a in range(ANIMALS):
            compare({name: p[a] for name, p in cohort.synapses.items()}, arrays, f"{key}.end")


def compare(values: Mapping[str, torch.Tensor | None], arrays: dict[str, np.ndarray], prefix: str) -> None:
    wanted = synapses(arrays, prefix)
    assert len(wanted) == 6
    for name, value in wanted.items():
        found = values[name]
        assert found is not None
        closest(found, value.numpy(), f"{prefix} {name}")


def test_animals_with_gates_of_their_own() -> None:
    """Stacked synapses and gates under vmap give the activity of single animals."""
    arrays = read("09_xdg")
    animals = [Animal(arrays), Animal(arrays)]
    with torch.no_grad():
        for area, pattern in animals[1].gates.named_buffers():
            pattern.copy_(1 - pattern)
            animals[1].cortex.get_submodule(area).get_parameter("bias").mul_(2)
    stimulus = torch.from_numpy(np.stack((arrays["x"], arrays["x"][::-1])) / 255)
    context = torch.tensor([[0, 2, 1, 1, 0, 2], [1, 1, 2, 0, 0, 0]])
    plastic, fixed = stack_module_state(animals)
    template = copy.deepcopy(animals[0])

    def one(values: dict[str, torch.Tensor], *trials: torch.Tensor) -> dict[str, torch.Tensor]:
        return functional_call(template, values, trials)

    together = vmap(one)({**plastic, **fixed}, stimulus, context)
    for a, animal in enumerate(animals):
        for name, value in animal(stimulus[a], context[a]).items():
            closest(together[name][a], value.detach().numpy(), f"{name} of animal {a}", 1e-14)


def test_gates_are_part_of_the_saved_state_and_keep_the_precision() -> None:
    animal = Animal(read("09_xdg"))
    patterns = {name: value for name, value in animal.state_dict().items() if name.startswith("gates.")}
    assert sorted(patterns) == ["gates.association_1", "gates.association_2"]
    for dtype in (torch.float32, torch.float64):
        evoked = animal.to(dtype)(torch.zeros(3, 16, dtype=dtype), torch.tensor([0, 1, 2]))
        assert all(value.dtype == dtype for value in evoked.values())
        assert all(gate.dtype == torch.uint8 for gate in animal.gates.buffers())


# --- settings


class Odd(DenseCortex):
    """A cortex that says something else about its areas than they are."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(4, (3,))
        for name, value in attributes.items():
            setattr(self, name, value)


IMPOSSIBLE: list[tuple[Callable[[], Any], str]] = [
    (lambda: ContextGating(0), "ContextGating.closed: got 0, must be a number > 0 and < 1"),
    (lambda: ContextGating(1.0), "closed: got 1.0, must be a number > 0 and < 1"),
    (lambda: ContextGating(float("nan")), "closed: got nan, must be a number > 0 and < 1"),
    (
        lambda: ContextGating(0.3).draw(2, {"association_1": 40, "association_2": 3}, published(0)),
        "closed: got 0.3, must be at least 1/3 to silence any of the 3 units of association_2: raise `closed`",
    ),
    (lambda: ContextGating().draw(0, {"a": 40}, published(0)), "n_contexts: got 0, must be a whole number >= 1"),
    (lambda: ContextGating().draw(2, {}, published(0)), "units: got {}, must be the units of at least one area"),
    (lambda: ContextGates({"a": np.ones((2, 3)), "b": np.ones((3, 3))}), "must be (context, unit), equally many"),
    (lambda: ContextGates({"a": np.ones(3)}), "must be (context, unit), equally many"),
    (lambda: ContextGates({}), "must be (context, unit), equally many"),
    (lambda: ContextGates({"a": np.full((2, 3), 0.5)}), "patterns: got [0.5], must be 0 or 1 throughout a"),
    (
        lambda: DenseCortex(4, (3,))(torch.zeros(2, 4), openness={"retina": torch.zeros(2, 4)}),
        "DenseCortex.openness: got 'retina', must be one of 'association_1'",
    ),
    (lambda: check_cortex(Odd(gateable=("retina",)), 4), "Odd.gateable: got 'retina', must be one of 'association_1'"),
    (
        lambda: check_cortex(Odd(nonlinearities={"v1": "relu"}), 4),
        "nonlinearities: got 'v1', must be one of 'retina', 'association_1'",
    ),
    (
        lambda: check_cortex(Odd(nonlinearities={"association_1": "tanh"}), 4),
        "nonlinearities['association_1']: got 'tanh', must be one of 'none', 'relu'",
    ),
]


@pytest.mark.parametrize(("make", "sentence"), IMPOSSIBLE)
def test_impossible_settings(make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(SettingError, match=re.escape(sentence)):
        make()


def test_no_unit_is_lost_to_a_share_close_to_one() -> None:
    patterns = ContextGating(np.nextafter(1.0, 0.0)).draw(2, {"a": 2000}, published(0))
    assert (patterns["a"].sum(1) == 1).all()


def test_what_a_cortex_says_about_itself() -> None:
    assert (dict(AbstractCortex.nonlinearities), AbstractCortex.gateable) == ({}, ())
    cortex = DenseCortex(4, (3, 2))
    assert cortex.nonlinearities == {"retina": "none", "association_1": "relu", "association_2": "relu"}
    assert cortex.gateable == ("association_1", "association_2")
    check_cortex(cortex, 4)
