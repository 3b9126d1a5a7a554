"""Planned Q: what an ask is worth when every later ask is chosen well, computed by looking ahead with learned responses.

    Q_k(s, a) = p(accept | s, a) (earns(a) + C_k(s, a, accepted)) + (1 - p) C_k(s, a, refused)
    C_k(s, a, y) = stay * max_b Q_{k-1}(s'_y, b) + (1 - stay) * (return * max_b Q_{k-1}(s''_y, b) + (1 - return) * exit)

where ``s'`` is the known state after the answer, at the next decision of this visit, and ``s''`` at that of the next
one. Trees are fitted to ``Q_k`` at sampled states, K times. Two sets of trees, each from half of the states: one picks
the best ask, the other says what it is worth, against the optimism of taking a maximum of estimates (van Hasselt
2010, "Double Q-learning").

States are those of the log, then those that the plan itself leads to (Sutton 1990, "Dyna"): a good policy goes where
the log has hardly been.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

import lightgbm as lgb
import numpy as np

from features.columns import FloatArray
from features.summary import IntArray
from policy.candidates import Candidates
from policy.crowd import BoolArray
from training.learners.joining import joined
from training.learners.lookahead import Branch, Choices, Followed, Model, Reached, States, Tree
from training.trees import Examples, Forestry, Growth, Objective, grow

Progress = Callable[[int, int], None]
_NOTHING_YET: Final = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How far and how wide to look.

    Attributes:
        n_states: states of the log that are looked ahead from.
        n_walks: visitors who walk through the plan to find further states.
        rounds: backups over the log's states, then over all.
        wander: share of asks picked at random on those walks.
        growth: trees of the value function.
    """

    n_states: int = 4_000
    n_walks: int = 1_500
    rounds: tuple[int, int] = (6, 6)
    wander: float = 0.2
    growth: Growth = Growth(n_trees=60, rate=0.2, n_leaves=31, min_rows=20, l2=1.0, columns=0.9)
    last: Growth = Growth(n_trees=200, rate=0.1, n_leaves=31, min_rows=20, l2=1.0, columns=0.9)


@dataclass(frozen=True, eq=False)
class Value:
    """Two sets of trees for one value function, ``None`` before the first backup."""

    boosters: tuple[lgb.Booster, lgb.Booster] | None
    threads: int

    def of_rows(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Both values of each row of features."""
        if self.boosters is None:
            return np.zeros(len(features)), np.zeros(len(features))
        with ThreadPoolExecutor(min(2, self.threads)) as pool:
            predicted = pool.map(lambda booster: booster.predict(features, num_threads=1), self.boosters)
            first, second = (np.asarray(values, dtype=np.float64) for values in predicted)
        return first, second

    def best(self, choices: Choices) -> tuple[FloatArray, IntArray]:
        """Double estimate of each state's value, and the row that is best by the mean of both, shape (groups,)."""
        candidates = choices.candidates
        first, second = self.of_rows(choices.features)
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

    def run(self, logged: States, starts: States, progress: Progress = lambda _done, _total: None) -> tuple[Value, lgb.Booster]:
        """The value function, and one set of trees that says the same.

        Args:
            logged: states of the log.
            starts: states at first decisions.
            progress: told how many rounds are done, of how many.
        """
        plan, total = self._plan, sum(self._plan.rounds) + 1
        trees = [self._model.expand(_some(logged, plan.n_states, self._rng), self._rng)[0]]
        value = Value(_NOTHING_YET, self._forestry.threads)
        for done in range(plan.rounds[0]):
            value = self._backup(trees, value, done)
            progress(done + 1, total)
        trees += self._walk(_some(starts, plan.n_walks, self._rng), value)
        for done in range(plan.rounds[1]):
            value = self._backup(trees, value, plan.rounds[0] + done)
            progress(plan.rounds[0] + done + 1, total)
        targets = np.concatenate([self._targets(tree, value) for tree in trees])
        features = np.concatenate([tree.choices.features for tree in trees])
        final = self._grow(features, targets, np.ones(len(targets), dtype=np.bool_), total, plan.last)
        progress(total, total)
        return value, final

    def _backup(self, trees: list[Tree], value: Value, number: int) -> Value:
        targets = np.concatenate([self._targets(tree, value) for tree in trees])
        features = np.concatenate([tree.choices.features for tree in trees])
        states = np.concatenate([tree.choices.candidates.groups for tree in trees])
        is_first = states % 2 == 0
        # One thread each: trees grown side by side lose less to waiting than threads within one do.
        with ThreadPoolExecutor(min(2, self._forestry.threads)) as pool:
            first = pool.submit(self._grow, features, targets, is_first, 2 * number)
            second = pool.submit(self._grow, features, targets, ~is_first, 2 * number + 1)
            return Value((first.result(), second.result()), self._forestry.threads)

    def _grow(self, features: FloatArray, targets: FloatArray, rows: BoolArray, number: int, growth: Growth | None = None) -> lgb.Booster:
        examples = Examples(features[rows], targets[rows], np.zeros(int(rows.sum()), dtype=np.int64))
        one = replace(self._forestry, seed=self._forestry.seed + number)
        return grow(examples, self._objective, growth or self._plan.growth, one)

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
        while len(states) >= 50 and len(trees) < 12:
            tree, reached = self._model.expand(states, self._rng)
            trees.append(tree)
            states = self._follow(tree, reached, value)
        return trees

    def _follow(self, tree: Tree, reached: tuple[Reached, Reached], value: Value) -> States:
        """The states that visitors come to next: best ask or a random one, then chance."""
        rng, candidates = self._rng, tree.choices.candidates
        _, best = value.best(tree.choices)
        n = len(best)
        sizes = candidates.sizes
        wander = candidates.offsets[:-1] + (rng.random(n) * sizes).astype(np.int64)
        rows = np.where(rng.random(n) < self._plan.wander, wander, best)
        rows = rows[tree.choices.has_ask]
        is_yes = rng.random(len(rows)) < tree.p_accepts[rows]
        crowds = []
        for branch, ahead, chosen in (
            (tree.accepted, reached[0], rows[is_yes]),
            (tree.refused, reached[1], rows[~is_yes]),
        ):
            places = np.searchsorted(branch.rows, chosen)
            places = np.minimum(places, max(len(branch.rows) - 1, 0))
            places = places[branch.rows[places] == chosen] if len(branch.rows) else places[:0]
            stays = rng.random(len(places)) < branch.stays[places]
            crowds.append(ahead.stay.take(places[stays]))
            left = places[~stays]
            comes = left[rng.random(len(left)) < branch.returns[left]]
            crowds.append(ahead.back.take(comes))
        return joined(crowds)


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
