"""The code of README.md runs, with fewer steps and animals, and its commands have the options that they are given."""

from __future__ import annotations

import csv
import importlib
import re
import shlex
import statistics
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import replaysim as rs
from replaysim import presets
from replaysim.commandline import parse_settings

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
SCRIPT, PARTS = re.findall(r"^```python\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
COMMANDS = sorted(set(re.findall(r"\bpython (studies/\w+\.py)((?: --[\w-]+(?: [\w:,/-]+)?)*)", TEXT)))


def run(code: str, **names: Any) -> dict[str, Any]:
    exec(compile(code, "README.md", "exec", dont_inherit=True), names)
    return names


def shortened(code: str) -> str:
    """Fewer steps and animals, the same code."""
    for long, short in (("steps=100, batch=64", "steps=4, batch=16"), ("range(12, 18)", "range(12, 14)")):
        assert long in code
        code = code.replace(long, short)
    return code


def test_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rs, "simulate", partial(rs.simulate, workers=1, progress=False))
    names = run(shortened(SCRIPT))
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["nothing", "synaptic", "systems"]
    assert names["memories"].shape == (3, 64)
    identity = names["result"].log["behaviour/class_identity"].sel(animal=12).values.tolist()
    wanted = names["dreamer"].recall(classes=[identity.index(3), identity.index(3), identity.index(8)])
    assert torch.equal(names["memories"], wanted) and names["decided"].shape == (3,)
    kept = rs.load_brain(Path("runs/dreamer.safetensors"))
    assert torch.equal(kept.recall(classes=[0, 4]), names["dreamer"].recall(classes=[0, 4]))
    assert {path.parent.name for path in Path("runs").glob("*/run.nc")} == {"nothing", "synaptic", "systems"}


def test_the_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(0)
    label = np.arange(100).repeat(4)
    image = partial(chance.integers, 0, 256, dtype=np.uint8)
    np.savez(
        tmp_path / "cifar100.npz",
        classes=label[::4].astype(str),
        **{f"y_{part}": label for part in ("train", "test")},
        **{f"x_{part}": image(size=(400, 32, 32, 3)) for part in ("train", "test")},
    )
    monkeypatch.setenv("REPLAYSIM_DATA", str(tmp_path))
    monkeypatch.setattr(presets, "run", partial(presets.run, steps=1, workers=1, progress=False))
    names = run(PARTS, rs=rs)
    assert names["shallow"].cortex.reentry == "association_1" and names["whole"].cortex.reentry == "early_5"
    assert names["lesion"].name == "split_cifar100/class/without_gating"
    assert list(names["result"].brains) == [12]


@pytest.mark.parametrize(("script", "options"), COMMANDS, ids=lambda value: str(value).strip() or "defaults")
def test_commands_are_understood(script: str, options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "studies")
    study = importlib.import_module(Path(script).stem)
    assert isinstance(parse_settings(study.Settings, shlex.split(options)), study.Settings)


def test_there_are_commands() -> None:
    assert len({script for script, _ in COMMANDS}) >= 6


def test_the_table_of_results_is_that_of_what_is_kept() -> None:
    """Cells of the table of Split CIFAR-100, published and ours, and which are marked as missed."""
    kept, published = (
        list(csv.DictReader((ROOT / f"docs/results/{name}.csv").read_text(encoding="utf-8").splitlines()))
        for name in ("split_cifar100", "published")
    )
    rows = re.findall(r"^\| `(\w+)`[^|]*\|(.*)\|$", TEXT, flags=re.MULTILINE)
    assert len(rows) == 12
    for arm, line in rows:
        cells = [cell.strip() for cell in line.split("|")]
        for scenario, theirs, ours in (("class", *cells[:2]), ("task", *cells[2:])):
            preset = f"split_cifar100/{scenario}/{arm}"
            known = [row for row in published if (row["preset"], row["steps"], row["what"]) == (preset, "5000", "mean")]
            lives = defaultdict(list)
            for row in kept:
                like = (row["preset"], row["steps"], row["early"], row["precision"], row["device"] != "cpu")
                if like == (preset, "5000", "10bf17d5b79c", "bfloat16", True):
                    lives[row["animal"]].append(100 * float(row["accuracy"]))
            if not known:
                assert (theirs, ours, len(lives)) == ("", "", 0), preset
                continue
            (one,) = known
            mean = float(one["value"])
            assert theirs == f"{mean:.1f}" + (f" ± {float(one['error']):.1f}" if one["error"] else "")
            found = [statistics.fmean(values) for values in lives.values()]
            assert sorted(lives) == ["12", "13", "14"]
            error = statistics.stdev(found) / len(found) ** 0.5
            missed = " *" * (abs(round(statistics.fmean(found), 2) - mean) > 1.5)
            assert ours == f"{statistics.fmean(found):.1f} ± {error:.1f}{missed}", preset


PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "data" / "README.md", *ROOT.glob("docs/**/*.md")])


def headings(page: Path) -> set[str]:
    """Where links can lead on a page, as GitHub names its headings."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not link.startswith("http"):
            path, _, place = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not place or target.suffix != ".md" or place in headings(target), link


def test_the_words_of_the_model_exist() -> None:
    text = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`([A-Z]\w+)`", text))
    assert len(names) == 5 and all(hasattr(rs, name) for name in names), names
