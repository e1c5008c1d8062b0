"""Stimuli: labelled images or feature vectors, named data sets and the user's own.

Stimuli stay as compact as they came (``uint8`` images, ``float32`` features); ``scale`` says how intense a stored value
is as a stimulus. This module knows arrays; the files of named data sets are the business of :mod:`replaysim.archives`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import archives
from .errors import DataError, MissingDataError, SettingError, check_choice, check_number
from .retina import LIGHT, Light, check_light

NAMES = ("digits", *archives.SPECIFICATIONS)


@dataclass(frozen=True, eq=False)
class StimulusSet:
    """Labelled stimuli, some to learn from and some to test with.

    Parameters
    ----------
    name
        For titles and logs.
    train, test
        Stimuli (stimulus, ...), ``uint8`` or floating; floating ones are kept as ``float32``.
    train_label, test_label
        Class of every stimulus, (stimulus,), as index into ``classes``; kept as ``int64``.
    classes
        Names of the classes. Each has at least one stimulus in ``train`` and in ``test``.
    scale
        Stored value that stands for intensity 1: 255 for ``uint8`` images, 16 for the digits, 1 for features.
    light
        Light of the world that photographs (channel, row, column) come from. They are then presented as the retina
        sends them on, ``(x / scale - mean) / deviation`` for each channel; without it as ``x / scale``.

    Raises
    ------
    DataError
        If anything of this does not hold; names the first stimulus, label or class that is wrong.
    """

    name: str
    train: np.ndarray = field(repr=False)
    train_label: np.ndarray = field(repr=False)
    test: np.ndarray = field(repr=False)
    test_label: np.ndarray = field(repr=False)
    classes: tuple[str, ...] = field(repr=False)
    scale: float
    light: Light | None = None

    def __post_init__(self) -> None:
        check_number("StimulusSet", "scale", self.scale, above=0.0)
        object.__setattr__(self, "classes", _class_names(self.name, self.classes))
        for part in ("train", "test"):
            stimuli = _checked_stimuli(f"{self.name}: {part} stimuli", getattr(self, part))
            label = _checked_labels(
                f"{self.name}: {part} labels", getattr(self, f"{part}_label"), self.classes, len(stimuli)
            )
            object.__setattr__(self, part, stimuli)
            object.__setattr__(self, f"{part}_label", label)
        if self.train.shape[1:] != self.test.shape[1:] or self.train.dtype != self.test.dtype:
            raise DataError(
                f"{self.name}: train stimuli are {self.train.dtype} of shape {self.train.shape[1:]}, "
                f"test stimuli {self.test.dtype} of shape {self.test.shape[1:]}; they must be alike"
            )
        if self.light is not None:
            check_light(self.name, self.light, self.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one stimulus."""
        return self.train.shape[1:]

    @property
    def size(self) -> int:
        """Number of elements of one stimulus."""
        return int(np.prod(self.shape))

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    def limited(self, train: int, test: int) -> StimulusSet:
        """At most so many stimuli of each class, the first, to see that something works at all.

        Parameters
        ----------
        train, test
            From 1.

        Returns
        -------
        StimulusSet
            Named ``<name>_limited``.
        """
        kept = []
        for part, label, most in (("train", self.train_label, train), ("test", self.test_label, test)):
            check_number("StimulusSet.limited", part, most, least=1, whole=True)
            of_each = [np.flatnonzero(label == c)[: int(most)] for c in range(self.n_classes)]
            kept.append(np.sort(np.concatenate(of_each)))
        learned, tested = kept
        some = (self.train[learned], self.train_label[learned], self.test[tested], self.test_label[tested])
        return StimulusSet(f"{self.name}_limited", *some, self.classes, self.scale, self.light)

    def held_out(self, fraction: float = 0.2, seed: int = 0) -> StimulusSet:
        """Split the training stimuli in two, to tune settings without a look at the test set.

        Parameters
        ----------
        fraction
            Share of each class's training stimuli that becomes the new test set.
        seed
            Chooses which.

        Returns
        -------
        StimulusSet
            Named ``<name>_held_out``; holds no stimulus of this set's ``test``.
        """
        _check_split("StimulusSet.held_out", "fraction", fraction, seed)
        train, test = _stratified(self.name, self.train_label, self.classes, fraction, seed)
        learned, tested = (self.train[train], self.train_label[train]), (self.train[test], self.train_label[test])
        return StimulusSet(f"{self.name}_held_out", *learned, *tested, self.classes, self.scale, self.light)


