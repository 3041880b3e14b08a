"""Notes: activities with a text, on the timelines of the contacts that they are associated with."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from sandbox.hubspot.clock import PortalClock
from sandbox.hubspot.records.contacts import APP_ID

_FIRST_ID: Final = 9001


@dataclass(slots=True, eq=False)
class Note:
    """One note. HubSpot keeps a note without contacts, but shows it on no timeline."""

    id: str
    properties: dict[str, str]
    contact_ids: list[str]
    created_at: str
    updated_at: str
    archived: bool = False

    def shown(self, contact_id: str | None, email: str | None) -> dict[str, object]:
        """Return the note as an entry of a contact's timeline. Notes have no uuid, so duplicates are not dropped."""
        return {
            "kind": "note",
            "id": self.id,
            "uuid": None,
            "objectId": contact_id,
            "email": email,
            "timestamp": self.properties["hs_timestamp"],
            "body": self.properties.get("hs_note_body", ""),
            "acceptedAt": self.created_at,
        }


class Notes:
    """The portal's notes by id. Creation is not idempotent: a replay creates a second note."""

    def __init__(self, clock: PortalClock) -> None:
        self._clock = clock
        self._ids = count(_FIRST_ID)
        self._by_id: dict[str, Note] = {}
        self._archived = 0

    def __len__(self) -> int:
        return len(self._by_id) - self._archived

    def by_id(self, note_id: str, *, archived: bool = False) -> Note | None:
        note = self._by_id.get(note_id)
        return note if note and note.archived == archived else None

    def create(self, properties: Mapping[str, str], contact_ids: list[str]) -> Note:
        now = self._clock.timestamp()
        note_id = str(next(self._ids))
        note = Note(note_id, _system_properties(note_id, now) | dict(properties), contact_ids, now, now)
        self._by_id[note_id] = note
        return note

    def archive(self, note: Note) -> None:
        self._archived += not note.archived
        note.archived = True
        note.updated_at = self._clock.timestamp()


def _system_properties(note_id: str, now: str) -> dict[str, Any]:
    return {
        "hs_createdate": now,
        "hs_lastmodifieddate": now,
        "hs_object_id": note_id,
        "hs_object_source": "INTEGRATION",
        "hs_object_source_id": str(APP_ID),
        "hs_object_source_label": "INTEGRATION",
    }
