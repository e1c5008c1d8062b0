"""What every protocol can say, and what one animal meets in it.

A *context* is an episode of stable statistics that is learned before the next one begins. The *scenario* says what is
known at recall: in ``"task"`` the context is given, in ``"domain"`` it does not matter (answers are counted within
the context), in ``"class"`` it must be inferred. Classes are counted by their position in the animal's own order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .errors import DataError, SettingError, check_choice, check_number, one_of
from .stimuli import StimulusSet, from_arrays

SCENARIOS = ("task", "domain", "class")
ANSWERS = ("within_context", "up_to_learned", "up_to_tested", "all")


class Curriculum(NamedTuple):
    """What one animal meets."""

    class_identity: np.ndarray
    """Original class at each position of this animal's order, (class,)."""
    train: tuple[np.ndarray, ...]
    """Training stimuli of each context, as indices; contexts that share their stimuli hold the same array object."""
    test: tuple[np.ndarray, ...]
    """Test stimuli of each context, as indices; shared in the same way."""
    train_position: np.ndarray
    """Position of the class of every training stimulus, (stimulus,)."""
    test_position: np.ndarray
    """Position of the class of every test stimulus, (stimulus,)."""
    permutation: np.ndarray | None = None
    """Where contexts rearrange stimuli: element ``i`` of a stimulus presented in context ``c`` shows element
    ``permutation[c, i]`` of the stored one, ``int64``, (context, element); stimuli must then be vectors, (stimulus,
    element). None: they are shown as they are."""


class AbstractProtocol(ABC):
    """What the rest of the toolkit asks of a protocol.

    Attributes
    ----------
    name
        For titles and logs.
    scenario
        One of ``SCENARIOS``.
    stimuli
        What is met.
    metadata
        Further facts for logs, name to text.
    """

    name: str
    scenario: str
    stimuli: StimulusSet
    metadata: dict[str, str]

    @property
    @abstractmethod
    def n_contexts(self) -> int:
        """Number of contexts."""

    @property
    @abstractmethod
    def class_counts(self) -> tuple[int, ...]:
        """Number of classes of each context."""

    @abstractmethod
    def curriculum(self, seed: int, stream: np.random.RandomState | None = None) -> Curriculum:
        """What the animal ``seed`` meets.

        Parameters
        ----------
        stream
            The animal's published stream, at its very beginning; by default a new one. Nothing else may be drawn.
        """

    @abstractmethod
    def probe_context(self, curriculum: Curriculum, stimuli: np.ndarray) -> np.ndarray:
        """Context (counted from 0) in which each probe stimulus is presented to an animal, (stimulus,).

        Parameters
        ----------
        stimuli
            Indices of the test stimuli that probe, (stimulus,).
        """

    @property
    def n_classes(self) -> int:
        """Number of different classes of all contexts together."""
        return self.stimuli.n_classes

    @property
    def first_classes(self) -> tuple[int, ...]:
        """Position of the first class of each context, and the number of classes at the end."""
        return tuple(int(n) for n in np.cumsum((0, *self.class_counts)))

    @property
    def n_answers(self) -> int:
        """Units of the readout."""
        return max(self.class_counts) if self.scenario == "domain" else self.n_classes

    @property
    def rule(self) -> str:
        """Kind of answers by which this scenario is learned and judged while contexts are still to come."""
        return {"task": "within_context", "domain": "all", "class": "up_to_learned"}[self.scenario]

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
        check_choice(f"{type(self).__name__}.answers", "kind", kind, ANSWERS)
        competing = np.zeros(self.n_answers, dtype=bool)
        if self.scenario == "domain" or kind == "all":
            competing[:] = True
        elif kind == "within_context":
            competing[self.first_classes[context] : self.first_classes[context + 1]] = True
        else:
            competing[: self.first_classes[learned if kind == "up_to_learned" else context + 1]] = True
        return competing

    def describe(self) -> dict[str, Any]:
        """Settings as plain values for a log's configuration."""
        light = self.stimuli.light
        seen = {} if light is None else {"light_mean": list(light.mean), "light_deviation": list(light.deviation)}
        return {
            "name": self.name,
            "scenario": self.scenario,
            "contexts": self.n_contexts,
            "classes": list(self.stimuli.classes),
            "stimuli": self.stimuli.name,
            "stimulus_shape": list(self.stimuli.shape),
            "n_train": len(self.stimuli.train),
            "n_test": len(self.stimuli.test),
            **seen,
            **self.metadata,
        }


