"""One HTTP request as the handlers see it, and the body it brings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from data.errors import BadRequest, SmallyesError
from serving.keys import Caller

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class DisconnectedError(SmallyesError):
    """The client went away before its request was complete."""


@dataclass(slots=True)
class Request:
    """A request whose key was checked. ``path_id`` is the decoded last part of a path like ``/v1/visitors/{id}``.

    ``caller`` is ``None`` on routes that are open to everybody, where the key is missing or not known. ``patience_s``
    is how long a handler may take that wants to answer in part rather than not at all.
    """

    caller: Caller | None
    path_id: str = ""
    body: bytes = b""
    is_text: bool = False
    patience_s: float = 0.0


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], limit: int) -> bytes:
    """The whole body, counted while it comes in, whatever the client says of its length.

    Raises:
        BadRequest: 413, it is larger than ``limit`` bytes.
        DisconnectedError: the client went away.
    """
    announced = headers.get(b"content-length")
    if announced is not None and announced.isdigit() and int(announced) > limit:
        raise _too_large(limit, int(announced))
    message = await receive()
    if not message.get("more_body", False) and message["type"] == "http.request":
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit, len(body))
        return body
    chunks: list[bytes] = []
    size = 0
    while True:
        if message["type"] != "http.request":
            raise DisconnectedError("the client went away")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit, size)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
        message = await receive()


def _too_large(limit: int, size: int) -> BadRequest:
    return BadRequest(
        "body_too_large",
        f"The body is larger than {limit} bytes; send fewer or smaller items at a time.",
        status=413,
        received=size,
        allowed=limit,
    )
