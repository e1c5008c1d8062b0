"""The console script ``replaysim``."""

from __future__ import annotations

import argparse
import hashlib
import shlex
from collections.abc import Sequence
from pathlib import Path

from . import __version__
from .commandline import exit_with, options_named, parse_animals


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="replaysim", description="A computational model of replay and memory consolidation."
    )
    top.add_argument("--version", action="version", version=f"replaysim {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="{run,describe,report}")
    _add_run(commands)
    show = commands.add_parser("describe", help="settings, sizes and accuracy of a log", description="Summarise a log.")
    show.add_argument("log", type=Path, help="a run.nc, the folder of a run, or that of a study")
    page = commands.add_parser(
        "report",
        help="one HTML page about one or several logs",
        description="Write one self-contained HTML page: settings, behaviour, geometry and replay of logs.",
    )
    page.add_argument(
        "log",
        type=Path,
        nargs="+",
        help="run.nc files, folders of runs, or the folder of a study; several logs are compared",
    )
    page.add_argument("--out", type=Path, default=Path("report.html"), help="file to write (default: report.html)")
    page.add_argument("--device", default="auto", help="where to compute: cpu, cuda or auto (default: auto)")
    page.add_argument(
        "--baseline",
        metavar="CONDITION",
        help="condition that others are compared with, its name on the page or its folder (default: all pairs)",
    )
    page.add_argument("--overwrite", action="store_true", help="replace an earlier file")
    return top


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """``replaysim run``."""
    run = commands.add_parser(
        "run",
        help="simulate one of the paper's arms",
        description="Simulate one of the paper's arms, or go on where that was stopped; what is complete is read.",
    )
    run.add_argument("preset", nargs="?", help="name of the preset, see --list")
    run.add_argument(
        "--list",
        action="store_true",
        help="list all presets, or those that begin like the given name (split_cifar100/class), and leave",
    )
    run.add_argument(
        "--animals",
        type=parse_animals,
        default=tuple(range(12, 22)),
        metavar="SEEDS",
        help="seeds: 12, or 12,14, or 12:22, in which 22 is not included (the default)",
    )
    run.add_argument("--device", default="cpu", help="cpu, cuda, mps or auto (default: cpu)")
    run.add_argument("--out", type=Path, help="folder for the log (default: of the name of the arm, in runs/)")
    run.add_argument(
        "--overwrite", action="store_true", help="replace a log in that folder, even one of other settings"
    )
    run.add_argument("--workers", type=int, help="processes on a CPU (default: cores / threads)")
    run.add_argument("--threads", type=int, default=1, help="CPU threads of each process (default: 1)")
    run.add_argument("--steps", type=int, help="steps per context instead of the paper's")
    run.add_argument("--contexts", type=int, help="contexts of permuted MNIST instead of the paper's hundred")
    run.add_argument(
        "--chance",
        type=int,
        default=0,
        help="number of the life: others have other initial synapses, trials and noise (default: 0, the first)",
    )
    run.add_argument(
        "--precision",
        default="float32",
        help="float32, float64 or bfloat16 (mixed precision: layers multiply in it; default: float32)",
    )
    run.add_argument("--early", type=Path, metavar="FILE", help="early areas instead of those that come with replaysim")
    run.add_argument("--quick", action="store_true", help="a few steps only, to see that everything works")


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    given = parser().parse_args(argv)
    typed = options_named(name for name in vars(given) if name not in ("command", "preset", "log"))
    exit_with(lambda: {"run": _run, "describe": _describe, "report": _report}[given.command](given), typed)


def _describe(given: argparse.Namespace) -> None:
    from .describe import describe

    print(describe(given.log))


def _report(given: argparse.Namespace) -> None:
    from analysis.report import write_report

    print(write_report(given.log, given.out, overwrite=given.overwrite, device=given.device, baseline=given.baseline))


def _run(given: argparse.Namespace) -> None:
    from analysis.comparison import summarise
    from analysis.forgetting import chance_level, final_accuracy

    from . import presets
    from .errors import SettingError
    from .resumption import simulate_once

    if given.list:
        print(presets.listing(given.preset or ""))
        return
    if given.preset is None:
        raise SettingError("replaysim run", "preset", None, "one of the names that `replaysim run --list` shows")
    seeds = tuple(sorted(given.animals))  # the same log in whatever order they are asked for
    preset, out = presets.get(given.preset), given.out or _folder(given, seeds)
    protocol, brain, learning = presets.plan(
        preset, quick=given.quick, steps=given.steps, contexts=given.contexts, developed=given.early
    )
    result = simulate_once(
        brain,
        protocol,
        animals=seeds,
        out=out,
        overwrite=given.overwrite,
        learning=learning,
        device=given.device,
        workers=given.workers,
        threads=given.threads,
        chance=given.chance,
        precision=given.precision,
        label=preset.name,
        checkpoints=True,
        **preset.mechanisms,
    )
    found = summarise(final_accuracy(result.log))
    mean, error, n = (float(found[name]) for name in ("mean", "standard_error", "n"))
    spread, words = (f" ± {100 * error:.2f}", "mean ± s.e., n") if n > 1 else ("", "n")
    guessing = 100 * chance_level(result.log)
    print(f"{given.preset}: final accuracy {100 * mean:.2f}{spread} % ({words} = {n:.0f}; chance {guessing:g} %)")
    whence, show = "" if result.simulated else ", simulated earlier", shlex.join(["replaysim", "describe", str(out)])
    print(f"log{whence}: {out / 'run.nc'} ({show})")


def _folder(given: argparse.Namespace, seeds: tuple[int, ...]) -> Path:
    """Where a log is kept if nobody says: ``runs/split_mnist/class/si/animals_12-21``, with all that was asked for."""
    from .portions import label

    animals = label(seeds)
    if len(animals) > 60:  # file systems bear 255 bytes in all
        which = hashlib.sha256(animals.encode()).hexdigest()[:8]
        animals = f"animals_{len(seeds)}_of_{seeds[0]}-{seeds[-1]}_{which}"
    asked = [animals]
    asked += [f"{name}_{value}" for name in ("steps", "contexts") if (value := getattr(given, name)) is not None]
    asked += [f"life_{given.chance}"] * bool(given.chance) + [given.precision] * (given.precision != "float32")
    asked += [] if given.early is None else [given.early.stem]
    asked += ["quick"] * given.quick
    return Path("runs", *given.preset.split("/"), "_".join(asked))
