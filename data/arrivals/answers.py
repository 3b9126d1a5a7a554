"""Joining answers to the decisions they answer."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from operator import attrgetter, itemgetter
from typing import Final, NamedTuple

import polars as pl

from data.arrivals.merges import Lineage
from data.domain import ANSWER_TYPES, FINAL_ANSWERS

ROW: Final = "#row"
"""Hidden column: the number of a row in the frame."""
ANSWERED: Final = "#answered"
"""Hidden column: the ``ROW`` of the decision that a row answers; null where there is none."""
WHY: Final = "#why"
"""Hidden column: why a row is set aside; null where it is not."""
ORDER: Final = "#order"
"""Hidden column: where a row stands in order of arrival."""

_IS_ANSWER: Final = pl.col("type").is_in(ANSWER_TYPES)


def with_named_decisions(frame: pl.DataFrame, lineage: Lineage) -> pl.DataFrame:
    """Adds ``ANSWERED`` of the answers that name their decision, and ``WHY`` where that cannot be.

    An acceptance that names a decision the log does not have is kept as a commitment of its own; a decline is
    nothing without its decision.
    """
    frame = frame.with_columns(_latest(frame, lineage).alias("#self"))
    shown = frame.filter(pl.col("type") == "shown", pl.col(WHY).is_null()).select(
        "decision_id",
        pl.col(ROW).alias(ANSWERED),
        pl.col("ask_id").alias("#ask"),
        pl.col("#self").alias("#visitor"),
    )
    joined = frame.join(shown, on="decision_id", how="left", maintain_order="left")
    names_one = _IS_ANSWER & pl.col("decision_id").is_not_null()
    is_found = names_one & pl.col(ANSWERED).is_not_null()
    why = (
        pl.when(names_one & pl.col(ANSWERED).is_null() & (pl.col("type") != "accepted"))
        .then(_about("is not in the log"))
        .when(is_found & pl.col("#ask").is_null())
        .then(_about("asked nothing"))
        .when(is_found & (pl.col("#visitor") != pl.col("#self")))
        .then(_about("is of another visitor"))
        .when(is_found & (pl.col("#ask") != pl.col("ask_id")))
        .then(pl.format("it answers decision {}, which showed {}, not {}", "decision_id", "#ask", "ask_id"))
    )
    return joined.with_columns(
        pl.coalesce(WHY, why).alias(WHY),
        pl.when(is_found & why.is_null()).then(ANSWERED).alias(ANSWERED),
    ).drop("#ask", "#visitor", "#self")


def with_nameless_answers(frame: pl.DataFrame, lineage: Lineage) -> pl.DataFrame:
    """Joins the answers that name no decision; ``ORDER`` is the order of arrival that ``lineage`` knows.

    Such an answer is for the latest open decision about its ask, of whoever is its visitor when it arrives: of those
    that were seen before the answer was given and arrived before it; else of those that arrived before it; else of
    those that were seen before it and arrived late.
    """
    found = dict(_joined(frame, lineage))
    answers, decisions = pl.Series(list(found), dtype=pl.Int64), pl.Series(list(found.values()), dtype=pl.Int64)
    frame = frame.with_columns(frame[ANSWERED].scatter(answers, decisions))
    is_lost = is_nameless() & pl.col(ANSWERED).is_null() & (pl.col("type") != "accepted")
    why = pl.when(is_lost).then(pl.lit("no open decision showed this ask to this visitor"))
    return frame.with_columns(pl.coalesce(WHY, why).alias(WHY))


def moved_behind(frame: pl.DataFrame) -> pl.DataFrame:
    """Answers get their decision's id, and happen and arrive no earlier than it."""
    decision = {name: frame[name].gather(frame[ANSWERED]) for name in ("decision_id", "at", "received_at")}
    is_unprompted = frame["type"].is_in(ANSWER_TYPES) & frame[ANSWERED].is_null() & frame[WHY].is_null()
    nothing = pl.Series([None], dtype=pl.String)
    own_id = nothing.new_from_index(0, len(frame)).zip_with(is_unprompted, frame["decision_id"])
    return frame.with_columns(
        decision["decision_id"].zip_with(frame[ANSWERED].is_not_null(), own_id).alias("decision_id"),
        *(
            decision[name].zip_with(decision[name] > frame[name], frame[name]).alias(name)
            for name in ("at", "received_at")
        ),
    )


