"""Everything one worker process has open: store, desk, live policies, keys, counters; opened once, closed once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from data.errors import BadInput, StoreUnavailable
from data.settings import Settings
from data.stores.protocol import Store
from data.stores.registry import open_store
from data.workspace import Workspace
from features.state import JourneyState, as_of
from policy.choose import weigh
from policy.desk import Desk, Work
from policy.following import Following
from policy.launching import is_loopback
from policy.live import MAIN, LiveJourney, served
from policy.poller_status import registry_troubles
from policy.situation import Situation
from serving.batching import Batching
from serving.cors import Cors
from serving.keys import KeyRing
from serving.meters import Meters

T = TypeVar("T")

STORE_CHECK_S: Final = 1.0
"""How long the store's last check stands; it writes, and everybody may ask for it."""

logger = logging.getLogger("smallyes.serving")


class Office:
    """See the module docstring.

    Args:
        workspace: what is served.
        clock: gives the present instant.
        meters: where things are counted.

    Raises:
        BadInput: the workspace cannot be served as it is.
        StoreUnavailable: the store cannot be opened.
    """

    def __init__(self, workspace: Workspace, clock: Callable[[], int], meters: Meters) -> None:
        self.workspace = workspace
        self.clock = clock
        self.meters = meters
        self.secret = workspace.secret()
        self.store: Store = open_store(workspace.store_url, sync=workspace.settings.store.sync)
        try:
            check_address(workspace, self.store)
            self.keys = KeyRing(self.store.keys())
            self.following = Following(workspace.journeys, workspace.policies, clock)
        except BaseException:
            self.store.close()
            raise
        self.cors = self._cors()
        self._desk = Desk(self.store, lambda: self.following.live, self.secret, clock)
        self.batching = Batching(self._run, is_quick=self.store.is_quick)
        self._aside = ThreadPoolExecutor(2, thread_name_prefix="smallyes-aside")
        self._polling: asyncio.Task[None] | None = None
        self._is_store_away = False
        self._store_fault: str | None = None
        self._checked_at = float("-inf")
        self._told: frozenset[str] = frozenset()
        self.registry_troubles: Mapping[str, str] = {}

    @property
    def settings(self) -> Settings:
        """The workspace's settings."""
        return self.workspace.settings

    async def start(self) -> None:
        """Warms up and begins to follow changes; when this returns, the office is ready."""
        self._tell()
        self._rehearse()
        self._polling = asyncio.create_task(self._poll())

    async def stop(self) -> None:
        """Finishes what runs and closes everything."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        self.batching.close()
        self._aside.shutdown()
        self.store.close()

    async def aside(self, work: Callable[[], T]) -> T:
        """Does what may take long in a thread, so that nobody else waits for it."""
        return await asyncio.get_running_loop().run_in_executor(self._aside, work)

    async def soon(self, work: Callable[[], T]) -> T:
        """Does a short call of the store: at once where the store is quick, else in a thread."""
        return work() if self.store.is_quick else await self.aside(work)

    async def store_fault(self) -> str | None:
        """Why the store cannot be written now, or ``None``."""
        if time.monotonic() - self._checked_at >= STORE_CHECK_S:
            self._checked_at = time.monotonic()
            self._store_fault = await self.aside(self._check_store)
        return self._store_fault

    def look(self) -> None:
        """Takes over what changed: catalogs, policies, keys."""
        if self.following.refresh():
            self._tell()
            self._rehearse()
        self.registry_troubles = registry_troubles(self.workspace.policies)
        self.meters.following(len(self.following.faults), len(self.following.troubles), len(self.registry_troubles))
        try:
            self.keys.refresh(self.store.keys())
        except StoreUnavailable as error:
            logger.warning("keys stay as they are: %s", error)
        self.cors = self._cors()

    def _run(self, works: Sequence[Work]) -> None:
        started = time.perf_counter()
        try:
            self._desk.run(works)
        except StoreUnavailable as error:
            self.meters.store_failed()
            if not self._is_store_away:
                logger.warning("%s", error)
            self._is_store_away = True
            raise
        self._is_store_away = False
        self.meters.committed(time.perf_counter() - started)

    def _check_store(self) -> str | None:
        try:
            self.store.check()
        except StoreUnavailable as error:
            return str(error)
        return None

    def _cors(self) -> Cors:
        return Cors({*self.settings.serve.cors_origins, *self.keys.origins})

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self.settings.serve.poll_seconds)
            try:
                await self.aside(self.look)
            except Exception:
                logger.exception("catalogs, policies and keys stay as they are")

    def _rehearse(self) -> None:
        for live in self.following.live.values():
            rehearse(live, self.clock())

    def _tell(self) -> None:
        """Logs what is wrong with catalogs and policies, each thing once."""
        following = self.following
        texts = [str(fault) for fault in (*following.faults, *following.warnings)]
        texts += [f"{journey}: {trouble}" for journey, trouble in following.troubles.items()]
        for text in texts:
            if text not in self._told:
                logger.warning("%s", text)
        self._told = frozenset(texts)


def check_address(workspace: Workspace, store: Store) -> None:
    """Refuses to listen beyond this machine while anybody could do everything.

    Raises:
        BadInput: the address is not loopback and there is no valid key.
    """
    host = workspace.settings.serve.host
    records = store.keys()
    if not is_loopback(host) and all(record.revoked_at for record in records):
        raise BadInput(
            f"serve.host: {host} can be reached from other machines, and there is no key; "
            "make one first (smallyes keys add --role server), or listen on 127.0.0.1"
        )


def rehearse(live: LiveJourney, now: int) -> None:
    """Weighs a first visit without storing anything, so that the first visitor does not wait for what loads late."""
    state = as_of(JourneyState(), now, live.scopes)
    situation = Situation(live.catalog, state, now, channel="web", context={}, answers={})
    weigh(live, situation, served(live, MAIN))
