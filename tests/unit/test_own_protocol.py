"""A user's own protocol: what does not fit is said before any animal lives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small

import replaysim as rs
from replaysim.abstract_protocol import AbstractProtocol, Curriculum
from replaysim.errors import SettingError

Change = Callable[[Curriculum], Any]


class Own(AbstractProtocol):
    """A colleague's protocol: what a split protocol gives, changed."""

    def __init__(self, change: Change = lambda given: given, flat: bool = True, **said: Any) -> None:
        images, label = small.stimuli()
        self._split = rs.SplitProtocol(images if flat else images.reshape(-1, 4, 4), label, contexts=3)
        self._change, self.stimuli = change, self._split.stimuli
        self.name, self.scenario, self.metadata = "own", "class", {}
        vars(self).update(said)

    @property
    def n_contexts(self) -> int:
        return 3

    @property
    def class_counts(self) -> tuple[int, ...]:
        return vars(self).get("counts", (2, 2, 2))

    def curriculum(self, seed: int, stream: np.random.RandomState | None = None) -> Curriculum:
        return self._change(self._split.curriculum(seed, stream))

    def probe_context(self, curriculum: Curriculum, stimuli: np.ndarray) -> np.ndarray:
        return self._split.probe_context(curriculum, stimuli) + vars(self).get("late", 0)


def changed(**parts: Callable[[Any], Any]) -> Change:
    """Change parts of a curriculum."""
    return lambda given: given._replace(**{name: change(getattr(given, name)) for name, change in parts.items()})


def live(protocol: AbstractProtocol, **settings: Any) -> rs.SimulationResult:
    plan = rs.classifier(protocol, units=(9, 9))
    return small.simulate(protocol=protocol, brain=plan, record=[rs.CorticalActivity()], **settings)


def test_one_that_fits() -> None:
    """With whole numbers of either size, and rearranged stimuli."""
    wanted = live(small.protocol()).log["learning/loss"].values
    for change in (changed(), changed(train=lambda t: tuple(i.astype(np.int32) for i in t))):
        assert np.array_equal(live(Own(change)).log["learning/loss"].values, wanted)
    same = np.tile(np.arange(16), (3, 1))
    assert np.array_equal(live(Own(changed(permutation=lambda _: same))).log["learning/loss"].values, wanted)


SAID: list[tuple[dict[str, Any], str]] = [
    ({"scenario": "Class"}, r"Own.scenario: got 'Class', must be one of 'task', 'domain', 'class'"),
    ({"scenario": None}, r"Own.scenario: got None, must be one of"),
    ({"metadata": None}, r"Own.metadata: got None, must be further facts"),
    ({"counts": (2, 4)}, r"Own.class_counts: got \(2, 4\), must be 3 numbers of classes"),
    ({"counts": (2, 4.0, 0)}, r"Own.class_counts: got 4.0, must be a whole number >= 1"),
    ({"late": 1}, r"Own.probe_context\(\): got 'numbers from 1 to 3', must be .* from 0 to 2"),
]


@pytest.mark.parametrize(("said", "message"), SAID)
def test_what_it_says_of_itself(said: dict[str, Any], message: str, tmp_path: Path) -> None:
    plan = rs.classifier(small.protocol(), units=(9, 9))
    with pytest.raises(SettingError, match=message):
        small.simulate(protocol=Own(**said), brain=plan, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_protocol_without_stimuli() -> None:
    own = Own()
    plan = rs.classifier(own, units=(9, 9))
    for stimuli, message in ((np.zeros(3), "stimuli: got 'ndarray', must be a StimulusSet"), (None, "got 'NoneType'")):
        own.stimuli = stimuli  # type: ignore[assignment]
        with pytest.raises(SettingError, match=message):
            small.simulate(protocol=own, brain=plan)
    del own.stimuli
    with pytest.raises(SettingError, match=r"Own.stimuli: got None, must be given: a protocol has name, scenario"):
        small.simulate(protocol=own, brain=plan)


CURRICULA: list[tuple[Change, str]] = [
    (tuple, r"Own.curriculum\(\): got 'tuple', must be a Curriculum"),
    (changed(class_identity=lambda c: c * 0), r"class_identity: got \[0, 0, 0, 0, 0, 0\], must be every class once"),
    (changed(class_identity=lambda c: c[:2]), r"class_identity: got 'int64 of shape \(2,\)', must be an array .* of 6"),
    (changed(train=lambda t: t[:2]), r"train: got '2 arrays', must be 3 arrays of indices"),
    (changed(test=lambda t: [i.tolist() for i in t]), r"test\[0\]: got 'list', must be an array \(int64\)"),
    (changed(test=lambda t: (*t[:2], t[2] / 2)), r"test\[2\]: got 'float64 of shape"),
    (changed(train=lambda t: (t[0] + 96, *t[1:])), r"train\[0\]: got 'numbers from .*must be .* from 0 to 95"),
    (changed(train=lambda t: (*t[:2], t[2][:0])), r"train\[2\]: got 'no stimuli', must be at least one"),
    (changed(train_position=lambda p: p[1:]), r"train_position: got 'int64 of shape \(95,\)', must be .* of 96"),
    (changed(test_position=lambda p: p - 1), r"test_position\[test\[0\]\]: got 'numbers from -1 to 0'"),
    (
        changed(train_position=lambda p: (p + 2) % 6),
        r"train_position\[train\[0\]\]: got \[2, 3\], must be positions of .* context 0 .* compete in it are \[0, 1\]",
    ),
    (changed(permutation=lambda _: np.zeros((3, 9), int)), r"permutation: got 'int64 of shape \(3, 9\)'.*\(3, 16\)"),
    (
        changed(permutation=lambda _: np.zeros((3, 16))),
        r"permutation: got 'float64 of shape .*must be an int64",
    ),
    (changed(permutation=lambda _: np.full((3, 16), 16)), r"permutation: got 'numbers from 16 to 16'.*from 0 to 15"),
]


@pytest.mark.parametrize(("change", "message"), CURRICULA, ids=range(len(CURRICULA)))
def test_what_an_animal_meets(change: Change, message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=message):
        live(Own(change), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_images_are_not_rearranged() -> None:
    own = Own(changed(permutation=lambda _: np.tile(np.arange(16), (3, 1))), flat=False)
    with pytest.raises(SettingError, match=r"got 'an array, for stimuli of shape \(4, 4\)', .* flatten them"):
        live(own)
