"""Every arm of every protocol: its numbers against tables typed from the paper's code, its brain, its slips."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import replaysim as rs
from replaysim import arms, permuted, presets, protocol
from replaysim.arms import Preset
from replaysim.brain import BrainPlan
from replaysim.consolidation import SynapticIntelligence
from replaysim.cortex import DensePlan
from replaysim.elastic import ElasticWeightConsolidation, OnlineElasticWeightConsolidation
from replaysim.errors import SettingError
from replaysim.hippocampus import HippocampusPlan, StandAlonePlan
from replaysim.log import settings_of
from replaysim.preparation import prepare
from replaysim.retina import LIGHT
from replaysim.stimuli import StimulusSet
from replaysim.visual_cortex import VisualPlan

CLASSIFIERS = ("nothing", "joint", "ewc", "si", "lwf")
# strengths of EWC and SI, and the share of closed gates of brain-inspired replay
NUMBERS = {
    "split_mnist/task": (1e9, 10, 0.8),
    "split_mnist/domain": (1e5, 0.1, 0.8),
    "split_mnist/class": (1e5, 0.1, 0.8),
    "permuted_mnist/domain": (1, 10, 0.8),
    "split_cifar100/task": (1000, 100, 0),
    "split_cifar100/domain": (1, 1, 0.7),
    "split_cifar100/class": (1, 1, 0.7),
}
# share of closed gates in lesions; None: gates are off
LESIONS = {
    "split_cifar100/class": {
        "without_feedback": 0.7,
        "without_modes": 0.6,
        "without_gating": None,
        "without_internal": 0.9,
        "without_distillation": 0.8,
        "only_feedback": None,
        "only_modes": None,
        "only_gating": 0.7,
        "only_internal": None,
        "only_distillation": None,
    },
    "split_cifar100/task": {
        "without_feedback": 0.3,
        "without_modes": None,
        "without_gating": None,
        "without_internal": 0.8,
        "without_distillation": None,
        "only_feedback": None,
        "only_modes": None,
        "only_gating": 0.1,
        "only_internal": None,
        "only_distillation": None,
    },
    "permuted_mnist/domain": {
        "without_feedback": 0.8,
        "without_modes": None,
        "without_gating": None,
        "without_distillation": 0.6,
        "only_feedback": None,
        "only_modes": None,
        "only_gating": 0.2,
        "only_distillation": None,
    },
}
EXTRA = {
    "split_mnist/task": {"xdg", "lwf_unscaled", "brain_inspired_faithful"},
    "split_mnist/domain": {"lwf_unscaled"},
    "split_mnist/class": {"lwf_unscaled"},
    "permuted_mnist/domain": {
        "online_ewc",
        "brain_inspired_si",
        "brain_inspired_faithful",
        "brain_inspired_si_faithful",
        "without_feedback_faithful",
        "without_distillation_faithful",
        "only_gating_faithful",
        "last_context",
    },
    "split_cifar100/task": {
        "xdg",
        "xdg_frozen",
        "lwf_unscaled_frozen",
        "gr_1024_frozen",
        "gr_retina_frozen",
        "brain_inspired_1024",
        "brain_inspired_unscaled_1024",
        "without_feedback_faithful",
        "without_internal_faithful",
        "only_gating_faithful",
        "last_context",
    },
    "split_cifar100/domain": {
        "lwf_unscaled_frozen",
        "gr_1024_frozen",
        "gr_retina_frozen",
        "brain_inspired_1024",
        "brain_inspired_unscaled_1024",
    },
    "split_cifar100/class": {
        "lwf_unscaled_frozen",
        "gr_1024_frozen",
        "gr_retina_frozen",
        "brain_inspired_si",
        "brain_inspired_1024",
        "brain_inspired_unscaled_1024",
        "brain_inspired_si_1024",
        "last_context",
    },
}
# steps, batch, rate
LEARNING = {
    "split_mnist": (2000, 128, 1e-3),
    "permuted_mnist": (2000, 256, 1e-4),
    "split_cifar100": (5000, 256, 1e-4),
}


def stand_in(name: str) -> StimulusSet:
    """Two stimuli a class of the right size: no data set is needed."""
    classes, shape = (100, (3, 32, 32)) if name == "cifar100" else (10, (28, 28))
    label = np.arange(classes).repeat(2)
    images = np.random.default_rng(0).integers(0, 256, (len(label), *shape), dtype=np.uint8)
    names = tuple(map(str, range(classes)))
    return StimulusSet(name, images, label, images, label, names, 255.0, LIGHT.get(name))


@pytest.fixture(autouse=True)
def no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = {name: stand_in(name) for name in ("mnist", "cifar100")}
    for module in (protocol, permuted):
        monkeypatch.setattr(module, "load", loaded.__getitem__)


def brain(name: str | Preset) -> BrainPlan:
    """The plan of an arm's brain, as in the paper."""
    one = name if isinstance(name, Preset) else presets.get(name)
    return one.brain(one.protocol())


