"""Times, numbers and lists as a marketer reads them in the reason of a block."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final

from data.clock import to_datetime
from data.domain import DAY, SECOND, FeatureValue

_MINUTE: Final = 60 * SECOND


def clock(at: int, now: int) -> str:
    """A time of day in UTC, with its date unless that is today's.

    Example:
        >>> clock(36_120_000_000, now=40_000_000_000), clock(36_120_000_000, now=140_000_000_000)
        ('10:02', '10:02 on 1970-01-01')
    """
    day, moment = divmod(at, DAY)
    time_of_day = _time_of_day(moment // _MINUTE)
    if day == now // DAY:
        return time_of_day
    return f"{time_of_day} on {to_datetime(at):%Y-%m-%d}"


def number(value: float) -> str:
    """A number without needless decimals.

    Example:
        >>> number(8.0), number(2.5), number(0.1 + 0.2)
        ('8', '2.5', '0.3')
    """
    return f"{value:.10g}"


def times(n: int) -> str:
    """How often, in words.

    Example:
        >>> times(1), times(3)
        ('once', '3 times')
    """
    return "once" if n == 1 else f"{n} times"


def at_most(limit: int) -> str:
    """A limit, in words.

    Example:
        >>> at_most(1), at_most(5)
        ('at most 1 is allowed', 'at most 5 are allowed')
    """
    return f"at most {limit} {'is' if limit == 1 else 'are'} allowed"


def either(values: Iterable[FeatureValue]) -> str:
    """Alternatives in words.

    Example:
        >>> either(["search", "social", "ads"]), either([True])
        ('search, social or ads', 'true')
    """
    words = [_word(value) for value in values]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


@cache
def _time_of_day(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _word(value: FeatureValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else number(value)
