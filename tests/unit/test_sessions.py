"""The same categories on several days."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small import LEARNING, brain

import replaysim as rs

LABEL = np.arange(3).repeat(10)
DAY = np.random.default_rng(0).random((30, 4, 4)).astype(np.float32)
DAYS: dict[str, tuple[Any, Any]] = {"dawn": (DAY, LABEL), "noon": (1 - DAY, LABEL)}


def test_a_category_has_one_unit_on_all_days() -> None:
    other = np.random.default_rng(1).permutation(30)[:20]
    night = (DAY[other], np.array(["abc"[i] for i in LABEL[other]]))
    named = {name: (stimuli, np.array(["abc"[i] for i in label])) for name, (stimuli, label) in DAYS.items()}
    own = rs.SessionProtocol({**named, "night": night})
    assert own.scenario == "domain" and own.n_contexts == 3 and own.n_answers == 3 and own.class_counts == (3, 3, 3)
    assert own.stimuli.classes[:4] == ("dawn/a", "dawn/b", "dawn/c", "noon/a")
    curriculum = own.curriculum(12)
    for context, (name, label) in enumerate([("dawn", LABEL), ("noon", LABEL), ("night", LABEL[other])]):
        for part, index in (("train", curriculum.train[context]), ("test", curriculum.test[context])):
            shown = getattr(own.stimuli, part)[index]
            target = own.target(getattr(curriculum, f"{part}_position")[index], context)
            source = {"dawn": DAY, "noon": 1 - DAY, "night": DAY[other]}[name]
            which = np.abs(shown[:, None] - source[None]).reshape(len(shown), len(source), -1).max(-1).argmin(1)
            assert np.array_equal(shown, source[which]) and np.array_equal(label[which], target), (name, part)
    assert sum(map(len, curriculum.train)) + sum(map(len, curriculum.test)) == 80


def test_an_image_is_learned_from_on_all_days_or_on_none() -> None:
    stimuli = rs.SessionProtocol(DAYS).stimuli
    for part in (stimuli.train, stimuli.test):
        dawn, noon = np.split(part, 2)
        assert np.array_equal(1 - dawn, noon)
    assert len(stimuli.test) == 12


def test_sessions_to_test_with() -> None:
    own = rs.SessionProtocol(list(DAYS.values()), test_sessions=[(DAY[::2], LABEL[::2]), (DAY[::5], LABEL[::5])])
    assert own.stimuli.classes[0] == "session 1/0" and len(own.stimuli.train) == 60 and len(own.stimuli.test) == 21
    assert [len(part) for part in own.curriculum(0).test] == [15, 6]


def test_days_in_an_order_of_the_animal_s_own() -> None:
    days = {str(i): (DAY + i, LABEL) for i in range(5)}
    own = rs.SessionProtocol(days, order="own")
    orders = set()
    for seed in range(12, 18):
        curriculum = own.curriculum(seed)
        place = curriculum.class_identity.reshape(5, 3)
        assert (place % 3 == np.arange(3)).all(), "categories stay where they are"
        order = (place // 3)[:, 0].tolist()
        for context, day in enumerate(order):
            assert np.floor(own.stimuli.train[curriculum.train[context]]).min() == day
        orders.add(tuple(order))
        assert sorted(order) == list(range(5))
        again = own.curriculum(seed).class_identity
        assert np.array_equal(again, curriculum.class_identity)
    assert len(orders) > 3
    assert own.describe()["order"] == "own" and "order" not in rs.SessionProtocol(days).describe()
    assert "order" not in rs.SplitProtocol(DAY, LABEL, contexts=3, order="own").describe(), "without effect there"


def test_it_is_lived(tmp_path: Any) -> None:
    own = rs.SessionProtocol(DAYS, order="own")
    settings = {"animals": (12, 13), "learning": LEARNING, "workers": 1, "progress": False}
    log = rs.simulate(brain(own), own, replay=rs.GenerativeReplay(), out=tmp_path / "log", **settings).log  # type: ignore[arg-type]
    assert log["behaviour/accuracy"].sel(contexts_learned=2).notnull().all()


@pytest.mark.parametrize(
    ("sessions", "settings", "words"),
    [
        ({}, {}, r"SessionProtocol.sessions: got \{\}, must be pairs of stimuli and labels"),
        (DAY, {}, r"SessionProtocol.sessions: got 'ndarray', must be pairs"),
        ({"dawn": DAY}, {}, r"SessionProtocol.sessions\['dawn'\]: got 'ndarray', must be pairs"),
        ({"dawn": (DAY, LABEL[1:])}, {}, r"labels of 'dawn' have shape \(29,\)"),
        (
            {**DAYS, "dusk": (DAY[:, 1:], LABEL)},
            {},
            r"stimuli of 'dusk' are float32 of shape \(3, 4\), those of the first",
        ),
        ({**DAYS, "dusk": (np.uint8(9 * DAY), LABEL)}, {}, r"stimuli of 'dusk' are uint8"),
        ({**DAYS, "dusk": (DAY, LABEL + 1)}, {}, r"'dusk' and the first session differ in the categories \[0, 3\]"),
        (
            DAYS,
            {"test_sessions": {"dawn": DAYS["dawn"]}},
            r"test_sessions: got \['dawn'\], must be of the same sessions",
        ),
        ({1: DAYS["dawn"], "1": DAYS["noon"]}, {}, r"sessions: got \[1, '1'\], must be sessions of different names"),
        ({**DAYS, "dusk": (DAY, np.array(list("012"))[LABEL])}, {}, r"labels of 'dusk' are <U1.*of one kind"),
        (
            {name: (DAY, np.array(["b/c", "c", "d"])[LABEL]) for name in ("a", "a/b")},
            {},
            r"'a/b/c' would name two classes; rename",
        ),
        (
            DAYS,
            {"test_sessions": {**DAYS, "noon": (DAY[:20], LABEL[:20])}},
            r"test labels of 'noon' and the first session differ in the categories \[2\]",
        ),
        (DAYS, {"scenario": "day"}, r"scenario: got 'day'"),
        (DAYS, {"order": "random"}, r"order: got 'random', must be one of 'given', 'own'"),
        (DAYS, {"test_fraction": 2}, r"SessionProtocol.test_fraction: got 2"),
    ],
)
def test_what_does_not_fit(sessions: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(rs.ReplaysimError, match=words):
        rs.SessionProtocol(sessions, **settings)


def test_groups_of_other_sizes_have_one_order() -> None:
    with pytest.raises(
        rs.SettingError, match=r"order: got 'own', must be 'given', or groups with as many classes each"
    ):
        rs.SplitProtocol(DAY, LABEL, contexts=[[0], [1, 2]], order="own")
