"""Early areas, the file they are kept in, and how they develop."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from replaysim import development_state, early_areas
from replaysim.commandline import run_study
from replaysim.development import Development, develop
from replaysim.early_areas import EarlyAreas, load_early_areas, save_early_areas, shipped, which_areas
from replaysim.errors import DataError, LogError, MissingDataError, SettingError
from replaysim.glimpses import draw_glimpses, glimpse
from replaysim.maturity import Discriminant, evoked, recognition, unit_variance
from replaysim.recipes import RECIPES, Recipe
from replaysim.retina import LIGHT, Light, adapt
from replaysim.stimuli import StimulusSet

ROOT = Path(__file__).resolve().parents[2]
TINY = Recipe(epochs=2, batch=4, units=(6, 5))
Made = dict[str, np.ndarray]


def made_up(classes: int, per_class: int, seed: int = 0) -> Made:
    """Arrays like those of an archive: noise on a colour of the class."""
    chance = np.random.default_rng(seed)
    colour = chance.integers(0, 200, (classes, 1, 1, 3))
    label = np.arange(classes).repeat(per_class)

    def images() -> np.ndarray:
        return (colour[label] + chance.integers(0, 50, (len(label), 32, 32, 3))).astype(np.uint8)

    names = np.array([f"class {c}" for c in range(classes)])
    return {"x_train": images(), "y_train": label, "x_test": images(), "y_test": label, "classes": names}


def as_stimuli(made: Made) -> StimulusSet:
    train, test = (made[f"x_{part}"].transpose(0, 3, 1, 2) for part in ("train", "test"))
    return StimulusSet("made up", train, made["y_train"], test, made["y_test"], tuple(made["classes"].tolist()), 255.0)


@pytest.fixture(scope="module")
def photographs() -> StimulusSet:
    return as_stimuli(made_up(2, 5))


@pytest.fixture
def areas() -> EarlyAreas:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return EarlyAreas()


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_shapes_are_those_of_the_paper(areas: EarlyAreas) -> None:
    assert areas.areas == ("retina", "early_1", "early_2", "early_3", "early_4", "early_5")
    assert areas.shapes["early_1"] == (16, 32, 32) and areas.shapes["early_5"] == (256, 2, 2)
    assert areas.sizes["retina"] == 3072 and areas.sizes["early_5"] == 1024
    activity = areas(torch.randn(2, 3, 32, 32))
    assert {area: tuple(value.shape[1:]) for area, value in activity.items()} == areas.shapes
    assert activity["early_4"].min() == 0 and activity["early_5"].min() < 0  # the highest area is linear


def test_activity_can_start_anywhere_in_both_shapes(areas: EarlyAreas) -> None:
    areas.eval()
    activity = areas(torch.randn(2, 3, 32, 32))
    flat = areas(activity["early_3"].flatten(1), start="early_3")
    assert tuple(flat) == ("early_3", "early_4", "early_5")
    assert torch.equal(flat["early_5"], activity["early_5"])
    assert tuple(areas(activity["early_5"], start="early_5")) == ("early_5",)
    with pytest.raises(DataError, match=r"early_3 has shape \(2, 7\), must be \(trial, 64, 8, 8\) or \(trial, 4096\)"):
        areas(torch.zeros(2, 7), start="early_3")
    with pytest.raises(SettingError, match="start: got 'early_6'"):
        areas(torch.zeros(2, 7), start="early_6")
    with pytest.raises(SettingError, match="stop: got 'early_1', must be one of 'early_3'"):
        areas(activity["early_3"], start="early_3", stop="early_1")


@pytest.mark.parametrize("wrong", [{"channels": ()}, {"channels": (0,)}, {"image": (3, 32)}, {"gain": "twos"}])
def test_impossible_areas(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        EarlyAreas(**wrong)


def test_a_closed_critical_period_withstands_everything(areas: EarlyAreas) -> None:
    x = torch.randn(8, 3, 32, 32)
    adult = copy.deepcopy(areas.eval())
    adult.critical_period = "closed"
    still = areas(x)["early_5"]
    before = copy.deepcopy(adult.state_dict())
    brain = torch.nn.Sequential(adult).train()
    assert brain.training and not adult.training
    assert torch.equal(adult(x)["early_5"], still)
    for part in brain.modules():  # as a careless script would do it
        part.train()
        part.training = True
    adult.requires_grad_(True)
    activity = adult(x.requires_grad_())["early_5"]
    assert torch.equal(activity, still)
    activity.square().sum().backward()
    assert x.grad is not None and all(p.grad is None for p in adult.parameters())
    assert same(adult.state_dict(), before)
    with pytest.raises(SettingError, match="critical_period: got 'ajar', must be one of 'open', 'closed'"):
        adult.critical_period = "ajar"
    adult.critical_period = "open"
    adult.train()
    adult(x)
    assert not same(adult.state_dict(), before)


def test_closed_areas_work_for_a_cohort(areas: EarlyAreas) -> None:
    areas.critical_period = "closed"
    x = torch.randn(2, 3, 3, 32, 32)
    several = torch.func.vmap(lambda trials: areas(trials)["early_5"])(x)
    assert torch.allclose(several[1], areas(x[1])["early_5"], atol=1e-5)


def test_the_retina_adapts() -> None:
    image = torch.full((2, 3, 4, 4), 51, dtype=torch.uint8)
    light = Light((0.1, 0.2, 0.3), (0.1, 1.0, 0.2))
    assert torch.allclose(adapt(image, light)[0, :, 0, 0], torch.tensor([1.0, 0.0, -0.5]), atol=1e-6)
    assert adapt(torch.rand(3, 4, 4, dtype=torch.float64), light).dtype == torch.float64
    with pytest.raises(DataError, match=r"shape \(4, 4\), must be \(..., 3, row, column\)"):
        adapt(torch.zeros(4, 4), light)
    with pytest.raises(SettingError, match=r"deviation: got 0\.0"):
        Light((0.1,), (0.0,))
    with pytest.raises(SettingError, match=r"Light.deviation: got \(\)"):
        Light((0.1,), ())


def test_files_bring_back_the_same_areas(areas: EarlyAreas, tmp_path: Path) -> None:
    path = save_early_areas(areas, tmp_path / "new" / "a.safetensors", {"seed": 3})
    back, about = load_early_areas(path)
    assert same(back.state_dict(), areas.state_dict()) and about == {"seed": 3}
    assert back.critical_period == "closed" and not back.training
    assert load_early_areas(path, critical_period="open")[0].critical_period == "open"
    assert [p.name for p in path.parent.iterdir()] == ["a.safetensors"]


def test_damaged_files_are_named(areas: EarlyAreas, tmp_path: Path) -> None:
    path = save_early_areas(areas, tmp_path / "a.safetensors")
    whole = path.read_bytes()
    for length in (0, 7, 1000, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(LogError, match=r"a.safetensors cannot be read .* truncated"):
            load_early_areas(path)
    with pytest.raises(LogError, match="no early areas at"):
        load_early_areas(tmp_path / "nowhere")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": torch.zeros(1)}, str(foreign))
    with pytest.raises(LogError, match="holds no early areas"):
        load_early_areas(foreign)


def changed(path: Path, state: dict[str, torch.Tensor], **note: Any) -> None:
    about = {"format": 1, "channels": list(early_areas.CHANNELS), "image": [3, 32, 32], "development": {}} | note
    save_file(state, str(path), metadata={"replaysim_early_areas": json.dumps(about)})


def test_files_that_do_not_fit_are_refused(areas: EarlyAreas, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    state = {name: value.contiguous() for name, value in areas.state_dict().items()}
    name = "early_2.synapses.weight"
    wrong: list[tuple[dict[str, torch.Tensor], str]] = [
        (
            {**state, name: state[name][:, :3].contiguous()},
            r"weight is torch.float32 of shape \(32, 3, 3, 3\), must be",
        ),
        ({**state, name: state[name].half()}, "weight is torch.float16"),
        ({**state, name: state[name] * float("nan")}, "weight holds NaN"),
        ({k: v for k, v in state.items() if k != name}, "weight' is missing"),
        ({**state, "more": torch.zeros(1)}, "holds 'more'"),
    ]
    for tensors, words in wrong:
        changed(path, tensors)
        with pytest.raises(DataError, match=words):
            load_early_areas(path)
    changed(path, state, format=2)
    with pytest.raises(LogError, match="format 2"):
        load_early_areas(path)
    changed(path, state, channels=[16, -1])
    with pytest.raises(DataError, match="damaged"):
        load_early_areas(path)
    changed(path, state)
    assert same(load_early_areas(path)[0].state_dict(), state)


def test_a_file_that_cannot_be_written(areas: EarlyAreas, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LogError, match="cannot write"):
        save_early_areas(areas, tmp_path / "file" / "a.safetensors")


def test_shipped_areas_are_found_or_missed(areas: EarlyAreas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a wheel they lie in the package, in a checkout beside it."""
    monkeypatch.setattr(early_areas.resources, "files", lambda package: tmp_path / "replaysim")
    with pytest.raises(MissingDataError, match="develop_visual_cortex"):
        load_early_areas()
    beside = save_early_areas(areas, tmp_path / "data" / early_areas.SHIPPED)
    assert early_areas.shipped() == beside
    inside = save_early_areas(areas, tmp_path / "replaysim" / "data" / early_areas.SHIPPED)
    assert early_areas.shipped() == inside
    assert same(load_early_areas()[0].state_dict(), areas.state_dict())


