"""Protocols: what an animal meets, in which order, and which answers are admissible.

A *context* is an episode of stable statistics that is learned before the next one begins. The *scenario* says what is
known at recall: in ``"task"`` the context is given, in ``"domain"`` it does not matter (answers are counted within
the context), in ``"class"`` it must be inferred. Classes are counted by their position in the animal's own order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from . import rng
from .errors import DataError, SettingError, check_choice
from .stimuli import StimulusSet, from_arrays, load

SCENARIOS = ("task", "domain", "class")
ANSWERS = ("within_context", "up_to_learned", "up_to_tested", "all")

PAPER = {
    "paper_name": "Brain-inspired replay for continual learning with artificial neural networks",
    "paper_link": "https://doi.org/10.1038/s41467-020-17866-2",
}


class Curriculum(NamedTuple):
    """What one animal meets."""

    class_identity: np.ndarray
    """Original class at each position of this animal's order, (class,)."""
    train: tuple[np.ndarray, ...]
    """Training stimuli of each context, as indices."""
    test: tuple[np.ndarray, ...]
    """Test stimuli of each context, as indices."""
    train_position: np.ndarray
    """Position of the class of every training stimulus, (stimulus,)."""
    test_position: np.ndarray
    """Position of the class of every test stimulus, (stimulus,)."""


