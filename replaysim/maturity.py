r"""Maturity: how much the activity of early areas tells about what was seen, and how large it is.

Two numbers tell whether early areas are like those of the paper: how well a *linear discriminant* names photographs of
classes that the areas never met (CIFAR-100), and the *variance* of their units, which is the size of what feedback
has to re-create and thus weighs reconstruction against classification.

Source: the discriminant is that of Fisher (1936), Annals of Eugenics 7:179, with the shrinkage of Hayes & Kanan (2020),
arXiv:1909.01520; it learns in closed form and once, so that its accuracy belongs to the areas and not to a training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .arithmetic import sums_by_group
from .early_areas import EarlyAreas
from .errors import DataError, check_number
from .retina import Light, adapt


@torch.no_grad()
def evoked(
    areas: EarlyAreas, photographs: np.ndarray | Tensor, light: Light, *, area: str | None = None, batch: int = 500
) -> Tensor:
    """Activity of one area, with standing statistics, whether or not its critical period is open.

    Parameters
    ----------
    photographs
        (photograph, channel, row, column), ``uint8``.
    light
        What the retina is adapted to.
    area
        Default: the highest early area.
    batch
        Photographs at a time.

    Returns
    -------
    Tensor
        (photograph, unit), in the precision and on the device of the areas.
    """
    area = areas.top if area is None else area
    synapses = next(areas.parameters())
    images = torch.as_tensor(photographs)
    activity = synapses.new_empty((len(images), areas.sizes[area]))
    mode = areas.training
    areas.eval()
    try:
        for first in range(0, len(images), batch):
            alike = images[first : first + batch].contiguous()  # as in early_activity.keep
            seen = adapt(alike.to(synapses.device), light).to(synapses.dtype)
            activity[first : first + batch] = areas(seen, stop=area)[area].flatten(1)
    finally:
        areas.train(mode)
    return activity


@torch.no_grad()
def recognition(
    areas: EarlyAreas, readout: nn.Module, photographs: np.ndarray | Tensor, label: np.ndarray | Tensor, light: Light
) -> float:
    """Share of photographs that a readout on top of the early areas names rightly."""
    logits = readout(evoked(areas, photographs, light))
    return float((logits.argmax(1).cpu() == torch.as_tensor(label).cpu()).double().mean())


def unit_variance(activity: Tensor) -> Tensor:
    """Variance of every unit over trials; (trial, unit) to (unit,), ``float64``."""
    return activity.double().var(0, correction=0)


@dataclass(frozen=True)
class Discriminant:
    r"""Names what evoked an activity, as if every class were a Gaussian cloud and all clouds had one shape.

    The class :math:`c` with the largest :math:`\mu_c^\top\Lambda x - \frac12\mu_c^\top\Lambda\mu_c` wins, where
    :math:`\Lambda` is the inverse of the covariance around the class means, all classes pooled; every class is equally
    likely beforehand.

    Parameters
    ----------
    weight, bias
        :math:`\Lambda\mu_c`, (class, unit), and :math:`-\frac12\mu_c^\top\Lambda\mu_c`, (class,), ``float64``.
    """

    weight: Tensor
    bias: Tensor

    @classmethod
    def fit(cls, activity: Tensor, label: np.ndarray | Tensor, *, shrinkage: float = 1e-4) -> Discriminant:
        r"""Learn in closed form, in ``float64``.

        Parameters
        ----------
        activity
            (trial, unit).
        label
            Class of every trial, 0, 1, ..., each of which occurs; (trial,).
        shrinkage
            :math:`\epsilon` in the covariance :math:`(1-\epsilon)\Sigma + \epsilon I`: lets silent units be, and is
            without effect otherwise.

        Raises
        ------
        DataError
            If trials and labels do not fit, or a class does not occur.
        """
        check_number("Discriminant", "shrinkage", shrinkage, above=0, below=1)
        known = torch.as_tensor(label).to(activity.device)
        if known.shape != activity.shape[:1] or activity.ndim != 2:
            raise DataError(
                f"Discriminant: activity has shape {tuple(activity.shape)} and labels {tuple(known.shape)}, "
                "must be (trial, unit) and (trial,)"
            )
        count = torch.bincount(known)
        if len(count) == 0 or bool((count == 0).any()):
            raise DataError(f"Discriminant: class {int((count == 0).nonzero()[:1].sum())} has no trial to learn from")
        x = activity.double()
        mean = sums_by_group(x, known, len(count)) / count[:, None]
        around = x - mean[known]
        covariance = around.T @ around / len(x)
        covariance.mul_(1 - shrinkage).diagonal().add_(shrinkage)
        weight = torch.linalg.solve(covariance, mean.T).T
        return cls(weight, -0.5 * (mean * weight).sum(1))

    def decide(self, activity: Tensor) -> Tensor:
        """Class of every trial, (trial, unit) to (trial,)."""
        return (activity.double() @ self.weight.T + self.bias).argmax(1)

    def accuracy(self, activity: Tensor, label: np.ndarray | Tensor) -> float:
        """Share of trials named rightly."""
        return float((self.decide(activity).cpu() == torch.as_tensor(label).cpu()).double().mean())
