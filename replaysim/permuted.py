"""Permuted protocols: the same classes in every context, but the world is rearranged from one context to the next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final
from weakref import WeakKeyDictionary

import numpy as np

from . import rng
from .abstract_protocol import AbstractProtocol, Curriculum, as_stimulus_set, check_names
from .errors import DataError, SettingError, check_number
from .protocol import PAPER
from .stimuli import StimulusSet, load

PROBED = 10  # contexts, at most, over which probe stimuli are spread: each must get enough of them to be compared


@dataclass(frozen=True, eq=False, repr=False)
class PaddedStimuli(StimulusSet):
    """Images with a dark margin, as vectors (stimulus, element) that contexts can rearrange.

    Parameters
    ----------
    pad
        Width of the margin.
    image
        Rows and columns, margin included; elements run along rows first.
    """

    pad: int = 0
    image: tuple[int, int] = (0, 0)


_MADE: WeakKeyDictionary[StimulusSet, dict[int, PaddedStimuli]] = WeakKeyDictionary()


@final
@dataclass(frozen=True, eq=False)
class PermutedProtocol(AbstractProtocol):
    r"""All classes in every context, their images rearranged element by element in a new way each time.

    Biology: the same things must be recognised although their retinal image changes from context to context beyond
    recognition; what was learned about one arrangement says nothing about the next.

    Computation: element :math:`i` of a stimulus in context :math:`c` is :math:`x_{\pi_c(i)}`, where :math:`\pi_c` is
    the :math:`c`-th permutation drawn from the animal's published stream. Stimuli are stored once for all contexts.

    Parameters
    ----------
    stimuli
        A :class:`~replaysim.stimuli.StimulusSet` of square images (row, column), or an array (stimulus, row, column).
    labels
        One label per stimulus, where ``stimuli`` is an array.
    contexts
        Number of contexts.
    scenario
        ``"domain"``: which context it is does not matter, and is not told.
    test_stimuli, test_labels
        Stimuli to test with, where ``stimuli`` is an array; by default a fifth of the stimuli is set aside.
    name
        For titles and logs.
    pad
        Width of the margin of zeros around the images before they are rearranged.

    Raises
    ------
    SettingError
        For any other scenario, and for an impossible number of contexts or width of the margin.
    DataError
        If stimuli are not square images.

    Source: van de Ven et al. 2020, permuted MNIST; there, seeds below 10 left the first context as it is, here they
    are animals like all others.
    """

    stimuli: Any
    labels: Any = field(default=None, repr=False)
    contexts: int = 10
    scenario: str = "domain"
    test_stimuli: Any = field(default=None, repr=False)
    test_labels: Any = field(default=None, repr=False)
    name: str = "permuted_own"
    metadata: dict[str, str] = field(default_factory=dict, repr=False)
    pad: int = 2

    def __post_init__(self) -> None:
        owner = check_names(self.name, self.metadata, "PermutedProtocol", self.scenario)
        _check(owner, self.contexts, self.scenario)
        check_number(owner, "pad", self.pad, least=0, whole=True)
        own = as_stimulus_set(owner, self.stimuli, self.labels, self.test_stimuli, self.test_labels, self.name)
        object.__setattr__(self, "stimuli", padded(owner, own, int(self.pad)))
        object.__setattr__(self, "contexts", int(self.contexts))
        object.__setattr__(self, "pad", int(self.pad))
        for given in ("labels", "test_stimuli", "test_labels"):
            object.__setattr__(self, given, None)

    @property
    def n_contexts(self) -> int:
        """Number of contexts."""
        return self.contexts

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Number of classes of each context: all."""
        return (self.n_classes,) * self.contexts

    @property
    def first_classes(self) -> tuple[int, ...]:
        """Zero for each context, as all begin with the same class, and the number of classes at the end."""
        return (0,) * self.contexts + (self.n_classes,)

    def target(self, position: np.ndarray, context: np.ndarray | int) -> np.ndarray:
        """Readout unit that is right for classes at these positions: the same in every context."""
        return position

    def curriculum(self, seed: int, stream: np.random.RandomState | None = None) -> Curriculum:
        """What the animal ``seed`` meets.

        Parameters
        ----------
        stream
            The animal's published stream; the permutations of all contexts, one after the other, are its first draws.
        """
        stream = stream or rng.published(seed)
        permutation = np.stack([stream.permutation(self.stimuli.size) for _ in range(self.contexts)])
        train, test = np.arange(len(self.stimuli.train)), np.arange(len(self.stimuli.test))
        return Curriculum(
            np.arange(self.n_classes),
            (train,) * self.contexts,
            (test,) * self.contexts,
            self.stimuli.train_label,
            self.stimuli.test_label,
            permutation.astype(np.int64, copy=False),
        )

    def probe_context(self, curriculum: Curriculum, stimuli: np.ndarray) -> np.ndarray:
        """Context (counted from 0) in which each probe stimulus is presented, (stimulus,); the same for all animals.

        The stimuli of every class are dealt out in turn to at most ten contexts, evenly spaced from the first to the
        last: to fewer where no class has so many stimuli.
        """
        label = curriculum.test_position[stimuli]
        rank = np.empty(len(label), dtype=np.int64)
        for members in (np.flatnonzero(label == c) for c in np.unique(label)):
            rank[members] = np.arange(len(members))
        n_probed = min(PROBED, self.contexts, int(rank.max(initial=0)) + 1)
        probed = np.rint(np.linspace(0, self.contexts - 1, n_probed)).astype(np.int64)
        return probed[rank % n_probed]

    def describe(self) -> dict[str, Any]:
        """Settings as plain values for a log's configuration."""
        rule = "element i shows element permutation(n)[i] of the padded image; successive draws of the published stream"
        own = {"pad": self.pad, "image_shape": list(self.stimuli.image), "permutation": rule}
        return {**super().describe(), **own, **self.metadata}


