"""How fast is a step of learning, against what the machine can do?

Question
    How much of the rate at which one thread multiplies float32 matrices (best of squares of 768, 1024 and 1536) does a
    whole brain-inspired step on Split MNIST reach: recall, judgement, learning on current and replayed trials, weight
    update? Operations are counted; step and products are timed in turn, within one process. How much faster are two
    workers than one? ``--photographs``: the same for Split CIFAR-100 with frozen early areas, whose activity is kept;
    and how much faster is a step whose layers multiply in bfloat16? (Lives of all arms: ``cost.py``.) ``--analysis``:
    representational dissimilarities, nearest-neighbour fidelity and the Frechet distance, each against the least
    operations that it needs at that rate, and against the libraries that compute the same (rsatoolbox, prdc,
    torchmetrics, where installed), in processor time of one thread. On a GPU: how much is gained by steps that it
    repeats by itself, and how near to the least time of products, or of traffic in its memory, are they?
Expected
    Seen: ``docs/results/speed*.txt``. The larger the areas, the nearer to the rate of products.
Run time
    About two minutes on two cores; ``--photographs`` and the analyses about four.
Hardware
    Any. On a GPU (``--device cuda``) all animals are one computation, and the squares are of 4096 and 8192.
"""

from __future__ import annotations

import platform
import statistics
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from analysis.operations import SPLIT_CIFAR100, SPLIT_MNIST, Task
from analysis.stopwatch import matrix_rate, memory_rate, timed
from replaysim.commandline import run_study
from replaysim.options import check_counts

if TYPE_CHECKING:
    from collections.abc import Callable

    from replaysim.cohort import Cohort


@dataclass(frozen=True)
class Settings:
    """How fast is a step of learning?"""

    repeats: int = field(default=30, metadata={"help": "timed steps of every kind"})
    animals: tuple[int, ...] = field(default=tuple(range(12, 17)), metadata={"help": "animals that live together"})
    workers: int = field(default=2, metadata={"help": "workers of the comparison with one, on a CPU"})
    device: str = field(default="cpu", metadata={"help": "cpu, cuda, mps or auto"})
    photographs: bool = field(default=False, metadata={"help": "a step on Split CIFAR-100 instead of Split MNIST"})
    analysis: bool = field(default=False, metadata={"help": "time the analyses instead of the simulation"})
    quick: bool = field(default=False, metadata={"help": "few repeats, to see that everything works"})

    def __post_init__(self) -> None:
        from replaysim.errors import check_choice

        check_counts("speed", self, ("repeats", "workers"))
        if self.analysis:
            check_choice("speed", "device", self.device, ("cpu",))

    @property
    def times(self) -> int:
        """How often each step is timed."""
        return 3 if self.quick else self.repeats


BEFORE = 5  # steps before any is timed; a GPU records the fourth and repeats it


