"""Associations: the notes of contacts. No other call of the API leads from a contact to its notes."""

from typing import Any, Final

from sandbox.hubspot.http.answers import Answer, invalid, not_found
from sandbox.hubspot.http.calls import Call, as_object, as_text
from sandbox.hubspot.operations.batches import complete
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
    page, paging = _page(portal, contact, call.argument("after"), min(call.number("limit", PAGE), PAGE))
    return Answer(200, {"results": page, **paging})


def read_notes(portal: Portal, call: Call) -> Answer:
    """Return a page of notes of each contact, from an input's `after` on; a contact without notes is an error."""
    body = call.json()
    inputs = body.get("inputs") if isinstance(body, dict) else None
    if not isinstance(inputs, list):
        return complete(portal, [])
    if len(inputs) > MOST_INPUTS:
        raise invalid(f"The maximum number of inputs supported in a batch request is {MOST_INPUTS}.")
    results: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for named, after in {as_text(item.get("id")): item.get("after") for item in map(as_object, inputs)}.items():
        contact = portal.contacts.by_id(named)
        page, paging = _page(portal, contact, after, PAGE) if contact else ([], {})
        if page:
            results.append({"from": {"id": named}, "to": page, **paging})
        else:
            errors.append(_no_associations(named))
    return complete(portal, results, errors)


def _page(portal: Portal, contact: Contact, after: Any, limit: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return at most *limit* notes after the note with the id *after*, oldest first, and the `paging` of the rest."""
    start = int(after) if after is not None and as_text(after).isdigit() else 0
    # Ids ascend in the order of creation, so a page that begins after an id does not shift when notes are archived.
    notes = [note for note in portal.timeline.notes_of(contact) if int(note.id) > start]
    paging: dict[str, Any] = {}
    if len(notes) > limit:
        last = notes[limit - 1].id
        link = f"https://api.hubapi.com/crm/v4/objects/contacts/{contact.id}/associations/notes?after={last}"
        paging = {"paging": {"next": {"after": last, "link": link}}}
    return [_associated(note) for note in notes[:limit]], paging


def _associated(note: Note) -> dict[str, Any]:
    # HubSpot returns this id as a number, although every other id is a string.
    return {"toObjectId": int(note.id), "associationTypes": list(_TYPES)}


def _no_associations(named: str) -> dict[str, Any]:
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "subCategory": NO_ASSOCIATIONS,
        "message": f"No note is associated with contact {named}.",
        "context": {"fromObjectId": [named], "fromObjectType": ["contact"], "toObjectType": ["note"]},
    }
