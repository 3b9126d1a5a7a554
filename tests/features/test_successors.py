"""One step of hypothetical answers is one step of the fold."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from data.domain import DAY, SECOND, Catalog, Decision, Event
from features.state import JourneyState, Scopes, advance, as_of, copy, fold, show
from features.successors import ACCEPTED, DECLINED, SILENT, Aftermath, successors
from features.summary import SCALARS, Summary, summarize
from tests.features.random_logs import CATALOG, START, Item, dense_log, logs

PATIENT = replace(CATALOG, conversion_window_s=400_000)
"""Episodes that outlive sessions and days."""
OF_ASKS = ("n_shown", "n_accepted", "n_declined", "shown_at", "accepted_at", "declined_at")
OF_EPISODES = ("n_shown_episode", "n_accepted_episode")
OF_SIGNALS = ("n_signals", "n_signals_session", "signaled_at")
UNTIL_EPISODES_END = ("n_conversions", "episode_started_at", "episode_shown", "episode_accepted", *OF_EPISODES)
GOAL = CATALOG.position[CATALOG.goal]
_WAITS_S = (0, 1, 3, 9, 10, 11, 30, 13 * 3_600, 86_399, 86_400, 90_000)
_SHORT_WAITS_S = (0, 0, 1, 3, 9, 10, 11)


@dataclass(frozen=True)
class Story:
    """A visitor at a decision, and what follows; instants in microseconds, ``signals`` as (signal, how often, when)."""

    state: JourneyState
    now: int
    ask: int
    answer: int
    answered_at: int
    signals: tuple[tuple[int, int, int], ...]
    next_at: int

    @property
    def is_conversion(self) -> bool:
        """Whether the goal was accepted."""
        return self.ask == GOAL and self.answer == ACCEPTED


def by_fold(story: Story, catalog: Catalog) -> JourneyState:
    """What the fold makes of a story."""
    return as_of(folded(story, catalog), story.next_at, Scopes.of(catalog))


def folded(story: Story, catalog: Catalog) -> JourneyState:
    """The state after a story's last event."""
    state, scopes = copy(story.state), Scopes.of(catalog)
    ask_id = None if story.ask < 0 else catalog.asks[story.ask].id
    show(state, Decision("d", "v", "shop", story.now, story.now, ask_id, None, None, "baseline"), scopes)
    if ask_id is not None and story.answer != SILENT:
        kind = "accepted" if story.answer == ACCEPTED else "declined"
        at = story.answered_at
        advance(state, Event("v", kind, at, at, "shop", ask_id=ask_id, decision_id="d"), scopes)
    for signal, n, at in sorted(story.signals, key=lambda one: one[2]):
        for _ in range(n):
            advance(state, Event("v", "signal", at, at, "shop", signal=catalog.signals[signal]), scopes)
    return state


def by_step(stories: list[Story], catalog: Catalog) -> Summary:
    """What ``successors`` makes of stories, all at once."""
    scopes, n = Scopes.of(catalog), len(stories)
    nows = [story.now for story in stories]
    summary = summarize([as_of(s.state, s.now, scopes) for s in stories], nows, catalog)
    n_signals, signaled_at = np.zeros((2, n, len(catalog.signals)), dtype=np.int64)
    for row, story in enumerate(stories):
        for signal, count, at in story.signals:
            n_signals[row, signal], signaled_at[row, signal] = count, at
    after = Aftermath(
        *(np.array([getattr(s, name) for s in stories]) for name in ("ask", "answer", "answered_at", "next_at")),
        n_signals,
        signaled_at,
    )
    return successors(summary, np.array(nows), after, catalog)


def check(stories: list[Story], catalog: Catalog) -> None:
    """Every field of every story is what the fold says."""
    states = [by_fold(story, catalog) for story in stories]
    right = summarize(states, [story.next_at for story in stories], catalog)
    found = by_step(stories, catalog)
    for row, (story, state) in enumerate(zip(stories, states, strict=True)):
        for name in (*SCALARS, *OF_ASKS, *OF_EPISODES, *OF_SIGNALS):
            if name == "n_shows_last_24h" or (story.is_conversion and name in UNTIL_EPISODES_END):
                continue
            assert getattr(found, name)[row].tolist() == getattr(right, name)[row].tolist(), (name, story)
        bound, n_shows = int(found.n_shows_last_24h[row]), int(right.n_shows_last_24h[row])
        assert bound >= n_shows, story
        as_of_now = summarize([story.state], [story.now], catalog).n_shows_last_24h.item()
        ages_out = any(story.now - DAY < at <= story.next_at - DAY for at in story.state.recent_shows)
        if not ages_out and story.next_at - story.now < DAY:
            assert bound == n_shows, story
        if state.last_shown_at and story.next_at - state.last_shown_at >= DAY:
            assert bound == 0, story
        assert bound <= as_of_now + 1, story


