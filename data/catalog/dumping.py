"""Catalogs to files, and the digest of what a catalog says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

import yaml

from data.catalog.audience import write_conditions
from data.clock import format_duration, to_iso
from data.domain import Ask, Catalog, Feature

_FIELDS: Final[Mapping[str, str]] = {
    "minimum": "min",
    "maximum": "max",
    "repeat_after_s": "repeatable",
    "conversion_window_s": "conversion_window",
    "session_gap_s": "session_gap",
    "reuse_open_s": "reuse_open",
    "min_gap_s": "min_gap",
    "cooldown_after_decline_s": "cooldown_after_decline",
    "after_decline_s": "after_decline",
}
"""Names in the file where they differ from those of the domain type."""
_FIRST: Final = ("journey", "title", "goal", "baseline")


def dump_catalog(catalog: Catalog) -> str:
    """The catalog as YAML without what is the default; reading it back gives an equal catalog.

    Context features and answers of a catalog that was read are sorted by name, as are an ask's audience rules by
    feature; of one made by hand they should be, and its ``digest`` should be that of ``digest_of``.
    """
    tree = tree_of(catalog)
    return yaml.dump(tree, Dumper=_Dumper, allow_unicode=True, sort_keys=False, default_flow_style=None, width=120)


def digest_of(catalog: Catalog) -> str:
    """SHA-256 of what the catalog says: layout, comments and the order of fields in its file do not matter."""
    text = json.dumps(_canonical(tree_of(catalog)), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def tree_of(catalog: Catalog) -> dict[str, Any]:
    """The catalog as plain values, laid out as in a file."""
    tree = _changed(catalog, "digest", "exploration", "holdout", "context", "answers", "limits", "asks")
    tree = {name: tree[name] for name in (*_FIRST, *tree) if name in tree}
    sections = {
        "exploration": _changed(catalog.exploration),
        "holdout": [{"share": arm.share, "policy": arm.policy} for arm in catalog.holdout],
        "context": _features(catalog.context),
        "answers": _features(catalog.answers),
        "limits": _changed(catalog.limits),
    }
    asks = [_ask(ask) for ask in catalog.asks]
    return {"format": 1, **tree, **{name: part for name, part in sections.items() if part}, "asks": asks}


def _ask(ask: Ask) -> dict[str, Any]:
    tree = _changed(ask, "audience", "active_from", "active_until", "payload")
    if ask.repeat_after_s == 0:
        tree["repeatable"] = True
    if ask.audience:
        tree["audience"] = write_conditions(ask.audience)
    period = {"from": ask.active_from, "until": ask.active_until}
    if any(at is not None for at in period.values()):
        tree["active"] = {name: to_iso(at) for name, at in period.items() if at is not None}
    if ask.payload:
        tree["payload"] = dict(ask.payload)
    return tree


def _features(features: tuple[Feature, ...]) -> dict[str, Any]:
    return {feature.name: _changed(feature, "name") for feature in features}


def _changed(part: Any, *left_out: str) -> dict[str, Any]:
    """The fields of a dataclass that differ from their default, under their names in the file."""
    tree: dict[str, Any] = {}
    for field in fields(part):
        value = getattr(part, field.name)
        if field.name in left_out or value == field.default:
            continue
        if field.name.endswith("_s"):
            value = format_duration(value)
        tree[_FIELDS.get(field.name, field.name)] = list(value) if isinstance(value, tuple) else value
    return tree


def _canonical(value: Any) -> Any:
    """The same value for numbers that are equal: 2 and 2.0."""
    if isinstance(value, dict):
        return {name: _canonical(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class _Dumper(yaml.SafeDumper):
    """Writes every value out, where the default would write an alias for one that comes twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True
