import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.clock import from_datetime
from tests.episode_logs import CATALOG, accepted, episodes_in, minute, row, shown
from training.trial import Arm, Horizon, TrialArms, judge_trial, trial_arms

T0 = from_datetime(minute(0))
BY_LEFT = replace(CATALOG, settles="left")


def arm(n_converted, n, label="arm", worth=1.0):
    done = np.arange(n) < n_converted
    return Arm(label, done, done * worth)


def verdict(control, challenger, **fields):
    return judge_trial(arm(*control), arm(*challenger), **{"share": 0.5, **fields})


def arms_of(rows, champion="7", started_at=T0, catalog=CATALOG, now=1_000, **fields):
    return trial_arms(episodes_in(rows, catalog, now=now), champion, "8", started_at, **fields)


def counts(arms: TrialArms):
    return [(one.n_converted, one.n) for one in (arms.control, arms.challenger)]


def served(visitor, policy, at=1.0, buys=False, **fields):
    first = shown(at, "quiz", visitor, policy=policy, **fields)
    return [first, row("converted", at + 1, visitor)] if buys else [first]


def test_visitors_are_compared_by_arm():
    rows = served("a", "champion:7") + served("b", "challenger:8", buys=True) + served("c", "champion:7", buys=True)
    arms = arms_of(rows + served("d", "champion:7"))
    assert counts(arms) == [(1, 3), (1, 1)]
    assert (arms.control.label, arms.challenger.label) == ("champion:7", "challenger:8")


def test_without_a_champion_day_zero_is_the_control():
    rows = served("a", "baseline") + served("b", "challenger:8") + served("c", "champion:7")
    arms = arms_of(rows, champion=None)
    assert (counts(arms), arms.left_out) == ([(0, 1), (0, 1)], {"another version": 1})


def test_everybody_else_is_left_out_and_counted_by_the_first_step():
    rows = [
        *served("a", "fallback"),
        *served("b", "holdout:baseline"),
        *served("c", "challenger:6"),
        *served("d", "baseline", learn=False),
        *served("e", "champion:7"),
    ]
    arms = arms_of(rows)
    assert counts(arms) == [(0, 1), (0, 0)]
    assert arms.left_out == {"fallback": 1, "not to be learned from": 1, "holdout": 1, "another version": 1}


@pytest.mark.parametrize("later", [{"policy": "fallback"}, {"policy": "champion:7"}, {"learn": False}])
@pytest.mark.parametrize("buys", [False, True])
def test_what_serves_later_steps_neither_moves_nor_removes_a_visitor(later, buys):
    second = shown(3, "save", "a", **{"policy": "challenger:8", **later})
    arms = arms_of([shown(1, "quiz", "a", policy="challenger:8"), second, *([accepted(4, "buy", "a")] if buys else [])])
    assert (counts(arms), arms.n_mixed, arms.left_out) == ([(0, 0), (int(buys), 1)], 1, {})


def test_a_visitor_counts_once_by_the_first_episode_under_the_trial():
    rows = served("a", "champion:7", at=1) + served("a", "champion:7", at=150) + served("a", "challenger:8", 300, True)
    assert counts(arms_of(rows)) == [(0, 1), (0, 0)]
    assert counts(arms_of(rows, started_at=from_datetime(minute(200)))) == [(0, 0), (1, 1)]


def test_an_episode_that_ran_when_the_trial_began_does_not_count():
    rows = [*served("a", "champion:7", at=1), shown(60, "save", "a", policy="challenger:8")]
    assert counts(arms_of(rows, started_at=from_datetime(minute(30)))) == [(0, 0), (0, 0)]


def test_merged_visitors_are_one_person():
    rows = [
        *served("a", "champion:7", at=1),
        *served("b", "challenger:8", at=2),
        row("merged", 5, "a", from_id="b"),
    ]
    assert counts(arms_of(rows)) == [(0, 1), (0, 0)]


def test_young_episodes_wait_whatever_their_outcome():
    rows = served("a", "champion:7", at=1) + served("b", "champion:7", 50, True) + served("c", "challenger:8", 51)
    arms = arms_of(rows, now=120)
    assert (counts(arms), arms.n_waiting) == ([(0, 1), (0, 0)], 2)


def test_with_settles_left_nobody_overtakes_an_unsettled_visitor():
    rows = [
        *served("a", "champion:7", at=1),
        row("left", 5, "a"),
        *served("b", "challenger:8", at=2),
        *served("c", "champion:7", 3, True),
    ]
    arms = arms_of(rows, catalog=BY_LEFT)
    assert (counts(arms), arms.n_waiting) == ([(0, 1), (0, 0)], 2)
    patient = arms_of(rows, catalog=BY_LEFT, patience_s=500 * 60)
    assert (counts(patient), patient.n_waiting) == ([(1, 2), (0, 1)], 0)


