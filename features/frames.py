"""Context and answers of a log as numbers, column by column, and vocabularies learned from a log."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from data.domain import Catalog
from features.columns import MISSING, FloatArray, Given
from features.inputs import CHANNEL_CODES, bounds_of
from features.spec import ANSWERS, CHANNEL, CONTEXT, FeatureSpec, Input, spec_of

MIN_COUNT = 20
MAX_VALUES = 250


def encode_frame(spec: FeatureSpec, decisions: pl.DataFrame) -> Given:
    """What the decisions of a log were made from, as arrays; equal to ``InputCodes.encode`` on the same values.

    Args:
        spec: the encoding.
        decisions: ``shown`` rows of a log, with the columns ``at``, ``channel``, ``context.*`` and ``answers.*``.
            A column that is not there is missing in every row; no channel is ``web``.
    """
    return Given(
        channel=_coded(_column(decisions, CHANNEL).cast(pl.String).fill_null("web"), CHANNEL_CODES, MISSING),
        context=_matrix(decisions, CONTEXT, spec.context),
        answers=_matrix(decisions, ANSWERS, spec.answers),
        now=decisions["at"].to_physical().to_numpy(),
    )


def learn_spec(
    catalog: Catalog, decisions: pl.DataFrame, *, min_count: int = MIN_COUNT, max_values: int = MAX_VALUES
) -> FeatureSpec:
    """The spec of a catalog, with the vocabularies of its open categories taken from a log.

    A value gets a code of its own when at least ``min_count`` decisions have it and it is among the ``max_values``
    most frequent ones; all others share one. The result does not depend on the order of rows.
    """
    vocabularies = {}
    for prefix, features in ((CONTEXT, catalog.context), (ANSWERS, catalog.answers)):
        for feature in features:
            if feature.type == "category" and feature.values is None:
                name = prefix + feature.name
                vocabularies[name] = _frequent(_column(decisions, name), min_count, max_values)
    return spec_of(catalog, vocabularies)


def _frequent(values: pl.Series, min_count: int, max_values: int) -> tuple[str, ...]:
    if values.dtype != pl.String:
        return ()
    counts = values.drop_nulls().value_counts().filter(pl.col("count") >= min_count)
    ranked = sorted(counts.iter_rows(), key=lambda row: (-row[1], row[0]))
    return tuple(sorted([value for value, _ in ranked if value][:max_values]))


def _matrix(frame: pl.DataFrame, prefix: str, features: Sequence[Input]) -> FloatArray:
    matrix = np.empty((len(features), frame.height))
    for row, feature in zip(matrix, features, strict=True):
        row[:] = _encoded(_column(frame, prefix + feature.name), feature)
    return matrix.T


def _encoded(values: pl.Series, feature: Input) -> FloatArray:
    missing = np.full(len(values), MISSING)
    if feature.type == "category":
        if values.dtype != pl.String:
            return missing
        codes = {name: float(code) for code, name in enumerate(feature.values)}
        return _coded(values.replace("", None), codes, float(len(codes)) if feature.is_open else MISSING)
    if feature.type == "boolean":
        return _numbers(values) if values.dtype == pl.Boolean else missing
    if not values.dtype.is_numeric():
        return missing
    numbers = _numbers(values)
    low, high = bounds_of(feature)
    return np.where((numbers >= low) & (numbers <= high) & np.isfinite(numbers), numbers, MISSING)


def _coded(values: pl.Series, codes: dict[str, float], other: float) -> FloatArray:
    """Codes of text, ``other`` for text that has none, missing for null."""
    found = values.cast(pl.Enum(list(codes)), strict=False)
    coded = np.where(values.is_null().to_numpy(), MISSING, other)
    is_found = found.is_not_null().to_numpy()
    coded[is_found] = np.array([*codes.values()])[found.drop_nulls().to_physical().to_numpy()] if codes else other
    return coded


def _numbers(values: pl.Series) -> FloatArray:
    return values.cast(pl.Float64).fill_null(MISSING).to_numpy()


def _column(frame: pl.DataFrame, name: str) -> pl.Series:
    if name in frame.columns:
        return frame[name]
    return pl.Series(name, [None] * frame.height, dtype=pl.Null)
