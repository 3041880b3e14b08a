"""Calls about notes: create, read, archive."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

from sandbox.hubspot.http.answers import Answer, not_found
from sandbox.hubspot.http.auth import CONTACTS_WRITE, missing_scopes
from sandbox.hubspot.http.calls import Call, as_object, as_texts, required_text
from sandbox.hubspot.operations.association_specs import Association, read_associations
from sandbox.hubspot.operations.batches import (
    BadInput,
    Batch,
    InvalidInput,
    as_record,
    complete,
    not_found_error,
    read_inputs,
    traced,
    write,
)
from sandbox.hubspot.records.notes import Note
from sandbox.hubspot.records.portal import Portal
from sandbox.hubspot.schema.note_properties import NOTE_PROPERTIES
from sandbox.hubspot.schema.properties import checked

NOTE_TO_CONTACT: Final = ("HUBSPOT_DEFINED", "202")
# The inverse type: HubSpot accepts it on a note, but no contact shows such a note.
CONTACT_TO_NOTE: Final = ("HUBSPOT_DEFINED", "201")
ALWAYS_SHOWN: Final = ("hs_createdate", "hs_lastmodifieddate", "hs_object_id")


def create(portal: Portal, call: Call) -> Answer:
    check_allowed(portal)
    try:
        properties, contact_ids = _checked(portal, call.object())
    except BadInput as problem:
        raise problem.refusal() from None
    return Answer(201, _apply(portal, properties, contact_ids, None))


def create_batch(portal: Portal, call: Call) -> Answer:
    check_allowed(portal)
    inputs = read_inputs(call)
    if inputs is None:
        return complete(portal, [])
    return write(portal, call, inputs, _plan, success=201)


def read(portal: Portal, call: Call) -> Answer:
    note = portal.notes.by_id(call.parameters["id"], archived=call.argument("archived") == "true")
    if note is None:
        raise not_found()
    return Answer(200, _record(portal, note, _shown(note, call.listed("properties"))))


def read_batch(portal: Portal, call: Call) -> Answer:
    check_allowed(portal)
    inputs = read_inputs(call)
    if inputs is None:
        return complete(portal, [])
    asked = as_texts(call.object().get("properties"))
    ids = dict.fromkeys(required_text(item, "id") for item in inputs)
    found = {note_id: note for note_id in ids if (note := portal.notes.by_id(note_id))}
    unknown = [note_id for note_id in ids if note_id not in found]
    results = [_record(portal, note, _shown(note, asked)) for note in found.values()]
    return complete(portal, results, [not_found_error(unknown, "NOTE")] if unknown else ())


def archive(portal: Portal, call: Call) -> Answer:
    # Archiving twice is no error.
    if note := portal.notes.by_id(call.parameters["id"]):
        portal.notes.archive(note)
    return Answer(204)


def archive_batch(portal: Portal, call: Call) -> Answer:
    check_allowed(portal)
    for item in read_inputs(call) or []:
        if note := portal.notes.by_id(required_text(item, "id")):
            portal.notes.archive(note)
    return Answer(204)


def check_allowed(portal: Portal) -> None:
    """Raises Refused with 403 if the token of the portal may not use notes."""
    if not portal.settings.notes:
        raise missing_scopes((CONTACTS_WRITE,))


def _plan(batch: Batch, item: dict[str, Any], trace: str | None) -> None:
    properties, contact_ids = _checked(batch.portal, item)
    batch.writes.append(partial(_apply, batch.portal, properties, contact_ids, trace))


def _apply(portal: Portal, properties: dict[str, str], contact_ids: list[str], trace: str | None) -> dict[str, Any]:
    note = portal.notes.create(properties, contact_ids)
    portal.timeline.add_note(note)
    return _record(portal, note, note.properties, **traced(portal, trace))


def _checked(portal: Portal, item: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Return a note's properties as HubSpot stores them, and the ids of the contacts that show it. Raises BadInput."""
    properties, failures = checked(NOTE_PROPERTIES, as_object(item.get("properties")))
    if failures:
        raise InvalidInput(failures, portal.portal_id)
    if not properties.get("hs_timestamp"):
        raise BadInput(
            "Error creating NOTE. Some required properties were not set.", context={"properties": ["hs_timestamp"]}
        )
    return properties, _contact_ids(portal, read_associations(item))


def _contact_ids(portal: Portal, associations: Iterable[Association]) -> list[str]:
    contact_ids: dict[str, None] = {}
    for to_id, *stated in associations:
        contact = portal.contacts.by_id(to_id)
        if contact is None or tuple(stated) not in (NOTE_TO_CONTACT, CONTACT_TO_NOTE):
            raise _invalid_association(to_id)
        if tuple(stated) == NOTE_TO_CONTACT:
            contact_ids[contact.id] = None
    return list(contact_ids)


def _invalid_association(named: str) -> BadInput:
    error = {"message": f"CONTACT={named} is not valid", "code": "INVALID_ASSOCIATION", "context": {"id": [named]}}
    return BadInput("one or more associations are not valid", errors=[error])


def _record(portal: Portal, note: Note, properties: Mapping[str, str | None], **more: Any) -> dict[str, Any]:
    return as_record(portal, note, "0-46", properties, **more)


def _shown(note: Note, asked: Iterable[str]) -> dict[str, str | None]:
    """Return the requested properties: undefined ones are absent, those without a value are null."""
    names = [*ALWAYS_SHOWN, *asked]
    return {name: note.properties.get(name) or None for name in names if name in NOTE_PROPERTIES}
