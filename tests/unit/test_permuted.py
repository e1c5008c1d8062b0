"""Permuted protocols: what is refused, what is stored once, where probe stimuli are presented; light of photographs."""

from __future__ import annotations

import dataclasses
import gc
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import replaysim as rs
from replaysim import permuted
from replaysim.errors import DataError, SettingError
from replaysim.permuted import PaddedStimuli
from replaysim.protocol import check_bernoulli
from replaysim.retina import LIGHT, adapt
from replaysim.stimuli import StimulusSet, from_arrays

LABELS = np.arange(60) % 6
IMAGES = np.random.default_rng(0).integers(1, 256, (60, 5, 5)).astype(np.uint8)


def images() -> StimulusSet:
    return from_arrays(IMAGES, LABELS, IMAGES[:30], LABELS[:30], name="images")


def photographs(**changes: Any) -> StimulusSet:
    shown = np.random.default_rng(1).integers(0, 256, (20, 3, 4, 4)).astype(np.uint8)
    label = np.arange(20) % 2
    given = {"name": "photographs", "train": shown, "train_label": label, "test": shown, "test_label": label}
    return StimulusSet(**{**given, "classes": ("a", "b"), "scale": 255.0, "light": LIGHT["cifar10"], **changes})


# --- what is refused


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: rs.PermutedProtocol(images(), scenario="class"),
            SettingError,
            r"PermutedProtocol\.scenario: got 'class', must be 'domain': all contexts have the same classes",
        ),
        (lambda: rs.PermutedMNIST(scenario="task"), SettingError, r"PermutedMNIST\.scenario: got 'task', must be 'dom"),
        (lambda: rs.PermutedMNIST(0), SettingError, r"PermutedMNIST\.contexts: got 0, must be a whole number >= 1"),
        (lambda: rs.PermutedProtocol(images(), contexts=[[0, 1]]), SettingError, r"contexts: got \[\[0, 1\]\], must"),
        (lambda: rs.PermutedProtocol(images(), contexts=2.5), SettingError, r"contexts: got 2\.5, must be a whole"),
        (lambda: rs.PermutedProtocol(images(), pad=-1), SettingError, r"pad: got -1, must be a whole number >= 0"),
        (lambda: rs.PermutedProtocol(IMAGES), SettingError, r"labels: got None, must be one label per stimulus"),
        (lambda: rs.PermutedProtocol(images(), LABELS), SettingError, r"labels: .* a StimulusSet has its own labels"),
        (lambda: rs.PermutedProtocol(IMAGES, LABELS[:-1]), DataError, r"permuted_own: labels have shape \(59,\)"),
        (
            lambda: rs.PermutedProtocol(IMAGES[:, :4], LABELS),
            DataError,
            r"PermutedProtocol: permutations of non-square stimuli, .* 'permuted_own' have shape \(4, 5\), must be",
        ),
        (lambda: rs.PermutedProtocol(IMAGES.reshape(60, 25), LABELS), DataError, r"non-square .* shape \(25,\)"),
        (lambda: rs.PermutedProtocol(photographs()), DataError, r"non-square .* 'photographs' have shape \(3, 4, 4\)"),
        (
            lambda: rs.PermutedProtocol(rs.PermutedProtocol(images(), pad=1).stimuli, pad=2),
            SettingError,
            r"pad: got 2, must be 1: these stimuli have their margin already",
        ),
        (lambda: rs.PermutedProtocol(images()).answers("some", 0, 1), SettingError, r"PermutedProtocol\.answers\.kind"),
        (lambda: rs.AbstractProtocol(), TypeError, "abstract"),  # type: ignore[abstract]
    ],
)
def test_impossible_protocols_are_refused(make: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_no_data_are_fetched_for_an_impossible_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replaysim.permuted.load", lambda name: pytest.fail("fetched"))
    for settings in ({"n_contexts": 0}, {"scenario": "class"}):
        with pytest.raises(SettingError):
            rs.PermutedMNIST(**settings)


# --- what an animal meets


def test_the_margin_is_dark_and_types_stay() -> None:
    own = rs.PermutedProtocol(images(), contexts=3)
    assert own.stimuli.train.dtype == np.uint8 and own.stimuli.shape == (81,) and own.stimuli.image == (9, 9)
    seen = own.stimuli.train.reshape(60, 9, 9)
    np.testing.assert_array_equal(seen[:, 2:-2, 2:-2], IMAGES)
    assert seen.astype(int).sum() == IMAGES.astype(int).sum()
    assert (own.stimuli.name, own.stimuli.scale, own.stimuli.classes) == ("images", 255.0, tuple("012345"))
    floating = rs.PermutedProtocol(IMAGES / 256, LABELS, contexts=2, pad=1)
    assert floating.stimuli.train.dtype == np.float32 and floating.stimuli.scale == 1.0
    assert floating.stimuli.shape == (49,) and len(floating.stimuli.test) == 12


def test_permutations_are_the_first_draws_of_the_published_stream() -> None:
    own = rs.PermutedProtocol(images(), contexts=4, pad=1)
    for seed in (0, 3, 12):  # small seeds mean nothing special
        stream, again = np.random.RandomState(seed), np.random.RandomState(seed)
        permutation = own.curriculum(seed, stream).permutation
        assert permutation is not None
        np.testing.assert_array_equal(permutation, [again.permutation(49) for _ in range(4)])
        assert stream.uniform() == again.uniform(), "nothing else is drawn"
        np.testing.assert_array_equal(permutation, own.curriculum(seed).permutation)
        assert not (permutation == np.arange(49)).all(axis=1).any()


def test_all_contexts_ask_the_same_of_all_classes() -> None:
    own = rs.PermutedProtocol(images(), contexts=np.int64(4))
    assert (own.scenario, own.n_contexts, own.n_classes, own.n_answers, own.rule) == ("domain", 4, 6, 6, "all")
    assert own.class_counts == (6, 6, 6, 6) and own.first_classes == (0, 0, 0, 0, 6)
    position = np.array([5, 0, 3])
    for context in range(4):
        np.testing.assert_array_equal(own.target(position, context), position)
        for kind in ("within_context", "up_to_learned", "up_to_tested", "all"):
            assert own.answers(kind, context, 1).tolist() == [True] * 6
    np.testing.assert_array_equal(own.target(position, np.array([3, 0, 1])), position)
    curriculum = own.curriculum(12)
    assert curriculum.class_identity.tolist() == list(range(6))
    np.testing.assert_array_equal(curriculum.train_position, LABELS)
    np.testing.assert_array_equal(curriculum.test_position, LABELS[:30])


def test_description_is_plain() -> None:
    about = rs.PermutedProtocol(images(), contexts=3, pad=1, metadata={"room": "A"}).describe()
    assert about["contexts"] == 3 and about["pad"] == 1 and about["image_shape"] == [7, 7] and about["room"] == "A"
    assert about["stimulus_shape"] == [49] and about["scenario"] == "domain" and "permutation" in about
    assert all(isinstance(value, str | int | list) for value in about.values())


# --- stored once


def test_stimuli_are_stored_once_for_all_contexts() -> None:
    own = rs.PermutedProtocol(images(), contexts=50)
    curriculum = own.curriculum(12)
    for part, stimuli in ((curriculum.train, own.stimuli.train), (curriculum.test, own.stimuli.test)):
        assert len(part) == 50 and all(context is part[0] for context in part)
        np.testing.assert_array_equal(part[0], np.arange(len(stimuli)))
    assert np.shares_memory(curriculum.train_position, own.stimuli.train_label)
    assert np.shares_memory(curriculum.test_position, own.stimuli.test_label)


def test_the_margin_is_made_once_for_a_set_of_stimuli() -> None:
    given = images()
    one, other = rs.PermutedProtocol(given, contexts=2), rs.PermutedProtocol(given, contexts=5)
    assert np.shares_memory(one.stimuli.train, other.stimuli.train)
    assert np.shares_memory(one.stimuli.test, other.stimuli.test)
    again = dataclasses.replace(one, contexts=7)
    assert again.n_contexts == 7 and again.stimuli is one.stimuli
    assert not np.shares_memory(rs.PermutedProtocol(given, pad=3).stimuli.train, one.stimuli.train)
    bare = rs.PermutedProtocol(given, pad=0)
    assert np.shares_memory(bare.stimuli.train, given.train), "without a margin there is nothing to make"
    np.testing.assert_array_equal(bare.stimuli.train, IMAGES.reshape(60, 25))


def test_nothing_is_kept_for_ever() -> None:
    gc.collect()
    before = len(permuted._MADE)
    own = rs.PermutedProtocol(images(), contexts=2)
    gc.collect()
    assert len(permuted._MADE) == before, "the images without a margin are let go"
    assert own.stimuli.size == 81


def test_protocols_travel_to_workers() -> None:
    own = rs.PermutedProtocol(images(), contexts=3)
    there = pickle.loads(pickle.dumps(own))
    assert isinstance(there.stimuli, PaddedStimuli) and there.describe() == own.describe()
    np.testing.assert_array_equal(there.curriculum(12).permutation, own.curriculum(12).permutation)


# --- probe stimuli


@pytest.mark.parametrize(
    ("contexts", "each", "probed"),
    [
        (100, 20, [0, 11, 22, 33, 44, 55, 66, 77, 88, 99]),
        (4, 20, [0, 1, 2, 3]),
        (1, 20, [0]),
        (100, 3, [0, 50, 99]),
        (100, 1, [0]),
    ],
)
def test_probe_stimuli_are_dealt_out_evenly(contexts: int, each: int, probed: list[int]) -> None:
    label = np.random.default_rng(2).permutation(np.repeat(np.arange(6), 2 * each))
    shown = np.zeros((len(label), 4, 4), np.uint8)
    own = rs.PermutedProtocol(shown, label, contexts, test_stimuli=shown, test_labels=label)
    stimuli = np.sort(np.concatenate([np.flatnonzero(label == c)[1 : each + 1] for c in range(6)]))
    where = [own.probe_context(own.curriculum(seed), stimuli) for seed in (12, 13)]
    np.testing.assert_array_equal(*where)
    assert np.unique(where[0]).tolist() == probed
    counts = np.array([[((where[0] == p) & (label[stimuli] == c)).sum() for c in range(6)] for p in probed])
    np.testing.assert_array_equal(counts, np.full_like(counts, each // len(probed)))


def test_probe_stimuli_of_unequal_classes() -> None:
    own = rs.PermutedProtocol(images(), contexts=30)
    stimuli = np.flatnonzero((LABELS[:30] != 2) | (np.arange(30) < 12))  # two of class 2, five of the others
    where = own.probe_context(own.curriculum(12), stimuli)
    assert np.unique(where).tolist() == [0, 7, 14, 22, 29]
    for c, n in ((2, 2), (0, 5)):
        assert len(np.unique(where[LABELS[stimuli] == c])) == n
    assert own.probe_context(own.curriculum(12), np.empty(0, np.int64)).shape == (0,)


def test_probe_stimuli_of_split_classes_are_presented_where_they_belong() -> None:
    own = rs.SplitProtocol(images(), contexts=[[4], [0, 5], [1, 2, 3]])
    where = own.probe_context(own.curriculum(12), np.arange(6))
    assert where.tolist() == [1, 2, 2, 2, 0, 1]


# --- light


def test_light_stays_with_the_photographs() -> None:
    ours = photographs()
    assert ours.held_out().light == LIGHT["cifar10"] and images().light is None
    about = rs.SplitProtocol(ours, contexts=2).describe()
    assert about["light_mean"] == [0.4914, 0.4822, 0.4465] and about["light_deviation"] == [0.247, 0.2435, 0.2616]
    assert "light_mean" not in rs.SplitProtocol(images(), contexts=2).describe()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"light": rs.Light((0.5,), (0.2,))},
            DataError,
            r"photographs: images have shape \(3, 4, 4\), must be .*1, row",
        ),
        ({"light": (0.5, 0.2)}, SettingError, r"photographs\.light: got \(0\.5, 0\.2\), must be a replaysim\.Light"),
        ({"train": IMAGES[:20], "test": IMAGES[:20]}, DataError, r"shape \(5, 5\), must be \(\.\.\., 3, row, column\)"),
    ],
)
def test_impossible_light_is_refused(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        photographs(**changes)


def test_photographs_as_presented_are_no_probabilities() -> None:
    dim = photographs().train // np.array([1, 2, 5], np.uint8)[:, None, None]  # channels reach differently high
    own = rs.SplitProtocol(photographs(train=dim, test=dim), contexts=2)
    shown = adapt(torch.from_numpy(own.stimuli.train), LIGHT["cifar10"])
    with pytest.raises(DataError, match=f"reach from {shown.min():.4g}.* to {shown.max():.4g}"):
        check_bernoulli(own)
    check_bernoulli(rs.SplitProtocol(photographs(light=None), contexts=2))
    check_bernoulli(rs.PermutedProtocol(images()))


def test_protocols_wait_for_no_torch() -> None:
    code = "import sys, replaysim.permuted; assert not {'torch', 'torchvision', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(rs.__file__).parents[1], timeout=60)


def test_a_protocol_shows_itself_in_a_line() -> None:
    shown = repr(rs.PermutedProtocol(np.zeros((100, 4, 4), np.uint8), np.arange(100) % 5))
    assert len(shown) < 250 and "80 training and 20 test stimuli" in shown
