"""Tables of published numbers and ours, made from the kept summaries; nothing in them is typed by hand.

``python studies/results.py`` writes ``docs/results.md``; with ``--check`` it only says whether that file is up to date.
Run time: seconds.

Our numbers are those that ``studies/compare_methods.py`` and ``studies/lesions.py`` keep, one CSV file a protocol (with
a header only as long as nothing of it was run); the published ones are in ``docs/results/published.csv``, how far ours
may lie from them in ``docs/results/bounds.csv``. A page that would show less than it does today is only written with
``--fewer``. Tables of other studies are the ``table.txt`` that they leave, copied to ``docs/results/`` under the names
in :data:`KEPT`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from analysis.bounds import Bound, read_bounds
from analysis.origins import BEGINNING
from analysis.summary_tables import Cohort, Known, Tables, published
from replaysim.commandline import run_study
from replaysim.errors import DataError, LogError, SettingError, check_choice


@dataclass(frozen=True)
class Settings:
    """Tables of published numbers and ours, made from the kept summaries."""

    summaries: Path = field(default=Path("docs/results"), metadata={"help": "folder with the kept summaries"})
    out: Path = field(default=Path("docs/results.md"), metadata={"help": "file to write"})
    fewer: bool = field(
        default=False, metadata={"help": "write a page that shows fewer numbers than today's: they are gone for good"}
    )
    check: bool = field(default=False, metadata={"help": "write nothing; fail if the file is not up to date"})


SOURCES = {
    "classifiers": "van de Ven, Li & Tolias 2021, CVPR-W, Table 2 (10 seeds)",
    "types": "van de Ven, Tuytelaars & Tolias 2022, Nature Machine Intelligence 4:1185, Table 3 (10 seeds; early areas "
    "frozen for all methods)",
    "memory": "quoted from memory, not looked up: van de Ven & Tolias 2019, three scenarios (20 seeds); brain-inspired "
    "replay: van de Ven, Tuytelaars & Tolias 2022, Table 2",
    "code": "animal 12: the published code with seed 12, run once as a yardstick",
}


YARDSTICK = "a9cccb3268ab"
"""Beginning of the SHA-256 of the file with the early areas of the paper's code, which are not ours to ship."""
SHIPPED = "shipped"
"""Stands for the early areas that come with this version: in summaries, the beginning of their SHA-256."""
ALL = (Cohort("none", "ours", "ours"),)
BY_AREAS = (
    Cohort(YARDSTICK, "ours, the paper's early areas", "paper's areas"),
    Cohort(SHIPPED, "ours, shipped early areas", "shipped areas"),
)


@dataclass(frozen=True)
class World:
    """One protocol of the paper.

    Attributes
    ----------
    title
        Of its section.
    scenarios
        In the order of the section.
    chance
        Scenario to accuracy of guessing, per cent.
    cohorts
        Columns of ours.
    about, deviations
        Paragraphs at the beginning and the end.
    """

    title: str
    scenarios: tuple[str, ...]
    chance: Mapping[str, int]
    cohorts: tuple[Cohort, ...] = ALL
    about: str = ""
    deviations: str = ""


