"""The head of the page of results: what of the published numbers was lived at full length, and how near ours are."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import precisions
from .orders import Order, counted
from .origins import Row
from .published import MEAN, Known
from .summary_tables import animals, signed

NEAR = 1.5
"""Points: the difference from a published mean that the page calls near."""
HEAD = (
    "protocol, scenario",
    "arms beside a published number",
    "of these lived at full length (animals each)",
    f"at most {NEAR:g} points off",
    "further off",
    "pairs of arms whose order is published",
)


@dataclass(frozen=True)
class Scenario:
    """One line of the table.

    Attributes
    ----------
    title
        Of protocol and scenario.
    group
        ``protocol/scenario``, as names of presets begin.
    arms
        Names of its presets.
    rows
        Preset to the rows of its summary, all of the published length and of one column.
    steps
        Steps per context of the published length.
    """

    title: str
    group: str
    arms: Sequence[str]
    rows: Mapping[str, Sequence[Row]]
    steps: int


def table(scenarios: Sequence[Scenario], known: Known, orders: Sequence[Order]) -> str:
    """One line for every scenario of every protocol, as Markdown."""
    lines = [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    lines += [f"| {' | '.join(_cells(one, known, orders))} |" for one in scenarios]
    return "\n".join(lines)


def _cells(one: Scenario, known: Known, orders: Sequence[Order]) -> list[str]:
    named = {arm: known[arm, one.steps, MEAN] for arm in one.arms if (arm, one.steps, MEAN) in known}
    published = {arm: number for arm, number in named.items() if number.looked_up}
    lives = {arm: animals(precisions.first(one.rows.get(arm, ()))) for arm in published}
    gaps = {
        arm.rpartition("/")[2]: statistics.fmean(map(statistics.fmean, own.values())) - float(published[arm].value)
        for arm, own in lives.items()
        if own
    }
    numbers = sorted({len(own) for own in lives.values() if own})
    each = f" ({'–'.join(map(str, dict.fromkeys((numbers[0], numbers[-1]))))})" if numbers else ""
    near = [arm for arm, gap in gaps.items() if abs(gap) <= NEAR]
    far = [f"{arm} {signed(gap)}" for arm, gap in gaps.items() if abs(gap) > NEAR]
    pairs = counted(orders, one.group, one.rows)
    return [
        one.title,
        str(len(published) or "–"),
        f"{len(gaps)}{each}" if published else "–",
        str(len(near)) if gaps else "–",
        ", ".join(far) or "–",
        ", ".join(f"{many} {words}" for words, many in pairs.items()) or "–",
    ]
