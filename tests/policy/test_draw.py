"""Draws, sticky units and tokens: repeatable, fair, independent of each other, and not to be forged."""

from __future__ import annotations

import hmac
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.draw import decision_token, draw_unit, pick, sticky_unit, uniform, verify_token

texts = st.text(max_size=6)
token = decision_token(b"secret", "d-1", "v-1", "quiz", expires_at=2_000)


def chi_square(counts: np.ndarray, expected: np.ndarray) -> float:
    return float(((counts - expected) ** 2 / expected).sum())


def test_a_unit_is_fixed_by_its_arguments() -> None:
    digest = hmac.digest(b"secret", b"4:draw8:skincare3:d-1", "sha256")
    assert draw_unit(b"secret", "skincare", "d-1") == (int.from_bytes(digest[:8]) >> 11) / 2**53


@given(left=st.lists(texts, max_size=3), right=st.lists(texts, max_size=3))
def test_different_parts_give_different_units(left: list[str], right: list[str]) -> None:
    assert (uniform(b"s", "x", *left) == uniform(b"s", "x", *right)) == (left == right)


@pytest.mark.parametrize("other", [(b"other", "draw", "a"), (b"secret", "arm", "a"), (b"secret", "draw", "b")])
def test_secret_label_and_parts_all_count(other: tuple[bytes, str, str]) -> None:
    assert uniform(*other) != uniform(b"secret", "draw", "a")


@settings(max_examples=50)
@given(text=st.text(st.characters(exclude_categories=()), max_size=20))
def test_any_text_at_all_has_a_unit_in_0_to_1_of_53_bits(text: str) -> None:
    unit = uniform(b"", "draw", text)
    assert 0.0 <= unit < 1.0
    assert Fraction(unit) * 2**53 == int(unit * 2**53)


def test_units_are_uniform() -> None:
    units = np.array([draw_unit(b"secret", "skincare", f"d-{i}") for i in range(20_000)])
    counts = np.histogram(units, bins=50, range=(0, 1))[0]
    assert chi_square(counts, np.full(50, 400.0)) < 85.4  # 49 degrees of freedom, one in a thousand


def test_a_draw_says_nothing_about_the_arm() -> None:
    ids = [f"same-{i}" for i in range(20_000)]
    draws = np.array([draw_unit(b"secret", "skincare", key) for key in ids])
    arms = np.array([sticky_unit(b"secret", "skincare", key) for key in ids])
    assert abs(np.corrcoef(draws, arms)[0, 1]) < 3.3 / 20_000**0.5
    cells = np.histogram2d(draws, arms, bins=6, range=((0, 1), (0, 1)))[0]
    assert chi_square(cells, np.full((6, 6), 20_000 / 36)) < 66.6  # 35 degrees of freedom


def test_arms_of_two_journeys_are_independent() -> None:
    ids = [f"v-{i}" for i in range(20_000)]
    one, other = (np.array([sticky_unit(b"secret", journey, key) for key in ids]) for journey in ("one", "other"))
    assert abs(np.corrcoef(one, other)[0, 1]) < 3.3 / 20_000**0.5


def test_what_is_drawn_is_as_frequent_as_its_probability() -> None:
    probabilities = np.array([0.0, 0.5, 0.01, 0.0, 0.29, 0.2, 0.0])
    rows = [pick(probabilities.tolist(), draw_unit(b"secret", "skincare", str(i))) for i in range(20_000)]
    counts = np.bincount(rows, minlength=7)
    possible = probabilities > 0
    assert counts[~possible].sum() == 0
    assert chi_square(counts[possible], 20_000 * probabilities[possible]) < 16.27  # 3 degrees of freedom


@given(
    weights=st.lists(st.one_of(st.just(0.0), st.floats(1e-9, 1)), min_size=1, max_size=20).filter(any),
    unit=st.one_of(st.floats(0, 1, exclude_max=True), st.sampled_from([0.0, 1 - 2**-53])),
)
def test_a_row_of_probability_0_is_never_picked(weights: list[float], unit: float) -> None:
    total = sum(weights)
    assert weights[pick([weight / total for weight in weights], unit)] > 0


def test_a_sum_a_hair_below_1_still_picks_a_possible_row() -> None:
    assert pick([0.5, 0.5 - 2**-53, 0.0], 1 - 2**-53) == 1
    assert pick([1 - 2**-53, 0.0], 1 - 2**-53) == 0


def test_edges_belong_to_the_next_row() -> None:
    assert [pick([0.25, 0.75], unit) for unit in (0.0, 0.25 - 2**-54, 0.25)] == [0, 0, 1]


@pytest.mark.parametrize("unit", [-0.1, 1.0, float("nan")])
def test_a_unit_outside_0_to_1_is_refused(unit: float) -> None:
    with pytest.raises(ValueError, match=r"unit must be in \[0, 1\)"):
        pick([1.0], unit)


@pytest.mark.parametrize("probabilities", [[], [0.0, 0.0], [float("nan"), 1.0], [-0.1, 1.1]])
def test_what_is_no_distribution_is_refused(probabilities: list[float]) -> None:
    with pytest.raises(ValueError, match="probabilities must"):
        pick(probabilities, 0.5)


def test_a_token_is_text_that_fits_a_url() -> None:
    assert token.replace(".", "").replace("-", "").replace("_", "").isalnum()
    assert verify_token(b"secret", token, "d-1", "v-1", "quiz", now=1_999)


@pytest.mark.parametrize(
    "claim", [("d-2", "v-1", "quiz"), ("d-1", "v-2", "quiz"), ("d-1", "v-1", "buy"), ("d-1", "v-1", None)]
)
def test_a_token_is_of_its_decision_visitor_and_ask_alone(claim: tuple[str, str, str | None]) -> None:
    assert not verify_token(b"secret", token, *claim, now=0)


def test_a_token_needs_its_secret() -> None:
    assert not verify_token(b"other", token, "d-1", "v-1", "quiz", now=0)


def test_a_token_expires_at_its_instant() -> None:
    assert not verify_token(b"secret", token, "d-1", "v-1", "quiz", now=2_000)


def test_an_expiry_cannot_be_prolonged() -> None:
    assert not verify_token(b"secret", token.replace("2000", "9000"), "d-1", "v-1", "quiz", now=0)


def test_no_ask_is_not_an_ask_without_a_name() -> None:
    nothing = decision_token(b"secret", "d-1", None, None, 2_000)
    assert verify_token(b"secret", nothing, "d-1", None, None, now=0)
    assert not verify_token(b"secret", nothing, "d-1", "", "", now=0)


@pytest.mark.parametrize(
    "forged",
    ["", ".", "2000", "2000.", f" {token}", f"{token}=", f"0{token}", f"+{token}", "²." + "a" * 43, "9" * 9_999],
)
def test_any_other_text_is_refused_without_an_error(forged: str) -> None:
    assert not verify_token(b"secret", forged, "d-1", "v-1", "quiz", now=0)


@settings(max_examples=100)
@given(forged=st.text(st.characters(exclude_categories=()), max_size=90))
def test_no_text_at_all_makes_the_check_fail_with_an_error(forged: str) -> None:
    assert not verify_token(b"secret", forged, "d-1", "v-1", "quiz", now=0)
