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
    estimated from the paper's arms at 2 hours.

Quality is judged in the activity of an independent embedding network: a plain classifier (an animal of its own) that
learned all classes at once. The modified inception score uses its decisions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replaysim.commandline import MatchedOptions, run_study

if TYPE_CHECKING:
    import xarray as xr

    import replaysim as rs
    from replaysim.presets import Matched

# arm: ingredients left out, targets of the replay. All replay through feedback; "plain" has nothing else.
ARMS: dict[str, tuple[tuple[str, ...], str]] = {
    "whole": ((), "soft"),
    "no modes": (("modes",), "soft"),
    "no gating": (("gating",), "soft"),
    "hard targets": ((), "hard"),
    "plain": (("modes", "gating"), "hard"),
}
EMBEDDING_ANIMAL = 1_000_000  # never an animal of the study
EMBEDDING_AREA = "association_2"
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


@dataclass(frozen=True)
class Settings(MatchedOptions):
    """How good are replayed memories, and which ingredient makes them good?"""

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        return self.out or Path("runs") / "quality_of_replay" / self.protocol


@dataclass(frozen=True)
class Embedding:
    """An independent network in whose activity real and replayed stimuli are compared."""

    brain: rs.Brain

    def activity(self, stimuli: xr.DataArray) -> xr.DataArray:
        """Activity of its highest area, (..., unit)."""
        return self._apply(stimuli, lambda seen: seen[EMBEDDING_AREA], EMBEDDING_AREA, "unit")

    def decisions(self, stimuli: xr.DataArray) -> xr.DataArray:
        """Probability of every class, (..., class)."""
        return self._apply(stimuli, lambda seen: self.brain.readout(seen[EMBEDDING_AREA]).softmax(-1), "p", "class")

    def _apply(self, stimuli: xr.DataArray, take: Any, name: str, dim: str) -> xr.DataArray:
        import torch
        import xarray as xr

        with torch.no_grad():
            flat = torch.from_numpy(stimuli.values.reshape(-1, stimuli.sizes["unit"]))
            found = torch.cat([take(self.brain.perceive(part)) for part in flat.split(4096)]).numpy()
        shape = (*stimuli.shape[:-1], found.shape[-1])
        coords = {n: c for n, c in stimuli.coords.items() if "unit" not in c.dims}
        return xr.DataArray(found.reshape(shape), coords, (*stimuli.dims[:-1], dim), name=name)


def train_embedding(setup: Matched, settings: Settings) -> Embedding:
    """A plain classifier that learns all classes at once."""
    import replaysim as rs

    own = setup.protocol.stimuli
    whole = rs.SplitProtocol(own, contexts=1)
    learning = replace(setup.learning, steps=setup.learning.steps * setup.protocol.n_contexts)
    result = rs.simulate(
        rs.classifier(whole, units=setup.units),
        whole,
        animals=[EMBEDDING_ANIMAL],
        learning=learning,
        out=settings.folder / "embedding_network",
        overwrite=settings.overwrite,
        device=settings.device,
        label="embedding",
    )
    rs.save_brain(result.brains[EMBEDDING_ANIMAL], settings.folder / "embedding_network" / "brain.safetensors")
    return Embedding(result.brains[EMBEDDING_ANIMAL])


def real_stimuli(setup: Matched) -> xr.DataArray:
    """Test stimuli as the protocol presents them, (stimulus, unit)."""
    import numpy as np
    import xarray as xr

    own = setup.protocol.stimuli
    values = (own.test.reshape(len(own.test), -1) / own.scale).astype(np.float32)
    return xr.DataArray(values, {"original_class": ("stimulus", own.test_label)}, ("stimulus", "unit"), name="stimuli")


def recall(result: rs.SimulationResult, events: int) -> xr.DataArray:
    """Memories of all classes, equally many of each, that every trained animal brings back; (animal, event, unit)."""
    import numpy as np
    import xarray as xr

    rows, classes = [], []
    for animal, brain in result.brains.items():
        position = np.arange(events) % brain.plan.classes
        rows.append(brain.recall(classes=position.tolist(), seed=animal).numpy())
        classes.append(np.asarray(brain.class_identity)[position])
    return xr.DataArray(
        np.stack(rows),
        {"animal": list(result.brains), "original_class": (("animal", "event"), np.stack(classes))},
        ("animal", "event", "unit"),
        name="replayed",
        attrs={"long_name": "recalled activity at the re-entry area", "units": "1"},
    )


def simulate_arm(name: str, setup: Matched, settings: Settings) -> rs.SimulationResult:
    """One arm."""
    import replaysim as rs

    left_out, targets = ARMS[name]
    return rs.simulate(
        setup.brain(without=left_out),
        setup.protocol,
        animals=settings.animals,
        learning=setup.learning,
        replay=rs.GenerativeReplay(targets=targets),
        record=[rs.CorticalActivity("retina"), rs.ReplayActivity(events=100 if settings.quick else 200)],
        out=settings.folder / name.replace(" ", "_"),
        overwrite=settings.overwrite,
        device=settings.device,
        workers=settings.workers,
        label=name,
    )


