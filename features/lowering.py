"""The column-wise twin of ``features.state``: what every decision of a log saw, computed for all of them at once.

Rows are sorted into sequences once; everything else is cumulative sums minus the sequence's offset, running maxima,
and shifts masked at borders. ``features.state`` is the definition; a property test holds both together. One thing
differs: the fold stops counting new signals after ``MAX_SIGNALS`` distinct names, lowering counts them all.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from data.domain import DAY, Catalog
from features.episode_edges import EpisodeEdges, episode_edges
from features.memories import Chains, Sights, memory_places
from features.segments import (
    BoolArray,
    IntArray,
    first_at_least,
    last_before,
    prefix_sum,
    running_max,
    running_min,
    stable_order,
)
from features.sequences import SHOWN, sequences_of
from features.state import RECENT_SHOWS, Scopes
from features.summary import ASK_MEMORY, NO_ASK, SCALARS, SIGNAL_MEMORY, PlaceArray, Summary
from features.timeline import ACCEPTED, DECLINED, SIGNAL, UNKNOWN, LogColumns, Timeline, timeline_of

if TYPE_CHECKING:
    from data.arrivals import Arrivals

BLOCK: Final = 1 << 16
"""Rows worked on at once: few enough for their columns to stay in the processor's cache."""


@dataclass(frozen=True)
class Lowered:
    """What the n decisions of a log saw, in order of arrival.

    Attributes:
        order: shape (n,); ``order`` of each decision in ``Arrivals.frame``.
        now: shape (n,); ``at`` of each decision.
        summary: the visitor's state as of then.
    """

    order: IntArray
    now: IntArray
    summary: Summary


def lower(arrivals: Arrivals, catalog: Catalog, *, threads: int = 1) -> Lowered:
    """The summary of every decision of a log, null decisions included.

    Args:
        arrivals: the log.
        catalog: the journey: its asks, signals and scopes.
        threads: how many blocks of visitors are worked on at once; the result does not depend on it.
    """
    sequences, log = sequences_of(arrivals), LogColumns(arrivals.frame, catalog)
    now = arrivals.frame["at"].to_physical().to_numpy()[sequences.decisions]
    by_sequence = stable_order(sequences.of_decision)
    borders = _blocks(sequences.starts)
    edges = np.searchsorted(sequences.of_decision[by_sequence], borders).tolist()

    def block(first: int, stop: int, decisions: IntArray) -> Summary:
        timeline = timeline_of(log, sequences, first, stop)
        seen_from = timeline.starts[sequences.of_decision[decisions] - first]
        seen_until = sequences.seen_until[decisions] - sequences.starts[first]
        return _summary(timeline, Sights(seen_from, seen_until, now[decisions]), catalog)

    parts = [by_sequence[low:high] for low, high in pairwise(edges)]
    whole = _Gathered(len(now), len(catalog.asks), len(catalog.signals))
    with ThreadPoolExecutor(threads) as pool:
        for decisions, part in zip(parts, pool.map(block, borders[:-1], borders[1:], parts), strict=True):
            whole.put(decisions, part)
    return Lowered(arrivals.frame["order"].to_numpy()[sequences.decisions], now, whole.summary())


def _blocks(starts: IntArray) -> list[int]:
    """Where to cut the sequences into blocks; a sequence is never cut."""
    n = len(starts) - 1
    borders = np.searchsorted(starts, np.arange(0, int(starts[-1]), BLOCK))
    return [*dict.fromkeys(borders.tolist()), n] if n else [0]


