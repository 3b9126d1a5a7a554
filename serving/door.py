"""The front door: every request passes here, and no exception leaves.

It is an ASGI middleware around BentoML's own application, which gets only its documentation page. The door knows
HTTP - keys, origins, types, sizes, deadlines, errors in the one shape - and nothing of asks.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from data.errors import BadRequest, StoreUnavailable
from serving.answers import Answer, Headers, error_answer, unavailable
from serving.exchange import DisconnectedError, Receive, Request, Scope, Send, read_body
from serving.keys import PAGE, Caller, forbidden
from serving.office import Office
from serving.routes import Match, Route, find

App = Callable[[Scope, Receive, Send], Awaitable[None]]

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_PATIENCE: Final = 0.8
"""Share of the deadline after which a batch is answered with what there is."""
_JSON: Final = (b"application/json",)
_JSON_OR_TEXT: Final = (b"application/json", b"text/plain")

logger = logging.getLogger("smallyes.serving")


class Entrance:
    """Where the door finds the office of this process: none before it opened and after it closed."""

    def __init__(self, office: Office | None = None) -> None:
        self.office = office


class Door:
    """See the module docstring.

    Args:
        app: what stands behind the door.
        entrance: where the office is, once it is open.
    """

    def __init__(self, app: App, entrance: Entrance) -> None:
        self._app = app
        self._entrance = entrance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or _is_page(scope["path"]):
            await self._app(scope, receive, send)
            return
        office = self._entrance.office
        if office is None:
            await _send(send, unavailable("The service is not open yet.", code="starting"), ())
            return
        started = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        match = find(scope)
        answer = await self._answer(office, scope, receive, match, headers)
        common = ((b"x-request-id", _request_id(headers)), *office.cors.headers(headers.get(b"origin")))
        await _send(send, answer, common)
        office.meters.answered(_name(match, scope["method"]), answer.status, time.perf_counter() - started)

    async def _answer(
        self, office: Office, scope: Scope, receive: Receive, match: Match, headers: Mapping[bytes, bytes]
    ) -> Answer:
        """The answer, whatever happens."""
        deadline_s = office.settings.serve.deadline_ms / 1_000
        try:
            if scope["method"] == "OPTIONS" and match.methods:
                return Answer(204, headers=office.cors.preflight(headers.get(b"origin"), match.methods))
            route = _route_of(match, scope["method"])
            async with asyncio.timeout(deadline_s):
                request = await _request(office, scope, receive, route, headers)
                request.path_id = match.path_id
                request.patience_s = deadline_s * _PATIENCE
                return await route.handler(office, request)
        except BadRequest as error:
            return error_answer(error, _extra_headers(error, match))
        except StoreUnavailable:
            return unavailable("The store cannot take this now; nothing of it was kept. Try again.")
        except TimeoutError:
            return unavailable(
                f"This took longer than {office.settings.serve.deadline_ms} ms, its body included. It may have been "
                "kept all the same; with the same decision_id or event_id nothing is counted twice.",
                code="deadline",
            )
        except DisconnectedError:
            return error_answer(BadRequest("disconnected", "The client went away.", status=400))
        except Exception:
            logger.exception("%s failed", _name(match, scope["method"]))
            return error_answer(
                BadRequest("internal", "Something went wrong here; the service's log says what.", status=500)
            )


async def _request(
    office: Office, scope: Scope, receive: Receive, route: Route, headers: Mapping[bytes, bytes]
) -> Request:
    """Checks key, role, type and size, cheapest first, and reads the body where the route takes one."""
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    is_text = media_type == b"text/plain" and route.takes_text
    caller = _caller(office, scope, route, headers.get(b"authorization"), is_beacon=is_text)
    if not route.limit:
        return Request(caller)
    if media_type != b"application/json" and not is_text:
        raise _unsupported(route, media_type)
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise BadRequest(
            "unsupported_encoding",
            "Content-Encoding: bodies are taken as they are, not compressed.",
            status=415,
            field="Content-Encoding",
            received=headers[b"content-encoding"].decode("latin-1"),
            allowed=["identity"],
        )
    body = await read_body(receive, headers, getattr(office.settings.serve, route.limit))
    return Request(caller, body=body, is_text=is_text)


def _caller(
    office: Office, scope: Scope, route: Route, authorization: bytes | None, *, is_beacon: bool
) -> Caller | None:
    """Who calls, if they may.

    Raises:
        BadRequest: 401 or 403.
    """
    address = scope.get("server")
    reached_at = None if address is None else address[0]
    try:
        caller = office.keys.caller(authorization, reached_at)
    except BadRequest:
        if is_beacon and authorization is None:
            return PAGE
        if not route.roles:
            return None
        raise
    if route.roles and caller.role not in route.roles:
        raise forbidden(f"A {caller.role} key may not do this; allowed: {', '.join(sorted(route.roles))}.")
    origin = dict(scope["headers"]).get(b"origin") if caller.origin is not None else None
    if origin is not None and caller.origin is not None and origin.decode("latin-1") != caller.origin.rstrip("/"):
        raise forbidden(f"Origin: this key is for pages of {caller.origin}.", "Origin")
    return caller


def _route_of(match: Match, method: str) -> Route:
    if not match.methods:
        raise BadRequest("not_found", "There is nothing at this path; /docs.json lists what there is.", status=404)
    route = match.methods.get("GET" if method == "HEAD" else method)
    if route is None:
        allowed = _allowed(match)
        raise BadRequest(
            "method_not_allowed",
            f"{method} is not possible here; allowed: {', '.join(allowed)}.",
            status=405,
            received=method,
            allowed=allowed,
        )
    return route


def _name(match: Match, method: str) -> str:
    """What metrics and logs call the request; never something that the client made up."""
    route = match.methods.get(method)
    return "other" if route is None else route.name


def _allowed(match: Match) -> list[str]:
    methods = {*match.methods, "OPTIONS"}
    if "GET" in methods:
        methods.add("HEAD")
    return sorted(methods)


def _extra_headers(error: BadRequest, match: Match) -> Headers:
    if error.status == 405:
        return ((b"allow", ", ".join(_allowed(match)).encode()),)
    if error.status == 401:
        return ((b"www-authenticate", b'Bearer realm="smallyes"'),)
    return ()


def _unsupported(route: Route, media_type: bytes) -> BadRequest:
    allowed = [known.decode() for known in (_JSON_OR_TEXT if route.takes_text else _JSON)]
    return BadRequest(
        "unsupported_type",
        "Content-Type: the body must be JSON, sent as application/json.",
        status=415,
        field="Content-Type",
        received=media_type.decode("latin-1")[:100],
        allowed=allowed,
    )


def _is_page(path: str) -> bool:
    """Whether BentoML's documentation page is asked for; it reads ``/docs.json``."""
    return path == "/" or path.startswith("/static_content/")


def _request_id(headers: Mapping[bytes, bytes]) -> bytes:
    """The client's own id for its request, or a new one."""
    given = headers.get(b"x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return secrets.token_hex(8).encode()


async def _send(send: Send, answer: Answer, common: Headers) -> None:
    headers = [
        (b"content-type", answer.content_type),
        (b"content-length", b"%d" % len(answer.body)),
        *common,
        *answer.headers,
    ]
    if answer.status == 204:
        del headers[:2]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
