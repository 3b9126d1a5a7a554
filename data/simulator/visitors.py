"""Who visits: hidden traits, what the site gets to see of them, and each visitor's own random numbers.

A visitor's random numbers depend on the seed and on the visitor's number alone, and each use (the second step's
"accepts?", the first visit's "comes back?") has its own place among them. Two policies therefore meet the very same
visitors in the very same moods, and their difference is not drowned in the luck of the draw (common random numbers).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Final

import numpy as np

from data.domain import DAY, SECOND
from data.simulator.world import World

_TYPE, _TRUST, _MISREPORT, _OTHER, _DEVICE, _N_TRAITS = range(6)
_ARRIVALS, _VISITORS = range(2)
_BINS_PER_DAY: Final = 96
_QUIETEST_AT: Final = 3 * 3_600 * SECOND


class Visitor:
    """One visitor: traits that stay hidden, what the site sees of them, and the state that answers change."""

    __slots__ = (
        "answers",
        "context",
        "fatigue",
        "marks",
        "moods",
        "number",
        "reported",
        "step",
        "trust",
        "type",
        "visit",
        "visitor_id",
    )

    def __init__(self, number: int, visitor_id: str) -> None:
        self.number = number
        self.visitor_id = visitor_id
        self.type = self.reported = self.trust = self.fatigue = self.marks = self.visit = self.step = 0
        self.context: dict[str, str] = {}
        self.answers: dict[str, str] = {}
        self.moods: list[float] = []


class Population:
    """Draws the visitors of a world: number ``i`` is the same person whatever else happens."""

    def __init__(self, world: World, seed: int, n_moods: int) -> None:
        seen = world.observation
        self._n_moods = n_moods
        self._seed = seed
        self._timing = world.timing
        self._types = _cumulated(visitor.share for visitor in world.types)
        self._trust = [_cumulated(visitor.trust) for visitor in world.types]
        self._hints = [seen.hints[visitor.name] for visitor in world.types]
        self._hint, self._misreport = seen.hint, seen.misreport if len(world.types) > 1 else 0.0
        self._devices = _choices(seen.devices) if seen.devices else None
        self._answers = {
            name: [_choices(by_type[visitor.name]) for visitor in world.types] for name, by_type in seen.answers.items()
        }

    def arrivals(self, n_visitors: int, started_at: int, days: float | None) -> list[int]:
        """When each visitor comes first, in order; within ``days``, by default as many as the world's rate needs."""
        length = DAY * (n_visitors / self._timing.visitors_per_day if days is None else days)
        times = np.linspace(0.0, length, max(2, int(np.ceil(length / DAY * _BINS_PER_DAY)) + 1))
        phase = 2.0 * np.pi * (times + started_at - _QUIETEST_AT) / DAY
        rates = 1.0 - self._timing.night * (1.0 + np.cos(phase)) / 2.0 + 1e-9
        cumulated = np.concatenate([[0.0], np.cumsum((rates[1:] + rates[:-1]) / 2.0)])
        draws = np.sort(self._stream(_ARRIVALS).random(n_visitors)) * cumulated[-1]
        arrivals: list[int] = (started_at + np.interp(draws, cumulated, times).astype(np.int64)).tolist()
        return arrivals

    def visitor(self, number: int, visitor_id: str) -> Visitor:
        """The visitor of that number, on arrival."""
        n_traits = _N_TRAITS + len(self._answers)
        draws: list[float] = self._stream(_VISITORS, number).random(n_traits + self._n_moods).tolist()
        visitor = Visitor(number, visitor_id)
        visitor.type = visitor.reported = bisect_right(self._types, draws[_TYPE])
        visitor.trust = bisect_right(self._trust[visitor.type], draws[_TRUST])
        if draws[_MISREPORT] < self._misreport:
            others = len(self._hints) - 1
            visitor.reported = (visitor.type + 1 + int(draws[_OTHER] * others)) % len(self._hints)
        visitor.context = {self._hint: self._hints[visitor.reported]}
        if self._devices is not None:
            visitor.context["device"] = _pick(self._devices, draws[_DEVICE])
        for draw, (name, by_type) in zip(draws[_N_TRAITS:n_traits], self._answers.items(), strict=True):
            visitor.answers[name] = _pick(by_type[visitor.type], draw)
        visitor.moods = draws[n_traits:]
        return visitor

    def come_back(self, visitor: Visitor) -> None:
        """Begins the visitor's next visit, with random numbers of its own."""
        visitor.visit += 1
        visitor.step = 0
        visitor.moods = self._stream(_VISITORS, visitor.number, visitor.visit).random(self._n_moods).tolist()

    def _stream(self, *key: int) -> np.random.Generator:
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence(self._seed, spawn_key=key)))


def _cumulated(shares: Iterable[float]) -> list[float]:
    """Upper ends of the shares; the last one is left out, so that no draw falls beyond."""
    return list(accumulate(shares))[:-1]


def _choices(shares: Mapping[str, float]) -> tuple[list[float], list[str]]:
    return _cumulated(shares.values()), list(shares)


def _pick(choices: tuple[list[float], list[str]], draw: float) -> str:
    return choices[1][bisect_right(choices[0], draw)]
