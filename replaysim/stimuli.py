"""Stimuli: labelled images or feature vectors, named data sets and the user's own.

Stimuli stay as compact as they came (``uint8`` images, ``float32`` features); ``scale`` says how intense a stored value
is as a stimulus. This module knows arrays; the files of named data sets are the business of :mod:`replaysim.archives`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import archives
from .errors import DataError, MissingDataError, SettingError, check_choice, check_number
from .retina import LIGHT, Light, check_light
from .stimulus_checks import (
    check_split,
    checked_labels,
    checked_stimuli,
    class_names,
    known_labels,
    label_values,
    stratified,
)

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
    train: np.ndarray
    train_label: np.ndarray
    test: np.ndarray
    test_label: np.ndarray
    classes: tuple[str, ...]
    scale: float
    light: Light | None = None

    def __post_init__(self) -> None:
        check_number("StimulusSet", "scale", self.scale, above=0.0)
        object.__setattr__(self, "classes", class_names(self.name, self.classes))
        for part in ("train", "test"):
            stimuli = checked_stimuli(f"{self.name}: {part} stimuli", getattr(self, part))
            label = checked_labels(
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

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.train.shape[1:]))
        return (
            f"StimulusSet({self.name!r}: {len(self.train)} training and {len(self.test)} test stimuli of {shape}, "
            f"{len(self.classes)} classes)"
        )

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
        check_split("StimulusSet.held_out", "fraction", fraction, seed)
        train, test = stratified(self.name, self.train_label, self.classes, fraction, seed)
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
    check_split("from_arrays", "test_fraction", test_fraction, seed)
    if (test_stimuli is None) != (test_labels is None):
        lacking = "test_stimuli" if test_stimuli is None else "test_labels"
        raise SettingError("from_arrays", lacking, None, "an array: test stimuli and test labels come together")
    train = checked_stimuli(f"{name}: stimuli", stimuli)
    values, train_label = np.unique(label_values(f"{name}: labels", labels, len(train)), return_inverse=True)
    named = class_names(name, [str(v) for v in values] if classes is None else classes)
    if len(named) != len(values):
        raise DataError(f"{name}: {len(named)} class names for {len(values)} different labels")
    if test_stimuli is not None:
        test = checked_stimuli(f"{name}: test stimuli", test_stimuli)
        test_label = known_labels(
            f"{name}: test labels", label_values(f"{name}: test labels", test_labels, len(test)), values
        )
    else:
        learned, tested = stratified(name, train_label, named, test_fraction, seed)
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
    train, test = stratified("digits", label, classes, fraction=0.2, seed=0)
    return StimulusSet("digits", images[train], label[train], images[test], label[test], classes, 16.0)
