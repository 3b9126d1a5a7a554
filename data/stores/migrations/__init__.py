"""The schema of the SQLite store as numbered scripts, applied in order: ``0001_first.sql`` makes version 1.

A script is never changed once released; a change of schema is a new script with the next number.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from data.errors import StoreUnavailable


def is_current(connection: sqlite3.Connection, path: str) -> bool:
    """Whether a database has the newest schema; looks before anything is written to it.

    Raises:
        StoreUnavailable: the file belongs to another program or to a newer version of this one.
        sqlite3.Error: the database cannot be read.
    """
    # In one transaction: another process may make the schema between two looks.
    connection.execute("BEGIN")
    missing = _missing(connection, path)
    connection.execute("COMMIT")
    return not missing


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Brings a database to the newest schema; several processes may do so at once.

    Raises:
        StoreUnavailable: see ``is_current``.
        sqlite3.Error: the database cannot be written; nothing was changed once the connection is closed.
    """
    connection.execute("BEGIN IMMEDIATE")
    # Another process may have been faster: what is missing is known only now, under the lock.
    for number, script in _missing(connection, path):
        for statement in _statements(script):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {number:d}")
    connection.execute("COMMIT")


def _missing(connection: sqlite3.Connection, path: str) -> list[tuple[int, str]]:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    scripts = _scripts()
    if version > len(scripts):
        raise StoreUnavailable(
            f"store: {path} was written by a newer version of smallyes: its schema is number {version}, "
            f"this version reads up to {len(scripts)}. Install that newer version, or use another store."
        )
    if version == 0 and connection.execute("SELECT 1 FROM sqlite_master").fetchone() is not None:
        raise StoreUnavailable(
            f"store: {path} is the SQLite database of another program; nothing was written to it. "
            "Correct the store URL: allowed are a smallyes store and a file that does not exist yet."
        )
    return list(scripts[version:])


@cache
def _scripts() -> tuple[tuple[int, str], ...]:
    folder = files(__name__)
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple((number, folder.joinpath(name).read_text("utf-8")) for number, name in enumerate(names, start=1))


def _statements(script: str) -> Iterator[str]:
    """The statements of a script: ``executescript`` would commit, and end the lock, before the first one."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
