"""Asking and reporting: the routes that decide and remember."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from data.errors import BadRequest, StoreUnavailable
from data.stores.protocol import StoredDecision
from policy.asking import Asking
from policy.draw import verify_token, verify_visitor_token
from policy.hearing import Hearing, error_body
from policy.merging import Merging
from policy.messages import AskBatch, AskRequest, MergeRequest, Outcome, OutcomeBatch, parse
from serving.answers import Answer, json_answer
from serving.exchange import Request
from serving.keys import Caller, forbidden
from serving.office import Office

logger = logging.getLogger("smallyes.serving")

_STORE_MESSAGE: Final = "The store cannot take this now; nothing of it was kept. Try again."

_DEADLINE_MESSAGE: Final = "There was no time left for this request; ask again, with fewer at a time."


async def next_ask(office: Office, request: Request) -> Answer:
    """``POST /v1/next-ask``: what to ask this visitor now."""
    work = Asking(_asked(office, request.caller, parse(AskRequest, request.body)))
    await office.batching.do(work)
    return json_answer(_decision(office, work))


async def next_asks(office: Office, request: Request) -> Answer:
    """``POST /v1/next-asks``: each request for itself; one that is wrong does not spoil the others.

    What is not decided shortly before the deadline is given up, so that the rest can be answered.
    """
    items = parse(AskBatch, request.body).requests
    decisions: list[dict[str, Any]] = [{} for _ in items]
    works: dict[int, Asking] = {}
    for index, item in enumerate(items):
        try:
            works[index] = Asking(_asked(office, request.caller, parse(AskRequest, item)))
        except BadRequest as error:
            decisions[index] = {"error": error_body(error)}
    failures = await office.batching.do_all(list(works.values()), request.patience_s)
    if works and all(isinstance(failure, StoreUnavailable | TimeoutError) for failure in failures):
        raise failures[0] or StoreUnavailable(_STORE_MESSAGE)
    for (index, work), failure in zip(works.items(), failures, strict=True):
        try:
            decisions[index] = _decision(office, work, failure)
        except BadRequest as error:
            decisions[index] = {"error": error_body(error)}
    return json_answer({"decisions": decisions})


async def outcomes(office: Office, request: Request) -> Answer:
    """``POST /v1/outcomes``: each event for itself; what is counted as accepted is durable."""
    events = parse(OutcomeBatch, request.body).events
    is_public = request.caller is None or not request.caller.is_trusted
    if not is_public and not request.is_text:
        report = await _heard(office, events)
    else:
        report = await _heard_with_tokens(office, events, is_public=is_public, is_text=request.is_text)
    office.meters.heard(report)
    return json_answer(report)


async def merge(office: Office, request: Request) -> Answer:
    """``POST /v1/visitors/merge``: a visitor turned out to be another one."""
    asked = parse(MergeRequest, request.body)
    work = Merging(asked.from_id, asked.to_id)
    await office.batching.do(work)
    if work.error is not None:
        raise work.error
    return json_answer(work.result)


def _asked(office: Office, caller: Caller | None, asked: AskRequest) -> AskRequest:
    """The request, if this caller may make it; whoever cannot prove to be a visitor is a new one.

    Raises:
        BadRequest: 403, a public key asks for what only a secret one may have.
    """
    if caller is None or not caller.is_trusted:
        for name in ("decision_id", "history", "at", "trace"):
            if getattr(asked, name) not in (None, False):
                raise forbidden(f"{name}: is not for site keys, which are public; use a server key.", name)
        token, visitor_id = asked.visitor_token, asked.visitor_id
        if visitor_id is not None and not (token and verify_visitor_token(office.secret, token, visitor_id)):
            return asked.model_copy(update={"visitor_id": None})
    return asked


def _decision(office: Office, work: Asking, failure: BaseException | None = None) -> dict[str, Any]:
    """What became of one request.

    Raises:
        BadRequest: it was refused, or could not be done.
    """
    if isinstance(failure, StoreUnavailable):
        raise BadRequest("store_unavailable", _STORE_MESSAGE, status=503)
    if isinstance(failure, TimeoutError):
        raise BadRequest("deadline", _DEADLINE_MESSAGE, status=503)
    if work.error is not None:
        raise work.error
    if failure is not None or work.result is None:
        logger.error("a request of a batch failed", exc_info=failure)
        raise BadRequest("internal", "Something went wrong here; the service's log says what.", status=500)
    office.meters.decided(work)
    return work.result


async def _heard(office: Office, events: Sequence[Any]) -> dict[str, Any]:
    work = Hearing(events)
    await office.batching.do(work, weight=len(events))
    if work.error is not None:
        raise work.error
    return work.report


async def _heard_with_tokens(
    office: Office, events: Sequence[Any], *, is_public: bool, is_text: bool
) -> dict[str, Any]:
    """Takes the events whose token proves that their decision was answered to whoever reports them."""
    rejected: dict[int, BadRequest] = {}
    taken: dict[int, Outcome] = {}
    for index, given in enumerate(events):
        try:
            taken[index] = parse(Outcome, given)
        except BadRequest as error:
            rejected[index] = error
    ids = tuple({event.decision_id for event in taken.values() if event.decision_id is not None})
    known = await office.soon(lambda: office.store.decisions(ids)) if ids else {}
    for index, event in tuple(taken.items()):
        try:
            _check_token(office, event, known.get(event.decision_id or ""))
            if is_public:
                taken[index] = _public(event)
        except BadRequest as error:
            if is_text:
                raise _no_beacon(index, error) from None
            rejected[index] = error
            del taken[index]
    report: dict[str, Any] = {"accepted": 0, "duplicates": 0, "rejected": []}
    if taken:
        report = await _heard(office, list(taken.values()))
    return _with_rejected(report, tuple(taken), rejected)


def _check_token(office: Office, event: Outcome, stored: StoredDecision | None) -> None:
    if event.decision_id is None or event.decision_token is None:
        raise forbidden("decision_token: is required here, with its decision_id.", "decision_token")
    decision = None if stored is None or stored.scope != "visitor" else stored.decision
    if decision is None or not verify_token(
        office.secret,
        event.decision_token,
        decision.decision_id,
        decision.visitor_id,
        decision.ask_id,
        office.clock(),
    ):
        raise forbidden("decision_token: is not that of the decision, or has expired.", "decision_token")


def _public(event: Outcome) -> Outcome:
    """The event as a public key may report it: without a value.

    Raises:
        BadRequest: 403, a conversion.
    """
    if event.type == "converted":
        raise forbidden("type: converted is not for site keys, which are public; use a server key.", "type")
    return event if event.value is None else event.model_copy(update={"value": None})


def _no_beacon(index: int, error: BadRequest) -> BadRequest:
    return BadRequest(
        "unsupported_type",
        f"Content-Type: text/plain is taken only when every event carries its valid decision_token; "
        f"events[{index}]: {error.message}",
        status=415,
        field="Content-Type",
        received="text/plain",
        allowed=["application/json"],
    )


def _with_rejected(report: dict[str, Any], taken: Sequence[int], rejected: dict[int, BadRequest]) -> dict[str, Any]:
    """The report on the taken events as one on all of them."""
    items = [{"index": taken[item["index"]], "error": item["error"]} for item in report["rejected"]]
    items += [{"index": index, "error": error_body(error)} for index, error in rejected.items()]
    return {**report, "rejected": sorted(items, key=lambda item: item["index"])}
