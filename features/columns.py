"""Every feature column: a name, a kind, and a pure function. To add a feature, add one entry and raise its version.

Three tables: columns of an ask alone, of a decision alone, and of both together; besides, every decision has its
context, its answers, and for each ask what became of it so far (``outcomes_of``). Kinds: ``number``, ``boolean``
(0 or 1), ``category`` (the function gives text, the column its code) and ``seconds`` (the function gives instants in
microseconds, the column the seconds from then to the decision, never negative). Missing is NaN everywhere.

Only arithmetic that IEEE 754 fixes to the bit is used, and no sum depends on how decisions are batched, so a
decision has the same features alone and among a million.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from data.domain import DAY, SECOND, Ask, Catalog
from features.summary import ASK_MEMORY, IntArray, Summary

FloatArray = npt.NDArray[np.float64]
Kind = Literal["number", "boolean", "category", "seconds"]
Values = npt.NDArray[Any]

VERSIONS: Final[Mapping[str, int]] = {"ask": 1, "decision": 1, "pair": 1, "input": 1, "history": 1}
"""Part of every fingerprint: raise a table's version when the meaning of one of its columns changes."""

MISSING: Final = float("nan")
_HOUR: Final = 3_600 * SECOND
_THURSDAY: Final = 3
"""The weekday of 1970-01-01, Monday being 0."""
_N_ACCEPTED, _N_ACCEPTED_EPISODE = ASK_MEMORY.index("n_accepted"), ASK_MEMORY.index("n_accepted_episode")
_N_SHOWN, _N_DECLINED = ASK_MEMORY.index("n_shown"), ASK_MEMORY.index("n_declined")
_ACCEPTED, _NEVER_SHOWN, _UNANSWERED, _DECLINED = 1.0, 0.0, -1.0, -2.0


class AskFacts:
    """What columns need of a catalog's asks; each array has one item more than there are asks, for asking nothing."""

    def __init__(self, catalog: Catalog, answer_names: Sequence[str]) -> None:
        asks = catalog.asks
        self.effort = _with_nothing([ask.effort for ask in asks])
        self.balance = _with_nothing([ask.gives - ask.effort for ask in asks])
        self.kind = _codes([ask.kind for ask in asks])
        self.stage = _codes([ask.stage for ask in asks])
        self.requires = _Lists([[catalog.position[name] for name in ask.requires] for ask in asks])
        known = {name: i for i, name in enumerate(answer_names)}
        self.collects = _Lists([[known[name] for name in ask.collects if name in known] for ask in asks])


class _Lists:
    """Lists of numbers for each ask, as a rectangle: ``items`` where ``is_item``."""

    def __init__(self, lists: Sequence[Sequence[int]]) -> None:
        self.width = max(map(len, lists), default=0)
        self.items = np.zeros((len(lists) + 1, self.width), dtype=np.int64)
        self.is_item = np.zeros((len(lists) + 1, self.width), dtype=np.bool_)
        for i, numbers in enumerate(lists):
            self.items[i, : len(numbers)] = numbers
            self.is_item[i, : len(numbers)] = True


@dataclass(frozen=True)
class Given:
    """What n decisions were made from besides the visitor's history, encoded (``features.inputs``).

    Attributes:
        channel: shape (n,); code of the channel.
        context: shape (n, c); one column for each context feature of the spec.
        answers: shape (n, d); one column for each answer of the spec.
        now: shape (n,); the instant of each decision.
    """

    channel: FloatArray
    context: FloatArray
    answers: FloatArray
    now: IntArray

    def __len__(self) -> int:
        return len(self.now)

    def take(self, rows: npt.NDArray[Any] | slice) -> Given:
        """Some of the decisions: by position, flags or slice."""
        return Given(self.channel[rows], self.context[rows], self.answers[rows], self.now[rows])


class Decisions:
    """What decision columns are made from."""

    def __init__(self, summary: Summary, given: Given, facts: AskFacts) -> None:
        self.summary = summary
        self.given = given
        self.facts = facts
        self.is_known = ~np.isnan(given.answers)
        n, n_asks = summary.ask_places.shape
        met = np.flatnonzero(summary.ask_places != 0)
        places = summary.ask_places.reshape(-1)[met]
        decision = met // n_asks
        ask = met - decision * n_asks
        accepted = summary.ask_table[_N_ACCEPTED][places]
        self.balance = np.bincount(decision, weights=accepted * facts.balance[ask], minlength=n)
        is_fresh = summary.ask_table[_N_ACCEPTED_EPISODE][places] > 0
        self.highest_effort = np.zeros(n)
        np.maximum.at(self.highest_effort, decision[is_fresh], facts.effort[ask[is_fresh]])


