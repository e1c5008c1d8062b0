"""Brains on disk: every kind comes back as it was, also from files of earlier versions, and nothing else is read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import seeing
import small
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

import replaysim as rs
from replaysim.brain import Brain
from replaysim.brain_files import FORMAT, describe_plan, load_brain, save_brain
from replaysim.cortex import DenseCortex
from replaysim.replay import CurrentInputReplay, ExactReplay, GenerativeReplay
from replaysim.visual_cortex import VisualPlan, standing_area

DATA = Path(__file__).parent / "data"
pytestmark = pytest.mark.filterwarnings("ignore:replay enters at")


class Own(DenseCortex):
    """A colleague's cortex."""

    def __init__(self) -> None:
        super().__init__(16, (9, 8), "association_1")


def dense(scenario: str, make: Callable[..., rs.BrainPlan], **settings: Any) -> tuple[Any, rs.BrainPlan]:
    own = small.protocol(scenario)
    return own, make(own, **settings)


def visual(scenario: str, make: Callable[..., rs.BrainPlan], *given: Any, **settings: Any) -> tuple[Any, rs.BrainPlan]:
    own = seeing.protocol(scenario)
    return own, make(own, *given, **settings)


U: dict[str, Any] = {"units": (9, 8)}
RECALL = {"replay": GenerativeReplay()}
KINDS: dict[str, tuple[Callable[[], tuple[Any, rs.BrainPlan]], dict[str, Any]]] = {
    "brain-inspired": (lambda: dense("class", small.brain), RECALL),
    "gates by context": (lambda: dense("domain", small.brain, gates_by="context", faithful=True), RECALL),
    "re-entry above": (lambda: dense("class", small.brain, units=(9, 8, 7), reentry="association_1"), RECALL),
    "classifier": (lambda: dense("class", rs.classifier, **U), {"replay": ExactReplay(2)}),
    "pair": (lambda: dense("class", rs.generative_pair, code_units=4, **U), {"replay": GenerativeReplay("hard")}),
    "XdG": (lambda: dense("task", rs.classifier, context_gating=rs.ContextGating(0.5), **U), {}),
    "own cortex": (lambda: dense("class", rs.brain_inspired, cortex=Own, code_units=4, closed=0.3), RECALL),
    "frozen": (lambda: visual("class", seeing.brain), RECALL),
    "plastic": (lambda: visual("class", seeing.brain, "plastic", "early_3"), RECALL),
    "visual classifier": (lambda: visual("class", seeing.classifier, "plastic"), {"replay": CurrentInputReplay()}),
    "visual pair": (lambda: visual("class", seeing.pair), {"replay": GenerativeReplay("hard")}),
    "visual pair above": (lambda: visual("task", seeing.pair, "frozen", "early_3"), RECALL),
    "visual XdG": (lambda: visual("task", seeing.classifier, gating=rs.ContextGating(0.5)), {}),
}


