"""Portions: a stop costs one of them, animals are added later, and nobody is simulated twice or lost."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import LEARNING, brain, protocol

import replaysim as rs
from analysis.forgetting import final_accuracy
from replaysim import portions, resumption
from replaysim.checkpoints import Checkpoint
from replaysim.crew import divide
from replaysim.errors import LogError, SettingError
from replaysim.portions import Portion, gather, label, live


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """What is really simulated."""
    seen: list[tuple[int, ...]] = []
    real = resumption.simulate

    @functools.wraps(real)
    def simulate(*args: Any, **settings: Any) -> Any:
        if len(seen) == stop_at[0]:
            raise KeyboardInterrupt
        seen.append(tuple(settings["animals"]))
        return real(*args, **settings, progress=False)

    monkeypatch.setattr(resumption, "simulate", simulate)
    return seen


stop_at = [-1]


def run(out: Path, animals: Any, **settings: Any) -> list[Portion]:
    own = protocol()
    given = {"learning": LEARNING, "workers": 1, **settings}
    return list(live(brain(own), own, animals=animals, out=out, **given))


def test_a_stop_costs_one_portion(tmp_path: Path, simulated: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setitem(globals(), "stop_at", [2])
        run(tmp_path, (12, 13, 14), at_once=1)
    assert simulated == [(12,), (13,)]
    found = run(tmp_path, (12, 13, 14), at_once=1)
    assert simulated[2:] == [(14,)], "complete animals are not simulated again"
    assert [one.animals for one in found] == [(12,), (13,), (14,)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["animals_12", "animals_13", "animals_14"]


def test_animals_are_added_and_chosen(tmp_path: Path, simulated: list[Any]) -> None:
    run(tmp_path, (12, 13))
    more = run(tmp_path, (15, 13, 12))
    assert simulated == [(12, 13), (15,)]
    values = gather(more, (15, 13, 12), final_accuracy)
    assert values["animal"].values.tolist() == [15, 13, 12] and values.dims == ("animal",)
    for portion in more:
        own = final_accuracy(portion.log)
        assert np.array_equal(values.sel(animal=list(portion.animals)), own.sel(animal=list(portion.animals)))
    assert gather(run(tmp_path, (13,)), (13,), final_accuracy)["animal"].values.tolist() == [13]
    assert len(simulated) == 2


def test_animals_in_any_order_are_the_same_portions(tmp_path: Path, simulated: list[Any]) -> None:
    for animals in ((14, 12), (14, 12), (12, 14)):
        found = run(tmp_path, animals)
        assert gather(found, animals, final_accuracy)["animal"].values.tolist() == list(animals)
    assert simulated == [(12, 14)] and [path.name for path in tmp_path.iterdir()] == ["animals_12_14"]


def stop_after_a_context(out: Path, monkeypatch: pytest.MonkeyPatch, animals: Any, **settings: Any) -> None:
    save = Checkpoint.save

    def saved(self: Checkpoint, *given: Any) -> None:
        save(self, *given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoint, "save", saved)
        run(out, animals, **settings)


def test_what_was_begun_is_gone_on_with(tmp_path: Path, simulated: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """However portions are cut now."""
    stop_after_a_context(tmp_path, monkeypatch, (12, 13), at_once=2)
    assert run(tmp_path, (12, 13, 14, 15), only_finished=True) == []
    found = run(tmp_path, (12, 13, 14, 15), at_once=4)
    assert simulated == [(12, 13), (12, 13), (14, 15)]
    assert [one.folder.name for one in found] == ["animals_12-13", "animals_14-15"]
    same = run(tmp_path / "whole", (12, 13))[0].log
    assert found[0].log["learning"].to_dataset().equals(same["learning"].to_dataset())


def test_what_was_begun_by_others_is_not(tmp_path: Path, simulated: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Other settings, animals that were not asked for, or no place to go on from."""
    stop_after_a_context(tmp_path, monkeypatch, (12, 13), learning=rs.Learning(steps=13, batch=8, rate=3e-3))
    stop_after_a_context(tmp_path, monkeypatch, (14, 19))
    stop_after_a_context(tmp_path, monkeypatch, (15, 16))
    (tmp_path / "animals_15-16" / "animals" / "15-16" / "checkpoint.safetensors").unlink()
    (tmp_path / "animals_17").mkdir()
    found = run(tmp_path, range(12, 17))
    assert simulated[3:] == [(12, 13, 14, 15, 16)] and [one.folder.name for one in found] == ["animals_12-16"]