def make_step(
    animals: tuple[int, ...], task: Task, device: str = "cpu", precision: str = "float32", *, repeat: bool = True
) -> tuple[Cohort, Callable[[], object]]:
    """A cohort in its third context with stand-in stimuli (images, or activity of frozen areas), and one whole step."""
    import numpy as np
    import torch

    import replaysim as rs
    from replaysim.cohort import Cohort
    from replaysim.events import plan_round
    from replaysim.experience import Chance, plan_context
    from replaysim.presentation import Presentation
    from replaysim.steps import Encounter, update

    label = np.arange(task.classes).repeat(task.stored // task.classes)
    chance = np.random.default_rng(0)
    shape = (task.stored, task.inputs)
    images, activity = partial(chance.integers, 0, 256, dtype=np.uint8), chance.standard_normal
    stimuli: Any = images(size=shape) if task is SPLIT_MNIST else activity(shape, dtype=np.float32)
    some = slice(None, None, max(1, task.stored // (10 * task.classes)))
    protocol = rs.SplitProtocol(
        stimuli, label, contexts=task.contexts, test_stimuli=stimuli[some], test_labels=label[some]
    )
    plan = rs.brain_inspired(protocol, units=task.units, closed=0.7)
    brains = [plan.grow(a) for a in animals]
    cohort = Cohort(brains, rate=1e-4, replay=rs.GenerativeReplay(), device=device)
    cohort.remember_self()
    curricula = [protocol.curriculum(a) for a in animals]
    given = plan_context(protocol, plan, curricula, animals, rs.Learning(batch=task.batch), 2, "sequential")
    given = given.to(cohort.device)
    replay = plan_round(protocol, 2, task.batch, cued=True).to(cohort.device)
    noises = Chance(animals, 2, protocol, plan, task.batch, replay, ahead=cohort.device.type != "cpu")
    shown = Presentation(torch.from_numpy(protocol.stimuli.train).to(device), protocol.stimuli.scale, torch.float32)
    learn = update(cohort, given.answers, given.groups, replay, 1 / 3, precision, repeat=repeat)
    count = iter(range(10**9))

    def step() -> object:
        number = next(count) % 2000
        noise = noises.noise(number, cohort.device, cohort.dtype)
        return learn(Encounter(given.trials(number, shown), noise, noises.cues(number)))

    return cohort, step


def spread(workers: int, animals: int) -> Callable[[int], object]:
    """Animals that live so many steps in two contexts with so many workers; the workers are already started."""
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
            animals=range(animals),
            learning=learning,
            replay=rs.GenerativeReplay(),
            workers=workers,
            progress=False,
        )

    run(1)
    return run


def gain(workers: int, steps: int, pairs: int, animals: int = 10) -> float:
    """How many times as fast several workers are as one; median of pairs timed in turn."""
    one, several = spread(1, animals), spread(workers, animals)
    return statistics.median(timed(partial(one, steps)) / timed(partial(several, steps)) for _ in range(pairs))


def time_of(step: Callable[[], object], device: str) -> float:
    """Seconds of a step; on a GPU the mean of a block of them, between which it is not waited for."""
    import torch

    from replaysim.experience import BLOCK

    many = BLOCK if torch.device(device).type == "cuda" else 1
    return timed(lambda: [step() for _ in range(many)], device) / many


def timed_step(animals: tuple[int, ...], task: Task, repeats: int, device: str = "cpu") -> list[tuple[str, str]]:
    """Measure a step of learning against products of matrices, in turn; lines of a table."""
    _cohort, step = make_step(animals, task, device)
    for _ in range(BEFORE):
        step(), matrix_rate(device)
    seconds, rates = [], []
    for _ in range(repeats):
        seconds.append(time_of(step, device) / len(animals))
        rates.append(matrix_rate(device))
    fraction = statistics.median(task.work / s / r for s, r in zip(seconds, rates, strict=True))
    together = f"one animal of {len(animals)}, " if len(animals) > 1 else ""
    where = "one thread" if device == "cpu" else device
    same = "same thread" if device == "cpu" else "same device"
    return [
        ("operations of a whole step, one animal", f"{task.work / 1e9:.2f} GFLOP"),
        (
            f"time of a step, {together}{where} (median of {repeats})",
            f"{1e3 * statistics.median(seconds):.4g} ms",
        ),
        ("rate of the step", f"{task.work / statistics.median(seconds) / 1e9:.1f} GFLOP/s"),
        (f"rate of float32 matrix products, {same}, interleaved", f"{statistics.median(rates) / 1e9:.1f} GFLOP/s"),
        ("fraction of that rate (median of pairs)", f"{100 * fraction:.0f} %"),
    ]


def bfloat16_step(animals: tuple[int, ...], task: Task, repeats: int, device: str = "cpu") -> list[tuple[str, str]]:
    """Measure a step whose layers multiply in bfloat16 against one in float32, in turn; lines of a table."""
    from replaysim.products import multiplied_in

    (_, step), (_, low) = (make_step(animals, task, device, precision) for precision in ("float32", "bfloat16"))
    multiplied = multiplied_in("bfloat16", device)
    for _ in range(BEFORE):
        step()
        low()
        matrix_rate(device, multiplied)
    seconds, pairs, fractions = [], [], []
    for _ in range(repeats):
        high, own = (time_of(one, device) / len(animals) for one in (step, low))
        seconds.append(own)
        pairs.append(high / own)
        fractions.append(task.work / own / matrix_rate(device, multiplied))
    return [
        (f"time of a step, layers in bfloat16 (median of {repeats})", f"{1e3 * statistics.median(seconds):.4g} ms"),
        (
            f"fraction of the rate of {multiplied} products (median of pairs)",
            f"{100 * statistics.median(fractions):.0f} %",
        ),
        ("layers in bfloat16 against float32 (median of pairs)", f"{statistics.median(pairs):.2f} times as fast"),
    ]


def repeated_step(animals: tuple[int, ...], task: Task, repeats: int, device: str) -> list[tuple[str, str]]:
    """Measure a step that a GPU repeats by itself against one that it is told, and the least time; lines of a table."""
    rows = []
    for precision in ("float32", "bfloat16"):
        (_, own), (_, told) = (make_step(animals, task, device, precision, repeat=repeat) for repeat in (True, False))
        for _ in range(BEFORE):
            own(), told(), matrix_rate(device, precision)
        pairs, fractions = [], []
        for _ in range(repeats):
            slow, fast = (time_of(one, device) / len(animals) for one in (told, own))
            pairs.append(slow / fast)
            least = max(task.work / matrix_rate(device, precision), task.traffic / memory_rate(device))
            fractions.append(least / fast)
        rows += [
            (f"repeated by the GPU against told, {precision}", f"{statistics.median(pairs):.1f} times as fast"),
            (
                f"least time of products or traffic, of that taken, {precision}",
                f"{100 * statistics.median(fractions):.0f} %",
            ),
        ]
    return [*rows, ("rate of copies within its memory", f"{memory_rate(device) / 1e12:.2f} TB/s")]


def simulation(settings: Settings) -> list[tuple[str, str]]:
    """Measure a step on Split MNIST, and on a CPU two workers; lines of a table."""
    rows = timed_step(settings.animals, SPLIT_MNIST, settings.times, settings.device)
    if settings.device.startswith("cuda"):
        return rows + repeated_step(settings.animals, SPLIT_MNIST, settings.times, settings.device)
    if settings.device != "cpu":
        return rows
    faster = gain(settings.workers, 1, 1, settings.workers) if settings.quick else gain(settings.workers, 30, 5)
    return [*rows, (f"{settings.workers} workers against one (median of pairs)", f"{faster:.2f} times as fast")]


def photographs(settings: Settings) -> list[tuple[str, str]]:
    """Measure a step on kept activity of frozen early areas; lines of a table."""
    task = replace(SPLIT_CIFAR100, stored=2000) if settings.quick else SPLIT_CIFAR100
    animals = settings.animals[:1] if settings.device == "cpu" else settings.animals
    rows = timed_step(animals, task, settings.times, settings.device)
    rows += bfloat16_step(animals, task, settings.times, settings.device)
    if settings.device.startswith("cuda"):
        rows += repeated_step(animals, task, settings.times, settings.device)
    return rows


def main(settings: Settings) -> None:
    """Measure, print a table."""
    import torch

    from analysis.origins import origin_line
    from replaysim.crew import cores
    from replaysim.preparation import check_animals, check_device
    from replaysim.provenance import here_and_now

    check_animals(settings.animals)
    settings = replace(settings, device=check_device(settings.device))
    torch.set_num_threads(1)
    if settings.analysis:
        from analysis.benchmarks import benchmarks

        rows = benchmarks(quick=settings.quick)
    else:
        rows = (photographs if settings.photographs else simulation)(settings)
    rows.append(("machine", f"{platform.machine()}, {cores()} cores, torch {torch.__version__}"))
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:{width}s}   {value}" for name, value in rows))
    print(f"\n{origin_line(here_and_now(settings.device))}")


if __name__ == "__main__":
    run_study(main, Settings)
