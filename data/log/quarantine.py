"""Rows that break a rule: found, given a reason each, and written beside the log.

The quarantine file holds the rows as text, with ``reason``, ``file`` and ``row`` (from 1; the line in NDJSON, the
record without the header in CSV) and, for rows that could not even be taken apart, ``line``. Corrected, it can be
read as a log again. Its place is the log's path with ``.quarantine.parquet`` added: ``log.csv`` goes to
``log.csv.quarantine.parquet``, the folder ``logs`` to ``logs.quarantine.parquet`` beside it, the glob ``logs/*.csv``
to ``logs/log.quarantine.parquet``. Reading a folder or glob leaves such files out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import dataframely as dy
import polars as pl

from data.clock import to_iso
from data.errors import BadLog, Fault
from data.log.cells import as_text
from data.log.feature_columns import names_of, resolved
from data.log.files import QUARANTINE, is_pattern
from data.log.schema import AHEAD, COLUMNS, LISTS, PREFIXES, RULES, SHOWN_ONLY, TIMES, LogSchema
from data.log.table import BROKEN, FILE, LINE, ROW, UNREAD

MAX_SHARE: Final = 0.05
"""A log with a larger share of rows in quarantine is refused."""

REASON: Final = "#reason"
"""Hidden column: why a row is refused; null on good rows."""

_SHOWN_REASONS: Final = 10
_SHOWN_TEXT: Final = 80
_VALUE: Final = r"\bis (no [\w ]+:)?.*?(;|$)"
_DECISION: Final = ("received_at", "at", "visitor_id", "ask_id", "decision_id")
_OBJECTS: Final = tuple(prefix.removesuffix(".") for prefix in PREFIXES)


class _NumberedLog(LogSchema):
    index = dy.UInt32()


def with_reasons(table: pl.DataFrame) -> pl.DataFrame:
    """The table with ``REASON``: everything that is wrong with each row by itself."""
    unread = [_unread(name) for name in (*COLUMNS, *_OBJECTS) if UNREAD + name in table.columns]
    reasons = pl.concat_str(BROKEN, *unread, separator="; ", ignore_nulls=True)
    said = table.select(pl.when(reasons != "").then(reasons).alias(REASON)).to_series()
    broken_rules = _broken_rules(table)
    if broken_rules is not None:
        both = pl.concat_str(pl.col("cells"), pl.col("rules"), separator="; ", ignore_nulls=True)
        joined = pl.DataFrame({"cells": said, "rules": broken_rules}).select(pl.when(both != "").then(both))
        said = joined.to_series().alias(REASON)
    return table.with_columns(said)


def with_clashes(table: pl.DataFrame, present: int | None) -> pl.DataFrame:
    """Adds the reasons that only other rows or the clock can give, on rows that are good by themselves."""
    reason = pl.format("decision_id is {}; it names another decision already", pl.col("decision_id"))
    table = table.with_columns(pl.when(_second_uses(table)).then(reason).otherwise(REASON).alias(REASON))
    if present is None:
        return table
    is_future = pl.col("received_at").dt.timestamp("us") > present + AHEAD
    reason = pl.format(f"received_at is {{}}, in the future: it is {to_iso(present)} now", pl.col("received_at"))
    return table.with_columns(
        pl.when(is_future & pl.col(REASON).is_null()).then(reason).otherwise(REASON).alias(REASON)
    )


def as_quarantine(refused: pl.DataFrame, files: Sequence[Path]) -> pl.DataFrame:
    """Refused rows as they are shown and written: ``reason``, ``file``, ``row``, then every cell as text."""
    names = pl.Series([str(path) for path in files], dtype=pl.String)
    columns = [
        refused[REASON].alias("reason"),
        names.gather(refused[FILE]).alias("file"),
        refused[ROW].alias("row"),
        refused[LINE].alias("line"),
    ]
    for name in (*COLUMNS, *(name for name in _OBJECTS if UNREAD + name in refused.columns)):
        text = as_text(refused[name]) if name in COLUMNS else refused[UNREAD + name]
        if UNREAD + name in refused.columns:
            raw = refused[UNREAD + name]
            text = raw.zip_with(raw.is_not_null(), text)
        columns.append(text.alias(name))
    columns += [as_text(resolved(refused, name)).alias(name) for name in names_of(refused.columns)]
    return pl.DataFrame(columns).sort("file", "row")


def place_of(sources: Sequence[str | Path]) -> Path:
    """Where the quarantine of a log goes.

    Example:
        >>> place_of(["var/log.csv"]).as_posix(), place_of(["logs/2026-*/*.csv"]).as_posix()
        ('var/log.csv.quarantine.parquet', 'logs/log.quarantine.parquet')
    """
    source = Path(sources[0])
    if is_pattern(sources[0]):
        fixed = Path()
        for part in source.parts:
            if any(mark in part for mark in "*?["):
                break
            fixed /= part
        return fixed / f"log{QUARANTINE}"
    if source.name in ("", ".."):
        return source / f"log{QUARANTINE}"
    return source.with_name(source.name + QUARANTINE)


def write(quarantined: pl.DataFrame, path: Path) -> str | None:
    """Writes the quarantine file; a note on what went wrong where it cannot be written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        quarantined.write_parquet(temporary)
        temporary.replace(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        with suppress(OSError):
            temporary.unlink()
        return f"the quarantine could not be written to {path}: {error}"
    return None


def refuse_too_many(quarantined: pl.DataFrame, n_rows: int, log: str, where: str) -> None:
    """Raises when more than ``MAX_SHARE`` of the rows are in quarantine.

    Raises:
        BadLog: says the most frequent reasons, with one row each.
    """
    n = len(quarantined)
    if n <= MAX_SHARE * n_rows:
        return
    kinds = quarantined.with_columns(kind=pl.col("reason").str.replace_all(_VALUE, "is $1 ..."))
    groups = kinds.group_by("kind", maintain_order=True).agg(
        n=pl.len(), reason=pl.first("reason"), file=pl.first("file"), row=pl.first("row")
    )
    top = groups.sort("n", descending=True, maintain_order=True)
    faults = [
        Fault(
            log,
            "",
            f"{n} of {n_rows} rows ({n / n_rows:.1%}) break the schema; {where}",
            "",
            f"at most {MAX_SHARE:.0%}",
        )
    ]
    faults += [
        Fault(str(row["file"]), f"row {row['row']}", f"{row['reason']} ({row['n']} rows like this)")
        for row in top.head(_SHOWN_REASONS).iter_rows(named=True)
    ]
    raise BadLog(faults)


def _applies(name: str) -> pl.Expr:
    if name not in SHOWN_ONLY:
        return pl.lit(True)
    return (pl.col("type") == "shown").fill_null(False)


def _unread(name: str) -> pl.Expr:
    raw = pl.col(UNREAD + name)
    said = pl.format(f"{name} is no {_wanted(name)}: {{}}", raw.str.slice(0, _SHOWN_TEXT))
    if name in TIMES:
        is_number = raw.str.contains(r"^-?\d+(\.\d+)?$")
        hint = (
            pl.when(is_number).then(pl.lit(" (numbers need a map file: times: {at: epoch_ms})")).otherwise(pl.lit(""))
        )
        said = pl.concat_str(said, pl.lit("; allowed: ISO 8601, like 2026-11-21T12:00:00Z"), hint)
    return pl.when(raw.is_not_null() & _applies(name)).then(said)


def _wanted(name: str) -> str:
    if name in _OBJECTS:
        return "JSON object"
    if name in TIMES:
        return "time"
    if name in LISTS:
        return "list of names"
    kinds = {pl.Float64(): "number", pl.Boolean(): "true or false"}
    return kinds.get(COLUMNS[name], "text")


def _broken_rules(table: pl.DataFrame) -> pl.Series | None:
    """By row, which rules of the schema it breaks, in words; None when no row breaks any."""
    taken_apart = table.with_row_index("index").filter(pl.col(LINE).is_null())
    _, failure = _NumberedLog.filter(taken_apart.select("index", *COLUMNS))
    rules = [rule for rule in failure.counts() if rule in RULES]
    if not rules:
        return None
    found = failure.details().join(
        taken_apart.select("index", pl.col(f"^{UNREAD}.*$")), on="index", how="left", maintain_order="left"
    )
    words = []
    for rule in rules:
        column, reason = RULES[rule].column, RULES[rule].reason
        is_broken = pl.col(rule) == "invalid"
        if UNREAD + column in found.columns:
            is_broken &= pl.col(UNREAD + column).is_null()
        words.append(pl.when(is_broken).then(reason.fill_null(rule)))
    said = found.select("index", rules=pl.concat_str(words, separator="; ", ignore_nulls=True))
    empty = pl.Series([None], dtype=pl.String).new_from_index(0, len(table))
    return empty.scatter(said["index"], said["rules"])


def _second_uses(table: pl.DataFrame) -> pl.Series:
    """Whether a row's ``decision_id`` was used before, by arrival, for another decision."""
    named = (
        table.select(REASON, "type", *_DECISION)
        .with_row_index("index")
        .filter(pl.col(REASON).is_null(), pl.col("type") == "shown", pl.col("decision_id").is_not_null())
    )
    again = named.filter(pl.col("decision_id").is_duplicated()).sort(*_DECISION)
    firsts = again.unique("decision_id", keep="first", maintain_order=True)
    both = again.join(firsts, on="decision_id", suffix=" of first")
    is_other = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(f"{name} of first")) for name in ("at", "visitor_id", "ask_id")
    )
    mask = pl.Series([False]).new_from_index(0, len(table))
    return mask.scatter(both.filter(is_other)["index"], True)
