"""A crew of workers: spreads the animals of a simulation over the cores of a machine.

Workers are started and shared by :mod:`joblib`: they stay for the next simulation, need no ``if __name__ ==
"__main__"`` in a script, and see one copy of the stimuli. Each works with as many threads as it is told, one where
nobody says; which animals live together follows from their number, the number of workers and the size of a brain, never
from timing.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import torch

from .allocation import keep_memory
from .checkpoints import Checkpoint
from .errors import LogError, check_number
from .life import Condition, Outcome, Progress, live
from .log import CHECKPOINT, RunFolder
from .recording import Piece

ANIMALS_AT_ONCE = 5  # measured on two kinds of CPU core: larger products of matrices gain nothing any more
PARAMETERS_AT_ONCE = 8_000_000
_LOOK_EVERY = 0.2  # seconds between two looks at the progress of the workers
_LOOK_IDLY = 1.0  # seconds between two looks of a worker at whether its simulation is still there


def divide(
    seeds: Sequence[int], device: str, workers: int | None, parameters: int, threads: int = 1
) -> tuple[list[tuple[int, ...]], int]:
    """Which animals live together, and in how many processes.

    On a GPU all animals are one computation. On a CPU as few equal groups as are a multiple of the workers and
    respect the bounds on animals and plastic values at once.
    """
    if workers is not None:
        check_number("simulate", "workers", workers, least=1, whole=True)
    enough = workers_for(threads)
    if device != "cpu":
        return [tuple(seeds)], 1
    crew = min(workers or enough, len(seeds))
    most = min(ANIMALS_AT_ONCE, max(1, PARAMETERS_AT_ONCE // max(1, parameters)))
    groups = crew
    while -(-len(seeds) // groups) > most:
        groups += crew
    groups = min(groups, len(seeds))
    parts = np.array_split(np.arange(len(seeds)), groups)
    return [tuple(seeds[i] for i in part) for part in parts], crew


def cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def workers_for(threads: int) -> int:
    """Workers of so many threads for which there is a core a thread, at least one."""
    check_number("simulate", "threads", threads, least=1, whole=True)
    return max(1, cores() // threads)


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Compute with a fixed number of threads, so that results do not depend on the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Crew:
    """Runs the chunks of one simulation.

    Parameters
    ----------
    condition
        How the animals live.
    chunks
        Animals that live together.
    processes
        Workers; with one, everything happens in this process.
    folder
        Where pieces of the log go, or None to keep them in memory.
    checkpoints
        Whether the animals are kept beside the pieces after every context, and taken from there.
    threads
        Of each worker.
    """

    def __init__(
        self,
        condition: Condition,
        chunks: Sequence[tuple[int, ...]],
        processes: int,
        folder: RunFolder | None,
        checkpoints: bool = False,
        threads: int = 1,
    ) -> None:
        self.condition, self.chunks, self.processes = condition, [tuple(int(s) for s in c) for c in chunks], processes
        self.folder, self.checkpoints, self.threads = folder, checkpoints, threads

    def run(self, *, progress: bool, label: str) -> tuple[list[Outcome], list[dict[str, Piece]]]:
        """Outcomes and, without a folder, the pieces of the log of every chunk, in order."""
        from tqdm import tqdm

        steps = self.condition.learning.steps * self.condition.protocol.n_contexts
        total = steps * sum(len(chunk) for chunk in self.chunks)
        unit = "step" if total == steps else " animal-step"
        with tqdm(total=total, desc=label, unit=unit, disable=not progress, smoothing=0.1, dynamic_ncols=True) as bar:

            def step(n: int, /, *, skipped: bool = False) -> None:
                if skipped and not bar.disable:  # the rate, and the time that is left, are of what is lived now
                    bar.initial += n
                    bar.last_print_n += n
                    bar.n += n
                    bar.refresh()
                else:
                    bar.update(n)

            if self.processes == 1 or len(self.chunks) == 1:
                with torch_threads(self.threads):
                    results = [self._chunk(chunk, step) for chunk in self.chunks]
            else:
                results = self._spread(step)
        return [outcome for outcome, _ in results], [pieces for _, pieces in results]

    def _chunk(self, chunk: tuple[int, ...], update: Progress) -> tuple[Outcome, dict[str, Piece]]:
        def progress(steps: int, /, *, skipped: bool = False) -> None:
            update(steps * len(chunk), skipped=skipped)

        return live_chunk(self.condition, chunk, self.folder, progress, self.checkpoints)

    def _spread(self, update: Progress) -> list[tuple[Outcome, dict[str, Piece]]]:
        from joblib import Parallel, delayed, parallel_config

        with tempfile.TemporaryDirectory(prefix="replaysim-", ignore_cleanup_errors=True) as shared:
            counters = Path(shared) / "steps.npy"
            np.save(counters, np.zeros((2, len(self.chunks)), dtype=np.int64))  # lived now, skipped
            crew = parallel_config("loky", n_jobs=self.processes, inner_max_num_threads=self.threads)
            with crew, _watch(counters, update):
                return Parallel(batch_size=1, pre_dispatch="all", max_nbytes="1M", mmap_mode="r")(
                    delayed(_in_worker)(
                        self.condition,
                        chunk,
                        self.folder,
                        counters,
                        number,
                        self.checkpoints,
                        self.threads,
                        os.getpid(),
                    )
                    for number, chunk in enumerate(self.chunks)
                )


def live_chunk(
    condition: Condition,
    chunk: tuple[int, ...],
    folder: RunFolder | None,
    progress: Progress,
    checkpoints: bool = False,
) -> tuple[Outcome, dict[str, Piece]]:
    """Let one chunk live; pieces of its log go to the folder or, without one, are returned."""
    kept: dict[str, Piece] = {}
    if folder is None:
        outcome = live(condition, chunk, kept.__setitem__, progress)
    else:
        part = folder.part(min(chunk), max(chunk))
        checkpoint = Checkpoint(part.path / CHECKPOINT) if checkpoints else None

        def write(name: str, piece: Piece) -> None:
            progress(0)  # consolidation may have taken long: is the worker still wanted?
            part.write(name, piece)

        outcome = live(condition, chunk, write, progress, checkpoint)
    return outcome, kept


def _in_worker(
    condition: Condition,
    chunk: tuple[int, ...],
    folder: RunFolder | None,
    counters: Path,
    number: int,
    checkpoints: bool,
    threads: int,
    master: int,
) -> tuple[Outcome, dict[str, Piece]]:
    _check_wanted(master)
    if os.getpid() != master:  # else this is a user's own process
        keep_memory()
        _end_with(master)
    torch.set_num_threads(threads)
    counts = np.load(counters, mmap_mode="r+")

    def progress(steps: int, /, *, skipped: bool = False) -> None:
        _check_wanted(master)
        counts[int(skipped), number] += steps * len(chunk)

    return live_chunk(condition, chunk, folder, progress, checkpoints)


def _check_wanted(master: int) -> None:
    """Stop a worker whose simulation was killed: it would go on writing into a folder that may be somebody else's."""
    if master not in (os.getppid(), os.getpid()):  # joblib may have no other process for the work
        raise LogError(f"the simulation for which this worker computes (process {master}) has ended; start it again")


@cache
def _end_with(master: int) -> None:
    """Let an idle worker end when its simulation was killed: it would wait for minutes, and hold the output open.

    Not on Windows, which goes on naming a parent that is no more.
    """

    def wait() -> None:
        while os.getppid() == master:
            time.sleep(_LOOK_IDLY)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def _watch(counters: Path, update: Progress) -> Iterator[None]:
    """Pass what the workers count on to the progress bar, until the block ends."""
    done = threading.Event()
    counts = np.load(counters, mmap_mode="r")
    seen = [0, 0]

    def look() -> None:
        for skipped, now in enumerate(counts.sum(axis=1).tolist()):
            if now > seen[skipped]:
                update(now - seen[skipped], skipped=bool(skipped))
                seen[skipped] = now

    def keep_looking() -> None:
        while not done.wait(_LOOK_EVERY):
            look()

    watcher = threading.Thread(target=keep_looking, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
        look()
