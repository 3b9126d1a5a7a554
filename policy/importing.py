"""Importing: past decisions and events become stored rows, and the visitors' states their fold.

Rows are taken in order of arrival, each visitor's rows durable together. Importing the same log again changes
nothing. A row that claims to have arrived before something its visitor is known for already arrives right after
that instead: decisions made in between did not know it, and the exported log must say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, TypeAlias

from data.domain import Decision, Event
from data.errors import BadInput, BadRequest
from data.stores.protocol import Commit, DecisionStatus, StatusWrite, Store, StoredDecision, StoredEvent
from features.state import advance, show
from policy.asking import merged_answers, write_visitor
from policy.desk import Desk, Held, Needs, View, Work
from policy.hearing import derived_event_id
from policy.live import LiveJourney
from policy.merging import Merging

Arrival: TypeAlias = Decision | Event
GROUP: Final = 64


@dataclass(frozen=True)
class Imported:
    """What an import did with the rows it was given; ``n_erased`` are rows of visitors erased since."""

    n_decisions: int = 0
    n_events: int = 0
    n_merges: int = 0
    n_duplicates: int = 0
    n_erased: int = 0

    def plus(self, other: Imported) -> Imported:
        """Both counts together."""
        return Imported(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def import_arrivals(
    arrivals: Iterable[tuple[int, Arrival]], live: LiveJourney, store: Store, *, now: int
) -> Iterator[Imported]:
    """Takes rows into a store; yields what became of each group as soon as it is durable.

    Args:
        arrivals: rows in order of arrival, each with the number of the visitor sequence it belongs to.
        live: the journey all rows are of.
        store: where they go.
        now: the present instant.

    Raises:
        StoreUnavailable: the store failed; groups yielded before are kept, and importing again continues.
        BadInput: a row cannot be taken.
    """
    desk = Desk(store, lambda: {live.catalog.journey: live}, b"", lambda: now)
    waiting: dict[int, list[Arrival]] = {}
    owner_of: dict[str, int] = {}
    for owner, item in arrivals:
        if isinstance(item, Event) and item.type == "merged" and item.from_id is not None:
            merging = [waiting.pop(owner_of.get(id_, -1), []) for id_ in (item.from_id, item.visitor_id)]
            yield from _take(desk, store, live, [history for history in merging if history])
            yield _merge(desk, item)
        else:
            owner_of[item.visitor_id] = owner
            waiting.setdefault(owner, []).append(item)
    yield from _take(desk, store, live, list(waiting.values()))


def _take(desk: Desk, store: Store, live: LiveJourney, histories: Sequence[Sequence[Arrival]]) -> Iterator[Imported]:
    for start in range(0, len(histories), GROUP):
        group = histories[start : start + GROUP]
        erased = store.erased_at(tuple({item.visitor_id for history in group for item in history}))
        works = [_Importing(history, live, erased) for history in group]
        _run(desk, works)
        for work in works:
            yield work.imported


def _merge(desk: Desk, event: Event) -> Imported:
    work = Merging(event.from_id or "", event.visitor_id, at=event.at, arrived_at=event.received_at)
    _run(desk, (work,))
    is_new = bool(work.result and work.result["merged"])
    return Imported(n_merges=int(is_new), n_duplicates=int(not is_new))


def _run(desk: Desk, works: Sequence[Work]) -> None:
    desk.run(works)
    for work in works:
        error = getattr(work, "error", None)
        if error is not None:
            raise BadInput(str(error))


class _Importing:
    """The work of one visitor's rows, in order of arrival."""

    def __init__(self, history: Sequence[Arrival], live: LiveJourney, erased: Mapping[str, int]) -> None:
        self.imported = Imported()
        self.error: BadRequest | None = None
        self._history = history
        self._live = live
        self._erased_at = erased

    def needs(self) -> Needs:
        """See ``Work``."""
        history = self._history
        return Needs(
            visitors=tuple({item.visitor_id for item in history}),
            decisions=tuple({item.decision_id for item in history if item.decision_id is not None}),
            events=tuple({_key(item) for item in history if isinstance(item, Event)}),
        )

    def attempt(self, view: View) -> Sequence[Commit]:
        """See ``Work``."""
        held = view.visitor(self._history[0].visitor_id)
        draft = _Draft(view, self._live, held)
        n_erased = 0
        for item in self._history:
            if item.at < self._erased_at.get(item.visitor_id, 0):
                n_erased += 1
            elif isinstance(item, Decision):
                draft.take_decision(item)
            else:
                draft.take_event(item)
        self.imported = replace(draft.counts(), n_erased=n_erased)
        return () if draft.is_empty else (draft.commit(),)

    def settle(self, written: Sequence[bool]) -> bool:
        """See ``Work``."""
        return all(written)

    def fail(self, error: BadRequest) -> None:
        """See ``Work``."""
        self.error = error


class _Draft:
    """The commit of one visitor's rows in the making."""

    def __init__(self, view: View, live: LiveJourney, held: Held) -> None:
        self._view = view
        self._live = live
        self._held = held
        self._decisions: dict[str, StoredDecision] = {}
        self._events: list[StoredEvent] = []
        self._statuses: dict[str, StatusWrite] = {}
        self._n_duplicates = 0

    @property
    def is_empty(self) -> bool:
        """Whether every row was known already."""
        return not (self._decisions or self._events)

    def counts(self) -> Imported:
        """What this draft will have done."""
        return Imported(len(self._decisions), len(self._events), 0, self._n_duplicates)

    def take_decision(self, decision: Decision) -> None:
        """Adds a decision, shown from its arrival on."""
        if decision.decision_id in self._decisions or self._view.decision(decision.decision_id) is not None:
            self._n_duplicates += 1
            return
        decision = replace(decision, received_at=self._arrive(decision.received_at))
        self._held.memory.answers = merged_answers(self._held.memory.answers, decision.answers)
        show(self._held.memory.journey(decision.journey), decision, self._live.scopes)
        self._decisions[decision.decision_id] = StoredDecision(decision)

    def take_event(self, event: Event) -> None:
        """Adds an event; an answer also closes its decision."""
        key = _key(event)
        if self._view.is_known(key):
            self._n_duplicates += 1
            return
        self._view.put_event(key)
        event = replace(event, event_id=key, received_at=self._arrive(event.received_at))
        self._held.memory.answers = merged_answers(self._held.memory.answers, event.answers)
        advance(self._held.memory.journey(event.journey), event, self._live.scopes)
        self._events.append(StoredEvent(key, event))
        if event.decision_id is not None and event.type in ("accepted", "declined", "ignored"):
            self._answer(event.decision_id, event.type, event.at)

    def commit(self) -> Commit:
        """Everything of this visitor, durable together."""
        return Commit(
            visitors=(write_visitor(self._held),),
            decisions=tuple(self._decisions.values()),
            events=tuple(self._events),
            statuses=tuple(self._statuses.values()),
        )

    def _arrive(self, received_at: int) -> int:
        memory = self._held.memory
        memory.last_received_at = memory.next_arrival(received_at)
        return memory.last_received_at

    def _answer(self, decision_id: str, status: DecisionStatus, at: int) -> None:
        own = self._decisions.get(decision_id)
        if own is not None:
            self._decisions[decision_id] = replace(own, status=status, answered_at=at)
        else:
            self._statuses[decision_id] = StatusWrite(decision_id, status, at)


def _key(event: Event) -> str:
    return event.event_id or derived_event_id(
        ("v", event.journey, event.visitor_id), event.type, event.ask_id, event.signal, event.at
    )
