"""Feature rows of one request's candidates, made by the code that makes the rows of a log."""

from __future__ import annotations

from dataclasses import replace


from features.spec import FeatureSpec

from policy.candidates import Candidates
from policy.situation import Situation


def row_features(spec: FeatureSpec, candidates: Candidates, situation: Situation) -> Candidates:
    """The candidates with their feature matrix, shape (m, number of columns)."""
    raise NotImplementedError((spec, replace, candidates, situation))
