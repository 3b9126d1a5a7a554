"""Decisions and events as rows of the SQLite store, and back.

What is queried has a column; the rest is one MessagePack record, so that a row is small and floats stay exact.
Fields may be added at the end of a record, with a default: old rows then read as if they had it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from data.domain import EVENT_TYPES, Decision, Event, FeatureValue
from data.stores.protocol import DecisionStatus, KeyRecord, StoredDecision, StoredEvent, StoredVisitor

STATUSES: Final[tuple[DecisionStatus, ...]] = ("open", "accepted", "declined", "ignored", "deferred", "expired")
"""A status is stored as its position here: never reorder."""
STATUS_CODES: Final = {name: code for code, name in enumerate(STATUSES)}

DECISION_COLUMNS: Final = "decision_id, visitor_id, journey, ask_id, at, received_at, shown_at, record"
STORED_COLUMNS: Final = f"{DECISION_COLUMNS}, status, scope, answered_at, request_digest, audit"
EVENT_COLUMNS: Final = "visitor_id, journey, from_id, record"
VISITOR_COLUMNS: Final = "visitor_id, version, state, merged_into"
KEY_COLUMNS: Final = "key_id, role, digest, created_at, origin, revoked_at"

Row = tuple[Any, ...]


class _DecisionRecord(msgspec.Struct, array_like=True):
    propensity: float | None
    eligible: tuple[str | None, ...] | None
    policy: str
    channel: str
    context: dict[str, Any]
    answers: dict[str, Any]
    withheld: tuple[str, ...]
    is_learnable: bool
    catalog_digest: Any  # bytes or str, see _packed; msgspec takes no union of the two
    fingerprint: Any


class _EventRecord(msgspec.Struct, array_like=True):
    type: int
    at: int
    received_at: int
    ask_id: str | None
    event_id: str | None
    decision_id: str | None
    signal: str | None
    order_id: str | None
    value: float | None
    answers: dict[str, Any]


_LARGE_INT: Final = 1
"""Extension code of integers beyond 64 bits, which MessagePack does not have: their hexadecimal digits."""


def _unpack_extension(code: int, data: memoryview) -> object:
    if code != _LARGE_INT:
        raise ValueError(f"unknown extension {code} in a stored record; allowed: {_LARGE_INT}")
    return int(bytes(data), 16)


_encoder: Final = msgspec.msgpack.Encoder()
_decision_decoder: Final = msgspec.msgpack.Decoder(_DecisionRecord, ext_hook=_unpack_extension)
_event_decoder: Final = msgspec.msgpack.Decoder(_EventRecord, ext_hook=_unpack_extension)
_EVENT_CODES: Final = {name: code for code, name in enumerate(EVENT_TYPES)}


def decision_row(stored: StoredDecision) -> Row:
    """A decision as the values of ``STORED_COLUMNS``."""
    d = stored.decision
    record = _DecisionRecord(
        d.propensity,
        d.eligible,
        d.policy,
        d.channel,
        _plain(d.context),
        _plain(d.answers),
        d.withheld,
        d.is_learnable,
        _packed(d.catalog_digest),
        _packed(d.fingerprint),
    )
    return (
        d.decision_id,
        d.visitor_id,
        d.journey,
        d.ask_id,
        d.at,
        d.received_at,
        d.shown_at,
        _encode(record),
        STATUS_CODES[stored.status],
        int(stored.scope == "history"),
        stored.answered_at,
        stored.request_digest,
        stored.audit,
    )


def decision_of(row: Row) -> Decision:
    """The decision of a row that starts with ``DECISION_COLUMNS``."""
    decision_id, visitor_id, journey, ask_id, at, received_at, shown_at, record = row[:8]
    rest = _decision_decoder.decode(record)
    return Decision(
        decision_id,
        visitor_id,
        journey,
        at,
        received_at,
        ask_id,
        rest.propensity,
        rest.eligible,
        rest.policy,
        rest.channel,
        rest.context,
        rest.answers,
        rest.withheld,
        shown_at,
        rest.is_learnable,
        _unpacked(rest.catalog_digest),
        _unpacked(rest.fingerprint),
    )


def stored_decision_of(row: Row) -> StoredDecision:
    """The decision of a row of ``STORED_COLUMNS``, with what became of it."""
    status, scope, answered_at, request_digest, audit = row[8:]
    return StoredDecision(
        decision_of(row), STATUSES[status], answered_at, request_digest, audit, "history" if scope else "visitor"
    )


def event_row(stored: StoredEvent) -> Row:
    """An event as its key and the values of ``EVENT_COLUMNS``."""
    e = stored.event
    record = _EventRecord(
        _EVENT_CODES[e.type],
        e.at,
        e.received_at,
        e.ask_id,
        e.event_id,
        e.decision_id,
        e.signal,
        e.order_id,
        e.value,
        _plain(e.answers),
    )
    return (stored.key, e.visitor_id, e.journey, e.from_id, _encode(record))


def event_of(row: Row) -> Event:
    """The event of a row of ``EVENT_COLUMNS``."""
    visitor_id, journey, from_id, record = row
    rest = _event_decoder.decode(record)
    return Event(
        visitor_id,
        EVENT_TYPES[rest.type],
        rest.at,
        rest.received_at,
        journey,
        rest.ask_id,
        rest.event_id,
        rest.decision_id,
        rest.signal,
        rest.order_id,
        from_id,
        rest.value,
        rest.answers,
    )


def visitor_of(row: Row) -> StoredVisitor:
    """The visitor of a row of ``VISITOR_COLUMNS``."""
    return StoredVisitor(*row)


def key_of(row: Row) -> KeyRecord:
    """The key of a row of ``KEY_COLUMNS``."""
    return KeyRecord(*row)


def _encode(record: _DecisionRecord | _EventRecord) -> bytes:
    try:
        return _encoder.encode(record)
    except OverflowError:
        if isinstance(record, _DecisionRecord):
            record.context = _boxed(record.context)
        record.answers = _boxed(record.answers)
        return _encoder.encode(record)


def _boxed(value: Any) -> Any:
    """The value with integers beyond 64 bits as extensions; declared features never hold such, others may."""
    if isinstance(value, dict):
        return {key: _boxed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_boxed(item) for item in value]
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return msgspec.msgpack.Ext(_LARGE_INT, format(value, "x").encode())
    return value


def _plain(features: Mapping[str, FeatureValue]) -> dict[str, FeatureValue]:
    return features if type(features) is dict else dict(features)


def _packed(text: str) -> bytes | str:
    """A digest in hexadecimal at half its size; any other text as it is."""
    try:
        packed = bytes.fromhex(text)
    except ValueError:
        return text
    return packed if packed.hex() == text else text


def _unpacked(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.hex()
