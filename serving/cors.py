"""Which pages of which origins may call, in the headers that browsers want to see on every answer."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from serving.answers import Headers

_VARY: Final[Headers] = ((b"vary", b"Origin"),)
_EXPOSED: Final = (b"access-control-expose-headers", b"Retry-After, X-Request-Id")
_PREFLIGHT: Final[Headers] = (
    (b"access-control-allow-headers", b"Authorization, Content-Type, X-Request-Id"),
    (b"access-control-max-age", b"600"),
)


class Cors:
    """Answers for configured origins and those of site keys; ``*`` among them allows every origin.

    Example:
        >>> Cors(["https://shop.example"]).headers(b"https://shop.example")[0]
        (b'access-control-allow-origin', b'https://shop.example')
        >>> Cors(["https://shop.example"]).headers(b"https://other.example")
        ((b'vary', b'Origin'),)
    """

    def __init__(self, origins: Collection[str]) -> None:
        self._allows_all = "*" in origins
        self._allowed: dict[bytes, Headers] = {origin.rstrip("/").encode(): () for origin in origins}
        for origin in self._allowed:
            self._allowed[origin] = ((b"access-control-allow-origin", origin), _EXPOSED, *_VARY)
        self._all: Headers = ((b"access-control-allow-origin", b"*"), _EXPOSED)

    def headers(self, origin: bytes | None) -> Headers:
        """What every answer carries; nothing where no browser asks."""
        if origin is None:
            return ()
        if self._allows_all:
            return self._all
        return self._allowed.get(origin, _VARY)

    def preflight(self, origin: bytes | None, methods: Collection[str]) -> Headers:
        """What the answer to a browser's question before the request carries."""
        allowed = self.headers(origin)
        if len(allowed) <= len(_VARY):
            return allowed
        return (*allowed, (b"access-control-allow-methods", ", ".join(sorted(methods)).encode()), *_PREFLIGHT)
