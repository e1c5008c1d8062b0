"""Do stiff synapses or replayed memories keep old memories alive?

Question
    Two ways of protecting memories, each alone and together, in animals that are otherwise alike: the same brain, the
    same initial synapses, the same trials in the same order, the same losses. Only the mechanism differs.
Expected
    Class scenario: only replay helps, synaptic intelligence alone is no better than nothing. Task scenario: both help.
Run time
    Digits (default, 6 animals): a minute on 2 cores. Split MNIST at the paper's settings, 6 animals: about 2 hours on 2
    cores.
Hardware
    Any.

Two baselines are shown beside the factorial design and are not part of it: ``joint``, the same brain with trials of all
contexts so far (the ceiling), and ``classifier``, the paper's plain classifier without hippocampus and feedback.
A condition that is complete in the output folder is not simulated again, and on MNIST one that was stopped goes on
from its last whole context; ``--overwrite`` begins anew. Other animals than the usual ones have a folder of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from replaysim.commandline import run_study
from replaysim.options import SCENARIO, MatchedOptions

if TYPE_CHECKING:
    import xarray as xr

    from replaysim.presets import Matched

FACTORIAL = ("nothing", "synaptic", "systems", "both")

NAME = "synaptic_vs_systems"


@dataclass(frozen=True)
class Settings(MatchedOptions):
    """Do stiff synapses or replayed memories keep old memories alive?"""

    scenario: Literal["task", "domain", "class"] = field(default="class", metadata={"help": SCENARIO})

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        words = [self.protocol, self.scenario, *self.others, *(["quick"] if self.quick else [])]
        return self.out or Path("runs") / "synaptic_vs_systems" / "_".join(words)


def conditions(setup: Matched) -> dict[str, dict[str, Any]]:
    """Brain, mechanisms and electrodes of every condition."""
    import replaysim as rs

    brain, found = setup.brain(), {}
    plain = {"classifier": {"brain": rs.classifier(setup.protocol, units=setup.units)}}
    for name, own in {**setup.mechanisms(), **plain}.items():
        record: list[Any] = [rs.CorticalActivity("association_2"), rs.Behaviour()]
        if "replay" in own:
            record.append(rs.ReplayActivity(events=50))
        if "consolidation" in own:
            record.append(rs.SynapticImportance())
        found[name] = {"brain": brain, "record": record, **own}
    return found


def main(settings: Settings) -> None:
    """Simulate every condition that is not complete, print the comparison, draw the figure."""
    from analysis import figures
    from analysis.origins import heading, origin_lines
    from replaysim import presets
    from replaysim.conditions import simulate_each
    from replaysim.study_folder import check_owner, keep_table

    check_owner(settings.folder, NAME)

    setup = presets.matched(settings.protocol, settings.scenario, quick=settings.quick)
    logs = simulate_each(
        conditions(setup),
        out=settings.folder,
        overwrite=settings.overwrite,
        protocol=setup.protocol,
        animals=settings.animals,
        learning=setup.learning,
        device=settings.device,
        workers=settings.workers,
        checkpoints=settings.protocol != "digits",  # whose conditions take seconds
    )
    title = f"{setup.protocol.name}, {settings.scenario} scenario{', QUICK: says nothing' if settings.quick else ''}"
    text = "\n".join([heading(title, settings.animals), "", report(logs, setup), "", *origin_lines(logs.values())])
    keep_table(settings.folder, NAME, text)
    saved = figures.save(figures.synaptic_vs_systems(logs, title=title), settings.folder / "retention")
    print("\nFigure:  " + "  ".join(str(path) for path in saved))
    print(f"Logs:    {settings.folder}/*/run.nc   (xarray.open_datatree)")


def report(logs: Mapping[str, xr.DataTree], setup: Matched) -> str:
    """Table of the conditions and the factorial comparison, as text."""
    from analysis import comparison, forgetting, terminal

    lines = [terminal.format_table(comparison.factorial_table(logs))]
    accuracy = {name: forgetting.final_accuracy(logs[name]) for name in FACTORIAL}
    lines += ["", "Paired differences in final accuracy, points (same animals in both conditions)"]
    pairs = [("synaptic", "nothing"), ("systems", "nothing"), ("systems", "synaptic"), ("both", "systems")]
    for a, b in pairs:
        there = (accuracy[a] + accuracy[b]).notnull().any()
        gap = comparison.paired_difference(accuracy[a], accuracy[b]) if there else None
        lines.append(terminal.format_difference(f"{a} - {b}", gap))
    n_test = int(logs["nothing"]["behaviour"]["n_test"].isel(animal=0).sum())
    lines += ["", "Interaction: (both - synaptic) - (systems - nothing)"]
    cells = [accuracy[name] for name in FACTORIAL]
    there = (cells[0] + cells[1] + cells[2] + cells[3]).notnull().any()
    found = comparison.interaction(*cells, n_trials=n_test) if there else {}
    lines += [
        terminal.format_difference("on accuracy, points", found.get("accuracy")),
        terminal.format_difference("on its logit", found.get("logit"), percent=False),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    run_study(main, Settings)
