"""The columns of an event log, and the rules that every row of it must keep.

One row is one event. ``LogSchema`` is the contract of the frame that ``read_log`` returns; ``RULES`` holds its rules,
each with the words that tell a person what is wrong with a row. Feature columns (``context.<name>``,
``answers.<name>``) come after these columns and may be of type text, number or boolean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import dataframely as dy
import polars as pl

from data.domain import ANSWER_TYPES, EVENT_TYPES, SECOND

PREFIXES: Final = ("context.", "answers.")
"""How the names of feature columns begin."""

TIME: Final = pl.Datetime("us", "UTC")

COLUMNS: Final[Mapping[str, pl.DataType]] = {
    "visitor_id": pl.String(),
    "at": TIME,
    "received_at": TIME,
    "type": pl.String(),
    "ask_id": pl.String(),
    "journey": pl.String(),
    "event_id": pl.String(),
    "decision_id": pl.String(),
    "signal": pl.String(),
    "order_id": pl.String(),
    "from_id": pl.String(),
    "propensity": pl.Float64(),
    "eligible": pl.List(pl.String()),
    "value": pl.Float64(),
    "policy": pl.String(),
    "channel": pl.String(),
    "withheld": pl.List(pl.String()),
    "shown_at": TIME,
    "learn": pl.Boolean(),
    "catalog": pl.String(),
    "features": pl.String(),
}
"""Every column but the feature columns, in the order in which logs are written."""

REQUIRED: Final = ("visitor_id", "at", "type")
SHOWN_ONLY: Final = (
    "propensity",
    "eligible",
    "policy",
    "channel",
    "withheld",
    "shown_at",
    "learn",
    "catalog",
    "features",
)
"""Columns that say something on ``shown`` rows alone; elsewhere they are null."""

TIMES: Final = ("at", "received_at", "shown_at")
LISTS: Final = ("eligible", "withheld")

AHEAD: Final = 300 * SECOND
"""How far a clock may be ahead of ours: five minutes."""
UNKNOWN_POLICY: Final = "unknown"
"""Stands in ``policy`` on decisions whose log does not say which policy made them."""

_MAX_ID_BYTES: Final = 256
_NAME: Final = r"^[a-z0-9_-]{1,64}$"
_NAME_RULE: Final = "1 to 64 of the characters a-z 0-9 _ -"
_FIRST_YEAR, _LAST_YEAR = 1970, 9999


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a log: the column it is about, what must hold, and what to say of a row where it does not."""

    column: str
    holds: pl.Expr
    reason: pl.Expr


def _is(*types: str) -> pl.Expr:
    return pl.col("type").is_in(types).fill_null(False)


def _or_unknown(condition: pl.Expr) -> pl.Expr:
    return condition.fill_null(True)


def _said(column: str) -> pl.Expr:
    return pl.format(f"{column} is {{}}", pl.col(column).cast(pl.String).fill_null("nothing"))


def _items(column: str) -> pl.Expr:
    return pl.col(column).list.eval(pl.element().fill_null("(nothing)")).list.join(", ")


def _given(column: str, why: str, needed: pl.Expr | None = None) -> Rule:
    is_given = pl.col(column).is_not_null()
    return Rule(column, is_given if needed is None else is_given | ~needed, pl.lit(f"{column} is missing: {why}"))


def _short(column: str) -> Rule:
    size = pl.col(column).str.len_bytes()
    said = pl.format(f"{column} has {{}} bytes; allowed: at most {_MAX_ID_BYTES}", size)
    return Rule(column, _or_unknown(size <= _MAX_ID_BYTES), said)


def _name(column: str) -> Rule:
    said = pl.concat_str(_said(column), pl.lit(f"; allowed: {_NAME_RULE}"))
    return Rule(column, _or_unknown(pl.col(column).str.contains(_NAME)), said)