def closed(plan: BrainPlan) -> float | None:
    return None if plan.gating is None else plan.gating.closed


def test_every_arm_is_there() -> None:
    for group, extra in EXTRA.items():
        wanted = {*CLASSIFIERS, "gr", "brain_inspired", *LESIONS.get(group, {}), *extra}
        if group.startswith("split_cifar100"):
            wanted |= {f"{arm}_frozen" for arm in (*CLASSIFIERS, "gr", "exact_replay")}
        found = {name.removeprefix(f"{group}/") for name in presets.names(f"{group}/")}
        assert found == wanted, group
    assert len(presets.names()) == 135


@pytest.mark.parametrize("name", presets.names())
def test_every_arm_can_be_simulated(name: str) -> None:
    """All settings fit together, with the paper's learning, and each says where its numbers come from."""
    one = presets.get(name)
    met, plan, learning = presets.plan(one, quick=True)
    prepare(plan, met, learning, one.mechanisms.get("replay"), one.mechanisms.get("consolidation"),
            one.mechanisms.get("experience", "sequential"), (), "cpu", "float32")  # fmt: skip
    assert one.name == name and one.source and one.about in presets.describe(name)
    assert (one.learning.steps, one.learning.batch, one.learning.rate) == LEARNING[name.split("/")[0]]
    assert met.scenario == name.split("/")[1]
    short = presets.QUICK_SEEING if one.sees_photographs else presets.QUICK
    assert (learning.steps, learning.batch) == (short.steps, short.batch) and presets.plan(one, quick=True, steps=3)[
        2
    ].steps == 3


