"""Can the results of the paper be made again, a figure by one command?

Question
    The results of van de Ven, Siegelmann & Tolias (2020): Figures 3 (methods, Split MNIST), 4 (amount and quality of
    replay), 5 (methods, permuted MNIST), 6 (methods, Split CIFAR-100), 8 (lesions) and 9 (quality of what is replayed).
    The others are drawings.
Expected
    What the studies that make the panels expect, each in its own words. What came out so far: ``docs/results.md``.
Run time
    The sum of what these studies say: on 2 CPU cores about twelve hours for Figure 3, and sixty for Figure 4
    (``--animals 12:15``: three animals instead of twenty); Figures 5, 6, 8 and 9 are for a large GPU (``--device cuda
    --precision bfloat16``). With ``--steps 100`` a figure shows what short lives look like, and says so.
Hardware
    Figures 3 and 4: any. The others: a large GPU, on which all animals of an arm are one computation.

Before a panel is made, the command that makes it alone is printed. An animal whose life is complete is not simulated
again, so that the same command goes on where it was stopped, and panels share lives with these commands.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple

from replaysim.commandline import arguments, load_script, run_study
from replaysim.options import ComputingOptions

TEN, TWENTY, FIVE = (tuple(range(12, 12 + n)) for n in (10, 20, 5))


def methods(protocol: str, animals: tuple[int, ...], *scenarios: str) -> list[tuple[str, dict[str, Any]]]:
    """Panels that compare the methods of the paper, one a scenario."""
    shared = {"protocol": protocol, "arms": "2020", "animals": animals}
    return [("compare_methods", {**shared, "scenario": scenario}) for scenario in scenarios]


PANELS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "3": methods("split-mnist", TWENTY, "task", "class"),
    "4": [("amount_of_replay", {"protocol": "split-mnist", "animals": TWENTY})],
    "5": methods("permuted-mnist", FIVE, "domain"),
    "6": methods("split-cifar100", TEN, "task", "class"),
    "8": [
        ("lesions", {"protocol": "permuted-mnist", "faithful": True, "animals": FIVE}),
        ("lesions", {"protocol": "split-cifar100", "scenario": "task", "faithful": True, "animals": TEN}),
        ("lesions", {"protocol": "split-cifar100", "scenario": "class", "animals": TEN}),
    ],
    "9": [("quality_of_replay", {"protocol": "split-cifar100", "animals": TEN})],
}
"""Figure of the paper to the studies that make it, with what they are asked for."""


@dataclass(frozen=True)
class Settings(ComputingOptions):
    """Can the results of the paper be made again, a figure by one command?

    An option that a study of the figure does not have is refused before anything is made.
    """

    figure: Literal["3", "4", "5", "6", "8", "9"] | None = field(
        default=None, metadata={"help": "number in the paper; has to be given"}
    )
    animals: tuple[int, ...] | None = field(
        default=None, metadata={"help": "seeds of the animals, e.g. 12:15 (15 not included; default: the paper's)"}
    )
    steps: int | None = field(
        default=None, metadata={"help": "steps per context instead of the paper's; labelled, to compare with its like"}
    )
    early: Path | None = field(
        default=None, metadata={"help": "file with early areas (default: those that come with replaysim)"}
    )
    out: Path = field(default=Path("runs"), metadata={"help": "folder in which every study has one of its own"})
    overwrite: bool = field(default=False, metadata={"help": "simulate again what is complete there"})
    quick: bool = field(default=False, metadata={"help": "a few steps only, to see that everything works"})

    def __post_init__(self) -> None:
        from replaysim.errors import SettingError

        if self.figure is None:
            raise SettingError("paper_figures", "figure", None, f"one of {', '.join(PANELS)} (--figure 3)")
        panels(self)  # a slip in the last panel is said before the first is made


class Panel(NamedTuple):
    """A study, and the settings with which it makes a panel."""

    name: str
    study: ModuleType
    settings: Any


def panels(settings: Settings) -> list[Panel]:
    """What makes the figure.

    Raises
    ------
    SettingError
        For an option that one of its studies does not have, or does not take.
    """
    from replaysim.errors import SettingError

    assert settings.figure is not None
    own = {
        option.name: getattr(settings, option.name)
        for option in dataclasses.fields(settings)
        if option.name not in ("figure", "out") and getattr(settings, option.name) != option.default
    }
    photographs = any(asked["protocol"] == "split-cifar100" for _name, asked in PANELS[settings.figure])
    made = []
    for name, asked in PANELS[settings.figure]:
        study = load_script(Path(__file__).with_name(f"{name}.py"))
        seen = photographs and asked["protocol"] != "split-cifar100"
        given = {**asked, **{option: value for option, value in own.items() if not (seen and option == "early")}}
        lacking = sorted(given.keys() - {option.name for option in dataclasses.fields(study.Settings)})
        if lacking:
            must = f"left out: studies/{name}.py, which makes figure {settings.figure}, has no such option"
            raise SettingError("paper_figures", lacking[0], given[lacking[0]], must)
        made.append(Panel(name, study, _below(study.Settings(**given), settings.out)))
    return made


def _below(settings: Any, out: Path) -> Any:
    """The settings of a study with its usual folder, below another one than ``runs``."""
    usual = settings.out or settings.folder
    return settings if out == Path("runs") else dataclasses.replace(settings, out=out / usual.relative_to("runs"))


def check_places(made: list[Panel]) -> None:
    """Raise an error for stimuli that are not to be had, and for results that could not be kept.

    Said before the first panel is made, which may take days.
    """
    from analysis import summaries
    from replaysim.stimuli import load
    from replaysim.study_folder import check_owner

    for stimuli in sorted({panel.settings.protocol.partition("-")[2] for panel in made}):
        load(stimuli)
    for panel in made:
        check_owner(panel.settings.folder, panel.name)
        summary = getattr(panel.settings, "kept", None)
        if summary is not None and not panel.settings.quick:
            summaries.check(summary)


def main(settings: Settings) -> None:
    """Make one panel after the other, and say where they are."""
    made = panels(settings)
    check_places(made)
    for panel in made:
        print(f"\npython studies/{panel.name}.py {arguments(panel.settings)}\n", flush=True)
        panel.study.main(panel.settings)
    print(f"\nFigure {settings.figure}:")
    for panel in made:
        print("  " + "  ".join(str(path) for path in sorted(panel.settings.folder.glob("*.png"))))


if __name__ == "__main__":
    run_study(main, Settings)
