"""The three explorers one by one: their formulas, their edges, their JSON."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from policy.candidates import Candidates
from policy.explorers import Epsilon, Greedy, InverseGap, from_json
from tests.policy.groups import one_group

conversions = st.lists(st.floats(0, 1, allow_subnormal=False), min_size=1, max_size=25)


def test_greedy_gives_all_but_the_floor_to_the_best() -> None:
    probabilities = Greedy(floor=0.2).probabilities(np.array([0.1, 0.3, 0.2, 0.0]), one_group(4))
    assert probabilities == pytest.approx([0.05, 0.85, 0.05, 0.05])


def test_epsilon_spreads_its_share_evenly_over_all_of_them() -> None:
    probabilities = Epsilon(epsilon=0.2).probabilities(np.array([0.1, 0.3, 0.2, 0.0]), one_group(4))
    assert probabilities == pytest.approx([0.05, 0.85, 0.05, 0.05])
    floored = Epsilon(epsilon=0.2, floor=0.5).probabilities(np.array([0.1, 0.3]), one_group(2))
    assert floored == pytest.approx([0.25 + 0.5 * 0.1, 0.25 + 0.5 * 0.9])


def test_inverse_gap_is_the_closed_form() -> None:
    values, steps, loss = np.array([0.01, 0.04, 0.03]), 4, 0.05
    kappa = steps * 2 / loss
    first, last = 1 / (3 + kappa * 0.75), 1 / (3 + kappa * 0.25)
    probabilities = InverseGap(loss, steps).probabilities(values, one_group(3))
    assert probabilities == pytest.approx([first, 1 - first - last, last], rel=1e-14)


def test_a_floor_is_mixed_into_inverse_gap() -> None:
    values = np.array([0.01, 0.04, 0.03])
    plain = InverseGap(0.05, 4).probabilities(values, one_group(3))
    floored = InverseGap(0.05, 4, floor=0.3).probabilities(values, one_group(3))
    assert floored == pytest.approx(0.1 + 0.7 * plain, rel=1e-14)


@settings(max_examples=500, deadline=None)
@given(values=conversions, loss=st.floats(1e-6, 1), steps=st.floats(1, 50))
def test_a_step_of_inverse_gap_loses_at_most_its_share_of_the_best_value(
    values: list[float], loss: float, steps: float
) -> None:
    best = max(values)
    probabilities = InverseGap(loss, steps).probabilities(np.array(values), one_group(len(values)))
    lost = sum(p * (best - value) for p, value in zip(probabilities.tolist(), values, strict=True))
    assert lost <= loss / steps * best * (1 + 1e-12)


def test_the_bound_of_inverse_gap_is_tight() -> None:
    values = np.array([1.0, *[0.0] * 24])
    probabilities = InverseGap(loss=0.01, steps=5).probabilities(values, one_group(25))
    assert 0.9 * 0.002 < 1.0 - probabilities[0] <= 0.002


@settings(max_examples=300, deadline=None)
@given(values=st.lists(st.floats(-100, 100), min_size=2, max_size=10), loss=st.floats(1e-6, 1))
def test_where_values_are_negative_the_loss_is_bounded_by_the_spread(values: list[float], loss: float) -> None:
    best, worst = max(values), min(values)
    assume(worst < 0 and best - worst > 1e-6)
    probabilities = InverseGap(loss, steps=4).probabilities(np.array(values), one_group(len(values)))
    lost = sum(p * (best - value) for p, value in zip(probabilities.tolist(), values, strict=True))
    assert lost <= loss / 4 * (best - worst) * (1 + 1e-9)


def test_with_negative_values_only_their_differences_count() -> None:
    explorer = InverseGap(0.5, steps=4)
    below = explorer.probabilities(np.array([-6.0, -2.0, -4.0]), one_group(3))
    across = explorer.probabilities(np.array([-3.0, 1.0, -1.0]), one_group(3))
    assert below.tolist() == across.tolist()


@pytest.mark.parametrize("value", [0.0, 0.3, -0.3])
def test_equal_values_are_drawn_evenly(value: float) -> None:
    probabilities = InverseGap(0.05, steps=4).probabilities(np.full(8, value), one_group(8))
    assert probabilities == pytest.approx(np.full(8, 0.125))


def test_without_a_loss_inverse_gap_is_greedy() -> None:
    values = np.array([0.1, 0.3, 0.3])
    assert InverseGap(0.0, steps=4, floor=0.3).probabilities(values, one_group(3)) == pytest.approx([0.1, 0.8, 0.1])


def test_a_loss_near_0_is_no_division_by_0() -> None:
    probabilities = InverseGap(5e-324, steps=4).probabilities(np.array([0.3, 0.1, 0.3]), one_group(3))
    assert probabilities == pytest.approx([2 / 3, 0.0, 1 / 3])


@pytest.mark.parametrize("make", [Greedy, Epsilon, lambda share: InverseGap(share, 4)])
@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_outside_0_to_1_is_refused(make: type[Greedy], share: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1; received"):
        make(share)


@pytest.mark.parametrize("steps", [0.5, 0, float("inf"), float("nan")])
def test_an_episode_has_one_step_at_least(steps: float) -> None:
    with pytest.raises(ValueError, match="steps must be from 1"):
        InverseGap(0.05, steps)


@pytest.mark.parametrize("offsets", [[0, 2, 2, 4], [0, 3], [1, 4], [0, 5, 4]])
def test_groups_that_do_not_span_the_rows_are_refused(offsets: list[int]) -> None:
    nowhere = np.full(len(offsets) - 1, -1)
    candidates = Candidates(np.array(offsets), np.arange(4), nowhere, nowhere)
    with pytest.raises(ValueError, match="every group needs a candidate"):
        Greedy().probabilities(np.array([0.1, 0.2, 0.3, 0.4]), candidates)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"name": "thompson"}, "unknown explorer; received 'thompson'; allowed: greedy, epsilon, inverse_gap"),
        ({}, "unknown explorer; received None"),
        ({"name": "epsilon"}, "epsilon: its parameters"),
        ({"name": "greedy", "flor": 0.1}, "flor"),
        ({"name": "greedy", "floor": "0.1"}, "floor must be a number; received '0.1'"),
        ({"name": "greedy", "floor": True}, "floor must be a number; received True"),
        ({"name": "greedy", "floor": 2}, "floor must be from 0 to 1; received 2"),
    ],
)
def test_json_that_describes_no_explorer_is_refused(data: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        from_json(data)
