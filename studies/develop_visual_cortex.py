"""What do early visual areas learn before their critical period closes?

Question
    Early areas develop on the photographs of CIFAR-10, with a temporary readout on top. Then they are asked about
    photographs of classes that they never met: CIFAR-100. Two numbers are compared with those of the areas that the
    paper used. How well a linear discriminant names the photographs from the activity of the highest early area: 44.5 %
    on test photographs. And how large that activity is, the variance per unit on training photographs: 0.125; feedback
    has to re-create it, so it weighs reconstruction against classification in all that follows.
Expected
    Seen with seed 0: share named rightly of 2,000 of CIFAR-10's test photographs, discriminant on held-out photographs
    (the paper's areas, asked in the same way: 43.1 %), variance. ``weights``: 80.1 %, 43.3 %, 0.146; ``closing``:
    82.4 %, 42.9 %, 0.542; ``renewed``: 81.5 %, 44.4 %, 0.107; ``script``: 78.3 %, 39.2 %, 0.624. The areas of
    ``renewed`` come with replaysim; they reach 44.5 % on test photographs, as the paper's do (chance: 1 %).
    ``data/README.md`` has all numbers.
Run time
    The default recipe, 120 epochs of 50,000 photographs, takes an hour and three quarters on one core.
Hardware
    Any. ``OMP_NUM_THREADS`` sets the number of cores; the result is the same to the last bit only for the same number.

Recipe ``weights`` is how the paper's areas seem to have developed, judged by their synapses; ``script`` is what the
published script does. They differ in batch, rate and initial gains. The others are variants of ``weights``: ``closing``
(plasticity fades), ``restless`` (twice the rate), and ``renewed``, in which the readout is forgotten after 100 epochs,
so that the areas have to be of use to another one.

5,000 of CIFAR-100's training photographs are held out from the discriminant and tell its accuracy. Its test photographs
are looked at with ``--test`` only: choose with the first figure, report the second. After every epoch a checkpoint is
written; the same command goes on from there. The folder gets ``early_areas.safetensors``, which
``replaysim.early_areas.load_early_areas`` reads, and ``maturity.json``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from replaysim.commandline import run_study

if TYPE_CHECKING:
    from replaysim.early_areas import EarlyAreas
    from replaysim.stimuli import StimulusSet

PAPER = {"discriminant_test": 0.445, "variance": 0.125, "variance_least": 0.017, "variance_most": 2.4}


@dataclass(frozen=True)
class Settings:
    """What do early visual areas learn before their critical period closes?"""

    recipe: Literal["weights", "script", "closing", "restless", "renewed"] = field(
        default="renewed",
        metadata={
            "help": "weights: batches of 128, rate 1e-3, gains begin uniform; script: 256, 1e-4, ones; closing: as "
            "weights, but plasticity fades; restless: as weights, at twice the rate; "
            "renewed: as weights, and 20 epochs more with another readout"
        },
    )
    epochs: int | None = field(
        default=None, metadata={"help": "how often every photograph is seen (default: that of the recipe)"}
    )
    seed: int = field(default=0, metadata={"help": "initial synapses, order of photographs and glimpses"})
    device: str = field(default="cpu", metadata={"help": "where to compute: cpu, cuda, ..."})
    out: Path | None = field(
        default=None,
        metadata={
            "help": "folder to write to and to go on from (default: runs/develop_visual_cortex/RECIPE_SEED; with "
            "--evaluate nothing is written without it)"
        },
    )
    earlier: Path | None = field(
        default=None, metadata={"help": "file of early areas that have lived through the first 100 epochs of renewed"}
    )
    evaluate: Path | None = field(
        default=None, metadata={"help": "ask the early areas of this file instead of letting some develop"}
    )
    test: bool = field(default=False, metadata={"help": "also look at the test photographs of CIFAR-100"})
    quick: bool = field(
        default=False, metadata={"help": "a small part of the photographs, two epochs: see that everything works"}
    )


def part(stimuli: StimulusSet, photographs: int) -> StimulusSet:
    """About so many of the training photographs, and so many of the test photographs, the same share of every class."""
    share = photographs / len(stimuli.train)
    few = stimuli if share >= 1 else stimuli.held_out(share)
    if share >= 1:
        return few
    return replace(few, train=few.test, train_label=few.test_label, test=stimuli.test, test_label=stimuli.test_label)


def grow(settings: Settings, out: Path) -> tuple[EarlyAreas, dict[str, Any]]:
    """Let early areas develop; the areas, and what is known from the way."""
    from replaysim.development import develop
    from replaysim.maturity import recognition
    from replaysim.recipes import RECIPES
    from replaysim.stimuli import load

    recipe, stimuli = RECIPES[settings.recipe], load("cifar10")
    if settings.quick:
        stimuli = part(stimuli, 1000)
        few = min(recipe.batch, len(stimuli.train))
        recipe = replace(recipe, epochs=2, batch=few, units=(50, 50), renewed=recipe.renewed and (1,))
    if settings.epochs is not None:
        recipe = replace(recipe, epochs=settings.epochs)
    grown = develop(stimuli, recipe, settings.seed, out=out, earlier=settings.earlier, device=settings.device)
    right = recognition(grown.areas, grown.readout, stimuli.test, stimuli.test_label, grown.light)
    return grown.areas, {"cifar10_test": right, "cifar10_test_photographs": len(stimuli.test), **grown.about}


def ask(areas: EarlyAreas, settings: Settings) -> dict[str, Any]:
    """Accuracy of the discriminant and size of the activity on CIFAR-100."""
    from replaysim.maturity import Discriminant, evoked, unit_variance
    from replaysim.retina import LIGHT
    from replaysim.stimuli import load

    stimuli, light = load("cifar100"), LIGHT["cifar100"]
    if settings.quick:
        stimuli = part(stimuli, 1000)
    aside = stimuli.held_out(0.1)
    learned, held = (evoked(areas, images, light) for images in (aside.train, aside.test))
    found: dict[str, Any] = {
        "discriminant_held_out": Discriminant.fit(learned, aside.train_label).accuracy(held, aside.test_label),
        "held_out_photographs": len(held),
    }
    everything = evoked(areas, stimuli.train, light)
    variance = unit_variance(everything)
    found["variance"], found["second_moment"] = float(variance.mean()), float(everything.double().square().mean())
    found["variance_least"], found["variance_most"] = float(variance.min()), float(variance.max())
    if settings.test:
        discriminant = Discriminant.fit(everything, stimuli.train_label)
        tested = evoked(areas, stimuli.test, light)
        found["discriminant_test"] = discriminant.accuracy(tested, stimuli.test_label)
        found["test_photographs"] = len(stimuli.test)
    return found


def table(found: dict[str, Any]) -> str:
    """What was found, beside the paper's areas."""
    lines = [f"{'':58s}{'here':>9s}{'paper':>9s}"]

    def add(what: str, name: str, scale: float, digits: int) -> None:
        if name in found:
            paper = f"{scale * PAPER[name]:9.{digits}f}" if name in PAPER else f"{'':9s}"
            lines.append(f"{what:58s}{scale * found[name]:9.{digits}f}{paper}".rstrip())

    add(f"named rightly, CIFAR-10 test (n = {found.get('cifar10_test_photographs')}), %", "cifar10_test", 100, 1)
    held = found["held_out_photographs"]
    add(f"discriminant, CIFAR-100 training, held out (n = {held}), %", "discriminant_held_out", 100, 1)
    add(f"discriminant, CIFAR-100 test (n = {found.get('test_photographs')}), %", "discriminant_test", 100, 1)
    add("variance per unit on CIFAR-100 training photographs, mean", "variance", 1, 3)
    add("  least", "variance_least", 1, 3)
    add("  most", "variance_most", 1, 3)
    return "\n".join(lines)


