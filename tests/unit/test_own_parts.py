"""A user's own replay, cortex or rule: what does not fit is said before any animal lives, and no chance is used."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from small import Own, brain, protocol, simulate, stimuli
from torch import Tensor, nn

import replaysim as rs
from replaysim import life, preparation
from replaysim.consolidation import ConsolidationState, SynapticIntelligence
from replaysim.crew import Crew
from replaysim.errors import LogError, SettingError
from replaysim.log import settings_of


@pytest.fixture
def nothing_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Crew, "run", lambda *_given, **_settings: pytest.fail("computing began"))


def refused(message: str, tmp_path: Path, **settings: Any) -> None:
    """Before a folder is made, too."""
    with pytest.raises(SettingError, match=message):
        simulate(out=tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


# --- replay


@dataclass(frozen=True)
class Dreams:
    """A colleague's kind of replay."""

    source: str = "recall"  # type: ignore[misc]
    targets: str = "soft"
    temperature: float = 2.0
    batch: int | None = None

    def check(self, brain: Any) -> None:
        """Says nothing."""


@dataclass(frozen=True)
class VividDreams(Dreams):
    """One that weighs its soft targets."""

    distillation_weight: float = -1.0


@pytest.mark.usefixtures("nothing_lives")
@pytest.mark.parametrize(
    ("replay", "message"),
    [
        (VividDreams(), r"VividDreams.distillation_weight: got -1.0, must be a number > 0"),
        (Dreams(source="dream"), r"Dreams.source: got 'dream', must be one of 'recall', 'episodes', 'current'"),
        (Dreams(targets="fuzzy"), r"Dreams.targets: got 'fuzzy', must be one of 'soft', 'hard'"),
        (Dreams(temperature=-1), r"Dreams.temperature: got -1, must be a number > 0"),
        (Dreams(batch=0), r"Dreams.batch: got 0, must be a whole number >= 1"),
        (
            Dreams(source="episodes"),
            r"Dreams.source: got 'episodes', must be .*inherits from ExactReplay: its `budget`",
        ),
        (Dreams(source="current", batch=5), r"Dreams.batch: got 5, must be None or 8, the trials that are being"),
        (rs.GenerativeReplay, r"replay: got <class .*must be an instance: add \(\), as in GenerativeReplay\(\)"),
    ],
)
def test_own_replay_that_does_not_fit(replay: Any, message: str, tmp_path: Path) -> None:
    refused(message, tmp_path, replay=replay)


@pytest.mark.usefixtures("nothing_lives")
def test_own_recall_in_a_classifier(tmp_path: Path) -> None:
    plan = rs.classifier(protocol(), units=(20, 20))
    refused(
        r"Dreams.source: got 'recall', must be 'episodes' or 'current' in a plain",
        tmp_path,
        brain=plan,
        replay=Dreams(),
    )


@dataclass(frozen=True)
class Few(rs.ExactReplay):
    """Inherits the storage."""

    source: ClassVar[str] = "episodes"
    budget: int = 2


@dataclass(frozen=True)
class Policy(rs.GenerativeReplay):
    """A policy of its own."""

    how: str = "recent"

    def priority(self, age: np.ndarray) -> Any:
        kinds = {"recent": 1 / age, "alike": np.ones(len(age)), "short": age[:1][:0], "none": 0 * age, "below": -age}
        return kinds[self.how]


@dataclass(frozen=True)
class StoredPolicy(rs.ExactReplay):
    """The same of stored episodes."""

    how: str = "recent"
    priority = Policy.priority  # type: ignore[assignment]


@pytest.mark.parametrize("scenario", ["class", "domain"])
def test_a_policy_of_stored_episodes_is_lived_and_told(scenario: str) -> None:
    """It changes what comes back; the log says which it was."""
    own = protocol(scenario)
    settings = {"protocol": own, "brain": rs.classifier(own, units=(40, 30)), "record": [rs.ReplayActivity(events=80)]}
    logs = {how: simulate(replay=StoredPolicy(how=how), **settings).log for how in ("recent", "alike")}
    met = {how: log["replay/cued_context"].sel(contexts_learned=3).values for how, log in logs.items()}
    assert {how: set(contexts.ravel()) for how, contexts in met.items()} == {"recent": {1, 2}, "alike": {1, 2}}
    assert (met["recent"] == 2).mean() > (met["alike"] == 2).mean() + 0.05
    told = {how: settings_of(log.attrs, "log")["sha256"]["replay_priority"] for how, log in logs.items()}
    assert told["recent"] != told["alike"]


