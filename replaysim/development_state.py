"""Where early areas are in their development: what a checkpoint keeps, and from which files one can go on."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import rng, tensor_files
from .arithmetic import seeded
from .early_areas import KIND as GROWN_KIND
from .early_areas import EarlyAreas, load_early_areas, save_early_areas
from .errors import LogError, SettingError
from .optimiser_state import moments
from .recipes import Recipe
from .retina import Light

KIND, FORMAT = "development", 1
CHECKPOINT, GROWN = "checkpoint.safetensors", "early_areas.safetensors"
_DONE = ("epoch", "loss", "accuracy", "seconds")


class TemporaryReadout(nn.Sequential):
    """Two association areas and a readout on top of the early areas, all of them dense; trial activity to logits."""

    def __init__(self, inputs: int, units: tuple[int, int], answers: int) -> None:
        first, second = units
        super().__init__(
            *(nn.Flatten(), nn.Linear(inputs, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU()),
            nn.Linear(second, answers),
        )


class DevelopmentState:
    """What changes while early areas develop, and what made it; see :class:`replaysim.development.Development`."""

    recipe: Recipe
    seed: int
    light: Light
    world: dict[str, Any]
    """Name, number and checksum of the photographs."""
    answers: int
    """Classes of the photographs."""
    device: torch.device
    areas: EarlyAreas
    readout: nn.Module
    optimiser: torch.optim.Adam
    history: list[dict[str, float]]

    @property
    def about(self) -> dict[str, Any]:
        """What made the early areas what they are, as plain values, lists in place of tuples."""
        light, recipe = asdict(self.light), asdict(self.recipe)
        if not self.recipe.closing:  # then the epochs that are over do not depend on how many are to come
            del recipe["epochs"]
        same = {"seed": self.seed, "recipe": recipe, "light": light, "stimuli": self.world}
        return {**json.loads(json.dumps(same)), "epochs": len(self.history)}

    def forget_readout(self) -> None:
        """Draw another readout; all moments of the optimiser begin anew."""
        with seeded(rng.stream_seed(self.seed, f"development/readout/{len(self.history)}")):
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

    def _tensors(self) -> dict[str, Tensor]:
        """Everything that changes with learning, under the names of the checkpoint; the very tensors, not copies."""
        tensors = {f"areas.{name}": value for name, value in self.areas.state_dict().items()}
        tensors |= {f"readout.{name}": value for name, value in self.readout.state_dict().items()}
        return tensors | moments(self.optimiser)

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
