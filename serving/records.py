"""Looking things up and erasing them: the routes for people who run the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from data.catalog import tree_of
from data.clock import to_iso
from data.domain import Catalog, Event
from data.errors import BadRequest
from data.stores.protocol import Store, StoredDecision, StoredVisitor
from features.state import JourneyState, as_of, decode
from policy.asking import audit_of, find_journey
from policy.live import LiveJourney, LivePolicy
from policy.messages import MAX_ID_BYTES
from serving.answers import Answer, json_answer
from serving.exchange import Request
from serving.office import Office

_DECISION_SECRETS: Final = ("decision_token", "visitor_token")


async def decision(office: Office, request: Request) -> Answer:
    """``GET /v1/decisions/{id}``: everything that led to a decision, and what became of it."""
    return json_answer(await office.aside(lambda: _decision(office.store, request.path_id)))


async def visitor(office: Office, request: Request) -> Answer:
    """``GET /v1/visitors/{id}``: what is known of a visitor."""
    now, journeys = office.clock(), office.following.live
    return json_answer(await office.aside(lambda: _visitor(office.store, journeys, request.path_id, now)))


async def erase(office: Office, request: Request) -> Answer:
    """``DELETE /v1/visitors/{id}``: the person is erased, under whatever id they came."""
    visitor_id = _checked_id(request.path_id)
    now = office.clock()
    n_rows = await office.aside(lambda: office.store.erase(_canonical(office.store, visitor_id), now))
    return json_answer({"visitor_id": visitor_id, "deleted": n_rows})


async def journeys(office: Office, request: Request) -> Answer:  # noqa: ARG001
    """``GET /v1/journeys``: every catalog."""
    live = office.following.live
    return json_answer({"journeys": [_catalog(live[name].catalog) for name in sorted(live)]})


async def journey(office: Office, request: Request) -> Answer:
    """``GET /v1/journeys/{name}``: one catalog."""
    return json_answer(_catalog(find_journey(office.following.live, request.path_id).catalog))


async def policy(office: Office, request: Request) -> Answer:  # noqa: ARG001
    """``GET /v1/policy``: what serves whom."""
    live, troubles = office.following.live, office.following.troubles
    return json_answer({"journeys": {name: _policies(live[name], troubles.get(name)) for name in sorted(live)}})


def _decision(store: Store, decision_id: str) -> dict[str, Any]:
    stored = store.decisions((_checked_id(decision_id),)).get(decision_id)
    if stored is None:
        raise _unknown("decision", decision_id)
    made = stored.decision
    audit = audit_of(stored)
    response = {name: value for name, value in audit.get("response", {}).items() if name not in _DECISION_SECRETS}
    return {
        "decision_id": made.decision_id,
        "visitor_id": made.visitor_id,
        "journey": made.journey,
        "at": to_iso(made.at),
        "received_at": to_iso(made.received_at),
        "shown_at": _iso(made.shown_at),
        "status": stored.status,
        "answered_at": _iso(stored.answered_at),
        "from_history": stored.scope == "history",
        "deferred": bool(audit.get("deferred")),
        "request": {"channel": made.channel, "context": made.context, "answers": made.answers},
        "ask_id": made.ask_id,
        "propensity": made.propensity,
        "eligible": made.eligible,
        "withheld": made.withheld,
        "candidates": audit.get("candidates", []),
        "blocked": audit.get("blocked", []),
        "policy": made.policy,
        "catalog": made.catalog_digest,
        "features": made.fingerprint or None,
        "learn": made.is_learnable,
        "response": response,
        "answers": _events_of(store, stored),
    }


def _events_of(store: Store, stored: StoredDecision) -> list[dict[str, Any]]:
    """The events that answer a decision, in order of arrival."""
    if stored.scope == "history":
        return []
    events = store.history(stored.decision.visitor_id).events
    return [_event(event) for event in events if event.decision_id == stored.decision.decision_id]


def _event(event: Event) -> dict[str, Any]:
    return {
        "type": event.type,
        "at": to_iso(event.at),
        "received_at": to_iso(event.received_at),
        "event_id": event.event_id,
        "order_id": event.order_id,
        "value": event.value,
        "answers": event.answers,
    }


def _visitor(store: Store, live: Mapping[str, LiveJourney], visitor_id: str, now: int) -> dict[str, Any]:
    canonical = _canonical(store, _checked_id(visitor_id))
    row = store.visitors((canonical,)).get(canonical)
    if row is None:
        raise _unknown("visitor", visitor_id)
    memory = decode(row.state)
    return {
        "visitor_id": canonical,
        "merged": [id_ for id_ in store.lineage(canonical) if id_ != canonical],
        "last_received_at": _iso(memory.last_received_at),
        "answers": memory.answers,
        "journeys": {name: _state(state, live.get(name), now) for name, state in sorted(memory.journeys.items())},
    }


def _state(state: JourneyState, live: LiveJourney | None, now: int) -> Any:
    """A state as a decision at this moment would see it, in times that people can read."""
    return readable(state if live is None else as_of(state, now, live.scopes))


def readable(value: Any, name: str = "") -> Any:
    """A state as plain values: instants as text, 0 ("never") and empty texts as null.

    Example:
        >>> readable({"shown_at": 1_000_000, "left_at": 0, "n": 0, "arm": ""})
        {'shown_at': '1970-01-01T00:00:01.000000Z', 'left_at': None, 'n': 0, 'arm': None}
    """
    if isinstance(value, msgspec.Struct):
        value = {field: getattr(value, field) for field in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: readable(item, key) for key, item in value.items()}
    if name == "recent_shows":
        return [to_iso(at) for at in value]
    if name.endswith("_at"):
        return _iso(value)
    return None if value == "" else value


def _canonical(store: Store, visitor_id: str) -> str:
    """The visitor that stands for this one now."""
    seen: set[str] = set()
    while visitor_id not in seen:
        seen.add(visitor_id)
        row: StoredVisitor | None = store.visitors((visitor_id,)).get(visitor_id)
        if row is None or row.merged_into is None:
            return visitor_id
        visitor_id = row.merged_into
    return visitor_id


def _catalog(catalog: Catalog) -> dict[str, Any]:
    return {**tree_of(catalog), "digest": catalog.digest}


def _policies(live: LiveJourney, trouble: str | None) -> dict[str, Any]:
    challenger = _policy(live.challenger)
    if challenger is not None:
        challenger["share"] = live.challenger_share
    return {
        "champion": _policy(live.champion),
        "challenger": challenger,
        "holdout": [{"share": holdout.share, "policy": holdout.policy} for holdout in live.catalog.holdout],
        "trouble": trouble,
        "catalog": live.catalog.digest,
        "loaded_at": to_iso(live.loaded_at),
    }


def _policy(policy: LivePolicy | None) -> dict[str, Any] | None:
    return None if policy is None else {"version": policy.version, "digest": policy.digest}


def _iso(at: int | None) -> str | None:
    return to_iso(at) if at else None


def _checked_id(given: str) -> str:
    if not 0 < len(given.encode()) <= MAX_ID_BYTES:
        raise BadRequest(
            "invalid_request", f"id: must have 1 to {MAX_ID_BYTES} bytes.", field="id", received=given[:200]
        )
    return given


def _unknown(kind: str, given: str) -> BadRequest:
    return BadRequest(
        f"unknown_{kind}", f"There is no {kind} with this id.", status=404, field=f"{kind}_id", received=given
    )
