"""Finding the files of a log, and reading each in pieces of raw columns."""

from __future__ import annotations

import csv
import glob
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, cast

import msgspec
import polars as pl

from data.errors import BadLog, Fault
from data.log.cells import Column

ENDINGS: Final = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
}
QUARANTINE: Final = ".quarantine.parquet"

_ALLOWED: Final = ".parquet .csv .ndjson .jsonl, the last three also with .gz"
_PIECE_ROWS: Final = 50_000
_DELIMITERS: Final = (",", ";", "\t")
_SHOWN_TEXT: Final = 500


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that could not be taken apart."""

    row: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a file: columns as they are, the rows' numbers in the file (from 1), and rows beyond reading.

    ``is_plain``: every cell is text that may mean something else, as in CSV.
    """

    columns: dict[str, Column]
    rows: Sequence[int]
    broken: Sequence[Broken] = field(default=())
    is_plain: bool = False


def format_of(path: Path) -> str | None:
    """``parquet``, ``csv`` or ``ndjson`` by the file's ending.

    Example:
        >>> format_of(Path("log.jsonl.gz")), format_of(Path("log.xlsx"))
        ('ndjson', None)
    """
    name = path.name.lower()
    if name.endswith(".gz"):
        inner = ENDINGS.get(Path(name.removesuffix(".gz")).suffix)
        return None if inner == "parquet" else inner
    return ENDINGS.get(Path(name).suffix)


def unknown_format(path: Path) -> Fault:
    """The fault of a file whose ending says no format."""
    return Fault(str(path), "", "is of no known format", path.suffix or "no ending", _ALLOWED)


def find_files(sources: Sequence[str | Path]) -> tuple[list[Path], list[str]]:
    """The log files of files, globs and folders (searched with their folders), and notes on files left out.

    Raises:
        BadLog: a source does not exist, holds no log file, or is of an unknown format.
    """
    faults: list[Fault] = []
    notes: list[str] = []
    found: dict[Path, Path] = {}
    for source in sources:
        paths = _expand(source, faults, notes)
        if len(sources) > 1 or len(paths) > 1:
            paths = _without_quarantine(paths, notes)
        for path in paths:
            found.setdefault(path.resolve(), path)
    if not sources:
        faults.append(Fault("log", "", "no file was given", "", "a file, a glob or a folder"))
    if faults:
        raise BadLog(faults)
    return sorted(found.values()), notes


def is_pattern(source: str | Path) -> bool:
    """Whether a source is a glob."""
    return glob.has_magic(str(source)) and not Path(source).exists()


def pieces(path: Path) -> Iterator[Piece]:
    """The rows of a file, piece by piece.

    Raises:
        BadLog: the file cannot be read at all.
    """
    read = {"parquet": _parquet, "csv": _csv, "ndjson": _ndjson}[format_of(path) or "parquet"]
    try:
        yield from read(path)
    except (OSError, EOFError, zlib.error) as error:
        raise BadLog([Fault(str(path), "", f"cannot be read: {error}")]) from error
    except pl.exceptions.PolarsError as error:
        raise BadLog([Fault(str(path), "", f"is damaged or no Parquet file: {error}")]) from error


def _expand(source: str | Path, faults: list[Fault], notes: list[str]) -> list[Path]:
    path = Path(source)
    if is_pattern(source):
        names = glob.glob(str(source), recursive=True)  # noqa: PTH207 - Path.glob refuses absolute patterns
        paths = [Path(name) for name in sorted(names) if Path(name).is_file()]
        where = "no log file matches it"
    elif path.is_dir():
        paths = sorted(inner for inner in path.rglob("*") if inner.is_file() and not _is_hidden(inner, path))
        where = "no log file is in it"
    elif path.is_file():
        if format_of(path) is None:
            faults.append(unknown_format(path))
        return [path]
    else:
        faults.append(Fault(str(source), "", "does not exist", "", "a file, a glob or a folder"))
        return []
    logs = [inner for inner in paths if format_of(inner) is not None]
    notes += [f"{inner} was left out: its ending is none of {_ALLOWED}" for inner in paths if inner not in logs]
    if not [inner for inner in logs if not _is_quarantine(inner)]:
        faults.append(Fault(str(source), "", where, "", f"files ending in {_ALLOWED}"))
        return []
    return _without_quarantine(logs, notes)


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)


def _is_quarantine(path: Path) -> bool:
    return path.name.endswith(QUARANTINE)


def _without_quarantine(paths: list[Path], notes: list[str]) -> list[Path]:
    notes += [f"{path} was left out: it holds rows refused before" for path in paths if _is_quarantine(path)]
    return [path for path in paths if not _is_quarantine(path)]


