"""LightGBM as training uses it: the same seed gives the same trees, and held-out visitors say how many are enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import lightgbm as lgb
import numpy as np

from features.columns import FloatArray
from features.spec import FeatureSpec
from features.summary import IntArray
from policy.crowd import BoolArray

Objective = Literal["binary", "cross_entropy", "regression", "multiclass"]
_HELD_OUT: Final = 5
"""One visitor of five is held out to find the number of trees."""
_PATIENCE: Final = 15
_WEEKDAY: Final = "time.weekday"
_ENOUGH_DAYS: Final = 28


@dataclass(frozen=True, slots=True)
class Growth:
    """How trees are grown.

    Attributes:
        n_trees: at most so many.
        rate: learning rate.
        n_leaves: leaves of a tree.
        min_rows: fewest rows in a leaf.
        l2: L2 regularization of leaf values.
        columns: share of the columns each tree may look at.
    """

    n_trees: int = 200
    rate: float = 0.08
    n_leaves: int = 15
    min_rows: int = 40
    l2: float = 5.0
    columns: float = 0.8


@dataclass(frozen=True)
class Examples:
    """What trees learn from: rows of features, targets, the visitor of each row, and scores that trees start from."""

    features: FloatArray
    targets: FloatArray
    visitors: IntArray
    start: FloatArray | None = None

    def take(self, rows: BoolArray) -> Examples:
        """Some of the rows."""
        start = None if self.start is None else self.start[rows]
        return Examples(self.features[rows], self.targets[rows], self.visitors[rows], start)


@dataclass(frozen=True, slots=True)
class Forestry:
    """What all trees of one training have in common; ``ignored`` columns are never cut."""

    names: tuple[str, ...]
    categorical: tuple[int, ...]
    seed: int
    threads: int = 1
    ignored: tuple[int, ...] = ()

    @classmethod
    def of(cls, spec: FeatureSpec, days: float, seed: int, threads: int) -> Forestry:
        """For features of a spec, learned from so many days of traffic.

        The day of the week means nothing until every one has been seen a few times: before that it only tells
        which visitors came first.
        """
        ignored = tuple(i for i, name in enumerate(spec.names) if name == _WEEKDAY and days < _ENOUGH_DAYS)
        return cls(spec.names, spec.categorical, seed, threads, ignored)


def grow(examples: Examples, objective: Objective, growth: Growth, forestry: Forestry, **more: Any) -> lgb.Booster:
    """Grows ``growth.n_trees`` trees on all rows."""
    parameters = _parameters(objective, growth, forestry) | more
    return lgb.train(parameters, _dataset(examples, forestry), num_boost_round=growth.n_trees)


def grow_tuned(
    examples: Examples, objective: Objective, growth: Growth, forestry: Forestry, **more: Any
) -> lgb.Booster:
    """Grows as many trees as help on held-out visitors, then that many on all rows."""
    is_held_out = _mixed(examples.visitors) % _HELD_OUT == 0
    if is_held_out.all() or not is_held_out.any() or len(np.unique(examples.targets[~is_held_out])) < 2:
        return grow(examples, objective, replace(growth, n_trees=1), forestry, **more)
    parameters = _parameters(objective, growth, forestry) | more
    train = _dataset(examples.take(~is_held_out), forestry)
    held_out = _dataset(examples.take(is_held_out), forestry, reference=train)
    stop = lgb.early_stopping(_PATIENCE, verbose=False)
    found = lgb.train(parameters, train, growth.n_trees, valid_sets=[held_out], callbacks=[stop])
    return grow(examples, objective, replace(growth, n_trees=max(1, found.best_iteration)), forestry, **more)


def _mixed(visitors: IntArray) -> IntArray:
    """Numbers of visitors as if drawn at random: whoever came first must not fall into the same part."""
    mixed: IntArray = (visitors.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(40)).astype(np.int64)
    return mixed


def _dataset(examples: Examples, forestry: Forestry, reference: lgb.Dataset | None = None) -> lgb.Dataset:
    return lgb.Dataset(
        np.ascontiguousarray(examples.features),
        examples.targets,
        init_score=examples.start,
        feature_name=_plain(forestry.names),
        categorical_feature=list(forestry.categorical),
        reference=reference,
        params={"verbose": -1, "min_data_in_bin": 3},
        free_raw_data=True,
    )


def _plain(names: Sequence[str]) -> list[str]:
    """Names as LightGBM takes them: its text format knows no spaces, and its parser no brackets."""
    return [
        f"f{place}" if not name.replace(".", "").replace("_", "").replace("-", "").isalnum() else name
        for place, name in enumerate(names)
    ]


def _parameters(objective: Objective, growth: Growth, forestry: Forestry) -> dict[str, Any]:
    return {
        "objective": objective,
        "learning_rate": growth.rate,
        "num_leaves": growth.n_leaves,
        "min_data_in_leaf": growth.min_rows,
        "lambda_l2": growth.l2,
        "feature_fraction": growth.columns,
        "cat_smooth": 20.0,
        "min_data_per_group": 50,
        "feature_contri": [float(i not in forestry.ignored) for i in range(len(forestry.names))],
        "seed": forestry.seed,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbose": -1,
    }
