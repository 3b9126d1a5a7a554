"""A policy without HTTP and without a store: each request brings the visitor's whole history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.catalog import load_catalog
from data.clock import now as system_now
from data.domain import Catalog, Decision
from data.errors import BadRequest
from policy.asking import (
    blocked_json,
    candidates_json,
    merged_answers,
    new_decision_id,
    response_to,
    situation_for,
    token_for,
)
from policy.bundle import load_bundle
from policy.choose import choose
from policy.draw import draw_unit, visitor_token
from policy.live import MAIN, LiveJourney, LivePolicy, served, unprofiled
from policy.messages import LocalRequest, parse
from policy.past import state_from_history


def load_local(folder: Path, catalog: Catalog | str | Path | None, secret: str) -> LocalPolicy:
    """See ``policy.load``."""
    chosen = load_catalog(Path(catalog)) if isinstance(catalog, str | Path) else catalog
    bundle = load_bundle(folder, chosen)
    return LocalPolicy(LiveJourney(bundle.catalog, champion=LivePolicy.of(bundle)), secret.encode())


class LocalPolicy:
    """Decides from histories alone, exactly as the service does in its history mode, but without arms."""

    def __init__(self, live: LiveJourney, secret: bytes) -> None:
        self._live = live
        self._secret = secret

    @property
    def catalog(self) -> Catalog:
        """The catalog in force."""
        return self._live.catalog

    def next_ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The response to one request, both as over HTTP; ``history`` is required.

        The draw follows ``seed`` if given, else ``decision_id``, else a new id.

        Raises:
            BadRequest: the request is wrong; ``field`` says where.
        """
        asked = parse(LocalRequest, request)
        live, catalog = self._live, self._live.catalog
        if asked.journey is not None and asked.journey != catalog.journey:
            raise BadRequest(
                "unknown_journey",
                f"journey: this policy is of journey {catalog.journey!r}.",
                status=404,
                field="journey",
                received=asked.journey,
                allowed=[catalog.journey],
            )
        now = system_now() if asked.at is None else asked.at
        state = state_from_history(asked.history, live.scopes, now)
        situation = situation_for(live, state, now, asked, merged_answers({}, asked.answers))
        decision_id = asked.decision_id or new_decision_id(now)
        key = decision_id if asked.seed is None else asked.seed
        serve = served(live, MAIN) if asked.profile else unprofiled()
        choice = choose(live, situation, serve, draw_unit(self._secret, catalog.journey, key))
        visitor_id = asked.visitor_id or ""
        decision = Decision(
            decision_id, visitor_id, catalog.journey, now, now, choice.ask_id, choice.propensity, None, ""
        )
        response = response_to(live, choice, situation, decision)
        response["visitor_id"] = asked.visitor_id
        response["decision_token"] = token_for(self._secret, decision)
        if asked.visitor_id is not None:
            response["visitor_token"] = visitor_token(self._secret, asked.visitor_id)
        if asked.trace:
            response["candidates"] = candidates_json(choice)
            response["blocked"] = blocked_json(choice)
        return response

    def next_asks(self, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The responses to many requests, in order.

        Raises:
            BadRequest: a request is wrong; ``field`` begins with its place, like ``requests[3].at``.
        """
        responses = []
        for index, request in enumerate(requests):
            try:
                responses.append(self.next_ask(request))
            except BadRequest as error:
                raise BadRequest(
                    error.code,
                    f"requests[{index}].{error.message}",
                    status=error.status,
                    field=f"requests[{index}].{error.field or ''}".rstrip("."),
                    received=error.received,
                    allowed=error.allowed,
                ) from None
        return responses
