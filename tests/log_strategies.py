"""Random logs: items for round trips, and small journeys full of late, doubled and contradicting rows."""

from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import strategies as st

from data.domain import Ask, Catalog, Decision, Event
from data.log.schema import AHEAD, COLUMNS, TIMES

MINUTE = 60_000_000
NOON = 1_760_000_000_000_000
CATALOG = Catalog(
    journey="shop",
    goal="buy",
    baseline=("quiz", "save", "buy"),
    asks=(Ask("quiz", "A quiz", "quiz", 2), Ask("save", "Keep it", "save", 4), Ask("buy", "Buy it", "purchase", 8)),
    conversion_window_s=3_600,
    session_gap_s=1_200,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["", "5", "-0.5", "1e3", "true", "False", "nan", '"', '"a"', "|", ",", "\r", "\n", "{}", "null", " 5", "007"]
)
IDS = TEXTS.filter(bool)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
ANSWERS = st.fixed_dictionaries({}, optional={"skin": TEXTS, "age": NUMBERS, "is new": st.booleans(), "": TEXTS})
CONTEXTS = st.fixed_dictionaries({}, optional={"device": TEXTS, "cart, net\n": NUMBERS, "member": st.booleans()})
PROPENSITIES = st.none() | st.floats(0, 1, exclude_min=True)
ASKS = st.sampled_from(["quiz", "save", "buy"])
LATEST = 250_000_000_000_000_000


@st.composite
def times(draw: st.DrawFn) -> dict[str, int]:
    """When something happened and was received, the one at most a little after the other."""
    received_at = draw(st.integers(1, LATEST) | st.integers(NOON, NOON + MINUTE))
    at = draw(st.integers(max(1, received_at - 10**9), received_at + AHEAD))
    return {"at": at, "received_at": received_at}


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    """Any decision, save that its id is to be made unique."""
    ask_id = draw(st.none() | ASKS)
    others = draw(st.none() | st.lists(st.none() | ASKS, unique=True, max_size=3))
    eligible = None if others is None else tuple(dict.fromkeys([*others, ask_id]))
    return Decision(
        **draw(times()),
        decision_id="",
        visitor_id=draw(IDS),
        journey="shop",
        ask_id=ask_id,
        propensity=draw(PROPENSITIES),
        eligible=eligible,
        policy=draw(IDS),
        channel=draw(st.sampled_from(["web", "email"])),
        context=draw(CONTEXTS),
        answers=draw(ANSWERS),
        withheld=tuple(draw(st.lists(ASKS, max_size=2))),
        shown_at=draw(st.none() | st.integers(1, LATEST)),
        is_learnable=draw(st.booleans()),
        catalog_digest=draw(st.sampled_from(["", "c0ffee"])),
        fingerprint=draw(st.sampled_from(["", "f00d"])),
    )


@st.composite
def events(draw: st.DrawFn) -> Event:
    """Any event that a log may hold."""
    kind = draw(st.sampled_from(["accepted", "declined", "ignored", "converted", "left", "signal", "merged"]))
    visitor_id = draw(IDS)
    return Event(
        **draw(times()),
        visitor_id=visitor_id,
        type=kind,
        journey="shop",
        ask_id=draw(ASKS) if kind in ("accepted", "declined", "ignored") else None,
        event_id=draw(st.none() | IDS),
        decision_id=draw(st.none() | IDS),
        signal="page_view" if kind == "signal" else None,
        order_id=draw(st.none() | IDS),
        from_id=draw(IDS.filter(lambda other: other != visitor_id)) if kind == "merged" else None,
        value=draw(st.none() | NUMBERS),
        answers=draw(ANSWERS),
    )


@st.composite
def items(draw: st.DrawFn) -> list[Decision | Event]:
    """Decisions and events that follow every rule of a log."""
    drawn = draw(st.lists(decisions() | events(), min_size=1, max_size=8))
    for number, item in enumerate(drawn):
        if isinstance(item, Decision):
            object.__setattr__(item, "decision_id", f"d{number}")
    return drawn


@st.composite
def journey_rows(draw: st.DrawFn) -> dict[str, Any]:
    """One row about one of four visitors, in a few minutes, so that rows meet."""
    kind = draw(
        st.sampled_from(["shown"] * 4 + ["accepted"] * 4 + ["declined", "ignored", "converted", "converted"])
        | st.sampled_from(["left", "signal", "merged"])
    )
    visitor = draw(st.sampled_from("abcd"))
    at = NOON + draw(st.integers(0, 120)) * MINUTE
    delay = draw(st.sampled_from([0, 0, 0, 1, 30, -1]))
    row: dict[str, Any] = {"visitor_id": visitor, "type": kind, "at": at, "received_at": at + delay * MINUTE}
    if kind in ("shown", "accepted", "declined", "ignored"):
        nothing = kind == "shown" and draw(st.integers(0, 5)) == 0
        row["ask_id"] = None if nothing else draw(st.sampled_from(["quiz", "buy", "buy"]))
        row["decision_id"] = draw(st.none() | st.sampled_from(["d1", "d2", "d3", "d4"]))
    if kind == "shown":
        row |= {"policy": "baseline", "channel": "web", "learn": True, "withheld": []}
        row["shown_at"] = max(at, row["received_at"]) if delay > 0 else None
    if kind in ("accepted", "converted"):
        row["order_id"] = draw(st.none() | st.sampled_from(["o1", "o2"]))
        row["value"] = draw(st.none() | st.sampled_from([1.0, 2.0]))
    if kind == "signal":
        row["signal"] = "page_view"
    if kind == "merged":
        row["from_id"] = draw(st.sampled_from([name for name in "abcd" if name != visitor]))
    row["event_id"] = draw(st.none() | st.none() | st.sampled_from(["e1", "e2", "e3", "e4"]))
    return row


JOURNEYS = st.lists(journey_rows(), min_size=1, max_size=25)


def log_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows (times in microseconds) as a log frame of the journey of ``CATALOG``."""
    columns = []
    for name, dtype in COLUMNS.items():
        values = [row.get(name) for row in rows]
        if name == "journey":
            values = ["shop"] * len(rows)
        if name == "received_at":
            values = [row.get("received_at", row["at"]) for row in rows]
        if name in TIMES:
            cells = pl.Series(name, values, dtype=pl.Int64).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        else:
            cells = pl.Series(name, values, dtype=dtype)
        columns.append(cells)
    return pl.DataFrame(columns)
