"""All methods of the paper on one of its protocols: what is left of everything that was learned?

Question
    Figures 3, 5 and 6 of van de Ven, Siegelmann & Tolias (2020): which methods keep old memories alive, by protocol and
    scenario, and do they behave here as they were published?
Expected
    Split MNIST: in the task scenario every mechanism helps; in the class scenario only replay rises above 20 %.
    Permuted MNIST, after 100 contexts: brain-inspired replay with SI, then brain-inspired replay, then SI; classic
    generative replay collapses after about 15 contexts. Split CIFAR-100, arms of 2020: in the class scenario only
    brain-inspired replay rises well above ``nothing``, further with SI; in the task scenario classic generative replay
    is worse than ``nothing``, brain-inspired replay at least as good as LwF. Those of 2022 (``_frozen``): joint
    training, stored episodes and LwF rise, too. Published numbers and ours: ``docs/results.md``.
Run time
    Split MNIST, 2 CPU cores, 10 animals: 45 minutes for an arm with replay, 10 to 15 minutes for a classifier.
    On an NVIDIA H200 in mixed precision, seven simulations at once: three animals of brain-inspired replay on Split
    CIFAR-100 (50,000 steps) 8 minutes, classifiers 2 to 9; one animal on permuted MNIST (200,000 steps) 8 (SI) to 20
    minutes. On one core of a CPU (AMD EPYC, AVX2; ``docs/results/cost*.txt``) an animal on Split CIFAR-100: 11 hours of
    brain-inspired replay, 3 of a classifier, 7 of one with plastic early areas; permuted MNIST, from counts of
    operations, three to four times as long as brain-inspired replay there. ``cost.py`` says it of your machine.
    Shorter lives are labelled wherever they are shown: ``--steps 100`` takes a fiftieth on Split CIFAR-100,
    ``--contexts 20 --steps 100`` a hundredth on permuted MNIST.
Hardware
    Split MNIST: any. The others in full: a GPU (``--device cuda``), on which all animals are one computation.

Arms are the presets of ``replaysim run --list``. An animal whose life in an arm is complete in the output folder is not
simulated again, whatever else is asked for; a stop costs the context that was under way. The accuracy of every animal
is kept in a CSV file; ``docs/results.md`` is made of those in ``docs/results`` by ``studies/results.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from replaysim.commandline import run_study
from replaysim.options import PresetOptions

if TYPE_CHECKING:
    import xarray as xr

    from analysis.published import Published
    from replaysim.portions import Portion

PUBLISHED = Path(__file__).resolve().parents[1] / "docs" / "results" / "published.csv"
WORDS = {"split_mnist": "Split MNIST", "permuted_mnist": "Permuted MNIST", "split_cifar100": "Split CIFAR-100"}

NAME = "compare_methods"


@dataclass(frozen=True)
class Settings(PresetOptions):
    """All methods of the paper on one of its protocols: what is left of everything that was learned?"""

    protocol: Literal["split-mnist", "permuted-mnist", "split-cifar100"] = field(
        default="split-mnist", metadata={"help": "what the animals meet"}
    )
    arms: str = field(
        default="paper",
        metadata={
            "help": "comma-separated names of arms; paper: all of the two papers (those of the later one end in "
            "_frozen or _1024); 2020: those of the earlier one; or all: also those of no paper (_unscaled), and the "
            "lesions"
        },
    )
    animals: tuple[int, ...] = field(
        default=tuple(range(12, 22)), metadata={"help": "seeds of the animals, e.g. 12:22 (22 not included)"}
    )
    contexts: int | None = field(
        default=None,
        metadata={"help": "contexts of permuted MNIST instead of 100: the first of the same permutations; labelled"},
    )
    chances: int = field(
        default=1,
        metadata={
            "help": "lives of every animal: repeats with other initial synapses, order of trials and noise, and the "
            "same class order and gates (not the chance level)"
        },
    )
    first_chance: int = field(default=0, metadata={"help": "number of the first of these lives"})
    out: Path = field(default=Path("runs/compare_methods"), metadata={"help": "folder for logs, tables and figures"})
    summary: Path | None = field(
        default=None,
        metadata={
            "help": "CSV file to which the accuracy of every animal is added, not with --quick "
            "(default: PROTOCOL.csv in that folder)"
        },
    )
    draw: bool = field(default=False, metadata={"help": "simulate nothing: table and figure of what is complete"})

    def __post_init__(self) -> None:
        from replaysim.errors import SettingError, check_number

        self.check("compare_methods", "chances", "contexts")
        check_number("compare_methods", "first_chance", self.first_chance, least=0, whole=True)
        if self.contexts is not None and self.world != "permuted_mnist":
            raise SettingError(
                "compare_methods", "contexts", self.contexts, f"left out: {self.protocol} divides its classes among all"
            )
        if self.world == "permuted_mnist" and self.scenario not in (None, "domain"):
            raise SettingError("compare_methods", "scenario", self.scenario, "'domain' in permuted MNIST")

    @property
    def prefix(self) -> str:
        """Beginning of the names of presets."""
        return f"{self.world}/{self.known}/"

    @property
    def kept(self) -> Path:
        """The CSV file."""
        return self.summary or self.out / f"{self.world}.csv"

    @property
    def paper_steps(self) -> int:
        """Steps per context in the paper."""
        from replaysim.arms import FRAMES

        return FRAMES[self.world][1].steps

    @property
    def fewer(self) -> int | None:
        """Number of contexts where it is not the paper's."""
        from replaysim.arms import N_CONTEXTS

        return None if self.contexts == N_CONTEXTS[self.world] else self.contexts

    @property
    def length(self) -> str:
        """How long a life is, for folders: ``full``, ``100_steps``, ``20_contexts_100_steps`` or ``quick``."""
        if self.quick:
            return "quick"
        words = [] if self.fewer is None else [f"{self.fewer}_contexts"]
        words += [] if self.steps in (None, self.paper_steps) else [f"{self.steps}_steps"]
        return "_".join(words) or "full"

    @property
    def folder(self) -> Path:
        """Where all that can be compared with each other lies."""
        early = "" if self.areas == "none" else f"_early_{self.areas}"
        return self.out / self.prefix / "_".join([f"{self.length}{early}", *self.rounded])


