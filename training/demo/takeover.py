"""A version takes over while requests are coming in: who answered each of them, and whether any was lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from data.errors import Unavailable
from training.demo.service import Client, Service

PAUSE_S: Final = 0.02
"""Between two requests of the watch."""


@dataclass
class Watch:
    """What a stream of requests saw. They bring their own history, so that nothing is learned from them.

    Attributes:
        n_requests: answered.
        n_failed: not answered, or with an error.
        labels: who answered the visitors of no fixed arm, in order, each name once for every run of answers.
    """

    n_requests: int = 0
    n_failed: int = 0
    labels: list[str] = field(default_factory=list)

    def saw(self, answer: dict[str, Any]) -> None:
        """Takes an answer in."""
        self.n_requests += 1
        label = label_of(answer)
        if not label.startswith(("holdout", "challenger")) and self.labels[-1:] != [label]:
            self.labels.append(label)


def label_of(answer: dict[str, Any]) -> str:
    """Who answered, as logs name it.

    Example:
        >>> label_of({"policy": {"name": "champion", "version": "2"}})
        'champion:2'
    """
    policy = answer["policy"]
    return policy["name"] if policy["version"] is None else f"{policy['name']}:{policy['version']}"


@dataclass(frozen=True)
class Takeover:
    """How the second version went live.

    Attributes:
        version: its number.
        is_forced: whether the gate alone would not have done it.
        watch: the requests meanwhile.
        witness: a decision it made.
        process_ids: of the service, before and after.
    """

    version: int
    is_forced: bool
    watch: Watch
    witness: dict[str, Any]
    process_ids: tuple[tuple[int, ...], tuple[int, ...]]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        before, after = self.process_ids
        return {
            "version": self.version,
            "forced": self.is_forced,
            "requests": self.watch.n_requests,
            "failed": self.watch.n_failed,
            "answered_by": self.watch.labels,
            "same_processes": before == after,
            "process_id": after[0],
        }


@contextmanager
def watching(service: Service, journey: str) -> Iterator[Watch]:
    """Sends requests side by side with whatever is done inside."""
    watch, is_over = Watch(), threading.Event()

    def ask() -> None:
        number = 0
        with Client(service, is_patient=False) as client:
            while not is_over.is_set():
                number += 1
                request = {"visitor_id": f"watch-{number}", "journey": journey, "channel": "web", "history": []}
                try:
                    watch.saw(client.next_ask(request))
                except Unavailable:
                    watch.n_failed += 1
                is_over.wait(PAUSE_S)

    thread = threading.Thread(target=ask, daemon=True, name="watch")
    thread.start()
    try:
        yield watch
    finally:
        is_over.set()
        thread.join()


def first_answer_of(service: Service, journey: str, label: str, within_s: float) -> dict[str, Any]:
    """A traced decision for a new visitor that a version made.

    Raises:
        Unavailable: none was made in time.
    """
    ends_at, number = time.monotonic() + within_s, 0
    with Client(service) as client:
        while time.monotonic() < ends_at:
            number += 1
            request = {
                "visitor_id": f"witness-{number}",
                "journey": journey,
                "context": {"device": "mobile", "referrer": "video"},
                "trace": True,
                "history": [],
            }
            answer = client.next_ask(request)
            if label_of(answer) == label:
                return answer
            time.sleep(PAUSE_S)
    raise Unavailable(f"no decision was made by {label} within {within_s:g} s")
