"""The paths of HubSpot's API, in one table for all versions.

Sources: HubSpot's public API specification; for custom events, its newest version and the SDKs generated from it.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

from hubspot_consumer.hubspot.errors import Answer, read_refusal, succeeded
from hubspot_consumer.hubspot.outcomes import Halt, Rejected, is_unavailable
from runtime.logs import logger

log = logger()

ApiVersion = Literal["v3", "2026-03", "2026-09"]


@dataclass(frozen=True)
class Paths:
    """The paths of one version. The first of `events` is the documented path of its custom events.

    HubSpot's documents disagree about that path; the others of `events` are alternatives to try. A call for several
    contacts or notes has the path of these and `/batch/` with the name of its action.
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
    def usage(self) -> str:
        return f"{self.account.removesuffix('/details')}/api-usage/daily/private-apps"


# This path is the same in all versions.
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
        # HubSpot versions its API of associations separately.
        notes_of_contacts="/crm/v4/associations/contacts/notes/batch/read",
    ),
    "2026-03": _dated("2026-03", another="2026-09"),
    "2026-09": _dated("2026-09", another="2026-03"),
}


class EventsPath:
    """Stores the path at which custom events were found: after a 404 the other known paths are tried.

    Sending and definitions may have different paths.
    """

    def __init__(self, paths: Paths) -> None:
        self._known: Final = paths.events
        self._found: Final[dict[str, str]] = {}

    async def ask(self, path: str, call: Callable[[str], Awaitable[Answer]]) -> Answer:
        """Make a call to *path*. If it does not exist, try each of the other known paths once, until one exists."""
        documented = self._known[0]
        rest = path.removeprefix(documented)
        if rest == path:
            return await call(path)
        what = rest.split("/")[1]
        used = self._found.get(what, documented)
        answer = await call(used + rest)
        if not _is_missing(answer):
            return answer
        for place in self._known:
            if place == used:
                continue
            elsewhere = await call(place + rest)
            if _is_there(elsewhere):
                log.warning(
                    "hubspot.send_path_not_found" if what == "send" else "hubspot.definitions_path_not_found",
                    path=used + rest,
                    using=place + rest,
                )
                self._found[what] = place
                return elsewhere
            # HubSpot may answer 403 for a path that does not exist.
            if not is_unavailable(read_refusal(elsewhere)):
                # The answer does not show whether this path exists: the next call tries the paths again.
                return elsewhere
        return answer


def _is_missing(answer: Answer) -> bool:
    if succeeded(answer):
        return False
    refusal = read_refusal(answer)
    return isinstance(refusal, Halt) and refusal.reason == "endpoint_not_found"


def _is_there(answer: Answer) -> bool:
    return succeeded(answer) or isinstance(read_refusal(answer), Rejected)
