"""Plays a world's visitors against a site, in time order, through the same two calls that real traffic makes.

The site sees what a real one would: requests, signals, answers, late conversions, each when the system would learn of
it; hidden traits and the truth never leave this module. Visitors interleave: a heap holds what happens next, whoever
it happens to. A visit is a session; between visits a visitor sends nothing but what arrives late.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from data.clock import to_iso
from data.domain import SECOND
from data.errors import BadInput
from data.simulator import behavior as b
from data.simulator.clock import SimulatedClock
from data.simulator.visitors import Population, Visitor
from data.simulator.world import ANSWERS, World

_SIGNAL_LEAD: Final = SECOND // 2
"""How long before its request a page's signals are sent."""
_LATEST_SIGNAL_S: Final = (60.0, 7_200.0)
_WEBHOOK_S: Final = (1.0, 600.0)

Json: TypeAlias = dict[str, Any]


class Site(Protocol):
    """Whoever decides: the two calls of the HTTP interface, plain dicts in and out."""

    def next_ask(self, request: Json) -> Json:
        """Answers "what should I ask this visitor next?"; the visitor sees ``ask`` (null: nothing)."""

    def outcomes(self, events: list[Json]) -> Json:
        """Takes what happened; ``rejected`` lists what was not taken."""


@dataclass(frozen=True)
class DriveOptions:
    """How to drive.

    Attributes:
        clock: the clock the site reads; the driver moves it. A site with a clock of its own needs none.
        is_stamped: events carry ``at``. False for a site that lives in real time: it then stamps what it receives.
        wait: called before each moment with its simulated instant; may sleep. By default nobody waits.
        days: span of the first visits; default: as the world's ``visitors_per_day`` says.
        progress: called with (visitors done, visitors in all) whenever a visitor is done.
        prefix: start of all visitor ids; default ``v<seed>-``, so that runs of different seeds share no visitor.
    """

    clock: SimulatedClock | None = None
    is_stamped: bool = True
    wait: Callable[[int], None] | None = None
    days: float | None = None
    progress: Callable[[int, int], None] | None = None
    prefix: str | None = None


_NO_OPTIONS: Final = DriveOptions()


@dataclass(eq=False)
class Truth:
    """What really happened, by visitor number; never sent to a site.

    Attributes:
        prefix: start of the visitor ids.
        types: index of the visitor's type in the world.
        reported: index of the type that the context reported.
        is_converted: whether the visitor converted, late conversions included.
        converted_at: when (0: never).
        n_visits: visits made.
        n_steps: requests made.
        n_asks: asks seen.
        n_rejected: events that the site did not take.
    """

    prefix: str
    types: npt.NDArray[np.int64]
    reported: npt.NDArray[np.int64]
    is_converted: npt.NDArray[np.bool_]
    converted_at: npt.NDArray[np.int64]
    n_visits: npt.NDArray[np.int64]
    n_steps: npt.NDArray[np.int64]
    n_asks: npt.NDArray[np.int64]
    n_rejected: int = 0

    @classmethod
    def blank(cls, n_visitors: int, prefix: str) -> Truth:
        """Nothing has happened yet."""
        counts = np.zeros((6, n_visitors), np.int64)
        types, reported, converted_at, n_visits, n_steps, n_asks = counts
        is_converted = np.zeros(n_visitors, np.bool_)
        return cls(prefix, types, reported, is_converted, converted_at, n_visits, n_steps, n_asks)

    def visitor_id(self, number: int) -> str:
        """The id under which the site knows a visitor."""
        return f"{self.prefix}{number:07d}"

    @property
    def conversion(self) -> tuple[float, float]:
        """Share of visitors that converted, and its standard error."""
        n, mean = len(self.is_converted), float(np.mean(self.is_converted))
        return mean, float(np.sqrt(mean * (1.0 - mean) / max(1, n - 1)))


def drive(
    world: World,
    site: Site,
    *,
    n_visitors: int,
    seed: int,
    started_at: int,
    options: DriveOptions = _NO_OPTIONS,
) -> Truth:
    """Sends visitors to a site until the last one is gone for good.

    The same seed gives the same visitors, whatever the site answers; the same answers then give the same run.

    Raises:
        BadInput: there are no visitors, or the site asks what is not in the world's catalog.
    """
    if n_visitors < 1:
        raise BadInput(f"n_visitors: received {n_visitors}; allowed: 1 or more")
    behavior = b.Behavior(world)
    population = Population(world, seed, behavior.n_moods)
    prefix = f"v{seed}-" if options.prefix is None else options.prefix
    run = _Run(world, site, (population, behavior), options, Truth.blank(n_visitors, prefix))
    return run.play(population.arrivals(n_visitors, started_at, options.days))


