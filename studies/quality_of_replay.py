"""How good are replayed memories, and which ingredient makes them good?

Question
    Figure 9 of van de Ven, Siegelmann & Tolias (2020) for the dense brains: after all contexts every animal brings
    memories of all classes back. Are they precise (could they be real?) and diverse (do they cover what is real?), and
    what does each ingredient of brain-inspired replay contribute?
Expected
    Replayed stimuli are precise, more typical than real ones, and less diverse: recall stays below that of real ones.
    Within a class they hardly vary. What makes recall specific to a class is needed, but memory modes or gates alone
    suffice: without both, all memories blend into one. Every number has that of real against real stimuli beside it.
Run time
    Digits (default, 6 animals): about a minute on 2 cores. Split MNIST at the paper's settings: not run,
    estimated from the paper's arms at 2 hours. Split CIFAR-100, from counts of operations at 30 TFLOP/s of a GPU
    (estimated, not run): the arms of ``lesions.py`` in the class scenario, 25 minutes an animal, 2 minutes for the
    embedding network, and about a minute an animal and arm for the measures on a CPU core, less on the GPU.
Hardware
    Digits and Split MNIST: any. Split CIFAR-100: a large GPU (``--device cuda``), and 50 MB of disk an animal and arm.

Quality is judged in the activity of an independent embedding network: a plain classifier (an animal of its own) that
learned all classes at once. The modified inception score uses its decisions.

Split CIFAR-100 takes the lesions of Figure 8 as the paper does. The early areas of the embedding network are the frozen
ones of the brains, so that memories of their highest area enter it there, and replayed photographs at its retina; it
has two areas of 2000 units that learn for 20 epochs (the paper's also saw shifted and mirrored photographs). The
paper's measures take all test stimuli and as many memories: PRD with 20 clusters, 10 clusterings and 1001 angles,
Frechet distance and inception score; beside them, as for all protocols, every measure on half of them, with the other
half as a reference. An arm that is complete in the output folder is neither simulated nor judged again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from replaysim.commandline import MatchedOptions, run_study

if TYPE_CHECKING:
    import xarray as xr

    import replaysim as rs
    from replaysim.embedding import Embedding
    from replaysim.protocol import AbstractProtocol
    from replaysim.resumption import Resumed

# arm: ingredients left out, targets of the replay. All replay through feedback; "plain" has nothing else.
ARMS: dict[str, tuple[tuple[str, ...], str]] = {
    "whole": ((), "soft"),
    "no modes": (("modes",), "soft"),
    "no gating": (("gating",), "soft"),
    "hard targets": ((), "hard"),
    "plain": (("modes", "gating"), "hard"),
}
EMBEDDING_ANIMAL = 1_000_000  # never an animal of the study
GROUPS = {"one ingredient added": ("classic", "+"), "one ingredient left out": ("intact", "−")}
SHOWN = {
    "improved_precision": ("precision", "k-NN"),
    "improved_recall": ("recall", "k-NN"),
    "density": ("density", "k-NN"),
    "coverage": ("coverage", "k-NN"),
    "f_eighth": ("F 1/8", "PRD"),
    "f8": ("F 8", "PRD"),
    "within": ("variance", "in a class"),
    "frechet": ("Frechet", "distance"),
    "inception": ("inception", "score"),
}
SHOWN_OF_ALL = {
    "paper_f_eighth": ("F 1/8", "PRD, all"),
    "paper_f8": ("F 8", "PRD, all"),
    "paper_frechet": ("Frechet", "all"),
}
PAPER = ("precision", "recall", "f_eighth", "f8")  # and the Frechet distance, of all stimuli and as many memories


@dataclass(frozen=True)
class Settings(MatchedOptions):
    """How good are replayed memories, and which ingredient makes them good?"""

    protocol: Literal["digits", "split-mnist", "split-cifar100"] = field(  # type: ignore[assignment]
        default="digits", metadata={"help": "what the animals meet"}
    )
    arms: str = field(default="all", metadata={"help": "comma-separated names of arms, as in the table"})
    steps: int | None = field(
        default=None, metadata={"help": "steps per context instead of the usual, to be compared with its like only"}
    )
    early: Path | None = field(
        default=None, metadata={"help": "file with early areas (default: those that come with replaysim)"}
    )

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        words = [self.protocol, *([f"{self.steps}_steps"] if self.steps is not None else [])]
        return self.out or Path("runs") / "quality_of_replay" / "_".join(words)

    @property
    def photographs(self) -> bool:
        """Whether what is met are photographs."""
        return self.protocol == "split-cifar100"


class Arm(NamedTuple):
    """One arm: who replays, and how."""

    protocol: AbstractProtocol
    brain: rs.BrainPlan
    learning: rs.Learning
    mechanisms: Mapping[str, Any]


def arms_of(settings: Settings) -> dict[str, Arm]:
    """The arms that are asked for."""
    from replaysim.errors import check_choice

    every = lesioned(settings) if settings.photographs else matched(settings)
    if settings.arms == "all":
        return every
    wanted = [name.strip().replace("- ", "− ") for name in settings.arms.split(",")]
    for name in wanted:
        check_choice("quality_of_replay", "arms", name, every)
    return {name: arm for name, arm in every.items() if name in wanted}


def matched(settings: Settings) -> dict[str, Arm]:
    """Dense brains that replay through feedback."""
    import replaysim as rs
    from replaysim import presets

    setup = presets.matched(settings.protocol, quick=settings.quick)
    learning = setup.learning if settings.steps is None else replace(setup.learning, steps=settings.steps)
    return {
        name: Arm(
            setup.protocol, setup.brain(without=left_out), learning, {"replay": rs.GenerativeReplay(targets=targets)}
        )
        for name, (left_out, targets) in ARMS.items()
    }


def lesioned(settings: Settings) -> dict[str, Arm]:
    """The arms of Figure 9 of the paper."""
    from replaysim import presets
    from replaysim.lesion_arms import LAST, lesion_arms

    found, protocol = {}, None
    for name, preset in lesion_arms("split_cifar100", "class").items():
        if name != LAST:
            planned = presets.plan(preset, quick=settings.quick, steps=settings.steps, developed=settings.early)
            protocol = protocol or planned[0]  # the same stimuli need not be in memory twelve times
            found[name] = Arm(protocol, *planned[1:], preset.mechanisms)
    return found


def train_embedding(arm: Arm, settings: Settings) -> Embedding:
    """A plain classifier that learns all classes at once."""
    import replaysim as rs
    from replaysim.embedding import Embedding
    from replaysim.resumption import simulate_once

    whole = rs.SplitProtocol(arm.protocol.stimuli, contexts=1)
    learning = replace(arm.learning, steps=arm.learning.steps * arm.protocol.n_contexts)
    units = tuple(arm.brain.cortex.build().sizes[area] for area in ("association_1", "association_2"))
    extra: dict[str, Any] = {}
    if settings.photographs:
        extra = {"early": "frozen", "developed": None if settings.early is None else str(settings.early)}
        if not settings.quick:
            learning = replace(learning, steps=20 * (len(whole.stimuli.train) // learning.batch))  # 20 epochs
    lived = simulate_once(
        rs.classifier(whole, units=units, **extra),
        whole,
        animals=[EMBEDDING_ANIMAL],
        learning=learning,
        out=settings.folder / "embedding_network",
        overwrite=settings.overwrite,
        keep_brains=True,
        device=settings.device,
        label="embedding",
    )
    return Embedding(lived.brains[EMBEDDING_ANIMAL], lived.log.attrs["id"])


def simulate_arm(name: str, arm: Arm, settings: Settings) -> Resumed:
    """One arm, simulated where it is not complete."""
    import replaysim as rs
    from replaysim.lesion_arms import folder_name
    from replaysim.resumption import simulate_once

    events = min(100 if settings.quick else 200, arm.learning.steps * arm.learning.batch)
    record: list[Any] = [rs.ReplayActivity(events=events)]
    return simulate_once(
        arm.brain,
        arm.protocol,
        animals=settings.animals,
        learning=arm.learning,
        record=record if settings.photographs else [rs.CorticalActivity("retina"), *record],
        out=settings.folder / folder_name(name),
        overwrite=settings.overwrite,
        keep_brains=True,
        device=settings.device,
        workers=settings.workers,
        label=name,
        **arm.mechanisms,
    )


def judged(name: str, arm: Arm, real: xr.DataArray, embedding: Embedding, settings: Settings) -> xr.Dataset:
    """The measures of one arm, made where they are not there."""
    import xarray as xr

    from replaysim.embedding import memories
    from replaysim.lesion_arms import folder_name

    lived = simulate_arm(name, arm, settings)
    path = settings.folder / folder_name(name) / "quality.nc"
    made_of = {"log_id": lived.log.attrs["id"], "embedding_id": embedding.id}
    if path.is_file():
        there = xr.load_dataset(path)
        if {key: there.attrs.get(key) for key in made_of} == made_of:
            return there
    there = judge(real, list(memories(lived.brains, len(real))), embedding, paper=settings.photographs)
    there = there.assign_attrs(made_of)
    there.to_netcdf(path)
    return there


def judge(
    real: xr.DataArray, replayed: Sequence[xr.DataArray], embedding: Embedding, *, paper: bool = False
) -> xr.Dataset:
    """Every measure in the space of the embedding network (animal), with real against real beside it.

    With ``paper`` also, as ``paper_...``, the paper's measures of all real stimuli and as many memories.
    """
    import xarray as xr

    from analysis import fidelity, replay_fidelity

    together: Any = {"dim": "animal", "coords": "minimal", "compat": "override", "join": "exact"}
    there = embedding.activity(real)
    recalled = xr.concat([embedding.activity(one) for one in replayed], **together, combine_attrs="drop")
    classes = xr.concat([one["original_class"] for one in replayed], **together)
    found = fidelity.fidelity(there, recalled)
    within = replay_fidelity.fidelity_by_class(there, recalled, there["original_class"], classes, measures=["scale"])
    found["within"] = within["trace_ratio"].mean("original_class")
    found["reference_within"] = within["reference_trace_ratio"].mean("original_class")
    of_real = fidelity.inception(embedding.decisions(real), sample_dim="stimulus")
    decided = xr.concat([embedding.decisions(one) for one in replayed], **together, combine_attrs="drop")
    found["inception"] = fidelity.inception(decided, sample_dim="event")
    found["reference_inception"] = of_real.broadcast_like(found["inception"])
    if paper:
        whole = fidelity.prd(there, recalled)
        for name in PAPER:
            found[f"paper_{name}"] = whole[name]
        found["paper_frechet"] = fidelity.frechet(there, recalled)
    return found


def table(found: Mapping[str, xr.Dataset]) -> str:
    """Mean and standard error over animals of every measure and arm; real against real in the last line."""
    from analysis.comparison import summarise

    first = next(iter(found.values()))
    whole = {name: words for name, words in SHOWN_OF_ALL.items() if name in first}
    columns = SHOWN | whole

    def line(name: str, values: xr.Dataset, prefix: str = "") -> str:
        cells = []
        for measure in columns:
            if prefix + measure not in values:
                cells.append(" " * 16)
                continue
            one = summarise(values[prefix + measure])
            error = "" if prefix else f" ± {float(one['standard_error']):.2f}"
            cells.append(f"{float(one['mean']):8.2f}{error:8s}")
        return (f"{name:14s}" + "".join(cells)).rstrip()

    head = [f"{'':14s}" + "".join(f"{names[i]:>12s}    " for names in columns.values()) for i in (0, 1)]
    n, animals = first.attrs["n_generated"], first.sizes["animal"]
    rule = "-" * len(head[0].rstrip())
    lines = [*head, rule, *(line(name, values) for name, values in found.items()), rule]
    what = [
        f"association_2 of an independent network. Last line: {n} other real stimuli against the same ones; the",
        "inception score takes all. whole: memory modes, gates by class and soft targets; plain: none of them.",
    ]
    if whole:
        what[1] = (
            "inception score takes all. intact: all ingredients; classic: none; + only this one; − all but this one."
        )
        what.append(f"all: the paper's measures, of {first.attrs['real_available']} real stimuli and as many memories")
    return "\n".join(
        [
            *lines,
            line("real stimuli", first, "reference_"),
            f"mean ± standard error over {animals} animals; {n} replayed against {n} real stimuli, in the activity of",
            *what,
            "k-NN: nearest neighbours; PRD: histograms over clusters, F 1/8 weighs precision, F 8 recall;",
            "variance in a class: replayed over real",
        ]
    )


def draw(found: Mapping[str, xr.Dataset], stem: Path) -> list[Path]:
    """Curves and measures of all arms: the paper's where they are there, one panel of curves for each group."""
    from analysis import figures_fidelity, style

    first = next(iter(found.values()))
    if "paper_frechet" not in first:
        return style.save(figures_fidelity.quality_of_conditions({"": found}), stem)
    shown = {
        name: one.drop_vars(["precision", "recall", "frechet"]).rename(
            paper_precision="precision", paper_recall="recall", paper_frechet="frechet"
        )
        for name, one in found.items()
    }
    groups = {
        title: {name: one for name, one in shown.items() if name == first_of or name.startswith(sign)}
        for title, (first_of, sign) in GROUPS.items()
    }
    figure = figures_fidelity.quality_of_conditions(
        {title: group for title, group in groups.items() if group}, real="real stimuli, half of them against the others"
    )
    return style.save(figure, stem)


