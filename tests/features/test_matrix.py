"""The feature matrix: the same for one decision and for many, and each column what its name says."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.domain import DAY, SECOND, Ask, Decision, Feature
from features.columns import ASK_COLUMNS, DECISION_COLUMNS, PAIR_COLUMNS
from features.inputs import InputCodes
from features.lowering import lower
from features.matrix import FeatureColumns
from features.spec import spec_of
from features.state import AskMemory, JourneyState, SignalMemory
from features.summary import summarize
from tests.features.random_logs import CATALOG, START, logs, stand_in

SPEC = spec_of(CATALOG, {"context.referrer": ("search",)})
COLUMNS = FeatureColumns(SPEC, CATALOG)
NOTHING, QUIZ, SAVE, BUY = -1, 0, 1, 2
NOON = 1_700_049_600 * SECOND
"""A Wednesday."""


def row_of(ask, state=None, *, now=NOON, catalog=CATALOG, context=None, answers=None, channel="web"):
    """The features of one candidate by name."""
    spec = replace(SPEC, **{key: getattr(spec_of(catalog), key) for key in ("signals", "context", "answers")})
    summary = summarize([state or JourneyState()], [now], catalog)
    given_ = InputCodes(spec).encode([context or {}], [answers or {}], [channel], [now])
    matrix = FeatureColumns(spec, catalog).matrix(summary, given_, np.array([0, 1]), np.array([ask]))
    return dict(zip(spec.names, matrix[0].tolist(), strict=True))


@settings(max_examples=60, deadline=None)
@given(logs(), st.lists(st.lists(st.integers(-1, 2), min_size=1, max_size=5), min_size=1, max_size=8))
def test_a_decision_has_the_same_features_alone_and_among_others(items, candidates):
    lowered = lower(stand_in(items), CATALOG)
    decisions = [item for item in items if isinstance(item, Decision)]
    given_ = encoded(decisions)
    groups = [candidates[i % len(candidates)] for i in range(len(decisions))]
    offsets = np.cumsum([0, *map(len, groups)])
    matrix = COLUMNS.matrix(lowered.summary, given_, offsets, np.array([*chain(*groups)], dtype=np.int64))
    for i, group in enumerate(groups):
        here = slice(i, i + 1)
        alone = COLUMNS.matrix(
            lowered.summary.take(here), encoded(decisions[here]), np.array([0, len(group)]), np.array(group)
        )
        np.testing.assert_array_equal(matrix[offsets[i] : offsets[i + 1]], alone, strict=True)


def encoded(decisions):
    return InputCodes(SPEC).encode(
        [decision.context for decision in decisions],
        [decision.answers for decision in decisions],
        [decision.channel for decision in decisions],
        [decision.at for decision in decisions],
    )


def test_a_log_without_decisions_has_an_empty_matrix():
    empty = lower(stand_in([]), CATALOG).summary
    matrix = COLUMNS.matrix(empty, encoded([]), np.array([0]), np.array([], dtype=np.int64))
    assert matrix.shape == (0, len(SPEC.names))


def test_every_column_has_a_name_of_its_own():
    assert len(set(SPEC.names)) == len(SPEC.names)
    assert {column.name for column in (*ASK_COLUMNS, *DECISION_COLUMNS, *PAIR_COLUMNS)} <= set(SPEC.names)


def test_ask_columns_say_what_the_catalog_says():
    row = row_of(SAVE)
    assert (row["ask"], row["ask.effort"], row["ask.gives"], row["ask.baseline_step"]) == (1, 4.5, 1.1, 1)
    assert (row["ask.is_goal"], row["ask.is_nothing"], row["ask.n_requires"]) == (0, 0, 1)
    assert np.isnan(row["ask.stage"])


def test_asking_nothing_has_a_row_of_its_own():
    state = JourneyState(asks={"buy": AskMemory(5, 5, 5, START, START, START, 5, 5)}, answered_ask="buy")
    row = row_of(NOTHING, state)
    assert row["ask.is_nothing"] == 1
    assert all(np.isnan(row[name]) for name in ("ask", "ask.effort", "pair.effort_step", "pair.since_shown"))
    assert (row["pair.n_shown"], row["pair.is_same_kind"]) == (0, pytest.approx(np.nan, nan_ok=True))


def test_history_with_the_ask_is_counted_and_aged():
    state = JourneyState(asks={"save": AskMemory(4, 1, 2, NOON - 5 * SECOND, 0, NOON - 60 * SECOND, 3, 1)})
    row = row_of(SAVE, state)
    assert (row["pair.n_shown"], row["pair.n_declined"], row["pair.n_shown_episode"]) == (4, 2, 3)
    assert (row["pair.since_shown"], row["pair.since_declined"]) == (5, 60)
    assert np.isnan(row["pair.since_accepted"])


def test_what_lies_ahead_of_the_decision_is_no_time_ago():
    assert row_of(QUIZ, JourneyState(last_event_at=NOON + SECOND))["visitor.since_last_event"] == 0


def test_effort_is_measured_against_the_highest_accepted_one_in_the_episode():
    state = JourneyState(asks={"quiz": AskMemory(1, 1, 0, 1, 1, 0, 1, 1), "save": AskMemory(n_accepted=1)})
    row = row_of(BUY, state)
    assert (row["episode.highest_effort"], row["pair.effort_step"]) == (2, 6)


def test_effort_is_measured_against_the_declined_ask_only_after_a_decline():
    declined = row_of(BUY, JourneyState(answered_ask="save", is_answer_decline=True))
    accepted = row_of(BUY, JourneyState(answered_ask="save"))
    assert (declined["pair.effort_over_declined"], declined["pair.effort_over_answered"]) == (3.5, 3.5)
    assert (np.isnan(accepted["pair.effort_over_declined"]), accepted["pair.effort_over_answered"]) == (True, 3.5)


def test_the_balance_is_what_was_given_less_what_was_asked_for_in_accepted_asks():
    state = JourneyState(asks={"quiz": AskMemory(n_accepted=2), "save": AskMemory(n_shown=3)})
    assert row_of(QUIZ, state)["visitor.balance"] == 2.0


def test_requirements_met_and_answers_known_are_counted():
    state = JourneyState(asks={"quiz": AskMemory(n_accepted=1)})
    assert row_of(BUY, state)["pair.n_requires_met"] == 1
    assert [row_of(QUIZ, answers=known)["pair.n_collects_known"] for known in ({"skin": "dry"}, {"skin": "?"})] == [
        1,
        0,
    ]


def test_same_kind_and_stage_compare_with_the_last_answered_ask():
    catalog = replace(CATALOG, asks=(*CATALOG.asks, Ask("poll", "Poll", "quiz", 1, stage="awareness")))
    row = row_of(3, JourneyState(answered_ask="quiz"), catalog=catalog)
    assert (row["pair.is_same_kind"], row["pair.is_same_stage"]) == (1, 1)
    assert row_of(BUY, JourneyState(answered_ask="quiz"))["pair.is_same_kind"] == 0


def test_time_of_the_decision_is_in_utc():
    row = row_of(QUIZ, now=NOON + DAY + 3_600 * SECOND)
    assert (row["time.hour"], row["time.weekday"]) == (13, 3)


def test_signals_are_counted_and_aged():
    row = row_of(QUIZ, JourneyState(signals={"cart": SignalMemory(3, 2, NOON - SECOND)}))
    assert (row["signals.cart.n"], row["signals.cart.n_session"], row["signals.cart.since"]) == (3, 2, 1)
    assert (row["signals.page.n"], np.isnan(row["signals.page.since"])) == (0, True)


def test_a_newer_catalog_may_have_other_asks_and_signals():
    newer = replace(CATALOG, asks=(Ask("new", "New", "poll", 1), *CATALOG.asks), signals=("other", "cart"))
    state = JourneyState(signals={"cart": SignalMemory(3, 2, NOON), "page": SignalMemory(9)})
    summary = summarize([state], [NOON], newer)
    given_ = InputCodes(SPEC).encode([{}], [{}], ["web"], [NOON])
    matrix = FeatureColumns(SPEC, newer).matrix(summary, given_, np.array([0, 2]), np.array([0, 1]))
    rows = dict(zip(SPEC.names, matrix.T.tolist(), strict=True))
    assert (np.isnan(rows["ask"][0]), rows["ask"][1]) == (True, 0)
    assert (rows["signals.cart.n"], rows["signals.page.n"]) == ([3, 3], [0, 0])


def test_a_catalog_without_context_answers_and_signals_has_features_too():
    bare = replace(CATALOG, context=(), answers=(), signals=(), asks=(Ask("buy", "Buy", "purchase", 8),))
    assert row_of(0, catalog=bare)["ask.effort"] == 8


def test_features_of_another_catalog_are_those_of_the_spec():
    newer = replace(CATALOG, context=(Feature("extra", "number"), *CATALOG.context[:1]))
    given_ = InputCodes(SPEC).encode([{"extra": 1, "device": "mobile"}], [{}], ["web"], [NOON])
    matrix = FeatureColumns(SPEC, newer).matrix(
        summarize([JourneyState()], [NOON], newer), given_, np.array([0, 1]), np.array([0])
    )
    assert matrix[0, SPEC.names.index("context.device")] == 1
