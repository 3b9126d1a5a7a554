"""The driver: time order, late news, separate visits, hidden traits that stay hidden, and the same visitors for all."""

import hashlib
import json
from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest

from data.clock import from_iso
from data.domain import SECOND, Decision
from data.errors import BadInput
from data.simulator.clock import SimulatedClock
from data.simulator.drive import DriveOptions, drive
from data.simulator.sites import DirectSite, FixedSequenceSite, RandomSite
from data.simulator.truth import MONDAY
from data.simulator.worlds import world
from tests.data.test_simulator_worlds import tiny


class Ear:
    """Passes everything on to a site, and keeps what was said and when."""

    def __init__(self, clock, site):
        self.clock, self.site, self.requests, self.events = clock, site, [], []

    def next_ask(self, request):
        self.requests.append((self.clock(), request))
        return self.site.next_ask(request)

    def outcomes(self, events):
        self.events += [(self.clock(), event) for event in events]
        return self.site.outcomes(events)

    @property
    def digest(self):
        return hashlib.sha256(json.dumps([self.requests, self.events]).encode()).hexdigest()


def listen(place, n=200, seed=1, site=RandomSite, **options):
    clock = SimulatedClock()
    ear = Ear(clock, site(place.catalog, clock))
    truth = drive(place, ear, n_visitors=n, seed=seed, started_at=MONDAY, options=DriveOptions(clock=clock, **options))
    return ear, truth


def of_type(ear, kind):
    return [event for _, event in ear.events if event["type"] == kind]


@pytest.fixture(scope="module")
def skincare():
    return listen(world("skincare"), n=1_500)


def test_the_same_seed_gives_the_same_traffic_and_another_seed_another(skincare):
    assert listen(world("skincare"), n=1_500)[0].digest == skincare[0].digest
    assert listen(world("skincare"), n=1_500, seed=2)[0].digest != skincare[0].digest


def test_everything_happens_in_time_order(skincare):
    ear, _ = skincare
    for heard in (ear.requests, ear.events):
        times = [at for at, _ in heard]
        assert times == sorted(times)
    assert all(from_iso(event["at"]) <= at for at, event in ear.events)


def test_visitors_interleave(skincare):
    order = [request["visitor_id"] for _, request in skincare[0].requests]
    runs = 1 + sum(a != b for a, b in pairwise(order))
    assert runs > 1.5 * len(set(order))


def test_a_request_says_no_more_than_a_site_may_know(skincare):
    for _, request in skincare[0].requests:
        assert set(request) == {"visitor_id", "journey", "channel", "context", "decision_id"}
        assert set(request["context"]) == {"referrer", "device"}
    names = {visitor.name for visitor in world("skincare").types}
    assert not names & {value for _, request in skincare[0].requests for value in request["context"].values()}


def test_a_visitor_who_left_asks_for_nothing_until_coming_back(skincare):
    ear, truth = skincare
    timing, gap = world("skincare").timing, world("skincare").catalog.session_gap_s * SECOND
    requests = defaultdict(list)
    for at, request in ear.requests:
        requests[request["visitor_id"]].append(at)
    for number in range(1_500):
        pauses = np.diff(requests[truth.visitor_id(number)])
        between_visits = pauses[pauses >= gap]
        assert len(between_visits) == truth.n_visits[number] - 1
        assert (between_visits >= timing.back_s[0] * SECOND).all()


def test_after_left_nothing_is_asked(skincare):
    left_at = {event["visitor_id"]: at for at, event in skincare[0].events if event["type"] == "left"}
    assert 0.4 < len(left_at) / 1_500 < 0.6
    assert all(at <= left_at.get(request["visitor_id"], at) for at, request in skincare[0].requests)


def test_the_context_misreports_a_quarter_of_the_visitors():
    _, truth = listen(world("skincare"), n=4_000, seed=9)
    wrong = truth.reported != truth.types
    assert abs(wrong.mean() - 0.25) < 3 * np.sqrt(0.25 * 0.75 / 4_000)
    assert set(truth.reported[wrong & (truth.types == 0)].tolist()) == {1, 2, 3}
    shares = np.bincount(truth.types, minlength=4) / 4_000
    assert np.abs(shares - [0.3, 0.3, 0.3, 0.1]).max() < 3 * np.sqrt(0.3 * 0.7 / 4_000)


def test_every_policy_meets_the_same_visitors_at_the_same_times():
    random, direct = (listen(world("skincare"), n=300, site=site) for site in (RandomSite, DirectSite))
    assert (random[1].types == direct[1].types).all()
    assert (random[1].reported == direct[1].reported).all()
    firsts = []
    for ear, _ in (random, direct):
        first = {}
        for at, request in ear.requests:
            first.setdefault(request["visitor_id"], (at, request["context"]))
        firsts.append(first)
    assert firsts[0] == firsts[1]


def test_without_effects_the_very_same_visitors_convert_under_every_policy():
    place = world("no_effects")
    truths = [listen(place, n=800, site=site)[1] for site in (RandomSite, DirectSite, FixedSequenceSite)]
    for other in truths[1:]:
        assert (other.is_converted == truths[0].is_converted).all()
        assert (other.n_steps == truths[0].n_steps).all()
    assert 10 < truths[0].is_converted.sum() < 60


def test_what_the_site_hears_of_conversions_is_the_truth(skincare):
    ear, truth = skincare
    goal = {event["decision_id"].rsplit("-", 2)[0] for event in of_type(ear, "accepted") if "value" in event}
    heard = goal | {event["visitor_id"] for event in of_type(ear, "converted")}
    assert heard == {truth.visitor_id(i) for i in np.flatnonzero(truth.is_converted)}
    assert truth.n_rejected == 0


