"""Operations: what a whole brain-inspired step costs at least, counted.

Recall, judgement, learning on current and replayed trials, and the update of the synapses.
"""

from __future__ import annotations

from dataclasses import dataclass


def synapses(inputs: int, units: tuple[int, int], code: int, answers: int) -> tuple[int, int, int]:
    """Synapses up to the readout, of all layers that learn, and of those that re-create and judge a replayed event."""
    up = inputs * units[0] + units[0] * units[1] + units[1] * answers
    down = code * units[1] + units[1] * units[0] + units[0] * inputs
    return up, up + 2 * units[1] * code + down, up + down


def operations(inputs: int, units: tuple[int, int], code: int, answers: int, batch: int) -> float:
    """Floating-point operations of one whole step of one animal: products of matrices only, two per multiplication.

    A layer costs one product forward, one for the gradient of its weights, one for that of its input (not for the
    stimulus).
    """
    _, through, recalled = synapses(inputs, units, code, answers)
    learn = 2 * batch * (3 * through - inputs * units[0])
    return 2.0 * (learn + batch * recalled)


@dataclass(frozen=True)
class Task:
    """Sizes of a protocol: what a step costs depends on nothing else."""

    inputs: int
    units: tuple[int, int]
    classes: int
    contexts: int
    batch: int
    stored: int

    @property
    def work(self) -> float:
        """Operations of a whole step of one animal with codes of 100 units."""
        return operations(self.inputs, self.units, 100, self.classes, self.batch)

    @property
    def traffic(self) -> float:
        """Least bytes that go through memory in such a step, in float32 and without activity.

        A synapse is read forward and backward, its gradient written; Adam reads all four values of it and writes three.
        The earlier self is read once.
        """
        _, learned, recalled = synapses(self.inputs, self.units, 100, self.classes)
        return 4.0 * (10 * learned + recalled)


SPLIT_MNIST = Task(784, (400, 400), 10, 5, 128, 1000)
SPLIT_CIFAR100 = Task(1024, (2000, 2000), 100, 10, 256, 60_000)
