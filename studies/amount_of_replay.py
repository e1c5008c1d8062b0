"""How much must be replayed, and how good must it be?

Question
    Figure 4 of van de Ven, Siegelmann & Tolias (2020): a brain learns while 1, 2, 4, ... 256 events are replayed beside
    every batch of new trials; or with a hippocampus of 10 to 1000 units an area, whose memories are the poorer the
    fewer there are. Each with and without drawing all synapses anew before every context: then nothing but what is
    replayed carries over, and what it has to carry becomes visible.
Expected
    A handful of events, and memories of poor quality, are nearly as good as many good ones, as long as the brain goes
    on from where it was: replay then only has to keep what is there. With synapses drawn anew, replay has to teach
    everything from the beginning, and both number and quality of the events count. Digits: seen in brain-inspired
    replay (``docs/results/amount_digits.txt``); classic replay stays below 45 % there with any number of events, at
    settings that are tuned for the brain-inspired one (not tried: longer contexts, ``--steps 400``).
Run time
    Digits (default, 6 animals; a thinner grid): about 10 minutes on one core. Split MNIST at the paper's settings, from
    counts of operations at 50 GFLOP/s a core (estimated, not measured): 15 amounts, twice, about 17 TFLOP an animal
    each, 6 animals: 9 hours on 2 cores for one scenario and one brain; on a GPU, where small products are limited by
    what it takes to start them, an hour.
Hardware
    Any.

Classic replay has a hippocampus of its own, whose units can be chosen (codes keep theirs). Brain-inspired replay
(``--brain brain-inspired``) has none: its number of events is varied in the intact brain, its units where the
hippocampus stands beside the cortex (all other ingredients as they are), but not where gates would close all of them.
An animal whose life in a condition is complete in the output folder is not simulated again; ``--at-once`` bounds what a
stop can cost. The paper has 20 animals (12:32) of Split MNIST.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from replaysim.commandline import run_study
from replaysim.options import SCENARIO, MatchedOptions, check_counts

if TYPE_CHECKING:
    import xarray as xr

    import replaysim as rs
    from replaysim.portions import Portion
    from replaysim.presets import Matched

BATCHES = {"digits": (1, 4, 16, 64, 256), "split-mnist": (1, 2, 4, 8, 16, 32, 64, 128, 256), "quick": (1, 16)}
UNITS = {"digits": (10, 40, 100, 200, 400), "split-mnist": (10, 20, 40, 100, 200, 400, 1000), "quick": (10, 200)}
AXES = {"events": "events replayed per step", "units": "units of an area of the hippocampus"}
TARGETS = {"classic": "hard", "brain-inspired": "soft"}

NAME = "amount_of_replay"


@dataclass(frozen=True)
class Settings(MatchedOptions):
    """How much must be replayed, and how good must it be?"""

    scenario: Literal["task", "domain", "class"] = field(default="class", metadata={"help": SCENARIO})
    brain: Literal["classic", "brain-inspired", "both"] = field(
        default="both", metadata={"help": "what replays: classic generative replay, or the brain-inspired one"}
    )
    steps: int | None = field(
        default=None, metadata={"help": "steps per context instead of the usual, to be compared with its like only"}
    )
    at_once: int | None = field(
        default=None, metadata={"help": "animals simulated together (default: all); bounds what a stop can cost"}
    )

    def __post_init__(self) -> None:
        check_counts("amount_of_replay", self, ("steps", "workers", "at_once"))

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        short = ("" if self.steps is None else f"_{self.steps}_steps") + ("_quick" if self.quick else "")
        return self.out or Path("runs") / "amount_of_replay" / f"{self.protocol}_{self.scenario}{short}"

    @property
    def brains(self) -> tuple[str, ...]:
        """Names of the brains."""
        return tuple(TARGETS) if self.brain == "both" else (self.brain,)


class Condition(NamedTuple):
    """One brain, one amount of replay."""

    brain: str
    events: int
    units: int
    """Of each area of the hippocampus; those of the cortex where it has no areas of its own."""
    own_units: bool
    """Whether the hippocampus has areas of its own."""
    anew: bool
    """Whether synapses are drawn anew before every context."""

    @property
    def folder(self) -> str:
        """Name of its folder."""
        kind = "" if self.brain == "classic" or not self.own_units else "_beside"
        anew = "_anew" if self.anew else ""
        return f"{self.brain.replace('-', '_')}{kind}_{self.events}_events_{self.units}_units{anew}"


def conditions(brain: str, setup: Matched, settings: Settings) -> dict[str, list[Condition]]:
    """Axis of the figure to the conditions along it."""
    key = "quick" if settings.quick else settings.protocol
    beside, usual = (
        brain == "classic",
        Condition(brain, setup.learning.batch, setup.units[0], brain == "classic", False),
    )
    amounts = {
        "events": [usual._replace(events=events, own_units=beside) for events in BATCHES[key]],
        "units": [usual._replace(units=units, own_units=True) for units in UNITS[key]],
    }
    return {
        axis: [one._replace(anew=anew) for one in found for anew in (False, True)] for axis, found in amounts.items()
    }


def grown(condition: Condition, setup: Matched) -> rs.BrainPlan:
    """The brain of a condition."""
    from replaysim.brains import brain_inspired, generative_pair

    common: dict[str, Any] = {"units": setup.units, "code_units": setup.code_units}
    own = (condition.units,) * len(setup.units)
    if condition.brain == "classic":
        return generative_pair(setup.protocol, hippocampal_units=own, **common)
    if not condition.own_units:
        return brain_inspired(setup.protocol, closed=setup.closed, **common)
    return brain_inspired(setup.protocol, closed=setup.closed, without="feedback", hippocampal_units=own, **common)


def possible(condition: Condition, setup: Matched, animals: Sequence[int]) -> bool:
    """Whether no gate would close all units of a layer."""
    from replaysim.errors import SettingError
    from replaysim.preparation import check_gates

    try:
        check_gates(grown(condition, setup), setup.protocol, animals)
    except SettingError:
        return False
    return True


class Lived(NamedTuple):
    """What came out of one condition."""

    accuracy: xr.DataArray
    """Final accuracy (animal)."""
    portions: list[Portion]


def simulate(name: str, brain: rs.BrainPlan, setup: Matched, settings: Settings, **mechanisms: Any) -> Lived:
    """One condition; animals whose lives are not complete are simulated."""
    from analysis.forgetting import final_accuracy
    from analysis.survival import alive
    from replaysim import portions

    found = portions.live(
        brain,
        setup.protocol,
        animals=settings.animals,
        out=settings.folder / name,
        at_once=settings.at_once,
        overwrite=settings.overwrite,
        device=settings.device,
        workers=settings.workers,
        label=name.replace("_", " "),
        **{"learning": setup.learning, **mechanisms},
    )
    there = list(found)
    for portion in there:
        alive(name.replace("_", " "), portion.log, portion.animals)
    return Lived(portions.gather(there, settings.animals, final_accuracy), there)


def measure(brain: str, setup: Matched, settings: Settings, portions: list[Portion]) -> dict[str, xr.DataArray]:
    """Accuracies (reinitialised, amount, animal) along both axes, for one brain; what was simulated joins the list."""
    import xarray as xr

    import replaysim as rs

    known: dict[Condition, xr.DataArray] = {}
    found = {}
    for axis, wanted in conditions(brain, setup, settings).items():
        lived = [one for one in wanted if possible(one, setup, settings.animals)]
        left_out = sorted({one.units for one in wanted} - {one.units for one in lived})
        if left_out:
            print(f"{brain}: not with {left_out} units, of which gates would close all")
        for one in lived:
            if one not in known:
                replay = rs.GenerativeReplay(targets=TARGETS[brain], batch=one.events)
                learning = replace(setup.learning, reinitialise=one.anew)
                plan = grown(one, setup)
                lived_there = simulate(one.folder, plan, setup, settings, learning=learning, replay=replay)
                known[one] = lived_there.accuracy
                portions += lived_there.portions
        found[axis] = xr.concat([row(axis, lived, known, anew) for anew in (False, True)], "reinitialised")
        found[axis] = found[axis].assign_coords(reinitialised=[False, True])
    return found


def row(axis: str, lived: Iterable[Condition], known: Mapping[Condition, xr.DataArray], anew: bool) -> xr.DataArray:
    """Accuracies (amount, animal), with or without synapses drawn anew."""
    import xarray as xr

    chosen = [one for one in lived if one.anew == anew]
    amounts = xr.Variable(axis, [getattr(one, axis) for one in chosen], {"long_name": AXES[axis]})
    return xr.concat([known[one] for one in chosen], amounts, coords="minimal", compat="override", join="exact")


def table(
    found: Mapping[str, Mapping[str, xr.DataArray]], references: Mapping[str, xr.DataArray], chance: float
) -> str:
    """Final accuracy by amount, with and without re-initialisation."""
    from analysis.terminal import mean_and_error, reach

    def cell(values: xr.DataArray) -> str:
        return mean_and_error(values, width=10)

    lines, empty = [], False
    for axis, label in AXES.items():
        head = f"{label:38s}" + "".join(f"{word:>17s}" for _ in found for word in ("goes on", "drawn anew"))
        above = f"{'':38s}" + "".join(f"{brain:>25s}{'':9s}" for brain in found)
        lines += ["", above.rstrip(), head, "-" * len(head)]
        shown = sorted({int(x) for curves in found.values() for x in curves[axis][axis].values})
        for amount in shown:
            cells = ""
            for curves in found.values():
                there = amount in curves[axis][axis].values
                empty |= not there
                at = curves[axis].sel({axis: amount}) if there else None
                cells += "".join(
                    f"{'':17s}" if at is None else cell(at.sel(reinitialised=anew)) for anew in (False, True)
                )
            lines.append(f"{amount:<38d}{cells}".rstrip())
    counted = [curves[axis].notnull().sum("animal") for curves in found.values() for axis in AXES]
    counted += [values.notnull().sum("animal") for values in references.values()]
    n = reach(int(each) for one in counted for each in one.values.ravel())
    lines += ["-" * len(head), *(f"{name:38s}{cell(values)}" for name, values in references.items())]
    lines += [
        f"{'chance':38s}{100 * chance:10.1f}",
        f"final accuracy, %, mean ± standard error over {n} animals. goes on: the brain learns on from where it was;",
        "drawn anew: all its synapses are, before every context but the first, so that only replay carries over",
    ]
    if empty:
        lines.append("left empty: the share of closed gates would close all of so few units")
    if "brain-inspired" in found:
        lines.append(
            "units, brain-inspired: the hippocampus stands beside the cortex, with all other ingredients as they are"
        )
    return "\n".join(lines[1:])


def main(settings: Settings) -> None:
    """Simulate every condition, print the table, draw the figure."""
    import xarray as xr

    import replaysim as rs
    from analysis import figures_replay, style
    from analysis.forgetting import chance_level
    from analysis.origins import heading, origin_lines
    from replaysim import presets
    from replaysim.preparation import check_animals, check_device
    from replaysim.study_folder import check_owner, keep_table

    check_animals(settings.animals), check_device(settings.device)
    check_owner(settings.folder, NAME)
    setup = presets.matched(settings.protocol, settings.scenario, quick=settings.quick)
    if settings.steps is not None:
        setup = replace(setup, learning=replace(setup.learning, steps=settings.steps))
    classifier = rs.classifier(setup.protocol, units=setup.units)
    lived = {
        "nothing": simulate("nothing", classifier, setup, settings),
        "joint": simulate("joint", classifier, setup, settings, experience="joint"),
    }
    references = {name: one.accuracy for name, one in lived.items()}
    portions = [portion for one in lived.values() for portion in one.portions]
    chance = chance_level(portions[0].log)
    found = {brain: measure(brain, setup, settings, portions) for brain in settings.brains}
    title = f"{settings.protocol}, {settings.scenario} scenario, {setup.learning.steps} steps per context"
    title += ", QUICK: says nothing" if settings.quick else ""
    text = "\n".join(
        [
            heading(title, settings.animals),
            "",
            table(found, references, chance),
            "",
            *origin_lines(one.log for one in portions),
        ]
    )
    keep_table(settings.folder, NAME, text)
    kept = {
        f"/{brain.replace('-', '_')}/{axis}": values.astype(float).rename("final_accuracy").to_dataset()
        for brain, curves in found.items()
        for axis, values in curves.items()
    }
    xr.DataTree.from_dict(kept).to_netcdf(settings.folder / "accuracy.nc")
    labels = AXES | {"units": f"{AXES['units']},\nwhich stands beside the cortex"}
    panels = {label: {brain: curves[axis] for brain, curves in found.items()} for axis, label in labels.items()}
    figure = figures_replay.amount_of_replay(
        panels,
        chance=chance,
        references=references,
        usual={labels["events"]: setup.learning.batch, labels["units"]: setup.units[0]},
        title=title,
    )
    saved = style.save(figure, settings.folder / "amount")
    print("\nFigure:  " + "  ".join(str(path) for path in saved))
    print(f"Logs:    {settings.folder}/*/animals_*/run.nc   (xarray.open_datatree)")


if __name__ == "__main__":
    run_study(main, Settings)
