r"""Development: early areas learn to see while their critical period is open; then it closes.

The early areas climb to a temporary readout that learns to name photographs (CIFAR-10). What matters is what this
leaves in the early areas; the readout is forgotten. Every glimpse of a photograph is another: gaze jitters by a few
pixels and half of the scenes are seen mirrored.

Source: van de Ven, Siegelmann & Tolias (2020), Nature Communications 11:4069, Methods, "Pre-training"; the published
code and the published weights disagree on the settings, see :data:`replaysim.recipes.RECIPES`.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from . import rng, tensor_files
from .early_areas import KIND as GROWN_KIND
from .early_areas import EarlyAreas, load_early_areas, save_early_areas
from .errors import DataError, LogError, SettingError, check_number
from .glimpses import Glimpses, draw_glimpses, glimpse
from .recipes import RECIPES, Recipe
from .retina import LIGHT, Light, adapt
from .stimuli import StimulusSet

KIND, FORMAT = "development", 1
CHECKPOINT, GROWN = "checkpoint.safetensors", "early_areas.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq")
_DONE = ("epoch", "loss", "accuracy", "seconds")


class TemporaryReadout(nn.Sequential):
    """Two association areas and a readout on top of the early areas, all of them dense; trial activity to logits."""

    def __init__(self, inputs: int, units: tuple[int, int], answers: int) -> None:
        first, second = units
        super().__init__(
            *(nn.Flatten(), nn.Linear(inputs, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU()),
            nn.Linear(second, answers),
        )


class Development:
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
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(rng.stream_seed(self.seed, "development/synapses"))
            self.areas = EarlyAreas(image=images.shape[1:], gain=recipe.gain)
            self.readout = TemporaryReadout(self.areas.sizes[self.areas.top], recipe.units, stimuli.n_classes)
        # the channel last in memory: convolutions of many channels are faster that way
        self.areas.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.readout.to(self.device)
        self.answers = stimuli.n_classes
        self.optimiser = adam(self.areas, self.readout, recipe.rate)
        self.history: list[dict[str, float]] = []

    @property
    def about(self) -> dict[str, Any]:
        """What made the early areas what they are, as plain values, lists in place of tuples."""
        light, recipe = asdict(self.light), asdict(self.recipe)
        if not self.recipe.closing:  # then the epochs that are over do not depend on how many are to come
            del recipe["epochs"]
        same = {"seed": self.seed, "recipe": recipe, "light": light, "stimuli": self.world}
        return {**json.loads(json.dumps(same)), "epochs": len(self.history)}

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

    def forget_readout(self) -> None:
        """Draw another readout; all moments of the optimiser begin anew."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(rng.stream_seed(self.seed, f"development/readout/{len(self.history)}"))
            readout = TemporaryReadout(self.areas.sizes[self.areas.top], self.recipe.units, self.answers)
        self.readout = readout.to(self.device)
        self.optimiser = adam(self.areas, self.readout, self.recipe.rate)

    def take_up(self, path: str | os.PathLike[str]) -> None:
        """Go on with early areas that have lived through the first epochs of this development.

        Only they are in the file, so that the recipe must forget the readout at that moment.

        Raises
        ------
        LogError
            If they were made otherwise.
        SettingError
            If the recipe does not forget the readout then.
        """
        areas, made = load_early_areas(path)
        wanted = self.about
        free = ("epochs", "renewed", "closing")  # of the recipe: what differs only later, or was not known then
        for name in wanted.keys() - {"epochs"}:
            one, other = made.get(name), wanted[name]
            if name == "recipe" and isinstance(one, dict):
                one, other = ({k: v for k, v in part.items() if k not in free} for part in (one, other))
            if one != other:
                raise LogError(
                    f"{path} was made with {name} {one}, not {other}: it is no beginning of this development"
                )
        history = _history(Path(path), made)
        if self.recipe.closing or len(history) not in self.recipe.renewed:
            raise SettingError(
                "Recipe",
                "renewed",
                self.recipe.renewed,
                f"such that the readout is forgotten after epoch {len(history)}",
            )
        self.areas.load_state_dict(areas.state_dict())
        self.history = history

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
        with bar, torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            while len(self.history) < self.recipe.epochs:
                done = self.epoch(bar.update)
                bar.set_postfix(epoch=done["epoch"], loss=f"{done['loss']:.3f}", accuracy=f"{done['accuracy']:.3f}")
                if folder is not None:
                    self.save(folder)
        if folder is not None:
            self.save(folder)
        self.areas.critical_period = "closed"

    def _tensors(self) -> dict[str, Tensor]:
        """Everything that changes with learning, under the names of the checkpoint; the very tensors, not copies."""
        tensors = {f"areas.{name}": value for name, value in self.areas.state_dict().items()}
        tensors |= {f"readout.{name}": value for name, value in self.readout.state_dict().items()}
        for number, synapses in enumerate(self.optimiser.param_groups[0]["params"]):
            state = self.optimiser.state[synapses]
            if not state:
                state["step"] = torch.zeros((), dtype=torch.float32, device=synapses.device)
                state.update({moment: torch.zeros_like(synapses) for moment in _MOMENTS})
            tensors |= {f"adam.{number}.{name}": state[name] for name in ("step", *_MOMENTS)}
        return tensors

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write a checkpoint and the early areas as they are; see :func:`replaysim.tensor_files.write`."""
        note = {"format": FORMAT, **self.about, "history": self.history}
        tensor_files.write(Path(folder) / CHECKPOINT, KIND, self._tensors(), note)
        save_early_areas(self.areas, Path(folder) / GROWN, {**self.about, "history": self.history})

    def resume(self, folder: str | os.PathLike[str]) -> bool:
        """Go on from the checkpoint of a folder; False where there is none.

        Raises
        ------
        LogError
            If the checkpoint cannot be read, or was made with other settings, another seed or other photographs.
        DataError
            If its tensors do not fit.
        """
        path = Path(folder) / CHECKPOINT
        if not path.exists():
            return False
        found, note = tensor_files.read(path, KIND)
        wanted = {"format": FORMAT, **self.about}
        for name in wanted.keys() - {"epochs"}:
            if note.get(name) != wanted[name]:
                raise LogError(
                    f"{path} was made with {name} {note.get(name)}, not {wanted[name]}: "
                    "take another folder, or delete that file"
                )
        history = _history(path, note)
        now = self._tensors()
        tensor_files.check_fit(path, found, now)
        for name, value in now.items():
            value.detach().copy_(found[name])
        self.history = history
        return True

    def check_place(self, folder: str | os.PathLike[str]) -> None:
        """Raise :class:`LogError` where early areas of another development would be replaced."""
        grown = Path(folder) / GROWN
        if not grown.exists():
            return
        way_out = "take another folder, or move that file elsewhere"
        if not (Path(folder) / CHECKPOINT).exists():
            raise LogError(f"{grown} is there without its {CHECKPOINT}, and would be replaced: {way_out}")
        made = tensor_files.read_note(grown, GROWN_KIND).get("development")
        for name in self.about.keys() - {"epochs"}:
            there = made.get(name) if isinstance(made, dict) else None
            if there != self.about[name]:
                raise LogError(f"{grown} was made with {name} {there}, not {self.about[name]}: {way_out}")


def adam(areas: EarlyAreas, readout: nn.Module, rate: float) -> torch.optim.Adam:
    """Optimiser of everything that is plastic."""
    plastic = [p for part in (areas, readout) for p in part.parameters() if p.requires_grad]
    return torch.optim.Adam(plastic, lr=rate, fused=True)


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


def _history(path: Path, note: dict[str, Any]) -> list[dict[str, float]]:
    """What a checkpoint says about the epochs that are over."""
    found = note.get("history")
    history = found if isinstance(found, list) else []
    numbers = all(
        isinstance(done, dict) and all(type(done.get(name)) in (int, float) for name in _DONE) for done in history
    )
    if found != history or not numbers or [done["epoch"] for done in history] != list(range(1, len(history) + 1)):
        raise LogError(
            f"{path}: its note about the history of this development is damaged ({found!r:.60}): take another folder, "
            "or delete that file"
        )
    return history


def _fingerprint(stimuli: StimulusSet) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(stimuli.train).data)
    digest.update(stimuli.train_label.tobytes())
    return digest.hexdigest()
