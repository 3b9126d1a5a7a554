"""A small catalog to change, and ways to see what is said of it."""

from __future__ import annotations

from typing import Any

import yaml

from data.catalog import parse_catalog
from data.errors import BadCatalog, Fault

TEXT = """\
format: 1
journey: skincare
goal: purchase
baseline: [skin_quiz, routine_guide, purchase]
context:
  device: {type: category, values: [desktop, mobile]}
  referrer: {type: category}
  basket: {type: number, min: 0, max: 500}
  is_member: {type: boolean}
answers:
  skin_type: {type: category, values: [dry, oily, "<18", ">35"]}
limits: {max_effort_step: 4}
asks:
  - {id: skin_quiz, title: "What is your skin like?", kind: quiz, effort: 2, collects: [skin_type]}
  - {id: routine_guide, title: Your routine, kind: content, effort: 4, gives: 4}
  - {id: purchase, title: Buy the set, kind: purchase, effort: 8, gives: 5}
"""


def tree() -> dict[str, Any]:
    """The catalog as plain values, free to change."""
    loaded: dict[str, Any] = yaml.safe_load(TEXT)
    return loaded


def changed(path: str, value: Any) -> str:
    """The catalog's text with one value set; ``path`` is like ``asks.0.effort``."""
    whole = tree()
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = whole
    for part in way:
        place = place[part] if isinstance(part, int) else place.setdefault(part, {})
    place[last] = value
    return yaml.safe_dump(whole, sort_keys=False)


def without(path: str) -> str:
    """The catalog's text with one value left out."""
    whole = tree()
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place: Any = whole
    for part in way:
        place = place[part]
    del place[last]
    return yaml.safe_dump(whole, sort_keys=False)


def faults_of(text: str | bytes) -> tuple[Fault, ...]:
    """What is wrong with a catalog's text."""
    try:
        parse_catalog(text, "skincare.yaml")
    except BadCatalog as error:
        return error.faults
    return ()


def only_fault(text: str | bytes) -> Fault:
    """The one thing that is wrong with a catalog's text."""
    faults = faults_of(text)
    if len(faults) != 1:
        raise ValueError(f"{len(faults)} faults: {[str(fault) for fault in faults]}")
    return faults[0]
