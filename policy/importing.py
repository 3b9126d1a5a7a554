"""Importing: past decisions and events become stored rows, and the visitors' states their fold.

Rows are taken in order of arrival, each visitor's rows durable together. Importing the same log again changes
nothing. A row that claims to have arrived before something its visitor is known for already arrives right after
that instead: decisions made in between did not know it, and the exported log must say so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Final, TypeAlias

from data.domain import ANSWER_TYPES, FINAL_ANSWERS, Decision, Event
from data.errors import BadInput, BadRequest
from data.stores.protocol import Commit, DecisionStatus, StatusWrite, Store, StoredDecision, StoredEvent
from features.state import advance, fold, show
from policy.asking import merged_answers, write_visitor
from policy.desk import Desk, Held, Needs, View, Work
from policy.hearing import derived_event_id
from policy.live import LiveJourney
from policy.merging import Merging, arrival_key

Arrival: TypeAlias = Decision | Event
GROUP: Final = 64


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did with the rows it was given.

    ``n_duplicates`` are rows that were there already, ``n_erased`` rows of visitors erased since, ``n_clashes`` rows
    whose ``decision_id`` names another decision in the store: they were left out.
    """

    n_decisions: int = 0
    n_events: int = 0
    n_merges: int = 0
    n_duplicates: int = 0
    n_erased: int = 0
    n_clashes: int = 0

    @property
    def n_rows(self) -> int:
        """All rows."""
        return sum(getattr(self, f.name) for f in fields(self))

    def plus(self, other: Imported) -> Imported:
        """Both counts together."""
        return Imported(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def import_arrivals(
    arrivals: Iterable[tuple[int, Arrival]],
    live: LiveJourney,
    store: Store,
    *,
    now: int,
    others: Iterable[LiveJourney] = (),
) -> Iterator[Imported]:
    """Takes rows into a store; yields what became of each group as soon as it is durable.

    Args:
        arrivals: rows in order of arrival, each with the number of the visitor sequence it belongs to.
        live: the journey all rows are of.
        store: where they go.
        now: the present instant.
        others: the workspace's other journeys: a merge concerns the visitors' states in all of them.

    Raises:
        StoreUnavailable: the store failed; groups yielded before are kept, and importing again continues.
        BadInput: a row cannot be taken.
    """
    journeys = {each.catalog.journey: each for each in (*others, live)}
    desk = Desk(store, lambda: journeys, b"", lambda: now)
    waiting = _Waiting()
    for owner, item in arrivals:
        if isinstance(item, Event) and item.type == "merged" and item.from_id is not None:
            both = waiting.merge(owner, item.visitor_id, item.from_id)
            yield from _take(desk, store, live, [both] if both else [])
            yield _merge(desk, store, live, item)
        else:
            waiting.add(owner, item)
    yield from _take(desk, store, live, waiting.rest())


@dataclass
class _Waiting:
    """Rows not taken yet, by the sequence they belong to."""

    rows: dict[int, list[Arrival]] = field(default_factory=dict)
    owner_of: dict[str, int] = field(default_factory=dict)
    became: dict[int, int] = field(default_factory=dict)

    def add(self, owner: int, item: Arrival) -> None:
        self.owner_of[item.visitor_id] = owner
        self.rows.setdefault(owner, []).append(item)

    def merge(self, owner: int, to_id: str, from_id: str) -> list[Arrival]:
        """The rows of both sequences in order of arrival; from now on both are one, of this owner."""
        other = self.owner_of.get(from_id, owner)
        while other in self.became:
            other = self.became[other]
        self.owner_of[from_id] = self.owner_of[to_id] = owner
        if other == owner:
            return self.rows.pop(owner, [])
        self.became[other] = owner
        return sorted([*self.rows.pop(owner, []), *self.rows.pop(other, [])], key=arrival_key)

    def rest(self) -> list[list[Arrival]]:
        return list(self.rows.values())


def _take(desk: Desk, store: Store, live: LiveJourney, histories: Sequence[Sequence[Arrival]]) -> Iterator[Imported]:
    for start in range(0, len(histories), GROUP):
        group = histories[start : start + GROUP]
        erased = store.erased_at(tuple({item.visitor_id for history in group for item in history}))
        works = [_Importing(history, live, erased) for history in group]
        _run(desk, works)
        for work in works:
            yield work.imported


def _merge(desk: Desk, store: Store, live: LiveJourney, event: Event) -> Imported:
    from_id, to_id = event.from_id or "", event.visitor_id
    if event.at < max(store.erased_at((from_id, to_id)).values(), default=0):
        return Imported(n_erased=1)
    work = Merging(from_id, to_id, at=event.at, arrived_at=event.received_at)
    _run(desk, (work,))
    if work.result and work.result["merged"]:
        return Imported(n_merges=1)
    late = _LateMerge(event, live)
    _run(desk, (late,))
    return late.imported


def _run(desk: Desk, works: Sequence[Work]) -> None:
    desk.run(works)
    for work in works:
        error = getattr(work, "error", None)
        if error is not None:
            raise BadInput(str(error))


class _Importing:
    """The work of rows in order of arrival; usually of one visitor, sometimes of a few that the store knows apart."""

    def __init__(self, history: Sequence[Arrival], live: LiveJourney, erased: Mapping[str, int]) -> None:
        self._history = [item for item in history if item.at >= erased.get(item.visitor_id, 0)]
        self.imported = Imported(n_erased=len(history) - len(self._history))
        self.error: BadRequest | None = None
        self._live = live
        self._proposed: list[_Draft] = []

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
        drafts: dict[str, _Draft] = {}
        for item in self._history:
            held = view.visitor(item.visitor_id)
            draft = drafts.get(held.visitor_id)
            if draft is None:
                draft = drafts[held.visitor_id] = _Draft(view, self._live, held)
            draft.take(item)
        self._history, self._proposed = [], []
        for draft in drafts.values():
            if draft.is_empty:
                self.imported = self.imported.plus(draft.imported)
            else:
                self._proposed.append(draft)
        return [draft.commit() for draft in self._proposed]

    def settle(self, written: Sequence[bool]) -> bool:
        """See ``Work``."""
        for draft, is_written in zip(self._proposed, written, strict=True):
            if is_written:
                self.imported = self.imported.plus(draft.imported)
            else:
                self._history.extend(draft.taken)
        return not self._history

    def fail(self, error: BadRequest) -> None:
        """See ``Work``."""
        self.error = error


class _Draft:
    """The commit of one visitor's rows in the making."""

    def __init__(self, view: View, live: LiveJourney, held: Held) -> None:
        self.taken: list[Arrival] = []
        self.imported = Imported()
        self._view = view
        self._live = live
        self._held = held
        self._decisions: dict[str, StoredDecision] = {}
        self._events: list[StoredEvent] = []
        self._statuses: dict[str, StatusWrite] = {}
        self._last_received_at = _known_until(view, held, live.catalog.journey)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self._decisions or self._events)

    def take(self, item: Arrival) -> None:
        """Adds a row, unless it is known."""
        self.taken.append(item)
        counted = self._take_decision(item) if isinstance(item, Decision) else self._take_event(item)
        self.imported = self.imported.plus(counted)

    def commit(self) -> Commit:
        """Everything of this visitor, durable together."""
        return Commit(
            visitors=(write_visitor(self._held),),
            decisions=tuple(self._decisions.values()),
            events=tuple(self._events),
            statuses=tuple(self._statuses.values()),
        )

    def _take_decision(self, decision: Decision) -> Imported:
        known = self._decision(decision.decision_id)
        if known is not None:
            is_same = _identity(known.decision) == _identity(decision)
            return Imported(n_duplicates=1) if is_same else Imported(n_clashes=1)
        decision = replace(decision, received_at=self._arrive(decision.received_at))
        self._held.memory.answers = merged_answers(self._held.memory.answers, decision.answers)
        show(self._held.memory.journey(decision.journey), decision, self._live.scopes)
        self._decisions[decision.decision_id] = StoredDecision(decision)
        return Imported(n_decisions=1)

    def _take_event(self, event: Event) -> Imported:
        key = _key(event)
        if self._view.is_known(key):
            return Imported(n_duplicates=1)
        answered = self._decision(event.decision_id) if event.type in ANSWER_TYPES else None
        if answered is not None:
            is_ours = self._view.canonical(answered.decision.visitor_id) == self._held.visitor_id
            if not is_ours or answered.decision.ask_id != event.ask_id:
                return Imported(n_clashes=1)
            if answered.status in (*FINAL_ANSWERS, event.type):
                return Imported(n_duplicates=1)
        self._view.put_event(key)
        event = replace(event, event_id=key, received_at=self._arrive(event.received_at))
        self._held.memory.answers = merged_answers(self._held.memory.answers, event.answers)
        advance(self._held.memory.journey(event.journey), event, self._live.scopes)
        self._events.append(StoredEvent(key, event))
        if answered is not None:
            self._answer(answered.decision.decision_id, event.type, event.at)  # type: ignore[arg-type]
        return Imported(n_events=1)

    def _decision(self, decision_id: str | None) -> StoredDecision | None:
        """A decision with the status it has by now."""
        if decision_id is None:
            return None
        stored = self._decisions.get(decision_id) or self._view.decision(decision_id)
        write = self._statuses.get(decision_id)
        return stored if stored is None or write is None else write.applied_to(stored)

    def _answer(self, decision_id: str, status: DecisionStatus, at: int) -> None:
        own = self._decisions.get(decision_id)
        if own is not None:
            self._decisions[decision_id] = replace(own, status=status, answered_at=at)
        else:
            self._statuses[decision_id] = StatusWrite(decision_id, status, at)

    def _arrive(self, received_at: int) -> int:
        self._last_received_at = max(received_at, self._last_received_at + 1)
        memory = self._held.memory
        memory.last_received_at = max(memory.last_received_at, self._last_received_at)
        return self._last_received_at


