"""The one reader of HubSpot's answers: nothing else looks at a status code or a body.

Every field of a body is optional, whatever the documentation says. Facts: HubSpot's error-handling and contacts
guides, and recorded traffic.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta, timezone, tzinfo
from typing import Any, Final, TypeGuard
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import httpx

from hubspot_consumer.hubspot.requests import KnownContact, KnownContacts, Upsert
from hubspot_consumer.outcomes import Delivered, Halt, Outcome, Refusal, Rejected, RetryLater
from schemas.contacts import ContactKey, without_emails

# A record lock lasts two seconds.
LOCKED: Final = timedelta(seconds=2)
# 477 may ask for a day; a migration that ends early should not leave us waiting.
LONGEST_RETRY_AFTER: Final = timedelta(minutes=15)
LONGEST_DETAIL: Final = 500
# Digits; int() raises for thousands of them.
LONGEST_NUMBER: Final = 20

_PASSING_CATEGORIES: Final = frozenset({"RATE_LIMITS", "INTERNAL_ERROR", "TIMEOUT", "SERVICE_UNAVAILABLE", "LOCKED"})


@dataclass
class UpsertAnswer:
    """One outcome per trace id; `unclear` are inputs that must be asked again in smaller calls to learn theirs."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    unclear: list[Upsert] = field(default_factory=list)


def read_upsert(response: httpx.Response, inputs: Sequence[Upsert]) -> UpsertAnswer:
    """Return what became of each of *inputs*."""
    if not response.is_success:
        refusal = read_refusal(response)
        if isinstance(refusal, Rejected) and len(inputs) > 1:
            # One bad input, or two that name one contact, can take the whole call down.
            return UpsertAnswer(unclear=list(inputs))
        return UpsertAnswer(outcomes={upsert.trace_id: refusal for upsert in inputs})
    body = _body(response)
    answer = UpsertAnswer()
    errors = _objects(body.get("errors"))
    for result in _objects(body.get("results")):
        if (upsert := _asked(result, inputs)) and (contact_id := result.get("id")):
            answer.outcomes[upsert.trace_id] = Delivered(contact_id=str(contact_id))
    for error in errors:
        for trace_id in _traces(error, inputs):
            answer.outcomes[trace_id] = _item_outcome(error, response)
    unanswered = [upsert for upsert in inputs if upsert.trace_id not in answer.outcomes]
    if any(not _traces(error, inputs) for error in errors) and len(inputs) > 1:
        answer.unclear = unanswered
    else:
        # HubSpot can answer 2xx with fewer results than inputs: nothing was written for the others.
        for upsert in unanswered:
            answer.outcomes[upsert.trace_id] = RetryLater("HubSpot's answer leaves the input out")
    return answer


def read_known_contacts(response: httpx.Response, keys: Sequence[ContactKey]) -> KnownContacts | Refusal:
    """Return what a batch read found of *keys*, and what it did not find."""
    if response.status_code == 404 and _body(response).get("category") == "OBJECT_NOT_FOUND":
        # Elsewhere 207 says so. Any other 404 is the path's: to take it for new contacts could move them backwards.
        missing = _named(_body(response), "ids")
        return {key: None for key in keys if key in missing or len(keys) == 1}
    if not response.is_success:
        return read_refusal(response)
    body = _body(response)
    known: KnownContacts = {}
    for error in _objects(body.get("errors")):
        if error.get("category") == "OBJECT_NOT_FOUND":
            known |= {email.strip().lower(): None for email in _named(error, "ids")}
    for result in _objects(body.get("results")):
        properties = result.get("properties")
        if isinstance(properties, dict) and result.get("id"):
            sequence = str(properties.get("nerava_event_sequence") or "0")
            contact = KnownContact(str(result["id"]), int(float(sequence)) if _is_number(sequence) else 0)
            emails = f"{properties.get('email') or ''};{properties.get('hs_additional_emails') or ''}"
            known |= {email.strip().lower(): contact for email in emails.split(";") if email.strip()}
    return known