def test_quick_runs_meet_few_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "QUICK_PHOTOGRAPHS", (1, 2))
    one = presets.get("split_cifar100/class/nothing")
    some, whole = (presets.plan(one, quick=quick)[0].stimuli for quick in (True, False))
    for label, every, each in ((some.train_label, whole.train_label, 1), (some.test_label, whole.test_label, 2)):
        assert set(np.bincount(label)) == {min(each, len(every) // 100)}


@pytest.mark.parametrize("group", NUMBERS)
def test_strengths_and_gates(group: str) -> None:
    ewc, si, gates = NUMBERS[group]
    for suffix in ("", "_frozen") if group.startswith("split_cifar100") else ("",):
        rule = presets.get(f"{group}/ewc{suffix}").mechanisms["consolidation"]
        assert rule == ElasticWeightConsolidation(ewc, trials=1000)
        assert presets.get(f"{group}/si{suffix}").mechanisms["consolidation"] == SynapticIntelligence(si, epsilon=0.1)
        assert presets.get(f"{group}/nothing{suffix}").mechanisms == {}
        assert presets.get(f"{group}/joint{suffix}").mechanisms == {"experience": "joint"}
        assert presets.get(f"{group}/lwf{suffix}").mechanisms == {"replay": rs.CurrentInputReplay(temperature=2.0)}
    plan = brain(f"{group}/brain_inspired")
    assert closed(plan) == (gates or None)
    assert presets.get(f"{group}/brain_inspired").mechanisms == {"replay": rs.GenerativeReplay("soft", 2.0)}
    assert plan.modes is not None and plan.hippocampus == HippocampusPlan(100)
    if plan.gating is not None:
        assert plan.gating.by == ("context" if group.startswith("permuted") else "class")


def test_special_arms() -> None:
    online = presets.get("permuted_mnist/domain/online_ewc").mechanisms["consolidation"]
    assert online == OnlineElasticWeightConsolidation(1.0, gamma=1.0, trials=1000)
    for name, share in (
        ("split_mnist/task/xdg", 0.9),
        ("split_cifar100/task/xdg", 0.7),
        ("split_cifar100/task/xdg_frozen", 0.7),
    ):
        plan = brain(name)
        assert plan.context_gating == rs.ContextGating(share) and plan.hippocampus is None
        if isinstance(plan.cortex, VisualPlan):
            assert plan.cortex.early == ("frozen" if name.endswith("_frozen") else "plastic")
    for scenario in ("task", "domain", "class"):
        for name, plain in (("split_mnist", "lwf"), ("split_cifar100", "lwf_frozen")):
            unscaled = presets.get(f"{name}/{scenario}/{plain.replace('lwf', 'lwf_unscaled')}")
            assert brain(unscaled) == brain(f"{name}/{scenario}/{plain}") and "Li & Hoiem (2017)" in unscaled.source
            assert unscaled.mechanisms == {"replay": rs.CurrentInputReplay(temperature=2.0, distillation_weight=1.0)}
        stored = presets.get(f"split_cifar100/{scenario}/exact_replay_frozen")
        assert stored.mechanisms == {"replay": rs.ExactReplay(100, "hard")} and "2022" in stored.source
        plan = brain(stored)
        assert plan.hippocampus is None and isinstance(plan.cortex, VisualPlan) and plan.cortex.early == "frozen"
    for name, share, c in (
        ("permuted_mnist/domain/brain_inspired_si", 0.8, 1.0),
        ("split_cifar100/class/brain_inspired_si", 0.6, 1e8),
        ("split_cifar100/class/brain_inspired_si_1024", 0.6, 1e8),
    ):
        assert closed(brain(name)) == share
        assert presets.get(name).mechanisms["consolidation"] == SynapticIntelligence(c)
        assert presets.get(name).mechanisms["replay"].targets == "soft"
    divisors = {arm: brain(f"split_cifar100/class/{arm}").divergence_divisor for arm in ("brain_inspired", "gr_frozen")}
    assert divisors == {"brain_inspired": 3072, "gr_frozen": 3072}
    for scenario in ("task", "domain", "class"):
        own, later = (brain(f"split_cifar100/{scenario}/{arm}") for arm in ("gr_frozen", "gr_1024_frozen"))
        assert later == replace(own, divergence_divisor=1024)
        assert "2022" in presets.get(f"split_cifar100/{scenario}/gr_1024_frozen").source
        seen, plastic = (brain(f"split_cifar100/{scenario}/{arm}") for arm in ("gr_retina_frozen", "gr"))
        assert seen.cortex == replace(plastic.cortex, early="frozen") and seen.cortex.reentry == "retina"
        assert replace(seen, cortex=plastic.cortex, hippocampus=plastic.hippocampus) == plastic
    for scenario, share in (("task", None), ("domain", 0.7), ("class", 0.7)):
        whole, later = (brain(f"split_cifar100/{scenario}/brain_inspired{end}") for end in ("", "_1024"))
        assert later == replace(whole, divergence_divisor=1024) and closed(later) == share
        unscaled = presets.get(f"split_cifar100/{scenario}/brain_inspired_unscaled_1024")
        assert brain(unscaled) == later
        assert unscaled.mechanisms == {"replay": rs.GenerativeReplay("soft", 2.0, distillation_weight=1.0)}
        assert "2022" in presets.get(f"split_cifar100/{scenario}/brain_inspired_1024").source
    assert brain("permuted_mnist/domain/brain_inspired").divergence_divisor == 1024
    assert brain("split_mnist/class/gr").divergence_divisor == 784


def test_sizes() -> None:
    for name, units, inputs in (
        ("split_mnist/class/nothing", (400, 400), 784),
        ("split_mnist/task/gr", (400, 400), 784),
        ("permuted_mnist/domain/brain_inspired", (2000, 2000), 1024),
        ("permuted_mnist/domain/without_feedback", (2000, 2000), 1024),
    ):
        assert brain(name).cortex == DensePlan(inputs, units)
    for arm in ("nothing", "gr", "brain_inspired", "without_feedback"):
        cortex = brain(f"split_cifar100/class/{arm}").cortex
        assert isinstance(cortex, VisualPlan) and cortex.units == (2000, 2000)
    contexts = {group: presets.get(f"{group}/nothing").protocol().n_contexts for group in NUMBERS}
    assert set(contexts.values()) == {5, 10, 100} and contexts["permuted_mnist/domain"] == 100


@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
def test_early_areas_are_plastic_unless_frozen(scenario: str) -> None:
    for arm in (*CLASSIFIERS, "gr"):
        for name, early in ((arm, "plastic"), (f"{arm}_frozen", "frozen")):
            plan = brain(f"split_cifar100/{scenario}/{name}")
            assert isinstance(plan.cortex, VisualPlan) and plan.cortex.early == early
            assert (plan.hippocampus is None) == (arm != "gr")
            assert ("2022" in presets.get(f"split_cifar100/{scenario}/{name}").source) == (early == "frozen")
    reentry = {arm: brain(f"split_cifar100/{scenario}/{arm}").cortex.reentry for arm in ("gr", "gr_frozen")}  # type: ignore[union-attr]
    assert reentry == {"gr": "retina", "gr_frozen": "early_5"}


@pytest.mark.parametrize(("group", "arm"), [(group, arm) for group, arms in LESIONS.items() for arm in arms])
def test_lesions(group: str, arm: str) -> None:
    """What is there, what is missing, and the paper's share of closed gates."""
    one, plan = presets.get(f"{group}/{arm}"), brain(f"{group}/{arm}")
    kind, _, ingredient = arm.partition("_")
    whole = {"feedback", "modes", "gating", "distillation"}
    whole |= {"internal"} if group.startswith("split_cifar100") else set()
    present = {ingredient} if kind == "only" else whole - {ingredient}
    assert isinstance(plan.hippocampus, HippocampusPlan if "feedback" in present else StandAlonePlan)
    assert (plan.modes is not None) == ("modes" in present)
    assert one.mechanisms["replay"].targets == ("soft" if "distillation" in present else "hard")
    assert closed(plan) == LESIONS[group][arm]
    if "gating" not in present:
        assert plan.gating is None
    if group.startswith("split_cifar100"):
        assert isinstance(plan.cortex, VisualPlan)
        assert plan.cortex.reentry == ("early_5" if "internal" in present else "retina")
        assert plan.cortex.early == ("plastic" if kind == "only" and ingredient != "internal" else "frozen")
        if "feedback" not in present:  # a hippocampus of its own, with early areas of its own where it sees images
            areas = plan.hippocampus.areas  # type: ignore[union-attr]
            assert isinstance(areas, DensePlan if "internal" in present else VisualPlan)


def test_slips_are_repeated_only_where_asked_for() -> None:
    for name in presets.names():
        gating = brain(name).gating
        assert (gating is not None and gating.faithful) == name.endswith("_faithful"), name


def test_classic_replay_is_the_lesion_of_everything() -> None:
    for group in LESIONS:
        world, scenario = group.split("/")
        nothing = presets.lesion(world, scenario, only=())
        assert nothing.name == f"{group}/gr" and brain(nothing) == brain(nothing.name)
        assert nothing.mechanisms == presets.get(f"{group}/gr").mechanisms
        intact = presets.lesion(world, scenario, without=())
        assert intact.name == f"{group}/brain_inspired" and brain(intact) == brain(intact.name)
        assert intact.mechanisms == presets.get(intact.name).mechanisms


def test_one_common_share_of_closed_gates() -> None:
    for scenario in ("task", "class"):
        for kind, ingredient in (("without", "modes"), ("without", "internal"), ("only", "gating")):
            one = presets.lesion("split_cifar100", scenario, **{kind: {ingredient}}, closed=0.7)  # type: ignore[arg-type]
            assert closed(brain(one)) == 0.7 and one.name.endswith(f"{kind}_{ingredient}_closed_0.7")
            assert "common" in one.source
    for settings in ({"without": {"gating"}}, {"only": {"modes"}}, {"only": ()}):
        with pytest.raises(SettingError, match=r"lesion.closed: got 0.7, must be left out: .* grows up without gates"):
            presets.lesion("split_cifar100", "class", closed=0.7, **settings)  # type: ignore[arg-type]
    assert closed(brain(presets.lesion("split_cifar100", "class", without={"modes"}, closed=0))) is None


def test_lesions_that_the_paper_does_not_have() -> None:
    two = presets.lesion("split_cifar100", "class", without=("modes", "feedback"))
    assert two.name == "split_cifar100/class/without_feedback_modes" and closed(brain(two)) == 0.7
    assert "not in the paper" in two.source
    both = presets.lesion("permuted_mnist", "domain", only=["gating", "modes"])
    assert closed(brain(both)) == 0.2 and both.name.endswith("only_modes_gating")
    assert closed(brain(presets.lesion("split_mnist", "class", without="feedback"))) == 0.8
    assert closed(brain(presets.lesion("split_cifar100", "domain", without="modes"))) == 0.6


def test_where_the_share_of_closed_gates_comes_from() -> None:
    def source(*where: str, **settings: Any) -> str:
        return presets.lesion(*where, **settings).source.removeprefix(arms.CODE)

    chosen, lent = ": share of closed gates chosen for this lesion", "not in the paper: gates closed as in "
    cifar, permuted = ("split_cifar100", "class"), ("permuted_mnist", "domain")
    for where in (cifar, permuted):
        assert source(*where, without="feedback") == source(*where, only="gating") == chosen
        for settings in ({"without": ()}, {"only": ()}, {"without": "gating"}, {"only": "modes"}):
            assert source(*where, **settings) == "", "the paper has this animal, and its gates are nothing special"
        assert source(*where, only=("modes", "gating")) == f"{lent}classic replay with gates alone"
        assert source(*where, without=("modes", "feedback")) == f"{lent}the whole"
        assert source(*where, only=("modes", "feedback")) == "not in the paper"
    assert source("split_cifar100", "task", without="modes") == "", "no gates there"
    assert source("split_mnist", "class", without="modes") == f"{lent}the whole"
    assert "falls back to the values of the class scenario" in source("split_cifar100", "domain", without="modes")
    assert "common" in source(*cifar, without="modes", closed=0.5)
    for scenario, words in (("class", "strengths as in 2020"), ("domain", "as in the class scenario of 2020")):
        assert presets.get(f"split_cifar100/{scenario}/si_frozen").source.endswith(words)


def test_gains_of_the_way_to_the_retina_begin_as_in_the_library_of_the_time() -> None:
    for name in presets.names("split_cifar100/"):
        plan = brain(name)
        cortex = plan.cortex
        assert isinstance(cortex, VisualPlan)
        to_the_retina = plan.hippocampus is not None and cortex.reentry == "retina"
        assert (plan.descending_gain == "uniform") == to_the_retina, name
    assert brain("split_cifar100/class/gr").descending_gain == "uniform"
    assert brain("split_cifar100/class/without_internal").descending_gain == "uniform"


@pytest.mark.parametrize("group", ["split_cifar100/class", "split_cifar100/task", "permuted_mnist/domain"])
def test_the_floor_is_a_plain_animal_that_learns_the_last_context(group: str) -> None:
    floor, plain = presets.get(f"{group}/last_context"), presets.get(f"{group}/nothing")
    assert brain(floor) == brain(plain) and floor.learning == plain.learning
    assert floor.mechanisms == {"experience": "last"} and plain.mechanisms == {}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"without": ["internal"]}, "lesion.without: got 'internal', must be left out: only photographs"),
        ({"only": ["magic"]}, "lesion.only: got 'magic', must be one of 'feedback', 'modes'"),
        ({}, "lesion.without: got None, must be given, or `only` in its place"),
        ({"without": ["modes"], "only": ["modes"]}, "one of the two"),
        ({"without": ["modes"], "closed": 1.0}, "lesion.closed: got 1.0, must be a number >= 0 and < 1"),
        ({"without": 3}, "lesion.without: got 3, must be a list of ingredients, each one of 'feedback'"),
        ({"only": 0}, "lesion.only: got 0, must be a list of ingredients, each one of 'feedback'"),
        ({"without": [["modes"]]}, "without: got ['modes'], must be one of 'feedback'"),
    ],
)
def test_impossible_lesions(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=re.escape(words)):
        presets.lesion("split_mnist", "class", **settings)
    with pytest.raises(SettingError, match=r"lesion\.scenario: got 'class', must be one of 'domain'"):
        presets.lesion("permuted_mnist", "class", without=())
    for own, got in (("digits", "'digits'"), (rs.SplitMNIST(), "'SplitProtocol'"), (["split_mnist"], "'list'")):
        message = (
            rf"lesion\.protocol: got {got}, must be one of 'split_mnist', .*, the paper's: for others, brain_inspired"
        )
        with pytest.raises(SettingError, match=message):
            presets.lesion(own, "class", only=("modes",))  # type: ignore[arg-type]


