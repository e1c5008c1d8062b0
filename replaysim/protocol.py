"""Protocols: what an animal meets, in which order, and which answers are admissible.

Here the classes of a data set are split over contexts; :mod:`replaysim.permuted` keeps the classes and rearranges the
stimuli. What every protocol can say is in :mod:`replaysim.abstract_protocol`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from . import rng
from .abstract_protocol import (
    ANSWERS,
    SCENARIOS,
    AbstractProtocol,
    Curriculum,
    as_stimulus_set,
    check_bernoulli,
    check_names,
)
from .errors import SettingError, check_choice
from .stimuli import load

__all__ = [
    "ANSWERS",
    "PAPER",
    "SCENARIOS",
    "AbstractProtocol",
    "Curriculum",
    "SplitCIFAR10",
    "SplitCIFAR100",
    "SplitDigits",
    "SplitMNIST",
    "SplitProtocol",
    "check_bernoulli",
    "split",
]

PAPER = {
    "paper_name": "Brain-inspired replay for continual learning with artificial neural networks",
    "paper_link": "https://doi.org/10.1038/s41467-020-17866-2",
}


@dataclass(frozen=True, eq=False)
class SplitProtocol(AbstractProtocol):
    """The classes of a data set, split over contexts.

    Parameters
    ----------
    stimuli
        A :class:`~replaysim.stimuli.StimulusSet`, or an array of stimuli (stimulus, ...): images or any feature
        vectors.
    labels
        One label per stimulus, where ``stimuli`` is an array.
    contexts
        A number of contexts that divides the number of classes: every animal then meets the classes in its own order,
        drawn as in the published simulations. Or a list of groups of original classes, of any sizes: every animal
        then meets these groups in this order (but see ``order``).
    scenario
        ``"task"``, ``"domain"`` or ``"class"``. In the domain scenario a readout unit stands for the place of a class
        within its context, its group: groups of the same categories must list them in the same order, as
        :func:`~replaysim.SessionProtocol` does.
    test_stimuli, test_labels
        Stimuli to test with, where ``stimuli`` is an array; by default a fifth of the stimuli is set aside.
    name
        For titles and logs.
    metadata
        Further facts for logs, name to text.
    order
        ``"given"``: groups come in their order; ``"own"``: in an order of the animal's own, drawn from its published
        stream; groups must then have as many classes each. Without effect where ``contexts`` is a number.
    """

    stimuli: Any
    labels: Any = field(default=None, repr=False)
    contexts: int | Sequence[Sequence[int]] = 5
    scenario: str = "class"
    test_stimuli: Any = field(default=None, repr=False)
    test_labels: Any = field(default=None, repr=False)
    name: str = "split_own"
    metadata: dict[str, str] = field(default_factory=dict, repr=False)
    order: str = field(default="given", repr=False)

    def __post_init__(self) -> None:
        owner = check_names(self.name, self.metadata, "SplitProtocol", self.scenario)
        check_choice(owner, "scenario", self.scenario, SCENARIOS)
        check_choice(owner, "order", self.order, ("given", "own"))
        own = as_stimulus_set(owner, self.stimuli, self.labels, self.test_stimuli, self.test_labels, self.name)
        object.__setattr__(self, "stimuli", own)
        for given in ("labels", "test_stimuli", "test_labels"):
            object.__setattr__(self, given, None)
        object.__setattr__(self, "contexts", _groups(owner, self.contexts, own.classes))
        if self.order == "own" and len(set(self.class_counts)) > 1:
            must = f"'given', or groups with as many classes each: these have {list(self.class_counts)}"
            raise SettingError(owner, "order", self.order, must)

    @property
    def n_contexts(self) -> int:
        """Number of contexts."""
        return self.contexts if isinstance(self.contexts, int) else len(self.contexts)

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Number of classes of each context."""
        if isinstance(self.contexts, int):
            return (self.n_classes // self.contexts,) * self.contexts
        return tuple(len(group) for group in self.contexts)

    def curriculum(self, seed: int, stream: np.random.RandomState | None = None) -> Curriculum:
        """What the animal ``seed`` meets.

        Parameters
        ----------
        stream
            The animal's published stream; the class order is its first draw: the class at original index ``i`` comes at
            position ``permutation[i]``.
        """
        stream = stream or rng.published(seed)
        if isinstance(self.contexts, int):
            position = stream.permutation(self.n_classes)
        else:
            position = np.empty(self.n_classes, dtype=np.int64)
            groups = [np.asarray(group) for group in self.contexts]
            if self.order == "own":
                groups = [groups[i] for i in stream.permutation(len(groups))]
            position[np.concatenate(groups)] = np.arange(self.n_classes)
        train, test = position[self.stimuli.train_label], position[self.stimuli.test_label]
        return Curriculum(np.argsort(position), self._by_context(train), self._by_context(test), train, test)

    def _by_context(self, position: np.ndarray) -> tuple[np.ndarray, ...]:
        edges = self.first_classes
        order = np.argsort(position, kind="stable")
        borders = np.searchsorted(position[order], edges)
        return tuple(np.sort(order[a:b]) for a, b in pairwise(borders))

    def probe_context(self, curriculum: Curriculum, stimuli: np.ndarray) -> np.ndarray:
        """Context to which the class of each test stimulus belongs, counted from 0, (stimulus,)."""
        return np.searchsorted(self.first_classes, curriculum.test_position[stimuli], side="right") - 1

    def describe(self) -> dict[str, Any]:
        """Settings as plain values for a log's configuration."""
        groups = self.contexts if isinstance(self.contexts, int) else [list(g) for g in self.contexts]
        own = {"order": self.order} if self.order != "given" and isinstance(groups, list) else {}
        return {**super().describe(), "contexts": groups, **own, **self.metadata}


class _Groups(tuple[tuple[int, ...], ...]):
    """Groups of classes by index, as :func:`_groups` leaves them: not to be read as names of classes once more."""

    __slots__ = ()


def _groups(owner: str, contexts: object, classes: Sequence[str]) -> int | _Groups:
    """Check the division of classes into contexts."""
    n = len(classes)
    if isinstance(contexts, bool) or not isinstance(contexts, int | Iterable):
        raise SettingError(owner, "contexts", contexts, "a whole number or a list of groups of classes")
    if isinstance(contexts, int):
        if contexts < 1 or n % contexts:
            divisors = [d for d in range(1, n + 1) if n % d == 0]
            raise SettingError(
                owner, "contexts", contexts, f"a divisor of the {n} classes: one of {divisors}, or a list of groups"
            )
        return contexts
    contexts = contexts if isinstance(contexts, Sequence) else tuple(contexts)  # what is used up by reading it once
    if not all(isinstance(group, Iterable) and not isinstance(group, str) for group in contexts):
        raise SettingError(owner, "contexts", contexts, "a list of groups of classes, e.g. [[0, 1], [2, 3, 4]]")
    groups = tuple(tuple(group) for group in contexts)
    for number, group in enumerate(groups, 1):
        if not group:
            raise SettingError(
                owner,
                "contexts",
                [list(g) for g in groups],
                f"groups with at least one class: context {number} is empty",
            )
    index = {name: i for i, name in enumerate(classes)}
    if isinstance(contexts, _Groups):  # of another protocol, or of this one before replace()
        index = {str(i): i for i in range(n)}
    elif not any(name.lstrip("-").isdigit() for name in classes):  # named classes may also be given by their index
        index |= {str(i): i for i in range(n)}
    as_numbers = tuple(tuple(index.get(str(c), -1) for c in group) for group in groups)
    flat = [c for group in as_numbers for c in group]
    if sorted(flat) != list(range(n)):
        raise SettingError(
            owner,
            "contexts",
            [list(g) for g in groups],
            f"groups in which each class of {', '.join(classes)} stands once{_amiss(flat, classes)}",
        )
    return _Groups(as_numbers)


def _amiss(given: Sequence[int], classes: Sequence[str]) -> str:
    """Which classes do not stand once, and how to leave some out."""
    unknown = given.count(-1)
    twice = [name for i, name in enumerate(classes) if given.count(i) > 1]
    left = [name for i, name in enumerate(classes) if i not in given]
    said = [f"{unknown} of them are unknown"] * bool(unknown) + [f"twice: {', '.join(twice)}"] * bool(twice)
    if left:
        said.append(f"left out: {', '.join(left)}; to do without them, give stimuli and labels of the others only")
    return f" ({'; '.join(said)})"


def split(name: str, n_contexts: int | Sequence[Sequence[int]], scenario: str, *, title: str) -> SplitProtocol:
    """Split protocol over a named data set."""
    check_names(title, {}, title, scenario)
    check_choice(title, "scenario", scenario, SCENARIOS)  # before any data are fetched
    stimuli = load(name)
    return SplitProtocol(stimuli, contexts=n_contexts, scenario=scenario, name=title, metadata=dict(PAPER))


def SplitMNIST(n_contexts: int | Sequence[Sequence[int]] = 5, scenario: str = "class") -> SplitProtocol:
    """The paper's first protocol: ten handwritten digits (70,000 images) in five contexts of two.

    Parameters
    ----------
    n_contexts
        Number of contexts of equally many classes, in an order of the animal's own; or which classes each context has.
    scenario
        ``"task"``, ``"domain"`` or ``"class"``; see :class:`SplitProtocol`.
    """
    return split("mnist", n_contexts, scenario, title="SplitMNIST")


def SplitDigits(n_contexts: int | Sequence[Sequence[int]] = 5, scenario: str = "class") -> SplitProtocol:
    """The same with the 1,797 small digits (8 by 8) that ship with scikit-learn: no download, a minute to run.

    Parameters
    ----------
    n_contexts, scenario
        See :func:`SplitMNIST`.
    """
    return split("digits", n_contexts, scenario, title="SplitDigits")


def SplitCIFAR10(n_contexts: int | Sequence[Sequence[int]] = 5, scenario: str = "class") -> SplitProtocol:
    """Ten kinds of things on 60,000 small colour photographs, in five contexts of two.

    The paper has its early areas develop on these photographs, so that they are no strangers to them.

    Parameters
    ----------
    n_contexts, scenario
        See :func:`SplitMNIST`.
    """
    return split("cifar10", n_contexts, scenario, title="SplitCIFAR10")


def SplitCIFAR100(n_contexts: int | Sequence[Sequence[int]] = 10, scenario: str = "class") -> SplitProtocol:
    """The paper's third protocol: a hundred kinds of things on 60,000 colour photographs, in ten contexts of ten.

    Parameters
    ----------
    n_contexts, scenario
        See :func:`SplitMNIST`.
    """
    return split("cifar100", n_contexts, scenario, title="SplitCIFAR100")
