"""The best fixed list of asks for everybody: exhaustive search with a bound, so that what it returns is the best.

Lists are grown ask by ask. What a list does up to the moment at which it has nothing new to ask does not depend on
what comes after it: those moments (book, hidden state, probability) are carried from a list to its extensions. From
there no continuation is better than one that sees each visitor's hidden state; where even that does not reach the
best list known, the whole branch is dropped. Hundreds of lists are carried forward at a time, as array rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from data.errors import BadInput
from data.simulator.choices import free_choice, positions
from data.simulator.graph import STOP, Graph, build, values
from data.simulator.rules import NOTHING, Memory, Rules
from data.simulator.tables import FloatArray, Tables, tables_of
from data.simulator.truth import exact_rules
from data.simulator.world import World

IntArray = npt.NDArray[np.int64]
_LANES: Final = 256
"""Lists carried forward at a time."""
_SLACK: Final = 1e-7
"""Branches whose bound exceeds the best value by less are dropped: more than the rounding of the bounds."""


@dataclass(frozen=True, eq=False)
class _Board:
    """A graph with one number per book, in the order in which books are passed.

    Attributes:
        following: (asks, answers, books) the book after an ask and its answer, -1 where the ask is not eligible.
        shown: (asks, books) whether the ask was shown before.
        returns: the book that the next visit begins with, -1 where there is none.
        bound: (books, types * hidden) value of the best continuation in sight of everything.
        layers: first book of each layer, and the end.
        steps: step of each layer.
    """

    following: npt.NDArray[np.int32]
    shown: npt.NDArray[np.bool_]
    returns: IntArray
    marks: IntArray
    bound: npt.NDArray[np.float32]
    layers: IntArray
    steps: tuple[int, ...]
    goal: int


class _Rows(NamedTuple):
    """Probabilities of being in a book and hidden state, each row belonging to one list (lane)."""

    lanes: IntArray
    books: IntArray
    mass: FloatArray


class _Lists(NamedTuple):
    """Some lists of asks, the probability of having converted, and where each of them has nothing new to ask."""

    asks: IntArray
    converted: FloatArray
    stuck: _Rows


def best_sequence(world: World, max_length: int = 6) -> tuple[tuple[str, ...], float]:
    """The best list of at most ``max_length`` asks that a baseline could follow, and its exact value."""
    if max_length < 1:
        raise BadInput(f"max_length: received {max_length}; allowed: 1 or more")
    asks, value = _search(world, min(max_length, len(world.catalog.asks)))
    return tuple(world.catalog.asks[i].id for i in asks), value


@lru_cache(maxsize=8)
def _search(world: World, max_length: int) -> tuple[tuple[int, ...], float]:
    play = _Play(world)
    best = _climb(play, positions(world.catalog, world.catalog.baseline)[:max_length], max_length)
    waiting = [play.nothing()]
    while waiting:
        lists = waiting.pop()
        best = max(best, play.best_of(lists), key=lambda found: found[1])
        if lists.asks.shape[1] < max_length:
            # The most promising come last, and are taken first.
            waiting += list(play.extensions(lists, best[1]))
    return best
