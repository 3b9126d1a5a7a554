"""Planned Q against a best policy that is known exactly, and the parts it is made of."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from benchmarks.learning.play import bundle_decider, play
from data.errors import BadInput
from data.simulator.truth import clairvoyant_value, value_of_random
from features.successors import ACCEPTED
from policy.explorers import Greedy
from policy.guardrails.registry import compile_guards
from policy.policies import Model as ModelPolicy
from tests.training.learners.worlds import ladder, lessons, table
from training.learners.donors import RETURNS, STAYS, Donors, aftermath
from training.learners.joining import joined
from training.learners.logits import Sums, Terms
from training.learners.lookahead import Model
from training.learners.planned import PlannedQ
from training.learners.responses import Encoded, Rate, answered_features, fit_responses, table_features
from training.learners.states import States
from training.learners.telling import fit_telling


@cache
def encoded():
    given = lessons(table())
    return given, Encoded.of(given.table, given.spec)


def test_planned_q_comes_near_the_best_policy_of_a_small_world():
    world, given = ladder(), lessons(table())
    learned = PlannedQ().fit(given)
    policy = ModelPolicy(learned.scorer, Greedy())
    value, error = play(world, bundle_decider(policy, given.spec), 20_000, seed=5).rate
    best = clairvoyant_value(world)
    assert value > 0.9 * best - 2 * error
    assert value > 1.5 * value_of_random(world)
    assert 0.6 * best < learned.facts["promised_value"] < 1.4 * best


def test_acceptances_are_predicted_as_often_as_they_come():
    given, view = encoded()
    responses = fit_responses(given.table, given.steps, view, given.forestry)
    fresh = table(seed=2)
    rows = np.flatnonzero(fresh.asks >= 0)
    predicted = responses.accepts.predict(table_features(fresh, rows, Encoded.of(fresh, given.spec)))
    accepted = fresh.answers[rows] == ACCEPTED
    for ask in range(len(fresh.catalog.asks)):
        mine = fresh.asks[rows] == ask
        spread = np.sqrt(0.25 / mine.sum())
        assert abs(predicted[mine].mean() - accepted[mine].mean()) < 4 * spread
    loss = -np.mean(np.log(np.where(accepted, predicted, 1 - predicted)))
    rate = accepted.mean()
    assert loss < 0.9 * -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))


def test_a_head_without_two_kinds_of_answers_is_a_rate():
    given, view = encoded()
    none = given.steps & (given.table.answers != ACCEPTED)
    responses = fit_responses(given.table, none, view, given.forestry)
    assert isinstance(responses.accepts, Rate)
    assert 0.0 < responses.accepts.value < 0.01


def test_donors_continue_as_visitors_in_such_states_do():
    given, view = encoded()
    donors = Donors.of(given.table, given.steps, view, given.forestry)
    fresh = table(seed=2)
    rows = np.flatnonzero((fresh.next_step >= 0) & (fresh.answers < 3))
    after = fresh.next_step[rows]
    rows = rows[fresh.crowd.summary.n_sessions[after] == fresh.crowd.summary.n_sessions[rows]]
    features = answered_features(fresh, rows, Encoded.of(fresh, given.spec))
    drawn = donors.draw(STAYS, features, np.random.default_rng(0))
    seen = (drawn.signals > 0)[:, 0]
    summary = fresh.crowd.summary
    truly = (summary.n_signals[fresh.next_step[rows]] > summary.n_signals[rows])[:, 0]
    many = summary.session_accepted[rows] >= 2
    assert seen[many].mean() > seen[~many].mean() + 0.1, "who accepted much trusts, and scrolls"
    for part in (many, ~many):
        assert abs(seen[part].mean() - truly[part].mean()) < 3 * np.sqrt(0.5 / part.sum())
    assert (drawn.gap > 0).all()
    assert (drawn.lead <= drawn.gap).all()


def test_without_any_continuation_the_shortest_gaps_are_taken():
    given, view = encoded()
    nobody = Donors.of(given.table, np.zeros_like(given.steps), view, given.forestry)
    answers = np.array([0, 1, 2])
    for kind, shortest in ((STAYS, 1_000_000), (RETURNS, given.table.catalog.session_gap_s * 1_000_000)):
        drawn = nobody.draw(kind, np.zeros((3, len(given.spec.names))), np.random.default_rng(0))
        assert drawn.gap.tolist() == [shortest] * 3
        assert not drawn.signals.any()
        at = 5 + nobody.thinking(answers, np.random.default_rng(0))
        assert (aftermath(answers, answers, at, drawn).next_at == at + shortest).all()


def test_what_visitors_tell_is_drawn_as_often_as_they_told_it():
    given, view = encoded()
    telling = fit_telling(given.table, given.steps, view, given.forestry)["taste"]
    assert telling.values.tolist() == ["sour", "sweet"]
    values, codes = telling.draw(np.zeros((4_000, len(given.spec.names))), np.random.default_rng(0))
    assert abs((values == "sweet").mean() - 0.5) < 0.1
    assert set(codes) == {0.0, 1.0}


def test_joined_states_are_the_states_one_after_the_other():
    given, view = encoded()
    whole = States(given.table.crowd, view.given)
    again = joined([whole.take(np.arange(50)), whole.take(np.arange(50, 120))])
    plain = whole.take(np.arange(120))
    assert len(again) == 120
    offsets = np.arange(121)
    asks = given.table.asks[:120]
    matrices = [view.columns.matrix(states.crowd.summary, states.given, offsets, asks) for states in (again, plain)]
    assert np.array_equal(*matrices, equal_nan=True)
    assert again.crowd.answers["taste"].tolist() == plain.crowd.answers["taste"].tolist()


def test_log_odds_of_an_ask_nobody_met_are_those_of_all():
    given, view = encoded()
    rows = np.flatnonzero(given.table.asks >= 0)
    features = table_features(given.table, rows, view)
    targets = (given.table.answers[rows] == ACCEPTED).astype(float)
    terms = Terms.of(features, given.forestry)
    z, asks = terms.of_rows(features), terms.asks(features)
    fitted = Sums.fit(z, asks, targets, penalty=1.0)
    assert np.isfinite(fitted.predict(z, np.full(len(z), -1))).all()
    assert np.array_equal(fitted.predict(z, np.full(len(z), 99)), fitted.predict(z, np.full(len(z), -1)))
    assert abs(fitted.predict(z, asks).mean() - targets.mean()) < 0.01


def test_nothing_to_learn_from_is_said():
    given = lessons(table())
    with pytest.raises(BadInput, match="no answered step"):
        PlannedQ().fit(replace(given, steps=np.zeros_like(given.steps)))


def test_guardrails_of_the_catalog_bound_the_plan():
    given, view = encoded()
    states = States(given.table.crowd, view.given)
    guards = compile_guards(given.table.catalog)
    model = Model(
        guards,
        view,
        fit_responses(given.table, given.steps, view, given.forestry),
        Donors.of(given.table, given.steps, view, given.forestry),
        {},
        Terms.of(table_features(given.table, np.flatnonzero(given.table.asks >= 0), view), given.forestry),
    )
    tree = model.expand(states.take(np.arange(300)), np.random.default_rng(0))
    order = given.table.catalog.position["order"]
    accepted = tree.choices.candidates.asks[tree.accepted.rows]
    assert (accepted != order).all(), "the goal's acceptance ends it"
    for branch in (tree.accepted, tree.refused):
        following = branch.stay.choices.candidates
        roots = tree.choices.candidates.asks[branch.rows[branch.stay.rows]]
        again = following.asks == roots[following.groups]
        assert not (again & (following.asks != order) & branch.stay.choices.has_ask[following.groups]).any()
