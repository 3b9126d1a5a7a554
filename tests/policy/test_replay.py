"""Whatever happens at a site, its log alone gives back every eligible set and every probability, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.arrivals import arrange
from data.arrivals.histories import History, Moment, histories
from data.domain import SECOND, Decision, Exploration, Holdout, Limits
from data.log import frame_of
from policy.explorers import Epsilon, InverseGap
from policy.live import LiveJourney, LivePolicy
from policy.policies import Model
from policy.replay import Replayed, replay
from policy.scorers import ConstantScorer
from tests.policy.shop import MINUTE, Shop, shop_catalog
from tests.policy.test_merging import merge

STRICT = Limits(
    max_asks_per_session=4,
    max_asks_per_day=6,
    min_gap_s=20,
    cooldown_after_decline_s=60,
    stop_after_declines=3,
    max_effort_step=4,
    max_effort_gap=4,
    step_down_after_decline=True,
)
HOLDOUTS = tuple(Holdout(0.15, policy) for policy in ("baseline", "direct", "random", "none"))  # type: ignore[arg-type]


def catalog(allow_nothing: bool) -> Any:
    return shop_catalog(
        limits=STRICT,
        holdout=HOLDOUTS,
        allow_nothing=allow_nothing,
        conversion_window_s=7_200,
        session_gap_s=600,
        exploration=Exploration(day_zero=0.5),
    )


def model(version: str, explorer: Any) -> LivePolicy:
    values = {"quiz": 0.3, "guide": 0.2, "purchase": 0.25}
    scorer = ConstantScorer((), values, default_value=0.1, default_p_accept=0.2, nothing=0.05)
    return LivePolicy(version, Model(scorer, explorer).for_catalog(shop_catalog()))


VERSIONS = {"7": model("7", InverseGap(loss=0.05, floor=0.05, steps=4)), "8": model("8", Epsilon(0.3, floor=0.02))}


def replayed(shop: Shop) -> list[Replayed]:
    """The store's log, written out, read back and replayed."""
    frame = pl.concat([frame_of(batch) for batch in shop.store.log("shop")], how="diagonal_relaxed")
    arrivals = arrange(frame, shop.catalog)
    assert arrivals.n_duplicates == 0
    assert arrivals.set_aside.is_empty()
    return list(replay(histories(arrivals), LiveJourney(shop.catalog), VERSIONS))


def act(shop: Shop, rng: np.random.Generator, open_ids: list[str]) -> None:
    visitor = f"v{rng.integers(4)}"
    kind = rng.integers(10)
    if kind < 6:
        fields: dict[str, Any] = {}
        if rng.random() < 0.2:
            fields["exclude"] = ["quiz"]
        if rng.random() < 0.2:
            fields["consents"] = ["email_marketing"]
        if rng.random() < 0.15:
            fields["deferred"] = True
        if rng.random() < 0.1:
            fields["answers"] = {"skin": "dry"}
        if rng.random() < 0.1:
            fields["profile"] = False
        open_ids.append(shop.ask(visitor, **fields)["decision_id"])
    elif kind < 9 and open_ids:
        decision_id = open_ids[rng.integers(len(open_ids))]
        answer = ["accepted", "declined", "ignored", "shown"][rng.integers(4)]
        shop.tell({"type": answer, "decision_id": decision_id, "answers": {"skin": "oily"} if kind == 8 else {}})
    else:
        event = ["converted", "left", "signal", "merge"][rng.integers(4)]
        if event == "merge":
            merge(shop, visitor, f"v{rng.integers(4)}x")
            return
        shop.tell({"type": event, "visitor_id": visitor, "journey": "shop", "signal": "page_view"})
    pauses = [0, 1, 5 * SECOND, MINUTE, 11 * MINUTE, 130 * MINUTE, -MINUTE]
    shop.now += int(rng.choice(pauses, p=[0.2, 0.1, 0.2, 0.3, 0.1, 0.05, 0.05]))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), allow_nothing=st.booleans())
def test_a_log_alone_reproduces_every_decision(seed: int, allow_nothing: bool) -> None:
    rng = np.random.default_rng(seed)
    shop = Shop(catalog(allow_nothing))
    open_ids: list[str] = []
    live = LiveJourney(shop.catalog, VERSIONS["7"], VERSIONS["8"], 0.2)
    for step in range(60):
        if step == 20:
            shop.go_live(live)
        if step == 45:
            shop.go_live(replace(live, champion=None, challenger=None, trouble="the bundle is damaged"))
        act(shop, rng, open_ids)
    outcome = replayed(shop)
    assert len(outcome) > 15
    assert [item.decision for item in outcome if not item.is_reproduced] == []


def one_decision(**changes: Any) -> Replayed:
    """A single logged decision, changed before it is replayed."""
    shop = Shop(catalog(False))
    shop.ask("v")
    ((decision,),) = shop.store.log("shop")
    assert isinstance(decision, Decision)
    forged = replace(decision, **changes)
    history = History(0, "v", moments=[Moment(0, forged, True), Moment(0, forged, False)])
    (item,) = replay([history], LiveJourney(shop.catalog), VERSIONS)
    return item


def test_a_single_decision_is_reproduced() -> None:
    assert one_decision().is_reproduced


def test_a_changed_propensity_is_noticed() -> None:
    propensity = one_decision().decision.propensity or 0.0
    assert not one_decision(propensity=float(np.nextafter(propensity, 2.0))).is_reproduced


def test_a_changed_eligible_set_is_noticed() -> None:
    eligible = one_decision().decision.eligible or ()
    assert not one_decision(eligible=eligible[:-1]).is_reproduced


@pytest.mark.parametrize("label", ["champion:99", "their-own-system"])
def test_a_policy_that_is_not_at_hand_is_left_open(label: str) -> None:
    assert one_decision(policy=label).weighed is None
