"""The paths of HubSpot's API, one table for its versions.

Source: HubSpot's public API specification, and for custom events its newest one and the SDKs generated from it.
"""

from dataclasses import dataclass
from typing import Final, Literal

ApiVersion = Literal["v3", "2026-03", "2026-09"]


@dataclass(frozen=True)
class Paths:
    """The paths of one version. `events` begins with where its custom events are.

    HubSpot's pages have disagreed about that, so the other places of `events` are where else they may be.
    """

    contacts: str
    properties: str
    property_groups: str
    account: str
    events: tuple[str, ...]
    notes: str
    notes_of_contacts: str

    @property
    def event_definitions(self) -> str:
        return f"{self.events[0]}/event-definitions"

    @property
    def send_events(self) -> str:
        return f"{self.events[0]}/send/batch"

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

    @property
    def usage(self) -> str:
        return f"{self.account.removesuffix('/details')}/api-usage/daily/private-apps"


# The same in all versions.
TOKEN_INFO: Final = "/oauth/v2/private-apps/get/access-token-info"  # noqa: S105 - a path


def _dated(version: str, another: str) -> Paths:
    return Paths(
        contacts=f"/crm/objects/{version}/contacts",
        properties=f"/crm/properties/{version}/contacts",
        property_groups=f"/crm/properties/{version}/contacts/groups",
        account=f"/account-info/{version}/details",
        events=(f"/events/{version}", f"/events/custom/{version}", "/events/v3", f"/events/{another}"),
        notes=f"/crm/objects/{version}/notes",
        notes_of_contacts=f"/crm/associations/{version}/contacts/notes/batch/read",
    )


PATHS: Final[dict[ApiVersion, Paths]] = {
    "v3": Paths(
        contacts="/crm/v3/objects/contacts",
        properties="/crm/v3/properties/contacts",
        property_groups="/crm/v3/properties/contacts/groups",
        account="/account-info/v3/details",
        events=("/events/v3", "/events/2026-09", "/events/2026-03"),
        notes="/crm/v3/objects/notes",
        # Associations have a version of their own.
        notes_of_contacts="/crm/v4/associations/contacts/notes/batch/read",
    ),
    "2026-03": _dated("2026-03", another="2026-09"),
    "2026-09": _dated("2026-09", another="2026-03"),
}