class _Run:
    """One run: the heap of what comes next, and a method for each kind of moment."""

    def __init__(
        self,
        world: World,
        site: Site,
        people: tuple[Population, b.Behavior],
        options: DriveOptions,
        truth: Truth,
    ) -> None:
        self._world, self._site, self._truth = world, site, truth
        self._population, self._behavior = people
        self._journey, self._goal = world.catalog.journey, world.catalog.position[world.catalog.goal]
        self._collects = [ask.collects for ask in world.catalog.asks]
        self._signal_names = list(world.observation.signals)
        self._clock = options.clock or SimulatedClock()
        self._is_stamped, self._wait, self._progress = options.is_stamped, options.wait, options.progress
        self._heap: list[tuple[int, int, Callable[[], None]]] = []
        self._n_moments = self._n_done = 0

    def play(self, arrivals: list[int]) -> Truth:
        """Everything, in time order."""
        heap, clock, wait = self._heap, self._clock, self._wait
        coming = iter(enumerate(arrivals))
        self._expect_next(coming)
        while heap:
            clock.at, _, moment = heapq.heappop(heap)
            if wait is not None:
                wait(clock.at)
            moment()
        return self._truth

    def _at(self, at: int, moment: Callable[[], None]) -> None:
        self._n_moments += 1
        heapq.heappush(self._heap, (at, self._n_moments, moment))

    def _expect_next(self, coming: Iterator[tuple[int, int]]) -> None:
        """Only the next arrival is in the heap, however many there will be."""
        number, at = next(coming, (-1, 0))
        if number >= 0:
            self._at(at, partial(self._arrive, number, coming))

    def _arrive(self, number: int, coming: Iterator[tuple[int, int]]) -> None:
        visitor = self._population.visitor(number, self._truth.visitor_id(number))
        self._truth.types[number], self._truth.reported[number] = visitor.type, visitor.reported
        self._truth.n_visits[number] = 1
        self._begin_page(visitor)
        self._expect_next(coming)

    def _return(self, visitor: Visitor) -> None:
        self._population.come_back(visitor)
        self._truth.n_visits[visitor.number] += 1
        self._begin_page(visitor)

    def _begin_page(self, visitor: Visitor) -> None:
        """A page is looked at for a while; its signals are sent just before the next request, or arrive late."""
        now, place = self._clock.at, self._behavior.place(visitor)
        asks_at = now + max(SECOND, _between(self._world.timing.page_s, visitor.moods[place + b.PAGE_S]))
        sends_at = asks_at - _SIGNAL_LEAD
        events = self._signal_events(visitor, now, sends_at)
        if events:
            if visitor.moods[place + b.DELAY] < self._world.observation.late_signals:
                sends_at += _between(_LATEST_SIGNAL_S, visitor.moods[place + b.DELAY_S])
            self._at(sends_at, partial(self._tell, events))
        self._at(asks_at, partial(self._request, visitor))

    def _signal_events(self, visitor: Visitor, began_at: int, ended_at: int) -> list[Json]:
        found = self._behavior.signals(visitor)
        gap = (ended_at - began_at) // (len(found) + 1)
        page = f"{visitor.visitor_id}-{visitor.visit}-{visitor.step}"
        events = []
        for i, signal in enumerate(found):
            name = self._signal_names[signal]
            about = {"visitor_id": visitor.visitor_id, "journey": self._journey, "signal": name}
            events.append(self._event("signal", f"{page}.{name}", began_at + i * gap, about))
        return events

    def _request(self, visitor: Visitor) -> None:
        decision_id = f"{visitor.visitor_id}-{visitor.visit}-{visitor.step}"
        request = {
            "visitor_id": visitor.visitor_id,
            "journey": self._journey,
            "channel": "web",
            "context": dict(visitor.context),
            "decision_id": decision_id,
        }
        ask = self._site.next_ask(request)["ask"]
        self._truth.n_steps[visitor.number] += 1
        if ask is None:
            self._settle(visitor, 0, b.NOTHING)
            return
        index = self._world.catalog.position.get(ask["id"])
        if index is None:
            raise BadInput(f"the site asked what is not in the catalog of {self._world.name}: {ask['id']!r}")
        self._truth.n_asks[visitor.number] += 1
        answer = self._behavior.answer(visitor, index)
        thinks = _between(self._world.timing.think_s, visitor.moods[self._behavior.place(visitor) + b.THINK_S])
        self._at(self._clock.at + max(SECOND, thinks), partial(self._answer, visitor, decision_id, index, answer))

    def _answer(self, visitor: Visitor, decision_id: str, ask: int, answer: int) -> None:
        moods, place = visitor.moods, self._behavior.place(visitor)
        if answer != b.IGNORED or moods[place + b.TELL] < self._world.observation.reports_ignored:
            about: Json = {"decision_id": decision_id}
            if answer == b.ACCEPTED:
                self._add_gifts(about, visitor, ask)
            self._tell([self._event(ANSWERS[answer], f"{decision_id}.answer", self._clock.at, about)])
        if answer == b.ACCEPTED and ask == self._goal:
            self._convert(visitor, self._clock.at)
        else:
            self._settle(visitor, ask, answer)

    def _add_gifts(self, about: Json, visitor: Visitor, ask: int) -> None:
        """What an acceptance carries: answers that the ask collects; of the goal, value and perhaps an order."""
        collected = {name: visitor.answers[name] for name in self._collects[ask] if name in visitor.answers}
        if collected:
            about["answers"] = collected
        if ask != self._goal:
            return
        moods, place, seen = visitor.moods, self._behavior.place(visitor), self._world.observation
        about["value"] = self._order_value(moods[place + b.VALUE])
        if moods[place + b.ORDER] < seen.orders:
            about["order_id"] = f"order-{visitor.visitor_id}"
            if moods[place + b.WEBHOOK] < seen.webhooks:
                again = self._conversion_event(visitor, "webhook", self._clock.at, about["value"], about["order_id"])
                self._at(
                    self._clock.at + _between(_WEBHOOK_S, moods[place + b.WEBHOOK_S]), partial(self._tell, [again])
                )

    def _settle(self, visitor: Visitor, ask: int, answer: int) -> None:
        """After a step: another page, or the visit ends."""
        self._behavior.change(visitor, ask, answer)
        if self._behavior.stays(visitor, answer):
            visitor.step += 1
            self._begin_page(visitor)
        else:
            self._end_visit(visitor)

    def _end_visit(self, visitor: Visitor) -> None:
        now, moods, timing = self._clock.at, visitor.moods, self._world.timing
        is_late = self._behavior.buys_late(visitor)
        if not is_late and self._behavior.comes_back(visitor):
            returns_at = now + _between(timing.back_s, moods[b.BACK_S])
            self._behavior.rest(visitor)
            visitor.moods = []
            self._at(returns_at, partial(self._return, visitor))
            return
        if moods[b.LEFT] < self._world.observation.reports_left:
            about = {"visitor_id": visitor.visitor_id, "journey": self._journey}
            left = self._event("left", f"{visitor.visitor_id}-{visitor.visit}.left", now + SECOND, about)
            self._at(now + SECOND, partial(self._tell, [left]))
        if is_late:
            self._convert_late(visitor)
        else:
            self._finish()

    def _convert_late(self, visitor: Visitor) -> None:
        moods, timing = visitor.moods, self._world.timing
        at = self._clock.at + _between(timing.late_s, moods[b.LATE_S])
        order_id = f"order-{visitor.visitor_id}" if moods[b.LATE_ORDER] < self._world.observation.orders else None
        event = self._conversion_event(visitor, "late", at, self._order_value(moods[b.LATE_VALUE]), order_id)

        def hear() -> None:
            self._tell([event])
            self._convert(visitor, at)

        self._at(at + _between(timing.report_s, moods[b.REPORT_S]), hear)

    def _convert(self, visitor: Visitor, at: int) -> None:
        self._truth.is_converted[visitor.number] = True
        self._truth.converted_at[visitor.number] = at
        self._finish()

    def _finish(self) -> None:
        self._n_done += 1
        if self._progress is not None:
            self._progress(self._n_done, len(self._truth.types))

    def _conversion_event(self, visitor: Visitor, name: str, at: int, value: float, order_id: str | None) -> Json:
        about: Json = {"visitor_id": visitor.visitor_id, "journey": self._journey, "value": value}
        if order_id is not None:
            about["order_id"] = order_id
        return self._event("converted", f"{visitor.visitor_id}.{name}", at, about)

    def _event(self, kind: str, event_id: str, at: int, about: Json) -> Json:
        event = {"event_id": event_id, "type": kind, **about}
        if self._is_stamped:
            event["at"] = to_iso(at)
        return event

    def _tell(self, events: list[Json]) -> None:
        self._truth.n_rejected += len(self._site.outcomes(events).get("rejected", ()))

    def _order_value(self, draw: float) -> float:
        return round(self._world.timing.order_value * (0.5 + draw), 2)


def _between(ends: tuple[float, float], draw: float) -> int:
    """Microseconds between two durations in seconds."""
    return int((ends[0] + (ends[1] - ends[0]) * draw) * SECOND)
