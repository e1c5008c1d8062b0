"""Figures of lesions, of the amount and of the quality of replay: what is in them, and what cannot be drawn."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from analysis import figures_fidelity, figures_replay, style
from replaysim.errors import DataError


def accuracies(level: float, n: int = 3) -> xr.DataArray:
    return xr.DataArray(level + 0.01 * np.arange(n), {"animal": 12 + np.arange(n)}, ("animal",))


GROUPS = {"added": ("classic", "+ modes", "+ internal"), "left out": ("intact", "− modes")}


def test_an_ingredient_has_one_colour() -> None:
    for name in style.INGREDIENTS:
        assert style.colour(f"+ {name}") == style.colour(f"− {name}")
    arms = ("intact", "classic", *(f"+ {name}" for name in style.INGREDIENTS))
    assert len({style.colour(arm) for arm in arms}) == len(arms)
    assert style.colour("intact") == style.colour("systems") == style.colour("whole")


def test_lesions_show_what_is_there() -> None:
    values = {"classic": accuracies(0.3), "+ modes": accuracies(0.5), "intact": accuracies(0.8)}
    figure = figures_replay.lesion_effects(values, GROUPS, chance=0.1, floor=accuracies(0.2), title="digits")
    left, right = figure.axes
    assert [label.get_text() for label in left.get_xticklabels()] == ["classic", "+ modes"]
    assert [label.get_text() for label in right.get_xticklabels()] == ["intact"]
    assert "3 animals" in figure._suptitle.get_text()  # type: ignore[attr-defined]
    assert {line.get_label() for line in left.get_lines()} >= {"chance", "last context only"}
    assert left.get_ylabel() == "final accuracy (%)"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["mean of classic", "mean of intact", "chance", "last context only"]
    at = {line.get_label(): line.get_ydata()[0] for ax in figure.axes for line in ax.get_lines()}
    assert at["mean of classic"] == pytest.approx(31) and at["mean of intact"] == pytest.approx(81)
    with pytest.raises(DataError, match="none of the arms is in the values"):
        figures_replay.lesion_effects({"other": accuracies(0.3)}, GROUPS, chance=0.1)


def test_lesions_of_one_animal() -> None:
    values = {"classic": accuracies(0.3, 1), "+ modes": accuracies(0.5, 1)}
    assert len(figures_replay.lesion_effects(values, GROUPS, chance=0.1).axes) == 1


def test_amounts_lie_on_logarithmic_axes() -> None:
    one = xr.concat([accuracies(0.3), accuracies(0.6)], xr.Variable("events", [1, 64]))
    curve = xr.concat([one, one - 0.1], "reinitialised").assign_coords(reinitialised=[False, True])
    figure = figures_replay.amount_of_replay(
        {"events": {"classic": curve}, "more": {"brain-inspired": curve.isel(events=[1])}},
        chance=0.1,
        references={"nothing": accuracies(0.2)},
        usual={"events": 64},
    )
    first = figure.axes[0]
    assert first.get_xscale() == "log" and [t.get_text() for t in first.get_xticklabels()] == ["1", "64"]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    words = {f"{brain}, {what}" for brain in ("classic", "brain-inspired") for what in ("goes on", "drawn anew")}
    assert set(labels) == words | {"nothing", "chance"}
    with pytest.raises(DataError, match=r"needs \(animal, reinitialised, amount\)"):
        figures_replay.amount_of_replay({"events": {"classic": one}}, chance=0.1)


def test_quality_in_one_or_two_panels_of_curves() -> None:
    animal = {"animal": [12, 13]}
    curve = xr.DataArray(np.linspace(0, 1, 5) * np.ones((2, 1)), animal, ("animal", "angle"))
    one = xr.Dataset(
        {"precision": curve, "recall": 1 - curve, "frechet": accuracies(2, 2), "inception": accuracies(3, 2)}
    )
    whole = one.merge(one.rename({name: f"reference_{name}" for name in one}))
    single = figures_fidelity.quality_of_arms({"whole": whole}, title="digits, class scenario")
    assert len(single.axes) == 3
    assert single._suptitle.get_text().startswith("digits, class scenario; ")  # type: ignore[attr-defined]
    better = ["Frechet distance (lower is better)", "inception score (grey is best)"]
    assert [ax.get_ylabel() for ax in single.axes[1:]] == better
    assert single.axes[2].get_ylim()[0] == 0, "the score begins at 0"
    groups = {"added": {"classic": whole, "+ modes": whole}, "left out": {"intact": whole}}
    figure = figures_fidelity.quality_of_conditions(groups, real="others", title="photographs")
    assert len(figure.axes) == 4
    assert [label.get_text() for label in figure.axes[2].get_xticklabels()] == ["classic", "+ modes", "intact"]
    with pytest.raises(DataError, match="no condition was given"):
        figures_fidelity.quality_of_conditions({})
    with pytest.raises(DataError, match=r"groups\['classic'\] is a Dataset, must be the conditions of a panel"):
        figures_fidelity.quality_of_conditions({"classic": whole})  # type: ignore[dict-item]


def test_arms_of_photographs_have_the_title_too() -> None:
    curve = xr.DataArray(np.linspace(0, 1, 5) * np.ones((2, 1)), {"animal": [12, 13]}, ("animal", "angle"))
    one = xr.Dataset({"precision": curve, "recall": curve, "frechet": accuracies(2, 2), "inception": accuracies(3, 2)})
    every = one.merge(one.rename({name: f"reference_{name}" for name in one}))
    every = every.merge(
        one.drop_vars("inception").rename({k: f"paper_{k}" for k in ("precision", "recall", "frechet")})
    )
    figure = figures_fidelity.quality_of_arms({"classic": every, "intact": every}, title="photographs")
    assert figure._suptitle.get_text().startswith("photographs; ")  # type: ignore[attr-defined]
    assert [ax.get_title() for ax in figure.axes[:2]] == list(figures_fidelity.ARMS)
