"""Fit, select, judge: three parts in time order, and no visitor in two of them."""

from __future__ import annotations

import numpy as np

from tests.training.logs import day_zero_table
from training.splits import split


def test_no_visitor_is_in_two_parts():
    table = day_zero_table()
    owners = table.episodes.episodes["owner"].to_numpy()
    parts = split(table)
    seen = [set(owners[part]) for part in (parts.fit, parts.select, parts.judge)]
    assert len(seen[0] | seen[1] | seen[2]) == sum(map(len, seen))


def test_those_who_judge_came_last_and_all_of_them_are_settled():
    table = day_zero_table()
    started = table.episodes.episodes["started_at"].to_physical().to_numpy()
    parts = split(table)
    assert started[parts.fit].max() < started[parts.select].min()
    assert started[parts.select].max() < started[parts.judge].min()
    assert table.is_mature[parts.fit | parts.select | parts.judge].all()
    assert not table.is_mature[parts.young].any()


def test_every_settled_episode_has_a_part():
    table = day_zero_table()
    parts = split(table)
    whole = parts.fit.astype(int) + parts.select + parts.judge
    np.testing.assert_array_equal(whole, table.is_mature.astype(int))


def test_young_episodes_teach_their_answers():
    table = day_zero_table()
    parts = split(table)
    assert parts.young.any()
    assert parts.teaching(table).sum() > np.isin(table.episode, np.flatnonzero(parts.fit)).sum()
