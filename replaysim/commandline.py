"""Command lines made from one frozen dataclass: its fields are the options, their metadata the help."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import inspect
import shlex
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar, Union

from .allocation import keep_memory
from .errors import ReplaysimError, SettingError

T = TypeVar("T")


def parse_animals(text: str) -> tuple[int, ...]:
    """Seeds from ``12:22`` (22 not included), ``12,14,15`` or ``12``."""
    try:
        if ":" in text:
            first, last = (int(part) for part in text.split(":"))
            seeds = tuple(range(first, last))
        else:
            seeds = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write 12:22 (22 not included), 12,14,15 or 12") from None
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text!r} holds no animal")
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
    if twice:
        raise argparse.ArgumentTypeError(f"{text!r}: given twice: {', '.join(map(str, twice))}")
    return seeds


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
    about = (sys.modules[cls.__module__].__doc__ or "").partition("\n")[2].strip("\n")  # run time and all
    parser = argparse.ArgumentParser(
        description=inspect.cleandoc(cls.__doc__ or ""),
        epilog=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        _add(parser, field, hints[field.name])
    values = vars(parser.parse_args(argv))
    try:
        return cls(**values)
    except ReplaysimError as error:
        parser.error(in_words(error, options_of(cls)))


def _add(parser: argparse.ArgumentParser, field: dataclasses.Field[Any], hint: Any) -> None:
    options = [part for part in typing.get_args(hint) if part is not type(None)]
    if typing.get_origin(hint) in (Union, types.UnionType) and len(options) == 1:
        hint = options[0]
    shown = _shown(field.default)
    about = field.metadata.get("help", "")
    given: dict[str, Any] = {
        "default": field.default,
        "help": f"{about} (default: {shown})" if shown and "(default" not in about else about,
    }
    if hint is bool:
        given["action"] = argparse.BooleanOptionalAction
    elif typing.get_origin(hint) is Literal:
        given["choices"] = typing.get_args(hint)
    elif typing.get_origin(hint) is tuple:
        given |= {"type": parse_animals, "metavar": "SEEDS"}
    else:
        given["type"] = hint
    parser.add_argument("--" + field.name.replace("_", "-"), **given)


def _seeds(animals: tuple[int, ...]) -> str:
    """Seeds as :func:`parse_animals` reads them."""
    if animals == tuple(range(animals[0], animals[-1] + 1)):
        return f"{animals[0]}:{animals[-1] + 1}"
    return ",".join(map(str, animals))


def _shown(default: object) -> str:
    if isinstance(default, tuple):
        return _seeds(default)
    if isinstance(default, bool):
        return "yes" if default else "no"
    return "" if default is None else str(default)


def arguments(settings: object) -> str:
    """What has to be typed to get these settings from :func:`parse_settings`, as a shell would read it."""
    words: list[str] = []
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]
        value = getattr(settings, field.name)
        option = field.name.replace("_", "-")
        if value == field.default:
            continue
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [f"--{option}", _seeds(value) if isinstance(value, tuple) else str(value)]
    return shlex.join(words)


def load_script(path: Path) -> ModuleType:
    """A script, such as a study, as a module; always the same one."""
    path = path.resolve()
    name = f"script_{path.stem}"
    known = sys.modules.get(name)
    if known is not None and known.__file__ == str(path):
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def run_study(main: Callable[[T], None], cls: type[T], argv: Sequence[str] | None = None) -> None:
    """Run a study from the command line; a user's slip becomes a sentence, not a traceback."""
    exit_with(lambda: main(parse_settings(cls, argv)), options_of(cls))


def options_of(cls: type) -> dict[str, str]:
    """What one types for a setting of this name."""
    return options_named(field.name for field in dataclasses.fields(cls))


def options_named(names: Iterable[str]) -> dict[str, str]:
    """What one types for settings of these names; early areas are settings of another name where they are read."""
    found = {name: "--" + name.replace("_", "-") for name in names}
    return found | ({"developed": found["early"]} if "early" in found else {})


def in_words(error: ReplaysimError, options: Mapping[str, str]) -> str:
    """An error as somebody reads it who typed options, and knows no objects."""
    if isinstance(error, SettingError) and error.attribute in options:
        return f"{options[error.attribute]}: got {error.value!r}, must be {error.must}"
    return str(error)


def exit_with(action: Callable[[], None], options: Mapping[str, str] | None = None) -> None:
    """Run; on a user's slip or Ctrl-C say so in one line and leave with exit code 2 or 130.

    ``options`` says what one types for a setting, see :func:`options_of`.
    """
    keep_memory()
    try:
        action()
    except ReplaysimError as error:
        print(f"error: {in_words(error, options or {})}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        said = "stopped; where there is an output folder, what was finished is in it, and a study goes on from there"
        print(f"\n{said} when it is started again", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
