"""A store in one SQLite file: for one host, any number of threads and processes.

Writes go to a write-ahead log: readers never wait for writers, and what was committed survives a killed process.
The packed columns are explained in ``data.stores.sqlite_rows``, the waiting in ``data.stores.sqlite_connections``.
"""

# ruff: noqa: S608 - statements are put together from constants of this package alone; every value is bound.

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

from data.domain import Decision, Event
from data.errors import BadInput, StoreUnavailable
from data.stores.protocol import (
    Commit,
    KeyRecord,
    StatusWrite,
    StoredDecision,
    StoredVisitor,
    VisitorHistory,
    VisitorWrite,
)
from data.stores.rules import BATCH, UNSEEN, arrival_key, check_versions, contradicts_itself, tombstone
from data.stores.sqlite_connections import Connections, Sync
from data.stores.sqlite_errors import unavailable
from data.stores.sqlite_rows import (
    DECISION_COLUMNS,
    EVENT_COLUMNS,
    KEY_COLUMNS,
    STATUS_CODES,
    STORED_COLUMNS,
    VISITOR_COLUMNS,
    Row,
    decision_of,
    decision_row,
    event_of,
    event_row,
    key_of,
    stored_decision_of,
    visitor_of,
)

T = TypeVar("T")

BUSY_TIMEOUT_S: Final = 0.2
CHUNK: Final = 256
"""Most ids in one query."""
COMPACT_BYTES: Final = 32 << 20
"""An erasure rewrites the whole file while it is no larger than this, which takes about 0.2 s."""

_UNSEEN_CODES: Final = ", ".join(str(STATUS_CODES[status]) for status in UNSEEN)
_ANSWERABLE_CODES: Final = f"{STATUS_CODES['open']}, {STATUS_CODES['ignored']}"
_COUNTS: Final = f"scope = 0 AND status NOT IN ({_UNSEEN_CODES})"

_VISITORS: Final = f"SELECT {VISITOR_COLUMNS} FROM visitors WHERE visitor_id"
_DECISIONS: Final = f"SELECT {STORED_COLUMNS} FROM decisions WHERE decision_id"
_KNOWN_EVENTS: Final = "SELECT event_key FROM events WHERE event_key"
_LATEST_OPEN: Final = f"""
    SELECT {STORED_COLUMNS} FROM decisions
    WHERE visitor_id = ? AND journey = ? AND ask_id = ? AND status IN ({_ANSWERABLE_CODES}) AND scope = 0
    ORDER BY coalesce(shown_at, at) DESC, decision_id DESC LIMIT ?"""
_LINEAGE: Final = """
    WITH RECURSIVE family (id) AS (
        SELECT ? UNION SELECT visitor_id FROM visitors JOIN family ON merged_into = family.id
    ) SELECT id FROM family"""
_HISTORY_DECISIONS: Final = f"SELECT {STORED_COLUMNS} FROM decisions WHERE {_COUNTS} AND visitor_id"
_HISTORY_EVENTS: Final = f"SELECT {EVENT_COLUMNS} FROM events WHERE visitor_id"
_LOG_DECISIONS: Final = f"SELECT {DECISION_COLUMNS} FROM decisions WHERE journey = ? AND {_COUNTS}"
_LOG_EVENTS: Final = f"SELECT {EVENT_COLUMNS} FROM events WHERE journey = ?"

_HAS_DECISION: Final = "SELECT 1 FROM decisions WHERE decision_id = ?"
_HAS_EVENT: Final = "SELECT 1 FROM events WHERE event_key = ?"
_VERSION: Final = "SELECT version FROM visitors WHERE visitor_id = ?"
_NEW_VISITOR: Final = (
    f"INSERT INTO visitors ({VISITOR_COLUMNS}) VALUES (?, ?, ?, ?) ON CONFLICT (visitor_id) DO NOTHING"
)
_VISITOR: Final = "UPDATE visitors SET version = ?, state = ?, merged_into = ? WHERE visitor_id = ? AND version = ?"
_NEW_DECISION: Final = f"INSERT INTO decisions ({STORED_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_NEW_EVENT: Final = f"INSERT INTO events (event_key, {EVENT_COLUMNS}) VALUES (?, ?, ?, ?, ?)"
_STATUS: Final = "UPDATE decisions SET status = ?, answered_at = coalesce(?, answered_at) WHERE decision_id = ?"
_ACTIVATION: Final = """
    UPDATE decisions SET status = ?, answered_at = coalesce(?, answered_at), received_at = ?, shown_at = ?
    WHERE decision_id = ?"""

