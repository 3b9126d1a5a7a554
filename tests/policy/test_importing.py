"""A log imported into a store becomes what it would be had everything happened there, and nothing twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.arrivals import arrange
from data.arrivals.histories import histories
from data.clock import to_iso
from data.domain import Catalog, Decision, Event, Exploration, Holdout, Limits
from data.log import frame_of
from data.stores.memory import MemoryStore
from data.stores.protocol import Store
from features.state import Scopes, decode, fold
from policy.importing import Imported, import_arrivals
from policy.live import LiveJourney
from policy.merging import arrival_key
from policy.replay import Replayed, replay
from tests.policy.shop import HOUR, MINUTE, START, Shop, shop_catalog
from tests.policy.test_merging import merge

Row = Decision | Event
LIMITS = Limits(max_asks_per_session=4, max_asks_per_day=8, stop_after_declines=2, max_effort_step=4)
CATALOG = shop_catalog(
    limits=LIMITS,
    holdout=(Holdout(0.2, "random"), Holdout(0.2, "direct"), Holdout(0.1, "none")),
    exploration=Exploration(day_zero=0.5),
    conversion_window_s=7_200,
    session_gap_s=600,
)


def busy_shop(seed: int, n_steps: int = 60, *, prefix: str = "v", unprompted: bool = True) -> Shop:
    """A shop in which everything happened that can: deferred asks, late outcomes, merges, orders, unprompted yeses."""
    rng = np.random.default_rng(seed)
    shop = Shop(CATALOG)
    open_ids: list[str] = []
    for step in range(n_steps):
        visitors = [f"{prefix}{rng.integers(4)}" for _ in range(2)]
        kind = rng.integers(12)
        if kind < 6:
            open_ids.append(f"{prefix}{seed}-{step}")
            _ask(shop, rng, visitors[0], open_ids[-1])
        elif kind < 9 and open_ids:
            _answer(shop, rng, open_ids[rng.integers(len(open_ids))])
        elif kind < 11:
            _happen(shop, rng, visitors[0], unprompted)
        elif rng.random() < 0.5:
            merge(shop, visitors[0], f"{visitors[1]}x")
        shop.now += int(rng.choice([0, 1, MINUTE, 11 * MINUTE, 3 * HOUR], p=[0.2, 0.1, 0.5, 0.15, 0.05]))
    return shop


def _ask(shop: Shop, rng: np.random.Generator, visitor: str, decision_id: str) -> None:
    fields: dict[str, Any] = {"context": {"device": "mobile"}, "deferred": bool(rng.random() < 0.2)}
    if rng.random() < 0.3:
        fields |= {"exclude": ["quiz"], "consents": ["email_marketing"], "answers": {"skin": "dry"}}
    shop.ask(visitor, decision_id=decision_id, **fields)


def _answer(shop: Shop, rng: np.random.Generator, decision_id: str) -> None:
    answer = ["accepted", "declined", "ignored", "shown"][rng.integers(4)]
    at = {"at": _earlier(shop, rng)} if rng.random() < 0.4 else {}
    shop.tell({"type": answer, "decision_id": decision_id, "answers": {"age": int(rng.integers(20, 60))}, **at})


def _happen(shop: Shop, rng: np.random.Generator, visitor: str, unprompted: bool) -> None:
    event = ["converted", "left", "signal", "accepted"][rng.integers(4 if unprompted else 3)]
    about: dict[str, Any] = {"visitor_id": visitor, "journey": "shop", "at": _earlier(shop, rng)}
    if event == "converted":
        about |= {"order_id": f"o{rng.integers(5)}", "value": 12.5}
    if event == "accepted":
        about["ask_id"] = "guide"
    shop.tell({"type": event, "signal": "page_view", **about})


def _earlier(shop: Shop, rng: np.random.Generator) -> str:
    return to_iso(max(START, shop.now - int(rng.integers(0, 2 * HOUR))))


def busy_log() -> list[Row]:
    """What a few busy shops with different visitors have to tell."""
    return [row for seed, prefix in enumerate("abcd") for row in log_of(busy_shop(seed, prefix=prefix).store)]


def log_of(store: Store, journey: str = "shop") -> list[Row]:
    """Everything a store would export, in order of arrival."""
    return sorted((row for batch in store.log(journey) for row in batch), key=arrival_key)


def take(
    rows: Iterable[Row],
    store: Store,
    catalog: Catalog = CATALOG,
    *,
    now: int = START + 100 * HOUR,
    others: Sequence[Catalog] = (),
) -> Imported:
    """Imports rows as the command does."""
    arrivals = arrange(frame_of(list(rows)), catalog)
    pairs = zip(arrivals.frame["owner"], (item for _, item in arrivals.items()), strict=True)
    total = Imported()
    for imported in import_arrivals(
        pairs, LiveJourney(catalog), store, now=now, others=[LiveJourney(other) for other in others]
    ):
        total = total.plus(imported)
    return total


def replayed(store: Store, catalog: Catalog = CATALOG) -> list[Replayed]:
    """The store's log, replayed."""
    arrivals = arrange(frame_of(log_of(store, catalog.journey)), catalog)
    assert arrivals.set_aside.is_empty()
    return list(replay(histories(arrivals), LiveJourney(catalog), {}))


