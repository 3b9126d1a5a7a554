"""Planned Q: what an ask is worth when every later ask is chosen well, by looking ahead with learned responses.

    Q_k(s, a) = p(accept | s, a) (earns(a) + C_k(s, a, accepted)) + (1 - p) C_k(s, a, refused)
    C_k(s, a, y) = stay * max_b Q_{k-1}(s'_y, b) + (1 - stay) * (return * max_b Q_{k-1}(s''_y, b) + (1 - return) * exit)

where ``s'`` is the known state after the answer, at the next decision of this visit, and ``s''`` at that of the next
one. Sums (``logits``) are fitted to ``Q_k`` at sampled states, K times: a fit takes a fraction of a second, and what
they say of a state never seen is what its parts say. Two of them, each from half of the states: one picks the best
ask, the other says what it is worth, against the optimism of taking a maximum of estimates (van Hasselt 2010, "Double
Q-learning"). In the end trees learn the last backup: they are what is served.

States are those of the log, then those that the plan itself leads to (Sutton 1990, "Dyna"): a good policy goes where
the log has hardly been.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import lightgbm as lgb
import numpy as np

from features.columns import FloatArray
from features.summary import IntArray
from policy.candidates import Candidates
from policy.crowd import BoolArray
from training.learners.logits import Sums
from training.learners.lookahead import Branch, Choices, Followed, Model, Tree
from training.learners.states import States
from training.trees import Examples, Forestry, Growth, Objective, grow

Progress = Callable[[int, int], None]
_PENALTY: Final = 1.0
_GROWTH: Final = Growth(n_trees=250, rate=0.1, n_leaves=31, min_rows=20, l2=1.0, columns=0.5)
_FEWEST: Final = 50
_FARTHEST: Final = 12


@dataclass(frozen=True, slots=True)
class Plan:
    """How far and how wide to look.

    Attributes:
        n_states: states of the log that are looked ahead from.
        n_walks: visitors who walk through the plan to find further states.
        rounds: backups over the log's states, then over all.
        wander: share of asks picked at random on those walks.
        growth: the trees that are served.
    """

    n_states: int = 6_000
    n_walks: int = 2_500
    rounds: tuple[int, int] = (5, 8)
    wander: float = 0.2
    growth: Growth = _GROWTH


@dataclass(frozen=True, eq=False)
class Value:
    """Two fitted sums for one value function, ``None`` before the first backup."""

    halves: tuple[Sums, Sums] | None

    def of_rows(self, choices: Choices) -> tuple[FloatArray, FloatArray]:
        """Both values of each candidate."""
        if self.halves is None:
            return np.zeros(len(choices.terms)), np.zeros(len(choices.terms))
        first, second = self.halves
        asks = choices.candidates.asks
        return first.predict(choices.terms, asks), second.predict(choices.terms, asks)

    def best(self, choices: Choices) -> tuple[FloatArray, IntArray]:
        """Double estimate of each state's value, and the row that is best by the mean of both, shape (groups,)."""
        candidates = choices.candidates
        first, second = self.of_rows(choices)
        a, b = _argmax(first, candidates), _argmax(second, candidates)
        return (second[a] + first[b]) / 2.0, _argmax(first + second, candidates)


