"""A user's own cortex: every animal has one of its own, all of it is kept, and information is asked for rightly."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import LEARNING, Own, assert_bitwise, protocol, simulate, state
from torch import Tensor, nn

import replaysim as rs
from analysis import readings
from replaysim.cortex import OwnCortex
from replaysim.crew import Crew
from replaysim.errors import SettingError
from replaysim.fingerprints import _told, of_cortex
from replaysim.fisher import Judgement, _of_any, information_of
from replaysim.resumption import simulate_once
from replaysim.standing import plastic_reentry, stands


def plan(cortex: Any) -> rs.BrainPlan:
    return rs.classifier(protocol(), cortex=cortex)


def refused(cortex: Any, message: str, **settings: Any) -> None:
    """Before any animal lives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Crew, "run", lambda *_given, **_settings: pytest.fail("computing began"))
        with pytest.raises(SettingError, match=message):
            simulate(brain=plan(cortex), **settings)


# --- every animal has one of its own


def test_a_trained_cortex_is_copied() -> None:
    """A function may give the same one at every call: no brain, no other simulation and no user shares it."""
    trained = Own()
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    brain = plan(lambda: trained)
    first, again = (simulate(brain=brain, animals=(12, 13)) for _ in range(2))
    one = first.brains[12]
    kept = {name: value.clone() for name, value in one.state_dict().items()}
    other = first.brains[13]
    assert all(torch.equal(value, kept[name]) for name, value in one.state_dict().items())
    assert not torch.equal(one.cortex.v1.weight, other.cortex.v1.weight)
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())
    assert np.array_equal(first.log["learning/loss"], again.log["learning/loss"])
    assert_bitwise(state(first, 12), state(again, 12))


class Locked(Own):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


def test_a_cortex_that_cannot_be_copied() -> None:
    with pytest.raises(SettingError, match=r"OwnCortex.make: got .*Locked .*lock.*, must be a module that copy"):
        plan(Locked)


def test_areas_of_a_log_stand_in_their_order() -> None:
    """Not in that of the alphabet, where it comes before v1: the highest area is what a report shows."""
    log = simulate(brain=plan(Own), record=[rs.CorticalActivity("retina", "v1", "it", stimuli=6)]).log
    assert readings.areas(log) == ["retina", "v1", "it"]
    assert [log["cortex"].children[area].attrs["height"] for area in ("retina", "v1", "it")] == [0, 1, 2]
    for area in log["cortex"].children.values():  # as in a log of an earlier version
        del area.attrs["height"]
    assert readings.areas(log) == ["retina", "it", "v1"]


# --- all of it is kept


class Masked(Own):
    """A mask that is not saved, but made in the same way every time."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", (torch.arange(12) % 3 > 0).float(), persistent=False)

    def climbed(self, area: str, below: Tensor) -> Tensor:
        evoked = super().climbed(area, below)
        return evoked * self.get_buffer("mask") if area == "v1" else evoked


class Tied(Own):
    """One synapse under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Linear(16, 12)
        self.again.weight = self.v1.weight

    def climbed(self, area: str, below: Tensor) -> Tensor:
        evoked = super().climbed(area, below)
        return evoked + torch.tanh(self.again(below)) if area == "v1" else evoked


