"""Tables of published numbers and ours, made from the kept summaries; nothing in them is typed by hand.

``python studies/results.py`` writes ``docs/results.md``; with ``--check`` it only says whether that file is up to date,
with ``--figures docs/figures`` it draws the figures of methods, too. Run time: seconds.

Our numbers are those that ``studies/compare_methods.py`` and ``studies/lesions.py`` keep, one CSV file a protocol (with
a header only as long as nothing of it was run); the published ones are in ``docs/results/published.csv``, how far ours
may lie from them in ``docs/results/bounds.csv``, published orders of arms in ``docs/results/orders.csv``. A page that
would show less than it does today is only written with ``--fewer``. Tables of other studies are the ``table.txt`` that
they leave, copied to ``docs/results/`` under the names in :data:`analysis.results_sections.KEPT`; the words of the page
are there, and in :mod:`analysis.results_page`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from analysis import glance
from analysis.bounds import Bound, read_bounds
from analysis.csv_tables import ALL_CONTEXTS
from analysis.orders import Order, read_orders
from analysis.prose import Numbers
from analysis.published import Known, published
from analysis.results_page import COMMON, DEVIATIONS, GLANCE, OTHERS, SHIPPED, SOURCES, WORLDS
from analysis.results_sections import KEPT, arms, pictures, printed
from analysis.summary_tables import Cohort, Tables
from replaysim.commandline import run_study
from replaysim.errors import DataError, LogError, SettingError, check_choice

HEADING = """\
# Published numbers and ours

