# ruff: noqa: ARG002
from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

from data.errors import BadRequest, StoreUnavailable
from policy.desk import Needs, Work
from serving.batching import MAX_WEIGHT, Batching


class _Work:
    """A work that notes what happens to it."""

    def __init__(self, *, is_faulty: bool = False) -> None:
        self.is_faulty = is_faulty
        self.n_attempts = 0

    def needs(self) -> Needs:
        return Needs()

    def attempt(self, view: Any) -> Sequence[Any]:
        self.n_attempts += 1
        if self.is_faulty:
            raise KeyError("faulty")
        return ()

    def settle(self, written: Sequence[bool]) -> bool:
        return True

    def fail(self, error: BadRequest) -> None:
        raise AssertionError


class _Desk:
    """Runs works without a store; ``breaks_after``: how many it settles before the store fails."""

    def __init__(self, breaks_after: int | None = None) -> None:
        self.groups: list[int] = []
        self.threads: set[str] = set()
        self.breaks_after = breaks_after

    def run(self, works: Sequence[Work]) -> None:
        self.groups.append(len(works))
        self.threads.add(threading.current_thread().name)
        for work in works:
            work.attempt(None)  # type: ignore[arg-type]
        for number, work in enumerate(works):
            if number == self.breaks_after:
                raise StoreUnavailable("the disk is full")
            work.settle((True,))


async def _all(batching: Batching, works: Sequence[_Work], weight: int = 1) -> list[BaseException | None]:
    found = await asyncio.gather(*(batching.do(work, weight) for work in works), return_exceptions=True)
    return list(found)


def test_works_of_one_moment_are_one_group() -> None:
    desk = _Desk()
    asyncio.run(_all(Batching(desk.run, is_quick=True), [_Work() for _ in range(20)]))
    assert desk.groups == [20]
    assert desk.threads == {threading.current_thread().name}


def test_a_group_is_bounded() -> None:
    desk = _Desk()
    asyncio.run(_all(Batching(desk.run, is_quick=True), [_Work() for _ in range(MAX_WEIGHT + 1)]))
    assert desk.groups == [MAX_WEIGHT, 1]


def test_a_work_heavier_than_a_group_goes_alone() -> None:
    desk = _Desk()
    asyncio.run(_all(Batching(desk.run, is_quick=True), [_Work(), _Work()], weight=500))
    assert desk.groups == [1, 1]


def test_a_slow_store_is_called_in_a_thread_one_group_at_a_time() -> None:
    desk = _Desk()
    batching = Batching(desk.run, is_quick=False)
    asyncio.run(_all(batching, [_Work() for _ in range(100)]))
    batching.close()
    assert sum(desk.groups) == 100
    assert len(desk.threads) == 1
    assert threading.current_thread().name not in desk.threads


def test_works_that_were_done_before_the_store_failed_keep_their_answers() -> None:
    found = asyncio.run(_all(Batching(_Desk(breaks_after=2).run, is_quick=True), [_Work() for _ in range(4)]))
    assert [type(one) for one in found] == [type(None), type(None), StoreUnavailable, StoreUnavailable]


def test_while_the_store_is_in_trouble_the_loop_does_not_wait_for_it() -> None:
    desk = _Desk(breaks_after=0)
    batching = Batching(desk.run, is_quick=True)

    async def twice() -> None:
        await _all(batching, [_Work()])
        await _all(batching, [_Work()])

    asyncio.run(twice())
    batching.close()
    assert len(desk.threads) == 2


def test_a_faulty_work_fails_alone() -> None:
    works = [_Work(), _Work(is_faulty=True), _Work()]
    found = asyncio.run(_all(Batching(_Desk().run, is_quick=True), works))
    assert [type(one) for one in found] == [type(None), KeyError, type(None)]
    assert works[1].n_attempts == 1


def test_a_work_whose_caller_gave_up_is_not_done() -> None:
    desk = _Desk()
    work = _Work()

    async def give_up() -> None:
        batching = Batching(desk.run, is_quick=True)
        task = asyncio.create_task(batching.do(work))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0.01)
        await batching.do(_Work())

    asyncio.run(give_up())
    assert work.n_attempts == 0
    assert desk.groups == [1]


def test_a_batch_that_runs_out_of_time_says_what_was_given_up() -> None:
    gate = threading.Event()

    def run(works: Sequence[Work]) -> None:
        gate.wait(5)

    async def hurry() -> list[BaseException | None]:
        batching = Batching(run, is_quick=False)
        found = await batching.do_all([_Work(), _Work()], 0.01)
        gate.set()
        batching.close()
        return found

    assert [type(one) for one in asyncio.run(hurry())] == [TimeoutError, TimeoutError]
