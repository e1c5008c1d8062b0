"""Quality of replay: precise, diverse, and expected; every measure of a study of it, and its table.

Source: van de Ven, Siegelmann & Tolias (2020), Nature Communications 11:4069, Figure 9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from replaysim.errors import DataError

from . import fidelity, replay_fidelity
from .comparison import summarise
from .terminal import plus_minus, reach

SHOWN = {
    "improved_precision": ("precision", "k-NN"),
    "improved_recall": ("recall", "k-NN"),
    "density": ("density", "k-NN"),
    "coverage": ("coverage", "k-NN"),
    "f_eighth": ("F 1/8", "PRD"),
    "f8": ("F 8", "PRD"),
    "within": ("variance", "in a class"),
    "frechet": ("Frechet", "distance"),
    "inception": ("inception", "score"),
}
SHOWN_OF_ALL = {
    "paper_f_eighth": ("F 1/8", "PRD, all"),
    "paper_f8": ("F 8", "PRD, all"),
    "paper_frechet": ("Frechet", "all"),
}
EXPECTED = {"log_likelihood": ("log-", "likelihood"), "reconstruction_error": ("error of", "reconstr.")}
PAPER = ("precision", "recall", "f_eighth", "f8")  # and the Frechet distance, of all stimuli and as many memories


class Seen(NamedTuple):
    """Stimuli or memories as an independent network sees them."""

    activity: xr.DataArray
    """(stimulus or event, unit), with their ``original_class``."""
    decisions: xr.DataArray
    """Probability of every class, (stimulus or event, class)."""


def judge(real: Seen, replayed: Sequence[Seen], *, paper: bool = False, asked: bool = True) -> xr.Dataset:
    """Every measure (animal), with real against real beside it.

    Parameters
    ----------
    real
        All stimuli.
    replayed
        Memories, one entry an animal.
    paper
        Also, as ``paper_...``, the paper's measures of all real stimuli and as many memories.
    asked
        Whether the animals can be asked for a class: without memory modes and gates the class of a memory means
        nothing, and the variance ``within`` a class is NaN.
    """
    together: Any = {"dim": "animal", "coords": "minimal", "compat": "override", "join": "exact"}
    there = real.activity
    recalled = xr.concat([one.activity for one in replayed], **together, combine_attrs="drop")
    classes = xr.concat([one.activity["original_class"] for one in replayed], **together)
    found = fidelity.fidelity(there, recalled)
    within = replay_fidelity.fidelity_by_class(there, recalled, there["original_class"], classes, measures=["scale"])
    found["within"] = within["trace_ratio"].mean("original_class").where(asked)
    found["reference_within"] = within["reference_trace_ratio"].mean("original_class")
    of_real = fidelity.inception(real.decisions, sample_dim="stimulus")
    decided = xr.concat([one.decisions for one in replayed], **together, combine_attrs="drop")
    found["inception"] = fidelity.inception(decided, sample_dim="event")
    found["reference_inception"] = of_real.broadcast_like(found["inception"])
    if paper:
        whole = fidelity.prd(there, recalled)
        for name in PAPER:
            found[f"paper_{name}"] = whole[name]
        found["paper_frechet"] = fidelity.frechet(there, recalled)
    return found


def read_measures(path: Path) -> xr.Dataset:
    """Measures that are kept in a file.

    Raises
    ------
    DataError
        If it is damaged, or something else.
    """
    try:
        return xr.load_dataset(path)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise DataError(f"{path}: cannot be read; remove it, and the arm is judged again ({error})") from error


def together(parts: Sequence[xr.Dataset], animals: Sequence[int]) -> xr.Dataset:
    """Measures of several portions, in the order of the animals."""
    whole = xr.concat(
        parts,
        "animal",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="exact",
        combine_attrs="drop_conflicts",
    )
    return whole.sel(animal=[animal for animal in animals if animal in whole["animal"]])


def table(found: Mapping[str, xr.Dataset]) -> str:
    """Mean and standard error over animals of every measure and arm; real against real in the last line."""
    first = next(iter(found.values()))
    whole = {name: words for name, words in SHOWN_OF_ALL.items() if name in first}
    expected = {name: words for name, words in EXPECTED.items() if name in first}
    columns = SHOWN | whole | expected

    def line(name: str, values: xr.Dataset, prefix: str = "") -> str:
        cells = []
        for measure in columns:
            if prefix + measure not in values:
                cells.append(" " * 16)
                continue
            one = summarise(values[prefix + measure])
            digits = 4 if measure == "reconstruction_error" else 2
            mean, error = float(one["mean"]), float(one["standard_error"])
            cells.append(f"{mean:8.{digits}f}" if prefix else plus_minus(mean, error, digits=digits, width=8))
            cells[-1] = f"{cells[-1]:16s}"
        return (f"{name:14s}" + "".join(cells)).rstrip()

    head = [(f"{'':14s}" + "".join(f"{names[i]:>12s}    " for names in columns.values())).rstrip() for i in (0, 1)]
    n, animals = first.attrs["n_generated"], reach(one.sizes["animal"] for one in found.values())
    rule = "-" * len(head[0].rstrip())
    lines = [*head, rule, *(line(name, values) for name, values in found.items()), rule]
    what = [
        f"association_2 of an independent network. Last line: {n} other real stimuli against the same ones; the",
        "inception score takes all. whole: memory modes, gates by class and soft targets; plain: none of them.",
    ]
    if whole:
        what[1] = (
            "inception score takes all. intact: all ingredients; classic: none; + only this one; − all but this one."
        )
        what.append(f"all: the paper's measures, of {first.attrs['real_available']} real stimuli and as many memories")
    if expected:
        what.append(
            f"log-likelihood: of {first.attrs['stimuli_asked']} real test stimuli at the re-entry area, by importance "
            f"sampling of {first.attrs['samples']} codes,"
        )
        what.append(
            "in nats, without constants; error of their reconstruction, half the square, mean over units of that area"
        )
    return "\n".join(
        [
            *lines,
            line("real stimuli", first, "reference_"),
            f"mean ± standard error over {animals} animals; {n} replayed against {n} real stimuli, in the activity of",
            *what,
            "k-NN: nearest neighbours; PRD: histograms over clusters, F 1/8 weighs precision, F 8 recall;",
            "variance in a class: replayed over real; – where there is neither a mode nor a gate to ask for one",
        ]
    )
