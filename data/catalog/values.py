"""What single values of a catalog may be: names, texts, numbers, durations, instants.

Each is a type for a pydantic model. They are strict: YAML reads ``no`` as a boolean, ``2026-01-01`` as a date and
``1:30`` as the number 90, and a catalog that means something else should hear about it instead of being guessed at.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Final

from pydantic import PlainValidator

from data.catalog.findings import closest, listed
from data.clock import from_datetime, from_iso, parse_duration
from data.domain import CHANNELS, HOLDOUT_POLICIES, KINDS, STAGES

MAX_ASKS: Final = 1_000
MAX_ASKS_PER_DAY: Final = 500
"""Most asks that any daily cap may allow: a visitor's state remembers no more shows of a day."""
MAX_SIGNALS: Final = 64
MAX_ID_BYTES: Final = 256
MAX_PAYLOAD_BYTES: Final = 16_384
MAX_EFFORT: Final = 10

_MAX_TEXT: Final = 2_000
MAX_NUMBER: Final = 10**15
_MAX_COUNT: Final = 1_000_000
_MAX_DURATION_S: Final = 3_650 * 86_400
_LAST_INSTANT: Final = from_iso("9999-12-31T23:59:59.999999")
_NAME: Final = re.compile(r"[a-z0-9_-]{1,64}")


class BadValueError(ValueError):
    """A value cannot be what it should be; a pydantic validator and the checks across fields both raise it."""

    def __init__(self, problem: str, allowed: str) -> None:
        self.problem = problem
        self.allowed = allowed
        super().__init__(f"{problem}; allowed: {allowed}")


def is_number(value: object) -> bool:
    """Whether a value of the tree is a finite number; booleans are none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return isinstance(value, int) or math.isfinite(value)


def text_of(value: Any) -> str:
    """The value, if it is text.

    Raises:
        BadValueError: it is not.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        raise BadValueError("is read as yes or no where text is needed", "text; put it in quotes")
    if isinstance(value, (int, float)):
        raise BadValueError("is read as a number where text is needed", "text; put it in quotes")
    if isinstance(value, date):
        raise BadValueError("is read as a date where text is needed", "text; put it in quotes")
    raise BadValueError("is not text", "text")


def name_of(value: Any) -> str:
    """The value, if it may name a journey, an ask or a signal.

    Raises:
        BadValueError: it may not.
    """
    text = text_of(value)
    if _NAME.fullmatch(text) is None:
        raise BadValueError("is no name", "1 to 64 of the characters a-z 0-9 _ -")
    return text


def _identifier(value: Any) -> str:
    text = text_of(value)
    if not text:
        raise BadValueError("is empty", "text")
    if len(text.encode()) > MAX_ID_BYTES:
        raise BadValueError("is too long", f"at most {MAX_ID_BYTES} bytes")
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise BadValueError("has control characters", "text on one line")
    return text


def _prose(value: Any) -> str:
    text = text_of(value)
    if not text.strip():
        raise BadValueError("is empty", "text")
    if len(text) > _MAX_TEXT:
        raise BadValueError("is too long", f"at most {_MAX_TEXT:,} characters")
    if any(unicodedata.category(character) == "Cc" and character not in "\n\t" for character in text):
        raise BadValueError("has control characters", "text")
    return text


def number_between(low: float, high: float) -> Callable[[Any], float]:
    """A check for numbers; whole ones stay whole."""

    def check(value: Any) -> float:
        if not is_number(value):
            raise BadValueError("is not a number", _range(low, high))
        if not low <= value <= high:
            raise BadValueError("is too small" if value < low else "is too large", _range(low, high))
        return value  # type: ignore[no-any-return]

    return check


def count_between(low: int, high: int) -> Callable[[Any], int]:
    """A check for whole numbers."""

    def check(value: Any) -> int:
        allowed = f"a whole number from {low} to {high:,}"
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadValueError("is not a whole number", allowed)
        if not low <= value <= high:
            raise BadValueError("is too small" if value < low else "is too large", allowed)
        return value

    return check


def _range(low: float, high: float) -> str:
    return f"a number from {low:g} to {high:g}"


def one_of(options: Collection[str]) -> Callable[[Any], str]:
    """A check for one of several words."""

    def check(value: Any) -> str:
        text = text_of(value)
        if text not in options:
            raise BadValueError(f"is unknown{closest(text, options)}", listed(options))
        return text

    return check


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadValueError("is neither true nor false", "true or false")
    return value


