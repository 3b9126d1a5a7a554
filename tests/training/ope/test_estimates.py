"""Estimates against numbers worked out by hand, their intervals, differences and diagnostics."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from data.errors import BadInput
from tests.training.ope.problems import log_of, value_of
from training.ope import LoggedSteps, Tuning, diagnostics, difference, estimate
from training.ope.weights import weighted

RAGGED = log_of(
    [1, 3, 2],
    [2.0, 0.5, 2.0, 3.0, 1.0, 0.5],
    [1.0, 0.0, 2.0, 1.0, 0.0, 4.0],
    {"q": [0.5, 0.1, 0.2, 0.3, 0.4, 0.6], "v": [0.4, 0.3, 0.5, 0.2, 0.1, 0.7]},
)
"""Weights: [2] [0.5 1 3] [1 0.5]; carried: step 0 [2 .5 1], step 1 [2 1 .5], step 2 [2 3 .5]."""


def binary(n: int, rate: float, ratio: float = 2.0, seed: int = 1) -> LoggedSteps:
    rng = np.random.default_rng(seed)
    return log_of([1] * n, np.where(rng.random(n) < 1 / ratio, ratio, 0.0), (rng.random(n) < rate).astype(float))


def test_weights_are_carried_on_after_an_episode_has_ended() -> None:
    log = weighted(RAGGED)
    assert log.w.tolist() == [2.0, 0.5, 1.0, 3.0, 1.0, 0.5]
    assert log.before.tolist() == [1.0, 1.0, 0.5, 1.0, 1.0, 1.0]
    assert log.mean_at.tolist() == pytest.approx([3.5 / 3, 3.5 / 3, 5.5 / 3])
    assert log.carried(np.array([1.0, 10.0, 100.0])).tolist() == [222.0, 310.5, 56.0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tis", (2 * 1 + 3 * 3 + 0.5 * 4) / 3),
        ("ips", (2 * 1 + 3 * 3 + 0.5 * 4) / 3),
        ("sntis", (2 * 1 + 3 * 3 + 0.5 * 4) / 5.5),
        ("snips", (2 * 1 + 3 * 3 + 0.5 * 4) / 5.5),
        ("pdis", (2 * 1 + (1 * 2 + 3 * 1) + 0.5 * 4) / 3),
        ("snpdis", 2 / 3.5 + (1 * 2 + 0.5 * 4) / 3.5 + 3 / 5.5),
        ("dm", (0.4 + 0.3 + 0.1) / 3),
        (
            "dr",
            (
                (2 * 0.5 + 0.4)
                + (0.5 * -0.1 + 0.3 + 1 * 1.8 + 0.5 * 0.5 + 3 * 0.7 + 1 * 0.2)
                + (1 * -0.4 + 0.1 + 0.5 * 3.4 + 1 * 0.7)
            )
            / 3,
        ),
        (
            "sndr",
            (2 * 0.5 + 0.5 * -0.1 + 1 * -0.4) / 3.5
            + (0.4 + 0.3 + 0.1) / 3
            + (1 * 1.8 + 0.5 * 3.4) / 3.5
            + (0.5 * 0.5 + 1 * 0.7) / 3.5
            + 3 * 0.7 / 5.5
            + 1 * 0.2 / 3.5,
        ),
    ],
)
def test_three_episodes_by_hand(name: str, expected: float) -> None:
    assert value_of(RAGGED, name) == pytest.approx(expected, abs=1e-12)


def test_a_discount_counts_steps() -> None:
    assert value_of(RAGGED, "pdis", 0.5) == pytest.approx((2 + (0.5 * 2 + 0.25 * 3) + 0.5 * 2) / 3, abs=1e-12)
    assert value_of(RAGGED, "tis", 0.5) == pytest.approx((2 + 3 * (0.5 * 2 + 0.25) + 0.5 * 2) / 3, abs=1e-12)


@pytest.mark.parametrize("name", ["switch_dr", "dr_os"])
def test_one_step_estimators_say_so_on_longer_episodes(name: str) -> None:
    found = estimate(RAGGED, [name])[name]
    assert found.value is None
    assert "one-step tables only" in str(found.reason)


def test_one_step_estimators_by_hand() -> None:
    logged = log_of([1, 1], [4.0, 0.5], [1.0, 0.0], {"q": [0.5, 0.2], "v": [0.3, 0.1]})
    found = estimate(logged, ["switch_dr", "dr_os"], tuning=Tuning(tau=1.0, lam=2.0))
    assert found["switch_dr"].value == pytest.approx((0.3 + 0.1 + 0.5 * -0.2) / 2)
    assert found["dr_os"].value == pytest.approx((0.3 + 8 / 18 * 0.5 + 0.1 + 1 / 2.25 * -0.2) / 2)


@pytest.mark.parametrize("tau", [0.0, 1e9])
def test_switching_ends_at_the_prediction_and_at_doubly_robust(tau: float) -> None:
    logged = log_of([1, 1], [4.0, 0.5], [1.0, 0.0], {"q": [0.5, 0.2], "v": [0.3, 0.1]})
    found = estimate(logged, tuning=Tuning(tau=tau))
    assert found["switch_dr"].value == pytest.approx(found["dr" if tau else "dm"].value)


def test_a_reward_that_no_matched_action_earned_gives_no_estimate() -> None:
    logged = log_of([1, 1, 1], [2.0, 0.0, 2.0], [0.0, 1.0, 0.0])
    found = estimate(logged, ["ips"])["ips"]
    assert (found.value, found.low, found.high) == (None, None, None)
    assert found.reason == "no estimate: no logged reward was earned by actions the target policy would take"


def test_no_weight_to_normalize_by_gives_no_estimate() -> None:
    logged = log_of([2, 1], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0])
    assert "at step 1 no logged episode follows" in str(estimate(logged, ["snpdis"])["snpdis"].reason)
    assert value_of(logged, "pdis") == 0.5


def test_the_direct_method_never_has_an_interval() -> None:
    found = estimate(RAGGED, ["dm"])["dm"]
    assert (found.low, found.high) == (None, None)
    assert str(found.reason).startswith("no interval")


def test_without_predictions_the_estimators_that_need_them_say_so() -> None:
    found = estimate(binary(50, 0.5))
    assert {name for name, one in found.items() if "q_0" in str(one.reason)} == {"dm", "dr", "sndr"} | {
        "switch_dr",
        "dr_os",
    }


def test_few_conversions_give_the_likelihood_interval_of_a_rate() -> None:
    logged = log_of([1] * 10, [1.0] * 10, [1.0] * 3 + [0.0] * 7)
    found = estimate(logged, ["ips"])["ips"]
    for end in (found.low, found.high):
        assert end is not None
        log_ratio = 3 * np.log(0.3 / end) + 7 * np.log(0.7 / (1 - end))
        assert 2 * log_ratio == pytest.approx(5.117, abs=0.06)  # F(1, 9) at 95 %


def test_one_episode_has_no_interval() -> None:
    found = estimate(log_of([2], [1.0, 2.0], [0.0, 1.0]), ["tis"])["tis"]
    assert (found.value, found.low, found.high) == (2.0, None, None)
    assert str(found.reason).startswith("no interval")


def test_a_larger_possible_weight_gives_a_larger_upper_end() -> None:
    logged = binary(500, 0.04)
    ends = [
        estimate(replace(logged, max_ratio=np.full(500, largest)), ["ips"])["ips"].high for largest in (2.0, 20.0, 1e6)
    ]
    assert ends == sorted(ends)  # type: ignore[type-var]
    assert len(set(ends)) == 3


def test_episodes_of_one_cluster_count_as_one_observation() -> None:
    logged = binary(400, 0.1)
    doubled = log_of([1] * 800, np.repeat(logged.ratio, 2), np.repeat(logged.reward, 2))
    doubled = replace(doubled, cluster=np.repeat(np.arange(400), 2))
    once, twice = (estimate(log, ["sntis"])["sntis"] for log in (logged, doubled))
    assert twice.value == pytest.approx(once.value)
    assert twice.low == pytest.approx(once.low, rel=0.02)
    assert twice.high == pytest.approx(once.high, rel=0.02)


def test_many_conversions_give_the_t_interval() -> None:
    logged = binary(20_000, 0.05)
    found = estimate(logged, ["ips"])["ips"]
    x = logged.ratio * logged.reward
    half = 1.96 * x.std() / np.sqrt(20_000)
    assert found.low == pytest.approx(x.mean() - half, rel=1e-3)
    assert found.high == pytest.approx(x.mean() + half, rel=1e-3)


def test_a_policy_does_not_differ_from_itself() -> None:
    found = difference(RAGGED, RAGGED, "dr")
    assert found.value == 0
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 0 <= found.high


def test_a_difference_turns_its_sign_with_its_sides() -> None:
    a = binary(800, 0.05)
    b = replace(a, target=a.propensity)
    there, back = difference(a, b, "tis"), difference(b, a, "tis")
    assert there.value == pytest.approx(-back.value)  # type: ignore[operator]
    assert there.low == pytest.approx(-back.high, abs=1e-4)  # type: ignore[operator]
    assert there.high == pytest.approx(-back.low, abs=1e-4)  # type: ignore[operator]


def test_a_clear_difference_is_seen() -> None:
    rng = np.random.default_rng(2)
    is_second = rng.random(4_000) < 0.5
    reward = (rng.random(4_000) < np.where(is_second, 0.06, 0.01)).astype(float)
    a = log_of([1] * 4_000, np.where(is_second, 2.0, 0.0), reward)
    b = replace(a, target=a.propensity)
    found = difference(a, b, "sntis", level=0.99)
    assert found.low is not None
    assert 0 < found.low < 0.025


def test_a_difference_of_different_episodes_is_refused() -> None:
    with pytest.raises(BadInput, match="reward: differs"):
        difference(binary(50, 0.5), binary(50, 0.5, seed=2), "ips")


def test_diagnostics_by_hand() -> None:
    found = diagnostics(RAGGED)
    assert found.effective_sample_size == pytest.approx(5.5**2 / (4 + 9 + 0.25))
    assert found.effective_conversions == pytest.approx(13**2 / (4 + 81 + 4))
    assert (found.max_weight, found.n_episodes) == (3.0, 3)
    assert found.mean_weight == pytest.approx(5.5 / 3)


def test_zero_overlap_has_an_effective_sample_size_of_zero() -> None:
    logged = log_of([1, 1], [0.0, 0.0], [1.0, 0.0])
    assert diagnostics(logged).effective_sample_size == 0
    assert all(one.low is None for one in estimate(logged).values())


def test_twenty_thousand_episodes_take_less_than_a_second_an_interval() -> None:
    rng = np.random.default_rng(4)
    logged = log_of([3] * 20_000, rng.choice([0.5, 1.5], 60_000), (rng.random(60_000) < 0.002).astype(float))
    start = time.process_time()
    found = estimate(logged, ["pdis"])["pdis"]
    assert found.high is not None
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"propensity": np.array([0.0, 0.5])}, "propensity: row 0 holds 0.0; allowed"),
        ({"propensity": np.array([0.5, np.nan])}, "propensity: row 1 holds nan"),
        ({"target": np.array([0.5, 1.5])}, "target: row 1 holds 1.5"),
        ({"reward": np.array([np.inf, 0.0])}, "reward: row 0 holds inf"),
        ({"step": np.array([0, 2])}, "step: row 1 holds 2"),
        ({"episode": np.array([0, 2])}, "episode: row 1 holds 2"),
        ({"reward": np.array([1.0])}, "reward: has shape"),
        ({"q": np.array([1.0, 2.0])}, "q and v"),
    ],
)
def test_a_log_that_is_wrong_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        replace(log_of([2], [1.0, 1.0], [0.0, 1.0]), **change)


def test_weights_beyond_all_numbers_are_refused() -> None:
    logged = log_of([60], [1e6] * 60, [1.0] * 60)
    with pytest.raises(BadInput, match="the weight of episode 0 grows to"):
        estimate(logged)


@pytest.mark.parametrize("options", [{"level": 1.0}, {"discount": 1.5}, {"discount": np.nan}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="allowed"):
        estimate(RAGGED, **options)


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadInput, match="allowed: ips, snips"):
        estimate(RAGGED, ["wis"])


def test_weights_that_cannot_average_1_by_chance_give_no_interval() -> None:
    rng = np.random.default_rng(5)
    logged = log_of([1] * 5_000, np.where(rng.random(5_000) < 1e-3, 1e6, 1.0), (rng.random(5_000) < 0.02).astype(float))
    found = estimate(logged, ["sntis"])["sntis"]
    assert (found.low, found.high) == (None, None)
    assert "the weights should average 1" in str(found.reason)
