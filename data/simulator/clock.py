"""Simulated time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], int]
"""The present instant, as `data.clock.now` gives it."""


class SimulatedClock:
    """A clock that stands still until someone moves it: a driver moves it, the site reads it.

    Example:
        >>> clock = SimulatedClock(5)
        >>> clock.at = 7
        >>> clock()
        7
    """

    __slots__ = ("at",)

    def __init__(self, at: int = 0) -> None:
        self.at = at

    def __call__(self) -> int:
        """The present instant."""
        return self.at
