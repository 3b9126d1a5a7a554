"""The default learner: learned responses, then a plan over them (``responses``, ``donors``, ``lookahead``, ``planning``).

In this domain the next state is known once the answer is known, so a model of answers, which every step teaches, does
what fitted Q iteration can do only with many conversions: with a few thousand visitors it plans better than Q-learning
with tens of thousands (``benchmarks/RESULTS.md``). It is a model, and models flatter themselves: what it promises
ranks asks, and never gates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from data.errors import BadInput
from features.spec import with_edges
from policy.boosted import BoostedScorer
from policy.boosters import Trees
from policy.guardrails.registry import compile_guards
from training.learners.donors import Donors, fit_telling
from training.learners.lookahead import Model, States
from training.learners.planning import Plan, Planner
from training.learners.protocol import Learned, Lessons
from training.learners.responses import Encoded, Responses, fit_responses
from training.learners.responses import Trees as Forest
from training.table import PENDING, Table
from training.trees import Examples, Forestry, Objective, grow

__all__ = ["PlannedQ", "with_edges"]


@dataclass(frozen=True)
class PlannedQ:
    """See the module docstring; ``plan`` says how far to look."""

    plan: Plan = Plan()
    name: ClassVar[str] = "planned"

    def fit(self, lessons: Lessons) -> Learned:
        """Learns responses and plans over them; see ``Learner``."""
        table, spec = lessons.table, lessons.spec
        encoded = Encoded.of(table, spec)
        forestry = lessons.forestry
        responses = fit_responses(table, lessons.steps, encoded, forestry)
        model = Model(
            guards=compile_guards(table.catalog),
            encoded=encoded,
            responses=responses,
            donors=Donors.of(table, lessons.steps),
            telling=fit_telling(table, lessons.steps, encoded, forestry),
            threads=lessons.threads,
        )
        known = States(table.crowd, encoded.given)
        rows = np.flatnonzero(lessons.steps)
        firsts = rows[table.steps["step"].to_numpy()[rows] == 0]
        if len(rows) == 0:
            raise BadInput("planned Q: there is no step to learn from")
        objective: Objective = "cross_entropy" if table.catalog.reward == "conversion" else "regression"
        planner = Planner(model, self.plan, objective, forestry)
        value, final = planner.run(known.take(rows), known.take(firsts), lessons.progress)
        starts = known.take(firsts[: self.plan.n_walks])
        promised = float(value.best(model.choices(starts))[0].mean())
        low, high = _range(table, lessons)
        scorer = BoostedScorer(Trees.of(final), _acceptance(responses, table, lessons, encoded, forestry), low, high)
        return Learned(scorer, {"promised_value": promised, "n_steps": len(rows)})


def _range(table: Table, lessons: Lessons) -> tuple[float, float]:
    """The smallest and largest reward that can be promised."""
    if table.catalog.reward == "conversion":
        return 0.0, 1.0
    seen = table.rewards[lessons.episodes]
    return float(min(0.0, seen.min(initial=0.0))), float(max(0.0, seen.max(initial=0.0)))


def _acceptance(
    responses: Responses, table: Table, lessons: Lessons, encoded: Encoded, forestry: Forestry
) -> Trees:
    """The trees that say how likely an ask is accepted; one leaf where too few were ever accepted for a model."""
    if isinstance(responses.accepts, Forest):
        return Trees.of(responses.accepts.booster)
    rows = np.flatnonzero(lessons.steps & (table.asks >= 0) & (table.answers != PENDING))
    features = encoded.columns.matrix(
        table.crowd.summary.take(rows), encoded.given.take(rows), np.arange(len(rows) + 1), table.asks[rows]
    )
    targets = np.full(len(rows), responses.accepts.value)
    from training.trees import Growth

    return Trees.of(grow(Examples(features, targets, rows), "cross_entropy", Growth(n_trees=1), forestry))
