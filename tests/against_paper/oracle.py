"""Reads the oracle arrays and translates their names into those of a brain.

The arrays were computed with the published research code in float64. Small copies lie in ``data/``; the environment
variable ``REPLAYSIM_ORACLE`` names another folder to read them from, where further whole-loop files of the same form
are found by name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from replaysim.brain import Brain, BrainPlan, set_gates
from replaysim.cortex import DensePlan
from replaysim.gating import Gating
from replaysim.hippocampus import HippocampusPlan, StandAlonePlan
from replaysim.memory_modes import Modes
from replaysim.protocol import SplitProtocol

FOLDER = Path(os.environ.get("REPLAYSIM_ORACLE", Path(__file__).parent / "data"))
LAYERS = {
    "enc1": "cortex.association_1",
    "enc2": "cortex.association_2",
    "out": "readout",
    "mu": "hippocampus.code_mean",
    "logvar": "hippocampus.code_log_variance",
    "dec1": "feedback.layer_1",
    "dec2": "feedback.layer_2",
    "dec3": "feedback.layer_3",
    "prior": "modes",
}
GENERATOR = LAYERS | {f"enc{i}": f"hippocampus.areas.association_{i}" for i in (1, 2)}
"""Layers of a separate generator: the encoder is an area of its own of the stand-alone hippocampus."""
ANIMALS = 2
TERMS = {
    "total": "total",
    "cur_class": "current_classification",
    "cur_recon": "current_reconstruction",
    "cur_variat": "current_code_divergence",
    "rep_class": "replayed_classification",
    "rep_distill": "replayed_distillation",
    "rep_recon": "replayed_reconstruction",
    "rep_variat": "replayed_code_divergence",
    "si": "consolidation",
    "ewc": "consolidation",
}
"""Losses of the files under the names of the log."""
ARRAYS = {"W": "weight", "b": "bias", "mean": "mean", "logvar": "log_variance"}


ASKED: set[tuple[str, str]] = set()
"""File and name of every array that was asked for by its name: what no test asks for, no test compares."""


class Arrays(dict[str, np.ndarray]):
    """Arrays of files; notes which are asked for."""

    def __init__(self, names: Iterable[str]) -> None:
        self.file: dict[str, str] = {}
        for name in names:
            with np.load(FOLDER / f"{name}.npz") as file:
                self.update({key: file[key] for key in file.files})
                self.file.update(dict.fromkeys(file.files, name))

    def __getitem__(self, key: str) -> np.ndarray:
        value = super().__getitem__(key)
        ASKED.add((self.file[key], key))
        return value

    def get(self, key: str, default: Any = None) -> Any:
        if key not in self:
            return default
        return self[key]


def read(*names: str) -> dict[str, np.ndarray]:
    """Arrays of the files ``names``, together."""
    return Arrays(names)


def synapses(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, torch.Tensor]:
    """Arrays ``<prefix>.<layer>.<array>`` under the names of a brain's parameters."""
    found = {}
    alone = GENERATOR if prefix.startswith("gen.") else LAYERS
    for key in arrays:
        parts = key.split(".")
        if key.startswith(prefix + ".") and len(parts) == prefix.count(".") + 3 and parts[-2] in LAYERS:
            found[f"{alone[parts[-2]]}.{ARRAYS[parts[-1]]}"] = torch.from_numpy(np.array(arrays[key])).double()
    return found


def brain(
    arrays: dict[str, np.ndarray],
    protocol: SplitProtocol,
    *,
    divisor: float,
    bernoulli: bool,
    prefix: str = "param",
    gates_by: str = "class",
    gate_prefix: str = "gate",
    faithful: bool = True,
    per_class: int = 1,
    gated: bool = True,
) -> Brain:
    """A float64 brain with the synapses and gates of the file."""
    values = synapses(arrays, prefix) | synapses(arrays, f"gen.{prefix}")
    if any(name.startswith("hippocampus.areas") for name in values):
        gate_prefix = f"gen.{gate_prefix}"
    units = (values["cortex.association_1.weight"].shape[0], values["cortex.association_2.weight"].shape[0])
    inputs = values["cortex.association_1.weight"].shape[1]
    whole = "hippocampus.code_mean.weight" in values
    has_gates = gated and whole and f"{gate_prefix}.dec1" in arrays
    hippocampus = None
    if whole:
        code_units = values["hippocampus.code_mean.weight"].shape[0]
        alone = "hippocampus.areas.association_1.weight" in values
        hippocampus = StandAlonePlan(DensePlan(inputs, units), code_units) if alone else HippocampusPlan(code_units)
    plan = BrainPlan(
        cortex=DensePlan(inputs, units),
        stimulus_size=inputs,
        answers=values["readout.weight"].shape[0],
        classes=values["readout.weight"].shape[0],
        contexts=protocol.n_contexts,
        hippocampus=hippocampus,
        modes=Modes(per_class) if "modes.mean" in values else None,
        gating=Gating(0.1, gates_by, faithful=faithful) if has_gates else None,
        reconstruction="bernoulli" if bernoulli else "gaussian",
        divergence_divisor=divisor,
    )
    grown = plan.grow(0).double()
    if has_gates:
        set_gates(grown, [arrays[f"{gate_prefix}.dec1"], arrays[f"{gate_prefix}.dec2"]])
    missing = grown.load_state_dict(values, strict=False)
    assert not missing.unexpected_keys
    assert all(key.startswith("gates.") for key in missing.missing_keys)
    return grown


def protocol(scenario: str, classes: int = 6, contexts: int = 3, size: int = 16) -> SplitProtocol:
    """A split protocol with the classes of the file and stand-in stimuli."""
    labels = np.arange(classes).repeat(2)
    stimuli = np.zeros((len(labels), size), dtype=np.uint8)
    return SplitProtocol(stimuli, labels, contexts, scenario, test_stimuli=stimuli, test_labels=labels)


def both(array: np.ndarray | torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """The same for two animals; floating numbers in another precision if wished."""
    value = array if isinstance(array, torch.Tensor) else torch.from_numpy(np.array(array))
    if dtype is not None and value.is_floating_point():
        value = value.to(dtype)
    return value.expand(ANIMALS, *value.shape)


def closest(found: torch.Tensor, wanted: np.ndarray, name: str, tolerance: float = 1e-10) -> None:
    """Assert that two arrays agree within an absolute tolerance, and that they have the same shape."""
    found_array = found.detach().double().numpy()
    assert found_array.shape == wanted.shape, f"{name}: shape {found_array.shape}, wanted {wanted.shape}"
    gap = np.abs(found_array - wanted).max(initial=0)
    assert gap <= tolerance, f"{name}: differs by {gap:.2e}"
