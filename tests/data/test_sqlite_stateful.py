"""Random use of a store: SQLite must answer exactly as the store in memory does."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from data.stores.memory import MemoryStore
from data.stores.protocol import Commit, StatusWrite, StoredDecision, StoredEvent, VisitorWrite
from data.stores.sqlite import SqliteStore
from data.stores.sqlite_rows import STATUSES
from tests.contracts.store_samples import T0, event, stored

VISITORS = ("a", "b", "c", "é")
DECISIONS = tuple(f"d-{i}" for i in range(6))
EVENTS = tuple(f"e-{i}" for i in range(6))
JOURNEYS = ("skincare", "other")
ASKS = ("quiz", "purchase", None)

times = st.integers(T0, T0 + 5)
maybe_times = st.none() | times
visitor_ids = st.sampled_from(VISITORS)


@st.composite
def visitor_writes(draw: st.DrawFn, visitor_id: str) -> VisitorWrite:
    expected = draw(st.integers(0, 2))
    into = draw(st.none() | visitor_ids)
    return VisitorWrite(visitor_id, expected, expected + draw(st.integers(1, 2)), draw(st.binary(max_size=3)), into)


stored_decisions: st.SearchStrategy[StoredDecision] = st.builds(
    stored,
    st.sampled_from(DECISIONS),
    visitor_ids,
    at=times,
    received_at=times,
    shown_at=maybe_times,
    answered_at=maybe_times,
    status=st.sampled_from(STATUSES),
    scope=st.sampled_from(("visitor", "visitor", "history")),
    journey=st.sampled_from(JOURNEYS),
    ask_id=st.sampled_from(ASKS),
    propensity=st.none() | st.floats(0.01, 1),
    eligible=st.none() | st.lists(st.sampled_from(ASKS), max_size=2).map(tuple),
)
stored_events: st.SearchStrategy[StoredEvent] = st.builds(
    event,
    st.sampled_from(EVENTS),
    visitor_ids,
    at=times,
    received_at=times,
    type=st.sampled_from(("accepted", "declined", "left", "merged")),
    ask_id=st.sampled_from(ASKS),
    from_id=st.none() | visitor_ids,
    journey=st.sampled_from(JOURNEYS),
)
status_writes = st.builds(
    StatusWrite, st.sampled_from(DECISIONS), st.sampled_from(STATUSES), maybe_times, maybe_times, maybe_times
)


@st.composite
def commits(draw: st.DrawFn) -> Commit:
    ids = draw(st.lists(visitor_ids, max_size=2, unique=True))
    return Commit(
        tuple(draw(visitor_writes(id_)) for id_ in ids),
        tuple(draw(st.lists(stored_decisions, max_size=2))),
        tuple(draw(st.lists(stored_events, max_size=2))),
        tuple(draw(st.lists(status_writes, max_size=2))),
    )


class Agreement(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.memory = MemoryStore()
        self.sqlite = SqliteStore(Path(self.folder.name) / "store.db")

    def teardown(self) -> None:
        self.sqlite.close()
        self.folder.cleanup()

    @rule(group=st.lists(commits(), min_size=1, max_size=3))
    def commit(self, group: list[Commit]) -> None:
        assert self.sqlite.commit(group) == self.memory.commit(group)

    @rule(visitor_id=visitor_ids, at=times)
    def erase(self, visitor_id: str, at: int) -> None:
        assert self.sqlite.erase(visitor_id, at) == self.memory.erase(visitor_id, at)

    @rule(journey=st.sampled_from(JOURNEYS), ids=st.lists(visitor_ids, max_size=3), ask_id=st.sampled_from(ASKS[:2]))
    def latest_open(self, journey: str, ids: list[str], ask_id: str) -> None:
        assert self.sqlite.latest_open(journey, ids, ask_id) == self.memory.latest_open(journey, ids, ask_id)

    @rule()
    def reopen(self) -> None:
        self.sqlite.close()
        self.sqlite = SqliteStore(Path(self.folder.name) / "store.db")

    @invariant()
    def both_hold_the_same(self) -> None:
        for read in ("counts", "journeys"):
            assert getattr(self.sqlite, read)() == getattr(self.memory, read)()
        assert self.sqlite.visitors(VISITORS) == self.memory.visitors(VISITORS)
        assert self.sqlite.decisions(DECISIONS) == self.memory.decisions(DECISIONS)
        assert self.sqlite.known_events(EVENTS) == self.memory.known_events(EVENTS)
        assert self.sqlite.erased_at(VISITORS) == self.memory.erased_at(VISITORS)

    @invariant()
    def both_tell_the_same_of_a_visitor(self) -> None:
        for visitor_id in VISITORS:
            mine, theirs = self.sqlite.lineage(visitor_id), self.memory.lineage(visitor_id)
            assert mine[0] == theirs[0] == visitor_id
            assert sorted(mine) == sorted(theirs)
            assert self.sqlite.history(visitor_id) == self.memory.history(visitor_id)

    @invariant()
    def both_tell_the_same_log(self) -> None:
        for journey in JOURNEYS:
            logs = [[row for batch in s.log(journey) for row in batch] for s in (self.sqlite, self.memory)]
            assert sorted(map(repr, logs[0])) == sorted(map(repr, logs[1]))


Agreement.TestCase.settings = settings(
    max_examples=40, stateful_step_count=15, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestSqliteAgreesWithMemory = Agreement.TestCase
