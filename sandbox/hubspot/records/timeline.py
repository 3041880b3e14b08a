"""The timeline: the accepted event occurrences, each once, and the notes."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sandbox.hubspot.records.contacts import Contact
from sandbox.hubspot.records.notes import Note


class Occurrence(NamedTuple):
    """One occurrence of an event. Without a contact id, it belongs to no contact."""

    uuid: str
    event_name: str
    contact_id: str | None
    email: str | None
    occurred_at: str
    accepted_at: str
    properties: Mapping[str, str]

    def shown(self) -> dict[str, object]:
        return {
            "kind": "event",
            "uuid": self.uuid,
            "eventName": self.event_name,
            "objectId": self.contact_id,
            "email": self.email,
            "occurredAt": self.occurred_at,
            "acceptedAt": self.accepted_at,
            "properties": self.properties,
        }


Entry = Occurrence | Note


@dataclass
class Timeline:
    """Entries in the order of acceptance, of the portal and of each contact; `occurrences` counts the events."""

    occurrences: int = 0
    duplicates: int = 0
    _has_notes: bool = False
    _entries: list[Entry] = field(default_factory=list)
    _uuids: set[tuple[str, str]] = field(default_factory=set)
    _by_subject: defaultdict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))

    def holds(self, event_name: str, uuid: str) -> bool:
        """Return whether an occurrence of this event type with this uuid was accepted before."""
        return (event_name, uuid) in self._uuids

    def add(self, occurrence: Occurrence) -> None:
        """Add an occurrence, or count it as a duplicate if one of its type with its uuid was accepted before."""
        if self.holds(occurrence.event_name, occurrence.uuid):
            self.duplicates += 1
            return
        self._uuids.add((occurrence.event_name, occurrence.uuid))
        self.occurrences += 1
        self._entries.append(occurrence)
        self._by_subject[occurrence.contact_id or occurrence.email or ""].append(occurrence)

    def add_note(self, note: Note) -> None:
        """Add a note to the timelines of its contacts."""
        self._has_notes = True
        self._entries.append(note)
        for contact_id in note.contact_ids:
            self._by_subject[contact_id].append(note)

    def join(self, former_ids: set[str], contact_id: str) -> None:
        """Move the entries of *former_ids* to the timeline of the contact that they were merged into."""
        joined: list[Entry] = []
        for index, entry in enumerate(self._entries):
            if isinstance(entry, Note):
                if former_ids.isdisjoint(entry.contact_ids):
                    continue
                kept = [contact_id if former in former_ids else former for former in entry.contact_ids]
                entry.contact_ids = list(dict.fromkeys(kept))
                joined.append(entry)
            elif entry.contact_id in former_ids:
                self._entries[index] = moved = entry._replace(contact_id=contact_id)
                joined.append(moved)
        for former in former_ids:
            self._by_subject.pop(former, None)
        self._by_subject[contact_id] = joined

    def entries(self) -> list[Entry]:
        """Return all entries except archived notes."""
        return _kept(self._entries) if self._has_notes else list(self._entries)

    def of(self, contact: Contact | None, email: str) -> list[Entry]:
        """Return the entries of a contact, or, without one, those that were sent for an unknown email, in order."""
        return _kept(self._by_subject.get(contact.id if contact else email, ()))

    def occurrences_of(self, contact: Contact) -> list[Occurrence]:
        """Return a contact's events in the order of acceptance."""
        return [entry for entry in self.of(contact, "") if isinstance(entry, Occurrence)]

    def notes_of(self, contact: Contact) -> list[Note]:
        """Return a contact's notes, oldest first."""
        return [entry for entry in self.of(contact, "") if isinstance(entry, Note)]


def _kept(entries: "list[Entry] | tuple[()]") -> list[Entry]:
    return [entry for entry in entries if not (isinstance(entry, Note) and entry.archived)]
