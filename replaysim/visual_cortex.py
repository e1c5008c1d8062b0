r"""Visual cortex: early areas that see, and association areas on top of them that learn what it means.

:class:`VisualPlan` says what grows. The early areas come from the animal's early life (see
:mod:`replaysim.early_areas`): *frozen* ones stand still, synapses and adaptation alike; *plastic* ones go on learning
and adapting.

Source: van de Ven, Siegelmann & Tolias (2020), Nature Communications 11:4069: brain-inspired replay has frozen
convolutional layers and re-creates the activity of the highest; all other methods go on training them.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from .cortex import RETINA, AbstractCortex
from .early_areas import CHANNELS, IMAGE, EarlyAreas, load_early_areas, shipped
from .errors import SettingError, check_choice, check_number, one_of

EARLY = {"frozen": "closed", "plastic": "open"}
"""What becomes of the early areas, and the state of their critical period."""
NAIVE = "naive"


@dataclass(frozen=True)
class VisualPlan:
    """Settings of a visual cortex.

    Parameters
    ----------
    units
        Units of ``association_1``, ``association_2``, ... (the paper: two areas of 2000 units).
    reentry
        Area at which feedback re-creates activity (the paper: ``"early_5"``). At the highest one, replay teaches the
        readout and the hippocampus only.
    early
        ``"frozen"`` (brain-inspired replay) or ``"plastic"`` (all other methods of the paper).
    developed
        File written by :func:`~replaysim.early_areas.save_early_areas`; None: the areas that come with replaysim.
        ``"naive"``: early areas that have seen nothing and differ between animals.
    channels, image
        Kinds of feature detectors of each early area, and (channel, row, column) of a stimulus; those of the file,
        where there is one.
    """

    units: tuple[int, ...] = (2000, 2000)
    reentry: str = "early_5"
    early: str = "frozen"
    developed: str | None = None
    channels: tuple[int, ...] = CHANNELS
    image: tuple[int, ...] = IMAGE

    def __post_init__(self) -> None:
        for name in ("units", "channels", "image"):
            if not isinstance(getattr(self, name), Iterable):
                raise SettingError("VisualPlan", name, getattr(self, name), "whole numbers in brackets")
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if not getattr(self, name):
                raise SettingError("VisualPlan", name, (), "at least one number")
            for number in getattr(self, name):
                check_number("VisualPlan", name, number, least=1, whole=True)
        if len(self.image) != 3:
            raise SettingError("VisualPlan", "image", self.image, "(channel, row, column)")
        check_choice("VisualPlan", "early", self.early, EARLY)
        check_choice("VisualPlan", "reentry", self.reentry, self.areas)
        if isinstance(self.developed, os.PathLike):
            object.__setattr__(self, "developed", os.fspath(self.developed))
        if not isinstance(self.developed, str | None):
            raise SettingError("VisualPlan", "developed", self.developed, f"None, {NAIVE!r} or the path of a file")

    @property
    def areas(self) -> tuple[str, ...]:
        """Names of the areas from bottom to top."""
        early = (f"early_{i}" for i in range(1, len(self.channels) + 1))
        return (RETINA, *early, *(f"association_{i}" for i in range(1, len(self.units) + 1)))

    def build(self) -> VisualCortex:
        """Grow the cortex; the initial synapses of its association areas come from torch's current random state.

        They are those that a :class:`~replaysim.cortex.DenseCortex` on top of the highest early area would have.

        Raises
        ------
        SettingError
            If ``channels`` or ``image`` are not those of the file.
        MissingDataError, LogError, DataError
            If the file cannot be used, see :func:`~replaysim.early_areas.load_early_areas`.
        """
        with torch.random.fork_rng(devices=[]):
            early = self._naive() if self.developed == NAIVE else self._developed()
        early.critical_period = EARLY[self.early]
        return VisualCortex(early, self.units, self.reentry, alike=self.developed != NAIVE)

    def _naive(self) -> EarlyAreas:
        torch.default_generator.manual_seed(
            int(torch.randint(2**62, ()))
        )  # not the numbers that the association areas will draw
        return EarlyAreas(self.channels, self.image)

    def _developed(self) -> EarlyAreas:
        path = (shipped() if self.developed is None else Path(self.developed)).absolute()
        known = path.stat() if path.is_file() else None
        early = _read(path, *((known.st_mtime_ns, known.st_size) if known else (0, 0)))
        channels, image = tuple(early.shapes[area][0] for area in early.areas[1:]), early.shapes[RETINA]
        for name, given, held in (("channels", self.channels, channels), ("image", self.image, image)):
            if given != held:
                raise SettingError(
                    "VisualPlan",
                    "developed",
                    str(path),
                    f"a file of early areas with {name} {given}, those of the brain's plan, or 'naive'; these have "
                    f"{held} (a plan for others: docs/extending.md, Your own early visual areas)",
                )
        return copy.deepcopy(early)


def check_developed(owner: str, name: str, file: str | Path) -> None:
    """See that early areas can be grown from a file, before anything else is asked of it.

    Parameters
    ----------
    owner, name
        Whose option this is, for errors.
    file
        What :func:`~replaysim.early_areas.save_early_areas` wrote.

    Raises
    ------
    SettingError
        If there is no such file.
    DataError
        If it holds something else, or areas of other shapes than the paper's.
    """
    if not Path(file).is_file():
        raise SettingError(owner, name, str(file), "a file that is there")
    with torch.random.fork_rng(devices=[]):  # growing draws initial synapses
        VisualPlan((1,), developed=str(file)).build()


@lru_cache(maxsize=4)
def _read(path: Path, _changed: int, _size: int) -> EarlyAreas:
    """Early areas in a file, which is read again only when it has changed."""
    return load_early_areas(path)[0]


class VisualCortex(AbstractCortex):
    r"""Early areas, and association areas, each :math:`h_a = \max(0, g_a \odot W_a h_{a-1} + b_a)`.

    The openness :math:`g_a` is 1 unless given. Initial synapses and biases of the association areas are uniform within
    :math:`\pm 1/\sqrt{\text{inputs of the unit}}`.

    Parameters
    ----------
    early
        The early areas, which become part of this cortex; frozen where their critical period is closed.
    units
        Units of the association areas.
    reentry
        Area at which feedback re-creates activity.
    alike
        Whether all animals have the same early areas when their life in the simulation begins.

    Attributes
    ----------
    early, association_1, association_2, ...
        The areas.
    nonlinearities
        ``"relu"`` or ``"none"`` for every area; the retina and the highest early area are linear.
    gateable
        Areas whose drive can be scaled: the association areas.
    """

    def __init__(self, early: EarlyAreas, units: Sequence[int], reentry: str, *, alike: bool = True) -> None:
        super().__init__()
        association = tuple(f"association_{i}" for i in range(1, len(units) + 1))
        self.areas = (*early.areas, *association)
        self.sizes = {**early.sizes, **dict(zip(association, units, strict=True))}
        check_choice("VisualCortex", "reentry", reentry, self.areas)
        self.reentry, self.alike = reentry, alike
        linear = (RETINA, early.top)
        self.nonlinearities = {area: "none" if area in linear else "relu" for area in self.areas}
        self.gateable = association
        self.early = early
        below = early.top
        for area in association:
            self.add_module(area, nn.Linear(self.sizes[below], self.sizes[area]))
            below = area

    def forward(
        self,
        activity: Tensor,
        start: str = RETINA,
        stop: str | None = None,
        openness: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Activity of every area from ``start`` (given) up to ``stop`` (default: the top).

        Parameters
        ----------
        activity
            Activity of the area ``start``: (trial, unit) or, up to the highest early area,
            (trial, channel, row, column); at the retina, images after :func:`replaysim.retina.adapt`.
        openness
            Association area to a factor of its drive before the bias is added, (trial, unit); areas that are left out
            are open.

        Returns
        -------
        dict
            Area name to activity (trial, unit), arbitrary units, after the non-linearity; units of the retina and the
            early areas in the order channel, row, column.

        Raises
        ------
        SettingError
            If ``start`` or ``stop`` is no area, ``stop`` lies below ``start``, or ``openness`` names an area that is
            always open.
        DataError
            If the activity does not fit an early area ``start``.
        """
        check_choice("VisualCortex", "start", start, self.areas)
        climbed = self.areas[self.areas.index(start) :]
        if stop is not None:
            check_choice("VisualCortex", "stop", stop, climbed)
            climbed = climbed[: climbed.index(stop) + 1]
        openness = openness or {}
        for area in openness.keys() - set(self.gateable):
            raise SettingError("VisualCortex", "openness", area, one_of(self.gateable))
        evoked = {start: activity}
        if start not in self.gateable:
            highest = stop if stop in self.early.areas else self.early.top
            evoked = {area: seen.flatten(1) for area, seen in self.early(activity, start, highest).items()}
        activity = evoked[next(reversed(evoked))]
        for area in climbed:
            if area not in evoked:
                activity = torch.relu(self._drive(area, activity, openness.get(area)))
                evoked[area] = activity
        return evoked

    def _drive(self, area: str, below: Tensor, openness: Tensor | None) -> Tensor:
        synapses = self.get_submodule(area)
        if openness is None:
            return synapses(below)
        assert isinstance(synapses, nn.Linear)
        return openness * functional.linear(below, synapses.weight) + synapses.bias


def standing_area(cortex: AbstractCortex) -> str:
    """Highest area whose activity stands still: nothing up to it learns, and it is the same in all animals.

    What stimuli evoke there can be computed once, for a whole life and for every animal. A re-entry area that lies
    lower has to be reached from lower still: see ``reentry``.

    Returns
    -------
    str
        The highest early area of a frozen visual cortex that developed before; else ``"retina"``.
    """
    if isinstance(cortex, VisualCortex) and cortex.alike and cortex.early.critical_period == "closed":
        return cortex.early.top
    return RETINA
