"""Named tensors on disk: safetensors files, in which nothing can be executed, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import DataError, LogError


def write(path: str | os.PathLike[str], kind: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> Path:
    """Write tensors and what is to be known about them.

    The file is written under another name in the same folder and then renamed: whoever reads ``path``, also after a
    crash, finds the old file or the new one, never half of one.

    Parameters
    ----------
    path
        The file; its folder is made where it is missing.
    kind
        What the tensors are, e.g. ``"early_areas"``; :func:`read` asks for the same word.
    tensors
        Of any device and memory layout.
    about
        Plain values, kept as JSON.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    LogError
        If the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path = Path(path)
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    draft = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        os.close(handle)
        save_file(whole, draft, metadata={f"replaysim_{kind}": json.dumps(about)})
        with open(draft, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(draft, 0o644)  # a temporary file is for its owner only
        os.replace(draft, path)
    except (OSError, SafetensorError) as error:
        raise LogError(f"cannot write {path}: {error}") from error
    finally:
        if draft is not None and os.path.exists(draft):
            os.unlink(draft)
    return path


def check_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder where it is missing, and raise :class:`LogError` unless files can be written into it."""
    try:
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, prefix=".replaysim-"):
            return folder
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LogError(f"{path!s}: no folder that can be written ({reason}); choose another place") from error


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of what named tensors hold, whatever the file they came from and the note in it.

    Counters, such as that of the batches which a normalisation has seen, decide nothing and do not count.
    """
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        if value.is_floating_point():
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_note(path: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """What was written about the tensors of a file; the tensors are not read. Errors as for :func:`read`."""
    return _read(path, kind, tensors=False)[1]


def read(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors on the CPU, and what was written about them.

    Raises
    ------
    LogError
        If there is no such file, if it is truncated or foreign, or if it holds another kind of tensors.
    """
    return _read(path, kind, tensors=True)


def _read(path: str | os.PathLike[str], kind: str, *, tensors: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    path, what = Path(path), kind.replace("_", " ")
    if not path.is_file():
        raise LogError(f"no {what} at {path}")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            names = list(file.keys()) if tensors else []
            found = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise LogError(
            f"{path} cannot be read as a safetensors file ({error}): truncated, or something else? "
            "Fetch or make it again"
        ) from error
    try:
        note = json.loads(metadata[f"replaysim_{kind}"])
        if not isinstance(note, dict):
            raise TypeError(f"its note is no table of names and values: {note!r:.60}")
        return found, note
    except (KeyError, TypeError, ValueError) as error:
        held = ", ".join(sorted(metadata)) or "no note about what they are"
        raise LogError(f"{path} is a safetensors file, but holds no {what} of replaysim (it has {held})") from error


def check_fit(
    path: str | os.PathLike[str],
    found: Mapping[str, Tensor],
    wanted: Mapping[str, Tensor],
    *,
    finite: bool = True,
) -> None:
    """Raise :class:`DataError` unless tensors have the names, shapes and types wanted.

    Parameters
    ----------
    path
        Where they were found, for the error.
    found, wanted
        By name.
    finite
        Whether NaN and infinity are refused, too.
    """
    for lacking in sorted(wanted.keys() - found.keys()):
        raise DataError(f"{path}: {lacking!r} is missing")
    for extra in sorted(found.keys() - wanted.keys()):
        raise DataError(f"{path}: holds {extra!r}, for which there is no place")
    for name, value in found.items():
        must = wanted[name]
        if value.shape != must.shape or value.dtype != must.dtype:
            raise DataError(
                f"{path}: {name} is {value.dtype} of shape {tuple(value.shape)}, "
                f"must be {must.dtype} of shape {tuple(must.shape)}"
            )
        if finite and not bool(value.isfinite().all()):
            raise DataError(f"{path}: {name} holds NaN or infinity")
