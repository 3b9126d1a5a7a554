from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from serving import shapes
from serving.docs import document
from serving.routes import PATHS
from tests.serving.shops import Shop


def test_every_route_is_documented() -> None:
    paths = document()["paths"]
    assert {(path, method.upper()) for path in paths for method in paths[path]} == {
        (path, method) for path, methods in PATHS.items() for method in methods
    }


def test_every_operation_has_a_summary_and_every_status_a_text() -> None:
    for methods in document()["paths"].values():
        for operation in methods.values():
            assert operation["summary"] != operation["operationId"]
            assert all(response["description"] for response in operation["responses"].values())


def test_the_errors_of_next_ask_are_all_named() -> None:
    responses = document()["paths"]["/v1/next-ask"]["post"]["responses"]
    assert set(responses) == {"200", "400", "401", "403", "404", "409", "413", "415", "422", "500", "503"}


def test_every_reference_leads_somewhere() -> None:
    schemas = document()["components"]["schemas"]

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                assert node["$ref"].removeprefix("#/components/schemas/") in schemas
            for item in node.values():
                walk(item)
        elif isinstance(node, list):
            for item in node:
                walk(item)

    walk(document())


def test_the_document_is_valid_openapi() -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(document())


def test_the_service_answers_with_its_document(shop: Shop) -> None:
    assert shop.get("/docs.json").json() == document()


def _fits(shape: type[BaseModel], answer: Any) -> None:
    shape.model_validate(answer.json(), strict=True)


def test_answers_have_the_documented_shape(shop: Shop) -> None:
    asked = shop.post("/v1/next-ask", {"visitor_id": "v-1", "trace": True})
    _fits(shapes.DecisionAnswer, asked)
    _fits(shapes.DecisionAnswer, shop.post("/v1/next-ask", {"visitor_id": "v", "exclude": ["quiz", "guide"]}))
    _fits(shapes.DecisionsAnswer, shop.post("/v1/next-asks", {"requests": [{"visitor_id": "v"}, {}]}))
    event = {"type": "accepted", "decision_id": asked.json()["decision_id"]}
    _fits(shapes.OutcomesAnswer, shop.post("/v1/outcomes", {"events": [event, {"type": "x"}]}))
    _fits(shapes.MergeAnswer, shop.post("/v1/visitors/merge", {"from": "v", "to": "v-1"}))
    _fits(shapes.DecisionRecord, shop.get(f"/v1/decisions/{event['decision_id']}"))
    _fits(shapes.VisitorAnswer, shop.get("/v1/visitors/v"))
    _fits(shapes.ErasedAnswer, shop.send("DELETE", "/v1/visitors/v"))


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/v1/journeys", shapes.JourneysAnswer),
        ("/v1/journeys/shop", shapes.JourneyAnswer),
        ("/v1/policy", shapes.PolicyAnswer),
        ("/livez", shapes.AliveAnswer),
        ("/readyz", shapes.ReadyAnswer),
        ("/v1/nothing", shapes.ErrorAnswer),
    ],
)
def test_what_is_read_has_the_documented_shape(shop: Shop, path: str, shape: type[BaseModel]) -> None:
    _fits(shape, shop.get(path))
