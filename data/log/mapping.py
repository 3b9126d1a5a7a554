"""Map files: how to read a log that was written with other columns, names and times.

A map file is YAML (or JSON). Every part but ``format`` is optional:

```yaml
format: 1
columns:                      # ours: theirs; one of theirs may feed several of ours
  visitor_id: user.id         # a dot reaches into nested objects
  at: ts
  type: event
  ask_id: offer
  eligible: offers
  context.device: device
constants: {journey: skincare, channel: email}
values:                       # per column of ours, theirs: ours; nothing ("") is an empty cell
  type: {impression: shown, click: accepted, dismiss: declined, order: converted}
  ask_id: {Skin Quiz: skin_quiz, control: ""}
ignore: {type: [heartbeat]}   # rows left out on purpose: counted, not refused
times:
  at: epoch_ms                # or epoch_s, epoch_us, epoch_ns, iso
  received_at: {format: "%d.%m.%Y %H:%M", zone: Europe/Berlin}
lists: {eligible: ","}        # what separates items; default |
```

Columns that keep their names need no entry. Names under ``values.ask_id`` also translate the items of ``eligible``
and ``withheld``. ``ignore`` names values as the file has them. Every scalar is taken as text, so ``yes`` and ``1``
are what they look like.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import polars as pl
import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from data.domain import EVENT_TYPES
from data.errors import BadLog, Fault
from data.log.cells import Column, as_series, as_text
from data.log.feature_columns import is_feature
from data.log.schema import COLUMNS, LISTS, PREFIXES, TIMES
from data.log.times import EpochUnit, TimeRule, is_known_format, is_known_zone

_OBJECTS: Final = tuple(prefix.removesuffix(".") for prefix in PREFIXES)
_TARGETS: Final = f"{', '.join(COLUMNS)}, context, answers, context.<name>, answers.<name>"


def _target(name: str) -> str:
    if name in COLUMNS or name in _OBJECTS or is_feature(name):
        return name
    raise ValueError(f"is no column of a log; allowed: {_TARGETS}")


def _one_of(*allowed: str) -> AfterValidator:
    def check(name: str) -> str:
        if name not in allowed:
            raise ValueError(f"is no such column; allowed: {', '.join(allowed)}")
        return name

    return AfterValidator(check)


def _zone(name: str) -> str:
    if not is_known_zone(name):
        raise ValueError("is no time zone; allowed: a name like UTC or Europe/Berlin")
    return name


def _format(text: str) -> str:
    if not is_known_format(text):
        raise ValueError("is no time format; allowed: strptime codes like %Y-%m-%d %H:%M:%S")
    return text


def _separator(text: str) -> str:
    if not text:
        raise ValueError("is empty; allowed: one or more characters")
    return text


def _time_entry(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value == "iso":
        return {}
    return {"epoch": value.removeprefix("epoch_")} if value.startswith("epoch_") else {"epoch": value}


Target = Annotated[str, AfterValidator(_target)]


class TimeEntry(BaseModel):
    """How one column writes its times: epoch numbers, a format, or ISO 8601 in a zone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epoch: EpochUnit | None = None
    format: Annotated[str, AfterValidator(_format)] | None = None
    zone: Annotated[str, AfterValidator(_zone)] = "UTC"


class LogMap(BaseModel):
    """A map file; see the module docstring.

    Example:
        >>> LogMap(columns={"visitor_id": "user"}, times={"at": "epoch_s"}).times["at"].epoch
        's'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Annotated[Literal[1], BeforeValidator(lambda value: 1 if value in (1, "1") else value)] = 1
    columns: dict[Target, str] = Field(default_factory=dict)
    constants: dict[Target, str] = Field(default_factory=dict)
    values: dict[Target, dict[str, str]] = Field(default_factory=dict)
    ignore: dict[Target, list[str]] = Field(default_factory=dict)
    times: dict[Annotated[str, _one_of(*TIMES)], Annotated[TimeEntry, BeforeValidator(_time_entry)]] = Field(
        default_factory=dict
    )
    lists: dict[Annotated[str, _one_of(*LISTS)], Annotated[str, AfterValidator(_separator)]] = Field(
        default_factory=dict
    )

    def time_rule(self, column: str) -> TimeRule:
        """How a column of ours writes its times."""
        entry = self.times.get(column, TimeEntry())
        return TimeRule(entry.epoch, entry.format, entry.zone)

    def item_names(self, column: str) -> Mapping[str, str]:
        """How the items of a list column are translated."""
        return self.values.get(column, self.values.get("ask_id", {}))


def load_map(path: str | Path) -> LogMap:
    """The map of a file.

    Raises:
        BadLog: with everything that is wrong with it.
    """
    raw = _load_yaml(Path(path))
    faults: list[Fault] = []
    mapping: LogMap | None = None
    try:
        mapping = LogMap.model_validate(raw)
    except ValidationError as error:
        faults = [_fault(str(path), each) for each in error.errors()]
    faults += _contradictions(str(path), raw)
    if faults or mapping is None:
        raise BadLog(faults)
    return mapping


def missing_sources(mapping: LogMap, columns: Mapping[str, Column]) -> set[str]:
    """Their columns that the map names and a file does not have."""
    return {theirs for theirs in mapping.columns.values() if _reach(columns, theirs) is None}


def mapped(mapping: LogMap, columns: Mapping[str, Column], n_rows: int) -> tuple[dict[str, Column], set[str]]:
    """A file's columns under our names, with constants; and which of ours are plain text now."""
    named: dict[str, Column] = {}
    used = {theirs.split(".")[0] for theirs in mapping.columns.values()}
    for name, column in columns.items():
        if name not in used or (name in COLUMNS and name not in mapping.columns):
            named[name] = column
    for ours, theirs in mapping.columns.items():
        column_of = _reach(columns, theirs)
        if column_of is not None:
            named[ours] = column_of
    for ours, constant in mapping.constants.items():
        named[ours] = pl.Series([constant or None], dtype=pl.String).new_from_index(0, n_rows)
    plain = set(mapping.constants)
    for ours, names in mapping.values.items():
        column_of = _reach(named, ours)
        if column_of is not None and ours not in LISTS:
            named[ours] = _translated(column_of, names)
            plain.add(ours)
    return named, plain