@torch.no_grad()
def answers(own: Brain, stimulus: torch.Tensor) -> dict[str, torch.Tensor]:
    """Everything that a brain says to stimuli, and what it recalls."""
    context = None if own.context_gates is None else torch.arange(len(stimulus)) % 3
    found = dict(own.perceive(stimulus, context=context))
    found["logits"] = own.readout(found[own.top])
    if own.hippocampus is not None:
        code = own.encode(found[own.top if own.hippocampus.reads_top else own.cortex.reentry])
        found |= {"code": code.mean, "log variance": code.log_variance}
        found["recalled"] = own.recall([0, 1, 1], contexts=[0, 2, 1], seed=3)
    return found


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", KINDS)
def test_a_brain_comes_back_as_it_was(name: str, precision: str, tmp_path: Path) -> None:
    make, mechanisms = KINDS[name]
    own, plan = make()
    learning = rs.Learning(3, 6, 3e-3)
    result = small.simulate(protocol=own, brain=plan, learning=learning, precision=precision, **mechanisms)
    trained = result.brains[12]
    shape = own.stimuli.shape if name.startswith(("visual", "frozen", "plastic")) else (16,)
    stimulus = torch.rand(5, *shape, generator=torch.Generator().manual_seed(0)).to(trained.readout.weight.dtype)
    path = save_brain(trained, tmp_path / "brain.safetensors")
    cortex: Any = {"cortex": Own} if name == "own cortex" else {}
    loaded = load_brain(path, **cortex)
    assert loaded.plan == trained.plan == plan
    assert (loaded.animal, loaded.class_identity) == (12, tuple(own.curriculum(12).class_identity))
    assert loaded.training is False and trained.training is False
    state = trained.state_dict()
    assert state.keys() == loaded.state_dict().keys()
    for key, value in loaded.state_dict().items():
        assert value.dtype == state[key].dtype and torch.equal(value, state[key]), key
    statistics = {n: v.clone() for n, v in loaded.named_buffers()}
    plastic = {n for n, p in trained.named_parameters() if p.requires_grad}
    assert plastic == {n for n, p in loaded.named_parameters() if p.requires_grad}, "what is frozen stays so"
    before, after = answers(trained, stimulus), answers(loaded, stimulus)
    assert before.keys() == after.keys()
    for key, value in before.items():
        assert torch.equal(value, after[key]), key
    assert all(torch.equal(value, statistics[n]) for n, value in loaded.named_buffers()), "asking changes nothing"
    if trained.context_gates is not None:
        with pytest.raises(rs.SettingError, match=r"Brain.context: got None, must be given: .* gated by context"):
            loaded.perceive(stimulus)


def test_early_areas_need_no_file_any_more(tmp_path: Path) -> None:
    """Their file may be gone; the plan goes on naming it, so that nobody begins with naive ones unawares."""
    own, file = seeing.protocol(), seeing.developed(tmp_path)
    for plan in (seeing.brain(own, developed=file), seeing.pair(own, developed=file)):
        result = small.simulate(protocol=own, brain=plan, learning=rs.Learning(2, 6, 1e-3), **RECALL)
        path = save_brain(result.brains[12], tmp_path / "brain.safetensors")
        whole = Path(file).read_bytes()
        Path(file).unlink()
        trained, loaded = result.brains[12], load_brain(path)
        assert loaded.plan == trained.plan == plan
        assert isinstance(loaded.plan.cortex, VisualPlan) and loaded.plan.cortex.developed == file
        for key, value in trained.state_dict().items():
            assert torch.equal(value, loaded.state_dict()[key]), key
        wanted = "early_5" if plan.cortex.early == "frozen" else "retina"  # type: ignore[attr-defined]
        assert standing_area(loaded.cortex) == standing_area(trained.cortex) == wanted
        with pytest.raises(rs.LogError, match=r"no early areas at .*areas\.safetensors"):
            loaded.plan.grow(0)
        Path(file).write_bytes(whole)


# --- other versions


@torch.no_grad()
@pytest.mark.parametrize("name", ["brain_inspired", "classifier"])
def test_brains_of_the_first_format(name: str, tmp_path: Path) -> None:
    """Written by version 0.1.0: they answer and recall as they did, and can be saved again."""
    loaded = load_brain(DATA / f"{name}_format_1.safetensors")
    wanted = np.load(DATA / f"{name}_format_1.npz")
    assert loaded.animal == 12 and sorted(loaded.class_identity) == list(range(6))
    assert loaded.plan.context_gating is None and loaded.plan.cortex.units == (8, 7)  # type: ignore[attr-defined]
    again = load_brain(save_brain(loaded, tmp_path / "brain.safetensors"))
    for own in (loaded, again):
        seen = own.perceive(torch.from_numpy(wanted["stimulus"]))
        np.testing.assert_allclose(own.readout(seen[own.top]).numpy(), wanted["logits"], atol=1e-6)
        if name == "brain_inspired":
            np.testing.assert_allclose(own.recall([0, 3, 5], seed=1).numpy(), wanted["recalled"], atol=1e-6)
    assert again.plan == loaded.plan