def states_of(store: Store, visitor_ids: Iterable[str]) -> dict[str, Any]:
    """What a store says of each visitor: whom it became, and its states.

    Left out are answers: those given with a deferred decision that was never seen are in no log.
    """
    rows = store.visitors(tuple(visitor_ids))
    found = {}
    for visitor_id, row in rows.items():
        found[visitor_id] = (row.merged_into, decode(row.state).journeys)
    return found


def visitors_of(rows: Iterable[Row]) -> set[str]:
    named = {row.visitor_id for row in rows}
    return named | {row.from_id for row in rows if isinstance(row, Event) and row.from_id is not None}


# the store's own export


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_the_stores_own_export_changes_nothing(seed: int) -> None:
    shop = busy_shop(seed)
    rows = log_of(shop.store)
    before = states_of(shop.store, visitors_of(rows))
    counted = take(rows, shop.store)
    assert counted == Imported(n_duplicates=len(rows))
    assert log_of(shop.store) == rows
    assert states_of(shop.store, visitors_of(rows)) == before


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_an_empty_store_becomes_the_one_that_was_exported(seed: int) -> None:
    shop = busy_shop(seed)
    rows = log_of(shop.store)
    fresh = MemoryStore()
    counted = take(rows, fresh)
    assert counted.n_duplicates == counted.n_erased == counted.n_clashes == 0
    assert log_of(fresh) == rows
    visitors = visitors_of(rows)
    assert states_of(fresh, visitors) == states_of(shop.store, visitors)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_what_was_imported_still_reproduces_every_decision(seed: int) -> None:
    fresh = MemoryStore()
    take(log_of(busy_shop(seed).store), fresh)
    assert [item.decision for item in replayed(fresh) if not item.is_reproduced] == []


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32), part=st.floats(0, 1))
def test_what_is_missing_of_a_log_is_filled_in(seed: int, part: float) -> None:
    rows = log_of(busy_shop(seed).store)
    fresh = MemoryStore()
    take(rows[: int(part * len(rows))], fresh) if int(part * len(rows)) else None
    take(rows, fresh)
    assert log_of(fresh) == rows


def test_the_fold_of_what_was_imported_is_the_state() -> None:
    fresh = MemoryStore()
    take(log_of(busy_shop(3).store), fresh)
    scopes = Scopes.of(CATALOG)
    for visitor_id in visitors_of(log_of(fresh)):
        row = fresh.visitors((visitor_id,)).get(visitor_id)
        if row is None or row.merged_into is not None:
            continue
        history = fresh.history(visitor_id)
        arrivals = sorted([*(stored.decision for stored in history.decisions), *history.events], key=arrival_key)
        state = fold(arrivals, scopes)
        state.arm = decode(row.state).journeys["shop"].arm
        assert decode(row.state).journeys["shop"] == state


# a store that is in use


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_decisions_made_before_an_import_are_reproduced_after_it(seed: int) -> None:
    """What is imported of the past was not known when the store decided, and the log says so.

    An acceptance made unprompted may join a decision that is imported later; there are none of those here.
    """
    shop = busy_shop(seed, unprompted=False)
    own = {row.decision_id for row in log_of(shop.store) if isinstance(row, Decision)}
    foreign = [
        replace(row, decision_id=f"other-{row.decision_id}")
        if isinstance(row, Decision)
        else replace(row, event_id=f"other-{row.event_id}", decision_id=row.decision_id and f"other-{row.decision_id}")
        for row in log_of(busy_shop(seed + 1).store)
        if getattr(row, "type", "") != "merged"
    ]
    take(foreign, shop.store)
    lost = [item.decision for item in replayed(shop.store) if not item.is_reproduced]
    assert [decision for decision in lost if decision.decision_id in own] == []


def test_guardrails_know_a_visitor_from_an_imported_log() -> None:
    shop = Shop(shop_catalog(limits=Limits(max_asks_per_session=2)))
    past = Shop(shop.catalog)
    past.walk("v", "ignored", "ignored", gap=MINUTE)
    take(log_of(past.store), shop.store, shop.catalog)
    shop.now = past.now + MINUTE
    assert shop.ask("v")["ask"] is None


