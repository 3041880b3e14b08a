"""Questions about timeline entries: where custom events are, what a repeated one does, and whether notes are found."""

from typing import Final
from uuid import uuid4

from hubspot_consumer.hubspot.bodies import name_of
from hubspot_consumer.hubspot.outcomes import Delivered, Halt, Rejected, RetryLater, is_not_found
from hubspot_consumer.hubspot.requests import Note, TimelineEntry
from hubspot_consumer.hubspot.results import (
    NotesOfContacts,
    read_noted_events,
    read_notes,
    read_notes_of_contacts,
    read_send,
)
from hubspot_consumer.hubspot.schema import event_name
from hubspot_consumer.hubspot.status_codes import read_refusal, succeeded
from hubspot_consumer.probe.answers import found_at, results, words
from hubspot_consumer.probe.contacts import NO_CONTACT
from hubspot_consumer.probe.question import Found, Question, as_expected, differs, not_told
from hubspot_consumer.probe.subject import MAIN, Subject

EVENT_TYPE: Final = "driver_signed_up"
# A note may be found a little after its creation.
LOOKS: Final = 3
LOOK_AGAIN_S: Final = 1.0


async def _event_definitions(subject: Subject) -> Found:
    if (why := _not_needed(subject, "custom_events")) is not None:
        return not_told(why)
    path = subject.paths.event_definitions
    return found_at(path, await subject.ask(path, None, {"limit": "1"}))


async def _event_sending(subject: Subject) -> Found:
    if (why := _not_needed(subject, "custom_events")) is not None:
        return not_told(why)
    # A call without inputs shows whether its path exists, and sends nothing.
    path = subject.paths.send_events
    return found_at(path, await subject.ask(path, {"inputs": []}))


async def _duplicate_event(subject: Subject) -> Found:
    if (found := await _not_sendable(subject)) is not None:
        return found
    body = {"inputs": [_entry(subject).body(subject.portal_id, known=())]}
    if (refused := read_send(await subject.ask(subject.paths.send_events, body), 1)) is not None:
        return not_told(refused)
    again = await subject.ask(subject.paths.send_events, body)
    match read_send(again, 1):
        case None:
            return as_expected(words(again))
        case Rejected(detail=detail):
            return differs(f"not read as a repetition: {detail}")
        case refusal:
            return not_told(refusal)


async def _not_sendable(subject: Subject) -> Found | None:
    """Return why no event can be sent for a test contact; None if one can."""
    if (why := _not_needed(subject, "custom_events")) is not None:
        return not_told(why)
    if MAIN not in subject.ids:
        return not_told(NO_CONTACT)
    name = f"pe{subject.portal_id}_{event_name(EVENT_TYPE)}"
    defined = await subject.ask(f"{subject.paths.event_definitions}/{name}")
    if succeeded(defined):
        return None
    refusal = read_refusal(defined)
    # Where definitions are at all, 400 and 404 are for one that does not exist.
    if isinstance(refusal, Rejected) or is_not_found(refusal):
        return not_told(f"not asked: no definitions ({refusal.detail}); `provision --apply` creates them")
    return not_told(refusal)


async def _notes(subject: Subject) -> Found:
    if (why := _not_needed(subject, "notes")) is not None:
        return not_told(why)
    if MAIN not in subject.ids:
        return not_told(NO_CONTACT)
    note = Note("probe-note", _entry(subject))
    answer = await subject.ask(f"{subject.paths.notes}/batch/create", {"inputs": [note.body()]})
    subject.notes.update(filter(None, (name_of(one.get("id")) for one in results(answer))))
    match read_notes(answer, [note]).outcomes[note.trace_id]:
        case Rejected(detail=detail):
            return differs(f"refused: {detail}")
        case RetryLater() | Halt() as refusal:
            return not_told(refusal)
        case Delivered(contact_id=note_id):
            return await _looked_up(subject, note, note_id)


async def _looked_up(subject: Subject, note: Note, note_id: str) -> Found:
    for look in range(LOOKS):
        if look:
            await subject.clock.sleep(LOOK_AGAIN_S)
        answer = await subject.ask(subject.paths.notes_of_contacts, {"inputs": [{"id": subject.ids[MAIN]}]})
        found = read_notes_of_contacts(answer, 1)
        if not isinstance(found, NotesOfContacts):
            return not_told(found)
        if note_id in found.note_ids:
            break
    else:
        return differs("the look-up of the contact's notes does not find it")
    body = {"properties": ["hs_note_body"], "inputs": [{"id": note_id}]}
    events = read_noted_events(await subject.ask(f"{subject.paths.notes}/batch/read", body), 1)
    if not isinstance(events, set):
        return not_told(events)
    if note.entry.uuid not in events:
        return differs("its text has no event id any more")
    return as_expected("found by its contact, and by the event id in its text")


def _not_needed(subject: Subject, form: str) -> str | None:
    if subject.timeline in ("auto", form):
        return None
    return f"not asked: HUBSPOT_TIMELINE is {subject.timeline}"


def _entry(subject: Subject) -> TimelineEntry:
    """Return an entry with an id that HubSpot has never seen: it remembers ids for a year."""
    return TimelineEntry(str(uuid4()), EVENT_TYPE, MAIN, subject.ids[MAIN], subject.clock.now(), {})


QUESTIONS: Final = (
    Question(
        "event_definitions",
        "event definitions are at the documented path of the version",
        "list them",
        "workers find another path by themselves, for a call more at each start; if there is none, they leave notes",
        _event_definitions,
        "HUBSPOT_API_VERSION, HUBSPOT_TIMELINE",
    ),
    Question(
        "event_sending",
        "custom events are sent to the documented path of the version",
        "send a call without events",
        "workers find another path by themselves; if there is none, choose notes",
        _event_sending,
        "HUBSPOT_API_VERSION, HUBSPOT_TIMELINE",
    ),
    Question(
        "duplicate_event",
        "a custom event that is sent again is accepted, or refused as a duplicate",
        f"send {event_name(EVENT_TYPE)} for a test contact, twice with one id, if it is defined",
        "an event that is sent again becomes a dead letter, although its entry is there: `discard` it, or choose notes",
        _duplicate_event,
        "HUBSPOT_TIMELINE",
    ),
    Question(
        "notes",
        "a note can be created on a contact, and is found there",
        "leave a note on a test contact, look it up, and read it",
        "a repeated event could leave a second note, or no note can be left: choose custom events, or none",
        _notes,
        "HUBSPOT_TIMELINE",
    ),
)
