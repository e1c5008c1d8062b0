"""Fingerprints: SHA-256 of what a configuration only names, so that others of the same name are told apart.

Stimuli and early areas are too large for a log's configuration; but two sets of stimuli may have one name and shape,
a file may be replaced by another, and a user's function may return another cortex than yesterday. Their checksums stand
in the configuration, and are compared.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import torch

from .brain import BrainPlan
from .cortex import AbstractCortex, OwnCortex
from .early_areas import checksum, shipped
from .hippocampus import StandAlonePlan
from .stimuli import StimulusSet
from .visual_cortex import NAIVE, VisualPlan

_KNOWN: WeakKeyDictionary[StimulusSet, str] = WeakKeyDictionary()
EARLY = {"early_synapses": ("cortex",), "hippocampal_early_synapses": ("hippocampus", "areas")}
"""Entries for early areas, and where in the description of a brain their file is named (``developed``)."""
FILES = {"early_synapses": "early_areas", "hippocampal_early_synapses": "hippocampal_early_areas"}
"""Entries for the files themselves, all that logs of earlier versions have."""


def fingerprints(brain: BrainPlan, stimuli: StimulusSet) -> dict[str, str]:
    """Checksums of what an animal meets and of what it has from its early life.

    Returns
    -------
    dict
        ``stimuli``; and, where they come from a file, ``early_synapses`` of the cortex and
        ``hippocampal_early_synapses`` of a hippocampus beside it, and of the files ``early_areas`` and
        ``hippocampal_early_areas``; of a cortex of one's own ``own_cortex``.

    Raises
    ------
    MissingDataError, LogError
        If there is no such file, or it cannot be read.
    """
    found = {"stimuli": of_stimuli(stimuli)}
    beside = brain.hippocampus.areas if isinstance(brain.hippocampus, StandAlonePlan) else None
    for name, plan in zip(EARLY, (brain.cortex, beside), strict=True):
        if isinstance(plan, VisualPlan) and plan.developed != NAIVE:
            file = shipped() if plan.developed is None else Path(plan.developed)
            found[name] = checksum(file)
            found[FILES[name]] = hashlib.sha256(file.read_bytes()).hexdigest()
    if isinstance(brain.cortex, OwnCortex):
        found["own_cortex"] = of_cortex(brain.cortex)
    return found


def of_cortex(plan: OwnCortex) -> str:
    """SHA-256 of a cortex of one's own: its parts, areas and shapes, and values that it has whenever it is made.

    Initial synapses that are drawn differ every time, or between machines; those of a cortex that was trained before do
    not, and tell it from another one.
    """
    made = []
    for seed in (0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            made.append(plan.build())
    one, other = made
    about = [
        re.sub("0x[0-9a-f]+", "", repr(one)),
        one.areas,
        {area: one.sizes[area] for area in one.areas},
        one.reentry,
    ]
    about += [dict(one.nonlinearities), tuple(one.gateable)]
    digest = hashlib.sha256(repr(about).encode())
    drawn = dict(_values(other))
    for name, value in sorted(_values(one)):
        digest.update(f"{name}{value.dtype}{tuple(value.shape)}{value.requires_grad}".encode())
        if name in drawn and torch.equal(value, drawn[name]):
            digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _values(cortex: AbstractCortex) -> list[tuple[str, torch.Tensor]]:
    return [*cortex.named_parameters(), *cortex.named_buffers()]


def of_stimuli(stimuli: StimulusSet) -> str:
    """SHA-256 of all stimuli and labels, their types, shapes and scale.

    Computed once for every set: a second for 400 MB or more. A set whose arrays are changed in place afterwards is not
    noticed; make a new one.
    """
    if stimuli not in _KNOWN:
        digest = hashlib.sha256(repr(float(stimuli.scale)).encode())
        for array in (stimuli.train, stimuli.train_label, stimuli.test, stimuli.test_label):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        _KNOWN[stimuli] = digest.hexdigest()
    return _KNOWN[stimuli]
