"""Section of the report on representations: the geometry of the highest recorded area, and how it moves."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from . import class_order, decoding, drift, figures_geometry, readings, rsa
from .alignment import cka_over
from .page import Page, cell
from .retained_geometry import retained_geometry
from .style import STYLE, panels, with_legend


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
    if moved := found["drift"]:
        page.figure(
            _drifted(moved),
            "How far the pattern that a stimulus evokes went from what it was when its context was learned (0: it "
            "stayed; 1: it has nothing to do with it any more), by the number of contexts learned since; mean over "
            "stimuli. The oldest memories are of the first contexts only.",
        )
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
    "drift": lambda one, log: drift.drift_by_age(one),
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
            cells[:2] = [cell(kept[name].isel(snapshot=s, other_snapshot=-1)) for s in (1, 0)]
        if name in decoded:
            cells[2] = cell(decoded[name].isel(snapshot=-1, other_snapshot=-1), 1, 100)
        if name in first and one.sizes["snapshot"] > 1:
            cells[3] = cell(first[name].isel(snapshot=1, other_snapshot=-1), 1, 100)
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


def _drifted(moved: Mapping[str, xr.DataArray]) -> Figure:
    with mpl.rc_context(STYLE):
        figure, (ax,) = panels(1, width=110)
        figures_geometry.measure_over(moved, "age", ax, label="drift of patterns (1 − r)", limits=(0, None))
        with_legend(ax, None).set_xlabel("contexts learned since")
        return figure


def _matrices(values: Mapping[str, xr.DataArray], label: str) -> Figure:
    with mpl.rc_context(STYLE):
        figure, axes = panels(len(values))
        for ax, (name, one) in zip(axes, values.items(), strict=True):
            figures_geometry.similarity_matrix(one, ax, label=label, title=name)
        return figure
