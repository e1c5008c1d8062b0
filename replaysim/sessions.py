"""Sessions: the same categories met several times, on days whose sensory statistics differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .errors import DataError, SettingError
from .protocol import SplitProtocol
from .stimuli import StimulusSet
from .stimulus_checks import check_split, checked_stimuli, class_names, label_values, stratified

_OWNER = "SessionProtocol"
Sessions = Mapping[str, tuple[Any, Any]] | Sequence[tuple[Any, Any]]


def SessionProtocol(
    sessions: Sessions,
    *,
    scenario: str = "domain",
    test_sessions: Sessions | None = None,
    order: str = "given",
    name: str = "sessions",
    test_fraction: float = 0.2,
    seed: int = 0,
) -> SplitProtocol:
    """The same categories in every context, each time with stimuli of another session.

    Biology: an animal meets the same kinds of things on several days, under other light, noise or position, and should
    go on recognising them as they were before. Computation: a context is a session, a class is a category in a
    session. In the domain scenario a readout unit stands for a category, whatever the session; in the task scenario the
    session is told at recall; in the class scenario it must be recognised, too.

    Parameters
    ----------
    sessions
        Stimuli and labels of every session, ``{"bright": (stimuli, labels), "dark": (stimuli, labels)}`` or a list of
        such pairs. Stimuli are images or feature vectors of one shape and type, (stimulus, ...), as many as there are;
        all sessions have the same labels.
    scenario
        ``"task"``, ``"domain"`` or ``"class"``.
    test_sessions
        The same to test with. By default a share of every category of every session is set aside: the same places where
        two sessions have the same labels, so that an image that was transformed for several sessions is learned from in
        all of them or in none.
    order
        ``"given"``: every animal meets the sessions in this order; ``"own"``: each in an order of its own.
    name
        For titles and logs.
    test_fraction, seed
        Share that is set aside, and what chooses it; without effect where test sessions are given.

    Returns
    -------
    SplitProtocol
        Its classes are named ``session/category``.

    Raises
    ------
    SettingError, DataError
        If sessions are none or no pairs, or differ in categories, shape or type; names the session.
    """
    check_split(_OWNER, "test_fraction", test_fraction, seed)
    learned = _named("sessions", sessions)
    names = list(learned)
    stimuli = {s: checked_stimuli(f"{_OWNER}: stimuli of {s!r}", pair[0]) for s, pair in learned.items()}
    labels = {s: label_values(f"{_OWNER}: labels of {s!r}", learned[s][1], len(stimuli[s])) for s in names}
    categories = np.unique(labels[names[0]])
    _check_like("", stimuli, labels, stimuli[names[0]], categories)
    place = {s: np.searchsorted(categories, labels[s]) for s in names}
    if test_sessions is None:
        shown = class_names(_OWNER, [str(c) for c in categories])
        parts = {s: stratified(f"{_OWNER}: {s}", place[s], shown, test_fraction, seed) for s in names}
        tested = {s: (stimuli[s][aside], place[s][aside]) for s, (_kept, aside) in parts.items()}
        learned = {s: (stimuli[s][kept], place[s][kept]) for s, (kept, _aside) in parts.items()}
    else:
        own = _named("test_sessions", test_sessions)
        if set(own) != set(names):
            raise SettingError(_OWNER, "test_sessions", list(own), f"of the same sessions: {names}")
        test = {s: checked_stimuli(f"{_OWNER}: test stimuli of {s!r}", own[s][0]) for s in names}
        known = {s: label_values(f"{_OWNER}: test labels of {s!r}", own[s][1], len(test[s])) for s in names}
        _check_like("test ", test, known, stimuli[names[0]], categories)
        tested = {s: (test[s], np.searchsorted(categories, known[s])) for s in names}
        learned = {s: (stimuli[s], place[s]) for s in names}
    (train, train_label), (held, held_label) = (_together(part, names, len(categories)) for part in (learned, tested))
    classes = [f"{s}/{c}" for s in names for c in categories]
    if twice := sorted({name for name in classes if classes.count(name) > 1}):
        raise DataError(
            f"{_OWNER}: {', '.join(map(repr, twice))} would name two classes; rename sessions or categories"
        )
    whole = StimulusSet(
        name, train, train_label, held, held_label, tuple(classes), 255.0 if train.dtype == np.uint8 else 1.0
    )
    groups = np.arange(len(classes)).reshape(len(names), -1).tolist()
    return SplitProtocol(whole, contexts=groups, scenario=scenario, name=name, order=order)


def _named(argument: str, sessions: object) -> dict[str, tuple[Any, Any]]:
    """Sessions by name; those of a list are counted."""
    must = "pairs of stimuli and labels, [(stimuli, labels), ...] or {name: (stimuli, labels), ...}, at least one"
    if isinstance(sessions, Mapping):
        found = {str(name): pair for name, pair in sessions.items()}
        if len(found) < len(sessions):
            raise SettingError(_OWNER, argument, list(sessions), "sessions of different names, as words, too")
    elif isinstance(sessions, Iterable) and not isinstance(sessions, np.ndarray | str):
        found = {f"session {i}": pair for i, pair in enumerate(sessions, 1)}
    else:
        raise SettingError(_OWNER, argument, type(sessions).__name__, must)
    if not found:
        raise SettingError(_OWNER, argument, sessions, must)
    for name, pair in found.items():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise SettingError(_OWNER, f"{argument}[{name!r}]", type(pair).__name__, must)
    return {name: (pair[0], pair[1]) for name, pair in found.items()}


def _check_like(
    part: str,
    stimuli: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
    first: np.ndarray,
    categories: np.ndarray,
) -> None:
    """Raise :class:`DataError` for a session whose stimuli or categories are other ones than those of the first."""
    for name, values in stimuli.items():
        if (labels[name].dtype.kind == "U") != (categories.dtype.kind == "U"):
            raise DataError(
                f"{_OWNER}: {part}labels of {name!r} are {labels[name].dtype}, those of the first session "
                f"{categories.dtype}: they must be of one kind"
            )
        if values.shape[1:] != first.shape[1:] or values.dtype != first.dtype:
            raise DataError(
                f"{_OWNER}: {part}stimuli of {name!r} are {values.dtype} of shape {values.shape[1:]}, those of the "
                f"first session {first.dtype} of shape {first.shape[1:]}; all sessions must have the same"
            )
        own = set(labels[name].tolist())
        if own != set(categories.tolist()):
            there = sorted(own ^ set(categories.tolist()), key=str)
            raise DataError(
                f"{_OWNER}: {part}labels of {name!r} and the first session differ in the categories {there}; all "
                "sessions must have the same, as a readout unit stands for a category in all of them (SplitProtocol "
                "takes others)"
            )


def _together(
    parts: Mapping[str, tuple[np.ndarray, np.ndarray]], names: Sequence[str], n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Stimuli of all sessions one after the other, and their classes."""
    stimuli = np.concatenate([parts[s][0] for s in names])
    return stimuli, np.concatenate([parts[s][1] + n * i for i, s in enumerate(names)]).astype(np.int64)
