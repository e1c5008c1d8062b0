"""The arms of a study of lesions: classic replay with single ingredients, brain-inspired replay without them.

Beside the protocols of the paper, which are those of :func:`replaysim.presets.lesion`, the small digits have arms, too,
with the settings of :data:`replaysim.presets.DIGITS`: nobody needs more than minutes to see what a lesion does.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from .arms import HARD, NUMBERS, SOFT, Preset
from .brains import brain_inspired, classifier
from .errors import SettingError, check_choice
from .ingredients import INGREDIENTS, gated, lesion, possible, slips
from .ingredients import last_context as paper_floor
from .presets import DIGITS
from .protocol import SplitDigits

PROTOCOLS = ("digits", "split_mnist", "permuted_mnist", "split_cifar100")
CLOSED = ("paper", "common")
CLASSIC, INTACT, LAST = "classic", "intact", "last context"
WITH, WITHOUT = "+ ", "− "
COMMON = {("split_cifar100", "task"): NUMBERS["split_cifar100", "class"].closed}
"""One share of closed gates for all, where that of the intact brain would be none at all."""


def lesion_arms(protocol: str, scenario: str, closed: str = "paper", *, faithful: bool = False) -> dict[str, Preset]:
    """Every arm of Figures 8 and 9 of the paper by its name in tables and figures.

    ``"classic"`` generative replay, ``"+ modes"`` (classic replay with this ingredient only) and so on, the
    ``"intact"`` brain, ``"− modes"`` (without this ingredient) and so on, and ``"last context"``: the plain classifier
    that learns the last context only.

    Parameters
    ----------
    protocol
        ``"digits"``, ``"split_mnist"``, ``"permuted_mnist"`` or ``"split_cifar100"``.
    scenario
        One of the protocol's.
    closed
        ``"paper"``: every arm has the share of closed gates that the paper chose for it (digits and Split MNIST have
        one share only); ``"common"``: all have that of the intact brain, in the task scenario of Split CIFAR-100,
        where the intact brain has no gates, that of the class scenario.
    faithful
        Repeat the published code's slips in arms with gates, see :class:`~replaysim.gating.Gating`. In the task
        scenario the paper chose the shares of closed gates with them.
    """
    check_choice("lesion_arms", "protocol", protocol, PROTOCOLS)
    if faithful and (protocol == "digits" or not slips(protocol, scenario)):
        where = f"{protocol}, {scenario} scenario"
        must = "left out: the slips are in the task scenario and in permuted MNIST, with gates of the paper"
        raise SettingError("lesion_arms", "faithful", where, must)
    check_choice("lesion_arms", "closed", closed, CLOSED)
    if protocol == "permuted_mnist" and scenario != "domain":
        raise SettingError("lesion_arms", "scenario", scenario, "'domain' in permuted MNIST")
    share = None
    if closed == "common" and protocol != "digits":
        share = COMMON.get((protocol, scenario), NUMBERS[protocol, scenario].closed)
    made = _of_digits if protocol == "digits" else partial(_of_paper, protocol, closed=share, faithful=faithful)
    ingredients = possible(protocol)
    return {
        CLASSIC: made(scenario, "only", ()),
        **{WITH + one: made(scenario, "only", (one,)) for one in ingredients},
        INTACT: made(scenario, "without", ()),
        **{WITHOUT + one: made(scenario, "without", (one,)) for one in ingredients},
        LAST: last_context(protocol, scenario),
    }


def last_context(protocol: str, scenario: str) -> Preset:
    """A plain classifier that learns the last context only, and is tested on all: the floor."""
    if protocol != "digits":
        return paper_floor(protocol, scenario)
    return Preset(
        f"digits/{scenario}/last_context",
        "plain classifier, trials of the last context only",
        partial(SplitDigits, scenario=scenario),
        partial(classifier, units=DIGITS.units),
        DIGITS.learning,
        {"experience": "last"},
        "not in the paper",
    )


def folder_name(arm: str) -> str:
    """Name of an arm's folder, e.g. ``minus_modes``."""
    return arm.replace(WITH, "plus_").replace(WITHOUT, "minus_").replace(" ", "_")


def _of_paper(
    protocol: str, scenario: str, kind: str, listed: Iterable[str], *, closed: float | None, faithful: bool
) -> Preset:
    named: dict[str, Any] = {kind: tuple(listed)}
    share = closed if ("gating" in named[kind]) == (kind == "only") else None  # where there are gates
    made = partial(lesion, protocol, scenario, **named, closed=share)
    return made(faithful=True) if faithful and gated(made()) else made()


def _of_digits(scenario: str, kind: str, listed: Iterable[str]) -> Preset:
    named = tuple(listed)
    present = [i for i in INGREDIENTS if (i in named) == (kind == "only")]
    return Preset(
        f"digits/{scenario}/{kind}_{'_'.join(named) or 'nothing'}",
        f"brain-inspired replay, ingredients: {', '.join(i for i in present if i != 'internal') or 'none'}",
        partial(SplitDigits, scenario=scenario),
        partial(
            brain_inspired,
            units=DIGITS.units,
            code_units=DIGITS.code_units,
            closed=DIGITS.closed,
            without=tuple(i for i in ("feedback", "modes", "gating") if i not in present),
        ),
        DIGITS.learning,
        SOFT if "distillation" in present else HARD,
        "not in the paper: presets.DIGITS",
    )
