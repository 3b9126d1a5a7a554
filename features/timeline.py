"""The rows of a log laid out in sequences, as columns: what lowering works on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from data.domain import EVENT_TYPES, Catalog, Decision, Event
from features.segments import BoolArray, IntArray, running_max, shifted
from features.sequences import SHOWN, Sequences
from features.state import JourneyState, Scopes, advance, is_repeated_conversion, show

ACCEPTED, DECLINED, CONVERTED, LEFT, SIGNAL = (
    EVENT_TYPES.index(name) for name in ("accepted", "declined", "converted", "left", "signal")
)
UNKNOWN: Final = -1


class LogColumns:
    """The columns of a log that states depend on, as arrays in order of arrival."""

    def __init__(self, frame: pl.DataFrame, catalog: Catalog) -> None:
        is_null = ((frame["rank"] == SHOWN) & frame["ask_id"].is_null()).to_numpy()
        seen_at = frame["at"].to_physical().to_numpy()
        if frame["shown_at"].null_count() < frame.height:
            seen_at = frame.select(pl.coalesce("shown_at", "at"))["shown_at"].to_physical().to_numpy()
        self.frame = frame
        self.catalog = catalog
        self.at = np.where(is_null, 0, seen_at)
        self.rank = np.where(is_null, -1, frame["rank"].to_numpy()).astype(np.int8)
        self.ask = _codes(frame["ask_id"], catalog.position)
        self.signal = _codes(frame["signal"], {name: i for i, name in enumerate(catalog.signals)})
        self.is_repeat = frame["is_repeat"].fill_null(False).to_numpy()


@dataclass(frozen=True)
class Timeline:
    """Some sequences laid end to end; columns of shape (r,).

    Attributes:
        groups: the sequence of the row, counted from 0.
        starts: where sequences start, shape (s + 1,).
        at: when it happened (a decision: when it was seen); 0 on null decisions, which count for nothing.
        latest: the latest ``at`` of the sequence so far; ``before``: without this row.
        rank: the type, an index into ``EVENT_TYPES``; -1 on null decisions.
        ask: index into the catalog's asks, -1 for none or unknown.
        signal: index into the catalog's signals, -1 for none or undeclared.
        is_conversion: it reports a conversion; ``is_repeat``: one that was known already.
    """

    groups: IntArray
    starts: IntArray
    at: IntArray
    latest: IntArray
    before: IntArray
    rank: npt.NDArray[np.int8]
    ask: IntArray
    signal: IntArray
    is_conversion: BoolArray
    is_repeat: BoolArray

    def is_a(self, rank: int) -> BoolArray:
        """Which rows are of a type."""
        is_one: BoolArray = self.rank == rank
        return is_one


def timeline_of(log: LogColumns, sequences: Sequences, first: int, stop: int) -> Timeline:
    """The sequences ``first:stop``."""
    starts = sequences.starts[first : stop + 1] - sequences.starts[first]
    source = sequences.source[sequences.starts[first] : sequences.starts[stop]]
    groups = np.repeat(np.arange(stop - first), np.diff(starts))
    at, rank, ask = log.at[source], log.rank[source], log.ask[source]
    latest = running_max(at, groups)
    is_goal = ask == log.catalog.position[log.catalog.goal]
    timeline = Timeline(
        groups=groups,
        starts=starts,
        at=at,
        latest=latest,
        before=shifted(latest, groups),
        rank=rank,
        ask=ask,
        signal=log.signal[source],
        is_conversion=((rank == ACCEPTED) & is_goal) | (rank == CONVERTED),
        is_repeat=log.is_repeat[source],
    )
    low, high = np.searchsorted(sequences.copied, [first, stop])
    for sequence in (sequences.copied[low:high] - first).tolist():
        _mark_repeats(timeline, slice(starts[sequence], starts[sequence + 1]), source, log)
    return timeline


def _codes(names: pl.Series, position: Mapping[str, int]) -> IntArray:
    """Positions of names, -1 for unknown ones and nulls."""
    if not position:
        return np.full(len(names), UNKNOWN, dtype=np.int64)
    codes = names.cast(pl.Enum(list(position)), strict=False).to_physical()
    return codes.cast(pl.Int64).fill_null(UNKNOWN).to_numpy()


def _mark_repeats(timeline: Timeline, part: slice, source: IntArray, log: LogColumns) -> None:
    """Tells anew which conversions of a merged history were known already: either half may have reported it first.

    Only conversions and decisions matter to that, so only these are folded.
    """
    timeline.is_repeat[part] = False
    if np.count_nonzero(timeline.is_conversion[part]) < 2:
        return
    matters = timeline.is_conversion[part] | (timeline.rank[part] == SHOWN)
    rows = part.start + np.flatnonzero(matters)
    scopes, state = Scopes.of(log.catalog), JourneyState()
    named = log.frame.select("type", "ask_id", "order_id")[source[rows]]
    for row, (kind, ask_id, order_id) in zip(rows.tolist(), named.iter_rows(), strict=True):
        at = int(timeline.at[row])
        if kind == "shown":
            show(state, Decision("", "", "", at, at, ask_id, None, None, ""), scopes)
        else:
            event = Event("", kind, at, at, "", ask_id=ask_id, order_id=order_id)
            timeline.is_repeat[row] = is_repeated_conversion(state, event, scopes)
            advance(state, event, scopes)
