"""Lowering equals the fold, field by field, on random logs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.arrivals import arrange
from data.domain import DAY, SECOND, Decision, Event
from data.log.items import frame_of
from features import lowering
from features.lowering import lower
from features.state import RECENT_SHOWS
from features.summary import SCALARS, Summary
from tests.features.random_logs import (
    CATALOG,
    START,
    STEPS,
    arrange_items,
    dense_log,
    expected,
    items_of_steps,
    logs,
    stand_in,
)
from tests.log_strategies import CATALOG as OTHER_CATALOG
from tests.log_strategies import JOURNEYS, log_frame

UNFOLDED = (
    "n_shown",
    "n_accepted",
    "n_declined",
    "shown_at",
    "accepted_at",
    "declined_at",
    "n_shown_episode",
    "n_accepted_episode",
    "n_signals",
    "n_signals_session",
    "signaled_at",
)


def assert_equal(found: Summary, wanted: Summary) -> None:
    for name in (*SCALARS, *UNFOLDED):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)


def shown(visitor: str, at: int, ask: str | None = "quiz") -> Decision:
    when = START + at * SECOND
    return Decision(f"d-{visitor}-{at}", visitor, "shop", when, when, ask, None, None, "baseline")


def event(visitor: str, kind: str, at: int, received: int | None = None, **more: str) -> Event:
    received_at = START + (at if received is None else received) * SECOND
    return Event(visitor, kind, START + at * SECOND, received_at, "shop", **more)  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None)
@given(logs())
def test_lowering_equals_the_fold(items):
    assert_equal(lower(stand_in(items), CATALOG).summary, expected(items))


@pytest.mark.parametrize("hundred", range(4))
def test_lowering_equals_the_fold_of_dense_logs(hundred):
    for seed in range(100 * hundred, 100 * (hundred + 1)):
        items = dense_log(seed)
        assert_equal(lower(stand_in(items), CATALOG).summary, expected(items))


@settings(max_examples=60, deadline=None)
@given(logs())
def test_lowering_equals_the_fold_however_a_log_is_cut_into_blocks(items):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lowering, "BLOCK", 3)
        assert_equal(lower(stand_in(items), CATALOG, threads=2).summary, expected(items))


@settings(max_examples=100, deadline=None)
@given(JOURNEYS)
def test_lowering_of_an_arranged_log_equals_the_fold_of_its_arrivals(rows):
    arrivals = arrange(log_frame(rows), OTHER_CATALOG)
    items = [item for _, item in arrivals.items()]
    assert_equal(lower(arrivals, OTHER_CATALOG).summary, expected(items, OTHER_CATALOG))


@settings(max_examples=100, deadline=None)
@given(logs())
def test_lowering_of_an_arranged_random_log_equals_the_fold(items):
    arrivals = arrange(frame_of(items), CATALOG)
    arrived = [item for _, item in arrivals.items()]
    assert_equal(lower(arrivals, CATALOG).summary, expected(arrived))


@settings(max_examples=100, deadline=None)
@given(logs(), st.lists(STEPS, max_size=25))
def test_nothing_that_arrives_later_changes_an_earlier_decision(items, later):
    latest = max((item.received_at for item in items), default=START)
    more = items + items_of_steps(later, 4, start=latest + 100 * SECOND)
    before, after = lower(stand_in(items), CATALOG), lower(stand_in(more), CATALOG)
    assert_equal(after.summary.take(slice(0, len(before.summary))), before.summary)
    np.testing.assert_array_equal(after.order[: len(before.order)], before.order)


@settings(max_examples=100, deadline=None)
@given(logs(has_merges=False))
def test_a_visitors_decisions_do_not_depend_on_other_visitors(items):
    own = [item for item in items if item.visitor_id == "v0"]
    is_own = [item.visitor_id == "v0" for item in items if isinstance(item, Decision)]
    together = lower(stand_in(items), CATALOG).summary.take(np.array(is_own, dtype=bool))
    assert_equal(together, lower(stand_in(own), CATALOG).summary)


def test_a_log_without_decisions_lowers_to_nothing():
    assert len(lower(stand_in([event("v", "signal", 1, signal="page")]), CATALOG).summary) == 0


def test_an_empty_log_lowers_to_nothing():
    assert len(lower(stand_in([]), CATALOG).order) == 0


def test_decisions_come_in_order_of_arrival_with_their_order():
    items = [shown("a", 1), event("b", "signal", 2, signal="page"), shown("b", 3, None)]
    lowered = lower(stand_in(items), CATALOG)
    assert lowered.order.tolist() == [0, 2]
    assert lowered.now.tolist() == [items[0].at, items[2].at]


def test_a_decision_does_not_see_what_was_received_after_it():
    items = arrange_items([event("v", "declined", 1, received=9, ask_id="quiz"), shown("v", 5), shown("v", 10)])
    assert lower(stand_in(items), CATALOG).summary.n_declined[:, 0].tolist() == [0, 1]


def test_a_merge_joins_histories_for_later_decisions_only():
    items = [
        shown("anon", 1),
        event("user", "declined", 2, ask_id="save"),
        shown("user", 3),
        event("user", "merged", 4, from_id="anon"),
        shown("user", 5),
        shown("anon", 6),
    ]
    summary = lower(stand_in(items), CATALOG).summary
    assert summary.n_shown[:, 0].tolist() == [0, 0, 2, 3]
    assert summary.n_declined[:, 1].tolist() == [0, 1, 1, 1]


def test_a_deferred_decision_sees_its_visitor_as_it_was_before_a_merge():
    late = Decision("d", "anon", "shop", START + 5 * SECOND, START + 9 * SECOND, "quiz", None, None, "baseline")
    items = [shown("anon", 1), shown("user", 2), event("user", "merged", 7, from_id="anon"), late]
    assert lower(stand_in(items), CATALOG).summary.n_shown[:, 0].tolist() == [0, 0, 1]


def test_a_conversion_that_both_merged_histories_report_is_one():
    items = [
        event("anon", "accepted", 1, ask_id="buy", order_id="o1"),
        event("user", "converted", 2, order_id="o1"),
        event("user", "merged", 3, from_id="anon"),
        shown("user", 4),
    ]
    assert lower(stand_in(items), CATALOG).summary.n_conversions.tolist() == [1]


def test_an_episode_ends_with_its_window_and_the_next_begins():
    summary = lower(stand_in([shown("v", 0), shown("v", 19), shown("v", 20), shown("v", 21)]), CATALOG).summary
    assert summary.n_episodes.tolist() == [0, 1, 1, 2]
    assert summary.episode_shown.tolist() == [0, 1, 0, 1]


def test_a_long_chain_of_episodes_is_found_whole():
    items = [shown("v", at) for at in range(0, 6_000, 7)]
    assert_equal(lower(stand_in(items), CATALOG).summary, expected(items))


def test_shows_of_the_last_day_are_counted_up_to_the_number_a_state_remembers():
    items = [shown("v", at) for at in range(RECENT_SHOWS + 5)]
    assert lower(stand_in(items), CATALOG).summary.n_shows_last_24h[-3:].tolist() == [RECENT_SHOWS] * 3


def test_shows_older_than_a_day_are_not_counted():
    items = [shown("v", 0), shown("v", 10), shown("v", DAY // SECOND)]
    assert lower(stand_in(items), CATALOG).summary.n_shows_last_24h.tolist() == [0, 1, 1]


def test_a_show_that_lies_ahead_moves_the_end_of_the_last_day_as_it_does_in_the_fold():
    day = DAY // SECOND
    ahead = replace(shown("v", 3 + day), received_at=START + day * SECOND)
    items = [shown("v", 2), shown("v", 4), ahead, shown("v", 1 + day)]
    assert lower(stand_in(items), CATALOG).summary.n_shows_last_24h.tolist() == [0, 1, 1, 2]
    assert_equal(lower(stand_in(items), CATALOG).summary, expected(items))


def test_owners_may_be_any_numbers():
    log = stand_in([shown("a", 1), shown("b", 2), shown("a", 3)])
    far = log.frame.with_columns(owner=log.frame["owner"] * 2**61 - 5)
    assert lower(type(log)(far, ()), CATALOG).summary.n_shown[:, 0].tolist() == [0, 0, 1]
