"""What a visitor's state will be once an ask is answered: one step of the fold, for many hypothetical answers at once.

After "accepted", "declined" or silence the history of a visitor is determined; only the time until the next decision
and the signals in between are not, and they are arguments here. So a learner can look ahead over asks and answers
that nobody has tried on this visitor. ``features.state`` is the definition; a property test holds both together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from data.domain import DAY, SECOND, Catalog
from features.state import RECENT_SHOWS
from features.summary import ASK_MEMORY, NO_ASK, SIGNAL_MEMORY, IntArray, PlaceArray, Summary

ACCEPTED: Final = 0
DECLINED: Final = 1
SILENT: Final = 2
"""Codes of what became of an ask; ``SILENT`` stands for ignored, and for asking nothing."""

_ROW: Final = {name: row for row, name in enumerate(ASK_MEMORY)}
_NEVER: Final = np.iinfo(np.int64).max
_N, _N_SESSION, _LAST_AT = (SIGNAL_MEMORY.index(name) for name in ("n", "n_session", "last_at"))

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Aftermath:
    """What follows n decisions, until the visitor's next decision.

    Attributes:
        asks: shape (n,); index of the ask that was shown, -1 for asking nothing.
        answers: shape (n,); ``ACCEPTED``, ``DECLINED`` or ``SILENT``.
        answered_at: shape (n,); when the answer came, not before the decision; unused where silent.
        next_at: shape (n,); the instant as of which the state is wanted, not before the answer, within the episode.
        n_signals: shape (n, S); how often each declared signal was seen in between.
        signaled_at: shape (n,) or, for each signal, (n, S); when, not before the answer, and a visitor's signals
            within one session; unused where no signal was seen.
    """

    asks: IntArray
    answers: IntArray
    answered_at: IntArray
    next_at: IntArray
    n_signals: IntArray
    signaled_at: IntArray


def successors(summary: Summary, now: IntArray, after: Aftermath, catalog: Catalog) -> Summary:
    """The states at ``after.next_at`` of visitors who were in these states at their decisions.

    What a summary does not tell is not played:

    - The end of an episode. After a conversion, or once ``conversion_window`` has passed, ``n_conversions`` and
      whatever is of the episode are not what the fold says; everything else is.
    - A decision before the end of the previous episode, which only a clock that is ahead brings about.
    - Silence that the site reports (``ignored``): the fold takes it for a sign of life, here it is none.
    - Which shows of the last 24 hours pass out of them: ``n_shows_last_24h`` is an upper bound until a day has passed
      since the last one, and exact while none passes out.

    Args:
        summary: states of n visitors as of their decisions.
        now: shape (n,); the instants of the decisions.
        after: what follows.
        catalog: the catalog of the summary.

    Example:
        >>> from data.domain import Ask
        >>> from features.state import JourneyState
        >>> from features.summary import summarize
        >>> asks = (Ask("quiz", "Quiz", "quiz", 2), Ask("buy", "Buy", "purchase", 8))
        >>> catalog = Catalog("shop", "buy", ("quiz",), asks)
        >>> new = summarize([JourneyState()] * 3, [5] * 3, catalog)
        >>> now, later = np.full(3, 5), np.full(3, 9)
        >>> answers = np.array([ACCEPTED, DECLINED, SILENT])
        >>> after = Aftermath(np.zeros(3, np.int64), answers, later, later, np.zeros((3, 0), np.int64), later)
        >>> state = successors(new, now, after, catalog)
        >>> state.n_shown[:, 0].tolist(), state.n_declined[:, 0].tolist(), state.last_event_at.tolist()
        ([1, 1, 1], [0, 1, 0], [9, 9, 5])
    """
    is_shown = after.asks != NO_ASK
    is_accepted = is_shown & (after.answers == ACCEPTED)
    is_declined = is_shown & (after.answers == DECLINED)
    shown = _shown(summary, now, is_shown)
    # An answer or a signal may be what begins the next session.
    resumed = _rolled(shown, np.where(is_accepted | is_declined, after.answered_at, 0), catalog)
    answered = _answered(resumed, after, is_accepted, is_declined)
    with_asks = _with_ask_memories(answered, now, after, (is_shown, is_accepted, is_declined))
    return _rolled(_with_signals(with_asks, after, catalog), after.next_at, catalog)


def _shown(summary: Summary, now: IntArray, is_shown: BoolArray) -> Summary:
    """The scalars after the show; the session has begun by the time of the decision."""
    starts_episode = is_shown & (summary.episode_started_at == 0)
    return replace(
        summary,
        n_episodes=summary.n_episodes + starts_episode,
        first_event_at=_earliest(summary.first_event_at, now, is_shown),
        last_event_at=_latest(summary.last_event_at, now, is_shown),
        last_shown_at=_latest(summary.last_shown_at, now, is_shown),
        session_shown=summary.session_shown + (is_shown & (now >= summary.session_started_at)),
        episode_started_at=np.where(starts_episode, now, summary.episode_started_at),
        episode_shown=summary.episode_shown + is_shown,
        n_shows_last_24h=np.minimum(summary.n_shows_last_24h + is_shown, RECENT_SHOWS),
    )


def _answered(summary: Summary, after: Aftermath, is_accepted: BoolArray, is_declined: BoolArray) -> Summary:
    """The scalars after the answer."""
    at, is_answered = after.answered_at, is_accepted | is_declined
    is_of_session = is_answered & (at >= summary.session_started_at)
    is_yes, is_no = is_accepted & is_of_session, is_declined & is_of_session
    run = np.where(is_yes, 0, summary.session_declines + is_no)
    return replace(
        summary,
        last_event_at=_latest(summary.last_event_at, at, is_answered),
        last_accepted_at=_latest(summary.last_accepted_at, at, is_accepted),
        last_declined_at=_latest(summary.last_declined_at, at, is_declined),
        session_accepted=summary.session_accepted + is_yes,
        session_declined=summary.session_declined + is_no,
        session_declines=run,
        session_max_declines=np.maximum(summary.session_max_declines, run),
        answered_ask=np.where(is_of_session, after.asks, summary.answered_ask),
        is_answer_decline=np.where(is_of_session, is_declined, summary.is_answer_decline).astype(np.int64),
        episode_accepted=summary.episode_accepted + is_accepted,
    )


def _with_ask_memories(
    summary: Summary, now: IntArray, after: Aftermath, flags: tuple[BoolArray, BoolArray, BoolArray]
) -> Summary:
    rows = np.flatnonzero(flags[0])
    asks, shown_at, answered_at = after.asks[rows], now[rows], after.answered_at[rows]
    is_accepted, is_declined = flags[1][rows], flags[2][rows]
    memory = summary.ask_table[:, summary.ask_places[rows, asks]]
    memory[_ROW["n_shown"]] += 1
    memory[_ROW["n_shown_episode"]] += 1
    memory[_ROW["n_accepted"]] += is_accepted
    memory[_ROW["n_accepted_episode"]] += is_accepted
    memory[_ROW["n_declined"]] += is_declined
    np.maximum(memory[_ROW["shown_at"]], shown_at, out=memory[_ROW["shown_at"]])
    for name, is_it in (("accepted_at", is_accepted), ("declined_at", is_declined)):
        memory[_ROW[name]] = _latest(memory[_ROW[name]], answered_at, is_it)
    places = summary.ask_places.copy()
    places[rows, asks] = summary.ask_table.shape[1] + np.arange(len(rows), dtype=np.int32)
    return replace(summary, ask_places=places, ask_table=np.hstack([summary.ask_table, memory]))


def _with_signals(summary: Summary, after: Aftermath, catalog: Catalog) -> Summary:
    rows, signals = np.nonzero(after.n_signals)
    if len(rows) == 0:
        return summary
    at = after.signaled_at[rows] if after.signaled_at.ndim == 1 else after.signaled_at[rows, signals]
    first_at, last_at = np.full(len(summary), _NEVER), np.zeros(len(summary), dtype=np.int64)
    np.minimum.at(first_at, rows, at)
    np.maximum.at(last_at, rows, at)
    is_seen = last_at > 0
    begun = _rolled(summary, np.where(is_seen, first_at, 0), catalog)
    counts = after.n_signals[rows, signals]
    memory = begun.signal_table[:, begun.signal_places[rows, signals]]
    memory[_N] += counts
    memory[_N_SESSION] += np.where(at >= begun.session_started_at[rows], counts, 0)
    np.maximum(memory[_LAST_AT], at, out=memory[_LAST_AT])
    places = begun.signal_places.copy()
    places[rows, signals] = begun.signal_table.shape[1] + np.arange(len(rows), dtype=np.int32)
    return replace(
        begun,
        first_event_at=_earliest(begun.first_event_at, first_at, is_seen),
        last_event_at=_latest(begun.last_event_at, last_at, is_seen),
        signal_places=places,
        signal_table=np.hstack([begun.signal_table, memory]),
    )


def _rolled(summary: Summary, now: IntArray, catalog: Catalog) -> Summary:
    """The states as of later instants (0: as they are): a session that ran out has ended."""
    gap = catalog.session_gap_s * SECOND
    n_shows = np.where(now - summary.last_shown_at >= DAY, 0, summary.n_shows_last_24h)
    is_over = (now > 0) & ((summary.last_event_at == 0) | (now - summary.last_event_at >= gap))
    if not is_over.any():
        return replace(summary, n_shows_last_24h=n_shows)
    # A session in which nothing has happened yet, apart from a decision to ask nothing, goes on waiting for its start.
    is_empty = summary.session_started_at > summary.last_event_at
    places, table = _without_session(summary, is_over)
    kept = (~is_over).astype(np.int64)
    return replace(
        summary,
        n_sessions=summary.n_sessions + (is_over & ~is_empty),
        session_started_at=np.where(is_over, now, summary.session_started_at),
        session_shown=summary.session_shown * kept,
        session_accepted=summary.session_accepted * kept,
        session_declined=summary.session_declined * kept,
        session_declines=summary.session_declines * kept,
        session_max_declines=summary.session_max_declines * kept,
        answered_ask=np.where(is_over, NO_ASK, summary.answered_ask),
        is_answer_decline=summary.is_answer_decline * kept,
        n_shows_last_24h=n_shows,
        signal_places=places,
        signal_table=table,
    )


def _without_session(summary: Summary, is_over: BoolArray) -> tuple[PlaceArray, IntArray]:
    """Signal memories whose counts of the session are 0 where it is over."""
    rows, signals = np.nonzero((summary.signal_places > 0) & is_over[:, None])
    if len(rows) == 0:
        return summary.signal_places, summary.signal_table
    memory = summary.signal_table[:, summary.signal_places[rows, signals]]
    memory[_N_SESSION] = 0
    places = summary.signal_places.copy()
    places[rows, signals] = summary.signal_table.shape[1] + np.arange(len(rows), dtype=np.int32)
    return places, np.hstack([summary.signal_table, memory])


def _latest(known: IntArray, at: IntArray, is_new: BoolArray) -> IntArray:
    latest: IntArray = np.where(is_new, np.maximum(known, at), known)
    return latest


def _earliest(known: IntArray, at: IntArray, is_new: BoolArray) -> IntArray:
    earliest: IntArray = np.where(is_new, np.where(known == 0, at, np.minimum(known, at)), known)
    return earliest
