"""Feature columns: ``context.<name>`` and ``answers.<name>``, each text, number or boolean as found.

While a log is read, each feature is kept apart by kind: numbers, booleans, texts, and *plain* cells of CSV files,
which are text that may mean any of them. ``resolved`` decides when all has been read: one kind keeps its type, mixed
kinds become text.

A plain cell is read as JSON where it is a number, ``true``, ``false`` or text in double quotes, else as the text it
is. So ``dry`` is text, ``5`` a number, and the text 5 is the cell ``"5"``, quotes included.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import msgspec
import polars as pl

from data.log.cells import Column, as_series, as_text, float_of, number_text, text_of
from data.log.schema import PREFIXES

NUMBER, BOOLEAN, TEXT, PLAIN = "#n.", "#b.", "#s.", "#p."
_KINDS: Final = (NUMBER, BOOLEAN, TEXT, PLAIN)

_IS_NUMBER: Final = r"^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$"
_IS_NAN: Final = r"^(?i:nan)$"
_IS_BOOLEAN: Final = r"^(?i:true|false)$"
_LOOKS_TYPED: Final = r'^"|^$|' + "|".join((_IS_NUMBER, _IS_NAN, _IS_BOOLEAN))


def is_feature(name: str) -> bool:
    """Whether a column holds a feature.

    Example:
        >>> is_feature("context.device"), is_feature("channel")
        (True, False)
    """
    return name.startswith(PREFIXES)


def by_kind(name: str, column: Column, *, is_plain: bool) -> dict[str, pl.Series]:
    """A feature's cells, kept apart by kind; cells that are no finite number count as missing."""
    if is_plain:
        return {PLAIN + name: as_text(as_series(column))}
    if isinstance(column, list):
        return _mixed(name, column)
    dtype = column.dtype
    if dtype == pl.Boolean:
        return {BOOLEAN + name: column}
    if dtype.is_numeric():
        return {NUMBER + name: _finite(column.cast(pl.Float64, strict=False))}
    if dtype.is_nested():
        return {TEXT + name: pl.Series([text_of(cell) for cell in column.to_list()], dtype=pl.String)}
    return {TEXT + name: as_text(column)}


def names_of(columns: Iterable[str]) -> list[str]:
    """The features among columns made by ``by_kind``: context first, then answers, each in alphabetical order."""
    names = {column[len(kind) :] for column in columns for kind in _KINDS if column.startswith(kind)}
    return sorted(names, key=lambda name: (not name.startswith(PREFIXES[0]), name))


def resolved(table: pl.DataFrame, name: str) -> pl.Series:
    """The feature's values: numbers, booleans or text if all cells are of that kind, else text."""
    parts = {kind: table[kind + name] for kind in _KINDS if kind + name in table.columns}
    kinds = {kind for kind, part in parts.items() if kind != PLAIN and part.null_count() < len(part)}
    plain = parts.get(PLAIN)
    if plain is not None and plain.null_count() < len(plain):
        kinds.add(_kind_of(plain))
    if kinds == {NUMBER}:
        return _coalesced(name, parts, NUMBER, lambda cells: _finite(cells.cast(pl.Float64, strict=False)))
    if kinds == {BOOLEAN}:
        return _coalesced(name, parts, BOOLEAN, lambda cells: cells.str.to_lowercase() == "true")
    text = pl.Series(name, [None] * len(table), dtype=pl.String)
    for kind, part in parts.items():
        text = text.zip_with(text.is_not_null(), _unquoted(part) if kind == PLAIN else _as_feature_text(part))
    return text.rename(name)


def typed(name: str, values: list[Any]) -> pl.Series:
    """A feature column from objects."""
    return resolved(pl.DataFrame(by_kind(name, values, is_plain=False)), name)


def plain_cells(feature: pl.Series) -> pl.Series:
    """A feature's values as plain cells that read back as what they are.

    Example:
        >>> plain_cells(pl.Series(["dry", "5", None])).to_list()
        ['dry', '"5"', None]
    """
    if feature.dtype != pl.String:
        return _as_feature_text(feature)
    if not feature.str.contains(_LOOKS_TYPED).any():
        return feature
    cells = [
        json.dumps(text, ensure_ascii=False) if is_typed else text
        for text, is_typed in zip(feature, feature.str.contains(_LOOKS_TYPED), strict=True)
    ]
    return pl.Series(feature.name, cells, dtype=pl.String)


def _mixed(name: str, values: list[Any]) -> dict[str, pl.Series]:
    kinds = {type(value) for value in values} - {type(None)}
    if not kinds:
        return {TEXT + name: pl.Series(values, dtype=pl.String)}
    parts: dict[str, pl.Series] = {}
    if kinds & {int, float}:
        numbers = [float_of(value) if type(value) in (int, float) else None for value in values]
        parts[NUMBER + name] = _finite(pl.Series(numbers, dtype=pl.Float64))
    if bool in kinds:
        parts[BOOLEAN + name] = pl.Series([v if isinstance(v, bool) else None for v in values], dtype=pl.Boolean)
    if kinds - {int, float, bool}:
        texts = [None if isinstance(value, int | float) else text_of(value) for value in values]
        parts[TEXT + name] = pl.Series(texts, dtype=pl.String)
    return parts


def _finite(numbers: pl.Series) -> pl.Series:
    is_finite = numbers.is_finite()
    return numbers if is_finite.all() else numbers.zip_with(is_finite, pl.Series([None], dtype=pl.Float64))


def _kind_of(plain: pl.Series) -> str:
    cells = plain.drop_nulls()
    if cells.str.contains(f"{_IS_NUMBER}|{_IS_NAN}").all():
        return NUMBER
    return BOOLEAN if cells.str.contains(_IS_BOOLEAN).all() else TEXT


def _coalesced(name: str, parts: dict[str, pl.Series], kind: str, read: Any) -> pl.Series:
    if PLAIN not in parts:
        return parts[kind].rename(name)
    plain = read(parts[PLAIN])
    cells = parts[kind].zip_with(parts[kind].is_not_null(), plain) if kind in parts else plain
    return cells.rename(name)


def _as_feature_text(part: pl.Series) -> pl.Series:
    if part.dtype == pl.Float64:
        texts = [None if value is None else number_text(value) for value in part]
        return pl.Series(part.name, texts, dtype=pl.String)
    return part.cast(pl.String)


def _unquoted(plain: pl.Series) -> pl.Series:
    if not plain.str.starts_with('"').any():
        return plain
    return pl.Series([_unquote(cell) for cell in plain], dtype=pl.String)


def _unquote(cell: str | None) -> str | None:
    if cell is None or not cell.startswith('"'):
        return cell
    try:
        return msgspec.json.decode(cell, type=str)
    except msgspec.DecodeError:
        return cell
