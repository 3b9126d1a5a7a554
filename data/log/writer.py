"""``write_log``: decisions and events as a log file, whole or not at all, in bounded memory.

A CSV or Parquet file needs all its columns at its beginning, and which features there are is known only at the end.
So rows go to small Parquet files beside the target first; these are put together under their common columns.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import polars as pl

from data.domain import Decision, Event
from data.errors import BadLog, Unavailable
from data.log.cells import as_text
from data.log.feature_columns import is_feature, plain_cells
from data.log.files import format_of, unknown_format
from data.log.items import frame_of
from data.log.schema import COLUMNS, PREFIXES, TIMES

_PART_ROWS: Final = 50_000


def write_log(path: str | Path, batches: Iterable[Sequence[Decision | Event]]) -> int:
    """Writes a log as Parquet, CSV or NDJSON by the file's ending; returns the number of rows.

    The file appears when it is complete; folders are made. ``read_log`` reads back exactly what was written.

    Raises:
        BadLog: the ending says no format.
        Unavailable: the file cannot be written.
    """
    items = chain.from_iterable(batches)
    return write_frames(path, (frame_of(part) for part in iter(lambda: list(islice(items, _PART_ROWS)), [])))


def write_frames(path: str | Path, frames: Iterable[pl.DataFrame]) -> int:
    """Writes log frames, one after the other, as ``write_log`` does."""
    target = Path(path)
    kind = format_of(target)
    if kind is None:
        raise BadLog([unknown_format(target)])
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name[:60]}.", suffix=".parts", dir=target.parent))
        try:
            return _write(target, kind, folder, frames)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except pl.exceptions.ComputeError as error:
        # The writer of Parquet does not say which; both leave a file without its end.
        raise Unavailable(f"{target}: cannot be written: No space left or File too large ({error})") from error
    except OSError as error:
        raise Unavailable(f"{target}: cannot be written: {error}") from error


def _write(target: Path, kind: str, folder: Path, frames: Iterable[pl.DataFrame]) -> int:
    parts: list[Path] = []
    n_rows = 0
    schema: dict[str, pl.DataType] = {}
    for number, frame in enumerate(frames):
        part = folder / f"{number:06d}.parquet"
        frame.write_parquet(part, compression="lz4")
        parts.append(part)
        n_rows += len(frame)
        _widen(schema, frame.schema)
    columns = {**COLUMNS, **{name: schema[name] for name in sorted(schema, key=_rank) if is_feature(name)}}
    whole = folder / f"whole{''.join(target.suffixes[-2:])}"
    _WRITERS[kind](whole, (_conformed(pl.read_parquet(part), columns) for part in parts), columns)
    with whole.open("rb") as written:
        os.fsync(written.fileno())
    whole.replace(target)
    return n_rows


def _rank(name: str) -> tuple[bool, str]:
    return not name.startswith(PREFIXES[0]), name


def _widen(schema: dict[str, pl.DataType], found: Mapping[str, pl.DataType]) -> None:
    for name, dtype in found.items():
        if schema.setdefault(name, dtype) != dtype:
            schema[name] = pl.String()


def _conformed(frame: pl.DataFrame, columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    series = []
    for name, dtype in columns.items():
        if name not in frame.columns:
            series.append(pl.Series(name, [None] * len(frame), dtype=dtype))
        elif frame[name].dtype == dtype:
            series.append(frame[name])
        else:
            series.append(as_text(frame[name]).alias(name))
    return pl.DataFrame(series)


def _write_parquet(path: Path, frames: Iterator[pl.DataFrame], columns: Mapping[str, pl.DataType]) -> None:
    parts = []
    for number, frame in enumerate(frames):
        part = path.parent / f"{number:06d}.parquet"
        frame.write_parquet(part, compression="lz4")
        parts.append(pl.scan_parquet(part, glob=False))
    if not parts:
        pl.DataFrame(schema=dict(columns)).write_parquet(path)
        return
    pl.concat(parts).sink_parquet(path, row_group_size=_PART_ROWS)


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "wb") if path.suffix == ".gz" else path.open("wb")  # type: ignore[return-value]


def _write_csv(path: Path, frames: Iterator[pl.DataFrame], columns: Mapping[str, pl.DataType]) -> None:
    with _open(path) as file:
        file.write(pl.DataFrame(schema=dict.fromkeys(columns, pl.String())).write_csv().encode())
        for frame in frames:
            cells = [plain_cells(column) if is_feature(column.name) else as_text(column) for column in frame]
            text = pl.DataFrame([cell.alias(name) for cell, name in zip(cells, frame.columns, strict=True)])
            file.write(text.write_csv(include_header=False).encode())


def _write_ndjson(path: Path, frames: Iterator[pl.DataFrame], columns: Mapping[str, pl.DataType]) -> None:
    encoder = msgspec.json.Encoder()
    del columns
    with _open(path) as file:
        for frame in frames:
            times = [as_text(frame[name]).alias(name) for name in TIMES]
            rows = frame.with_columns(times).iter_rows(named=True)
            file.write(encoder.encode_lines([_nested(row) for row in rows]))


def _nested(row: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in row.items():
        # "Nothing was asked" is said aloud: a log without any ask_id is taken for one with a misspelled column.
        if value is None and not (name == "ask_id" and row["type"] == "shown"):
            continue
        if is_feature(name):
            group, _, key = name.partition(".")
            nested.setdefault(group, {})[key] = value
        else:
            nested[name] = value
    return nested


_WRITERS: Final = {"parquet": _write_parquet, "csv": _write_csv, "ndjson": _write_ndjson}