class _LateMerge:
    """The work of a merge whose visitors are one already, but not in what is stored of this journey.

    So it is when the log of another journey, which tells of the same merge, was imported first.
    """

    def __init__(self, event: Event, live: LiveJourney) -> None:
        self.imported = Imported(n_duplicates=1)
        self.error: BadRequest | None = None
        self._event = event
        self._live = live

    def needs(self) -> Needs:
        """See ``Work``."""
        return Needs(visitors=(self._event.visitor_id, self._event.from_id or ""))

    def attempt(self, view: View) -> Sequence[Commit]:
        """See ``Work``."""
        self.imported = Imported(n_duplicates=1)
        journey, scopes = self._live.catalog.journey, self._live.scopes
        held = view.visitor(self._event.visitor_id)
        history = view.store.history(held.visitor_id)
        rows: list[Arrival] = [*(stored.decision for stored in history.decisions), *history.events]
        arrivals = sorted((row for row in rows if row.journey == journey), key=arrival_key)
        members = _one_with(self._event.visitor_id, arrivals)
        key = _merge_key(self._event)
        if self._event.from_id in members or view.is_known(key):
            return ()
        received_at = max(self._event.received_at, arrivals[-1].received_at + 1 if arrivals else 0)
        event = replace(self._event, event_id=key, received_at=received_at)
        state = advance(fold(arrivals, scopes), event, scopes)
        state.arm = fold((row for row in arrivals if row.visitor_id in members), scopes).arm
        held.memory.journeys[journey] = state
        held.memory.last_received_at = max(held.memory.last_received_at, received_at)
        view.put_event(key)
        self.imported = Imported(n_merges=1)
        return (Commit(visitors=(write_visitor(held),), events=(StoredEvent(key, event),)),)

    def settle(self, written: Sequence[bool]) -> bool:
        """See ``Work``."""
        return all(written)

    def fail(self, error: BadRequest) -> None:
        """See ``Work``."""
        self.error = error


