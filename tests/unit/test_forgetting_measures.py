"""Intransigence, curves of forgetting, relative retention and the comparison of conditions, worked out on paper."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from scipy import stats
from small import simulate

from analysis import comparison, forgetting, intransigence
from replaysim.errors import DataError, SettingError

ANSWERS = ["within_context", "up_to_learned", "up_to_tested", "all"]
R = np.array([[0.1, 0.1, 0.1], [0.9, 0.2, 0.1], [0.6, 0.8, 0.3], [0.5, 0.85, 0.7]])
JOINT = np.array([[0.1, 0.1, 0.1], [0.92, 0.2, 0.1], [0.9, 0.9, 0.3], [0.9, 0.88, 0.86]])


def log(*matrices: np.ndarray, first: int = 12, **settings: object) -> xr.DataTree:
    """A log with an accuracy matrix (contexts_learned, context) for each animal, the same for all answers."""
    accuracy = np.stack(matrices).astype(np.float32)
    n, rows, columns = accuracy.shape
    behaviour = xr.Dataset(
        {
            "accuracy": (
                ("animal", "answers", "contexts_learned", "context"),
                np.repeat(accuracy[:, None], len(ANSWERS), axis=1),
            ),
            "chance": (("answers", "contexts_learned", "context"), np.full((4, rows, columns), 0.1, np.float32)),
            "n_test": (("animal", "context"), np.full((n, columns), 100)),
            "class_identity": (("animal", "class"), np.tile(np.arange(6), (n, 1))),
        },
        coords={
            "animal": range(first, first + n),
            "answers": ANSWERS,
            "contexts_learned": np.arange(rows),
            "context": np.arange(1, columns + 1),
        },
    )
    attrs = {"scenario": "class", "config_json": json.dumps(settings)}
    return xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), "/behaviour": behaviour})


def test_intransigence_of_known_matrices() -> None:
    found = intransigence.intransigence_by_context(log(R), log(JOINT))
    assert found.dims == ("animal", "context")
    np.testing.assert_allclose(found[0], [0.02, 0.1, 0.16], atol=1e-7)
    mean = intransigence.intransigence(log(R), log(JOINT))
    assert mean.dims == ("animal",) and mean.name == "intransigence"
    assert float(mean[0]) == pytest.approx(0.13, abs=1e-7)
    assert mean.attrs["answers"] == "up_to_tested"
    assert float(intransigence.intransigence(log(R), log(R))[0]) == 0


def test_intransigence_goes_by_animal_not_by_place() -> None:
    joint = log(JOINT, R)
    turned = log(JOINT, R)
    turned["behaviour"] = xr.DataTree(joint["behaviour"].to_dataset().isel(animal=[1, 0]))
    own = log(R, R)
    xr.testing.assert_equal(intransigence.intransigence(own, joint), intransigence.intransigence(own, turned))
    np.testing.assert_allclose(intransigence.intransigence(own, joint), [0.13, 0], atol=1e-7)
    lost = log(R, np.full_like(R, np.nan))
    np.testing.assert_allclose(intransigence.intransigence(lost, joint), [0.13, np.nan], atol=1e-7)


END = ("final_accuracy", "learning_accuracy", "forgetting", "backward_transfer", "forward_transfer", "retention")


@pytest.mark.parametrize("name", END)
def test_who_did_not_live_to_the_end_has_no_value(name: str) -> None:
    """Whatever was learned before; the living keep theirs."""
    dead = R.copy()
    dead[2:] = np.nan
    measure = getattr(forgetting, name)
    found, alone = measure(log(R, dead)), measure(log(R))
    xr.testing.assert_allclose(found.sel(animal=[12]), alone)
    assert found.sel(animal=13).isnull().all()
    short = log(dead[:3], dead[:3])
    short.attrs["animals_with_faults"] = np.array([12, 13])
    nobody = measure(short)
    assert nobody.sizes == found.sizes and nobody.isnull().all()
    assert forgetting.survivors(short) == [] and forgetting.survivors(log(R, dead)) == [12]
    finite = log(R, R)  # an infinite loss may leave decisions finite
    finite.attrs["animals_with_faults"] = np.array([13])
    xr.testing.assert_identical(measure(finite).isnull(), found.isnull())
    assert forgetting.survivors(finite) == [12]
    short.attrs["animals_with_faults"] = 12
    with pytest.raises(DataError, match="not finished: 2 of 3 contexts"):
        measure(short)


def test_a_table_of_behaviour_lacks_what_a_log_does_not_allow() -> None:
    """Intransigence, too; logs that are no pair are refused all the same."""
    found = comparison.behaviour_table(log(R[:3]), log(JOINT))
    assert found["intransigence"].isnull().all() and found["average_accuracy"].notnull().all()
    with pytest.raises(DataError, match="different animals"):
        comparison.behaviour_table(log(R), log(JOINT, first=13))


@pytest.mark.parametrize(
    ("joint", "words"),
    [
        (lambda: log(JOINT, first=13), r"different animals, \[12\] and \[13\]"),
        (lambda: log(JOINT, protocol={"n_train": 6}), "different protocols: n_train 5 and 6"),
        (lambda: log(JOINT[:3, :2]), "different protocols: /behaviour/context differs"),
        (lambda: log(JOINT, experience="sequential"), "experience='sequential'; take a log of"),
        (lambda: log(JOINT[:3]), "not finished: 2 of 3"),
    ],
)
def test_foreign_joint_logs_are_refused(joint: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        intransigence.intransigence(log(R, protocol={"n_train": 5}), joint())


def test_other_class_orders_and_scenarios_are_refused() -> None:
    other = log(JOINT)
    other["behaviour/class_identity"][0, :2] = [1, 0]
    with pytest.raises(DataError, match="class_identity differs"):
        intransigence.intransigence(log(R), other)
    other = log(JOINT)
    other.attrs["scenario"] = "task"
    with pytest.raises(DataError, match="different scenarios: 'class' and 'task'"):
        intransigence.intransigence(log(R), other)
    with pytest.raises(DataError, match="intransigence needs at least two learned contexts"):
        intransigence.intransigence(log(R[:2, :1]), log(R[:2, :1]))


def test_joint_animals() -> None:
    own, joint = (simulate(experience=e, animals=(12, 13)).log for e in ("sequential", "joint"))
    found = intransigence.intransigence_by_context(own, joint)
    assert found.sizes == {"animal": 2, "context": 3}
    np.testing.assert_array_equal(found.sel(context=1), 0)  # until then both lives are the same
    with pytest.raises(DataError, match="experience='sequential'"):
        intransigence.intransigence(joint, own)


def test_forgetting_curve() -> None:
    found = forgetting.forgetting_curve(log(R))
    assert found.dims == ("animal", "contexts_learned") and found["contexts_learned"].values.tolist() == [2, 3]
    np.testing.assert_allclose(found[0], [0.3, 0.175], atol=1e-7)
    assert float(found[0, -1]) == pytest.approx(float(forgetting.forgetting(log(R))[0]), abs=1e-12)
    np.testing.assert_allclose(forgetting.forgetting_curve(log(R[:3]))[0], [0.3], atol=1e-7)  # unfinished
    recovered = np.array([[0, 0, 0], [0.9, 0, 0], [0.4, 0.5, 0], [0.9, 0.5, 0.5]])
    np.testing.assert_allclose(forgetting.forgetting_curve(log(recovered))[0], [0.5, 0], atol=1e-7)
    with pytest.raises(DataError, match="forgetting_curve needs at least two learned contexts; the log has 1"):
        forgetting.forgetting_curve(log(R[:2]))


def test_chance_at_every_age() -> None:
    """Old memories are those of first contexts, which compete with few classes."""
    one = log(R)
    levels = [0.5, 0.25, 0.125]  # of context 1, 2, 3, whenever it is tested
    one["behaviour/chance"].loc[{"answers": "up_to_tested"}] = levels
    found = forgetting.retention(one)
    np.testing.assert_allclose(found["chance"], [np.mean(levels), np.mean(levels[:2]), levels[0]])
    np.testing.assert_allclose(forgetting.retention(one, "all")["chance"], 0.1, rtol=1e-6)
    assert "chance" not in forgetting.retention(one, relative=True).coords


def test_retention_of_every_context() -> None:
    found = forgetting.retention_by_context(log(R))
    assert found.dims == ("animal", "context", "age")
    np.testing.assert_allclose(found[0], [[0.9, 0.6, 0.5], [0.8, 0.85, np.nan], [0.7, np.nan, np.nan]], atol=1e-7)
    relative = forgetting.retention_by_context(log(R), relative=True)
    np.testing.assert_allclose(relative[0, :, 0], 1)
    np.testing.assert_allclose(relative[0, 0], [1, 0.6 / 0.9, 0.5 / 0.9], atol=1e-6)
    mean = forgetting.retention(log(R), relative=True)
    np.testing.assert_allclose(mean[0], [1, (0.6 / 0.9 + 0.85 / 0.8) / 2, 0.5 / 0.9], atol=1e-6)
    assert mean["n_contexts"].values.tolist() == [3, 2, 1] and mean.attrs["relative"] == 1


def test_what_was_not_learned_cannot_be_retained() -> None:
    never = R.copy()
    never[:, 1] = [0.1, 0.1, 0.1, 0.4]  # at chance when it was learned
    found = forgetting.retention(log(never), relative=True)
    np.testing.assert_allclose(found[0], [1, 0.6 / 0.9, 0.5 / 0.9], atol=1e-6)
    assert forgetting.retention_by_context(log(never), relative=True).sel(context=2).isnull().all()
    zero = forgetting.retention(log(np.zeros_like(R)), relative=True)
    assert zero.isnull().all()


def test_all_measures_in_one_table() -> None:
    table = comparison.behaviour_table(log(R), log(JOINT))
    wanted = {
        "final_accuracy": 0.683333,
        "average_accuracy": 0.683333,
        "learning_accuracy": 0.8,
        "forgetting": 0.175,
        "backward_transfer": -0.175,
        "forward_transfer": 0.15,
        "intransigence": 0.13,
    }
    assert set(table) == set(wanted)
    for name, value in wanted.items():
        assert table[name].dims == ("animal",)
        assert float(table[name][0]) == pytest.approx(value, abs=1e-6)
    assert table["forgetting"].attrs["answers"] == "up_to_tested" and table["final_accuracy"].attrs["answers"] == "all"
    unfinished = comparison.behaviour_table(log(R[:3]))
    assert "intransigence" not in unfinished and unfinished["forgetting"].isnull().all()
    assert float(unfinished["average_accuracy"][0]) == pytest.approx(0.7)
    with pytest.raises(DataError, match="no context was learned"):
        comparison.behaviour_table(log(R[:1]))


def made_up(*shape: int, seed: int = 0) -> xr.DataArray:
    values = np.random.default_rng(seed).normal(0.3, 0.5, shape)
    return xr.DataArray(values, dims=("animal", "age", "area")[: len(shape)], coords={"animal": range(shape[0])})


@pytest.mark.parametrize("animals", [1, 2, 6, 16])
def test_every_element_is_compared_as_if_alone(animals: int) -> None:
    a, b = made_up(animals, 3, 2), made_up(animals, 3, 2, seed=1)
    a[0, 1, 0] = np.nan
    found = comparison.paired_difference(a, b.transpose("area", "animal", "age"))
    assert all(found[name].dims == ("age", "area") for name in found)
    for i in range(3):
        for j in range(2):
            if animals == 1 and (i, j) == (1, 0):
                assert int(found["n"][i, j]) == 0 and np.isnan(found["p"][i, j])
                continue
            alone = comparison.paired_difference(a[:, i, j], b[:, i, j])
            xr.testing.assert_allclose(found.isel(age=i, area=j), alone, rtol=1e-12)


def test_exact_sign_flips_against_scipy() -> None:
    a, b = made_up(9, 2), made_up(9, 2, seed=1) * 0.1
    found = comparison.paired_difference(a, b)
    for i in range(2):
        gap = (a - b)[:, i].values
        exact = stats.permutation_test((gap,), np.sum, permutation_type="samples", n_resamples=np.inf).pvalue
        assert float(found["p"][i]) == pytest.approx(exact, abs=1e-12)
        assert float(found["effect_size"][i]) == pytest.approx(gap.mean() / gap.std(ddof=1))


def test_bootstrap_interval() -> None:
    values = made_up(12, 3)
    found = comparison.summarise(values, bootstrap=True)
    assert {"bootstrap_low", "bootstrap_high"} & set(comparison.summarise(values)) == set()
    for i in range(3):
        oracle = stats.bootstrap((values[:, i].values,), np.mean, method="percentile", rng=np.random.default_rng(5))
        assert float(found["bootstrap_low"][i]) == pytest.approx(oracle.confidence_interval.low, abs=0.02)
        assert float(found["bootstrap_high"][i]) == pytest.approx(oracle.confidence_interval.high, abs=0.02)
    xr.testing.assert_identical(found, comparison.summarise(values, bootstrap=True))
    other = comparison.summarise(values, bootstrap=True, seed=1)
    assert (found["bootstrap_low"] != other["bootstrap_low"]).all()
    alone = comparison.summarise(values.isel(animal=[0]), bootstrap=True)
    assert alone["bootstrap_low"].isnull().all() and alone["mean"].notnull().all()


def test_many_elements_do_not_change_a_value() -> None:
    values = made_up(5, 700)
    found = comparison.summarise(values, bootstrap=True)
    for i in (0, 300, 699):
        alone = comparison.summarise(values[:, i], bootstrap=True)
        assert float(found["bootstrap_low"][i]) == pytest.approx(float(alone["bootstrap_low"]), rel=1e-12)


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (made_up(3, 2), made_up(3), "the same other dimensions"),
        (made_up(3, 2), made_up(3, 4), "different coordinates along 'age'"),
        (made_up(3), made_up(4), "different animals"),
        (made_up(3).isel(animal=[0, 1, 1]), made_up(3).isel(animal=[0, 1, 1]), r"several times: \[0, 1, 1\]"),
    ],
)
def test_what_does_not_match_is_not_compared(a: xr.DataArray, b: xr.DataArray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        comparison.paired_difference(a, b)


def test_conditions_compared() -> None:
    values = {name: made_up(8, seed=i) + 0.6 * i for i, name in enumerate(("none", "replay", "joint"))}
    found = comparison.compare_conditions(values)
    assert found["pair"].values.tolist() == ["replay - none", "joint - none", "joint - replay"]
    for pair in found["pair"].values:
        row = found.sel(pair=pair)
        alone = comparison.paired_difference(values[str(row["condition"].item())], values[str(row["reference"].item())])
        xr.testing.assert_allclose(row[list(alone)].drop_vars(["pair", "condition", "reference"]), alone)
    least, middle, most = np.sort(found["p"].values)
    adjusted = [3 * least, max(3 * least, 2 * middle), max(3 * least, 2 * middle, most)]
    np.testing.assert_allclose(np.sort(found["p_holm"].values), np.clip(adjusted, 0, 1))
    against = comparison.compare_conditions(values, "none")
    assert against["pair"].values.tolist() == ["replay - none", "joint - none"]


def test_holm_by_hand() -> None:
    p = np.array([[0.04, np.nan], [0.01, 0.5], [0.03, 0.02]])
    np.testing.assert_allclose(comparison._holm(p), [[0.06, np.nan], [0.03, 0.5], [0.06, 0.04]])


def test_conditions_with_other_dimensions_and_mistakes() -> None:
    values = {name: made_up(5, 3, seed=i) for i, name in enumerate("abc")}
    found = comparison.compare_conditions(values, baseline="a")
    assert found["p_holm"].dims == ("pair", "age") and (found["p_holm"] >= found["p"]).all()
    with pytest.raises(SettingError, match="'d', must be one of 'a', 'b', 'c'"):
        comparison.compare_conditions(values, "d")
    with pytest.raises(DataError, match="at least two conditions"):
        comparison.compare_conditions({"a": values["a"]})
    with pytest.raises(DataError, match="'b' and 'a': the conditions have different animals"):
        comparison.compare_conditions({"a": values["a"], "b": values["b"].isel(animal=[0, 1])})
