"""Settings that were ignored, replaced by defaults, or answered by a traceback are answered by a sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import seeing
import torch
from small import brain, protocol, simulate, stimuli
from torch import nn

import replaysim as rs
from replaysim import presets
from replaysim.brain import Brain
from replaysim.crew import Crew
from replaysim.embedding import memories
from replaysim.errors import ReplaysimError, SettingError
from replaysim.preparation import check_device, prepare
from replaysim.recipes import Recipe
from replaysim.stimuli import from_arrays
from replaysim.visual_cortex import VisualPlan

IMAGES, LABELS = stimuli()
MAKERS = (rs.brain_inspired, rs.generative_pair, rs.classifier)


class Own(rs.AbstractCortex):
    """A user's own cortex."""

    def __init__(self, units: int = 12) -> None:
        super().__init__()
        self.areas, self.sizes, self.reentry = ("retina", "v1"), {"retina": 16, "v1": units}, "retina"
        self.v1 = nn.Linear(16, units)

    def forward(self, activity: torch.Tensor, start: str = "retina", stop: str | None = None) -> Any:
        evoked = {start: activity.flatten(1)}
        if start == "retina" and stop != "retina":
            evoked["v1"] = torch.relu(self.v1(evoked["retina"]))
        return evoked


class Needy(Own):
    def __init__(self, units: int) -> None:
        super().__init__(units)


def own(**settings: Any) -> rs.BrainPlan:
    return rs.brain_inspired(protocol(), cortex=Own, **settings)


def set_of() -> Any:
    return from_arrays(IMAGES, LABELS)


