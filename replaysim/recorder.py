"""Electrodes: what is recorded, declared before the simulation begins. Recording changes nothing in the simulation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .brain import Brain
from .errors import DataError, SettingError, check_choice, check_number
from .learning import Learning
from .protocol import AbstractProtocol


@dataclass(frozen=True)
class Preparation:
    """What electrodes are checked against: one naive brain and the mechanisms that will work on it."""

    brain: Brain
    protocol: AbstractProtocol
    learning: Learning
    replay: object | None
    consolidation: object | None


class Electrode(Protocol):
    """A declaration of something to record."""

    def check(self, preparation: Preparation) -> None:
        """Raise where there is nothing to record from."""
        ...


def listed(owner: str, attribute: str, values: object, what: str) -> tuple[Any, ...]:
    """Several values as a tuple; raises :class:`SettingError` for anything else."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise SettingError(owner, attribute, values, f"a list of {what}")
    return tuple(values)


@dataclass(frozen=True)
class Behaviour:
    """Accuracy while learning, at chosen weight updates; accuracy after every context is always recorded.

    Parameters
    ----------
    steps
        Numbers of weight updates within a context after which to test, e.g. ``(10, 100, 1000)``.
    stimuli
        Test stimuli used, balanced over classes.
    """

    steps: tuple[int, ...] = (1, 10, 100, 1000)
    stimuli: int = 500

    def __post_init__(self) -> None:
        for step in listed("Behaviour", "steps", self.steps, "numbers of weight updates, e.g. (10, 100)"):
            check_number("Behaviour", "steps", step, least=1, whole=True)
        object.__setattr__(self, "steps", tuple(sorted(set(self.steps))))
        check_number("Behaviour", "stimuli", self.stimuli, least=1, whole=True)

    def check(self, preparation: Preparation) -> None:
        """Some of the steps must be reached."""
        if not self.steps or self.steps[0] > preparation.learning.steps:
            raise SettingError(
                "Behaviour", "steps", self.steps, f"steps up to {preparation.learning.steps}, the length of a context"
            )


@dataclass(frozen=True, init=False)
class CorticalActivity:
    """Activity of cortical areas evoked by fixed test stimuli, naive and after every context.

    Parameters
    ----------
    *areas
        Names of areas, e.g. ``"association_2"``; default: all but the retina.
    stimuli
        Test stimuli, balanced over classes; the same for all animals and conditions.
    """

    areas: tuple[str, ...]
    stimuli: int

    def __init__(self, *areas: str, stimuli: int = 200) -> None:
        object.__setattr__(self, "areas", areas)
        object.__setattr__(self, "stimuli", stimuli)
        check_number("CorticalActivity", "stimuli", stimuli, least=1, whole=True)

    def check(self, preparation: Preparation) -> None:
        """The areas must exist."""
        for area in self.areas:
            check_choice("CorticalActivity", "areas", area, preparation.brain.cortex.areas)


@dataclass(frozen=True)
class HippocampalCodes:
    """Codes of the same test stimuli, and the memory modes, naive and after every context.

    Parameters
    ----------
    stimuli
        Test stimuli, balanced over classes.
    """

    stimuli: int = 200

    def __post_init__(self) -> None:
        check_number("HippocampalCodes", "stimuli", self.stimuli, least=1, whole=True)

    def check(self, preparation: Preparation) -> None:
        """There must be a hippocampus."""
        if preparation.brain.hippocampus is None:
            raise SettingError("HippocampalCodes", "brain", "a plain classifier", "a brain with a hippocampus")


@dataclass(frozen=True)
class ReplayActivity:
    """Replay events as they happened while learning: what was asked for, what came, what the earlier self made of it.

    Parameters
    ----------
    events
        Events recorded in every context, spread evenly over its steps.
    """

    events: int = 50

    def __post_init__(self) -> None:
        check_number("ReplayActivity", "events", self.events, least=1, whole=True)

    def check(self, preparation: Preparation) -> None:
        """Something must be replayed."""
        if preparation.replay is None:
            raise SettingError(
                "ReplayActivity",
                "replay",
                None,
                "a replay mechanism: pass simulate(replay=...), or leave this electrode out",
            )
        if preparation.protocol.n_contexts < 2:
            raise DataError("ReplayActivity: a protocol of one context has nothing to replay")
        batch = getattr(preparation.replay, "batch", None) or preparation.learning.batch
        most = preparation.learning.steps * batch
        if self.events > most:
            raise SettingError(
                "ReplayActivity", "events", self.events, f"at most {most}, all that is replayed in a context"
            )


@dataclass(frozen=True)
class SynapticImportance:
    """How stiff synapses are and how far they moved, by pathway, as quantiles and sums after every context.

    Parameters
    ----------
    quantiles
        Between 0 and 1.
    """

    quantiles: tuple[float, ...] = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)

    def __post_init__(self) -> None:
        quantiles = listed("SynapticImportance", "quantiles", self.quantiles, "numbers from 0 to 1, e.g. (0.5, 0.95)")
        for q in quantiles:
            check_number("SynapticImportance", "quantiles", q, least=0)
            if q > 1:
                raise SettingError("SynapticImportance", "quantiles", q, "numbers from 0 to 1")
        object.__setattr__(self, "quantiles", quantiles)

    def check(self, preparation: Preparation) -> None:
        """Importance is only known where synapses are consolidated."""
        if preparation.consolidation is None:
            raise SettingError(
                "SynapticImportance",
                "consolidation",
                None,
                "a rule: pass simulate(consolidation=...), or leave this electrode out",
            )


KINDS = (Behaviour, CorticalActivity, HippocampalCodes, ReplayActivity, SynapticImportance)


def check_electrodes(electrodes: Iterable[Electrode], preparation: Preparation) -> tuple[Electrode, ...]:
    """Check every electrode against what it would record from, before anything is simulated."""
    placed: Sequence[Electrode] = tuple(electrodes) if isinstance(electrodes, Iterable) else (electrodes,)
    for electrode in placed:
        if not isinstance(electrode, KINDS):
            names = ", ".join(kind.__name__ for kind in KINDS)
            raise SettingError("simulate", "record", electrode, f"a list of electrodes: {names}")
        if sum(type(other) is type(electrode) for other in placed) > 1:
            raise SettingError(
                "simulate", "record", type(electrode).__name__, "given once: one electrode can record several areas"
            )
        electrode.check(preparation)
    return tuple(placed)
