"""Recording: listens to a cohort while it learns, and hands over finished pieces of the log.

The pieces follow the log's schema; a piece is a mapping from group to dataset. Nothing here draws from the animals'
chance or writes to their synapses, and within a context only probes of behaviour wait for the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr

from . import observation as see
from . import standing
from .cohort import Cohort
from .drift import Drift
from .events import Events, ReplayRound
from .learning import COMPONENTS, Learning
from .presentation import Presentation
from .protocol import ANSWERS, AbstractProtocol, Curriculum
from .recorder import Behaviour, CorticalActivity, Electrode, HippocampalCodes, ReplayActivity, SynapticImportance
from .replay_log import replay_table

Piece = dict[str, xr.Dataset]
Write = Callable[[str, Piece], None]
DRIFT_STIMULI = 200
"""Test stimuli, balanced over classes, by which the drift of a plastic re-entry area is watched."""


class Recording:
    """What the electrodes pick up in one cohort.

    Parameters
    ----------
    electrodes
        Checked declarations.
    cohort, protocol, curricula, seeds, learning
        What is recorded from.
    presentation
        Test stimuli as they are met while learning.
    images
        Test stimuli at the retina: the same, unless activity of a standing area is kept.
    write
        Takes the name of a piece (``"behaviour"``, ``"cortex/0003"``) and the piece.
    """

    def __init__(
        self,
        electrodes: Sequence[Electrode],
        cohort: Cohort,
        protocol: AbstractProtocol,
        curricula: Sequence[Curriculum],
        seeds: Sequence[int],
        learning: Learning,
        presentation: Presentation,
        images: Presentation,
        write: Write,
    ) -> None:
        self.cohort, self.protocol, self.curricula, self.seeds = cohort, protocol, tuple(curricula), tuple(seeds)
        self.learning, self.presentation, self.images, self.write = learning, presentation, images, write
        self.electrodes = {type(e): e for e in electrodes}
        total = learning.steps * protocol.n_contexts
        self._loss = torch.full((cohort.size, total, len(COMPONENTS)), torch.nan, device=cohort.device)
        self._done = self._passed = 0
        self._accuracies: list[np.ndarray] = []
        self._probes: list[tuple[int, np.ndarray]] = []
        self._events: list[dict[str, torch.Tensor]] = []
        self._due: dict[int, np.ndarray] = {}
        self._plan: ReplayRound | None = None
        self._synapses = self._copy_synapses()
        plastic = (
            cohort.replay is not None and cohort.replay.source == "recall" and standing.plastic_reentry(cohort.template)
        )
        self._drift = Drift() if plastic else None

    def _get(self, kind: type) -> Any:
        return self.electrodes.get(kind)

    def _copy_synapses(self) -> dict[str, torch.Tensor]:
        if not self.listens_to_synapses:
            return {}
        return {name: value.detach().clone() for name, value in self.cohort.synapses.items()}

    @property
    def listens_to_synapses(self) -> bool:
        """Whether the importance of synapses is recorded."""
        return self._get(SynapticImportance) is not None

    def naive(self) -> None:
        """Before anything is learned: row 0 of everything, and the gates of cortex and feedback."""
        gates = see.gate_patterns(self.cohort.fixed, self.seeds)
        if gates:
            self.write("gates", gates)
        self._snapshot(0)

    def begin_context(self, plan: ReplayRound | None) -> None:
        """A context begins; ``plan`` says what is replayed."""
        self._plan = plan
        self._events = []
        wanted = self._get(ReplayActivity)
        self._due = {}
        if wanted is not None and plan is not None:
            self._due = see.spread(wanted.events, self.learning.steps, len(plan.row_event))

    def pass_over(self, learned: int) -> None:
        """A context has passed without being learned: the same animals are tested again."""
        self._passed += 1
        self._snapshot(learned)

    def step(self, step: int, losses: torch.Tensor, events: Events | None) -> None:
        """After one weight update; ``step`` counts within the context from 0."""
        self._loss[:, self._done] = losses
        self._done += 1
        if events is not None and step in self._due:
            self._replayed(torch.from_numpy(self._due[step]).to(self.cohort.device), events)
        probe = self._get(Behaviour)
        if probe is not None and step + 1 in probe.steps:
            learned = self._passed + -(-self._done // self.learning.steps)
            chosen = see.balanced(self.protocol.stimuli.test_label, probe.stimuli)
            found = see.accuracy(self.cohort, self.presentation, self.protocol, self.curricula, learned, chosen)
            self._probes.append((self._done, found))

    def _replayed(self, rows: torch.Tensor, events: Events) -> None:
        assert self._plan is not None
        of = self._plan.row_event[rows]
        taken = {
            "code": events.code[:, of],
            "activity": events.activity[:, of].flatten(2),
            "target": events.soft_target[:, rows],
            "decision": events.decision[:, rows],
            "cued_class": events.cued_class[:, of],
            "cued_context": events.gate[:, rows] + 1,
            "step": torch.full((self.cohort.size, len(rows)), self._done, device=rows.device),
        }
        self._events.append({name: value.detach().clone() for name, value in taken.items()})

    def end_context(self, learned: int) -> None:
        """A context has ended; its pieces of the log are finished."""
        if self._events:
            self.write(
                f"replay/{learned:04d}",
                {"/replay": replay_table(self._events, self.cohort, self.protocol, self.seeds, learned)},
            )
        wanted = self._get(SynapticImportance)
        if wanted is not None:
            self.write(f"synapses/{learned:04d}", self._importance(learned, wanted.quantiles))
            self._synapses = self._copy_synapses()
        self._snapshot(learned)
        self.write("learning", {"/learning": self._learning()})

    def _snapshot(self, learned: int) -> None:
        self._accuracies.append(see.accuracy(self.cohort, self.presentation, self.protocol, self.curricula, learned))
        piece: Piece = {}
        cortex, codes = self._get(CorticalActivity), self._get(HippocampalCodes)
        if cortex is not None:
            piece |= self._areas(learned, cortex)
        if codes is not None:
            piece["/hippocampus"] = self._codes(learned, codes)
        if piece:
            self.write(f"cortex/{learned:04d}", piece)
        table = {"/behaviour": see.behaviour(self.protocol, self.curricula, self.seeds, self._accuracies)}
        if self._drift is not None:
            stimuli = see.balanced(self.protocol.stimuli.test_label, DRIFT_STIMULI)
            area = (self.cohort.template.cortex.reentry,)
            seen = see.evoked(self.cohort, self.presentation, self.protocol, self.curricula, stimuli, area)
            self._drift.add(seen[area[0]])
            table["/reentry"] = self._drift.table(self.seeds, area[0])
        self.write("behaviour", table)

    def _coordinates(self, learned: int, n: int) -> tuple[np.ndarray, dict[str, xr.Variable]]:
        stimuli = see.balanced(self.protocol.stimuli.test_label, n)
        return stimuli, see.snapshot_coordinates(
            self.protocol, self.curricula, self.seeds, stimuli, learned, self._done
        )

    def _areas(self, learned: int, wanted: CorticalActivity) -> Piece:
        """Activity of one snapshot; that of areas which cannot change comes with the first one, once for all."""
        template = self.cohort.template.cortex
        areas = wanted.areas or template.areas[1:]
        same = {area for area in areas if standing.stands(template, area)}
        areas = tuple(area for area in areas if learned == 0 or area not in same)
        stimuli, coordinates = self._coordinates(learned, wanted.stimuli)
        piece: Piece = {"/cortex": xr.Dataset(coords=coordinates)}
        if not areas:
            return piece
        kept = self.presentation if self._kept_suffices(areas) else self.images
        found = see.evoked(self.cohort, kept, self.protocol, self.curricula, stimuli, areas)
        for area in areas:
            once = area in same
            labels = ("animal", "stimulus") if once else ("animal", "snapshot", "stimulus")
            activity = see.described(
                (*labels, "unit"),
                found[area] if once else found[area][:, None],
                f"activity of {area} after the non-linearity",
            )
            coords = {name: coordinates[name] for name in labels} | see.count("unit", found[area].shape[-1])
            piece[f"/cortex/{area}"] = xr.Dataset({"activity": activity}, coords, standing.about_area(template, area))
        return piece

    def _kept_suffices(self, wanted: Sequence[str]) -> bool:
        """Whether all areas wanted are reached from where stimuli are presented."""
        areas = self.cohort.template.cortex.areas
        return min(areas.index(area) for area in wanted) >= areas.index(self.presentation.area)

    def _codes(self, learned: int, wanted: HippocampalCodes) -> xr.Dataset:
        stimuli, coordinates = self._coordinates(learned, wanted.stimuli)
        names = ("code_mean", "code_log_variance")
        found = see.evoked(self.cohort, self.presentation, self.protocol, self.curricula, stimuli, names)
        dims = ("animal", "snapshot", "stimulus", "code_unit")
        values = {n: see.described(dims, found[n][:, None], n.replace("_", " ")) for n in names}
        units = found["code_mean"].shape[-1]
        coordinates |= see.count("code_unit", units)
        if "modes.mean" in self.cohort.synapses:
            dims = ("animal", "snapshot", "mode", "code_unit")
            for name in ("mean", "log_variance"):
                array = self.cohort.synapses[f"modes.{name}"].detach().float().cpu().numpy()
                long_name = f"{name.replace('_', ' ')} of the memory modes"
                values[f"mode_{name}"] = see.described(dims, array[:, None].copy(), long_name)
            coordinates |= see.count("mode", array.shape[1])
        return xr.Dataset(values, coords=coordinates)

    def _importance(self, learned: int, quantiles: Sequence[float]) -> Piece:
        dims = ("animal", "contexts_learned", "quantile")
        coordinates = {
            "animal": see.animal_coordinate(self.seeds),
            "contexts_learned": see.described(
                ("contexts_learned",), np.array([learned], np.int32), "finished contexts, 0 = naive"
            ),
            "quantile": see.described(("quantile",), np.asarray(quantiles, np.float32), "fraction of synapses below"),
        }
        words = {"importance": "importance of the synapses", "change": "size of the change since the last context"}
        piece: Piece = {}
        for pathway, found in see.synapses(self.cohort, self._synapses, quantiles).items():
            values = {}
            for name, array in found.items():
                kind = name.removesuffix("_sum")
                summed = name.endswith("_sum")
                long_name = f"{words[kind]}, {'sum over' if summed else 'quantiles over'} the pathway"
                values[name] = see.described(dims[:2] if summed else dims, array[:, None], long_name)
            piece[f"/synapses/{pathway}"] = xr.Dataset(values, coords=coordinates)
        return piece

    def _learning(self) -> xr.Dataset:
        steps = np.arange(1, self._done + 1, dtype=np.int32)
        context = ((steps - 1) // self.learning.steps + 1 + self._passed).astype(np.int32)
        coordinates = {
            "animal": see.animal_coordinate(self.seeds),
            "step": see.described(("step",), steps, "number of the weight update"),
            "component": see.described(("component",), list(COMPONENTS), "part of the loss, before weighting"),
            "context": see.described(("step",), context, "context that is being learned"),
        }
        loss = self._loss[:, : self._done].float().cpu().numpy()
        values = {
            "loss": see.described(
                ("animal", "step", "component"), loss, "loss, mean over the batch, before the update", "nat"
            )
        }
        if self._probes:
            dims = ("animal", "probe_step", "answers", "probed_context")
            found = np.stack([a for _step, a in self._probes], axis=1)
            values["accuracy_probe"] = see.described(
                dims, found, "fraction of right decisions on a part of the test stimuli"
            )
            coordinates |= {
                "probe_step": see.described(
                    ("probe_step",), np.array([s for s, _a in self._probes], np.int32), "weight updates so far"
                ),
                "answers": see.described(("answers",), list(ANSWERS), "readout units that compete"),
                "probed_context": see.described(
                    ("probed_context",), np.arange(1, self.protocol.n_contexts + 1, dtype=np.int32), "tested context"
                ),
            }
        return xr.Dataset(values, coords=coordinates)

    def memory(self) -> dict[str, np.ndarray]:
        """What has been heard so far and is not on disk for good, for a checkpoint between two contexts."""
        held = {
            "steps": np.array([self._done, self._passed]),
            "loss": self._loss[:, : self._done].cpu().numpy(),
            "accuracy": np.stack(self._accuracies),
            "probed": np.array([step for step, _ in self._probes], np.int64),
        }
        held |= {f"probe.{i}": found for i, (_, found) in enumerate(self._probes)}
        return held | {f"drift.{n}": value for n, value in (self._drift.memory() if self._drift else {}).items()}

    def recollect(self, memory: Mapping[str, np.ndarray]) -> None:
        """Go on from what another recording of the same animals had heard, whose synapses these are."""
        memory = {n: value.copy() for n, value in memory.items()}  # of their own: theirs may be mapped from a file
        self._done, self._passed = (int(n) for n in memory["steps"])
        self._loss[:, : self._done] = torch.from_numpy(memory["loss"]).to(self._loss)
        self._accuracies = list(memory["accuracy"])
        self._probes = [(int(step), memory[f"probe.{i}"]) for i, step in enumerate(memory["probed"])]
        if self._drift is not None:
            own = {n.removeprefix("drift."): value for n, value in memory.items() if n.startswith("drift.")}
            self._drift.recollect(own)
        self._synapses = self._copy_synapses()

    def alive(self) -> np.ndarray:
        """Whether each animal's losses have been finite so far, (animal,)."""
        return torch.isfinite(self._loss[:, : self._done]).all(dim=2).all(dim=1).cpu().numpy()
