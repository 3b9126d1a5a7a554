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
from features.summary import ASK_MEMORY, NO_ASK, SIGNAL_MEMORY, IntArray, PlaceArray, Summary

ACCEPTED: Final = 0
DECLINED: Final = 1
SILENT: Final = 2
"""Codes of what became of an ask; ``SILENT`` stands for ignored, and for asking nothing."""

_ROW: Final = {name: row for row, name in enumerate(ASK_MEMORY)}
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
        signaled_at: shape (n,); when; unused where no signal was seen.
    """

    asks: IntArray
    answers: IntArray
    answered_at: IntArray
    next_at: IntArray
    n_signals: IntArray
    signaled_at: IntArray


def successors(summary: Summary, now: IntArray, after: Aftermath, catalog: Catalog) -> Summary:
    """The states at ``after.next_at`` of visitors who were in these states at their decisions.

    The conversion that ends an episode is not played: whoever accepted the goal is at the end. Of the last 24 hours'
    shows only those of this summary and the new one are known, so ``n_shows_last_24h`` is an upper bound until a day
    has passed.

    Args:
        summary: states of n visitors as of their decisions.
        now: shape (n,); the instants of the decisions.
        after: what follows.
        catalog: the catalog of the summary.
    """
    is_shown = after.asks != NO_ASK
    is_accepted = is_shown & (after.answers == ACCEPTED)
    is_declined = is_shown & (after.answers == DECLINED)
    answered = _answered(summary, now, after, (is_shown, is_accepted, is_declined))
    with_asks = _with_ask_memories(answered, now, after, (is_shown, is_accepted, is_declined))
    is_seen = after.n_signals.any(axis=1)
    # A signal may be what begins the next session.
    began = _rolled(with_asks, np.where(is_seen, after.signaled_at, 0), catalog)
    return _rolled(_with_signals(began, after, is_seen), after.next_at, catalog)


def _answered(
    summary: Summary, now: IntArray, after: Aftermath, flags: tuple[BoolArray, BoolArray, BoolArray]
) -> Summary:
    """The scalars after show and answer."""
    is_shown, is_accepted, is_declined = flags
    is_answered = is_accepted | is_declined
    at = np.where(is_answered, after.answered_at, now)
    starts_episode = is_shown & (summary.episode_started_at == 0)
    run = np.where(is_accepted, 0, summary.session_declines + is_declined)
    first_at = np.where(summary.first_event_at == 0, now, np.minimum(summary.first_event_at, now))
    return replace(
        summary,
        n_episodes=summary.n_episodes + starts_episode,
        first_event_at=np.where(is_shown, first_at, summary.first_event_at),
        last_event_at=np.where(is_shown, np.maximum(summary.last_event_at, at), summary.last_event_at),
        last_shown_at=_latest(summary.last_shown_at, now, is_shown),
        last_accepted_at=_latest(summary.last_accepted_at, at, is_accepted),
        last_declined_at=_latest(summary.last_declined_at, at, is_declined),
        session_shown=summary.session_shown + is_shown,
        session_accepted=summary.session_accepted + is_accepted,
        session_declined=summary.session_declined + is_declined,
        session_declines=run,
        session_max_declines=np.maximum(summary.session_max_declines, run),
        answered_ask=np.where(is_answered, after.asks, summary.answered_ask),
        is_answer_decline=np.where(is_answered, is_declined, summary.is_answer_decline).astype(np.int64),
        episode_started_at=np.where(starts_episode, now, summary.episode_started_at),
        episode_shown=summary.episode_shown + is_shown,
        episode_accepted=summary.episode_accepted + is_accepted,
        n_shows_last_24h=summary.n_shows_last_24h + is_shown,
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


def _with_signals(summary: Summary, after: Aftermath, is_seen: BoolArray) -> Summary:
    rows, signals = np.nonzero(after.n_signals)
    if len(rows) == 0:
        return summary
    counts, at = after.n_signals[rows, signals], after.signaled_at[rows]
    memory = summary.signal_table[:, summary.signal_places[rows, signals]]
    memory[_N] += counts
    memory[_N_SESSION] += counts
    np.maximum(memory[_LAST_AT], at, out=memory[_LAST_AT])
    places = summary.signal_places.copy()
    places[rows, signals] = summary.signal_table.shape[1] + np.arange(len(rows), dtype=np.int32)
    first_at = np.where(summary.first_event_at == 0, after.signaled_at, summary.first_event_at)
    return replace(
        summary,
        first_event_at=np.where(is_seen, np.minimum(first_at, after.signaled_at), summary.first_event_at),
        last_event_at=_latest(summary.last_event_at, after.signaled_at, is_seen),
        signal_places=places,
        signal_table=np.hstack([summary.signal_table, memory]),
    )


def _rolled(summary: Summary, now: IntArray, catalog: Catalog) -> Summary:
    """The states as of later instants (0: as they are): a session that ran out has ended."""
    gap = catalog.session_gap_s * SECOND
    is_over = (now > 0) & ((summary.last_event_at == 0) | (now - summary.last_event_at >= gap))
    n_shows = np.where(now - summary.last_shown_at >= DAY, 0, summary.n_shows_last_24h)
    places, table = _without_session(summary, is_over)
    kept = (~is_over).astype(np.int64)
    return replace(
        summary,
        n_sessions=summary.n_sessions + is_over,
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
