from dataclasses import replace

import pytest

from data.clock import from_datetime
from tests.episode_logs import (
    CATALOG,
    accepted,
    arrivals_of,
    declined,
    episodes_in,
    minute,
    row,
    shown,
    steps_of,
    table_of,
)

BY_LEAVING = replace(CATALOG, settles="left")
FORCED = {"propensity": 1.0, "eligible": [None]}


# steps


def test_steps_are_numbered_in_the_order_in_which_they_happened():
    rows = [shown(10, "save"), shown(0, "quiz"), shown(20, "buy")]
    assert steps_of(rows, "episode_id", "step", "ask_id") == [(0, 0, "quiz"), (0, 1, "save"), (0, 2, "buy")]


def test_a_null_decision_forced_by_guardrails_is_no_step():
    rows = [
        shown(0, "quiz"),
        shown(5, None, **FORCED),
        shown(9, None, propensity=1.0),
        shown(9.5, None, eligible=[None]),
    ]
    assert steps_of(rows, "ask_id") == ["quiz"]
    assert episodes_in(rows).n_forced_nulls == 3


@pytest.mark.parametrize(
    "fields",
    [
        {"propensity": 0.3, "eligible": ["quiz", None]},
        {"propensity": 1.0, "eligible": ["quiz", None], "policy": "holdout:none"},
        {"propensity": 0.3},
        {},
    ],
)
def test_a_null_decision_that_was_a_choice_is_a_step_and_may_begin_the_episode(fields):
    rows = [shown(0, None, **fields), shown(5, "quiz")]
    assert steps_of(rows, "step", "ask_id", "answer") == [(0, None, "ignored"), (1, "quiz", "ignored")]


def test_a_deferred_decision_takes_its_place_when_it_was_seen():
    rows = [shown(0, "save", shown_at=20, received_at=20), shown(10, "quiz")]
    assert steps_of(rows, "ask_id", "at", "seen_at") == [("quiz", 10, 10), ("save", 0, 20)]


def test_a_log_without_propensities_and_eligible_asks_has_episodes():
    assert table_of([shown(0, "quiz"), accepted(1, "quiz")], "n_steps") == [1]


def test_an_empty_log_has_no_episodes():
    empty = episodes_in([])
    assert (empty.steps.height, empty.episodes.height, empty.n_conversions) == (0, 0, 0)


def test_a_log_of_signals_alone_has_no_episodes():
    assert table_of([row("signal", 0, signal="page_view")], "episode_id") == []


# answers


def test_answers_are_joined_with_their_time_and_value():
    rows = [shown(0, "quiz"), accepted(1, "quiz", value=3.5), shown(2, "save"), declined(4, "save")]
    assert steps_of(rows, "answer", "answered_at", "value") == [("accepted", 1, 3.5), ("declined", 4, 0)]


def test_a_late_answer_still_counts():
    assert steps_of([shown(0, "quiz"), accepted(90, "quiz")], "answer", "answered_at") == [("accepted", 90)]


def test_a_decision_that_nobody_answers_expires_as_ignored_not_declined():
    assert steps_of([shown(0, "quiz")], "answer", "answered_at", now=30) == [("ignored", None)]


def test_a_decision_younger_than_the_session_gap_is_pending():
    assert steps_of([shown(0, "quiz")], "answer", now=29.9) == ["pending"]


def test_an_ignored_event_settles_a_young_decision_and_an_acceptance_replaces_it():
    ignored = [shown(0, "quiz"), row("ignored", 1, ask_id="quiz")]
    assert steps_of(ignored, "answer", "answered_at", now=2) == [("ignored", None)]
    assert steps_of([*ignored, accepted(2, "quiz")], "answer", "answered_at", now=3) == [("accepted", 2)]


def test_an_unprompted_acceptance_is_no_step():
    assert steps_of([shown(0, "quiz"), accepted(5, "save")], "ask_id", "answer") == [("quiz", "ignored")]


# where episodes end


def test_an_accepted_goal_ends_the_episode_and_the_next_decision_begins_another():
    rows = [shown(0, "quiz"), shown(5, "buy"), accepted(6, "buy"), shown(7, "quiz")]
    columns = ("started_at", "ended_at", "n_steps", "is_converted", "converted_at", "ended_by")
    assert table_of(rows, *columns) == [(0, 6, 2, True, 6, "converted"), (7, 107, 1, False, None, "window")]


def test_the_window_counts_from_the_first_decision_not_from_the_last():
    rows = [shown(0, "quiz"), shown(60, "save"), shown(99, "quiz"), shown(100, "save")]
    assert table_of(rows, "started_at", "ended_at", "n_steps", "ended_by") == [
        (0, 100, 3, "window"),
        (100, 200, 1, "window"),
    ]


def test_signals_do_not_prolong_an_episode():
    rows = [shown(0, "quiz"), row("signal", 99, signal="page_view"), shown(101, "quiz")]
    assert table_of(rows, "started_at") == [0, 101]


def test_leaving_ends_the_episode():
    rows = [shown(0, "quiz"), row("left", 5), shown(10, "save")]
    assert table_of(rows, "started_at", "ended_at", "has_left", "ended_by") == [
        (0, 5, True, "left"),
        (10, 110, False, "window"),
    ]


