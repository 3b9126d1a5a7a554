"""The learning table: what was known, what could be asked, what was asked, what came."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from features.frames import learn_spec
from features.successors import ACCEPTED
from policy.candidates import NOTHING
from tests.training.logs import CATALOG, day_zero_log, day_zero_table, latest, table
from training.table import UNKNOWN_ASK


def test_every_step_has_the_ask_that_was_shown_among_its_candidates():
    found = day_zero_table()
    np.testing.assert_array_equal(found.candidates.asks[found.shown], found.asks)
    assert np.isfinite(found.propensity).all()


def test_the_logged_eligible_asks_are_those_that_guardrails_allow():
    found = day_zero_table()
    possible = np.zeros_like(found.allowed)
    is_ask = found.candidates.asks != NOTHING
    possible[found.candidates.groups[is_ask], found.candidates.asks[is_ask]] = True
    np.testing.assert_array_equal(possible, found.allowed)


def test_without_logged_eligible_asks_guardrails_say_what_was_possible():
    frame = day_zero_log().with_columns(eligible=pl.lit(None, pl.List(pl.String)), propensity=pl.lit(None, pl.Float64))
    known, unknown = day_zero_table(), table(frame)
    # A null decision that guardrails forced looks like any other one in such a log.
    is_ask = unknown.asks >= 0
    np.testing.assert_array_equal(known.candidates.sizes, unknown.candidates.sizes[is_ask])
    assert np.isnan(unknown.propensity).all()


def test_the_next_step_is_of_the_same_episode():
    found = day_zero_table()
    rows = np.flatnonzero(found.next_step >= 0)
    assert (found.episode[found.next_step[rows]] == found.episode[rows]).all()
    assert (found.crowd.now[found.next_step[rows]] > found.crowd.now[rows]).all()
    assert (found.next_step < 0).sum() == found.n_episodes


def test_an_ask_that_left_the_catalog_is_unknown_and_no_candidate():
    asks = tuple(ask for ask in CATALOG.asks if ask.id != "routine_video")
    found = table(day_zero_log(), replace(CATALOG, asks=asks))
    is_gone = found.steps["ask_id"].to_numpy() == "routine_video"
    assert is_gone.any()
    assert (found.asks[is_gone] == UNKNOWN_ASK).all()
    assert (found.shown[is_gone] == -1).all()
    assert (found.shown[~is_gone] >= 0).all()


def test_features_of_the_shown_asks_are_those_of_their_candidate_rows():
    found = day_zero_table()
    spec = learn_spec(CATALOG, found.decisions)
    rows = np.arange(0, len(found), 17)
    every = found.candidates_with_features(spec).features
    np.testing.assert_array_equal(found.features(spec, rows), every[found.shown[rows]])


def test_an_earlier_moment_sees_fewer_and_younger_episodes():
    frame = day_zero_log()
    early = table(frame, now=latest(frame) - 8 * 86_400 * 1_000_000)
    late = day_zero_table()
    assert early.n_episodes < late.n_episodes
    assert early.is_mature.sum() < late.is_mature.sum()


def test_an_empty_log_makes_an_empty_table():
    found = table(day_zero_log().clear(), now=1)
    assert (len(found), found.n_episodes, found.candidates.asks.shape) == (0, 0, (0,))


def test_rewards_are_conversions():
    found = day_zero_table()
    converted = (found.answers == ACCEPTED) & (found.asks == CATALOG.position[CATALOG.goal])
    assert (found.rewards[found.episode[converted]] == 1.0).all()
    assert 0.03 < found.rewards.mean() < 0.09


def test_some_episodes_make_a_table_of_their_own():
    found = day_zero_table()
    chosen = np.arange(found.n_episodes) % 3 == 1
    part = found.of(chosen)
    rows = np.flatnonzero(chosen[found.episode])
    np.testing.assert_array_equal(part.candidates.asks[part.shown], found.asks[rows])
    for mine, all_of_them in (
        (part.candidates.baseline, found.candidates.baseline[rows]),
        (part.candidates.direct, found.candidates.direct[rows]),
    ):
        np.testing.assert_array_equal(mine >= 0, all_of_them >= 0)
        has = mine >= 0
        np.testing.assert_array_equal(part.candidates.asks[mine[has]], found.candidates.asks[all_of_them[has]])
    spec = learn_spec(CATALOG, found.decisions)
    np.testing.assert_array_equal(part.features(spec), found.features(spec, rows))
    assert part.n_episodes == found.n_episodes