def test_unknown_arms_name_their_neighbours() -> None:
    with pytest.raises(SettingError, match=r"'split_mnist/class/nothing'.*replaysim run --list") as caught:
        presets.get("split_mnist/class/nothin")
    assert len(str(caught.value)) < 300, "not all 106"
    with pytest.raises(SettingError, match="must be one of those"):
        presets.get("xyzzy")


def test_early_areas_are_for_photographs(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="left out: split_mnist/class/gr has no early areas"):
        presets.plan(presets.get("split_mnist/class/gr"), developed=tmp_path)
    arm = presets.get("split_cifar100/class/without_feedback")
    with pytest.raises(SettingError, match=r"contexts: got 3, must be left out: split_cifar100.* divides its classes"):
        presets.plan(arm, contexts=3)
    _, plan, learning = presets.plan(arm, developed="naive", steps=100)
    assert isinstance(plan.cortex, VisualPlan) and plan.cortex.developed == "naive" and learning.steps == 100


def test_a_missing_file_of_early_areas_is_found_before_stimuli_are_read() -> None:
    def fetched() -> rs.SplitProtocol:
        raise AssertionError("stimuli are read")

    arm = replace(presets.get("split_cifar100/class/nothing"), protocol=fetched)
    with pytest.raises(SettingError, match=r"presets\.run\.developed: got 'not/there', must be a file that is there"):
        presets.plan(arm, developed="not/there")


