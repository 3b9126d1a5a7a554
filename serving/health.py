"""Alive, ready, counted, documented: the routes for machines that watch the service."""

from __future__ import annotations

from typing import Any

from serving.answers import Answer, json_answer
from serving.exchange import Request
from serving.meters import CONTENT_TYPE
from serving.office import Office


async def livez(office: Office, request: Request) -> Answer:  # noqa: ARG001
    """``GET /livez``: this process answers."""
    return json_answer({"alive": True})


async def readyz(office: Office, request: Request) -> Answer:
    """``GET /readyz``: the store can be written and there is a journey; what is wrong, for whoever may know."""
    store_fault = await office.store_fault()
    following = office.following
    is_ready = store_fault is None and bool(following.live)
    content: dict[str, Any] = {
        "ready": is_ready,
        "store": "ok" if store_fault is None else "unavailable",
        "journeys": len(following.live),
        "catalog_faults": len(following.faults),
        "policy_troubles": len(following.troubles),
        "registry_troubles": len(office.registry_troubles),
    }
    if request.caller is not None and request.caller.role in ("read", "admin"):
        content |= {
            "store": store_fault or "ok",
            "journeys": sorted(following.live),
            "catalog_faults": [str(fault) for fault in following.faults],
            "catalog_warnings": [str(warning) for warning in following.warnings],
            "policy_troubles": dict(following.troubles),
            "registry_troubles": dict(office.registry_troubles),
        }
    if not following.live:
        content["advice"] = "There is no journey: put a good catalog (*.yaml) into the workspace's folder journeys."
    return json_answer(content, 200 if is_ready else 503)


async def metrics(office: Office, request: Request) -> Answer:  # noqa: ARG001
    """``GET /metrics``: counters of all workers, in the format of Prometheus."""
    return Answer(200, await office.aside(office.meters.text), content_type=CONTENT_TYPE)


async def docs(office: Office, request: Request) -> Answer:  # noqa: ARG001
    """``GET /docs.json``: this interface in OpenAPI."""
    from serving.docs import document

    return json_answer(document())
