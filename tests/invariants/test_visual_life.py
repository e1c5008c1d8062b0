"""What must hold while an animal with a visual cortex lives, whatever it sees.

Running statistics of the normalisation move when something is learned, and only then; every batch has its own; frozen
early areas stand still, and what they say is the same whether it is computed once or at every step.
"""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lives
import numpy as np
import pytest
import torch
import xarray as xr
from seeing import LEARNING, brain, classifier, developed, pair, protocol
from small import assert_bitwise, state
from torch import Tensor
from torch.distributions import Normal

import replaysim as rs
from replaysim import fisher, objectives, preparation, simulation
from replaysim.brain import Brain
from replaysim.cohort import Cohort
from replaysim.consolidation import SynapticIntelligence
from replaysim.early_activity import forget, keep
from replaysim.early_areas import load_early_areas
from replaysim.elastic import ElasticWeightConsolidation
from replaysim.events import Cues, Episodes, Events, ReplayRound, plan_round
from replaysim.experience import plan_context
from replaysim.fisher import Judgement, information_of
from replaysim.learning import COMPONENTS, Learning, Trials
from replaysim.life import Condition, present
from replaysim.recording import Recording
from replaysim.replay import CurrentInputReplay, ExactReplay, GenerativeReplay
from replaysim.retina import adapt

pytestmark = pytest.mark.filterwarnings("ignore:replay enters at")
EVERYTHING: tuple[Any, ...] = (
    rs.Behaviour(steps=(1, 3), stimuli=12),
    rs.CorticalActivity("retina", "early_2", "early_5", "association_2", stimuli=12),
    rs.HippocampalCodes(stimuli=12),
    rs.ReplayActivity(events=6),
    rs.SynapticImportance(),
)
LIVES: dict[str, Callable[[], dict[str, Any]]] = {
    "generative pair, class": lambda: life("class", pair, replay=GenerativeReplay("hard")),
    "generative pair, task": lambda: life("task", pair, replay=GenerativeReplay("hard")),
    "integrated, early_3, task": lambda: life("task", brain, "plastic", "early_3", replay=GenerativeReplay()),
    "integrated, early_5, SI": lambda: life(
        "class", brain, "plastic", replay=GenerativeReplay(), consolidation=SynapticIntelligence(1.0)
    ),
    "exact replay, task": lambda: life("task", classifier, "plastic", replay=ExactReplay(3)),
    "current input, class": lambda: life("class", classifier, "plastic", replay=CurrentInputReplay()),
    "current input, task": lambda: life("task", classifier, "plastic", replay=CurrentInputReplay()),
    "EWC, domain": lambda: life("domain", classifier, "plastic", consolidation=ElasticWeightConsolidation(1e-3, 8)),
    "joint, task": lambda: life("task", classifier, "plastic", experience="joint"),
    "XdG": lambda: life("task", partial(classifier, gating=rs.ContextGating(0.5)), "plastic"),
}
"""Lives in which early areas, and what else normalises, go on learning."""


def life(scenario: str, make: Callable[..., rs.BrainPlan], *given: Any, **mechanisms: Any) -> dict[str, Any]:
    own = protocol(scenario)
    return {"protocol": own, "brain": make(own, *given), **mechanisms}


def simulate(settings: dict[str, Any], animals: tuple[int, ...] = (12,), **kwargs: Any) -> rs.SimulationResult:
    given = {"learning": LEARNING, "workers": 1, "progress": False, **settings, **kwargs}
    return rs.simulate(given.pop("brain"), given.pop("protocol"), animals=animals, **given)


def everything_of(cohort: Cohort) -> dict[str, Tensor]:
    held = {**cohort.synapses, **cohort.fixed, **{f"earlier {n}": v for n, v in (cohort._earlier or {}).items()}}
    return {name: value.detach().clone() for name, value in held.items()}


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor], but: str = "nothing") -> None:
    for name, value in one.items():
        assert name.startswith(but) or torch.equal(value, other[name]), name


# --- only learning moves running statistics


