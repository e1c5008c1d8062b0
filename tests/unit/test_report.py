"""One page about logs: everything is in it, and nothing from elsewhere."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from small import brain, protocol, simulate

import replaysim as rs
from analysis import devices, readings, report, report_behaviour, report_conditions, report_replay
from analysis.forgetting import average_accuracy, forgetting
from analysis.replay_fidelity import replay_fidelity
from analysis.retained_geometry import retained_geometry
from replaysim.cli import main
from replaysim.log import logs_in, write_atomically


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
        "How far the pattern that a stimulus evokes went",
        "as asked for, %",
        "Chance:",
    ):
        assert words in text, words
    lost = [float(forgetting(rs.open_log(folder / name)).mean()) for name in ("nothing", "systems")]
    rows = cells(page.read_text(encoding="utf-8"), "systems &amp; &lt;more&gt; - nothing")
    assert len(rows) == 2 and rows[1][0] == f"{100 * (lost[1] - lost[0]):+.1f}", "forgetting is compared, too"
    assert "difference in final accuracy" in text and "difference in forgetting" in text and "all at once" in text
    assert "not shown" not in text
    assert all(source.startswith(("data:image/svg+xml;base64,", "#")) for source in reader.sources)
    assert sum(source.startswith("data:") and len(source) > 5_000 for source in reader.sources) >= 6


@pytest.mark.parametrize(("events", "of"), [(160, "100 % of classes"), (12, "all at once")])
def test_precision_and_recall_are_of_classes_where_they_can_be(events: int, of: str) -> None:
    """Few events leave too few of a class."""
    own = protocol(each=150)
    record = [rs.CorticalActivity("retina", stimuli=180), rs.ReplayActivity(events=events)]
    log = simulate(
        protocol=own,
        brain=brain(own),
        record=record,
        replay=rs.GenerativeReplay(),
        animals=(12, 13),
        learning=rs.Learning(24, 8, 3e-3),
    ).log
    found, said = report_replay._fidelity(log)
    assert said == of
    by = "original_class" if events > 100 else None
    wanted = replay_fidelity(log, by=by, measures=["precision_recall"])["improved_recall"]
    mean = wanted.mean([dim for dim in wanted.dims if dim != "animal"])
    np.testing.assert_allclose(found["improved_recall"], mean, atol=0.1 if by else 1e-12)  # classes, then contexts


def test_what_else_was_recorded_is_said(folder: Path) -> None:
    log = simulate(record=[rs.HippocampalCodes(), rs.SynapticImportance()], consolidation=rs.SynapticIntelligence()).log
    assert "Also in these logs, but no part of this page: codes, synapses;" in report.report({"a": log})
    assert "no part of this page" not in report.report({"bare": rs.open_log(folder / "bare")})


def test_what_was_not_recorded_is_said(folder: Path) -> None:
    log = rs.open_log(folder / "bare")
    text = " ".join(read(report.report({"bare": log})).text)
    assert "No cortical activity was recorded: pass record=[CorticalActivity()]" in text
    assert "No replay was recorded" in text and "Give several finished logs of one scenario" in text


def cells(page: str, condition: str) -> list[list[str]]:
    """Cells of all rows that begin with a condition."""
    rows = re.findall(r"<tr>(.*?)</tr>", page)
    found = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]
    return [row[1:] for row in found if row and row[0] == condition]


def until(log: xr.DataTree, learned: int) -> xr.DataTree:
    """The log as it was after so many contexts."""
    groups = {}
    for node in log.subtree:
        part = node.to_dataset(inherit=False)
        for dim in ("contexts_learned", "snapshot"):
            if dim in part.dims:
                part = part.isel({dim: part[dim].values <= learned})
        groups[node.path] = part
    return xr.DataTree.from_dict(groups)


def test_an_unfinished_log_beside_a_finished_one(folder: Path) -> None:
    whole = rs.open_log(folder / "systems")
    page = report.report({"unfinished": until(whole, 2), "whole": whole})
    behaviour, geometry = (cells(page, "unfinished")[i] for i in (2, -2))
    assert behaviour[0] == "–" and behaviour[-1] == "2", "no final accuracy yet, two animals"
    so_far = 100 * average_accuracy(until(whole, 2)).isel(contexts_learned=-1)
    assert behaviour[-2].startswith(f"{float(so_far.mean()):.1f}") and "2 of 3" in page, "but one so far"
    kept = retained_geometry(readings.activity(whole, "association_2"))
    for row, other in ((geometry, 2), (cells(page, "whole")[-2], 3)):
        assert row[0] == f"{_mean(kept.isel(snapshot=1, other_snapshot=other))}"
        assert row[1] == f"{_mean(kept.isel(snapshot=0, other_snapshot=other))}"
    assert "not shown" not in page


def _mean(values: xr.DataArray) -> str:
    error = float(values.std("animal", ddof=1)) / values.sizes["animal"] ** 0.5
    return f"{float(values.mean('animal')):.2f} ± {error:.2f}"


def test_animals_with_faults_are_left_out_and_named(folder: Path) -> None:
    log = rs.open_log(folder / "systems").copy(deep=True)
    log.attrs["animals_with_faults"] = 12
    for path in ("behaviour/accuracy", "cortex/association_2/activity", "replay/activity"):
        log[path].loc[{"animal": 12}] = np.nan
    page = report.report({"systems": log})
    assert "losses of animals 12 became infinite" in page and "not shown" not in page
    assert all(row[-1] == "1" for row in (cells(page, "systems")[i] for i in (2, 3))), "n"
    left = readings.without_faults(log)
    assert left["cortex/association_2"].to_dataset()["animal"].values.tolist() == [13]
    assert readings.without_faults(rs.open_log(folder / "systems"))["behaviour"].sizes["animal"] == 2


def test_conditions_are_compared_without_animals_that_only_one_lost(folder: Path) -> None:
    log = rs.open_log(folder / "systems")
    lost = log.copy(deep=True)
    lost.attrs["animals_with_faults"] = 12
    lost["behaviour/accuracy"].loc[{"animal": 12}] = np.nan
    page = report.report({"whole": log, "lost": lost})
    assert "different animals" not in page and "lost - whole" in page


def test_conditions_are_compared_with_one_of_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, given = folder / "baseline.html", [str(folder / name) for name in ("nothing", "systems", "bare")]
    main(["report", *given, "--out", str(page), "--baseline", "bare"])
    rows = set(re.findall(r"<t[dh][^>]*>([^<>]+ - [^<>]+)</t", page.read_text(encoding="utf-8")))
    assert rows == {"nothing - bare", "systems &amp; &lt;more&gt; - bare"}
    capsys.readouterr()
    page.unlink()
    with pytest.raises(SystemExit):
        main(["report", *given, "--out", str(page), "--baseline", "bear"])
    told = capsys.readouterr().err
    assert "bear" in told and "'bare'" in told and not page.exists()


def test_a_baseline_by_its_folder_or_that_cannot_be_one(folder: Path) -> None:
    page = folder / "by_folder.html"
    main(
        [
            "report",
            str(folder / "systems"),
            str(folder / "bare"),
            "--out",
            str(page),
            "--baseline",
            str(folder / "systems"),
        ]
    )
    assert "bare - systems &amp; &lt;more&gt;" in page.read_text(encoding="utf-8")
    task = simulate("task", animals=(12, 13)).log
    logs = {"task": task, "bare": rs.open_log(folder / "bare"), "again": rs.open_log(folder / "nothing")}
    text = " ".join(read(report.report(logs, baseline="task")).text)
    assert "Class scenario: task is of another scenario, or none of its animals has come to the end" in text
    assert "again - bare" in text


def test_a_condition_of_which_no_animal_is_left(folder: Path) -> None:
    log = rs.open_log(folder / "systems")
    lost = log.copy(deep=True)
    lost.attrs["animals_with_faults"] = np.array([12, 13])
    text = " ".join(read(report.report({"lost": lost, "whole": log})).text)
    assert "lost: losses of animals 12, 13 became infinite" in text and "context 1 by its first readout" in text
    assert "Replay: not shown" not in text
    assert "final accuracy" in report.report({"lost": lost})


def test_one_measure_that_fails_does_not_hide_the_others(folder: Path) -> None:
    log = rs.open_log(folder / "systems")
    few = {node.path: node.to_dataset(inherit=False) for node in log.subtree}
    for path in ("/cortex", "/cortex/retina", "/cortex/association_2"):
        few[path] = few[path].isel(stimulus=slice(0, 20))
    page = report.report({"few": xr.DataTree.from_dict(few)})
    assert "decoding, few: not shown. cross_context_decoding: answer" in page
    assert "debiased CKA" in page and "Dissimilarity (1 - correlation)" in page


@pytest.mark.parametrize("scenario", ["task", "domain"])
def test_other_scenarios(scenario: str) -> None:
    own = protocol(scenario, each=30)
    record = [rs.CorticalActivity("retina", "association_2", stimuli=60), rs.ReplayActivity(events=60)]
    log = simulate(scenario, protocol=own, brain=brain(own), record=record, replay=rs.GenerativeReplay()).log
    text = " ".join(read(report.report({"systems": log})).text)
    assert not re.search(r"\bnan\b", text)
    assert "as asked for, %" in text
    assert f"held-out stimuli; chance: {'50' if scenario == 'domain' else '16.7'} %." in text, "of the right answer"
    assert "tested on others of them at the last snapshot; chance: 50 %." in text, "of two in the first context"


def test_a_page_is_computed_where_one_says(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        report, "report", lambda logs, **_how: asked.append(devices.choose_device().type) or "<html></html>"
    )
    main(["report", str(folder / "bare"), "--out", str(tmp_path / "page.html"), "--device", "cpu"])
    assert asked == ["cpu"]
    with pytest.raises(SystemExit):
        main(["report", str(folder / "bare"), "--out", str(tmp_path / "other.html"), "--device", "cuda:99"])
    assert "there is no such GPU on this machine" in capsys.readouterr().err and asked == ["cpu"]


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
    with pytest.raises(rs.LogError, match=r"nothing\.nc: no such file or folder"):
        report.write_report([tmp_path / "nothing.nc"], page)
    assert not (tmp_path / "new.html").exists()


def test_a_report_never_replaces_a_log(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not even with --overwrite, and under no name."""
    log = tmp_path / "log"
    shutil.copytree(folder / "bare", log)
    before = (log / "run.nc").read_bytes()
    renamed = tmp_path / "log.html"
    shutil.copy(log / "run.nc", renamed)
    cases = [(log, log / "run.nc", "ends in .html"), (log / "run.nc", log / "config.json", "ends in .html")]
    for given, out, words in [*cases, (renamed, renamed, "is a file of the log")]:
        with pytest.raises(SystemExit):
            main(["report", str(given), "--out", str(out), "--overwrite"])
        assert words in capsys.readouterr().err
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(rs.LogError, match="is a folder"):
        report.write_report([log], tmp_path / "folder.html", overwrite=True)
    assert (log / "run.nc").read_bytes() == before == renamed.read_bytes()
    assert rs.open_log(log).attrs["status"] == "complete"


