"""What many methods left of everything that was learned, as a table; its figure is in :mod:`analysis.figures_methods`.

An outcome is a dataset (animal, chance) of ``final`` and ``forgetting``, fractions, with the level of guessing as
``level``; it is put together from :func:`measures` and :func:`levels` of logs.
"""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr

from .forgetting import average_accuracy, chance_level, final_accuracy, forgetting, retention_matrix
from .published import Published
from .terminal import mean_and_error

COLUMN = "published, %"


def measures(log: xr.DataTree) -> xr.Dataset:
    """What is left in the animals of a log: ``final``, ``forgetting``, ``over_contexts``, fractions; (animal, ...)."""
    found = {"final": final_accuracy(log), "forgetting": forgetting(log), "over_contexts": average_accuracy(log)}
    return xr.Dataset({name: one.drop_attrs() for name, one in found.items()})


def levels(log: xr.DataTree) -> dict[str, float | xr.DataArray]:
    """What guessing would leave: ``level`` at the end, ``guessing`` over contexts."""
    return {"level": chance_level(log), "guessing": guessing(log)}


def guessing(log: xr.DataTree) -> xr.DataArray:
    """Accuracy of guessing on the contexts met so far, (contexts_learned)."""
    matrix = retention_matrix(log, use="curve")
    level = log["behaviour"].to_dataset()["chance"].sel(answers=matrix["answers"]).isel(contexts_learned=slice(1, None))
    return level.where(level["context"] <= level["contexts_learned"]).mean("context").drop_vars("answers")


def counted(outcomes: Mapping[str, xr.Dataset]) -> tuple[dict[str, xr.Dataset], str]:
    """Outcomes by what is counted: animals, each with the mean of its lives, or the lives of a single animal."""
    animals = sorted({int(a) for one in outcomes.values() for a in one["animal"].values})
    if len(animals) == 1 and any(one.sizes["chance"] > 1 for one in outcomes.values()):
        lives = {n: one.isel(animal=0, drop=True).rename(chance="animal") for n, one in outcomes.items()}
        return lives, f"lives of animal {animals[0]}"
    return {name: one.mean("chance") for name, one in outcomes.items()}, "animals"


def table(
    outcomes: Mapping[str, xr.Dataset], what: str, heading: str, published: Mapping[str, Published] | None = None
) -> str:
    """The comparison as text, in per cent, beside what is published of these methods.

    Parameters
    ----------
    outcomes, what
        See :func:`counted`.
    heading
        What the animals met.
    published
        Method to its published final accuracy; may lack some.
    """
    beside = {name: str(published[name]) for name in outcomes if published and name in published}
    wide = max(18, *(len(name) for name in outcomes))
    head = f"{'method':{wide}s} {'final accuracy, %':>20s} {'forgetting, points':>20s} {'n':>4s}"
    head += f"   {COLUMN}" if beside else ""
    rule = "-" * (len(head) + max((len(words) - len(COLUMN) for words in beside.values()), default=0))
    lines = [heading, "", head, rule]
    for name, one in outcomes.items():
        cells = [mean_and_error(one[measure], digits=2) for measure in ("final", "forgetting")]
        n = int(one["final"].notnull().sum())
        own = f"{name:{wide}s} {cells[0]:>20s} {cells[1]:>20s} {n:4d}"
        lines.append(f"{own}   {beside[name]}" if name in beside else own)
    chance = 100 * float(next(iter(outcomes.values()))["level"])
    said = f"mean ± standard error over n {what}"
    said += "; published: of final accuracy, sources in docs/results.md" if beside else ""
    return "\n".join([*lines, rule, f"{'chance':{wide}s} {chance:>13.2f}", said])
