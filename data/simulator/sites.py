"""Small sites for trying things out: they know the catalog's guardrails and nothing else, and keep all in memory.

They decide by the same copy of the guardrails that truth uses (`data.simulator.rules`), so that driving them must
give the exact values. Given a list as ``log``, they append what they decided and heard as objects of `data.domain`.
Their draws depend on the decision's id alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, TypeAlias

from data.clock import from_iso
from data.domain import SECOND, Ask, Catalog, Decision, Event, FeatureValue
from data.simulator.choices import Choose, free_choice, in_order, positions
from data.simulator.clock import Clock
from data.simulator.rules import NOTHING, Memory, Rules

Json: TypeAlias = dict[str, Any]
Log: TypeAlias = list[Decision | Event]
_FINAL: Final = ("accepted", "declined")


@dataclass(slots=True)
class _Seen:
    """What a site remembers of a visitor."""

    memory: Memory
    asked_at: int = 0
    received_at: int = 0
    answers: dict[str, FeatureValue] = field(default_factory=dict)


class _Open(NamedTuple):
    """A decision that waits for its answer, and the memory before it."""

    visitor_id: str
    ask: int
    before: Memory


class RuleSite:
    """Shows one of the asks that ``choose`` names, each equally likely."""

    def __init__(
        self, catalog: Catalog, rules: Rules, choose: Choose, clock: Clock, *, policy: str, log: Log | None = None
    ) -> None:
        self._catalog, self._rules, self._choose, self._clock = catalog, rules, choose, clock
        self._policy, self._log = policy, log
        self._gap = catalog.session_gap_s * SECOND
        self._visitors: dict[str, _Seen] = {}
        self._open: dict[str, _Open] = {}
        self._responses = [_response_of(ask) for ask in catalog.asks]
        self._n_decisions = 0

    def next_ask(self, request: Json) -> Json:
        """Decides and remembers; guardrails hold across requests."""
        visitor_id, now = request["visitor_id"], self._clock()
        seen = self._visitor(visitor_id)
        if now - seen.asked_at >= self._gap:
            seen.memory = self._rules.next_visit(seen.memory)
        seen.asked_at = now
        seen.answers.update(request.get("answers") or {})
        self._n_decisions += 1
        decision_id = request.get("decision_id") or f"d{self._n_decisions}"
        choices = self._choose(seen.memory)
        ask = choices[int(_uniform(decision_id) * len(choices))]
        if self._log is not None:
            self._log.append(self._decision(request, decision_id, seen, choices, ask))
        if ask != NOTHING:
            self._open[decision_id] = _Open(visitor_id, ask, seen.memory)
            seen.memory = self._rules.after(seen.memory, ask, "ignored")
        return {
            "decision_id": decision_id,
            "visitor_id": visitor_id,
            "journey": self._catalog.journey,
            "ask": None if ask == NOTHING else self._responses[ask],
            "propensity": 1.0 / len(choices),
            "policy": {"name": self._policy, "version": None, "reason": None},
        }

    def outcomes(self, events: list[Json]) -> Json:
        """Takes what happened; the first final answer of a decision counts."""
        rejected = []
        for index, event in enumerate(events):
            answered = self._open.get(event.get("decision_id", ""))
            if answered is None and "visitor_id" not in event:
                rejected.append({"index": index, "error": {"code": "unknown_decision"}})
                continue
            seen = self._visitor(answered.visitor_id if answered is not None else event["visitor_id"])
            if answered is not None and event["type"] in _FINAL:
                del self._open[event["decision_id"]]
                seen.memory = self._rules.after(answered.before, answered.ask, event["type"])
                seen.answers.update(event.get("answers") or {})
            if self._log is not None:
                self._log.append(self._event(event, answered, seen))
        return {"accepted": len(events) - len(rejected), "duplicates": 0, "rejected": rejected}

    def _visitor(self, visitor_id: str) -> _Seen:
        seen = self._visitors.get(visitor_id)
        if seen is None:
            seen = self._visitors[visitor_id] = _Seen(self._rules.start(), asked_at=self._clock())
        return seen

    def _decision(self, request: Json, decision_id: str, seen: _Seen, choices: Sequence[int], ask: int) -> Decision:
        seen.received_at = max(self._clock(), seen.received_at + 1)
        names = [item.id for item in self._catalog.asks]
        possible = sorted({*self._rules.eligible(seen.memory), *choices} - {NOTHING})
        is_null_possible = NOTHING in choices or self._catalog.allow_nothing
        return Decision(
            decision_id=decision_id,
            visitor_id=request["visitor_id"],
            journey=self._catalog.journey,
            at=seen.received_at,
            received_at=seen.received_at,
            ask_id=None if ask == NOTHING else names[ask],
            propensity=1.0 / len(choices),
            eligible=(*(names[i] for i in possible), *((None,) if is_null_possible else ())),
            policy=self._policy,
            channel=request.get("channel", "web"),
            context=dict(request.get("context", {})),
            answers=dict(seen.answers),
            catalog_digest=self._catalog.digest,
        )

    def _event(self, event: Json, answered: _Open | None, seen: _Seen) -> Event:
        seen.received_at = max(self._clock(), seen.received_at + 1)
        at = from_iso(event["at"]) if "at" in event else self._clock()
        return Event(
            visitor_id=event["visitor_id"] if answered is None else answered.visitor_id,
            type=event["type"],
            at=at,
            received_at=seen.received_at,
            journey=self._catalog.journey,
            ask_id=None if answered is None else self._catalog.asks[answered.ask].id,
            event_id=event.get("event_id"),
            decision_id=event.get("decision_id"),
            signal=event.get("signal"),
            order_id=event.get("order_id"),
            value=event.get("value"),
            answers=dict(event.get("answers") or {}),
        )


class RandomSite(RuleSite):
    """Draws uniformly from the eligible asks."""

    def __init__(self, catalog: Catalog, clock: Clock, log: Log | None = None) -> None:
        rules = Rules(catalog)
        super().__init__(catalog, rules, free_choice(rules), clock, policy="random", log=log)


class FixedSequenceSite(RuleSite):
    """Follows a list of asks by the baseline's rule; default: the catalog's baseline."""

    def __init__(
        self, catalog: Catalog, clock: Clock, sequence: Sequence[str] | None = None, log: Log | None = None
    ) -> None:
        rules, asks = Rules(catalog), catalog.baseline if sequence is None else sequence
        choose = in_order(rules, positions(catalog, asks))
        super().__init__(catalog, rules, choose, clock, policy="sequence", log=log)


class DirectSite(RuleSite):
    """Asks for the goal, exempt from the two effort rules, and for nothing else."""

    def __init__(self, catalog: Catalog, clock: Clock, log: Log | None = None) -> None:
        rules = Rules(replace(catalog, limits=replace(catalog.limits, direct_ask=True)))
        super().__init__(catalog, rules, in_order(rules, [rules.goal]), clock, policy="direct", log=log)


def _uniform(decision_id: str) -> float:
    digest = hashlib.blake2b(decision_id.encode(), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / 2.0**53


def _response_of(ask: Ask) -> Json:
    return {
        "id": ask.id,
        "title": ask.title,
        "kind": ask.kind,
        "stage": ask.stage,
        "effort": ask.effort,
        "gives": ask.gives,
        "why": ask.why,
        "payload": dict(ask.payload),
    }