Made by `python studies/results.py` from the summaries in `docs/results/`.
"""
ARMS = "What the arms are"
_SHOWN_FIRST = [
    f"{world}/{scenario}"
    for world in ("split_cifar100", "split_mnist", "permuted_mnist")
    for scenario in ("class", "domain", "task")
]


@dataclass(frozen=True)
class Settings:
    """Tables of published numbers and ours, made from the kept summaries."""

    summaries: Path = field(default=Path("docs/results"), metadata={"help": "folder with the kept summaries"})
    out: Path = field(default=Path("docs/results.md"), metadata={"help": "file to write"})
    fewer: bool = field(
        default=False, metadata={"help": "write a page that shows fewer numbers than today's: they are gone for good"}
    )
    check: bool = field(default=False, metadata={"help": "write nothing; fail if the file is not up to date"})
    figures: Path | None = field(
        default=None, metadata={"help": "folder in which figures of methods are drawn, too (default: none are)"}
    )


def section(
    world: str,
    rows: Sequence[Mapping[str, str]],
    known: Known,
    bounds: Sequence[Bound] = (),
    orders: Sequence[Order] = (),
) -> str:
    """The section on one protocol."""
    from replaysim import presets
    from replaysim.ingredients import is_lesion

    by, grouped, cohorts = WORLDS[world], _by_preset(rows), cohorts_of(world)
    parts = [f"## {by.title}", "", by.about, "", *(pictures(by.title) if rows else [])]
    for scenario in by.scenarios:
        names = presets.names(f"{world}/{scenario}/")
        paper = ALL_CONTEXTS, presets.get(names[0]).learning.steps
        there = {(row["preset"], row["contexts"], int(row["steps"])) for name in names for row in grouped[name]}
        there |= {(name, ALL_CONTEXTS, steps) for name, steps, _ in known if name in names}
        parts += [f"### {scenario.capitalize()} scenario", "", f"Chance: {by.chance[scenario]} %.", ""]
        for contexts, steps in (paper, *sorted({(contexts, steps) for _, contexts, steps in there} - {paper})):
            whole = (contexts, steps) == paper
            wanted = [n for n in names if (n, contexts, steps) in there or (whole and not is_lesion(n))]
            if not whole:
                few = "" if contexts == ALL_CONTEXTS else f"The first {contexts} contexts, "
                parts += [
                    f"**{few}{steps} steps per context** (the paper: {paper[1]}): compare with their like only.",
                    "",
                ]
            tables = Tables(cohorts, known, SOURCES, bounds, orders, OTHERS)
            parts += tables.table(wanted, steps, grouped, contexts, whole=whole)
    if not rows:  # nothing to say something about
        return "\n".join(parts)
    numbers = Numbers(world, cohorts[0].early, presets.get(rows[0]["preset"]).learning.steps, grouped, known)
    return "\n".join([*parts, numbers.fill(by.deviations)])


def at_a_glance(
    ours: Mapping[str, Sequence[Mapping[str, str]]], known: Known, orders: Sequence[Order], titles: Sequence[str]
) -> str:
    """What came of the protocols of the paper, in a table and a few sentences, and links to all that is below."""
    from replaysim import presets
    from replaysim.ingredients import is_lesion

    scenarios, words = [], []
    for world, rows in ours.items():
        by, first = WORLDS[world], cohorts_of(world)[0]
        for scenario in by.scenarios:
            arms = [name for name in presets.names(f"{world}/{scenario}/") if not is_lesion(name)]
            steps = presets.get(arms[0]).learning.steps
            usual = first.early, ALL_CONTEXTS, str(steps)
            own = _by_preset(row for row in rows if (row["early"], row["contexts"], row["steps"]) == usual)
            title = f"{by.title}, {scenario}"
            scenarios.append(glance.Scenario(title, f"{world}/{scenario}", arms, own, steps))
        if rows:
            words.append(Numbers(world, first.early, steps, _by_preset(rows), known).fill(by.in_short))
    links = ", ".join(f"[{title}](#{title.lower().replace(' ', '-')})" for title in titles)
    return "\n".join([glance.table(scenarios, known, orders), "", GLANCE, *words, f"On this page: {links}.", ""])


def _by_preset(rows: Iterable[Mapping[str, str]]) -> dict[str, list[Mapping[str, str]]]:
    found: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for row in rows:
        found[row["preset"]].append(row)
    return found


def names_of_arms() -> str:
    """What the names in the tables mean, in the words of the presets, and the numbers that they have."""
    from replaysim import presets
    from replaysim.arms import NUMBERS
    from replaysim.ingredients import is_lesion

    about: dict[str, str] = {}
    for name in sorted(presets.names(), key=lambda name: _SHOWN_FIRST.index(name.rpartition("/")[0])):
        if not is_lesion(name):
            group, arm = name.rsplit("/", 1)
            about.setdefault(arm, f"{presets.get(name).about} ({group.replace('_', ' ').replace('/', ', ')})")
    strengths = {
        ", ".join(where).replace("_", " "): (
            *(own.ewc, own.online_ewc, own.si, own.closed, own.xdg),
            *(own.with_si or (None, None)),
        )
        for where, own in NUMBERS.items()
    }
    return arms(ARMS, about, strengths)


def cohorts_of(world: str) -> tuple[Cohort, ...]:
    """Columns of ours, with the fingerprint of the early areas that come with this version."""
    from replaysim.early_areas import shipped_areas

    return tuple(replace(one, early=shipped_areas()) if one.early == SHIPPED else one for one in WORLDS[world].cohorts)


def check_areas(path: Path, rows: Sequence[Mapping[str, str]], cohorts: Sequence[Cohort]) -> None:
    """Raise :class:`DataError` for rows of early areas that no table would show."""
    shown = {*(one.early for one in cohorts), *OTHERS}
    unknown = sorted({row["early"] for row in rows} - shown)
    if unknown:
        raise DataError(
            f"{path}: has rows of the early areas {', '.join(unknown)}, which no table shows (those that are shipped "
            f"today: {cohorts[-1].early}): name them in analysis.results_page.OTHERS, or remove the rows"
        )


def draw(folder: Path, world: str, rows: Sequence[Mapping[str, str]], published_means: Path) -> list[Path]:
    """A figure of every scenario of a protocol: arms of the published length, early areas of the first column."""
    from analysis import figures_kept, style
    from analysis.published import means
    from replaysim import presets

    by, saved = WORLDS[world], []
    cohort = cohorts_of(world)[0]
    for scenario in by.scenarios:
        prefix = f"{world}/{scenario}/"
        names = presets.names(prefix)
        steps = presets.get(names[0]).learning.steps
        usual = cohort.early, ALL_CONTEXTS, str(steps)
        own = [row for row in rows if (row["early"], row["contexts"], row["steps"]) == usual]
        of_arms = {name.removeprefix(prefix): [row for row in own if row["preset"] == name] for name in names}
        areas = cohort.title.removeprefix("ours").removeprefix(", ")
        figure = figures_kept.methods(
            {arm: some for arm, some in of_arms.items() if some},
            chance=by.chance[scenario] / 100,
            scenario=scenario,
            title=", ".join(filter(None, [by.title, f"{scenario} scenario", f"{steps} steps per context", areas])),
            published=means(published_means, prefix, steps),
        )
        if figure is not None:
            saved += style.save(figure, folder / f"methods_{world}_{scenario}", kinds=("png",))
    return saved


def check_names(
    folder: Path, ours: Mapping[str, Sequence[Mapping[str, str]]], known: Known, orders: Sequence[Order] = ()
) -> None:
    """Raise :class:`DataError` for numbers of arms that there are not: no table would show them.

    Parameters
    ----------
    folder
        With the summaries.
    ours
        World to the rows of its summary.
    known, orders
        Published numbers, and orders of arms.
    """
    from replaysim import presets

    for world, rows in ours.items():
        check_areas(folder / f"{world}.csv", rows, cohorts_of(world))
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
    for order in orders:
        for arm in order.arms:
            check_choice(str(folder / "orders.csv"), order.group, arm, _arms_of(order.group))
    for value in known.values():
        check_choice(str(folder / "published.csv"), "source", value.source, SOURCES)


def _arms_of(group: str) -> list[str]:
    from replaysim import presets

    return [name.rpartition("/")[2] for name in presets.names(f"{group}/")]


def read(folder: Path) -> tuple[dict[str, list[dict[str, str]]], Known, tuple[Bound, ...], tuple[Order, ...]]:
    """Summaries by world, published numbers, bounds and orders, all checked."""
    from analysis.summaries import read_rows

    known, bounds = published(folder / "published.csv"), read_bounds(folder / "bounds.csv")
    orders = read_orders(folder / "orders.csv")
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
    check_names(folder, ours, known, orders)
    return ours, known, bounds, orders


def main(settings: Settings) -> None:
    """Write the tables, or check them."""
    from analysis.vanished import vanished

    if settings.out.is_dir() or not settings.out.parent.is_dir():
        raise SettingError("results", "out", str(settings.out), "a file in a folder that is there")
    ours, known, bounds, orders = read(settings.summaries)
    sections = [section(world, rows, known, bounds, orders) for world, rows in ours.items()]
    others = {title: text for title in KEPT if (text := printed(settings.summaries, title))}
    below = "\n".join([*sections, COMMON, *others.values(), names_of_arms()])
    before = settings.out.read_text(encoding="utf-8") if settings.out.exists() else ""
    gone = vanished(before, below)
    if gone and not (settings.fewer or settings.check):
        raise LogError(
            f"{settings.out} shows numbers that {settings.summaries} lacks ({'; '.join(gone[:3])}): bring them back, "
            "or say --fewer"
        )
    titles = [*(WORLDS[world].title for world in ours), DEVIATIONS, *others, ARMS]
    text = f"{HEADING}\n{at_a_glance(ours, known, orders, titles)}\n{below}"
    if settings.check:
        if before != text:
            raise LogError(f"{settings.out} is not up to date: run studies/results.py")
        return
    temporary = settings.out.with_name(f"{settings.out.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(settings.out)
    print(text)
    if settings.figures is not None:
        for world, rows in ours.items():
            for path in draw(settings.figures, world, rows, settings.summaries / "published.csv"):
                print(f"Figure: {path}")


if __name__ == "__main__":
    run_study(main, Settings)
