"""Small boosters for tests: trained here, over random columns or over those of a catalog."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import lightgbm
import numpy as np

from data.domain import SECOND, Catalog
from features.inputs import InputCodes
from features.matrix import FeatureColumns
from features.spec import FeatureSpec
from features.state import Scopes, as_of, fold
from features.summary import summarize
from policy.boosted import BoostedScorer, features_of
from policy.boosters import Trees
from policy.candidates import Candidates, FloatArray

NOON = 1_780_000_000 * SECOND


def random_matrix(n_rows: int, n_columns: int, seed: int = 0) -> FloatArray:
    """Columns contiguous as features are, 3 % missing."""
    rng = np.random.default_rng(seed)
    columns = rng.random((n_columns, n_rows))
    columns[rng.random(columns.shape) < 0.03] = np.nan
    return columns.T


def train(
    rows: FloatArray, targets: FloatArray, objective: str, n_trees: int = 8, categorical: Sequence[int] = ()
) -> lightgbm.Booster:
    """A booster that is the same at every run."""
    settings = {
        "objective": objective,
        "num_leaves": 31,
        "min_data_in_leaf": 3,
        "min_data_per_group": 1,
        "learning_rate": 0.3,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "seed": 0,
        "verbose": -1,
    }
    return lightgbm.train(settings, lightgbm.Dataset(rows, targets, categorical_feature=list(categorical)), n_trees)


def boosted(rows: FloatArray, categorical: Sequence[int] = (), seed: int = 0, n_trees: int = 8) -> BoostedScorer:
    """A scorer that has learned random numbers by heart: values from -0.5 to 0.8, clipped to [-0.3, 0.7]."""
    rng = np.random.default_rng(seed)
    value = train(rows, rng.uniform(-0.5, 0.8, len(rows)), "regression", n_trees, categorical)
    p_accept = train(rows, rng.random(len(rows)), "cross_entropy", n_trees, categorical)
    return BoostedScorer(Trees.of(value), Trees.of(p_accept), low=-0.3, high=0.7)


def featured(candidates: Candidates, catalog: Catalog, spec: FeatureSpec) -> Candidates:
    """The candidates with the features of visitors who have just come."""
    scopes, n = Scopes.of(catalog), len(candidates.offsets) - 1
    summary = summarize([as_of(fold([], scopes), NOON, scopes)] * n, [NOON] * n, catalog)
    given = InputCodes(spec).encode([{}] * n, [{}] * n, ["web"] * n, [NOON] * n)
    columns = FeatureColumns(spec, catalog)
    return replace(candidates, features=columns.matrix(summary, given, candidates.offsets, candidates.asks))


def boosted_over(catalog: Catalog, spec: FeatureSpec, seed: int = 0) -> BoostedScorer:
    """A scorer over a catalog's columns that tells its asks apart."""
    asks = np.tile(np.arange(-1, len(catalog.asks)), 20)
    one_each = np.arange(len(asks) + 1)
    nobody = np.full(len(asks), -1)
    rows = features_of(featured(Candidates(one_each, asks, nobody, nobody), catalog, spec))
    rng = np.random.default_rng(seed)
    values, p_accepts = rng.uniform(-0.5, 0.8, len(catalog.asks) + 1), rng.random(len(catalog.asks) + 1)
    value = train(rows, values[asks], "regression", categorical=spec.categorical)
    p_accept = train(rows, p_accepts[asks], "cross_entropy", categorical=spec.categorical)
    return BoostedScorer(Trees.of(value), Trees.of(p_accept), low=-0.3, high=0.7)
