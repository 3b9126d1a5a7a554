"""A small site to serve in tests: its catalog, its workspace, and the service in this process without a port."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from data.domain import SECOND
from data.workspace import Workspace, open_workspace
from serving.door import Door, Entrance
from serving.meters import Meters
from serving.office import Office

NOON = 1_763_726_400 * SECOND
"""2025-11-21T12:00:00Z."""

CATALOG = """
format: 1
journey: shop
title: A shop
goal: buy
baseline: [quiz, guide, save, buy]
conversion_window: 7d
exploration: {day_zero: 0.5}
context:
  device: {type: category, values: [desktop, mobile]}
answers:
  skin: {type: category, values: [dry, oily]}
signals: [page_view]
limits: {max_asks_per_session: 5}
asks:
  - {id: quiz, title: Your skin?, kind: quiz, effort: 1, gives: 3, collects: [skin], why: To help you.}
  - {id: guide, title: A guide, kind: content, effort: 2, gives: 4, payload: {url: /guide, score: 0.1}}
  - {id: save, title: Keep it, kind: save, effort: 3, gives: 2}
  - {id: mail, title: By e-mail, kind: signup, effort: 4, gives: 4, consent: email}
  - {id: buy, title: Buy, kind: purchase, effort: 8, gives: 5}
"""


def make_workspace(root: Path, *catalogs: str, **settings: object) -> Workspace:
    """A workspace with these catalogs (default: the shop's); settings by dotted name with ``__`` for the dot."""
    for folder in ("journeys", "var"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "smallyes.toml").touch()
    for number, catalog in enumerate(catalogs or (CATALOG,)):
        (root / "journeys" / f"{number}.yaml").write_text(catalog, encoding="utf-8")
    flags = {name.replace("__", "."): value for name, value in settings.items()}
    return open_workspace(root, {}, {"secret": "a secret of tests", "serve.deadline_ms": 30_000, **flags})


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> int:
        return self.now

    def pass_s(self, seconds: float) -> None:
        """Lets time pass."""
        self.now += int(seconds * SECOND)


class Shop:
    """The service behind its door, spoken to like a server."""

    def __init__(self, portal: BlockingPortal, client: httpx.AsyncClient, office: Office, clock: Clock) -> None:
        self.portal = portal
        self.client = client
        self.office = office
        self.clock = clock

    def send(self, method: str, path: str, content: object = None, **headers: str) -> httpx.Response:
        """One request; ``content`` is sent as JSON unless it is bytes."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        given = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        if content is None:
            body = b""
        return self.portal.call(lambda: self.client.request(method, path, content=body, headers=given))

    def get(self, path: str, **headers: str) -> httpx.Response:
        """A GET."""
        return self.send("GET", path, **headers)

    def post(self, path: str, content: object, **headers: str) -> httpx.Response:
        """A POST."""
        return self.send("POST", path, content, **headers)

    def ask(self, visitor_id: str | None = "v-1", **fields: Any) -> dict[str, Any]:
        """A decision."""
        answer = self.post("/v1/next-ask", {"visitor_id": visitor_id, **fields})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def tell(self, *events: dict[str, Any]) -> dict[str, Any]:
        """Reports outcomes."""
        answer = self.post("/v1/outcomes", {"events": list(events)})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def look(self) -> None:
        """What the service does every few seconds."""
        self.office.look()


async def _behind(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"page"})


@contextmanager
def opened(workspace: Workspace, *, address: str = "127.0.0.1") -> Iterator[Shop]:
    """The service on a workspace, reached at an address of this machine."""
    clock = Clock()
    office = Office(workspace, clock, Meters())
    transport = httpx.ASGITransport(Door(_behind, Entrance(office)))
    with start_blocking_portal() as portal:
        portal.call(office.start)
        client = httpx.AsyncClient(transport=transport, base_url=f"http://{address}")
        try:
            yield Shop(portal, client, office, clock)
        finally:
            portal.call(client.aclose)
            portal.call(office.stop)


def error_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The error in an answer of this status, in the one shape."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "field", "received", "allowed"}
    return error
