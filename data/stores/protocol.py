"""What smallyes needs of a store: visitors' state, decisions, events and keys, written together or not at all.

A store keeps *opaque* visitor states (bytes made by ``features.state``), so that the layout of a state is no
business of a database. Writes are conditional on the visitor's version: whoever read an older version is told so
and decides again. Every method may raise ``StoreUnavailable``; none loses or half-writes anything when it does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from data.domain import Decision, Event

DecisionStatus = Literal["open", "accepted", "declined", "ignored", "deferred", "expired"]
"""``deferred``: not yet seen by the visitor; ``expired``: its activation was refused."""


@dataclass(frozen=True, slots=True)
class StoredVisitor:
    """A visitor's state as last committed; ``merged_into`` names the visitor this one became."""

    visitor_id: str
    version: int
    state: bytes
    merged_into: str | None = None


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A decision with what became of it.

    ``request_digest`` tells the same request from another one with the same id. ``audit`` is an opaque record of
    request, response, candidates and blocked asks. ``scope`` is ``history`` for decisions made from a history in
    the request: these are kept for idempotence and audit alone and appear in no log.
    """

    decision: Decision
    status: DecisionStatus = "open"
    answered_at: int | None = None
    request_digest: bytes = b""
    audit: bytes = b""
    scope: Literal["visitor", "history"] = "visitor"


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event under the key that makes it idempotent."""

    key: str
    event: Event


@dataclass(frozen=True, slots=True)
class VisitorWrite:
    """The new state of one visitor, valid only while its version is still ``expected_version`` (0: no such row).

    ``version`` must be greater than ``expected_version``.
    """

    visitor_id: str
    expected_version: int
    version: int
    state: bytes
    merged_into: str | None = None


@dataclass(frozen=True, slots=True)
class StatusWrite:
    """A decision's new status. ``received_at`` and ``shown_at`` are given when this activates a deferred one."""

    decision_id: str
    status: DecisionStatus
    answered_at: int | None = None
    received_at: int | None = None
    shown_at: int | None = None

    def applied_to(self, stored: StoredDecision) -> StoredDecision:
        """The stored decision after this write."""
        decision = stored.decision
        if self.received_at is not None:
            decision = replace(decision, received_at=self.received_at, shown_at=self.shown_at)
        answered_at = stored.answered_at if self.answered_at is None else self.answered_at
        return replace(stored, decision=decision, status=self.status, answered_at=answered_at)


@dataclass(frozen=True, slots=True)
class Commit:
    """What becomes durable together: all of it or nothing.

    A commit is refused (and nothing of it written) when a visitor's version is not the expected one, when one of
    its decisions' ids exists already, or when one of its events' keys exists already (also twice in this commit).
    It writes each visitor at most once. A status for a decision that does not exist changes nothing.
    """

    visitors: tuple[VisitorWrite, ...] = ()
    decisions: tuple[StoredDecision, ...] = ()
    events: tuple[StoredEvent, ...] = ()
    statuses: tuple[StatusWrite, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key: its hash, never the key itself. ``revoked_at`` is 0 while it is valid."""

    key_id: str
    role: Literal["site", "server", "read", "admin"]
    digest: str
    created_at: int
    origin: str | None = None
    revoked_at: int = 0


@dataclass(frozen=True, slots=True)
class VisitorHistory:
    """Everything stored about a visitor and those merged into it, each in order of arrival."""

    decisions: tuple[StoredDecision, ...]
    events: tuple[Event, ...]


class Store(Protocol):
    """See the module docstring. Implementations are safe to call from several threads and processes."""

    @property
    def is_quick(self) -> bool:
        """Whether calls take microseconds, so that an event loop may make them itself."""

    def visitors(self, visitor_ids: Sequence[str]) -> Mapping[str, StoredVisitor]:
        """The visitors that exist, by id."""

    def decisions(self, decision_ids: Sequence[str]) -> Mapping[str, StoredDecision]:
        """The decisions that exist, by id."""

    def known_events(self, keys: Sequence[str]) -> frozenset[str]:
        """Those of the keys under which an event is stored."""

    def latest_open(
        self, journey: str, visitor_ids: Sequence[str], ask_id: str, *, without: Collection[str] = ()
    ) -> StoredDecision | None:
        """The decision with the latest ``seen_at`` among the open or ignored ones for this ask, some ids left out.

        Of equal ones that with the greater id; history-scope decisions are left out.
        """

    def commit(self, commits: Sequence[Commit]) -> list[bool]:
        """Writes each commit whole or not at all; durable when this returns.

        Commits are applied in order, in one transaction: a later one sees the versions of an earlier one. The
        answer says for each whether it was written (true) or refused (false). An error refuses the whole group.

        Raises:
            ValueError: a version does not grow, or a commit writes one visitor twice.
        """

    def lineage(self, visitor_id: str) -> tuple[str, ...]:
        """The visitor and all that were merged into it, directly or not; the visitor itself first."""

    def history(self, visitor_id: str) -> VisitorHistory:
        """Everything of ``lineage(visitor_id)`` that counts for its state.

        History-scope decisions and deferred ones that were never seen (or have expired) are left out.
        """

    def erase(self, visitor_id: str, erased_at: int) -> int:
        """Deletes every row of ``lineage(visitor_id)``, leaves a tombstone for each id; number of rows deleted.

        Merges from these ids into other visitors are deleted, too. What was folded into another visitor's state
        stays there.
        """

    def erased_at(self, visitor_ids: Sequence[str]) -> Mapping[str, int]:
        """When visitors were erased, for those who were. Ids are kept only as salted hashes."""

    def log(self, journey: str) -> Iterator[Sequence[Decision | Event]]:
        """One consistent snapshot of the journey's decisions and events, in batches, in no particular order.

        The snapshot is taken when the first batch is asked for. Deferred decisions that were never seen (or have
        expired) and history-scope decisions are not in it.
        """

    def journeys(self) -> tuple[str, ...]:
        """Names of the journeys that have rows, sorted."""

    def counts(self) -> Mapping[str, int]:
        """Rows by table: ``visitors``, ``decisions``, ``events``."""

    def keys(self) -> tuple[KeyRecord, ...]:
        """All API keys, revoked ones included, oldest first."""

    def add_key(self, record: KeyRecord) -> None:
        """Stores a key.

        Raises:
            BadInput: there is a key with this id.
        """

    def revoke_key(self, key_id: str, revoked_at: int) -> bool:
        """Revokes a key; false when there is no such valid key."""

    def check(self) -> None:
        """Proves that the store can be written now; raises ``StoreUnavailable`` where it cannot."""

    def close(self) -> None:
        """Releases what the store holds; calling it twice is harmless."""
