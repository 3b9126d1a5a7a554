"""Rows for tests of stores; every one may be changed by keyword."""

from __future__ import annotations

from typing import Any

from data.domain import SECOND, Decision, Event
from data.stores.protocol import Commit, StoredDecision, StoredEvent, VisitorWrite

T0 = 1_790_000_000 * SECOND


def decision(decision_id: str = "d-1", visitor_id: str = "v-1", **changes: Any) -> Decision:
    at = changes.pop("at", T0)
    values: dict[str, Any] = {
        "journey": "skincare",
        "received_at": at,
        "ask_id": "skin_quiz",
        "propensity": 0.25,
        "eligible": ("skin_quiz", "purchase"),
        "policy": "baseline",
        **changes,
    }
    return Decision(decision_id=decision_id, visitor_id=visitor_id, at=at, **values)


def stored(decision_id: str = "d-1", visitor_id: str = "v-1", **changes: Any) -> StoredDecision:
    own = {name: changes.pop(name) for name in ("status", "answered_at", "scope", "audit") if name in changes}
    return StoredDecision(decision(decision_id, visitor_id, **changes), **own)


def event(key: str = "e-1", visitor_id: str = "v-1", **changes: Any) -> StoredEvent:
    at = changes.pop("at", T0)
    values: dict[str, Any] = {"type": "left", "received_at": at, "journey": "skincare", "event_id": key, **changes}
    return StoredEvent(key, Event(visitor_id=visitor_id, at=at, **values))


def visitor(visitor_id: str = "v-1", expected: int = 0, version: int = 0, **changes: Any) -> VisitorWrite:
    values = {"state": b"state", **changes}
    return VisitorWrite(visitor_id, expected, version or expected + 1, **values)


def merge(from_id: str, to_id: str) -> Commit:
    """Makes one visitor an alias of another, where neither had a row before or only the latter."""
    told = event(f"merge-{from_id}-{to_id}", to_id, type="merged", from_id=from_id)
    return Commit(visitors=(visitor(from_id, merged_into=to_id),), events=(told,))