def check_names(name: object, metadata: object, owner: str, scenario: object = "class") -> str:
    """Raise :class:`SettingError` unless name, metadata and scenario are words; gives who errors speak of."""
    if not isinstance(name, str):
        raise SettingError(owner, "name", name, "a word for titles and logs, or left out")
    owner = name if name[:1].isupper() else owner
    if not isinstance(metadata, Mapping):
        raise SettingError(owner, "metadata", metadata, "further facts for logs, {name: text}, or left out")
    if not isinstance(scenario, str):
        raise SettingError(owner, "scenario", scenario, one_of(SCENARIOS))
    return owner


def as_stimulus_set(
    owner: str, stimuli: Any, labels: Any, test_stimuli: Any, test_labels: Any, name: str
) -> StimulusSet:
    """Stimuli as a protocol is given them, arrays with labels or a set that has its own, as a set."""
    if isinstance(stimuli, StimulusSet):
        if labels is not None:
            raise SettingError(owner, "labels", "an array", "left out: a StimulusSet has its own labels")
        return stimuli
    if labels is None:
        raise SettingError(owner, "labels", None, "one label per stimulus")
    return from_arrays(stimuli, labels, test_stimuli, test_labels, name=name)


def check_protocol(protocol: AbstractProtocol) -> None:
    """Raise :class:`SettingError` unless what a protocol, maybe a user's own, says of itself fits together."""
    owner, given = type(protocol).__name__, ("name", "scenario", "stimuli", "metadata")
    for name in given:
        if not hasattr(protocol, name):
            raise SettingError(owner, name, None, f"given: a protocol has {', '.join(given)}")
    owner = check_names(protocol.name, protocol.metadata, owner, protocol.scenario)
    check_choice(owner, "scenario", protocol.scenario, SCENARIOS)
    if not isinstance(protocol.stimuli, StimulusSet):
        must = "a StimulusSet, e.g. replaysim.stimuli.from_arrays(stimuli, labels)"
        raise SettingError(owner, "stimuli", type(protocol.stimuli).__name__, must)
    check_number(owner, "n_contexts", protocol.n_contexts, least=1, whole=True)
    if len(protocol.class_counts) != protocol.n_contexts:
        must = f"{protocol.n_contexts} numbers of classes, one for each context"
        raise SettingError(owner, "class_counts", protocol.class_counts, must)
    for count in protocol.class_counts:
        check_number(owner, "class_counts", count, least=1, whole=True)


def check_curriculum(protocol: AbstractProtocol, curriculum: Curriculum) -> None:
    """Raise :class:`SettingError` unless an animal can live through what it is to meet."""
    owner, n, stimuli = f"{type(protocol).__name__}.curriculum()", protocol.n_contexts, protocol.stimuli
    if not isinstance(curriculum, Curriculum):
        raise SettingError(type(protocol).__name__, "curriculum()", type(curriculum).__name__, "a Curriculum")
    _check_indices(owner, "class_identity", curriculum.class_identity, protocol.n_classes, protocol.n_classes)
    if len(set(curriculum.class_identity.tolist())) != protocol.n_classes:
        raise SettingError(owner, "class_identity", curriculum.class_identity.tolist(), "every class once")
    for part, labels in (("train", stimuli.train_label), ("test", stimuli.test_label)):
        met, position = getattr(curriculum, part), getattr(curriculum, f"{part}_position")
        if len(met) != n:
            raise SettingError(owner, part, f"{len(met)} arrays", f"{n} arrays of indices, one for each context")
        _check_indices(owner, f"{part}_position", position, None, len(labels))
        for context, index in enumerate(met):
            _check_indices(owner, f"{part}[{context}]", index, len(labels))
            _check_positions(owner, protocol, part, context, position[index])
    for context, index in enumerate(curriculum.train):
        if not len(index):
            raise SettingError(owner, f"train[{context}]", "no stimuli", "at least one stimulus to learn from")
    if curriculum.permutation is not None:
        _check_permutation(owner, protocol, curriculum.permutation)
    tested = np.unique(np.concatenate(curriculum.test))
    where = protocol.probe_context(curriculum, tested)
    _check_indices(type(protocol).__name__, "probe_context()", where, n, len(tested))


