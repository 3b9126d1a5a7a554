"""A summary says what the states say."""

from __future__ import annotations

from dataclasses import replace

from data.domain import DAY, SECOND
from features.state import AskMemory, JourneyState, SignalMemory
from features.summary import SCALARS, summarize
from tests.features.random_logs import CATALOG, START


def test_scalars_are_the_fields_of_the_state():
    state = JourneyState(**{name: i for i, name in enumerate(SCALARS) if hasattr(JourneyState(), name)})
    summary = summarize([state], [START], CATALOG)
    same = [name for name in SCALARS if name not in ("answered_ask", "n_shows_last_24h")]
    assert [getattr(summary, name).item() for name in same] == [getattr(state, name) for name in same]


def test_memories_stand_in_the_catalogs_order():
    state = JourneyState(asks={"buy": AskMemory(1, 2, 3, 4, 5, 6, 7, 8)}, signals={"cart": SignalMemory(1, 2, 3)})
    summary = summarize([state], [START], CATALOG)
    assert summary.n_declined.tolist() == [[0, 0, 3]]
    assert summary.n_accepted_episode.tolist() == [[0, 0, 8]]
    assert summary.signaled_at.tolist() == [[0, 3]]


def test_asks_and_signals_that_are_not_in_the_catalog_are_left_out():
    state = JourneyState(
        asks={"gone": AskMemory(9)}, signals={"other": SignalMemory(9)}, answered_ask="gone", is_answer_decline=True
    )
    summary = summarize([state], [START], CATALOG)
    assert summary.n_shown.sum() == summary.n_signals.sum() == 0
    assert (summary.answered_ask.item(), summary.is_answer_decline.item()) == (-1, 1)


def test_the_answered_ask_is_its_position():
    assert summarize([JourneyState(answered_ask="save")], [START], CATALOG).answered_ask.tolist() == [1]


def test_shows_of_the_last_day_are_those_less_than_24_hours_ago():
    state = JourneyState(recent_shows=[START - DAY, START - DAY + 1, START - 5])
    assert summarize([state, state], [START, START + DAY], CATALOG).n_shows_last_24h.tolist() == [2, 0]


def test_states_are_summarized_in_their_order():
    states = [JourneyState(n_sessions=n, asks={"quiz": AskMemory(n)}) for n in (3, 1, 2)]
    summary = summarize(states, [START] * 3, CATALOG)
    assert summary.n_sessions.tolist() == summary.n_shown[:, 0].tolist() == [3, 1, 2]


def test_take_keeps_what_belongs_together():
    states = [JourneyState(n_sessions=n, asks={"quiz": AskMemory(n)}) for n in (3, 1, 2)]
    taken = summarize(states, [START] * 3, CATALOG).take([2, 0])
    assert taken.n_sessions.tolist() == taken.n_shown[:, 0].tolist() == [2, 3]


def test_no_states_make_an_empty_summary():
    assert len(summarize([], [], CATALOG)) == 0


def test_a_catalog_without_signals_has_no_signal_columns():
    summary = summarize([JourneyState()], [SECOND], replace(CATALOG, signals=()))
    assert summary.n_signals.shape == (1, 0)
