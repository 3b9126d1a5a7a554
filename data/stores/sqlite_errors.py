"""What an error of SQLite means to the person who has to act on it."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from data.errors import StoreUnavailable

_BUSY: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)


def is_locked(error: sqlite3.Error) -> bool:
    """Whether another connection holds a lock, so that trying again soon may help."""
    return _primary(error) in _BUSY


def unavailable(error: sqlite3.Error, path: str, waited_s: float) -> StoreUnavailable:
    """The error as the product tells it: what is wrong, with which file, and what to do."""
    code = _primary(error)
    folder = Path(path).parent
    if code in _BUSY:
        text = (
            f"{path} is locked: another process has held it for more than {waited_s * 1000:.0f} ms. "
            f"Try again; if it lasts, find that process (for instance with `fuser {path}`) and end it."
        )
    elif code == sqlite3.SQLITE_FULL:
        text = f"the disk of {path} is full: nothing was written. Free space in {folder}, then try again."
    elif code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        text = (
            f"{path} cannot be written: the file, its folder or its disk is read-only for this user. "
            f"Give this user the right to write to {folder} and the files in it."
        )
    elif code == sqlite3.SQLITE_CANTOPEN:
        text = _cannot_open(Path(path))
    elif code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        text = (
            f"{path} is damaged or no SQLite database ({error}). "
            "Put back a backup, or move the file away to start with an empty store."
        )
    elif code == sqlite3.SQLITE_IOERR:
        name = getattr(error, "sqlite_errorname", "SQLITE_IOERR")
        text = f"the disk of {path} answered with an error ({name}): nothing was written. Check the disk of {folder}."
    else:
        text = f"{path} cannot be used: {error}. Check that it is a store of smallyes and that nobody changed it."
    return StoreUnavailable(f"store: {text}")


def _cannot_open(path: Path) -> str:
    if not path.parent.is_dir():
        return f"folder {path.parent} does not exist. Make it, or correct the store URL."
    if path.is_dir():
        return f"{path} is a folder; allowed: the path of a file. Correct the store URL."
    return f"{path} cannot be opened. Give this user the right to read and write it and its folder {path.parent}."


def _primary(error: sqlite3.Error) -> int:
    """The error's primary code; SQLite keeps details in the higher bits. Errors of Python's module have none."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF
