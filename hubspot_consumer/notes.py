"""Notes that are there already: HubSpot keeps every copy of a note, so what may have been left before is looked for."""

from collections.abc import Collection
from typing import Final

from hubspot_consumer.batches import calls_of
from hubspot_consumer.destination import Destination
from hubspot_consumer.hubspot.requests import MOST_NOTES
from hubspot_consumer.outcomes import Halt, Refusal, Rejected, RetryLater


class Notes:
    """Reads the notes of contacts, each call in a slot."""

    def __init__(self, destination: Destination) -> None:
        self._destination: Final = destination

    async def events_of(self, contact_ids: Collection[str]) -> set[str] | RetryLater | Halt:
        """Return the ids of the events that have a note on one of these contacts."""
        note_ids: list[str] = []
        asked: list[tuple[str, str | None]] = [(contact_id, None) for contact_id in sorted(contact_ids)]
        while asked:
            with await self._destination.slot():
                page = await self._destination.notes_of_contacts(asked[:MOST_NOTES])
            if isinstance(page, RetryLater | Halt | Rejected):
                return _not_now(page)
            note_ids += page.note_ids
            asked = asked[MOST_NOTES:] + list(page.more)
        events: set[str] = set()
        for together in calls_of(note_ids, MOST_NOTES):
            with await self._destination.slot():
                found = await self._destination.noted_events(together)
            if isinstance(found, RetryLater | Halt | Rejected):
                return _not_now(found)
            events |= found
        return events


def _not_now(refusal: Refusal) -> RetryLater | Halt:
    # No event is at fault when reading is refused, and to go on without knowing could double notes.
    return RetryLater(refusal.detail) if isinstance(refusal, Rejected) else refusal
