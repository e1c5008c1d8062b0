"""Synaptic intelligence over plastic early areas: batch-norm in training mode, step by step (file 04, ``conv``)."""

from __future__ import annotations

import copy

import numpy as np
import torch
from oracle import ANIMALS, ARRAYS, LAYERS, TERMS, both, closest, protocol, read

from replaysim.brain import BrainPlan
from replaysim.cohort import Cohort
from replaysim.consolidation import SynapticIntelligence
from replaysim.learning import COMPONENTS, Trials
from replaysim.visual_cortex import VisualPlan

STATISTICS = {"running_mean": "running_mean", "running_var": "running_var", "n_updates": "num_batches_tracked"}
EARLY = {
    "W": "synapses.weight",
    "b": "synapses.bias",
    "gamma": "normalisation.weight",
    "beta": "normalisation.bias",
} | {name: f"normalisation.{value}" for name, value in STATISTICS.items()}
BEFORE_NORM = "cortex.early.early_1.synapses.bias"  # its gradient is zero but for rounding, which Adam amplifies
LOOSE = (BEFORE_NORM, "cortex.early.early_1.normalisation.running_mean")


def values(arrays: dict[str, np.ndarray], prefix: str, *, statistics: bool = False) -> dict[str, np.ndarray]:
    """Arrays ``<prefix>.<layer>.<array>`` under the names of the brain."""
    found = {}
    for key in arrays:
        if not key.startswith(f"{prefix}.") or key.count(".") != prefix.count(".") + 2:
            continue
        layer, part = key.split(".")[-2:]
        if layer.startswith("conv"):
            if (part in STATISTICS) == statistics:
                found[f"cortex.early.early_{layer[4:]}.{EARLY[part]}"] = arrays[key]
        elif not statistics:
            found[f"{LAYERS[layer]}.{ARRAYS[part]}"] = arrays[key]
    assert found, f"no arrays {prefix}"
    return found


def make_cohort(arrays: dict[str, np.ndarray]) -> Cohort:
    cortex = VisualPlan((8, 8), "retina", "plastic", "naive", channels=(2, 4), image=(1, 4, 4))
    grown = BrainPlan(cortex, stimulus_size=16, answers=4, classes=4, contexts=2).grow(0).double()
    state = values(arrays, "conv.param") | values(arrays, "conv.param", statistics=True)
    grown.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
    rule = SynapticIntelligence(c=5.0, epsilon=0.1)
    return Cohort([copy.deepcopy(grown) for _ in range(ANIMALS)], rate=0.01, consolidation=rule, dtype=torch.float64)


def compare(found: dict[str, torch.Tensor], wanted: dict[str, np.ndarray], what: str) -> None:
    assert found.keys() >= wanted.keys()
    for name, value in wanted.items():
        for animal in range(ANIMALS):
            closest(found[name][animal], value, f"{what} {name}", 1e-8 if name in LOOSE else 1e-10)


def test_path_integral_importance_and_penalty() -> None:
    arrays, own = read("04_si"), protocol("class", classes=4, contexts=2)
    cohort = make_cohort(arrays)
    assert set(cohort.covered) == set(cohort.synapses), "gains and shifts of the normalisation are covered, too"
    for learned in range(2):
        key = f"conv.t{learned + 1}"
        answers = torch.from_numpy(own.answers("up_to_learned", learned, learned + 1))[None]
        for step in range(4):
            label = both(arrays[f"{key}.y_cur"][step])
            trials = Trials(both(arrays[f"{key}.x_cur"][step]), label, label, torch.full_like(label, learned))
            losses = cohort.learn(trials, answers, torch.zeros(ANIMALS, 0, 0, dtype=torch.float64))
            for term in ("total", "cur_class", "si"):
                wanted = np.asarray(arrays[f"{key}.loss.{term}"][step])
                closest(losses[1, COMPONENTS.index(TERMS[term])], wanted, f"{key} step {step} {term}")
            slopes = {name: value.grad for name, value in cohort.synapses.items() if value.grad is not None}
            for what, found in (("grad", slopes), ("after", cohort.synapses)):
                wanted_now = {n: v[step] for n, v in values(arrays, f"{key}.steps.{what}").items()}
                compare(found, wanted_now, f"{key} step {step} {what}")
        compare(cohort.fixed, values(arrays, f"{key}.end", statistics=True), f"{key} statistics")
        compare(cohort.synapses, values(arrays, f"{key}.end"), f"{key} end")
        assert cohort.state is not None
        compare(cohort.state.anchor, values(arrays, f"{key}.theta_start"), f"{key} start")
        compare(cohort.state.path, values(arrays, f"{key}.W"), f"{key} path")
        cohort.consolidate(lambda _n: [], torch.ones(4, dtype=torch.bool))
        compare(cohort.state.importance, values(arrays, f"{key}.omega"), f"{key} importance")
    there = {
        n: both(torch.from_numpy(v)).clone().requires_grad_() for n, v in values(arrays, "conv.test.theta").items()
    }
    assert cohort.consolidation is not None and cohort.state is not None
    penalty = cohort.consolidation.penalty(cohort.state, {name: there[name] for name in cohort.covered})
    closest(penalty[1], arrays["conv.test.penalty"], "penalty elsewhere")
    penalty.sum().backward()
    compare({n: v.grad for n, v in there.items() if v.grad is not None}, values(arrays, "conv.test.grad"), "slope")
