"""Policies: day zero, fixed arms, models; the same bits for one request and for a log."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.domain import Exploration
from features.state import AskMemory, JourneyState
from policy.baseline import baseline_ask
from policy.candidates import NOTHING, Candidates
from policy.explorers import Epsilon, Greedy, InverseGap
from policy.policies import Always, DayZero, Model, Policy, Uniform
from policy.scorers import ConstantScorer
from tests.policy.groups import N_ASKS, exact_sum, groups, joined, one_group, shares
from tests.policy.guardrail_cases import a_catalog, an_ask

scorer = ConstantScorer(
    tuple(f"ask-{i}" for i in range(N_ASKS)),
    values={f"ask-{i}": (i * 7 % 11) / 110 for i in range(N_ASKS)},
    default_p_accept=0.3,
    nothing=0.03,
)
explorers = st.one_of(
    st.builds(Greedy, shares), st.builds(Epsilon, shares, shares), st.builds(InverseGap, shares, st.just(4), shares)
)
policies = st.one_of(st.builds(DayZero, shares), st.just(Uniform()), st.builds(Model, st.just(scorer), explorers))
modest = settings(max_examples=300, deadline=None)


def probabilities(policy: Policy, candidates: Candidates) -> list[float]:
    return policy.distribution(candidates).probabilities.tolist()


@modest
@given(policy=policies, batch=st.lists(groups(), max_size=6))
def test_a_batch_is_to_the_last_bit_what_its_groups_are_alone(policy: Policy, batch: list[Candidates]) -> None:
    alone = [probability for group in batch for probability in probabilities(policy, group)]
    assert probabilities(policy, joined(batch)) == alone


@modest
@given(policy=policies, group=groups())
def test_a_distribution_sums_to_1(policy: Policy, group: Candidates) -> None:
    assert math.isclose(exact_sum(policy.distribution(group).probabilities), 1.0, rel_tol=1e-14)


def test_a_long_log_is_what_its_decisions_are_alone() -> None:
    rng = np.random.default_rng(7)
    batch = [one_group(int(n), baseline=int(n) - 1) for n in rng.integers(1, N_ASKS, 3_000)]
    for policy in (DayZero(0.5), Model(scorer, InverseGap(0.05, 4, 0.05))):
        alone = [probability for group in batch for probability in probabilities(policy, group)]
        assert probabilities(policy, joined(batch)) == alone


def test_day_zero_spreads_its_share_and_leaves_the_rest_to_the_baseline() -> None:
    assert probabilities(DayZero(0.5), one_group(5, baseline=2)) == pytest.approx([0.1, 0.1, 0.6, 0.1, 0.1])


def test_day_zero_without_a_baseline_ask_is_uniform() -> None:
    assert probabilities(DayZero(0.5), one_group(3, baseline=-1)) == [1 / 3] * 3


def test_day_zero_knows_asking_nothing_as_a_candidate() -> None:
    group = Candidates(np.array([0, 2]), np.array([4, NOTHING]), np.array([0]), np.array([-1]))
    assert probabilities(DayZero(0.5), group) == [0.75, 0.25]


def test_a_forced_decision_is_certain() -> None:
    nothing = Candidates(np.array([0, 1]), np.array([NOTHING]), np.array([-1]), np.array([-1]))
    for policy in (DayZero(0.3), Uniform(), Always("none"), Always("baseline"), Model(scorer, Greedy(0.3))):
        assert probabilities(policy, nothing) == [1.0]


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_day_zero_refuses_what_is_no_share(share: float) -> None:
    with pytest.raises(ValueError, match="share must be from 0 to 1"):
        DayZero(share)


def test_fixed_arms_are_certain_of_their_ask() -> None:
    group = one_group(4, baseline=1, direct=3)
    assert probabilities(Always("baseline"), group) == [0.0, 1.0, 0.0, 0.0]
    assert probabilities(Always("direct"), group) == [0.0, 0.0, 0.0, 1.0]


def test_fixed_arms_ask_nothing_where_their_ask_is_not_there() -> None:
    group = Candidates(np.array([0, 2]), np.array([4, NOTHING]), np.array([-1]), np.array([0]))
    assert probabilities(Always("baseline"), group) == [0.0, 1.0]
    assert probabilities(Always("direct"), group) == [1.0, 0.0]
    assert probabilities(Always("none"), group) == [0.0, 1.0]


def test_fixed_arms_decide_each_group_for_itself() -> None:
    with_nothing = Candidates(np.array([0, 2]), np.array([4, NOTHING]), np.array([-1]), np.array([0]))
    batch = joined([one_group(3, baseline=2), with_nothing, one_group(2, baseline=0)])
    assert probabilities(Always("baseline"), batch) == [0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0]


def test_asking_nothing_must_be_a_candidate_where_an_arm_asks_nothing() -> None:
    batch = joined([one_group(2, baseline=0), one_group(3, baseline=-1)])
    with pytest.raises(ValueError, match="baseline asks nothing in group 1"):
        Always("baseline").distribution(batch)


@pytest.mark.parametrize("policy", [DayZero(0.5), Always("baseline")])
def test_a_baseline_row_of_another_group_is_refused(policy: Policy) -> None:
    batch = Candidates(np.array([0, 2, 4]), np.arange(4), np.array([2, 1]), np.array([-1, -1]))
    with pytest.raises(ValueError, match="lie in their group"):
        policy.distribution(batch)


def test_no_decisions_have_no_probabilities() -> None:
    for policy in (DayZero(0.5), Uniform(), Always("none"), Model(scorer, InverseGap(0.05, 4))):
        assert probabilities(policy, joined([])) == []


def test_a_model_tells_its_scores_and_the_others_have_none() -> None:
    scores = Model(scorer, Greedy()).distribution(one_group(2)).scores
    assert scores is not None
    assert scores.values.tolist() == [0.0, 7 / 110]
    assert scores.p_accepts.tolist() == [0.3, 0.3]
    assert DayZero(0.5).distribution(one_group(2)).scores is None


def test_a_model_follows_its_asks_into_another_catalog() -> None:
    model = Model(ConstantScorer(("a", "b"), {"a": 0.1, "b": 0.9}), Greedy())
    catalog = replace(a_catalog(an_ask("b"), an_ask("new"), an_ask("a")), exploration=Exploration(floor=0.0))
    assert probabilities(model.for_catalog(catalog), one_group(3)) == [1.0, 0.0, 0.0]


def test_how_much_to_explore_is_the_catalogs_to_say() -> None:
    scorer = ConstantScorer(("a", "b"), {"a": 0.1, "b": 0.9})
    catalog = replace(a_catalog(an_ask("a"), an_ask("b")), exploration=Exploration(floor=0.2, loss=0.1))
    assert Model(scorer, Greedy(0.5)).for_catalog(catalog).explorer == Greedy(0.2)
    assert Model(scorer, InverseGap(0.9, 4)).for_catalog(catalog).explorer == InverseGap(0.1, 4, 0.2)


def test_policies_that_know_no_ask_are_the_same_for_every_catalog() -> None:
    catalog = a_catalog(an_ask("a"))
    for policy in (DayZero(0.5), Uniform(), Always("none")):
        assert policy.for_catalog(catalog) == policy


CATALOG = a_catalog(an_ask("quiz"), an_ask("guide"), an_ask("buy"))


def shown_in_episode(*ask_ids: str) -> JourneyState:
    return JourneyState(asks={ask_id: AskMemory(n_shown=1, n_shown_episode=1) for ask_id in ask_ids})


def test_the_baseline_is_the_first_eligible_ask_not_yet_shown() -> None:
    assert baseline_ask(CATALOG, shown_in_episode("quiz"), {"quiz", "guide", "buy"}) == "guide"
    assert baseline_ask(CATALOG, shown_in_episode("quiz"), ["quiz", "buy", None]) == "buy"


def test_the_baseline_begins_again_when_all_its_eligible_asks_were_shown() -> None:
    assert baseline_ask(CATALOG, shown_in_episode("quiz", "guide", "buy"), {"guide", "buy"}) == "guide"


def test_shows_of_earlier_episodes_do_not_count_for_the_baseline() -> None:
    state = JourneyState(asks={"quiz": AskMemory(n_shown=3, n_shown_episode=0)})
    assert baseline_ask(CATALOG, state, {"quiz", "guide"}) == "quiz"


def test_the_baseline_is_nothing_when_none_of_its_asks_is_eligible() -> None:
    assert baseline_ask(CATALOG, JourneyState(), {None, "other"}) is None
    assert baseline_ask(CATALOG, JourneyState(), ()) is None
