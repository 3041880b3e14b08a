"""Refusals: the table of HTTP statuses, and the meaning of an answer other than 2xx for a call or for one of its
inputs.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, TypeGuard

import httpx

from hubspot_consumer.hubspot.bodies import (
    body_of,
    name_of,
    named_in,
    number_in,
    object_in,
    objects_of,
    parsed,
    text_of,
    words_of,
)
from hubspot_consumer.hubspot.outcomes import Halt, Refusal, Rejected, RetryLater
from hubspot_consumer.hubspot.schema import PROPERTIES

# HubSpot locks a record for two seconds.
LOCKED: Final = timedelta(seconds=2)
# The Retry-After of a 477 may be a day, but a portal's migration may end earlier.
LONGEST_RETRY_AFTER: Final = timedelta(minutes=15)
LONGEST_DETAIL: Final = 500
_NOT_VALID: Final = "Property values were not valid: "
_UNWRITABLE: Final = frozenset({"PROPERTY_DOESNT_EXIST", "READ_ONLY_VALUE"})
# HubSpot has many names for a value that another contact holds, in several fields. Some answers have a sentence alone.
_NAMING: Final = ("category", "subCategory", "errorType", "error", "code")
_CONFLICTS: Final = ("CONFLICT", "EXISTS")
_HELD_BY_ANOTHER: Final = ("already has that value", "already exists")
# Each type has its own code, such as INVALID_LONG.
_MISTYPED: Final = "INVALID"
_OURS: Final = frozenset(known.name for known in PROPERTIES)
_OF_SCOPE_OR_TIER: Final = ("scope", "tier", "permission", "subscription", "upgrade", "access token")
_NOT_UNIQUE: Final = "by non-unique"
_PASSING_CATEGORIES: Final = frozenset({"RATE_LIMITS", "INTERNAL_ERROR", "TIMEOUT", "SERVICE_UNAVAILABLE", "LOCKED"})


Answer = httpx.Response | RetryLater
"""HubSpot's answer to a call; RetryLater if none came."""


def succeeded(answer: Answer) -> TypeGuard[httpx.Response]:
    """Return whether HubSpot did what a call asks for. A 2xx with another body than a JSON object is not HubSpot's."""
    if not isinstance(answer, httpx.Response) or not answer.is_success:
        return False
    body = object_in(answer)
    return not answer.content if body is None else not _is_error(body)


def is_redirect(answer: Answer) -> bool:
    return isinstance(answer, httpx.Response) and answer.is_redirect


def object_answered(answer: Answer) -> dict[str, Any] | Refusal:
    """Return the JSON object with which a call succeeded; the meaning of any other answer."""
    if not succeeded(answer) or (body := object_in(answer)) is None:
        return read_refusal(answer)
    return body


def quota_spent_for(response: httpx.Response) -> timedelta | None:
    """Return how long no call may be made if the answer says that the burst quota is spent, None otherwise."""
    refusal = read_refusal(response) if _is_rate_limit(response) else None
    return refusal.after if isinstance(refusal, RetryLater) else None


def read_refusal(answer: Answer) -> Refusal:
    """Return the meaning for the whole call of an answer with which it did not succeed."""
    if isinstance(answer, RetryLater):
        return answer
    meaning = _in_hubspots_place(answer) if answer.is_success else _by_status(answer, _detail(answer))
    return replace(meaning, correlation_id=correlation_id(answer))


def correlation_id(response: httpx.Response) -> str | None:
    """Return HubSpot's correlation id of a call."""
    return words_of(response.headers.get("X-HubSpot-Correlation-Id")) or None


def policy_of(response: httpx.Response) -> str | None:
    """Return the name of the HubSpot limit that refused a call, None if no limit did."""
    return words_of(body_of(response).get("policyName")) or None


