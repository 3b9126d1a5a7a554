"""From the raw pieces of files to one table: our columns typed, cells that cannot be read kept beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import polars as pl

from data.errors import BadLog, Fault
from data.log.cells import (
    Cells,
    Column,
    as_series,
    read_booleans,
    read_lists,
    read_numbers,
    read_objects,
    read_text,
    read_time_cells,
)
from data.log.feature_columns import by_kind, is_feature
from data.log.files import Piece, pieces
from data.log.mapping import LogMap, ignored, mapped, missing_sources
from data.log.schema import COLUMNS, LISTS, PREFIXES, REQUIRED, TIMES

FILE, ROW, LINE, BROKEN = "#file", "#row", "#line", "#broken"
"""Hidden columns: which file, which row of it, and the text and fault of a row that could not be taken apart."""
UNREAD: Final = "#raw."
"""Begins the names of hidden columns that hold the text of cells which could not be read."""

_OBJECTS: Final = tuple(prefix.removesuffix(".") for prefix in PREFIXES)
_HIDDEN: Final[dict[str, pl.DataType]] = {
    FILE: pl.Int32(),
    ROW: pl.Int64(),
    LINE: pl.String(),
    BROKEN: pl.String(),
}


@dataclass(slots=True)
class Loading:
    """What is learned of the files while they are read.

    ``theirs``: their columns; ``ours``: which of ours were found; ``absent``: columns of theirs that the map names
    and no file had so far.
    """

    n_read: int = 0
    n_ignored: int = 0
    theirs: set[str] = field(default_factory=set)
    ours: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)


def load(files: Sequence[Path], mapping: LogMap | None) -> tuple[pl.DataFrame, Loading]:
    """All rows of the files: ``COLUMNS``, hidden columns, and features by kind.

    Raises:
        BadLog: a file cannot be read, or lacks columns that are required.
    """
    loading = Loading(absent=set(mapping.columns.values()) if mapping else set())
    tables = [_empty()]
    for number, path in enumerate(files):
        tables += _load_file(number, path, mapping, loading)
    if loading.n_read:
        file, found = (str(files[0]) if len(files) == 1 else f"{len(files)} files"), ", ".join(sorted(loading.theirs))
        problem = "is named in the map file, but no column"
        loading.faults += [Fault(file, name, problem, "", found) for name in sorted(loading.absent)]
    if loading.faults:
        raise BadLog(loading.faults)
    return pl.concat(tables, how="diagonal"), loading


def unknown_columns(loading: Loading) -> list[str]:
    """A note on columns that mean nothing to us, with guesses what was meant; none where there are none."""
    names = ", ".join(_with_guess(name) for name in sorted(loading.unknown))
    return [f"columns not used: {names}"] if names else []


def _with_guess(name: str) -> str:
    close = get_close_matches(name.lower(), [*COLUMNS, *_OBJECTS], n=1, cutoff=0.75)
    return f"{name} (did you mean {close[0]}?)" if close else name or "(without a name)"


def _empty() -> pl.DataFrame:
    return pl.DataFrame(schema={**COLUMNS, **_HIDDEN})


def _load_file(number: int, path: Path, mapping: LogMap | None, loading: Loading) -> list[pl.DataFrame]:
    tables: list[pl.DataFrame] = []
    theirs: set[str] = set()
    ours: set[str] = set()
    n_before = loading.n_read
    for piece in pieces(path):
        loading.n_read += len(piece.rows) + len(piece.broken)
        theirs |= set(piece.columns)
        if mapping is not None:
            loading.absent &= missing_sources(mapping, piece.columns)
        table = _table(piece, mapping, ours, loading)
        tables.append(table.with_columns(pl.lit(number, dtype=pl.Int32).alias(FILE)))
        tables.append(_broken_rows(piece, number))
    loading.theirs |= theirs
    loading.ours |= ours
    if loading.n_read > n_before:
        loading.faults += _column_faults(path, theirs, ours)
    return tables


def _column_faults(path: Path, theirs: set[str], ours: set[str]) -> list[Fault]:
    missing = [name for name in REQUIRED if name not in ours]
    if not missing:
        return []
    problem = f"required column{'s' if len(missing) > 1 else ''} missing"
    found = ", ".join(sorted(theirs)) or "none"
    hint = "rename columns or set constants with a map file (--map)"
    return [Fault(str(path), ", ".join(missing), problem, f"the columns {found}", hint)]


def _table(piece: Piece, mapping: LogMap | None, ours: set[str], loading: Loading) -> pl.DataFrame:
    columns: dict[str, Column] = dict(piece.columns)
    n_rows = len(piece.rows)
    plain: set[str] = set()
    skipped = None
    if mapping is not None:
        skipped = ignored(mapping, columns, n_rows)
        columns, plain = mapped(mapping, columns, n_rows)
    series: dict[str, pl.Series] = {ROW: pl.Series(piece.rows, dtype=pl.Int64)}
    for name in _OBJECTS:
        if name in columns:
            ours.add(name)
            _unnest(name, columns, series, plain)
    for name, column in columns.items():
        if name in COLUMNS:
            cells = _read(name, as_series(column), mapping or LogMap())
            series[name] = cells.values
            if cells.unread.null_count() < n_rows:
                series[UNREAD + name] = cells.unread
        elif is_feature(name):
            kinds = by_kind(name, column, is_plain=piece.is_plain or name in plain)
            for kind, cells_of_kind in kinds.items():
                series[kind] = _filled(series.get(kind), cells_of_kind)
        else:
            loading.unknown.add(name)
            continue
        ours.add(name)
    table = pl.DataFrame(series)
    if skipped is None or not skipped.any():
        return table
    loading.n_ignored += int(skipped.sum())
    return table.filter(~skipped)


def _filled(cells: pl.Series | None, others: pl.Series) -> pl.Series:
    return others if cells is None else others.zip_with(others.is_not_null(), cells)


def _unnest(name: str, columns: dict[str, Column], series: dict[str, pl.Series], replaced: set[str]) -> None:
    """Takes a column of objects apart into one column per feature, save those that a map has replaced."""
    column = columns.pop(name)
    if isinstance(column, pl.Series) and isinstance(column.dtype, pl.Struct):
        inner: dict[str, Column] = {f.name: column.struct.field(f.name) for f in column.dtype.fields}
    else:
        objects, unread = read_objects(column)
        if unread.null_count() < len(unread):
            series[UNREAD + name] = unread
        keys = dict.fromkeys(key for each in objects if each for key in each)
        inner = {key: _cells_of(objects, key) for key in keys}
    for key, cells in inner.items():
        feature = f"{name}.{key}"
        if feature in replaced:
            continue
        for kind, cells_of_kind in by_kind(feature, cells, is_plain=False).items():
            series[kind] = _filled(series.get(kind), cells_of_kind)


def _cells_of(objects: list[dict[str, Any] | None], key: str) -> list[Any]:
    return [None if each is None else each.get(key) for each in objects]


def _read(name: str, column: pl.Series, mapping: LogMap) -> Cells:
    if name in TIMES:
        return read_time_cells(column, mapping.time_rule(name))
    if name in LISTS:
        return read_lists(column, mapping.lists.get(name, "|"), mapping.item_names(name))
    if COLUMNS[name] == pl.Float64:
        return read_numbers(column)
    if COLUMNS[name] == pl.Boolean:
        return read_booleans(column)
    return read_text(column)


def _broken_rows(piece: Piece, number: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            FILE: [number] * len(piece.broken),
            ROW: [each.row for each in piece.broken],
            LINE: [each.text for each in piece.broken],
            BROKEN: [each.reason for each in piece.broken],
        },
        schema=_HIDDEN,
    )