@pytest.mark.parametrize("name", LIVES)
def test_watching_and_judging_leave_everything_bitwise_unchanged(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests, all electrodes, Fisher information and the questions to the earlier self, in a whole life."""
    calls: dict[str, int] = {}

    def watch(owner: type, method: str, cohort_of: Callable[[Any], Cohort]) -> None:
        original = getattr(owner, method)

        def watched(self: Any, *given: Any, **kwargs: Any) -> Any:
            before = everything_of(cohort_of(self))
            found = original(self, *given, **kwargs)
            assert_equal(before, everything_of(cohort_of(self)))
            calls[method] = calls.get(method, 0) + 1
            return found

        monkeypatch.setattr(owner, method, watched)

    for method in ("step", "end_context", "naive"):
        watch(Recording, method, lambda recording: recording.cohort)
    for method in ("consolidate", "reactivate", "appraise"):
        watch(Cohort, method, lambda cohort: cohort)
    learned: list[bool] = []
    learn = Cohort.learn

    def learning(self: Cohort, *given: Any, **kwargs: Any) -> Tensor:
        before = everything_of(self)
        found = learn(self, *given, **kwargs)
        moved = [n for n, v in everything_of(self).items() if "running_mean" in n and not torch.equal(v, before[n])]
        learned.append(bool(moved) and not any(n.startswith("earlier") for n in moved))
        return found

    monkeypatch.setattr(Cohort, "learn", learning)
    settings = LIVES[name]()
    simulate(settings, record=lives.electrodes(settings, EVERYTHING))
    assert learned == [True] * 12, "the statistics move when something is learned, or this test tells nothing"
    assert calls["step"] == 12 and calls["end_context"] == 3 and calls["naive"] == 1
    # after the last context nobody asks what was consolidated, but an electrode
    assert calls["consolidate"] == 2 + any(
        isinstance(e, rs.SynapticImportance) for e in lives.electrodes(settings, EVERYTHING)
    )
    source = getattr(settings.get("replay"), "source", None)
    wanted = {None: {}, "recall": {"reactivate": 8}, "episodes": {"appraise": 8}, "current": {"appraise": 8}}
    assert {k: v for k, v in calls.items() if k in ("reactivate", "appraise")} == wanted[source]


@pytest.mark.parametrize("name", ["generative pair, task", "integrated, early_5, SI", "exact replay, task"])
def test_recording_changes_nothing(name: str) -> None:
    settings = LIVES[name]()
    silent, watched = simulate(settings), simulate(settings, record=lives.electrodes(settings, EVERYTHING))
    assert_bitwise(state(silent, 12), state(watched, 12))
    xr.testing.assert_identical(silent.log["learning/loss"], watched.log["learning/loss"])
    xr.testing.assert_identical(silent.log["behaviour"].to_dataset(), watched.log["behaviour"].to_dataset())


def test_fisher_information_changes_nothing() -> None:
    """A rule of strength 0 that asks for information is the control, also where statistics could move."""
    settings = LIVES["EWC, domain"]()
    idle = simulate({**settings, "consolidation": ElasticWeightConsolidation(0.0, 8)})
    del settings["consolidation"]
    assert_bitwise(state(simulate(settings), 12), state(idle, 12))


@pytest.mark.parametrize("name", ["integrated, early_3, task", "current input, task", "XdG"])
def test_same_seed_same_life(name: str) -> None:
    settings = LIVES[name]()
    one, other = (simulate(settings, record=lives.electrodes(settings, EVERYTHING)) for _ in range(2))
    assert_bitwise(state(one, 12), state(other, 12))
    for node in one.log.subtree:
        if node.path != "/":
            xr.testing.assert_identical(node.to_dataset(), other.log[node.path].to_dataset())


# --- animals do not touch each other


DRIFTING = re.compile(r"(early_[1-4]|area_[123])\.(synapses\.bias|normalisation\.running_mean)$")
"""A bias before a normalisation has a gradient that is zero up to rounding, of which Adam makes steps of some size."""


@pytest.mark.parametrize(
    "name", [name for name in LIVES if name not in ("generative pair, class", "current input, class")]
)
def test_an_animal_lives_alone_as_in_company(name: str) -> None:
    settings = {**LIVES[name](), "learning": Learning(7, 6, 1e-3), "precision": "float64"}
    alone, accompanied = state(simulate(settings, (13,)), 13), state(simulate(settings, (40, 12, 13)), 13)
    assert any("running_var" in key for key in alone)
    for key, value in alone.items():
        tolerance = 1e-6 if DRIFTING.search(key) else 1e-9
        np.testing.assert_allclose(accompanied[key], value, rtol=0, atol=tolerance, err_msg=key)


# --- every batch has statistics of its own


def costs(own: Brain, groups: list[dict[str, Any]], share: float, divisor: float) -> tuple[Tensor, list[Tensor]]:
    """What a brain in training mode, asked group after group, pays for experience; first current trials, then events.

    A group: ``start``, ``activity``, ``target`` (of every judgement; labels, or soft targets at temperature 2),
    ``answers`` (of every judgement), ``row`` (the trial that is judged), ``current``, ``noise``; with modes and gates
    ``belief`` (of every trial, in which class it is).
    """
    evoked = [own.climb(g["activity"], g["start"], context=g.get("context")) for g in groups]
    losses: dict[bool, list[tuple[Tensor, ...]]] = {True: [], False: []}
    codes = []
    if own.hippocampus is not None:  # each part meets one batch after the other
        read = [e[own.top] if own.hippocampus.reads_top else e[own.cortex.reentry].detach() for e in evoked]
        codes = [own.hippocampus(activity) for activity in read]
        samples = [code.sample(g["noise"]) for code, g in zip(codes, groups, strict=True)]
        assert own.feedback is not None
        gates = [None if own.gates is None else own.gates(g["belief"]) for g in groups]
        drives = [own.feedback(sample, gate) for sample, gate in zip(samples, gates, strict=True)]
    for i, (group, seen) in enumerate(zip(groups, evoked, strict=True)):
        logits = own.readout(seen[own.top])[group["row"]]
        target = group["target"]
        if target.is_floating_point():
            log_p = (logits.masked_fill(~group["answers"], -1e9) / 2).log_softmax(1)
            judged = -4 * (target * log_p).sum(1)
        else:
            judged = objectives.classification(logits, target, group["answers"])
        zero = torch.zeros(len(group["activity"]), dtype=logits.dtype)
        recreated = diverged = zero
        if codes:
            recreated = objectives.reconstruction_gaussian(
                own.feedback.activity(drives[i]),  # type: ignore[union-attr]
                seen[own.cortex.reentry].detach(),
            )
            diverged = objectives.code_divergence(codes[i].mean, codes[i].log_variance) / divisor
            if own.modes is not None:
                modes = Normal(own.modes.mean, (own.modes.log_variance / 2).exp())
                far = modes.log_prob(samples[i][:, None]).sum(2) + group["belief"].log()
                code = Normal(codes[i].mean, (codes[i].log_variance / 2).exp())
                diverged = (code.log_prob(samples[i]).sum(1) - far.logsumexp(1)) / divisor
        losses[group["current"]].append((judged, recreated, diverged))
    totals = [
        torch.stack([torch.cat(part).mean() for part in zip(*losses[kind], strict=True)])
        for kind in (True, False)
        if losses[kind]
    ]
    weights = (share, 1 - share) if len(totals) == 2 else (1.0,)
    return sum(w * t.sum() for w, t in zip(weights, totals, strict=True)), totals  # type: ignore[return-value]


def compare(cohort: Cohort, singles: list[Brain]) -> None:
    """Gradients, running statistics and synapses of a cohort are those of its animals, one by one."""
    gradients = 0
    for a, own in enumerate(singles):
        for name, parameter in own.named_parameters():
            found = cohort.synapses[name].grad
            if parameter.grad is None:
                assert found is None or not found[a].any(), name
                continue
            assert found is not None, name
            np.testing.assert_allclose(found[a].numpy(), parameter.grad.numpy(), rtol=0, atol=1e-12, err_msg=name)
            gradients += 1
        for name, value in own.named_buffers():
            np.testing.assert_allclose(cohort.fixed[name][a].numpy(), value.numpy(), rtol=0, atol=1e-13, err_msg=name)
    assert gradients


def grow(plan: rs.BrainPlan, seeds: tuple[int, ...] = (12, 13)) -> list[Brain]:
    return [plan.grow(seed).double() for seed in seeds]


def test_joint_training_meets_context_after_context() -> None:
    own = protocol("task")
    plan, seeds, learning = classifier(own, "plastic"), (12, 13), Learning(2, 7, 1e-3)
    brains = grow(plan, seeds)
    cohort = Cohort(brains, rate=1e-3, dtype=torch.float64)
    curricula = [own.curriculum(seed) for seed in seeds]
    given = plan_context(own, plan, curricula, seeds, learning, 2, "joint")
    assert given.groups == (3, 3, 3), "7 trials are dealt out to three contexts, three each"
    condition = Condition(plan, own, learning, precision="float64")
    trials = given.trials(0, present(condition, curricula, "train"))
    cohort.learn(trials, given.answers, torch.zeros(2, 9, 0, dtype=torch.float64), groups=given.groups)
    singles = grow(plan, seeds)
    for a, single in enumerate(singles):
        groups = []
        for context in range(3):
            rows = slice(3 * context, 3 * context + 3)
            assert trials.context[a, rows].tolist() == [context] * 3
            answers = torch.from_numpy(own.answers("within_context", context, 3))
            target = trials.target[a, rows]
            assert answers[target].all()
            at = {"start": "retina", "current": True, "row": torch.arange(3)}
            groups.append({**at, "activity": trials.stimulus[a, rows], "target": target, "answers": answers})
        costs(single.train(), groups, 1.0, 1.0)[0].backward()
        counts = [v for n, v in single.named_buffers() if n.endswith("num_batches_tracked")]
        assert counts and all(int(c) == 3 for c in counts)
    compare(cohort, singles)


@pytest.mark.parametrize("scenario", ["class", "task"])
@pytest.mark.parametrize("kind", ["exact", "pair", "integrated", "pair, frozen cortex", "modes and gates"])
def test_replay_has_statistics_of_its_own(kind: str, scenario: str) -> None:
    """Current and replayed batch, in the task scenario the replayed batch of each context, are separate passes."""
    own = protocol(scenario)
    plans = {
        "exact": lambda: classifier(own, "plastic"),
        "pair": lambda: pair(own),
        "integrated": lambda: brain(own, "plastic", "early_3", without=("modes", "gating")),
        "pair, frozen cortex": lambda: pair(own, "frozen", "early_3"),
        "modes and gates": lambda: brain(own, "plastic", "early_3"),
    }
    whole = kind == "modes and gates"
    plan, exact, cued = plans[kind](), kind == "exact", kind == "exact" or whole
    replay: Any = ExactReplay(5) if exact else GenerativeReplay("soft" if whole else "hard")
    cohort = Cohort(grow(plan), rate=1e-3, replay=replay, dtype=torch.float64)
    singles = grow(plan)
    replayed = plan_round(own, 2, 5, cued=cued)
    assert replayed.groups == ((3, 3) if cued and scenario == "task" else (5,))
    events_per_step = sum(replayed.groups)
    area = cohort._experience.entrances.replayed
    assert area == ("retina" if exact else plan.cortex.reentry)  # type: ignore[attr-defined]
    chance = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=chance)

    stimulus, noise = normal(2, 6, *singles[0].cortex.early.shapes["retina"]), normal(2, 6 + events_per_step, 4)
    target = torch.randint(4, 6, (2, 6), generator=chance)
    met = normal(2, events_per_step, singles[0].cortex.sizes[area])
    rows = replayed.row_event
    decision = torch.multinomial(replayed.learner_answers.double().expand(len(rows), -1), 2, generator=chance).T
    nothing = torch.zeros(2, events_per_step, dtype=torch.int64)
    logits = normal(2, len(rows), 6)
    soft = (logits.masked_fill(~replayed.teacher_answers, -1e9) / 2).softmax(2)
    events = Events(nothing[..., None].double()[..., :0], met, nothing, logits, soft, decision, nothing)
    answers = torch.from_numpy(own.answers(own.rule, 2, 3))
    trials = Trials(stimulus, target, target, 0 * target + 2)
    noise = noise[..., : 0 if exact else 4]
    losses = cohort.learn(trials, answers[None], noise, events, replayed, 1 / 3)
    for a, single in enumerate(singles):
        first = {"start": "retina", "current": True, "row": torch.arange(6), "answers": answers}
        certain = objectives.one_hot(target[a], 6, torch.float64)
        groups = [
            {**first, "activity": stimulus[a], "target": target[a], "noise": noise[a, :6], "belief": certain},
        ]
        begin = 0
        for size in replayed.groups:
            judged = (rows >= begin) & (rows < begin + size)
            chosen = slice(begin, begin + size)
            groups.append(
                {
                    "start": area,
                    "current": False,
                    "row": rows[judged] - begin,
                    "activity": met[a, chosen],
                    "target": (soft if whole else decision)[a, judged],
                    "belief": soft[a, judged],
                    "answers": replayed.learner_answers.expand(len(rows), -1)[judged],
                    "noise": noise[a, 6:][chosen],
                }
            )
            begin += size
        total, parts = costs(single.train(), groups, 1 / 3, plan.divergence_divisor)
        total.backward()
        np.testing.assert_allclose(losses[a, 0].numpy(), total.detach().numpy(), rtol=0, atol=1e-12)
        np.testing.assert_allclose(losses[a, 1:4].numpy(), parts[0].detach().numpy(), rtol=0, atol=1e-12)
        assert bool(losses[a, COMPONENTS.index("replayed_distillation")] > 0) == whole
    compare(cohort, singles)
    moved = [n for n, v in singles[0].named_buffers() if n.endswith("num_batches_tracked") and v > 0]
    assert moved, "something normalises by its batch, or this test tells nothing"


@torch.no_grad()
def test_the_earlier_self_is_in_evaluation_mode() -> None:
    """What it makes of an event does not depend on the batch, and its statistics are those it was left with."""
    own = protocol("class")
    plan = pair(own)
    cohort = Cohort(grow(plan), rate=1e-2, replay=GenerativeReplay("hard"), dtype=torch.float64)
    chance = torch.Generator().manual_seed(3)
    for _ in range(5):
        with torch.enable_grad():
            stimulus = torch.randn(2, 6, 3, 16, 16, dtype=torch.float64, generator=chance) + 1
            target = torch.randint(2, (2, 6), generator=chance)
            noise = torch.randn(2, 6, 4, dtype=torch.float64, generator=chance)
            cohort.learn(Trials(stimulus, target, target, 0 * target), torch.ones(1, 6, dtype=torch.bool), noise)
    cohort.remember_self()
    earlier = [copy.deepcopy(b) for b in grow(plan)]
    for a, single in enumerate(earlier):
        single.load_state_dict(cohort.brain_state(a))
        single.eval()
    replayed = plan_round(own, 1, 5, cued=False)
    nothing = torch.zeros(2, 5, dtype=torch.int64)
    noise = torch.randn(2, 5, 4, dtype=torch.float64, generator=chance)
    recalled = cohort.reactivate(Cues(nothing, nothing, nothing, noise), replayed)
    met = Episodes(torch.randn(2, 5, 3, 16, 16, dtype=torch.float64, generator=chance), nothing, nothing)
    seen = cohort.appraise(met, replayed)
    for a, single in enumerate(earlier):
        for event in range(5):
            activity = single.recreate(noise[a, event : event + 1])
            np.testing.assert_allclose(recalled.activity[a, event], activity[0], atol=1e-12)
            logits = single.readout(single.re_experience(activity)[single.top])
            np.testing.assert_allclose(recalled.logits[a, event], logits[0], atol=1e-12)
            logits = single.readout(single.perceive(met.activity[a, event : event + 1])[single.top])
            np.testing.assert_allclose(seen.logits[a, event], logits[0], atol=1e-12)
    fresh = grow(plan)[0].train()
    batch = fresh.perceive(met.activity[0])[fresh.top]
    assert not torch.allclose(batch[:1], fresh.perceive(met.activity[0, :1])[fresh.top]), "in training mode it depends"


# --- frozen early areas


FROZEN: dict[str, tuple[str, Callable[..., rs.BrainPlan], dict[str, Any], dict[str, Any]]] = {
    "nothing": ("class", classifier, {}, {}),
    "brain-inspired": ("class", brain, {}, {"replay": GenerativeReplay(), "consolidation": SynapticIntelligence(1.0)}),
    "association_1": ("task", brain, {"reentry": "association_1"}, {"replay": GenerativeReplay()}),
    "pair": ("class", pair, {"early": "frozen", "reentry": "early_5"}, {"replay": GenerativeReplay("hard")}),
    "exact": ("task", classifier, {}, {"replay": ExactReplay(3)}),
    "exact, hippocampus": ("class", brain, {}, {"replay": ExactReplay(3, "soft")}),
    "current": ("class", classifier, {}, {"replay": CurrentInputReplay()}),
    "current, retina below": ("class", classifier, {"reentry": "retina"}, {"replay": CurrentInputReplay()}),
    "XdG and EWC": (
        "task",
        classifier,
        {"gating": rs.ContextGating(0.5)},
        {"consolidation": ElasticWeightConsolidation(10.0, 8)},
    ),
    "joint": ("task", classifier, {}, {"experience": "joint"}),
}


@pytest.mark.parametrize("name", FROZEN)
def test_kept_activity_gives_the_same_life(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Computed once, or from the images at every step: the same synapses, decisions and recordings; nothing below
    changes.
    """
    forget()
    scenario, make, given, mechanisms = FROZEN[name]
    own = protocol(scenario)
    file = developed(tmp_path)
    settings = {"protocol": own, "brain": make(own, **{"developed": file, **given}), **mechanisms}
    areas: list[str] = []
    start = Cohort.__init__

    def watched(self: Cohort, *args: Any, **kwargs: Any) -> None:
        areas.append(kwargs["presented"])
        start(self, *args, **kwargs)

    monkeypatch.setattr(Cohort, "__init__", watched)
    record = lives.electrodes(settings, EVERYTHING)
    kept = simulate(settings, (12, 13), precision="float64", record=record)
    with monkeypatch.context() as patched:
        patched.setattr(simulation, "kept_activity", lambda *_given: None)
        images = simulate(settings, (12, 13), precision="float64", record=record)
    assert areas == ["early_5", "retina"], "one life from kept activity, one from images"
    early, _about = load_early_areas(file)
    naive = settings["brain"].grow(12).state_dict()
    for animal in (12, 13):
        one, other = state(kept, animal), state(images, animal)
        for key, value in one.items():
            np.testing.assert_allclose(value, other[key], rtol=0, atol=1e-9, err_msg=key)
        for key, stood in early.state_dict().items():
            assert np.array_equal(one[f"cortex.early.{key}"], stood.double().numpy()), key
        key = "cortex.association_1.weight"
        assert animal != 12 or not np.allclose(one[key], naive[key].numpy()), "above, something is learned"
    for node in kept.log.subtree:
        for variable, found in node.to_dataset().data_vars.items():
            wanted = images.log[node.path][variable]
            if variable == "activity" and node.path == "/replay" and found.attrs != wanted.attrs:
                continue  # stored or current stimuli, as they are met
            np.testing.assert_allclose(
                found.values, wanted.values, rtol=0, atol=1e-5, err_msg=f"{node.path} {variable}"
            )


@pytest.mark.parametrize("early", ["frozen", "plastic"])
def test_what_cannot_change_is_recorded_once(early: str, tmp_path: Path) -> None:
    """Naive activity of standing areas is that of the animal at the end of its life; other areas have snapshots."""
    own = protocol("class")
    plan = brain(own, early, developed=developed(tmp_path))
    record = [rs.CorticalActivity("retina", "early_2", "early_5", "association_1", stimuli=12)]
    result = simulate({"protocol": own, "brain": plan, "replay": GenerativeReplay(), "record": record})
    standing = ("retina", "early_2", "early_5") if early == "frozen" else ("retina",)
    shown = adapt(torch.from_numpy(own.stimuli.test.copy()).float() / 255, own.stimuli.light)  # type: ignore[arg-type]
    with torch.no_grad():
        seen = result.brains[12].eval().perceive(shown)
    for area in ("retina", "early_2", "early_5", "association_1"):
        found = result.log[f"cortex/{area}"].to_dataset()["activity"].sel(animal=12)
        assert ("snapshot" in found.dims) == (area not in standing), area
        if area not in standing:
            assert found.sizes["snapshot"] == 4 and not np.array_equal(found.isel(snapshot=0), found.isel(snapshot=-1))
            found = found.isel(snapshot=-1)
        expected = seen[area].flatten(1)[found["stimulus"].values.tolist()]
        np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=area)


