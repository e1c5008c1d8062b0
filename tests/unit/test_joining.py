"""Joining: logs of some animals each are one log of all of them, and nothing else is taken for that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from small import brain, protocol, simulate

import replaysim as rs
from analysis import report, report_conditions
from analysis.forgetting import final_accuracy
from analysis.readings import faulty, without
from replaysim.cli import main
from replaysim.log import conditions_among, settings_of, validate, write_atomically

ANIMALS = (12, 13, 14)


@pytest.fixture(scope="module")
def whole() -> xr.DataTree:
    own = protocol(each=30)
    record = [rs.CorticalActivity("retina", "association_2", stimuli=60), rs.ReplayActivity(events=60)]
    shared: dict[str, Any] = {"protocol": own, "brain": brain(own), "replay": rs.GenerativeReplay()}
    return simulate(**shared, animals=ANIMALS, record=record, label="systems").log


def some(log: xr.DataTree, animals: tuple[int, ...], **settings: Any) -> xr.DataTree:
    """What the log of these animals alone would be; settings change its configuration."""
    part = without(log, set(ANIMALS) - set(animals))
    config = settings_of(log.attrs, "log")
    config["computation"]["chunks"] = [list(animals)]
    config |= {"animals": list(animals), **settings}
    part.attrs |= {"seeds": list(animals), "config_json": json.dumps(config)}
    return part


def unfinished(log: xr.DataTree, **attrs: Any) -> xr.DataTree:
    """It does not say yet whose losses became infinite."""
    going = changed(log, status="running") if not attrs else changed(log, **attrs)
    del going.attrs["animals_with_faults"]
    return going


def changed(log: xr.DataTree, **attrs: Any) -> xr.DataTree:
    copy = log.copy()
    copy.attrs |= attrs
    return copy


def test_portions_are_the_whole_log(whole: xr.DataTree) -> None:
    """Whoever comes first, and wherever an animal stands among the others."""
    early, late = some(whole, (12, 14)), some(whole, (13,))
    late.attrs |= {"date_created": "2999-01-01T00:00:00Z", "history": "2999-01-01T00:00:00Z: later", "command": "late"}
    joined = rs.join_logs(iter([late, early]))
    validate(joined)
    assert set(joined.groups) == set(whole.groups)
    for path in whole.groups[1:]:
        xr.testing.assert_identical(joined[path].to_dataset(), whole[path].to_dataset())
    settings = settings_of(joined.attrs, "joined")
    assert settings["computation"]["chunks"] == [[12, 14], [13]]
    assert settings["animals"] == list(ANIMALS) == np.atleast_1d(joined.attrs["seeds"]).tolist()
    assert joined.attrs["title"] == whole.attrs["title"] and "3 animals" in joined.attrs["title"]
    assert joined.attrs["history"].splitlines() == [whole.attrs["history"], late.attrs["history"]]
    for name in ("command", "date_created", "hardware", "software_git_commit"):
        assert joined.attrs[name] == whole.attrs[name], "of whoever began first"
    assert joined.attrs["status"] == "complete" and faulty(joined) == []


def test_a_joined_log_can_be_kept(whole: xr.DataTree, tmp_path: Path) -> None:
    joined = rs.join_logs([some(whole, (12,)), some(whole, (13, 14))])
    write_atomically(joined, tmp_path / "run.nc")
    again = rs.open_log(tmp_path)
    assert again["behaviour"]["animal"].values.tolist() == list(ANIMALS)
    assert np.atleast_1d(again.attrs["seeds"]).tolist() == list(ANIMALS)


def test_fates(whole: xr.DataTree) -> None:
    one, other = some(whole, (12,)), some(whole, (13, 14))
    dead = changed(one, status="failed", animals_with_faults=12)
    joined = rs.join_logs([other, dead])
    assert joined.attrs["status"] == "complete" and faulty(joined) == [12], "two are alive"
    none = rs.join_logs([dead, changed(some(whole, (13,)), status="failed", animals_with_faults=13)])
    assert none.attrs["status"] == "failed" and faulty(none) == [12, 13]
    going = unfinished(one, status="running", date_modified="2026-01-01T00:00:00Z")
    for logs in ([other, going], [going, other]):
        assert rs.join_logs(logs).attrs["status"] == "running"
        assert rs.join_logs(logs).attrs["date_modified"] == "2026-01-01T00:00:00Z"
    stopped = unfinished(one, status="failed", status_reason="stopped by the user")
    assert rs.join_logs([other, stopped]).attrs["status_reason"] == "stopped by the user"
    assert rs.join_logs([other, unfinished(one, status="failed")]).attrs["status"] == "failed", "for whatever reason"
    lost = changed(some(whole, (13,)), status="failed", animals_with_faults=13)
    for logs in ([some(whole, (14,)), lost, going], [going, lost, some(whole, (14,))]):
        joined = rs.join_logs(logs)
        assert (joined.attrs["status"], faulty(joined)) == ("running", [13]), "one is dead, one is on the way"
    late = rs.join_logs([going, some(whole, (13,))])  # says of whom it knows, and goes on all the same
    assert rs.join_logs([late, some(whole, (14,))]).attrs["status"] == "running"


def test_an_unfinished_portion_lags_behind(whole: xr.DataTree) -> None:
    late = some(whole, (14,))
    behind = {}
    for node in late.subtree:
        part = node.to_dataset(inherit=False)
        for dim in {"contexts_learned", "snapshot"} & set(part.dims):
            part = part.isel({dim: part[dim].values < 3})
        behind[node.path] = part
    joined = rs.join_logs([some(whole, (12, 13)), unfinished(xr.DataTree.from_dict(behind))])
    accuracy = joined["behaviour"]["accuracy"]
    assert bool(accuracy.sel(animal=14, contexts_learned=3).isnull().all())
    assert bool(accuracy.sel(animal=13, contexts_learned=3).notnull().any())


def test_other_conditions_are_refused(whole: xr.DataTree) -> None:
    one = some(whole, (12,))
    with pytest.raises(rs.LogError, match="give at least one log"):
        rs.join_logs([])
    for names in (["a", "b"], one):  # a tree is a mapping of names
        with pytest.raises(rs.LogError, match=r"give a list of logs as open_log\(\) gives them; one is of str"):
            rs.join_logs(names)
    with pytest.raises(rs.LogError, match=r"animals 13\) has other settings .*experience is joint, not sequential"):
        rs.join_logs([one, some(whole, (13,), experience="joint")])
    lists = {"record": [{"kind": "Behaviour"}], "label": "b", "scenario": "b", "chance": 1}
    with pytest.raises(rs.LogError, match=r"record is \[Behaviour\], not \[\w.*\]; and 1 more\); only animals"):
        rs.join_logs([one, some(whole, (13,), **lists)])
    with pytest.raises(rs.LogError, match=r"log 2 of 2 \(animals 12, 13\) has animals that an earlier one has: 12"):
        rs.join_logs([one, some(whole, (12, 13))])
    bare = some(whole, (13,))
    del bare.attrs["config_json"]
    with pytest.raises(rs.LogError, match=r"the log of animals \[13\]: its attribute config_json is missing"):
        rs.join_logs([one, bare])
    assert conditions_among([one, bare, some(whole, (14,))]) == [[0, 2], [1]]


def test_conditions_among_logs(whole: xr.DataTree) -> None:
    logs = [
        some(whole, (12,)),
        some(whole, (12,), chance=1),
        some(whole, (13, 14)),
        some(whole, (14,)),
        some(whole, (13,), chance=1),
    ]
    assert conditions_among(logs) == [[0, 2], [1, 4], [3]], "an animal is in a condition once"
    elsewhere = settings_of(whole.attrs, "log")["computation"] | {"device": "cuda:0", "workers": 7}
    far = [logs[0], some(whole, (13,), computation=elsewhere)]
    assert conditions_among(far) == [[0, 1]]
    computation = settings_of(rs.join_logs(far).attrs, "joined")["computation"]
    assert not {"device", "workers"} & set(computation) and computation["precision"] == "float32", "what both have"


def test_what_one_log_does_not_know_does_not_make_others_alike(whole: xr.DataTree) -> None:
    """A log of an earlier version, without checksums, may be of either stimuli; they are not of the same."""
    sums = settings_of(whole.attrs, "log")["sha256"]
    one, other = some(whole, (12,)), some(whole, (13,), sha256=dict.fromkeys(sums, "0" * 64))
    neither = some(whole, (14,), sha256={})
    assert conditions_among([neither, one, other]) == [[0, 1], [2]] and conditions_among([other, neither, one])[0] == [
        0,
        1,
    ]
    for logs in ([neither, one, other], [one, other, neither], [other, one]):
        with pytest.raises(rs.LogError, match="has other settings than an earlier one"):
            rs.join_logs(logs)


def test_who_is_in_a_log_counts_not_who_was_to_be(whole: xr.DataTree) -> None:
    joined = rs.join_logs([without(whole, [13, 14]), without(whole, [12, 14])])
    assert joined["behaviour"]["animal"].values.tolist() == [12, 13] == np.atleast_1d(joined.attrs["seeds"]).tolist()
    begun = xr.DataTree.from_dict({"/": xr.Dataset(attrs={"config_json": some(whole, (12,)).attrs["config_json"]})})
    assert conditions_among([begun, some(whole, (12,)), some(whole, (13,))]) == [[0], [1, 2]], "nobody is in it yet"
    assert "Behaviour" in report.report(report_conditions.conditions([begun, some(whole, (12,))], ["a", "b"]))


def test_a_report_of_portions(whole: xr.DataTree, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One condition, all animals, a row for every simulation."""
    for animals in ((12, 13), (14,)):
        folder = tmp_path / "arm" / "chance_0" / f"animals_{animals[0]}"
        folder.mkdir(parents=True)
        write_atomically(changed(some(whole, animals), command=f"simulate {animals[0]}"), folder / "run.nc")
        (folder / "config.json").write_text(some(whole, animals).attrs["config_json"], encoding="utf-8")
    main(["report", str(tmp_path / "arm"), "--out", str(tmp_path / "page.html")])
    capsys.readouterr()
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    final = final_accuracy(whole)
    words = f"{100 * float(final.mean()):.1f} ± {100 * float(final.std(ddof=1)) / 3**0.5:.1f}"
    assert words in page
    assert "Logs of the same settings and other animals are one condition: systems." in page
    assert "2 (12–13)" in page and "1 (14)" in page and "simulate 12" in page and "simulate 14" in page
    assert "Made by replaysim from 2 logs." in page and "not shown" not in page


def test_conditions_with_several_lives_are_told_apart(whole: xr.DataTree) -> None:
    """Portions of an arm are one condition, its other lives are another one."""
    logs, paths = [], []
    for chance in (0, 1):
        for animal in (12, 13):
            logs.append(some(whole, (animal,), chance=chance))
            paths.append(f"runs/arm/chance_{chance}/animals_{animal}/run.nc")
    found = report_conditions.conditions(logs, paths)
    unlabelled = [some(whole, (animal,), label="", chance=chance) for chance in (0, 1) for animal in (12, 13)]
    elsewhere = ["/m1/nothing/run.nc", "/m2/nothing/run.nc", "/m1/joint", "/m2/joint"]
    assert list(report_conditions.conditions(unlabelled, elsewhere)) == ["m1/nothing", "m1/joint"]
    assert list(found) == ["systems, arm/chance_0", "systems, arm/chance_1"]
    assert [len(lives) for lives in found.values()] == [2, 2]