class _Gathered:
    """Summaries of blocks of decisions, put together in order of arrival."""

    def __init__(self, n: int, n_asks: int, n_signals: int) -> None:
        self._values: dict[str, Any] = {name: np.empty(n, dtype=np.int64) for name in SCALARS}
        self._values["ask_places"] = np.empty((n, n_asks), dtype=np.int32)
        self._values["signal_places"] = np.empty((n, n_signals), dtype=np.int32)
        self._asks = [np.zeros((len(ASK_MEMORY), 1), dtype=np.int64)]
        self._signals = [np.zeros((len(SIGNAL_MEMORY), 1), dtype=np.int64)]

    def put(self, decisions: IntArray, part: Summary) -> None:
        """Takes the summary of some of the decisions."""
        for name in SCALARS:
            self._values[name][decisions] = getattr(part, name)
        self._values["ask_places"][decisions] = _appended(self._asks, part.ask_places, part.ask_table)
        self._values["signal_places"][decisions] = _appended(self._signals, part.signal_places, part.signal_table)

    def summary(self) -> Summary:
        """The summary of all decisions."""
        tables = {"ask_table": np.hstack(self._asks), "signal_table": np.hstack(self._signals)}
        return Summary(**(self._values | tables))


def _appended(tables: list[IntArray], places: PlaceArray, table: IntArray) -> PlaceArray:
    """Takes a table without its column of zeros; its places in the whole."""
    n_before = sum(part.shape[1] for part in tables) - 1
    tables.append(table[:, 1:])
    moved: PlaceArray = places + (places > 0) * np.int32(n_before)
    return moved


def _summary(timeline: Timeline, sights: Sights, catalog: Catalog) -> Summary:
    if len(timeline.at) == 0:
        return _of_strangers(sights.now, catalog)
    scopes = Scopes.of(catalog)
    session = _Sessions(timeline, sights, scopes.session_gap)
    episode = _Episodes(episode_edges(timeline, scopes.conversion_window), timeline, sights, scopes.conversion_window)
    visitor = _visitor_columns(timeline, sights)
    ask_places, ask_table = _ask_memories(timeline, sights, episode, len(catalog.asks))
    signal_places, signal_table = _signal_memories(timeline, sights, session, len(catalog.signals))
    return Summary(
        **visitor,
        **session.columns(),
        **episode.columns(timeline),
        n_shows_last_24h=_recent_shows(timeline, sights, visitor["last_shown_at"]),
        ask_places=ask_places,
        ask_table=ask_table,
        signal_places=signal_places,
        signal_table=signal_table,
    )


def _of_strangers(now: IntArray, catalog: Catalog) -> Summary:
    """The summary of decisions before which nothing happened."""
    scalars: dict[str, IntArray] = {name: np.zeros(len(now), dtype=np.int64) for name in SCALARS}
    scalars["n_sessions"] = np.ones(len(now), dtype=np.int64)
    scalars["session_started_at"] = now
    scalars["answered_ask"] = np.full(len(now), NO_ASK)
    return Summary(
        **scalars,
        ask_places=np.zeros((len(now), len(catalog.asks)), dtype=np.int32),
        ask_table=np.zeros((len(ASK_MEMORY), 1), dtype=np.int64),
        signal_places=np.zeros((len(now), len(catalog.signals)), dtype=np.int32),
        signal_table=np.zeros((len(SIGNAL_MEMORY), 1), dtype=np.int64),
    )


