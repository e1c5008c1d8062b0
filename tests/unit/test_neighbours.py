"""Nearest-neighbour measures of generated activity: closed forms, ties, exactness at any block size, bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from analysis import distances, neighbours
from analysis.distances import Centred, Distinct, Frame, lower_bounds, squared_distances
from analysis.neighbours import expected_coverage, neighbour_measures, radii
from replaysim.errors import DataError, SettingError

SCALARS = ("precision", "recall", "density", "coverage")


def normal(seed: int, n: int, units: int, scale: float = 1.0) -> torch.Tensor:
    values = scale * np.random.default_rng(seed).normal(size=(n, units))
    return torch.from_numpy(values.astype(np.float32))


def clusters(seed: int, n: int, units: int, spread: float) -> torch.Tensor:
    """Few places far apart: float32 matrix products cannot tell the points of one place apart."""
    return normal(3, 2, units).repeat(n // 2, 1) + spread * normal(seed, n, units)


def scalars(found: dict[str, torch.Tensor]) -> list[float]:
    return [float(found[name]) for name in SCALARS]


def by_definition(real: torch.Tensor, generated: torch.Tensor, k: int, wide: int, strict: bool) -> dict[str, Any]:
    """All pairs in float64, literally."""

    def squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        pairs = torch.from_numpy((a[:, None] - b[None]).reshape(-1, a.shape[1]) ** 2)
        return distances._fold(pairs).numpy().reshape(len(a), len(b))  # the same order of additions: ties stay ties

    r, g = real.double().numpy(), generated.double().numpy()
    within = squared(r, r), squared(g, g)
    for each in within:
        np.fill_diagonal(each, np.inf)
    near, other = (np.sort(each, 1) for each in within)
    ball, density, reach = near[:, k - 1], near[:, wide - 1], other[:, k - 1]
    d = squared(g, r)
    compare = np.less if strict else np.less_equal
    typical = ball <= np.sort(ball)[(len(ball) - 1) // 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        realism = np.where(d == 0, np.inf, ball / d)[:, typical].max(1) ** 0.5
    inside = d < density
    precise, recalled = compare(d, ball).any(1), compare(d, reach[:, None]).any(0)
    values = precise.mean(), recalled.mean(), inside.sum() / (wide * len(g)), inside.any(0).mean()
    flags = {"precise": precise, "recalled": recalled, "realism": realism}
    return dict(zip(SCALARS, values, strict=True)) | flags


SETS = {
    "random": (normal(0, 150, 20), normal(1, 100, 20)),
    "more units than samples": (normal(2, 40, 600).relu(), normal(3, 50, 600).relu()),
    "one unit": (normal(4, 90, 1), normal(5, 60, 1)),
    "far from the origin": (normal(6, 90, 10) + 3000, normal(7, 60, 10) + 3000),
    "tiny numbers": (normal(8, 60, 5) * 1e-38, normal(9, 50, 5) * 1e-38),
    "huge numbers": (normal(10, 60, 5) * 1e37, normal(11, 50, 5) * 1e37),
    "outliers": (torch.cat((normal(12, 80, 9), normal(13, 3, 9, 1e4))), normal(14, 60, 9)),
    "identical": (normal(15, 80, 7), normal(15, 80, 7)),
    "copies": (normal(16, 30, 6).repeat(5, 1), normal(17, 20, 6).repeat(4, 1)),
    "some copies": (torch.cat((normal(16, 6, 6).repeat(9, 1), normal(23, 40, 6, 3))), normal(17, 50, 6)),
    "copies of real": (normal(18, 60, 6), normal(18, 60, 6)[:3].repeat(12, 1)),
    "one point": (torch.full((20, 3), 0.3), torch.full((10, 3), 0.3)),
    "ties on a grid": ((normal(19, 120, 9) > 0).float(), (normal(20, 80, 9) > 0).float()),
    "ties off the grid": (0.3 * (normal(19, 120, 9) > 0).float(), 0.3 * (normal(20, 80, 9) > 0).float()),
    "all equally far": (0.3 * torch.eye(60), 0.3 * torch.eye(60)[:30]),
    "clusters": (clusters(21, 160, 8, 1e-5), clusters(22, 160, 8, 1e-5)),
}


@pytest.mark.parametrize("memory", [None, 1], ids=["default", "tiny blocks"])
@pytest.mark.parametrize(("k", "wide", "strict"), [(3, 5, False), (1, 1, True), (7, 2, False)])
@pytest.mark.parametrize("name", list(SETS))
def test_definition(name: str, k: int, wide: int, strict: bool, memory: int | None) -> None:
    real, generated = SETS[name]
    found = neighbour_measures(real, generated, k, wide, strict=strict, memory=memory)
    for measure, value in by_definition(real, generated, k, wide, strict).items():
        if measure == "realism":
            np.testing.assert_allclose(found[measure], value, rtol=1e-12)
        else:
            np.testing.assert_array_equal(found[measure], value, err_msg=measure)


def test_frozen_values() -> None:
    """What prdc 0.2 gives; checked here also where it is not installed."""
    real, generated = normal(7, 120, 40).relu(), normal(8, 90, 40, 1.05).relu()
    for k, values in {
        1: [0.3555555556, 0.6, 0.5333333333, 0.275],
        3: [0.5555555556, 0.7916666667, 0.5148148148, 0.6416666667],
        5: [0.6444444444, 0.875, 0.52, 0.7833333333],
    }.items():
        assert scalars(neighbour_measures(real, generated, k, None, strict=True)) == pytest.approx(values, abs=1e-9)
    both = neighbour_measures(real, generated, 3, 5)
    assert scalars(both) == pytest.approx([0.5555555556, 0.7916666667, 0.52, 0.7833333333], abs=1e-9)


def test_points_on_a_line() -> None:
    real = torch.tensor([[0.0], [1.0], [3.0], [7.0], [20.0]])
    generated = torch.tensor([[5.0], [1.0], [100.0]])
    np.testing.assert_array_equal(radii(real, (1, 2, 4)), [[1, 1, 2, 4, 13], [3, 2, 3, 6, 17], [20, 19, 17, 13, 20]])
    found = neighbour_measures(real, generated, k=1, k_density=1)
    # typical reals are those at 0, 1 and 3; 5 lies on the rim of the ball around 3 and inside that around 7
    assert found["precise"].tolist() == [True, True, False]
    np.testing.assert_allclose(found["realism"], [1, np.inf, 2 / 97])
    # 1 lies inside its own ball and on the rims of those around 0 and 3
    assert float(found["density"]) == pytest.approx(2 / 3) and float(found["coverage"]) == pytest.approx(2 / 5)
    assert found["recalled"].tolist() == [True, True, True, True, True]
    assert neighbour_measures(real, generated, 1, 1, strict=True)["precise"].tolist() == [True, True, False]


def test_identical_sets() -> None:
    x = normal(0, 200, 15)
    found = neighbour_measures(x, x.clone())
    assert scalars(found)[:2] == [1.0, 1.0] and float(found["coverage"]) == 1.0
    assert bool(found["realism"].ge(1).any()) and found["realism"].shape == (200,)


def test_a_collapsed_generator() -> None:
    real = normal(0, 100, 6)
    generated = real[:1].repeat(50, 1)
    found = neighbour_measures(real, generated)
    assert scalars(found)[:2] == [1.0, 0.01]  # at distance 0 from the only real one that it knows
    assert scalars(neighbour_measures(real, generated, strict=True))[:2] == [1.0, 0.0]
    point = torch.full((30, 4), 0.1)
    assert scalars(neighbour_measures(point, point)) == [1.0, 1.0, 0.0, 0.0]
    assert scalars(neighbour_measures(point, point, strict=True)) == [0.0, 0.0, 0.0, 0.0]


def test_disjoint_sets() -> None:
    found = neighbour_measures(normal(0, 100, 10), normal(1, 80, 10) + 50)
    assert scalars(found) == [0.0, 0.0, 0.0, 0.0] and bool((found["realism"] < 0.2).all())


def test_in_many_dimensions_they_read_norms() -> None:
    real, other = normal(0, 300, 400), normal(1, 300, 400)
    precision, recall, density, coverage = scalars(neighbour_measures(real, other * 0.5))
    assert (precision, recall, coverage) == (1.0, 0.0, 1.0) and density > 10
    precision, recall, density, coverage = scalars(neighbour_measures(real, other * 1.3))
    assert precision < 0.02 and recall == 1.0 and density < 0.02 and coverage < 0.02


@pytest.mark.parametrize(("n", "m", "k"), [(30, 20, 3), (20, 40, 5), (25, 25, 1)])
def test_expectation_under_a_perfect_generator(n: int, m: int, k: int) -> None:
    draws = [neighbour_measures(normal(s, n, 2), normal(s + 5000, m, 2), 1, k) for s in range(150)]
    for name, expected in (("coverage", expected_coverage(n, m, k)), ("density", 1.0)):
        values = np.array([float(d[name]) for d in draws])
        assert abs(values.mean() - expected) < 4 * values.std() / np.sqrt(len(draws))


def test_expected_coverage() -> None:
    assert expected_coverage(10**6, 10**6, 3) == pytest.approx(1 - 0.5**3, abs=1e-5)
    assert expected_coverage(10**6, 10**6) == pytest.approx(0.96875, abs=1e-5)
    assert expected_coverage(2, 1, 1) == pytest.approx(0.5)


def test_order_does_not_matter() -> None:
    real, generated = normal(0, 1300, 12), normal(1, 1200, 12)  # more than one block
    shuffle = torch.randperm(len(generated), generator=torch.Generator().manual_seed(0))
    one, other = neighbour_measures(real, generated), neighbour_measures(real, generated[shuffle])
    assert scalars(one) == scalars(other) and torch.equal(one["recalled"], other["recalled"])
    for name in ("precise", "realism"):
        assert torch.equal(one[name][shuffle], other[name])
    small = neighbour_measures(real, generated, memory=10_000)
    assert all(torch.equal(one[name], small[name]) for name in one)
    assert torch.equal(radii(real, (2, 9)), radii(real, (2, 9), memory=1))


@pytest.mark.parametrize("units", [1, 40, 1500])
@pytest.mark.parametrize("spread", [1e-6, 1e-2, 1.0, 1e3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bounds_hold(units: int, spread: float, dtype: torch.dtype) -> None:
    a, b = Distinct(clusters(0, 60, units, spread).relu() + 1), Distinct(clusters(1, 40, units, spread))
    frame = Frame(a, b)
    low, slack_i, slack_j = lower_bounds(Centred(a, frame), slice(60), Centred(b, frame), slice(40), dtype)
    i, j = torch.meshgrid(torch.arange(len(a)), torch.arange(len(b)), indexing="ij")
    exact = squared_distances(a, i.reshape(-1), b, j.reshape(-1)).view(len(a), len(b)) * frame.scale**2
    high = low.double() + 2 * (slack_i[:, None].double() + slack_j.double())
    assert bool((low <= exact).all()) and bool((exact <= high).all())
    assert bool((high - low < 1e-3 * (units + 64) / 64 * 16 * units).all())


def test_spike_counts_leave_nothing_open() -> None:
    x = Distinct(torch.from_numpy(np.random.default_rng(0).poisson(2, size=(200, 50)).astype(np.float32)))
    frame = Frame(x)
    low, slack, _ = lower_bounds(Centred(x, frame), slice(200), Centred(x, frame), slice(200), torch.float32)
    assert frame.exact and not bool(slack.any()) and not bool(low.diagonal().any())
    mixed = torch.cat((x.x, x.x[:1] + 0.1))  # the first row fits a grid, the last does not
    many = 40 * x.x  # more levels than float32 sums of squares can hold
    assert not any(Frame(x, Distinct(other)).exact for other in (mixed, many))


def test_copies_count_as_one_point() -> None:
    x = torch.cat((torch.tensor([[0.0, 1.0], [-0.0, 1.0]]), normal(0, 5, 2).repeat(300, 1)))
    points = Distinct(x)
    assert len(points) == 6 and sorted(points.weight.tolist()) == [2] + [300] * 5
    assert torch.equal(x[points.rows][points.inverse], x)
    many = torch.full((20_000, 50), 0.1)
    assert scalars(neighbour_measures(many, many[:10_000])) == [1.0, 1.0, 0.0, 0.0]


def test_what_only_looks_like_copies_stays_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    x = normal(0, 8, 3).repeat(2, 1)
    monkeypatch.setattr(Distinct, "_groups", lambda self, chance: torch.zeros(16, dtype=torch.int64))
    points = Distinct(x)
    assert len(points) == 15 and torch.equal(x[points.rows][points.inverse], x)
    np.testing.assert_array_equal(radii(x, (1,)), np.zeros((1, 16)))


@pytest.mark.parametrize("name", ["real", "both"])
def test_few_pairs_need_a_second_look(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = 0

    def counted(a: Distinct, i: torch.Tensor, b: Distinct, j: torch.Tensor) -> torch.Tensor:
        nonlocal pairs
        pairs += len(i)
        return squared_distances(a, i, b, j)

    monkeypatch.setattr(neighbours, "squared_distances", counted)
    generated = clusters(1, 600, 30, 1e-3) if name == "both" else normal(1, 600, 30)
    neighbour_measures(clusters(0, 600, 30, 1e-3), generated)
    assert 600 < pairs < 600 * 12  # each has 300 neighbours in its place that float32 cannot rank


class Largest(TorchDispatchMode):
    """Notes how many numbers the largest tensor holds."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, tuple | list) else (result,):
            if isinstance(each, torch.Tensor):
                self.numbers = max(self.numbers, each.numel())
        return result


