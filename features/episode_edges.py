"""Where episodes begin and end, found column-wise; the rules are those of ``features.state``.

Most histories are *orderly*: nothing that can begin or end an episode happened before something received earlier.
There, an episode begins with the first decision after an end, and ends with a conversion, with leaving, or with the
first row that is a conversion window later. The others are walked row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from features.segments import BoolArray, IntArray, first_at_least, last_before, prefix_sum
from features.sequences import SHOWN
from features.timeline import ACCEPTED, LEFT, Timeline

_SHOW: Final = 1
_YES: Final = 2
_END: Final = 4


@dataclass(frozen=True)
class EpisodeEdges:
    """What each row does to the episode of its sequence; columns of shape (r,), in the order in which they happen.

    Attributes:
        expires: the running episode turned out to be over before this row: its window had passed.
        begins: a decision that begins an episode.
        counts: a decision or acceptance that counts for the running episode (or, before its first decision, the next).
        ends: it ends the episode: a conversion, or leaving.
    """

    expires: BoolArray
    begins: BoolArray
    counts: BoolArray
    ends: BoolArray


def episode_edges(timeline: Timeline, window: int) -> EpisodeEdges:
    """The edges of every episode of every sequence; ``window`` is the conversion window."""
    is_show = timeline.is_a(SHOWN)
    can_end = (timeline.is_conversion & ~timeline.is_repeat) | timeline.is_a(LEFT)
    is_late = (is_show | can_end) & (timeline.at < timeline.before)
    is_disorderly = np.zeros(len(timeline.starts) - 1, dtype=np.bool_)
    is_disorderly[timeline.groups[is_late]] = True
    walked = np.flatnonzero(is_disorderly[timeline.groups]) if is_disorderly.any() else np.zeros(0, dtype=np.int64)

    ends = can_end.copy()
    ends[walked] = False
    begins = _beginnings(timeline, is_show & ~is_disorderly[timeline.groups] if len(walked) else is_show, ends, window)
    started_at, expires = _expiries(timeline, begins, ends, window)
    is_yes = timeline.is_a(ACCEPTED) & ~timeline.is_repeat
    counts = is_show | (is_yes & (timeline.at >= _floors(timeline, ends, expires, started_at + window)))
    edges = EpisodeEdges(expires, begins, counts, ends)
    if len(walked):
        roles = (is_show * _SHOW + is_yes * _YES + can_end * _END)[walked]
        _walk(edges, timeline, walked, roles, window)
    return edges


def _beginnings(timeline: Timeline, is_show: BoolArray, ends: BoolArray, window: int) -> BoolArray:
    """First decisions after an end, and from each of them on the next one that is a window later."""
    begins = np.zeros(len(is_show), dtype=np.bool_)
    shows = np.flatnonzero(is_show)
    if len(shows) == 0:
        return begins
    runs = prefix_sum(ends)[shows]
    is_first = np.ones(len(shows), dtype=np.bool_)
    is_first[1:] = (runs[1:] != runs[:-1]) | (timeline.groups[shows[1:]] != timeline.groups[shows[:-1]])
    first = np.flatnonzero(is_first)
    stop = np.append(first[1:], len(shows))
    at = timeline.at[shows]
    while len(first):
        begins[shows[first]] = True
        is_long = at[stop - 1] - at[first] >= window
        first, stop = first[is_long], stop[is_long]
        first = first_at_least(at, first, stop, at[first] + window)
    return begins


def _expiries(timeline: Timeline, begins: BoolArray, ends: BoolArray, window: int) -> tuple[IntArray, BoolArray]:
    """The start of the episode that runs when each row arrives (0: none), and whether it proves to be over."""
    begun, ended = last_before(begins)[:-1], last_before(ends)[:-1]
    is_running = (begun > ended) & (begun >= timeline.starts[timeline.groups])
    started_at = np.where(is_running, timeline.at[begun], 0)
    over_at = started_at + window
    return started_at, is_running & (timeline.latest >= over_at) & (timeline.before < over_at)


def _floors(timeline: Timeline, ends: BoolArray, expires: BoolArray, over_at: IntArray) -> IntArray:
    """When the previous episode had ended, as each row counts itself; 0 where there was none."""
    ended, expired = last_before(ends)[:-1], last_before(expires)[1:]
    last = np.maximum(ended, expired)
    floor = np.where(ended >= expired, timeline.at[ended], over_at[expired])
    return np.where(last >= timeline.starts[timeline.groups], floor, 0)


def _walk(edges: EpisodeEdges, timeline: Timeline, rows: IntArray, roles: IntArray, window: int) -> None:
    """Finds the edges of disorderly sequences row by row."""
    for column in (edges.expires, edges.begins, edges.counts, edges.ends):
        column[rows] = False
    expired, begun, counted, ended = [], [], [], []
    sequence, floor, started = -1, 0, 0
    columns = (timeline.groups[rows], timeline.at[rows], roles, rows)
    for group, at, role, row in zip(*(column.tolist() for column in columns), strict=True):
        if group != sequence:
            sequence, floor, started = group, 0, 0
        if started and at - started >= window:
            floor, started = max(floor, started + window), 0
            expired.append(row)
        if role & (_SHOW | _YES) and at >= floor:
            counted.append(row)
            if role & _SHOW and not started:
                started = at
                begun.append(row)
        if role & _END and at >= started:
            floor, started = max(floor, at), 0
            ended.append(row)
    for column, found in zip(
        (edges.expires, edges.begins, edges.counts, edges.ends), (expired, begun, counted, ended), strict=True
    ):
        column[found] = True