def test_a_row_older_than_what_is_known_arrives_after_it() -> None:
    shop = Shop()
    shop.ask("v")
    known_at = shop.now
    event = Event("v", "signal", START - HOUR, START - HOUR, "shop", signal="page_view", event_id="late")
    take([event], shop.store, shop.catalog)
    (stored,) = [row for row in log_of(shop.store) if isinstance(row, Event)]
    assert (stored.at, stored.received_at) == (START - HOUR, known_at + 1)


def test_answers_of_an_imported_log_are_known() -> None:
    shop = Shop()
    event = Event("v", "accepted", START, START, "shop", ask_id="quiz", event_id="e", answers={"skin": "dry"})
    take([event], shop.store, shop.catalog)
    blocked = shop.ask("v", trace=True)["blocked"]
    assert {"accepted", "collects"} & {block["guardrail"] for block in blocked if block["ask_id"] == "quiz"}


def test_a_late_answer_is_taken_for_a_decision_that_is_there_already() -> None:
    shop = Shop()
    decision_id = shop.ask("v")["decision_id"]
    (decision,) = log_of(shop.store)
    answer = Event("v", "declined", START + 1, START + 1, "shop", decision.ask_id, "e", decision_id)
    counted = take([decision, answer], shop.store, shop.catalog)
    assert counted == Imported(n_events=1, n_duplicates=1)
    assert shop.store.decisions((decision_id,))[decision_id].status == "declined"


def test_the_first_answer_of_a_decision_stays_the_one_that_counts() -> None:
    shop = Shop()
    decision_id = shop.ask("v")["decision_id"]
    shop.tell({"type": "accepted", "decision_id": decision_id})
    decision = next(row for row in log_of(shop.store) if isinstance(row, Decision))
    answer = Event("v", "declined", START + 1, START + 1, "shop", decision.ask_id, "other", decision_id)
    assert take([decision, answer], shop.store, shop.catalog).n_duplicates == 2
    assert shop.store.decisions((decision_id,))[decision_id].status == "accepted"


def test_a_decision_id_that_names_another_decision_is_counted_and_left_out() -> None:
    shop = Shop()
    shop.ask("v", decision_id="1")
    (known,) = log_of(shop.store)
    other = replace(known, visitor_id="w")
    answer = Event("w", "accepted", START + 1, START + 1, "shop", known.ask_id, "e", "1")
    assert take([other, answer], shop.store, shop.catalog) == Imported(n_clashes=2)
    assert log_of(shop.store) == [known]
    assert shop.store.decisions(("1",))["1"].status == "open"


def test_a_log_of_another_system_is_taken_once() -> None:
    rows = [
        Event("v", "accepted", START, START, "shop", ask_id="quiz"),
        Event("v", "signal", START, START, "shop", signal="page_view"),
        Event("v", "converted", START + 1, START + 1, "shop", order_id="o"),
        Event("w", "merged", START + 2, START + 2, "shop", from_id="v"),
    ]
    store = MemoryStore()
    assert take(rows, store) == Imported(n_events=3, n_merges=1)
    assert take(rows, store) == Imported(n_duplicates=4)
    assert len(log_of(store)) == 4


# merges


def test_a_chain_of_merges_is_imported_as_it_happened() -> None:
    shop = Shop()
    for visitor in ("a", "c", "a"):
        shop.walk(visitor, "accepted", "declined")
    merge(shop, "a", "b")
    shop.walk("a", "accepted")
    merge(shop, "b", "c")
    shop.walk("c", "declined")
    rows = log_of(shop.store)
    fresh = MemoryStore()
    take(rows, fresh, shop.catalog)
    assert log_of(fresh) == rows
    assert states_of(fresh, "abc") == states_of(shop.store, "abc")


def test_visitors_are_one_after_an_imported_merge() -> None:
    shop = Shop(shop_catalog(limits=Limits(max_asks_per_day=1)))
    past = Shop(shop.catalog)
    past.ask("anon")
    past.now += MINUTE
    merge(past, "anon", "user")
    take(log_of(past.store), shop.store, shop.catalog)
    shop.now = past.now + MINUTE
    assert shop.ask("user")["ask"] is None
    assert shop.store.lineage("user") == ("user", "anon")


# several journeys


