"""Figures say what they show: words, numbers, limits; and they change no global state."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from small import brain, protocol, simulate

from analysis import figures, figures_fidelity, figures_geometry, rsa, style
from analysis.forgetting import forgetting_curve, retention
from replaysim.errors import DataError

CHANCE = np.random.default_rng(0)


def words(figure: Figure, tmp_path: Path) -> str:
    """Everything that is written in a figure."""
    return style.save(figure, tmp_path / "figure")[1].read_text(encoding="utf-8")


def rdms() -> xr.DataArray:
    activity = xr.DataArray(
        CHANCE.normal(size=(2, 3, 12, 8)).astype(np.float32),
        {"animal": [12, 13], "snapshot": [0, 1, 2], "contexts_learned": ("snapshot", [0, 1, 2])}
        | {"original_class": ("stimulus", np.arange(12) % 4)},
        ("animal", "snapshot", "stimulus", "unit"),
    )
    return rsa.rdm(activity, by="original_class", device="cpu")


def test_rdm_grid(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    figure = figures_geometry.rdm_grid({"above": rdms(), "below": rsa.as_matrix(rdms())}, borders=2, title="made up")
    assert dict(mpl.rcParams) == before
    text = words(figure, tmp_path)
    for word in ("above", "below", "naive", "after 2", "dissimilarity", "1 − correlation", "made up"):
        assert word in text
    image = figure.axes[0].images[0].get_array()
    assert image.shape == (4, 4) and np.allclose(np.diag(image), 0)
    assert len(figure.axes) == 6 + 1  # one scale for all
    once = rdms()
    highest = float(once.mean("animal").max())
    double = {"once": once, "twice": (2 * once).assign_attrs(once.attrs)}
    for own_scale in (False, True):
        figure = figures_geometry.rdm_grid(double, own_scale=own_scale)
        low, high = (figure.axes[at].images[0].get_clim() for at in (0, 3))
        assert high == (0, pytest.approx(2 * highest))
        assert low == ((0, pytest.approx(highest)) if own_scale else high)
    different = double | {"euclidean": once.assign_attrs(metric="euclidean")}
    figure = figures_geometry.rdm_grid(different)
    assert [figure.axes[at].images[0].get_clim()[1] for at in (0, 3)] == [pytest.approx(2 * highest)] * 2
    assert figure.axes[6].images[0].get_clim()[1] == pytest.approx(highest)
    assert len(figure.axes) == 9 + 3
    unknown = {name: rdm.drop_attrs() for name, rdm in double.items()}
    once, twice = (figures_geometry.rdm_grid(unknown).axes[at].images[0].get_clim()[1] for at in (0, 3))
    assert twice == pytest.approx(2 * once), "not known to be of the same metric"
    with pytest.raises(DataError, match="rdm_grid: needs dimensions"):
        figures_geometry.rdm_grid({"one": rdms().isel(snapshot=0).expand_dims("area")})


def test_similarity_matrix(tmp_path: Path) -> None:
    values = xr.DataArray(
        np.array([[[1, 0.25], [0.25, 1]], [[1, 0.35], [0.35, 1]]]), dims=("animal", "snapshot", "other_snapshot")
    ).assign_coords(snapshot=[0, 1], contexts_learned=("snapshot", [0, 5]))
    ax = figures_geometry.similarity_matrix(values, label="CKA", title="made up")
    assert [t.get_text() for t in ax.texts] == ["1.00", ".30", ".30", "1.00"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "5"]
    assert ax.get_xlabel() == ax.get_ylabel() == "snapshot after … contexts"
    assert "CKA" in words(ax.figure, tmp_path) and "chance" not in words(ax.figure, tmp_path)


def test_readouts_say_when_they_were_trained_and_what_guessing_is(tmp_path: Path) -> None:
    values = xr.DataArray(np.eye(2), dims=("snapshot", "other_snapshot"), attrs={"chance": 0.1})
    ax = figures_geometry.similarity_matrix(
        values.assign_coords(snapshot=[0, 1], contexts_learned=("snapshot", [0, 5])), label="accuracy"
    )
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("trained after … contexts", "tested after … contexts")
    text = words(ax.figure, tmp_path)
    assert "accuracy" in text and "(chance .10)" in text


def test_centroid_paths_lie_in_one_plane(tmp_path: Path) -> None:
    points = CHANCE.normal(size=(3, 4, 2)) * [10, 1]
    wide = np.concatenate([points, np.zeros((3, 4, 5))], axis=2)
    centroids = xr.DataArray(wide, {"item": [0, 3, 5, 7]}, ("snapshot", "item", "unit"))
    replayed = centroids.isel(snapshot=-1, item=[2])
    ax = figures_geometry.centroid_paths(centroids, replayed=replayed)
    ends = [line.get_xydata()[0] for line in ax.lines if line.get_marker() == "o"]
    cross = next(line.get_xydata()[0] for line in ax.lines if line.get_marker() == "x")
    np.testing.assert_allclose(cross, ends[2])
    gaps = np.linalg.norm(points[-1, 0] - points[-1, 1]), np.linalg.norm(np.subtract(ends[0], ends[1]))
    assert gaps[0] == pytest.approx(gaps[1]), "two dimensions are drawn as they are"
    text = words(ax.figure, tmp_path)
    assert "% of variance" in text and "replayed" in text and "context" not in text


def test_colours_of_centroids_are_named() -> None:
    points = xr.DataArray(CHANCE.normal(size=(1, 4, 3)), {"item": [0, 3, 5, 7]}, ("snapshot", "item", "unit"))
    groups = xr.DataArray([2, 1, 2, 1], {"item": [0, 3, 5, 7]}, ("item",))
    ax = figures_geometry.centroid_paths(points, groups=groups)
    legend = ax.get_legend()
    shown = {text.get_text(): line for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)}
    assert list(shown) == ["waking", "context 1", "context 2"], "one time has no path"
    dots = [line.get_color() for line in ax.lines if line.get_marker() == "o"]
    assert dots == [shown[f"context {g}"].get_color() for g in groups.values]


def test_measure_over_with_reference(tmp_path: Path) -> None:
    values = xr.DataArray(
        CHANCE.random((3, 4)), {"animal": [1, 2, 3], "memory_age": [1, 2, 3, 4]}, ("animal", "memory_age")
    )
    ax = figures_geometry.measure_over(
        {"systems": values}, "memory_age", label="r", reference=values + 1, floor=values - 1
    )
    ax.legend()
    text = words(ax.figure, tmp_path)
    for word in ("memory age", "systems", "waking against waking", "range of waking against waking"):
        assert word in text
    drawn = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(drawn["systems"], values.mean("animal"))
    np.testing.assert_allclose(drawn["other classes"], values.mean("animal") - 1)
    band = ax.collections[-1].get_paths()[0].vertices[:, 1]
    assert "axis cut" not in ax.get_ylabel()
    assert band.min() == pytest.approx(float(values.min()) + 1) and band.max() == pytest.approx(float(values.max()) + 1)


def test_an_axis_that_is_cut_says_so() -> None:
    values = xr.DataArray([[0.9, 0.95]], {"animal": [1], "memory_age": [1, 2]}, ("animal", "memory_age"))
    ax = figures_geometry.measure_over({"systems": values}, "memory_age", label="r")
    assert ax.get_ylabel() == "r\n(axis cut above 0)" and ax.get_ylim()[0] > 0
    whole = figures_geometry.measure_over({"systems": values}, "memory_age", label="r", limits=(0, None))
    assert whole.get_ylabel() == "r"
    assert len(ax.lines) == len(whole.lines) + 1, "two strokes where it is cut"


def test_curves_and_measures_of_fidelity(tmp_path: Path) -> None:
    angle = np.linspace(0.01, 1.5, 20)
    curve = xr.Dataset(
        {
            name: (("animal", "angle"), np.stack([f(angle)] * 2))
            for name, f in (("precision", np.sin), ("recall", np.cos))
        },
        {"animal": [1, 2], "angle": angle},
    )
    ax = figures_fidelity.precision_recall_curves({"whole": curve}, reference=curve)
    text = words(ax.figure, tmp_path)
    for word in (
        "recall (diversity)",
        "precision (quality)",
        "whole",
        "real against real",
    ):
        assert word in text
    assert ax.get_xlim()[0] == 0 and ax.get_ylim()[1] >= 1
    values = xr.DataArray([1.0, 3.0], {"animal": [1, 2]}, ("animal",))
    ax = figures_fidelity.measure_of_conditions({"whole": values}, label="distance", reference=values, log=True)
    assert ax.get_yscale() == "log" and ax.get_ylabel() == "distance"


def test_images() -> None:
    images = xr.DataArray(CHANCE.random((10, 12)), dims=("event", "unit"))
    figure = figures_fidelity.image_grid({"real": images}, (3, 4), title="made up")
    assert figure._suptitle.get_text() == "made up"  # type: ignore[attr-defined]
    assert figures_fidelity.image_grid({"real": images}, (3, 4)).get_figheight() < figure.get_figheight()
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), images.values[0].reshape(3, 4))
    with pytest.raises(DataError, match=r"'real' has shape \(10, 12\), not \(images, 3 x 3 pixels\)"):
        figures_fidelity.image_grid({"real": images}, (3, 3))


def test_shorter_rows_of_rdms_are_left_blank() -> None:
    figure = figures_geometry.rdm_grid({"short": rdms().isel(snapshot=slice(0, 2)), "long": rdms()})
    assert [len(ax.images) for ax in figure.axes[:6]] == [1, 1, 0, 1, 1, 1]
    assert figure.axes[2].get_title() == "after 2"
    with pytest.raises(DataError, match="at least one RDM"):
        figures_geometry.rdm_grid({})


def test_forgetting_over_contexts(tmp_path: Path) -> None:
    own = protocol()
    log = simulate(protocol=own, brain=brain(own), animals=(12, 13)).log
    ax = figures.forgetting_over_contexts({"nothing": log})
    drawn = next(line for line in ax.lines if line.get_label() == "nothing")
    np.testing.assert_allclose(drawn.get_ydata(), 100 * forgetting_curve(log).mean("animal"))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["nothing"]
    assert "forgetting (points)" in words(ax.figure, tmp_path)
    given = Figure().add_subplot()
    assert figures.forgetting_over_contexts({"nothing": log}, given) is given and given.get_legend() is None


def test_retention_by_age_with_its_chance(tmp_path: Path) -> None:
    own = protocol()
    log = simulate(protocol=own, brain=brain(own), animals=(12, 13)).log
    for answers, chance in ((None, [50 * (1 + 1 / 2 + 1 / 3) / 3, 50 * (1 + 1 / 2) / 2, 50]), ("all", [50 / 3] * 3)):
        ax = figures.retention_by_age({"nothing": log}, answers=answers)
        lines = {str(line.get_label()): line for line in ax.lines}
        np.testing.assert_allclose(lines["nothing"].get_ydata(), 100 * retention(log, answers).mean("animal"))
        np.testing.assert_allclose(lines["chance"].get_ydata(), chance, rtol=1e-6)
    task = simulate("task", animals=(12, 13)).log
    both = figures.retention_by_age({"class": log, "task": task})
    assert sum(line.get_linestyle() == ":" for line in both.lines) == 2, "each has a chance of its own"
    with pytest.raises(DataError, match="give at least one log"):
        figures.retention_by_age({})
    shown = words(ax.figure, tmp_path)
    assert "accuracy (%)" in shown and "contexts learned since" in shown


def test_a_hundred_contexts_are_legible() -> None:
    """A few ticks at whole numbers, and no markers."""
    accuracy = np.full((1, 4, 101, 100), 0.5)
    coords = {"animal": [12], "answers": ["within_context", "up_to_learned", "up_to_tested", "all"]}
    coords |= {"contexts_learned": np.arange(101), "context": np.arange(1, 101)}
    behaviour = {"accuracy": (tuple(coords), accuracy), "chance": (tuple(coords)[1:], accuracy[0])}
    attrs = xr.Dataset(attrs={"scenario": "domain"})
    log = xr.DataTree.from_dict({"/": attrs, "/behaviour": xr.Dataset(behaviour, coords)})
    matrix = figures.accuracy_matrix(log)
    assert [tick.get_text() for tick in matrix.get_xticklabels()] == ["20", "40", "60", "80", "100"]
    assert [tick.get_text() for tick in matrix.get_yticklabels()] == ["0", "20", "40", "60", "80", "100"]
    assert matrix.get_xticks().tolist() == [19, 39, 59, 79, 99], "context 20 is the column 19"
    for ax in figures.synaptic_vs_systems({"nothing": log}).axes[:2]:
        assert len(ax.get_xticks()) < 12 and all(line.get_marker() in ("", "None") for line in ax.lines)
