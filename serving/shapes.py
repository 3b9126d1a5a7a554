"""What goes out over HTTP, as pydantic models: for the documentation and for tests. Answers are not built from them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Instant = str
Digest = str


class Shape(BaseModel):
    """Part of an answer."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class ErrorBody(Shape):
    """What was wrong, where, the value received, and what is allowed."""

    code: str
    message: str
    field: str | None
    received: Any
    allowed: Any


class ErrorAnswer(Shape):
    """The one shape of every error."""

    error: ErrorBody


class AskShape(Shape):
    """What to ask now."""

    id: str
    title: str
    kind: str
    stage: str | None
    effort: float
    gives: float
    why: str | None
    payload: dict[str, Any]


class Progress(Shape):
    """Step ``step`` of ``of``; the number of steps never grows."""

    step: int
    of: int
    goal: str


class Policy(Shape):
    """Who decided; ``reason`` says why, where it is ``fallback``."""

    name: Literal["champion", "challenger", "holdout", "baseline", "fallback"]
    version: str | None
    reason: str | None


class Candidate(Shape):
    """One of the asks that could have been drawn; ``ask_id`` null is asking nothing."""

    ask_id: str | None
    propensity: float
    p_accept: float | None
    value: float | None


class Blocked(Shape):
    """An ask that a guardrail ruled out, and why."""

    ask_id: str
    guardrail: str
    reason: str


class DecisionAnswer(Shape):
    """One decision. ``candidates`` and ``blocked`` come with ``trace``, ``next_possible_at`` with a null ask."""

    decision_id: str
    decision_token: str
    visitor_id: str
    visitor_token: str | None
    journey: str
    ask: AskShape | None
    propensity: float = Field(gt=0, le=1)
    progress: Progress | None
    policy: Policy
    candidates: list[Candidate] = []
    blocked: list[Blocked] = []
    next_possible_at: Instant | None = None


class DecisionsAnswer(Shape):
    """One item for each request, in order."""

    decisions: list[DecisionAnswer | ErrorAnswer]


class Rejected(Shape):
    """An event that was not taken."""

    index: int
    error: ErrorBody


class OutcomesAnswer(Shape):
    """What became of the events; what is accepted is durable."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]


class MergeAnswer(Shape):
    """Whether this merged anything: two ids that are one already are left as they are."""

    from_id: str = Field(alias="from")
    to_id: str = Field(alias="to")
    merged: bool


class RequestParts(Shape):
    """What of the request counted."""

    channel: str
    context: dict[str, Any]
    answers: dict[str, Any]


class AnswerEvent(Shape):
    """An event that answers a decision."""

    type: str
    at: Instant
    received_at: Instant
    event_id: str | None
    order_id: str | None
    value: float | None
    answers: dict[str, Any]


class DecisionRecord(Shape):
    """Everything that led to a decision, and what became of it."""

    decision_id: str
    visitor_id: str
    journey: str
    at: Instant
    received_at: Instant
    shown_at: Instant | None
    status: Literal["open", "accepted", "declined", "ignored", "deferred", "expired"]
    answered_at: Instant | None
    from_history: bool
    deferred: bool
    request: RequestParts
    ask_id: str | None
    propensity: float | None
    eligible: list[str | None] | None
    withheld: list[str]
    candidates: list[Candidate]
    blocked: list[Blocked]
    policy: str
    catalog: Digest
    features: str | None
    learn: bool
    response: dict[str, Any]
    answers: list[AnswerEvent]


class VisitorAnswer(Shape):
    """What is known of a visitor, state by journey as a decision now would see it; ``merged`` are its other ids."""

    visitor_id: str
    merged: list[str]
    last_received_at: Instant | None
    answers: dict[str, Any]
    journeys: dict[str, dict[str, Any]]


class ErasedAnswer(Shape):
    """How many rows were deleted: 0 where nothing was known."""

    visitor_id: str
    deleted: int


class JourneyAnswer(BaseModel):
    """A catalog as in its file, without what is the default, and the digest of what it says."""

    model_config = ConfigDict(extra="allow")

    format: int
    journey: str
    goal: str
    baseline: list[str]
    asks: list[dict[str, Any]]
    digest: Digest


class JourneysAnswer(Shape):
    """Every journey."""

    journeys: list[JourneyAnswer]


class Live(Shape):
    """A policy that is live."""

    version: str
    digest: Digest


class Trial(Live):
    """A policy on trial with a sticky share of visitors."""

    share: float


class HoldoutShape(Shape):
    """A sticky share of visitors with a fixed policy."""

    share: float
    policy: Literal["baseline", "direct", "random", "none"]


class JourneyPolicy(Shape):
    """What serves the visitors of a journey; ``trouble`` says what cannot be loaded."""

    champion: Live | None
    challenger: Trial | None
    holdout: list[HoldoutShape]
    trouble: str | None
    catalog: Digest
    loaded_at: Instant


class PolicyAnswer(Shape):
    """By journey."""

    journeys: dict[str, JourneyPolicy]


class AliveAnswer(Shape):
    """The process answers."""

    alive: Literal[True]


class ReadyAnswer(Shape):
    """Whether decisions can be made; details are for `read` and `admin` keys, others see numbers."""

    ready: bool
    store: str
    journeys: int | list[str]
    catalog_faults: int | list[str]
    catalog_warnings: list[str] = []
    policy_troubles: int | dict[str, str]
    registry_troubles: int | dict[str, str]
    advice: str | None = None
