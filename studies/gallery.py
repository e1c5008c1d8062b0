"""Figures of single logs and conditions, once each, from two small kept logs; writes ``docs/gallery.md`` and pictures.

The logs are digits, class scenario, three animals, without protection and with brain-inspired replay. ``--simulate``
makes them again.

Run time: half a minute; with ``--simulate`` a minute.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replaysim.commandline import run_study

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

    Drawing = tuple[str, Any, str]  # name, figure or axes, what it shows

INTRODUCTION = """\
# Gallery

Figures of single logs and conditions, made by `python studies/gallery.py` from the two small logs in `docs/gallery`
(digits, class scenario, three animals with small brains, of 80 and 60 units: too few for conclusions; without
protection, `nothing`, and with brain-inspired replay, `systems`). Those of lesions, of the amount and of the quality of
replay are in [docs/figures](figures); those of methods are drawn by `studies/compare_methods.py`. Functions take
labelled arrays or logs, and an `ax` where they draw one panel. How the arrays are made is in the code below each group
of figures, in which `log` is `rs.open_log("docs/gallery/systems.nc")`, `logs` are both by name; small functions for
titles, and names in capitals (what was met, which area), are in `studies/gallery.py`. `figure.savefig(...)` or
`analysis.style.save` writes what they return.
"""
CONDITIONS = ("nothing", "systems")
WORLD = "digits, class scenario"
AREA = "association_2"


@dataclass(frozen=True)
class Settings:
    """Figures of single logs and conditions, once each."""

    logs: Path = field(default=Path("docs/gallery"), metadata={"help": "folder with the kept logs"})
    out: Path = field(default=Path("docs"), metadata={"help": "folder for gallery.md and gallery/*.png"})
    simulate: bool = field(default=False, metadata={"help": "make the kept logs again"})


def make_logs(folder: Path) -> None:
    """Simulate and keep two small logs."""
    import replaysim as rs
    from replaysim.log import write_atomically

    protocol = rs.SplitDigits()
    brain = rs.brain_inspired(protocol, units=(80, 60), code_units=20, closed=0.5)
    folder.mkdir(parents=True, exist_ok=True)
    for name in CONDITIONS:
        mechanisms: dict[str, Any] = {"replay": rs.GenerativeReplay()} if name == "systems" else {}
        record: list[Any] = [rs.CorticalActivity("retina", "association_2", stimuli=80)]
        if mechanisms:
            record.append(rs.ReplayActivity(events=60))
        log = rs.simulate(
            brain,
            protocol,
            animals=range(12, 15),
            learning=rs.Learning(steps=150, batch=64, rate=3e-3),
            record=record,
            label=name,
            **mechanisms,
        ).log
        write_atomically(log, folder / f"{name}.nc")


def entitled(ax: Axes, title: str, **legend: Any) -> Axes:
    """The panel with a title and a legend of what is drawn."""
    ax.set_title(title)
    ax.legend(frameon=False, **legend)
    return ax


def animals(values: xr.DataArray | xr.Dataset) -> str:
    """How many animals there are, in words."""
    return f"{values.sizes['animal']} animals"


def one_animal(values: xr.DataArray | xr.Dataset) -> str:
    """Name of the first animal, in words."""
    return f"animal {int(values['animal'][0])} only"


def behaviour(logs: Mapping[str, xr.DataTree]) -> Iterator[Drawing]:
    """Figures of accuracy."""
    from analysis import figures, forgetting

    yield (
        "retention",
        figures.synaptic_vs_systems(logs, title=WORLD),
        "`figures.synaptic_vs_systems(logs)`: accuracy over contexts, of the first memory, and at the end.",
    )
    words = f"mean ± s.e., thin lines: {animals(forgetting.final_accuracy(logs['systems']))}"
    yield (
        "forgetting",
        entitled(figures.forgetting_over_contexts(logs), words),
        "`figures.forgetting_over_contexts(logs)`: accuracy lost on earlier contexts while more are learned.",
    )
    yield (
        "retention_by_age",
        entitled(figures.retention_by_age(logs, answers="all"), words),
        '`figures.retention_by_age(logs, answers="all")`: accuracy by how many contexts were learned since.',
    )
    yield (
        "accuracy_matrix",
        figures.accuracy_matrix(logs["systems"]),
        "`figures.accuracy_matrix(log)`: accuracy on every context after every number of contexts, with brain-inspired "
        "replay; right of the white line, before the context was met.",
    )


def geometry(logs: Mapping[str, xr.DataTree]) -> Iterator[Drawing]:
    """Figures of representations: dissimilarities, and what is kept of them."""
    from analysis import figures_geometry, readings, rsa
    from analysis.retained_geometry import retained_geometry

    matrices, kept = {}, {}
    for name, log in logs.items():
        one = readings.activity(log, AREA)
        matrices[name] = readings.in_learning_order(rsa.as_matrix(rsa.rdm(one, by="original_class")), log)
        first = retained_geometry(one).isel(snapshot=1, other_snapshot=slice(1, None))
        kept[name] = first.rename(other_snapshot="contexts learned")
    words = "rows and columns: classes in their order of learning, white lines between contexts"
    words = f"{AREA}, naive and after 1 to 5 contexts; mean of {animals(one)}\n{words}"
    yield (
        "rdm_grid",
        figures_geometry.rdm_grid(matrices, borders=2, title=words),
        "`figures_geometry.rdm_grid(rdms)`: dissimilarity of classes, in their order of learning.",
    )
    ax = figures_geometry.measure_over(kept, "contexts learned", label="geometry of context 1 kept (ρ)")
    yield (
        "retained_geometry",
        entitled(ax, f"{AREA}; mean ± s.e., thin lines: {animals(one)}"),
        "`figures_geometry.measure_over(values, dim)`: here, what is kept of the geometry of the first context "
        "(Spearman correlation ρ of dissimilarities of its stimuli with those when it was just learned).",
    )


def times(log: xr.DataTree) -> Iterator[Drawing]:
    """Figures of representations of one condition: one time compared with another."""
    from analysis import alignment, decoding, figures_geometry, readings, rsa

    activity = readings.activity(log, AREA)
    words = f"systems, {AREA}\nmean of {animals(activity)}"
    cka = alignment.cka_over(activity)
    yield (
        "cka",
        figures_geometry.similarity_matrix(cka, label="similarity (debiased CKA)", title=words),
        "`figures_geometry.similarity_matrix(alignment.cka_over(activity))`: activity over contexts, debiased CKA "
        "(1: the same geometry; 0: none in common).",
    )
    decoded = decoding.cross_context_decoding(activity)
    yield (
        "decoding",
        figures_geometry.similarity_matrix(decoded, label="accuracy of a linear readout", title=words),
        "`figures_geometry.similarity_matrix(decoding.cross_context_decoding(activity))`: readouts of one time (rows) "
        "tested on activity of another (columns).",
    )
    paths = rsa.class_means(activity, by="original_class").isel(animal=0)
    words = f"systems, {AREA}\n{one_animal(activity)}; numbers: classes"
    yield (
        "paths",
        figures_geometry.centroid_paths(paths, groups=contexts(log), title=words),
        "`figures_geometry.centroid_paths(class_means)`: class centroids from the naive animal on, through learning.",
    )


def contexts(log: xr.DataTree) -> xr.DataArray:
    """Context, from 1, of every class of the data set, for the first animal."""
    import numpy as np
    import xarray as xr

    position = np.argsort(log["behaviour"].to_dataset()["class_identity"].isel(animal=0).values)
    return xr.DataArray(position // 2 + 1, {"item": np.arange(len(position))}, ("item",))


def replay(log: xr.DataTree) -> Iterator[Drawing]:
    """Figures of replayed activity: beside waking activity, and as images."""
    from analysis import figures_fidelity, figures_geometry, readings, replayed_geometry, rsa

    match = replayed_geometry.replay_against_waking(log)
    ages = {"systems": match["prototype_correlation_by_age"].mean("contexts_learned")}
    reference = match["reference_prototype_correlation_by_age"].mean("contexts_learned")
    label = "replayed with waking class mean (r)"
    ax = figures_geometry.measure_over(ages, "memory_age", label=label, reference=reference)
    ax.set(xlabel="memory age (contexts since learned)")
    yield (
        "replay_by_age",
        entitled(ax, f"retina; mean ± s.e., thin lines: {animals(match)}", loc=(0.3, 0.45)),
        "`figures_geometry.measure_over(..., reference=...)`: replayed against waking class means by memory age. Two "
        "halves of the waking stimuli have fewer stimuli each, so that their means are noisier.",
    )
    events = readings.replayed(log)
    one, waking = events.isel(contexts_learned=-1, animal=0), readings.activity(log, "retina")
    dreamt = one["activity"].assign_coords(original_class=one["original_class"]).rename(event="stimulus")
    seen = rsa.class_means(waking, by="original_class").isel(animal=0).expand_dims("snapshot")
    dreamt = rsa.class_means(dreamt, by="original_class")
    words = f"systems, retina\n{one_animal(waking)}; numbers: classes"
    yield (
        "replayed_centroids",
        figures_geometry.centroid_paths(seen, replayed=dreamt, groups=contexts(log), title=words),
        "The same for one time at the retina, with the centroids of what was replayed in the last context, whose own "
        "classes are not replayed.",
    )
    chosen = events["activity"].isel(animal=0, event=slice(0, 12))
    images = {f"context {int(k)}": chosen.sel(contexts_learned=k) for k in events["contexts_learned"].values}
    words = f"replayed while this context was learned; systems, {one_animal(events)}"
    yield (
        "images",
        figures_fidelity.image_grid(images, (8, 8), columns=12, title=words),
        "`figures_fidelity.image_grid(images, shape)`: what was replayed while each context was learned.",
    )


def fidelity(log: xr.DataTree) -> Iterator[Drawing]:
    """Figures of how good what was replayed is."""
    from analysis import figures_fidelity
    from analysis.replay_fidelity import replay_fidelity

    found = replay_fidelity(log).isel(contexts_learned=-1)
    best = found[["reference_precision", "reference_recall"]]
    best = best.rename(reference_precision="precision", reference_recall="recall")
    yield (
        "precision_recall",
        entitled(
            figures_fidelity.precision_recall_curves({"systems": found}, reference=best),
            f"retina; thick: mean, thin lines: {animals(found)}",
            loc="upper right",
        ),
        "`figures_fidelity.precision_recall_curves(curves)`: quality and diversity of replay, as in Figure 9 of the "
        "paper, here in the space of the retina.",
    )
    ax = figures_fidelity.measure_of_conditions(
        {"systems": found["frechet"]},
        label=figures_fidelity.MEASURES["frechet"],
        reference=found["reference_frechet"],
    )
    yield (
        "frechet",
        entitled(ax, f"retina; dots: {animals(found)}; bar: mean ± s.e.", loc="lower center"),
        "`figures_fidelity.measure_of_conditions(values)`: one measure, animals as dots; real against real in grey.",
    )


def code_of(group: Callable[..., Iterator[Drawing]]) -> list[str]:
    """Lines of Markdown that a reader unfolds: how the figures of a group are drawn."""
    about = (inspect.getdoc(group) or "").rstrip(".")
    summary = f"<details><summary>The code: {about[0].lower()}{about[1:]}</summary>"
    return [summary, "", "```python", inspect.getsource(group).rstrip(), "```", "", "</details>", ""]


def main(settings: Settings) -> None:
    """Draw every figure and write the page."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from analysis import style
    from replaysim import open_log

    if settings.simulate:
        make_logs(settings.logs)
    logs = {name: open_log(settings.logs / f"{name}.nc") for name in CONDITIONS}
    systems, lines = logs["systems"], [INTRODUCTION]
    groups: list[tuple[Callable[[Any], Iterator[Drawing]], Any]] = [(behaviour, logs), (geometry, logs)]
    groups += [(times, systems), (replay, systems), (fidelity, systems)]
    with mpl.rc_context(style.STYLE):
        for group, given in groups:
            for name, drawn, about in group(given):
                figure = drawn if isinstance(drawn, Figure) else drawn.figure
                written = style.save(figure, settings.out / "gallery" / name, kinds=("png",))
                title = name.replace("_", " ").capitalize()
                lines += [f"## {title}", "", about, "", f"![{title}](gallery/{name}.png)", ""]
                print(written[0])
            lines += code_of(group)
    (settings.out / "gallery.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_study(main, Settings)
