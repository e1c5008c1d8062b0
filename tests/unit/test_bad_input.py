"""A user's slip is answered, before anything is computed, by a sentence that names the culprit and the way out."""

from __future__ import annotations

import dataclasses
import pickle
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import seeing
import torch
import xarray as xr
from small import brain, protocol, simulate, stimuli

import replaysim as rs
from replaysim import cli, presets
from replaysim.crew import Crew
from replaysim.errors import ReplaysimError
from replaysim.stimuli import load

IMAGES, LABELS = stimuli()
FEATURES = IMAGES / 255.0


@pytest.fixture(autouse=True)
def nothing_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_given: Any, **_settings: Any) -> None:
        raise AssertionError("computing began")

    monkeypatch.setattr(Crew, "run", run)


class Ungated(rs.AbstractCortex):
    """A colleague's cortex that no context can gate."""

    def __init__(self) -> None:
        super().__init__()
        self.areas, self.sizes, self.reentry = ("retina", "v1"), {"retina": 16, "v1": 12}, "retina"
        self.v1 = torch.nn.Linear(16, 12)

    def forward(
        self, activity: torch.Tensor, start: str = "retina", stop: str | None = None
    ) -> dict[str, torch.Tensor]:
        evoked = {start: activity.flatten(1)}
        if "v1" not in evoked and stop != "retina":
            evoked["v1"] = torch.relu(self.v1(evoked["retina"]))
        return evoked


class Frozen(Ungated):
    """A colleague's cortex in which nothing is plastic."""

    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(False)


class Nowhere(Ungated):
    """A colleague's cortex whose re-entry area does not exist."""

    def __init__(self) -> None:
        super().__init__()
        self.reentry = "v4"


def xdg(**kwargs: Any) -> rs.BrainPlan:
    return rs.classifier(protocol("task"), units=(20, 20), context_gating=rs.ContextGating(0.5), **kwargs)


def seen_brain(**kwargs: Any) -> rs.BrainPlan:
    return rs.brain_inspired(seeing.protocol(), units=(20, 20), code_units=5, closed=0.5, **kwargs)


def holes() -> np.ndarray:
    broken = FEATURES.copy()
    broken[3, 5] = np.nan
    return broken


