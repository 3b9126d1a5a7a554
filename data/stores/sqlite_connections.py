"""Connections to one SQLite file: one per thread, none across a fork, every wait bounded.

SQLite's own busy handler sleeps up to 100 ms at a time, which two busy workers would feel, so that connections do
not wait at all: whoever finds the file locked tries again here, in short steps, until its time is over.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Final, Literal, TypeVar

from data.errors import StoreUnavailable
from data.stores.migrations import is_current, migrate
from data.stores.sqlite_errors import is_locked, unavailable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]
Sync = Literal["normal", "full"]

FIRST_STEP_S: Final = 0.0002
LONGEST_STEP_S: Final = 0.005
OPENING_S: Final = 2.0
"""How long opening a store may wait: another process may just be making the schema, on a slow disk."""
CHECKPOINT_ROWS: Final = 1_000
"""Rows written between two checkpoints, about 3,000 pages of the write-ahead log."""
CHECKPOINT_WAIT_MS: Final = 20
"""How long a checkpoint waits for the write lock, and then, holding it, for readers of the log."""
CHECKPOINT_PAGES: Final = 16_000
"""Length of the write-ahead log (64 MiB) at which a writer makes the checkpoint itself, so that it stays bounded."""

_SETTINGS: Final = (
    # Deleted rows are overwritten with zeros, so that what was erased is not left in the file.
    "PRAGMA secure_delete = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -8000",
    f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}",
    # A log that grew under a long read gives its space back.
    f"PRAGMA journal_size_limit = {CHECKPOINT_PAGES * 4_096}",
)

_foreign: list[sqlite3.Connection] = []
"""Connections inherited through a fork. Even closing one here would harm the process that opened it."""


class _Slot:
    """The connection of one thread; the lock keeps ``close`` and forks from pulling it away during a call."""

    __slots__ = ("__weakref__", "connection", "lock", "pid")

    def __init__(self) -> None:
        self.connection: sqlite3.Connection | None = None
        self.lock = threading.Lock()
        self.pid = os.getpid()

    def close(self) -> None:
        """Closes the connection where it was opened; anywhere else it is only let go."""
        connection, self.connection = self.connection, None
        if connection is None:
            return
        if self.pid == os.getpid():
            connection.close()
        else:
            _foreign.append(connection)

    def __del__(self) -> None:
        self.close()


class Connections:
    """Runs work on the calling thread's connection; see the module docstring.

    Args:
        path: the database file, absolute.
        sync: ``normal`` survives a killed process, ``full`` a power loss too.
        busy_timeout_s: how long to wait for a lock before the store counts as unavailable.
    """

    def __init__(self, path: str, sync: Sync, busy_timeout_s: float) -> None:
        self._path = path
        self._sync = sync
        self._busy_timeout_s = busy_timeout_s
        self._local = threading.local()
        self._lock = threading.Lock()
        self._slots: weakref.WeakSet[_Slot] = weakref.WeakSet()
        self._checkpoints = _Checkpoints(self.checkpoint)
        self._is_closed = False
        self.open(max(OPENING_S, busy_timeout_s)).close()
        _watch_forks()
        _all_connections.add(self)

    def run(self, work: Work[T]) -> T:
        """The result of work, which is done again from its start when it meets a lock.

        Raises:
            StoreUnavailable: the database is locked for too long, or cannot be used at all.
        """
        slot = self._slot()
        with slot.lock:
            try:
                return work(slot.connection or self._connect(slot))
            except sqlite3.Error as error:
                return self._again(slot, work, error)
            except BaseException:
                _roll_back(slot.connection)
                raise

    def write(self, work: Work[T], n_rows: int) -> T:
        """Runs work in a transaction that holds the write lock; durable, all of it, when this returns."""

        def transaction(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            result = work(connection)
            connection.execute("COMMIT")
            return result

        result = self.run(transaction)
        self._checkpoints.written(n_rows)
        return result

    def snapshot(self, work: Work[T]) -> T:
        """Runs work that reads more than once, all of it from one moment."""

        def transaction(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN")
            result = work(connection)
            connection.execute("COMMIT")
            return result

        return self.run(transaction)

    def reader(self) -> sqlite3.Connection:
        """A connection of the caller's own, in a read transaction: writes from now on do not change what it reads.

        Raises:
            StoreUnavailable: see ``run``.
        """
        deadline = time.monotonic() + self._busy_timeout_s
        connection = self.open()
        try:
            _patiently(lambda: _begin_reading(connection), deadline)
        except sqlite3.Error as error:
            connection.close()
            raise unavailable(error, self._path, self._busy_timeout_s) from error
        return connection

    def open(self, patience_s: float | None = None) -> sqlite3.Connection:
        """A new connection to the database, whose schema is made or brought up to date where necessary.

        Raises:
            StoreUnavailable: see ``run``; or the store was closed.
        """
        if self._is_closed:
            raise StoreUnavailable(f"store: {self._path} was closed by this process")
        patience_s = self._busy_timeout_s if patience_s is None else patience_s
        try:
            return _patiently(self._open_once, time.monotonic() + patience_s)
        except sqlite3.Error as error:
            raise unavailable(error, self._path, patience_s) from error

    def checkpoint(self, mode: Literal["RESTART", "TRUNCATE"] = "RESTART") -> bool:
        """Moves the write-ahead log into the database, so that it starts again from its front; whether it could.

        Only ever with the write lock held: before version 3.51.3 of SQLite, a checkpoint without it can meet a
        commit that restarts the log, and pages are lost (its documentation calls this the WAL-reset bug).

        Raises:
            StoreUnavailable: see ``run``.
        """
        connection = self.open()
        try:
            connection.execute(f"PRAGMA busy_timeout = {CHECKPOINT_WAIT_MS}")
            _sync_file(self._path + "-wal")
            is_busy: int = connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()[0]
        except sqlite3.Error as error:
            if not is_locked(error):
                raise unavailable(error, self._path, CHECKPOINT_WAIT_MS / 1000) from error
            return False
        finally:
            connection.close()
        return not is_busy

    def close(self) -> None:
        """Closes every connection, after the work that runs on it."""
        self._is_closed = True
        self._checkpoints.wait()
        with self._lock:
            for slot in tuple(self._slots):
                with slot.lock:
                    slot.close()

    def before_fork(self) -> list[threading.Lock]:
        """Closes every connection and keeps threads from opening new ones; the locks to release after the fork.

        SQLite remembers per process which locks it holds. A child that inherited this would believe to hold locks
        that only its parent has, and could lose writes.
        """
        held = [self._lock, self._checkpoints.lock]
        for lock in held:
            lock.acquire()
        self._checkpoints.wait()
        for slot in tuple(self._slots):
            slot.lock.acquire()
            slot.close()
            held.append(slot.lock)
        return held

    def _slot(self) -> _Slot:
        slot: _Slot | None = getattr(self._local, "slot", None)
        if slot is not None and slot.pid == os.getpid():
            return slot
        slot = _Slot()
        with self._lock:
            self._slots.add(slot)
        self._local.slot = slot
        return slot

    def _connect(self, slot: _Slot) -> sqlite3.Connection:
        slot.connection = self.open()
        return slot.connection

    def _again(self, slot: _Slot, work: Work[T], error: sqlite3.Error) -> T:
        """Does the work again while the database is locked; a connection that met worse is given up."""
        _roll_back(slot.connection)
        if is_locked(error):
            deadline = time.monotonic() + self._busy_timeout_s
            try:
                return _patiently(lambda: _all_or_nothing(work, slot.connection or self._connect(slot)), deadline)
            except sqlite3.Error as last:
                error = last
        if not is_locked(error):
            slot.close()
        raise unavailable(error, self._path, self._busy_timeout_s) from error

    def _open_once(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            is_complete = is_current(connection, self._path)
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            if mode != "wal":
                raise StoreUnavailable(
                    f"store: {self._path} cannot keep a write-ahead log (SQLite stays in mode {mode}): "
                    "is it on a network disk? Allowed: a local disk."
                )
            connection.execute(f"PRAGMA synchronous = {self._sync.upper()}")
            if self._sync == "full":
                # Elsewhere without effect; on macOS a plain fsync does not reach the disk's platter.
                connection.execute("PRAGMA fullfsync = ON")
            for setting in _SETTINGS:
                connection.execute(setting)
            if not is_complete:
                migrate(connection, self._path)
        except BaseException:
            connection.close()
            raise
        return connection


class _Checkpoints:
    """Moves the write-ahead log into the database in a thread of its own while others write on.

    A checkpoint made by the writer itself would let every commit behind it wait for the disk far longer. Whoever
    holds ``lock`` keeps new ones from being started.
    """

    def __init__(self, checkpoint: Callable[[], bool]) -> None:
        self.lock = threading.Lock()
        self._checkpoint = checkpoint
        self._n_rows = 0
        self._thread: threading.Thread | None = None

    def written(self, n_rows: int) -> None:
        """Counts rows; starts a checkpoint when there are many, unless one is running."""
        self._n_rows += n_rows
        if self._n_rows >= CHECKPOINT_ROWS and self.lock.acquire(blocking=False):
            try:
                self._start()
            finally:
                self.lock.release()

    def wait(self) -> None:
        """Waits for a running checkpoint."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _start(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        self._n_rows = 0
        thread = threading.Thread(target=self._move, name="smallyes-checkpoint")
        try:
            thread.start()
        except RuntimeError:
            # No thread can be started, for instance because the process ends: a writer will do it in time.
            return
        self._thread = thread

    def _move(self) -> None:
        # Nothing is lost by a checkpoint that fails; who writes next finds out what is wrong with the disk.
        with suppress(StoreUnavailable):
            self._checkpoint()


