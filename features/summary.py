"""The numbers of visitors' states that features need, as arrays: one row a decision.

A ``Summary`` comes from folded states (``summarize``, on the request path) or column-wise from a log
(``features.lowering``); both give equal numbers. Everything above it is the same code for one decision and a million.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from msgspec.structs import astuple

from data.domain import DAY, Catalog
from features.state import JourneyState

IntArray = npt.NDArray[np.int64]
PlaceArray = npt.NDArray[np.int32]

ASK_MEMORY: Final = (
    "n_shown",
    "n_accepted",
    "n_declined",
    "shown_at",
    "accepted_at",
    "declined_at",
    "n_shown_episode",
    "n_accepted_episode",
)
"""Rows of ``Summary.ask_table``: the fields of ``features.state.AskMemory``, in order."""
SIGNAL_MEMORY: Final = ("n", "n_session", "last_at")
"""Rows of ``Summary.signal_table``: the fields of ``features.state.SignalMemory``, in order."""
NO_ASK: Final = -1


@dataclass(frozen=True)
class Summary:
    """The states of ``n`` visitors as of the moments of ``n`` decisions, under a catalog of A asks and S signals.

    The first block holds fields of ``features.state.JourneyState``, each of shape (n,) and type int64, instants in
    microseconds. ``answered_ask`` is an index into the catalog's asks, -1 for none (or one that the catalog does not
    have); ``is_answer_decline`` is 0 or 1. ``n_shows_last_24h`` counts up to ``features.state.RECENT_SHOWS``.

    Memories of asks are kept once for each change: ``ask_places`` of shape (n, A) tells the column of ``ask_table``
    that holds what was known of that ask, column 0 (all zeros) where it was never met. ``signal_places`` of shape
    (n, S) is the same for declared signals. The properties unfold them to arrays of shape (n, A) and (n, S).
    """

    n_sessions: IntArray
    n_episodes: IntArray
    n_conversions: IntArray
    first_event_at: IntArray
    last_event_at: IntArray
    last_shown_at: IntArray
    last_accepted_at: IntArray
    last_declined_at: IntArray
    session_started_at: IntArray
    session_shown: IntArray
    session_accepted: IntArray
    session_declined: IntArray
    session_declines: IntArray
    session_max_declines: IntArray
    answered_ask: IntArray
    is_answer_decline: IntArray
    episode_started_at: IntArray
    episode_shown: IntArray
    episode_accepted: IntArray
    n_shows_last_24h: IntArray

    ask_places: PlaceArray
    ask_table: IntArray
    signal_places: PlaceArray
    signal_table: IntArray

    def __len__(self) -> int:
        return len(self.n_sessions)

    @property
    def n_shown(self) -> IntArray:
        """Times each ask was shown, ever."""
        return self._of_asks("n_shown")

    @property
    def n_accepted(self) -> IntArray:
        """Times each ask was accepted, ever."""
        return self._of_asks("n_accepted")

    @property
    def n_declined(self) -> IntArray:
        """Times each ask was declined, ever."""
        return self._of_asks("n_declined")

    @property
    def shown_at(self) -> IntArray:
        """When each ask was last shown."""
        return self._of_asks("shown_at")

    @property
    def accepted_at(self) -> IntArray:
        """When each ask was last accepted."""
        return self._of_asks("accepted_at")

    @property
    def declined_at(self) -> IntArray:
        """When each ask was last declined."""
        return self._of_asks("declined_at")

    @property
    def n_shown_episode(self) -> IntArray:
        """Times each ask was shown in the current episode."""
        return self._of_asks("n_shown_episode")

    @property
    def n_accepted_episode(self) -> IntArray:
        """Times each ask was accepted in the current episode."""
        return self._of_asks("n_accepted_episode")

    @property
    def n_signals(self) -> IntArray:
        """Times each signal was seen, ever."""
        return self._of_signals("n")

    @property
    def n_signals_session(self) -> IntArray:
        """Times each signal was seen in the current session."""
        return self._of_signals("n_session")

    @property
    def signaled_at(self) -> IntArray:
        """When each signal was last seen."""
        return self._of_signals("last_at")

    def take(self, rows: npt.NDArray[Any] | slice) -> Summary:
        """The summary of some of the decisions: by position, flags or slice."""
        values = {name: getattr(self, name)[rows] for name in _BY_DECISION}
        return Summary(**values, ask_table=self.ask_table, signal_table=self.signal_table)

    def compact(self) -> Summary:
        """The same summary with only those memories of asks and signals that one of its decisions has."""
        ask_places, ask_table = _only_used(self.ask_places, self.ask_table)
        signal_places, signal_table = _only_used(self.signal_places, self.signal_table)
        scalars = {name: getattr(self, name) for name in SCALARS}
        return Summary(
            **scalars,
            ask_places=ask_places,
            ask_table=ask_table,
            signal_places=signal_places,
            signal_table=signal_table,
        )

    def _of_asks(self, name: str) -> IntArray:
        values: IntArray = self.ask_table[ASK_MEMORY.index(name)][self.ask_places]
        return values

    def _of_signals(self, name: str) -> IntArray:
        values: IntArray = self.signal_table[SIGNAL_MEMORY.index(name)][self.signal_places]
        return values


_BY_DECISION: Final = tuple(f.name for f in fields(Summary) if f.name not in ("ask_table", "signal_table"))
SCALARS: Final = tuple(name for name in _BY_DECISION if name not in ("ask_places", "signal_places"))
"""Names of the fields of shape (n,), in order."""


def _only_used(places: PlaceArray, table: IntArray) -> tuple[PlaceArray, IntArray]:
    is_used = np.zeros(table.shape[1], dtype=np.bool_)
    is_used[0] = True
    is_used[places] = True
    moved = np.cumsum(is_used, dtype=np.int32) - np.int32(1)
    return moved[places], table[:, is_used]


_NEVER_MET: Final = (0,) * len(ASK_MEMORY)
_NEVER_SEEN: Final = (0,) * len(SIGNAL_MEMORY)


def summarize(states: Sequence[JourneyState], nows: Sequence[int], catalog: Catalog) -> Summary:
    """The summary of folded states, each already brought to its moment by ``features.state.as_of``.

    Example:
        >>> from data.domain import Ask
        >>> catalog = Catalog("shop", "buy", ("buy",), (Ask("buy", "Buy", "purchase", 8),))
        >>> summary = summarize([JourneyState(n_sessions=1, last_event_at=5)], [5], catalog)
        >>> summary.n_sessions.tolist(), summary.n_shown.tolist()
        ([1], [[0]])
    """
    position = catalog.position
    ask_places: list[int] = []
    ask_table = list(_NEVER_MET)
    signal_places: list[int] = []
    signal_table = list(_NEVER_SEEN)
    scalars: list[int] = []
    for state, now in zip(states, nows, strict=True):
        scalars += _scalars(state, now, position)
        row = [0] * len(position)
        for ask_id, memory in state.asks.items():
            column = position.get(ask_id)
            if column is not None:
                row[column] = len(ask_table) // len(ASK_MEMORY)
                ask_table += astuple(memory)
        ask_places += row
        for name in catalog.signals:
            seen = state.signals.get(name)
            signal_places.append(0 if seen is None else len(signal_table) // len(SIGNAL_MEMORY))
            if seen is not None:
                signal_table += astuple(seen)
    n = len(states)
    values = np.array(scalars, dtype=np.int64).reshape(n, len(SCALARS))
    columns: dict[str, Any] = dict(zip(SCALARS, values.T, strict=True))
    return Summary(
        **columns,
        ask_places=np.array(ask_places, dtype=np.int32).reshape(n, len(position)),
        ask_table=np.array(ask_table, dtype=np.int64).reshape(-1, len(ASK_MEMORY)).T,
        signal_places=np.array(signal_places, dtype=np.int32).reshape(n, len(catalog.signals)),
        signal_table=np.array(signal_table, dtype=np.int64).reshape(-1, len(SIGNAL_MEMORY)).T,
    )


def _scalars(state: JourneyState, now: int, position: Any) -> tuple[int, ...]:
    shows = state.recent_shows
    return (
        state.n_sessions,
        state.n_episodes,
        state.n_conversions,
        state.first_event_at,
        state.last_event_at,
        state.last_shown_at,
        state.last_accepted_at,
        state.last_declined_at,
        state.session_started_at,
        state.session_shown,
        state.session_accepted,
        state.session_declined,
        state.session_declines,
        state.session_max_declines,
        position.get(state.answered_ask, NO_ASK),
        state.is_answer_decline,
        state.episode_started_at,
        state.episode_shown,
        state.episode_accepted,
        len(shows) - bisect_right(shows, now - DAY),
    )