def ignored(mapping: LogMap, columns: Mapping[str, Column], n_rows: int) -> pl.Series:
    """Which rows of a file (under its own names) the map leaves out."""
    mask = pl.Series([False]).new_from_index(0, n_rows)
    for ours, values in mapping.ignore.items():
        column = _reach(columns, mapping.columns.get(ours, ours))
        if column is not None:
            mask |= as_text(as_series(column)).is_in(values).fill_null(False)
    return mask


def _translated(column: Column, names: Mapping[str, str]) -> pl.Series:
    text = as_text(as_series(column)).replace(dict(names))
    return text.set((text == "").fill_null(False), None)


def _reach(columns: Mapping[str, Column], name: str) -> Column | None:
    """A column by name; a dotted name also reaches into structs and objects."""
    if name in columns:
        return columns[name]
    parent, _, inner = name.partition(".")
    column = columns.get(parent)
    if not inner or column is None:
        return None
    if isinstance(column, pl.Series):
        if not isinstance(column.dtype, pl.Struct):
            return None
        return _reach({field.name: column.struct.field(field.name) for field in column.dtype.fields}, inner)
    if not any(isinstance(cell, dict) for cell in column):
        return None
    objects = [cell if isinstance(cell, dict) else {} for cell in column]
    keys = dict.fromkeys(key for cell in objects for key in cell)
    return _reach({key: [cell.get(key) for cell in objects] for key in keys}, inner)


class _TextLoader(yaml.BaseLoader):
    """Every scalar is text; a key given twice is refused instead of the last one winning."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twins = {str(key) for key in keys if keys.count(key) > 1}
        if twins:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {sorted(twins)[0]!r} is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep=deep)


def _load_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        raw = yaml.load(text, Loader=_TextLoader)  # noqa: S506 - makes nothing but text, lists and mappings
    except (OSError, UnicodeDecodeError) as error:
        raise BadLog([Fault(str(path), "", f"cannot be read: {error}")]) from error
    except yaml.YAMLError as error:
        raise BadLog([Fault(str(path), "", f"is no YAML: {error}")]) from error
    if not isinstance(raw, dict):
        raise BadLog([Fault(str(path), "", "is no map file", repr(raw)[:80], "a mapping that begins with format: 1")])
    if "format" not in raw:
        raise BadLog([Fault(str(path), "format", "is missing", "", "format: 1")])
    return raw


def _fault(file: str, error: Any) -> Fault:
    where = ".".join(str(part) for part in error["loc"] if part != "[key]")
    problem, _, allowed = str(error["msg"]).removeprefix("Value error, ").partition("; allowed: ")
    received = error["input"] if isinstance(error["input"], str) else ""
    return Fault(file, where, problem, received, allowed)


def _contradictions(file: str, raw: Mapping[str, Any]) -> list[Fault]:
    """What each part alone does not show; tolerates parts of any type, for these are reported already."""
    parts = {key: value for key, value in raw.items() if isinstance(value, dict)}
    columns, constants = parts.get("columns", {}), parts.get("constants", {})
    faults = [
        Fault(file, f"columns.{ours}", "is also under constants", "", "one of the two")
        for ours in columns
        if ours in constants
    ]
    faults += [
        Fault(file, f"columns.{ours}", "seems to be the wrong way round", f"{ours}: {theirs}", f"{theirs}: {ours}")
        for ours, theirs in columns.items()
        if isinstance(theirs, str) and theirs in COLUMNS and ours not in COLUMNS and not is_feature(ours)
    ]
    types = parts.get("values", {}).get("type", {})
    allowed = ", ".join(EVENT_TYPES)
    if isinstance(types, dict):
        faults += [
            Fault(file, f"values.type.{theirs}", "is no event type", str(ours), allowed)
            for theirs, ours in types.items()
            if ours not in EVENT_TYPES
        ]
    return faults