def _sync_file(path: str) -> None:
    """Lets the log reach the disk before anybody is held up; no lock of SQLite's is on this file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        # SQLite meets the same error, and tells it.
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _patiently(work: Callable[[], T], deadline: float) -> T:
    """Does work again, in growing steps, while it meets a lock and its time is not over."""
    step_s = FIRST_STEP_S
    while True:
        try:
            return work()
        except sqlite3.Error as error:
            if not is_locked(error) or time.monotonic() + step_s > deadline:
                raise
        time.sleep(step_s)
        step_s = min(LONGEST_STEP_S, step_s * 1.5)


def _all_or_nothing(work: Work[T], connection: sqlite3.Connection) -> T:
    """Does work; leaves no transaction open when it fails."""
    try:
        return work(connection)
    except BaseException:
        _roll_back(connection)
        raise


def _begin_reading(connection: sqlite3.Connection) -> None:
    def begin(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")
        # A transaction sees the moment of its first read.
        connection.execute("SELECT 1 FROM meta").fetchone()

    _all_or_nothing(begin, connection)


def _roll_back(connection: sqlite3.Connection | None) -> None:
    if connection is not None and connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            # The first error is the one to tell; a connection that cannot even roll back is useless.
            connection.close()


_all_connections: weakref.WeakSet[Connections] = weakref.WeakSet()
_held_over_fork: list[threading.Lock] = []


@cache
def _watch_forks() -> None:
    """Sees to it, once in a process, that no connection is open while it forks."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def _before_fork() -> None:
    for connections in tuple(_all_connections):
        _held_over_fork.extend(connections.before_fork())


def _after_fork() -> None:
    while _held_over_fork:
        _held_over_fork.pop().release()
