"""Which settings suit the small digits?

Question
    Settings of the digits are in no paper. This search uses animals 0-9 and tests on a fifth of the *training* stimuli;
    results are reported for animals from 12 on test stimuli. First learning (for replay and joint together, within a
    budget of computing), then the strength of synaptic intelligence in every scenario with that choice.
Expected
    Seen: :data:`replaysim.presets.DIGITS`; no strength of synaptic intelligence helps in the class scenario.
Run time
    About 20 minutes on 2 cores.
Hardware
    Any.

Every trial is kept in a CSV file.
"""

from __future__ import annotations

import csv
import itertools
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from replaysim.commandline import run_study
from replaysim.options import check_counts

COLUMNS = (
    *("stage", "scenario", "mechanism"),
    *("steps", "batch", "rate", "units", "code_units", "closed", "c"),
    *("accuracy", "standard_error", "animals", "seconds"),
)


@dataclass(frozen=True)
class Settings:
    """Which settings suit the small digits?"""

    animals: tuple[int, ...] = field(
        default=tuple(range(10)), metadata={"help": "seeds; never those that are reported"}
    )
    out: Path = field(default=Path("docs/results/digits_tuning.csv"), metadata={"help": "CSV file of all trials"})
    overwrite: bool = field(default=False, metadata={"help": "begin anew instead of going on with an earlier file"})
    workers: int | None = field(default=None, metadata={"help": "processes (default: one a core)"})
    quick: bool = field(default=False, metadata={"help": "two trials only, to see that everything works"})

    def __post_init__(self) -> None:
        check_counts("tune_digits", self, ("workers",))


@dataclass(frozen=True)
class Candidate:
    """One point of the search."""

    steps: int = 100
    batch: int = 64
    rate: float = 3e-3
    units: int = 200
    code_units: int = 50
    closed: float = 0.8
    c: float = 0.0


LEARNING = tuple(
    Candidate(steps=steps, batch=64, rate=rate, units=units, closed=closed)
    for steps, rate, units, closed in itertools.product((100,), (1e-3, 3e-3), (100, 200), (0.5, 0.8))
)
STRENGTHS = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)


def trial(candidate: Candidate, scenario: str, mechanism: str, settings: Settings) -> dict[str, Any]:
    """Accuracy of one candidate on held-out training stimuli."""
    import replaysim as rs
    from analysis.forgetting import final_accuracy
    from replaysim.stimuli import load

    protocol = rs.SplitProtocol(load("digits").held_out(), contexts=5, scenario=scenario, name="SplitDigits")
    width = (candidate.units, candidate.units)
    brain = rs.brain_inspired(protocol, units=width, code_units=candidate.code_units, closed=candidate.closed)
    mechanisms: dict[str, dict[str, Any]] = {
        "systems": {"replay": rs.GenerativeReplay()},
        "joint": {"experience": "joint"},
        "synaptic": {"consolidation": rs.SynapticIntelligence(c=candidate.c)},
    }
    learning = rs.Learning(candidate.steps, candidate.batch, candidate.rate)
    start = time.perf_counter()
    result = rs.simulate(
        brain,
        protocol,
        animals=settings.animals,
        learning=learning,
        workers=settings.workers,
        label=mechanism,
        **mechanisms[mechanism],
    )
    found = final_accuracy(result.log)
    return {
        "scenario": scenario,
        "mechanism": mechanism,
        **vars(candidate),
        "accuracy": round(float(found.mean()), 4),
        "standard_error": round(float(found.std(ddof=1)) / len(settings.animals) ** 0.5, 4),
        "animals": " ".join(map(str, settings.animals)),
        "seconds": round(time.perf_counter() - start, 1),
    }


def earlier_trials(settings: Settings) -> list[dict[str, Any]]:
    """Trials that are in the file already, checked; none where the search begins anew.

    Raises
    ------
    DataError, LogError
        If the file is something else than a search of this study: it would be replaced.
    """
    from analysis.csv_tables import number, read_table
    from replaysim.netcdf import check_writable, make_folder

    make_folder(settings.out.parent)
    check_writable(settings.out.parent)
    if not settings.out.exists():
        return []
    rows: list[dict[str, Any]] = list(read_table(settings.out, COLUMNS, "trials of a search"))
    for row in rows:
        number(settings.out, row, "accuracy", least=0)
    return [] if settings.overwrite else rows


def main(settings: Settings) -> None:
    """Search, and keep every trial."""
    from replaysim.preparation import check_animals

    check_animals(settings.animals)
    rows = earlier_trials(settings)

    def keep(stage: str, candidate: Candidate, scenario: str, mechanism: str) -> float:
        wanted = {"stage": stage, "scenario": scenario, "mechanism": mechanism, **vars(candidate)}
        wanted["animals"] = " ".join(map(str, settings.animals))
        for row in rows:
            if all(str(row[name]) == str(value) for name, value in wanted.items()):
                return float(row["accuracy"])
        row = trial(candidate, scenario, mechanism, settings)
        rows.append({"stage": stage, **row})
        temporary = settings.out.with_suffix(".tmp")
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        temporary.replace(settings.out)
        print(", ".join(f"{k} {v}" for k, v in rows[-1].items() if k != "animals"), flush=True)
        return float(row["accuracy"])

    candidates = LEARNING[:1] if settings.quick else LEARNING
    score = {c: sum(keep("learning", c, "class", kind) for kind in ("systems", "joint")) for c in candidates}
    best = max(score, key=lambda c: score[c])
    for scenario in ("class",) if settings.quick else ("task", "domain", "class"):
        for strength in STRENGTHS[:1] if settings.quick else STRENGTHS:
            keep("strength", replace(best, c=strength), scenario, "synaptic")
    print(f"best for learning: {best}")


if __name__ == "__main__":
    run_study(main, Settings)
