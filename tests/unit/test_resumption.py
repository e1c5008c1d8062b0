"""Resumption: the same simulation is not repeated, another one is not taken for it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import seeing
from small import LEARNING, brain, protocol, simulate

import replaysim as rs
from replaysim import life, portions, resumption
from replaysim.cohort import Cohort
from replaysim.conditions import simulate_each
from replaysim.cortex import DenseCortex
from replaysim.early_areas import load_early_areas, save_early_areas
from replaysim.errors import LogError, ReplaysimError, SettingError
from replaysim.resumption import Resumed, is_complete, simulate_once
from replaysim.sameness import differences


def once(out: Path, **changed: Any) -> Resumed:
    own = protocol()
    settings: dict[str, Any] = {"learning": LEARNING, "replay": rs.GenerativeReplay(), "workers": 1, "progress": False}
    return simulate_once(brain(own), own, **{"animals": (12, 13), "out": out, **settings, **changed})


def test_a_complete_log_is_taken_as_it_is(tmp_path: Path) -> None:
    first, again = once(tmp_path), once(tmp_path, workers=2)
    assert first.simulated and not again.simulated
    assert first.log.attrs["id"] == again.log.attrs["id"]
    assert not (tmp_path / "brains").exists()


def test_brains_are_kept_where_they_are_wanted(tmp_path: Path) -> None:
    once(tmp_path)
    kept = once(tmp_path, keep_brains=True)
    assert kept.simulated, "there were none"
    again = once(tmp_path, keep_brains=True)
    assert not again.simulated and list(again.brains) == [12, 13] and len(again.brains) == 2
    one, other = (lived.brains[13].recall([0, 3]).numpy() for lived in (kept, again))
    assert np.array_equal(one, other)
    with pytest.raises(KeyError, match="animal 14 was not simulated"):
        again.brains[14]
    kept.brains.path(12).unlink()
    assert once(tmp_path, keep_brains=True).simulated, "one was missing"


def test_what_was_stopped_is_simulated_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Cohort, "consolidate", stop)
        with pytest.raises(KeyboardInterrupt):
            once(tmp_path)
    assert (tmp_path / "config.json").is_file() and not (tmp_path / "run.nc").exists()
    with pytest.raises(LogError, match="learning"):
        once(tmp_path, learning=replace(LEARNING, steps=13))
    assert once(tmp_path).simulated
    assert rs.open_log(tmp_path).attrs["status"] == "complete"


def test_other_settings_are_another_simulation(tmp_path: Path) -> None:
    once(tmp_path)
    longer = replace(LEARNING, steps=13)
    with pytest.raises(LogError, match=r"learning\.steps is 12, not 13.*--overwrite"):
        once(tmp_path, learning=longer)
    with pytest.raises(LogError, match=r"animals is \[12, 13\], not \[12, 13, 14\]"):
        once(tmp_path, animals=range(12, 15))
    with pytest.raises(LogError, match=r"replay is .*, not None"):
        once(tmp_path, replay=None)
    replaced = once(tmp_path, learning=longer, overwrite=True)
    assert replaced.simulated and replaced.log["learning"].sizes["step"] == 39
    assert not once(tmp_path, learning=longer).simulated


def test_animals_have_no_order(tmp_path: Path) -> None:
    assert not differences({"animals": [14, 12]}, {"animals": [12, 14]})
    assert differences({"animals": [14, 12]}, {"animals": [12, 13]}) == ["animals is [12, 14], not [12, 13]"]
    first = once(tmp_path, animals=(13, 12))
    assert first.simulated and not once(tmp_path, animals=(12, 13)).simulated
    assert not once(tmp_path, animals=(13, 12)).simulated


@pytest.mark.parametrize("draft", ["config.json.tmp", "config.json.0123abcd.tmp"])
@pytest.mark.parametrize("checkpoints", [True, False])
def test_whoever_was_killed_at_the_first_file_begins_again(draft: str, checkpoints: bool, tmp_path: Path) -> None:
    (tmp_path / draft).write_text('{"anim')
    assert once(tmp_path, checkpoints=checkpoints, animals=(12,)).simulated
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "run.nc"]


def test_differences_are_words() -> None:
    one = {"brain": {"closed": 0.5, "units": [1, 2]}, "computation": {"workers": 1}}
    other = {"brain": {"closed": 0.7, "units": [1, 2]}, "computation": {"workers": 2}, "label": "x" * 100}
    assert differences(one, one) == []
    assert differences(one, other) == ["brain.closed is 0.5, not 0.7", f"label is None, not {'x' * 57}..."]


# --- what a configuration only names


def test_another_precision_is_another_simulation(tmp_path: Path) -> None:
    once(tmp_path)
    with pytest.raises(LogError, match=r"computation\.precision is float32, not float64"):
        once(tmp_path, precision="float64")
    assert not once(tmp_path).simulated


def test_other_stimuli_of_the_same_name_and_shape_are_another_simulation(tmp_path: Path) -> None:
    once(tmp_path)
    for other in (protocol(seed=1), relabelled()):
        assert other.describe() == protocol().describe()
        with pytest.raises(LogError, match=r"sha256\.stimuli is [0-9a-f]+\.\.\., not [0-9a-f]+"):
            simulate_once(brain(other), other, animals=(12, 13), out=tmp_path, learning=LEARNING, replay=RECALL)
    assert not once(tmp_path).simulated


RECALL = rs.GenerativeReplay()


def relabelled() -> rs.SplitProtocol:
    """The same stimuli under labels that are exchanged in pairs."""
    own = protocol()
    swapped = {name: getattr(own.stimuli, name) ^ 1 for name in ("train_label", "test_label")}
    return replace(own, stimuli=replace(own.stimuli, **swapped))


def see(out: Path, developed: str) -> Resumed:
    own = seeing.protocol()
    return simulate_once(
        seeing.brain(own, developed=developed),
        own,
        animals=(12,),
        learning=replace(LEARNING, steps=2),
        out=out,
        workers=1,
        progress=False,
    )


def test_other_early_areas_in_the_same_file_are_another_simulation(tmp_path: Path) -> None:
    file = Path(seeing.developed(tmp_path))
    out = tmp_path / "log"
    assert see(out, str(file)).simulated
    moved = file.rename(tmp_path / "moved.safetensors")
    assert not see(out, str(moved)).simulated, "the same areas in another place"
    areas, about = load_early_areas(moved)
    noted = save_early_areas(areas, tmp_path / "noted.safetensors", {**about, "said": "more"})
    assert not see(out, str(noted)).simulated, "the same areas, with another note"
    areas.get_parameter("early_1.synapses.weight").data += 0.1
    save_early_areas(areas, file, about)
    with pytest.raises(LogError, match=r"sha256\.early_synapses is "):
        see(out, str(file))
    assert not see(out, str(moved)).simulated
    with pytest.raises(LogError, match=r"developed is .*, not naive"):
        see(out, "naive")


def change(log: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """Rewrite the settings of a log as another version, or an accident, would have left them."""
    with netCDF4.Dataset(log / "run.nc", "a") as file:
        text = edit(json.loads(file.config_json))
        file.config_json = text if isinstance(text, str) else json.dumps(text)
    (log / "config.json").write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")


def test_logs_of_earlier_versions_know_the_file_of_early_areas_only(tmp_path: Path) -> None:
    file, out = Path(seeing.developed(tmp_path)), tmp_path / "log"
    assert see(out, str(file)).simulated

    def earlier(config: dict[str, Any]) -> dict[str, Any]:
        return config | {"sha256": {n: v for n, v in config["sha256"].items() if n != "early_synapses"}}

    change(out, earlier)
    assert not see(out, str(file)).simulated
    moved = file.rename(tmp_path / "moved.safetensors")
    assert not see(out, str(moved)).simulated, "the same file in another place"
    areas, about = load_early_areas(moved)
    areas.get_parameter("early_1.synapses.weight").data += 0.1
    save_early_areas(areas, file, about)
    with pytest.raises(LogError, match=r"sha256\.early_areas is "):
        see(out, str(file))


def test_logs_of_earlier_versions_lack_checksums(tmp_path: Path) -> None:
    once(tmp_path)
    change(tmp_path, lambda config: {n: v for n, v in config.items() if n != "sha256"})
    assert not once(tmp_path).simulated
    with pytest.raises(LogError, match=r"learning\.steps"):
        once(tmp_path, learning=replace(LEARNING, steps=13))
    change(tmp_path, lambda config: {n: v for n, v in config.items() if n != "computation"})
    assert not once(tmp_path, precision="float64").simulated, "it does not say"


# --- what is not known is not taken


@pytest.mark.parametrize("left", ["nothing", '{"animals": [12', "[]"])
def test_a_log_knows_its_settings_without_their_file(left: str, tmp_path: Path) -> None:
    once(tmp_path)
    config = tmp_path / "config.json"
    config.unlink() if left == "nothing" else config.write_text(left, encoding="utf-8")
    with pytest.raises(LogError, match=r"learning\.steps is 12, not 13"):
        once(tmp_path, learning=replace(LEARNING, steps=13))
    assert not once(tmp_path).simulated


def test_damaged_settings_are_named(tmp_path: Path) -> None:
    once(tmp_path)
    whole = (tmp_path / "run.nc").read_bytes()
    for damaged in ('{"animals": [12', "[]"):
        change(tmp_path, lambda _config, text=damaged: text)
        with pytest.raises(LogError, match=r"run\.nc: its attribute config_json is damaged"):
            once(tmp_path)
        (tmp_path / "run.nc").write_bytes(whole)
    with netCDF4.Dataset(tmp_path / "run.nc", "a") as file:
        del file.config_json
    with pytest.raises(LogError, match=r"run\.nc: its attribute config_json is missing"):
        once(tmp_path)


def test_an_unfinished_log_without_settings_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_in_the_second_context(tmp_path, monkeypatch)
    pieces = sorted(tmp_path.glob("animals/**/*.nc"))
    assert pieces
    for left in ('{"animals": [12', "[]", None):
        config = tmp_path / "config.json"
        config.unlink() if left is None else config.write_text(left, encoding="utf-8")
        with pytest.raises(LogError, match=r"config\.json: is missing, damaged or not of replaysim"):
            once(tmp_path)
    assert sorted(tmp_path.glob("animals/**/*.nc")) == pieces


def stop_in_the_second_context(out: Path, monkeypatch: pytest.MonkeyPatch, **settings_: Any) -> None:
    seen: list[int] = []
    consolidate = Cohort.consolidate

    def stop(*given: Any, **settings: Any) -> Any:
        seen.append(1)
        if len(seen) == 2:
            raise KeyboardInterrupt
        return consolidate(*given, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(Cohort, "consolidate", stop)
        with pytest.raises(KeyboardInterrupt):
            once(out, **settings_)


# --- brains that were kept


@pytest.mark.parametrize(
    "slip", [{"device": "abacus"}, {"record": [3]}, {"record": 3}, {"precision": "float8"}, {"animals": (12, 12)}]
)
def test_a_slip_costs_no_brain(slip: dict[str, Any], tmp_path: Path) -> None:
    once(tmp_path, keep_brains=True)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(files) == 4
    for overwrite in (True, False):
        if slip == {"device": "abacus"} and not overwrite:
            continue  # where it is computed does not matter to a log that is complete
        with pytest.raises(ReplaysimError):
            once(tmp_path, keep_brains=True, overwrite=overwrite, **slip)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


def test_a_setting_that_is_none_is_told(tmp_path: Path) -> None:
    once(tmp_path)
    with pytest.raises(TypeError, match="leraning"):
        once(tmp_path, leraning=3)


def test_brains_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / "brains").mkdir()
    own = {name: tmp_path / "brains" / f"{name}.safetensors" for name in ("mine", "14", "12")}
    for path in own.values():
        path.write_text("mine", encoding="utf-8")
    once(tmp_path)
    assert all(path.read_text(encoding="utf-8") == "mine" for path in own.values())
    with pytest.raises(LogError, match=r"12\.safetensors: is not the brain of animal 12"):
        once(tmp_path, keep_brains=True)
    own.pop("12").unlink()
    assert once(tmp_path, keep_brains=True).simulated
    assert once(tmp_path, overwrite=True, animals=(12, 15)).simulated
    assert sorted(p.name for p in (tmp_path / "brains").iterdir()) == ["14.safetensors", "mine.safetensors"]
    assert all(path.read_text(encoding="utf-8") == "mine" for path in own.values())


def test_brains_never_lie_beside_the_log_of_others(tmp_path: Path) -> None:
    once(tmp_path, keep_brains=True)
    simulate(out=tmp_path, overwrite=True, animals=(12, 13), learning=replace(LEARNING, steps=13), replay=RECALL)
    assert not (tmp_path / "brains").exists()


def fail_at_the_second_brain(monkeypatch: pytest.MonkeyPatch) -> None:
    saved, save = [], resumption.save_brain

    def full(brain: Any, path: Path) -> Path:
        saved.append(path)
        if len(saved) == 2:
            raise LogError("the disk is full")
        return save(brain, path)

    monkeypatch.setattr(resumption, "save_brain", full)


def refuse_to_learn(*_given: Any) -> None:
    raise AssertionError("learning began")


def test_brains_that_could_not_be_kept_cost_no_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, the log was whole and nothing left to make brains of: all was deleted and simulated again."""
    whole = simulate(out=None, animals=(12, 13), replay=RECALL)
    with monkeypatch.context() as patched, pytest.raises(LogError, match="the disk is full"):
        fail_at_the_second_brain(patched)
        once(tmp_path, keep_brains=True, checkpoints=True)
    assert not (tmp_path / "run.nc").exists() and rs.open_log(tmp_path).attrs["status"] == "failed"
    with monkeypatch.context() as patched:
        patched.setattr(life, "learn_context", refuse_to_learn)
        there = once(tmp_path, keep_brains=True, checkpoints=True)
        assert not once(tmp_path, keep_brains=True, checkpoints=True).simulated
    for animal, brain_ in whole.brains.items():
        kept = there.brains[animal].state_dict()
        assert all(np.array_equal(value, kept[name]) for name, value in brain_.state_dict().items())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["brains", "config.json", "run.nc"]


