"""The paths of HubSpot's API, in one table for all versions.

Sources: HubSpot's public API specification; for custom events, its newest version and the SDKs generated from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, Literal

ApiVersion = Literal["v3", "2026-03", "2026-09"]
# HubSpot names a month, and mends nothing in a version from then on. It does not say when calls begin to fail.
SUPPORTED_UNTIL: Final[Mapping[ApiVersion, date]] = {
    "v3": date(2027, 9, 1),
    "2026-03": date(2027, 9, 1),
    "2026-09": date(2028, 3, 1),
}


@dataclass(frozen=True)
class Paths:
    """The paths of one version. The first of `events` and of `accounts` is the documented one.

    HubSpot's documents disagree about these, and portals lack some; the others are alternatives to try. A call for
    several contacts or notes has the path of these and `/batch/` with the name of its action.
    """

    contacts: str
    properties: str
    property_groups: str
    accounts: tuple[str, ...]
    events: tuple[str, ...]
    notes: str
    notes_of_contacts: str
    exports: str
    record_limits: str

    @property
    def event_definitions(self) -> str:
        return f"{self.events[0]}/event-definitions"

    @property
    def send_events(self) -> str:
        return f"{self.events[0]}/send/batch"

    @property
    def cards(self) -> str:
        """Where definitions are that take a card. Those of 2026-03 do not, so it uses the path of another version."""
        return f"{next(path for path in self.events if '2026-03' not in path)}/event-definitions"

    @property
    def account(self) -> str:
        return f"{self.accounts[0]}/details"

    @property
    def usage(self) -> str:
        return f"{self.accounts[0]}/api-usage/daily/private-apps"


# This path is the same in all versions.
TOKEN_INFO: Final = "/oauth/v2/private-apps/get/access-token-info"  # noqa: S105 - a path


def _dated(version: str, another: str) -> Paths:
    return Paths(
        contacts=f"/crm/objects/{version}/contacts",
        properties=f"/crm/properties/{version}/contacts",
        property_groups=f"/crm/properties/{version}/contacts/groups",
        accounts=(f"/account-info/{version}", "/account-info/v3", f"/account-info/{another}"),
        events=(f"/events/{version}", f"/events/custom/{version}", "/events/v3", f"/events/{another}"),
        notes=f"/crm/objects/{version}/notes",
        notes_of_contacts=f"/crm/associations/{version}/contacts/notes/batch/read",
        exports=f"/crm/exports/{version}/export/async",
        record_limits=f"/crm/limits/{version}/records",
    )


PATHS: Final[dict[ApiVersion, Paths]] = {
    "v3": Paths(
        contacts="/crm/v3/objects/contacts",
        properties="/crm/v3/properties/contacts",
        property_groups="/crm/v3/properties/contacts/groups",
        accounts=("/account-info/v3", "/account-info/2026-09", "/account-info/2026-03"),
        events=("/events/v3", "/events/2026-09", "/events/2026-03"),
        notes="/crm/v3/objects/notes",
        # HubSpot versions its API of associations separately.
        notes_of_contacts="/crm/v4/associations/contacts/notes/batch/read",
        exports="/crm/v3/exports/export/async",
        record_limits="/crm/v3/limits/records",
    ),
    "2026-03": _dated("2026-03", another="2026-09"),
    "2026-09": _dated("2026-09", another="2026-03"),
}
