"""One page about logs: everything is in it, and nothing from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from small import brain, protocol, simulate

import replaysim as rs
from analysis import report
from replaysim.cli import main


class Reader(HTMLParser):
    """Text, tags and sources of a page; fails where tags do not close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "iframe"), tag
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    return reader


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    own = protocol(each=30)
    electrodes = [rs.CorticalActivity("retina", "association_2", stimuli=60)]
    shared = {"protocol": own, "brain": brain(own), "animals": (12, 13)}
    simulate(**shared, record=electrodes, out=out / "nothing", label="nothing")
    replay = {"replay": rs.GenerativeReplay(), "record": [*electrodes, rs.ReplayActivity(events=60)]}
    simulate(**shared, **replay, out=out / "systems", label="systems & <more>")
    simulate(**shared, out=out / "bare")
    return out


def test_two_conditions(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = folder / "page.html"
    main(["report", str(folder / "nothing"), str(folder / "systems" / "run.nc"), "--out", str(page)])
    assert capsys.readouterr().out.strip() == str(page)
    reader = read(page.read_text(encoding="utf-8"))
    text = " ".join(reader.text)
    for words in (
        "systems & <more>",
        "Settings that differ",
        "replay.kind",
        "GenerativeReplay",
        "final accuracy, %",
        "sign-flip",
        "geometry of context 1 kept",
        "as asked for, %",
        "Chance:",
    ):
        assert words in text, words
    assert "Not shown" not in text
    assert all(source.startswith(("data:image/svg+xml;base64,", "#")) for source in reader.sources)
    assert sum(source.startswith("data:") for source in reader.sources) >= 6


def test_what_was_not_recorded_is_said(folder: Path) -> None:
    log = rs.open_log(folder / "bare")
    text = " ".join(read(report.report({"bare": log})).text)
    assert "No cortical activity was recorded: pass record=[CorticalActivity()]" in text
    assert "No replay was recorded" in text and "Give several logs to compare" in text


def test_an_unfinished_log_still_gives_a_page(folder: Path) -> None:
    log = rs.open_log(folder / "systems")
    behaviour = log["behaviour"].to_dataset().isel(contexts_learned=slice(0, 2))
    log["behaviour"] = type(log)(behaviour)
    assert "–" in " ".join(read(report.report({"unfinished": log})).text)


@pytest.mark.parametrize("scenario", ["task", "domain"])
def test_other_scenarios(scenario: str) -> None:
    own = protocol(scenario, each=30)
    record = [rs.CorticalActivity("retina", "association_2", stimuli=60), rs.ReplayActivity(events=60)]
    log = simulate(scenario, protocol=own, brain=brain(own), record=record, replay=rs.GenerativeReplay()).log
    text = " ".join(read(report.report({"systems": log})).text)
    assert not re.search(r"\bnan\b", text)
    assert "as asked for, %" in text


def test_slips(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("mine", encoding="utf-8")
    with pytest.raises(rs.LogError, match=r"is there already; .*--overwrite"):
        report.write_report([folder / "bare"], page)
    assert page.read_text(encoding="utf-8") == "mine"
    with pytest.raises(rs.LogError, match="there is no folder"):
        report.write_report([folder / "bare"], tmp_path / "nowhere" / "page.html")
    with pytest.raises(rs.LogError, match="no such file or folder"):
        report.write_report([tmp_path / "nothing.nc"], tmp_path / "new.html")
    assert not (tmp_path / "new.html").exists()


def test_names_of_conditions(folder: Path) -> None:
    paths = [folder / "nothing", folder / "nothing" / "run.nc", folder / "bare"]
    logs = [rs.open_log(path) for path in paths]
    assert report.names(logs, paths) == ["nothing", "nothing #2", "bare"]
