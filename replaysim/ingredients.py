"""Developmental lesions: brain-inspired replay without one of its ingredients, or classic replay with one of them.

An animal that has grown up without an ingredient is compared with one that has all, and an animal that has only this
one with classic generative replay. The paper chose the share of closed gates anew for every such animal (on the test
stimuli, animal 11); ``closed`` puts one share in their place, so that nothing but the ingredient differs.

Source: van de Ven, Siegelmann & Tolias (2020), Figs 8 and 9, and the published code.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from .arms import BRAIN, CODE, HARD, NUMBERS, OLD_GAIN, PAIR, SCENARIOS, SOFT, Preset, preset
from .brains import brain_inspired, classifier
from .errors import SettingError, check_choice, check_number, one_of

INGREDIENTS = ("feedback", "modes", "gating", "internal", "distillation")
"""Replay through feedback (rtf), conditional replay (con), gating (gat), internal replay (int), distillation (dis)."""
# protocol, scenario: ingredient that is missing ("": none) to the share of closed gates; 0: gates are switched off
WITHOUT: dict[tuple[str, str], dict[str, float]] = {
    ("split_cifar100", "class"): {"": 0.7, "feedback": 0.7, "modes": 0.6, "internal": 0.9, "distillation": 0.8},
    ("split_cifar100", "task"): {"": 0.0, "feedback": 0.3, "modes": 0.0, "internal": 0.8, "distillation": 0.0},
    ("permuted_mnist", "domain"): {"": 0.8, "feedback": 0.8, "modes": 0.0, "distillation": 0.6},
}
# the same for classic generative replay with gates and nothing else
ONLY_GATING = {
    ("split_cifar100", "class"): 0.7,
    ("split_cifar100", "task"): 0.1,
    ("permuted_mnist", "domain"): 0.2,
}


def possible(protocol: str) -> tuple[str, ...]:
    """Ingredients that a brain of this protocol can have: only photographs are replayed within the cortex."""
    return INGREDIENTS if protocol == "split_cifar100" else tuple(i for i in INGREDIENTS if i != "internal")


def lesion(
    protocol: str,
    scenario: str,
    *,
    without: Iterable[str] | None = None,
    only: Iterable[str] | None = None,
    closed: float | None = None,
    faithful: bool = False,
) -> Preset:
    """Brain-inspired replay without ingredients, or classic generative replay with some of them.

    Parameters
    ----------
    protocol, scenario
        ``"split_mnist"``, ``"permuted_mnist"`` or ``"split_cifar100"``, and one of its scenarios.
    without, only
        Ingredients (see :data:`INGREDIENTS`) that are left out, or the only ones that there are; one of the two.
        Early areas are plastic in classic replay (``only``) unless replay is internal, and frozen otherwise.
    closed
        One common share of closed gates, where there are gates; default: the paper's own share for this animal. Where
        several ingredients are missing, which the paper does not have, that is the share of the whole (``only``: of
        gates alone).
    faithful
        Repeat the published code's slips, see :class:`~replaysim.gating.Gating`.

    Raises
    ------
    SettingError
        For ingredients that there are not, unless exactly one of ``without`` and ``only`` is given, and for
        ``faithful`` where the published code makes no slip.
    """
    if not isinstance(protocol, str) or protocol not in SCENARIOS:
        got = protocol if isinstance(protocol, str) else type(protocol).__name__
        must = f"{one_of(SCENARIOS)}, the paper's: for others, brain_inspired(protocol, without=...) plans the brain"
        raise SettingError("lesion", "protocol", got, must)
    check_choice("lesion", "scenario", scenario, SCENARIOS[protocol])
    if (without is None) == (only is None):
        given = None if without is None else (without, only)
        raise SettingError("lesion", "without", given, "given, or `only` in its place; one of the two")
    kind, named = ("without", without) if without is not None else ("only", only)
    listed = _ingredients(protocol, kind, () if named is None else named)
    every = possible(protocol)
    present = [i for i in every if (i in listed) == (kind == "only")]
    if closed is not None:
        check_number("lesion", "closed", closed, least=0, below=1)
        if "gating" not in present:
            raise SettingError("lesion", "closed", closed, "left out: this animal grows up without gates")
    share = own_share(protocol, scenario, kind, listed) if closed is None else closed
    settings = _brain(protocol, kind, present, share if "gating" in present else 0.0, faithful)
    name = f"{kind}_{'_'.join(listed)}" if listed else (BRAIN if kind == "without" else PAIR)
    name += "" if closed is None else f"_closed_{closed:g}"
    if faithful and not (slips(protocol, scenario) and _gated(settings)):
        why = "left out: the published code makes its slips in animals with gates, in the task scenario and in permuted"
        raise SettingError("lesion", "faithful", f"{name}, {scenario} scenario", f"{why} MNIST")
    targets = SOFT if "distillation" in present else HARD
    return preset(
        protocol,
        scenario,
        name + ("_faithful" if faithful else ""),
        _about(protocol, kind, listed, settings, faithful),
        brain_inspired,
        targets,
        _source(protocol, scenario, kind, listed, settings, closed),
        **settings,
    )


def own_share(protocol: str, scenario: str, kind: str, listed: Iterable[str]) -> float:
    """The paper's share of closed gates for an animal; 0 where its gates are switched off."""
    found = tuple(listed)
    one = found[0] if len(found) == 1 else ""
    known = (protocol, "class" if scenario == "domain" and protocol == "split_cifar100" else scenario)
    if known not in WITHOUT:
        return NUMBERS[protocol, scenario].closed
    if kind == "only":
        return ONLY_GATING[known]
    return WITHOUT[known].get(one, WITHOUT[known][""])


