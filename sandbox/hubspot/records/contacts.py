"""Contacts: the records, indexed by id, by all their emails, and by unique properties."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Final, NamedTuple

from sandbox.hubspot.clock import PortalClock
from sandbox.hubspot.records.updates import STAGE, effective, furthest_stage
from sandbox.hubspot.schema import emails
from sandbox.hubspot.schema.properties import Schema

APP_ID: Final = 2011410
FIRST_STAGE: Final = "lead"
MERGED_IDS: Final = "hs_merged_object_ids"
_FIRST_ID: Final = 151

Identity = tuple[str, str]
"""The name and value of a property that identifies a contact."""


class Write(NamedTuple):
    """One applied write. `properties` are those that took effect."""

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

    def emails(self) -> list[str]:
        """Return the primary email and the additional ones."""
        return [
            email for email in (self.email, *emails.split(self.properties.get("hs_additional_emails", ""))) if email
        ]


class Contacts:
    """The contacts. `recreated` counts those that were created with an email of a GDPR-deleted contact."""

    def __init__(self, schema: Schema, clock: PortalClock) -> None:
        self._schema = schema
        self._clock = clock
        self._ids = count(_FIRST_ID)
        self._by_id: dict[str, Contact] = {}
        self._by_identity: dict[Identity, Contact] = {}
        self._archived: dict[Identity, Contact] = {}
        self._merged_into: dict[str, str] = {}
        self._deleted_emails: set[str] = set()
        self.recreated = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def all(self) -> list[Contact]:
        """Return the contacts in the order of their creation, archived ones included."""
        return list(self._by_id.values())

    def by_id(self, contact_id: str, *, archived: bool = False) -> Contact | None:
        """Return a contact by its id, or by the id of a contact that was merged into it."""
        while contact_id in self._merged_into:
            contact_id = self._merged_into[contact_id]
        contact = self._by_id.get(contact_id)
        return contact if contact and contact.archived == archived else None

    def by_identity(self, identity: Identity) -> Contact | None:
        return self._by_identity.get(identity)

    def archived_by_identity(self, identity: Identity) -> Contact | None:
        """Return the contact that had the identity when it was archived."""
        contact = self._archived.get(identity)
        return contact if contact and contact.archived else None

    def by_email(self, email: str) -> Contact | None:
        """Return the contact with this primary or additional email, regardless of upper and lower case."""
        return self._by_identity.get(("email", emails.normalised(email)))

    def identities(self, properties: Mapping[str, str]) -> list[Identity]:
        """Return the identities in *properties*. Additional emails have the same property name as the primary one."""
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
        if STAGE in properties:
            # The default stage is removed: a new contact may begin at an earlier stage too.
            del contact.properties[STAGE]
        self._by_id[contact_id] = contact
        self._apply(contact, properties, trace, now)
        self.recreated += not self._deleted_emails.isdisjoint(contact.emails())
        return contact

    def update(self, contact: Contact, properties: Mapping[str, str], trace: str | None = None) -> None:
        self._apply(contact, properties, trace, self._clock.timestamp())

    def archive(self, contact: Contact) -> None:
        self._release(contact)
        self._archived.update(dict.fromkeys(self.identities(contact.properties), contact))
        contact.archived = True
        contact.updated_at = self._clock.timestamp()

    def restore(self, contact: Contact) -> None:
        """Restore an archived contact with its identities, except those that another contact has by now."""
        contact.archived = False
        for identity in self.identities(contact.properties):
            self._by_identity.setdefault(identity, contact)

    def delete(self, contact: Contact) -> None:
        """Remove a contact permanently, as for the GDPR, and record its emails as deleted."""
        self._release(contact)
        contact.archived = False
        del self._by_id[contact.id]
        self.suppress(*contact.emails())

    def suppress(self, *addresses: str) -> None:
        """Record emails as deleted. This does not prevent new contacts with them; it only counts those."""
        self._deleted_emails.update(addresses)

    def is_deleted(self, email: str) -> bool:
        """Return whether a contact with this email was removed permanently."""
        return email in self._deleted_emails

    def merge(self, primary: Contact, other: Contact, *, keeps_primary_id: bool) -> Contact:
        """Merge two contacts into the returned one, which is found by both ids. The primary contact's values win."""
        now = self._clock.timestamp()
        for contact in (primary, other):
            self._release(contact)
            del self._by_id[contact.id]
        merged_id = primary.id if keeps_primary_id else str(next(self._ids))
        properties = _merged_properties(self._schema, primary, other) | {"lastmodifieddate": now}
        if not keeps_primary_id:
            properties["hs_object_id"] = merged_id
        writes = sorted((*primary.writes, *other.writes), key=lambda write: write.at)
        created_at = min(primary.created_at, other.created_at)
        survivor = Contact(merged_id, properties, created_at, now, writes=writes)
        self._by_id[merged_id] = survivor
        self._merged_into |= {contact.id: merged_id for contact in (primary, other) if contact.id != merged_id}
        self._hold(survivor)
        return survivor

    def _apply(self, contact: Contact, properties: Mapping[str, str], trace: str | None, now: str) -> None:
        properties = effective(self._schema, contact.properties, properties)
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
            self._hold(contact)

    def _hold(self, contact: Contact) -> None:
        self._by_identity.update(dict.fromkeys(self.identities(contact.properties), contact))

    def _release(self, contact: Contact) -> None:
        for identity in self.identities(contact.properties):
            # The identity of an archived contact may belong to another contact by now.
            if self._by_identity.get(identity) is contact:
                del self._by_identity[identity]


def _promote(contact: Contact, email: str | None) -> None:
    """If *email* is one of the contact's additional emails, replace it there by the old primary email."""
    additional = emails.split(contact.properties.get("hs_additional_emails", ""))
    if email in additional:
        swapped = [contact.email if other == email else other for other in additional]
        contact.properties["hs_additional_emails"] = ";".join(other for other in swapped if other)


def _merged_properties(schema: Schema, primary: Contact, other: Contact) -> dict[str, str]:
    held = {name: value for name, value in primary.properties.items() if value}
    properties = other.properties | held
    stages = [contact.properties.get(STAGE, "") for contact in (primary, other)]
    additional = [email for email in (*primary.emails(), *other.emails()) if email != properties.get("email")]
    ids = [primary.properties.get(MERGED_IDS, ""), other.properties.get(MERGED_IDS, ""), primary.id, other.id]
    merged = ";".join(dict.fromkeys(merged for merged in ids if merged))
    return properties | {
        STAGE: furthest_stage(schema, *stages),
        "hs_additional_emails": ";".join(dict.fromkeys(additional)),
        "hs_all_contact_vids": merged,
        MERGED_IDS: merged,
    }


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
        STAGE: FIRST_STAGE,
    }