IGNORED: list[tuple[str, Callable[[], Any], str]] = [
    (
        "early, dense",
        lambda: brain(protocol(), early="thawed"),
        r"early: got 'thawed', must be left out: a dense cortex",
    ),
    (
        "developed, dense",
        lambda: brain(protocol(), developed="nofile"),
        r"developed: got 'nofile', must be left out: a",
    ),
    ("early, own", lambda: own(early="frozen"), r"early: got 'frozen', must be left out with a cortex of your own"),
    ("developed, own", lambda: own(developed="nofile"), r"developed: got 'nofile', must be left out with a cortex of"),
    ("units, own", lambda: own(units=(3,)), r"units: got \(3,\), must be left out with a cortex of your own"),
    ("reentry, own", lambda: own(reentry="v1"), r"reentry: got 'v1', must be left out with a cortex of your own"),
    (
        "internal, own",
        lambda: own(without=("internal",)),
        r"'internal', must be left out with a cortex of your own: its",
    ),
    (
        "early, classifier",
        lambda: rs.classifier(protocol(), early="frozen"),
        r"classifier.early: got 'frozen', must be left out: a dense cortex",
    ),
    (
        "gates_by",
        lambda: brain(protocol(), closed=0, gates_by="trial"),
        r"Gating.by: got 'trial', must be one of 'class'",
    ),
    ("faithful", lambda: brain(protocol(), closed=0, faithful="no"), r"Gating.faithful: got 'no', must be one of True"),
    (
        "gates that are not there",
        lambda: presets.lesion("split_mnist", "class", without="gating", closed=0.5),
        r"lesion.closed: got 0.5, must be left out: this animal grows up without gates",
    ),
    # falsy
    ("no units", lambda: brain(protocol(), units=()), r"units: got \(\), must be the sizes of at least one"),
    ("units 0", lambda: brain(protocol(), units=0), r"units: got 0, must be a list, one number for each area"),
    ("reentry 0", lambda: brain(protocol(), reentry=0), r"reentry: got 0, must be one of 'retina'"),
    ("no reentry", lambda: brain(protocol(), reentry=""), r"reentry: got '', must be one of 'retina'"),
    ("seen units", lambda: rs.brain_inspired(seeing.protocol(), units=()), r"VisualPlan.units: got \(\), must be at"),
    ("no device", lambda: check_device("cpu:7"), r"device: got 'cpu:7', must be 'cpu': only CUDA devices are counted"),
    ("device 0", lambda: check_device(0), r"device: got 0, must be 'cpu', 'cuda'"),  # type: ignore[arg-type]
    # what used to be a traceback
    *[
        (f"{make.__name__}: {type(given).__name__}", lambda make=make, given=given: make(given), message)
        for make in MAKERS
        for given, message in (
            (None, rf"{make.__name__}.protocol: got None, must be a protocol, e.g. SplitDigits\(\)"),
            ("split", r"protocol: got 'split', must be a protocol"),
            (rs.SplitProtocol, r"protocol: got <class .*, must be a protocol"),
            (
                set_of(),
                r"protocol: got 'StimulusSet', must be a protocol, e.g. .* SplitProtocol\(stimuli, contexts=5\)",
            ),
        )
    ],
    (
        "context gating",
        lambda: rs.classifier(protocol("task"), context_gating=0.5),  # type: ignore[arg-type]
        r"context_gating: got 0.5, must be ContextGating\(closed=...\), or left out",
    ),
    (
        "gates of a feedback",
        lambda: rs.classifier(protocol("task"), context_gating=rs.Gating(0.5)),  # type: ignore[arg-type]
        r"context_gating: got Gating\(.*or left out: a classifier has no feedback to gate",
    ),
    *[
        (f"cortex: {type(given).__name__}", lambda given=given, make=make: make(protocol(), cortex=given), message)
        for make in (rs.brain_inspired, rs.classifier)
        for given, message in (
            (3, r"cortex: got 3, must be a class or function without arguments that returns your cortex"),
            ("Wide", r"cortex: got 'Wide', must be a class or function without arguments"),
            (
                Own(),
                r"cortex: got 'an instance of Own', must be a class or function .* every animal gets one of its own",
            ),
            (
                lambda: None,
                r"cortex: got 'something that returns NoneType', must be a class that inherits from Abstract",
            ),
            (Needy, r"cortex: got <class .*Needy.*without arguments .*missing 1 required positional argument"),
        )
    ],
    ("units 20", lambda: brain(protocol(), units=20), r"units: got 20, must be a list, one number for each area"),
    ("units of words", lambda: rs.classifier(protocol(), units="20"), r"classifier.units: got '20', must be a list"),  # type: ignore[arg-type]
    (
        "hippocampal units",
        lambda: brain(protocol(), without="feedback", hippocampal_units=3),
        r"hippocampal_units: got 3, must be a list, one number for each area",
    ),
    ("without None", lambda: brain(protocol(), without=None), r"without: got None, must be a list of ingredients"),
    ("without 3", lambda: brain(protocol(), without=3), r"without: got 3, must be a list of ingredients"),
    ("without lists", lambda: brain(protocol(), without=[["x"]]), r"without: got \['x'\], must be one of 'feedback'"),
    ("recipe of one", lambda: Recipe(units=(5,)), r"Recipe.units: got \(5,\), must be two numbers"),  # type: ignore[arg-type]
    ("recipe of 5", lambda: Recipe(units=5), r"Recipe.units: got 5, must be two numbers"),  # type: ignore[arg-type]
    ("steps 5", lambda: rs.Behaviour(steps=5), r"Behaviour.steps: got 5, must be a list of numbers of weight"),  # type: ignore[arg-type]
    ("steps None", lambda: rs.Behaviour(steps=None), r"Behaviour.steps: got None, must be a list"),  # type: ignore[arg-type]
    ("steps of words", lambda: rs.Behaviour(steps=("a", 1)), r"steps: got 'a', must be a whole number >= 1"),  # type: ignore[arg-type]
    ("one quantile", lambda: rs.SynapticImportance(quantiles=0.5), r"quantiles: got 0.5, must be a list of numbers"),  # type: ignore[arg-type]
    ("quantiles of words", lambda: rs.SynapticImportance(quantiles=("a",)), r"quantiles: got 'a', must be a number"),  # type: ignore[arg-type]
    ("quantile 2", lambda: rs.SynapticImportance(quantiles=(0.5, 2)), r"quantiles: got 2, must be numbers from 0 to 1"),
    (
        "no name",
        lambda: rs.SplitProtocol(IMAGES, LABELS, 3, name=None),  # type: ignore[arg-type]
        r"SplitProtocol.name: got None, must be a word",
    ),
    (
        "no metadata",
        lambda: rs.SplitProtocol(IMAGES, LABELS, 3, metadata=None),  # type: ignore[arg-type]
        r"SplitProtocol.metadata: got None, must be further facts for logs, {name: text}",
    ),
    (
        "scenarios",
        lambda: protocol(np.array(["task", "class"])),
        r"scenario: got array.*, must be one of 'task', 'domain'",
    ),  # type: ignore[arg-type]
    ("scenarios of digits", lambda: rs.SplitDigits(scenario=np.ones(2)), r"SplitDigits.scenario: got array"),  # type: ignore[arg-type]
    (
        "large labels",
        lambda: from_arrays(IMAGES, LABELS.astype(np.uint64) + np.uint64(2**63)),
        r"labels reach 9223372036854775813, must be below 2\*\*63",
    ),
]


@pytest.mark.parametrize(("slip", "message"), [s[1:] for s in IGNORED], ids=[s[0] for s in IGNORED])
def test_refused_in_a_sentence(slip: Callable[[], Any], message: str) -> None:
    with pytest.raises(ReplaysimError, match=message):
        slip()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"experience": np.array(["joint", "last"])},
            r"experience: got .*must be one of 'sequential', 'joint', 'last'",
        ),
        ({"precision": np.array(["float32", "float64"])}, r"precision: got .*must be one of 'float32', 'float64'"),
        ({"device": "cpu:7"}, r"device: got 'cpu:7'"),
        ({"device": None, "precision": "float64"}, r"device: got None, must be 'cpu'"),
    ],
)
def test_refused_before_computing(settings: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Crew, "run", lambda *_given, **_settings: pytest.fail("computing began"))
    with pytest.raises(ReplaysimError, match=message):
        simulate(**settings)