def _parquet(path: Path) -> Iterator[Piece]:
    frame = pl.read_parquet(path, glob=False, hive_partitioning=False)
    yield Piece({column.name: column for column in frame}, range(1, len(frame) + 1))


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if path.name.lower().endswith(".gz") else path.open("rb")


def _csv(path: Path) -> Iterator[Piece]:
    with _open(path) as raw, io.TextIOWrapper(raw, "utf-8-sig", errors="surrogateescape", newline="") as text:
        first = text.readline()
        delimiter = "," if "," in first else max(_DELIMITERS, key=first.count)
        lines = csv.reader(_resumed(first, text), delimiter=delimiter)
        header = next(lines, None)
        if header is None:
            return
        _refuse_twins(path, header)
        yield from _csv_pieces(header, lines)


def _resumed(first: str, text: io.TextIOWrapper) -> Iterator[str]:
    if first:
        yield first
        yield from text


def _refuse_twins(path: Path, header: list[str]) -> None:
    twins = sorted({name for name in header if header.count(name) > 1})
    if twins:
        raise BadLog([Fault(str(path), name, "is a column twice", "", "every column once") for name in twins])


def _csv_pieces(header: list[str], lines: Iterator[list[str]]) -> Iterator[Piece]:
    cells: list[list[str]] = []
    rows: list[int] = []
    broken: list[Broken] = []
    for number, line in enumerate(_records(lines), start=1):
        reason = line if isinstance(line, str) else _csv_fault(header, line)
        if reason is not None:
            text = "" if isinstance(line, str) else _printable(",".join(line))
            broken.append(Broken(number, text[:_SHOWN_TEXT], reason))
        else:
            cells.append(line)  # type: ignore[arg-type]
            rows.append(number)
        if len(rows) + len(broken) >= _PIECE_ROWS:
            yield _csv_piece(header, cells, rows, broken)
            cells, rows, broken = [], [], []
    yield _csv_piece(header, cells, rows, broken)


def _records(lines: Iterator[list[str]]) -> Iterator[list[str] | str]:
    """The rows that are not blank; the error's text for one that the CSV reader refuses."""
    while True:
        try:
            line = next(lines)
        except StopIteration:
            return
        except csv.Error as error:
            yield f"is no CSV: {error}"
            continue
        if line:
            yield line


def _csv_fault(header: list[str], line: list[str]) -> str | None:
    if len(line) != len(header):
        return f"the row has {len(line)} fields; allowed: {len(header)}, as in the header"
    try:
        "".join(line).encode()
    except UnicodeEncodeError:
        return "the row is not UTF-8"
    return None


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _csv_piece(header: list[str], cells: list[list[str]], rows: list[int], broken: list[Broken]) -> Piece:
    columns = zip(*cells, strict=True) if cells else ([] for _ in header)
    named = dict(zip(header, columns, strict=True))
    series: dict[str, Column] = {name: _nonempty(list(values)) for name, values in named.items()}
    return Piece(series, rows, tuple(broken), is_plain=True)


def _nonempty(values: list[str]) -> pl.Series:
    cells = pl.Series(values, dtype=pl.String)
    return cells.set(cells == "", None)


def _ndjson(path: Path) -> Iterator[Piece]:
    decoder = msgspec.json.Decoder(dict[str, Any])
    objects: list[dict[str, Any]] = []
    rows: list[int] = []
    broken: list[Broken] = []
    with _open(path) as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                objects.append(_decode(line.removeprefix(b"\xef\xbb\xbf"), decoder))
                rows.append(number)
            except (msgspec.MsgspecError, ValueError, RecursionError) as error:
                text = line.decode("utf-8", "backslashreplace").strip()[:_SHOWN_TEXT]
                broken.append(Broken(number, text, f"the line is no JSON object: {error}"))
            if len(rows) + len(broken) >= _PIECE_ROWS:
                yield _ndjson_piece(objects, rows, broken)
                objects, rows, broken = [], [], []
    yield _ndjson_piece(objects, rows, broken)


def _decode(line: bytes, decoder: msgspec.json.Decoder[dict[str, Any]]) -> dict[str, Any]:
    try:
        return decoder.decode(line)
    except msgspec.DecodeError:
        # NaN and numbers beyond a float are no JSON, but Python and others write them: rules judge such cells.
        decoded = json.loads(line)
        if not isinstance(decoded, dict):
            raise
        json.dumps(decoded, ensure_ascii=False).encode()
        return decoded


def _ndjson_piece(objects: list[dict[str, Any]], rows: list[int], broken: list[Broken]) -> Piece:
    names = dict.fromkeys(name for each in objects for name in each)
    columns: dict[str, Column] = {name: [each.get(name) for each in objects] for name in names}
    return Piece(columns, rows, tuple(broken))
