"""Many fixed lists of asks carried forward through a world at once: exact probabilities, list by list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from data.simulator.graph import STOP, Graph, build, values
from data.simulator.rules import Memory, Rules
from data.simulator.tables import FloatArray, Tables, tables_of
from data.simulator.world import World

IntArray = npt.NDArray[np.int64]
_STUCK: Final = -3
_REFUSED, _SILENT = 1, 2


class Rows(NamedTuple):
    """Probability (types * hidden) of being in a book, each row belonging to one list (lane)."""

    lanes: IntArray
    books: IntArray
    mass: FloatArray

    def only(self, chosen: npt.NDArray[np.bool_] | IntArray) -> Rows:
        """Some of the rows."""
        return Rows(self.lanes[chosen], self.books[chosen], self.mass[chosen])


class Lists(NamedTuple):
    """Lists of asks (lanes, length), the probability of having converted, and where each has nothing new to ask."""

    asks: IntArray
    converted: FloatArray
    stuck: Rows


@dataclass(frozen=True, eq=False)
class Board:
    """Every book that a fixed list can lead to, numbered in the order in which books are passed.

    Attributes:
        tables: the world's probabilities.
        goal: the goal ask; ``n_asks`` stands for no ask where lists are padded.
        following: (asks + 1, answers, books) the book after an answer, -1 where the ask is not eligible.
        shown: (asks + 1, books) whether the ask was shown before.
        returns: the book that the next visit begins with, -1 in the last visit.
        marks: mark set of each book.
        best: (books, types * hidden) value of the best continuation in sight of everything.
        firsts: first book of each layer, and the number of books.
        steps: step of each layer.
    """

    tables: Tables
    goal: int
    following: npt.NDArray[np.int32]
    shown: npt.NDArray[np.bool_]
    returns: IntArray
    marks: IntArray
    best: npt.NDArray[np.float32]
    firsts: IntArray
    steps: tuple[int, ...]

    @property
    def n_asks(self) -> int:
        """Number of asks."""
        return len(self.shown) - 1

    def start(self) -> Lists:
        """The list without asks, before anything happened."""
        mass = self.tables.start.reshape(1, -1).copy()
        rows = Rows(np.zeros(1, np.int64), np.zeros(1, np.int64), mass)
        return Lists(np.zeros((1, 0), np.int64), np.zeros(1), rows)

    def bounds(self, lists: Lists) -> FloatArray:
        """For each list, what no list that begins with it can exceed."""
        ahead = np.einsum("rh,rh->r", lists.stuck.mass, self.best[lists.stuck.books], dtype=np.float64)
        return lists.converted + np.bincount(lists.stuck.lanes, ahead, len(lists.asks))

    def values(self, lists: Lists) -> FloatArray:
        """The exact value of each list."""
        return self.play(lists, is_last=True).converted

    def play(self, lists: Lists, *, is_last: bool = False) -> Lists:
        """Carries lists on from where they are stuck, to where they are stuck with the asks they have now.

        ``is_last``: no more asks will be appended, so that lists go on with shown asks, then with nothing, to the end.
        """
        return _Walk(self, lists, is_last).walk()


def board_of(world: World, rules: Rules) -> Board:
    """The board of a world."""

    def choose(memory: Memory) -> Sequence[int]:
        return (*rules.eligible(memory), STOP)

    graph = build(world, rules, choose)
    firsts = np.concatenate([[0], np.cumsum([len(layer.books) for layer in graph.values()])])
    n_asks, n = len(world.catalog.asks), int(firsts[-1])
    following = np.full((n_asks + 1, 3, n), -1, np.int32)
    returns = np.full(n, -1, np.int64)
    for (visit, _), layer, first in zip(graph, graph.values(), firsts, strict=False):
        for move in layer.moves:
            for answer, rows in move.nexts.items():
                following[move.ask, answer, first + move.rows] = rows + first + len(layer.books)
        if len(layer.returns):
            returns[first : first + len(layer.returns)] = layer.returns + _first_of(graph, firsts, visit + 1)
    best = np.zeros((n, tables_of(world).start.size), np.float32)
    for place, value in values(world, graph, "max"):
        first = firsts[list(graph).index(place)]
        best[first : first + value.shape[1]] = value.transpose(1, 0, 2).reshape(value.shape[1], -1)
    shown = np.array(
        [[rules.n_shown(m, i) > 0 for layer in graph.values() for m in layer.books] for i in range(n_asks)]
    )
    return Board(
        tables=tables_of(world),
        goal=rules.goal,
        following=following,
        shown=np.vstack([shown, np.ones((1, n), np.bool_)]),
        returns=returns,
        marks=np.concatenate([layer.marks for layer in graph.values()]),
        best=best,
        firsts=firsts,
        steps=tuple(layer.step for layer in graph.values()),
    )


def _first_of(graph: Graph, firsts: IntArray, visit: int) -> int:
    return int(firsts[list(graph).index((visit, 0))])


class _Walk:
    """One pass over the layers: rows wait at the layer of their book until it is passed."""

    def __init__(self, board: Board, lists: Lists, is_last: bool) -> None:
        self._board, self._asks, self._is_last = board, lists.asks, is_last
        self._converted = lists.converted.copy()
        self._waiting: list[list[Rows]] = [[] for _ in board.steps]
        self._stuck: list[Rows] = []
        self._wait(lists.stuck)

    def walk(self) -> Lists:
        for k, arrived in enumerate(self._waiting):
            if not arrived:
                continue
            rows = _merged(arrived, self._board.firsts[-1])
            shows = self._choose(rows)
            for ask in np.unique(shows).tolist():
                chosen = rows.only(shows == ask)
                if ask == _STUCK:
                    self._stuck.append(chosen)
                elif ask == STOP:
                    moved = _moved(chosen.mass, self._board.tables.until_left[self._board.steps[k]])
                    self._leave(chosen._replace(mass=moved))
                else:
                    self._show(chosen, ask, k)
            arrived.clear()
        n = self._board.tables.start.size
        none = Rows(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros((0, n)))
        stuck = _merged(self._stuck, self._board.firsts[-1]) if self._stuck else none
        return Lists(self._asks, self._converted, stuck)

    def _choose(self, rows: Rows) -> IntArray:
        """The baseline's rule: first eligible ask not yet shown, at last also shown ones, at last nothing."""
        board = self._board
        shows = np.full(len(rows.lanes), _STUCK)
        for is_repeat in (False, True) if self._is_last else (False,):
            for column in self._asks.T:
                ask = column[rows.lanes]
                is_free = (shows == _STUCK) & (board.following[ask, _SILENT, rows.books] >= 0)
                is_free &= board.shown[ask, rows.books] == is_repeat
                shows[is_free] = ask[is_free]
        return np.where(shows == _STUCK, STOP, shows) if self._is_last else shows

    def _show(self, rows: Rows, ask: int, layer: int) -> None:
        tables, shape = self._board.tables, (-1, *self._board.tables.start.shape)
        mass = rows.mass.reshape(shape)
        accept = tables.accept[self._board.marks[rows.books], :, ask]
        accepted, left = mass * accept, mass * (1.0 - accept)
        declined = left * tables.decline[:, ask]
        if ask == self._board.goal:
            self._convert(rows.lanes, accepted)
        by_answer = {_REFUSED: declined, _SILENT: left - declined}
        if ask != self._board.goal:
            by_answer[0] = accepted
        is_end = self._board.steps[layer + 1] == max(self._board.steps)
        for answer, part in by_answer.items():
            books = self._board.following[ask, answer, rows.books].astype(np.int64)
            moved = _moved(part, tables.after[answer, :, ask])
            stay = np.zeros_like(moved) if is_end else moved * tables.stay[:, answer]
            if not is_end:
                self._waiting[layer + 1].append(Rows(rows.lanes, books, stay.reshape(len(books), -1)))
            self._leave(Rows(rows.lanes, books, moved - stay))

    def _leave(self, rows: Rows) -> None:
        tables, marks = self._board.tables, self._board.marks[rows.books]
        mass = rows.mass.reshape(-1, *tables.start.shape)
        late = mass * tables.late[marks]
        self._convert(rows.lanes, late)
        books = self._board.returns[rows.books]
        if len(books) and books[0] >= 0:
            back = ((mass - late) * tables.back[marks]) @ tables.between
            self._wait(Rows(rows.lanes, books, back.reshape(len(books), -1)))

    def _wait(self, rows: Rows) -> None:
        layers = np.searchsorted(self._board.firsts, rows.books, side="right") - 1
        for k in np.unique(layers).tolist():
            self._waiting[k].append(rows.only(layers == k))

    def _convert(self, lanes: IntArray, mass: FloatArray) -> None:
        self._converted += np.bincount(lanes, mass.reshape(len(lanes), -1).sum(axis=1), len(self._converted))


def _moved(mass: FloatArray, moves: FloatArray) -> FloatArray:
    """Probabilities (rows, types, hidden) after a move of the hidden state (types, hidden, hidden)."""
    by_type = mass.reshape(-1, *moves.shape[:2]).transpose(1, 0, 2) @ moves
    return by_type.transpose(1, 0, 2)


def _merged(parts: Sequence[Rows], n_books: int) -> Rows:
    """Rows of the same lane and book added up, sorted by both."""
    lanes = np.concatenate([part.lanes for part in parts])
    books = np.concatenate([part.books for part in parts])
    mass = np.concatenate([part.mass for part in parts])
    keys = lanes * n_books + books
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return Rows(lanes[order][starts], books[order][starts], np.add.reduceat(mass[order], starts, axis=0))
