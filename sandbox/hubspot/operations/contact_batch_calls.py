"""Calls about many contacts: create, read, update, upsert, archive."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from sandbox.hubspot.http.answers import Answer, Refused, invalid, refuse
from sandbox.hubspot.http.calls import Call, as_object, as_text, repeated
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
from sandbox.hubspot.operations.contact_records import (
    already_exists,
    changed,
    check_creatable,
    identity_of,
    non_unique,
    record,
    shown,
)
from sandbox.hubspot.records.contacts import Contact
from sandbox.hubspot.records.portal import Portal
from sandbox.hubspot.schema import emails
from sandbox.hubspot.schema.required_properties import breach

MOST_HISTORIES = 50


class Conflict(BadInput):
    """An input with an identity of another contact, or of an earlier input of the call."""

    def __init__(self, message: str, context: Mapping[str, list[str]] | None = None) -> None:
        super().__init__(message, "CONFLICT", context=context)

    def refusal(self) -> Refused:
        # The contact's id is only in the message, not in a context as in a 207.
        return refuse(409, self.message, self.category)


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
    asked = [as_text(name) for name in body.get("properties") or []]
    found: dict[str, Contact] = {}
    unknown: list[str] = []
    for item in inputs:
        named = as_text(item.get("id"))
        contact = _read_one(portal, named, as_text(body.get("idProperty")))
        if contact:
            found[contact.id] = contact
        else:
            unknown.append(named)
    results = [record(portal, contact, shown(portal, contact, asked)) for contact in found.values()]
    return complete(portal, results, [not_found_error(unknown)] if unknown else ())


def update(portal: Portal, call: Call) -> Answer:
    """Update by record id or unique property: email is refused as idProperty, and ignored as a plain id."""
    inputs = read_inputs(call)
    if inputs is None:
        return complete(portal, [])
    check_no_duplicates([as_text(item.get("id")) for item in inputs])
    return write(portal, call, inputs, _plan_update, success=200)


def upsert(portal: Portal, call: Call) -> Answer:
    inputs = read_inputs(call)
    if inputs is None:
        return complete(portal, [])
    check_no_duplicates([emails.normalised(as_text(item.get("id"))) for item in inputs])
    _check_different_contacts(portal, inputs)
    return write(portal, call, inputs, _plan_upsert, success=200)


def archive(portal: Portal, call: Call) -> Answer:
    for item in read_inputs(call) or []:
        if contact := portal.contacts.by_id(as_text(item.get("id"))):
            portal.contacts.archive(contact)
    return Answer(204)


def _plan_create(batch: Batch, item: dict[str, Any], trace: str | None) -> None:
    properties = _checked(batch, item)
    check_creatable(properties)
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
    named = {}
    if contact is None:
        if not item.get("idProperty"):
            batch.unknown.append((as_text(item.get("id")), trace))
            return
        # The id becomes a property of the new contact, unless the input's properties have another value.
        named = {item["idProperty"]: as_text(item.get("id"))}
    properties = _checked(batch, {"properties": named | as_object(item.get("properties"))})
    _claim(batch, properties, contact)
    batch.writes.append(partial(_apply, batch.portal, contact, properties, trace, new=contact is None))


def _apply(
    portal: Portal, contact: Contact | None, properties: dict[str, str], trace: str | None, **more: Any
) -> dict[str, Any]:
    more |= traced(trace)
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
            raise Conflict(already_exists(holder), {"existingId": [holder.id]})
        if identity in batch.claims:
            raise Conflict("Contact already exists")
        batch.claims.add(identity)


def _checked(batch: Batch, item: dict[str, Any]) -> dict[str, str]:
    properties, failures = batch.portal.schema.checked(as_object(item.get("properties")))
    if failures:
        raise InvalidInput(failures, batch.portal.portal_id)
    return properties


def _check_different_contacts(portal: Portal, inputs: list[dict[str, Any]]) -> None:
    if portal.settings.same_contact_twice == "accept":
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
    return contact


def _read_one(portal: Portal, named: str, id_property: str) -> Contact | None:
    if not id_property:
        return portal.contacts.by_id(named)
    return portal.contacts.by_identity(identity_of(portal, id_property, named, "read"))
