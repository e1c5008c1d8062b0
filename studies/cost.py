"""What does a life of an arm of the paper cost on this machine: how long a step, how long all of it, how much memory?

Question
    How long would Figure 3, 5 or 6 of van de Ven, Siegelmann & Tolias (2020) take here, arm by arm, before days are
    spent on it? Lives are real, only short, and of noise instead of stimuli: what they cost does not depend on what is
    seen, and nothing is downloaded.
Expected
    Seen: ``docs/results/cost*.txt``. Brain-inspired replay costs several times what a classifier does, and early areas
    that learn several times what frozen ones do; classic replay of photographs costs most.
Run time
    One to five minutes an arm on a CPU, classic replay of photographs most; ``--quick``: seconds.
Hardware
    Any. On a GPU (``--device cuda``) all animals are one computation; on a CPU one worker is timed;
    several slow each other down.

The time of a step is that of long lives less that of short ones, so that it holds what every step needs, from drawing
trials to the update of the synapses, and its mean is over contexts (of permuted MNIST the first ten): replay begins
with the second. Only the noise of codes, which is drawn for 32 steps at a time, counts among what is beside the steps.
That (also tests after every context, activity of frozen early areas, the information that elastic weight consolidation
takes) is seen in a life with as many stimuli as the protocol has; with permuted MNIST it is left out, as tests there
grow with the square of the number of contexts. That life also tells the memory.
"""

from __future__ import annotations

import platform
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from replaysim.commandline import run_study
from replaysim.options import SCENARIO, check_counts

if TYPE_CHECKING:
    from collections.abc import Callable

    from replaysim.abstract_protocol import AbstractProtocol
    from replaysim.arms import Preset
    from replaysim.learning import Learning

T = TypeVar("T")


@dataclass(frozen=True)
class Settings:
    """What does a life of an arm cost on this machine?"""

    protocol: Literal["split-mnist", "permuted-mnist", "split-cifar100"] = field(
        default="split-cifar100", metadata={"help": "what the animals meet"}
    )
    scenario: Literal["task", "domain", "class"] | None = field(
        default=None, metadata={"help": f"{SCENARIO} (default: class; permuted MNIST: domain)"}
    )
    arms: str = field(
        default="brain_inspired,nothing_frozen,nothing",
        metadata={"help": "comma-separated names of arms, or paper, 2020 or all, see compare_methods.py"},
    )
    animals: tuple[int, ...] = field(default=(12,), metadata={"help": "animals that live together"})
    device: str = field(default="cpu", metadata={"help": "cpu, cuda, mps or auto"})
    threads: int = field(default=1, metadata={"help": "CPU threads"})
    precision: Literal["float32", "bfloat16"] = field(
        default="float32", metadata={"help": "bfloat16: mixed precision, layers multiply in it while animals learn"}
    )
    quick: bool = field(default=False, metadata={"help": "few steps and stimuli, to see that everything works"})

    def __post_init__(self) -> None:
        check_counts("cost", self, ("threads",))
        self.presets()

    def presets(self) -> list[str]:
        """Names of the presets that are asked for."""
        import compare_methods

        return compare_methods.chosen(
            compare_methods.Settings(protocol=self.protocol, scenario=self.scenario, arms=self.arms)
        )

    @property
    def computed(self) -> dict[str, Any]:
        """How and where, for :func:`replaysim.simulate`."""
        return {"device": self.device, "threads": self.threads, "precision": self.precision}


class Cost(NamedTuple):
    """Of the lives of all animals together."""

    step: float
    """Seconds."""
    beside: float | None
    """Seconds that a life of any length takes beside its steps; None where that was not seen."""
    memory: float | None
    """Most memory, GiB; None where the system does not say it."""


class Sizes(NamedTuple):
    """How long lives are, and how many stimuli they have."""

    short: int
    """Steps per context."""
    long: int
    few: int
    """Stimuli of each class, to learn from, while steps are timed."""
    all: int
    contexts: int
    batch: int


CONTEXTS = 10
"""At most, of permuted MNIST, while it is timed."""
ON_A_CPU, ON_A_GPU = (1, 3), (40, 240)
"""Steps per context of short and long lives; a GPU records the fourth and repeats it."""


def sizes(preset: Preset, device: str, *, quick: bool = False) -> Sizes:
    """How an arm is timed."""
    from replaysim.arms import N_CONTEXTS

    short, long = ON_A_CPU if device == "cpu" else ON_A_GPU
    contexts = min(CONTEXTS, N_CONTEXTS[preset.name.split("/")[0]])
    if quick:
        return Sizes(1, 2, 6, 12, 2, 8)
    few, all_of = (20, 500) if preset.sees_photographs else (200, 6000)
    return Sizes(short, long, few, all_of, contexts, preset.learning.batch)


