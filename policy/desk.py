"""The desk: where asking and hearing meet the store.

A *work* (one request, one batch of outcomes, one merge) reads a ``View`` of the store and proposes commits. The
desk runs many works as one group: one read of what they need, one transaction for what they propose. A work whose
commit was refused, because another process changed the visitor in between, is tried again on fresh rows: state
read, guardrails applied, drawn again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from data.domain import Decision
from data.errors import BadRequest, StoreUnavailable
from data.stores.protocol import Commit, Store, StoredDecision, StoredVisitor
from features.state import VisitorMemory, decode
from policy.live import LiveJourney

MAX_ATTEMPTS: Final = 50
"""How often a work is tried against concurrent changes of its visitor before the store counts as too busy."""


@dataclass(frozen=True)
class Needs:
    """Rows a work will look at, so that a group reads them together."""

    visitors: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()
    events: tuple[str, ...] = ()


@dataclass
class Held:
    """A visitor as the group sees it: the memory with the group's own changes, and the version they build on."""

    visitor_id: str
    memory: VisitorMemory
    version: int


class Work(Protocol):
    """One thing to be done against the store."""

    def needs(self) -> Needs:
        """The rows this work will look at."""

    def attempt(self, view: View) -> Sequence[Commit]:
        """Proposes commits; called again, on a fresh view, when one of them was refused.

        Raises:
            BadRequest: the work cannot be done; it is given up with this answer.
        """

    def settle(self, written: Sequence[bool]) -> bool:
        """Learns which of the proposed commits were written; true when the work is done."""

    def fail(self, error: BadRequest) -> None:
        """Learns that the work was given up."""


class View:
    """What a group of works sees of the store: rows read once, and the group's own changes on top."""

    def __init__(self, store: Store, journeys: Mapping[str, LiveJourney], secret: bytes, now: int) -> None:
        self.store = store
        self.journeys = journeys
        self.secret = secret
        self.now = now
        self._visitors: dict[str, StoredVisitor | None] = {}
        self._held: dict[str, Held] = {}
        self._decisions: dict[str, StoredDecision | None] = {}
        self._events: dict[str, bool] = {}
        self._own_decisions: set[str] = set()
        self._own_events: set[str] = set()

    def load(self, needs: Sequence[Needs]) -> None:
        """Reads the rows that a group of works needs, one query for each kind."""
        visitors = {id_ for need in needs for id_ in need.visitors}
        decisions = {id_ for need in needs for id_ in need.decisions}
        events = {key for need in needs for key in need.events}
        if decisions:
            found = self.store.decisions(tuple(decisions))
            self._decisions.update({id_: found.get(id_) for id_ in decisions})
            visitors |= {stored.decision.visitor_id for stored in found.values() if stored.scope == "visitor"}
        if visitors:
            self._load_visitors(visitors)
        if events:
            known = self.store.known_events(tuple(events))
            self._events.update({key: key in known for key in events})

    def visitor(self, visitor_id: str) -> Held:
        """The visitor, or the one it was merged into; an unknown visitor begins with an empty memory."""
        canonical = self.canonical(visitor_id)
        held = self._held.get(canonical)
        if held is None:
            row = self._visitors.get(canonical)
            memory = VisitorMemory() if row is None else decode(row.state)
            held = self._held[canonical] = Held(canonical, memory, 0 if row is None else row.version)
        return held

    def canonical(self, visitor_id: str) -> str:
        """Follows merges to the visitor that stands for this one now."""
        seen = {visitor_id}
        while True:
            if visitor_id not in self._visitors:
                self._load_visitors({visitor_id})
            row = self._visitors[visitor_id]
            if row is None or row.merged_into is None or row.merged_into in seen:
                return visitor_id
            visitor_id = row.merged_into
            seen.add(visitor_id)

    def row(self, visitor_id: str) -> StoredVisitor | None:
        """The visitor's own row as the group sees it, merges not followed."""
        if visitor_id not in self._visitors:
            self._load_visitors({visitor_id})
        return self._visitors[visitor_id]

    def is_touched(self, visitor_id: str) -> bool:
        """Whether the group changed this visitor already."""
        held, row = self._held.get(visitor_id), self._visitors.get(visitor_id)
        return held is not None and held.version != (0 if row is None else row.version)

    def decision(self, decision_id: str) -> StoredDecision | None:
        """A decision, the group's own included."""
        if decision_id not in self._decisions:
            self._decisions[decision_id] = self.store.decisions((decision_id,)).get(decision_id)
        return self._decisions[decision_id]

    def is_known(self, key: str) -> bool:
        """Whether an event with this key was taken, by the group included."""
        if key not in self._events:
            self._events[key] = bool(self.store.known_events((key,)))
        return self._events[key]

    def latest_open(self, journey: str, visitor_id: str, ask_id: str) -> StoredDecision | None:
        """The latest decision for this ask that the visitor, or one merged into it, can still answer."""
        ids = self.store.lineage(visitor_id)
        # What the group itself changed is judged as the group sees it.
        best = self.store.latest_open(journey, ids, ask_id, without=self._own_decisions)
        for own in map(self._decisions.get, self._own_decisions):
            if own is None or not self._is_open(own) or not _concerns(own.decision, journey, ids, ask_id):
                continue
            if best is None or own.decision.seen_at > best.decision.seen_at:
                best = own
        return best

    def is_own_decision(self, decision_id: str) -> bool:
        """Whether the group itself made this decision, so that it is not durable yet."""
        return decision_id in self._own_decisions

    def is_own_event(self, key: str) -> bool:
        """Whether the group itself took this event, so that it is not durable yet."""
        return key in self._own_events

    def put_decision(self, stored: StoredDecision) -> None:
        """Shows a decision, new or changed, to the works that follow in the group."""
        self._decisions[stored.decision.decision_id] = stored
        self._own_decisions.add(stored.decision.decision_id)

    def put_event(self, key: str) -> None:
        """Shows an event to the works that follow in the group."""
        self._events[key] = True
        self._own_events.add(key)

    def put_visitor(self, row: StoredVisitor) -> None:
        """Shows a visitor's changed row to the works that follow in the group."""
        self._visitors[row.visitor_id] = row
        self._held.pop(row.visitor_id, None)

    def _load_visitors(self, visitor_ids: set[str]) -> None:
        found = self.store.visitors(tuple(visitor_ids))
        self._visitors.update({id_: found.get(id_) for id_ in visitor_ids})

    @staticmethod
    def _is_open(stored: StoredDecision) -> bool:
        return stored.status in ("open", "ignored") and stored.scope == "visitor"


