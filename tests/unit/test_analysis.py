"""Forgetting and comparison on logs made by hand, against numbers worked out on paper or by scipy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from analysis import comparison, figures, forgetting, terminal
from replaysim.errors import DataError, SettingError

ANSWERS = ["within_context", "up_to_learned", "up_to_tested", "all"]
# row 0 is the naive animal; the values of every measure for it are worked out by hand
R = np.array([[0.1, 0.1, 0.1], [0.9, 0.2, 0.1], [0.6, 0.8, 0.3], [0.5, 0.85, 0.7]])


def log(matrices: np.ndarray, scenario: str = "class", animals: range | None = None) -> xr.DataTree:
    """A log with the same accuracy matrix (animal, contexts_learned, context) under every rule of answers."""
    n, rows, columns = matrices.shape
    accuracy = np.repeat(matrices[:, None].astype(np.float32), 4, axis=1)
    not_met = np.arange(columns)[None] >= np.arange(rows)[:, None]
    accuracy[:, 1][:, not_met] = np.nan
    chance = np.full((4, rows, columns), 0.1, np.float32)
    behaviour = xr.Dataset(
        {
            "accuracy": (("animal", "answers", "contexts_learned", "context"), accuracy),
            "chance": (("answers", "contexts_learned", "context"), chance),
            "n_test": (("animal", "context"), np.full((n, columns), 100)),
        },
        coords={
            "animal": list(animals or range(12, 12 + n)),
            "answers": ANSWERS,
            "contexts_learned": np.arange(rows),
            "context": np.arange(1, columns + 1),
        },
    )
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs={"scenario": scenario}), "/behaviour": behaviour})


@pytest.mark.parametrize(
    ("measure", "wanted"),
    [
        (forgetting.final_accuracy, 0.683333),
        (forgetting.backward_transfer, -0.175),
        (forgetting.forward_transfer, 0.15),
        (forgetting.forgetting, 0.175),
        (forgetting.learning_accuracy, 0.8),
    ],
)
def test_measures_of_a_known_matrix(measure: object, wanted: float) -> None:
    found = measure(log(R[None]))
    assert found.dims == ("animal",)
    assert float(found[0]) == pytest.approx(wanted, abs=1e-6)


def test_curves_of_a_known_matrix() -> None:
    so_far = forgetting.average_accuracy(log(R[None]))
    assert so_far.dims == ("animal", "contexts_learned")
    np.testing.assert_allclose(so_far[0], [0.9, 0.7, 0.683333], atol=1e-6)
    by_age = forgetting.retention(log(R[None]))
    np.testing.assert_allclose(by_age[0], [0.8, (0.6 + 0.85) / 2, 0.5], atol=1e-6)
    assert by_age["n_contexts"].values.tolist() == [3, 2, 1]


def test_nothing_changes_means_nothing_is_forgotten() -> None:
    steady = np.full((2, 4, 3), 0.6)
    assert np.abs(forgetting.forgetting(log(steady))).max() < 1e-7
    assert np.abs(forgetting.backward_transfer(log(steady))).max() < 1e-7


def test_the_rule_of_answers_follows_the_scenario() -> None:
    tree = log(R[None])
    tree["behaviour/accuracy"].loc[{"answers": "up_to_tested"}] = 0.0
    assert float(forgetting.final_accuracy(tree)[0]) == pytest.approx(0.683333, abs=1e-6)  # all
    assert float(forgetting.forgetting(tree)[0]) == 0  # up_to_tested
    assert float(forgetting.forgetting(tree, answers="within_context")[0]) == pytest.approx(0.175, abs=1e-6)


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (
            lambda tree: tree["behaviour"].to_dataset().drop_vars("accuracy"),
            DataError,
            "no variable /behaviour/accuracy",
        ),
        (lambda tree: tree["behaviour"].to_dataset().isel(animal=0), DataError, "no dimension"),
        (lambda tree: log(R[None], scenario="clas"), SettingError, "'clas', must be one of"),
    ],
)
def test_foreign_logs_are_refused(spoil: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        forgetting.final_accuracy(spoil(log(R[None])))


def test_unknown_rule_and_single_context() -> None:
    with pytest.raises(SettingError, match=r"retention_matrix\.answers: got .none."):
        forgetting.forgetting(log(R[None]), answers="none")
    with pytest.raises(DataError, match="at least two learned contexts"):
        forgetting.forgetting(log(R[None, :2, :1]))


def values(numbers: list[float], animals: range | None = None) -> xr.DataArray:
    return xr.DataArray(numbers, dims="animal", coords={"animal": list(animals or range(len(numbers)))})


def test_summary_against_scipy() -> None:
    numbers = [0.2, 0.5, 0.3, 0.9, 0.4]
    found = comparison.summarise(values(numbers))
    assert float(found["standard_error"]) == pytest.approx(stats.sem(numbers))
    low, high = stats.t.interval(0.95, 4, loc=np.mean(numbers), scale=stats.sem(numbers))
    assert (float(found["low"]), float(found["high"])) == pytest.approx((low, high))
    alone = comparison.summarise(values([0.5]))
    assert np.isnan(alone["standard_error"]) and float(alone["mean"]) == 0.5


def test_paired_difference_against_scipy() -> None:
    a, b = [0.9, 0.8, 0.95, 0.7, 0.85, 0.9], [0.6, 0.65, 0.5, 0.72, 0.6, 0.4]
    found = comparison.paired_difference(values(a), values(b))
    low, high = stats.ttest_rel(a, b).confidence_interval()
    assert (float(found["low"]), float(found["high"])) == pytest.approx((low, high))
    exact = stats.permutation_test(
        (np.array(a) - np.array(b),), np.sum, permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert float(found["p"]) == pytest.approx(exact)
    assert float(found["bootstrap_low"]) < float(found["mean"]) < float(found["bootstrap_high"])


def test_pairs_are_matched_by_animal_and_must_be_the_same() -> None:
    a, b = values([0.9, 0.1], range(2)), values([0.1, 0.9], range(2)).isel(animal=[1, 0])
    assert float(comparison.paired_difference(a, b)["mean"]) == pytest.approx(0)
    assert np.ptp((a - b.sel(animal=a["animal"])).values) == pytest.approx(1.6)
    with pytest.raises(DataError, match="different animals"):
        comparison.paired_difference(a, values([0.1, 0.9], range(5, 7)))


def test_interaction_on_both_scales() -> None:
    n, sy, re = values([0.2, 0.3]), values([0.4, 0.5]), values([0.5, 0.6])
    both = re + sy - n
    found = comparison.interaction(n, sy, re, both, n_trials=100)
    assert float(found["accuracy"]["mean"]) == pytest.approx(0, abs=1e-12)
    by_hand = sum(s * np.log((100 * x + 0.5) / (100.5 - 100 * x)) for s, x in ((1, both), (-1, sy), (-1, re), (1, n)))
    assert float(found["logit"]["mean"]) == pytest.approx(float(by_hand.mean()))
    assert np.isfinite(comparison.logit(values([0.0, 1.0]), 10)).all()


def test_table_and_figure_of_conditions(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.02, 0.02, (5, 4, 3))
    logs = {name: log(np.clip(R[None] * f + noise, 0, 1)) for name, f in (("nothing", 0.5), ("systems", 1.0))}
    table = comparison.factorial_table(logs)
    assert table["n"].values.tolist() == [5, 5]
    unfinished = {name: one.isel(contexts_learned=slice(0, 3)) for name, one in logs.items()}
    assert "answers that compete" not in terminal.format_table(comparison.factorial_table(unfinished))
    text = terminal.format_table(table)
    assert "nothing" in text and "chance" in text and "±" in text
    written = figures.save(figures.synaptic_vs_systems(logs, title="made up"), tmp_path / "figure")
    assert [path.suffix for path in written] == [".png", ".svg"]
    drawn = written[1].read_text(encoding="utf-8")
    for word in ("systems", "chance", "contexts learned", "5 animals"):
        assert word in drawn
    ax = figures.accuracy_matrix(logs["systems"])
    assert ax.get_xlabel() == "context tested"


def test_animals_without_a_value_are_left_out() -> None:
    values = xr.DataArray([0.5, np.nan, 0.7, 0.9], {"animal": [1, 2, 3, 4]}, dims="animal")
    found = comparison.summarise(values)
    assert int(found["n"]) == 3
    assert float(found["mean"]) == pytest.approx(0.7)
    assert float(found["standard_error"]) == pytest.approx(0.2 / 3**0.5)
    paired = comparison.paired_difference(values, xr.zeros_like(values))
    assert int(paired["n"]) == 3 and float(paired["p"]) == pytest.approx(2 / 2**3)
    with pytest.raises(DataError, match="no animal has a value in both conditions"):
        comparison.paired_difference(values, values * np.nan)
