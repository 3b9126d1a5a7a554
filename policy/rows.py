"""Feature rows of one request's candidates, made by the very code that makes the rows of a log."""

from __future__ import annotations

from dataclasses import replace

from data.domain import Catalog
from features.inputs import InputCodes
from features.matrix import FeatureColumns
from features.spec import FeatureSpec
from features.summary import summarize
from policy.candidates import Candidates
from policy.situation import Situation


class RequestRows:
    """A spec's columns over a catalog, prepared once for all requests."""

    def __init__(self, spec: FeatureSpec, catalog: Catalog) -> None:
        self.spec = spec
        self._catalog = catalog
        self._columns = FeatureColumns(spec, catalog)
        self._inputs = InputCodes(spec)

    def with_features(self, candidates: Candidates, situation: Situation) -> Candidates:
        """The candidates with their feature matrix, shape (m, number of columns)."""
        summary = summarize([situation.state], [situation.now], self._catalog)
        given = self._inputs.encode([situation.context], [situation.answers], [situation.channel], [situation.now])
        return replace(candidates, features=self._columns.matrix(summary, given, candidates.offsets, candidates.asks))
