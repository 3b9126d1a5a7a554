"""Cuts each visitor's timeline into runs; the rules are those of the package's docstring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from data.episodes.families import END, Families

STEP: Final = 0
CONVERSION: Final = 1
LEFT: Final = 2
ACCEPTANCE: Final = 3
"""An acceptance that answers no decision, of another ask than the goal."""

OUTSIDE: Final = -1
"""The episode of what belongs to none."""


class Timeline(NamedTuple):
    """What happened, sorted by time, equal times by arrival: parallel columns."""

    kind: Sequence[int]
    time: Sequence[int]
    order: Sequence[int]
    owner: Sequence[int]


class Runs:
    """The episodes found so far. ``place`` must be called in the order of the timeline."""

    def __init__(self, families: Families, window: int) -> None:
        self.started: list[int] = []
        self._is_converted: list[bool] = []
        self._has_left: list[bool] = []
        self._latest: dict[int, int] = {}
        self._families = families
        self._merged = families.merged
        self._window = window

    def place(self, kind: int, time: int, order: int, owner: int) -> int:
        """The episode to which something belongs, or ``OUTSIDE``."""
        episode = self._latest_of(owner, order)
        if kind == STEP:
            return episode if self._is_running(episode, time) else self._start(time, owner)
        if kind == LEFT:
            if not self._is_in_window(episode, time):
                return OUTSIDE
            self._has_left[episode] = True
            return episode
        if not self._takes_outcome(episode, time) and owner in self._merged:
            episode = self._latest_of(self._families.person(owner), END)
        if not self._takes_outcome(episode, time):
            return OUTSIDE
        if kind == CONVERSION:
            self._is_converted[episode] = True
        return episode

    def _latest_of(self, owner: int, order: int) -> int:
        if owner not in self._merged:
            return self._latest.get(owner, OUTSIDE)
        return max(self._latest.get(member, OUTSIDE) for member in self._families.members(owner, order))

    def _start(self, time: int, owner: int) -> int:
        episode = len(self.started)
        self.started.append(time)
        self._is_converted.append(False)
        self._has_left.append(False)
        self._latest[owner] = episode
        return episode

    def _is_in_window(self, episode: int, time: int) -> bool:
        return episode != OUTSIDE and time - self.started[episode] < self._window

    def _is_running(self, episode: int, time: int) -> bool:
        return self._takes_outcome(episode, time) and not self._has_left[episode]

    def _takes_outcome(self, episode: int, time: int) -> bool:
        return self._is_in_window(episode, time) and not self._is_converted[episode]


def runs_of(timeline: Timeline, families: Families, window: int) -> list[int]:
    """The episode of each item of the timeline; episodes are numbered in the order in which they start.

    Example:
        >>> timeline = Timeline(kind=[STEP, CONVERSION, STEP], time=[0, 5, 9], order=[0, 1, 2], owner=[7, 7, 7])
        >>> runs_of(timeline, Families([]), window=100)
        [0, 0, 1]
    """
    runs = Runs(families, window)
    return [runs.place(*item) for item in zip(*timeline, strict=True)]