def _one_with(visitor_id: str, arrivals: Iterable[Arrival]) -> set[str]:
    """The visitor and all that the merges among these rows made one with it."""
    sets: dict[str, set[str]] = {}
    for row in arrivals:
        if isinstance(row, Event) and row.type == "merged" and row.from_id is not None:
            union = sets.get(row.visitor_id, {row.visitor_id}) | sets.get(row.from_id, {row.from_id})
            sets.update(dict.fromkeys(union, union))
    return sets.get(visitor_id, {visitor_id})


def _known_until(view: View, held: Held, journey: str) -> int:
    """What arrives for a visitor in a journey must arrive after this: other journeys do not matter."""
    memory = held.memory
    if memory.journeys.keys() <= {journey}:
        return memory.last_received_at
    history = view.store.history(held.visitor_id)
    rows: list[Arrival] = [*(stored.decision for stored in history.decisions), *history.events]
    return max((row.received_at for row in rows if row.journey == journey), default=0)


def _identity(decision: Decision) -> tuple[str, str, int, str | None]:
    return decision.journey, decision.visitor_id, decision.at, decision.ask_id


def _key(event: Event) -> str:
    return event.event_id or derived_event_id(
        ("v", event.journey, event.visitor_id), event.type, event.ask_id, event.signal, event.at
    )


def _merge_key(event: Event) -> str:
    return event.event_id or derived_event_id(
        ("m", event.journey, event.from_id or "", event.visitor_id), "merged", None, None, None
    )
