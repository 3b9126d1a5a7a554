"""Which conversions are known already when they arrive.

One ``order_id`` is one conversion; so are a goal acceptance and a ``converted`` within the conversion window of each
other with no decision between. ``features.state`` folds the same rule; a test compares the two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import polars as pl

from data.domain import SECOND, Catalog

RECENT_ORDERS: Final = 16
"""How many of a visitor's orders are remembered."""


class _Row(NamedTuple):
    order: int
    owner: int
    is_decision: bool
    is_goal: bool
    at: int
    order_id: str | None


class _Known:
    """What is known of one visitor's conversions."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._orders: list[str] = []
        # By whether it was a goal acceptance: when the last conversion was, and when the first decision after it.
        self._converted_at = {True: 0, False: 0}
        self._decided_at = {True: 0, False: 0}

    def take(self, row: _Row) -> bool:
        """Whether a row reports a conversion that is known; then it is."""
        if row.is_decision:
            for is_goal, converted_at in self._converted_at.items():
                if converted_at and not self._decided_at[is_goal] and row.at > converted_at:
                    self._decided_at[is_goal] = row.at
            return False
        is_repeat = self._is_known(row)
        if row.order_id is not None and row.order_id not in self._orders:
            self._orders = [*self._orders, row.order_id][-RECENT_ORDERS:]
        self._converted_at[row.is_goal], self._decided_at[row.is_goal] = row.at, 0
        return is_repeat

    def _is_known(self, row: _Row) -> bool:
        if row.order_id is not None and row.order_id in self._orders:
            return True
        converted_at, decided_at = self._converted_at[not row.is_goal], self._decided_at[not row.is_goal]
        if converted_at == 0 or abs(row.at - converted_at) >= self._window:
            return False
        return decided_at == 0 or row.at <= decided_at


def repeats(frame: pl.DataFrame, catalog: Catalog, merges: Iterable[tuple[int, int, int]]) -> pl.Series:
    """By row of an arranged frame, whether it reports a conversion that is known when it arrives."""
    latest = latest_owners(merges)
    window = catalog.conversion_window_s * SECOND
    pending = sorted(merges)
    histories: defaultdict[int, list[_Row]] = defaultdict(list)
    known: dict[int, _Known] = {}
    repeated: list[int] = []
    for row in _rows(frame, catalog, latest):
        while pending and pending[0][0] <= row.order:
            _, into, other = pending.pop(0)
            histories[into] = sorted(histories[into] + histories.pop(other, []))
            known[into] = _Known(window)
            for past in histories[into]:
                known[into].take(past)
        if known.setdefault(row.owner, _Known(window)).take(row):
            repeated.append(row.order)
        histories[row.owner].append(row)
    return pl.Series([False]).new_from_index(0, len(frame)).scatter(pl.Series(repeated, dtype=pl.UInt32), True)


def latest_owners(merges: Iterable[tuple[int, int, int]]) -> dict[int, int]:
    """Of every owner that ends in a merge, the owner that it is after all merges.

    Example:
        >>> latest_owners([(3, 1, 0), (7, 2, 1)])
        {1: 2, 0: 2}
    """
    latest: dict[int, int] = {}
    for _, into, other in sorted(merges, reverse=True):
        latest[other] = latest.get(into, into)
    return latest


def _rows(frame: pl.DataFrame, catalog: Catalog, latest: dict[int, int]) -> Iterator[_Row]:
    """Decisions and conversions of visitors who have at least two conversions."""
    is_goal = ((pl.col("type") == "accepted") & (pl.col("ask_id") == catalog.goal)).fill_null(False)
    is_decision = (pl.col("type") == "shown") & pl.col("ask_id").is_not_null()
    is_conversion = is_goal | (pl.col("type") == "converted")
    rows = frame.select(
        "order",
        "owner",
        is_decision.alias("is_decision"),
        is_goal.alias("is_goal"),
        pl.when(is_decision).then(pl.coalesce("shown_at", "at")).otherwise("at").dt.timestamp("us").alias("at"),
        "order_id",
        is_conversion.alias("is_conversion"),
        pl.col("owner").replace(latest).alias("latest"),
    ).filter(pl.col("is_decision") | pl.col("is_conversion"))
    busy = rows.filter("is_conversion").group_by("latest").len().filter(pl.col("len") > 1)["latest"]
    chosen = rows.filter(pl.col("latest").is_in(busy.implode())).drop("is_conversion", "latest")
    return map(_Row._make, chosen.iter_rows())
