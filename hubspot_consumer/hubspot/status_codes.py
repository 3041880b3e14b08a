"""Refusals: the table of HTTP statuses, and the meaning of an answer other than 2xx for a call or for one of its
inputs.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypeGuard

import httpx

from hubspot_consumer.hubspot.outcomes import Halt, Refusal, Rejected, RetryLater
from schemas.contacts import LONGEST_EMAIL, shortened
from schemas.texts import read_json

# HubSpot locks a record for two seconds.
LOCKED: Final = timedelta(seconds=2)
# The Retry-After of a 477 may be a day, but a portal's migration may end earlier.
LONGEST_RETRY_AFTER: Final = timedelta(minutes=15)
LONGEST_DETAIL: Final = 500
LONGEST_NAME: Final = 100
_A_TOKEN: Final = re.compile(r"pat-[a-z]+[0-9]*-[0-9A-Za-z-]{8,}")
_NOT_VALID: Final = "Property values were not valid: "
_UNWRITABLE: Final = frozenset({"PROPERTY_DOESNT_EXIST", "READ_ONLY_VALUE"})
_PASSING_CATEGORIES: Final = frozenset({"RATE_LIMITS", "INTERNAL_ERROR", "TIMEOUT", "SERVICE_UNAVAILABLE", "LOCKED"})


Answer = httpx.Response | RetryLater
"""HubSpot's answer to a call; RetryLater if none came."""


def succeeded(answer: Answer) -> TypeGuard[httpx.Response]:
    return isinstance(answer, httpx.Response) and answer.is_success


def quota_spent_for(response: httpx.Response) -> timedelta | None:
    """Return how long no call may be made if the answer says that the burst quota is spent, None otherwise."""
    refusal = read_refusal(response) if response.status_code == 429 else None
    return refusal.after if isinstance(refusal, RetryLater) else None


def read_refusal(answer: Answer) -> Refusal:
    """Return the meaning of an answer other than 2xx for the whole call."""
    if isinstance(answer, RetryLater):
        return answer
    return replace(_by_status(answer, _detail(answer)), correlation_id=correlation_id(answer))


def correlation_id(response: httpx.Response) -> str | None:
    """Return HubSpot's correlation id of a call, at most LONGEST_NAME characters."""
    name: str | None = response.headers.get("X-HubSpot-Correlation-Id")
    return name[:LONGEST_NAME] if name else None


def policy_of(response: httpx.Response) -> str | None:
    """Return the name of the HubSpot limit that refused a call, None if no limit did."""
    name = body_of(response).get("policyName")
    return name[:LONGEST_NAME] if isinstance(name, str) else None


def _by_status(response: httpx.Response, detail: str) -> Refusal:  # noqa: PLR0911 - a table with a line for each status
    match response.status_code:
        case 401:
            return Halt("token_refused", detail)
        case 402:
            return Halt("payment_required", detail)
        case 403:
            return Halt("scope_missing", detail)
        case 404 | 405 | 410:
            # Our calls name no single record in their path, so the path itself does not exist.
            return Halt("endpoint_not_found", f"{response.request.url.path}: {detail}")
        case 423:
            return RetryLater(detail, _retry_after(response) or LOCKED)
        case 429:
            return _rate_limited(response, detail)
        case 400 | 409 | 413 | 414 | 415 | 422:
            conflict = response.status_code == 409
            return Rejected("rejected_by_hubspot", detail, _unwritable(body_of(response)), conflict)
        case _:
            # 408, 477, each 5xx and any unknown status are retried: an event must not be lost for an unclear answer.
            return RetryLater(detail, _retry_after(response), outage=response.status_code >= 500)


def _rate_limited(response: httpx.Response, detail: str) -> Refusal:
    body = body_of(response)
    words = f"{body.get('policyName', '')} {body.get('message', '')}".lower()
    if "daily" in words:
        return Halt("daily_quota_spent", detail)
    waits = timedelta(seconds=2) if "secondly" in words and "ten_secondly" not in words else timedelta(seconds=10)
    return RetryLater(detail, _retry_after(response) or waits)


def _retry_after(response: httpx.Response) -> timedelta | None:
    seconds = number_in(response.headers.get("Retry-After", ""))
    return None if seconds is None else min(timedelta(seconds=max(0.0, seconds)), LONGEST_RETRY_AFTER)


def read_item_refusal(error: Mapping[str, Any], response: httpx.Response) -> Refusal:
    category, message = str(error.get("category") or ""), str(error.get("message") or "")
    detail = _shortened(f"{response.status_code} {category}: {message}", response)
    named = correlation_id(response)
    if category in _PASSING_CATEGORIES:
        return RetryLater(detail, correlation_id=named)
    conflict = category == "CONFLICT"
    return Rejected("rejected_by_hubspot", detail, _unwritable(error), conflict, correlation_id=named)


def _unwritable(error: Mapping[str, Any]) -> frozenset[str]:
    """Return the properties that are unwritable according to an error: they do not exist, or they are read-only."""
    found = {
        str(name)
        for detail in objects_of(error.get("errors"))
        if str(detail.get("code")) in _UNWRITABLE
        for name in named_in(detail, "propertyName")
    }
    _, _, listed = str(error.get("message") or "").partition(_NOT_VALID)
    failures = objects_of(_parsed(listed.encode()))
    return frozenset(
        found | {str(one["name"]) for one in failures if one.get("name") and str(one.get("error")) in _UNWRITABLE}
    )


def named_in(error: Mapping[str, Any], what: str) -> set[str]:
    context = error.get("context")
    named = context.get(what) if isinstance(context, dict) else None
    names = named if isinstance(named, list) else [named]
    return {str(name) for name in names if name is not None}


def body_of(response: httpx.Response) -> dict[str, Any]:
    """Return the JSON object of an answer; an empty one if its body is none."""
    body = _parsed(response.content)
    return body if isinstance(body, dict) else {}


def _parsed(value: bytes) -> Any:
    try:
        return read_json(value)
    except ValueError:
        return None


def objects_of(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _detail(response: httpx.Response) -> str:
    body = body_of(response)
    # For a violated rule of the portal's administrators, only `errors` has the reason.
    words = str(body.get("message") or _first_error(body) or response.reason_phrase or "no reason given")
    kind = body.get("category") or body.get("policyName") or body.get("errorType") or ""
    return _shortened(f"{response.status_code} {kind}: {words}{_scopes(body)}", response)


def _scopes(body: Mapping[str, Any]) -> str:
    # The message of a 403 says that scopes are missing, but does not name them.
    named = {scope for error in objects_of(body.get("errors")) for scope in named_in(error, "requiredGranularScopes")}
    needed = sorted(named - {"None"})
    return f" (needed: {' or '.join(needed)})" if needed else ""


def _first_error(body: Mapping[str, Any]) -> str:
    error = next(iter(objects_of(body.get("errors"))), {})
    return " ".join(str(error[name]) for name in ("code", "message") if error.get(name))


def _shortened(words: str, response: httpx.Response) -> str:
    named = correlation_id(response)
    # HubSpot's messages quote invalid emails, and a proxy's may quote the request with its token.
    words = shortened(words, LONGEST_DETAIL + LONGEST_EMAIL, _A_TOKEN, lambda _: "***")
    return shortened(words, LONGEST_DETAIL) + (f" (correlation id {named})" if named else "")


def number_in(text: str) -> float | None:
    """Return the number that *text* is; None if it is none, not a finite one or a very large one."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < 1e18 else None
