"""API keys: who is calling, and what they may do."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

from data.errors import BadRequest
from data.stores.protocol import KeyRecord
from policy.launching import is_loopback

Role = Literal["site", "server", "read", "admin"]

ANYBODY: Final[frozenset[Role]] = frozenset(("site", "server", "read", "admin"))
_CHALLENGE: Final = "send it as the header: Authorization: Bearer KEY"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. ``is_trusted``: what a caller says about visitors and times is believed."""

    role: Role
    origin: str | None = None

    @property
    def is_trusted(self) -> bool:
        """Whether this is no public key."""
        return self.role != "site"


LOCAL: Final = Caller("admin")
"""Whoever calls from this machine while there are no keys."""
PAGE: Final = Caller("site")
"""A page that sends a beacon, which cannot carry a key: its decision tokens speak for it."""


class KeyRing:
    """The keys of the store as last read; ``refresh`` replaces them.

    A service that had keys once never falls back to answering without: whoever revokes the last key means it.
    """

    def __init__(self, records: Sequence[KeyRecord] = ()) -> None:
        self._digests: tuple[tuple[bytes, Caller], ...] = ()
        self._had_keys = False
        self.origins: frozenset[str] = frozenset()
        self.refresh(records)

    def refresh(self, records: Sequence[KeyRecord]) -> None:
        """Takes over the keys that the store has now."""
        valid = [record for record in records if not record.revoked_at]
        self._had_keys = self._had_keys or bool(records)
        self._digests = tuple((record.digest.encode(), Caller(record.role, record.origin)) for record in valid)
        self.origins = frozenset(record.origin for record in valid if record.origin is not None)

    @property
    def is_open(self) -> bool:
        """Whether calls from this machine need no key."""
        return not self._had_keys

    def caller(self, authorization: bytes | None, reached_at: str | None) -> Caller:
        """Who sent this header to this address of ours.

        Raises:
            BadRequest: 401, the header is missing or names no valid key.
        """
        if self.is_open and reached_at is not None and is_loopback(reached_at):
            return LOCAL
        if authorization is None:
            reason = "without keys only this machine may call" if self.is_open else f"a key is required; {_CHALLENGE}"
            raise _unauthorized(f"Authorization: {reason}.")
        scheme, _, key = authorization.partition(b" ")
        if scheme.lower() != b"bearer" or not key:
            raise _unauthorized(f"Authorization: holds no bearer key; {_CHALLENGE}.")
        caller = self._known(key.strip())
        if caller is None:
            raise _unauthorized("Authorization: this key is not known, or was revoked.")
        return caller

    def _known(self, key: bytes) -> Caller | None:
        """Compares with every key, whichever fits, so that the time taken tells nothing."""
        digest = sha256(key).hexdigest().encode()
        found = None
        for known, caller in self._digests:
            if hmac.compare_digest(known, digest):
                found = caller
        return found


def _unauthorized(message: str) -> BadRequest:
    return BadRequest("unauthorized", message, status=401, field="Authorization")


def forbidden(message: str, field: str | None = None) -> BadRequest:
    """403: the key is valid, but not for this."""
    return BadRequest("forbidden", message, status=403, field=field)
