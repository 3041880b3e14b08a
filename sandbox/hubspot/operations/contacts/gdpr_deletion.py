"""GDPR deletion: permanent removal of a contact. The API does not prevent a caller from creating it again."""

from sandbox.hubspot.http.answers import Answer, invalid, not_found
from sandbox.hubspot.http.calls import Call, as_text, not_set
from sandbox.hubspot.records.portal import Portal
from sandbox.hubspot.schema import emails


def delete(portal: Portal, call: Call) -> Answer:
    body = call.object()
    if not body.get("objectId"):
        raise not_set(["objectId"])
    named, id_property = as_text(body["objectId"]), as_text(body.get("idProperty"))
    contacts = portal.contacts
    if id_property == "email":
        email = emails.normalised(named)
        contact = contacts.by_email(email) or contacts.archived_by_identity(("email", email))
        # The email is recorded as deleted even if no contact has it.
        contacts.suppress(email)
    elif id_property:
        raise invalid(f"Unable to perform gdpr-delete by property {id_property}")
    else:
        contact = contacts.by_id(named) or contacts.by_id(named, archived=True)
        if contact is None:
            raise not_found()
    if contact:
        for note in portal.timeline.notes_of(contact):
            if note.contact_ids == [contact.id]:
                portal.notes.archive(note)
        contacts.delete(contact)
    return Answer(204)