@pytest.mark.usefixtures("nothing_lives")
def test_policies_that_do_not_fit(tmp_path: Path) -> None:
    for how in ("short", "none", "below"):
        words = r"Policy.priority \(contexts learned: 1\): got .*, must be finite numbers from 0, not all 0: 1,"
        refused(words, tmp_path, replay=Policy(how=how))
    own = protocol("task")
    refused(
        r"Policy.priority: got .*task scenario.*left out", tmp_path, protocol=own, brain=brain(own), replay=Policy()
    )
    asked = brain(protocol(), without=("modes", "gating"))
    refused(r"Policy.priority: got .*must be left out in a brain with neither", tmp_path, brain=asked, replay=Policy())
    domain = brain(protocol("domain"))
    words = r"Policy.priority: got 'a policy in the domain scenario', must be used with gates_by='context'"
    refused(words, tmp_path, protocol=protocol("domain"), brain=domain, replay=Policy())
    words = r"Wrong.priority \(contexts learned: 1\): got .NameError: name 'x' .*must be numbers"
    refused(words, tmp_path, replay=type("Wrong", (rs.GenerativeReplay,), {"priority": lambda self, age: x})())  # noqa: F821
    now = type("NowChosen", (rs.CurrentInputReplay,), {"priority": lambda self, age: age})
    words = r"NowChosen.priority: .*source 'current'.*must be left out: what is replayed are"
    refused(words, tmp_path, brain=brain(protocol(), without=("modes", "gating")), replay=now())
    stored = type("FewChosen", (rs.ExactReplay,), {"priority": lambda self, age: -age})
    words = r"FewChosen.priority \(contexts learned: 1\): got .*, must be finite numbers from 0"
    refused(words, tmp_path, brain=rs.classifier(protocol(), units=(40, 30)), replay=stored())
    words = r"FewChosen.priority: got .*task scenario.*left out"
    refused(words, tmp_path, protocol=own, brain=rs.classifier(own, units=(40, 30)), replay=stored())
    one = type("One", (rs.GenerativeReplay,), {"priority": 3})
    refused(r"One.priority: got 3, must be a method", tmp_path, replay=one())


def test_a_policy_is_lived_and_told() -> None:
    """It changes what is recalled; the log says which it was."""
    record = [rs.ReplayActivity(events=80)]
    logs = {how: simulate(replay=Policy(how=how), record=record).log for how in ("recent", "alike")}
    asked = {how: log["replay/cued_context"].sel(contexts_learned=3).values for how, log in logs.items()}
    assert (asked["recent"] == 2).mean() > 0.55 > (asked["alike"] == 2).mean()
    told = {how: settings_of(log.attrs, "log") for how, log in logs.items()}
    assert told["recent"]["replay"]["how"] == "recent"
    assert told["recent"]["sha256"]["replay_priority"] != told["alike"]["sha256"]["replay_priority"]
    large = type("Policy", (rs.GenerativeReplay,), {"priority": lambda self, age: 1e308 / age})()
    log = simulate(replay=large, record=record).log
    assert np.array_equal(log["replay/cued_context"], logs["recent"]["replay/cued_context"])
    assert settings_of(log.attrs, "log")["sha256"] == told["recent"]["sha256"], "in proportion"
    plain = simulate(replay=rs.GenerativeReplay(), record=record).log
    assert "replay_priority" not in settings_of(plain.attrs, "log")["sha256"]
    gated = brain(protocol(), without="modes")
    assert simulate(brain=gated, replay=Policy()).log.attrs["status"] == "complete", "gates can be asked for"
    own = protocol("domain")
    asked = simulate(protocol=own, brain=brain(own, gates_by="context"), replay=Policy(), record=record).log
    assert (asked["replay/cued_context"].sel(contexts_learned=3) == 2).mean() > 0.55


def test_own_replay_that_fits() -> None:
    for own, known in (
        (Dreams(), rs.GenerativeReplay()),
        (Few(), rs.ExactReplay(2)),
        (Dreams(source="current"), rs.CurrentInputReplay()),
        (Dreams(source="current", batch=8), rs.CurrentInputReplay()),
    ):
        losses = [simulate(replay=one).log["learning/loss"].values for one in (own, known)]
        assert np.array_equal(*losses)


