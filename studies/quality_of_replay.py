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
    Digits (default, 6 animals): one to two minutes on 2 cores. Split MNIST at the paper's settings: not run,
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
half as a reference. An animal whose life in an arm is complete in the output folder is neither simulated nor judged
again; ``--at-once`` bounds what a stop can cost. For 200 test stimuli (``--stimuli``) every arm also tells how well its
animals expect them: log-likelihood, and error of reconstruction, at the area at which memories re-enter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from replaysim.commandline import run_study
from replaysim.options import MatchedOptions, ProtocolOptions

if TYPE_CHECKING:
    import xarray as xr

    import replaysim as rs
    from analysis.quality import Seen
    from replaysim.embedding import Embedding
    from replaysim.portions import Portion
    from replaysim.protocol import AbstractProtocol

# arm: ingredients left out, targets of the replay. All replay through feedback; "plain" has nothing else.
ARMS: dict[str, tuple[tuple[str, ...], str]] = {
    "whole": ((), "soft"),
    "no modes": (("modes",), "soft"),
    "no gating": (("gating",), "soft"),
    "hard targets": ((), "hard"),
    "plain": (("modes", "gating"), "hard"),
}
EMBEDDING_ANIMAL = 1_000_000  # never an animal of the study

NAME = "quality_of_replay"


@dataclass(frozen=True)
class Settings(ProtocolOptions, MatchedOptions):
    """How good are replayed memories, and which ingredient makes them good?"""

    protocol: Literal["digits", "split-mnist", "split-cifar100"] = field(  # type: ignore[assignment]
        default="digits", metadata={"help": "what the animals meet"}
    )
    arms: str = field(default="all", metadata={"help": "comma-separated names of arms, as in the table"})
    stimuli: int = field(default=200, metadata={"help": "test stimuli whose likelihood is asked for"})

    def __post_init__(self) -> None:
        self.check("quality_of_replay", "stimuli")

    def asked(self, real: xr.DataArray) -> int:
        """How many stimuli there are to be asked about."""
        return min(self.stimuli, real.sizes["stimulus"])

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        return self.out or Path("runs") / "quality_of_replay" / "_".join([self.protocol, *self.shortened])


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
        checkpoints=True,
        device=settings.device,
        threads=settings.threads,  # but float32, however precisely the others live: it is what measures them
        label="embedding",
    )
    return Embedding(lived.brains[EMBEDDING_ANIMAL], lived.log.attrs["id"])


def simulate_arm(name: str, arm: Arm, settings: Settings) -> Iterator[Portion]:
    """Portions of one arm; animals whose lives are not complete are simulated."""
    import replaysim as rs
    from replaysim import portions
    from replaysim.lesion_arms import folder_name

    events = min(100 if settings.quick else 200, arm.learning.steps * arm.learning.batch)
    record: list[Any] = [rs.ReplayActivity(events=events)]
    return portions.live(
        arm.brain,
        arm.protocol,
        animals=settings.animals,
        learning=arm.learning,
        record=record if settings.photographs else [rs.CorticalActivity("retina"), *record],
        out=settings.folder / folder_name(name),
        keep_brains=True,
        **settings.lived,
        label=name,
        **arm.mechanisms,
    )


def judged(arm: Arm, portion: Portion, real: xr.DataArray, embedding: Embedding, settings: Settings) -> xr.Dataset:
    """The measures of one portion of an arm, made where they are not there."""
    from analysis.forgetting import survivors
    from analysis.quality import EXPECTED, judge, read_measures
    from replaysim.embedding import memories
    from replaysim.expectation import expectation
    from replaysim.resumption import KeptBrains

    path = portion.folder / "quality.nc"
    asked = arm.brain.modes is not None or arm.brain.gating is not None
    made_of = {"log_id": portion.log.attrs["id"], "embedding_id": embedding.id, "asked_for_classes": int(asked)}
    if path.exists():
        there = read_measures(path)
        same = {key: there.attrs.get(key) for key in made_of} == made_of
        if same and there.attrs.get("stimuli_asked") == settings.asked(real) and set(EXPECTED) <= set(there):
            return there.sel(animal=list(portion.animals))
    brains = KeptBrains(portion.brains.folder, survivors(portion.log))
    there = judge(
        seen(real, embedding),
        [seen(one, embedding) for one in memories(brains, len(real))],
        paper=settings.photographs,
        asked=asked,
    )
    expected = expectation(brains, real, stimuli=settings.stimuli)
    there = there.merge(expected, combine_attrs="no_conflicts").assign_attrs(made_of)
    temporary = path.with_name(f"{path.name}.tmp")
    there.to_netcdf(temporary)
    temporary.replace(path)
    return there.sel(animal=list(portion.animals))


