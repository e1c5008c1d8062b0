"""All methods of the paper on one of its protocols: what is left of everything that was learned?

Question
    Figures 3, 5 and 6 of van de Ven, Siegelmann & Tolias (2020): which methods keep old memories alive, by protocol and
    scenario, and do they behave here as they were published?
Expected
    Split MNIST: in the task scenario every mechanism helps; in the class scenario only replay rises above 20 %.
    Permuted MNIST, after 100 contexts: brain-inspired replay with SI, then brain-inspired replay, then SI; classic
    generative replay collapses after about 15 contexts. Split CIFAR-100: in the class scenario only brain-inspired
    replay rises well above ``nothing``, further with SI; in the task scenario classic generative replay is worse than
    ``nothing``, brain-inspired replay at least as good as LwF. Published numbers and ours: ``docs/results.md``.
Run time
    Split MNIST, 2 CPU cores, 10 animals: 45 minutes for an arm with replay, 10 to 15 minutes for a classifier.
    The others, estimated from counts of operations, for one animal. Split CIFAR-100: 50,000 steps, brain-inspired
    replay 16 hours on one CPU core, a minute or two on a large GPU; permuted MNIST: 200,000 steps, 90 hours on
    one CPU core, ten minutes on a large GPU. ``--steps 100`` takes a fiftieth of Split CIFAR-100, and is labelled.
Hardware
    Split MNIST: any. The others in full: a GPU (``--device cuda``), on which all animals are one computation.

Arms are the presets of ``replaysim run --list``. An animal whose life in an arm is complete in the output folder is not
simulated again, whatever else is asked for; ``--at-once`` bounds what a stop can cost. The accuracy of every animal is
kept in a CSV file, from which ``studies/results.py`` makes the tables.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from replaysim.commandline import run_study

if TYPE_CHECKING:
    import xarray as xr

COLUMNS = (
    "preset",
    "animal",
    "chance",
    "early",
    "steps",
    "accuracy",
    "forgetting",
    "date",
    "commit",
    "device",
    "torch",
    "command",
)
BEFORE = {"chance": "0", "early": "none"}  # what a summary of an earlier version did not say
LEFT_OUT = ("--out", "--summary")  # of a kept command: folders of one machine


@dataclass(frozen=True)
class Settings:
    """All methods of the paper on one of its protocols: what is left of everything that was learned?"""

    protocol: Literal["split-mnist", "permuted-mnist", "split-cifar100"] = field(
        default="split-mnist", metadata={"help": "what the animals meet"}
    )
    scenario: Literal["task", "domain", "class"] | None = field(
        default=None, metadata={"help": "what is known at recall (default: class; permuted MNIST: domain)"}
    )
    arms: str = field(default="paper", metadata={"help": "comma-separated names of arms; paper: no lesions; or all"})
    animals: tuple[int, ...] = field(
        default=tuple(range(12, 22)), metadata={"help": "seeds of the animals, e.g. 12:22"}
    )
    steps: int | None = field(
        default=None,
        metadata={"help": "steps per context instead of the paper's; labelled, compared with its like only"},
    )
    chances: int = field(default=1, metadata={"help": "lives of every animal: other synapses, trials and noise"})
    early: Path | None = field(
        default=None, metadata={"help": "file with early areas (default: those that come with replaysim)"}
    )
    device: str = field(default="cpu", metadata={"help": "cpu, cuda, mps or auto"})
    workers: int | None = field(default=None, metadata={"help": "processes on a CPU (default: one a core)"})
    at_once: int | None = field(
        default=None,
        metadata={"help": "animals simulated together (default: all; wide brains on a CPU: one a worker)"},
    )
    out: Path = field(default=Path("runs/compare_methods"), metadata={"help": "folder for logs, tables and figures"})
    summary: Path | None = field(
        default=None,
        metadata={
            "help": "CSV file to which the accuracy of every animal is added, not with --quick "
            "(default: docs/results/PROTOCOL.csv)"
        },
    )
    quick: bool = field(default=False, metadata={"help": "a few steps only, to see that everything works"})

    def __post_init__(self) -> None:
        from replaysim.errors import SettingError, check_number

        check_number("compare_methods", "chances", self.chances, least=1, whole=True)
        for name in ("steps", "at_once", "workers"):
            if getattr(self, name) is not None:
                check_number("compare_methods", name, getattr(self, name), least=1, whole=True)
        if self.early is not None and self.world != "split_cifar100":
            raise SettingError("compare_methods", "early", str(self.early), "left out: digits need no early areas")
        if self.early is not None and not self.early.is_file():
            raise SettingError("compare_methods", "early", str(self.early), "a file that is there")
        if self.world == "permuted_mnist" and self.scenario not in (None, "domain"):
            raise SettingError("compare_methods", "scenario", self.scenario, "'domain' in permuted MNIST")

    @property
    def world(self) -> str:
        """Name of the protocol in the names of presets."""
        return self.protocol.replace("-", "_")

    @property
    def prefix(self) -> str:
        """Beginning of the names of presets."""
        known = self.scenario or ("domain" if self.world == "permuted_mnist" else "class")
        return f"{self.world}/{known}/"

    @property
    def kept(self) -> Path:
        """The CSV file."""
        return self.summary or Path("docs/results") / f"{self.world}.csv"

    @property
    def areas(self) -> str:
        """Which early areas: ``shipped``, the beginning of the file's SHA-256, or ``none``."""
        if self.world != "split_cifar100":
            return "none"
        return "shipped" if self.early is None else hashlib.sha256(self.early.read_bytes()).hexdigest()[:12]

    @property
    def length(self) -> str:
        """How long contexts last, for folders: ``full``, ``100_steps`` or ``quick``."""
        return "quick" if self.quick else "full" if self.steps is None else f"{self.steps}_steps"

    @property
    def folder(self) -> Path:
        """Where all that can be compared with each other lies."""
        early = f"_early_{self.areas}" if self.areas not in ("none", "shipped") else ""
        return self.out / self.prefix / f"{self.length}{early}"