def read_send(response: httpx.Response, entries: int) -> Refusal | None:
    """Return None when all *entries* of the call were taken, or the only one was before."""
    errors = _objects(_body(response).get("errors")) if response.is_success else []
    if response.is_success and not errors:
        return None
    # Nobody has seen a call that was taken in part. If there is one, its uuids let all of it be sent again.
    refusal = _item_outcome(errors[0], response) if errors else read_refusal(response)
    # One that was taken before can bring down a whole call; the others of that call were not taken.
    if isinstance(refusal, Rejected) and entries == 1 and _says_duplicate(refusal.detail):
        return None
    return refusal


@dataclass(frozen=True)
class PortalDetails:
    """The portal of the token, as far as HubSpot says; `zone` is that of the daily quota's midnight."""

    portal_id: int | None = None
    zone: tzinfo | None = None


def read_portal(response: httpx.Response) -> PortalDetails | Refusal:
    """Return the portal of the token; nothing of it where HubSpot does not say."""
    if response.is_success:
        body = _body(response)
        portal_id = str(body.get("portalId", ""))
        known = portal_id.isdecimal() and len(portal_id) < LONGEST_NUMBER
        return PortalDetails(int(portal_id) if known else None, _zone(body))
    refusal = read_refusal(response)
    return PortalDetails() if isinstance(refusal, Halt) and refusal.reason == "endpoint_not_found" else refusal


def _zone(body: Mapping[str, Any]) -> tzinfo | None:
    try:
        return ZoneInfo(str(body.get("timeZone") or ""))
    except (ValueError, OSError, ZoneInfoNotFoundError):
        # A machine without the time zone database: an hour off twice a year.
        offset_ms = body.get("utcOffsetMilliseconds")
        return timezone(timedelta(milliseconds=offset_ms)) if _is_an_offset(offset_ms) else None


def _is_an_offset(milliseconds: object) -> TypeGuard[int]:
    return isinstance(milliseconds, int) and abs(milliseconds) < 24 * 3_600_000


def read_custom_events_allowed(response: httpx.Response) -> bool | Refusal:
    """Return whether the list of event definitions may be seen, which takes the tier and the scope for sending."""
    if response.is_success:
        return True
    refusal = read_refusal(response)
    if isinstance(refusal, Halt) and refusal.reason in ("scope_missing", "endpoint_not_found"):
        return False
    return refusal


@dataclass(frozen=True)
class Page:
    """A page of a list; `after` asks for the next one."""

    items: list[dict[str, Any]]
    after: str | None


def read_page(response: httpx.Response) -> Page | Refusal:
    """Return a page of a list."""
    if not response.is_success:
        return read_refusal(response)
    body = _body(response)
    paging = body.get("paging")
    following = paging.get("next") if isinstance(paging, dict) else None
    after = following.get("after") if isinstance(following, dict) else None
    return Page(_objects(body.get("results")), str(after) if after else None)


def read_created(response: httpx.Response) -> Refusal | None:
    """Return None when the thing is there: created now, or by somebody before us (409)."""
    return None if response.is_success or response.status_code == 409 else read_refusal(response)


def quota_spent_for(response: httpx.Response) -> timedelta | None:
    """Return how long nobody should call, when the answer says that the burst quota is spent."""
    refusal = read_refusal(response) if response.status_code == 429 else None
    return refusal.after if isinstance(refusal, RetryLater) else None


def read_refusal(response: httpx.Response) -> Refusal:  # noqa: PLR0911 - one line per status is the table it is
    """Return what an answer that is not 2xx means for the whole call."""
    detail = _detail(response)
    match response.status_code:
        case 401:
            return Halt("token_refused", detail)
        case 402:
            return Halt("payment_required", detail)
        case 403:
            return Halt("scope_missing", detail)
        case 404 | 405 | 410:
            # None of our calls names a single record, so it is the path that does not exist.
            return Halt("endpoint_not_found", f"{response.request.url.path}: {detail}")
        case 423:
            return RetryLater(detail, _retry_after(response) or LOCKED)
        case 429:
            return _rate_limited(response, detail)
        case 400 | 409 | 413 | 414 | 415 | 422:
            return Rejected("rejected_by_hubspot", detail)
        case _:
            # 408, 477, every 5xx, and whatever HubSpot invents next: losing nothing beats knowing why.
            return RetryLater(detail, _retry_after(response), outage=response.status_code >= 500)