SETTINGS: list[tuple[str, Callable[[], Any], str]] = [
    ("scenario", lambda: protocol("episode"), r"scenario: got 'episode', must be one of 'task', 'domain', 'class'"),
    ("scenario of MNIST", lambda: rs.SplitMNIST(scenario="x"), r"SplitMNIST.scenario: got 'x', must be one of 'task'"),
    ("data set", lambda: load("cifar1000"), r"got 'cifar1000', must be one of .*'cifar100'"),
    (
        "contexts",
        lambda: protocol(contexts=4),
        r"contexts: got 4, must be a divisor of the 6 classes: one of \[1, 2, 3, 6\]",
    ),
    (
        "contexts that are used up",
        lambda: protocol(contexts=zip((0, 2), (1, 3), strict=True)),
        r"contexts: got \[\[0, 1\], \[2, 3\]\], must be groups in which each class",
    ),
    ("no contexts", lambda: protocol(contexts=0), r"contexts: got 0, must be a divisor"),
    ("empty context", lambda: protocol(contexts=[[0, 1, 2], [], [3, 4, 5]]), r"context 2 is empty"),
    (
        "class twice",
        lambda: protocol(contexts=[[0, 1, 2], [2, 3, 4, 5]]),
        r"each class of 0, 1, .* stands once \(twice: 2\)",
    ),
    (
        "class left out",
        lambda: protocol(contexts=[[0, 1], [2, 3]]),
        r"stands once \(left out: 4, 5; to do without them",
    ),
    ("labels", lambda: rs.SplitProtocol(IMAGES, None, contexts=3), r"labels: got None, must be one label per stimulus"),
    (
        "too few labels",
        lambda: rs.SplitProtocol(IMAGES, LABELS[:-1], contexts=3),
        r"labels have shape \(119,\), must be \(120,\): one for each stimulus",
    ),
    (
        "hole in the stimuli",
        lambda: rs.SplitProtocol(holes(), LABELS, contexts=3),
        r"stimuli hold NaN or infinity in 1 of 120, first in stimulus 3",
    ),
    (
        "labels out of range",
        lambda: rs.SplitProtocol(IMAGES, LABELS, 3, test_stimuli=IMAGES, test_labels=LABELS + 1),
        r"test labels: label 100 is 6, which no training stimulus has",
    ),
    (
        "bernoulli",
        lambda: brain(protocol_of(FEATURES * 3), reconstruction="bernoulli"),
        r"needs stimuli in \[0, 1\].*gaussian",
    ),
    ("reconstruction", lambda: brain(protocol(), reconstruction="poisson"), r"must be one of 'bernoulli', 'gaussian'"),
    (
        "ingredient",
        lambda: brain(protocol(), without="cortex"),
        r"without: got 'cortex', must be one of 'feedback', 'modes', 'gating', 'internal'",
    ),
    ("re-entry area", lambda: brain(protocol(), reentry="v4").grow(0), r"got 'v4', must be one of"),
    (
        "flat contexts",
        lambda: protocol(contexts=[0, 1, 2, 3, 4, 5]),
        r"must be a list of groups of classes, e.g. \[\[0",
    ),
    (
        "bernoulli above the retina",
        lambda: brain(protocol(), reentry="association_1", reconstruction="bernoulli"),
        r"must be 'gaussian' at association_1",
    ),
    (
        "distillation is no ingredient of a brain",
        lambda: brain(protocol(), without="distillation"),
        r"without: got 'distillation', must be GenerativeReplay\(targets='hard'\)",
    ),
    (
        "internal in a dense cortex",
        lambda: brain(protocol(), without=("internal",)),
        r"without: got 'internal', must be left out: these stimuli are re-created at the retina anyway",
    ),
    (
        "internal and an area",
        lambda: seen_brain(without=("internal",), reentry="early_5"),
        r"reentry: got 'early_5', must be left out where 'internal' is left out",
    ),
    (
        "units of a hippocampus that has none",
        lambda: brain(protocol(), hippocampal_units=(5,)),
        r"hippocampal_units: got \(5,\), must be left out: only without=\('feedback',\) or in generative_pair",
    ),
    (
        "stand-alone beside an own cortex",
        lambda: rs.generative_pair(protocol(), cortex=Ungated),
        r"without: got 'feedback', must be left out with a cortex of your own",
    ),
    (
        "early areas thawed",
        lambda: seen_brain(early="thawed"),
        r"VisualPlan.early: got 'thawed', must be one of 'frozen', 'plastic'",
    ),
    (
        "early area that does not exist",
        lambda: seen_brain(reentry="early_9"),
        r"VisualPlan.reentry: got 'early_9', must be one of 'retina', 'early_1'",
    ),
    (
        "gates where re-entry is at the top",
        lambda: brain(protocol(), reentry="association_2").grow(0),
        r"Gating.closed: got 0.5, must be 0 .* no layer of feedback lies between",
    ),
    (
        "re-entry area of an own cortex",
        lambda: rs.brain_inspired(protocol(), cortex=Nowhere).grow(0),
        r"Nowhere.reentry: got 'v4', must be one of 'retina'",
    ),
    (
        "photographs as intensities",
        lambda: seen_brain(reentry="retina", reconstruction="bernoulli"),
        r'reconstruction="bernoulli" needs stimuli in \[0, 1\]; the train stimuli of .photographs. reach from',
    ),
    (
        "early activity as intensities",
        lambda: seen_brain(reconstruction="bernoulli"),
        r"reconstruction: got 'bernoulli', must be 'gaussian' at early_5: its activity exceeds 1",
    ),
    (
        "XdG in the class scenario",
        lambda: rs.classifier(protocol("class"), context_gating=rs.ContextGating(0.5)),
        r"context_gating: got .*in the class scenario.*left out: it gates the cortex by the context",
    ),
    (
        "XdG in the domain scenario",
        lambda: rs.classifier(protocol("domain"), context_gating=rs.ContextGating(0.5)),
        r"context_gating: got .*in the domain scenario.*only the task scenario makes known at recall",
    ),
    (
        "no context told",
        lambda: xdg().grow(0).perceive(torch.zeros(2, 16)),
        r"Brain.context: got None, must be given: this cortex is gated by context \(from 0\)",
    ),
    ("no episodes", lambda: rs.ExactReplay(budget=0), r"ExactReplay.budget: got 0, must be a whole number >= 1"),
    (
        "rearranged vectors",
        lambda: rs.PermutedProtocol(IMAGES, LABELS, contexts=3),
        r"permutations of non-square stimuli, or of several channels, .* have shape \(16,\), must be square images",
    ),
    (
        "rearranged oblongs",
        lambda: rs.PermutedProtocol(IMAGES.reshape(-1, 2, 8), LABELS, contexts=3),
        r"permutations of non-square stimuli, .* have shape \(2, 8\), must be square images",
    ),
    ("closed gates", lambda: rs.Gating(closed=1.0), r"Gating.closed: got 1.0, must be a number >= 0 and < 1"),
    ("c", lambda: rs.SynapticIntelligence(c=-1), r"SynapticIntelligence.c: got -1, must be a number >= 0"),
    ("lambda", lambda: rs.ElasticWeightConsolidation(-0.1), r"strength: got -0.1, must be a number >= 0"),
    ("not a number", lambda: rs.SynapticIntelligence(c=float("nan")), r"got nan, must be a number >= 0"),
    ("targets", lambda: rs.GenerativeReplay(targets="fuzzy"), r"targets: got 'fuzzy', must be one of 'soft', 'hard'"),
    ("temperature", lambda: rs.GenerativeReplay(temperature=0), r"temperature: got 0, must be a number > 0"),
    ("steps", lambda: rs.Learning(steps=0), r"Learning.steps: got 0, must be a whole number >= 1"),
    ("rate", lambda: rs.Learning(rate="fast"), r"Learning.rate: got 'fast', must be a number > 0"),  # type: ignore[arg-type]
    ("preset", lambda: presets.get("split_mnist/class/magic"), r"got 'split_mnist/class/magic', must be one of"),
]