def _in_hubspots_place(response: httpx.Response) -> RetryLater:
    """Return the outage that a 2xx without a JSON object is: a captive portal or a proxy answers, and not HubSpot."""
    if object_in(response) is not None:
        return RetryLater("the answer is an error with the status of a success")
    kind = words_of(response.headers.get("Content-Type")).partition(";")[0] or "another text"
    what = f"{response.status_code}: the answer is no JSON object, but {kind if response.content else 'empty'}"
    return RetryLater(f"{what}: something else answers in HubSpot's place", outage=True)


def _by_status(response: httpx.Response, detail: str) -> Refusal:  # noqa: PLR0911 - a table with a line for each status
    if _is_rate_limit(response):
        return _rate_limited(response, detail)
    match response.status_code:
        case 300 | 301 | 302 | 303 | 304 | 305 | 307 | 308:
            # Redirects are not followed: the token would go to wherever they lead.
            leads_to = words_of(response.headers.get("Location"), LONGEST_DETAIL) or "nowhere"
            why = f"{response.status_code}: redirected to {leads_to}; HUBSPOT_API_BASE_URL must name HubSpot itself"
            return Halt("endpoint_not_found", why)
        case 401 | 530:
            # HubSpot's proxy answers 530 for a token from which it can't tell the portal's data centre.
            return Halt("token_refused", f"{detail} (HUBSPOT_PRIVATE_APP_TOKEN)")
        case 402:
            return Halt("payment_required", detail)
        case 403:
            return _forbidden(response, detail)
        case 404 | 405 | 410:
            # Our calls name no single record in their path, so the path itself does not exist.
            return Halt("endpoint_not_found", f"{response.request.url.path}: {detail}")
        case 423:
            return RetryLater(detail, _retry_after(response) or LOCKED)
        case 400 | 409 | 413 | 414 | 415 | 422:
            if _NOT_UNIQUE in detail:
                return no_id_property(detail)
            return _rejected(body_of(response), detail, conflict=response.status_code == 409)
        case _:
            # 408, 477, each 5xx and any unknown status are retried: an event must not be lost for an unclear answer.
            passes_soon = response.status_code in (408, 425, 477)
            return RetryLater(detail, _retry_after(response), outage=not passes_soon)


def no_id_property(detail: str) -> Halt:
    """Return the halt for a portal without the property of HUBSPOT_ID_PROPERTY, or where it is not unique."""
    return Halt("portal_not_provisioned", f"{detail}: run `provision`, which names what HUBSPOT_ID_PROPERTY needs")


def _is_rate_limit(response: httpx.Response) -> bool:
    return response.status_code == 429 or text_of(body_of(response).get("category")) == "RATE_LIMITS"


def _forbidden(response: httpx.Response, detail: str) -> Refusal:
    """Return a halt for a ban, or if scopes or the tier lack. Any other 403, such as a firewall's, is an outage."""
    body = body_of(response)
    if text_of(body.get("category")) == "BANNED":
        # No public reason names a ban, and this is the one whose remedy is in HubSpot's account too.
        return Halt("token_refused", f"{detail}: HubSpot has banned the app from the portal, and no scope mends that")
    words = f"{text_of(body.get('category'))} {text_of(body.get('message'))}".lower()
    # A proxy's JSON may speak of permissions too.
    of_hubspot = _is_error(body) or not body.keys().isdisjoint(("category", "correlationId"))
    if _scopes(body) or (of_hubspot and any(word in words for word in _OF_SCOPE_OR_TIER)):
        return Halt("scope_missing", detail)
    return RetryLater(detail, _retry_after(response), outage=True, blocked=True)


def _is_error(body: Mapping[str, Any]) -> bool:
    return text_of(body.get("status")) == "error"


def _rate_limited(response: httpx.Response, detail: str) -> Refusal:
    body = body_of(response)
    words = f"{text_of(body.get('policyName'))} {text_of(body.get('message'))}".lower()
    if "month" in words:
        # No public reason names the month's limit. It ends as the day's does: at a time of HubSpot's, or by a purchase.
        return Halt("daily_quota_spent", f"{detail}: the limit of the month, not of the day, is spent")
    if "daily" in words:
        return Halt("daily_quota_spent", detail)
    waits = timedelta(seconds=2) if "secondly" in words and "ten_secondly" not in words else timedelta(seconds=10)
    return RetryLater(detail, _retry_after(response) or waits)