def from_arrays(
    stimuli: Any,
    labels: Any,
    test_stimuli: Any = None,
    test_labels: Any = None,
    *,
    name: str = "own",
    test_fraction: float = 0.2,
    seed: int = 0,
    classes: Sequence[str] | None = None,
) -> StimulusSet:
    """Make a stimulus set of own arrays.

    Parameters
    ----------
    stimuli
        Images (``uint8``, 255 = intensity 1) or feature vectors (floating, as they are), (stimulus, ...): anything that
        numpy takes, tensors on the CPU included.
    labels
        One per stimulus, whole numbers or strings. Classes are the distinct labels in sorted order.
    test_stimuli, test_labels
        To test with, of the same classes. By default a stratified part of ``stimuli`` is set aside.
    name
        For titles and logs.
    test_fraction, seed
        Share of each class that is set aside, and what chooses it; without effect where test stimuli are given.
    classes
        Names of the classes in the order of the sorted labels; by default the labels themselves.

    Raises
    ------
    DataError
        If arrays and labels do not fit, are of unusable types, hold NaN or infinity, or if a class has too few stimuli.
    SettingError
        If only one of ``test_stimuli`` and ``test_labels`` is given, or ``test_fraction`` or ``seed`` is impossible.
    """
    _check_split("from_arrays", "test_fraction", test_fraction, seed)
    if (test_stimuli is None) != (test_labels is None):
        lacking = "test_stimuli" if test_stimuli is None else "test_labels"
        raise SettingError("from_arrays", lacking, None, "an array: test stimuli and test labels come together")
    train = _checked_stimuli(f"{name}: stimuli", stimuli)
    values, train_label = np.unique(_label_values(f"{name}: labels", labels, len(train)), return_inverse=True)
    named = _class_names(name, [str(v) for v in values] if classes is None else classes)
    if len(named) != len(values):
        raise DataError(f"{name}: {len(named)} class names for {len(values)} different labels")
    if test_stimuli is not None:
        test = _checked_stimuli(f"{name}: test stimuli", test_stimuli)
        test_label = _known(
            f"{name}: test labels", _label_values(f"{name}: test labels", test_labels, len(test)), values
        )
    else:
        learned, tested = _stratified(name, train_label, named, test_fraction, seed)
        train, train_label, test, test_label = train[learned], train_label[learned], train[tested], train_label[tested]
    return StimulusSet(name, train, train_label, test, test_label, named, 255.0 if train.dtype == np.uint8 else 1.0)


def load(name: str, folder: str | os.PathLike[str] | None = None) -> StimulusSet:
    """Load a named data set, fetching it once if it is not on this machine.

    Parameters
    ----------
    name
        ``"digits"``: 1,797 images (row, column) that ship with scikit-learn, a fixed fifth of each class for testing;
        ``"mnist"``: images (row, column); ``"cifar10"`` or ``"cifar100"``: photographs (channel, row, column) with
        their light.
    folder
        Where ``<name>.npz`` lies or is to be put. By default ``$REPLAYSIM_DATA``; where that is not set, ``data/`` of a
        checkout and then the user's cache folder, of which the first receives a download.

    Raises
    ------
    SettingError
        If there is no data set of this name.
    MissingDataError
        If the file is in none of these folders and cannot be downloaded.
    DataError
        If the file is damaged or holds something else.
    """
    check_choice("load", "name", name, NAMES)
    if name == "digits":
        return _digits()
    path, arrays = archives.obtain(name, folder)
    train, test = arrays["x_train"], arrays["x_test"]
    if train.ndim == 4:  # stored with the channel last
        train, test = train.transpose(0, 3, 1, 2), test.transpose(0, 3, 1, 2)
    try:
        classes = tuple(arrays["classes"].tolist())
        return StimulusSet(name, train, arrays["y_train"], test, arrays["y_test"], classes, 255.0, LIGHT.get(name))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _digits() -> StimulusSet:
    try:
        bunch = importlib.import_module("sklearn.datasets").load_digits()
    except ImportError as error:
        raise MissingDataError(f"digits come with scikit-learn, which cannot be imported here: {error}") from error
    images, label, classes = bunch.images.astype(np.uint8), bunch.target, tuple(str(digit) for digit in range(10))
    train, test = _stratified("digits", label, classes, fraction=0.2, seed=0)
    return StimulusSet("digits", images[train], label[train], images[test], label[test], classes, 16.0)


