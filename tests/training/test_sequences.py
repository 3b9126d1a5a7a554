import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.intervals import difference, wilson
from training.sequences import (
    ASYMPTOTIC,
    BET_SCALES,
    FEWEST_REWARDS,
    log_evidence,
    mean_difference,
    pair_log_evidence,
    rate,
    rate_difference,
)
from training.trial_size import TrialSize, visitors_needed

COUNTS = st.integers(0, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
SHARES = st.sampled_from([0.02, 0.1, 0.5, 0.9])


@pytest.mark.parametrize("rates", [(0.03, 0.03), (0.01, 0.2), (0.6, 0.3), (0.0, 0.4)])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_evidence_against_the_truth_has_mean_1_exactly(rates, share):
    # every outcome of 4 control and 3 challenger visitors, weighted by its probability under these rates
    total = 0.0
    for k in range(5):
        for j in range(4):
            p = math.comb(4, k) * rates[0] ** k * (1 - rates[0]) ** (4 - k)
            q = math.comb(3, j) * rates[1] ** j * (1 - rates[1]) ** (3 - j)
            total += p * q * math.exp(pair_log_evidence((k, 4), (j, 3), rates, share=share))
    assert total == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_chance_assignment_keeps_the_mean_at_1_whatever_each_visitor_is_like(share):
    # rates that differ from visitor to visitor, the same in both arms; the pair (0, 0) bounds the smallest evidence
    own, total = (0.001, 0.4, 0.9), 0.0
    for code in range(4 ** len(own)):
        counts, weight = np.zeros((2, 2)), 1.0
        for visitor, p in enumerate(own):
            converts, arm = divmod(code // 4**visitor % 4, 2)
            weight *= (p if converts else 1 - p) * (share if arm else 1 - share)
            counts[arm] += (converts, 1)
        total += weight * math.exp(pair_log_evidence(tuple(counts[0]), tuple(counts[1]), (0, 0), share=share))
    assert total == pytest.approx(1.0, abs=1e-12)


def test_one_bet_of_the_mixture_is_the_formula_of_the_docstring():
    # numerical integral over the two normal densities instead of the grid
    bets = np.linspace(-4, 4, 200_001)
    weights = sum(np.exp(-0.5 * (bets / scale) ** 2) / scale for scale in BET_SCALES)
    a = 1 / (0.7 + 0.3 * np.exp(bets)) - 1
    b = np.exp(bets) / (0.7 + 0.3 * np.exp(bets)) - 1
    log_e = 12 * np.log1p(a) - 300 * np.log1p(0.05 * a) + 14 * np.log1p(b) - 130 * np.log1p(0.06 * b)
    exact = math.log(float((weights * np.exp(log_e)).sum() / weights.sum()))
    assert float(pair_log_evidence((12, 300), (14, 130), (0.05, 0.06), share=0.3)) == pytest.approx(exact, abs=0.01)


def test_evidence_against_a_difference_is_the_smallest_over_nuisance_rates():
    grid = np.linspace(0, 0.99, 20_000)
    brute = pair_log_evidence((30, 800), (60, 900), (grid, grid + 0.01), share=0.5).min()
    assert log_evidence((30, 800), (60, 900), share=0.5, difference=0.01) == pytest.approx(float(brute), abs=1e-4)


@given(COUNTS, COUNTS, SHARES)
@settings(max_examples=25, deadline=None)
def test_differences_are_never_nan_and_hold_the_estimate(control, challenger, share):
    gap = rate_difference(control, challenger, share=share)
    if gap.value is None:
        assert gap.reason
        assert 0 in (control[1], challenger[1])
    else:
        assert -1 <= gap.low <= gap.value <= gap.high <= 1


@given(COUNTS, COUNTS, SHARES)
@settings(max_examples=15, deadline=None)
def test_swapping_the_arms_mirrors_the_interval(control, challenger, share):
    gap = rate_difference(control, challenger, share=share)
    mirrored = rate_difference(challenger, control, share=1 - share)
    if gap.value is not None:
        assert (mirrored.value, mirrored.low, mirrored.high) == pytest.approx(
            (-gap.value, -gap.high, -gap.low), abs=1e-8
        )


def test_interval_bounds_are_where_the_evidence_reaches_its_threshold():
    gap = rate_difference((40, 1000), (80, 1000), alpha=0.05)
    for bound in (gap.low, gap.high):
        assert log_evidence((40, 1000), (80, 1000), share=0.5, difference=bound) == pytest.approx(
            math.log(20), abs=1e-5
        )


def test_more_visitors_and_more_error_narrow_the_interval():
    widths = [np.subtract(*_bounds(rate_difference((3 * k, 100 * k), (5 * k, 100 * k)))) for k in (1, 10, 100)]
    assert widths[0] > widths[1] > widths[2] > 0
    strict, loose = (rate_difference((30, 1000), (60, 1000), alpha=alpha) for alpha in (0.01, 0.2))
    assert strict.low < loose.low < loose.high < strict.high


def test_looking_at_any_time_costs_width_but_not_twice_the_width():
    fixed, always = difference((600, 10_000), (500, 10_000)), rate_difference((500, 10_000), (600, 10_000))
    assert 1.2 < (always.high - always.low) / (fixed.high - fixed.low) < 2
    fixed_rate, always_rate = wilson(500, 10_000), rate(500, 10_000)
    assert 1.2 < (always_rate.high - always_rate.low) / (fixed_rate.high - fixed_rate.low) < 2


@pytest.mark.parametrize(("control", "challenger"), [((0, 1), (1, 1)), ((0, 5), (5, 5)), ((0, 40), (2, 40))])
def test_a_handful_of_visitors_decides_nothing(control, challenger):
    gap = rate_difference(control, challenger)
    assert gap.low < 0 < gap.high


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_peeking_every_50_visitors_errs_at_most_as_often_as_promised(share):
    generator = np.random.default_rng(5)
    n_streams, wrong = 400, 0
    for _ in range(n_streams):
        counts, looks = _stream(generator, (0.03, 0.03), share, 4_000)
        at_pooled = counts.sum(axis=0)[0] / looks
        screened = pair_log_evidence(counts[0], counts[1], (at_pooled, at_pooled), share=share) >= math.log(20)
        wrong += any(_evidence(counts, look, share) >= math.log(20) for look in np.flatnonzero(screened))
    # 29 of 400 has probability .03 at a true rate of 5 %
    assert wrong <= 28


def test_twice_the_conversion_is_found_among_6_000_visitors():
    generator = np.random.default_rng(6)
    found = 0
    for _ in range(60):
        counts, _ = _stream(generator, (0.03, 0.06), 0.5, 6_000)
        found += counts[1][0, -1] > counts[0][0, -1] and _evidence(counts, -1, 0.5) >= math.log(20)
    assert found >= 56


def test_visitors_needed_reaches_its_power():
    size = visitors_needed(0.05, 0.8, 0.5)
    generator = np.random.default_rng(7)
    found = 0
    for _ in range(200):
        counts, _ = _stream(generator, (0.05, 0.09), 0.5, size.total)
        found += _evidence(counts, -1, 0.5) >= math.log(20)
    # at its last look alone; 80 % +- 3 standard errors
    assert 0.715 <= found / 200 <= 0.9


def test_visitors_needed_falls_with_rate_and_effect_and_grows_with_power_and_imbalance():
    base = visitors_needed(0.03, 0.2, 0.5).total
    assert visitors_needed(0.05, 0.2, 0.5).total < base
    assert visitors_needed(0.03, 0.4, 0.5).total < base
    assert visitors_needed(0.03, 0.2, 0.5, power=0.9).total > base
    assert visitors_needed(0.03, 0.2, 0.5, alpha=0.01).total > base
    assert visitors_needed(0.03, 0.2, 0.1).total > base
    assert visitors_needed(0.03, 1e-7, 0.5) is None


@pytest.mark.parametrize("arguments", [(0.0, 0.2, 0.5), (0.03, 0.0, 0.5), (0.5, 1.5, 0.5), (0.03, 0.2, 1.0)])
def test_impossible_trials_are_refused(arguments):
    with pytest.raises(ValueError, match="must"):
        visitors_needed(*arguments)


def test_days_need_known_traffic():
    size = TrialSize(900, 100)
    assert (size.days(300), size.days(None), size.days(0), size.days(math.inf)) == (4, None, None, None)


@given(COUNTS)
@settings(max_examples=25, deadline=None)
def test_rates_are_never_nan_and_hold_the_estimate(counts):
    seen = rate(*counts)
    assert seen.reason if seen.value is None else 0 <= seen.low <= seen.value <= seen.high <= 1


def test_values_have_bounds_only_once_rewards_are_many():
    few, many = np.ones(FEWEST_REWARDS - 1), np.linspace(1, 2, 500)
    assert mean_difference(few, many).low is None
    assert "too few" in mean_difference(few, many).reason
    assert mean_difference(many, many).reason == ASYMPTOTIC
    assert mean_difference([], many).value is None
    assert mean_difference(np.zeros(900), np.zeros(900)).low is None


def test_values_have_the_boundary_of_the_paper():
    rewards = np.tile([0.0, 2.0], 1_000)
    gap = mean_difference(rewards, rewards, alpha=0.05)
    error = math.sqrt(2 * rewards.var(ddof=1) / 2_000)
    t = -2 * math.log(0.05)
    r = 4_000 * (t + math.log(t + 1)) / 2_000
    assert gap.high == pytest.approx(error * math.sqrt(2 * (r + 1) / r * math.log(math.sqrt(r + 1) / 0.05)))
    assert 2.5 < gap.high / error < 3.5


@pytest.mark.parametrize("scale", [1e-200, 1e150, 1e300])
def test_extreme_values_give_no_nan(scale):
    rewards = np.tile([1.0, 3.0], 100) * scale
    gap = mean_difference(rewards, rewards)
    assert all(number is None or math.isfinite(number) for number in (gap.value, gap.low, gap.high))


def test_values_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="finite"):
        mean_difference([1.0, math.nan], [1.0])


@pytest.mark.parametrize(
    "call",
    [
        lambda: rate_difference((2, 1), (0, 1)),
        lambda: rate_difference((0, 1), (-1, 1)),
        lambda: rate_difference((0, 1), (0, 1), share=0.0),
        lambda: rate_difference((0, 1), (0, 1), alpha=1.0),
        lambda: log_evidence((0, 1), (0, 1), share=0.5, difference=1.5),
        lambda: rate(3, 2),
        lambda: mean_difference([1.0], [1.0], alpha=0.0),
    ],
)
def test_impossible_arguments_are_refused(call):
    with pytest.raises(ValueError, match="must"):
        call()


def _bounds(interval):
    return interval.high, interval.low


def _stream(generator, rates, share, n):
    """Counts (arm, conversions or visitors, look), and visitors at every look; a look every 50 visitors."""
    is_challenger = generator.random(n) < share
    converts = generator.random(n) < np.where(is_challenger, rates[1], rates[0])
    arms = [(np.cumsum(converts & mine), np.cumsum(mine)) for mine in (~is_challenger, is_challenger)]
    looks = np.arange(49, n, 50)
    return np.array(arms, dtype=float)[:, :, looks], looks + 1


def _evidence(counts, look, share):
    return log_evidence(tuple(counts[0][:, look]), tuple(counts[1][:, look]), share=share)
