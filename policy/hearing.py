"""Hearing: outcomes become durable events and advance the visitor's state, each of them once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any, Final

from data.domain import FINAL_ANSWERS, SECOND, Event
from data.errors import BadRequest
from data.stores.protocol import Commit, StatusWrite, StoredDecision, StoredEvent
from features.state import JourneyState, advance, as_of, show
from policy.asking import audit_of, find_journey, merged_answers, write_visitor
from policy.desk import Held, Needs, View
from policy.live import LiveJourney
from policy.messages import Outcome, parse
from policy.situation import EveryConsent, Situation

FUTURE: Final = 300 * SECOND
"""How far ahead of the server's clock an event's time may be."""


class Hearing:
    """The work of one batch of outcomes; ``report`` is the HTTP response.

    Each event is judged by itself: accepted, duplicate, or rejected with a reason. What is reported as accepted
    is durable.
    """

    def __init__(self, events: Sequence[Any]) -> None:
        self.error: BadRequest | None = None
        self._outcomes: dict[int, Outcome] = {}
        self._rejected: dict[int, BadRequest] = {}
        self._accepted: set[int] = set()
        self._duplicates: set[int] = set()
        self._proposed: list[tuple[int, ...]] = []
        for index, event in enumerate(events):
            try:
                self._outcomes[index] = event if isinstance(event, Outcome) else parse(Outcome, event)
            except BadRequest as error:
                self._rejected[index] = error

    @property
    def report(self) -> dict[str, Any]:
        """The response: how many were accepted or known already, and which were rejected, why."""
        return {
            "accepted": len(self._accepted),
            "duplicates": len(self._duplicates),
            "rejected": [
                {"index": index, "error": error_body(error)} for index, error in sorted(self._rejected.items())
            ],
        }

    def needs(self) -> Needs:
        """See ``Work``."""
        pending = [self._outcomes[index] for index in self._pending()]
        return Needs(
            visitors=tuple({o.visitor_id for o in pending if o.visitor_id is not None}),
            decisions=tuple({o.decision_id for o in pending if o.decision_id is not None}),
            events=tuple({event_id_of(o) for o in pending}),
        )

    def attempt(self, view: View) -> Sequence[Commit]:
        """See ``Work``."""
        drafts: dict[str, _Draft] = {}
        for index in self._pending():
            outcome = self._outcomes[index]
            try:
                self._hear(view, index, outcome, drafts)
            except BadRequest as error:
                self._rejected[index] = error
        self._proposed = [tuple(draft.indexes) for draft in drafts.values()]
        return [draft.commit() for draft in drafts.values()]

    def settle(self, written: Sequence[bool]) -> bool:
        """See ``Work``."""
        for indexes, is_written in zip(self._proposed, written, strict=True):
            if is_written:
                self._accepted.update(indexes)
        self._proposed = []
        return not self._pending()

    def fail(self, error: BadRequest) -> None:
        """See ``Work``."""
        self.error = error

    def _pending(self) -> list[int]:
        done = self._rejected.keys() | self._accepted | self._duplicates
        return [index for index in self._outcomes if index not in done]

    def _hear(self, view: View, index: int, outcome: Outcome, drafts: dict[str, _Draft]) -> None:
        key = event_id_of(outcome)
        if view.is_known(key):
            self._known(view.is_own_event(key), index)
            return
        about = _about(view, outcome)
        if about.stored is not None and _is_settled(about.stored, outcome):
            self._known(view.is_own_decision(about.stored.decision.decision_id), index)
            return
        held = view.visitor(about.visitor_id)
        draft = drafts.get(held.visitor_id) or _Draft(held)
        draft.take(view, key, outcome, about)
        draft.indexes.append(index)
        drafts[held.visitor_id] = draft

    def _known(self, is_own: bool, index: int) -> None:
        """Counts a duplicate; that of an event which this very group takes is judged again once that is durable."""
        if not is_own:
            self._duplicates.add(index)


@dataclass(frozen=True, slots=True)
class _About:
    """What an outcome concerns: a visitor and journey, and the decision it answers, if any."""

    visitor_id: str
    journey: str
    live: LiveJourney | None
    stored: StoredDecision | None
    ask_id: str | None
    decided_at: int = 0


@dataclass
class _Draft:
    """The commit of one visitor in the making."""

    held: Held
    indexes: list[int] = field(default_factory=list)
    events: list[StoredEvent] = field(default_factory=list)
    statuses: dict[str, StatusWrite] = field(default_factory=dict)

    def take(self, view: View, key: str, outcome: Outcome, about: _About) -> None:
        """Adds an event: checks it whole before anything is changed.

        Raises:
            BadRequest: the event is rejected.
        """
        memory = self.held.memory
        received_at = memory.next_arrival(view.now)
        at = _happened_at(outcome, about, received_at, view.now)
        stored, live = about.stored, about.live
        is_activation = stored is not None and stored.status == "deferred"
        if is_activation and stored is not None:
            _check_activation(memory.journeys.get(about.journey), live, stored, received_at)
        memory.last_received_at = received_at
        memory.answers = merged_answers(memory.answers, outcome.answers)
        state = memory.journey(about.journey)
        if is_activation and stored is not None:
            stored = self._activate(view, stored, live, state, (at, received_at))
            received_at = memory.last_received_at = received_at + 1
        if outcome.type != "shown":
            event = _event(outcome, about, self.held.visitor_id, (at, received_at))
            self.events.append(StoredEvent(key, event))
            if live is not None:
                advance(state, event, live.scopes)
        view.put_event(key)
        if stored is not None and outcome.type in ("accepted", "declined", "ignored"):
            self._answer(view, stored, StatusWrite(stored.decision.decision_id, outcome.type, at))

    def commit(self) -> Commit:
        """Everything of this visitor, durable together."""
        return Commit(
            visitors=(write_visitor(self.held),),
            events=tuple(self.events),
            statuses=tuple(self.statuses.values()),
        )

    def _activate(
        self,
        view: View,
        stored: StoredDecision,
        live: LiveJourney | None,
        state: JourneyState,
        times: tuple[int, int],
    ) -> StoredDecision:
        at, received_at = times
        write = StatusWrite(stored.decision.decision_id, "open", None, received_at, at)
        activated = write.applied_to(stored)
        if live is not None:
            show(state, activated.decision, live.scopes)
        self._answer(view, stored, write)
        return activated

    def _answer(self, view: View, stored: StoredDecision, write: StatusWrite) -> None:
        earlier = self.statuses.get(write.decision_id)
        if earlier is not None and write.received_at is None:
            write = replace(write, received_at=earlier.received_at, shown_at=earlier.shown_at)
        self.statuses[write.decision_id] = write
        view.put_decision(write.applied_to(stored))


def event_id_of(outcome: Outcome) -> str:
    """What makes an event idempotent: its ``event_id``, else one derived from what it is about and its time if sent.

    Example:
        >>> event_id_of(Outcome(type="accepted", event_id="e-1"))
        'e-1'
    """
    if outcome.event_id is not None:
        return outcome.event_id
    if outcome.decision_id is not None:
        subject: tuple[str, ...] = ("d", outcome.decision_id)
    else:
        subject = ("v", outcome.journey or "", outcome.visitor_id or "")
    return derived_event_id(subject, outcome.type, outcome.ask_id, outcome.signal, outcome.at)


def derived_event_id(
    subject: Sequence[str], event_type: str, ask_id: str | None, signal: str | None, at: int | None
) -> str:
    """An id for an event that came without one: the same event gets the same id again."""
    parts = (*subject, event_type, ask_id or "", signal or "", "" if at is None else str(at))
    return "auto-" + blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()


def error_body(error: BadRequest) -> dict[str, Any]:
    """The one error shape of the HTTP interface, without its envelope."""
    return {
        "code": error.code,
        "message": error.message,
        "field": error.field,
        "received": error.received,
        "allowed": error.allowed,
    }


def _about(view: View, outcome: Outcome) -> _About:
    if outcome.type == "signal" and outcome.signal is None:
        raise _bad("invalid_request", "signal: is required for a signal.", "signal")
    if outcome.decision_id is not None:
        return _about_decision(view, outcome, outcome.decision_id)
    if outcome.visitor_id is None:
        raise _bad("invalid_request", "decision_id, or visitor_id and journey, are required.", "decision_id")
    if outcome.type == "shown":
        raise _bad(
            "invalid_request", "decision_id: is required for shown, which activates a deferred decision.", "decision_id"
        )
    live = find_journey(view.journeys, outcome.journey)
    journey = live.catalog.journey
    if outcome.type not in ("accepted", "declined", "ignored"):
        return _About(outcome.visitor_id, journey, live, None, outcome.ask_id)
    if outcome.ask_id is None:
        raise _bad("invalid_request", f"ask_id: is required for {outcome.type} without a decision_id.", "ask_id")
    if outcome.ask_id not in live.catalog.position:
        allowed = [ask.id for ask in live.catalog.asks]
        raise BadRequest(
            "unknown_ask",
            f"ask_id: journey {journey} has no ask {outcome.ask_id!r}.",
            field="ask_id",
            received=outcome.ask_id,
            allowed=allowed,
        )
    stored = view.latest_open(journey, view.canonical(outcome.visitor_id), outcome.ask_id)
    if stored is None and outcome.type != "accepted":
        raise _bad("no_open_decision", f"ask_id: this visitor has no open decision for {outcome.ask_id!r}.", "ask_id")
    decided_at = 0 if stored is None else stored.decision.at
    return _About(outcome.visitor_id, journey, live, stored, outcome.ask_id, decided_at)


def _about_decision(view: View, outcome: Outcome, decision_id: str) -> _About:
    stored = view.decision(decision_id)
    if stored is None or stored.scope == "history":
        raise BadRequest(
            "unknown_decision",
            "decision_id: there is no such decision"
            + (" of a visitor (it was made from a history in the request)." if stored is not None else "."),
            status=404,
            field="decision_id",
            received=decision_id,
        )
    decision = stored.decision
    for name, given, known in (
        ("visitor_id", outcome.visitor_id, None),
        ("journey", outcome.journey, decision.journey),
        (
            "ask_id",
            outcome.ask_id if outcome.type in ("accepted", "declined", "ignored", "shown") else None,
            decision.ask_id,
        ),
    ):
        if given is not None and known is not None and given != known:
            raise BadRequest(
                "invalid_request", f"{name}: is not that of the decision.", field=name, received=given, allowed=[known]
            )
    if outcome.visitor_id is not None and view.canonical(outcome.visitor_id) != view.canonical(decision.visitor_id):
        raise BadRequest(
            "invalid_request",
            "visitor_id: is not that of the decision.",
            field="visitor_id",
            received=outcome.visitor_id,
        )
    if outcome.type in ("accepted", "declined", "ignored", "shown") and decision.ask_id is None:
        raise _bad(
            "nothing_asked", "decision_id: this decision asked nothing, so there is nothing to answer.", "decision_id"
        )
    if outcome.type == "shown" and not audit_of(stored).get("deferred"):
        raise _bad(
            "not_deferred", "type: shown is only for deferred decisions; others count as shown when made.", "type"
        )
    answers = outcome.type in ("accepted", "declined", "ignored", "shown")
    live = view.journeys.get(decision.journey)
    return _About(
        decision.visitor_id, decision.journey, live, stored if answers else None, decision.ask_id, decision.at
    )


def _is_settled(stored: StoredDecision, outcome: Outcome) -> bool:
    """Whether an answer comes after the final one, or a second time."""
    if outcome.type == "shown":
        return stored.status != "deferred"
    if stored.status in FINAL_ANSWERS:
        return True
    return stored.status == "ignored" and outcome.type == "ignored"


def _happened_at(outcome: Outcome, about: _About, received_at: int, now: int) -> int:
    at = received_at if outcome.at is None else outcome.at
    if at > now + FUTURE and outcome.at is not None:
        raise BadRequest(
            "in_the_future",
            "at: is more than 5 minutes ahead of the server's clock.",
            field="at",
            received=outcome.at,
        )
    # A client's clock that is ahead must not move the visitor's session and episode into the future.
    return max(min(at, received_at), about.decided_at)


def _check_activation(state: JourneyState | None, live: LiveJourney | None, stored: StoredDecision, now: int) -> None:
    """Checks the caps again for an ask that was decided earlier and is seen only now.

    Raises:
        BadRequest: a guardrail forbids the ask by now.
    """
    decision = stored.decision
    if live is None or decision.ask_id is None or decision.ask_id not in live.catalog.position:
        raise BadRequest("expired", "decision_id: the journey no longer has this ask.", status=409, field="decision_id")
    situation = Situation(
        catalog=live.catalog,
        state=as_of(state or JourneyState(), now, live.scopes),
        now=now,
        channel=decision.channel,
        context=decision.context,
        answers=decision.answers,
        consents=EveryConsent(),
    )
    exempt = live.guards.effort_rules if decision.policy == "holdout:direct" else frozenset()
    blocks = live.guards.all_blocks(live.catalog.ask(decision.ask_id), situation)
    blocks = [block for block in blocks if block.guardrail not in exempt]
    if blocks:
        raise BadRequest(
            "expired",
            f"decision_id: the ask may not be shown any more ({blocks[0].guardrail}: {blocks[0].reason}). "
            "An acceptance made all the same can be reported with visitor_id, journey and ask_id.",
            status=409,
            field="decision_id",
            received=decision.decision_id,
        )


def _event(outcome: Outcome, about: _About, visitor_id: str, times: tuple[int, int]) -> Event:
    is_answer = outcome.type in ("accepted", "declined", "ignored")
    return Event(
        # An answer stands under the id its decision was logged with; after a merge both ids are one.
        visitor_id=visitor_id if about.stored is None else about.stored.decision.visitor_id,
        type=outcome.type,
        at=times[0],
        received_at=times[1],
        journey=about.journey,
        ask_id=about.ask_id if is_answer else None,
        event_id=event_id_of(outcome),
        decision_id=about.stored.decision.decision_id if is_answer and about.stored is not None else None,
        signal=outcome.signal if outcome.type == "signal" else None,
        order_id=outcome.order_id if outcome.type in ("accepted", "converted") else None,
        value=outcome.value if outcome.type in ("accepted", "converted") else None,
        answers=merged_answers({}, outcome.answers),
    )


def _bad(code: str, message: str, field_name: str) -> BadRequest:
    return BadRequest(code, message, field=field_name)