def chosen(settings: Settings) -> list[str]:
    """Names of the presets that are asked for."""
    from replaysim import presets
    from replaysim.ingredients import is_lesion

    every = presets.names(settings.prefix)
    if settings.arms == "all":
        return every
    if settings.arms in ("paper", "2020"):
        others = ("_unscaled", *(("_frozen", "_1024") if settings.arms == "2020" else ()))
        return [n for n in every if not is_lesion(n) and not any(word in n for word in others)]
    return [settings.prefix + known(settings, arm.strip(), every) for arm in settings.arms.split(",")]


def known(settings: Settings, arm: str, every: list[str]) -> str:
    """The arm, or a :class:`SettingError` that says which there are, and where this one is."""
    from replaysim import presets
    from replaysim.errors import SettingError

    if settings.prefix + arm in every:
        return arm
    own = [name.removeprefix(settings.prefix) for name in every]
    elsewhere = [name.split("/")[1] for name in presets.names(f"{settings.world}/") if name.endswith(f"/{arm}")]
    hint = f" ({arm} is an arm of the {' and the '.join(elsewhere)} scenario)" if elsewhere else ""
    raise SettingError("compare_methods", "arms", arm, f"'paper', '2020', 'all', or of {', '.join(own)}{hint}")


def live(settings: Settings, name: str, chance: int) -> list[Portion]:
    """Who has lived to the end in one arm and life; who is missing is simulated first, a portion at a time."""
    from analysis.survival import alive
    from replaysim import portions, presets

    preset = presets.get(name)
    protocol, brain, learning = presets.plan(
        preset, quick=settings.quick, steps=settings.steps, contexts=settings.contexts, developed=settings.early
    )
    lived = []
    for portion in portions.live(
        brain,
        protocol,
        animals=settings.animals,
        learning=learning,
        out=settings.folder / name.removeprefix(settings.prefix) / f"chance_{chance}",
        only_finished=settings.draw,
        **settings.lived,
        chance=chance,
        label=name,
        **preset.mechanisms,
    ):
        keep(settings, name, portion.log)
        if animals := alive(name, portion.log, portion.animals):
            lived.append(portion._replace(animals=animals))
    return lived


