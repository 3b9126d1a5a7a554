"""Policies judged on a log: what can tell, and that what it tells is the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from data.errors import BadInput
from policy.policies import DayZero
from tests.training.logs import CATALOG, day_zero_log, day_zero_table, table
from training.judging import (
    Target,
    can_tell,
    doubts_about,
    evidence_for,
    fixed_target,
    judge_policy,
    lacks_propensities,
    probabilities_of,
    removed_mass,
)


def settled(found):
    return found.is_mature & found.is_learnable


def test_the_behavior_judged_on_its_own_log_has_the_mean_of_the_log():
    found = day_zero_table()
    judged = judge_policy(found, settled(found), fixed_target("day zero", CATALOG))
    mean = found.rewards[settled(found)].mean()
    assert judged.estimates["snips"].value == pytest.approx(mean, abs=1e-12)
    assert judged.estimates["dr"].value == pytest.approx(mean, abs=1e-12)
    assert judged.diagnostics.effective_sample_size == pytest.approx(settled(found).sum())


@pytest.mark.parametrize("name", ["baseline", "random"])
def test_truth_lies_in_the_interval_of_a_policy_that_did_not_run(name):
    truth = {"baseline": 0.0336, "random": 0.0448}[name]  # as in benchmarks/RESULTS.md
    found = day_zero_table(6_000, 3)
    judged = judge_policy(found, settled(found), fixed_target(name, CATALOG))
    assert judged.value.low < truth < judged.value.high


def test_probabilities_are_those_that_would_be_served():
    found = day_zero_table()
    probabilities, values = probabilities_of(Target("x", DayZero(0.5)), found)
    assert values is None
    np.testing.assert_allclose(probabilities[found.shown], found.propensity, rtol=1e-12)


def test_arms_that_draw_nothing_and_episodes_of_several_arms_cannot_tell():
    found = day_zero_table()
    first = found.episodes.steps["episode_id"].to_numpy()
    labels = np.where(first == first[0], "holdout:baseline", "baseline")
    mixed = np.where((first == first[-1]) & (found.steps["step"].to_numpy() == 0), "champion:1", labels)
    steps = found.steps.with_columns(policy=pl.Series(mixed))
    changed = replace(found, episodes=replace(found.episodes, steps=steps))
    told = can_tell(changed, settled(found))
    assert not told[found.episode[0]]
    if found.steps["step"].to_numpy()[-1] > 0:
        assert not told[found.episode[-1]]
    assert told.sum() >= settled(found).sum() - 2


def test_a_log_without_propensities_cannot_tell():
    found = table(day_zero_log().with_columns(propensity=pl.lit(None, pl.Float64)))
    assert not can_tell(found, settled(found)).any()
    with pytest.raises(BadInput, match="no logged decision"):
        judge_policy(found, settled(found), fixed_target("random", CATALOG))


def test_mass_on_asks_that_could_not_be_shown_is_reported():
    found = day_zero_table()
    assert removed_mass(found, settled(found), fixed_target("random", CATALOG)) == 0.0
    thinner = day_zero_log().with_columns(
        eligible=pl.when(pl.col("ask_id") == "routine_video")
        .then(pl.col("eligible"))
        .otherwise(pl.col("eligible").list.set_difference(["routine_video"]))
    )
    found = table(thinner)
    mass = removed_mass(found, settled(found), fixed_target("random", CATALOG))
    assert 0.05 < mass < 0.2


def test_true_propensities_raise_no_doubts_and_contradictory_ones_do():
    found = day_zero_table()
    assert doubts_about(found, settled(found)) == ""
    is_lone = found.candidates.sizes == 1
    halved = replace(found, propensity=np.where(is_lone, 1.0, found.propensity / 2))
    assert "too small to be true" in doubts_about(halved, settled(halved))
    lone = replace(found, propensity=np.where(is_lone, 0.5, found.propensity))
    assert "only eligible one" in doubts_about(lone, settled(lone))


def test_episodes_that_showed_an_ask_the_catalog_has_no_more_stay_with_weight_0():
    asks = tuple(ask for ask in CATALOG.asks if ask.id != "routine_video")
    found = table(day_zero_log(3_000, 2), replace(CATALOG, asks=asks))
    judged = judge_policy(found, settled(found), fixed_target("random", CATALOG))
    assert judged.diagnostics.n_episodes == settled(found).sum()
    assert 0.5 < judged.diagnostics.mean_weight < 1.5


def test_missing_propensities_are_counted_and_promote_nobody():
    frame = day_zero_log(3_000, 2)
    is_lost = (pl.col("type") == "shown") & (pl.int_range(pl.len()) % 5 == 0)
    found = table(frame.with_columns(propensity=pl.when(is_lost).then(None).otherwise("propensity")))
    chosen = settled(found)
    assert 0 < lacks_propensities(found, chosen) < chosen.sum()
    assert lacks_propensities(day_zero_table(), settled(day_zero_table())) == 0
    judged = judge_policy(found, chosen, fixed_target("random", CATALOG))
    assert not evidence_for(judged, judged, found, chosen).has_propensities
