"""The fold, rule by rule."""

from __future__ import annotations

import pytest

from data.domain import DAY, SECOND, Decision, Event
from features.state import (
    MAX_SIGNALS,
    RECENT_SHOWS,
    JourneyState,
    Scopes,
    VisitorMemory,
    advance,
    as_of,
    copy,
    decode,
    encode,
    fold,
)

GAP, WINDOW = 10, 60
SCOPES = Scopes(session_gap=GAP * SECOND, conversion_window=WINDOW * SECOND, goal="buy")
START = 1_700_000_000


def shown(at, ask="quiz", *, policy="baseline", seen=None):
    when = (START + at) * SECOND
    shown_at = None if seen is None else (START + seen) * SECOND
    return Decision(f"d{at}", "v", "shop", when, when, ask, None, None, policy, shown_at=shown_at)


def event(kind, at, ask=None, **more):
    when = (START + at) * SECOND
    return Event("v", kind, when, when, "shop", ask_id=ask, **more)


def after(*items):
    return fold(items, SCOPES)


def seconds(instant):
    return instant // SECOND - START


def test_a_session_ends_after_the_gap():
    state = after(shown(0), shown(GAP - 1), shown(2 * GAP - 1))
    assert (state.n_sessions, state.session_shown) == (2, 1)
    assert seconds(state.session_started_at) == 2 * GAP - 1


def test_an_event_that_happened_before_the_session_counts_for_the_visitor_only():
    state = after(event("left", 0), event("left", 20), event("declined", 15, "quiz"))
    assert (state.asks["quiz"].n_declined, state.session_declined, state.n_sessions) == (1, 0, 2)


def test_a_late_event_does_not_turn_time_back():
    state = after(shown(20), event("declined", 5, "quiz"))
    assert (seconds(state.first_event_at), seconds(state.last_event_at)) == (5, 20)


def test_declines_in_a_row_end_with_a_yes_and_the_longest_run_stays():
    answers = [
        event("declined", 1, "a"),
        event("declined", 2, "b"),
        event("accepted", 3, "c"),
        event("declined", 4, "a"),
    ]
    state = after(*answers)
    assert (state.session_declines, state.session_max_declines, state.session_declined) == (1, 2, 3)
    assert (state.answered_ask, state.is_answer_decline) == ("a", True)


def test_null_decisions_count_for_nothing():
    assert after(shown(0, None)) == JourneyState()


def test_an_episode_ends_a_window_after_its_first_decision_whatever_followed():
    state = after(shown(0), shown(WINDOW - 1), shown(WINDOW))
    assert (state.n_episodes, state.episode_shown, seconds(state.episode_started_at)) == (2, 1, WINDOW)


def test_accepted_asks_are_forgotten_with_the_episode_but_not_by_the_visitor():
    state = after(shown(0), event("accepted", 1, "quiz"), event("accepted", 2, "buy"))
    memory = state.asks["quiz"]
    assert (memory.n_accepted, memory.n_accepted_episode, state.n_conversions) == (1, 0, 1)


def test_leaving_ends_the_episode():
    state = after(shown(0), event("left", 1), shown(2))
    assert (state.n_episodes, state.episode_shown) == (2, 1)


def test_a_conversion_from_before_the_episode_does_not_end_it():
    state = after(shown(10), event("converted", 5))
    assert (state.n_conversions, seconds(state.episode_started_at)) == (1, 10)


def test_a_show_from_before_the_last_conversion_is_of_no_episode():
    state = after(event("converted", 10), shown(20, seen=5))
    assert (state.episode_shown, state.asks["quiz"].n_shown) == (0, 1)


@pytest.mark.parametrize(
    ("second", "n"),
    [
        (event("converted", 9), 1),
        (event("converted", 9, order_id="o1"), 1),
        (event("converted", WINDOW + 5), 2),
        (event("accepted", 9, "buy"), 2),
        (event("accepted", 9, "buy", order_id="o1"), 1),
    ],
)
def test_a_conversion_that_is_reported_twice_is_one(second, n):
    assert after(event("accepted", 1, "buy", order_id="o1"), second).n_conversions == n


def test_a_decision_between_makes_two_conversions():
    assert after(event("accepted", 1, "buy"), shown(2), event("converted", 3)).n_conversions == 2


def test_the_arm_is_that_of_the_episodes_first_decision():
    state = after(shown(0, policy="holdout:none"), shown(1, policy="champion:3"))
    assert state.arm == "holdout:none"
    assert after(shown(0, policy="holdout:none"), event("left", 1)).arm == ""


def test_a_page_reload_may_get_the_open_decision_until_it_is_answered():
    assert after(shown(0)).open_decision == "d0"
    assert after(shown(0), event("ignored", 1, "quiz", decision_id="d0")).open_decision == "d0"
    assert after(shown(0), event("declined", 1, "quiz", decision_id="d0")).open_decision == ""


def test_shows_of_a_day_are_remembered_in_order_up_to_a_limit():
    state = after(shown(5), shown(3), shown(1))
    assert list(map(seconds, state.recent_shows)) == [1, 3, 5]
    assert len(after(*map(shown, range(RECENT_SHOWS + 3))).recent_shows) == RECENT_SHOWS
    assert len(after(shown(0), shown(DAY // SECOND)).recent_shows) == 1


def test_signals_are_counted_for_the_session_and_for_ever():
    signals = [event("signal", at, signal="page") for at in (0, 20, 21)]
    memory = after(*signals).signals["page"]
    assert (memory.n, memory.n_session, seconds(memory.last_at)) == (3, 2, 21)


def test_nobody_can_make_a_state_grow_with_signal_names():
    state = after(*(event("signal", i, signal=f"s{i}") for i in range(MAX_SIGNALS + 10)))
    assert len(state.signals) == MAX_SIGNALS


def test_a_state_as_of_later_is_another_object_and_the_first_stays():
    state = after(shown(0))
    later = as_of(state, (START + WINDOW) * SECOND, SCOPES)
    assert (later.n_sessions, later.episode_shown, state.n_sessions, state.episode_shown) == (2, 0, 1, 1)


def test_a_state_as_of_now_is_itself():
    state = after(shown(0))
    assert as_of(state, (START + GAP - 1) * SECOND, SCOPES) is state


def test_a_copy_shares_nothing():
    state = after(shown(0), event("signal", 1, signal="page"))
    twin = copy(state)
    advance(state, event("accepted", 2, "quiz"), SCOPES)
    assert (twin.asks["quiz"].n_accepted, state.asks["quiz"].n_accepted) == (0, 1)


def test_new_states_share_nothing():
    JourneyState().ask("quiz").n_shown = 1
    assert JourneyState().asks == {}


def test_a_memory_survives_its_bytes():
    memory = VisitorMemory(7, {"skin": "dry", "age": 40, "new": True}, {"shop": after(shown(0), shown(1))})
    assert decode(encode(memory)) == memory


def test_arrivals_are_ordered_whatever_the_clock_does():
    memory = VisitorMemory(last_received_at=100)
    assert (memory.next_arrival(50), memory.next_arrival(200)) == (101, 200)