def test_glimpses_are_crops_of_mirrored_surroundings() -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 10, 3), dtype=np.uint8)
    seen = draw_glimpses(0, 3, 6, 4, 0.5)
    assert sorted(seen.photograph.tolist()) == list(range(6)) and 0 < int(seen.mirrored.sum()) < 6
    found = glimpse(torch.from_numpy(images), seen)
    for k, (i, (row, column), mirrored) in enumerate(zip(*(part.tolist() for part in seen), strict=True)):
        around = np.pad(images[i], ((4, 4), (4, 4), (0, 0)), mode="symmetric")
        crop = around[row + 4 : row + 12, column + 4 : column + 14]
        assert np.array_equal(found[k].numpy(), (crop[:, ::-1] if mirrored else crop).transpose(2, 0, 1))


def test_gaze_wanders_evenly_and_epochs_differ() -> None:
    seen = draw_glimpses(1, 0, 90_000, 4, 0.5)
    for axis in (0, 1):
        counts = torch.bincount(seen.gaze[:, axis] + 4)
        assert len(counts) == 9 and (counts - 10_000).abs().max() < 500  # five standard deviations
    assert abs(float(seen.mirrored.double().mean()) - 0.5) < 0.01
    assert torch.equal(seen.gaze, draw_glimpses(1, 0, 90_000, 4, 0.5).gaze)
    assert not torch.equal(seen.photograph, draw_glimpses(1, 1, 90_000, 4, 0.5).photograph)
    straight = draw_glimpses(1, 0, 5, 0, 0.0)
    assert not straight.gaze.any() and not straight.mirrored.any()


