"""Studies of lesions, of the amount and of the quality of replay: end to end, small, stopped and started again."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import xarray as xr
from loading import load, run

from replaysim import presets
from replaysim.brain_files import describe_plan
from replaysim.errors import SettingError
from replaysim.lesion_arms import folder_name, lesion_arms


def study(name: str, *arguments: str, data: Path | None = None, quick: bool = True) -> CompletedProcess[str]:
    return run(name, *(["--quick"] if quick else []), "--workers", "1", *arguments, data=data)


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files in the form of MNIST and CIFAR-100 with a few meaningless images: the machinery, not the numbers."""
    folder, chance = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name, classes, shape, test in (("mnist", 10, (28, 28), 5), ("cifar100", 100, (32, 32, 3), 4)):
        arrays: dict[str, Any] = {"classes": np.array([str(c) for c in range(classes)])}
        for part, each in (("train", 2 * test), ("test", test)):
            arrays[f"y_{part}"] = np.arange(classes).repeat(each)
            arrays[f"x_{part}"] = chance.integers(0, 256, (classes * each, *shape), dtype=np.uint8)
        np.savez(folder / f"{name}.npz", **arrays)
    return folder


@pytest.mark.parametrize(
    ("protocol", "scenario", "ingredients", "share"),
    [
        ("digits", "task", 4, 0.5),
        ("split_mnist", "class", 4, 0.8),
        ("permuted_mnist", "domain", 4, 0.8),
        ("split_cifar100", "class", 5, 0.7),
        ("split_cifar100", "task", 5, 0.7),  # that of the class scenario: the intact brain has no gates here
    ],
)
@pytest.mark.parametrize("closed", ["paper", "common"])
def test_arms_of_lesions(
    protocol: str,
    scenario: str,
    ingredients: int,
    share: float,
    closed: str,
    stand_in: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    arms = lesion_arms(protocol, scenario, closed)
    assert next(iter(arms)) == "classic" and list(arms)[-1] == "last context"
    assert sum(name.startswith("+ ") for name in arms) == sum(name.startswith("− ") for name in arms) == ingredients
    targets = {name: arm.mechanisms["replay"].targets for name, arm in arms.items() if "replay" in arm.mechanisms}
    assert {name for name, kind in targets.items() if kind == "hard"} == {
        name for name in targets if (name[0] in "+c") != (name in ("+ distillation", "− distillation"))
    }
    assert arms["last context"].mechanisms == {"experience": "last"}
    assert len({folder_name(name) for name in arms}) == len(arms)
    if closed == "common" or protocol in ("digits", "split_mnist"):
        monkeypatch.setenv("REPLAYSIM_DATA", str(stand_in))
        met = arms["intact"].protocol()
        gates = {name: arm.brain(met).gating for name, arm in arms.items()}
        gated = {"+ gating", *(name for name in arms if name[0] in "i−" and name != "− gating")}
        assert {name: own.closed for name, own in gates.items() if own is not None} == dict.fromkeys(gated, share)


def test_arms_with_the_slips_of_the_published_code() -> None:
    for protocol, scenario in (("split_cifar100", "task"), ("permuted_mnist", "domain"), ("split_mnist", "task")):
        plain, slipped = (lesion_arms(protocol, scenario, faithful=faithful) for faithful in (False, True))
        for name, arm in slipped.items():
            gated = "gates closed" in arm.about
            assert arm.name == plain[name].name + "_faithful" * gated
            assert arm.brain.keywords.get("faithful", False) == gated  # type: ignore[attr-defined]
            if protocol != "split_mnist" and name != "intact":
                assert arm.name in presets.PRESETS, "kept, and in the tables"
        assert any(arm.name.endswith("_faithful") for arm in slipped.values())
    assert lesion_arms("split_cifar100", "class")["classic"].name == "split_cifar100/class/gr"
    for protocol, scenario in (("digits", "task"), ("split_cifar100", "class"), ("split_cifar100", "domain")):
        with pytest.raises(SettingError, match=rf"faithful: got '.*, {scenario} scenario', must be left out"):
            lesion_arms(protocol, scenario, faithful=True)


def test_slips_that_the_published_code_does_not_make() -> None:
    for protocol, scenario, lesioned in (
        ("split_cifar100", "class", {"without": {"modes"}}),
        ("split_cifar100", "task", {"without": {"modes"}}),
        ("split_mnist", "domain", {"only": {"gating"}}),
        ("permuted_mnist", "domain", {"without": {"gating"}}),
    ):
        with pytest.raises(SettingError, match=rf"lesion\.faithful: got '.*, {scenario} scenario', must be left out"):
            presets.lesion(protocol, scenario, **lesioned, faithful=True)
    assert presets.lesion("permuted_mnist", "domain", only={"gating"}, faithful=True).name.endswith("_faithful")
    assert presets.lesion("split_mnist", "class", only=()).about.startswith("classic generative replay, no gates")


def test_arms_that_there_are_not() -> None:
    with pytest.raises(SettingError, match="'domain' in permuted MNIST"):
        lesion_arms("permuted_mnist", "class")
    with pytest.raises(SettingError, match="must be one of 'digits'"):
        lesion_arms("digits, too", "class")


ARMS = "classic,+ gating,intact,− modes,last context"


@pytest.fixture(scope="module")
def lesions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("lesions") / "digits"
    done = study("lesions", "--arms", ARMS, "--animals", "12:14", "--out", str(out))
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_lesions_leave_table_figure_and_logs(lesions: tuple[Path, str]) -> None:
    out, printed = lesions
    assert (out / "table.txt").read_text(encoding="utf-8").strip() in printed
    for words in ("+ gating", "− modes", "last context", "chance                 10.0"):
        assert words in printed
    for name in ("classic", "plus_gating", "intact", "minus_modes", "last_context"):
        log = xr.open_datatree(out / name / "animals_12-13" / "run.nc")
        assert log["behaviour/accuracy"].sizes["animal"] == 2
        log.close()
    accuracy = xr.load_dataarray(out / "accuracy.nc")
    assert accuracy.sizes == {"arm": 5, "animal": 2} and float(accuracy.attrs["chance"]) == pytest.approx(0.1)
    assert (out / "lesions.png").stat().st_size > 10_000 and (out / "lesions.svg").exists()
    (origin,) = (line for line in printed.splitlines() if line.startswith("- run "))
    assert "lesions.py --quick" in origin and "), one thread a worker; torch" in origin and "; commit " in origin


def test_lesions_go_on_where_they_stopped(lesions: tuple[Path, str]) -> None:
    """What is complete stays untouched, what was stopped is simulated again."""
    out, printed = lesions
    stopped, complete = (out / arm / "animals_12-13" for arm in ("plus_gating", "classic"))
    (stopped / "run.nc").unlink()
    before = (complete / "run.nc").stat().st_mtime_ns
    done = study("lesions", "--arms", ARMS, "--animals", "12:14", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert (stopped / "run.nc").is_file() and (complete / "run.nc").stat().st_mtime_ns == before
    assert "+ gating:" in done.stderr and "classic:" not in done.stderr, "bars of what is simulated"
    assert done.stdout == printed, "the same animals live the same lives"


def test_lesions_do_not_take_another_log_for_theirs(lesions: tuple[Path, str]) -> None:
    out, _ = lesions
    done = study("lesions", "--arms", "classic", "--animals", "12:15", "--steps", "3", "--out", str(out))
    assert done.returncode == 2
    assert "learning.steps is 20, not 3" in done.stderr and "Traceback" not in done.stderr
    done = study("lesions", "--arms", "- magic", "--out", str(out))
    assert done.returncode == 2 and "must be one of 'classic'" in done.stderr


def test_lesions_of_more_animals_one_at_a_time(tmp_path: Path, stand_in: Path) -> None:
    """Animals that are asked for later are added, and the paper's arms enter the summary, each as it is complete."""
    summary = tmp_path / "summary.csv"
    options = ("--protocol", "split-mnist", "--arms", "intact,- modes", "--steps", "2", "--at-once", "1")
    places = ("--out", str(tmp_path / "logs"), "--summary", str(summary))
    for animals in ("12:14", "12:15"):
        done = study("lesions", *options, *places, "--animals", animals, data=stand_in, quick=False)
        assert done.returncode == 0, done.stderr
    logs = sorted(path.parent.name for path in (tmp_path / "logs" / "minus_modes").glob("*/run.nc"))
    assert logs == ["animals_12", "animals_13", "animals_14"]
    rows = list(csv.DictReader(summary.read_text(encoding="utf-8").splitlines()))
    assert {(row["preset"], row["steps"], row["early"]) for row in rows} == {
        ("split_mnist/class/brain_inspired", "2", "none")
    }
    assert [row["animal"] for row in rows] == ["12", "13", "14"]
    accuracy = xr.load_dataarray(tmp_path / "logs" / "accuracy.nc")
    assert accuracy.sizes == {"arm": 2, "animal": 3} and accuracy.notnull().all()
    again = study("lesions", *options, *places, "--animals", "12:15", data=stand_in, quick=False)
    assert again.stdout == done.stdout and "step/s" not in again.stderr, "nobody is simulated again"


@pytest.mark.parametrize("protocol", ["split_mnist", "permuted_mnist", "split_cifar100"])
def test_arms_that_enter_summaries_are_the_presets_of_that_name(
    protocol: str, stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLAYSIM_DATA", str(stand_in))
    scenario = "domain" if protocol == "permuted_mnist" else "class"
    shared = [arm for arm in lesion_arms(protocol, scenario).values() if arm.name in presets.PRESETS]
    assert any(arm.name.endswith("/brain_inspired") for arm in shared)
    met = shared[0].protocol()
    for arm in shared:
        own, preset = (
            (describe_plan(one.brain(met)), one.mechanisms, one.learning) for one in (arm, presets.get(arm.name))
        )
        assert own == preset, arm.name


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        (
            "lesions",
            ("--early", "zz"),
            "early: got 'zz', must be left out: only photographs are seen through early areas",
        ),
        ("lesions", ("--protocol", "split-cifar100", "--early", "zz"), "must be a file that is there"),
        ("lesions", ("--at-once", "0"), "--at-once: got 0, must be a whole number >= 1"),
        ("lesions", ("--steps", "0"), "--steps: got 0"),
        ("lesions", ("--animals", "4,4"), "given twice: 4"),
        ("lesions", ("--device", "tpu"), "device: got 'tpu'"),
        ("quality_of_replay", ("--early", "zz"), "left out: only photographs are seen through early areas"),
        ("quality_of_replay", ("--animals", "4,4"), "given twice: 4"),
        ("quality_of_replay", ("--workers", "0"), "--workers: got 0"),
        ("quality_of_replay", ("--device", "tpu"), "device: got 'tpu'"),
        ("amount_of_replay", ("--workers", "0"), "--workers: got 0"),
        ("amount_of_replay", ("--at-once", "-1"), "--at-once: got -1"),
    ],
)
def test_slips_are_told_before_anything_is_simulated(
    tmp_path: Path, name: str, options: tuple[str, ...], words: str
) -> None:
    done = study(name, *options, "--out", str(tmp_path / "out"))
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("protocol", "arms"),
    [
        ("split-mnist", "classic,- feedback"),
        ("permuted-mnist", "+ distillation,intact,last context"),
        ("split-cifar100", "+ internal,- gating"),
    ],
)
def test_lesions_of_the_papers_protocols(stand_in: Path, tmp_path: Path, protocol: str, arms: str) -> None:
    options = ("--protocol", protocol, "--arms", arms, "--animals", "12:14", "--steps", "2", "--out", str(tmp_path))
    done = study("lesions", *options, data=stand_in)
    assert done.returncode == 0, done.stderr
    assert all(arm.replace("- ", "− ") in done.stdout for arm in arms.split(","))
    assert (tmp_path / "lesions.png").stat().st_size > 10_000