def _check_indices(owner: str, name: str, given: object, below: int | None, count: int | None = None) -> None:
    """Raise unless this is a vector of whole numbers from 0, of so many."""
    must = "whole numbers" + ("" if below is None else f" from 0 to {below - 1}")
    must = f"an array (int64) of {'' if count is None else f'{count} '}{must}"
    if not isinstance(given, np.ndarray):
        raise SettingError(owner, name, type(given).__name__, must)
    if given.ndim != 1 or given.dtype not in (np.int64, np.int32) or (count is not None and len(given) != count):
        raise SettingError(owner, name, f"{given.dtype} of shape {given.shape}", must)
    if below is not None and len(given) and not 0 <= given.min() <= given.max() < below:
        raise SettingError(owner, name, f"numbers from {given.min()} to {given.max()}", must)


def _check_positions(owner: str, protocol: AbstractProtocol, part: str, context: int, position: np.ndarray) -> None:
    """Raise unless the right answers to the stimuli of a context are among those that compete in it."""
    if not len(position):
        return
    _check_indices(owner, f"{part}_position[{part}[{context}]]", position, protocol.n_classes)
    target = protocol.target(position, context)
    competing = protocol.answers(protocol.rule, context, context + 1)
    if not 0 <= target.min() <= target.max() < len(competing) or not competing[target].all():
        first = protocol.first_classes[context]
        must = (
            f"positions of classes of context {context} (counted from 0), the first of which is {first}: the answers "
            f"that compete in it are {np.flatnonzero(competing).tolist()}"
        )
        raise SettingError(owner, f"{part}_position[{part}[{context}]]", np.unique(position).tolist(), must)


def _check_permutation(owner: str, protocol: AbstractProtocol, given: object) -> None:
    """Raise unless contexts can rearrange the stimuli so."""
    own, shape = protocol.stimuli, (protocol.n_contexts, protocol.stimuli.size)
    if len(own.shape) != 1:
        must = "None, or stimuli must be vectors (stimulus, element), as rows of a permutation are: flatten them"
        raise SettingError(owner, "permutation", f"an array, for stimuli of shape {own.shape}", must)
    if not isinstance(given, np.ndarray) or given.dtype != np.int64 or given.shape != shape:
        got = f"{given.dtype} of shape {given.shape}" if isinstance(given, np.ndarray) else type(given).__name__
        raise SettingError(owner, "permutation", got, f"an int64 array (context, element), here of shape {shape}")
    _check_indices(owner, "permutation", given.reshape(-1), own.size)


def check_bernoulli(protocol: AbstractProtocol) -> None:
    """Raise :class:`DataError` unless all stimuli lie in [0, 1] as they are presented."""
    for part in ("train", "test"):
        low, high = _presented_range(protocol.stimuli, part)
        if low < 0 or high > 1:
            raise DataError(
                f'reconstruction="bernoulli" needs stimuli in [0, 1]; the {part} stimuli of {protocol.stimuli.name!r} '
                f'reach from {low:g} to {high:g}: rescale them, or take reconstruction="gaussian"'
            )


def _presented_range(stimuli: StimulusSet, part: str) -> tuple[float, float]:
    """Lowest and highest value after scaling and adaptation to the light."""
    values = getattr(stimuli, part)
    if stimuli.light is None:
        return values.min() / stimuli.scale, values.max() / stimuli.scale
    mean, deviation = np.asarray(stimuli.light.mean), np.asarray(stimuli.light.deviation)
    low, high = ((edge(axis=(0, 2, 3)) / stimuli.scale - mean) / deviation for edge in (values.min, values.max))
    return low.min(), high.max()
