"""A user's slip is answered, before anything is computed, by a sentence that names the culprit and the way out."""

from __future__ import annotations

import pickle
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
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
    ("no contexts", lambda: protocol(contexts=0), r"contexts: got 0, must be a divisor"),
    ("empty context", lambda: protocol(contexts=[[0, 1, 2], [], [3, 4, 5]]), r"context 2 is empty"),
    ("class twice", lambda: protocol(contexts=[[0, 1, 2], [2, 3, 4, 5]]), r"each class of .* stands once"),
    ("class left out", lambda: protocol(contexts=[[0, 1], [2, 3]]), r"each class of .* stands once"),
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
        r"without: got 'cortex', must be one of 'modes', 'gating'",
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
    ("replay", {"replay": "soft"}, r"replay: got 'soft', must be a GenerativeReplay"),
    ("precision", {"precision": "float16"}, r"precision: got 'float16', must be one of"),
    ("workers", {"workers": 0}, r"workers: got 0, must be a whole number >= 1"),
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


def test_a_brain_of_another_protocol() -> None:
    with pytest.raises(ReplaysimError, match="plan it with the same protocol"):
        simulate(brain=brain(protocol("domain")))


def test_gates_that_close_every_unit_of_one_animal() -> None:
    """Checked for every animal that shall live, before the first one does."""
    with pytest.raises(
        ReplaysimError, match=r"closes every unit of feedback layer 1.*lower `closed` or take more units"
    ):
        simulate(brain=brain(protocol(), closed=0.97))


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

    with pytest.raises(ReplaysimError, match=r"cannot write the brain to .*nowhere"):
        rs.save_brain(brain(protocol()).grow(0), tmp_path / "nowhere" / "brain.safetensors")
    with pytest.raises(ReplaysimError, match="no brain at"):
        rs.load_brain(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("not a brain", encoding="utf-8")
    with pytest.raises(ReplaysimError, match="not a readable brain"):
        rs.load_brain(tmp_path / "text.safetensors")
    import torch

    save_file({"x": torch.ones(2)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(ReplaysimError, match="not one written by save_brain"):
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
