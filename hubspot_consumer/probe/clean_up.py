"""Cleaning up: the deletion of the test contacts and their notes, also of those that a killed probe left."""

from collections.abc import Collection
from typing import Final

from hubspot_consumer.hubspot.outcomes import Halt, Refusal, Rejected, RetryLater
from hubspot_consumer.hubspot.requests import RemoteContact
from hubspot_consumer.hubspot.results import NotesOfContacts, read_notes_of_contacts
from hubspot_consumer.hubspot.status_codes import read_refusal, succeeded
from hubspot_consumer.probe.subject import EMAILS, Subject

# Attempts while HubSpot does not answer, and the wait between them.
ATTEMPTS: Final = 3
TRY_AGAIN_S: Final = 2.0


async def clean_up(subject: Subject) -> Refusal | None:
    """Delete whatever test contacts and notes the portal has; return None if they are gone."""
    held = await subject.look()
    refusal: Refusal | None = None
    for attempt in range(ATTEMPTS):
        refusal = await delete(subject, held) if isinstance(held, list) else held
        if isinstance(refusal, Rejected | Halt):
            return refusal
        if refusal is None and isinstance(held, list) and not ids_of_test_contacts(held):
            return None
        if attempt or refusal is not None:
            await subject.clock.sleep(TRY_AGAIN_S)
        held = await subject.look()
    if refusal is not None:
        return refusal
    if not isinstance(held, list):
        return held
    return RetryLater("HubSpot still has test contacts after their deletion") if ids_of_test_contacts(held) else None


async def delete(subject: Subject, held: Collection[RemoteContact]) -> Refusal | None:
    """Delete the test contacts among those *held*, and their notes first: later nothing leads to these."""
    contact_ids = ids_of_test_contacts(held)
    if contact_ids:
        body = {"inputs": [{"id": one} for one in contact_ids]}
        notes = read_notes_of_contacts(await subject.ask(subject.paths.notes_of_contacts, body), len(contact_ids))
        if isinstance(notes, RetryLater):
            return notes
        # Where notes can't be looked up, those that this probe created are deleted all the same.
        subject.notes.update(notes.note_ids if isinstance(notes, NotesOfContacts) else ())
    for kind, ids in ((subject.paths.notes, sorted(subject.notes)), (subject.paths.contacts, contact_ids)):
        if ids and not succeeded(answer := await subject.archive(kind, ids)):
            return read_refusal(answer)
    subject.notes.clear()
    return None


def ids_of_test_contacts(held: Collection[RemoteContact]) -> list[str]:
    """Return the ids of the test contacts. A contact of a person may have one of their emails as an additional one.

    One without an email was found by its value of HUBSPOT_ID_PROPERTY, which only a probe writes.
    """
    return sorted({contact.contact_id for contact in held if contact.properties.get("email", "") in ("", *EMAILS)})