class Pairs:
    """What pair columns are made from: m candidate asks, each with the decision it is a candidate of.

    ``memory`` has one row for each of ``features.summary.ASK_MEMORY``; all zeros for asking nothing.
    """

    def __init__(self, decisions: Decisions, groups: IntArray, asks: IntArray) -> None:
        summary, facts = decisions.summary, decisions.facts
        self.decisions = decisions
        self.facts = facts
        self.groups = groups
        self.asks = asks
        places = summary.ask_places[groups, asks]
        places[asks < 0] = 0
        self.memory = np.take(summary.ask_table, places, axis=1)
        self.effort = facts.effort[asks]
        self.answered = summary.answered_ask[groups]

    def spread(self, values: Values) -> Values:
        """A decision column, once for each candidate."""
        spread: Values = values[self.groups]
        return spread

    def is_same(self, codes: IntArray) -> FloatArray:
        """Whether candidate and last answered ask have the same code; missing where either has none."""
        own, last = codes[self.asks], codes[self.answered]
        return np.where((own < 0) | (last < 0), MISSING, own == last)


class Placed(NamedTuple):
    """What ask columns are made from: an ask and the catalog it is in."""

    ask: Ask
    catalog: Catalog


class AskColumn(NamedTuple):
    """A column of an ask alone. ``nothing`` is its value for asking nothing."""

    name: str
    kind: Kind
    value: Callable[[Placed], float | str | None]
    nothing: float = MISSING


class DecisionColumn(NamedTuple):
    """A column of a decision alone."""

    name: str
    kind: Kind
    value: Callable[[Decisions], Values]


class PairColumn(NamedTuple):
    """A column of a decision and a candidate ask."""

    name: str
    kind: Kind
    value: Callable[[Pairs], Values]


def _effort_over_declined(pairs: Pairs) -> FloatArray:
    is_decline = pairs.spread(pairs.decisions.summary.is_answer_decline)
    return np.where(is_decline == 1, pairs.effort - pairs.facts.effort[pairs.answered], MISSING)


def _n_requires_met(pairs: Pairs) -> Values:
    required, summary = pairs.facts.requires, pairs.decisions.summary
    if required.width == 0:
        return np.zeros(len(pairs.asks))
    places = summary.ask_places[pairs.groups[:, None], required.items[pairs.asks]]
    is_met = (summary.ask_table[_N_ACCEPTED][places] > 0) & required.is_item[pairs.asks]
    n_met: IntArray = is_met.sum(axis=1)
    return n_met


def _n_collects_known(pairs: Pairs) -> Values:
    collected = pairs.facts.collects
    if collected.width == 0:
        return np.zeros(len(pairs.asks))
    is_known = pairs.decisions.is_known[pairs.groups[:, None], collected.items[pairs.asks]]
    n_known: IntArray = (is_known & collected.is_item[pairs.asks]).sum(axis=1)
    return n_known


def _step(ask_id: str, baseline: Sequence[str]) -> float:
    return baseline.index(ask_id) if ask_id in baseline else MISSING


ASK_COLUMNS: Final = (
    AskColumn("ask", "category", lambda a: a.ask.id),
    AskColumn("ask.kind", "category", lambda a: a.ask.kind),
    AskColumn("ask.stage", "category", lambda a: a.ask.stage),
    AskColumn("ask.is_nothing", "boolean", lambda _: 0, nothing=1),
    AskColumn("ask.is_goal", "boolean", lambda a: a.ask.id == a.catalog.goal, nothing=0),
    AskColumn("ask.is_sensitive", "boolean", lambda a: a.ask.sensitive, nothing=0),
    AskColumn("ask.is_repeatable", "boolean", lambda a: a.ask.repeat_after_s is not None, nothing=0),
    AskColumn("ask.effort", "number", lambda a: a.ask.effort),
    AskColumn("ask.gives", "number", lambda a: a.ask.gives),
    AskColumn("ask.effort_gap", "number", lambda a: a.ask.effort - a.ask.gives),
    AskColumn("ask.effort_to_goal", "number", lambda a: a.catalog.goal_ask.effort - a.ask.effort),
    AskColumn("ask.cost", "number", lambda a: a.ask.cost, nothing=0),
    AskColumn("ask.baseline_step", "number", lambda a: _step(a.ask.id, a.catalog.baseline)),
    AskColumn("ask.n_requires", "number", lambda a: len(a.ask.requires), nothing=0),
    AskColumn("ask.n_collects", "number", lambda a: len(a.ask.collects), nothing=0),
)