def repeated_answers(ordered: pl.DataFrame) -> pl.Series:
    """Which answers of an ordered frame say nothing new: the first accepted or declined of a decision is final."""
    position = pl.int_range(pl.len())
    is_answer = _IS_ANSWER & pl.col("decision_id").is_not_null()
    is_final = is_answer & pl.col("type").is_in(FINAL_ANSWERS)
    answers = ordered.select(
        position.alias("position"), is_final.alias("final"), is_answer.alias("answer"), "decision_id"
    )
    answers = answers.filter("answer")
    first = answers.with_columns(
        pl.when("final").then("position").min().over("decision_id").alias("first final"),
        pl.when(~pl.col("final")).then("position").min().over("decision_id").alias("first ignored"),
    )
    beats = pl.col("first final").is_null() | (pl.col("position") < pl.col("first final"))
    is_kept = (
        pl.when("final")
        .then(pl.col("position") == pl.col("first final"))
        .otherwise(beats & (pl.col("position") == pl.col("first ignored")))
    )
    mask = pl.Series([False]).new_from_index(0, len(ordered))
    return mask.scatter(first.filter(~is_kept)["position"], True)


def is_nameless() -> pl.Expr:
    """Whether a row is an answer that names no decision."""
    return _IS_ANSWER & pl.col("decision_id").is_null()


def _about(what: str) -> pl.Expr:
    return pl.format(f"it answers decision {{}}, which {what}", "decision_id")


def _latest(frame: pl.DataFrame, lineage: Lineage) -> pl.Series:
    names = {visitor_id: lineage.latest(visitor_id) for visitor_id in lineage.visitors}
    return frame["visitor_id"].replace(names) if names else frame["visitor_id"]


class _Row(NamedTuple):
    row: int
    order: int
    visitor_id: str
    seen: int
    at: int
    type: str
    answered: int | None
    is_nameless: bool


class _Shown(NamedTuple):
    seen: int
    row: int
    visitor_id: str


def _joined(frame: pl.DataFrame, lineage: Lineage) -> Iterator[tuple[int, int]]:
    """Pairs of answer and decision, by row."""
    for rows in _groups(frame, lineage):
        yield from _Group(rows, lineage).joined()


def _groups(frame: pl.DataFrame, lineage: Lineage) -> Iterator[list[_Row]]:
    """Decisions and answers about one ask, of visitors that are one in the end; only where an answer is nameless."""
    group = ["latest", "ask_id"]
    rows = frame.select(
        ROW,
        ORDER,
        "visitor_id",
        pl.coalesce("shown_at", "at").dt.timestamp("us").alias("seen"),
        pl.col("at").dt.timestamp("us"),
        "type",
        ANSWERED,
        is_nameless().alias("nameless"),
        _latest(frame, lineage).alias("latest"),
        "ask_id",
        WHY,
    ).filter(
        (pl.col("type") == "shown") | _IS_ANSWER,
        pl.col("ask_id").is_not_null(),
        pl.col(WHY).is_null(),
    )
    rows = rows.filter(pl.col("nameless").any().over(group)).sort(*group, ORDER).drop(WHY)
    columns = [rows[name].to_list() for name in rows.columns]
    for _, members in groupby(zip(*columns, strict=True), key=itemgetter(-2, -1)):
        yield [_Row(*member[:-2]) for member in members]


class _Group:
    """The decisions of a group while its rows arrive."""

    def __init__(self, rows: Sequence[_Row], lineage: Lineage) -> None:
        self._rows = rows
        self._lineage = lineage
        self._shown = {row.row: _Shown(row.seen, row.row, row.visitor_id) for row in rows if row.type == "shown"}
        self._coming = sorted(self._shown.values())
        self._open: list[_Shown] = []
        self._closed: set[int] = set()

    def joined(self) -> Iterator[tuple[int, int]]:
        for row in self._rows:
            if row.type == "shown":
                self._arrive(self._shown[row.row])
                continue
            answered = self._latest_open(row) if row.is_nameless else row.answered
            if answered is None:
                continue
            if row.is_nameless:
                yield row.row, answered
            if row.type in FINAL_ANSWERS:
                self._close(self._shown[answered])

    def _arrive(self, shown: _Shown) -> None:
        del self._coming[bisect_left(self._coming, shown)]
        if shown.row not in self._closed:
            insort(self._open, shown)

    def _close(self, shown: _Shown) -> None:
        self._closed.add(shown.row)
        index = bisect_left(self._open, shown)
        if index < len(self._open) and self._open[index] == shown:
            del self._open[index]

    def _latest_open(self, answer: _Row) -> int | None:
        seen_before = self._before(self._open, answer)
        seen_after = reversed(self._open)
        arrives_late = self._before(self._coming, answer)
        visitor_id = self._lineage.visitor(answer.visitor_id, answer.order)
        for shown in chain(seen_before, seen_after, arrives_late):
            is_same = self._lineage.visitor(shown.visitor_id, answer.order) == visitor_id
            if is_same and shown.row not in self._closed:
                return shown.row
        return None

    def _before(self, shown: Sequence[_Shown], answer: _Row) -> Iterator[_Shown]:
        end = bisect_right(shown, answer.at, key=attrgetter("seen"))
        return (shown[index] for index in range(end - 1, -1, -1))
