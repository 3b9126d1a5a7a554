"""The embedded MLflow database as a file: is it there, whole and free, and does it know where its artifacts lie now?

MLflow would answer these questions in minutes and in tracebacks, and would make an empty database where one is
missing. Here they cost a millisecond and no import of MLflow.
"""

from __future__ import annotations

import fcntl
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from data.errors import Unavailable

EXPERIMENT: Final = "smallyes"
_WAIT_S: Final = 5.0
_LOCK_WAIT_S: Final = 60.0
_TABLES: Final = frozenset(("alembic_version", "experiments", "logged_models", "model_versions", "registered_models"))
_PLACES: Final = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Where MLflow writes absolute paths of artifacts."""


def check(file: Path, *, for_writing: bool = False) -> None:
    """Looks whether the database can be used.

    Raises:
        Unavailable: it is missing, locked, damaged or half-written.
    """
    with _opened(file) as database:
        found = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not found >= _TABLES or database.execute("SELECT 1 FROM alembic_version").fetchone() is None:
            raise Unavailable(
                f"{file}: is no complete MLflow database (it may be half-written); restore it from a backup, "
                "or move it away to begin with an empty one"
            )
        if for_writing:
            database.execute("BEGIN IMMEDIATE")
            database.execute("ROLLBACK")


def is_worth_following(file: Path | None, artifacts: Path | None) -> bool:
    """Whether a poller has anything to do: something was registered, or something is wrong that it should tell.

    Args:
        file: the database; ``None``: the registry is a server.
        artifacts: the folder of artifacts, which is there from the beginning.

    Example:
        >>> is_worth_following(None, None), is_worth_following(Path("no such file"), Path("no such folder"))
        (True, False)
    """
    if file is None or artifacts is None:
        return True
    if not file.exists():
        return artifacts.exists()
    try:
        with _opened(file) as database:
            return database.execute("SELECT 1 FROM registered_models LIMIT 1").fetchone() is not None
    except Unavailable:
        return True


def relocate(file: Path, artifacts: Path) -> bool:
    """Makes a database that was moved or copied with its workspace name the artifacts beside it; whether it had to.

    Raises:
        Unavailable: the database cannot be read or written.
    """
    with _opened(file) as database:
        row = database.execute("SELECT artifact_location FROM experiments WHERE name = ?", (EXPERIMENT,)).fetchone()
        old = None if row is None else str(row[0])
        if old is None or old == str(artifacts):
            return False
        database.execute("BEGIN IMMEDIATE")
        for table, column in _PLACES:
            database.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608 - names of our own
                f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                (str(artifacts), len(old) + 1, old, len(old) + 1, f"{old}/"),
            )
        database.execute("COMMIT")
    return True


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Holds the lock under which this project makes and changes the database, one process after the other.

    Raises:
        Unavailable: another process holds it for too long.
    """
    path = file.with_name(f".{file.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as lock:
            deadline = time.monotonic() + _LOCK_WAIT_S
            while not _is_taken(lock.fileno()):
                if time.monotonic() > deadline:
                    raise Unavailable(f"{file}: another process has been writing for {_LOCK_WAIT_S:.0f} s; try again")
                time.sleep(0.05)
            yield
    except PermissionError as error:
        raise Unavailable(f"{path}: cannot be opened: {error.strerror}") from None


def told(file: Path, error: sqlite3.Error) -> str:
    """What is wrong with the database, in a sentence, and what to do.

    Example:
        >>> told(Path("mlflow.db"), sqlite3.OperationalError("database is locked"))
        'mlflow.db: the MLflow database is busy: another process holds its lock; try again in a moment'
    """
    text = str(error)
    if "locked" in text or "busy" in text:
        return f"{file}: the MLflow database is busy: another process holds its lock; try again in a moment"
    if "full" in text or "disk I/O error" in text:
        return f"{file}: the MLflow database cannot be written ({text}): the disk is full, or broken; make room"
    if "not a database" in text or "malformed" in text or "no such table" in text:
        return f"{file}: the MLflow database is damaged ({text}); restore it from a backup"
    return f"{file}: the MLflow database cannot be used: {text}"


@contextmanager
def _opened(file: Path) -> Iterator[sqlite3.Connection]:
    if not file.is_file():
        raise Unavailable(
            f"{file}: the MLflow database is missing; restore it from a backup, or, where nothing was registered "
            "yet, train: smallyes train --log LOG makes it"
        )
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=_WAIT_S)) as database:
            database.isolation_level = None
            yield database
    except sqlite3.Error as error:
        raise Unavailable(told(file, error)) from None


def _is_taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