class _Sessions:
    """Sessions of every sequence, and the one that each decision is in."""

    def __init__(self, timeline: Timeline, sights: Sights, gap: int) -> None:
        before, at = timeline.before, timeline.at
        is_first = (timeline.rank >= 0) & ((before == 0) | (at - before >= gap))
        self._timeline, self._sights = timeline, sights
        self._begun = last_before(is_first)
        self.numbers = prefix_sum(is_first)
        self.holds = at >= at[self._begun[1:]]
        last = np.where(sights.until > sights.first, timeline.latest[sights.until - 1], 0)
        self._is_over = (last == 0) | (sights.now - last >= gap)
        self.since = np.where(self._is_over, sights.until, self._begun[sights.until])

    def columns(self) -> dict[str, IntArray]:
        """The columns of a summary that are about sessions."""
        timeline, sights, since = self._timeline, self._sights, self.since
        is_yes, is_no = timeline.is_a(ACCEPTED) & self.holds, timeline.is_a(DECLINED) & self.holds
        shown, yes, no = (prefix_sum(flags) for flags in (timeline.is_a(SHOWN) & self.holds, is_yes, is_no))
        last_yes = last_before(is_yes)
        answered = last_before(is_yes | is_no)[sights.until]
        is_answered = answered >= since
        until, runs_from = sights.until, np.maximum(since, last_yes[sights.until])
        return {
            "n_sessions": sights.count(self.numbers) + self._is_over,
            "session_started_at": np.where(self._is_over, sights.now, timeline.at[self._begun[until]]),
            "session_shown": shown[until] - shown[since],
            "session_accepted": yes[until] - yes[since],
            "session_declined": no[until] - no[since],
            "session_declines": no[until] - no[runs_from],
            "session_max_declines": self._longest_runs(is_no, no, last_yes),
            "answered_ask": np.where(is_answered, timeline.ask[answered], NO_ASK),
            "is_answer_decline": (is_answered & (timeline.rank[answered] == DECLINED)).astype(np.int64),
        }

    def _longest_runs(self, is_no: BoolArray, no: IntArray, last_yes: IntArray) -> IntArray:
        rows = np.flatnonzero(is_no)
        if len(rows) == 0:
            return np.zeros(len(self.since), dtype=np.int64)
        lengths = np.arange(1, len(rows) + 1) - no[np.maximum(self._begun[rows + 1], last_yes[rows])]
        longest = running_max(lengths, self.numbers[rows + 1])
        n_seen = no[self._sights.until]
        return np.where(n_seen > no[self.since], longest[n_seen - 1], 0)


class _Episodes:
    """Episodes of every sequence, and the one that each decision is in."""

    def __init__(self, edges: EpisodeEdges, timeline: Timeline, sights: Sights, window: int) -> None:
        self.edges, self._sights = edges, sights
        until = sights.until
        begun, ended, expired = (last_before(flags)[until] for flags in (edges.begins, edges.ends, edges.expires))
        since = np.maximum(np.maximum(ended + 1, expired), sights.first)
        started_at = np.where(begun >= since, timeline.at[begun], 0)
        is_over = (started_at > 0) & (sights.now - started_at >= window)
        self.started_at = np.where(is_over, 0, started_at)
        self.since = np.where(is_over, until, since)
        self.numbers = prefix_sum(edges.ends)[:-1] + prefix_sum(edges.expires)[1:]

    def columns(self, timeline: Timeline) -> dict[str, IntArray]:
        """The columns of a summary that are about episodes."""
        since, until = self.since, self._sights.until
        shown = prefix_sum(self.edges.counts & timeline.is_a(SHOWN))
        yes = prefix_sum(self.edges.counts & timeline.is_a(ACCEPTED))
        return {
            "n_episodes": self._sights.count(prefix_sum(self.edges.begins)),
            "episode_started_at": self.started_at,
            "episode_shown": shown[until] - shown[since],
            "episode_accepted": yes[until] - yes[since],
        }


def _visitor_columns(timeline: Timeline, sights: Sights) -> dict[str, IntArray]:
    """The columns of a summary that are about the visitor, for ever."""
    columns = {
        "n_conversions": sights.count(prefix_sum(timeline.is_conversion & ~timeline.is_repeat)),
        "first_event_at": _first_event_at(timeline, sights),
        "last_event_at": np.where(sights.until > sights.first, timeline.latest[sights.until - 1], 0),
    }
    for name, rank in (("last_shown_at", SHOWN), ("last_accepted_at", ACCEPTED), ("last_declined_at", DECLINED)):
        is_one = timeline.is_a(rank)
        latest = running_max(timeline.at[is_one], timeline.groups[is_one])
        columns[name] = sights.latest(latest, prefix_sum(is_one))
    return columns