def _rate_limited(response: httpx.Response, detail: str) -> Refusal:
    body = _body(response)
    words = f"{body.get('policyName', '')} {body.get('message', '')}".lower()
    if "daily" in words:
        return Halt("daily_quota_spent", detail)
    waits = timedelta(seconds=2) if "secondly" in words and "ten_secondly" not in words else timedelta(seconds=10)
    return RetryLater(detail, _retry_after(response) or waits)


def _retry_after(response: httpx.Response) -> timedelta | None:
    seconds = response.headers.get("Retry-After", "").strip()
    if not _is_number(seconds):
        return None
    return min(timedelta(seconds=max(0.0, float(seconds))), LONGEST_RETRY_AFTER)


def _item_outcome(error: Mapping[str, Any], response: httpx.Response) -> Refusal:
    category, message = str(error.get("category") or ""), str(error.get("message") or "")
    detail = _shortened(f"{response.status_code} {category}: {message}", response)
    if category in _PASSING_CATEGORIES:
        return RetryLater(detail)
    return Rejected("rejected_by_hubspot", detail)


def _asked(result: Mapping[str, Any], inputs: Sequence[Upsert]) -> Upsert | None:
    # Results come in any order. The trace id is the answer to "which?"; the email is not, when it is a secondary one.
    trace_id = result.get("objectWriteTraceId")
    if trace_id is not None:
        return next((upsert for upsert in inputs if upsert.trace_id == trace_id), None)
    properties = result.get("properties")
    email = str(properties.get("email") or "").lower() if isinstance(properties, dict) else ""
    by_email = next((upsert for upsert in inputs if upsert.contact_key == email), None)
    return by_email or (inputs[0] if len(inputs) == 1 else None)


def _named(error: Mapping[str, Any], what: str) -> set[str]:
    context = error.get("context")
    named = context.get(what) if isinstance(context, dict) else None
    return {str(name) for name in named} if isinstance(named, list) else {str(named)}


def _traces(error: Mapping[str, Any], inputs: Sequence[Upsert]) -> list[str]:
    traces = _named(error, "objectWriteTraceId")
    asked = [upsert.trace_id for upsert in inputs]
    return [trace for trace in asked if trace in traces] or (asked if len(asked) == 1 else [])


def _says_duplicate(detail: str) -> bool:
    return any(word in detail.lower() for word in ("duplicate", "already exists", "already been"))


def _body(response: httpx.Response) -> dict[str, Any]:
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _detail(response: httpx.Response) -> str:
    body = _body(response)
    # The rules that a portal's administrators make say why only in `errors`.
    words = str(body.get("message") or _first_error(body) or response.reason_phrase or "no reason given")
    kind = body.get("category") or body.get("policyName") or body.get("errorType") or ""
    return _shortened(f"{response.status_code} {kind}: {words}", response)


def _first_error(body: Mapping[str, Any]) -> str:
    error = next(iter(_objects(body.get("errors"))), {})
    return " ".join(str(error[name]) for name in ("code", "message") if error.get(name))


def _shortened(words: str, response: httpx.Response) -> str:
    correlation_id = response.headers.get("X-HubSpot-Correlation-Id")
    # HubSpot quotes the emails that it does not like.
    return without_emails(words)[:LONGEST_DETAIL] + (f" (correlation id {correlation_id})" if correlation_id else "")


def _is_number(text: str) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return number == number and abs(number) < 1e18  # noqa: PLR0124 - NaN is the number that differs from itself
