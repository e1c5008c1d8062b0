r"""Likelihood: how well one trained brain expects, and can re-create, the activity that real stimuli evoke.

Source: van de Ven, Siegelmann & Tolias (2020), Methods: importance-sampled log-likelihood of test stimuli (there 100
samples each) and error of reconstruction from the mean of the code.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .brain import Brain
from .errors import DataError, SettingError, check_choice
from .objectives import gaussian_log_density, one_hot


@torch.no_grad()
def log_likelihood(
    brain: Brain, activity: Tensor, classes: Tensor, noise: Tensor, *, contexts: Tensor | None = None
) -> Tensor:
    r"""Log-likelihood of activity at the re-entry area, by importance sampling of codes.

    .. math::
        \log \frac1S \sum_s \exp\Bigl[-\tfrac12 |x - \hat x_s|^2 + \log p(z_s|y) - \log q(z_s|x)\Bigr]

    with codes :math:`z_s` drawn from the code of :math:`x`, re-created through the gates of the true class. The
    likelihood of a unit is Gaussian with variance 1; constants of 2 pi are left out everywhere.

    Parameters
    ----------
    brain
        One trained animal.
    activity
        At the re-entry area, (trial, unit).
    classes
        True class of each trial, as position in the animal's order, (trial,).
    noise
        Standard normal, (trial, sample, code_unit).
    contexts
        True context from 0, (trial,); needed where gates go by context.

    Returns
    -------
    Tensor
        (trial,), in nats.

    Raises
    ------
    SettingError
        If the brain has no hippocampus, or contexts are missing.
    DataError
        If noise and activity do not fit, or the brain has no such class or context.
    """
    if brain.hippocampus is None:
        raise SettingError("log_likelihood", "brain", "a plain classifier", "a brain with a hippocampus")
    if noise.dim() != 3 or noise.shape[0] != activity.shape[0] or noise.shape[2] != brain.hippocampus.code_units:
        raise DataError(
            f"log_likelihood: noise has shape {tuple(noise.shape)}, must be ({activity.shape[0]}, sample, "
            f"{brain.hippocampus.code_units}): (trial, sample, code_unit)"
        )
    _check_asked("log_likelihood", brain, len(activity), classes, contexts)
    samples = noise.shape[1]
    mean, log_variance = (part[:, None] for part in _code(brain, activity))
    code = mean + torch.exp(0.5 * log_variance) * noise
    flat = code.flatten(0, 1)
    known = classes.repeat_interleave(samples)
    where = None if contexts is None else contexts.repeat_interleave(samples)
    recreated = brain.recreate(flat, _gate_weight(brain, known, where, flat.dtype)).unflatten(0, (-1, samples))
    fit = -0.5 * (activity.flatten(1)[:, None] - recreated).square().sum(-1)
    if brain.modes is None:
        prior = -0.5 * code.square().sum(-1)
    else:
        choice = one_hot(known, brain.modes.n_classes, flat.dtype)
        prior = brain.modes.log_density_of_class(flat, choice).unflatten(0, (-1, samples))
    weighed = fit + prior - gaussian_log_density(code, mean, log_variance)
    return torch.logsumexp(weighed, dim=1) - math.log(samples)


@torch.no_grad()
def reconstruction_error(
    brain: Brain, activity: Tensor, classes: Tensor, *, contexts: Tensor | None = None, over: str = "mean"
) -> Tensor:
    r"""Half the squared difference between activity and what is re-created from the mean of its code.

    Parameters
    ----------
    brain, activity, classes, contexts
        As for :func:`log_likelihood`.
    over
        ``"mean"`` or ``"sum"`` over units.

    Returns
    -------
    Tensor
        (trial,)
    """
    check_choice("reconstruction_error", "over", over, ("mean", "sum"))
    if brain.hippocampus is None:
        raise SettingError("reconstruction_error", "brain", "a plain classifier", "a brain with a hippocampus")
    _check_asked("reconstruction_error", brain, len(activity), classes, contexts)
    mean, _log_variance = _code(brain, activity)
    recreated = brain.recreate(mean, _gate_weight(brain, classes, contexts, mean.dtype))
    error = 0.5 * (activity.flatten(1) - recreated).square()
    return error.mean(-1) if over == "mean" else error.sum(-1)


def _check_asked(owner: str, brain: Brain, trials: int, classes: Tensor, contexts: Tensor | None) -> None:
    """Raise :class:`DataError` unless there is a mode or a gate for every trial, where they are asked for."""
    by = None if brain.gates is None or brain.plan.gating is None else brain.plan.gating.by
    asked = {
        "classes": (classes, brain.plan.classes, brain.modes is not None or by == "class"),
        "contexts": (contexts, brain.plan.contexts, by == "context"),
    }
    for name, (given, n, matters) in asked.items():
        if given is None or not matters:
            continue
        if tuple(given.shape) != (trials,) or given.is_floating_point():
            got = f"{given.dtype} of shape {tuple(given.shape)}"
            raise DataError(f"{owner}: {name} are {got}, must be whole numbers, one for each of {trials} trials")
        if trials and not 0 <= int(given.min()) <= int(given.max()) < n:
            reach = f"reach from {int(given.min())} to {int(given.max())}"
            raise DataError(f"{owner}: {name} {reach}, must be positions from 0 to {n - 1}: this brain has {n} {name}")


def _code(brain: Brain, activity: Tensor) -> tuple[Tensor, Tensor]:
    assert brain.hippocampus is not None
    read = brain.re_experience(activity)[brain.top] if brain.hippocampus.reads_top else activity
    mean, log_variance = brain.encode(read)
    return mean, log_variance


def _gate_weight(brain: Brain, classes: Tensor, contexts: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    gating = brain.plan.gating
    if brain.gates is None or gating is None:
        return None
    if gating.by == "context" and contexts is None:
        raise SettingError("likelihood", "contexts", None, "given: the gates of this brain go by context (from 0)")
    chosen = classes if contexts is None or gating.by == "class" else contexts
    return one_hot(chosen, brain.plan.n_gates, dtype)