def test_some_conversions_come_after_the_visit_and_are_heard_of_later_still(skincare):
    ear, _ = skincare
    last = {request["visitor_id"]: at for at, request in ear.requests}
    late = [(at, event) for at, event in ear.events if event["event_id"].endswith(".late")]
    assert late
    for at, event in late:
        assert from_iso(event["at"]) >= last[event["visitor_id"]] + world("skincare").timing.late_s[0] * SECOND
        assert at > from_iso(event["at"])


def test_a_webhook_reports_some_accepted_goals_again_under_the_same_order(skincare):
    orders = [event.get("order_id") for event in of_type(skincare[0], "accepted") if "value" in event]
    again = [event for event in of_type(skincare[0], "converted") if not event["event_id"].endswith(".late")]
    assert None in orders
    assert again
    assert {event["order_id"] for event in again} <= set(orders)


def test_an_acceptance_tells_what_the_ask_collects_and_mostly_tells_the_type(skincare):
    ear, truth = skincare
    told = {
        int(event["decision_id"].rsplit("-", 2)[0].split("-")[1]): event["answers"]["concern"]
        for event in of_type(ear, "accepted")
        if "concern" in event.get("answers", {})
    }
    right = [told[number] == ("glow", "science", "play", "help")[truth.types[number]] for number in told]
    assert 0.75 < np.mean(right) < 0.95


def test_signals_tell_something_about_who_converts_in_the_demonstration_and_nothing_without_effects():
    lifts = []
    for name in ("skincare", "no_effects"):
        ear, truth = listen(world(name), n=3_000, seed=5, site=FixedSequenceSite)
        carts = {event["visitor_id"] for event in of_type(ear, "signal") if event["signal"] == "add_to_cart"}
        has_cart = np.array([truth.visitor_id(i) in carts for i in range(3_000)])
        lifts.append(truth.is_converted[has_cart].mean() / truth.is_converted[~has_cart].mean())
    assert lifts[0] > 2.0
    assert lifts[1] < 2.0


def test_some_signals_arrive_late(skincare):
    delays = [at - from_iso(event["at"]) for at, event in skincare[0].events if event["type"] == "signal"]
    late = np.mean(np.array(delays) > 300 * SECOND)
    assert 0.005 < late < 0.04


def test_silence_is_reported_in_part(skincare):
    ear, truth = skincare
    n_answered = len(of_type(ear, "accepted")) + len(of_type(ear, "declined"))
    n_silent = truth.n_asks.sum() - n_answered
    assert 0.4 < len(of_type(ear, "ignored")) / n_silent < 0.6


def test_a_site_with_a_clock_of_its_own_gets_events_without_times():
    ear, _ = listen(tiny(), n=50, is_stamped=False)
    assert ear.events
    assert all("at" not in event for _, event in ear.events)


def test_whoever_paces_the_run_learns_of_every_moment_in_order():
    moments = []
    ear, _ = listen(tiny(), n=50, wait=moments.append)
    assert moments == sorted(moments)
    assert {at for at, _ in ear.requests} <= set(moments)


def test_progress_counts_every_visitor_once():
    steps = []
    listen(tiny(), n=60, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(i + 1, 60) for i in range(60)]


def test_first_visits_fill_the_given_days_and_avoid_the_night():
    _, truth = listen(tiny(), n=3_000, days=2.0, seed=3)
    ear, _ = listen(tiny(), n=3_000, days=2.0, seed=3)
    first = {}
    for at, request in ear.requests:
        first.setdefault(request["visitor_id"], at - MONDAY)
    times = np.array(list(first.values()))
    assert times.max() < 2.01 * 86_400 * SECOND
    hours = times // (3_600 * SECOND) % 24
    assert np.isin(hours, (2, 3)).sum() < 0.5 * np.isin(hours, (14, 15)).sum()
    assert len(truth.types) == 3_000


def test_runs_of_different_seeds_share_no_visitor():
    ids = [{request["visitor_id"] for _, request in listen(tiny(), n=20, seed=seed)[0].requests} for seed in (1, 2)]
    assert not ids[0] & ids[1]
    assert listen(tiny(), n=2, prefix="guest-")[1].visitor_id(1) == "guest-0000001"


def test_no_visitors_and_unknown_asks_are_refused():
    with pytest.raises(BadInput, match="n_visitors: received 0"):
        listen(tiny(), n=0)

    class Wrong(RandomSite):
        def next_ask(self, request):
            return {**super().next_ask(request), "ask": {"id": "marry_me"}}

    with pytest.raises(BadInput, match="marry_me"):
        listen(tiny(), n=5, site=Wrong)


def test_the_log_of_a_small_site_holds_every_decision_with_its_propensity():
    log, clock = [], SimulatedClock()
    place = tiny()
    site = RandomSite(place.catalog, clock, log)
    truth = drive(place, site, n_visitors=100, seed=1, started_at=MONDAY, options=DriveOptions(clock=clock))
    decisions = {item.decision_id: item for item in log if isinstance(item, Decision)}
    assert len(decisions) == truth.n_steps.sum()
    for decision in decisions.values():
        assert decision.ask_id in decision.eligible
        assert decision.propensity == 1 / len(decision.eligible)
    answers = [item for item in log if not isinstance(item, Decision) and item.type == "accepted"]
    assert answers
    assert all(decisions[answer.decision_id].ask_id == answer.ask_id for answer in answers)


def test_a_small_site_rejects_an_answer_to_a_decision_it_never_made():
    site = RandomSite(tiny().catalog, SimulatedClock())
    assert site.outcomes([{"type": "accepted", "decision_id": "d9"}])["rejected"][0]["index"] == 0