def state_at(items: list[Item], visitor: str, scopes: Scopes) -> tuple[JourneyState, int]:
    """A visitor's folded state, and the instant of the last arrival."""
    state = fold((item for item in items if item.visitor_id == visitor), scopes)
    return state, max((item.received_at for item in items), default=START)


@st.composite
def stories(draw: st.DrawFn, catalog: Catalog) -> Story:
    """A visitor of a random log who is decided for, and answers somehow."""
    scopes = Scopes.of(catalog)
    items = draw(st.one_of(logs(has_merges=False), st.builds(dense_log, st.integers(0, 9_999))))
    known = [item for item in items if not (isinstance(item, Event) and item.from_id is not None)]
    state, arrived_at = state_at(known[: draw(st.integers(0, len(known)))], "v0", scopes)
    now = arrived_at + draw(st.sampled_from(_WAITS_S)) * SECOND
    is_short = scopes.conversion_window < DAY
    waits = st.sampled_from(_SHORT_WAITS_S if is_short else _WAITS_S).map(lambda wait: wait * SECOND)
    answered_at = now + draw(waits)
    first_at = answered_at + draw(waits)
    seen = draw(st.lists(st.integers(0, len(catalog.signals) - 1), unique=True))
    signals = tuple((signal, draw(st.integers(1, 3)), first_at + draw(st.integers(0, 3)) * SECOND) for signal in seen)
    next_at = max([answered_at, *(at for _, _, at in signals)]) + draw(waits)
    ask, answer = draw(st.integers(-1, len(catalog.asks) - 1)), draw(st.sampled_from((ACCEPTED, DECLINED, SILENT)))
    assume(state.episode_floor_at <= now)
    started_at = as_of(state, now, scopes).episode_started_at or now
    assume(next_at - started_at < scopes.conversion_window)
    return Story(state, now, ask, answer, answered_at, signals, next_at)


@settings(max_examples=150, deadline=None)
@given(stories(PATIENT))
def test_a_step_is_a_step_of_the_fold(story):
    check([story], PATIENT)


@settings(max_examples=60, deadline=None)
@given(st.lists(stories(PATIENT), min_size=2, max_size=6))
def test_many_visitors_at_once_are_each_as_alone(many):
    check(many, PATIENT)


@settings(max_examples=60, deadline=None)
@given(stories(CATALOG))
def test_so_it_is_when_episodes_are_short(story):
    check([story], CATALOG)


