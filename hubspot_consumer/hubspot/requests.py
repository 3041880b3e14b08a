"""The inputs of requests to HubSpot: an upsert of a contact, and a timeline entry as a custom event or a note."""

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from html import escape
from typing import Final
from uuid import UUID

from hubspot_consumer.hubspot.schema import EMAIL, amount_of, card_of, event_name
from hubspot_consumer.kafka.records import Record
from schemas.contacts import ContactKey, contact_hash, contact_key
from schemas.times import utc_milliseconds

# Documented limits of one call.
MOST_UPSERTS = 100
MOST_TIMELINE_ENTRIES = 500
MOST_NOTES = 100
MOST_CONTACTS_OF_NOTES = 1_000
MOST_LISTED = 200

# HubSpot's id of the association from a note to a contact. 201 is the opposite direction: with it the note is on no
# timeline.
NOTE_TO_CONTACT: Final = 202
# The mark is plain text: HubSpot may remove markup.
_MARK: Final = "nerava event "
_MARKED: Final = re.compile(f"{_MARK}([0-9a-fA-F-]{{36}})")
_EVENT_ID: Final = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f-]{36})(?: |$)")
# A few more events than a restored database usually gives again.
REMEMBERED_IDS: Final = 8


@dataclass(frozen=True)
class Upsert:
    """Create or update one contact. `trace_id` is unique in its call: answers are matched by it, never by order.

    `records` are its source records, for tracing. `attempts` is the number of failed attempts before. `contact_id` is
    HubSpot's, for an update of that contact.
    """

    trace_id: str
    contact_key: ContactKey
    properties: Mapping[str, str]
    records: Sequence[Record] = ()
    attempts: int = 0
    contact_id: str | None = None

    def body(self, id_property: str = EMAIL) -> dict[str, object]:
        """Return the input of an upsert by *id_property*. HubSpot sets the property in a contact that it creates."""
        also = {} if id_property == EMAIL else {EMAIL: self.contact_key}
        return {
            "id": self.contact_key,
            "idProperty": id_property,
            "properties": {**also, **self.properties},
            "objectWriteTraceId": self.trace_id,
        }

    def creation(self, id_property: str = EMAIL) -> dict[str, object]:
        """Return the input of a create call, which HubSpot refuses if the contact exists."""
        properties = {**identity(self.contact_key, id_property), **self.properties}
        return {"properties": properties, "objectWriteTraceId": self.trace_id}

    def update(self) -> dict[str, object]:
        """Return the input of an update of the contact with HubSpot's id."""
        return {
            "id": self.contact_id,
            "properties": dict(self.properties),
            "objectWriteTraceId": self.trace_id,
        }


def identity(key: ContactKey, id_property: str) -> dict[str, str]:
    """Return the properties that identify a contact: its email, and *id_property* if that is another one."""
    return {EMAIL: key, id_property: key}


def listing(after: str, id_property: str) -> dict[str, object]:
    """Return a search for the contacts with a contact key whose HubSpot ids are above *after*, in order."""
    filters = [
        {"propertyName": "nerava_contact_key", "operator": "HAS_PROPERTY"},
        {"propertyName": "hs_object_id", "operator": "GT", "value": after},
    ]
    return {
        "filterGroups": [{"filters": filters}],
        "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
        "properties": [EMAIL, "nerava_contact_key", id_property],
        "limit": MOST_LISTED,
        "after": "0",
    }


@dataclass(frozen=True)
class TimelineEntry:
    """One event on a contact's timeline. HubSpot stores only the first entry of a `uuid`, so a repetition is harmless.

    `contact_id` is HubSpot's. Without it (a contact that could never be written) the email names the contact. `records`
    are its source records, for tracing.
    """

    uuid: str
    event_type: str
    contact_key: ContactKey
    contact_id: str | None
    occurred_at: datetime
    properties: Mapping[str, str]
    records: Sequence[Record] = ()

    def body(self, portal_id: int, known: Collection[str]) -> dict[str, object]:
        """Return the input of a call, with those amounts as people read them that are among the *known* properties.

        HubSpot rejects an event with a property that its definition lacks.
        """
        unknown = _amounts(tuple(self.properties)).difference(known)
        return {
            "eventName": f"pe{portal_id}_{event_name(self.event_type)}",
            **({"objectId": self.contact_id} if self.contact_id else {"email": self.contact_key}),
            "occurredAt": utc_milliseconds(self.occurred_at),
            "uuid": self.uuid,
            "properties": {name: value for name, value in self.properties.items() if name not in unknown},
        }


