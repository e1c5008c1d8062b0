"""Observation: turns the state of a cohort into labelled arrays, without touching it.

Every function here reads; none of them draws from the animals' chance or writes to their synapses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr

from . import rng
from .cohort import Cohort
from .presentation import Presentation
from .protocol import ANSWERS, AbstractProtocol, Curriculum

PATHWAYS = {
    "feedforward": "cortex.",
    "readout": "readout.",
    "to_hippocampus": "hippocampus.",
    "feedback": "feedback.",
    "modes": "modes.",
}
GOLDEN = 0.6180339887498949


def described(dims: Sequence[str], data: Any, long_name: str, units: str = "1", **attrs: Any) -> xr.Variable:
    """A variable with its meaning."""
    return xr.Variable(dims, data, {"long_name": long_name, "units": units, **attrs})


def count(dim: str, n: int) -> dict[str, xr.Variable]:
    """A coordinate that only counts."""
    return {dim: described((dim,), np.arange(n, dtype=np.int32), dim.replace("_", " "))}


def animal_coordinate(seeds: Sequence[int]) -> xr.Variable:
    """Animals, labelled by their seeds."""
    return described(("animal",), np.asarray(seeds, dtype=np.int32), "animal: seed of all its chance")


def gate_patterns(fixed: Mapping[str, torch.Tensor], seeds: Sequence[int]) -> dict[str, xr.Dataset]:
    """Which units every gate leaves open: log group to dataset.

    Gates of the feedback pathway are named by layer (``/gates/feedback_layer_1``), those of the cortex (XdG) by area
    (``/gates/association_1``); a ``gate`` is a class or a context, in the order in which the animal meets them.
    """

    def patterns(value: torch.Tensor) -> xr.Dataset:
        about: dict[str, Any] = {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "closed open"}
        data = value.cpu().numpy().astype(np.int8)
        open_ = described(("animal", "gate", "unit"), data, "whether a gate leaves the unit open", **about)
        counts = {**count("gate", value.shape[1]), **count("unit", value.shape[2])}
        return xr.Dataset({"open": open_}, coords={"animal": animal_coordinate(seeds), **counts})

    of_feedback = {n.removeprefix("gates."): v for n, v in fixed.items() if n.startswith("gates.")}
    of_cortex = {n.removeprefix("context_gates."): v for n, v in fixed.items() if n.startswith("context_gates.")}
    named = {f"feedback_{layer}": v for layer, v in of_feedback.items()} | of_cortex
    return {f"/gates/{name}": patterns(value) for name, value in named.items()}


def balanced(position: np.ndarray, n: int) -> np.ndarray:
    """Fixed stimuli, the same number of every class as far as ``n`` allows and at least one; sorted indices.

    ``position`` is any labelling (stimulus,); the choice has a seed of its own and is the same for all animals and
    conditions.
    """
    chance = rng.stream(0, "probe stimuli")
    classes = np.unique(position)
    each = max(1, n // len(classes))
    chosen = [chance.permutation(np.flatnonzero(position == c))[:each] for c in classes]
    return np.sort(np.concatenate(chosen))


def accuracy(
    cohort: Cohort,
    presentation: Presentation,
    protocol: AbstractProtocol,
    curricula: Sequence[Curriculum],
    learned: int,
    stimuli: np.ndarray | None = None,
) -> np.ndarray:
    """Fraction of right decisions, (animal, answers, context).

    Where contexts rearrange the stimuli, so that all stimuli are tested anew in every context, only contexts learned so
    far and the next one are tested, the others are NaN.

    Parameters
    ----------
    presentation
        Test stimuli.
    learned
        Contexts learned so far.
    stimuli
        Indices of the test stimuli to use; default all.
    """
    index = np.arange(len(presentation.stimuli)) if stimuli is None else stimuli
    found = np.full((cohort.size, len(ANSWERS), protocol.n_contexts), np.nan, dtype=np.float32)
    rearranged = presentation.permutation is not None
    logits = torch.empty(0) if rearranged else _logits(cohort, presentation, index, contexts_of(protocol, curricula))
    healthy = np.ones(cohort.size, dtype=bool)
    for c in range(min(protocol.n_contexts, learned + 1) if rearranged else protocol.n_contexts):
        if rearranged:
            everywhere = np.full((cohort.size, len(presentation.stimuli)), c)
            logits = _logits(cohort, presentation, index, everywhere)
        healthy &= torch.isfinite(logits).all(dim=2).all(dim=1).numpy()
        for a, curriculum in enumerate(curricula):
            rows = np.flatnonzero(np.isin(index, curriculum.test[c], assume_unique=True))
            target = torch.from_numpy(protocol.target(curriculum.test_position[index[rows]], c))
            for k, kind in enumerate(ANSWERS):
                if kind == "up_to_learned" and c >= learned:
                    continue
                competing = torch.from_numpy(protocol.answers(kind, c, learned))
                decision = torch.where(competing, logits[a, rows], -torch.inf).argmax(-1)
                found[a, k, c] = (decision == target).float().mean()
    found[~healthy] = np.nan
    return found


def contexts_of(protocol: AbstractProtocol, curricula: Sequence[Curriculum]) -> np.ndarray:
    """Context, from 0, to which every test stimulus belongs, (animal, stimulus); only where it belongs to one."""
    positions = np.stack([c.test_position for c in curricula])
    return np.searchsorted(np.asarray(protocol.first_classes), positions, side="right") - 1


def _logits(cohort: Cohort, presentation: Presentation, index: np.ndarray, context: np.ndarray) -> torch.Tensor:
    """Readout for test stimuli, a few at a time, (animal, stimulus, answer); ``context`` of every test stimulus."""
    blocks = []
    for part in np.array_split(index, max(1, -(-len(index) // 2048))):
        blocks += [seen["logits"] for seen in _see(cohort, presentation, part, context[:, part], ("logits",))]
    return torch.cat(blocks, dim=1).cpu()


def _see(
    cohort: Cohort, presentation: Presentation, index: np.ndarray, context: np.ndarray, wanted: Sequence[str]
) -> Iterator[dict[str, torch.Tensor]]:
    """What test stimuli (stimulus,) evoke in contexts (animal, stimulus)."""
    device = presentation.stimuli.device
    chosen, where = torch.from_numpy(index).to(device), torch.from_numpy(context).to(device)
    own = presentation.permutation is not None
    shown = presentation.show_each(chosen.expand(where.shape), where) if own else presentation.show(chosen)
    return cohort.perceive(shown, wanted, context=where, own=own, start=presentation.area)


def chance_level(protocol: AbstractProtocol) -> np.ndarray:
    """Accuracy of guessing among the competing answers, (answers, contexts_learned, context)."""
    n = protocol.n_contexts
    level = np.full((len(ANSWERS), n + 1, n), np.nan, dtype=np.float32)
    for k, kind in enumerate(ANSWERS):
        for learned in range(n + 1):
            for c in range(n):
                if kind != "up_to_learned" or c < learned:
                    level[k, learned, c] = 1 / protocol.answers(kind, c, learned).sum()
    return level


def behaviour(
    protocol: AbstractProtocol, curricula: Sequence[Curriculum], seeds: Sequence[int], accuracies: list[np.ndarray]
) -> xr.Dataset:
    """Group ``/behaviour`` from the accuracies after 0, 1, 2, ... contexts."""
    dims = ("animal", "answers", "contexts_learned", "context")
    rows = len(accuracies)
    counts = {
        part: np.array([[len(i) for i in getattr(c, part)] for c in curricula], np.int32) for part in ("train", "test")
    }
    identity = np.stack([c.class_identity for c in curricula]).astype(np.int32)
    return xr.Dataset(
        {
            "accuracy": described(dims, np.stack(accuracies, axis=2), "fraction of right decisions"),
            "chance": described(
                dims[1:], chance_level(protocol)[:, :rows], "accuracy of guessing among the competing answers"
            ),
            "n_train": described(("animal", "context"), counts["train"], "training stimuli"),
            "n_test": described(("animal", "context"), counts["test"], "test stimuli"),
            "class_identity": described(
                ("animal", "class"), identity, "original class at this position of the animal's order"
            ),
        },
        coords={
            "animal": animal_coordinate(seeds),
            "answers": described(("answers",), list(ANSWERS), "readout units that compete"),
            "contexts_learned": described(
                ("contexts_learned",), np.arange(rows, dtype=np.int32), "finished contexts, 0 = naive"
            ),
            "context": described(("context",), np.arange(1, protocol.n_contexts + 1, dtype=np.int32), "context"),
            "class": described(
                ("class",), np.arange(protocol.n_classes, dtype=np.int32), "position in the animal's class order"
            ),
        },
        attrs={"scenario": protocol.scenario},
    )


def snapshot_coordinates(
    protocol: AbstractProtocol,
    curricula: Sequence[Curriculum],
    seeds: Sequence[int],
    stimuli: np.ndarray,
    learned: int,
    step: int,
) -> dict[str, xr.Variable]:
    """Coordinates of one snapshot of activity evoked by fixed stimuli."""
    context = np.stack([protocol.probe_context(c, stimuli) for c in curricula]) + 1
    return {
        "animal": animal_coordinate(seeds),
        "snapshot": described(("snapshot",), np.array([learned], np.int32), "number of the snapshot"),
        "contexts_learned": described(("snapshot",), np.array([learned], np.int32), "finished contexts, 0 = naive"),
        "step": described(("snapshot",), np.array([step], np.int32), "weight updates so far"),
        "stimulus": described(("stimulus",), stimuli.astype(np.int32), "index of the test stimulus"),
        "original_class": described(
            ("stimulus",), protocol.stimuli.test_label[stimuli].astype(np.int32), "original class of the stimulus"
        ),
        "context": described(("animal", "stimulus"), context.astype(np.int32), "context to which the stimulus belongs"),
    }


def evoked(
    cohort: Cohort,
    presentation: Presentation,
    protocol: AbstractProtocol,
    curricula: Sequence[Curriculum],
    stimuli: np.ndarray,
    wanted: Sequence[str],
) -> dict[str, np.ndarray]:
    """What fixed test stimuli evoke in the contexts in which they probe: name to (animal, stimulus, unit)."""
    context = np.stack([protocol.probe_context(c, stimuli) for c in curricula])
    blocks = list(_see(cohort, presentation, stimuli, context, wanted))
    return {name: torch.cat([b[name] for b in blocks], dim=1).float().cpu().numpy() for name in wanted}


def synapses(
    cohort: Cohort, earlier: dict[str, torch.Tensor], quantiles: Sequence[float]
) -> dict[str, dict[str, np.ndarray]]:
    """Importance and change of every pathway: their quantiles (animal, quantile) and sums (animal,).

    ``earlier`` holds the synapses at the end of the last context.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    for pathway, prefix in PATHWAYS.items():
        names = [n for n in cohort.synapses if n.startswith(prefix) and cohort.synapses[n].requires_grad]
        if not names:
            continue
        moved = torch.cat([(cohort.synapses[n].detach() - earlier[n]).abs().flatten(1) for n in names], 1)
        values = {"change": moved}
        if cohort.state is not None and all(n in cohort.state.importance for n in names):
            values["importance"] = torch.cat([_rows(cohort.state.importance[n]) for n in names], 1)
        found[pathway] = {}
        for name, value in values.items():
            array = value.float().cpu().numpy()
            found[pathway][name] = np.quantile(array, quantiles, axis=1).T.astype(np.float32)
            found[pathway][f"{name}_sum"] = array.sum(axis=1, dtype=np.float64).astype(np.float32)
    return found


def _rows(importance: torch.Tensor) -> torch.Tensor:
    """(animal, value), also where a rule has one number for a whole layer."""
    return importance.reshape(len(importance), -1)


def spread(events: int, steps: int, rows: int) -> dict[int, np.ndarray]:
    """Which rows of which steps to record so that ``events`` are spread evenly: step to distinct rows.

    Within a step the first row follows the golden ratio, so that no class or context is favoured where rows have an
    order.
    """
    at = np.floor((np.arange(events) + 0.5) * steps / events).astype(int)
    chosen = {}
    for rank, step in enumerate(np.unique(at)):
        count = int((at == step).sum())
        first = int((rank * GOLDEN) % 1.0 * rows)
        chosen[int(step)] = (first + np.arange(count) * max(1, rows // count)) % rows
    return chosen
