import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.gate import (
    ASSUMED_EFFECT,
    TOTAL_ALPHA,
    Evidence,
    Floors,
    alpha_at,
    judge,
    visitors_needed,
)
from training.intervals import Interval
from training.sequences import rate_difference

NUMBERS = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.floats(-1, 1))
INTERVALS = st.builds(Interval, NUMBERS, NUMBERS, NUMBERS, st.integers(0, 10**6))


def evidence(difference=(0.011, 0.004, 0.018), **fields):
    usual = {
        "difference_at": lambda level: Interval(*difference, 9_000, level),
        "candidate": Interval(0.041, 0.034, 0.049, 9_000),
        "incumbent": Interval(0.030, 0.026, 0.034, 9_000),
        "effective_sample_size": 3_100.0,
        "effective_conversions": 120.0,
        "max_weight": 14.0,
        "n_episodes": 9_000,
        "removed_mass": 0.0,
        "has_propensities": True,
        "visitors_per_day": 1_000.0,
    }
    return Evidence(**{**usual, **fields})


def answer(difference=(0.011, 0.004, 0.018), **fields):
    return judge(evidence(difference, **fields), look=1, has_champion=True).answer


def test_all_looks_together_spend_at_most_2_percent():
    assert sum(alpha_at(look) for look in range(1, 10_000)) <= TOTAL_ALPHA
    assert math.fsum(alpha_at(look) for look in range(1, 10**6)) == pytest.approx(TOTAL_ALPHA, rel=1e-5)
    assert alpha_at(1) == pytest.approx(0.0121585, rel=1e-5)


def test_a_look_before_the_first_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        alpha_at(0)


@pytest.mark.parametrize("look", [1, 2, 30])
def test_the_difference_is_asked_for_with_the_looks_error_on_each_side(look):
    asked = []

    def difference_at(level):
        asked.append(level)
        return Interval(0.01, 0.001, 0.02, 10, level)

    verdict = judge(evidence(difference_at=difference_at), look=look, has_champion=False)
    assert asked == [1 - 2 * alpha_at(look)]
    assert (verdict.look, verdict.alpha, verdict.difference.level) == (look, alpha_at(look), asked[0])


def test_the_three_answers():
    assert answer((0.011, 0.004, 0.018)) == "better"
    assert answer((-0.011, -0.018, -0.004)) == "worse"
    assert answer((0.004, -0.003, 0.011)) == "not enough evidence"


@pytest.mark.parametrize("difference", [(0.01, 0.0, 0.02), (0.0, 0.0, 0.0), (-0.01, -0.02, 0.0)])
def test_a_bound_at_0_decides_nothing(difference):
    assert answer(difference) == "not enough evidence"


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"effective_sample_size": 29.9}, "29.9"),
        ({"effective_sample_size": None}, "unknown number of episodes"),
        ({"removed_mass": 0.051}, "5.1 %"),
        ({"removed_mass": math.nan}, "unknown share"),
        ({"has_propensities": False}, "--force or a trial"),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_weak_evidence_is_believed_in_neither_direction(fields, word, sign):
    difference = (sign * 0.011, min(sign * 0.004, sign * 0.018), max(sign * 0.004, sign * 0.018))
    verdict = judge(evidence(difference, **fields), look=1, has_champion=True)
    assert verdict.answer == "not enough evidence"
    assert word in verdict.text
    assert word in verdict.to_tags()["gate_reason"]


@pytest.mark.parametrize("conversions", [9.9, 0.0, None, math.nan])
def test_a_gain_on_a_handful_of_conversions_is_no_promotion(conversions):
    assert answer(effective_conversions=conversions) == "not enough evidence"
    assert answer((-0.011, -0.018, -0.004), effective_conversions=conversions) == "worse"


def test_evidence_at_its_floors_counts():
    assert answer(effective_sample_size=30, effective_conversions=10, removed_mass=0.05) == "better"
    floors = Floors(effective_conversions=200)
    assert judge(evidence(), look=1, has_champion=True, floors=floors).answer == "not enough evidence"


@pytest.mark.parametrize("value", [None, math.nan])
def test_no_estimate_is_said_and_not_counted_as_0(value):
    nothing = Interval(value, None, None, 50, 0.95, "no reward was matched")
    verdict = judge(evidence(difference_at=lambda _: nothing, candidate=nothing), look=1, has_champion=False)
    assert verdict.answer == "not enough evidence"
    assert verdict.reasons[0] == "no reward was matched"
    assert verdict.to_tags()["value"] == "unknown"


