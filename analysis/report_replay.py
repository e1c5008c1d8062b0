"""Section of the report on replay: what was replayed, and how it compares with waking activity."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from replaysim.errors import ReplaysimError

from . import figures_geometry, readings, replay_fidelity, replay_statistics
from .figures_fidelity import image_grid
from .page import Page, cell
from .replayed_geometry import replay_against_waking
from .style import STYLE, panels

_IMAGES = 12
BY, _MOST = "original_class", 0.5


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
    against: dict[str, xr.Dataset] = {}
    for name, log in with_replay.items():
        found = page.attempt(f"Replayed and waking classes, {name}", functools.partial(replay_against_waking, log))
        if found is not None:
            against[name] = found.mean("contexts_learned")
    if against:
        page.figure(
            _by_age(against),
            "Correlation of replayed with waking class means at the re-entry area by contexts since the memory was "
            "learned; grey: two halves of the waking stimuli (mean and range over animals); dotted: replayed with the "
            "waking means of other classes.",
        )


def _by_age(against: Mapping[str, xr.Dataset]) -> Figure:
    """A panel for every condition, each with its own ceiling and floor."""
    with mpl.rc_context(STYLE):
        figure, axes = panels(len(against))
        drawn = ("prototype_correlation_by_age", "mismatched_prototype_correlation_by_age")
        low = min(float(one[name].min()) for one in against.values() for name in drawn)
        for ax, (name, one) in zip(axes, against.items(), strict=True):
            figures_geometry.measure_over(
                {name: one["prototype_correlation_by_age"]},
                "memory_age",
                ax,
                label="replayed with waking class mean (r)",
                reference=one["reference_prototype_correlation_by_age"],
                floor=one["mismatched_prototype_correlation_by_age"],
                limits=(min(0.0, low) - 0.02, 1.02),
            )
            ax.set_title(name)
            ax.legend(frameon=False)
        return figure


def _replay_table(page: Page, logs: Mapping[str, xr.DataTree]) -> None:
    def agreement(log: xr.DataTree) -> xr.DataArray:
        return replay_statistics.cue_agreement(log)["agreement"].mean("contexts_learned")

    def by(log: xr.DataTree) -> str:
        return "cue" if log.attrs.get("scenario") == "domain" else "decision"  # which names no class there

    def evenness(log: xr.DataTree) -> xr.DataArray:
        return replay_statistics.class_proportions(log, by(log))["relative_entropy"].mean("contexts_learned")

    def confidence(log: xr.DataTree) -> xr.DataArray:
        return replay_statistics.replay_confidence(log)["confidence"].mean("contexts_learned")

    def shrinkage(log: xr.DataTree) -> xr.DataArray:
        return _over_all(replay_statistics.replayed_prototypes(log, by(log))["variance_ratio"])

    def age(log: xr.DataTree) -> xr.DataArray:
        return replay_statistics.age_proportions(log)["mean_age"].mean("contexts_learned")

    columns = {
        "as asked for, %": agreement,
        "mean age of memories": age,
        "evenness of classes": evenness,
        "confidence": confidence,
        "variance over waking": shrinkage,
    }
    fidelity = {
        "precision (k-NN)": "improved_precision",
        "… real against real": "reference_improved_precision",
        "recall (k-NN)": "improved_recall",
        "… real against real ": "reference_improved_recall",
    }
    rows = []
    for name, log in logs.items():
        cells = []
        for label, measure in columns.items():
            try:
                cells.append(cell(measure(log), 1, 100) if label.endswith("%") else cell(measure(log)))
            except ReplaysimError:
                cells.append("–")
        try:
            found, of = _fidelity(log)
            cells += [of, *(cell(found[measure]) for measure in fidelity.values())]
        except ReplaysimError:
            cells += ["–"] * (1 + len(fidelity))
        rows.append([name, *cells])
    page.table(
        ["condition", *columns, "compared", *fidelity],
        rows,
        caption="Mean ± standard error over animals, of all contexts. As asked for: share of events that the earlier "
        "self takes for the class asked for (the higher, the better). Age: contexts since the memory was learned, 1 is "
        "the one before. Evenness: entropy of replayed classes over that of all met, equally (1: all alike), of what "
        "the earlier self takes events for, or in the domain scenario of what was asked for. "
        "Confidence: largest probability that the earlier self gives an answer. Variance within a class, precision "
        "(are memories like waking activity?) and recall (is waking activity within reach of memories?): replayed "
        "against waking activity of the re-entry area, beside what real activity reaches; – where that was not "
        "recorded or samples are too few. Compared: class by class, where most classes met have enough samples, else "
        "all at once (classes that are rarely replayed then borrow neighbours from others, and recall rises).",
    )


def _fidelity(log: xr.DataTree) -> tuple[xr.Dataset, str]:
    """Precision and recall over all contexts, and of what: class by class, or of all classes at once.

    By class where most of them have enough samples, as classes that are rarely replayed would borrow neighbours from
    others.
    """
    measures = ["precision_recall"]
    if (readings.replayed(log)[BY] >= 0).any():
        with contextlib.suppress(ReplaysimError):  # not one class has enough
            found = replay_fidelity.replay_fidelity(log, by=BY, measures=measures)
            compared, met = ((found[name] > 0).sum(BY) for name in ("n", "real_available"))
            share = float((compared / met).mean())
            if share > _MOST and bool((compared > 0).all()):
                return found.mean(BY).mean("contexts_learned"), f"{100 * share:.0f} % of classes"
    return replay_fidelity.replay_fidelity(log, measures=measures).mean("contexts_learned"), "all at once"


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
