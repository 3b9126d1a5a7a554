"""The default learner: learned responses and a plan over them (``responses``, ``donors``, ``lookahead``, ``planning``).

In this domain the next state is known once the answer is known, so a model of answers, which every step teaches, does
what fitted Q iteration can do only with many conversions: with a few thousand visitors it plans better than Q-learning
with tens of thousands (``benchmarks/RESULTS.md``). It is a model, and models flatter themselves: what it promises
ranks asks, and never gates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from data.errors import BadInput
from policy.boosted import BoostedScorer
from policy.boosters import Trees
from policy.guardrails.registry import compile_guards
from training.learners.donors import Donors
from training.learners.logits import Terms
from training.learners.lookahead import Model
from training.learners.planning import Plan, Planner
from training.learners.protocol import Learned, Lessons
from training.learners.responses import Encoded, fit_responses, table_features
from training.learners.states import States
from training.learners.telling import fit_telling
from training.table import PENDING
from training.trees import Examples, Growth, Objective, grow

_ACCEPTING: Final = Growth(n_trees=100, rate=0.1, n_leaves=15, min_rows=40, l2=1.0)
_MOST_STARTS: Final = 2_000


@dataclass(frozen=True)
class PlannedQ:
    """See the module docstring; ``plan`` says how far to look."""

    plan: Plan = field(default_factory=Plan)
    name: ClassVar[str] = "planned"

    def fit(self, lessons: Lessons) -> Learned:
        """Learns responses and plans over them; see ``Learner``."""
        # Products of small matrices gain nothing from threads, and lose much where others want the cores.
        with threadpool_limits(limits=1, user_api="blas"):
            return self._learned(lessons)

    def _learned(self, lessons: Lessons) -> Learned:
        table, steps = lessons.table, lessons.steps
        rows = np.flatnonzero(steps)
        if not (steps & (table.asks >= 0) & (table.answers != PENDING)).any():
            raise BadInput("planned Q: there is no answered step to learn from; a log of at least one ask is needed")
        encoded, forestry = Encoded.of(table, lessons.spec), lessons.forestry
        model = Model(
            guards=compile_guards(table.catalog),
            encoded=encoded,
            responses=fit_responses(table, steps, encoded, forestry),
            donors=Donors.of(table, steps, encoded, forestry),
            telling=fit_telling(table, steps, encoded, forestry),
            terms=Terms.of(table_features(table, rows[table.asks[rows] >= 0], encoded), forestry),
        )
        known = States(table.crowd, encoded.given)
        starts = known.take(rows[table.steps["step"].to_numpy()[rows] == 0])
        objective: Objective = "cross_entropy" if table.catalog.reward == "conversion" else "regression"
        planner = Planner(model, self.plan, objective, forestry)
        value, final = planner.run(known.take(rows), starts, lessons.progress)
        facts: dict[str, float | int | str] = {"n_steps": len(rows)}
        if len(starts):
            some = starts.take(np.arange(min(len(starts), _MOST_STARTS)))
            facts["promised_value"] = float(value.best(model.choices(some))[0].mean())
        accepts = _acceptance(model, lessons)
        return Learned(BoostedScorer(Trees.of(final), accepts, *_range(lessons)), facts)


def _range(lessons: Lessons) -> tuple[float, float]:
    """The smallest and largest reward that can be promised."""
    if lessons.table.catalog.reward == "conversion":
        return 0.0, 1.0
    seen = lessons.table.rewards[lessons.episodes]
    return float(min(0.0, seen.min(initial=0.0))), float(max(0.0, seen.max(initial=0.0)))


def _acceptance(model: Model, lessons: Lessons) -> Trees:
    """The trees that say how likely an ask is accepted: what the model of answers says, learned once more."""
    table = lessons.table
    rows = np.flatnonzero(lessons.steps & (table.asks >= 0))
    features = table_features(table, rows, model.encoded)
    targets = model.responses.accepts.predict(features)
    visitors = table.steps["owner"].to_numpy()[rows]
    return Trees.of(grow(Examples(features, targets, visitors), "cross_entropy", _ACCEPTING, lessons.forestry))
