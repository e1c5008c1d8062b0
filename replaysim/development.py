r"""Development: early areas learn to see while their critical period is open; then it closes.

The early areas climb to a temporary readout that learns to name photographs (CIFAR-10). What matters is what this
leaves in the early areas; the readout is forgotten. Every glimpse of a photograph is another: gaze jitters by a few
pixels and half of the scenes are seen mirrored.

Source: van de Ven, Siegelmann & Tolias (2020), Nature Communications 11:4069, Methods, "Pre-training"; the published
code and the published weights disagree on the settings, see :data:`replaysim.recipes.RECIPES`.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from . import rng, tensor_files
from .arithmetic import exact_arithmetic, seeded
from .development_state import DevelopmentState, TemporaryReadout, adam
from .early_areas import EarlyAreas
from .errors import DataError, SettingError, check_number
from .glimpses import Glimpses, draw_glimpses, glimpse
from .recipes import RECIPES, Recipe
from .retina import LIGHT, Light, adapt
from .stimuli import StimulusSet


class Development(DevelopmentState):
    """Early areas on their way, with what is needed to go on after an interruption as if there had been none.

    Parameters
    ----------
    stimuli
        Photographs, ``uint8`` (photograph, channel, row, column); only the training part is looked at.
    recipe
        How to learn.
    seed
        The animal: initial synapses, order of photographs and glimpses come from its own named streams.
    light
        What the retina is adapted to.
    device
        Where to compute.

    Attributes
    ----------
    areas, readout
        What develops.
    history
        For every epoch that is over: ``epoch`` (from 1), ``loss`` (nats), ``accuracy`` and ``seconds``.
    """

    def __init__(
        self,
        stimuli: StimulusSet,
        recipe: Recipe,
        seed: int = 0,
        *,
        light: Light = LIGHT["cifar10"],
        device: str | torch.device = "cpu",
    ) -> None:
        check_number("Development", "seed", seed, least=0, whole=True)
        images = stimuli.train
        if images.dtype != np.uint8 or images.ndim != 4:
            raise DataError(
                f"{stimuli.name}: training stimuli are {images.dtype} of shape {images.shape}, early areas develop on "
                "uint8 images (photograph, channel, row, column)"
            )
        if len(images) < recipe.batch:
            raise SettingError("Recipe", "batch", recipe.batch, f"at most {len(images)}, the photographs there are")
        if recipe.jitter > min(images.shape[2:]):
            raise SettingError("Recipe", "jitter", recipe.jitter, f"at most the size of a photograph, {images.shape}")
        self.recipe, self.seed, self.light = recipe, int(seed), light
        self.device = torch.device(device)
        self.photographs = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 2, 3, 1))).to(self.device)
        self.label = torch.from_numpy(stimuli.train_label).to(self.device)
        self.world = {"name": stimuli.name, "photographs": len(images), "sha256": _fingerprint(stimuli)}
        with seeded(rng.stream_seed(self.seed, "development/synapses")):
            self.areas = EarlyAreas(image=images.shape[1:], gain=recipe.gain)
            self.readout = TemporaryReadout(self.areas.sizes[self.areas.top], recipe.units, stimuli.n_classes)
        # the channel last in memory: convolutions of many channels are faster that way
        self.areas.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.readout.to(self.device)
        self.answers = stimuli.n_classes
        self.optimiser = adam(self.areas, self.readout, recipe.rate)
        self.history: list[dict[str, float]] = []

    def epoch(self, watch: Callable[[int], object] = lambda n: None) -> dict[str, float]:
        """Live through one epoch; ``watch`` gets the number of glimpses of every weight update."""
        began = time.perf_counter()
        if len(self.history) in self.recipe.renewed:
            self.forget_readout()
        self.areas.train()
        self.readout.train()
        drawn = draw_glimpses(self.seed, len(self.history), len(self.label), self.recipe.jitter, self.recipe.mirrored)
        seen = Glimpses(*(part.to(self.device) for part in drawn))
        batch = self.recipe.batch
        updates = len(self.label) // batch
        before, of = len(self.history) * updates, self.recipe.epochs * updates
        total = torch.zeros(2, dtype=torch.float64, device=self.device)
        for update, first in enumerate(range(0, updates * batch, batch)):
            self.optimiser.param_groups[0]["lr"] = self.recipe.rate_after(before + update, of)
            now = Glimpses(*(part[first : first + batch] for part in seen))
            image = adapt(glimpse(self.photographs, now), self.light)
            total += learn(self.areas, self.readout, self.optimiser, image, self.label[now.photograph])
            watch(batch)
        loss, right = (total / updates).tolist()
        if not math.isfinite(loss):
            raise SettingError("Recipe", "rate", self.recipe.rate, "smaller: synapses grew beyond all bounds")
        done = {"epoch": len(self.history) + 1, "loss": loss, "accuracy": right, "seconds": time.perf_counter() - began}
        self.history.append(done)
        return done

    def grow_up(self, folder: str | os.PathLike[str] | None = None, progress: bool = True) -> None:
        """Live through the epochs that remain, with a checkpoint after each; then the critical period closes."""
        from tqdm import tqdm

        glimpses = len(self.label) // self.recipe.batch * self.recipe.batch
        total, lived = self.recipe.epochs * glimpses, len(self.history) * glimpses
        bar = tqdm(
            total=total,
            initial=lived,
            desc="development",
            unit="glimpse",
            unit_scale=True,
            disable=not progress,
            mininterval=1.0,
            dynamic_ncols=True,
        )
        with bar, exact_arithmetic():
            while len(self.history) < self.recipe.epochs:
                done = self.epoch(bar.update)
                bar.set_postfix(epoch=done["epoch"], loss=f"{done['loss']:.3f}", accuracy=f"{done['accuracy']:.3f}")
                if folder is not None:
                    self.save(folder)
        if folder is not None:
            self.save(folder)
        self.areas.critical_period = "closed"


def learn(
    areas: EarlyAreas, readout: nn.Module, optimiser: torch.optim.Optimizer, image: Tensor, label: Tensor
) -> Tensor:
    r"""One weight update on the mean cross-entropy :math:`-\log p(y \mid x)`.

    Parameters
    ----------
    image
        What the retina sends, (trial, channel, row, column).
    label
        Right answers, (trial,).

    Returns
    -------
    Tensor
        Loss in nats and share of right answers, (2,), before the update; on the device.
    """
    logits = readout(areas(image)[areas.top])
    loss = functional.cross_entropy(logits, label)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    with torch.no_grad():
        return torch.stack([loss.double(), (logits.argmax(1) == label).double().mean()])


def develop(
    stimuli: StimulusSet,
    recipe: Recipe | None = None,
    seed: int = 0,
    *,
    out: str | os.PathLike[str] | None = None,
    earlier: str | os.PathLike[str] | None = None,
    light: Light = LIGHT["cifar10"],
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> Development:
    """Let early areas develop, from birth or from where they were interrupted, until their critical period closes.

    The same seed gives the same early areas to the last bit on the same machine with the same number of threads,
    however often it was interrupted.

    Parameters
    ----------
    stimuli, recipe, seed, light, device
        See :class:`Development`; ``recipe`` defaults to ``RECIPES["weights"]``.
    out
        Folder that gets ``checkpoint.safetensors`` and ``early_areas.safetensors`` after every epoch. What lies there
        already is gone on with.
    earlier
        File of early areas that have lived through the first epochs, see :meth:`Development.take_up`; used where
        ``out`` holds none.
    progress
        Show a progress bar.

    Returns
    -------
    Development
        With ``areas`` (their critical period closed), ``readout`` and ``history``.

    Raises
    ------
    SettingError
        If the recipe does not suit the stimuli, or the folder holds more epochs than asked for.
    LogError, DataError
        If the folder cannot be written, if its checkpoint is damaged or was made otherwise, or if it holds early areas
        of another development, or without their checkpoint: nothing is computed then.
    """
    recipe = RECIPES["weights"] if recipe is None else recipe
    growing = Development(stimuli, recipe, seed, light=light, device=device)
    if out is not None:
        tensor_files.check_folder(out)
        growing.resume(out)
        if len(growing.history) > recipe.epochs:
            raise SettingError("Recipe", "epochs", recipe.epochs, f"at least {len(growing.history)}, which {out} holds")
        growing.check_place(out)
    if earlier is not None and not growing.history:
        growing.take_up(earlier)
    growing.grow_up(out, progress)
    return growing


def _fingerprint(stimuli: StimulusSet) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(stimuli.train).data)
    digest.update(stimuli.train_label.tobytes())
    return digest.hexdigest()