def test_development_goes_on_as_if_it_had_never_stopped(photographs: StimulusSet, tmp_path: Path) -> None:
    whole = develop(photographs, TINY, 5, progress=False)
    develop(photographs, replace(TINY, epochs=1), 5, out=tmp_path, progress=False)
    rest = develop(photographs, TINY, 5, out=tmp_path, progress=False)
    assert same(whole.areas.state_dict(), rest.areas.state_dict())
    assert same(whole.readout.state_dict(), rest.readout.state_dict())
    assert [h["loss"] for h in whole.history] == [h["loss"] for h in rest.history]
    assert whole.areas.critical_period == "closed" and not any(p.requires_grad for p in whole.areas.parameters())
    assert whole.areas.state_dict()["early_1.normalisation.num_batches_tracked"] == 4  # 2 epochs of 10 // 4 updates
    loaded, about = load_early_areas(tmp_path / development_state.GROWN)
    assert same(loaded.state_dict(), whole.areas.state_dict())
    assert about["seed"] == 5 and about["epochs"] == 2 and len(about["history"]) == 2
    assert about["recipe"]["rate"] == 1e-3 and about["stimuli"]["photographs"] == 10
    assert sorted(p.name for p in tmp_path.iterdir()) == [development_state.CHECKPOINT, development_state.GROWN]
    assert not same(whole.areas.state_dict(), develop(photographs, TINY, 6, progress=False).areas.state_dict())