class Planner:
    """Backs values up over trees of one step ahead.

    Args:
        model: what visitors do.
        plan: how far to look.
        objective: of the value's trees.
        forestry: seed and threads.
    """

    def __init__(self, model: Model, plan: Plan, objective: Objective, forestry: Forestry) -> None:
        self._model, self._plan, self._objective, self._forestry = model, plan, objective, forestry
        self._rng = np.random.default_rng(forestry.seed)

    def run(
        self, logged: States, starts: States, progress: Progress = lambda _done, _total: None
    ) -> tuple[Value, lgb.Booster]:
        """The value function, and one set of trees that says the same.

        Args:
            logged: states of the log.
            starts: states at first decisions.
            progress: told how many rounds are done, of how many.
        """
        plan, total = self._plan, sum(self._plan.rounds) + 1
        trees = [self._model.expand(_some(logged, plan.n_states, self._rng), self._rng)]
        value = Value(None)
        for done in range(plan.rounds[0]):
            value = self._backup(trees, value)
            progress(done + 1, total)
        trees += self._walk(_some(starts, plan.n_walks, self._rng), value)
        for done in range(plan.rounds[1]):
            value = self._backup(trees, value)
            progress(plan.rounds[0] + done + 1, total)
        targets = self._all_targets(trees, value)
        features = np.concatenate([tree.choices.features for tree in trees])
        examples = Examples(features, targets, np.zeros(len(targets), dtype=np.int64))
        final = grow(examples, self._objective, plan.growth, self._forestry)
        progress(total, total)
        return value, final

    def _backup(self, trees: list[Tree], value: Value) -> Value:
        """The value function one step further."""
        targets = self._all_targets(trees, value)
        terms = np.concatenate([tree.choices.terms for tree in trees])
        asks = np.concatenate([tree.choices.candidates.asks for tree in trees])
        is_first = np.concatenate([tree.choices.candidates.groups for tree in trees]) % 2 == 0
        is_logit = self._objective == "cross_entropy"

        def fit(half: BoolArray) -> Sums:
            return Sums.fit(terms[half], asks[half], targets[half], penalty=_PENALTY, is_logit=is_logit)

        with ThreadPoolExecutor(self._forestry.threads) as pool:
            first, second = pool.map(fit, (is_first, ~is_first))
        return Value((first, second))

    def _all_targets(self, trees: list[Tree], value: Value) -> FloatArray:
        with ThreadPoolExecutor(self._forestry.threads) as pool:
            return np.concatenate(list(pool.map(lambda tree: self._targets(tree, value), trees)))

    def _targets(self, tree: Tree, value: Value) -> FloatArray:
        """What each root row is worth, by one step ahead and the value function from there."""
        accepted = np.zeros(len(tree.p_accepts))
        accepted[tree.accepted.rows] = self._continuation(tree.accepted, value)
        refused = np.zeros(len(tree.p_accepts))
        refused[tree.refused.rows] = self._continuation(tree.refused, value)
        targets: FloatArray = tree.p_accepts * (tree.earns + accepted) + (1.0 - tree.p_accepts) * refused
        return np.clip(targets, 0.0, 1.0) if self._objective == "cross_entropy" else targets

    def _continuation(self, branch: Branch, value: Value) -> FloatArray:
        """What follows each row of a branch is worth."""
        gone = branch.exits + branch.returns * self._gain(branch.back, branch.exits, value)
        total: FloatArray = gone + branch.stays * self._gain(branch.stay, gone, value)
        return total

    @staticmethod
    def _gain(followed: Followed, otherwise: FloatArray, value: Value) -> FloatArray:
        """How much more a next decision is worth than what comes without one, 0 where it is not followed.

        Where guardrails leave nothing to ask, the next decision is worth what comes without one.
        """
        best, _ = value.best(followed.choices)
        gains = np.zeros(len(otherwise))
        more = np.where(followed.choices.has_ask, best - otherwise[followed.rows], 0.0)
        gains[followed.rows] = followed.weights * more
        return gains

    def _walk(self, states: States, value: Value) -> list[Tree]:
        """Trees at the states that visitors reach under the plan, step by step until few are left."""
        trees: list[Tree] = []
        while len(states) >= _FEWEST and len(trees) < _FARTHEST:
            tree = self._model.expand(states, self._rng)
            trees.append(tree)
            candidates = tree.choices.candidates
            _, best = value.best(tree.choices)
            wander = candidates.offsets[:-1] + (self._rng.random(len(best)) * candidates.sizes).astype(np.int64)
            rows = np.where(self._rng.random(len(best)) < self._plan.wander, wander, best)
            states = self._model.walk(states, tree, rows[tree.choices.has_ask], self._rng)
        return trees


def _some(states: States, n: int, rng: np.random.Generator) -> States:
    if len(states) <= n:
        return states
    return states.take(np.sort(rng.choice(len(states), n, replace=False)))


def _argmax(values: FloatArray, candidates: Candidates) -> IntArray:
    """The row of the largest value in each group, the first of them in a tie."""
    starts = candidates.offsets[:-1]
    best = np.maximum.reduceat(values, starts) if len(values) else np.empty(0)
    rows = np.flatnonzero(values == best[candidates.groups])
    firsts: IntArray = rows[np.searchsorted(rows, starts)]
    return firsts