def chosen(settings: Settings) -> list[str]:
    """Names of the presets that are asked for."""
    from replaysim import presets

    every = presets.names(settings.prefix)
    if settings.arms == "all":
        return every
    if settings.arms == "paper":
        return [n for n in every if not n.removeprefix(settings.prefix).startswith(("without_", "only_"))]
    return [presets.get(settings.prefix + arm.strip()).name for arm in settings.arms.split(",")]


def label(animals: Sequence[int]) -> str:
    """Name of a folder for these animals."""
    whole = tuple(animals) == tuple(range(animals[0], animals[-1] + 1))
    if len(animals) == 1:
        return f"animals_{animals[0]}"
    return f"animals_{animals[0]}-{animals[-1]}" if whole else "animals_" + "_".join(map(str, animals))


def complete(folder: Path, animals: Iterable[int]) -> dict[int, xr.DataTree]:
    """Animal to the log in which its life is complete."""
    from replaysim import open_log

    wanted = set(animals)
    found: dict[int, xr.DataTree] = {}
    for path in sorted(folder.glob("animals_*/run.nc")):
        log = open_log(path)
        if log.attrs["status"] in ("complete", "failed"):  # failed: the losses of all its animals became infinite
            lived = set(log["behaviour"].to_dataset()["animal"].values.tolist())
            found |= dict.fromkeys(wanted & lived, log)
    return found


def portions(settings: Settings, missing: Sequence[int]) -> list[Sequence[int]]:
    """Animals that are simulated together, and are complete on disk before others begin."""
    from replaysim.crew import cores

    many = len(missing)
    if settings.at_once is not None:
        many = settings.at_once
    elif settings.device == "cpu" and settings.world != "split_mnist":
        many = settings.workers or cores()
    return [missing[i : i + many] for i in range(0, len(missing), many)]


def live(settings: Settings, name: str, chance: int) -> dict[int, xr.DataTree]:
    """Logs of one arm and life by animal; what is missing is simulated first."""
    from replaysim import presets

    folder = settings.folder / name.removeprefix(settings.prefix) / f"chance_{chance}"
    done = complete(folder, settings.animals)
    for together in portions(settings, [a for a in settings.animals if a not in done]):
        log = presets.run(
            name,
            animals=together,
            device=settings.device,
            out=folder / label(together),
            overwrite=True,  # only an unfinished simulation can be there
            workers=settings.workers,
            quick=settings.quick,
            steps=settings.steps,
            chance=chance,
            developed=settings.early,
        ).log
        done |= dict.fromkeys(together, log)
        if not settings.quick:
            add_rows(settings.kept, rows_of(log, name, together, settings))
    return done


def rows_of(log: xr.DataTree, name: str, animals: Iterable[int], settings: Settings) -> list[dict[str, Any]]:
    """One row per animal for the summary."""
    from analysis.forgetting import final_accuracy, forgetting

    accuracy, forgotten = final_accuracy(log), forgetting(log)
    versions, hardware = json.loads(log.attrs["software_versions"]), json.loads(log.attrs["hardware"])
    config = json.loads(log.attrs["config_json"])
    changed = "+" if int(log.attrs["software_git_dirty"]) == 1 else ""
    return [
        {
            "preset": name,
            "animal": int(animal),
            "chance": config["chance"],
            "early": settings.areas,
            "steps": config["learning"]["steps"],
            "accuracy": f"{float(accuracy.sel(animal=animal)):.6f}",
            "forgetting": f"{float(forgotten.sel(animal=animal)):.6f}",
            "date": log.attrs["date_created"][:10],
            "commit": log.attrs["software_git_commit"][:12] + changed,
            "device": hardware.get("device_name", hardware["device"]),
            "torch": versions["torch"],
            "command": plain(log.attrs["command"]),
        }
        for animal in animals
    ]


def plain(command: str) -> str:
    """A command without what only one machine has: folders, and where a file with early areas lies."""
    words = shlex.split(command)
    kept = []
    for before, word in zip(["", *words], words, strict=False):
        option = word.partition("=")[0]
        if before in LEFT_OUT or option in LEFT_OUT:
            continue
        if before == "--early" or (option == "--early" and word != "--early"):
            word = "FILE" if before == "--early" else "--early=FILE"
        kept.append(word)
    return shlex.join(kept)


def add_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Add rows to a summary; a row of the same preset, early areas, steps, animal and chance is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []

    def key(row: dict[str, Any]) -> tuple[str, str, int, int, int]:
        return str(row["preset"]), str(row["early"]), int(row["steps"]), int(row["animal"]), int(row["chance"])

    table = {key(row): row for row in ({**BEFORE, **one} for one in (*kept, *rows))}
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(table[k] for k in sorted(table))
    temporary.replace(path)


def main(settings: Settings) -> None:
    """Simulate what is missing, and summarise."""
    from analysis.forgetting import final_accuracy

    for name in chosen(settings):
        for chance in range(settings.chances):
            logs = live(settings, name, chance)
            if not settings.quick:
                for log in {id(one): one for one in logs.values()}.values():
                    add_rows(settings.kept, rows_of(log, name, [a for a in logs if logs[a] is log], settings))
            values = [100 * float(final_accuracy(logs[a]).sel(animal=a)) for a in settings.animals]
            print(f"{name}, chance {chance}: {sum(values) / len(values):.2f} %", flush=True)


if __name__ == "__main__":
    run_study(main, Settings)