COMMON = """\
## Deviations from the published code

Of all arms; further ones stand with their protocol.

1. Initial synapses, the order of trials and the noise of codes come from streams of our own, so that animal 12 shares
   the class order and the gate patterns with seed 12 of the published code, but not its weights and batches. A single
   animal therefore differs by chance.
2. The soft-label prior is the exact weighted log-sum-exp, without the published lower bound of 1e-40.
3. The Fisher information is divided by the number of stimuli used (the published code divides by one less when it uses
   all of a context).
4. EWC keeps the sum of all contexts' parabolas instead of one copy each: the same penalty and gradient.
5. In the task scenario the gates of current trials are those of the right class; `brain_inspired_faithful` repeats the
   published code's slip.
6. No joint training from scratch: as in the published code, the same network goes on with the data of all contexts so
   far.
"""
WORLDS = {
    "split_mnist": World(
        "Split MNIST",
        ("class", "task", "domain"),
        {"class": 10, "task": 50, "domain": 50},
        about="Accuracy: mean over contexts, then over animals; s.e. = sample standard deviation / √n over animals, or "
        "over the lives of a single animal. Commands with `paper_split_mnist.py` name the script that "
        "`studies/compare_methods.py` has replaced: today, the same arms are `python studies/compare_methods.py "
        "--protocol split-mnist --scenario ... --arms ...`. The domain scenario is not in the paper.",
        deviations="""\
The paper does not show brain-inspired replay on Split MNIST. In the class scenario, animal 12 lies near the published
code's seed 12; the later publication is above both. All terms, gradients and whole loops agree with the published code
to 1e-10 in float64, so the gap is one between that code and the later publication, whose settings we have not seen.
""",
    ),
    "permuted_mnist": World(
        "Permuted MNIST",
        ("domain",),
        {"domain": 10},
        about="Published as a figure only, so that there is an order to compare, but no number: brain-inspired replay "
        "with SI > brain-inspired replay > SI > classic replay, which collapses after about 15 contexts.",
        deviations="""\
Further deviations: animals below 10 meet a permuted first context, too; memories are never replayed through the gates
of the context that is just being learned, which the code of 2020 did (`brain_inspired_faithful` does).
""",
    ),
    "split_cifar100": World(
        "Split CIFAR-100",
        ("class", "task", "domain"),
        {"class": 1, "task": 10, "domain": 10},
        BY_AREAS,
        about="Early areas of arms without replay within the cortex are plastic, as in the paper of 2020; `_frozen` "
        "arms have frozen ones, as all methods of the paper of 2022 have. The domain scenario is not in the paper of "
        "2020. Arms that end in `_1024` divide the code divergence by the 1024 units of the re-entry area, not by the "
        "3072 elements of a photograph.",
        deviations="""\
Further deviations:

7. Early areas that come with replaysim were developed anew (`studies/develop_visual_cortex.py`), by what seems to be
   the recipe of the paper's, told from their synapses, and 20 epochs more with another readout; `data/README.md`
   compares both.
8. Published joint training: once, on all data. Here the same network goes on, as in the published code.
9. `_frozen` arms, and all numbers beside the paper of 2022: there, early areas were developed anew for every seed, the
   code divergence was divided by 1024 (here 3072, but for the arms that end in `_1024`), and strengths and shares of
   closed gates were others.
10. Gains of the normalisation in the feedback pathway begin at 1, not uniform in [0, 1] as in the library of 2019.

The short runs of animal 12: lives of one animal share its class order and gates, and differ in initial synapses, order
of trials and noise. They scatter by √n times the standard error shown, and the published code was run once, so that its
number carries the same chance. Two lives were lived with both divisors of the code divergence, by the same chance:
within a pair they differ by far less than lives of one arm scatter, so that 100 steps do not tell the divisors apart.
Whole lives are also distributed as those of a second implementation that shares nothing with this one
(`tests/against_paper/test_plain_replay.py`, on the digits).
""",
    ),
}


def section(world: str, rows: Sequence[Mapping[str, str]], known: Known, bounds: Sequence[Bound] = ()) -> str:
    """The section on one protocol."""
    from replaysim import presets
    from replaysim.early_areas import shipped_areas

    by, grouped = WORLDS[world], defaultdict(list)
    cohorts = tuple(replace(one, early=shipped_areas()) if one.early == SHIPPED else one for one in by.cohorts)
    for row in rows:
        grouped[row["preset"]].append(row)
    parts = [f"## {by.title}", "", by.about, ""]
    for scenario in by.scenarios:
        names = presets.names(f"{world}/{scenario}/")
        paper = presets.get(names[0]).learning.steps
        there = {(row["preset"], int(row["steps"])) for name in names for row in grouped[name]}
        there |= {(name, steps) for name, steps, _ in known if name in names}
        parts += [f"### {scenario.capitalize()} scenario", "", f"Chance: {by.chance[scenario]} %.", ""]
        for steps in (paper, *sorted({steps for _, steps in there} - {paper})):
            wanted = [n for n in names if (n, steps) in there or (steps == paper and not is_lesion(n))]
            if steps != paper:
                parts += [f"**{steps} steps per context** (the paper: {paper}): compare with their like only.", ""]
            parts += Tables(cohorts, known, SOURCES, bounds).table(wanted, steps, grouped)
    return "\n".join([*parts, by.deviations])


def is_lesion(name: str) -> bool:
    """Whether an arm is a developmental lesion: not in the figure that compares methods."""
    return name.rsplit("/", 1)[1].startswith(("without_", "only_"))


KEPT = {
    "Digits": (
        "digits_*_animals_*.txt",
        "Ten animals, settings tuned on held-out training stimuli of animals 0-9 (`digits_tuning.csv`).",
    ),
    "Geometry of replay": ("geometry_*.txt", "What is kept of waking geometry, in the cortex and in replay; digits."),
    "Quality of replay": (
        "quality_*.txt",
        "Precision and diversity of replay, and what every ingredient adds; digits.",
    ),
    "Lesions": (
        "lesions_*.txt",
        "Figure 8 of the paper: brain-inspired replay without one ingredient or with only one.",
    ),
    "Amount of replay": (
        "amount_*.txt",
        "Figure 4 of the paper: how many memories, from how large a hippocampus, with and without synapses drawn anew "
        "before every context; digits, where classic replay is undertrained at 100 steps.",
    ),
    "Speed": (
        "speed*.txt",
        "Two machines. The first table and that of photographs: this version, where a thread multiplies matrices at 95 "
        "GFLOP/s. The others: an earlier version, whose step took a sixth longer, where a thread does so "
        "at about 190: there what is not a product of matrices weighs more, so that the fraction is lower.",
    ),
}
"""Title of a section, and the files with a command in the first line and, below, what it printed."""
NOT_EVERYWHERE = ("Lesions", "Amount of replay")  # sections that are left out as long as there is no file