def seen(stimuli: xr.DataArray, embedding: Embedding) -> Seen:
    """Stimuli or memories as the embedding network sees them."""
    from analysis.quality import Seen

    return Seen(embedding.activity(stimuli), embedding.decisions(stimuli))


def draw_images(real: xr.DataArray, first: Mapping[str, Portion], stem: Path) -> list[Path]:
    """A real and a replayed image of every class and arm, where stimuli are square and grey."""
    import numpy as np

    from analysis import figures_fidelity, style
    from replaysim.embedding import memories
    from replaysim.resumption import KeptBrains

    side, classes = round(real.sizes["unit"] ** 0.5), real["original_class"].values
    chosen = [int(np.flatnonzero(classes == c)[0]) for c in np.unique(classes)]
    images = {"real": real[chosen]}
    for name, portion in first.items():
        one = next(memories(KeptBrains(portion.brains.folder, portion.animals[:1]), len(chosen)))
        images[name] = one[np.argsort(one["original_class"].values)]
    animals = " and ".join(sorted({f"animal {portion.animals[0]}" for portion in first.values()}))
    title = f"one image of each class: a real one, and memories of {animals}"
    return style.save(figures_fidelity.image_grid(images, (side, side), title=title), stem)


def make(settings: Settings) -> None:
    """Simulate every arm, recall, judge, print the table, draw the figures."""
    import xarray as xr

    from analysis import figures_fidelity, style
    from analysis.origins import heading, origin_lines
    from analysis.quality import table, together
    from analysis.survival import alive
    from replaysim.embedding import real_stimuli
    from replaysim.errors import LogError
    from replaysim.lesion_arms import folder_name
    from replaysim.preparation import check_animals, check_device
    from replaysim.study_folder import check_owner, keep_table

    check_animals(settings.animals), check_device(settings.device)
    check_owner(settings.folder, NAME)
    arms = arms_of(settings)
    protocol = next(iter(arms.values())).protocol
    real, embedding = real_stimuli(protocol), train_embedding(next(iter(arms.values())), settings)
    found, logs, first = {}, [], {}
    for name, arm in arms.items():
        parts = []
        for portion in simulate_arm(name, arm, settings):
            logs.append(portion.log)
            if animals := alive(name, portion.log, portion.animals):
                lived = portion._replace(animals=animals)
                parts.append(judged(arm, lived, real, embedding, settings))
                if name not in first or settings.animals[0] in animals:
                    first[name] = lived
        if parts:
            found[name] = together(parts, settings.animals)
    if not found:
        raise LogError("losses became infinite in all animals of all arms: nobody is left to be judged")
    dead = [name for name in arms if name not in found]
    title = ", ".join([settings.protocol, "class scenario", *settings.rhythm, *settings.remarks])
    lines = [heading(title, settings.animals), "", table(found)]
    lines += [f"{name}: no animal lived to the end" for name in dead]
    text = "\n".join([*lines, "", *origin_lines(logs)])
    keep_table(settings.folder, NAME, text)
    kept = xr.DataTree.from_dict({f"/{folder_name(name)}": one for name, one in found.items()})
    kept.to_netcdf(settings.folder / "quality.nc")
    saved = style.save(figures_fidelity.quality_of_arms(found, title=title), settings.folder / "quality")
    if not settings.photographs:
        saved += draw_images(real, first, settings.folder / "images")
    print("\nFigures:  " + "  ".join(str(path) for path in saved if path.suffix == ".png"))
    print(f"Measures: {settings.folder / 'quality.nc'}   logs: {settings.folder}/*/animals_*/run.nc")


def main(settings: Settings) -> None:
    """:func:`make`, with analyses on the device of the simulations."""
    from analysis.devices import automatic

    with automatic(settings.device):
        make(settings)


if __name__ == "__main__":
    run_study(main, Settings)
