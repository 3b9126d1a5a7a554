"""What every store must do. A new store is one more line in ``URLS``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from data.errors import BadInput, StoreUnavailable
from data.stores.protocol import Commit, KeyRecord, StatusWrite, Store, StoredVisitor
from data.stores.registry import open_store
from tests.contracts.store_samples import T0, decision, event, merge, stored, visitor

URLS = {
    "memory": "memory:",
    "sqlite": "sqlite:///{folder}/store.db",
    "sqlite-full": "sqlite:///{folder}/store.db",
}


@pytest.fixture(params=URLS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = URLS[request.param].format(folder=tmp_path)
    opened = open_store(url, sync="full" if request.param.endswith("full") else "normal")
    yield opened
    opened.close()


def logged(store: Store, journey: str = "skincare") -> list[object]:
    return [row for batch in store.log(journey) for row in batch]


# --- what is written can be read


def test_an_empty_store_knows_nothing(store: Store) -> None:
    assert store.visitors(["v-1"]) == {}
    assert store.decisions(["d-1"]) == {}
    assert store.known_events(["e-1"]) == frozenset()
    assert store.lineage("v-1") == ("v-1",)
    assert store.history("v-1").decisions == store.history("v-1").events == ()
    assert logged(store) == []
    assert store.counts() == {"visitors": 0, "decisions": 0, "events": 0}


def test_no_ids_ask_for_nothing(store: Store) -> None:
    assert store.visitors([]) == {}
    assert store.decisions([]) == {}
    assert store.known_events([]) == frozenset()
    assert store.erased_at([]) == {}
    assert store.latest_open("skincare", [], "skin_quiz") is None
    assert store.commit([]) == []


def test_an_empty_commit_is_written(store: Store) -> None:
    assert store.commit([Commit()]) == [True]


def test_a_commit_can_be_read_back(store: Store) -> None:
    made, told = stored(audit=b"audit"), event()
    assert store.commit([Commit((visitor(state=b"s"),), (made,), (told,))]) == [True]
    assert store.visitors(["v-1"]) == {"v-1": StoredVisitor("v-1", 1, b"s")}
    assert store.decisions(["d-1"]) == {"d-1": made}
    assert store.known_events(["e-1", "e-2"]) == {"e-1"}
    assert store.history("v-1").events == (told.event,)


def test_every_field_of_a_decision_survives(store: Store) -> None:
    full = stored(
        status="deferred",
        answered_at=T0 + 9,
        audit=b"\x00audit",
        channel="email",
        context={"device": "mobile", "n": 3, "x": -0.1, "is_new": True, "one": 1.0, "zero": False},
        answers={"skin_type": "oily"},
        withheld=("purchase",),
        shown_at=T0 + 5,
        received_at=T0 + 7,
        is_learnable=False,
        catalog_digest="0f" * 32,
        fingerprint="not hexadecimal",
    )
    full = replace(full, request_digest=b"\xff" * 32)
    store.commit([Commit(decisions=(full,))])
    found = store.decisions(["d-1"])["d-1"]
    assert found == full
    assert {k: type(v) for k, v in found.decision.context.items()} == {
        k: type(v) for k, v in full.decision.context.items()
    }


def test_every_field_of_an_event_survives(store: Store) -> None:
    full = event(
        type="accepted",
        received_at=T0 + 5,
        ask_id="purchase",
        decision_id="d-1",
        signal="s",
        order_id="o-1",
        from_id="v-0",
        value=-12.75,
        answers={"skin_type": "dry", "age": 31},
    )
    store.commit([Commit(events=(full,))])
    assert store.history("v-1").events == (full.event,)


@pytest.mark.parametrize("digest", ["", "0F", "0f 0f", "abc", "ff" * 32, "v1"])
def test_digests_come_back_letter_by_letter(store: Store, digest: str) -> None:
    store.commit([Commit(decisions=(stored(catalog_digest=digest),))])
    assert store.decisions(["d-1"])["d-1"].decision.catalog_digest == digest


@pytest.mark.parametrize("eligible", [None, (), (None,), ("skin_quiz", None), ("skin_quiz",)])
def test_unknown_eligible_asks_differ_from_none_at_all(store: Store, eligible: tuple[str | None, ...] | None) -> None:
    store.commit([Commit(decisions=(stored(eligible=eligible, ask_id=None),))])
    assert store.decisions(["d-1"])["d-1"].decision.eligible == eligible


@pytest.mark.parametrize("propensity", [1 / 3, 0.1 + 0.2, 5e-324, 1.0, math.nextafter(1.0, 0.0)])
def test_propensities_are_exact_to_the_bit(store: Store, propensity: float) -> None:
    store.commit([Commit(decisions=(stored(propensity=propensity),))])
    found = store.decisions(["d-1"])["d-1"].decision.propensity
    assert found is not None
    assert found.hex() == propensity.hex()


@pytest.mark.parametrize("number", [2**53 + 1, 2**63 - 1, -(2**63), 2**64, -(2**80), 10**400])
def test_large_integers_survive(store: Store, number: int) -> None:
    made = stored(context={"n": number, "m": -1})
    told = event(answers={"n": number})
    store.commit([Commit(decisions=(made,), events=(told,))])
    assert store.decisions(["d-1"]) == {"d-1": made}
    assert store.history("v-1").events == (told.event,)


def test_undeclared_context_of_any_shape_survives(store: Store) -> None:
    made = stored(context={"cart": [1, {"sku": "a", "n": 2**70}], "empty": None})
    store.commit([Commit(decisions=(made,))])
    assert store.decisions(["d-1"]) == {"d-1": made}


@pytest.mark.parametrize("name", ["", "é" * 128, "日本語", "😀", "a\x00b", "' OR 1=1 --", "x" * 256, "e\u0301"])
def test_any_text_is_an_id(store: Store, name: str) -> None:
    commit = Commit((visitor(name),), (stored(name, name, context={name: name}),), (event(name, name),))
    assert store.commit([commit]) == [True]
    assert list(store.visitors([name])) == [name]
    assert store.decisions([name])[name].decision.visitor_id == name
    assert store.known_events([name]) == {name}
    assert store.lineage(name) == (name,)


def test_ids_that_look_alike_are_different(store: Store) -> None:
    alike = ["é", "e\u0301", "E\u0301", "e", "e ", "E"]
    store.commit([Commit(visitors=(visitor(name, state=name.encode()),)) for name in alike])
    assert {name: row.state for name, row in store.visitors(alike).items()} == {n: n.encode() for n in alike}


@pytest.mark.parametrize("n", [1, 2, 3, 255, 256, 257, 1_000])
def test_many_ids_are_read_at_once(store: Store, n: int) -> None:
    ids = [f"x-{i}" for i in range(n)]
    store.commit([Commit((visitor(id_),), (stored(id_),), (event(id_),)) for id_ in ids[::2]])
    assert store.visitors(ids).keys() == set(ids[::2])
    assert store.decisions(ids).keys() == set(ids[::2])
    assert store.known_events(ids) == set(ids[::2])


def test_an_id_asked_for_twice_is_found_once(store: Store) -> None:
    store.commit([Commit(visitors=(visitor(),))])
    assert list(store.visitors(["v-1", "v-1", "v-2"])) == ["v-1"]


# --- commits are conditional, and whole


def test_a_commit_on_an_old_version_leaves_nothing(store: Store) -> None:
    store.commit([Commit(visitors=(visitor(version=5, state=b"five"),))])
    late = Commit((visitor(expected=4, version=6),), (stored(),), (event(),))
    assert store.commit([late]) == [False]
    assert store.visitors(["v-1"])["v-1"].state == b"five"
    assert store.counts() == {"visitors": 1, "decisions": 0, "events": 0}


@pytest.mark.parametrize("expected", [0, 1])
def test_a_visitor_must_be_as_new_as_the_writer_believes(store: Store, expected: int) -> None:
    if expected == 0:
        store.commit([Commit(visitors=(visitor(),))])
    assert store.commit([Commit(visitors=(visitor(expected=expected),))]) == [False]


@pytest.mark.parametrize("duplicate", ["decision", "event"])
def test_a_commit_with_a_known_id_leaves_nothing(store: Store, duplicate: str) -> None:
    store.commit([Commit(decisions=(stored(),), events=(event(),))])
    first, second = ("d-1", "e-2") if duplicate == "decision" else ("d-2", "e-1")
    again = Commit((visitor(),), (stored("d-3"), stored(first)), (event("e-3"), event(second)))
    assert store.commit([again]) == [False]
    assert store.counts() == {"visitors": 0, "decisions": 1, "events": 1}


@pytest.mark.parametrize("commit", [Commit(decisions=(stored(), stored())), Commit(events=(event(), event()))])
def test_a_commit_that_claims_an_id_twice_is_refused(store: Store, commit: Commit) -> None:
    assert store.commit([commit]) == [False]
    assert store.counts() == {"visitors": 0, "decisions": 0, "events": 0}


def test_every_visitor_of_a_commit_must_be_current(store: Store) -> None:
    store.commit([Commit(visitors=(visitor("v-2"),))])
    for visitors in ((visitor("v-1"), visitor("v-2")), (visitor("v-2"), visitor("v-1"))):
        assert store.commit([Commit(visitors=visitors)]) == [False]
    assert store.visitors(["v-1"]) == {}


def test_a_later_commit_of_a_group_sees_the_earlier_ones(store: Store) -> None:
    group = [
        Commit((visitor(state=b"1"),), (stored("d-1"),), (event("e-1"),)),
        Commit((visitor(expected=0, state=b"x"),), (stored("d-2"),)),
        Commit((visitor(expected=1, state=b"2"),), (stored("d-1"),)),
        Commit((visitor(expected=1, state=b"2"),), (), (event("e-1"),)),
        Commit((visitor(expected=1, state=b"3"),), (stored("d-3"),), (event("e-3"),)),
    ]
    assert store.commit(group) == [True, False, False, False, True]
    assert store.visitors(["v-1"])["v-1"] == StoredVisitor("v-1", 2, b"3")
    assert store.counts() == {"visitors": 1, "decisions": 2, "events": 2}


def test_versions_may_jump_but_must_grow(store: Store) -> None:
    assert store.commit([Commit(visitors=(visitor(version=2**60),))]) == [True]
    with pytest.raises(ValueError, match="does not follow"):
        store.commit([Commit(visitors=(visitor("v-2"),)), Commit(visitors=(visitor(expected=7, version=7),))])
    assert store.visitors(["v-2"]) == {}


def test_a_commit_may_not_write_a_visitor_twice(store: Store) -> None:
    with pytest.raises(ValueError, match="twice"):
        store.commit([Commit(visitors=(visitor(), visitor(expected=1)))])


# --- statuses


def test_an_answer_changes_the_status_and_nothing_else(store: Store) -> None:
    made = stored(audit=b"a")
    store.commit([Commit(decisions=(made,)), Commit(statuses=(StatusWrite("d-1", "accepted", T0 + 5),))])
    assert store.decisions(["d-1"])["d-1"] == replace(made, status="accepted", answered_at=T0 + 5)


def test_a_status_without_a_time_keeps_the_time(store: Store) -> None:
    writes = (StatusWrite("d-1", "ignored", T0 + 5), StatusWrite("d-1", "open"))
    store.commit([Commit(decisions=(stored(),)), Commit(statuses=writes)])
    found = store.decisions(["d-1"])["d-1"]
    assert (found.status, found.answered_at) == ("open", T0 + 5)


def test_activation_moves_a_deferred_decision(store: Store) -> None:
    made = stored(status="deferred")
    write = StatusWrite("d-1", "open", received_at=T0 + 60, shown_at=T0 + 50)
    store.commit([Commit(decisions=(made,)), Commit(statuses=(write,))])
    found = store.decisions(["d-1"])["d-1"]
    assert found == write.applied_to(made)
    assert (found.decision.received_at, found.decision.seen_at) == (T0 + 60, T0 + 50)


def test_a_status_may_follow_its_decision_in_one_commit(store: Store) -> None:
    store.commit([Commit(decisions=(stored(),), statuses=(StatusWrite("d-1", "declined", T0),))])
    assert store.decisions(["d-1"])["d-1"].status == "declined"


def test_a_status_of_an_unknown_decision_changes_nothing(store: Store) -> None:
    assert store.commit([Commit((visitor(),), statuses=(StatusWrite("d-9", "accepted"),))]) == [True]
    assert store.decisions(["d-9"]) == {}


def test_a_refused_commit_changes_no_status(store: Store) -> None:
    store.commit([Commit((visitor(),), (stored(),))])
    store.commit([Commit((visitor(),), statuses=(StatusWrite("d-1", "accepted"),))])
    assert store.decisions(["d-1"])["d-1"].status == "open"


# --- the decision that an answer without an id belongs to


def test_the_latest_open_decision_is_the_one_seen_last(store: Store) -> None:
    made = [stored("d-1", at=T0), stored("d-3", at=T0 + 9, status="ignored"), stored("d-2", at=T0 + 1)]
    store.commit([Commit(decisions=tuple(made))])
    assert store.latest_open("skincare", ["v-1"], "skin_quiz") == made[1]


def test_an_activated_decision_counts_from_when_it_was_seen(store: Store) -> None:
    early = stored("d-1", at=T0, received_at=T0 + 99, shown_at=T0 + 50)
    store.commit([Commit(decisions=(early, stored("d-2", at=T0 + 20)))])
    assert store.latest_open("skincare", ["v-1"], "skin_quiz") == early


def test_equally_late_decisions_are_told_apart_by_id(store: Store) -> None:
    store.commit([Commit(decisions=(stored("d-2", "v-1"), stored("d-3", "v-2"), stored("d-1", "v-1")))])
    assert store.latest_open("skincare", ["v-2", "v-1"], "skin_quiz") == stored("d-3", "v-2")
    assert store.latest_open("skincare", ["v-1"], "skin_quiz") == stored("d-2", "v-1")


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "accepted"},
        {"status": "declined"},
        {"status": "deferred"},
        {"status": "expired"},
        {"scope": "history"},
        {"journey": "other"},
        {"ask_id": "purchase"},
        {"ask_id": None},
        {"visitor_id": "v-2"},
    ],
)
def test_other_decisions_are_not_open_for_an_answer(store: Store, changes: dict[str, str]) -> None:
    store.commit([Commit(decisions=(stored(**changes),))])
    assert store.latest_open("skincare", ["v-1"], "skin_quiz") is None


def test_open_decisions_are_found_across_a_lineage(store: Store) -> None:
    store.commit([Commit(decisions=tuple(stored(f"d-{i}", f"v-{i}", at=T0 + i % 7) for i in range(10)))])
    ids = [f"v-{i}" for i in range(10)] + ["unknown"]
    assert store.latest_open("skincare", ids, "skin_quiz") == stored("d-6", "v-6", at=T0 + 6)


# --- lineage and history


def test_a_lineage_follows_chains(store: Store) -> None:
    store.commit([merge("a", "b"), merge("c", "b"), merge("b", "d"), merge("x", "y")])
    assert store.lineage("d")[0] == "d"
    assert set(store.lineage("d")) == {"a", "b", "c", "d"}
    assert set(store.lineage("b")) == {"a", "b", "c"}
    assert store.lineage("a") == ("a",)


def test_a_lineage_that_bites_its_tail_ends(store: Store) -> None:
    store.commit([merge("a", "b"), merge("b", "c"), merge("c", "a"), merge("z", "z")])
    assert sorted(store.lineage("b")) == ["a", "b", "c"]
    assert store.lineage("z") == ("z",)


def test_a_visitor_that_becomes_another_leaves_its_old_lineage(store: Store) -> None:
    store.commit([merge("a", "b"), Commit(visitors=(visitor("a", expected=1, merged_into="c"),))])
    assert store.lineage("b") == ("b",)
    assert store.lineage("c") == ("c", "a")
    store.commit([Commit(visitors=(visitor("a", expected=2),))])
    assert store.lineage("c") == ("c",)


def test_history_is_in_order_of_arrival(store: Store) -> None:
    rows = [
        stored("d-4", at=T0 + 4, received_at=T0 + 4),
        stored("d-2", at=T0 + 9, received_at=T0 + 2),
        stored("d-3", at=T0 + 1, received_at=T0 + 4),
        stored("d-0", "v-0", at=T0, received_at=T0 + 1),
        stored("d-9", at=T0 + 4, received_at=T0 + 4, ask_id=None),
    ]
    told = [
        event("e-2", type="accepted"),
        event("e-9", type="left"),
        event("e-5", type="declined"),
        event("e-1", "v-0", at=T0 - 1),
    ]
    store.commit([merge("v-0", "v-1"), Commit(decisions=tuple(rows), events=tuple(told))])
    history = store.history("v-1")
    assert [s.decision.decision_id for s in history.decisions] == ["d-0", "d-2", "d-3", "d-9", "d-4"]
    assert [e.event_id for e in history.events] == ["e-1", "e-2", "e-5", "e-9", "merge-v-0-v-1"]


def test_history_and_log_hold_only_what_was_seen(store: Store) -> None:
    kept = [stored(f"k-{status}", status=status) for status in ("open", "accepted", "declined", "ignored")]
    kept.append(stored("k-null", ask_id=None))
    dropped = [stored("x-1", status="deferred"), stored("x-2", status="expired"), stored("x-3", scope="history")]
    store.commit([Commit(decisions=(*kept, *dropped))])
    ids = {s.decision.decision_id for s in kept}
    assert {s.decision.decision_id for s in store.history("v-1").decisions} == ids
    assert {row.decision_id for row in logged(store)} == ids  # type: ignore[attr-defined]


def test_an_activated_decision_enters_the_log(store: Store) -> None:
    write = StatusWrite("d-1", "open", received_at=T0 + 60, shown_at=T0 + 50)
    store.commit([Commit(decisions=(stored(status="deferred"),)), Commit(statuses=(write,))])
    assert logged(store) == [decision(received_at=T0 + 60, shown_at=T0 + 50)]


# --- erasure


def test_erasing_takes_the_whole_lineage_and_only_it(store: Store) -> None:
    everyone = ("a", "b", "c", "other")
    store.commit([Commit((), (stored(f"d-{v}", v),), (event(f"e-{v}", v),)) for v in everyone])
    store.commit([Commit(visitors=(visitor("c"), visitor("other"))), merge("a", "b"), merge("b", "c")])
    assert store.erase("c", T0) == 3 + 5 + 3
    assert store.counts() == {"visitors": 1, "decisions": 1, "events": 1}
    assert store.lineage("c") == ("c",)
    assert store.erased_at(everyone) == {"a": T0, "b": T0, "c": T0}


def test_erasing_one_that_became_another_deletes_the_merge(store: Store) -> None:
    store.commit([Commit((visitor("b"),), (), (event("e-b", "b"),)), merge("a", "b")])
    assert store.erase("a", T0) == 2
    assert store.known_events(["e-b", "merge-a-b"]) == {"e-b"}
    assert store.lineage("b") == ("b",)


def test_erasing_takes_decisions_made_from_histories(store: Store) -> None:
    store.commit([Commit(decisions=(stored(scope="history"), stored("d-2", status="deferred")))])
    assert store.erase("v-1", T0) == 2
    assert store.decisions(["d-1", "d-2"]) == {}


def test_erasing_a_stranger_leaves_a_tombstone(store: Store) -> None:
    assert store.erase("nobody", T0) == 0
    assert store.erased_at(["nobody", "v-1"]) == {"nobody": T0}


def test_a_tombstone_tells_the_last_erasure(store: Store) -> None:
    for at in (T0 + 5, T0 + 9, T0 + 1):
        store.erase("v-1", at)
    assert store.erased_at(["v-1"]) == {"v-1": T0 + 9}


def test_many_tombstones_are_read_at_once(store: Store) -> None:
    store.erase("v-7", T0)
    assert store.erased_at([f"v-{i}" for i in range(1_000)]) == {"v-7": T0}


def test_a_writer_that_knew_the_erased_visitor_is_refused(store: Store) -> None:
    store.commit([Commit(visitors=(visitor(),))])
    store.erase("v-1", T0)
    assert store.commit([Commit((visitor(expected=1),), (stored(),))]) == [False]
    assert store.counts() == {"visitors": 0, "decisions": 0, "events": 0}


def test_an_erased_visitor_may_come_back(store: Store) -> None:
    store.commit([Commit((visitor(),), (stored(),), (event(),))])
    store.erase("v-1", T0)
    assert store.commit([Commit((visitor(),), (stored(),), (event(),))]) == [True]
    assert store.history("v-1").decisions == (stored(),)


# --- the log


def test_the_log_is_that_of_one_journey(store: Store) -> None:
    store.commit([Commit(decisions=(stored(),), events=(event(),))])
    store.commit([Commit(decisions=(stored("d-2", journey="b"),), events=(event("e-2", journey="c"),))])
    assert logged(store) == [decision(), event().event]
    assert logged(store, "b") == [decision("d-2", journey="b")]
    assert logged(store, "nothing") == []
    assert store.journeys() == ("b", "c", "skincare")


def test_the_log_is_one_moment(store: Store) -> None:
    store.commit([Commit(decisions=(stored(),), events=(event(),))])
    log = store.log("skincare")
    seen = list(next(log))
    store.commit([Commit(decisions=(stored("d-2"),), events=(event("e-2"),))])
    store.erase("v-1", T0)
    seen += [row for batch in log for row in batch]
    assert seen == [decision(), event().event]
    assert logged(store) == []


def test_the_log_comes_in_batches(store: Store) -> None:
    n = 10_001
    store.commit([Commit(decisions=tuple(stored(f"d-{i}") for i in range(n)))])
    sizes = [len(batch) for batch in store.log("skincare")]
    assert sum(sizes) == n
    assert max(sizes) <= 10_000


def test_a_log_may_be_dropped(store: Store) -> None:
    store.commit([Commit(decisions=(stored(),), events=(event(),))])
    log = store.log("skincare")
    next(log)
    del log
    store.log("skincare")
    assert len(logged(store)) == 2


# --- keys


def test_keys_are_kept_oldest_first(store: Store) -> None:
    keys = [
        KeyRecord("k-2", "site", "hash", T0 + 1, "https://shop.example"),
        KeyRecord("k-3", "admin", "hash", T0),
        KeyRecord("k-1", "server", "hash", T0 + 1),
    ]
    for key in keys:
        store.add_key(key)
    assert store.keys() == (keys[1], keys[2], keys[0])


def test_a_key_is_revoked_once(store: Store) -> None:
    key = KeyRecord("k-1", "read", "hash", T0)
    store.add_key(key)
    assert store.revoke_key("k-1", T0 + 5)
    assert not store.revoke_key("k-1", T0 + 9)
    assert not store.revoke_key("k-2", T0)
    assert store.keys() == (replace(key, revoked_at=T0 + 5),)


def test_a_key_id_is_used_once(store: Store) -> None:
    store.add_key(KeyRecord("k-1", "read", "hash", T0))
    with pytest.raises(BadInput, match="k-1"):
        store.add_key(KeyRecord("k-1", "admin", "other", T0))
    kept = store.keys()
    assert [key.role for key in kept] == ["read"]


# --- the store itself


def test_a_sound_store_passes_its_check(store: Store) -> None:
    before = store.counts()
    store.check()
    assert store.counts() == before


@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.visitors(["v-1"]),
        lambda store: store.commit([Commit()]),
        lambda store: list(store.log("skincare")),
        lambda store: store.check(),
    ],
)
def test_a_closed_store_says_so(store: Store, use: Callable[[Store], object]) -> None:
    store.commit([Commit(visitors=(visitor(),))])
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        use(store)
