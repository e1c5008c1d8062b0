"""The folder of a study: one study writes into it, and a file in it says which.

Logs in a folder are kept whatever is run next. Tables and figures are made again by every run of their study; another
study would replace them by its own of the same names, and is refused.
"""

from __future__ import annotations

from pathlib import Path

from .errors import LogError
from .folders import holds_log
from .provenance import command_line

TABLE, OWNER = "table.txt", "study.txt"


def check_owner(folder: Path, study: str) -> None:
    """Raise an error where the folder belongs to another study, or is that of one simulation.

    Parameters
    ----------
    folder
        Of the study; need not be there yet.
    study
        Name of the script, without its suffix.

    Raises
    ------
    LogError
        If another study has left a table there, a simulation its log, or the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise LogError(f"{folder}: is a file, a study needs a folder; choose another name")
    if holds_log(folder):
        raise LogError(
            f"{folder}: holds the log of a simulation; a study has a folder for each: choose another (--out)"
        )
    path = folder / OWNER
    owner = path.read_text(encoding="utf-8").split("\n", 1)[0].strip() if path.is_file() else study
    if owner != study:
        raise LogError(
            f"{folder}: holds tables and figures of the study {owner}, which {study} would replace by its own; choose "
            "another folder (--out)"
        )


def keep_table(folder: Path, study: str, text: str) -> None:
    """Print a table, and keep it in the folder of its study, which says from now on whose it is.

    Parameters
    ----------
    folder, study
        See :func:`check_owner`.
    text
        The table, with whatever belongs below it.
    """
    print("\n" + text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / OWNER).write_text(f"{study}\nlast run: {command_line()}\n", encoding="utf-8")
    (folder / TABLE).write_text(text + "\n", encoding="utf-8")
