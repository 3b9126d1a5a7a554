"""What visitors tell when they accept an ask that collects an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import lightgbm as lgb
import numpy as np

from features.columns import FloatArray
from features.inputs import encoder_of
from features.successors import ACCEPTED
from policy.crowd import BoolArray, Values
from training.learners.donors import drawn
from training.learners.responses import Encoded, table_features
from training.table import Table
from training.trees import Examples, Forestry, Growth, grow_tuned

_FEWEST: Final = 100
_MOST_VALUES: Final = 30
_GROWTH: Final = Growth(n_trees=60, rate=0.1, n_leaves=7, min_rows=50, l2=10.0)


@dataclass(frozen=True, eq=False)
class Telling:
    """The values of one answer and how likely each is.

    Attributes:
        column: place of the answer among those of the spec.
        values: shape (K,); raw values, ``None`` where the answer stayed unknown.
        codes: shape (K,); the same, encoded.
        shares: shape (K,); how frequent each is.
        booster: predicts the shares from decision and ask; ``None`` where there is too little to tell.
    """

    column: int
    values: Values
    codes: FloatArray
    shares: FloatArray
    booster: lgb.Booster | None = None

    def draw(self, features: FloatArray, rng: np.random.Generator) -> tuple[Values, FloatArray]:
        """One value and its code for each row of features of decision and ask."""
        shares = np.broadcast_to(self.shares, (len(features), len(self.shares)))
        if self.booster is not None:
            shares = np.asarray(self.booster.predict(features, num_threads=1))
        picks = drawn(shares, rng)
        return self.values[picks], self.codes[picks]


def fit_telling(table: Table, steps: BoolArray, encoded: Encoded, forestry: Forestry) -> Mapping[str, Telling]:
    """By answer, what acceptances of unknown ones told; learned from the chosen steps."""
    found = {}
    for column, feature in enumerate(encoded.spec.answers):
        collects = [i for i, ask in enumerate(table.catalog.asks) if feature.name in ask.collects]
        is_told = steps & np.isin(table.asks, collects) & (table.answers == ACCEPTED) & (table.next_step >= 0)
        raw = table.crowd.answers[feature.name]
        rows = np.array([row for row in np.flatnonzero(is_told) if raw[row] is None], dtype=np.int64)
        if len(rows) == 0:
            continue
        values, labels = _distinct(raw[table.next_step[rows]])
        encode = encoder_of(feature)
        codes = np.array([encode(value) for value in values], dtype=np.float64)
        booster = None
        if feature.type == "category" and 2 <= len(values) <= _MOST_VALUES and len(rows) >= _FEWEST:
            own = table.steps["owner"].to_numpy()[rows]
            examples = Examples(table_features(table, rows, encoded), labels.astype(np.float64), own)
            booster = grow_tuned(examples, "multiclass", _GROWTH, forestry, num_class=len(values))
        shares = np.bincount(labels, minlength=len(values)) / len(labels)
        found[feature.name] = Telling(column, values, codes, shares, booster)
    return found


def _distinct(told: Values) -> tuple[Values, np.ndarray]:
    """Distinct values in an order that does not depend on that of the rows, and the place of each among them."""
    by_name = {f"{type(value).__name__} {value}": value for value in told}
    names = sorted(by_name)
    values = np.full(len(names), None, dtype=object)
    for place, name in enumerate(names):
        values[place] = by_name[name]
    places = {name: place for place, name in enumerate(names)}
    return values, np.array([places[f"{type(value).__name__} {value}"] for value in told], dtype=np.int64)
