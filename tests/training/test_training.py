"""A training on good and bad logs: a policy and a clear verdict, or a clear error; never a NaN."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import polars as pl
import pytest

from data.errors import BadInput
from tests.training.logs import CATALOG, day_zero_log, latest, table
from training.incumbent import day_zero
from training.training import TrainingOptions, train

QUICK = TrainingOptions(learners=("behavior",), seed=3)


def trained(frame, catalog=CATALOG, options=QUICK, now=None):
    return train(table(frame, catalog, now), day_zero(catalog), options)


def numbers(value):
    if isinstance(value, dict):
        return [number for each in value.values() for number in numbers(each)]
    if isinstance(value, list | tuple):
        return [number for each in value for number in numbers(each)]
    return [value] if isinstance(value, float) else []


def assert_no_nan(found):
    plain = found.verdict.to_json()
    assert all(math.isfinite(number) for number in numbers(plain))
    json.dumps(plain, allow_nan=False)
    assert "nan" not in found.verdict.text.lower()


def without_conversions(frame, keep: int):
    """The log with all but the first ``keep`` conversions turned into declines."""
    is_sale = (pl.col("type") == "converted") | ((pl.col("type") == "accepted") & (pl.col("ask_id") == CATALOG.goal))
    sales = frame.filter(is_sale).sort("at")
    kept = sales.head(keep)["event_id"].to_list()
    is_lost = is_sale & ~pl.col("event_id").is_in(kept)
    return frame.filter(~(is_lost & (pl.col("type") == "converted"))).with_columns(
        type=pl.when(is_lost).then(pl.lit("declined")).otherwise("type")
    )


def test_a_good_log_gives_a_policy_and_a_verdict_in_words():
    found = trained(day_zero_log(3_000, 2))
    assert found.candidate.name == "behavior"
    assert found.verdict.answer in ("better", "worse", "not enough evidence")
    assert found.judged.diagnostics.n_episodes == found.splits.judge.sum()
    assert_no_nan(found)


def test_the_same_log_and_seed_give_the_same_bytes_and_another_seed_may_not():
    log = day_zero_log()
    first, again = trained(log), trained(log)
    assert first.candidate.scorer.to_files() == again.candidate.scorer.to_files()
    assert first.spec.fingerprint == again.spec.fingerprint


def test_a_log_without_conversions_teaches_nothing_and_says_so():
    with pytest.raises(BadInput, match="without one conversion nothing can be learned about 'purchase'"):
        trained(without_conversions(day_zero_log(), 0))


def test_one_conversion_is_not_enough_evidence():
    found = trained(without_conversions(day_zero_log(), 1))
    assert found.verdict.answer == "not enough evidence"
    assert_no_nan(found)


def test_unsettled_episodes_only_are_refused_with_what_is_missing():
    frame = day_zero_log()
    early = int(frame["received_at"].to_physical().min()) + 2 * 86_400 * 1_000_000
    with pytest.raises(BadInput, match=r"the log has 0 settled episodes \(older than the conversion window of 168 h"):
        trained(frame, now=early)


def test_an_empty_log_is_refused():
    with pytest.raises(BadInput, match="0 settled episodes"):
        trained(day_zero_log().clear(), now=latest(day_zero_log()))


def test_a_log_without_propensities_trains_but_cannot_promote():
    found = trained(day_zero_log().with_columns(propensity=pl.lit(None, pl.Float64)))
    assert found.judged is None
    assert found.verdict.answer == "not enough evidence"
    assert "propensit" in found.verdict.text
    assert_no_nan(found)


def test_contradictory_propensities_promote_nobody():
    halved = day_zero_log(3_000, 2).with_columns(propensity=pl.col("propensity") / 3)
    found = trained(halved)
    assert found.verdict.answer == "not enough evidence"
    assert_no_nan(found)


def test_a_log_of_a_policy_that_draws_nothing_cannot_tell():
    is_shown = pl.col("type") == "shown"
    frame = day_zero_log().with_columns(propensity=pl.when(is_shown).then(1.0))
    found = trained(frame)
    assert found.judged is None
    assert found.verdict.answer == "not enough evidence"


def test_an_ask_that_was_never_shown_and_one_that_left_the_catalog_are_survived():
    new = replace(CATALOG.asks[0], id="brand_new", title="Brand new")
    asks = (*(ask for ask in CATALOG.asks if ask.id != "routine_video"), new)
    found = trained(day_zero_log(3_000, 2), replace(CATALOG, asks=asks))
    assert found.judged.removed_mass > 0.0
    assert_no_nan(found)


def test_a_catalog_whose_asks_were_all_renamed_has_nothing_to_learn_from():
    renamed = tuple(replace(ask, id=f"new_{ask.id}", requires=(), excludes=()) for ask in CATALOG.asks)
    catalog = replace(CATALOG, asks=renamed, goal="new_purchase", baseline=("new_purchase",))
    with pytest.raises(BadInput, match=r"shows no ask that the catalog has|without one conversion"):
        trained(day_zero_log(), catalog)


def test_rewards_in_money_are_learned_from():
    catalog = replace(CATALOG, reward="value")
    found = trained(day_zero_log(3_000, 2), catalog)
    assert found.judged.value.value is not None
    assert_no_nan(found)


def test_visitors_who_asked_to_be_left_out_are():
    frame = day_zero_log()
    some = frame["visitor_id"].str.ends_with("7")
    left_out = frame.with_columns(
        learn=pl.when(some & (pl.col("type") == "shown")).then(pl.lit(False)).otherwise("learn")
    )
    found = trained(left_out)
    whole = trained(frame)
    assert found.splits.fit.sum() < whole.splits.fit.sum()
