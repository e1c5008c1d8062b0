"""The code of docs/extending.md runs as it is written, and its examples do what the text says of them."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch

import replaysim as rs
from analysis.forgetting import final_accuracy
from replaysim.early_areas import load_early_areas

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "extending.md").read_text(encoding="utf-8")
HEADINGS = (
    "Your own labelled arrays",
    "The same categories on several days",
    "Your own protocol",
    "Your own cortex",
    "Your own rule of synaptic consolidation",
    "Another kind of replay",
    "Your own early visual areas",
    "The early areas of the paper",
)


@cache
def blocks() -> dict[str, list[str]]:
    """Heading to the Python blocks below it; headings without any are left out."""
    sections = re.split(r"^## (.+)$", TEXT, flags=re.MULTILINE)[1:]
    found = {
        heading: re.findall(r"^```python\n(.*?)^```$", body, flags=re.MULTILINE | re.DOTALL)
        for heading, body in zip(sections[::2], sections[1::2], strict=True)
    }
    return {heading: code for heading, code in found.items() if code}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that an example writes go to a folder of its own, and it computes in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rs, "simulate", partial(rs.simulate, workers=1, progress=False))


def run(heading: str) -> dict[str, Any]:
    """Run what stands below a heading, as a reader who copies it would; the names it leaves."""
    names: dict[str, Any] = {"__name__": "example"}
    for code in blocks()[heading]:
        exec(compile(code, f"docs/extending.md: {heading}", "exec", dont_inherit=True), names)
    return names


def test_no_code_is_passed_over() -> None:
    assert tuple(blocks()) == HEADINGS
    assert TEXT.count("```python") == sum(map(len, blocks().values())) == TEXT.count("```") / 2


@pytest.mark.parametrize("heading", ["Your own labelled arrays", "Your own cortex"])
def test_an_example_learns(heading: str) -> None:
    """Each context just learned is better known than by chance, among its own classes."""
    behaviour = run(heading)["result"].log["behaviour"].sel(answers="within_context")
    for context in behaviour.context.values:
        learned = behaviour.sel(context=context, contexts_learned=context)
        assert learned.accuracy.mean() > learned.chance + 0.1 or learned.chance == 1


def test_the_first_day_is_lost_without_protection() -> None:
    logs = run("The same categories on several days")["logs"]
    lost = {}
    for name, log in logs.items():
        first = log["behaviour/accuracy"].sel(answers="all", context=1)
        assert log["behaviour/class_identity"].sizes["class"] == 40 and (first.sel(contexts_learned=1) > 0.8).all()
        lost[name] = first.sel(contexts_learned=1) - first.sel(contexts_learned=4)
    assert (lost["nothing"] > 0.15).all() and (lost["systems"] < 0.1).all(), lost


def test_a_little_interleaving_protects() -> None:
    logs = run("Your own protocol")["logs"]
    accuracy = {name: final_accuracy(log).values for name, log in logs.items()}
    assert accuracy["0%"].mean() < 0.25 and (accuracy["20%"] > accuracy["0%"] + 0.2).all(), accuracy
    told = re.search(r"A tenth of old trials takes these animals from (\d+) to (\d+) %, a fifth to (\d+) %", TEXT)
    assert told is not None
    for share, percent in zip(("0%", "10%", "20%"), told.groups(), strict=True):  # elsewhere sums round differently
        assert abs(100 * accuracy[share].mean() - int(percent)) < 3, accuracy
    assert len({log.attrs["config_sha256"] for log in logs.values()}) == 3  # told apart


def test_the_rule_holds_all_synapses_alike() -> None:
    names = run("Your own rule of synaptic consolidation")
    held = names["result"].log["synapses"]
    settings = {name: names[name] for name in ("brain", "protocol")}
    free = rs.simulate(
        **settings,
        animals=range(4),
        learning=rs.Learning(steps=50, batch=32, rate=3e-3),
        consolidation=names["AllAlike"](strength=0.0),
        record=[rs.SynapticImportance()],
    ).log["synapses"]
    for pathway in ("feedforward", "readout"):
        assert (held[pathway].importance == 1).all()
        moved, freely = (log[pathway].change_sum.values for log in (held, free))
        assert (moved[:, 0] == freely[:, 0]).all()  # there is no penalty in the first context
        assert (moved[:, 1:] < 0.5 * freely[:, 1:]).all()
    bare = rs.simulate(**settings, animals=range(4), learning=names["learning"]).log
    gained = final_accuracy(names["aware"].log) - final_accuracy(bare)
    assert (gained > -0.02).all() and gained.mean() > 0.04, gained.values


def test_the_kind_of_replay_has_hard_targets() -> None:
    names = run("Another kind of replay")
    final = {"answers": "all", "contexts_learned": 5}
    accuracy = {name: log["behaviour/accuracy"].sel(final).mean("animal") for name, log in names["logs"].items()}
    lost = accuracy["all alike"] - accuracy["recent first"]
    assert lost.sel(context=1) > 0.15 and lost.sel(context=1) > lost.sel(context=4) + 0.1, lost.values
    given = {name: names[name] for name in ("brain", "protocol", "learning")}
    given["learning"] = replace(names["learning"], steps=20)
    own = rs.simulate(**given, animals=range(4), replay=names["OwnDecisions"]()).log["learning/loss"]
    for loss, meets, avoids in (
        (own, "replayed_classification", "replayed_distillation"),
        (names["result"].log["learning/loss"], "replayed_distillation", "replayed_classification"),
    ):
        later = loss.sel(step=loss.context > 1)
        assert (later.sel(component=meets) > 0).all() and (later.sel(component=avoids) == 0).all()
    protocol = rs.SplitDigits()
    with pytest.raises(rs.SettingError, match=r"OwnDecisions.brain: .* must be a classifier\(\)"):
        rs.simulate(rs.brain_inspired(protocol), protocol, animals=[0], replay=names["OwnDecisions"]())


def test_early_areas_of_other_channels() -> None:
    names = run("Your own early visual areas")
    early = names["result"].brains[0].cortex.early  # the second life was that of the trained areas
    assert [early.shapes[area] for area in early.areas] == [(3, 16, 16), (8, 16, 16), (16, 8, 8), (32, 4, 4)]
    assert names["path"].parent.resolve() == (Path.cwd() / "runs").resolve()
    for name, value in names["areas"].state_dict().items():
        assert torch.equal(early.state_dict()[name], value), name


def test_what_is_said_of_early_areas_that_fit_no_others() -> None:
    names = run("Your own early visual areas")
    plan, protocol = names["naive"], names["protocol"]
    shipped = replace(plan, cortex=replace(plan.cortex, developed=None))
    with pytest.raises(rs.SettingError, match=r"channels \(8, 16, 32\).* these have \(16, 32, 64, 128, 256\)"):
        rs.simulate(shipped, protocol, animals=[0])
    usual = rs.brain_inspired(protocol)
    with pytest.raises(rs.SettingError, match=r"image \(3, 16, 16\).* these have \(3, 32, 32\)"):
        rs.simulate(usual, protocol, animals=[0])


def test_arrays_of_published_areas_become_a_file() -> None:
    names = run("The early areas of the paper")
    areas, _about = load_early_areas("runs/paper_early_areas.safetensors")
    published, state = names["published"], areas.state_dict()
    assert len(published) == len(state) == 30
    order = [name.partition(".")[2] for name in state]
    norm = [
        f"normalisation.{what}" for what in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    ]
    synapses = ["synapses.weight", "synapses.bias"]
    assert order == [*synapses, *norm] * 4 + synapses, "the order of the published file"
    assert torch.equal(state["early_3.synapses.weight"], published[14])
    assert torch.equal(state["early_4.normalisation.running_var"], published[26])
