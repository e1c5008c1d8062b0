"""Replay that enters at any area: what it teaches, what it leaves alone, what it looks like, and how it ages."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import seeing
import small
import torch
from torch import Tensor

import replaysim as rs
from replaysim import objectives
from replaysim.brain import Brain
from replaysim.cohort import Cohort
from replaysim.drift import Drift, similarity
from replaysim.errors import SettingError
from replaysim.events import Events, plan_round
from replaysim.learning import Trials
from replaysim.preparation import prepare
from replaysim.replay import CurrentInputReplay, ExactReplay, GenerativeReplay
from replaysim.standing import plastic_reentry

IGNORED = pytest.mark.filterwarnings("ignore:replay enters at")
DENSE = ("retina", "association_1", "association_2", "association_3")
VISUAL = ("retina", "early_1", "early_2", "early_3", "early_4", "early_5", "association_1", "association_2")
WITHOUT = ("modes", "gating")


def dense(reentry: str, *, stand_alone: bool = False, without: tuple[str, ...] = WITHOUT) -> rs.BrainPlan:
    """Three association areas; where re-entry is at the highest, a stand-alone hippocampus needs units of its own."""
    given: dict[str, Any] = {"without": (*without, "feedback") if stand_alone else without}
    if stand_alone and reentry == "association_3":
        given["hippocampal_units"] = (6,)
    return small.brain(small.protocol(), units=(9, 8, 7), reentry=reentry, reconstruction="gaussian", **given)


def visual(reentry: str, *, stand_alone: bool = False, early: str = "plastic") -> rs.BrainPlan:
    return seeing.brain(seeing.protocol(), early, reentry, stand_alone=stand_alone, without=WITHOUT)


PLANS = [(dense, area) for area in DENSE] + [(visual, area) for area in VISUAL]
IDS = [f"{make.__name__}-{area}" for make, area in PLANS]


def experience(own: Brain, seed: int = 0) -> tuple[Trials, Events, Tensor]:
    """Six current trials, five events at the re-entry area and noise, for one animal."""
    chance = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=chance)

    early = getattr(own.cortex, "early", None)
    shape = (16,) if early is None else early.shapes["retina"]
    target, nothing = torch.randint(2, 4, (1, 6), generator=chance), torch.zeros(1, 5, dtype=torch.int64)
    met, logits = normal(1, 5, own.cortex.sizes[own.cortex.reentry]), normal(1, 5, 6)
    if own.cortex.nonlinearities[own.cortex.reentry] == "relu":
        met = met.relu()
    soft = objectives.belief(logits, torch.arange(6) < 2, 2.0)
    events = Events(met[..., :0], met, nothing, logits, soft, soft.argmax(-1), nothing - 1)
    return Trials(normal(1, 6, *shape), target, 0 * target, 0 * target + 1), events, normal(1, 11, 4)


def learn(plan: rs.BrainPlan, share: float) -> Cohort:
    """One step of one animal; ``share`` is the weight of current experience."""
    grown = plan.grow(12).double()
    cohort = Cohort([grown], rate=1e-3, replay=GenerativeReplay("soft"), dtype=torch.float64)
    trials, events, noise = experience(grown)
    noise = noise if grown.hippocampus is None else noise.repeat(1, 1, 2)[..., : grown.hippocampus.code_units]
    rounds = plan_round(small.protocol(), 1, 5, cued=False)
    cohort.learn(trials, torch.arange(6)[None] < 4, noise, events, rounds, share)
    return cohort


def gradients(cohort: Cohort) -> dict[str, Tensor | None]:
    return {name: value.grad for name, value in cohort.synapses.items() if value.requires_grad}


def area_of(name: str) -> str:
    """Area of a parameter of the cortex."""
    return next(part for part in name.split(".") if part.startswith(("early_", "association_")))


# --- what replay teaches


@pytest.mark.parametrize("stand_alone", [False, True], ids=["integrated", "stand-alone"])
@pytest.mark.parametrize(("make", "area"), PLANS, ids=IDS)
def test_areas_below_re_entry_learn_nothing_from_replay(
    make: Callable[..., rs.BrainPlan], area: str, stand_alone: bool
) -> None:
    """Where current experience has no weight, the gradient stops exactly at the re-entry area."""
    plan = make(area, stand_alone=stand_alone)
    cohort = learn(plan, share=0.0)
    areas = cohort.template.cortex.areas
    taught = {"cortex": 0, "below": 0}
    for name, gradient in gradients(cohort).items():
        if not name.startswith("cortex."):
            assert gradient is not None and (gradient.any() or name.endswith("synapses.bias")), name
        elif areas.index(area_of(name)) <= areas.index(area):
            assert gradient is None or not gradient.any(), name
            taught["below"] += 1
        else:
            # a bias before a normalisation, which takes it away again, may have none
            assert gradient is not None and (gradient.any() or name.endswith("synapses.bias")), name
            taught["cortex"] += 1
    assert (taught["cortex"] >= 2) == (area != areas[-1]) and (taught["below"] > 0) == (area != "retina")
    for name, gradient in gradients(learn(plan, share=1.0)).items():
        if name.startswith("cortex."):
            taught_now = gradient is not None and (gradient.any() or name.endswith("synapses.bias"))
            assert taught_now, f"current experience teaches {name}"


@pytest.mark.parametrize(("make", "area"), PLANS, ids=IDS)
def test_what_replay_teaches_the_areas_above(make: Callable[..., rs.BrainPlan], area: str) -> None:
    """The gradient is that of an ordinary brain that climbs from the re-entry area."""
    plan = make(area)
    cohort = learn(plan, share=0.0)
    grown = plan.grow(12).double().train()
    _trials, events, noise = experience(grown)
    assert grown.feedback is not None
    code_units = grown.hippocampus.code_units  # type: ignore[union-attr]
    eps = noise.repeat(1, 1, 2)[0, 6:, :code_units]
    evoked = grown.climb(events.activity[0], area)
    code = grown.encode(evoked[grown.top])
    drive = grown.feedback(code.sample(eps))
    judged = objectives.distillation(
        grown.readout(evoked[grown.top]), events.soft_target[0], torch.arange(6) < 4, 2.0
    ).mean()
    recreated = objectives.reconstruction_gaussian(grown.feedback.activity(drive), events.activity[0]).mean()
    diverged = objectives.code_divergence(code.mean, code.log_variance).mean() / plan.divergence_divisor
    (judged + recreated + diverged).backward()
    for name, parameter in grown.named_parameters():
        found = cohort.synapses[name].grad
        wanted = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        np.testing.assert_allclose(0 if found is None else found[0], wanted, rtol=0, atol=1e-11, err_msg=name)


@pytest.mark.parametrize(("make", "area"), [(dense, "association_2"), (visual, "early_3")], ids=["dense", "visual"])
def test_the_cortex_does_not_shrink_its_activity_to_please_the_loss(
    make: Callable[..., rs.BrainPlan], area: str
) -> None:
    """What is to be re-created counts as given: the gradient equals that with a constant, and not that without."""
    plan = make(area)
    grown = plan.grow(12).double()
    cohort = Cohort([grown], rate=1e-3, dtype=torch.float64)
    trials, _events, noise = experience(grown)
    answers, eps = torch.arange(6)[None] < 4, noise.repeat(1, 1, 2)[:, :6, : grown.hippocampus.code_units]  # type: ignore[union-attr]
    cohort.learn(trials, answers, eps)
    found = gradients(cohort)

    def wanted(fixed: bool) -> dict[str, Tensor]:
        own = plan.grow(12).double().train()
        evoked = own.perceive(trials.stimulus[0])
        code = own.encode(evoked[own.top])
        constant = torch.from_numpy(evoked[area].detach().numpy().copy())
        original = constant if fixed else evoked[area]
        drive = own.feedback(code.sample(eps[0]))  # type: ignore[misc]
        loss = objectives.reconstruction_gaussian(own.feedback.activity(drive), original).mean()  # type: ignore[union-attr]
        loss = loss + objectives.code_divergence(code.mean, code.log_variance).mean() / plan.divergence_divisor
        loss = loss + objectives.classification(own.readout(evoked[own.top]), trials.target[0], answers).mean()
        loss.backward()
        return {name: p.grad for name, p in own.named_parameters() if p.grad is not None}

    for name, value in wanted(fixed=True).items():
        gradient = found[name]
        assert gradient is not None
        np.testing.assert_allclose(gradient[0], value, rtol=0, atol=1e-11, err_msg=name)
    pleasing = wanted(fixed=False)
    below = [n for n in pleasing if n.startswith("cortex.") and "normalisation" not in n and "bias" not in n]
    onto = [n for n in below if area_of(n) == area]
    assert onto and all(not np.allclose(found[n][0], pleasing[n], atol=1e-8) for n in onto)  # type: ignore[index]


# --- what re-created activity looks like


@pytest.mark.parametrize(("make", "area"), PLANS, ids=IDS)
def test_recreated_activity_is_of_the_kind_the_area_has(make: Callable[..., rs.BrainPlan], area: str) -> None:
    for stand_alone in (False, True):
        grown = make(area, stand_alone=stand_alone).grow(12).eval()
        recalled = grown.recall(events=60)
        assert recalled.shape == (60, grown.cortex.sizes[area])
        assert recalled.std() > 0 and (recalled.max() > 0 or area == "retina")
        rectified = area not in ("retina", "early_5")
        assert (recalled.min() < 0) != rectified, "an area that cannot be negative is not re-created so"
        assert not rectified or (recalled == 0).any()
        assert tuple(grown.re_experience(recalled)) == grown.cortex.areas[grown.cortex.areas.index(area) :]


def test_intensities_are_recreated_between_0_and_1() -> None:
    recalled = small.brain(small.protocol()).grow(12).recall(events=50)
    assert recalled.min() > 0 and recalled.max() < 1


@IGNORED
@pytest.mark.parametrize(
    ("make", "area"), [*PLANS[:3], (visual, "early_1"), (visual, "early_4"), (visual, "association_1")]
)
def test_replay_at_any_area_lives_and_is_recorded(make: Callable[..., rs.BrainPlan], area: str) -> None:
    plan = make(area)
    own = small.protocol() if make is dense else seeing.protocol()
    learning = rs.Learning(3, 6, 1e-3)
    record = [rs.ReplayActivity(events=4), rs.HippocampalCodes(stimuli=12)]
    result = small.simulate(protocol=own, brain=plan, replay=GenerativeReplay(), learning=learning, record=record)
    replayed = result.log["replay"]
    assert replayed.attrs["area"] == area
    assert replayed["activity"].shape == (1, 2, 4, plan.grow(0).cortex.sizes[area])
    assert bool(np.isfinite(result.log["learning/loss"]).all())


# --- the warning


def warned(plan: rs.BrainPlan, own: rs.SplitProtocol, replay: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        prepare(plan, own, small.LEARNING, replay, None, "sequential", (), "cpu", "float32")
    return [str(w.message) for w in caught]


def test_gains_of_descending_areas_begin_as_the_plan_says() -> None:
    own = seeing.protocol()
    drawn = {}
    for gain in ("ones", "uniform"):
        plan = dataclasses.replace(seeing.pair(own), descending_gain=gain)
        grown = plan.grow(12)
        drawn[gain] = [v for n, v in grown.feedback.named_parameters() if n.endswith("normalisation.weight")]  # type: ignore[union-attr]
        again = plan.grow(12).state_dict()
        assert all(torch.equal(value, again[name]) for name, value in grown.state_dict().items())
    assert len(drawn["ones"]) == 4 and all((v == 1).all() for v in drawn["ones"])
    assert all(((v >= 0) & (v < 1)).all() and len(set(v.tolist())) > 1 for v in drawn["uniform"])
    for make in (small.protocol, seeing.protocol):  # nothing normalises on the way to a dense retina, or to early_5
        with pytest.raises(SettingError, match=r"descending_gain: got 'uniform', must be 'ones': on the way down to"):
            rs.brain_inspired(make(), descending_gain="uniform")
    with pytest.raises(SettingError, match="on the way down to early_4"):  # one linear step
        rs.brain_inspired(own, reentry="early_4", descending_gain="uniform")
    assert rs.brain_inspired(own, reentry="early_3", descending_gain="uniform").descending_gain == "uniform"
    with pytest.raises(SettingError, match=r"descending_gain: got 'big', must be one of 'ones', 'uniform'"):
        rs.generative_pair(own, descending_gain="big")


def test_a_stand_alone_hippocampus_must_fit_the_area_that_it_reads() -> None:
    own = seeing.protocol()
    plan = seeing.pair(own, "frozen", "early_5")
    plan.grow(0)
    wider = dataclasses.replace(plan, cortex=seeing.cortex(reentry="early_5", channels=(2, 3, 4, 5, 7)))
    with pytest.raises(SettingError, match=r"StandAlonePlan.areas: got 'areas with a retina of 6 .* retina of 7 units"):
        rs.simulate(wider, own, animals=(12,), learning=seeing.LEARNING, replay=GenerativeReplay("hard"))


@pytest.mark.parametrize(
    ("make", "area", "early", "plastic"),
    [
        *[(dense, area, None, area != "retina") for area in DENSE],
        *[(visual, area, "plastic", area != "retina") for area in VISUAL],
        *[(visual, area, "frozen", area.startswith("association")) for area in VISUAL],
    ],
)
def test_a_warning_where_the_re_entry_area_goes_on_learning(
    make: Callable[..., rs.BrainPlan], area: str, early: str | None, plastic: bool
) -> None:
    own = small.protocol() if early is None else seeing.protocol()
    plan = make(area) if early is None else make(area, early=early)
    assert plastic_reentry(plan.grow(0)) == plastic
    messages = warned(plan, own, GenerativeReplay())
    assert len(messages) == int(plastic)
    if plastic:
        assert f"replay enters at {area}, onto which synapses go on learning" in messages[0]
        assert "areas below get no gradient from replay" in messages[0] and "/reentry in the log" in messages[0]
    assert not warned(plan, own, ExactReplay(3)), "stimuli enter from below, and are not re-created"
    assert not warned(plan, own, CurrentInputReplay()) and not warned(plan, own, None)


def test_the_user_sees_where_the_warning_comes_from() -> None:
    with pytest.warns(UserWarning, match="replay enters at association_1") as caught:
        rs.simulate(
            dense("association_1"),
            small.protocol(),
            animals=[12],
            learning=rs.Learning(1, 4),
            replay=GenerativeReplay(),
            workers=1,
            progress=False,
        )
    assert [w.filename for w in caught] == [__file__]


# --- the drift in the log


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Mean over stimuli of the correlation over units, as a textbook has it."""
    found = [np.corrcoef(a, b)[0, 1] for a, b in zip(one, other, strict=True) if a.std() > 0 and b.std() > 0]
    return float(np.mean(found))


