"""What the service answers: status, body, headers; errors in the one shape there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from data.errors import BadRequest
from policy.hearing import error_body

Headers = tuple[tuple[bytes, bytes], ...]

JSON_TYPE: Final = b"application/json"
_encode: Final = msgspec.json.Encoder(enc_hook=str).encode


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response."""

    status: int
    body: bytes = b""
    headers: Headers = ()
    content_type: bytes = JSON_TYPE


def json_answer(content: Any, status: int = 200, headers: Headers = ()) -> Answer:
    """Plain objects as JSON; a float gets the shortest text that reads back as the same float."""
    return Answer(status, _encode(content), headers)


def error_answer(error: BadRequest, headers: Headers = ()) -> Answer:
    """A refusal in the one error shape.

    Example:
        >>> error_answer(BadRequest("not_found", "no such path", status=404)).body
        b'{"error":{"code":"not_found","message":"no such path","field":null,"received":null,"allowed":null}}'
    """
    return Answer(error.status, _encode({"error": error_body(error)}), headers)


def unavailable(message: str, *, code: str = "store_unavailable", retry_after_s: int = 1) -> Answer:
    """503: nothing was taken; trying again later may help."""
    error = BadRequest(code, message, status=503)
    return error_answer(error, ((b"retry-after", b"%d" % retry_after_s),))
