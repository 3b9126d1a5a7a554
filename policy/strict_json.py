"""JSON of files that must be exactly right: written canonically, read without leniency."""

from __future__ import annotations

import json
from collections.abc import Mapping


def dump_object(content: Mapping[str, object]) -> bytes:
    r"""The one spelling of a JSON object: sorted keys, exact floats, a newline at the end.

    Raises:
        ValueError: the content holds something that JSON has no word for.

    Example:
        >>> dump_object({"b": 0.1, "a": None})
        b'{\n  "a": null,\n  "b": 0.1\n}\n'
    """
    try:
        return (json.dumps(content, sort_keys=True, indent=2, allow_nan=False) + "\n").encode()
    except TypeError as error:
        raise ValueError(f"cannot be written as JSON: {error}") from None


def parse_object(content: bytes) -> dict[str, object]:
    """The JSON object that the bytes spell.

    Raises:
        ValueError: they spell none, name a key twice, or hold a number that JSON has no word for.

    Example:
        >>> parse_object(b'{"a": [1]}')
        {'a': [1]}
    """
    try:
        parsed = json.loads(content.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(parsed, dict):
        raise ValueError(f"must be a JSON object; received a {type(parsed).__name__}")
    return parsed


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"names {twice!r} twice")
    return content


def _refuse(constant: str) -> None:
    raise ValueError(f"holds {constant}, which is no JSON number")