@IGNORED
@pytest.mark.parametrize(("make", "area"), [(dense, "association_2"), (visual, "early_3")], ids=["dense", "visual"])
def test_drift_is_logged_as_it_is(make: Callable[..., rs.BrainPlan], area: str) -> None:
    own = small.protocol() if make is dense else seeing.protocol()
    learning = rs.Learning(5, 6, 1e-2)
    settings: dict[str, Any] = {"learning": learning, "replay": GenerativeReplay()}
    record = [rs.CorticalActivity(area, stimuli=200)]
    result = small.simulate(animals=(12, 13), protocol=own, brain=make(area), record=record, **settings)
    logged = result.log["reentry"]
    assert logged.attrs["area"] == area
    assert logged["contexts_learned"].values.tolist() == [0, 1, 2, 3]
    for animal in (12, 13):
        seen = result.log[f"cortex/{area}/activity"].sel(animal=animal).values.astype(np.float64)
        nothing = np.nan
        last = [nothing, *[correlation(seen[c - 1], seen[c]) for c in (1, 2, 3)]]
        first = [nothing, nothing, *[correlation(seen[1], seen[c]) for c in (2, 3)]]
        power = (seen**2).mean((1, 2))
        for name, wanted in (
            ("similarity_to_last", last),
            ("similarity_to_first", first),
            ("mean_square_activity", power),
        ):
            np.testing.assert_allclose(logged[name].sel(animal=animal), wanted, rtol=1e-4, atol=1e-5, err_msg=name)
        assert logged["similarity_to_last"].sel(animal=animal).values[1:].max() < 0.9999, "the area learns"


