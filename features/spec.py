"""``FeatureSpec``: which columns a model was trained on, and how each of them was encoded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np

from data.domain import CHANNELS, KINDS, STAGES, Catalog, Feature
from data.errors import BadBundle
from features.columns import ASK_COLUMNS, DECISION_COLUMNS, PAIR_COLUMNS, VERSIONS, FloatArray

FORMAT: Final = 1
CONTEXT, ANSWERS, HISTORY = "context.", "answers.", "history."
CHANNEL: Final = "channel"


@dataclass(frozen=True, slots=True)
class Input:
    """A declared feature of context or answers, as its column encodes it.

    ``values`` is the vocabulary of a category: the code of a value is its position. With ``is_open`` every other
    value has the code after the last one; else it counts as missing. ``minimum`` and ``maximum`` bound a number: what
    is outside counts as missing.
    """

    name: str
    type: Literal["category", "number", "boolean"]
    values: tuple[str, ...] = ()
    is_open: bool = False
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class FeatureSpec:
    """Everything that must be equal for two feature matrices to mean the same.

    Attributes:
        context: context features, in the order of their columns.
        answers: answers, likewise.
        signals: signals, likewise.
        asks: the asks that the column ``ask`` tells apart, and what became of each (``history.<ask>``); others are
            missing there.
        edges: by column, the values at which a learner may cut it; empty until learned.
        versions: versions of the column tables (``features.columns.VERSIONS``).
    """

    context: tuple[Input, ...] = ()
    answers: tuple[Input, ...] = ()
    signals: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    edges: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    versions: Mapping[str, int] = field(default_factory=lambda: dict(VERSIONS))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns, in order."""
        return (
            *(column.name for column in ASK_COLUMNS),
            CHANNEL,
            *(CONTEXT + feature.name for feature in self.context),
            *(ANSWERS + feature.name for feature in self.answers),
            *(HISTORY + ask_id for ask_id in self.asks),
            *(column.name for column in DECISION_COLUMNS if column.kind != "seconds"),
            *(f"signals.{name}.n" for name in self.signals),
            *(f"signals.{name}.n_session" for name in self.signals),
            *(column.name for column in DECISION_COLUMNS if column.kind == "seconds"),
            *(f"signals.{name}.since" for name in self.signals),
            *(column.name for column in PAIR_COLUMNS if column.kind != "seconds"),
            *(column.name for column in PAIR_COLUMNS if column.kind == "seconds"),
        )

    @cached_property
    def categories(self) -> Mapping[str, tuple[str, ...]]:
        """Vocabularies of the category columns: code ``i`` is value ``i``."""
        inputs = [(CONTEXT, feature) for feature in self.context] + [(ANSWERS, feature) for feature in self.answers]
        return {
            "ask": self.asks,
            "ask.kind": KINDS,
            "ask.stage": STAGES,
            CHANNEL: CHANNELS,
            **{prefix + feature.name: feature.values for prefix, feature in inputs if feature.type == "category"},
        }

    @cached_property
    def categorical(self) -> tuple[int, ...]:
        """Positions of the category columns."""
        return tuple(i for i, name in enumerate(self.names) if name in self.categories)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content: equal fingerprints mean equal columns."""
        return hashlib.sha256(_canonical(self._content()).encode()).hexdigest()

    def to_json(self) -> str:
        """The text of ``features.json``; ``from_json`` is the inverse."""
        return json.dumps(self._content() | {"fingerprint": self.fingerprint}, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> FeatureSpec:
        """The spec that ``to_json`` wrote.

        Raises:
            BadBundle: the text is damaged, or written by a version whose columns mean something else.
        """
        try:
            content = json.loads(text)
            spec = cls(
                context=_inputs(content["context"]),
                answers=_inputs(content["answers"]),
                signals=tuple(content["signals"]),
                asks=tuple(content["categories"]["ask"]),
                edges={name: tuple(edges) for name, edges in content["edges"].items()},
                versions=content["versions"],
            )
            claimed = content["fingerprint"]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadBundle(f"features.json: cannot be read: {error!r}; it must be as training wrote it") from error
        if spec.versions != VERSIONS:
            raise BadBundle(
                f"features.json: made with column versions {dict(spec.versions)}; this version computes "
                f"{dict(VERSIONS)}: train anew"
            )
        if claimed != spec.fingerprint:
            raise BadBundle(f"features.json: fingerprint is {claimed}; its content has {spec.fingerprint}")
        return spec

    def _content(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "versions": dict(self.versions),
            "names": list(self.names),
            "categories": {name: list(values) for name, values in self.categories.items()},
            "context": [asdict(feature) for feature in self.context],
            "answers": [asdict(feature) for feature in self.answers],
            "signals": list(self.signals),
            "edges": {name: list(edges) for name, edges in sorted(self.edges.items())},
        }


def spec_of(catalog: Catalog, vocabularies: Mapping[str, tuple[str, ...]] | None = None) -> FeatureSpec:
    """The spec of a catalog. Open categories tell apart only the values given, by column name.

    Example:
        >>> from data.domain import Ask
        >>> device = Feature("device", "category", ("desktop", "mobile"))
        >>> catalog = Catalog("shop", "buy", ("buy",), (Ask("buy", "Buy", "purchase", 8),), context=(device,))
        >>> spec = spec_of(catalog)
        >>> spec.categories["context.device"], FeatureSpec.from_json(spec.to_json()) == spec
        (('desktop', 'mobile'), True)
    """
    known = vocabularies or {}
    return FeatureSpec(
        context=tuple(_input(feature, known.get(CONTEXT + feature.name, ())) for feature in catalog.context),
        answers=tuple(_input(feature, known.get(ANSWERS + feature.name, ())) for feature in catalog.answers),
        signals=catalog.signals,
        asks=tuple(ask.id for ask in catalog.asks),
    )


def with_edges(spec: FeatureSpec, matrix: FloatArray, n_bins: int = 255) -> FeatureSpec:
    """The spec with edges for every column that is no category: at most ``n_bins - 1`` quantiles of its values.

    Edges are values that occur, so that binning never depends on how a quantile is interpolated.
    """
    edges = {}
    for column, name in enumerate(spec.names):
        values = np.sort(matrix[:, column])
        values = values[~np.isnan(values)]
        if name not in spec.categories and len(values):
            edges[name] = tuple(np.unique(values[np.arange(1, n_bins) * len(values) // n_bins]).tolist())
    return replace(spec, edges=edges)


def _input(feature: Feature, learned: tuple[str, ...]) -> Input:
    is_open = feature.type == "category" and feature.values is None
    values = learned if feature.values is None else feature.values
    return Input(feature.name, feature.type, values, is_open, feature.minimum, feature.maximum)


def _inputs(content: Any) -> tuple[Input, ...]:
    return tuple(Input(**(entry | {"values": tuple(entry["values"])})) for entry in content)


def _canonical(content: Any) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
