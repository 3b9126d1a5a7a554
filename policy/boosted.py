"""Values and acceptances from boosted trees: the scorer of trained policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from data.domain import Catalog
from policy.boosters import Trees
from policy.candidates import NOTHING, Candidates, FloatArray
from policy.scorers import Scores
from policy.strict_json import dump_object, parse_object

FORMAT: Final = 1
_VALUE: Final = "value.txt"
_P_ACCEPT: Final = "p_accept.txt"
_BOOSTED: Final = "boosted.json"
_FEATURES: Final = "features.json"
_LARGEST: Final = 1e299
"""Within what explorers take, also if raised a little."""


@dataclass(frozen=True)
class BoostedScorer:
    """Two boosters over the feature columns: what an ask is worth, and whether it is accepted.

    Values are clipped to ``[low, high]``, the range of the rewards they were trained on; acceptances to [0, 1], and
    asking nothing is never accepted. Asks are known by the column ``ask``, so that an ask which the features do not
    know is scored by what it is like.

    Attributes:
        value: predicts the value.
        p_accept: predicts the acceptance.
        low: smallest value.
        high: largest value.
        threads: for prediction; not part of what is saved. More than 1 is for logs, never for a server.

    Raises:
        ValueError: the range is none, or the boosters are of different columns.
    """

    value: Trees
    p_accept: Trees
    low: float
    high: float
    threads: int = 1
    name: ClassVar[str] = "boosted"
    uses_features: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for bound in (self.low, self.high):
            if isinstance(bound, bool) or not isinstance(bound, (int, float)):
                raise ValueError(f"low and high must be numbers; received {bound!r}")
        if not -_LARGEST <= self.low <= self.high <= _LARGEST:
            raise ValueError(
                f"low and high must be finite numbers, low not above high; received {self.low} and {self.high}"
            )
        if self.value.text.n_features != self.p_accept.text.n_features:
            raise ValueError(
                f"{_VALUE} has {self.value.text.n_features} features, {_P_ACCEPT} {self.p_accept.text.n_features}; "
                "both must read the same columns"
            )

    @property
    def n_features(self) -> int:
        """Columns of the features it reads."""
        return self.value.text.n_features

    def score(self, candidates: Candidates) -> Scores:
        """Predicts both for every row; see ``Scorer``.

        Raises:
            ValueError: there are no features, or of other columns.
        """
        p_accepts = self.p_accept.predict(features_of(candidates), self.threads)
        np.maximum(p_accepts, 0.0, out=p_accepts)
        np.minimum(p_accepts, 1.0, out=p_accepts)
        p_accepts[candidates.asks == NOTHING] = 0.0
        return Scores(self.values(candidates), p_accepts)

    def values(self, candidates: Candidates) -> FloatArray:
        """The values alone, shape (m,).

        Raises:
            ValueError: there are no features, or of other columns.
        """
        values = self.value.predict(features_of(candidates), self.threads)
        np.maximum(values, self.low, out=values)
        return np.minimum(values, self.high, out=values)

    def for_catalog(self, catalog: Catalog) -> BoostedScorer:  # noqa: ARG002
        """Itself: features know the asks; see ``Scorer``."""
        return self

    def to_files(self) -> Mapping[str, bytes]:
        """Both boosters and the range; see ``Scorer``."""
        content = {
            "format": FORMAT,
            "low": float(self.low),
            "high": float(self.high),
            "objectives": {"value": self.value.text.objective, "p_accept": self.p_accept.text.objective},
        }
        return {_VALUE: self.value.content, _P_ACCEPT: self.p_accept.content, _BOOSTED: dump_object(content)}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes], catalog: Catalog) -> BoostedScorer:  # noqa: ARG003
        """See ``ScorerLoader``; with ``features.json`` among the files, the columns must be as many as it names."""
        return boosted_from_files(files, "")


def features_of(candidates: Candidates) -> FloatArray:
    """The feature matrix, shape (m, k).

    Raises:
        ValueError: there is none, or not a row a candidate.
    """
    features = candidates.features
    if features is None or len(features) != len(candidates.asks):
        received = None if features is None else features.shape
        raise ValueError(f"features must be one row a candidate, {len(candidates.asks)}; received {received}")
    return features


def boosted_from_files(files: Mapping[str, bytes], prefix: str) -> BoostedScorer:
    """The scorer whose files are called as ``to_files`` calls them, with a prefix.

    Raises:
        ValueError: the files are not what ``to_files`` writes, or do not fit ``features.json``.
        KeyError: a file is missing.
    """
    name = prefix + _BOOSTED
    try:
        content = parse_object(files[name])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if content.keys() != {"format", "low", "high", "objectives"} or content["format"] != FORMAT:
        raise ValueError(f"{name}: is not of format {FORMAT}, with low, high and objectives; received {content}")
    value, p_accept = _trees(files, prefix + _VALUE), _trees(files, prefix + _P_ACCEPT)
    objectives = {"value": value.text.objective, "p_accept": p_accept.text.objective}
    if content["objectives"] != objectives:
        raise ValueError(f"{name}: objectives are {content['objectives']}; the boosters have {objectives}")
    scorer = BoostedScorer(value, p_accept, content["low"], content["high"])  # type: ignore[arg-type]
    _check_columns(scorer, files, prefix + _VALUE)
    return scorer


def _trees(files: Mapping[str, bytes], name: str) -> Trees:
    content = files[name]
    try:
        return Trees(content)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _check_columns(scorer: BoostedScorer, files: Mapping[str, bytes], name: str) -> None:
    if _FEATURES in files:
        from features.spec import FeatureSpec

        n_columns = len(FeatureSpec.from_json(files[_FEATURES]).names)
        if n_columns != scorer.n_features:
            raise ValueError(f"{name}: has {scorer.n_features} features; {_FEATURES} names {n_columns}")