def test_amount_of_replay(tmp_path: Path) -> None:
    options = ("--animals", "12:14", "--steps", "3", "--brain", "both", "--out", str(tmp_path))
    done = study("amount_of_replay", *options)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "table.txt").read_text(encoding="utf-8").strip() in done.stdout
    kept = xr.open_datatree(tmp_path / "accuracy.nc")
    for brain in ("classic", "brain_inspired"):
        for axis, amounts in (("events", [1, 16]), ("units", [10, 200])):
            found = kept[f"{brain}/{axis}/final_accuracy"]
            assert found[axis].values.tolist() == amounts
            assert found.sizes == {"reinitialised": 2, axis: 2, "animal": 2} and found.notnull().all()
    usual = kept["classic/events/final_accuracy"].sel(events=16), kept["classic/units/final_accuracy"].sel(units=200)
    assert np.array_equal(usual[0], usual[1]), "the same condition on both axes"
    kept.close()
    assert (tmp_path / "amount.png").stat().st_size > 10_000 and (tmp_path / "amount.svg").exists()
    again = study("amount_of_replay", *options)
    assert again.returncode == 0 and "step/s" not in again.stderr, "nothing is simulated again"
    assert again.stdout == done.stdout


def test_brains_stand_side_by_side_in_the_table() -> None:
    """Also where one of them has no such amount."""
    amounts: dict[str, list[int]] = {"classic": [10, 200], "brain-inspired": [200]}
    found = {
        brain: {
            axis: xr.DataArray(
                np.full((2, len(units if axis == "units" else [1]), 2), 0.1 + 0.4 * (brain == "classic")),
                {"reinitialised": [False, True], axis: units if axis == "units" else [1], "animal": [12, 13]},
                ("reinitialised", axis, "animal"),
            )
            for axis in ("events", "units")
        }
        for brain, units in amounts.items()
    }
    lines = load("amount_of_replay").table(found, {}, 0.1).splitlines()
    rows = {line.split()[0]: line.split() for line in lines if line[:1].isdigit()}
    assert rows["200"] == ["200", *["50.0", "±", "0.0"] * 2, *["10.0", "±", "0.0"] * 2]
    assert rows["10"] == ["10", *["50.0", "±", "0.0"] * 2], "left empty"
    assert any(line.startswith("left empty: ") for line in lines)
    assert any("classic" in line and "brain-inspired" in line for line in lines)


