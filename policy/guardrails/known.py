"""What counts as known of a declared feature: anything else is missing, whatever was sent."""

from __future__ import annotations

import math
from collections.abc import Mapping

from data.domain import Catalog, Feature, FeatureValue
from policy.crowd import Crowd, Distinct
from policy.situation import Situation


def known(feature: Feature, given: Mapping[str, FeatureValue]) -> FeatureValue | None:
    """The value of a feature, or ``None`` where it is missing.

    Missing are also: a value outside a closed category, of another type, an empty text, a number that is not
    finite or out of the declared bounds.

    Example:
        >>> skin = Feature("skin", "category", ("dry", "oily"))
        >>> known(skin, {"skin": "dry"}), known(skin, {"skin": "blue"}), known(skin, {})
        ('dry', None, None)
    """
    value = given.get(feature.name)
    if value is None:
        return None
    if feature.type == "category":
        is_valid = isinstance(value, str) and value != "" and (feature.values is None or value in feature.values)
        return value if is_valid else None
    if feature.type == "boolean":
        return value if isinstance(value, bool) else None
    return _known_number(feature, value)


def declared(name: str, catalog: Catalog) -> tuple[Feature, bool] | None:
    """The feature of that name and whether it is context; context comes before answers."""
    for feature in catalog.context:
        if feature.name == name:
            return feature, True
    for feature in catalog.answers:
        if feature.name == name:
            return feature, False
    return None


def known_named(name: str, situation: Situation) -> FeatureValue | None:
    """The value of the context feature of that name if one is declared, else of the answer; ``None``: missing."""
    found = declared(name, situation.catalog)
    if found is None:
        return None
    feature, is_context = found
    return known(feature, situation.context if is_context else situation.answers)


def known_column(name: str, crowd: Crowd) -> Distinct:
    """The same as ``known_named`` for every decision of a crowd."""
    found = declared(name, crowd.catalog)
    if found is None:
        return crowd.told(name, is_context=True).mapped(lambda _: None)
    feature, is_context = found
    return _known_column(feature, crowd, is_context=is_context)


def answer_column(name: str, crowd: Crowd) -> Distinct:
    """What is known of the answer of that name, decision by decision; nothing where it is not declared."""
    feature = next((feature for feature in crowd.catalog.answers if feature.name == name), None)
    if feature is None:
        return crowd.told(name, is_context=False).mapped(lambda _: None)
    return _known_column(feature, crowd, is_context=False)


def _known_column(feature: Feature, crowd: Crowd, *, is_context: bool) -> Distinct:
    return crowd.told(feature.name, is_context=is_context).mapped(lambda value: known(feature, {feature.name: value}))


def _known_number(feature: Feature, value: FeatureValue) -> float | None:
    if isinstance(value, (bool, str)):
        return None
    try:
        number = float(value)  # as a log keeps it
    except (OverflowError, TypeError):
        return None
    low = -math.inf if feature.minimum is None else feature.minimum
    high = math.inf if feature.maximum is None else feature.maximum
    return number if math.isfinite(number) and low <= number <= high else None
