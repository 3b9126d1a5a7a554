"""The feature matrix: one row for each candidate ask of each decision, the same code for one request and for a log."""

from __future__ import annotations

import numpy as np

from data.domain import SECOND, Catalog
from features.columns import (
    ASK_COLUMNS,
    DECISION_COLUMNS,
    MISSING,
    PAIR_COLUMNS,
    AskColumn,
    AskFacts,
    Decisions,
    FloatArray,
    Given,
    Pairs,
    Placed,
    outcomes_of,
)
from features.spec import FeatureSpec
from features.summary import SIGNAL_MEMORY, IntArray, PlaceArray, Summary

_DECISION_NUMBERS = [column.value for column in DECISION_COLUMNS if column.kind != "seconds"]
_DECISION_INSTANTS = [column.value for column in DECISION_COLUMNS if column.kind == "seconds"]
_PAIR_NUMBERS = [column.value for column in PAIR_COLUMNS if column.kind != "seconds"]
_PAIR_INSTANTS = [column.value for column in PAIR_COLUMNS if column.kind == "seconds"]


class FeatureColumns:
    """A spec's columns over a catalog, prepared once and used for every request.

    The catalog may be another one than the spec was made of: an ask that the spec does not know is missing in the
    column ``ask``, and a signal that the catalog does not declare has not been seen.
    """

    def __init__(self, spec: FeatureSpec, catalog: Catalog) -> None:
        self.spec = spec
        self._facts = AskFacts(catalog, [feature.name for feature in spec.answers])
        self._of_asks = np.array([_ask_values(column, spec, catalog) for column in ASK_COLUMNS])
        self._history = [catalog.position.get(ask_id, -1) for ask_id in spec.asks]
        position = {name: i for i, name in enumerate(catalog.signals)}
        self._signals = [position.get(name, -1) for name in spec.signals]
        self._has_all_signals = spec.signals == catalog.signals

    def matrix(self, summary: Summary, given: Given, offsets: IntArray, asks: IntArray) -> FloatArray:
        """Features of candidates, shape (m, number of ``spec.names``), columns contiguous.

        Args:
            summary: states of n visitors as of the decisions, under the same catalog.
            given: what else the decisions are made from.
            offsets: shape (n + 1,); the candidates of decision ``i`` are rows ``offsets[i]:offsets[i + 1]``.
            asks: shape (m,); index into the catalog's asks, -1 for asking nothing.
        """
        n_asks, n_columns = len(ASK_COLUMNS), len(self.spec.names)
        columns = np.empty((n_columns, len(asks)))
        np.take(self._of_asks, asks, axis=1, out=columns[:n_asks], mode="wrap")
        decisions = Decisions(summary, given, self._facts)
        values = self._of_decisions(decisions)
        groups = np.repeat(np.arange(len(given)), np.diff(offsets))
        n_pairs = n_columns - len(PAIR_COLUMNS)
        if len(given) == 1:
            columns[n_asks:n_pairs] = values
        else:
            np.take(values, groups, axis=1, out=columns[n_asks:n_pairs], mode="clip")
        pairs = Pairs(decisions, groups, asks)
        row = n_pairs
        for value in _PAIR_NUMBERS:
            columns[row] = value(pairs)
            row += 1
        instants = np.empty((len(_PAIR_INSTANTS), len(asks)), dtype=np.int64)
        for i, instant in enumerate(_PAIR_INSTANTS):
            instants[i] = instant(pairs)
        _write_ages(columns[row:], instants, pairs.spread(given.now))
        return columns.T

    def _of_decisions(self, decisions: Decisions) -> FloatArray:
        """The columns of decisions alone, shape (number of columns, n)."""
        summary, given = decisions.summary, decisions.given
        n, n_signals = len(given), len(self._signals)
        n_given = 1 + given.context.shape[1] + given.answers.shape[1]
        n_inputs = n_given + len(self._history)
        n_instants = len(_DECISION_INSTANTS) + n_signals
        n_numbers = n_inputs + len(_DECISION_NUMBERS)
        columns = np.empty((n_numbers + 2 * n_signals + n_instants, n))
        instants = np.empty((n_instants, n), dtype=np.int64)
        columns[0] = given.channel
        columns[1 : 1 + given.context.shape[1]] = given.context.T
        columns[1 + given.context.shape[1] : n_given] = given.answers.T
        outcomes = outcomes_of(summary.ask_table)
        for i, ask in enumerate(self._history, n_given):
            columns[i] = outcomes[summary.ask_places[:, ask]] if ask >= 0 else MISSING
        for i, value in enumerate(_DECISION_NUMBERS, n_inputs):
            columns[i] = value(decisions)
        for i, instant in enumerate(_DECISION_INSTANTS):
            instants[i] = instant(decisions)
        if n_signals:
            places = self._signal_places(summary)
            table = summary.signal_table
            columns[n_numbers : n_numbers + n_signals] = table[SIGNAL_MEMORY.index("n")][places]
            columns[n_numbers + n_signals : -n_instants] = table[SIGNAL_MEMORY.index("n_session")][places]
            instants[-n_signals:] = table[SIGNAL_MEMORY.index("last_at")][places]
        _write_ages(columns[-n_instants:], instants, given.now)
        return columns

    def _signal_places(self, summary: Summary) -> PlaceArray:
        """Columns of ``Summary.signal_table`` by signal of the spec, shape (S, n)."""
        if self._has_all_signals:
            return summary.signal_places.T
        places = np.zeros((len(self._signals), len(summary)), dtype=np.int32)
        for row, signal in zip(places, self._signals, strict=True):
            if signal >= 0:
                row[:] = summary.signal_places[:, signal]
        return places


def _write_ages(ages: FloatArray, instants: IntArray, now: IntArray) -> None:
    """Seconds from instants to now, never negative; missing for never."""
    passed = now - instants
    np.maximum(passed, 0, out=passed)
    np.divide(passed, SECOND, out=ages)
    ages[instants == 0] = MISSING


def _ask_values(column: AskColumn, spec: FeatureSpec, catalog: Catalog) -> list[float]:
    values = [column.value(Placed(ask, catalog)) for ask in catalog.asks]
    if column.kind == "category":
        codes = {name: code for code, name in enumerate(spec.categories[column.name])}
        return [codes.get(value, MISSING) if isinstance(value, str) else MISSING for value in values] + [column.nothing]
    return [MISSING if value is None else float(value) for value in values] + [column.nothing]
