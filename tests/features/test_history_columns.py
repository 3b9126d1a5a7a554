"""What became of every ask, as columns; and summaries that keep only the memories that somebody has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.domain import SECOND, Decision, Event
from features.inputs import InputCodes
from features.lowering import lower
from features.matrix import FeatureColumns
from features.spec import HISTORY, FeatureSpec, spec_of
from features.state import AskMemory, JourneyState, Scopes, SignalMemory, fold
from features.summary import SCALARS, Summary, summarize
from tests.features.random_logs import CATALOG, START, logs, stand_in

SPEC = spec_of(CATALOG)
SCOPES = Scopes.of(CATALOG)
UNFOLDED = (
    *("n_shown", "n_accepted", "n_declined", "shown_at", "accepted_at", "declined_at"),
    *("n_shown_episode", "n_accepted_episode", "n_signals", "n_signals_session", "signaled_at"),
)


def features(summary: Summary, asks: list[int], spec: FeatureSpec = SPEC) -> dict[str, list[float]]:
    """Columns by name, one candidate a decision."""
    n = len(asks)
    given_ = InputCodes(spec).encode([{}] * n, [{}] * n, ["web"] * n, [START] * n)
    matrix = FeatureColumns(spec, CATALOG).matrix(summary, given_, np.arange(n + 1), np.array(asks))
    return dict(zip(spec.names, matrix.T.tolist(), strict=True))


def history(state: JourneyState, spec: FeatureSpec = SPEC) -> list[float]:
    """The history columns of one visitor, in the order of the spec's asks."""
    columns = features(summarize([state], [START], CATALOG), [0], spec)
    return [columns[HISTORY + ask_id][0] for ask_id in spec.asks]


@pytest.mark.parametrize(
    ("memory", "outcome"),
    [
        (AskMemory(n_shown=1, n_accepted=1), 1.0),
        (AskMemory(n_shown=3, n_accepted=1, n_declined=2), 1.0),
        (AskMemory(n_accepted=1), 1.0),
        (AskMemory(), 0.0),
        (AskMemory(n_shown=2), -1.0),
        (AskMemory(n_shown=1, n_declined=1), -2.0),
        (AskMemory(n_shown=2, n_declined=1), -2.0),
    ],
    ids=[
        "accepted",
        "declined and accepted",
        "unprompted",
        "empty",
        "unanswered",
        "declined",
        "declined, then silence",
    ],
)
def test_each_outcome_has_its_number(memory, outcome):
    assert history(JourneyState(asks={"save": memory})) == [0.0, outcome, 0.0]


def test_a_visitor_never_seen_has_met_no_ask():
    assert history(JourneyState()) == [0.0, 0.0, 0.0]


def test_the_outcome_follows_what_happens():
    shown = Decision("d", "v", "shop", START, START, "quiz", None, None, "baseline")
    no, yes = (Event("v", kind, START + 1, START + 1, "shop", ask_id="quiz") for kind in ("declined", "accepted"))
    stories = ([], [shown], [shown, no], [shown, no, shown], [shown, no, yes], [shown, yes, no])
    assert [history(fold(story, SCOPES))[0] for story in stories] == [0.0, -1.0, -2.0, -2.0, 1.0, 1.0]


def test_outcomes_outlive_episodes_and_sessions():
    bought = Event("v", "accepted", START + SECOND, START + SECOND, "shop", ask_id="buy")
    shown = Decision("d", "v", "shop", START, START, "quiz", None, None, "baseline")
    state = fold([shown, bought], SCOPES)
    assert state.episode_started_at == 0
    assert history(state) == [-1.0, 0.0, 1.0]


def test_an_ask_that_the_catalog_does_not_have_is_missing():
    spec = replace(SPEC, asks=("gone", "buy", "quiz"))
    found = history(JourneyState(asks={"buy": AskMemory(1, 1), "gone": AskMemory(1, 1)}), spec)
    assert np.isnan(found[0])
    assert found[1:] == [1.0, 0.0]


def test_an_ask_that_the_spec_does_not_know_has_no_column():
    spec = replace(SPEC, asks=("buy",))
    columns = features(summarize([JourneyState(asks={"quiz": AskMemory(1, 1)})], [START], CATALOG), [0], spec)
    assert [name for name in columns if name.startswith(HISTORY)] == ["history.buy"]


def test_every_candidate_of_a_visitor_has_the_visitors_history():
    states = [JourneyState(asks={"quiz": AskMemory(1, 1)}), JourneyState(asks={"save": AskMemory(1)})]
    given_ = InputCodes(SPEC).encode([{}] * 2, [{}] * 2, ["web"] * 2, [START] * 2)
    summary = summarize(states, [START] * 2, CATALOG)
    matrix = FeatureColumns(SPEC, CATALOG).matrix(summary, given_, np.array([0, 2, 5]), np.array([0, -1, 1, 2, -1]))
    places = [SPEC.names.index(HISTORY + ask_id) for ask_id in ("quiz", "save", "buy")]
    assert matrix[:, places].tolist() == [[1.0, 0.0, 0.0]] * 2 + [[0.0, -1.0, 0.0]] * 3


def test_history_columns_are_numbers_between_the_inputs_and_the_decisions():
    assert not set(SPEC.categories) & {HISTORY + ask_id for ask_id in SPEC.asks}
    first = SPEC.names.index("history.quiz")
    assert SPEC.names[first : first + 3] == ("history.quiz", "history.save", "history.buy")
    assert SPEC.names[first - 1] == "answers.age"


@settings(max_examples=80, deadline=None)
@given(logs(), st.data())
def test_a_compact_summary_says_the_same_with_no_memory_too_many(items, data):
    summary = lower(stand_in(items), CATALOG).summary
    rows = data.draw(st.lists(st.integers(0, max(0, len(summary) - 1)), max_size=6)) if len(summary) else []
    taken = summary.take(np.array(rows, dtype=np.int64))
    compact = taken.compact()
    for name in (*SCALARS, *UNFOLDED):
        np.testing.assert_array_equal(getattr(compact, name), getattr(taken, name), strict=True)
    for places, table in ((compact.ask_places, compact.ask_table), (compact.signal_places, compact.signal_table)):
        assert set(range(table.shape[1])) == {0, *places.flat}
        assert not table[:, 0].any()
        assert places.dtype == np.int32
        assert table.dtype == np.int64


def test_a_compact_summary_forgets_the_memories_of_others():
    states = [JourneyState(asks={"quiz": AskMemory(n)}, signals={"cart": SignalMemory(n)}) for n in (1, 2, 3)]
    whole = summarize(states, [START] * 3, CATALOG)
    compact = whole.take([2]).compact()
    assert (whole.ask_table.shape[1], whole.signal_table.shape[1]) == (4, 4)
    assert (compact.ask_table.shape[1], compact.signal_table.shape[1]) == (2, 2)
    assert (compact.n_shown.tolist(), compact.n_signals.tolist()) == ([[3, 0, 0]], [[0, 3]])
    nobody = whole.take(slice(0, 0)).compact()
    assert (len(nobody), nobody.ask_table.shape[1]) == (0, 1)
