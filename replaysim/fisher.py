r"""Fisher information of the decision about every synapse, exact over answers.

.. math:: F_i = \frac1N \sum_x \sum_{c \in A} p_c(x) \left(\frac{\partial \log p_c(x)}{\partial \theta_i}\right)^2

with the softmax over the competing answers :math:`A`. For fully connected areas the squared gradient of a trial is an
outer product, :math:`(\delta a^\top)^2 = \delta^2 (a^2)^\top`, so that one product of matrices does all trials at
once; any other kind of synapse falls back on per-trial gradients.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from .brain import Brain
from .cortex import RETINA
from .objectives import competing

_FLOATS_AT_ONCE = 2**25  # bound on the per-trial gradients that the fallback holds


class Judgement(nn.Module):
    """Log-probabilities of the competing answers, from stimuli (trial, ...).

    Parameters
    ----------
    brain
        The brain that judges.
    area
        Where stimuli are presented.
    """

    def __init__(self, brain: Brain, area: str = RETINA) -> None:
        super().__init__()
        self.brain = brain
        self.area = area

    def forward(self, stimulus: Tensor, answers: Tensor, context: int | None = None) -> Tensor:
        """(trial, answer); answers that do not compete get a large negative number."""
        top = self.brain.climb(stimulus, self.area, context=context)[self.brain.top]
        return torch.log_softmax(competing(self.brain.readout(top), answers), dim=-1)


def fisher_information(
    judgement: Judgement,
    values: Mapping[str, Tensor],
    covered: list[str],
    stimuli: Tensor,
    answers: Tensor,
    context: int | None = None,
) -> dict[str, Tensor]:
    """Information of the decision about the covered synapses of one animal.

    Parameters
    ----------
    judgement
        Template of the brain; its forward pass must not keep count of anything.
    values
        All its parameters and buffers by name.
    covered
        Names of the parameters wanted.
    stimuli
        (trial, ...), as the protocol presents them.
    answers
        Which readout units compete, boolean, (answer,).
    context
        Context of the stimuli, from 0; needed where the cortex is gated by it.

    Returns
    -------
    dict
        Name to information, shaped like the parameter; nonnegative.
    """
    dense = _dense_layers(judgement, covered)
    information = _of_dense(judgement, values, dense, covered, stimuli, answers, context) if dense else {}
    rest = [name for name in covered if name not in information]
    if rest:
        information |= _of_any(judgement, values, rest, stimuli, answers, context)
    return {name: information[name] / stimuli.shape[0] for name in covered}


def _dense_layers(judgement: nn.Module, covered: list[str]) -> dict[str, nn.Linear]:
    layers = {name: m for name, m in judgement.named_modules() if type(m) is nn.Linear}
    return {name: m for name, m in layers.items() if f"{name}.weight" in covered}


def _of_dense(
    judgement: Judgement,
    values: Mapping[str, Tensor],
    layers: dict[str, nn.Linear],
    covered: list[str],
    stimuli: Tensor,
    answers: Tensor,
    context: int | None,
) -> dict[str, Tensor]:
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in layers}
    hooks = [
        layer.register_forward_hook(lambda _module, given, out, name=name: seen[name].append((given[0], out)))
        for name, layer in layers.items()
    ]
    detached = {name: value.detach().requires_grad_(name in covered) for name, value in values.items()}
    try:
        with torch.enable_grad():
            log_p = functional_call(judgement, detached, (stimuli, answers, context))
    finally:
        for hook in hooks:
            hook.remove()
    once = {name: calls[0] for name, calls in seen.items() if len(calls) == 1 and calls[0][0].dim() == 2}
    information: dict[str, Tensor] = {}
    squared_input = {name: given.detach().square() for name, (given, _out) in once.items()}
    outputs = [out for _given, out in once.values()]
    for c in torch.nonzero(answers).flatten().tolist():
        slopes = torch.autograd.grad(log_p[:, c].sum(), outputs, retain_graph=True)
        p = log_p[:, c].detach().exp()[:, None]
        for name, slope in zip(once, slopes, strict=True):
            weighed = p * slope.square()
            for kind, term in (("weight", weighed.T @ squared_input[name]), ("bias", weighed.sum(0))):
                if f"{name}.{kind}" in values:
                    key = f"{name}.{kind}"
                    information[key] = information[key] + term if key in information else term
    return information


def _of_any(
    judgement: Judgement,
    values: Mapping[str, Tensor],
    covered: list[str],
    stimuli: Tensor,
    answers: Tensor,
    context: int | None = None,
) -> dict[str, Tensor]:
    fixed = {name: value.detach() for name, value in values.items() if name not in covered}
    chosen = torch.nonzero(answers).flatten()

    def log_p(synapses: dict[str, Tensor], stimulus: Tensor) -> Tensor:
        return functional_call(judgement, {**fixed, **synapses}, (stimulus[None], answers, context))[0, chosen]

    def squared(synapses: dict[str, Tensor], stimulus: Tensor) -> dict[str, Tensor]:
        p = log_p(synapses, stimulus).exp()
        slopes = jacrev(log_p)(synapses, stimulus)
        return {name: torch.tensordot(p, slope.square(), dims=1) for name, slope in slopes.items()}

    free = {name: values[name].detach() for name in covered}
    per_trial = len(chosen) * sum(v.numel() for v in free.values())
    total = {name: torch.zeros_like(value) for name, value in free.items()}
    for part in stimuli.split(max(1, _FLOATS_AT_ONCE // per_trial)):
        for name, value in vmap(squared, in_dims=(None, 0))(free, part).items():
            total[name] += value.sum(0)
    return total