@settings(max_examples=40, deadline=None)
@given(stories(PATIENT), st.sampled_from((ACCEPTED, DECLINED, SILENT)), st.integers(-1, 2))
def test_steps_follow_one_another(story, answer, ask):
    """The state after a step is a state to step on from, whatever the first ask was, or that there was none."""
    assume(not story.is_conversion)
    scopes = Scopes.of(PATIENT)
    found = by_step([story], PATIENT)
    unrolled = folded(story, PATIENT)
    assume(story.next_at - (unrolled.episode_started_at or story.next_at) < scopes.conversion_window - SECOND)
    second = Story(unrolled, story.next_at, ask, answer, story.next_at + SECOND // 2, (), story.next_at + SECOND // 2)
    assume(not second.is_conversion)
    at = np.array([second.next_at])
    none = np.zeros((1, len(PATIENT.signals)), dtype=np.int64)
    after = Aftermath(np.array([ask]), np.array([answer]), at, at, none, at)
    again = successors(found, np.array([second.now]), after, PATIENT)
    right = summarize([by_fold(second, PATIENT)], [second.next_at], PATIENT)
    for name in (*SCALARS, *OF_ASKS, *OF_EPISODES, *OF_SIGNALS):
        if name != "n_shows_last_24h":
            assert getattr(again, name).tolist() == getattr(right, name).tolist(), name


def one(state: JourneyState, ask: int, answer: int, **otherwise: object) -> Story:
    return replace(
        Story(state, START, ask, answer, START + SECOND, (), START + 2 * SECOND),
        **otherwise,  # type: ignore[arg-type]
    )


def test_an_acceptance_ends_a_run_of_declines():
    state = JourneyState(last_event_at=START, session_started_at=1, session_declines=2, session_max_declines=2)
    found = by_step([one(state, 0, ACCEPTED), one(state, 0, DECLINED), one(state, 0, SILENT)], PATIENT)
    assert found.session_declines.tolist() == [0, 3, 2]
    assert found.session_max_declines.tolist() == [2, 3, 2]
    assert found.answered_ask.tolist() == [0, 0, -1]


def test_a_decision_to_ask_nothing_begins_no_session_twice():
    """The visitor was never seen: the session that the decision saw begin still waits for its first event."""
    found = by_step([one(JourneyState(), -1, SILENT)], PATIENT)
    assert (found.n_sessions.item(), found.session_started_at.item()) == (1, START + 2 * SECOND)
    assert found.first_event_at.item() == found.last_event_at.item() == 0


def test_an_answer_after_the_gap_belongs_to_the_next_session():
    late = START + (PATIENT.session_gap_s + 1) * SECOND
    found = by_step([one(JourneyState(), 0, DECLINED, answered_at=late, next_at=late)], PATIENT)
    assert (found.n_sessions.item(), found.session_shown.item(), found.session_declined.item()) == (2, 0, 1)


def test_a_signal_after_the_gap_begins_the_next_session():
    at = START + 60 * SECOND
    found = by_step([one(JourneyState(), 0, SILENT, signals=((1, 2, at),), next_at=at)], PATIENT)
    assert (found.n_sessions.item(), found.session_started_at.item()) == (2, at)
    assert found.n_signals_session.tolist() == [[0, 2]]


def test_signals_may_have_one_instant_for_all_or_each_its_own():
    summary = summarize([JourneyState()], [START], PATIENT)
    now, later = np.array([START]), np.array([START + 9 * SECOND])
    counts, nothing = np.array([[1, 2]]), np.array([-1])
    for at, right in ((later, [[later[0], later[0]]]), (np.array([[START + 1, START + 2]]), [[START + 1, START + 2]])):
        after = Aftermath(nothing, np.array([SILENT]), now, later, counts, at)
        found = successors(summary, now, after, PATIENT)
        assert found.signaled_at.tolist() == right
        assert found.first_event_at.item() == np.min(at)


def test_the_state_before_is_not_changed():
    state = fold([item for item in dense_log(3) if item.visitor_id == "v0"], Scopes.of(PATIENT))
    summary = summarize([state, state], [START] * 2, PATIENT)
    names = (*SCALARS, "ask_places", "ask_table", "signal_places", "signal_table")
    before = {name: getattr(summary, name).copy() for name in names}
    at = np.array([START + DAY] * 2)
    after = Aftermath(np.array([0, 1]), np.array([ACCEPTED, DECLINED]), at, at, np.ones((2, 2), np.int64), at)
    successors(summary, np.array([START] * 2), after, PATIENT)
    assert all((getattr(summary, name) == before[name]).all() for name in names)


def test_nobody_decided_for_is_nobody_after():
    none = np.zeros(0, dtype=np.int64)
    after = Aftermath(none, none, none, none, np.zeros((0, 2), np.int64), none)
    assert len(successors(summarize([], [], PATIENT), none, after, PATIENT)) == 0


def test_the_end_of_an_episode_is_not_played():
    """The limits that the docstring names: after them, what is of the episode is not what the fold says."""
    shown = fold([Decision("d0", "v", "shop", START, START, "quiz", None, None, "baseline")], Scopes.of(CATALOG))
    bought = one(shown, GOAL, ACCEPTED, now=START + SECOND)
    aged = one(shown, -1, SILENT, now=START + SECOND, next_at=START + CATALOG.conversion_window_s * SECOND)
    found = by_step([bought, aged], CATALOG)
    states = [by_fold(story, CATALOG) for story in (bought, aged)]
    assert found.episode_started_at.tolist() == [START, START]
    assert [state.episode_started_at for state in states] == [0, 0]
    assert (found.n_conversions[0], states[0].n_conversions) == (0, 1)


def test_shows_that_pass_out_of_a_day_are_counted_until_the_last_one_does():
    early, last = START - DAY + 5 * SECOND, START - SECOND
    state = JourneyState(last_event_at=last, last_shown_at=last, recent_shows=[early, last])
    later = [START + 9 * SECOND, last + DAY - 1, last + DAY]
    found = by_step([one(state, -1, SILENT, next_at=at) for at in later], PATIENT)
    assert found.n_shows_last_24h.tolist() == [2, 2, 0]
    assert [summarize([state], [at], PATIENT).n_shows_last_24h.item() for at in later] == [1, 1, 0]


@pytest.mark.parametrize("answer", [ACCEPTED, DECLINED])
def test_reported_silence_is_a_sign_of_life_that_a_step_does_not_know(answer):
    silent, said = (
        by_step([one(JourneyState(), 0, SILENT)], PATIENT),
        by_step([one(JourneyState(), 0, answer)], PATIENT),
    )
    assert (silent.last_event_at.item(), said.last_event_at.item()) == (START, START + SECOND)
