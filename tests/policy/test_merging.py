"""After a merge both histories are one: for caps, for arms, for outcomes that arrive late."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from data.domain import Holdout
from data.errors import BadRequest
from features.state import Scopes, decode, fold
from policy.desk import Desk
from policy.merging import Merging, arrival_key
from tests.policy.shop import MINUTE, Shop, limited, shop_catalog


def merge(shop: Shop, from_id: str, to_id: str) -> dict[str, Any]:
    desk = Desk(shop.store, lambda: {"shop": shop.live}, shop.secret, lambda: shop.now)
    work = Merging(from_id, to_id)
    desk.run((work,))
    if work.error is not None:
        raise work.error
    assert work.result is not None
    return work.result


def state_of(shop: Shop, visitor_id: str) -> Any:
    return decode(shop.store.visitors((visitor_id,))[visitor_id].state).journeys["shop"]


def test_later_decisions_see_both_histories() -> None:
    shop = Shop(limited(max_asks_per_day=3))
    shop.walk("anon", "ignored", "accepted")
    shop.walk("user", "declined")
    merge(shop, "anon", "user")
    assert shop.ask("user")["ask"] is None
    assert shop.ask("anon")["ask"] is None


def test_the_state_is_the_fold_of_both_histories_in_order_of_arrival() -> None:
    shop = Shop()
    for visitor in ("anon", "user", "anon", "user"):
        shop.walk(visitor, "accepted")
    merge(shop, "anon", "user")
    rows = sorted((row for batch in shop.store.log("shop") for row in batch), key=arrival_key)
    expected = fold(rows, Scopes.of(shop.catalog))
    assert replace_arm(state_of(shop, "user")) == replace_arm(expected)


def replace_arm(state: Any) -> Any:
    state.arm = ""
    return state


def test_answers_of_both_are_known_and_those_of_the_survivor_win() -> None:
    shop = Shop()
    shop.ask("anon", answers={"skin": "dry", "age": 30})
    shop.ask("user", answers={"skin": "oily"})
    merge(shop, "anon", "user")
    assert decode(shop.store.visitors(("user",))["user"].state).answers == {"skin": "oily", "age": 30}


def test_an_outcome_of_the_merged_visitor_counts_for_the_survivor() -> None:
    shop = Shop()
    decision = shop.ask("anon")
    merge(shop, "anon", "user")
    shop.now += MINUTE
    assert shop.tell({"type": "declined", "decision_id": decision["decision_id"]})["accepted"] == 1
    assert state_of(shop, "user").session_declined == 1


def test_earlier_rows_keep_the_id_they_were_logged_with() -> None:
    shop = Shop()
    shop.walk("anon", "accepted")
    merge(shop, "anon", "user")
    shop.walk("anon", "accepted")
    ids = [row.visitor_id for batch in shop.store.log("shop") for row in batch if getattr(row, "type", "") != "merged"]
    assert sorted(ids) == ["anon", "anon", "user", "user"]


def test_the_survivor_keeps_its_arm() -> None:
    shop = Shop(shop_catalog(holdout=(Holdout(0.5, "baseline"),)))
    arms = {f"v{i}": shop.ask(f"v{i}")["policy"]["name"] for i in range(40)}
    held = next(visitor for visitor, arm in arms.items() if arm == "holdout")
    free = next(visitor for visitor, arm in arms.items() if arm == "baseline")
    merge(shop, held, free)
    assert shop.ask(free)["policy"]["name"] == "baseline"


def test_chains_lead_to_the_last_survivor() -> None:
    shop = Shop(limited(max_asks_per_day=2))
    shop.walk("a", "ignored")
    merge(shop, "a", "b")
    merge(shop, "b", "c")
    shop.walk("a", "ignored")
    assert shop.ask("c")["ask"] is None


def test_merging_twice_changes_nothing() -> None:
    shop = Shop()
    shop.walk("anon", "accepted")
    assert merge(shop, "anon", "user")["merged"] is True
    before = shop.store.visitors(("user",))
    assert merge(shop, "anon", "user")["merged"] is False
    assert merge(shop, "user", "anon")["merged"] is False
    assert shop.store.visitors(("user",)) == before


def test_a_visitor_cannot_become_itself() -> None:
    with pytest.raises(BadRequest, match="same visitor"):
        merge(Shop(), "a", "a")


def test_unknown_visitors_can_be_merged_before_they_are_seen() -> None:
    shop = Shop(limited(max_asks_per_day=1))
    merge(shop, "anon", "user")
    shop.walk("anon", "ignored")
    assert shop.ask("user")["ask"] is None


def test_a_merge_in_a_group_waits_for_the_groups_own_changes() -> None:
    from policy.asking import Asking
    from policy.messages import AskRequest

    shop = Shop(replace(limited(max_asks_per_day=1)))
    desk = Desk(shop.store, lambda: {"shop": shop.live}, shop.secret, lambda: shop.now)
    asking, merging = Asking(AskRequest(visitor_id="anon")), Merging("anon", "user")
    desk.run((asking, merging))
    assert merging.result is not None
    assert shop.ask("user")["ask"] is None
