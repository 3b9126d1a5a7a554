"""Fifty thousand simulated decisions through HTTP, exported, and every one recomputed from the log alone, bit for bit.

Simulated visitors pass through day zero, a champion, a trial with a challenger, and every kind of holdout; some
requests exclude asks, give consents, are deferred, or ask for no profile; some visitors are merged.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.spine.places import go_live, make_place, policy_folder, with_every_arm
from data.arrivals import arrange
from data.arrivals.histories import histories
from data.clock import now
from data.domain import Catalog
from data.log import read_log
from data.simulator.drive import DriveOptions, drive
from data.simulator.worlds import world as find_world
from data.workspace import Workspace
from policy.bundle import load_bundle
from policy.live import LiveJourney, LivePolicy
from policy.replay import replay
from tests.journeys.services import served

CHUNKS = 30
SEED = 11


class HttpSite:
    """The driver's site: the service over HTTP, spiced with what the simulated visitors do not do by themselves."""

    def __init__(self, client: httpx.Client, catalog: Catalog, rng: np.random.Generator) -> None:
        self._client, self._rng = client, rng
        self._asks = [ask.id for ask in catalog.asks]
        self.n_decisions = 0

    def next_ask(self, request: dict[str, Any]) -> dict[str, Any]:
        draw = self._rng.random()
        if draw < 0.1:
            request = {**request, "exclude": [str(self._rng.choice(self._asks))]}
        elif draw < 0.15:
            request = {**request, "deferred": True}
        elif draw < 0.18:
            request = {**request, "profile": False}
        self.n_decisions += 1
        answer = self._client.post("/v1/next-ask", json=request)
        answer.raise_for_status()
        decision: dict[str, Any] = answer.json()
        if draw > 0.998:
            merge = {"from": request["visitor_id"], "to": f"user-{self._rng.integers(1_000)}"}
            self._client.post("/v1/visitors/merge", json=merge).raise_for_status()
        return decision

    def outcomes(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        answer = self._client.post("/v1/outcomes", json={"events": events})
        answer.raise_for_status()
        report: dict[str, Any] = answer.json()
        return report


def run(size: int | None) -> int:
    n = size or 50_000
    world = find_world("skincare")
    catalog = with_every_arm(world.catalog)
    with tempfile.TemporaryDirectory() as folder:
        workspace = make_place(Path(folder), catalog, has_model=False)
        n_decisions = _drive(workspace, replace(world, catalog=catalog), n)
        out = Path(folder) / "log.parquet"
        command = [sys.executable, "-m", "training.cli", "export", "--workspace", folder, "--out", str(out)]
        subprocess.run(command, check=True)
        return _recompute(workspace, catalog, out, n_decisions)


def _drive(workspace: Workspace, world: Any, n: int) -> int:
    rng = np.random.default_rng(SEED)
    stage = 0
    with served(workspace) as service, service.client() as client:
        site = HttpSite(client, world.catalog, rng)
        seed = 0
        while site.n_decisions < n:
            if stage == 0 and site.n_decisions > n // 3:
                go_live(workspace, world.catalog, "1")
                stage = 1
            elif stage == 1 and site.n_decisions > 2 * n // 3:
                go_live(workspace, world.catalog, "2", challenger="3")
                stage = 2
            seed += 1
            options = DriveOptions(is_stamped=False)
            drive(world, site, n_visitors=max(5, n // CHUNKS // 4), seed=seed, started_at=now(), options=options)
            print(f"{site.n_decisions} decisions", file=sys.stderr, flush=True)
    return site.n_decisions


def _recompute(workspace: Workspace, catalog: Catalog, out: Path, n_asked: int) -> int:
    log = read_log(out)
    arrivals = arrange(log.frame, catalog)
    versions = {
        version: LivePolicy.of(load_bundle(policy_folder(workspace, catalog, version), catalog), version)
        for version in ("1", "2", "3")
    }
    seen, wrong = Counter[str](), Counter[str]()
    for item in replay(histories(arrivals), LiveJourney(catalog), versions):
        seen[item.decision.policy] += 1
        wrong[item.decision.policy] += not item.is_reproduced
    print(f"{n_asked} decisions asked over HTTP; {seen.total()} in the exported log (deferred ones only once seen)")
    print(
        f"rows refused {len(log.quarantined)}, duplicates {arrivals.n_duplicates}, set aside {len(arrivals.set_aside)}"
    )
    print("| policy | decisions | not reproduced |\n|---|---|---|")
    for policy, n in sorted(seen.items()):
        print(f"| {policy} | {n} | {wrong[policy]} |")
    print(f"eligible set and propensity reproduced bit for bit: {seen.total() - wrong.total()} of {seen.total()}")
    return int(wrong.total() > 0)