def test_gates_that_close_everything_are_left_out(tmp_path: Path, stand_in: Path) -> None:
    """Gates that close 0.8 of 10 units close all of them somewhere."""
    options = ("--protocol", "split-mnist", "--brain", "brain-inspired", "--animals", "12", "--steps", "2")
    done = study("amount_of_replay", *options, "--out", str(tmp_path), data=stand_in)
    assert done.returncode == 0, done.stderr
    assert "not with [10] units, of which gates would close all" in done.stdout
    assert (tmp_path / "amount.png").stat().st_size > 10_000


def test_the_embedding_network_learns_for_twenty_epochs(
    tmp_path: Path, stand_in: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLAYSIM_DATA", str(stand_in))
    module, asked = load("quality_of_replay"), []

    def simulate_once(_brain: Any, protocol: Any, **given: Any) -> Any:
        asked.append((protocol, given))
        raise KeyboardInterrupt

    monkeypatch.setattr("replaysim.resumption.simulate_once", simulate_once)
    settings = module.Settings(protocol="split-cifar100", arms="intact", out=tmp_path)
    (arm,) = module.arms_of(settings).values()
    arm = arm._replace(learning=replace(arm.learning, batch=32))
    with pytest.raises(KeyboardInterrupt):
        module.train_embedding(arm, settings)
    ((protocol, given),) = asked
    assert protocol.n_contexts == 1 and given["checkpoints"]
    assert given["learning"].steps == 20 * (len(protocol.stimuli.train) // 32) > 0


def test_quality_of_photographs(tmp_path: Path, stand_in: Path) -> None:
    """Memories of early areas and of the retina enter the embedding network, each where it belongs."""
    arms = "+ internal,- internal"
    few = ("--steps", "2", "--animals", "12", "--stimuli", "5")
    options = ("--protocol", "split-cifar100", "--arms", arms, *few, "--out", str(tmp_path))
    done = study("quality_of_replay", *options, data=stand_in)
    assert done.returncode == 0, done.stderr
    assert "all: the paper's measures, of 400 real stimuli and as many memories" in done.stdout
    kept = xr.open_datatree(tmp_path / "quality.nc")
    for arm in ("plus_internal", "minus_internal"):
        one = kept[arm].to_dataset()
        assert one["paper_precision"].sizes == {"animal": 1, "angle": 1001}
        for name in ("paper_f8", "paper_frechet", "inception", "f8", "reference_f8"):
            assert np.isfinite(one[name]).all()
        assert one.attrs["real_available"] == 400 and one.attrs["n_generated"] == 200
        for name in ("log_likelihood", "reconstruction_error"):
            assert one[name].sizes == {"animal": 1} and np.isfinite(one[name]).all()
        log = xr.open_datatree(tmp_path / arm / "animals_12" / "run.nc")
        assert log["replay/activity"].sizes["unit"] == (1024 if arm == "plus_internal" else 3072)
        log.close()
    kept.close()
    assert (tmp_path / "quality.png").stat().st_size > 10_000
    measures = tmp_path / "plus_internal" / "animals_12" / "quality.nc"
    before = measures.stat().st_mtime_ns
    again = study("quality_of_replay", *options, data=stand_in)
    assert again.returncode == 0 and "step/s" not in again.stderr, again.stderr
    assert measures.stat().st_mtime_ns == before, "nor judged again"
    assert again.stdout == done.stdout
