"""Every situation a visitor and the guardrails can get into, layer by layer, and values carried back through them.

A *book* is what the guardrails remember of a visitor (`rules.Memory`); layer (visit, step) holds the books that can
occur there. One step leads from layer (v, s) to (v, s + 1), coming back from (v, s) to (v + 1, 0): the graph has no
cycle, so one backward sweep gives the exact expected value of every book and hidden state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from data.simulator.choices import Choose
from data.simulator.rules import NOTHING, Memory, Rules
from data.simulator.tables import FloatArray, Tables, tables_of
from data.simulator.world import ANSWERS, World

IntArray = npt.NDArray[np.int64]
How: TypeAlias = Literal["mean", "max", "min"]
ACCEPTED: Final = ANSWERS.index("accepted")
_NOTHING_ANSWER: Final = ANSWERS.index("nothing")


STOP: Final = -2
"""The move "nothing more in this visit": what a policy that has nothing to ask does until the visitor leaves."""


@dataclass(frozen=True, eq=False)
class Move:
    """One ask in one layer: the rows that may show it, and the rows of the next layer by index of the answer.

    The accepted goal has no entry: it ends the visitor's journey. Neither has `STOP`: only leaving follows.
    """

    ask: int
    rows: IntArray
    nexts: Mapping[int, IntArray]


@dataclass(eq=False)
class Layer:
    """The books of one (visit, step).

    Attributes:
        step: steps taken in this visit before.
        books: row of each book.
        marks: mark set of each book.
        returns: row in the first layer of the next visit, where the visit may end with this book; else -1.
        n_choices: how many moves may follow.
        moves: one for each ask that some book of the layer may show.
    """

    step: int
    books: dict[Memory, int] = field(default_factory=dict)
    marks: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    returns: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    n_choices: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    moves: tuple[Move, ...] = ()

    def row(self, memory: Memory) -> int:
        """The row of a book, which is added when it is new."""
        return self.books.setdefault(memory, len(self.books))


Graph: TypeAlias = dict[tuple[int, int], Layer]


def rules_of(world: World, *, is_direct: bool = False) -> Rules:
    """The guardrails of a world; ``is_direct`` exempts the goal ask from the effort rules, as the direct arm is."""
    catalog = world.catalog
    if is_direct:
        catalog = replace(catalog, limits=replace(catalog.limits, direct_ask=True))
    return Rules(catalog, world.marks.values())


def build(world: World, rules: Rules, choose: Choose) -> Graph:
    """All books that can occur when asks are chosen by ``choose``, layers in the order in which they are passed."""
    n_visits, n_steps = world.leaving.max_visits, world.leaving.max_steps
    graph: Graph = {(v, s): Layer(s) for v in range(n_visits) for s in range(n_steps + 1)}
    graph[0, 0].row(rules.start())
    for (visit, step), layer in graph.items():
        layer.marks = np.array([memory.marks for memory in layer.books], np.int64)
        may_leave = set(range(len(layer.books))) if step else set()
        if step < n_steps:
            _fill_moves(layer, graph[visit, step + 1], rules, choose)
            may_leave.update(row for move in layer.moves if move.ask == STOP for row in move.rows.tolist())
        if visit + 1 < n_visits:
            start = graph[visit + 1, 0]
            rows = [start.row(rules.next_visit(m)) if i in may_leave else -1 for m, i in layer.books.items()]
            layer.returns = np.array(rows, np.int64)
    return graph


def _fill_moves(layer: Layer, following: Layer, rules: Rules, choose: Choose) -> None:
    answers_of = {STOP: (), NOTHING: (_NOTHING_ANSWER,), rules.goal: (1, 2)}
    found: dict[int, list[tuple[int, ...]]] = {}
    counts = []
    for row, memory in enumerate(layer.books):
        choices = tuple(choose(memory))
        # Asking nothing leaves the book as it is: whoever has no other choice has none until the visit ends.
        choices = (STOP,) if choices == (NOTHING,) else choices
        counts.append(len(choices))
        for ask in choices:
            nexts = [following.row(rules.after(memory, ask, ANSWERS[i])) for i in answers_of.get(ask, (0, 1, 2))]
            found.setdefault(ask, []).append((row, *nexts))
    layer.n_choices = np.array(counts, np.int64)
    columns = {ask: np.array(entries, np.int64).T for ask, entries in sorted(found.items())}
    layer.moves = tuple(
        Move(ask, table[0], dict(zip(answers_of.get(ask, (0, 1, 2)), table[1:], strict=True)))
        for ask, table in columns.items()
    )


def values(world: World, graph: Graph, how: How) -> Iterator[tuple[tuple[int, int], FloatArray]]:
    """Probability of converting from each layer's (type, book, hidden state), given that a request comes now.

    ``how``: the mean over the choices of each book, or that of the best or the worst one, chosen in full sight of
    the hidden state. Layers come in reverse; only what is still needed is kept.
    """
    tables = tables_of(world)
    goal = world.catalog.position[world.catalog.goal]
    next_visit: FloatArray | None = None
    after: list[FloatArray] = []
    for (visit, step), layer in reversed(graph.items()):
        leaving = left_with(tables, layer, next_visit)
        goes_on = leaving
        if step < world.leaving.max_steps:
            goes_on = _layer_values(tables, layer, _Ahead(after, leaving), goal, how)
            yield (visit, step), goes_on
        stay = tables.stay[:, :, None]
        after = [stay[:, i] * goes_on + (1.0 - stay[:, i]) * leaving for i in range(len(ANSWERS))]
        if step == 0:
            next_visit = goes_on


def left_with(tables: Tables, layer: Layer, next_visit: FloatArray | None) -> FloatArray:
    """Probability of converting for (type, book, hidden state) of a layer, given that the visit ends here."""
    late = tables.late[layer.marks].transpose(1, 0, 2)
    if next_visit is None:
        return late
    back = tables.back[layer.marks].transpose(1, 0, 2)
    return late + (1.0 - late) * back * (next_visit @ tables.between.T)[:, layer.returns]


class _Ahead(NamedTuple):
    """Values (types, books, hidden): of the next layer by answer given, and of leaving with a book of this one."""

    after: list[FloatArray]
    leaving: FloatArray


def _layer_values(tables: Tables, layer: Layer, ahead: _Ahead, goal: int, how: How) -> FloatArray:
    start = {"mean": 0.0, "max": -np.inf, "min": np.inf}[how]
    total = np.full((len(tables.start), len(layer.books), tables.start.shape[1]), start)
    for move in layer.moves:
        worth = _worth(tables, layer, move, ahead, goal)
        if how == "mean":
            total[:, move.rows] += worth / layer.n_choices[move.rows, None]
        else:
            total[:, move.rows] = (np.maximum if how == "max" else np.minimum)(total[:, move.rows], worth)
    return total


def _worth(tables: Tables, layer: Layer, move: Move, ahead: _Ahead, goal: int) -> FloatArray:
    """Probability of converting when the move's ask is shown: (types, rows, hidden)."""

    def then(answer: int) -> FloatArray:
        moves = tables.after[answer, :, max(move.ask, 0)].transpose(0, 2, 1)
        moved: FloatArray = ahead.after[answer][:, move.nexts[answer]] @ moves
        return moved

    if move.ask == STOP:
        stopped: FloatArray = ahead.leaving[:, move.rows] @ tables.until_left[layer.step].transpose(0, 2, 1)
        return stopped
    if move.ask == NOTHING:
        return then(_NOTHING_ANSWER)
    accept = tables.accept[layer.marks[move.rows], :, move.ask].transpose(1, 0, 2)
    decline = tables.decline[:, None, move.ask]
    accepted = accept if move.ask == goal else accept * then(ACCEPTED)
    return accepted + (1.0 - accept) * (decline * then(1) + (1.0 - decline) * then(2))
