"""Everything guardrails may know of many decisions at once: the column-wise twin of ``policy.situation``.

A ``Situation`` is one request with a folded state. A ``Crowd`` is ``n`` decisions as arrays, real ones of a log or
hypothetical ones that training asks "what could have been asked here?".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from data.domain import Ask, Catalog, Feature
from features.summary import ASK_MEMORY, IntArray, Summary

if TYPE_CHECKING:
    import polars as pl

BoolArray = npt.NDArray[np.bool_]
Values = npt.NDArray[Any]

DEVICE: Final = "device"
"""The one context feature that asks may name (``devices``) where no catalog declares it."""
_CONTEXT, _ANSWERS = "context.", "answers."


class Distinct(NamedTuple):
    """A column as its distinct values and, of shape (n,), which of them each row has.

    Values of different types are different ones: ``True`` is not 1.
    """

    values: tuple[Any, ...]
    codes: IntArray

    @classmethod
    def of(cls, column: Values) -> Distinct:
        """The distinct values of a column, in the order in which they come.

        Example:
            >>> Distinct.of(np.array(["dry", None, "dry", True, 1], dtype=object))
            Distinct(values=('dry', None, True, 1), codes=array([0, 1, 0, 2, 3]))
        """
        given = column.tolist()
        keys = list(zip(map(type, given), given, strict=True))
        places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        codes = np.fromiter(map(places.__getitem__, keys), dtype=np.int64, count=len(keys))
        return cls(tuple(value for _, value in places), codes)

    def mapped(self, function: Callable[[Any], Any]) -> Distinct:
        """Other values in the same rows; the function is called once for each distinct value."""
        return Distinct(tuple(map(function, self.values)), self.codes)

    def where(self, judge: Callable[[Any], bool]) -> BoolArray:
        """Which rows hold a value of which the function says yes, shape (n,); called once for each distinct value."""
        flags = np.fromiter(map(judge, self.values), dtype=np.bool_, count=len(self.values))
        found: BoolArray = flags[self.codes]
        return found


@dataclass(frozen=True)
class Crowd:
    """What guardrails may know of ``n`` decisions under one catalog of A asks.

    ``dataclasses.replace`` makes a crowd of which something is otherwise; the arrays are shared, never written to.

    Attributes:
        catalog: the journey, the same for all.
        summary: the visitors' states as of the decisions.
        now: shape (n,), int64; the instant of each decision in microseconds.
        channel: shape (n,); names of channels.
        context: columns of shape (n,) by the name of the feature, raw values, ``None`` where missing. What counts as
            missing besides is settled by ``policy.guardrails.known``; a column that is not there is missing in all.
        answers: likewise, what was known of each visitor.
        withheld: shape (n, A); asks that the request itself rules out, by ``exclude`` or for want of a consent.

    Raises:
        ValueError: an array is not of its shape.

    Example:
        >>> from features.state import JourneyState
        >>> from features.summary import summarize
        >>> catalog = Catalog("shop", "buy", ("buy",), (Ask("buy", "Buy", "purchase", 8),))
        >>> summary = summarize([JourneyState(), JourneyState()], [5, 6], catalog)
        >>> now, channel = np.array([5, 6]), np.array(["web", "email"])
        >>> crowd = Crowd(catalog, summary, now, channel, {}, {}, np.zeros((2, 1), dtype=np.bool_))
        >>> crowd.take(np.array([1])).channel.tolist()
        ['email']
    """

    catalog: Catalog
    summary: Summary
    now: IntArray
    channel: Values
    context: Mapping[str, Values]
    answers: Mapping[str, Values]
    withheld: BoolArray

    def __post_init__(self) -> None:
        n, n_asks = len(self.now), len(self.catalog.asks)
        given = {"now": self.now, "channel": self.channel}
        given |= {_CONTEXT + name: column for name, column in self.context.items()}
        given |= {_ANSWERS + name: column for name, column in self.answers.items()}
        for name, array in given.items():
            _check_shape(name, array, (n,))
        for name, array in (("summary.ask_places", self.summary.ask_places), ("withheld", self.withheld)):
            _check_shape(name, array, (n, n_asks))

    def __len__(self) -> int:
        return len(self.now)

    @classmethod
    def from_frame(cls, shown_rows: pl.DataFrame, summary: Summary, catalog: Catalog) -> Crowd:
        """The decisions of a log.

        Args:
            shown_rows: ``shown`` rows of a log with ``at``, ``channel``, ``context.*``, ``answers.*`` and
                ``withheld``. A column that is not there is missing in every row; no channel is ``web``, no
                ``withheld`` is none, and withheld asks that the catalog does not have count for nothing.
            summary: the states as of these rows, in the same order.
            catalog: the journey.

        Raises:
            ValueError: ``summary`` has another number of decisions.
        """
        device = () if any(feature.name == DEVICE for feature in catalog.context) else (Feature(DEVICE, "category"),)
        return cls(
            catalog=catalog,
            summary=summary,
            now=shown_rows["at"].to_physical().to_numpy(),
            channel=_channels(shown_rows),
            context={f.name: _objects(shown_rows, _CONTEXT + f.name) for f in (*catalog.context, *device)},
            answers={f.name: _objects(shown_rows, _ANSWERS + f.name) for f in catalog.answers},
            withheld=_withheld(shown_rows, catalog),
        )

    def take(self, rows: npt.NDArray[Any] | slice) -> Crowd:
        """Some of the decisions: by position, flags or slice."""
        return Crowd(
            catalog=self.catalog,
            summary=self.summary.take(rows),
            now=self.now[rows],
            channel=self.channel[rows],
            context={name: column[rows] for name, column in self.context.items()},
            answers={name: column[rows] for name, column in self.answers.items()},
            withheld=self.withheld[rows],
        )

    def columns(self, asks: Sequence[Ask]) -> list[int]:
        """Where those asks stand in the catalog."""
        position = self.catalog.position
        return [position[ask.id] for ask in asks]

    def memory(self, name: str, asks: Sequence[Ask]) -> IntArray:
        """One of ``features.summary.ASK_MEMORY`` of those asks, shape (n, number of asks)."""
        places = self.summary.ask_places[:, self.columns(asks)]
        values: IntArray = self.summary.ask_table[ASK_MEMORY.index(name)][places]
        return values

    def told(self, name: str, *, is_context: bool) -> Distinct:
        """The raw values of a context feature or answer; a column that is not there holds nothing but ``None``."""
        column = (self.context if is_context else self.answers).get(name)
        return Distinct((None,), np.zeros(len(self), dtype=np.int64)) if column is None else Distinct.of(column)


def _check_shape(name: str, array: Values, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} of a crowd must have shape {shape}; received {array.shape}")


def _channels(frame: pl.DataFrame) -> Values:
    channels = _objects(frame, "channel")
    channels[~channels.astype(np.bool_)] = "web"
    return channels


def _objects(frame: pl.DataFrame, name: str) -> Values:
    """A column as Python's own values, ``None`` where null."""
    values = np.full(frame.height, None, dtype=object)
    if name in frame.columns:
        values[:] = frame[name].to_list()
    return values


def _withheld(frame: pl.DataFrame, catalog: Catalog) -> BoolArray:
    import polars as pl

    withheld = np.zeros((frame.height, len(catalog.asks)), dtype=np.bool_)
    if "withheld" not in frame.columns or not catalog.asks:
        return withheld
    lists = frame["withheld"].cast(pl.List(pl.String))
    n_names = lists.list.len().fill_null(0).to_numpy()
    names = lists.filter(pl.Series(n_names > 0)).explode()
    columns = names.cast(pl.Enum(list(catalog.position)), strict=False).to_physical().cast(pl.Int64).fill_null(-1)
    rows, found = np.repeat(np.arange(frame.height), n_names), columns.to_numpy()
    withheld[rows[found >= 0], found[found >= 0]] = True
    return withheld
