"""The destination of events: HubSpot, or the log in a dry run."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from hubspot_consumer.hubspot.client import WaitForSlot
from hubspot_consumer.hubspot.outcomes import Delivered, Halt, Refusal
from hubspot_consumer.hubspot.requests import KnownContacts, Note, TimelineEntry, Upsert
from hubspot_consumer.hubspot.results import NotesOfContacts, WriteAnswer
from runtime.logs import log
from schemas.contacts import ContactKey, contact_hash


class Slot(AbstractContextManager[object], Protocol):
    """The right to make one call: a context that lasts as long as the call, or is given back unused."""

    def give_back(self) -> None:
        """Return the right, because no call was made."""


class Destination(Protocol):
    async def slot(self) -> Slot:
        """Wait until one more call may be made, and return its slot."""

    def spent(self) -> Halt | None:
        """Return why no call may be made for the rest of the day, or None."""

    async def create(self, inputs: Sequence[Upsert]) -> WriteAnswer[Upsert]:
        """Create up to 100 contacts, in a slot; one that exists is not written: its outcome is rejected or unclear."""

    async def upsert(self, inputs: Sequence[Upsert]) -> WriteAnswer[Upsert]:
        """Create or update up to 100 contacts, in a slot."""

    async def update(self, inputs: Sequence[Upsert]) -> WriteAnswer[Upsert]:
        """Update up to 100 contacts by HubSpot's ids, in a slot."""

    async def move(self, contact_id: str, key: ContactKey) -> Refusal | None:
        """Give a contact another email, in a slot."""

    async def known_contacts(self, keys: Sequence[ContactKey], slot: WaitForSlot) -> KnownContacts | Refusal | None:
        """Return id and last applied sequence of up to 100 contacts, each call in its own *slot*; None in a dry run."""

    async def send(self, entries: Sequence[TimelineEntry]) -> Refusal | None:
        """Send up to 500 timeline entries as custom events; needs no slot."""

    async def note(self, notes: Sequence[Note]) -> WriteAnswer[Note]:
        """Send up to 100 timeline entries as notes, in a slot."""

    async def notes_of_contacts(self, contacts: Sequence[tuple[str, str | None]]) -> NotesOfContacts | Refusal:
        """Return the ids of the notes of up to 1,000 contacts, each its id and a paging cursor; needs no slot."""

    async def noted_events(self, note_ids: Sequence[str]) -> set[str] | Refusal:
        """Return the ids of the events that up to 100 notes name, in a slot."""


class Turn:
    """The slots of one piece of work: the *first* was waited for already, each further one is waited for when asked.

    So no slot is waited for while another is kept unused. Where the quota leaves a worker one call at a time, for its
    small share or for other apps' calls, that wait would never end.
    """

    def __init__(self, destination: Destination, first: Slot) -> None:
        self._destination = destination
        self._first: Slot | None = first

    async def slot(self) -> Slot:
        """Return the first slot, or wait for another."""
        first, self._first = self._first, None
        return first or await self._destination.slot()

    def give_back(self) -> None:
        """Give back the first slot if no call was made in it."""
        if self._first is not None:
            self._first.give_back()
            self._first = None


class _FreeSlot(nullcontext[None]):
    def give_back(self) -> None:
        """Do nothing: a dry run uses no quota."""


class DryRun:
    """Logs what would be written, and makes no call."""

    async def slot(self) -> Slot:
        return _FreeSlot()

    def spent(self) -> None:
        return None

    async def create(self, inputs: Sequence[Upsert]) -> WriteAnswer[Upsert]:
        return await self.upsert(inputs)

    async def upsert(self, inputs: Sequence[Upsert]) -> WriteAnswer[Upsert]:
        for upsert in inputs:
            log.info(
                "dry_run.upsert",
                contact=contact_hash(upsert.contact_key),
                records=[record.place for record in upsert.records],
                properties=sorted(upsert.properties),
            )
        return WriteAnswer.of_all(inputs, Delivered("dry-run"))

    async def update(self, inputs: Sequence[Upsert]) -> WriteAnswer[Upsert]:
        return await self.upsert(inputs)

    async def move(self, contact_id: str, key: ContactKey) -> None:
        log.info("dry_run.move", contact=contact_hash(key), contact_id=contact_id)

    async def known_contacts(self, keys: Sequence[ContactKey], slot: WaitForSlot) -> None:  # noqa: ARG002 - a dry run makes no call
        return None

    async def send(self, entries: Sequence[TimelineEntry]) -> None:
        log.info("dry_run.timeline", entries=len(entries), event_ids=[entry.uuid for entry in entries])

    async def note(self, notes: Sequence[Note]) -> WriteAnswer[Note]:
        log.info("dry_run.timeline", entries=len(notes), event_ids=[note.entry.uuid for note in notes])
        return WriteAnswer.of_all(notes, Delivered("dry-run"))

    async def notes_of_contacts(self, contacts: Sequence[tuple[str, str | None]]) -> NotesOfContacts:  # noqa: ARG002 - a dry run makes no call
        return NotesOfContacts([], [])

    async def noted_events(self, note_ids: Sequence[str]) -> set[str]:  # noqa: ARG002 - a dry run makes no call
        return set()
