"""Merging: an anonymous visitor turns out to be a known one; later decisions see both histories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from data.domain import EVENT_TYPES, Decision, Event
from data.errors import BadRequest
from data.stores.protocol import Commit, StoredEvent, StoredVisitor, VisitorWrite
from features.state import JourneyState, VisitorMemory, advance, encode, fold
from policy.asking import write_visitor
from policy.desk import Needs, View
from policy.hearing import derived_event_id

Arrival: TypeAlias = Decision | Event


class Merging:
    """The work of one merge; ``result`` is the response.

    The surviving visitor's state is folded anew from both histories in order of arrival, so that it is what it
    would have been had it been one visitor all along; its arm stays its own. Rows keep the id they were logged with.
    """

    def __init__(self, from_id: str, to_id: str, *, at: int | None = None, arrived_at: int | None = None) -> None:
        self.result: dict[str, Any] | None = None
        self.error: BadRequest | None = None
        self._from_id = from_id
        self._to_id = to_id
        self._at = at
        self._arrived_at = arrived_at
        self._must_wait = False
        self._is_merged = False

    def needs(self) -> Needs:
        """See ``Work``."""
        return Needs(visitors=(self._from_id, self._to_id))

    def attempt(self, view: View) -> Sequence[Commit]:
        """See ``Work``."""
        if self._from_id == self._to_id:
            raise BadRequest(
                "invalid_request", "from: is the same visitor as to.", field="from", received=self._from_id
            )
        from_id, to_id = view.canonical(self._from_id), view.canonical(self._to_id)
        self._is_merged = from_id != to_id
        self._must_wait = view.is_touched(from_id) or view.is_touched(to_id)
        if not self._is_merged or self._must_wait:
            return ()
        return (self._merge(view, from_id, to_id),)

    def settle(self, written: Sequence[bool]) -> bool:
        """See ``Work``."""
        if self._must_wait or not all(written):
            return False
        self.result = {"from": self._from_id, "to": self._to_id, "merged": self._is_merged}
        return True

    def fail(self, error: BadRequest) -> None:
        """See ``Work``."""
        self.error = error

    def _merge(self, view: View, from_id: str, to_id: str) -> Commit:
        gone, kept = view.visitor(from_id), view.visitor(to_id)
        now = view.now if self._arrived_at is None else self._arrived_at
        received_at = max(gone.memory.next_arrival(now), kept.memory.next_arrival(now))
        names = sorted(gone.memory.journeys.keys() | kept.memory.journeys.keys())
        if self._arrived_at is None or not names:
            # Every journey's log must tell of it: a deferred decision may wait in one that has no state yet.
            names = sorted({*names, *view.journeys})
        arrivals = _arrivals(view, (from_id, to_id))
        memory = VisitorMemory(received_at + len(names), {**gone.memory.answers, **kept.memory.answers})
        events = []
        for step, name in enumerate(names):
            at = received_at + step
            key = derived_event_id(("m", name, from_id, to_id), "merged", None, None, None)
            happened_at = at if self._at is None else self._at
            event = Event(to_id, "merged", happened_at, at, name, event_id=key, from_id=from_id)
            events.append(StoredEvent(key, event))
            memory.journeys[name] = self._union(view, name, arrivals, event, kept.memory)
        kept.memory = memory
        row = view.row(from_id)
        version = max(gone.version + 1, received_at)
        state = encode(VisitorMemory(memory.last_received_at))
        view.put_visitor(StoredVisitor(from_id, version, state, to_id))
        alias = VisitorWrite(from_id, 0 if row is None else row.version, version, state, to_id)
        return Commit(visitors=(write_visitor(kept), alias), events=tuple(events))

    @staticmethod
    def _union(view: View, name: str, arrivals: Sequence[Arrival], event: Event, kept: VisitorMemory) -> JourneyState:
        own = kept.journeys.get(name) or JourneyState()
        live = view.journeys.get(name)
        if live is None:
            return own
        state = fold((item for item in arrivals if item.journey == name), live.scopes)
        advance(state, event, live.scopes)
        state.arm = own.arm if state.episode_started_at else ""
        return state


def arrival_key(item: Arrival) -> tuple[int, int, int, str, str, str, str, str]:
    """The order in which rows arrive; ties are broken by content, so that it never depends on a file's order."""
    if isinstance(item, Decision):
        return (item.received_at, item.at, 0, item.visitor_id, item.ask_id or "", "", item.decision_id, "")
    return (
        item.received_at,
        item.at,
        EVENT_TYPES.index(item.type),
        item.visitor_id,
        item.ask_id or "",
        item.signal or "",
        item.decision_id or "",
        item.event_id or "",
    )


def _arrivals(view: View, visitor_ids: Sequence[str]) -> list[Arrival]:
    """Everything that counts for the states of these visitors, in order of arrival."""
    items: list[Arrival] = []
    for visitor_id in visitor_ids:
        history = view.store.history(visitor_id)
        items.extend(s.decision for s in history.decisions if s.status not in ("deferred", "expired"))
        items.extend(history.events)
    return sorted(items, key=arrival_key)