class Named(Own):
    """One part under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.again = self.v1
        self.order = [self.v1, self.it]
        self.note: Any = {"gain": (1.0, float("nan")), "area": "v1"}


@pytest.mark.parametrize("cortex", [Masked, Tied, Named])
def test_trained_brains_are_whole(cortex: Any, tmp_path: Path) -> None:
    """What one says is what it said at the end of its life, before and after it was on disk."""
    result = simulate(brain=plan(cortex), animals=(12, 13), record=[rs.CorticalActivity("v1", stimuli=6)])
    for animal in (12, 13):
        last = result.log["cortex/v1/activity"].sel(animal=animal).isel(snapshot=-1)
        shown = torch.from_numpy(protocol().stimuli.test[last["stimulus"].values].astype(np.float32) / 255)
        brain = result.brains[animal]
        path = rs.save_brain(brain, tmp_path / f"{animal}.safetensors")
        for one in (brain, rs.load_brain(path, cortex=cortex)):
            torch.testing.assert_close(one.perceive(shown)["v1"].detach(), torch.from_numpy(last.values))
    alone = state(simulate(brain=plan(cortex), animals=(13,)), 13)
    for name, value in state(result, 13).items():
        np.testing.assert_allclose(value, alone[name], rtol=1e-4, atol=1e-6)


class PlainMask(Own):
    def __init__(self) -> None:
        super().__init__()
        self.mask = (torch.rand(12) > 0.5).float()


class PlainNumber(Own):
    def __init__(self) -> None:
        super().__init__()
        self.about = {"gains": [1.0, float(torch.rand(()))]}


class PlainParts(Own):
    def __init__(self) -> None:
        super().__init__()
        self.parts = [nn.Linear(2, 2)]


class UnsavedChance(Own):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.rand(12), persistent=False)


class UnsavedStatistics(Own):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(12), persistent=False)

    def climbed(self, area: str, below: Tensor) -> Tensor:
        evoked = super().climbed(area, below)
        if self.training and area == "v1":
            self.get_buffer("mean").add_(evoked.detach().mean(0))
        return evoked


class MoreState(Own):
    def get_extra_state(self) -> Any:
        return {"more": 1}


@pytest.mark.parametrize(
    ("cortex", "message"),
    [
        (PlainMask, r"PlainMask.mask: got 'another value in another animal', must be .*register_buffer"),
        (PlainNumber, r"PlainNumber.about: got 'another value in another animal', must be the same whenever"),
        (PlainParts, r"PlainParts.parts: got 'another value in another animal', must be .*nn.ModuleList"),
        (
            UnsavedChance,
            r"UnsavedChance.mask: got 'another value in a trained brain', must be saved .*persistent",
        ),
        (UnsavedStatistics, r"UnsavedStatistics.mean: got 'another value after a pass', must be saved"),
        (MoreState, r"MoreState.state_dict: got .*_extra_state.* are no tensors.*, must be parameters and buffers"),
    ],
)
def test_what_is_not_kept(cortex: Any, message: str) -> None:
    refused(cortex, message)


class Odd(Own):
    """Harmless things that cannot be compared as numbers are, and a buffer that holds no number."""

    def __init__(self) -> None:
        super().__init__()
        self.sparse = torch.eye(3).to_sparse()
        self.ragged = np.empty(2, dtype=object)
        self.ragged[:] = [np.zeros(2), np.zeros(3)]
        self.register_buffer("unknown", torch.tensor([float("nan")]), persistent=False)


def test_what_cannot_be_compared_is_not_refused() -> None:
    assert simulate(brain=plan(Odd)).log.attrs["status"] == "complete"


# --- what changes


class Gathers(Own):
    """Synapses that stand still below a normalisation that gathers statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.v1 = nn.Sequential(nn.Linear(16, 12), nn.BatchNorm1d(12)).requires_grad_(False)


class Stands(Gathers):
    """The same, but the statistics stand still, too."""

    def train(self, mode: bool = True) -> Stands:
        super().train(mode)
        self.v1.eval()
        return self


@pytest.mark.parametrize(("cortex", "drifts"), [(Gathers, True), (Stands, False)])
def test_areas_whose_statistics_drift_do_not_stand(cortex: Any, drifts: bool) -> None:
    log = simulate(brain=plan(cortex), record=[rs.CorticalActivity("v1")]).log
    activity = log["cortex/v1/activity"]
    assert ("snapshot" in activity.dims) == drifts and log["cortex/v1"].attrs["plastic"] == drifts
    if drifts:
        assert not np.allclose(activity.isel(snapshot=0), activity.isel(snapshot=-1))
    brain = rs.brain_inspired(protocol(), cortex=cortex, code_units=4, closed=0.3).grow(12)
    values = {name: value.clone() for name, value in brain.state_dict().items()}
    assert plastic_reentry(brain) == plastic_reentry(brain.eval()) == drifts and not brain.cortex.it.training
    assert all(torch.equal(value, values[name]) for name, value in brain.state_dict().items())


class FrozenAbove(Own):
    """Synapses that stand still above others that do not."""

    def __init__(self) -> None:
        super().__init__()
        self.it.requires_grad_(False)


def test_what_is_driven_by_an_area_that_changes_changes_too() -> None:
    log = simulate(brain=plan(FrozenAbove), record=[rs.CorticalActivity("v1", "it")]).log
    assert "snapshot" in log["cortex/it/activity"].dims and log["cortex/it"].attrs["plastic"] == 1
    assert readings.changes(log, "it")


# --- what decisions say about synapses


class InPlace(Own):
    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)

    def climbed(self, area: str, below: Tensor) -> Tensor:
        return self.relu(self.get_submodule(area)(below))