def test_plasticity_fades_where_the_recipe_says_so_also_after_an_interruption(
    photographs: StimulusSet, tmp_path: Path
) -> None:
    rates = [Recipe(rate=0.2, closing=0.5).rate_after(update, 8) for update in range(9)]
    assert rates[:5] == [0.2] * 5 and rates[6] == pytest.approx(0.1) and rates[8] == pytest.approx(0, abs=1e-12)
    assert sorted(rates, reverse=True) == rates
    assert Recipe(rate=0.2).rate_after(7, 8) == 0.2
    fading = replace(TINY, closing=1.0)
    whole = develop(photographs, fading, 5, progress=False)
    assert not same(whole.areas.state_dict(), develop(photographs, TINY, 5, progress=False).areas.state_dict())
    stopped = Development(photographs, fading, 5)
    stopped.epoch()
    stopped.save(tmp_path)
    with pytest.raises(LogError, match="made with recipe"):  # how fast it fades depends on how many are to come
        develop(photographs, replace(fading, epochs=3), 5, out=tmp_path, progress=False)
    rest = develop(photographs, fading, 5, out=tmp_path, progress=False)
    assert same(whole.areas.state_dict(), rest.areas.state_dict())
    with pytest.raises(SettingError, match=r"Recipe\.closing: got 1\.5"):
        replace(TINY, closing=1.5)


def test_a_readout_that_is_forgotten(photographs: StimulusSet, tmp_path: Path) -> None:
    """The areas go on; a stranger reads them; from a file, or from an interruption just then, it is the same."""
    renewed = replace(TINY, epochs=3, renewed=(2,))
    whole = develop(photographs, renewed, 5, progress=False)
    straight = develop(photographs, replace(TINY, epochs=3), 5, progress=False)
    assert not same(whole.areas.state_dict(), straight.areas.state_dict())
    assert [h["loss"] for h in whole.history[:2]] == [h["loss"] for h in straight.history[:2]]

    stopped = Development(photographs, renewed, 5)
    for _ in range(2):
        stopped.epoch()
    stopped.save(tmp_path / "stopped")
    rest = develop(photographs, renewed, 5, out=tmp_path / "stopped", progress=False)
    develop(photographs, TINY, 5, out=tmp_path / "two", progress=False)
    file = tmp_path / "two" / development_state.GROWN
    later = develop(photographs, renewed, 5, earlier=file, out=tmp_path / "later", progress=False)
    for other in (rest, later):
        assert same(whole.areas.state_dict(), other.areas.state_dict())
        assert same(whole.readout.state_dict(), other.readout.state_dict())
        assert [h["loss"] for h in whole.history] == [h["loss"] for h in other.history]
    assert load_early_areas(tmp_path / "later" / development_state.GROWN)[1]["epochs"] == 3

    with pytest.raises(SettingError, match=r"renewed: got \(1,\), must be such that .* after epoch 2"):
        develop(photographs, replace(renewed, renewed=(1,)), 5, earlier=file, progress=False)
    with pytest.raises(LogError, match="made with seed 5, not 6: it is no beginning"):
        develop(photographs, renewed, 6, earlier=file, progress=False)
    with pytest.raises(LogError, match=r"made with recipe .* no beginning"):
        develop(photographs, replace(renewed, rate=0.1), 5, earlier=file, progress=False)
    with pytest.raises(SettingError, match=r"Recipe\.renewed: got 3"):
        replace(TINY, epochs=3, renewed=(3,))


