"""What a life costs: timed by differences, remembered by the process, and told in words."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import replaysim as rs
from replaysim import presets
from replaysim.errors import SettingError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def cost(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(ROOT / "studies")
    yield importlib.import_module("cost")


@pytest.mark.parametrize(
    ("name", "kind", "each"),
    [
        ("split_mnist/task/gr", rs.SplitProtocol, 2),
        ("permuted_mnist/domain/si", rs.PermutedProtocol, 10),
        ("split_cifar100/class/brain_inspired", rs.SplitProtocol, 10),
    ],
)
def test_noise_has_the_form_of_the_stimuli(cost: ModuleType, name: str, kind: type, each: int) -> None:
    preset = presets.get(name)
    given = cost.sizes(preset, "cpu")
    protocol = cost.noise(preset, 5, given.contexts)
    assert isinstance(protocol, kind) and protocol.scenario == name.split("/")[1]
    assert protocol.class_counts == (each,) * given.contexts and given.batch == preset.learning.batch
    assert given.all * protocol.stimuli.n_classes in (50_000, 60_000)
    assert preset.brain(protocol).grow(12) is not None, "brains of the arm see it"


def test_what_is_not_a_step_does_not_count_as_one(cost: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lives take a fixed time, much longer with all stimuli, and a quarter of a second a step."""
    asked: list[tuple[int, int]] = []

    def lived(preset: Any, protocol: Any, animals: Any, computed: Any, learning: rs.Learning) -> float:
        asked.append((len(protocol.stimuli.train), learning.steps))
        return (3.0 if len(asked) == 1 else 0.0) + len(protocol.stimuli.train) / 1000 + 0.25 * learning.steps * 10

    monkeypatch.setattr(cost, "lived", lived)
    given = cost.Sizes(short=1, long=3, few=2, all=20, contexts=10, batch=4)
    found = cost.cost("split_cifar100/class/nothing_frozen", (12,), {"device": "cpu"}, given)
    assert found.step == pytest.approx(0.25) and found.beside == pytest.approx(2.0)
    assert found.memory == pytest.approx(cost.most_memory("cpu"), rel=0.1), "of this process"
    assert asked == [(200, 1), (200, 3), (200, 1), (2000, 1)]
    assert cost.cost("permuted_mnist/domain/si", (12,), {"device": "cpu"}, given).beside is None
    words = cost.line("split_cifar100/class/nothing_frozen", found).split("  ")
    assert [word.strip() for word in words if word][:5] == ["nothing_frozen", "250 ms", "50,000", "3.5 h", "2 s"]


def test_words_for_time(cost: ModuleType) -> None:
    found = [cost.duration(s) for s in (0.123, 59.0, 90, 3599, 9000, 86400 * 2.5, 86400 * 123.4)]
    assert found == ["0.12 s", "59 s", "1.5 min", "60 min", "2.5 h", "2.5 days", "123 days"]


def test_from_the_command_to_the_table(
    cost: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cost, "apart", lambda what, *given: what(*given))
    cost.main(cost.Settings(protocol="split-mnist", arms="si,ewc", animals=(12, 13), quick=True))
    text = capsys.readouterr().out
    assert text.startswith("split_mnist/class, noise for stimuli, float32, animals 12–13\n")
    assert len(re.findall(r"^(?:si|ewc) +[\d.e+]+ ms +10,000 ", text, flags=re.MULTILINE)) == 2
    assert "of 2 animals together" in text and "QUICK" in text and "- run 1: `" in text
    with pytest.raises(SettingError, match=r"compare_methods\.arms: got 'x'"):
        cost.Settings(arms="x")
    with pytest.raises(SettingError, match=r"cost\.threads: got 0"):
        cost.Settings(threads=0)


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["class/brain_inspired", "class/gr", "task/ewc", "task/joint"])
def test_a_life_with_all_photographs_fits_into_four_gigabytes(cost: ModuleType, arm: str) -> None:
    """EWC takes its information from single trials; joint training meets the trials of every context apart."""
    preset = presets.get(f"split_cifar100/{arm}")
    given = cost.sizes(preset, "cpu")._replace(short=2)
    assert 0.5 < cost.apart(cost.memory_of, preset.name, (12,), {"device": "cpu"}, given) < 4
