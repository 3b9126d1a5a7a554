"""What visitors do: accept, decline, stay, come back, convert later; learned from every step.

Steps are dense where sales are rare. Five models. Of a decision and an ask: is it accepted, and if not, is it
declined or left unanswered. Of the state after the answer: does the visitor ask for another page in this visit, if
not, do they come back within the episode, and if not, what is the episode still worth (the **exit value**: conversions
that come after the last decision).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import lightgbm as lgb
import numpy as np

from data.domain import Catalog
from features.columns import FloatArray, Given
from features.matrix import FeatureColumns
from features.spec import FeatureSpec
from features.successors import ACCEPTED, DECLINED, Aftermath, successors
from features.summary import IntArray, Summary
from policy.candidates import NOTHING
from policy.crowd import BoolArray
from training.learners.logits import Sums, Terms, sigmoid
from training.table import PENDING, UNKNOWN_ASK, Table
from training.trees import Examples, Forestry, Growth, Objective, grow_tuned

_ANSWERING: Final = Growth(n_trees=200, rate=0.05, n_leaves=15, min_rows=40, columns=0.5)
_GOING: Final = Growth(n_trees=150, rate=0.08, n_leaves=7, min_rows=100, l2=10.0)
_PENALTY: Final = 10.0
_FEWEST: Final = 20
"""Fewest rows of either kind for a model of its own; below it is a rate."""


@dataclass(frozen=True, eq=False)
class Rate:
    """A model that says the same of everybody: the share of those who did, pulled to one half by one observation."""

    value: float

    def predict(self, features: FloatArray) -> FloatArray:
        """The rate, once a row."""
        return np.full(len(features), self.value)


@dataclass(frozen=True, eq=False)
class Odds:
    """Sums of log-odds, and trees for what they leave."""

    terms: Terms
    sums: Sums
    rest: lgb.Booster

    def predict(self, features: FloatArray) -> FloatArray:
        """Probabilities, one a row."""
        if len(features) == 0:
            return np.empty(0)
        rest = np.asarray(self.rest.predict(features, num_threads=1, raw_score=True), dtype=np.float64)
        return sigmoid(self.sums.of_rows(self.terms.of_rows(features), self.terms.asks(features)) + rest)


@dataclass(frozen=True, eq=False)
class Trees:
    """A model of trees."""

    booster: lgb.Booster
    threads: int

    def predict(self, features: FloatArray) -> FloatArray:
        """Predictions, one a row."""
        return np.asarray(self.booster.predict(features, num_threads=self.threads), dtype=np.float64)


Head = Rate | Odds | Trees


@dataclass(frozen=True, eq=False)
class Responses:
    """The five models, and what acceptances are worth.

    Attributes:
        accepts: of a decision and an ask.
        declines: of a decision and an ask that is not accepted.
        stays: of the state after the answer.
        returns: of the state after the answer, given that the visit is over.
        exits: of the state after the answer, given that no decision follows: what the episode is still worth.
        earns: shape (A + 1,); what an acceptance of each ask is worth at once, the last one for asking nothing.
    """

    accepts: Head
    declines: Head
    stays: Head
    returns: Head
    exits: Head
    earns: FloatArray


@dataclass(frozen=True, eq=False)
class Encoded:
    """A spec's view of the table's steps, made once for all models."""

    spec: FeatureSpec
    columns: FeatureColumns
    given: Given

    @classmethod
    def of(cls, table: Table, spec: FeatureSpec) -> Encoded:
        """The view of a table."""
        return cls(spec, FeatureColumns(spec, table.catalog), table.given(spec))


def fit_responses(table: Table, steps: BoolArray, encoded: Encoded, forestry: Forestry) -> Responses:
    """Learns from the chosen steps.

    Args:
        table: the log.
        steps: shape (n,); which steps may be learned from.
        encoded: their features' encoding.
        forestry: seed and threads.
    """
    visitors = table.steps["owner"].to_numpy()
    is_asked = steps & (table.asks >= 0) & (table.answers != PENDING)
    asked = np.flatnonzero(is_asked)
    features = table_features(table, asked, encoded)
    is_yes, is_no = table.answers[asked] == ACCEPTED, table.answers[asked] == DECLINED
    who = visitors[asked]
    accepts = _head(Examples(features, is_yes.astype(float), who), _ANSWERING, forestry)
    refused = ~is_yes
    declines = _head(Examples(features[refused], is_no[refused].astype(float), who[refused]), _GOING, forestry)
    stays, returns, exits = _fit_departures(table, steps, encoded, forestry)
    return Responses(accepts, declines, stays, returns, exits, _earnings(table, steps))


def table_features(table: Table, rows: IntArray, encoded: Encoded) -> FloatArray:
    """Features of the shown asks of some steps."""
    offsets = np.arange(len(rows) + 1)
    summary = table.crowd.summary.take(rows)
    return encoded.columns.matrix(summary, encoded.given.take(rows), offsets, table.asks[rows])


def state_features(columns: FeatureColumns, summary: Summary, given: Given) -> FloatArray:
    """Features of states alone: those of asking nothing."""
    offsets = np.arange(len(summary) + 1)
    return columns.matrix(summary, given, offsets, np.full(len(summary), NOTHING))


def after_answer(
    summary: Summary, given: Given, asks: IntArray, answers: IntArray, at: IntArray, catalog: Catalog
) -> Summary:
    """The states right after the answers."""
    none = np.zeros((len(asks), len(catalog.signals)), dtype=np.int64)
    return successors(summary, given.now, Aftermath(asks, answers, at, at, none, at), catalog)


def answered_features(table: Table, rows: IntArray, encoded: Encoded) -> FloatArray:
    """Features of the states right after the answers of some steps."""
    given = encoded.given.take(rows)
    at = np.maximum(table.answered_at[rows], given.now)
    before = table.crowd.summary.take(rows)
    summary = after_answer(before, given, table.asks[rows], table.answers[rows], at, table.catalog)
    return state_features(encoded.columns, summary, replace(given, now=at))


def _fit_departures(table: Table, steps: BoolArray, encoded: Encoded, forestry: Forestry) -> tuple[Head, Head, Head]:
    """Models of the state after the answer."""
    visitors, catalog = table.steps["owner"].to_numpy(), table.catalog
    is_end = (table.answers == ACCEPTED) & (table.asks == catalog.position[catalog.goal])
    rows = np.flatnonzero(steps & (table.asks != UNKNOWN_ASK) & (table.answers != PENDING) & ~is_end)
    features, who = answered_features(table, rows, encoded), visitors[rows]
    following = table.next_step[rows]
    sessions = table.crowd.summary.n_sessions
    goes_on = following >= 0
    is_same_visit = goes_on & (sessions[following] == sessions[rows])
    now = table.episodes.now
    gap = catalog.session_gap_s * 1_000_000
    has_settled = goes_on | (now - table.answered_at[rows] >= gap)
    is_final = goes_on | table.is_mature[table.episode[rows]]
    left = ~is_same_visit
    stays = _head(Examples(features, is_same_visit.astype(float), who).take(has_settled), _GOING, forestry)
    returns = _head(Examples(features, goes_on.astype(float), who).take(left & is_final), _GOING, forestry)
    rewards = _later_rewards(table)[table.episode[rows]]
    last = Examples(features, rewards, who).take(left & is_final & ~goes_on)
    objective: Objective = "binary" if catalog.reward == "conversion" else "regression"
    return stays, returns, _head(last, _GOING, forestry, objective)


def _later_rewards(table: Table) -> FloatArray:
    """What each episode earned after its last answer: all that its acceptances do not explain, shape (E,)."""
    paid = np.bincount(table.episode, _paid_at_once(table), table.n_episodes)
    later: FloatArray = table.rewards - paid
    # A sale after the window was paid in no episode: it is no loss either.
    return np.clip(later, 0.0, 1.0) if table.catalog.reward == "conversion" else later


def _paid_at_once(table: Table) -> FloatArray:
    """What each step's acceptance earned, shape (n,)."""
    catalog = table.catalog
    is_yes = table.answers == ACCEPTED
    is_goal = table.asks == catalog.position[catalog.goal]
    if catalog.reward == "conversion":
        at_once: FloatArray = (is_yes & is_goal).astype(np.float64)
        return at_once
    costs = np.array([*(ask.cost for ask in catalog.asks), 0.0, 0.0])
    values = table.steps["value"].fill_null(0.0).to_numpy()
    return np.where(is_yes, values - costs[table.asks], 0.0)


