"""Live visitors: simulated ones, who come in real time, over HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeAlias

from data.clock import now
from data.domain import DAY, SECOND
from data.simulator.clock import SimulatedClock
from data.simulator.drive import DriveOptions, Truth, drive
from training.demo.service import Client, Service
from training.demo.world import LIVE_STREAM, STRETCH, driven_world, stream_seed

N_LANES: Final = 2
"""Connections side by side; each visitor stays with one."""
LIVE_PER_S: Final = 75.0
PREFIX: Final = "live"


@dataclass(frozen=True)
class LiveVisits:
    """What became of the live visitors.

    Attributes:
        n_visitors: how many came.
        n_requests: requests and reports that were answered.
        n_failed: those that were not, at first or at all.
        n_rejected: events the service did not take.
        n_converted: visitors who really converted, by the simulator's own account.
        lag_s: by how much the service and this machine were late at worst, in seconds.
    """

    n_visitors: int
    n_requests: int
    n_failed: int
    n_rejected: int
    n_converted: int
    lag_s: float


class StoppedError(Exception):
    """The visitors were called off."""


class _Pace:
    """Makes a driver wait until it is time."""

    def __init__(self, driven_from: int, is_over: threading.Event) -> None:
        self._driven_from, self._is_over = driven_from, is_over
        self._began = time.monotonic()
        self.lag_s = 0.0

    def wait(self, at: int) -> None:
        """Until the driver's instant has come."""
        early_s = self._began + (at - self._driven_from) / (STRETCH * SECOND) - time.monotonic()
        if early_s > 0.0:
            self._is_over.wait(early_s)
        elif -early_s > self.lag_s:
            self.lag_s = -early_s
        if self._is_over.is_set():
            raise StoppedError


_Lane: TypeAlias = tuple[Truth, Client, _Pace]


def live_s(n_visitors: int) -> float:
    """Seconds over which live visitors first come.

    Example:
        >>> live_s(300)
        4.0
    """
    return n_visitors / LIVE_PER_S


def send_visitors(service: Service, n_visitors: int, seed: int, progress: Callable[[int], None]) -> LiveVisits:
    """Sends visitors until the last one is gone for good and all that arrives late has arrived.

    Args:
        service: who decides.
        n_visitors: how many.
        seed: same seed, same visitors.
        progress: called with the number of visitors who are done.

    Raises:
        Unavailable: the service is gone.
    """
    is_over = threading.Event()
    sizes = [n_visitors // N_LANES + (number < n_visitors % N_LANES) for number in range(N_LANES)]
    done = [0] * N_LANES

    def lane(number: int) -> _Lane:
        began_at = now()
        pace = _Pace(began_at, is_over)

        def tell(count: int, _total: int) -> None:
            done[number] = count
            progress(sum(done))

        options = DriveOptions(
            clock=SimulatedClock(began_at),
            is_stamped=False,
            wait=pace.wait,
            days=live_s(n_visitors) * STRETCH * SECOND / DAY,
            progress=tell,
            prefix=f"{PREFIX}{number + 1}-",
        )
        with Client(service) as client:
            try:
                truth = drive(
                    driven_world(),
                    client,
                    n_visitors=sizes[number],
                    seed=stream_seed(seed, LIVE_STREAM + number),
                    started_at=began_at,
                    options=options,
                )
            except BaseException:
                is_over.set()  # the other lanes need not go on
                raise
        return truth, client, pace

    with ThreadPoolExecutor(N_LANES, thread_name_prefix="visitors") as pool:
        lanes = [pool.submit(lane, number) for number in range(N_LANES) if sizes[number]]
        try:
            found = _results(lanes)
        finally:
            is_over.set()
    return LiveVisits(
        n_visitors=n_visitors,
        n_requests=sum(client.n_requests for _, client, _ in found),
        n_failed=sum(client.n_failed for _, client, _ in found),
        n_rejected=sum(truth.n_rejected for truth, _, _ in found),
        n_converted=sum(int(truth.is_converted.sum()) for truth, _, _ in found),
        lag_s=max(pace.lag_s for _, _, pace in found),
    )


def _results(lanes: list[Future[_Lane]]) -> list[_Lane]:
    """What every lane gave, once all are done; else the error that stopped the others."""
    errors = [error for error in (lane.exception() for lane in lanes) if error is not None]
    for error in errors:
        if not isinstance(error, StoppedError):
            raise error
    return [lane.result() for lane in lanes]
