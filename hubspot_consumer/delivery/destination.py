"""Where events are delivered: HubSpot, or nowhere in a dry run."""

from collections.abc import Sequence
from contextlib import nullcontext
from types import TracebackType
from typing import Protocol

from hubspot_consumer.hubspot.outcomes import Delivered, Halt, Refusal
from hubspot_consumer.hubspot.requests import KnownContacts, Note, TimelineEntry, Upsert
from hubspot_consumer.hubspot.responses import NotesOfContacts, WriteAnswer
from runtime.logs import logger
from schemas.contacts import ContactKey, contact_hash

log = logger()


class Slot(Protocol):
    """The right to make one call: a context for as long as the call takes, or given back unused."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def give_back(self) -> None: ...


class Destination(Protocol):
    async def slot(self) -> Slot:
        """Return when one more call may be made."""

    def spent(self) -> Halt | None:
        """Return why no call may be made for the rest of the day, if that is so."""

    async def create(self, inputs: Sequence[Upsert]) -> WriteAnswer[Upsert]:
        """Create up to 100 contacts, in a slot; one that exists is not written, and is rejected or unclear."""

    async def upsert(self, inputs: Sequence[Upsert]) -> WriteAnswer[Upsert]:
        """Create or update up to 100 contacts, in a slot."""

    async def move(self, contact_id: str, key: ContactKey) -> Refusal | None:
        """Give a contact another email, in a slot."""

    async def known_contacts(self, keys: Sequence[ContactKey]) -> KnownContacts | Refusal | None:
        """Return what is held of up to 100 contacts, in a slot; None where nobody can tell."""

    async def send(self, entries: Sequence[TimelineEntry]) -> Refusal | None:
        """Leave up to 500 timeline entries; needs no slot."""

    async def note(self, notes: Sequence[Note]) -> WriteAnswer[Note]:
        """Leave up to 100 timeline entries as notes, in a slot."""

    async def notes_of_contacts(self, contacts: Sequence[tuple[str, str | None]]) -> NotesOfContacts | Refusal:
        """Return which notes are on up to 100 contacts, by their ids and from a place on, in a slot."""

    async def noted_events(self, note_ids: Sequence[str]) -> set[str] | Refusal:
        """Return which events up to 100 notes are about, in a slot."""


class _FreeSlot(nullcontext[None]):
    def give_back(self) -> None:
        """Nothing was taken."""


class DryRun:
    """Logs what would be written and calls nothing."""

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

    async def move(self, contact_id: str, key: ContactKey) -> None:
        log.info("dry_run.move", contact=contact_hash(key), contact_id=contact_id)

    async def known_contacts(self, keys: Sequence[ContactKey]) -> None:  # noqa: ARG002 - nobody is asked
        return None

    async def send(self, entries: Sequence[TimelineEntry]) -> None:
        log.info("dry_run.timeline", entries=len(entries), event_ids=[entry.uuid for entry in entries])

    async def note(self, notes: Sequence[Note]) -> WriteAnswer[Note]:
        log.info("dry_run.timeline", entries=len(notes), event_ids=[note.entry.uuid for note in notes])
        return WriteAnswer.of_all(notes, Delivered("dry-run"))

    async def notes_of_contacts(self, contacts: Sequence[tuple[str, str | None]]) -> NotesOfContacts:  # noqa: ARG002 - nobody is asked
        return NotesOfContacts([], [])

    async def noted_events(self, note_ids: Sequence[str]) -> set[str]:  # noqa: ARG002 - nobody is asked
        return set()