def test_swapping_candidate_and_incumbent_swaps_the_answer():
    def both(control, challenger):
        gap = lambda level: rate_difference(control, challenger, alpha=1 - level)  # noqa: E731
        return answer(difference_at=gap)

    assert (both((90, 3000), (180, 3000)), both((180, 3000), (90, 3000))) == ("better", "worse")
    assert both((90, 3000), (95, 3000)) == both((95, 3000), (90, 3000)) == "not enough evidence"


def test_later_looks_ask_for_more():
    def at(look):
        gap = lambda level: rate_difference((90, 3000), (145, 3000), alpha=1 - level)  # noqa: E731
        return judge(evidence(difference_at=gap), look=look, has_champion=True)

    lows = [at(look).difference.low for look in (1, 2, 20)]
    assert lows[0] > lows[1] > lows[2]
    assert (at(1).answer, at(20).answer) == ("better", "not enough evidence")


def test_the_trial_that_would_settle_it_has_share_visitors_and_days():
    trial = judge(evidence((0.004, -0.003, 0.011)), look=1, has_champion=True).trial
    assert (trial.share, trial.is_assumed) == (0.1, False)
    assert trial.relative_effect == pytest.approx(0.041 / 0.030 - 1)
    assert trial.size == visitors_needed(0.030, trial.relative_effect, 0.1)
    assert trial.days == math.ceil(trial.size.total / 1_000)


def test_without_a_champion_half_of_the_visitors_try_it():
    verdict = judge(evidence((0.004, -0.003, 0.011), visitors_per_day=None), look=1, has_champion=False)
    assert (verdict.trial.share, verdict.trial.days) == (0.5, None)
    assert f"about {verdict.trial.size.challenger:,} visitors with the challenger" in verdict.text


@pytest.mark.parametrize(
    ("candidate", "effect", "is_assumed"), [(0.5, 1.0, False), (0.0301, 0.1, False), (0.02, ASSUMED_EFFECT, True)]
)
def test_unlikely_effects_are_not_what_a_trial_is_planned_for(candidate, effect, is_assumed):
    wide = evidence((0.004, -0.003, 0.011), candidate=Interval(candidate, 0.0, 0.9, 9_000))
    trial = judge(wide, look=1, has_champion=True).trial
    assert (trial.relative_effect, trial.is_assumed) == (effect, is_assumed)


def test_visitors_for_a_trial_on_values_cannot_be_said():
    verdict = judge(evidence((0.4, -0.3, 1.1), reward="value"), look=1, has_champion=True)
    assert verdict.trial.size is None
    assert "cannot be said" in verdict.text


def test_texts_hold_the_numbers_and_their_uncertainty():
    better = judge(evidence(), look=3, has_champion=True).text
    for part in ("4.1 % (3.4 to 4.9)", "3.0 % (2.6 to 3.4)", "1.1 points more (0.4 to 1.8", "look 3", "3,100"):
        assert part in better
    worse = judge(evidence((-0.011, -0.018, -0.004)), look=1, has_champion=True).text
    assert "1.1 points less (0.4 to 1.8" in worse


def test_tags_are_strings():
    assert judge(evidence(), look=1, has_champion=True).to_tags() == {
        "gate": "better",
        "gate_reason": "the whole interval of the difference is above 0",
        "value": "0.041",
        "value_low": "0.034",
        "value_high": "0.049",
    }


@given(INTERVALS, INTERVALS, INTERVALS, NUMBERS, NUMBERS, st.sampled_from(["conversion", "value"]))
@settings(max_examples=60, deadline=None)
def test_whatever_estimators_return_no_nan_comes_out(difference, candidate, incumbent, number, other, reward):
    verdict = judge(
        evidence(
            difference_at=lambda _: difference,
            candidate=candidate,
            incumbent=incumbent,
            effective_sample_size=number,
            effective_conversions=other,
            removed_mass=0.0 if other is None else other,
            visitors_per_day=number,
            reward=reward,
        ),
        look=2,
        has_champion=True,
    )
    json.dumps(verdict.to_json(), allow_nan=False)
    told = " ".join([verdict.text, *verdict.to_tags().values()]).split()
    assert not {"nan", "inf", "None"} & {word.strip("(),;%").lstrip("-") for word in told}
