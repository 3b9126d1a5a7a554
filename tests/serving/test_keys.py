from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from data.errors import BadInput
from data.stores.protocol import KeyRecord
from serving.meters import Meters
from serving.office import Office
from serving.routes import PATHS
from tests.serving.shops import Clock, Shop, error_of, make_workspace, opened

ROLES = ("site", "server", "read", "admin")


def _add(shop: Shop, role: str, origin: str | None = None) -> None:
    digest = sha256(f"key-{role}".encode()).hexdigest()
    shop.office.store.add_key(KeyRecord(role, role, digest, 1, origin))  # type: ignore[arg-type]


def _key(role: str) -> dict[str, str]:
    return {"authorization": f"Bearer key-{role}"}


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Shop]:
    with opened(make_workspace(tmp_path)) as shop:
        for role in ROLES:
            _add(shop, role)
        shop.look()
        yield shop


def test_without_keys_only_this_machine_may_call(tmp_path: Path) -> None:
    with opened(make_workspace(tmp_path), address="192.0.2.1") as shop:
        assert error_of(shop.post("/v1/next-ask", {"visitor_id": "v"}), 401)["code"] == "unauthorized"
        assert shop.get("/livez").status_code == 200


def test_without_keys_a_key_that_is_sent_all_the_same_does_no_harm(shop: Shop) -> None:
    assert shop.get("/v1/policy", **_key("site")).status_code == 200


def test_a_key_that_is_added_counts_within_one_look(shop: Shop) -> None:
    assert shop.get("/v1/policy").status_code == 200
    _add(shop, "read")
    shop.look()
    assert shop.get("/v1/policy").status_code == 401
    assert shop.get("/v1/policy", **_key("read")).status_code == 200


def test_a_revoked_key_is_401_and_the_last_one_does_not_open_the_door(shop: Shop) -> None:
    _add(shop, "admin")
    shop.look()
    shop.office.store.revoke_key("admin", 2)
    shop.look()
    assert shop.get("/v1/policy", **_key("admin")).status_code == 401
    assert shop.get("/v1/policy").status_code == 401


@pytest.mark.parametrize("header", ["", "key-admin", "Basic key-admin", "Bearer", "Bearer ", "Bearer nope"])
def test_anything_but_a_known_bearer_key_is_401(locked: Shop, header: str) -> None:
    answer = locked.get("/v1/policy", authorization=header)
    assert error_of(answer, 401)["field"] == "Authorization"
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_what_every_role_may_call() -> None:
    allowed = {route.name: route.roles for methods in PATHS.values() for route in methods.values()}
    assert {name for name, roles in allowed.items() if "site" in roles} == {"next-ask", "next-asks", "outcomes"}
    assert {name for name, roles in allowed.items() if "server" in roles} == {
        "next-ask",
        "next-asks",
        "outcomes",
        "merge",
        "visitor",
        "erase",
    }
    reads = {route.name for methods in PATHS.values() for method, route in methods.items() if method == "GET"}
    assert {name for name, roles in allowed.items() if "read" in roles} == reads - {"livez", "readyz", "docs"}
    assert all("admin" in roles for roles in allowed.values() if roles)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("role", ROLES)
def test_a_key_is_let_in_where_its_role_may(locked: Shop, path: str, role: str) -> None:
    for method, route in PATHS[path].items():
        answer = locked.send(method, path.replace("{id}", "x"), {} if method == "POST" else None, **_key(role))
        is_allowed = not route.roles or role in route.roles
        assert (answer.status_code == 403) is not is_allowed, answer.text
        assert answer.status_code != 401


@pytest.mark.parametrize("path", PATHS)
def test_without_a_key_only_health_and_documentation_are_open(locked: Shop, path: str) -> None:
    for method, route in PATHS[path].items():
        answer = locked.send(method, path.replace("{id}", "x"), {} if method == "POST" else None)
        assert (answer.status_code == 401) is bool(route.roles)


