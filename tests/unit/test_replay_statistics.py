"""Statistics of replay on events made by hand, against numbers worked out on paper, and on logs of real animals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from small import brain, protocol, simulate, stimuli

import replaysim as rs
from analysis import class_order, readings, replay_fidelity, replayed_geometry
from analysis import replay_statistics as stats
from replaysim.errors import DataError, SettingError

ORDER = np.array([[4, 2, 0, 1, 3, 5], [0, 1, 2, 3, 4, 5]])  # classes in the order of two animals, two a context
CUED = np.array([[0, 0, 1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 2, 2, 3, 3]])  # positions, while learning contexts 2 and 3
DECIDED = np.array([[0, 0, 1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 2, 2, 2, 2]])
EVENT = ("animal", "contexts_learned", "event")


def both(events: np.ndarray) -> np.ndarray:
    return np.stack([events, events]).astype(np.int32)


def made_up(scenario: str = "class", shift: float = 1.0, per_class: int = 1) -> xr.DataTree:
    """Waking patterns of class c: 10 (snapshot + 1) along unit c, 2 to and fro along unit 6 + c; memories half that."""
    index = {"animal": [12, 13]}
    answers = ["within_context", "all"]
    chance = np.stack([np.full((4, 3), 0.5), np.full((4, 3), 1 / 6)])
    behaviour = xr.Dataset(
        {
            "chance": (("answers", "contexts_learned", "context"), chance),
            "class_identity": (("animal", "class"), ORDER),
        },
        {**index, "answers": answers, "contexts_learned": range(4), "context": [1, 2, 3], "class": range(6)},
    )
    label = np.repeat(np.arange(6), 2)
    sign = np.tile([1.0, -1.0], 6)
    waking = np.zeros((2, 4, 12, 13), np.float32)
    for s in range(4):
        waking[:, s, np.arange(12), label] = 10 * (s + 1)
        waking[:, s, np.arange(12), 6 + label] = 2 * sign
    memory = np.zeros((2, 2, 8, 13), np.float32)
    for a, order in enumerate(ORDER):
        for k in range(2):
            known = order[CUED[k]]
            memory[a, k, np.arange(8), known] = 10 * (k + 2)
            memory[a, k, np.arange(8), 6 + known] = np.tile([1.0, -1.0], 4)
    memory[..., 12] = shift
    target = np.zeros((2, 2, 8, 6), np.float32)
    target[:, 0, :, :2] = 0.5
    target[:, 1, :, 0] = 1
    code = np.stack([np.eye(6)[CUED] * 10] * 2).astype(np.float32)
    replay = xr.Dataset(
        {
            "activity": ((*EVENT, "unit"), memory),
            "code": ((*EVENT, "code_unit"), code),
            "target": ((*EVENT, "class"), target),
            "decision": (EVENT, both(DECIDED)),
            "cued_class": (EVENT, both(CUED)),
            "cued_context": (EVENT, both(CUED // 2 + 1)),
        },
        {**index, "contexts_learned": [2, 3], "event": range(8), "class": range(6)},
        attrs={"area": "retina"},
    )
    times = {**index, "snapshot": range(4), "contexts_learned": ("snapshot", range(4))}
    mean = np.broadcast_to(10 * np.eye(6).repeat(per_class, 0), (2, 4, 6 * per_class, 6)).astype(np.float32)
    mode = xr.Dataset(
        {
            n: (("animal", "snapshot", "mode", "code_unit"), x)
            for n, x in (("mode_mean", mean), ("mode_log_variance", 0 * mean))
        },
        {**times, "mode": range(6 * per_class)},
    )
    seen = {**times, "stimulus": range(12), "original_class": ("stimulus", label)}
    seen["context"] = (("animal", "stimulus"), np.argsort(ORDER, axis=1)[:, label] // 2 + 1)
    cortex = {
        "/cortex": xr.Dataset(coords=seen),
        "/cortex/retina": xr.Dataset({"activity": (("animal", "snapshot", "stimulus", "unit"), waking)}, index),
    }
    root = xr.Dataset(attrs={"scenario": scenario})
    groups = {"/": root, "/behaviour": behaviour, "/replay": replay, "/hippocampus": mode, **cortex}
    return xr.DataTree.from_dict(groups)


def without_cues(log: xr.DataTree) -> xr.DataTree:
    events = log["replay"].to_dataset()
    log["replay"] = xr.DataTree(events.assign({n: xr.full_like(events[n], -1) for n in ("cued_class", "cued_context")}))
    return log


def test_proportions_and_their_entropy() -> None:
    log = made_up()
    asked, decided = (stats.class_proportions(log, by) for by in ("cue", "decision"))
    assert asked["proportion"].dims == ("animal", "contexts_learned", "original_class")
    np.testing.assert_allclose(asked["proportion"].sel(animal=12, contexts_learned=2), [0, 0, 0.5, 0, 0.5, 0])
    np.testing.assert_allclose(asked["proportion"].sel(animal=13, contexts_learned=3), [0.25] * 4 + [0, 0])
    np.testing.assert_allclose(asked["entropy"], [[1, 2]] * 2)
    np.testing.assert_allclose(asked["relative_entropy"], [[1, 1]] * 2)
    np.testing.assert_allclose(decided["proportion"].sel(animal=12, contexts_learned=2), [0, 0, 0.75, 0, 0.25, 0])
    np.testing.assert_allclose(decided["entropy"].sel(contexts_learned=3), [1.5, 1.5])
    np.testing.assert_allclose(decided["relative_entropy"].sel(contexts_learned=3), [0.75, 0.75])
    assert (decided["n_events"] == 8).all() and decided["entropy"].attrs["units"] == "bit"


def test_ages_of_memories() -> None:
    log = made_up()
    found = stats.age_proportions(log)
    assert found["proportion"].dims == ("animal", "contexts_learned", "memory_age")
    np.testing.assert_allclose(found["proportion"], [[[1, np.nan], [0.5, 0.5]]] * 2)
    np.testing.assert_allclose(found["mean_age"], [[1, 1.5]] * 2)
    assert (found["n_events"] == 8).all() and found["mean_age"].attrs["units"] == "1"
    log["replay/cued_class"][:] = -1
    log["replay/cued_context"][:] = -1
    with pytest.raises(DataError, match="age_proportions: no class was asked for"):
        stats.age_proportions(log)


def test_what_is_missing_does_not_count() -> None:
    log = made_up()
    log["replay/decision"][0, 0, :6] = -1
    log["replay/target"][1, 1] = np.nan  # an animal whose losses became infinite
    found = stats.class_proportions(log)
    assert found["n_events"].values.tolist() == [[2, 8], [8, 0]]
    np.testing.assert_allclose(found["proportion"].sel(animal=12, contexts_learned=2, original_class=[2, 4]), [1, 0])
    gone = found.sel(animal=13, contexts_learned=3)
    assert gone[["proportion", "entropy", "relative_entropy"]].isnull().all().to_array().all()
    assert np.isnan(stats.cue_agreement(log)["agreement"].sel(animal=13, contexts_learned=3))
    assert np.isnan(stats.replay_confidence(log)["confidence"].sel(animal=13, contexts_learned=3))


def test_agreement() -> None:
    found = stats.cue_agreement(made_up())
    np.testing.assert_allclose(found["agreement"], [[0.75, 0.75]] * 2)
    np.testing.assert_allclose(found["agreement_by_age"].sel(animal=12), [[0.75, np.nan], [0.5, 1]])
    by_class = found["agreement_by_class"].sel(contexts_learned=3)
    np.testing.assert_allclose(by_class.sel(animal=12), [1, 0, 1, np.nan, 1, np.nan])
    np.testing.assert_allclose(by_class.sel(animal=13), [1, 1, 1, 0, np.nan, np.nan])


def test_confidence() -> None:
    found = stats.replay_confidence(made_up())
    np.testing.assert_allclose(found["confidence"], [[0.5, 1]] * 2)
    np.testing.assert_allclose(found["target_entropy"], [[1, 0]] * 2)
    np.testing.assert_allclose(found["confidence_by_age"].sel(animal=13), [[0.5, np.nan], [1, 1]])
    np.testing.assert_allclose(found["target_entropy_by_class"].sel(animal=13)[0], [1, 1] + [np.nan] * 4)


@pytest.mark.parametrize("per_class", [1, 2])
def test_modes(per_class: int) -> None:
    log = made_up(per_class=per_class)
    log["replay/code"][0, 0, :4] = 10 * np.eye(6)[5] + np.eye(6)[0]  # where a mode is that is still to come
    found = stats.mode_occupancy(log, device="cpu")
    assert found["occupancy"].dims == ("animal", "contexts_learned", "mode")
    by_class = found["occupancy"].values.reshape(2, 2, 6, per_class).sum(-1)
    np.testing.assert_allclose(by_class[0], [[0.75, 0.25, 0, 0, 0, 0], [0.25] * 4 + [0, 0]])
    np.testing.assert_allclose(by_class[1, 0], [0.5, 0.5, 0, 0, 0, 0])
    np.testing.assert_allclose(found["effective_modes"][1], [2, 4])


def test_a_wide_mode_is_less_probable_near_a_narrow_one() -> None:
    log = made_up()
    log["hippocampus/mode_mean"][:] = 0
    log["hippocampus/mode_log_variance"][:, :, 0] = 4
    log["replay/code"][:] = 0.5
    assert (stats.mode_occupancy(log, device="cpu")["occupancy"].sel(mode=1) == 1).all()
    log["replay/code"][:] = 5
    assert (stats.mode_occupancy(log, device="cpu")["occupancy"].sel(mode=0) == 1).all()


def test_prototypes_of_the_earlier_self() -> None:
    found = stats.replayed_prototypes(made_up(shift=3.0), by="cue", device="cpu")
    for a, order in enumerate(ORDER):
        for k, met in enumerate((2, 4)):  # waking patterns are those of snapshots 1 and 2
            spread = 10 * (k + 2) * np.sqrt(1 - 1 / met)
            one = found.isel(animal=a, contexts_learned=k)
            n = np.bincount(CUED[k], minlength=6)[order.argsort()]
            assert one["n_events"].values.tolist() == n.tolist()
            was, n = n > 0, n[n > 0]
            np.testing.assert_allclose(one["distance"][was], 3 / spread, rtol=1e-6)
            np.testing.assert_allclose(one["variance_ratio"][was], n / (n - 1) / 8, rtol=1e-6)
            np.testing.assert_allclose(one["reference_distance"][was], np.sqrt(8 / n + 4) / spread, rtol=1e-6)
            for name in ("distance", "reference_distance", "variance_ratio"):
                assert one[name][~was].isnull().all()
    assert found["distance_by_age"].dims == ("animal", "contexts_learned", "memory_age")
    np.testing.assert_allclose(found["variance_ratio_by_age"][0], [[1 / 6, np.nan], [1 / 4, 1 / 4]], rtol=1e-6)


def test_perfect_memories() -> None:
    log = made_up(shift=0.0)
    for k in range(2):
        rows = log["cortex/retina/activity"].values[:, k + 1]
        for a in range(2):
            which = np.argsort(log["cortex"]["original_class"].values, kind="stable").reshape(6, 2)
            taken = which[ORDER[a][CUED[k]], np.tile([0, 1], 4)]
            log["replay/activity"][a, k] = rows[a, taken]
    found = stats.replayed_prototypes(log, by="cue", device="cpu").sel(contexts_learned=3)
    known = found["n_events"] > 0
    np.testing.assert_allclose(found["distance"].values[known], 0, atol=1e-7)
    np.testing.assert_allclose(found["variance_ratio"].values[known], 1, rtol=1e-6)


def test_an_area_that_does_not_change_is_recorded_once() -> None:
    log = made_up()
    once = log["cortex/retina"].to_dataset(inherit=False).isel(snapshot=1)
    log["cortex/retina"] = xr.DataTree(once)
    found = stats.replayed_prototypes(log, by="cue", device="cpu")
    same = stats.replayed_prototypes(made_up(), by="cue", device="cpu")
    xr.testing.assert_allclose(found["distance"].sel(contexts_learned=2), same["distance"].sel(contexts_learned=2))
    assert found["distance"].sel(contexts_learned=3).min() > 0.3  # the memories became larger


def spoiled(log: xr.DataTree, group: str) -> xr.DataTree:
    path, _, name = group.rpartition("/")
    if path:
        log[path] = xr.DataTree(log[path].to_dataset(inherit=False).drop_vars(name))
    else:
        del log[name]
    return log


def late(log: xr.DataTree) -> xr.DataTree:
    retina, above = log["cortex/retina"].to_dataset(inherit=False), log["cortex"].to_dataset()
    keep = {"snapshot": [0, 2, 3]}
    log["cortex"] = xr.DataTree(above.isel(keep), children={"retina": xr.DataTree(retina.isel(keep))})
    return log


def fewer(log: xr.DataTree) -> xr.DataTree:
    retina, above = log["cortex/retina"].to_dataset(inherit=False), log["cortex"].to_dataset()
    keep = {"stimulus": range(10)}
    log["cortex"] = xr.DataTree(above.isel(keep), children={"retina": xr.DataTree(retina.isel(keep))})
    return log


@pytest.mark.parametrize(
    ("measure", "spoil", "words"),
    [
        ("class_proportions", lambda log: spoiled(log, "replay"), "no group /replay"),
        ("class_proportions", lambda log: made_up("domain"), "answers do not name the classes decided for"),
        ("replayed_prototypes", lambda log: made_up("domain"), "answers do not name the classes decided for"),
        ("cue_agreement", without_cues, "no class was asked for"),
        ("replayed_prototypes", lambda log: spoiled(log, "cortex"), r"CorticalActivity\(\"retina\""),
        ("replayed_prototypes", late, "no snapshot from when context 2 began, after 1 contexts"),
        ("replayed_prototypes", fewer, r"no waking stimuli of classes \[5\]"),
        ("mode_occupancy", lambda log: spoiled(log, "hippocampus"), r"pass record=\[HippocampalCodes\(\)"),
        ("mode_occupancy", lambda log: spoiled(log, "hippocampus/mode_mean"), "no modes"),
        ("replay_confidence", lambda log: spoiled(log, "replay/target"), "no variable /replay/target"),
    ],
)
def test_what_cannot_be_asked(measure: str, spoil: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        getattr(stats, measure)(spoil(made_up()))


def test_cues_that_were_not_given() -> None:
    log = without_cues(made_up())
    for measure in (stats.class_proportions, stats.replayed_prototypes):
        with pytest.raises(DataError, match=r"no class was asked for .* take by='decision'"):
            measure(log, by="cue")
    with pytest.raises(SettingError, match=r"class_proportions\.by: got 'label'"):
        stats.class_proportions(log, by="label")
    xr.testing.assert_equal(stats.class_proportions(log), stats.class_proportions(made_up()))
    xr.testing.assert_equal(stats.replayed_prototypes(log), stats.replayed_prototypes(made_up()))
    assert set(stats.replay_confidence(log)) == {
        n + e for n in ("confidence", "target_entropy") for e in ("", "_by_class")
    }


@pytest.mark.parametrize("groups", [3, [[4], [0, 5], [1, 2, 3]]])
@pytest.mark.parametrize("replay", [rs.ExactReplay(), rs.GenerativeReplay()])
def test_memories_of_the_domain_scenario_whose_context_is_known(replay: Any, groups: Any) -> None:
    """A unit of the readout and a context are a class; of a stored episode its label, of the same stimulus, tells."""
    own = protocol("domain", contexts=groups, each=70)
    record = [rs.CorticalActivity("retina", stimuli=84), rs.ReplayActivity(events=60)]
    stored = isinstance(replay, rs.ExactReplay)
    plan = rs.classifier(own, units=(20, 20)) if stored else brain(own, gates_by="context")
    log = simulate(protocol=own, brain=plan, replay=replay, record=record, animals=(12, 13)).log
    events = readings.replayed(log)
    asked = events["original_class"]
    assert (asked >= 0).all() and (events["decided_class"] == -1).all()
    for animal in (12, 13):
        curriculum = own.curriculum(animal)
        place = np.argsort(curriculum.class_identity)[asked.sel(animal=animal).values]
        first = np.asarray(own.first_classes)[events["cued_context"].sel(animal=animal).values - 1]
        assert np.array_equal(place - first, events["cued_class"].sel(animal=animal).values)
    if stored:
        shown = own.stimuli.train.reshape(len(own.stimuli.train), -1) / own.stimuli.scale
        met = events["activity"].values.reshape(-1, shown.shape[1])
        which = np.abs(met[:, None] - shown[None]).max(-1).argmin(1)
        assert np.abs(met - shown[which]).max() < 1e-6
        assert np.array_equal(own.stimuli.train_label[which], asked.values.flatten())
    shares = stats.class_proportions(log, by="cue")["proportion"]
    np.testing.assert_allclose(shares.sum("original_class"), 1)
    found = stats.replayed_prototypes(log, by="cue", device="cpu")
    np.testing.assert_allclose(found["n_events"], 60 * shares)
    age = events["contexts_learned"] - events["cued_context"]
    np.testing.assert_allclose(stats.age_proportions(log)["mean_age"], age.mean("event").transpose("animal", ...))
    nameless = log.copy()
    del nameless.attrs["config_json"]
    known = (readings.replayed(nameless)["original_class"] >= 0).all()
    assert known == (groups == 3), "equal groups are told by the number of units, others by the settings only"
    assert np.isfinite(replayed_geometry.replay_against_waking(log)["prototype_correlation"]).any()
    assert (replay_fidelity.replay_fidelity(log, by="original_class", measures="precision_recall")["n"] > 0).any()


def test_contexts_that_share_their_classes_name_none() -> None:
    images, label = stimuli()
    own = rs.PermutedProtocol(images.reshape(-1, 4, 4), label, contexts=3)
    plan = brain(own, gates_by="context")
    log = simulate(protocol=own, brain=plan, replay=rs.GenerativeReplay(), record=[rs.ReplayActivity(events=20)]).log
    nameless = log.copy()
    del nameless.attrs["config_json"]
    for one in (log, nameless):
        events = readings.replayed(one)
        assert (events["original_class"] == -1).all() and (events["memory_age"] > 0).all()
        assert not class_order.first_classes(one).any()  # type: ignore[union-attr]
        with pytest.raises(DataError, match="class_proportions: contexts share their classes"):
            stats.class_proportions(one, by="cue")
        assert stats.age_proportions(one)["mean_age"].notnull().any()


def test_what_is_not_a_number_is_no_memory() -> None:
    log = made_up()
    log["replay/target"][0] = np.nan
    for measure in (stats.class_proportions(log, by="cue"), stats.class_proportions(log), stats.age_proportions(log)):
        assert measure["proportion"].sel(animal=12).isnull().all() and (measure["n_events"].sel(animal=12) == 0).all()
        assert measure["proportion"].sel(animal=13).notnull().any()


def test_nothing_was_asked_for_and_no_answer_names_a_class() -> None:
    """In the domain scenario without cues neither way leads to the other."""
    own = protocol("domain")
    pair = rs.generative_pair(own, units=(20, 20), code_units=5)
    log = simulate(
        protocol=own, brain=pair, replay=rs.GenerativeReplay(targets="hard"), record=[rs.ReplayActivity(20)]
    ).log
    for by, words in (("cue", "no class was asked for in this log: .* nor gates$"), ("decision", "decided for$")):
        with pytest.raises(DataError, match=words):
            stats.class_proportions(log, by=by)


def test_current_stimuli_of_the_domain_scenario_are_of_their_own_class() -> None:
    own = protocol("domain", contexts=[[4], [0, 5], [1, 2, 3]])
    plan = rs.classifier(own, units=(20, 20))
    log = simulate(protocol=own, brain=plan, replay=rs.CurrentInputReplay(), record=[rs.ReplayActivity(20)]).log
    events = readings.replayed(log)
    assert (events["memory_age"] == -1).all()
    shown = own.stimuli.train.reshape(len(own.stimuli.train), -1) / own.stimuli.scale
    for learned, of in ((2, {0, 5}), (3, {1, 2, 3})):
        one = events.sel(animal=12, contexts_learned=learned)
        which = np.abs(one["activity"].values[:, None] - shown[None]).max(-1).argmin(1)
        labels = own.stimuli.train_label[which]
        assert set(labels) <= of
        if (one["cued_class"] >= 0).any():
            assert np.array_equal(one["original_class"].values, labels)


@pytest.mark.parametrize("scenario", ["task", "domain", "class", "uneven"])
def test_the_right_answer_of_a_stimulus(scenario: str) -> None:
    own = protocol("domain", contexts=[[4], [0, 5], [1, 2, 3]]) if scenario == "uneven" else protocol(scenario)
    log = simulate(protocol=own, brain=brain(own), record=[rs.CorticalActivity("retina", stimuli=24)]).log
    active = readings.activity(log, "retina")
    curriculum = own.curriculum(int(log["behaviour"]["animal"][0]))
    place = np.argsort(curriculum.class_identity)[active["original_class"].values]
    wanted = own.target(place, active["context"].isel(animal=0).values - 1)
    assert np.array_equal(class_order.answers_of(log, active).isel(animal=0), wanted)
    assert np.array_equal(class_order.answers_of(log, active.isel(animal=0)), wanted), "of one animal"
    with pytest.raises(DataError, match="answers_of: stimuli have no coordinate 'context'"):
        class_order.answers_of(log, active.drop_vars("context"))
    with pytest.raises(DataError, match="answers_of: stimuli are of classes that this log does not have"):
        class_order.answers_of(log, active.assign_coords(original_class=active["original_class"] + 3))


class Uneven(rs.AbstractProtocol):
    """Somebody's own protocol, which says only how many contexts there are."""

    def __init__(self) -> None:
        self.other = protocol("domain", contexts=[[4], [0, 5], [1, 2, 3]])
        self.name, self.scenario, self.stimuli, self.metadata = "mine", "domain", self.other.stimuli, {}

    @property
    def n_contexts(self) -> int:
        return 3

    @property
    def class_counts(self) -> tuple[int, ...]:
        return (1, 2, 3)

    def curriculum(self, seed: int, stream: Any = None) -> Any:
        return self.other.curriculum(seed, stream)

    def probe_context(self, curriculum: Any, stimuli: np.ndarray) -> np.ndarray:
        return self.other.probe_context(curriculum, stimuli)


