"""A visitor's state from a history given in a request, by the same fold as everything else."""

from __future__ import annotations

from collections.abc import Sequence

from data.domain import Decision, Event
from data.errors import BadRequest
from features.state import JourneyState, Scopes, advance, show
from policy.messages import HistoryItem


def state_from_history(history: Sequence[HistoryItem], scopes: Scopes, now: int) -> JourneyState:
    """The state after a history, in order of time (equal times: list order).

    Answers follow the rules of the event log: one with a ``decision_id`` answers that step, one without answers
    the latest open step of its ask; an ``accepted`` that answers nothing is a commitment made unprompted; the
    first accept or decline is final and later answers of the same step count for nothing.

    Raises:
        BadRequest: an item is later than ``now``, lacks its ask or signal, or answers a step that is not there.
    """
    teller = _Teller(scopes, now)
    order = sorted(range(len(history)), key=lambda index: history[index].at)
    for index in order:
        teller.tell(index, history[index])
    return teller.state


class _Teller:
    """Folds history items; ``open_steps`` are the steps that can still be answered, oldest first."""

    def __init__(self, scopes: Scopes, now: int) -> None:
        self.state = JourneyState()
        self._scopes = scopes
        self._now = now
        self._open_steps: dict[str, str] = {}
        self._answered: set[str] = set()
        self._told: set[tuple[object, ...]] = set()

    def tell(self, index: int, item: HistoryItem) -> None:
        same = (item.at, item.type, item.ask_id, item.signal, item.decision_id if item.type == "shown" else None)
        if same in self._told:
            return
        self._told.add(same)
        field = f"history[{index}]"
        if item.at > self._now:
            raise _bad(f"{field}.at", "is later than the time of the decision", item.at)
        if item.type == "shown":
            self._show(index, item)
            return
        decision_id = item.decision_id
        if item.type in ("accepted", "declined", "ignored"):
            if item.ask_id is None:
                raise _bad(f"{field}.ask_id", f"is required for {item.type}", None)
            decision_id = self._answered_step(field, item, item.ask_id)
            if decision_id in self._answered:
                return
            if decision_id is not None and item.type != "ignored":
                self._answered.add(decision_id)
                self._open_steps.pop(decision_id, None)
        if item.type == "signal" and item.signal is None:
            raise _bad(f"{field}.signal", "is required for signal", None)
        advance(self.state, _event(item, decision_id), self._scopes)

    def _show(self, index: int, item: HistoryItem) -> None:
        decision_id = item.decision_id or f"history-{index}"
        decision = Decision(decision_id, "", "", item.at, item.at, item.ask_id, None, None, "")
        show(self.state, decision, self._scopes)
        if item.ask_id is not None:
            self._open_steps[decision_id] = item.ask_id

    def _answered_step(self, field: str, item: HistoryItem, ask_id: str) -> str | None:
        if item.decision_id is not None:
            if item.decision_id in self._answered or self._open_steps.get(item.decision_id) == ask_id:
                return item.decision_id
            raise _bad(f"{field}.decision_id", f"names no earlier shown step of {ask_id}", item.decision_id)
        for decision_id, open_ask in reversed(self._open_steps.items()):
            if open_ask == ask_id:
                return decision_id
        if item.type == "accepted":
            return None
        raise _bad(field, f"a {item.type} needs an earlier shown step of the same ask", ask_id)


def _event(item: HistoryItem, decision_id: str | None) -> Event:
    return Event(
        visitor_id="",
        type=item.type,
        at=item.at,
        received_at=item.at,
        journey="",
        ask_id=item.ask_id,
        decision_id=decision_id,
        signal=item.signal,
        order_id=item.order_id,
        value=item.value,
    )


def _bad(field: str, problem: str, received: object) -> BadRequest:
    return BadRequest("invalid_request", f"{field}: {problem}.", field=field, received=received)