def test_without_checkpoints_the_log_at_least_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched, pytest.raises(LogError, match="the disk is full"):
        fail_at_the_second_brain(patched)
        once(tmp_path, keep_brains=True)
    assert not once(tmp_path).simulated


def test_brains_of_an_unfinished_log_go_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched, pytest.raises(LogError, match="the disk is full"):
        fail_at_the_second_brain(patched)
        once(tmp_path, keep_brains=True, checkpoints=True)
    assert [path.name for path in (tmp_path / "brains").iterdir()] == ["12.safetensors"]
    once(tmp_path, learning=replace(LEARNING, steps=13), overwrite=True)
    assert not (tmp_path / "brains").exists()


def test_brains_with_a_cortex_of_the_users(tmp_path: Path) -> None:
    own = protocol()
    plan = rs.classifier(own, cortex=OwnAreas)
    settings: dict[str, Any] = {"animals": (12,), "learning": LEARNING, "workers": 1, "progress": False}
    for simulated in (True, False):
        there = simulate_once(plan, own, out=tmp_path, keep_brains=True, **settings)
        assert there.simulated == simulated and type(there.brains[12].cortex) is OwnAreas


class OwnAreas(DenseCortex):
    """A colleague's cortex."""

    def __init__(self) -> None:
        super().__init__(16, (9, 8), "association_1")