def _earnings(table: Table, steps: BoolArray) -> FloatArray:
    """Mean worth of an acceptance, by ask, shape (A + 1,)."""
    n_asks = len(table.catalog.asks)
    rows = np.flatnonzero(steps & (table.answers == ACCEPTED) & (table.asks >= 0))
    counts = np.bincount(table.asks[rows], minlength=n_asks + 1)
    sums = np.bincount(table.asks[rows], _paid_at_once(table)[rows], minlength=n_asks + 1)
    earned = np.divide(sums, counts, out=np.zeros(n_asks + 1), where=counts > 0)
    if table.catalog.reward == "conversion":
        earned[table.catalog.position[table.catalog.goal]] = 1.0
    return earned


def _head(examples: Examples, growth: Growth, forestry: Forestry, objective: Objective = "binary") -> Head:
    targets = examples.targets
    if objective == "regression":
        if len(targets) < 2 * _FEWEST or np.ptp(targets) == 0.0:
            return Rate(float(targets.mean()) if len(targets) else 0.0)
        return Trees(grow_tuned(examples, objective, growth, forestry), 1)
    n_yes = int(targets.sum())
    if min(n_yes, len(targets) - n_yes) < _FEWEST:
        return Rate((n_yes + 0.5) / (len(targets) + 1.0) if len(targets) else 0.0)
    terms = Terms.of(examples.features, forestry)
    z, asks = terms.of_rows(examples.features), terms.asks(examples.features)
    sums = Sums.fit(z, asks, targets, penalty=_PENALTY)
    rest = grow_tuned(replace(examples, start=sums.of_rows(z, asks)), objective, growth, forestry)
    return Odds(terms, sums, rest)
