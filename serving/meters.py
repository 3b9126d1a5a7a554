"""What is counted: one place for every metric of the service, in the format of Prometheus.

In a worker of BentoML (it sets ``PROMETHEUS_MULTIPROC_DIR``) the numbers are those of all workers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from policy.asking import Asking

_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
CONTENT_TYPE: Final = CONTENT_TYPE_LATEST.encode()


class Meters:
    """The metrics of a service; every method is cheap enough for each request."""

    def __init__(self) -> None:
        # Without a registry of our own a second set in the same process would clash with the first.
        self._registry = CollectorRegistry()
        decisions = self._counter("decisions", "Decisions made.", ("journey", "ask", "policy"))
        outcomes = self._counter("outcomes", "Events reported, by what became of them.", ("result",))
        errors = self._counter("errors", "Requests that were refused or failed.", ("route", "status"))
        seconds = self._histogram("request_seconds", "Seconds from a request's arrival to its answer.", ("route",))
        # A metric with its labels: looking it up by labels each time would cost as much as counting.
        self._decisions = cache(decisions.labels)
        self._outcomes = cache(outcomes.labels)
        self._errors = cache(errors.labels)
        self._seconds = cache(seconds.labels)
        self._blocked = self._counter("blocked", "Asks that a guardrail ruled out of a decision.", ("guardrail",))
        self._blocked_since: dict[str, int] = {}
        self._store_errors = self._counter("store_errors", "Groups that the store could not take.", ())
        self._commit_seconds = self._histogram(
            "commit_seconds", "Seconds that a group of requests took from reading its rows to being durable.", ()
        )
        self._faults = self._gauge("catalog_faults", "Faults in catalog files, which therefore are not in force.")
        self._troubles = self._gauge("policy_troubles", "Journeys whose live policy cannot be loaded.")
        self._registry_troubles = self._gauge(
            "registry_troubles", "Things that keep the service from following the registry; what is live stays live."
        )

    def decided(self, work: Asking) -> None:
        """Counts a decision that was made now (an answer given again is none)."""
        if not work.is_new or work.result is None:
            return
        ask = work.result["ask"]
        self._decisions(work.result["journey"], ask["id"] if ask else "", work.label).inc()
        tally = self._blocked_since
        for guardrail in work.blocked_by:
            tally[guardrail] = tally.get(guardrail, 0) + 1

    def heard(self, report: Mapping[str, Any]) -> None:
        """Counts the events of a batch of outcomes."""
        for result, n in (
            ("accepted", report["accepted"]),
            ("duplicate", report["duplicates"]),
            ("rejected", len(report["rejected"])),
        ):
            if n:
                self._outcomes(result).inc(n)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Counts a request."""
        self._seconds(route).observe(seconds)
        if status >= 400:
            self._errors(route, str(status)).inc()

    def committed(self, seconds: float) -> None:
        """Notes how long a group took."""
        self._commit_seconds.observe(seconds)

    def store_failed(self) -> None:
        """Counts a group that the store could not take."""
        self._store_errors.inc()

    def following(self, n_faults: int, n_troubles: int, n_registry_troubles: int) -> None:
        """Notes what is wrong with catalogs, policies and the registry now; called every few seconds."""
        self._faults.set(n_faults)
        self._troubles.set(n_troubles)
        self._registry_troubles.set(n_registry_troubles)
        self._publish()

    def text(self) -> bytes:
        """All metrics, of all workers."""
        self._publish()
        registry = self._registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def _publish(self) -> None:
        """Adds what was tallied: a decision may be blocked at every ask, and each count costs a microsecond."""
        tally, self._blocked_since = self._blocked_since, {}
        for guardrail, n in tally.items():
            self._blocked.labels(guardrail).inc(n)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"smallyes_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, labels: tuple[str, ...]) -> Histogram:
        return Histogram(f"smallyes_{name}", text, labels, registry=self._registry, buckets=_SECONDS)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(f"smallyes_{name}", text, registry=self._registry, multiprocess_mode="mostrecent")
