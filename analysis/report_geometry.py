"""Sections of the report on representations: geometry of the highest recorded area, and replay."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from replaysim.errors import ReplaysimError

from . import decoding, figures_geometry, readings, replay_fidelity, replay_statistics, replayed_geometry, rsa
from .alignment import cka_over
from .comparison import summarise
from .figures_fidelity import image_grid
from .page import Page
from .retained_geometry import retained_geometry
from .style import STYLE, panels

_IMAGES = 12


def _cell(values: xr.DataArray, digits: int = 2, scale: float = 1) -> str:
    found = summarise(values)
    mean, error = scale * float(found["mean"]), scale * float(found["standard_error"])
    if not np.isfinite(mean):
        return "–"
    return f"{mean:.{digits}f} ± {error:.{digits}f}" if np.isfinite(error) else f"{mean:.{digits}f}"


def geometry(page: Page, logs: Mapping[str, xr.DataTree]) -> None:
    """RDMs between classes, what is kept of old geometry, similarity over contexts, decoding; of the highest area."""
    with_cortex = {name: log for name, log in logs.items() if "cortex" in log.children and readings.areas(log)}
    if not with_cortex:
        page.say("No cortical activity was recorded: pass record=[CorticalActivity()] to simulate().", note=True)
        return
    area = readings.areas(next(iter(with_cortex.values())))[-1]
    active = {
        name: readings.activity(log, area)
        for name, log in with_cortex.items()
        if area in readings.areas(log) and "snapshot" in log[f"cortex/{area}"].dims
    }
    if not active:
        page.say(f"The activity of {area} does not change.", note=True)
        return
    n_stimuli = next(iter(active.values())).sizes["stimulus"]
    page.say(f"Activity of {area}, evoked by the same {n_stimuli} test stimuli when naive and after every context.")
    matrices = {
        name: readings.in_learning_order(rsa.as_matrix(rsa.rdm(one, by="original_class")), with_cortex[name])
        for name, one in active.items()
    }
    page.figure(
        figures_geometry.rdm_grid(matrices),
        "Dissimilarity (1 - correlation) of class means, classes in each animal's order of learning, mean of animals.",
    )
    kept = {name: retained_geometry(one) for name, one in active.items()}
    decoded = {name: decoding.cross_context_decoding(one) for name, one in active.items()}
    _geometry_table(page, kept, decoded)
    page.figure(
        _matrices({name: cka_over(one) for name, one in active.items()}, "CKA"),
        "Similarity of the area's activity after one number of contexts with that after another: debiased linear CKA.",
    )
    page.figure(
        _matrices(decoded, "accuracy", ("trained after", "tested after")),
        "Accuracy of a linear readout of the class, trained after one number of contexts (rows) on some stimuli and "
        "tested after another (columns) on others.",
    )


def _geometry_table(page: Page, kept: Mapping[str, xr.DataArray], decoded: Mapping[str, xr.DataArray]) -> None:
    rows = []
    for name, one in kept.items():
        first = one.isel(snapshot=min(1, one.sizes["snapshot"] - 1), other_snapshot=-1)
        end = decoded[name].isel(snapshot=-1, other_snapshot=-1)
        rows.append([name, _cell(first), _cell(end, 1, 100), str(one.sizes["animal"])])
    page.table(
        ["condition", "geometry of context 1 kept", "decodable at the end, %", "n"],
        rows,
        caption="Mean ± standard error over n animals. Kept: Spearman correlation between the RDMs of the stimuli of "
        "context 1 when just learned and at the end. Decodable: linear readout of the class, held-out stimuli.",
    )


def _matrices(
    values: Mapping[str, xr.DataArray], label: str, words: tuple[str, str] = ("contexts learned", "contexts learned")
) -> Figure:
    with mpl.rc_context(STYLE):
        figure, axes = panels(len(values))
        for ax, (name, one) in zip(axes, values.items(), strict=True):
            figures_geometry.similarity_matrix(one, ax, label=label, title=name)
            ax.set(ylabel=words[0], xlabel=words[1])
        return figure


def replay(page: Page, logs: Mapping[str, xr.DataTree]) -> None:
    """What was replayed, whether it was what was asked for, and how it compares with waking activity."""
    with_replay = {name: log for name, log in logs.items() if "replay" in log.children}
    if not with_replay:
        page.say(
            "No replay was recorded: pass record=[ReplayActivity()] to simulate() with a replay mechanism.", note=True
        )
        return
    _replay_table(page, with_replay)
    for name, log in with_replay.items():
        images = _images(log)
        if images is not None:
            page.figure(images, f"{name}: what the first animal replayed while it learned each context, at the retina.")
    ages: dict[str, xr.DataArray] = {}
    reference: xr.DataArray | None = None
    for name, log in with_replay.items():
        try:
            found = replayed_geometry.replay_against_waking(log)
        except ReplaysimError as error:
            page.say(f"{name}: {error}", note=True)
            continue
        ages[name] = found["prototype_correlation_by_age"].mean("contexts_learned")
        reference = found["reference_prototype_correlation_by_age"].mean("contexts_learned")
    if ages:
        with mpl.rc_context(STYLE):
            ax = figures_geometry.measure_over(
                ages, "memory_age", label="replayed with waking class mean (r)", reference=reference
            )
            ax.legend(frameon=False)
        page.figure(
            ax.figure,  # type: ignore[arg-type]
            "Correlation of replayed with waking class means at the re-entry area by contexts since the memory was "
            "learned; grey: two halves of the waking stimuli (mean and range over animals).",
        )


def _replay_table(page: Page, logs: Mapping[str, xr.DataTree]) -> None:
    def agreement(log: xr.DataTree) -> xr.DataArray:
        return replay_statistics.cue_agreement(log)["agreement"].mean("contexts_learned")

    def evenness(log: xr.DataTree) -> xr.DataArray:
        return replay_statistics.class_proportions(log)["relative_entropy"].mean("contexts_learned")

    def confidence(log: xr.DataTree) -> xr.DataArray:
        return replay_statistics.replay_confidence(log)["confidence"].mean("contexts_learned")

    def shrinkage(log: xr.DataTree) -> xr.DataArray:
        return _over_all(replay_statistics.replayed_prototypes(log)["variance_ratio"])

    def quality(name: str) -> Callable[[xr.DataTree], xr.DataArray]:
        def measure(log: xr.DataTree) -> xr.DataArray:
            return replay_fidelity.replay_fidelity(log, measures=["precision_recall"])[name].mean("contexts_learned")

        return measure

    columns: dict[str, Callable[[xr.DataTree], xr.DataArray]] = {
        "as asked for, %": agreement,
        "evenness of classes": evenness,
        "confidence": confidence,
        "variance over waking": shrinkage,
        "precision (k-NN)": quality("improved_precision"),
        "… real against real": quality("reference_improved_precision"),
        "recall (k-NN)": quality("improved_recall"),
        "… real against real ": quality("reference_improved_recall"),
    }
    rows = []
    for name, log in logs.items():
        cells = []
        for label, measure in columns.items():
            try:
                cells.append(_cell(measure(log), 1, 100) if label.endswith("%") else _cell(measure(log)))
            except ReplaysimError:
                cells.append("–")
        rows.append([name, *cells])
    page.table(
        ["condition", *columns],
        rows,
        caption="Mean ± standard error over animals, of all contexts. As asked for: share of events that the earlier "
        "self takes for the class asked for. Evenness: entropy of replayed classes over that of all met, equally. "
        "Variance within a class, precision and recall: replayed against waking activity of the re-entry area; – where "
        "that was not recorded or samples are too few.",
    )


def _over_all(values: xr.DataArray) -> xr.DataArray:
    return values.mean([d for d in values.dims if d != "animal"])


def _images(log: xr.DataTree) -> Figure | None:
    """Replayed images of one animal, a row a context, where replay re-enters at the retina and stimuli are images."""
    events = log["replay"].to_dataset()
    config: dict[str, Any] = json.loads(str(log.attrs.get("config_json", "{}")))
    shape = config.get("protocol", {}).get("stimulus_shape", [])
    units = events.sizes["unit"]
    if events.attrs.get("area") != "retina" or len(shape) != 2 or shape[0] * shape[1] != units:
        return None
    chosen = np.linspace(0, events.sizes["event"] - 1, min(_IMAGES, events.sizes["event"])).astype(int)
    rows = {
        f"context {int(k)}": events["activity"].isel(animal=0).sel(contexts_learned=k).isel(event=chosen)
        for k in events["contexts_learned"].values
    }
    return image_grid(rows, (int(shape[0]), int(shape[1])), columns=len(chosen))