@IGNORED
def test_drift_is_logged_only_where_there_is_any() -> None:
    own = small.protocol()
    learning = rs.Learning(2, 6, 1e-3)

    def groups(plan: rs.BrainPlan, protocol: rs.SplitProtocol = own, **settings: Any) -> set[str]:
        result = small.simulate(protocol=protocol, brain=plan, learning=learning, **settings)
        return set(result.log.children)

    recall: dict[str, Any] = {"replay": GenerativeReplay()}
    assert "reentry" in groups(dense("association_1"), **recall)
    assert "reentry" not in groups(dense("retina"), **recall)
    assert "reentry" not in groups(dense("association_1")), "nothing is replayed"
    assert "reentry" not in groups(dense("association_1"), replay=ExactReplay(3)), "nothing is re-created"
    frozen = visual("early_3", early="frozen")
    assert "reentry" not in groups(frozen, seeing.protocol(), **recall)


def test_similarity_of_activity() -> None:
    chance = np.random.default_rng(0)
    one = chance.normal(size=(2, 4, 7)).astype(np.float32)
    np.testing.assert_allclose(similarity(one, 3 * one + 1), 1, atol=1e-6)
    np.testing.assert_allclose(similarity(one, -one), -1, atol=1e-6)
    other = chance.normal(size=(2, 4, 7))
    silent = other.copy()
    silent[0, 2], silent[1] = 0.5, 0.0  # the same activity in all units says nothing
    wanted = correlation(one[0][[0, 1, 3]].astype(float), other[0][[0, 1, 3]])
    found = similarity(one, silent)
    assert found[0] == pytest.approx(wanted, abs=1e-6) and np.isnan(found[1])


