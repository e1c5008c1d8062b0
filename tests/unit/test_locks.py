"""One simulation at a time writes into a folder, and nothing hinders the next one."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lives import same
from small import simulate

import replaysim as rs
from replaysim import crew, netcdf
from replaysim.cohort import Cohort
from replaysim.errors import LogError
from replaysim.locks import LOCK, held
from replaysim.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
WRITING = "another simulation is writing there; wait until it has ended, or choose another folder"


def elsewhere(what: Any) -> BaseException | None:
    """The error with which something ends in another thread, which is as far away as another process."""
    ended: list[BaseException | None] = [None]

    def run() -> None:
        try:
            what()
        except BaseException as error:
            ended[0] = error

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return ended[0]


@pytest.mark.parametrize("other", [{"checkpoints": True}, {"overwrite": True}, {}])
def test_two_simulations_do_not_share_a_folder(
    other: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one took checkpoint and drafts of the first, and put its half in the place of the whole log."""
    whole, refused = simulate(animals=(12, 13)), []
    consolidate = Cohort.consolidate

    def meanwhile(*given: Any, **settings: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            raise AssertionError("the other one computes")
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        refused.append(elsewhere(lambda: simulate(animals=(12, 13), out=tmp_path, **other)))
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
        return consolidate(*given, **settings)

    monkeypatch.setattr(Cohort, "consolidate", meanwhile)
    there = simulate(animals=(12, 13), out=tmp_path, checkpoints=True)
    assert len(refused) == 2 and all(isinstance(error, LogError) and WRITING in str(error) for error in refused)
    same(there, whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "run.nc"]


def test_a_killed_process_hinders_nobody(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys; from replaysim.locks import held\n"
        "with held(pathlib.Path(sys.argv[1])): print('held', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(LogError, match=WRITING), held(tmp_path / "run"):
            pass
        other.kill()
        other.wait()
    assert (tmp_path / "run" / LOCK).exists(), "what it could not take away"
    RunFolder.create(tmp_path / "run")
    with held(tmp_path / "run"):
        pass
    assert not (tmp_path / "run" / LOCK).exists()


def test_blocks_within_one_another(tmp_path: Path) -> None:
    with held(None), held(tmp_path), held(tmp_path / "."):
        with held(tmp_path):
            pass
        assert isinstance(elsewhere(lambda: held(tmp_path).__enter__()), LogError)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("mine")
    with held(tmp_path / "file"):
        pass
    with pytest.raises(LogError, match="is a file, a log needs a folder"):
        simulate(out=tmp_path / "file")


@pytest.mark.skipif(sys.platform == "win32", reason="flock is of other systems")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_nothing_can_be_locked(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is refused, not even by what a process left that was killed there, and nothing stays."""
    import fcntl

    def refuse(*_given: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with held(tmp_path / "new"), held(tmp_path / "new"):
        assert elsewhere(lambda: held(tmp_path / "new").__enter__()) is None
    assert not (tmp_path / "new").exists()
    with held(tmp_path):
        RunFolder.create(tmp_path).write_config({})
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="other systems have modes of files")
def test_others_who_may_write_there_see_that_it_is_kept(tmp_path: Path) -> None:
    with held(tmp_path):
        assert (tmp_path / LOCK).stat().st_mode & 0o777 == 0o666


def test_a_slip_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(rs.SettingError, match="workers: got 0"):
        simulate(out=tmp_path / "a" / "b", workers=0)
    assert not list(tmp_path.iterdir())


def test_a_log_that_appeared_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without locks two may have written after all."""
    run, written = crew.Crew.run, b"the whole log of the other"

    def meanwhile(self: crew.Crew, **settings: Any) -> Any:
        found = run(self, **settings)
        (tmp_path / "run.nc").write_bytes(written)
        return found

    monkeypatch.setattr(crew.Crew, "run", meanwhile)
    with pytest.raises(LogError, match=r"run\.nc: was written meanwhile, by another simulation, and is kept"):
        simulate(out=tmp_path)
    assert (tmp_path / "run.nc").read_bytes() == written and any((tmp_path / "animals").iterdir())


def test_drafts_have_names_of_their_own(tmp_path: Path) -> None:
    one, other = (netcdf._draft(tmp_path / "run.nc") for _ in range(2))
    assert one != other and netcdf.DRAFT.sub("", one.name) == "run.nc"


# --- workers


def test_a_worker_whose_simulation_was_killed_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counters = tmp_path / "steps.npy"
    np.save(counters, np.zeros((2, 2), dtype=np.int64))
    lived = []

    def live_chunk(_condition: Any, _chunk: Any, _folder: Any, progress: Any, _checkpoints: bool) -> None:
        for _ in range(3):
            progress(10)
            lived.append(10)
            # as when the parent is no more; not 1, which the parent of the tests can be (in a container)
            monkeypatch.setattr(os, "getppid", lambda: -1)

    monkeypatch.setattr(crew, "live_chunk", live_chunk)
    monkeypatch.setattr(crew, "_end_with", lambda _master: None)  # this is no worker
    given: Any = (None, (12, 13), None, counters, 1, False, 1)
    for _ in range(2):  # nor does it begin with the next chunk that it finds
        with pytest.raises(LogError, match=r"the simulation for which this worker computes .* has ended"):
            crew._in_worker(*given, os.getppid() if not lived else 2**30)
    assert lived == [10] and np.load(counters).tolist() == [[0, 20], [0, 0]]
    crew._in_worker(*given, os.getpid())  # where the work is done in the process of the simulation itself
    assert sum(lived) == 40


IDLE = """
import time

from small import simulate

if __name__ == "__main__":
    simulate(animals=(12, 13), workers=2)
    print("lived", flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks Linux who is whose parent")
def test_idle_workers_end_with_their_simulation() -> None:
    """They would keep its output open for minutes, so that who reads it waits."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    given: Any = {"env": {**os.environ, "PYTHONPATH": path}, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", IDLE], **given) as simulation:
        assert simulation.stdout is not None
        try:
            assert simulation.stdout.readline() == "lived\n"
            workers = children(simulation.pid)
            assert len(workers) >= 2
        finally:
            simulation.kill()
        assert simulation.wait() == -signal.SIGKILL
        until = time.monotonic() + 60
        while any(alive(worker) for worker in workers):
            assert time.monotonic() < until, "workers outlive their simulation"
            time.sleep(0.1)
        assert simulation.stdout.read() == "", "nobody holds it open"


def children(pid: int) -> list[int]:
    """Processes whose parent this is."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(stat.parent.name))
    return found


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has buried does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_who_is_not_wanted_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(steps: int) -> None:
        assert steps == 0, "there was none since the last word"
        raise KeyboardInterrupt

    monkeypatch.setattr(crew, "live", lambda _condition, _chunk, write, *_others: write("behaviour", None))
    given: Any = (None, (12, 13), RunFolder.create(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        crew.live_chunk(*given, stop)
    assert not list(tmp_path.iterdir())


def test_the_error_itself_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than that the disk is too full to write it down."""

    def fail(*_given: Any, **_settings: Any) -> None:
        raise LogError("the disk is full")

    def run(*_given: Any, **_settings: Any) -> None:
        raise ZeroDivisionError("the real one")

    monkeypatch.setattr(RunFolder, "fail", fail)
    monkeypatch.setattr(crew.Crew, "run", run)
    with pytest.raises(ZeroDivisionError, match="the real one"):
        simulate(out=tmp_path)
