"""Calibration: equal to what is known exactly, honest where rows are alike, never NaN."""

from __future__ import annotations

import io
import json

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from sklearn.metrics import log_loss, roc_auc_score

from training.calibration import auc, quality
from training.intervals import Interval

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


def bounds(interval: Interval) -> tuple[float, float, float]:
    """Low, value and high of an interval that has all three."""
    assert interval.low is not None
    assert interval.value is not None
    assert interval.high is not None
    return interval.low, interval.value, interval.high


def world(n: int, seed: int) -> tuple[FloatArray, BoolArray]:
    """Predictions that are the truth, and what came of them."""
    rng = np.random.default_rng(seed)
    chances = rng.beta(1, 6, n)
    return chances, rng.random(n) < chances


def delong_variance(scores: FloatArray, happened: BoolArray) -> float:
    """DeLong's variance from every pair, as the paper has it."""
    wins = np.where(scores[happened][:, None] > scores[~happened], 1.0, 0.0)
    wins += 0.5 * (scores[happened][:, None] == scores[~happened])
    return float(wins.mean(axis=1).var(ddof=1) / len(wins) + wins.mean(axis=0).var(ddof=1) / wins.shape[1])


rows = st.lists(st.tuples(st.integers(0, 10), st.booleans(), st.integers(0, 5)), max_size=60)


@given(rows)
def test_nothing_is_ever_nan_and_bounds_enclose_the_value(drawn: list[tuple[int, bool, int]]) -> None:
    scores, happened, visitors = (np.array([row[i] for row in drawn]) for i in range(3))
    found = quality(scores.astype(float) / 10, happened.astype(bool), visitors.astype(int))
    json.dumps(found.to_json(), allow_nan=False)
    for interval in (found.rate, found.auc, found.gain, *(each.rate for each in found.bins)):
        if interval.value is None or interval.low is None or interval.high is None:
            assert interval.reason
        else:
            assert interval.low <= interval.value <= interval.high
    assert sum(each.rate.n for each in found.bins) == len(drawn)


@pytest.mark.parametrize("decimals", [1, 16])
def test_area_and_loss_are_those_of_scikit_learn(decimals: int) -> None:
    predicted, happened = world(700, 1)
    predicted = predicted.round(decimals)
    found = quality(predicted, happened)
    assert found.auc.value == pytest.approx(roc_auc_score(happened, predicted))
    assert found.log_loss == pytest.approx(log_loss(happened, np.clip(predicted, 1e-15, 1 - 1e-15)))
    assert found.log_loss_of_rate == pytest.approx(log_loss(happened, np.full(700, happened.mean())))
    gain = log_loss(happened, np.full(700, happened.mean())) - log_loss(happened, np.clip(predicted, 1e-15, 1 - 1e-15))
    assert found.gain.value == pytest.approx(gain)


def test_with_a_row_a_visitor_the_interval_is_delongs() -> None:
    predicted, happened = world(400, 2)
    low, value, high = bounds(auc(predicted.round(1), happened, np.arange(400)))
    spread = np.sqrt(delong_variance(predicted.round(1), happened)) / (value * (1 - value))
    width = np.log(high / (1 - high)) - np.log(low / (1 - low))
    assert width == pytest.approx(2 * 1.959964 * spread, rel=1e-6)


def test_rows_that_repeat_do_not_count_as_more() -> None:
    predicted, happened = world(300, 3)
    once = quality(predicted, happened)
    four = quality(np.tile(predicted, 4), np.tile(happened, 4), np.tile(np.arange(300), 4))
    assert bounds(four.auc) == pytest.approx(bounds(once.auc), abs=1e-3)
    assert bounds(four.gain) == pytest.approx(bounds(once.gain), abs=1e-9)
    blind = quality(np.tile(predicted, 4), np.tile(happened, 4))
    low, _, high = bounds(once.auc)
    blind_low, _, blind_high = bounds(blind.auc)
    assert blind_high - blind_low < 0.6 * (high - low)


def test_intervals_by_visitor_cover_the_truth() -> None:
    rng = np.random.default_rng(4)
    chances = np.linspace(0.05, 0.7, 150)
    order = np.sum(np.outer(chances, 1 - chances) * (np.sign(chances[:, None] - chances) + 1) / 2)
    truth = order / (chances.sum() * (1 - chances).sum())
    # Each visitor has three rows of one outcome: treated as independent they would cover far less.
    hits, n = 0, 400
    for _ in range(n):
        picked = rng.integers(0, 150, 150)
        happened = np.repeat(rng.random(150) < chances[picked], 3)
        low, _, high = bounds(auc(np.repeat(chances[picked], 3), happened, np.repeat(np.arange(150), 3)))
        hits += low <= truth <= high
    assert hits / n > 0.92


def test_a_calibrated_model_has_bins_that_hold_and_a_shifted_one_has_not() -> None:
    predicted, happened = world(20_000, 5)
    good, bad = quality(predicted, happened), quality(np.minimum(1.0, 1.5 * predicted), happened)
    assert sum(each.is_off for each in good.bins) <= 2
    assert sum(each.is_off for each in bad.bins) >= 7
    assert good.calibration_error == pytest.approx(0.0, abs=0.01)
    assert bad.calibration_error == pytest.approx(0.5 * predicted.mean(), abs=0.01)
    assert bounds(good.gain)[0] > 0


def test_the_error_is_the_bins_mean_distance() -> None:
    predicted = np.repeat([0.2, 0.6], [6, 4])
    happened = np.array([1, 1, 1, 0, 0, 0, 1, 1, 0, 0], dtype=bool)
    found = quality(predicted, happened, n_bins=2)
    assert [each.mean_predicted for each in found.bins] == pytest.approx([0.2, 0.6])
    assert [each.rate.value for each in found.bins] == [0.5, 0.5]
    assert found.calibration_error == pytest.approx(0.6 * 0.3 + 0.4 * 0.1)


def test_equal_predictions_share_a_bin() -> None:
    found = quality(np.full(50, 0.3), np.arange(50) % 2 == 0)
    assert len(found.bins) == 1
    assert found.auc.value == 0.5


def test_what_came_out_the_same_has_no_area_but_a_reason() -> None:
    found = quality(np.array([0.1, 0.2]), np.array([False, False]))
    assert found.auc.value is None
    assert found.auc.reason == "all rows came out the same"
    assert quality(np.array([]), np.array([], dtype=bool)).auc.reason == "no rows"


@pytest.mark.parametrize(
    ("predicted", "happened", "n_bins", "said"),
    [
        ([0.1, 1.2], [True, False], 10, "from 0 to 1, got 1.2"),
        ([0.1, float("nan")], [True, False], 10, "from 0 to 1, got nan"),
        ([0.1], [True, False], 10, r"got shapes \(1,\), \(2,\)"),
        ([0.1, 0.2], [1, 0], 10, "must be boolean, got int"),
        ([0.1, 0.2], [True, False], 0, "at least 1, got 0"),
    ],
)
def test_what_is_no_prediction_is_refused(predicted: list[float], happened: list[bool], n_bins: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        quality(np.array(predicted), np.array(happened), n_bins=n_bins)


def test_people_see_the_numbers_with_intervals() -> None:
    out = io.StringIO()
    predicted, happened = world(500, 6)
    quality(predicted, happened).render(Console(file=out, width=120))
    quality(np.array([]), np.array([], dtype=bool)).render(Console(file=out, width=120))
    text = out.getvalue()
    assert "500 rows of 500 visitors" in text
    assert "AUC: 0." in text
    assert text.count(" to ") > 20
    assert "0 rows of 0 visitors; it happened in none: no rows." in text
