"""Conflicts: the refusals of a write with an identity of another contact. HubSpot words them in five ways.

A sixth is invented.
"""

from collections.abc import Mapping
from typing import Final, assert_never

from sandbox.hubspot.http.answers import Refused, error, refuse
from sandbox.hubspot.operations.batches import BadInput
from sandbox.hubspot.records.contacts import Contact, Identity
from sandbox.hubspot.records.portal import Portal
from sandbox.hubspot.schema.validation import Failure, failures_message

_NEW: Final = "a new contact"


class Conflict(BadInput):
    """An input with an identity of another contact, or of an earlier input of the call."""

    def __init__(self, message: str, context: Mapping[str, list[str]] | None = None) -> None:
        super().__init__(message, "CONFLICT", context=context)

    def refusal(self) -> Refused:
        # The contact's id is only in the message, not in a context as in a 207.
        return refuse(409, self.message, self.category)


class UniqueValueConflict(BadInput):
    def __init__(self, message: str) -> None:
        super().__init__(message, "UNIQUE_VALUE_CONFLICT")

    def refusal(self) -> Refused:
        # Alone, this answer has an errorType in place of a category.
        return Refused(error(400, self.message, errorType=self.category))


class ContactAlreadyExists(BadInput):
    """The conflict as HubSpot answers it since 2024, with what the old API of contacts told of the contact."""

    def __init__(self, holder: Contact, email: str) -> None:
        super().__init__(already_exists(holder), "OBJECT_ALREADY_EXISTS")
        self._holder = holder
        self._email = email

    def refusal(self) -> Refused:
        told = {"message": f"A contact with email {self._email} already exists. Existing ID: {self._holder.id}"}
        return refuse(
            409,
            self.message,
            self.category,
            error="CONTACT_EXISTS",
            identityProfile={"vid": int(self._holder.id)},
            errors=[told | {"in": "email"}],
        )


def conflict(portal: Portal, holder: Contact, identity: Identity, contact: Contact | None) -> BadInput:
    """Return the error of a write to *contact*, or to a new one, whose *identity* the *holder* has."""
    name, value = identity
    match portal.settings.conflict:
        case "contact_exists":
            return Conflict(already_exists(holder), {"existingId": [holder.id]})
        case "already_has_value":
            return BadInput(_already_has(portal, holder, identity, contact))
        case "conflicting_unique_value":
            words = f"{holder.id} already has that value."
            failure = Failure(name, value, "CONFLICTING_UNIQUE_VALUE", words)
            return BadInput(failures_message([failure], portal.portal_id))
        case "unique_value_conflict":
            return UniqueValueConflict(_already_has(portal, holder, identity, contact))
        case "object_already_exists":
            return ContactAlreadyExists(holder, value)
        case "other_words":
            return BadInput(f"The value of the property {name} is taken.")
        case unknown:
            assert_never(unknown)


def already_exists(holder: Contact) -> str:
    return f"Contact already exists. Existing ID: {holder.id}"


def _already_has(portal: Portal, holder: Contact, identity: Identity, contact: Contact | None) -> str:
    name, value = identity
    where = f"portalId={portal.portal_id}, objectTypeId=ObjectTypeId{{legacyObjectType=CONTACT}}"
    coordinates = f"PropertyValueCoordinates{{{where}, propertyName={name}, value={value}}}"
    named = contact.id if contact else _NEW
    return f"Cannot set {coordinates} on {named}. {holder.id} already has that value."
