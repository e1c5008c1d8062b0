"""Experience of the last context only: nothing else was learned, everything is tested."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small import LEARNING, protocol, simulate, state

import replaysim as rs
from analysis.forgetting import final_accuracy
from replaysim.errors import SettingError


@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
def test_only_the_last_context_is_learned(scenario: str) -> None:
    own = protocol(scenario)
    plan = rs.classifier(own, units=(20, 20))
    usual = simulate(protocol=own, brain=plan, record=[rs.Behaviour(steps=(6, 12), stimuli=30)])
    last = simulate(protocol=own, brain=plan, experience="last", record=[rs.Behaviour(steps=(6, 12), stimuli=30)])
    accuracy = last.log["behaviour/accuracy"].sel(answers="all").values[0]
    assert accuracy.shape == (4, 3)
    assert np.array_equal(accuracy[0], accuracy[1]) and np.array_equal(accuracy[0], accuracy[2]), "naive until then"
    learning = last.log["learning"].to_dataset()
    assert learning["step"].values.tolist() == list(range(1, LEARNING.steps + 1))
    assert (learning["context"] == 3).all() and learning["loss"].notnull().all()
    loss = learning["loss"].sel(component="total").values[0]
    assert loss[-1] < loss[0]
    assert learning["probe_step"].values.tolist() == [6, 12]
    assert np.isfinite(final_accuracy(last.log)).all()
    assert not all(
        np.array_equal(a, b) for a, b in zip(state(usual, 12).values(), state(last, 12).values(), strict=True)
    )
    assert last.log.attrs["status"] == "complete"


def test_the_same_trials_as_after_the_others() -> None:
    """With a single context there are no others: sequential and last are the same life."""
    own = protocol(contexts=1)
    plan = rs.classifier(own, units=(20, 20))
    lives = [simulate(protocol=own, brain=plan, experience=e) for e in ("sequential", "last")]
    for one, other in zip(*(state(life, 12).values() for life in lives), strict=True):
        assert np.array_equal(one, other)


def test_nothing_can_be_replayed() -> None:
    with pytest.raises(SettingError, match="left out with experience of the last context only"):
        simulate(experience="last", replay=rs.GenerativeReplay())
    with pytest.raises(SettingError, match="one of 'sequential', 'joint', 'last'"):
        simulate(experience="first")


def test_it_can_be_written(tmp_path: Path) -> None:
    result = simulate(experience="last", out=tmp_path, record=[rs.CorticalActivity(stimuli=6)], animals=(12, 13))
    assert rs.open_log(tmp_path)["cortex"].sizes["snapshot"] == 4
    assert result.log["behaviour/accuracy"].sizes["animal"] == 2
