"""Command lines: one from a dataclass, and the console script."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from replaysim import cli
from replaysim.commandline import parse_settings, run_study
from replaysim.errors import SettingError


@dataclass(frozen=True)
class Example:
    """An example."""

    animals: tuple[int, ...] = field(default=(12, 13), metadata={"help": "seeds"})
    scenario: Literal["task", "class"] = field(default="class", metadata={"help": "what is known"})
    step_size: float = field(default=0.1, metadata={"help": "how fast"})
    out: Path | None = field(default=None, metadata={"help": "folder"})
    quick: bool = field(default=False, metadata={"help": "short"})

    def __post_init__(self) -> None:
        if self.step_size <= 0:
            raise SettingError("Example", "step_size", self.step_size, "a number > 0")


def test_defaults_and_types() -> None:
    assert parse_settings(Example, []) == Example()
    given = ["--animals", "3:6", "--scenario", "task", "--step-size", "2", "--out", "here", "--quick"]
    assert parse_settings(Example, given) == Example((3, 4, 5), "task", 2.0, Path("here"), True)
    assert parse_settings(Example, ["--animals", "1,5"]).animals == (1, 5)
    assert parse_settings(Example, ["--animals", "7"]).animals == (7,)


def test_help_explains_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse_settings(Example, ["--help"])
    assert left.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for words in ("--step-size", "how fast (default: 0.1)", "seeds (default: 12:14)", "--no-quick", "{task,class}"):
        assert words in text


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--animals", "5:5"], "holds no animal"),
        (["--animals", "a"], "none of 12:22"),
        (["--scenario", "domian"], "invalid choice: 'domian'"),
        (["--step-size", "-1"], "Example.step_size: got -1.0, must be a number > 0"),
        (["--unknown"], "unrecognized arguments"),
    ],
)
def test_slips(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse_settings(Example, argv)
    assert left.value.code == 2
    assert words in capsys.readouterr().err


def test_errors_of_a_study_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def main(_: Example) -> None:
        raise SettingError("X", "y", 1, "2")

    with pytest.raises(SystemExit) as left:
        run_study(main, Example, [])
    assert left.value.code == 2
    assert capsys.readouterr().err == "error: X.y: got 1, must be 2\n"


def test_console_lists_presets(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["run", "--list"])
    out = capsys.readouterr().out
    assert "split_mnist/class/brain_inspired" in out and "lambda = 1e+09" in out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["run", "split_mnist/class/nothin"], "must be one of"),
        (["run"], "replaysim run --list"),
        (["describe", "not/there"], "not/there"),
    ],
)
def test_console_slips(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(argv)
    assert left.value.code == 2
    assert words in capsys.readouterr().err
