"""The page of results is never made from less than there was, and damaged files are named."""

from __future__ import annotations

import re
import shutil
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.precisions import first
from analysis.results_sections import printed
from analysis.summary_tables import animals
from replaysim.errors import DataError, LogError, ReplaysimError, SettingError

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "studies"))
import results  # noqa: E402

sys.path.remove(str(ROOT / "studies"))


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A copy of the summaries, and of the page made from them."""
    shutil.copytree(ROOT / "docs" / "results", tmp_path / "results")
    results.main(results.Settings(tmp_path / "results", tmp_path / "results.md"))
    return tmp_path


def make(kept: Path, out: str = "results.md") -> None:
    results.main(results.Settings(kept / "results", kept / out))


def only_header(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")


def without(words: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        assert any(words in line for line in lines)
        path.write_text("".join(line for line in lines if words not in line), encoding="utf-8")

    return change


def replaced(old: str, new: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


@pytest.mark.parametrize(
    ("name", "change", "error", "words"),
    [
        ("split_mnist.csv", Path.unlink, LogError, "no summary at .*split_mnist.csv"),
        ("split_mnist.csv", lambda p: p.write_text(""), LogError, "or an empty file"),
        ("split_mnist.csv", lambda p: p.write_text("x,y\n1,2\n"), DataError, "is not a summary"),
        ("split_mnist.csv", lambda p: p.write_bytes(b"\x89HDF\xff\xfe\n\x00"), ReplaysimError, "split_mnist.csv"),
        (
            "split_mnist.csv",
            only_header,
            LogError,
            "shows numbers that .* lacks .*Class scenario: nothing",
        ),
        ("split_mnist.csv", without("class/gr,"), LogError, r"lacks \(Split MNIST, Class scenario: gr\)"),
        ("split_mnist.csv", replaced("class/gr,", "class/grr,"), DataError, "has rows of split_mnist/class/grr"),
        ("split_cifar100.csv", replaced(",10bf17d5b79c,", ",deadbeef,"), DataError, "early areas deadbeef, which"),
        ("published.csv", Path.unlink, LogError, "no published numbers"),
        ("published.csv", lambda p: p.write_text(""), DataError, "no table of published numbers"),
        ("published.csv", without("class/gr,2000,mean"), LogError, "lacks .*Class scenario: gr"),
        ("published.csv", replaced("class/gr,", "class/grr,"), DataError, "has numbers of split_mnist/class/grr"),
        ("published.csv", replaced(",classifiers", ",class"), SettingError, "source: got 'class'"),
        ("bounds.csv", Path.unlink, LogError, "no bounds at"),
        ("orders.csv", Path.unlink, LogError, "no orders at"),
        ("orders.csv", replaced(",gr <", ",grr <"), SettingError, "permuted_mnist/domain: got 'grr', must be one of"),
        ("lesions_digits.txt", Path.unlink, LogError, "Lesions"),
    ],
)
def test_the_page_never_loses_numbers(
    kept: Path, name: str, change: Callable[[Path], object], error: type[Exception], words: str
) -> None:
    before = (kept / "results.md").read_text(encoding="utf-8")
    change(kept / "results" / name)
    with pytest.raises(error, match=words):
        make(kept)
    assert (kept / "results.md").read_text(encoding="utf-8") == before
    assert sorted(path.name for path in kept.iterdir()) == ["results", "results.md"]


def test_fewer_numbers_may_be_meant(kept: Path) -> None:
    without("class/ewc,2000,mean")(kept / "results" / "published.csv")
    results.main(results.Settings(kept / "results", kept / "results.md", fewer=True))
    assert re.search(r"\| ewc \| – \| [\d.]+ ± [\d.]+ \|", (kept / "results.md").read_text(encoding="utf-8"))


def test_a_sentence_without_its_number_is_no_sentence(kept: Path) -> None:
    """Also where fewer numbers are meant."""
    before = (kept / "results.md").read_text(encoding="utf-8")
    without("class/gr,2000,mean")(kept / "results" / "published.csv")
    with pytest.raises(DataError, match=r"nothing is published of .*class/gr.*change the sentence"):
        results.main(results.Settings(kept / "results", kept / "results.md", fewer=True))
    assert (kept / "results.md").read_text(encoding="utf-8") == before


def test_the_head_of_the_page_counts_what_is_below_it(kept: Path) -> None:
    head, _, below = (kept / "results.md").read_text(encoding="utf-8").partition("## Split MNIST")
    rows = {cells[0]: cells[1:] for line in head.splitlines() if (cells := line.strip("| ").split(" | "))[0] != line}
    classes = below.partition("### Class scenario")[2].partition("### Task scenario")[0]
    table = [line.strip("| ").split(" | ") for line in classes.splitlines() if line.startswith("| ")][1:]
    known = [cells for cells in table if cells[1] != "–" and "memory" not in cells[1]]
    assert 0 < len(known) < len([cells for cells in table if cells[1] != "–"])
    far = [f"{cells[0]} {cells[3]}" for cells in known if abs(float(cells[3].split()[0])) > 1.5]
    assert rows["Split MNIST, class"] == [
        str(len(known)),
        f"{len(known)} (10)",
        str(len(known) - len(far)),
        ", ".join(far) or "–",
        "–",
    ]
    assert rows["Split MNIST, task"] == ["–"] * 5, "only quoted from memory"
    assert rows["Split CIFAR-100, domain"][1:3] == ["3 (1)", "2"]
    assert set(re.findall(r"\]\(#([\w-]+)\)", head)) == {
        line.removeprefix("## ").lower().replace(" ", "-")
        for line in f"## Split MNIST{below}".splitlines()
        if line.startswith("## ")
    }


def test_where_the_page_cannot_go(kept: Path) -> None:
    for out in ("results", "nowhere/page.md"):
        with pytest.raises(SettingError, match=r"results\.out: got .* a file in a folder that is there"):
            make(kept, out)


def test_difference_from_a_single_published_run_is_shown_and_judged(kept: Path) -> None:
    page = (kept / "results.md").read_text(encoding="utf-8")
    assert re.search(r"\| gr \| 91\.30 ± \.60 \| [\d.]+ ± [\d.]+ \| [+-]?[\d.]+ \(met\) \|", page)
    assert "- gr, animal 12: 92.50 is +0.2 from 92.3, within 2 points: met." in page
    short = page.partition("**100 steps per context**")[2]
    line = next(line for line in short.splitlines() if line.startswith("| brain_inspired |"))
    assert "†" in line and ("(met)" in line or "(missed by " in line)


def test_classic_replay_is_ahead_for_some_contexts(kept: Path) -> None:
    """As the page and the README say of the curves of permuted MNIST."""
    rows = [row for row in results.read(kept / "results")[0]["permuted_mnist"] if row["steps"] == "2000"]
    curve = {row["preset"].rpartition("/")[2]: [float(x) for x in row["curve"].split()] for row in rows}
    ahead = [gr - si for gr, si in zip(curve["gr"], curve["si"], strict=True)]
    assert all(0 < gap < 0.0085 for gap in ahead[2:13]) and all(gap < 0 for gap in ahead[13:])


def test_the_words_at_the_head_are_true_of_the_rows(kept: Path) -> None:
    """What is typed there is a bound or a count, not a number of a row."""
    ours, known, _bounds, _orders = results.read(kept / "results")
    gaps: dict[str, dict[str, float]] = {}
    for (preset, steps, what), value in known.items():
        world, scenario, arm = preset.split("/")
        early = "none" if world != "split_cifar100" else results.cohorts_of(world)[0].early
        own = [row for row in ours[world] if (row["preset"], row["early"], row["steps"]) == (preset, early, str(steps))]
        lives = animals(first(own))
        if what == "mean" and lives:
            mean = statistics.fmean(map(statistics.fmean, lives.values()))
            gaps.setdefault(f"{value.source} {scenario}", {})[f"{world}/{arm}"] = mean - float(value.value)
    mnist = {n: gap for n, gap in gaps["classifiers class"].items() if n.startswith("split_mnist")}
    assert len(mnist) == 5 and all(abs(gap) <= 0.3 for gap in mnist.values())
    far = {n for s in ("class", "task", "domain") for n, g in gaps[f"memory {s}"].items() if abs(g) > 1.5}
    assert far == {f"split_mnist/{arm}" for arm in ("lwf", "nothing", "si", "brain_inspired")}
    of_2021 = {n: g for n, g in gaps["classifiers class"].items() if n.startswith("split_cifar100")}
    assert {n for n, g in of_2021.items() if abs(g) > 1.5} == {"split_cifar100/joint"}
    assert round(of_2021["split_cifar100/joint"]) == -2
    of_2022 = {n.removeprefix("split_cifar100/"): g for n, g in gaps["types class"].items()}
    assert round(of_2022.pop("gr_frozen")) == 7
    assert all(-9 < of_2022.pop(arm) < -7 for arm in ("brain_inspired_1024", "lwf_frozen"))
    assert len(of_2022) == 5 and all(abs(gap) < 2 for gap in of_2022.values())
    in_task = {n.removeprefix("split_cifar100/"): g for n, g in gaps["types task"].items()}
    assert abs(in_task.pop("brain_inspired_1024")) < 0.1 and round(in_task.pop("gr_frozen"), 1) == 7.5
    assert len(in_task) == 7 and all(1 < gap < 4 for gap in in_task.values())
    in_domain = {n.removeprefix("split_cifar100/"): g for n, g in gaps["types domain"].items()}
    assert set(in_domain) == {"nothing_frozen", "joint_frozen", "lwf_frozen"} and round(in_domain["lwf_frozen"]) == -8


def test_what_is_said_of_other_early_areas(kept: Path) -> None:
    """LwF without the factor, class scenario, full length: less than 2 points lower, and 4 above what is published."""
    ours, known, _bounds, _orders = results.read(kept / "results")
    preset = "split_cifar100/class/lwf_unscaled_frozen"
    rows = [
        row for row in ours["split_cifar100"] if (row["preset"], row["animal"], row["steps"]) == (preset, "12", "5000")
    ]
    areas = {row["early"]: 100 * float(row["accuracy"]) for row in rows}
    assert 0 < areas["10bf17d5b79c"] - areas["0b8a3ebbe89f"] < 2
    published = float(known["split_cifar100/class/lwf_frozen", 5000, "mean"].value)
    assert round(areas["0b8a3ebbe89f"] - published) == 4

    short: dict[str, dict[str, float]] = {}
    for row in results.read(kept / "results")[0]["split_cifar100"]:
        arm = row["preset"].removeprefix("split_cifar100/class/")
        if arm.endswith("_frozen") and (row["steps"], row["precision"], row["chance"]) == ("100", "float32", "0"):
            short.setdefault(arm, {})[row["early"]] = 100 * float(row["accuracy"])
    gaps = [abs(own["2a1e75ac460f"] - own["10bf17d5b79c"]) for own in short.values() if "2a1e75ac460f" in own]
    assert (len(gaps), sum(gap < 0.205 for gap in gaps), max(gaps) < 1.2) == (7, 5, True)


def test_fewer_contexts_have_a_table_beside_nothing_published(kept: Path) -> None:
    row = "permuted_mnist/domain/si,12,0,none,7,2000,float32,0.5,0.1,unknown,2026-01-02,abc,cpu,unknown,2,python x.py\n"
    path = kept / "results" / "permuted_mnist.csv"
    with path.open("a", encoding="utf-8") as file:
        file.write(row)
    results.main(results.Settings(kept / "results", kept / "results.md"))
    page = (kept / "results.md").read_text(encoding="utf-8")
    heading = "**The first 7 contexts, 2000 steps per context** (the paper: 2000): compare with their like only."
    whole, _, shorter = page.partition("## Permuted MNIST")[2].partition(heading)
    assert "Not run yet: nothing, joint, ewc, online_ewc, lwf" in whole and "| si | – | 50.00 |" in shorter


def test_tables_without_provenance_say_so(kept: Path) -> None:
    table = "arm   accuracy\nall   93.6\n"
    origin = "- run 1: `python studies/lesions.py`; CPU, one thread a worker; torch 2.14.1; 2026-11-25; commit abc"
    path = kept / "results" / "lesions_digits.txt"
    path.write_text(f"python studies/lesions.py\n{table}", encoding="utf-8")
    assert "`python studies/lesions.py` (no provenance kept)\n" in printed(kept / "results", "Lesions")
    path.write_text(f"{table}\n{origin}\n", encoding="utf-8")
    text = printed(kept / "results", "Lesions")
    assert f"```text\n{table}```\n\n{origin}\n" in text and "no provenance" not in text
