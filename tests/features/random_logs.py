"""Random logs in which everything happens that can happen to a state, and what the fold makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl
from hypothesis import strategies as st

from data.domain import DAY, EVENT_TYPES, SECOND, Ask, Catalog, Decision, Event
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
    conversion_window_s=60,
    signals=("page", "cart"),
)
SCOPES = Scopes.of(CATALOG)
Item = Decision | Event
START = 1_700_000_000 * SECOND

_WAITS = (0, 0, 1, 1, 2, 2, 3, 4, 5, 8, 9, 10, 11, 30, 61, 13 * 3_600)
_DELAYS = (0, 0, 0, 0, 0, 1, 7, 12, 65, -3)
_TYPES = ("shown", "shown", "shown", "accepted", "accepted", "declined", "declined", "ignored", "converted", "left")


@dataclass(frozen=True)
class StandIn:
    """What lowering needs of ``data.arrivals.Arrivals``."""

    frame: pl.DataFrame
    merges: tuple[tuple[int, int, int], ...]


@st.composite
def logs(draw: Callable[..., object], n_visitors: int = 3, max_size: int = 40) -> list[Item]:
    """The items of a log, in order of arrival."""
    types = st.sampled_from((*_TYPES, "signal", "merged") if n_visitors > 1 else (*_TYPES, "signal"))
    number = st.integers(0, 10**6)
    steps = draw(st.lists(st.tuples(types, number, number, number), max_size=max_size))
    return arrange_items(_items(steps, n_visitors))  # type: ignore[arg-type]


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
        rows.append(_row(item) | {"order": order, "owner": owners[order], "is_repeat": _is_repeat(items, history, item)})
        history.append(order)
    return StandIn(pl.DataFrame(rows, schema=_SCHEMA), tuple(merges))


def expected(items: Sequence[Item]) -> Summary:
    """What the fold says each decision saw: the definition, in the slowest words."""
    states, nows = [], []
    for i, item in enumerate(items):
        if isinstance(item, Decision):
            known = [other for other in items[:i] if other.received_at <= item.at]
            one = _one_with(item.visitor_id, known)
            state = fold((other for other in known if other.visitor_id in one), SCOPES)
            states.append(as_of(state, item.at, SCOPES))
            nows.append(item.at)
    return summarize(states, nows, CATALOG)


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


def _items(steps: Sequence[tuple[str, int, int, int]], n_visitors: int) -> list[Item]:
    items: list[Item] = []
    now = START
    for i, (kind, a, b, c) in enumerate(steps):
        now += _WAITS[b % len(_WAITS)] * SECOND
        visitor = f"v{a % n_visitors}"
        at = now - _DELAYS[c % len(_DELAYS)] * SECOND
        ask = ("quiz", "save", "buy", "buy", "gone")[a // n_visitors % 5]
        if kind == "shown":
            items.append(_decision(i, visitor, ask, at, now, b // len(_WAITS)))
        elif kind == "merged":
            gone = f"v{(a + 1 + b % (n_visitors - 1)) % n_visitors}"
            items.append(Event(visitor, kind, at, now, "shop", from_id=gone))
        else:
            items.append(_event(kind, visitor, ask, at, now, b // len(_WAITS)))
    return items


def _decision(i: int, visitor: str, ask: str, at: int, now: int, luck: int) -> Decision:
    ask_id = None if luck % 6 == 0 else ask
    shown_at = now - luck % 3 * SECOND if luck % 5 == 0 else None
    received_at = at if luck % 2 and at < now else now
    return Decision(f"d{i}", visitor, "shop", at, received_at, ask_id, None, None, "baseline", shown_at=shown_at)


def _event(kind: str, visitor: str, ask: str, at: int, now: int, luck: int) -> Event:
    is_answer = kind in ("accepted", "declined", "ignored")
    return Event(
        visitor,
        kind,  # type: ignore[arg-type]
        at,
        now,
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


DAY_LONG = DAY
