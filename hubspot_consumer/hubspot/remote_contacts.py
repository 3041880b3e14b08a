"""Remote contacts: what HubSpot's answers to reads and searches say of contacts, and by which key each was found.

A contact is found by its emails, or by the property of HUBSPOT_ID_PROPERTY, whose value is the contact key.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hubspot_consumer.hubspot.bodies import body_of, name_of, named_in, number_in, objects_of, text_of
from hubspot_consumer.hubspot.outcomes import Refusal, RetryLater
from hubspot_consumer.hubspot.requests import (
    HeldContacts,
    KnownContact,
    KnownContacts,
    RemoteContact,
    as_key,
    read_event_ids,
)
from hubspot_consumer.hubspot.schema import EMAIL, LAST_EVENT_ID, SEQUENCE
from hubspot_consumer.hubspot.status_codes import Answer, object_answered
from schemas.contacts import ContactKey


def read_remote_contacts(
    response: Answer, keys: Sequence[ContactKey], id_property: str = EMAIL
) -> HeldContacts | Refusal:
    """Return the contacts that a batch read by *id_property* found among *keys*; None for those not found.

    A contact that was read by email is there by each of its emails.
    """
    if isinstance(response, RetryLater):
        return response
    body = body_of(response)
    if response.status_code == 404 and body.get("category") == "OBJECT_NOT_FOUND":
        # Usually HubSpot's answer is a 207. Any other 404 concerns the path: to treat these contacts as new could
        # overwrite them with older values.
        missing = {as_key(name) for name in named_in(body, "ids")}
        return {key: None for key in keys if key in missing or len(keys) == 1}
    answered = object_answered(response)
    if not isinstance(answered, dict):
        return answered
    found: HeldContacts = {}
    for error in objects_of(answered.get("errors")):
        if error.get("category") == "OBJECT_NOT_FOUND":
            found |= {as_key(name): None for name in named_in(error, "ids")}
    for contact in _contacts(answered):
        found |= dict.fromkeys(_keys(contact, id_property), contact)
    return found


def as_known(found: HeldContacts, id_property: str = EMAIL) -> KnownContacts:
    """Return ids and sequences of remote contacts."""
    return {key: _known(ContactKey(key), contact, id_property) if contact else None for key, contact in found.items()}


@dataclass(frozen=True)
class ListedContacts:
    """A page of a search, in HubSpot's order; `total` is the number of contacts that match, on all pages."""

    contacts: list[RemoteContact]
    total: int


def read_listed_contacts(response: Answer) -> ListedContacts | Refusal:
    """Return the contacts that a search found."""
    body = object_answered(response)
    if not isinstance(body, dict):
        return body
    if not isinstance(body.get("results"), list):
        # Without the check, a page that can't be read would be the last one.
        return RetryLater("HubSpot's answer has no results")
    contacts = list(_contacts(body))
    return ListedContacts(contacts, max(len(contacts), int(number_in(text_of(body.get("total"))) or 0)))


def _contacts(body: dict[str, Any]) -> Iterator[RemoteContact]:
    for result in objects_of(body.get("results")):
        properties, contact_id = result.get("properties"), name_of(result.get("id"))
        if isinstance(properties, dict) and contact_id:
            yield RemoteContact(contact_id, {name: text_of(value) for name, value in properties.items()})


def _keys(contact: RemoteContact, id_property: str) -> list[str]:
    """Return the contact keys by which *contact* can be found."""
    if id_property == EMAIL:
        return contact.emails
    return [as_key(key) for key in filter(None, [contact.properties.get(id_property)])]


def _known(key: ContactKey, contact: RemoteContact, id_property: str) -> KnownContact:
    """Return a contact with its sequence and ids if *key* wrote it last, and with 0 and none otherwise."""
    identity = {id_property: key} if lacks_id(contact, key, id_property) else {}
    written_by = as_key(contact.properties.get("nerava_contact_key") or contact.properties.get(EMAIL) or "")
    if key != written_by:
        return KnownContact(contact.contact_id, 0, identity=identity)
    sequence = int(number_in(contact.properties.get(SEQUENCE, "")) or 0)
    event_ids = read_event_ids(key, contact.properties.get(LAST_EVENT_ID, ""))
    return KnownContact(contact.contact_id, sequence, event_ids, identity)


def lacks_id(contact: RemoteContact, key: ContactKey, id_property: str) -> bool:
    """Return whether *key* is the contact's primary email, and not the value of *id_property* as it should be.

    One contact has several keys after a merge. The property follows the primary email, so that they do not take turns.
    """
    if id_property == EMAIL or contact.properties.get(id_property) == key:
        return False
    return as_key(contact.properties.get(EMAIL, "")) == key
