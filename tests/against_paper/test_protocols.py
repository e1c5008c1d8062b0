"""The paper's protocols by name: class orders, permutations, gates drawn after them, input (files 10 and 10b).

Archives hold the one image of file 10b, once for every class: nothing is downloaded.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from oracle import closest, read
from test_chance_and_measures import compare_gates

import replaysim as rs
from replaysim import rng
from replaysim.archives import SPECIFICATIONS
from replaysim.gating import Gating
from replaysim.retina import adapt

SEEDS = read("10_seeds")["seeds"].tolist()


@pytest.fixture(autouse=True)
def archives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data sets with one stimulus a class."""
    images = read("10b_preprocessing")
    for name, image in (("mnist", "mnist.raw"), ("cifar10", "cifar.raw"), ("cifar100", "cifar.raw")):
        n = SPECIFICATIONS[name].n_classes
        x, y = images[image][None].repeat(n, axis=0), np.arange(n)
        np.savez(tmp_path / f"{name}.npz", x_train=x, y_train=y, x_test=x, y_test=y, classes=y.astype(str))
    monkeypatch.setenv("REPLAYSIM_DATA", str(tmp_path))


def test_class_orders_of_cifar100() -> None:
    arrays, own = read("10_seeds"), rs.SplitCIFAR100()
    for row, seed in enumerate(SEEDS):
        curriculum = own.curriculum(seed)
        np.testing.assert_array_equal(curriculum.train_position, arrays["cifar.perm"][row])
        np.testing.assert_array_equal(curriculum.test_position, arrays["cifar.perm"][row])
        for context, wanted in enumerate(arrays["cifar.task_classes"][row]):  # stimulus i is that of class i
            np.testing.assert_array_equal(curriculum.train[context], wanted)
            np.testing.assert_array_equal(curriculum.test[context], wanted)
        probed = own.probe_context(curriculum, np.arange(100))
        np.testing.assert_array_equal(probed, arrays["cifar.perm"][row] // 10)


def test_permutations() -> None:
    arrays, own = read("10_seeds"), rs.PermutedMNIST()
    for row, seed in enumerate(SEEDS):
        permutation = own.curriculum(seed).permutation
        assert permutation is not None and permutation.shape == (100, 1024) and permutation.dtype == np.int64
        np.testing.assert_array_equal(permutation[:3, :10], arrays["permmnist.first10"][row])
        np.testing.assert_array_equal((permutation[:3] * np.arange(1, 1025)).sum(1), arrays["permmnist.checksum"][row])


def test_gates_of_contexts_follow_the_permutations() -> None:
    own = rs.PermutedMNIST()
    for row, seed in enumerate(SEEDS):
        stream = rng.published(seed)
        own.curriculum(seed, stream)
        patterns = Gating(0.8, "context").draw(own.n_contexts, (2000, 2000), stream)
        compare_gates(patterns, "permmnist.X80", row)


def test_input_of_split_mnist() -> None:
    stimuli = rs.SplitMNIST().stimuli
    shown = torch.from_numpy(stimuli.train[0].flatten() / stimuli.scale)
    closest(shown, read("10b_preprocessing")["mnist.split_input"], "presented stimulus")


def test_input_of_permuted_mnist() -> None:
    arrays, own = read("10b_preprocessing"), rs.PermutedMNIST()
    permutation = own.curriculum(12).permutation
    assert permutation is not None
    np.testing.assert_array_equal(permutation[0], arrays["mnist.perm"])
    for part in (own.stimuli.train, own.stimuli.test):
        shown = torch.from_numpy(part[0][permutation[0]] / own.stimuli.scale)
        closest(shown, arrays["mnist.perm_input"], "presented stimulus")


@pytest.mark.parametrize(("name", "protocol"), [("cifar10", rs.SplitCIFAR10), ("cifar100", rs.SplitCIFAR100)])
def test_input_of_photographs(name: str, protocol: type) -> None:
    stimuli = protocol().stimuli
    for part in (stimuli.train, stimuli.test):
        shown = adapt(torch.from_numpy(part).double() / stimuli.scale, stimuli.light)
        closest(shown[3], read("10b_preprocessing")[f"{name}.input"], "presented photograph")
    assert protocol().n_contexts == {"cifar10": 5, "cifar100": 10}[name]