def test_run_takes_steps_and_another_chance() -> None:
    runs = {
        chance: presets.run(
            "split_mnist/class/nothing", animals=(12,), quick=True, steps=2, chance=chance, workers=1, progress=False
        )
        for chance in (0, 1)
    }
    losses = {chance: result.log["learning"]["loss"].values for chance, result in runs.items()}
    assert losses[0].shape == losses[1].shape and losses[0].shape[1] == 10
    assert not np.array_equal(losses[0], losses[1])
    order = [result.log["behaviour"]["class_identity"].values for result in runs.values()]
    assert np.array_equal(*order), "another life of the same animal"
    assert runs[0].log.attrs["title"].startswith("split_mnist/class/nothing")


@pytest.mark.filterwarnings("ignore:precision 'bfloat16'")
def test_run_takes_precision_and_threads() -> None:
    how: dict[str, Any] = {"animals": (12,), "quick": True, "steps": 1, "workers": 1, "progress": False}
    log = presets.run("split_mnist/class/nothing", precision="bfloat16", threads=2, **how).log
    computation = settings_of(log.attrs, "log")["computation"]
    assert (computation["precision"], computation["threads"]) == ("bfloat16", 2)


def test_arms_that_the_paper_does_not_show_say_so() -> None:
    shown = {name: "does not show this arm" not in presets.get(name).source for name in presets.names()}
    hidden = {"split_mnist/task/brain_inspired", "split_mnist/class/brain_inspired", "split_cifar100/task/xdg"}
    assert {name for name, there in shown.items() if not there} == hidden
    assert "does not show this arm" in presets.listing("split_mnist/class")


