r"""Fisher information of the decision about every synapse, exact over answers.

.. math:: F_i = \frac1N \sum_x \sum_{c \in A} p_c(x) \left(\frac{\partial \log p_c(x)}{\partial \theta_i}\right)^2

with the softmax over the competing answers :math:`A`. One pass backward for every answer gives the slopes
:math:`\delta = \partial \log p_c / \partial (\text{drive})` of all trials; the gradient of one trial's synapses follows
from its slopes and what the layer received. For fully connected areas it is an outer product, :math:`(\delta
a^\top)^2 = \delta^2 (a^2)^\top`, so that one product of matrices does all trials at once; for convolutions it is one
product a trial, summed over places before it is squared. Any other kind of synapse falls back on the differentiation of
single trials, which is slow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap
from torch.nn import functional

from .brain import Brain
from .cortex import RETINA
from .objectives import competing

FLOATS_AT_ONCE = 2**25  # bound on the gradients of single trials that are held together
_FEW_PLACES = 4
"""Up to so many places, a squared sum over them is cheaper as a sum over pairs: it needs no room for single trials."""


Said = Callable[[dict[str, Tensor]], Tensor]
"""What is said of one trial, (answer,), as a function of synapses."""


class Judgement(nn.Module):
    """Log-probabilities of the competing answers, from stimuli (trial, ...).

    Parameters
    ----------
    brain
        The brain that judges.
    area
        Where stimuli are presented.
    """

    by_layers: ClassVar[bool] = True
    """Whether layers whose gradients of single trials are known are spared their differentiation."""

    def __init__(self, brain: Brain, area: str = RETINA) -> None:
        super().__init__()
        self.brain = brain
        self.area = area

    def forward(self, stimulus: Tensor, answers: Tensor, context: int | None = None) -> Tensor:
        """(trial, answer); answers that do not compete get a large negative number."""
        top = self.brain.climb(stimulus, self.area, context=context)[self.brain.top]
        return torch.log_softmax(competing(self.brain.readout(top), answers), dim=-1)

    def of_one(self, log_p: Said, synapses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Information of the decision on one trial, from its log-probabilities (answer,) as a function of synapses."""
        p = log_p(synapses).exp()
        slopes = jacrev(log_p)(synapses)
        return {name: torch.tensordot(p, slope.square(), dims=1) for name, slope in slopes.items()}

    def gradients(self, answers: int) -> int:
        """Gradients of one trial that :meth:`of_one` holds together."""
        return answers