def _ingredients(protocol: str, kind: str, named: Iterable[str]) -> tuple[str, ...]:
    """Listed ingredients in the order of :data:`INGREDIENTS`."""
    every = possible(protocol)
    if not isinstance(named, Iterable):
        raise SettingError("lesion", kind, named, f"a list of ingredients, each {one_of(every)}")
    listed = (named,) if isinstance(named, str) else tuple(named)
    for one in sorted(listed, key=str):
        if one == "internal" and "internal" not in every:
            why = "left out: only photographs have early areas within which memories could be re-created"
            raise SettingError("lesion", kind, one, why)
        if one not in every:
            raise SettingError("lesion", kind, one, one_of(every))
    return tuple(i for i in every if i in listed)


def _brain(protocol: str, kind: str, present: Iterable[str], closed: float, faithful: bool) -> dict[str, Any]:
    """Settings of :func:`~replaysim.brain_inspired`."""
    present = set(present)
    settings: dict[str, Any] = {"closed": closed}
    missing = tuple(i for i in ("feedback", "modes", "gating") if i not in present)
    if protocol == "split_cifar100":
        settings["early"] = "plastic" if kind == "only" and "internal" not in present else "frozen"
        if "internal" not in present:
            missing += ("internal",)
            settings["descending_gain"] = OLD_GAIN
    if protocol == "permuted_mnist":
        settings["gates_by"] = "context"
    if faithful:
        settings["faithful"] = True
    return settings | {"without": missing}


def _about(protocol: str, kind: str, listed: tuple[str, ...], settings: dict[str, Any], faithful: bool) -> str:
    whole = "brain-inspired replay without" if kind == "without" else "classic generative replay with only"
    words = [f"{whole} {' and '.join(listed)}" if listed else whole.rpartition(" with")[0]]
    words.append(f"gates closed {settings['closed']:g}" if _gated(settings) else "no gates")
    if protocol == "split_cifar100":
        words.append(f"early areas {settings['early']}")
    if faithful:
        words.append("with the published code's slip")
    return ", ".join(words)


def _gated(settings: dict[str, Any]) -> bool:
    return "gating" not in settings["without"] and settings["closed"] > 0


def gated(lesioned: Preset) -> bool:
    """Whether an animal of :func:`lesion` has gates that close at least one unit."""
    assert isinstance(lesioned.brain, partial)
    return _gated(lesioned.brain.keywords)


def _source(
    protocol: str,
    scenario: str,
    kind: str,
    listed: tuple[str, ...],
    settings: dict[str, Any],
    closed: float | None,
) -> str:
    """Where the animal and its share of closed gates come from, see :func:`own_share`."""
    if closed is not None:
        return "not in the paper: one common share of closed gates for all lesions"
    gated, known = _gated(settings), (protocol, scenario) in WITHOUT
    if known and len(listed) <= 1:
        return f"{CODE}: share of closed gates chosen for this lesion" if gated and listed else CODE
    if not gated:
        return "not in the paper"
    if protocol == "split_cifar100" and not known:
        like = "the class scenario"
    else:
        like = "classic replay with gates alone" if known and kind == "only" else "the whole"
    return f"not in the paper: gates closed as in {like}"


def slips(protocol: str, scenario: str) -> bool:
    """Whether the published code makes slips there, in animals with gates; see :class:`~replaysim.gating.Gating`."""
    return scenario == "task" or protocol == "permuted_mnist"


def is_lesion(name: str) -> bool:
    """Whether the preset of this name is one of :func:`lesions`: not in the figure that compares methods."""
    return name.rpartition("/")[2].startswith(("without_", "only_", "last_context"))


def lesions(protocol: str, scenario: str) -> list[Preset]:
    """The paper's lesions of one protocol and scenario, those with gates also with the slips of its code, if any.

    And the floor of its figures, the classifier that learns the last context only.
    """
    if (protocol, scenario) not in WITHOUT:
        return []
    found = []
    for kind in ("without", "only"):
        for ingredient in possible(protocol):
            named: dict[str, Any] = {kind: {ingredient}}
            one = lesion(protocol, scenario, **named)
            found.append(one)
            if slips(protocol, scenario) and gated(one):
                found.append(lesion(protocol, scenario, **named, faithful=True))
    return [*found, last_context(protocol, scenario)]


def last_context(protocol: str, scenario: str) -> Preset:
    """A plain classifier that learns the last context only, and is tested on all: the floor of the paper's figures."""
    about = "plain classifier, trials of the last context only"
    if protocol == "split_cifar100":
        about += "; early areas plastic"
    return preset(protocol, scenario, "last_context", about, classifier, {"experience": "last"})
