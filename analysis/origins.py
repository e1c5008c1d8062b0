"""Origins: how numbers came about, from which command, code, machine and day, as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .csv_tables import THREADS, UNKNOWN

if TYPE_CHECKING:
    import xarray as xr

Row = Mapping[str, str]
BEGINNING = "- run "
"""Of every such line."""


class Runs:
    """Numbers of the footnotes that say how rows came about."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, str, str], list[Row]] = {}

    def number(self, rows: Iterable[Row]) -> str:
        """Numbers of all that made these rows (:data:`analysis.summaries.COLUMNS`)."""
        found = set()
        for row in rows:
            made = (row["command"], row["device"], row["machine"], row["torch"])
            self._rows.setdefault(made, []).append(row)
            found.add(list(self._rows).index(made) + 1)
        return ", ".join(map(str, sorted(found)))

    def lines(self) -> list[str]:
        """One line a command, machine and version of torch."""
        lines = []
        for number, ((command, device, machine, torch), rows) in enumerate(self._rows.items(), 1):
            dates = sorted({row["date"] for row in rows})
            days = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
            commits = ", ".join(sorted({row["commit"] for row in rows}))
            known = " (processor not recorded)" if machine == UNKNOWN else f" ({machine})"
            one = "" if machine.endswith(THREADS) else ", one thread a worker"
            where = f"CPU{known}{one}" if device == "cpu" else f"{device}{known}"
            lines.append(f"{BEGINNING}{number}: `{command}`; {where}; torch {torch}; {days}; commit {commits}")
        return lines

    def folded(self) -> list[str]:
        """The same lines below a heading that a reader of the page unfolds; none where nothing was made."""
        lines = self.lines()
        if not lines:
            return []
        words = "command, hardware, versions, day and commit of every run"
        return [f"<details><summary>Runs: {words}</summary>", "", *lines, "", "</details>", ""]


def origin_line(made: Mapping[str, Any], threads: int = 1) -> str:
    """The line about something that was made without a log, see :func:`replaysim.provenance.here_and_now`."""
    from .summaries import machine_of, plain

    runs = Runs()
    runs.number([{**made, **machine_of(made["hardware"], threads), "command": plain(made["command"])}])
    return runs.lines()[0]


def origin_lines(logs: Iterable[xr.DataTree]) -> list[str]:
    """Lines about how these finished logs came about, to be kept below whatever is made from them."""
    from .summaries import rows_of

    runs = Runs()
    for log in logs:
        rows: list[Any] = rows_of(log, "")
        runs.number(rows)
    return runs.lines()


def listed(seeds: Iterable[int]) -> str:
    """Seeds as one reads them: ``12–17``, or ``12, 14, 15`` where some between are missing."""
    known = list(seeds)
    whole = len(known) > 1 and known == list(range(known[0], known[-1] + 1))
    return f"{known[0]}–{known[-1]}" if whole else ", ".join(map(str, known))


def heading(about: str, seeds: Iterable[int]) -> str:
    """First line of a table: what it is about, and who the animals are."""
    known = list(seeds)
    return f"{about}, animal{'s' * (len(known) > 1)} {listed(known)}"
