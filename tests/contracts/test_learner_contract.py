"""What every learner keeps, whatever it learns."""

from dataclasses import replace
from functools import cache

import numpy as np
import polars as pl
import pytest

from benchmarks.learning.logs import played_log
from benchmarks.learning.play import bundle_decider, play
from data.arrivals import arrange
from data.errors import BadInput
from data.simulator.truth import value_of_random
from policy.explorers import Greedy
from policy.policies import Model, Uniform
from policy.scorers import load_scorer
from tests.training.learners.worlds import DAY_US, ladder, lessons, table
from training.learners.protocol import Learned
from training.learners.registry import LEARNERS, learn, learner
from training.table import table_of

every_learner = pytest.mark.parametrize("name", LEARNERS)


@cache
def made(name: str) -> Learned:
    return learn(name, shared())


@cache
def shared():
    return lessons(table())


def scores_of(scorer, of, spec):
    return scorer.score(of.candidates_with_features(spec))


def odd(change, n=400, **catalog):
    """The table of a log that something was done to."""
    world = ladder(**catalog)
    frame = change(played_log(world, Uniform(), n, 4, label="baseline"))
    now = int(frame["at"].max().timestamp() * 1e6) + 30 * DAY_US
    return table_of(arrange(frame, world.catalog), world.catalog, now=now)


@every_learner
def test_it_beats_the_random_policy(name):
    world = ladder()
    policy = Model(made(name).scorer, Greedy())
    value, error = play(world, bundle_decider(policy, shared().spec), 10_000, seed=3).rate
    assert value - 3 * error > value_of_random(world)


@every_learner
def test_the_same_lessons_make_the_same_bytes_whatever_the_threads(name):
    first, second = lessons(table(600)), replace(lessons(table(600)), threads=2)
    assert learner(name).fit(first).scorer.to_files() == learner(name).fit(second).scorer.to_files()


@every_learner
def test_a_scorer_read_back_scores_the_same(name):
    scorer, catalog = made(name).scorer, ladder().catalog
    again = load_scorer(scorer.name, scorer.to_files(), catalog)
    before, after = (scores_of(one, table(200, seed=6), shared().spec) for one in (scorer, again))
    assert np.array_equal(before.values, after.values)
    assert np.array_equal(before.p_accepts, after.p_accepts)


@every_learner
def test_one_decision_alone_scores_as_among_many(name):
    scorer, fresh = made(name).scorer, table(200, seed=6)
    whole = fresh.candidates_with_features(shared().spec)
    values = scorer.score(whole).values
    for row in range(0, 60, 7):
        rows = slice(whole.offsets[row], whole.offsets[row + 1])
        alone = replace(
            whole,
            offsets=np.array([0, rows.stop - rows.start]),
            asks=whole.asks[rows],
            baseline=np.where(whole.baseline[[row]] < 0, -1, whole.baseline[[row]] - rows.start),
            direct=np.where(whole.direct[[row]] < 0, -1, whole.direct[[row]] - rows.start),
            features=whole.features[rows],
        )
        assert np.array_equal(scorer.score(alone).values, values[rows])


@every_learner
def test_only_the_given_steps_and_episodes_teach(name):
    of = table(900)
    mine = of.episodes.episodes["owner"].to_numpy() % 2 == 0
    given = lessons(of)
    given = replace(given, episodes=given.episodes & mine, steps=given.steps & mine[of.episode], learned={})
    others = ~mine[of.episode]
    answers = np.where(others, 0, of.answers)
    rewards = of.episodes.episodes.with_columns(pl.when(pl.Series(mine)).then("reward").otherwise(1.0).alias("reward"))
    spoiled = replace(of, answers=answers, episodes=replace(of.episodes, episodes=rewards))
    files = [learner(name).fit(replace(given, table=one, learned={})).scorer.to_files() for one in (of, spoiled)]
    assert files[0] == files[1]


ODD = {
    "a dozen visitors": (lambda frame: frame, {"n": 12}),
    "no answer but silence": (
        lambda frame: frame.filter(~pl.col("type").is_in(["accepted", "declined", "converted"])),
        {},
    ),
    "no signals": (lambda frame: frame.filter(pl.col("type") != "signal"), {}),
    "an ask that was never shown": (
        lambda frame: frame.filter((pl.col("ask_id") != "video") | pl.col("ask_id").is_null()),
        {},
    ),
    "one decision a visitor": (
        lambda frame: frame.filter(
            (pl.col("type") != "shown") | (pl.col("type").cum_count().over("visitor_id", "type") == 1)
        ),
        {},
    ),
    "nothing may be asked": (lambda frame: frame, {"allow_nothing": True}),
}


@pytest.mark.parametrize("case", ODD)
@every_learner
def test_odd_logs_make_plain_numbers(name, case):
    change, options = ODD[case]
    of = odd(change, **options)
    given = lessons(of)
    scorer = learner(name).fit(given).scorer
    scores = scores_of(scorer, of, given.spec)
    assert np.isfinite(scores.values).all()
    assert np.isfinite(scores.p_accepts).all()


@every_learner
def test_values_in_money_are_learned_too(name):
    given = lessons(table(800, reward="value"))
    scores = scores_of(learner(name).fit(given).scorer, given.table, given.spec)
    assert np.isfinite(scores.values).all()
    assert scores.values.max() > 1.0


def test_an_unknown_learner_is_refused_by_name():
    with pytest.raises(BadInput, match=r"there is no learner 'best'; allowed: planned, cautious, behavior"):
        learner("best")
