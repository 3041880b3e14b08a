"""The paths of HubSpot's API, one table for its versions.

Source: HubSpot's public API specification; for the dated paths of custom events its pages disagree, which is why the
client falls back to v3 when a dated one is not found.
"""

from dataclasses import dataclass
from typing import Final, Literal

ApiVersion = Literal["v3", "2026-03", "2026-09"]


@dataclass(frozen=True)
class Paths:
    contacts: str
    properties: str
    property_groups: str
    account: str
    event_definitions: str
    send_events: str
    notes: str
    notes_of_contacts: str

    @property
    def create(self) -> str:
        return f"{self.contacts}/batch/create"

    @property
    def upsert(self) -> str:
        return f"{self.contacts}/batch/upsert"

    @property
    def update(self) -> str:
        return f"{self.contacts}/batch/update"

    @property
    def read(self) -> str:
        return f"{self.contacts}/batch/read"

    @property
    def create_notes(self) -> str:
        return f"{self.notes}/batch/create"

    @property
    def read_notes(self) -> str:
        return f"{self.notes}/batch/read"


def _dated(version: str, events: str) -> Paths:
    return Paths(
        contacts=f"/crm/objects/{version}/contacts",
        properties=f"/crm/properties/{version}/contacts",
        property_groups=f"/crm/properties/{version}/contacts/groups",
        account=f"/account-info/{version}/details",
        event_definitions=f"{events}/event-definitions",
        send_events=f"{events}/send/batch",
        notes=f"/crm/objects/{version}/notes",
        notes_of_contacts=f"/crm/associations/{version}/contacts/notes/batch/read",
    )


PATHS: Final[dict[ApiVersion, Paths]] = {
    "v3": Paths(
        contacts="/crm/v3/objects/contacts",
        properties="/crm/v3/properties/contacts",
        property_groups="/crm/v3/properties/contacts/groups",
        account="/account-info/v3/details",
        event_definitions="/events/v3/event-definitions",
        send_events="/events/v3/send/batch",
        notes="/crm/v3/objects/notes",
        # Associations have a version of their own.
        notes_of_contacts="/crm/v4/associations/contacts/notes/batch/read",
    ),
    "2026-03": _dated("2026-03", "/events/2026-03"),
    "2026-09": _dated("2026-09", "/events/custom/2026-09"),
}
