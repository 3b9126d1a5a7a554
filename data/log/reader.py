"""``read_log``: past step sequences from Parquet, CSV and NDJSON files, checked row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from data.clock import to_iso
from data.domain import ANSWER_TYPES, Catalog
from data.errors import BadLog, Fault
from data.log import quarantine
from data.log.feature_columns import names_of, resolved
from data.log.files import find_files
from data.log.mapping import LogMap, load_map
from data.log.quarantine import REASON
from data.log.schema import COLUMNS, RULES, SHOWN_ONLY, UNKNOWN_POLICY
from data.log.table import UNREAD, load, unknown_columns


@dataclass(frozen=True, eq=False)
class Log:
    """A log that was read.

    No row goes missing: ``n_read`` = rows of ``frame`` + rows of ``quarantined`` + ``n_other_journey`` +
    ``n_after_now`` + ``n_ignored`` (rows that a map file leaves out on purpose).

    ``frame``: the good rows of one journey in the order of the files, with the columns of ``data.log.schema`` and
    the feature columns. ``quarantined``: refused rows as text, with ``reason``, ``file`` and ``row``; they are also
    at ``quarantine_path`` (None: there are none, or they could not be written, which ``notes`` says then).
    ``now``: the time as of which the log was read, in microseconds. ``notes``: what a person should know.
    """

    frame: pl.DataFrame
    quarantined: pl.DataFrame
    journey: str
    now: int
    n_read: int
    n_other_journey: int
    n_after_now: int
    n_ignored: int
    notes: tuple[str, ...]
    files: tuple[Path, ...]
    quarantine_path: Path | None


def read_log(
    sources: str | Path | Sequence[str | Path],
    *,
    journey: str | None = None,
    mapping: LogMap | str | Path | None = None,
    now: int | None = None,
    present: int | None = None,
    quarantine_to: str | Path | Literal[False] | None = None,
) -> Log:
    """The rows of one journey in files, globs and folders.

    Args:
        sources: where the log is; formats are told by file endings and may be mixed.
        journey: which journey; may be omitted where the log names at most one.
        mapping: how a log written for another system is to be understood; a map or its file.
        now: the log is read as of this time: rows received later are left out and counted. Default: the latest
            ``received_at`` of a good row.
        present: the real time; rows received more than five minutes after it are refused as impossible. Without it,
            only rows that happened later than they were received are.
        quarantine_to: where refused rows are written; False: nowhere. Default: beside the log.

    Raises:
        BadLog: the log cannot be read, holds nothing, holds several journeys of which none was chosen, or more than
            5 % of its rows break a rule; the quarantine file is written before.
    """
    places = [sources] if isinstance(sources, str | Path) else list(sources)
    files, notes = find_files(places)
    label = ", ".join(str(place) for place in places)
    table, loading = load(files, load_map(mapping) if isinstance(mapping, str | Path) else mapping)
    if loading.n_read == loading.n_ignored:
        raise BadLog([Fault(label, "", "has no rows", "", "at least one event")])
    notes += unknown_columns(loading)
    _refuse_without_asks(table, loading.ours, label)
    table = _judged(_completed(table, journey), present)
    refused = quarantine.as_quarantine(table.filter(pl.col(REASON).is_not_null()), files)
    path, written = _set_apart(refused, places, quarantine_to)
    notes += written
    where = f"they are in {path}" if path is not None else "; ".join(written) or "they were not written anywhere"
    quarantine.refuse_too_many(refused, loading.n_read - loading.n_ignored, label, where)
    good = table.filter(pl.col(REASON).is_null())
    chosen = _choose(good, journey, label)
    until = _latest(good) if now is None else now
    mine = good.filter(pl.col("journey").eq_missing(pl.lit(chosen or None, dtype=pl.String)))
    known = mine.filter(pl.col("received_at").dt.timestamp("us") <= until)
    if known.is_empty():
        raise BadLog([Fault(label, "received_at", f"no row of journey {chosen} was received until {to_iso(until)}")])
    return Log(
        frame=_framed(known, chosen),
        quarantined=refused,
        journey=chosen,
        now=until,
        n_read=loading.n_read,
        n_other_journey=len(good) - len(mine),
        n_after_now=len(mine) - len(known),
        n_ignored=loading.n_ignored,
        notes=tuple(notes),
        files=tuple(files),
        quarantine_path=path,
    )


def unknown_asks(frame: pl.DataFrame, catalog: Catalog) -> dict[str, int]:
    """Asks that a log names and the catalog does not have, with the number of rows that name them.

    They are no faults: an ask may have left the catalog since.
    """
    named = frame.select(
        pl.concat_list(
            pl.concat_list("ask_id"),
            pl.col("eligible").fill_null([]),
            pl.col("withheld").fill_null([]),
        )
        .list.unique()
        .alias("ask_id")
    )
    counts = named.explode("ask_id").drop_nulls().group_by("ask_id").len().sort("ask_id")
    return {ask_id: n for ask_id, n in counts.iter_rows() if ask_id not in catalog.position}


def _refuse_without_asks(table: pl.DataFrame, found: set[str], label: str) -> None:
    if "ask_id" in found or not table["type"].is_in(["shown", *ANSWER_TYPES]).any():
        return
    problem = "there are rows of asks, but no column says which ask"
    raise BadLog([Fault(label, "ask_id", problem, "", "a column ask_id, or a map file (--map) that names it")])


def _completed(table: pl.DataFrame, journey: str | None) -> pl.DataFrame:
    """The table with defaults in place of what rows leave out."""
    is_shown = (pl.col("type") == "shown").fill_null(False)
    defaults: dict[str, pl.Expr] = {
        "policy": pl.col("policy").fill_null(UNKNOWN_POLICY),
        "channel": pl.col("channel").fill_null("web"),
        "learn": pl.col("learn").fill_null(True),
        "withheld": pl.col("withheld").fill_null([]),
    }
    was_unread = UNREAD + "received_at" in table.columns
    is_silent = pl.col(UNREAD + "received_at").is_null() if was_unread else pl.lit(True)
    table = table.with_columns(
        pl.when(is_silent).then(pl.col("received_at").fill_null(pl.col("at"))).otherwise("received_at"),
        *(pl.when(is_shown).then(defaults.get(name, pl.col(name))).alias(name) for name in SHOWN_ONLY),
    )
    named = table.filter(RULES["journey_is_a_name"].holds)["journey"].drop_nulls().unique()
    only = named[0] if len(named) == 1 else journey
    if len(named) > 1 or only is None:
        return table
    return table.with_columns(pl.col("journey").fill_null(only))


def _judged(table: pl.DataFrame, present: int | None) -> pl.DataFrame:
    """The table with the reason of every row that is refused."""
    table = quarantine.with_reasons(table)
    good = table.filter(pl.col(REASON).is_null())["journey"]
    if good.null_count() and good.n_unique() > 1:
        reason = pl.lit("journey is missing, and the log is of several journeys")
        is_nameless = pl.col(REASON).is_null() & pl.col("journey").is_null()
        table = table.with_columns(pl.when(is_nameless).then(reason).otherwise(REASON).alias(REASON))
    return quarantine.with_clashes(table, present)


def _set_apart(
    refused: pl.DataFrame, places: Sequence[str | Path], target: str | Path | Literal[False] | None
) -> tuple[Path | None, list[str]]:
    if target is False:
        return None, []
    path = quarantine.place_of(places) if target is None else Path(target)
    if refused.is_empty():
        stale = f"{path} is of an earlier reading: no row is in quarantine now"
        return None, [stale] if path.exists() else []
    problem = quarantine.write(refused, path)
    return (path, []) if problem is None else (None, [problem])


def _choose(good: pl.DataFrame, journey: str | None, label: str) -> str:
    names = sorted(good["journey"].drop_nulls().unique())
    if journey is None:
        if len(names) > 1:
            raise BadLog(
                [Fault(label, "journey", "is of several journeys", ", ".join(names), "choose one (--journey)")]
            )
        return names[0] if names else ""
    if names and journey not in names:
        raise BadLog([Fault(label, "journey", "has no such row", journey, ", ".join(names))])
    return journey


def _latest(good: pl.DataFrame) -> int:
    return int(good["received_at"].dt.timestamp("us").max() or 0)  # type: ignore[arg-type]


def _framed(rows: pl.DataFrame, journey: str) -> pl.DataFrame:
    features = [resolved(rows, name) for name in names_of(rows.columns)]
    return rows.select(*COLUMNS).with_columns(pl.lit(journey).alias("journey"), *features)
