"""Reading cells of any type as text, numbers, booleans and lists, keeping the text of those that cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec
import polars as pl

from data.log.times import ISO_UTC, TimeRule, read_times

Column: TypeAlias = pl.Series | list[Any]
"""A column as a file holds it: typed, or Python objects where a file mixes types."""

_INT64: Final = range(-(2**63), 2**63)
_BOOLEANS: Final = {"true": True, "1": True, "false": False, "0": False}
_ISO_TEXT: Final = "%Y-%m-%dT%H:%M:%S%.6fZ"


@dataclass(frozen=True, slots=True)
class Cells:
    """A column read: its values, and in ``unread`` the text of each cell that could not be read (null elsewhere)."""

    values: pl.Series
    unread: pl.Series


def number_text(number: float) -> str:
    """A number as text, without a needless ``.0``.

    Example:
        >>> number_text(5.0), number_text(0.25)
        ('5', '0.25')
    """
    return repr(number).removesuffix(".0")


def series_of(values: list[Any]) -> pl.Series:
    """Objects as a typed column; where types are mixed, all of them as text.

    Example:
        >>> series_of([1, None]).dtype, series_of([1, "a"]).to_list()
        (Int64, ['1', 'a'])
    """
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {int} and all(value is None or value in _INT64 for value in values):
        return pl.Series(values, dtype=pl.Int64)
    if kinds and kinds <= {int, float}:
        return pl.Series([None if value is None else float_of(value) for value in values], dtype=pl.Float64)
    if kinds == {bool}:
        return pl.Series(values, dtype=pl.Boolean)
    if kinds == {list}:
        return lists_series(values)
    if kinds <= {str}:
        return pl.Series(values, dtype=pl.String)
    return pl.Series([text_of(value) for value in values], dtype=pl.String)


def lists_series(lists: list[list[Any] | None]) -> pl.Series:
    """Lists as a column of lists of text."""
    # Through JSON, because a series made of Python lists costs a Python call per list.
    encode = msgspec.json.Encoder(enc_hook=str).encode
    texts = [None if items is None else encode([text_of(item) for item in items]).decode() for items in lists]
    return pl.Series(texts, dtype=pl.String).str.json_decode(pl.List(pl.String))


def text_of(value: Any) -> str | None:
    """Any object as text; nested ones as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number_text(value)
    if isinstance(value, dict | list | tuple):
        return msgspec.json.encode(value, enc_hook=str).decode()
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)


def float_of(number: float) -> float:
    """A number as a float; infinite where it is too large for one."""
    try:
        return float(number)
    except OverflowError:
        return float("inf")


def as_series(column: Column) -> pl.Series:
    """The column, typed."""
    return column if isinstance(column, pl.Series) else series_of(column)


def as_text(column: pl.Series) -> pl.Series:
    """Every cell as text that says what it is; null stays null.

    Example:
        >>> as_text(pl.Series([["quiz", None], None])).to_list()
        ['quiz|', None]
    """
    dtype = column.dtype
    if dtype == pl.String:
        return column
    if dtype.is_float():
        return pl.Series([None if value is None else number_text(value) for value in column], dtype=pl.String)
    if isinstance(dtype, pl.Datetime):
        return column.dt.strftime(_ISO_TEXT)
    if dtype == pl.List(pl.String):
        return _joined(column)
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        return pl.Series([None if value is None else text_of(value) for value in column.to_list()], dtype=pl.String)
    return column.cast(pl.String, strict=False)


def read_text(column: pl.Series) -> Cells:
    """Text; numbers become text, empty text is no value."""
    dtype = column.dtype
    if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
        return _cells(column, pl.Series([None] * len(column), dtype=pl.String))
    text = as_text(column.fill_nan(None)) if dtype.is_float() else as_text(column)
    empty = text == ""
    values = text.set(empty, None) if empty.any() else text
    return Cells(values, pl.Series([None] * len(column), dtype=pl.String))