def test_which_classes_contexts_have_is_not_guessed() -> None:
    own = Uneven()
    plan = rs.brain_inspired(own, units=(20, 20), code_units=5, closed=0.5, gates_by="context")
    record = [rs.CorticalActivity("retina", stimuli=24), rs.ReplayActivity(events=20)]
    log = simulate(protocol=own, brain=plan, replay=rs.GenerativeReplay(), record=record).log
    assert class_order.first_classes(log) is None
    assert (readings.replayed(log)["original_class"] == -1).all()
    with pytest.raises(DataError, match="does not say which classes each context has"):
        class_order.answers_of(log, readings.activity(log, "retina"))


@pytest.mark.parametrize("scenario", ["class", "domain"])
def test_real_animals(scenario: str, tmp_path: Path) -> None:
    own = protocol(scenario)
    record = [rs.CorticalActivity("retina", stimuli=30), rs.HippocampalCodes(stimuli=30), rs.ReplayActivity(events=30)]
    plan = rs.brain_inspired(own, units=(20, 20), code_units=5, closed=0.5)
    path = tmp_path / "log"
    simulate(
        scenario, protocol=own, brain=plan, record=record, replay=rs.GenerativeReplay(), animals=(12, 13), out=path
    )
    log = rs.open_log(path)
    agreement = stats.cue_agreement(log)
    events = log["replay"].to_dataset()
    by_hand = (events["cued_class"] == events["decision"]).mean("event")
    np.testing.assert_allclose(agreement["agreement"], by_hand)
    assert stats.replay_confidence(log)["confidence"].min() >= 1 / 6
    np.testing.assert_allclose(stats.mode_occupancy(log)["occupancy"].sum("mode"), 1)
    if scenario == "domain":
        assert set(agreement) == {"agreement"}
        with pytest.raises(DataError, match=r"age_proportions: memories were asked for whatever .*gates_by='context'"):
            stats.age_proportions(log)
        with pytest.raises(
            DataError, match=r"class_proportions: memories were asked for whatever .*gates_by='context'"
        ):
            stats.class_proportions(log, by="cue")
        return
    found = stats.replayed_prototypes(log, by="cue")
    met = found["n_events"] > 1
    assert np.isfinite(found["distance"].values[met]).all() and (found["variance_ratio"].values[met] > 0).all()
    proportion = stats.class_proportions(log, "cue")["proportion"]
    np.testing.assert_allclose(proportion, found["n_events"] / 30)
    oldest = found["distance_by_age"].sel(contexts_learned=2, memory_age=2)
    assert oldest.isnull().all()