def test_traffic_is_measured_over_the_trial():
    rows = [step for k in range(10) for step in served(f"v{k}", "champion:7", at=k)]
    assert arms_of(rows, now=2 * 1_440).visitors_per_day == pytest.approx(5.0)
    assert arms_of(rows, now=600).visitors_per_day is None
    assert arms_of([]).visitors_per_day is None


def test_a_version_is_not_tried_against_itself():
    with pytest.raises(ValueError, match="against itself"):
        arms_of([], champion="8")


def test_rewards_and_visitors_must_pair():
    with pytest.raises(ValueError, match="one reward per visitor"):
        Arm("a", np.zeros(2, dtype=bool), np.zeros(3))


def test_a_clear_winner_and_a_clear_loser_end_the_trial():
    better, worse = verdict((48, 1600), (112, 1520)), verdict((112, 1520), (48, 1600))
    assert (better.answer, better.is_over, worse.answer, worse.is_over) == ("better", True, "worse", True)
    assert worse.difference.low == pytest.approx(-better.difference.high, abs=1e-8)
    # "less" tells its bounds the other way round, so that both read from small to large
    assert "4.4 points less (1.6 to 7.1, 95 % interval, valid at any look)" in worse.text


def test_an_open_trial_says_what_it_still_takes():
    open_ = verdict((30, 1000), (40, 1000), horizon=Horizon(visitors_per_day=500))
    assert (open_.answer, open_.is_over) == ("not enough evidence", False)
    assert open_.more_days == math.ceil(open_.more / 500)
    assert f"about {open_.more:,} more visitors (about {open_.more_days:,} days)" in open_.text
    assert f"ends without a winner after {open_.most_visitors:,}" in open_.text


def test_a_larger_difference_takes_fewer_visitors():
    assert verdict((30, 1000), (40, 1000)).more < verdict((30, 1000), (33, 1000)).more


def test_a_trial_without_a_difference_ends_and_is_not_better():
    ended = verdict((900, 30_000), (903, 30_000))
    assert (ended.answer, ended.is_over, ended.more) == ("not enough evidence", True, None)
    assert ended.text.startswith("No difference found: after 60,000 visitors")


def test_an_upper_bound_below_what_is_interesting_ends_the_trial_before_the_cap():
    ended = verdict((300, 2_000), (260, 2_000))
    assert (ended.answer, ended.is_over) == ("not enough evidence", True)
    assert 0 < ended.difference.high < 0.2 * 0.15
    assert ended.most_visitors > 4_000


def test_an_end_set_by_hand_is_kept_and_named():
    ended = verdict((3, 100), (4, 100), horizon=Horizon(most_visitors=200))
    assert ended.is_over
    assert "ends at 200 visitors, as it was set up" in ended.text


def test_an_empty_arm_is_told_in_words():
    empty = verdict((0, 0), (0, 4))
    assert (empty.answer, empty.is_over, empty.difference.value) == ("not enough evidence", False, None)
    assert "no visitor in the control arm yet" in empty.text


def test_values_are_judged_with_their_caveat():
    values = judge_trial(arm(300, 3000, worth=5.0), arm(520, 3000, worth=5.0), share=0.5, reward="value")
    assert values.answer == "better"
    assert "asymptotic" in values.text
    still = judge_trial(arm(300, 3000, worth=5.0), arm(310, 3000, worth=5.0), share=0.5, reward="value")
    assert still.most_visitors > 6_000
    assert still.more > 0
    over = judge_trial(arm(9_000, 90_000, worth=5.0), arm(9_010, 90_000, worth=5.0), share=0.5, reward="value")
    assert (over.answer, over.is_over) == ("not enough evidence", True)


@pytest.mark.parametrize("fields", [{"interesting": 0.0}, {"interesting": math.inf}, {"power": 1.0}])
def test_impossible_horizons_are_refused(fields):
    with pytest.raises(ValueError, match="must be"):
        Horizon(**fields)


@given(st.data(), st.sampled_from(["conversion", "value"]), st.sampled_from([0.1, 0.5]))
@settings(max_examples=20, deadline=None)
def test_verdicts_are_json_without_nan(data, reward, share):
    pairs = []
    for _ in range(2):
        n = data.draw(st.integers(0, 300))
        pairs.append((data.draw(st.integers(0, n)), n))
    said = verdict(*pairs, reward=reward, share=share)
    json.dumps(said.to_json(), allow_nan=False)
    assert "nan" not in said.text.replace("not enough", "")
    assert "None" not in said.text