SIMULATIONS: list[tuple[str, dict[str, Any], str]] = [
    ("device", {"device": "tpu9"}, r"simulate.device: got 'tpu9', must be one of 'cpu', 'cuda', 'mps', 'auto'"),
    ("no animals", {"animals": []}, r"animals: got \(\), must be at least one seed"),
    ("animal twice", {"animals": (12, 13, 12)}, r"must be different seeds: given twice: \[12\]"),
    ("negative animal", {"animals": (-1,)}, r"animals: got -1, must be a whole number >= 0"),
    ("large seed", {"animals": (2**31,)}, r"must be a whole number >= 0 and < 2.14748e\+09"),
    ("one number", {"animals": 12}, r"must be a list of seeds"),
    ("area", {"record": [rs.CorticalActivity("v4")]}, r"got 'v4', must be one of 'retina', 'association_1'"),
    ("replay without replay", {"record": [rs.ReplayActivity()]}, r"replay: got None, must be a replay mechanism"),
    ("importance without rule", {"record": [rs.SynapticImportance()]}, r"consolidation: got None, must be a rule"),
    ("no electrode", {"record": ["spikes"]}, r"record: got 'spikes', must be a list of electrodes"),
    ("replay with joint", {"experience": "joint", "replay": rs.GenerativeReplay()}, r"left out with joint experience"),
    ("experience", {"experience": "dreamt"}, r"one of 'sequential', 'joint'"),
    ("rule", {"consolidation": "si"}, r"consolidation: got 'si', must be a rule"),
    ("replay", {"replay": "soft"}, r"replay: got 'soft', must be GenerativeReplay, ExactReplay or CurrentInputReplay"),
    (
        "stored episodes with joint",
        {"experience": "joint", "replay": rs.ExactReplay(5)},
        r"replay: got ExactReplay\(budget=5.*left out with joint experience: all contexts so far are met again anyway",
    ),
    ("precision", {"precision": "float16"}, r"precision: got 'float16', must be one of"),
    ("workers", {"workers": 0}, r"workers: got 0, must be a whole number >= 1"),
    ("threads", {"threads": 0}, r"threads: got 0, must be a whole number >= 1"),
    ("brain", {"brain": "big"}, r"brain: got 'big', must be a BrainPlan"),
    ("late probes", {"record": [rs.Behaviour(steps=(500,))]}, r"must be steps up to 12"),
]


def protocol_of(values: np.ndarray) -> rs.SplitProtocol:
    return rs.SplitProtocol(values, LABELS, contexts=3)


@pytest.mark.parametrize(("slip", "message"), [s[1:] for s in SETTINGS], ids=[s[0] for s in SETTINGS])
def test_settings(slip: Callable[[], Any], message: str) -> None:
    with pytest.raises(ReplaysimError, match=message):
        slip()


