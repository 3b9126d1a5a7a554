"""What comes in over HTTP, checked by pydantic; the same shapes serve ``policy.load``.

``parse`` turns bytes or plain objects into a message, or raises the one ``BadRequest`` a client can act on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from data.clock import from_datetime, from_iso
from data.errors import BadRequest

MAX_ID_BYTES: Final = 256
MAX_FEATURES: Final = 256
MAX_TEXT_BYTES: Final = 4_096
MAX_HISTORY: Final = 10_000
MAX_BATCH: Final = 1_000
MAX_EVENTS: Final = 500
_LATEST: Final = from_iso("9000-01-01")
"""What guardrails add to a time must still be a time."""


def _check_id(value: str) -> str:
    if not 0 < len(value.encode()) <= MAX_ID_BYTES:
        raise ValueError(f"must have 1 to {MAX_ID_BYTES} bytes")
    return value


def _check_text(value: str) -> str:
    if len(value.encode()) > MAX_TEXT_BYTES:
        raise ValueError(f"must have at most {MAX_TEXT_BYTES} bytes")
    return value


def _instant(value: object) -> object:
    """ISO text or a datetime as microseconds; anything else is left for the type check to refuse."""
    if value is None:
        return None
    try:
        instant = from_iso(value) if isinstance(value, str) else from_datetime(value)  # type: ignore[arg-type]
    except (ValueError, OverflowError, AttributeError):
        raise ValueError("must be an ISO 8601 time like 2026-11-21T12:00:00Z") from None
    if not 0 < instant < _LATEST:
        raise ValueError("must be after 1970 and before the year 9000")
    return instant


Id = Annotated[str, AfterValidator(_check_id)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
Instant = Annotated[int, BeforeValidator(_instant, json_schema_input_type=datetime)]
Whole = Annotated[int, Field(ge=-(1 << 63), lt=1 << 63)]
"""A whole number as stores keep it; a larger one is taken as a float."""
Value = Annotated[str, AfterValidator(_check_text)] | bool | Whole | float | None
Features = Annotated[dict[Id, Value], Field(max_length=MAX_FEATURES)]
Channel = Literal["web", "email", "social", "chat", "voice", "app"]


class Message(BaseModel):
    """A message; unknown fields are refused, so that a typo is never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class HistoryItem(Message):
    """One past step of a visitor, given in the request instead of being read from the store."""

    type: Literal["shown", "accepted", "declined", "ignored", "converted", "left", "signal"]
    at: Instant
    ask_id: Name | None = None
    decision_id: Id | None = None
    signal: Name | None = None
    order_id: Id | None = None
    value: float | None = None


class AskRequest(Message):
    """``POST /v1/next-ask``. ``visitor_id`` must be there but may be null: then nothing about a person is kept."""

    visitor_id: Id | None
    visitor_token: Annotated[str, Field(max_length=256)] | None = None
    journey: str | None = None
    channel: Channel = "web"
    context: Features = Field(default_factory=dict)
    answers: Features = Field(default_factory=dict)
    consents: Annotated[list[Id], Field(max_length=100)] = Field(default_factory=list)
    exclude: Annotated[list[Id], Field(max_length=1_000)] = Field(default_factory=list)
    decision_id: Id | None = None
    trace: bool = False
    deferred: bool = False
    profile: bool = True
    history: Annotated[list[HistoryItem], Field(max_length=MAX_HISTORY)] | None = None
    at: Instant | None = None


class LocalRequest(AskRequest):
    """A request to ``policy.load``: ``history`` is required, and ``seed`` may fix the draw."""

    history: Annotated[list[HistoryItem], Field(max_length=MAX_HISTORY)]
    seed: str | None = None


class AskBatch(Message):
    """``POST /v1/next-asks``; each request is checked by itself, so that one bad one does not spoil the rest."""

    requests: Annotated[list[Any], Field(min_length=1, max_length=MAX_BATCH)]


class Outcome(Message):
    """One event of ``POST /v1/outcomes``."""

    type: Literal["shown", "accepted", "declined", "ignored", "converted", "left", "signal"]
    event_id: Id | None = None
    decision_id: Id | None = None
    decision_token: str | None = None
    visitor_id: Id | None = None
    journey: str | None = None
    ask_id: Name | None = None
    signal: Name | None = None
    order_id: Id | None = None
    at: Instant | None = None
    value: float | None = None
    answers: Features = Field(default_factory=dict)


class OutcomeBatch(Message):
    """``POST /v1/outcomes``; each event is checked by itself."""

    events: Annotated[list[Any], Field(min_length=1, max_length=MAX_EVENTS)]


class MergeRequest(Message):
    """``POST /v1/visitors/merge``: the visitor ``from`` became the visitor ``to``."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    from_id: Id = Field(alias="from")
    to_id: Id = Field(alias="to")


_UNION_MEMBERS: Final = ("str", "bool", "int", "float", "constrained-int", "function-after[_check_text(), str]")
M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], payload: bytes | Mapping[str, Any]) -> M:
    """A message from JSON bytes or from plain objects.

    Raises:
        BadRequest: it is no JSON (400), or it does not fit the message (422); ``field`` names the first fault.

    Example:
        >>> parse(AskRequest, b'{"visitor_id": "v-17"}').channel
        'web'
    """
    try:
        if isinstance(payload, bytes):
            return model.model_validate_json(payload)
        return model.model_validate(payload)
    except ValidationError as error:
        raise _bad_request(error) from None


def _bad_request(error: ValidationError) -> BadRequest:
    items = error.errors(include_url=False)
    first = items[0]
    if first["type"] == "json_invalid":
        return BadRequest("malformed_json", f"The body is not JSON: {first['ctx']['error']}.", status=400)
    field = _path(first["loc"])
    problem, allowed = _problem(first)
    message = f"{field or 'The body'}: {problem}."
    if len(items) > 1:
        message += f" ({len(items) - 1} more: {', '.join(sorted({_path(item['loc']) for item in items[1:]}))[:300]})"
    received = None if first["type"] == "missing" else _shortened(first["input"])
    return BadRequest("invalid_request", message, field=field or None, received=received, allowed=allowed)


def _problem(item: ErrorDetails) -> tuple[str, object]:
    """What is wrong with one field in plain words, and what is allowed there."""
    context = item.get("ctx", {})
    if item["type"] == "extra_forbidden":
        return "is not a field of this message", None
    if item["type"] == "model_type":
        return "must be a JSON object", None
    if item["type"] == "literal_error":
        allowed = re.findall(r"'([^']*)'", context["expected"])
        return "is not one of the allowed values", allowed
    if item["loc"] and item["loc"][-1] in _UNION_MEMBERS:
        return "must be a text, a number, true, false or null", ["text", "number", "true", "false", "null"]
    return item["msg"].removeprefix("Value error, ").replace("Input should", "should"), context.get("pattern")


def _path(loc: tuple[int | str, ...]) -> str:
    """``history[3].type`` of a pydantic location; the names of union members are left out."""
    text = ""
    for part in loc:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part not in _UNION_MEMBERS and part != "[key]" and not part.startswith("function-"):
            text += f".{part}" if text else part
    return text


def _shortened(value: object) -> object:
    """The value as it came when it is small, else the beginning of its text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else text[:200] + "..."