def about(path: Path) -> dict[str, Any]:
    with safe_open(str(path), framework="pt") as file:
        return dict(json.loads(file.metadata()["replaysim_brain"]))


def test_brains_of_the_future_are_not_guessed_at(tmp_path: Path) -> None:
    path = tmp_path / "brain.safetensors"
    grown = rs.classifier(small.protocol(), **U).grow(3)
    save_brain(grown, path)
    note = about(path)
    assert note["format"] == FORMAT and note["plan"]["cortex"]["kind"] == "dense"
    save_file(dict(grown.state_dict()), str(path), metadata={"replaysim_brain": json.dumps(note | {"format": 9})})
    with pytest.raises(rs.LogError, match=r"brain format 9, but this replaysim reads formats \(1, 2\)"):
        load_brain(path)


def rewritten(path: Path, state: dict[str, torch.Tensor], note: Any) -> None:
    tensors = {name: value.clone().contiguous() for name, value in state.items()}
    save_file(tensors, str(path), metadata={"replaysim_brain": json.dumps(note)})


State = dict[str, torch.Tensor]
TENSORS: dict[str, tuple[Callable[[State], State], str]] = {
    "shape": (lambda s: s | {"readout.weight": s["readout.weight"][:, :3]}, r"readout.weight is .* must be torch.fl"),
    "lacking": (lambda s: {n: v for n, v in s.items() if n != "readout.weight"}, "'readout.weight' is missing"),
    "extra": (lambda s: s | {"more": torch.zeros(1)}, "holds 'more', for which there is no place"),
    "no gates": (lambda s: {n: v for n, v in s.items() if not n.startswith("gates.")}, "'gates.layer_1' is missing"),
    "a gate too many": (lambda s: s | {"gates.layer_3": s["gates.layer_1"]}, "holds 'gates.layer_3'"),
    "float gates": (lambda s: s | {"gates.layer_1": s["gates.layer_1"].float()}, "gates.layer_1 is torch.float32"),
    "gates of few": (lambda s: s | {"gates.layer_1": s["gates.layer_1"][:2]}, "gates.layer_1 is torch.uint8 of shape"),
    "gates of 7": (lambda s: s | {"gates.layer_1": s["gates.layer_1"] * 7}, r"gates.layer_1 holds 7, must be 0 "),
    "NaN": (lambda s: s | {"readout.bias": s["readout.bias"] * float("nan")}, "readout.bias holds NaN"),
    "half": (lambda s: {n: v.half() if v.is_floating_point() else v for n, v in s.items()}, "is torch.float16"),
    "mixed": (lambda s: s | {"readout.weight": s["readout.weight"].double()}, "must be torch.float64"),
}


@pytest.mark.parametrize("what", TENSORS)
def test_brains_with_other_tensors_are_refused(what: str, tmp_path: Path) -> None:
    path = tmp_path / "brain.safetensors"
    grown = KINDS["brain-inspired"][0]()[1].grow(3)
    note = about(save_brain(grown, path))
    change, words = TENSORS[what]
    rewritten(path, change(dict(grown.state_dict())), note)
    with pytest.raises(rs.DataError, match=rf"brain\.safetensors: .*{words}"):
        load_brain(path)


def test_gates_by_context_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "brain.safetensors"
    grown = KINDS["XdG"][0]()[1].grow(3)
    note = about(save_brain(grown, path))
    for lacking in ("context_gates.association_1", "context_gates."):
        rewritten(path, {n: v for n, v in grown.state_dict().items() if not n.startswith(lacking)}, note)
        with pytest.raises(rs.DataError, match=r"'context_gates\.association_1' is missing"):
            load_brain(path)


