"""Drift of the re-entry area: replay speaks to it in the words of the past.

Where the re-entry area itself goes on learning, the activity that the earlier self re-creates is that of an area that
no longer exists. How far the area has moved is logged, so that nobody need guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from .observation import animal_coordinate, described


def similarity(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Correlation (Pearson) over units of the activity that each stimulus evokes, mean over stimuli.

    Parameters
    ----------
    one, other
        (animal, stimulus, unit).

    Returns
    -------
    numpy.ndarray
        (animal,); NaN where no stimulus evokes different activity in different units.
    """
    a, b = (x.astype(np.float64) - x.mean(-1, keepdims=True, dtype=np.float64) for x in (one, other))
    norm = np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    told = norm > 0  # a stimulus that all units answer alike says nothing
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(told, (a * b).sum(-1) / norm, 0).sum(-1) / told.sum(-1)


class Drift:
    """Keeps what fixed stimuli evoked in the re-entry area, naive and after every context."""

    def __init__(self) -> None:
        self._first: np.ndarray | None = None
        self._last: np.ndarray | None = None
        self._rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def add(self, activity: np.ndarray) -> None:
        """Activity after one more context, (animal, stimulus, unit); the first call is the naive animal."""
        nothing = np.full(len(activity), np.nan)
        last = nothing if self._last is None else similarity(self._last, activity)
        first = nothing if self._first is None else similarity(self._first, activity)
        self._rows.append((last, first, np.square(activity, dtype=np.float64).mean((1, 2))))
        if self._first is None and len(self._rows) == 2:  # the first context, in which the area became what it is
            self._first = activity
        self._last = activity

    def memory(self) -> dict[str, np.ndarray]:
        """All that is kept, for a checkpoint."""
        held = {"rows": np.array(self._rows)}
        return held | {n: v for n, v in (("first", self._first), ("last", self._last)) if v is not None}

    def recollect(self, memory: Mapping[str, np.ndarray]) -> None:
        """Go on from what another one kept."""
        self._rows = [(last, first, power) for last, first, power in memory["rows"]]
        self._first, self._last = memory.get("first"), memory.get("last")

    def table(self, seeds: Sequence[int], area: str) -> xr.Dataset:
        """Group ``/reentry`` of the log."""
        dims = ("animal", "contexts_learned")
        last, first, power = (np.stack(column, axis=1).astype(np.float32) for column in zip(*self._rows, strict=True))
        about = "similarity of the activity that fixed test stimuli evoke in the re-entry area to that"
        return xr.Dataset(
            {
                "similarity_to_last": described(dims, last, f"{about} one context before (correlation over units)"),
                "similarity_to_first": described(dims, first, f"{about} after the first context"),
                "mean_square_activity": described(dims, power, "mean square activity of the re-entry area"),
            },
            coords={
                "animal": animal_coordinate(seeds),
                "contexts_learned": described(
                    ("contexts_learned",), np.arange(len(self._rows), dtype=np.int32), "finished contexts, 0 = naive"
                ),
            },
            attrs={"area": area},
        )
