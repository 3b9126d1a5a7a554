"""Seeded randomness: the draw of an ask, the sticky unit of an arm, and the token of a decision.

All of it is HMAC-SHA256 under the workspace's secret, so that a draw can be repeated by whoever holds the secret
and guessed by nobody else. Labels keep the uses apart: a draw says nothing about an arm or a token.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Sequence
from typing import Final

from policy.candidates import FloatArray

_UNIT: Final = 2.0**-53
_MAX_TOKEN_LENGTH: Final = 80


def uniform(secret: bytes, label: str, *parts: str) -> float:
    """A number in [0, 1) with 53 bits, fixed by its arguments and uniform over them.

    Example:
        >>> uniform(b"secret", "draw", "skincare", "d-1") == uniform(b"secret", "draw", "skincare", "d-1")
        True
        >>> uniform(b"secret", "draw", "ab", "c") == uniform(b"secret", "draw", "a", "bc")
        False
    """
    digest = _mac(secret, label, parts)
    return (int.from_bytes(digest[:8]) >> 11) * _UNIT


def draw_unit(secret: bytes, journey: str, decision_id: str) -> float:
    """What a decision's ask is drawn with."""
    return uniform(secret, "draw", journey, decision_id)


def sticky_unit(secret: bytes, journey: str, visitor_id: str) -> float:
    """What a visitor's arm is chosen with: the same for ever in one journey."""
    return uniform(secret, "arm", journey, visitor_id)


def pick(probabilities: Sequence[float] | FloatArray, unit: float) -> int:
    """The row that ``unit`` in [0, 1) selects, each with its probability; a row of probability 0 never.

    Raises:
        ValueError: a probability is negative or no number, none is positive, or ``unit`` is outside [0, 1).

    Example:
        >>> pick([0.0, 0.25, 0.75, 0.0], 0.2), pick([0.0, 0.25, 0.75, 0.0], 0.25)
        (1, 2)
    """
    if not 0.0 <= unit < 1.0:
        raise ValueError(f"unit must be in [0, 1); received {unit}")
    cumulated = 0.0
    last = -1
    for row, probability in enumerate(probabilities):
        if probability > 0.0:
            last = row
            cumulated += probability
            if unit < cumulated:
                return row
        elif probability != 0.0:
            raise ValueError(f"probabilities must be numbers from 0 to 1; received {probability} in row {row}")
    if last < 0:
        raise ValueError("probabilities must sum to 1; none of them is positive")
    return last  # rounding left the sum a hair below 1


def decision_token(secret: bytes, decision_id: str, visitor_id: str | None, ask_id: str | None, expires_at: int) -> str:
    """Text that proves, until ``expires_at``, that this very ask was decided for this very visitor.

    Example:
        >>> token = decision_token(b"secret", "d-1", "v-1", "quiz", expires_at=2_000)
        >>> verify_token(b"secret", token, "d-1", "v-1", "quiz", now=1_999)
        True
        >>> verify_token(b"secret", token, "d-1", "v-2", "quiz", now=1_999)
        False
    """
    digest = _mac(secret, "token", (decision_id, visitor_id, ask_id, str(expires_at)))
    return f"{expires_at}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def verify_token(
    secret: bytes, token: str, decision_id: str, visitor_id: str | None, ask_id: str | None, now: int
) -> bool:
    """Whether the token is the decision's own and has not expired; any text may be given, in constant time."""
    expiry = token.partition(".")[0]
    if len(token) > _MAX_TOKEN_LENGTH or not (expiry.isascii() and expiry.isdigit()):
        return False
    expires_at = int(expiry)
    expected = decision_token(secret, decision_id, visitor_id, ask_id, expires_at)
    is_genuine = hmac.compare_digest(token.encode("utf-8", "surrogatepass"), expected.encode())
    return is_genuine and now < expires_at


def visitor_token(secret: bytes, visitor_id: str) -> str:
    """Text that proves that its bearer was given this visitor id by us.

    Example:
        >>> token = visitor_token(b"secret", "v-1")
        >>> verify_visitor_token(b"secret", token, "v-1"), verify_visitor_token(b"secret", token, "v-2")
        (True, False)
    """
    return base64.urlsafe_b64encode(_mac(secret, "visitor", (visitor_id,))).rstrip(b"=").decode()


def verify_visitor_token(secret: bytes, token: str, visitor_id: str) -> bool:
    """Whether the token is the visitor's own; any text may be given, in constant time."""
    return hmac.compare_digest(token.encode("utf-8", "surrogatepass"), visitor_token(secret, visitor_id).encode())


def _mac(secret: bytes, label: str, parts: Sequence[str | None]) -> bytes:
    return hmac.digest(secret, b"".join([_encoded(label), *map(_encoded, parts)]), "sha256")


def _encoded(part: str | None) -> bytes:
    """A part with its length before it, so that no two lists of parts read the same; ``None`` is not ``""``."""
    if part is None:
        return b"-"
    text = part.encode("utf-8", "surrogatepass")
    return b"%d:%b" % (len(text), text)
