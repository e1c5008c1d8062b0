r"""What learning tries to make small: pure functions, one value per trial.

Every function takes tensors whose first axis is the trial and returns one value per trial, unweighted. ``answers``
marks the readout units that compete (the *active classes*); it is a boolean tensor that broadcasts against the
logits. Units that do not compete are set to a large negative finite number: minus infinity would turn into NaN where
a soft target is 0.

Source: van de Ven, Siegelmann & Tolias (2020), Nature Communications 11:4069, Methods.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

SILENT = -1e9  # logit of a readout unit that does not compete: its probability is exactly 0 in float32 and float64


def competing(logits: Tensor, answers: Tensor) -> Tensor:
    """Logits with the units that do not compete silenced; shapes (trial, answer) and broadcastable."""
    return torch.where(answers, logits, SILENT)


def one_hot(label: Tensor, n: int, dtype: torch.dtype) -> Tensor:
    """Labels (trial,) as rows (trial, n) of zeros with a single one."""
    return (label[..., None] == torch.arange(n, device=label.device)).to(dtype)


def classification(logits: Tensor, target: Tensor, answers: Tensor) -> Tensor:
    r"""Cross-entropy of the decision, in nats: :math:`-\log p(y)` with the softmax over the competing units.

    Parameters
    ----------
    logits
        Activity of the readout, (trial, answer).
    target
        Index of the right readout unit, (trial,).
    answers
        Which units compete, boolean, broadcastable to the logits.
    """
    log_p = torch.log_softmax(competing(logits, answers), dim=-1)
    return -(one_hot(target, logits.shape[-1], logits.dtype) * log_p).sum(-1)


def belief(logits: Tensor, answers: Tensor, temperature: float) -> Tensor:
    r"""Soft targets :math:`\mathrm{softmax}(\ell / \tau)` over the competing units, 0 elsewhere; (trial, answer)."""
    return torch.softmax(competing(logits / temperature, answers), dim=-1)


def distillation(
    logits: Tensor, soft_target: Tensor, answers: Tensor, temperature: float, weight: float | None = None
) -> Tensor:
    r"""Mismatch with soft targets, in nats: :math:`-w \sum_c \tilde p_c \log \mathrm{softmax}(\ell/\tau)_c`.

    By default :math:`w = \tau^2`, which keeps the size of the gradient independent of the temperature. The student's
    softmax runs over all competing units, also those that the soft targets leave at 0: on replayed activity the
    newest classes are pushed down.
    """
    log_p = torch.log_softmax(competing(logits / temperature, answers), dim=-1)
    return -(temperature**2 if weight is None else weight) * (soft_target * log_p).sum(-1)


class _Bernoulli(torch.autograd.Function):
    """Binary cross-entropy with its gradient written out, for any number of leading axes; differentiable once.

    One sigmoid serves both the loss and the gradient. ``softplus`` takes ten times as long on a CPU, because of
    ``log1p``.
    """

    @staticmethod
    def forward(drive: Tensor, original: Tensor) -> tuple[Tensor, Tensor]:
        """Loss, and the activity that the drive evokes."""
        activity = torch.sigmoid(drive)
        likelier = (activity - 0.5).abs_().add_(0.5)  # of on and off, at least 1/2: its logarithm never overflows
        loss = drive.relu().addcmul_(original, drive, value=-1).sub_(likelier.log_()).mean(-1)
        return loss, activity

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
        """Keep what the gradient needs."""
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(output[1], inputs[1])

    @staticmethod
    def backward(ctx: Any, slope: Tensor, _: Tensor) -> tuple[Tensor, None]:
        """Gradient of the drive alone."""
        activity, original = ctx.saved_tensors
        return (activity - original).mul_(slope[..., None] / original.shape[-1]), None

    @staticmethod
    def vmap(_info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor) -> tuple[Any, tuple[int, int]]:
        """Animals are one more leading axis."""
        drive, original = (x if d is None else x.movedim(d, 0) for x, d in zip(inputs, in_dims, strict=True))
        return _Bernoulli.apply(*torch.broadcast_tensors(drive, original)), (0, 0)


def reconstruction_bernoulli(drive: Tensor, original: Tensor) -> Tensor:
    r"""Binary cross-entropy between re-created and original activity in [0, 1], mean over units.

    Parameters
    ----------
    drive
        Input to the sigmoid of the re-entry area, (trial, unit). Written with the drive :math:`a` the loss is
        :math:`\log(1 + e^a) - x a`, computed as :math:`\max(0, a) - \log\max(\sigma(a), 1 - \sigma(a)) - x a`, which
        cannot overflow.
    original
        Activity to re-create, (trial, unit), values in [0, 1]. It is given: no gradient flows to it.
    """
    return _Bernoulli.apply(drive, original)[0]


def reconstruction_gaussian(drive: Tensor, original: Tensor) -> Tensor:
    r"""Half the squared difference between re-created and original activity, mean over units."""
    return 0.5 * (drive - original).square().mean(-1)


def gaussian_log_density(code: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""Log-density of a diagonal Gaussian over the last axis, in nats, without :math:`-\frac12\log 2\pi` per dimension.

    The constant cancels in :func:`sampled_code_divergence`, the only place that uses densities.
    """
    return -0.5 * (log_variance + (code - mean).square() * torch.exp(-log_variance)).sum(-1)


def gaussian_log_densities(code: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""The same, (trial, mode), of every code (trial, code_unit) under each of several Gaussians (mode, code_unit).

    The square is multiplied out, so that two products of matrices replace arrays of (trial, mode, code_unit). In
    float32 it errs as little as the direct way on the codes of trained brains (2e-4 nats of 1,800).
    """
    precision = torch.exp(-log_variance)
    constant = (log_variance + mean.square() * precision).sum(-1)
    return code @ (mean * precision).mT - 0.5 * (code.square() @ precision.mT + constant)


def code_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""Divergence of a code's distribution from one standard memory mode, in nats, closed form.

    .. math:: D = -\tfrac12 \sum_j (1 + v_j - \mu_j^2 - e^{v_j})
    """
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(-1)


def sampled_code_divergence(code: Tensor, mean: Tensor, log_variance: Tensor, log_prior: Tensor) -> Tensor:
    r"""One-sample estimate :math:`\log q(z|x) - \log p(z)` in nats, with the very code that is sent down."""
    return gaussian_log_density(code, mean, log_variance) - log_prior


def log_mixture(log_density: Tensor, weight: Tensor) -> Tensor:
    r"""Log-density of a mixture, :math:`\log \sum_m w_m e^{a_m}`, over the last axis.

    Modes of weight 0 have no part in it.

    The exact weighted log-sum-exp: the published code shifts by the largest density of *all* modes and bounds the sum
    below by 1e-40, which can pass gradient to a mode of weight 0.
    """
    return torch.logsumexp(log_density + torch.log(weight), dim=-1)
