"""Breakage: what a fault turns the answer to a call into."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from sandbox.hubspot.answers import Answer, Refused, error, rate_limited
from sandbox.hubspot.batches import complete
from sandbox.hubspot.calls import Call
from sandbox.hubspot.faults import (
    DroppedConnection,
    Fault,
    FewerResults,
    Hang,
    RateLimitAnswer,
    SilentNoOp,
    Slow,
    StatusAnswer,
)
from sandbox.hubspot.portal import Portal

Handle = Callable[[], Answer]
Wait = Callable[[float], Awaitable[None]]

_MESSAGES: Final = {
    401: ("The OAuth token used to make this call expired 7 second(s) ago.", "EXPIRED_AUTHENTICATION"),
    403: ("This app hasn't been granted all required scopes to make this call.", "MISSING_SCOPES"),
    423: ("The object is locked by another operation. Please retry later.", "LOCKED"),
    477: ("This account is being migrated. Please retry later.", "MIGRATION_IN_PROGRESS"),
    502: ("Bad Gateway", None),
    503: ("Service Unavailable", None),
    504: ("Gateway Timeout", None),
}
_INTERNAL: Final = ("Internal Error", "INTERNAL_ERROR")
_RETRY_AFTER_MIGRATION: Final = "10"


class ConnectionLost(Exception):
    """The connection ends without an answer."""


async def answer_wrongly(portal: Portal, call: Call, fault: Fault, handle: Handle, wait: Wait) -> Answer:
    """Return the answer that *fault* makes of a call. Raises ConnectionLost, and Refused as *handle* does."""
    applied = fault.apply == "after"
    match fault.answer:
        case FewerResults(leave_out=leave_out):
            return _fewer_results(portal, call, leave_out, handle, applied=applied)
        case Slow(seconds=seconds) if not applied:
            # A caller that has given up does not stop it: the write lands late, maybe behind a newer one.
            await asyncio.sleep(seconds)
            return handle()
        case Slow(seconds=seconds):
            answer = handle()
            await asyncio.sleep(seconds)
            return answer
    if applied:
        _apply(handle)
    match fault.answer:
        case StatusAnswer() as wrong:
            return _status(wrong)
        case RateLimitAnswer(policy=policy):
            return rate_limited(policy, portal.burst_group)
        case SilentNoOp():
            return complete(portal, [])
        case Hang(seconds=seconds):
            await wait(seconds)
            raise ConnectionLost
        case DroppedConnection():
            raise ConnectionLost


def _apply(handle: Handle) -> None:
    try:
        handle()
    except Refused:
        return


def _fewer_results(portal: Portal, call: Call, leave_out: int, handle: Handle, *, applied: bool) -> Answer:
    if applied:
        answer = handle()
        if isinstance(answer.payload, dict) and "results" in answer.payload:
            del answer.payload["results"][:leave_out]
        return answer
    body: Any = call.json()
    if isinstance(body, dict) and isinstance(body.get("inputs"), list):
        left_out = set(portal.random.sample(range(len(body["inputs"])), min(leave_out, len(body["inputs"]))))
        kept = [item for index, item in enumerate(body["inputs"]) if index not in left_out]
        call.replace_json(body | {"inputs": kept})
    return handle()


def _status(wrong: StatusAnswer) -> Answer:
    message, category = _MESSAGES.get(wrong.status, _INTERNAL)
    headers = dict(wrong.headers)
    if wrong.status == 477:
        headers.setdefault("Retry-After", _RETRY_AFTER_MIGRATION)
    match wrong.style:
        case "json" if wrong.body is None:
            answer = error(wrong.status, message, category)
            answer.headers |= headers
            return answer
        case "json":
            return Answer(wrong.status, wrong.body, headers)
        case "text":
            return Answer(wrong.status, wrong.body or message, headers, "text/plain;charset=utf-8")
        case "html":
            title = f"{wrong.status} {message}"
            page = f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
            return Answer(wrong.status, wrong.body or page, headers, "text/html;charset=utf-8")
