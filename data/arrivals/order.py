"""Arrival order, and duplicates. Neither depends on the order of rows in a file."""

from __future__ import annotations

from typing import Final

import polars as pl

from data.domain import EVENT_TYPES
from data.log.cells import as_text

RANK: Final = "rank"
ARRIVAL: Final = (
    "received_at",
    "at",
    RANK,
    "visitor_id",
    "ask_id",
    "signal",
    "decision_id",
    "event_id",
)
"""What arrivals are sorted by, nulls first; texts compare by their UTF-8 bytes."""

_SAME: Final = ("visitor_id", "at", "type", "ask_id", "signal", "shown_decision", "merged_from")


def ranked(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with the rank of each row's type: a shown ask comes before its answer."""
    ranks = {name: rank for rank, name in enumerate(EVENT_TYPES)}
    return frame.with_columns(pl.col("type").replace_strict(ranks, return_dtype=pl.Int8).alias(RANK))


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows of a ranked frame by arrival; rows that arrival cannot tell apart by all else they say."""
    by_arrival = frame.sort(*ARRIVAL)
    is_tie = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in ARRIVAL)
    ties = by_arrival.select(is_tie & (pl.int_range(pl.len()) > 0)).to_series()
    if not ties.any():
        return by_arrival
    group = (~ties).cum_sum()
    in_tie = ties | ties.shift(-1, fill_value=False)
    numbered = by_arrival.with_columns(group.alias("#group"))
    tied = numbered.filter(in_tie)
    rest = [as_text(tied[name]).alias(f"#{name}") for name in sorted(tied.columns) if name not in ARRIVAL]
    hidden = [column.name for column in rest]
    resorted = tied.with_columns(rest).sort("#group", *hidden).drop(hidden)
    return pl.concat([numbered.filter(~in_tie), resorted]).sort("#group", maintain_order=True).drop("#group")


def without_duplicates(ordered: pl.DataFrame) -> pl.DataFrame:
    """Rows of an ordered frame that say something new.

    A row repeats another one with its ``event_id``. A row without ``event_id`` repeats any other row of the same
    visitor, time, type, ask and signal (for ``shown`` also: decision; for ``merged`` also: other visitor).
    """
    has_id = pl.col("event_id").is_not_null()
    is_new = ~has_id | pl.col("event_id").is_first_distinct()
    named = ordered.filter(is_new)
    same = named.select(
        *_SAME[:-2],
        pl.when(pl.col("type") == "shown").then("decision_id").alias("shown_decision"),
        pl.when(pl.col("type") == "merged").then("from_id").alias("merged_from"),
    )
    is_first = same.select(pl.struct(_SAME).is_first_distinct()).to_series()
    ids = named["event_id"].is_not_null()
    if not ids.any():
        return named.filter(is_first)
    has_twin = same.select(pl.struct(_SAME).is_duplicated()).to_series()
    is_named = same.with_columns(ids.alias("ids"), is_first.alias("first"))
    twins = is_named.filter(has_twin)
    keep = twins.select(
        pl.when("ids").then(pl.lit(True)).otherwise(pl.col("first") & ~pl.col("ids").any().over(_SAME))
    ).to_series()
    index = pl.int_range(len(named), eager=True).filter(has_twin)
    mask = pl.Series([True]).new_from_index(0, len(named)).scatter(index, keep)
    return named.filter(mask)
