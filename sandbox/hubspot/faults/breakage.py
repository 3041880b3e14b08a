"""Breakage: replaces or changes the answer to a call according to a fault."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from sandbox.hubspot.faults.faults import (
    BadInputs,
    DroppedConnection,
    Fault,
    FewerResults,
    Hang,
    KnownAnswer,
    Match,
    RateLimitAnswer,
    SilentNoOp,
    Slow,
    StatusAnswer,
)
from sandbox.hubspot.faults.known_answers import known_answer
from sandbox.hubspot.http.answers import Answer, Refused, error, rate_limited
from sandbox.hubspot.http.calls import Call
from sandbox.hubspot.operations.batches import BadInput, complete
from sandbox.hubspot.records.portal import Portal

Handle = Callable[[], Answer]
Wait = Callable[[float], Awaitable[None]]
Instead = StatusAnswer | KnownAnswer | RateLimitAnswer | SilentNoOp | DroppedConnection

_MESSAGES: Final = {
    401: ("The OAuth token used to make this call expired 7 second(s) ago.", "EXPIRED_AUTHENTICATION"),
    402: ("Payment Required", None),
    403: ("This app hasn't been granted all required scopes to make this call.", "MISSING_SCOPES"),
    404: ("Not Found", None),
    408: ("Request Timeout", None),
    414: ("URI Too Long", None),
    423: ("The object is locked by another operation. Please retry later.", "LOCKED"),
    477: ("This account is being migrated. Please retry later.", "MIGRATION_IN_PROGRESS"),
    502: ("Bad Gateway", None),
    503: ("Service Unavailable", None),
    504: ("Gateway Timeout", None),
    # Cloudflare's messages for a failed connection to HubSpot.
    521: ("Origin Down", None),
    522: ("Origin Connection Time-out", None),
    523: ("Origin Unreachable", None),
    524: ("Origin Time-out", None),
    525: ("Origin SSL Handshake Error", None),
    526: ("Origin SSL Certificate Error", None),
    530: ("error code: 1016", None),
}
_INTERNAL: Final = ("internal error", None)
_INTERNAL_AS_TEXT: Final = "Internal Server Error"
_RETRY_AFTER_MIGRATION: Final = "10"


class ConnectionLost(Exception):
    """The connection ends without an answer."""


async def answer_wrongly(portal: Portal, call: Call, fault: Fault, handle: Handle, wait: Wait) -> Answer:
    """Return the answer to a call with a *fault*. Raises ConnectionLost, and Refused as *handle* does."""
    applied = fault.apply == "after"
    match fault.answer:
        case FewerResults(leave_out=leave_out):
            return _fewer_results(portal, call, leave_out, handle, applied=applied)
        case BadInputs() as bad:
            call.refuse_input = partial(_refused, bad, fault.match)
            return handle()
        case Slow(seconds=seconds) if not applied:
            # The write is not cancelled if the caller gives up: it takes effect late, maybe after a newer one.
            await asyncio.sleep(seconds)
            return handle()
        case Slow(seconds=seconds):
            answer = handle()
            await asyncio.sleep(seconds)
            return answer
    if applied:
        _apply(handle)
    if isinstance(fault.answer, Hang):
        await wait(fault.answer.seconds)
        raise ConnectionLost
    return _instead(portal, fault.answer)


def _instead(portal: Portal, answer: Instead) -> Answer:
    match answer:
        case StatusAnswer() as wrong:
            return _status(wrong)
        case KnownAnswer(name=name, headers=headers):
            known = known_answer(name, portal.burst_group)
            known.headers |= headers
            return known
        case RateLimitAnswer(policy=policy):
            return rate_limited(policy, portal.burst_group)
        case SilentNoOp(status=207):
            return Answer(207, complete(portal, []).payload | {"numErrors": 0, "errors": []})
        case SilentNoOp():
            return complete(portal, [])
        case DroppedConnection():
            raise ConnectionLost


def _refused(bad: BadInputs, match: Match, item: dict[str, Any]) -> BadInput | None:
    if not match.named_in(json.dumps(item, ensure_ascii=False)):
        return None
    return BadInput(bad.message, bad.category, status=bad.status)


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
            text = message if wrong.status in _MESSAGES else _INTERNAL_AS_TEXT
            return Answer(wrong.status, wrong.body or text, headers, "text/plain;charset=utf-8")
        case "html":
            page = _page(f"{wrong.status} {message}")
            return Answer(wrong.status, wrong.body or page, headers, "text/html;charset=utf-8")


def _page(title: str) -> str:
    """Return an error page like those of Cloudflare, HubSpot's proxy."""
    lines = (
        "<html>",
        f"<head><title>{title}</title></head>",
        '<body bgcolor="white">',
        f"<center><h1>{title}</h1></center>",
        "<hr><center>cloudflare</center>",
        "</body>",
        "</html>",
    )
    return "".join(f"{line}\r\n" for line in lines)
