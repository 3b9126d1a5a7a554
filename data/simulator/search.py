"""The best fixed list of asks for everybody: exhaustive search with a bound, so that what it returns is the best.

Lists are grown ask by ask. What a list does up to the moment at which it has nothing new to ask does not depend on
what comes after it, so those moments are carried from a list to its extensions (`data.simulator.board`). From there no
continuation is better than one that sees each visitor's hidden state; where even that would not beat the best list
known, the whole branch is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from data.errors import BadInput
from data.simulator.board import Board, Lists, Rows, board_of
from data.simulator.choices import positions
from data.simulator.truth import exact_rules
from data.simulator.world import World

IntArray = npt.NDArray[np.int64]
_Found: TypeAlias = tuple[tuple[int, ...], float]
_LANES: Final = 128
"""Lists carried forward at a time."""
_SLACK: Final = 1e-7
"""Branches whose bound exceeds the best value by less are dropped: more than bounds are rounded, and too little to
matter."""


def best_sequence(world: World, max_length: int = 6) -> tuple[tuple[str, ...], float]:
    """The best list of at most ``max_length`` asks that a baseline could follow, and its exact value.

    Raises:
        BadInput: the length is less than 1, or truth does not represent the catalog's guardrails.
    """
    if max_length < 1:
        raise BadInput(f"max_length: received {max_length}; allowed: 1 or more")
    asks, value = _best(world, min(max_length, len(world.catalog.asks)))
    return tuple(world.catalog.asks[i].id for i in asks), value


@lru_cache(maxsize=8)
def _best(world: World, max_length: int) -> _Found:
    return _Search(_board(world), max_length).run(positions(world.catalog, world.catalog.baseline)[:max_length])


@lru_cache(maxsize=1)
def _board(world: World) -> Board:
    return board_of(world, exact_rules(world))


class _Search:
    """Depth first, the most promising lists first; ``_best`` only ever improves."""

    def __init__(self, board: Board, max_length: int) -> None:
        self._board, self._max_length = board, max_length
        self._best: _Found = ((), -1.0)

    def run(self, first: Sequence[int]) -> _Found:
        """The best list; climbing from ``first`` gives the bound something to work with from the start."""
        self._climb(tuple(first))
        self._explore(self._board.start())
        return self._best

    def _climb(self, asks: tuple[int, ...]) -> None:
        value = -1.0
        while self._best[1] > value or value < 0.0:
            value = self._best[1]
            tried = sorted({asks, *_neighbors(asks, self._board.n_asks, self._max_length)})
            padded = np.array([(*one, *[self._board.n_asks] * (self._max_length - len(one))) for one in tried])
            self._offer(self._grown(self._board.start(), np.zeros(len(tried), np.int64), padded))
            asks = self._best[0]

    def _explore(self, lists: Lists) -> None:
        length = lists.asks.shape[1]
        if length == self._max_length:
            self._offer(lists)
            return
        lists = self._board.play(lists)
        bounds = self._board.bounds(lists)
        order = np.argsort(-bounds, kind="stable")
        order = order[bounds[order] > self._best[1] + _SLACK]
        if len(order):
            self._offer(self._grown(lists, order, lists.asks[order]))
        n_children = self._board.n_asks - length
        chunk = max(1, _LANES // n_children)
        for begin in range(0, len(order), chunk):
            parents = order[begin : begin + chunk]
            parents = parents[bounds[parents] > self._best[1] + _SLACK]
            if len(parents):
                lanes, asks = _children(lists.asks, parents, self._board.n_asks)
                self._explore(self._grown(lists, lanes, asks))

    def _grown(self, lists: Lists, lanes: IntArray, asks: IntArray) -> Lists:
        """New lists that begin where the given lanes of others are stuck."""
        counts = np.bincount(lists.stuck.lanes, minlength=len(lists.asks))
        firsts = np.concatenate([[0], np.cumsum(counts)])
        rows = np.concatenate([np.arange(firsts[lane], firsts[lane + 1]) for lane in lanes])
        stuck = Rows(np.repeat(np.arange(len(lanes)), counts[lanes]), lists.stuck.books[rows], lists.stuck.mass[rows])
        return Lists(asks, lists.converted[lanes], stuck)

    def _offer(self, lists: Lists) -> None:
        values = self._board.values(lists)
        i = int(np.argmax(values))
        if values[i] > self._best[1]:
            asks = tuple(ask for ask in lists.asks[i].tolist() if ask < self._board.n_asks)
            self._best = (asks, float(values[i]))


def _children(asks: IntArray, parents: IntArray, n_asks: int) -> tuple[IntArray, IntArray]:
    """Each parent with each ask it lacks: the parent's lane, and the asks."""
    found = [(lane, (*asks[lane], ask)) for lane in parents for ask in range(n_asks) if ask not in asks[lane]]
    return np.array([lane for lane, _ in found]), np.array([grown for _, grown in found])


def _neighbors(asks: tuple[int, ...], n_asks: int, max_length: int) -> Iterator[tuple[int, ...]]:
    """Lists with one ask more, one less, another one, or two exchanged."""
    others = [ask for ask in range(n_asks) if ask not in asks]
    for i in range(len(asks) + 1):
        for ask in others:
            if len(asks) < max_length:
                yield (*asks[:i], ask, *asks[i:])
            if i < len(asks):
                yield (*asks[:i], ask, *asks[i + 1 :])
        for j in range(i + 1, len(asks)):
            yield (*asks[:i], asks[j], *asks[i + 1 : j], asks[i], *asks[j + 1 :])
        if i < len(asks):
            yield (*asks[:i], *asks[i + 1 :])
