"""Conditions of an ask's audience: what the file says and the rules it stands for."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, cast

from data.catalog.findings import closest, listed
from data.catalog.values import MAX_NUMBER, BadValueError, is_number, text_of
from data.domain import AudienceRule, Feature, FeatureValue

_NUMBER: Final = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_COMPARISON: Final = re.compile(rf"(>=|<=|==|>|<)\s*({_NUMBER})")
_COMPARISONS: Final = re.compile(rf"\s*{_COMPARISON.pattern}(?:[\s,]+{_COMPARISON.pattern})?\s*")
_LONGEST: Final = 100
_ALLOWED_NUMBERS: Final = 'a number, a list of numbers, or a comparison in quotes like ">=50" or ">=50 <100"'

Comparison = Literal[">=", ">", "<=", "<", "=="]


def read_condition(feature: Feature, condition: Any) -> tuple[AudienceRule, ...]:
    """The rules that a condition on a feature stands for.

    Raises:
        BadValueError: the feature cannot be held against such a condition, or nothing can ever meet it.

    Example:
        >>> [(rule.operator, rule.operand) for rule in read_condition(Feature("basket", "number"), ">=50 <100")]
        [('>=', 50), ('<', 100)]
    """
    if isinstance(condition, list):
        return (_membership(feature, condition),)
    if feature.type == "number" and isinstance(condition, str):
        rules = _comparisons(feature.name, condition)
        if not _can_hold(rules, feature):
            raise BadValueError(f"can never hold: no number that {feature.name} may have meets it", _bounds(feature))
        return rules
    return (_membership(feature, [condition]),)


def write_conditions(rules: Iterable[AudienceRule]) -> dict[str, Any]:
    """The conditions that ``read_condition`` reads back as these rules.

    Example:
        >>> write_conditions([AudienceRule("basket", ">=", 50), AudienceRule("referrer", "in", ("ads",))])
        {'basket': '>=50', 'referrer': ['ads']}
    """
    conditions: dict[str, Any] = {}
    for rule in rules:
        if isinstance(rule.operand, tuple):
            conditions[rule.feature] = list(rule.operand)
        else:
            comparison = f"{rule.operator}{rule.operand!r}"
            earlier = conditions.get(rule.feature)
            conditions[rule.feature] = f"{earlier} {comparison}" if earlier else comparison
    return conditions


def _membership(feature: Feature, values: Sequence[Any]) -> AudienceRule:
    if not values:
        raise BadValueError("is an empty list, which nobody meets", "at least one value; leave it out for everybody")
    checked = tuple(_member(feature, value) for value in values)
    if len(set(checked)) < len(checked):
        raise BadValueError("names a value twice", "every value once")
    return AudienceRule(feature.name, "in", checked)


def _member(feature: Feature, value: Any) -> FeatureValue:
    if feature.type == "number":
        return _number(feature, value)
    if feature.type == "boolean":
        if not isinstance(value, bool):
            raise BadValueError(f"is neither true nor false, but {feature.name} is a boolean", "true or false")
        return value
    text = text_of(value)
    if feature.values is not None:
        if text in feature.values:
            return text
        if _COMPARISONS.fullmatch(text[:_LONGEST]) is None:
            raise BadValueError(f"is no value of {feature.name}{closest(text, feature.values)}", listed(feature.values))
    if _COMPARISONS.fullmatch(text[:_LONGEST]) is not None:
        raise BadValueError(f"compares, but {feature.name} is a category", "a value, or a list of values")
    if not text:
        raise BadValueError("is empty", "a value, or a list of values")
    return text


def _number(feature: Feature, value: Any) -> float:
    if not is_number(value):
        raise BadValueError(f"is not a number, but {feature.name} is one", _ALLOWED_NUMBERS)
    low = -MAX_NUMBER if feature.minimum is None else feature.minimum
    high = MAX_NUMBER if feature.maximum is None else feature.maximum
    if not low <= value <= high:
        raise BadValueError(f"is a number that {feature.name} cannot have", _bounds(feature))
    return cast(float, value)


def _comparisons(name: str, text: str) -> tuple[AudienceRule, ...]:
    if len(text) > _LONGEST or _COMPARISONS.fullmatch(text) is None:
        raise BadValueError(f"is no comparison, but {name} is a number", _ALLOWED_NUMBERS)
    rules = []
    for operator, digits in _COMPARISON.findall(text):
        number = int(digits) if re.fullmatch(r"[+-]?[0-9]+", digits) else float(digits)
        if not math.isfinite(number) or abs(number) > MAX_NUMBER:
            raise BadValueError("compares with a number that is too large", f"numbers up to {MAX_NUMBER:g}")
        rules.append(AudienceRule(name, cast(Comparison, operator), number))
    return tuple(rules)


def _can_hold(rules: Iterable[AudienceRule], feature: Feature) -> bool:
    # A bound and whether it is itself excluded; the larger lower bound and the smaller upper bound decide.
    low = (-math.inf if feature.minimum is None else feature.minimum, False)
    high = (math.inf if feature.maximum is None else feature.maximum, True)
    for rule in rules:
        number = cast(float, rule.operand)
        if rule.operator in (">", ">=", "=="):
            low = max(low, (number, rule.operator == ">"))
        if rule.operator in ("<", "<=", "=="):
            high = min(high, (number, rule.operator != "<"))
    return low[0] < high[0] or (low[0] == high[0] and not low[1] and high[1])


def _bounds(feature: Feature) -> str:
    low = "" if feature.minimum is None else f" from {feature.minimum:g}"
    high = "" if feature.maximum is None else f" to {feature.maximum:g}"
    return f"numbers{low}{high}" if low or high else "at least one number between the two"
