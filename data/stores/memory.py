"""A store in this process's memory: for tests, simulations and trying things out. Nothing outlives the process."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from threading import RLock

from data.domain import Decision, Event
from data.errors import BadInput, StoreUnavailable
from data.stores.protocol import (
    Commit,
    KeyRecord,
    StoredDecision,
    StoredEvent,
    StoredVisitor,
    VisitorHistory,
    VisitorWrite,
)
from data.stores.rules import BATCH, arrival_key, check_versions, contradicts_itself, counts, tombstone


class MemoryStore:
    """Keeps rows in dictionaries under one lock; see ``Store`` for what it promises.

    Example:
        >>> store = MemoryStore()
        >>> store.commit([Commit(visitors=(VisitorWrite("v-1", 0, 1, b"state"),))])
        [True]
        >>> store.visitors(["v-1", "v-2"])
        {'v-1': StoredVisitor(visitor_id='v-1', version=1, state=b'state', merged_into=None)}
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._is_closed = False
        self._salt = secrets.token_bytes(32)
        self._visitors: dict[str, StoredVisitor] = {}
        self._decisions: dict[str, StoredDecision] = {}
        self._events: dict[str, StoredEvent] = {}
        self._erased: dict[bytes, int] = {}
        self._keys: dict[str, KeyRecord] = {}
        # Ids of the rows of each visitor, as dictionaries because these keep their order and forget quickly.
        self._decisions_of: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._events_of: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._events_from: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._merged_into: defaultdict[str, dict[str, None]] = defaultdict(dict)

    @property
    def is_quick(self) -> bool:
        """See ``Store``."""
        return True

    def visitors(self, visitor_ids: Sequence[str]) -> Mapping[str, StoredVisitor]:
        """See ``Store``."""
        with self._open():
            return {id_: self._visitors[id_] for id_ in visitor_ids if id_ in self._visitors}

    def decisions(self, decision_ids: Sequence[str]) -> Mapping[str, StoredDecision]:
        """See ``Store``."""
        with self._open():
            return {id_: self._decisions[id_] for id_ in decision_ids if id_ in self._decisions}

    def known_events(self, keys: Sequence[str]) -> frozenset[str]:
        """See ``Store``."""
        with self._open():
            return frozenset(key for key in keys if key in self._events)

    def latest_open(
        self, journey: str, visitor_ids: Sequence[str], ask_id: str, *, without: Collection[str] = ()
    ) -> StoredDecision | None:
        """See ``Store``."""
        with self._open():
            candidates = (self._decisions[id_] for v in visitor_ids for id_ in self._decisions_of.get(v, ()))
            return max(
                (
                    stored
                    for stored in candidates
                    if stored.status in ("open", "ignored")
                    and stored.scope == "visitor"
                    and stored.decision.journey == journey
                    and stored.decision.ask_id == ask_id
                    and stored.decision.decision_id not in without
                ),
                key=lambda stored: (stored.decision.seen_at, stored.decision.decision_id),
                default=None,
            )

    def commit(self, commits: Sequence[Commit]) -> list[bool]:
        """See ``Store``."""
        check_versions(commits)
        with self._open():
            return [self._apply(commit) for commit in commits]

    def lineage(self, visitor_id: str) -> tuple[str, ...]:
        """See ``Store``."""
        with self._open():
            found = {visitor_id: None}
            waiting = [visitor_id]
            while waiting:
                for merged in self._merged_into.get(waiting.pop(), ()):
                    if merged not in found:
                        found[merged] = None
                        waiting.append(merged)
            return tuple(found)

    def history(self, visitor_id: str) -> VisitorHistory:
        """See ``Store``."""
        with self._open():
            ids = self.lineage(visitor_id)
            decisions = [self._decisions[id_] for v in ids for id_ in self._decisions_of.get(v, ())]
            events = [self._events[key].event for v in ids for key in self._events_of.get(v, ())]
        return VisitorHistory(
            tuple(sorted(filter(counts, decisions), key=lambda stored: arrival_key(stored.decision))),
            tuple(sorted(events, key=arrival_key)),
        )

    def erase(self, visitor_id: str, erased_at: int) -> int:
        """See ``Store``."""
        with self._open():
            n_rows = 0
            for id_ in self.lineage(visitor_id):
                digest = tombstone(self._salt, id_)
                self._erased[digest] = max(erased_at, self._erased.get(digest, erased_at))
                for decision_id in self._decisions_of.pop(id_, {}):
                    del self._decisions[decision_id]
                    n_rows += 1
                for key in {**self._events_of.get(id_, {}), **self._events_from.get(id_, {})}:
                    self._forget_event(key)
                    n_rows += 1
                row = self._visitors.pop(id_, None)
                if row is not None:
                    self._forget_child(row)
                    n_rows += 1
            return n_rows

    def erased_at(self, visitor_ids: Sequence[str]) -> Mapping[str, int]:
        """See ``Store``."""
        with self._open():
            found = {id_: self._erased.get(tombstone(self._salt, id_)) for id_ in visitor_ids}
        return {id_: at for id_, at in found.items() if at is not None}

    def log(self, journey: str) -> Iterator[Sequence[Decision | Event]]:
        """See ``Store``; the snapshot is taken when the first batch is asked for."""
        with self._open():
            decisions, events = list(self._decisions.values()), list(self._events.values())
        wanted = [s.decision for s in decisions if s.decision.journey == journey and counts(s)]
        for start in range(0, len(wanted), BATCH):
            yield wanted[start : start + BATCH]
        told = [s.event for s in events if s.event.journey == journey]
        for start in range(0, len(told), BATCH):
            yield told[start : start + BATCH]

    def journeys(self) -> tuple[str, ...]:
        """See ``Store``."""
        with self._open():
            names = {stored.decision.journey for stored in self._decisions.values()}
            names.update(stored.event.journey for stored in self._events.values())
        return tuple(sorted(names))

    def counts(self) -> Mapping[str, int]:
        """See ``Store``."""
        with self._open():
            return {
                "visitors": len(self._visitors),
                "decisions": len(self._decisions),
                "events": len(self._events),
            }

    def keys(self) -> tuple[KeyRecord, ...]:
        """See ``Store``."""
        with self._open():
            return tuple(sorted(self._keys.values(), key=lambda record: (record.created_at, record.key_id)))

    def add_key(self, record: KeyRecord) -> None:
        """See ``Store``."""
        with self._open():
            if record.key_id in self._keys:
                raise BadInput(f"a key named {record.key_id!r} exists already; allowed: a new name")
            self._keys[record.key_id] = record

    def revoke_key(self, key_id: str, revoked_at: int) -> bool:
        """See ``Store``."""
        with self._open():
            record = self._keys.get(key_id)
            if record is None or record.revoked_at:
                return False
            self._keys[key_id] = replace(record, revoked_at=revoked_at)
            return True

    def check(self) -> None:
        """See ``Store``."""
        with self._open():
            pass

    def close(self) -> None:
        """See ``Store``."""
        self._is_closed = True

    def _open(self) -> RLock:
        if self._is_closed:
            raise StoreUnavailable("the memory store is closed")
        return self._lock

    def _apply(self, commit: Commit) -> bool:
        if self._refuses(commit):
            return False
        for write in commit.visitors:
            self._put_visitor(write)
        for stored in commit.decisions:
            self._decisions[stored.decision.decision_id] = stored
            self._decisions_of[stored.decision.visitor_id][stored.decision.decision_id] = None
        for told in commit.events:
            self._events[told.key] = told
            self._events_of[told.event.visitor_id][told.key] = None
            if told.event.from_id is not None:
                self._events_from[told.event.from_id][told.key] = None
        for status in commit.statuses:
            known = self._decisions.get(status.decision_id)
            if known is not None:
                self._decisions[status.decision_id] = status.applied_to(known)
        return True

    def _refuses(self, commit: Commit) -> bool:
        for write in commit.visitors:
            row = self._visitors.get(write.visitor_id)
            if (0 if row is None else row.version) != write.expected_version:
                return True
        if any(stored.decision.decision_id in self._decisions for stored in commit.decisions):
            return True
        return any(told.key in self._events for told in commit.events) or contradicts_itself(commit)

    def _put_visitor(self, write: VisitorWrite) -> None:
        before = self._visitors.get(write.visitor_id)
        if before is not None:
            self._forget_child(before)
        self._visitors[write.visitor_id] = StoredVisitor(
            write.visitor_id, write.version, write.state, write.merged_into
        )
        if write.merged_into is not None:
            self._merged_into[write.merged_into][write.visitor_id] = None

    def _forget_child(self, row: StoredVisitor) -> None:
        if row.merged_into is not None:
            _drop(self._merged_into, row.merged_into, row.visitor_id)

    def _forget_event(self, key: str) -> None:
        event = self._events.pop(key).event
        _drop(self._events_of, event.visitor_id, key)
        if event.from_id is not None:
            _drop(self._events_from, event.from_id, key)


def _drop(index: dict[str, dict[str, None]], owner: str, key: str) -> None:
    """Removes one entry of an index, and the owner with its last one."""
    entries = index[owner]
    del entries[key]
    if not entries:
        del index[owner]
