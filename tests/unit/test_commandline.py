"""Command lines: one from a dataclass, and the console script."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import small

import replaysim as rs
from replaysim import cli, presets, resumption
from replaysim.cohort import Cohort
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
        (["--animals", "a"], "'a': write 12:22 (22 not included)"),
        (["--animals", "4,5,4"], "given twice: 4"),
        (["--scenario", "domian"], "invalid choice: 'domian'"),
        (["--step-size", "-1"], "--step-size: got -1.0, must be a number > 0"),
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
    lines = out.splitlines()
    for group in ("split_mnist/class", "permuted_mnist/domain", "split_cifar100/task"):
        assert sum(line.startswith(f"{group}/   ") for line in lines) == 1, "settings that arms share stand above them"
    assert lines[-1].endswith("(its log is kept in runs/, or in --out FOLDER)")
    assert "lambda = 1e+09" in out and "5000 steps per context, batch 256, rate 0.0001" in out
    assert max(map(len, lines)) < 180 and len(lines) < 220
    assert sum(line.startswith("  without_") for line in lines) == 4 + 2 + 7 + 5, "with slips"
    cli.main(["run", "--list", "split_cifar100/class"])
    some = capsys.readouterr().out
    assert "split_mnist" not in some and "brain_inspired_si " in some and "  [van de Ven, Tuytelaars" in some
    cli.main(["run", "--list", "split_mnist/task/xdg"])
    assert capsys.readouterr().out == (
        "split_mnist/task/xdg: plain classifier, each context silences 0.9 of the cortex (XdG); "
        "2000 steps per context, batch 128, rate 0.001\n"
    )


@pytest.mark.parametrize(("animals", "words"), [("12:14", "± "), ("12", "% (n = 1; chance 10 %)")])
def test_console_says_what_came_out(
    animals: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = small.simulate(protocol=small.protocol(), animals=tuple(range(12, 14))[: 2 if ":" in animals else 1]).log
    log["behaviour/chance"][:] = 0.1
    monkeypatch.setattr(presets, "plan", lambda *_given, **_settings: (None, None, None))
    found = SimpleNamespace(log=log, simulated=True)
    monkeypatch.setattr(resumption, "simulate_once", lambda *_given, **_settings: found)
    cli.main(["run", "split_mnist/class/nothing", "--animals", animals])
    out = capsys.readouterr().out
    assert words in out and "nan" not in out
    assert f"\nlog: runs/split_mnist/class/nothing/animals_{'12-13' if ':' in animals else '12'}/run.nc" in out
    assert ("mean ± s.e., n = 2; chance 10 %" in out) == (":" in animals)
    found.simulated = False
    cli.main(["run", "split_mnist/class/nothing", "--animals", animals, "--out", "there"])
    assert "\nlog, simulated earlier: there/run.nc (replaysim describe there)\n" in capsys.readouterr().out


def test_a_folder_for_any_animals() -> None:
    seeds = tuple(range(10, 210, 2))
    given = cli.parser().parse_args(["run", "a/b/c", "--contexts", "3"])
    others = [cli._folder(given, seeds), cli._folder(given, (*seeds[:50], 111, *seeds[51:]))]
    assert all(re.fullmatch(r"animals_100_of_10-208_[0-9a-f]{8}_contexts_3", folder.name) for folder in others)
    assert others[0] != others[1] and others[0].parent == Path("runs/a/b/c")


def test_console_goes_on_where_it_was_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And keeps what it has lived, without being asked to."""
    monkeypatch.chdir(tmp_path)
    own, lived = small.protocol(), []
    plan = (own, small.brain(own), rs.Learning(steps=2, batch=4, rate=1e-3))
    monkeypatch.setattr(presets, "plan", lambda *_given, **_settings: plan)
    real = Cohort.learn

    def learn(*given: Any) -> Any:
        lived.append(1)
        if len(lived) == 5:  # in the third context
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(Cohort, "learn", learn)
    ask = ["run", "split_mnist/class/nothing", "--animals", "12", "--workers", "1"]
    with pytest.raises(SystemExit):
        cli.main(ask)
    steps = len(lived) - 1
    cli.main(ask)
    assert steps == 4 and len(lived) - 5 == 2, "of the third context alone"
    first = capsys.readouterr().out
    cli.main(ask)
    assert len(lived) == 7 and capsys.readouterr().out == first.replace("log:", "log, simulated earlier:")


HOW = ("--precision", "bfloat16", "--threads", "3", "--workers", "2", "--device", "auto", "--quick", "--overwrite")
HOW += ("--animals", "6,5")


def test_console_passes_everything_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    given: dict[str, Any] = {}

    def plan(preset: presets.Preset, **settings: object) -> tuple[None, None, None]:
        given.update(settings, name=preset.name)
        return None, None, None

    def once(_brain: object, _protocol: object, **settings: object) -> None:
        given.update(settings)
        raise SettingError("X", "y", 1, "2")

    monkeypatch.setattr(presets, "plan", plan)
    monkeypatch.setattr(resumption, "simulate_once", once)
    name = "split_cifar100/class/si"
    with pytest.raises(SystemExit):
        cli.main(["run", name, "--steps", "7", "--chance", "3", "--early", "x.safetensors", *HOW])
    assert (given["name"], given["steps"], given["chance"]) == (name, 7, 3)
    assert given["developed"] == Path("x.safetensors") and given["consolidation"].c > 0
    assert given["out"] == Path("runs", name, "animals_5-6_steps_7_life_3_bfloat16_x_quick")
    assert given["animals"] == (5, 6) and given["quick"] and given["overwrite"] and given["checkpoints"]
    assert (given["label"], given["device"], given["contexts"]) == (name, "auto", None)
    assert (given["precision"], given["threads"], given["workers"]) == ("bfloat16", 3, 2)
    assert "error: X.y" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["run", "split_mnist/class/nothin"], "must be one of 'split_mnist/class/nothing'"),
        (["run", "--list", "split_mnst"], "`replaysim run --list` shows"),
        (["run"], "replaysim run --list"),
        (["describe", "not/there"], "not/there"),
        (["run", "split_mnist/class/si", "--early", "x"], "error: --early: got 'x', must be left out"),
        (["run", "split_cifar100/class/si", "--early", "x"], "error: --early: got 'x', must be a file that is there"),
        (["run", "split_mnist/class/si", "--contexts", "3"], "error: --contexts: got 3, must be left out"),
    ],
)
def test_console_slips(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(argv)
    assert left.value.code == 2
    assert words in capsys.readouterr().err