def _names(column: str, *, may_be_nothing: bool) -> Rule:
    is_name = pl.element().str.contains(_NAME).fill_null(may_be_nothing)
    said = pl.format(column + " is {}; allowed: names of asks, each " + _NAME_RULE, _items(column))
    return Rule(column, _or_unknown(pl.col(column).list.eval(is_name).list.all()), said)


def _time(column: str) -> Rule:
    at = pl.col(column)
    holds = (at.dt.timestamp("us") > 0) & at.dt.year().is_between(_FIRST_YEAR, _LAST_YEAR)
    said = pl.concat_str(_said(column), pl.lit(f"; allowed: years {_FIRST_YEAR} to {_LAST_YEAR}"))
    return Rule(column, _or_unknown(holds), said)


def _received_time() -> Rule:
    rule = _time("received_at")
    # Where it is the default, what is wrong with it is said of ``at``.
    is_default = (pl.col("received_at") == pl.col("at")).fill_null(False)
    return Rule(rule.column, rule.holds | is_default, rule.reason)


def _not_ahead() -> Rule:
    holds = pl.col("at") <= pl.col("received_at") + pl.duration(microseconds=AHEAD)
    said = pl.format("at is {}, later than received_at {}: it cannot have been known", "at", "received_at")
    return Rule("at", _or_unknown(holds), said)


def _known_type() -> Rule:
    allowed = pl.lit(f"; allowed: {', '.join(EVENT_TYPES)} (a map file can translate other names)")
    return Rule("type", _or_unknown(pl.col("type").is_in(EVENT_TYPES)), pl.concat_str(_said("type"), allowed))


def _other_visitor() -> Rule:
    holds = _or_unknown(pl.col("from_id") != pl.col("visitor_id")) | ~_is("merged")
    return Rule("from_id", holds, pl.lit("from_id is visitor_id itself; allowed: another visitor"))


def _probability() -> Rule:
    propensity = pl.col("propensity")
    holds = (propensity > 0) & (propensity <= 1) & ~propensity.is_nan()
    allowed = "; allowed: greater than 0 and at most 1, or nothing where it is unknown"
    return Rule("propensity", _or_unknown(holds), pl.concat_str(_said("propensity"), pl.lit(allowed)))


def _has_shown() -> Rule:
    eligible = pl.col("eligible")
    has_nothing = eligible.list.eval(pl.element().is_null()).list.any()
    has_ask = eligible.list.contains(pl.col("ask_id"), nulls_equal=True)
    holds = pl.when(pl.col("ask_id").is_null()).then(has_nothing).otherwise(has_ask)
    shown = pl.col("ask_id").fill_null("nothing")
    said = pl.format("eligible is {}; it lacks what was shown: {}", _items("eligible"), shown)
    return Rule("eligible", _or_unknown(holds) | ~_is("shown"), said)


def _no_twins() -> Rule:
    eligible = pl.col("eligible")
    holds = eligible.list.n_unique() == eligible.list.len()
    return Rule("eligible", _or_unknown(holds), pl.format("eligible is {}; it names an ask twice", _items("eligible")))


def _finite(column: str) -> Rule:
    said = pl.concat_str(_said(column), pl.lit("; allowed: a finite number"))
    return Rule(column, _or_unknown(pl.col(column).is_finite()), said)


