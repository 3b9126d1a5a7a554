"""What every explorer must pass: probabilities that sum to 1, a floor that holds, nothing but the group counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.candidates import Candidates, FloatArray
from policy.draw import pick, uniform
from policy.explorers import EXPLORERS, Epsilon, Explorer, Greedy, InverseGap, from_json, to_json
from tests.policy.groups import exact_sum, joined, one_group, shares, valued_groups

explorers = st.one_of(
    st.builds(Greedy, floor=shares),
    st.builds(Epsilon, epsilon=shares, floor=shares),
    st.builds(InverseGap, loss=shares, steps=st.floats(1, 100), floor=shares),
)
examples: list[Explorer] = [Greedy(0.1), Epsilon(0.2, 0.1), InverseGap(loss=0.3, steps=3, floor=0.1)]
every_explorer = pytest.mark.parametrize("explorer", examples, ids=lambda explorer: explorer.name)
modest = settings(max_examples=300, deadline=None)
Valued = tuple[Candidates, FloatArray]


def test_every_registered_explorer_is_under_contract() -> None:
    assert {explorer.name for explorer in examples} == set(EXPLORERS)


@modest
@given(explorer=explorers, valued=valued_groups())
def test_probabilities_sum_to_1_and_each_keeps_the_floor(explorer: Explorer, valued: Valued) -> None:
    candidates, values = valued
    probabilities = explorer.probabilities(values, candidates)
    assert math.isclose(exact_sum(probabilities), 1.0, rel_tol=1e-14)
    assert (probabilities >= explorer.floor / len(values)).all()
    assert (probabilities <= 1.0).all()


@modest
@given(explorer=explorers, valued=valued_groups())
def test_a_higher_value_never_has_a_lower_probability(explorer: Explorer, valued: Valued) -> None:
    candidates, values = valued
    probabilities = explorer.probabilities(values, candidates)
    assert probabilities[int(values.argmax())] == pytest.approx(probabilities.max(), abs=1e-15)
    others = np.delete(np.arange(len(values)), int(values.argmax()))
    ranked = others[np.argsort(values[others], kind="stable")]
    assert (np.diff(probabilities[ranked]) >= 0).all()


@modest
@given(explorer=explorers, batch=st.lists(valued_groups(), max_size=6))
def test_a_batch_is_to_the_last_bit_what_its_groups_are_alone(explorer: Explorer, batch: list[Valued]) -> None:
    alone = [explorer.probabilities(values, candidates) for candidates, values in batch]
    values = np.concatenate([np.empty(0), *(values for _, values in batch)])
    together = explorer.probabilities(values, joined([candidates for candidates, _ in batch]))
    assert together.tobytes() == np.concatenate([np.empty(0), *alone]).tobytes()


@modest
@given(explorer=explorers)
def test_the_only_candidate_is_certain(explorer: Explorer) -> None:
    assert explorer.probabilities(np.array([-0.3]), one_group(1)).tolist() == [1.0]


@every_explorer
def test_ties_go_to_the_first_candidate(explorer: Explorer) -> None:
    probabilities = explorer.probabilities(np.array([0.1, 0.4, 0.4, 0.2]), one_group(4))
    assert probabilities.argmax() == 1


@every_explorer
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, 1e301])
def test_a_value_that_is_no_finite_number_is_refused(explorer: Explorer, wrong: float) -> None:
    with pytest.raises(ValueError, match=r"values must be finite numbers.*in row 1"):
        explorer.probabilities(np.array([0.1, wrong]), one_group(2))


@every_explorer
def test_values_that_are_not_one_a_candidate_are_refused(explorer: Explorer) -> None:
    with pytest.raises(ValueError, match="one a candidate"):
        explorer.probabilities(np.array([0.1, 0.2, 0.3]), one_group(2))


@every_explorer
def test_the_given_values_are_left_as_they_are(explorer: Explorer) -> None:
    values = np.array([0.1, 0.4, -0.4])
    explorer.probabilities(values, one_group(3))
    assert values.tolist() == [0.1, 0.4, -0.4]


@modest
@given(explorer=explorers)
def test_an_explorer_survives_json(explorer: Explorer) -> None:
    assert from_json(to_json(explorer)) == explorer


@every_explorer
def test_what_is_drawn_is_as_frequent_as_its_probability(explorer: Explorer) -> None:
    n = 20_000
    probabilities = explorer.probabilities(np.array([0.1, 0.2, 0.18, 0.05]), one_group(4))
    rows = [pick(probabilities.tolist(), uniform(b"secret", explorer.name, str(i))) for i in range(n)]
    counts = np.bincount(rows, minlength=4)
    chi_square = ((counts - n * probabilities) ** 2 / (n * probabilities)).sum()
    assert chi_square < 16.27  # 3 degrees of freedom: one run in a thousand, and this run is always the same
