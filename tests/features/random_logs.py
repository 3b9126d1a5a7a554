"""Random logs in which everything happens that can happen to a state, and what the fold makes of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
from hypothesis import strategies as st

from data.domain import EVENT_TYPES, SECOND, Ask, Catalog, Decision, Event, Feature, FeatureValue
from features.state import JourneyState, Scopes, advance, as_of, fold, is_repeated_conversion, show
from features.summary import Summary, summarize

CATALOG = Catalog(
    journey="shop",
    goal="buy",
    baseline=("quiz", "save", "buy"),
    asks=(
        Ask("quiz", "Quiz", "quiz", 2, gives=3, stage="awareness", collects=("skin",)),
        Ask("save", "Save", "save", 4.5, gives=1.1, requires=("quiz",)),
        Ask("buy", "Buy", "purchase", 8, gives=5, stage="decision", requires=("quiz", "save"), cost=0.3),
    ),
    session_gap_s=10,
    conversion_window_s=20,
    signals=("page", "cart"),
    context=(
        Feature("device", "category", ("desktop", "mobile")),
        Feature("referrer", "category"),
        Feature("basket", "number", minimum=0),
        Feature("member", "boolean"),
    ),
    answers=(Feature("skin", "category", ("dry", "oily")), Feature("age", "number")),
)
SCOPES = Scopes.of(CATALOG)
Item = Decision | Event
START = 1_700_000_000 * SECOND

CONTEXTS: Sequence[dict[str, FeatureValue]] = (
    {},
    {"device": "mobile", "referrer": "search", "basket": 12.5},
    {"device": "fridge", "referrer": "rare", "basket": -1},
    {"referrer": "", "member": True, "basket": "3"},
    {"device": 7, "member": "false", "basket": 10**400},
)
ANSWERS: Sequence[dict[str, FeatureValue]] = ({}, {"skin": "dry"}, {"skin": "blue", "age": 40}, {"age": True})

_WAITS = (0, 1, 2, 4, 5, 0, 1, 2, 5, 10, 9, 10, 15, 20, 21, 13 * 3_600)
"""Sums of these often meet a session's gap or an episode's window exactly; the first half never does alone."""
_DELAYS = (0, 0, 0, 0, 0, 1, 5, 10, 20, -3)
_TYPES = ("shown", "shown", "shown", "accepted", "accepted", "declined", "declined", "ignored", "converted", "left")


@dataclass(frozen=True)
class StandIn:
    """What lowering needs of ``data.arrivals.Arrivals``."""

    frame: pl.DataFrame
    merges: tuple[tuple[int, int, int], ...]


STEPS = st.tuples(
    st.sampled_from((*_TYPES, "signal", "merged")), st.integers(0, 999), st.integers(0, 999), st.integers(0, 99)
)


@st.composite
def logs(draw: st.DrawFn, *, has_merges: bool = True) -> list[Item]:
    """The items of a small log of up to four visitors, in order of arrival; sometimes nothing is late in it."""
    steps = draw(st.lists(STEPS, max_size=40))
    n_visitors = draw(st.integers(2, 4)) if has_merges else draw(st.integers(1, 4))
    is_punctual = draw(st.booleans())
    return items_of_steps(steps, n_visitors, has_merges=has_merges, is_punctual=is_punctual)


def dense_log(seed: int) -> list[Item]:
    """The items of a larger log, one of several moods: hurried or not, punctual or not, merged or not."""
    rng = random.Random(seed)
    n_visitors = rng.choice((1, 1, 2, 3))
    kinds = (*_TYPES, "signal") + ("merged",) * (n_visitors > 1)
    longest_wait = rng.choice((8, 15, 16))
    lateness = rng.choice((0, 0.1, 0.5))
    steps = [
        (
            rng.choice(kinds),
            rng.randrange(999),
            rng.randrange(60) * len(_WAITS) + rng.randrange(longest_wait),
            rng.randrange(99) if rng.random() < lateness else 0,
        )
        for _ in range(rng.choice((10, 30, 60)))
    ]
    return items_of_steps(steps, n_visitors)


def items_of_steps(
    steps: Sequence[tuple[str, int, int, int]],
    n_visitors: int,
    *,
    has_merges: bool = True,
    is_punctual: bool = False,
    start: int = START,
) -> list[Item]:
    """The items that random numbers stand for, in order of arrival, the first one at ``start`` or later."""
    items: list[Item] = []
    now = start
    for i, (kind, a, b, c) in enumerate(steps):
        now += _WAITS[b % len(_WAITS)] * SECOND
        visitor, ask = f"v{a % n_visitors}", ("quiz", "save", "buy", "buy", "gone")[a // n_visitors % 5]
        at = now if is_punctual else now - _DELAYS[c % len(_DELAYS)] * SECOND
        luck = b // len(_WAITS)
        if kind == "shown":
            items.append(_decision(f"d{now}-{i}", visitor, ask, (at, now), luck))
        elif kind == "merged" and has_merges:
            gone = f"v{(a + 1 + luck % (n_visitors - 1)) % n_visitors}"
            items.append(Event(visitor, "merged", at, now, "shop", event_id=f"e{now}-{i}", from_id=gone))
        elif kind != "merged":
            items.append(_event(kind, visitor, ask, (at, now), luck))
    return arrange_items(items)


def arrange_items(items: Sequence[Item]) -> list[Item]:
    """Items in the order in which they arrived."""
    return sorted(items, key=_arrival_key)


def stand_in(items: Sequence[Item]) -> StandIn:
    """Items in order of arrival, as lowering takes them."""
    owners, merges = _owners(items)
    histories: dict[int, list[int]] = {}
    rows = []
    merged = {order: (into, gone) for order, into, gone in merges}
    for order, item in enumerate(items):
        if order in merged:
            into, gone = merged[order]
            histories[into] = sorted(histories.get(into, []) + histories.pop(gone, []))
        history = histories.setdefault(owners[order], [])
        rows.append(
            _row(item) | {"order": order, "owner": owners[order], "is_repeat": _is_repeat(items, history, item)}
        )
        history.append(order)
    return StandIn(pl.DataFrame(rows, schema=_SCHEMA), tuple(merges))


def expected(items: Sequence[Item], catalog: Catalog = CATALOG) -> Summary:
    """What the fold says each decision saw: the definition, in the slowest words."""
    states, nows = [], []
    scopes = Scopes.of(catalog)
    for i, item in enumerate(items):
        if isinstance(item, Decision):
            known = [other for other in items[:i] if other.received_at <= item.at]
            one = _one_with(item.visitor_id, known)
            state = fold((other for other in known if other.visitor_id in one), scopes)
            states.append(as_of(state, item.at, scopes))
            nows.append(item.at)
    return summarize(states, nows, catalog)


_SCHEMA = {
    "order": pl.Int64,
    "rank": pl.Int64,
    "owner": pl.Int64,
    "visitor_id": pl.String,
    "from_id": pl.String,
    "at": pl.Datetime("us", "UTC"),
    "received_at": pl.Datetime("us", "UTC"),
    "shown_at": pl.Datetime("us", "UTC"),
    "type": pl.String,
    "ask_id": pl.String,
    "signal": pl.String,
    "order_id": pl.String,
    "is_repeat": pl.Boolean,
}


def _decision(decision_id: str, visitor: str, ask: str, times: tuple[int, int], luck: int) -> Decision:
    at, now = times
    return Decision(
        decision_id,
        visitor,
        "shop",
        at,
        at if luck % 2 and at < now else now,
        None if luck % 6 == 0 else ask,
        None,
        None,
        "baseline",
        channel=("web", "email", "fax")[luck % 3],
        context=CONTEXTS[luck % len(CONTEXTS)],
        answers=ANSWERS[luck % len(ANSWERS)],
        shown_at=now - luck % 3 * SECOND if luck % 5 == 0 and at < now else None,
    )


def _event(kind: str, visitor: str, ask: str, times: tuple[int, int], luck: int) -> Event:
    is_answer = kind in ("accepted", "declined", "ignored")
    return Event(
        visitor,
        kind,  # type: ignore[arg-type]
        *times,
        "shop",
        ask_id=ask if is_answer else None,
        signal=("page", "cart", "other")[luck % 3] if kind == "signal" else None,
        order_id=(None, None, "o1", "o2")[luck % 4] if kind in ("accepted", "converted") else None,
    )


def _arrival_key(item: Item) -> tuple[object, ...]:
    kind = "shown" if isinstance(item, Decision) else item.type
    decision_id = item.decision_id or ""
    signal = "" if isinstance(item, Decision) else item.signal or ""
    rank = EVENT_TYPES.index(kind)
    return (item.received_at, item.at, rank, item.visitor_id, item.ask_id or "", signal, decision_id)


def _owners(items: Sequence[Item]) -> tuple[list[int], list[tuple[int, int, int]]]:
    ids: dict[str, int] = {}
    root: dict[int, int] = {}
    owners, merges = [], []

    def owner_of(visitor: str) -> int:
        owner = ids.setdefault(visitor, len(ids))
        while owner in root:
            owner = root[owner]
        return owner

    for order, item in enumerate(items):
        if isinstance(item, Event) and item.from_id is not None:
            into, gone = owner_of(item.visitor_id), owner_of(item.from_id)
            if into != gone:
                root[gone] = into
                merges.append((order, into, gone))
        owners.append(owner_of(item.visitor_id))
    return owners, merges


def _one_with(visitor: str, known: Sequence[Item]) -> set[str]:
    groups: dict[str, set[str]] = {}
    for item in known:
        if isinstance(item, Event) and item.from_id is not None:
            both = groups.get(item.visitor_id, {item.visitor_id}) | groups.get(item.from_id, {item.from_id})
            groups.update(dict.fromkeys(both, both))
    return groups.get(visitor, {visitor})


def _is_repeat(items: Sequence[Item], history: Sequence[int], item: Item) -> bool:
    is_goal = isinstance(item, Event) and (
        item.type == "converted" or (item.type == "accepted" and item.ask_id == CATALOG.goal)
    )
    if not is_goal:
        return False
    state = JourneyState()
    for order in history:
        earlier = items[order]
        if isinstance(earlier, Decision):
            show(state, earlier, SCOPES)
        else:
            advance(state, earlier, SCOPES)
    return is_repeated_conversion(state, item, SCOPES)  # type: ignore[arg-type]


def _row(item: Item) -> dict[str, object]:
    kind = "shown" if isinstance(item, Decision) else item.type
    row: dict[str, object] = {
        "rank": EVENT_TYPES.index(kind),
        "type": kind,
        "visitor_id": item.visitor_id,
        "at": item.at,
        "received_at": item.received_at,
        "ask_id": item.ask_id,
    }
    if isinstance(item, Decision):
        return row | {"shown_at": item.shown_at}
    return row | {"signal": item.signal, "order_id": item.order_id, "from_id": item.from_id}