def test_names_of_conditions(folder: Path) -> None:
    paths = [folder / "nothing", folder / "nothing" / "run.nc", folder / "bare"]
    logs = [rs.open_log(path) for path in paths]
    above = folder.name
    assert report_conditions.names(logs, paths) == [f"nothing, {above}/nothing", f"nothing, {above}/nothing #2", "bare"]
    with pytest.raises(rs.LogError, match="is given twice"):
        report.write_report([folder / "bare", folder / "bare"], folder / "twice.html")
    with pytest.raises(rs.LogError, match=f"there are logs in .*{above}/bare"):
        rs.open_log(folder)


def test_the_folder_of_a_study_is_all_its_logs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order in which they were begun, not in that of the alphabet; the log of a simulation is itself."""
    asked: list[list[str]] = []
    monkeypatch.setattr(report, "report", lambda logs, **_how: asked.append(list(logs)) or "<html></html>")
    begun = {"systems": "2026-01-01T00:00:00Z", "bare": "2026-01-01T00:00:05Z", "nothing": "2026-01-01T00:00:09Z"}
    for name, date in begun.items():
        log = rs.open_log(folder / name)
        log.attrs["date_created"] = date
        (tmp_path / "study" / name).mkdir(parents=True)
        shutil.copy(folder / name / "config.json", tmp_path / "study" / name)
        write_atomically(log, tmp_path / "study" / name / "run.nc")
    assert [path.name for path in logs_in(tmp_path / "study")] == list(begun)
    deeper = tmp_path / "study" / "arm" / "animals_12"
    shutil.copytree(tmp_path / "study" / "bare", deeper)
    assert deeper in logs_in(tmp_path / "study") and len(logs_in(tmp_path / "study")) == 4, "of all levels"
    shutil.rmtree(deeper.parent)
    assert logs_in(tmp_path / "study") == [tmp_path / "study" / name for name in begun] == logs_in(tmp_path / "study/")
    report.write_report([tmp_path / "study"], tmp_path / "page.html")
    assert asked == [["systems & <more>", "bare", "nothing"]]
    for path in (tmp_path / "study" / "bare", tmp_path / "study" / "bare" / "run.nc", tmp_path / "none"):
        assert logs_in(path) == [path]
    with pytest.raises(rs.LogError, match="is given twice"):
        report.write_report([tmp_path / "study", tmp_path / "study" / "bare"], tmp_path / "twice.html")
    (tmp_path / "empty").mkdir()
    with pytest.raises(rs.LogError, match="holds no log of replaysim"):
        report.write_report([tmp_path / "empty"], tmp_path / "twice.html")


def test_logs_that_lie_deeper_are_named(folder: Path, tmp_path: Path) -> None:
    """Studies keep theirs up to five levels below the folder that they are given."""
    shutil.copytree(folder / "bare", tmp_path / "world" / "scenario" / "full" / "arm" / "chance_0" / "animals_12")
    for above in (tmp_path, tmp_path / "world", tmp_path / "world" / "scenario" / "full"):
        with pytest.raises(rs.LogError, match=r"there are logs in .*full/arm/chance_0/animals_12$"):
            rs.open_log(above)


def test_other_files_named_config_are_no_logs(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(rs.LogError) as told:
        rs.open_log(tmp_path)
    assert "there are logs" not in str(told.value)
    shutil.copytree(folder / "bare", tmp_path / "deeper" / "arm")
    with pytest.raises(rs.LogError, match=r"there are logs in .*deeper/arm$"):
        rs.open_log(tmp_path)


def test_the_least_p_is_that_of_the_most_animals() -> None:
    def accuracy(*values: float) -> xr.DataArray:
        return xr.DataArray(list(values), {"animal": range(12, 12 + len(values))}, ("animal",))

    finals = {"a": accuracy(*[0.9] * 6), "b": accuracy(*[0.1] * 6), "c": accuracy(0.5, *[np.nan] * 5)}
    page = report.Page("a page", "made for a test")
    report_behaviour._compared(page, finals)
    text = " ".join(read(page.html()).text)
    assert "With 6 animals no p can be below 0.031, and corrected none below 0.094" in text
    assert "0.031 0.094 6" in text, "as of the pair that has six"


def test_scenarios_are_not_mixed(folder: Path) -> None:
    task = simulate("task", animals=(12, 13)).log
    page = report.report(
        {"task": task, "class": rs.open_log(folder / "bare"), "again": rs.open_log(folder / "nothing")}
    )
    assert "Task scenario" in page and "Chance: 50 %" in page and "Chance: 16.7 %" in page
    assert "again - class" in page and "task -" not in page and "- task" not in page


def test_conditions_of_other_protocols_have_their_own_chance(folder: Path) -> None:
    label = np.arange(4).repeat(30)
    own = rs.SplitProtocol(np.random.default_rng(0).random((120, 16), np.float32), label, contexts=2)
    electrodes = [rs.CorticalActivity("association_2", stimuli=12)]
    other = simulate(protocol=own, brain=brain(own), animals=(12, 13), record=electrodes).log
    page = report.report({"six": rs.open_log(folder / "nothing"), "four": other})
    assert "Chance: 16.7 or 25 %, as conditions have other classes (final accuracy)" in page
    assert re.search(r"evoked by the same \d+ or 12 test stimuli", page)


def test_a_log_without_behaviour_still_gives_a_page(folder: Path) -> None:
    log = rs.open_log(folder / "systems")
    del log["behaviour"]
    assert "Behaviour: not shown." in report.report({"systems": log})
