"""What we ask of HubSpot: one upsert of a contact, one timeline entry."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from hubspot_consumer.hubspot.schema import event_name
from schemas.contacts import ContactKey

# Documented limits of one call.
MOST_UPSERTS = 100
MOST_TIMELINE_ENTRIES = 500


@dataclass(frozen=True)
class Upsert:
    """Create or update one contact. `trace_id` is unique in its call: answers are matched by it, never by order."""

    trace_id: str
    contact_key: ContactKey
    properties: Mapping[str, str]

    def body(self) -> dict[str, object]:
        return {
            "id": self.contact_key,
            "idProperty": "email",
            "properties": dict(self.properties),
            "objectWriteTraceId": self.trace_id,
        }

    def creation(self) -> dict[str, object]:
        """Return the input of a call that creates, and refuses a contact that exists."""
        return {"properties": {"email": self.contact_key, **self.properties}, "objectWriteTraceId": self.trace_id}


@dataclass(frozen=True)
class TimelineEntry:
    """One event on a contact's timeline. HubSpot keeps the first of a `uuid`, so sending it again is harmless.

    `contact_id` is HubSpot's; without it (a contact that could never be written) the email has to do.
    """

    uuid: str
    event_type: str
    contact_key: ContactKey
    contact_id: str | None
    occurred_at: datetime
    properties: Mapping[str, str]

    def body(self, portal_id: int) -> dict[str, object]:
        return {
            "eventName": f"pe{portal_id}_{event_name(self.event_type)}",
            **({"objectId": self.contact_id} if self.contact_id else {"email": self.contact_key}),
            "occurredAt": self.occurred_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "uuid": self.uuid,
            "properties": dict(self.properties),
        }


@dataclass(frozen=True)
class KnownContact:
    """A contact as HubSpot holds it: its id, and the sequence of the last event that was applied to it."""

    contact_id: str
    sequence: int


KnownContacts = dict[str, KnownContact | None]
"""By lower-cased email; None for one that HubSpot lacks. What its answer leaves out is left out: nobody knows."""
