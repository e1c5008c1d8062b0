"""How fast is a step of learning, against what the machine can do?

Counts the floating-point operations of a whole brain-inspired step on Split MNIST (recall, judgement, learning on
current and replayed trials, weight update), times it, and divides by the rate at which the same thread multiplies
float32 matrices (best of squares of 768, 1024 and 1536), measured in turn within the same process. Then the same work
with two workers against one.

Run time: about two minutes on two cores.
"""

from __future__ import annotations

import platform
import statistics
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from replaysim.commandline import run_study

if TYPE_CHECKING:
    from collections.abc import Callable

    from replaysim.cohort import Cohort

SQUARES = (768, 1024, 1536)


@dataclass(frozen=True)
class Settings:
    """How fast is a step of learning?"""

    repeats: int = field(default=30, metadata={"help": "timed steps of every kind"})
    animals: tuple[int, ...] = field(default=tuple(range(12, 17)), metadata={"help": "animals that live together"})
    workers: int = field(default=2, metadata={"help": "workers of the comparison with one"})
    quick: bool = field(default=False, metadata={"help": "few repeats, to see that everything works"})


def operations(inputs: int, units: tuple[int, int], code: int, answers: int, batch: int) -> float:
    """Floating-point operations of one whole step of one animal: products of matrices only, two per multiplication.

    A layer costs one product forward, one for the gradient of its weights, one for that of its input (not for the
    stimulus).
    """
    up = inputs * units[0] + units[0] * units[1] + units[1] * answers
    down = code * units[1] + units[1] * units[0] + units[0] * inputs
    through = up + 2 * units[1] * code + down
    learn = 2 * batch * (3 * through - inputs * units[0])
    replay = batch * (down + up)
    return 2.0 * (learn + replay)


def timed(what: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


def matrix_rate() -> float:
    """Rate of float32 products of matrices, operations per second: the best of several squares."""
    import torch

    rates = []
    for n in SQUARES:
        a, b = torch.ones(n, n), torch.ones(n, n)
        rates.append(2 * n**3 / timed(partial(torch.matmul, a, b)))
    return max(rates)


def make_step(animals: tuple[int, ...], batch: int) -> tuple[Cohort, Callable[[], object]]:
    """A cohort in its third context of Split MNIST with stand-in stimuli, and one whole step of it."""
    import numpy as np
    import torch

    import replaysim as rs
    from replaysim.cohort import Cohort
    from replaysim.experience import Chance, Presentation, plan_context
    from replaysim.replay import plan_round

    label = np.arange(10).repeat(100)
    stimuli = np.random.default_rng(0).integers(0, 256, (1000, 784), dtype=np.uint8)
    protocol = rs.SplitProtocol(stimuli, label, contexts=5, test_stimuli=stimuli[::10], test_labels=label[::10])
    plan = rs.brain_inspired(protocol)
    brains = [plan.grow(a) for a in animals]
    cohort = Cohort(brains, rate=1e-3, replay=rs.GenerativeReplay())
    cohort.remember_self()
    curricula = [protocol.curriculum(a) for a in animals]
    given = plan_context(protocol, plan, curricula, animals, rs.Learning(batch=batch), 2, "sequential")
    replay = plan_round(protocol, 2, batch, cued=True)
    chance = Chance(animals, 2, protocol, plan, batch, replay)
    shown = Presentation(torch.from_numpy(stimuli), 255.0, torch.float32)
    count = iter(range(10**9))

    def step() -> object:
        number = next(count) % 2000
        noise = chance.noise(number, cohort.device, cohort.dtype)
        events = cohort.reactivate(chance.cues(number), replay)
        return cohort.learn(given.trials(number, shown), given.answers, noise, events, replay, 1 / 3)

    return cohort, step


def spread(workers: int) -> Callable[[int], object]:
    """Ten animals that live so many steps in two contexts with so many workers; the workers are already started."""
    import numpy as np

    import replaysim as rs

    label = np.arange(4).repeat(200)
    stimuli = np.random.default_rng(0).integers(0, 256, (800, 784), dtype=np.uint8)
    protocol = rs.SplitProtocol(stimuli, label, contexts=2, test_stimuli=stimuli[::10], test_labels=label[::10])
    plan = rs.brain_inspired(protocol)

    def run(n: int) -> object:
        learning = rs.Learning(steps=n)
        return rs.simulate(
            plan,
            protocol,
            animals=range(10),
            learning=learning,
            replay=rs.GenerativeReplay(),
            workers=workers,
            progress=False,
        )

    run(1)
    return run


def gain(workers: int, steps: int, pairs: int) -> float:
    """How many times as fast several workers are as one; median of pairs timed in turn."""
    one, several = spread(1), spread(workers)
    return statistics.median(timed(partial(one, steps)) / timed(partial(several, steps)) for _ in range(pairs))


def main(settings: Settings) -> None:
    """Measure, print a table."""
    import torch

    from replaysim.crew import cores

    torch.set_num_threads(1)
    repeats, batch = (3 if settings.quick else settings.repeats), 128
    _cohort, step = make_step(settings.animals, batch)
    for _ in range(3):
        step(), matrix_rate()
    seconds, rates = [], []
    for _ in range(repeats):
        seconds.append(timed(step) / len(settings.animals))
        rates.append(matrix_rate())
    work = operations(784, (400, 400), 100, 10, batch)
    fraction = statistics.median(work / s / r for s, r in zip(seconds, rates, strict=True))
    faster = gain(settings.workers, 3, 1) if settings.quick else gain(settings.workers, 30, 5)
    rows = [
        ("operations of a whole step, one animal", f"{work / 1e9:.2f} GFLOP"),
        (
            f"time of a step, one animal of {len(settings.animals)}, one thread (median of {repeats})",
            f"{1e3 * statistics.median(seconds):.1f} ms",
        ),
        ("rate of the step", f"{work / statistics.median(seconds) / 1e9:.1f} GFLOP/s"),
        ("rate of float32 matrix products, same thread, interleaved", f"{statistics.median(rates) / 1e9:.1f} GFLOP/s"),
        ("fraction of that rate (median of pairs)", f"{100 * fraction:.0f} %"),
        (f"{settings.workers} workers against one (median of pairs)", f"{faster:.2f} times as fast"),
        ("machine", f"{platform.machine()}, {cores()} cores, torch {torch.__version__}"),
    ]
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:{width}s}   {value}" for name, value in rows))


if __name__ == "__main__":
    run_study(main, Settings)
