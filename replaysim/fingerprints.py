"""Fingerprints: SHA-256 of what a configuration only names, so that others of the same name are told apart.

Stimuli and early areas are too large for a log's configuration; but two sets of stimuli may have one name and shape,
a file may be replaced by another, and a user's function may return another cortex than yesterday. Their checksums stand
in the configuration, and are compared.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from .arithmetic import undisturbed
from .brain import BrainPlan
from .cortex import AbstractCortex, OwnCortex
from .early_areas import checksum, shipped
from .hippocampus import StandAlonePlan
from .own_cortex import same, unregistered
from .sameness import EARLY, FILES
from .stimuli import StimulusSet
from .visual_cortex import NAIVE, VisualPlan

_KNOWN: WeakKeyDictionary[StimulusSet, str] = WeakKeyDictionary()


def fingerprints(brain: BrainPlan, stimuli: StimulusSet, policy: Sequence[Sequence[float]] = ()) -> dict[str, str]:
    """Checksums of what an animal meets, of what it has from its early life, and of how often it recalls what.

    Parameters
    ----------
    brain, stimuli
        Plan of the brain, and what is met.
    policy
        Priorities of contexts in replay, after one context and so on, where a kind of replay has a policy.

    Returns
    -------
    dict
        ``stimuli``; and, where they come from a file, ``early_synapses`` of the cortex and
        ``hippocampal_early_synapses`` of a hippocampus beside it, and of the files ``early_areas`` and
        ``hippocampal_early_areas``; of a cortex of one's own ``own_cortex``; of a policy ``replay_priority``.

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
    if policy:
        told = [[f"{number:.6e}" for number in one] for one in policy]
        found["replay_priority"] = hashlib.sha256(repr(told).encode()).hexdigest()
    return found


def of_cortex(plan: OwnCortex) -> str:
    """SHA-256 of a cortex of one's own: its parts, areas and shapes, and what it holds whenever it is made.

    Initial synapses that are drawn differ every time, or between machines; those of a cortex that was trained before do
    not, and tell it from another one, to four digits of their sums: processors round constants differently. What its
    code does cannot be told.
    """
    made = []
    for seed in (0, 1):
        with undisturbed():
            torch.default_generator.manual_seed(seed)  # those of GPUs are the user's
            np.random.seed(seed)
            random.seed(seed)
            made.append(plan.build())
    one, other = ({"parts": _values(cortex), "plain": _plain(cortex)} for cortex in made)
    about: list[object] = [re.sub("0x[0-9a-f]+", "", repr(made[0])), made[0].reentry]
    about += [(area, made[0].sizes[area]) for area in made[0].areas]
    about += [dict(made[0].nonlinearities), tuple(made[0].gateable)]
    for kind, found in one.items():
        for name, value in sorted(found.items()):
            fixed = value if name in other[kind] and _same(value, other[kind][name]) else "drawn"
            about.append((name, [_told(each) for each in fixed] if fixed != "drawn" else fixed))
    return hashlib.sha256(repr(about).encode()).hexdigest()


def _values(cortex: AbstractCortex) -> dict[str, list[Any]]:
    """Parameters and buffers, each with what else is to be known of it."""
    named = [*cortex.named_parameters(), *cortex.named_buffers()]
    return {name: [value, str(value.dtype), tuple(value.shape), value.requires_grad] for name, value in named}


def _plain(cortex: AbstractCortex) -> dict[str, list[Any]]:
    """Numbers, arrays and words in attributes of modules that torch knows nothing of."""
    found = dict(unregistered(cortex))
    for part, module in cortex.named_modules():
        found |= {f"{part}.{n}": [v] for n, v in vars(module).items() if isinstance(v, str)}
    return found


def _same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(map(same, one, other))


def _told(value: Any) -> object:
    """A number or an array as few digits as any processor agrees on."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        value = torch.from_numpy(np.ascontiguousarray(value))
    if not isinstance(value, torch.Tensor):
        return f"{value:.3e}" if isinstance(value, float) else str(value)
    flat = value.detach().cpu().to_dense().reshape(-1)
    flat = (torch.view_as_real(flat).reshape(-1) if flat.is_complex() else flat).double()
    weighed = flat * (1 + 0.5 * torch.cos(torch.arange(len(flat), dtype=torch.float64)))
    sums = (weighed.clamp(min=0).sum(), -weighed.clamp(max=0).sum(), flat.square().sum())
    return tuple(value.shape), [f"{float(one):.3e}" for one in sums]


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
