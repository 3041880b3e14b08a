"""Calls about many contacts: create, read, update, upsert, archive."""

from functools import partial
from typing import Any

from sandbox.hubspot.http.answers import Answer, invalid
from sandbox.hubspot.http.calls import Call, as_object, as_text, as_texts, repeated, required_text
from sandbox.hubspot.operations.association_specs import read_associations
from sandbox.hubspot.operations.batches import (
    BadInput,
    Batch,
    InvalidInput,
    check_no_duplicates,
    complete,
    duplicates,
    not_found_error,
    read_inputs,
    traced,
    write,
)
from sandbox.hubspot.operations.contacts.conflicts import Conflict, conflict
from sandbox.hubspot.operations.contacts.contact_records import (
    changed,
    check_creatable,
    checked_values,
    identity_of,
    non_unique,
    record,
    shown,
)
from sandbox.hubspot.records.contacts import Contact, Identity
from sandbox.hubspot.records.portal import Portal
from sandbox.hubspot.schema import emails
from sandbox.hubspot.schema.required_properties import breach

MOST_HISTORIES = 50


def create(portal: Portal, call: Call) -> Answer:
    inputs = read_inputs(call)
    if inputs is None:
        return complete(portal, [])
    return write(portal, call, inputs, _plan_create, success=201)


def read(portal: Portal, call: Call) -> Answer:
    inputs = read_inputs(call)
    if inputs is None:
        return complete(portal, [])
    body = call.object()
    if body.get("propertiesWithHistory") and len(inputs) > MOST_HISTORIES:
        raise invalid(
            f"The maximum number of inputs supported in a batch request for property histories is {MOST_HISTORIES}. "
            "Please reduce the number of items and try again"
        )
    asked = as_texts(body.get("properties"))
    found: dict[str, Contact] = {}
    unknown: list[str] = []
    for named in [required_text(item, "id") for item in inputs]:
        contact = _read_one(portal, named, as_text(body.get("idProperty")))
        if contact:
            found[contact.id] = contact
        else:
            unknown.append(named)
    results = [record(portal, contact, shown(portal, contact, asked)) for contact in found.values()]
    tells = unknown and portal.settings.unknown_ids == "name"
    return complete(portal, results, [not_found_error(unknown)] if tells else ())


def update(portal: Portal, call: Call) -> Answer:
    """Update by record id or unique property: email is refused as idProperty, and ignored as a plain id."""
    inputs = read_inputs(call)
    if inputs is None:
        return complete(portal, [])
    check_no_duplicates(portal, [required_text(item, "id") for item in inputs])
    return write(portal, call, inputs, _plan_update, success=200)


def upsert(portal: Portal, call: Call) -> Answer:
    inputs = read_inputs(call)
    if inputs is None:
        return complete(portal, [])
    check_no_duplicates(portal, [emails.normalised(required_text(item, "id")) for item in inputs])
    _check_different_contacts(portal, inputs)
    return write(portal, call, inputs, _plan_upsert, success=200)


def archive(portal: Portal, call: Call) -> Answer:
    for item in read_inputs(call) or []:
        if contact := portal.contacts.by_id(required_text(item, "id")):
            portal.contacts.archive(contact)
    return Answer(204)


def _plan_create(batch: Batch, item: dict[str, Any], trace: str | None) -> None:
    properties = _checked(batch, item)
    check_creatable(properties)
    read_associations(item)
    _claim(batch, properties, None)
    batch.writes.append(partial(_apply, batch.portal, None, properties, trace))


def _plan_update(batch: Batch, item: dict[str, Any], trace: str | None) -> None:
    id_property = as_text(item.get("idProperty"))
    if id_property and id_property not in batch.portal.schema.unique:
        raise non_unique(id_property, "update")
    named = as_text(item.get("id"))
    portal = batch.portal
    contact = portal.contacts.by_identity((id_property, named)) if id_property else portal.contacts.by_id(named)
    properties = _checked(batch, item)
    if contact:
        if not id_property and contact.id != named:
            # The contact was merged into another one: HubSpot returns neither a result nor an error for the input.
            return
        _claim(batch, properties, contact)
        batch.writes.append(partial(_apply, portal, contact, properties, trace))
    elif id_property or "@" not in named:
        batch.unknown.append((named, trace))


def _plan_upsert(batch: Batch, item: dict[str, Any], trace: str | None) -> None:
    contact = _upserted(batch.portal, item)
    id_property, named = as_text(item.get("idProperty")), as_text(item.get("id"))
    given = as_object(item.get("properties"))
    if contact is None:
        if not id_property:
            batch.unknown.append((named, trace))
            return
        if not named:
            raise BadInput(f"The id of an upsert by {id_property} can not be empty.")
        if _is_refused_as_deleted(batch.portal, identity_of(batch.portal, id_property, named, "upsert")):
            raise BadInput("The contact was deleted, and must be restored before it can be written.")
        given = _of_new_contact(batch.portal, id_property, named, given)
    properties = _checked(batch, {"properties": given})
    if contact is None:
        check_creatable(properties)
    elif id_property == "email":
        properties = _whole(batch.portal, contact, properties)
    _claim(batch, properties, contact)
    identity = identity_of(batch.portal, id_property, named, "upsert") if id_property else None
    batch.writes.append(partial(_apply_upsert, batch.portal, contact, identity, properties, trace))


