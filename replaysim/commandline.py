"""Command lines made from one frozen dataclass: its fields are the options, their metadata the help."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from .errors import ReplaysimError, SettingError, check_number

T = TypeVar("T")


SCENARIO = "task: animals are told which context it is; domain: it does not matter; class: all classes compete"
"""What the option ``--scenario`` of studies says."""


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


def parse_animals(text: str) -> tuple[int, ...]:
    """Seeds from ``12:22`` (22 not included), ``12,14,15`` or ``12``."""
    try:
        if ":" in text:
            first, last = (int(part) for part in text.split(":"))
            seeds = tuple(range(first, last))
        else:
            seeds = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is none of 12:22, 12,14,15 or 12") from None
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text!r} holds no animal")
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice:
        raise argparse.ArgumentTypeError(f"{text!r}: given twice: {', '.join(map(str, twice))}")
    return seeds


def check_counts(owner: str, settings: object, names: Iterable[str]) -> None:
    """Raise :class:`SettingError` where one of these fields is neither None nor a whole number from 1."""
    for name in names:
        if getattr(settings, name) is not None:
            check_number(owner, name, getattr(settings, name), least=1, whole=True)


def check_early(owner: str, early: Path | None, *, photographs: bool) -> None:
    """Raise :class:`SettingError` for a file with early areas that is not there, or that nobody would use."""
    if early is None:
        return
    if not photographs:
        raise SettingError(owner, "early", str(early), "left out: digits need no early areas")
    if not early.is_file():
        raise SettingError(owner, "early", str(early), "a file that is there")


def parse_settings(cls: type[T], argv: Sequence[str] | None = None) -> T:
    """Settings from a command line.

    Parameters
    ----------
    cls
        A frozen dataclass. Fields may be ``int``, ``float``, ``str``, ``bool``, ``Path``, a ``Literal``, ``tuple[int,
        ...]`` (seeds of animals), or any of these or None; ``metadata={"help": ...}`` explains them.
    argv
        Arguments; default: those of the program.
    """
    hints = typing.get_type_hints(cls)
    parser = argparse.ArgumentParser(description=(cls.__doc__ or "").strip(), allow_abbrev=False)
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        _add(parser, field, hints[field.name])
    values = vars(parser.parse_args(argv))
    try:
        return cls(**values)
    except ReplaysimError as error:
        parser.error(str(error))


def _add(parser: argparse.ArgumentParser, field: dataclasses.Field[Any], hint: Any) -> None:
    options = [part for part in typing.get_args(hint) if part is not type(None)]
    if typing.get_origin(hint) in (Union, types.UnionType) and len(options) == 1:
        hint = options[0]
    shown = _shown(field.default)
    about = field.metadata.get("help", "")
    given: dict[str, Any] = {"default": field.default, "help": f"{about} (default: {shown})" if shown else about}
    if hint is bool:
        given["action"] = argparse.BooleanOptionalAction
    elif typing.get_origin(hint) is Literal:
        given["choices"] = typing.get_args(hint)
    elif typing.get_origin(hint) is tuple:
        given |= {"type": parse_animals, "metavar": "SEEDS"}
    else:
        given["type"] = hint
    parser.add_argument("--" + field.name.replace("_", "-"), **given)


def _shown(default: object) -> str:
    if isinstance(default, tuple) and default == tuple(range(default[0], default[-1] + 1)):
        return f"{default[0]}:{default[-1] + 1}"
    if isinstance(default, bool):
        return "yes" if default else "no"
    return "" if default is None else str(default)


def run_study(main: Callable[[T], None], cls: type[T], argv: Sequence[str] | None = None) -> None:
    """Run a study from the command line; a user's slip becomes a sentence, not a traceback."""
    exit_with(lambda: main(parse_settings(cls, argv)))


def exit_with(action: Callable[[], None]) -> None:
    """Run; on a user's slip or Ctrl-C say so in one line and leave with exit code 2 or 130."""
    try:
        action()
    except ReplaysimError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nstopped; where there is an output folder, finished contexts are in it", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
