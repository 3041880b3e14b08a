"""Associations: the notes of contacts. No other call of the API leads from a contact to its notes."""

from typing import Any, Final

from sandbox.hubspot.http.answers import Answer, not_found
from sandbox.hubspot.http.calls import Call, as_text, is_number, required_text
from sandbox.hubspot.operations.batches import complete, read_inputs
from sandbox.hubspot.records.contacts import Contact
from sandbox.hubspot.records.notes import Note
from sandbox.hubspot.records.portal import Portal

MOST_INPUTS: Final = 1_000
PAGE: Final = 500
NO_ASSOCIATIONS: Final = "crm.associations.NO_ASSOCIATIONS_FOUND"
# A note is associated with type 202; 201 is the inverse type, from the contact to the note.
_TYPES: Final = ({"category": "HUBSPOT_DEFINED", "typeId": 201, "label": None},)


def list_notes(portal: Portal, call: Call) -> Answer:
    """Return a page of one contact's notes, which is empty if the contact has none."""
    contact = portal.contacts.by_id(call.parameters["id"])
    if contact is None:
        raise not_found()
    notes, paging = _page(portal, contact, call.argument("after") or "", min(call.number("limit", PAGE), PAGE))
    return Answer(200, {"results": [_associated(call, note) for note in notes], **paging})


def read_notes(portal: Portal, call: Call) -> Answer:
    """Return a page of notes of each contact, from an input's `after` on; a contact without notes is an error."""
    inputs = read_inputs(call, MOST_INPUTS)
    if inputs is None:
        return complete(portal, [])
    results: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for named, after in {required_text(item, "id"): as_text(item.get("after")) for item in inputs}.items():
        contact = portal.contacts.by_id(named)
        page, paging = _page(portal, contact, after, PAGE) if contact else ([], {})
        if page:
            results.append({"from": {"id": named}, "to": [_associated(call, note) for note in page], **paging})
        else:
            errors.append(_no_associations(named))
    return complete(portal, results, errors)


def _page(portal: Portal, contact: Contact, after: str, limit: int) -> tuple[list[Note], dict[str, Any]]:
    """Return at most *limit* notes after the note with the id *after*, oldest first, and the `paging` of the rest."""
    start = int(after) if is_number(after) else 0
    if portal.settings.note_associations == "not_found":
        return [], {}
    # Ids ascend in the order of creation, so a page that begins after an id does not shift when notes are archived.
    notes = [note for note in portal.timeline.notes_of(contact) if int(note.id) > start]
    paging: dict[str, Any] = {}
    if len(notes) > limit:
        last = notes[limit - 1].id
        link = f"https://api.hubapi.com/crm/v4/objects/contacts/{contact.id}/associations/notes?after={last}"
        paging = {"paging": {"next": {"after": last, "link": link}}}
    return notes[:limit], paging


def _associated(call: Call, note: Note) -> dict[str, Any]:
    # Version 4 returns this id as a number, although every other id is a string. In the dated versions it is one too.
    return {"toObjectId": int(note.id) if "v4" in call.segments else note.id, "associationTypes": list(_TYPES)}


def _no_associations(named: str) -> dict[str, Any]:
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "subCategory": NO_ASSOCIATIONS,
        "message": f"No note is associated with contact {named}.",
        "context": {"fromObjectId": [named], "fromObjectType": ["contact"], "toObjectType": ["note"]},
    }
