"""Decisions and events as rows of a log frame, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import polars as pl

from data.domain import Decision, Event, FeatureValue
from data.log.feature_columns import is_feature, typed
from data.log.schema import COLUMNS, TIMES, UNKNOWN_POLICY

_SLICE_ROWS: Final = 50_000


def frame_of(items: Iterable[Decision | Event]) -> pl.DataFrame:
    """A log frame with one row per decision or event, in their order.

    Example:
        >>> frame = frame_of([Event("v", "left", 1_000_000, 1_000_000, "skincare")])
        >>> frame.select("visitor_id", "type").rows()
        [('v', 'left')]
    """
    rows = list(items)
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    features: dict[str, list[Any]] = {}
    for number, item in enumerate(rows):
        cells = _decision_cells(item) if isinstance(item, Decision) else _event_cells(item)
        for name, column in columns.items():
            column.append(cells.get(name))
        if isinstance(item, Decision):
            _add_features(features, "context.", item.context, number)
        _add_features(features, "answers.", item.answers, number)
    series = [_core(name, values) for name, values in columns.items()]
    for name in sorted(features, key=lambda name: (not name.startswith("context."), name)):
        values = features[name]
        series.append(typed(name, values + [None] * (len(rows) - len(values))))
    return pl.DataFrame(series)


def items_of(frame: pl.DataFrame) -> Iterator[Decision | Event]:
    """The decisions and events that the rows of a log frame stand for, in the frame's order.

    A decision whose row has no ``decision_id`` gets the empty one: ``data.arrivals`` gives such rows an id.
    """
    features = [name for name in frame.columns if is_feature(name)]
    for part in frame.select(*COLUMNS, *features).iter_slices(_SLICE_ROWS):
        columns = {name: _objects(part[name]) for name in part.columns}
        contexts = _dicts(columns, "context.", len(part))
        answers = _dicts(columns, "answers.", len(part))
        for number, kind in enumerate(columns["type"]):
            if kind == "shown":
                yield _decision(columns, number, contexts[number], answers[number])
            else:
                yield _event(columns, number, answers[number])


def _decision_cells(item: Decision) -> dict[str, Any]:
    return {
        "visitor_id": item.visitor_id,
        "at": item.at,
        "received_at": item.received_at,
        "type": "shown",
        "ask_id": item.ask_id,
        "journey": item.journey,
        "decision_id": item.decision_id or None,
        "propensity": item.propensity,
        "eligible": None if item.eligible is None else list(item.eligible),
        "policy": item.policy,
        "channel": item.channel,
        "withheld": list(item.withheld),
        "shown_at": item.shown_at,
        "learn": item.is_learnable,
        "catalog": item.catalog_digest or None,
        "features": item.fingerprint or None,
    }


def _event_cells(item: Event) -> dict[str, Any]:
    if item.type == "shown":
        raise ValueError(f"an event of visitor {item.visitor_id!r} is of type shown; allowed: a Decision says that")
    return {
        "visitor_id": item.visitor_id,
        "at": item.at,
        "received_at": item.received_at,
        "type": item.type,
        "ask_id": item.ask_id,
        "journey": item.journey,
        "event_id": item.event_id,
        "decision_id": item.decision_id,
        "signal": item.signal,
        "order_id": item.order_id,
        "from_id": item.from_id,
        "value": item.value,
    }


def _add_features(features: dict[str, list[Any]], prefix: str, values: Mapping[str, FeatureValue], number: int) -> None:
    for key, value in values.items():
        column = features.setdefault(prefix + key, [])
        column += [None] * (number - len(column))
        column.append(value)


def _core(name: str, values: list[Any]) -> pl.Series:
    if name in TIMES:
        return pl.Series(name, values, dtype=pl.Int64).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return pl.Series(name, values, dtype=COLUMNS[name])


def _objects(column: pl.Series) -> list[Any]:
    return (column.dt.timestamp("us") if column.dtype == pl.Datetime else column).to_list()


def _dicts(columns: Mapping[str, list[Any]], prefix: str, n_rows: int) -> list[dict[str, FeatureValue]]:
    rows: list[dict[str, FeatureValue]] = [{} for _ in range(n_rows)]
    for name, column in columns.items():
        if name.startswith(prefix):
            key = name.removeprefix(prefix)
            for row, value in zip(rows, column, strict=True):
                if value is not None:
                    row[key] = value
    return rows


def _decision(
    columns: Mapping[str, list[Any]],
    number: int,
    context: Mapping[str, FeatureValue],
    answers: Mapping[str, FeatureValue],
) -> Decision:
    eligible = columns["eligible"][number]
    is_learnable = columns["learn"][number]
    return Decision(
        decision_id=columns["decision_id"][number] or "",
        visitor_id=columns["visitor_id"][number],
        journey=columns["journey"][number] or "",
        at=columns["at"][number],
        received_at=columns["received_at"][number],
        ask_id=columns["ask_id"][number],
        propensity=columns["propensity"][number],
        eligible=None if eligible is None else tuple(eligible),
        policy=columns["policy"][number] or UNKNOWN_POLICY,
        channel=columns["channel"][number] or "web",
        context=context,
        answers=answers,
        withheld=tuple(columns["withheld"][number] or ()),
        shown_at=columns["shown_at"][number],
        is_learnable=True if is_learnable is None else is_learnable,
        catalog_digest=columns["catalog"][number] or "",
        fingerprint=columns["features"][number] or "",
    )


def _event(columns: Mapping[str, list[Any]], number: int, answers: Mapping[str, FeatureValue]) -> Event:
    return Event(
        visitor_id=columns["visitor_id"][number],
        type=columns["type"][number],
        at=columns["at"][number],
        received_at=columns["received_at"][number],
        journey=columns["journey"][number] or "",
        ask_id=columns["ask_id"][number],
        event_id=columns["event_id"][number],
        decision_id=columns["decision_id"][number],
        signal=columns["signal"][number],
        order_id=columns["order_id"][number],
        from_id=columns["from_id"][number],
        value=columns["value"][number],
        answers=answers,
    )
