"""The log of replay: events as they were picked up while learning, as one labelled table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr

from .cohort import Cohort
from .observation import animal_coordinate, count, described
from .protocol import AbstractProtocol


def replay_table(
    events: Sequence[dict[str, torch.Tensor]],
    cohort: Cohort,
    protocol: AbstractProtocol,
    seeds: Sequence[int],
    learned: int,
) -> xr.Dataset:
    """Group ``/replay`` of one context; what nobody asked for is -1.

    Parameters
    ----------
    events
        What was picked up at each step, name to (animal, event, ...).
    cohort, protocol, seeds
        Who replayed what.
    learned
        Number of the context during which it was replayed, 1 = first.
    """
    joined = {name: torch.cat([e[name] for e in events], dim=1).cpu().numpy() for name in events[0]}
    replay, plan = cohort.replay, cohort.template.plan
    assert replay is not None
    recalled, domain = replay.source == "recall", protocol.scenario == "domain"
    area = cohort.template.cortex.reentry if recalled else cohort.presented
    by = None if plan.gating is None else plan.gating.by
    if recalled and plan.modes is None and by != "class":
        joined["cued_class"][:] = -1
    if recalled and ((plan.modes is None and by is None) or (domain and by != "context")):
        joined["cued_context"][:] = -1
    if not recalled:
        del joined["code"]
    position = "readout unit, the class within its context" if domain else "position in the animal's class order"
    names = about_events(("animal", "contexts_learned", "event"), position, area, recalled)
    values = {}
    for name, array in joined.items():
        stored = array[:, None].astype(np.float32 if array.dtype.kind == "f" else np.int32)
        values[name] = described(names[name][0], stored, names[name][1])
    coordinates = {
        "animal": animal_coordinate(seeds),
        "contexts_learned": described(
            ("contexts_learned",), np.array([learned], np.int32), "number of the context during which it was replayed"
        ),
        **count("event", joined["step"].shape[1]),
        **count("class", joined["target"].shape[2]),
    }
    return xr.Dataset(values, coords=coordinates, attrs={"area": area, "source": replay.source})


def about_events(
    event: tuple[str, ...], position: str, area: str, recalled: bool
) -> dict[str, tuple[tuple[str, ...], str]]:
    """Dims and meaning of what is recorded of replay events; ``position`` says how classes are counted."""
    came = "re-created activity at the re-entry area" if recalled else "activity evoked by the stimulus at"
    asked = "that was asked for" if recalled else "of the stimulus"
    within = asked if recalled else "of the stimulus or, in the task scenario, within which it was judged"
    known = "" if recalled else "; of a stored stimulus with hard targets, what it was"
    return {
        "code": ((*event, "code_unit"), "code that was drawn"),
        "activity": ((*event, "unit"), f"{came}, {area}" if recalled else f"{came} {area}"),
        "target": (
            (*event, "class"),
            f"soft target: tempered probability that the earlier self gives each answer{known}",
        ),
        "decision": (event, f"decision of the earlier self, {position}{known}"),
        "cued_class": (event, f"class {asked}, {position}, -1 = none"),
        "cued_context": (event, f"context {within}, -1 = none"),
        "step": (event, "weight update at which the event was replayed"),
    }
