"""The study that compares methods: lives are kept, taken up again, labelled, and never taken for others."""

from __future__ import annotations

import csv
import functools
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
from loading import load

import replaysim as rs
from analysis import forgetting
from replaysim import early_areas, portions, presets, resumption
from replaysim.cohort import Cohort
from replaysim.early_areas import load_early_areas, save_early_areas, shipped_areas, which_areas
from replaysim.errors import LogError, ReplaysimError, SettingError
from replaysim.log import settings_of

ROOT = Path(__file__).resolve().parents[2]
Study = Callable[..., str]


compare_methods = load("compare_methods")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for the data sets: the study's machinery, not its numbers."""
    chance = np.random.default_rng(0)
    for name, classes, shape in (("mnist", 10, (28, 28)), ("cifar100", 100, (32, 32, 3))):
        arrays = {"classes": np.array([str(c) for c in range(classes)])}
        for part, each in (("train", 8), ("test", 2)):
            arrays[f"y_{part}"] = np.arange(classes).repeat(each)
            arrays[f"x_{part}"] = chance.integers(0, 256, (each * classes, *shape), dtype=np.uint8)
        np.savez(tmp_path / f"{name}.npz", **arrays)
    monkeypatch.setenv("REPLAYSIM_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def study(data: Path, capsys: pytest.CaptureFixture[str]) -> Study:
    """Run it in this process; returns what it printed."""

    def run(**settings: Any) -> str:
        given = {"out": data / "runs", "summary": data / "summary.csv", "workers": 1, **settings}
        compare_methods.main(compare_methods.Settings(**given))
        return capsys.readouterr().out

    return run


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int, ...], int]]:
    """What is really simulated: preset, animals, chance."""
    seen: list[tuple[str, tuple[int, ...], int]] = []
    real = resumption.simulate

    @functools.wraps(real)
    def simulate(*given: Any, **settings: Any) -> Any:
        seen.append((settings["label"].rpartition("/")[2], tuple(settings["animals"]), settings["chance"]))
        return real(*given, **settings, progress=False)

    monkeypatch.setattr(resumption, "simulate", simulate)
    return seen


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_table_figure_logs_and_nothing_twice(data: Path, study: Study, simulated: list[Any]) -> None:
    arms = {"arms": "nothing,gr", "scenario": "class", "quick": True, "steps": 2}
    printed = study(animals=(12, 13), **arms)
    folder = data / "runs" / "split_mnist" / "class" / "quick"
    assert (folder / "table.txt").read_text(encoding="utf-8").strip() in printed
    assert "QUICK: says nothing" in printed and "chance" in printed and "over n animals" in printed
    for name in ("methods.png", "methods.svg", "gr/chance_0/animals_12-13/run.nc"):
        assert (folder / name).stat().st_size > 10_000
    assert simulated == [("nothing", (12, 13), 0), ("gr", (12, 13), 0)]
    assert not (data / "summary.csv").exists()
    assert study(animals=(12, 13), **arms) == printed
    assert len(simulated) == 2, "complete: not simulated again"
    again = study(animals=(12, 13, 15), **arms)
    assert simulated[2:] == [("nothing", (15,), 0), ("gr", (15,), 0)], "only the animal that was missing"
    assert "   3\n" in again
    assert study(animals=(12, 13, 15), **{**arms, "draw": True}) == again


