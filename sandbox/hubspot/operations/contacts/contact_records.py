"""Calls about one contact, and the format in which all calls return a contact."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from sandbox.hubspot.http.answers import Answer, Refused, invalid, not_found, refuse
from sandbox.hubspot.http.calls import Call, as_object, is_number
from sandbox.hubspot.operations.association_specs import read_associations
from sandbox.hubspot.operations.batches import BadInput, as_record
from sandbox.hubspot.operations.contacts.conflicts import conflict
from sandbox.hubspot.records.contacts import Contact, Identity
from sandbox.hubspot.records.portal import Portal
from sandbox.hubspot.schema import emails
from sandbox.hubspot.schema.required_properties import breach
from sandbox.hubspot.schema.validation import Failure, has_microseconds, has_milliseconds, refuse_failures

ALWAYS_SHOWN: Final = ("createdate", "hs_object_id", "lastmodifieddate")
SHOWN_UNASKED: Final = ("email", "firstname", "lastname")
NEEDED_TO_CREATE: Final = frozenset({"email", "firstname", "lastname"})


def create(portal: Portal, call: Call) -> Answer:
    body = call.object()
    properties = checked_properties(portal, body.get("properties"))
    try:
        check_creatable(properties)
        read_associations(body)
    except BadInput as problem:
        raise problem.refusal() from None
    _check_rules(portal, call, properties, None)
    check_unclaimed(portal, properties, None)
    contact = portal.contacts.create(properties)
    return Answer(201, record(portal, contact, contact.properties))


def read(portal: Portal, call: Call) -> Answer:
    archived = call.argument("archived") == "true"
    contact = _named(portal, call, archived=archived)
    return Answer(200, record(portal, contact, shown(portal, contact, call.listed("properties"))))


def update(portal: Portal, call: Call) -> Answer:
    contact = _named(portal, call)
    properties = checked_properties(portal, call.object().get("properties"))
    if not properties:
        raise invalid("No properties found to update, please provide at least one.", context={"properties": ["{}"]})
    _check_rules(portal, call, properties, contact)
    check_unclaimed(portal, properties, contact)
    portal.contacts.update(contact, properties)
    return Answer(200, record(portal, contact, changed(contact, properties)))


def archive(portal: Portal, call: Call) -> Answer:
    # Archiving twice is no error.
    if contact := portal.contacts.by_id(call.parameters["id"]):
        portal.contacts.archive(contact)
    return Answer(204)


def checked_properties(portal: Portal, values: Any) -> dict[str, str]:
    """Return the properties as HubSpot stores them. Raises Refused if one is not accepted."""
    properties, failures = checked_values(portal, values)
    if failures:
        raise refuse_failures(failures, portal.portal_id)
    return properties


def checked_values(portal: Portal, values: Any) -> tuple[dict[str, str], list[Failure]]:
    """Return the properties as HubSpot stores them, and the failures, by the portal's settings."""
    given = as_object(values)
    if portal.settings.unknown_property == "ignore":
        given = {name: value for name, value in given.items() if name in portal.schema.properties}
    properties, failures = portal.schema.checked(given)
    if portal.settings.wrong_email == "accept":
        properties |= {one.name: emails.normalised(one.value) for one in failures if one.error == "INVALID_EMAIL"}
        failures = [one for one in failures if one.error != "INVALID_EMAIL"]
    if portal.settings.microseconds == "refuse":
        failures += portal.schema.with_times(given, has_microseconds)
    if portal.settings.milliseconds == "refuse":
        failures += portal.schema.with_times(given, has_milliseconds)
    if portal.settings.white_space == "refuse":
        failures += portal.schema.with_white_space(given)
    email = properties.get("email", "")
    if portal.settings.deleted_email == "refuse" and portal.contacts.is_deleted(email):
        failures.append(Failure("email", email, "INVALID_EMAIL", "email has been GDPR blacklisted"))
    return properties, failures


def check_creatable(properties: Mapping[str, str]) -> None:
    """Raises BadInput for a new contact without a name and an email."""
    if not any(properties.get(name) for name in NEEDED_TO_CREATE):
        raise BadInput("A contact needs at least one of the properties email, firstname, lastname.")


def check_unclaimed(portal: Portal, properties: Mapping[str, str], contact: Contact | None) -> None:
    """Raises Refused if another contact than *contact* has an identity of *properties*."""
    for identity in portal.contacts.identities(properties):
        holder = portal.contacts.by_identity(identity)
        if holder is not None and holder is not contact:
            raise conflict(portal, holder, identity, contact).refusal()


def identity_of(portal: Portal, id_property: str, value: str, operation: str) -> Identity:
    """Return the identity of a property and value. Raises Refused for a property whose values are not unique."""
    if id_property != "email" and id_property not in portal.schema.unique:
        raise non_unique(id_property, operation)
    return id_property, emails.normalised(value) if id_property == "email" else value


def non_unique(id_property: str, operation: str) -> Refused:
    return invalid(f"Unable to perform {operation} by non-unique 0-1 property {id_property}")


def record(portal: Portal, contact: Contact, properties: Mapping[str, str | None], **more: Any) -> dict[str, Any]:
    """Return a contact in HubSpot's format, with only these *properties*."""
    return as_record(portal, contact, "0-1", properties, **more)


def shown(portal: Portal, contact: Contact, asked: Iterable[str]) -> dict[str, str | None]:
    """Return the requested properties: undefined ones are absent, those without a value are null."""
    return shown_of(portal, contact.properties, asked)


def shown_of(portal: Portal, held: Mapping[str, str], asked: Iterable[str]) -> dict[str, str | None]:
    """Return the same as `shown`, for a contact whose properties are *held*."""
    names = [*ALWAYS_SHOWN, *(list(asked) or SHOWN_UNASKED)]
    return {name: held.get(name) or None for name in names if name in portal.schema.properties}


def changed(contact: Contact, properties: Mapping[str, str]) -> dict[str, str]:
    """Return the properties in the answer to an update: the new values of the written ones, and a few of HubSpot's."""
    held = contact.properties
    return {**{name: held.get(name, "") for name in properties}, "email": contact.email} | {
        name: held[name] for name in ALWAYS_SHOWN
    }


def _check_rules(portal: Portal, call: Call, properties: Mapping[str, str], contact: Contact | None) -> None:
    if problem := breach(portal, call, properties, contact):
        raise problem.refusal()


def _named(portal: Portal, call: Call, *, archived: bool = False) -> Contact:
    named, id_property = call.parameters["id"], call.argument("idProperty")
    if id_property is None:
        contact = portal.contacts.by_id(named, archived=archived)
    else:
        contact = portal.contacts.by_identity(identity_of(portal, id_property, named, "read"))
    if contact is None and id_property is None and not is_number(named):
        # The two spaces are in HubSpot's message too.
        raise refuse(
            404, "Object not found.  objectId are usually numeric.", "OBJECT_NOT_FOUND", context={"id": [named]}
        )
    if contact is None:
        raise not_found()
    return contact
