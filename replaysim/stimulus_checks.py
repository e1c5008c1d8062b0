"""Checks of stimuli and labels: arrays that can be learned from, or an error that says which element is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .errors import DataError, check_number


def _array(what: str, values: Any) -> np.ndarray:
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists; tensors on a device or with a gradient
        raise DataError(f"{what} cannot be read as an array: {error}") from error


def checked_stimuli(what: str, values: Any) -> np.ndarray:
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


def checked_labels(what: str, values: Any, classes: Sequence[str], n_stimuli: int) -> np.ndarray:
    """Labels as ``int64``, each an index of a class, and none of the classes without a stimulus."""
    label = label_values(what, values, n_stimuli)
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


def class_names(name: str, classes: Sequence[str]) -> tuple[str, ...]:
    """Names of classes as different strings."""
    names = tuple(classes) if isinstance(classes, Iterable) and not isinstance(classes, str) else ()
    if not names or not all(isinstance(c, str) for c in names) or len(set(names)) < len(names):
        raise DataError(f"{name}: classes are {classes!r}, must be a sequence of different strings")
    return tuple(str(c) for c in names)


def label_values(what: str, values: Any, n_stimuli: int) -> np.ndarray:
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


def known_labels(what: str, label: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Index of every label among the sorted ``values`` of the training labels."""
    if (label.dtype.kind == "U") != (values.dtype.kind == "U"):
        raise DataError(f"{what} are {label.dtype}, the training labels {values.dtype}: they must be of one kind")
    index = np.minimum(np.searchsorted(values, label), len(values) - 1)
    unknown = values[index] != label
    if unknown.any():
        first = unknown.argmax()
        raise DataError(f"{what}: label {first} is {label[first].item()!r}, which no training stimulus has")
    return index


def check_split(owner: str, attribute: str, fraction: float, seed: int) -> None:
    """Raise an error unless these are a share and a seed."""
    check_number(owner, attribute, fraction, above=0.0, below=1.0)
    check_number(owner, "seed", seed, least=0, below=2**32, whole=True)


def stratified(
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