@lru_cache(maxsize=64)
def _amounts(names: tuple[str, ...]) -> frozenset[str]:
    # The entries of an event's type have the same few properties.
    return frozenset(name for name in map(amount_of, names) if name is not None)


@dataclass(frozen=True)
class Note:
    """An entry as a note, for portals without custom events. HubSpot stores every copy: see `event_of_note`.

    `trace_id` is unique in its call. The entry must have HubSpot's id of its contact, which the note is associated
    with.
    """

    trace_id: str
    entry: TimelineEntry

    @property
    def contact_key(self) -> ContactKey:
        return self.entry.contact_key

    @property
    def records(self) -> Sequence[Record]:
        return self.entry.records

    def body(self) -> dict[str, object]:
        entry = self.entry
        header, detail = map(escape, card_of(entry.event_type).filled(entry.properties))
        return {
            "properties": {
                "hs_timestamp": utc_milliseconds(entry.occurred_at),
                "hs_note_body": f"<b>{header}</b><br>{detail}<br>{_MARK}{escape(entry.uuid)}",
            },
            "associations": [
                {
                    "to": {"id": entry.contact_id},
                    "types": [{"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": NOTE_TO_CONTACT}],
                }
            ],
            "objectWriteTraceId": self.trace_id,
        }


def event_of_note(body: str) -> str | None:
    """Return the id of the event that a note's text contains; None for a note that a person wrote."""
    found = _MARKED.search(body)
    return found[1].lower() if found else None


def last_event_ids(key: ContactKey, ids: Mapping[int, int]) -> str:
    """Return the value of `nerava_last_event_id`: the last of a contact's event ids, by sequence, newest first.

    Each id has its sequence before it, and all have the hash of the contact key before them: a worker of an earlier
    version writes key and sequence alone, and a merge in HubSpot may take these of one contact and the ids of another.
    """
    newest = sorted(ids, reverse=True)[:REMEMBERED_IDS]
    return " ".join([contact_hash(key), *(f"{sequence}:{_as_uuid(ids[sequence])}" for sequence in newest)])


def _as_uuid(number: int) -> str:
    # As `UUID` writes it, in a third of the time.
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def read_event_ids(key: ContactKey, text: str) -> dict[int, int]:
    """Return the event ids of a `nerava_last_event_id` by sequence; none if they are of another contact key.

    What is no id, such as a person's text, is left out.
    """
    if not text.startswith(f"{contact_hash(key)} "):
        return {}
    ids = {}
    for sequence, event_id in _EVENT_ID.findall(text):
        with suppress(ValueError):
            ids[int(sequence)] = UUID(event_id).int
    return ids


@dataclass(frozen=True)
class KnownContact:
    """A remote contact: its id, the sequence of the event that was applied to it last, and the ids of its last events.

    `event_ids` are by sequence. They are empty for a contact that no worker of this version has written. `identity` has
    the value of HUBSPOT_ID_PROPERTY if the contact, which was found by its email, lacks it.
    """

    contact_id: str
    sequence: int
    event_ids: Mapping[int, int] = field(default_factory=dict)
    identity: Mapping[str, str] = field(default_factory=dict)

    @property
    def applied(self) -> int:
        """The sequence of the last event that was certainly applied: a person may have lowered `sequence`."""
        return max((self.sequence, *self.event_ids))


@dataclass(frozen=True)
class RemoteContact:
    """A remote contact with the requested properties; a property without a value is empty."""

    contact_id: str
    properties: Mapping[str, str]

    @property
    def emails(self) -> list[str]:
        """The emails of the contact as contact keys have them, the primary one first."""
        emails = f"{self.properties.get(EMAIL, '')};{self.properties.get('hs_additional_emails', '')}"
        return [as_key(email) for email in emails.split(";") if email.strip()]


def as_key(email: str) -> str:
    """Return an email of HubSpot's as a contact key has it, and what is none as it is."""
    try:
        return contact_key(email)
    except ValueError:
        # None of our requests contains such an email.
        return email


HeldContacts = dict[str, RemoteContact | None]
"""Contacts by contact key; None for one that HubSpot lacks. A contact that HubSpot's answer omits has no entry:
its state is unknown.
"""
KnownContacts = dict[str, KnownContact | None]
"""Contacts by contact key; None for one that HubSpot lacks. A contact that HubSpot's answer omits has no entry:
its state is unknown.
"""