_ERASE: Final = (
    "DELETE FROM decisions WHERE visitor_id = ?",
    "DELETE FROM events WHERE visitor_id = ?",
    "DELETE FROM events WHERE from_id = ?",
    "DELETE FROM visitors WHERE visitor_id = ?",
)
_BURY: Final = """
    INSERT INTO tombstones (digest, erased_at) VALUES (?, ?)
    ON CONFLICT (digest) DO UPDATE SET erased_at = max(erased_at, excluded.erased_at)"""
_TOMBSTONES: Final = "SELECT digest, erased_at FROM tombstones WHERE digest"


class SqliteStore:
    """Keeps everything in one SQLite file; see ``Store`` for what it promises.

    Args:
        path: the file; made where it does not exist, its folder is not.
        sync: ``normal`` survives a killed process, ``full`` a power loss too, at the speed of the disk.
        busy_timeout_s: how long a call waits for another process's lock before the store counts as unavailable.

    Raises:
        StoreUnavailable: the file cannot be opened or is no store that this version reads.
    """

    def __init__(self, path: str | Path, *, sync: Sync = "normal", busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self._path = Path(path).absolute()
        self._sync = sync
        self._busy_timeout_s = busy_timeout_s
        self._is_checkpoint_due = False
        self._connections = Connections(str(self._path), sync, busy_timeout_s)
        self._file = self._identity()
        self._salt: bytes = self._all("SELECT value FROM meta WHERE name = 'salt'")[0][0]

    @property
    def is_quick(self) -> bool:
        """See ``Store``; with ``sync="full"`` every commit waits for the disk."""
        return self._sync == "normal"

    def visitors(self, visitor_ids: Sequence[str]) -> Mapping[str, StoredVisitor]:
        """See ``Store``."""
        return {row[0]: visitor_of(row) for row in self._select(_VISITORS, visitor_ids)}

    def decisions(self, decision_ids: Sequence[str]) -> Mapping[str, StoredDecision]:
        """See ``Store``."""
        return {row[0]: stored_decision_of(row) for row in self._select(_DECISIONS, decision_ids)}

    def known_events(self, keys: Sequence[str]) -> frozenset[str]:
        """See ``Store``."""
        return frozenset(row[0] for row in self._select(_KNOWN_EVENTS, keys))

    def latest_open(
        self, journey: str, visitor_ids: Sequence[str], ask_id: str, *, without: Collection[str] = ()
    ) -> StoredDecision | None:
        """See ``Store``."""

        def read(connection: sqlite3.Connection) -> list[Row]:
            wanted = [(id_, journey, ask_id, len(without) + 1) for id_ in visitor_ids]
            return [row for one in wanted for row in connection.execute(_LATEST_OPEN, one).fetchall()]

        found = [stored_decision_of(row) for row in self._connections.run(read)]
        candidates = [stored for stored in found if stored.decision.decision_id not in without]
        return max(candidates, key=lambda s: (s.decision.seen_at, s.decision.decision_id), default=None)

    def commit(self, commits: Sequence[Commit]) -> list[bool]:
        """See ``Store``."""
        if not commits:
            return []
        check_versions(commits)
        # Rows are made before the lock is taken: whoever waits for it waits for the database alone.
        prepared = [_Prepared(commit) for commit in commits]
        n_rows = sum(one.n_rows for one in prepared)
        return self._connections.write(lambda connection: [one.write(connection) for one in prepared], n_rows)

    def lineage(self, visitor_id: str) -> tuple[str, ...]:
        """See ``Store``."""
        return self._connections.run(lambda connection: _lineage(connection, visitor_id))

    def history(self, visitor_id: str) -> VisitorHistory:
        """See ``Store``."""

        def read(connection: sqlite3.Connection) -> tuple[list[Row], list[Row]]:
            ids = _lineage(connection, visitor_id)
            return _fetch(connection, _HISTORY_DECISIONS, ids), _fetch(connection, _HISTORY_EVENTS, ids)

        decisions, events = self._connections.snapshot(read)
        return VisitorHistory(
            tuple(sorted(map(stored_decision_of, decisions), key=lambda stored: arrival_key(stored.decision))),
            tuple(sorted(map(event_of, events), key=arrival_key)),
        )

    def erase(self, visitor_id: str, erased_at: int) -> int:
        """See ``Store``.

        Deleted rows are overwritten with zeros and the write-ahead log is emptied. Moving rows between pages can
        leave copies of theirs in unused parts of the file, which only a rewrite removes: a small file is rewritten
        at once, a larger one by ``compact``.
        """

        def erase(connection: sqlite3.Connection) -> int:
            n_rows = 0
            for id_ in _lineage(connection, visitor_id):
                n_rows += sum(connection.execute(statement, (id_,)).rowcount for statement in _ERASE)
                connection.execute(_BURY, (tombstone(self._salt, id_), erased_at))
            return n_rows

        n_rows = self._connections.write(erase, 1)
        self._try(self._clean)
        return n_rows

    def compact(self) -> None:
        """Rewrites the whole file without unused space; others cannot write meanwhile (about 6 s per GB).

        Raises:
            StoreUnavailable: the file is locked or its disk is full; nothing was changed.
        """
        self._connections.run(lambda connection: connection.execute("VACUUM").fetchall())
        self._empty_log()

    def erased_at(self, visitor_ids: Sequence[str]) -> Mapping[str, int]:
        """See ``Store``."""
        ids = {tombstone(self._salt, id_): id_ for id_ in visitor_ids}
        return {ids[digest]: at for digest, at in self._select(_TOMBSTONES, tuple(ids))}

    def log(self, journey: str) -> Iterator[Sequence[Decision | Event]]:
        """See ``Store``; the snapshot is taken when the first batch is asked for.

        It has a connection of its own, closed when the iterator is exhausted or dropped. Writes go on meanwhile,
        but the write-ahead log cannot shrink until then. Do not fork while iterating.
        """
        connection = self._connections.reader()
        try:
            yield from _batches(connection.execute(_LOG_DECISIONS, (journey,)), decision_of)
            yield from _batches(connection.execute(_LOG_EVENTS, (journey,)), event_of)
        except sqlite3.Error as error:
            raise unavailable(error, str(self._path), self._busy_timeout_s) from error
        finally:
            connection.close()

    def journeys(self) -> tuple[str, ...]:
        """See ``Store``; reads every row."""
        query = "SELECT journey FROM decisions UNION SELECT journey FROM events ORDER BY journey"
        return tuple(row[0] for row in self._all(query))

    def counts(self) -> Mapping[str, int]:
        """See ``Store``."""
        tables = ("visitors", "decisions", "events")
        row = self._all("SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in tables))[0]
        return dict(zip(tables, row, strict=True))

    def keys(self) -> tuple[KeyRecord, ...]:
        """See ``Store``."""
        return tuple(map(key_of, self._all(f"SELECT {KEY_COLUMNS} FROM api_keys ORDER BY created_at, key_id")))

    def add_key(self, record: KeyRecord) -> None:
        """See ``Store``."""
        values = (record.key_id, record.role, record.digest, record.created_at, record.origin, record.revoked_at)
        statement = f"INSERT INTO api_keys ({KEY_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key_id) DO NOTHING"
        if self._connections.write(lambda connection: connection.execute(statement, values).rowcount, 1) == 0:
            raise BadInput(f"a key named {record.key_id!r} exists already; allowed: a new name")

    def revoke_key(self, key_id: str, revoked_at: int) -> bool:
        """See ``Store``."""
        statement = "UPDATE api_keys SET revoked_at = ? WHERE key_id = ? AND revoked_at = 0"
        values = (revoked_at, key_id)
        return self._connections.write(lambda connection: connection.execute(statement, values).rowcount, 1) > 0

    def check(self) -> None:
        """See ``Store``; really writes, and notices a file that was removed or replaced under the process."""
        if self._identity() != self._file:
            raise StoreUnavailable(
                f"store: {self._path} was removed or replaced while it was open; what is written now would be lost. "
                "Stop every process of smallyes, put the file back, and start again."
            )
        statement = "UPDATE meta SET value = value + 1 WHERE name = 'checks'"
        self._connections.write(lambda connection: connection.execute(statement).rowcount, 1)
        if self._is_checkpoint_due:
            self._try(self._empty_log)

    def close(self) -> None:
        """See ``Store``."""
        self._connections.close()

    def _all(self, query: str) -> list[Row]:
        return self._connections.run(lambda connection: connection.execute(query).fetchall())

    def _select(self, query: str, ids: Sequence[str] | Sequence[bytes]) -> list[Row]:
        if not ids:
            return []
        return self._connections.run(lambda connection: _fetch(connection, query, ids))

    def _identity(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _try(self, cleaning: Callable[[], None]) -> None:
        """Does what an erasure leaves to be done, or leaves it to a later ``check``: the rows are gone already."""
        try:
            cleaning()
        except StoreUnavailable:
            self._is_checkpoint_due = True

    def _clean(self) -> None:
        n_pages, page_bytes = self._all("SELECT page_count, page_size FROM pragma_page_count, pragma_page_size")[0]
        if n_pages * page_bytes <= COMPACT_BYTES:
            self.compact()
        else:
            self._empty_log()

    def _empty_log(self) -> None:
        """Moves the write-ahead log into the database and cuts it off, so that nothing deleted is left in it."""
        self._is_checkpoint_due = not self._connections.checkpoint("TRUNCATE")


class _Prepared:
    """One commit as rows, ready to be written."""

    __slots__ = ("decisions", "events", "is_contradiction", "n_rows", "statuses", "visitors")

    def __init__(self, commit: Commit) -> None:
        self.visitors = commit.visitors
        self.decisions = [decision_row(stored) for stored in commit.decisions]
        self.events = [event_row(stored) for stored in commit.events]
        self.statuses = commit.statuses
        self.is_contradiction = contradicts_itself(commit)
        self.n_rows = len(self.visitors) + len(self.decisions) + len(self.events) + len(self.statuses)

    def write(self, connection: sqlite3.Connection) -> bool:
        """Writes all of it, or nothing where something forbids it."""
        execute = connection.execute
        if self.is_contradiction or self._is_known(connection):
            return False
        # What could still refuse comes first, and is a single statement: nothing ever has to be undone.
        if self.visitors and not _write_visitor(connection, self.visitors[0]):
            return False
        for visitor in self.visitors[1:]:
            _write_visitor(connection, visitor)
        for row in self.decisions:
            execute(_NEW_DECISION, row)
        for row in self.events:
            execute(_NEW_EVENT, row)
        for status in self.statuses:
            _write_status(connection, status)
        return True

    def _is_known(self, connection: sqlite3.Connection) -> bool:
        """Whether a decision or event exists already, or any visitor but the first is of another version."""
        execute = connection.execute
        for row in self.decisions:
            if execute(_HAS_DECISION, row[:1]).fetchone() is not None:
                return True
        for row in self.events:
            if execute(_HAS_EVENT, row[:1]).fetchone() is not None:
                return True
        for write in self.visitors[1:]:
            found = execute(_VERSION, (write.visitor_id,)).fetchone()
            if (0 if found is None else found[0]) != write.expected_version:
                return True
        return False


def _write_visitor(connection: sqlite3.Connection, write: VisitorWrite) -> bool:
    if write.expected_version == 0:
        values: Row = (write.visitor_id, write.version, write.state, write.merged_into)
        return connection.execute(_NEW_VISITOR, values).rowcount > 0
    values = (write.version, write.state, write.merged_into, write.visitor_id, write.expected_version)
    return connection.execute(_VISITOR, values).rowcount > 0


def _write_status(connection: sqlite3.Connection, write: StatusWrite) -> None:
    code = STATUS_CODES[write.status]
    if write.received_at is None:
        connection.execute(_STATUS, (code, write.answered_at, write.decision_id))
    else:
        values = (code, write.answered_at, write.received_at, write.shown_at, write.decision_id)
        connection.execute(_ACTIVATION, values)


def _lineage(connection: sqlite3.Connection, visitor_id: str) -> tuple[str, ...]:
    return tuple(row[0] for row in connection.execute(_LINEAGE, (visitor_id,)))


def _fetch(connection: sqlite3.Connection, query: str, ids: Sequence[str] | Sequence[bytes]) -> list[Row]:
    """Rows of a query that ends where a condition on ids goes."""
    if len(ids) == 1:
        return connection.execute(f"{query} = ?", (ids[0],)).fetchall()
    rows: list[Row] = []
    for start in range(0, len(ids), CHUNK):
        chunk = tuple(ids[start : start + CHUNK])
        # Filled up to a power of two with the last id: then few different statements need to be prepared.
        n = 1 << (len(chunk) - 1).bit_length()
        places = ", ".join("?" * n)
        rows += connection.execute(f"{query} IN ({places})", chunk + chunk[-1:] * (n - len(chunk))).fetchall()
    return rows


def _batches(cursor: sqlite3.Cursor, read: Callable[[Row], T]) -> Iterator[list[T]]:
    while rows := cursor.fetchmany(BATCH):
        yield [read(row) for row in rows]
