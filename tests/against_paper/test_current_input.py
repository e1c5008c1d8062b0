"""Learning without forgetting: current stimuli replayed with the eyes of the earlier self (file 08), in whole loops."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from oracle import ANIMALS, TERMS, both, brain, closest, protocol, read, synapses

from replaysim.cohort import Cohort
from replaysim.events import Episodes, Events, ReplayRound, plan_round
from replaysim.learning import COMPONENTS, Trials
from replaysim.replay import CurrentInputReplay

DOUBLE = {"loss": 1e-10, "gradient": 1e-10, "after": 1e-10, "logits": 1e-10}
SINGLE = {"loss": 5e-6, "gradient": 1e-6, "after": 1e-5, "logits": 5e-6}
PRECISIONS = [(torch.float64, DOUBLE), (torch.float32, SINGLE)]
SCENARIOS = ("class", "task", "domain")


class Loop:
    """Two identical animals meet the batches of the file, three contexts of two steps."""

    def __init__(self, scenario: str, dtype: torch.dtype, tolerance: dict[str, float], *, shared: bool = True) -> None:
        self.arrays, self.scenario, self.dtype, self.tolerance = read("08_lwf"), scenario, dtype, tolerance
        self.protocol = protocol(scenario)
        own = brain(self.arrays, self.protocol, divisor=16, bernoulli=True, prefix=f"{scenario}.param")
        brains = [copy.deepcopy(own) for _ in range(ANIMALS)]
        self.cohort = Cohort(brains, rate=0.02, replay=CurrentInputReplay(temperature=2.0), dtype=dtype)
        assert self.cohort._experience.entrances.shared
        if not shared:
            self.cohort._experience.entrances = self.cohort._experience.entrances._replace(shared=False)

    def run(self) -> None:
        for learned in range(3):
            key = f"{self.scenario}.t{learned + 1}"
            plan = plan_round(self.protocol, learned, 6, cued=False) if learned else None
            for step in range(2):
                self.step(key, step, learned, plan)
            self.compare(f"{key}.grad_last", gradient=True)
            self.compare(f"{key}.end")
            self.cohort.remember_self()

    def step(self, key: str, step: int, learned: int, plan: ReplayRound | None) -> None:
        label = self.arrays[f"{key}.y_cur"][step]
        target = label + 2 * learned if self.scenario == "task" else label
        nothing = np.zeros_like(label)
        stimulus = both(self.arrays[f"{key}.x_cur"][step], self.dtype)
        trials = Trials(stimulus, both(target), both(nothing), both(nothing + learned))
        answers = torch.from_numpy(self.protocol.answers(self.protocol.rule, learned, learned + 1))[None]
        noise = torch.zeros(ANIMALS, 6, 0, dtype=self.dtype)
        if plan is None:
            losses = self.cohort.learn(trials, answers, noise)
        else:
            events = self.cohort.appraise(Episodes(stimulus, trials.target, trials.context), plan)
            self.check_events(key, step, events)
            losses = self.cohort.learn(trials, answers, noise, events, plan, 1 / (learned + 1))
        for term, component in TERMS.items():
            if f"{key}.loss.{term}" in self.arrays:
                for animal in range(ANIMALS):
                    found = losses[animal, COMPONENTS.index(component)]
                    wanted = np.asarray(self.arrays[f"{key}.loss.{term}"][step])
                    closest(found, wanted, f"{key} step {step} {term}", self.tolerance["loss"])
        if step == 0:
            self.compare(f"{key}.s1.after")

    def check_events(self, key: str, step: int, events: Events) -> None:
        """What is replayed is the current batch; in the task scenario it is judged on every earlier head."""
        closest(events.activity[1], self.arrays[f"{key}.x_rep"][step], f"{key} x_rep", self.tolerance["logits"])
        wanted = self.arrays[f"{key}.teacher_logits"][step]
        found = events.logits[1]
        if self.scenario == "task":
            heads = [rows[:, 2 * h : 2 * h + 2] for h, rows in enumerate(found.split(6))]
            closest(torch.stack(heads), wanted, f"{key} step {step} heads", self.tolerance["logits"])
        else:
            closest(found[:, : wanted.shape[-1]], wanted, f"{key} step {step} logits", self.tolerance["logits"])

    def compare(self, prefix: str, *, gradient: bool = False) -> None:
        wanted = synapses(self.arrays, prefix)
        assert wanted.keys() == self.cohort.synapses.keys()
        for name, value in wanted.items():
            found = self.cohort.synapses[name].grad if gradient else self.cohort.synapses[name]
            assert found is not None
            for animal in range(ANIMALS):
                tolerance = self.tolerance["gradient" if gradient else "after"]
                closest(found[animal], value.numpy(), f"{prefix} {name}", tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS, ids=["float64", "float32"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_whole_loop(scenario: str, dtype: torch.dtype, tolerance: dict[str, float]) -> None:
    Loop(scenario, dtype, tolerance).run()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_whole_loop_without_the_short_cut(scenario: str) -> None:
    """The cortex climbs once for current and replayed activity, as they are the same; twice gives the same."""
    Loop(scenario, torch.float64, DOUBLE, shared=False).run()


def test_losses_that_the_file_has_are_compared() -> None:
    arrays = read("08_lwf")
    for scenario in SCENARIOS:
        for context, terms in ((1, {"total", "cur_class"}), (3, {"total", "cur_class", "rep_distill"})):
            assert terms <= {t for t in TERMS if f"{scenario}.t{context}.loss.{t}" in arrays}
