import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.intervals import difference, quantile, wilson


def test_wilson_equals_the_textbook_example():
    # Newcombe 1998, Two-sided confidence intervals for the single proportion: 81 of 263
    rate = wilson(81, 263)
    assert (round(rate.low, 4), round(rate.high, 4)) == (0.2553, 0.3662)


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (0, 20), (1, 29), (148, 148), (7, 7)])
def test_wilson_bounds_solve_the_score_equation_or_are_at_the_border(successes, n):
    rate, z = wilson(successes, n), NormalDist().inv_cdf(0.975)
    for bound in (rate.low, rate.high):
        if 0 < bound < 1:
            assert abs(successes / n - bound) == pytest.approx(z * math.sqrt(bound * (1 - bound) / n))
        else:
            assert bound == successes / n


def test_no_observation_gives_a_reason_and_no_number():
    assert wilson(0, 0, empty="never shown").to_json() == {
        "value": None,
        "low": None,
        "high": None,
        "n": 0,
        "reason": "never shown",
    }


@pytest.mark.parametrize(("successes", "n", "level"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0), (1, 2, 0.0)])
def test_impossible_counts_and_levels_are_refused(successes, n, level):
    with pytest.raises(ValueError, match="must"):
        wilson(successes, n, level)


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    # Newcombe 1998, Interval estimation for the difference, table II, method 10
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), -0.1611, 0.2775),
        ((10, 10), (0, 20), 0.6791, 1.0),
    ],
)
def test_difference_equals_the_published_values(first, second, low, high):
    gap = difference(first, second)
    assert (round(gap.low, 4), round(gap.high, 4)) == (low, high)


@pytest.mark.parametrize(("first", "second", "which"), [((0, 0), (1, 2), "first"), ((1, 2), (0, 0), "second")])
def test_a_difference_to_nothing_has_no_value(first, second, which):
    gap = difference(first, second)
    assert gap.value is None
    assert which in gap.reason


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
@settings(max_examples=50)
def test_swapping_the_groups_turns_the_difference_around(a, more_a, b, more_b):
    there, back = difference((a, a + more_a), (b, b + more_b)), difference((b, b + more_b), (a, a + more_a))
    if there.value is not None:
        assert (there.low, there.high) == (pytest.approx(-back.high), pytest.approx(-back.low))


def test_the_median_of_six_values_lies_between_the_smallest_and_the_largest():
    # P(all six on one side of the median) = 2 / 64 <= 0.05
    assert quantile([6, 5, 4, 3, 2, 1]).to_json() == {"value": 3.5, "low": 1.0, "high": 6.0, "n": 6}


def test_five_values_have_a_median_but_no_interval():
    median = quantile([1, 2, 3, 4, 5])
    assert (median.value, median.low, median.high) == (3.0, None, None)
    assert "5" in median.reason


def test_quartile_ranks_equal_the_binomial_ones():
    # n = 50, q = 1/4: P(B < 7) = .0194 <= .025 < P(B < 8), P(B >= 20) = .0139 <= .025 < P(B >= 19)
    quartile = quantile(list(range(1, 51)), 0.25)
    assert (quartile.low, quartile.high) == (7.0, 20.0)


def test_no_values_have_no_median():
    assert quantile([], empty="nobody").to_json() == {
        "value": None,
        "low": None,
        "high": None,
        "n": 0,
        "reason": "nobody",
    }


@pytest.mark.parametrize(("values", "q"), [([1.0, float("nan")], 0.5), ([1.0], 0.0), ([1.0], 1.0)])
def test_values_that_are_no_numbers_and_impossible_quantiles_are_refused(values, q):
    with pytest.raises(ValueError, match="must"):
        quantile(values, q)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60), st.sampled_from([0.25, 0.5, 0.75]))
@settings(max_examples=100)
def test_a_quantile_lies_within_its_bounds(values, q):
    found = quantile(values, q)
    if found.low is not None:
        assert found.low <= found.value <= found.high


def test_median_intervals_cover_as_often_as_they_promise():
    rng = np.random.default_rng(5)
    found = [quantile(rng.exponential(size=25)) for _ in range(2_000)]
    covered = np.mean([interval.low <= math.log(2) <= interval.high for interval in found])
    assert 0.94 <= covered <= 0.98


def test_many_values_do_not_underflow():
    median = quantile(np.arange(100_000.0))
    assert median.value == 49_999.5
    assert 600 < median.high - median.low < 640
