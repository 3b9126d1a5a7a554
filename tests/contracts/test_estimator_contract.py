"""What every off-policy estimator must pass: right on average, the plain mean on its own policy, never a NaN."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from tests.training.ope.problems import exact_value, log_of, logged_of, logs, paths, value_of
from training.intervals import Interval
from training.ope import ESTIMATORS, LoggedSteps, Tuning, difference, estimate

every_estimator = pytest.mark.parametrize("name", ESTIMATORS)
UNBIASED = ("ips", "tis", "pdis", "dr")
ON_POLICY_MEANS = ("ips", "snips", "tis", "sntis", "pdis", "snpdis")
modest = settings(max_examples=15, deadline=None)


def one_step(n: int = 400, seed: int = 3) -> LoggedSteps:
    """A log of one-step episodes with predictions."""
    rng = np.random.default_rng(seed)
    is_taken = rng.random(n) < 0.4
    return log_of(
        [1] * n,
        np.where(is_taken, 2.0, 1 / 3),
        (rng.random(n) < np.where(is_taken, 0.2, 0.1)).astype(float),
        {"q": np.where(is_taken, 0.15, 0.12), "v": np.full(n, 0.14)},
    )


def assert_is_number_or_reason(found: Interval) -> None:
    numbers = (found.value, found.low, found.high)
    assert all(number is None or math.isfinite(number) for number in numbers)
    assert None not in numbers or found.reason
    if found.value is not None and found.low is not None and found.high is not None:
        assert found.low <= found.value <= found.high


@every_estimator
def test_the_name_is_the_key(name: str) -> None:
    assert ESTIMATORS[name](Tuning()).name == name


@pytest.mark.parametrize("discount", [1.0, 0.9, 0.0])
@pytest.mark.parametrize("name", UNBIASED)
def test_the_expectation_over_all_that_can_happen_is_the_exact_value(name: str, discount: float) -> None:
    expected = sum(path.probability * value_of(logged_of(path.actions), name, discount) for path in paths())
    assert expected == pytest.approx(exact_value(discount), abs=1e-12)


@pytest.mark.parametrize("name", ON_POLICY_MEANS)
@modest
@given(logged=logs(is_on_policy=True))
def test_on_its_own_policy_it_is_exactly_the_mean_return(name: str, logged: LoggedSteps) -> None:
    found = estimate(logged, [name])[name]
    mean = logged.reward.sum() / logged.n_episodes
    assert found.value == (mean if mean else None)


@every_estimator
@modest
@given(logged=logs())
def test_every_log_gives_finite_numbers_or_a_reason(name: str, logged: LoggedSteps) -> None:
    assert_is_number_or_reason(estimate(logged, [name], discount=0.9)[name])


@every_estimator
@modest
@given(logged=logs())
def test_every_difference_gives_finite_numbers_or_a_reason(name: str, logged: LoggedSteps) -> None:
    other = replace(logged, target=logged.propensity)
    assert_is_number_or_reason(difference(logged, other, name))


@every_estimator
def test_the_unit_of_the_reward_does_not_matter(name: str) -> None:
    logged = one_step()
    assert logged.q is not None
    assert logged.v is not None
    cents = replace(logged, reward=logged.reward * 64, q=logged.q * 64, v=logged.v * 64)
    ours, theirs = (estimate(log, [name])[name] for log in (logged, cents))
    for a, b in ((ours.value, theirs.value), (ours.low, theirs.low), (ours.high, theirs.high)):
        assert b == (None if a is None else pytest.approx(64 * a, rel=1e-3))


@pytest.mark.parametrize("name", ["snips", "sntis", "snpdis", "sndr"])
def test_a_self_normalized_estimate_moves_with_the_reward(name: str) -> None:
    logged = one_step()
    richer = replace(logged, reward=logged.reward + 0.25)
    assert value_of(richer, name) == pytest.approx(value_of(logged, name) + 0.25, abs=1e-12)


@every_estimator
def test_a_wider_level_gives_a_wider_interval(name: str) -> None:
    logged = one_step()
    narrow, wide = (estimate(logged, [name], level=level)[name] for level in (0.8, 0.99))
    if narrow.low is None or narrow.high is None:
        assert name == "dm"
        return
    assert wide.low is not None
    assert wide.high is not None
    assert wide.low < narrow.low < narrow.high < wide.high


@every_estimator
def test_without_any_reward_there_is_no_estimate_but_the_prediction(name: str) -> None:
    logged = one_step()
    found = estimate(replace(logged, reward=np.zeros_like(logged.reward)), [name])[name]
    assert (found.low, found.high) == (None, None)
    assert (found.value is None) == (name != "dm")
    assert found.reason


@every_estimator
def test_the_log_is_left_as_it_is(name: str) -> None:
    logged = one_step()
    columns = (logged.reward, logged.target, logged.propensity)
    before = [column.copy() for column in columns]
    estimate(logged, [name])
    assert all(np.array_equal(a, b) for a, b in zip(before, columns, strict=True))


@every_estimator
def test_intervals_hold_the_truth_about_as_often_as_they_say(name: str) -> None:
    truth, held, n_logs = 0.4 * 2 * 0.2 + 0.6 / 3 * 0.1, 0, 100
    for seed in range(n_logs):
        found = estimate(one_step(seed=seed), [name])[name]
        if found.low is None or found.high is None:
            assert name == "dm"
            return
        held += found.low <= truth <= found.high
    assert held >= 88  # a coverage of 95 % gives less in one of 500 sets of logs, and these are always the same