def test_an_area_that_falls_silent_is_logged_without_a_word() -> None:
    drift = Drift()
    active = np.random.default_rng(1).random((1, 3, 4))
    for seen in (active, active, 0 * active, 0 * active):
        drift.add(seen)
    table = drift.table((12,), "association_1")
    assert table["similarity_to_last"].values[0, 1] == pytest.approx(1)
    assert np.isnan(table["similarity_to_last"].values[0, [0, 2, 3]]).all()
    assert table["mean_square_activity"].values[0, 2:].tolist() == [0, 0]


def test_plans_with_an_area_that_does_not_exist() -> None:
    for make, wanted in ((dense, "'retina', 'association_1', 'association_2'"), (visual, "'retina', 'early_1'")):
        with pytest.raises(rs.ReplaysimError, match=f"reentry: got 'v4', must be one of {wanted}"):
            make("v4")
    with pytest.raises(rs.ReplaysimError, match="reentry: got 'association_3'"):
        dataclasses.replace(seeing.cortex(), reentry="association_3")


def test_re_entry_at_the_highest_area() -> None:
    """Replay keeps the readout of what the cortex no longer evokes: nothing lies between code and area."""
    with pytest.raises(rs.SettingError, match=r"closed: got 0.5, must be 0 .* no layer of feedback lies between"):
        small.brain(small.protocol(), units=(9, 8), reentry="association_2", closed=0.5).grow(12)
    with pytest.raises(rs.SettingError, match=r"hippocampal_units: got None, must be given: above association_2"):
        small.brain(small.protocol(), units=(9, 8), reentry="association_2", without=("feedback",), closed=0)
    plan = small.brain(small.protocol(), units=(9, 8), reentry="association_2", closed=0)
    with pytest.warns(UserWarning, match=r"replay enters at association_2"):
        record = [rs.ReplayActivity(events=5)]
        result = small.simulate(brain=plan, protocol=small.protocol(), replay=GenerativeReplay(), record=record)
    assert np.isfinite(result.log["learning/loss"].sel(component="total")).all()
    assert result.log["reentry"].attrs["area"] == "association_2"
    assert result.log["replay/activity"].sizes["unit"] == 8
