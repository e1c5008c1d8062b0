"""Fingerprints: SHA-256 of what a configuration only names, so that others of the same name are told apart.

Stimuli and early areas are too large for a log's configuration; but two sets of stimuli may have one name and shape,
and a file may be replaced by another. Their checksums stand in the configuration, and are compared.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np

from .brain import BrainPlan
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
        ``hippocampal_early_areas``.

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
    return found


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