def _check(owner: str, contexts: object, scenario: object) -> None:
    check_number(owner, "contexts", contexts, least=1, whole=True)
    if scenario != "domain":
        why = "'domain': all contexts have the same classes, so that no answer could tell in which context it was given"
        raise SettingError(owner, "scenario", scenario, why)


def padded(owner: str, stimuli: StimulusSet, pad: int) -> PaddedStimuli:
    """Images with a margin of zeros as vectors, made once for every set of stimuli; the stored type is kept.

    Raises
    ------
    DataError
        If the stimuli are not square images.
    SettingError
        If they have a margin of another width already.
    """
    if isinstance(stimuli, PaddedStimuli):
        if stimuli.pad != pad:
            raise SettingError(owner, "pad", pad, f"{stimuli.pad}: these stimuli have their margin already")
        return stimuli
    if len(stimuli.shape) != 2 or stimuli.shape[0] != stimuli.shape[1]:
        raise DataError(
            f"{owner}: permutations of non-square stimuli, or of several channels, are not defined: those of "
            f"{stimuli.name!r} have shape {stimuli.shape}, must be square images (row, column)"
        )
    made = _MADE.setdefault(stimuli, {})
    if pad not in made:
        margin, side = ((0, 0), (pad, pad), (pad, pad)), stimuli.shape[0] + 2 * pad
        train, test = (
            (np.pad(images, margin) if pad else images).reshape(len(images), -1)
            for images in (stimuli.train, stimuli.test)
        )
        made[pad] = PaddedStimuli(
            stimuli.name,
            train,
            stimuli.train_label,
            test,
            stimuli.test_label,
            stimuli.classes,
            stimuli.scale,
            pad=pad,
            image=(side, side),
        )
    return made[pad]


def PermutedMNIST(n_contexts: int = 100, scenario: str = "domain") -> PermutedProtocol:
    """The paper's second protocol: ten handwritten digits (70,000 images, 32 by 32), rearranged in 100 ways.

    Parameters
    ----------
    n_contexts
        Number of arrangements.
    scenario
        ``"domain"``.
    """
    _check("PermutedMNIST", n_contexts, scenario)  # before any data are fetched
    return PermutedProtocol(
        load("mnist"), contexts=n_contexts, scenario=scenario, name="PermutedMNIST", metadata=dict(PAPER)
    )