class SideBranch(Own):
    """A part that leads to no decision, and one through which no slope can flow."""

    def __init__(self) -> None:
        super().__init__()
        self.side, self.still = nn.Linear(16, 4), nn.Linear(16, 12)

    def climbed(self, area: str, below: Tensor) -> Tensor:
        if area == "it":
            return super().climbed(area, below)
        self.side(below)
        with torch.no_grad():
            still = self.still(below)
        return super().climbed(area, below) + still


class Reflected(Own):
    """Synapses that serve in both directions."""

    def climbed(self, area: str, below: Tensor) -> Tensor:
        synapses = self.get_submodule(area)
        assert isinstance(synapses, nn.Linear)
        return torch.tanh(synapses(below) + synapses.weight @ torch.tanh(synapses.weight.T).sum(1))


@pytest.mark.parametrize("cortex", [Own, InPlace, SideBranch, Reflected, Tied, Named])
def test_information_of_own_cortices(cortex: Any) -> None:
    """As single trials have it, whatever the cortex does with its layers."""
    judgement = Judgement(plan(cortex).grow(3).double().eval())
    values = dict((*judgement.named_parameters(), *judgement.named_buffers()))
    shown, answers = torch.rand(5, 16, dtype=torch.float64), torch.arange(6) > 1
    found = information_of(judgement, values, list(values), shown, answers)
    for name, wanted in _of_any(judgement, values, list(values), shown, answers).items():
        torch.testing.assert_close(found[name], wanted / 5)


@dataclass(frozen=True)
class Asks(rs.OnlineElasticWeightConsolidation):
    """Somebody's rule; memory aware synapses, if it asks about the output."""

    of: str = "output"

    def consolidate(self, state: Any, synapses: Any, information: Any) -> Any:
        return super().consolidate(state, synapses, partial(information, of=self.of))


@pytest.mark.parametrize("rule", [rs.ElasticWeightConsolidation(1.0), rs.OnlineElasticWeightConsolidation(), Asks()])
def test_a_side_branch_is_consolidated(rule: Any) -> None:
    result = simulate(brain=plan(SideBranch), consolidation=rule)
    assert np.isfinite(result.log["learning/loss"]).all()


class OnlyMany(Own):
    """Fails for the trials of a single animal."""

    def climbed(self, area: str, below: Tensor) -> Tensor:
        if not torch._C._functorch.is_batchedtensor(self.v1.weight):
            raise RuntimeError("no such kernel")
        return super().climbed(area, below)


def test_information_is_rehearsed() -> None:
    """Before the first context, and not after it; also where a rule of one's own asks for it."""
    for rule in (rs.ElasticWeightConsolidation(), Asks(of="decision"), Asks()):
        refused(OnlyMany, r"OnlyMany.forward: got 'RuntimeError: no such kernel'", consolidation=rule)
    with pytest.raises(RuntimeError, match="no such kernel"):  # what is asked by nobody is not rehearsed
        Judgement(plan(OnlyMany).grow(1))(torch.rand(2, 16), torch.ones(6, dtype=torch.bool))
    simulate(brain=plan(OnlyMany), consolidation=rs.SynapticIntelligence())


def test_what_a_rule_can_ask_for() -> None:
    words = r"Asks.information\(of\): got 'input', must be one of 'decision', 'output'"
    with pytest.raises(rs.SettingError, match=words):
        simulate(brain=plan(Own), consolidation=Asks(of="input"))


@pytest.mark.parametrize("rule", [rs.ElasticWeightConsolidation(1.0), rs.SynapticIntelligence(), Asks()])
def test_gated_cortices_are_rehearsed_with_their_gates(rule: Any) -> None:
    own = protocol("task")
    simulate(
        protocol=own, brain=rs.classifier(own, cortex=Gated, context_gating=rs.ContextGating(0.5)), consolidation=rule
    )


class Gated(Own):
    def __init__(self) -> None:
        super().__init__()
        self.gateable = ("it",)

    def forward(  # type: ignore[override]
        self, activity: Tensor, start: str = "retina", stop: str | None = None, openness: Any = None
    ) -> dict[str, Tensor]:
        evoked = super().forward(activity, start, stop)
        if "it" in evoked and start != "it":
            evoked["it"] = evoked["it"] * openness["it"]
        return evoked