def _two_journeys() -> tuple[Shop, Catalog]:
    """A shop and another journey of the same visitors, in one store, with a merge that concerns both."""
    shop = Shop()
    winter = replace(shop.catalog, journey="winter", digest="w")
    both = {"shop": shop.live, "winter": LiveJourney(winter)}
    shop.site._desk._journeys = lambda: both
    for visitor in ("anon", "user", "anon", "user", "anon"):
        for journey in ("winter", "shop"):
            decision = shop.ask(visitor, journey=journey)
            shop.now += MINUTE
            shop.tell({"type": "accepted", "decision_id": decision["decision_id"]})
    from policy.desk import Desk
    from policy.merging import Merging

    work = Merging("anon", "user")
    Desk(shop.store, lambda: both, b"", lambda: shop.now).run((work,))
    shop.now += MINUTE
    shop.ask("anon", journey="winter")
    shop.ask("user", journey="shop")
    return shop, winter


@pytest.mark.parametrize("order", [("shop", "winter"), ("winter", "shop")])
def test_logs_of_two_journeys_of_the_same_visitors_stay_as_they_are(order: tuple[str, str]) -> None:
    shop, winter = _two_journeys()
    catalogs = {"shop": shop.catalog, "winter": winter}
    fresh = MemoryStore()
    for journey in order:
        others = [catalog for name, catalog in catalogs.items() if name != journey]
        take(log_of(shop.store, journey), fresh, catalogs[journey], others=others)
    for journey in order:
        assert log_of(fresh, journey) == log_of(shop.store, journey)
        assert all(item.is_reproduced for item in replayed(fresh, catalogs[journey]))
        again = take(log_of(fresh, journey), fresh, catalogs[journey])
        assert again == Imported(n_duplicates=len(log_of(fresh, journey)))
    assert states_of(fresh, ("anon", "user")) == states_of(shop.store, ("anon", "user"))


def test_a_merge_in_one_journeys_log_concerns_the_others_too() -> None:
    shop, winter = _two_journeys()
    fresh = MemoryStore()
    before = [row for row in log_of(shop.store, "winter") if getattr(row, "type", "") != "merged"][:4]
    take(before, fresh, winter)
    take(log_of(shop.store), fresh, shop.catalog, others=[winter])
    state = decode(fresh.visitors(("user",))["user"].state).journeys["winter"]
    assert sum(memory.n_shown for memory in state.asks.values()) == 2


# erasure


def test_erased_visitors_stay_erased() -> None:
    shop = busy_shop(11)
    rows = log_of(shop.store)
    shop.store.erase("v1", shop.now)
    kept = log_of(shop.store)
    counted = take(rows, shop.store)
    assert counted.n_erased > 0
    assert (counted.n_decisions, counted.n_events, counted.n_merges) == (0, 0, 0)
    assert log_of(shop.store) == kept
    assert "v1" not in shop.store.visitors(("v1",))


def test_what_happened_after_an_erasure_is_taken() -> None:
    store = MemoryStore()
    store.erase("v", START)
    before, after = (Event("v", "left", at, at, "shop", event_id=str(at)) for at in (START - 1, START))
    assert take([before, after], store) == Imported(n_events=1, n_erased=1)
    assert log_of(store) == [after]


@pytest.mark.parametrize("erased", ["anon", "user"])
def test_a_merge_with_an_erased_visitor_is_not_brought_back(erased: str) -> None:
    shop = Shop()
    for visitor in ("anon", "user"):
        shop.walk(visitor, "accepted")
    merge(shop, "anon", "user")
    shop.walk("anon", "accepted")
    rows = log_of(shop.store)
    fresh = MemoryStore()
    fresh.erase(erased, shop.now + HOUR)
    take(rows, fresh, shop.catalog)
    assert list(fresh.visitors(("anon", "user"))) == [{"anon": "user", "user": "anon"}[erased]]
    assert visitors_of(log_of(fresh)) == {"anon", "user"} - {erased}


# trouble


def test_a_store_that_was_changed_meanwhile_is_tried_again() -> None:
    """The service answers the visitor while its past is being imported."""
    shop = Shop()
    rows = [Event("v", "left", START + i, START + i, "shop", event_id=str(i)) for i in range(5)]

    class Busy(MemoryStore):
        n_refused = 0

        def commit(self, commits: Any) -> list[bool]:
            if self.n_refused < 3:
                self.n_refused += 1
                return [False] * len(commits)
            return super().commit(commits)

    store = Busy()
    assert take(rows, store, shop.catalog) == Imported(n_events=5)
    assert log_of(store) == rows


def test_rows_of_many_visitors_are_all_taken() -> None:
    rows = [Event(f"v{i}", "left", START + i, START + i, "shop", event_id=str(i)) for i in range(200)]
    store = MemoryStore()
    assert take(rows, store) == Imported(n_events=200)
    assert len(pl.DataFrame({"id": sorted(visitors_of(log_of(store)))})) == 200
