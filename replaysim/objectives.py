r"""What learning tries to make small: pure functions, one value per trial.

Every function takes tensors whose first axis is the trial and returns one value per trial, unweighted. ``answers``
marks the readout units that compete (the *active classes*); it is a boolean tensor that broadcasts against the
logits. Units that do not compete are set to a large negative finite number: minus infinity would turn into NaN where
a soft target is 0.

Source: van de Ven, Siegelmann & Tolias (2020), Nature Communications 11:4069, Methods.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SILENT = -1e9  # logit of a readout unit that does not compete: its probability is exactly 0 in float32 and float64
_SOFTPLUS_LINEAR_FROM = 50.0  # beyond it log(1 + e^x) equals x to the last bit of a float64


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


def distillation(logits: Tensor, soft_target: Tensor, answers: Tensor, temperature: float) -> Tensor:
    r"""Mismatch with soft targets, in nats: :math:`-\tau^2 \sum_c \tilde p_c \log \mathrm{softmax}(\ell/\tau)_c`.

    The factor :math:`\tau^2` keeps the size of the gradient independent of the temperature. The student's softmax
    runs over all competing units, also those that the soft targets leave at 0: on replayed activity the newest
    classes are pushed down.
    """
    log_p = torch.log_softmax(competing(logits / temperature, answers), dim=-1)
    return -(temperature**2) * (soft_target * log_p).sum(-1)


def reconstruction_bernoulli(drive: Tensor, original: Tensor) -> Tensor:
    r"""Binary cross-entropy between re-created and original activity in [0, 1], mean over units.

    Parameters
    ----------
    drive
        Input to the sigmoid of the re-entry area, (trial, unit). Written with the drive :math:`a` the loss is
        :math:`\log(1 + e^a) - x a`, which cannot overflow.
    original
        Activity to re-create, (trial, unit), values in [0, 1].
    """
    return (functional.softplus(drive, threshold=_SOFTPLUS_LINEAR_FROM) - original * drive).mean(-1)


def reconstruction_gaussian(drive: Tensor, original: Tensor) -> Tensor:
    r"""Half the squared difference between re-created and original activity, mean over units."""
    return 0.5 * (drive - original).square().mean(-1)


def gaussian_log_density(code: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""Log-density of a diagonal Gaussian over the last axis, in nats, without :math:`-\frac12\log 2\pi` per dimension.

    The constant cancels in :func:`sampled_code_divergence`, the only place that uses this density.
    """
    return -0.5 * (log_variance + (code - mean).square() * torch.exp(-log_variance)).sum(-1)


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