def plan(**changed: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda note: note | {"plan": note["plan"] | changed}


NOTES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no table": (lambda note: [1, 2], "holds no brain of replaysim"),
    "no format": (lambda note: {n: v for n, v in note.items() if n != "format"}, "brain format None"),
    "no plan": (lambda note: {n: v for n, v in note.items() if n != "plan"}, "note about the plan .* is missing"),
    "odd plan": (lambda note: note | {"plan": 3}, "note about the plan .* is missing or damaged"),
    "no cortex": (plan(cortex=None), "note about the plan .* is missing or damaged"),
    "odd cortex": (plan(cortex={"kind": "dense", "size": 3}), r"no brain grows from its note about the plan \(TypeErr"),
    "odd hippocampus": (plan(hippocampus=7), "no brain grows from its note"),
    "odd answers": (plan(answers="six"), "no brain grows from its note"),
    "odd modes": (plan(modes={"per_class": -1}), "no brain grows from its note"),
    "unknown part": (plan(cerebellum=1), "no brain grows from its note"),
    "no animal": (lambda note: {n: v for n, v in note.items() if n != "animal"}, "does not say animal"),
    "odd animal": (lambda note: note | {"animal": "12"}, "animal is '12', must be a seed"),
    "no order": (lambda note: {n: v for n, v in note.items() if n != "class_identity"}, "not say class_identity"),
    "odd order": (lambda note: note | {"class_identity": "abc"}, "class_identity is 'abc'"),
    "short order": (lambda note: note | {"class_identity": [0, 1, 2]}, r"class_identity is \[0, 1, 2\], must hold"),
    "class twice": (lambda note: note | {"class_identity": [0, 1, 2, 3, 4, 4]}, "must hold every class once"),
}


@pytest.mark.parametrize("what", NOTES)
def test_brains_with_damaged_notes_are_refused(what: str, tmp_path: Path) -> None:
    path = tmp_path / "brain.safetensors"
    grown = KINDS["brain-inspired"][0]()[1].grow(3)
    note = about(save_brain(grown, path))
    change, words = NOTES[what]
    rewritten(path, dict(grown.state_dict()), change(note))
    with pytest.raises(rs.LogError, match=rf"brain\.safetensors.*{words}"):
        load_brain(path)
    rewritten(path, dict(grown.state_dict()), note | {"class_identity": [5, 0, 1, 2, 4, 3], "animal": 12})
    assert load_brain(path).animal == 12


def test_an_own_cortex_must_be_given_again(tmp_path: Path) -> None:
    _own, plan = KINDS["own cortex"][0]()
    path = save_brain(plan.grow(0), tmp_path / "brain.safetensors")
    with pytest.raises(rs.SettingError, match=r"load_brain.cortex: got None, must be given: .* own, made by .*Own"):
        load_brain(path)


def test_what_earlier_versions_could_not_set_is_said_only_where_it_differs(tmp_path: Path) -> None:
    plan = seeing.pair(seeing.protocol())
    assert "descending_gain" not in describe_plan(plan), "logs of earlier versions can be gone on with"
    other = dataclasses.replace(plan, descending_gain="uniform")
    assert describe_plan(other) == {**describe_plan(plan), "descending_gain": "uniform"}
    for one in (plan, other):
        assert load_brain(save_brain(one.grow(12), tmp_path / "brain.safetensors")).plan == one


def test_files_are_plain() -> None:
    """What a log's configuration says about a brain is what its file says, and can be written as JSON."""
    for make, _mechanisms in KINDS.values():
        _own, plan = make()
        described = describe_plan(plan)
        assert json.loads(json.dumps(described)).keys() == described.keys()
        kind = described["cortex"].get("kind", "own")
        assert kind in ("own", "dense", "visual")


def test_a_naive_brain_can_be_saved(tmp_path: Path) -> None:
    """Also one that no simulation has seen, and that is in training mode."""
    for name in ("XdG", "visual pair", "plastic"):
        _own, plan = KINDS[name][0]()
        grown = plan.grow(12)
        assert isinstance(grown, nn.Module) and grown.training
        loaded = load_brain(save_brain(grown, tmp_path / f"{name}.safetensors"))
        assert loaded.animal is None and loaded.class_identity == ()
        for key, value in grown.state_dict().items():
            assert torch.equal(value, loaded.state_dict()[key]), key