def test_a_conversion_after_leaving_but_inside_the_window_belongs_to_the_episode():
    rows = [shown(0, "quiz"), row("left", 5), row("converted", 99)]
    columns = ("is_converted", "converted_at", "ended_at", "has_left", "ended_by")
    assert table_of(rows, *columns) == [(True, 99, 99, True, "converted")]


def test_a_conversion_after_leaving_and_a_new_decision_belongs_to_the_new_episode():
    rows = [shown(0, "quiz"), row("left", 5), shown(50, "quiz"), row("converted", 60)]
    assert table_of(rows, "is_converted") == [False, True]


def test_a_conversion_at_the_end_of_the_window_is_outside():
    found = episodes_in([shown(0, "quiz"), row("converted", 100)])
    assert found.episodes["is_converted"].to_list() == [False]
    assert (found.n_conversions, found.n_conversions_outside) == (1, 1)


def test_leaving_before_any_decision_or_after_the_window_does_nothing():
    rows = [row("left", 0), shown(5, "quiz"), row("left", 105)]
    assert table_of(rows, "has_left", "ended_by") == [(False, "window")]


def test_two_visitors_do_not_share_an_episode():
    rows = [shown(0, "quiz", "a"), shown(1, "quiz", "b"), row("converted", 2, "b")]
    assert table_of(rows, "visitor_id", "is_converted") == [("a", False), ("b", True)]


# conversions


def test_a_browser_event_and_a_webhook_with_one_order_are_one_conversion():
    rows = [shown(0, "buy"), accepted(5, "buy", order_id="o"), row("converted", 8, order_id="o")]
    found = episodes_in(rows)
    assert (found.n_conversions, found.n_conversions_outside) == (1, 0)
    assert table_of(rows, "converted_at") == [5]


def test_a_webhook_without_an_order_repeats_the_goal_acceptance():
    rows = [shown(0, "buy"), accepted(5, "buy"), row("converted", 8)]
    assert episodes_in(rows).n_conversions == 1


def test_a_webhook_that_arrives_before_the_browser_event_takes_its_earlier_time():
    rows = [shown(0, "buy"), row("converted", 8, order_id="o"), accepted(5, "buy", order_id="o", received_at=50)]
    assert episodes_in(rows).n_conversions == 1
    assert table_of(rows, "converted_at", "settled_at") == [(5, 8)]


def test_the_same_order_reported_weeks_later_is_no_conversion_of_a_later_episode():
    rows = [shown(0, "buy"), accepted(5, "buy", order_id="o"), shown(300, "quiz"), row("converted", 310, order_id="o")]
    assert table_of(rows, "is_converted") == [True, False]


def test_two_orders_with_a_decision_between_are_two_conversions():
    rows = [shown(0, "quiz"), row("converted", 5, order_id="o"), shown(6, "save"), row("converted", 9, order_id="p")]
    assert table_of(rows, "converted_at") == [5, 9]


def test_a_second_order_without_a_decision_between_is_outside():
    found = episodes_in([shown(0, "quiz"), row("converted", 5, order_id="o"), row("converted", 9, order_id="p")])
    assert (found.n_conversions, found.n_conversions_outside) == (2, 1)


def test_a_conversion_without_any_decision_is_outside():
    found = episodes_in([row("converted", 5)])
    assert (found.episodes.height, found.n_conversions_outside) == (0, 1)


def test_an_unprompted_goal_acceptance_converts_the_running_episode():
    assert table_of([shown(0, "quiz"), accepted(7, "buy")], "converted_at") == [7]


def test_a_conversion_reported_late_belongs_to_the_episode_in_which_it_happened():
    rows = [shown(0, "quiz"), shown(200, "quiz"), row("converted", 50, received_at=250)]
    assert table_of(rows, "is_converted", "settled_at") == [(True, 250), (False, 300)]


def test_a_conversion_reported_late_splits_the_run_at_its_time():
    rows = [shown(0, "quiz"), shown(10, "save"), row("converted", 5, received_at=20)]
    assert table_of(rows, "started_at", "is_converted") == [(0, True), (10, False)]


def test_an_answer_timed_before_its_decision_was_seen_counts_from_when_it_was_seen():
    rows = [shown(0, "buy", shown_at=20, received_at=20), accepted(10, "buy", decision_id="v-buy-0", received_at=21)]
    assert table_of(rows, "started_at", "converted_at") == [(20, 20)]


# maturity


@pytest.mark.parametrize(("now", "is_mature"), [(99.9, False), (100, True)])
@pytest.mark.parametrize("outcome", [[], [row("converted", 5)], [row("left", 5)]])
def test_an_episode_is_mature_when_its_window_has_passed_whatever_the_outcome(outcome, now, is_mature):
    assert table_of([shown(0, "quiz"), *outcome], "is_mature", now=now) == [is_mature]


def test_a_young_episode_without_outcome_is_open():
    assert table_of([shown(0, "quiz")], "ended_by", "ended_at", "settled_at", now=50) == [("open", None, None)]


