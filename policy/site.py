"""The service without HTTP: a desk over a store, spoken to in the plain objects of the HTTP interface."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from data.domain import Catalog, Holdout
from data.errors import BadRequest
from data.stores.protocol import Store
from policy.asking import Asking
from policy.desk import Desk
from policy.hearing import Hearing
from policy.live import LiveJourney
from policy.messages import AskRequest, OutcomeBatch, parse


class LocalSite:
    """Decides and remembers in this process; same rules, same rows as the service.

    Args:
        store: where decisions and events go.
        live: the journey, or several.
        secret: key of draws and arms.
        clock: gives the present instant; a simulation passes its own.
        random: gives random bytes for ids; a simulation passes seeded ones, to be the same again.
    """

    def __init__(
        self,
        store: Store,
        live: LiveJourney | Sequence[LiveJourney],
        secret: bytes,
        clock: Callable[[], int],
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._random = random
        lives = (live,) if isinstance(live, LiveJourney) else live
        journeys = {one.catalog.journey: one for one in lives}
        self._desk = Desk(store, lambda: journeys, secret, clock)

    def next_ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """``POST /v1/next-ask``.

        Raises:
            BadRequest: the request is wrong.
            StoreUnavailable: the store failed.
        """
        work = Asking(parse(AskRequest, request), self._random)
        self._desk.run((work,))
        if work.error is not None:
            raise work.error
        if work.result is None:
            raise BadRequest("internal", "the decision was not settled", status=500)
        return work.result

    def outcomes(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        """``POST /v1/outcomes``.

        Raises:
            BadRequest: the batch as a whole is wrong.
            StoreUnavailable: the store failed.
        """
        work = Hearing(parse(OutcomeBatch, {"events": events}).events)
        self._desk.run((work,))
        return work.report


def all_to(catalog: Catalog, policy: str) -> Catalog:
    """The catalog with every visitor in one holdout arm: how a fixed policy is simulated.

    Example:
        >>> from data.domain import Ask
        >>> quiz = Ask("quiz", "How dry is your skin?", "quiz", effort=2)
        >>> all_to(Catalog("skincare", goal="quiz", baseline=("quiz",), asks=(quiz,)), "random").holdout
        (Holdout(share=1.0, policy='random'),)
    """
    return replace(catalog, holdout=(Holdout(1.0, policy),))  # type: ignore[arg-type]