def _array(what: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists; tensors on a device or with a gradient
        raise DataError(f"{what} cannot be read as an array: {error}") from error


def _checked_stimuli(what: str, values: Any) -> np.ndarray:
    """Contiguous, writable ``uint8`` or ``float32``, as torch likes them; copied only if need be."""
    stimuli = _array(what, values)
    if stimuli.dtype != np.uint8 and stimuli.dtype.kind != "f":
        raise DataError(f"{what} are {stimuli.dtype}, must be uint8 or floating: convert them first")
    if stimuli.ndim < 2 or stimuli.size == 0:
        raise DataError(f"{what} have shape {stimuli.shape}, must be (stimulus, ...) with at least one element each")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite and is reported below
        stimuli = np.require(stimuli, np.uint8 if stimuli.dtype == np.uint8 else np.float32, ["C", "W"])
    if not (np.isfinite(stimuli.min()) and np.isfinite(stimuli.max())):
        bad = ~np.isfinite(stimuli.reshape(len(stimuli), -1)).all(axis=1)
        raise DataError(f"{what} hold NaN or infinity in {bad.sum()} of {len(bad)}, first in stimulus {bad.argmax()}")
    return stimuli


def _checked_labels(what: str, values: Any, classes: Sequence[str], n_stimuli: int) -> np.ndarray:
    label = _label_values(what, values, n_stimuli)
    if label.dtype.kind == "U":
        raise DataError(f"{what} are {label.dtype}, must be whole numbers")
    outside = (label < 0) | (label >= len(classes))
    if outside.any():
        first = outside.argmax()
        raise DataError(f"{what}: label {first} is {label[first]}, must be in 0..{len(classes) - 1}")
    lacking = np.flatnonzero(np.bincount(label, minlength=len(classes)) == 0)
    if lacking.size:
        raise DataError(f"{what}: class {classes[lacking[0]]!r} (label {lacking[0]}) has no stimulus")
    return label


def _class_names(name: str, classes: Sequence[str]) -> tuple[str, ...]:
    names = tuple(classes) if isinstance(classes, Iterable) and not isinstance(classes, str) else ()
    if not names or not all(isinstance(c, str) for c in names) or len(set(names)) < len(names):
        raise DataError(f"{name}: classes are {classes!r}, must be a sequence of different strings")
    return tuple(str(c) for c in names)


def _label_values(what: str, values: Any, n_stimuli: int) -> np.ndarray:
    """Labels as ``int64`` or as strings."""
    label = _array(what, values)
    if label.dtype.kind == "O" and all(isinstance(v, str) for v in label.flat):
        label = label.astype(str)
    if label.dtype.kind not in "iuU":
        raise DataError(f"{what} are {label.dtype}, must be whole numbers or strings")
    if label.shape != (n_stimuli,):
        raise DataError(f"{what} have shape {label.shape}, must be ({n_stimuli},): one for each stimulus")
    if label.dtype.kind == "u" and label.size and label.max() > np.iinfo(np.int64).max:
        raise DataError(
            f"{what} reach {label.max()}, must be below 2**63: count classes from 0, or name them by strings"
        )
    return label if label.dtype.kind == "U" else np.require(label, np.int64, ["C", "W"])


def _known(what: str, label: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Index of every label among the sorted ``values`` of the training labels."""
    if (label.dtype.kind == "U") != (values.dtype.kind == "U"):
        raise DataError(f"{what} are {label.dtype}, the training labels {values.dtype}: they must be of one kind")
    index = np.minimum(np.searchsorted(values, label), len(values) - 1)
    unknown = values[index] != label
    if unknown.any():
        first = unknown.argmax()
        raise DataError(f"{what}: label {first} is {label[first].item()!r}, which no training stimulus has")
    return index


def _check_split(owner: str, attribute: str, fraction: float, seed: int) -> None:
    check_number(owner, attribute, fraction, above=0.0, below=1.0)
    check_number(owner, "seed", seed, least=0, below=2**32, whole=True)


def _stratified(
    name: str, label: np.ndarray, classes: Sequence[str], fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the indices to keep and to set aside: the same share of every class, but never none or all; ascending."""
    random = np.random.RandomState(seed)  # numpy promises that this legacy generator never changes
    aside = np.zeros(len(label), dtype=bool)
    for index, named in enumerate(classes):
        members = np.flatnonzero(label == index)
        if len(members) < 2:
            raise DataError(
                f"{name}: class {named!r} has {len(members)} stimulus, needs 2 to set one aside for testing"
            )
        n_aside = min(max(1, int(len(members) * fraction + 0.5)), len(members) - 1)
        aside[random.permutation(members)[:n_aside]] = True
    return np.flatnonzero(~aside), np.flatnonzero(aside)