MANY = 900


@pytest.mark.parametrize(
    ("real", "generated"),
    [
        (normal(0, MANY, 20), normal(1, MANY, 20)),
        (normal(0, MANY, 20), normal(1, MANY, 20, 0.1)),
        (clusters(0, MANY, 20, 1e-5), clusters(1, MANY, 20, 1e-5)),
    ],
    ids=["random", "shrunk", "clusters"],
)
def test_memory_is_bounded(real: torch.Tensor, generated: torch.Tensor) -> None:
    with Largest() as largest:
        neighbour_measures(real, generated, memory=2_000_000)
    assert largest.numbers < MANY * MANY / 6


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_precisions(dtype: torch.dtype) -> None:
    real, generated = normal(0, 80, 10).half().to(dtype), normal(1, 70, 10).half().to(dtype)
    found, same = neighbour_measures(real, generated), neighbour_measures(real.float(), generated.float())
    assert all(torch.equal(found[name], same[name]) for name in found)


def test_settings_of_torch_stay() -> None:
    x = normal(0, 20, 3).requires_grad_()
    before = torch.get_float32_matmul_precision()
    assert not neighbour_measures(x, x)["density"].requires_grad
    assert torch.get_float32_matmul_precision() == before and torch.is_grad_enabled()


def test_as_many_neighbours_as_there_are() -> None:
    x = normal(0, 6, 3)
    assert radii(x, (5,)).shape == (1, 6)
    assert scalars(neighbour_measures(x, x, 5, None))[:2] == [1.0, 1.0]
    two = torch.tensor([[0.0], [2.0]])
    np.testing.assert_array_equal(radii(two, (1,)), [[2.0, 2.0]])


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"k": 0}, SettingError, r"neighbour_measures\.k: got 0, must be a whole number >= 1"),
        ({"k": 2.5}, SettingError, r"neighbour_measures\.k: got 2\.5"),
        ({"k_density": 0}, SettingError, r"neighbour_measures\.k_density: got 0"),
        ({"memory": 0}, SettingError, r"analysis\.memory: got 0"),
        ({"k_density": 10}, DataError, "k=10 needs at least 11 real samples; got 10"),
        ({"k": 8}, DataError, "k=8 needs at least 9 generated samples; got 8"),
        ({"real": torch.ones(0, 4)}, DataError, "real samples; got 0"),
        ({"generated": torch.ones(8, 3)}, DataError, "real has 4 units and generated 3"),
        ({"real": torch.ones(10, 0)}, DataError, "real has no units"),
        ({"real": torch.ones(10, 4, dtype=torch.int64)}, DataError, r"real must be floating numbers .* torch\.int64"),
        ({"generated": torch.ones(8)}, DataError, r"\(samples, units\); got torch.float32 of shape \(8,\)"),
        ({"generated": torch.full((8, 4), torch.nan)}, DataError, "generated holds NaN or infinite"),
        ({"real": torch.full((10, 4), torch.inf)}, DataError, "real holds NaN or infinite"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], error: type[Exception], words: str) -> None:
    given: dict[str, Any] = {"real": normal(0, 10, 4), "generated": normal(1, 8, 4)}
    with pytest.raises(error, match=words):
        neighbour_measures(**(given | change))


def test_bad_input_to_the_other_functions() -> None:
    with pytest.raises(SettingError, match=r"radii\.ks: got \(\), must be at least one neighbour"):
        radii(normal(0, 5, 2), ())
    with pytest.raises(SettingError, match=r"radii\.k: got 0"):
        radii(normal(0, 5, 2), (2, 0))
    with pytest.raises(DataError, match="radii: k=5 needs at least 6 x samples; got 5"):
        radii(normal(0, 5, 2), (1, 5))
    with pytest.raises(DataError, match="k=5 needs at least 6 real samples; got 5"):
        expected_coverage(5, 100)
    with pytest.raises(SettingError, match=r"expected_coverage\.n_generated: got 0"):
        expected_coverage(50, 0)


@pytest.mark.gpu
@pytest.mark.parametrize("name", list(SETS))
def test_gpu_gives_the_same(name: str) -> None:
    real, generated = SETS[name]
    here, there = neighbour_measures(real, generated), neighbour_measures(real.cuda(), generated.cuda())
    for measure, value in here.items():
        assert there[measure].is_cuda
        if measure == "realism":
            torch.testing.assert_close(there[measure].cpu(), value, rtol=1e-12, atol=0)
        else:
            assert torch.equal(there[measure].cpu(), value)
