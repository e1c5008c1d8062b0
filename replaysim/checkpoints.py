"""Checkpoints: a life is taken up where a context ended, as if it had never been interrupted.

All chance of a context comes from streams that begin with it (:mod:`replaysim.rng`). What has to be kept is therefore
what learning has changed: synapses, running statistics, the moments of the optimiser, what a rule of consolidation
remembers, and what the electrodes have heard. The earlier self that supplies replay is the self at that moment, and
stored episodes are drawn again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from . import tensor_files
from .cohort import Cohort
from .consolidation import ConsolidationState
from .errors import LogError
from .optimiser_state import moments
from .recording import Recording

KIND, FORMAT = "life", 1
_REMEMBERED = ("importance", "anchor", "path", "offset")


@dataclass(frozen=True)
class Checkpoint:
    """Where the animals of one cohort are between two contexts.

    Parameters
    ----------
    path
        The file. It is replaced after every context, and is whole at any time. In float32 it takes 12 bytes a plastic
        synapse, 24 with synaptic consolidation: 160 MB for an animal of brain-inspired replay on Split CIFAR-100.
    """

    path: Path

    def save(self, cohort: Cohort, recording: Recording, contexts: int) -> None:
        """Keep what there is after so many contexts."""
        learned = _learned(cohort) | _remembered(cohort.state)
        heard = {f"heard.{name}": torch.from_numpy(value) for name, value in recording.memory().items()}
        note = {
            "format": FORMAT,
            "contexts": contexts,
            "animals": list(cohort.animals),
            "consolidated": None if cohort.state is None else cohort.state.consolidated,
            "strides": {name: list(value.stride()) for name, value in _remembered(cohort.state).items()},
        }
        # copies: the file format wants no two names for one piece of memory; on the CPU: a GPU may have no more room
        kept = {n: v.detach().to("cpu", copy=True) for n, v in (learned | heard).items()}
        tensor_files.write(self.path, KIND, kept, note)

    def resume(self, cohort: Cohort, recording: Recording) -> int:
        """Put a naive cohort where the animals were; how many contexts are over, 0 where no checkpoint is.

        Raises
        ------
        LogError
            If the file is damaged, or is of other animals.
        DataError
            If its tensors do not fit the brains.
        """
        if not self.path.exists():
            return 0
        found, note = tensor_files.read(self.path, KIND)
        if note.get("format") != FORMAT or note.get("animals") != list(cohort.animals):
            raise LogError(
                f"{self.path}: is a checkpoint of animals {note.get('animals')} in format {note.get('format')}, not of "
                f"{list(cohort.animals)} in format {FORMAT}; remove it, and they live from the beginning"
            )
        heard = {n.removeprefix("heard."): found.pop(n).numpy() for n in list(found) if n.startswith("heard.")}
        rule = {n: found.pop(n) for n in list(found) if n.startswith("rule.")}
        now = _learned(cohort)
        tensor_files.check_fit(self.path, found, now, finite=False)  # losses of one animal may have run away
        with torch.no_grad():
            for name, value in now.items():
                value.copy_(found[name])
        if cohort.state is not None:
            strides = note["strides"]  # in the order of the synapses, in which sums run; files sort by name
            cohort.state = _state({n: _placed(rule[n], strides[n], cohort.device) for n in strides}, note)
        if cohort.replay is not None:
            cohort.remember_self()
        recording.recollect(heard)
        return int(note["contexts"])


def _learned(cohort: Cohort) -> dict[str, Tensor]:
    """What learning changes in place; the very tensors."""
    tensors = {f"synapses.{name}": value.detach() for name, value in cohort.synapses.items()}
    tensors |= {f"fixed.{name}": value for name, value in cohort.fixed.items()}
    return tensors | moments(cohort.adam)


def _remembered(state: ConsolidationState | None) -> dict[str, Tensor]:
    if state is None:
        return {}
    parts = {part: getattr(state, part) for part in _REMEMBERED}
    return {f"rule.{part}.{name}": value.detach() for part, of in parts.items() for name, value in of.items()}


def _placed(value: Tensor, strides: list[int], device: torch.device) -> Tensor:
    """The value as it lay in memory, where sums run in the same order."""
    return torch.empty_strided(value.shape, strides, dtype=value.dtype, device=device).copy_(value)


def _state(tensors: dict[str, Tensor], note: dict[str, object]) -> ConsolidationState:
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in _REMEMBERED}
    for key, value in tensors.items():
        _rule, part, name = key.split(".", 2)
        parts[part][name] = value
    return ConsolidationState(**parts, consolidated=int(str(note["consolidated"])))
