"""Sections of the report on representations: geometry of the highest recorded area, and replay."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from replaysim.errors import ReplaysimError

from . import class_order, decoding, figures_geometry, readings, replay_fidelity, replay_statistics, rsa
from .alignment import cka_over
from .comparison import summarise
from .figures_fidelity import image_grid
from .page import Page
from .replayed_geometry import replay_against_waking
from .retained_geometry import retained_geometry
from .style import STYLE, panels

_IMAGES = 12
BY, _MOST = "original_class", 0.5


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
    changing = [area for log in with_cortex.values() for area in readings.areas(log) if readings.changes(log, area)]
    if not changing:
        page.say("No area was recorded whose activity can change.", note=True)
        return
    area = changing[-1]
    active = {name: readings.activity(log, area) for name, log in with_cortex.items() if area in log["cortex"].children}
    counts = " or ".join(dict.fromkeys(str(one.sizes["stimulus"]) for one in active.values()))
    page.say(f"Activity of {area}, evoked by the same {counts} test stimuli when naive and after every context.")
    found: dict[str, dict[str, xr.DataArray]] = {}
    for words, measure in _GEOMETRY.items():
        parts = {
            name: page.attempt(f"{words}, {name}", functools.partial(measure, one, with_cortex[name]))
            for name, one in active.items()
        }
        found[words] = {name: value for name, value in parts.items() if value is not None}
    if found["RDMs"]:
        page.figure(
            figures_geometry.rdm_grid(found["RDMs"]),
            "Dissimilarity (1 - correlation) of class means, classes in each animal's order of learning, their mean.",
        )
    _geometry_table(page, active, found)
    for name, of in (("", "all stimuli, also of contexts that were not met yet"), (", context 1", _FIRST)):
        if cka := found[f"CKA{name}"]:
            page.figure(
                _matrices(cka, "CKA"),
                "Similarity of the area's activity after one number of contexts with that after another: debiased CKA, "
                f"{of}.",
            )
        if decoded := found[f"decoding{name}"]:
            page.figure(
                _matrices(decoded, "accuracy"),
                "Accuracy of a linear readout of the right answer, trained after one number of contexts (rows) on some "
                f"stimuli and tested after another (columns) on others; {of}.",
            )


_GEOMETRY: dict[str, Callable[[xr.DataArray, xr.DataTree], xr.DataArray]] = {
    "RDMs": lambda one, log: readings.in_learning_order(rsa.as_matrix(rsa.rdm(one, by="original_class")), log),
    "retained geometry": lambda one, log: retained_geometry(one),
    "decoding": lambda one, log: _decoded(one, log),
    "decoding, context 1": lambda one, log: _decoded(one, log, first=True),
    "CKA": lambda one, log: cka_over(one),
    "CKA, context 1": lambda one, log: _each(one, lambda own: cka_over(_of_first(own))),
}


def _each(one: xr.DataArray, measure: Callable[[xr.DataArray], xr.DataArray]) -> xr.DataArray:
    """A measure of animals whose stimuli are other ones, or mean something else."""
    if not one.sizes["animal"]:
        return measure(one)  # which says so
    return xr.concat([measure(one.isel(animal=[a])) for a in range(one.sizes["animal"])], "animal", join="outer")


def _of_first(one: xr.DataArray) -> xr.DataArray:
    """What the stimuli of the first context evoke in one animal."""
    return one.isel(stimulus=np.flatnonzero(one["context"].isel(animal=0).values == 1))


def _decoded(one: xr.DataArray, log: xr.DataTree, *, first: bool = False) -> xr.DataArray:
    """How well the right answer is read out, of all stimuli or those of the first context."""

    def readout(own: xr.DataArray) -> xr.DataArray:
        answer = class_order.answers_of(log, own).isel(animal=0).values
        labelled = own.assign_coords(answer=("stimulus", answer))
        return decoding.cross_context_decoding(_of_first(labelled) if first else labelled, by="answer")

    return _each(one, readout)


_FIRST = "stimuli of context 1 only"


def _geometry_table(
    page: Page, active: Mapping[str, xr.DataArray], found: Mapping[str, Mapping[str, xr.DataArray]]
) -> None:
    rows = []
    kept, decoded, first = (found[name] for name in ("retained geometry", "decoding", "decoding, context 1"))
    for name, one in active.items():
        cells = ["–"] * 4
        if name in kept and one.sizes["snapshot"] > 1:
            cells[:2] = [_cell(kept[name].isel(snapshot=s, other_snapshot=-1)) for s in (1, 0)]
        if name in decoded:
            cells[2] = _cell(decoded[name].isel(snapshot=-1, other_snapshot=-1), 1, 100)
        if name in first and one.sizes["snapshot"] > 1:
            cells[3] = _cell(first[name].isel(snapshot=1, other_snapshot=-1), 1, 100)
        rows.append([name, *cells, str(one.sizes["animal"])])
    page.table(
        [
            "condition",
            "geometry of context 1 kept",
            "the same from naive",
            "decodable at the end, %",
            "context 1 by its first readout, %",
            "n",
        ],
        rows,
        caption="Mean ± standard error over n animals. Kept: Spearman correlation between the RDMs of the stimuli of "
        "context 1 when just learned and at the last snapshot; from naive, as a floor: the same when naive and at the "
        "last snapshot. Decodable: linear readout of the right answer, trained at the end, held-out stimuli; chance: "
        f"{_guessing(decoded)}. First readout: trained on {_FIRST} when just learned, tested on others of them at the "
        f"last snapshot; chance: {_guessing(first)}.",
    )


def _guessing(decoded: Mapping[str, xr.DataArray]) -> str:
    chances = {round(100 * float(one.attrs["chance"]), 10) for one in decoded.values() if "chance" in one.attrs}
    return " or ".join(f"{chance:.3g} %" for chance in sorted(chances)) or "unknown"


def _matrices(values: Mapping[str, xr.DataArray], label: str) -> Figure:
    with mpl.rc_context(STYLE):
        figure, axes = panels(len(values))
        for ax, (name, one) in zip(axes, values.items(), strict=True):
            figures_geometry.similarity_matrix(one, ax, label=label, title=name)
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
                cells.append(_cell(measure(log), 1, 100) if label.endswith("%") else _cell(measure(log)))
            except ReplaysimError:
                cells.append("–")
        try:
            found, of = _fidelity(log)
            cells += [of, *(_cell(found[measure]) for measure in fidelity.values())]
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
