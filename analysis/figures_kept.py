"""Figures of all methods of a protocol, drawn from kept summaries (:mod:`analysis.summaries`) where no log is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from . import figures_methods, precisions
from .csv_tables import BFLOAT16, UNKNOWN
from .origins import Row
from .published import Published

FEWEST = 3
"""Arms below which there is nothing to compare."""


def finals_and_curves(rows: Sequence[Row]) -> tuple[xr.DataArray, xr.DataArray | None]:
    """Final accuracy (animal) and accuracy over the contexts met so far (animal, contexts_learned) of one arm.

    An animal counts with the mean of its lives; without those whose losses became infinite, and who has no curve is
    missing from the second, which is None where nobody has one.
    """
    lived = [row for row in rows if row["accuracy"] != "nan"]
    curved = [row for row in lived if row["curve"] != UNKNOWN]

    def mean(some: Sequence[Row], column: str) -> dict[int, np.ndarray]:
        lives: dict[int, list[np.ndarray]] = {}
        for row in some:
            lives.setdefault(int(row["animal"]), []).append(np.array(row[column].split(" "), dtype=float))
        return {animal: np.mean(found, axis=0) for animal, found in sorted(lives.items())}

    ends, ways = mean(lived, "accuracy"), mean(curved, "curve")
    final = xr.DataArray([float(one[0]) for one in ends.values()], {"animal": list(ends)}, "animal")
    if not ways:
        return final, None
    table = np.stack(list(ways.values()))
    learned = np.arange(1, table.shape[1] + 1)
    return final, xr.DataArray(
        table, {"animal": list(ways), "contexts_learned": learned}, ("animal", "contexts_learned")
    )


def methods(
    arms: Mapping[str, Sequence[Row]],
    *,
    chance: float,
    scenario: str,
    title: str,
    published: Mapping[str, Published],
) -> Figure | None:
    """Final accuracy of every arm, and accuracy over contexts of those whose curves were kept.

    Parameters
    ----------
    arms
        Arm to rows of one length and one kind of early areas; of several ways of computing the first is shown, see
        :func:`analysis.precisions.first`.
    chance
        Fraction of right guesses at the end.
    scenario
        ``"task"``, ``"domain"`` or ``"class"``, in which the fewer contexts there are, the better guesses are.
    title
        What the animals met.
    published
        Arm to what is published of it.

    Returns
    -------
    Figure or None
        None where there is too little to be compared.
    """
    shown = {name: precisions.first(rows) for name, rows in arms.items()}
    found = {name: finals_and_curves(rows) for name, rows in shown.items()}
    finals = {name: final for name, (final, _) in found.items() if final.size}
    curves = {name: curve for name, (_, curve) in found.items() if curve is not None}
    if len(finals) < FEWEST:
        return None
    if all(row["precision"] == BFLOAT16 for rows in shown.values() for row in rows):
        title += f", mixed precision ({BFLOAT16})"
    remarks = []
    dead = [name for name in found if name not in finals]
    remarks += [f"losses became infinite in all animals of {', '.join(dead)}"] if dead else []
    guessing = None
    if len(curves) < FEWEST:
        curves = {}
    else:
        learned = max(curves.values(), key=lambda one: one.sizes["contexts_learned"])["contexts_learned"]
        levels = chance * learned.max() / learned if scenario == "class" else chance + 0.0 * learned
        guessing = levels.assign_coords(contexts_learned=learned)
        lacking = [name for name in finals if name not in curves]
        remarks += [f"b without {', '.join(lacking)} (no curve was kept)"] if lacking else []
        fewer = [name for name, one in curves.items() if one.sizes["animal"] < finals[name].size]
        remarks += [f"b shows fewer animals of {', '.join(fewer)}"] if fewer else []
    return figures_methods.compare_methods(
        finals, curves, level=chance, chance=guessing, title=title, published=published, remarks=remarks
    )
