"""Figures of many methods: one colour a method, every animal shown, chance beside them."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from small import protocol, simulate

import replaysim as rs
from analysis import figures_methods as drawn
from analysis import methods_table, style
from analysis.forgetting import average_accuracy, chance_level, final_accuracy
from analysis.published import Published
from replaysim.errors import DataError


def curve(high: float, contexts: int = 4, animals: int = 3) -> xr.DataArray:
    x = np.arange(1, contexts + 1)
    values = high / x + 0.01 * np.arange(animals)[:, None]
    coords = {"animal": np.arange(12, 12 + animals), "contexts_learned": x}
    return xr.DataArray(values, coords, ("animal", "contexts_learned"))


def test_one_colour_a_method() -> None:
    assert drawn.look("gr")["color"] == drawn.look("gr_frozen", 5)["color"]
    assert drawn.look("gr")["dashes"] == (None, None) != drawn.look("gr_frozen")["dashes"]
    others = [drawn.look(name) for name in ("gr_1024_frozen", "gr_retina_frozen", "gr_frozen")]
    assert {one["color"] for one in others} == {drawn.METHODS["gr"]} and len({one["dashes"] for one in others}) == 3
    base = [drawn.look(name)["color"] for name in drawn.METHODS]
    assert len(set(base)) == len(base)
    assert drawn.look("brain_inspired_si_1024")["color"] == drawn.METHODS["brain_inspired_si"]
    assert drawn.look("without_modes", 1)["color"] == style.SPARE[1]
    assert drawn.look("brain_inspired_si")["dashes"] != drawn.look("brain_inspired")["dashes"], "seen where they meet"


def test_what_is_said_of_wide_lines() -> None:
    """Where there are so many curves, not so many dots, that widths differ."""
    finals = {f"m{i}": curve(0.9).isel(contexts_learned=-1, drop=True) for i in range(drawn.MANY + 2)}

    def notes(many: int) -> str:
        over = {name: curve(0.9) for name in list(finals)[:many]}
        figure = drawn.compare_methods(finals, over, level=0.1)
        return " ".join(text.get_text() for sub in figure.subfigs for text in sub.texts)

    assert "wide lines" not in notes(drawn.MANY) and "wide lines" in notes(drawn.MANY + 1)


def test_methods_of_logs(tmp_path: Path) -> None:
    own = protocol()
    logs = {
        "nothing": simulate(protocol=own, brain=rs.classifier(own, units=(10, 10)), animals=(12, 13)).log,
        "lwf_frozen": simulate(
            protocol=own, brain=rs.classifier(own, units=(10, 10)), animals=(12, 13), replay=rs.CurrentInputReplay()
        ).log,
    }
    guessing = methods_table.guessing(logs["nothing"])
    assert np.allclose(guessing, [1 / 2, 1 / 4, 1 / 6])
    before = dict(mpl.rcParams)
    figure = drawn.compare_methods(
        {name: final_accuracy(log) for name, log in logs.items()},
        {name: average_accuracy(log) for name, log in logs.items()},
        level=chance_level(logs["nothing"]),
        chance=guessing,
        title="made up, " * 30,
    )
    assert dict(mpl.rcParams) == before
    text = style.save(figure, tmp_path / "figure")[1].read_text(encoding="utf-8")
    for words in ("nothing (2)", "lwf_frozen (2)", "final accuracy (%)", "contexts learned", "mean ± s.e.", "hollow"):
        assert words in text
    lines = {line.get_label(): line for line in figure.axes[1].lines}
    assert np.allclose(lines["nothing"].get_ydata(), 100 * average_accuracy(logs["nothing"]).mean("animal"))
    assert np.allclose(lines["chance"].get_ydata(), 100 * guessing)


def test_every_animal_its_mean_and_error() -> None:
    values = {"gr": curve(0.3).isel(contexts_learned=-1), "si": curve(0.2).isel(contexts_learned=-1)}
    ax = drawn.final_accuracies(values, chance=0.1)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["gr (3)", "si (3)"]
    assert np.allclose(np.sort(ax.collections[0].get_offsets()[:, 1]), np.sort(100 * values["gr"]))
    assert ax.get_ylim() == (-1, 51), "half of the axis where nothing rises higher"
    assert drawn.final_accuracies({"joint": curve(4.0).isel(contexts_learned=-1)}, chance=0.1).get_ylim()[1] == 102
    single = drawn.final_accuracies({"gr": curve(0.3, animals=1).isel(contexts_learned=-1)}, chance=0.1)
    assert single.get_xticklabels()[0].get_text() == "gr (1)"
    with pytest.raises(DataError, match="there is no method"):
        drawn.final_accuracies({}, chance=0.1)


def test_a_hundred_contexts_have_few_ticks_and_no_markers() -> None:
    few, many = (drawn.accuracy_over_contexts({"gr": curve(0.9, contexts=n)}) for n in (5, 100))
    assert few.lines[0].get_marker() == "o" and many.lines[0].get_marker() == "None"
    assert len(many.get_xticks()) < 15


def test_published_numbers_stand_beside_ours() -> None:
    """As diamonds and in the table, of the arms of which there are any; in the figure not from memory."""
    finals = {name: curve(0.4).isel(contexts_learned=-1, drop=True) for name in ("gr", "si", "nothing")}
    beside = {"gr": Published("91.30", "0.60", "paper"), "si": Published("23.9", "", "memory")}
    axes = drawn.final_accuracies(finals, chance=0.1, published=beside)
    others = drawn.final_accuracies(finals, chance=0.1)
    with_, without = ({tuple(p) for c in ax.collections for p in c.get_offsets().tolist()} for ax in (axes, others))
    assert with_ - without == {(0.22, 91.3)}, "beside the mean of the same arm"
    outcomes = {n: xr.Dataset({"final": one, "forgetting": 0 * one, "level": 0.1}) for n, one in finals.items()}
    text = methods_table.table(outcomes, "animals", "made up", beside).splitlines()
    ends = {line.split()[0]: line for line in text if line.split()[:1] and line.split()[0] in finals}
    assert ends["gr"].endswith("   3   91.30 ± .60") and ends["si"].endswith("   3   23.9 (from memory)")
    assert ends["nothing"].endswith("   3") and "published, %" in text[2] and "published: of final" in text[-1]
    alone = methods_table.table(outcomes, "animals", "made up")
    assert alone == methods_table.table(outcomes, "animals", "made up", {"lwf": beside["si"]})
    assert "published" not in alone
