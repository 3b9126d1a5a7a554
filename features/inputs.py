"""Raw context and answers as numbers, for requests; ``features.frames`` does the same for the columns of a log.

A value is taken for what it says, whatever its type: the text ``12.5`` is a number where a number is declared, and
the number 5 is the text ``5`` where a category is. The service drops values of another type than declared before it
decides, so this is for logs of other systems: one odd cell makes a column text, and would cost all rows their numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np

from data.domain import CHANNELS, FeatureValue
from features.columns import MISSING, FloatArray, Given
from features.spec import FeatureSpec, Input

Encode: TypeAlias = Callable[[object], float]
Mappings: TypeAlias = Sequence[Mapping[str, FeatureValue]]

CHANNEL_CODES: Final = {name: float(code) for code, name in enumerate(CHANNELS)}
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_BOOLEANS: Final = {"true": 1.0, "false": 0.0}


class InputCodes:
    """The encoding of a spec's inputs, prepared once."""

    def __init__(self, spec: FeatureSpec) -> None:
        self._context = [(feature.name, encoder_of(feature)) for feature in spec.context]
        self._answers = [(feature.name, encoder_of(feature)) for feature in spec.answers]

    def encode(self, contexts: Mappings, answers: Mappings, channels: Sequence[str], nows: Sequence[int]) -> Given:
        """What decisions were made from, as arrays; item ``i`` of each argument is about decision ``i``."""
        return Given(
            channel=np.array([CHANNEL_CODES.get(channel, MISSING) for channel in channels], dtype=np.float64),
            context=_matrix(self._context, contexts),
            answers=_matrix(self._answers, answers),
            now=np.array(nows, dtype=np.int64),
        )


def encoder_of(feature: Input) -> Encode:
    """The function from a raw value (``None``: missing) to its number.

    Missing are also: empty text, a value outside a closed category, what is no number or boolean where one is
    declared, and a number that is not finite or out of bounds.

    Example:
        >>> encode = encoder_of(Input("referrer", "category", ("search", "social"), is_open=True))
        >>> encode("social"), encode("a-rare-site"), encode("")
        (1.0, 2.0, nan)
    """
    if feature.type == "category":
        codes = {name: float(code) for code, name in enumerate(feature.values)}
        other = float(len(codes)) if feature.is_open else MISSING
        return lambda value: codes.get(text, other) if (text := text_of(value)) else MISSING
    if feature.type == "boolean":
        return lambda value: _BOOLEANS.get(text_of(value), MISSING)
    low, high = bounds_of(feature)
    return lambda value: _number(value, low, high)


def bounds_of(feature: Input) -> tuple[float, float]:
    """The bounds of a number, infinite where there is none."""
    low = -math.inf if feature.minimum is None else feature.minimum
    high = math.inf if feature.maximum is None else feature.maximum
    return low, high


def text_of(value: object) -> str:
    """A value as a category takes it, as a log writes it; empty for what is missing.

    Example:
        >>> text_of("dry"), text_of(5.0), text_of(True), text_of(None)
        ('dry', '5', 'true', '')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    number = _number(value, -math.inf, math.inf)
    return "" if math.isnan(number) else repr(number).removesuffix(".0")


def _number(value: object, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return MISSING
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return MISSING
    try:
        number = float(value)
    except OverflowError:
        return MISSING
    return number if low <= number <= high and math.isfinite(number) else MISSING


def _matrix(encoders: Sequence[tuple[str, Encode]], mappings: Mappings) -> FloatArray:
    values = [encode(mapping.get(name)) for mapping in mappings for name, encode in encoders]
    return np.array(values, dtype=np.float64).reshape(len(mappings), len(encoders))
