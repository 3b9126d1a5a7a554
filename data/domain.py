"""The nouns of smallyes. Read this file first; it imports nothing but the standard library.

Times are integers: microseconds since 1970-01-01 UTC, in names that end in ``_at``; 0 means "never".
Durations are whole seconds, in names that end in ``_s``. Nothing here knows files, HTTP or models.

An **ask** is a small thing a site may request of a visitor. A **catalog** lists the asks of one journey and
its rules. A **decision** is one answer to "what should I ask now?": the asks that were possible, the one that
was drawn, and the probability with which it was drawn. An **event** is anything else that happened to a visitor.
An **episode** is one visitor's run of decisions that ends in a conversion, in leaving, or in time running out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal, TypeAlias

EventType: TypeAlias = Literal["shown", "accepted", "declined", "ignored", "converted", "left", "signal", "merged"]
EVENT_TYPES: Final[tuple[EventType, ...]] = (
    "shown",
    "accepted",
    "declined",
    "ignored",
    "converted",
    "left",
    "signal",
    "merged",
)
"""In the order in which events of the same time are taken: a shown ask comes before its answer."""

ANSWER_TYPES: Final = ("accepted", "declined", "ignored")
FINAL_ANSWERS: Final = ("accepted", "declined")

KINDS: Final = (
    "click",
    "question",
    "poll",
    "quiz",
    "video",
    "content",
    "tool",
    "save",
    "share",
    "signup",
    "contact",
    "customize",
    "trial",
    "small_purchase",
    "feedback",
    "purchase",
    "custom",
)
STAGES: Final = ("awareness", "consideration", "decision")
CHANNELS: Final = ("web", "email", "social", "chat", "voice", "app")
HOLDOUT_POLICIES: Final = ("baseline", "direct", "random", "none")

SECOND: Final = 1_000_000
"""Microseconds in a second."""
DAY: Final = 86_400 * SECOND

FeatureValue: TypeAlias = str | float | int | bool
AskId: TypeAlias = str | None
"""``None`` is the decision to ask nothing."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A declared context feature or answer.

    ``values`` is the closed vocabulary of a category, or ``None`` for an open one; ``minimum`` and ``maximum``
    bound a number and are ``None`` where unbounded.
    """

    name: str
    type: Literal["category", "number", "boolean"]
    values: tuple[str, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True, slots=True)
class AudienceRule:
    """One condition on a context feature or answer: every rule of an ask must hold.

    ``operator`` is ``in`` (``operand`` is a tuple of allowed values) or a comparison with a number.
    """

    feature: str
    operator: Literal["in", ">=", ">", "<=", "<", "=="]
    operand: tuple[FeatureValue, ...] | float


@dataclass(frozen=True, slots=True)
class Ask:
    """One micro-commitment a site may request; field by field as in the catalog file.

    ``repeat_after_s`` is ``None`` for an ask that is not asked again once accepted, 0 for one that may be asked
    again at once, else the seconds that must pass after the acceptance.
    """

    id: str
    title: str
    kind: str
    effort: float
    gives: float = 0
    stage: str | None = None
    channels: tuple[str, ...] = CHANNELS
    devices: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()
    collects: tuple[str, ...] = ()
    audience: tuple[AudienceRule, ...] = ()
    cost: float = 0.0
    sensitive: bool = False
    repeat_after_s: int | None = None
    max_shows: int | None = None
    after_decline_s: int | None = None
    consent: str | None = None
    active_from: int | None = None
    active_until: int | None = None
    why: str | None = None
    payload: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Limits:
    """Guardrails of a journey; ``None`` (or ``False``) is off."""

    max_asks_per_session: int | None = None
    max_asks_per_day: int | None = None
    min_gap_s: int | None = None
    cooldown_after_decline_s: int | None = None
    stop_after_declines: int | None = None
    max_effort_step: float | None = None
    max_effort_gap: float | None = None
    step_down_after_decline: bool = False
    direct_ask: bool = False


@dataclass(frozen=True, slots=True)
class Exploration:
    """How much a policy may deviate from what it believes best; all three are shares in [0, 1].

    ``day_zero``: probability spread uniformly over eligible asks while there is no model. ``floor``: probability
    spread uniformly over eligible asks under a model. ``loss``: share of an episode's value exploration may cost.
    """

    day_zero: float = 0.5
    floor: float = 0.05
    loss: float = 0.05


@dataclass(frozen=True, slots=True)
class Holdout:
    """A sticky share of visitors served by a fixed policy."""

    share: float
    policy: Literal["baseline", "direct", "random", "none"]


@dataclass(frozen=True)
class Catalog:
    """One journey: what may be asked, towards what, under which rules.

    ``digest`` is the SHA-256 of the catalog's canonical content: two files that say the same have the same digest.
    """

    journey: str
    goal: str
    baseline: tuple[str, ...]
    asks: tuple[Ask, ...]
    title: str | None = None
    conversion_window_s: int = 7 * 86_400
    session_gap_s: int = 1_800
    allow_nothing: bool = False
    reward: Literal["conversion", "value"] = "conversion"
    settles: Literal["window", "left"] = "window"
    reuse_open_s: int = 0
    exploration: Exploration = Exploration()
    holdout: tuple[Holdout, ...] = ()
    context: tuple[Feature, ...] = ()
    answers: tuple[Feature, ...] = ()
    signals: tuple[str, ...] = ()
    limits: Limits = Limits()
    digest: str = ""

    @cached_property
    def position(self) -> Mapping[str, int]:
        """Index of each ask in ``asks``."""
        return {ask.id: i for i, ask in enumerate(self.asks)}

    @cached_property
    def goal_ask(self) -> Ask:
        """The ask whose acceptance is the conversion."""
        return self.asks[self.position[self.goal]]

    def ask(self, ask_id: str) -> Ask:
        """The ask of that id.

        Raises:
            KeyError: there is no such ask.
        """
        return self.asks[self.position[ask_id]]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a visitor, apart from decisions (see ``Decision``).

    ``at``: when it happened; ``received_at``: when the system learned of it. ``is_prompted`` is set on answers:
    true when the answer belongs to a decision, false for a commitment the visitor made unprompted.
    """

    visitor_id: str
    type: EventType
    at: int
    received_at: int
    journey: str
    ask_id: str | None = None
    event_id: str | None = None
    decision_id: str | None = None
    signal: str | None = None
    order_id: str | None = None
    from_id: str | None = None
    value: float | None = None
    answers: Mapping[str, FeatureValue] = field(default_factory=dict)

    @property
    def is_prompted(self) -> bool:
        """Whether this answers a decision."""
        return self.decision_id is not None


