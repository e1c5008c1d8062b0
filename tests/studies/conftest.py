"""Figures take seconds each: some tests of every study draw them, the others look at what else it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure


@pytest.fixture
def drawn() -> None:
    """Asked for by a test that looks at figures."""


@pytest.fixture(autouse=True)
def blank(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of all other tests are put together, and written as files without anything in them."""
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(Figure, "savefig", lambda _figure, path, **_how: Path(path).touch())