def test_only_none_means_the_usual() -> None:
    assert rs.brain_inspired(protocol()).cortex.units == (400, 400)  # type: ignore[union-attr]
    assert rs.brain_inspired(seeing.protocol()).cortex.early == "frozen"  # type: ignore[union-attr]
    assert rs.classifier(seeing.protocol()).cortex.early == "plastic"  # type: ignore[union-attr]
    assert rs.generative_pair(seeing.protocol()).cortex.early == "plastic"  # type: ignore[union-attr]
    assert rs.classifier(seeing.protocol(), early="frozen").cortex.early == "frozen"  # type: ignore[union-attr]
    condition = prepare(brain(protocol()), protocol(), None, None, None, "sequential", (), "cpu", "float32")
    assert condition.learning == rs.Learning()
    with pytest.raises(SettingError, match=r"simulate.learning: got 0, must be a Learning"):
        prepare(brain(protocol()), protocol(), 0, None, None, "sequential", (), "cpu", "float32")  # type: ignore[arg-type]


def test_largest_label_that_fits() -> None:
    top = np.uint64(2**63 - 1)
    assert from_arrays(IMAGES, np.where(LABELS > 2, top, np.uint64(1))).classes == ("1", str(top))


# --- torch's global chance belongs to the user


def makers() -> dict[str, Callable[[], Any]]:
    seen = seeing.protocol()
    return {
        "own cortex": own,
        "own classifier": lambda: rs.classifier(protocol(), cortex=Own),
        "beside it": lambda: rs.brain_inspired(seen, units=(9, 8), without=("feedback",), developed="naive"),
        "pair": lambda: rs.generative_pair(seen, units=(9, 8), early="frozen", reentry="association_1"),
        "dense": lambda: rs.brain_inspired(protocol(), without=("feedback",)),
    }


@pytest.mark.parametrize("name", makers())
def test_planning_a_brain_uses_no_chance(name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(7)
        before = torch.get_rng_state()
        try:
            makers()[name]()
        except SettingError as error:  # images of 16 pixels do not fit the shipped areas, which is said after building
            assert "image" in str(error)
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("early", ["frozen", "plastic"])
def test_a_simulation_uses_no_global_chance(early: str, tmp_path: Any) -> None:
    seen = seeing.protocol()
    plan = seeing.classifier(seen, early, developed=seeing.developed(tmp_path))
    with torch.random.fork_rng():
        torch.manual_seed(7)
        before = torch.get_rng_state()
        result = simulate(protocol=seen, brain=plan, learning=seeing.LEARNING)
        assert torch.equal(torch.get_rng_state(), before)
        assert isinstance(result.brains[12], Brain)
        assert torch.equal(torch.get_rng_state(), before)


# --- memories of the domain scenario


@pytest.mark.parametrize("gates_by", ["class", "context"])
def test_memories_in_the_domain_scenario_are_of_no_single_class(gates_by: str) -> None:
    """One answer stands for a class of every context: naming that of the first would be wrong for all others."""
    plan = brain(protocol("domain"), gates_by=gates_by)
    result = simulate("domain", brain=plan, replay=rs.GenerativeReplay())
    (found,) = memories(result.brains, 8, protocol("domain"))
    assert found["original_class"].values.tolist() == [-1] * 8 and found.sizes == {"event": 8, "unit": 16}
    grown = brain(protocol()).grow(12)
    assert not grown.class_identity
    assert (next(memories({12: grown}, 6))["original_class"] == -1).all(), "an order that is not known"


def test_memories_of_permuted_images_are_of_their_class() -> None:
    images, label = stimuli(classes=4, each=15)
    met = rs.PermutedProtocol(images.reshape(-1, 4, 4), label, contexts=2, pad=0)
    result = simulate(protocol=met, brain=brain(met, gates_by="context"))
    (found,) = memories(result.brains, 8, met)
    assert found["original_class"].values.tolist() == [0, 1, 2, 3] * 2


@pytest.mark.parametrize("flag", ["overwrite", "checkpoints"])
def test_a_word_is_no_yes(flag: str) -> None:
    with pytest.raises(SettingError, match=rf"simulate\.{flag}: got 'no', must be one of True, False"):
        rs.simulate(brain(protocol()), protocol(), animals=(12,), **{flag: "no"})


def test_arrays_are_none_of_some_words() -> None:
    with pytest.raises(SettingError, match=r"experience: got .* must be one of 'sequential'"):
        simulate(experience=np.array(["joint"]))
    with pytest.raises(SettingError, match=r"VisualPlan\.channels: got None, must be whole numbers"):
        VisualPlan(channels=None)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="learning"):
        simulate(learning=0)
