"""Small journeys for the tests of guardrails, told as (minute, what happened, ask)."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from data.clock import from_iso
from data.domain import SECOND, Ask, AudienceRule, Catalog, Decision, Event, Feature, Limits
from features.state import JourneyState, Scopes, as_of, fold
from policy.guardrails.protocol import Block
from policy.guardrails.registry import compile_guards
from policy.situation import Situation

TEN = from_iso("2026-11-21T10:00:00Z")
"""Minute 0 of every story."""
MINUTE = 60 * SECOND
DAY = 24 * 60
"""A day in minutes."""

Step = tuple[float, str, str]


def an_ask(ask_id: str, effort: float = 2, **fields: Any) -> Ask:
    return Ask(ask_id, f"The {ask_id}", "click", effort=effort, **fields)


def a_catalog(*asks: Ask, **fields: Any) -> Catalog:
    ids = tuple(ask.id for ask in asks)
    return Catalog("skincare", goal=ids[-1], baseline=ids, asks=asks, **fields)


def arrivals(steps: tuple[Step, ...]) -> list[Decision | Event]:
    """``yes`` and ``no`` are answered decisions, ``show`` an open one, ``unprompted`` an acceptance without one."""
    told: list[Decision | Event] = []
    for number, (minute, what, ask_id) in enumerate(steps):
        at, key = at_minute(minute), f"d-{number}"
        if what in ("show", "yes", "no"):
            told.append(Decision(key, "v", "skincare", at, at, ask_id, None, None, "baseline"))
        if what in ("yes", "no"):
            told.append(Event("v", "accepted" if what == "yes" else "declined", at, at, "skincare", ask_id, None, key))
        if what == "unprompted":
            told.append(Event("v", "accepted", at, at, "skincare", ask_id))
        if what == "signal":
            told.append(Event("v", "signal", at, at, "skincare", signal=ask_id))
    return told


def at_minute(minute: float) -> int:
    return TEN + round(minute * MINUTE)


def state_after(catalog: Catalog, steps: tuple[Step, ...], now: int) -> JourneyState:
    scopes = Scopes.of(catalog)
    return as_of(fold(arrivals(steps), scopes), now, scopes)


def a_situation(catalog: Catalog, *steps: Step, minute: float = 0, **request: Any) -> Situation:
    now = at_minute(minute)
    given = {"channel": "web", "context": {}, "answers": {}, **request}
    return Situation(catalog, state_after(catalog, steps, now), now, **given)


def block_by(name: str, situation: Situation, ask_id: str) -> Block | None:
    """The block of that guardrail, whatever other guardrails say."""
    blocks = compile_guards(situation.catalog).all_blocks(situation.catalog.ask(ask_id), situation)
    return next((block for block in blocks if block.guardrail == name), None)


def reason_of(name: str, situation: Situation, ask_id: str) -> str | None:
    block = block_by(name, situation, ask_id)
    return None if block is None else block.reason


def minute_of(block: Block | None) -> float | None:
    """The minute at which time alone lifts the block."""
    return None if block is None or block.until is None else (block.until - TEN) / MINUTE


FEATURES = (Feature("device", "category", ("desktop", "mobile")), Feature("basket", "number", minimum=0, maximum=500))
ANSWERS = (Feature("skin", "category", ("dry", "oily")), Feature("budget", "number"), Feature("vegan", "boolean"))
IDS = ("a", "b", "c", "goal")

_ids = st.lists(st.sampled_from(IDS), max_size=2, unique=True).map(tuple)
_durations = st.sampled_from([None, 0, 30, 600, 86_400])
_audience = st.sampled_from(
    [
        AudienceRule("device", "in", ("mobile",)),
        AudienceRule("basket", ">=", 50.0),
        AudienceRule("vegan", "in", (True,)),
    ]
)


def asks(ask_id: str) -> st.SearchStrategy[Ask]:
    return st.builds(
        Ask,
        id=st.just(ask_id),
        title=st.just(ask_id),
        kind=st.just("click"),
        effort=st.integers(0, 10),
        gives=st.integers(0, 10),
        channels=st.sampled_from([("web",), ("email",), ("web", "email", "social", "chat", "voice", "app")]),
        devices=st.sampled_from([(), (), ("mobile",)]),
        requires=_ids,
        excludes=_ids,
        collects=st.sampled_from([(), (), ("skin",), ("skin", "budget")]),
        audience=st.lists(_audience, max_size=2).map(tuple),
        repeat_after_s=_durations,
        max_shows=st.sampled_from([None, None, 1, 2]),
        after_decline_s=_durations,
        consent=st.sampled_from([None, None, "email_marketing"]),
        active_from=st.sampled_from([None, None, at_minute(10), at_minute(25)]),
        active_until=st.sampled_from([None, None, at_minute(30), at_minute(9_000)]),
    )


_limits = st.builds(
    Limits,
    max_asks_per_session=st.sampled_from([None, 1, 3]),
    max_asks_per_day=st.sampled_from([None, 1, 4]),
    min_gap_s=_durations,
    cooldown_after_decline_s=_durations,
    stop_after_declines=st.sampled_from([None, 1, 2]),
    max_effort_step=st.sampled_from([None, 0, 3.5]),
    max_effort_gap=st.sampled_from([None, 0, 4]),
    step_down_after_decline=st.booleans(),
    direct_ask=st.booleans(),
)

catalogs = st.builds(
    Catalog,
    journey=st.just("skincare"),
    goal=st.just("goal"),
    baseline=st.just(IDS),
    asks=st.tuples(*(asks(ask_id) for ask_id in IDS)),
    conversion_window_s=st.sampled_from([3_600, 86_400, 604_800]),
    session_gap_s=st.sampled_from([300, 1_800]),
    context=st.just(FEATURES),
    answers=st.just(ANSWERS),
    limits=_limits,
)

_pauses = st.sampled_from([0.0, 0.1, 1.0, 4.0, 20.0, 40.0, 700.0, 1_441.0])
_steps = st.tuples(
    _pauses, st.sampled_from(["show", "yes", "no", "unprompted", "signal"]), st.sampled_from((*IDS, "gone"))
)


def _told(steps: list[Step]) -> tuple[Step, ...]:
    minute, told = 0.0, []
    for pause, what, ask_id in steps:
        minute += pause
        told.append((minute, what, ask_id))
    return tuple(told)


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    """A random visitor of a random catalog, at a random moment after a random history."""
    catalog = draw(catalogs)
    steps = _told(draw(st.lists(_steps, max_size=8)))
    minute = (steps[-1][0] if steps else 0.0) + draw(_pauses)
    return a_situation(
        catalog,
        *steps,
        minute=minute,
        channel=draw(st.sampled_from(["web", "email"])),
        context=draw(st.sampled_from([{}, {"device": "mobile", "basket": 60}, {"device": "fridge", "basket": "60"}])),
        answers=draw(st.sampled_from([{}, {"skin": "dry"}, {"skin": "dry", "budget": 5, "vegan": True}])),
        consents=draw(st.sampled_from([frozenset(), frozenset({"email_marketing"})])),
        exclude=draw(st.sampled_from([frozenset(), frozenset({"a"}), frozenset({"goal", "c"})])),
    )
