"""Every path of the service: which method does what, who may, and how much it takes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote

from serving import asks, health, records
from serving.answers import Answer
from serving.exchange import Request, Scope
from serving.keys import Role
from serving.office import Office

Handler = Callable[[Office, Request], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Route:
    """What one method does at one path.

    ``roles`` is empty where everybody may; ``limit`` is the setting that bounds the body, empty where there is none.
    """

    name: str
    handler: Handler
    roles: frozenset[Role] = frozenset()
    limit: Literal["", "max_body_bytes", "max_batch_bytes"] = ""
    takes_text: bool = False


Methods = Mapping[str, Route]


class Match(NamedTuple):
    """What a path leads to; ``methods`` is empty where it leads to nothing."""

    methods: Methods
    path_id: str = ""


def _roles(*roles: Role) -> frozenset[Role]:
    return frozenset((*roles, "admin"))


PATHS: Final[Mapping[str, Methods]] = {
    "/v1/next-ask": {
        "POST": Route("next-ask", asks.next_ask, _roles("site", "server"), "max_body_bytes"),
    },
    "/v1/next-asks": {
        "POST": Route("next-asks", asks.next_asks, _roles("site", "server"), "max_batch_bytes"),
    },
    "/v1/outcomes": {
        "POST": Route("outcomes", asks.outcomes, _roles("site", "server"), "max_body_bytes", takes_text=True),
    },
    "/v1/visitors/merge": {
        "POST": Route("merge", asks.merge, _roles("server"), "max_body_bytes"),
    },
    "/v1/decisions/{id}": {
        "GET": Route("decision", records.decision, _roles("read")),
    },
    "/v1/visitors/{id}": {
        "GET": Route("visitor", records.visitor, _roles("server", "read")),
        "DELETE": Route("erase", records.erase, _roles("server")),
    },
    "/v1/journeys": {
        "GET": Route("journeys", records.journeys, _roles("read")),
    },
    "/v1/journeys/{id}": {
        "GET": Route("journey", records.journey, _roles("read")),
    },
    "/v1/policy": {
        "GET": Route("policy", records.policy, _roles("read")),
    },
    "/metrics": {
        "GET": Route("metrics", health.metrics, _roles("read")),
    },
    "/livez": {"GET": Route("livez", health.livez)},
    "/readyz": {"GET": Route("readyz", health.readyz)},
    "/docs.json": {"GET": Route("docs", health.docs)},
}
"""By path; ``{id}`` stands for one part of a path, percent-encoded."""

_ID: Final = "{id}"
_NOTHING: Final = Match({})
_with_id: Final = {path.removesuffix(_ID): methods for path, methods in PATHS.items() if path.endswith(_ID)}


def _plain_match(path: str, methods: Methods) -> Match:
    """A path without an id; one like ``/v1/visitors/merge`` is that of a visitor called merge as well."""
    head, slash, last = path.rpartition("/")
    return Match({**_with_id.get(head + slash, {}), **methods}, last)


_plain: Final = {path: _plain_match(path, methods) for path, methods in PATHS.items() if not path.endswith(_ID)}


def find(scope: Scope) -> Match:
    """What the request's path leads to.

    A path that ends in an id is taken apart before it is decoded, so that ids may hold slashes.
    """
    match = _plain.get(scope["path"])
    if match is not None:
        return match
    raw = scope.get("raw_path") or scope["path"].encode()
    head, slash, last = raw.decode("latin-1").rpartition("/")
    methods = _with_id.get(head + slash)
    if methods is None or not last:
        return _NOTHING
    try:
        return Match(methods, unquote(last, errors="strict"))
    except UnicodeDecodeError:
        return _NOTHING