def test_an_interruption_in_the_middle_of_an_epoch_loses_that_epoch_only(
    photographs: StimulusSet, tmp_path: Path
) -> None:
    whole = develop(photographs, TINY, 5, progress=False)
    stopped = Development(photographs, TINY, 5)
    stopped.epoch()
    stopped.save(tmp_path)

    def stop(glimpses: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped.epoch(stop)
    (tmp_path / ".checkpoint.safetensors-half").write_bytes(b"half")  # what a crash while writing leaves
    rest = develop(photographs, TINY, 5, out=tmp_path, progress=False)
    assert same(whole.areas.state_dict(), rest.areas.state_dict())


def test_what_another_development_left_is_not_gone_on_with(photographs: StimulusSet, tmp_path: Path) -> None:
    develop(photographs, TINY, 5, out=tmp_path, progress=False)
    with pytest.raises(LogError, match="made with seed 5, not 6"):
        develop(photographs, TINY, 6, out=tmp_path, progress=False)
    with pytest.raises(LogError, match="made with recipe"):
        develop(photographs, replace(TINY, rate=1e-4), 5, out=tmp_path, progress=False)
    with pytest.raises(LogError, match="made with stimuli"):
        develop(as_stimuli(made_up(2, 5, seed=1)), TINY, 5, out=tmp_path, progress=False)
    with pytest.raises(SettingError, match="epochs: got 1, must be at least 2"):
        develop(photographs, replace(TINY, epochs=1), 5, out=tmp_path, progress=False)
    checkpoint = tmp_path / development_state.CHECKPOINT
    checkpoint.write_bytes(checkpoint.read_bytes()[:-5])
    with pytest.raises(LogError, match="truncated"):
        develop(photographs, TINY, 5, out=tmp_path, progress=False)


def test_unsuitable_stimuli_and_recipes(photographs: StimulusSet) -> None:
    with pytest.raises(SettingError, match=r"Recipe\.batch: got 128, must be at most 10"):
        Development(photographs, RECIPES["weights"])
    with pytest.raises(DataError, match=r"float32 .* uint8 images"):
        Development(replace(photographs, train=photographs.train / 255, test=photographs.test / 255), TINY)
    for name, value in (("mirrored", 1.5), ("rate", 0), ("jitter", -1), ("gain", "big"), ("units", (0, 1))):
        with pytest.raises(SettingError, match=f"Recipe.{name}"):
            replace(TINY, **{name: value})
    with pytest.raises(SettingError, match="jitter: got 33"):
        Development(photographs, replace(TINY, jitter=33))
    with pytest.raises(SettingError, match="grew beyond all bounds"):
        develop(photographs, replace(TINY, rate=1e30), progress=False)


def test_gains_begin_as_the_recipe_says(photographs: StimulusSet) -> None:
    gain = Development(photographs, TINY).areas.state_dict()["early_4.normalisation.weight"]
    assert 0 <= gain.min() < 0.1 and 0.9 < gain.max() <= 1
    ones = Development(photographs, replace(TINY, gain="ones")).areas.state_dict()["early_4.normalisation.weight"]
    assert bool((ones == 1).all())


def test_discriminant_is_that_of_scikit_learn() -> None:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    chance = np.random.default_rng(0)
    label = np.arange(4).repeat(50)
    clouds = chance.normal(size=(4, 6))[label] + chance.normal(size=(200, 6)) @ chance.normal(size=(6, 6))
    peer = LinearDiscriminantAnalysis(solver="lsqr", priors=np.full(4, 0.25)).fit(clouds, label)
    found = Discriminant.fit(torch.from_numpy(clouds), label, shrinkage=1e-12)
    probes = chance.normal(size=(500, 6)) * 2
    assert np.array_equal(found.decide(torch.from_numpy(probes)).numpy(), peer.predict(probes))
    assert found.accuracy(torch.from_numpy(clouds), label) == peer.score(clouds, label)
    silent = torch.zeros(200, 2)
    assert 0 <= Discriminant.fit(silent, label).accuracy(silent, label) <= 1
    with pytest.raises(DataError, match="class 1 has no trial"):
        Discriminant.fit(silent[:2], np.array([0, 2]))
    with pytest.raises(DataError, match="must be"):
        Discriminant.fit(silent, label[:3])


def test_measuring_leaves_the_areas_alone(photographs: StimulusSet, areas: EarlyAreas) -> None:
    before = copy.deepcopy(areas.train().state_dict())
    light = LIGHT["cifar10"]
    activity = evoked(areas, photographs.train, light, batch=3)
    assert activity.shape == (10, 1024) and areas.training and same(areas.state_dict(), before)
    assert evoked(areas, photographs.train, light, area="early_4").shape == (10, 2048)
    assert torch.allclose(unit_variance(activity), activity.double().var(0, correction=0))
    readout = torch.nn.Linear(1024, 2)
    right = recognition(areas, readout, photographs.train, photographs.train_label, light)
    wrong = recognition(areas, readout, photographs.train, 1 - photographs.train_label, light)
    assert right + wrong == pytest.approx(1)


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archives")
    for name, classes, per_class in (("cifar10", 10, 12), ("cifar100", 100, 3)):
        np.savez(folder / f"{name}.npz", **made_up(classes, per_class))
    return folder


@pytest.fixture(scope="module")
def study() -> Iterator[ModuleType]:
    path = ROOT / "studies" / "develop_visual_cortex.py"
    spec = importlib.util.spec_from_file_location("develop_visual_cortex", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where the types of its settings are looked up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_study(
    study: ModuleType,
    archives: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("REPLAYSIM_DATA", str(archives))

    def printed(*arguments: str) -> str:
        run_study(study.main, study.Settings, arguments)
        return capsys.readouterr().out

    out = tmp_path / "out"
    shown = printed("--quick", "--out", str(out))
    found = json.loads((out / "maturity.json").read_text(encoding="utf-8"))
    assert "held out (n = 100)" in shown and "0.125" in shown and "CIFAR-100 test" not in shown
    assert found["epochs"] == 2 and 0 <= found["discriminant_held_out"] <= 1 and "discriminant_test" not in found
    grown = out / development_state.GROWN
    again = printed("--quick", "--test", "--evaluate", str(grown))
    assert "CIFAR-100 test (n = 300)" in again and f"{found['variance']:.3f}" in shown and "CIFAR-10 test" not in again
    assert f"{found['variance']:.3f}" in again and "All numbers" not in again
    kept = tmp_path / "asked"
    printed("--quick", "--test", "--evaluate", str(grown), "--out", str(kept))
    asked = json.loads((kept / "maturity.json").read_text(encoding="utf-8"))
    assert asked["sha256"] == found["sha256"] == hashlib.sha256(grown.read_bytes()).hexdigest()
    assert asked["areas"] == found["areas"] == which_areas(grown)
    assert asked["variance"] == pytest.approx(found["variance"], rel=1e-5) and 0 <= asked["discriminant_test"] <= 1
    assert "commit" in asked["made"] and str(tmp_path) not in json.dumps(asked["made"])
    assert "cifar10_test" not in asked
    assert load_file(str(out / development_state.CHECKPOINT))


def test_slips_of_the_study_are_sentences(
    study: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(b"no")
    for arguments, words in (
        (("--evaluate", str(damaged)), "truncated"),
        (("--evaluate", str(damaged), "--epochs", "3"), "left out where --evaluate is given"),
        (("--recipe", "bread"), "invalid choice"),
    ):
        with pytest.raises(SystemExit) as left:
            run_study(study.main, study.Settings, arguments)
        assert left.value.code == 2 and words in capsys.readouterr().err


def test_the_areas_that_come_with_replaysim() -> None:
    areas, about = load_early_areas()
    assert areas.critical_period == "closed" and about["seed"] == 0
    assert about["epochs"] == RECIPES["renewed"].epochs and about["recipe"]["renewed"] == [100]
    light = LIGHT["cifar100"]
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    features = areas(adapt(torch.from_numpy(images).permute(0, 3, 1, 2), light))[areas.top].flatten(1)
    assert features.shape == (6, 1024) and torch.isfinite(features).all() and features.std() > 0
    readme = (Path(__file__).resolve().parents[2] / "data" / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(shipped().read_bytes()).hexdigest() in readme
