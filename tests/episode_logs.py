"""Small journeys written by hand: one visitor a line, times in minutes."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from data.arrivals import Arrivals, arrange
from data.clock import from_datetime
from data.domain import Ask, Catalog
from data.episodes import Episodes, episodes_of
from data.log.schema import COLUMNS, TIME

START = datetime(2026, 3, 1, tzinfo=UTC)
CATALOG = Catalog(
    journey="shop",
    goal="buy",
    baseline=("quiz", "save", "buy"),
    asks=(
        Ask("quiz", "A quiz", "quiz", effort=2),
        Ask("save", "Keep it", "save", effort=4),
        Ask("sample", "A sample", "small_purchase", effort=6, cost=0.5),
        Ask("buy", "Buy", "purchase", effort=8, cost=2.0),
    ),
    conversion_window_s=100 * 60,
    session_gap_s=30 * 60,
)
BY_VALUE = replace(CATALOG, reward="value")

Row = dict[str, Any]


def minute(n: float) -> datetime:
    """The moment that many minutes after the start of every hand-made log."""
    return START + timedelta(minutes=n)


def row(type_: str, at: float, visitor: str = "v", /, **fields: Any) -> Row:
    """One row of a log; ``received_at`` and ``shown_at`` in minutes like ``at``."""
    for name in ("received_at", "shown_at"):
        if fields.get(name) is not None:
            fields[name] = minute(fields[name])
    return {
        "visitor_id": visitor,
        "type": type_,
        "at": minute(at),
        "received_at": minute(at),
        "journey": "shop",
        **fields,
    }


def shown(at: float, ask_id: str | None, visitor: str = "v", /, **fields: Any) -> Row:
    """A decision; its id is the visitor, the ask and the minute."""
    usual = {"decision_id": f"{visitor}-{ask_id}-{at:g}", "policy": "unknown", "channel": "web", "learn": True}
    return row("shown", at, visitor, **{"ask_id": ask_id, **usual, **fields})


def accepted(at: float, ask_id: str, visitor: str = "v", /, **fields: Any) -> Row:
    """An acceptance, which answers the latest open show of the same visitor and ask."""
    return row("accepted", at, visitor, ask_id=ask_id, **fields)


def declined(at: float, ask_id: str, visitor: str = "v", /, **fields: Any) -> Row:
    """A decline, joined like an acceptance."""
    return row("declined", at, visitor, ask_id=ask_id, **fields)


def log_of(rows: Iterable[Row]) -> pl.DataFrame:
    """The rows as a log frame; keys that are no column of the schema become columns of their own."""
    found = list(rows)
    extra = sorted({name for fields in found for name in fields} - set(COLUMNS))
    schema = {**COLUMNS, **{name: _type(name, found) for name in extra}}
    return pl.DataFrame(found, schema=schema, orient="row") if found else pl.DataFrame(schema=schema)


def arrivals_of(rows: Iterable[Row], catalog: Catalog = CATALOG) -> Arrivals:
    """The rows, arranged."""
    return arrange(log_of(rows), catalog)


def episodes_in(rows: Iterable[Row], catalog: Catalog = CATALOG, *, now: float = 1_000) -> Episodes:
    """The episodes of the rows as of a minute."""
    return episodes_of(arrivals_of(rows, catalog), catalog, now=from_datetime(minute(now)))


def table_of(rows: Iterable[Row], *columns: str, catalog: Catalog = CATALOG, now: float = 1_000) -> list[Any]:
    """These columns of the episodes, times in minutes; bare values for one column, else tuples."""
    return _plain(episodes_in(rows, catalog, now=now).episodes, columns)


def steps_of(rows: Iterable[Row], *columns: str, catalog: Catalog = CATALOG, now: float = 1_000) -> list[Any]:
    """These columns of the steps, times in minutes; bare values for one column, else tuples."""
    return _plain(episodes_in(rows, catalog, now=now).steps, columns)


def shuffled(rows: list[Row], seed: int) -> list[Row]:
    """The rows in another order."""
    return random.Random(seed).sample(rows, len(rows))


def _type(name: str, rows: list[Row]) -> Any:
    is_number = any(isinstance(fields.get(name), int | float) for fields in rows)
    return pl.Float64 if is_number else pl.String


def _plain(frame: pl.DataFrame, columns: tuple[str, ...]) -> list[Any]:
    minutes = (pl.col(TIME) - START).dt.total_seconds() / 60
    rows = frame.select(columns).with_columns(minutes).rows()
    return [values[0] for values in rows] if len(columns) == 1 else rows