def test_where_leaving_settles_an_episode_without_outcome_stays_immature():
    rows = [
        shown(0, "quiz", "a"),
        shown(0, "quiz", "b"),
        row("left", 5, "b"),
        shown(0, "quiz", "c"),
        row("converted", 5, "c"),
    ]
    assert sorted(table_of(rows, "visitor_id", "is_mature", "settled_at", catalog=BY_LEAVING)) == [
        ("a", False, None),
        ("b", True, 5),
        ("c", True, 5),
    ]


def test_where_leaving_settles_a_young_episode_that_left_is_still_young():
    assert table_of([shown(0, "quiz"), row("left", 5)], "is_mature", catalog=BY_LEAVING, now=99) == [False]


def test_an_earlier_now_shows_the_log_as_it_was_then():
    rows = [shown(0, "quiz"), shown(20, "buy"), row("converted", 10, received_at=60)]
    found = episodes_in(rows, now=30)
    assert found.episodes["is_converted"].to_list() == [False]
    assert found.n_after_now == 1


# merges


def merged(at, into, gone):
    return row("merged", at, into, from_id=gone)


def test_decisions_after_a_merge_continue_the_browsers_episode():
    rows = [
        shown(0, "quiz", "anon"),
        merged(5, "user", "anon"),
        shown(10, "save", "user"),
        row("converted", 12, "user"),
    ]
    assert table_of(rows, "visitor_id", "n_steps", "is_converted") == [("anon", 2, True)]


def test_episodes_before_a_merge_stay_as_they_were_and_the_latest_one_goes_on():
    rows = [shown(0, "quiz", "user"), shown(5, "quiz", "anon"), shown(6, "save", "user"), merged(7, "user", "anon")]
    rows += [shown(10, "save", "user"), row("converted", 12, "user")]
    assert table_of(rows, "visitor_id", "n_steps", "is_converted") == [("user", 2, False), ("anon", 2, True)]


def test_after_a_merge_and_a_conversion_the_other_old_episode_does_not_go_on():
    rows = [shown(0, "quiz", "user"), shown(5, "quiz", "anon"), merged(7, "user", "anon"), row("converted", 8, "user")]
    rows += [shown(10, "quiz", "user")]
    assert table_of(rows, "started_at", "is_converted") == [(0, False), (5, True), (10, False)]


def test_a_conversion_before_the_merge_that_is_reported_after_it_finds_the_browsers_episode():
    rows = [shown(0, "quiz", "anon"), merged(5, "user", "anon"), row("converted", 4, "user", received_at=8)]
    assert table_of(rows, "is_converted") == [True]


def test_a_conversion_reported_under_the_account_just_before_the_merge_finds_the_browsers_episode():
    rows = [shown(0, "quiz", "anon"), row("converted", 4, "user"), merged(5, "user", "anon")]
    assert table_of(rows, "is_converted") == [True]


def test_one_order_reported_by_both_visitors_of_a_merge_is_one_conversion():
    rows = [
        shown(0, "buy", "anon"),
        accepted(3, "buy", "anon", order_id="o"),
        row("converted", 4, "user", order_id="o"),
    ]
    found = episodes_in([*rows, merged(5, "user", "anon")])
    assert (found.n_conversions, found.n_conversions_outside) == (1, 0)


def test_merges_chain_and_make_one_person():
    rows = [
        shown(0, "quiz", "a"),
        merged(1, "b", "a"),
        merged(2, "c", "b"),
        shown(3, "save", "c"),
        shown(4, "quiz", "d"),
    ]
    found = episodes_in(rows)
    assert found.episodes["n_steps"].to_list() == [2, 1]
    assert found.episodes["owner"].n_unique() == 2
    assert found.steps.filter(found.steps["visitor_id"] != "d")["owner"].n_unique() == 1


# the rest


def test_an_episode_with_a_decision_not_to_be_learned_from_is_not_to_be_learned_from():
    rows = [shown(0, "quiz"), shown(1, "save", learn=False), shown(0, "quiz", "b")]
    assert table_of(rows, "visitor_id", "learn") == [("b", True), ("v", False)]


def test_objects_say_the_same_as_the_frames():
    rows = [shown(0, "quiz"), accepted(1, "quiz"), shown(2, "buy"), shown(0, "save", "w"), row("left", 3, "w")]
    found = episodes_in(rows, now=5)
    first, second = found.as_objects()
    assert [(step.decision.ask_id, step.answer) for step in first.steps] == [("quiz", "accepted"), ("buy", "ignored")]
    assert first.steps[0].answered_at == from_datetime(minute(1))
    assert (first.visitor_id, first.journey, first.is_mature) == ("v", "shop", False)
    assert (second.visitor_id, second.has_left, second.is_converted) == ("w", True, False)


def test_the_order_of_a_step_leads_back_to_its_row():
    arrivals = arrivals_of([shown(3, "save"), shown(0, "quiz")])
    order = steps_of([shown(3, "save"), shown(0, "quiz")], "order")
    assert arrivals.frame["ask_id"].gather(order).to_list() == ["quiz", "save"]
