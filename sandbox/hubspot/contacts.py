"""Contacts: the records, found by id, by any of their emails, and by unique properties."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Final, NamedTuple

from sandbox.hubspot import emails
from sandbox.hubspot.clock import PortalClock
from sandbox.hubspot.properties import Schema

APP_ID: Final = 2011410
_FIRST_ID: Final = 151

Identity = tuple[str, str]
"""A property that identifies a contact, and its value."""


class Write(NamedTuple):
    """One write as it was applied: only the properties that it named."""

    at: str
    properties: Mapping[str, str]
    trace: str | None


@dataclass(slots=True, eq=False)
class Contact:
    id: str
    properties: dict[str, str]
    created_at: str
    updated_at: str
    archived: bool = False
    writes: list[Write] = field(default_factory=list)

    @property
    def email(self) -> str:
        return self.properties.get("email", "")


class Contacts:
    def __init__(self, schema: Schema, clock: PortalClock) -> None:
        self._schema = schema
        self._clock = clock
        self._ids = count(_FIRST_ID)
        self._by_id: dict[str, Contact] = {}
        self._by_identity: dict[Identity, Contact] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def page(self, offset: int, limit: int) -> list[Contact]:
        """Return contacts in the order of their creation, archived ones included."""
        return list(self._by_id.values())[offset : offset + limit]

    def by_id(self, contact_id: str, *, archived: bool = False) -> Contact | None:
        contact = self._by_id.get(contact_id)
        return contact if contact and contact.archived == archived else None

    def by_identity(self, identity: Identity) -> Contact | None:
        return self._by_identity.get(identity)

    def by_email(self, email: str) -> Contact | None:
        """Return the contact whose primary or additional email this is, in any case."""
        return self._by_identity.get(("email", emails.normalised(email)))

    def identities(self, properties: Mapping[str, str]) -> list[Identity]:
        """Return the identities that *properties* claim; primary and additional emails are one kind."""
        if self._schema.identifying.isdisjoint(properties):
            return []
        claimed = [("email", email) for email in emails.split(properties.get("hs_additional_emails", ""))]
        if email := properties.get("email"):
            claimed.append(("email", email))
        return claimed + [(name, properties[name]) for name in self._schema.unique if properties.get(name)]

    def create(self, properties: Mapping[str, str], trace: str | None = None) -> Contact:
        now = self._clock.timestamp()
        contact_id = str(next(self._ids))
        contact = Contact(contact_id, _system_properties(contact_id, now), created_at=now, updated_at=now)
        self._by_id[contact_id] = contact
        self._apply(contact, properties, trace, now)
        return contact

    def update(self, contact: Contact, properties: Mapping[str, str], trace: str | None = None) -> None:
        self._apply(contact, properties, trace, self._clock.timestamp())

    def archive(self, contact: Contact) -> None:
        self._release(contact)
        contact.archived = True
        contact.updated_at = self._clock.timestamp()

    def _apply(self, contact: Contact, properties: Mapping[str, str], trace: str | None, now: str) -> None:
        identifies = not self._schema.identifying.isdisjoint(properties)
        if identifies:
            self._release(contact)
            _promote(contact, properties.get("email"))
        contact.properties.update(properties)
        contact.properties["lastmodifieddate"] = now
        contact.updated_at = now
        contact.writes.append(Write(now, properties, trace))
        if identifies:
            contact.properties["hs_email_domain"] = contact.email.rpartition("@")[2]
            self._by_identity.update(dict.fromkeys(self.identities(contact.properties), contact))

    def _release(self, contact: Contact) -> None:
        for identity in self.identities(contact.properties):
            self._by_identity.pop(identity, None)


def _promote(contact: Contact, email: str | None) -> None:
    """Where a contact's additional email becomes its primary one, the old primary one takes its place."""
    additional = emails.split(contact.properties.get("hs_additional_emails", ""))
    if email in additional:
        swapped = [contact.email if other == email else other for other in additional]
        contact.properties["hs_additional_emails"] = ";".join(other for other in swapped if other)


def _system_properties(contact_id: str, now: str) -> dict[str, str]:
    return {
        "createdate": now,
        "hs_all_contact_vids": contact_id,
        "hs_is_contact": "true",
        "hs_is_unworked": "true",
        "hs_object_id": contact_id,
        "hs_object_source": "INTEGRATION",
        "hs_object_source_id": str(APP_ID),
        "hs_object_source_label": "INTEGRATION",
        "hs_pipeline": "contacts-lifecycle-pipeline",
        "lastmodifieddate": now,
        "lifecyclestage": "lead",
    }