def read_numbers(column: pl.Series) -> Cells:
    """Numbers, also written as text."""
    if column.dtype == pl.String:
        return _cells(column, column.str.strip_chars().cast(pl.Float64, strict=False))
    if column.dtype.is_numeric() or column.dtype == pl.Null:
        return _cells(column, column.cast(pl.Float64, strict=False))
    return _cells(column, pl.Series([None] * len(column), dtype=pl.Float64))


def read_booleans(column: pl.Series) -> Cells:
    """True and false, also as 1 and 0 and written as text."""
    if column.dtype == pl.Boolean:
        return _cells(column, column)
    text = as_text(column).str.strip_chars().str.to_lowercase()
    return _cells(column, text.replace_strict(_BOOLEANS, default=None, return_dtype=pl.Boolean))


def read_time_cells(column: pl.Series, rule: TimeRule = ISO_UTC) -> Cells:
    """Times by a rule."""
    return _cells(column, read_times(column, rule))


def read_lists(column: pl.Series, separator: str = "|", names: Mapping[str, str] | None = None) -> Cells:
    """Lists of names: lists, JSON lists, or text with a separator; an empty item is nothing.

    A separator alone is the list of nothing. ``names`` translates items.

    Example:
        >>> read_lists(pl.Series(["quiz|", "|", ""])).values.to_list()
        [['quiz', None], [None], None]
    """
    dtype = column.dtype
    if isinstance(dtype, pl.Array):
        column = column.arr.to_list()
    if isinstance(column.dtype, pl.List) and not column.dtype.inner.is_nested():
        lists = column.cast(pl.List(pl.String), strict=False)
    elif column.dtype == pl.String:
        lists = lists_series([_split(text, separator) for text in column])
    else:
        lists = pl.Series([None] * len(column), dtype=pl.List(pl.String))
    item = pl.element().str.strip_chars()
    if names:
        item = item.replace(dict(names))
    items = pl.when(item != "").then(item)
    return _cells(column, lists.to_frame("lists").select(pl.col("lists").list.eval(items)).to_series())


def read_objects(column: Column) -> tuple[list[dict[str, Any] | None], pl.Series]:
    """JSON objects, structs or maps as dictionaries, and the text of those cells that are none of these."""
    cells = column.to_list() if isinstance(column, pl.Series) else column
    objects = [_object(cell) for cell in cells]
    unread = [
        text_of(cell) if read is None and cell not in (None, "") else None
        for cell, read in zip(cells, objects, strict=True)
    ]
    return objects, pl.Series(unread, dtype=pl.String)


def _cells(column: pl.Series, values: pl.Series) -> Cells:
    failed = values.is_null() & column.is_not_null()
    if not failed.any():
        return Cells(values, pl.Series([None] * len(column), dtype=pl.String))
    text = as_text(column)
    failed &= text.str.strip_chars() != ""
    nothing = pl.Series([None], dtype=pl.String)
    return Cells(values, text.zip_with(failed, nothing))


def _joined(lists: pl.Series) -> pl.Series:
    """Lists as ``a|b``, nothing as an empty item; the list of nothing alone as ``|``."""
    item = pl.element().fill_null("")
    text = lists.to_frame("l").select(pl.col("l").list.eval(item).list.join("|")).to_series()
    is_nothing = (lists.list.len() == 1) & (text == "")
    return text.set(is_nothing.fill_null(False), "|")


def _split(text: str | None, separator: str) -> list[str | None] | None:
    if text is None or not text.strip():
        return None
    if text.strip() == separator.strip():
        return [None]
    if text.lstrip().startswith("["):
        return _json_list(text)
    return list(text.split(separator))


def _json_list(text: str) -> list[str | None] | None:
    try:
        return msgspec.json.decode(text, type=list[str | None])
    except (msgspec.DecodeError, RecursionError):
        return None


def _object(cell: Any) -> dict[str, Any] | None:
    if isinstance(cell, dict):
        return cell
    if isinstance(cell, list) and all(isinstance(item, dict) and item.keys() == {"key", "value"} for item in cell):
        return {str(item["key"]): item["value"] for item in cell}
    if not isinstance(cell, str):
        return None
    try:
        return msgspec.json.decode(cell, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return None
