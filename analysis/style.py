"""One style for every figure: sizes, fonts, fixed colour-blind safe colours (Okabe & Ito), and how it is saved."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from replaysim.errors import LogError

MM = 1 / 25.4
STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "replaysim",
    "figure.dpi": 100,
}
COLOURS = {
    "nothing": "#666666",
    "synaptic": "#E69F00",
    "systems": "#0072B2",
    "whole": "#0072B2",
    "both": "#009E73",
    "joint": "#000000",
    "classifier": "#AAAAAA",
}
DASHED = {"joint": (4, 1.5), "classifier": (1.5, 1.5)}
SPARE = ("#CC79A7", "#56B4E9", "#D55E00", "#332288", "#999933", "#882255", "#44AA99", "#F0E442")
INGREDIENTS = dict(
    zip(("feedback", "modes", "gating", "distillation", "internal"), (*SPARE[:4], SPARE[6]), strict=True)
)
"""Ingredients of brain-inspired replay: one colour each, added (``+ modes``) or left out (``− modes``)."""
COLOURS |= {f"{sign} {name}": ink for sign in "+−" for name, ink in INGREDIENTS.items()}
COLOURS |= {"classic": SPARE[4], "intact": COLOURS["systems"], "brain-inspired": COLOURS["systems"]}
DODGE = 0.05  # contexts between the curves of two conditions, so that equal ones do not hide each other
FEW = 12  # contexts that get a tick and a marker each
MARKERS = {"nothing": "o", "synaptic": "s", "systems": "^", "both": "D", "joint": "_", "classifier": "x"}


def colour(condition: str, position: int = 0) -> str:
    """Fixed colour of a known condition; others take spare ones by position."""
    return COLOURS.get(condition, SPARE[position % len(SPARE)])


def panel(ax: Axes | None, width: float = 88, height: float = 62) -> Axes:
    """The given axes, or those of a new figure of this size in mm."""
    return Figure(figsize=(width * MM, height * MM), layout="constrained").add_subplot() if ax is None else ax


def with_legend(ax: Axes, given: Axes | None) -> Axes:
    """The axes; where they are those of a figure of their own, with a legend beside them that hides nothing."""
    if given is None:
        ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def panels(n: int, width: float = 62, height: float = 55, columns: int = 3) -> tuple[Figure, list[Axes]]:
    """A figure with ``n`` panels of this size in mm, a few in a row."""
    columns = min(columns, n)
    rows = -(-n // columns)
    figure = Figure(figsize=(width * columns * MM, height * rows * MM), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for ax in axes[n:]:
        ax.set_axis_off()
    return figure, axes[:n]


def sequence(n: int) -> Sequence[str]:
    """Colours of contexts, classes or snapshots in their order, from dark to light."""
    return [to_hex(c) for c in mpl.colormaps["viridis"](np.linspace(0, 0.92, max(n, 1)))]


def save(figure: Figure, stem: str | Path, *, kinds: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Write a figure as PNG (200 dpi) and SVG beside each other; returns the files."""
    stem = Path(stem)
    written = []
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        for kind in kinds:
            path = stem.with_name(f"{stem.name}.{kind}")
            temporary = path.with_name(path.name + ".tmp")
            with mpl.rc_context(STYLE):
                figure.savefig(temporary, format=kind, dpi=200, metadata={"Date": None} if kind == "svg" else None)
            os.replace(temporary, path)
            written.append(path)
    except OSError as error:
        raise LogError(f"cannot write the figure {stem}: {error}") from error
    return written


def wrapped(text: str, figure: Figure, size: float = 8) -> str:
    """A text in as many lines as a figure is wide for, at so many points."""
    return textwrap.fill(text, round(figure.get_figwidth() * 72 / (0.506 * size)))  # points; of a character, on average