def test_it_goes_on_where_it_was_stopped(study: Study, simulated: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    counted = resumption.simulate

    @functools.wraps(counted)
    def stopped(*given: Any, **settings: Any) -> Any:
        if len(simulated) == 2:
            raise KeyboardInterrupt
        return counted(*given, **settings)

    wanted: dict[str, Any] = {"animals": (12, 14), "arms": "nothing,lwf", "scenario": "task", "at_once": 1, "steps": 2}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(resumption, "simulate", stopped)
        study(**wanted)
    assert simulated == [("nothing", (12,), 0), ("nothing", (14,), 0)]
    study(**wanted)
    assert simulated[2:] == [("lwf", (12,), 0), ("lwf", (14,), 0)]


@pytest.mark.parametrize(
    ("settings", "known"),
    [
        ({}, {"nothing": "19.92 ± .02", "gr": "91.30 ± .60"}),
        ({"steps": 2000}, {"nothing": "19.92 ± .02", "gr": "91.30 ± .60"}),
        ({"steps": 100}, {}),
        ({"quick": True}, {}),
        ({"protocol": "permuted-mnist", "contexts": 2}, {}),
        ({"protocol": "split-cifar100"}, {"joint_frozen": "49.78 ± .21"}),
    ],
)
def test_what_is_published_stands_beside_lives_of_its_length(settings: dict[str, Any], known: dict[str, str]) -> None:
    found = compare_methods.published_beside(compare_methods.Settings(**settings))
    assert {name: str(found[name]) for name in known} == known and bool(found) == bool(known)


def test_shorter_lives_are_labelled(data: Path, study: Study, simulated: list[Any]) -> None:
    printed = study(animals=(12,), arms="si", scenario="task", steps=2, chances=2)
    assert "2 steps per context (the paper: 2000), compare with its like only" in printed
    assert "lives of animal 12" in printed
    folder = data / "runs" / "split_mnist" / "task" / "2_steps"
    assert "2 steps per context (the paper: 2000)" in (folder / "methods.svg").read_text(encoding="utf-8")
    assert "2 steps per context" in (folder / "table.txt").read_text(encoding="utf-8")
    kept = rows(data / "summary.csv")
    assert [(row["preset"], row["chance"], row["early"], row["steps"]) for row in kept] == [
        ("split_mnist/task/si", "0", "none", "2"),
        ("split_mnist/task/si", "1", "none", "2"),
    ]
    study(animals=(12,), arms="si", scenario="task", steps=2, chances=2, first_chance=1)
    assert simulated == [("si", (12,), 0), ("si", (12,), 1), ("si", (12,), 2)]
    lives = [rs.open_log(folder / "si" / f"chance_{chance}" / "animals_12") for chance in (0, 1)]
    first, second = (log["learning"]["loss"].values for log in lives)
    assert first.shape == second.shape and not np.array_equal(first, second), "another life"
    study(animals=(12,), arms="si", scenario="task", steps=3)
    assert len(simulated) == 4 and len(rows(data / "summary.csv")) == 4, "other steps are other rows and folders"
    assert compare_methods.Settings(steps=2000).length == "full"


@pytest.mark.filterwarnings("ignore:precision 'bfloat16'")
@pytest.mark.filterwarnings("ignore:no animal of")
def test_lives_whose_losses_are_not_finite_are_left_out(
    data: Path, study: Study, simulated: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A method that fails says so, and those that come after it are run all the same."""
    sick = presets.get("split_mnist/class/si")
    monkeypatch.setitem(presets.PRESETS, sick.name, replace(sick, learning=replace(sick.learning, rate=1e30)))
    wanted: dict[str, Any] = {"animals": (12, 13), "steps": 3, "scenario": "class"}
    printed = study(**wanted, arms="si,nothing")
    assert "si: left out, losses became infinite: animals 12, 13" in printed
    assert "no complete life: si" in printed and [name for name, *_ in simulated] == ["si", "nothing"]
    found = {(row["preset"].rpartition("/")[2], row["accuracy"] == "nan") for row in rows(data / "summary.csv")}
    assert found == {("si", True), ("nothing", False)}, "that they died is kept, too"
    with pytest.raises(LogError, match=r"nothing is complete in [^:]*$"):
        study(**wanted, arms="si")


def test_an_animal_that_dies_at_the_end_is_left_out(
    study: Study, simulated: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log is complete; only its last accuracy is no number."""
    real = forgetting.final_accuracy

    def dying(log: Any, answers: str | None = None) -> Any:
        found = real(log, answers)
        return found.where(found["animal"] != 13)

    monkeypatch.setattr(forgetting, "final_accuracy", dying)
    printed = study(animals=(12, 13), arms="nothing", scenario="class", steps=2)
    assert "nothing: left out, losses became infinite: animals 13\n" in printed
    assert "one animal\n" in printed and "nan" not in printed


@pytest.mark.filterwarnings("ignore:precision 'bfloat16'")  # where the CPU has no instructions
def test_mixed_precision_has_a_folder_and_rows_of_its_own(data: Path, study: Study, simulated: list[Any]) -> None:
    wanted: dict[str, Any] = {"animals": (12,), "arms": "nothing", "scenario": "task", "steps": 2}
    plain, rounded = study(**wanted), study(**wanted, precision="bfloat16", threads=2)
    assert len(simulated) == 2 and "mixed precision (bfloat16)" in rounded and "bfloat16" not in plain
    folder = data / "runs" / "split_mnist" / "task" / "2_steps_bfloat16"
    log = rs.open_log(folder / "nothing" / "chance_0" / "animals_12")
    computation = settings_of(log.attrs, "log")["computation"]
    assert (computation["precision"], computation["threads"]) == ("bfloat16", 2)
    kept = rows(data / "summary.csv")
    assert [row["precision"] for row in kept] == ["bfloat16", "float32"]
    assert kept[0]["machine"].endswith(", 2 threads a worker") and not kept[1]["machine"].endswith("a worker")


def test_photographs_with_early_areas_of_a_file(data: Path, study: Study, simulated: list[Any]) -> None:
    early = other_areas(data / "mine.safetensors")
    wanted = {"protocol": "split-cifar100", "arms": "brain_inspired", "animals": (12,), "quick": True, "steps": 2}
    printed = study(**wanted, early=early)
    assert "early areas of a file (" in printed
    (folder,) = (data / "runs" / "split_cifar100" / "class").iterdir()
    assert folder.name == f"quick_early_{which_areas(early)}"
    moved = data / "elsewhere.safetensors"
    save_early_areas(load_early_areas(early)[0], moved, {"another": "note"})
    assert study(**wanted, early=moved) == printed and len(simulated) == 1, "the same areas, in another place"
    assert "of a file" not in study(**wanted)
    assert len(simulated) == 2, "shipped areas are others"
    assert (folder.parent / f"quick_early_{shipped_areas()}" / "table.txt").is_file()
    copied = shutil.copy(ROOT / "data" / "early_areas.safetensors", data / "copy.safetensors")
    assert "of a file" not in study(**wanted, early=Path(copied)) and len(simulated) == 2, "a copy is the same"


def other_areas(path: Path) -> Path:
    """Early areas that are not those that come with replaysim."""
    areas, about = load_early_areas()
    areas.get_parameter("early_1.synapses.weight").data *= 1.01
    return save_early_areas(areas, path, about)


def test_other_shipped_areas_are_not_averaged_with_earlier_ones(
    data: Path, study: Study, simulated: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: dict[str, Any] = {"protocol": "split-cifar100", "arms": "brain_inspired", "quick": True, "steps": 2}
    log, folders = None, []
    summary = compare_methods.Settings(protocol="split-cifar100", summary=data / "summary.csv")
    theirs = other_areas(data / "package" / "data" / "early_areas.safetensors")
    with monkeypatch.context() as before:
        before.setattr(early_areas.resources, "files", lambda _package: data / "package" / "replaysim")
        assert shipped_areas() == which_areas(theirs)
        study(animals=(12,), **wanted)
        folders.append(compare_methods.Settings(**wanted, out=data / "runs").folder)
        log = rs.open_log(folders[0] / "brain_inspired" / "chance_0" / "animals_12")
        compare_methods.keep(summary, "split_cifar100/class/brain_inspired", log)
    printed = study(animals=(12,), **wanted)
    folders.append(compare_methods.Settings(**wanted, out=data / "runs").folder)
    assert [animals for _, animals, _ in simulated] == [(12,), (12,)] and "   1\n" in printed
    assert len(set(folders)) == 2
    compare_methods.keep(summary, "split_cifar100/class/brain_inspired", log)
    found = [row["early"] for row in rows(data / "summary.csv")]
    assert len(found) == 2 and shipped_areas() in found and len(set(found)) == 2


def test_permuted_digits(data: Path, study: Study) -> None:
    printed = study(protocol="permuted-mnist", arms="brain_inspired", animals=(12,), quick=True, steps=2)
    assert "Permuted MNIST, domain scenario" in printed
    assert (data / "runs" / "permuted_mnist" / "domain" / "quick" / "methods.png").exists()


def test_the_first_contexts_only(data: Path, study: Study, simulated: list[Any]) -> None:
    wanted: dict[str, Any] = {"protocol": "permuted-mnist", "arms": "nothing", "animals": (12,)}
    printed = study(**wanted, steps=1, contexts=2)
    assert "the first 2 contexts, 1 steps per context (the paper: 2000), compare with its like only" in printed
    folder = data / "runs" / "permuted_mnist" / "domain"
    log = rs.open_log(folder / "2_contexts_1_steps" / "nothing" / "chance_0" / "animals_12")
    assert log["behaviour"].sizes["context"] == 2
    study(**wanted, steps=1, contexts=3)
    longer = rs.open_log(folder / "3_contexts_1_steps" / "nothing" / "chance_0" / "animals_12")
    both = log["behaviour"]["accuracy"]
    shared = longer["behaviour"]["accuracy"].sel(context=both["context"], contexts_learned=both["contexts_learned"])
    assert np.array_equal(shared.values, both.values, equal_nan=True), "the same first contexts"
    assert [row["contexts"] for row in rows(data / "summary.csv")] == ["2", "3"]
    assert len(simulated) == 2
    several = {
        contexts: compare_methods.Settings(protocol="permuted-mnist", contexts=contexts) for contexts in (3, 100)
    }
    assert {contexts: one.length for contexts, one in several.items()} == {3: "3_contexts", 100: "full"}
    with pytest.raises(SettingError, match="contexts: got 3, must be left out: split-mnist divides its classes"):
        compare_methods.Settings(contexts=3)


def test_logs_of_other_settings_are_not_taken(
    study: Study, simulated: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: dict[str, Any] = {"animals": (12,), "arms": "si", "quick": True, "steps": 2}
    study(**wanted)
    other = replace(presets.get("split_mnist/class/si"), mechanisms={"consolidation": rs.SynapticIntelligence(9.0)})
    monkeypatch.setitem(presets.PRESETS, other.name, other)
    with pytest.raises(LogError, match=r"a log of other settings .*consolidation.*choose another folder"):
        study(**wanted)
    assert len(simulated) == 1
    study(**wanted, overwrite=True)
    assert len(simulated) == 2, "asked for by --overwrite"


def test_an_unfinished_log_of_other_settings_is_kept(
    data: Path, study: Study, simulated: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: dict[str, Any] = {"animals": (12,), "quick": True, "steps": 2}
    stopped = []

    def stop(*_given: Any) -> None:
        stopped.append(1)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Cohort, "remember_self", stop)
        study(**wanted, arms="gr")
    folder = data / "runs" / "split_mnist" / "class" / "quick" / "gr" / "chance_0" / "animals_12"
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert stopped and files and not (folder / "run.nc").exists()
    other = replace(presets.get("split_mnist/class/gr"), mechanisms={"replay": rs.GenerativeReplay(targets="soft")})
    with (
        monkeypatch.context() as patch,
        pytest.raises(LogError, match=r"a log of other settings .*replay.*choose another folder"),
    ):
        patch.setitem(presets.PRESETS, other.name, other)
        study(**wanted, arms="gr")
    config = folder / "config.json"
    config.write_text("[]", encoding="utf-8")
    with pytest.raises(LogError, match=r"config\.json: is missing, damaged"):
        study(**wanted, arms="gr")
    config.write_bytes(files[config])
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == files
    study(**wanted, arms="gr")
    assert len(simulated) == 2, "the same settings: begun again"


def test_logs_that_do_not_say_how_they_were_made(data: Path, study: Study, simulated: list[Any]) -> None:
    wanted: dict[str, Any] = {"animals": (12,), "arms": "nothing", "quick": True, "steps": 2}
    study(**wanted)
    log = data / "runs" / "split_mnist" / "class" / "quick" / "nothing" / "chance_0" / "animals_12" / "run.nc"
    for text in ("[]", '{"animals": [12', None):
        with netCDF4.Dataset(log, "a") as file:
            if text is None:
                del file.config_json
            else:
                file.config_json = text
        with pytest.raises(LogError, match=r"run\.nc: its attribute config_json is (damaged|missing)"):
            study(**wanted)
    with netCDF4.Dataset(log, "a") as file:
        file.config_json = '{"learning": 3}'
    with pytest.raises(LogError, match="a log of other settings"):
        study(**wanted)
    assert len(simulated) == 1


@pytest.mark.parametrize("content", [None, b"my notes\n", b"\x00\xff\n", b"folder"])
def test_a_summary_that_cannot_be_kept_is_told_first(
    content: bytes | None, data: Path, study: Study, simulated: list[Any]
) -> None:
    summary = data / "file" / "x.csv" if content is None else data / "mine.csv"
    if content is None:
        summary.parent.touch()
    elif content == b"folder":
        summary.mkdir()
    else:
        summary.write_bytes(content)
    with pytest.raises(ReplaysimError, match=r"is not a summary|is a folder|no summary can be written there"):
        study(animals=(12,), arms="nothing", steps=2, summary=summary)
    assert not simulated
    assert not summary.is_file() or summary.read_bytes() == content


def test_nothing_to_draw(study: Study) -> None:
    with pytest.raises(LogError, match=r"nothing is complete .* leave out --draw"):
        study(animals=(12,), arms="nothing", draw=True)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"arms": "magic"}, r"compare_methods\.arms: got 'magic', must be 'paper', '2020', 'all', or of nothing"),
        ({"arms": "xdg"}, r"xdg is an arm of the task scenario"),
        ({"chances": 0}, "chances: got 0"),
        ({"first_chance": -1}, "first_chance: got -1"),
        ({"steps": 0}, "steps: got 0"),
        ({"early": Path("x")}, "left out: only photographs are seen through early areas"),
        ({"protocol": "split-cifar100", "early": Path("not/there")}, "a file that is there"),
        ({"protocol": "permuted-mnist", "scenario": "class"}, "'domain' in permuted MNIST"),
    ],
)
def test_slips(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        compare_methods.chosen(compare_methods.Settings(**settings))


def test_lesions_and_arms_of_no_paper_are_asked_for() -> None:
    every = compare_methods.Settings(protocol="split-cifar100", arms="all")
    methods = compare_methods.Settings(protocol="split-cifar100")
    left_out = set(compare_methods.chosen(every)) - set(compare_methods.chosen(methods))
    floor = "split_cifar100/class/last_context"
    ours = {f"split_cifar100/class/{arm}" for arm in ("lwf_unscaled_frozen", "brain_inspired_unscaled_1024")}
    assert {floor, *ours} < left_out and len(left_out) == 13
    assert all("/without_" in n or "/only_" in n for n in left_out - {floor, *ours})


def test_animals_that_live_together() -> None:
    wide = {"protocol": "split-cifar100", "animals": tuple(range(12, 17))}
    narrow = {"animals": tuple(range(12, 17)), "workers": 2}
    on_gpu = {**wide, "device": "cuda"}
    for wanted, settings in (
        ((2, 2, 1), {**wide, "workers": 2}),
        ((5,), on_gpu),
        ((3, 2), {**on_gpu, "at_once": 3}),
        ((5,), narrow),
    ):
        own = compare_methods.Settings(**settings)
        assert tuple(len(together) for together in portions.portions(own.animals, own.lived["at_once"])) == wanted