RULES: Final[Mapping[str, Rule]] = {
    "visitor_id_is_given": _given("visitor_id", "every row needs one"),
    "visitor_id_is_short": _short("visitor_id"),
    "event_id_is_short": _short("event_id"),
    "decision_id_is_short": _short("decision_id"),
    "order_id_is_short": _short("order_id"),
    "from_id_is_short": _short("from_id"),
    "policy_is_short": _short("policy"),
    "channel_is_short": _short("channel"),
    "at_is_given": _given("at", "every row needs the time at which it happened"),
    "at_is_a_time": _time("at"),
    "received_at_is_a_time": _received_time(),
    "shown_at_is_a_time": _time("shown_at"),
    "at_is_not_ahead": _not_ahead(),
    "type_is_given": _given("type", "every row needs one"),
    "type_is_known": _known_type(),
    "journey_is_a_name": _name("journey"),
    "ask_id_is_given": _given("ask_id", "an answer needs the ask it answers", _is(*ANSWER_TYPES)),
    "ask_id_is_a_name": _name("ask_id"),
    "signal_is_given": _given("signal", "a signal needs its name", _is("signal")),
    "signal_is_a_name": _name("signal"),
    "from_id_is_given": _given("from_id", "merged needs the visitor that became visitor_id", _is("merged")),
    "from_id_is_another": _other_visitor(),
    "propensity_is_a_probability": _probability(),
    "eligible_has_the_shown_ask": _has_shown(),
    "eligible_has_no_ask_twice": _no_twins(),
    "eligible_has_names": _names("eligible", may_be_nothing=True),
    "withheld_has_names": _names("withheld", may_be_nothing=False),
    "value_is_finite": _finite("value"),
}


def _rule(name: str) -> Any:
    return dy.rule()(lambda _: RULES[name].holds)


class LogSchema(dy.Schema):
    """The frame of a log, without its feature columns; what its rules say is in ``RULES``."""

    visitor_id = dy.String(nullable=True)
    at = dy.Datetime(nullable=True, time_unit="us", time_zone="UTC")
    received_at = dy.Datetime(nullable=True, time_unit="us", time_zone="UTC")
    type = dy.String(nullable=True)
    ask_id = dy.String(nullable=True)
    journey = dy.String(nullable=True)
    event_id = dy.String(nullable=True)
    decision_id = dy.String(nullable=True)
    signal = dy.String(nullable=True)
    order_id = dy.String(nullable=True)
    from_id = dy.String(nullable=True)
    propensity = dy.Float64(nullable=True, allow_inf=True, allow_nan=True)
    eligible = dy.List(dy.String(nullable=True), nullable=True)
    value = dy.Float64(nullable=True, allow_inf=True, allow_nan=True)
    policy = dy.String(nullable=True)
    channel = dy.String(nullable=True)
    withheld = dy.List(dy.String(nullable=True), nullable=True)
    shown_at = dy.Datetime(nullable=True, time_unit="us", time_zone="UTC")
    learn = dy.Bool(nullable=True)
    catalog = dy.String(nullable=True)
    features = dy.String(nullable=True)

    visitor_id_is_given = _rule("visitor_id_is_given")
    visitor_id_is_short = _rule("visitor_id_is_short")
    event_id_is_short = _rule("event_id_is_short")
    decision_id_is_short = _rule("decision_id_is_short")
    order_id_is_short = _rule("order_id_is_short")
    from_id_is_short = _rule("from_id_is_short")
    policy_is_short = _rule("policy_is_short")
    channel_is_short = _rule("channel_is_short")
    at_is_given = _rule("at_is_given")
    at_is_a_time = _rule("at_is_a_time")
    received_at_is_a_time = _rule("received_at_is_a_time")
    shown_at_is_a_time = _rule("shown_at_is_a_time")
    at_is_not_ahead = _rule("at_is_not_ahead")
    type_is_given = _rule("type_is_given")
    type_is_known = _rule("type_is_known")
    journey_is_a_name = _rule("journey_is_a_name")
    ask_id_is_given = _rule("ask_id_is_given")
    ask_id_is_a_name = _rule("ask_id_is_a_name")
    signal_is_given = _rule("signal_is_given")
    signal_is_a_name = _rule("signal_is_a_name")
    from_id_is_given = _rule("from_id_is_given")
    from_id_is_another = _rule("from_id_is_another")
    propensity_is_a_probability = _rule("propensity_is_a_probability")
    eligible_has_the_shown_ask = _rule("eligible_has_the_shown_ask")
    eligible_has_no_ask_twice = _rule("eligible_has_no_ask_twice")
    eligible_has_names = _rule("eligible_has_names")
    withheld_has_names = _rule("withheld_has_names")
    value_is_finite = _rule("value_is_finite")
