"""``arrange``: from a log to what arrived, in order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec
import polars as pl

from data.arrivals.answers import (
    ANSWERED,
    ORDER,
    ROW,
    WHY,
    is_nameless,
    moved_behind,
    repeated_answers,
    with_named_decisions,
    with_nameless_answers,
)
from data.arrivals.conversions import repeats
from data.arrivals.merges import Lineage, Merge
from data.arrivals.order import ARRIVAL, in_order, ranked, without_duplicates
from data.domain import Catalog, Decision, Event
from data.log.items import items_of

_HIDDEN: Final = (ROW, ANSWERED, WHY)
_PREFIX: Final = "log-"
"""Begins the ids that decisions without one are given."""


@dataclass(frozen=True, eq=False)
class Arrivals:
    """A log as it arrived.

    No row goes missing: rows given = rows of ``frame`` + ``n_duplicates`` + rows of ``set_aside``.

    ``frame``: the log's columns in order of arrival, and ``order`` (0, 1, ...), ``rank`` (of the type),
    ``owner`` (the number of the visitor a row counts for when it arrives), ``is_repeat`` (a conversion that is known
    already). Every ``shown`` row has a ``decision_id``; answers have that of their decision, and happen and arrive
    no earlier than it; commitments made unprompted have none. ``set_aside``: rows that cannot be, with ``reason``.
    ``merges``: (order, owner that goes on, owner that ends). ``visitors``: visitor ids by owner.
    """

    frame: pl.DataFrame
    set_aside: pl.DataFrame
    n_duplicates: int
    merges: tuple[tuple[int, int, int], ...]
    visitors: tuple[str, ...]

    def items(self) -> Iterator[tuple[int, Decision | Event]]:
        """Every arrival with its order."""
        return zip(self.frame["order"], items_of(self.frame), strict=True)


def arrange(log: pl.DataFrame, catalog: Catalog) -> Arrivals:
    """The rows of a log frame in order of arrival, duplicates removed, answers joined, visitors merged.

    The result does not depend on the order of the rows given.
    """
    ordered = in_order(ranked(log))
    distinct = without_duplicates(ordered)
    rows = _with_impossible(_with_decision_ids(distinct).with_row_index(ROW).with_columns(pl.col(ROW).cast(pl.Int64)))
    rows = moved_behind(with_named_decisions(rows, _lineage(rows, ROW)))
    if rows.select(is_nameless().any()).item():
        rows = _by_arrival(rows).with_row_index(ORDER).sort(ROW)
        rows = moved_behind(with_nameless_answers(rows, _lineage(rows.sort(ORDER), ORDER))).drop(ORDER)
    set_aside = rows.filter(pl.col(WHY).is_not_null())
    arrived = _by_arrival(rows.filter(pl.col(WHY).is_null()))
    is_repeated = repeated_answers(arrived)
    frame = (
        arrived.filter(~is_repeated).drop(_HIDDEN).with_row_index("order").with_columns(pl.col("order").cast(pl.Int64))
    )
    lineage = _lineage(frame.with_columns(pl.lit(None).alias(WHY)), "order")
    visitors, owners = _owners(frame, lineage)
    merges = tuple(
        (merge.order, visitors[merge.into_visitor], visitors[merge.from_visitor]) for merge in lineage.merges
    )
    frame = frame.with_columns(owners)
    return Arrivals(
        frame=frame.with_columns(repeats(frame, catalog, merges).alias("is_repeat")),
        set_aside=set_aside.select(pl.col(WHY).alias("reason"), *log.columns),
        n_duplicates=len(ordered) - len(distinct) + int(is_repeated.sum()),
        merges=merges,
        visitors=tuple(visitors),
    )


def _by_arrival(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.sort(*ARRIVAL, ROW)


def _with_decision_ids(frame: pl.DataFrame) -> pl.DataFrame:
    """Gives decisions without an id one that depends on nothing but what they say."""
    is_nameless_decision = (pl.col("type") == "shown") & pl.col("decision_id").is_null()
    bare = frame.with_row_index("#index").filter(is_nameless_decision)
    if bare.is_empty():
        return frame
    said = bare.select("journey", "visitor_id", pl.col("at").dt.timestamp("us"), "ask_id", "event_id")
    ids = [_PREFIX + hashlib.sha256(msgspec.json.encode(row)).hexdigest()[:32] for row in said.iter_rows()]
    return frame.with_columns(frame["decision_id"].scatter(bare["#index"], pl.Series(ids)))


def _with_impossible(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds ``WHY``: decisions under an id that is taken, merges of visitors who are one already."""
    is_second = (pl.col("type") == "shown") & ~pl.struct("type", "decision_id").is_first_distinct()
    reason = pl.format("decision_id is {}; it names another decision already", "decision_id")
    frame = frame.with_columns(pl.when(is_second).then(reason).alias(WHY))
    repeated = pl.Series(_lineage(frame, ROW).repeated, dtype=pl.Int64)
    if repeated.is_empty():
        return frame
    return frame.with_columns(frame[WHY].scatter(repeated, "these visitors were one already"))


def _lineage(frame: pl.DataFrame, order: str) -> Lineage:
    merged = frame.filter(pl.col("type") == "merged", pl.col(WHY).is_null())
    return Lineage(map(Merge._make, merged.select(order, "visitor_id", "from_id").iter_rows()))


def _owners(frame: pl.DataFrame, lineage: Lineage) -> tuple[dict[str, int], pl.Series]:
    """Numbers of visitors, by first arrival, and by row the number of the visitor it counts for."""
    names = frame["visitor_id"].unique(maintain_order=True).to_list()
    visitors = {name: number for number, name in enumerate(names)}
    for merge in lineage.merges:
        visitors.setdefault(merge.from_visitor, len(visitors))
    numbers = pl.DataFrame(
        {"visitor_id": list(visitors), "owner": list(visitors.values())},
        schema={"visitor_id": pl.String, "owner": pl.Int64},
    )
    owners = frame.select("visitor_id").join(numbers, on="visitor_id", how="left", maintain_order="left")["owner"]
    if not lineage.merges:
        return visitors, owners
    changed = frame.select("order", "visitor_id").filter(pl.col("visitor_id").is_in(list(lineage.visitors)))
    later = [visitors[lineage.visitor(visitor_id, order)] for order, visitor_id in changed.iter_rows()]
    return visitors, owners.scatter(changed["order"], pl.Series(later, dtype=pl.Int64))