@pytest.mark.parametrize(("settings", "message"), [s[1:] for s in SIMULATIONS], ids=[s[0] for s in SIMULATIONS])
def test_simulations(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ReplaysimError, match=message):
        simulate(**settings)


def test_a_classifier_cannot_replay() -> None:
    plan = rs.classifier(protocol(), units=(20, 20))
    with pytest.raises(ReplaysimError, match="a plain classifier has no feedback to replay through"):
        simulate(brain=plan, replay=rs.GenerativeReplay())
    with pytest.raises(ReplaysimError, match="must be a brain with a hippocampus"):
        simulate(brain=plan, record=[rs.HippocampalCodes()])
    with pytest.raises(ReplaysimError, match="grow one with brain_inspired"):
        plan.grow(0).recall([0])


# --- mechanisms that do not fit the brain or the scenario


@pytest.mark.parametrize("scenario", ["class", "domain"])
def test_gates_by_context_where_the_context_is_not_known(scenario: str) -> None:
    """Also for a plan that was put together by hand."""
    own = protocol(scenario)
    plan = dataclasses.replace(rs.classifier(own, units=(20, 20)), context_gating=rs.ContextGating(0.5))
    message = rf"simulate.brain: got .*gated by context in the {scenario} scenario.*one without context_gating"
    with pytest.raises(ReplaysimError, match=message):
        simulate(protocol=own, brain=plan)


@pytest.mark.parametrize("replay", [rs.GenerativeReplay(), rs.ExactReplay(5), rs.CurrentInputReplay()])
def test_gates_by_context_and_replay(replay: Any) -> None:
    message = rf"replay: got '{type(replay).__name__}', must be left out: a replayed event has no context to gate it by"
    with pytest.raises(ReplaysimError, match=message):
        simulate(protocol=protocol("task"), brain=xdg(), replay=replay)
    whole = dataclasses.replace(brain(protocol("task")), context_gating=rs.ContextGating(0.5))
    with pytest.raises(ReplaysimError, match=r"left out where the cortex is gated by context"):
        replay.check(whole.grow(12))


def test_gates_by_context_in_a_cortex_without_gates() -> None:
    plan = rs.classifier(protocol("task"), cortex=Ungated, context_gating=rs.ContextGating(0.5))
    message = r"context_gating: got 'Ungated', must be left out: this cortex has no area that can be gated"
    for slip in (lambda: simulate(protocol=protocol("task"), brain=plan), lambda: plan.grow(0)):
        with pytest.raises(ReplaysimError, match=message):
            slip()


def test_gates_by_context_in_areas_of_few_units() -> None:
    plan = dataclasses.replace(xdg(), context_gating=rs.ContextGating(0.01))
    with pytest.raises(ReplaysimError, match=r"closed: got 0.01, must be at least 1/20 .*raise `closed` or take more"):
        simulate(protocol=protocol("task"), brain=plan)


def test_current_stimuli_through_the_gates_of_every_context() -> None:
    own = protocol("task")
    message = r"replay: got 'CurrentInputReplay', must be used with a plain classifier\(\) in the task scenario"
    for plan in (brain(own), rs.generative_pair(own, units=(20, 20), code_units=5)):
        with pytest.raises(ReplaysimError, match=message):
            simulate(protocol=own, brain=plan, replay=rs.CurrentInputReplay())


RULES = [rs.SynapticIntelligence(1.0), rs.ElasticWeightConsolidation(1.0), rs.OnlineElasticWeightConsolidation(1.0)]


