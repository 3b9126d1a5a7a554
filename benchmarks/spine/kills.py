"""kill -9 of every process of the service under load: what was acknowledged is there, and answered the same again."""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.spine.places import big_catalog, make_place
from data.domain import Decision, Event
from data.stores.registry import open_store
from data.workspace import Workspace
from tests.journeys.services import Service, start

N_CLIENTS = 8
LOAD_S = 2.0


@dataclass
class Acknowledged:
    """What clients were told: the answer of each decision id, and the ids of accepted events."""

    decisions: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: set[str] = field(default_factory=set)


def run(size: int | None) -> int:
    n_kills = size or 20
    n_lost = 0
    total = Acknowledged()
    with tempfile.TemporaryDirectory() as folder:
        workspace = make_place(Path(folder), big_catalog(), workers=2)
        for kill in range(n_kills):
            service = start(workspace, Path(folder) / "service.log")
            try:
                service.wait_ready()
                n_lost += _asked_again(service, total)
                seen = _under_load(service, kill)
            finally:
                service.kill()
            n_lost += _missing(workspace, seen)
            total = seen
            print(
                f"kill {kill + 1}: {len(seen.decisions)} decisions, {len(seen.events)} events, lost so far {n_lost}",
                flush=True,
            )
    print(f"{n_kills} kills of every process: {n_lost} acknowledged decisions or events lost or changed")
    return int(n_lost > 0)


def _under_load(service: Service, round_number: int) -> Acknowledged:
    seen = Acknowledged()
    with ThreadPoolExecutor(N_CLIENTS) as pool:
        clients = [pool.submit(_client, service, f"{round_number}-{number}", seen) for number in range(N_CLIENTS)]
        time.sleep(LOAD_S)
        service.kill()
        for client in clients:
            client.result()
    return seen


def _client(service: Service, name: str, seen: Acknowledged) -> None:
    with service.client() as client:
        for step in range(1_000_000):
            decision_id, event_id = f"d-{name}-{step}", f"e-{name}-{step}"
            request = {"visitor_id": f"v-{name}-{step // 5}", "decision_id": decision_id, "journey": "big"}
            try:
                answer = client.post("/v1/next-ask", json=request)
                if answer.status_code != 200:
                    continue
                seen.decisions[decision_id] = answer.json()
                if answer.json()["ask"] is None:
                    continue
                event = {"type": "accepted", "decision_id": decision_id, "event_id": event_id}
                report = client.post("/v1/outcomes", json={"events": [event]})
                if report.status_code == 200 and report.json()["accepted"] == 1:
                    seen.events.add(event_id)
            except httpx.TransportError:
                return


def _missing(workspace: Workspace, seen: Acknowledged) -> int:
    """How much of what was acknowledged the store does not have."""
    store = open_store(workspace.store_url)
    try:
        rows = [row for batch in store.log("big") for row in batch]
    finally:
        store.close()
    decisions = {row.decision_id: row for row in rows if isinstance(row, Decision)}
    events = {row.event_id for row in rows if isinstance(row, Event)}
    n_changed = sum(
        decisions[id_].propensity != answer["propensity"] for id_, answer in seen.decisions.items() if id_ in decisions
    )
    return len(seen.decisions.keys() - decisions.keys()) + len(seen.events - events) + n_changed


def _asked_again(service: Service, seen: Acknowledged) -> int:
    """How many of the decisions before the kill are answered otherwise after it."""
    n_changed = 0
    with service.client() as client:
        for decision_id, answer in list(seen.decisions.items())[:500]:
            _, name, step = (
                decision_id.split("-", 1)[0],
                decision_id[2:].rpartition("-")[0],
                decision_id.rpartition("-")[2],
            )
            request = {"visitor_id": f"v-{name}-{int(step) // 5}", "decision_id": decision_id, "journey": "big"}
            n_changed += client.post("/v1/next-ask", json=request).json() != answer
    return n_changed
