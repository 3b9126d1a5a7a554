"""Truth is exact: it equals what is counted out by hand, and what simulation comes to."""

from dataclasses import replace
from functools import cache
from itertools import permutations
from typing import NamedTuple

import pytest

from data.domain import Limits
from data.errors import BadInput
from data.simulator import truth
from data.simulator.rules import Memory
from data.simulator.search import best_sequence
from data.simulator.sites import DirectSite, FixedSequenceSite, RandomSite
from data.simulator.tables import sigmoid, tables_of
from data.simulator.world import ANSWERS, N_FATIGUE
from data.simulator.worlds import world
from tests.data.test_simulator_worlds import tiny

BEST_OF_SKINCARE = ("concern_poll", "ingredient_check", "wishlist", "purchase", "email_tips", "routine_guide")


class At(NamedTuple):
    """Where one visitor stands."""

    kind: int
    memory: Memory
    visit: int
    step: int
    trust: int
    fatigue: int

    @property
    def hidden(self):
        return self.trust * N_FATIGUE + self.fatigue


class Counting:
    """The value of a list by following every possible visitor, one branch after the other."""

    def __init__(self, place, sequence):
        self.place, self.rules, self.tables = place, truth.exact_rules(place), tables_of(place)
        self.asks = [place.catalog.position[ask] for ask in sequence]
        self.request = cache(self.request)

    def value(self):
        return sum(
            visitor.share * p * self.request(At(kind, self.rules.start(), 0, 0, trust, 0))
            for kind, visitor in enumerate(self.place.types)
            for trust, p in enumerate(visitor.trust)
        )

    def chosen(self, memory):
        possible = [ask for ask in self.asks if ask in self.rules.eligible(memory)]
        new = [ask for ask in possible if not self.rules.n_shown(memory, ask)]
        return (new or possible or [None])[0]

    def request(self, at):
        ask, rest = self.chosen(at.memory), self.place.dynamics.rest
        if ask is None:
            rested = at._replace(fatigue=max(0, at.fatigue - 1))
            return rest * self.stepped(rested, 3) + (1 - rest) * self.stepped(at, 3)
        yes = self.tables.accept[at.memory.marks, at.kind, ask, at.hidden]
        no = (1 - yes) * self.tables.decline[at.kind, ask, at.hidden]
        worth = yes if ask == self.rules.goal else yes * self.answered(at, ask, 0)
        return worth + no * self.answered(at, ask, 1) + (1 - yes - no) * self.answered(at, ask, 2)

    def answered(self, at, ask, answer):
        falls = self.tables.trust_down[ask, at.hidden]
        moves = [self.tables.trust_up[ask], falls, self.place.dynamics.silence * falls][answer]
        moved = min(4, at.trust + 1) if answer == 0 else max(0, at.trust - 1)
        tires = self.tables.tire[at.kind, ask, int(answer == 0)]
        after = at._replace(memory=self.rules.after(at.memory, ask, ANSWERS[answer]))
        return sum(
            p * q * self.stepped(after._replace(trust=t, fatigue=f), answer)
            for t, p in ((moved, moves), (at.trust, 1 - moves))
            for f, q in ((min(4, at.fatigue + 1), tires), (at.fatigue, 1 - tires))
        )

    def stepped(self, at, answer):
        is_last = at.step + 1 == self.place.leaving.max_steps
        stays = 0.0 if is_last else self.tables.stay[at.kind, answer, at.hidden]
        goes_on = 0.0 if is_last else self.request(at._replace(step=at.step + 1))
        late = self.tables.late[at.memory.marks, at.kind, at.hidden]
        return stays * goes_on + (1 - stays) * (late + (1 - late) * self.back(at))

    def back(self, at):
        if at.visit + 1 == self.place.leaving.max_visits:
            return 0.0
        dynamics = self.place.dynamics
        fresh = at._replace(
            memory=self.rules.next_visit(at.memory),
            visit=at.visit + 1,
            step=0,
            fatigue=max(0, at.fatigue - dynamics.recovery),
        )
        forgot = fresh._replace(trust=max(0, at.trust - 1))
        worth = dynamics.forget * self.request(forgot) + (1 - dynamics.forget) * self.request(fresh)
        return self.tables.back[at.memory.marks, at.kind, at.hidden] * worth


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
    assert truth.value_of_sequence(place, sequence) == pytest.approx(Counting(place, sequence).value(), rel=1e-12)


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
    values = [
        truth.value_of_direct(place),
        truth.value_of_sequence(place, ("skin_quiz",)),
        truth.value_of_nothing(place),
    ]
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
    mean, error = truth.simulate_value(
        place, lambda clock: FixedSequenceSite(catalog, clock, BEST_OF_SKINCARE), 4_000, 8
    )
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
