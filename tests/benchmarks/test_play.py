"""A world played in lock-step is the world: its conversion is the exact one, its states are those of the fold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.learning.play import Arm, Played, blank, bundle_decider, draw, encoded, play
from data.simulator.truth import value_of_direct, value_of_nothing, value_of_random, value_of_sequence
from data.simulator.world import World
from data.simulator.worlds import world
from features.inputs import InputCodes
from features.spec import spec_of
from policy.candidates import NOTHING, Candidates
from policy.crowd import Crowd
from policy.policies import Always, Uniform

N = 20_000
SEED = 5


def standard_errors(played: Played, truth: float) -> float:
    """How far a played conversion is from the truth."""
    return abs(played.rate[0] - truth) / float(np.sqrt(truth * (1.0 - truth) / len(played.is_converted)))


def one_visit() -> World:
    """A world whose exact value under random asks is a matter of a second."""
    found = world("skincare")
    return replace(found, name="one_visit", leaving=replace(found.leaving, max_visits=1))


@pytest.mark.parametrize("name", ["skincare", "no_effects"])
def test_baseline_direct_and_nothing_convert_as_the_exact_truth_says(name):
    place = world(name)
    truths = {
        "baseline": value_of_sequence(place, place.catalog.baseline),
        "direct": value_of_direct(place),
        "none": value_of_nothing(place),
    }
    for what, truth in truths.items():
        played = play(place, bundle_decider(Always(what)), N, SEED)  # type: ignore[arg-type]
        assert standard_errors(played, truth) < 4.0, (what, played.rate, truth)


def test_random_asks_convert_as_the_exact_truth_says():
    place = one_visit()
    played = play(place, bundle_decider(Uniform()), N, SEED)
    assert standard_errors(played, value_of_random(place)) < 4.0


def test_random_asks_where_asks_have_no_effect_convert_as_none_do():
    place = world("no_effects")
    played = play(place, bundle_decider(Uniform()), N, SEED)
    assert standard_errors(played, value_of_nothing(place)) < 4.0


def test_what_is_counted_fits_together():
    place = world("skincare")
    played = play(place, bundle_decider(Uniform()), 3_000, SEED)
    limit = place.catalog.limits.max_asks_per_session or 0
    assert (played.n_asks <= played.n_steps).all()
    assert (played.n_asks <= limit * played.n_visits).all()
    assert (played.n_steps <= place.leaving.max_steps * played.n_visits).all()
    assert played.n_visits.min() >= 1
    assert played.n_visits.max() == place.leaving.max_visits
    assert played.is_converted[played.is_late].all()
    assert 0 < played.is_late.sum() < played.is_converted.sum()
    assert np.bincount(played.types) / 3_000 == pytest.approx([t.share for t in place.types], abs=0.05)


def test_the_same_seed_is_the_same_play():
    first, again, other = (play(world("skincare"), bundle_decider(Uniform()), 500, seed) for seed in (1, 1, 2))
    assert (first.n_asks == again.n_asks).all()
    assert (first.is_converted == again.is_converted).all()
    assert (first.n_asks != other.n_asks).any()


def test_nothing_asks_nothing_and_direct_asks_for_nothing_but_the_goal():
    """The goal is far beyond the effort step of a visitor never seen: only the exemption makes it possible."""
    place = world("skincare")
    assert play(place, bundle_decider(Always("none")), 200, SEED).n_asks.sum() == 0
    catalog, new = place.catalog, crowd_of(place, 3)
    goal = catalog.position[catalog.goal]
    assert goal not in Arm(catalog, bundle_decider(Uniform())).candidates(new).asks
    candidates = Arm(catalog, bundle_decider(Always("direct"))).candidates(new)
    assert candidates.asks[candidates.direct].tolist() == [goal] * 3


def test_a_baseline_that_is_not_possible_asks_nothing():
    """Its only ask is out of reach at first; other asks are possible, and are not shown."""
    place = world("skincare")
    catalog = replace(place.catalog, baseline=(place.catalog.goal,))
    hopeless = replace(place, name="hopeless", catalog=catalog)
    candidates = Arm(catalog, bundle_decider(Always("baseline"))).candidates(crowd_of(hopeless, 2))
    assert candidates.baseline.tolist() == [-1, -1]
    assert (candidates.asks == NOTHING).sum() == 2
    assert play(hopeless, bundle_decider(Always("baseline")), 100, SEED).n_asks.sum() == 0


def test_features_are_those_of_a_request():
    place = world("skincare")
    spec, crowds = spec_of(place.catalog), []
    uniform = bundle_decider(Uniform())

    def decide(candidates: Candidates, crowd: Crowd) -> np.ndarray:
        crowds.append(crowd)
        return uniform(candidates, crowd)

    play(place, decide, 100, SEED)
    codes = InputCodes(spec)
    for crowd in crowds:
        columns = [crowd.context, crowd.answers]
        contexts, answers = ([{k: c[i] for k, c in by.items()} for i in range(len(crowd))] for by in columns)
        right = codes.encode(contexts, answers, crowd.channel.tolist(), crowd.now.tolist())
        found = encoded(spec, crowd)
        for name in ("channel", "context", "answers", "now"):
            assert np.array_equal(getattr(found, name), getattr(right, name), equal_nan=True), name
    assert any((crowd.answers["concern"] != None).any() for crowd in crowds)  # noqa: E711 - elementwise


def test_asks_are_drawn_with_their_probabilities():
    n = 30_000
    p = np.tile([0.2, 0.0, 0.8, 0.5, 0.5], n)
    offsets = np.concatenate([[0], np.cumsum(np.tile([3, 2], n))])
    rows = np.full(2 * n, -1)
    candidates = Candidates(offsets, np.tile([0, 1, NOTHING, 4, 5], n), rows, rows)
    asks, propensity = draw(candidates, p, np.random.default_rng(1))
    assert np.isin(asks[::2], [0, NOTHING]).all()
    assert np.isin(asks[1::2], [4, 5]).all()
    assert (asks[::2] == 0).mean() == pytest.approx(0.2, abs=0.01)
    assert np.unique(propensity[::2][asks[::2] == NOTHING]).tolist() == [0.8]


def crowd_of(place: World, n: int) -> Crowd:
    """Visitors never seen."""
    catalog, now = place.catalog, np.full(n, 1)
    withheld = np.zeros((n, len(catalog.asks)), dtype=np.bool_)
    return Crowd(catalog, blank(n, catalog), now, np.full(n, "web", dtype=object), {}, {}, withheld)