def test_only_what_is_finished(tmp_path: Path, simulated: list[Any]) -> None:
    """Nothing is simulated, nor deleted, because brains are wanted that were not kept."""
    run(tmp_path, (12, 13), at_once=1)
    run(tmp_path, (14,), keep_brains=True)
    for overwrite in (False, True):
        found = run(tmp_path, (12, 13, 14), keep_brains=True, only_finished=True, overwrite=overwrite)
        assert [one.animals for one in found] == [(14,)] and len(simulated) == 3
    assert len(run(tmp_path, (12, 13, 14), only_finished=True)) == 3


def test_logs_from_before_there_were_portions(tmp_path: Path, simulated: list[Any]) -> None:
    own = protocol()
    resumption.simulate_once(brain(own), own, animals=(12, 13), learning=LEARNING, workers=1, out=tmp_path)
    found = run(tmp_path, (12, 13, 14))
    assert simulated == [(12, 13), (14,)] and [one.folder for one in found] == [tmp_path, tmp_path / "animals_14"]


def test_other_settings_are_refused_or_overwritten(tmp_path: Path, simulated: list[Any]) -> None:
    longer = rs.Learning(steps=13, batch=8, rate=3e-3)
    run(tmp_path, (12, 13))
    with pytest.raises(LogError, match="holds a log of other settings"):
        run(tmp_path, (13, 14), learning=longer)
    with pytest.raises(LogError, match=r"also holds animals that were not asked for: \[12\]"):
        run(tmp_path, (13, 14), learning=longer, overwrite=True)
    assert simulated == [(12, 13)]
    run(tmp_path, (12, 13, 14), learning=longer, overwrite=True)
    assert simulated[1:] == [(12, 13), (14,)]
    assert all(one.log["learning"].sizes["step"] == 39 for one in run(tmp_path, (12, 13, 14), learning=longer))
    assert len(simulated) == 3


def test_brains_lie_beside_their_portion(tmp_path: Path, simulated: list[Any]) -> None:
    for _ in range(2):
        first, second = run(tmp_path, (12, 13, 14), at_once=2, keep_brains=True)
    assert simulated == [(12, 13), (14,)]
    assert list(first.brains) == [12, 13] and first.brains[13].recall([0]).shape == (1, 16)
    assert second.brains.path(14).is_file()


def test_names_and_sizes() -> None:
    assert [label(a) for a in ((12,), (12, 13), (12, 14))] == ["animals_12", "animals_12-13", "animals_12_14"]
    assert portions.portions((1, 2, 3), 2) == [(1, 2), (3,)] and portions.portions((1, 2, 3), None) == [(1, 2, 3)]
    assert portions.portions((), None) == []
    known = {"device": "cpu", "workers": 3}
    assert portions.together(None, wide=True, **known) == 3 and portions.together(None, wide=False, **known) is None
    assert portions.together(None, wide=True, device="cuda", workers=3) is None
    assert portions.together(5, wide=True, **known) == 5


def test_a_portion_has_a_core_for_each_thread_of_its_animals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replaysim.crew.cores", lambda: 8)
    found = [portions.together(None, wide=True, device="cpu", workers=None, threads=n) for n in (1, 3, 9)]
    assert found == [8, 2, 1]
    assert [divide((12, 13, 14), "cpu", None, 10**8, threads=n)[1] for n in (1, 3, 9)] == [3, 2, 1]


def test_a_portion_has_somebody() -> None:
    with pytest.raises(SettingError, match="at_once: got 0"):
        portions.together(0, wide=True, device="cpu", workers=3)