def _first_event_at(timeline: Timeline, sights: Sights) -> IntArray:
    """The earliest instant: that of the first row, but for the few rows that arrived later and happened earlier."""
    is_first = (timeline.before == 0) & (timeline.rank >= 0)
    rows = np.flatnonzero(is_first)
    first_at = np.zeros(len(timeline.starts), dtype=np.int64)
    first_at[timeline.groups[rows]] = timeline.at[rows]
    result = sights.latest(timeline.at[rows], prefix_sum(is_first))
    is_earlier = (timeline.rank >= 0) & (timeline.at < first_at[timeline.groups])
    if not is_earlier.any():
        return result
    earliest = running_min(timeline.at[is_earlier], timeline.groups[is_earlier])
    found = sights.latest(earliest, prefix_sum(is_earlier))
    return np.where(found > 0, found, result)


def _ask_memories(timeline: Timeline, sights: Sights, episode: _Episodes, n_asks: int) -> tuple[PlaceArray, IntArray]:
    is_change = (timeline.ask != UNKNOWN) & (timeline.is_a(SHOWN) | timeline.is_a(ACCEPTED) | timeline.is_a(DECLINED))
    rows = np.flatnonzero(is_change)
    codes = timeline.ask[rows]
    chains = Chains(rows, timeline.groups[rows] * n_asks + codes, episode.numbers[rows])
    rank, at, counts = timeline.rank[chains.rows], timeline.at[chains.rows], episode.edges.counts[chains.rows]
    shown, yes, no = rank == SHOWN, rank == ACCEPTED, rank == DECLINED
    ever = [chains.count(flags) for flags in (shown, yes, no)]
    when = [chains.latest(flags, at) for flags in (shown, yes, no)]
    now = [chains.count(flags & counts, in_scope=True) for flags in (shown, yes)]
    table = chains.table([*ever, *when, *now], scoped=(6, 7))
    return memory_places(is_change, codes, n_asks, sights, episode.since), table


def _signal_memories(
    timeline: Timeline, sights: Sights, session: _Sessions, n_signals: int
) -> tuple[PlaceArray, IntArray]:
    is_change = timeline.is_a(SIGNAL) & (timeline.signal != UNKNOWN)
    rows = np.flatnonzero(is_change)
    codes = timeline.signal[rows]
    chains = Chains(rows, timeline.groups[rows] * n_signals + codes, session.numbers[rows + 1])
    every = np.ones(len(rows), dtype=np.bool_)
    columns = [
        chains.count(every),
        chains.count(session.holds[chains.rows], in_scope=True),
        chains.latest(every, timeline.at[chains.rows]),
    ]
    table = chains.table(columns, scoped=(1,))
    return memory_places(is_change, codes, n_signals, sights, session.since), table


def _recent_shows(timeline: Timeline, sights: Sights, last_shown_at: IntArray) -> IntArray:
    """Shows in the 24 hours before each decision (a later show that is known already moves that day's end)."""
    is_show = timeline.is_a(SHOWN)
    sums = prefix_sum(is_show)
    at, groups = timeline.at[is_show], timeline.groups[is_show]
    low, high = sums[sights.first], sums[sights.until]
    floor = np.maximum(sights.now, last_shown_at) - DAY + 1
    rows = np.flatnonzero(high > low)
    is_disorderly = np.zeros(len(timeline.starts), dtype=np.bool_)
    is_disorderly[groups[1:][(at[1:] < at[:-1]) & (groups[1:] == groups[:-1])]] = True
    others = rows[is_disorderly[groups[low[rows]]]]
    rows = rows[at[low[rows]] < floor[rows]]
    rows = rows[~is_disorderly[groups[low[rows]]]]
    low[rows] = first_at_least(at, low[rows], high[rows], floor[rows])
    for row in others.tolist():
        low[row] = high[row] - np.count_nonzero(at[low[row] : high[row]] >= floor[row])
    shows: IntArray = np.minimum(high - low, RECENT_SHOWS)
    return shows
