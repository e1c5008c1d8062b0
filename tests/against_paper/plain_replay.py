"""Brain-inspired replay and LwF in the class scenario once more, from the paper's text alone: plain torch, one animal.

Nothing of the simulation is used, neither its parts nor its chance: gradients come from autograd over the whole loss,
random numbers from torch. Oracle files show that our terms and loops are those of the published code, given its random
numbers; this shows that whole lives, with chance of one's own, come out alike.

As a script it does the short run of Split CIFAR-100 that ``docs/results.md`` compares with the published code (about
ten minutes a seed on one core; what it printed is in ``docs/results/second_implementation.txt``)::

    python tests/against_paper/plain_replay.py --early early_areas.safetensors 1 2 3
"""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional


class World(NamedTuple):
    """Activity at the re-entry area, and classes in the animal's order."""

    train: Tensor
    train_class: Tensor
    test: Tensor
    test_class: Tensor
    contexts: int


class Settings(NamedTuple):
    units: int = 2000
    code: int = 100
    closed: float = 0.7
    divisor: float = 3072.0
    steps: int = 100
    batch: int = 256
    rate: float = 1e-4


class Animal(nn.Module):
    def __init__(self, inputs: int, classes: int, own: Settings) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, own.units), nn.Linear(own.units, own.units)
        self.readout = nn.Linear(own.units, classes)
        self.mean, self.log_variance = nn.Linear(own.units, own.code), nn.Linear(own.units, own.code, bias=False)
        self.down_1, self.down_2 = nn.Linear(own.code, own.units), nn.Linear(own.units, own.units)
        self.down_3 = nn.Linear(own.units, inputs)
        self.mode = nn.Parameter(torch.randn(classes, own.code))
        self.mode_log_variance = nn.Parameter(torch.randn(classes, own.code))

    def climb(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))))

    def descend(self, z: Tensor, gates: tuple[Tensor, Tensor]) -> Tensor:
        return self.down_3(torch.relu(gates[1] * self.down_2(torch.relu(gates[0] * self.down_1(z)))))

    def generative_loss(
        self, x: Tensor, h: Tensor, gates: tuple[Tensor, Tensor], belief: Tensor, divisor: float
    ) -> Tensor:
        """Reconstruction and divergence; ``belief`` over the modes, (trial, class)."""
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        error = (x - self.descend(z, gates)).square().mean(1) / 2
        known = belief.shape[1]
        far = (z[:, None] - self.mode[:known]).square() / self.mode_log_variance[:known].exp()
        log_prior = -(self.mode_log_variance[:known] + far).sum(2) / 2
        log_p = torch.logsumexp(log_prior + belief.clamp_min(1e-40).log(), 1)
        log_q = -(log_variance + (z - mean).square() / log_variance.exp()).sum(1) / 2
        return (error + (log_q - log_p) / divisor).mean()


def life(world: World, own: Settings, seed: int, *, current: bool = False) -> float:
    """Accuracy after all contexts, among all classes, mean over contexts.

    ``current``: a plain classifier that replays its current trials (LwF) instead.
    """
    torch.manual_seed(seed)
    classes = int(world.train_class.max()) + 1
    per = classes // world.contexts
    masks = [(torch.rand(classes, own.units) >= own.closed).to(world.train) for _ in range(2)]
    animal = Animal(world.train.shape[1], classes, own)
    adam = torch.optim.Adam(animal.parameters(), lr=own.rate)
    before = animal
    for context in range(world.contexts):
        old, seen = context * per, (context + 1) * per
        pool = torch.nonzero((world.train_class >= old) & (world.train_class < seen)).flatten()
        queue = pool[:0]
        for _ in range(own.steps):
            if len(queue) < own.batch:
                queue = pool[torch.randperm(len(pool))]
            now, queue = queue[: own.batch], queue[own.batch :]
            x, y = world.train[now], world.train_class[now]
            h = animal.climb(x)
            gates = (masks[0][y], masks[1][y])
            certain = functional.one_hot(y, classes).to(x)
            loss = functional.cross_entropy(animal.readout(h)[:, :seen], y)
            if not current:
                loss = loss + animal.generative_loss(x, h, gates, certain, own.divisor)
            if context:
                if current:
                    again = distillation(animal, before, x, old, seen)[0]
                else:
                    again = replay(animal, before, masks, old, seen, own)
                loss = loss / (context + 1) + context / (context + 1) * again
            adam.zero_grad()
            loss.backward()
            adam.step()
        before = copy.deepcopy(animal)
    with torch.no_grad():
        right = animal.readout(animal.climb(world.test)).argmax(1) == world.test_class
    of = world.test_class // per
    return float(np.mean([right[of == c].double().mean() for c in range(world.contexts)]))


def replay(animal: Animal, before: Animal, masks: list[Tensor], old: int, seen: int, own: Settings) -> Tensor:
    """Loss on what the earlier self recalls."""
    with torch.no_grad():
        cued = torch.randint(old, (own.batch,))
        noise = torch.randn(own.batch, own.code)
        z = before.mode[cued] + torch.exp(before.mode_log_variance[cued] / 2) * noise
        x = before.descend(z, (masks[0][cued], masks[1][cued]))
    loss, h, belief = distillation(animal, before, x, old, seen)
    gates = (belief @ masks[0][:old], belief @ masks[1][:old])
    return loss + animal.generative_loss(x, h, gates, belief, own.divisor)


def distillation(animal: Animal, before: Animal, x: Tensor, old: int, seen: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mismatch with what the earlier self makes of something, the activity that it evokes, and that belief."""
    with torch.no_grad():
        belief = torch.softmax(before.readout(before.climb(x))[:, :old] / 2, 1)
    h = animal.climb(x)
    log_p = torch.log_softmax(animal.readout(h)[:, :seen] / 2, 1)[:, :old]
    return -4 * (belief * log_p).sum(1).mean(), h, belief


def split_cifar100(early: str, animal: int = 12) -> World:
    """Activity of the highest early area, and the class order of an animal."""
    from replaysim.early_areas import load_early_areas
    from replaysim.maturity import evoked
    from replaysim.retina import LIGHT
    from replaysim.stimuli import load

    stimuli, areas = load("cifar100"), load_early_areas(early)[0]
    order = torch.from_numpy(np.random.RandomState(animal).permutation(100))
    seen = [evoked(areas, images, LIGHT["cifar100"]) for images in (stimuli.train, stimuli.test)]
    labels = [order[torch.from_numpy(label).long()] for label in (stimuli.train_label, stimuli.test_label)]
    return World(seen[0], labels[0], seen[1], labels[1], 10)


def main(early: str, *seeds: str) -> None:
    """Lives of the short run, their mean and standard error, and how they came about."""
    from analysis.origins import origin_line
    from replaysim.provenance import here_and_now

    torch.set_num_threads(1)
    met, found = split_cifar100(early), []
    for seed in map(int, seeds):
        found.append(100 * life(met, Settings(), seed))
        print(f"seed {seed}: {found[-1]:.2f} %", flush=True)
    error = f" ± {np.std(found, ddof=1) / len(found) ** 0.5:.2f}" if len(found) > 1 else ""
    print(f"mean ± standard error of {len(found)}: {np.mean(found):.2f}{error} %\n")
    print(origin_line(here_and_now("cpu")))


if __name__ == "__main__":
    import sys

    main(*sys.argv[2:])  # after --early