def _retry_after(response: httpx.Response) -> timedelta | None:
    seconds = number_in(response.headers.get("Retry-After", ""))
    return None if seconds is None else min(timedelta(seconds=max(0.0, seconds)), LONGEST_RETRY_AFTER)


def read_item_refusal(error: Mapping[str, Any], response: httpx.Response) -> Refusal:
    category = text_of(error.get("category"))
    detail = _words(f"{response.status_code} {category}: {text_of(error.get('message'))}", response)
    named = correlation_id(response)
    # An upsert creates what it does not find, so that its contact was deleted meanwhile: the next one creates it. That
    # of an update was read just before.
    deleted = category == "OBJECT_NOT_FOUND" and response.request.url.path.endswith(("/batch/upsert", "/batch/update"))
    if category in _PASSING_CATEGORIES or deleted:
        return RetryLater(detail, correlation_id=named)
    return _rejected(error, detail, correlation_id=named)


def _rejected(
    error: Mapping[str, Any], detail: str, *, conflict: bool = False, correlation_id: str | None = None
) -> Rejected:
    """Return the meaning of an error about values; *conflict* if its status says that it is one."""
    faults = tuple(_faults(error))
    return Rejected(
        "rejected_by_hubspot",
        detail,
        unwritable=frozenset(name for code, name in faults if code in _UNWRITABLE and name),
        conflict=conflict or _is_conflict(error, {code for code, _ in faults}),
        mistyped=_OURS.intersection(name for code, name in faults if code.startswith(_MISTYPED)),
        correlation_id=correlation_id,
    )


def _is_conflict(error: Mapping[str, Any], codes: Collection[str]) -> bool:
    told = (error, *objects_of(error.get("errors")))
    names = {*codes, *(text_of(one.get(field)) for one in told for field in _NAMING)}
    words = " ".join(text_of(one.get("message")) for one in told).lower()
    named = any(mark in name.upper() for name in names for mark in _CONFLICTS)
    return named or any(sentence in words for sentence in _HELD_BY_ANOTHER)


def _faults(error: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each code in an error with the property that it is about; an empty name if it is about none."""
    for detail in objects_of(error.get("errors")):
        for name in named_in(detail, "propertyName") or ("",):
            yield text_of(detail.get("code")), name_of(name)
    _, _, listed = text_of(error.get("message")).partition(_NOT_VALID)
    for failure in objects_of(parsed(listed.encode())):
        yield text_of(failure.get("error")), name_of(failure.get("name"))


def _detail(response: httpx.Response) -> str:
    body = body_of(response)
    # For a violated rule of the portal's administrators, only `errors` has the reason.
    words = text_of(body.get("message")) or _first_error(body) or response.reason_phrase or "no reason given"
    kind = next(filter(None, (text_of(body.get(name)) for name in ("category", "policyName", "errorType"))), "")
    return _words(f"{response.status_code} {kind}: {words}{_scopes(body)}", response)


def _scopes(body: Mapping[str, Any]) -> str:
    # The message of a 403 says that scopes are missing, but does not name them.
    named = {scope for error in objects_of(body.get("errors")) for scope in named_in(error, "requiredGranularScopes")}
    needed = sorted(named - {"None"})
    return f" (needed: {' or '.join(needed)})" if needed else ""


def _first_error(body: Mapping[str, Any]) -> str:
    error = next(iter(objects_of(body.get("errors"))), {})
    return " ".join(filter(None, (text_of(error.get(name)) for name in ("code", "message"))))


def _words(words: str, response: httpx.Response) -> str:
    named = correlation_id(response)
    return words_of(words, LONGEST_DETAIL) + (f" (correlation id {named})" if named else "")
