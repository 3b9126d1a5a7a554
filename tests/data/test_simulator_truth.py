"""Truth is exact: it equals what is counted out by hand, and what simulation comes to."""

from dataclasses import replace
from functools import lru_cache
from itertools import permutations

import pytest

from data.domain import Limits
from data.errors import BadInput
from data.simulator import truth
from data.simulator.search import best_sequence
from data.simulator.sites import DirectSite, FixedSequenceSite, RandomSite
from data.simulator.tables import sigmoid, tables_of
from data.simulator.world import N_FATIGUE
from data.simulator.worlds import world
from tests.data.test_simulator_worlds import tiny

BEST_OF_SKINCARE = ("purchase", "routine_guide", "ingredient_check", "email_tips", "wishlist", "concern_poll")


def counted_out(place, sequence):
    """The value of a list by following every possible visitor, one branch after the other."""
    rules, tables, leaving = truth.exact_rules(place), tables_of(place), place.leaving
    asks = [place.catalog.position[ask] for ask in sequence]
    hidden = lambda trust, fatigue: trust * N_FATIGUE + fatigue  # noqa: E731

    def chosen(memory):
        possible = [ask for ask in asks if ask in rules.eligible(memory)]
        new = [ask for ask in possible if not rules.n_shown(memory, ask)]
        return (new or possible or [None])[0]

    @lru_cache(maxsize=None)
    def request(kind, memory, visit, step, trust, fatigue):
        ask = chosen(memory)
        if ask is None:
            tired = max(0, fatigue - 1)
            rest = place.dynamics.rest
            return rest * ended(kind, memory, visit, step, trust, tired, 3) + (1 - rest) * ended(
                kind, memory, visit, step, trust, fatigue, 3
            )
        yes = tables.accept[memory.marks, kind, ask, hidden(trust, fatigue)]
        no = (1 - yes) * tables.decline[kind, ask, hidden(trust, fatigue)]
        worth = yes if ask == rules.goal else yes * answered(kind, memory, visit, step, trust, fatigue, ask, 0)
        worth += no * answered(kind, memory, visit, step, trust, fatigue, ask, 1)
        return worth + (1 - yes - no) * answered(kind, memory, visit, step, trust, fatigue, ask, 2)

    def answered(kind, memory, visit, step, trust, fatigue, ask, answer):
        falls = tables.trust_down[ask, hidden(trust, fatigue)]
        moves = [tables.trust_up[ask], falls, place.dynamics.silence * falls][answer]
        moved = min(4, trust + 1) if answer == 0 else max(0, trust - 1)
        tires = tables.tire[kind, ask, int(answer == 0)]
        after = rules.after(memory, ask, ("accepted", "declined", "ignored")[answer])
        return sum(
            p * q * ended(kind, after, visit, step, t, f, answer)
            for t, p in ((moved, moves), (trust, 1 - moves))
            for f, q in ((min(4, fatigue + 1), tires), (fatigue, 1 - tires))
        )

    def ended(kind, memory, visit, step, trust, fatigue, answer):
        now = hidden(trust, fatigue)
        stays = tables.stay[kind, answer, now] if step + 1 < leaving.max_steps else 0.0
        goes_on = stays * request(kind, memory, visit, step + 1, trust, fatigue) if stays else 0.0
        late = tables.late[memory.marks, kind, now]
        returns = tables.back[memory.marks, kind, now] if visit + 1 < leaving.max_visits else 0.0
        back = 0.0
        if returns:
            rested, fresh = max(0, fatigue - place.dynamics.recovery), rules.next_visit(memory)
            forget = place.dynamics.forget
            back = forget * request(kind, fresh, visit + 1, 0, max(0, trust - 1), rested)
            back += (1 - forget) * request(kind, fresh, visit + 1, 0, trust, rested)
        return goes_on + (1 - stays) * (late + (1 - late) * returns * back)

    return sum(
        visitor.share * p * request(kind, rules.start(), 0, 0, trust, 0)
        for kind, visitor in enumerate(place.types)
        for trust, p in enumerate(visitor.trust)
        if p
    )


VARIANTS = {
    "a session cap": tiny(),
    "every effort rule": tiny(Limits(max_effort_step=3, step_down_after_decline=True, stop_after_declines=2)),
    "the goal exempt": tiny(Limits(max_effort_step=1, step_down_after_decline=True, direct_ask=True)),
    "an effort gap": tiny(Limits(max_effort_gap=1)),
    "nothing allowed": tiny(Limits(max_asks_per_session=3), allow_nothing=True),
}
asks = tiny().catalog.asks
VARIANTS["asks that need others"] = tiny(
    asks=(asks[0], replace(asks[1], excludes=("poll",)), asks[2], replace(asks[3], requires=("letter",)))
)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("sequence", [("poll", "letter", "order"), ("order", "video"), ("letter",), ()])
def test_the_value_of_a_list_is_what_counting_every_branch_gives(name, sequence):
    place = VARIANTS[name]
    assert truth.value_of_sequence(place, sequence) == pytest.approx(counted_out(place, sequence), rel=1e-12)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_exact_values_agree_with_simulation(name):
    place, n = VARIANTS[name], 4_000
    catalog = place.catalog
    exact_and_decider = [
        (truth.value_of_sequence(place, catalog.baseline), lambda clock: FixedSequenceSite(catalog, clock)),
        (truth.value_of_direct(place), lambda clock: DirectSite(catalog, clock)),
        (truth.value_of_random(place), lambda clock: RandomSite(catalog, clock)),
        (truth.value_of_nothing(place), lambda clock: FixedSequenceSite(catalog, clock, ())),
    ]
    for exact, decider in exact_and_decider:
        mean, error = truth.simulate_value(place, decider, n, seed=4)
        assert abs(mean - exact) < 3 * error


