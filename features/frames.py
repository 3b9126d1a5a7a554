"""Context and answers of a log as numbers, column by column, and vocabularies learned from a log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from data.domain import Catalog
from features.columns import MISSING, FloatArray, Given
from features.inputs import CHANNEL_CODES, bounds_of, encoder_of, text_of
from features.spec import ANSWERS, CHANNEL, CONTEXT, FeatureSpec, Input, spec_of

MIN_COUNT: Final = 20
"""Fewest decisions with a value for it to get a code of its own."""
MAX_VALUES: Final = 250
"""Most values of an open category that get codes of their own."""


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
    """The spec of a catalog, with the vocabularies of its open categories taken from the ``shown`` rows of a log.

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
    counts: Counter[str] = Counter()
    for value, count in values.rename("value").value_counts(name="count").iter_rows():
        counts[text_of(value)] += count
    del counts[""]
    ranked = sorted((-count, text) for text, count in counts.items() if count >= min_count)
    return tuple(sorted(text for _, text in ranked[:max_values]))


def _matrix(frame: pl.DataFrame, prefix: str, features: Sequence[Input]) -> FloatArray:
    matrix = np.empty((len(features), frame.height))
    for row, feature in zip(matrix, features, strict=True):
        row[:] = _encoded(_column(frame, prefix + feature.name), feature)
    return matrix.T


def _encoded(values: pl.Series, feature: Input) -> FloatArray:
    if feature.type == "category" and values.dtype == pl.String:
        codes = {name: float(code) for code, name in enumerate(feature.values)}
        return _coded(values.replace("", None), codes, float(len(codes)) if feature.is_open else MISSING)
    if feature.type == "boolean" and values.dtype == pl.Boolean:
        return _numbers(values)
    if feature.type == "number" and values.dtype.is_numeric():
        numbers = _numbers(values)
        low, high = bounds_of(feature)
        return np.where((numbers >= low) & (numbers <= high) & np.isfinite(numbers), numbers, MISSING)
    return _one_by_one(values, feature)


def _coded(values: pl.Series, codes: dict[str, float], other: float) -> FloatArray:
    """Codes of text, ``other`` for text that has none, missing for null."""
    coded = np.where(values.is_null().to_numpy(), MISSING, other)
    found = values.cast(pl.Enum(list(codes)), strict=False)
    is_found = found.is_not_null().to_numpy()
    coded[is_found] = np.array(list(codes.values()))[found.drop_nulls().to_physical().to_numpy()]
    return coded


def _one_by_one(values: pl.Series, feature: Input) -> FloatArray:
    """What is of another type than declared, each distinct value by the function that serving uses."""
    encode = encoder_of(feature)
    distinct = values.unique()
    codes = pl.Series([encode(value) for value in distinct.to_list()], dtype=pl.Float64)
    return values.replace_strict(distinct, codes, default=MISSING, return_dtype=pl.Float64).to_numpy()


def _numbers(values: pl.Series) -> FloatArray:
    return values.cast(pl.Float64).fill_null(MISSING).to_numpy()


def _column(frame: pl.DataFrame, name: str) -> pl.Series:
    if name in frame.columns:
        return frame[name]
    return pl.Series(name, [None] * frame.height, dtype=pl.String)