# --- rules


@dataclass(frozen=True)
class Rule:
    """A colleague's rule, which is right."""

    strength: float = 1.0
    watches_steps: bool = True
    gives: str = "right"

    def begin(self, synapses: Any) -> Any:
        if self.gives == "live synapses":
            return SynapticIntelligence().begin(synapses)._replace(anchor=dict(synapses))
        return {} if self.gives == "no state" else SynapticIntelligence().begin(synapses)

    def observe(self, state: ConsolidationState, before: Any, gradient: Any, after: Any) -> None:
        np.random.rand()
        torch.rand(1)
        if self.gives == "its own history":
            state.path["readout.bias"] += (after["readout.bias"] - before["readout.bias"]).abs()
        if self.gives == "unknown synapse":
            before["readout.nowhere"]
        SynapticIntelligence().observe(state, before, gradient, after)

    def consolidate(self, state: ConsolidationState, synapses: Any, information: Any) -> Any:
        if self.gives == "nothing":
            return None
        if self.gives in STATES:
            return STATES[self.gives](SynapticIntelligence().consolidate(state, synapses, information))
        found = SynapticIntelligence().consolidate(state, synapses, information)
        if self.gives == "undetached":
            return found._replace(anchor={name: value * 1 for name, value in synapses.items()})
        return found._replace(consolidated=0) if self.gives == "no count" else found

    def penalty(self, state: ConsolidationState, synapses: Any) -> Any:
        right = SynapticIntelligence().penalty(state, synapses)
        return {"scalar": right.sum(), "float": 1.0, "by synapse": right[:, None]}.get(self.gives, right)


STATES: dict[str, Any] = {
    "a count": lambda state: state._replace(offset={"seen": 1}),
    "a numbered synapse": lambda state: state._replace(path={0: torch.zeros(3)}),
    "sparse": lambda state: state._replace(offset={"seen": torch.zeros(3).to_sparse()}),
}
RULES = [
    ("a count", r"Rule.consolidate\(\).offset\['seen'\]: got 'int', must be a dense tensor \(animal, ...\)"),
    ("a numbered synapse", r"Rule.consolidate\(\).path\[0\]: got 'Tensor', must be .* with a word as its name"),
    ("sparse", r"Rule.consolidate\(\).offset\['seen'\]: got 'Tensor', must be a dense tensor"),
    ("no state", r"Rule.begin: got 'dict', must be a ConsolidationState"),
    (
        "unknown synapse",
        r"Rule.observe: got \"KeyError: 'readout.nowhere'\", must be a method that works on a mapping of synapses",
    ),
    ("live synapses", r"Rule.begin: state.anchor\['.*'\]: got .* with gradients', must be detached values"),
    ("undetached", r"Rule.consolidate: state.anchor\['.*'\]: got .* with gradients', must be detached values"),
    ("its own history", r"Rule.observe: state.path\['readout.bias'\]: got .* with gradients', must be detached values"),
    ("nothing", r"Rule.consolidate: got None, must be a ConsolidationState"),
    (
        "no count",
        r"Rule.consolidate: got 'consolidated=0', must be a state whose `consolidated` counts the contexts, here 1",
    ),
    ("scalar", r"Rule.penalty: got 'a tensor of shape \(\)', must be a tensor \(animal,\), one number for each animal"),
    ("float", r"Rule.penalty: got 'float', must be a tensor \(animal,\)"),
    ("by synapse", r"Rule.penalty: got 'a tensor of shape \(3, 1\)', must be a tensor \(animal,\)"),
]


@pytest.mark.usefixtures("nothing_lives")
@pytest.mark.parametrize(("gives", "message"), RULES)
def test_own_rule_that_does_not_fit(gives: str, message: str, tmp_path: Path) -> None:
    refused(message, tmp_path, consolidation=Rule(gives=gives))


@pytest.mark.usefixtures("nothing_lives")
def test_rules_are_instances_with_numbers(tmp_path: Path) -> None:
    refused(
        r"consolidation: got <class .*add \(\), as in SynapticIntelligence",
        tmp_path,
        consolidation=SynapticIntelligence,
    )
    refused(r"Rule.strength: got -1, must be a number >= 0", tmp_path, consolidation=Rule(strength=-1))
    refused(r"Rule.watches_steps: got 'yes', must be True or False", tmp_path, consolidation=Rule(watches_steps="yes"))  # type: ignore[arg-type]


