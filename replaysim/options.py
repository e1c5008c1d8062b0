"""Options that studies share: where and how precisely to compute, who the animals are, and how long their lives.

What changes the numbers is a word in the name of the output folder, so that a folder holds what can be compared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from .errors import SettingError, check_number

SCENARIO = "task: animals are told which context it is; domain: it does not matter; class: all classes compete"
"""What the option ``--scenario`` of studies says."""
_COUNTS = ("workers", "threads", "at_once", "steps")


@dataclasses.dataclass(frozen=True)
class ComputingOptions:
    """Options of studies whose brains may be large: where, how precisely, and how many animals at a time."""

    device: str = dataclasses.field(default="cpu", metadata={"help": "cpu, cuda, mps or auto"})
    workers: int | None = dataclasses.field(
        default=None, metadata={"help": "processes on a CPU (default: cores / threads)"}
    )
    threads: int = dataclasses.field(
        default=1, metadata={"help": "CPU threads of each process; more are for a single animal (default: 1)"}
    )
    at_once: int | None = dataclasses.field(
        default=None,
        metadata={"help": "animals simulated together (default: all; wide brains on a CPU: one a worker)"},
    )
    precision: Literal["float32", "bfloat16"] = dataclasses.field(
        default="float32",
        metadata={
            "help": "bfloat16: mixed precision, layers multiply in it while animals learn; labelled (default: float32)"
        },
    )

    @property
    def where(self) -> dict[str, Any]:
        """What decides where animals are simulated, and not what comes out."""
        return {"device": self.device, "workers": self.workers, "threads": self.threads}

    @property
    def rounded(self) -> list[str]:
        """The precision as a word in the names of folders; none where it is the usual."""
        return [] if self.precision == "float32" else [self.precision]


@dataclasses.dataclass(frozen=True)
class ProtocolOptions(ComputingOptions):
    """Options of studies that run arms of the paper's protocols: what the animals meet, and how shortened."""

    protocol: str = dataclasses.field(default="digits", metadata={"help": "what the animals meet"})
    steps: int | None = dataclasses.field(
        default=None,
        metadata={"help": "steps per context instead of the usual; labelled, to be compared with its like only"},
    )
    early: Path | None = dataclasses.field(
        default=None, metadata={"help": "file with early areas (default: those that come with replaysim)"}
    )
    overwrite: bool = dataclasses.field(
        default=False, metadata={"help": "simulate again what is complete in that folder"}
    )
    quick: bool = dataclasses.field(default=False, metadata={"help": "a few steps only, to see that everything works"})

    def check(self, owner: str, *counts: str) -> None:
        """Raise an error for a count (these, too) below 1, and for early areas not there, unreadable or for nobody."""
        check_counts(owner, self, (*_COUNTS, *counts))
        if self.early is None:
            return
        if not self.photographs:
            raise SettingError(
                owner, "early", str(self.early), "left out: only photographs are seen through early areas"
            )
        from .visual_cortex import check_developed

        check_developed(owner, "early", self.early)

    @property
    def world(self) -> str:
        """Name of the protocol in the names of presets."""
        return self.protocol.replace("-", "_")

    @property
    def photographs(self) -> bool:
        """Whether what is met are photographs."""
        return self.world == "split_cifar100"

    @property
    def areas(self) -> str:
        """Which early areas, by what they hold; or ``none``."""
        from .early_areas import which_areas

        return which_areas(self.early) if self.photographs else "none"

    @property
    def _other_areas(self) -> list[str]:
        """The early areas, where they are not the usual ones."""
        from .early_areas import shipped_areas

        return [] if self.early is None or self.areas == shipped_areas() else [self.areas]

    @property
    def shortened(self) -> list[str]:
        """Words in the names of folders for what makes lives others than the usual; none where nothing does."""
        words = [] if self.steps is None else [f"{self.steps}_steps"]
        words += [f"early_{areas}" for areas in self._other_areas]
        return [*words, *self.rounded, *(["quick"] if self.quick else [])]

    @property
    def rhythm(self) -> list[str]:
        """What a title says of the number of steps where it is not the usual one."""
        if self.quick:
            return ["QUICK: says nothing about the arms"]
        return [] if self.steps is None else [f"{self.steps} steps per context"]

    @property
    def remarks(self) -> list[str]:
        """What a title says of early areas and precision where they are not the usual ones."""
        return [
            *(f"early areas of a file ({areas}...)" for areas in self._other_areas),
            *(f"mixed precision ({precision})" for precision in self.rounded),
        ]

    @property
    def lived(self) -> dict[str, Any]:
        """What :func:`~replaysim.portions.live` gets, whatever the arm."""
        from .portions import together

        wide = self.world in ("permuted_mnist", "split_cifar100")
        many = together(self.at_once, wide=wide, **self.where)
        return {"at_once": many, "overwrite": self.overwrite, "precision": self.precision, **self.where}


@dataclasses.dataclass(frozen=True)
class PresetOptions(ProtocolOptions):
    """Options of studies whose arms are presets."""

    scenario: Literal["task", "domain", "class"] | None = dataclasses.field(
        default=None, metadata={"help": f"{SCENARIO} (default: class; permuted MNIST: domain)"}
    )

    @property
    def known(self) -> str:
        """The scenario."""
        return self.scenario or ("domain" if self.world == "permuted_mnist" else "class")


@dataclasses.dataclass(frozen=True)
class MatchedOptions:
    """Options that studies with matched brains share."""

    protocol: Literal["digits", "split-mnist"] = dataclasses.field(
        default="digits", metadata={"help": "what the animals meet"}
    )
    animals: tuple[int, ...] = dataclasses.field(
        default=tuple(range(12, 18)), metadata={"help": "seeds of the animals, e.g. 12:22 (22 not included)"}
    )
    out: Path | None = dataclasses.field(
        default=None, metadata={"help": "folder for logs, tables and figures (default: one in runs/)"}
    )
    overwrite: bool = dataclasses.field(default=False, metadata={"help": "replace an earlier run in that folder"})
    device: str = dataclasses.field(default="cpu", metadata={"help": "cpu, cuda, mps or auto"})
    workers: int | None = dataclasses.field(default=None, metadata={"help": "processes on a CPU (default: one a core)"})
    quick: bool = dataclasses.field(default=False, metadata={"help": "a few steps only, to see that everything works"})

    @property
    def others(self) -> list[str]:
        """Who the animals are, for the name of a folder, where they are not the usual ones."""
        from .portions import label

        (usual,) = (field.default for field in dataclasses.fields(self) if field.name == "animals")
        return [] if not self.animals or self.animals == usual else [label(self.animals)]


def check_counts(owner: str, settings: object, names: Iterable[str]) -> None:
    """Raise :class:`SettingError` where one of these fields is neither None nor a whole number from 1."""
    for name in names:
        if getattr(settings, name) is not None:
            check_number(owner, name, getattr(settings, name), least=1, whole=True)
