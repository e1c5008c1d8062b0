"""Every figure that the analyses draw, once, from two small kept logs; writes ``docs/gallery.md`` and its pictures.

The logs are digits, class scenario, three animals, without protection and with brain-inspired replay. ``--simulate``
makes them again.

Run time: half a minute; with ``--simulate`` a minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replaysim.commandline import run_study

if TYPE_CHECKING:
    import xarray as xr

    Drawing = tuple[str, Any, str]  # name, figure or axes, what it shows

INTRODUCTION = """\
# Gallery

Every figure of `analysis`, made by `python studies/gallery.py` from the two small logs in `docs/gallery` (digits, class
scenario, three animals: too few, and too briefly trained, for conclusions). Functions take labelled arrays or logs, and
an `ax` where they draw one panel.
"""
CONDITIONS = ("nothing", "systems")


@dataclass(frozen=True)
class Settings:
    """Every figure that the analyses draw, once."""

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


def behaviour(logs: Mapping[str, xr.DataTree]) -> Iterator[Drawing]:
    """Figures of accuracy."""
    from analysis import figures

    yield (
        "retention",
        figures.synaptic_vs_systems(logs),
        "`figures.synaptic_vs_systems(logs)`: accuracy over contexts, of the first memory, and at the end.",
    )
    yield (
        "accuracy_matrix",
        figures.accuracy_matrix(logs["systems"]),
        "`figures.accuracy_matrix(log)`: accuracy on every context after every number of contexts.",
    )


def geometry(logs: Mapping[str, xr.DataTree]) -> Iterator[Drawing]:
    """Figures of representations."""
    from analysis import alignment, decoding, figures_geometry, readings, rsa
    from analysis.retained_geometry import retained_geometry

    activity = {name: readings.activity(log, "association_2") for name, log in logs.items()}
    matrices, kept = {}, {}
    for name, one in activity.items():
        matrices[name] = readings.in_learning_order(rsa.as_matrix(rsa.rdm(one, by="original_class")), logs[name])
        first = retained_geometry(one).isel(snapshot=1, other_snapshot=slice(1, None))
        kept[name] = first.rename(other_snapshot="contexts learned")
    yield (
        "rdm_grid",
        figures_geometry.rdm_grid(matrices, borders=2),
        "`figures_geometry.rdm_grid(rdms)`: dissimilarity of classes, in their order of learning.",
    )
    yield (
        "retained_geometry",
        figures_geometry.measure_over(kept, "contexts learned", label="geometry of context 1 kept (ρ)"),
        "`figures_geometry.measure_over(values, dim)`: here, what is kept of the geometry of the first context.",
    )
    yield (
        "cka",
        figures_geometry.similarity_matrix(alignment.cka_over(activity["systems"]), label="CKA"),
        "`figures_geometry.similarity_matrix(alignment.cka_over(activity))`: activity over contexts, debiased CKA.",
    )
    decoded = decoding.cross_context_decoding(activity["systems"])
    yield (
        "decoding",
        figures_geometry.similarity_matrix(decoded, label="accuracy of a linear readout"),
        "`figures_geometry.similarity_matrix(decoding.cross_context_decoding(activity))`: readouts of one time (rows) "
        "tested on activity of another (columns).",
    )
    paths = rsa.class_means(activity["systems"], by="original_class").isel(animal=0)
    yield (
        "paths",
        figures_geometry.centroid_paths(paths, groups=contexts(logs["systems"]), title="association_2"),
        "`figures_geometry.centroid_paths(class_means)`: class centroids through learning; colours are contexts.",
    )


def contexts(log: xr.DataTree) -> xr.DataArray:
    """Context, from 1, of every class of the data set, for the first animal."""
    import numpy as np
    import xarray as xr

    position = np.argsort(log["behaviour"].to_dataset()["class_identity"].isel(animal=0).values)
    return xr.DataArray(position // 2 + 1, {"item": np.arange(len(position))}, ("item",))


def replay(log: xr.DataTree) -> Iterator[Drawing]:
    """Figures of replayed activity."""
    from analysis import figures_fidelity, figures_geometry, readings, replayed_geometry, rsa
    from analysis.replay_fidelity import replay_fidelity

    match = replayed_geometry.replay_against_waking(log)
    ages = {"systems": match["prototype_correlation_by_age"].mean("contexts_learned")}
    reference = match["reference_prototype_correlation_by_age"].mean("contexts_learned")
    label = "replayed with waking class mean (r)"
    yield (
        "replay_by_age",
        figures_geometry.measure_over(ages, "memory_age", label=label, reference=reference),
        "`figures_geometry.measure_over(..., reference=...)`: replayed against waking class means by memory age.",
    )
    events = readings.replayed(log)
    last, waking = events.isel(contexts_learned=-1), readings.activity(log, "retina").isel(snapshot=[-1])
    one = last.isel(animal=0)
    dreamt = one["activity"].assign_coords(original_class=one["original_class"]).rename(event="stimulus")
    seen = rsa.class_means(waking, by="original_class").isel(animal=0)
    dreamt = rsa.class_means(dreamt, by="original_class")
    yield (
        "replayed_centroids",
        figures_geometry.centroid_paths(seen, replayed=dreamt, groups=contexts(log), title="retina"),
        "The same for one time at the retina, with the centroids of what was replayed in the last context.",
    )
    found = replay_fidelity(log).isel(contexts_learned=-1)
    best = found[["reference_precision", "reference_recall"]]
    best = best.rename(reference_precision="precision", reference_recall="recall")
    yield (
        "precision_recall",
        figures_fidelity.precision_recall_curves({"systems": found}, reference=best),
        "`figures_fidelity.precision_recall_curves(curves)`: quality and diversity of replay, as in Figure 9 of the "
        "paper, here in the space of the retina.",
    )
    yield (
        "frechet",
        figures_fidelity.measure_of_conditions(
            {"systems": found["frechet"]}, label="Frechet distance", reference=found["reference_frechet"]
        ),
        "`figures_fidelity.measure_of_conditions(values)`: one measure, animals as dots; real against real in grey.",
    )
    chosen = events["activity"].isel(animal=0, event=slice(0, 12))
    images = {f"context {int(k)}": chosen.sel(contexts_learned=k) for k in events["contexts_learned"].values}
    yield (
        "images",
        figures_fidelity.image_grid(images, (8, 8), columns=12),
        "`figures_fidelity.image_grid(images, shape)`: what was replayed while each context was learned.",
    )


def main(settings: Settings) -> None:
    """Draw every figure and write the page."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from analysis import style
    from replaysim import open_log

    if settings.simulate:
        make_logs(settings.logs)
    logs = {name: open_log(settings.logs / f"{name}.nc") for name in CONDITIONS}
    lines = [INTRODUCTION]
    with mpl.rc_context(style.STYLE):
        for name, drawn, about in (*behaviour(logs), *geometry(logs), *replay(logs["systems"])):
            figure = drawn if isinstance(drawn, Figure) else drawn.figure
            written = style.save(figure, settings.out / "gallery" / name, kinds=("png",))
            title = name.replace("_", " ").capitalize()
            lines += [f"## {title}", "", about, "", f"![{title}](gallery/{name}.png)", ""]
            print(written[0])
    (settings.out / "gallery.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_study(main, Settings)
