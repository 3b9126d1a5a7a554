"""The interface as an OpenAPI document, made from the routes and the messages themselves."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from policy.messages import AskBatch, AskRequest, MergeRequest, Outcome, OutcomeBatch
from serving import shapes
from serving.routes import PATHS, Route

_REF: Final = "#/components/schemas/"
_BODIES: Final[dict[str, type[BaseModel]]] = {
    "next-ask": AskRequest,
    "next-asks": AskBatch,
    "outcomes": OutcomeBatch,
    "merge": MergeRequest,
}
_ANSWERS: Final[dict[str, type[BaseModel]]] = {
    "next-ask": shapes.DecisionAnswer,
    "next-asks": shapes.DecisionsAnswer,
    "outcomes": shapes.OutcomesAnswer,
    "merge": shapes.MergeAnswer,
    "decision": shapes.DecisionRecord,
    "visitor": shapes.VisitorAnswer,
    "erase": shapes.ErasedAnswer,
    "journeys": shapes.JourneysAnswer,
    "journey": shapes.JourneyAnswer,
    "policy": shapes.PolicyAnswer,
    "livez": shapes.AliveAnswer,
    "readyz": shapes.ReadyAnswer,
}
_ERRORS: Final = {
    400: "The body is not JSON.",
    401: "A key is missing or not known.",
    403: "The key is not for this.",
    404: "There is no such journey, decision or visitor.",
    409: "The decision_id was asked before with other fields.",
    413: "The body is too large.",
    415: "The body is of another type than JSON.",
    422: "The body does not fit the message; field says where.",
    500: "Something went wrong in the service.",
    503: "The store cannot take this now, or it took too long; Retry-After says when to try again.",
}
_NOT_FOUND: Final = frozenset(("next-ask", "decision", "visitor", "journey"))


@cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    models = [*_BODIES.values(), AskRequest, Outcome, *_ANSWERS.values(), shapes.ErrorAnswer]
    pairs = [(model, "validation") for model in dict.fromkeys(models)]
    _, definitions = models_json_schema(pairs, ref_template=_REF + "{model}")  # type: ignore[arg-type]
    schemas = definitions["$defs"]
    # Items are checked one by one, so that the messages themselves leave them open.
    schemas["AskBatch"]["properties"]["requests"]["items"] = _ref(AskRequest)
    schemas["OutcomeBatch"]["properties"]["events"]["items"] = _ref(Outcome)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "smallyes",
            "version": "1",
            "description": "What should this visitor be asked next? Small yeses lead to big yeses.",
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "paths": {
            path: {method.lower(): _operation(path, route) for method, route in methods.items()}
            for path, methods in PATHS.items()
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(path: str, route: Route) -> dict[str, Any]:
    text = (route.handler.__doc__ or "").partition(": ")[2].partition("\n")[0]
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": (text[:1].upper() + text[1:]) or route.name,
        "responses": _responses(route),
    }
    if route.roles:
        operation["description"] = f"For keys of the roles {', '.join(sorted(route.roles))}."
    else:
        operation["security"] = []
    if "{id}" in path:
        operation["parameters"] = [
            {
                "name": "id",
                "in": "path",
                "required": True,
                "description": "Percent-encoded; a slash is %2F.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 256},
            }
        ]
    if route.limit:
        types = ["application/json", "text/plain"] if route.takes_text else ["application/json"]
        content = {media_type: {"schema": _ref(_BODIES[route.name])} for media_type in types}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _responses(route: Route) -> dict[str, Any]:
    answer = _ANSWERS.get(route.name)
    media_type = "text/plain" if route.name == "metrics" else "application/json"
    schema: dict[str, Any] = _ref(answer) if answer is not None else {}
    text = (answer.__doc__ or "" if answer is not None else "").strip() or "As asked for."
    responses: dict[str, Any] = {"200": {"description": text, "content": {media_type: {"schema": schema}}}}
    for status in _statuses(route):
        body = shapes.ReadyAnswer if (route.name, status) == ("readyz", 503) else shapes.ErrorAnswer
        responses[str(status)] = {
            "description": _ERRORS[status],
            "content": {"application/json": {"schema": _ref(body)}},
        }
    return responses


def _statuses(route: Route) -> list[int]:
    statuses = {500, 503}
    if route.roles:
        statuses |= {401, 403}
    if route.limit:
        statuses |= {400, 413, 415, 422}
    if route.name in _NOT_FOUND:
        statuses |= {404, 422}
    if route.name == "next-ask":
        statuses.add(409)
    return sorted(statuses)


def _ref(model: type[BaseModel]) -> dict[str, Any]:
    return {"$ref": _REF + model.__name__}