@pytest.mark.parametrize(
    "fields", [{"trace": True}, {"decision_id": "d"}, {"history": []}, {"history": [], "at": "2025-11-21T12:00:00Z"}]
)
def test_a_site_key_gets_no_more_than_a_page_needs(locked: Shop, fields: dict[str, Any]) -> None:
    answer = locked.post("/v1/next-ask", {"visitor_id": "v", **fields}, **_key("site"))
    assert error_of(answer, 403)["field"] in fields
    assert locked.post("/v1/next-ask", {"visitor_id": "v", **fields}, **_key("server")).status_code == 200


def _site_report(locked: Shop, **fields: Any) -> dict[str, Any]:
    decision = locked.post("/v1/next-ask", {"visitor_id": "v"}, **_key("site")).json()
    event = {"type": "accepted", **{name: decision[name] for name in ("decision_id", "decision_token")}, **fields}
    return locked.post("/v1/outcomes", {"events": [event]}, **_key("site")).json()


def test_a_site_key_reports_with_the_token_of_the_decision(locked: Shop) -> None:
    assert _site_report(locked)["accepted"] == 1


@pytest.mark.parametrize("change", [{"decision_token": None}, {"decision_token": "1.x"}, {"type": "converted"}])
def test_what_a_site_key_may_not_report_is_rejected(locked: Shop, change: dict[str, Any]) -> None:
    assert _site_report(locked, **change)["rejected"][0]["error"]["code"] == "forbidden"


def test_the_value_that_a_site_key_reports_is_ignored(locked: Shop) -> None:
    decision = locked.post("/v1/next-ask", {"visitor_id": "v"}, **_key("site")).json()
    event = {"type": "accepted", "value": 1e6, **{n: decision[n] for n in ("decision_id", "decision_token")}}
    locked.post("/v1/outcomes", {"events": [event]}, **_key("site"))
    record = locked.get(f"/v1/decisions/{decision['decision_id']}", **_key("read")).json()
    assert record["answers"][0]["value"] is None


def test_a_beacon_needs_no_key_as_its_tokens_speak_for_it(locked: Shop) -> None:
    decision = locked.post("/v1/next-ask", {"visitor_id": "v"}, **_key("site")).json()
    event = {"type": "accepted", **{n: decision[n] for n in ("decision_id", "decision_token")}}
    answer = locked.post("/v1/outcomes", {"events": [event]}, content_type="text/plain")
    assert answer.json()["accepted"] == 1


def test_a_key_of_an_origin_is_refused_from_another_and_opens_cors_for_its_own(shop: Shop) -> None:
    _add(shop, "site", "https://shop.example")
    shop.look()
    own = shop.post("/v1/next-ask", {"visitor_id": "v"}, origin="https://shop.example", **_key("site"))
    assert own.headers["access-control-allow-origin"] == "https://shop.example"
    other = shop.post("/v1/next-ask", {"visitor_id": "v"}, origin="https://other.example", **_key("site"))
    assert error_of(other, 403)["field"] == "Origin"


def test_readiness_tells_details_only_to_those_who_may_read(tmp_path: Path) -> None:
    with opened(make_workspace(tmp_path, "format: 1\njourney: shop\n")) as shop:
        _add(shop, "read")
        shop.look()
        assert "is missing" not in shop.get("/readyz").text
        assert "is missing" in shop.get("/readyz", **_key("read")).text


def test_an_address_beyond_this_machine_needs_a_key(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, serve__host="0.0.0.0")
    with pytest.raises(BadInput, match="there is no key"):
        Office(workspace, Clock(), Meters())


def test_a_page_without_a_visitor_token_is_a_new_visitor(locked: Shop) -> None:
    def asked(role: str, **fields: Any) -> dict[str, Any]:
        answer = locked.post("/v1/next-ask", {"visitor_id": "v-17", **fields}, **_key(role))
        assert answer.status_code == 200
        decision: dict[str, Any] = answer.json()
        return decision

    token = asked("server")["visitor_token"]
    stranger = asked("site", answers={"skin": "dry"})
    assert stranger["visitor_id"] != "v-17"
    assert asked("site", visitor_token=token)["visitor_id"] == "v-17"
    assert asked("site", visitor_token=stranger["visitor_token"])["visitor_id"] != "v-17"
    assert locked.get("/v1/visitors/v-17", **_key("server")).json()["answers"] == {}
