"""Figures from kept summaries show what the rows say."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import figures_kept, figures_methods
from analysis.published import Published


def row(animal: int, accuracy: str, curve: str = "unknown", **others: str) -> dict[str, str]:
    life = {"animal": str(animal), "accuracy": accuracy, "curve": curve, "chance": "0", "early": "none"}
    return {"precision": "float32", "device": "cpu", **life, **others}


def test_lives_of_an_animal_are_averaged() -> None:
    """The dead, and those without a curve, have none."""
    rows = [row(13, "0.5", "0.9 0.5"), row(12, "0.2", "0.8 0.2"), row(12, "0.4", "0.6 0.4", chance="1")]
    final, curve = figures_kept.finals_and_curves([*rows, row(14, "nan", "0.9 nan"), row(15, "0.3")])
    assert final["animal"].values.tolist() == [12, 13, 15]
    np.testing.assert_allclose(final, [0.3, 0.5, 0.3])
    assert curve is not None and curve["contexts_learned"].values.tolist() == [1, 2]
    np.testing.assert_allclose(curve, [[0.7, 0.3], [0.9, 0.5]])
    assert figures_kept.finals_and_curves([row(12, "0.3")])[1] is None


@pytest.mark.parametrize(("scenario", "guesses"), [("class", [0.4, 0.2]), ("task", [0.2, 0.2])])
def test_a_figure_of_all_arms(scenario: str, guesses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    given = {}
    monkeypatch.setattr(figures_methods, "compare_methods", lambda *some, **more: given.update(more, some=some) or "")
    low = [row(12, "0.9", "0.9 0.9", precision="bfloat16"), row(13, "0.9", "0.9 0.9", precision="bfloat16")]
    arms = {arm: [row(12, "0.5", "0.9 0.5")] for arm in ("gr", "si")} | {"lwf": [row(12, "0.1", "0.2 0.1"), *low]}
    known = {"gr": Published("50", "", "paper")}
    about = {"chance": 0.2, "scenario": scenario, "title": "Here", "published": known}
    figures_kept.methods({**arms, "ewc": [row(12, "0.3")]}, **about)
    finals, curves = given["some"]
    assert list(finals) == ["gr", "si", "lwf", "ewc"] and list(curves) == ["gr", "si", "lwf"]
    assert finals["lwf"].sizes["animal"] == 2, "those computed in one way"
    np.testing.assert_allclose(given["chance"], guesses)
    assert given["title"] == "Here" and given["published"] is known
    assert given["remarks"] == ["b without ewc (no curve was kept)"]
    figures_kept.methods({**arms, "si": [row(12, "0.3")]}, **about)
    assert given["some"][1] == {} and given["chance"] is None and given["title"] == "Here"
    figures_kept.methods({arm: low for arm in "abc"}, **about)
    assert given["title"] == "Here, mixed precision (bfloat16)"
    figures_kept.methods({**arms, "ewc_si": [row(12, "nan")], "si": [row(13, "0.5"), *arms["si"]]}, **about)
    assert given["remarks"] == ["losses became infinite in all animals of ewc_si", "b shows fewer animals of si"]
    assert figures_kept.methods({"gr": arms["gr"], "si": [row(12, "nan")]}, **about) is None


def test_one_panel_without_curves() -> None:
    about = {"chance": 0.1, "scenario": "class", "title": "", "published": {}}
    figure = figures_kept.methods({arm: [row(12, "0.5")] for arm in ("gr", "si", "ewc")}, **about)
    assert figure is not None and len(figure.axes) == 1 and not figure.subfigs[0].legends
    curved = figures_kept.methods({arm: [row(12, "0.5", "0.9 0.5")] for arm in ("gr", "si", "ewc")}, **about)
    assert curved is not None and len(curved.axes) == 2 and len(curved.subfigs[0].legends) == 1
