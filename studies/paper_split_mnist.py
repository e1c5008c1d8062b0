"""The paper's own arms on Split MNIST: accuracy of every arm beside the published numbers.

Question
    Do the arms of van de Ven, Siegelmann & Tolias (2020) behave here as they were published?
Expected
    Class scenario: only replay rises above 20 %. Task scenario: every mechanism above 95 %. See ``docs/results.md``.
Run time
    On 2 CPU cores, 10 animals: 45 minutes for an arm with replay, 10 to 15 minutes for a classifier.

An arm that is complete in the output folder is not simulated again. The accuracy of every animal is kept in a CSV
file, from which ``studies/results.py`` makes the tables.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from replaysim.commandline import run_study

if TYPE_CHECKING:
    import xarray as xr

COLUMNS = ("preset", "animal", "accuracy", "forgetting", "steps", "date", "commit", "device", "torch", "command")


@dataclass(frozen=True)
class Settings:
    """The paper's own arms on Split MNIST."""

    scenario: Literal["task", "class"] = field(default="class", metadata={"help": "what is known at recall"})
    arms: str = field(default="all", metadata={"help": "comma-separated names of arms, or all"})
    animals: tuple[int, ...] = field(
        default=tuple(range(12, 22)), metadata={"help": "seeds of the animals, e.g. 12:22"}
    )
    out: Path = field(default=Path("runs/paper_split_mnist"), metadata={"help": "folder for the logs"})
    summary: Path = field(
        default=Path("docs/results/split_mnist.csv"),
        metadata={"help": "CSV file to which the accuracy of every animal is added (not with --quick)"},
    )
    device: str = field(default="cpu", metadata={"help": "cpu, cuda, mps or auto"})
    workers: int | None = field(default=None, metadata={"help": "processes on a CPU (default: one a core)"})
    quick: bool = field(default=False, metadata={"help": "a few steps only, to see that everything works"})


def rows_of(log: xr.DataTree, preset: str) -> list[dict[str, Any]]:
    """One row per animal for the summary."""
    from analysis.forgetting import final_accuracy, forgetting

    accuracy, forgotten = final_accuracy(log), forgetting(log)
    versions, hardware = json.loads(log.attrs["software_versions"]), json.loads(log.attrs["hardware"])
    steps = json.loads(log.attrs["config_json"])["learning"]["steps"]
    return [
        {
            "preset": preset,
            "animal": int(animal),
            "accuracy": f"{float(accuracy.sel(animal=animal)):.6f}",
            "forgetting": f"{float(forgotten.sel(animal=animal)):.6f}",
            "steps": steps,
            "date": log.attrs["date_created"][:10],
            "commit": log.attrs["software_git_commit"][:12],
            "device": hardware["device"],
            "torch": versions["torch"],
            "command": log.attrs["command"],
        }
        for animal in accuracy["animal"].values
    ]


def add_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Add rows to the summary; a row of the same preset, animal and number of steps is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []

    def key(row: dict[str, Any]) -> tuple[str, int, int]:
        return str(row["preset"]), int(row["steps"]), int(row["animal"])

    table = {key(row): row for row in (*kept, *rows)}
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(table[k] for k in sorted(table))
    temporary.replace(path)


def label(settings: Settings) -> str:
    """Name of a folder that other animals or other steps do not share."""
    animals = settings.animals
    whole = animals == tuple(range(animals[0], animals[-1] + 1))
    chosen = f"{animals[0]}-{animals[-1]}" if whole else "_".join(map(str, animals))
    return f"{chosen}_quick" if settings.quick else chosen


def main(settings: Settings) -> None:
    """Simulate what is missing, and summarise."""
    from analysis.comparison import summarise
    from analysis.forgetting import final_accuracy
    from replaysim import open_log, presets
    from replaysim.errors import check_choice

    prefix = f"split_mnist/{settings.scenario}/"
    arms = [name.removeprefix(prefix) for name in presets.names() if name.startswith(prefix)]
    wanted = arms if settings.arms == "all" else settings.arms.split(",")
    for arm in wanted:
        check_choice("paper_split_mnist", "arms", arm, arms)
    for arm in wanted:
        name = prefix + arm
        folder = settings.out / settings.scenario / arm / label(settings)
        finished = folder / "run.nc"
        if finished.exists():
            log = open_log(finished)
        else:
            log = presets.run(
                name,
                animals=settings.animals,
                device=settings.device,
                out=folder,
                overwrite=True,  # only an unfinished run can be there
                workers=settings.workers,
                quick=settings.quick,
            ).log
        if not settings.quick:
            add_rows(settings.summary, rows_of(log, name))
        found = summarise(final_accuracy(log))
        print(
            f"{name:40s} {100 * float(found['mean']):6.2f} +- {100 * float(found['standard_error']):.2f} %", flush=True
        )


if __name__ == "__main__":
    run_study(main, Settings)
