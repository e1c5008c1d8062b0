"""Cortex: a hierarchy of areas through which activity climbs from the retina.

A cortex is an ordinary :class:`torch.nn.Module` for *one* animal with three attributes and one method (see
:class:`AbstractCortex`); a colleague's own network fits in when it offers them. Two further attributes are optional.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from .errors import SettingError, check_choice, check_number

RETINA = "retina"
NONLINEARITIES = ("none", "relu")


class AbstractCortex(nn.Module, ABC):
    """What the rest of the toolkit asks of a cortex.

    Attributes
    ----------
    areas
        Names from bottom to top; the first, ``"retina"``, is the stimulus itself.
    sizes
        Number of units of every area.
    reentry
        The area at which feedback re-creates activity, and from which replay climbs again.
    nonlinearities
        What an area does to its drive: ``"relu"`` or ``"none"``. Feedback re-creates activity of that kind. An area
        that is not named counts as ``"none"``.
    gateable
        Areas whose units a context can silence (:mod:`replaysim.context_gating`). A cortex that names any takes a
        further argument of ``forward``: ``openness``, area name to (trial, unit) in [0, 1], which multiplies what an
        area receives from below, *before* its bias and its non-linearity; areas not in it are open.
    """

    areas: tuple[str, ...]
    sizes: Mapping[str, int]
    reentry: str
    nonlinearities: Mapping[str, str] = MappingProxyType({})
    gateable: tuple[str, ...] = ()

    @abstractmethod
    def forward(self, activity: Tensor, start: str = RETINA, stop: str | None = None) -> dict[str, Tensor]:
        """Activity of every area from ``start`` (given) up to ``stop`` (default: the top).

        Parameters
        ----------
        activity
            Activity of the area ``start``, (trial, unit) or, at the retina, (trial, ...).

        Returns
        -------
        dict
            Area name to activity (trial, unit), arbitrary units, after the non-linearity; ``start`` included.
        """


class CortexPlan(Protocol):
    """Anything that grows a cortex."""

    def build(self) -> AbstractCortex:
        """Grow one; its initial synapses come from torch's current random state."""
        ...


@dataclass(frozen=True)
class OwnCortex:
    """Plan of a colleague's own cortex.

    Parameters
    ----------
    make
        A class or function without arguments that returns the cortex. It may return the same one, e.g. trained before,
        at every call: every animal gets a copy, so that none learns with the synapses of another, or with yours.
    """

    make: Callable[[], AbstractCortex]

    def build(self) -> AbstractCortex:
        """Grow it; its initial synapses come from torch's current random state.

        Raises
        ------
        SettingError
            If it cannot be copied.
        """
        made = self.make()
        try:
            return copy.deepcopy(made)
        except Exception as error:
            said = f"{type(error).__name__}: {error}".splitlines()[0]
            must = (
                "a module that copy.deepcopy can copy, as every animal gets one of its own: without open files, locks "
                "and tensors that autograd has made"
            )
            raise SettingError("OwnCortex", "make", f"{type(made).__name__} ({said})", must) from error


@dataclass(frozen=True)
class DensePlan:
    """Settings of a cortex of fully connected areas.

    Parameters
    ----------
    inputs
        Elements of one stimulus.
    units
        Units of ``association_1``, ``association_2``, ... (the paper: two areas of 400 or 2000 units).
    reentry
        Area at which feedback re-creates activity: ``"retina"`` or an association area. At the highest
        one, replay teaches the readout and the hippocampus only.
    """

    inputs: int
    units: tuple[int, ...] = (400, 400)
    reentry: str = RETINA

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", tuple(self.units))
        check_number("DensePlan", "inputs", self.inputs, least=1, whole=True)
        if not self.units:
            raise SettingError("DensePlan", "units", self.units, "the sizes of at least one association area")
        for units in self.units:
            check_number("DensePlan", "units", units, least=1, whole=True)
        check_choice("DensePlan", "reentry", self.reentry, self.areas)

    @property
    def areas(self) -> tuple[str, ...]:
        """Names of the areas from bottom to top."""
        return (RETINA, *(f"association_{i}" for i in range(1, len(self.units) + 1)))

    def build(self) -> DenseCortex:
        """Grow the cortex; its initial synapses come from torch's current random state."""
        return DenseCortex(self.inputs, self.units, self.reentry)