def _of_new_contact(portal: Portal, id_property: str, named: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return the properties of a contact that an upsert has to create.

    The id becomes one of them, unless the input's properties have another value.
    """
    if id_property == "email":
        return {id_property: named} | given
    email = as_text(given.get("email"))
    if portal.settings.upsert_of_taken_email == "leave_out_email" and portal.contacts.by_email(email):
        given = {name: value for name, value in given.items() if name != "email"}
    return {id_property: named} | given if portal.settings.upserted_id == "set" else given


def _whole(portal: Portal, contact: Contact, properties: dict[str, str]) -> dict[str, str]:
    """Return what an upsert by email writes if it leaves out values of the contact. Raises BadInput if refused."""
    if portal.settings.partial_upsert_by_email == "keep":
        return properties
    left_out = [name for name, value in contact.properties.items() if value and name not in properties]
    blanked = {name: "" for name in left_out if name != "email" and not portal.schema.is_read_only(name)}
    if blanked and portal.settings.partial_upsert_by_email == "refuse":
        raise BadInput("Partial upserts are not supported when using email as the idProperty.")
    return blanked | properties


def _apply_upsert(
    portal: Portal, contact: Contact | None, identity: Identity | None, properties: dict[str, str], trace: str | None
) -> dict[str, Any]:
    if contact is None and identity is not None:
        # An earlier input of the call can have created the contact, if the portal accepts an id twice.
        contact = portal.contacts.by_identity(identity)
    return _apply(portal, contact, properties, trace, upsert=True, new=contact is None)


def _apply(
    portal: Portal,
    contact: Contact | None,
    properties: dict[str, str],
    trace: str | None,
    *,
    upsert: bool = False,
    **more: Any,
) -> dict[str, Any]:
    more |= traced(portal, trace, upsert=upsert)
    if contact is None:
        contact = portal.contacts.create(properties, trace)
        return record(portal, contact, contact.properties, **more)
    if contact.archived:
        portal.contacts.restore(contact)
    portal.contacts.update(contact, properties, trace)
    return record(portal, contact, changed(contact, properties), **more)


def _claim(batch: Batch, properties: dict[str, str], contact: Contact | None) -> None:
    """Reserve a write's identities for one input. Raises BadInput if one is taken or a required property missing."""
    if problem := breach(batch.portal, batch.call, properties, contact):
        raise problem
    contacts = batch.portal.contacts
    for identity in contacts.identities(properties):
        holder = contacts.by_identity(identity)
        if holder is not None and holder is not contact:
            raise conflict(batch.portal, holder, identity, contact)
        if identity in batch.claims and batch.portal.settings.duplicate_ids == "refuse":
            raise Conflict("Contact already exists")
        batch.claims.add(identity)


def _checked(batch: Batch, item: dict[str, Any]) -> dict[str, str]:
    properties, failures = checked_values(batch.portal, item.get("properties"))
    if failures:
        raise InvalidInput(failures, batch.portal.portal_id)
    return properties


def _check_different_contacts(portal: Portal, inputs: list[dict[str, Any]]) -> None:
    if "accept" in (portal.settings.same_contact_twice, portal.settings.duplicate_ids):
        return
    contacts = [contact.id for item in inputs if (contact := _upserted(portal, item))]
    if again := repeated(contacts):
        raise duplicates(again)


def _upserted(portal: Portal, item: dict[str, Any]) -> Contact | None:
    named, id_property = as_text(item.get("id")), as_text(item.get("idProperty"))
    if not id_property:
        return portal.contacts.by_id(named)
    identity = identity_of(portal, id_property, named, "upsert")
    contact = portal.contacts.by_identity(identity)
    if contact is None and portal.settings.upsert_of_archived == "restore":
        return portal.contacts.archived_by_identity(identity)
    if contact is None and portal.settings.upsert_of_taken_email == "write_holder":
        return portal.contacts.by_email(as_text(as_object(item.get("properties")).get("email")))
    return contact


def _is_refused_as_deleted(portal: Portal, identity: Identity) -> bool:
    refuses = portal.settings.upsert_of_archived == "refuse"
    return refuses and portal.contacts.archived_by_identity(identity) is not None


def _read_one(portal: Portal, named: str, id_property: str) -> Contact | None:
    if not id_property:
        return portal.contacts.by_id(named)
    contact = portal.contacts.by_identity(identity_of(portal, id_property, named, "read"))
    if contact and id_property == "email" and portal.settings.additional_emails == "not_found":
        return contact if contact.email == emails.normalised(named) else None
    return contact