@pytest.mark.parametrize("rule", RULES)
def test_nothing_to_consolidate(rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The readout counts as covered and always learns: this needs a brain that was tampered with."""
    grow = rs.BrainPlan.grow

    def tampered(self: rs.BrainPlan, *given: Any) -> Any:
        grown = grow(self, *given)
        grown.readout.requires_grad_(False)
        return grown

    plan = rs.classifier(protocol(), cortex=Frozen)
    monkeypatch.setattr(rs.BrainPlan, "grow", tampered)
    name = type(rule).__name__
    message = rf"consolidation: got '{name}', must be left out: no synapse of cortex and readout is plastic"
    with pytest.raises(ReplaysimError, match=message):
        simulate(brain=plan, consolidation=rule)


@pytest.mark.parametrize("rule", RULES)
def test_a_frozen_cortex_leaves_the_readout_to_consolidate(rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    plan = rs.classifier(protocol(), cortex=Frozen)
    result = simulate(brain=plan, consolidation=rule, record=[rs.SynapticImportance()])
    assert set(result.log["synapses"].children) == {"readout"}
    assert (abs(result.log["synapses/readout/importance_sum"]) > 0).all()
    naive = plan.grow(12).cortex.state_dict()
    for name, value in result.brains[12].cortex.state_dict().items():
        assert torch.equal(value, naive[name])


# --- early areas from files


def test_early_areas_that_cannot_be_used(tmp_path: Path) -> None:
    own, file = seeing.protocol(), Path(seeing.developed(tmp_path))
    whole = file.read_bytes()
    plan = seeing.brain(own, developed=str(file))
    with pytest.raises(AssertionError, match="computing began"):
        simulate(protocol=own, brain=plan)
    for damaged in (whole[:-11], whole[:30], b""):
        file.write_bytes(damaged)
        with pytest.raises(ReplaysimError, match=r"areas.safetensors cannot be read .*truncated, or something else"):
            simulate(protocol=own, brain=plan)
    file.write_bytes(whole)
    with pytest.raises(ReplaysimError, match=r"channels \(16, .*, or 'naive'; these have \(2, 3, 4, 5, 6\)"):
        simulate(protocol=own, brain=seen_brain(developed=str(file)))
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(str(file), framework="pt") as held:
        about = held.metadata()
    wrong = {**load_file(str(file)), "early_3.synapses.weight": torch.zeros(4, 3, 5, 5)}
    save_file(wrong, str(file), metadata=about)
    with pytest.raises(ReplaysimError, match=r"early_3.synapses.weight is .* of shape \(4, 3, 5, 5\), must be"):
        simulate(protocol=own, brain=plan)
    file.unlink()
    with pytest.raises(ReplaysimError, match=r"no early areas at .*areas.safetensors"):
        simulate(protocol=own, brain=plan)


def test_slips_are_found_before_activity_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = seeing.protocol()
    plan = seeing.brain(own, developed=seeing.developed(tmp_path))
    monkeypatch.setattr("replaysim.preparation.keep", lambda *_given: pytest.fail("activity was computed"))
    for settings, message in (
        ({"record": [rs.CorticalActivity("v4")]}, "got 'v4', must be one of 'retina', 'early_1'"),
        ({"workers": 0}, "workers: got 0"),
        ({"animals": (12, 12)}, "given twice"),
        ({"device": "tpu9"}, "device: got 'tpu9'"),
    ):
        with pytest.raises(ReplaysimError, match=message):
            simulate(protocol=own, brain=plan, **settings)


def test_stimuli_that_do_not_fit_the_retina() -> None:
    own = seeing.protocol()
    with pytest.raises(ReplaysimError, match=r"areas with image \(3, 16, 16\), .* these have \(3, 32, 32\)"):
        simulate(protocol=own, brain=seen_brain())


def test_a_brain_of_another_protocol() -> None:
    with pytest.raises(ReplaysimError, match="plan it with the same protocol"):
        simulate(brain=brain(protocol("domain")))


def test_gates_that_close_every_unit_of_one_animal() -> None:
    """Checked for every animal that shall live, before the first one does."""
    with pytest.raises(
        ReplaysimError, match=r"closes every unit of feedback layer 1.*lower `closed` or take more units"
    ):
        simulate(brain=brain(protocol(), closed=0.97))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"classes": 3}, r"classes: got 3, must be a list of whole numbers, one per event"),
        ({"classes": [[0, 1]]}, r"classes: got \[\[0, 1\]\], must be a list"),
        ({"classes": [[0], [1, 2]]}, r"classes: got \[\[0\], \[1, 2\]\], must be a list"),
        ({"contexts": iter([0])}, r"contexts: got <list_iterator .* must be a list"),
        ({"events": -1}, r"events: got -1, must be a whole number >= 0"),
        ({"events": 2.5}, r"events: got 2.5, must be a whole number >= 0"),
    ],
)
def test_recall_is_asked_for_lists_and_numbers(asked: dict[str, Any], message: str) -> None:
    with pytest.raises(ReplaysimError, match=r"Brain\.recall\." + message):
        brain(protocol()).grow(0).recall(**asked)


def test_recall_of_what_is_not_there() -> None:
    grown = brain(protocol()).grow(0)
    for classes in ([6], [-1], [0.5]):
        with pytest.raises(ReplaysimError, match=r"Brain.recall.classes: got .* must be whole numbers from 0 to 5"):
            grown.recall(classes)  # type: ignore[arg-type]


# --- folders and logs


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    with pytest.raises(ReplaysimError, match="file"):
        simulate(out=tmp_path / "file")
    assert (tmp_path / "file").read_text(encoding="utf-8") == "mine"
    with pytest.raises(ReplaysimError, match="file"):
        simulate(out=tmp_path / "file" / "below")


def test_a_folder_without_permission(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        (folder / "probe").touch()
        pytest.skip("permissions do not bind this user")
    except OSError:
        with pytest.raises(ReplaysimError, match="locked"):
            simulate(out=folder / "run")
    finally:
        folder.chmod(stat.S_IRWXU)


def test_an_existing_log_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    simulate(out=tmp_path / "run")
    before = (tmp_path / "run" / "run.nc").read_bytes()
    with pytest.raises(ReplaysimError, match="overwrite"):
        simulate(out=tmp_path / "run")
    assert (tmp_path / "run" / "run.nc").read_bytes() == before


@pytest.mark.parametrize("kind", ["truncated", "foreign", "text", "missing"])
def test_files_that_are_no_logs(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.undo()
    path = tmp_path / "run.nc"
    if kind == "truncated":
        simulate(out=tmp_path / "run")
        whole = (tmp_path / "run" / "run.nc").read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "foreign":
        xr.Dataset({"x": ("t", [1.0, 2.0])}).to_netcdf(path)
    elif kind == "text":
        path.write_text("not a log", encoding="utf-8")
    with pytest.raises(ReplaysimError, match=r"run\.nc"):
        rs.open_log(path)
    with pytest.raises(SystemExit) as left:
        cli.main(["describe", str(path)])
    said = capsys.readouterr().err
    assert left.value.code == 2 and said.startswith("error: ") and "run.nc" in said and "Traceback" not in said


def test_files_that_are_no_brains(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    (tmp_path / "file").touch()
    with pytest.raises(ReplaysimError, match=r"cannot write .*brain.safetensors"):
        rs.save_brain(brain(protocol()).grow(0), tmp_path / "file" / "brain.safetensors")
    with pytest.raises(ReplaysimError, match="no brain at"):
        rs.load_brain(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("not a brain", encoding="utf-8")
    with pytest.raises(ReplaysimError, match="cannot be read as a safetensors file"):
        rs.load_brain(tmp_path / "text.safetensors")
    import torch

    save_file({"x": torch.ones(2)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(ReplaysimError, match="holds no brain of replaysim"):
        rs.load_brain(tmp_path / "other.safetensors")


# --- the command line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "split_mnist/class/magic"], "must be one of"),
        (["run"], "replaysim run --list"),
        (["run", "split_mnist/class/nothing", "--animals", "12,12"], "given twice"),
        (["run", "split_mnist/class/nothing", "--animals", "12:"], "--animals"),
        (["run", "split_mnist/class/nothing", "--device", "abacus"], "must be one of 'cpu'"),
    ],
)
def test_the_command_line_speaks_in_sentences(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = rs.SplitProtocol(np.zeros((40, 28, 28), np.uint8), np.arange(40) % 10, 5)
    monkeypatch.setattr("replaysim.protocol.load", lambda _name: own.stimuli)
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    said = capsys.readouterr().err
    assert left.value.code == 2
    assert re.search(message, said), said
    assert "Traceback" not in said


def test_errors_come_back_from_workers() -> None:
    with pytest.raises(ReplaysimError) as raised:
        rs.Learning(steps=0)
    again = pickle.loads(pickle.dumps(raised.value))
    assert (type(again), str(again)) == (type(raised.value), str(raised.value))


def test_named_classes_may_be_given_by_index() -> None:
    names = np.array(list("abcdef"))[LABELS]
    given = [
        rs.SplitProtocol(IMAGES, names, groups)
        for groups in ([[0, 1, 2], [5], [3, 4]], [["a", "b", "c"], ["f"], ["d", "e"]])
    ]
    assert given[0].contexts == given[1].contexts == ((0, 1, 2), (5,), (3, 4))


def test_numpy_numbers_are_numbers() -> None:
    assert rs.Learning(steps=np.int64(3), rate=np.float32(0.1)).steps == 3  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="computing began"):
        simulate(animals=np.arange(12, 14), learning=rs.Learning(np.int64(3), np.int32(8), np.float32(0.1)))  # type: ignore[arg-type]
