"""Group commit: works that wait at the same moment are done together, in one transaction of the store."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from data.errors import BadRequest, StoreUnavailable
from data.stores.protocol import Commit
from policy.desk import Needs, View, Work

MAX_WEIGHT: Final = 64
"""Heaviest group: it keeps a single turn of the event loop short."""


class Batching:
    """Runs works in groups, one group at a time.

    With a quick store a group runs in the event loop itself, after everything that is ready there had its turn;
    with any other one, or while the store is in trouble and may make its callers wait, in a thread.

    Args:
        run: does all works, or raises ``StoreUnavailable`` for those not settled yet (``policy.desk.Desk.run``).
        is_quick: whether ``run`` takes microseconds.
    """

    def __init__(self, run: Callable[[Sequence[Work]], None], *, is_quick: bool) -> None:
        self._run = run
        self._is_quick = is_quick
        self._is_troubled = False
        self._is_running = False
        self._waiting: deque[_Ticket] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="smallyes-desk")

    async def do(self, work: Work, weight: int = 1) -> None:
        """Returns when the work is done. A caller that is cancelled gives its work up unless it runs already.

        Raises:
            StoreUnavailable: the store could not take it.
        """
        await self._ticket(work, weight).future

    async def do_all(self, works: Sequence[Work], timeout_s: float) -> list[BaseException | None]:
        """Returns when no work is waiting any more, or the time is over.

        The answer says for each what ``do`` would have raised; ``TimeoutError`` where it was given up.
        """
        tickets = [self._ticket(work, 1) for work in works]
        if tickets:
            await asyncio.wait([ticket.future for ticket in tickets], timeout=timeout_s)
        return [ticket.outcome() for ticket in tickets]

    def close(self) -> None:
        """Ends the thread after the group that runs in it."""
        self._thread.shutdown()

    def _ticket(self, work: Work, weight: int) -> _Ticket:
        loop = asyncio.get_running_loop()
        ticket = _Ticket(work, weight, loop.create_future())
        self._waiting.append(ticket)
        if not self._is_running:
            self._is_running = True
            loop.call_soon(self._start, loop)
        return ticket

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Runs the next group, if any; ``_is_running`` is true from the first ticket to the last."""
        group = self._next_group()
        if not group:
            self._is_running = False
        elif self._is_quick and not self._is_troubled:
            self._finish(loop, group, self._run_group(group))
        else:
            done = loop.run_in_executor(self._thread, self._run_group, group)
            done.add_done_callback(lambda future: self._finish(loop, group, future.result()))

    def _next_group(self) -> list[_Ticket]:
        group: list[_Ticket] = []
        weight = 0
        while self._waiting and (not group or weight + self._waiting[0].weight <= MAX_WEIGHT):
            ticket = self._waiting.popleft()
            if not ticket.future.done():
                group.append(ticket)
                weight += ticket.weight
        return group

    def _run_group(self, group: Sequence[_Ticket]) -> Exception | None:
        """Does the group; what went wrong for those that are not done, never raised.

        A faulty work leaves the group's view of the store in pieces: the others begin again without it.
        """
        while group:
            try:
                self._run(group)
            except StoreUnavailable as error:
                return error
            except Exception as error:
                left = [ticket for ticket in group if not ticket.is_done and ticket.fault is None]
                if len(left) == len(group):
                    return error
                group = left
            else:
                break
        return None

    def _finish(self, loop: asyncio.AbstractEventLoop, group: Sequence[_Ticket], error: Exception | None) -> None:
        self._is_troubled = isinstance(error, StoreUnavailable)
        for ticket in group:
            ticket.resolve(error)
        if self._waiting:
            loop.call_soon(self._start, loop)
        else:
            self._is_running = False


class _Ticket:
    """A work in the queue; it passes the desk's calls on and notes when the work is done."""

    __slots__ = ("fault", "future", "is_done", "weight", "work")

    def __init__(self, work: Work, weight: int, future: asyncio.Future[None]) -> None:
        self.work = work
        self.weight = weight
        self.future = future
        self.is_done = False
        self.fault: Exception | None = None

    def needs(self) -> Needs:
        """See ``policy.desk.Work``."""
        return self.work.needs()

    def attempt(self, view: View) -> Sequence[Commit]:
        """See ``policy.desk.Work``."""
        try:
            return self.work.attempt(view)
        except BadRequest:
            raise
        except Exception as error:
            self.fault = error
            raise

    def settle(self, written: Sequence[bool]) -> bool:
        """See ``policy.desk.Work``."""
        self.is_done = self.work.settle(written)
        return self.is_done

    def fail(self, error: BadRequest) -> None:
        """See ``policy.desk.Work``."""
        self.work.fail(error)
        self.is_done = True

    def outcome(self) -> BaseException | None:
        """What went wrong; a work that waits still is given up."""
        if self.future.cancel() or self.future.cancelled():
            return TimeoutError()
        return self.future.exception()

    def resolve(self, error: Exception | None) -> None:
        """Wakes whoever waits for this work."""
        if self.future.done():
            return
        if self.is_done:
            self.future.set_result(None)
        else:
            self.future.set_exception(self.fault or error or RuntimeError("the work was neither done nor given up"))
