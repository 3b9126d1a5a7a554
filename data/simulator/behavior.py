"""How one visitor behaves: the sampled side of what `data.simulator.truth` computes exactly, from the same tables."""

from __future__ import annotations

from typing import Final

from data.simulator.tables import tables_of
from data.simulator.visitors import Visitor
from data.simulator.world import N_FATIGUE, N_TRUST, World

ACCEPTED, DECLINED, IGNORED, NOTHING = range(4)
"""In the order of `data.simulator.world.ANSWERS`."""

# The places of a visit's random numbers: first those of the visit, then those of each step, signals last.
LATE, LATE_S, REPORT_S, BACK, BACK_S, FORGET, LEFT, LATE_ORDER, LATE_VALUE, N_VISIT = range(10)
PAGE_S, ACCEPT, DECLINE, TRUST, TIRE, STAY, THINK_S, TELL, ORDER, WEBHOOK, WEBHOOK_S, VALUE, DELAY, DELAY_S = range(14)
N_STEP: Final = 14


class Behavior:
    """Answers, changes of mood, and departures; every random number comes from the visitor's ``moods``."""

    def __init__(self, world: World) -> None:
        tables = tables_of(world)
        self._accept = tables.accept.tolist()
        self._decline = tables.decline.tolist()
        self._trust_up = tables.trust_up.tolist()
        self._trust_down = tables.trust_down.tolist()
        self._tire = tables.tire.tolist()
        self._stay = tables.stay.tolist()
        self._late = tables.late.tolist()
        self._back = tables.back.tolist()
        self._signals = tables.signals.tolist()
        self._dynamics, self._leaving = world.dynamics, world.leaving
        marks = list(enumerate(world.marks.values()))
        self._marks = [sum((ask.id in asks) << bit for bit, asks in marks) for ask in world.catalog.asks]
        self._n_signals = len(self._signals)
        self.n_moods = N_VISIT + world.leaving.max_steps * (N_STEP + self._n_signals)

    def place(self, visitor: Visitor) -> int:
        """Where the random numbers of the visitor's current step begin."""
        return N_VISIT + visitor.step * (N_STEP + self._n_signals)

    def signals(self, visitor: Visitor) -> list[int]:
        """Indices of the signals the visitor gives on this page."""
        moods, first = visitor.moods, self.place(visitor) + N_STEP
        return [i for i, rate in enumerate(self._signals) if moods[first + i] < rate[visitor.type][visitor.trust]]

    def answer(self, visitor: Visitor, ask: int) -> int:
        """What becomes of an ask shown now."""
        moods, place, hidden = visitor.moods, self.place(visitor), _hidden(visitor)
        if moods[place + ACCEPT] < self._accept[visitor.marks][visitor.type][ask][hidden]:
            return ACCEPTED
        return DECLINED if moods[place + DECLINE] < self._decline[visitor.type][ask][hidden] else IGNORED

    def change(self, visitor: Visitor, ask: int, answer: int) -> None:
        """What the step does to the visitor; ``ask`` does not matter where nothing was asked."""
        place, dynamics = self.place(visitor), self._dynamics
        trust, tire = visitor.moods[place + TRUST], visitor.moods[place + TIRE]
        if answer == NOTHING:
            visitor.fatigue -= visitor.fatigue > 0 and tire < dynamics.rest
            return
        if answer == ACCEPTED:
            visitor.marks |= self._marks[ask]
            visitor.trust += visitor.trust < N_TRUST - 1 and trust < self._trust_up[ask]
        else:
            share = 1.0 if answer == DECLINED else dynamics.silence
            visitor.trust -= visitor.trust > 0 and trust < share * self._trust_down[ask][_hidden(visitor)]
        visitor.fatigue += (
            visitor.fatigue < N_FATIGUE - 1 and tire < self._tire[visitor.type][ask][int(answer == ACCEPTED)]
        )

    def stays(self, visitor: Visitor, answer: int) -> bool:
        """Whether the visitor asks for another page in this visit."""
        if visitor.step + 1 >= self._leaving.max_steps:
            return False
        return bool(visitor.moods[self.place(visitor) + STAY] < self._stay[visitor.type][answer][_hidden(visitor)])

    def buys_late(self, visitor: Visitor) -> bool:
        """Whether the visitor converts after this visit."""
        return bool(visitor.moods[LATE] < self._late[visitor.marks][visitor.type][_hidden(visitor)])

    def comes_back(self, visitor: Visitor) -> bool:
        """Whether there is another visit, given no late conversion."""
        if visitor.visit + 1 >= self._leaving.max_visits:
            return False
        return bool(visitor.moods[BACK] < self._back[visitor.marks][visitor.type][_hidden(visitor)])

    def rest(self, visitor: Visitor) -> None:
        """What the time between two visits does to the visitor."""
        visitor.trust -= visitor.trust > 0 and visitor.moods[FORGET] < self._dynamics.forget
        visitor.fatigue = max(0, visitor.fatigue - self._dynamics.recovery)


def _hidden(visitor: Visitor) -> int:
    return visitor.trust * N_FATIGUE + visitor.fatigue