def draw_images(real: xr.DataArray, settings: Settings, arms: Sequence[str], stem: Path) -> list[Path]:
    """A real and a replayed image of every class and arm, where stimuli are square and grey."""
    import numpy as np

    from analysis import figures_fidelity, style
    from replaysim.embedding import memories
    from replaysim.lesion_arms import folder_name
    from replaysim.resumption import KeptBrains

    side, classes = round(real.sizes["unit"] ** 0.5), real["original_class"].values
    chosen = [int(np.flatnonzero(classes == c)[0]) for c in np.unique(classes)]
    images = {"real": real[chosen]}
    for name in arms:
        brains = KeptBrains(settings.folder / folder_name(name) / "brains", settings.animals[:1])
        one = next(memories(brains, len(chosen)))
        images[name] = one[np.argsort(one["original_class"].values)]
    return style.save(figures_fidelity.image_grid(images, (side, side)), stem)


def main(settings: Settings) -> None:
    """Simulate every arm, recall, judge, print the table, draw the figures."""
    import xarray as xr

    from replaysim.embedding import real_stimuli
    from replaysim.lesion_arms import folder_name

    arms = arms_of(settings)
    first = next(iter(arms.values()))
    real, embedding = real_stimuli(first.protocol), train_embedding(first, settings)
    found = {name: judged(name, arm, real, embedding, settings) for name, arm in arms.items()}
    text = table(found)
    print("\n" + text)
    (settings.folder / "table.txt").write_text(text + "\n", encoding="utf-8")
    kept = xr.DataTree.from_dict({f"/{folder_name(name)}": one for name, one in found.items()})
    kept.to_netcdf(settings.folder / "quality.nc")
    saved = draw(found, settings.folder / "quality")
    if not settings.photographs:
        saved += draw_images(real, settings, list(arms), settings.folder / "images")
    print("\nFigures:  " + "  ".join(str(path) for path in saved if path.suffix == ".png"))
    print(f"Measures: {settings.folder / 'quality.nc'}   logs: {settings.folder}/*/run.nc   (xarray.open_datatree)")


if __name__ == "__main__":
    run_study(main, Settings)