def test_information_from_kept_activity_is_that_from_images(tmp_path: Path) -> None:
    """Nothing below is covered, so that the Fisher information may start where the early areas end."""
    own, file = protocol("class"), developed(tmp_path)
    grown = classifier(own, developed=file).grow(12).double()
    shown = (torch.from_numpy(own.stimuli.train.copy()).double() / 255)[:20]
    shown = adapt(shown, own.stimuli.light)  # type: ignore[arg-type]
    kept = keep(own.stimuli.train, grown.cortex, own.stimuli.light, 255.0, dtype=torch.float64)[:20]  # type: ignore[arg-type]
    answers = torch.tensor([True, True, True, True, False, False])
    found = []
    for area, seen in (("retina", shown), ("early_5", torch.from_numpy(kept.copy()))):
        judgement = Judgement(grown, area).eval()
        values = {name: value.detach() for name, value in judgement.state_dict().items()}
        covered = [f"brain.{name}" for name, p in grown.named_parameters() if p.requires_grad]
        found.append(information_of(judgement, values, covered, seen, answers))
    assert len(found[0]) == 6
    for name, value in found[0].items():
        assert value.any()
        torch.testing.assert_close(found[1][name], value, rtol=0, atol=1e-12)


@pytest.mark.parametrize("at_once", [2**25, 2500])
def test_information_about_early_areas_is_that_of_single_trials(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions and normalisations of many trials together, in portions or not; statistics stay as they are."""
    own = protocol("class")
    grown = classifier(own, "plastic").grow(12).double()
    for name, statistics in grown.named_buffers():
        if statistics.is_floating_point():
            statistics.add_(0.3 * torch.rand(statistics.shape, generator=torch.Generator().manual_seed(len(name))))
    shown = adapt((torch.from_numpy(own.stimuli.train.copy()).double() / 255)[:7], own.stimuli.light)  # type: ignore[arg-type]
    judgement = Judgement(grown).eval()
    values = {name: value.detach().clone() for name, value in judgement.state_dict().items()}
    covered = [f"brain.{name}" for name, p in grown.named_parameters() if p.requires_grad]
    answers = torch.tensor([True, True, False, True, False, False])
    single = fisher._of_any(judgement, values, covered, shown, answers)
    monkeypatch.setattr(fisher, "FLOATS_AT_ONCE", at_once)

    def never(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("trial after trial")

    monkeypatch.setattr(fisher, "_of_any", never)
    found = information_of(judgement, values, covered, shown, answers)
    kinds = {name.split(".")[-2] for name in covered}
    assert {"synapses", "normalisation", "association_1", "readout"} <= kinds
    for name in covered:
        assert found[name].shape == values[name].shape
        torch.testing.assert_close(found[name], single[name] / 7, rtol=1e-10, atol=1e-16)
    assert all(torch.equal(value, values[name]) for name, value in judgement.state_dict().items())


def test_nothing_is_kept_where_replay_enters_below() -> None:
    """Activity of a higher area cannot be mixed with what is re-created below it."""
    own = protocol("class")
    for reentry, kept in (("early_3", False), ("retina", False), ("early_5", True), ("association_1", True)):
        plan = brain(own, "frozen", reentry)
        condition = Condition(plan, own, LEARNING)
        assert preparation.kept_activity(condition, progress=False) is None, "naive early areas differ between animals"
        alike = dataclasses.replace(plan, cortex=Alike(plan))
        found = preparation.kept_activity(dataclasses.replace(condition, brain=alike), progress=False)
        assert (found is not None) == kept, reentry
        assert found is None or (found.area, found.train.shape) == ("early_5", (48, 6))


class Alike:
    """A plan whose cortices share their early areas."""

    def __init__(self, plan: rs.BrainPlan) -> None:
        self.plan = plan

    def build(self) -> Any:
        grown = self.plan.cortex.build()
        grown.alike = True  # type: ignore[attr-defined]
        return grown


@pytest.mark.parametrize("name", ["brain-inspired", "pair", "exact"])
def test_naive_frozen_areas_stand_still(name: str) -> None:
    """Also where they differ between animals, and nothing is kept."""
    scenario, make, given, mechanisms = FROZEN[name]
    own = protocol(scenario)
    plan = make(own, **given)
    result = simulate({"protocol": own, "brain": plan, **mechanisms}, (12, 13))
    for animal in (12, 13):
        naive, lived = plan.grow(animal).state_dict(), state(result, animal)
        early = [key for key in lived if key.startswith("cortex.early.")]
        assert len(early) > 20
        for key in early:
            assert lived[key].tobytes() == naive[key].numpy().tobytes(), key
    assert not np.array_equal(state(result, 12)[early[0]], state(result, 13)[early[0]])


def test_rounds_know_what_is_replayed() -> None:
    """A round of the task scenario names the batches that meet a normalising part separately."""
    own = protocol("task")
    found: list[ReplayRound] = [plan_round(own, 2, 5, cued=cued) for cued in (True, False)]
    assert [plan.groups for plan in found] == [(3, 3), (5,)]
    assert [plan.events for plan in found] == [6, 5]