# --- what can be asked for only once


RETINA = rs.CorticalActivity("retina", stimuli=4)


@pytest.mark.parametrize("record", [lambda: RETINA, lambda: iter([RETINA])], ids=["alone", "generator"])
def test_electrodes_are_asked_for_more_than_once(
    record: Callable[[], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_in_the_second_context(tmp_path / "a", monkeypatch, record=record())
    there = once(tmp_path / "a", record=record())
    assert there.simulated and "cortex" in there.log.children
    assert not once(tmp_path / "a", record=record()).simulated
    own, given = protocol(), {"learning": LEARNING, "workers": 1, "progress": False, "out": tmp_path / "b"}
    (portion,) = portions.live(brain(own), own, animals=iter((12,)), record=record(), **given)
    assert "cortex" in portion.log.children
    arms: dict[str, dict[str, Any]] = {"nothing": {}, "recall": {"replay": RECALL}}
    for _ in range(2):
        shared = {"brain": brain(own), "protocol": own, "animals": iter((12,)), "record": record()}
        logs = simulate_each(arms, **shared, **given)
        assert all("cortex" in log.children for log in logs.values())


# --- places


def test_places_where_no_log_can_be(tmp_path: Path) -> None:
    once(tmp_path / "text" / "log")
    assert not once(f"{tmp_path}/text/log").simulated  # type: ignore[arg-type]
    for out in (None, 3, b"x", "a\0b"):
        for begin in (once, lambda given: simulate(out=given)):
            if out is not None or begin is once:
                with pytest.raises(SettingError, match=r"\.out: got .*, must be the name of a folder"):
                    begin(out)  # type: ignore[operator]
    for out in ("x" * 300, "y/" * 2040 + "y"):
        for begin in (once, lambda given: simulate(out=given)):
            with pytest.raises(LogError, match="File name too long"):
                begin(tmp_path / out)  # type: ignore[operator]


@pytest.mark.parametrize("way", ["animals", "run.nc", "status.json", "brains", "animals/12-13"])
def test_what_is_in_the_way_is_found_first(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_given: Any, **_settings: Any) -> None:
        raise AssertionError("computing began")

    monkeypatch.setattr("replaysim.simulation.Crew.run", run)
    path = tmp_path / way
    path.parent.mkdir(exist_ok=True)
    path.mkdir() if way.startswith(("run", "status")) else path.touch()
    with pytest.raises(LogError, match=rf"{os.path.basename(way)}: is a (file|folder)"):
        once(tmp_path, keep_brains=True)
    with pytest.raises(LogError if way != "brains" else AssertionError):
        simulate(out=tmp_path, overwrite=True)
    assert path.exists()


def test_folders_are_asked_before_anything_is_simulated(tmp_path: Path) -> None:
    own = protocol()
    wanted: dict[str, Any] = {"animals": (12, 13), "out": tmp_path, "learning": LEARNING, "replay": RECALL}
    assert not is_complete(brain(own), own, **wanted) and not list(tmp_path.iterdir())
    once(tmp_path)
    assert is_complete(brain(own), own, **wanted)
    assert not is_complete(brain(own), own, keep_brains=True, **wanted)
    with pytest.raises(LogError, match="other settings"):
        is_complete(brain(own), own, **wanted, chance=2)


def test_brains_may_be_handed_over_besides(tmp_path: Path) -> None:
    """To the folder and to the user; what is no function is refused before anything is computed."""
    given: list[int] = []
    settings: dict[str, Any] = {"keep_brains": True, "keep": lambda brains: given.extend(sorted(brains))}
    assert once(tmp_path, **settings).brains.complete and given == [12, 13]
    once(tmp_path, **settings)
    assert given == [12, 13], "the log is complete"
    for keep_brains in (True, False):
        with pytest.raises(SettingError, match=r"simulate\.keep: got 3, must be None or a function"):
            once(tmp_path / "new", keep_brains=keep_brains, keep=3)
    assert not (tmp_path / "new").exists()
