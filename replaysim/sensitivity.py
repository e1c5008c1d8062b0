r"""Sensitivity of what a brain says to every synapse, whatever was right.

.. math:: \Omega_i = \frac1N \sum_x \left|\frac{\partial\, \|y(x)\|^2}{\partial \theta_i}\right|

with the activity *y* of the readout units that compete. Trials are differentiated one by one, so that it is right for
any cortex.

Source: Aljundi et al. (2018), ECCV, memory aware synapses.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.func import grad

from .fisher import Judgement, Said


class Output(Judgement):
    """What the readout says, from stimuli (trial, ...), before anything is decided; see :class:`Judgement`."""

    by_layers: ClassVar[bool] = False

    def forward(self, stimulus: Tensor, answers: Tensor, context: int | None = None) -> Tensor:
        """(trial, answer)."""
        return self.brain.readout(self.brain.climb(stimulus, self.area, context=context)[self.brain.top])

    def of_one(self, output: Said, synapses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sensitivity of the output on one trial."""
        slopes = grad(lambda changed: output(changed).square().sum())(synapses)
        return {name: slope.abs() for name, slope in slopes.items()}

    def gradients(self, answers: int) -> int:
        """One, whatever competes."""
        return 1


JUDGEMENTS: dict[str, type[Judgement]] = {"decision": Judgement, "output": Output}
"""What a rule may ask about: what the decision says of a synapse, or how the output depends on it."""