@dataclass(frozen=True)
class AllAlike:
    """A rule whose importance is one number, that stands for all."""

    strength: float = 1.0
    watches_steps: bool = False
    expanded: bool = True

    def begin(self, synapses: Any) -> ConsolidationState:
        return SynapticIntelligence().begin(synapses)._replace(path={})

    def observe(self, state: ConsolidationState, before: Any, gradient: Any, after: Any) -> None:
        """Nothing to take in."""

    def consolidate(self, state: ConsolidationState, synapses: Any, information: Any) -> ConsolidationState:
        here = {name: value.detach().clone() for name, value in synapses.items()}
        alike = {name: torch.ones(()).expand_as(value) for name, value in here.items()}
        if not self.expanded:
            alike = {name: torch.ones_like(value) for name, value in here.items()}
        return state._replace(importance=alike, anchor=here, consolidated=state.consolidated + 1)

    def penalty(self, state: ConsolidationState, synapses: Any) -> Tensor:
        return SynapticIntelligence().penalty(state, synapses)


def once(learn: Any) -> Any:
    """Learns one context, and is interrupted in the next one."""
    learned: list[int] = []

    def first(*given: Any) -> None:
        if learned:
            raise KeyboardInterrupt
        learned.append(1)
        learn(*given)

    return first


