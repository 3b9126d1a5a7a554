"""The visitors who came before the demo began: simulated side by side in processes, into the workspace's own store.

They go through the decision path that the service uses, so that their decisions carry true propensities and the
guardrails of the service know them. Run as a program, this module simulates one part of them and prints how many are
done, one number a line.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Final

from data.clock import now
from data.domain import DAY, SECOND
from data.errors import SmallyesError, StoreUnavailable, Unavailable
from data.simulator.clock import SimulatedClock
from data.simulator.drive import DriveOptions, Truth, drive
from data.stores.memory import MemoryStore
from data.stores.protocol import Commit, Store
from data.stores.registry import open_store
from data.workspace import Workspace
from policy.live import LiveJourney
from policy.site import LocalSite
from training.demo.world import STRETCH, WINDOW_S, driven_world, past_s, quick_world, site_clock, stream_seed

N_PARTS: Final = 2
"""Processes side by side; more than the store, which one writes at a time, has little use for."""
GROUP: Final = 500
"""Commits in one transaction."""
STORE_WAIT_S: Final = 20.0
"""How long one process waits for the other's commit."""
PREFIX: Final = "past"
_TOLD_EVERY: Final = 50
_FAILED: Final = 3
_QUIET_S: Final = 2 * WINDOW_S
"""Between the last past visitor's arrival and now: all of them are settled, and gone."""


@dataclass(frozen=True)
class PastPart:
    """Some of the past visitors.

    Attributes:
        store_url: where they are remembered.
        secret: key of draws and arms, as the service has it.
        n_visitors: how many.
        seed: of this part alone.
        began_at: when the first one may come, microseconds UTC.
        span_s: seconds over which they first come.
        prefix: start of their ids.
    """

    store_url: str
    secret: str
    n_visitors: int
    seed: int
    began_at: int
    span_s: float
    prefix: str


def parts_of(workspace: Workspace, n_visitors: int, seed: int, ends_at: int) -> list[PastPart]:
    """The past in parts of nearly the same size, over the same time.

    Args:
        workspace: whose store they are remembered in.
        n_visitors: of all parts together.
        seed: each part has another one that follows from it.
        ends_at: after the last of them has come, microseconds UTC.
    """
    span_s = past_s(n_visitors)
    began_at = ends_at - int(span_s * SECOND)
    sizes = [n_visitors // N_PARTS + (number < n_visitors % N_PARTS) for number in range(N_PARTS)]
    return [
        PastPart(
            store_url=workspace.store_url,
            secret=workspace.secret().decode(),
            n_visitors=size,
            seed=stream_seed(seed, number),
            began_at=began_at,
            span_s=span_s,
            prefix=f"{PREFIX}{number + 1}-",
        )
        for number, size in enumerate(sizes)
        if size
    ]


class Backlog(MemoryStore):
    """Decides in memory and writes the same commits, in the same order, to another store: many in one transaction.

    What is not written yet is lost when the process dies, which the past of a simulation may be.

    Args:
        behind: where the commits go.
    """

    def __init__(self, behind: Store) -> None:
        super().__init__()
        self._behind = behind
        self._waiting: list[Commit] = []

    def commit(self, commits: Sequence[Commit]) -> list[bool]:
        """See ``Store``."""
        written = super().commit(commits)
        self._waiting += [commit for commit, is_written in zip(commits, written, strict=True) if is_written]
        if len(self._waiting) >= GROUP:
            self.flush()
        return written

    def flush(self) -> None:
        """Writes what waits.

        Raises:
            StoreUnavailable: the other store fails, or holds other rows of these visitors.
        """
        waiting, self._waiting = self._waiting, []
        if not all(self._behind.commit(waiting)):
            raise StoreUnavailable("the store has other rows of the visitors that are simulated")


def simulate(part: PastPart, progress: Callable[[int, int], None] | None = None) -> Truth:
    """Sends the visitors of a part through the decision path; what happened is in the store then.

    Raises:
        StoreUnavailable: the store cannot take it.
    """
    clock = SimulatedClock(part.began_at)
    live = LiveJourney(quick_world().catalog)
    store = open_store(part.store_url, busy_timeout_s=STORE_WAIT_S)
    try:
        backlog = Backlog(store)
        site = LocalSite(backlog, live, part.secret.encode(), site_clock(clock, part.began_at, part.began_at))
        options = DriveOptions(
            clock=clock,
            is_stamped=False,
            days=part.span_s * STRETCH * SECOND / DAY,
            progress=progress,
            prefix=part.prefix,
        )
        truth = drive(
            driven_world(),
            site,
            n_visitors=part.n_visitors,
            seed=part.seed,
            started_at=part.began_at,
            options=options,
        )
        backlog.flush()
        return truth
    finally:
        store.close()


def simulate_past(workspace: Workspace, n_visitors: int, seed: int, progress: Callable[[int], None]) -> None:
    """All past visitors, the last of whom came a minute ago.

    Args:
        workspace: whose store they are remembered in.
        n_visitors: how many.
        seed: same seed and secret, same visitors and same decisions.
        progress: called with the number done so far.

    Raises:
        Unavailable: a process failed; what it said is in the text.
    """
    parts = parts_of(workspace, n_visitors, seed, now() - _QUIET_S * SECOND)
    processes = [_started(part) for part in parts]
    done = [0] * len(parts)

    def follow(number: int) -> None:
        for line in processes[number].stdout or ():
            done[number] = int(line)
            progress(sum(done))

    followers = [threading.Thread(target=follow, args=(number,), daemon=True) for number in range(len(parts))]
    try:
        for follower in followers:
            follower.start()
        for follower in followers:
            follower.join()
        for process in processes:
            _check(process)
    finally:
        _end(processes)


def _started(part: PastPart) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "training.demo.past"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for us to hear, who then end it
    )
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(asdict(part)))
            process.stdin.close()
    return process


def _check(process: subprocess.Popen[str]) -> None:
    code = process.wait()
    if code == 0:
        return
    said = "" if process.stderr is None else process.stderr.read().strip()
    reason = said.splitlines()[-1] if said else f"its process ended with {code}"
    raise Unavailable(f"the past visitors could not be simulated: {reason}")


def _end(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _tell(done: int, total: int) -> None:
    if done % _TOLD_EVERY == 0 or done == total:
        print(done, flush=True)


def main() -> int:
    """Simulates the part that is read from standard input; the exit code."""
    try:
        simulate(PastPart(**json.loads(sys.stdin.read())), _tell)
    except SmallyesError as error:
        print(error, file=sys.stderr)
        return _FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
