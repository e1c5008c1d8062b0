"""Studies of matched brains go on where they were stopped, and find what is in the way before they simulate."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from loading import load, run
from matplotlib.figure import Figure

from replaysim import presets, resumption
from replaysim.errors import LogError

NAMES = ("synaptic_vs_systems", "geometry_of_replay")


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Labels of what is really simulated; the third is stopped once."""
    seen: list[str] = []
    real = resumption.simulate

    def run(*given: Any, **settings: Any) -> Any:
        seen.append(settings["label"])
        if len(seen) == 3:
            raise KeyboardInterrupt
        return real(*given, **settings, progress=False)

    run.__signature__ = inspect.signature(real)  # type: ignore[attr-defined]
    monkeypatch.setattr(resumption, "simulate", run)
    return seen


@pytest.mark.parametrize("name", NAMES)
def test_other_animals_have_a_folder_of_their_own(name: str, tmp_path: Path) -> None:
    """So that who has run the usual ones can have more without being sent away."""
    settings = load(name).Settings
    assert settings().folder == settings(animals=tuple(range(12, 18))).folder == Path("runs") / name / "digits_class"
    assert settings(animals=tuple(range(12, 22))).folder.name == "digits_class_animals_12-21"
    assert settings(animals=(12, 14), quick=True, scenario="task").folder.name == "digits_task_animals_12_14_quick"
    assert settings(animals=(12,), out=tmp_path).folder == tmp_path


def check_comparison(out: Path, printed: str) -> None:
    """What `synaptic_vs_systems.py` leaves behind."""
    for condition in ("nothing", "synaptic", "systems", "both", "joint", "classifier"):
        assert condition in printed
        with xr.open_datatree(out / condition / "run.nc") as log:
            assert log["behaviour/accuracy"].sizes["animal"] == 2
    assert (out / "retention.png").stat().st_size > 10_000
    assert (out / "retention.svg").exists()
    assert "Interaction" in printed and "chance" in printed


def check_geometry(out: Path, _printed: str) -> None:
    """What `geometry_of_replay.py` leaves behind."""
    with xr.open_datatree(out / "geometry.nc") as kept:
        assert set(kept["cortex"].children) == {"nothing", "synaptic", "systems", "both", "joint"}
        assert set(kept["replay"].children) == {"systems", "both"}
        for name in ("decodable", "kept", "like_joint"):
            assert kept[f"cortex/systems/{name}"].sizes == {"animal": 2}
        assert (abs(kept["cortex/joint/like_joint"]) < 1).all(), "with other animals, not with itself"
        assert kept["replay/systems/variance_ratio"].notnull().any()
    for name in ("geometry.png", "rdms.png", "systems/run.nc"):
        assert (out / name).stat().st_size > 10_000


@pytest.mark.parametrize(
    ("name", "check"), list(zip(NAMES, (check_comparison, check_geometry), strict=True)), ids=NAMES
)
def test_a_stopped_study_goes_on(
    name: str,
    check: Callable[[Path, str], None],
    tmp_path: Path,
    simulated: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And leaves logs, a table, measures and figures, as one that was not stopped."""
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        load(name).main(load(name).Settings(quick=True, animals=(12, 13), workers=1, out=out))
    finished = {path: path.read_bytes() for path in out.glob("*/run.nc")}
    assert sorted(path.parent.name for path in finished) == ["nothing", "synaptic"]

    options = ("--quick", "--workers", "1", "--out", str(out))
    done = run(name, *options, "--animals", "12:14")
    assert done.returncode == 0, done.stderr
    rest = ["systems", "both", "joint"] + ["classifier"] * (name == NAMES[0])
    assert simulated == ["nothing", "synaptic", "systems", *rest]
    assert {path: path.read_bytes() for path in finished} == finished
    assert (out / "table.txt").read_text(encoding="utf-8").strip() in done.stdout
    check(out, done.stdout)

    monkeypatch.setattr(Figure, "savefig", lambda _figure, path, **_how: Path(path).touch())  # not twice
    again = run(name, *options, "--animals", "12:14")
    assert len(simulated) == 3 + len(rest) and again.stdout == done.stdout
    other = run(name, *options, "--animals", "12:15")
    assert other.returncode == 2 and "Traceback" not in other.stderr
    assert re.search(r"nothing: holds a log of other settings \(animals is .*--overwrite", other.stderr), other.stderr


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("protocol", "kept"), [("digits", False), ("split-mnist", True)])
def test_long_conditions_are_kept_context_by_context(
    name: str, protocol: str, kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the digits take seconds, so that little is lost."""
    asked: list[dict[str, Any]] = []

    def simulate_each(_conditions: Any, **common: Any) -> Any:
        asked.append(common)
        raise KeyboardInterrupt

    study = load(name)
    monkeypatch.setattr("replaysim.conditions.simulate_each", simulate_each)
    matched = presets.matched("digits", "class", quick=True)
    monkeypatch.setattr(presets, "matched", lambda *_which, **_how: matched)  # MNIST would be downloaded
    with pytest.raises(KeyboardInterrupt):
        study.main(study.Settings(protocol=protocol, animals=(12,), out=tmp_path))
    assert [one["checkpoints"] for one in asked] == [kept]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", ["log", "file"])
def test_the_last_folder_is_asked_first(name: str, way: str, tmp_path: Path, simulated: list[str]) -> None:
    study = load(name)
    settings = study.Settings(quick=True, animals=(12,), workers=1, out=tmp_path)
    if way == "log":
        (tmp_path / "joint").mkdir()
        (tmp_path / "joint" / "config.json").write_text('{"label": "mine"}', encoding="utf-8")
    else:
        (tmp_path / "joint").touch()
    with pytest.raises(LogError, match=r"joint: (holds a log of other settings|is a file)"):
        study.main(settings)
    assert not simulated and [path.name for path in tmp_path.iterdir()] == ["joint"]
