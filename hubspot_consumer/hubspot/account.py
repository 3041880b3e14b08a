"""A token's scopes and its account's use of the daily quota, read from HubSpot's answers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hubspot_consumer.hubspot.errors import Answer
from hubspot_consumer.hubspot.outcomes import Refusal, Rejected
from hubspot_consumer.hubspot.responses import Page, read_object, read_page
from schemas.times import in_utc

# Scopes for the calls of a worker. `provision` needs SCHEMA_SCOPES too, to create the schema.
CONTACT_SCOPES: Final = ("crm.objects.contacts.read", "crm.objects.contacts.write")
SCHEMA_SCOPES: Final = ("crm.schemas.contacts.read", "crm.schemas.contacts.write")
EVENT_SCOPES: Final = ("analytics.behavioral_events.send", "behavioral_events.event_definitions.read_write")


@dataclass(frozen=True)
class Usage:
    """Calls that all private apps of the account made today. `resets_at` is None if HubSpot's answer lacks it."""

    limit: int
    used: int
    resets_at: datetime | None


def read_scopes(response: Answer) -> frozenset[str] | Refusal:
    """Return the scopes of the token that the call named."""
    body = read_object(response)
    if not isinstance(body, dict):
        return body
    scopes = body.get("scopes")
    if not isinstance(scopes, list):
        return Rejected("rejected_by_hubspot", "HubSpot's answer names no scopes")
    return frozenset(str(scope) for scope in scopes)


def read_usage(response: Answer) -> Usage | Refusal:
    """Return today's use of the account's calls."""
    page = read_page(response)
    if not isinstance(page, Page):
        return page
    for item in page.items:
        limit, used = item.get("usageLimit"), item.get("currentUsage")
        if isinstance(limit, int) and isinstance(used, int) and limit > 0:
            return Usage(limit, used, _moment(item.get("resetsAt")))
    return Rejected("rejected_by_hubspot", "HubSpot's answer does not say how many of the day's calls are used")


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
        return in_utc(moment) if moment.tzinfo else None
    except ValueError:
        return None