class DenseCortex(AbstractCortex):
    r"""Association areas, each :math:`h_a = \max(0, o_a W_a h_{a-1} + b_a)`.

    The openness :math:`o_a` of a unit is 1 but where a context silences it. A unit that is silenced is left with its
    bias, :math:`h_a = \max(0, b_a)`, as in the published simulations.

    Initial synapses and biases are uniform within :math:`\pm 1/\sqrt{\text{inputs of the unit}}`.
    """

    def __init__(self, inputs: int, units: Sequence[int], reentry: str = RETINA) -> None:
        super().__init__()
        self.areas = (RETINA, *(f"association_{i}" for i in range(1, len(units) + 1)))
        self.sizes = dict(zip(self.areas, (inputs, *units), strict=True))
        self.reentry = reentry
        self.nonlinearities = {RETINA: "none", **dict.fromkeys(self.areas[1:], "relu")}
        self.gateable = self.areas[1:]
        fan_in = inputs
        for area, n in zip(self.areas[1:], units, strict=True):
            self.add_module(area, nn.Linear(fan_in, n))
            fan_in = n

    def forward(
        self,
        activity: Tensor,
        start: str = RETINA,
        stop: str | None = None,
        openness: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """See :meth:`AbstractCortex.forward`; stimuli of any shape are flattened at the retina.

        Parameters
        ----------
        openness
            Area name to openness of its units, (trial, unit) in [0, 1]; areas not in it are open.

        Raises
        ------
        SettingError
            If ``openness`` names an area that cannot be gated.
        """
        openness = {} if openness is None else openness
        for area in openness:
            check_choice("DenseCortex", "openness", area, self.gateable)
        if start == RETINA:
            activity = activity.flatten(1)
        evoked = {start: activity}
        first = self.areas.index(start) + 1
        last = len(self.areas) if stop is None else self.areas.index(stop) + 1
        for area in self.areas[first:last]:
            synapses = self.get_submodule(area)
            drive = gated(synapses, activity, openness[area]) if area in openness else synapses(activity)
            activity = torch.relu(drive)
            evoked[area] = activity
        return evoked


def gated(synapses: nn.Module, activity: Tensor, openness: Tensor) -> Tensor:
    """Drive of dense synapses whose input is gated, and whose bias is not; (trial, unit)."""
    assert isinstance(synapses, nn.Linear)
    drive = openness * functional.linear(activity, synapses.weight)
    return drive if synapses.bias is None else drive + synapses.bias


TAKEN = (
    *("logits", "code_mean", "code_log_variance"),
    *("activity", "animal", "context", "contexts_learned", "original_class", "snapshot", "step", "stimulus", "unit"),
)
"""What areas cannot be called: what else a stimulus evokes, and what labels activity in a log."""


def check_cortex(cortex: AbstractCortex, stimulus_size: int) -> None:
    """Raise :class:`SettingError` where a cortex misses an attribute or contradicts itself."""
    owner = type(cortex).__name__
    for name in ("areas", "sizes", "reentry"):
        if getattr(cortex, name, None) is None:
            raise SettingError(owner, name, None, "given: a cortex has `areas`, `sizes` and `reentry`")
    if cortex.areas[0] != RETINA or len(cortex.areas) < 2:
        raise SettingError(
            owner, "areas", cortex.areas, f"names from bottom to top, the first being {RETINA!r}, then at least one"
        )
    for area in cortex.areas:
        if not isinstance(area, str) or not area or "/" in area or area in TAKEN:
            must = f"names without /, none of {', '.join(TAKEN)}: logs have these for others"
            raise SettingError(owner, "areas", area, must)
    if len(set(cortex.areas)) < len(cortex.areas):
        raise SettingError(owner, "areas", cortex.areas, "different names")
    if set(cortex.areas) - set(cortex.sizes):
        raise SettingError(
            owner, "sizes", dict(cortex.sizes), f"the number of units of every area in {tuple(cortex.areas)}"
        )
    check_choice(owner, "reentry", cortex.reentry, tuple(cortex.areas))
    if cortex.sizes[RETINA] != stimulus_size:
        raise SettingError(
            owner,
            "sizes['retina']",
            cortex.sizes[RETINA],
            f"{stimulus_size}, the elements of one stimulus of the protocol",
        )
    check_choices_of_areas(cortex)


def check_choices_of_areas(cortex: AbstractCortex) -> None:
    """Raise :class:`SettingError` where what a cortex says about non-linearities and gates does not fit its areas."""
    owner = type(cortex).__name__
    for area, nonlinearity in cortex.nonlinearities.items():
        check_choice(owner, "nonlinearities", area, cortex.areas)
        check_choice(owner, f"nonlinearities[{area!r}]", nonlinearity, NONLINEARITIES)
    for area in cortex.gateable:
        check_choice(owner, "gateable", area, tuple(cortex.areas)[1:])
