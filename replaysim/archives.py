"""Archives: the files of named data sets, where they lie, what they hold and how they come here.

A data set is one uncompressed file ``<name>.npz``, so that 60,000 images are read in a blink and by numpy alone. A file
that is missing is fetched once by torchvision, which knows the sources and their checksums.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .errors import DataError, MissingDataError

_ARRAYS: tuple[str, ...] = ("x_train", "y_train", "x_test", "y_test", "classes")
_PATIENCE = (
    60.0  # seconds without a byte after which a download has failed: some firewalls swallow requests without a word
)


@dataclass(frozen=True)
class Specification:
    """What an archive holds.

    Parameters
    ----------
    torchvision
        Name of the class of ``torchvision.datasets`` that fetches it.
    image
        Shape of an image: (row, column) or (row, column, channel).
    n_classes
        Number of classes.
    """

    torchvision: str
    image: tuple[int, ...]
    n_classes: int

    def __str__(self) -> str:
        shape = ", ".join(str(n) for n in self.image)
        return (
            f"x_train and x_test (uint8, shape (images, {shape})), y_train and y_test (whole numbers "
            f"0..{self.n_classes - 1}, shape (images,)) and classes ({self.n_classes} strings)"
        )


SPECIFICATIONS = {
    "mnist": Specification("MNIST", (28, 28), 10),
    "cifar10": Specification("CIFAR10", (32, 32, 3), 10),
    "cifar100": Specification("CIFAR100", (32, 32, 3), 100),
}


def places(folder: str | os.PathLike[str] | None = None) -> list[Path]:
    """Folders in which archives are looked for, in this order; the first also receives downloads.

    Only ``folder`` if it is given, else only ``$REPLAYSIM_DATA`` if it is set, else ``data/`` beside the package if
    this is a checkout, and the user's cache folder.
    """
    chosen = folder if folder is not None else os.environ.get("REPLAYSIM_DATA")
    if chosen:
        return [Path(chosen).expanduser().absolute()]
    root = Path(__file__).resolve().parent.parent
    checkout = [root / "data"] if (root / "pyproject.toml").is_file() else []
    return [*checkout, Path(importlib.import_module("platformdirs").user_cache_dir("replaysim"))]


def obtain(name: str, folder: str | os.PathLike[str] | None = None) -> tuple[Path, dict[str, np.ndarray]]:
    """Read an archive, after fetching it if it is nowhere on this machine.

    Parameters
    ----------
    name
        A key of ``SPECIFICATIONS``.
    folder
        See :func:`places`.

    Returns
    -------
    Path
        The file.
    dict
        Its arrays ``x_train``, ``y_train``, ``x_test``, ``y_test`` and ``classes``, of the right types and shapes.

    Raises
    ------
    MissingDataError
        If the file is missing and cannot be fetched.
    DataError
        If it is damaged or holds something else.
    """
    looked = places(folder)
    for place in looked:
        path = place / f"{name}.npz"
        if path.is_file():
            return path, read(name, path)
    return _fetch(name, looked)


def read(name: str, path: Path) -> dict[str, np.ndarray]:
    """Read the archive of the data set ``name`` from a file; raises :class:`DataError` if it is damaged or foreign."""
    try:
        with open(path, "rb") as file:
            opened = np.load(file, allow_pickle=False)
            if not isinstance(opened, np.lib.npyio.NpzFile):
                raise ValueError("it is a single array")
            arrays = {key: opened[key] for key in _ARRAYS if key in opened.files}
    except (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"{path}: cannot be read as an npz file of plain arrays, it is truncated or something else ({error}); "
            "delete it to have it fetched again, or replace it"
        ) from error
    _check(name, arrays, str(path))
    return arrays


def _check(name: str, arrays: Mapping[str, np.ndarray], where: str) -> None:
    """Raise :class:`DataError` unless the arrays are there with the right types and shapes."""
    specification = SPECIFICATIONS[name]

    def insist(condition: bool, what: str) -> None:
        if not condition:
            raise DataError(f"{where}: {what}; {name}.npz holds {specification}")

    for key in _ARRAYS:
        insist(key in arrays, f"has no array {key!r}")
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        insist(x.dtype == np.uint8, f"x_{part} is {x.dtype}")
        insist(x.shape[1:] == specification.image, f"x_{part} has shape {x.shape}")
        insist(y.dtype.kind in "iu", f"y_{part} is {y.dtype}")
        insist(y.shape == x.shape[:1], f"y_{part} has shape {y.shape} and x_{part} {x.shape}")
    classes = arrays["classes"]
    insist(classes.dtype.kind == "U", f"classes is {classes.dtype}")
    insist(classes.shape == (specification.n_classes,), f"classes has shape {classes.shape}")


def _fetch(name: str, looked: Sequence[Path]) -> tuple[Path, dict[str, np.ndarray]]:
    """Download and convert into the first of the folders.

    Everything happens in a temporary folder of this process, and the file gets its name when it is whole: neither a
    crash nor another process that downloads the same leaves half a file to be found.
    """
    import http.client  # here, because they would make up half of the time that this module takes to import
    import tarfile

    path = looked[0] / f"{name}.npz"
    try:
        datasets = importlib.import_module("torchvision.datasets")
    except (
        ImportError,
        RuntimeError,
        OSError,
        AttributeError,
    ) as error:  # all seen when torch and torchvision do not match
        raise _missing(name, looked, "torchvision, which would download it, cannot be imported", error) from error
    print(f"replaysim: fetching {name} once, into {path.parent}", file=sys.stderr)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=path.parent, ignore_cleanup_errors=True) as raw:
            with _patience(_PATIENCE):
                arrays = _download(getattr(datasets, SPECIFICATIONS[name].torchvision), Path(raw))
            _check(name, arrays, f"{name} as torchvision gives it")
            _write(arrays, Path(raw) / path.name, path)
    except (OSError, RuntimeError, EOFError, http.client.HTTPException, tarfile.TarError, zlib.error) as error:
        raise _missing(name, looked, "it could not be downloaded", error) from error
    return path, arrays


def _download(dataset: type, raw: Path) -> dict[str, np.ndarray]:
    """Arrays of a class of ``torchvision.datasets``; it shows a progress bar and verifies checksums."""
    train, test = (dataset(root=raw, train=part, download=True) for part in (True, False))
    return {
        "x_train": np.ascontiguousarray(train.data),  # MNIST has tensors here, CIFAR arrays and lists
        "y_train": np.asarray(train.targets, dtype=np.int64),
        "x_test": np.ascontiguousarray(test.data),
        "y_test": np.asarray(test.targets, dtype=np.int64),
        "classes": np.array([str(c).split(" - ")[0] for c in train.classes]),  # MNIST calls its digits "0 - zero"
    }


def _write(arrays: Mapping[str, Any], draft: Path, path: Path) -> None:
    with open(draft, "wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.replace(draft, path)
    except PermissionError:  # Windows, while another process reads what it has put there in the meantime
        if not path.is_file():
            raise


@contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Let connections opened inside give up after so many seconds of silence, unless a limit is already set."""
    import socket

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds if before is None else before)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _missing(name: str, looked: Sequence[Path], why: str, error: BaseException) -> MissingDataError:
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return MissingDataError(
        f"{name}.npz is not on this machine, and {why} ({reason}).\n"
        f"Looked for it in: {', '.join(str(place) for place in looked)}.\n"
        f"To get it: run replaysim.stimuli.load({name!r}, folder) on a machine with network and torchvision, or write "
        f"{name}.npz with numpy.savez. It must hold {SPECIFICATIONS[name]}. Put it into a folder named above, or set "
        "the environment variable REPLAYSIM_DATA to its folder."
    )
