"""The one reader of HubSpot's answers: nothing else looks at a status code or a body.

Every field of a body is optional, whatever the documentation says. Facts: HubSpot's error-handling and contacts
guides, and recorded traffic.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta, timezone, tzinfo
from typing import Any, Final, Generic, Protocol, Self, TypeGuard, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import httpx

from hubspot_consumer.hubspot.errors import body_of, is_number, named_in, objects_of, read_item_refusal, read_refusal
from hubspot_consumer.hubspot.outcomes import Delivered, Halt, Outcome, Refusal, Rejected, RetryLater
from hubspot_consumer.hubspot.requests import (
    HeldContacts,
    KnownContact,
    KnownContacts,
    Note,
    RemoteContact,
    Upsert,
    event_of_note,
)
from hubspot_consumer.hubspot.schema import CHOSEN
from schemas.contacts import ContactKey, contact_key

# Digits; int() raises for thousands of them.
LONGEST_NUMBER: Final = 20


class Traced(Protocol):
    """An input of a batch: its trace id is unique in its call."""

    @property
    def trace_id(self) -> str: ...

    @property
    def contact_key(self) -> ContactKey: ...


Input = TypeVar("Input", bound=Traced)


@dataclass
class WriteAnswer(Generic[Input]):
    """One outcome per trace id; `unclear` are inputs that must be asked again in smaller calls to learn theirs."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    unclear: list[Input] = field(default_factory=list)

    @classmethod
    def of_all(cls, inputs: Sequence[Input], outcome: Outcome) -> Self:
        """Return the answer that says the same of every input."""
        return cls(outcomes={one.trace_id: outcome for one in inputs})


def read_written(response: httpx.Response, inputs: Sequence[Input]) -> WriteAnswer[Input]:
    """Return what became of each of *inputs*."""
    if not response.is_success:
        refusal = read_refusal(response)
        if isinstance(refusal, Rejected) and len(inputs) > 1:
            # One bad input, or two that name one contact, can take the whole call down.
            unclear = [one for one in inputs if refusal.unwritable.isdisjoint(_properties(one))]
            return WriteAnswer({one.trace_id: refusal for one in inputs if one not in unclear}, unclear)
        return WriteAnswer.of_all(inputs, refusal)
    body = body_of(response)
    answer = WriteAnswer[Input]()
    errors = objects_of(body.get("errors"))
    for result in objects_of(body.get("results")):
        if (upsert := _asked(result, inputs)) and (contact_id := result.get("id")):
            answer.outcomes[upsert.trace_id] = Delivered(contact_id=str(contact_id), kept=_kept(upsert, result))
    for error in errors:
        for trace_id in _traces(error, inputs):
            answer.outcomes[trace_id] = read_item_refusal(error, response)
    unanswered = [upsert for upsert in inputs if upsert.trace_id not in answer.outcomes]
    if any(not _traces(error, inputs) for error in errors) and len(inputs) > 1:
        answer.unclear = unanswered
    else:
        # HubSpot can answer 2xx with fewer results than inputs: nothing was written for the others.
        for upsert in unanswered:
            answer.outcomes[upsert.trace_id] = RetryLater("HubSpot's answer leaves the input out")
    return answer


def read_notes(response: httpx.Response, notes: Sequence[Note]) -> WriteAnswer[Note]:
    """Return what became of each note; unclear are only those that were surely not written: a second copy stays."""
    answer = read_written(response, notes)
    if response.is_success:
        for note in answer.unclear:
            answer.outcomes[note.trace_id] = RetryLater("HubSpot's answer does not say which notes it refused")
        answer.unclear = []
    return answer


@dataclass(frozen=True)
class NotesOfContacts:
    """Ids of notes on the timelines of contacts; `more` has the contacts with further ones, and where they begin."""

    note_ids: list[str]
    more: list[tuple[str, str]]


def read_notes_of_contacts(response: httpx.Response) -> NotesOfContacts | Refusal:
    """Return a page of the notes of several contacts. One without notes is an error of its own, and none of ours."""
    if not response.is_success:
        return read_refusal(response)
    found = NotesOfContacts([], [])
    for result in objects_of(body_of(response).get("results")):
        found.note_ids.extend(str(to["toObjectId"]) for to in objects_of(result.get("to")) if to.get("toObjectId"))
        origin, after = result.get("from"), _next_page(result)
        if after is not None and isinstance(origin, dict):
            found.more.append((str(origin.get("id")), after))
    return found


def read_noted_events(response: httpx.Response, notes: int) -> set[str] | Refusal:
    """Return the ids of the events that a page of notes is about; notes that are archived by now are none."""
    if not response.is_success:
        return read_refusal(response)
    body = body_of(response)
    results = objects_of(body.get("results"))
    gone = {name for error in objects_of(body.get("errors")) for name in named_in(error, "ids")}
    if len(results) + len(gone) < notes:
        return RetryLater("HubSpot's answer leaves notes out")
    bodies = [result["properties"] for result in results if isinstance(result.get("properties"), dict)]
    events = [event_of_note(str(properties.get("hs_note_body") or "")) for properties in bodies]
    return {event for event in events if event is not None}


def read_allowed(response: httpx.Response) -> bool | Refusal:
    """Return whether a call's path exists and the portal's tier and the token's scopes allow it."""
    if response.is_success:
        return True
    refusal = read_refusal(response)
    if isinstance(refusal, Halt) and refusal.reason in ("scope_missing", "endpoint_not_found"):
        return False
    return refusal