def judge(real: xr.DataArray, replayed: xr.DataArray, embedding: Embedding) -> xr.Dataset:
    """Every measure in the space of the embedding network (animal), with real against real beside it."""
    from analysis import fidelity, replay_fidelity

    there, memories = embedding.activity(real), embedding.activity(replayed)
    found = fidelity.fidelity(there, memories)
    classes = replay_fidelity.fidelity_by_class(
        there, memories, there["original_class"], memories["original_class"], measures=["scale"]
    )
    found["within"] = classes["trace_ratio"].mean("original_class")
    found["reference_within"] = classes["reference_trace_ratio"].mean("original_class")
    of_real = fidelity.inception(embedding.decisions(real), sample_dim="stimulus")
    found["inception"] = fidelity.inception(embedding.decisions(replayed), sample_dim="event")
    found["reference_inception"] = of_real.broadcast_like(found["inception"])
    return found


def table(found: Mapping[str, xr.Dataset]) -> str:
    """Mean and standard error over animals of every measure and arm; real against real in the last line."""
    from analysis.comparison import summarise

    def line(name: str, values: xr.Dataset, prefix: str = "") -> str:
        cells = []
        for measure in SHOWN:
            one = summarise(values[prefix + measure])
            error = "" if prefix else f" ± {float(one['standard_error']):.2f}"
            cells.append(f"{float(one['mean']):8.2f}{error:8s}")
        return (f"{name:14s}" + "".join(cells)).rstrip()

    first = next(iter(found.values()))
    head = [f"{'':14s}" + "".join(f"{names[i]:>12s}    " for names in SHOWN.values()) for i in (0, 1)]
    n, animals = first.attrs["n_generated"], first.sizes["animal"]
    rule = "-" * len(head[0].rstrip())
    lines = [*head, rule, *(line(name, values) for name, values in found.items()), rule]
    return "\n".join(
        [
            *lines,
            line("real stimuli", first, "reference_"),
            f"mean ± standard error over {animals} animals; {n} replayed against {n} real stimuli, in the activity of",
            f"{EMBEDDING_AREA} of an independent network. Last line: {n} other real stimuli against the same ones; the",
            "inception score takes all. whole: memory modes, gates by class and soft targets; plain: none of them.",
            "k-NN: nearest neighbours; PRD: histograms over clusters, F 1/8 weighs precision, F 8 recall;",
            "variance in a class: replayed over real",
        ]
    )


def draw(
    found: Mapping[str, xr.Dataset], real: xr.DataArray, replayed: Mapping[str, xr.DataArray], stem: Path
) -> list[Path]:
    """Curves and measures of all arms, and images."""
    import matplotlib as mpl
    import numpy as np
    from matplotlib.figure import Figure

    from analysis import figures_fidelity, style

    first = next(iter(found.values()))
    reference = first[["reference_precision", "reference_recall"]].rename(
        reference_precision="precision", reference_recall="recall"
    )
    with mpl.rc_context(style.STYLE):
        figure = Figure(figsize=(180 * style.MM, 78 * style.MM), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(1.3, 1, 1))
        figures_fidelity.precision_recall_curves(found, left, reference=reference)
        for ax, measure, label in ((middle, "frechet", "Frechet distance"), (right, "inception", "inception score")):
            values = {name: one[measure] for name, one in found.items()}
            figures_fidelity.measure_of_conditions(
                values, ax, label=label, reference=first[f"reference_{measure}"], log=measure == "frechet"
            )
        for ax, letter in zip((left, middle, right), "abc", strict=True):
            ax.set_title(letter, loc="left", fontweight="bold")
        n = first.sizes["animal"]
        figure.suptitle(f"thick: mean, thin lines and dots: {n} animals; bars: ± s.e.; grey: real stimuli", fontsize=8)
    written = style.save(figure, stem)
    side = round(real.sizes["unit"] ** 0.5)
    if side * side == real.sizes["unit"]:
        classes = real["original_class"].values
        chosen = [int(np.flatnonzero(classes == c)[0]) for c in np.unique(classes)]
        images = {"real": real[chosen]}
        for name, memories in replayed.items():
            one = memories.isel(animal=0)
            order = np.argsort(one["original_class"].values[: len(chosen)])
            images[name] = one[order]
        written += style.save(figures_fidelity.image_grid(images, (side, side)), stem.with_name("images"))
    return written


def main(settings: Settings) -> None:
    """Simulate every arm, recall, judge, print the table, draw the figures."""
    import xarray as xr

    from replaysim import presets

    setup = presets.matched(settings.protocol, quick=settings.quick)
    real = real_stimuli(setup)
    results = {name: simulate_arm(name, setup, settings) for name in ARMS}
    embedding = train_embedding(setup, settings)
    replayed = {name: recall(result, len(real)) for name, result in results.items()}
    found = {name: judge(real, memories, embedding) for name, memories in replayed.items()}
    text = table(found)
    print("\n" + text)
    (settings.folder / "table.txt").write_text(text + "\n", encoding="utf-8")
    kept = xr.DataTree.from_dict({f"/{name.replace(' ', '_')}": one for name, one in found.items()})
    kept.to_netcdf(settings.folder / "quality.nc")
    saved = draw(found, real, replayed, settings.folder / "quality")
    print("\nFigures:  " + "  ".join(str(path) for path in saved if path.suffix == ".png"))
    print(f"Measures: {settings.folder / 'quality.nc'}   logs: {settings.folder}/*/run.nc   (xarray.open_datatree)")


if __name__ == "__main__":
    run_study(main, Settings)
