"""What is wrong with a catalog, and the report of it in words for the person who wrote the file."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from datetime import date
from typing import Any, Final, NamedTuple, TypeAlias

from data.errors import Fault

Path: TypeAlias = tuple[str | int, ...]

_LONGEST: Final = 60
_MOST_LISTED: Final = 24


class Finding(NamedTuple):
    """One thing that is wrong: where in the tree, and what."""

    path: Path
    problem: str
    received: str = ""
    allowed: str = ""


def report(findings: Iterable[Finding], lines: Mapping[Path, int], file: str) -> list[Fault]:
    """The findings in the order of the file, each with the line it is about; the same one only once."""

    def line(finding: Finding) -> int:
        path = finding.path
        while path and path not in lines:
            path = path[:-1]
        return lines.get(path, 0)

    placed = sorted(dict.fromkeys(findings), key=lambda finding: (line(finding), _sortable(finding.path)))
    return [
        Fault(
            file,
            path_text(finding.path),
            finding.problem + (f" (line {line(finding)})" if line(finding) else ""),
            finding.received,
            finding.allowed,
        )
        for finding in placed
    ]


def path_text(path: Path) -> str:
    """A path as text.

    Example:
        >>> path_text(("asks", 2, "effort"))
        'asks[2].effort'
    """
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = shortened(part if part.isprintable() else repr(part))
            text += f".{name}" if text else name
    return text


def received(value: Any) -> str:
    """A value as it looks in the file, shortened.

    Example:
        >>> received(True), received("dry"), received([1, 2]), received({"a": 1})
        ('true', "'dry'", 'a list of 2', "fields ('a')")
    """
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return repr(shortened(value))
    if isinstance(value, date):
        return f"the date {value.isoformat()}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"fields ({shortened(', '.join(repr(key) for key in value))})" if value else "no fields"
    # A whole number may have more digits than Python turns into text.
    return "a huge number" if isinstance(value, int) and abs(value) >= 10**40 else str(value)


def shortened(text: str) -> str:
    """Text of at most a line.

    Example:
        >>> shortened("a" * 100)[-5:]
        'aaaa…'
    """
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def closest(name: str, known: Collection[str]) -> str:
    """The end of a sentence about an unknown name: the known one that was probably meant.

    Example:
        >>> closest("efort", ["effort", "gives"]), closest("zzz", ["effort"])
        ('; did you mean effort?', '')
    """
    if len(name) > 256:
        return ""
    matches = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {shortened(matches[0])}?" if matches else ""


def listed(names: Collection[str]) -> str:
    """Names in a row, the first of many.

    Example:
        >>> listed(["web", "chat"])
        'web, chat'
    """
    shown = [shortened(name) for name in list(names)[:_MOST_LISTED]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "") if shown else "none"


def _sortable(path: Path) -> tuple[tuple[bool, int, str], ...]:
    return tuple((isinstance(part, int), part if isinstance(part, int) else 0, str(part)) for part in path)