def read_known_contacts(response: httpx.Response, keys: Sequence[ContactKey]) -> KnownContacts | Refusal:
    """Return what a batch read found of *keys*, and what it did not find."""
    found = read_remote_contacts(response, keys)
    if not isinstance(found, dict):
        return found
    return {key: _known(ContactKey(key), contact) if contact else None for key, contact in found.items()}


def read_remote_contacts(response: httpx.Response, keys: Sequence[ContactKey]) -> HeldContacts | Refusal:
    """Return the contacts that a batch read found of *keys*, each by all its emails, and those that it did not find."""
    if response.status_code == 404 and body_of(response).get("category") == "OBJECT_NOT_FOUND":
        # Elsewhere 207 says so. Any other 404 is the path's: to take it for new contacts could move them backwards.
        missing = {_key(email) for email in named_in(body_of(response), "ids")}
        return {key: None for key in keys if key in missing or len(keys) == 1}
    if not response.is_success:
        return read_refusal(response)
    body = body_of(response)
    held: HeldContacts = {}
    for error in objects_of(body.get("errors")):
        if error.get("category") == "OBJECT_NOT_FOUND":
            held |= {_key(email): None for email in named_in(error, "ids")}
    for result in objects_of(body.get("results")):
        properties = result.get("properties")
        if isinstance(properties, dict) and result.get("id"):
            emails = f"{properties.get('email') or ''};{properties.get('hs_additional_emails') or ''}"
            contact = RemoteContact(str(result["id"]), {name: str(value or "") for name, value in properties.items()})
            held |= {_key(email): contact for email in emails.split(";") if email.strip()}
    return held


def _known(key: ContactKey, contact: RemoteContact) -> KnownContact:
    """Return a contact with the sequence of *key*, if that key wrote it last, and 0 if not."""
    number = contact.properties.get("nerava_event_sequence") or "0"
    sequence = int(float(number)) if is_number(number) else 0
    written_by = _key(contact.properties.get("nerava_contact_key") or contact.properties.get("email") or "")
    return KnownContact(contact.contact_id, sequence if key == written_by else 0)


def _key(email: str) -> str:
    try:
        return contact_key(email)
    except ValueError:
        # Nothing that we would have asked for.
        return email


def read_send(response: httpx.Response, entries: int) -> Refusal | None:
    """Return None when all *entries* of the call were taken, or the only one was before."""
    errors = objects_of(body_of(response).get("errors")) if response.is_success else []
    if response.is_success and not errors:
        return None
    # Nobody has seen a call that was taken in part. If there is one, its uuids let all of it be sent again.
    refusal = read_item_refusal(errors[0], response) if errors else read_refusal(response)
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
        body = body_of(response)
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


@dataclass(frozen=True)
class Page:
    """A page of a list; `after` asks for the next one."""

    items: list[dict[str, Any]]
    after: str | None


def read_page(response: httpx.Response) -> Page | Refusal:
    """Return a page of a list."""
    if not response.is_success:
        return read_refusal(response)
    body = body_of(response)
    return Page(objects_of(body.get("results")), _next_page(body))


def _next_page(body: Mapping[str, Any]) -> str | None:
    paging = body.get("paging")
    following = paging.get("next") if isinstance(paging, dict) else None
    after = following.get("after") if isinstance(following, dict) else None
    return str(after) if after else None


def read_object(response: httpx.Response) -> dict[str, Any] | Refusal:
    """Return the object that was asked for; empty when the body is none."""
    return body_of(response) if response.is_success else read_refusal(response)


def read_created(response: httpx.Response) -> Refusal | None:
    """Return None when the thing is there: created now, or by somebody before us (409)."""
    return None if response.is_success or response.status_code == 409 else read_refusal(response)


def _properties(written: Traced) -> Collection[str]:
    return written.properties if isinstance(written, Upsert) else ()


def _kept(written: Traced, result: Mapping[str, Any]) -> frozenset[str]:
    held = result.get("properties")
    if not isinstance(written, Upsert) or not isinstance(held, dict):
        return frozenset()
    given = {name: value for name, value in written.properties.items() if name in CHOSEN and held.get(name) is not None}
    return frozenset(name for name, value in given.items() if str(held[name]).lower() != value.lower())


def _asked(result: Mapping[str, Any], inputs: Sequence[Input]) -> Input | None:
    # Results come in any order. The trace id is the answer to "which?"; the email is not, when it is a secondary one.
    trace_id = result.get("objectWriteTraceId")
    if trace_id is not None:
        return next((one for one in inputs if one.trace_id == trace_id), None)
    properties = result.get("properties")
    email = str(properties.get("email") or "").lower() if isinstance(properties, dict) else ""
    by_email = next((one for one in inputs if one.contact_key == email), None)
    return by_email or (inputs[0] if len(inputs) == 1 else None)


def _traces(error: Mapping[str, Any], inputs: Sequence[Traced]) -> list[str]:
    traces = named_in(error, "objectWriteTraceId")
    asked = [upsert.trace_id for upsert in inputs]
    return [trace for trace in asked if trace in traces] or (asked if len(asked) == 1 else [])


def _says_duplicate(detail: str) -> bool:
    return any(word in detail.lower() for word in ("duplicate", "already exists", "already been"))
