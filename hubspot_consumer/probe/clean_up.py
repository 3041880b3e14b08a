"""Cleaning up: the deletion of the test contacts and their notes, also of those that a killed probe left."""

from typing import Final

from hubspot_consumer.hubspot.outcomes import Refusal, RetryLater
from hubspot_consumer.hubspot.requests import HeldContacts
from hubspot_consumer.hubspot.results import NotesOfContacts, read_notes_of_contacts
from hubspot_consumer.hubspot.status_codes import read_refusal, succeeded
from hubspot_consumer.probe.subject import EMAILS, Subject

# Attempts while HubSpot does not answer, and the wait between them.
ATTEMPTS: Final = 3
TRY_AGAIN_S: Final = 2.0


async def clean_up(subject: Subject) -> Refusal | None:
    """Delete whatever test contacts and notes the portal has; return None if they are gone."""
    refusal: Refusal | None = None
    for attempt in range(ATTEMPTS):
        if attempt:
            await subject.clock.sleep(TRY_AGAIN_S)
        refusal = await _cleaned(subject)
        if not isinstance(refusal, RetryLater):
            break
    return refusal


async def _cleaned(subject: Subject) -> Refusal | None:
    held = await subject.look()
    if not isinstance(held, dict):
        return held
    if (refusal := await delete(subject, held)) is not None or not ids_of_test_contacts(held):
        return refusal
    held = await subject.look()
    if not isinstance(held, dict):
        return held
    return RetryLater("HubSpot still has test contacts after their deletion") if ids_of_test_contacts(held) else None


async def delete(subject: Subject, held: HeldContacts) -> Refusal | None:
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


def ids_of_test_contacts(held: HeldContacts) -> list[str]:
    """Return the ids of the test contacts. A contact of a person may have one of their emails as an additional one."""
    return sorted(
        {contact.contact_id for contact in held.values() if contact and contact.properties.get("email") in EMAILS}
    )
