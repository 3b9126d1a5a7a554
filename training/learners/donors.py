"""What an answer does not determine, from logged continuations: time until the next decision, and signals in between.

Signals tell what visitors feel, and a visitor who feels so goes on to answer so. A continuation drawn from anybody's
would contradict what is known of the visitor; so a model says how likely each **pattern** of signals is in the state
after the answer, a pattern is drawn by it, and then a donor among the logged continuations of that pattern.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import lightgbm as lgb
import numpy as np

from data.domain import SECOND
from features.columns import FloatArray
from features.successors import Aftermath
from features.summary import IntArray
from policy.crowd import BoolArray
from training.learners.responses import Encoded, answered_features
from training.table import PENDING, UNKNOWN_ASK, Table
from training.trees import Examples, Forestry, Growth, grow_tuned

STAYS: Final = 0
RETURNS: Final = 1
N_ANSWERS: Final = 3
_THINKS: Final = 20 * SECOND
"""How long an answer takes where no log says."""
_MOST_PATTERNS: Final = 8
_FEWEST: Final = 200
_GROWTH: Final = Growth(n_trees=80, rate=0.1, n_leaves=7, min_rows=50, l2=10.0)


class Continuation(NamedTuple):
    """What lies between n answers and the next decisions: times in microseconds, and counts of signals (n, S)."""

    gap: IntArray
    signals: IntArray
    lead: IntArray

    def take(self, rows: IntArray) -> Continuation:
        """Some of them."""
        return Continuation(self.gap[rows], self.signals[rows], self.lead[rows])


@dataclass(frozen=True, eq=False)
class Kind:
    """The logged continuations of one kind, sorted by pattern of signals, and how likely each pattern is.

    Attributes:
        donors: the continuations.
        bounds: shape (K + 1,); those of pattern k are rows ``bounds[k]:bounds[k + 1]``.
        shares: shape (K,); how frequent each pattern is.
        booster: predicts the shares from the state after the answer; ``None`` where there is too little to tell.
    """

    donors: Continuation
    bounds: IntArray
    shares: FloatArray
    booster: lgb.Booster | None

    @classmethod
    def of(cls, continuations: Continuation, features: FloatArray, visitors: IntArray, forestry: Forestry) -> Kind:
        """Sorts continuations and learns their patterns from the states after the answers."""
        patterns, n_patterns = _patterns(continuations.signals)
        order = np.argsort(patterns, kind="stable")
        counts = np.bincount(patterns, minlength=n_patterns)
        booster = None
        if n_patterns > 1 and len(patterns) >= _FEWEST:
            examples = Examples(features, patterns.astype(np.float64), visitors)
            booster = grow_tuned(examples, "multiclass", _GROWTH, forestry, num_class=n_patterns)
        bounds = np.concatenate([[0], np.cumsum(counts)])
        return cls(continuations.take(order), bounds, counts / max(1, len(patterns)), booster)

    def draw(self, features: FloatArray, rng: np.random.Generator) -> Continuation:
        """One continuation for each state after an answer; there must be any."""
        n = len(features)
        shares = np.broadcast_to(self.shares, (n, len(self.shares)))
        if self.booster is not None and n:
            shares = np.asarray(self.booster.predict(features, num_threads=1))
        patterns = drawn(shares, rng)
        low, high = self.bounds[patterns], self.bounds[patterns + 1]
        return self.donors.take(low + (rng.random(n) * (high - low)).astype(np.int64))


@dataclass(frozen=True, eq=False)
class Donors:
    """Logged continuations of both kinds, and how long answers take.

    Attributes:
        kinds: of visitors who stayed, and of those who came back; ``None`` where nobody did.
        thinks: for each answer, how long those took that the log has.
        shortest: for each kind, what a gap is taken to be where the log has none.
        n_signals: number of declared signals.
    """

    kinds: tuple[Kind | None, Kind | None]
    thinks: tuple[IntArray, ...]
    shortest: tuple[int, int]
    n_signals: int

    @classmethod
    def of(cls, table: Table, steps: BoolArray, encoded: Encoded, forestry: Forestry) -> Donors:
        """The continuations among the chosen steps."""
        summary, now = table.crowd.summary, table.crowd.now
        rows = np.flatnonzero(steps & (table.next_step >= 0) & (table.answers != PENDING))
        rows = rows[steps[table.next_step[rows]] & (table.asks[rows] != UNKNOWN_ASK)]
        following = table.next_step[rows]
        answered_at = np.clip(table.answered_at[rows], now[rows], now[following])
        gap = now[following] - answered_at
        last_at = summary.signaled_at[following].max(axis=1, initial=0)
        found = Continuation(
            gap,
            np.maximum(summary.n_signals[following] - summary.n_signals[rows], 0),
            np.clip(now[following] - last_at, 1, np.maximum(gap, 1)),
        )
        is_return = summary.n_sessions[following] != summary.n_sessions[rows]
        visitors = table.steps["owner"].to_numpy()
        kinds = []
        for chosen in (np.flatnonzero(~is_return), np.flatnonzero(is_return)):
            features = answered_features(table, rows[chosen], encoded)
            own = visitors[rows[chosen]]
            kinds.append(Kind.of(found.take(chosen), features, own, forestry) if len(chosen) else None)
        thinks = tuple((answered_at - now[rows])[table.answers[rows] == answer] for answer in range(N_ANSWERS))
        return cls(
            (kinds[0], kinds[1]), thinks, (SECOND, table.catalog.session_gap_s * SECOND), len(table.catalog.signals)
        )

    def thinking(self, answers: IntArray, rng: np.random.Generator) -> IntArray:
        """Microseconds from decision to answer, for each of n answers."""
        u, taken = rng.random(len(answers)), np.full(len(answers), _THINKS)
        for answer, known in enumerate(self.thinks):
            rows = np.flatnonzero(answers == answer)
            if len(known):
                taken[rows] = known[(u[rows] * len(known)).astype(np.int64)]
        return taken

    def draw(self, kind: int, features: FloatArray, rng: np.random.Generator) -> Continuation:
        """What follows n answers, from the features of the states after them."""
        found, n = self.kinds[kind], len(features)
        if found is not None:
            return found.draw(features, rng)
        gap = np.full(n, self.shortest[kind])
        return Continuation(gap, np.zeros((n, self.n_signals), dtype=np.int64), gap)


def aftermath(asks: IntArray, answers: IntArray, answered_at: IntArray, after: Continuation) -> Aftermath:
    """Answers and what follows them as ``features.successors`` takes it."""
    next_at = answered_at + after.gap
    return Aftermath(asks, answers, answered_at, next_at, after.signals, np.maximum(next_at - after.lead, answered_at))


def drawn(shares: FloatArray, rng: np.random.Generator) -> IntArray:
    """A column for each row, as likely as its share.

    Example:
        >>> drawn(np.array([[0.0, 1.0], [1.0, 0.0]]), np.random.default_rng(0)).tolist()
        [1, 0]
    """
    totals = np.cumsum(shares, axis=1)
    picks = (rng.random(len(shares))[:, None] * totals[:, -1:] >= totals).sum(axis=1)
    found: IntArray = np.minimum(picks, shares.shape[1] - 1)
    return found


def _patterns(signals: IntArray) -> tuple[IntArray, int]:
    """Which signals were seen, as numbers 0, 1, ... by falling frequency; rare patterns share the last one."""
    _, codes, counts = np.unique(signals > 0, axis=0, return_inverse=True, return_counts=True)
    ranks = np.empty(len(counts), dtype=np.int64)
    ranks[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
    return np.minimum(ranks[codes.reshape(-1)], _MOST_PATTERNS - 1), min(len(counts), _MOST_PATTERNS)