def printed(folder: Path, title: str) -> str:
    """A section of tables as studies printed them."""
    pattern, about = KEPT[title]
    paths = sorted(folder.glob(pattern))
    if not paths and title in NOT_EVERYWHERE:
        return ""
    if not paths:
        raise LogError(f"no summary {folder / pattern}: run the study first and keep what it prints, below its command")
    parts = [f"## {title}", ""] + ([about, ""] if about else [])
    for path in paths:
        lines = path.read_text(encoding="utf-8").strip("\n").splitlines()
        command = [f"`{lines.pop(0)}`"] if lines and lines[0].startswith("python ") else []
        origins = [line for line in lines if line.startswith(BEGINNING)]
        table = "\n".join(line for line in lines if not line.startswith(BEGINNING)).strip("\n")
        command += [] if origins else ["(no provenance kept)"]
        parts += [" ".join(command), ""] if command else []
        parts += ["```text", table, "```", "", *([*origins, ""] if origins else [])]
    return "\n".join(parts)


def check_names(folder: Path, ours: Mapping[str, Sequence[Mapping[str, str]]], known: Known) -> None:
    """Raise :class:`DataError` for numbers of arms that there are not: no table would show them.

    Parameters
    ----------
    folder
        With the summaries.
    ours
        World to the rows of its summary.
    known
        Published numbers.
    """
    from replaysim import presets

    for world, rows in ours.items():
        arms = set(presets.names(f"{world}/"))
        unknown = sorted({row["preset"] for row in rows} - arms)
        if unknown:
            raise DataError(
                f"{folder / world}.csv: has rows of {', '.join(unknown[:3])}, which `replaysim run --list {world}` "
                "does not show: mend the name, or remove the rows"
            )
    unknown = sorted({preset for preset, _, _ in known if preset not in presets.PRESETS})
    if unknown:
        raise DataError(
            f"{folder / 'published.csv'}: has numbers of {', '.join(unknown[:3])}, which `replaysim run --list` does "
            "not show: mend the name, or remove the rows"
        )
    for value in known.values():
        check_choice(str(folder / "published.csv"), "source", value.source, SOURCES)


def read(folder: Path) -> tuple[dict[str, list[dict[str, str]]], Known, tuple[Bound, ...]]:
    """Summaries by world, published numbers and bounds, all checked."""
    from analysis.summaries import read_rows

    known, bounds = published(folder / "published.csv"), read_bounds(folder / "bounds.csv")
    ours = {}
    for world in WORLDS:
        path = folder / f"{world}.csv"
        if not path.is_file() or not path.stat().st_size:
            raise LogError(
                f"no summary at {path}, or an empty file: bring it back, name another folder with --summaries, "
                "or, where nothing was run, write a file with the header only"
            )
        try:
            ours[world] = read_rows(path)
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is not a summary: {error}") from error
    check_names(folder, ours, known)
    return ours, known, bounds


def main(settings: Settings) -> None:
    """Write the tables, or check them."""
    from analysis.vanished import vanished

    if settings.out.is_dir() or not settings.out.parent.is_dir():
        raise SettingError("results", "out", str(settings.out), "a file in a folder that is there")
    ours, known, bounds = read(settings.summaries)
    heading = (
        "# Published numbers and ours\n\nMade by `python studies/results.py` from the summaries in `docs/results/`.\n\n"
    )
    sections = [section(world, rows, known, bounds) for world, rows in ours.items()]
    parts = [*sections, COMMON, *(printed(settings.summaries, title) for title in KEPT)]
    text = heading + "\n".join(part for part in parts if part)
    before = settings.out.read_text(encoding="utf-8") if settings.out.exists() else ""
    if settings.check:
        if before != text:
            raise LogError(f"{settings.out} is not up to date: run studies/results.py")
        return
    gone = vanished(before, text)
    if gone and not settings.fewer:
        raise LogError(
            f"{settings.out} shows numbers that {settings.summaries} lacks ({'; '.join(gone[:3])}): bring them back, "
            "or say --fewer"
        )
    temporary = settings.out.with_name(f"{settings.out.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(settings.out)
    print(text)


if __name__ == "__main__":
    run_study(main, Settings)