@dataclass(frozen=True, eq=False)
class SplitProtocol:
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
        then meets these groups in this order.
    scenario
        ``"task"``, ``"domain"`` or ``"class"``.
    test_stimuli, test_labels
        Stimuli to test with, where ``stimuli`` is an array; by default a fifth of the stimuli is set aside.
    name
        For titles and logs.
    """

    stimuli: Any
    labels: Any = None
    contexts: int | Sequence[Sequence[int]] = 5
    scenario: str = "class"
    test_stimuli: Any = None
    test_labels: Any = None
    name: str = "split_own"
    metadata: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        owner = self.name if self.name[:1].isupper() else "SplitProtocol"
        check_choice(owner, "scenario", self.scenario, SCENARIOS)
        if not isinstance(self.stimuli, StimulusSet):
            if self.labels is None:
                raise SettingError(owner, "labels", None, "one label per stimulus")
            own = from_arrays(self.stimuli, self.labels, self.test_stimuli, self.test_labels, name=self.name)
            object.__setattr__(self, "stimuli", own)
            for given in ("labels", "test_stimuli", "test_labels"):
                object.__setattr__(self, given, None)
        elif self.labels is not None:
            raise SettingError(owner, "labels", "an array", "left out: a StimulusSet has its own labels")
        object.__setattr__(self, "contexts", _groups(owner, self.contexts, self.stimuli.classes))

    @property
    def n_contexts(self) -> int:
        """Number of contexts."""
        return self.contexts if isinstance(self.contexts, int) else len(self.contexts)

    @property
    def n_classes(self) -> int:
        """Number of classes of all contexts together."""
        return self.stimuli.n_classes

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Number of classes of each context."""
        if isinstance(self.contexts, int):
            return (self.n_classes // self.contexts,) * self.contexts
        return tuple(len(group) for group in self.contexts)

    @property
    def first_classes(self) -> tuple[int, ...]:
        """Position of the first class of each context, and the number of classes at the end."""
        return tuple(int(n) for n in np.cumsum((0, *self.class_counts)))

    @property
    def n_answers(self) -> int:
        """Units of the readout."""
        return max(self.class_counts) if self.scenario == "domain" else self.n_classes

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
            position[np.concatenate([np.asarray(group) for group in self.contexts])] = np.arange(self.n_classes)
        train, test = position[self.stimuli.train_label], position[self.stimuli.test_label]
        return Curriculum(np.argsort(position), self._by_context(train), self._by_context(test), train, test)

    def _by_context(self, position: np.ndarray) -> tuple[np.ndarray, ...]:
        edges = self.first_classes
        order = np.argsort(position, kind="stable")
        borders = np.searchsorted(position[order], edges)
        return tuple(np.sort(order[a:b]) for a, b in pairwise(borders))

    def target(self, position: np.ndarray, context: np.ndarray | int) -> np.ndarray:
        """Readout unit that is right for classes at these positions; ``context`` counts from 0."""
        if self.scenario != "domain":
            return position
        return position - np.asarray(self.first_classes)[context]

    def answers(self, kind: str, context: int, learned: int) -> np.ndarray:
        """Readout units that compete, boolean (answer,).

        Parameters
        ----------
        kind
            One of ``within_context``, ``up_to_learned``, ``up_to_tested``, ``all``.
        context
            The tested context, counted from 0.
        learned
            Contexts learned so far.
        """
        check_choice("SplitProtocol.answers", "kind", kind, ANSWERS)
        competing = np.zeros(self.n_answers, dtype=bool)
        if self.scenario == "domain" or kind == "all":
            competing[:] = True
        elif kind == "within_context":
            competing[self.first_classes[context] : self.first_classes[context + 1]] = True
        else:
            competing[: self.first_classes[learned if kind == "up_to_learned" else context + 1]] = True
        return competing

    @property
    def rule(self) -> str:
        """Kind of answers by which this scenario is learned and judged while contexts are still to come."""
        return {"task": "within_context", "domain": "all", "class": "up_to_learned"}[self.scenario]

    def describe(self) -> dict[str, Any]:
        """Settings as plain values for a log's configuration."""
        groups = self.contexts if isinstance(self.contexts, int) else [list(g) for g in self.contexts]
        return {
            "name": self.name,
            "scenario": self.scenario,
            "contexts": groups,
            "classes": list(self.stimuli.classes),
            "stimuli": self.stimuli.name,
            "stimulus_shape": list(self.stimuli.shape),
            "n_train": len(self.stimuli.train),
            "n_test": len(self.stimuli.test),
            **self.metadata,
        }


def _groups(owner: str, contexts: object, classes: Sequence[str]) -> int | tuple[tuple[int, ...], ...]:
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
    if not any(name.lstrip("-").isdigit() for name in classes):  # named classes may also be given by their index
        index |= {str(i): i for i in range(n)}
    as_numbers = tuple(tuple(index.get(str(c), -1) for c in group) for group in groups)
    flat = [c for group in as_numbers for c in group]
    if sorted(flat) != list(range(n)):
        raise SettingError(
            owner, "contexts", [list(g) for g in groups], f"groups in which each class of {list(classes)} stands once"
        )
    return as_numbers


def split(name: str, n_contexts: int | Sequence[Sequence[int]], scenario: str, *, title: str) -> SplitProtocol:
    """Split protocol over a named data set."""
    check_choice(title, "scenario", scenario, SCENARIOS)  # before any data are fetched
    stimuli = load(name)
    return SplitProtocol(stimuli, contexts=n_contexts, scenario=scenario, name=title, metadata=dict(PAPER))


def SplitMNIST(n_contexts: int | Sequence[Sequence[int]] = 5, scenario: str = "class") -> SplitProtocol:
    """The paper's first protocol: ten handwritten digits (70,000 images) in five contexts of two."""
    return split("mnist", n_contexts, scenario, title="SplitMNIST")


def SplitDigits(n_contexts: int | Sequence[Sequence[int]] = 5, scenario: str = "class") -> SplitProtocol:
    """The same with the 1,797 small digits (8 by 8) that ship with scikit-learn: no download, a minute to run."""
    return split("digits", n_contexts, scenario, title="SplitDigits")


def check_bernoulli(protocol: SplitProtocol) -> None:
    """Raise :class:`DataError` unless all stimuli lie in [0, 1] as they are presented."""
    for part in ("train", "test"):
        values = getattr(protocol.stimuli, part)
        low, high = values.min() / protocol.stimuli.scale, values.max() / protocol.stimuli.scale
        if low < 0 or high > 1:
            raise DataError(
                f'reconstruction="bernoulli" needs stimuli in [0, 1]; the {part} stimuli of {protocol.stimuli.name!r} '
                f'reach from {low:g} to {high:g}: rescale them, or take reconstruction="gaussian"'
            )
