"""What holds for every log, however late, doubled or contradicting its rows are."""

import random

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from data.arrivals import arrange, conversions, histories
from data.domain import EVENT_TYPES, Decision
from features import state as visitor_state
from features.state import Scopes, advance, fold, is_repeated_conversion, show
from tests.log_strategies import CATALOG, JOURNEYS, log_frame

SCOPES = Scopes.of(CATALOG)
ARRIVAL = ("received_at", "at", "rank", "visitor_id", "ask_id", "signal", "decision_id", "event_id")


def step(state, item):
    return show(state, item, SCOPES) if isinstance(item, Decision) else advance(state, item, SCOPES)


def is_conversion(item):
    return item.type == "converted" or (item.type == "accepted" and item.ask_id == CATALOG.goal)


def owners_by_definition(frame):
    """Owner of each row, by replaying merges one by one."""
    became = {}

    def now(visitor):
        while visitor in became:
            visitor = became[visitor]
        return visitor

    owners = []
    for row in frame.select("type", "visitor_id", "from_id").iter_rows(named=True):
        if row["type"] == "merged":
            became[now(row["from_id"])] = now(row["visitor_id"])
        owners.append(now(row["visitor_id"]))
    return owners


@settings(max_examples=60, deadline=None)
@given(rows=JOURNEYS, seed=st.integers(0, 9))
def test_the_order_of_the_file_does_not_matter(rows, seed):
    shuffled = random.Random(seed).sample(rows, len(rows))
    one, other = arrange(log_frame(rows), CATALOG), arrange(log_frame(shuffled), CATALOG)
    assert_frame_equal(one.frame, other.frame)
    assert_frame_equal(one.set_aside, other.set_aside)
    assert (one.n_duplicates, one.merges, one.visitors) == (other.n_duplicates, other.merges, other.visitors)


@settings(max_examples=60, deadline=None)
@given(rows=JOURNEYS)
def test_no_row_goes_missing_and_order_is_arrival(rows):
    arrivals = arrange(log_frame(rows), CATALOG)
    frame = arrivals.frame
    assert len(rows) == len(frame) + arrivals.n_duplicates + len(arrivals.set_aside)
    assert frame["order"].to_list() == list(range(len(frame)))
    assert frame["rank"].to_list() == [EVENT_TYPES.index(name) for name in frame["type"]]
    assert_frame_equal(frame, frame.sort(*ARRIVAL, maintain_order=True))


@settings(max_examples=60, deadline=None)
@given(rows=JOURNEYS)
def test_every_decision_has_one_name_and_at_most_one_final_answer_behind_it(rows):
    frame = arrange(log_frame(rows), CATALOG).frame
    shown = {row["decision_id"]: row for row in frame.filter(type="shown").iter_rows(named=True)}
    assert None not in shown
    assert len(shown) == frame.filter(type="shown").height
    answers = frame.filter(pl.col("type").is_in(["accepted", "declined", "ignored"]), ~pl.col("decision_id").is_null())
    final = answers.filter(pl.col("type") != "ignored")
    assert final["decision_id"].is_unique().all()
    for row in answers.iter_rows(named=True):
        decision = shown[row["decision_id"]]
        assert row["ask_id"] == decision["ask_id"]
        assert row["order"] > decision["order"]
        assert row["at"] >= decision["at"]
    assert set(frame.filter(pl.col("decision_id").is_null())["type"]).isdisjoint({"shown", "declined", "ignored"})


@settings(max_examples=60, deadline=None)
@given(rows=JOURNEYS)
def test_arranging_twice_changes_nothing(rows):
    log = log_frame(rows)
    once = arrange(log, CATALOG)
    twice = arrange(once.frame.select(log.columns), CATALOG)
    assert_frame_equal(once.frame, twice.frame)
    assert twice.set_aside.is_empty()
    assert twice.n_duplicates == 0


@settings(max_examples=60, deadline=None)
@given(rows=JOURNEYS)
def test_owners_are_those_of_replayed_merges(rows):
    arrivals = arrange(log_frame(rows), CATALOG)
    assert [arrivals.visitors[owner] for owner in arrivals.frame["owner"]] == owners_by_definition(arrivals.frame)
    for order, into, other in arrivals.merges:
        assert arrivals.frame["owner"][order] == into
        assert other not in arrivals.frame["owner"][order:].to_list()


@settings(max_examples=60, deadline=None)
@given(rows=JOURNEYS)
def test_repeats_are_those_of_the_fold(rows):
    arrivals = arrange(log_frame(rows), CATALOG)
    expected = [False] * len(arrivals.frame)
    for history in histories(arrivals):
        state = fold(history.past, SCOPES)
        for moment in history.moments:
            if moment.is_look:
                continue
            if not isinstance(moment.item, Decision) and is_conversion(moment.item):
                expected[moment.order] = is_repeated_conversion(state, moment.item, SCOPES)
            step(state, moment.item)
    assert arrivals.frame["is_repeat"].to_list() == expected


def test_as_many_orders_are_remembered_as_in_the_fold():
    assert conversions.RECENT_ORDERS == visitor_state.RECENT_ORDERS


@settings(max_examples=60, deadline=None)
@given(rows=JOURNEYS)
def test_every_arrival_enters_one_history_and_every_decision_looks_once(rows):
    arrivals = arrange(log_frame(rows), CATALOG)
    moments = [moment for history in histories(arrivals) for moment in history.moments]
    assert sorted(m.order for m in moments if not m.is_look) == arrivals.frame["order"].to_list()
    looks = sorted(m.order for m in moments if m.is_look)
    assert looks == arrivals.frame.filter(type="shown")["order"].to_list()
    assert all(history.moments for history in histories(arrivals))
    items = dict(arrivals.items())
    assert all(items[moment.order] == moment.item for moment in moments)


@settings(max_examples=60, deadline=None)
@given(rows=JOURNEYS)
def test_a_decision_sees_what_was_received_until_then_by_those_who_were_one(rows):
    arrivals = arrange(log_frame(rows), CATALOG)
    items = [item for _, item in arrivals.items()]
    for history in histories(arrivals):
        state = fold(history.past, SCOPES)
        for moment in history.moments:
            if not moment.is_look:
                step(state, moment.item)
                continue
            known = [item for item in items[: moment.order] if item.received_at <= moment.item.at]
            table = arrivals.frame.head(len(known))
            became = dict(zip(arrivals.visitors, arrivals.visitors, strict=True))
            for row in table.filter(type="merged").iter_rows(named=True):
                into, other = became[row["visitor_id"]], became[row["from_id"]]
                became = {name: into if root == other else root for name, root in became.items()}
            mine = [item for item in known if became[item.visitor_id] == became[moment.item.visitor_id]]
            assert state == fold(mine, SCOPES)
