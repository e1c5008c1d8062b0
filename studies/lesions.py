"""Which ingredient of brain-inspired replay is needed, and which would be enough?

Question
    Figure 8 of van de Ven, Siegelmann & Tolias (2020): developmental lesions. Animals grow up without one ingredient
    of brain-inspired replay, or with classic generative replay and only one of them. The ingredients: replay through
    feedback (the hippocampus on top of the cortex, not beside it), modes of memory by class, gating of the feedback,
    internal replay (memories re-created within the visual cortex; photographs only), and distillation (soft targets).
Expected
    Split CIFAR-100: internal replay matters most; without it the class scenario falls towards what the last context
    alone gives. Permuted MNIST: gating and distillation. Digits (seen, ``docs/results/lesions_digits.txt``): classic
    replay is far behind (settings are those tuned for the intact brain), and modes or gating alone, which let an
    animal ask for a class, bring it near; no single lesion costs more than a few points, as one stands in for another.
Run time
    Digits (default, 6 animals): 3 to 5 minutes on 2 cores. The others, from counts of operations at 50 GFLOP/s
    a core and 30 TFLOP/s a GPU (estimated, not measured). Split MNIST: 17 to 25 TFLOP an animal and arm, 11 arms
    of 6 animals in 5 hours on 2 cores. Split CIFAR-100, class scenario: 2.3 PFLOP an animal where early areas are
    frozen and replay is internal, 6 PFLOP elsewhere; all arms together 45 PFLOP, 25 minutes an animal on a GPU.
    Permuted MNIST: 9 to 14 PFLOP an animal and arm, all arms 110 PFLOP, an hour an animal on a GPU.
Hardware
    Digits and Split MNIST: any. Permuted MNIST and Split CIFAR-100: a large GPU (``--device cuda``, all animals are one
    computation), or ``--steps 100`` on a CPU.

The paper chose the share of closed gates anew for each lesion; ``--closed common`` gives all the share of the intact
brain, so that nothing but the ingredient differs. Digits and Split MNIST have one share only. In the task scenario the
paper's shares were chosen, and its figure made, with a slip of its code in the gates of current trials: arms with gates
are those of Figure 8b only with ``--faithful``, which repeats it (in permuted MNIST: replay through the gates of the
new context, too).

An animal whose life in an arm is complete in the output folder is not simulated again; ``--at-once`` bounds what a stop
can cost. Animals of the paper's arms are added to a CSV file, from which ``studies/results.py`` makes its tables. The
paper has 10 animals (12:22) of Split CIFAR-100, 5 of permuted MNIST.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from replaysim.commandline import run_study
from replaysim.options import PresetOptions

if TYPE_CHECKING:
    import xarray as xr

    from replaysim.arms import Preset
    from replaysim.portions import Portion

INGREDIENTS = ("feedback", "modes", "gating", "internal", "distillation")
GROUPS = {
    "classic generative replay, one ingredient added": ("classic", *(f"+ {one}" for one in INGREDIENTS)),
    "brain-inspired replay, one ingredient left out": ("intact", *(f"− {one}" for one in INGREDIENTS)),
}
LAST = "last context"

NAME = "lesions"


@dataclass(frozen=True)
class Settings(PresetOptions):
    """Which ingredient of brain-inspired replay is needed, and which would be enough?"""

    protocol: Literal["digits", "split-mnist", "permuted-mnist", "split-cifar100"] = field(
        default="digits", metadata={"help": "what the animals meet"}
    )
    closed: Literal["paper", "common"] = field(
        default="paper", metadata={"help": "share of closed gates: the paper's for every arm, or one for all"}
    )
    faithful: bool = field(
        default=False,
        metadata={"help": "repeat the slips of the published code in arms with gates: task scenario, permuted MNIST"},
    )
    arms: str = field(
        default="all",
        metadata={"help": "comma-separated, e.g. 'classic,+ modes,intact,− modes' (a minus is fine, too)"},
    )
    animals: tuple[int, ...] = field(
        default=tuple(range(12, 18)), metadata={"help": "seeds of the animals, e.g. 12:22 (22 not included)"}
    )
    out: Path | None = field(
        default=None, metadata={"help": "folder for logs, tables and figures (default: one in runs/)"}
    )
    summary: Path | None = field(
        default=None,
        metadata={
            "help": "CSV file to which the accuracy of every animal is added; the paper's arms only, not with --quick "
            "(default: PROTOCOL.csv in that folder)"
        },
    )

    def __post_init__(self) -> None:
        self.check("lesions")

    @property
    def folder(self) -> Path:
        """Where everything goes: all that can be compared with each other, and nothing else."""
        words = [self.protocol, self.known]
        words += ["common_gates"] if self.closed == "common" else []
        words += ["faithful"] if self.faithful else []
        words += self.shortened
        return self.out or Path("runs") / "lesions" / "_".join(words)

    @property
    def kept(self) -> Path:
        """The CSV file."""
        return self.summary or self.folder / f"{self.world}.csv"


def chosen(settings: Settings) -> dict[str, Preset]:
    """The arms that are asked for."""
    from replaysim.errors import check_choice
    from replaysim.lesion_arms import lesion_arms

    every = lesion_arms(settings.world, settings.known, settings.closed, faithful=settings.faithful)
    if settings.arms == "all":
        return every
    wanted = [name.strip().replace("- ", "− ") for name in settings.arms.split(",")]
    for name in wanted:
        check_choice("lesions", "arms", name, every)
    return {name: arm for name, arm in every.items() if name in wanted}


def simulate_arm(name: str, arm: Preset, settings: Settings) -> list[Portion]:
    """Portions of one arm; animals whose lives are not complete are simulated."""
    from analysis.survival import alive
    from replaysim import portions, presets
    from replaysim.lesion_arms import folder_name

    early = settings.early if arm.sees_photographs else None
    protocol, brain, learning = presets.plan(arm, quick=settings.quick, steps=settings.steps, developed=early)
    found = []
    for portion in portions.live(
        brain,
        protocol,
        animals=settings.animals,
        learning=learning,
        out=settings.folder / folder_name(name),
        **settings.lived,
        label=name,
        **arm.mechanisms,
    ):
        keep(arm, portion.log, settings)
        alive(name, portion.log, portion.animals)
        found.append(portion)
    return found


def keep(arm: Preset, log: xr.DataTree, settings: Settings) -> None:
    """Add animals to the summary, where the arm is one of the paper's."""
    from analysis import summaries
    from replaysim import presets

    if settings.quick or arm.name not in presets.PRESETS:
        return
    summaries.add_rows(settings.kept, summaries.rows_of(log, arm.name, early=settings.areas))


