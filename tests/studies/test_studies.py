"""Every study runs end to end, small, from its command line."""

from __future__ import annotations

import ast
import csv
import importlib
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pretended
import pytest
import xarray as xr
from loading import load, run

from analysis.comparison import paired_difference
from analysis.forgetting import final_accuracy
from replaysim import products, steps

ROOT = Path(__file__).resolve().parents[2]


def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A study in a process of its own, as a user starts it."""
    command = [sys.executable, str(ROOT / "studies" / f"{name}.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_slips_are_sentences() -> None:
    done = run("synaptic_vs_systems", "--quick", "--animals", "12,12", "--out", "nowhere")
    assert done.returncode == 2
    assert "given twice" in done.stderr and "Traceback" not in done.stderr
    assert not (ROOT / "nowhere").exists()


def test_tuning_keeps_every_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tuning = load("tune_digits")
    monkeypatch.setattr(tuning, "LEARNING", tuple(replace(one, steps=20) for one in tuning.LEARNING[:1]))
    out = tmp_path / "tuning.csv"
    done = run("tune_digits", "--quick", "--animals", "0:2", "--workers", "1", "--out", str(out))
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert [row["mechanism"] for row in rows] == ["systems", "joint", "synaptic"]
    assert all(0 <= float(row["accuracy"]) <= 1 for row in rows)
    before = out.read_text(encoding="utf-8")
    again = run("tune_digits", "--quick", "--animals", "0:2", "--workers", "1", "--out", str(out))
    assert again.returncode == 0 and "accuracy" not in again.stdout, "what is kept is not computed again"
    assert out.read_text(encoding="utf-8") == before


def test_quality_study_leaves_measures_and_figures(tmp_path: Path) -> None:
    out = tmp_path / "quality"
    few = ("--quick", "--stimuli", "20", "--workers", "1", "--out", str(out))
    done = run("quality_of_replay", *few, "--animals", "12:14")
    assert done.returncode == 0, done.stderr
    assert (out / "table.txt").read_text(encoding="utf-8").strip() in done.stdout
    assert "real stimuli" in done.stdout and "plain" in done.stdout
    kept = xr.open_datatree(out / "quality.nc")
    for arm in ("whole", "no_modes", "no_gating", "hard_targets", "plain"):
        one = kept[arm].to_dataset()
        for name in ("improved_precision", "coverage", "f8", "frechet", "inception"):
            assert one[name].sizes == {"animal": 2} and one[f"reference_{name}"].notnull().all()
    kept.close()
    for name in (
        "quality.png",
        "images.png",
        "whole/animals_12-13/run.nc",
        "embedding_network/brains/1000000.safetensors",
    ):
        assert (out / name).stat().st_size > 5_000
    assert "log-likelihood: of 20 real test stimuli at the re-entry area, by importance sampling of 100" in done.stdout
    (out / "plain" / "animals_12-13" / "quality.nc").write_bytes(b"damaged")
    options = (*few, "--arms", "plain")
    again = run("quality_of_replay", *options, "--animals", "12:14")
    assert again.returncode == 2 and "quality.nc: cannot be read; remove it" in again.stderr, again.stderr
    (out / "plain" / "animals_12-13" / "quality.nc").unlink()
    more = run("quality_of_replay", *options, "--animals", "12:15")
    assert more.returncode == 0 and "over 3 animals" in more.stdout, more.stderr
    assert {path.parent.name for path in (out / "plain").glob("*/quality.nc")} == {"animals_12-13", "animals_14"}


def test_gallery_is_drawn_from_the_kept_logs(tmp_path: Path) -> None:
    done = run("gallery", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "gallery.md").read_text(encoding="utf-8")
    assert page == (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8"), "run studies/gallery.py"
    figures = {path.name for path in (tmp_path / "gallery").glob("*.png") if path.stat().st_size > 5_000}
    assert figures == {path.name for path in (ROOT / "docs" / "gallery").glob("*.png")}


STUDIES = sorted(path.stem for path in (ROOT / "studies").glob("*.py") if path.stem not in ("gallery", "results"))
"""Those that ask something; the other two put together what these have left."""


@pytest.mark.parametrize("name", [*STUDIES, "gallery", "results"])
def test_every_study_is_a_script(name: str) -> None:
    done = script(name, "--help")
    assert done.returncode == 0 and done.stdout.startswith(f"usage: {name}.py"), done.stderr


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_says_what_it_asks_and_what_it_takes(name: str) -> None:
    text = ast.get_docstring(ast.parse((ROOT / "studies" / f"{name}.py").read_text(encoding="utf-8"))) or ""
    assert text.splitlines()[0].endswith("?")
    parts = re.split(r"^(Question|Expected|Run time|Hardware)\n", text, flags=re.MULTILINE)
    assert parts[1::2] == ["Question", "Expected", "Run time", "Hardware"]
    assert all(part.startswith("    ") and len(part.strip()) > 3 for part in parts[2::2])


def test_speed_of_analyses_prints_its_table() -> None:
    done = script("speed", "--analysis", "--quick")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("% of the rate") == 6 and "class RDMs and CKA" in done.stdout


def test_speed_prints_its_table() -> None:
    done = script("speed", "--quick", "--animals", "0:2", "--workers", "1")  # others take as long to start as the rest
    assert done.returncode == 0, done.stderr
    assert "1.74 GFLOP" in done.stdout
    assert "fraction of that rate" in done.stdout
    assert re.search(
        r"- run 1: `python studies/speed.py --quick --animals 0:2 --workers 1`; CPU \(.*\), one thread a worker; torch",
        done.stdout,
    )


@pytest.mark.slow
def test_workers_are_timed_against_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "studies")
    assert importlib.import_module("speed").gain(2, 1, 1, 2) > 0


def test_a_step_in_bfloat16_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "studies")
    speed = importlib.import_module("speed")
    task = replace(speed.SPLIT_CIFAR100, inputs=12, units=(60, 60), batch=4, stored=200)
    asked: list[str] = []
    monkeypatch.setattr(steps, "layers_in", lambda name: asked.append(name) or products.layers_in(name))
    found = [value for _, value in speed.bfloat16_step((12,), task, 2)]
    assert asked == ["float32", "bfloat16"] * (speed.BEFORE + 2), "steps before, and two that are timed"
    assert [re.sub(r"^\d+(\.\d+)?", "", value) for value in found] == [" ms", " %", " times as fast"]
    assert float(found[0].split()[0]) > 0 and float(found[2].split()[0]) > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of a part of torch that is not public
def test_a_timed_step_stays_on_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "studies")
    speed = importlib.import_module("speed")
    task = replace(speed.SPLIT_CIFAR100, inputs=12, units=(60, 60), batch=4, stored=200)
    with pretended.cuda(monkeypatch):
        cohort, step = speed.make_step((12, 13), task, "cuda")
        losses, _events = step()
    assert cohort.device.type == losses.device.type == "cuda" and losses.shape[0] == 2


@pytest.mark.gpu
@pytest.mark.parametrize("what", [(), ("--photographs",)])
def test_speed_of_a_gpu(what: tuple[str, ...]) -> None:
    done = script("speed", "--quick", "--device", "cuda", *what)
    assert done.returncode == 0, done.stderr
    assert "one animal of 5, cuda (median" in done.stdout and "same device, interleaved" in done.stdout
    assert "workers" not in done.stdout


def test_results_are_made_from_the_summary() -> None:
    done = run("results", "--check")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def small_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for MNIST: the study's machinery, not its numbers."""
    chance = np.random.default_rng(0)
    arrays = {"classes": np.array([str(c) for c in range(10)])}
    for part, each in (("train", 20), ("test", 5)):
        arrays[f"y_{part}"] = np.arange(10).repeat(each)
        arrays[f"x_{part}"] = chance.integers(0, 256, (10 * each, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "mnist.npz", **arrays)
    monkeypatch.setenv("REPLAYSIM_DATA", str(tmp_path))
    return tmp_path


def test_quick_arms_do_not_enter_the_summary(small_mnist: Path) -> None:
    summary = small_mnist / "summary.csv"
    options = ("--out", str(small_mnist / "runs"), "--summary", str(summary), "--workers", "1", "--arms", "nothing")
    done = run("compare_methods", "--quick", "--scenario", "task", "--animals", "12,14", *options)
    assert done.returncode == 0, done.stderr
    folder = small_mnist / "runs" / "split_mnist" / "task" / "quick" / "nothing" / "chance_0"
    assert (folder / "animals_12_14" / "run.nc").exists()
    assert not summary.exists()


@pytest.mark.slow
def test_replay_beats_stiff_synapses_on_the_digits(tmp_path: Path) -> None:
    """Class scenario, ten animals: replay minus SI above 50 points (lower bound), joint training at least 95 %."""
    done = run("synaptic_vs_systems", "--animals", "12:22", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    logs = {name: xr.open_datatree(tmp_path / name / "run.nc") for name in ("synaptic", "systems", "joint")}
    accuracy = {name: final_accuracy(log) for name, log in logs.items()}
    assert float(paired_difference(accuracy["systems"], accuracy["synaptic"])["low"]) > 0.5
    assert float(accuracy["joint"].mean()) >= 0.95
    for log in logs.values():
        log.close()
