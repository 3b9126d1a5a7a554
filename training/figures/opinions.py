"""What a candidate says at the logged steps of the judging episodes: what it would ask, and who it thinks accepts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from features.columns import FloatArray
from features.matrix import FeatureColumns
from features.successors import ACCEPTED
from features.summary import IntArray
from policy.candidates import Candidates
from policy.policies import Model
from training.calibration import Quality, quality
from training.table import PENDING, Table

if TYPE_CHECKING:
    from training.training import Trained

MOST_EPISODES: Final = 2_000
"""More are thinned evenly: figures grow no better, and logging no slower."""


@dataclass(frozen=True, eq=False)
class Opinions:
    """A candidate at k logged steps with m candidate asks.

    Attributes:
        asks: ids of the catalog's asks.
        n_episodes: judging episodes that were looked at.
        n_judging: judging episodes in all.
        candidates: what could be shown at each step.
        probabilities: shape (m,); of the candidate policy, exploration included.
        p_accepts: shape (m,); predicted acceptance.
        step: shape (k,); number of the step in its episode, from 0.
        shown: shape (k,); row of what was really shown, -1 where the catalog does not have it.
        answers: shape (k,); what came of it.
        visitors: shape (k,); whose step it is.
    """

    asks: tuple[str, ...]
    n_episodes: int
    n_judging: int
    candidates: Candidates
    probabilities: FloatArray
    p_accepts: FloatArray
    step: IntArray
    shown: IntArray
    answers: IntArray
    visitors: IntArray

    def quality(self) -> Quality:
        """How well acceptance was predicted for the asks that were shown and are no longer open."""
        shown_asks = np.where(self.shown >= 0, self.candidates.asks[self.shown], -1) if len(self.shown) else self.shown
        rows = np.flatnonzero((shown_asks >= 0) & (self.answers != PENDING))
        predicted = np.clip(self.p_accepts[self.shown[rows]], 0.0, 1.0)
        return quality(predicted, self.answers[rows] == ACCEPTED, self.visitors[rows])

    def shares(self, n_steps: int) -> tuple[FloatArray, IntArray]:
        """Mean probability of each ask at each of the first steps.

        Returns:
            Shape (A + 1, n_steps), the last row for asking nothing, NaN at steps that no episode has; and the number
            of episodes that have each step, shape (n_steps,).
        """
        n_asks = len(self.asks)
        steps = self.step[self.candidates.groups]
        asks = np.where(self.candidates.asks < 0, n_asks, self.candidates.asks)
        is_early = steps < n_steps
        cells = asks[is_early] * n_steps + steps[is_early]
        sums = np.bincount(cells, self.probabilities[is_early], (n_asks + 1) * n_steps).reshape(n_asks + 1, n_steps)
        counts = np.bincount(self.step[self.step < n_steps], minlength=n_steps)
        shares: FloatArray = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        return shares, counts


def opinions_of(table: Table, trained: Trained) -> Opinions:
    """Asks the candidate at the steps of the judging episodes, under the logged states.

    Args:
        table: the log.
        trained: the candidate, its features, and which episodes judge.
    """
    judging = np.flatnonzero(trained.splits.judge)
    kept = np.zeros(table.n_episodes, dtype=np.bool_)
    kept[judging[:: max(1, -(-len(judging) // MOST_EPISODES))]] = True
    rows = np.flatnonzero(kept[table.episode])
    candidates, shown = _taken(table, rows)
    scorer = trained.candidate.scorer
    if scorer.uses_features:
        columns = FeatureColumns(trained.spec, table.catalog)
        given = table.given(trained.spec).take(rows)
        features = columns.matrix(table.crowd.summary.take(rows), given, candidates.offsets, candidates.asks)
        candidates = replace(candidates, features=features)
    scores = None
    probabilities = p_accepts = np.empty(0)
    if len(rows):
        distribution = Model(scorer, trained.candidate.explorer).distribution(candidates)
        probabilities, scores = distribution.probabilities, distribution.scores
    if scores is not None:
        p_accepts = scores.p_accepts
    return Opinions(
        asks=tuple(ask.id for ask in table.catalog.asks),
        n_episodes=int(kept.sum()),
        n_judging=len(judging),
        candidates=candidates,
        probabilities=probabilities,
        p_accepts=p_accepts,
        step=table.steps["step"].to_numpy()[rows].astype(np.int64),
        shown=shown,
        answers=table.answers[rows],
        visitors=table.episodes.episodes["owner"].to_numpy()[table.episode[rows]],
    )


def _taken(table: Table, rows: IntArray) -> tuple[Candidates, IntArray]:
    """The candidates of some steps, and the rows of what was shown there."""
    old = table.candidates
    starts, sizes = old.offsets[:-1][rows], old.sizes[rows]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    moved = starts - offsets[:-1]
    asks = old.asks[np.repeat(moved, sizes) + np.arange(int(offsets[-1]))]

    def of(places: IntArray) -> IntArray:
        found: IntArray = np.where(places[rows] >= 0, places[rows] - moved, -1)
        return found

    return Candidates(offsets, asks, of(old.baseline), of(old.direct)), of(table.shown)
