from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.routes import PATHS
from tests.serving.shops import Shop, error_of, make_workspace, opened

POSTS = ["/v1/next-ask", "/v1/next-asks", "/v1/outcomes", "/v1/visitors/merge"]


@pytest.mark.parametrize("path", ["/v2/next-ask", "/v1", "/v1/", "/v1/next-ask/", "/v1/decisions/", "/v1/visitors"])
def test_an_unknown_path_is_404(shop: Shop, path: str) -> None:
    assert error_of(shop.get(path), 404)["code"] == "not_found"


@pytest.mark.parametrize("path", POSTS)
def test_another_method_is_405_and_says_which_are_allowed(shop: Shop, path: str) -> None:
    answer = shop.send("PUT", path, {})
    assert error_of(answer, 405)["code"] == "method_not_allowed"
    assert "POST" in answer.headers["allow"]


def test_a_visitor_called_merge_can_be_read_and_erased(shop: Shop) -> None:
    assert error_of(shop.get("/v1/visitors/merge"), 404)["code"] == "unknown_visitor"
    assert shop.send("DELETE", "/v1/visitors/merge").status_code == 200


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("kind", ["", "text/html", "application/x-www-form-urlencoded", "application/jsonx"])
def test_a_body_that_is_not_declared_as_json_is_415(shop: Shop, path: str, kind: str) -> None:
    answer = shop.post(path, {"visitor_id": "v"}, content_type=kind)
    assert "application/json" in error_of(answer, 415)["allowed"]


def test_a_content_type_may_have_parameters_and_capitals(shop: Shop) -> None:
    answer = shop.post("/v1/next-ask", {"visitor_id": "v"}, content_type="Application/JSON; charset=utf-8")
    assert answer.status_code == 200


def test_a_compressed_body_is_415(shop: Shop) -> None:
    answer = shop.post("/v1/next-ask", b"\x1f\x8b", content_encoding="gzip")
    assert error_of(answer, 415)["field"] == "Content-Encoding"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b'{"visitor_id": "v", }', b'{"visitor_id": "\\ud800"}', b"[" * 100_000]
)
@pytest.mark.parametrize("path", POSTS)
def test_json_that_is_not_json_is_400(shop: Shop, path: str, body: bytes) -> None:
    assert error_of(shop.post(path, body), 400)["code"] == "malformed_json"


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("content", [[], "text", 1, {}, {"nonsense": 1}])
def test_json_of_another_shape_is_422(shop: Shop, path: str, content: object) -> None:
    assert error_of(shop.post(path, content), 422)["code"] == "invalid_request"


@pytest.mark.parametrize("path", ["/v1/next-ask", "/v1/outcomes", "/v1/visitors/merge"])
def test_a_body_over_the_limit_is_413(shop: Shop, path: str) -> None:
    error = error_of(shop.post(path, b" " * (1 << 20) + b"{}"), 413)
    assert (error["received"], error["allowed"]) == ((1 << 20) + 2, 1 << 20)


def test_a_batch_may_be_eight_times_as_large(shop: Shop) -> None:
    body = b" " * (8 << 20) + b"{}"
    assert error_of(shop.post("/v1/next-asks", body[2:]), 422)
    assert error_of(shop.post("/v1/next-asks", body), 413)["allowed"] == 8 << 20


def test_chunks_are_counted_while_they_come_in(shop: Shop) -> None:
    async def chunks() -> Any:
        for _ in range(20):
            yield b" " * 100_000

    answer = shop.portal.call(
        lambda: shop.client.post("/v1/next-ask", content=chunks(), headers={"content-type": "application/json"})
    )
    assert error_of(answer, 413)["code"] == "body_too_large"


def test_every_answer_has_a_request_id_and_takes_over_a_given_one(shop: Shop) -> None:
    assert shop.get("/livez").headers["x-request-id"] != shop.get("/livez").headers["x-request-id"]
    assert shop.get("/livez", x_request_id="mine-1").headers["x-request-id"] == "mine-1"
    assert shop.get("/livez", x_request_id="no good").headers["x-request-id"] != "no good"


def test_head_is_answered_where_get_is(shop: Shop) -> None:
    assert shop.send("HEAD", "/livez").status_code == 200
    assert shop.send("HEAD", "/v1/next-ask").status_code == 405