def test_published_numbers_stand_beside_the_arms_that_they_are_of() -> None:
    """Those of 2022 are of frozen early areas and, with generative replay, of the divisor 1024."""
    path = Path(__file__).resolve().parents[2] / "docs/results/published.csv"
    rows = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    assert {row[0] for row in rows} <= set(presets.names())
    later = {row[0]: float(row[3]) for row in rows if row[0].startswith("split_cifar100") and row[5] == "types"}
    assert all(name.endswith(("_frozen", "_1024")) for name in later)
    for name, value in (
        ("task/brain_inspired_1024", 79.14),
        ("domain/brain_inspired_1024", 30.26),
        ("class/gr_1024_frozen", 9.67),
        ("task/gr_1024_frozen", 71.40),
        ("class/gr_retina_frozen", 9.67),
        ("task/gr_retina_frozen", 71.40),
        ("task/xdg_frozen", 69.86),
        ("task/exact_replay_frozen", 76.43),
        ("domain/exact_replay_frozen", 39.00),
        ("class/exact_replay_frozen", 37.57),
    ):
        assert later[f"split_cifar100/{name}"] == value


@pytest.mark.parametrize("name", ["digits", "split-mnist"])
def test_matched_brains_of_a_scenario_that_there_is_not(name: str) -> None:
    with pytest.raises(
        SettingError, match=r"presets.matched.scenario: got 'zz', must be one of 'task', 'domain', 'class'"
    ):
        presets.matched(name, "zz")