def differences(accuracy: Mapping[str, xr.DataArray], first: str) -> dict[str, xr.Dataset]:
    """Arm to how it differs from the first of its group, where two animals or more lived to the end in both."""
    from analysis.comparison import compare_conditions

    if first not in accuracy:
        return {}
    pairs = {arm: int((values + accuracy[first]).notnull().sum()) for arm, values in accuracy.items()}
    arms = [arm for arm, n in pairs.items() if arm == first or n > 1]
    if len(arms) < 2:
        return {}
    found = compare_conditions({arm: accuracy[arm] for arm in arms}, first)
    return {arm: found.sel(pair=f"{arm} - {first}") for arm in arms if arm != first}


def table(accuracy: Mapping[str, xr.DataArray], chance: float) -> str:
    """Final accuracy of every arm, and what the ingredient adds to, or its loss takes from, the first of its group."""
    from analysis.terminal import mean_and_error

    head = f"{'arm':16s}{'final accuracy, %':>18s}{'difference, points':>24s}{'p (Holm)':>12s}{'n':>5s}"
    lines = [head]
    for arms in (*GROUPS.values(), (LAST,)):
        there = {arm: accuracy[arm] for arm in arms if arm in accuracy}
        lines += ["-" * len(head)] if there else []
        gaps = differences(there, arms[0])
        for name, values in there.items():
            line = f"{name:16s}{mean_and_error(values, width=11)}"
            if name in gaps:
                low, mean, high = (100 * float(gaps[name][k]) for k in ("low", "mean", "high"))
                line += f"{mean:+8.1f} [{low:+6.1f}, {high:+6.1f}]{float(gaps[name]['p_holm']):12.3f}"
            else:
                line += " " * 36
            lines.append(f"{line}{int(values.notnull().sum()):5d}")
    n = max(values.sizes["animal"] for values in accuracy.values())
    least = min(1.0, 2.0 ** (1 - n) * max(len(set(arms[1:]) & set(accuracy)) for arms in GROUPS.values()))
    return "\n".join(
        [
            *lines,
            "-" * len(head),
            f"{'chance':16s}{100 * chance:11.1f}",
            "mean ± standard error over n animals. + classic replay with this ingredient; − brain-inspired without it;",
            "last context: plain classifier that learned the last context only, tested on all. difference: to the",
            "first arm of the group, same animals, with 95 % confidence interval (Student's t); p: sign flips,",
            f"corrected for the arms of the group; the least possible with {n} animals is {least:.3f}",
        ]
    )


def draw(accuracy: Mapping[str, xr.DataArray], chance: float, title: str, stem: Path) -> Sequence[Path]:
    """The figure."""
    from analysis import figures_replay, style

    arms = {name: values for name, values in accuracy.items() if name != LAST}
    if not arms:
        return []
    figure = figures_replay.lesion_effects(arms, GROUPS, chance=chance, floor=accuracy.get(LAST), title=title)
    return style.save(figure, stem)


def main(settings: Settings) -> None:
    """Simulate every arm, print the table, draw the figure."""
    import xarray as xr

    from analysis import summaries
    from analysis.forgetting import chance_level, final_accuracy
    from analysis.origins import heading, origin_lines
    from replaysim.portions import gather
    from replaysim.preparation import check_animals, check_device
    from replaysim.study_folder import check_owner, keep_table

    check_animals(settings.animals), check_device(settings.device)
    check_owner(settings.folder, NAME)
    if not settings.quick:
        summaries.check(settings.kept)
    accuracy, chance, logs = {}, 0.0, []
    for name, arm in chosen(settings).items():
        found = simulate_arm(name, arm, settings)
        accuracy[name] = gather(found, settings.animals, final_accuracy)
        chance = chance_level(found[0].log)
        logs += [portion.log for portion in found]
    title = ", ".join([settings.protocol, f"{settings.known} scenario", *settings.rhythm, *settings.remarks])
    about = heading(title, settings.animals)
    text = "\n".join([about, "", table(accuracy, chance), "", *origin_lines(logs)])
    keep_table(settings.folder, NAME, text)
    arms = xr.Variable("arm", list(accuracy))
    kept = xr.concat(list(accuracy.values()), arms, coords="minimal", compat="override", join="outer")
    kept.assign_attrs(chance=chance).to_netcdf(settings.folder / "accuracy.nc")
    saved = draw(accuracy, chance, title, settings.folder / "lesions")
    print("\nFigure:  " + "  ".join(str(path) for path in saved))
    print(f"Logs:    {settings.folder}/*/animals_*/run.nc   (xarray.open_datatree)")


if __name__ == "__main__":
    run_study(main, Settings)