@pytest.mark.parametrize("name", ["a session cap", "every effort rule", "asks that need others"])
def test_the_best_list_is_the_best_of_all_lists(name):
    place = VARIANTS[name]
    ids = [ask.id for ask in place.catalog.asks]
    every = [some for n in range(4) for some in permutations(ids, n)]
    found, value = best_sequence(place, 3)
    assert value == pytest.approx(max(truth.value_of_sequence(place, some) for some in every), abs=1e-9)
    assert value == pytest.approx(truth.value_of_sequence(place, found), abs=1e-9)


@pytest.mark.parametrize("name", VARIANTS)
def test_no_policy_beats_the_clairvoyant_or_is_worse_than_the_worst(name):
    place = VARIANTS[name]
    policies = [truth.value_of_random(place), truth.value_of_sequence(place, place.catalog.baseline)]
    best, worst = truth.clairvoyant_value(place), truth.worst_value(place)
    assert worst < min(policies) < max(policies) < best


def test_in_a_world_without_effects_every_policy_has_the_same_value():
    place = world("no_effects")
    after_visit, back = sigmoid(place.leaving.late), sigmoid(place.leaving.back)
    chain = after_visit + (1 - after_visit) * back * (after_visit + (1 - after_visit) * back * after_visit)
    values = [truth.value_of_direct(place), truth.value_of_sequence(place, ("skin_quiz",)), truth.value_of_nothing(place)]
    assert values == pytest.approx([float(chain)] * 3, rel=1e-12)


@pytest.mark.slow
def test_in_a_world_without_effects_not_even_the_best_and_the_worst_policy_differ():
    place = world("no_effects")
    assert truth.clairvoyant_value(place) == pytest.approx(truth.worst_value(place), rel=1e-12)
    assert truth.clairvoyant_value(place) == pytest.approx(truth.value_of_nothing(place), rel=1e-12)


def test_in_the_demonstration_a_ladder_beats_the_direct_ask_and_a_better_ladder_beats_it():
    place = world("skincare")
    baseline = truth.value_of_sequence(place, place.catalog.baseline)
    assert 0.03 < baseline < 0.06
    assert truth.value_of_direct(place) < 0.5 * baseline
    assert truth.value_of_sequence(place, BEST_OF_SKINCARE) > 1.5 * baseline


@pytest.mark.slow
def test_in_the_demonstration_seeing_the_visitor_is_worth_more_than_any_list():
    place = world("skincare")
    found, value = best_sequence(place, 6)
    assert found == BEST_OF_SKINCARE
    assert value == pytest.approx(truth.value_of_sequence(place, found), abs=1e-9)
    assert truth.clairvoyant_value(place) > 1.8 * value


def test_the_demonstration_simulated_agrees_with_its_exact_value():
    place, catalog = world("skincare"), world("skincare").catalog
    exact = truth.value_of_sequence(place, BEST_OF_SKINCARE)
    mean, error = truth.simulate_value(place, lambda clock: FixedSequenceSite(catalog, clock, BEST_OF_SKINCARE), 4_000, 8)
    assert abs(mean - exact) < 3 * error


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"limits": Limits(min_gap_s=60)}, "limits.min_gap"),
        ({"limits": Limits(cooldown_after_decline_s=60)}, "limits.cooldown_after_decline"),
        ({"limits": Limits(max_asks_per_day=2)}, "limits.max_asks_per_day"),
        ({"conversion_window_s": 86_400}, "conversion_window"),
        ({"session_gap_s": 300}, "session_gap"),
        ({"reuse_open_s": 5}, "reuse_open"),
        ({"asks": (*asks[:3], replace(asks[3], repeat_after_s=0))}, "order.repeatable"),
        ({"asks": (*asks[:3], replace(asks[3], devices=("mobile",)))}, "order.devices"),
        ({"asks": (*asks[:3], replace(asks[3], collects=("taste",)))}, "taste is collected by several asks"),
    ],
)
def test_truth_is_refused_under_rules_it_does_not_know(change, rule):
    place = replace(tiny(), catalog=replace(tiny().catalog, **change))
    with pytest.raises(BadInput, match=rule):
        truth.value_of_random(place)


def test_a_list_with_an_unknown_ask_is_refused():
    with pytest.raises(BadInput, match=r"received 'pol'; allowed: poll, video, letter, order"):
        truth.value_of_sequence(tiny(), ("pol",))


def test_a_best_list_of_no_asks_is_refused():
    with pytest.raises(BadInput, match="max_length: received 0"):
        best_sequence(tiny(), 0)
