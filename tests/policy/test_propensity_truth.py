"""The stated probability is the frequency: chi-square over redraws of mixed requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from data.clock import to_iso
from data.domain import SECOND, Catalog, Exploration, Holdout, Limits
from policy.draw import sticky_unit
from policy.explorers import Epsilon, InverseGap
from policy.live import LiveJourney, LivePolicy
from policy.policies import Model
from policy.scorers import ConstantScorer
from tests.policy.shop import MINUTE, START, Shop, shop_catalog

N_REQUESTS = 100
N_REDRAWS = 2_000
HOLDOUTS = tuple(Holdout(0.15, policy) for policy in ("baseline", "direct", "random", "none"))  # type: ignore[arg-type]


def catalogs() -> tuple[Catalog, ...]:
    base = shop_catalog(
        holdout=HOLDOUTS,
        limits=Limits(max_effort_step=4, stop_after_declines=2, max_asks_per_session=4),
        exploration=Exploration(day_zero=0.4),
    )
    return base, replace(base, allow_nothing=True)


def lives(catalog: Catalog) -> Iterator[LiveJourney]:
    yield LiveJourney(catalog)
    scorer = ConstantScorer((), {"quiz": 0.031, "guide": 0.03, "purchase": 0.02}, default_value=0.005, nothing=0.01)
    for explorer in (InverseGap(loss=0.2, steps=4, floor=0.05), Epsilon(0.3, floor=0.05)):
        model = LivePolicy("7", Model(scorer, explorer).for_catalog(catalog))
        yield LiveJourney(catalog, champion=model)
        yield LiveJourney(catalog, champion=model, challenger=replace(model, version="8"), challenger_share=0.39)
    yield LiveJourney(catalog, trouble="the bundle is damaged")


def history(rng: np.random.Generator) -> list[dict[str, Any]]:
    items = []
    at = START - 20 * MINUTE
    for ask_id in rng.permutation(["quiz", "guide", "wishlist"])[: rng.integers(0, 4)]:
        answer = str(rng.choice(["accepted", "declined", "ignored"]))
        items.append({"type": "shown", "ask_id": str(ask_id), "at": to_iso(at)})
        items.append({"type": answer, "ask_id": str(ask_id), "at": to_iso(at + 30 * SECOND)})
        at += 2 * MINUTE
    return items


def requests(rng: np.random.Generator) -> Iterator[tuple[Shop, dict[str, Any]]]:
    """Every arm, day zero, both explorers, trial and fallback, with and without blocked asks."""
    places = [(catalog, live) for catalog in catalogs() for live in lives(catalog)]
    for number in range(N_REQUESTS):
        catalog, live = places[number % len(places)]
        shop = Shop(catalog)
        shop.go_live(live)
        request: dict[str, Any] = {"visitor_id": f"v{number}", "history": history(rng), "at": to_iso(START)}
        if rng.random() < 0.3:
            request["exclude"] = [str(rng.choice(["quiz", "guide", "purchase"]))]
        if rng.random() < 0.3:
            request["consents"] = ["email_marketing"]
        yield shop, request


@pytest.mark.slow
def test_stated_probabilities_are_frequencies() -> None:
    rng = np.random.default_rng(7)
    worst, arms = 1.0, set()
    for shop, request in requests(rng):
        traced = shop.site.next_ask({**request, "trace": True})
        stated = {row["ask_id"]: row["propensity"] for row in traced["candidates"]}
        blocked = {row["ask_id"] for row in traced["blocked"]}
        drawn: Counter[str | None] = Counter()
        for redraw in range(N_REDRAWS):
            decision = shop.site.next_ask({**request, "decision_id": f"{request['visitor_id']}-{redraw}"})
            ask_id = decision["ask"] and decision["ask"]["id"]
            drawn[ask_id] += 1
            assert decision["propensity"] == stated[ask_id]
        arms.add((decision["policy"]["name"], decision["policy"]["version"]))
        assert not blocked & drawn.keys()
        possible = [ask_id for ask_id, probability in stated.items() if probability > 0]
        assert drawn.keys() <= set(possible)
        if len(possible) > 1:
            expected = np.array([stated[ask_id] for ask_id in possible]) * N_REDRAWS
            observed = np.array([drawn[ask_id] for ask_id in possible])
            worst = min(worst, float(chisquare(observed, expected * (N_REDRAWS / expected.sum())).pvalue))
    assert worst > 0.01 / N_REQUESTS
    expected_arms = {("holdout", kind) for kind in ("baseline", "direct", "random", "none")}
    assert arms >= expected_arms | {("baseline", None), ("champion", "7"), ("challenger", "8"), ("fallback", None)}


def test_the_arm_is_fixed_before_the_draw() -> None:
    shop = Shop(catalogs()[0])
    arms = {shop.ask("v1", history=[], decision_id=f"d{i}")["policy"]["version"] for i in range(50)}
    assert len(arms) == 1
    assert 0.0 <= sticky_unit(b"secret", "shop", "v1") < 1.0
