"""The timeline: the event occurrences that were accepted, each once."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sandbox.hubspot.contacts import Contact


class Occurrence(NamedTuple):
    """One event that happened. Without a contact id it belongs to nobody yet."""

    uuid: str
    event_name: str
    contact_id: str | None
    email: str | None
    occurred_at: str
    accepted_at: str
    properties: Mapping[str, str]

    def shown(self) -> dict[str, object]:
        return {
            "uuid": self.uuid,
            "eventName": self.event_name,
            "objectId": self.contact_id,
            "email": self.email,
            "occurredAt": self.occurred_at,
            "acceptedAt": self.accepted_at,
            "properties": self.properties,
        }


@dataclass
class Timeline:
    occurrences: list[Occurrence] = field(default_factory=list)
    duplicates: int = 0
    _uuids: set[tuple[str, str]] = field(default_factory=set)
    _by_subject: defaultdict[str, list[Occurrence]] = field(default_factory=lambda: defaultdict(list))

    def holds(self, event_name: str, uuid: str) -> bool:
        """Return whether an occurrence of that event type came with that uuid before."""
        return (event_name, uuid) in self._uuids

    def add(self, occurrence: Occurrence) -> None:
        """Add an occurrence, or count it as a duplicate where one of its type came with its uuid before."""
        if self.holds(occurrence.event_name, occurrence.uuid):
            self.duplicates += 1
            return
        self._uuids.add((occurrence.event_name, occurrence.uuid))
        self.occurrences.append(occurrence)
        self._by_subject[occurrence.contact_id or occurrence.email or ""].append(occurrence)

    def of(self, contact: Contact | None, email: str) -> list[Occurrence]:
        """Return what is on a contact's timeline, or what came for an email that no contact had, in order."""
        return list(self._by_subject.get(contact.id if contact else email, ()))
