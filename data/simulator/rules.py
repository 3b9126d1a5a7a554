"""The catalog's guardrails as the simulator knows them: an independent, small copy used for exact truth and fakes.

Represented exactly: an accepted ask is not asked again, ``max_shows`` (per episode), ``requires``, ``excludes``,
``max_effort_gap``, ``max_effort_step``, ``direct_ask``, ``step_down_after_decline``, ``max_asks_per_session``,
``stop_after_declines``, ``allow_nothing``. A world's visits are sessions, and all visits of a visitor fall into one
episode, so that the state of these rules is finite. `unrepresented` lists what a catalog asks for beyond that; the
truth of a world is refused rather than computed under other rules than the site's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from data.domain import Ask, Catalog

NOTHING: Final = -1
"""Index of asking nothing."""
_BITS: Final = 4
_CLOSED: Final = 15
_UNBOUNDED: Final = float("inf")
_FRESH: Final = (0, 0, _UNBOUNDED)
_ROUNDING: Final = 1e-9
"""Efforts are compared as the site compares them: 0.1 + 0.2 is not more than 0.3."""


class Memory(NamedTuple):
    """What must be remembered of a visitor to know what may be asked.

    Attributes:
        session: (asks shown, declines in a row, effort the next ask must stay below); ``None`` once nothing more can
            be asked in this visit, so that such visitors are all alike.
        shows: four bits an ask: times shown so far, 15 once it is not asked again.
        reach: the largest effort that progression allows.
        accepted: bit i: ask i was accepted; only of asks that another one requires or is excluded by.
        marks: bit i: an ask that sets mark i was accepted.
    """

    session: tuple[int, int, float] | None
    shows: int
    reach: float
    accepted: int = 0
    marks: int = 0


class Rules:
    """Guardrails of one catalog over `Memory`; ``marks`` are the asks that set each mark of a world."""

    def __init__(self, catalog: Catalog, marks: Iterable[Sequence[str]] = ()) -> None:
        limits = catalog.limits
        self.asks = catalog.asks
        self.goal = catalog.position[catalog.goal]
        self.allow_nothing = catalog.allow_nothing
        self._cap = limits.max_asks_per_session
        self._stop = limits.stop_after_declines
        self._step = limits.max_effort_step
        self._is_stepping_down = limits.step_down_after_decline
        self._exempt = self.goal if limits.direct_ask else NOTHING
        gap = limits.max_effort_gap
        self._banned = {
            i for i, ask in enumerate(self.asks) if gap is not None and ask.effort - ask.gives > gap + _ROUNDING
        }
        self._max_shows = [_CLOSED if ask.max_shows is None else ask.max_shows for ask in self.asks]
        self._requires = [_mask(catalog, ask.requires) for ask in self.asks]
        self._excluded_by = [_mask(catalog, ask.excludes) for ask in self.asks]
        self._kept = 0
        for mask in (*self._requires, *self._excluded_by):
            self._kept |= mask
        setting = list(marks)
        self._marks = [sum((ask.id in asks) << bit for bit, asks in enumerate(setting)) for ask in self.asks]
        self._efforts = sorted({ask.effort for ask in self.asks})
        self._highest = self._efforts[-1]
        self._eligible: dict[tuple[float, int, float, int], tuple[int, ...]] = {}

    def start(self) -> Memory:
        """The memory of a visitor never seen before."""
        return self._settled(Memory(_FRESH, 0, self._reach_after(0.0)))

    def next_visit(self, memory: Memory) -> Memory:
        """The memory when a new session begins."""
        return self._settled(memory._replace(session=_FRESH))

    def n_shown(self, memory: Memory, ask: int) -> int:
        """How often an ask was shown, 15 once it is closed."""
        return (memory.shows >> (_BITS * ask)) & _CLOSED

    def eligible(self, memory: Memory) -> tuple[int, ...]:
        """Indices of the asks that may be asked now, in catalog order, without the null ask."""
        if memory.session is None:
            return ()
        key = (memory.session[2], memory.shows, memory.reach, memory.accepted)
        found = self._eligible.get(key)
        if found is None:
            found = self._eligible[key] = self._find_eligible(*key)
        return found

    def _find_eligible(self, below: float, shows: int, reach: float, accepted: int) -> tuple[int, ...]:
        out = []
        for i, ask in enumerate(self.asks):
            if (shows >> (_BITS * i)) & _CLOSED == _CLOSED or i in self._banned:
                continue
            if (ask.effort > reach or ask.effort >= below) and i != self._exempt:
                continue
            if self._requires[i] & ~accepted or self._excluded_by[i] & accepted:
                continue
            out.append(i)
        return tuple(out)

    def after(self, memory: Memory, ask: int, answer: str) -> Memory:
        """The memory after an ask was answered (``accepted declined ignored``); asking nothing changes nothing."""
        if ask == NOTHING or memory.session is None:
            return memory
        shown, declines, below = memory.session
        _, shows, reach, accepted, marks = memory
        effort, place = self.asks[ask].effort, _BITS * ask
        count = min(((shows >> place) & _CLOSED) + 1, self._most(ask))
        if answer == "accepted":
            count, declines, below = _CLOSED, 0, _UNBOUNDED
            reach = max(reach, self._reach_after(effort))
            accepted |= self._kept & (1 << ask)
            marks |= self._marks[ask]
        elif answer == "declined":
            declines += self._stop is not None
            below = effort if self._is_stepping_down else _UNBOUNDED
        if count >= self._max_shows[ask]:
            count = _CLOSED
        shows = shows & ~(_CLOSED << place) | count << place
        session = (shown + (self._cap is not None), declines, below)
        return self._settled(Memory(session, shows, reach, accepted, marks))

    def _most(self, ask: int) -> int:
        """Beyond one show, an ask without a limit is not counted: nothing depends on it."""
        return 1 if self._max_shows[ask] == _CLOSED else _CLOSED

    def _reach_after(self, effort: float) -> float:
        """The largest effort of any ask within a step of an accepted one: reaches that allow the same are equal."""
        if self._step is None:
            return self._highest
        return max((e for e in self._efforts if e <= effort + self._step + _ROUNDING), default=-1.0)

    def _settled(self, memory: Memory) -> Memory:
        shown, declines, _ = memory.session or _FRESH
        is_over = self._cap is not None and shown >= self._cap
        is_stopped = self._stop is not None and declines >= self._stop
        if is_over or is_stopped or not self.eligible(memory):
            return memory._replace(session=None)
        return memory


def unrepresented(catalog: Catalog) -> list[str]:
    """The rules of a catalog that `Rules` does not know, in words; empty when truth can be exact."""
    limits = catalog.limits
    journey_wide = {
        "limits.min_gap": limits.min_gap_s,
        "limits.cooldown_after_decline": limits.cooldown_after_decline_s,
        "reuse_open": catalog.reuse_open_s or None,
    }
    found = [name for name, value in journey_wide.items() if value is not None]
    for ask in catalog.asks:
        found += [f"{ask.id}.{name}" for name in _unrepresented_of(ask)]
    collected = [name for ask in catalog.asks for name in ask.collects]
    found += sorted({f"{name} is collected by several asks" for name in collected if collected.count(name) > 1})
    return found


def _unrepresented_of(ask: Ask) -> list[str]:
    rules = {
        "devices": ask.devices,
        "audience": ask.audience,
        "sensitive": ask.sensitive,
        "repeatable": ask.repeat_after_s is not None,
        "after_decline": ask.after_decline_s,
        "consent": ask.consent,
        "active": ask.active_from is not None or ask.active_until is not None,
        "channels": "web" not in ask.channels,
        "max_shows": ask.max_shows is not None and ask.max_shows >= _CLOSED,
    }
    return [name for name, is_used in rules.items() if is_used]


def _mask(catalog: Catalog, asks: Sequence[str]) -> int:
    mask = 0
    for ask_id in asks:
        mask |= 1 << catalog.position[ask_id]
    return mask