def main(settings: Settings) -> None:
    """Let early areas develop, or read some, and ask them."""
    from analysis.origins import BEGINNING, origin_line
    from replaysim.early_areas import load_early_areas, which_areas
    from replaysim.errors import SettingError
    from replaysim.preparation import check_device
    from replaysim.provenance import here_and_now

    if settings.evaluate is not None and settings.epochs is not None:
        raise SettingError("develop_visual_cortex", "epochs", settings.epochs, "left out where --evaluate is given")
    settings = replace(settings, device=check_device(settings.device))
    name = f"{settings.recipe}_{settings.seed}" + ("_quick" if settings.quick else "")
    out = settings.out if settings.out is not None else Path("runs/develop_visual_cortex") / name
    if settings.evaluate is None:
        areas, found = grow(settings, out)
    else:
        areas, found = load_early_areas(settings.evaluate)
        found.pop("history", None)
        areas.to(settings.device)
    found |= ask(areas, settings)
    print(table(found))
    if settings.evaluate is None or settings.out is not None:
        file = settings.evaluate or out / "early_areas.safetensors"
        made = origin_line(here_and_now(settings.device)).removeprefix(BEGINNING)
        found |= {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "areas": which_areas(file)}
        found["made"] = made.partition(": ")[2]
        out.mkdir(parents=True, exist_ok=True)
        (out / "maturity.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"\nEarly areas:  {file}\nAll numbers:  {out / 'maturity.json'}")


if __name__ == "__main__":
    run_study(main, Settings)
