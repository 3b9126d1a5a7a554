"""A visitor's state in one journey: a left fold over events in order of arrival.

Serving keeps the folded state and advances it by one event at a time (``advance``); training computes the same
numbers column-wise (``features.lowering``). A property test proves that both agree.

Three scopes (docs/catalog.md): *visitor*, for ever; *episode*, from the first decision to conversion,
leaving, or the end of the conversion window; *session*, until ``session_gap`` passes without an event.

Late arrivals: an event counts for the visitor always, for the current session only if it happened after that
session began, for the current episode only if it happened after the previous one ended. A conversion or ``left``
that happened before the current episode's first decision does not end it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from data.domain import DAY, SECOND, Catalog, Decision, Event, FeatureValue

RECENT_SHOWS: Final = 500
"""Most shows of the last 24 hours that a state remembers; no daily cap may be larger."""
RECENT_ORDERS: Final = 16
MAX_SIGNALS: Final = 64
"""Most distinct signal names a state counts, so that nobody can grow it without bound."""


@dataclass(frozen=True, slots=True)
class Scopes:
    """What of a catalog the fold needs: where sessions and episodes end. Durations in microseconds."""

    session_gap: int
    conversion_window: int
    goal: str

    @classmethod
    def of(cls, catalog: Catalog) -> Scopes:
        """The scopes of a catalog."""
        return cls(
            session_gap=catalog.session_gap_s * SECOND,
            conversion_window=catalog.conversion_window_s * SECOND,
            goal=catalog.goal,
        )


class AskMemory(msgspec.Struct, array_like=True):
    """What a visitor did with one ask. The last two fields are of the current episode."""

    n_shown: int = 0
    n_accepted: int = 0
    n_declined: int = 0
    shown_at: int = 0
    accepted_at: int = 0
    declined_at: int = 0
    n_shown_episode: int = 0
    n_accepted_episode: int = 0


class SignalMemory(msgspec.Struct, array_like=True):
    """How often and when a visitor did something unprompted."""

    n: int = 0
    n_session: int = 0
    last_at: int = 0


class JourneyState(msgspec.Struct, array_like=True):
    """Everything a guardrail or a feature may know of a visitor in one journey; see the module docstring.

    ``session_declines`` is the current run of declines, ``session_max_declines`` the longest one of the session.
    ``answered_ask`` is the ask of the session's last accept or decline (``""``: none), ``is_answer_decline`` which.
    ``goal_at`` is the last goal acceptance, ``converted_at`` the last ``converted`` event; ``decided_after_goal_at``
    and ``decided_after_converted_at`` the first decision after each (0: none).
    ``episode_floor_at`` is the end of the previous episode, ``episode_started_at`` the first decision of this one.
    ``open_decision`` is the last shown decision while it is unanswered; ``arm`` the arm of the current episode.
    """

    # visitor
    n_sessions: int = 0
    n_episodes: int = 0
    n_conversions: int = 0
    first_event_at: int = 0
    last_event_at: int = 0
    last_shown_at: int = 0
    last_accepted_at: int = 0
    last_declined_at: int = 0
    goal_at: int = 0
    decided_after_goal_at: int = 0
    converted_at: int = 0
    decided_after_converted_at: int = 0
    orders: list[str] = []
    recent_shows: list[int] = []
    asks: dict[str, AskMemory] = {}
    signals: dict[str, SignalMemory] = {}
    # session
    session_started_at: int = 0
    session_shown: int = 0
    session_accepted: int = 0
    session_declined: int = 0
    session_declines: int = 0
    session_max_declines: int = 0
    answered_ask: str = ""
    is_answer_decline: bool = False
    # episode
    episode_floor_at: int = 0
    episode_started_at: int = 0
    episode_shown: int = 0
    episode_accepted: int = 0
    arm: str = ""
    # the decision a page reload may get again
    open_decision: str = ""
    open_decision_at: int = 0

    def ask(self, ask_id: str) -> AskMemory:
        """The memory of an ask, made when it is new."""
        memory = self.asks.get(ask_id)
        if memory is None:
            memory = self.asks[ask_id] = AskMemory()
        return memory


class VisitorMemory(msgspec.Struct, array_like=True):
    """All that is kept of a visitor: answers given, and a state for each journey.

    ``last_received_at`` lets arrivals be strictly ordered per visitor, whatever the clock does.
    """

    last_received_at: int = 0
    answers: dict[str, FeatureValue] = {}
    journeys: dict[str, JourneyState] = {}

    def journey(self, name: str) -> JourneyState:
        """The state in a journey, made when it is new."""
        state = self.journeys.get(name)
        if state is None:
            state = self.journeys[name] = JourneyState()
        return state

    def next_arrival(self, now: int) -> int:
        """The time at which something that arrives now is received: later than everything received before."""
        return max(now, self.last_received_at + 1)


_encoder = msgspec.msgpack.Encoder()
_memory_decoder = msgspec.msgpack.Decoder(VisitorMemory)
_state_decoder = msgspec.msgpack.Decoder(JourneyState)


def encode(memory: VisitorMemory) -> bytes:
    """A visitor's memory as bytes; ``decode`` is its inverse.

    Example:
        >>> decode(encode(VisitorMemory(answers={"skin": "dry"}))).answers
        {'skin': 'dry'}
    """
    return _encoder.encode(memory)


def decode(blob: bytes) -> VisitorMemory:
    """The memory that ``encode`` wrote.

    Raises:
        msgspec.DecodeError: the bytes are no memory.
    """
    return _memory_decoder.decode(blob)


def copy(state: JourneyState) -> JourneyState:
    """A state that shares nothing with the given one."""
    return _state_decoder.decode(_encoder.encode(state))


def as_of(state: JourneyState, now: int, scopes: Scopes) -> JourneyState:
    """The state as a decision at ``now`` sees it: a session or episode that ran out has ended.

    The given state is not changed; it is returned as it is when nothing ran out.
    """
    if not (_session_is_over(state, now, scopes) or _episode_is_over(state, now, scopes)):
        return state
    rolled = copy(state)
    _roll(rolled, now, scopes)
    return rolled


def advance(state: JourneyState, event: Event, scopes: Scopes) -> JourneyState:
    """One step of the fold, in place: the state after an event; returns the same object.

    ``shown`` is not taken here but by ``show``. Events must come in order of arrival, duplicates removed.
    """
    _touch(state, event.at, scopes)
    match event.type:
        case "accepted":
            _accept(state, event, scopes)
        case "declined":
            _decline(state, event)
        case "converted":
            _convert(state, event, scopes)
        case "left":
            if event.at >= state.episode_started_at:
                _end_episode(state, event.at)
        case "signal":
            _signal(state, event)
        case _:
            pass
    if event.type in ("accepted", "declined") and event.decision_id == state.open_decision:
        state.open_decision, state.open_decision_at = "", 0
    return state


def show(state: JourneyState, decision: Decision, scopes: Scopes) -> JourneyState:
    """One step of the fold, in place: the state after a decision was seen; null decisions count for nothing."""
    if decision.ask_id is None:
        return state
    at = decision.seen_at
    _touch(state, at, scopes)
    memory = state.ask(decision.ask_id)
    memory.n_shown += 1
    memory.shown_at = max(memory.shown_at, at)
    state.last_shown_at = max(state.last_shown_at, at)
    _remember_show(state, at)
    if at >= state.session_started_at:
        state.session_shown += 1
    if at >= state.episode_floor_at:
        if state.episode_started_at == 0:
            state.episode_started_at = at
            state.n_episodes += 1
        if not state.arm and decision.is_learnable and decision.policy != "fallback":
            state.arm = arm_of(decision.policy)
        memory.n_shown_episode += 1
        state.episode_shown += 1
    if state.goal_at and not state.decided_after_goal_at and at > state.goal_at:
        state.decided_after_goal_at = at
    if state.converted_at and not state.decided_after_converted_at and at > state.converted_at:
        state.decided_after_converted_at = at
    state.open_decision, state.open_decision_at = decision.decision_id, at
    return state


def fold(arrivals: Iterable[Decision | Event], scopes: Scopes) -> JourneyState:
    """The state after a whole history, given in order of arrival."""
    state = JourneyState()
    for arrival in arrivals:
        if isinstance(arrival, Decision):
            show(state, arrival, scopes)
        else:
            advance(state, arrival, scopes)
    return state


def is_repeated_conversion(state: JourneyState, event: Event, scopes: Scopes) -> bool:
    """Whether a goal acceptance or ``converted`` event reports a conversion that is known already.

    One ``order_id`` is one conversion; so are a goal acceptance and a ``converted`` within the conversion window
    of each other with no decision between.
    """
    if event.order_id is not None and event.order_id in state.orders:
        return True
    if event.type == "converted":
        other_at, decided_at = state.goal_at, state.decided_after_goal_at
    else:
        other_at, decided_at = state.converted_at, state.decided_after_converted_at
    if other_at == 0 or abs(event.at - other_at) >= scopes.conversion_window:
        return False
    return decided_at == 0 or event.at <= decided_at


def arm_of(policy: str) -> str:
    """The arm a policy name of the log belongs to: ``holdout:...`` and ``challenger`` are arms of their own.

    Example:
        >>> arm_of("challenger:8"), arm_of("holdout:random"), arm_of("champion:7"), arm_of("baseline")
        ('challenger', 'holdout:random', 'main', 'main')
    """
    if policy.startswith("holdout:"):
        return policy
    return "challenger" if policy.startswith("challenger") else "main"


def _session_is_over(state: JourneyState, now: int, scopes: Scopes) -> bool:
    return state.last_event_at == 0 or now - state.last_event_at >= scopes.session_gap


def _episode_is_over(state: JourneyState, now: int, scopes: Scopes) -> bool:
    started = state.episode_started_at
    return started != 0 and now - started >= scopes.conversion_window


def _roll(state: JourneyState, now: int, scopes: Scopes) -> None:
    if _session_is_over(state, now, scopes):
        state.session_started_at = now
        state.n_sessions += 1
        state.session_shown = state.session_accepted = state.session_declined = 0
        state.session_declines = state.session_max_declines = 0
        state.answered_ask, state.is_answer_decline = "", False
        for signal in state.signals.values():
            signal.n_session = 0
    if _episode_is_over(state, now, scopes):
        _end_episode(state, state.episode_started_at + scopes.conversion_window)


def _touch(state: JourneyState, at: int, scopes: Scopes) -> None:
    _roll(state, at, scopes)
    state.last_event_at = max(state.last_event_at, at)
    state.first_event_at = min(state.first_event_at, at) if state.first_event_at else at


def _end_episode(state: JourneyState, at: int) -> None:
    state.episode_floor_at = max(state.episode_floor_at, at)
    state.episode_started_at = 0
    state.episode_shown = state.episode_accepted = 0
    state.arm = ""
    state.open_decision, state.open_decision_at = "", 0
    for memory in state.asks.values():
        memory.n_shown_episode = memory.n_accepted_episode = 0


def _remember_show(state: JourneyState, at: int) -> None:
    shows = state.recent_shows
    shows.append(at)
    if len(shows) > 1 and at < shows[-2]:
        shows.sort()
    oldest = shows[-1] - DAY
    while shows[0] <= oldest or len(shows) > RECENT_SHOWS:
        del shows[0]


def _accept(state: JourneyState, event: Event, scopes: Scopes) -> None:
    ask_id = event.ask_id or ""
    is_goal = ask_id == scopes.goal
    is_repeat = is_goal and is_repeated_conversion(state, event, scopes)
    memory = state.ask(ask_id)
    memory.n_accepted += 1
    memory.accepted_at = max(memory.accepted_at, event.at)
    state.last_accepted_at = max(state.last_accepted_at, event.at)
    if event.at >= state.session_started_at:
        state.session_accepted += 1
        state.session_declines = 0
        state.answered_ask, state.is_answer_decline = ask_id, False
    if event.at >= state.episode_floor_at and not is_repeat:
        memory.n_accepted_episode += 1
        state.episode_accepted += 1
    if is_goal:
        state.goal_at, state.decided_after_goal_at = event.at, 0
        _count_conversion(state, event, is_repeat)


def _convert(state: JourneyState, event: Event, scopes: Scopes) -> None:
    is_repeat = is_repeated_conversion(state, event, scopes)
    state.converted_at, state.decided_after_converted_at = event.at, 0
    _count_conversion(state, event, is_repeat)


def _count_conversion(state: JourneyState, event: Event, is_repeat: bool) -> None:
    if event.order_id is not None and event.order_id not in state.orders:
        state.orders.append(event.order_id)
        del state.orders[:-RECENT_ORDERS]
    if is_repeat:
        return
    state.n_conversions += 1
    if event.at >= state.episode_started_at:
        _end_episode(state, event.at)


def _decline(state: JourneyState, event: Event) -> None:
    ask_id = event.ask_id or ""
    memory = state.ask(ask_id)
    memory.n_declined += 1
    memory.declined_at = max(memory.declined_at, event.at)
    state.last_declined_at = max(state.last_declined_at, event.at)
    if event.at >= state.session_started_at:
        state.session_declined += 1
        state.session_declines += 1
        state.session_max_declines = max(state.session_max_declines, state.session_declines)
        state.answered_ask, state.is_answer_decline = ask_id, True


def _signal(state: JourneyState, event: Event) -> None:
    name = event.signal or ""
    memory = state.signals.get(name)
    if memory is None:
        if len(state.signals) >= MAX_SIGNALS:
            return
        memory = state.signals[name] = SignalMemory()
    memory.n += 1
    memory.last_at = max(memory.last_at, event.at)
    if event.at >= state.session_started_at:
        memory.n_session += 1
