"""Ten thousand decisions for one visitor from two workers at once: the cap of 500 a day must hold exactly."""

from __future__ import annotations

import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from benchmarks.spine.places import big_catalog, make_place
from data.domain import Limits
from tests.journeys.services import Service, served

CAP = 500
N_CLIENTS = 16


def run(size: int | None) -> int:
    n = size or 10_000
    catalog = replace(big_catalog(), limits=Limits(max_asks_per_day=CAP))
    with tempfile.TemporaryDirectory() as folder:
        workspace = make_place(Path(folder), catalog, workers=2)
        with served(workspace) as service:
            service.wait(lambda _: len(service.workers()) >= 2)
            with ThreadPoolExecutor(N_CLIENTS) as pool:
                counts = sum(pool.map(lambda _: _ask(service, n // N_CLIENTS), range(N_CLIENTS)), Counter[str]())
    print(f"{counts.total()} decisions for one visitor from {N_CLIENTS} clients of two workers: {dict(counts)}")
    print(f"asked {counts['asked']} times; the cap is {CAP}")
    return int(counts["asked"] != min(CAP, n) or counts["failed"] > 0)


def _ask(service: Service, n: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    with service.client() as client:
        for _ in range(n):
            answer = client.post("/v1/next-ask", json={"visitor_id": "one", "journey": "big"})
            if answer.status_code != 200:
                counts["failed"] += 1
            else:
                counts["asked" if answer.json()["ask"] is not None else "nothing"] += 1
    return counts
