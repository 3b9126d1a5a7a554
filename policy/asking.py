"""Asking: from a request to a durable decision."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, Final

import msgspec

from data.clock import to_iso
from data.domain import DAY, Catalog, Decision, FeatureValue
from data.errors import BadRequest
from data.stores.protocol import Commit, StoredDecision, VisitorWrite
from features.state import JourneyState, as_of, encode, show
from policy.choose import Choice, choose
from policy.desk import Held, Needs, View
from policy.draw import decision_token, draw_unit, sticky_unit, visitor_token
from policy.guardrails.registry import next_possible_at
from policy.live import HOLDOUT, LiveJourney, arm_for, served, unprofiled
from policy.messages import AskRequest
from policy.past import state_from_history
from policy.situation import Situation, of_declared_types

SESSION_PREFIX: Final = "session-"
"""Visitor ids made for requests without one begin so; they stand for a session, never for a person."""

_OWN_SHOW_RULES: Final = frozenset(("min_gap", "max_asks_per_session", "max_asks_per_day", "max_shows"))
"""Caps that an open decision met when it was shown; they must not keep a page reload from getting it again."""
_DIRECT_ARM: Final = HOLDOUT + "direct"
TOKEN_LIFE: Final = 90 * DAY
_json: Final = msgspec.json.Encoder(order="sorted")
_pack: Final = msgspec.msgpack.Encoder()
_unpack: Final = msgspec.msgpack.Decoder()


def new_decision_id(now: int, random: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A time-ordered id that nobody can guess (UUID version 7, RFC 9562: 48 bits of milliseconds, 74 random bits).

    Example:
        >>> new_decision_id(1_700_000_000_000_000, lambda n: bytes(n))
        '018bcfe5-6800-7000-8000-000000000000'
    """
    stamp = (now // 1_000) & ((1 << 48) - 1)
    noise = int.from_bytes(random(10), "big")
    number = stamp << 80 | 0x7 << 76 | (noise >> 62 & 0xFFF) << 64 | 0b10 << 62 | noise & ((1 << 62) - 1)
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class Asking:
    """The work of one request: ``result`` is the response, or ``error`` says why there is none.

    The same ``decision_id`` gets the same answer again, without a draw; with ``reuse_open`` a page reload gets the
    open decision again. ``blocked_by`` counts the guardrails that spoke, for metrics.
    """

    def __init__(self, request: AskRequest, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self.request = request
        self._random = random
        self.result: dict[str, Any] | None = None
        self.error: BadRequest | None = None
        self.is_new = False
        self.label = ""
        self.blocked_by: tuple[str, ...] = ()
        self._audit: bytes = b""
        self._must_wait = False
        self._digest = request_digest(request)
        self._minted = SESSION_PREFIX + random(16).hex() if request.visitor_id is None else None

    @property
    def visitor_id(self) -> str:
        """The visitor's id, or the one made for this session."""
        return self._minted or self.request.visitor_id or ""

    def needs(self) -> Needs:
        """See ``Work``."""
        decisions = () if self.request.decision_id is None else (self.request.decision_id,)
        visitors = () if self.request.history is not None or self._minted else (self.visitor_id,)
        return Needs(visitors, decisions)

    def attempt(self, view: View) -> Sequence[Commit]:
        """See ``Work``."""
        request = self.request
        self._must_wait = self.is_new = False
        if request.at is not None and request.history is None:
            raise BadRequest("invalid_request", "at: is allowed only together with history.", field="at")
        if request.decision_id is not None:
            stored = view.decision(request.decision_id)
            if stored is not None:
                self._repeat(stored)
                # Another work of the same group made it: wait until it is durable.
                self._must_wait = view.is_own_decision(request.decision_id)
                return ()
        live = find_journey(view.journeys, request.journey)
        if request.history is not None:
            return self._from_history(view, live)
        return self._from_store(view, live)

    def settle(self, written: Sequence[bool]) -> bool:
        """See ``Work``."""
        if self._must_wait or not all(written):
            return False
        self.result = response_of(self._audit, trace=self.request.trace)
        return True

    def fail(self, error: BadRequest) -> None:
        """See ``Work``."""
        self.error = error

    def _from_store(self, view: View, live: LiveJourney) -> Sequence[Commit]:
        request, catalog = self.request, live.catalog
        held = view.visitor(self.visitor_id)
        memory = held.memory
        now = memory.next_arrival(view.now)
        answers = merged_answers(memory.answers, request.answers)
        state = memory.journeys.get(catalog.journey) or JourneyState()
        situation = situation_for(live, state, now, request, answers)
        if self._reuse(view, live, situation):
            if answers == memory.answers:
                return ()
            memory.last_received_at, memory.answers = now, answers
            return (Commit(visitors=(write_visitor(held),)),)
        unit = sticky_unit(view.secret, catalog.journey, held.visitor_id)
        serve = served(live, arm_for(live, situation.state, unit)) if request.profile else unprofiled()
        decision_id = request.decision_id or new_decision_id(now, self._random)
        choice = choose(live, situation, serve, draw_unit(view.secret, catalog.journey, decision_id))
        decision = self._decision(live, choice, situation, decision_id, held.visitor_id)
        stored = self._stored(view, live, choice, situation, decision)
        memory.last_received_at = now
        memory.answers = answers
        if not request.deferred:
            show(memory.journey(catalog.journey), decision, live.scopes)
        view.put_decision(stored)
        return (Commit(visitors=(write_visitor(held),), decisions=(stored,)),)

    def _from_history(self, view: View, live: LiveJourney) -> Sequence[Commit]:
        request, catalog = self.request, live.catalog
        now = view.now if request.at is None else request.at
        state = state_from_history(request.history or (), live.scopes, now)
        situation = situation_for(live, state, now, request, merged_answers({}, request.answers))
        # A history names no arms: the visitor's own is the one its id stands for.
        arm = arm_for(live, JourneyState(), sticky_unit(view.secret, catalog.journey, self.visitor_id))
        serve = served(live, "main" if self._minted else arm) if request.profile else unprofiled()
        decision_id = request.decision_id or new_decision_id(view.now, self._random)
        choice = choose(live, situation, serve, draw_unit(view.secret, catalog.journey, decision_id))
        decision = self._decision(live, choice, situation, decision_id, self.visitor_id)
        stored = replace(self._stored(view, live, choice, situation, decision), scope="history")
        view.put_decision(stored)
        return (Commit(decisions=(stored,)),)

    def _reuse(self, view: View, live: LiveJourney, situation: Situation) -> bool:
        """Answers with the open decision where the journey wants that for page reloads."""
        state, catalog = situation.state, live.catalog
        is_recent = situation.now - state.open_decision_at < catalog.reuse_open_s * 1_000_000
        if not (catalog.reuse_open_s and state.open_decision and is_recent) or self.request.decision_id is not None:
            return False
        stored = view.decision(state.open_decision)
        if stored is None or stored.status != "open" or self.request.deferred or not stored.audit:
            # An imported decision has no answer of ours that could be given again.
            return False
        ask_id = stored.decision.ask_id
        if stored.decision.is_learnable != self.request.profile:
            return False
        if ask_id is None or ask_id not in catalog.position:
            return False
        blocks = live.guards.all_blocks(catalog.ask(ask_id), situation)
        pardoned = _OWN_SHOW_RULES | (live.guards.effort_rules if stored.decision.policy == _DIRECT_ARM else set())
        if any(block.guardrail not in pardoned for block in blocks):
            return False
        self._audit = stored.audit
        self._must_wait = view.is_own_decision(state.open_decision)
        return True

    def _repeat(self, stored: StoredDecision) -> None:
        if stored.request_digest != self._digest:
            raise BadRequest(
                "conflict",
                f"decision_id: {self.request.decision_id} was asked before with other fields; "
                "use a new decision_id for another request.",
                status=409,
                field="decision_id",
                received=self.request.decision_id,
            )
        self._audit = stored.audit

    def _decision(
        self, live: LiveJourney, choice: Choice, situation: Situation, decision_id: str, visitor_id: str
    ) -> Decision:
        rows = choice.weighed.served.rows
        return Decision(
            decision_id=decision_id,
            visitor_id=visitor_id,
            journey=live.catalog.journey,
            at=situation.now,
            received_at=situation.now,
            ask_id=choice.ask_id,
            propensity=choice.propensity,
            eligible=choice.weighed.eligible,
            policy=choice.weighed.served.label,
            channel=situation.channel,
            context=situation.context,
            answers=situation.answers,
            withheld=choice.weighed.withheld,
            is_learnable=self.request.profile,
            catalog_digest=live.catalog.digest,
            fingerprint="" if rows is None else rows.spec.fingerprint,
        )

    def _stored(
        self, view: View, live: LiveJourney, choice: Choice, situation: Situation, decision: Decision
    ) -> StoredDecision:
        response = response_to(live, choice, situation, decision)
        response["visitor_id"] = self.visitor_id
        response["decision_token"] = token_for(view.secret, decision)
        response["visitor_token"] = visitor_token(view.secret, self.visitor_id)
        record = {
            "response": response,
            "candidates": candidates_json(choice),
            "blocked": blocked_json(choice),
            "deferred": self.request.deferred,
        }
        self.is_new = True
        self.label = decision.policy
        self.blocked_by = tuple(block.guardrail for block in choice.weighed.blocked.values())
        self._audit = _pack.encode(record)
        status = "deferred" if self.request.deferred and decision.ask_id is not None else "open"
        return StoredDecision(decision, status, request_digest=self._digest, audit=self._audit)  # type: ignore[arg-type]


def find_journey(journeys: Mapping[str, LiveJourney], name: str | None) -> LiveJourney:
    """The journey of that name, or the only one there is.

    Raises:
        BadRequest: 404 for an unknown name, 422 for no name where there are several journeys (or none).
    """
    if name is not None:
        live = journeys.get(name)
        if live is None:
            raise BadRequest(
                "unknown_journey",
                f"journey: there is no journey {name!r}.",
                status=404,
                field="journey",
                received=name,
                allowed=sorted(journeys),
            )
        return live
    if len(journeys) != 1:
        raise BadRequest(
            "invalid_request",
            f"journey: is required, as this service has {len(journeys)} journeys.",
            field="journey",
            allowed=sorted(journeys),
        )
    return next(iter(journeys.values()))


def request_digest(request: AskRequest) -> bytes:
    """A digest of everything in a request that may change the answer (``trace`` and the id itself do not)."""
    fields = request.__dict__
    content = {
        name: fields[name] for name in fields if name not in ("trace", "decision_id", "history", "visitor_token")
    }
    if request.history is not None:
        content["history"] = [item.__dict__ for item in request.history]
    return blake2b(_json.encode(content), digest_size=16).digest()


def merged_answers(
    known: Mapping[str, FeatureValue], given: Mapping[str, FeatureValue | None]
) -> dict[str, FeatureValue]:
    """A profile with newly given answers; the latest wins, null says nothing."""
    merged = dict(known)
    merged.update((key, value) for key, value in given.items() if value is not None)
    return merged


def write_visitor(held: Held) -> VisitorWrite:
    """The write of a visitor's changed memory; the held version moves on for the group's next write."""
    expected = held.version
    held.version = max(expected + 1, held.memory.last_received_at)
    return VisitorWrite(held.visitor_id, expected, held.version, encode(held.memory))


def response_to(live: LiveJourney, choice: Choice, situation: Situation, decision: Decision) -> dict[str, Any]:
    """The HTTP response without ids and tokens of the visitor."""
    catalog, serve = live.catalog, choice.weighed.served
    response: dict[str, Any] = {
        "decision_id": decision.decision_id,
        "decision_token": None,
        "visitor_id": None,
        "visitor_token": None,
        "journey": catalog.journey,
        "ask": None,
        "propensity": choice.propensity,
        "progress": None,
        "policy": {"name": serve.name, "version": serve.version, "reason": serve.reason},
    }
    if choice.ask_id is None:
        possible_at = next_possible_at(live.guards, situation)
        response["next_possible_at"] = None if possible_at is None else to_iso(possible_at)
        return response
    ask = catalog.ask(choice.ask_id)
    response["ask"] = {
        "id": ask.id,
        "title": ask.title,
        "kind": ask.kind,
        "stage": ask.stage,
        "effort": ask.effort,
        "gives": ask.gives,
        "why": ask.why,
        "payload": ask.payload,
    }
    response["progress"] = progress(catalog, situation.state, ask.id)
    return response


def progress(catalog: Catalog, state: JourneyState, ask_id: str) -> dict[str, Any]:
    """The promise made to a visitor, like "step 2 of 4": ``of`` never grows; the goal ask is always the last step."""
    of = len(catalog.baseline)
    step = of if ask_id == catalog.goal else min(of, 1 + state.session_accepted)
    return {"step": step, "of": of, "goal": catalog.goal}


def response_of(audit: bytes, *, trace: bool) -> dict[str, Any]:
    """The response kept in an audit record."""
    record = _unpack.decode(audit)
    response: dict[str, Any] = record["response"]
    if trace:
        response["candidates"] = record["candidates"]
        response["blocked"] = record["blocked"]
    return response


def audit_of(stored: StoredDecision) -> dict[str, Any]:
    """The audit record of a decision as plain objects."""
    record: dict[str, Any] = _unpack.decode(stored.audit) if stored.audit else {}
    return record


def situation_for(
    live: LiveJourney,
    state: JourneyState,
    now: int,
    request: AskRequest,
    answers: Mapping[str, FeatureValue],
) -> Situation:
    """The situation of a request at ``now``, with ``answers`` as the visitor's profile."""
    return Situation(
        catalog=live.catalog,
        state=as_of(state, now, live.scopes),
        now=now,
        channel=request.channel,
        context=of_declared_types(merged_answers({}, request.context), live.catalog.context),
        answers=of_declared_types(answers, live.catalog.answers),
        consents=frozenset(request.consents),
        exclude=frozenset(request.exclude),
    )


def candidates_json(choice: Choice) -> list[dict[str, Any]]:
    """``candidates`` of a traced answer: all that was eligible, as the visitor's arm weighs it."""
    weighed = choice.weighed
    blank = (None,) * len(weighed.eligible)
    rows = zip(
        weighed.eligible, weighed.probabilities, weighed.p_accepts or blank, weighed.values or blank, strict=True
    )
    return [
        {"ask_id": ask_id, "propensity": probability, "p_accept": p_accept, "value": value}
        for ask_id, probability, p_accept, value in rows
    ]


def blocked_json(choice: Choice) -> list[dict[str, Any]]:
    """``blocked`` of a traced answer: what may not be asked now, by which guardrail, why."""
    return [
        {"ask_id": ask_id, "guardrail": block.guardrail, "reason": block.reason}
        for ask_id, block in choice.weighed.blocked.items()
    ]


def token_for(secret: bytes, decision: Decision) -> str:
    """The token with which a page proves that it was given this decision."""
    return decision_token(secret, decision.decision_id, decision.visitor_id, decision.ask_id, decision.at + TOKEN_LIFE)