@pytest.mark.parametrize("units", [(20, 20), (40, 40)])  # synapses of wide areas lie in another order
def test_what_a_rule_remembers_has_a_place_of_its_own(units: tuple[int, int], tmp_path: Path) -> None:
    """So that it can be read from a checkpoint; and it lies as synapses do, so that sums run in the same order."""
    plan = rs.classifier(protocol(), units=units)
    settings: dict[str, Any] = {"brain": plan, "checkpoints": True, "out": tmp_path / "run"}
    wanted = simulate(brain=plan, consolidation=AllAlike(expanded=False)).log["learning/loss"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(life, "learn_context", once(life.learn_context))
        with pytest.raises(KeyboardInterrupt):
            simulate(consolidation=AllAlike(), **settings)
    found = simulate(consolidation=AllAlike(), **settings).log["learning/loss"]
    assert np.array_equal(found.values, wanted.values)


@dataclass(frozen=True, slots=True)
class Slotted(AllAlike):
    """Without an attribute `__dict__` of its own."""


@dataclass(frozen=True, slots=True)
class Bare:
    """Without any."""

    strength: float = 2.0
    watches_steps: bool = False
    begin = AllAlike.begin
    observe = AllAlike.observe
    consolidate = AllAlike.consolidate
    penalty = AllAlike.penalty
    expanded: bool = False


@dataclass(frozen=True)
class Weighed(AllAlike):
    weights: Any = None


def test_settings_of_own_rules_are_logged_or_refused() -> None:
    for rule in (Bare(), Slotted(2.0, expanded=False)):
        config = json.loads(simulate(consolidation=rule).log.attrs["config_json"])
        wanted = {"kind": type(rule).__name__, "strength": 2.0, "watches_steps": False, "expanded": False}
        assert config["consolidation"] == wanted
    for weights in (np.ones(3), torch.ones(3), {1, 2}):
        with pytest.raises(LogError, match=r"the settings cannot be written to a log.* plain numbers and words"):
            simulate(consolidation=Weighed(weights=weights))


# --- cortices


class OtherSizes(Own):
    def __init__(self) -> None:
        super().__init__()
        self.sizes = {"retina": 16, "v1": 12, "it": 8}


class Nothing(Own):
    def forward(self, activity: Tensor, start: str = "retina", stop: str | None = None) -> Any:
        super().forward(activity, start, stop)


class TopOnly(Own):
    def forward(self, activity: Tensor, start: str = "retina", stop: str | None = None) -> Any:
        return list(super().forward(activity, start, stop).values())[-1]


class FromBelow(Own):
    def forward(self, activity: Tensor, stop: str | None = None) -> Any:  # type: ignore[override]
        return super().forward(activity, "retina", stop)


class Branches(Own):
    def climbed(self, area: str, below: Tensor) -> Tensor:
        drive = super().climbed(area, below)
        return drive if drive.mean() > 0 else -drive


class Noisy(Own):
    def climbed(self, area: str, below: Tensor) -> Tensor:
        return nn.functional.dropout(super().climbed(area, below), 0.5, self.training)


class Images(Own):
    def forward(self, activity: Tensor, start: str = "retina", stop: str | None = None) -> Any:
        evoked = super().forward(activity, start, stop)
        return {area: a if area == start else a[:, :, None] for area, a in evoked.items()}


class AreaMissing(Own):
    def forward(self, activity: Tensor, start: str = "retina", stop: str | None = None) -> Any:
        return {area: a for area, a in super().forward(activity, start, stop).items() if area != "v1"}


class Gateable(Own):
    def __init__(self) -> None:
        super().__init__()
        self.gateable = ("it",)


CORTICES = [
    (OtherSizes, r"OtherSizes.sizes\['it'\]: got 8, must be 9, the units that `forward` gives this area"),
    (Nothing, r"Nothing.forward: got 'NoneType', must be a mapping of areas to their activity"),
    (TopOnly, r"TopOnly.forward: got 'Tensor', must be a mapping of areas to their activity"),
    (
        FromBelow,
        r"FromBelow.forward: got .*unexpected keyword argument 'start'.*, must be forward\(self, activity, start=",
    ),
    (Branches, r"Branches.forward: got .*must be free of branches on values .*torch.where chooses"),
    (Noisy, r"Noisy.forward: got .*must be free of random numbers \(dropout"),
    (
        Images,
        r"Images.forward\(\)\['v1'\]: got 'shape \(2, 12, 1\)', must be \(trial, unit\), here \(2, 12\): flatten it",
    ),
    (AreaMissing, r"AreaMissing.forward: got \['it', 'retina'\], must be activity of 'v1', too"),
]


class Choosy(Own):
    """Fails where layers multiply in another precision."""

    def climbed(self, area: str, below: Tensor) -> Tensor:
        one = torch.linspace(0, 1, 300)[None]
        if not torch.equal(nn.functional.linear(one, one), one @ one.T):
            raise RuntimeError("no such kernel")
        return super().climbed(area, below)


@pytest.mark.filterwarnings("ignore:precision 'bfloat16'")
@pytest.mark.usefixtures("nothing_lives")
def test_own_cortex_is_tried_out_in_the_precision_of_the_life(tmp_path: Path) -> None:
    plan = rs.classifier(protocol(), cortex=Choosy)
    refused(r"Choosy.forward: got .*no such kernel", tmp_path, brain=plan, precision="bfloat16")


@pytest.mark.usefixtures("nothing_lives")
@pytest.mark.parametrize(("cortex", "message"), CORTICES, ids=[c.__name__ for c, _ in CORTICES])
@pytest.mark.parametrize("make", [rs.brain_inspired, rs.classifier])
def test_own_cortex_that_does_not_fit(make: Any, cortex: Any, message: str, tmp_path: Path) -> None:
    refused(message, tmp_path, brain=make(protocol(), cortex=cortex))


@pytest.mark.usefixtures("nothing_lives")
def test_own_cortex_that_cannot_be_gated(tmp_path: Path) -> None:
    own = protocol("task")
    plan = rs.classifier(own, cortex=Gateable, context_gating=rs.ContextGating(0.5))
    message = r"Gateable.forward: got .*'openness'.*must be forward\(self, .*openness=None\): `gateable` names areas"
    refused(message, tmp_path, protocol=own, brain=plan)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_rehearsal_leaves_nothing(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same seed, same life, with and without; and the user's own chance is where it was."""
    settings: dict[str, Any] = {
        "brain": rs.brain_inspired(protocol(), cortex=Own, code_units=4, closed=0.3),
        "replay": rs.GenerativeReplay(),
        "consolidation": Rule(),
        "precision": precision,
    }
    done: list[str] = []
    rehearse = preparation.rehearse
    with pytest.warns(UserWarning, match="replay enters at v1"):
        monkeypatch.setattr(preparation, "rehearse", lambda *given: done.append("rehearsed") or rehearse(*given))
        torch.manual_seed(3), np.random.seed(3)
        condition_states = torch.get_rng_state(), np.random.get_state()[1].copy()
        own = protocol()
        preparation.prepare(
            settings["brain"], own, rs.Learning(2, 8), settings["replay"], Rule(), "sequential", (), "cpu", precision
        )
        assert torch.equal(torch.get_rng_state(), condition_states[0])
        assert np.array_equal(np.random.get_state()[1], condition_states[1])
        with_it = simulate(**settings)
        monkeypatch.setattr(preparation, "rehearse", lambda *_given: None)
        without = simulate(**settings)
    assert done == ["rehearsed", "rehearsed"]
    assert np.array_equal(with_it.log["learning/loss"].values, without.log["learning/loss"].values)


def test_ready_made_parts_need_no_rehearsal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_climb", "_consolidate"):
        monkeypatch.setattr(f"replaysim.rehearsal.{name}", lambda *_given: pytest.fail("rehearsed"))
    simulate(consolidation=rs.SynapticIntelligence(), replay=rs.ExactReplay(2))


def test_an_own_cortex_meets_other_stimuli() -> None:
    """Stored episodes and current stimuli enter an own cortex at the retina; gates by context are heard."""
    own = protocol("task")
    for replay in (rs.ExactReplay(2), rs.CurrentInputReplay()):
        simulate(protocol=own, brain=rs.classifier(own, cortex=Own), replay=replay)


class Normalising(rs.AbstractCortex):
    """Images, a normalisation that looks at its batch, a buffer that is not saved, and gates."""

    gateable = ("it",)

    def __init__(self) -> None:
        super().__init__()
        self.areas, self.sizes, self.reentry = ("retina", "v1", "it"), {"retina": 16, "v1": 12, "it": 9}, "retina"
        self.parts = nn.ModuleDict({"v1": nn.Conv2d(1, 3, 3, stride=2, padding=1), "it": nn.Linear(12, 9)})
        self.normalisation = nn.BatchNorm2d(3)
        self.register_buffer("mask", torch.ones(12), persistent=False)

    def forward(
        self, activity: Tensor, start: str = "retina", stop: str | None = None, openness: Any = None
    ) -> dict[str, Tensor]:
        evoked = {start: activity.flatten(1)}
        if start == "retina" and stop != "retina":
            seen = self.normalisation(self.parts["v1"](activity.reshape(-1, 1, 4, 4)))
            evoked["v1"] = torch.relu(seen).flatten(1) * self.mask
        if stop in (None, "it") and start != "it":
            drive = self.parts["it"](evoked["v1"])
            evoked["it"] = torch.relu(drive if openness is None else drive * openness["it"])
        return evoked


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_own_cortices_that_fit(precision: str) -> None:
    """What a cohort can run passes its rehearsal, and nothing of it is left in running statistics."""
    own = protocol("task")
    gated = rs.classifier(own, cortex=Normalising, context_gating=rs.ContextGating(0.5))
    simulate(protocol=own, brain=gated, precision=precision)
    for replay in (rs.GenerativeReplay(), rs.ExactReplay(2)):
        plan = rs.brain_inspired(own, cortex=Normalising, code_units=4, closed=0.3)
        result = simulate(protocol=own, brain=plan, replay=replay, precision=precision)
        assert np.isfinite(result.log["learning/loss"].sel(component="total")).all()


# --- stimuli that were not planned for


@pytest.mark.usefixtures("nothing_lives")
def test_intensities_of_the_protocol_that_is_met(tmp_path: Path) -> None:
    """A brain planned for images meets vectors of the same size that no Bernoulli variable could be."""
    images, label = stimuli()
    other = rs.SplitProtocol(images.astype(np.float32) / 30 - 4, label, contexts=3)
    with pytest.raises(
        rs.ReplaysimError, match=r'"bernoulli" needs stimuli in \[0, 1\]; the train stimuli of .* reach'
    ):
        simulate(protocol=other, brain=brain(protocol()), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "plan", [brain(protocol(), reconstruction="gaussian"), rs.classifier(protocol(), units=(9, 9))]
)
def test_intensities_where_none_are_re_created(plan: rs.BrainPlan) -> None:
    images, label = stimuli()
    other = rs.SplitProtocol(images.astype(np.float32) / 30 - 4, label, contexts=3)
    assert np.isfinite(simulate(protocol=other, brain=dataclasses.replace(plan)).log["learning/loss"]).all()
