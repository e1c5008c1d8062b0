"""Class orders, gate patterns, presentation of stimuli, accuracy and its error (files 10, 10b and 12)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from oracle import closest, protocol, read

from analysis.comparison import summarise
from analysis.forgetting import average_accuracy, final_accuracy, retention_matrix
from replaysim import rng
from replaysim.brain import Brain
from replaysim.brains import brain_inspired
from replaysim.experience import Presentation
from replaysim.gating import Gating
from replaysim.observation import accuracy
from replaysim.protocol import ANSWERS, SplitProtocol
from replaysim.stimuli import from_arrays

SEEDS = read("10_seeds")["seeds"].tolist()


def split(classes: int, contexts: int) -> SplitProtocol:
    labels = np.arange(classes).repeat(2)
    stimuli = np.zeros((len(labels), 28, 28), dtype=np.uint8)
    return SplitProtocol(stimuli, labels, contexts, test_stimuli=stimuli, test_labels=labels)


@pytest.mark.parametrize(("name", "classes", "contexts"), [("mnist", 10, 5), ("cifar", 100, 10)])
def test_class_orders(name: str, classes: int, contexts: int) -> None:
    arrays = read("10_seeds")
    own = split(classes, contexts)
    for row, seed in enumerate(SEEDS):
        curriculum = own.curriculum(seed)
        order = curriculum.class_identity
        assert order[arrays[f"{name}.perm"][row]].tolist() == list(range(classes)), "position of every original class"
        per_context = order.reshape(contexts, -1)
        np.testing.assert_array_equal(np.sort(per_context, axis=1), arrays[f"{name}.task_classes"][row])
        for context, trained in enumerate(curriculum.train):
            met = np.unique(own.stimuli.train_label[trained])
            np.testing.assert_array_equal(met, arrays[f"{name}.task_classes"][row, context])


def test_small_seeds_mean_nothing_special() -> None:
    """Published seeds below 10 keep the natural order; here they are animals like all others."""
    orders = {tuple(split(10, 5).curriculum(seed).class_identity.tolist()) for seed in range(10)}
    assert len(orders) == 10 and tuple(range(10)) not in orders


def compare_gates(patterns: list[np.ndarray], name: str, row: int) -> None:
    arrays = read("10_seeds")
    for layer, pattern in enumerate(patterns):
        per_gate = pattern.mean(axis=1)
        measured = (per_gate.mean(), per_gate.min(), per_gate.max())
        for kind, value in zip(("fraction", "min", "max"), measured, strict=True):
            closest(torch.tensor(value), np.asarray(arrays[f"{name}.open_{kind}"][row, layer]), f"{name} open {kind}")
        np.testing.assert_array_equal(pattern[0, :20], arrays[f"{name}.context0_first20"][row, layer])
        if SEEDS[row] == 12:
            packed = arrays[f"{name}.seed12.dec{layer + 1}_packed"]
            np.testing.assert_array_equal(np.packbits(pattern, axis=1), packed)


def test_gates_of_grown_brains() -> None:
    own = split(10, 5)
    plan = brain_inspired(own, units=(400, 400))
    for row, seed in enumerate(SEEDS):
        stream = rng.published(seed)
        own.curriculum(seed, stream)
        grown = plan.grow(seed, stream)
        assert isinstance(grown, Brain) and grown.gates is not None
        compare_gates([grown.gates.get_buffer(f"layer_{i}").numpy() for i in (1, 2)], "mnist.X80", row)


@pytest.mark.parametrize(("name", "closed"), [("cifar.X70", 0.7), ("cifar.X60", 0.6)])
def test_gates_of_many_classes(name: str, closed: float) -> None:
    for row, seed in enumerate(SEEDS):
        stream = rng.published(seed)
        split(100, 10).curriculum(seed, stream)
        compare_gates(Gating(closed).draw(100, (2000, 2000), stream), name, row)


def test_presentation() -> None:
    arrays = read("10b_preprocessing")
    image = arrays["mnist.raw"][None].repeat(2, axis=0)
    stimuli = from_arrays(image, [0, 1], image, [0, 1], name="one image")
    shown = Presentation(torch.from_numpy(stimuli.train), stimuli.scale, torch.float64).show(torch.tensor([0]))
    closest(shown.flatten(), arrays["mnist.split_input"], "presented stimulus")


class Readout:
    """Stands for a cohort of one animal whose readout is known: the index of a stimulus is all that it sees."""

    size = 1

    def __init__(self, logits: np.ndarray) -> None:
        self.logits = torch.from_numpy(logits)

    def perceive(
        self, stimuli: torch.Tensor, wanted: tuple[str, ...], **_where: object
    ) -> list[dict[str, torch.Tensor]]:
        assert wanted == ("logits",)
        return [{"logits": self.logits[stimuli[:, 0].long()][None]}]


@pytest.mark.parametrize("scenario", ["task", "class", "domain"])
def test_accuracy(scenario: str) -> None:
    arrays = read("12_metrics")
    logits = np.concatenate([arrays[f"acc.logits_task{c}"] for c in (1, 2, 3)])
    labels = np.concatenate([arrays[f"acc.labels_task{c}"] for c in (1, 2, 3)])
    own = protocol(scenario)
    index = np.arange(len(logits), dtype=np.float32)[:, None]
    own = SplitProtocol(
        own.stimuli.train.astype(np.float32)[:, :1],
        own.stimuli.train_label,
        [[0, 1], [2, 3], [4, 5]],
        scenario,
        test_stimuli=index,
        test_labels=labels,
    )
    cohort = Readout(logits[:, :2] if scenario == "domain" else logits)
    presentation = Presentation(torch.from_numpy(index), 1.0, torch.float32)
    for learned in (1, 2, 3):
        kind = ANSWERS.index(own.rule)
        found = accuracy(cohort, presentation, own, [own.curriculum(0)], learned)[0, kind, :learned]  # type: ignore[arg-type]
        wanted = arrays[f"acc.{scenario}.per_task"][:learned, learned - 1]
        closest(torch.from_numpy(found), wanted, f"accuracy after {learned}", 1e-6)
        closest(torch.tensor(found.mean()), np.asarray(arrays[f"acc.{scenario}.average"][learned - 1]), "mean", 1e-6)
    matrix = [accuracy(cohort, presentation, own, [own.curriculum(0)], learned) for learned in range(4)]  # type: ignore[arg-type]
    measured = behaviour(np.stack(matrix, axis=2), scenario)
    closest(torch.tensor(average_accuracy(measured).values[0]), arrays[f"acc.{scenario}.average"], "averages", 1e-6)
    if scenario != "domain":
        final = retention_matrix(measured, use="final").values[0, -1]
        closest(torch.tensor(final), arrays[f"acc.{scenario}.final_per_task"], "accuracies at the end", 1e-6)
        closest(torch.tensor(final_accuracy(measured).values[0]), arrays[f"acc.{scenario}.final"], "reported", 1e-6)


def behaviour(matrix: np.ndarray, scenario: str) -> xr.Dataset:
    """A log's accuracies of one animal, (animal, answers, contexts_learned, context)."""
    counts = {"contexts_learned": np.arange(4), "context": np.arange(1, 4)}
    coords = {"animal": [0], "answers": list(ANSWERS), **counts}
    return xr.Dataset({"accuracy": (tuple(coords), matrix)}, coords, {"scenario": scenario})


def test_standard_error() -> None:
    arrays = read("12_metrics")
    found = summarise(xr.DataArray(arrays["sem.values"], dims="animal"))
    closest(torch.tensor(float(found["mean"]), dtype=torch.float64), arrays["sem.mean"], "mean")
    closest(torch.tensor(float(found["standard_error"]), dtype=torch.float64), arrays["sem.sem"], "standard error")
