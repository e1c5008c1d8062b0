"""A single self-contained HTML page: headings, sentences, tables and figures; no script, no network."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TypeVar

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from replaysim.errors import ReplaysimError

from .comparison import summarise
from .style import STYLE

T = TypeVar("T")

CSS = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 0 auto; max-width: 1080px;
  padding: 1.5rem; }
h1 { font-size: 1.6rem; margin: 0 0 .2rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem; border-bottom: 1px solid #ddd; }
h3 { font-size: 1rem; margin: 1.4rem 0 .3rem; }
p { margin: .4rem 0; max-width: 75ch; }
.note { color: #555; }
nav a { margin-right: 1rem; }
figure { margin: 1rem 0; }
figure img { max-width: 100%; height: auto; }
figcaption { color: #555; font-size: .88rem; max-width: 85ch; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; margin: .6rem 0; }
th, td { padding: .22rem .7rem; text-align: left; border-bottom: 1px solid #e5e5e5; vertical-align: top; }
th { border-bottom: 1px solid #888; font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.number { white-space: nowrap; }
summary { cursor: pointer; margin: .6rem 0; }
caption { caption-side: bottom; text-align: left; color: #555; padding-top: .3rem; }
@media print { nav { display: none; } figure, table { break-inside: avoid; } }
"""
_NUMBER = re.compile(r"[–\[\]+\-−±.,%\d ]*(\(\d+–\d+\))?")  # signs, ranges, n (first–last)


@dataclass
class Page:
    """Grows from top to bottom; :meth:`html` gives the finished text.

    Parameters
    ----------
    title, subtitle
        Of the page.
    """

    title: str
    subtitle: str = ""
    _parts: list[str] = field(default_factory=list)
    _sections: list[str] = field(default_factory=list)

    def section(self, name: str) -> None:
        """A new section, also in the list at the top."""
        self._sections.append(name)
        self._parts.append(f'<h2 id="s{len(self._sections)}">{escape(name)}</h2>')

    def heading(self, text: str) -> None:
        """A heading within a section."""
        self._parts.append(f"<h3>{escape(text)}</h3>")

    def say(self, text: str, *, note: bool = False) -> None:
        """A paragraph."""
        self._parts.append(f'<p class="note">{escape(text)}</p>' if note else f"<p>{escape(text)}</p>")

    def attempt(self, words: str, measure: Callable[[], T]) -> T | None:
        """What a measure gives; where the log does not allow it, a sentence that says so, and None."""
        try:
            return measure()
        except ReplaysimError as error:
            self.say(f"{words}: not shown. {error}", note=True)
            return None

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "", folded: str = "") -> None:
        """A table; columns in which every cell is a number are set right.

        Parameters
        ----------
        head, rows
            Texts.
        caption
            Below the table.
        folded
            Where given, only this line is shown until the reader opens it.
        """
        cells = [list(row) for row in rows]
        right = [all(_is_number(row[i]) for row in cells) for i in range(len(head))]
        lines = [_row(head, right, "th"), *(_row(row, right, "td") for row in cells)]
        below = f"<caption>{escape(caption)}</caption>" if caption else ""
        text = f'<div class="scroll"><table>{below}{"".join(lines)}</table></div>'
        self._parts.append(f"<details><summary>{escape(folded)}</summary>{text}</details>" if folded else text)

    def figure(self, figure: Figure, caption: str) -> None:
        """A figure as vector graphics; letters become outlines, so that it looks the same everywhere."""
        buffer = io.BytesIO()
        with mpl.rc_context({**STYLE, "svg.fonttype": "path"}):
            figure.savefig(buffer, format="svg", metadata={"Date": None})
        data = base64.b64encode(buffer.getvalue()).decode()
        alt = escape(caption, quote=True)
        self._parts.append(
            f'<figure><img alt="{alt}" src="data:image/svg+xml;base64,{data}"><figcaption>{alt}</figcaption></figure>'
        )

    def html(self) -> str:
        """The page."""
        links = "".join(f'<a href="#s{i}">{escape(name)}</a>' for i, name in enumerate(self._sections, 1))
        return (
            f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(self.title)}</title>'
            f"<style>{CSS}</style></head><body><h1>{escape(self.title)}</h1>"
            f'<p class="note">{escape(self.subtitle)}</p><nav>{links}</nav>{"".join(self._parts)}</body></html>\n'
        )


def cell(values: xr.DataArray, digits: int = 2, scale: float = 1) -> str:
    """Mean ± standard error over animals times ``scale``, for a table; – where no animal has a value."""
    found = summarise(values)
    mean, error = scale * float(found["mean"]), scale * float(found["standard_error"])
    if not np.isfinite(mean):
        return "–"
    return f"{mean:.{digits}f} ± {error:.{digits}f}" if np.isfinite(error) else f"{mean:.{digits}f}"


def _is_number(text: str) -> bool:
    return bool(_NUMBER.fullmatch(text.strip()))


def _row(cells: Sequence[str], right: Sequence[bool], tag: str) -> str:
    classes = [' class="number"' if number else "" for number in right]
    inner = "".join(f"<{tag}{c}>{escape(text)}</{tag}>" for c, text in zip(classes, cells, strict=True))
    return f"<tr>{inner}</tr>"
