"""Instants: microseconds since 1970-01-01 UTC as integers, and their ISO 8601 text."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Final

from data.domain import SECOND

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DURATION: Final = re.compile(r"(\d{1,9})(s|m|h|d)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_MICROSECOND: Final = timedelta(microseconds=1)


def now() -> int:
    """The present instant. Only the outermost layer calls this; everything else takes the time as an argument."""
    return time.time_ns() // 1_000


def to_iso(at: int) -> str:
    """An instant as text.

    Example:
        >>> to_iso(1_000_000)
        '1970-01-01T00:00:01.000000Z'
    """
    return to_datetime(at).isoformat(timespec="microseconds")[:-6] + "Z"


def to_datetime(at: int) -> datetime:
    """An instant as an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=at)


def from_datetime(moment: datetime) -> int:
    """The instant of a datetime; a naive one is taken as UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND


def from_iso(text: str) -> int:
    """The instant of ISO 8601 text; without a zone it is UTC, without a time it is midnight.

    Raises:
        ValueError: the text is no ISO 8601 date or time.

    Example:
        >>> from_iso("1970-01-01T01:00:01+01:00"), from_iso("1970-01-02")
        (1000000, 86400000000)
    """
    return from_datetime(datetime.fromisoformat(text))


def parse_duration(text: str) -> int:
    """Whole seconds of a duration like ``90s``, ``15m``, ``6h``, ``7d``.

    Raises:
        ValueError: the text is no such duration.

    Example:
        >>> parse_duration("15m")
        900
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"not a duration: {text!r}; allowed: a whole number and s, m, h or d, like 90s 15m 6h 7d")
    return int(match[1]) * _SECONDS[match[2]]


def format_duration(seconds: int) -> str:
    """The shortest text that ``parse_duration`` reads back.

    Example:
        >>> format_duration(900), format_duration(90), format_duration(604_800)
        ('15m', '90s', '7d')
    """
    for unit in ("d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"


def since(at: int, earlier: int) -> float:
    """Seconds from ``earlier`` to ``at``, never negative."""
    return max(0, at - earlier) / SECOND