@dataclass(frozen=True, slots=True)
class Decision:
    """One logged decision: everything that was fixed before the draw, and what was drawn.

    ``at`` is the moment of the decision, ``received_at`` the moment from which it counts for the visitor's state
    (the same, except for a deferred decision: there it is its activation), ``shown_at`` when the visitor saw it.
    ``eligible`` are the asks that could have been drawn, ``None`` among them where asking nothing was possible.
    ``withheld`` are the asks which the request itself ruled out (``exclude``, missing consent): it makes
    ``eligible`` recomputable without storing consents. ``policy`` is the log's policy name (``champion:7``).
    """

    decision_id: str
    visitor_id: str
    journey: str
    at: int
    received_at: int
    ask_id: str | None
    propensity: float | None
    eligible: tuple[str | None, ...] | None
    policy: str
    channel: str = "web"
    context: Mapping[str, FeatureValue] = field(default_factory=dict)
    answers: Mapping[str, FeatureValue] = field(default_factory=dict)
    withheld: tuple[str, ...] = ()
    shown_at: int | None = None
    is_learnable: bool = True
    catalog_digest: str = ""
    fingerprint: str = ""

    @property
    def seen_at(self) -> int:
        """When the visitor saw the ask: the time that caps and recency count from."""
        return self.at if self.shown_at is None else self.shown_at


@dataclass(frozen=True, slots=True)
class Step:
    """One decision of an episode and what became of it; ``answer`` is ``ignored`` where none came in time."""

    decision: Decision
    answer: Literal["accepted", "declined", "ignored"]
    answered_at: int | None
    value: float


@dataclass(frozen=True, slots=True)
class Episode:
    """One visitor's run of decisions; see ``data.episodes`` for the rules.

    ``reward`` is in the units of the journey's reward (1 per conversion, or money). ``is_mature`` says that the
    reward is final: its conversion window has passed, whatever the outcome.
    """

    visitor_id: str
    journey: str
    steps: tuple[Step, ...]
    is_converted: bool
    converted_at: int | None
    reward: float
    is_mature: bool
    has_left: bool