DECISION_COLUMNS: Final = (
    DecisionColumn("time.hour", "number", lambda d: d.given.now % DAY // _HOUR),
    DecisionColumn("time.weekday", "number", lambda d: (d.given.now // DAY + _THURSDAY) % 7),
    DecisionColumn("visitor.n_sessions", "number", lambda d: d.summary.n_sessions),
    DecisionColumn("visitor.n_episodes", "number", lambda d: d.summary.n_episodes),
    DecisionColumn("visitor.n_conversions", "number", lambda d: d.summary.n_conversions),
    DecisionColumn("visitor.n_shown_24h", "number", lambda d: d.summary.n_shows_last_24h),
    DecisionColumn("visitor.n_answers_known", "number", lambda d: d.is_known.sum(axis=1)),
    DecisionColumn("visitor.balance", "number", lambda d: d.balance),
    DecisionColumn("visitor.since_first_event", "seconds", lambda d: d.summary.first_event_at),
    DecisionColumn("visitor.since_last_event", "seconds", lambda d: d.summary.last_event_at),
    DecisionColumn("visitor.since_shown", "seconds", lambda d: d.summary.last_shown_at),
    DecisionColumn("visitor.since_accepted", "seconds", lambda d: d.summary.last_accepted_at),
    DecisionColumn("visitor.since_declined", "seconds", lambda d: d.summary.last_declined_at),
    DecisionColumn("session.n_shown", "number", lambda d: d.summary.session_shown),
    DecisionColumn("session.n_accepted", "number", lambda d: d.summary.session_accepted),
    DecisionColumn("session.n_declined", "number", lambda d: d.summary.session_declined),
    DecisionColumn("session.n_declined_in_a_row", "number", lambda d: d.summary.session_declines),
    DecisionColumn("session.longest_run_of_declines", "number", lambda d: d.summary.session_max_declines),
    DecisionColumn("session.is_answer_decline", "boolean", lambda d: d.summary.is_answer_decline),
    DecisionColumn("session.answered_effort", "number", lambda d: d.facts.effort[d.summary.answered_ask]),
    DecisionColumn("session.since_start", "seconds", lambda d: d.summary.session_started_at),
    DecisionColumn("episode.n_shown", "number", lambda d: d.summary.episode_shown),
    DecisionColumn("episode.n_accepted", "number", lambda d: d.summary.episode_accepted),
    DecisionColumn("episode.highest_effort", "number", lambda d: d.highest_effort),
    DecisionColumn("episode.since_start", "seconds", lambda d: d.summary.episode_started_at),
)

PAIR_COLUMNS: Final = (
    PairColumn("pair.n_shown", "number", lambda p: p.memory[0]),
    PairColumn("pair.n_accepted", "number", lambda p: p.memory[1]),
    PairColumn("pair.n_declined", "number", lambda p: p.memory[2]),
    PairColumn("pair.since_shown", "seconds", lambda p: p.memory[3]),
    PairColumn("pair.since_accepted", "seconds", lambda p: p.memory[4]),
    PairColumn("pair.since_declined", "seconds", lambda p: p.memory[5]),
    PairColumn("pair.n_shown_episode", "number", lambda p: p.memory[6]),
    PairColumn("pair.n_accepted_episode", "number", lambda p: p.memory[7]),
    PairColumn("pair.effort_step", "number", lambda p: p.effort - p.spread(p.decisions.highest_effort)),
    PairColumn("pair.effort_over_answered", "number", lambda p: p.effort - p.facts.effort[p.answered]),
    PairColumn("pair.effort_over_declined", "number", _effort_over_declined),
    PairColumn("pair.is_same_kind", "boolean", lambda p: p.is_same(p.facts.kind)),
    PairColumn("pair.is_same_stage", "boolean", lambda p: p.is_same(p.facts.stage)),
    PairColumn("pair.n_requires_met", "number", _n_requires_met),
    PairColumn("pair.n_collects_known", "number", _n_collects_known),
)


def outcomes_of(ask_table: IntArray) -> FloatArray:
    """What became of asks, for the columns ``history.<ask>``: one number for each column of ``Summary.ask_table``.

    Accepted ever is 1, never met 0, shown without an answer -1, declined and never accepted -2: one order, so that
    one cut of a tree parts those who said yes from all others.
    """
    outcomes = np.where(ask_table[_N_SHOWN] > 0, _UNANSWERED, _NEVER_SHOWN)
    outcomes[ask_table[_N_DECLINED] > 0] = _DECLINED
    outcomes[ask_table[_N_ACCEPTED] > 0] = _ACCEPTED
    return outcomes


def _with_nothing(values: Sequence[float]) -> FloatArray:
    return np.array([*values, MISSING], dtype=np.float64)


def _codes(names: Sequence[str | None]) -> IntArray:
    known: dict[str, int] = {}
    codes = [-1 if name is None else known.setdefault(name, len(known)) for name in names]
    return np.array([*codes, -1], dtype=np.int64)
