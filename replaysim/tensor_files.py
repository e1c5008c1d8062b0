"""Named tensors on disk: safetensors files, in which nothing can be executed, written whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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


def read(path: str | os.PathLike[str], kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors on the CPU, and what was written about them.

    Raises
    ------
    LogError
        If there is no such file, if it is truncated or foreign, or if it holds another kind of tensors.
    """
    from safetensors import SafetensorError, safe_open

    path, what = Path(path), kind.replace("_", " ")
    if not path.is_file():
        raise LogError(f"no {what} at {path}")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except (SafetensorError, OSError) as error:
        raise LogError(
            f"{path} cannot be read as a safetensors file ({error}): truncated, or something else? "
            "Fetch or make it again"
        ) from error
    try:
        return tensors, dict(json.loads(metadata[f"replaysim_{kind}"]))
    except (KeyError, TypeError, ValueError) as error:
        held = ", ".join(sorted(metadata)) or "no note about what they are"
        raise LogError(f"{path} is a safetensors file, but holds no {what} of replaysim (it has {held})") from error


def check_fit(path: str | os.PathLike[str], found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Raise :class:`DataError` unless tensors have the names, shapes and types wanted, and finite values."""
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
        if not bool(value.isfinite().all()):
            raise DataError(f"{path}: {name} holds NaN or infinity")
