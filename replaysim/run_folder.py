"""Folders of logs: where a simulation writes the finished pieces of its log, and makes one file of them in the end."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import xarray as xr

from . import schema
from .attributes import check_attributes
from .errors import LogError
from .folders import ANIMALS, CONFIG, RUN, folder_named, logs_below, make_room
from .history import times
from .netcdf import DRAFT, make_folder, read, write_atomically, write_text_atomically
from .pieces import Piece, as_tree, assemble
from .provenance import CONVENTIONS, config_attributes, config_text, read_settings, settings_of
from .schema import validate

_STATUS = "status.json"
BRAINS = "brains"
"""Folder beside a log in which :mod:`replaysim.resumption` keeps trained brains, ``<animal>.safetensors``."""
CHECKPOINT = "checkpoint.safetensors"
"""Beside the pieces of a chunk of animals: where they are between two contexts, see :mod:`replaysim.checkpoints`."""
_PART = re.compile(r"\d+-\d+")
_REMOVED = {CHECKPOINT: 0, RUN: 2, CONFIG: 3}
"""When a file is removed, others at 1: what a kill leaves behind still says whose it is, and is never gone on with."""


@dataclass(frozen=True)
class PartFolder:
    """Where one chunk of animals writes its pieces; ``attrs`` are repeated in every file, as files get separated."""

    path: Path
    attrs: Mapping[str, object] = field(default_factory=dict)

    def write(self, name: str, piece: Piece) -> None:
        """Check a finished piece and write it; it is whole on disk when this returns.

        Parameters
        ----------
        name
            ``"behaviour"``, ``"learning"`` or ``"gates"`` (the latest replaces the earlier one); ``"cortex/0003"``,
            ``"replay/0003"`` or ``"synapses/0003"`` with the number of finished contexts.
        piece
            A tree, a mapping from group to dataset, or a dataset where the name tells its group.

        Raises
        ------
        LogError
            If the piece does not follow the schema, or cannot be written.
        """
        tree = as_tree(name, piece).copy(deep=False)
        validate(tree)
        tree.attrs = {**tree.attrs, **self.attrs}
        path = self.path / f"{name}.nc"
        make_folder(path.parent)
        write_atomically(tree, path)

    def pieces(self, *, load: bool = True) -> dict[str, xr.DataTree]:
        """All finished pieces by name; not loaded ones must be closed by the caller."""
        return {name: read(self.path / f"{name}.nc", load=load) for name in sorted(self._names())}

    def _names(self) -> list[str]:
        names = (path.relative_to(self.path).with_suffix("").as_posix() for path in self.path.glob("**/*.nc"))
        return [name for name in names if schema.PIECES.fullmatch(name)]


@dataclass(frozen=True)
class RunFolder:
    """The folder of one simulation; can be sent to other processes.

    ``config.json`` comes first, the pieces grow in ``animals/<first>-<last>/``, ``run.nc`` comes last. ``status.json``
    is there only if the simulation says that it has failed. Who writes keeps the folder, see :mod:`replaysim.locks`.

    Parameters
    ----------
    path
        The folder.
    attrs
        Provenance for every file; by default only the settings of ``config.json``.
    """

    path: Path
    attrs: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def create(
        cls, path: str | os.PathLike[str], *, overwrite: bool = False, attrs: Mapping[str, object] | None = None
    ) -> RunFolder:
        """Make the folder, or take one that holds no log.

        Parameters
        ----------
        path
            The folder; its parents are made, too.
        overwrite
            Remove an earlier log first, and the brains of its animals that were kept beside it: only files that a
            simulation writes.
        attrs
            Provenance for every file, checked now.

        Raises
        ------
        SettingError
            For an attribute that netCDF cannot hold, and where ``path`` is no name of a folder.
        LogError
            If there is a log already, a file, or a folder that cannot be written.
        """
        check_attributes(attrs or {})
        folder = cls(folder_named("simulate", path), attrs or {})
        make_room(folder.path, (RUN, CONFIG, _STATUS), ANIMALS, _PART)
        there = folder._files()
        folder._check_ours(there)
        finished = [file for file in there if not _is_draft(file)]
        if finished and not overwrite:
            names = f"{finished[0].relative_to(folder.path)}" + (
                f" and {len(finished) - 1} more" if finished[1:] else ""
            )
            raise LogError(
                f"{folder.path}: there is a log already ({names}); {folder._way_on(finished)}choose another folder, or "
                "replace it with overwrite=True (on a command line: --overwrite)"
            )
        folder._remove([*folder._brains(), *there])  # brains, too: they never lie beside the log of others
        return folder

    def _way_on(self, there: Sequence[Path]) -> str:
        """How to use a log that is there, before it is given up."""
        if self.path / RUN in there:
            return (
                "it is complete: read it with open_log(), or let simulate_once() simulate only what is not there; or "
            )
        if any(file.name == CHECKPOINT for file in there):
            return "it is not complete: go on with it with checkpoints=True; or "
        return ""

    @classmethod
    def reopen(cls, path: str | os.PathLike[str], *, attrs: Mapping[str, object] | None = None) -> RunFolder:
        """Take the folder of an unfinished log, to go on with it; what is finished stays."""
        check_attributes(attrs or {})
        folder = cls(folder_named("simulate", path), attrs or {})
        folder._remove([file for file in folder._files() if file.name == _STATUS or _is_draft(file)])
        return folder

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write the settings; the SHA-256 of ``config.json`` is the attribute ``config_sha256`` of every file."""
        write_text_atomically(config_text(config), self.path / CONFIG)

    def part(self, first: int, last: int) -> PartFolder:
        """Where the animals from ``first`` to ``last`` write; nobody else may write there."""
        least = {"replaysim_schema": schema.VERSION, "Conventions": CONVENTIONS, "status": "running"}
        return PartFolder(self.path / ANIMALS / f"{first}-{last}", {**least, **self._attributes(), **self.attrs})

    def fail(self, reason: str) -> None:
        """Say that the simulation has failed, for whoever opens the unfinished log."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        status = {"status": "failed", "reason": reason, "date": now}
        write_text_atomically(json.dumps(status, indent=1), self.path / _STATUS)

    def consolidate(self, attrs: Mapping[str, object], *, keep_pieces: bool = False) -> xr.DataTree:
        """Put all pieces together, write ``run.nc``, remove the pieces and return the tree.

        Parameters
        ----------
        attrs
            Attributes of the root.
        keep_pieces
            Whether the pieces stay, at the price of twice the space.

        Raises
        ------
        LogError
            If pieces contradict each other or the schema, the file cannot be written, or somebody else has written it
            meanwhile; the pieces are untouched.
        """
        if (self.path / RUN).exists():  # where nothing can be locked
            raise LogError(
                f"{self.path / RUN}: was written meanwhile, by another simulation, and is kept; what is in "
                f"{self.path / ANIMALS} is left of this one: remove it, and simulate into another folder"
            )
        parts = [part.pieces(load=False) for part in self.parts()]
        try:
            tree = assemble(parts, attrs)
        finally:
            for part in parts:
                for piece in part.values():
                    piece.close()
        validate(tree)
        write_atomically(tree, self.path / RUN)
        if not keep_pieces:
            with contextlib.suppress(LogError):  # on Windows, somebody may be reading one
                self._remove([f for f in self._files() if f.name not in (RUN, CONFIG)])
        return tree

    def parts(self) -> list[PartFolder]:
        """Chunks that have begun, by their first animal."""
        folders = [p for p in (self.path / ANIMALS).glob("*") if p.is_dir() and _PART.fullmatch(p.name)]
        return [PartFolder(p) for p in sorted(folders, key=lambda p: int(p.name.partition("-")[0]))]

    def unfinished(self) -> xr.DataTree:
        """The tree of what is there so far; see :func:`open_log`."""
        parts = [part.pieces() for part in self.parts()]
        trees = [piece for part in parts for piece in part.values()]
        attrs = self._attributes() | {
            str(k): v for k, v in max((t.attrs for t in trees), key=times, default={}).items()
        }
        if not attrs:
            below = list(map(str, logs_below(self.path)))
            more = f" and {len(below) - 5} more" if len(below) > 5 else ""
            hint = f"; there are logs in {', '.join(below[:5])}{more}" if below else ""
            raise LogError(f"{self.path}: holds no log of replaysim (no {RUN}, no {CONFIG}, no {ANIMALS}/*/*.nc){hint}")
        written = max(file.stat().st_mtime for file in self._files())
        attrs["date_modified"] = datetime.fromtimestamp(written, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return assemble(parts, {**attrs, **self._status()})

    def last_written(self) -> dict[str, Any]:
        """Attributes of the piece with the longest history: of whoever wrote last. None where there is no piece."""
        found: dict[str, Any] = {}
        for file in (file for file in self._files() if file.suffix == ".nc" and not _is_draft(file)):
            tree = read(file, load=False)
            tree.close()
            if not found or times(tree.attrs) > times(found):
                found = {str(name): value for name, value in tree.attrs.items()}
        return found

    def settings(self) -> dict[str, Any] | None:
        """Settings of the log in this folder, complete or not; None where there is none.

        Raises
        ------
        LogError
            If there is a log, but its settings are missing or damaged.
        """
        if (self.path / RUN).is_file():
            tree = read(self.path / RUN, load=False)
            tree.close()
            return settings_of(tree.attrs, self.path / RUN)
        config = self.path / CONFIG
        there = config.exists() or not all(_is_draft(file) for file in self._files())  # killed at its first file
        return read_settings(config) if there else None

    @property
    def unfinished_settings(self) -> dict[str, Any] | None:
        """Settings of a log that is not complete; None where there is none, or a complete one."""
        there = self.path.is_dir() and not (self.path / RUN).is_file()
        return self.settings() if there else None

    def _brains(self) -> list[Path]:
        """Brains that were kept beside the log, shortly before it was complete or later."""
        try:
            animals = (self.settings() or {}).get("animals")
        except LogError:  # whose they are is not known: they stay
            animals = None
        seeds = [a for a in animals if isinstance(a, int)] if isinstance(animals, list) else []
        return [path for a in seeds if (path := self.path / BRAINS / f"{a}.safetensors").is_file()]

    def _status(self) -> dict[str, str]:
        try:
            status = json.loads((self.path / _STATUS).read_text(encoding="utf-8"))
            return {"status": "failed", "status_reason": str(status["reason"])}
        except FileNotFoundError:
            return {"status": "running"}
        except (ValueError, KeyError, TypeError):
            return {"status": "failed"}

    def _attributes(self) -> dict[str, Any]:
        config = self._config()
        return {} if config is None else {"replaysim_schema": schema.VERSION, **config_attributes(config)}

    def _config(self) -> dict[str, Any] | None:
        """Settings, or None where there are none of ours."""
        try:
            config = json.loads((self.path / CONFIG).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return config if isinstance(config, dict) and "replaysim_schema" in config else None

    def _files(self) -> list[Path]:
        """Files in the folder with names that a simulation writes, drafts included."""
        names = [RUN, CONFIG, _STATUS]
        found = [self.path / name for name in names]
        found += [file for file in self.path.glob("*.tmp") if DRAFT.sub("", file.name) in names]
        for part in self.parts():
            for file in part.path.glob("**/*"):
                name = DRAFT.sub("", file.relative_to(part.path).as_posix())
                if name.endswith(".nc") and schema.PIECES.fullmatch(name.removesuffix(".nc")):
                    found.append(file)
            found += [part.path / CHECKPOINT, *part.path.glob(f".{CHECKPOINT}-*")]  # and drafts of it
        return [file for file in found if file.is_file()]

    def _check_ours(self, there: list[Path]) -> None:
        """Refuse a folder in which files of somebody else have the names of ours."""
        for name in (CONFIG, _STATUS, RUN):
            file = self.path / name
            if file in there and self._config() is None and not (name == RUN and _is_log(file)):
                raise LogError(f"{file}: was not written by replaysim and would be replaced; choose another folder")

    def _remove(self, files: list[Path]) -> None:
        try:
            for file in sorted(files, key=lambda file: _REMOVED.get(file.name, 1)):
                file.unlink()
        except OSError as error:
            raise LogError(
                f"{error.filename or self.path}: cannot be removed ({error.strerror}); is it open elsewhere?"
            ) from error
        folders = {folder for file in files for folder in file.parents if self.path in folder.parents}
        for folder in sorted(folders, key=lambda f: len(f.parts), reverse=True):
            with contextlib.suppress(OSError):  # holds something of the user
                folder.rmdir()


def _is_draft(file: Path) -> bool:
    return DRAFT.search(file.name) is not None or file.name.startswith(f".{CHECKPOINT}-")


def _is_log(file: Path) -> bool:
    try:
        read(file, load=False).close()
    except LogError:
        return False
    return True