def duration_from(low_s: int) -> Callable[[Any], int]:
    """A check for durations of at least so many seconds; the value is in seconds."""

    def check(value: Any) -> int:
        allowed = "a whole number and s, m, h or d, like 90s 15m 6h 7d"
        try:
            seconds = parse_duration(value) if isinstance(value, str) else None
        except ValueError:
            seconds = None
        if seconds is None:
            raise BadValueError("is not a duration", allowed)
        if not low_s <= seconds <= _MAX_DURATION_S:
            raise BadValueError("is too short" if seconds < low_s else "is too long", f"from {low_s}s to 3650d")
        return seconds

    return check


_any_duration: Final = duration_from(0)


def _repeatable(value: Any) -> int | None:
    """Seconds before an accepted ask may come again; ``None``: never."""
    if isinstance(value, bool):
        return 0 if value else None
    try:
        return _any_duration(value)
    except BadValueError:
        allowed = "true, false, or a duration from 0s to 3650d like 90s 15m 6h 7d"
        raise BadValueError("is neither true, false nor a duration", allowed) from None


def instant_of(value: Any) -> int:
    """The instant of a date, a time or their text.

    Raises:
        BadValueError: it is none from 1970 to 9999.
    """
    allowed = "a date like 2026-11-21 or a time like 2026-11-21T09:00:00Z, from 1970 on"
    try:
        at = _microseconds(value)
    except (TypeError, ValueError, OverflowError):
        raise BadValueError("is no date", allowed) from None
    if not 0 <= at <= _LAST_INSTANT:
        raise BadValueError("is out of range", allowed)
    return at


def _microseconds(value: Any) -> int:
    if isinstance(value, datetime):
        return from_datetime(value)
    if isinstance(value, date):
        return from_datetime(datetime.combine(value, time(), UTC))
    return from_iso(value)


def _payload(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadValueError("has no fields", "fields with text, numbers, true, false, lists and fields")
    problem = _not_json(value)
    if problem:
        raise BadValueError(problem, "text, numbers of up to 64 bits, true, false, nothing, lists and fields")
    size = len(json.dumps(value, ensure_ascii=False).encode())
    if size > MAX_PAYLOAD_BYTES:
        raise BadValueError(f"is too large: {size:,} bytes of JSON", f"at most {MAX_PAYLOAD_BYTES:,} bytes")
    return value


def _not_json(value: Any) -> str:
    """What of a value JSON, as other programs read it, cannot hold; empty when it can hold all of it."""
    if isinstance(value, dict):
        return next((problem for item in value.values() if (problem := _not_json(item))), "")
    if isinstance(value, list):
        return next((problem for item in value if (problem := _not_json(item))), "")
    if isinstance(value, date):
        return f"holds the date {value.isoformat()}, which must be in quotes"
    if isinstance(value, float) and not math.isfinite(value):
        return f"holds {value}, which is no number"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "holds a whole number of more than 64 bits"
    return ""


Name = Annotated[str, PlainValidator(name_of)]
Identifier = Annotated[str, PlainValidator(_identifier)]
Prose = Annotated[str, PlainValidator(_prose)]
Flag = Annotated[bool, PlainValidator(_flag)]
Share = Annotated[float, PlainValidator(number_between(0, 1))]
Effort = Annotated[float, PlainValidator(number_between(0, MAX_EFFORT))]
EffortGap = Annotated[float, PlainValidator(number_between(-MAX_EFFORT, MAX_EFFORT))]
Number = Annotated[float, PlainValidator(number_between(-MAX_NUMBER, MAX_NUMBER))]
Cost = Annotated[float, PlainValidator(number_between(0, MAX_NUMBER))]
Count = Annotated[int, PlainValidator(count_between(1, _MAX_COUNT))]
DailyCount = Annotated[int, PlainValidator(count_between(1, MAX_ASKS_PER_DAY))]
Duration = Annotated[int, PlainValidator(_any_duration)]
Period = Annotated[int, PlainValidator(duration_from(1))]
Repeatable = Annotated[int | None, PlainValidator(_repeatable)]
Instant = Annotated[int, PlainValidator(instant_of)]
Payload = Annotated[dict[str, Any], PlainValidator(_payload)]
Kind = Annotated[str, PlainValidator(one_of(KINDS))]
Stage = Annotated[str, PlainValidator(one_of(STAGES))]
Channel = Annotated[str, PlainValidator(one_of(CHANNELS))]
HoldoutPolicy = Annotated[str, PlainValidator(one_of(HOLDOUT_POLICIES))]