def noise(preset: Preset, each: int, contexts: int) -> AbstractProtocol:
    """The protocol of an arm with noise in place of its stimuli, so many of each class, a fifth more to test with."""
    import numpy as np

    import replaysim as rs
    from replaysim.retina import LIGHT
    from replaysim.stimuli import StimulusSet

    classes, shape = (100, (3, 32, 32)) if preset.sees_photographs else (10, (28, 28))
    chance, counts = np.random.default_rng(0), (each, max(1, each // 5))
    label = [np.arange(classes).repeat(n) for n in counts]
    image = [chance.integers(0, 256, (classes * n, *shape), dtype=np.uint8) for n in counts]
    light = LIGHT["cifar100"] if preset.sees_photographs else None
    names = tuple(map(str, range(classes)))
    stimuli = StimulusSet("noise", image[0], label[0], image[1], label[1], names, 255.0, light)
    scenario = preset.name.split("/")[1]
    make = rs.PermutedProtocol if preset.is_permuted else rs.SplitProtocol
    return make(stimuli, contexts=contexts, scenario=scenario)


def lived(
    preset: Preset, protocol: AbstractProtocol, animals: tuple[int, ...], computed: dict[str, Any], learning: Learning
) -> float:
    """Seconds that a life takes."""
    from analysis.stopwatch import timed
    from replaysim import simulate

    own: dict[str, Any] = {"workers": 1, "progress": False, **computed, **preset.mechanisms}
    plan = preset.brain(protocol)
    return timed(lambda: simulate(plan, protocol, animals=animals, learning=learning, **own), computed["device"])


def step_of(preset: Preset, animals: tuple[int, ...], computed: dict[str, Any], given: Sizes) -> float:
    """Seconds of a step: of a long life less a short one, mean over contexts."""
    few = noise(preset, given.few, given.contexts)
    rhythms = (replace(preset.learning, steps=steps, batch=given.batch) for steps in (given.short, given.long))
    short, long = (partial(lived, preset, few, animals, computed, rhythm) for rhythm in rhythms)
    short()  # the first life also loads and compiles
    return max(0.0, (long() - short()) / ((given.long - given.short) * given.contexts))


def whole_life(preset: Preset, animals: tuple[int, ...], computed: dict[str, Any], given: Sizes) -> float:
    """Seconds of a short life with all stimuli."""
    learning = replace(preset.learning, steps=given.short, batch=given.batch)
    return lived(preset, noise(preset, given.all, given.contexts), animals, computed, learning)


def cost(name: str, animals: tuple[int, ...], computed: dict[str, Any], given: Sizes) -> Cost:
    """Let animals live short and long lives with few stimuli, and a short one with all."""
    from replaysim import presets
    from replaysim.allocation import keep_memory

    keep_memory()  # as in studies and workers
    preset = presets.get(name)
    step = step_of(preset, animals, computed, given)
    whole = whole_life(preset, animals, computed, given)
    beside = None if preset.is_permuted else max(0.0, whole - given.short * given.contexts * step)
    return Cost(step, beside, most_memory(computed["device"]))


def most_memory(device: str) -> float | None:
    """Most memory that this process ever had on a device, GiB; on a CPU, libraries included."""
    import torch

    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def memory_of(name: str, animals: tuple[int, ...], computed: dict[str, Any], given: Sizes) -> float | None:
    """Most memory that a short life with all stimuli takes, where nothing else was done in this process, GiB."""
    from replaysim import presets
    from replaysim.allocation import keep_memory

    keep_memory()
    whole_life(presets.get(name), animals, computed, given)
    return most_memory(computed["device"])


def apart(what: Callable[..., T], *given: object) -> T:
    """The same in a process of its own, whose memory holds nothing else."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(what, *given).result()


def duration(seconds: float) -> str:
    """Seconds in the largest unit of which there is one, two digits."""
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.2g} {unit}" if seconds < 100 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.2g} s"


HEAD = f"{'arm':28s} {'a step':>10s} {'steps':>9s} {'their time':>12s} {'beside them':>12s} {'memory, GiB':>12s}"


def line(name: str, found: Cost) -> str:
    """A line of the table."""
    from replaysim import presets
    from replaysim.arms import N_CONTEXTS

    steps = presets.get(name).learning.steps * N_CONTEXTS[name.split("/")[0]]
    beside = "–" if found.beside is None else duration(found.beside)
    memory = "–" if found.memory is None else f"{found.memory:.2f}"
    step = f"{1e3 * found.step:.3g} ms"
    whole = duration(steps * found.step)
    return f"{name.rpartition('/')[2]:28s} {step:>10s} {steps:>9,d} {whole:>12s} {beside:>12s} {memory:>12s}"


def main(settings: Settings) -> None:
    """Time one arm after the other, print a line of each."""
    from tqdm import tqdm

    from analysis.origins import heading, origin_line
    from replaysim import presets
    from replaysim.preparation import check_animals, check_device
    from replaysim.provenance import here_and_now

    check_animals(settings.animals)
    settings = replace(settings, device=check_device(settings.device))
    names = settings.presets()
    about = f"{names[0].rpartition('/')[0]}, noise for stimuli, {settings.precision}"
    print(f"{heading(about, settings.animals)}\n\n{HEAD}\n{'-' * len(HEAD)}", flush=True)
    with tqdm(names, desc="timing arms", unit="arm", leave=False) as bar:
        for name in bar:
            given = sizes(presets.get(name), settings.device, quick=settings.quick)
            found = line(name, apart(cost, name, settings.animals, settings.computed, given))
            bar.write(found, file=sys.stdout)
    together = "" if len(settings.animals) == 1 else f" of {len(settings.animals)} animals together"
    said = f"lives{together} of the paper's length; beside them: tests and all else that is not a step"
    said += "; QUICK: small batches, says nothing" if settings.quick else ""
    print(f"{'-' * len(HEAD)}\n{said}")
    print(f"\n{origin_line(here_and_now(settings.device), settings.threads)}")


if __name__ == "__main__":
    run_study(main, Settings)
