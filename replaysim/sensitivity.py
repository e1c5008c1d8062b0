r"""Sensitivity of what a brain says to every synapse, whatever was right.

.. math:: \Omega_i = \frac1N \sum_x \left|\frac{\partial\, \|y(x)\|^2}{\partial \theta_i}\right|

with the activity *y* of the readout units that compete. Single trials are differentiated one by one, as many at once as
there is room for, so that it is right for any cortex.

Source: Aljundi et al. (2018), ECCV, memory aware synapses.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from .fisher import FLOATS_AT_ONCE, Judgement


class Output(Judgement):
    """What the readout says, (trial, answer), before anything is decided."""

    def forward(self, stimulus: Tensor, answers: Tensor, context: int | None = None) -> Tensor:
        """(trial, answer); answers that do not compete say nothing."""
        top = self.brain.climb(stimulus, self.area, context=context)[self.brain.top]
        return torch.where(answers, self.brain.readout(top), 0.0)


def output_sensitivity(
    output: Output,
    values: Mapping[str, Tensor],
    covered: list[str],
    stimuli: Tensor,
    answers: Tensor,
    context: int | None = None,
) -> dict[str, Tensor]:
    """Sensitivity of the output of one animal to the covered synapses.

    Parameters
    ----------
    output
        Template of the brain; its forward pass must not keep count of anything.
    values, covered, stimuli, answers, context
        See :func:`replaysim.fisher.fisher_information`.

    Returns
    -------
    dict
        Name to sensitivity, shaped like the parameter; nonnegative.
    """
    fixed = {name: value.detach() for name, value in values.items() if name not in covered}
    free = {name: values[name].detach() for name in covered}

    def length(synapses: dict[str, Tensor], stimulus: Tensor) -> Tensor:
        return functional_call(output, {**fixed, **synapses}, (stimulus[None], answers, context)).square().sum()

    slope = vmap(grad(length), in_dims=(None, 0))
    total = {name: torch.zeros_like(value) for name, value in free.items()}
    at_once = max(1, FLOATS_AT_ONCE // max(1, sum(value.numel() for value in free.values())))
    for part in stimuli.split(at_once):
        for name, value in slope(free, part).items():
            total[name] += value.abs().sum(0)
    return {name: value / len(stimuli) for name, value in total.items()}
