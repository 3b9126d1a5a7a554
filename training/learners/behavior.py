"""Q of the behavior: what became of those who were asked this in such a state, under whatever policy followed.

Greedy on it is one step of policy improvement (Sutton and Barto 2018, section 4.2). Simple, model-free, and a fair
start where the log is large; it learns from conversions alone, of which there are few.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from data.errors import BadInput
from features.successors import ACCEPTED
from policy.boosted import BoostedScorer
from policy.boosters import Trees
from training.learners.protocol import Learned, Lessons
from training.learners.responses import Encoded, table_features
from training.table import PENDING
from training.trees import Examples, Growth, Objective, grow_tuned

_GROWTH: Final = Growth(n_trees=200, rate=0.06, n_leaves=15, min_rows=60, l2=5.0)
_ACCEPTING: Final = Growth(n_trees=200, rate=0.08, n_leaves=15, min_rows=40)


@dataclass(frozen=True)
class QOfBehavior:
    """See the module docstring."""

    name: ClassVar[str] = "behavior"

    def fit(self, lessons: Lessons) -> Learned:
        """Regresses the episode's reward on each of its steps; see ``Learner``."""
        table = lessons.table
        encoded = Encoded.of(table, lessons.spec)
        forestry = lessons.forestry
        rows = np.flatnonzero(lessons.episodes[table.episode] & (table.asks >= 0))
        if len(rows) == 0:
            raise BadInput("Q of the behavior: no settled episode has an ask of the catalog; nothing to learn from")
        visitors = table.steps["owner"].to_numpy()
        objective: Objective = "cross_entropy" if table.catalog.reward == "conversion" else "regression"
        rewards = table.rewards[table.episode[rows]]
        value = grow_tuned(
            Examples(table_features(table, rows, encoded), rewards, visitors[rows]), objective, _GROWTH, forestry
        )
        asked = np.flatnonzero(lessons.steps & (table.asks >= 0) & (table.answers != PENDING))
        accepted = (table.answers[asked] == ACCEPTED).astype(np.float64)
        accepts = grow_tuned(
            Examples(table_features(table, asked, encoded), accepted, visitors[asked]), "binary", _ACCEPTING, forestry
        )
        low, high = float(min(0.0, rewards.min())), float(max(rewards.max(), 1e-9))
        scorer = BoostedScorer(Trees.of(value), Trees.of(accepts), low, high)
        return Learned(scorer, {"n_steps": len(rows), "n_conversions": float((rewards > 0).sum())})