class Desk:
    """Runs works against a store. Not thread-safe: one thread at a time.

    Args:
        store: where everything is kept.
        journeys: gives what is live now; asked once for each group, so that a group sees one version.
        secret: key of draws and arms.
        clock: gives the present instant in microseconds.
    """

    def __init__(
        self,
        store: Store,
        journeys: Callable[[], Mapping[str, LiveJourney]],
        secret: bytes,
        clock: Callable[[], int],
    ) -> None:
        self._store = store
        self._journeys = journeys
        self._secret = secret
        self._clock = clock

    def run(self, works: Sequence[Work]) -> None:
        """Does all works, or gives each up with its own ``BadRequest``.

        Raises:
            StoreUnavailable: the store failed; works not settled before have left nothing behind.
        """
        pending = list(works)
        for _ in range(MAX_ATTEMPTS):
            pending = self._round(pending)
            if not pending:
                return
        raise StoreUnavailable(f"the store was changed by others {MAX_ATTEMPTS} times while this was being decided")

    def _round(self, works: Sequence[Work]) -> list[Work]:
        view = View(self._store, self._journeys(), self._secret, self._clock())
        view.load([work.needs() for work in works])
        commits: list[Commit] = []
        spans: list[tuple[Work, int, int]] = []
        for work in works:
            try:
                proposed = work.attempt(view)
            except BadRequest as error:
                work.fail(error)
                continue
            spans.append((work, len(commits), len(commits) + len(proposed)))
            commits.extend(proposed)
        written = self._store.commit(commits) if commits else []
        return [work for work, start, stop in spans if not work.settle(written[start:stop])]


def _concerns(decision: Decision, journey: str, visitor_ids: Sequence[str], ask_id: str) -> bool:
    return decision.journey == journey and decision.ask_id == ask_id and decision.visitor_id in visitor_ids
