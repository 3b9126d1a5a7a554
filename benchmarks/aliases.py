"""Alias flips under traffic: ``python -m benchmarks.aliases --flips 1000``.

A real service follows a real registry while the alias ``champion`` is moved from version to version and clients ask
without pause. No request may fail, and every answer must come from one version: the propensities, probabilities and
values of all candidates must be exactly those that ``policy.load`` gives for the version the answer names.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np

import policy
from data.catalog import dump_catalog, load_catalog
from data.workspace import Workspace, open_workspace
from policy.bundle import save_bundle
from policy.explorers import Greedy
from policy.registry import CHAMPION, Registry
from policy.scorers import ConstantScorer
from policy.syncing import sync
from tests.journeys.services import Service, free_port, served
from tests.policy.registries import journey_catalog
from training.cli.app import run

JOURNEY = "shop"
BATCH = 5
ASK = {"visitor_id": None, "trace": True}
EXPLORATIONS = (0.1, 0.2, 0.3, 0.4)


@dataclass
class Tally:
    """What the clients saw."""

    seconds: list[float] = field(default_factory=list)
    versions: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)


def make_shop(root: Path, workers: int) -> Workspace:
    (root / "journeys").mkdir(parents=True)
    (root / "journeys" / "shop.yaml").write_text(dump_catalog(journey_catalog(JOURNEY)))
    with redirect_stdout(StringIO()):
        code = run(["init", str(root)])
    if code:
        raise SystemExit("the workspace cannot be made")
    flags = {
        "serve.port": free_port(),
        "serve.poll_seconds": 0.05,
        "serve.workers": workers,
        "serve.deadline_ms": 5_000,
    }
    return open_workspace(root, {}, {**flags, "mlflow.poll_seconds": 0.2})


def register_versions(workspace: Workspace, registry: Registry) -> dict[str, Any]:
    """Versions that differ in every number; the candidates that each of them must answer with."""
    catalog = load_catalog(workspace.journeys / "shop.yaml")
    expected = {}
    for number, exploration in enumerate(EXPLORATIONS, 1):
        folder = workspace.var / f"bundle-{number}"
        asks = tuple(ask.id for ask in catalog.asks)
        values = {ask: 0.01 * number + 0.1 * ((place + number) % len(asks)) for place, ask in enumerate(asks)}
        scorer = ConstantScorer(asks, values)
        save_bundle(folder, scorer=scorer, explorer=Greedy(exploration), catalog=catalog, spec=None, info={})
        version = registry.register(JOURNEY, folder, {"gate": "better"})
        local = policy.load(folder).next_ask({**ASK, "history": []})
        expected[str(version.version)] = _numbers(local)
    return expected


def _numbers(decision: dict[str, Any]) -> list[list[Any]]:
    return [[one["ask_id"], one["propensity"], one["p_accept"], one["value"]] for one in decision["candidates"]]


class Client(threading.Thread):
    """Asks as fast as it is answered; every fourth time for several visitors at once."""

    def __init__(self, service: Service, expected: dict[str, Any], is_over: threading.Event) -> None:
        super().__init__(daemon=True)
        self._service = service
        self._expected = expected
        self._is_over = is_over
        self.tally = Tally()

    def run(self) -> None:
        with self._service.client() as client:
            for number in range(10**9):
                if self._is_over.is_set():
                    return
                started = time.perf_counter()
                try:
                    if number % 4:
                        answer = client.post("/v1/next-ask", json=ASK)
                    else:
                        answer = client.post("/v1/next-asks", json={"requests": [ASK] * BATCH})
                except httpx.HTTPError as error:
                    self.tally.failures.append(repr(error))
                    continue
                self.tally.seconds.append(time.perf_counter() - started)
                if answer.status_code != 200:
                    self.tally.failures.append(answer.text)
                    continue
                content = answer.json()
                for decision in content.get("decisions", [content]):
                    self._judge(decision)

    def _judge(self, decision: dict[str, Any]) -> None:
        if "error" in decision:
            self.tally.failures.append(json.dumps(decision))
            return
        named = decision["policy"]
        version = str(named["version"])
        self.tally.versions[version] = self.tally.versions.get(version, 0) + 1
        drawn = {one[0]: one[1] for one in _numbers(decision)}[decision["ask"]["id"]]
        if (
            named["name"] != "champion"
            or _numbers(decision) != self._expected.get(version)
            or decision["propensity"] != drawn
        ):
            self.tally.mixed.append(json.dumps(decision))


def flip(service: Service, registry: Registry, n_flips: int, limit_s: float) -> list[float]:
    """Moves the alias; every second time this process brings the pointer up to date, else only the poller does."""
    workspace, seconds = service.workspace, []
    deadline = time.monotonic() + limit_s
    with service.client() as client:
        for number in range(n_flips):
            if time.monotonic() > deadline:
                break
            version = str(1 + (number + 1) % len(EXPLORATIONS))
            started = time.monotonic()
            registry.set_alias(JOURNEY, CHAMPION, int(version))
            if number % 2:
                sync(registry, workspace.policies, JOURNEY)
            while _champion(client) != version:
                if time.monotonic() - started > 30:
                    raise SystemExit(f"version {version} was not followed within 30 s\n{service.log.read_text()}")
                time.sleep(0.01)
            seconds.append(time.monotonic() - started)
    return seconds


def _champion(client: httpx.Client) -> str | None:
    champion = client.get("/v1/policy").json()["journeys"][JOURNEY]["champion"]
    return None if champion is None else str(champion["version"])


def measure(n_flips: int, n_clients: int, workers: int, limit_s: float) -> dict[str, Any]:
    """Everything that was seen, as plain values."""
    with tempfile.TemporaryDirectory(prefix="smallyes-aliases-") as folder:
        workspace = make_shop(Path(folder) / "shop", workers)
        registry = Registry.open(workspace)
        expected = register_versions(workspace, registry)
        registry.set_alias(JOURNEY, CHAMPION, 1)
        sync(registry, workspace.policies, JOURNEY)
        is_over = threading.Event()
        with served(workspace) as service:
            service.wait(lambda client: _champion(client) == "1")
            clients = [Client(service, expected, is_over) for _ in range(n_clients)]
            for client in clients:
                client.start()
            started = time.monotonic()
            try:
                follow_s = flip(service, registry, n_flips, limit_s)
            finally:
                is_over.set()
                for client in clients:
                    client.join(30)
            return _summary([client.tally for client in clients], follow_s, time.monotonic() - started)


def _summary(tallies: list[Tally], follow_s: list[float], took_s: float) -> dict[str, Any]:
    seconds = np.concatenate([tally.seconds for tally in tallies])
    versions: dict[str, int] = {}
    for tally in tallies:
        for version, n in tally.versions.items():
            versions[version] = versions.get(version, 0) + n
    return {
        "flips": len(follow_s),
        "seconds": round(took_s, 1),
        "follow_s": {"median": round(float(np.median(follow_s)), 3), "max": round(max(follow_s), 3)},
        "requests": len(seconds),
        "decisions": dict(sorted(versions.items())),
        "request_ms": {f"p{q}": round(1_000 * float(np.percentile(seconds, q)), 1) for q in (50, 99, 100)},
        "failed": sum(len(tally.failures) for tally in tallies),
        "mixed": sum(len(tally.mixed) for tally in tallies),
        "first_failures": [text[:300] for tally in tallies for text in (tally.failures + tally.mixed)[:2]],
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.aliases", description=__doc__)
    parser.add_argument("--flips", type=int, default=1_000)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--limit", type=float, default=900.0, help="Seconds after which no further flip begins.")
    given = parser.parse_args()
    found = measure(given.flips, given.clients, given.workers, given.limit)
    print(json.dumps(found, indent=2))
    return 1 if found["failed"] or found["mixed"] or set(found["decisions"]) - {"1", "2", "3", "4"} else 0


if __name__ == "__main__":
    sys.exit(main())
