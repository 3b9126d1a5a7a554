"""What an answer does not determine, taken from logged successors: the time until the next decision, the signals seen
in between, and what visitors tell when they accept an ask that collects it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from data.domain import SECOND
from features.columns import FloatArray
from features.inputs import encoder_of
from features.successors import ACCEPTED, Aftermath
from features.summary import IntArray
from policy.crowd import BoolArray, Values
from training.learners.responses import Encoded, table_features
from training.table import Table
from training.trees import Examples, Forestry, Growth, grow_tuned

STAYS: Final = 0
RETURNS: Final = 1
_LEVELS: Final = 4
"""Donors are told apart by the asks accepted in the visit: 0, 1, 2, more."""
_THINKS: Final = 20 * SECOND
_FEWEST: Final = 100
_TELLING: Final = Growth(n_trees=60, rate=0.1, n_leaves=7, min_rows=50, l2=10.0)


@dataclass(frozen=True, eq=False)
class Donors:
    """Logged continuations, by kind of continuation, answer, and asks accepted in the visit.

    ``keys`` are sorted; ``answer_s`` and ``gap_s`` are microseconds from decision to answer, and from answer to the
    next decision; ``signals`` what was seen in between, and ``lead`` how long before the next decision at last.
    """

    keys: IntArray
    answer: IntArray
    gap: IntArray
    signals: IntArray
    lead: IntArray
    shortest: tuple[int, int]

    @classmethod
    def of(cls, table: Table, steps: BoolArray) -> Donors:
        """The continuations among the chosen steps."""
        summary, now = table.crowd.summary, table.crowd.now
        rows = np.flatnonzero(steps & (table.next_step >= 0) & (table.answers < 3))
        following = table.next_step[rows]
        kinds = (summary.n_sessions[following] != summary.n_sessions[rows]).astype(np.int64)
        answered_at = np.clip(table.answered_at[rows], now[rows], now[following])
        counts = np.maximum(summary.n_signals[following] - summary.n_signals[rows], 0)
        last_at = summary.signaled_at[following].max(axis=1, initial=0)
        gap = now[following] - answered_at
        keys = _keys(kinds, table.answers[rows], summary.session_accepted[rows])
        order = np.argsort(keys, kind="stable")
        session_gap = table.catalog.session_gap_s * SECOND
        return cls(
            keys[order],
            (answered_at - now[rows])[order],
            gap[order],
            counts[order],
            np.clip(now[following] - last_at, 1, np.maximum(gap, 1))[order],
            (SECOND, session_gap),
        )

    def draw(self, kind: int, asks: IntArray, answers: IntArray, accepted: IntArray, now: IntArray,
             rng: np.random.Generator) -> Aftermath:
        """What follows hypothetical answers, each from a logged continuation of its kind."""
        keys = _keys(np.full(len(asks), kind), answers, accepted)
        low, high = self._range(keys)
        # Where no logged one is alike, any of the same kind and answer, then of the same kind, will do.
        for coarser in (_LEVELS, 3 * _LEVELS):
            is_none = low == high
            first = keys[is_none] // coarser * coarser
            low[is_none] = np.searchsorted(self.keys, first)
            high[is_none] = np.searchsorted(self.keys, first + coarser)
        picks = low + (rng.random(len(asks)) * (high - low)).astype(np.int64)
        has_donor = high > low
        picks = np.where(has_donor, picks, 0)
        if len(self.keys) == 0:
            return self._without_donors(kind, asks, answers, now)
        answered_at = now + np.where(has_donor, self.answer[picks], _THINKS)
        next_at = answered_at + np.where(has_donor, self.gap[picks], self.shortest[kind])
        signals = np.where(has_donor[:, None], self.signals[picks], 0)
        return Aftermath(asks, answers, answered_at, next_at, signals, np.maximum(next_at - self.lead[picks], answered_at))

    def _without_donors(self, kind: int, asks: IntArray, answers: IntArray, now: IntArray) -> Aftermath:
        answered_at = now + _THINKS
        next_at = answered_at + self.shortest[kind]
        return Aftermath(asks, answers, answered_at, next_at, np.zeros((len(asks), self.signals.shape[1]), np.int64), next_at)

    def _range(self, keys: IntArray) -> tuple[IntArray, IntArray]:
        return np.searchsorted(self.keys, keys), np.searchsorted(self.keys, keys, side="right")


def _keys(kinds: IntArray, answers: IntArray, accepted: IntArray) -> IntArray:
    keys: IntArray = (kinds * 3 + answers) * _LEVELS + np.minimum(accepted, _LEVELS - 1)
    return keys


@dataclass(frozen=True, eq=False)
class Telling:
    """What visitors tell when they accept an ask that collects one answer: values and how likely each is."""

    column: int
    values: Values
    codes: FloatArray
    shares: FloatArray
    booster: object = None

    def draw(self, features: FloatArray, rng: np.random.Generator, threads: int) -> tuple[Values, FloatArray]:
        """One value and its code for each row of features (of decision and ask)."""
        if self.booster is None:
            shares = np.broadcast_to(self.shares, (len(features), len(self.shares)))
        else:
            shares = np.asarray(self.booster.predict(features, num_threads=threads))  # type: ignore[attr-defined]
        totals = np.cumsum(shares, axis=1)
        picks = (rng.random(len(features))[:, None] * totals[:, -1:] > totals).sum(axis=1)
        picks = np.minimum(picks, len(self.values) - 1)
        return self.values[picks], self.codes[picks]


def fit_telling(table: Table, steps: BoolArray, encoded: Encoded, forestry: Forestry) -> Mapping[str, Telling]:
    """Learns from acceptances after which the answer was known, or still was not."""
    found = {}
    for column, feature in enumerate(encoded.spec.answers):
        collects = [i for i, ask in enumerate(table.catalog.asks) if feature.name in ask.collects]
        rows = np.flatnonzero(
            steps & np.isin(table.asks, collects) & (table.answers == ACCEPTED) & (table.next_step >= 0)
        )
        raw = table.crowd.answers[feature.name]
        rows = rows[np.array([raw[row] is None for row in rows], dtype=np.bool_)] if len(rows) else rows
        if len(rows) == 0:
            continue
        told = raw[table.next_step[rows]]
        names = sorted({str(value) for value in told})
        places = {name: place for place, name in enumerate(names)}
        labels = np.array([places[str(value)] for value in told], dtype=np.float64)
        values = np.full(len(names), None, dtype=object)
        for value in told:
            values[places[str(value)]] = value
        encode = encoder_of(feature)
        codes = np.array([encode(value) for value in values])
        shares = np.bincount(labels.astype(np.int64), minlength=len(names)) / len(labels)
        booster = None
        if feature.type == "category" and 2 <= len(names) <= 30 and len(rows) >= _FEWEST:
            examples = Examples(table_features(table, rows, encoded), labels, table.steps["owner"].to_numpy()[rows])
            booster = grow_tuned(examples, "multiclass", _TELLING, forestry, num_class=len(names))
        found[feature.name] = Telling(column, values, codes, shares, booster)
    return found
