"""A token's portal and scopes, and what its account allows and has used, read from HubSpot's answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any, Final, TypeGuard
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hubspot_consumer.hubspot.bodies import objects_of, text_of
from hubspot_consumer.hubspot.outcomes import Refusal, Rejected, RetryLater
from hubspot_consumer.hubspot.results import Page, read_page
from hubspot_consumer.hubspot.status_codes import Answer, object_answered
from schemas.times import in_utc

# Scopes for the calls of a worker. `provision` needs SCHEMA_SCOPES too, to create the schema.
CONTACT_SCOPES: Final = ("crm.objects.contacts.read", "crm.objects.contacts.write")
SCHEMA_SCOPES: Final = ("crm.schemas.contacts.read", "crm.schemas.contacts.write")
EVENT_SCOPES: Final = ("analytics.behavioral_events.send", "behavioral_events.event_definitions.read_write")
# Maximum number of digits: int() raises ValueError for thousands of them.
LONGEST_NUMBER: Final = 20
# No account has so many calls a day, or contacts; shares of a number with hundreds of digits can't be computed.
LARGEST_COUNT: Final = 10**12
_CONTACT: Final = "0-1"
_OF_ACCOUNT: Final = ("portalId", "timeZone", "utcOffsetMilliseconds")
# The search for contacts that we have written and that HubSpot bills. Only the number of them is of interest.
MARKETING_CONTACTS: Final[Mapping[str, Any]] = {
    "filterGroups": [
        {
            "filters": [
                {"propertyName": "hs_marketable_status", "operator": "EQ", "value": "true"},
                {"propertyName": "nerava_contact_key", "operator": "HAS_PROPERTY"},
            ]
        }
    ],
    "properties": [],
    "sorts": [],
    "after": "0",
    "limit": 1,
}


@dataclass(frozen=True)
class PortalDetails:
    """The token's portal, as far as HubSpot's answer names it. `zone` is the time zone of the daily quota."""

    portal_id: int | None = None
    zone: tzinfo | None = None


def read_portal(response: Answer) -> PortalDetails | Refusal:
    """Return the token's portal. A field is None where HubSpot's answer lacks it."""
    answered = object_answered(response)
    if not isinstance(answered, dict):
        return answered
    if answered.keys().isdisjoint(_OF_ACCOUNT):
        return RetryLater("the answer has no details of an account")
    portal_id = text_of(answered.get("portalId"))
    known = portal_id.isdecimal() and len(portal_id) < LONGEST_NUMBER
    return PortalDetails(int(portal_id) if known else None, _zone(answered))


def _zone(body: Mapping[str, Any]) -> tzinfo | None:
    try:
        return ZoneInfo(text_of(body.get("timeZone")))
    except (ValueError, OSError, ZoneInfoNotFoundError):
        # Without a time zone database the fixed offset is used: it is an hour wrong after a change to or from summer
        # time.
        offset_ms = body.get("utcOffsetMilliseconds")
        if isinstance(offset_ms, int) and abs(offset_ms) < 24 * 3_600_000:
            return timezone(timedelta(milliseconds=offset_ms))
        return None


@dataclass(frozen=True)
class Usage:
    """Calls that all private apps of the account made today. `resets_at` is None if HubSpot's answer lacks it."""

    limit: int
    used: int
    resets_at: datetime | None


def read_scopes(response: Answer) -> frozenset[str] | Refusal:
    """Return the scopes of the token that the call named."""
    answered = object_answered(response)
    if not isinstance(answered, dict):
        return answered
    scopes = answered.get("scopes")
    if not isinstance(scopes, list):
        return Rejected("rejected_by_hubspot", "HubSpot's answer names no scopes")
    return frozenset(text_of(scope) for scope in scopes)


def read_usage(response: Answer) -> Usage | Refusal:
    """Return today's use of the account's calls."""
    page = read_page(response)
    if not isinstance(page, Page):
        return page
    for item in page.items:
        limit, used = item.get("usageLimit"), item.get("currentUsage")
        if isinstance(limit, int) and isinstance(used, int) and 0 < limit < LARGEST_COUNT and abs(used) < LARGEST_COUNT:
            return Usage(limit, used, _moment(item.get("resetsAt")))
    return Rejected("rejected_by_hubspot", "HubSpot's answer does not say how many of the day's calls are used")


def event_of(definition: Mapping[str, Any]) -> str:
    """Return the name of an event definition as HubSpot lists it, without the prefix."""
    name = text_of(definition.get("name")) or text_of(definition.get("fullyQualifiedName"))
    prefix, _, rest = name.partition("_")
    return rest if prefix.startswith("pe") and prefix[2:].isdecimal() else name


def read_event_properties(response: Answer) -> dict[str, frozenset[str]]:
    """Return the names of the properties of each event definition in a list, by the event's name."""
    answered = object_answered(response)
    body = answered if isinstance(answered, dict) else {}
    return {
        event_of(definition): frozenset(text_of(one.get("name")) for one in objects_of(definition.get("properties")))
        for definition in objects_of(body.get("results"))
    }


@dataclass(frozen=True)
class ContactLimit:
    """How many contacts the account may have, and has."""

    limit: int
    used: int


def read_contact_limit(response: Answer) -> ContactLimit | Refusal:
    """Return the account's limit of contacts, and how many it has."""
    body = object_answered(response)
    if not isinstance(body, dict):
        return body
    for item in objects_of(body.get("hubspotDefinedObjectTypes")):
        limit, used = item.get("limit"), item.get("usage")
        if item.get("objectTypeId") == _CONTACT and _is_count(limit) and _is_count(used):
            return ContactLimit(limit, used)
    return Rejected("rejected_by_hubspot", "HubSpot's answer does not say how many contacts the account may have")


def read_total(response: Answer) -> int | Refusal:
    """Return how many records a search has found."""
    body = object_answered(response)
    if not isinstance(body, dict):
        return body
    total = body.get("total")
    return total if _is_count(total) else Rejected("rejected_by_hubspot", "HubSpot's answer has no total")


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST_COUNT


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text_of(text))
        return in_utc(moment) if moment.tzinfo else None
    except ValueError:
        return None
