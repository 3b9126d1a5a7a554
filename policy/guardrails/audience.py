"""``audience``: whom an ask is for, by context and answers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np

from data.domain import Ask, AudienceRule, Catalog, FeatureValue
from policy.crowd import BoolArray, Crowd, Distinct
from policy.guardrails.known import known_column, known_named
from policy.guardrails.protocol import Block
from policy.guardrails.rule import AskRule
from policy.guardrails.wording import either, number
from policy.situation import Situation

_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    ">": operator.gt,
    "<=": operator.le,
    "<": operator.lt,
    "==": operator.eq,
}


class Audience(AskRule):
    """Forbids an ask to visitors who fail one of its conditions; what is missing fails."""

    name = "audience"

    def concerns(self, ask: Ask, catalog: Catalog) -> bool:  # noqa: ARG002
        """Asks with conditions."""
        return bool(ask.audience)

    def forbidden(self, asks: Sequence[Ask], situation: Situation) -> Sequence[Ask]:
        """Asks of which a condition fails."""
        values: dict[str, FeatureValue | None] = {}
        found = []
        for ask in asks:
            for rule in ask.audience:
                name = rule.feature
                if name not in values:  # many asks share few features
                    values[name] = known_named(name, situation)
                if not _holds(rule, values[name]):
                    found.append(ask)
                    break
        return found

    def mask(self, asks: Sequence[Ask], crowd: Crowd) -> BoolArray:
        """Asks of which a condition fails."""
        values: dict[str, Distinct] = {}
        failing: dict[AudienceRule, BoolArray] = {}
        for rule in dict.fromkeys(rule for ask in asks for rule in ask.audience):
            if rule.feature not in values:
                values[rule.feature] = known_column(rule.feature, crowd)
            failing[rule] = ~values[rule.feature].where(partial(_holds, rule))
        return np.stack([np.logical_or.reduce([failing[rule] for rule in ask.audience]) for ask in asks], axis=1)

    def explain(self, ask: Ask, situation: Situation) -> Block:
        """The first condition that fails, and the value received."""
        rule = next(rule for rule in ask.audience if not _holds(rule, known_named(rule.feature, situation)))
        value = known_named(rule.feature, situation)
        found = "not known" if value is None else either([value])
        return Block(self.name, f"only for visitors whose {rule.feature} is {_wanted(rule)}; it is {found}")


def _holds(rule: AudienceRule, value: FeatureValue | None) -> bool:
    if value is None:
        return False
    operand = rule.operand
    if isinstance(operand, tuple):
        return value in operand
    return not isinstance(value, (bool, str)) and _COMPARE[rule.operator](value, operand)


def _wanted(rule: AudienceRule) -> str:
    if isinstance(rule.operand, tuple):
        return either(rule.operand)
    return f"{rule.operator} {number(rule.operand)}"