def information_of(
    judgement: Judgement,
    values: Mapping[str, Tensor],
    covered: list[str],
    stimuli: Tensor,
    answers: Tensor,
    context: int | None = None,
) -> dict[str, Tensor]:
    """What a judgement says about the covered synapses of one animal, mean over trials.

    Parameters
    ----------
    judgement
        Template of the brain, which says what is asked: of a plain :class:`Judgement` the Fisher information. Its
        forward pass must not keep count of anything.
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
    layers = _layers(judgement, covered) if judgement.by_layers else {}
    information: dict[str, Tensor] = {}
    for part in stimuli.split(_trials_at_once(layers, len(stimuli))) if layers else ():
        for name, value in _of_layers(judgement, values, layers, covered, part, answers, context).items():
            information[name] = information[name] + value if name in information else value
    rest = [name for name in covered if name not in information]
    if rest:
        information |= _of_any(judgement, values, rest, stimuli, answers, context)
    return {name: information[name] / stimuli.shape[0] for name in covered}


def _layers(judgement: nn.Module, covered: list[str]) -> dict[str, nn.Module]:
    """Layers whose gradients of single trials are known without differentiating trial after trial."""

    def known(layer: nn.Module) -> bool:
        if type(layer) is nn.Conv2d:
            return layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        return type(layer) is nn.Linear or (type(layer) is nn.BatchNorm2d and not layer.training)

    return {n: m for n, m in judgement.named_modules() if f"{n}.weight" in covered and known(m)}


def _trials_at_once(layers: Mapping[str, nn.Module], trials: int) -> int:
    """As many as the gradients of single trials of the largest convolution leave room for."""
    largest = max((m.weight.numel() for m in layers.values() if isinstance(m, nn.Conv2d)), default=0)
    return max(1, min(trials, FLOATS_AT_ONCE // largest if largest else trials))


def _of_layers(
    judgement: Judgement,
    values: Mapping[str, Tensor],
    layers: Mapping[str, nn.Module],
    covered: list[str],
    stimuli: Tensor,
    answers: Tensor,
    context: int | None,
) -> dict[str, Tensor]:
    """Sum over trials, for the layers that are used once in a pass."""
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in layers}
    hooks = [layer.register_forward_hook(_keeping(seen[name])) for name, layer in layers.items()]
    detached = {name: value.detach().requires_grad_(name in covered) for name, value in values.items()}
    try:
        with torch.enable_grad():
            log_p = functional_call(judgement, detached, (stimuli, answers, context))
    finally:
        for hook in hooks:
            hook.remove()
    dims = {nn.Linear: 2, nn.Conv2d: 4, nn.BatchNorm2d: 4}
    uses = _uses(log_p)
    once = {
        name: calls[0]
        for name, calls in seen.items()
        if len(calls) == 1
        and calls[0][0].dim() == dims[type(layers[name])]
        and all(uses[id(detached.get(f"{name}.{value}"))] <= 1 for value in ("weight", "bias"))
    }
    received = {name: _received(name, layers[name], given.detach(), values) for name, (given, _out) in once.items()}
    outputs = {name: out for name, (_given, out) in once.items()}
    information: dict[str, Tensor] = {}
    for c in torch.nonzero(answers).flatten().tolist():
        slopes = _slopes(log_p[:, c].sum(), outputs)
        p = log_p[:, c].detach().exp()
        for name, slope in slopes.items():
            weight, bias = _squared(layers[name], received[name], slope, p)
            for key, term in ((f"{name}.weight", weight.view_as(values[f"{name}.weight"])), (f"{name}.bias", bias)):
                if key in values:
                    information[key] = information[key] + term if key in information else term
    return information


def _keeping(calls: list[tuple[Tensor, Tensor]]) -> Callable[..., Tensor]:
    """A hook that keeps what a layer is given and gives, and passes on a copy: a non-linearity may work in place."""

    def keep(_layer: nn.Module, given: tuple[Any, ...], out: Tensor) -> Tensor:
        calls.append((given[0], out))
        return out.clone()

    return keep


def _uses(result: Tensor) -> Counter[int]:
    """How many operations take each leaf (by its ``id``); a layer's synapses may serve elsewhere, too."""
    found: Counter[int] = Counter()
    seen: set[Any] = set()
    waiting = [result.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        for earlier, _number in node.next_functions:
            waiting.append(earlier)
            if (leaf := getattr(earlier, "variable", None)) is not None:
                found[id(leaf)] += 1
    return found


def _slopes(log_p: Tensor, outputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Slopes of a sum of log-probabilities; zero at layers that lead to no decision, or through which none can flow."""
    followed = {name: out for name, out in outputs.items() if out.requires_grad}
    found: tuple[Tensor | None, ...] = ()
    if followed and log_p.requires_grad:
        found = torch.autograd.grad(log_p, list(followed.values()), retain_graph=True, allow_unused=True)
    slopes = {name: torch.zeros_like(out) for name, out in outputs.items()}
    return slopes | {name: slope for name, slope in zip(followed, found, strict=False) if slope is not None}


def _received(name: str, layer: nn.Module, given: Tensor, values: Mapping[str, Tensor]) -> Tensor:
    """What the layer's synapses are multiplied with; dense: its square, (trial, input)."""
    if isinstance(layer, nn.Conv2d):  # (trial, input and offset, place), or (pair and trial, input and offset)
        assert not isinstance(layer.padding, str)  # see _layers
        patches = functional.unfold(given, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
        return _pairs(patches) if patches.shape[2] <= _FEW_PLACES else patches
    if isinstance(layer, nn.BatchNorm2d):  # (trial, channel, row, column)
        mean, variance = values[f"{name}.running_mean"], values[f"{name}.running_var"]
        deviation = (variance + layer.eps).sqrt()
        return (given - mean[:, None, None]) / deviation[:, None, None]
    return given.square()


def _pairs(places: Tensor) -> Tensor:
    """Products of every two places, (trial, channel, place) to (pair and trial, channel)."""
    one, other = torch.triu_indices(places.shape[2], places.shape[2], device=places.device)
    return (places[:, :, one] * places[:, :, other]).permute(2, 0, 1).flatten(0, 1)


def _squared(layer: nn.Module, received: Tensor, slope: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """Squared gradients of weights and bias, summed over trials, each weighed by its probability *p*."""
    if isinstance(layer, nn.Linear):
        weighed = p[:, None] * slope.square()
        return weighed.T @ received, weighed.sum(0)
    places = slope.flatten(2)  # (trial, channel, place)
    bias = p @ places.sum(2).square()
    if isinstance(layer, nn.BatchNorm2d):
        return p @ (places * received.flatten(2)).sum(2).square(), bias
    if received.dim() == 2:
        pairs = _pairs(places).view(-1, *places.shape[:2])
        one, other = torch.triu_indices(places.shape[2], places.shape[2], device=places.device)
        pairs = pairs * torch.where(one == other, 1.0, 2.0).to(p.dtype)[:, None, None] * p[:, None]
        return pairs.flatten(0, 1).T @ received, bias
    single = torch.bmm(places, received.transpose(1, 2))  # (trial, channel, input and offset)
    return p @ single.square_().flatten(1), bias


def _of_any(
    judgement: Judgement,
    values: Mapping[str, Tensor],
    covered: list[str],
    stimuli: Tensor,
    answers: Tensor,
    context: int | None = None,
) -> dict[str, Tensor]:
    """Sum over trials, each differentiated by itself, as many at once as there is room for."""
    fixed = {name: value.detach() for name, value in values.items() if name not in covered}
    free = {name: values[name].detach() for name in covered}
    chosen = torch.nonzero(answers).flatten()

    def of_one(synapses: dict[str, Tensor], stimulus: Tensor) -> dict[str, Tensor]:
        def said(changed: dict[str, Tensor]) -> Tensor:
            return functional_call(judgement, {**fixed, **changed}, (stimulus[None], answers, context))[0, chosen]

        return judgement.of_one(said, synapses)

    held = judgement.gradients(len(chosen)) * sum(v.numel() for v in free.values())
    total = {name: torch.zeros_like(value) for name, value in free.items()}
    for part in stimuli.split(max(1, FLOATS_AT_ONCE // held)):
        for name, value in vmap(of_one, in_dims=(None, 0))(free, part).items():
            total[name] += value.sum(0)
    return total
