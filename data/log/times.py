"""Reading columns of times: ISO text, dates, datetimes of any zone and unit and, told by a map file, the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import polars as pl

from data.log.schema import TIME

EpochUnit: TypeAlias = Literal["s", "ms", "us", "ns"]

_ISO: Final = (
    r"^(\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](\d{2}:\d{2})(?::([0-5]\d)(?:[.,](\d{1,9}))?)?\s*(Z|z|UTC|[+-]\d{2}:?(?:[0-5]\d)?)?)?$"
)
_ISO_FORMAT: Final = "%Y-%m-%dT%H:%M:%S%.f"
_PER_SECOND: Final[dict[EpochUnit, int]] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_US: Final = 1_000_000
_MAX_US: Final = 253_402_300_800 * _US
"""The year 10000."""
_NAIVE: Final = pl.Datetime("us")


@dataclass(frozen=True, slots=True)
class TimeRule:
    """How a column writes its times.

    ``epoch``: numbers, counted in this unit since 1970-01-01 UTC. ``format``: text in this strptime format.
    ``zone``: the zone of times that do not say theirs. Without any of them: ISO 8601, UTC.
    """

    epoch: EpochUnit | None = None
    format: str | None = None
    zone: str = "UTC"


ISO_UTC: Final = TimeRule()


def read_times(cells: pl.Series, rule: TimeRule = ISO_UTC) -> pl.Series:
    """The times of a column, null where a cell is empty or no time by the rule.

    Example:
        >>> read_times(pl.Series(["2026-11-21T13:00:00+01:00", "2026-11-21", "soon"])).dt.hour().to_list()
        [12, 0, None]
    """
    dtype = cells.dtype
    if isinstance(dtype, pl.Datetime):
        naive = _epoch(cells.to_physical(), dtype.time_unit)
        return _utc(naive) if dtype.time_zone is not None else _localized(naive, rule.zone)
    if dtype == pl.Date:
        return _localized(cells.cast(_NAIVE), rule.zone)
    if dtype == pl.String:
        return _from_text(cells.str.strip_chars(), rule)
    if rule.epoch is not None and dtype.is_numeric():
        return _utc(_epoch(cells, rule.epoch))
    return pl.Series(cells.name, [None] * len(cells), dtype=TIME)


def is_known_zone(zone: str) -> bool:
    """Whether times can be read in a zone of that name.

    Example:
        >>> is_known_zone("Europe/Berlin"), is_known_zone("Mars/Olympus")
        (True, False)
    """
    try:
        pl.Series([0]).cast(_NAIVE).dt.replace_time_zone(zone)
    except (pl.exceptions.PolarsError, ValueError):
        return False
    return True


def is_known_format(format_: str) -> bool:
    """Whether text can be read with a strptime format."""
    if "%" not in format_:
        return False
    try:
        pl.Series(["x"]).str.to_datetime(format_, strict=False)
    except (pl.exceptions.PolarsError, ValueError):
        return False
    return True


def _from_text(text: pl.Series, rule: TimeRule) -> pl.Series:
    if rule.epoch is not None:
        whole = text.cast(pl.Int64, strict=False)
        fraction = text.cast(pl.Float64, strict=False)
        exact = _epoch(whole, rule.epoch)
        return _utc(exact.zip_with(exact.is_not_null(), _epoch(fraction, rule.epoch)))
    if rule.format is not None:
        parsed = text.str.to_datetime(rule.format, strict=False, time_unit="us")
        return parsed if parsed.dtype == TIME else _localized(parsed, rule.zone)
    return _from_iso(text, rule.zone)


def _from_iso(text: pl.Series, zone: str) -> pl.Series:
    parts = text.rename("t").to_frame().select(pl.col("t").str.extract_groups(_ISO)).unnest("t")
    day, minute, second, fraction, offset = (pl.col(name) for name in parts.columns)
    canonical = pl.concat_str(
        day,
        pl.lit("T"),
        minute.fill_null("00:00"),
        pl.lit(":"),
        second.fill_null("00"),
        pl.lit("."),
        fraction.fill_null("0").str.slice(0, 6).str.pad_end(6, "0"),
    )
    digits = offset.str.extract_groups(r"^([+-])(\d{2}):?(\d{2})?$")
    ahead = (digits.struct[1].cast(pl.Int64) * 60 + digits.struct[2].cast(pl.Int64).fill_null(0)) * pl.when(
        digits.struct[0] == "-"
    ).then(-1).otherwise(1)
    read = parts.select(
        naive=canonical.str.to_datetime(_ISO_FORMAT, strict=False, time_unit="us"),
        has_zone=offset.is_not_null(),
        ahead=pl.duration(minutes=ahead.fill_null(0)),
    )
    absolute = _utc(read.select(pl.col("naive") - pl.col("ahead")).to_series())
    if zone == "UTC":
        return absolute
    return absolute.zip_with(read["has_zone"], _localized(read["naive"], zone))


def _epoch(numbers: pl.Series, unit: EpochUnit) -> pl.Series:
    """Naive times of epoch numbers; null beyond the year 9999, where arithmetic could overflow unnoticed."""
    per_second = _PER_SECOND[unit]
    limit = _MAX_US // _US * per_second
    wide = numbers.cast(pl.Int64 if numbers.dtype.is_integer() else pl.Float64, strict=False)
    near = wide.to_frame("n").select(pl.when(pl.col("n").is_between(-limit, limit)).then(pl.col("n"))).to_series()
    if per_second > _US:
        scaled = near / (per_second // _US) if near.dtype.is_float() else near // (per_second // _US)
    else:
        scaled = near * (_US // per_second)
    if scaled.dtype.is_float():
        scaled = scaled.round()
    return scaled.cast(pl.Int64).cast(_NAIVE)


def _utc(naive: pl.Series) -> pl.Series:
    return naive.dt.replace_time_zone("UTC")


def _localized(naive: pl.Series, zone: str) -> pl.Series:
    if zone == "UTC":
        return _utc(naive)
    aware = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return aware.dt.convert_time_zone("UTC")
