"""Errors that name the culprit and the way out.

Every user-facing error of replaysim derives from :class:`ReplaysimError`, so that a study script can show the sentence
and leave out the traceback. Each subclass also derives from the built-in error that Python programmers expect.
"""

from __future__ import annotations

import numbers
from collections.abc import Hashable, Iterable


class ReplaysimError(Exception):
    """Base of all errors that a user of replaysim can cause and can mend."""


class SettingError(ReplaysimError, ValueError):
    """A setting has an impossible value.

    Parameters
    ----------
    owner
        Name of the object or function that the setting belongs to, e.g. ``"SplitMNIST"``.
    attribute
        Name of the setting, e.g. ``"scenario"``.
    value
        What was given.
    must
        What the value must be, completing the sentence "must be ...".
    """

    def __init__(self, owner: str, attribute: str, value: object, must: str) -> None:
        self.owner, self.attribute, self.value, self.must = owner, attribute, value, must
        super().__init__(f"{owner}.{attribute}: got {value!r}, must be {must}")

    def __reduce__(self) -> tuple[type[SettingError], tuple[str, str, object, str]]:
        """Pickle with what it was made of: errors come back from workers."""
        return type(self), (self.owner, self.attribute, self.value, self.must)


class DataError(ReplaysimError, ValueError):
    """Stimuli, labels or logs have the wrong shape, type or content."""


class MissingDataError(ReplaysimError, FileNotFoundError):
    """A data set is not on this machine and could not be fetched."""


class LogError(ReplaysimError, OSError):
    """A log cannot be written or read."""


def one_of(alternatives: Iterable[object]) -> str:
    """Phrase a closed set of alternatives for the end of "must be ..."."""
    return "one of " + ", ".join(repr(a) for a in alternatives)


def check_choice(owner: str, attribute: str, value: object, alternatives: Iterable[object]) -> None:
    """Raise :class:`SettingError` unless ``value`` is one of ``alternatives``."""
    alternatives = tuple(alternatives)
    if not isinstance(value, Hashable) or value not in alternatives:  # arrays compare element by element
        raise SettingError(owner, attribute, value, one_of(alternatives))


def check_number(
    owner: str,
    attribute: str,
    value: object,
    *,
    least: float | None = None,
    below: float | None = None,
    above: float | None = None,
    whole: bool = False,
) -> None:
    """Raise :class:`SettingError` unless ``value`` is a finite number within bounds.

    Parameters
    ----------
    least, above
        Inclusive and exclusive lower bound.
    below
        Exclusive upper bound.
    whole
        Whether only whole numbers are allowed.
    """
    bounds = [
        f">= {least:g}" if least is not None else "",
        f"> {above:g}" if above is not None else "",
        f"< {below:g}" if below is not None else "",
    ]
    must = ("a whole number " if whole else "a number ") + " and ".join(b for b in bounds if b)
    kind = numbers.Integral if whole else numbers.Real  # of Python or numpy
    if isinstance(value, bool) or not isinstance(value, kind):
        raise SettingError(owner, attribute, value, must.strip())
    number = float(value)
    inside = float("-inf") < number < float("inf")
    if least is not None:
        inside = inside and number >= least
    if above is not None:
        inside = inside and number > above
    if below is not None:
        inside = inside and number < below
    if not inside:
        raise SettingError(owner, attribute, value, must.strip())