def keep(settings: Settings, name: str, log: xr.DataTree) -> None:
    """Add the animals of a log to the summary."""
    from analysis import summaries

    if not settings.quick:
        rows = summaries.rows_of(log, name, early=settings.areas, contexts=settings.fewer)
        summaries.add_rows(settings.kept, rows)


def outcome(settings: Settings, name: str) -> xr.Dataset | None:
    """Accuracy and forgetting of one arm, (animal, chance); None where no life is complete."""
    import xarray as xr

    from analysis import methods_table

    lives, level = [], {}
    for chance in range(settings.first_chance, settings.first_chance + settings.chances):
        found = []
        for portion in live(settings, name, chance):
            found.append(methods_table.measures(portion.log).sel(animal=list(portion.animals)))
            level = methods_table.levels(portion.log)
        if found:
            one = xr.concat(found, "animal")
            lives.append(
                one.sel(animal=[a for a in settings.animals if a in one["animal"]]).expand_dims(chance=[chance])
            )
            tell(name, chance, lives[-1])
    return xr.concat(lives, "chance").assign(level) if lives else None


def tell(name: str, chance: int, lives: xr.Dataset) -> None:
    """Print a line about a finished life."""
    mean = 100 * float(lives["final"].mean())
    life = f", chance {chance}" if chance else ""
    counted = "one animal" if lives.sizes["animal"] == 1 else f"mean of {lives.sizes['animal']} animals"
    print(f"{name}{life}: {mean:.2f} %, {counted}", flush=True)


def title(settings: Settings) -> str:
    """What the animals met, and what makes this no replication of the paper."""
    world, scenario = settings.prefix.strip("/").split("/")
    words = [WORDS[world], f"{scenario} scenario"]
    words += [f"{settings.paper_steps} steps per context"] if settings.length == "full" else []
    words += settings.remarks
    if settings.quick:
        words.append("QUICK: says nothing about the methods")
    elif settings.length != "full":
        few = "" if settings.fewer is None else f"the first {settings.fewer} contexts, "
        steps = settings.steps or settings.paper_steps
        words.append(f"{few}{steps} steps per context (the paper: {settings.paper_steps}), compare with its like only")
    return ", ".join(words)


def published_beside(settings: Settings) -> dict[str, Published]:
    """What is published of these arms at this length; nothing beside fewer contexts."""
    from analysis.published import means

    if settings.quick or settings.fewer is not None:
        return {}
    return means(PUBLISHED, settings.prefix, settings.steps or settings.paper_steps)


def main(settings: Settings) -> None:
    """Simulate what is missing, summarise, print the table, draw the figure."""
    from analysis import figures_methods, methods_table, style, summaries
    from analysis.origins import heading
    from replaysim.errors import LogError
    from replaysim.study_folder import check_owner, keep_table

    check_owner(settings.folder, NAME)
    beside = published_beside(settings)

    if not settings.quick:
        summaries.check(settings.kept)
    found = {name.removeprefix(settings.prefix): outcome(settings, name) for name in chosen(settings)}
    outcomes, what = methods_table.counted({name: one for name, one in found.items() if one is not None})
    if not outcomes:
        raise LogError(f"nothing is complete in {settings.folder}{': leave out --draw' if settings.draw else ''}")
    text = methods_table.table(outcomes, what, heading(title(settings), settings.animals), beside)
    lacking = [name for name, one in found.items() if one is None]
    text += f"\nno complete life: {', '.join(lacking)}" if lacking else ""
    keep_table(settings.folder, NAME, text)
    first = next(iter(outcomes.values()))
    figure = figures_methods.compare_methods(
        {name: one["final"] for name, one in outcomes.items()},
        {name: one["over_contexts"] for name, one in outcomes.items()},
        level=float(first["level"]),
        chance=first["guessing"],
        title=title(settings),
        counted=what,
        published=beside,
    )
    print("\nFigure:  " + "  ".join(str(path) for path in style.save(figure, settings.folder / "methods")))
    print(f"Logs:    {settings.folder}/*/chance_*/animals_*/run.nc   (xarray.open_datatree)")
    if not settings.quick:
        print(f"Summary: {settings.kept}")


if __name__ == "__main__":
    run_study(main, Settings)