def test_only_the_documentation_page_is_left_to_the_framework(shop: Shop) -> None:
    assert shop.get("/").text == "page"
    for path in ("/schema.json", "/healthz", "/x"):
        assert shop.get(path).status_code == 404


def test_before_the_office_is_open_everything_is_503(shop: Shop) -> None:
    from serving.door import Entrance

    entrance = Entrance()
    shop.client._transport.app._entrance = entrance  # type: ignore[attr-defined]
    assert error_of(shop.get("/livez"), 503)["code"] == "starting"


def test_no_exception_leaves_the_door(shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr(shop.office.meters, "decided", _break)
    answer = shop.post("/v1/next-ask", {"visitor_id": "v"})
    assert error_of(answer, 500)["code"] == "internal"
    assert "secret detail" not in answer.text
    assert "secret detail" in caplog.text


def _break(*_: object) -> None:
    raise KeyError("secret detail")


def test_a_request_that_takes_too_long_is_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(make_workspace(tmp_path, serve__deadline_ms=50)) as shop:
        monkeypatch.setattr(shop.office.store, "erase", lambda *_: time.sleep(0.3))
        answer = shop.send("DELETE", "/v1/visitors/v")
        assert error_of(answer, 503)["code"] == "deadline"
        assert answer.headers["retry-after"] == "1"


def _scope(path: str = "/v1/next-ask") -> dict[str, Any]:
    headers = [(b"content-type", b"application/json")]
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "headers": headers,
        "server": ("127.0.0.1", 80),
    }


def _through(shop: Shop, receive: Any) -> list[dict[str, Any]]:
    """What the door sends to a client that behaves like this."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    shop.portal.call(shop.client._transport.app, _scope(), receive, send)  # type: ignore[attr-defined]
    return sent


def test_a_client_that_goes_away_in_the_middle_hurts_nobody(shop: Shop) -> None:
    messages = iter([{"type": "http.request", "body": b'{"visi', "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> dict[str, Any]:
        return next(messages)

    assert _through(shop, receive)[0]["status"] == 400
    assert shop.ask()["decision_id"]


def test_a_client_that_never_ends_its_body_is_answered_all_the_same(tmp_path: Path) -> None:
    async def receive() -> dict[str, Any]:
        await asyncio.sleep(10)
        return {}

    with opened(make_workspace(tmp_path, serve__deadline_ms=50)) as shop:
        assert _through(shop, receive)[0]["status"] == 503


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Shop]:
    with opened(make_workspace(tmp_path, serve__cors_origins=("https://shop.example",))) as shop:
        yield shop


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/next-ask"), ("GET", "/nowhere"), ("GET", "/livez")])
def test_every_answer_carries_cors_headers(page: Shop, method: str, path: str) -> None:
    answer = page.send(method, path, {"visitor_id": 1}, origin="https://shop.example")
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert answer.headers["vary"] == "Origin"


def test_another_origin_is_not_let_in(page: Shop) -> None:
    answer = page.get("/livez", origin="https://other.example")
    assert "access-control-allow-origin" not in answer.headers


def test_a_star_lets_every_origin_in(tmp_path: Path) -> None:
    with opened(make_workspace(tmp_path, serve__cors_origins=("*",))) as shop:
        assert shop.get("/livez", origin="https://any.example").headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", POSTS)
def test_a_preflight_is_answered_without_a_key(page: Shop, path: str) -> None:
    answer = page.send("OPTIONS", path, origin="https://shop.example", access_control_request_method="POST")
    assert answer.status_code == 204
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "Authorization" in answer.headers["access-control-allow-headers"]


def test_a_preflight_of_another_origin_allows_nothing(page: Shop) -> None:
    answer = page.send("OPTIONS", "/v1/next-ask", origin="https://other.example")
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_the_table_of_routes_names_each_route_once() -> None:
    names = [route.name for methods in PATHS.values() for route in methods.values()]
    assert len(names) == len(set(names))


def test_floats_come_back_exactly(shop: Shop) -> None:
    asked = shop.ask(exclude=["quiz", "save", "buy"])
    assert asked["ask"]["payload"] == {"url": "/guide", "score": 0.1}
    assert json.loads(json.dumps(asked)) == asked
