"""Frozen dataclasses to plain JSON values and back, for the few shapes a world is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from data.errors import BadInput

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """A value made of dataclasses, mappings, tuples and scalars as plain JSON values.

    Example:
        >>> to_plain({"pair": (1, 2.5)})
        {'pair': [1, 2.5]}
    """
    if is_dataclass(value):
        return {part.name: to_plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Mapping):
        return {name: to_plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [to_plain(item) for item in value]
    return value


def from_plain(kind: type[T], value: Any, *, given: Mapping[str, Any] | None = None, path: str = "") -> T:
    """The dataclass that `to_plain` wrote; ``given`` are fields that are not in ``value`` but as they are.

    Raises:
        BadInput: a field is unknown, missing or of another type.
    """
    here = path or kind.__name__
    if not isinstance(value, Mapping):
        raise BadInput(f"{here}: received {value!r}; allowed: a mapping of fields")
    given, types = given or {}, get_type_hints(kind)
    unknown = sorted(set(value) - set(types))
    if unknown:
        raise BadInput(f"{here}: unknown field; received {unknown[0]!r}; allowed: {', '.join(types)}")
    parts = {name: _part(types[name], item, f"{here}.{name}") for name, item in value.items()}
    try:
        return kind(**parts, **given)
    except TypeError as error:
        raise BadInput(f"{here}: {error}") from None


def _part(kind: Any, value: Any, path: str) -> Any:
    if is_dataclass(kind):
        return from_plain(kind, value, path=path)  # type: ignore[arg-type]
    origin, inner = get_origin(kind), get_args(kind)
    if origin is tuple:
        if not isinstance(value, list | tuple) or (inner[-1] is not ... and len(value) != len(inner)):
            raise BadInput(f"{path}: received {value!r}; allowed: a list")
        kinds = inner[:1] * len(value) if inner[-1] is ... else inner
        return tuple(_part(part, item, f"{path}[{i}]") for i, (part, item) in enumerate(zip(kinds, value, strict=True)))
    if origin is not None:
        if not isinstance(value, Mapping):
            raise BadInput(f"{path}: received {value!r}; allowed: a mapping")
        return {name: _part(inner[1], item, f"{path}.{name}") for name, item in value.items()}
    allowed = (int, float) if kind is float else (kind,)
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise BadInput(f"{path}: received {value!r}; allowed: {kind.__name__}")
    return kind(value)