class Small(rs.AbstractCortex):
    """One area, and beside its frozen synapses a gain that goes on learning, under a name of its own."""

    def __init__(self, units: int = 12, frozen: bool = True) -> None:
        super().__init__()
        self.areas, self.sizes, self.reentry = ("retina", "v1", "it"), {"retina": 16, "v1": units, "it": 8}, "v1"
        self.v1 = nn.Linear(16, units).requires_grad_(not frozen)
        self.v1_gain = nn.Parameter(torch.ones(units))
        self.it = nn.Linear(units, 8)

    def forward(self, activity: Tensor, start: str = "retina", stop: str | None = None) -> dict[str, Tensor]:
        evoked = {start: activity.flatten(1)}
        for area in self.areas[self.areas.index(start) + 1 :]:
            if stop in evoked:
                break
            below = evoked[self.areas[self.areas.index(area) - 1]]
            evoked[area] = torch.tanh(self.v1(below) * self.v1_gain if area == "v1" else self.it(below))
        return evoked


class Normalised(Small):
    """Frozen synapses, and a normalisation that gathers statistics beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.v1_gain.requires_grad_(False)
        self.beside = nn.BatchNorm1d(12, affine=False)


class Fixed(Small):
    """Nothing at the first area learns."""

    def __init__(self) -> None:
        super().__init__()
        self.v1_gain.requires_grad_(False)


def test_what_bears_no_name_of_an_area_may_act_on_any() -> None:
    assert not stands(Small(), "v1") and not stands(Normalised(), "v1")
    assert stands(Fixed(), "v1") and not stands(Fixed(), "it")
    own = protocol()
    with pytest.warns(UserWarning, match="replay enters at v1, onto which synapses go on learning"):
        log = simulate(
            protocol=own,
            brain=rs.brain_inspired(own, cortex=Small, code_units=5, closed=0.3),
            replay=rs.GenerativeReplay(),
            record=[rs.CorticalActivity("v1", stimuli=12)],
        ).log
    seen = log["cortex/v1/activity"]
    assert seen.dims == ("animal", "snapshot", "stimulus", "unit") and seen.sizes["snapshot"] == 4
    assert log["cortex/v1"].attrs["plastic"] == 1 and "reentry" in log.children


def test_a_log_of_another_cortex_is_not_taken_for_ones_own(tmp_path: Path) -> None:
    """Of other sizes, or trained to something else before; drawn synapses tell nothing."""
    own = protocol()

    def once(make: Any, name: str = "log") -> bool:
        plan = rs.classifier(own, cortex=make)
        given = {"animals": [0], "out": tmp_path / name, "learning": LEARNING, "workers": 1, "progress": False}
        return bool(simulate_once(plan, own, **given).simulated)

    assert once(lambda: Small(12)) and not once(lambda: Small(12))
    with pytest.raises(rs.LogError, match=r"holds a log of other settings \(sha256.own_cortex is"):
        once(lambda: Small(10))
    trained, other = Fixed(), Fixed()
    assert once(lambda: trained, "trained") and not once(lambda: trained, "trained")
    with pytest.raises(rs.LogError, match=r"sha256\.own_cortex"):
        once(lambda: other, "trained")


class Scaled(Small):
    """A number beside its values, of which torch knows nothing, and a buffer that is a part of another tensor."""

    def __init__(self, gain: float = 1.0, kind: str = "tanh") -> None:
        super().__init__()
        self.gain, self.kind = gain, kind
        self.register_buffer("centre", torch.arange(24.0).reshape(12, 2)[:, 0])
        self.register_buffer("seen", torch.from_numpy(np.random.rand(12) > 0.5))


def test_what_tells_cortices_from_each_other() -> None:
    """Plain numbers and words, too, but nothing that is drawn; nobody's random state is another one afterwards."""
    np.random.seed(3)
    random.seed(3)
    torch.manual_seed(3)
    before = np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist()  # type: ignore[union-attr]
    told = [of_cortex(OwnCortex(make)) for make in (Scaled, lambda: Scaled(), lambda: Scaled(5.0))]
    assert told[0] == told[1] != told[2]
    assert of_cortex(OwnCortex(lambda: Scaled(kind="sine"))) not in told
    after = np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist()  # type: ignore[union-attr]
    assert before == after
    trained = Scaled()
    assert of_cortex(OwnCortex(lambda: trained)) == of_cortex(OwnCortex(lambda: trained)) != told[0]


def test_constants_may_round_otherwise_on_another_processor() -> None:
    x = torch.linspace(-3, 3, 1000)
    constant = torch.exp(-(x**2) / 2) * torch.cos(5 * x)
    rounded = constant * (1 + 1e-7 * torch.randn(1000, generator=torch.Generator().manual_seed(0)))
    assert not torch.equal(constant, rounded) and _told(constant) == _told(rounded)
    assert _told(constant) != _told(constant.flip(0) * 1.001) and _told(torch.zeros(3)) != _told(torch.zeros(4))
    assert _told(np.arange(3)) == _told(torch.arange(3)) and _told("word") == "word"
